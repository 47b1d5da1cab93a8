"""How elements split further: BER-TLV, datasets, fixed pieces, nested bitmaps, tagged and delimited text, to any depth.

`split` gives the form the vectors use: `[[tag, value], ...]`, `{"items": ...}`, `{id: text}`; `join` is its inverse.
"""

from __future__ import annotations

import binascii
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from shanraq.standards.iso8583.errors import Iso8583Error, truncated
from shanraq.standards.iso8583.layout import (
    DBM_ELEMENTS_LIMIT,
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
from shanraq.standards.iso8583.wire import Reader, Writer, page_of, reader_of, writer_of

_TAG_BYTES_LIMIT = 3
_DEPTH_LIMIT = 16
_FIRST_DBM: Final = 0x71
_WORD_BITS: Final = 16
_NEXT_WORD_BITS: Final = 8


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
                    + len(body := _join_dataset(parts, dataset, place)).to_bytes(parts.length_bytes, "big")
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
        inner = place.within(name, 0)
        if parts.dbm is not None and name in ("00", "FF"):
            raise Iso8583Error(
                "bad_tag", place.path, place.at(at), "a dataset has an id from 01 to FE", expected="01 to FE"
            )
        at += parts.id_bytes
        size = int.from_bytes(_take(data, at, parts.length_bytes, inner), "big")
        if parts.dbm is not None and not size:
            raise Iso8583Error(
                "bad_length", inner.path, place.at(at), "a dataset is never empty", expected="1 byte or more"
            )
        at += parts.length_bytes
        body = _take(data, at, size, inner)
        found.append(_split_dataset(parts, name, body, place.within(name, at)))
        at += size
    return found


def _split_dataset(parts: Datasets, name: str, body: bytes, place: Place) -> dict[str, Any]:
    if parts.dbm is None:
        return {"id": name, "items": _split_tlv(body, place)}
    if int(name, 16) < _FIRST_DBM:
        return {"id": name, "format": "tlv", "items": _split_tlv(body, place)}
    if not parts.dbm:
        return {"id": name, "format": "hex", "content": body.hex().upper()}
    return {"id": name, "format": "dbm", **_split_dbm(parts.dbm, body, place)}


def _join_dataset(parts: Datasets, dataset: Mapping[str, Any], place: Place) -> bytes:
    if parts.dbm is None or int(dataset["id"], 16) < _FIRST_DBM:
        return _join_tlv(dataset["items"], place)
    if not parts.dbm:
        return bytes.fromhex(dataset["content"])
    return _join_dbm(parts.dbm, dataset, place.within(str(dataset["id"]), 0))


# The data bitmap of ISO 8583:2023: a word of 16 bits, then words of 8. The first bit of each says that another follows, the
# last bit of the last that BER-TLV follows the elements; all others number the elements from 1.


def _split_dbm(elements: dict[int, Field], data: bytes, place: Place) -> dict[str, Any]:
    numbers: list[int] = []
    at, base, width = 0, 0, _WORD_BITS
    while True:
        word = int.from_bytes(_take(data, at, width // 8, place), "big")
        more = bool(word >> (width - 1))
        numbers += [base + bit for bit in range(1, width if more else width - 1) if word >> (width - 1 - bit) & 1]
        at += width // 8
        if not more:
            break
        base += width - 1
        width = _NEXT_WORD_BITS
        if base >= DBM_ELEMENTS_LIMIT:
            raise Iso8583Error("bad_bitmap", place.path, place.at(0), "the data bitmap has too many words")
    items, at = _read_elements(elements, numbers, data, at, place)
    found: dict[str, Any] = {"elements": items}
    if not word & 1:
        _ends(data, at, place)
        return found
    if at == len(data):
        raise truncated(place.path, place.at(at), 1, 0)
    rest = Place(place.path, place.at(at), place.scale, place.encoding, place.code_page)
    found["items"] = _split_tlv(data[at:], rest)
    return found


def _join_dbm(elements: dict[int, Field], dataset: Mapping[str, Any], place: Place) -> bytes:
    numbers, body = _write_elements(elements, dataset["elements"], place)
    last = max(numbers, default=0)
    bits = _WORD_BITS - 2
    while bits < last:
        bits += _NEXT_WORD_BITS - 1
    words, base, width = b"", 0, _WORD_BITS
    while True:
        more = base + width - 2 < bits
        most = base + width - (1 if more else 2)
        word = sum(1 << (width - 1 - (number - base)) for number in numbers if base < number <= most)
        if more:
            word |= 1 << (width - 1)
        elif "items" in dataset:
            word |= 1
        words += word.to_bytes(width // 8, "big")
        if not more:
            break
        base += width - 1
        width = _NEXT_WORD_BITS
    return words + body + (_join_tlv(dataset["items"], place) if "items" in dataset else b"")


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


class _Prepared(NamedTuple):
    """Readers and writers of sub-elements; `elements` keeps alive what its place in the table is named by."""

    elements: dict[int, Field]
    readers: dict[int, Reader]
    writers: dict[int, Writer]


_PREPARED_LIMIT: Final = 1024
_prepared: dict[tuple[int, str | None], _Prepared] = {}


def _prepare(elements: dict[int, Field], code_page: str | None) -> _Prepared:
    """Return the readers and writers of sub-elements, made once: building them costs more than reading with them."""
    key = (id(elements), code_page)
    found = _prepared.get(key)
    if found is None:
        if len(_prepared) >= _PREPARED_LIMIT:
            _prepared.clear()
        found = _prepared[key] = _Prepared(
            elements,
            {number: reader_of(field, str(number), code_page) for number, field in elements.items()},
            {number: writer_of(field, str(number), code_page) for number, field in elements.items()},
        )
    return found


def _read_elements(
    elements: dict[int, Field], numbers: Iterable[int], data: bytes, at: int, place: Place
) -> tuple[dict[str, Any], int]:
    """Return sub-elements by number, those that split further split, and where they end."""
    readers = _prepare(elements, place.code_page).readers
    items: dict[str, Any] = {}
    for number in numbers:
        read = readers.get(number)
        if read is None:
            raise Iso8583Error("unknown_field", f"{place.path}.{number}", place.at(at), "is not in the layout")
        try:
            value, start, at = read(data, at, len(data))
        except Iso8583Error as error:
            error.field, error.offset = f"{place.path}.{error.field}", place.at(error.offset)
            raise
        field = elements[number]
        if field.parts is None:
            items[str(number)] = value
            continue
        inner = _inner_place(field, number, place, start)
        content = bytes.fromhex(value) if field.encoding == "hex_ascii" else data[start:at]
        found = split(field.parts, content, inner)
        items[str(number)] = value if found is None else found
    return items, at


def _write_elements(elements: dict[int, Field], given: Mapping[str, Any], place: Place) -> tuple[list[int], bytes]:
    writers = _prepare(elements, place.code_page).writers
    items = {int(number): text for number, text in given.items()}
    body = b""
    for number in sorted(items):
        write = writers.get(number)
        if write is None:
            raise Iso8583Error("unknown_field", f"{place.path}.{number}", -1, "is not in the layout")
        field, value = elements[number], items[number]
        if field.parts is not None and not isinstance(value, str):
            inner = _inner_place(field, number, place, 0)
            value = _text_of(join(field.parts, value, inner), "text", inner, 0)
        try:
            body += write(value)
        except Iso8583Error as error:
            error.field = f"{place.path}.{error.field}"
            raise
    return sorted(items), body


def _inner_place(field: Field, number: int, place: Place, start: int) -> Place:
    scale = place.scale * (2 if field.encoding == "hex_ascii" else 1)
    return Place(f"{place.path}.{number}", place.at(start), scale, field.encoding, place.code_page)


def _split_bitmapped(parts: Bitmapped, data: bytes, place: Place) -> dict[str, Any]:
    found: dict[str, Any] = {}
    at = 0
    if not data:
        return {"items": {}}
    if parts.lead:
        found["lead"], at = _split_pieces(parts.lead, data, at, place, optional=False)
    bits = int.from_bytes(_take(data, at, parts.bitmap_bytes, place), "big")
    at += parts.bitmap_bytes
    width = parts.bitmap_bytes * 8
    numbers = [number for number in range(1, width + 1) if bits >> (width - number) & 1]
    found["items"], at = _read_elements(parts.elements, numbers, data, at, place)
    _ends(data, at, place)
    return found


def _join_bitmapped(parts: Bitmapped, value: Mapping[str, Any], place: Place) -> bytes:
    lead = _join_pieces(parts.lead, value.get("lead", {}), place)
    numbers, body = _write_elements(parts.elements, value["items"], place)
    bits = sum(1 << (parts.bitmap_bytes * 8 - number) for number in numbers)
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
