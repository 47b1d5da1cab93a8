"""Kill the server at random moments under load: nothing acknowledged is lost, nothing happens twice, the books hold."""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from shanraq.core.actor import SYSTEM
from shanraq.core.crypto import Keyring
from shanraq.core.db import Database
from shanraq.ops.postgres import EmbeddedPostgres
from shanraq.ops.verify import verify_database
from shanraq.simulators.visa import VisaCredentials, VisaSimulator
from tests.flows.platform import Client, Server, onboard

KILLS = 50 if os.environ.get("SHANRAQ_DRILL") == "full" else 2
CLIENTS = 6


@dataclass
class Work:
    """What the clients did: the acknowledged answer of every key."""

    accounts: list[str]
    card: str
    answers: dict[str, dict[str, Any]] = field(default_factory=dict)
    payments: dict[str, dict[str, Any]] = field(default_factory=dict)
    stop: bool = False


@pytest.fixture
async def simulator() -> AsyncIterator[VisaSimulator]:
    async with VisaSimulator(VisaCredentials.generate(), index_lag_seconds=0.2) as running:
        yield running


async def lay_ground(client: Client) -> Work:
    _, source = await client.call("POST", "/v1/accounts", {"currency": "KZT", "allow_negative": True})
    opened = []
    for number in range(4):
        _, customer = await client.call(
            "POST",
            "/v1/customers",
            {"details": {"kind": "person", "given_name": "A", "family_name": "B"}, "reference": f"c{number}"},
        )
        _, account = await client.call("POST", "/v1/accounts", {"currency": "KZT", "customer_id": customer["id"]})
        opened.append(account["id"])
        status, moved = await client.call(
            "POST",
            "/v1/transactions",
            {"debit_account": source["id"], "credit_account": account["id"], "amount": 1_000_000, "currency": "KZT"},
            f"fund-{number}",
        )
        assert (status, moved["status"]) == (201, "executed")
    card = {"number": "4111111111111111", "expiry_month": 12, "expiry_year": 2031}
    _, method = await client.call("POST", "/v1/payment-methods", card, "card")
    return Work(opened, method["id"])


async def load(client: Client, work: Work, number: int, seed: random.Random) -> None:
    """Do random things, each under a key of its own, until told to stop; every answer is remembered."""
    step = 0
    while not work.stop:
        step += 1
        key = f"{number}-{step}"
        debit, credit = seed.sample(work.accounts, 2)
        match seed.randrange(4):
            case 0:
                body = {
                    "debit_account": debit,
                    "credit_account": credit,
                    "amount": seed.randint(1, 900),
                    "currency": "KZT",
                }
                path = "/v1/transactions"
            case 1:
                body = {
                    "sender_account": debit, "recipient_account": credit, "amount": seed.randint(1, 900), "currency": "KZT",
                }  # fmt: skip
                path = "/v1/p2p-transfers"
            case _:
                await pay(client, work, key, credit, seed)
                continue
        status, answer = await client.call("POST", path, body, key)
        assert status == 201, answer
        work.answers[key] = {"path": path, **answer}


