"""A layout on its way in: elements as plain values until the layout is whole, with notes of what does not come along."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from shanraq.standards.iso8583.errors import LayoutError
from shanraq.standards.iso8583.formats.report import Imported, Note
from shanraq.standards.iso8583.layout import MAP_BITS, SCHEMA, Edition, Layout

SIZE_LIMIT: Final = 4_000_000
"""Bytes of a foreign specification."""

_DEPTH_LIMIT: Final = 64
_TRACKS: Final = frozenset((35, 36, 45))
Plain = dict[str, Any]


class Draft:
    """Collects elements and notes; `finish` makes the layout of them, or raises LayoutError."""

    def __init__(self, layout_id: str, title: str, iso_version: Edition) -> None:
        self.notes: list[Note] = []
        self.fields: dict[int, Plain] = {}
        self.charset: str | None = None
        self.mti: str | None = None
        self.bitmap: Plain | None = None
        self.header: Plain | None = None
        self._named = (layout_id, title, iso_version)

    def loss(self, place: str, reason: str) -> None:
        """Note what is not the same afterwards."""
        self.notes.append(Note("loss", place, reason))

    def remark(self, place: str, reason: str) -> None:
        """Note what is, but looks otherwise."""
        self.notes.append(Note("remark", place, reason))

    def page(self, name: str, place: str) -> None:
        """Take a code page for the layout, which has one."""
        if self.charset is None:
            self.charset = name
        elif self.charset != name:
            self.loss(place, f"is in {name}, but a layout has one code page and this one is in {self.charset}")

    def finish(self) -> Imported:
        """Return the layout of what was collected."""
        if self.mti is None:
            raise LayoutError("0: there is no message type")
        if self.bitmap is None:
            raise LayoutError("1: there is no bitmap")
        for number in [number for number in self.fields if number % MAP_BITS == 1]:
            self.remark(str(number), "is the first bit of a bitmap, never an element: left out")
            del self.fields[number]
        for number in [number for number in self.fields if number > self.bitmap["max_maps"] * MAP_BITS]:
            self.loss(str(number), f"lies outside of {self.bitmap['max_maps']} bitmaps: left out")
            del self.fields[number]
        layout_id, title, iso_version = self._named
        plain: Plain = {
            "schema": SCHEMA, "id": layout_id, "title": title, "iso_version": iso_version, "header": self.header,
            "evidence": "imported", "mti": {"encoding": self.mti}, "bitmap": self.bitmap,
            "fields": {str(number): self.fields[number] for number in sorted(self.fields)},
        }  # fmt: skip
        if self.charset is not None:
            plain["charset"] = self.charset
        return Imported(Layout.from_json(msgspec.json.encode(plain)), tuple(self.notes))


def parse_json(text: bytes | str, what: str) -> Plain:
    """Read a JSON object of limited size; raise LayoutError."""
    if len(text) > SIZE_LIMIT:
        raise LayoutError(f"{what}: has more than {SIZE_LIMIT} bytes")
    try:
        found = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, UnicodeEncodeError) as error:
        raise LayoutError(f"{what}: {error}") from None
    except RecursionError:
        raise LayoutError(f"{what}: is nested too deep") from None
    return mapping(found, what)


def plain_of(source: bytes | str | Mapping[str, Any], what: str) -> Plain:
    """Return a specification, given as JSON or as the mapping it reads as; raise LayoutError."""
    if isinstance(source, bytes | str):
        return parse_json(source, what)
    return mapping(_with_text_names(source, what), what)


def mapping(value: Any, place: str) -> Plain:
    """Return a value that must be a mapping with texts as names; raise LayoutError."""
    if not isinstance(value, dict) or not all(isinstance(name, str) for name in value):
        raise LayoutError(f"{place}: must be a mapping")
    return value


def _with_text_names(value: Any, place: str, depth: int = 0) -> Any:
    """Return a value with the names of its mappings as text: YAML reads `2:` as a number. Raises LayoutError."""
    if depth > _DEPTH_LIMIT:
        raise LayoutError(f"{place}: more than {_DEPTH_LIMIT} levels")
    if not isinstance(value, Mapping):
        return value
    named: Plain = {}
    for name, part in value.items():
        text = str(name) if isinstance(name, int) and not isinstance(name, bool) else name
        if text in named:
            raise LayoutError(f"{place}: {str(text)[:16]} comes twice")
        named[text] = _with_text_names(part, place, depth + 1)
    return named


def text_at(plain: Plain, name: str, place: str, *, default: str | None = None) -> str:
    """Return a text of a mapping; raise LayoutError."""
    value = plain.get(name, default)
    if not isinstance(value, str):
        raise LayoutError(f"{place}.{name}: must be text")
    return value


def size_at(plain: Plain, name: str, place: str, *, least: int = 1) -> int:
    """Return a size of a mapping; raise LayoutError."""
    value = plain.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= SIZE_LIMIT:
        raise LayoutError(f"{place}.{name}: must be a number from {least} to {SIZE_LIMIT}")
    return value


def number_of(name: str, place: str) -> int:
    """Return an element number; raise LayoutError for what is none."""
    if not (name.isascii() and name.isdigit() and len(name) <= 3 and str(int(name)) == name):
        raise LayoutError(f"{place}: {name[:16]!r} is no element number")
    return int(name)


def content_of(number: int, encoding: str, *, numeric: bool = False) -> str:
    """Return the content class of an element of a format that has none."""
    if encoding in ("raw", "hex_ascii"):
        return "b"
    if number in _TRACKS:
        return "z"
    return "n" if numeric or encoding == "bcd" else "ans"


def element(name: str, content: str, encoding: str, length: Plain, *, pad: str | None = None, fill: str = "0") -> Plain:
    """Return an element as a layout writes it; `pad` is the side of the pad nibble."""
    found: Plain = {"name": name, "class": content, "length": length, "encoding": encoding}
    if encoding == "bcd" and pad is not None:
        found["pad_nibble"] = {"side": pad, "value": fill}
    return found


def fixed(size: int, encoding: str) -> Plain:
    """Return one length."""
    return {"kind": "fixed", "size": size, "unit": unit_of(encoding)}


def variable(most: int, encoding: str, prefix: Plain) -> Plain:
    """Return a length that stands before the element."""
    return {"kind": "variable", "max": most, "unit": unit_of(encoding), "prefix": prefix}


def unit_of(encoding: str) -> str:
    """Return what the length of an element counts."""
    return {"bcd": "digits", "raw": "bytes", "hex_ascii": "bytes"}.get(encoding, "characters")


def decimal_prefix(encoding: str, digits: int) -> Plain:
    """Return a length of so many decimal digits in `ascii`, `ebcdic` or `bcd`."""
    return {"encoding": encoding, "bytes": (digits + 1) // 2 if encoding == "bcd" else digits, "digits": digits}


def binary_prefix(size: int) -> Plain:
    """Return a length of so many bytes."""
    return {"encoding": "binary", "bytes": size}


def bitmaps(encoding: str, least: int, most: int, *, extension: bool) -> Plain:
    """Return how bitmaps are written."""
    found: Plain = {"encoding": encoding, "min_maps": least, "max_maps": most, "extension_bit": extension}
    if encoding == "hex_ascii":
        found["hex_case_out"] = "upper"
    return found
