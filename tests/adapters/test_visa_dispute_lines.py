"""What chargeback-details say of money: each step that moves some is a line, the others are none."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from shanraq.adapters.visa.reports import read_dispute_lines
from shanraq.core.money import Money
from shanraq.settlement.port import LineKind, SettlementUnreadableError


def step(nature: str, sign: str, action: str, hour: int = 1, **changes: Any) -> dict[str, Any]:
    return {
        "natureOfDispute": nature, "sign": sign, "action": action, "amount": "12.34", "currencyCode": "KZT",
        "requestId": "7000000000000000000001", "time": f"2026-11-25T{hour:02d}:00:00Z", "trackingNumber": "D1",
        "merchantReferenceNumber": "pay_1", "transactionReferenceNumber": "REC1", "reasonCode": "10.4",
    } | changes  # fmt: skip


def report(*steps: dict[str, Any]) -> bytes:
    return msgspec.json.encode({"chargebackDetails": steps})


def test_money_that_is_taken_and_given_back_is_a_line_each() -> None:
    lines = read_dispute_lines(
        report(
            step("Pre-Dispute", "+", "PRE_DISPUTE", 0),
            step("Chargeback", "-", "CHARGEBACK", 1),
            step("Representment", "+", "REPRESENTMENT", 2),
            step("Pre-Arbitration", "-", "PRE_ARBITRATION", 3),
            step("Arbitration", "+", "ARBITRATION", 4),
            step("Chargeback Reversal", "+", "WON", 5),
            step("Chargeback", "+", "LOST", 6, trackingNumber="D2"),
            step("Chargeback", "-", "ACCEPTED", 7, trackingNumber="D3"),
        )
    )

    assert [(one.kind, one.net_minor) for one in lines] == [
        (LineKind.CHARGEBACK, -1234),
        (LineKind.REPRESENTMENT, 1234),
        (LineKind.CHARGEBACK, -1234),
        (LineKind.REPRESENTMENT, 1234),
    ]
    assert len({one.line_id for one in lines}) == 4
    assert all(one.amount == Money.of(1234, "KZT") and one.reference == "pay_1" for one in lines)
    assert lines[0].gateway_id == "7000000000000000000001"


@pytest.mark.parametrize(
    "changes", [{"sign": ""}, {"sign": "?"}, {"amount": "1.234"}, {"currencyCode": "XXX"}, {"trackingNumber": ""}]
)
def test_a_step_that_cannot_be_read_makes_the_report_unreadable(changes: dict[str, Any]) -> None:
    with pytest.raises(SettlementUnreadableError):
        read_dispute_lines(report(step("Chargeback", "-", "CHARGEBACK") | changes))
