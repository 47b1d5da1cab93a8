"""Rules on the messages of the vectors: what follows its edition has no finding, and what deviates is found."""

from __future__ import annotations

import json
from typing import Any

import pytest

from shanraq.standards import iso8583
from shanraq.standards.iso8583.rules import check_rules, rule_set
from tests.conformance.data import conformance_data

ROOT = conformance_data("iso8583")
MESSAGES = {case["id"]: case for path in (ROOT / "messages").glob("*.json") for case in json.loads(path.read_bytes())}
RIGHT = (
    "own-speed-0100", "own-speed-0200", "own-speed-0800", "own-87a-0302", "own-87a-0500", "own-87abbm-0100", "own-87b-0800",
    "own-93a-1100", "own-93a-1804", "own-93b-1100", "own-amex-1110", "own-mip-0110", "own-post-0200", "own-visa-0400", "visa-1",
    "visa-12", "mc-auth-2", "mc-auth-4", "mc-ipm-clearing-1", "own-ipm-1644",
)  # fmt: skip
WRONG = {
    "own-upos-0400": [("missing", "7"), ("missing", "90")],
    "own-87a-full": [("forbidden", "39")],
    "moov-min-0100": [("not_allowed", "3"), ("missing", "7"), ("missing", "11"), ("missing", "22"), ("missing", "49")],
}


def findings(case: dict[str, Any]) -> list[tuple[str, str]]:
    message = iso8583.codec(case["layout"]).decode(bytes.fromhex(case["raw_hex"]))
    rules = rule_set("iso93" if message.mti[0] == "1" else "iso87")
    return [(finding.code, finding.field) for finding in check_rules(message, rules)]


@pytest.mark.parametrize("name", RIGHT)
def test_messages_of_their_edition_have_nothing_wrong(name: str) -> None:
    assert findings(MESSAGES[name]) == []


@pytest.mark.parametrize("name", WRONG)
def test_deviations_are_found(name: str) -> None:
    assert findings(MESSAGES[name]) == WRONG[name]
