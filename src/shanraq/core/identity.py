"""Checks of how persons and firms are named and reached; what is refused names its field and never repeats the value."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from shanraq.core.errors import InvalidInputError
from shanraq.core.iso3166 import COUNTRIES

_LOCAL: Final = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL: Final = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_EMAIL: Final = re.compile(rf"(?=.{{3,254}}\Z)(?=[^@]{{1,64}}@){_LOCAL}(?:\.{_LOCAL})*@(?:{_LABEL}\.)+[A-Za-z]{_LABEL}")
_PHONE: Final = re.compile(r"\+[1-9][0-9]{6,14}")
_REGISTRATION: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9 ./-]{0,30}[A-Za-z0-9])?")
# Cc control, Cs half of a surrogate pair, Zl and Zp line ends; Cf holds bidirectional overrides, which fake other texts,
# and the two joiners, which names in Persian and Indic scripts need.
_CONTROL: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_JOINERS: Final = frozenset("\u200c\u200d")
_KZ_NUMBER: Final = re.compile(r"[0-9]{12}")
_KZ_WEIGHTS: Final = ((1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11), (3, 4, 5, 6, 7, 8, 9, 10, 11, 1, 2))


class InvalidDetailError(InvalidInputError, code="invalid_detail", status=400):
    """A detail of a person or firm is not written as it has to be."""


def check_text(text: str, *, field: str, limit: int) -> str:
    """Return a name or line of text, trimmed and in Unicode form NFC: 1 to `limit` characters, no control characters.

    Raises InvalidDetailError.
    """
    trimmed = unicodedata.normalize("NFC", text).strip()
    if not 1 <= len(trimmed) <= limit:
        raise InvalidDetailError(f"must be 1 to {limit} characters", field=field)
    if any(unicodedata.category(char) in _CONTROL and char not in _JOINERS for char in trimmed):
        raise InvalidDetailError("must not contain control characters", field=field)
    return trimmed


def check_country(code: str, *, field: str = "country") -> str:
    """Return the country code; raise InvalidDetailError unless it is ISO 3166-1 alpha-2, in capitals."""
    if code not in COUNTRIES:
        raise InvalidDetailError("must be an ISO 3166-1 alpha-2 code such as KZ", field=field)
    return code


def check_email(address: str, *, field: str = "email") -> str:
    """Return the address with its domain in lower case; raise InvalidDetailError unless it is one (RFC 5321, dot-string)."""
    if not _EMAIL.fullmatch(address):
        raise InvalidDetailError("must be an e-mail address such as name@example.com", field=field)
    local, _, domain = address.partition("@")
    return f"{local}@{domain.lower()}"


def check_phone(number: str, *, field: str = "phone") -> str:
    """Return the number; raise InvalidDetailError unless it is in E.164 form: + and 7 to 15 digits."""
    if not _PHONE.fullmatch(number):
        raise InvalidDetailError("must be in E.164 form such as +77010000000", field=field)
    return number


def check_registration_number(country: str, number: str, *, field: str = "registration_number") -> str:
    """Return the number that a country's register gave a person or firm; raise InvalidDetailError if it cannot be one.

    For Kazakhstan 12 digits with a right check digit (BIN, IIN); elsewhere 1 to 32 letters, digits, and . / - between them.
    """
    if country == "KZ":
        if not kz_number_valid(number):
            raise InvalidDetailError("must be a BIN or IIN: 12 digits, the last one a check digit", field=field)
    elif not _REGISTRATION.fullmatch(number):
        raise InvalidDetailError("must be 1 to 32 letters and digits, with . / - or a space between them", field=field)
    return number


def kz_number_valid(number: str) -> bool:
    """Tell whether 12 ASCII digits end with the check digit of a BIN or IIN (Kazakhstan): weights 1..11, modulo 11.

    Where that gives 10, the weights 3..11, 1, 2 are taken; a number that gives 10 again is never issued.
    """
    if not _KZ_NUMBER.fullmatch(number):
        return False
    digits = [int(char) for char in number]
    for weights in _KZ_WEIGHTS:
        check = sum(digit * weight for digit, weight in zip(digits, weights, strict=False)) % 11
        if check < 10:
            return check == digits[11]
    return False
