"""Values on the wire: read and write one element, exactly.

A reader takes the bytes of the message, the place where the element begins and where what holds it ends; it returns the value
in its text form, where its data begin, and where it ends.
"""

from __future__ import annotations

import binascii
from collections.abc import Callable, Sequence
from typing import Final

from shanraq.standards.iso8583.charset import Charset, charset
from shanraq.standards.iso8583.errors import Iso8583Error, truncated
from shanraq.standards.iso8583.layout import MAP_BITS, Field, Fixed, Layout, Prefix

Reader = Callable[[bytes, int, int], tuple[str, int, int]]
Writer = Callable[[str], bytes]

_HEX: Final = frozenset("0123456789ABCDEF")


def reader_of(field: Field, path: str, code_page: str | None) -> Reader:
    """Return what reads this element; its errors name `path`."""
    size_of = byte_size(field)
    value_of = _value_reader(field, path, code_page)
    if isinstance(field.length, Fixed):
        size = field.length.size
        need = size_of(size)

        def read_fixed(raw: bytes, at: int, limit: int) -> tuple[str, int, int]:
            end = at + need
            if end > limit:
                raise truncated(path, at, need, limit - at)
            return value_of(raw[at:end], at, size), at, end

        return read_fixed

    most, prefix = field.length.max, field.length.prefix
    length_of = prefix_reader(prefix, path, code_page)
    unit = field.length.unit

    def read_variable(raw: bytes, at: int, limit: int) -> tuple[str, int, int]:
        start = at + prefix.bytes
        if start > limit:
            raise truncated(path, at, prefix.bytes, limit - at)
        size = length_of(raw[at:start], at)
        if size > most:
            raise Iso8583Error(
                "too_long", path, at, f"the length is {size} {unit}, {most} at most",
                expected=f"at most {most} {unit}", found=f"{size} {unit}",
            )  # fmt: skip
        need = size_of(size)
        end = start + need
        if end > limit:
            raise truncated(path, start, need, limit - start)
        return value_of(raw[start:end], start, size), start, end

    return read_variable


def writer_of(field: Field, path: str, code_page: str | None) -> Writer:
    """Return what writes this element; its errors name `path`."""
    data_of = _value_writer(field, path, code_page)
    count = _count_of(field)
    length = field.length
    if isinstance(length, Fixed):

        def write_fixed(value: str) -> bytes:
            size = count(value)
            if size != length.size:
                raise _wrong_size(path, f"{length.size} {length.unit}", f"{size} {length.unit}")
            return data_of(value)

        return write_fixed

    prefix_of = prefix_writer(length.prefix, code_page)

    def write_variable(value: str) -> bytes:
        size = count(value)
        written = prefix_of(size) if size <= length.max else None
        if written is None:
            raise _wrong_size(path, f"at most {length.max} {length.unit}", f"{size} {length.unit}")
        return written + data_of(value)

    return write_variable


def _wrong_size(path: str, expected: str, found: str) -> Iso8583Error:
    return Iso8583Error("wrong_size", path, -1, f"has {found}, not {expected}", expected=expected, found=found)


def byte_size(field: Field) -> Callable[[int], int]:
    """Return how many bytes a size in the unit of the element takes."""
    match field.encoding:
        case "bcd":
            return lambda size: (size + 1) // 2
        case "sign_bcd":
            return lambda size: 1 + size // 2
        case "hex_ascii":
            return lambda size: size * 2
        case _:
            return lambda size: size


def _count_of(field: Field) -> Callable[[str], int]:
    if field.encoding in ("raw", "hex_ascii"):
        return lambda value: (len(value) + 1) // 2
    return len


def page_of(encoding: str, code_page: str | None) -> Charset:
    """Return the code page of a text encoding in a layout."""
    return charset("ascii" if encoding == "ascii" else code_page or "ascii")


def _value_reader(field: Field, path: str, code_page: str | None) -> Callable[[bytes, int, int], str]:
    match field.encoding:
        case "raw":
            return lambda data, at, size: data.hex().upper()
        case "bcd":
            right = field.pad_nibble is not None and field.pad_nibble.side == "right"

            def read_bcd(data: bytes, at: int, size: int) -> str:
                digits = data.hex().upper()
                if not size % 2:
                    return digits
                return digits[:-1] if right else digits[1:]

            return read_bcd
        case "sign_bcd":

            def read_signed(data: bytes, at: int, size: int) -> str:
                if not data[:1].isascii():
                    raise _not_text(path, at, "ascii")
                digits = data[1:].hex().upper()
                return data[:1].decode("ascii") + (digits if size % 2 else digits[1:])

            return read_signed
        case "hex_ascii":

            def read_hex(data: bytes, at: int, size: int) -> str:
                try:
                    return binascii.a2b_hex(data).hex().upper()
                except binascii.Error:
                    raise Iso8583Error(
                        "not_hex", path, at, "is not written in hex digits", expected="hex digits"
                    ) from None

            return read_hex
        case _:
            page = page_of(field.encoding, code_page)

            def read_text(data: bytes, at: int, size: int) -> str:
                text = page.decode(data)
                if text is None:
                    raise _not_text(path, at, page.name)
                return text

            return read_text


