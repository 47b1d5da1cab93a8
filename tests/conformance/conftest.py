"""The Mastercard simulator as a program, for the tests that meet it as strangers."""

from __future__ import annotations

import json
import secrets
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import pytest

from tests.certificates import certificate
from tests.simulators.program import started

if TYPE_CHECKING:
    from tests.conformance.mpgs_client import Gateway, Merchant


@pytest.fixture(scope="module")
async def gateway(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateway]:
    """Start the program on two ports, with two merchants, and a client certificate that stands for the first."""
    # It reads the data, without which the tests of this folder are skipped one by one.
    from tests.conformance.mpgs_client import Gateway

    folder = tmp_path_factory.mktemp("gateway")
    clients = certificate(folder, "clients")
    certificate(folder, "client-of-the-first", clients)
    keys = {
        "mpgs_merchant_id": "TESTFIRST",
        "mpgs_password": secrets.token_hex(16),
        "mpgs_reporting_password": secrets.token_hex(16),
        "mpgs_other_merchant_id": "TESTSECOND",
        "mpgs_other_password": secrets.token_hex(16),
        "mpgs_notification_secret": secrets.token_hex(16),
        "client_cn": "client-of-the-first",
        "client_ca": "clients.pem",
    }
    (folder / "keys.json").write_text(json.dumps(keys))
    token = secrets.token_hex(8)
    options = ("--tls-port", "0", "--credentials", "keys.json", "--control-token", token, "--journal", "journal")
    async with started("mastercard", folder, *options) as (plain, secured):
        made = Gateway(plain, secured, folder / "keys-keys" / "ca.pem", keys, token, folder / "journal")
        yield made
        await made.http.aclose()


@pytest.fixture
def shop(gateway: Gateway) -> Merchant:
    """Return the first merchant."""
    return gateway.merchant()


@pytest.fixture
def other(gateway: Gateway) -> Merchant:
    """Return the second merchant."""
    return gateway.other()
