"""ISO 8583:2023 dataset composites: all good vectors are read and written again, all bad ones refused."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from shanraq.standards import iso8583
from shanraq.standards.iso8583 import Iso8583Error, Message
from shanraq.standards.iso8583.layout import BerTlv, Datasets, Field
from shanraq.standards.iso8583.parts import Place, join, split
from tests.conformance.data import conformance_data

CASES = json.loads((conformance_data("iso8583") / "datasets_2023.json").read_bytes())
BYTE = {"name": "Byte", "class": "b", "length": {"kind": "fixed", "size": 1, "unit": "bytes"}, "encoding": "raw"}


def datasets(element: int | None) -> Datasets:
    defined = CASES["element_definitions"].get(str(element), {str(number): BYTE for number in range(1, 127)})
    return Datasets(1, 2, BerTlv(), msgspec.convert(defined, dict[int, Field], str_keys=True))


@pytest.mark.parametrize("case", [pytest.param(case, id=case["id"]) for case in CASES["good"]])
def test_datasets_are_read_and_written(case: dict[str, Any]) -> None:
    parts, data, place = datasets(case["element"]), bytes.fromhex(case["hex"]), Place("49", 0, 1, "raw", None)

    found = split(parts, data, place)

    assert found == case["datasets"]
    assert join(parts, found, place) == data
    for end in range(1, len(data)):
        with pytest.raises(Iso8583Error):
            split(parts, data[:end], place)


@pytest.mark.parametrize("case", [pytest.param(case, id=case["id"]) for case in CASES["good"] if case["element"]])
def test_datasets_are_in_the_layout_of_2023(case: dict[str, Any]) -> None:
    codec = iso8583.codec("iso2023b")
    raw = codec.encode(Message("2100", parts={case["element"]: case["datasets"]}))

    message = codec.decode(raw)

    assert message.fields == {case["element"]: case["hex"]}
    assert message.parts == {case["element"]: case["datasets"]}


@pytest.mark.parametrize("case", [pytest.param(case, id=case["id"]) for case in CASES["bad"]])
def test_broken_datasets_are_refused(case: dict[str, Any]) -> None:
    with pytest.raises(Iso8583Error) as refused:
        split(datasets(None), bytes.fromhex(case["hex"]), Place("49", 0, 1, "raw", None))

    assert refused.value.field.startswith("49")
    assert 0 <= refused.value.offset <= len(case["hex"]) // 2
