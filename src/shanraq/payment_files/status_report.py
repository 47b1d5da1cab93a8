"""Write a pain.002 about a payment file: the group, each block, each transaction.

Texts are put together, not trees. The transfers are read once, as they stand at one moment; what is told of each is compressed
at once, since numbers and statuses of its block come before it. So a report on 100 000 transactions needs a few megabytes.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Final
from xml.sax.saxutils import escape

from shanraq import credit_transfers
from shanraq.core.actor import Actor
from shanraq.core.db import Database, Tx
from shanraq.core.ids import new_id
from shanraq.core.money import Currency
from shanraq.credit_transfers import CreditTransfer
from shanraq.payment_files import store
from shanraq.payment_files.errors import UnknownReportError
from shanraq.payment_files.model import FileStatus, PaymentFile

VERSIONS: Final = tuple(f"pain.002.001.{number:02d}" for number in range(3, 16))
_NAMESPACE: Final = "urn:iso:std:iso:20022:tech:xsd:"
# The reports that were published together with a version of the order.
_PUBLISHED_WITH: Final = {
    "02": "03", "03": "03", "04": "04", "05": "05", "06": "06", "07": "07", "08": "08", "09": "10", "10": "11", "11": "12",
    "12": "14", "13": "15",
}  # fmt: skip
_USUAL: Final = "pain.002.001.10"
_NOT_PROVIDED: Final = "NOTPROVIDED"
# Up to version 07 statuses are a closed list, and transactions have no UETR up to 09.
_EXTERNAL_STATUSES_FROM: Final = 8
_UETR_FROM: Final = 10
_OLD_STATUSES: Final = frozenset({"ACTC", "RJCT", "PDNG", "ACCP", "ACSP", "ACSC", "ACWC"})
_OLD_NAMES: Final = {"ACCC": "ACSC", "ACFC": "ACCP"}
_GROUP_STATUSES: Final = frozenset({"ACCP", "ACCC", "ACSC", "ACSP", "ACTC", "ACWC", "PDNG", "RCVD", "RJCT"})
_FRAGMENTS_BYTES: Final = 256 * 1024
_SUM_DIGITS: Final = 18


class Detail(StrEnum):
    """Which transactions a report tells of one by one."""

    ALL = "all"
    REJECTED = "rejected"


@dataclass(slots=True)
class _Tally:
    """How many have a status, and the sum of their amounts; None when an amount is not known."""

    count: int = 0
    total: Decimal | None = Decimal()

    def add(self, amount: Decimal | None) -> None:
        self.count += 1
        self.total = None if self.total is None or amount is None else self.total + amount


@dataclass(slots=True)
class _Part:
    """The group, or a block of it; of a block `pieces` are its transactions, compressed."""

    id: str = ""
    by_status: dict[str, _Tally] = field(default_factory=dict)
    pieces: list[bytes] = field(default_factory=list)

    def add(self, status: str, amount: Decimal | None) -> None:
        self.by_status.setdefault(status, _Tally()).add(amount)

    @property
    def count(self) -> int:
        return sum(tally.count for tally in self.by_status.values())

    @property
    def status(self) -> str:
        """Return the status of all, PART when they differ."""
        if len(self.by_status) != 1:
            return "PART"
        (status,) = self.by_status
        return status if status in _GROUP_STATUSES else "ACSP"

    def numbers(self) -> str:
        """Return NbOfTxsPerSts of each status."""
        return "".join(
            f"<NbOfTxsPerSts><DtldNbOfTxs>{tally.count}</DtldNbOfTxs><DtldSts>{status}</DtldSts>{_sum(tally.total)}"
            "</NbOfTxsPerSts>"
            for status, tally in sorted(self.by_status.items())
        )


@dataclass(frozen=True, slots=True)
class Report:
    """A status report, ready to be sent."""

    definition: str
    message_id: str
    head: bytes
    blocks: tuple[tuple[bytes, tuple[bytes, ...]], ...]

    def chunks(self) -> Iterator[bytes]:
        """Yield the XML piece by piece."""
        yield self.head
        for opening, pieces in self.blocks:
            yield opening
            for piece in pieces:
                yield zlib.decompress(piece)
            yield b"</OrgnlPmtInfAndSts>"
        yield b"</CstmrPmtStsRpt></Document>"


def default_version(definition: str) -> str:
    """Return the version of a report that belongs to a version of the order."""
    number = _PUBLISHED_WITH.get(definition.rpartition(".")[2]) if definition.startswith("pain.001.001.") else None
    return _USUAL if number is None else f"pain.002.001.{number}"


async def report(
    db: Database, actor: Actor, file_id: str, *, version: str | None = None, detail: Detail = Detail.ALL
) -> Report:
    """Return a status report about a file as it stands. Raises PaymentFileNotFoundError, UnknownReportError."""
    actor.require("payment_files:read")
    if version is not None and version not in VERSIONS:
        raise UnknownReportError(field="version")
    async with db.begin(actor) as tx:
        wanted = version or default_version((await store.load(tx, file_id)).definition)
        return await write_report(tx, file_id, wanted, detail=detail)


async def write_report(tx: Tx, file_id: str, version: str, *, detail: Detail = Detail.ALL) -> Report:
    """Write a report in a version of VERSIONS, as the file stands in this transaction."""
    row = await store.load_row(tx, file_id)
    file = store.file_of(row)
    number = int(version.rpartition(".")[2])
    group = _Part()
    blocks: list[_Part] = []
    if file.status in (FileStatus.PROCESSING, FileStatus.COMPLETED):
        await _read_transfers(tx, file_id, number, detail, group, blocks)
    message_id = new_id("rpt").partition("_")[2]
    return Report(
        version,
        message_id,
        _head(file, row["message_created_at"], group, version, message_id, tx.now).encode(),
        tuple(
            (_opening(block).encode(), tuple(block.pieces)) for block in blocks if detail is Detail.ALL or block.pieces
        ),
    )


async def _read_transfers(tx: Tx, file_id: str, number: int, detail: Detail, group: _Part, blocks: list[_Part]) -> None:
    present = 0
    texts: list[str] = []
    size = 0

    def pack() -> None:
        nonlocal size
        if texts:
            blocks[-1].pieces.append(zlib.compress("".join(texts).encode(), 1))
            texts.clear()
            size = 0

    async for transfer in credit_transfers.walk_transfers(tx, file_id):
        if transfer.block != present:
            pack()
            present = transfer.block
            blocks.append(_Part(transfer.block_id))
        status = _status(transfer, number)
        amount = _decimal(transfer)
        group.add(status, amount)
        blocks[-1].add(status, amount)
        if detail is Detail.ALL or status == "RJCT":
            texts.append(_transaction(transfer, status, number))
            size += len(texts[-1])
            if size > _FRAGMENTS_BYTES:
                pack()
    pack()


def _head(file: PaymentFile, created_at: str, group: _Part, version: str, message_id: str, now: datetime) -> str:
    rejected = file.status is FileStatus.REJECTED
    status = "RJCT" if rejected else group.status if group.count else "RCVD"
    parts = [
        f"<OrgnlMsgId>{escape(file.message_id) or _NOT_PROVIDED}</OrgnlMsgId>",
        f"<OrgnlMsgNmId>{escape(file.definition)[:35] or _NOT_PROVIDED}</OrgnlMsgNmId>",
    ]
    if not rejected and file.status is not FileStatus.RECEIVED:
        # What a rejected file says about itself need not be fit to be repeated.
        parts.append(f"<OrgnlCreDtTm>{escape(created_at)}</OrgnlCreDtTm>")
        parts.append(f"<OrgnlNbOfTxs>{file.transactions}</OrgnlNbOfTxs>")
        if file.control_sum:
            parts.append(f"<OrgnlCtrlSum>{escape(file.control_sum)}</OrgnlCtrlSum>")
    parts.append(f"<GrpSts>{status}</GrpSts>")
    if rejected:
        parts.append(_reason(file.reason, file.reason_text))
    parts.append(group.numbers())
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<Document xmlns="{_NAMESPACE}{version}"><CstmrPmtStsRpt>'
        f"<GrpHdr><MsgId>{message_id}</MsgId><CreDtTm>{_moment(now)}</CreDtTm></GrpHdr>"
        f"<OrgnlGrpInfAndSts>{''.join(parts)}</OrgnlGrpInfAndSts>"
    )


def _opening(block: _Part) -> str:
    return (
        f"<OrgnlPmtInfAndSts><OrgnlPmtInfId>{escape(block.id)}</OrgnlPmtInfId><OrgnlNbOfTxs>{block.count}</OrgnlNbOfTxs>"
        f"<PmtInfSts>{block.status}</PmtInfSts>{block.numbers()}"
    )


def _transaction(transfer: CreditTransfer, status: str, number: int) -> str:
    instruction = f"<OrgnlInstrId>{escape(transfer.instruction_id)}</OrgnlInstrId>" if transfer.instruction_id else ""
    uetr = f"<OrgnlUETR>{transfer.uetr}</OrgnlUETR>" if number >= _UETR_FROM else ""
    reason = _reason(transfer.reason, transfer.reason_text) if transfer.reason else ""
    return (
        f"<TxInfAndSts>{instruction}<OrgnlEndToEndId>{escape(transfer.end_to_end_id)}</OrgnlEndToEndId>{uetr}"
        f"<TxSts>{status}</TxSts>{reason}</TxInfAndSts>"
    )


def _reason(code: str, words: str) -> str:
    more = f"<AddtlInf>{escape(words)}</AddtlInf>" if words else ""
    return f"<StsRsnInf><Rsn><Cd>{escape(code)}</Cd></Rsn>{more}</StsRsnInf>"


def _status(transfer: CreditTransfer, number: int) -> str:
    """Return the status of a transfer as a version of the report knows it."""
    status = transfer.iso_status
    if number >= _EXTERNAL_STATUSES_FROM or status in _OLD_STATUSES:
        return status
    return _OLD_NAMES.get(status, "ACSP")


def _decimal(transfer: CreditTransfer) -> Decimal | None:
    """Return the amount in units of its currency; None when it could not be read, which is kept as 0."""
    if not transfer.amount:
        return None
    return Decimal(transfer.amount).scaleb(-Currency.historic(transfer.currency).exponent)


def _sum(total: Decimal | None) -> str:
    if total is None or len(total.as_tuple().digits) > _SUM_DIGITS:
        return ""
    return f"<DtldCtrlSum>{total:f}</DtldCtrlSum>"


def _moment(now: datetime) -> str:
    return now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
