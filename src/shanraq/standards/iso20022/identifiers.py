"""Check account, bank, party and payment identifiers: structure, length, country and check digits.

iban_fault("KZ86125KZT5004100100")   # None: nothing is wrong
iban_fault("KZ86125KZT500410010")    # IdentifierFault.LENGTH

Nothing here asks whether an account or a bank exists; that is the register's business. Every function takes the text as it
stands in the message and says what is wrong, never showing the value.
"""

from __future__ import annotations

import re
import string
from enum import StrEnum
from functools import cache
from importlib import resources
from typing import Final

import msgspec

from shanraq.standards.iso20022.codes import countries

_DATA: Final = resources.files(__package__ or "") / "codesets"
_IBAN: Final = re.compile(r"[A-Z]{2}[0-9]{2}[A-Za-z0-9]{1,30}")
_BIC: Final = re.compile(r"[A-Z0-9]{4}[A-Z]{2}[A-Z0-9]{2}(?:[A-Z0-9]{3})?")
_LEI: Final = re.compile(r"[A-Z0-9]{18}[0-9]{2}")
_UETR: Final = re.compile(r"[a-f0-9]{8}-[a-f0-9]{4}-4[a-f0-9]{3}-[89ab][a-f0-9]{3}-[a-f0-9]{12}")
_CREDITOR: Final = re.compile(r"[A-Z]{2}[0-9]{2}[A-Za-z0-9]{3}[A-Za-z0-9+?/\-:().,' ]{1,28}")
_PHONE: Final = re.compile(r"\+[0-9]{1,3}-[0-9()+\-]{1,30}")
_CREDITOR_REFERENCE: Final = re.compile(r"RF[0-9]{2}[A-Za-z0-9]{1,21}")
_TWELVE_DIGITS: Final = re.compile(r"[0-9]{12}")
_STRUCTURE_PART: Final = re.compile(r"([0-9]+)!([nac])")
_SIGNS: Final = {"n": "[0-9]", "a": "[A-Z]", "c": "[A-Z0-9]"}
_KZ_WEIGHTS: Final = (tuple(range(1, 12)), (3, 4, 5, 6, 7, 8, 9, 10, 11, 1, 2))


class IdentifierFault(StrEnum):
    """What is wrong with an identifier."""

    STRUCTURE = "its characters do not fit the structure"
    LENGTH = "its length is not that of its country"
    COUNTRY = "its country is not known"
    CHECK_DIGITS = "its check digits are wrong"


class _CountryIban(msgspec.Struct, frozen=True):
    length: int
    pattern: re.Pattern[str]


@cache
def _ibans() -> dict[str, _CountryIban]:
    raw = msgspec.json.decode((_DATA / "ibans.json").read_bytes(), type=dict[str, dict[str, str]])["structures"]
    found = {}
    for country, structure in raw.items():
        parts = _STRUCTURE_PART.findall(structure)
        length = 4 + sum(int(count) for count, _ in parts)
        found[country] = _CountryIban(
            length, re.compile("".join(f"{_SIGNS[kind]}{{{count}}}" for count, kind in parts))
        )
    return found


@cache
def _kz_banks() -> dict[str, str]:
    return msgspec.json.decode((_DATA / "kz_banks.json").read_bytes(), type=dict[str, dict[str, str]])["banks"]


_NUMBERS: Final = {ord(letter): str(int(letter, 36)) for letter in string.ascii_letters}


def iban_countries() -> frozenset[str]:
    """Return the countries that issue an IBAN of their own."""
    return frozenset(_ibans())


def _remainder_97(text: str) -> int:
    """Reduce letters (A = 10 ... Z = 35) and digits modulo 97 (ISO 7064, MOD 97-10)."""
    return int(text.translate(_NUMBERS)) % 97


def check_digits(body: str, country: str) -> str:
    """Return the two check digits of an IBAN or a SEPA creditor identifier: 98 - (body + country + "00") mod 97."""
    return f"{98 - _remainder_97(f'{body}{country}00'.upper()):02d}"


