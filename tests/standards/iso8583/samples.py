"""Messages made up for any layout: every element with values its class and length allow."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable
from typing import Any

from shanraq.standards.iso8583 import Codec, Iso8583Error, Layout, Message
from shanraq.standards.iso8583.content import check_of
from shanraq.standards.iso8583.layout import BerTlv, Bitmapped, Datasets, Delimited, Field, Fixed, Positional, Tagged

_DIGITS = "0123456789"
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz "
_PUNCTUATION = " !#%&'()*+,-./:;<=>?@_"
_ALPHABETS = {
    "n": _DIGITS, "a": _LETTERS, "an": _LETTERS + _DIGITS, "anp": _LETTERS + _DIGITS,
    "ans": _LETTERS + _DIGITS + _PUNCTUATION, "ns": _DIGITS + _PUNCTUATION, "z": _DIGITS + "=", "b": _DIGITS + "ABCDEF",
}  # fmt: skip
STRANGER = "'stranger\n"
_TAGS = ("9F02", "82", "5A", "9F10", "DF8101", "5F2A", "95", "57")


def text_of(field: Field, size: int, dice: random.Random) -> str:
    """Make up a value of so many characters, digits or bytes."""
    if field.encoding in ("raw", "hex_ascii"):
        return dice.randbytes(size).hex().upper()
    if field.content == "x+n":
        return dice.choice("CD") + "".join(dice.choices(_DIGITS, k=size - 1)) if size > 1 else "C"
    alphabet = _ALPHABETS[field.content]
    if field.encoding == "bcd":
        alphabet = _DIGITS if field.content == "n" else _DIGITS + "ABCDEF"
    value = "".join(dice.choices(alphabet, k=size))
    return value if check_of(field)(value) else "".join(dice.choices(_DIGITS, k=size))


def value_of(field: Field, dice: random.Random) -> str:
    """Make up a value; short ones are likelier than long ones."""
    if isinstance(field.length, Fixed):
        return text_of(field, field.length.size, dice)
    size = field.length.max
    return text_of(field, dice.choice((dice.randint(0, min(size, 12)), dice.randint(0, min(size, 60)), size)), dice)


def tlv_items(dice: random.Random, count: int | None = None) -> list[list[str]]:
    """Make up BER-TLV."""
    return [
        [dice.choice(_TAGS), dice.randbytes(dice.choice((0, 1, 2, 6, 8, 17))).hex().upper()]
        for _ in range(dice.randint(0, 6) if count is None else count)
    ]


def parts_of(field: Field, dice: random.Random) -> Any:
    """Make up what a composite splits into, or None for an empty one."""

    def pieces(parts: Iterable[Any]) -> dict[str, str]:
        return {
            piece.id: "".join(dice.choices(_DIGITS, k=piece.bytes))
            if not _in_hex(field, piece.encoding)
            else dice.randbytes(piece.bytes).hex().upper()
            for piece in parts
        }

    match field.parts:
        case BerTlv():
            return tlv_items(dice)
        case Datasets(id_bytes=width):
            return [
                {"id": dice.randbytes(width).hex().upper(), "items": tlv_items(dice)} for _ in range(dice.randint(0, 2))
            ]
        case Positional(elements=elements):
            return pieces(elements)
        case Delimited(elements=elements, tail=tail):
            return {name: "".join(dice.choices(_LETTERS, k=5)) for name in elements} | pieces(tail)
        case Bitmapped(elements=elements, lead=lead):
            chosen = sorted(dice.sample(sorted(elements), min(len(elements), dice.randint(0, 4))))
            items = {str(number): value_of(elements[number], dice) for number in chosen}
            return ({"lead": pieces(lead)} if lead else {}) | {"items": items}
        case Tagged(tag=tag, children=children):
            width = tag.digits
            items_ = [["".join(dice.choices(_DIGITS, k=width)), "".join(dice.choices(_DIGITS, k=3))] for _ in range(3)]
            found: dict[str, Any] = {"items": [item for item in items_ if item[0] not in children]}
            return ({"lead": pieces(field.parts.lead)} if field.parts.lead else {}) | found
    return None


def _in_hex(field: Field, encoding: str) -> bool:
    return (field.encoding if encoding == "text" else encoding) in ("raw", "bcd", "hex_ascii")


def header_of(layout: Layout, dice: random.Random) -> str | None:
    """Make up a header."""
    if layout.header is None:
        return None
    size = layout.header.bytes
    return ("ISO" + "0" * size)[:size] if layout.header.value_form == "text" else dice.randbytes(size).hex().upper()


def message_of(codec: Codec, dice: random.Random) -> tuple[Message, bytes]:
    """Make up a message that the codec writes, with any of the layout's elements."""
    layout = codec.layout
    numbers = sorted(layout.fields)
    while True:
        chosen = dice.sample(numbers, dice.randint(0, min(len(numbers), 24)))
        if dice.random() < 0.5:
            chosen = [number for number in chosen if number <= 64]
        fields: dict[int, str] = {}
        parts: dict[int, Any] = {}
        for number in sorted(chosen):
            field = layout.fields[number]
            if field.parts is not None and dice.random() < 0.9:
                parts[number] = parts_of(field, dice)
            else:
                fields[number] = value_of(field, dice)
        message = Message(f"{dice.choice((100, 110, 200, 210, 420, 800)):04d}", fields, header_of(layout, dice), parts)
        try:
            raw = codec.encode(message)
            return codec.decode(raw), raw
        except Iso8583Error:
            continue  # a composite did not fit its element: make up another


