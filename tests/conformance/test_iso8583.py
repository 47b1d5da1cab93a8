"""ISO 8583 vectors: messages, broken and tolerated ones, TLV strings, layouts, guessing, masking, mutations."""

from __future__ import annotations

import json
import os
import random
from functools import cache
from typing import Any

import pytest

from shanraq.standards import iso8583
from shanraq.standards.iso8583 import Codec, Iso8583Error, Layout, Level, Message
from shanraq.standards.iso8583.doctor import diagnose
from shanraq.standards.iso8583.layout import BerTlv
from shanraq.standards.iso8583.parts import Place, join, split
from tests.conformance.data import conformance_data
from tests.standards.iso8583.samples import mutated

ROOT = conformance_data("iso8583")
FULL = os.environ.get("SHANRAQ_DRILL") == "full"
MUTATIONS = 1_000_000 if FULL else 20_000

Case = dict[str, Any]


def layout_ids() -> list[str]:
    return sorted(path.stem for path in (ROOT / "specs").glob("*.json") if path.stem not in ("INDEX", "layout.schema"))


@cache
def codec(name: str) -> Codec:
    return Codec(Layout.from_json((ROOT / "specs" / f"{name}.json").read_bytes()))


@cache
def messages() -> list[Case]:
    return [case for path in sorted((ROOT / "messages").glob("*.json")) for case in json.loads(path.read_bytes())]


def cases(name: str) -> list[Any]:
    return [pytest.param(case, id=case["id"]) for case in json.loads((ROOT / name).read_bytes())]


@pytest.mark.parametrize("case", [pytest.param(case, id=case["id"]) for case in messages()])
def test_message_is_read_and_written_byte_for_byte(case: Case) -> None:
    raw = bytes.fromhex(case["raw_hex"])

    message = codec(case["layout"]).decode(raw)

    shown = message.to_dict()
    assert (shown["mti"], shown["fields"]) == (case["mti"], case["fields"])
    assert shown["header"] == case.get("header")
    assert shown["parts"] == (case.get("parts") or {})
    assert message.header_parts == (case.get("header_parts") or {})
    assert {str(number): list(span) for number, span in message.spans.items() if number} == case["offsets"]
    assert codec(case["layout"]).encode(message) == raw
    assert codec(case["layout"]).encode(Message.from_dict(json.loads(json.dumps(shown)))) == raw


@pytest.mark.parametrize("case", [pytest.param(case, id=case["id"]) for case in messages() if case.get("parts")])
def test_elements_are_put_together_from_their_parts(case: Case) -> None:
    message = codec(case["layout"]).decode(bytes.fromhex(case["raw_hex"]))
    for number in message.parts:
        del message.fields[number]

    assert codec(case["layout"]).encode(message).hex().upper() == case["raw_hex"]


@pytest.mark.parametrize("layout", sorted({case["layout"] for case in messages()}))
def test_what_is_cut_or_too_long_is_refused(layout: str) -> None:
    for case in messages():
        if case["layout"] == layout:
            raw = bytes.fromhex(case["raw_hex"])
            for end in range(len(raw)):
                with pytest.raises(Iso8583Error):
                    codec(layout).decode(raw[:end])
            with pytest.raises(Iso8583Error):
                codec(layout).decode(raw + raw[-1:])


@pytest.mark.parametrize("case", cases("negative.json"))
def test_broken_message_is_refused_where_it_is_broken(case: Case) -> None:
    raw, level, wanted = bytes.fromhex(case["raw_hex"]), Level(case["level"]), case["error"]

    with pytest.raises(Iso8583Error) as refused:
        codec(case["layout"]).decode(raw, level)

    error = refused.value
    assert error.level is level
    assert error.offset == wanted["offset"]
    if wanted.get("inside_composite"):
        assert error.field.split(".")[0] == wanted["field"].split(".")[0]
        assert error.field.startswith(wanted["field"])
    else:
        assert error.field == wanted["field"]
    assert error.partial is not None
    for below in list(Level)[: list(Level).index(level)]:
        codec(case["layout"]).decode(raw, below)


