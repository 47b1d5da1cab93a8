"""The port to payment systems: what payments ask of an adapter, and the answers the world may give.

An adapter sends one command and returns a value; it never raises for what the other side does. `Unknown` means that
money may have moved: it is never treated as a decline. Every command carries our own `operation_id`, unique for ever,
under which the operation can be found (`inquire`) or taken back (`undo`) when its answer was lost.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol, runtime_checkable

from shanraq.core.money import Money
from shanraq.core.secret import Pan, SecurityCode


class DeclineClass(StrEnum):
    """What kind of no it is: decides whether and how a retry makes sense."""

    HARD = "hard"
    SOFT = "soft"
    RETRY_AFTER = "retry_after"
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
    USE_CARD_NUMBER = "use_pan_instead_of_token"
    UPDATE_CARD = "update_card"
    ASK_CUSTOMER = "ask_customer"
    WAIT_FOR_REVIEW = "wait_for_review"


@dataclass(frozen=True, slots=True)
class Reason:
    """Why the other side said no: our code, its class and advice, and the gateway's own word for it.

    `release` tells that the issuer had approved before the gateway declined: its hold must be reversed. `issuer_code` is the
    issuer's response code (ISO 8583 DE39), `advice_code` the scheme's merchant advice code, both as the gateway told them;
    `retry_after` how long the scheme wants to be left alone before another try.
    """

    code: str
    kind: DeclineClass
    advice: Advice
    gateway_reason: str = ""
    release: bool = False
    issuer_code: str = ""
    advice_code: str = ""
    retry_after: timedelta | None = None


class RiskDecision(StrEnum):
    """What the gateway's risk assessment says of a payment."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"
    REVIEW = "review"
    NOT_CHECKED = "not_checked"


@dataclass(frozen=True, slots=True)
class RiskRule:
    """One rule that took part in a risk decision, and what it recommends in the gateway's word."""

    name: str
    recommendation: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Risk:
    """A risk assessment: the decision, the provider's score where it gives one, and the rules."""

    decision: RiskDecision
    score: int | None = None
    provider: str = ""
    rules: tuple[RiskRule, ...] = ()


@dataclass(frozen=True, slots=True)
class Checks:
    """What the issuer found of the address and the security code: the letters of the scheme, empty where not told."""

    address: str = ""
    security_code: str = ""


@dataclass(frozen=True, slots=True)
class Approved:
    """The operation is done, or accepted and sure to settle. `amount` may be less than asked (partial approval)."""

    gateway_id: str
    amount: Money
    approval_code: str = ""
    network_transaction_id: str = ""
    reconciliation_id: str = ""
    checks: Checks = Checks()
    risk: Risk | None = None


@dataclass(frozen=True, slots=True)
class Declined:
    """The other side refused; no money moves. Final for this attempt."""

    reason: Reason
    gateway_id: str = ""
    checks: Checks = Checks()
    risk: Risk | None = None


@dataclass(frozen=True, slots=True)
class InReview:
    """Money may be held; a person or a rule at the gateway decides later."""

    gateway_id: str
    amount: Money
    reason: Reason
    risk: Risk | None = None


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
    INCREMENT = "increment"
    CREDIT = "credit"
    VERIFY = "verify"


class Initiator(StrEnum):
    """Who starts a payment with a stored card."""

    CUSTOMER = "customer"
    MERCHANT = "merchant"


class MerchantReason(StrEnum):
    """Why a merchant starts a payment with a stored card by itself."""

    RECURRING = "recurring"
    INSTALLMENT = "installment"
    UNSCHEDULED = "unscheduled"
    RESUBMISSION = "resubmission"
    DELAYED_CHARGE = "delayed_charge"
    REAUTHORIZATION = "reauthorization"
    NO_SHOW = "no_show"


@dataclass(frozen=True, slots=True)
class StoredCredential:
    """How a payment uses a stored card (CIT and MIT of the schemes' stored-credential framework).

    A customer's first payment stores the card (`first`); later ones refer to it by `network_transaction_id`, the scheme's id
    of the payment that stored it. `reason` is for merchant-initiated payments. `agreement_id` names the agreement.
    """

    initiator: Initiator
    first: bool = False
    reason: MerchantReason | None = None
    network_transaction_id: str = ""
    agreement_id: str = ""


@dataclass(frozen=True, slots=True)
class Authenticated:
    """A cardholder authentication (EMV 3-D Secure) that a payment can carry.

    `status` is transStatus (Y or A), `eci` the two digits of the scheme, `value` the CAVV or AAV in base64. `transaction_id`
    is the gateway's id of the authentication, `directory_server_id` the directory server's (UUID).
    """

    transaction_id: str
    status: str
    eci: str
    value: str = ""
    directory_server_id: str = ""
    version: str = ""
    liability_shift: bool = False


@dataclass(frozen=True, slots=True)
class Device:
    """The payer's device, for risk assessment and authentication; empty texts are left out."""

    ip_address: str = ""
    user_agent: str = ""
    accept: str = ""
    language: str = ""
    color_depth: int | None = None
    screen_height: int | None = None
    screen_width: int | None = None
    time_zone_minutes: int | None = None
    java_enabled: bool = False


@dataclass(frozen=True, slots=True)
class Authorize:
    """Ask for `amount`; with `capture` it is a sale, authorised and captured in one.

    `partial` takes less where the issuer offers it; `estimated` marks an authorisation whose final amount is not known yet
    (pre-authorisation), which may be incremented.
    """

    operation_id: str
    reference: str
    amount: Money
    card: Card
    capture: bool = False
    billing: Billing = field(default_factory=Billing)
    partial: bool = False
    estimated: bool = False
    stored: StoredCredential | None = None
    authentication: Authenticated | None = None
    device: Device = field(default_factory=Device)


