"""How elements split further: BER-TLV, datasets, fixed pieces, nested bitmaps, tagged and delimited text, to any depth.

`split` gives the form the vectors use: `[[tag, value], ...]`, `{"items": ...}`, `{id: text}`; `join` is its inverse.
"""

from __future__ import annotations

import binascii
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shanraq.standards.iso8583.errors import Iso8583Error, truncated
from shanraq.standards.iso8583.layout import (
    BerTlv,
    Bitmapped,
    Datasets,
    Delimited,
    Field,
    Number,
    Parts,
    Piece,
    Positional,
    Tagged,
)
from shanraq.standards.iso8583.wire import page_of, reader_of, writer_of

_TAG_BYTES_LIMIT = 3
_DEPTH_LIMIT = 16


@dataclass(frozen=True, slots=True)
class Place:
    """Where the bytes of an element are: `base` in the message, `scale` bytes of it for each byte here."""

    path: str
    base: int
    scale: int
    encoding: str
    code_page: str | None

    def at(self, position: int) -> int:
        """Return the offset in the message."""
        return self.base + position * self.scale if self.base >= 0 else -1

    def within(self, name: str, position: int) -> Place:
        """Return the place of a part that begins at `position`."""
        return Place(f"{self.path}.{name}", self.at(position), self.scale, self.encoding, self.code_page)

    def text_encoding(self, encoding: str) -> str:
        """Return the encoding that `text` stands for."""
        return self.encoding if encoding == "text" else encoding


def place_of(field: Field, path: str, base: int, code_page: str | None) -> Place:
    """Return the place of an element's own data."""
    return Place(path, base, 2 if field.encoding == "hex_ascii" else 1, field.encoding, code_page)


def split(parts: Parts, data: bytes, place: Place) -> Any:
    """Split the data of an element; None for text of another shape than `delimited` says. Raises Iso8583Error."""
    match parts:
        case BerTlv():
            return _split_tlv(data, place)
        case Datasets():
            return _split_datasets(parts, data, place)
        case Positional():
            pieces, end = _split_pieces(parts.elements, data, 0, place, optional=parts.optional_tail or not data)
            _ends(data, end, place)
            return pieces
        case Bitmapped():
            return _split_bitmapped(parts, data, place)
        case Tagged():
            return _split_tagged(parts, data, place)
        case Delimited():
            return _split_delimited(parts, data, place)


def possible_sizes(field: Field, code_page: str | None) -> frozenset[int] | None:
    """Return the sizes in bytes of fixed pieces, if only their size can be wrong; None for everything else."""
    parts = field.parts
    if not isinstance(parts, Positional) or field.encoding == "hex_ascii":
        return None
    sizes = [0]
    for piece in parts.elements:
        encoding = field.encoding if piece.encoding == "text" else piece.encoding
        of_any_byte = encoding in ("raw", "bcd") or (encoding in ("ebcdic", "latin1") and code_page is not None)
        if piece.bytes < 1 or not (of_any_byte or (encoding == "ascii" and field.encoding == "ascii")):
            return None
        sizes.append(sizes[-1] + piece.bytes)
    return frozenset(sizes if parts.optional_tail else (0, sizes[-1]))


def whole_check(field: Field, path: str, code_page: str | None) -> Callable[[bytes], object] | None:
    """Return what raises for the bytes of an element that do not split as its parts say; None if all do."""
    parts = field.parts
    if parts is None or (isinstance(parts, Delimited) and parts.separator and field.encoding != "hex_ascii"):
        return None
    place = place_of(field, path, 0, code_page)
    if place.scale == 1:
        return lambda data: split(parts, data, place)
    return lambda data: split(parts, binascii.a2b_hex(data), place)


def join(parts: Parts, value: Any, place: Place) -> bytes:
    """Put the data of an element together from what `split` gives; raise Iso8583Error for anything else.

    What was written is split again: a tag that is none, a missing or overlong piece, a blank among hex digits would otherwise
    be written as something else.
    """
    data = _join(parts, value, place)
    if split(parts, data, place) != value:
        raise _malformed(place)
    return data


