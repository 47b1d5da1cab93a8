"""Specifications of moov-io/iso8583 as JSON, or as the mapping its YAML gives.

imported = import_moov(text)          # layout and notes
exported = export_moov(layout)        # text and notes
"""

from __future__ import annotations

import re
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
    decimal_prefix,
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
from shanraq.standards.iso8583.layout import (
    MAP_BITS,
    BerTlv,
    Bitmapped,
    Edition,
    Field,
    Fixed,
    Layout,
    Piece,
    Positional,
)

_PREFIX: Final = re.compile(r"(None|ASCII|BCD|Hex|EBCDIC|EBCDIC1047|Binary)\.(Fixed|L{1,6})")
_TYPES: Final = frozenset(
    ("String", "Numeric", "Binary", "Hex", "Bitmap", "Composite", "Track1", "Track2", "Track3")
)  # fmt: skip
_PAGES: Final = {"EBCDIC": "cp037", "EBCDIC1047": "cp1047"}
_TEXTS: Final = {"ASCII": "ascii", "EBCDIC": "ebcdic", "EBCDIC1047": "ebcdic"}
_PADS: Final = {"BCD": "left", "LBCD": "right"}
_BYTES: Final = frozenset(("Binary", "Hex"))
_DEPTH_LIMIT: Final = 16
_MOST_PREFIX: Final = 4


# Reading


def import_moov(
    source: bytes | str | Mapping[str, Any], *, layout_id: str = "moov", iso_version: Edition = "1987"
) -> Imported:
    """Read a specification of moov; raise LayoutError naming the place for what is none."""
    plain = plain_of(source, "moov")
    fields = mapping(plain.get("fields"), "fields")
    draft = Draft(layout_id, text_at(plain, "name", "moov", default=layout_id), iso_version)
    numbered = {number_of(str(name), "fields"): mapping(spec, f"fields.{name}") for name, spec in fields.items()}
    for number, spec in sorted(numbered.items()):
        place = str(number)
        if number == 0:
            draft.mti = _message_type(spec, draft)
        elif number == 1:
            draft.bitmap = _bitmap(spec, max(numbered))
        elif (found := _element(spec, number, place, draft)) is not None:
            draft.fields[number] = found
    return draft.finish()


def _message_type(spec: Plain, draft: Draft) -> str:
    encoding = text_at(spec, "enc", "fields.0")
    if encoding == "BCD":
        return "bcd"
    if encoding not in _TEXTS:
        raise LayoutError(f"fields.0.enc: a message type is in ASCII, EBCDIC or BCD, not {encoding[:32]}")
    if encoding in _PAGES:
        draft.page(_PAGES[encoding], "0")
    return _TEXTS[encoding]


