"""Which elements and values a message of a type has."""

from __future__ import annotations

import json
from typing import Any

import pytest

from shanraq.standards.iso8583 import Iso8583Error, LayoutError, Level, Message
from shanraq.standards.iso8583.flow import original_data, respond
from shanraq.standards.iso8583.rules import Rules, Values, check_rules, require_rules, rule_set, rule_set_names

REQUEST = Message(
    "0200",
    {
        2: "4111111111111111",
        3: "000000",
        4: "000000012500",
        7: "0401123045",
        11: "123456",
        22: "051",
        41: "TERM0001",
        49: "398",
    },
)


def found(message: Message, rules: str = "iso87", request: Message | None = None) -> list[tuple[str, str]]:
    return [(finding.code, finding.field) for finding in check_rules(message, rule_set(rules), request=request)]


def small(**changes: Any) -> dict[str, Any]:
    return {"schema": "iso8583-rules/1", "id": "small", "title": "", "iso_version": "1987", "messages": [], **changes}


def test_a_right_request_and_its_response_have_nothing_wrong() -> None:
    response = respond(REQUEST, "05")

    assert found(REQUEST) == []
    assert found(Message("0201", REQUEST.fields)) == []
    assert found(response, request=REQUEST) == []
    assert found(Message("0800", {7: "0401123045", 11: "123456", 70: "301"})) == []


def test_all_findings_come_at_once_in_order() -> None:
    message = Message("0200", {3: "990000", 4: "000000012500", 39: "00", 64: "00" * 8, 128: "00" * 8})

    assert found(message) == [
        ("missing", "2"), ("not_allowed", "3"), ("missing", "7"), ("missing", "11"), ("missing", "22"), ("forbidden", "39"),
        ("missing", "49"), ("forbidden", "128"),
    ]  # fmt: skip


@pytest.mark.parametrize("card", [2, 34, 35, 45])
def test_any_way_to_name_the_card_will_do(card: int) -> None:
    fields = {number: value for number, value in REQUEST.fields.items() if number != 2} | {card: "4111111111111111"}

    assert found(Message("0100", fields)) == []


def test_an_approval_needs_its_code() -> None:
    assert found(respond(REQUEST, "00")) == [("missing", "38")]
    assert found(respond(REQUEST, "51")) == []


def test_a_response_repeats_what_the_request_has() -> None:
    response = respond(REQUEST, "51")
    response.fields[11] = "123457"
    del response.fields[41]

    assert found(response) == []
    assert found(response, request=REQUEST) == [("not_echoed", "11"), ("not_echoed", "41")]


def test_a_reversal_names_its_original() -> None:
    fields = {n: v for n, v in REQUEST.fields.items() if n != 22}

    assert found(Message("0421", fields)) == [("missing", "90")]
    assert found(Message("0421", {**fields, 90: original_data(REQUEST)})) == []


@pytest.mark.parametrize(
    ("rules", "mti", "fields", "wrong"),
    [
        ("iso87", "0810", {7: "0401123045", 11: "1", 39: "00", 70: "999"}, [("not_allowed", "70")]),
        ("iso87", "0210", {3: "000000", 11: "1", 39: "45"}, [("not_allowed", "39")]),
        ("iso87", "0210", {3: "000000", 11: "1", 39: "N7"}, []),
        ("iso93", "1804", {11: "1", 12: "2", 24: "831"}, []),
        ("iso93", "1804", {11: "1", 12: "2", 24: "100"}, [("not_allowed", "24")]),
        ("iso93", "1420", {3: "000000", 4: "1", 11: "1", 12: "2", 24: "400", 49: "398"}, [("missing", "56")]),
        ("iso93", "1110", {3: "000000", 11: "1", 12: "2", 39: "000"}, [("missing", "38")]),
        ("iso2003", "2110", {3: "000000", 11: "1", 12: "2", 39: "9999"}, [("not_allowed", "39")]),
        ("iso2003", "2804", {11: "1", 12: "2", 24: "801"}, []),
        ("iso2003", "0100", {}, [("unknown_type", "mti")]),
        ("iso87", "", {}, [("unknown_type", "mti")]),
    ],
)
def test_types_of_every_edition(rules: str, mti: str, fields: dict[int, str], wrong: list[tuple[str, str]]) -> None:
    assert found(Message(mti, fields), rules) == wrong


def test_the_strict_call_raises_the_first_finding_without_its_value() -> None:
    with pytest.raises(Iso8583Error) as refused:
        require_rules(Message("0200", {**REQUEST.fields, 3: "987654"}), rule_set("iso87"))

    assert (refused.value.code, refused.value.field, refused.value.level) == ("not_allowed", "3", Level.SEMANTIC)
    assert "987654" not in f"{refused.value}{refused.value.expected}"
    require_rules(REQUEST, rule_set("iso87"))
    with pytest.raises(Iso8583Error, match="mti"):
        require_rules(Message("9999"), rule_set("iso87"))


@pytest.mark.parametrize(
    ("values", "value", "right"),
    [
        (Values(ranges=("100-199",)), "150", True), (Values(ranges=("100-199",)), "200", False),
        (Values(ranges=("100-199",)), "1500", False), (Values(ranges=("A0-MZ",)), "B7", True),
        (Values(ranges=("A0-MZ",)), "N0", False), (Values(ranges=("0A-9Z",)), "11", False),
        (Values(ranges=("45-50",)), "47", True), (Values(ranges=("10-19",)), "1²", False),
        (Values(allowed=("20",), at=2, size=2), "002000", True),
        (Values(allowed=("20",), at=4), "002000", False),
    ],
)  # fmt: skip
def test_values_are_listed_or_within_a_range(values: Values, value: str, right: bool) -> None:
    assert values.hold(value) is right


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"schema": "other"}, "schema"),
        ({"unknown": 1}, "unknown"),
        ({"messages": [{"types": []}]}, "types"),
        ({"messages": [{"types": ["01X0"]}]}, "types"),
        ({"messages": [{"types": ["0100"], "mandatory": [1]}]}, "element 1"),
        ({"messages": [{"types": ["0100"], "one_of": [[193]]}]}, "element 193"),
        ({"messages": [{"types": ["0100"], "conditional": [{"element": 1, "when": {"element": 2}}]}]}, "conditional"),
        ({"values": {"3": {}}}, "values.3"),
        ({"values": {"3": {"ranges": ["1-22"]}}}, "values.3"),
        ({"values": {"3": {"ranges": ["1"]}}}, "values.3"),
        ({"values": {"3": {"allowed": ["1"], "at": -1}}}, "values.3"),
        ({"messages": [{"types": ["0100"], "values": {"3": {"allowed": ["1"], "size": 0}}}]}, "values.3"),
    ],
)
def test_rules_that_make_no_sense_are_refused_with_the_place(changes: dict[str, Any], place: str) -> None:
    with pytest.raises(LayoutError, match=place):
        Rules.from_json(json.dumps(small(**changes)))


@pytest.mark.parametrize("name", rule_set_names())
def test_rules_survive_a_round_trip(name: str) -> None:
    assert Rules.from_json(rule_set(name).to_json()) == rule_set(name)


def test_there_are_no_such_rules() -> None:
    with pytest.raises(LayoutError, match="iso87"):
        rule_set("nothing")
