"""Read and write messages of one layout.

codec = Codec(layout)
message = codec.decode(raw)                  # Iso8583Error with code, field, offset, and what was decoded so far
assert codec.encode(message) == raw
"""

from __future__ import annotations

import binascii
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from shanraq.standards.iso8583 import parts as splitting
from shanraq.standards.iso8583.content import check_of, expected_of, is_moment, is_mti, passes_luhn
from shanraq.standards.iso8583.engines import Engine, fast_path
from shanraq.standards.iso8583.engines import engine as fastest_engine
from shanraq.standards.iso8583.errors import Iso8583Error, Level, truncated
from shanraq.standards.iso8583.layout import MAP_BITS, BerTlv, Field, Layout, Parts
from shanraq.standards.iso8583.message import Message, Span
from shanraq.standards.iso8583.wire import Reader, Writer, page_of, reader_of, write_bitmaps, writer_of

_MTI: Final = 0
_PAN: Final = 2
_RANK: Final = {Level.STRUCTURE: 0, Level.CONTENT: 1, Level.SEMANTIC: 2}
_STRUCTURE: Final = Level.STRUCTURE
_CONTENT: Final = Level.CONTENT
_HEX: Final = frozenset(b"0123456789ABCDEFabcdef")


class _Element(NamedTuple):
    field: Field
    read: Reader
    write: Writer
    is_content: Callable[[str], object]
    parts: Parts | None


