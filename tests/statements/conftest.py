"""A bank with a clock of its own, and who reads its reports."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from lxml import etree

from shanraq import statements
from shanraq.core.crypto import Keyring
from shanraq.core.db import Database
from tests.money_world import Bank

MONDAY = datetime(2026, 11, 23, 6, 0, tzinfo=UTC)
"""Eleven o'clock in Almaty."""
INSTITUTION = statements.Institution(bic="HSBKKZKX")


class StillClock:
    """A clock that stands until it is set."""

    def __init__(self, now: datetime = MONDAY) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock(database: Database) -> StillClock:
    still = StillClock()
    database.clock = still
    return still


@pytest.fixture
def bank(database: Database, clock: StillClock) -> Bank:
    return Bank(database)


@pytest.fixture(scope="session")
def keyring() -> Keyring:
    return Keyring.generate()


@pytest.fixture
def reader(database: Database, keyring: Keyring) -> statements.Reader:
    return statements.Reader(database, keyring, INSTITUTION)


async def joined(pieces: AsyncIterator[bytes]) -> bytes:
    """Return a report that comes in pieces as a whole."""
    return b"".join([piece async for piece in pieces])


def texts(raw: bytes, path: str) -> list[str]:
    """Return the texts at a path of a message, whatever its namespace: `Ntry/Amt`."""
    steps = "/".join(f"{{*}}{name}" for name in path.split("/"))
    return [found.text or "" for found in etree.fromstring(raw).iterfind(f".//{steps}")]


def balances(raw: bytes) -> dict[str, int]:
    """Return the balances of a report in minor units of two digits, by type."""
    found = {}
    for balance in etree.fromstring(raw).iterfind(".//{*}Bal"):
        minor = int((balance.findtext("{*}Amt") or "").replace(".", ""))
        sign = -1 if balance.findtext("{*}CdtDbtInd") == "DBIT" else 1
        found[balance.findtext("{*}Tp/{*}CdOrPrtry/{*}Cd") or ""] = sign * minor
    return found


def booked(raw: bytes) -> list[tuple[str, int]]:
    """Return the entries of a report: NtryRef and signed minor units of two digits."""
    found = []
    for entry in etree.fromstring(raw).iterfind(".//{*}Ntry"):
        minor = int((entry.findtext("{*}Amt") or "").replace(".", ""))
        sign = -1 if entry.findtext("{*}CdtDbtInd") == "DBIT" else 1
        found.append((entry.findtext("{*}NtryRef") or "", sign * minor))
    return found
