"""The retry limits of the schemes: refused before it is sent, counted with the decline, exact under concurrency."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shanraq.core import once
from shanraq.core.actor import SYSTEM
from shanraq.core.money import Money
from shanraq.payments import limits
from shanraq.payments.adapter import Advice, Authorize, DeclineClass, Declined, NotProcessed, Reason
from shanraq.payments.limits import CardDecline, InFlight, RetryLimitReachedError, judge
from tests.money_world import Bank, partner
from tests.payments.conftest import Shop
from tests.payments.gateway import INSUFFICIENT, LOST_AFTER, Gateway

MASTERCARD = "5555555555554444"
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
TEN = Money.positive(1000, "KZT")


def told(issuer_code: str = "", advice_code: str = "", kind: DeclineClass = DeclineClass.SOFT) -> Declined:
    return Declined(Reason("do_not_honor", kind, Advice.RETRY_LATER, issuer_code=issuer_code, advice_code=advice_code))


def ago(amount: int = 1000, *, final: bool = False, retry_at: datetime | None = None, **back: float) -> CardDecline:
    return CardDecline(amount, "KZT", final, retry_at, NOW - timedelta(**back))


async def decline(
    shop: Shop, count: int, outcome: Declined = INSUFFICIENT, *, key: str = "d", amount: int = 1000
) -> None:
    for number in range(count):
        shop.gateway.script.append(outcome)
        assert (await shop.authorize(amount, key=f"{key}-{number}")).value.status == "failed"


async def refused(shop: Shop, key: str = "refused", amount: int = 1000) -> RetryLimitReachedError:
    sent = len(shop.gateway.seen)
    with pytest.raises(RetryLimitReachedError) as raised:
        await shop.authorize(amount, key=key)
    assert len(shop.gateway.seen) == sent
    assert (raised.value.status, raised.value.code, raised.value.field) == (
        422, "retry_limit_reached", "payment_method_id",
    )  # fmt: skip
    return raised.value


async def test_mastercard_allows_ten_declines_in_a_day(shop: Shop) -> None:
    shop = await shop.with_card(MASTERCARD)
    await decline(shop, 10)
    refusal = await refused(shop)
    again = await refused_again(shop)
    shop.later(24 * 3600)
    later = (await shop.authorize(key="next-day")).value

    assert refusal.retry_after_seconds is not None
    assert 24 * 3600 - 60 < refusal.retry_after_seconds <= 24 * 3600
    assert again.code == "retry_limit_reached"
    assert later.status == "authorized"


async def refused_again(shop: Shop) -> once.ReplayedRefusalError:
    with pytest.raises(once.ReplayedRefusalError) as raised:
        await shop.authorize(key="refused")
    return raised.value


async def test_visa_allows_twenty_further_attempts_in_thirty_days(shop: Shop) -> None:
    await decline(shop, 21)
    refusal = await refused(shop)
    shop.later(30 * 86_400)

    assert refusal.retry_after_seconds is not None
    assert (await shop.authorize(key="later")).value.status == "authorized"


async def test_approvals_do_not_count(shop: Shop) -> None:
    shop = await shop.with_card(MASTERCARD)
    for number in range(12):
        await shop.authorize(key=f"good-{number}")
    await decline(shop, 9)

    assert (await shop.authorize(key="another")).value.status == "authorized"


@pytest.mark.parametrize(("card", "advice_code"), [("4111111111111111", "1"), (MASTERCARD, "03"), (MASTERCARD, "21")])
async def test_after_never_again_the_card_is_not_sent_again(shop: Shop, card: str, advice_code: str) -> None:
    shop = await shop.with_card(card)
    await decline(shop, 1, told("05", advice_code))
    refusal = await refused(shop)
    shop.later(60 * 86_400)
    await refused(shop, key="later")

    assert refusal.retry_after_seconds is None


async def test_another_card_partner_or_environment_is_not_concerned(shop: Shop) -> None:
    await decline(shop, 1, told("05", "1"))
    other_card = await shop.with_card("4012888888881881")
    bank = Bank(shop.bank.db, partner(2))
    other_partner = Shop(bank, shop.gateway, shop.acquiring, await bank.account(), shop.card)
    other_partner = await other_partner.with_card("4111111111111111")

    assert (await other_card.authorize(key="other-card")).value.status == "authorized"
    assert (await other_partner.authorize(key="other-partner")).value.status == "authorized"


async def test_the_same_card_tokenised_again_is_the_same_card(shop: Shop) -> None:
    await decline(shop, 1, told("05", "1"))

    await refused(await shop.with_card("4111111111111111"))


async def test_a_scheme_that_says_when_is_left_alone_until_then(shop: Shop) -> None:
    shop = await shop.with_card(MASTERCARD)
    await decline(shop, 1, told("51", "24"))
    refusal = await refused(shop)
    shop.later(3600)

    assert refusal.retry_after_seconds is not None
    assert 3500 < refusal.retry_after_seconds <= 3600
    assert (await shop.authorize(key="an-hour-later")).value.status == "authorized"


async def test_what_the_gateway_refuses_by_itself_does_not_count(shop: Shop) -> None:
    shop = await shop.with_card(MASTERCARD)
    await decline(shop, 11, told(kind=DeclineClass.CONFIGURATION), key="ours")
    await decline(shop, 11, told(kind=DeclineClass.FRAUD), key="risk")
    for number in range(11):
        reason = Reason("processor_unavailable", DeclineClass.TECHNICAL, Advice.RETRY_LATER)
        shop.gateway.script.append(NotProcessed(reason))
        await shop.authorize(key=f"down-{number}")

    assert (await shop.authorize(key="sent")).value.status == "authorized"


async def test_attempts_at_once_do_not_slip_through_together(shop: Shop) -> None:
    shop = await shop.with_card(MASTERCARD)
    await decline(shop, 8)
    shop.gateway.script.extend([INSUFFICIENT] * 8)

    async def ask(number: int) -> str:
        try:
            return (await shop.authorize(key=f"at-once-{number}")).value.status
        except RetryLimitReachedError:
            return "refused"

    answers = await asyncio.gather(*(ask(number) for number in range(8)))
    async with shop.bank.db.begin(SYSTEM) as tx:
        declines = await tx.value("SELECT count(*) FROM card_decline")

    assert declines <= 10
    assert sorted(answers)[:2] == ["failed", "failed"]
    assert len(shop.gateway.commands(Authorize)) == declines
    assert "refused" in answers


async def test_an_attempt_without_an_outcome_may_still_be_declined(shop: Shop) -> None:
    shop = await shop.with_card(MASTERCARD)
    await decline(shop, 9)
    shop.gateway.script.append(LOST_AFTER)
    await shop.authorize(key="lost")
    refusal = await refused(shop)
    await shop.recover()
    found = (await shop.authorize(key="after")).value

    assert refusal.retry_after_seconds is not None
    assert found.status == "authorized"


async def test_the_limit_holds_for_the_next_attempt_of_the_same_payment(shop: Shop) -> None:
    elsewhere = Declined(Reason("processor_unavailable", DeclineClass.TECHNICAL, Advice.RETRY_OTHER_PROCESSOR))
    a, b = Gateway("a"), Gateway("b")
    shop = (await shop.with_card(MASTERCARD)).at(a, b, order=("a", "b"))
    await decline(shop, 9)
    a.script.append(elsewhere)
    payment = (await shop.authorize(key="tenth")).value

    assert payment.status == "failed"
    assert b.seen == []


async def test_declines_are_forgotten_when_no_limit_counts_them(shop: Shop) -> None:
    await decline(shop, 2)
    await decline(shop, 1, told("05", "1"), key="never")
    kept = []
    for seconds in (29 * 86_400, 2 * 86_400, 340 * 86_400):
        shop.later(seconds)
        async with shop.bank.db.begin(SYSTEM) as tx:
            await limits.forget(tx)
            kept.append(await tx.value("SELECT count(*) FROM card_decline"))

    assert kept == [3, 1, 0]


async def test_no_card_number_is_kept_with_a_decline(shop: Shop) -> None:
    await decline(shop, 1)
    async with shop.bank.db.begin(SYSTEM) as tx:
        row = await tx.row("SELECT * FROM card_decline")
        seen = await tx.value("SELECT fingerprint FROM payment_method WHERE id = $1", shop.card.id)

    assert row is not None
    assert "411111" not in repr(tuple(row.values()))
    assert row["fingerprint"] == seen


def test_the_same_amount_is_counted_by_itself() -> None:
    same = [ago(days=2 + number / 2) for number in range(35)]
    other = [ago(amount=7, days=2 + number / 2) for number in range(35)]

    assert judge("mastercard", TEN, same, InFlight(), NOW) is not None
    assert judge("mastercard", TEN, other, InFlight(), NOW) is None
    assert judge("mastercard", TEN, same[1:], InFlight(), NOW) is None
    assert judge("mastercard", TEN, same[1:], InFlight(1, 1), NOW) is not None
    assert judge("mastercard", TEN, same[1:], InFlight(1, 0), NOW) is None


def test_a_scheme_without_figures_has_no_limit_but_its_advice() -> None:
    assert judge("amex", TEN, [ago(hours=1)] * 100, InFlight(50, 50), NOW) is None
    assert judge("amex", TEN, [ago(final=True, hours=1)], InFlight(), NOW) is not None


@given(
    st.sampled_from(["visa", "mastercard"]),
    st.lists(st.tuples(st.integers(0, 32 * 24 * 60), st.sampled_from([1000, 7])), max_size=60),
    st.integers(0, 12),
)
def test_after_the_wait_that_is_told_an_attempt_is_allowed_and_not_before(
    scheme: str, made: list[tuple[int, int]], in_flight: int
) -> None:
    """The limits as a sentence each, counted anew; and the wait is exact when nothing is in flight."""
    declines = [ago(amount, minutes=minutes) for minutes, amount in made]

    def counted(within: timedelta, at: datetime, amount: int | None = None) -> int:
        return sum(at - one.declined_at < within and amount in (None, one.amount) for one in declines)

    def allowed(at: datetime, flying: int) -> bool:
        if scheme == "visa":
            return counted(timedelta(days=30), at) + flying < 21
        day, month = counted(timedelta(hours=24), at), counted(timedelta(days=30), at, 1000)
        return day + flying < 10 and month + flying < 35

    refusal = judge(scheme, TEN, declines, InFlight(in_flight, in_flight), NOW)
    assert (refusal is None) == allowed(NOW, in_flight)
    if refusal is not None and in_flight == 0:
        assert refusal.retry_after_seconds is not None
        then = NOW + timedelta(seconds=refusal.retry_after_seconds)
        assert not allowed(then - timedelta(seconds=1), 0)


def test_both_limits_of_mastercard_are_waited_for() -> None:
    declines = [ago(minutes=number) for number in range(35)]
    refusal = judge("mastercard", TEN, declines, InFlight(), NOW)

    assert refusal is not None and refusal.retry_after_seconds is not None
    then = NOW + timedelta(seconds=refusal.retry_after_seconds)
    assert judge("mastercard", TEN, declines, InFlight(), then) is None