@pytest.mark.parametrize("case", cases("tolerated.json"))
def test_unusual_message_is_taken_and_written_as_usual(case: Case) -> None:
    message = codec(case["layout"]).decode(bytes.fromhex(case["raw_hex"]))

    shown = message.to_dict()
    assert (shown["mti"], shown["fields"]) == (case["mti"], case["fields"])
    assert case.get("parts") in (None, shown["parts"])
    assert codec(case["layout"]).encode(message).hex().upper() == case["reencodes_to_hex"]


TLV = json.loads((ROOT / "ber_tlv.json").read_bytes())
PLACE = Place("55", 0, 1, "raw", None)


@pytest.mark.parametrize("case", [pytest.param(case, id=case["id"]) for case in TLV["good"]])
def test_tlv_string_is_split_and_joined(case: Case) -> None:
    items = split(BerTlv(), bytes.fromhex(case["hex"]), PLACE)

    assert items == case["items"]
    assert split(BerTlv(), join(BerTlv(), items, PLACE), PLACE) == items


@pytest.mark.parametrize("case", [pytest.param(case, id=case["id"]) for case in TLV["bad"]])
def test_broken_tlv_string_is_refused(case: Case) -> None:
    with pytest.raises(Iso8583Error) as refused:
        split(BerTlv(), bytes.fromhex(case["hex"]), PLACE)

    assert refused.value.offset == case["offset"]


@pytest.mark.parametrize("name", layout_ids())
def test_layout_comes_with_the_library_and_survives_a_round_trip(name: str) -> None:
    layout = codec(name).layout

    again = Layout.from_json(layout.to_json())
    shipped = iso8583.layout(name)

    assert again == layout
    assert json.loads(layout.to_json()) == json.loads((ROOT / "specs" / f"{name}.json").read_bytes())
    assert (shipped.fields, shipped.bitmap, shipped.mti, shipped.header, shipped.charset) == (
        layout.fields, layout.bitmap, layout.mti, layout.header, layout.charset
    )  # fmt: skip


def test_layouts_are_guessed_from_the_bytes_alone() -> None:
    codecs = [codec(name) for name in layout_ids()]
    missed = []
    for case in messages():
        raw = bytes.fromhex(case["raw_hex"])
        readings = diagnose(raw, codecs)
        best = [reading for reading in readings if reading.score == readings[0].score]
        same = [
            reading
            for reading in best
            if reading.message is not None and reading.message.to_dict()["fields"] == case["fields"]
        ]
        if not same:
            missed.append((case["id"], [reading.layout for reading in best]))
    assert len(missed) <= len(messages()) // 20, missed


def test_no_output_shows_a_card_number_or_a_secret() -> None:
    for case in messages():
        message = codec(case["layout"]).decode(bytes.fromhex(case["raw_hex"]))
        pan, pin = case["fields"].get("2"), case["fields"].get("52")
        tracks = [case["fields"].get(number) for number in ("35", "36", "45")]
        for text in (repr(message), str(message), json.dumps(message.masked())):
            for secret in (pan, pin, *tracks):
                assert not secret or len(secret) < 12 or secret not in text, case["id"]


def attempt(one: Codec, data: bytes, level: Level) -> tuple[Message | None, Iso8583Error | None]:
    try:
        return one.decode(data, level), None
    except Iso8583Error as error:
        return None, error


@pytest.mark.drill
@pytest.mark.timeout(3000)
def test_mutated_messages_raise_only_the_documented_error() -> None:
    dice = random.Random(8583)
    seeds = [(codec(case["layout"]), bytes.fromhex(case["raw_hex"])) for case in messages()]
    refused = 0
    for _ in range(MUTATIONS):
        one, raw = dice.choice(seeds)
        data = mutated(raw, dice)
        message, error = attempt(one, data, dice.choice(list(Level)))
        if error is not None:
            refused += 1
            assert error.field and 0 <= error.offset <= len(data), error
        elif message is not None and message.mti.isascii() and message.mti.isdigit():
            assert one.decode(one.encode(message), Level.STRUCTURE).fields == message.fields
    assert refused > MUTATIONS // 3
