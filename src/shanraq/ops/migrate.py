"""Migrations: numbered SQL files, run forward only, each once and in order.

A file `0007_payments.sql` runs in one transaction; with `-- no-transaction` as its first line each of its statements
runs by itself (CREATE INDEX CONCURRENTLY). What is applied is recorded with its SHA-256: a file that changed, vanished
or came late stops the program, because nobody can tell what the schema is then.
"""

from __future__ import annotations

import hashlib
import importlib.resources
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.resources.abc import Traversable
from itertools import pairwise
from typing import Any, Final

import asyncpg
import structlog

from shanraq.core.db import CONNECTION_ERRORS, DatabaseUnavailableError
from shanraq.core.errors import UnavailableError
from shanraq.ops.postgres import self_check

log = structlog.get_logger(__name__)

# Any number that nobody else takes an advisory lock on: "shanraq" in ASCII.
_LOCK: Final = 0x7368616E726171
_FILE_NAME: Final = re.compile(r"(\d{4})_([a-z0-9_]+)\.sql")
_NO_TRANSACTION: Final = "-- no-transaction"


class MigrationMismatchError(UnavailableError, code="migration_mismatch", status=503):
    """The migrations that were applied are not the ones that this program has."""


class MigrationFailedError(UnavailableError, code="migration_failed", status=503):
    """A migration failed."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One file: `version` is its number, `sha256` the digest of its text in hexadecimal."""

    version: int
    name: str
    sql: str
    sha256: str

    @property
    def transactional(self) -> bool:
        """Tell whether the file runs as one transaction."""
        return self.sql.partition("\n")[0].strip() != _NO_TRANSACTION

    def __str__(self) -> str:
        return f"{self.version:04d}_{self.name}"


Progress = Callable[[Migration], None]


def migrations(folder: Traversable | None = None) -> list[Migration]:
    """Return the migrations of this program (or of a folder), in order; raise MigrationMismatchError on a bad name."""
    folder = folder or importlib.resources.files("shanraq.ops") / "migrations"
    found: list[Migration] = []
    for file in folder.iterdir():
        if not file.name.endswith(".sql"):
            continue
        match = _FILE_NAME.fullmatch(file.name)
        if match is None:
            raise MigrationMismatchError(f"the file {file.name} is not named like 0007_payments.sql")
        text = file.read_bytes()
        found.append(Migration(int(match[1]), match[2], text.decode(), hashlib.sha256(text).hexdigest()))
    found.sort(key=lambda migration: migration.version)
    for before, after in pairwise(found):
        if before.version == after.version:
            raise MigrationMismatchError(f"the files {before} and {after} have the same number")
    return found


async def pending(owner_dsn: str, *, folder: Traversable | None = None) -> list[Migration]:
    """Return the migrations that have yet to be applied, changing nothing.

    Raises MigrationMismatchError, DatabaseUnavailableError.
    """
    connection = await _connect(owner_dsn)
    try:
        return await _pending(connection, migrations(folder))
    finally:
        await connection.close()


async def migrate(
    owner_dsn: str,
    *,
    progress: Progress | None = None,
    unsafe: bool = False,
    folder: Traversable | None = None,
) -> list[Migration]:
    """Apply what is pending as the owner of the tables, check the server, and return what was applied.

    Processes that start at once wait for one another. `progress` is told of each migration before it runs. `unsafe`
    allows a server that may lose acknowledged commits. Raises MigrationMismatchError, MigrationFailedError,
    UnsafeServerError, DatabaseUnavailableError.
    """
    known = migrations(folder)
    connection = await _connect(owner_dsn)
    try:
        # A session-level lock, because a file may contain more than one transaction; it ends with the connection.
        await connection.execute("SELECT pg_advisory_lock($1)", _LOCK)
        applied: list[Migration] = []
        for migration in await _pending(connection, known):
            if progress is not None:
                progress(migration)
            await _apply(connection, migration)
            log.info("migration.applied", version=migration.version, migration=migration.name)
            applied.append(migration)
        await self_check(connection, unsafe=unsafe)
        return applied
    except CONNECTION_ERRORS as error:
        raise DatabaseUnavailableError("the connection was lost while migrating: start again") from error
    finally:
        await connection.close()


