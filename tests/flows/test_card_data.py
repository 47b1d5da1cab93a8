"""A card number and a security code go through the platform, also where they do not belong, and are nowhere afterwards."""

from __future__ import annotations

import asyncio
import random
import re
from pathlib import Path

import msgspec
import pytest

from shanraq.core.crypto import Keyring
from shanraq.core.db import Database
from shanraq.core.http import HttpClient, Request
from shanraq.core.secret import luhn_valid
from shanraq.simulators.visa import FaultKind, VisaCredentials, VisaSimulator
from tests.cards.scan import complain, findings, scan_database
from tests.flows.platform import Client, Server, free_port, onboard

PAID = {"captured", "authorized"}


def new_number(dice: random.Random) -> str:
    """Return a number of sixteen digits that no test uses."""
    head = "49" + "".join(str(dice.randrange(10)) for _ in range(13))
    return next(head + str(digit) for digit in range(10) if luhn_valid(head + str(digit)))


async def test_planted_card_data_is_found_nowhere(database: Database, owner_dsn: str, tmp_path: Path) -> None:
    dice = random.Random()
    number, code = new_number(dice), str(dice.randrange(3000, 9999))
    numbers, codes = frozenset({number}), frozenset({code})
    spaced = f"{number[:4]} {number[4:8]} {number[8:12]} {number[12:]}"
    (tmp_path / "keys").mkdir()
    keyring = Keyring.load_or_create(tmp_path / "keys" / "master.keys")
    heard: list[str] = []
    port = free_port()

    async def receive(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(re.search(rb"(?i)content-length: (\d+)", head)[1])  # type: ignore[index]
        heard.append((head + await reader.readexactly(length)).decode())
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    receiver = await asyncio.start_server(receive, "127.0.0.1", port)
    async with VisaSimulator(VisaCredentials.generate(), index_lag_seconds=0.1) as simulator:
        extra = {
            "SHANRAQ_WEBHOOK_ALLOW_CIDRS": "127.0.0.1/32",
            "SHANRAQ_WEBHOOK_ALLOW_PORTS": str(port),
            "SHANRAQ_LOG_LEVEL": "debug",
        }
        server = Server.on(owner_dsn, tmp_path, simulator, extra)
        client = Client.of(server.url, await onboard(database, keyring))
        await server.start()
        try:
            said = await _journey(client, simulator, port, number, spaced, code)
            for _ in range(100):
                if any("refund" in one for one in heard):
                    break
                await asyncio.sleep(0.1)
            metrics = await HttpClient().send(Request("GET", server.url + "/metrics", ()), 10)
        finally:
            server.stop()
        journal = repr(simulator.journal())
    receiver.close()

    assert server.log is not None
    complain(await scan_database(owner_dsn, codes=codes, numbers=numbers), "the database")
    for text, where in (
        (server.log.read_text(), "the log"),
        ("\n".join(heard), "webhooks"),
        *((one, f"answer {one[:400]}") for one in said),
        (metrics.body.decode(), "metrics"),
        (journal, "the simulator's journal"),
    ):
        assert text.strip(), f"nothing in {where}: nothing was looked at"
        complain(findings(text, codes=codes, numbers=numbers), where)
    assert any("payment.captured" in one or "payment.completed" in one for one in heard)
    assert number[:6] in "".join(said), "the masked number is told"


async def _journey(
    client: Client, simulator: VisaSimulator, port: int, number: str, spaced: str, code: str
) -> list[str]:
    """Pay with the card in every way, and put it where it does not belong; return everything that was answered."""
    said: list[str] = []

    async def ask(method: str, path: str, body: object = None, key: str | None = None) -> dict[str, object]:
        status, answer = await client.call(method, path, body, key)
        said.append(msgspec.json.encode([status, answer]).decode())
        return answer or {}

    await ask(
        "POST",
        "/v1/webhook-endpoints",
        {"url": f"http://127.0.0.1:{port}/", "event_types": ["payment.*", "refund.*"]},
        "hook",
    )
    account = await ask("POST", "/v1/accounts", {"currency": "KZT", "name": "Shop"}, "acc")
    card = {"number": number, "expiry_month": 12, "expiry_year": 2032}
    method = await ask("POST", "/v1/payment-methods", card, "card")
    for wrong in (
        {**card, "number": number[:-1] + str((int(number[-1]) + 1) % 10)},
        {**card, "number": spaced},
        {**card, "expiry_month": number},
        {**card, "expiry_year": int(number)},
        {**card, "metadata": {"card": spaced}},
        {**card, number: "x"},
        {**card, "security_code": code},
        {**card, "customer_id": number},
        [number, code],
        number,
    ):
        await ask("POST", "/v1/payment-methods", wrong, f"wrong {wrong!r:.0}{len(said)}")
    payment = {
        "payment_method_id": method["id"], "account_id": account["id"], "amount": 1000, "currency": "KZT",
        "security_code": code, "capture": True,
    }  # fmt: skip
    paid = await ask("POST", "/v1/payments", payment, "sale")
    assert paid["status"] in PAID, paid
    await ask("POST", f"/v1/payments/{paid['id']}/refunds", {"amount": 100}, "refund")
    for number_of, fault in enumerate((FaultKind.DROP_AFTER, FaultKind.HTTP_502, FaultKind.GARBAGE)):
        simulator.fail_next(fault)
        await ask("POST", "/v1/payments", payment, f"fault {number_of}")
    for wrong in (
        {**payment, "reference": number},
        {**payment, "description": f"paid by {spaced}"},
        {**payment, "metadata": {"pan": number}},
        {**payment, "metadata": {number: "pan"}},
        {**payment, "payment_method_id": number},
        {**payment, "account_id": number},
        {**payment, "amount": int(number)},
        {**payment, "currency": number},
        {**payment, "security_code": number},
        {**payment, "cvv": code},
        {**payment, "billing": {"first_name": number, "last_name": code + "x"}},
        {**payment, "billing": {"postal_code": number}},
    ):
        await ask("POST", "/v1/payments", wrong, f"payment {len(said)}")
    await ask("POST", "/v1/payments", payment, number)
    await ask("POST", f"/v1/payments/{paid['id']}/refunds", {"amount": 1}, spaced)
    await ask("POST", "/v1/payment-methods", card, number)
    await ask("GET", f"/v1/payments/{number}")
    await ask("GET", f"/v1/payments?cursor={number}")
    await ask("GET", f"/v1/payment-methods/{number}?number={number}&security_code={code}")
    return said


@pytest.mark.parametrize("seed", range(3))
def test_a_new_number_is_a_card_number_no_test_uses(seed: int) -> None:
    number = new_number(random.Random(seed))

    assert findings(f"x {number} x", numbers=frozenset({number}))
    assert not findings(f"x {number} x")
