"""Settlement: days, lines, exceptions, disputes, and what the operator agreed about fees and times."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from enum import IntEnum, StrEnum
from typing import Annotated, Any, Final

import msgspec

from shanraq.core.actor import Environment
from shanraq.core.fields import CurrencyCode
from shanraq.settlement.port import DisputeStage, LineKind, SettlementLine, Settles

LINE_PREFIX: Final = "stl"
EXCEPTION_PREFIX: Final = "sxc"
DISPUTE_PREFIX: Final = "dsp"

BRINGS_MONEY: Final = frozenset((LineKind.CAPTURE, LineKind.REPRESENTMENT))
"""The kinds of lines that bring money; all others take it."""


class LineState(StrEnum):
    """What became of a line. `new` and `assigned` pass; every line ends in exactly one of the others."""

    NEW = "new"
    ASSIGNED = "assigned"
    MATCHED = "matched"
    MISSING_HERE = "missing_here"
    AMOUNT_DIFFERS = "amount_differs"
    CURRENCY_DIFFERS = "currency_differs"
    DUPLICATE_LINE = "duplicate_line"
    STATUS_DIFFERS = "status_differs"
    FEE_DIFFERS = "fee_differs"
    NET_DIFFERS = "net_differs"


class ExceptionKind(StrEnum):
    """Why a person has to look: the states of lines that are not plainly matched, and what has no line."""

    MISSING_HERE = "missing_here"
    MISSING_THERE = "missing_there"
    AMOUNT_DIFFERS = "amount_differs"
    CURRENCY_DIFFERS = "currency_differs"
    DUPLICATE_LINE = "duplicate_line"
    STATUS_DIFFERS = "status_differs"
    FEE_DIFFERS = "fee_differs"
    NET_DIFFERS = "net_differs"
    LINE_CHANGED = "line_changed"
    LINE_VANISHED = "line_vanished"
    REPORT_MISSING = "report_missing"
    DISPUTE_UNKNOWN = "dispute_unknown"
    DISPUTE_UNPAID = "dispute_unpaid"


class ExceptionStatus(StrEnum):
    """`cleared` went away by itself (a late line, a paid debt); `resolved` was decided by people."""

    OPEN = "open"
    PROPOSED = "proposed"
    RESOLVED = "resolved"
    CLEARED = "cleared"


class ResolutionAction(StrEnum):
    """What a person may decide. `link` acts at once, as it only names an operation; the others need a second operator."""

    WRITE_OFF = "write_off"
    POST = "post"
    LINK = "link"
    IGNORE = "ignore"


class DisputeResponse(StrEnum):
    """What the partner answered."""

    NONE = "none"
    ACCEPTED = "accepted"
    REPRESENTED = "represented"


class DayStatus(StrEnum):
    """`partial`: the gateway says more will come; `complete` days are still looked at again until they are `closed`."""

    WAITING = "waiting"
    PARTIAL = "partial"
    COMPLETE = "complete"
    CLOSED = "closed"


class LedgerCode(IntEnum):
    """The ledger's `code` of a transfer that settlement posts."""

    NET = 20
    INTERCHANGE = 21
    SCHEME_FEE = 22
    PROCESSING_FEE = 23
    WRITE_OFF = 24


class SettlementDay(msgspec.Struct, frozen=True, kw_only=True):
    """The report of one day of one payment system; `revision` counts how often it was there with other content."""

    environment: Environment
    adapter: str
    day: date
    status: DayStatus
    source: str
    revision: int
    lines: int
    failures: int
    problem: str
    next_at: datetime | None
    fetched_at: datetime | None


class StoredLine(msgspec.Struct, frozen=True, kw_only=True):
    """A line of a report and what was made of it. Amounts are minor units; `net` is signed, a positive one is paid to us."""

    id: str
    environment: Environment
    adapter: str
    day: date
    line_id: str
    kind: LineKind
    batch_id: str
    settled_on: date
    reference: str
    gateway_id: str
    told_operation_id: str
    reconciliation_id: str
    amount: int
    currency: str
    interchange: int
    scheme_fee: int
    processing_fee: int
    net: int
    flaw: str
    state: LineState
    partner_id: str
    book: int
    payment_id: str | None
    operation_id: str | None
    posted_at: datetime | None

    @property
    def gross(self) -> int:
        """Return the amount with its sign: positive brings money."""
        return self.amount if self.kind in BRINGS_MONEY else -self.amount

    @property
    def fees(self) -> int:
        """Return what the acquirer keeps of the line."""
        return self.interchange + self.scheme_fee + self.processing_fee


