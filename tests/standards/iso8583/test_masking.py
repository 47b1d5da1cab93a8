"""What identifies a card is shown nowhere, in any element or part of any layout."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from shanraq.standards import iso8583
from shanraq.standards.iso8583 import Codec, Iso8583Error, Level, Message
from shanraq.standards.iso8583.layout import (
    BerTlv,
    Bitmapped,
    Datasets,
    Delimited,
    Field,
    Fixed,
    Layout,
    Parts,
    Positional,
    Tagged,
)
from shanraq.standards.iso8583.mask import mask_number, mask_track

CANARY = "5555555555554444"
OTHER = "4111111111111111"
TEXTS = ("ascii", "latin1", "ebcdic")


def header_of(layout: Layout) -> str | None:
    if layout.header is None:
        return None
    return "0" * layout.header.bytes * (1 if layout.header.value_form == "text" else 2)


def with_canary(field: Field) -> str | None:
    """A value of the element with the canary in it; None if it is too short for that."""
    size = field.length.size if isinstance(field.length, Fixed) else field.length.max
    canary = CANARY.encode().hex().upper() if field.encoding in ("raw", "hex_ascii") else CANARY
    unit = 2 if field.encoding in ("raw", "hex_ascii") else 1
    if size * unit < len(canary):
        return None
    if not isinstance(field.length, Fixed):
        return canary
    if field.encoding in TEXTS:
        return canary.ljust(size)
    return ("C" + canary.rjust(size - 1, "0")) if field.encoding == "sign_bcd" else canary.rjust(size * unit, "0")


def parts_with_canary(parts: Parts) -> Iterator[Any]:
    """Every form of the parts with the canary in one place."""
    match parts:
        case BerTlv():
            yield [["DF01", CANARY]]
            yield [["5A", CANARY]]
            yield [["9F1F", CANARY]]
        case Datasets(dbm=None):
            yield [{"id": "01", "items": [["DF01", CANARY]]}]
        case Datasets(dbm=dbm):
            yield [{"id": "01", "format": "tlv", "items": [["57", CANARY + "D2912101"]]}]
            for number, field in (dbm or {}).items():
                if (value := with_canary(field)) is not None:
                    yield [{"id": "71", "format": "dbm", "elements": {str(number): value}, "items": [["5A", CANARY]]}]
        case Positional(elements=pieces):
            for chosen in pieces:
                if chosen.bytes >= len(CANARY):
                    fill = {piece.id: ("00" if piece.encoding == "raw" else " ") * piece.bytes for piece in pieces}
                    canary = CANARY.encode().hex() if chosen.encoding == "raw" else CANARY
                    size = chosen.bytes * (2 if chosen.encoding == "raw" else 1)
                    yield fill | {chosen.id: canary.ljust(size, "0" if chosen.encoding == "raw" else " ")}
        case Delimited(elements=names, tail=tail):
            for chosen_name in names:
                yield {name: CANARY if name == chosen_name else "" for name in names} | {
                    piece.id: " " * piece.bytes for piece in tail
                }
        case Tagged(tag=tag, lead=lead, children=children):
            given = {"lead": {piece.id: " " * piece.bytes for piece in lead}} if lead else {}
            plain = next(name for name in (f"{n:0{tag.digits}d}" for n in range(99)) if name not in children)
            yield given | {"items": [[plain, CANARY]]}
        case Bitmapped(elements=elements, lead=lead):
            given = {"lead": {piece.id: " " * piece.bytes for piece in lead}} if lead else {}
            for number, field in elements.items():
                if (value := with_canary(field)) is not None:
                    yield given | {"items": {str(number): value}}


def attempt(codec: Codec, raw: bytes) -> tuple[Message, Iso8583Error | None]:
    try:
        return codec.decode(raw, Level.STRUCTURE), None
    except Iso8583Error as error:
        return error.partial or Message(""), error


def assert_hidden(message: Message, name: str) -> None:
    for text in (repr(message), str(message), f"{message}", json.dumps(message.masked())):
        assert CANARY not in text, name
        assert CANARY.encode().hex() not in text.lower(), name
        assert CANARY.encode("cp500").hex() not in text.lower(), name


@pytest.mark.parametrize("name", iso8583.layout_names())
def test_a_known_card_number_is_hidden_in_every_element(name: str) -> None:
    layout, codec = iso8583.layout(name), iso8583.codec(name)
    tried = 0
    mti = {"1993": "1100", "2003": "2100", "2023": "2100"}.get(layout.iso_version, "0100")
    for number, field in layout.fields.items():
        if (value := with_canary(field)) is None:
            continue
        fields = {2: CANARY, number: value} if 2 in layout.fields else {number: value}
        message = Message(mti, fields, header=header_of(layout))
        found, error = attempt(codec, codec.encode(message))
        assert CANARY not in f"{error}{error!r}"
        assert_hidden(found, f"{name} {number}")
        tried += 1
    assert tried > 5


@pytest.mark.parametrize("name", iso8583.layout_names())
def test_a_card_number_on_its_own_is_hidden_in_every_text(name: str) -> None:
    layout, codec = iso8583.layout(name), iso8583.codec(name)
    for number, field in layout.fields.items():
        value = with_canary(field)
        if value is not None and field.encoding in TEXTS and field.parts is None:
            raw = codec.encode(Message("0200", {number: value}, header=header_of(layout)))
            assert_hidden(codec.decode(raw, Level.STRUCTURE), f"{name} {number}")


@pytest.mark.parametrize("name", iso8583.layout_names())
def test_a_card_number_is_hidden_in_every_part(name: str) -> None:
    layout, codec = iso8583.layout(name), iso8583.codec(name)
    mti = "2100" if layout.iso_version in ("2003", "2023") else "0100"
    for number, field in layout.fields.items():
        for parts in parts_with_canary(field.parts) if field.parts else ():
            known = {2: CANARY} if 2 in layout.fields and number != 2 else {}
            raw = codec.encode(Message(mti, known, header=header_of(layout), parts={number: parts}))
            message = codec.decode(raw, Level.STRUCTURE)
            assert message.parts[number] == parts
            assert_hidden(message, f"{name} {number}")


def test_a_card_number_that_only_stands_in_a_part_is_hidden_in_the_whole_too() -> None:
    parts = {"lead": {"TCC": "R"}, "items": [["38", CANARY], ["92", "123"]]}
    codec = iso8583.codec("mc_mip")
    message = codec.decode(codec.encode(Message("0100", parts={48: parts})))

    assert_hidden(message, "48")


def test_a_card_validation_code_is_hidden_in_the_whole_and_in_its_part() -> None:
    codec = iso8583.codec("mc_mip")
    parts = {"lead": {"TCC": "R"}, "items": [["38", "Z"], ["92", "579"]]}
    shown = codec.decode(codec.encode(Message("0100", parts={48: parts}))).masked()

    assert shown["parts"]["48"]["items"] == [["38", "Z"], ["92", "***"]]
    assert shown["fields"]["48"] == "R3801Z9203***"


@pytest.mark.parametrize(
    ("layout", "parts"),
    [
        ("iso2023b", [{"id": "71", "format": "dbm", "elements": {"2": "1234", "4": "050000    "}}]),
        ("iso2003b", {"items": {"2": "1234", "4": "050000    "}}),
    ],
)
def test_verification_data_of_2003_are_hidden_as_a_whole(layout: str, parts: Any) -> None:
    codec = iso8583.codec(layout)
    message = codec.decode(codec.encode(Message("2100", parts={49: parts})))

    shown = message.masked()

    assert set(shown["fields"]["49"]) == {"*"}
    assert "1234" not in json.dumps(shown)
    assert "050000" not in json.dumps(shown)


@pytest.mark.parametrize("number", [34, 51])
def test_data_of_the_customer_are_hidden_as_a_whole(number: int) -> None:
    codec = iso8583.codec("iso2023b")
    parts = [{"id": "71", "format": "hex", "content": b"Aigerim".hex().upper()}]
    shown = json.dumps(codec.decode(codec.encode(Message("2100", parts={number: parts}))).masked())

    assert b"Aigerim".hex().upper() not in shown


@pytest.mark.parametrize("mti", ["2100", "3100"])
def test_a_later_edition_hides_alike(mti: str) -> None:
    assert Message(mti, {49: "0010" + "40" * 8}).masked()["fields"]["49"] == "*" * 20


def test_the_currency_of_1987_is_no_verification_value() -> None:
    assert Message("0100", {49: "398"}).masked()["fields"]["49"] == "398"


def test_a_part_is_told_by_its_path_not_by_its_number() -> None:
    codec = iso8583.codec("post")
    message = codec.decode(codec.encode(Message("0100", parts={127: {"items": {"2": "0000000000000042"}}})))

    assert message.masked()["parts"]["127"] == {"items": {"2": "0000000000000042"}}


def test_chip_data_that_cannot_be_split_hide_their_card_number() -> None:
    codec = iso8583.codec("iso87_asciibin")
    raw = codec.encode(Message("0100", {55: f"5A08{CANARY}9F0206"}))
    with pytest.raises(Iso8583Error) as refused:
        codec.decode(raw)

    assert refused.value.partial is not None
    assert refused.value.partial.fields[55]
    assert_hidden(refused.value.partial, "55")


@pytest.mark.parametrize(
    ("value", "hidden"),
    [("", ""), ("4", "*"), ("41111111111", "*" * 11), (OTHER, "411111******1111"), ("4" * 19, "444444*********4444")],
)
def test_short_numbers_are_hidden_whole(value: str, hidden: str) -> None:
    assert mask_number(value) == hidden


@pytest.mark.parametrize(
    ("value", "hidden"),
    [("4111=2912", "*" * 9), (f"{OTHER}=29121", "411111******1111******"), ("", ""), ("=2912101", "*" * 8),
     (f"B{OTHER}^NAME^2912", "B411111******1111" + "*" * 10)],
)  # fmt: skip
def test_a_track_keeps_nothing_behind_its_separator(value: str, hidden: str) -> None:
    assert mask_track(value) == hidden
