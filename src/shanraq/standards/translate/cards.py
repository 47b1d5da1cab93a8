"""The values of a card message of ISO 8583, as an account has them: split where one element says several things, and masked.

Card number, tracks, PIN data and chip data never stand in an account as they are (PCI DSS 3.4).
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator
from decimal import Decimal
from types import MappingProxyType
from typing import Final

from shanraq.standards.iso8583 import Message
from shanraq.standards.iso20022.codes import currency_of_number, minor_units
from shanraq.standards.translate.errors import TranslationError

NUMBER: Final = 2
CHIP: Final = 55
SECRETS: Final = frozenset({35, 36, 45, 52, 53, 64, 128})
"""Elements that go into no other message: tracks, PIN data, and codes over the bytes of this one."""
ORIGINAL: Final = (("mti", 4), ("stan", 6), ("transmission", 10), ("acquirer", 11), ("forwarding", 11))
ADDITIONAL: Final = 20
MTI: Final = "mti"
_SPLITS: Final = MappingProxyType(
    {3: (("type", 2), ("from", 2), ("to", 2)), 22: (("entry", 2), ("pin", 1)), 90: ORIGINAL}
)
# In an amount of ISO 8583 the number of decimals is the currency's.
_FEE: Final = re.compile(r"([CD])([0-9]+)", re.ASCII)


def card_values(message: Message) -> Iterator[tuple[str, str]]:
    """Yield path and value of all a message says: `mti`, `3/type`, `4`, `54[2]`, masked."""
    masked = message.masked()["fields"]
    yield MTI, message.mti
    for number in sorted(message.fields):
        if number == 1:
            continue  # the bitmap says nothing of its own
        if number in SECRETS or number == CHIP:
            yield str(number), "*" * len(message.fields[number])
            continue
        for name, text in element_parts(number, masked[str(number)]).items():
            yield f"{number}{name}", text
    for number in sorted(message.parts.keys() - message.fields.keys()):
        yield f"{number}/parts", "*"
    if message.header is not None:
        yield "header", message.masked()["header"] or ""


def element_parts(number: int, text: str) -> dict[str, str]:
    """Return the parts of an element by what stands behind its number in a path; one part "" where it says one thing."""
    if number == 54 and text and len(text) % ADDITIONAL == 0:
        amounts = [text[start : start + ADDITIONAL] for start in range(0, len(text), ADDITIONAL)]
        return {f"[{place}]": each for place, each in enumerate(amounts, 1)} if len(amounts) > 1 else {"": text}
    pieces = _SPLITS.get(number)
    if pieces is None or sum(size for _, size in pieces) != len(text):
        return {"": text}
    parts: dict[str, str] = {}
    start = 0
    for name, size in pieces:
        parts[f"/{name}"] = text[start : start + size]
        start += size
    return parts


def amount_of(digits: str, currency: str, place: str) -> str:
    """Return minor units as an amount of major ones; raise TranslationError, code `amount` or `currency`."""
    if not digits.isascii() or not digits.isdigit():
        raise TranslationError("amount", place, "the amount is not made of digits")
    return f"{Decimal(int(digits)).scaleb(-exponent(currency, place)):f}"


def digits_of(amount: str, currency: str, size: int, place: str) -> str:
    """Return an amount of major units as so many digits of minor ones; raise TranslationError."""
    try:
        minor = Decimal(amount.strip()).scaleb(exponent(currency, place))
    except ArithmeticError:
        raise TranslationError("amount", place, "the amount is no number") from None
    if minor != minor.to_integral_value():
        raise TranslationError("decimals", place, "the amount has more decimals than its currency")
    digits = str(int(minor))
    if len(digits) > size or minor < 0:
        raise TranslationError("amount", place, f"the amount has more than {size} digits")
    return digits.zfill(size)


def exponent(currency: str, place: str) -> int:
    """Return the decimals of a currency of three digits; raise TranslationError, code `currency`."""
    code = currency_of_number(currency)
    units = None if code is None else minor_units(code)
    if units is None:
        raise TranslationError("currency", place, "there is no such currency with decimals in ISO 4217")
    return units


def alphabetic(currency: str, place: str) -> str:
    """Return the letters of a currency of three digits; raise TranslationError, code `currency`."""
    code = currency_of_number(currency)
    if code is None:
        raise TranslationError("currency", place, "there is no such currency in ISO 4217")
    return code


def near_date(digits: str, moment: dt.datetime, place: str) -> dt.date:
    """Return the day of MMDD that is nearest to a moment; raise TranslationError, code `not_of_type`."""
    days = []
    for year in (moment.year - 1, moment.year, moment.year + 1):
        try:
            days.append(dt.date(year, int(digits[:2]), int(digits[2:4])))
        except ValueError:
            continue
    if not days:
        raise TranslationError("not_of_type", place, "there is no such day near the moment of the translation")
    return min(days, key=lambda day: abs(day - moment.date()))


def clock(digits: str, place: str) -> str:
    """Return hhmmss as a time; raise TranslationError, code `not_of_type`."""
    if not (digits.isdigit() and digits[:2] < "24" and digits[2:4] < "60" and digits[4:6] < "60"):
        raise TranslationError("not_of_type", place, "there is no such time")
    return f"{digits[:2]}:{digits[2:4]}:{digits[4:6]}"


def fee(text: str) -> tuple[str, str] | None:
    """Return side and digits of an amount with a sign; None when it is none."""
    found = _FEE.fullmatch(text)
    return None if found is None else ({"C": "CRDT", "D": "DBIT"}[found[1]], found[2])


def rate_of(digits: str) -> str | None:
    """Return a conversion rate (DE9, DE10): the first digit says how many decimals the other seven have."""
    if re.fullmatch(r"[0-7][0-9]{7}", digits, re.ASCII) is None:
        return None
    return f"{Decimal(int(digits[1:])).scaleb(-int(digits[0])):f}"


def rate_digits(text: str) -> str | None:
    """Return a rate as a conversion rate of ISO 8583; None when it has more than seven digits."""
    whole, _, fraction = text.strip().partition(".")
    if re.fullmatch(r"[0-9]+", whole, re.ASCII) is None:
        return None
    fraction = fraction.rstrip("0") if len(whole.lstrip("0") + fraction) > 7 else fraction
    digits = (whole + fraction).lstrip("0")
    return f"{len(fraction)}{digits.zfill(7)}" if len(digits) <= 7 and len(fraction) <= 7 else None
