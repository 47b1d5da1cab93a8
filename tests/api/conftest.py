"""The example application behind a real server, and a client for it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from tests.api.example import SECRET, example_app
from tests.api.server import serve


@pytest.fixture
async def url() -> AsyncIterator[str]:
    """The URL of the example application."""
    async with serve(example_app()) as url:
        yield url


@pytest.fixture
async def client(url: str) -> AsyncIterator[httpx.AsyncClient]:
    """A client with a key that may read and write."""
    async with httpx.AsyncClient(base_url=url, auth=("key_1", SECRET)) as client:
        yield client
