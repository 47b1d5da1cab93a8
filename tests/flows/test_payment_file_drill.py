"""A payment file's whole journey: uploaded, validated, paid here and to other banks, reported - while everything is killed.

pain.001 -> pain.002 and camt.053 that agree to the tiyn with each other, the ledger and the clearing system's books.
"""

from __future__ import annotations

import asyncio
import gzip
import os
import random
import signal
import subprocess
import sys
import time
import uuid
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from lxml import etree

from shanraq import statements
from shanraq.core.actor import SYSTEM, Actor, ActorKind, Environment
from shanraq.core.crypto import Keyring
from shanraq.core.db import Database, utc_now
from shanraq.ops.postgres import EmbeddedPostgres
from shanraq.ops.verify import verify_database
from shanraq.simulators.iso20022 import ClearingCredentials
from shanraq.standards.iso20022 import validate_stream
from tests.credit_transfers.world import OTHER_BANK, iban
from tests.flows.platform import Client, Server, free_port, onboard
from tests.money_world import SCOPES

FULL = os.environ.get("SHANRAQ_DRILL") == "full"
TRANSACTIONS = int(os.environ.get("SHANRAQ_DRILL_TRANSACTIONS", "100000")) if FULL else 400
KILLS = 12 if FULL else 2
OPENING = 10**13
BLOCKS = 4
NAMESPACE = "urn:iso:std:iso:20022:tech:xsd:pain.001.001.09"
CONTROL = {"Authorization": "Bearer drill"}


@dataclass
class Clearing:
    """The clearing simulator in a process of its own, with books that outlive it."""

    folder: Path
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        with (self.folder / "clearing.log").open("ab") as output:
            self.process = subprocess.Popen(  # noqa: ASYNC220
                [
                    sys.executable, "-m", "shanraq", "simulate", "iso20022", "--port", str(self.port),
                    "--credentials", str(self.folder / "clearing.json"), "--journal", str(self.folder / "clearing.sqlite"),
                    "--pending-seconds", "1", "--control-token", "drill",
                ],
                stdout=output, stderr=output, start_new_session=True,
            )  # fmt: skip
        for _ in range(400):
            assert self.process.poll() is None, (self.folder / "clearing.log").read_text()[-2000:]
            with suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                writer.close()
                return
            await asyncio.sleep(0.05)
        raise AssertionError("the clearing simulator did not start")

    def end(self, number: signal.Signals) -> None:
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, number)
            self.process.wait(30)

    async def state(self) -> dict[str, Any]:
        async with httpx.AsyncClient(trust_env=False) as http:
            return (await http.get(f"http://127.0.0.1:{self.port}/control/state", headers=CONTROL)).json()  # type: ignore[no-any-return]

    def settings(self) -> dict[str, str]:
        """Write what a participant needs, and return the server's settings."""
        credentials = ClearingCredentials.load(self.folder / "clearing.json")
        member = next(iter(credentials.participants.values()))
        files = {
            "token_file": member.token,
            "key_file": member.key,
            "certificate_file": member.certificate,
            "trust_file": msgspec.json.encode(
                {
                    "trust_anchor": "authority.pem",
                    "senders": [{"bic": credentials.clearing.bic, "certificates": ["clearing.pem"]}],
                }
            ).decode(),
        }
        (self.folder / "authority.pem").write_text(credentials.authority)
        (self.folder / "clearing.pem").write_text(credentials.clearing.certificate)
        for name, content in files.items():
            (self.folder / name).write_text(content)
        prefix = "SHANRAQ_CLEARING_SANDBOX_"
        return {
            f"{prefix}URL": f"http://127.0.0.1:{self.port}",
            f"{prefix}BIC": member.bic,
            f"{prefix}CLEARING_BIC": credentials.clearing.bic,
            **{f"{prefix}{name.upper()}": str(self.folder / name) for name in files},
        }


@dataclass(frozen=True)
class Expected:
    """What must become of an instruction: its statuses in pain.002, and whether the money came back."""

    amount: int
    status: str
    returned: bool = False
    reason: str = ""


