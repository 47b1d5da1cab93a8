"""Specifications of pyiso8583: a dict by element, here as JSON or as the dict itself.

imported = import_pyiso8583(spec)          # layout and notes
exported = export_pyiso8583(layout)        # JSON and notes; pyiso8583_dict(layout) gives the dict
"""

from __future__ import annotations

import codecs
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from shanraq.standards.iso8583.errors import LayoutError
from shanraq.standards.iso8583.formats.draft import (
    Draft,
    Plain,
    binary_prefix,
    bitmaps,
    content_of,
    element,
    fixed,
    mapping,
    number_of,
    plain_of,
    size_at,
    text_at,
    variable,
)
from shanraq.standards.iso8583.formats.report import Exported, Imported, Note
from shanraq.standards.iso8583.layout import MAP_BITS, Edition, Field, Fixed, Layout

_HEADER, _TYPE, _PRIMARY, _SECONDARY, _TERTIARY = "h", "t", "p", "1", "65"
_BINARY: Final = "b"
_PAGES: Final = {"ascii": "ascii", "iso8859-1": "latin1", "cp037": "cp037", "cp500": "cp500", "cp1047": "cp1047"}
_CODECS: Final = {"cp1047": "cp037"}


# Reading


def import_pyiso8583(
    source: bytes | str | Mapping[str, Any], *, layout_id: str = "pyiso8583", iso_version: Edition = "1987"
) -> Imported:
    """Read a specification of pyiso8583; raise LayoutError naming the place for what is none."""
    plain = plain_of(source, "pyiso8583")
    spec = {name: mapping(value, name) for name, value in plain.items()}
    for name in (_HEADER, _TYPE, _PRIMARY):
        if name not in spec:
            raise LayoutError(f"{name}: is missing")
    draft = Draft(layout_id, layout_id, iso_version)
    draft.mti = _text_or(spec[_TYPE], _TYPE, draft, "bcd")
    numbers = {
        number_of(name, name): name for name in spec if name not in (_HEADER, _TYPE, _PRIMARY, _SECONDARY, _TERTIARY)
    }
    written = _text_or(spec[_PRIMARY], _PRIMARY, draft, _BINARY)
    if written == "ebcdic":
        raise LayoutError(f"{_PRIMARY}.data_enc: a bitmap of hex digits is in ASCII")
    maps = 3 if max(numbers, default=0) > 2 * MAP_BITS else 2
    draft.bitmap = bitmaps("binary" if written == _BINARY else "hex_ascii", 1, maps, extension=True)
    draft.header = _header(spec[_HEADER], draft)
    for number in sorted(numbers):
        found = _element(spec[numbers[number]], number, draft)
        if found is not None:
            draft.fields[number] = found
    return draft.finish()


def _text_or(spec: Plain, place: str, draft: Draft, binary: str, key: str = "data_enc") -> str:
    """Return the encoding of text, or `binary` for b."""
    coded = text_at(spec, key, place)
    if coded == _BINARY:
        return binary
    page = _page_of(coded, f"{place}.{key}", draft)
    if page == "ascii":
        return "ascii"
    if page == "latin1" and (key == "len_enc" or place == _TYPE):
        return "ascii"  # digits are the same, and need no code page of the layout
    draft.page(page, place)
    return "latin1" if page == "latin1" else "ebcdic"


def _page_of(coded: str, place: str, draft: Draft) -> str:
    try:
        name = codecs.lookup(coded).name
    except (LookupError, ValueError):
        raise LayoutError(f"{place}: there is no codec {coded[:32]!r}") from None
    if name not in _PAGES:
        draft.loss(place, f"{name} is no code page of layouts: read as ASCII")
    return _PAGES.get(name, "ascii")


def _header(spec: Plain, draft: Draft) -> Plain | None:
    size = size_at(spec, "max_len", _HEADER, least=0)
    if not size:
        return None
    if size_at(spec, "len_type", _HEADER, least=0):
        raise LayoutError("h: a header of several lengths has no place in a layout")
    coded = text_at(spec, "data_enc", _HEADER)
    form = "text" if coded != _BINARY and _page_of(coded, _HEADER, draft) == "ascii" else "hex"
    if form == "hex" and coded != _BINARY:
        draft.loss(_HEADER, "a header is shown as hex or ASCII: it is shown as hex")
    return {"bytes": size, "value_form": form, "elements": []}


def _element(spec: Plain, number: int, draft: Draft) -> Plain | None:
    place = str(number)
    name = text_at(spec, "desc", place, default="")
    size, width = size_at(spec, "max_len", place, least=0), size_at(spec, "len_type", place, least=0)
    count = text_at(spec, "len_count", place, default="bytes")
    if count not in ("bytes", "nibbles"):
        raise LayoutError(f"{place}.len_count: is bytes or nibbles, not {count[:32]!r}")
    if not size:
        draft.remark(place, "has no length: left out")
        return None
    encoding = _text_or(spec, place, draft, "bcd" if count == "nibbles" else "raw")
    if count == "nibbles" and encoding != "bcd":
        draft.loss(place, "a length of text in half bytes has no place: the element is left out")
        return None
    pad, fill = None, "0"
    if encoding == "bcd":
        left, right = (
            text_at(spec, "left_pad", place, default="")[:1],
            text_at(spec, "right_pad", place, default="")[:1],
        )
        pad, fill = ("left", left) if left else ("right", right) if right else (None, "0")
    length = fixed(size, encoding)
    if width:
        coded = text_at(spec, "len_enc", place)
        if coded == _BINARY:
            prefix = binary_prefix(width)
        else:
            kind = "bcd" if coded == "bcd" else _text_or(spec, place, draft, _BINARY, "len_enc")
            # Three digits take two bytes of BCD; which of the two forms is meant shows only in the maximum.
            spare = kind == "bcd" and width > 1 and size < 10 ** (width * 2 - 1)
            digits = width if kind != "bcd" else width * 2 - spare
            prefix = {"encoding": kind, "bytes": width, "digits": digits}
        length = variable(size, encoding, prefix)
    return element(name, content_of(number, encoding), encoding, length, pad=pad, fill=fill.upper() or "0")


