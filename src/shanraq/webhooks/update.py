"""Change a webhook endpoint."""

from __future__ import annotations

from typing import Any

import msgspec

from shanraq import audit, events
from shanraq.core.actor import Actor
from shanraq.core.crypto import Keyring
from shanraq.core.db import Database, Tx
from shanraq.webhooks import store
from shanraq.webhooks.errors import EndpointVersionError
from shanraq.webhooks.guard import GuardPolicy
from shanraq.webhooks.model import WRITE, Endpoint, EndpointChange, NewEndpoint
from shanraq.webhooks.subscribe import check_endpoint, seal_headers

_ATTRIBUTES = tuple(name for name in EndpointChange.__struct_fields__ if name != "version")


async def update_endpoint(
    db: Database, actor: Actor, endpoint_id: str, change: EndpointChange, *, keyring: Keyring, policy: GuardPolicy
) -> Endpoint:
    """Change attributes of an endpoint that was read at `change.version`; deliveries under way keep the old ones.

    Raises EndpointNotFoundError, EndpointVersionError and what `subscribe` raises.
    """
    actor.require(WRITE)
    _, environment = actor.scope
    changes: dict[str, Any] = {
        name: value for name in _ATTRIBUTES if (value := getattr(change, name)) is not msgspec.UNSET
    }

    async def work(tx: Tx) -> Endpoint:
        before = await store.load(tx, endpoint_id, lock=True)
        if before.version != change.version:
            raise EndpointVersionError(f"the endpoint is at version {before.version}", field="version")
        present = NewEndpoint(
            url=before.url,
            event_types=before.event_types,
            description=before.description,
            include_sensitive=before.include_sensitive,
            metadata=before.metadata,
            timeout_ms=before.timeout_ms,
            retry_schedule=before.retry_schedule,
        )
        wanted = check_endpoint(actor, environment, msgspec.structs.replace(present, **changes), policy)
        names = tuple(wanted.headers) if "headers" in changes else before.header_names
        attributes = {name: getattr(wanted, name) for name in changes if name != "headers"}
        after = await store.save(tx, before, msgspec.structs.replace(before, **attributes, header_names=names))
        if "headers" in changes:
            await store.save_headers(tx, endpoint_id, seal_headers(keyring, endpoint_id, wanted.headers))
        events.emit(tx, events.Event("webhook_endpoint.updated", after.subject, after))
        audit.record(tx, "webhook_endpoint.updated", endpoint_id, {"changed": sorted(changes)})
        return after

    return await db.run(actor, work)