def order_file(seed: random.Random, payer: str, payees: list[str]) -> tuple[bytes, dict[str, Expected]]:
    """Write a pain.001.001.09 of payments of many fates; returns it with what must become of each by end-to-end id."""
    expected: dict[str, Expected] = {}
    blocks: list[list[str]] = [[] for _ in range(BLOCKS)]
    total = 0
    for number in range(TRANSACTIONS):
        amount = seed.randint(1, 9_000_00)
        total += amount
        name, account, agent = f"E{number}", iban("601", number), OTHER_BANK
        draw = seed.random()
        if draw < 0.45:
            account, agent, fate = seed.choice(payees), "", Expected(amount, "ACCC")
        elif draw < 0.85:
            fate = Expected(amount, "ACSC")
        elif draw < 0.88:
            name, fate = f"SIM-RJCT-AC04-{number}", Expected(amount, "RJCT", reason="AC04")
        elif draw < 0.91:
            name, fate = f"SIM-RTRN-AC06-{number}", Expected(amount, "ACSC", returned=True, reason="AC06")
        elif draw < 0.94:
            name, fate = f"SIM-PDNG-{number}", Expected(amount, "ACSC")
        elif draw < 0.95:
            name, fate = f"SIM-LOST-{number}", Expected(amount, "ACSC")
        elif draw < 0.955:
            account, fate = account[:-1] + ("1" if account[-1] == "0" else "0"), Expected(amount, "RJCT", reason="AC03")
        elif draw < 0.97:
            agent, fate = "UNKNKZKX", Expected(amount, "RJCT", reason="RC04")
        else:
            agent, fate = "", Expected(amount, "ACSC")
        expected[name] = fate
        bank = f"<CdtrAgt><FinInstnId><BICFI>{agent}</BICFI></FinInstnId></CdtrAgt>" if agent else ""
        blocks[number * BLOCKS // TRANSACTIONS].append(
            f"<CdtTrfTxInf><PmtId><InstrId>I{number}</InstrId><EndToEndId>{name}</EndToEndId>"
            f"<UETR>{uuid.UUID(int=seed.getrandbits(128), version=4)}</UETR></PmtId>"
            f'<Amt><InstdAmt Ccy="KZT">{amount / 100:.2f}</InstdAmt></Amt>{bank}<Cdtr><Nm>Creditor {number}</Nm></Cdtr>'
            f"<CdtrAcct><Id><IBAN>{account}</IBAN></Id></CdtrAcct><RmtInf><Ustrd>Salary {number}</Ustrd></RmtInf></CdtTrfTxInf>"
        )
    day = datetime.now(UTC).date().isoformat()
    body = "".join(
        f"<PmtInf><PmtInfId>B{number}</PmtInfId><PmtMtd>TRF</PmtMtd><ReqdExctnDt><Dt>{day}</Dt></ReqdExctnDt>"
        f"<Dbtr><Nm>Employer</Nm></Dbtr><DbtrAcct><Id><IBAN>{payer}</IBAN></Id></DbtrAcct>"
        f"<DbtrAgt><FinInstnId><BICFI>SHRQKZKX</BICFI></FinInstnId></DbtrAgt>{''.join(block)}</PmtInf>"
        for number, block in enumerate(blocks)
    )
    head = (
        f"<GrpHdr><MsgId>SALARIES</MsgId><CreDtTm>{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}</CreDtTm><NbOfTxs>{TRANSACTIONS}</NbOfTxs>"
        f"<CtrlSum>{total / 100:.2f}</CtrlSum><InitgPty><Nm>Employer</Nm></InitgPty></GrpHdr>"
    )
    text = f'<Document xmlns="{NAMESPACE}"><CstmrCdtTrfInitn>{head}{body}</CstmrCdtTrfInitn></Document>'
    return text.encode(), expected


async def upload(client: Client, url: str, content: bytes) -> dict[str, Any]:
    """Upload until there is an answer, as a partner does, always under the same key."""
    async with httpx.AsyncClient(trust_env=False, timeout=60, auth=(client.key_id, client.secret)) as http:
        for _ in range(200):
            with suppress(httpx.HTTPError):
                answer = await http.post(
                    f"{url}/v1/payment-files?name=salaries",
                    content=gzip.compress(content, 1),
                    headers={
                        "Content-Type": "application/xml", "Content-Encoding": "gzip", "Idempotency-Key": "salaries",
                    },
                )  # fmt: skip
                if answer.status_code == 202:
                    return answer.json()  # type: ignore[no-any-return]
                assert answer.status_code in (409, 500, 503), answer.text
            await asyncio.sleep(0.2)
    raise AssertionError("the upload got no answer")


