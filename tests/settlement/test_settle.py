from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from shanraq import settlement
from shanraq.accounts import SystemAccount
from shanraq.core.actor import SYSTEM
from shanraq.core.crypto import Keyring
from shanraq.core.db import Database
from shanraq.payments import PaymentNotFoundError
from shanraq.settlement import LineKind
from tests.flows.platform import onboard
from tests.money_world import partner
from tests.payments.conftest import open_shop
from tests.payments.gateway import LOST_AFTER
from tests.settlement.conftest import MORNING, SANDBOX, YESTERDAY, Desk, operator


async def test_a_settled_day_leaves_nothing_on_card_clearing(desk: Desk) -> None:
    payment, capture = await desk.captured(10_000)
    refund = await desk.refunded(payment.id, 3_000)
    desk.line(payment, capture, fees=(120, 15, 30))
    desk.line(payment, refund, LineKind.REFUND, fees=(-36, 5, 10))
    desk.at(MORNING)

    await desk.settle()

    assert set((await desk.states()).values()) == {"matched"}
    assert await desk.held(SystemAccount.CARD_CLEARING) == 0
    assert await desk.held(SystemAccount.SETTLEMENT) == (10_000 - 165) - (3_000 - 21)
    assert await desk.held(SystemAccount.INTERCHANGE) == 120 - 36
    assert await desk.held(SystemAccount.SCHEME_FEES) == 20
    assert await desk.held(SystemAccount.PROCESSING_FEES) == 40
    figures = await settlement.day_figures(desk.db, operator(), SANDBOX, "fake", YESTERDAY)
    (totals,) = figures.totals
    assert figures.settled
    assert (totals.captured, totals.refunded, totals.net, totals.posted_net) == (10_000, -3_000, 6_856, 6_856)
    assert await desk.exceptions() == []
    assert await desk.events("settlement.completed") == 1
    assert await desk.proved()


async def test_the_same_report_read_again_changes_nothing(desk: Desk) -> None:
    payment, capture = await desk.captured()
    desk.line(payment, capture, fees=(10, 0, 0))
    desk.at(MORNING)
    first = await desk.fetch()
    before = await desk.held(SystemAccount.SETTLEMENT)

    second = await desk.fetch()

    assert (first.revision, second.revision, second.lines) == (1, 1, 1)
    assert await desk.held(SystemAccount.SETTLEMENT) == before == 990
    assert await desk.events("settlement.completed") == 1


async def test_a_line_twice_in_one_report_is_one_line(desk: Desk) -> None:
    payment, capture = await desk.captured()
    line = desk.line(payment, capture)
    desk.acquirer.add(YESTERDAY, line)
    desk.at(MORNING)

    day = await desk.fetch()

    assert day.lines == 1
    assert await desk.exceptions() == []
    assert await desk.held(SystemAccount.CARD_CLEARING) == 0


async def test_lines_are_found_by_every_key_they_may_have(desk: Desk) -> None:
    made = [await desk.captured(1_000 + number) for number in range(4)]
    desk.line(*made[0], operation_id=made[0][1].id)
    desk.line(*made[1], gateway_id=made[1][1].gateway_id)
    desk.line(*made[2], reference=made[2][0].id)
    desk.line(*made[3], reference=made[3][0].id, reconciliation_id="rec-4")
    refund = await desk.refunded(made[3][0].id, 500)
    desk.at(MORNING)
    await desk.fetch()
    desk.line(made[3][0], refund, LineKind.REFUND, reconciliation_id="rec-4")

    await desk.fetch()

    assert set((await desk.states()).values()) == {"matched"}
    assert await desk.held(SystemAccount.CARD_CLEARING) == 0
    assert await desk.proved()


async def test_a_line_that_names_another_payment_is_not_taken_for_one_with_the_same_number(desk: Desk) -> None:
    payment, capture = await desk.captured(1_000)
    desk.line(payment, capture, reference=payment.id, reconciliation_id="000000123456")
    desk.at(MORNING)
    await desk.fetch()
    stranger = desk.line(
        payment, None, LineKind.CHARGEBACK, 1_000, reference="pay_of_years_ago", reconciliation_id="000000123456"
    )

    await desk.fetch()

    assert (await desk.states())[stranger.line_id] == "missing_here"
    assert (await desk.shop.balance())[0] == 1_000


