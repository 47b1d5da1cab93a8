"""Whose card it is: prefix ranges of the card schemes (ISO/IEC 7812), longest prefix first."""

from __future__ import annotations

from typing import Final

from shanraq.core.secret import Pan

_SIXTEEN_UP: Final = frozenset(range(16, 20))
_MAESTRO: Final = frozenset(range(12, 20))

# (first prefix, last prefix, brand, lengths); both prefixes have the same number of digits.
_RANGES: Final = (
    ("222100", "272099", "mastercard", frozenset({16})),
    ("2200", "2204", "mir", _SIXTEEN_UP),
    ("3528", "3589", "jcb", _SIXTEEN_UP),
    ("5018", "5018", "maestro", _MAESTRO),
    ("5020", "5020", "maestro", _MAESTRO),
    ("5033", "5033", "maestro", _MAESTRO),
    ("5038", "5038", "maestro", _MAESTRO),
    ("5641", "5641", "maestro", _MAESTRO),
    ("5868", "5868", "maestro", _MAESTRO),
    ("6011", "6011", "discover", _SIXTEEN_UP),
    ("6304", "6304", "maestro", _MAESTRO),
    ("6759", "6759", "maestro", _MAESTRO),
    ("6760", "6769", "maestro", _MAESTRO),
    ("300", "305", "diners", frozenset(range(14, 20))),
    ("644", "649", "discover", _SIXTEEN_UP),
    ("34", "34", "amex", frozenset({15})),
    ("37", "37", "amex", frozenset({15})),
    ("36", "36", "diners", frozenset(range(14, 20))),
    ("38", "38", "diners", frozenset(range(14, 20))),
    ("51", "55", "mastercard", frozenset({16})),
    ("62", "62", "unionpay", _SIXTEEN_UP),
    ("65", "65", "discover", _SIXTEEN_UP),
    ("81", "81", "unionpay", _SIXTEEN_UP),
    ("1", "1", "uatp", frozenset({15})),
    ("4", "4", "visa", frozenset({13, 16, 19})),
)
# The same by the first digit, of which no range has two.
_BY_DIGIT: Final = {digit: tuple(one for one in _RANGES if one[0][0] <= digit <= one[1][0]) for digit in "0123456789"}
UNKNOWN: Final = "unknown"


def brand_of(pan: Pan) -> str:
    """Return the brand of a card number, `unknown` where no range holds it."""
    return scheme_of(pan.reveal())


def scheme_of(digits: str) -> str:
    """Return the brand of the digits a card number begins with, `unknown` where no range holds them."""
    found = range_of(digits)
    return found[0] if found is not None else UNKNOWN


def range_of(digits: str) -> tuple[str, frozenset[int]] | None:
    """Return the brand of the digits a card number begins with, and the lengths its numbers may have."""
    for first, last, brand, lengths in _BY_DIGIT.get(digits[:1], ()):
        if first <= digits[: len(first)] <= last:
            return brand, lengths
    return None
