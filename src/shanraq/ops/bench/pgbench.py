"""The yardstick: TPC-B as pgbench runs it, 16 clients, prepared statements."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, unquote, urlsplit

from shanraq.core.errors import UnavailableError

CLIENTS: Final = 16
_TPS: Final = re.compile(r"^tps = ([0-9.]+)", re.MULTILINE)


class PgbenchError(UnavailableError, code="pgbench_failed", status=503):
    """pgbench did not run."""


async def prepare(pgbench: Path, dsn: str, scale: int) -> None:
    """Make pgbench's tables. Raises PgbenchError."""
    await _run(pgbench, dsn, "--initialize", f"--scale={scale}", "--quiet")


async def clear(pgbench: Path, dsn: str) -> None:
    """Drop pgbench's tables. Raises PgbenchError."""
    await _run(pgbench, dsn, "--initialize", "--init-steps=d", "--quiet")


async def transactions_per_second(pgbench: Path, dsn: str, seconds: float) -> float:
    """Run TPC-B for `seconds` and return its rate. Raises PgbenchError."""
    output = await _run(
        pgbench,
        dsn,
        "--no-vacuum",
        "--protocol=prepared",
        f"--client={CLIENTS}",
        f"--time={max(1, round(seconds))}",
    )
    found = _TPS.search(output)
    if found is None:
        raise PgbenchError("pgbench printed no tps")
    return float(found[1])


async def _run(pgbench: Path, dsn: str, *arguments: str) -> str:
    process = await asyncio.create_subprocess_exec(
        pgbench,
        *arguments,
        env={**os.environ, **_environment(dsn)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    with _ended(process):
        output, errors = await asyncio.wait_for(process.communicate(), 600)
    if process.returncode:
        raise PgbenchError(errors.decode("utf-8", "replace").strip()[-500:])
    return output.decode()


@contextmanager
def _ended(process: asyncio.subprocess.Process) -> Iterator[None]:
    try:
        yield
    finally:
        if process.returncode is None:
            process.kill()


def _environment(dsn: str) -> dict[str, str]:
    """Say where the database is in the environment: an argument, and the password in it, can be read by every user."""
    parts = urlsplit(dsn)
    query = {key: values[-1] for key, values in parse_qs(parts.query).items()}
    given = {
        "PGHOST": query.get("host") or unquote(parts.hostname or ""),
        "PGPORT": query.get("port") or str(parts.port or ""),
        "PGUSER": unquote(parts.username or "") or query.get("user", ""),
        "PGPASSWORD": unquote(parts.password or "") or query.get("password", ""),
        "PGDATABASE": unquote(parts.path.lstrip("/")) or query.get("dbname", ""),
        "PGSSLMODE": query.get("sslmode", ""),
    }
    return {name: value for name, value in given.items() if value}
