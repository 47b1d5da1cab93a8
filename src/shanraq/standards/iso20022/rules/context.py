"""What a rule may ask while a message goes by: profile, clock, earlier messages, what has been counted so far."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, timezone
from typing import Final, NamedTuple

from lxml import etree

from shanraq.standards.iso20022.amounts import exact
from shanraq.standards.iso20022.codes import CodeEdition, code_edition
from shanraq.standards.iso20022.paths import local_name
from shanraq.standards.iso20022.profiles import Profile
from shanraq.standards.iso20022.rules.marks import Marks, mark_of
from shanraq.standards.iso20022.store import EarlierMessage, EarlierTransaction, Store
from shanraq.standards.iso20022.tree import Node, OpenNode, child, children, text

# A day has begun somewhere 14 hours before it does in UTC and has ended everywhere 12 hours after.
_LAST_ZONE_HOURS: Final = -12


@dataclass(frozen=True, slots=True)
class Shape:
    """Where the transactions of a message stand, what counts as their amount, and where the message's own identifier is.

    `details` are the names of an entry's details and of the transactions in them.
    """

    blocks: frozenset[str]
    transaction: str
    amounts: tuple[tuple[str, ...], ...] = ()
    head: str = "GrpHdr"
    details: tuple[str, ...] = ()

    @property
    def names(self) -> frozenset[str]:
        """Return the names of all that is looked at as it ends."""
        return self.blocks | {self.transaction} | set(self.details)


_DETAILS: Final = ("NtryDtls", "TxDtls")


def _shape(blocks: str, transaction: str, *amounts: str, head: str = "GrpHdr", details: tuple[str, ...] = ()) -> Shape:
    paths = tuple(tuple(path.split("/")) for path in amounts)
    return Shape(frozenset(blocks.split()), transaction, paths, head, details)


SHAPES: Final = {
    "pain.001": _shape("PmtInf", "CdtTrfTxInf", "Amt/InstdAmt", "Amt/EqvtAmt/Amt"),
    "pain.008": _shape("PmtInf", "DrctDbtTxInf", "InstdAmt"),
    "pain.002": _shape("OrgnlPmtInfAndSts", "TxInfAndSts"),
    "pain.007": _shape("OrgnlPmtInfAndRvsl", "TxInf", "RvsdInstdAmt"),
    "pacs.002": _shape("", "TxInfAndSts"),
    "pacs.003": _shape("", "DrctDbtTxInf", "IntrBkSttlmAmt"),
    "pacs.004": _shape("", "TxInf", "RtrdIntrBkSttlmAmt"),
    "pacs.007": _shape("", "TxInf", "RvsdIntrBkSttlmAmt"),
    "pacs.008": _shape("", "CdtTrfTxInf", "IntrBkSttlmAmt"),
    "pacs.009": _shape("", "CdtTrfTxInf", "IntrBkSttlmAmt"),
    "pacs.010": _shape("CdtInstr", "DrctDbtTxInf", "IntrBkSttlmAmt"),
    "pacs.028": _shape("", "TxInf"),
    "camt.029": _shape("CxlDtls OrgnlPmtInfAndSts", "TxInfAndSts", head="Assgnmt"),
    "camt.052": _shape("Rpt", "Ntry", "Amt", details=_DETAILS),
    "camt.053": _shape("Stmt", "Ntry", "Amt", details=_DETAILS),
    "camt.054": _shape("Ntfctn", "Ntry", "Amt", details=_DETAILS),
    "camt.055": _shape("Undrlyg OrgnlPmtInfAndCxl", "TxInf", "OrgnlInstdAmt", head="Assgnmt"),
    "camt.056": _shape("Undrlyg", "TxInf", "OrgnlIntrBkSttlmAmt", head="Assgnmt"),
}
OTHER: Final = Shape(frozenset(), "", ())
CASES: Final = frozenset({"camt.026", "camt.027", "camt.028", "camt.029", "camt.030", "camt.031", "camt.032", "camt.036",
                          "camt.037", "camt.038", "camt.039", "camt.055", "camt.056", "camt.087"})  # fmt: skip


class Tally:
    """What has been counted of transactions, all and by status; `sum` is None once an amount cannot be read."""

    __slots__ = ("by_status", "count", "credits", "currencies", "debits", "sum")

    def __init__(self) -> None:
        self.count = 0
        self.sum: int | None = 0
        self.currencies: set[str] = set()
        self.by_status: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
        self.credits = [0, 0]
        self.debits = [0, 0]

    def add(self, counted: Counted) -> None:
        """Count a transaction."""
        self.count += 1
        if counted.amount is None or self.sum is None:
            self.sum = None
        else:
            self.sum += counted.amount
        if counted.currency:
            self.currencies.add(counted.currency)
        if counted.status is not None:
            self._add_status(counted.status, counted)

    def _add_status(self, status: str, counted: Counted) -> None:
        """Count by status: transactions, their original amounts or booked net, and those whose amount is not known."""
        numbers = self.by_status[status]
        numbers[0] += 1
        if counted.side is None:
            amount = counted.original_amount
        else:
            amount = counted.amount if counted.side == "CRDT" or counted.amount is None else -counted.amount
            total = self.credits if counted.side == "CRDT" else self.debits
            total[0] += 1
            total[1] += counted.amount or 0
        if amount is None:
            numbers[2] += 1
        else:
            numbers[1] += amount


class Counted(NamedTuple):
    """What is counted of a transaction; amounts in 1/SCALE, None where they cannot be read or are not known."""

    amount: int | None
    currency: str
    status: str | None
    side: str | None
    original_amount: int | None


class Details(Node):
    """One part of an entry's details (NtryDtls), with the number of transactions listed in it."""

    __slots__ = ("listed",)

    def __init__(self, element: etree._Element, listed: int) -> None:
        super().__init__(element)
        self.listed = listed