async def test_what_differs_is_not_posted_and_waits_for_a_person(desk: Desk) -> None:
    other = await desk.captured(2_000)
    desk.line(*other, amount=1_900)
    foreign = await desk.captured(3_000)
    desk.line(*foreign, currency="USD")
    voided, capture = await desk.captured(4_000)
    await desk.shop.void(voided.id)
    desk.line(voided, capture)
    twice = await desk.captured(5_000)
    desk.line(*twice)
    desk.line(*twice)
    broken = await desk.captured(6_000)
    line = desk.line(*broken)
    desk.acquirer.alter(YESTERDAY, line.line_id, net_minor=5_999)
    stranger = desk.line(twice[0], reference="pay_unknown")
    desk.at(MORNING)

    await desk.settle()

    found = {one.kind.value: one for one in await desk.exceptions()}
    assert set(found) == {
        "amount_differs", "currency_differs", "status_differs", "duplicate_line", "net_differs", "missing_here"
    }  # fmt: skip
    assert (found["amount_differs"].amount_here, found["amount_differs"].amount_there) == (2_000, 1_900)
    assert found["status_differs"].details == {"status": "voided"}
    assert found["net_differs"].details["flaw"].startswith("its net is 5999")
    states = await desk.states()
    assert states[stranger.line_id] == "missing_here"
    assert sorted(states.values()).count("matched") == 1
    assert await desk.held(SystemAccount.SETTLEMENT) == 5_000
    figures = await settlement.day_figures(desk.db, operator(), SANDBOX, "fake", YESTERDAY)
    assert not figures.settled
    assert await desk.events("settlement.exception") == 4, "our costs and lines of nobody are not a partner's business"
    assert await desk.events("settlement.completed") == 0
    assert await desk.proved()


async def test_a_fee_that_was_not_agreed_is_posted_and_queued(desk: Desk) -> None:
    desk.terms = settlement.Terms(
        fees=(settlement.FeeRule(kind="capture", brand="visa", currency="KZT", basis_points=150, fixed=10),)
    )
    agreed, dear = await desk.captured(10_000), await desk.captured(10_000)
    desk.line(*agreed, fees=(100, 50, 10))
    desk.line(*dear, fees=(200, 50, 10))
    desk.at(MORNING)

    await desk.settle()

    (exception,) = await desk.exceptions()
    assert (exception.kind, exception.details) == ("fee_differs", {"fees": 260, "expected_fees": 160})
    assert await desk.held(SystemAccount.CARD_CLEARING) == 0
    assert await desk.held(SystemAccount.INTERCHANGE) == 300


async def test_an_operation_that_is_never_settled_is_missed_and_a_late_line_clears_it(desk: Desk) -> None:
    payment, capture = await desk.captured(7_000)
    voided, _ = await desk.captured(100)
    await desk.shop.void(voided.id)
    desk.at(MORNING)
    await desk.settle()
    assert await desk.exceptions() == []
    desk.at(MORNING + timedelta(days=4))

    await desk.settle()

    missed = [one for one in await desk.exceptions() if one.kind == "missing_there"]
    assert [(one.operation_id, one.amount_here) for one in missed] == [(capture.id, 7_000)]
    late = YESTERDAY + timedelta(days=4)
    desk.line(payment, capture, day=late)
    await desk.fetch(late)
    assert [one for one in await desk.exceptions() if one.kind == "missing_there"] == []
    assert await desk.held(SystemAccount.CARD_CLEARING) == 0
    assert await desk.proved()


async def test_late_lines_and_changed_lines_of_a_day_are_seen(desk: Desk) -> None:
    first, second = await desk.captured(1_000), await desk.captured(2_000)
    line, gone = desk.line(*first), desk.line(*second)
    desk.at(MORNING)
    await desk.fetch()
    third = await desk.captured(3_000)
    desk.line(*third)
    desk.acquirer.alter(YESTERDAY, line.line_id, net_minor=999)
    desk.acquirer.reports[YESTERDAY].remove(gone)

    day = await desk.fetch()
    again = await desk.fetch()

    assert (day.revision, again.revision) == (2, 2)
    kinds = sorted(one.kind for one in await desk.exceptions())
    assert kinds == ["line_changed", "line_vanished"]
    assert await desk.held(SystemAccount.SETTLEMENT) == 6_000, "what was posted first stays as it was"


async def test_days_are_asked_for_until_they_are_complete_and_then_looked_at_again(desk: Desk) -> None:
    payment, capture = await desk.captured()
    desk.at(MORNING)
    desk.acquirer.failing = 1
    await desk.settle()
    assert YESTERDAY in desk.acquirer.asked
    desk.acquirer.asked.clear()
    await desk.settle()
    assert desk.acquirer.asked == [], "a gateway that has nothing yet is not asked again at once"
    desk.line(payment, capture)
    desk.acquirer.partial.add(YESTERDAY)
    desk.at(MORNING + timedelta(minutes=5))

    await desk.settle()
    days = await settlement.list_days(desk.db, operator(), SANDBOX, adapter="fake", since=YESTERDAY, until=YESTERDAY)
    assert (days[0].status, days[0].lines) == ("partial", 1)
    assert await desk.events("settlement.completed") == 0
    desk.acquirer.partial.clear()
    desk.at(MORNING + timedelta(minutes=10))
    await desk.settle()
    assert await desk.events("settlement.completed") == 1
    for passed in range(1, 10):
        desk.at(MORNING + timedelta(days=passed, minutes=30))
        await desk.settle()
    (day,) = await settlement.list_days(desk.db, operator(), SANDBOX, adapter="fake", since=YESTERDAY, until=YESTERDAY)
    assert day.status == "closed"


