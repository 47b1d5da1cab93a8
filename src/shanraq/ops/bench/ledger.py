"""Measure the ledger against pgbench, on the same server, in the same run, taking turns.

The yardstick is TPC-B as pgbench runs it: 16 clients, prepared statements, one transaction for each transfer. Ours posts
batches through `core.db`, each its own transaction, durable if the server is; making the transfers is part of the time.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import time
from collections.abc import Callable
from dataclasses import replace
from enum import Enum
from pathlib import Path
from random import Random
from statistics import median
from typing import Any, Final, NamedTuple

import asyncpg

from shanraq import ledger
from shanraq.core.actor import SYSTEM, Actor
from shanraq.core.db import Database
from shanraq.core.ids import new_number
from shanraq.ledger import Account, AccountFlags, Transfer
from shanraq.ops.bench.pgbench import CLIENTS, clear, prepare, transactions_per_second

_ACCOUNTS: Final = 10_000
_FUNDS: Final = 10**12
# Spreads the load; the same in every run.
_dice: Final = Random(1)  # noqa: S311

Report = Callable[[str], None]


class Load(Enum):
    """Which accounts the clients of a case move money between."""

    SHARED = "shared accounts"
    APART = "accounts of their own"
    HOT = "one hot account"


class Case(NamedTuple):
    """One way to post: transfers in a batch, clients side by side, on which accounts."""

    batch: int
    clients: int
    load: Load = Load.SHARED

    @property
    def name(self) -> str:
        """Say what the case is."""
        return f"batch {self.batch}, {self.clients} client{'s' if self.clients > 1 else ''}, {self.load.value}"


CASES: Final = (
    Case(1, 16),
    Case(10, 8),
    Case(100, 2),
    Case(1000, 1),
    Case(1000, 2, Load.APART),
    Case(1000, 1, Load.HOT),
)


async def bench_ledger(
    owner_dsn: str,
    app_dsn: str,
    pgbench: Path,
    *,
    seconds: float = 4.0,
    rounds: int = 3,
    scale: int = 10,
    cases: tuple[Case, ...] = CASES,
    report: Report = lambda _: None,
) -> dict[str, Any]:
    """Return the figures of `rounds` alternating runs of `seconds` each; medians, and how often pgbench each case is.

    pgbench's tables are made in the owner's database and dropped at the end; ours stay, in a book of their own. Every
    entry of that book is verified in the end. Raises PgbenchError, DatabaseUnavailableError.
    """
    db = await Database.connect(app_dsn, max_size=max(case.clients for case in cases) + 1)
    try:
        figures = await _about(owner_dsn)
        actor = replace(SYSTEM, book=secrets.randbits(61) | 1 << 61)
        await _open_accounts(db, actor)
        await prepare(pgbench, owner_dsn, scale)
        yardstick: list[float] = []
        ours: dict[str, list[float]] = {case.name: [] for case in cases}
        for turn in range(1, rounds + 1):
            report(f"round {turn} of {rounds}: pgbench")
            yardstick.append(await transactions_per_second(pgbench, owner_dsn, seconds))
            for case in cases:
                report(f"round {turn} of {rounds}: {case.name}")
                ours[case.name].append(await _transfers_per_second(db, actor, case, seconds))
        await clear(pgbench, owner_dsn)
        report("verifying every entry")
        async with db.begin(actor) as tx:
            findings = await ledger.verify(tx)
    finally:
        await db.close()
    base = median(yardstick)
    return {
        **figures,
        "pgbench": {"clients": CLIENTS, "transactions_per_second": round(base), "runs": _rounded(yardstick)},
        "ledger": {
            case.name: {
                "batch": case.batch,
                "clients": case.clients,
                "transfers_per_second": round(median(ours[case.name])),
                "times_pgbench": round(median(ours[case.name]) / base, 2),
                "runs": _rounded(ours[case.name]),
            }
            for case in cases
        },
        "findings": [str(finding) for finding in findings],
    }


def render(figures: dict[str, Any]) -> str:
    """Write the figures as lines for people."""
    durable = "durable" if figures["durable"] else "NOT durable"
    base = figures["pgbench"]["transactions_per_second"]
    lines = [
        f"PostgreSQL {figures['server']}, {durable}, {figures['processors']} processors",
        f"{'pgbench TPC-B, 16 clients':50} {base:>8} transactions/s",
    ]
    for name, case in figures["ledger"].items():
        rate, times = case["transfers_per_second"], case["times_pgbench"]
        lines.append(f"{name:50} {rate:>8} transfers/s {times:>6} x pgbench")
    lines.append(f"verification: {len(figures['findings']) or 'no'} findings")
    return "\n".join(lines)


async def _about(owner_dsn: str) -> dict[str, Any]:
    connection = await asyncpg.connect(owner_dsn)
    try:
        row = await connection.fetchrow(
            """
            SELECT current_setting('server_version'),
                   current_setting('fsync') = 'on' AND current_setting('synchronous_commit') <> 'off'
            """
        )
    finally:
        await connection.close()
    assert row is not None
    return {"server": row[0], "durable": row[1], "processors": os.cpu_count()}


async def _open_accounts(db: Database, actor: Actor) -> None:
    """Open a source and accounts with money, nine of ten of which may not be overdrawn."""
    limited = AccountFlags.DEBITS_MUST_NOT_EXCEED_CREDITS.value
    for first in range(1, _ACCOUNTS + 1, 1000):
        numbers = range(first, first + 1000)
        async with db.begin(actor) as tx:
            if first == 1:
                await ledger.open_accounts(tx, [Account(id=_ACCOUNTS + 1, ledger=1, code=1)])
            await ledger.open_accounts(
                tx, [Account(id=n, ledger=1, code=1, flags=limited if n % 10 else 0) for n in numbers]
            )
            await ledger.post(tx, [Transfer(new_number(), _ACCOUNTS + 1, n, _FUNDS, ledger=1, code=1) for n in numbers])


async def _transfers_per_second(db: Database, actor: Actor, case: Case, seconds: float) -> float:
    done = 0
    began = time.perf_counter()

    async def post_batches(client: int) -> None:
        nonlocal done
        while time.perf_counter() - began < seconds:
            batch = [
                Transfer(new_number(), debit, credit, 1, ledger=1, code=1) for debit, credit in _pairs(case, client)
            ]
            results = await db.run(actor, lambda tx, batch=batch: ledger.post(tx, batch))  # type: ignore[misc]
            assert all(result.status.succeeded for result in results)
            done += len(results)

    async with asyncio.TaskGroup() as group:
        for client in range(case.clients):
            group.create_task(post_batches(client))
    return done / (time.perf_counter() - began)


def _pairs(case: Case, client: int) -> list[tuple[int, int]]:
    """Return random pairs of different accounts, uniform over those of the client."""
    if case.load is Load.HOT:
        return [(debit, 1) for debit in _dice.choices(range(2, _ACCOUNTS + 1), k=case.batch)]
    size = _ACCOUNTS // case.clients if case.load is Load.APART else _ACCOUNTS
    first = 1 + client * size if case.load is Load.APART else 1
    debits = _dice.choices(range(size), k=case.batch)
    distances = _dice.choices(range(1, size), k=case.batch)
    return [(first + a, first + (a + b) % size) for a, b in zip(debits, distances, strict=True)]


def _rounded(values: list[float]) -> list[int]:
    return [round(value) for value in values]
