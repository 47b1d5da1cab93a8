"""The measurement itself: it runs, tells everything a reader needs, and leaves a ledger that adds up."""

from __future__ import annotations

import shutil
from pathlib import Path

import asyncpg
import pytest

from shanraq.ops.bench.ledger import Case, Load, bench_ledger, render
from shanraq.ops.bench.pgbench import PgbenchError


async def test_figures_come_with_their_yardstick_and_a_verified_ledger(owner_dsn: str) -> None:
    pgbench = shutil.which("pgbench")
    if pgbench is None:
        pytest.skip("pgbench is not installed")
    cases = (Case(10, 2), Case(10, 2, Load.APART), Case(10, 1, Load.HOT))

    figures = await bench_ledger(owner_dsn, owner_dsn, Path(pgbench), seconds=0.2, rounds=1, scale=1, cases=cases)

    assert figures["findings"] == []
    assert figures["durable"] is False
    assert list(figures["ledger"]) == [case.name for case in cases]
    assert all(case["transfers_per_second"] > 0 for case in figures["ledger"].values())
    assert "NOT durable" in render(figures)
    connection = await asyncpg.connect(owner_dsn)
    assert await connection.fetchval("SELECT to_regclass('pgbench_accounts')") is None
    await connection.close()


async def test_a_pgbench_that_fails_is_named(owner_dsn: str) -> None:
    with pytest.raises(PgbenchError):
        await bench_ledger(owner_dsn, owner_dsn, Path("/bin/false"), seconds=0.2, rounds=1, cases=(Case(1, 1),))
