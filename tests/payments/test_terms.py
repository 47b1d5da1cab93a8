"""The terms of an authorisation reach the gateway, and what it tells is kept and shown."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from shanraq import payments
from shanraq.core.money import Money
from shanraq.core.secret import Pan
from shanraq.payments.adapter import (
    Advice,
    Approved,
    Authorize,
    Checks,
    DeclineClass,
    Declined,
    Device,
    Initiator,
    MerchantReason,
    Reason,
    Risk,
    RiskDecision,
    RiskRule,
    StoredCredential,
)
from tests.money_world import unknown_id
from tests.payments.conftest import AbleShop

NETWORK_ID = "016153570198200"
RISK = Risk(RiskDecision.REJECTED, 91, "BRIGHTERION", (RiskRule("MERCHANT_IP_COUNTRY", "REJECT", "XX"),))


def approval(amount: int = 1000) -> Approved:
    return Approved(
        "gw-1",
        Money.of(amount, "KZT"),
        approval_code="831000",
        network_transaction_id=NETWORK_ID,
        checks=Checks(address="Y", security_code="M"),
        risk=Risk(RiskDecision.ACCEPTED, 12, "BRIGHTERION"),
    )


async def test_the_options_reach_the_gateway(able: AbleShop) -> None:
    payment = await able.pay(
        partial=True,
        estimated=True,
        device=payments.DeviceDetails(ip_address="192.0.2.7", language="kk-KZ", color_depth=24),
        stored_credential=payments.CredentialUse(first=True, agreement_id="rent-1"),
    )

    (command,) = able.gateway.commands(Authorize)
    assert (command.partial, command.estimated) == (True, True)
    assert command.device == Device(ip_address="192.0.2.7", language="kk-KZ", color_depth=24)
    assert command.stored == StoredCredential(Initiator.CUSTOMER, first=True, agreement_id="rent-1")
    assert payment.estimated and payment.stored_credential is not None


async def test_what_the_answer_tells_is_kept(able: AbleShop) -> None:
    able.gateway.script.append(approval())
    payment = await able.pay()

    found = await able.find(payment.id)
    assert found == payment
    assert (found.network_transaction_id, found.approval_code) == (NETWORK_ID, "831000")
    assert found.checks == payments.CardChecks(address="Y", security_code="M")
    assert found.risk is not None and (found.risk.decision, found.risk.score) == ("accepted", 12)
    assert "fraud.detected" not in await able.bank.events()


async def test_a_merchant_initiated_payment_follows_an_earlier_one(able: AbleShop) -> None:
    able.gateway.script.append(approval())
    first = await able.pay("first", stored_credential=payments.CredentialUse(first=True))
    use = payments.CredentialUse(
        initiator=Initiator.MERCHANT, reason=MerchantReason.RECURRING, previous_payment_id=first.id
    )
    later = await able.pay("later", stored_credential=use)

    command = able.gateway.commands(Authorize)[-1]
    assert command.stored == StoredCredential(
        Initiator.MERCHANT, reason=MerchantReason.RECURRING, network_transaction_id=NETWORK_ID
    )
    assert later.stored_credential == use


@pytest.mark.parametrize(
    ("use", "field"),
    [
        ({"initiator": Initiator.MERCHANT, "network_transaction_id": NETWORK_ID}, "reason"),
        ({"initiator": Initiator.MERCHANT, "reason": MerchantReason.RECURRING}, "previous_payment_id"),
        ({"initiator": Initiator.MERCHANT, "reason": MerchantReason.RECURRING, "first": True}, "first"),
        ({"reason": MerchantReason.RECURRING}, "reason"),
        ({"previous_payment_id": "pay_1", "network_transaction_id": NETWORK_ID}, "network_transaction_id"),
    ],
)
async def test_refuses_a_use_that_contradicts_itself(able: AbleShop, use: dict[str, Any], field: str) -> None:
    with pytest.raises(payments.InvalidStoredCredentialError) as refused:
        await able.pay(stored_credential=payments.CredentialUse(**use))

    assert refused.value.field == f"stored_credential.{field}"
    assert able.gateway.seen == []


async def test_refuses_an_earlier_payment_that_cannot_be_followed(able: AbleShop) -> None:
    without_id = await able.pay("without")
    able.gateway.script.append(approval())
    followed = await able.pay("followed")
    other = await payments.tokenize(
        able.bank.db, able.acquiring.keyring, able.bank.actor, Pan("5555555555554444"),
        payments.NewCard(expiry_month=12, expiry_year=2031),
    )  # fmt: skip
    cases = [(without_id.id, able.card.id), (unknown_id("pay"), able.card.id), (followed.id, other.value.id)]

    for number, (previous, method) in enumerate(cases):
        new = payments.NewPayment(
            payment_method_id=method, account_id=able.account.id, amount=5, currency="KZT",
            stored_credential=payments.CredentialUse(
                initiator=Initiator.MERCHANT, reason=MerchantReason.UNSCHEDULED, previous_payment_id=previous
            ),
        )  # fmt: skip
        with pytest.raises(payments.PreviousPaymentUnusableError) as refused:
            await payments.authorize(able.acquiring, able.bank.actor, f"case-{number}", new)
        assert refused.value.field == "stored_credential.previous_payment_id"
    assert len(able.gateway.seen) == 2


async def test_a_decline_tells_how_to_go_on(able: AbleShop) -> None:
    reason = Reason(
        "do_not_honor",
        DeclineClass.SOFT,
        Advice.RETRY_LATER,
        "PROCESSOR_DECLINED",
        issuer_code="05",
        advice_code="24",
        retry_after=timedelta(hours=1),
    )
    able.gateway.script.append(Declined(reason, checks=Checks(security_code="N")))
    declined = await able.pay()

    failure = (await able.find(declined.id)).failure
    assert failure is not None
    assert (failure.issuer_code, failure.advice_code, failure.retry_after_seconds) == ("05", "24", 3600)
    assert declined.checks == payments.CardChecks(security_code="N")


async def test_fraud_is_told_with_score_and_rules_and_without_card_data(able: AbleShop) -> None:
    reason = Reason("risk_rejected", DeclineClass.FRAUD, Advice.DO_NOT_RETRY, "BLOCKED")
    able.gateway.script.append(Declined(reason, risk=RISK))
    declined = await able.pay()

    (told,) = await able.events_of("fraud.detected")
    assert told == {
        "payment_id": declined.id,
        "decision": "rejected",
        "reason": "risk_rejected",
        "score": 91,
        "provider": "BRIGHTERION",
        "rules": [{"name": "MERCHANT_IP_COUNTRY", "recommendation": "REJECT", "detail": "XX"}],
    }
    assert declined.risk is not None and declined.risk.decision == "rejected"


@pytest.mark.parametrize("amount", [Money.of(1001, "KZT"), Money.of(1000, "USD"), Money.of(0, "KZT")])
async def test_an_approval_of_what_was_not_asked_is_looked_into(able: AbleShop, amount: Money) -> None:
    able.gateway.script.append(Approved("gw-1", amount))
    payment = await able.pay()

    assert (payment.status, payment.operation and payment.operation.status) == ("authorizing", "unknown")