# Writing


def export_pyiso8583(layout: Layout) -> Exported:
    """Write a layout as a specification of pyiso8583 in JSON; notes say what it cannot express."""
    spec, notes = pyiso8583_dict(layout)
    return Exported(msgspec.json.format(msgspec.json.encode(spec), indent=2).decode(), notes)


def pyiso8583_dict(layout: Layout) -> tuple[dict[str, dict[str, Any]], tuple[Note, ...]]:
    """Return the dict pyiso8583 takes, and what it cannot express."""
    notes: list[Note] = []
    page: str = layout.charset or "ascii"
    if page == "cp1047":
        notes.append(Note("loss", "charset", "Python has no cp1047: cp037 has line ends and brackets elsewhere"))
    page = _CODECS.get(page, page)
    bitmap, header = layout.bitmap, layout.header
    if not bitmap.extension_bit:
        notes.append(Note("loss", "bitmap", "announces a second bitmap by its first bit, which stays 0 in this layout"))
    elif bitmap.min_maps > 1:
        notes.append(
            Note("loss", "bitmap", f"an empty bitmap is not sent, but {bitmap.min_maps} always are in this layout")
        )
    if bitmap.max_maps != _most_maps(layout):
        notes.append(Note("remark", "bitmap", "another number of bitmaps than in this layout is taken, too"))
    if bitmap.hex_case_out == "lower":
        notes.append(Note("loss", "bitmap", "hex digits are written in upper case"))
    notes.append(Note("remark", "fields", "character classes, date formats and notes have no place"))
    maps = _BINARY if bitmap.encoding == "binary" else "ascii"
    mti = {"bcd": _BINARY, "ebcdic": page}.get(layout.mti.encoding, "ascii")
    form = _BINARY if header is not None and header.value_form == "hex" else "ascii"
    spec: dict[str, dict[str, Any]] = {
        _HEADER: _plain(form, header.bytes if header else 0, "Header"),
        _TYPE: _plain(mti, 2 if mti == _BINARY else 4, "Message type"),
        _PRIMARY: _plain(maps, 8 if maps == _BINARY else 16, "Bitmap"),
        _SECONDARY: _plain(maps, 8 if maps == _BINARY else 16, "Bitmap, second"),
    }
    if header is not None and header.elements:
        notes.append(Note("remark", "header", "its parts have no place"))
    for number in sorted(layout.fields):
        found = _element_out(layout.fields[number], str(number), page, notes)
        if found is not None:
            spec[str(number)] = found
    return spec, tuple(notes)


def _most_maps(layout: Layout) -> int:
    return 3 if max(layout.fields, default=0) > 2 * MAP_BITS else 2


def _plain(coded: str, size: int, desc: str) -> dict[str, Any]:
    return {"data_enc": coded, "len_enc": "ascii", "len_type": 0, "max_len": size, "desc": desc}


def _element_out(field: Field, place: str, page: str, notes: list[Note]) -> dict[str, Any] | None:
    is_fixed = isinstance(field.length, Fixed)
    size = field.length.size if isinstance(field.length, Fixed) else field.length.max
    if field.parts is not None:
        notes.append(
            Note(
                "loss",
                place,
                f"parts of kind {type(field.parts).__name__.lower()} have no place: the element stays whole",
            )
        )
    found: dict[str, Any]
    match field.encoding:
        case "bcd":
            found = _plain(_BINARY, size, field.name) | {"len_count": "nibbles"}
            pad = field.pad_nibble
            found["right_pad" if pad is not None and pad.side == "right" else "left_pad"] = pad.value if pad else "0"
            notes.append(
                Note("remark", place, "only the pad nibble it writes is read")
            ) if not is_fixed or size % 2 else None
        case "sign_bcd":
            notes.append(Note("loss", place, "a sign before BCD digits has no place: the element is raw bytes"))
            found = _plain(_BINARY, 1 + size // 2, field.name)
        case "raw":
            found = _plain(_BINARY, size, field.name)
        case "hex_ascii":
            if not is_fixed:
                notes.append(
                    Note("loss", place, "hex digits behind a length in bytes have no place: the element is left out")
                )
                return None
            found = _plain("ascii", size * 2, field.name)
        case "ascii":
            found = _plain("ascii", size, field.name)
        case _:
            found = _plain(page, size, field.name)
    if not isinstance(field.length, Fixed):
        prefix = field.length.prefix
        coded = {"binary": _BINARY, "bcd": "bcd", "ebcdic": page}.get(prefix.encoding, "ascii")
        found |= {"len_type": prefix.bytes, "len_enc": coded}
    return found
