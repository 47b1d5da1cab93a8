"""The layouts of the editions and of EBCDIC links, and their data bitmaps."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shanraq.standards import iso8583
from shanraq.standards.iso8583 import Codec, Iso8583Error, Layout, LayoutError, Level, Message
from shanraq.standards.iso8583.layout import BerTlv, Datasets, Field, Fixed
from shanraq.standards.iso8583.parts import Place, join, split

FIELDS = {
    2: "4111111111111111",
    3: "000000",
    11: "123456",
    41: "TERM0001",
    48: "a[b]",
    52: "0011223344556677",
    70: "301",
}


@pytest.mark.parametrize(("ascii_layout", "ebcdic_layout"), [("iso87_asciibin", "iso87e"), ("iso93a", "iso93e")])
def test_an_ebcdic_link_says_the_same_in_cp500(ascii_layout: str, ebcdic_layout: str) -> None:
    codec = iso8583.codec(ebcdic_layout)
    mti = "0100" if ebcdic_layout == "iso87e" else "1100"

    raw = codec.encode(Message(mti, FIELDS))

    assert (
        codec.decode(raw).fields
        == iso8583.codec(ascii_layout).decode(iso8583.codec(ascii_layout).encode(Message(mti, FIELDS))).fields
    )
    assert raw[:4] == mti.encode("cp500")
    assert raw[20:38] == "164111111111111111".encode("cp500")
    assert "004a[b]".encode("cp500") in raw
    assert bytes.fromhex("0011223344556677") in raw


@pytest.mark.parametrize(("edition", "names"), [
    ("1987", {"iso87a", "iso87b", "iso87e"}), ("1993", {"iso93a", "iso93b", "iso93e"}), ("2003", {"iso2003b"}),
    ("2023", {"iso2023b"}),
])  # fmt: skip
def test_every_edition_has_its_layouts(edition: str, names: set[str]) -> None:
    assert all(iso8583.layout(name).iso_version == edition for name in names)


def test_a_message_of_2003_on_the_wire() -> None:
    codec = iso8583.codec("iso2003b")
    message = Message(
        "2100",
        {2: "4111111111111111111", 3: "000000", 4: "3982000000012500", 11: "000000123456", 12: "20250401123045", 22: "00" * 16,
         24: "100", 35: "4111111111111111=2912", 41: "TERM0001".ljust(16)},
        parts={43: {"items": {"2": "ALMA", "7": "398"}}, 49: {"items": {"2": "1234"}}, 55: [["9F02", "000000012500"]],
               30: {"0": "3982000000012500", "1": "3982000000012500"}},
    )  # fmt: skip

    raw = codec.encode(message)
    found = codec.decode(raw)

    assert raw[:2].hex() == "2100"
    assert raw[10:21].hex() == "194111111111111111111" + "0"
    assert raw[21:27] == b"000000"
    assert raw[27:35].hex() == "3982000000012500"
    assert b"\x00\x16" + bytes.fromhex("4200000000000000") + b"\x04ALMA398" in raw
    assert b"\x00\x10" + bytes.fromhex("4000000000000000") + b"\x12\x34" in raw
    assert found.parts == message.parts
    assert codec.encode(found) == raw
    assert found.fields[24] == "100"


def test_datasets_of_2023_split_and_unknown_ones_stay_hex() -> None:
    codec = iso8583.codec("iso2023b")
    parts = {
        44: [{"id": "01", "format": "tlv", "items": [["91", "0102"]]}, {"id": "71", "format": "hex", "content": "2800AB"}],
        49: [{"id": "72", "format": "dbm", "elements": {"2": "1234"}, "items": [["9F02", "01"]]},
             {"id": "72", "format": "dbm", "elements": {}}],
    }  # fmt: skip

    raw = codec.encode(Message("2100", parts=parts))

    assert codec.decode(raw).parts == parts
    assert raw.endswith(bytes.fromhex("0016" + "720008" + "2001" + "1234" + "9F020101" + "7200020000"))


BYTE = Field("Byte", "b", Fixed(1, "bytes"), "raw")
ALL = Datasets(1, 2, BerTlv(), dict.fromkeys(range(1, 127), BYTE))
PLACE = Place("104", 0, 1, "raw", None)


@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        ([1], "4000"), ([14], "0002"), ([15], "800100"), ([16], "800040"), ([21], "800002"), ([22], "80008100"),
        ([28], "80008002"), ([29], "8000808100"), ([1, 15, 21], "C00102"),
    ],
)  # fmt: skip
def test_elements_are_numbered_over_the_words(numbers: list[int], words: str) -> None:
    value = [{"id": "71", "format": "dbm", "elements": {str(number): "AA" for number in numbers}}]

    data = join(ALL, value, PLACE)

    assert data[3:].hex().upper() == words + "AA" * len(numbers)
    assert split(ALL, data, PLACE) == value


@given(
    numbers=st.sets(st.integers(1, 126), max_size=30),
    tail=st.lists(st.sampled_from([["9F02", "01"], ["82", "ABCD"]]), max_size=2),
)
@settings(max_examples=300, deadline=None)
def test_any_elements_are_written_and_read_again(numbers: set[int], tail: list[list[str]]) -> None:
    elements = {str(number): f"{number:02X}" for number in sorted(numbers)}
    value = [{"id": "71", "format": "dbm", "elements": elements} | ({"items": tail} if tail else {})]

    assert split(ALL, join(ALL, value, PLACE), PLACE) == value


@given(data=st.binary(max_size=40), name=st.sampled_from(["01", "70", "71", "FE"]))
@settings(max_examples=500, deadline=None)
def test_any_dataset_splits_or_is_refused_within_its_bytes(data: bytes, name: str) -> None:
    whole = bytes.fromhex(name) + len(data).to_bytes(2, "big") + data
    try:
        split(ALL, whole, PLACE)
    except Iso8583Error as error:
        refused = error
    else:
        return
    assert refused.field.startswith("104")
    assert 0 <= refused.offset <= len(whole)


@pytest.mark.parametrize(
    ("data", "code", "field", "offset"),
    [
        ("00000101", "bad_tag", "104", 0),
        ("FF000101", "bad_tag", "104", 0),
        ("710000", "bad_length", "104.71", 1),
        ("71000140", "truncated", "104.71", 3),
        ("710003800100", "truncated", "104.71.15", 6),
        ("7100024000", "truncated", "104.71.1", 5),
        ("7100020001", "truncated", "104.71", 5),
        ("710004400011BB", "trailing_bytes", "104.71", 6),
        ("7100044001AA9F", "bad_tag", "104", 6),
        ("710013" + "8000" + "80" * 17, "bad_bitmap", "104.71", 3),
        ("0100029F02", "truncated", "104.01.9F02", 5),
    ],
)
def test_a_broken_data_bitmap_is_refused_at_its_place(data: str, code: str, field: str, offset: int) -> None:
    with pytest.raises(Iso8583Error) as refused:
        split(ALL, bytes.fromhex(data), PLACE)

    assert (refused.value.code, refused.value.offset) == (code, offset)
    assert refused.value.field.startswith(field)


def test_an_element_without_a_definition_is_refused() -> None:
    with pytest.raises(Iso8583Error, match=r"49\.71\.9"):
        iso8583.codec("iso2023b").encode(
            Message("2100", parts={49: [{"id": "71", "format": "dbm", "elements": {"9": "00"}}]})
        )


@pytest.mark.parametrize(
    "value",
    [
        [{"id": "71", "format": "dbm"}],
        [{"id": "71", "format": "tlv", "items": []}],
        [{"id": "01", "format": "dbm", "elements": {}}],
        [{"id": "01", "format": "tlv", "items": []}],
        [{"id": "71", "format": "dbm", "elements": {"127": "AA"}}],
        [{"id": "71", "format": "dbm", "elements": {"0": "AA"}}],
        [{"id": "71", "format": "dbm", "elements": {"01": "AA"}}],
        [{"id": "71", "format": "dbm", "elements": {"1": "AAAA"}}],
        [{"id": "71", "format": "dbm", "elements": {"1": "AA"}, "items": []}],
        [{"id": "00", "format": "tlv", "items": [["82", "00"]]}],
        [{"id": "7", "format": "dbm", "elements": {"1": "AA"}}],
        [{"id": "71", "format": "dbm", "elements": []}],
        [{"id": 113, "format": "dbm", "elements": {}}],
        [{"id": "zz", "format": "dbm", "elements": {}}],
        [[]],
    ],
)
def test_datasets_that_would_be_written_as_something_else_are_refused(value: Any) -> None:
    with pytest.raises(Iso8583Error):
        join(ALL, value, PLACE)


@pytest.mark.parametrize(
    ("parts", "place"),
    [
        ({"kind": "datasets", "id_bytes": 2, "length_bytes": 2, "content": {"kind": "ber_tlv"}, "dbm": {}}, r"fields\.104"),
        ({"kind": "datasets", "id_bytes": 0, "length_bytes": 2, "content": {"kind": "ber_tlv"}}, r"fields\.104"),
        ({"kind": "bitmapped", "bitmap_bytes": 0, "extension_bit": False, "elements": {}}, r"fields\.104"),
        ({"kind": "bitmapped", "bitmap_bytes": 33, "extension_bit": False, "elements": {}}, r"fields\.104"),
        ({"kind": "datasets", "id_bytes": 1, "length_bytes": 2, "content": {"kind": "ber_tlv"},
          "dbm": {"127": {"name": "", "class": "b", "encoding": "raw",
                          "length": {"kind": "fixed", "size": 1, "unit": "bytes"}}}},
         r"fields\.104\.127"),
    ],
)  # fmt: skip
def test_parts_that_make_no_sense_are_refused_with_the_place(parts: dict[str, Any], place: str) -> None:
    plain = json.loads(iso8583.layout("iso2023b").to_json())
    plain["fields"]["104"]["parts"] = parts

    with pytest.raises(LayoutError, match=place):
        Layout.from_json(json.dumps(plain))


def test_a_layout_nested_too_deep_is_refused() -> None:
    tagged = (
        '{"kind":"tagged","tag":{"digits":1,"encoding":"text"},"length":{"digits":1,"encoding":"text"},"children":{"1":'
    )
    plain = json.loads(iso8583.layout("iso87a").to_json())
    plain["fields"]["48"]["parts"] = "HERE"
    text = json.dumps(plain).replace('"HERE"', tagged * 50_000 + "null" + "}}" * 50_000)

    with pytest.raises(LayoutError):
        Layout.from_json(text)


def test_parts_are_read_by_the_layout_they_belong_to() -> None:
    # Readers are kept by the identity of their layout; another layout of the same shape must not get them.
    plain = json.loads(iso8583.layout("post").to_json())
    for size in (1, 2, 3) * 20:
        length = {"kind": "fixed", "size": size, "unit": "characters"}
        plain["fields"]["127"]["parts"]["elements"] = {
            "2": {"name": "", "class": "ans", "encoding": "ascii", "length": length}
        }
        codec = Codec(Layout.from_json(json.dumps(plain)))
        raw = codec.encode(Message("0100", parts={127: {"items": {"2": "x" * size}}}))
        assert codec.decode(raw, Level.STRUCTURE).parts == {127: {"items": {"2": "x" * size}}}


def nested_layout() -> Codec:
    """DE127 as bitmap, in it hex digits with chip data and a bitmap with tagged text."""
    plain = json.loads(iso8583.layout("post").to_json())
    of_bytes = {
        "kind": "variable",
        "max": 99,
        "unit": "bytes",
        "prefix": {"encoding": "ascii", "bytes": 2, "digits": 2},
    }
    of_text = of_bytes | {"unit": "characters"}
    chip = {"name": "Chip", "class": "b", "encoding": "hex_ascii", "length": of_bytes, "parts": {"kind": "ber_tlv"}}
    number = {"digits": 2, "encoding": "text"}
    tagged = {"name": "Tags", "class": "ans", "encoding": "ascii", "length": of_text,
              "parts": {"kind": "tagged", "tag": number, "length": number}}  # fmt: skip
    bits = {"name": "Bits", "class": "b", "encoding": "raw", "length": of_bytes,
            "parts": {"kind": "bitmapped", "bitmap_bytes": 1, "extension_bit": False, "elements": {"4": tagged}}}  # fmt: skip
    plain["fields"]["127"]["parts"]["elements"] |= {"30": chip, "31": bits}
    return Codec(Layout.from_json(json.dumps(plain)))


def test_parts_split_inside_of_parts_and_hide_what_they_find() -> None:
    codec = nested_layout()
    parts = {127: {"items": {"30": [["5A", "4111111111111111"]], "31": {"items": {"4": {"items": [["01", "Z"]]}}}}}}

    raw = codec.encode(Message("0100", parts=parts))
    message = codec.decode(raw)

    assert raw.endswith(b"105A084111111111111111" + b"08\x1005" + b"0101Z")
    assert message.parts == parts
    assert codec.encode(message) == raw
    assert "4111111111111111" not in repr(message)
    assert b"4111111111111111".hex() not in repr(message)


def test_an_error_inside_of_parts_has_its_path_and_place() -> None:
    codec = nested_layout()
    raw = codec.encode(Message("0100", parts={127: {"items": {"30": [["9F02", "0011"]]}}})).replace(
        b"9F0202", b"9F0203"
    )
    with pytest.raises(Iso8583Error) as refused:
        codec.decode(raw)

    assert (refused.value.code, refused.value.field) == ("truncated", "127.30.9F02")
    assert refused.value.offset == raw.index(b"9F0203") + 6
    with pytest.raises(Iso8583Error, match=r"127\.30"):
        codec.encode(Message("0100", parts={127: {"items": {"30": [["9F", "00"]]}}}))