class EntryTally:
    """What has been counted of the details of one entry: transactions by direction, and batches.

    `currencies` and `batch_currencies` hold two at most: more do not matter.
    """

    __slots__ = ("batch_currencies", "batch_total", "batches", "currencies", "listed", "parts", "readable", "totals")

    def __init__(self) -> None:
        self.parts = 0
        self.listed = 0
        self.readable = True
        self.currencies: set[str] = set()
        self.totals: defaultdict[str | None, int] = defaultdict(int)
        self.batches = 0
        self.batch_total = 0
        self.batch_currencies: set[str] = set()

    def add(self, detail: etree._Element) -> None:
        """Count a transaction of the details."""
        self.listed += 1
        amount = child(detail, "Amt")
        value = None if amount is None else exact(amount.text)
        if amount is None or value is None:
            self.readable = False
            return
        self.totals[text(detail, "CdtDbtInd")] += value
        if len(self.currencies) < 2:
            self.currencies.add(amount.get("Ccy") or "")

    def add_part(self, part: Details) -> None:
        """Count a part of the details, with its batch."""
        self.parts += 1
        amount = part.first("Btch", "TtlAmt")
        value = None if amount is None else exact(amount.text)
        if amount is None or value is None:
            return
        self.batches += 1
        self.batch_total += value
        if len(self.batch_currencies) < 2:
            self.batch_currencies.add(amount.get("Ccy") or "")

    def total(self, side: str | None) -> int:
        """Return the sum of the transactions, seen from the direction of their entry."""
        return sum(value if found in (None, side) else -value for found, value in self.totals.items())


class Transaction(Node):
    """One transaction, status or entry."""

    __slots__ = ("amount", "amount_element", "block", "currency", "details", "original")

    def __init__(
        self, element: etree._Element, block: Block | None, shape: Shape, details: EntryTally | None = None
    ) -> None:
        super().__init__(element)
        self.block = block
        self.details = details
        self.original: EarlierTransaction | None = None
        self.amount_element: etree._Element | None = None
        for path in shape.amounts:
            self.amount_element = self.first(*path)
            if self.amount_element is not None:
                break
        found = self.amount_element
        self.amount = None if found is None else exact(found.text)
        self.currency = "" if found is None else found.get("Ccy") or ""

    @property
    def place(self) -> etree._Element:
        """Return the element itself."""
        assert self.element is not None
        return self.element

    @property
    def status(self) -> str | None:
        """Return the status of a transaction or entry, None where the message has none."""
        found = self.text("TxSts")
        if found is None and "Sts" in self:
            found = self.text("Sts", "Cd") or (self.text("Sts") or "").strip()
        return found

    @property
    def counted(self) -> Counted:
        """Return what is counted of it."""
        original = None if self.original is None else self.original.amount
        return Counted(self.amount, self.currency, self.status, self.text("CdtDbtInd"), original)


class Block(OpenNode):
    """A block of transactions, or one report, statement or notification, with what was counted in it."""

    __slots__ = ("name", "outer", "tally")

    def __init__(self, element: etree._Element, outer: Block | None) -> None:
        super().__init__(element)
        self.name = local_name(element)
        self.outer = outer
        self.tally = Tally()

    @property
    def place(self) -> etree._Element:
        """Return the element itself."""
        assert self.element is not None
        return self.element


