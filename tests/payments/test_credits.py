"""A credit pays from an account to a card: held first, paid once, never lost."""

from __future__ import annotations

import pytest
from msgspec.structs import replace as changed

from shanraq import accounts, payments
from shanraq.core.errors import ShanraqError
from shanraq.core.lifecycle import IllegalMoveError
from shanraq.core.money import CurrencyMismatchError, InvalidAmountError
from shanraq.payments.adapter import Credit
from tests.money_world import unknown_id
from tests.payments.conftest import AbleShop, Shop
from tests.payments.gateway import INSUFFICIENT, LOST_AFTER, LOST_BEFORE


async def credit(shop: Shop, account_id: str, amount: int = 400, key: str = "credit") -> payments.Payment:
    new = payments.NewCredit(
        payment_method_id=shop.card.id, account_id=account_id, amount=amount, currency="KZT", reference="prize"
    )
    return (await payments.credit(shop.acquiring, shop.bank.actor, key, new)).value


async def test_a_credit_is_paid_from_the_account(able: AbleShop) -> None:
    account = await able.bank.account(1000)
    paid = await credit(able, account.id)
    again = await credit(able, account.id)

    (command,) = able.gateway.commands(Credit)
    assert (command.reference, command.amount.minor, command.card.pan.last4) == (paid.id, 400, "1111")
    assert (paid.kind, paid.status, again) == ("credit", "paid", paid)
    assert await able.bank.balance(account.id) == (600, 0, 0)
    assert (await able.bank.events())[-1] == "payment.paid"
    assert (await able.find(paid.id)).status == "paid"
    assert await able.bank.verified()


async def test_a_credit_that_the_account_cannot_pay_is_never_sent(able: AbleShop) -> None:
    account = await able.bank.account(399)
    failed = await credit(able, account.id)

    assert failed.failure is not None
    assert (failed.status, failed.failure.code) == ("failed", "insufficient_funds")
    assert able.gateway.seen == []
    assert (await able.bank.events())[-1] == "payment.failed"
    assert await able.bank.balance(account.id) == (399, 0, 0)


async def test_a_declined_credit_frees_the_money(able: AbleShop) -> None:
    account = await able.bank.account(1000)
    able.gateway.script.append(INSUFFICIENT)
    declined = await credit(able, account.id)

    assert (declined.status, declined.failure and declined.failure.code) == ("failed", "insufficient_funds")
    assert await able.bank.balance(account.id) == (1000, 0, 0)


@pytest.mark.parametrize(("told", "status", "left"), [(LOST_AFTER, "paid", 600), (LOST_BEFORE, "failed", 1000)])
async def test_a_lost_credit_stays_held_until_it_is_known(able: AbleShop, told: str, status: str, left: int) -> None:
    account = await able.bank.account(1000)
    able.gateway.script.append(told)
    lost = await credit(able, account.id)
    held = await able.bank.balance(account.id)
    await able.recover()

    assert (lost.status, held) == ("paying", (1000, 400, 0))
    assert (await able.find(lost.id)).status == status
    assert await able.bank.balance(account.id) == (left, 0, 0)
    assert (await credit(able, account.id)).status == status
    assert await able.bank.verified()


async def test_a_credit_is_not_captured_refunded_or_voided(able: AbleShop) -> None:
    paid = await credit(able, (await able.bank.account(1000)).id)

    with pytest.raises(IllegalMoveError):
        await payments.capture(able.acquiring, able.bank.actor, "c", paid.id)
    with pytest.raises(IllegalMoveError):
        await able.refund(paid.id)
    with pytest.raises(IllegalMoveError):
        await able.void(paid.id)


async def test_refuses_what_cannot_be_meant_naming_the_field(able: AbleShop) -> None:
    account = await able.bank.account(1000)
    dollars = await able.bank.account(currency="USD")
    base = payments.NewCredit(payment_method_id=able.card.id, account_id=account.id, amount=5, currency="KZT")
    cases: list[tuple[payments.NewCredit, type[ShanraqError], str]] = [
        (changed(base, amount=0), InvalidAmountError, "amount"),
        (changed(base, payment_method_id=unknown_id("pm")), payments.PaymentMethodNotFoundError, "payment_method_id"),
        (changed(base, account_id=unknown_id("acc")), accounts.AccountNotFoundError, "account_id"),
        (changed(base, account_id=dollars.id), CurrencyMismatchError, "account_id"),
    ]

    for number, (new, error, field) in enumerate(cases):
        with pytest.raises(error) as refused:
            await payments.credit(able.acquiring, able.bank.actor, f"case-{number}", new)
        assert refused.value.field == field
    assert able.gateway.seen == []


async def test_where_no_payment_system_offers_credits_it_is_said_plainly(shop: Shop) -> None:
    with pytest.raises(payments.OperationNotSupportedError):
        await credit(shop, (await shop.bank.account(1000)).id)
