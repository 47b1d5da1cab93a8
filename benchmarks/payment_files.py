"""Take a payment file of many transactions through all its steps; prints seconds, memory, and ratios to lxml alone.

The yardstick is lxml in the same run: it walks through the same bytes (`iterparse`), and holds them as one tree (`parse`).
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from lxml import etree

from shanraq import credit_transfers, payment_files
from shanraq.core.actor import Actor, ActorKind, Environment
from shanraq.core.crypto import Keyring
from shanraq.core.db import Database, utc_now
from shanraq.ops.bench.scratch import scratch

PARTNER = Actor(
    kind=ActorKind.PARTNER, id="key_1", partner_id="prt_1", environment=Environment.SANDBOX, book=2,
    scopes=frozenset({"payment_files:read", "payment_files:write"}),
)  # fmt: skip
TRANSACTION = (
    "<CdtTrfTxInf><PmtId><InstrId>I{0:09}</InstrId><EndToEndId>E2E-{0:09}</EndToEndId><UETR>{1}</UETR></PmtId>"
    '<Amt><InstdAmt Ccy="KZT">100.00</InstdAmt></Amt><ChrgBr>SLEV</ChrgBr>'
    "<CdtrAgt><FinInstnId><BICFI>CASPKZKA</BICFI></FinInstnId></CdtrAgt><Cdtr><Nm>Beneficiary {0}</Nm><PstlAdr>"
    "<TwnNm>Astana</TwnNm><Ctry>KZ</Ctry></PstlAdr><Id><PrvtId><Othr><Id>500101100000</Id><SchmeNm><Cd>NIDN</Cd></SchmeNm>"
    "</Othr></PrvtId></Id></Cdtr><CdtrAcct><Id><IBAN>KZ82722TEST000000001</IBAN></Id></CdtrAcct><Purp><Cd>SALA</Cd></Purp>"
    "<RmtInf><Ustrd>Salary payment {0} KNP 311</Ustrd></RmtInf></CdtTrfTxInf>"
)


def write(path: Path, transactions: int) -> None:
    """Write a pain.001.001.09."""
    now = datetime.now(UTC)
    with path.open("w") as file:
        file.write(
            '<Document xmlns="urn:iso:std:iso:20022:tech:xsd:pain.001.001.09"><CstmrCdtTrfInitn><GrpHdr><MsgId>M</MsgId>'
            f"<CreDtTm>{now:%Y-%m-%dT%H:%M:%S}Z</CreDtTm><NbOfTxs>{transactions}</NbOfTxs>"
            f"<CtrlSum>{transactions * 100}.00</CtrlSum><InitgPty><Nm>Payer</Nm></InitgPty></GrpHdr><PmtInf>"
            f"<PmtInfId>B</PmtInfId><PmtMtd>TRF</PmtMtd><ReqdExctnDt><Dt>{now.date()}</Dt></ReqdExctnDt>"
            "<Dbtr><Nm>Payer</Nm></Dbtr><DbtrAcct><Id><IBAN>KZ86125KZT5004100100</IBAN></Id></DbtrAcct>"
            "<DbtrAgt><FinInstnId><BICFI>HSBKKZKX</BICFI></FinInstnId></DbtrAgt>"
        )
        file.writelines(TRANSACTION.format(number, uuid.uuid4()) for number in range(transactions))
        file.write("</PmtInf></CstmrCdtTrfInitn></Document>")


async def chunks(path: Path) -> AsyncIterator[bytes]:
    """Yield a file as a network would."""
    with path.open("rb") as file:
        while chunk := file.read(65_536):
            yield chunk


def megabytes() -> float:
    """Return the most memory this process ever had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


async def main(transactions: int) -> None:
    """Run the steps one after the other."""
    async with scratch() as server:
        path = server.folder / "order.xml"
        write(path, transactions)
        db = await Database.connect(server.dsn)
        keyring = Keyring.generate()

        async def step(name: str, work: Callable[[], Awaitable[object]]) -> None:
            began = time.perf_counter()
            await work()
            seconds = time.perf_counter() - began
            print(f"{name:<10} {seconds:7.2f} s   {seconds / walk:6.1f} x walk   {megabytes():6.0f} MB")

        began = time.perf_counter()
        with path.open("rb") as file:
            for _, element in etree.iterparse(file, tag="{*}CdtTrfTxInf"):
                element.clear()
        walk = time.perf_counter() - began
        print(f"{path.stat().st_size / 1e6:.0f} MB of XML; lxml walks through it in {walk:.2f} s")

        async def upload() -> None:
            await payment_files.receive(db, keyring, PARTNER, "k", payment_files.NewPaymentFile(), chunks(path))

        async def carry_out() -> None:
            while await credit_transfers.execute(credit_transfers.Interbank(db, keyring)):
                pass
            db.clock = lambda: utc_now() + timedelta(minutes=2)

        await step("upload", upload)
        await step("validate", lambda: payment_files.advance(db, keyring))
        await step("load", lambda: payment_files.advance(db, keyring))
        await step("refuse all", carry_out)
        await step("complete", lambda: payment_files.advance(db, keyring))
        await db.close()
        tree = "import resource,sys;from lxml import etree;t=etree.parse(sys.argv[1]);"
        tree += "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)"
        whole = subprocess.run([sys.executable, "-c", tree, str(path)], capture_output=True, check=True)  # noqa: ASYNC221
        print(f"lxml holds the tree of it in {whole.stdout.decode().strip()} MB")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--transactions", type=int, default=100_000)
    asyncio.run(main(parser.parse_args().transactions))