async def pay(client: Client, work: Work, key: str, account: str, seed: random.Random) -> None:
    body = {
        "payment_method_id": work.card, "account_id": account, "amount": seed.randint(100, 5000), "currency": "KZT",
        "capture": seed.random() < 0.3, "reference": key,
    }  # fmt: skip
    status, payment = await client.call("POST", "/v1/payments", body, f"{key}-a")
    assert status == 201, payment
    work.answers[f"{key}-a"] = {"path": "/v1/payments", **payment}
    work.payments[payment["id"]] = payment
    if payment["status"] != "authorized":
        return
    path = f"/v1/payments/{payment['id']}"
    if seed.random() < 0.2:
        await client.call("POST", f"{path}/void", None, f"{key}-v")
        return
    status, captured = await client.call("POST", f"{path}/capture", {}, f"{key}-c")
    if status == 200 and captured["status"] == "captured" and seed.random() < 0.5:
        await client.call("POST", f"{path}/refund", {"amount": 1 + captured["amount_captured"] // 2}, f"{key}-r")


async def settle(client: Client, work: Work) -> list[dict[str, Any]]:
    """Wait until every payment has an outcome; return them as they are."""
    for _ in range(600):
        found = [(await client.call("GET", f"/v1/payments/{payment_id}"))[1] for payment_id in work.payments]
        if all(one["operation"]["status"] not in ("sending", "unknown") for one in found):
            return found
        await asyncio.sleep(0.1)
    raise AssertionError("payments stayed unknown")


def charged(simulator: VisaSimulator) -> dict[str, Counter[str]]:
    """Return, for each payment id, what the gateway has taken and given back, in minor units."""
    sums: dict[str, Counter[str]] = {}
    for line in simulator.journal():
        one = sums.setdefault(line["code"], Counter())
        kind, state, amount = line["kind"], line["state"], line["amount_minor"]
        if kind == "authorization" and line["status"] == "AUTHORIZED" and state not in ("VOIDED", "REVERSED"):
            one["authorizations"] += 1
        if (kind == "capture" or line["sale"]) and state != "VOIDED":
            one["captured"] += amount
        if kind == "refund" and state != "VOIDED":
            one["refunded"] += amount
    return sums


@pytest.mark.drill
@pytest.mark.timeout(1800)
async def test_killing_the_server_under_load_loses_and_doubles_nothing(
    durable_postgres: EmbeddedPostgres, durable_dir: Path, simulator: VisaSimulator
) -> None:
    seed = random.Random(20261125)
    dsn = durable_postgres.dsn("shanraq")
    folder = durable_dir / "server"
    (folder / "keys").mkdir(parents=True)
    keyring = Keyring.load_or_create(folder / "keys" / "master.keys")
    db = await Database.connect(dsn, max_size=4)
    server = Server.on(dsn, folder, simulator)
    try:
        issued = await onboard(db, keyring)
        await server.start()
        client = Client.of(server.url, issued)
        work = await lay_ground(client)
        clients = [asyncio.create_task(load(client, work, n, random.Random(n))) for n in range(CLIENTS)]
        for _ in range(KILLS):
            await asyncio.sleep(seed.uniform(0.3, 2.5))
            assert not any(task.done() for task in clients), [task for task in clients if task.done()]
            server.kill()
            assert await verify_database(db) == []
            await server.start()
        await asyncio.sleep(1)
        work.stop = True
        await asyncio.gather(*clients)
        found = await settle(client, work)

        findings = await verify_database(db)
        ids = Counter(answer["id"] for answer in work.answers.values())
        for answer in work.answers.values():
            status, now = await client.call("GET", f"{answer['path']}/{answer['id']}")
            assert status == 200
            assert now["amount"] == answer["amount"]
        gateway = charged(simulator)
        async with db.begin(SYSTEM) as tx:
            stored = await tx.value("SELECT count(*) FROM payment")
            moved = await tx.value("SELECT count(*) FROM transaction WHERE status = 'executed' AND kind = 'transfer'")
    finally:
        server.kill()
        await db.close()

    assert findings == []
    assert set(ids.values()) == {1}, "every key has an object of its own"
    assert stored == len(work.payments)
    transfers = [answer for answer in work.answers.values() if answer["path"] == "/v1/transactions"]
    assert moved == sum(one["status"] == "executed" for one in transfers) + len(work.accounts)
    for payment in found:
        seen = gateway.get(payment["id"], Counter())
        assert seen["authorizations"] <= 1, "the card was charged twice"
        if payment["status"] not in ("voided", "failed"):
            assert seen["captured"] == payment["amount_captured"], payment
            assert seen["refunded"] == payment["amount_refunded"], payment
    assert len(work.payments) > KILLS