class OperationSide(msgspec.Struct, frozen=True, kw_only=True):
    """Our side of a line: an operation of a payment, in minor units; `amount` is what we expect to be settled.

    `kind` is what it is settled as, None for operations that are never settled.
    """

    id: str
    payment_id: str
    partner_id: str
    book: int
    kind: LineKind | None
    amount: int
    currency: str
    status: str
    gateway_id: str
    brand: str
    voided: bool
    sent_at: datetime

    @property
    def gross(self) -> int:
        """Return what the operation left on card clearing, 0 if it moved nothing: positive where we wait for money."""
        if self.status != "succeeded" or self.voided or self.kind is None:
            return 0
        return self.amount if self.kind in BRINGS_MONEY else -self.amount


class SettlementException(msgspec.Struct, frozen=True, kw_only=True):
    """Something of settlement that a person has to look at.

    `amount_here` is ours, `amount_there` the gateway's, in minor units; what takes money is negative.
    """

    id: str
    environment: Environment
    adapter: str
    day: date
    kind: ExceptionKind
    status: ExceptionStatus
    payment_id: str | None
    operation_id: str | None
    line: str | None
    amount_here: int | None
    amount_there: int | None
    currency: str
    details: dict[str, Any]
    action: str
    reason: str
    proposed_by: str | None
    decided_by: str | None
    version: int
    created_at: datetime
    updated_at: datetime


class BothSides(msgspec.Struct, frozen=True, kw_only=True):
    """An exception with what the gateway told and what we know."""

    exception: SettlementException
    there: StoredLine | None
    here: list[OperationSide]