def _bitmap(spec: Plain, last: int) -> Plain:
    encoding = {"Binary": "binary", "HexToASCII": "hex_ascii"}.get(text_at(spec, "enc", "fields.1"))
    size = size_at(spec, "length", "fields.1")
    if encoding is None or size % 8:
        raise LayoutError("fields.1: a bitmap is Binary or HexToASCII, of a multiple of 8 bytes")
    maps = size // 8
    if maps > 1 or spec.get("disableAutoExpand") or spec.get("disableautoexpand"):
        # Of this length always: moov looks for further maps only behind one of 8 bytes.
        return bitmaps(encoding, maps, maps, extension=False)
    return bitmaps(encoding, 1, max(2, -(-last // MAP_BITS)), extension=True)


def _element(spec: Plain, number: int, place: str, draft: Draft, depth: int = 0) -> Plain | None:
    if depth > _DEPTH_LIMIT:
        raise LayoutError(f"{place}: more than {_DEPTH_LIMIT} levels")
    kind = text_at(spec, "type", place)
    if kind not in _TYPES:
        raise LayoutError(f"{place}.type: there is no type {kind[:32]!r}")
    if kind == "Composite":
        return _composite(spec, number, place, draft, depth)
    name = text_at(spec, "description", place, default="")
    if kind == "Bitmap":
        if number % MAP_BITS != 1:
            draft.loss(place, "a bitmap among the elements is read as bytes")
        kind = "Binary"
    coded = text_at(spec, "enc", place)
    pad = None
    if coded in _TEXTS:
        encoding = _TEXTS[coded]
        if kind in _BYTES:
            draft.remark(place, f"bytes written in {coded} are text here")
        if coded in _PAGES:
            draft.page(_PAGES[coded], place)
    elif coded in _PADS:
        encoding, pad = "bcd", _PADS[coded]
    elif coded in ("Binary", "ASCIIToHex", "HexToASCII"):
        encoding = "hex_ascii" if coded == "HexToASCII" else "raw"
        if kind not in _BYTES:
            draft.remark(place, f"a {kind} in {coded} is bytes here, given in hex; its length counts bytes")
    else:
        raise LayoutError(f"{place}.enc: there is no encoding {coded[:32]!r} for an element")
    length = _length(spec, encoding, place, draft)
    if length is None:
        return None
    if encoding == "hex_ascii" and length["kind"] == "variable":
        draft.remark(place, "its length counts bytes, not hex digits")
    _remark_padding(spec, kind, encoding, place, draft)
    content = content_of(number, encoding, numeric=kind == "Numeric")
    if kind.startswith("Track") and content != "b":
        content = "z"
    return element(name, content, encoding, length, pad=pad)


def _length(spec: Plain, encoding: str, place: str, draft: Draft) -> Plain | None:
    size = size_at(spec, "length", place)
    prefix = text_at(spec, "prefix", place)
    found = _PREFIX.fullmatch(prefix)
    if found is None:
        raise LayoutError(f"{place}.prefix: there is no prefix {prefix[:32]!r} for an element")
    family, width = found[1], len(found[2])
    if found[2] == "Fixed":
        return fixed(size, encoding)
    match family:
        case "Binary":
            return variable(size, encoding, binary_prefix(width))
        case "ASCII" | "BCD":
            return variable(size, encoding, decimal_prefix(family.lower(), width))
        case "EBCDIC" | "EBCDIC1047":
            draft.page(draft.charset or _PAGES[family], place)  # digits are the same in every page
            return variable(size, encoding, decimal_prefix("ebcdic", width))
        case _:
            draft.loss(place, f"a length in {prefix} has no place in a layout: the element is left out")
            return None


def _remark_padding(spec: Plain, kind: str, encoding: str, place: str, draft: Draft) -> None:
    padding = spec.get("padding")
    if padding is not None and mapping(padding, f"{place}.padding").get("type") in ("Left", "Right"):
        draft.remark(place, "a short value is not filled up here: give it whole, read it with its filling")
    elif kind == "Numeric" and encoding != "bcd":
        draft.remark(place, "leading zeros stay, a Numeric loses them")


# Composites


def _subfields(spec: Plain, place: str) -> dict[str, Plain]:
    found = spec.get("subfields")
    named = {} if found is None else mapping(found, f"{place}.subfields")
    return {name: mapping(sub, f"{place}.{name}") for name, sub in named.items()}


def _composite(spec: Plain, number: int, place: str, draft: Draft, depth: int) -> Plain | None:
    subfields = _subfields(spec, place)
    tag = mapping(spec.get("tag") or {}, f"{place}.tag")
    name = text_at(spec, "description", place, default="")
    parts: Plain | None
    if tag.get("enc") == "BerTLVTag":
        encoding, parts = "raw", {"kind": "ber_tlv"}
        draft.remark(place, "the values of its tags are given in hex, of whatever type they are")
    elif spec.get("bitmap") is not None:
        encoding, parts = "raw", _bitmapped(spec, subfields, place, draft, depth)
    else:
        encoding = _shared_encoding(subfields, place, draft)
        parts = (
            _tagged(tag, subfields, place, draft, depth)
            if tag.get("length")
            else _positional(subfields, encoding, place, draft)
        )
    length = _length(spec, encoding, place, draft)
    if length is None:
        return None
    content = "b" if encoding == "raw" else content_of(number, encoding)
    found = element(name, content, encoding, length, pad="left")
    return found | {"parts": parts} if parts is not None else found


def _shared_encoding(subfields: dict[str, Plain], place: str, draft: Draft) -> str:
    """Return the encoding all subfields have, raw if they have several."""
    coded = {str(sub.get("enc")) for sub in subfields.values() if sub.get("type") != "Composite"}
    if len(coded) == 1 and (name := next(iter(coded))) in (*_TEXTS, "BCD"):
        if name in _PAGES:
            draft.page(_PAGES[name], place)
        return "bcd" if name == "BCD" else _TEXTS[name]
    return "raw"


def _bitmapped(spec: Plain, subfields: dict[str, Plain], place: str, draft: Draft, depth: int) -> Plain | None:
    bitmap = mapping(spec["bitmap"], f"{place}.bitmap")
    size = size_at(bitmap, "length", f"{place}.bitmap")
    if bitmap.get("enc") != "Binary":
        draft.loss(place, "only binary bitmaps are known inside of an element: it stays whole")
        return None
    if not (bitmap.get("disableAutoExpand") or bitmap.get("disableautoexpand")) and "1" not in subfields:
        draft.remark(place, "its first bit is taken for a sub-element, not for another bitmap")
    elements: Plain = {}
    for name, sub in subfields.items():
        inner = f"{place}.{name}"
        found = _element(sub, number_of(name, place), inner, draft, depth + 1)
        if found is not None:
            elements[name] = found
    return {"kind": "bitmapped", "bitmap_bytes": size, "extension_bit": False, "elements": elements}


def _tagged(tag: Plain, subfields: dict[str, Plain], place: str, draft: Draft, depth: int) -> Plain | None:
    if depth > _DEPTH_LIMIT:
        raise LayoutError(f"{place}: more than {_DEPTH_LIMIT} levels")
    widths = {str(sub.get("prefix")) for sub in subfields.values()}
    found = _PREFIX.fullmatch(next(iter(widths))) if len(widths) == 1 else None
    if str(tag.get("enc")) not in _TEXTS or found is None or found[1] not in _TEXTS or found[2] == "Fixed":
        draft.loss(
            place, "tags are split if they and all lengths are text, and the lengths of one size: it stays whole"
        )
        return None
    children: Plain = {}
    for name, sub in subfields.items():
        inner = mapping(sub.get("tag") or {}, f"{place}.{name}.tag")
        if sub.get("type") != "Composite":
            continue
        nested = _subfields(sub, f"{place}.{name}")
        child = _tagged(inner, nested, f"{place}.{name}", draft, depth + 1) if inner.get("length") else None
        if child is None:
            draft.loss(f"{place}.{name}", "splits no further: it stays whole")
        else:
            children[name] = child
    if subfields:
        draft.remark(place, "every tag is taken, not only those listed")
    parts: Plain = {
        "kind": "tagged",
        "tag": {"digits": size_at(tag, "length", f"{place}.tag"), "encoding": _TEXTS[str(tag["enc"])]},
        "length": {"digits": len(found[2]), "encoding": _TEXTS[found[1]]},
    }
    return parts | {"children": children} if children else parts


def _order(name: str) -> tuple[bool, int, str]:
    """Order parts by their numbers, what is no number behind them."""
    is_number = name.isascii() and name.isdigit() and len(name) < 10
    return not is_number, int(name) if is_number else 0, name


def _positional(subfields: dict[str, Plain], encoding: str, place: str, draft: Draft) -> Plain | None:
    pieces: list[Plain] = []
    for name in sorted(subfields, key=_order):
        sub, inner = subfields[name], f"{place}.{name}"
        size = size_at(sub, "length", inner)
        coded = str(sub.get("enc"))
        if sub.get("type") == "Composite" or not str(sub.get("prefix")).endswith(".Fixed"):
            draft.loss(inner, "a part without a size of its own: the element stays whole")
            return None
        if coded in _PADS and size % 2:
            draft.loss(inner, "an odd number of digits does not end with a byte: the element stays whole")
            return None
        if coded not in (*_TEXTS, *_PADS, "Binary", "HexToASCII"):
            raise LayoutError(f"{inner}.enc: there is no encoding {coded[:32]!r} for a part")
        size = size // 2 if coded in _PADS else size * 2 if coded == "HexToASCII" else size
        kind = "text" if encoding != "raw" else _TEXTS.get(coded, "ascii" if coded == "HexToASCII" else "raw")
        pieces.append({"id": name, "name": str(sub.get("description", "")), "bytes": size, "encoding": kind})
    return {"kind": "positional", "elements": pieces, "optional_tail": True} if pieces else None


# Writing


def export_moov(layout: Layout) -> Exported:
    """Write a layout as a specification of moov; notes say what it cannot express."""
    notes: list[Note] = []
    if layout.header is not None:
        notes.append(
            Note("loss", "header", f"take {layout.header.bytes} bytes off before reading: there are no headers")
        )
    if layout.charset == "cp500":
        notes.append(Note("loss", "charset", "EBCDIC is cp037, in which ! [ ] ^ | stand elsewhere than in cp500"))
    notes.append(Note("remark", "fields", "character classes, date formats and notes have no place"))
    ebcdic = "EBCDIC1047" if layout.charset == "cp1047" else "EBCDIC"
    mti = {"ascii": ("ASCII", "ASCII"), "ebcdic": (ebcdic, "EBCDIC"), "bcd": ("BCD", "BCD")}[layout.mti.encoding]
    fields: Plain = {
        "0": {"type": "String", "length": 4, "description": "Message type", "enc": mti[0], "prefix": f"{mti[1]}.Fixed"},
        "1": _bitmap_out(layout, notes),
    }
    for number in sorted(layout.fields):
        found = _element_out(layout.fields[number], str(number), ebcdic, notes)
        if found is not None:
            fields[str(number)] = found
    text = msgspec.json.format(msgspec.json.encode({"name": layout.title, "fields": fields}), indent=2).decode()
    return Exported(text, tuple(notes))


def _bitmap_out(layout: Layout, notes: list[Note]) -> Plain:
    bitmap = layout.bitmap
    coded, family = ("Binary", "Binary") if bitmap.encoding == "binary" else ("HexToASCII", "Hex")
    found: Plain = {"type": "Bitmap", "length": 8, "description": "Bitmap", "enc": coded, "prefix": f"{family}.Fixed"}
    if not bitmap.extension_bit:
        return found | {"length": 8 * bitmap.max_maps, "disableAutoExpand": True}
    if bitmap.min_maps > 1:
        notes.append(
            Note("loss", "bitmap", f"an empty bitmap is not sent, but {bitmap.min_maps} always are in this layout")
        )
    if bitmap.hex_case_out == "lower":
        notes.append(Note("loss", "bitmap", "hex digits are written in upper case"))
    if bitmap.max_maps == 1:
        found["disableAutoExpand"] = True
        notes.append(Note("remark", "bitmap", "a set first bit is not refused as a second bitmap"))
    elif bitmap.max_maps * MAP_BITS >= max(layout.fields, default=0) + MAP_BITS:
        notes.append(Note("remark", "bitmap", f"the number of bitmaps ({bitmap.max_maps}) follows from the elements"))
    return found


def _element_out(field: Field, place: str, ebcdic: str, notes: list[Note]) -> Plain | None:
    coded = _encoding_out(field, place, ebcdic, notes)
    prefix = _prefix_out(field, coded, place, notes)
    if prefix is None:
        return None
    size = field.length.size if isinstance(field.length, Fixed) else field.length.max
    if field.encoding == "sign_bcd":
        size = 1 + size // 2
    found: Plain = {"length": size, "description": field.name, "prefix": prefix}
    match field.parts:
        case BerTlv():
            sample = {"type": "Binary", "length": 65_535, "description": "Amount", "enc": "Binary", "prefix": "BerTLV"}
            tag = {"enc": "BerTLVTag", "sort": "StringsByHex", "storeUnknownTLVTags": True, "prefUnknownTLV": "BerTLV"}
            return {"type": "Composite", **found, "tag": tag, "subfields": {"9F02": sample}}
        case Positional(elements=pieces) if field.encoding != "hex_ascii":
            if any(not piece.id.isdigit() for piece in pieces):
                notes.append(Note("remark", place, "its parts have numbers, not names"))
            named = enumerate(pieces, 1)
            subfields = {str(at): _piece_out(piece, field, ebcdic) for at, piece in named}
            return {"type": "Composite", **found, "tag": {"sort": "StringsByInt"}, "subfields": subfields}
        case Bitmapped(lead=(), elements=elements, bitmap_bytes=width) if field.encoding == "raw":
            inner = {
                str(number): out
                for number, sub in elements.items()
                if (out := _element_out(sub, f"{place}.{number}", ebcdic, notes)) is not None
            }
            bitmap = {"type": "Bitmap", "length": width, "description": "Bitmap", "enc": "Binary", "prefix": "Binary.Fixed",
                      "disableAutoExpand": True}  # fmt: skip
            return {"type": "Composite", **found, "bitmap": bitmap, "subfields": inner}
        case None:
            pass
        case parts:
            kind = type(parts).__name__.lower()
            notes.append(Note("loss", place, f"parts of kind {kind} have no place: the element stays whole"))
    kind = "Binary" if coded in ("Binary", "HexToASCII") else "String"
    return {"type": kind, **found, "enc": coded}


def _encoding_out(field: Field, place: str, ebcdic: str, notes: list[Note]) -> str:
    match field.encoding:
        case "ebcdic":
            return ebcdic
        case "latin1":
            notes.append(Note("loss", place, "characters above ASCII are refused"))
        case "bcd":
            pad = field.pad_nibble
            if pad is not None and pad.value != "0":
                notes.append(Note("loss", place, f"the pad nibble is written as 0, not {pad.value}"))
            return "LBCD" if pad is not None and pad.side == "right" else "BCD"
        case "sign_bcd":
            notes.append(Note("loss", place, "a sign before BCD digits has no place: the element is raw bytes"))
            return "Binary"
        case "raw":
            return "Binary"
        case "hex_ascii":
            return "HexToASCII"
        case _:
            pass
    return "ASCII"


def _prefix_out(field: Field, coded: str, place: str, notes: list[Note]) -> str | None:
    if isinstance(field.length, Fixed):
        family = {"LBCD": "BCD", "HexToASCII": "Hex", "EBCDIC1047": "EBCDIC"}.get(coded, coded)
        return f"{family}.Fixed"
    prefix = field.length.prefix
    family = {"ascii": "ASCII", "bcd": "BCD", "ebcdic": "EBCDIC", "binary": "Binary"}[prefix.encoding]
    width = prefix.bytes if prefix.encoding != "bcd" else prefix.digits or prefix.bytes * 2
    if width > _MOST_PREFIX:
        notes.append(Note("loss", place, f"a length of {width} digits has no place: the element is left out"))
        return None
    return f"{family}.{'L' * width}"


def _piece_out(piece: Piece, field: Field, ebcdic: str) -> Plain:
    encoding = field.encoding if piece.encoding == "text" else piece.encoding
    coded = {"ebcdic": ebcdic, "raw": "Binary", "bcd": "BCD"}.get(encoding, "ASCII")
    size = piece.bytes * 2 if coded == "BCD" else piece.bytes
    family = "EBCDIC" if coded == ebcdic else coded
    kind = "Binary" if coded == "Binary" else "String"
    return {"type": kind, "length": size, "description": piece.name, "enc": coded, "prefix": f"{family}.Fixed"}
