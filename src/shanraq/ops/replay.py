"""Replay recorded ledger scenarios, on tables of a scratch server or on the evaluator alone."""

from __future__ import annotations

import os
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TextIO

import msgspec
from rich.progress import Progress

from shanraq.core.db import Database
from shanraq.ledger.replay import read_scenarios, replay, replay_rows
from shanraq.ops.migrate import migrate
from shanraq.ops.postgres import EmbeddedPostgres

# A scratch ledger need not survive a power cut.
_SCRATCH = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "shared_buffers": "64MB"}


async def replay_files(files: Sequence[Path], progress: Progress, output: TextIO, *, in_memory: bool) -> int:
    """Replay every scenario of the files, write one JSON line each, and return how many differ."""
    scenarios = [(file, number, scenario) for file in files for number, scenario in read_scenarios(file)]
    task = progress.add_task("scenarios", total=len(scenarios))
    failed = 0
    async with _player(in_memory=in_memory) as play:
        for file, number, scenario in scenarios:
            differences = await play(scenario)
            failed += bool(differences)
            name = scenario.get("id") if isinstance(scenario, dict) else None
            line = {"id": name or f"{file.name}:{number}", "ok": not differences, "differences": differences}
            output.write(msgspec.json.encode(line).decode() + "\n")
            progress.advance(task)
    output.flush()
    return failed


@asynccontextmanager
async def _player(*, in_memory: bool) -> AsyncIterator[Callable[[object], Awaitable[list[str]]]]:
    if in_memory:

        async def play(scenario: object) -> list[str]:
            return replay(scenario)

        yield play
        return
    with tempfile.TemporaryDirectory(prefix="shanraq-replay-") as folder:
        os.chmod(folder, 0o711)  # noqa: S103 (the account the server runs under may enter, not list)
        async with EmbeddedPostgres(Path(folder) / "postgres", settings=_SCRATCH) as server:
            await server.ensure_database("scratch")
            await migrate(server.dsn("scratch"), unsafe=True)
            db = await Database.connect(server.dsn("scratch"))
            try:

                async def play_on_rows(scenario: object) -> list[str]:
                    return await replay_rows(db, scenario)

                yield play_on_rows
            finally:
                await db.close()