def iban_fault(value: str) -> IdentifierFault | None:
    """Say what is wrong with an IBAN (ISO 13616); None if nothing is.

    The schema allows small letters in the account part, so it is compared in capitals. Check digits 00, 01 and 99 may leave the
    right remainder but are never issued. National check digits are not looked at.
    """
    if _IBAN.fullmatch(value) is None:
        return IdentifierFault.STRUCTURE
    value = value.upper()
    country = _ibans().get(value[:2])
    if country is None:
        return IdentifierFault.COUNTRY
    if len(value) != country.length:
        return IdentifierFault.LENGTH
    if country.pattern.fullmatch(value, 4) is None:
        return IdentifierFault.STRUCTURE
    if _remainder_97(value[4:] + value[:4]) != 1 or value[2:4] in ("00", "01", "99"):
        return IdentifierFault.CHECK_DIGITS
    return None


def kz_bank_of_iban(iban: str) -> str | None:
    """Return the three-digit bank code of a Kazakh IBAN (positions 5 to 7); None for any other country."""
    return iban[4:7] if iban.startswith("KZ") and len(iban) == 20 else None


def kz_bic_of_bank(bank_code: str) -> str | None:
    """Return the eight-character BIC of a Kazakh bank code; None if the table does not know it.

    The table is a default: banks merge and change names, the register of the National Bank decides.
    """
    return _kz_banks().get(bank_code)


def bic_fault(value: str) -> IdentifierFault | None:
    """Say what is wrong with a BIC (ISO 9362): 8 or 11 characters, positions 5 and 6 a country of ISO 3166 or XK."""
    if _BIC.fullmatch(value) is None:
        return IdentifierFault.STRUCTURE
    return None if value[4:6] in countries() or value[4:6] == "XK" else IdentifierFault.COUNTRY


def same_bic(left: str, right: str) -> bool:
    """Tell whether two BICs name one office: eight characters are the head office, the same as with XXX."""
    return left.ljust(11, "X") == right.ljust(11, "X")


def lei_fault(value: str) -> IdentifierFault | None:
    """Say what is wrong with a legal entity identifier (ISO 17442): 20 characters, mod 97 = 1."""
    if _LEI.fullmatch(value) is None:
        return IdentifierFault.STRUCTURE
    return None if _remainder_97(value) == 1 else IdentifierFault.CHECK_DIGITS


def uetr_fault(value: str) -> IdentifierFault | None:
    """Say what is wrong with a UETR: a UUID of version 4 (RFC 4122) in small letters."""
    return None if _UETR.fullmatch(value) else IdentifierFault.STRUCTURE


def kz_number_fault(value: str) -> IdentifierFault | None:
    """Say what is wrong with a Kazakh BIN or IIN: 12 digits, the last of which is a control digit.

    The weights are 1 to 11; if they leave 10, again with 3 to 11, 1, 2; if that leaves 10 too, the number does not exist.
    """
    if _TWELVE_DIGITS.fullmatch(value) is None:
        return IdentifierFault.STRUCTURE
    digits = [int(char) for char in value]
    for weights in _KZ_WEIGHTS:
        control = sum(digit * weight for digit, weight in zip(digits, weights, strict=False)) % 11
        if control != 10:
            return None if control == digits[11] else IdentifierFault.CHECK_DIGITS
    return IdentifierFault.CHECK_DIGITS


def creditor_id_fault(value: str) -> IdentifierFault | None:
    """Say what is wrong with a SEPA creditor identifier: the business code (characters 5 to 7) is not part of the check."""
    if _CREDITOR.fullmatch(value) is None:
        return IdentifierFault.STRUCTURE
    if value[:2] not in countries():
        return IdentifierFault.COUNTRY
    national = "".join(char for char in value[7:].upper() if char.isalnum())
    return None if value[2:4] == check_digits(national, value[:2]) else IdentifierFault.CHECK_DIGITS


def creditor_reference_fault(value: str) -> IdentifierFault | None:
    """Say what is wrong with a structured creditor reference (ISO 11649): RF, two check digits, up to 21 characters."""
    if _CREDITOR_REFERENCE.fullmatch(value) is None:
        return IdentifierFault.STRUCTURE
    return None if _remainder_97((value[4:] + value[:4]).upper()) == 1 else IdentifierFault.CHECK_DIGITS


def phone_fault(value: str) -> IdentifierFault | None:
    """Say what is wrong with a phone number: +, country code, hyphen, 1 to 30 digits, brackets, plus signs or hyphens."""
    return None if _PHONE.fullmatch(value) else IdentifierFault.STRUCTURE
