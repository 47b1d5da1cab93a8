"""Transactions: what they keep, whom they show what, and what they say when the database does not answer."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import asyncpg
import pytest

from shanraq.core.actor import SYSTEM, Actor, ActorKind, Environment
from shanraq.core.db import (
    CommitUnknownError,
    ContendedError,
    Database,
    DatabaseUnavailableError,
    Tx,
    UnstorableTextError,
    assert_no_transaction,
    chunks,
)
from shanraq.ops.postgres import EmbeddedPostgres


def partner(partner_id: str, environment: Environment = Environment.SANDBOX) -> Actor:
    return Actor(kind=ActorKind.PARTNER, id="key_1", partner_id=partner_id, environment=environment, book=2)


async def open_stream(tx: Tx, partner_id: str, environment: str = "sandbox") -> None:
    await tx.execute("INSERT INTO partner_stream (partner_id, environment) VALUES ($1, $2)", partner_id, environment)


async def streams(database: Database, actor: Actor) -> list[tuple[str, str]]:
    async with database.begin(actor) as tx:
        rows = await tx.rows("SELECT partner_id, environment FROM partner_stream ORDER BY 1, 2")
    return [(row["partner_id"], row["environment"]) for row in rows]


class TestTransactions:
    async def test_keep_what_they_wrote(self, database: Database) -> None:
        async with database.begin(SYSTEM) as tx:
            await open_stream(tx, "prt_1")

        assert await streams(database, SYSTEM) == [("prt_1", "sandbox")]

    async def test_keep_nothing_after_an_exception(self, database: Database) -> None:
        with pytest.raises(ZeroDivisionError):
            async with database.begin(SYSTEM) as tx:
                await open_stream(tx, "prt_1")
                raise ZeroDivisionError

        assert await streams(database, SYSTEM) == []

    async def test_keep_nothing_after_a_cancellation(self, database: Database) -> None:
        begun = asyncio.Event()

        async def work() -> None:
            async with database.begin(SYSTEM) as tx:
                await open_stream(tx, "prt_1")
                begun.set()
                await tx.value("SELECT pg_sleep(600)")

        task = asyncio.create_task(work())
        await begun.wait()
        task.cancel()

        with pytest.raises(asyncio.CancelledError):
            await task
        assert await streams(database, SYSTEM) == []

    async def test_fail_when_the_error_of_a_statement_was_swallowed(self, database: Database) -> None:
        with pytest.raises(AssertionError, match="swallowed"):
            async with database.begin(SYSTEM) as tx:
                await open_stream(tx, "prt_1")
                with suppress(asyncpg.DivisionByZeroError):
                    await tx.value("SELECT 1 / 0")

        assert await streams(database, SYSTEM) == []

    async def test_do_not_nest(self, database: Database) -> None:
        async with database.begin(SYSTEM):
            with pytest.raises(AssertionError, match="do not nest"):
                async with database.begin(SYSTEM):
                    pass

    async def test_have_one_instant(self, owner_dsn: str) -> None:
        noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
        database = await Database.connect(owner_dsn, clock=lambda: noon)

        async with database.begin(SYSTEM) as tx:
            assert tx.now == noon
            assert await tx.value("SELECT $1::timestamptz", tx.now) == noon
        await database.close()

    async def test_keep_the_network_out(self, database: Database) -> None:
        assert_no_transaction()
        async with database.begin(SYSTEM):
            with pytest.raises(AssertionError, match="no network call"):
                assert_no_transaction()
        assert_no_transaction()

    async def test_carry_big_numbers_and_documents(self, database: Database) -> None:
        number = (1 << 128) - 1
        document = {"amount": 2**53 + 1, "list": [None, True, "ж"]}

        async with database.begin(SYSTEM) as tx:
            row = await tx.row("SELECT $1::uuid AS number, $2::jsonb AS document", number, document)

        assert row is not None
        assert (row["number"], row["document"]) == (number, document)

    async def test_count_the_rows_they_touch(self, database: Database) -> None:
        async with database.begin(SYSTEM) as tx:
            await open_stream(tx, "prt_1")
            await open_stream(tx, "prt_2")

            assert await tx.execute("UPDATE partner_stream SET last_seq = 1") == 2
            assert await tx.execute("SET LOCAL statement_timeout = 0") == 0
            assert await tx.row("SELECT 1 WHERE false") is None

    async def test_read_long_results_a_piece_at_a_time(self, database: Database) -> None:
        async with database.begin(SYSTEM) as tx:
            rows = tx.cursor("SELECT * FROM generate_series(1, $1::int) AS n", 25, prefetch=10)

            assert [row["n"] async for row in rows] == list(range(1, 26))


class TestSavepoints:
    async def test_undo_their_own_work_only(self, database: Database) -> None:
        async with database.begin(SYSTEM) as tx:
            await open_stream(tx, "prt_1")

            with pytest.raises(asyncpg.UniqueViolationError):
                await tx.savepoint(lambda: open_stream(tx, "prt_1"))
            await tx.savepoint(lambda: open_stream(tx, "prt_2"))

        assert [name for name, _ in await streams(database, SYSTEM)] == ["prt_1", "prt_2"]

    async def test_nest(self, database: Database) -> None:
        async with database.begin(SYSTEM) as tx:

            async def inner() -> None:
                await open_stream(tx, "prt_inner")
                raise ZeroDivisionError

            async def outer() -> str:
                await open_stream(tx, "prt_outer")
                with pytest.raises(ZeroDivisionError):
                    await tx.savepoint(inner)
                return "done"

            assert await tx.savepoint(outer) == "done"

        assert [name for name, _ in await streams(database, SYSTEM)] == ["prt_outer"]

    async def test_drop_what_their_work_deferred(self, database: Database) -> None:
        flushed: list[object] = []

        async def flush(_tx: Tx, items: Sequence[Any]) -> None:
            flushed.extend(items)

        async with database.begin(SYSTEM) as tx:
            tx.defer(flush, "before")

            async def work() -> None:
                tx.defer(flush, "undone")
                raise ZeroDivisionError

            with pytest.raises(ZeroDivisionError):
                await tx.savepoint(work)
            tx.defer(flush, "after")

        assert flushed == ["before", "after"]


class TestDeferred:
    async def test_is_flushed_once_with_all_items_before_commit(self, database: Database) -> None:
        calls: list[list[str]] = []

        async def flush(tx: Tx, items: Sequence[str]) -> None:
            calls.append(list(items))
            for item in items:
                await open_stream(tx, item)

        async with database.begin(SYSTEM) as tx:
            tx.defer(flush, "prt_1")
            tx.defer(flush, "prt_2")
            assert calls == []

        assert calls == [["prt_1", "prt_2"]]
        assert [name for name, _ in await streams(database, SYSTEM)] == ["prt_1", "prt_2"]

    async def test_may_defer_more(self, database: Database) -> None:
        order: list[str] = []

        async def last(_tx: Tx, items: Sequence[str]) -> None:
            order.extend(items)

        async def first(tx: Tx, items: Sequence[str]) -> None:
            order.extend(items)
            tx.defer(last, "last")

        async with database.begin(SYSTEM) as tx:
            tx.defer(first, "first")

        assert order == ["first", "last"]

    async def test_is_dropped_when_the_transaction_fails(self, database: Database) -> None:
        calls: list[object] = []

        async def flush(_tx: Tx, items: Sequence[object]) -> None:
            calls.append(items)

        with pytest.raises(ZeroDivisionError):
            async with database.begin(SYSTEM) as tx:
                tx.defer(flush, "item")
                raise ZeroDivisionError

        assert calls == []

    async def test_undoes_the_transaction_when_it_fails(self, database: Database) -> None:
        async def flush(tx: Tx, _items: Sequence[object]) -> None:
            await tx.execute("SELECT 1 / 0")

        with pytest.raises(asyncpg.DivisionByZeroError):
            async with database.begin(SYSTEM) as tx:
                await open_stream(tx, "prt_1")
                tx.defer(flush, "item")

        assert await streams(database, SYSTEM) == []


class TestOwnership:
    async def test_a_partner_sees_its_own_rows_of_one_environment(self, database: Database) -> None:
        async with database.begin(SYSTEM) as tx:
            for owner in ("prt_1", "prt_2"):
                await open_stream(tx, owner, "sandbox")
                await open_stream(tx, owner, "live")

        assert await streams(database, partner("prt_1")) == [("prt_1", "sandbox")]
        assert await streams(database, partner("prt_2", Environment.LIVE)) == [("prt_2", "live")]
        assert len(await streams(database, SYSTEM)) == 4

    async def test_a_partner_cannot_write_rows_of_another(self, database: Database) -> None:
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
            async with database.begin(partner("prt_1")) as tx:
                await open_stream(tx, "prt_2")

        async with database.begin(SYSTEM) as tx:
            await open_stream(tx, "prt_2")
        async with database.begin(partner("prt_1")) as tx:
            assert await tx.execute("UPDATE partner_stream SET last_seq = 9") == 0

    async def test_the_owner_of_one_transaction_is_forgotten_in_the_next(self, owner_dsn: str) -> None:
        database = await Database.connect(owner_dsn, max_size=1)
        async with database.begin(SYSTEM) as tx:
            await open_stream(tx, "prt_1")

        assert await streams(database, partner("prt_2")) == []
        await database.close()

    async def test_without_an_actor_nothing_is_visible(self, owner_dsn: str) -> None:
        database = await Database.connect(owner_dsn, max_size=1)
        async with database.connection() as connection:
            fresh = await connection.fetchval("SELECT current_setting('shanraq.partner_id', true)")
        async with database.begin(SYSTEM) as tx:
            await open_stream(tx, "prt_1")

        async with database.connection() as connection:
            rows = await connection.fetch("SELECT * FROM partner_stream")

        assert fresh is None
        assert rows == []
        await database.close()

    async def test_the_application_cannot_change_or_remove_audit_entries(self, database: Database) -> None:
        for statement in ("UPDATE audit_entry SET action = ''", "DELETE FROM audit_entry", "TRUNCATE audit_entry"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                async with database.begin(SYSTEM) as tx:
                    await tx.execute(statement)

    async def test_the_application_cannot_change_the_schema(self, database: Database) -> None:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with database.begin(SYSTEM) as tx:
                await tx.execute("CREATE TABLE mine (id int)")


class TestContention:
    async def test_a_deadlock_is_run_again(self, database: Database) -> None:
        async with database.begin(SYSTEM) as tx:
            await open_stream(tx, "prt_1")
            await open_stream(tx, "prt_2")
        attempts = 0
        both_hold_one = asyncio.Barrier(2)

        async def work(tx: Tx, first: str, second: str) -> None:
            nonlocal attempts
            attempts += 1
            clash = attempts <= 2
            await tx.execute("UPDATE partner_stream SET last_seq = last_seq + 1 WHERE partner_id = $1", first)
            if clash:
                await both_hold_one.wait()
            await tx.execute("UPDATE partner_stream SET last_seq = last_seq + 1 WHERE partner_id = $1", second)

        await asyncio.gather(
            database.run(SYSTEM, lambda tx: work(tx, "prt_1", "prt_2")),
            database.run(SYSTEM, lambda tx: work(tx, "prt_2", "prt_1")),
        )

        assert attempts == 3
        async with database.begin(SYSTEM) as tx:
            assert await tx.value("SELECT sum(last_seq) FROM partner_stream") == 4

    async def test_ends_after_the_last_attempt(self, database: Database) -> None:
        attempts = 0

        async def work(tx: Tx) -> None:
            nonlocal attempts
            attempts += 1
            await tx.execute("DO $$ BEGIN RAISE EXCEPTION 'again' USING ERRCODE = 'serialization_failure'; END $$")

        with pytest.raises(ContendedError):
            await database.run(SYSTEM, work, attempts=3)

        assert attempts == 3

    async def test_a_refusal_of_the_work_itself_is_not_run_again(self, database: Database) -> None:
        attempts = 0

        async def work(_tx: Tx) -> None:
            nonlocal attempts
            attempts += 1
            raise ContendedError

        with pytest.raises(ContendedError):
            await database.run(SYSTEM, work)

        assert attempts == 1


class TestLostConnections:
    @pytest.fixture
    async def alone(self, owner_dsn: str) -> Any:
        database = await Database.connect(owner_dsn, max_size=1)
        yield database
        await database.close()

    async def cut(self, owner_dsn: str) -> None:
        """End all sessions of the application in this database."""
        connection = await asyncpg.connect(owner_dsn)
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name = 'shanraq'"
        )
        await connection.close()

    async def test_between_two_statements_say_that_nothing_was_changed(self, alone: Database, owner_dsn: str) -> None:
        with pytest.raises(DatabaseUnavailableError):
            async with alone.begin(SYSTEM) as tx:
                await open_stream(tx, "prt_1")
                await self.cut(owner_dsn)
                await tx.value("SELECT 1")

        assert await streams(alone, SYSTEM) == []

    async def test_during_a_statement_say_that_nothing_was_changed(self, alone: Database, owner_dsn: str) -> None:
        with pytest.raises(DatabaseUnavailableError):
            async with alone.begin(SYSTEM) as tx:
                await open_stream(tx, "prt_1")
                await asyncio.gather(tx.value("SELECT pg_sleep(600)"), self.cut(owner_dsn))

        assert await streams(alone, SYSTEM) == []

    async def test_before_the_transaction_are_replaced(self, alone: Database, owner_dsn: str) -> None:
        await self.cut(owner_dsn)

        for _ in range(2):
            try:
                assert await streams(alone, SYSTEM) == []
            except DatabaseUnavailableError:
                continue
            break
        else:
            raise AssertionError("the pool kept a dead connection")

    async def test_an_address_without_server_is_unavailable(self, reachable_dir: Any) -> None:
        with pytest.raises(DatabaseUnavailableError):
            await Database.connect(f"postgresql://shanraq@/shanraq?host={reachable_dir}")

    async def test_a_server_that_stopped_is_unavailable(self, durable_postgres: EmbeddedPostgres) -> None:
        database = await Database.connect(durable_postgres.dsn("shanraq"))
        await durable_postgres.stop()

        for _ in range(2):
            with pytest.raises(DatabaseUnavailableError):
                await streams(database, SYSTEM)
        await database.close()

    async def test_closing_does_not_wait_for_ever(self, owner_dsn: str) -> None:
        database = await Database.connect(owner_dsn)
        begun = asyncio.Event()

        async def hold() -> None:
            async with database.begin(SYSTEM) as tx:
                begun.set()
                await tx.value("SELECT pg_sleep(600)")

        task = asyncio.create_task(hold())
        await begun.wait()

        await database.close(timeout_seconds=0.1)

        with pytest.raises(DatabaseUnavailableError):
            await task


async def test_a_commit_without_answer_has_an_unknown_outcome(database: Database, owner_dsn: str) -> None:
    owner = await asyncpg.connect(owner_dsn)
    await owner.execute(
        """
        CREATE FUNCTION cut() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS
            $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END $$;
        CREATE CONSTRAINT TRIGGER cut AFTER INSERT ON partner_stream DEFERRABLE INITIALLY DEFERRED
            FOR EACH ROW EXECUTE FUNCTION cut();
        """
    )
    await owner.close()

    with pytest.raises(CommitUnknownError):
        async with database.begin(SYSTEM) as tx:
            await open_stream(tx, "prt_1")


def test_chunks_cut_without_loss() -> None:
    assert list(chunks([1, 2, 3, 4, 5], 2)) == [[1, 2], [3, 4], [5]]
    assert list(chunks([], 2)) == []


async def test_a_text_that_cannot_be_stored_is_refused_and_changes_nothing(database: Database) -> None:
    with pytest.raises(UnstorableTextError):
        async with database.begin(partner("prt_1")) as tx:
            await tx.execute("INSERT INTO partner_stream VALUES ('prt_1', 'sandbox', 1)")
            await tx.value("SELECT $1::text", "a\x00b")

    async with database.begin(partner("prt_1")) as tx:
        assert await tx.value("SELECT count(*) FROM partner_stream") == 0


class TestWrites:
    INSERT = "INSERT INTO partner_stream (partner_id, environment, last_seq) VALUES ($1, $2, $3)"

    async def test_neighbours_run_in_one_statement_in_their_order(self, database: Database) -> None:
        async with database.begin(SYSTEM) as tx:
            for number in range(3):
                tx.write(self.INSERT, f"prt_{number}", "sandbox", number)
            tx.write(
                "INSERT INTO partner_stream SELECT p, $2, s FROM unnest($1::text[], $3::bigint[]) u(p, s)",
                ["prt_8", "prt_9"], "live", [8, 9],
            )  # fmt: skip
            seen = await tx.rows("SELECT partner_id, last_seq, xmin::text, cmin::text FROM partner_stream ORDER BY 1")

        assert [row["partner_id"] for row in seen] == ["prt_0", "prt_1", "prt_2", "prt_8", "prt_9"]
        assert [row["last_seq"] for row in seen] == [0, 1, 2, 8, 9]
        assert len({(row["xmin"], row["cmin"]) for row in seen}) <= 4
        assert len(await streams(database, SYSTEM)) == 5

    async def test_the_last_ones_are_written_at_the_end(self, database: Database) -> None:
        async with database.begin(SYSTEM) as tx:
            tx.write(self.INSERT, "prt_1", "sandbox", 0)

        assert await streams(database, SYSTEM) == [("prt_1", "sandbox")]

    async def test_an_error_comes_with_the_next_statement_and_nothing_is_kept(self, database: Database) -> None:
        with pytest.raises(asyncpg.UniqueViolationError):
            async with database.begin(SYSTEM) as tx:
                tx.write(self.INSERT, "prt_1", "sandbox", 0)
                tx.write(self.INSERT, "prt_1", "sandbox", 0)

        assert await streams(database, SYSTEM) == []

    async def test_an_exception_before_the_end_keeps_nothing(self, database: Database) -> None:
        with pytest.raises(ZeroDivisionError):
            async with database.begin(SYSTEM) as tx:
                tx.write(self.INSERT, "prt_1", "sandbox", 0)
                raise ZeroDivisionError

        assert await streams(database, SYSTEM) == []

    async def test_a_savepoint_keeps_what_was_before_it_and_drops_what_failed_in_it(self, database: Database) -> None:
        async with database.begin(SYSTEM) as tx:
            tx.write(self.INSERT, "prt_1", "sandbox", 0)

            async def fails_late() -> None:
                tx.write(self.INSERT, "prt_2", "sandbox", 0)
                tx.write(self.INSERT, "prt_1", "sandbox", 0)

            async def fails() -> None:
                tx.write(self.INSERT, "prt_3", "sandbox", 0)
                raise ZeroDivisionError

            with pytest.raises(asyncpg.UniqueViolationError):
                await tx.savepoint(fails_late)
            with pytest.raises(ZeroDivisionError):
                await tx.savepoint(fails)
            tx.write(self.INSERT, "prt_4", "sandbox", 0)

        assert await streams(database, SYSTEM) == [("prt_1", "sandbox"), ("prt_4", "sandbox")]

    async def test_takes_inserts_only(self, database: Database) -> None:
        async with database.begin(SYSTEM) as tx:
            with pytest.raises(AssertionError):
                tx.write("UPDATE partner_stream SET last_seq = 1")
