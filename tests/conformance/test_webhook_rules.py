"""Rules of delivery as data: event names, subscriptions, Retry-After, the catalogue."""

from __future__ import annotations

import csv
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from shanraq import events
from shanraq.webhooks.matching import is_sensitive, matches
from shanraq.webhooks.retry import retry_delay_seconds
from tests.conformance.data import conformance_data

Case = dict[str, Any]


def cases(name: str) -> list[Any]:
    lines = conformance_data(f"webhooks/{name}.jsonl").read_text().splitlines()
    return [pytest.param(json.loads(line), id=json.loads(line)["id"]) for line in lines]


@pytest.mark.parametrize("case", cases("event_type_names"))
def test_event_type_names(case: Case) -> None:
    assert events.valid_name(case["type"]) == (case["expect"] == "accept")


@pytest.mark.parametrize("case", cases("subscription_match"))
def test_subscription_covers_exactly_its_types(case: Case) -> None:
    found = matches(case["event_types"], case["type"], include_sensitive=case["sensitive_scope"])

    assert found == (case["expect"] == "match")


@pytest.mark.parametrize("case", cases("retry_after"))
def test_receiver_may_only_lengthen_the_delay(case: Case) -> None:
    delay = retry_delay_seconds(
        case["schedule_delay_s"],
        status=case["status"],
        retry_after=case["retry_after"],
        now=datetime.fromtimestamp(case["now"], UTC),
    )

    assert delay == case["expect_delay_s"]


def test_retry_after_counts_on_429_and_503_only() -> None:
    now = datetime.now(UTC)

    delays = [retry_delay_seconds(5, status=status, retry_after="60", now=now) for status in (429, 503, 500, 502, None)]

    assert delays == [60, 60, 5, 5, 5]


OWN_RESOURCES = {
    "account",
    "chargeback",
    "credit_transfer",
    "payment",
    "payment_file",
    "recall",
    "settlement",
}  # with types beyond the published ones


def test_catalogue_holds_the_published_types_with_the_same_sensitivity() -> None:
    with conformance_data("webhooks/event_types.csv").open() as file:
        published = {row["type"]: row for row in csv.DictReader(file)}

    assert {name for name, row in published.items() if row["origin"] == "founding"} <= events.CATALOG.keys()
    assert {name.partition(".")[0] for name in events.CATALOG.keys() - published.keys()} == OWN_RESOURCES
    for name in events.CATALOG:
        assert events.valid_name(name)
        assert is_sensitive(name) == (name in published and published[name]["sensitive"] == "yes")
