"""A large report (100 000 lines in the full drill) is settled to the minor unit, in little more memory than it takes itself."""

from __future__ import annotations

import os
import resource
import time
from datetime import timedelta

import asyncpg
import pytest

from shanraq import settlement
from shanraq.accounts import SystemAccount
from shanraq.core.db import Database
from shanraq.core.money import Money
from shanraq.settlement import LineKind
from tests.settlement.acquirer import line
from tests.settlement.conftest import MORNING, SANDBOX, YESTERDAY, Desk, operator

LINES = 100_000 if os.environ.get("SHANRAQ_DRILL") == "full" else 5_000


@pytest.mark.drill
@pytest.mark.timeout(1800)
async def test_a_large_report_is_settled_in_bounded_memory(desk: Desk, database: Database, owner_dsn: str) -> None:
    payment, capture = await desk.captured(1_000)
    owner = await asyncpg.connect(owner_dsn)
    # The payments are copied in the database: making them one by one is what other drills measure.
    await owner.execute(
        """CREATE TEMP TABLE n AS SELECT g, 'pay_' || lpad(g::text, 26, '0') AS pay, 'op_' || lpad(g::text, 26, '0') AS op
                                    FROM generate_series(1, $1::int) g""".replace("$1", str(LINES - 1))
    )
    for table, key in (("payment", "n.pay"), ("payment_operation", "n.op")):
        columns = [
            row["column_name"]
            for row in await owner.fetch(
                "SELECT column_name FROM information_schema.columns WHERE table_name = $1 ORDER BY ordinal_position",
                table,
            )
        ]
        taken = {"id": key, "payment_id": "n.pay", "gateway_id": "'gw-' || n.g", "once_key": "'k-' || n.g"}
        values = ", ".join(taken.get(name, f"t.{name}") for name in columns)
        which = payment.id if table == "payment" else capture.id
        await owner.execute(
            f"INSERT INTO {table} ({', '.join(columns)}) SELECT {values} FROM {table} t, n WHERE t.id = '{which}'"
        )
    await owner.execute("ANALYZE")
    names = [(payment.id, capture.id)] + [
        (row["pay"], row["op"]) for row in await owner.fetch("SELECT pay, op FROM n ORDER BY g")
    ]
    await owner.close()
    for number, (payment_id, operation_id) in enumerate(names):
        desk.acquirer.add(
            YESTERDAY,
            line(
                LineKind.CAPTURE,
                Money.of(1_000, "KZT"),
                line_id=f"line-{number}",
                day=YESTERDAY,
                fees=(12, 2, 3),
                keys={"reference": payment_id, "operation_id": operation_id},
            ),
        )
    desk.at(MORNING)
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()

    await desk.fetch()

    took, grown = time.monotonic() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(f"{LINES} lines: {took:.1f} s, {grown / 1024:.0f} MiB more than the report itself")  # noqa: T201
    figures = await settlement.day_figures(database, operator(), SANDBOX, "fake", YESTERDAY)
    assert figures.settled
    assert figures.totals[0].net == LINES * 983
    assert await desk.held(SystemAccount.SETTLEMENT) == LINES * 983
    assert await desk.held(SystemAccount.INTERCHANGE) == LINES * 12
    assert grown < 150 * 1024
    desk.at(MORNING + timedelta(hours=1))
    began = time.monotonic()
    again = await desk.fetch()
    print(f"read again: {time.monotonic() - began:.1f} s")  # noqa: T201
    assert again.revision == 1
