from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest

from shanraq.core.settings import Settings
from shanraq.ops.serve import AddressInUseError, Role, running


async def test_a_start_that_fails_leaves_no_task_behind(owner_dsn: str, tmp_path: Path) -> None:
    before = asyncio.all_tasks()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = Settings(
            database_url=owner_dsn, data_dir=str(tmp_path), port=taken.getsockname()[1], unsafe=True, log_level="error"
        )

        with pytest.raises(AddressInUseError):
            async with running(settings, frozenset(Role)):
                raise AssertionError("it cannot run there")

    assert asyncio.all_tasks() == before
