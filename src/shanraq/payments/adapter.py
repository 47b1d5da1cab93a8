"""The port to payment systems: what payments ask of an adapter, and the answers the world may give.

An adapter sends one command and returns a value; it never raises for what the other side does. `Unknown` means that
money may have moved: it is never treated as a decline. Every command carries our own `operation_id`, unique for ever,
under which the operation can be found (`inquire`) or taken back (`undo`) when its answer was lost.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol

from shanraq.core.money import Money
from shanraq.core.secret import Pan, SecurityCode


class DeclineClass(StrEnum):
    """What kind of no it is: decides whether and how a retry makes sense."""

    HARD = "hard"
    SOFT = "soft"
    AUTHENTICATION_REQUIRED = "authentication_required"
    FRAUD = "fraud"
    CONFIGURATION = "configuration"
    TECHNICAL = "technical"


class Advice(StrEnum):
    """What to do about a decline."""

    DO_NOT_RETRY = "do_not_retry"
    RETRY_LATER = "retry_after"
    RETRY_OTHER_PROCESSOR = "retry_other_processor"
    STEP_UP_3DS = "step_up_3ds"
    UPDATE_CARD = "update_card"
    ASK_CUSTOMER = "ask_customer"
    WAIT_FOR_REVIEW = "wait_for_review"


@dataclass(frozen=True, slots=True)
class Reason:
    """Why the other side said no: our code, its class and advice, and the gateway's own word for it.

    `release` tells that the issuer had approved before the gateway declined: its hold must be reversed.
    """

    code: str
    kind: DeclineClass
    advice: Advice
    gateway_reason: str = ""
    release: bool = False


@dataclass(frozen=True, slots=True)
class Approved:
    """The operation is done, or accepted and sure to settle. `amount` may be less than asked (partial approval)."""

    gateway_id: str
    amount: Money
    approval_code: str = ""
    network_transaction_id: str = ""
    reconciliation_id: str = ""


@dataclass(frozen=True, slots=True)
class Declined:
    """The other side refused; no money moves. Final for this attempt."""

    reason: Reason
    gateway_id: str = ""


@dataclass(frozen=True, slots=True)
class InReview:
    """Money may be held; a person or a rule at the gateway decides later."""

    gateway_id: str
    amount: Money
    reason: Reason


@dataclass(frozen=True, slots=True)
class NotProcessed:
    """The gateway did nothing: it refused the request as such, refused our credentials, or was never reached."""

    reason: Reason
    retryable: bool = False


@dataclass(frozen=True, slots=True)
class Unknown:
    """No usable answer: the operation may or may not have happened."""

    detail: str


@dataclass(frozen=True, slots=True)
class NotFound:
    """An inquiry or undo found no such operation, or one that was taken back before: nothing of it stands.

    Proves nothing before the adapter's `settled_after`.
    """


Outcome = Approved | Declined | InReview | NotProcessed | Unknown
Finding = Approved | Declined | InReview | NotFound | Unknown


@dataclass(frozen=True, slots=True)
class Card:
    """Card data for one request: in memory only."""

    pan: Pan
    expiry_month: int
    expiry_year: int
    security_code: SecurityCode | None = None


@dataclass(frozen=True, slots=True)
class Billing:
    """The cardholder's billing details that an issuer checks; empty texts are left out."""

    first_name: str = ""
    last_name: str = ""
    email: str = ""
    phone: str = ""
    address: str = ""
    city: str = ""
    postal_code: str = ""
    region: str = ""
    country: str = ""


class OperationKind(StrEnum):
    """The operations of a payment that reach the gateway."""

    AUTHORIZE = "authorize"
    CAPTURE = "capture"
    REFUND = "refund"
    VOID = "void"
    REVERSE = "reverse"


@dataclass(frozen=True, slots=True)
class Authorize:
    """Ask for `amount`; with `capture` it is a sale, authorised and captured in one."""

    operation_id: str
    reference: str
    amount: Money
    card: Card
    capture: bool = False
    billing: Billing = field(default_factory=Billing)


@dataclass(frozen=True, slots=True)
class Capture:
    """Take all or part of an authorisation; `final` gives back what is left."""

    operation_id: str
    reference: str
    authorization_id: str
    amount: Money
    final: bool = True


@dataclass(frozen=True, slots=True)
class Refund:
    """Pay back all or part of a capture (or of a sale, when `capture_id` is the payment itself)."""

    operation_id: str
    reference: str
    capture_id: str
    amount: Money
    of_sale: bool = False


@dataclass(frozen=True, slots=True)
class Void:
    """Cancel a capture, refund or sale that has not been sent to clearing."""

    operation_id: str
    reference: str
    target: OperationKind
    target_id: str
    amount: Money


@dataclass(frozen=True, slots=True)
class Reverse:
    """Release an authorisation, or what is left of it."""

    operation_id: str
    reference: str
    authorization_id: str
    amount: Money


Command = Authorize | Capture | Refund | Void | Reverse


@dataclass(frozen=True, slots=True)
class Lost:
    """An operation whose answer was lost: its id, kind, amount, when it was sent, whether an authorisation was a sale."""

    operation_id: str
    reference: str
    kind: OperationKind
    amount: Money
    sent_at: datetime
    sale: bool = False


class Adapter(Protocol):
    """One payment system. Safe for concurrent use; each call has a deadline of its own.

    `settled_after` is how long after sending a `NotFound` begins to prove that the operation never arrived.
    """

    name: str
    settled_after: timedelta

    async def authorize(self, command: Authorize) -> Outcome:
        """Authorise, or with `capture` sell."""

    async def capture(self, command: Capture) -> Outcome:
        """Capture an authorisation."""

    async def refund(self, command: Refund) -> Outcome:
        """Refund a capture."""

    async def void(self, command: Void) -> Outcome:
        """Void a capture, refund or sale."""

    async def reverse(self, command: Reverse) -> Outcome:
        """Reverse an authorisation."""

    async def inquire(self, lost: Lost) -> Finding:
        """Look a lost operation up; changes nothing."""

    async def undo(self, lost: Lost) -> Finding:
        """Take a lost operation back by its id, as often as asked: Approved means it happened and is now undone.

        A void or reversal cannot be taken back: NotFound where it did not happen, else Unknown.
        """

    async def healthy(self) -> bool:
        """Tell whether the other side answers."""

    async def close(self) -> None:
        """Close the connections."""
