"""Migrations: each once, in order, all or nothing, and nothing that does not fit what was applied."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from shanraq.core.db import DatabaseUnavailableError
from shanraq.ops.migrate import (
    Migration,
    MigrationFailedError,
    MigrationMismatchError,
    migrate,
    migrations,
    pending,
    statements,
)
from shanraq.ops.postgres import UnsafeServerError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "0001_first.sql").write_text("CREATE TABLE journal (entry text NOT NULL);")
    (tmp_path / "0002_second.sql").write_text("INSERT INTO journal VALUES ('second');")
    (tmp_path / "README.md").write_text("not a migration")
    return tmp_path


async def run(dsn: str, folder: Path) -> list[int]:
    return [migration.version for migration in await migrate(dsn, folder=folder, unsafe=True)]


async def query(dsn: str, sql: str) -> Any:
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetchval(sql)
    finally:
        await connection.close()


async def journal(dsn: str) -> Any:
    return await query(dsn, "SELECT array_agg(entry ORDER BY entry) FROM journal")


async def recorded(dsn: str) -> Any:
    return await query(dsn, "SELECT array_agg(version ORDER BY version) FROM schema_migration")


async def test_are_applied_once_in_order(empty_dsn: str, folder: Path) -> None:
    assert await run(empty_dsn, folder) == [1, 2]
    assert await run(empty_dsn, folder) == []

    assert await journal(empty_dsn) == ["second"]
    assert await recorded(empty_dsn) == [1, 2]


async def test_pending_ones_are_listed_without_a_change(empty_dsn: str, folder: Path) -> None:
    assert [str(migration) for migration in await pending(empty_dsn, folder=folder)] == ["0001_first", "0002_second"]
    assert await query(empty_dsn, "SELECT to_regclass('schema_migration')") is None

    await run(empty_dsn, folder)

    assert await pending(empty_dsn, folder=folder) == []


async def test_new_ones_are_applied_later_and_numbers_may_have_gaps(empty_dsn: str, folder: Path) -> None:
    await run(empty_dsn, folder)
    (folder / "0010_tenth.sql").write_text("INSERT INTO journal VALUES ('tenth');")

    assert await run(empty_dsn, folder) == [10]


async def test_progress_is_told_before_each(empty_dsn: str, folder: Path) -> None:
    told: list[Migration] = []

    await migrate(empty_dsn, folder=folder, progress=told.append, unsafe=True)

    assert [migration.name for migration in told] == ["first", "second"]


async def test_processes_that_start_at_once_apply_each_once(empty_dsn: str, folder: Path) -> None:
    (folder / "0003_slow.sql").write_text("SELECT pg_sleep(0.2); INSERT INTO journal VALUES ('slow');")

    done = await asyncio.gather(*(run(empty_dsn, folder) for _ in range(4)))

    assert sorted(done) == [[], [], [], [1, 2, 3]]
    assert await journal(empty_dsn) == ["second", "slow"]


async def test_a_failing_one_keeps_nothing_and_names_the_line(empty_dsn: str, folder: Path) -> None:
    (folder / "0003_third.sql").write_text("INSERT INTO journal VALUES ('third');\n\nSELECT nonsense;\n")

    with pytest.raises(MigrationFailedError, match=r"0003_third failed \(nothing of it was kept\): line 3: .*nonsense"):
        await run(empty_dsn, folder)

    assert await journal(empty_dsn) == ["second"]
    assert await recorded(empty_dsn) == [1, 2]


async def test_a_failing_one_can_be_corrected(empty_dsn: str, folder: Path) -> None:
    (folder / "0003_third.sql").write_text("SELECT 1 / 0;")
    with pytest.raises(MigrationFailedError, match="division by zero"):
        await run(empty_dsn, folder)

    (folder / "0003_third.sql").write_text("SELECT 1 / 1;")

    assert await run(empty_dsn, folder) == [3]


async def test_one_that_changed_after_it_was_applied_is_refused(empty_dsn: str, folder: Path) -> None:
    await run(empty_dsn, folder)
    (folder / "0001_first.sql").write_text("CREATE TABLE journal (entry text NOT NULL); -- new")

    with pytest.raises(MigrationMismatchError, match="0001_first was changed"):
        await run(empty_dsn, folder)
    with pytest.raises(MigrationMismatchError, match="0001_first was changed"):
        await pending(empty_dsn, folder=folder)


async def test_one_that_vanished_after_it_was_applied_is_refused(empty_dsn: str, folder: Path) -> None:
    await run(empty_dsn, folder)
    (folder / "0002_second.sql").unlink()

    with pytest.raises(MigrationMismatchError, match="0002_second, which this program does not know"):
        await run(empty_dsn, folder)


async def test_one_that_comes_late_is_refused(empty_dsn: str, folder: Path) -> None:
    (folder / "0004_fourth.sql").write_text("SELECT 4;")
    await run(empty_dsn, folder)
    (folder / "0003_third.sql").write_text("SELECT 3;")

    with pytest.raises(MigrationMismatchError, match="0003_third comes late, 0004 was applied"):
        await run(empty_dsn, folder)


def test_two_with_one_number_are_refused(folder: Path) -> None:
    (folder / "0002_other.sql").write_text("SELECT 2;")

    with pytest.raises(MigrationMismatchError, match="the same number"):
        migrations(folder)


@pytest.mark.parametrize("name", ["12_short.sql", "0003-dash.sql", "0003_Upper.sql", "third.sql"])
def test_a_file_with_another_kind_of_name_is_refused(folder: Path, name: str) -> None:
    (folder / name).touch()

    with pytest.raises(MigrationMismatchError, match="is not named like"):
        migrations(folder)


async def test_one_without_transaction_runs_statement_by_statement(empty_dsn: str, folder: Path) -> None:
    (folder / "0003_index.sql").write_text(
        "-- no-transaction\n"
        "CREATE INDEX CONCURRENTLY journal_entry ON journal (entry); -- a comment; with a semicolon\n"
        "INSERT INTO journal VALUES ('semi;colon');\n"
        "DO $body$ BEGIN INSERT INTO journal VALUES ('body'); END $body$;\n"
    )

    await run(empty_dsn, folder)

    assert await journal(empty_dsn) == ["body", "second", "semi;colon"]
    assert await query(empty_dsn, "SELECT indisvalid FROM pg_index WHERE indexrelid = 'journal_entry'::regclass")
    assert await run(empty_dsn, folder) == []


async def test_one_without_transaction_says_what_it_kept_when_it_fails(empty_dsn: str, folder: Path) -> None:
    (folder / "0003_index.sql").write_text("-- no-transaction\nINSERT INTO journal VALUES ('kept');\nSELECT 1 / 0;\n")

    with pytest.raises(MigrationFailedError, match="statements before the failing one were kept"):
        await run(empty_dsn, folder)

    assert await journal(empty_dsn) == ["kept", "second"]
    assert await recorded(empty_dsn) == [1, 2]


async def test_a_server_that_may_lose_commits_is_refused_afterwards(empty_dsn: str, folder: Path) -> None:
    with pytest.raises(UnsafeServerError, match="fsync"):
        await migrate(empty_dsn, folder=folder)


async def test_a_lost_connection_is_unavailability(empty_dsn: str, folder: Path) -> None:
    (folder / "0003_cut.sql").write_text("SELECT pg_terminate_backend(pg_backend_pid());")

    with pytest.raises(DatabaseUnavailableError):
        await run(empty_dsn, folder)
    assert await recorded(empty_dsn) == [1, 2]


async def test_a_server_that_is_not_there_is_unavailability(tmp_path: Path) -> None:
    with pytest.raises(DatabaseUnavailableError):
        await migrate(f"postgresql://shanraq@/shanraq?host={tmp_path}")


async def test_the_programs_own_are_all_applied(owner_dsn: str) -> None:
    assert await pending(owner_dsn) == []
    assert await recorded(owner_dsn) == [migration.version for migration in migrations()]


@pytest.mark.parametrize(
    ("script", "pieces"),
    [
        ("", []),
        (";;", []),
        ("-- only a comment; nothing else", []),
        ("SELECT 1", ["SELECT 1"]),
        ("SELECT 1; SELECT 2;", ["SELECT 1", "SELECT 2"]),
        ("SELECT 'a;b''c;d'; SELECT 2", ["SELECT 'a;b''c;d'", "SELECT 2"]),
        ('SELECT "a;b"; SELECT 2', ['SELECT "a;b"', "SELECT 2"]),
        ("SELECT 1 /* a;b */; SELECT 2", ["SELECT 1 /* a;b */", "SELECT 2"]),
        ("DO $$ BEGIN; END $$; SELECT 2", ["DO $$ BEGIN; END $$", "SELECT 2"]),
        ("DO $a$ $$;$$ $a$; SELECT 2", ["DO $a$ $$;$$ $a$", "SELECT 2"]),
        ("SELECT 1; -- the end; really", ["SELECT 1"]),
    ],
)
def test_a_script_is_cut_at_the_ends_of_statements(script: str, pieces: list[str]) -> None:
    assert statements(script) == pieces