async def test_a_report_that_never_comes_is_told_once(desk: Desk) -> None:
    desk.at(MORNING)
    await desk.settle()
    for hours in range(0, 96, 6):
        desk.at(MORNING + timedelta(hours=hours))
        await desk.settle()

    missing = [one.day for one in await desk.exceptions() if one.kind == "report_missing"]

    assert YESTERDAY in missing
    assert len(missing) == len(set(missing))


async def test_an_operation_without_an_outcome_settles_when_it_has_one(desk: Desk) -> None:
    desk.shop.gateway.script.append(LOST_AFTER)
    payment, operation = await desk.captured(1_000)
    assert operation.status == "unknown"
    desk.line(payment, operation)
    desk.at(MORNING)
    await desk.settle()
    (exception,) = await desk.exceptions()
    assert (exception.kind, exception.details) == ("status_differs", {"status": "unknown"})

    await desk.shop.recover()
    await desk.settle()

    assert await desk.exceptions() == []
    assert await desk.held(SystemAccount.CARD_CLEARING) == 0
    assert await desk.proved()


async def test_what_the_gateway_charges_for_no_payment_is_borne_by_the_partner_that_is_named(desk: Desk) -> None:

    issued = await onboard(desk.db, Keyring.generate())
    async with desk.db.begin(SYSTEM) as tx:
        partner_id = await tx.value("SELECT partner_id FROM api_key WHERE id = $1", issued.id)
    desk.terms = settlement.Terms(fees_partner=partner_id)
    payment, capture = await desk.captured()
    desk.line(payment, capture)
    desk.line(payment, None, LineKind.FEE, 700, reference="monthly fee")
    desk.at(datetime(2026, 11, 26, 6, tzinfo=UTC))

    await desk.settle()

    assert set((await desk.states()).values()) == {"matched"}
    figures = await settlement.day_figures(desk.db, operator(), SANDBOX, "fake", YESTERDAY)
    assert figures.settled
    assert figures.totals[0].charged == -700
    assert msgspec.json.encode(figures)


async def test_processes_side_by_side_settle_a_day_once(desk: Desk) -> None:
    made = [await desk.captured(1_000 + number) for number in range(12)]
    for number, (payment, operation) in enumerate(made):
        desk.line(payment, operation, fees=(number, 1, 1))
    desk.line(*made[0])
    desk.at(MORNING)

    await asyncio.gather(desk.fetch(), desk.settle(), desk.fetch(), desk.settle(), desk.settle())

    assert sorted((await desk.states()).values()) == ["duplicate_line"] + ["matched"] * 12
    assert await desk.held(SystemAccount.CARD_CLEARING) == 0
    assert [one.kind.value for one in await desk.exceptions()] == ["duplicate_line"]
    assert await desk.proved()
    await desk.resolve((await desk.exceptions())[0].id, "ignore")
    assert await desk.events("settlement.completed") == 1


async def test_each_partner_is_settled_in_its_own_books(desk: Desk, database: Database) -> None:
    other = Desk(await open_shop(database, partner(2), desk.shop.gateway), desk.acquirer)
    first, second = await desk.captured(1_000), await other.captured(2_000)
    desk.line(*first, fees=(10, 0, 0))
    desk.lines += 10
    desk.line(*second, fees=(20, 0, 0))
    desk.line(first[0], second[1], reference=first[0].id, operation_id=second[1].id)
    desk.at(MORNING)

    await desk.settle()

    assert sorted((await desk.states()).values()) == ["matched", "matched", "missing_here"], "keys of two payments"
    for one, net in ((desk, 990), (other, 1_980)):
        assert await one.held(SystemAccount.CARD_CLEARING) == 0
        assert await one.held(SystemAccount.SETTLEMENT) == net
    assert await desk.events("settlement.completed") == 2
    own = await settlement.payment_settlement(database, other.shop.bank.actor, second[0].id)
    assert [line.amount for line in own if line.state == "matched"] == [2_000]
    with pytest.raises(PaymentNotFoundError):
        await settlement.payment_settlement(database, other.shop.bank.actor, first[0].id)
    assert await desk.proved()
