from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta

import pytest

from shanraq import statements
from shanraq.core.crypto import Keyring
from shanraq.core.db import Database
from shanraq.standards import iso20022
from tests.money_world import Bank

MONDAY = datetime(2026, 11, 23, 6, 0, tzinfo=UTC)


class Days:
    """A clock that stands until it is set."""

    def __init__(self, now: datetime = MONDAY) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock(database: Database) -> Days:
    days = Days()
    database.clock = days
    return days


@pytest.fixture
def bank(database: Database, clock: Days) -> Bank:
    return Bank(database)


@pytest.fixture
def reader(database: Database) -> statements.Reader:
    return statements.Reader(database, Keyring.generate(), statements.Institution(bic="HSBKKZKX"))


async def joined(pieces: AsyncIterator[bytes]) -> bytes:
    return b"".join([piece async for piece in pieces])


async def test_a_statement(bank: Bank, clock: Days, reader: statements.Reader) -> None:
    account = await bank.account(1_000_00)
    other = await bank.account()
    await bank.move(account.id, other.id, 25_01)
    clock.now += timedelta(days=1)

    raw = await joined(await reader.statement(bank.actor, account.id, date(2026, 11, 23)))

    report = iso20022.validate(raw, as_of=clock.now)
    assert not report.findings, report.findings
