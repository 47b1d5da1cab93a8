"""Packager definitions of the jPOS GenericPackager as XML.

imported = import_jpos(text)          # layout and notes
exported = export_jpos(layout)        # text and notes

The names of its field classes are taken apart: IF, the family (A ASCII, B binary and BCD, E EBCDIC; two letters: that of the
length, that of the value), F for a filling of F, L for each digit of a length, H for a binary length, the kind of value.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple
from xml.sax.saxutils import quoteattr

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
    number_of,
    variable,
)
from shanraq.standards.iso8583.formats.report import Exported, Imported, Note
from shanraq.standards.iso8583.formats.xml import Node, parse_xml
from shanraq.standards.iso8583.layout import Bitmapped, Edition, Field, Fixed, Layout, Piece, Positional, Variable

_PACKAGE: Final = "org.jpos.iso."
_SUBFIELDS: Final = "org.jpos.iso.packager.GenericSubFieldPackager"
_PLAIN_PACKAGERS: Final = frozenset(("GenericSubFieldPackager", "GenericPackager", "GenericValidatingPackager"))
_CLASS: Final = re.compile(
    r"IF(?P<family>A|B|E|EA|EB|AE)?_(?P<fill>F)?(?P<length>L{1,6})?(?P<binary>H)?"
    r"(?P<value>NUMERIC|NUM|CHAR|ECHAR|BINARY|ABINARY|BNUM|HEX|AMOUNT|AMOUNT2003|BITMAP)"
)
_ABSENT: Final = frozenset(("IF_NOP", "IF_UNUSED"))
_PAGE: Final = "cp1047"
_NAMED: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.$]*")


class _Class(NamedTuple):
    """What a field class writes: the value, the encoding and digits of the length before it, the pad nibble."""

    value: str
    encoding: str
    prefix: str | None
    digits: int
    pad: str
    fill: str


def _class_of(name: str) -> _Class | None:
    """Return what a field class does; None for one that is not known."""
    found = _CLASS.fullmatch(name.removeprefix(_PACKAGE))
    if found is None:
        return None
    family, value, digits = found["family"] or "", found["value"], len(found["length"] or "")
    prefix = {"A": "ascii", "B": "bcd", "E": "ebcdic"}.get(family[:1]) if digits else None
    if digits and prefix is None:
        return None
    if found["binary"]:
        if not digits or family != "B" or digits > 3:
            return None
        prefix = "binary"
    text = {"A": "ascii", "B": "ascii", "E": "ebcdic", "": "ascii"}[family[-1:]]
    match value:
        case "ECHAR":
            encoding = "ebcdic" if family in ("", "B") else None
        case "NUMERIC" | "NUM":
            encoding = "bcd" if family[-1:] == "B" else text if family else None
        case "BNUM":
            encoding = "bcd" if family in ("A", "E") and digits else None
        case "HEX":
            encoding = "bcd" if family == "B" else None
        case "AMOUNT":
            encoding = None if digits else "sign_bcd" if family == "B" else text if family else None
        case "AMOUNT2003":
            encoding = None if digits else "bcd" if family == "B" else text if family else None
        case "BINARY":
            # Fixed ones of text are hex digits, variable ones the bytes themselves.
            in_hex = family == "A" and not digits
            encoding = "hex_ascii" if in_hex else None if not family or (family == "E" and not digits) else "raw"
        case "ABINARY":
            encoding = "hex_ascii" if family == "A" else None
        case "BITMAP":
            encoding = {"A": "hex_ascii", "B": "raw"}.get(family) if not digits else None
        case _:
            encoding = text
    if encoding is None or (found["fill"] and encoding != "bcd"):
        return None
    return _Class(value, encoding, prefix, digits, "right", "F" if found["fill"] else "0")


# Reading


def import_jpos(text: bytes | str, *, layout_id: str = "jpos", iso_version: Edition = "1987") -> Imported:
    """Read a packager definition of jPOS; raise LayoutError naming the line or element for what is none."""
    root = parse_xml(text)
    if root.name != "isopackager":
        raise LayoutError(f"line {root.line}: an isopackager is expected, not {root.name[:32]!r}")
    if root.attributes.get("emitBitmap", "true") != "true":
        raise LayoutError(f"line {root.line}: a packager without a bitmap is no message")
    draft = Draft(layout_id, root.attributes.get("name", layout_id), iso_version)
    if root.attributes.get("headerLength", "0") not in ("", "0"):
        draft.loss("header", "a header is taken by the channel in jPOS, here by the layout: add it there")
    seen: set[int] = set()
    for node in root.children:
        number = number_of(_attribute(node, "id"), f"line {node.line}")
        if number in seen:
            draft.loss(str(number), f"comes twice, the second one in line {node.line} is left out")
            continue
        seen.add(number)
        if number == 0:
            draft.mti = _message_type(node, draft)
        elif number == 1:
            draft.bitmap = _bitmap(node)
        elif (found := _element(node, number, str(number), draft)) is not None:
            draft.fields[number] = found
    _widen(draft)
    return draft.finish()


def _widen(draft: Draft) -> None:
    """Take text for what it is in jPOS, ISO 8859-1, where the code page of the layout allows it."""
    texts = [found for found in draft.fields.values() if found["encoding"] == "ascii" and found["class"] != "n"]
    if draft.charset is not None:
        if texts:
            draft.remark("charset", "text behind ASCII classes is ASCII here, bytes above 7F are refused")
        return
    for found in texts:
        draft.charset = "latin1"
        found["encoding"] = "latin1"
        for piece in found.get("parts", {}).get("elements", ()):
            piece["encoding"] = "text"


def _attribute(node: Node, name: str) -> str:
    if name not in node.attributes:
        raise LayoutError(f"line {node.line}: {node.name[:32]} has no {name}")
    return node.attributes[name]


def _size(node: Node) -> int:
    text = _attribute(node, "length")
    if not (text.isascii() and text.isdigit() and 1 <= len(text) <= 6):
        raise LayoutError(f"line {node.line}: {text[:16]!r} is no length")
    return int(text)


def _message_type(node: Node, draft: Draft) -> str:
    known = _class_of(_attribute(node, "class"))
    if known is None or known.digits or known.encoding not in ("ascii", "ebcdic", "bcd"):
        raise LayoutError(f"line {node.line}: a message type is four fixed digits")
    if known.encoding == "ebcdic":
        draft.page(_PAGE, "0")
    return known.encoding


def _bitmap(node: Node) -> Plain:
    known, size = _class_of(_attribute(node, "class")), _size(node)
    if known is None or known.value != "BITMAP" or size not in (8, 16, 24):
        raise LayoutError(f"line {node.line}: a bitmap is an IFA_BITMAP or IFB_BITMAP of 8, 16 or 24 bytes")
    return bitmaps("binary" if known.encoding == "raw" else "hex_ascii", 1, size // 8, extension=True)


def _element(node: Node, number: int, place: str, draft: Draft) -> Plain | None:
    if node.name not in ("isofield", "isofieldpackager"):
        raise LayoutError(f"line {node.line}: there is no {node.name[:32]!r} in a packager")
    name = _attribute(node, "class")
    if name.removeprefix(_PACKAGE) in _ABSENT:
        draft.remark(place, "is not used: left out")
        return None
    known = _class_of(name)
    if known is None or known.value == "BITMAP":
        shown = name.removeprefix(_PACKAGE)[:48] if _NAMED.fullmatch(name) else "of this name"
        if known is None:
            draft.loss(place, f"the class {shown} is not known: the element is left out")
        else:
            draft.remark(place, "a bitmap is no element: left out")
        return None
    size = _size(node)
    if size == 0:
        draft.remark(place, "has no length: left out")
        return None
    encoding = known.encoding
    parts: Plain | None = None
    if node.name == "isofieldpackager":
        encoding, parts = _parts(node, known, place, draft)
    if "ebcdic" in (encoding, known.prefix):
        draft.page(_PAGE, place)
    # BINARY of the E family is taken to be the bytes themselves, as in the A family.
    if known.value == "BINARY" and known.prefix == "ebcdic":
        draft.remark(place, "the bytes behind an EBCDIC length are taken as they are")
    side = "left" if node.attributes.get("pad", "false") == "true" or known.value == "AMOUNT2003" else known.pad
    length = fixed(size, encoding)
    if known.prefix is not None:
        prefix = (
            binary_prefix(max(1, known.digits - 1))
            if known.prefix == "binary"
            else decimal_prefix(known.prefix, known.digits)
        )
        length = variable(size, encoding, prefix)
    content = content_of(number, encoding, numeric=known.value in ("NUMERIC", "NUM", "BNUM", "AMOUNT2003"))
    content = "x+n" if known.value == "AMOUNT" else "z" if known.value == "HEX" else content
    label = node.attributes.get("name", "")
    found = element(label, content, encoding, length, pad=side, fill="0" if side == "left" else known.fill)
    if encoding == "sign_bcd":
        found["pad_nibble"] = {"side": "left", "value": "0"}
    return found | {"parts": parts} if parts is not None else found


def _parts(node: Node, known: _Class, place: str, draft: Draft) -> tuple[str, Plain | None]:
    """Return the encoding of an element that splits, and how it does."""
    packager = node.attributes.get("packager", _SUBFIELDS).rpartition(".")[2]
    first = node.children[0] if node.children else None
    if packager not in _PLAIN_PACKAGERS or first is None:
        draft.loss(place, "its packager is not known: the element stays whole")
        return known.encoding, None
    inner_class = _class_of(_attribute(first, "class"))
    has_bitmap = inner_class is not None and inner_class.value == "BITMAP"
    if node.attributes.get("emitBitmap", "true" if has_bitmap else "false") == "true":
        return "raw", _bitmapped(node, inner_class if has_bitmap else None, place, draft)
    pieces: list[Plain] = []
    for child in node.children:
        inner, size = _class_of(_attribute(child, "class")), _size(child)
        if child.name != "isofield" or inner is None or inner.digits or (inner.encoding == "bcd" and size % 2):
            draft.loss(
                f"{place}.{_attribute(child, 'id')}", "a part of no fixed number of bytes: the element stays whole"
            )
            return known.encoding, None
        encoding = {"ascii": "ascii", "ebcdic": "ebcdic", "hex_ascii": "ascii"}.get(inner.encoding, "raw")
        if encoding == "ebcdic":
            draft.page(_PAGE, place)
        width = size // 2 if inner.encoding == "bcd" else size * 2 if inner.encoding == "hex_ascii" else size
        width = 1 + size // 2 if inner.encoding == "sign_bcd" else width
        pieces.append({"id": _attribute(child, "id"), "name": child.attributes.get("name", ""), "bytes": width,
                       "encoding": encoding})  # fmt: skip
    # Text inside of text stays text; anything else is seen as bytes as a whole.
    outer = known.encoding if all(piece["encoding"] == known.encoding for piece in pieces) else "raw"
    if outer == "raw" and known.encoding == "bcd":
        draft.loss(place, "digits that split into other things than digits: the element stays whole")
        return known.encoding, None
    return outer, {"kind": "positional", "elements": pieces, "optional_tail": True}


def _bitmapped(node: Node, bitmap: _Class | None, place: str, draft: Draft) -> Plain | None:
    if bitmap is None or bitmap.encoding != "raw":
        draft.loss(place, "only binary bitmaps are known inside of an element: it stays whole")
        return None
    size = _size(node.children[0])
    elements: Plain = {}
    for child in node.children[1:]:
        number = number_of(_attribute(child, "id"), f"line {child.line}")
        found = _element(child, number, f"{place}.{number}", draft)
        if found is not None:
            elements[str(number)] = found
    if size > 8 and all(int(number) <= 64 for number in elements):
        draft.remark(place, "its bitmap has 8 bytes, as long as no element above 64 is there")
        size = 8
    elif size > 8:
        draft.loss(place, "a bitmap of several words inside of an element: it stays whole")
        return None
    return {"kind": "bitmapped", "bitmap_bytes": size, "extension_bit": False, "elements": elements}


# Writing


def export_jpos(layout: Layout) -> Exported:
    """Write a layout as a packager definition of jPOS; notes say what it cannot express."""
    notes: list[Note] = []
    bitmap = layout.bitmap
    if layout.header is not None:
        notes.append(
            Note("loss", "header", f"let the channel take {layout.header.bytes} bytes: packagers have no headers")
        )
    if layout.charset in ("cp037", "cp500"):
        notes.append(
            Note("loss", "charset", f"EBCDIC is {_PAGE}, some characters stand elsewhere than in {layout.charset}")
        )
    if not bitmap.extension_bit:
        notes.append(Note("loss", "bitmap", "always announces a second bitmap by its first bit"))
    elif bitmap.min_maps > 1:
        notes.append(
            Note("loss", "bitmap", f"an empty bitmap is not sent, but {bitmap.min_maps} always are in this layout")
        )
    if bitmap.hex_case_out == "lower":
        notes.append(Note("loss", "bitmap", "hex digits are written in upper case"))
    notes.append(Note("remark", "fields", "character classes, date formats and notes have no place"))
    mti = {"ascii": "IFA_NUMERIC", "ebcdic": "IFE_NUMERIC", "bcd": "IFB_NUMERIC"}[layout.mti.encoding]
    maps = "IFB_BITMAP" if bitmap.encoding == "binary" else "IFA_BITMAP"
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f"<isopackager name={quoteattr(layout.title)}>",
        _line(0, 4, "Message type", mti),
        _line(1, min(bitmap.max_maps, 3) * 8, "Bitmap", maps),
    ]
    for number in sorted(layout.fields):
        lines += _element_out(layout.fields[number], number, str(number), notes)
    return Exported("\n".join([*lines, "</isopackager>", ""]), tuple(notes))


def _line(number: int, size: int, name: str, class_name: str, pad: str = "", indent: str = "  ") -> str:
    return (
        f'{indent}<isofield id="{number}" length="{size}" name={quoteattr(name)} class="{_PACKAGE}{class_name}"{pad}/>'
    )


def _element_out(field: Field, number: int, place: str, notes: list[Note], indent: str = "  ") -> list[str]:
    size = field.length.size if isinstance(field.length, Fixed) else field.length.max
    name = _class_out(field)
    if name is None:
        notes.append(Note("loss", place, "no class writes this length before this value: the element is left out"))
        return []
    pad = ""
    if field.encoding == "bcd":
        if field.pad_nibble is not None and field.pad_nibble.value not in _FILLS[field.pad_nibble.side]:
            notes.append(Note("loss", place, f"no class fills up with {field.pad_nibble.value}"))
        pad = ' pad="false"' if field.pad_nibble is not None and field.pad_nibble.side == "right" else ' pad="true"'
    inner: list[str] | None = None
    match field.parts:
        case Bitmapped(lead=(), elements=elements, bitmap_bytes=width) if field.encoding == "raw" and width <= 8:
            inner = [_line(0, width, "Bitmap", "IFB_BITMAP", indent=indent + "  ")]
            for sub, found in sorted(elements.items()):
                inner += _element_out(found, sub, f"{place}.{sub}", notes, indent + "  ")
        case Positional(elements=pieces) if field.encoding not in ("hex_ascii", "bcd", "sign_bcd"):
            if any(not piece.id.isdigit() for piece in pieces):
                notes.append(Note("remark", place, "its parts have numbers, not names"))
            inner = [
                _line(at, piece.bytes, piece.name, _piece_out(piece, field), indent=indent + "  ")
                for at, piece in enumerate(pieces, 1)
            ]
        case None:
            pass
        case parts:
            kind = type(parts).__name__.lower()
            notes.append(Note("loss", place, f"parts of kind {kind} have no place: the element stays whole"))
    if inner is None:
        return [_line(number, size, field.name, name, pad, indent)]
    bitmap = "true" if isinstance(field.parts, Bitmapped) else "false"
    head = (
        f'{indent}<isofieldpackager id="{number}" length="{size}" name={quoteattr(field.name)} class="{_PACKAGE}{name}"'
        f' packager="{_SUBFIELDS}" emitBitmap="{bitmap}">'
    )
    return [head, *inner, f"{indent}</isofieldpackager>"]


_FILLS: Final = {"left": "0", "right": "0F"}


def _class_out(field: Field) -> str | None:
    """Return the field class that writes an element; None if there is none."""
    length, encoding = field.length, field.encoding
    numeric = field.content == "n"
    if encoding == "latin1":
        encoding = "ascii"  # its ASCII is ISO 8859-1
    if isinstance(length, Fixed):
        fills = field.pad_nibble is not None and field.pad_nibble.side == "right" and field.pad_nibble.value == "F"
        signed = field.content == "x+n"
        return {
            "ascii": "IFA_AMOUNT" if signed else "IFA_NUMERIC" if numeric else "IF_CHAR",
            "ebcdic": "IFE_AMOUNT" if signed else "IFE_NUMERIC" if numeric else "IFE_CHAR",
            "bcd": "IFB_FNUMERIC" if fills else "IFB_NUMERIC",
            "sign_bcd": "IFB_AMOUNT", "raw": "IFB_BINARY", "hex_ascii": "IFA_BINARY",
        }[encoding]  # fmt: skip
    return _variable_class(length, field, encoding)


def _variable_class(length: Variable, field: Field, encoding: str) -> str | None:
    prefix = length.prefix
    value = {"bcd": "NUM", "raw": "BINARY"}.get(encoding, "CHAR")
    fill = ""
    if field.pad_nibble is not None and field.pad_nibble.side == "right" and field.pad_nibble.value == "F":
        fill = "F"
    match prefix.encoding:
        case "binary":
            if prefix.bytes > 2 or fill or encoding == "hex_ascii":
                return None
            return f"IFB_{'L' * (prefix.bytes + 1)}H{'E' if encoding == 'ebcdic' else ''}{value}"
        case "bcd":
            digits = prefix.digits or prefix.bytes * 2
            return None if encoding in ("ebcdic", "hex_ascii") or digits > 6 else f"IFB_{fill}{'L' * digits}{value}"
        case "ascii":
            family = {"ascii": "A", "ebcdic": "AE", "raw": "A", "bcd": "A", "hex_ascii": "A"}[encoding]
            value = {"bcd": "BNUM", "hex_ascii": "ABINARY"}.get(encoding, value)
        case "ebcdic":
            family = {"ascii": "EA", "ebcdic": "E", "raw": "E", "bcd": "EB"}.get(encoding, "")
    if not family or fill or prefix.bytes > 6:
        return None
    return f"IF{family}_{'L' * prefix.bytes}{value}"


def _piece_out(piece: Piece, field: Field) -> str:
    encoding = field.encoding if piece.encoding == "text" else piece.encoding
    return {"ebcdic": "IFE_CHAR", "raw": "IFB_BINARY"}.get(encoding, "IF_CHAR")
