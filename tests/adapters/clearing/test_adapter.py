"""The adapter against the simulator, over real HTTP, with real signatures."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import httpx
import pytest

from shanraq import credit_transfers
from shanraq.adapters.clearing import ClearingAdapter
from shanraq.core.actor import SYSTEM, Environment
from shanraq.core.crypto import Keyring
from shanraq.core.db import Database
from shanraq.core.settings import ClearingSettings
from shanraq.credit_transfers import (
    ClearingUnavailableError,
    CreditTransfer,
    Interbank,
    NewRecall,
    Refused,
    Unconfirmed,
)
from shanraq.ops.clearing import simulated_clearing
from shanraq.simulators.iso20022 import ClearingConfiguration, ClearingCredentials, ClearingSimulator
from tests.credit_transfers.world import OTHER_BANK, InterbankWorld, iban, instruction
from tests.money_world import Bank

SANDBOX = Environment.SANDBOX
CREDENTIALS = ClearingCredentials.generate()
ELSEWHERE = iban("601", 77)


@dataclass
class Wired:
    """A partner's world whose clearing is the simulator."""

    world: InterbankWorld
    simulator: ClearingSimulator
    adapter: ClearingAdapter
    bank: Interbank

    async def control(self, name: str, **body: object) -> None:
        async with httpx.AsyncClient(trust_env=False) as http:
            answer = await http.post(
                f"{self.simulator.base_url}/control/{name}",
                json=body,
                headers={"Authorization": f"Bearer {self.simulator.configuration.control_token}"},
            )
        assert answer.status_code == 200, answer.text

    async def turn(self) -> None:
        """Let everything happen that can happen now."""
        for _ in range(6):
            while await credit_transfers.execute(self.bank):
                pass
            await credit_transfers.ask(self.bank, SANDBOX)
            while await credit_transfers.send_queued(self.bank, SANDBOX):
                pass
            await self.simulator.carry_on()
            while await credit_transfers.take_news(self.bank, SANDBOX):
                pass

    async def pay(self, *end_to_end_ids: str) -> list[CreditTransfer]:
        """Pay ten tenge for each id to another bank."""
        payer = await self.world.account(100_00, 1)
        new = [
            instruction(str(payer.iban), ELSEWHERE, position=n, agent=OTHER_BANK, end_to_end_id=name)
            for n, name in enumerate(end_to_end_ids, 1)
        ]
        added = await self.world.add(*new)
        await self.turn()
        return [await self.world.find(one) for one in added]

    async def verified(self) -> bool:
        async with self.world.db.begin(SYSTEM) as tx:
            return not await credit_transfers.verify(tx)


@pytest.fixture
async def wired(database: Database) -> AsyncIterator[Wired]:
    world = InterbankWorld(Bank(database))
    async with ClearingSimulator(ClearingConfiguration(credentials=CREDENTIALS, pending_seconds=600)) as simulator:
        adapter = simulated_clearing(ClearingSettings(), simulator)
        yield Wired(world, simulator, adapter, Interbank(database, world.keyring, {SANDBOX: adapter}))
        await adapter.close()


async def test_payments_of_every_fate(wired: Wired) -> None:
    done = await wired.pay("A", "SIM-RJCT-AC06", "SIM-PDNG", "SIM-RTRN-AC04", "SIM-LOST", "SIM-UNKN")
    assert [one.status for one in done] == [
        "settled", "rejected", "submitted", "settled", "submitted", "submitted",
    ]  # fmt: skip

    await wired.control("clock", advance_seconds=601)
    for _ in range(3):
        wired.world.wait(65)
        await wired.turn()

    ended = [await wired.world.find(one) for one in done]
    assert [(one.status, one.reason) for one in ended] == [
        ("settled", ""), ("rejected", "AC06"), ("settled", ""), ("returned", "AC04"), ("settled", ""), ("rejected", "MS03"),
    ]  # fmt: skip
    assert await wired.verified()
    paid = sum(one.amount for one in ended if one.status == "settled")
    assert wired.simulator.books.balance("SHRQKZKX", "KZT") == 10**15 - paid


@pytest.mark.parametrize(
    ("word", "status", "transfer"), [("A", "accepted", "returned"), ("SIM-RCLL-RJCR-NOAS", "rejected", "settled")]
)
async def test_a_recall_is_answered(wired: Wired, word: str, status: str, transfer: str) -> None:
    (done,) = await wired.pay(word)
    given = await credit_transfers.recall_transfer(
        wired.bank, wired.world.bank.actor, "k", done.id, NewRecall(reason="DUPL")
    )

    await wired.turn()

    found = await credit_transfers.find_recall(wired.world.db, wired.world.bank.actor, given.value.id)
    assert (found.status, (await wired.world.find(done)).status) == (status, transfer)
    assert await wired.verified()