def _value_writer(field: Field, path: str, code_page: str | None) -> Writer:
    match field.encoding:
        case "raw" | "hex_ascii":
            in_hex = field.encoding == "hex_ascii"

            def write_bytes(value: str) -> bytes:
                if len(value) % 2 or not value.isascii() or not _HEX.issuperset(value.upper()):
                    raise Iso8583Error("not_hex", path, -1, "is not given in pairs of hex digits", expected="hex")
                return value.upper().encode("ascii") if in_hex else bytes.fromhex(value)

            return write_bytes
        case "bcd" | "sign_bcd":
            signed = field.encoding == "sign_bcd"
            pad = field.pad_nibble.value if field.pad_nibble else "0"
            right = not signed and field.pad_nibble is not None and field.pad_nibble.side == "right"

            def write_bcd(value: str) -> bytes:
                sign, digits = (value[:1], value[1:]) if signed else ("", value)
                if not _HEX.issuperset(digits) or not sign.isascii():
                    raise Iso8583Error("not_digits", path, -1, "is not given in digits", expected="digits")
                if len(digits) % 2:
                    digits = digits + pad if right else pad + digits
                return sign.encode("ascii") + bytes.fromhex(digits)

            return write_bcd
        case _:
            page = page_of(field.encoding, code_page)

            def write_text(value: str) -> bytes:
                data = page.encode(value)
                if data is None:
                    raise _not_text(path, -1, page.name)
                return data

            return write_text


def _not_text(path: str, at: int, name: str) -> Iso8583Error:
    return Iso8583Error("not_text", path, at, f"is not text in {name}", expected=f"text in {name}")


def prefix_reader(prefix: Prefix, path: str, code_page: str | None) -> Callable[[bytes, int], int]:
    """Return what reads a length; its errors name `path`."""
    if prefix.encoding == "binary":
        return lambda data, at: int.from_bytes(data, "big")
    if prefix.encoding == "bcd":
        text_of: Callable[[bytes], str | None] = bytes.hex
        expected = f"{prefix.bytes * 2} BCD digits"
    else:
        text_of = page_of(prefix.encoding, code_page).decode
        expected = f"{prefix.bytes} decimal digits"

    def read(data: bytes, at: int) -> int:
        # Not int(), which takes signs, blanks and underscores too.
        text = text_of(data)
        if text is None or not (text.isascii() and text.isdigit()):
            raise Iso8583Error("bad_length", path, at, "the length is not decimal", expected=expected)
        return int(text)

    return read


def prefix_writer(prefix: Prefix, code_page: str | None) -> Callable[[int], bytes | None]:
    """Return what writes a length; it gives None for one that does not fit."""
    width = prefix.bytes
    if prefix.encoding == "binary":
        return lambda size: size.to_bytes(width, "big") if size < 256**width else None
    if prefix.encoding == "bcd":
        return lambda size: bytes.fromhex(f"{size:0{width * 2}d}") if size < 100**width else None
    page = page_of(prefix.encoding, code_page)
    return lambda size: page.encode(f"{size:0{width}d}") if size < 10**width else None


def write_bitmaps(layout: Layout, numbers: Sequence[int]) -> bytes:
    """Return the bitmaps that announce these elements, in order: the fewest that hold them, at least what the layout has."""
    rules = layout.bitmap
    last = numbers[-1] if numbers else 1
    count = max((last - 1) // MAP_BITS + 1, rules.min_maps if rules.extension_bit else rules.max_maps)
    bits = sum(1 << (count * MAP_BITS - number) for number in numbers)
    if rules.extension_bit:
        bits |= sum(1 << ((count - later) * MAP_BITS + MAP_BITS - 1) for later in range(1, count))
    data = bits.to_bytes(count * MAP_BITS // 8, "big")
    if rules.encoding == "binary":
        return data
    text = data.hex()
    return (text if rules.hex_case_out == "lower" else text.upper()).encode("ascii")
