"""Settlement and disputes from an acquirer's statement: read whole, or not at all."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from shanraq.adapters.mastercard.statement import COLUMNS, DISPUTE_COLUMNS, disputes_of, lines_of
from shanraq.core.money import Money
from shanraq.settlement.port import DisputeStage, LineKind, SettlementUnreadableError

CLOSED = "2026-09-21T18:00:00.000Z"


def csv_of(columns: tuple[str, ...], *rows: str) -> bytes:
    return "\r\n".join((",".join(columns), *rows, "")).encode()


STATEMENT = csv_of(
    COLUMNS,
    f"pay_1/b,{CLOSED},7,pay_1,b,CAPTURE,CAPTURE,,000000000001,KZT,60.50,0.73,0.09,0.27,1.09,59.41",
    f"pay_2/d,{CLOSED},7,pay_2,d,PAYMENT,PAY,,000000000002,JPY,700,8,1,-3,6,694",
    f"pay_1/r,{CLOSED},7,pay_1,r,REFUND,REFUND,,000000000003,KZT,-10.00,-0.12,0.02,0.00,-0.10,-9.90",
    f"pay_3/s,{CLOSED},7,pay_3,s,REFUND,STANDALONE_REFUND,,000000000004,KZT,-1.00,0.00,0.00,0.00,0.00,-1.00",
    f"D1/0,{CLOSED},7,pay_1,CB9,CHARGEBACK,,b,000000000005,KZT,-20.00,0.00,0.00,5.00,5.00,-25.00",
    f"D1/1,{CLOSED},7,pay_1,,CHARGEBACK_REVERSAL,,b,,KZT,20.00,0.00,0.00,0.00,0.00,20.00",
)
DISPUTES = csv_of(
    DISPUTE_COLUMNS,
    f'D1,{CLOSED},CHARGEBACK,pay_1,b,20.00,KZT,4837,"No authorization, said",2026-11-05T18:00:00.000Z',
    "D1,2026-09-23T02:00:00+05:00,WON,pay_1,b,20.00,KZT,4837,,",
)


def test_a_statement_has_lines_with_fees() -> None:
    lines = lines_of(STATEMENT)

    assert [(one.line_id, one.kind, one.amount, one.net_minor) for one in lines] == [
        ("pay_1/b", LineKind.CAPTURE, Money.of(6050, "KZT"), 5941),
        ("pay_2/d", LineKind.CAPTURE, Money.of(700, "JPY"), 694),
        ("pay_1/r", LineKind.REFUND, Money.of(1000, "KZT"), -990),
        ("pay_3/s", LineKind.CREDIT, Money.of(100, "KZT"), -100),
        ("D1/0", LineKind.CHARGEBACK, Money.of(2000, "KZT"), -2500),
        ("D1/1", LineKind.REPRESENTMENT, Money.of(2000, "KZT"), 2000),
    ]
    first, charged = lines[0], lines[4]
    assert (first.interchange.minor, first.scheme_fee.minor, first.processing_fee.minor) == (73, 9, 27)
    assert (first.reference, first.operation_id, first.gateway_id, first.batch_id) == ("pay_1", "b", "b", "7")
    assert (first.settled_on, first.reconciliation_id) == (date(2026, 9, 21), "000000000001")
    assert (charged.operation_id, charged.gateway_id) == ("", "b")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"settlement.id", b"id"),
        (b"0.73,0.09,0.27,1.09,59.41", b"0.73,0.09,0.27,1.08,59.42"),
        (b"0.73,0.09,0.27,1.09,59.41", b"0.73,0.09,0.27,1.09,59.42"),
        (b"0.73,0.09,0.27,1.09,59.41", b"0.73,0.09,0.27,1.09"),
        (b"60.50", b"60.505"),
        (b"60.50", b"--60.50"),
        (b"60.50", b""),
        (b"KZT,60.50", b"XXX,60.50"),
        (b"60.50,0.73,0.09,0.27,1.09,59.41", b"-60.50,0.73,0.09,0.27,1.09,-61.59"),
        (b"60.50,0.73,0.09,0.27,1.09,59.41", b"0.00,0.73,0.09,0.27,1.09,-1.09"),
        (b"b,CAPTURE,CAPTURE", b"b,PAYOUT,CAPTURE"),
        (b"pay_1,b,", b"pay_1,,"),
        (b"pay_1,b,", b",b,"),
        (b"pay_1/b", b""),
        (b"CHARGEBACK,,b", b"CHARGEBACK,,"),
        (b"pay_2/d", b"pay_1/b"),
        (CLOSED.encode(), b"2026-09-21T18:00:00"),
        (CLOSED.encode(), b"monday"),
        (b"CAPTURE", b"\xff"),
        (b"D1/0", b'"D1"0'),
    ],
)
def test_a_statement_that_cannot_be_read_whole_is_not_read(before: bytes, after: bytes) -> None:
    content = STATEMENT.replace(before, after, 1)
    assert content != STATEMENT

    with pytest.raises(SettlementUnreadableError):
        lines_of(content)


def test_disputes_have_stage_reason_and_the_time_to_answer() -> None:
    opened, won = disputes_of(DISPUTES)

    assert (opened.dispute_id, opened.stage, opened.reference, opened.gateway_id) == (
        "D1", DisputeStage.CHARGEBACK, "pay_1", "b",
    )  # fmt: skip
    assert (opened.amount, opened.reason_code, opened.reason) == (
        Money.of(2000, "KZT"),
        "4837",
        "No authorization, said",
    )
    assert opened.respond_by == datetime(2026, 11, 5, 18, tzinfo=UTC)
    assert (won.stage, won.opened_at, won.respond_by) == (
        DisputeStage.WON, datetime(2026, 9, 22, 21, tzinfo=UTC), None,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"dispute.id", b"id"),
        (b"CHARGEBACK", b"RUMOUR"),
        (b"20.00", b"-20.001"),
        (b"KZT", b"XXX"),
        (b"D1", b""),
        (b"pay_1,b", b"pay_1,"),
        (b"2026-11-05T18:00:00.000Z", b"soon"),
    ],
)
def test_disputes_that_cannot_be_read_whole_are_not_read(before: bytes, after: bytes) -> None:
    content = DISPUTES.replace(before, after, 1)
    assert content != DISPUTES

    with pytest.raises(SettlementUnreadableError):
        disputes_of(content)
