"""The proof of the books while the platform works."""

from __future__ import annotations

import asyncio

from shanraq import audit
from shanraq.core.db import Database
from shanraq.ops.verify import verify_database
from tests.money_world import Bank


async def test_what_is_written_meanwhile_is_no_finding(database: Database) -> None:
    bank = Bank(database)
    stop = False

    async def write() -> None:
        while not stop:
            async with database.begin(bank.actor) as tx:
                audit.record(tx, "test.written", "x", {})

    writing = [asyncio.create_task(write()) for _ in range(4)]
    try:
        found = [await verify_database(database) for _ in range(25)]
    finally:
        stop = True
        await asyncio.gather(*writing)

    assert found == [[]] * 25
