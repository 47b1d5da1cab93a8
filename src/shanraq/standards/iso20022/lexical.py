"""Tell whether a value is one of a type's, as XML Schema would: base, facets, white space."""

from __future__ import annotations

import operator
import re
from decimal import Decimal
from functools import cache
from typing import Final

from shanraq.standards.iso20022.definition import SimpleType

_ZONE: Final = r"(Z|[+-][0-9]{2}:[0-9]{2})?"
# A year is not 0, and has no 0 in front beyond four digits (XML Schema 1.0, part 2, 3.2.7); libxml2 counts nine digits at most.
_YEAR: Final = r"-?([1-9][0-9]{3,8}|0(?!000)[0-9]{3})"
_DATE: Final = _YEAR + r"-[0-9]{2}-[0-9]{2}"
_TIME: Final = r"[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?"
_BASES: Final = {
    "decimal": re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)", re.ASCII),
    "boolean": re.compile(r"true|false|0|1"),
    "date": re.compile(_DATE + _ZONE),
    "dateTime": re.compile(f"{_DATE}T{_TIME}{_ZONE}"),
    "time": re.compile(_TIME + _ZONE),
    "gYear": re.compile(_YEAR + _ZONE),
    "gYearMonth": re.compile(_YEAR + "-[0-9]{2}" + _ZONE),
    "base64Binary": re.compile(r"[A-Za-z0-9+/= \t\r\n]*"),
}

_LIMITS: Final = (
    ("minInclusive", operator.ge),
    ("maxInclusive", operator.le),
    ("minExclusive", operator.gt),
    ("maxExclusive", operator.lt),
)


def fits(text: str, kind: SimpleType) -> bool:
    """Tell whether a text that is a value of some type is one of this type too.

    Dates are taken to be dates of the calendar; all else is looked at (XML Schema 1.0, part 2).
    """
    value = text if kind.base == "string" else " ".join(text.split())
    if kind.base in _BASES and not _BASES[kind.base].fullmatch(value):
        return False
    if kind.enumeration and value not in kind.enumeration:
        return False
    if kind.patterns and not any(_pattern(each).fullmatch(value) for each in kind.patterns):
        return False
    return _length_fits(value, kind) if kind.base != "decimal" else _digits_fit(value, kind)


def longest(kind: SimpleType) -> int | None:
    """Return how many characters a value may have, None without a bound."""
    found = kind.facet("maxLength") or kind.facet("length")
    return None if found is None else int(found)


@cache
def _pattern(text: str) -> re.Pattern[str]:
    # The patterns of ISO 20022 use only what both kinds of regular expressions have.
    return re.compile(text)


def _length_fits(value: str, kind: SimpleType) -> bool:
    if kind.base == "base64Binary":
        return True
    length, least, most = kind.facet("length"), kind.facet("minLength"), kind.facet("maxLength")
    return (
        (length is None or len(value) == int(length))
        and (least is None or len(value) >= int(least))
        and (most is None or len(value) <= int(most))
    )


def _digits_fit(value: str, kind: SimpleType) -> bool:
    whole, _, fraction = value.lstrip("+-").partition(".")
    whole, fraction = whole.lstrip("0"), fraction.rstrip("0")
    total, decimals = kind.facet("totalDigits"), kind.facet("fractionDigits")
    if total is not None and len(whole) + len(fraction) > int(total):
        return False
    if decimals is not None and len(fraction) > int(decimals):
        return False
    number = Decimal(value)
    return all(holds(number, Decimal(limit)) for name, holds in _LIMITS if (limit := kind.facet(name)) is not None)
