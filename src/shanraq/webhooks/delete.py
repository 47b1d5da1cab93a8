"""Remove a webhook endpoint."""

from __future__ import annotations

import msgspec

from shanraq import audit, events
from shanraq.core.actor import Actor
from shanraq.core.db import Database, Tx
from shanraq.webhooks import store
from shanraq.webhooks.model import WRITE, DeliveryState, EndpointDeleted, EndpointState


async def delete_endpoint(db: Database, actor: Actor, endpoint_id: str) -> None:
    """Remove an endpoint for good: its queue is canceled and its secrets are gone in the same transaction.

    A request already under way may still arrive. Raises EndpointNotFoundError.
    """
    actor.require(WRITE)

    async def work(tx: Tx) -> None:
        before = await store.load(tx, endpoint_id, lock=True)
        deleted = msgspec.structs.replace(before, state=before.state.to(EndpointState.DELETED), disabled_reason="")
        await store.save(tx, before, deleted)
        await store.halt(tx, endpoint_id)
        canceled = await store.drop_queue(tx, endpoint_id, DeliveryState.CANCELED)
        await store.delete_secrets(tx, endpoint_id)
        events.emit(
            tx,
            events.Event(
                "webhook_endpoint.deleted", before.subject, EndpointDeleted(id=endpoint_id, canceled=canceled)
            ),
        )
        audit.record(tx, "webhook_endpoint.deleted", endpoint_id, {"canceled": canceled})

    await db.run(actor, work)
