from __future__ import annotations

import asyncio
import json
import random

import pytest

from shanraq import events
from shanraq.core.actor import SYSTEM, Actor, ActorKind, Environment
from shanraq.core.db import Database
from shanraq.events import Event, Numbered


def partner(number: int, environment: Environment = Environment.SANDBOX) -> Actor:
    return Actor(
        kind=ActorKind.PARTNER, id="key_1", partner_id=f"prt_{number}", environment=environment, book=number * 2,
        request_id=f"req_{number}",
    )  # fmt: skip


async def stamp_all(database: Database, limit: int = 1000) -> list[Numbered]:
    stamped: list[Numbered] = []
    while True:
        async with database.begin(SYSTEM) as tx:
            batch = await events.stamp(tx, limit=limit)
        if not batch:
            return stamped
        stamped += batch


async def test_an_event_exists_if_and_only_if_its_transaction_commits(database: Database) -> None:
    async with database.begin(partner(1)) as tx:
        events.emit(tx, Event("payment.initiated", "payment/pay_1", {"n": 1}))
    with pytest.raises(RuntimeError):
        async with database.begin(partner(1)) as tx:
            events.emit(tx, Event("payment.failed", "payment/pay_2", {"n": 2}))
            raise RuntimeError

    stamped = await stamp_all(database)

    assert [event.type for event in stamped] == ["payment.initiated"]
    async with database.begin(SYSTEM) as tx:
        (event,) = (await events.load(tx, [stamped[0].seq])).values()
    assert event.request_id == "req_1"


async def test_an_event_outside_the_catalogue_is_a_mistake_of_ours(database: Database) -> None:
    async with database.begin(partner(1)) as tx:
        with pytest.raises(AssertionError):
            events.emit(tx, Event("payment.invented", "payment/pay_1", {}))


async def test_sequences_have_no_gap_and_no_event_is_lost_under_concurrent_writers(database: Database) -> None:
    seed = random.Random(7)
    done = asyncio.Event()
    stamped: list[Numbered] = []

    async def write(number: int) -> None:
        for n in range(25):
            try:
                async with database.begin(partner(number)) as tx:
                    for _ in range(seed.randint(1, 3)):
                        events.emit(tx, Event("account.updated", f"account/{number}/{n}", {"n": n}))
                    await asyncio.sleep(seed.random() / 200)
                    if seed.random() < 0.1:
                        raise RuntimeError
            except RuntimeError:
                continue

    async def sequence() -> None:
        while not done.is_set():
            async with database.begin(SYSTEM) as tx:
                stamped.extend(await events.stamp(tx, limit=seed.randint(1, 20)))
            await asyncio.sleep(0.001)

    stampers = [asyncio.create_task(sequence()) for _ in range(2)]
    await asyncio.gather(*(write(1 + n % 3) for n in range(6)))
    done.set()
    await asyncio.gather(*stampers)
    stamped += await stamp_all(database)

    async with database.begin(SYSTEM) as tx:
        written = await tx.value("SELECT count(*) FROM event_outbox")
    assert len(stamped) == written > 100
    assert len({event.seq for event in stamped}) == written
    for number in (1, 2, 3):
        own = sorted(event.partner_seq for event in stamped if event.partner_id == f"prt_{number}")
        assert own == list(range(1, len(own) + 1))


async def test_the_feed_goes_on_after_a_sequence_and_filters_types(database: Database) -> None:
    async with database.begin(partner(1)) as tx:
        for n in range(3):
            events.emit(tx, Event("account.created", f"account/{n}", {"n": n}))
            events.emit(tx, Event("account.updated", f"account/{n}", {"n": n}))
    async with database.begin(partner(2)) as tx:
        events.emit(tx, Event("account.created", "account/9", {}))
    await stamp_all(database)

    async with database.begin(partner(1)) as tx:
        after = await events.read(tx, after=2, limit=2)
        created = await events.read(tx, after=0, types=["account.created"])
        other = await events.find(tx, after[0].event_id)
    async with database.begin(partner(2)) as tx:
        hidden = await events.find(tx, after[0].event_id)

    assert [event.partner_seq for event in after] == [3, 4]
    assert [event.subject for event in created] == ["account/0", "account/1", "account/2"]
    assert other == after[0]
    assert hidden is None


async def test_the_envelope_is_the_same_bytes_every_time(database: Database) -> None:
    async with database.begin(partner(1, Environment.LIVE)) as tx:
        events.emit(tx, Event("account.created", "account/acc_1", {"id": "acc_1", "amount": 5}))
    (numbered,) = await stamp_all(database)
    async with database.begin(SYSTEM) as tx:
        stamped = (await events.load(tx, [numbered.seq]))[numbered.seq]

    body = events.envelope(stamped)

    assert body == events.envelope(stamped)
    read = json.loads(body)
    assert list(read)[:3] == ["id", "type", "timestamp"]
    assert read["data"] == {"id": "acc_1", "amount": 5}
    assert (read["livemode"], read["partner"], read["sequence"]) == (True, "prt_1", "0" * 19 + "1")
    assert read["timestamp"].endswith("Z")


@pytest.mark.parametrize("name", events.CATALOG)
def test_every_type_of_the_catalogue_has_a_valid_name_and_a_meaning(name: str) -> None:
    assert events.valid_name(name)
    assert events.CATALOG[name].meaning.endswith(".")
