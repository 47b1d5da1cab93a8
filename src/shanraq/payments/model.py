"""Payments: money from a payment system to an account, and the operations that move it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Final

import msgspec

from shanraq.core.actor import Environment
from shanraq.core.fields import (
    AccountId,
    Amount,
    CurrencyCode,
    CustomerId,
    LongText,
    Metadata,
    PaymentMethodId,
    ShortText,
)
from shanraq.core.lifecycle import Lifecycle
from shanraq.core.money import Currency, Money
from shanraq.payments.adapter import (
    Adapter,
    Initiator,
    MerchantReason,
    OperationKind,
    RiskDecision,
    is_available,
)
from shanraq.payments.errors import NoAdapterError
from shanraq.payments.routing import Routing

PREFIX: Final = "pay"
METHOD_PREFIX: Final = "pm"
# 29 characters: gateways take at most 30 for the id under which a lost operation is found again.
OPERATION_PREFIX: Final = "op"

_PLAIN: Final = "^[^\\u0000-\\u001f]*$"


class PaymentStatus(Lifecycle):
    """`authorizing` lasts until the gateway's answer is known, however long that takes.

    A credit to a card goes from `paying` to `paid`.
    """

    AUTHORIZING = "authorizing", ("authorized", "captured", "review", "failed")
    REVIEW = "review", ("authorized", "captured", "voided", "failed")
    AUTHORIZED = "authorized", ("partially_captured", "captured", "voided")
    PARTIALLY_CAPTURED = "partially_captured", ("partially_captured", "captured")
    CAPTURED = "captured", ("partially_refunded", "refunded", "voided")
    PARTIALLY_REFUNDED = "partially_refunded", ("partially_refunded", "refunded")
    REFUNDED = "refunded"
    PAYING = "paying", ("paid", "failed")
    PAID = "paid"
    VOIDED = "voided"
    FAILED = "failed"

    @property
    def holds(self) -> bool:
        """Tell whether the issuer holds money that was not captured."""
        return self in (PaymentStatus.AUTHORIZED, PaymentStatus.PARTIALLY_CAPTURED, PaymentStatus.REVIEW)


class PaymentKind(StrEnum):
    """A charge takes money from a card; a credit pays money to one, without an earlier charge."""

    CHARGE = "charge"
    CREDIT = "credit"


class OperationStatus(Lifecycle):
    """`sending` was written before the request left; `unknown` had no usable answer and is being recovered."""

    SENDING = "sending", ("unknown", "review", "succeeded", "declined", "failed")
    UNKNOWN = "unknown", ("unknown", "review", "succeeded", "declined", "failed")
    REVIEW = "review", ("succeeded", "declined", "failed")
    SUCCEEDED = "succeeded"
    DECLINED = "declined"
    FAILED = "failed"

    @property
    def open(self) -> bool:
        """Tell whether the outcome is still to come."""
        return self in (OperationStatus.SENDING, OperationStatus.UNKNOWN)


class MethodStatus(StrEnum):
    """A deleted payment method keeps its masked number; the number itself is destroyed."""

    ACTIVE = "active"
    DELETED = "deleted"


class PaymentMethod(msgspec.Struct, frozen=True, kw_only=True):
    """A tokenised card. `fingerprint` is equal for the same card of the same partner and environment."""

    id: str
    customer_id: str | None
    brand: str
    masked: str
    expiry_month: int
    expiry_year: int
    fingerprint: str
    status: MethodStatus
    metadata: dict[str, str]
    created_at: datetime
    updated_at: datetime


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """Why the other side, or the ledger, said no; `advice` tells what to do about it.

    `issuer_code` is the issuer's response code (ISO 8583 DE39), `advice_code` the scheme's merchant advice code;
    `retry_after_seconds` how long the scheme wants to be left alone before another try. They are left empty if not told.
    """

    code: str
    kind: str
    advice: str
    gateway_reason: str = ""
    issuer_code: str = ""
    advice_code: str = ""
    retry_after_seconds: int | None = None


class CardChecks(msgspec.Struct, frozen=True, kw_only=True):
    """What the issuer found of the address (AVS) and the security code: letters of the scheme, empty where not told."""

    address: str = ""
    security_code: str = ""


class RiskRuleResult(msgspec.Struct, frozen=True, kw_only=True):
    """One rule of the gateway's risk assessment, and what it recommends in the gateway's word."""

    name: str
    recommendation: str
    detail: str = ""


class RiskAssessment(msgspec.Struct, frozen=True, kw_only=True):
    """What the gateway's risk assessment says: its decision, the provider's score where it gives one, the rules."""

    decision: RiskDecision
    score: int | None = None
    provider: str = ""
    rules: list[RiskRuleResult] = []


class FraudReport(msgspec.Struct, frozen=True, kw_only=True):
    """A payment that a risk assessment rejected or wants a person to look at; without card data."""

    payment_id: str
    decision: RiskDecision
    reason: str
    score: int | None = None
    provider: str = ""
    rules: list[RiskRuleResult] = []


_NETWORK_ID: Final = "^[A-Za-z0-9]{4,36}$"


class CredentialUse(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a payment uses a stored card, in the schemes' stored-credential framework (CIT, MIT).

    `first` marks the customer's payment that stores the card. A merchant-initiated payment gives its `reason` and the scheme's
    id of the payment it follows: as `network_transaction_id`, or taken from the payment named by `previous_payment_id`.
    """

    initiator: Initiator = Initiator.CUSTOMER
    first: bool = False
    reason: MerchantReason | None = None
    previous_payment_id: Annotated[str, msgspec.Meta(max_length=30)] | None = None
    network_transaction_id: Annotated[str, msgspec.Meta(pattern=_NETWORK_ID, max_length=36)] | None = None
    agreement_id: Annotated[str, msgspec.Meta(max_length=100, pattern=_PLAIN)] = ""


