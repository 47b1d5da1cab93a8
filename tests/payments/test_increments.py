"""An estimated authorisation can be raised, the hold with it, and what was raised is captured like the rest."""

from __future__ import annotations

import pytest

from shanraq import payments
from shanraq.core.errors import ShanraqError
from shanraq.core.lifecycle import IllegalMoveError
from shanraq.core.money import MAX_MINOR, InvalidAmountError, Money
from shanraq.payments.adapter import Approved, Capture, Increment, Reverse
from tests.payments.conftest import AbleShop, Shop
from tests.payments.gateway import DOWN, INSUFFICIENT, LOST_AFTER, LOST_BEFORE


async def raise_by(shop: Shop, payment_id: str, amount: int, key: str = "inc") -> payments.Payment:
    return (await payments.increment(shop.acquiring, shop.bank.actor, key, payment_id, amount)).value


async def test_an_increment_raises_the_authorisation_and_the_hold(able: AbleShop) -> None:
    payment = await able.pay(estimated=True)
    raised = await raise_by(able, payment.id, 500)
    held = await able.balance()
    captured = (await payments.capture(able.acquiring, able.bank.actor, "cap", payment.id)).value

    (command,) = able.gateway.commands(Increment)
    assert (command.amount, command.total) == (Money.of(500, "KZT"), Money.of(1500, "KZT"))
    assert (command.authorization_id, command.reference) == ("gw-1", payment.id)
    assert (raised.amount, raised.amount_authorized, raised.amount_incremented) == (1000, 1500, 500)
    assert held == (0, 0, 1500)
    assert (captured.status, captured.amount_captured, await able.balance()) == ("captured", 1500, (1500, 0, 0))
    assert "payment.incremented" in await able.bank.events()
    assert await able.bank.verified()


async def test_the_same_key_raises_once(able: AbleShop) -> None:
    payment = await able.pay(estimated=True)
    first = await raise_by(able, payment.id, 500)
    again = await raise_by(able, payment.id, 500)

    assert first == again
    assert len(able.gateway.commands(Increment)) == 1


@pytest.mark.parametrize("told", [INSUFFICIENT, DOWN])
async def test_a_refused_increment_leaves_the_payment_as_it_was(able: AbleShop, told: object) -> None:
    payment = await able.pay(estimated=True)
    able.gateway.script.append(told)  # type: ignore[arg-type]
    refused = await raise_by(able, payment.id, 500)

    assert refused.operation is not None
    assert refused.operation.status in ("declined", "failed")
    assert (refused.status, refused.amount_authorized, await able.balance()) == ("authorized", 1000, (0, 0, 1000))


@pytest.mark.parametrize(("told", "authorized"), [(LOST_AFTER, 1500), (LOST_BEFORE, 1000)])
async def test_a_lost_increment_is_found_or_taken_back(able: AbleShop, told: str, authorized: int) -> None:
    payment = await able.pay(estimated=True)
    able.gateway.script.append(told)
    lost = await raise_by(able, payment.id, 500)
    with pytest.raises(payments.PaymentBusyError):
        await raise_by(able, payment.id, 500, "other")
    await able.recover()

    after = await able.find(payment.id)
    assert lost.operation is not None
    assert (lost.operation.status, lost.amount_authorized) == ("unknown", 1000)
    assert (after.amount_authorized, await able.balance()) == (authorized, (0, 0, authorized))
    assert await able.bank.verified()


async def test_an_answer_of_more_than_was_asked_is_not_believed(able: AbleShop) -> None:
    payment = await able.pay(estimated=True)
    able.gateway.script.append(Approved("gw-2", Money.of(501, "KZT")))
    raised = await raise_by(able, payment.id, 500)

    assert raised.operation is not None
    assert (raised.operation.status, raised.amount_authorized) == ("unknown", 1000)


async def test_what_was_raised_after_a_partial_approval_counts_from_what_was_approved(able: AbleShop) -> None:
    able.gateway.script.append(Approved("gw-1", Money.of(600, "KZT")))
    payment = await able.pay(estimated=True, partial=True)
    raised = await raise_by(able, payment.id, 700)

    assert (payment.amount_authorized, raised.amount_authorized, await able.balance()) == (600, 1300, (0, 0, 1300))


async def test_partial_captures_are_counted(able: AbleShop) -> None:
    payment = await able.pay(estimated=True)
    for number, amount in enumerate((300, 200)):
        await payments.capture(able.acquiring, able.bank.actor, f"c{number}", payment.id, amount, final=False)
    await raise_by(able, payment.id, 100)
    able.gateway.script.append(DOWN)
    await payments.capture(able.acquiring, able.bank.actor, "refused", payment.id, 100, final=False)
    last = (await payments.capture(able.acquiring, able.bank.actor, "last", payment.id)).value

    assert [command.sequence for command in able.gateway.commands(Capture)] == [1, 2, 3, 3]
    assert (last.status, last.amount_captured, await able.balance()) == ("captured", 1100, (1100, 0, 0))
    assert await able.bank.verified()


async def test_voiding_releases_what_was_raised_too(able: AbleShop) -> None:
    payment = await able.pay(estimated=True)
    await raise_by(able, payment.id, 500)
    voided = await able.void(payment.id)

    (reversal,) = able.gateway.commands(Reverse)
    assert (voided.status, reversal.amount, await able.balance()) == ("voided", Money.of(1500, "KZT"), (0, 0, 0))


async def test_refuses_what_cannot_be_raised(able: AbleShop) -> None:
    final = await able.pay("final")
    sold = await able.pay("sold", capture=True, estimated=True)
    open_ = await able.pay("open", estimated=True)
    cases: list[tuple[str, int, type[ShanraqError]]] = [
        (final.id, 500, payments.NotIncrementableError),
        (sold.id, 500, IllegalMoveError),
        (open_.id, 0, InvalidAmountError),
        (open_.id, MAX_MINOR, InvalidAmountError),
        ("pay_00000000000000000000000000", 500, payments.PaymentNotFoundError),
    ]

    for number, (payment_id, amount, error) in enumerate(cases):
        with pytest.raises(error):
            await raise_by(able, payment_id, amount, f"case-{number}")
    assert able.gateway.commands(Increment) == []


async def test_a_gateway_without_increments_is_never_asked(shop: Shop) -> None:
    new = payments.NewPayment(
        payment_method_id=shop.card.id, account_id=shop.account.id, amount=5, currency="KZT", estimated=True
    )
    payment = (await payments.authorize(shop.acquiring, shop.bank.actor, "a", new)).value

    with pytest.raises(payments.OperationNotSupportedError) as refused:
        await raise_by(shop, payment.id, 5)

    assert refused.value.status == 422
