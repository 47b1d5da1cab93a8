"""A supervisor to kill: start the server on a directory, say so, and wait until standard input ends.

python -m tests.ops.supervise <data directory> <directory of the binaries> [<uid>]
"""

from __future__ import annotations

import asyncio
import importlib
import os
import sys
from pathlib import Path

from shanraq.core import log
from shanraq.ops.postgres import EmbeddedPostgres
from tests.conftest import UNSAFE


async def supervise(data_dir: Path, pg_bin: str) -> None:
    """Print the server's process id and address, then wait."""
    async with EmbeddedPostgres(data_dir, pg_bin=pg_bin, settings=UNSAFE) as server:
        sys.stdout.write(f"{server.pid} {server.dsn('postgres')}\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    log.configure()
    if len(sys.argv) > 3:
        # What is imported late, while the folder of the interpreter can still be read.
        importlib.import_module("concurrent.futures.thread")
        os.setgroups([])
        os.setgid(int(sys.argv[3]))
        os.setuid(int(sys.argv[3]))
    asyncio.run(supervise(Path(sys.argv[1]), sys.argv[2]))
