"""What happens when two do it at once, or one dies in between."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import timedelta

import asyncpg

from shanraq import events, webhooks
from shanraq.core.actor import SYSTEM
from shanraq.core.db import Database, Tx
from shanraq.webhooks import Courier, DeliveryState, store
from shanraq.webhooks.outcome import Lane, Pulse
from tests.webhooks.conftest import Desk, MovingClock
from tests.webhooks.receiver import Answer

LEASE = timedelta(seconds=15)
PAST_THE_LEASE = 31.0


async def test_worker_that_dies_before_the_answer_is_followed_by_another_with_the_same_id(
    desk: Desk, clock: MovingClock
) -> None:
    endpoint, _ = await desk.subscribe()
    (event_id,) = await desk.send()
    desk.receiver.answer(Answer(after_seconds=30))
    dying = asyncio.create_task(desk.deliver())
    await desk.receiver.arrived.wait()

    dying.cancel()
    await asyncio.gather(dying, return_exceptions=True)
    leased = await desk.deliver()
    clock.move(seconds=PAST_THE_LEASE)
    after = await desk.deliver()

    assert (leased.attempts, after.succeeded) == (0, 1)
    assert len(desk.receiver.ids) == 2
    assert len(set(desk.receiver.ids)) == 1
    assert (await desk.delivery(event_id, endpoint)).attempts == 1
    assert await desk.findings() == []


async def test_worker_killed_between_the_answer_and_the_acknowledge_loses_nothing(
    desk: Desk, clock: MovingClock, owner_dsn: str
) -> None:
    endpoint, _ = await desk.subscribe()
    (event_id,) = await desk.send()
    worker_db = await Database.connect(owner_dsn, clock=clock)
    owner = await asyncpg.connect(owner_dsn)
    locked = asyncio.Event()
    desk.receiver.answer(Answer(once=locked))
    dying = asyncio.create_task(webhooks.deliver(worker_db, desk.client, keyring=desk.keyring))
    await desk.receiver.arrived.wait()
    # Whoever acknowledges must wait for the lane, and is killed there: the receiver has answered.
    block = owner.transaction()
    await block.start()
    await owner.execute("SELECT FROM webhook_lane FOR UPDATE")
    locked.set()
    await _until_somebody_waits(owner_dsn)

    await owner.execute(
        """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE datname = current_database() AND wait_event_type = 'Lock'"""
    )
    dying.cancel()
    await asyncio.gather(dying, return_exceptions=True)
    await block.rollback()
    before = await desk.delivery(event_id, endpoint)
    clock.move(seconds=PAST_THE_LEASE)
    await desk.deliver()

    assert before.state is DeliveryState.PENDING
    assert len(desk.receiver.ids) == 2
    assert len(set(desk.receiver.ids)) == 1
    delivery = await desk.delivery(event_id, endpoint)
    assert (delivery.state, delivery.attempts) == (DeliveryState.SUCCEEDED, 1)
    assert await desk.findings() == []
    await owner.close()
    await worker_db.close()


async def test_two_workers_at_once_deliver_everything_once(desk: Desk) -> None:
    for _ in range(8):
        await desk.subscribe()
    await desk.send(count=40)
    couriers = [Courier(desk.db, desk.client, desk.keyring, lane_limit=3, batch_limit=7) for _ in range(2)]

    async def work(courier: Courier) -> int:
        done = 0
        while (attempts := (await courier.round()).attempts) or await _due(desk):
            done += attempts
        return done

    shares = await asyncio.gather(*(work(courier) for courier in couriers))

    assert sum(shares) == 8 * 40
    assert min(shares) > 0
    assert set(Counter(desk.receiver.ids).values()) == {1}
    assert await desk.findings() == []


async def test_late_acknowledge_of_a_worker_that_lost_its_lease_changes_nothing(desk: Desk, clock: MovingClock) -> None:
    endpoint, _ = await desk.subscribe()
    (event_id,) = await desk.send()
    overtaken = asyncio.Event()
    desk.receiver.answer(Answer(500, once=overtaken))
    slow = asyncio.create_task(desk.deliver())
    await desk.receiver.arrived.wait()
    clock.move(seconds=PAST_THE_LEASE)

    quick = await desk.deliver()
    overtaken.set()
    late = await slow

    assert (quick.succeeded, late.attempts) == (1, 0)
    delivery = await desk.delivery(event_id, endpoint)
    assert (delivery.state, delivery.attempts) == (DeliveryState.SUCCEEDED, 1)
    assert [attempt.error_code for attempt in await desk.attempts(endpoint)] == [None]
    assert await desk.findings() == []


async def test_lane_does_not_fall_asleep_over_what_is_enqueued_while_it_is_released(desk: Desk) -> None:
    endpoint, _ = await desk.subscribe()
    await desk.send()
    lane = await _claimed(desk)
    await desk.emit()
    enqueued, commit = asyncio.Event(), asyncio.Event()

    async def enqueue() -> None:
        async with desk.db.begin(SYSTEM) as tx:
            await webhooks.enqueue(tx, await events.stamp(tx))
            enqueued.set()
            await commit.wait()

    async def release() -> None:
        # Its statement cannot see the delivery that is not committed yet, and waits for the lane's row.
        async with desk.db.begin(SYSTEM) as tx:
            await tx.execute("DELETE FROM webhook_delivery WHERE event_seq = $1", lane.deliveries[0].event_seq)
            await store.release(tx, [(lane, Pulse(0, 0, None))])

    enqueuing = asyncio.create_task(enqueue())
    await enqueued.wait()
    releasing = asyncio.create_task(release())
    await _until_somebody_waits_in(desk)
    commit.set()
    await asyncio.gather(enqueuing, releasing)

    assert (await desk.lane(endpoint))["due_at"] is not None
    assert (await desk.deliver()).succeeded == 1


async def test_lane_wakes_for_what_is_enqueued_while_it_is_acknowledged(desk: Desk) -> None:
    await desk.subscribe()
    await desk.send()
    await desk.emit()
    enqueued, commit = asyncio.Event(), asyncio.Event()

    async def enqueue() -> None:
        async with desk.db.begin(SYSTEM) as tx:
            await webhooks.enqueue(tx, await events.stamp(tx))
            enqueued.set()
            await commit.wait()

    desk.receiver.answer(Answer(once=enqueued))
    delivering = asyncio.create_task(desk.deliver())
    await desk.receiver.arrived.wait()
    enqueuing = asyncio.create_task(enqueue())
    await enqueued.wait()
    await _until_somebody_waits_in(desk)
    commit.set()
    await asyncio.gather(enqueuing, delivering)

    assert (await desk.deliver()).succeeded == 1
    assert await desk.findings() == []


async def test_endpoint_deleted_while_events_are_fanned_out_cancels_them(desk: Desk) -> None:
    endpoint, _ = await desk.subscribe()
    (event_id,) = await desk.emit()

    async with desk.db.begin(SYSTEM) as tx:
        await webhooks.enqueue(tx, await events.stamp(tx))
        deleting = _elsewhere(webhooks.delete_endpoint(desk.db, desk.actor, endpoint.id))
        await _until_somebody_waits_for(tx)
    await deleting

    assert (await desk.delivery(event_id, endpoint)).state is DeliveryState.CANCELED
    assert await desk.findings() == []


async def test_events_fanned_out_while_an_endpoint_is_deleted_do_not_reach_it(desk: Desk) -> None:
    endpoint, _ = await desk.subscribe()
    await desk.emit()

    async with desk.db.begin(desk.actor) as tx:
        before = await store.load(tx, endpoint.id, lock=True)
        fanning_out = _elsewhere(desk.sequence())
        await _until_somebody_waits_for(tx)
        await tx.execute("UPDATE webhook_endpoint SET state = 'deleted' WHERE id = $1", before.id)
        await store.halt(tx, endpoint.id)
    await fanning_out

    assert (await desk.deliver()).attempts == 0
    assert await desk.findings() == []


async def test_answer_counts_though_the_endpoint_is_deleted_while_it_is_acknowledged(desk: Desk) -> None:
    endpoint, _ = await desk.subscribe()
    (event_id,) = await desk.send()
    canceled = asyncio.Event()
    desk.receiver.answer(Answer(once=canceled))
    delivering = asyncio.create_task(desk.deliver())
    await desk.receiver.arrived.wait()

    async with desk.db.begin(desk.actor) as tx:
        before = await store.load(tx, endpoint.id, lock=True)
        await tx.execute("UPDATE webhook_endpoint SET state = 'deleted' WHERE id = $1", before.id)
        await store.halt(tx, endpoint.id)
        await store.drop_queue(tx, endpoint.id, DeliveryState.CANCELED)
        canceled.set()
        await _until_somebody_waits_for(tx)
    await delivering

    delivery = await desk.delivery(event_id, endpoint)
    assert (delivery.state, delivery.attempts) == (DeliveryState.SUCCEEDED, 1)
    assert await desk.findings() == []


async def test_sweep_finds_a_sleeping_lane_and_wakes_it(desk: Desk) -> None:
    endpoint, _ = await desk.subscribe()
    await desk.send()
    healthy = await webhooks.sweep(desk.db)
    async with desk.db.begin(SYSTEM) as tx:
        await tx.execute("UPDATE webhook_lane SET due_at = NULL")
    asleep = (await desk.deliver()).attempts

    found = await webhooks.sweep(desk.db)

    assert (healthy, asleep, found) == ([], 0, [endpoint.id])
    assert (await desk.deliver()).succeeded == 1


def _elsewhere(work: object) -> asyncio.Task[object]:
    """Run a coroutine as if it were another request: outside of the present transaction."""
    import contextvars

    return asyncio.get_running_loop().create_task(work, context=contextvars.Context())  # type: ignore[arg-type]


async def _claimed(desk: Desk) -> Lane:
    async with desk.db.begin(SYSTEM) as tx:
        (lane,) = await store.claim(tx, lanes=10, deliveries=10, lease_margin=LEASE)
    return lane


async def _due(desk: Desk) -> bool:
    async with desk.db.begin(SYSTEM) as tx:
        return bool(await tx.value("SELECT EXISTS (SELECT FROM webhook_delivery)"))


_WAITING = """SELECT count(*) FROM pg_stat_activity
               WHERE datname = current_database() AND wait_event_type = 'Lock' AND state = 'active'"""


async def _until_somebody_waits(dsn: str) -> None:
    connection = await asyncpg.connect(dsn)
    async with asyncio.timeout(20):
        while not await connection.fetchval(_WAITING):
            await asyncio.sleep(0.01)
    await connection.close()


async def _until_somebody_waits_in(desk: Desk) -> None:
    async with desk.db.begin(SYSTEM) as tx:
        await _until_somebody_waits_for(tx)


async def _until_somebody_waits_for(tx: Tx) -> None:
    # A role that is not a member sees other sessions' rows without their wait events, but locks are public.
    async with asyncio.timeout(20):
        while not await tx.value("SELECT count(*) FROM pg_locks WHERE NOT granted"):
            await asyncio.sleep(0.01)
