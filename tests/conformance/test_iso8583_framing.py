"""Framings against recorded frames and streams."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from shanraq.standards import iso8583
from shanraq.standards.iso8583 import FramingError, framing
from shanraq.standards.iso8583.doctor import diagnose
from tests.conformance.data import conformance_data

DATA: dict[str, Any] = json.loads(conformance_data("iso8583/framing.json").read_bytes())
CASES: list[dict[str, Any]] = DATA["framings"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["framing"])
def test_every_frame_is_written_and_read_byte_for_byte(case: dict[str, Any]) -> None:
    link = framing(case["framing"])
    for frame in case["frames"]:
        message, framed = bytes.fromhex(frame["message_hex"]), bytes.fromhex(frame["frame_hex"])

        assert link.frame(message) == framed
        assert [found.message for found in link.reader().feed(framed)] == [message]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["framing"])
def test_a_stream_comes_apart_whatever_its_pieces(case: dict[str, Any]) -> None:
    stream = bytes.fromhex(case["stream_hex"])
    keep_alive = bytes.fromhex(case["keep_alive_hex"] or "")
    for seed in range(60):
        chance = random.Random(seed)
        reader = framing(case["framing"]).reader()
        found: list[int] = []
        at = 0
        while at < len(stream):
            size = 1 if seed == 0 else chance.randint(1, 300)
            found += [len(received.message) for received in reader.feed(stream[at : at + size])]
            at += size

        assert found == case["stream_message_bytes"]
        assert reader.take_echoes() == keep_alive
        assert not reader.waiting


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["framing"])
def test_what_does_not_fit_is_refused_before_anything_is_sent(case: dict[str, Any]) -> None:
    most = min(case["max_message"], 20_000_000)
    link = framing(case["framing"], limit=case["max_message"])

    with pytest.raises(FramingError) as refused:
        framing(case["framing"], limit=most).frame(b"0" * (most + 1))

    assert link.limit == case["max_message"]
    assert refused.value.code == "too_long"


def test_session_control_is_no_message_and_not_echoed() -> None:
    reader = framing("cs").reader()

    assert reader.feed(bytes.fromhex(DATA["session_control"]["frame_hex"])) == []
    assert (reader.keep_alives, reader.take_echoes()) == (1, b"")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["framing"])
def test_the_doctor_sees_the_framing_of_a_capture(case: dict[str, Any]) -> None:
    codecs = [iso8583.codec(name) for name in iso8583.layout_names()]
    one, stream = bytes.fromhex(case["frames"][0]["frame_hex"]), bytes.fromhex(case["stream_hex"])

    of_one = {reading.framing for reading in diagnose(one, codecs) if reading.level is not None}
    of_stream = {reading.framing for reading in diagnose(stream, codecs) if reading.level is not None}

    assert case["framing"] in of_one
    assert f"{case['framing']}, {case['stream_messages']} messages" in of_stream
