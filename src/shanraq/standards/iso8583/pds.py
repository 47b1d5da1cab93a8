"""Private data subelements (PDS) of Mastercard IPM: tag 4, length 3, value, over DE48, 62, 123, 124 and 125.

read_pds(message)            # {"0023": "CT6", "0165": "M"}
message.fields |= write_pds({"0023": "CT6", "0165": "M"})
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from shanraq.standards.iso8583.errors import Iso8583Error
from shanraq.standards.iso8583.message import Message

PDS_ELEMENTS: Final = (48, 62, 123, 124, 125)
"""The elements that carry subelements, in the order they are filled."""

_TAG: Final = re.compile(r"[0-9]{4}")
_HEAD: Final = 7
_ELEMENT_LIMIT: Final = 999


def read_pds(message: Message) -> dict[str, str]:
    """Return the subelements of all elements that carry them, in their order.

    Raises Iso8583Error: `truncated`, `bad_length`, `bad_tag`, `duplicate` for a tag that comes twice.
    """
    found: dict[str, str] = {}
    for number in PDS_ELEMENTS:
        for tag, value in _items(message.fields.get(number, ""), str(number)):
            if tag in found:
                raise Iso8583Error("duplicate", f"{number}.{tag}", -1, "comes twice")
            found[tag] = value
    return found


def _items(text: str, path: str) -> Iterator[tuple[str, str]]:
    at = 0
    while at < len(text):
        tag, length = text[at : at + 4], text[at + 4 : at + _HEAD]
        if not _TAG.fullmatch(tag):
            raise Iso8583Error("bad_tag", path, -1, "a tag is not four digits", expected="4 digits")
        if not (len(length) == 3 and length.isascii() and length.isdigit()):
            raise Iso8583Error("bad_length", f"{path}.{tag}", -1, "the length is not three digits", expected="3 digits")
        end = at + _HEAD + int(length)
        if end > len(text):
            raise Iso8583Error(
                "truncated", f"{path}.{tag}", -1, f"needs {int(length)} characters, {len(text) - at - _HEAD} left",
                expected=f"{int(length)} characters", found=f"{len(text) - at - _HEAD} characters",
            )  # fmt: skip
        yield tag, text[at + _HEAD : end]
        at = end


def write_pds(values: Mapping[str, str]) -> dict[int, str]:
    """Return the elements that carry these subelements, in their order; none is split over two elements.

    Raises Iso8583Error: `bad_tag`, `wrong_size` for a value above 992 characters or more than the five elements hold.
    """
    found: dict[int, str] = {}
    elements = iter(PDS_ELEMENTS)
    number = next(elements)
    text = ""
    for tag, value in values.items():
        if not _TAG.fullmatch(tag):
            raise Iso8583Error("bad_tag", "pds", -1, "a tag is not four digits", expected="4 digits")
        size = _HEAD + len(value)
        if size > _ELEMENT_LIMIT:
            raise _too_much(f"pds.{tag}", f"{len(value)} characters", f"at most {_ELEMENT_LIMIT - _HEAD} characters")
        if len(text) + size > _ELEMENT_LIMIT:
            found[number] = text
            following = next(elements, None)
            if following is None:
                raise _too_much(f"pds.{tag}", "no place left", f"at most {len(PDS_ELEMENTS)} elements")
            number, text = following, ""
        text += f"{tag}{len(value):03d}{value}"
    if text:
        found[number] = text
    return found


def _too_much(path: str, found: str, expected: str) -> Iso8583Error:
    return Iso8583Error("wrong_size", path, -1, f"has {found}, {expected}", expected=expected, found=found)
