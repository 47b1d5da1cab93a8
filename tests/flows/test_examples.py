from __future__ import annotations

import asyncio
import importlib.util
import json
import re
import socket
import subprocess
import sys
import threading
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
from tests.flows.platform import Server, free_port, onboard

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"


@dataclass
class Running:
    """A server that may deliver to `webhook_port` of this machine, a partner's key, an operator's token."""

    url: str
    webhook_port: int
    key_id: str
    secret: str
    token: str


@pytest.fixture
async def running(database: Database, owner_dsn: str, tmp_path: Path) -> AsyncIterator[Running]:
    (tmp_path / "keys").mkdir()
    keyring = Keyring.load_or_create(tmp_path / "keys" / "master.keys")
    async with VisaSimulator(VisaCredentials.generate(), index_lag_seconds=0.2) as simulator:
        webhook_port = free_port()
        receiver = {
            "SHANRAQ_WEBHOOK_ALLOW_CIDRS": "127.0.0.1/32",
            "SHANRAQ_WEBHOOK_ALLOW_PORTS": str(webhook_port),
        }
        server = Server.on(owner_dsn, tmp_path, simulator, receiver)
        issued = await onboard(database, keyring)
        async with database.begin(SYSTEM) as tx:
            _, token = await partners.create_operator(tx, keyring, "Example", partners.OPERATOR_SCOPES)
        await server.start()
        try:
            yield Running(server.url, webhook_port, issued.id, issued.secret.reveal(), token.reveal())
        finally:
            server.stop()


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


async def test_the_python_client_takes_a_payment(running: Running) -> None:
    said = await asyncio.to_thread(
        run, sys.executable, str(EXAMPLES / "python_client.py"), running.url, running.key_id, running.secret
    )

    assert "one payment: True" in said
    assert "partially_refunded refunded 500000" in said
    assert "refused: invalid_field amount" in said
    assert "balance 1000000" in said


async def test_the_python_client_receives_the_webhooks_of_its_payment(running: Running) -> None:
    said = await asyncio.to_thread(
        run,
        sys.executable,
        str(EXAMPLES / "python_client.py"),
        running.url,
        running.key_id,
        running.secret,
        str(running.webhook_port),
    )

    told = [line.split()[1] for line in said.splitlines() if line.startswith("webhook ")]
    assert "payment.refunded" in told
    assert len(told) == len(set(told))


async def test_curl_goes_the_whole_way(running: Running) -> None:
    said = await asyncio.to_thread(run, "bash", str(EXAMPLES / "curl.sh"), running.url, running.token)

    assert "is captured, the account holds 1500000 tiyn" in said


def load_client() -> ModuleType:
    spec = importlib.util.spec_from_file_location("python_client", EXAMPLES / "python_client.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def snippet(language: str, beginning: str) -> str:
    """Return the README's code block of a language that begins so."""
    blocks = re.findall(rf"```{language}\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    (found,) = [block for block in blocks if block.startswith(beginning)]
    return str(found).replace("http://127.0.0.1:8080", "{url}")


def shop_of(running: Running) -> tuple[str, str]:
    """Return a card and an account of the partner."""
    shop = load_client().Shanraq(running.url, running.key_id, running.secret)
    card = shop.post("/v1/payment-methods", {"number": "4111111111111111", "expiry_month": 12, "expiry_year": 2031})
    return card["id"], shop.post("/v1/accounts", {"currency": "KZT"})["id"]


async def test_the_curl_of_the_readme_pays(running: Running) -> None:
    card, account = await asyncio.to_thread(shop_of, running)
    command = snippet("sh", "curl").replace("{url}", running.url).replace("pm_...", card).replace("acc_...", account)

    said = await asyncio.to_thread(run, "bash", "-c", f"KEY_ID={running.key_id} SECRET={running.secret}\n{command}")

    assert json.loads(said)["status"] == "authorized"


async def test_the_python_of_the_readme_pays(running: Running) -> None:
    card, account = await asyncio.to_thread(shop_of, running)
    client = load_client()
    names = {"Shanraq": client.Shanraq, "key_id": running.key_id, "secret": running.secret, "card": card}
    names["account"] = account
    code = snippet("python", "shop").replace("{url}", running.url)

    await asyncio.to_thread(exec, code, names)

    shop = client.Shanraq(running.url, running.key_id, running.secret)
    assert (await asyncio.to_thread(shop.get, f"/v1/accounts/{account}/balance"))["posted"] == 1_500_000


@pytest.mark.parametrize("document", [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")], ids=lambda path: path.name)
def test_the_links_of_the_documents_lead_somewhere(document: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)\)", document.read_text())

    assert [link for link in links if "://" not in link and not (document.parent / link).exists()] == []


def answer_in_turn(*answers: bytes) -> tuple[str, list[bytes]]:
    """Return the address of a server that gives these answers, one a connection, and what it was asked."""
    listener, asked = socket.create_server(("127.0.0.1", 0)), []

    def serve() -> None:
        with listener:
            for answer in answers:
                connection, _ = listener.accept()
                with connection:
                    asked.append(connection.recv(65_536))
                    connection.sendall(answer)

    threading.Thread(target=serve, daemon=True).start()
    return f"http://127.0.0.1:{listener.getsockname()[1]}", asked


def http_answer(status: str, body: bytes, kind: str = "application/json") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


@pytest.mark.parametrize(
    "undecided",
    [
        b"",
        b"HTTP/1.1 201 Created\r\nContent-Length: 100\r\n\r\n{",
        http_answer("502 Bad Gateway", b"<html>", "text/html"),
        http_answer("503 Service Unavailable", b'{"code":"outcome_unknown"}', "application/problem+json"),
        http_answer("409 Conflict", b'{"code":"idempotency_key_in_use"}', "application/problem+json"),
    ],
    ids=["connection closed", "cut short", "bad gateway", "outcome unknown", "still running"],
)
def test_the_client_repeats_what_was_not_decided_with_the_same_key(undecided: bytes) -> None:
    url, asked = answer_in_turn(undecided, http_answer("201 Created", b'{"id":"pay_1"}'))

    answer = load_client().Shanraq(url, "key_1", "secret").post("/v1/payments", {}, key="order-1")

    assert answer == {"id": "pay_1"}
    assert [b"order-1" in request for request in asked] == [True, True]


def test_the_client_does_not_repeat_what_was_refused() -> None:
    client = load_client()
    refusal = http_answer("422 Unprocessable", b'{"code":"card_expired"}', "application/problem+json")
    url, asked = answer_in_turn(refusal)

    with pytest.raises(client.Problem) as refused:
        client.Shanraq(url, "key_1", "secret").post("/v1/payments", {})

    assert refused.value.code == "card_expired"
    assert len(asked) == 1


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
    for missing in headers:
        with pytest.raises(ValueError, match=r".+"):
            client.verify_webhook(secret, {**headers, missing: ""}, body.encode())
    with pytest.raises(ValueError, match="signature"):
        client.verify_webhook(secret, {**headers, "webhook-signature": "v1,\u00e9"}, body.encode())
