from __future__ import annotations

import asyncio
from datetime import timedelta

import msgspec
import pytest

from shanraq.core import once
from shanraq.core.actor import Actor, ActorKind, Environment
from shanraq.core.db import Database, Tx
from shanraq.core.errors import ConflictError, NotFoundError, RefusedError

PARTNER = Actor(
    kind=ActorKind.PARTNER, id="key_1", partner_id="prt_1", environment=Environment.SANDBOX, book=2, request_id="req_1"
)


class Body(msgspec.Struct):
    amount: int


class Made(msgspec.Struct, frozen=True):
    id: str


class TooPoorError(RefusedError, code="too_poor", status=422):
    """Not enough."""


class AbsentError(NotFoundError, code="absent", status=404):
    """Not there."""


class BusyError(ConflictError, code="busy", status=409):
    """Not now."""


def request(key: str = "k-1", amount: int = 1, operation: str = "test.make") -> once.Request:
    return once.Request.of(operation, key, Body(amount))


@pytest.mark.parametrize("key", [None, "", '""', "a b", "й", "x" * 256, "a\n"])
def test_refuses_a_missing_or_malformed_key(key: str | None) -> None:
    with pytest.raises((once.KeyMissingError, once.InvalidKeyError)) as refused:
        once.Request.of("test.make", key, None)

    assert refused.value.field == "Idempotency-Key"


def test_a_quoted_key_is_the_same_as_a_bare_one() -> None:
    assert once.Request.of("o", '"k-1"', None) == once.Request.of("o", "k-1", None)


def test_path_and_body_are_part_of_the_fingerprint() -> None:
    made = {once.Request.of("o", "k", Body(a), path).fingerprint for a in (1, 2) for path in ("pay_1", "pay_2")}

    assert len(made) == 4


async def test_the_same_request_gets_the_same_answer_and_works_once(database: Database) -> None:
    done = 0

    async def work(tx: Tx) -> Made:
        nonlocal done
        done += 1
        return Made(f"made_{done}")

    first = await once.perform(database, PARTNER, request(), Made, work)
    again = await once.perform(database, PARTNER, request(), Made, work)

    assert (first.value, first.replayed) == (Made("made_1"), False)
    assert (again.value, again.replayed) == (Made("made_1"), True)
    assert done == 1


async def test_many_at_once_work_once(database: Database) -> None:
    done = 0

    async def work(tx: Tx) -> Made:
        nonlocal done
        done += 1
        await tx.value("SELECT pg_sleep(0.02)")
        return Made(f"made_{done}")

    given = await asyncio.gather(*(once.perform(database, PARTNER, request(), Made, work) for _ in range(8)))

    assert done == 1
    assert {one.value.id for one in given} == {"made_1"}
    assert sum(not one.replayed for one in given) == 1


async def test_another_request_with_the_key_is_refused(database: Database) -> None:
    async def work(tx: Tx) -> Made:
        return Made("made")

    await once.perform(database, PARTNER, request(), Made, work)

    with pytest.raises(once.KeyReusedError):
        await once.perform(database, PARTNER, request(amount=2), Made, work)


async def test_keys_of_other_operations_environments_and_partners_are_other_keys(database: Database) -> None:
    async def work(tx: Tx) -> Made:
        return Made(f"{tx.actor.partner_id}/{tx.actor.environment}")

    actors = [
        PARTNER,
        Actor(kind=ActorKind.PARTNER, id="k", partner_id="prt_1", environment=Environment.LIVE, book=3),
        Actor(kind=ActorKind.PARTNER, id="k", partner_id="prt_2", environment=Environment.SANDBOX, book=4),
    ]

    given = [await once.perform(database, actor, request(), Made, work) for actor in actors]
    other = await once.perform(database, PARTNER, request(operation="test.other"), Made, work)

    assert [one.replayed for one in (*given, other)] == [False] * 4
    assert len({one.value.id for one in given}) == 3


async def test_a_running_request_makes_its_repetition_wait(database: Database) -> None:
    async with database.begin(PARTNER) as tx:
        assert await once.claim(tx, request()) is None

    with pytest.raises(once.KeyInUseError):
        async with database.begin(PARTNER) as tx:
            await once.claim(tx, request())


@pytest.mark.parametrize("error", [TooPoorError("1 is missing", field="amount"), AbsentError(field="id")])
async def test_a_refusal_by_a_rule_is_remembered(database: Database, error: RefusedError) -> None:
    async def refuse(tx: Tx) -> Made:
        raise error

    async def work(tx: Tx) -> Made:
        return Made("must not happen")

    with pytest.raises(type(error)):
        await once.perform(database, PARTNER, request(), Made, refuse)
    with pytest.raises(once.ReplayedRefusalError) as replayed:
        await once.perform(database, PARTNER, request(), Made, work)

    assert (replayed.value.code, replayed.value.status) == (error.code, error.status)
    assert (replayed.value.detail, replayed.value.field) == (error.detail, error.field)


async def test_a_conflict_of_the_moment_is_not_remembered(database: Database) -> None:
    async def refuse(tx: Tx) -> Made:
        raise BusyError

    async def work(tx: Tx) -> Made:
        return Made("made")

    with pytest.raises(BusyError):
        await once.perform(database, PARTNER, request(), Made, refuse)

    assert (await once.perform(database, PARTNER, request(), Made, work)).value == Made("made")


async def test_old_answers_are_forgotten_and_open_claims_stay(database: Database) -> None:
    async def work(tx: Tx) -> Made:
        return Made("made")

    await once.perform(database, PARTNER, request(), Made, work)
    async with database.begin(PARTNER) as tx:
        await once.claim(tx, request("open"))

    async with database.begin(PARTNER) as tx:
        forgotten = await once.forget(tx, tx.now + timedelta(seconds=1))
        left = await once.lookup(tx, [request(), request("open")])

    assert forgotten == 1
    assert [row is None for row in left] == [True, False]
