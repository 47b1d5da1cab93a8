from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from shanraq import settlement
from shanraq.accounts import SystemAccount
from shanraq.core.actor import MissingScopeError
from shanraq.core.crypto import Keyring
from shanraq.core.db import Database
from shanraq.payments import CardDataInTextError
from shanraq.settlement import LineKind, ResolutionAction
from tests.flows.platform import onboard
from tests.money_world import Bank, partner, unknown_id
from tests.settlement.conftest import MORNING, SANDBOX, YESTERDAY, Desk, operator


async def only(desk: Desk, kind: str) -> settlement.SettlementException:
    (found,) = [one for one in await desk.exceptions() if one.kind == kind]
    return found


async def cleared(desk: Desk) -> bool:
    return await desk.held(SystemAccount.CARD_CLEARING) == 0 and await desk.proved()


async def test_a_difference_is_written_off_by_two_operators(desk: Desk) -> None:
    desk.line(*await desk.captured(2_000), amount=1_900, fees=(20, 0, 0))
    desk.at(MORNING)
    await desk.settle()
    exception = await only(desk, "amount_differs")
    new = settlement.NewResolution(action=ResolutionAction.WRITE_OFF, reason="rounding of the acquirer")

    proposed = await settlement.propose(desk.db, operator(), exception.id, new)
    with pytest.raises(settlement.SameOperatorError):
        await settlement.approve(desk.db, operator(), exception.id)
    assert not await cleared(desk)
    approved = await settlement.approve(desk.db, operator("daniyar"), exception.id)

    assert (proposed.status, approved.status) == ("proposed", "resolved")
    assert (approved.proposed_by, approved.decided_by) == ("opr_aigerim", "opr_daniyar")
    assert await cleared(desk)
    assert await desk.held(SystemAccount.SETTLEMENT) == 1_880
    assert await desk.held(SystemAccount.SETTLEMENT_WRITE_OFFS) == 100
    assert await desk.events("settlement.completed") == 1
    figures = await settlement.day_figures(desk.db, operator(), SANDBOX, "fake", YESTERDAY)
    assert figures.settled
    with pytest.raises(settlement.ExceptionDecidedError):
        await settlement.approve(desk.db, operator("daniyar"), exception.id)
    with pytest.raises(settlement.ExceptionDecidedError):
        await settlement.propose(desk.db, operator(), exception.id, new)


async def test_a_difference_is_posted_to_the_account_of_the_payment(desk: Desk) -> None:
    desk.line(*await desk.captured(2_000), amount=1_900)
    desk.at(MORNING)
    await desk.settle()

    await desk.resolve((await only(desk, "amount_differs")).id, "post")

    assert await cleared(desk)
    assert (await desk.shop.balance())[0] == 1_900
    assert await desk.held(SystemAccount.SETTLEMENT_WRITE_OFFS) == 0


async def test_an_account_that_cannot_pay_is_not_overdrawn(desk: Desk) -> None:
    payment, capture = await desk.captured(2_000)
    desk.line(payment, capture, amount=500)
    other = await desk.shop.bank.account()
    await desk.shop.bank.move(desk.shop.account.id, other.id, 1_500)
    desk.at(MORNING)
    await desk.settle()
    exception = await only(desk, "amount_differs")

    with pytest.raises(settlement.ResolutionRefusedError, match="insufficient_funds"):
        await desk.resolve(exception.id, "post")

    assert (await desk.exceptions("proposed"))[0].id == exception.id
    reopened = await settlement.reject(desk.db, operator("daniyar"), exception.id)
    assert (reopened.status, reopened.action, reopened.proposed_by) == ("open", "", None)
    await desk.resolve(exception.id, "write_off")
    assert await cleared(desk)


@pytest.mark.parametrize("action", ["write_off", "post"])
async def test_an_operation_that_was_never_settled_is_given_up(desk: Desk, action: str) -> None:
    payment, capture = await desk.captured(7_000)
    desk.at(MORNING)
    await desk.settle()
    desk.at(MORNING + timedelta(days=4))
    await desk.settle()

    await desk.resolve((await only(desk, "missing_there")).id, action)

    assert await cleared(desk)
    cost = await desk.held(SystemAccount.SETTLEMENT_WRITE_OFFS)
    assert (cost, (await desk.shop.balance())[0]) == ((7_000, 7_000) if action == "write_off" else (0, 0))
    late = YESTERDAY + timedelta(days=4)
    desk.line(payment, capture, day=late)
    await desk.fetch(late)
    duplicate = await only(desk, "duplicate_line")
    await desk.resolve(duplicate.id, "write_off")
    assert await cleared(desk), "a line that comes after all is a gain, not a second settlement"
    assert await desk.held(SystemAccount.SETTLEMENT) == 7_000


