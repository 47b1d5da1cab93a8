"""A server of its own for a benchmark: durable, in a temporary directory, gone afterwards."""

from __future__ import annotations

import os
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from shanraq.ops.migrate import migrate
from shanraq.ops.postgres import EmbeddedPostgres, postgres_bin

_DATABASE = "shanraq"


@dataclass(frozen=True, slots=True)
class Scratch:
    """Where the server is, and the program to compare with."""

    folder: Path
    dsn: str
    pgbench: Path


@asynccontextmanager
async def scratch() -> AsyncIterator[Scratch]:
    """Start a migrated server that keeps what it acknowledges."""
    with tempfile.TemporaryDirectory(prefix="shanraq-bench-") as name:
        os.chmod(name, 0o711)  # noqa: S103 (the account the server runs under may enter, not list)
        folder = Path(name)
        async with EmbeddedPostgres(folder / "postgres") as server:
            await server.ensure_database(_DATABASE)
            await migrate(server.dsn(_DATABASE))
            yield Scratch(folder, server.dsn(_DATABASE), postgres_bin("pgbench"))
