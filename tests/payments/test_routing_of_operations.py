"""Credits, verifications and authentications go by the same rules as payments, to those who offer them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from shanraq import payments
from shanraq.core.actor import SYSTEM
from shanraq.core.errors import ShanraqError
from shanraq.core.money import Money
from shanraq.payments.adapter import (
    Advice,
    Authorize,
    Credit,
    DeclineClass,
    NotProcessed,
    Outcome,
    Reason,
    Verify,
)
from shanraq.payments.route import route
from shanraq.payments.routing import Conditions, RoutedOperation, fitting, holds
from tests.payments.conftest import Shop
from tests.payments.gateway import DOWN, INSUFFICIENT, LOST_AFTER, LOST_BEFORE, AbleGateway, Gateway
from tests.payments.test_authentications import ask, authenticated, start
from tests.payments.test_credits import credit
from tests.payments.test_routing import FACTS, OPERATOR, new
from tests.payments.test_verify import verify

EVERY = [RoutedOperation.CREDIT, RoutedOperation.VERIFICATION, RoutedOperation.AUTHENTICATION]


async def carry_out(shop: Shop, operation: RoutedOperation) -> None:
    """Do one of the operations at a shop."""
    match operation:
        case RoutedOperation.CREDIT:
            await credit(shop, (await shop.bank.account(1000)).id)
        case RoutedOperation.VERIFICATION:
            await verify(shop)
        case RoutedOperation.AUTHENTICATION:
            await start(shop)
        case RoutedOperation.PAYMENT:
            await shop.authorize()


def asked(*gateways: Gateway) -> list[str]:
    """Return the names of the gateways that were asked anything."""
    return [one.name for one in gateways if one.seen or (isinstance(one, AbleGateway) and one.asked)]


@pytest.mark.parametrize("operation", EVERY)
async def test_a_rule_sends_it_where_it_says(shop: Shop, operation: RoutedOperation) -> None:
    a, b = AbleGateway("a"), AbleGateway("b")
    shop = shop.at(a, b)
    await payments.create_routing_rule(
        shop.bank.db, OPERATOR, new("b", "a", conditions=Conditions(bins=["411111"], operations=[operation]))
    )
    await carry_out(shop, operation)
    await shop.authorize()

    assert asked(b) == ["b"]
    assert a.commands(Authorize) and not a.commands(Credit) and not a.commands(Verify) and not a.asked


@pytest.mark.parametrize("operation", EVERY)
async def test_who_does_not_offer_it_is_passed_over(shop: Shop, operation: RoutedOperation) -> None:
    plain, able = Gateway("plain"), AbleGateway("able")
    shop = shop.at(plain, able, AbleGateway("third"))
    await payments.create_routing_rule(shop.bank.db, OPERATOR, new("plain", "able"))
    await carry_out(shop, operation)

    assert asked(plain, able) == ["able"]


@pytest.mark.parametrize("operation", EVERY)
async def test_a_rule_that_names_nobody_who_offers_it_is_passed_by(shop: Shop, operation: RoutedOperation) -> None:
    plain, able, third = Gateway("plain"), AbleGateway("able"), AbleGateway("third")
    shop = shop.at(plain, able, third)
    await payments.create_routing_rule(shop.bank.db, OPERATOR, new("plain", position=1))
    await payments.create_routing_rule(shop.bank.db, OPERATOR, new("third", position=2))
    await carry_out(shop, operation)

    assert asked(plain, able, third) == ["third"]


@pytest.mark.parametrize("operation", EVERY)
@pytest.mark.parametrize("order", [(), ("plain",), ("plain", "able"), ("able", "plain")])
async def test_without_a_rule_the_first_in_order_that_offers_it_is_asked(
    shop: Shop, operation: RoutedOperation, order: tuple[str, ...]
) -> None:
    plain, able, third = Gateway("plain"), AbleGateway("able"), AbleGateway("third")
    await carry_out(shop.at(plain, able, third, order=order), operation)

    assert asked(plain, able, third) == ["able"]


@pytest.mark.parametrize("operation", EVERY)
async def test_whose_circuit_is_open_is_passed_over(shop: Shop, operation: RoutedOperation) -> None:
    a, b = AbleGateway("a", available=False), AbleGateway("b")
    await carry_out(shop.at(a, b, order=("a", "b")), operation)

    assert asked(a, b) == ["b"]


@pytest.mark.parametrize("operation", EVERY)
async def test_where_nobody_offers_it_it_is_refused_plainly_and_nothing_is_written(
    shop: Shop, operation: RoutedOperation
) -> None:
    a, b = Gateway("a"), Gateway("b")
    await payments.create_routing_rule(shop.bank.db, OPERATOR, new("b", "a"))
    with pytest.raises(payments.OperationNotSupportedError, match=operation.words) as refused:
        await carry_out(shop.at(a, b), operation)
    with pytest.raises(payments.NoAdapterError):
        async with shop.bank.db.begin(shop.bank.actor) as tx:
            await route(tx, payments.Gateways({}), fitting(replace(FACTS, operation=operation)))

    assert refused.value.status == 422
    assert asked(a, b) == []
    async with shop.bank.db.begin(SYSTEM) as tx:
        for table in ("payment", "payment_authentication", "payment_method_verification"):
            assert await tx.value(f"SELECT count(*) FROM {table}") == 0


async def test_a_credit_tells_how_it_was_routed(shop: Shop) -> None:
    plain, able = Gateway("plain"), AbleGateway("able")
    shop = shop.at(plain, able)
    made = await payments.create_routing_rule(
        shop.bank.db, OPERATOR, new("plain", "able", conditions=Conditions(operations=[RoutedOperation.CREDIT]))
    )
    paid = await credit(shop, (await shop.bank.account(1000)).id)

    assert paid.routing is not None and paid.routing == (await shop.find(paid.id)).routing
    assert (paid.routing.rule, [one.adapter for one in paid.routing.candidates]) == (made.id, ["able"])
    assert [(one.adapter, one.why) for one in paid.routing.passed_over] == [("plain", "offers no credits to cards")]
    assert paid.operation is not None and paid.operation.adapter == "able"


async def test_a_credit_that_was_not_processed_is_paid_by_the_next_with_an_id_of_its_own(shop: Shop) -> None:
    a, plain, b = AbleGateway("a"), Gateway("plain"), AbleGateway("b")
    a.script.append(DOWN)
    shop = shop.at(a, plain, b, order=("a", "plain", "b"))
    account = await shop.bank.account(1000)
    paid = await credit(shop, account.id)
    again = await credit(shop, account.id)
    operations = await payments.list_operations(shop.bank.db, shop.bank.actor, paid.id)

    assert (paid.status, paid.failure, again) == ("paid", None, paid)
    assert [(one.adapter, one.status) for one in operations] == [("a", "failed"), ("b", "succeeded")]
    assert asked(a, plain, b) == ["a", "b"]
    assert a.commands(Credit)[0].operation_id != b.commands(Credit)[0].operation_id
    assert await shop.bank.balance(account.id) == (600, 0, 0)
    assert (await shop.bank.events()).count("payment.paid") == 1
    assert await shop.bank.verified()


async def test_a_credit_that_nobody_processed_frees_the_money_once(shop: Shop) -> None:
    gateways = [AbleGateway(name) for name in "abcd"]
    for gateway in gateways:
        gateway.script.append(DOWN)
    shop = shop.at(*gateways, order=tuple("abcd"))
    account = await shop.bank.account(1000)
    failed = await credit(shop, account.id)

    assert failed.status == "failed"
    assert asked(*gateways) == ["a", "b", "c"]
    assert await shop.bank.balance(account.id) == (1000, 0, 0)
    assert (await shop.bank.events()).count("payment.failed") == 1
    assert await shop.bank.verified()


@pytest.mark.parametrize(("told", "left"), [(LOST_AFTER, 600), (LOST_BEFORE, 1000)])
async def test_a_lost_second_credit_is_recovered_where_it_was_sent(shop: Shop, told: str, left: int) -> None:
    a, b = AbleGateway("a"), AbleGateway("b")
    a.script.append(DOWN)
    b.script.append(told)
    shop = shop.at(a, b, order=("a", "b"))
    account = await shop.bank.account(1000)
    lost = await credit(shop, account.id)
    await shop.recover()
    found = await shop.find(lost.id)

    assert (lost.status, found.status) == ("paying", "paid" if left == 600 else "failed")
    assert (len(a.seen), len(b.seen), a.done) == (1, 1, {})
    assert await shop.bank.balance(account.id) == (left, 0, 0)
    assert await shop.bank.verified()


@pytest.mark.parametrize(
    "told",
    [
        LOST_AFTER,
        LOST_BEFORE,
        INSUFFICIENT,
        NotProcessed(Reason("merchant_config", DeclineClass.CONFIGURATION, Advice.DO_NOT_RETRY)),
    ],
)
@pytest.mark.parametrize("operation", [RoutedOperation.CREDIT, RoutedOperation.VERIFICATION])
async def test_nobody_else_is_asked_after_anything_else(
    shop: Shop, operation: RoutedOperation, told: Outcome | str
) -> None:
    a, b = AbleGateway("a"), AbleGateway("b")
    a.script.append(told)
    await carry_out(shop.at(a, b, order=("a", "b")), operation)

    assert asked(a, b) == ["a"]


async def test_a_card_that_one_could_not_verify_is_verified_by_the_next(shop: Shop) -> None:
    a, b, closed = AbleGateway("a"), AbleGateway("b"), AbleGateway("closed", available=False)
    a.script.append(DOWN)
    shop = shop.at(closed, a, b, order=("closed", "a", "b"))
    verified = await verify(shop)
    again = await verify(shop)

    ((first,), (second,)) = a.commands(Verify), b.commands(Verify)
    assert (verified.status, verified.failure, again) == ("approved", None, verified)
    assert (verified.id, second.reference) == (second.operation_id, first.reference)
    assert first.operation_id != second.operation_id
    assert asked(closed) == []
    async with shop.bank.db.begin(SYSTEM) as tx:
        assert [row["adapter"] for row in await tx.rows("SELECT adapter FROM payment_method_verification")] == ["b"]


async def test_a_card_that_nobody_could_verify_is_said_to_have_failed(shop: Shop) -> None:
    gateways = [AbleGateway(name) for name in "abcd"]
    for gateway in gateways:
        gateway.script.append(DOWN)
    verified = await verify(shop.at(*gateways, order=tuple("abcd")))

    assert verified.failure is not None
    assert (verified.status, verified.failure.code) == ("failed", "processor_unavailable")
    assert asked(*gateways) == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("conditions", "operation", "expected"),
    [
        (Conditions(operations=[RoutedOperation.CREDIT]), RoutedOperation.CREDIT, True),
        (Conditions(operations=[RoutedOperation.CREDIT]), RoutedOperation.PAYMENT, False),
        (Conditions(capture=False), RoutedOperation.PAYMENT, True),
        (Conditions(capture=False), RoutedOperation.CREDIT, False),
        (Conditions(currencies=["KZT"], amount_from=1), RoutedOperation.AUTHENTICATION, True),
        (Conditions(currencies=["KZT"], amount_from=1), RoutedOperation.VERIFICATION, False),
        (Conditions(currencies=["KZT"]), RoutedOperation.VERIFICATION, True),
    ],
)
def test_conditions_speak_of_what_an_operation_has(
    conditions: Conditions, operation: RoutedOperation, expected: bool
) -> None:
    facts = fitting(replace(FACTS, operation=operation))

    assert holds(conditions, facts) is expected
    assert facts.amount == (Money.of(0, "KZT") if operation is RoutedOperation.VERIFICATION else FACTS.amount)


async def test_a_payment_stays_with_who_authenticated_its_payer_whatever_the_rules_say_now(shop: Shop) -> None:
    a, b = AbleGateway("a"), AbleGateway("b")
    shop = shop.at(a, b, order=("a", "b"))
    rule = await payments.create_routing_rule(shop.bank.db, OPERATOR, new("b", "a"))
    begun = await start(shop)
    await payments.replace_routing_rule(shop.bank.db, OPERATOR, rule.id, 1, new("a", "b"))
    done = await ask(shop, begun.id)
    b.available = False
    paid = await _pay(shop, done.id)

    assert (paid.status, [one.adapter for one in paid.routing.candidates] if paid.routing else []) == (
        "authorized",
        ["b"],
    )
    assert (a.seen, a.asked) == ([], [])
    assert [command.authentication is not None for command in b.commands(Authorize)] == [True]


async def test_a_payment_with_an_authentication_is_not_tried_elsewhere(shop: Shop) -> None:
    a, b = AbleGateway("a"), AbleGateway("b")
    shop = shop.at(a, b, order=("b", "a"))
    done = await authenticated(shop)
    b.script.append(DOWN)
    failed = await _pay(shop, done.id)

    assert failed.status == "failed"
    assert asked(a) == []


async def test_who_authenticated_and_is_gone_is_missed_plainly(shop: Shop) -> None:
    a, b = AbleGateway("a"), AbleGateway("b")
    done = await authenticated(shop.at(b, a))
    with pytest.raises(ShanraqError) as refused:
        await _pay(shop.at(a), done.id)

    assert isinstance(refused.value, payments.NoAdapterError)
    assert asked(a) == []


async def _pay(shop: Shop, authentication_id: str) -> payments.Payment:
    pay = payments.NewPayment(
        payment_method_id=shop.card.id, account_id=shop.account.id, amount=1000, currency="KZT",
        authentication_id=authentication_id,
    )  # fmt: skip
    return (await payments.authorize(shop.acquiring, shop.bank.actor, "pay", pay)).value
