"""Pause a webhook endpoint, and let it go on."""

from __future__ import annotations

import msgspec

from shanraq import audit, events
from shanraq.core.actor import Actor
from shanraq.core.db import Database, Tx
from shanraq.webhooks import store
from shanraq.webhooks.model import WRITE, Endpoint, EndpointState


async def pause(db: Database, actor: Actor, endpoint_id: str) -> Endpoint:
    """Stop deliveries to an endpoint; its queue is kept and grows. Raises EndpointNotFoundError, IllegalMoveError."""
    actor.require(WRITE)

    async def work(tx: Tx) -> Endpoint:
        before = await store.load(tx, endpoint_id, lock=True)
        await store.halt(tx, endpoint_id)
        return await _moved(tx, before, EndpointState.PAUSED, "webhook_endpoint.paused")

    return await db.run(actor, work)


async def resume(db: Database, actor: Actor, endpoint_id: str) -> Endpoint:
    """Let a paused or disabled endpoint go on, with what is in its queue; what was skipped can be sent by hand.

    Raises EndpointNotFoundError, IllegalMoveError.
    """
    actor.require(WRITE)

    async def work(tx: Tx) -> Endpoint:
        before = await store.load(tx, endpoint_id, lock=True)
        after = await _moved(tx, before, EndpointState.ENABLED, "webhook_endpoint.resumed")
        await store.unhalt(tx, endpoint_id)
        await store.wake(tx, endpoint_id)
        return after

    return await db.run(actor, work)


async def _moved(tx: Tx, before: Endpoint, state: EndpointState, action: str) -> Endpoint:
    moved = msgspec.structs.replace(before, state=before.state.to(state), disabled_reason="")
    after = await store.save(tx, before, moved)
    events.emit(tx, events.Event("webhook_endpoint.updated", after.subject, after))
    audit.record(tx, action, before.id)
    return after