@dataclass(frozen=True, slots=True)
class Increment:
    """Raise an authorisation by `amount`, to `total`. Approved tells the amount added."""

    operation_id: str
    reference: str
    authorization_id: str
    amount: Money
    total: Money


@dataclass(frozen=True, slots=True)
class Credit:
    """Pay `amount` to a card without an earlier payment."""

    operation_id: str
    reference: str
    amount: Money
    card: Card
    billing: Billing = field(default_factory=Billing)


@dataclass(frozen=True, slots=True)
class Verify:
    """Ask the issuer whether a card is good, without money. `nothing` is zero of the currency asked in."""

    operation_id: str
    reference: str
    nothing: Money
    card: Card
    billing: Billing = field(default_factory=Billing)
    stored: StoredCredential | None = None


@dataclass(frozen=True, slots=True)
class Capture:
    """Take all or part of an authorisation; `final` gives back what is left. `sequence` counts the captures from 1."""

    operation_id: str
    reference: str
    authorization_id: str
    amount: Money
    final: bool = True
    sequence: int = 1


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
ExtendedCommand = Command | Increment | Credit | Verify


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


@runtime_checkable
class Guarded(Protocol):
    """An adapter that leaves a gateway alone that does not answer; routing then passes it over."""

    @property
    def available(self) -> bool:
        """Tell whether a command would be sent now: False while every circuit breaker is open."""


def is_available(adapter: Adapter) -> bool:
    """Tell whether an adapter would send a command now; one that guards nothing always would."""
    return not isinstance(adapter, Guarded) or adapter.available


@runtime_checkable
class Increments(Protocol):
    """An adapter that can raise an authorisation."""

    async def increment(self, command: Increment) -> Outcome:
        """Raise an authorisation."""


@runtime_checkable
class Credits(Protocol):
    """An adapter that can pay to a card without an earlier payment."""

    async def credit(self, command: Credit) -> Outcome:
        """Pay to a card."""


@runtime_checkable
class Verifies(Protocol):
    """An adapter that can check a card without money."""

    async def verify(self, command: Verify) -> Outcome:
        """Check a card: Approved with an amount of zero, or Declined."""


@dataclass(frozen=True, slots=True)
class StartAuthentication:
    """Prepare the authentication of a cardholder for a payment of `amount`."""

    authentication_id: str
    reference: str
    amount: Money
    card: Card


@dataclass(frozen=True, slots=True)
class DeviceCollection:
    """What the payer's browser does before authentication: a hidden form posted to `url` (3DS method, device data).

    `fields` are the form's names and values. Without a url nothing has to be done. `session` is what `authenticate` needs.
    """

    session: str
    url: str = ""
    fields: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Authenticate:
    """Ask the directory server, after the device data was collected. The payer comes back to `return_url`."""

    authentication_id: str
    reference: str
    amount: Money
    card: Card
    session: str
    return_url: str
    device: Device
    billing: Billing = field(default_factory=Billing)


@dataclass(frozen=True, slots=True)
class Challenge:
    """The issuer wants to see the payer: a form with `fields` posted to `url` in a frame; then `complete`."""

    transaction_id: str
    url: str
    fields: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class NotAuthenticated:
    """The payer was not authenticated. `status` is transStatus (N, U, R) or empty; `proceed` tells that the payment may be
    tried without liability shift (U, or the card does not take part)."""

    reason: Reason
    status: str = ""
    proceed: bool = False


Authentication = Authenticated | Challenge | NotAuthenticated | Unknown


@runtime_checkable
class Authenticates(Protocol):
    """An adapter that can authenticate cardholders (EMV 3-D Secure 2). Nothing here moves money: all may be repeated."""

    async def start_authentication(self, command: StartAuthentication) -> DeviceCollection | NotAuthenticated | Unknown:
        """Begin."""

    async def authenticate(self, command: Authenticate) -> Authentication:
        """Ask the directory server."""

    async def complete_authentication(self, command: Authenticate, transaction_id: str) -> Authentication:
        """Fetch the result after the challenge; a Challenge again means that the payer is not back yet."""


@dataclass(frozen=True, slots=True)
class Reviewed:
    """A payment under review at the gateway: our operation, the gateway's id of it, what was asked."""

    lost: Lost
    gateway_id: str


@runtime_checkable
class Reviews(Protocol):
    """An adapter whose gateway keeps payments for review."""

    async def look_up_review(self, reviewed: Reviewed) -> Finding:
        """Ask what was decided: Approved, Declined, or InReview as long as nobody decided."""

    async def decide_review(self, reviewed: Reviewed, *, accept: bool, note: str) -> Finding | NotProcessed:
        """Decide at the gateway. NotProcessed where it offers no such call: its own console decides."""


@dataclass(frozen=True, slots=True)
class Notice:
    """An authentic notification of a gateway: a hint to look again, never a fact about money.

    `notice_id` is the key for duplicates. `references` are our payment ids it names, `gateway_ids` the gateway's ids.
    """

    notice_id: str
    kind: str
    references: tuple[str, ...] = ()
    gateway_ids: tuple[str, ...] = ()


@runtime_checkable
class Notifies(Protocol):
    """An adapter whose gateway sends notifications."""

    def read_notice(self, headers: dict[str, str], body: bytes, *, now_ms: int) -> Notice | None:
        """Verify and read a notification; names of headers in lower case. None when it is not authentic or unreadable."""
