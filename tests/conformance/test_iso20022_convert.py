"""ISO 20022: changing versions accounts for every value of real and generated messages, and the result is valid."""

from __future__ import annotations

import csv
from collections import Counter

import pytest
from lxml import etree

from shanraq.standards import iso20022
from tests.conformance.iso20022_official import ROOT, archive
from tests.conformance.test_iso20022_json import KNOWN, sample_parts
from tests.standards.iso20022.test_convert import attempt, listed


def accounted(document: etree._Element, message_id: str, to: str) -> bool:
    """Tell whether all values are accounted for, False when the version demands more than the message says."""
    converted, lacking = attempt(document, to)
    if converted is None:
        assert lacking, (message_id, to)
        return False
    assert Counter((trace.path, trace.value) for trace in converted.traces) == listed(
        iso20022.cut_out(document), message_id
    )
    there = [trace for trace in converted.traces if trace.outcome != "dropped"]
    assert Counter((trace.target, trace.new_value) for trace in there) == listed(converted.document, to)
    assert all(trace.value == trace.new_value for trace in there if trace.outcome != "changed")
    return True


def versions(message_id: str) -> list[str]:
    return [each for each in iso20022.library().versions(message_id[:8]) if each != message_id]


def test_every_valid_sample_in_every_version() -> None:
    verdicts: Counter[bool] = Counter()
    for _, part, _ in sample_parts():
        message_id = str(part.message_id)
        for to in versions(message_id):
            verdicts[accounted(part.element, message_id, to)] += 1

    assert verdicts[True] > 1000
    assert verdicts[True] > 3 * verdicts[False]


@pytest.mark.parametrize("size", ["min", "max"])
def test_every_generated_instance_in_its_neighbours(size: str) -> None:
    instances = archive("generated/instances.tar.xz")
    with (ROOT / "generated/MANIFEST.tsv").open(encoding="utf-8") as file:
        lines = [line for line in csv.DictReader(file, delimiter="\t") if line["message_id"] in KNOWN]
    verdicts: Counter[bool] = Counter()
    for line in lines:
        message_id = line["message_id"]
        if not line["file"].endswith(f".{size}.xml") or line["verdict"] != "valid":
            continue
        near = [each for each in versions(message_id) if abs(int(each[-2:]) - int(message_id[-2:])) <= 1]
        for to in near:
            verdicts[accounted(iso20022.parse(instances[line["file"]]), message_id, to)] += 1

    assert verdicts[True] > 250
    assert verdicts[True] > 3 * verdicts[False]


def test_up_and_down_again_gives_the_same_message() -> None:
    same = 0
    for _, part, _ in sample_parts():
        message_id = str(part.message_id)
        for to in versions(message_id):
            up = attempt(part.element, to)[0]
            if up is not None and to > message_id and not up.losses:
                down = iso20022.convert(up.document, to=message_id)
                assert listed(down.document, message_id) == listed(iso20022.cut_out(part.element), message_id)
                same += 1

    assert same > 300
