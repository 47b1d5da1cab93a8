from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from shanraq.simulators.iso8583 import HostConfiguration, Iso8583Host
from tests.simulators.iso8583.acquirer import Acquirer


@pytest.fixture
async def host() -> AsyncIterator[Iso8583Host]:
    async with Iso8583Host(HostConfiguration(seed=1)) as running:
        yield running


@pytest.fixture
async def acquirer(host: Iso8583Host) -> AsyncIterator[Acquirer]:
    client = await Acquirer.connect(host)
    yield client
    await client.close()
