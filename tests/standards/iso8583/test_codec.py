"""The library on messages of its own: reading, writing, and what it refuses."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shanraq.standards import iso8583
from shanraq.standards.iso8583 import Codec, Iso8583Error, Layout, LayoutError, Level, Message

PAN = "4111111111111111"


def small(**changes: Any) -> dict[str, Any]:
    """A layout with one element of every encoding."""
    text = {
        "kind": "variable",
        "max": 30,
        "unit": "characters",
        "prefix": {"encoding": "ebcdic", "bytes": 2, "digits": 2},
    }
    binary = {"encoding": "binary", "bytes": 1}
    fields: dict[str, Any] = {
        "2": {"name": "PAN", "class": "n", "encoding": "bcd", "pad_nibble": {"side": "right", "value": "F"},
              "length": {"kind": "variable", "max": 19, "unit": "digits", "prefix": {"encoding": "bcd", "bytes": 1}}},
        "3": {"name": "Code", "class": "n", "encoding": "ascii", "length": {"kind": "fixed", "size": 6, "unit": "characters"}},
        "7": {"name": "Sent", "class": "n", "encoding": "bcd", "format": "MMDDhhmmss",
              "pad_nibble": {"side": "left", "value": "0"}, "length": {"kind": "fixed", "size": 10, "unit": "digits"}},
        "28": {"name": "Fee", "class": "x+n", "encoding": "sign_bcd", "pad_nibble": {"side": "left", "value": "0"},
               "length": {"kind": "fixed", "size": 9, "unit": "characters"}},
        "43": {"name": "Place", "class": "ans", "encoding": "ebcdic", "length": text},
        "52": {"name": "PIN", "class": "b", "encoding": "hex_ascii", "length": {"kind": "fixed", "size": 8, "unit": "bytes"}},
        "55": {"name": "Chip", "class": "b", "encoding": "raw", "parts": {"kind": "ber_tlv"},
               "length": {"kind": "variable", "max": 255, "unit": "bytes", "prefix": binary}},
        "70": {"name": "Network", "class": "n", "encoding": "bcd", "pad_nibble": {"side": "left", "value": "0"},
               "length": {"kind": "fixed", "size": 3, "unit": "digits"}},
    }  # fmt: skip
    return {
        "schema": "iso8583-layout/1", "id": "small", "title": "Small", "iso_version": "1987", "evidence": "", "header": None,
        "charset": "cp1047", "mti": {"encoding": "bcd"}, "fields": fields,
        "bitmap": {"encoding": "binary", "min_maps": 1, "max_maps": 2, "extension_bit": True}, **changes,
    }  # fmt: skip


@pytest.fixture
def codec() -> Codec:
    return Codec(Layout.from_json(json.dumps(small())))


FIELDS = {
    2: "4111111111111111111", 3: "000000", 7: "1126030000", 28: "C00000250", 43: "[Almaty]", 52: "0123456789ABCDEF",
    55: "9F0206000000001000", 70: "301",
}  # fmt: skip


def test_every_encoding_on_the_wire(codec: Codec) -> None:
    raw = codec.encode(Message("0100", FIELDS))

    assert raw[:2].hex() == "0100"
    assert raw[2:18].hex() == "e200001000201200" + "0400000000000000"
    assert raw[18:29].hex() == "194111111111111111111f"
    assert raw[29:35] == b"000000"
    assert raw[35:40].hex() == "1126030000"
    assert raw[40:45].hex() == "4300000250"
    assert raw[45:47].hex() == "f0f8"
    assert raw[47:55].hex() == "adc1939481a3a8bd"
    assert raw[55:71] == b"0123456789ABCDEF"
    assert raw[71:81].hex() == "099f0206000000001000"
    assert raw[81:].hex() == "0301"
    assert codec.decode(raw).fields == FIELDS
    assert codec.decode(raw).parts == {55: [["9F02", "000000001000"]]}


def test_elements_are_read_without_the_rest(codec: Codec) -> None:
    raw = codec.encode(Message("0100", FIELDS))

    assert codec.peek(raw[:45], 3, 7, 11) == {3: "000000", 7: "1126030000"}
    with pytest.raises(Iso8583Error):
        codec.peek(raw[:45], 43)


def test_what_could_be_read_comes_with_the_error(codec: Codec) -> None:
    raw = codec.encode(Message("0100", FIELDS))

    with pytest.raises(Iso8583Error) as refused:
        codec.decode(raw[:50])

    error = refused.value
    assert (error.code, error.field, error.offset, error.level) == ("truncated", "43", 47, Level.STRUCTURE)
    assert (error.expected, error.found) == ("8 bytes", "3 bytes")
    assert error.partial is not None
    assert error.partial.mti == "0100"
    assert list(error.partial.fields) == [2, 3, 7, 28]


@pytest.mark.parametrize(
    ("mti", "fields", "code", "field"),
    [
        ("01A0", {}, "wrong_content", "mti"),
        ("0100", {4: "1"}, "unknown_field", "4"),
        ("0100", {3: "12345"}, "wrong_size", "3"),
        ("0100", {3: "12345é"}, "not_text", "3"),
        ("0100", {2: "4" * 20}, "wrong_size", "2"),
        ("0100", {2: "41x1"}, "not_digits", "2"),
        ("0100", {52: "0123"}, "wrong_size", "52"),
        ("0100", {52: "X" * 16}, "not_hex", "52"),
        ("0100", {55: "ABC"}, "not_hex", "55"),
        ("0100", {43: "я"}, "not_text", "43"),
    ],
)
def test_what_cannot_be_written_is_refused(
    codec: Codec, mti: str, fields: dict[int, str], code: str, field: str
) -> None:
    with pytest.raises(Iso8583Error) as refused:
        codec.encode(Message(mti, fields))

    assert (refused.value.code, refused.value.field, refused.value.offset) == (code, field, -1)
    assert not any(value in str(refused.value) for value in fields.values() if len(value) > 2)


@pytest.mark.parametrize(
    ("fields", "level", "code"),
    [
        ({3: "00000X"}, Level.CONTENT, "wrong_content"),
        ({28: "X00000250"}, Level.CONTENT, "wrong_content"),
        ({2: "4111111111111112"}, Level.SEMANTIC, "luhn"),
        ({7: "1326030000"}, Level.SEMANTIC, "impossible_date"),
        ({7: "0230030000"}, Level.SEMANTIC, "impossible_date"),
        ({7: "0229240000"}, Level.SEMANTIC, "impossible_date"),
    ],
)
def test_a_level_checks_what_those_below_do_not(codec: Codec, fields: dict[int, str], level: Level, code: str) -> None:
    raw = codec.encode(Message("0100", fields))
    below = list(Level)[list(Level).index(level) - 1]

    assert codec.decode(raw, below).fields == fields
    with pytest.raises(Iso8583Error) as refused:
        codec.decode(raw, level)
    assert (refused.value.code, refused.value.level) == (code, level)


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"schema": "other"}, "schema"),
        ({"unknown": 1}, "unknown"),
        ({"bitmap": {"encoding": "binary", "min_maps": 3, "max_maps": 2, "extension_bit": True}}, "bitmap"),
        ({"charset": None}, "43"),
        ({"fields": {"65": small()["fields"]["3"]}}, "fields.65"),
        ({"fields": {"300": small()["fields"]["3"]}}, "fields.300"),
        ({"fields": {"3": {**small()["fields"]["3"], "length": {"kind": "fixed", "size": 0, "unit": "characters"}}}},
         "fields.3"),
        ({"fields": {"3": {**small()["fields"]["3"], "length": {"kind": "fixed", "size": 3, "unit": "digits"}}}},
         "fields.3"),
        ({"header": {"bytes": 2, "value_form": "hex", "elements": [
            {"id": "a", "name": "A", "offset": 1, "bytes": 2, "encoding": "raw"}]}}, "header.a"),
    ],
)  # fmt: skip
def test_a_layout_that_describes_nothing_is_refused_with_the_place(changes: dict[str, Any], place: str) -> None:
    with pytest.raises(LayoutError, match=place):
        Layout.from_json(json.dumps(small(**changes)))


def test_there_is_no_such_layout() -> None:
    with pytest.raises(LayoutError, match="iso87a"):
        iso8583.codec("nothing")


@pytest.mark.parametrize(
    ("layout", "number", "parts"),
    [
        ("iso87_asciibin", 55, [["9F", "00"]]),
        ("iso87_asciibin", 55, [["9F 02", "00"]]),
        ("iso87_asciibin", 55, [["00", "00"]]),
        ("iso87_asciibin", 55, [["9F02", "0"]]),
        ("iso87_asciibin", 55, "9F0200"),
        ("iso87_asciibin", 55, [["9F02"]]),
        ("iso87_asciibin", 3, [["9F02", "00"]]),
        ("visa_base1_h22", 55, [{"id": "0102", "items": []}]),
        ("visa_base1_h22", 55, [{"items": []}]),
        ("visa_base1_h22", 62, {"items": {"99": "Y"}}),
        ("visa_base1_h22", 62, {"items": {" 1": "Y"}}),
        ("visa_base1_h22", 62, {}),
        ("mc_mip", 90, {"mti": "0100", "sent": "1126030000"}),
        ("mc_mip", 90, {"mti": "0100", "stan": "1", "sent": "1126030000"}),
        ("mc_mip", 90, {"what": "0100"}),
        ("mc_mip", 48, {"lead": {"TCC": "R"}, "items": [["8", "Z"]]}),
        ("mc_mip", 48, {"items": [["38", "Z"]]}),
        (
            "mc_ipm",
            43,
            {"name": "A\\B", "address": "", "city": "", "postal_code": " " * 10, "region": "A  ", "country": "KAZ"},
        ),
    ],
)
def test_parts_that_would_be_written_as_something_else_are_refused(layout: str, number: int, parts: Any) -> None:
    codec = iso8583.codec(layout)
    header = "16010200000000000000000000000000000000000000" if layout.startswith("visa") else None

    with pytest.raises(Iso8583Error) as refused:
        codec.encode(Message("0100", header=header, parts={number: parts}))

    assert refused.value.field.split(".")[0] == str(number)
    assert refused.value.offset == -1


@pytest.mark.parametrize(
    "plain",
    [
        {"fields": {"2": "1"}},
        {"mti": "0100", "fields": {"02": "1"}},
        {"mti": "0100", "fields": {" 2": "1"}},
        {"mti": "0100", "fields": {"1_0": "1"}},
        {"mti": "0100", "fields": {"2": 1}},
        {"mti": "0100", "parts": {"x": []}},
        {"mti": "0100", "fields": []},
        {"mti": "0100", "header": 5},
    ],
)
def test_what_is_no_message_is_refused(plain: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="a message is"):
        Message.from_dict(plain)


def test_a_header_with_blanks_among_its_digits_is_refused() -> None:
    codec = iso8583.codec("nac_bcd")
    with pytest.raises(Iso8583Error, match="header"):
        codec.encode(Message("0800", header="60 0009 0000"))


CANARY = "5555555555554444"


@pytest.mark.parametrize(
    ("layout", "fields"),
    [
        ("iso87_asciibin", {2: CANARY}),
        ("iso87_asciibin", {35: f"{CANARY}=29121011234567890"}),
        ("iso87_asciibin", {35: f"{CANARY}D29121011234567890"}),
        ("iso87_asciibin", {45: f"B{CANARY}^CARD/TEST^29121011234"}),
        ("iso87_asciibin", {48: f"card {CANARY} was used"}),
        ("iso87_asciibin", {2: CANARY, 48: f"x{CANARY}y"}),
        ("iso87_asciibin", {55: f"5A08{CANARY}"}),
        ("iso87_asciibin", {55: f"5711{CANARY}D29121011234567890F"[:38]}),
        ("iso87_asciibin", {2: CANARY, 55: f"DF0108{CANARY}"}),
        ("visa_base1_h22", {55: f"01000A5A08{CANARY}"}),
        ("mc_mip", {2: CANARY, 48: f"R38{len(CANARY):02d}{CANARY}"}),
        ("iso87_asciibin", {52: "1122334455667788"}),
    ],
)
def test_a_card_number_is_shown_nowhere(layout: str, fields: dict[int, str]) -> None:
    codec = iso8583.codec(layout)
    header = "16010200000000000000000000000000000000000000"
    raw = codec.encode(Message("0100", fields, header=header if layout.startswith("visa") else None))
    message = codec.decode(raw)
    assert message.fields == fields

    shown = [repr(message), str(message), f"{message}", json.dumps(message.masked())]
    for cut in range(len(raw)):
        with pytest.raises(Iso8583Error) as refused:
            codec.decode(raw[:cut])
        shown += [str(refused.value), repr(refused.value), repr(refused.value.partial)]

    for text in shown:
        assert CANARY not in text
        assert "1122334455667788" not in text
        assert "1011234" not in text


values = st.fixed_dictionaries(
    {},
    optional={
        2: st.text("0123456789", max_size=19),
        3: st.text("0123456789", min_size=6, max_size=6),
        7: st.text("0123456789", min_size=10, max_size=10),
        28: st.text("0123456789", min_size=8, max_size=8).map(lambda digits: "D" + digits),
        43: st.text("Az09 .[]^!|", max_size=30),
        52: st.binary(min_size=8, max_size=8).map(lambda data: data.hex().upper()),
        70: st.text("0123456789", min_size=3, max_size=3),
    },
)


@given(fields=values, mti=st.from_regex(r"[0-9]{4}", fullmatch=True))
@settings(max_examples=200, deadline=None)
def test_what_is_written_is_read_again(fields: dict[int, str], mti: str) -> None:
    codec = Codec(Layout.from_json(json.dumps(small())))
    raw = codec.encode(Message(mti, fields))

    message = codec.decode(raw)

    assert (message.mti, message.fields) == (mti, fields)
    assert codec.encode(message) == raw
    for end in range(len(raw)):
        with pytest.raises(Iso8583Error):
            codec.decode(raw[:end])


@given(data=st.binary(max_size=300), name=st.sampled_from(iso8583.layout_names()))
@settings(max_examples=500, deadline=None)
def test_any_bytes_give_a_message_or_the_one_error(data: bytes, name: str) -> None:
    try:
        iso8583.codec(name).decode(data)
    except Iso8583Error as error:
        refused = error
    else:
        return
    assert 0 <= refused.offset <= len(data)
