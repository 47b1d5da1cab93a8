"""A book of the ledger for the tests: an actor, a clock that can be moved, and accounts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import count

import pytest

from shanraq import ledger
from shanraq.core.actor import Actor, ActorKind, Environment
from shanraq.core.db import Database
from shanraq.ledger import Account, AccountFlags, Result, Transfer, TransferStatus


class MovableClock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = datetime(2030, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def move(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


def partner(book: int = 7) -> Actor:
    """A partner that acts in a book."""
    return Actor(ActorKind.PARTNER, "key_1", "prt_1", Environment.SANDBOX, book)


class Book:
    """A book in the database, with short words for what the tests do most; a transaction for each."""

    def __init__(self, database: Database, clock: MovableClock, actor: Actor) -> None:
        self.database = database
        self.clock = clock
        self.actor = actor
        self._ids = count(1000)

    def new_id(self) -> int:
        return next(self._ids)

    async def open(self, *accounts: Account) -> None:
        async with self.database.begin(self.actor) as tx:
            results = await ledger.open_accounts(tx, accounts)
        assert all(result.status.succeeded for result in results), results

    async def post(self, *transfers: Transfer) -> list[TransferStatus]:
        return [result.status for result in await self.results(*transfers)]

    async def results(self, *transfers: Transfer) -> list[Result]:
        async with self.database.begin(self.actor) as tx:
            return await ledger.post(tx, transfers)

    async def move(self, debit: int, credit: int, amount: int) -> int:
        transfer_id = self.new_id()
        assert await self.post(transfer(transfer_id, debit, credit, amount)) == [TransferStatus.CREATED]
        return transfer_id

    async def balance(self, account_id: int, at: datetime | None = None) -> tuple[int, int, int, int]:
        async with self.database.begin(self.actor) as tx:
            found = await ledger.balance(tx, account_id, at)
        return found.debits_pending, found.debits_posted, found.credits_pending, found.credits_posted

    async def findings(self) -> list[str]:
        async with self.database.begin(self.actor) as tx:
            return [str(finding) for finding in await ledger.verify(tx)]


def transfer(transfer_id: int, debit: int, credit: int, amount: int, flags: int = 0, **fields: int) -> Transfer:
    """A transfer on ledger 1."""
    return Transfer(transfer_id, debit, credit, amount, ledger=1, code=1, flags=flags, **fields)


def account(account_id: int, flags: int = 0, **fields: int) -> Account:
    """An account on ledger 1."""
    return Account(id=account_id, ledger=1, code=10, flags=flags, **fields)


SETTLEMENT, WALLET, LOAN, SHOP = 1, 2, 3, 4


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock()


@pytest.fixture
async def book(database: Database, clock: MovableClock) -> Book:
    """A book with four accounts: two free ones, one that may not be overdrawn on each side."""
    database.clock = clock
    opened = Book(database, clock, partner())
    await opened.open(
        account(SETTLEMENT),
        account(WALLET, AccountFlags.DEBITS_MUST_NOT_EXCEED_CREDITS),
        account(LOAN, AccountFlags.CREDITS_MUST_NOT_EXCEED_DEBITS),
        account(SHOP),
    )
    clock.move(0.001)
    return opened