async def fetch(client: Client, url: str, path: Path) -> Path:
    """Save a report."""
    async with (
        httpx.AsyncClient(trust_env=False, timeout=300, auth=(client.key_id, client.secret)) as http,
        http.stream("GET", url) as answer,
    ):
        assert answer.status_code == 200, await answer.aread()
        with path.open("wb") as file:
            async for chunk in answer.aiter_bytes():
                file.write(chunk)
    return path


def check_valid(path: Path) -> None:
    """Validate a report of any length."""
    with path.open("rb") as file:
        report = validate_stream(file)
    assert report.valid, report.findings[:5]


def statuses_of(path: Path) -> dict[str, tuple[str, str]]:
    """Return (status, reason) by end-to-end id of a pain.002."""
    found: dict[str, tuple[str, str]] = {}
    for _, element in etree.iterparse(str(path), tag="{*}TxInfAndSts"):
        name = str(element.findtext("{*}OrgnlEndToEndId"))
        assert name not in found, f"{name} is reported twice"
        found[name] = (str(element.findtext("{*}TxSts")), element.findtext("{*}StsRsnInf/{*}Rsn/{*}Cd") or "")
        element.clear()
    return found


@dataclass
class Statement:
    """What a camt.053 says, in minor units: signed entries by end-to-end id, and its balances."""

    entries: Counter[str] = field(default_factory=Counter)
    bookings: Counter[str] = field(default_factory=Counter)
    balances: dict[str, int] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> Statement:
        """Read it piece by piece."""
        found = cls()
        for _, element in etree.iterparse(str(path), tag=("{*}Ntry", "{*}Bal")):
            amount = round(float(element.findtext("{*}Amt") or "nan") * 100)
            signed = amount if element.findtext("{*}CdtDbtInd") == "CRDT" else -amount
            if etree.QName(element).localname == "Bal":
                found.balances[str(element.findtext("{*}Tp/{*}CdOrPrtry/{*}Cd"))] = signed
            else:
                name = element.findtext("{*}NtryDtls/{*}TxDtls/{*}Refs/{*}EndToEndId") or "other"
                found.entries[name] += signed
                found.bookings[name] += 1
            element.clear()
        return found


