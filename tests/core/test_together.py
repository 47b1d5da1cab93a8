"""Shared transactions: everyone gets what they would get alone, whatever the others do."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextvars import ContextVar
from functools import partial
from typing import Any

import asyncpg
import pytest

from shanraq.core.actor import Actor, ActorKind, Environment
from shanraq.core.batch import OverloadedError
from shanraq.core.db import Database, DatabaseUnavailableError, Tx, UnstorableTextError, assert_no_transaction
from shanraq.core.errors import RefusedError
from shanraq.core.together import Together

OWNER = Actor(kind=ActorKind.SYSTEM, id="system")
IGNORED = "INSERT INTO partner_stream VALUES ($1, 'sandbox') ON CONFLICT DO NOTHING"
READ = "SELECT last_seq FROM partner_stream WHERE partner_id = $1"
LOCK = "SELECT last_seq FROM partner_stream WHERE partner_id = $1 FOR UPDATE"
INSERT = "INSERT INTO partner_stream (partner_id, environment, last_seq) VALUES ($1, 'sandbox', $2)"
CHANGE = "UPDATE partner_stream SET last_seq = $2 WHERE partner_id = $1"

flag: ContextVar[str] = ContextVar("flag", default="")


class NoError(RefusedError, code="no", status=422):
    """No."""


@pytest.fixture
def together(database: Database) -> Together:
    return Together(database)


async def here(tx: Tx) -> int:
    number: int = await tx.value("SELECT txid_current()::bigint")
    return number


async def all_of(together: Together, works: Sequence[Callable[[Tx], Awaitable[Any]]], **touches: str) -> list[Any]:
    """Run several at once; `touches` name the thing that one of them, by its position (`_0`), touches."""
    return await asyncio.gather(
        *(
            together.run(OWNER, (touches[f"_{number}"],) if f"_{number}" in touches else (), work)
            for number, work in enumerate(works)
        ),
        return_exceptions=True,
    )


async def streams(database: Database) -> dict[str, int]:
    async with database.begin(OWNER) as tx:
        rows = await tx.rows("SELECT partner_id, last_seq FROM partner_stream")
    return {row["partner_id"]: row["last_seq"] for row in rows}


def making(name: str, number: int) -> Callable[[Tx], Awaitable[int]]:
    async def work(tx: Tx) -> int:
        await tx.execute(INSERT, name, number)
        return await here(tx)

    return work


class TestSharing:
    async def test_callers_of_one_moment_are_in_one_transaction(self, database: Database, together: Together) -> None:
        numbers = await all_of(together, [making(f"p{n}", n) for n in range(5)])

        assert len(set(numbers)) == 1
        assert await streams(database) == {f"p{n}": n for n in range(5)}

    async def test_what_comes_meanwhile_is_in_the_next_one(self, together: Together) -> None:
        begun, go = asyncio.Event(), asyncio.Event()

        async def slow(tx: Tx) -> int:
            begun.set()
            await go.wait()
            return await here(tx)

        first = asyncio.create_task(together.run(OWNER, (), slow))
        await begun.wait()
        later = [asyncio.create_task(together.run(OWNER, (), here)) for _ in range(3)]
        await asyncio.sleep(0)
        go.set()
        numbers = await asyncio.gather(first, *later)

        assert numbers[0] not in numbers[1:]
        assert len(set(numbers[1:])) == 1

    async def test_callers_of_other_actors_are_not(self, together: Together) -> None:
        other = Actor(kind=ActorKind.SYSTEM, id="other")
        mine, theirs = await asyncio.gather(together.run(OWNER, (), here), together.run(other, (), here))

        assert mine != theirs

    async def test_everyone_gets_their_own_rows(self, database: Database, together: Together) -> None:
        await all_of(together, [making("a", 1), making("b", 2), making("c", 3)])

        async def up_to(tx: Tx, number: int) -> list[str]:
            rows = await tx.rows("SELECT partner_id FROM partner_stream WHERE last_seq <= $1 ORDER BY 1", number)
            return [row["partner_id"] for row in rows]

        async def of(tx: Tx, name: str) -> tuple[Any, Any]:
            row = await tx.row(READ, name)
            return (row["last_seq"] if row is not None else None), await tx.value(READ, name)

        seen = await all_of(together, [partial(up_to, number=n) for n in range(4)])
        found = await all_of(together, [partial(of, name=name) for name in ("b", "nobody", "a")])

        assert seen == [[], ["a"], ["a", "b"], ["a", "b", "c"]]
        assert found == [(2, 2), (None, None), (1, 1)]

    async def test_everyone_learns_how_many_rows_were_theirs(self, together: Together) -> None:
        await all_of(together, [making("a", 1), making("b", 2)])

        async def change(tx: Tx, name: str) -> tuple[int, Any, int]:
            changed = await tx.execute(CHANGE, name, 7)
            kept = await tx.value(f"{CHANGE} RETURNING last_seq", name, 8)
            return changed, kept, await tx.execute(IGNORED, name)  # fmt: skip

        seen = await all_of(together, [partial(change, name=name) for name in ("a", "b", "nobody")])

        assert seen == [(1, 8, 0), (1, 8, 0), (0, None, 1)]

    async def test_writes_and_deferred_items_are_written_with_them(
        self, database: Database, together: Together
    ) -> None:
        flushed: list[Sequence[Any]] = []

        async def flush(tx: Tx, items: Sequence[Any]) -> None:
            flushed.append(items)
            for name in items:
                tx.write(INSERT, name, 0)

        async def work(tx: Tx, name: str) -> Any:
            tx.write(INSERT, name, 5)
            tx.defer(flush, f"{name} later")
            return await tx.value(READ, name)

        seen = await all_of(together, [partial(work, name=name) for name in ("a", "b")])

        assert seen == [5, 5]
        assert flushed == [["a later", "b later"]]
        assert await streams(database) == {"a": 5, "b": 5, "a later": 0, "b later": 0}

    async def test_pooled_work_is_done_once_for_all(self, together: Together) -> None:
        calls: list[Sequence[int]] = []

        async def double(tx: Tx, items: Sequence[int]) -> list[int]:
            calls.append(items)
            return [await tx.value("SELECT $1::int * 2", item) for item in items]

        async def work(tx: Tx, *items: int) -> Sequence[int]:
            return await tx.pooled(double, items)

        seen = await all_of(together, [lambda tx: work(tx, 1), lambda tx: work(tx, 2, 3), lambda tx: work(tx, 4)])

        assert seen == [[2], [4, 6], [8]]
        assert calls == [[1, 2, 3, 4]]

    async def test_the_caller_s_context_and_request_come_along(self, together: Together) -> None:
        async def work(tx: Tx) -> tuple[str, str]:
            await here(tx)
            return flag.get(), tx.actor.request_id

        async def call(name: str) -> tuple[str, str]:
            flag.set(name)
            return await together.run(OWNER.with_request(name), (), work)

        assert list(await asyncio.gather(call("a"), call("b"))) == [("a", "a"), ("b", "b")]

    async def test_nobody_calls_the_network_inside(self, together: Together) -> None:
        async def work(tx: Tx) -> None:
            assert_no_transaction()

        assert [type(one) for one in await all_of(together, [work, work])] == [AssertionError, AssertionError]


class TestCompany:
    async def test_a_refusal_undoes_its_own_work_and_nobody_else_s(
        self, database: Database, together: Together
    ) -> None:
        async def refused(tx: Tx) -> None:
            await tx.execute(INSERT, "refused", 0)
            tx.write(INSERT, "refused too", 0)
            raise NoError

        results = await all_of(together, [making("a", 1), refused, making("b", 2), refused])

        assert [type(one) for one in results] == [int, NoError, int, NoError]
        assert await streams(database) == {"a": 1, "b": 2}

    async def test_a_statement_that_fails_is_the_error_of_its_caller(
        self, database: Database, together: Together
    ) -> None:
        await all_of(together, [making("taken", 0)])

        results = await all_of(together, [making("a", 1), making("taken", 2), making("b", 3)])

        assert [type(one) for one in results] == [int, asyncpg.UniqueViolationError, int]
        assert await streams(database) == {"taken": 0, "a": 1, "b": 3}

    async def test_a_text_that_cannot_be_stored_is_the_error_of_its_caller(self, together: Together) -> None:
        results = await all_of(together, [making("a", 1), making("\0", 2), making("b", 3)])

        assert [type(one) for one in results] == [int, UnstorableTextError, int]

    async def test_a_swallowed_refusal_to_share_counts_all_the_same(self, together: Together) -> None:
        async def work(tx: Tx) -> int:
            try:
                tx.alone()
            except Exception:
                return -1
            return await here(tx)

        alone, *others = await all_of(together, [work, here, here])

        assert alone > 0
        assert len(set(others)) == 1 and alone not in others

    async def test_what_touches_the_same_is_never_together(self, database: Database, together: Together) -> None:
        await all_of(together, [making("a", 0)])

        async def add(tx: Tx) -> int:
            before = await tx.value(READ, "a")
            await tx.execute(CHANGE, "a", before + 1)
            return await here(tx)

        numbers = await all_of(together, [add, add, here, add], _0="a", _1="a", _3="a")

        assert len(set(numbers)) == 3
        assert await streams(database) == {"a": 3}

    @pytest.mark.parametrize("how", ["row", "advisory", "savepoint", "cursor", "alone"])
    async def test_locks_that_would_keep_nobody_apart_are_taken_alone(
        self, database: Database, together: Together, how: str
    ) -> None:
        await all_of(together, [making("a", 0)])

        async def add(tx: Tx) -> int:
            match how:
                case "row":
                    await tx.value(LOCK, "a")
                case "advisory":
                    await tx.execute("SELECT pg_advisory_xact_lock(7)")
                case "savepoint":
                    await tx.savepoint(lambda: tx.execute("LOCK TABLE partner_stream"))
                case "cursor":
                    await tx.execute("SELECT 1")
                    assert [row[0] async for row in tx.cursor("SELECT 1")] == [1]
                    await tx.execute("LOCK TABLE partner_stream")
                case _:
                    tx.alone()
                    await tx.execute("LOCK TABLE partner_stream")
            before = await tx.value(READ, "a")
            await tx.execute(CHANGE, "a", before + 1)
            return await here(tx)

        numbers = await all_of(together, [add, add, add])

        assert len(set(numbers)) == 3
        assert await streams(database) == {"a": 3}

    @pytest.mark.parametrize("company", [True, False])
    async def test_one_that_waits_for_a_lock_does_not_hold_up_the_others_for_long(
        self, database: Database, together: Together, company: bool
    ) -> None:
        await all_of(together, [making("a", 0)])

        begun = asyncio.Event()

        async def change(tx: Tx) -> int:
            begun.set()
            await tx.execute(CHANGE, "a", 1)
            return await here(tx)

        held, go = asyncio.Event(), asyncio.Event()

        async def hold() -> None:
            async with database.begin(OWNER) as tx:
                await tx.execute(CHANGE, "a", 9)
                held.set()
                await go.wait()

        holding = asyncio.create_task(hold())
        await held.wait()
        waiting = asyncio.create_task(together.run(OWNER, (), change))
        if not company:
            await begun.wait()
        others = [asyncio.create_task(together.run(OWNER, (), making(f"p{n}", n))) for n in range(2)]
        await asyncio.gather(*others)
        assert not waiting.done()
        go.set()
        await asyncio.gather(holding, waiting)

        assert (await streams(database))["a"] == 1

    async def test_who_went_away_before_is_left_out(self, database: Database, together: Together) -> None:
        begun, go = asyncio.Event(), asyncio.Event()

        async def slow(tx: Tx) -> None:
            begun.set()
            await go.wait()

        first = asyncio.create_task(together.run(OWNER, (), slow))
        await begun.wait()
        gone = asyncio.create_task(together.run(OWNER, (), making("gone", 0)))
        there = asyncio.create_task(together.run(OWNER, (), making("there", 0)))
        await asyncio.sleep(0)
        gone.cancel()
        go.set()
        await asyncio.gather(first, there)

        assert await streams(database) == {"there": 0}

    async def test_without_a_database_everyone_is_told_so(self, database: Database, together: Together) -> None:
        await database.close()

        results = await all_of(together, [here, here, here])

        assert [type(one) for one in results] == [DatabaseUnavailableError] * 3

    async def test_more_than_can_wait_are_told_to_come_again(self, database: Database) -> None:
        together = Together(database, queue_limit=2)

        results = await all_of(together, [here, here, here])

        assert [type(one) for one in results] == [int, int, OverloadedError]


class TestPartners:
    async def test_see_their_own_rows_only(self, database: Database, together: Together) -> None:
        await all_of(together, [making("prt_1", 1), making("prt_2", 2)])
        actor = Actor(
            kind=ActorKind.PARTNER, id="key_1", partner_id="prt_1", environment=Environment.SANDBOX, book=2
        )  # fmt: skip

        async def look(tx: Tx, name: str) -> Any:
            return await tx.value(READ, name)

        seen = await asyncio.gather(
            together.run(actor, (), lambda tx: look(tx, "prt_1")), together.run(actor, (), lambda tx: look(tx, "prt_2"))
        )

        assert list(seen) == [1, None]
