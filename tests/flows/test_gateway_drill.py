"""Kill the gateway of terminals and the card host at random: what a terminal was told is what stands."""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from shanraq import accounts, partners, terminals
from shanraq.core.actor import SYSTEM
from shanraq.core.crypto import Keyring
from shanraq.core.db import Database
from shanraq.ops.postgres import EmbeddedPostgres
from shanraq.ops.verify import verify_database
from shanraq.simulators.iso8583 import Standing, read_journal
from shanraq.standards.iso8583 import Message, codec, framing
from shanraq.standards.iso8583.flow import original_data, repeat_mti
from tests.flows.platform import Server, free_port, onboard
from tests.flows.test_card_host_drill import Host, drained, references

FULL = os.environ.get("SHANRAQ_DRILL") == "full"
KILLS = 60 if FULL else 2
TERMINALS = 6
CODEC = codec("iso87_asciibin")
FRAMING = framing("binary2")


@dataclass
class Till:
    """A terminal as the standard wants it: it reverses what is not answered, and repeats that until it is."""

    port: int
    terminal: str
    seed: random.Random
    approved: dict[str, int] = field(default_factory=dict)
    reversed: set[str] = field(default_factory=set)
    refused: int = 0
    stop: bool = False
    _stan: int = 0

    def message(self, mti: str, fields: dict[int, str]) -> Message:
        self._stan += 1
        own = {
            3: "000000",
            7: "1126120000",
            11: f"{self._stan:06d}",
            41: self.terminal,
            42: "DRILL          ",
            49: "398",
        }
        return Message(mti, dict(sorted({**own, **fields}.items())))

    async def exchange(self, message: Message, seconds: float) -> Message | None:
        try:
            async with asyncio.timeout(seconds):
                reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
                try:
                    writer.write(FRAMING.frame(CODEC.encode(message)))
                    frames = FRAMING.reader()
                    while data := await reader.read(65536):
                        for received in frames.feed(data):
                            return CODEC.decode(received.message)
                finally:
                    writer.close()
        except (OSError, TimeoutError):
            pass
        return None

    async def run(self) -> None:
        while not self.stop:
            amount = self.seed.randint(100, 9000)
            sale = self.message("0200", {2: "4111111111111111", 4: f"{amount:012d}", 14: "3112"})
            sale.fields[37] = f"{self.terminal[-2:]}{self._stan:010d}"
            sale.fields = dict(sorted(sale.fields.items()))
            answer = await self.exchange(sale, 2.5)
            if answer is not None and answer.fields[39] == "00":
                self.approved[sale.fields[37]] = amount
                if self.seed.random() < 0.7:
                    continue
            elif answer is not None:
                self.refused += 1
                continue
            await self._reverse(sale)

    async def _reverse(self, sale: Message) -> None:
        reversal = self.message(
            "0400", {2: sale.fields[2], 4: sale.fields[4], 37: sale.fields[37], 90: original_data(sale)}
        )
        while True:
            answer = await self.exchange(reversal, 2.0)
            if answer is not None and answer.fields[39] in ("00", "25"):
                self.approved.pop(sale.fields[37], None)
                self.reversed.add(sale.fields[37])
                return
            reversal = Message(repeat_mti(reversal.mti), dict(reversal.fields))
            await asyncio.sleep(0.1)


@pytest.mark.drill
@pytest.mark.timeout(2400)
async def test_what_a_terminal_was_told_is_what_stands(durable_postgres: EmbeddedPostgres, durable_dir: Path) -> None:
    seed = random.Random(20261127)
    dsn = durable_postgres.dsn("shanraq")
    folder = durable_dir / "server"
    (folder / "keys").mkdir(parents=True)
    keyring = Keyring.load_or_create(folder / "keys" / "master.keys")
    db = await Database.connect(dsn, max_size=4)
    host, switch_port = Host(folder), free_port()
    environment = {
        "SHANRAQ_CARD_GATEWAY": "card_host",
        "SHANRAQ_CARD_HOST_SANDBOX_ADDRESSES": f"127.0.0.1:{host.port}",
        "SHANRAQ_CARD_HOST_SANDBOX_TIMEOUT_SECONDS": "1",
        "SHANRAQ_RECOVER_AFTER_SECONDS": "5",
        "SHANRAQ_SWITCH_PORT": str(switch_port),
    }
    server = Server.on(dsn, folder, extra=environment)
    server.roles = ("worker", "iso8583")
    try:
        issued = await onboard(db, keyring)
        credentials = partners.BasicCredentials(issued.id, issued.secret)
        actor = await partners.authenticate(db, keyring, credentials, address="127.0.0.1")
        account = await accounts.open_account(db, actor, accounts.NewAccount(currency="KZT"))
        tills = []
        for number in range(TERMINALS):
            new = terminals.NewTerminal(terminal=f"TILL{number:04d}", acceptor="DRILL", account_id=account.id)
            await terminals.register_terminal(db, actor, new)
            tills.append(Till(switch_port, new.terminal, random.Random(number)))
        await host.start()
        await server.start()
        running = [asyncio.create_task(till.run()) for till in tills]
        for _ in range(KILLS):
            await asyncio.sleep(seed.uniform(0.5, 3.0))
            assert not any(task.done() for task in running), [task for task in running if task.done()]
            victim: Host | Server = seed.choice((host, server))
            victim.kill()
            await asyncio.sleep(seed.choice((0.0, 0.3, 1.5)))
            assert await verify_database(db) == []
            await victim.start()
        await asyncio.sleep(2)
        for till in tills:
            till.stop = True
        await asyncio.gather(*running)
        await settled(db)
        await drained(db)

        findings = await verify_database(db)
        owners = await references(db)
        async with db.begin(actor) as tx:
            rows = await tx.rows("SELECT id, reference, status FROM payment")
            balance = (await accounts.load_accounts(tx, [account.id]))[account.id]
    finally:
        server.kill()
        host.kill()
        await db.close()

    assert findings == []
    assert balance is not None
    approved = {rrn: amount for till in tills for rrn, amount in till.approved.items()}
    reversed_ = {rrn for till in tills for rrn in till.reversed}
    references_of = {row["id"]: row["reference"] for row in rows}
    standing: Counter[str] = Counter()
    for rrn, one in read_journal(host.journal).items():
        assert one.held == 0, one
        standing[references_of[owners[rrn]]] += _taken(one)
    assert {rrn: amount for rrn, amount in standing.items() if amount} == approved
    assert {row["reference"]: row["status"] for row in rows if row["status"] == "captured"}.keys() == approved.keys()
    assert reversed_, "some were reversed"
    assert len(approved) > KILLS


def _taken(standing: Standing) -> int:
    return standing.captured - standing.refunded


async def settled(db: Database) -> None:
    """Wait until every payment has an outcome and every reversal of a terminal is carried out."""
    for _ in range(1800):
        async with db.begin(SYSTEM) as tx:
            left = await tx.value(
                """SELECT (SELECT count(*) FROM terminal_message WHERE status = 'accepted')
                        + (SELECT count(*) FROM payment_operation WHERE next_check_at IS NOT NULL)"""
            )
        if not left:
            return
        await asyncio.sleep(0.1)
    raise AssertionError("payments or reversals stay open")
