"""Which operation a line means, without a database."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime

import msgspec
import pytest

from shanraq.core.actor import Environment
from shanraq.core.money import Money
from shanraq.settlement import FeeRule, LineKind, LineState, StoredLine
from shanraq.settlement.match import Candidates, judge
from shanraq.settlement.model import OperationSide, flaw_of
from shanraq.settlement.reasons import meaning_of
from tests.settlement.acquirer import line

DAY = date(2026, 11, 25)


def told(kind: LineKind = LineKind.CAPTURE, amount: int = 100, **keys: str) -> StoredLine:
    return StoredLine(
        id="stl_1", environment=Environment.SANDBOX, adapter="fake", day=DAY, line_id="1", kind=kind, batch_id="",
        settled_on=DAY, reference=keys.get("reference", ""), gateway_id=keys.get("gateway_id", ""),
        told_operation_id=keys.get("operation_id", ""), reconciliation_id=keys.get("reconciliation_id", ""),
        amount=amount, currency="KZT", interchange=1, scheme_fee=0, processing_fee=0, net=amount - 1, flaw="",
        state=LineState.NEW, partner_id="", book=0, payment_id=None, operation_id=None, posted_at=None,
    )  # fmt: skip


def side(id_: str, kind: LineKind | None = LineKind.CAPTURE, amount: int = 100, **changes: object) -> OperationSide:
    made = OperationSide(
        id=id_, payment_id="pay_1", partner_id="prt_1", book=2, kind=kind, amount=amount, currency="KZT",
        status="succeeded", gateway_id=f"gw-{id_}", brand="visa", voided=False, sent_at=datetime(2026, 11, 25, tzinfo=UTC),
    )  # fmt: skip
    return msgspec.structs.replace(made, **changes)


def meant(line: StoredLine, *sides: OperationSide, settled: tuple[str, ...] = ()) -> str | None:
    owner = Candidates(sides, {"rec": ("pay_1", "prt_1", 2)}, settled).owner_of(line)
    return None if owner is None else owner.operation_id


def test_the_surest_key_wins() -> None:
    both = side("a"), side("b", amount=50)

    assert meant(told(operation_id="b", gateway_id="gw-a"), *both) == "b"
    assert meant(told(gateway_id="gw-b"), *both) == "b"
    assert meant(told(reference="pay_1", amount=50), *both) == "b"
    assert meant(told(reconciliation_id="rec", amount=50), *both) == "b"
    assert meant(told(reference="pay_2", reconciliation_id="rec"), *both) is None
    assert meant(told(reference="pay_1", amount=70), *both) is None, "which of the two is not told"
    assert meant(told(LineKind.REFUND, operation_id="a"), *both) is None, "a capture is no refund"
    assert meant(told(), *both) is None


def test_a_credit_that_is_named_is_meant_by_a_refund_too() -> None:
    credit = side("a", LineKind.CREDIT)

    assert meant(told(LineKind.REFUND, operation_id="a"), credit) == "a"
    assert meant(told(LineKind.REFUND, gateway_id="gw-a"), credit) == "a"
    assert meant(told(LineKind.REFUND, reference="pay_1"), credit) is None, "by payment alone the kind must be right"
    assert meant(told(LineKind.CAPTURE, operation_id="a"), credit) is None


def test_parts_of_one_amount_are_settled_one_after_the_other() -> None:
    both = side("a"), side("b")

    assert meant(told(reference="pay_1"), *both) == "a"
    assert meant(told(reference="pay_1"), *both, settled=("a",)) == "b"
    assert meant(told(reference="pay_1"), *both, settled=("a", "b")) == "a", "a third line is a duplicate of one"
    found = Candidates(both, {})
    assert [owner.operation_id for _ in both if (owner := found.owner_of(told(reference="pay_1")))] == ["a", "b"]


def test_keys_of_two_payments_name_none() -> None:
    sides = side("a"), side("b", payment_id="pay_2")

    assert meant(told(operation_id="b", reference="pay_1"), *sides) is None
    assert meant(told(operation_id="b", reference="pay_unknown"), *sides) == "b"


def test_a_chargeback_means_a_payment() -> None:
    found = Candidates([side("a", None)], {}).owner_of(told(LineKind.CHARGEBACK, gateway_id="gw-a"))

    assert found is not None
    assert (found.payment_id, found.operation_id) == ("pay_1", None)


@pytest.mark.parametrize(
    ("line", "ours", "settled", "state"),
    [
        (told(), side("a"), False, "matched"),
        (told(), side("a"), True, "duplicate_line"),
        (told(), side("a", currency="USD"), False, "currency_differs"),
        (told(), side("a", status="unknown", amount=1), False, "status_differs"),
        (told(), side("a", voided=True), False, "status_differs"),
        (told(), side("a", amount=99), False, "amount_differs"),
        (msgspec.structs.replace(told(), flaw="no"), side("a"), False, "net_differs"),
        (told(), side("a", brand="amex"), False, "fee_differs"),
    ],
)
def test_a_difference_has_one_name(line: StoredLine, ours: OperationSide, settled: bool, state: str) -> None:
    rules = [FeeRule(brand="amex", fixed=5, tolerance=3)]

    assert judge(line, ours, settled=settled, currency="KZT", rules=rules).state == state


def test_a_line_contradicts_itself_or_not() -> None:
    money = Money.of(100, "KZT")
    capture = line(LineKind.CAPTURE, money, line_id="1", day=DAY, fees=(3, 2, 1), keys={})
    fee = line(LineKind.FEE, money, line_id="2", day=DAY, keys={})
    itemised = replace(fee, interchange=Money.of(60, "KZT"), scheme_fee=Money.of(40, "KZT"))

    assert [flaw_of(one) for one in (capture, fee, itemised)] == ["", "", ""]
    assert "net" in flaw_of(replace(capture, net_minor=93))
    assert "another currency" in flaw_of(replace(capture, scheme_fee=Money.of(2, "USD")))
    assert "negative" in flaw_of(replace(capture, amount=Money.of(-100, "KZT")))
    assert "net" in flaw_of(replace(fee, interchange=Money.of(60, "KZT")))


@pytest.mark.parametrize(
    ("code", "meaning"),
    [("10.4", "fraud"), ("11.3", "authorization"), ("13.1", "consumer_dispute"), ("4837", "fraud"),
     ("4853", "consumer_dispute"), ("99.1", ""), ("4999", ""), ("", "")],
)  # fmt: skip
def test_reason_codes_have_a_meaning_where_it_is_known(code: str, meaning: str) -> None:
    assert meaning_of(code) == meaning
