"""Events: the feed to reconcile with, single events, and what became of their deliveries."""

from __future__ import annotations

from typing import Annotated

from litestar import get
from litestar.params import FromPath, QueryParameter

from shanraq import events, webhooks
from shanraq.api.gate import ANY_SCOPE, CurrentActor
from shanraq.api.parameters import Cursor, Limit, page
from shanraq.api.services import Services
from shanraq.api.strict import View
from shanraq.api.v1.webhook_endpoints import DeliveryList
from shanraq.core.ids import number_of

_TAGS = ["Events"]


class EventFeed(View, frozen=True):
    """Events in order. `last_sequence` is what to continue after; it stays the same when there is nothing new."""

    items: list[events.Envelope]
    last_sequence: int


class EventTypeView(View, frozen=True):
    """A type of event."""

    name: str
    meaning: str
    version: int
    sensitive: bool


class EventTypeList(View, frozen=True):
    """All types of events."""

    items: list[EventTypeView]


@get("/v1/events", operation_id="list_events", tags=_TAGS, opt={"scope": "events:read"})
async def list_events(
    actor: CurrentActor,
    services: Services,
    after_sequence: Annotated[
        int, QueryParameter(ge=0, le=2**62, description="`last_sequence` of the answer before; 0 for the first.")
    ] = 0,
    limit: Limit = None,
    types: Annotated[
        str | None, QueryParameter(max_length=2000, description="Only these types, separated by commas.")
    ] = None,
) -> EventFeed:
    """Read the feed of events.

    Sequences of a partner and environment have no gap: who reads on from the last one has missed nothing.
    """
    wanted = [name for name in (types or "").split(",") if name]
    async with services.db.begin(actor) as tx:
        found = await events.read(tx, after=after_sequence, types=wanted, limit=50 if limit is None else limit)
    return EventFeed([events.view(event) for event in found], found[-1].partner_seq if found else after_sequence)


@get("/v1/events/{event_id:str}", operation_id="get_event", tags=_TAGS, opt={"scope": "events:read"})
async def get_event(event_id: FromPath[str], actor: CurrentActor, services: Services) -> events.Envelope:
    """Read an event."""
    number_of("evt", event_id, field="event_id")
    async with services.db.begin(actor) as tx:
        found = await events.find(tx, event_id)
    if found is None:
        raise webhooks.EventNotFoundError(field="event_id")
    return events.view(found)


@get(
    "/v1/events/{event_id:str}/deliveries",
    operation_id="list_event_deliveries",
    tags=_TAGS,
    opt={"scope": webhooks.READ},
)
async def list_event_deliveries(
    event_id: FromPath[str], actor: CurrentActor, services: Services, cursor: Cursor = None, limit: Limit = None
) -> DeliveryList:
    """List what became of an event at each endpoint."""
    number_of("evt", event_id, field="event_id")
    found = await webhooks.deliveries_of(services.db, actor, event_id, page(cursor, limit))
    return DeliveryList(list(found.items), found.next_cursor)


@get("/v1/event-types", operation_id="list_event_types", tags=_TAGS, opt={"scope": ANY_SCOPE})
async def list_event_types() -> EventTypeList:
    """List the types of events there are."""
    return EventTypeList(
        [EventTypeView(one.name, one.meaning, one.version, one.sensitive) for one in events.CATALOG.values()]
    )


ROUTES = [list_events, get_event, list_event_deliveries, list_event_types]
