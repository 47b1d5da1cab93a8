from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from shanraq.simulators.visa import VisaCredentials, VisaSimulator
from shanraq.simulators.visa.credentials_make import obtain
from tests.simulators.visa.client import Merchant
from tests.simulators.visa.control import Control

CONTROL_TOKEN = "control-token"


@pytest.fixture
async def simulator() -> AsyncIterator[VisaSimulator]:
    async with VisaSimulator(VisaCredentials.generate(), index_lag_seconds=0, control_token=CONTROL_TOKEN) as running:
        yield running


@pytest.fixture
async def merchant(simulator: VisaSimulator) -> AsyncIterator[Merchant]:
    known = simulator.credentials
    client = Merchant(simulator.base_url, known.merchant_id, known.key_id, known.secret)
    yield client
    await client.http.aclose()


@pytest.fixture
async def stranger(simulator: VisaSimulator) -> AsyncIterator[Merchant]:
    """The other merchant of the same simulator."""
    known = simulator.credentials
    client = Merchant(simulator.base_url, known.other_merchant_id, known.other_key_id, known.other_secret)
    yield client
    await client.http.aclose()


@pytest.fixture(scope="session")
def credentials_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A complete set of credentials, as the simulator makes it, with its files beside."""
    file = tmp_path_factory.mktemp("credentials") / "visa.json"
    obtain(file)
    return file


@pytest.fixture
def control(simulator: VisaSimulator) -> Control:
    return Control(simulator, CONTROL_TOKEN)
