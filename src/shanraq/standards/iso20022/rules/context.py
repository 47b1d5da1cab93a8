"""What a rule may ask while a message goes by: profile, clock, earlier messages, what has been counted so far."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, timezone
from typing import Final

from lxml import etree

from shanraq.standards.iso20022.amounts import exact
from shanraq.standards.iso20022.codes import CodeEdition, code_edition
from shanraq.standards.iso20022.paths import local_name
from shanraq.standards.iso20022.profiles import Profile
from shanraq.standards.iso20022.store import EarlierMessage, EarlierTransaction, Store
from shanraq.standards.iso20022.tree import Node, child

# A day has begun somewhere 14 hours before it does in UTC and has ended everywhere 12 hours after.
_LAST_ZONE_HOURS: Final = -12


@dataclass(frozen=True, slots=True)
class Shape:
    """Where the transactions of a message stand, what counts as their amount, and where the message's own identifier is."""

    blocks: frozenset[str]
    transaction: str
    amounts: tuple[tuple[str, ...], ...] = ()
    head: str = "GrpHdr"


def _shape(blocks: str, transaction: str, *amounts: str, head: str = "GrpHdr") -> Shape:
    return Shape(frozenset(blocks.split()), transaction, tuple(tuple(path.split("/")) for path in amounts), head)


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
    "camt.052": _shape("Rpt", "Ntry", "Amt"),
    "camt.053": _shape("Stmt", "Ntry", "Amt"),
    "camt.054": _shape("Ntfctn", "Ntry", "Amt"),
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

    def add(self, transaction: Transaction) -> None:
        """Count a transaction."""
        self.count += 1
        if transaction.amount is None or self.sum is None:
            self.sum = None
        else:
            self.sum += transaction.amount
        if transaction.currency:
            self.currencies.add(transaction.currency)
        if (status := transaction.status) is not None:
            self._add_status(status, transaction)

    def _add_status(self, status: str, transaction: Transaction) -> None:
        """Count by status: transactions, their original amounts or booked net, and those whose amount is not known."""
        numbers = self.by_status[status]
        numbers[0] += 1
        side = transaction.text("CdtDbtInd")
        if side is None:
            original = transaction.original
            amount = original.amount if original is not None else None
        else:
            amount = (
                transaction.amount if side == "CRDT" else None if transaction.amount is None else -transaction.amount
            )
            total = self.credits if side == "CRDT" else self.debits
            total[0] += 1
            total[1] += transaction.amount or 0
        if amount is None:
            numbers[2] += 1
        else:
            numbers[1] += amount


class Transaction(Node):
    """One transaction, status or entry."""

    __slots__ = ("amount", "amount_element", "block", "currency", "original")

    def __init__(self, element: etree._Element, block: Block | None, shape: Shape) -> None:
        super().__init__(element)
        self.block = block
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


class Block(Node):
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
    )

    def __init__(self, message_id: str, body: etree._Element, header: etree._Element | None) -> None:
        self.id = message_id
        self.family, self.version = message_id[:8], int(message_id[-2:])
        self.area = message_id[:4]
        self.shape = SHAPES.get(self.family, OTHER)
        self.body = body
        self.parts = Node(body)
        self.head = Node(child(body, "Assgnmt" if self.family in CASES else self.shape.head))
        self.header = None if header is None else Node(header)
        self.tally = Tally()
        self.first: Transaction | None = None
        self.message_id = self.head.text("Id" if self.family in CASES else "MsgId")

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
    _seen: dict[str, set[str]] = field(default_factory=dict)

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
        seen = self._seen.setdefault(kind, set())
        if value in seen:
            return True
        seen.add(value)
        return False

    def was_seen(self, kind: str, value: str) -> bool:
        """Tell whether a value of this kind was seen before in the message."""
        return value in self._seen.get(kind, ())


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
