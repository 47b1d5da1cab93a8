"""The transaction history."""

from __future__ import annotations

import csv
import io
from decimal import Decimal
from typing import Any

import pytest

from shanraq.simulators.mastercard.history import history_csv, read_query
from shanraq.simulators.mastercard.refusal import Refusal

WINDOW = "timeOfRecord.start=2026-07-20T00:00:00Z&timeOfRecord.end=2026-07-21T00:00:00Z"


def reply(number: int, time: str, **order: Any) -> dict[str, Any]:
    return {
        "timeOfRecord": time,
        "result": "SUCCESS",
        "order": {"id": f"o{number}", **order},
        "transaction": {"id": "1"},
    }


def rows(content: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(content.decode(), newline=""), strict=True))


def test_exactly_the_asked_columns_come_under_the_asked_headers_oldest_first() -> None:
    query = read_query(
        f"columns=order.amount,order.id,order.reference,order&columnHeaders=Sum%20%C3%A9,Id,Ref,Block&{WINDOW}"
    )
    replies = [
        reply(1, "2026-07-20T23:59:59.999Z", amount=Decimal("10.00"), reference='a,"b"\nc'),
        reply(2, "2026-07-20T00:00:00.000Z", amount=Decimal("1E+2")),
        reply(3, "2026-07-21T00:00:00.000Z", amount=1),
    ]

    assert rows(history_csv(query, replies)) == [
        ["Sum é", "Id", "Ref", "Block"],
        ["100", "o2", "", ""],
        ["10.00", "o1", 'a,"b"\nc', ""],
    ]


def test_headers_are_the_columns_where_none_are_given() -> None:
    assert rows(history_csv(read_query(f"columns=order.id&{WINDOW}"), [])) == [["order.id"]]


def test_times_with_another_zone_are_understood() -> None:
    query = read_query(
        "columns=result&timeOfRecord.start=2026-07-20T05:00:00%2B05:00&timeOfRecord.end=2026-07-20T00:00:01Z"
    )

    assert len(rows(history_csv(query, [reply(1, "2026-07-20T00:00:00.500Z")]))) == 2


@pytest.mark.parametrize(
    ("query", "field", "kind"),
    [
        ("", "columns", "MISSING"),
        ("columns=result", "timeOfRecord.start", "MISSING"),
        (f"{WINDOW}&columns=", "columns", "INVALID"),
        (f"{WINDOW}&columns=a..b", "columns", "INVALID"),
        (f"{WINDOW}&columns=a,", "columns", "INVALID"),
        (f"{WINDOW}&columns=a,b&columnHeaders=x", "columnHeaders", "INVALID"),
        (f"{WINDOW}&columns=a&columnHeaders=%0Ax", "columnHeaders", "INVALID"),
        (f"{WINDOW}&columns=a&columns=b", "columns", "INVALID"),
        (f"{WINDOW}&columns=a&merchant=x", "merchant", "UNSUPPORTED"),
        (f"{WINDOW}&columns=%ff", "", "INVALID"),
        (f"{WINDOW}&columns", "", "INVALID"),
        (
            "columns=a&timeOfRecord.start=2026-07-20T00:00:00&timeOfRecord.end=2026-07-21T00:00:00Z",
            "timeOfRecord.start",
            "INVALID",
        ),
        (
            "columns=a&timeOfRecord.start=2026-07-20T00:00:00Z&timeOfRecord.end=2026-02-30T00:00:00Z",
            "timeOfRecord.end",
            "INVALID",
        ),
        (
            "columns=a&timeOfRecord.start=2026-07-20T00:00:00Z&timeOfRecord.end=2026-07-20T00:00:00Z",
            "timeOfRecord.end",
            "INVALID",
        ),
    ],
)
def test_a_query_that_is_not_right_is_refused_by_name(query: str, field: str, kind: str) -> None:
    with pytest.raises(Refusal) as refused:
        read_query(query)

    assert (refused.value.field, refused.value.validation_type, refused.value.status) == (field, kind, 400)
