"""Orders and their transactions, in minor units; what the journal keeps of them."""

from __future__ import annotations

from typing import Any

import msgspec

from shanraq.simulators.mastercard.fees import FeeRule


class Answered(msgspec.Struct, frozen=True):
    """The first answer to a request: the same request is answered so again, whatever became of the transaction since."""

    operation: str
    request: str
    reply: dict[str, Any]


class Transaction(msgspec.Struct, kw_only=True, omit_defaults=True, tag_field="entry", tag="transaction"):
    """One transaction. `request` is the keyed hash of what was asked; `reply` what is retrieved, amounts as texts.

    `amount` is what it moved: of an authorisation what was approved. `order` is the order's state after it. `earlier` holds the
    first answers where `reply` is another by now: the second step of an authentication, a challenge, a review.
    """

    merchant_id: str
    order_id: str
    id: str
    sequence: int
    time: float
    operation: str
    request: str
    version: str
    type: str
    amount: int
    currency: str
    approved: bool
    gateway_code: str
    result: str
    reply: dict[str, Any]
    order: dict[str, Any]
    target_id: str = ""
    settled: bool = False
    voided: bool = False
    earlier: list[Answered] = []


class Cutoff(msgspec.Struct, frozen=True, tag_field="entry", tag="cutoff"):
    """The batch was sent: what is settled can no longer be voided. Without a merchant, everybody's."""

    time: float
    merchant_id: str = ""
    fees: tuple[FeeRule, ...] | None = None
    """The table by which it was settled; None in a journal of before there was one: the default."""


class DisputeStep(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="entry", tag="dispute"):
    """A dispute went to a stage. Minor units; `money` is what that moves for the merchant, below zero where it takes.

    `target_id` is the transaction in dispute, `order` the order's state after the step, `transaction` the CHARGEBACK that
    takes the money.
    """

    dispute_id: str
    number: int
    merchant_id: str
    order_id: str
    target_id: str
    time: float
    stage: str
    amount: int
    money: int
    currency: str
    reason_code: str
    reason: str
    order: dict[str, Any]
    respond_by: float = 0.0
    transaction: Transaction | None = None


class ClockAdvance(msgspec.Struct, frozen=True, tag_field="entry", tag="clock"):
    """The simulated clock went forward."""

    seconds: float


class Reset(msgspec.Struct, frozen=True, tag_field="entry", tag="reset"):
    """Everything was forgotten."""

    time: float


class Part(msgspec.Struct, frozen=True, tag_field="entry", tag="part"):
    """One thing of a part (a session, a token, a challenge, ...) after a change; None when it is gone."""

    name: str
    key: str
    state: dict[str, Any] | None


Entry = Transaction | Cutoff | DisputeStep | ClockAdvance | Reset | Part


class Order(msgspec.Struct, kw_only=True):
    """An order: what was asked first, and what stands of it. Amounts are minor units."""

    merchant_id: str
    id: str
    amount: int
    currency: str
    created: float
    updated: float
    kind: str = ""
    """AUTHORIZE, PAY, ... of the initial transaction that stands; empty while none does."""
    initial_id: str = ""
    authorized: int = 0
    captured: int = 0
    refunded: int = 0
    disbursed: int = 0
    voided: bool = False
    failed: bool = False
    reference: str = ""
    notification_url: str = ""
    certainty: str = ""
    authentication_status: str = ""
    review: str = ""
    """PENDING while a person has to decide, ACCEPTED or REJECTED afterwards; empty without a review."""
    card: dict[str, Any] = {}
    """The card as it is shown."""
    chargeback: int = 0
    dispute: str = ""

    @property
    def standing(self) -> bool:
        """Tell whether an initial transaction was approved."""
        return bool(self.kind)

    @property
    def status(self) -> str:
        """Return order.status."""
        if self.dispute:
            return self.dispute
        if self.voided:
            return "CANCELLED"
        if not self.kind:
            return "FAILED" if self.failed else _AUTHENTICATING.get(self.authentication_status, "INITIATED")
        fixed = _FIXED.get(self.kind)
        if fixed is not None:
            return fixed
        if self.refunded:
            if self.refunded == self.captured:
                return "REFUNDED"
            return "PARTIALLY_REFUNDED" if self.refunded < self.captured else "EXCESSIVELY_REFUNDED"
        if not self.captured:
            return "AUTHORIZED"
        return "CAPTURED" if self.captured >= self.authorized else "PARTIALLY_CAPTURED"


_AUTHENTICATING = {
    "AUTHENTICATION_INITIATED": "AUTHENTICATION_INITIATED",
    "AUTHENTICATION_AVAILABLE": "AUTHENTICATION_INITIATED",
    "AUTHENTICATION_PENDING": "AUTHENTICATION_INITIATED",
    "AUTHENTICATION_SUCCESSFUL": "AUTHENTICATED",
    "AUTHENTICATION_ATTEMPTED": "AUTHENTICATED",
    "AUTHENTICATION_NOT_SUPPORTED": "AUTHENTICATION_NOT_NEEDED",
    "AUTHENTICATION_FAILED": "AUTHENTICATION_UNSUCCESSFUL",
    "AUTHENTICATION_REJECTED": "AUTHENTICATION_UNSUCCESSFUL",
    "AUTHENTICATION_UNAVAILABLE": "AUTHENTICATION_UNSUCCESSFUL",
}
_FIXED = {
    "VERIFY": "VERIFIED",
    "STANDALONE_REFUND": "REFUNDED",
    "DISBURSEMENT": "DISBURSED",
    "ACCOUNT_FUNDING_TRANSACTION": "FUNDING",
    "BALANCE_INQUIRY": "VERIFIED",
    "REFERRAL": "AUTHORIZED",
}
