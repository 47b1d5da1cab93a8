"""A real PostgreSQL for the tests: one small server a process, a migrated template, and a fresh clone for each test.

    async def test_something(database: Database) -> None: ...

The server starts when the first test asks for it. It runs without fsync; drills about durability take `durable_postgres`.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Generator, Iterator
from pathlib import Path
from typing import Final

import asyncpg
import pytest
import structlog

from shanraq.core.db import Database
from shanraq.ops.installation import choose_account, find_binaries, reachable_binaries
from shanraq.ops.migrate import migrate
from shanraq.ops.postgres import EmbeddedPostgres
from tests.cards.scan import complain, findings, scan_database

SMALL: Final = {
    "shared_buffers": "32MB",
    "max_connections": "100",
    "max_wal_size": "256MB",
    "wal_keep_size": "0",
    "deadlock_timeout": "100ms",
    "logging_collector": "off",
}
UNSAFE: Final = {**SMALL, "fsync": "off", "full_page_writes": "off"}
TEMPLATE: Final = "template_shanraq"

_numbers = itertools.count(1)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    call: pytest.CallInfo[None],
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail a test whose output (logs, standard output and error, the text of its failure) shows card data."""
    report = yield
    if call.when == "teardown":
        found = [one for _, text in report.sections for one in findings(text)]
        if found and report.passed:
            report.outcome = "failed"
            report.longrepr = "card data in the output of this test: " + "; ".join(sorted(set(found))[:10])
    return report


@pytest.fixture(autouse=True)
def log_settings() -> Iterator[None]:
    """Give each test the log settings it would have alone: commands run in this process change them."""
    settings = structlog.get_config()
    yield
    structlog.configure(**settings)


@pytest.fixture(scope="session")
def session_dir() -> Iterator[Path]:
    """A directory that the server's account may enter (pytest's own may not be entered by others)."""
    yield from _directory(_memory())


@pytest.fixture
def reachable_dir() -> Iterator[Path]:
    """A directory for one test that the server's account may enter."""
    yield from _directory(_memory())


@pytest.fixture
def durable_dir() -> Iterator[Path]:
    """The same on a disk."""
    yield from _directory(Path(tempfile.gettempdir()))


@pytest.fixture(scope="session")
def pg_bin(session_dir: Path) -> Path:
    """PostgreSQL's binaries where the server's account can run them; a checkout of root may lie in a private home."""
    return reachable_binaries(find_binaries(), choose_account(session_dir / "postgres"), session_dir).directory


@pytest.fixture(scope="session")
async def postgres(session_dir: Path, pg_bin: Path) -> AsyncIterator[EmbeddedPostgres]:
    """The server of this test process, fast and without durability."""
    async with EmbeddedPostgres(session_dir / "postgres", pg_bin=pg_bin, settings=UNSAFE) as server:
        yield server


@pytest.fixture(scope="session")
async def template(postgres: EmbeddedPostgres) -> str:
    """The name of a migrated database to clone."""
    await postgres.ensure_database(TEMPLATE)
    await migrate(postgres.dsn(TEMPLATE), unsafe=True)
    return TEMPLATE


@pytest.fixture
async def owner_dsn(postgres: EmbeddedPostgres, template: str) -> AsyncIterator[str]:
    """The address, as owner, of a fresh migrated database of this test."""
    name = f"test_{next(_numbers)}"
    await _run(postgres, f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
    yield postgres.dsn(name)
    found = await scan_database(postgres.dsn(name))
    await _run(postgres, f"DROP DATABASE {name} WITH (FORCE)")
    complain(found, "the database after this test")


@pytest.fixture
async def empty_dsn(postgres: EmbeddedPostgres) -> AsyncIterator[str]:
    """The address, as owner, of a fresh database without any table."""
    name = f"empty_{next(_numbers)}"
    await _run(postgres, f"CREATE DATABASE {name}")
    yield postgres.dsn(name)
    await _run(postgres, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
async def database(owner_dsn: str) -> AsyncIterator[Database]:
    """A fresh migrated database, connected as the application role."""
    connected = await Database.connect(owner_dsn)
    yield connected
    await connected.close()


@pytest.fixture
async def durable_postgres(durable_dir: Path, pg_bin: Path) -> AsyncIterator[EmbeddedPostgres]:
    """A server of this test alone that keeps what it acknowledged, with the migrated database `shanraq`."""
    async with EmbeddedPostgres(durable_dir / "postgres", pg_bin=pg_bin, settings=SMALL) as server:
        await server.ensure_database("shanraq")
        await migrate(server.dsn("shanraq"))
        yield server
        with contextlib.suppress(OSError):  # the test may have left it stopped
            complain(await scan_database(server.dsn("shanraq")), "the database after this test")


async def _run(server: EmbeddedPostgres, statement: str) -> None:
    connection = await asyncpg.connect(server.dsn("postgres"))
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


def _directory(place: Path) -> Iterator[Path]:
    """Make a directory that every account may enter; sweep up after test processes that were killed."""
    for left_over in place.glob("shanraq-test-*"):
        if Path("/proc/self").exists() and not Path("/proc", left_over.name.split("-")[2]).exists():
            shutil.rmtree(left_over, ignore_errors=True)
    directory = Path(tempfile.mkdtemp(prefix=f"shanraq-test-{os.getpid()}-", dir=place))
    directory.chmod(0o711)
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


def _memory() -> Path:
    """Return where files cost least: memory where it is enough, else the directory for temporary files."""
    memory = Path("/dev/shm")
    if "TMPDIR" not in os.environ and os.access(memory, os.W_OK):
        state = os.statvfs(memory)
        if state.f_bavail * state.f_frsize > 2 << 30 and not state.f_flag & os.ST_NOEXEC:
            return memory
    return Path(tempfile.gettempdir())