async def _connect(dsn: str) -> Any:
    try:
        return await asyncpg.connect(
            dsn, timeout=10.0, server_settings={"application_name": "shanraq migrate", "client_min_messages": "warning"}
        )
    except CONNECTION_ERRORS as error:
        raise DatabaseUnavailableError(f"cannot connect to PostgreSQL: {type(error).__name__}") from error


async def _pending(connection: Any, known: Sequence[Migration]) -> list[Migration]:
    if await connection.fetchval("SELECT to_regclass('schema_migration') IS NULL"):
        return list(known)
    rows = await connection.fetch("SELECT version, name, sha256 FROM schema_migration ORDER BY version")
    ours = {migration.version: migration for migration in known}
    for row in rows:
        migration = ours.get(row["version"])
        label = f"{row['version']:04d}_{row['name']}"
        if migration is None:
            raise MigrationMismatchError(
                f"the database has the migration {label}, which this program does not know: run the version that applied it"
            )
        if migration.sha256 != row["sha256"]:
            raise MigrationMismatchError(
                f"the migration {label} was changed after it was applied: restore the file and put the change in a new one"
            )
    latest = rows[-1]["version"] if rows else 0
    left = [migration for migration in known if migration.version not in {row["version"] for row in rows}]
    if left and left[0].version < latest:
        raise MigrationMismatchError(
            f"the migration {left[0]} comes late, {latest:04d} was applied already: give it a higher number"
        )
    return left


async def _apply(connection: Any, migration: Migration) -> None:
    try:
        if migration.transactional:
            async with connection.transaction():
                await _create_record(connection)
                await connection.execute(migration.sql)
                await _record(connection, migration)
        else:
            await _create_record(connection)
            for statement in statements(migration.sql):
                await connection.execute(statement)
            await _record(connection, migration)
    except asyncpg.PostgresError as error:
        if isinstance(error, CONNECTION_ERRORS):
            raise
        undone = "nothing of it was kept" if migration.transactional else "statements before the failing one were kept"
        raise MigrationFailedError(
            f"the migration {migration} failed ({undone}): {_explain(error, migration)}"
        ) from error


async def _create_record(connection: Any) -> None:
    await connection.execute(
        """
        CREATE TABLE IF NOT EXISTS schema_migration (
            version    int         PRIMARY KEY,
            name       text        NOT NULL,
            sha256     text        NOT NULL,
            applied_at timestamptz NOT NULL DEFAULT now()
        )
        """
    )


async def _record(connection: Any, migration: Migration) -> None:
    await connection.execute(
        "INSERT INTO schema_migration (version, name, sha256) VALUES ($1, $2, $3)",
        migration.version,
        migration.name,
        migration.sha256,
    )


def _explain(error: asyncpg.PostgresError, migration: Migration) -> str:
    position = getattr(error, "position", None)
    if not position or not migration.transactional:
        return str(error)
    line = migration.sql.count("\n", 0, int(position) - 1) + 1
    return f"line {line}: {error}"


_TOKEN: Final = re.compile(
    r"""
      --[^\n]*                                   # comment to the end of the line
    | /\*.*?\*/                                  # comment in the middle
    | '(?:[^']|'')*'                             # text
    | "(?:[^"]|"")*"                             # quoted name
    | (?P<tag>\$(?:[A-Za-z_]\w*)?\$).*?(?P=tag)  # dollar-quoted text
    | (?P<end>;)
    """,
    re.DOTALL | re.VERBOSE,
)


def statements(sql: str) -> list[str]:
    """Cut a script at the semicolons that end its statements, not at those in text, names and comments."""
    pieces: list[str] = []
    start = 0
    for token in _TOKEN.finditer(sql):
        if token["end"]:
            pieces.append(sql[start : token.start()].strip())
            start = token.end()
    pieces.append(sql[start:].strip())
    return [piece for piece in pieces if _TOKEN.sub(_keep_text, piece).strip()]


def _keep_text(token: re.Match[str]) -> str:
    return "" if token[0].startswith(("--", "/*")) else token[0]
