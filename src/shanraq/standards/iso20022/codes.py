"""Know the codes that messages take from lists outside the schemas: external code sets, currencies, countries.

edition = code_edition(date(2026, 7, 1))
"AC04" in edition.sets["ExternalStatusReason1Code"]
code_set_of(("StsRsnInf", "Rsn", "Cd"))         # "ExternalStatusReason1Code"
minor_units("KZT")                              # 2
currency_fault("BGN", date(2026, 1, 1))         # it went over to the euro

All lists are data with a date: an edition of the external sets appears each quarter, so that one more file is one more edition.
A set without codes in the edition (bank transaction codes and others) is not known here, and no code of it is reported.
"""

from __future__ import annotations

from datetime import date
from enum import StrEnum
from functools import cache
from importlib import resources
from typing import Final

import msgspec

_FOLDER: Final = resources.files(__package__ or "") / "codesets"
_DEPTH_LIMIT: Final = 5


class CurrencyFault(StrEnum):
    """What is wrong with a currency."""

    UNKNOWN = "no currency of ISO 4217"
    WITHDRAWN = "a currency that was withdrawn before this date"
    NOT_YET = "a currency that is not in use yet at this date"


class CodeEdition(msgspec.Struct, frozen=True):
    """One edition of the external code sets: the codes of each set that has some."""

    edition: str
    valid_from: date
    notice: str
    sets: dict[str, frozenset[str]]


class _EditionFile(msgspec.Struct, frozen=True):
    edition: str
    valid_from: date
    notice: str
    sets: dict[str, str]


class _ElementsFile(msgspec.Struct, frozen=True):
    elements: dict[str, str]


class _CurrencyFile(msgspec.Struct, frozen=True):
    minor_units: dict[str, str]
    none: dict[str, str]
    until: dict[str, date]
    numbers: str
    begin: dict[str, date] = msgspec.field(name="from")


class _CountryFile(msgspec.Struct, frozen=True):
    codes: str


class _Currency(msgspec.Struct, frozen=True):
    minor_units: int | None
    commodity: bool
    since: date | None
    until: date | None


@cache
def code_editions() -> tuple[CodeEdition, ...]:
    """Return the editions of the external code sets that are here, the oldest first."""
    found = []
    for entry in _FOLDER.iterdir():
        if entry.name.startswith("external-"):
            raw = msgspec.json.decode(entry.read_bytes(), type=_EditionFile)
            sets = {name: frozenset(codes.split()) for name, codes in raw.sets.items()}
            found.append(CodeEdition(raw.edition, raw.valid_from, raw.notice, sets))
    return tuple(sorted(found, key=lambda edition: edition.valid_from))


def code_edition(day: date | None = None) -> CodeEdition:
    """Return the edition of a day: the newest of that day or before, else the oldest; without a day the newest."""
    editions = code_editions()
    before = [edition for edition in editions if day is None or edition.valid_from <= day]
    return before[-1] if before else editions[0]


def is_code(name: str, code: str, day: date | None = None) -> bool:
    """Tell whether a code is in an external set in the edition of a day; no code is in a set that has none there."""
    return code in code_edition(day).sets.get(name, frozenset())


@cache
def _code_elements() -> dict[str, str]:
    return msgspec.json.decode((_FOLDER / "elements.json").read_bytes(), type=_ElementsFile).elements


@cache
def code_element_names() -> frozenset[str]:
    """Return the names of elements that may take their text from an external set."""
    return frozenset(path.rpartition("/")[2] for path in _code_elements())


@cache
def code_set_of(names: tuple[str, ...]) -> str | None:
    """Return the external set of an element, given its name and those of the elements it stands in, outermost first."""
    elements = _code_elements()
    for depth in range(min(len(names), _DEPTH_LIMIT), 0, -1):
        found = elements.get("/".join(names[-depth:]))
        if found is not None:
            return found
    return None


@cache
def _currencies() -> dict[str, _Currency]:
    raw = msgspec.json.decode((_FOLDER / "currencies.json").read_bytes(), type=_CurrencyFile)
    units: list[tuple[int | None, bool, str]] = [
        (int(number), False, codes) for number, codes in raw.minor_units.items()
    ]
    units += [(None, kind == "commodity", codes) for kind, codes in raw.none.items()]
    return {
        code: _Currency(number, commodity, raw.begin.get(code), raw.until.get(code))
        for number, commodity, codes in units
        for code in codes.split()
    }  # fmt: skip


def currencies() -> frozenset[str]:
    """Return all currency codes of ISO 4217 known here, withdrawn ones included."""
    return frozenset(_currencies())


def currency_fault(code: str, day: date | None = None) -> CurrencyFault | None:
    """Say what is wrong with a currency on a day; without a day, whether it is known at all."""
    found = _currencies().get(code)
    if found is None:
        return CurrencyFault.UNKNOWN
    if day is not None and found.until is not None and day > found.until:
        return CurrencyFault.WITHDRAWN
    if day is not None and found.since is not None and day < found.since:
        return CurrencyFault.NOT_YET
    return None


def minor_units(code: str) -> int | None:
    """Return how many decimals a currency has (ISO 4217); None if it has no such number or is not known."""
    found = _currencies().get(code)
    return None if found is None else found.minor_units


def currency_number(code: str) -> str | None:
    """Return the three digits of a currency (ISO 4217, as card messages have it); None if it is not known."""
    return _numbers().get(code)


def currency_of_number(number: str) -> str | None:
    """Return the currency of three digits, the one in use where a withdrawn one had them too; None if there is none."""
    found = [code for code, own in _numbers().items() if own == number]
    return min(found, key=lambda code: _currencies()[code].until is not None, default=None)


@cache
def _numbers() -> dict[str, str]:
    raw = msgspec.json.decode((_FOLDER / "currencies.json").read_bytes(), type=_CurrencyFile)
    return dict(word.split(":") for word in raw.numbers.split())


def is_commodity(code: str) -> bool:
    """Tell whether a code is a precious metal (XAG, XAU, XPD, XPT)."""
    found = _currencies().get(code)
    return found is not None and found.commodity


@cache
def countries() -> frozenset[str]:
    """Return the alpha-2 codes of ISO 3166-1. XK is none of them, though BICs and IBANs have it."""
    return frozenset(msgspec.json.decode((_FOLDER / "countries.json").read_bytes(), type=_CountryFile).codes.split())
