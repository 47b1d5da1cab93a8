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
from shanraq.payments.adapter import Adapter, OperationKind, is_available
from shanraq.payments.errors import NoAdapterError
from shanraq.payments.routing import Routing

PREFIX: Final = "pay"
METHOD_PREFIX: Final = "pm"
# 29 characters: gateways take at most 30 for the id under which a lost operation is found again.
OPERATION_PREFIX: Final = "op"

_PLAIN: Final = "^[^\\u0000-\\u001f]*$"


class PaymentStatus(Lifecycle):
    """`authorizing` lasts until the gateway's answer is known, however long that takes."""

    AUTHORIZING = "authorizing", ("authorized", "captured", "review", "failed")
    REVIEW = "review", ("authorized", "captured", "voided", "failed")
    AUTHORIZED = "authorized", ("partially_captured", "captured", "voided")
    PARTIALLY_CAPTURED = "partially_captured", ("partially_captured", "captured")
    CAPTURED = "captured", ("partially_refunded", "refunded", "voided")
    PARTIALLY_REFUNDED = "partially_refunded", ("partially_refunded", "refunded")
    REFUNDED = "refunded"
    VOIDED = "voided"
    FAILED = "failed"


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
    """Why the other side, or the ledger, said no; `advice` tells what to do about it."""

    code: str
    kind: str
    advice: str
    gateway_reason: str = ""


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

    `routing` tells why which payment system was asked.
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

    @property
    def money(self) -> Currency:
        """Return the payment's currency."""
        return Currency.historic(self.currency)

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
    """What a partner asks for: authorise `amount` minor units of a card for an account; `capture` takes it at once."""

    payment_method_id: PaymentMethodId
    account_id: AccountId
    amount: Amount
    currency: CurrencyCode
    capture: bool = False
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
        """Return the adapter for what is not routed by rules. Raises NoAdapterError."""
        for name in self.order_of(environment):
            return self.adapters[environment][name]
        raise NoAdapterError

    def named(self, environment: Environment, name: str) -> Adapter:
        """Return the adapter that an existing payment was made with. Raises NoAdapterError."""
        try:
            return self.adapters[environment][name]
        except KeyError:
            raise NoAdapterError(f"{name} is not configured any more") from None