class DeviceDetails(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The payer's browser, for risk assessment and authentication; passed on to the gateway."""

    ip_address: Annotated[str, msgspec.Meta(max_length=45, pattern="^[0-9A-Fa-f:.]*$")] = ""
    user_agent: Annotated[str, msgspec.Meta(max_length=2048, pattern=_PLAIN)] = ""
    accept: Annotated[str, msgspec.Meta(max_length=2048, pattern=_PLAIN, description="The Accept header.")] = ""
    language: Annotated[str, msgspec.Meta(max_length=35, pattern="^[A-Za-z0-9-]*$", description="BCP 47.")] = ""
    color_depth: Annotated[int, msgspec.Meta(ge=1, le=64)] | None = None
    screen_height: Annotated[int, msgspec.Meta(ge=0, le=999_999)] | None = None
    screen_width: Annotated[int, msgspec.Meta(ge=0, le=999_999)] | None = None
    time_zone_minutes: Annotated[int, msgspec.Meta(ge=-840, le=840, description="UTC minus local time.")] | None = None
    java_enabled: bool = False


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """One operation of a payment as the partner sees it; `amount` is in minor units, `approval_code` the issuer's, if told.

    `adapter` is the payment system it was sent to: the attempts of a payment are its operations of the kind `authorize`.
    """

    id: str
    kind: OperationKind
    amount: int
    currency: str
    status: OperationStatus
    failure: Failure | None
    gateway_id: str
    transaction_id: str | None
    sent_at: datetime
    settled_at: datetime | None
    approval_code: str = ""
    adapter: str = ""


class Payment(msgspec.Struct, frozen=True, kw_only=True):
    """A payment as the partner sees it; amounts are in minor units. `operation` is the latest one, or the one asked for.

    `routing` tells why which payment system was asked. `amount_incremented` was added to the authorisation after `amount`
    was asked for. `expires_at` is when what is authorised and not captured will be released. `liability_shift` tells that
    the issuer bears fraud, as the cardholder was authenticated. A credit has no authorised, captured or refunded amount.
    """

    id: str
    payment_method_id: str
    account_id: str
    amount: int
    currency: str
    status: PaymentStatus
    amount_authorized: int
    amount_captured: int
    amount_refunded: int
    failure: Failure | None
    reference: str
    description: str
    metadata: dict[str, str]
    operation: Operation | None
    version: int
    created_at: datetime
    updated_at: datetime
    routing: Routing | None = None
    kind: PaymentKind = PaymentKind.CHARGE
    amount_incremented: int = 0
    estimated: bool = False
    stored_credential: CredentialUse | None = None
    authentication_id: str | None = None
    liability_shift: bool = False
    network_transaction_id: str = ""
    approval_code: str = ""
    checks: CardChecks | None = None
    risk: RiskAssessment | None = None
    expires_at: datetime | None = None

    @property
    def money(self) -> Currency:
        """Return the payment's currency."""
        return Currency.historic(self.currency)

    @property
    def asked(self) -> Money:
        """Return the amount that was asked for first."""
        return Money(self.amount, self.money)

    @property
    def capturable(self) -> Money:
        """Return what is authorised and not captured."""
        return Money(self.amount_authorized - self.amount_captured, self.money)


class BillingDetails(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an issuer checks about the cardholder; passed on to the gateway, not stored."""

    first_name: Annotated[str, msgspec.Meta(max_length=60, pattern=_PLAIN)] = ""
    last_name: Annotated[str, msgspec.Meta(max_length=60, pattern=_PLAIN)] = ""
    email: Annotated[str, msgspec.Meta(max_length=255, pattern=_PLAIN)] = ""
    phone: Annotated[str, msgspec.Meta(max_length=15, pattern="^[0-9+]*$")] = ""
    address: Annotated[str, msgspec.Meta(max_length=60, pattern=_PLAIN)] = ""
    city: Annotated[str, msgspec.Meta(max_length=50, pattern=_PLAIN)] = ""
    postal_code: Annotated[str, msgspec.Meta(max_length=10, pattern=_PLAIN)] = ""
    region: Annotated[str, msgspec.Meta(max_length=20, pattern=_PLAIN)] = ""
    country: Annotated[str, msgspec.Meta(pattern="^([A-Z]{2})?$", max_length=2, description="ISO 3166-1 alpha-2.")] = ""


class NewPayment(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a partner asks for: authorise `amount` minor units of a card for an account; `capture` takes it at once.

    `partial` takes less where the issuer offers it; `estimated` is a pre-authorisation, which may be incremented;
    `authentication_id` names an authentication of the cardholder, which this payment uses up. Terminals set `card_present`.
    """

    payment_method_id: PaymentMethodId
    account_id: AccountId
    amount: Amount
    currency: CurrencyCode
    capture: bool = False
    reference: ShortText = ""
    description: LongText = ""
    metadata: Metadata = {}
    billing: BillingDetails = BillingDetails()
    partial: bool = False
    estimated: bool = False
    device: DeviceDetails = DeviceDetails()
    stored_credential: CredentialUse | None = None
    authentication_id: Annotated[str, msgspec.Meta(max_length=30)] | None = None
    card_present: bool = False


class NewCredit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a partner asks for: pay `amount` minor units from an account to a card."""

    payment_method_id: PaymentMethodId
    account_id: AccountId
    amount: Amount
    currency: CurrencyCode
    reference: ShortText = ""
    description: LongText = ""
    metadata: Metadata = {}
    billing: BillingDetails = BillingDetails()


class NewCard(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What may be stored of a card. The number is wrapped by `Pan` before it goes anywhere."""

    expiry_month: Annotated[int, msgspec.Meta(ge=1, le=12)]
    expiry_year: Annotated[int, msgspec.Meta(ge=2000, le=2099)]
    customer_id: CustomerId | None = None
    metadata: Metadata = {}


@dataclass(frozen=True, slots=True)
class Gateways:
    """The payment systems of each environment, by name.

    What no rule of routing decides goes to those that `order` names, in that order, and without any of them to the first.
    """

    adapters: Mapping[Environment, Mapping[str, Adapter]]
    order: tuple[str, ...] = ()

    def order_of(self, environment: Environment) -> tuple[str, ...]:
        """Return the names of the payment systems that take what no rule decides, in the order of attempts."""
        return self.own_order(tuple(self.adapters.get(environment, {})))

    def own_order(self, there: Sequence[str]) -> tuple[str, ...]:
        """Return the same for an environment with these payment systems."""
        return tuple(name for name in self.order if name in there) or tuple(there[:1])

    def there(self, environment: Environment) -> dict[str, bool]:
        """Return the names of the payment systems, and whether each would be asked now."""
        return {name: is_available(adapter) for name, adapter in self.adapters.get(environment, {}).items()}

    def choose(self, environment: Environment) -> Adapter:
        """Return the adapter that takes payments which no rule decides. Raises NoAdapterError."""
        for name in self.order_of(environment):
            return self.adapters[environment][name]
        raise NoAdapterError

    def named(self, environment: Environment, name: str) -> Adapter:
        """Return the adapter that an existing payment was made with. Raises NoAdapterError."""
        try:
            return self.adapters[environment][name]
        except KeyError:
            raise NoAdapterError(f"{name} is not configured any more") from None
