"""Kill the platform and the card host at random under load: no reversal is lost, none doubled, books and host agree."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from shanraq.core.actor import SYSTEM
from shanraq.core.crypto import Keyring
from shanraq.core.db import Database
from shanraq.ops.postgres import EmbeddedPostgres
from shanraq.ops.verify import verify_database
from shanraq.simulators.iso8583 import Standing, read_journal
from tests.flows.platform import Client, Server, free_port, onboard
from tests.flows.test_kill_drill import lay_ground, pay, settle

FULL = os.environ.get("SHANRAQ_DRILL") == "full"
KILLS = 60 if FULL else 2
CLIENTS = 6

RULES = [
    {"match": {"probability": 0.03}, "then": {"drop": "before"}},
    {"match": {"probability": 0.05}, "then": {"drop": "after"}},
    {"match": {"probability": 0.03}, "then": {"delay_seconds": 1.3}},
    {"match": {"probability": 0.02}, "then": {"duplicate": True}},
    {"match": {"probability": 0.02}, "then": {"garbage": True}},
    {"match": {"probability": 0.02}, "then": {"disconnect": "after"}},
    {"match": {"probability": 0.03, "mti": "0100"}, "then": {"response_code": "51"}},
]


@dataclass
class Host:
    """The host simulator in a process of its own, with its journal."""

    folder: Path
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def journal(self) -> Path:
        return self.folder / "host.jsonl"

    async def start(self) -> None:
        rules = self.folder / "rules.json"
        rules.write_text(json.dumps(RULES))
        with (self.folder / "host.log").open("ab") as output:
            self.process = subprocess.Popen(  # noqa: ASYNC220
                [
                    sys.executable, "-m", "shanraq", "simulate", "iso8583", "--port", str(self.port), "--journal",
                    str(self.journal), "--rules", str(rules),
                ],
                stdout=output, stderr=output, start_new_session=True,
            )  # fmt: skip
        for _ in range(600):
            assert self.process.poll() is None, (self.folder / "host.log").read_text()[-2000:]
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", self.port)
            except OSError:
                await asyncio.sleep(0.05)
                continue
            writer.close()
            return
        raise AssertionError("the host did not start within 30 s")

    def kill(self) -> None:
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(30)
        self.process = None


async def load(client: Client, work: Any, number: int, seed: random.Random) -> None:
    step = 0
    while not work.stop:
        step += 1
        await pay(client, work, f"{number}-{step}", seed.choice(work.accounts), seed)


async def drained(db: Database) -> None:
    """Wait until nothing waits to be delivered and nothing is under way."""
    for _ in range(1500):
        async with db.begin(SYSTEM) as tx:
            left = await tx.value(
                """
                SELECT (SELECT count(*) FROM host_forward WHERE status = 'waiting')
                     + (SELECT count(*) FROM host_exchange WHERE status IN ('sending', 'lost'))
                """
            )
        if not left:
            return
        await asyncio.sleep(0.1)
    raise AssertionError("the queue was not delivered")


async def references(db: Database) -> dict[str, str]:
    """Return the payment of every reference number."""
    async with db.begin(SYSTEM) as tx:
        rows = await tx.rows("SELECT DISTINCT rrn, reference FROM host_exchange WHERE rrn <> ''")
    found = {row["rrn"]: row["reference"] for row in rows}
    assert len(found) == len(rows), "a reference number belongs to one payment"
    return found


def agree(payments: list[dict[str, Any]], standings: Mapping[str, Standing], owners: Mapping[str, str]) -> list[str]:
    """Compare what the platform says of each payment with what stands at the host; return what differs."""
    at_host: dict[str, Standing] = {owners[rrn]: standing for rrn, standing in standings.items()}
    differing = []
    for payment in payments:
        standing = at_host.get(payment["id"], Standing())
        captured, refunded = payment["amount_captured"], payment["amount_refunded"]
        match payment["status"]:
            case "failed" | "voided":
                expected = Standing(0, 0, 0, 0)
            case "authorized":
                expected = Standing(1, 0, 0, payment["amount_authorized"])
            case _:
                expected = Standing(1, captured, refunded, 0)
        if standing != expected:
            differing.append(f"{payment['id']} is {payment['status']}: {expected}, at the host {standing}")
    known = {payment["id"] for payment in payments}
    differing += [
        f"{owner} stands at the host alone" for owner, one in at_host.items() if owner not in known and any(one)
    ]
    return differing


@pytest.mark.drill
@pytest.mark.timeout(2400)
async def test_killing_platform_and_host_loses_and_doubles_no_reversal(
    durable_postgres: EmbeddedPostgres, durable_dir: Path
) -> None:
    seed = random.Random(20261126)
    dsn = durable_postgres.dsn("shanraq")
    folder = durable_dir / "server"
    (folder / "keys").mkdir(parents=True)
    keyring = Keyring.load_or_create(folder / "keys" / "master.keys")
    db = await Database.connect(dsn, max_size=4)
    host = Host(folder)
    environment = {
        "SHANRAQ_CARD_GATEWAY": "card_host",
        "SHANRAQ_CARD_HOST_SANDBOX_ADDRESSES": f"127.0.0.1:{host.port}",
        "SHANRAQ_CARD_HOST_SANDBOX_TIMEOUT_SECONDS": "1",
        "SHANRAQ_RECOVER_AFTER_SECONDS": "5",
    }
    server = Server.on(dsn, folder, extra=environment)
    try:
        await host.start()
        issued = await onboard(db, keyring)
        await server.start()
        client = Client.of(server.url, issued)
        work = await lay_ground(client)
        clients = [asyncio.create_task(load(client, work, n, random.Random(n))) for n in range(CLIENTS)]
        for _ in range(KILLS):
            await asyncio.sleep(seed.uniform(0.5, 3.0))
            assert not any(task.done() for task in clients), [task for task in clients if task.done()]
            victim: Host | Server = seed.choice((host, server))
            victim.kill()
            await asyncio.sleep(seed.choice((0.0, 0.3, 1.5)))
            assert await verify_database(db) == []
            await victim.start()
        await asyncio.sleep(2)
        work.stop = True
        await asyncio.gather(*clients)
        found = await settle(client, work)
        await drained(db)

        findings = await verify_database(db)
        owners = await references(db)
        async with db.begin(SYSTEM) as tx:
            forwards = await tx.rows("SELECT kind, status, count(*) AS count FROM host_forward GROUP BY 1, 2")
    finally:
        server.kill()
        host.kill()
        await db.close()

    assert findings == []
    assert agree(found, read_journal(host.journal), owners) == []
    delivered = Counter({(row["kind"], row["status"]): row["count"] for row in forwards})
    assert {status for _, status in delivered} <= {"answered", "superseded"}, delivered
    assert delivered["reversal", "answered"] > 0, delivered
    assert len(work.payments) > KILLS
