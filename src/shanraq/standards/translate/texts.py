"""How texts and amounts of ISO 20022 are written in FIN, and the other way round."""

from __future__ import annotations

import re
from typing import Final

from lxml import etree

from shanraq.standards.iso20022.amounts import amount_fault, decimals
from shanraq.standards.iso20022.codes import currencies, minor_units
from shanraq.standards.mt import amount_fits, in_x, to_x
from shanraq.standards.translate.errors import TranslationError

MARK: Final = "+"
REFERENCE: Final = 16
"""Characters of a reference in FIN."""
_AMOUNT: Final = 15
_WORST: Final = ("shortened", "replaced", "transliterated")


def worst(*codes: str) -> str:
    """Return the gravest of several codes of a change, "" when there is none."""
    return next((code for code in _WORST if code in codes), "")


def to_fin(text: str) -> tuple[str, str]:
    """Return a text in the characters of FIN without white space around it, and the code of the change."""
    clean = " ".join(text.split()) if "\n" in text or "\r" in text or "\t" in text else text
    written, replaced = to_x(clean)
    return written, "replaced" if replaced else "transliterated" if written != text else ""


def cut(text: str, most: int) -> tuple[str, str]:
    """Return a text of at most so many characters: a plus sign at its end tells that it was longer."""
    return (text, "") if len(text) <= most else (text[: most - 1] + MARK, "shortened")


def wrap(text: str, width: int, most: int, lead: str = "") -> tuple[list[str], str]:
    """Return a text in lines of a width, `lead` at the begin of all but the first; what does not fit is cut.

    Lines are full, so that joining them again gives the text; none begins with the sign of a field or of the end of a block.
    """
    lines: list[str] = []
    code = ""
    rest = text
    while rest and len(lines) < most:
        before = lead if lines else ""
        room = width - len(before)
        if len(rest) > room and len(lines) == most - 1:
            part, code = cut(rest, room)
            rest = ""
        else:
            part, rest = rest[:room], rest[room:]
        if not before and part[0] in ":-":
            part, code = "." + part[1:], worst(code, "replaced")
        lines.append(before + part)
    return lines, code


def join(lines: list[str] | tuple[str, ...], width: int) -> str:
    """Return lines as one text: behind a full line nothing stands, behind a shorter one a blank."""
    text = ""
    for number, line in enumerate(lines):
        text += line
        if number < len(lines) - 1 and len(line) < width and not line.endswith(" "):
            text += " "
    return text


def amount_to_fin(text: str, currency: str, place: str) -> str:
    """Return an amount with a comma; raise TranslationError: `amount`, `decimals`, `currency`."""
    if amount_fault(text) is not None:
        raise TranslationError("amount", place, "the amount is not written as digits, a point and digits")
    check_decimals(text, currency, place)
    whole, _, fraction = text.strip().partition(".")
    units = minor_units(currency)
    written = f"{whole.lstrip('0') or '0'},{fraction if units is None else fraction[:units]}"
    if not amount_fits(written, _AMOUNT):
        raise TranslationError("amount", place, f"an amount has at most {_AMOUNT} characters in FIN")
    return written


def amount_from_fin(text: str, currency: str, place: str) -> str:
    """Return an amount with a point, as many decimals as it had; raise TranslationError: `decimals`, `currency`."""
    whole, _, fraction = text.partition(",")
    written = f"{whole.lstrip('0') or '0'}.{fraction}" if fraction else whole.lstrip("0") or "0"
    check_decimals(written, currency, place)
    return written


def check_decimals(text: str, currency: str, place: str) -> None:
    """Raise TranslationError unless a currency is one of ISO 4217 and has as many decimals as an amount."""
    if currency not in currencies():
        raise TranslationError("currency", place, "there is no such currency in ISO 4217")
    units = minor_units(currency)
    if units is not None and decimals(text) > units:
        raise TranslationError("decimals", place, f"the currency has {units} decimals, the amount {decimals(text)}")


def rate_to_fin(text: str) -> str | None:
    """Return a rate with a comma; None when it does not fit into twelve characters."""
    written = text.replace(".", ",") if "." in text else f"{text},"
    return written if re.fullmatch(r"[0-9]+,[0-9]*", written, re.ASCII) and len(written) <= 12 else None


def rate_from_fin(text: str) -> str:
    """Return a rate with a point."""
    return text.rstrip(",").replace(",", ".")


def is_reference(text: str) -> bool:
    """Tell whether a text can be a reference of FIN as it is."""
    return (
        0 < len(text) <= REFERENCE
        and in_x(text)
        and not text.startswith("/")
        and not text.endswith("/")
        and "//" not in text
        and text == text.strip()
    )


def text_of(element: etree._Element | None) -> str:
    """Return the text of an element, "" where there is none."""
    return "" if element is None else element.text or ""
