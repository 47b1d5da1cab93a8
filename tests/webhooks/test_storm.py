"""A seeded storm: flaky receivers, changing endpoints, dying workers, a clock that jumps. Nothing may get lost."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random

import pytest

from shanraq import webhooks
from shanraq.core.actor import SYSTEM
from shanraq.core.errors import ShanraqError
from shanraq.webhooks import Courier, Endpoint
from tests.webhooks.conftest import Desk, MovingClock
from tests.webhooks.receiver import Answer

ANSWERS = (
    *[Answer(200)] * 6,
    Answer(204, after_seconds=0.02),
    Answer(500),
    Answer(404),
    Answer(302),
    Answer(drop=True),
    Answer(429, {"Retry-After": "3"}),
    Answer(500, {"webhook-delivery": "abort-message"}),
)
TYPES = ("payment.completed", "payment.failed", "account.created", "fraud.detected")


async def storm(desk: Desk, clock: MovingClock, seed: int, steps: int) -> None:
    """Do `steps` random things with two workers running, then let everything settle."""
    dice = random.Random(seed)
    endpoints: list[Endpoint] = []
    workers: list[asyncio.Task[None]] = []

    async def work() -> None:
        courier = Courier(desk.db, desk.client, desk.keyring, lane_limit=4, batch_limit=8)
        while True:
            await courier.round()
            await asyncio.sleep(0.005)

    for _ in range(steps):
        desk.receiver.default = dice.choice(ANSWERS)
        while len(workers) < 2:
            workers.append(asyncio.create_task(work()))
        what = dice.random()
        with contextlib.suppress(ShanraqError):
            if what < 0.08 and len(endpoints) < 8:
                wanted = dice.choice((("*",), ("payment.*",), ("account.created", "payment.failed")))
                endpoints.append(
                    (await desk.subscribe(*wanted, retry_schedule=(0, 1, 2), include_sensitive=dice.random() < 0.5))[0]
                )
            elif what < 0.55:
                await desk.emit(dice.choice(TYPES), count=dice.randint(1, 5))
            elif what < 0.75:
                await desk.sequence()
            elif what < 0.80:
                clock.move(seconds=dice.choice((1, 5, 40)))
            elif what < 0.83:
                dice.choice(workers).cancel()
            elif endpoints:
                await change(desk, dice, dice.choice(endpoints))
        for worker in [worker for worker in workers if worker.done()]:
            workers.remove(worker)
        await asyncio.sleep(dice.choice((0, 0, 0.005)))
    for worker in workers:
        worker.cancel()
    ends = await asyncio.gather(*workers, return_exceptions=True)
    assert all(isinstance(end, asyncio.CancelledError) for end in ends), ends


async def change(desk: Desk, dice: random.Random, endpoint: Endpoint) -> None:
    """Change one endpoint, or send one of its events again."""
    what = dice.random()
    if what < 0.25:
        await webhooks.pause(desk.db, desk.actor, endpoint.id)
    elif what < 0.6:
        await webhooks.resume(desk.db, desk.actor, endpoint.id)
    elif what < 0.65:
        await webhooks.delete_endpoint(desk.db, desk.actor, endpoint.id)
    elif what < 0.75:
        await webhooks.rotate_secret(desk.db, desk.actor, endpoint.id, keyring=desk.keyring)
    elif what < 0.8:
        await webhooks.send_test(desk.db, desk.actor, endpoint.id)
    elif what < 0.82:
        desk.receiver.answer(410)
    else:
        async with desk.db.begin(SYSTEM) as tx:
            event_id = await tx.value(
                "SELECT event_id FROM event_outbox WHERE seq IS NOT NULL ORDER BY seq DESC OFFSET $1 LIMIT 1",
                dice.randint(0, 30),
            )
        if event_id:
            await webhooks.redeliver(desk.db, desk.actor, event_id, endpoint.id)


async def settle(desk: Desk, clock: MovingClock) -> None:
    """Let the receivers be well, everything be due and every queue drain."""
    desk.receiver.default = Answer(200)
    desk.receiver.answer(*[Answer(200)] * 0)
    async with desk.db.begin(SYSTEM) as tx:
        paused = await tx.rows("SELECT id FROM webhook_endpoint WHERE state = 'paused'")
    for row in paused:
        await webhooks.resume(desk.db, desk.actor, row["id"])
    for _ in range(40):
        await desk.sequence()
        clock.move(minutes=16)
        while (await desk.deliver()).attempts:
            pass
        async with desk.db.begin(SYSTEM) as tx:
            left = await tx.value("SELECT count(*) FROM webhook_delivery")
            if not left and not await tx.value("SELECT count(*) FROM event_outbox WHERE seq IS NULL"):
                return
    pytest.fail(f"{left} deliveries never ended")


async def check(desk: Desk) -> None:
    assert await webhooks.sweep(desk.db) == []
    assert await desk.findings() == []
    async with desk.db.begin(SYSTEM) as tx:
        succeeded = await tx.rows("SELECT event_id, endpoint_id FROM webhook_result WHERE state = 'succeeded'")
        held = await tx.value("SELECT count(*) FROM webhook_lane WHERE due_at IS NOT NULL")
    received = set(desk.receiver.ids)
    assert succeeded
    assert all(webhooks.model.message_id(row["event_id"], row["endpoint_id"]) in received for row in succeeded)
    assert held == 0


@pytest.mark.parametrize("seed", [1, 2])
async def test_nothing_gets_lost_in_a_storm(desk: Desk, clock: MovingClock, seed: int) -> None:
    await storm(desk, clock, seed, steps=200)
    assert await desk.findings() == []
    await settle(desk, clock)

    await check(desk)


@pytest.mark.drill
@pytest.mark.timeout(1800)
@pytest.mark.skipif(os.environ.get("SHANRAQ_DRILL") != "full", reason="set SHANRAQ_DRILL=full")
@pytest.mark.parametrize("seed", range(100, 112))
async def test_nothing_gets_lost_in_a_long_storm(desk: Desk, clock: MovingClock, seed: int) -> None:
    await storm(desk, clock, seed, steps=3_000)
    assert await desk.findings() == []
    await settle(desk, clock)

    await check(desk)
