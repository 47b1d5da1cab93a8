"""Find endpoints, deliveries and attempts."""

from __future__ import annotations

from shanraq import events
from shanraq.core.actor import Actor
from shanraq.core.db import Database
from shanraq.core.page import InvalidCursorError, Page, PageRequest, page_of
from shanraq.webhooks import store
from shanraq.webhooks.errors import EventNotFoundError
from shanraq.webhooks.model import READ, Attempt, Delivery, DeliveryState, Endpoint


async def find_endpoint(db: Database, actor: Actor, endpoint_id: str) -> Endpoint:
    """Return one endpoint. Raises EndpointNotFoundError."""
    actor.require(READ)
    async with db.begin(actor) as tx:
        return await store.load(tx, endpoint_id)


async def list_endpoints(db: Database, actor: Actor, request: PageRequest) -> Page[Endpoint]:
    """Return endpoints, newest first."""
    actor.require(READ)
    async with db.begin(actor) as tx:
        rows = await store.page(tx, after=request.after, limit=request.limit)
    return page_of(rows, request, lambda endpoint: endpoint.id)


async def deliveries_of(db: Database, actor: Actor, event_id: str, request: PageRequest) -> Page[Delivery]:
    """Return what became of an event, one delivery an endpoint, deleted endpoints included. Raises EventNotFoundError."""
    actor.require(READ)
    async with db.begin(actor) as tx:
        event = await events.find(tx, event_id)
        if event is None:
            raise EventNotFoundError(field="event_id")
        rows = await store.deliveries_of_event(tx, event.seq, after=request.after, limit=request.limit)
    return page_of(rows, request, lambda delivery: delivery.endpoint_id)


async def list_deliveries(
    db: Database, actor: Actor, endpoint_id: str, request: PageRequest, *, state: DeliveryState | None = None
) -> Page[Delivery]:
    """Return an endpoint's deliveries, newest event first, of one state if asked. Raises EndpointNotFoundError."""
    actor.require(READ)
    if request.after and not request.after.isdigit():
        raise InvalidCursorError(field="cursor")
    before_seq = int(request.after) if request.after else None
    async with db.begin(actor) as tx:
        await store.load(tx, endpoint_id)
        rows = await store.deliveries_of_endpoint(
            tx, endpoint_id, state=state, before_seq=before_seq, limit=request.limit
        )
    page = page_of(rows, request, lambda row: str(row[0]))
    return Page(tuple(delivery for _, delivery in page.items), page.next_cursor)


async def attempts(
    db: Database, actor: Actor, endpoint_id: str, request: PageRequest, *, event_id: str | None = None
) -> Page[Attempt]:
    """Return the attempts made to an endpoint, newest first, of one event if asked. Raises EndpointNotFoundError."""
    actor.require(READ)
    async with db.begin(actor) as tx:
        await store.load(tx, endpoint_id)
        rows = await store.attempts(tx, endpoint_id, event_id=event_id, after=request.after, limit=request.limit)
    return page_of(rows, request, lambda attempt: attempt.id)
