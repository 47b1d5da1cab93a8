from __future__ import annotations

import importlib.util
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest
from standardwebhooks import Webhook

from shanraq import partners
from shanraq.core.actor import SYSTEM
from shanraq.core.crypto import Keyring
from shanraq.core.db import Database
from shanraq.simulators.visa import VisaCredentials, VisaSimulator
from tests.flows.platform import Server, onboard

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@dataclass
class Running:
    """A server, a partner's key, an operator's token."""

    url: str
    key_id: str
    secret: str
    token: str


@pytest.fixture
async def running(database: Database, owner_dsn: str, tmp_path: Path) -> AsyncIterator[Running]:
    (tmp_path / "keys").mkdir()
    keyring = Keyring.load_or_create(tmp_path / "keys" / "master.keys")
    async with VisaSimulator(VisaCredentials.generate(), index_lag_seconds=0.2) as simulator:
        server = Server.on(owner_dsn, tmp_path, simulator)
        issued = await onboard(database, keyring)
        async with database.begin(SYSTEM) as tx:
            _, token = await partners.create_operator(tx, keyring, "Example", partners.OPERATOR_SCOPES)
        await server.start()
        try:
            yield Running(server.url, issued.id, issued.secret.reveal(), token.reveal())
        finally:
            server.stop()


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


async def test_the_python_client_takes_a_payment(running: Running) -> None:
    import asyncio

    said = await asyncio.to_thread(
        run, sys.executable, str(EXAMPLES / "python_client.py"), running.url, running.key_id, running.secret
    )

    assert "one payment: True" in said
    assert "partially_refunded refunded 500000" in said
    assert "refused: invalid_field amount" in said
    assert "balance 1000000" in said


async def test_curl_goes_the_whole_way(running: Running) -> None:
    import asyncio

    said = await asyncio.to_thread(run, "bash", str(EXAMPLES / "curl.sh"), running.url, running.token)

    assert "is captured, the account holds 1500000 tiyn" in said


def load_client() -> ModuleType:
    spec = importlib.util.spec_from_file_location("python_client", EXAMPLES / "python_client.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_client_believes_genuine_webhooks_only() -> None:
    from datetime import UTC, datetime

    client, secret, body = (
        load_client(),
        "whsec_AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=",
        '{"type":"payment.completed"}',
    )
    now = datetime.now(UTC)
    headers = {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(secret).sign("msg_1", now, body),
    }

    assert client.verify_webhook(secret, headers, body.encode())["type"] == "payment.completed"
    with pytest.raises(ValueError, match="signature"):
        client.verify_webhook(secret, headers, body.encode() + b" ")
    with pytest.raises(ValueError, match="old"):
        client.verify_webhook(secret, {**headers, "webhook-timestamp": str(int(time.time()) - 301)}, body.encode())
