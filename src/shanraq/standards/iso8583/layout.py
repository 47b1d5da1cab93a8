"""A layout: how the messages of one link are written (schema iso8583-layout/1), as data.

layout = Layout.from_json(text)       # raises LayoutError with the place
layout.to_json()                      # the same layout again
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import msgspec

from shanraq.standards.iso8583.errors import LayoutError

SCHEMA = "iso8583-layout/1"
MAP_BITS = 64
DBM_ELEMENTS_LIMIT = 126  # sixteen continuation words: 15 elements, 15 times 7, 6
_BITMAP_BYTES_LIMIT = 32

TextEncoding: TypeAlias = Literal["ascii", "latin1", "ebcdic"]
Encoding: TypeAlias = Literal["ascii", "latin1", "ebcdic", "bcd", "sign_bcd", "raw", "hex_ascii"]
Unit: TypeAlias = Literal["characters", "digits", "bytes"]
Edition: TypeAlias = Literal["1987", "1993", "2003", "2023"]
ContentClass: TypeAlias = Literal["n", "a", "an", "anp", "ans", "ns", "z", "b", "x+n"]


class _Strict(msgspec.Struct, forbid_unknown_fields=True, frozen=True, omit_defaults=True):
    """A piece of a layout: what is not known is refused."""


class Prefix(_Strict, frozen=True):
    """The length before a variable element: `bytes` wide on the wire; `digits` decimal digits, if it has any."""

    encoding: Literal["ascii", "ebcdic", "bcd", "binary"]
    bytes: int
    digits: int | None = None


class Fixed(_Strict, frozen=True, tag_field="kind", tag="fixed"):
    """An element of one length."""

    size: int
    unit: Unit


class Variable(_Strict, frozen=True, tag_field="kind", tag="variable"):
    """An element with its length before it; `max` in the same unit."""

    max: int
    unit: Unit
    prefix: Prefix


class PadNibble(_Strict, frozen=True):
    """What fills the odd half byte of digits; written, and passed over when reading."""

    side: Literal["left", "right"]
    value: str


class Piece(_Strict, frozen=True):
    """A part of fixed size; `text` is the encoding of the element it is in."""

    id: str
    name: str
    bytes: int
    encoding: Literal["text", "ascii", "ebcdic", "raw"]


class Number(_Strict, frozen=True):
    """A tag or length of so many characters."""

    digits: int
    encoding: Literal["text", "ascii", "ebcdic"]


class BerTlv(_Strict, frozen=True, tag_field="kind", tag="ber_tlv"):
    """BER-TLV (ISO 8825-1, as in EMV): tags of up to three bytes, lengths of up to two."""


class Positional(_Strict, frozen=True, tag_field="kind", tag="positional"):
    """Pieces one after the other; with `optional_tail` the element may end after any of them."""

    elements: tuple[Piece, ...]
    optional_tail: bool = False


class Delimited(_Strict, frozen=True, tag_field="kind", tag="delimited"):
    """Pieces with a separator between them; what follows the last one splits into `tail`. Other shapes stay text."""

    separator: str
    elements: tuple[str, ...]
    tail: tuple[Piece, ...]


class Tagged(_Strict, frozen=True, tag_field="kind", tag="tagged"):
    """Tag, decimal length, value, in characters; `children` are tags whose values are tagged again."""

    tag: Number
    length: Number
    lead: tuple[Piece, ...] = ()
    children: dict[str, Tagged] = {}


class Bitmapped(_Strict, frozen=True, tag_field="kind", tag="bitmapped"):
    """A bitmap (bit n = sub-element n) and the sub-elements it announces."""

    bitmap_bytes: int
    extension_bit: bool
    elements: dict[int, Field]
    lead: tuple[Piece, ...] = ()


class Datasets(_Strict, frozen=True, tag_field="kind", tag="datasets"):
    """Datasets: an id, a binary length, then `content`.

    With `dbm` they are those of ISO 8583:2023: from id 71 (hex) on the content is a data bitmap and the elements it announces,
    of which `dbm` has the definitions; without any, such content stays hex.
    """

    id_bytes: int
    length_bytes: int
    content: BerTlv
    dbm: dict[int, Field] | None = None


Parts: TypeAlias = BerTlv | Positional | Delimited | Tagged | Bitmapped | Datasets


class Field(_Strict, frozen=True):
    """An element: name, content class, length, encoding, and how it splits further."""

    name: str
    content: ContentClass = msgspec.field(name="class")
    length: Fixed | Variable
    encoding: Encoding
    format: str | None = None
    note: str | None = None
    pad_nibble: PadNibble | None = None
    parts: Parts | None = None


class HeaderPiece(_Strict, frozen=True):
    """A part of the header."""

    id: str
    name: str
    offset: int
    bytes: int
    encoding: Literal["raw", "ascii"]


class Header(_Strict, frozen=True):
    """What stands before the MTI: so many bytes, shown as hex or text."""

    bytes: int
    value_form: Literal["hex", "text"]
    elements: tuple[HeaderPiece, ...]


class Mti(_Strict, frozen=True):
    """How the message type is written: four characters, or two BCD bytes."""

    encoding: Literal["ascii", "ebcdic", "bcd"]


class Bitmap(_Strict, frozen=True):
    """How the bitmaps are written, and how many there may be."""

    encoding: Literal["binary", "hex_ascii"]
    min_maps: int
    max_maps: int
    extension_bit: bool
    hex_case_out: Literal["upper", "lower"] | None = None


class Layout(_Strict, frozen=True):
    """A whole layout."""

    schema: Literal["iso8583-layout/1"]
    id: str
    title: str
    iso_version: Edition
    mti: Mti
    bitmap: Bitmap
    fields: dict[int, Field]
    evidence: str = ""
    charset: Literal["latin1", "cp037", "cp500", "cp1047"] | None = None
    header: Header | None = None
    notes: tuple[str, ...] = ()

    @classmethod
    def from_json(cls, text: bytes | str) -> Layout:
        """Read a layout; raise LayoutError naming the place that is wrong."""
        try:
            layout = msgspec.json.decode(text, type=cls)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise LayoutError(str(error)) from None
        except RecursionError:
            raise LayoutError("fields: parts are nested too deep") from None
        _check(layout)
        return layout

    def to_json(self) -> bytes:
        """Write the layout in its own format."""
        plain: dict[str, Any] = msgspec.to_builtins(self, str_keys=True)
        plain.setdefault("header", None)
        plain.setdefault("evidence", "")
        return msgspec.json.format(msgspec.json.encode(plain), indent=1)


def _check(layout: Layout) -> None:
    bitmap = layout.bitmap
    _must(1 <= bitmap.min_maps <= bitmap.max_maps, "bitmap", "needs 1 <= min_maps <= max_maps")
    if layout.header is not None:
        _must(layout.header.bytes > 0, "header", "has no bytes")
        for piece in layout.header.elements:
            fits = piece.offset >= 0 and piece.bytes > 0 and piece.offset + piece.bytes <= layout.header.bytes
            _must(fits, f"header.{piece.id}", "lies outside of the header")
    if layout.mti.encoding == "ebcdic":
        _must(layout.charset not in (None, "latin1"), "charset", "an EBCDIC layout names its code page")
    for number, field in layout.fields.items():
        _must(1 <= number <= bitmap.max_maps * MAP_BITS, f"fields.{number}", "lies outside of the bitmaps")
        _must(number % MAP_BITS != 1, f"fields.{number}", "is the first bit of a bitmap, never an element")
        _check_field(layout, field, f"fields.{number}")


def _check_field(layout: Layout, field: Field, place: str) -> None:
    length, encoding = field.length, field.encoding
    unit = {"bcd": "digits", "raw": "bytes", "hex_ascii": "bytes"}.get(encoding, "characters")
    _must(length.unit == unit, place, f"a length in {length.unit} does not go with {encoding}")
    if encoding in ("ebcdic", "latin1"):
        right = layout.charset == "latin1" if encoding == "latin1" else layout.charset not in (None, "latin1")
        _must(right, place, f"{encoding} needs the layout's charset")
    if encoding == "sign_bcd":
        _must(isinstance(length, Fixed) and length.size > 1, place, "a signed amount has a fixed size above 1")
    if field.pad_nibble is not None:
        _must(field.pad_nibble.value in tuple("0123456789ABCDEF"), place, "pad_nibble must be one hex digit")
    if isinstance(length, Fixed):
        _must(length.size > 0, place, "has no size")
    else:
        _must(length.max > 0, place, "has no size")
        _check_prefix(length.prefix, place)
    match field.parts:
        case Bitmapped(bitmap_bytes=size, elements=elements):
            _must(1 <= size <= _BITMAP_BYTES_LIMIT, place, f"a bitmap has 1 to {_BITMAP_BYTES_LIMIT} bytes")
            for number, element in elements.items():
                _must(1 <= number <= size * 8, f"{place}.{number}", "lies outside of the bitmap")
                _check_field(layout, element, f"{place}.{number}")
        case Datasets(id_bytes=id_bytes, length_bytes=length_bytes, dbm=dbm):
            _must(1 <= id_bytes <= 4 and 1 <= length_bytes <= 4, place, "id and length of a dataset have 1 to 4 bytes")
            _must(
                dbm is None or (id_bytes, length_bytes) == (1, 2),
                place,
                "datasets with dbm have id 1 and length 2 bytes",
            )
            for number, element in (dbm or {}).items():
                _must(1 <= number <= DBM_ELEMENTS_LIMIT, f"{place}.{number}", "lies outside of the data bitmap")
                _check_field(layout, element, f"{place}.{number}")
        case _:
            pass


def _check_prefix(prefix: Prefix, place: str) -> None:
    _must(1 <= prefix.bytes <= 8, place, "a length has 1 to 8 bytes")
    if prefix.encoding != "binary":
        most = prefix.bytes * 2 if prefix.encoding == "bcd" else prefix.bytes
        _must(prefix.digits is None or most - 1 <= prefix.digits <= most, place, "digits and bytes do not fit")


def _must(right: bool, place: str, text: str) -> None:
    if not right:
        raise LayoutError(f"{place}: {text}")
