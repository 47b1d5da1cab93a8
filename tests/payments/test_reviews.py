"""A payment under review is decided at its gateway, by API or in the gateway's console, and settled as decided."""

from __future__ import annotations

import asyncio

import pytest

from shanraq import payments
from shanraq.core.lifecycle import IllegalMoveError
from shanraq.core.money import Money
from shanraq.core.page import PageRequest
from shanraq.payments.adapter import (
    Advice,
    Approved,
    Authorize,
    DeclineClass,
    Declined,
    InReview,
    NotProcessed,
    Reason,
    Reverse,
    Risk,
    RiskDecision,
    Unknown,
)
from tests.money_world import partner
from tests.payments.conftest import AbleShop, Shop
from tests.payments.gateway import LOST_BEFORE

REVIEW = Reason("review_required", DeclineClass.FRAUD, Advice.WAIT_FOR_REVIEW, "PENDING_REVIEW")
REJECTED = Declined(Reason("risk_rejected", DeclineClass.FRAUD, Advice.DO_NOT_RETRY))
UNDECIDED = InReview("gw-r", Money.of(1000, "KZT"), REVIEW)
CONSOLE = NotProcessed(Reason("not_supported", DeclineClass.CONFIGURATION, Advice.DO_NOT_RETRY))
BUSY = NotProcessed(Reason("busy", DeclineClass.TECHNICAL, Advice.RETRY_LATER), retryable=True)


async def reviewed(shop: Shop, *, capture: bool = False) -> payments.Payment:
    risk = Risk(RiskDecision.REVIEW, 55, "DECISION_MANAGER")
    shop.gateway.script.append(InReview("gw-r", Money.of(1000, "KZT"), REVIEW, risk))
    payment = (await shop.authorize(capture=capture)).value
    assert payment.status == "review"
    return payment


async def decide(
    shop: Shop, payment_id: str, decision: payments.ReviewDecision, key: str = "decide"
) -> payments.Payment:
    asked = payments.ReviewRequest(decision=decision, note="called the customer")
    return (await payments.decide_review(shop.acquiring, shop.bank.actor, key, payment_id, asked)).value


async def look(shop: Shop, seconds: float = 61) -> int:
    shop.later(seconds)
    return await payments.look_at_reviews(shop.acquiring)


async def test_the_queue_lists_what_waits_and_fraud_is_told(able: AbleShop) -> None:
    payment = await reviewed(able)
    queue = await payments.list_payments(
        able.bank.db, able.bank.actor, PageRequest(), status=payments.PaymentStatus.REVIEW
    )

    (told,) = await able.events_of("fraud.detected")
    assert [one.id for one in queue.items] == [payment.id]
    assert (told["decision"], told["score"], told["reason"]) == ("review", 55, "review_required")
    assert payment.risk is not None and payment.risk.decision == "review"


@pytest.mark.parametrize(("capture", "status"), [(False, "authorized"), (True, "captured")])
async def test_an_accepted_payment_goes_on(able: AbleShop, capture: bool, status: str) -> None:
    payment = await reviewed(able, capture=capture)
    accepted = await decide(able, payment.id, payments.ReviewDecision.ACCEPT)
    again = await decide(able, payment.id, payments.ReviewDecision.ACCEPT)

    assert (accepted.status, again) == (status, accepted)
    assert able.gateway.decided == [("gw-r", True, "called the customer")]
    assert await able.balance() == ((1000, 0, 0) if capture else (0, 0, 1000))
    assert await able.bank.verified()


async def test_a_rejected_payment_fails_and_is_released_at_the_issuer(able: AbleShop) -> None:
    payment = await reviewed(able)
    rejected = await decide(able, payment.id, payments.ReviewDecision.REJECT)
    await able.recover(1)

    (reversal,) = able.gateway.commands(Reverse)
    assert (rejected.status, rejected.failure and rejected.failure.code) == ("failed", "risk_rejected")
    assert (reversal.authorization_id, reversal.amount) == ("gw-r", Money.of(1000, "KZT"))
    assert (await able.find(payment.id)).status == "failed"
    assert await able.balance() == (0, 0, 0)
    assert await able.bank.verified()