def _join(parts: Parts, value: Any, place: Place) -> bytes:
    try:
        match parts:
            case BerTlv():
                return _join_tlv(value, place)
            case Datasets():
                return b"".join(
                    bytes.fromhex(dataset["id"]).rjust(parts.id_bytes, b"\x00")
                    + len(body := _join_tlv(dataset["items"], place)).to_bytes(parts.length_bytes, "big")
                    + body
                    for dataset in value
                )
            case Positional():
                return _join_pieces(parts.elements, value, place)
            case Bitmapped():
                return _join_bitmapped(parts, value, place)
            case Tagged():
                return _join_tagged(parts, value, place)
            case Delimited():
                named = [str(value[name]) for name in parts.elements]
                tail = "".join(str(value[piece.id]) for piece in parts.tail)
                return _bytes_of(parts.separator.join([*named, tail]), "text", place)
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
        if isinstance(error, Iso8583Error):
            raise
        raise _malformed(place) from None


def _malformed(place: Place) -> Iso8583Error:
    return Iso8583Error("malformed_parts", place.path, -1, "the parts do not have the form their layout says")


def _ends(data: bytes, end: int, place: Place) -> None:
    if end != len(data):
        left = len(data) - end
        raise Iso8583Error(
            "trailing_bytes",
            place.path,
            place.at(end),
            f"{left} bytes are left after the last part",
            found=f"{left} bytes",
        )


def _take(data: bytes, at: int, size: int, place: Place) -> bytes:
    if at + size > len(data):
        raise truncated(place.path, place.at(at), size, len(data) - at)
    return data[at : at + size]


def _text_of(data: bytes, encoding: str, place: Place, at: int) -> str:
    encoding = place.text_encoding(encoding)
    if encoding in ("raw", "hex_ascii", "bcd"):
        return data.hex().upper()
    text = page_of(encoding, place.code_page).decode(data)
    if text is None:
        raise Iso8583Error("not_text", place.path, place.at(at), f"is not text in {encoding}")
    return text


def _bytes_of(text: str, encoding: str, place: Place) -> bytes:
    encoding = place.text_encoding(encoding)
    if encoding in ("raw", "hex_ascii", "bcd"):
        return bytes.fromhex(text)
    data = page_of(encoding, place.code_page).encode(text)
    if data is None:
        raise Iso8583Error("not_text", place.path, -1, f"is not text in {encoding}")
    return data


# BER-TLV and datasets


def _split_tlv(data: bytes, place: Place) -> list[list[str]]:
    items: list[list[str]] = []
    digits = data.hex().upper()
    for start, at, body, end in _tlv_places(data, place):
        items.append([digits[2 * start : 2 * at], digits[2 * body : 2 * end]])
    return items


def tlv_frame(data: bytes) -> int:
    """Return what masks all but the tags and lengths of well-formed BER-TLV, as a big-endian number. Raises Iso8583Error."""
    mask = bytearray(b"\xff" * len(data))
    for _, _, body, end in _tlv_places(data, Place("", 0, 1, "raw", None)):
        mask[body:end] = bytes(end - body)
    return int.from_bytes(mask, "big")


