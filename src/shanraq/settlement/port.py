"""The port to settlement data: what a payment system says it settled, charged and disputed.

Everything here is read only. An adapter returns what the gateway says, in minor units, without judging it; a report that
cannot be read whole raises SettlementUnreadableError and nothing of it is taken.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Protocol, runtime_checkable

from shanraq.core.errors import UnavailableError
from shanraq.core.money import Money


class SettlementUnreadableError(UnavailableError, code="settlement_unreadable", status=503):
    """A settlement report could not be fetched or read as a whole."""


class LineKind(StrEnum):
    """What a line of a settlement report settles."""

    CAPTURE = "capture"
    REFUND = "refund"
    CREDIT = "credit"
    CHARGEBACK = "chargeback"
    REPRESENTMENT = "representment"
    FEE = "fee"


@dataclass(frozen=True, slots=True)
class SettlementLine:
    """One settled entry.

    `line_id` is unique at the gateway for ever. `reference` is our payment id, `operation_id` ours where the gateway tells it,
    `gateway_id` the gateway's id of the capture or refund (of the payment for a chargeback). `amount` is gross and positive:
    a capture and a representment bring money, all else takes it. `interchange`, `scheme_fee` and `processing_fee` are what the
    acquirer keeps (positive; a refund may give some back: negative); `net` is what is paid out for the line, signed.
    """

    line_id: str
    kind: LineKind
    batch_id: str
    settled_on: date
    reference: str
    gateway_id: str
    amount: Money
    interchange: Money
    scheme_fee: Money
    processing_fee: Money
    net_minor: int
    operation_id: str = ""
    reconciliation_id: str = ""


@dataclass(frozen=True, slots=True)
class SettlementReport:
    """All lines that a gateway settled on a day, and how the report was named there."""

    source: str
    day: date
    lines: tuple[SettlementLine, ...]
    complete: bool = True


class DisputeStage(StrEnum):
    """How far a dispute has gone."""

    ALERT = "alert"
    CHARGEBACK = "chargeback"
    PRE_ARBITRATION = "pre_arbitration"
    ARBITRATION = "arbitration"
    WON = "won"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class DisputeNotice:
    """A dispute as a gateway tells it. `reason_code` is the scheme's (10.4, 4837); `respond_by` may not be told."""

    dispute_id: str
    stage: DisputeStage
    reference: str
    gateway_id: str
    amount: Money
    reason_code: str
    reason: str
    opened_at: datetime
    respond_by: datetime | None = None


@runtime_checkable
class Settles(Protocol):
    """An adapter whose gateway reports what it settled."""

    name: str

    async def settlement(self, day: date) -> SettlementReport | None:
        """Return the report of a day (UTC), None when it is not there yet. Raises SettlementUnreadableError."""

    async def disputes(self, since: date, until: date) -> tuple[DisputeNotice, ...]:
        """Return the disputes that were opened or moved on these days. Raises SettlementUnreadableError."""
