"""Customers: a partner's persons and firms, as the partner sees them."""

from __future__ import annotations

from datetime import date, datetime
from enum import StrEnum
from typing import Final

import msgspec

from shanraq.core.lifecycle import Lifecycle

PREFIX: Final = "cus"
READ: Final = "customers:read"
WRITE: Final = "customers:write"


class CustomerKind(StrEnum):
    """A person, or a firm."""

    PERSON = "person"
    COMPANY = "company"


class CustomerStatus(Lifecycle):
    """`erased` is final: who the customer was cannot be read any more."""

    ACTIVE = "active", ("erased",)
    ERASED = "erased"


class KycStatus(StrEnum):
    """What is known of who the customer is."""

    UNVERIFIED = "unverified"


class Address(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A postal address."""

    country: str
    city: str
    line1: str
    line2: str | None = None
    postal_code: str | None = None


class Person(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="person"):
    """Who a person is. `national_id` is the number that the register of `nationality` gave (in Kazakhstan the IIN)."""

    given_name: str
    family_name: str
    middle_name: str | None = None
    birth_date: date | None = None
    nationality: str | None = None
    national_id: str | None = None
    email: str | None = None
    phone: str | None = None
    address: Address | None = None


class Company(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="company"):
    """What a firm is. `registration_number` is the number that the register of `country` gave (in Kazakhstan the BIN)."""

    legal_name: str
    country: str
    registration_number: str
    email: str | None = None
    phone: str | None = None
    address: Address | None = None


Details = Person | Company
"""Who the customer is: stored sealed, and destroyed by erasure."""


class NewCustomer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is needed to register a customer.

    `reference` is the partner's own id of it. Reference and metadata are not sealed: they are no place for personal data.
    """

    details: Details
    reference: str | None = None
    metadata: dict[str, str] = {}


class CustomerChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to change of a customer read at `version`; what is left out stays, `details` are replaced as a whole."""

    version: int
    details: Details | msgspec.UnsetType = msgspec.UNSET
    reference: str | msgspec.UnsetType | None = msgspec.UNSET
    metadata: dict[str, str] | msgspec.UnsetType = msgspec.UNSET


class Customer(msgspec.Struct, frozen=True, kw_only=True):
    """A customer; `details` is None once erased."""

    id: str
    kind: CustomerKind
    reference: str | None
    details: Details | None
    status: CustomerStatus
    kyc_status: KycStatus
    metadata: dict[str, str]
    version: int
    created_at: datetime
    updated_at: datetime


def kind_of(details: Details) -> CustomerKind:
    """Return the kind of customer that has these details."""
    return CustomerKind.PERSON if isinstance(details, Person) else CustomerKind.COMPANY