async def test_a_line_is_linked_to_the_operation_it_means(desk: Desk) -> None:
    payment, capture = await desk.captured(2_000)
    desk.line(payment, capture, reference="garbled")
    desk.at(MORNING)
    await desk.settle()
    exception = await only(desk, "missing_here")
    both = await settlement.find_exception(desk.db, operator(), exception.id)
    assert both.there is not None
    assert (both.there.reference, both.here) == ("garbled", [])

    await desk.resolve(exception.id, "link", operation_id=capture.id)
    await desk.settle()

    assert await cleared(desk)
    assert await desk.exceptions() == []
    assert await desk.events("settlement.completed") == 1


async def test_the_line_of_a_payment_that_nobody_knows_is_posted_to_the_account_of_a_partner(
    desk: Desk, database: Database
) -> None:
    issued = await onboard(database, Keyring.generate())
    # The partner of the world has no row of its own in these tests: the account of an approved one is taken.
    async with database.begin(operator()) as tx:
        row = await tx.row("SELECT k.partner_id, p.number FROM api_key k JOIN partner p ON p.id = k.partner_id")
    assert row is not None and issued.id
    owner = partner(row["number"])
    bank = Bank(database, replace(owner, partner_id=row["partner_id"]))
    account = await bank.account()
    payment, capture = await desk.captured()
    desk.line(payment, capture)
    desk.line(payment, None, amount=4_000, reference="nobody", fees=(40, 0, 0))
    desk.at(MORNING)
    await desk.settle()
    exception = await only(desk, "missing_here")

    await desk.resolve(exception.id, "post", account_id=account.id)

    assert await bank.balance(account.id) == (4_000, 0, 0)
    assert await desk.proved()
    figures = await settlement.day_figures(desk.db, operator(), SANDBOX, "fake", YESTERDAY)
    assert figures.settled


async def test_what_is_ignored_moves_nothing_and_says_why(desk: Desk) -> None:
    twice = await desk.captured(5_000)
    desk.line(*twice)
    desk.line(*twice)
    desk.at(MORNING)
    await desk.settle()

    ignored = await desk.resolve((await only(desk, "duplicate_line")).id, "ignore")

    assert (ignored.status, ignored.action, ignored.reason) == ("resolved", "ignore", "checked")
    assert await desk.held(SystemAccount.SETTLEMENT) == 5_000
    assert await cleared(desk)


async def test_refusals_name_what_is_wrong(desk: Desk) -> None:
    payment, capture = await desk.captured(2_000)
    refund = await desk.refunded(payment.id, 100)
    desk.line(payment, capture, reference="garbled")
    desk.line(payment, refund, LineKind.REFUND)
    desk.at(MORNING)
    await desk.settle()
    exception = await only(desk, "missing_here")

    with pytest.raises(settlement.ResolutionIncompleteError, match="operation_id"):
        await desk.resolve(exception.id, "link")
    with pytest.raises(settlement.ResolutionRefusedError, match="operation_id"):
        await desk.resolve(exception.id, "link", operation_id=unknown_id("op"))
    with pytest.raises(settlement.ResolutionRefusedError, match="settles no such operation"):
        await desk.resolve(exception.id, "link", operation_id=refund.id)
    with pytest.raises(settlement.ResolutionIncompleteError, match="account_id"):
        await desk.resolve(exception.id, "post")
    with pytest.raises(settlement.ResolutionRefusedError, match="no such account"):
        await desk.resolve(exception.id, "post", account_id=unknown_id("acc"))
    with pytest.raises(CardDataInTextError, match="reason"):
        await settlement.propose(
            desk.db,
            operator(),
            exception.id,
            settlement.NewResolution(action=ResolutionAction.IGNORE, reason="card 4111111111111111"),
        )
    with pytest.raises(settlement.SettlementExceptionNotFoundError):
        await desk.resolve(unknown_id("sxc"), "ignore")
    with pytest.raises(settlement.ExceptionDecidedError):
        await settlement.approve(desk.db, operator("daniyar"), exception.id)
    with pytest.raises(settlement.ExceptionDecidedError):
        await settlement.reject(desk.db, operator("daniyar"), exception.id)
    with pytest.raises(MissingScopeError):
        await settlement.approve(desk.db, partner(), exception.id)
    with pytest.raises(settlement.SettlementDayNotFoundError):
        await settlement.day_figures(desk.db, operator(), SANDBOX, "other", YESTERDAY)
