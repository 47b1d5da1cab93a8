"""Partners for the tests: operators, a clock that can be moved, and the steps of onboarding as short words."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest

from shanraq import partners
from shanraq.core.actor import SYSTEM, Actor, Environment
from shanraq.core.crypto import Keyring
from shanraq.core.db import Database
from shanraq.core.secret import ApiSecret, Secret
from shanraq.partners import BasicCredentials, Check, IssuedKey, NewKey, Partner, SignedCredentials

APPLICATION = partners.Application(
    legal_name="Alma Pay LLP",
    country="KZ",
    registration_number="980540000397",
    contact_email="it@alma.example",
    website="https://alma.example",
)
STAFF = ("partners:read", "partners:write", "partners:approve", "partners:suspend", "operators:write")


class MovableClock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = datetime(2030, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def move(self, **duration: float) -> None:
        self.now += timedelta(**duration)


class Office:
    """The platform's side and the applicants': verbs with fewer words."""

    def __init__(self, database: Database, clock: MovableClock) -> None:
        self.db = database
        self.clock = clock
        self.keyring = Keyring.generate()
        self._nonces = count(10**16)

    async def operator(self, *scopes: str) -> Actor:
        async with self.db.begin(SYSTEM) as tx:
            _, token = await partners.create_operator(tx, self.keyring, "Aigerim", scopes or STAFF)
        return await partners.authenticate_operator(self.db, self.keyring, token)

    async def applied(self, applied_by: Actor | None = None) -> tuple[Partner, Secret]:
        return await partners.apply(self.db, self.keyring, APPLICATION, applied_by)

    async def approved(self) -> tuple[Partner, Secret]:
        partner, claim = await self.applied()
        return await partners.approve(self.db, await self.operator(), partner.id), claim

    async def claimed(self) -> IssuedKey:
        _, claim = await self.approved()
        return await partners.claim_key(self.db, self.keyring, claim)

    async def integrated(self) -> Actor:
        """Return the first sandbox key of a new partner, authenticated."""
        return await self.enter(await self.claimed())

    async def certified(self) -> Actor:
        issued = await self.claimed()
        await partners.start_certification(self.db, await self.enter(issued))
        actor = await self.enter(issued)
        for check in Check:
            await self.observe(actor, check)
        return actor

    async def went_live(self) -> Actor:
        """Return a sandbox key of a partner that is live."""
        actor = await self.certified()
        await partners.go_live(self.db, actor)
        return actor

    async def issue(self, actor: Actor, *scopes: str, environment: Environment = Environment.SANDBOX) -> IssuedKey:
        new = NewKey(environment=environment, scopes=scopes or tuple(partners.SCOPES), name="backend")
        return await partners.issue_key(self.db, self.keyring, actor, new)

    async def live_actor(self) -> Actor:
        return await self.enter(await self.issue(await self.went_live(), environment=Environment.LIVE))

    async def observe(self, actor: Actor, check: Check) -> None:
        async with self.db.begin(actor) as tx:
            await partners.observe(tx, check, f"seen_{check}")

    async def enter(self, issued: IssuedKey, *, db: Database | None = None, address: str = "") -> Actor:
        """Authenticate with a key's secret."""
        credentials = BasicCredentials(issued.id, issued.secret)
        return await partners.authenticate(db or self.db, self.keyring, credentials, address=address)

    async def enter_as(self, key_id: str, secret: str) -> Actor:
        return await partners.authenticate(self.db, self.keyring, BasicCredentials(key_id, ApiSecret(secret)))

    def signed(self, issued: IssuedKey, *, timestamp: int | None = None, nonce: str | None = None) -> SignedCredentials:
        """Return what a client sends that signs `POST /v1/payments?a=1` with this key."""
        timestamp = int(self.clock.now.timestamp()) if timestamp is None else timestamp
        nonce = nonce or f"n-{next(self._nonces)}"
        body = hashlib.sha256(b"{}").hexdigest()
        text = f"v1\n{timestamp}\n{nonce}\nPOST\n/v1/payments?a=1\n{body}"
        signature = hmac.new(issued.signing_secret.reveal().encode(), text.encode(), "sha256").digest()
        return SignedCredentials(issued.id, timestamp, nonce, signature, "POST", "/v1/payments?a=1", body)

    async def enter_signed(self, credentials: SignedCredentials, *, db: Database | None = None) -> Actor:
        return await partners.authenticate(db or self.db, self.keyring, credentials)

    async def events(self) -> list[tuple[str, str]]:
        """Return type and environment of all events, in order."""
        async with self.db.begin(SYSTEM) as tx:
            rows = await tx.rows("SELECT type, environment FROM event_outbox ORDER BY id")
        return [(row["type"], row["environment"]) for row in rows]

    async def audited(self) -> list[str]:
        """Return the actions in the audit log."""
        async with self.db.begin(SYSTEM) as tx:
            rows = await tx.rows("SELECT action FROM audit_entry ORDER BY at, lane, seq")
        return [row["action"] for row in rows]


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock()


@pytest.fixture
def office(database: Database, clock: MovableClock) -> Office:
    database.clock = clock
    return Office(database, clock)


@pytest.fixture
async def other_process(owner_dsn: str, clock: MovableClock) -> AsyncIterator[Database]:
    """The same database as another process sees it: with a memory of its own."""
    other = await Database.connect(owner_dsn, clock=clock)
    yield other
    await other.close()
