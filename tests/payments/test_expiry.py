"""An authorisation nobody captured is released in time: at the gateway first, then in the ledger."""

from __future__ import annotations

from datetime import timedelta

import pytest

from shanraq import payments
from shanraq.core.money import Money
from shanraq.payments.adapter import Advice, DeclineClass, Initiator, InReview, MerchantReason, Reason, Reverse
from shanraq.payments.expiry import validity
from tests.payments.conftest import AbleShop
from tests.payments.gateway import INSUFFICIENT, LOST_BEFORE

DAY = 86_400


async def expire(shop: AbleShop, days: float) -> int:
    shop.later(days * DAY)
    return await payments.expire_authorizations(shop.bank.db)


async def test_shows_when_an_authorisation_ends(able: AbleShop) -> None:
    payment = await able.pay()
    sold = await able.pay("sold", capture=True)
    merchant = payments.CredentialUse(
        initiator=Initiator.MERCHANT, reason=MerchantReason.RECURRING, network_transaction_id="016153570198200"
    )
    recurring = await able.pay("recurring", stored_credential=merchant)

    assert payment.expires_at is not None and recurring.expires_at is not None
    assert payment.expires_at - payment.updated_at == timedelta(days=9)
    assert recurring.expires_at - recurring.updated_at == timedelta(days=4)
    assert sold.expires_at is None


async def test_what_has_run_out_is_reversed_and_then_freed(able: AbleShop) -> None:
    payment = await able.pay()
    early = await expire(able, 8.9)
    due = await expire(able, 0.2)
    before = await able.balance()
    await able.recover(1)

    (reversal,) = able.gateway.commands(Reverse)
    after = await able.find(payment.id)
    assert (early, due) == (0, 1)
    assert (reversal.authorization_id, reversal.amount) == ("gw-1", Money.of(1000, "KZT"))
    assert (before, await able.balance()) == ((0, 0, 1000), (0, 0, 0))
    assert (after.status, after.expires_at) == ("voided", None)
    assert await expire(able, 30) == 0
    names = await able.bank.events()
    assert names.count("payment.expired") == names.count("payment.voided") == 1
    assert await able.bank.verified()


async def test_what_a_partial_capture_left_is_freed(able: AbleShop) -> None:
    payment = await able.pay()
    await payments.capture(able.acquiring, able.bank.actor, "c", payment.id, 400, final=False)
    await expire(able, 9.1)
    await able.recover(1)

    after = await able.find(payment.id)
    assert (after.status, after.amount_captured, await able.balance()) == ("captured", 400, (400, 0, 0))
    assert able.gateway.commands(Reverse)[0].amount == Money.of(600, "KZT")


async def test_a_payment_nobody_reviewed_is_freed_too(able: AbleShop) -> None:
    reason = Reason("review_required", DeclineClass.FRAUD, Advice.WAIT_FOR_REVIEW)
    able.gateway.script.append(InReview("gw-r", Money.of(1000, "KZT"), reason))
    payment = await able.pay()
    await expire(able, 9.1)
    await able.recover(1)

    assert (await able.find(payment.id)).status == "voided"
    assert await able.balance() == (0, 0, 0)


async def test_a_captured_or_voided_payment_has_nothing_to_expire(able: AbleShop) -> None:
    captured = await able.captured()
    voided = await able.void((await able.pay("v")).id)

    assert captured.expires_at is voided.expires_at is None
    assert await expire(able, 30) == 0


async def test_while_something_is_under_way_it_waits(able: AbleShop) -> None:
    payment = await able.pay()
    able.later(9.1 * DAY)
    able.gateway.script.append(LOST_BEFORE)
    await payments.capture(able.acquiring, able.bank.actor, "c", payment.id)
    assert await payments.expire_authorizations(able.bank.db) == 1
    await able.recover()
    await expire(able, 1.1)
    await able.recover(1)

    assert (await able.find(payment.id)).status == "voided"


async def test_a_refused_release_is_tried_again_the_next_day(able: AbleShop) -> None:
    payment = await able.pay()
    await expire(able, 9.1)
    able.gateway.script.append(INSUFFICIENT)
    await able.recover(1)
    refused = (await able.find(payment.id)).status
    again = [await expire(able, 0.5), await expire(able, 0.6)]
    await able.recover(1)

    assert (refused, again, (await able.find(payment.id)).status) == ("authorized", [0, 1], "voided")


@pytest.mark.parametrize(
    ("days", "scheme", "estimated", "initiator", "card_present"),
    [
        (10, "visa", False, Initiator.CUSTOMER, False),
        (5, "visa", False, Initiator.MERCHANT, False),
        (5, "visa", False, Initiator.CUSTOMER, True),
        (7, "mastercard", False, Initiator.CUSTOMER, False),
        (30, "mastercard", True, Initiator.CUSTOMER, False),
        (5, "jcb", True, Initiator.CUSTOMER, False),
    ],
)
def test_the_life_of_an_authorisation(
    days: int, scheme: str, estimated: bool, initiator: Initiator, card_present: bool
) -> None:
    lives = validity(scheme, estimated=estimated, initiator=initiator, card_present=card_present)

    assert lives == timedelta(days=days) - timedelta(hours=24)