async def test_a_gateway_that_takes_no_decisions_is_decided_in_its_console_and_looked_at(able: AbleShop) -> None:
    payment = await reviewed(able)
    able.gateway.decisions.append(CONSOLE)
    with pytest.raises(payments.DecideAtGatewayError):
        await decide(able, payment.id, payments.ReviewDecision.ACCEPT)
    early = await payments.look_at_reviews(able.acquiring)
    able.gateway.decisions.extend([UNDECIDED, Approved("gw-r", Money.of(1000, "KZT"))])
    undecided, too_soon = await look(able), await payments.look_at_reviews(able.acquiring)
    waiting = (await able.find(payment.id)).status
    decided = await look(able, 600)

    assert (early, undecided, too_soon, decided) == (0, 1, 0, 1)
    assert (waiting, (await able.find(payment.id)).status) == ("review", "authorized")
    assert await look(able, 3600) == 0


async def test_a_rejection_in_the_console_is_found(able: AbleShop) -> None:
    payment = await reviewed(able)
    able.gateway.decisions.append(REJECTED)
    await look(able)
    await able.recover(1)

    assert (await able.find(payment.id)).status == "failed"
    assert [command.authorization_id for command in able.gateway.commands(Reverse)] == ["gw-r"]


async def test_a_decision_without_an_answer_is_looked_for_at_once(able: AbleShop) -> None:
    payment = await reviewed(able)
    able.gateway.decisions.append(Unknown("no answer"))
    waiting = await decide(able, payment.id, payments.ReviewDecision.ACCEPT)
    able.gateway.decisions.append(Approved("gw-r", Money.of(1000, "KZT")))
    looked = await payments.look_at_reviews(able.acquiring)

    assert (waiting.status, looked, (await able.find(payment.id)).status) == ("review", 1, "authorized")


async def test_a_decision_the_gateway_cannot_take_now_changes_nothing(able: AbleShop) -> None:
    payment = await reviewed(able)
    able.gateway.decisions.append(BUSY)
    with pytest.raises(payments.ReviewNotTakenError):
        await decide(able, payment.id, payments.ReviewDecision.ACCEPT)

    assert (await decide(able, payment.id, payments.ReviewDecision.ACCEPT)).status == "authorized"


async def test_a_gateway_without_reviews_is_asked_about_the_operation(shop: Shop) -> None:
    payment = await reviewed(shop)
    assert payment.operation is not None
    with pytest.raises(payments.DecideAtGatewayError):
        await decide(shop, payment.id, payments.ReviewDecision.REJECT)
    shop.gateway.done[payment.operation.id] = ("gw-r", Money.of(1000, "KZT"))
    await look(shop)

    assert (await shop.find(payment.id)).status == "authorized"


async def test_two_decisions_and_a_look_at_once_settle_once(able: AbleShop) -> None:
    payment = await reviewed(able)
    able.later(61)
    able.gateway.decisions.extend([Approved("gw-r", Money.of(1000, "KZT"))] * 3)

    answers = await asyncio.gather(
        decide(able, payment.id, payments.ReviewDecision.ACCEPT, "one"),
        decide(able, payment.id, payments.ReviewDecision.ACCEPT, "two"),
        payments.look_at_reviews(able.acquiring),
        return_exceptions=True,
    )

    # Who comes when it is decided is told so.
    assert not [one for one in answers if isinstance(one, BaseException) and not isinstance(one, IllegalMoveError)]
    assert (await able.bank.events()).count("payment.authorized") == 1
    assert await able.balance() == (0, 0, 1000)
    assert await able.bank.verified()


async def test_a_rejection_waits_while_the_payment_is_being_cancelled(able: AbleShop) -> None:
    payment = await reviewed(able)
    able.gateway.script.append(LOST_BEFORE)
    await able.void(payment.id)
    able.gateway.decisions.append(REJECTED)
    await look(able)
    waiting = (await able.find(payment.id)).status
    await able.recover(120)
    await look(able, 300)

    assert waiting == "review"
    assert (await able.find(payment.id)).status == "voided"
    assert await look(able, 3600) == 0
    assert await able.balance() == (0, 0, 0)
    assert await able.bank.verified()


async def test_refuses_what_is_not_under_review(able: AbleShop) -> None:
    payment = await able.authorized()

    with pytest.raises(IllegalMoveError):
        await decide(able, payment.id, payments.ReviewDecision.ACCEPT)
    with pytest.raises(payments.PaymentNotFoundError):
        await payments.decide_review(
            able.acquiring, partner(2), "k", payment.id,
            payments.ReviewRequest(decision=payments.ReviewDecision.ACCEPT),
        )  # fmt: skip
    assert len(able.gateway.commands(Authorize)) == 1
