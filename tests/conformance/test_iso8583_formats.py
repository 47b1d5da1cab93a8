"""Layouts in the formats of other products: what comes back decodes the vectors alike, and pyiso8583 itself reads ours."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import iso8583 as oracle
import pytest

from shanraq.standards import iso8583
from shanraq.standards.iso8583 import Codec, Layout, Level
from shanraq.standards.iso8583.formats import (
    SpecificationFormat,
    export_layout,
    import_layout,
    pyiso8583_dict,
)
from shanraq.standards.iso8583.layout import Variable
from tests.conformance.data import conformance_data

ROOT = conformance_data("iso8583")
FORMS: tuple[SpecificationFormat, ...] = ("moov", "jpos", "pyiso8583")
MESSAGES = [case for path in sorted((ROOT / "messages").glob("*.json")) for case in json.loads(path.read_bytes())]
FIXED_BITMAP = "spec87ascii_tlv55_2bm"
OTHER_CHARACTERS = frozenset("![]^|¢¬\n")


def of_layout(name: str) -> list[dict[str, Any]]:
    return [case for case in MESSAGES if case["layout"] == name]


def without_header(layout: Layout, raw: bytes) -> bytes:
    return raw[layout.header.bytes :] if layout.header is not None else raw


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", iso8583.layout_names())
def test_a_layout_that_went_out_and_came_back_reads_the_vectors_alike(name: str, form: SpecificationFormat) -> None:
    layout = iso8583.layout(name)
    exported = export_layout(layout, form)
    imported = import_layout(exported.text.encode(), iso_version=layout.iso_version)
    lost = {note.place.split(".")[0] for note in (*exported.losses, *imported.losses)}
    whole = not lost

    codec = Codec(imported.layout)
    gone = {number for number in layout.fields if number not in imported.layout.fields}
    assert {str(number) for number in gone} <= lost
    if name == FIXED_BITMAP and form != "moov":
        assert "bitmap" in lost
        return
    for case in of_layout(name):
        raw = bytes.fromhex(case["raw_hex"])
        if form != "pyiso8583":
            raw = without_header(layout, raw)
        if any(
            int(number) in gone or (number in lost and not value.isascii()) for number, value in case["fields"].items()
        ):
            continue
        message = codec.decode(raw, Level.STRUCTURE)
        assert message.mti == case["mti"]
        for number, value in message.fields.items():
            wanted = case["fields"][str(number)]
            if str(number) not in lost and not ("charset" in lost and OTHER_CHARACTERS & {*value, *wanted}):
                assert value == wanted, (case["id"], number)
        if whole or lost.isdisjoint(("bitmap", "charset")):
            assert codec.encode(message) == raw


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", iso8583.layout_names())
def test_nothing_is_lost_without_saying_so(name: str, form: SpecificationFormat) -> None:
    layout = iso8583.layout(name)
    exported = export_layout(layout, form)
    again = import_layout(exported.text.encode(), iso_version=layout.iso_version)
    lost = {note.place.split(".")[0] for note in (*exported.losses, *again.losses)}
    remarks = {note.place.split(".")[0] for note in (*exported.notes, *again.notes)}

    if "bitmap" not in remarks:
        assert again.layout.bitmap == layout.bitmap
    assert again.layout.mti == layout.mti
    for number, field in layout.fields.items():
        place = str(number)
        if place in lost:
            continue
        came = again.layout.fields[number]
        if field.parts is not None and place not in remarks:
            assert came.parts is not None, place
        if (field.encoding, came.encoding) not in (("latin1", "ascii"), ("hex_ascii", "ascii"), ("ascii", "latin1")):
            assert came.encoding == field.encoding, place
            assert came.length == field.length, place
            odd = field.encoding == "bcd" and (isinstance(field.length, Variable) or field.length.size % 2)
            assert not odd or came.pad_nibble == field.pad_nibble, place


def dict_of(layout: Layout) -> dict[str, Any]:
    return pyiso8583_dict(layout)[0]


@pytest.mark.parametrize("name", sorted({case["layout"] for case in MESSAGES} - {FIXED_BITMAP}))
def test_pyiso8583_reads_and_writes_our_messages_with_our_layout(name: str) -> None:
    layout = iso8583.layout(name)
    spec, notes = pyiso8583_dict(layout)
    lost = {note.place for note in notes if note.kind == "loss" and "parts of kind" not in note.reason}
    for case in of_layout(name):
        raw = bytes.fromhex(case["raw_hex"])

        decoded, _ = oracle.decode(raw, spec)
        encoded, _ = oracle.encode(dict(decoded), spec)

        assert decoded["t"] == case["mti"]
        found = {number: value for number, value in decoded.items() if number.isdigit() and number not in ("1", *lost)}
        assert found == {number: value for number, value in case["fields"].items() if number not in lost}
        if "bitmap" not in lost:
            assert encoded.hex().upper() == case["raw_hex"]


def break_prefix(spec: dict[str, Any]) -> None:
    spec["2"]["len_type"] = 3


def break_bitmap(spec: dict[str, Any]) -> None:
    spec["p"]["data_enc"] = "ascii"


@pytest.mark.parametrize("change", [break_prefix, break_bitmap])
def test_a_wrong_specification_would_be_noticed(change: Callable[[dict[str, Any]], None]) -> None:
    spec = dict_of(iso8583.layout("iso87_asciibin"))
    change(spec)
    raw = bytes.fromhex(of_layout("iso87_asciibin")[0]["raw_hex"])

    with pytest.raises(oracle.DecodeError):
        oracle.decode(raw, spec)
