"""A card is verified without money; what the issuer said is kept."""

from __future__ import annotations

import pytest

from shanraq import payments
from shanraq.core.money import Money, UnknownCurrencyError
from shanraq.core.secret import SecurityCode
from shanraq.payments.adapter import Approved, Checks, Initiator, Verify
from tests.money_world import partner
from tests.payments.conftest import AbleShop, Shop
from tests.payments.gateway import DOWN, INSUFFICIENT, LOST_BEFORE


async def verify(shop: Shop, key: str = "v", currency: str = "KZT") -> payments.Verification:
    new = payments.NewVerification(
        currency=currency, stored_credential=payments.CredentialUse(initiator=Initiator.CUSTOMER, first=True)
    )
    code = SecurityCode("123")
    return (await payments.verify(shop.acquiring, shop.bank.actor, key, shop.card.id, new, code)).value


async def test_a_good_card_is_approved_with_its_checks(able: AbleShop) -> None:
    checks = Checks(address="Y", security_code="M")
    able.gateway.script.append(
        Approved("gw-1", Money.of(0, "KZT"), network_transaction_id="016153570198200", checks=checks)
    )
    verified = await verify(able)
    again = await verify(able)

    (command,) = able.gateway.commands(Verify)
    assert command.stored is not None and command.stored.first
    assert command.card.security_code == SecurityCode("123")
    assert (verified.status, verified.checks) == ("approved", payments.CardChecks(address="Y", security_code="M"))
    assert (verified.network_transaction_id, again) == ("016153570198200", verified)
    assert await payments.list_verifications(able.bank.db, able.bank.actor, able.card.id) == [verified]
    assert await able.balance() == (0, 0, 0)


@pytest.mark.parametrize(("told", "status"), [(INSUFFICIENT, "declined"), (DOWN, "failed"), (LOST_BEFORE, "unknown")])
async def test_tells_what_the_issuer_said(able: AbleShop, told: object, status: str) -> None:
    able.gateway.script.append(told)  # type: ignore[arg-type]
    verified = await verify(able)

    assert verified.status == status
    assert (verified.failure is None) == (status == "unknown")


async def test_refuses_what_cannot_be_verified(able: AbleShop, shop: Shop) -> None:
    with pytest.raises(UnknownCurrencyError):
        await verify(able, currency="XXX")
    with pytest.raises(payments.PaymentMethodNotFoundError):
        await payments.list_verifications(able.bank.db, partner(2), able.card.id)
    await payments.delete_payment_method(able.bank.db, able.bank.actor, able.card.id)
    with pytest.raises(payments.PaymentMethodNotFoundError):
        await verify(able)
    with pytest.raises(payments.OperationNotSupportedError):
        await verify(shop, "other")
    assert able.gateway.seen == []