@pytest.mark.parametrize("kind", ["lose_request", "lose_answer", "status_503"])
async def test_a_lost_message_is_paid_once(wired: Wired, kind: str) -> None:
    await wired.control("faults", kind=kind)

    (done,) = await wired.pay("A")
    wired.world.wait(10)
    await wired.turn()

    assert (await wired.world.find(done)).status == "settled"
    assert wired.simulator.books.balance("SHRQKZKX", "KZT") == 10**15 - 10_00


@pytest.mark.parametrize("kind", ["duplicate_delivery", "bad_signature", "reorder"])
async def test_a_troubled_mailbox_settles_once(wired: Wired, kind: str) -> None:
    await wired.control("faults", kind=kind)

    done = await wired.pay("A")
    wired.world.wait(100)
    await wired.turn()

    assert [(await wired.world.find(one)).status for one in done] == ["settled"]
    assert (await wired.world.bank.events()).count("credit_transfer.settled") == 1
    assert await wired.verified()


async def test_what_will_never_be_taken_is_refused(wired: Wired) -> None:
    # A signature is looked at as of the time the message names, when the certificate must have been valid.
    created = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}".encode()
    outcome = await wired.adapter.send(
        b'<Envelope><AppHdr xmlns="urn:iso:std:iso:20022:tech:xsd:head.001.001.02"><Fr><FIId><FinInstnId>'
        b"<BICFI>SHRQKZKX</BICFI></FinInstnId></FIId></Fr><To><FIId><FinInstnId><BICFI>CLRGKZKX</BICFI></FinInstnId></FIId></To><BizMsgIdr>X</BizMsgIdr>"
        b"<MsgDefIdr>pacs.008.001.08</MsgDefIdr><CreDt>" + created + b"</CreDt></AppHdr>"
        b'<Document xmlns="urn:iso:std:iso:20022:tech:xsd:pacs.008.001.08"><FIToFICstmrCdtTrf/></Document></Envelope>'
    )

    assert isinstance(outcome, Refused)
    assert outcome.code == "schema_invalid"


async def test_a_clearing_that_is_away_decides_nothing(wired: Wired) -> None:
    await wired.simulator.stop()

    assert isinstance(await wired.adapter.send(b"<Envelope/>"), Unconfirmed)
    with pytest.raises(ClearingUnavailableError):
        await wired.adapter.fetch("", limit=10, wait_seconds=0)


async def test_a_wrong_token_decides_nothing(database: Database) -> None:
    others = ClearingCredentials.generate()
    async with (
        ClearingSimulator(ClearingConfiguration(credentials=CREDENTIALS)) as simulator,
        ClearingSimulator(ClearingConfiguration(credentials=others)) as stranger,
    ):
        adapter = simulated_clearing(ClearingSettings(), stranger)
        adapter = ClearingAdapter(replace(adapter.configuration, base_url=simulator.base_url))
        world = InterbankWorld(Bank(database), Keyring.generate())
        bank = Interbank(database, world.keyring, {SANDBOX: adapter})
        payer = await world.account(100_00, 1)
        (added,) = await world.add(instruction(str(payer.iban), ELSEWHERE, agent=OTHER_BANK))
        await credit_transfers.execute(bank)

        assert await credit_transfers.send_queued(bank, SANDBOX) == 0

        assert (await world.find(added)).status == "submitted"
        with pytest.raises(ClearingUnavailableError):
            await credit_transfers.take_news(bank, SANDBOX)
        await adapter.close()


@pytest.mark.parametrize("body", [b"{", b'{"messages": [{"cursor": 1}]}', b"[]", b'{"messages": [{"cursor": "1"}]}'])
async def test_a_mailbox_that_cannot_be_read_is_an_error(body: bytes) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server, ClearingSimulator() as simulator:
        port = server.sockets[0].getsockname()[1]
        real = simulated_clearing(ClearingSettings(), simulator)
        adapter = ClearingAdapter(replace(real.configuration, base_url=f"http://127.0.0.1:{port}"))

        with pytest.raises(ClearingUnavailableError):
            await adapter.fetch("", limit=1, wait_seconds=0)
        await adapter.close()
