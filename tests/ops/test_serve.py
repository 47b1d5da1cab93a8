from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import httpx
import pytest

from shanraq.core.settings import Settings
from shanraq.ops.role import USUAL_ROLES, Role
from shanraq.ops.serve import AddressInUseError, running


async def test_a_start_that_fails_leaves_no_task_behind(owner_dsn: str, tmp_path: Path) -> None:
    before = asyncio.all_tasks()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = Settings(
            database_url=owner_dsn, data_dir=str(tmp_path), port=taken.getsockname()[1], unsafe=True, log_level="error"
        )

        with pytest.raises(AddressInUseError):
            async with running(settings, USUAL_ROLES):
                raise AssertionError("it cannot run there")

    assert asyncio.all_tasks() == before


@pytest.mark.parametrize(("trusted", "refused"), [((), True), (("127.0.0.1",), False), (("192.0.2.1",), True)])
async def test_only_a_trusted_proxy_says_where_a_client_is(
    owner_dsn: str, tmp_path: Path, trusted: tuple[str, ...], refused: bool
) -> None:
    settings = Settings(
        database_url=owner_dsn, data_dir=str(tmp_path), port=0, unsafe=True, log_level="error", trusted_proxies=trusted,
        public_rate_limit_burst=2, public_rate_limit_per_second=0.01,
    )  # fmt: skip
    async with running(settings, frozenset({Role.API})) as now, httpx.AsyncClient(base_url=now.url) as client:
        answers = [
            await client.get("/problems", headers={"X-Forwarded-For": f"198.51.100.{number}"}) for number in range(4)
        ]

    assert (429 in [answer.status_code for answer in answers]) is refused
