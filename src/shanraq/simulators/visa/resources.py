"""What the gateway remembers beside money: authentications, cases, keys, subscriptions, reports, tokens, disputes.

Every one is kept by a journal entry that replaces the one before with the same id. None holds a card number, a security
code or a secret: tokens keep what a number makes the simulator do, keys are derived from the merchant's own secret.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec


class MaskedCard(msgspec.Struct, frozen=True):
    """What may be kept of a card: the first six and the last four digits, and the type code (001 Visa)."""

    prefix: str
    suffix: str
    type: str


class FeeSchedule(msgspec.Struct, frozen=True, kw_only=True, tag_field="entry", tag="fees"):
    """What the acquirer keeps back: rates in basis points of the gross, items in minor units of the currency."""

    interchange_basis_points: int = 150
    interchange_per_item: int = 0
    assessment_basis_points: int = 10
    discount_basis_points: int = 30
    discount_per_item: int = 0
    refund_per_item: int = 0
    chargeback_per_item: int = 0


class Authentication(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="entry", tag="authentication"
):
    """One authentication of a cardholder (EMV 3-D Secure); `id` is its authenticationTransactionId.

    `scenario` is what the card makes happen, `outcome` what has happened: empty while a challenge is open.
    """

    id: str
    merchant_id: str
    time: datetime
    card: MaskedCard
    scenario: str
    outcome: str = ""
    challenged: bool = False
    code: str = ""
    amount: int = 0
    currency: str = ""
    return_url: str = ""


class Note(msgspec.Struct, frozen=True):
    """A reviewer's note on a case."""

    time: datetime
    text: str


class RiskCase(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="entry", tag="case"):
    """An order that a person must look at, or has looked at; `id` is that of the payment or of the decision."""

    id: str
    merchant_id: str
    time: datetime
    code: str
    status: str
    of_payment: bool = False
    decided_at: datetime | None = None
    comments: str = ""
    notes: tuple[Note, ...] = ()
    marked: str = ""


class ListEntry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="entry", tag="list_entry"):
    """An entry of the negative, positive or review list: the keyed hashes of what orders are compared with."""

    id: str
    merchant_id: str
    time: datetime
    list: str
    fingerprints: tuple[str, ...]


class EgressKey(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="entry", tag="egress_key"):
    """A key that signs notifications, without the key itself."""

    id: str
    merchant_id: str
    time: datetime
    organization_id: str
    expires_at: datetime
    type: str
    provider: str = ""
    tenant: str = ""


class Webhook(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="entry", tag="webhook"):
    """A subscription to notifications."""

    id: str
    merchant_id: str
    created_at: datetime
    organization_id: str
    url: str
    products: tuple[tuple[str, tuple[str, ...]], ...]
    health_check_url: str = ""
    name: str = ""
    description: str = ""
    status: str = "ACTIVE"
    scope: str = "SELF"
    updated_at: datetime | None = None
    retry_policy: dict[str, Any] = {}
    security_policy: dict[str, Any] = {}


class Report(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="entry", tag="report"):
    """A report somebody asked for, or that a subscription made; its rows are made from the journal when it is read."""

    id: str
    merchant_id: str
    time: datetime
    definition: str
    name: str
    mime_type: str
    start: datetime
    end: datetime
    frequency: str = "ADHOC"
    timezone: str = "GMT"
    fields: tuple[str, ...] = ()
    signed_amounts: bool = False
    convention: str = "SOAPI"
    last_sequence: int = 0
    subscription_type: str = "CUSTOM"
    ready_at: datetime | None = None


class ReportSubscription(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="entry", tag="report_subscription"
):
    """A report made at every cut-off; `id` is merchant and report name."""

    id: str
    merchant_id: str
    definition: str
    name: str
    mime_type: str
    frequency: str = "DAILY"
    interval: str = ""
    timezone: str = "GMT"
    start_time: str = "0000"
    start_day: int = 1
    fields: tuple[str, ...] = ()
    signed_amounts: bool = False
    convention: str = "SOAPI"
    type: str = "CUSTOM"


class Chargeback(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="entry", tag="chargeback"):
    """One step of a dispute; `money` is what it moves for the merchant, in minor units: below zero is taken."""

    id: str
    merchant_id: str
    time: datetime
    dispute_id: str
    target_id: str
    stage: str
    reason_code: str
    amount: int
    currency: str
    money: int
    fee: int = 0
    due_at: datetime | None = None


class InstrumentIdentifier(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="entry", tag="instrument_identifier"
):
    """The token of a card number: the keyed hash that finds it again, and what the number makes the simulator do."""

    id: str
    merchant_id: str
    card: MaskedCard
    length: int
    fingerprint: str
    behaviour: str = ""
    scenario: str = ""
    expiry: tuple[int, int] | None = None
    details: dict[str, Any] = {}


class PaymentInstrument(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="entry", tag="payment_instrument"
):
    """A card number's token with its expiry and its holder, alone or of a customer."""

    id: str
    merchant_id: str
    instrument_identifier_id: str
    customer_id: str = ""
    type: str = ""
    expiry: tuple[int, int] | None = None
    default: bool = False
    details: dict[str, Any] = {}


class ShippingAddress(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="entry", tag="shipping_address"
):
    """An address of a customer."""

    id: str
    merchant_id: str
    customer_id: str
    default: bool = False
    details: dict[str, Any] = {}


class Customer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="entry", tag="customer"):
    """A customer's token."""

    id: str
    merchant_id: str
    details: dict[str, Any] = {}


class NetworkToken(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="entry", tag="network_token"
):
    """A network token of a card."""

    id: str
    merchant_id: str
    card: MaskedCard
    expiry: tuple[int, int]
    state: str = "ACTIVE"
    instrument_identifier_id: str = ""


class Removed(msgspec.Struct, frozen=True, tag_field="entry", tag="removed"):
    """A resource was deleted."""

    kind: str
    id: str


Kept = (
    Authentication
    | RiskCase
    | ListEntry
    | EgressKey
    | Webhook
    | Report
    | ReportSubscription
    | Chargeback
    | InstrumentIdentifier
    | PaymentInstrument
    | ShippingAddress
    | Customer
    | NetworkToken
)
