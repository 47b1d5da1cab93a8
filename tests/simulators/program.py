"""A simulator as a user starts it: `shanraq simulate ...` in a process of its own."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path


@asynccontextmanager
async def started(simulator: str, folder: Path, *options: str) -> AsyncIterator[list[str]]:
    """Start the program, and yield the addresses it prints."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "shanraq", "simulate", simulator, "--port", "0", *options),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=folder,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert process.stdout is not None
    try:
        while b"listens on" not in (line := await asyncio.wait_for(process.stdout.readline(), 60)):
            assert line, (await process.communicate())[1].decode()
        yield re.findall(r"https?://\S+", line.decode())
    finally:
        process.terminate()
        await process.communicate()


async def refused(simulator: str, folder: Path, *options: str) -> str:
    """Start the program with what it cannot use; returns what it says, after it ended with 1."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "shanraq", "simulate", simulator, "--port", "0", *options),
        stderr=asyncio.subprocess.PIPE,
        cwd=folder,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "COLUMNS": "300"},
    )
    _, printed = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 1
    return printed.decode()
