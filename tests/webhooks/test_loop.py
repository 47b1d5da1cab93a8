"""The delivery loop: it wakes early, survives the database's failures and ends cleanly."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import asyncpg
from prometheus_client import CollectorRegistry

from shanraq import payments, webhooks
from shanraq.core.actor import Environment
from shanraq.ops.worker import Worker
from tests.webhooks.conftest import Desk
from tests.webhooks.receiver import Answer


@asynccontextmanager
async def running(desk: Desk, **attributes: object) -> AsyncIterator[tuple[asyncio.Task[None], asyncio.Event]]:
    """Run the loop; stop it at the end."""
    stop = asyncio.Event()
    loop = asyncio.create_task(
        webhooks.run_deliveries(desk.db, desk.client, stop, keyring=desk.keyring, **attributes)  # type: ignore[arg-type]
    )
    try:
        yield loop, stop
    finally:
        stop.set()
        async with asyncio.timeout(10):
            await asyncio.gather(loop, return_exceptions=True)


async def arrived(desk: Desk, count: int) -> None:
    async with asyncio.timeout(10):
        while len(desk.receiver.received) < count:
            desk.receiver.arrived.clear()
            await desk.receiver.arrived.wait()


async def test_loop_delivers_what_comes_by_polling(desk: Desk) -> None:
    await desk.subscribe()

    async with running(desk):
        await desk.send(count=3)
        await arrived(desk, 3)

    assert await desk.findings() == []
    assert (await desk.deliver()).attempts == 0


async def test_loop_wakes_when_told(desk: Desk) -> None:
    await desk.subscribe()
    wake = asyncio.Event()

    async with running(desk, wake=wake):
        for number in range(1, 4):
            await desk.send()
            wake.set()
            await arrived(desk, number)

    assert len(set(desk.receiver.ids)) == 3


async def test_loop_ends_with_the_attempts_under_way_acknowledged(desk: Desk) -> None:
    endpoint, _ = await desk.subscribe()
    desk.receiver.default = Answer(after_seconds=0.3)
    (event_id,) = await desk.send()

    async with running(desk) as (loop, stop):
        await arrived(desk, 1)
        stop.set()
        await loop

    assert (await desk.delivery(event_id, endpoint)).attempts == 1
    assert (await desk.lane(endpoint))["lease_token"] is None


async def test_loop_that_is_cancelled_ends_at_once_and_loses_nothing(desk: Desk) -> None:
    endpoint, _ = await desk.subscribe()
    desk.receiver.answer(Answer(after_seconds=30))
    (event_id,) = await desk.send()

    async with running(desk) as (loop, _):
        await arrived(desk, 1)
        loop.cancel()
        await asyncio.gather(loop, return_exceptions=True)

    assert loop.cancelled()
    assert (await desk.delivery(event_id, endpoint)).state is webhooks.DeliveryState.PENDING


async def test_slow_endpoint_does_not_hold_up_another(desk: Desk) -> None:
    await desk.subscribe("account.created")
    await desk.subscribe("payment.completed")
    desk.receiver.answer(Answer(after_seconds=30))
    await desk.send("account.created")

    async with running(desk) as (loop, _):
        await arrived(desk, 1)
        await desk.send("payment.completed", count=3)
        await arrived(desk, 4)
        loop.cancel()

    assert len(desk.receiver.received) == 4


async def test_loop_goes_on_after_the_database_was_away(desk: Desk, owner_dsn: str) -> None:
    await desk.subscribe()

    async with running(desk):
        await desk.send()
        await arrived(desk, 1)
        owner = await asyncpg.connect(owner_dsn)
        await owner.execute(
            """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                WHERE datname = current_database() AND pid <> pg_backend_pid()"""
        )
        await owner.close()
        while True:
            try:
                await desk.send()
                break
            except Exception:
                await asyncio.sleep(0.05)
        await arrived(desk, 2)

    assert len(set(desk.receiver.ids)) == 2


async def test_loop_tells_who_acknowledged(desk: Desk) -> None:
    await desk.subscribe()
    told: list[Mapping[tuple[str, Environment], str]] = []

    async def remember(owners: Mapping[tuple[str, Environment], str]) -> None:
        told.append(owners)

    async with running(desk, acknowledged=remember):
        await desk.send()
        await arrived(desk, 1)

    assert told == [{("prt_1", Environment.SANDBOX): desk.receiver.ids[0]}]


async def test_failure_of_who_is_told_stops_nothing_and_is_made_up_for(desk: Desk) -> None:
    await desk.subscribe()
    told: list[Mapping[tuple[str, Environment], str]] = []

    async def fail_once(owners: Mapping[tuple[str, Environment], str]) -> None:
        told.append(owners)
        if len(told) == 1:
            raise RuntimeError("deaf")

    async with running(desk, acknowledged=fail_once):
        await desk.send()
        await arrived(desk, 1)
        while not told:
            await asyncio.sleep(0.01)
        await desk.send()
        await arrived(desk, 2)

    assert len(set(desk.receiver.ids)) == 2
    assert [list(owners) for owners in told] == [[("prt_1", Environment.SANDBOX)]] * 2


async def test_a_worker_that_is_stopped_lets_its_deliveries_end(desk: Desk) -> None:
    await desk.subscribe()
    answered = asyncio.Event()
    desk.receiver.answer(Answer(once=answered))
    acquiring = payments.Acquiring(desk.db, desk.keyring, payments.Gateways({}))
    courier = webhooks.Courier(desk.db, desk.client, desk.keyring)
    working = asyncio.create_task(Worker(desk.db, acquiring, courier, CollectorRegistry()).run())
    await desk.emit()
    await arrived(desk, 1)

    working.cancel()
    asyncio.get_running_loop().call_later(0.3, answered.set)
    await asyncio.wait([working], timeout=10)

    assert working.cancelled()
    async with desk.db.begin(desk.actor) as tx:
        assert await tx.value("SELECT array_agg(status_code) FROM webhook_attempt") == [200]
    assert await desk.findings() == []
