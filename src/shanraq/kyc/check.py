"""Check what a partner says about a customer; every refusal names the field as a path (`details.address.city`)."""

from __future__ import annotations

from datetime import date
from typing import Final

import msgspec

from shanraq.core.identity import (
    InvalidDetailError,
    check_country,
    check_email,
    check_phone,
    check_registration_number,
    check_text,
)
from shanraq.kyc.model import Address, Company, Details, Person

NAME_LIMIT: Final = 140
REFERENCE_LIMIT: Final = 64
METADATA_LIMIT: Final = 50
_METADATA_NAME_LIMIT: Final = 40
_METADATA_VALUE_LIMIT: Final = 500
_AGE_LIMIT_YEARS: Final = 130


def check_details(details: Details, today: date) -> Details:
    """Return the details with texts trimmed and in NFC; raise InvalidDetailError naming the field."""
    match details:
        case Person():
            return _person(details, today)
        case Company():
            return _company(details)


def check_reference(reference: str | None) -> str | None:
    """Return the reference; raise InvalidDetailError unless it is 1 to 64 characters."""
    return None if reference is None else check_text(reference, field="reference", limit=REFERENCE_LIMIT)


def check_metadata(metadata: dict[str, str]) -> dict[str, str]:
    """Return the metadata; raise InvalidDetailError unless it is at most 50 short texts."""
    if len(metadata) > METADATA_LIMIT:
        raise InvalidDetailError(f"must be at most {METADATA_LIMIT} entries", field="metadata")
    for name, value in metadata.items():
        check_text(name, field="metadata", limit=_METADATA_NAME_LIMIT)
        if len(value) > _METADATA_VALUE_LIMIT or "\x00" in value:
            raise InvalidDetailError(f"must hold texts of at most {_METADATA_VALUE_LIMIT} characters", field="metadata")
    return metadata


def _person(person: Person, today: date) -> Person:
    if person.birth_date is not None:
        if person.birth_date >= today:
            raise InvalidDetailError("must be in the past", field="details.birth_date")
        if person.birth_date.year < today.year - _AGE_LIMIT_YEARS:
            raise InvalidDetailError(f"must be within {_AGE_LIMIT_YEARS} years", field="details.birth_date")
    if person.nationality is not None:
        check_country(person.nationality, field="details.nationality")
    if person.national_id is not None:
        if person.nationality is None:
            raise InvalidDetailError("is needed with national_id", field="details.nationality")
        check_registration_number(person.nationality, person.national_id, field="details.national_id")
    return msgspec.structs.replace(
        person,
        given_name=check_text(person.given_name, field="details.given_name", limit=NAME_LIMIT),
        family_name=check_text(person.family_name, field="details.family_name", limit=NAME_LIMIT),
        middle_name=_optional_text(person.middle_name, field="details.middle_name", limit=NAME_LIMIT),
        email=_optional_email(person.email),
        phone=_optional_phone(person.phone),
        address=_optional_address(person.address),
    )


def _company(company: Company) -> Company:
    check_country(company.country, field="details.country")
    check_registration_number(company.country, company.registration_number, field="details.registration_number")
    return msgspec.structs.replace(
        company,
        legal_name=check_text(company.legal_name, field="details.legal_name", limit=NAME_LIMIT),
        email=_optional_email(company.email),
        phone=_optional_phone(company.phone),
        address=_optional_address(company.address),
    )


def _optional_text(text: str | None, *, field: str, limit: int) -> str | None:
    return None if text is None else check_text(text, field=field, limit=limit)


def _optional_email(address: str | None) -> str | None:
    return None if address is None else check_email(address, field="details.email")


def _optional_phone(number: str | None) -> str | None:
    return None if number is None else check_phone(number, field="details.phone")


def _optional_address(address: Address | None) -> Address | None:
    if address is None:
        return None
    return Address(
        country=check_country(address.country, field="details.address.country"),
        city=check_text(address.city, field="details.address.city", limit=100),
        line1=check_text(address.line1, field="details.address.line1", limit=200),
        line2=_optional_text(address.line2, field="details.address.line2", limit=200),
        postal_code=_optional_text(address.postal_code, field="details.address.postal_code", limit=16),
    )
