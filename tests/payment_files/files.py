"""Payment files for tests: pain.001 of any length, in pieces as they would arrive."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

from shanraq import payment_files
from shanraq.core.actor import SYSTEM, Actor
from shanraq.core.crypto import Keyring
from shanraq.core.db import Database
from shanraq.core.once import Given
from shanraq.credit_transfers import CreditTransfer, transfers_of_file
from tests.money_world import partner

# Where the business day is that of the platform: late in the evening of UTC it is the next one there.
ALMATY = ZoneInfo("Asia/Almaty")
NAMESPACE = "urn:iso:std:iso:20022:tech:xsd:"
DEBTOR_IBAN = "KZ86125KZT5004100100"
CREDITOR_IBAN = "KZ82722TEST000000001"


def transaction(
    number: int,
    *,
    amount: str = "100.00",
    currency: str = "KZT",
    end_to_end_id: str | None = None,
    uetr: str = "",
    iban: str = CREDITOR_IBAN,
    more: str = "",
) -> str:
    """Return a transaction of pain.001.001.09."""
    unique = f"<UETR>{uetr}</UETR>" if uetr else ""
    return (
        f"<CdtTrfTxInf><PmtId><InstrId>I{number}</InstrId><EndToEndId>{end_to_end_id or f'E{number}'}</EndToEndId>{unique}"
        f'</PmtId><Amt><InstdAmt Ccy="{currency}">{amount}</InstdAmt></Amt><ChrgBr>SLEV</ChrgBr>'
        "<CdtrAgt><FinInstnId><BICFI>CASPKZKA</BICFI></FinInstnId></CdtrAgt>"
        f"<Cdtr><Nm>Beneficiary {number}</Nm></Cdtr><CdtrAcct><Id><IBAN>{iban}</IBAN></Id></CdtrAcct>{more}</CdtTrfTxInf>"
    )


@dataclass
class Order:
    """A pain.001 of blocks of transactions; counts and sums are right unless told otherwise."""

    blocks: Sequence[Sequence[str]]
    message_id: str = "MSG-1"
    version: str = "pain.001.001.09"
    method: str = "TRF"
    day: str = "<Dt>2026-11-25</Dt>"
    count: str = ""
    total: str = ""
    block_more: str = ""
    created: datetime = field(default_factory=lambda: datetime.now(UTC))

    def xml(self) -> bytes:
        """Return the message."""
        count = self.count or str(sum(len(block) for block in self.blocks))
        day = self.day.replace("2026-11-25", self.created.astimezone(ALMATY).date().isoformat())
        total = f"<CtrlSum>{self.total}</CtrlSum>" if self.total else ""
        parts = [
            (
                f'<?xml version="1.0" encoding="UTF-8"?>\n<Document xmlns="{NAMESPACE}{self.version}"><CstmrCdtTrfInitn>'
                "<GrpHdr>"
                f"<MsgId>{self.message_id}</MsgId><CreDtTm>{self.created:%Y-%m-%dT%H:%M:%S}Z</CreDtTm><NbOfTxs>{count}</NbOfTxs>"
                f"{total}<InitgPty><Nm>Payer LLP</Nm></InitgPty></GrpHdr>"
            )
        ]
        for number, block in enumerate(self.blocks, 1):
            parts.append(
                f"<PmtInf><PmtInfId>BLOCK-{number}</PmtInfId><PmtMtd>{self.method}</PmtMtd>{self.block_more}"
                f"<ReqdExctnDt>{day}</ReqdExctnDt><Dbtr><Nm>Payer LLP</Nm></Dbtr>"
                f"<DbtrAcct><Id><IBAN>{DEBTOR_IBAN}</IBAN></Id></DbtrAcct>"
                "<DbtrAgt><FinInstnId><BICFI>HSBKKZKX</BICFI></FinInstnId></DbtrAgt>"
            )
            parts.extend(block)
            parts.append("</PmtInf>")
        parts.append("</CstmrCdtTrfInitn></Document>")
        return "".join(parts).encode()


def order(count: int = 3, *, message_id: str = "MSG-1", prefix: str = "E") -> bytes:
    """Return a message of one block of plain transactions."""
    made = [transaction(number, end_to_end_id=f"{prefix}{number}") for number in range(1, count + 1)]
    return Order([made], message_id=message_id, total=str(Decimal("100.00") * count)).xml()


def uploader(number: int = 1) -> Actor:
    """Return an actor of a partner that may upload files."""
    return replace(partner(number), scopes=frozenset({"payment_files:read", "payment_files:write"}))


async def arriving(content: bytes, size: int = 64 * 1024) -> AsyncIterator[bytes]:
    """Yield bytes as a network would."""
    for start in range(0, len(content), size):
        yield content[start : start + size]


@dataclass
class Office:
    """Uploads files and works at them for a test."""

    db: Database
    keyring: Keyring
    actor: Actor

    async def upload(self, content: bytes, key: str = "k", **said: str) -> Given[payment_files.PaymentFile]:
        """Upload a file."""
        new = payment_files.NewPaymentFile(
            name=said.get("name", ""), profile=payment_files.FileProfile(said.get("profile", "iso"))
        )
        return await payment_files.receive(self.db, self.keyring, self.actor, key, new, arriving(content))

    async def step(self) -> int:
        """Take the next file a step further."""
        return await payment_files.advance(self.db, self.keyring)

    async def loaded(self, content: bytes, key: str = "k", **said: str) -> payment_files.PaymentFile:
        """Upload a file, validate and load it."""
        given = await self.upload(content, key, **said)
        while (file := await self.find(given.value.id)).status in ("received", "loading"):
            await self.step()
        return file

    async def find(self, file_id: str) -> payment_files.PaymentFile:
        """Return a file as it stands."""
        return await payment_files.find_file(self.db, self.actor, file_id)

    async def transfers(self, file_id: str) -> list[CreditTransfer]:
        """Return the transfers of a file in its order."""
        async with self.db.begin(self.actor) as tx:
            return await transfers_of_file(tx, file_id, limit=200_000)

    async def count(self, table: str) -> int:
        """Return how many rows a table has."""
        async with self.db.begin(SYSTEM) as tx:
            return int(await tx.value(f"SELECT count(*) FROM {table}"))

    async def events(self) -> list[str]:
        """Return the types of all events written so far, in order."""
        async with self.db.begin(SYSTEM) as tx:
            return [row["type"] for row in await tx.rows("SELECT type FROM event_outbox ORDER BY id")]


def joined(chunks: Iterable[bytes]) -> bytes:
    """Return the whole of what comes in pieces."""
    return b"".join(chunks)