class NewResolution(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How an exception is to be resolved.

    `link` needs an operation; `post` of what has no payment needs `account_id` of a partner, whose money it then is (or costs);
    `write_off` of it needs the partner in whose books it is written off, named by one of its accounts.
    """

    action: ResolutionAction
    reason: Annotated[str, msgspec.Meta(min_length=1, max_length=500, pattern="^[^\\u0000]*$")]
    operation_id: Annotated[str, msgspec.Meta(max_length=40, pattern="^op_[0-9A-Z]*$")] | None = None
    account_id: Annotated[str, msgspec.Meta(max_length=40, pattern="^acc_[0-9A-Z]*$")] | None = None


class Totals(msgspec.Struct, frozen=True, kw_only=True):
    """A day of one payment system in one currency, minor units; what takes money is negative.

    `captured`, `refunded` (also credits), `charged_back` and `represented` are gross; `interchange`, `scheme_fees` and
    `processing_fees` were kept of these, `charged` by lines of fees alone. `net` is what the gateway says it pays out, and
    `posted_net` what of it is in the ledger, from `posted_lines`: the day is settled when both are equal to the whole, to the
    minor unit.
    """

    currency: str
    lines: int
    posted_lines: int
    captured: int
    refunded: int
    charged_back: int
    represented: int
    charged: int
    interchange: int
    scheme_fees: int
    processing_fees: int
    net: int
    posted_net: int
    states: dict[str, int]

    @property
    def settled(self) -> bool:
        """Tell whether all of it is posted."""
        return (self.lines, self.net) == (self.posted_lines, self.posted_net)


class SettledDay(msgspec.Struct, frozen=True, kw_only=True):
    """All of a partner's lines of a day are settled, in minor units by currency; late lines are told by another event."""

    adapter: str
    day: date
    lines: int
    captured: dict[str, int]
    refunded: dict[str, int]
    charged_back: dict[str, int]


class PaymentSettlement(msgspec.Struct, frozen=True, kw_only=True):
    """What was settled of one operation of a payment; amounts are minor units."""

    kind: LineKind
    amount: int
    currency: str
    settled_on: date
    state: LineState
    operation_id: str | None


class EvidenceItem(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A piece of evidence: what it is, and its text. No card numbers."""

    kind: Annotated[str, msgspec.Meta(min_length=1, max_length=60, pattern="^[a-z0-9_]+$")]
    text: Annotated[str, msgspec.Meta(min_length=1, max_length=8000, pattern="^[^\\u0000]*$")]


class Representment(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why the chargeback is not right."""

    evidence: Annotated[list[EvidenceItem], msgspec.Meta(min_length=1, max_length=50)]


class Dispute(msgspec.Struct, frozen=True, kw_only=True):
    """A dispute as the partner sees it. `amount` and `amount_taken` (from the account of the payment) are minor units.

    `meaning` is what the scheme's reason code stands for; empty where we do not know it.
    """

    id: str
    environment: Environment
    adapter: str
    dispute_id: str
    payment_id: str
    account_id: str
    stage: DisputeStage
    response: DisputeResponse
    amount: int
    currency: str
    amount_taken: int
    reason_code: str
    reason: str
    meaning: str
    opened_at: datetime
    respond_by: datetime | None
    version: int
    created_at: datetime
    updated_at: datetime


class FeeRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an acquirer should keep of a line: the first rule whose `kind`, `brand` and `currency` fit (empty: any) decides.

    Each fee is basis points of the amount, rounded half up, plus a fixed part in minor units; all fees together may differ by
    `tolerance` minor units.
    """

    kind: str = ""
    brand: str = ""
    currency: CurrencyCode | None = None
    basis_points: Annotated[int, msgspec.Meta(ge=0, le=10_000)] = 0
    fixed: int = 0
    tolerance: Annotated[int, msgspec.Meta(ge=0)] = 1

    def fits(self, line: StoredLine, brand: str) -> bool:
        """Tell whether the rule speaks of this line."""
        return (
            self.kind in ("", line.kind.value) and self.brand in ("", brand) and self.currency in (None, line.currency)
        )

    def fee(self, amount: int) -> int:
        """Return what should be kept of an amount."""
        return (amount * self.basis_points + 5_000) // 10_000 + self.fixed


@dataclass(frozen=True, slots=True)
class Terms:
    """What is agreed with payment systems: when reports come, how long lines may be late, and what is kept.

    A report of a day is asked for `report_after` its end (UTC), every `retry_first` at first and up to `retry_last` apart;
    after that it is asked for again every day for `refetch_days`. An operation is missed `expected_days` and `grace_days` after
    it succeeded. A payment system is followed from `first_days` before it was first seen. On `closed_weekdays` (Monday is 0)
    and `holidays` no report is missed. `fees_partner` bears what the gateway charges for no payment.
    """

    report_after: timedelta = timedelta(hours=1)
    retry_first: timedelta = timedelta(minutes=1)
    retry_last: timedelta = timedelta(hours=1)
    refetch_days: int = 7
    first_days: int = 1
    expected_days: int = 1
    grace_days: int = 2
    closed_weekdays: frozenset[int] = frozenset()
    holidays: frozenset[date] = frozenset()
    disputes_every: timedelta = timedelta(minutes=15)
    disputes_overlap_days: int = 3
    fees: tuple[FeeRule, ...] = ()
    fees_partner: str = ""

    def end_of(self, day: date) -> datetime:
        """Return when a day is over."""
        return datetime.combine(day + timedelta(days=1), time(), UTC)

    def open_on(self, day: date) -> bool:
        """Tell whether payment systems settle on a day."""
        return day.weekday() not in self.closed_weekdays and day not in self.holidays

    def missed_before(self, now: datetime) -> datetime:
        """Return the instant before which an operation that succeeded should have been settled by now.

        Closed days do not count.
        """
        day, left = now.date(), self.expected_days + self.grace_days
        while left:
            day -= timedelta(days=1)
            left -= self.open_on(day)
        return datetime.combine(day, time(), UTC)

    def backoff(self, failures: int) -> timedelta:
        """Return how long to wait after so many attempts without success."""
        return min(self.retry_first * (1 << min(failures, 16)), self.retry_last)


@dataclass(frozen=True, slots=True)
class Sources:
    """The payment systems that report settlement, by environment and name, and the terms with them."""

    adapters: Mapping[tuple[Environment, str], Settles] = field(default_factory=dict)
    terms: Terms = field(default_factory=Terms)

    @classmethod
    def of(cls, adapters: Mapping[Environment, Mapping[str, object]], terms: Terms | None = None) -> Sources:
        """Pick those adapters that report settlement."""
        found = {
            (environment, name): adapter
            for environment, by_name in adapters.items()
            for name, adapter in by_name.items()
            if isinstance(adapter, Settles)
        }
        return cls(found, terms or Terms())


def flaw_of(line: SettlementLine) -> str:
    """Return how a line contradicts itself, "" if it does not.

    The net of a line is its gross less its fees; a line of fees may instead itemise its amount.
    """
    code = line.amount.currency
    if any(one.currency != code for one in (line.interchange, line.scheme_fee, line.processing_fee)):
        return "its fees are in another currency than its amount"
    if line.amount.minor < 0:
        return "its amount is negative"
    fees = line.interchange.minor + line.scheme_fee.minor + line.processing_fee.minor
    gross = line.amount.minor if line.kind in BRINGS_MONEY else -line.amount.minor
    if line.net_minor == gross - fees:
        return ""
    if line.kind is LineKind.FEE and fees == line.amount.minor == -line.net_minor:
        return ""
    return f"its net is {line.net_minor}, its gross less fees {gross - fees}"
