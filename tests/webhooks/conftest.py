"""Fixtures of the webhook tests: a partner, a receiver on loopback, a client that may reach it, a clock to move."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shanraq import events, webhooks
from shanraq.core.actor import SYSTEM, Actor, ActorKind, Environment
from shanraq.core.crypto import Keyring
from shanraq.core.db import Database
from shanraq.core.http import HttpClient
from shanraq.core.page import PageRequest
from shanraq.webhooks import Endpoint, GuardedResolver, GuardPolicy, NewEndpoint
from tests.webhooks.receiver import Receiver, receiving

SCOPES = frozenset({"webhooks:read", "webhooks:write", "webhooks:secrets", "webhooks:sensitive"})


class MovingClock:
    """The present, moved by hand."""

    def __init__(self) -> None:
        self.moved = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.moved

    def move(self, **by: float) -> None:
        self.moved += timedelta(**by)


def partner_actor(name: str = "prt_1", environment: Environment = Environment.SANDBOX) -> Actor:
    return Actor(ActorKind.PARTNER, "key_1", name, environment, book=2, scopes=SCOPES, request_id="req_1")


class Desk:
    """The webhook verbs with the test's database, keyring, policy and client filled in."""

    def __init__(self, db: Database, receiver: Receiver, client: HttpClient, policy: GuardPolicy) -> None:
        self.db = db
        self.receiver = receiver
        self.client = client
        self.keyring = Keyring.generate()
        self.policy = policy
        self.actor = partner_actor()

    async def subscribe(self, *event_types: str, actor: Actor | None = None, **attributes: Any) -> tuple[Endpoint, str]:
        """Add an endpoint for these types (all of them by default); return it with the text of its secret."""
        new = NewEndpoint(**{"url": self.receiver.url, "event_types": event_types or ("payment.*",), **attributes})
        endpoint, secret = await webhooks.subscribe(
            self.db, actor or self.actor, new, keyring=self.keyring, policy=self.policy
        )
        await self.sequence()
        return endpoint, secret.text.reveal()

    async def emit(
        self, type_name: str = "payment.completed", *, count: int = 1, actor: Actor | None = None
    ) -> list[str]:
        """Write events as a business transaction does."""
        async with self.db.begin(actor or self.actor) as tx:
            return [
                events.emit(tx, events.Event(type_name, f"payment/pay_{number}", {"number": number}))
                for number in range(count)
            ]

    async def sequence(self) -> None:
        """Stamp events and fan them out, as the sequencer does."""
        async with self.db.begin(SYSTEM) as tx:
            await webhooks.enqueue(tx, await events.stamp(tx))

    async def send(self, type_name: str = "payment.completed", *, count: int = 1) -> list[str]:
        """Write events and fan them out."""
        event_ids = await self.emit(type_name, count=count)
        await self.sequence()
        return event_ids

    async def deliver(self) -> webhooks.Round:
        return await webhooks.deliver(self.db, self.client, keyring=self.keyring)

    async def findings(self) -> list[str]:
        async with self.db.begin(SYSTEM) as tx:
            return await webhooks.verify_deliveries(tx, settled=timedelta(0))

    async def delivery(self, event_id: str, endpoint: Endpoint) -> webhooks.Delivery:
        """Return what became of an event at an endpoint."""
        page = await webhooks.deliveries_of(self.db, self.actor, event_id, first_page())
        return next(delivery for delivery in page.items if delivery.endpoint_id == endpoint.id)

    async def attempts(self, endpoint: Endpoint) -> list[webhooks.Attempt]:
        """Return the attempts made to an endpoint, oldest first."""
        page = await webhooks.attempts(self.db, self.actor, endpoint.id, first_page())
        return list(reversed(page.items))

    async def event_types_after(self) -> list[str]:
        """Return the types of all events so far, in order."""
        async with self.db.begin(SYSTEM) as tx:
            return [row["type"] for row in await tx.rows("SELECT type FROM event_outbox ORDER BY id")]

    async def lane(self, endpoint: Endpoint) -> dict[str, object]:
        """Return the lane's row."""
        async with self.db.begin(SYSTEM) as tx:
            row = await tx.row("SELECT * FROM webhook_lane WHERE endpoint_id = $1", endpoint.id)
        assert row is not None
        return dict(row)


def first_page(limit: int = 500, cursor: str | None = None) -> PageRequest:
    return PageRequest.read(cursor, limit)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as running:
        yield running


@pytest.fixture
def clock(database: Database) -> MovingClock:
    moving = MovingClock()
    database.clock = moving
    return moving


@pytest.fixture
async def desk(database: Database, receiver: Receiver) -> AsyncIterator[Desk]:
    policy = GuardPolicy(allow_cidrs=("127.0.0.0/8",), allow_ports=(receiver.port,))
    client = HttpClient(resolver=GuardedResolver(policy))
    yield Desk(database, receiver, client, policy)
    await client.close()
