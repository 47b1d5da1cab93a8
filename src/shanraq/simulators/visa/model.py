"""What the gateway remembers: operations as they happened, and what is left of each."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

import msgspec

from shanraq.simulators.visa.resources import FeeSchedule, Kept, MaskedCard, Removed


class Kind(StrEnum):
    """The operations that move or hold money."""

    AUTHORIZATION = "authorization"
    INCREMENT = "increment"
    CAPTURE = "capture"
    REFUND = "refund"
    CREDIT = "credit"
    REVERSAL = "reversal"
    VOID = "void"


class Operation(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="entry", tag="operation"):
    """One operation as answered. Amounts are minor units.

    `amount` is what was held or moved (0 for a decline), `requested` what was asked. `target_id` is the operation acted
    upon, `root_id` the first of the chain. `behaviour` is what the card makes follow-ons do, `final` marks the capture
    after which there is none; `avs`, `cvn` and `advice` are result codes, never what was compared.
    """

    sequence: int
    id: str
    kind: Kind
    merchant_id: str
    time: datetime
    status: str
    reason: str = ""
    requested: int
    amount: int = 0
    currency: str
    code: str
    transaction_id: str = ""
    target_id: str = ""
    root_id: str
    reconciliation_id: str
    network_transaction_id: str = ""
    sale: bool = False
    by_timeout: bool = False
    card: MaskedCard | None = None
    behaviour: str = ""
    final: bool = False
    avs: str = ""
    cvn: str = ""
    advice: str = ""


class Cutoff(msgspec.Struct, frozen=True, tag_field="entry", tag="cutoff"):
    """The batch left: everything pending is transmitted."""

    time: datetime


class Reset(msgspec.Struct, frozen=True, tag_field="entry", tag="reset"):
    """Everything before is forgotten."""

    time: datetime


class ClockAdvance(msgspec.Struct, frozen=True, tag_field="entry", tag="clock"):
    """The simulated clock was moved forward."""

    seconds: float


JournalEntry = Operation | Cutoff | Reset | ClockAdvance | FeeSchedule | Removed | Kept

HOLDING: Final = frozenset(
    {"AUTHORIZED", "PARTIAL_AUTHORIZED", "AUTHORIZED_PENDING_REVIEW", "AUTHORIZED_RISK_DECLINED"}
)
"""Statuses of an authorisation that holds money on the card."""

CAPTURABLE: Final = HOLDING - {"AUTHORIZED_RISK_DECLINED"}
"""Statuses that may be captured; after a decline by risk rules the hold can only be reversed."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What left with one cut-off for one merchant, and the fees of that day."""

    id: str
    merchant_id: str
    time: datetime
    fees: FeeSchedule
    records: tuple[Record, ...]


_REVIEWED: Final = {"ACCEPTED": "AUTHORIZED", "REJECTED": "AUTHORIZED_RISK_DECLINED"}


class Record:
    """An operation and what later operations left of it. Amounts are minor units."""

    __slots__ = (
        "authorized",
        "batch",
        "captured",
        "final",
        "operation",
        "refunded",
        "related_ids",
        "reversed",
        "review",
        "transmitted",
        "voided",
    )

    def __init__(self, operation: Operation) -> None:
        self.operation = operation
        self.authorized = 0
        self.captured = 0
        self.reversed = 0
        self.refunded = 0
        self.voided = False
        self.transmitted = False
        self.final = False
        self.review = ""
        self.batch: Batch | None = None
        self.related_ids: list[str] = []

    @property
    def uncaptured(self) -> int:
        """What is still held and may be captured or reversed."""
        return self.authorized - self.captured - self.reversed

    @property
    def settles(self) -> bool:
        """Whether it goes out with a batch: a capture, a refund, a credit, or a sale."""
        operation = self.operation
        if operation.kind is Kind.AUTHORIZATION:
            return operation.sale and operation.status in {"AUTHORIZED", "PARTIAL_AUTHORIZED"}
        return operation.kind in {Kind.CAPTURE, Kind.REFUND, Kind.CREDIT} and operation.status == "PENDING"

    @property
    def voidable(self) -> bool:
        """Whether a void still stops it: not sent, not voided, nothing refunded from it."""
        return self.settles and not self.voided and not self.transmitted and self.refunded == 0

    @property
    def status(self) -> str:
        """The status now, where the operation's own is the one it was answered with."""
        if self.voided:
            return "VOIDED"
        if self.reversed and self.uncaptured == 0:
            return "REVERSED"
        if self.transmitted:
            return "TRANSMITTED"
        return _REVIEWED.get(self.review, self.operation.status)


class Refusal(Exception):  # noqa: N818 - an answer of the API, not a mistake
    """A request the gateway does not accept: nothing is done, the reply is flat (400 INVALID_REQUEST, 502 SERVER_ERROR)."""

    def __init__(self, reason: str, *, field: str = "", status: int = 400, message: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.field = field
        self.status = status
        self.message = message or _MESSAGES.get(reason, "Declined - The request cannot be processed")


_MESSAGES: Final = {
    "MISSING_FIELD": "Declined - The request is missing one or more fields",
    "INVALID_DATA": "Declined - One or more fields in the request contains invalid data",
    "INVALID_AMOUNT": "Declined - The requested transaction amount is not valid",
    "EXCEEDS_AUTH_AMOUNT": "Declined - The requested capture amount exceeds the originally authorized amount",
    "AUTH_ALREADY_REVERSED": "Declined - The authorization has already been reversed",
    "TRANSACTION_ALREADY_REVERSED_OR_SETTLED": "Declined - The transaction has already been settled or reversed",
    "MISSING_AUTH": "Declined - There is no corresponding, unused authorization",
    "NOT_VOIDABLE": "Declined - The transaction cannot be voided: it has been sent, voided, or is of no voidable type",
    "CAPTURE_ALREADY_VOIDED": "Declined - The capture has already been voided",
    "DUPLICATE_REQUEST": "Declined - The idempotency id was used with another request",
    "CARD_TYPE_NOT_ACCEPTED": "Declined - The card type is not accepted by the payment processor",
    "INVALID_CARD_TYPE": "Declined - The card type is not valid or does not fit the card number",
    "INVALID_MERCHANT_CONFIGURATION": "Declined - There is a problem with the merchant configuration",
    "PROCESSOR_UNAVAILABLE": "Declined - The payment processor is not available",
    "ACCOUNT_NOT_ALLOWED_CREDIT": "Declined - The account is not allowed to receive a credit",
    "INVALID_PAYMENT_ID": "Declined - The payment id is not valid",
    "INVALID_CARD": "Declined - The card is not valid",
    "TRANSACTION_ALREADY_SETTLED": "Declined - The transaction has already been settled",
    "SYSTEM_ERROR": "Error - General system failure",
    "SERVER_TIMEOUT": "Error - The request was received but there was a server timeout",
    "SERVICE_TIMEOUT": "Error - The request was received, but a service did not finish running in time",
}