async def open_accounts(client: Client) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Open a rich account of the employer and some of those who are paid."""
    _, source = await client.call("POST", "/v1/accounts", {"currency": "KZT", "allow_negative": True})
    opened = []
    for number in range(6):
        status, account = await client.call(
            "POST", "/v1/accounts", {"currency": "KZT", "iban": iban("125", number + 1)}
        )
        assert status == 201, account
        opened.append(account)
    body = {"debit_account": source["id"], "credit_account": opened[0]["id"], "amount": OPENING, "currency": "KZT"}
    status, moved = await client.call("POST", "/v1/transactions", body, "opening")
    assert (status, moved["status"]) == (201, "executed")
    return opened[0], opened[1:]


@pytest.mark.drill
@pytest.mark.timeout(3600)
async def test_a_payment_file_reaches_its_reports_whatever_is_killed(
    durable_postgres: EmbeddedPostgres, durable_dir: Path
) -> None:
    seed = random.Random(20261126)
    dsn = durable_postgres.dsn("shanraq")
    folder = durable_dir / "server"
    (folder / "keys").mkdir(parents=True)
    keyring = Keyring.load_or_create(folder / "keys" / "master.keys")
    db = await Database.connect(dsn, max_size=4)
    clearing = Clearing(folder)
    await clearing.start()
    extra = clearing.settings() | {"SHANRAQ_CLEARING_ASK_AFTER_SECONDS": "5"}
    server = Server.on(dsn, folder, extra=extra)
    try:
        issued = await onboard(db, keyring)
        await server.start()
        client = Client.of(server.url, issued)
        payer, payees = await open_accounts(client)
        content, expected = order_file(seed, payer["iban"], [account["iban"] for account in payees])

        began = time.monotonic()
        uploading = asyncio.create_task(upload(client, server.url, content))
        for number in range(KILLS):
            await asyncio.sleep(seed.uniform(1.0, 12.0 if FULL else 2.5))
            if number % 3 == 2 or (number == 1 and not FULL):
                clearing.end(signal.SIGKILL)
                await clearing.start()
            server.kill()
            await server.start()
        file = await uploading
        file = await completed(client, file["id"])
        elapsed = time.monotonic() - began

        assert (file["status"], file["transactions"]) == ("completed", TRANSACTIONS)
        await returned(client, file["id"], expected)
        report = await fetch(
            client, f"{server.url}/v1/payment-files/{file['id']}/status-report", folder / "pain.002.xml"
        )
        check_valid(report)
        assert statuses_of(report) == {name: (one.status, one.reason) for name, one in expected.items()}
        statement = await statement_of(db, keyring, await owner_of(db), payer["id"], folder / "camt.053.xml")
        check_statement(statement, expected)
        state = await clearing.state()
        paid = sum(one.amount for one in expected.values() if one.status == "ACSC" and not one.returned)
        assert state["balances"]["SHRQKZKX"]["KZT"] == 10**15 - paid
        assert await verify_database(db) == []
        sys.stdout.write(f"{TRANSACTIONS} transactions, {KILLS} kills: {elapsed:.0f} s to the last outcome\n")
    finally:
        server.stop()
        clearing.end(signal.SIGTERM)
        await db.close()


async def completed(client: Client, file_id: str) -> dict[str, Any]:
    """Wait until every transfer of a file has its outcome."""
    for _ in range(3000):
        _, file = await client.call("GET", f"/v1/payment-files/{file_id}")
        assert file["status"] != "rejected", file["findings"]
        if file["status"] == "completed":
            return dict(file)
        await asyncio.sleep(0.5)
    raise AssertionError(f"the file was not completed: {file['status']} {file['progress']}")


async def returned(client: Client, file_id: str, expected: dict[str, Expected]) -> None:
    """Wait until what comes back has come back."""
    wanted = sum(one.returned for one in expected.values())
    for _ in range(1200):
        _, file = await client.call("GET", f"/v1/payment-files/{file_id}")
        found = file["progress"]["by_status"].get("returned", 0)
        if found == wanted:
            return
        await asyncio.sleep(0.5)
    raise AssertionError(f"{found} of {wanted} came back")


async def owner_of(db: Database) -> Actor:
    """Return an actor of the one partner there is."""
    async with db.begin(SYSTEM) as tx:
        row = await tx.row("SELECT partner_id, book FROM payment_file LIMIT 1")
    assert row is not None
    return Actor(
        kind=ActorKind.PARTNER, id="key", partner_id=row["partner_id"], environment=Environment.SANDBOX, book=row["book"],
        scopes=SCOPES,
    )  # fmt: skip


async def statement_of(db: Database, keyring: Keyring, actor: Actor, account_id: str, path: Path) -> Statement:
    """Write the statement of today as it will be read tomorrow, and check that it is valid."""
    institution = statements.Institution()
    day = institution.day_of(utc_now())
    db.clock = lambda: utc_now() + timedelta(days=1)
    reader = statements.Reader(db, keyring, institution)
    with path.open("wb") as file:
        async for chunk in await reader.statement(actor, account_id, day):
            file.write(chunk)
    check_valid(path)
    return Statement.read(path)


def check_statement(statement: Statement, expected: dict[str, Expected]) -> None:
    """Every settled payment is one entry, every return one more, nothing else is there, and the balances add up."""
    for name, one in expected.items():
        booked, count = statement.entries.pop(name, 0), statement.bookings[name]
        if one.status == "RJCT":
            assert (booked, count) == (0, 0), name
        else:
            assert (booked, count) == ((0, 2) if one.returned else (-one.amount, 1)), name
    assert statement.entries == {"other": OPENING} or sum(statement.entries.values()) == OPENING
    paid = sum(one.amount for one in expected.values() if one.status != "RJCT" and not one.returned)
    assert statement.balances["OPBD"] == 0
    assert statement.balances["CLBD"] == OPENING - paid
