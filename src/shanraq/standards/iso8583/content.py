"""What a value must look like: content classes, the Luhn check, dates. Errors never show the value."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from shanraq.standards.iso8583.layout import Field

# No control characters; what is above ASCII is national text.
_PRINTABLE: Final = r" -~\xa0-\U0010ffff"
_CLASSES: Final[dict[str, tuple[str, re.Pattern[str]]]] = {
    "n": ("digits", re.compile(r"[0-9]*")),
    "a": ("letters", re.compile(r"[A-Za-z ]*")),
    "an": ("letters, digits and blanks", re.compile(r"[A-Za-z0-9 ]*")),
    "anp": ("letters, digits and blanks", re.compile(r"[A-Za-z0-9 ]*")),
    "ans": ("printable characters", re.compile(f"[{_PRINTABLE}]*")),
    "ns": ("digits and special characters", re.compile(f"(?![A-Za-z])(?:(?![A-Za-z])[{_PRINTABLE}])*")),
    "z": ("track characters", re.compile(r"[0-9A-F=]*|[0-9A-Z =^/.?;%-]*\^[0-9A-Z =^/.?;%-]*")),
    "x+n": ("C or D and digits", re.compile(r"[CD][0-9]+")),
}
_BYTES: Final = ("bytes", re.compile(r"[0-9A-F]*"))
_DAYS: Final = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_MTI: Final = re.compile(r"[0-9]{4}")


def expected_of(field: Field) -> str:
    """Return in words what a value of this element consists of."""
    return _CLASSES.get(field.content, _BYTES)[0]


def check_of(field: Field) -> Callable[[str], object]:
    """Return what tells whether a value is of the element's class."""
    if field.encoding in ("raw", "hex_ascii"):
        return _BYTES[1].fullmatch
    return _CLASSES.get(field.content, _BYTES)[1].fullmatch


def is_mti(text: str) -> bool:
    """Tell whether a message type consists of four digits."""
    return _MTI.fullmatch(text) is not None


def passes_luhn(digits: str) -> bool:
    """Tell whether the last digit is the check digit of the others (ISO/IEC 7812-1, annex B)."""
    total = 0
    for place, char in enumerate(reversed(digits)):
        digit = ord(char) - 48
        total += digit if not place % 2 else digit * 2 - 9 * (digit > 4)
    return not total % 10


def is_moment(text: str, pattern: str) -> bool:
    """Tell whether a date or time exists: `pattern` of YY, MM, DD, hh, mm, ss. February always has 29 days."""
    values: dict[str, int] = {}
    for at in range(0, len(pattern), 2):
        piece = text[at : at + 2]
        if not (piece.isascii() and piece.isdigit()):
            return False
        values[pattern[at : at + 2]] = int(piece)
    month, day = values.get("MM", 1), values.get("DD", 1)
    return (
        1 <= month <= 12
        and 1 <= day <= _DAYS[month - 1]
        and values.get("hh", 0) < 24
        and values.get("mm", 0) < 60
        and values.get("ss", 0) < 60
    )
