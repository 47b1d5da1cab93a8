"""Attempts: another payment system is asked only where certainly nothing moved, and no payment is ever approved twice."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Iterator, Sequence
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shanraq import payments
from shanraq.core import once
from shanraq.core.actor import SYSTEM
from shanraq.core.money import Money
from shanraq.core.page import PageRequest
from shanraq.payments.adapter import (
    Advice,
    Approved,
    Authorize,
    Command,
    Credit,
    DeclineClass,
    Declined,
    InReview,
    NotProcessed,
    Outcome,
    Reason,
    Reverse,
    Unknown,
)
from shanraq.payments.settle import settle_outcome
from tests.payments.conftest import AbleShop, Shop
from tests.payments.gateway import DOWN, INSUFFICIENT, LOST_AFTER, LOST_BEFORE, AbleGateway, Gateway
from tests.payments.test_credits import credit

ELSEWHERE = Declined(
    Reason("processor_unavailable", DeclineClass.TECHNICAL, Advice.RETRY_OTHER_PROCESSOR, "PROCESSOR_UNAVAILABLE")
)
STOLEN = Declined(Reason("stolen_or_lost", DeclineClass.HARD, Advice.DO_NOT_RETRY))
ORDER = ("a", "b", "c", "d")


class CrashError(BaseException):
    """The process dies here: nothing after this line happens."""


def crash(_command: Command) -> Outcome:
    raise CrashError


def luhn_numbers() -> Iterator[str]:
    """Yield card numbers of Visa, one after the other."""
    for number in itertools.count():
        body = f"400000{number:09}"
        total = sum(
            digit if place % 2 else sum(divmod(digit * 2, 10)) for place, digit in enumerate(map(int, reversed(body)))
        )
        yield f"{body}{-total % 10}"


NUMBERS = luhn_numbers()


def four(shop: Shop) -> tuple[Shop, list[Gateway]]:
    gateways = [Gateway(name) for name in ORDER]
    return shop.at(*gateways, order=ORDER), gateways


async def attempts(shop: Shop, payment_id: str) -> list[tuple[str, str]]:
    found = await payments.list_operations(shop.bank.db, shop.bank.actor, payment_id)
    return [(operation.adapter, operation.status) for operation in found if operation.kind == "authorize"]


@pytest.mark.parametrize("failure", [DOWN, ELSEWHERE])
async def test_goes_on_where_nothing_moved_with_an_id_of_its_own(shop: Shop, failure: Outcome) -> None:
    shop, (a, b, *_) = four(shop)
    a.script.append(failure)
    paid = (await shop.authorize()).value
    again = await shop.authorize()
    captured = (await payments.capture(shop.acquiring, shop.bank.actor, "cap", paid.id)).value

    assert (paid.status, paid.failure) == ("authorized", None)
    assert [name for name, _ in await attempts(shop, paid.id)] == ["a", "b"]
    assert a.seen[0].operation_id != b.seen[0].operation_id
    assert again.replayed and again.value.id == paid.id
    assert (captured.status, len(a.seen), len(b.seen)) == ("captured", 1, 2)
    assert await shop.balance() == (1000, 0, 0)
    assert await shop.bank.verified()


async def test_the_hold_is_made_once_and_let_go_once(shop: Shop) -> None:
    shop, gateways = four(shop)
    for gateway in gateways:
        gateway.script.append(DOWN)
    failed = (await shop.authorize()).value

    assert failed.status == "failed"
    assert failed.failure is not None and failed.failure.code == "processor_unavailable"
    assert await attempts(shop, failed.id) == [("a", "failed"), ("b", "failed"), ("c", "failed")]
    assert (await shop.bank.events()).count("transaction.created") == 1
    assert (await shop.bank.events()).count("payment.failed") == 1
    assert await shop.balance() == (0, 0, 0)


@pytest.mark.parametrize(
    "outcome",
    [
        Unknown("no answer"),
        INSUFFICIENT,
        STOLEN,
        Declined(Reason("issuer_unavailable", DeclineClass.TECHNICAL, Advice.RETRY_LATER)),
        Declined(
            Reason("processor_unavailable", DeclineClass.TECHNICAL, Advice.RETRY_OTHER_PROCESSOR, advice_code="1")
        ),
        Declined(
            Reason(
                "processor_unavailable", DeclineClass.TECHNICAL, Advice.RETRY_OTHER_PROCESSOR,
                retry_after=timedelta(hours=1),
            )
        ),
        Declined(
            Reason("processor_unavailable", DeclineClass.TECHNICAL, Advice.RETRY_OTHER_PROCESSOR, release=True),
            gateway_id="gw-1",
        ),
        NotProcessed(Reason("merchant_config", DeclineClass.CONFIGURATION, Advice.DO_NOT_RETRY)),
        InReview("gw-1", Money.positive(1000, "KZT"),
                 Reason("review_required", DeclineClass.FRAUD, Advice.WAIT_FOR_REVIEW)),
    ],
)  # fmt: skip
async def test_nobody_else_is_asked_after_anything_else(shop: Shop, outcome: Outcome) -> None:
    shop, (a, *others) = four(shop)
    a.script.append(outcome)
    paid = (await shop.authorize()).value

    assert len(await attempts(shop, paid.id)) == 1
    assert all(gateway.seen == [] for gateway in others)


async def test_no_attempt_begins_after_the_time_for_attempts(shop: Shop) -> None:
    shop, (a, b, *_) = four(shop)

    def slow(_command: Command) -> Outcome:
        shop.later(21)
        return DOWN

    a.script.append(slow)
    paid = (await shop.authorize()).value

    assert paid.status == "failed"
    assert b.seen == []


async def test_whose_circuit_opened_meanwhile_is_passed_over(shop: Shop) -> None:
    shop, (a, b, c, _) = four(shop)

    def fail(_command: Command) -> Outcome:
        b.available = False
        return DOWN

    a.script.append(fail)
    paid = (await shop.authorize()).value

    assert [name for name, _ in await attempts(shop, paid.id)] == ["a", "c"]
    assert (b.seen, len(c.seen)) == ([], 1)


async def test_a_lost_second_attempt_is_recovered_where_it_was_sent(shop: Shop) -> None:
    shop, (a, b, c, _) = four(shop)
    a.script.append(DOWN)
    b.script.append(LOST_AFTER)
    lost = (await shop.authorize()).value
    await shop.recover()
    found = await shop.find(lost.id)

    assert (lost.status, found.status) == ("authorizing", "authorized")
    assert found.operation is not None and found.operation.adapter == "b"
    assert c.seen == []


async def test_the_answer_to_a_repeated_request_is_that_of_the_latest_attempt(shop: Shop) -> None:
    shop, (a, b, *_) = four(shop)
    a.script.append(DOWN)
    b.script.append(LOST_BEFORE)
    lost = (await shop.authorize(key="k")).value
    again = await shop.authorize(key="k")

    assert again.replayed
    assert again.value.operation is not None and lost.operation is not None
    assert (again.value.operation.id, again.value.operation.adapter) == (lost.operation.id, "b")


@pytest.mark.parametrize(("processed", "status"), [(False, "failed"), (True, "authorized")])
async def test_a_crash_during_the_second_attempt_charges_nobody_twice(shop: Shop, processed: bool, status: str) -> None:
    shop, (a, b, c, _) = four(shop)
    a.script.append(DOWN)

    def die(command: Command) -> Outcome:
        if processed:
            b.done[command.operation_id] = ("gw-b", command.amount)
        raise CrashError

    b.script.append(die)
    with pytest.raises(CrashError):
        await shop.authorize()
    await shop.recover()
    (payment,) = (await payments.list_payments(shop.bank.db, shop.bank.actor, PageRequest())).items

    assert payment.status == status
    assert [name for name, _ in await attempts(shop, payment.id)] == ["a", "b"]
    assert c.seen == []
    assert a.undone == []
    assert len(b.undone) == (not processed)
    assert await shop.balance() == ((0, 0, 1000) if processed else (0, 0, 0))
    assert await shop.bank.verified()


async def test_an_approval_that_comes_too_late_is_reversed_where_it_was_given(shop: Shop) -> None:
    shop, (a, b, *_) = four(shop)
    a.script.append(DOWN)
    paid = (await shop.authorize()).value
    first = (await payments.list_operations(shop.bank.db, shop.bank.actor, paid.id))[0]
    approved = Approved("gw-late", Money.positive(1000, "KZT"))
    await settle_outcome(shop.bank.db, shop.bank.actor, first.id, approved)
    await shop.recover(1)

    assert [command.authorization_id for command in a.seen if isinstance(command, Reverse)] == ["gw-late"]
    assert not b.commands(Reverse)
    assert (await shop.find(paid.id)).status == "authorized"


@pytest.mark.parametrize("kind", ["authorize", "credit"])
async def test_the_database_itself_allows_one_attempt_of_a_payment_that_stands(able: AbleShop, kind: str) -> None:
    shop = able
    if kind == "credit":
        paid = await credit(shop, (await shop.bank.account(1000)).id)
    else:
        paid = await shop.authorized()
    with pytest.raises(Exception, match="payment_operation_one_attempt"):
        async with shop.bank.db.begin(SYSTEM) as tx:
            await tx.execute(
                """INSERT INTO payment_operation (id, payment_id, partner_id, environment, book, adapter, kind, amount,
                                                  currency, status, request_id, next_check_at, sent_at)
                   SELECT 'op_2', payment_id, partner_id, environment, book, 'b', kind, amount,
                          currency, 'sending', '', now(), now()
                     FROM payment_operation WHERE payment_id = $1""",
                paid.id,
            )


async def test_many_requests_with_one_key_make_one_chain_of_attempts(shop: Shop) -> None:
    shop, (a, b, *_) = four(shop)
    a.script.append(DOWN)

    async def ask() -> None:
        with contextlib.suppress(once.KeyInUseError):
            await shop.authorize(key="k")

    await asyncio.gather(*(ask() for _ in range(6)))

    assert (len(a.seen), len(b.seen)) == (1, 1)


STEPS = {
    "approved": None, "lost before": LOST_BEFORE, "lost after": LOST_AFTER, "down": DOWN, "elsewhere": ELSEWHERE,
    "declined": INSUFFICIENT, "stolen": STOLEN, "crash": crash,
}  # fmt: skip


def prepare(gateways: Sequence[Gateway], steps: Sequence[str]) -> None:
    for gateway, step in zip(gateways, steps, strict=True):
        told = STEPS[step]
        if told is not None:
            gateway.script.append(told)


def expected(steps: Sequence[str]) -> list[int]:
    """Return how often each is asked: exactly those before the first that may not be passed, and three at most."""
    went_on = [step in ("down", "elsewhere") for step in steps]
    reached = next((number for number, on in enumerate(went_on) if not on), len(steps)) + 1
    return [int(number < min(reached, 3)) for number in range(4)]


async def recover(shop: Shop, gateways: Sequence[Gateway], reachable: bool) -> None:
    """Let recovery look, first while the gateways can perhaps not be reached."""
    for gateway in gateways:
        gateway.reachable = reachable
    await shop.recover()
    for gateway in gateways:
        gateway.reachable = True
    for _ in range(3):
        await shop.recover(400)


@given(st.lists(st.sampled_from(sorted(STEPS)), min_size=4, max_size=4), st.booleans(), st.booleans())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_no_payment_is_approved_twice_and_none_goes_on_after_an_unknown(
    shop: Shop, steps: list[str], capture: bool, reachable: bool
) -> None:
    shop, gateways = four(await shop.with_card(next(NUMBERS)))
    prepare(gateways, steps)
    before = await shop.balance()
    key = f"key-{shop.card.id}"
    with contextlib.suppress(CrashError):
        await shop.authorize(key=key, capture=capture)
    sent = [len(gateway.commands(Authorize)) for gateway in gateways]
    assert sent == expected(steps)

    await recover(shop, gateways, reachable)

    assert [len(gateway.commands(Authorize)) for gateway in gateways] == sent
    approved = sum(len(gateway.done) for gateway in gateways)
    assert approved <= 1
    (payment,) = [
        one
        for one in (await payments.list_payments(shop.bank.db, shop.bank.actor, PageRequest())).items
        if one.payment_method_id == shop.card.id
    ]
    assert payment.status == (("captured" if capture else "authorized") if approved else "failed")
    posted, held, incoming = await shop.balance()
    assert (posted - before[0], held, incoming - before[2]) == (
        (1000, 0, 0) if approved and capture else (0, 0, 1000 * approved)
    )


@given(st.lists(st.sampled_from(sorted(STEPS)), min_size=4, max_size=4), st.booleans())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_no_credit_is_paid_twice_and_none_goes_on_after_an_unknown(
    shop: Shop, steps: list[str], reachable: bool
) -> None:
    gateways = [AbleGateway(name) for name in ORDER]
    shop = shop.at(*gateways, order=ORDER)
    prepare(gateways, steps)
    account = await shop.bank.account(1000)
    with contextlib.suppress(CrashError):
        await credit(shop, account.id, key=f"key-{account.id}")
    sent = [len(gateway.commands(Credit)) for gateway in gateways]
    assert sent == expected(steps)

    await recover(shop, gateways, reachable)

    assert [len(gateway.commands(Credit)) for gateway in gateways] == sent
    paid = sum(len(gateway.done) for gateway in gateways)
    assert paid <= 1
    (payment,) = [
        one
        for one in (await payments.list_payments(shop.bank.db, shop.bank.actor, PageRequest())).items
        if one.account_id == account.id
    ]
    assert payment.status == ("paid" if paid else "failed")
    assert await shop.bank.balance(account.id) == (1000 - 400 * paid, 0, 0)
    assert await shop.bank.verified()
