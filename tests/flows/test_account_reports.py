"""Account reports over HTTP, and by a worker that is killed again and again: each booking is notified once."""

from __future__ import annotations

import asyncio
import os
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import msgspec

from shanraq import messages
from shanraq.core.actor import SYSTEM
from shanraq.core.crypto import Keyring
from shanraq.core.db import Database
from shanraq.core.settings import Settings
from shanraq.ops.role import Role
from shanraq.ops.serve import running
from shanraq.standards import iso20022
from tests.flows.platform import Client, Server, onboard
from tests.statements.conftest import balances, booked, texts

KILLS = 30 if os.environ.get("SHANRAQ_DRILL") == "full" else 2
CLIENTS = 4


async def test_reports_are_asked_for_and_fetched_over_http(owner_dsn: str, tmp_path: Path) -> None:
    settings = Settings(
        database_url=owner_dsn, data_dir=str(tmp_path), port=0, unsafe=True, log_level="error", institution_bic="HSBKKZKX"
    )  # fmt: skip
    async with running(settings, frozenset({Role.API, Role.WORKER})) as now:
        issued = await onboard(now.platform.db, now.platform.keyring)
        auth = (issued.id, issued.secret.reveal())
        async with httpx.AsyncClient(base_url=now.url, auth=auth) as client:
            source = (await client.post("/v1/accounts", json={"currency": "KZT", "allow_negative": True})).json()
            account = (await client.post("/v1/accounts", json={"currency": "KZT", "name": "Till"})).json()
            base = f"/v1/accounts/{account['id']}"
            wanted = await client.put(f"{base}/reports", json={"notifications": True, "statements": True})
            move = {"debit_account": source["id"], "credit_account": account["id"], "amount": 150, "currency": "KZT"}
            await client.post("/v1/transactions", json=move, headers={"Idempotency-Key": "one"})

            today = datetime.now(now.platform.institution.zone).date()
            intraday = await client.get(f"{base}/reports/intraday")
            older = await client.get(f"{base}/reports/intraday", params={"version": "camt.052.001.02"})
            notification = await client.get(f"{base}/notifications", params={"limit": 5})
            refused = []
            for path in (
                f"statements/{today}", f"statements/{today - timedelta(days=1)}", "statements/2026-13-01",
                "statements/20261101", "reports/intraday?version=camt.052.001.99", "reports/intraday?version=x",
                "notifications?limit=1001",
            ):  # fmt: skip
                answer = await client.get(f"{base}/{path}")
                refused.append((answer.status_code, answer.json()["code"]))
            bad = await client.put(f"{base}/reports", json={"intraday_minutes": 1441})
            listed: list[dict[str, str]] = []
            for _ in range(200):
                listed = (await client.get("/v1/messages")).json()["items"]
                if listed:
                    break
                await asyncio.sleep(0.05)
            kept = await client.get(f"/v1/messages/{listed[0]['id']}/content")
            found = await client.get("/v1/messages", params={"message_id": listed[0]["message_id"]})
            one = await client.get(f"/v1/messages/{listed[0]['id']}")
            none = await client.get(f"/v1/messages/msg_{'0' * 26}/content")
            read_back = await client.get(f"{base}/reports")

    assert wanted.status_code == 200
    assert wanted.json()["notifications"] is True
    assert read_back.json()["notified_sequence"] == 1
    for answer in (intraday, older, notification, kept):
        assert (answer.status_code, answer.headers["content-type"]) == (200, "application/xml")
        assert iso20022.validate(answer.content, as_of=datetime.now(UTC)).valid
        assert booked(answer.content) == [("1", 150)]
    assert b"camt.052.001.02" in older.content
    assert balances(intraday.content) == {"OPBD": 0, "ITBD": 150, "ITAV": 150}
    assert texts(kept.content, "GrpHdr/MsgId") == [listed[0]["message_id"]]
    assert found.json()["items"] == listed
    assert one.json() == listed[0]
    assert (none.status_code, none.json()["code"]) == (404, "message_not_found")
    assert refused == [
        (409, "day_not_over"), (404, "statement_not_found"), (400, "invalid_input"), (400, "invalid_input"),
        (422, "unknown_message_version"), (400, "invalid_field"), (400, "invalid_field"),
    ]  # fmt: skip
    assert bad.status_code == 400


async def test_a_worker_that_is_killed_notifies_each_booking_once(owner_dsn: str, tmp_path: Path) -> None:
    keyring = Keyring.load_or_create(_keyring_path(tmp_path))
    db = await Database.connect(owner_dsn)
    issued = await onboard(db, keyring)
    server = Server.on(owner_dsn, tmp_path)
    dice = random.Random(7)
    try:
        await server.start()
        client = Client.of(server.url, issued)
        _, source = await client.call("POST", "/v1/accounts", {"currency": "KZT", "allow_negative": True})
        _, account = await client.call("POST", "/v1/accounts", {"currency": "KZT"})
        path = f"/v1/accounts/{account['id']}/reports"
        await client.call("PUT", path, {"notifications": True})
        stop = False

        async def book(number: int) -> list[str]:
            made: list[str] = []
            while not stop:
                body = {
                    "debit_account": source["id"], "credit_account": account["id"], "amount": number + 1, "currency": "KZT",
                }  # fmt: skip
                _, moved = await client.call("POST", "/v1/transactions", body, f"{number}-{len(made)}")
                made.append(moved["id"])
            return made

        working = [asyncio.create_task(book(number)) for number in range(CLIENTS)]
        for _ in range(KILLS):
            await asyncio.sleep(dice.uniform(1.0, 3.0))
            server.kill()
            await server.start()
        await asyncio.sleep(1.5)
        stop = True
        booked_ids = [transaction_id for made in await asyncio.gather(*working) for transaction_id in made]
        for _ in range(300):
            _, reports = await client.call("GET", path)
            if reports["notified_sequence"] == len(booked_ids):
                break
            await asyncio.sleep(0.1)
        await client.http.close()
    finally:
        server.stop()
    async with db.begin(SYSTEM) as tx:
        rows = await tx.rows("SELECT data FROM event_outbox WHERE type = 'account.reported' ORDER BY id")
        kept = await tx.value("SELECT count(*) FROM iso_message")
    notified: list[str] = []
    async with db.begin(SYSTEM) as tx:
        for row in rows:
            raw = await messages.content(tx, keyring, msgspec.json.decode(row["data"])["message_id"])
            notified += texts(raw, "Ntry/AcctSvcrRef")
    await db.close()

    assert len(rows) == kept > KILLS
    assert len(booked_ids) > 20
    assert sorted(notified) == sorted(booked_ids)


def _keyring_path(folder: Path) -> Path:
    path = Settings(data_dir=str(folder)).keyring_path
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path
