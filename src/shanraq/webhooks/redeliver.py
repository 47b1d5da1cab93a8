"""Send an event again by hand, or a test."""

from __future__ import annotations

from shanraq import audit, events
from shanraq.core.actor import Actor
from shanraq.core.db import Database, Tx
from shanraq.webhooks import store
from shanraq.webhooks.errors import DeliveryNotFoundError, EndpointNotEnabledError, EventNotFoundError
from shanraq.webhooks.matching import PING, matches
from shanraq.webhooks.model import WRITE, Delivery, Ping


async def redeliver(db: Database, actor: Actor, event_id: str, endpoint_id: str) -> Delivery:
    """Send an event to an endpoint at once, from the beginning of the schedule, whatever became of it before.

    The `webhook-id` is that of the earlier attempts. An event from before the endpoint existed can be sent if the endpoint
    subscribes to its type. Raises EventNotFoundError, EndpointNotFoundError, EndpointNotEnabledError,
    DeliveryNotFoundError.
    """
    actor.require(WRITE)

    async def work(tx: Tx) -> Delivery:
        endpoint = await store.load(tx, endpoint_id, share=True)
        event = await events.find(tx, event_id)
        if event is None:
            raise EventNotFoundError(field="event_id")
        if not endpoint.state.takes_deliveries:
            raise EndpointNotEnabledError(field="endpoint_id")
        await store.lock_lane(tx, endpoint_id)
        known = await store.delivery(tx, endpoint_id, event.seq)
        covered = matches(endpoint.event_types, event.type, include_sensitive=endpoint.include_sensitive)
        if known is None and not (covered and event.type != PING):
            raise DeliveryNotFoundError(field="event_id")
        enqueued = await store.requeue(tx, endpoint_id, event)
        await store.wake(tx, endpoint_id, enqueued=enqueued)
        audit.record(tx, "webhook_delivery.resent", endpoint_id, {"event_id": event_id})
        delivery = await store.delivery(tx, endpoint_id, event.seq)
        assert delivery is not None
        return delivery

    return await db.run(actor, work)


async def send_test(db: Database, actor: Actor, endpoint_id: str) -> str:
    """Send the event `webhook_endpoint.ping` to this endpoint alone, once, and return the event's id.

    Raises EndpointNotFoundError, EndpointNotEnabledError.
    """
    actor.require(WRITE)

    async def work(tx: Tx) -> str:
        endpoint = await store.load(tx, endpoint_id, share=True)
        if not endpoint.state.takes_deliveries:
            raise EndpointNotEnabledError(field="endpoint_id")
        return events.emit(tx, events.Event(PING, endpoint.subject, Ping(id=endpoint_id)))

    return await db.run(actor, work)