def mutated(raw: bytes, dice: random.Random) -> bytes:
    """Change, cut or lengthen a message in one to four places."""
    data = bytearray(raw)
    for _ in range(dice.randint(1, 4)):
        at = dice.randrange(len(data)) if data else 0
        match dice.randrange(6):
            case 0 if data:
                data[at] = dice.randrange(256)
            case 1 if data:
                data[at] ^= 1 << dice.randrange(8)
            case 2 if data:
                del data[at : at + dice.randint(1, 8)]
            case 3:
                data[at:at] = dice.randbytes(dice.randint(1, 8))
            case 4 if data:
                data[at] = dice.choice(b" _+-0129AFaf\x00\x1f\x7f\x80\xb2\xb3\xb9\xf0\xf9\xff")
            case _:
                del data[at:]
    return bytes(data)


def layout_of(dice: random.Random) -> Layout:
    """Make up a layout: any way to write type, bitmaps, lengths and values."""
    charset = dice.choice(("latin1", "cp037", "cp500", "cp1047"))
    above = "latin1" if charset == "latin1" else "ebcdic"
    most = dice.randint(1, 4)
    fields = {}
    for number in dice.sample([number for number in range(2, most * 64 + 1) if number % 64 != 1], 24):
        encoding = dice.choice(("ascii", "ascii", above, above, "bcd", "bcd", "sign_bcd", "raw", "hex_ascii"))
        unit = {"bcd": "digits", "raw": "bytes", "hex_ascii": "bytes"}.get(encoding, "characters")
        length: dict[str, Any] = {"kind": "fixed", "size": dice.randint(2, 12), "unit": unit}
        if encoding != "sign_bcd" and dice.random() < 0.5:
            written = dice.choice(("ascii", above if above == "ebcdic" else "ascii", "bcd", "binary"))
            prefix = {"encoding": written, "bytes": dice.choice((1, 2, 3))}
            length = {
                "kind": "variable",
                "max": dice.choice((3, 19, 60, 255, 999, 20_000)),
                "unit": unit,
                "prefix": prefix,
            }
        field: dict[str, Any] = {
            "name": STRANGER, "class": dice.choice((*_ALPHABETS, "x+n")), "encoding": encoding, "length": length,
        }  # fmt: skip
        if dice.random() < 0.5:
            field["pad_nibble"] = {"side": dice.choice(("left", "right")), "value": dice.choice("0F")}
        if encoding in ("raw", "hex_ascii") and dice.random() < 0.4:
            field["parts"] = {"kind": "ber_tlv"}
        elif encoding in ("ascii", above, "raw") and dice.random() < 0.3:
            pieces = [
                {"id": f"p{at}", "name": STRANGER, "bytes": at, "encoding": dice.choice(("text", "raw"))}
                for at in (1, 2)
            ]
            field["parts"] = {"kind": "positional", "elements": pieces, "optional_tail": dice.random() < 0.5}
        fields[str(number)] = field
    extended = dice.random() < 0.8
    header: dict[str, Any] = {"bytes": dice.randint(1, 9), "value_form": dice.choice(("hex", "text")), "elements": []}
    plain = {
        "schema": "iso8583-layout/1", "id": STRANGER, "title": STRANGER, "iso_version": "1987",
        "charset": charset, "fields": fields,
        "header": dice.choice((None, header)),
        "mti": {"encoding": dice.choice(("ascii", "bcd", above if above == "ebcdic" else "ascii"))},
        "bitmap": {
            "encoding": dice.choice(("binary", "hex_ascii")), "min_maps": dice.randint(1, most), "max_maps": most,
            "extension_bit": extended, "hex_case_out": dice.choice(("upper", "lower")),
        },
    }  # fmt: skip
    return Layout.from_json(json.dumps(plain))