class Codec:
    """Reads and writes the messages of a layout. Bytes behind the last element are an error, as is every doubt.

    `engine` says by what: the fastest there is unless it is named. All give the same results: what a fast one does not plainly
    know how to read or write goes the exact way.
    """

    def __init__(self, layout: Layout, engine: Engine | None = None) -> None:
        self.layout: Final = layout
        page = layout.charset
        self._elements: Final = {
            number: _Element(
                field,
                reader_of(field, str(number), page),
                writer_of(field, str(number), page),
                check_of(field),
                field.parts,
            )
            for number, field in layout.fields.items()
        }
        self._map_bytes = 8 if layout.bitmap.encoding == "binary" else 16
        self.engine: Final = engine or fastest_engine()
        self._fast: Final = fast_path(self.engine, layout, self, self._head_of)
        self._read: Final[Callable[[bytes], Message | None]] = self._fast.read

    # Reading

    def decode(self, raw: bytes, level: Level = _CONTENT) -> Message:
        """Read a message whole, checked up to `level`.

        Raises Iso8583Error; its `partial` is the message as far as it could be read.
        """
        if type(raw) is not bytes:
            raw = bytes(raw)
        if level is _CONTENT:
            return self._read(raw) or self._decode_exactly(raw, level)
        rank = _RANK[level]
        message = self._read(raw) if rank else self._fast.read_bare(raw)
        if message is None:
            return self._decode_exactly(raw, level)
        if rank > _RANK[_CONTENT]:
            try:
                self._check_meaning(message)
            except Iso8583Error as error:
                error.partial = message
                raise
        return message

    def _decode_exactly(self, raw: bytes, level: Level) -> Message:
        message = Message("")
        try:
            self._decode(raw, message)
            self._check(message, _RANK[level])
        except Iso8583Error as error:
            error.partial = message
            raise
        return message

    def peek(self, raw: bytes, *numbers: int) -> dict[int, str]:
        """Return some elements without reading what stands behind them; those that are not there are left out. 0 is the type.

        Raises Iso8583Error for what is wrong before them.
        """
        if type(raw) is not bytes:
            raw = bytes(raw)
        found = self._fast.peek(raw, numbers)
        return self._peek_exactly(raw, numbers) if found is None else found

    def _peek_exactly(self, raw: bytes, numbers: Sequence[int]) -> dict[int, str]:
        mti, present, at = self._head_of(raw)
        wanted, last = set(numbers), max(numbers, default=0)
        found: dict[int, str] = {_MTI: mti} if _MTI in wanted else {}
        for number in present:
            if number > last:
                break
            value, _, at = self._element(number, at).read(raw, at, len(raw))
            if number in wanted:
                found[number] = value
        return found

    def _head_of(self, raw: bytes) -> tuple[str, list[int], int]:
        """Return the type, the numbers of the elements, and where the first of them begins."""
        message = Message("")
        present, at = self._read_bitmaps(raw, self._read_head(raw, message))
        return message.mti, present, at

    # What a message that was read says about itself when it is asked

    def spans_of(self, raw: bytes) -> dict[int, Span]:
        """Return where the elements of a message are; raise Iso8583Error for one that cannot be taken apart."""
        found = self._fast.spans(raw)
        if found is None:
            message = Message("")
            self._decode(raw, message)
            found = message.spans
        return found

    def parts_of(self, raw: bytes, spans: Mapping[int, Span]) -> dict[int, Any]:
        """Return the elements that split further; raise Iso8583Error for one that does not."""
        found: dict[int, Any] = {}
        for number, (_, data, end) in spans.items():
            if number != _MTI and self._elements[number].parts is not None:
                split = self._split(number, raw, data, end)
                if split is not None:
                    found[number] = split
        return found

    def header_parts_of(self, raw: bytes) -> dict[str, str]:
        """Return the parts of the header."""
        message = Message("")
        if self.layout.header is not None:
            self._read_head(raw, message)
        return message.header_parts

    def _split(self, number: int, raw: bytes, data: int, end: int) -> Any:
        element = self._elements[number]
        assert element.parts is not None
        place = splitting.place_of(element.field, str(number), data, self.layout.charset)
        content = raw[data:end] if place.scale == 1 else binascii.a2b_hex(raw[data:end])
        if isinstance(element.parts, BerTlv) and (items := self._fast.tlv(content)) is not None:
            return items
        return splitting.split(element.parts, content, place)

    def _decode(self, raw: bytes, message: Message) -> None:
        at = self._read_head(raw, message)
        present, at = self._read_bitmaps(raw, at)
        end = len(raw)
        for number in present:
            element = self._element(number, at)
            value, data, after = element.read(raw, at, end)
            message.fields[number] = value
            message.spans[number] = Span(at, data, after)
            if element.parts is not None:
                split = self._split(number, raw, data, after)
                if split is not None:
                    message.parts[number] = split
            at = after
        if at != end:
            raise Iso8583Error(
                "trailing_bytes", "end", at, f"{end - at} bytes follow the last element", found=f"{end - at} bytes"
            )

    def _read_head(self, raw: bytes, message: Message) -> int:
        header, at = self.layout.header, 0
        if header is not None:
            at = header.bytes
            if len(raw) < at:
                raise truncated("header", 0, at, len(raw))
            if header.value_form == "text":
                if not raw[:at].isascii():
                    raise Iso8583Error("not_text", "header", 0, "is not text in ascii", expected="text in ascii")
                message.header = raw[:at].decode("ascii")
            else:
                message.header = raw[:at].hex().upper()
            for piece in header.elements:
                data = raw[piece.offset : piece.offset + piece.bytes]
                shown = data.decode("latin-1") if piece.encoding == "ascii" else data.hex().upper()
                message.header_parts[piece.id] = shown
        encoding = self.layout.mti.encoding
        size = 2 if encoding == "bcd" else 4
        if len(raw) < at + size:
            raise truncated("mti", at, size, len(raw) - at)
        data = raw[at : at + size]
        if encoding == "bcd":
            message.mti = data.hex().upper()
        else:
            text = page_of(encoding, self.layout.charset).decode(data)
            if text is None:
                raise Iso8583Error("not_text", "mti", at, "is not text in ascii", expected="text in ascii")
            message.mti = text
        message.spans[_MTI] = Span(at, at, at + size)
        return at + size

    def _read_bitmaps(self, raw: bytes, at: int) -> tuple[list[int], int]:
        """Return the numbers of the elements that follow, in order, and where the first of them begins."""
        rules = self.layout.bitmap
        present: list[int] = []
        count = 0
        while True:
            bits = self._read_map(raw, at)
            extended = bits >> (MAP_BITS - 1)
            count += 1
            if rules.extension_bit:
                more = bool(extended)
                if more and count >= rules.max_maps:
                    raise Iso8583Error(
                        "too_many_bitmaps", "bitmap", at, f"announces bitmap {count + 1}, there are {rules.max_maps} at most",
                        expected=f"at most {rules.max_maps} bitmaps",
                    )  # fmt: skip
                if not more and count < rules.min_maps:
                    raise Iso8583Error(
                        "missing_bitmap", "bitmap", at, f"does not announce bitmap {count + 1}, which is always there",
                        expected=f"{rules.min_maps} bitmaps", found=f"{count}",
                    )  # fmt: skip
            else:
                if extended:
                    raise Iso8583Error("bad_bitmap", "bitmap", at, "the first bit of a bitmap must be 0 here")
                more = count < rules.max_maps
            base = (count - 1) * MAP_BITS
            rest = bits & ((1 << (MAP_BITS - 1)) - 1)
            while rest:
                number = MAP_BITS - rest.bit_length() + 1
                present.append(base + number)
                rest &= (1 << (MAP_BITS - number)) - 1
            at += self._map_bytes
            if not more:
                return present, at

    def _read_map(self, raw: bytes, at: int) -> int:
        data = raw[at : at + self._map_bytes]
        if len(data) < self._map_bytes:
            raise truncated("bitmap", at, self._map_bytes, len(data))
        if self._map_bytes == MAP_BITS // 8:
            return int.from_bytes(data, "big")
        if not _HEX.issuperset(data):
            raise Iso8583Error("not_hex", "bitmap", at, "is not written in hex digits", expected="16 hex digits")
        return int.from_bytes(binascii.a2b_hex(data), "big")

    def _element(self, number: int, at: int) -> _Element:
        element = self._elements.get(number)
        if element is None:
            raise Iso8583Error("unknown_field", str(number), at, f"is not in the layout {self.layout.id}")
        return element

    # Checking

    def check(self, message: Message, level: Level = Level.CONTENT) -> None:
        """Check content classes and, at `semantic`, card number and dates; raise Iso8583Error for the first that is wrong."""
        self._check(message, _RANK[level])

    def _check(self, message: Message, rank: int) -> None:
        if rank >= _RANK[Level.CONTENT]:
            if not is_mti(message.mti):
                raise _content("mti", _data_of(message, _MTI), "four digits")
            for number, value in message.fields.items():
                element = self._element(number, -1)
                if not element.is_content(value):
                    raise _content(str(number), _data_of(message, number), expected_of(element.field))
        if rank >= _RANK[Level.SEMANTIC]:
            self._check_meaning(message)

    def _check_meaning(self, message: Message) -> None:
        pan = message.fields.get(_PAN)
        if pan and not passes_luhn(pan):
            raise Iso8583Error(
                "luhn", str(_PAN), _data_of(message, _PAN), "the check digit is wrong", level=Level.SEMANTIC
            )
        for number, value in message.fields.items():
            pattern = self._elements[number].field.format
            if pattern is not None and value and not is_moment(value, pattern):
                raise Iso8583Error(
                    "impossible_date", str(number), _data_of(message, number), f"there is no such {pattern}",
                    level=Level.SEMANTIC, expected=pattern,
                )  # fmt: skip

    # Writing

    def encode(self, message: Message, level: Level = _STRUCTURE) -> bytes:
        """Write a message; elements that are only given in `parts` are put together from them.

        Raises Iso8583Error (offset -1): an element the layout does not know, a wrong length, what cannot be written.
        """
        if level is not _STRUCTURE:
            self._check(message, _RANK[level])
        data = self._fast.write(message)
        return self._encode_exactly(message) if data is None else data

    def _encode_exactly(self, message: Message) -> bytes:
        given: dict[int, Any] = {number: None for number in message.parts if number not in message.fields}
        numbers = sorted({*message.fields, *given})
        body: list[bytes] = []
        for number in numbers:
            element = self._element(number, -1)
            value = message.fields.get(number)
            body.append(element.write(self._joined(element, number, message.parts[number]) if value is None else value))
        return self._write_head(message) + write_bitmaps(self.layout, numbers) + b"".join(body)

    def _joined(self, element: _Element, number: int, value: Any) -> str:
        path = str(number)
        if element.parts is None:
            raise Iso8583Error("malformed_parts", path, -1, "does not split further in this layout")
        place = splitting.place_of(element.field, path, -1, self.layout.charset)
        data = splitting.join(element.parts, value, place)
        if element.field.encoding in ("ascii", "latin1", "ebcdic"):
            return page_of(element.field.encoding, self.layout.charset).decode(data) or ""
        return data.hex().upper()

    def _write_head(self, message: Message) -> bytes:
        return self._write_header(message.header) + self._write_mti(message.mti)

    def _write_header(self, header: str | None) -> bytes:
        wanted = self.layout.header
        if wanted is None:
            if header:
                raise Iso8583Error("unknown_field", "header", -1, "this layout has no header")
            return b""
        try:
            text = header or ""
            data = bytes.fromhex(text) if wanted.value_form == "hex" else text.encode("ascii")
            if wanted.value_form == "hex" and data.hex() != text.lower():  # fromhex passes over blanks
                raise ValueError
        except ValueError:
            raise Iso8583Error("not_text", "header", -1, f"is not given as {wanted.value_form}") from None
        if len(data) != wanted.bytes:
            raise Iso8583Error(
                "wrong_size", "header", -1, f"has {len(data)} bytes, not {wanted.bytes}",
                expected=f"{wanted.bytes} bytes", found=f"{len(data)} bytes",
            )  # fmt: skip
        return data

    def _write_mti(self, mti: str) -> bytes:
        if not is_mti(mti):
            raise _content("mti", -1, "four digits")
        if self.layout.mti.encoding == "bcd":
            return bytes.fromhex(mti)
        data = page_of(self.layout.mti.encoding, self.layout.charset).encode(mti)
        assert data is not None, "every code page has digits"
        return data


def _data_of(message: Message, number: int) -> int:
    span = message.spans.get(number)
    return span.data if span else -1


def _content(path: str, at: int, expected: str) -> Iso8583Error:
    return Iso8583Error(
        "wrong_content",
        path,
        at,
        f"consists of other characters than {expected}",
        level=Level.CONTENT,
        expected=expected,
    )