class Message:
    """The message being checked: its identifier, its header and group header, and what was counted in it."""

    __slots__ = (
        "area",
        "block_gives_reason",
        "body",
        "family",
        "first",
        "head",
        "header",
        "id",
        "message_id",
        "parts",
        "shape",
        "tally",
        "version",
        "whole",
    )

    def __init__(self, message_id: str, body: etree._Element, header: etree._Element | None) -> None:
        self.id = message_id
        self.family, self.version = message_id[:8], int(message_id[-2:])
        self.area = message_id[:4]
        self.shape = SHAPES.get(self.family, OTHER)
        self.body = body
        self.parts = OpenNode(body)
        self.head = Node(None)
        self.header = None if header is None else Node(header)
        self.tally = Tally()
        self.first: Transaction | None = None
        self.message_id: str | None = None
        # What later ones are judged by of blocks that have gone by: is one whole (not listed), does one give a reason?
        self.whole = False
        self.block_gives_reason = False

    def note(self, element: etree._Element) -> None:
        """Take note of a child of the message; rules see what stands before what they look at, and at the end all."""
        self.parts.note(element)
        name = "Assgnmt" if self.family in CASES else self.shape.head
        if self.head.element is None and local_name(element) == name:
            self.head = Node(element)
            self.message_id = self.head.text("Id" if self.family in CASES else "MsgId")

    def note_block(self, block: Block) -> None:
        """Take note of a block that has ended."""
        flags = block.text("PmtInfCxl"), block.text("OrgnlGrpInfAndCxl", "GrpCxl")
        self.whole = self.whole or any(flag in ("true", "1") for flag in flags)
        reasons = children(block.element, "StsRsnInf")
        self.block_gives_reason = self.block_gives_reason or any(child(one, "Rsn") is not None for one in reasons)

    @property
    def head_place(self) -> etree._Element:
        """Return the group header, or the message where it has none."""
        return self.body if self.head.element is None else self.head.element


@dataclass(slots=True)
class Context:
    """All a rule may ask."""

    message: Message
    profile: Profile
    as_of: datetime | None
    store: Store | None
    edition: CodeEdition = field(init=False)
    day: date | None = field(init=False)
    original: EarlierMessage | None = None
    _seen: dict[str, Marks] = field(default_factory=dict)
    _added: list[tuple[Marks, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.day = None if self.as_of is None else self._local_day(self.as_of)
        self.edition = code_edition(self.day)

    def _local_day(self, moment: datetime) -> date:
        """Return the day at the payment system, or the last one on earth: no date of today may be called past."""
        hours = self.profile.utc_offset_hours
        zone = timezone(timedelta(hours=_LAST_ZONE_HOURS if hours is None else hours))
        return moment.astimezone(zone).date()

    def is_repeated(self, kind: str, value: str) -> bool:
        """Tell whether a value of this kind was seen before in the message, and keep it."""
        seen = self._seen.get(kind)
        if seen is None:
            seen = self._seen[kind] = Marks()
        kept = seen, mark_of(value)
        if kept[1] in seen or kept in self._added:
            return True
        self._added.append(kept)
        return False

    def settle(self) -> None:
        """Hold to what `is_repeated` has kept."""
        for seen, mark in self._added:
            seen.add(mark)
        self._added.clear()

    def take_back(self) -> None:
        """Forget what `is_repeated` has kept since it was settled last."""
        self._added.clear()


def role_of(element: etree._Element) -> str:
    """Tell whose an element is: `debtor`, `creditor`, or neither (""), by the nearest party it stands in."""
    current: etree._Element | None = element
    while current is not None:
        name = local_name(current)
        if name.startswith("Dbtr") or name in ("UltmtDbtr", "InitgPty", "OrgnlDbtr"):
            return "debtor"
        if name.startswith("Cdtr") or name in ("UltmtCdtr", "OrgnlCdtr"):
            return "creditor"
        current = current.getparent()
    return ""


def parse_day(value: str | None) -> date | None:
    """Return the date of an ISODate or ISODateTime; None if it is none."""
    try:
        return None if value is None else date.fromisoformat(value.strip()[:10])
    except ValueError:
        return None


def parse_moment(value: str | None) -> datetime | None:
    """Return an ISODateTime with its offset, UTC where none is written; None if it is none."""
    try:
        found = None if value is None else datetime.fromisoformat(value.strip())
    except ValueError:
        return None
    return found if found is None or found.tzinfo is not None else found.replace(tzinfo=timezone.utc)  # noqa: UP017