def _tlv_places(data: bytes, place: Place) -> Iterator[tuple[int, int, int, int]]:
    """Yield where each tag, its length, its value begin, and where the value ends."""
    at, end = 0, len(data)
    while at < end:
        start, first = at, data[at]
        at += 1
        if first & 0x1F == 0x1F:
            if first == 0xFF:
                continue
            if at < end and data[at] & 0x80:
                at += 1
            if at >= end or data[at] & 0x80:
                raise Iso8583Error("bad_tag", place.path, place.at(start), "a tag is cut or too long")
            at += 1
        elif not first:  # as FF, padding between the tags (EMV book 3, annex B)
            continue
        form = at
        if at >= end:
            inner = _tag_place(data, start, form, place)
            raise truncated(inner.path, place.at(at), 1, 0)
        length = data[at]
        at += 1
        if length in (0x81, 0x82):
            size = length & 0x7F
            if at + size > end:
                inner = _tag_place(data, start, form, place)
                raise truncated(inner.path, place.at(form), size, end - at)
            length = int.from_bytes(data[at : at + size], "big")
            at += size
        elif length >= 0x80:
            inner = _tag_place(data, start, form, place)
            raise Iso8583Error(
                "bad_length", inner.path, place.at(form), "a length has one, two or three bytes (00-7F, 81, 82)"
            )
        if at + length > end:
            inner = _tag_place(data, start, form, place)
            raise truncated(inner.path, place.at(at), length, end - at)
        yield start, form, at, at + length
        at += length


def _tag_place(data: bytes, start: int, end: int, place: Place) -> Place:
    return place.within(data[start:end].hex().upper(), 0)


def _join_tlv(items: Iterable[Sequence[str]], place: Place) -> bytes:
    written = bytearray()
    for tag, value in items:
        name, data = bytes.fromhex(tag), bytes.fromhex(value)
        if not 1 <= len(name) <= _TAG_BYTES_LIMIT or len(data) > 0xFFFF:
            raise _malformed(place)
        written += name
        if len(data) < 0x80:
            written.append(len(data))
        elif len(data) < 0x100:
            written += bytes((0x81, len(data)))
        else:
            written += b"\x82" + len(data).to_bytes(2, "big")
        written += data
    return bytes(written)


def _split_datasets(parts: Datasets, data: bytes, place: Place) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    at = 0
    while at < len(data):
        name = _take(data, at, parts.id_bytes, place).hex().upper()
        at += parts.id_bytes
        inner = place.within(name, 0)
        size = int.from_bytes(_take(data, at, parts.length_bytes, inner), "big")
        at += parts.length_bytes
        body = _take(data, at, size, inner)
        found.append({"id": name, "items": _split_tlv(body, place.within(name, at))})
        at += size
    return found


# Pieces of fixed size


def _split_pieces(
    pieces: Sequence[Piece], data: bytes, at: int, place: Place, *, optional: bool
) -> tuple[dict[str, str], int]:
    found: dict[str, str] = {}
    for piece in pieces:
        if optional and at == len(data):
            break
        inner = place.within(piece.id, 0)
        taken = _take(data, at, piece.bytes, inner)
        found[piece.id] = _text_of(taken, piece.encoding, inner, at)
        at += piece.bytes
    return found, at


def _join_pieces(pieces: Sequence[Piece], value: Mapping[str, str], place: Place) -> bytes:
    written = b""
    for piece in pieces:
        if piece.id not in value:
            break
        data = _bytes_of(value[piece.id], piece.encoding, place)
        if len(data) != piece.bytes:
            raise Iso8583Error(
                "wrong_size", f"{place.path}.{piece.id}", -1, f"has {len(data)} bytes, not {piece.bytes}",
                expected=f"{piece.bytes} bytes", found=f"{len(data)} bytes",
            )  # fmt: skip
        written += data
    if unknown := value.keys() - {piece.id for piece in pieces}:
        raise Iso8583Error("unknown_field", f"{place.path}.{min(unknown)}", -1, "is not in the layout")
    return written


# A bitmap and what it announces


def _split_bitmapped(parts: Bitmapped, data: bytes, place: Place) -> dict[str, Any]:
    found: dict[str, Any] = {}
    at = 0
    if not data:
        return {"items": {}}
    if parts.lead:
        found["lead"], at = _split_pieces(parts.lead, data, at, place, optional=False)
    bits = int.from_bytes(_take(data, at, parts.bitmap_bytes, place), "big")
    at += parts.bitmap_bytes
    items: dict[str, str] = {}
    width = parts.bitmap_bytes * 8
    for number in range(1, width + 1):
        if not bits >> (width - number) & 1:
            continue
        path = f"{place.path}.{number}"
        field = parts.elements.get(number)
        if field is None:
            raise Iso8583Error("unknown_field", path, place.at(at), "is not in the layout")
        try:
            items[str(number)], _, at = reader_of(field, path, place.code_page)(data, at, len(data))
        except Iso8583Error as error:
            error.offset = place.at(error.offset)
            raise
    _ends(data, at, place)
    found["items"] = items
    return found


