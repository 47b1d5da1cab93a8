"""Read amounts of a message exactly: their text is checked before it becomes a number, and it never becomes a float.

exact("25000.00")           # 25000 * SCALE, an integer
amount_fault("+1")          # AmountFault.FORM: the schema allows it, a payment file may not carry it
decimals("25000.50")        # 2, what counts against the minor units of the currency
"""

from __future__ import annotations

import re
from decimal import Decimal
from enum import StrEnum
from typing import Final

SCALE: Final = 10**17
"""One unit of currency. DecimalNumber, the type of control sums, has up to 17 decimals: so all sums are exact integers."""

_PLAIN: Final = re.compile(r"[0-9]{1,18}(?:\.([0-9]{1,17}))?")
# The lexical space of xs:decimal as the schemas restrict amounts; white space around it collapses.
_SCHEMA: Final = re.compile(r"[ \t\r\n]*([+-]?)([0-9]*)(?:\.([0-9]*))?[ \t\r\n]*")
_BLANKS: Final = " \t\r\n"


class AmountFault(StrEnum):
    """What is wrong with the text of an amount."""

    NOT_A_NUMBER = "it is not a decimal number of at most 18 digits, 5 of them decimals"
    FORM = "it is not written as digits, a point and digits"


def exact(text: str | None) -> int | None:
    """Return an amount or sum as an integer of 1/SCALE; None if it is not plain digits with an optional fraction."""
    if text is None:
        return None
    text = text.strip(_BLANKS)
    if _PLAIN.fullmatch(text) is None:
        return _exact_of_odd(text)
    whole, _, fraction = text.partition(".")
    return int(whole + fraction.ljust(17, "0"))


def _exact_of_odd(text: str) -> int | None:
    """Read what the schema allows and we only warn of (`+1`, `1.`, `.5`, `-0`), so that sums can still be compared."""
    number = schema_number(text)
    return None if number is None else int(number.scaleb(17))


def schema_number(text: str) -> Decimal | None:
    """Return the number the schema's amount type sees: at most 18 digits, 5 decimals, not below 0; None if it sees none."""
    found = _SCHEMA.fullmatch(text)
    if found is None:
        return None
    sign, whole, fraction = found[1], found[2], found[3] or ""
    if not whole and not fraction:
        return None
    # Leading zeros and trailing zeros of the fraction are no digits of the value.
    significant = whole.lstrip("0"), fraction.rstrip("0")
    if len(significant[0]) + len(significant[1]) > 18 or len(significant[1]) > 5:
        return None
    if sign == "-" and (significant[0] or significant[1]):
        return None
    return Decimal(f"{sign}{whole or '0'}.{fraction}" if fraction else f"{sign}{whole}")


def amount_fault(text: str) -> AmountFault | None:
    """Say what is wrong with an amount's text; None if it is plain digits with an optional fraction."""
    if (plain := _PLAIN.fullmatch(text)) is not None and len(text) <= 18 and len(plain[1] or "") <= 5:
        return None
    if schema_number(text) is None:
        return AmountFault.NOT_A_NUMBER
    return None if _PLAIN.fullmatch(text.strip(_BLANKS)) else AmountFault.FORM


def decimals(text: str) -> int:
    """Count the decimals that carry value: trailing zeros do not."""
    return len(text.strip(_BLANKS).partition(".")[2].rstrip("0"))
