"""Kill what works at a file, at every stage: nothing is lost, nothing is doubled, and the next process goes on."""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from shanraq import credit_transfers, messages, payment_files
from shanraq.core.actor import SYSTEM
from shanraq.core.crypto import Keyring
from shanraq.core.db import Database, utc_now
from tests.payment_files.files import Office, order, uploader

FULL = os.environ.get("SHANRAQ_DRILL") == "full"
TRANSACTIONS = 100_000 if FULL else 5000
KILLS_WHILE_LOADING = 20 if FULL else 3


@asynccontextmanager
async def process(what: str, dsn: str, keys: Path) -> AsyncIterator[subprocess.Popen[bytes]]:
    """Run something until the block ends; then it is killed with signal 9."""
    started = subprocess.Popen([sys.executable, "-m", "tests.payment_files.process", what, dsn, str(keys)])  # noqa: ASYNC220
    try:
        yield started
    finally:
        started.kill()
        started.wait(30)


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    for _ in range(6000):
        if await condition():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("this did not happen within a minute")


async def row(office: Office) -> tuple[str, int, str]:
    async with office.db.begin(SYSTEM) as tx:
        found = await tx.row("SELECT status, loaded, taken_by FROM payment_file")
    assert found is not None
    return found["status"], found["loaded"], found["taken_by"]


@pytest.mark.drill
@pytest.mark.timeout(1800)
async def test_killed_at_any_stage_a_file_is_loaded_once(database: Database, owner_dsn: str, tmp_path: Path) -> None:
    dice = random.Random(20261126)
    keys = tmp_path / "master.keys"
    office = Office(database, Keyring.load_or_create(keys), uploader())
    given = await office.upload(order(TRANSACTIONS))

    async def validating() -> bool:
        status, _, by = await row(office)
        return status == "received" and by != ""

    async with process("work", owner_dsn, keys):
        await until(validating)
        await asyncio.sleep(dice.uniform(0, 0.1))
    seen = []
    for number in range(KILLS_WHILE_LOADING):
        goal = TRANSACTIONS * number // (KILLS_WHILE_LOADING + 1)

        async def loading(goal: int = goal) -> bool:
            return (await row(office))[1] > goal

        async with process("work", owner_dsn, keys):
            await until(loading)
            await asyncio.sleep(dice.uniform(0, 0.3))
        seen.append((await row(office))[:2])
    async with process("work", owner_dsn, keys):

        async def looking() -> bool:
            return (await office.find(given.value.id)).status == "processing"

        await until(looking)
    while await credit_transfers.execute(credit_transfers.Interbank(office.db, office.keyring)):
        pass
    async with process("work", owner_dsn, keys):

        async def completed() -> bool:
            return (await office.find(given.value.id)).status == "completed"

        await until(completed)

    assert [status for status, _ in seen[:-1]] == ["loading"] * (KILLS_WHILE_LOADING - 1)
    done = await office.find(given.value.id)
    assert (done.transactions, done.progress.loaded) == (TRANSACTIONS, TRANSACTIONS)
    assert done.progress.by_status == {"rejected": TRANSACTIONS}
    async with office.db.begin(SYSTEM) as tx:
        found = await tx.row(
            """SELECT count(*) AS n, min(position) AS first, max(position) AS last, count(DISTINCT end_to_end_id) AS ids,
                      count(DISTINCT uetr) AS uetrs FROM credit_transfer"""
        )
    assert found is not None
    assert tuple(found) == (TRANSACTIONS, 1, TRANSACTIONS, TRANSACTIONS, TRANSACTIONS)
    events = [name for name in await office.events() if name.startswith("payment_file.")]
    assert events == ["payment_file.accepted", "payment_file.completed"]
    async with office.db.begin(office.actor) as tx:
        assert len(await messages.related(tx, given.value.id)) == 1


async def test_what_a_killed_upload_left_is_swept_up(database: Database, owner_dsn: str, tmp_path: Path) -> None:
    keys = tmp_path / "master.keys"
    office = Office(database, Keyring.load_or_create(keys), uploader())
    async with process("upload", owner_dsn, keys):

        async def begun() -> bool:
            return await office.count("payment_file_piece") > 0

        await until(begun)
    given = await office.upload(order(3))
    left = await office.count("payment_file_piece")

    early = await payment_files.sweep(database)
    tomorrow = await Database.connect(owner_dsn, clock=lambda: utc_now() + timedelta(hours=25))
    swept = await payment_files.sweep(tomorrow)
    await tomorrow.close()

    assert (early, swept, await office.count("payment_file_piece")) == (0, left - 1, 1)
    assert (await office.loaded(order(3))).id == given.value.id