def _join_bitmapped(parts: Bitmapped, value: Mapping[str, Any], place: Place) -> bytes:
    items = {int(number): text for number, text in value["items"].items()}
    lead = _join_pieces(parts.lead, value.get("lead", {}), place)
    bits, body = 0, b""
    for number in sorted(items):
        path = f"{place.path}.{number}"
        if number not in parts.elements:
            raise Iso8583Error("unknown_field", path, -1, "is not in the layout")
        bits |= 1 << (parts.bitmap_bytes * 8 - number)
        body += writer_of(parts.elements[number], path, place.code_page)(items[number])
    return lead + bits.to_bytes(parts.bitmap_bytes, "big") + body


# Tag, length, value in characters


def _split_tagged(parts: Tagged, data: bytes, place: Place, depth: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = {}
    at = 0
    if parts.lead:
        found["lead"], at = _split_pieces(parts.lead, data, at, place, optional=not data)
    items: list[list[Any]] = []
    while at < len(data):
        tag = _text_of(_take(data, at, parts.tag.digits, place), parts.tag.encoding, place, at)
        at += parts.tag.digits
        inner = place.within(tag if tag.isascii() and tag.isalnum() else "?", 0)
        size = _size_of(_take(data, at, parts.length.digits, inner), parts.length, inner, at)
        at += parts.length.digits
        body = _take(data, at, size, inner)
        child = parts.children.get(tag)
        if child is None:
            items.append([tag, _text_of(body, "text", inner, at)])
        else:
            if depth >= _DEPTH_LIMIT:
                raise Iso8583Error("too_deep", inner.path, place.at(at), f"more than {_DEPTH_LIMIT} levels")
            items.append([tag, _split_tagged(child, body, place.within(tag, at), depth + 1)["items"]])
        at += size
    found["items"] = items
    return found


def _size_of(data: bytes, number: Number, place: Place, at: int) -> int:
    text = _text_of(data, number.encoding, place, at)
    if not (text.isascii() and text.isdigit()):
        raise Iso8583Error(
            "bad_length",
            place.path,
            place.at(at),
            "the length is not decimal",
            expected=f"{number.digits} decimal digits",
        )
    return int(text)


def _join_tagged(parts: Tagged, value: Any, place: Place) -> bytes:
    lead = _join_pieces(parts.lead, value.get("lead", {}), place) if isinstance(value, Mapping) else b""
    written = lead
    for tag, content in value["items"] if isinstance(value, Mapping) else value:
        child = parts.children.get(tag)
        body = (
            _bytes_of(content, "text", place) if child is None else _join_tagged(child, content, place.within(tag, 0))
        )
        length = f"{len(body):0{parts.length.digits}d}"
        if len(tag) != parts.tag.digits or len(length) != parts.length.digits:
            raise Iso8583Error("wrong_size", f"{place.path}.{tag}", -1, "does not fit its tag and length")
        written += _bytes_of(tag, parts.tag.encoding, place) + _bytes_of(length, parts.length.encoding, place) + body
    return written


# Pieces with separators


def _split_delimited(parts: Delimited, data: bytes, place: Place) -> dict[str, str] | None:
    pieces = _text_of(data, "text", place, 0).split(parts.separator)
    size = sum(piece.bytes for piece in parts.tail)
    if len(pieces) != len(parts.elements) + 1 or len(pieces[-1]) != size:
        return None
    found = dict(zip(parts.elements, pieces, strict=False))
    at = 0
    for piece in parts.tail:
        found[piece.id] = pieces[-1][at : at + piece.bytes]
        at += piece.bytes
    return found
