from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from msgspec.structs import replace as changed

from shanraq import accounts, payments, transactions
from shanraq.core import once
from shanraq.core.actor import SYSTEM, Environment, MissingScopeError
from shanraq.core.crypto import Keyring, new_key_id
from shanraq.core.errors import ShanraqError
from shanraq.core.lifecycle import IllegalMoveError
from shanraq.core.money import CurrencyMismatchError, InvalidAmountError, Money
from shanraq.core.page import PageRequest
from shanraq.core.reseal import reseal
from shanraq.core.secret import Pan, SecurityCode
from shanraq.payments.adapter import (
    Advice,
    Approved,
    Authorize,
    Capture,
    Command,
    DeclineClass,
    Declined,
    Finding,
    InReview,
    Lost,
    Outcome,
    Reason,
    Reverse,
    Unknown,
    Void,
)
from shanraq.payments.settle import settle_outcome
from tests.money_world import partner, unknown_id
from tests.payments.conftest import Shop
from tests.payments.gateway import DOWN, INSUFFICIENT, LOST_AFTER, LOST_BEFORE


async def test_an_authorised_payment_holds_and_a_captured_one_pays(shop: Shop) -> None:
    authorized = await shop.authorized(1000)
    held = await shop.balance()
    captured = (await payments.capture(shop.acquiring, shop.bank.actor, "cap", authorized.id)).value

    assert held == (0, 0, 1000)
    assert (captured.status, captured.amount_captured) == ("captured", 1000)
    assert await shop.balance() == (1000, 0, 0)
    assert (await shop.bank.events())[-6:] == [
        "transaction.created", "payment.initiated", "transaction.authorized", "payment.authorized",
        "transaction.executed", "payment.captured", "payment.completed",
    ][-6:]  # fmt: skip
    assert await shop.bank.verified()


async def test_a_sale_is_captured_at_once(shop: Shop) -> None:
    sold = (await shop.authorize(700, capture=True)).value

    assert (sold.status, sold.amount_captured) == ("captured", 700)
    assert await shop.balance() == (700, 0, 0)


async def test_a_decline_is_a_failed_payment_and_holds_nothing(shop: Shop) -> None:
    shop.gateway.script.append(INSUFFICIENT)

    declined = (await shop.authorize()).value

    assert declined.status == "failed"
    assert declined.failure is not None
    assert (declined.failure.code, declined.failure.advice) == ("insufficient_funds", "retry_after")
    assert await shop.balance() == (0, 0, 0)
    assert (await shop.bank.events())[-2:] == ["transaction.failed", "payment.failed"]


async def test_a_gateway_that_was_not_reached_fails_the_payment_safely(shop: Shop) -> None:
    shop.gateway.script.append(DOWN)

    failed = (await shop.authorize()).value

    assert (failed.status, failed.operation and failed.operation.status) == ("failed", "failed")


async def test_the_same_key_charges_once_and_gets_the_same_answer(shop: Shop) -> None:
    first = await shop.authorize(key="k")
    again = await shop.authorize(key="k")

    assert (first.replayed, again.replayed) == (False, True)
    assert again.value == first.value
    assert len(shop.gateway.commands(Authorize)) == 1


async def test_many_requests_with_one_key_at_once_charge_once(shop: Shop) -> None:
    async def ask() -> str:
        try:
            return (await shop.authorize(key="k")).value.id
        except once.KeyInUseError:
            return "in use"

    answers = await asyncio.gather(*(ask() for _ in range(8)))

    assert len(set(answers) - {"in use"}) == 1
    assert len(shop.gateway.commands(Authorize)) == 1


async def test_another_request_under_the_key_is_refused(shop: Shop) -> None:
    await shop.authorize(1000, key="k")

    with pytest.raises(once.KeyReusedError):
        await shop.authorize(1001, key="k")


async def test_refuses_what_cannot_be_meant_naming_the_field(shop: Shop) -> None:
    dollars = await shop.bank.account(currency="USD")
    suspended = await shop.bank.account()
    await accounts.suspend_account(shop.bank.db, shop.bank.actor, suspended.id)
    base = payments.NewPayment(payment_method_id=shop.card.id, account_id=shop.account.id, amount=5, currency="KZT")
    cases: list[tuple[payments.NewPayment, type[ShanraqError], str]] = [
        (changed(base, amount=0), InvalidAmountError, "amount"),
        (changed(base, payment_method_id=unknown_id("pm")), payments.PaymentMethodNotFoundError, "payment_method_id"),
        (changed(base, account_id=unknown_id("acc")), accounts.AccountNotFoundError, "account_id"),
        (changed(base, account_id=dollars.id), CurrencyMismatchError, "account_id"),
        (changed(base, account_id=suspended.id), accounts.AccountNotActiveError, "account_id"),
    ]

    for number, (new, error, field) in enumerate(cases):
        with pytest.raises(error) as refused:
            await payments.authorize(shop.acquiring, shop.bank.actor, f"case-{number}", new)
        assert refused.value.field == field
    assert shop.gateway.seen == []


async def test_a_lost_answer_leaves_the_payment_open_and_recovery_finds_the_approval(shop: Shop) -> None:
    shop.gateway.script.append(LOST_AFTER)
    lost = (await shop.authorize(key="k")).value
    meanwhile = await shop.authorize(key="k")
    recovered = await shop.recover()

    found = await shop.find(lost.id)
    final = await shop.authorize(key="k")
    assert (lost.status, lost.operation and lost.operation.status) == ("authorizing", "unknown")
    assert (meanwhile.value.id, meanwhile.replayed, meanwhile.value.status) == (lost.id, True, "authorizing")
    assert recovered == 1
    assert (found.status, final.value.status, final.replayed) == ("authorized", "authorized", True)
    assert len(shop.gateway.commands(Authorize)) == 1
    assert await shop.bank.verified()


async def test_one_that_is_slow_to_be_found_keeps_no_other_from_being_recovered(shop: Shop) -> None:
    shop.gateway.script.extend([LOST_AFTER, LOST_AFTER])
    first, second = (await shop.authorize(key="k1")).value, (await shop.authorize(key="k2")).value
    asked: list[str] = []
    together: list[str] = []
    both = asyncio.Event()
    inquire = shop.gateway.inquire

    async def slowly(lost: Lost) -> Finding:
        asked.append(lost.operation_id)
        if len(asked) == 2:
            both.set()
        await asyncio.wait_for(both.wait(), 5)
        together.append(lost.operation_id)
        if lost.operation_id == asked[0]:
            raise RuntimeError("a mistake in the adapter")
        return await inquire(lost)

    shop.gateway.inquire = slowly  # type: ignore[method-assign]
    recovered = await shop.recover()

    statuses = sorted([(await shop.find(first.id)).status, (await shop.find(second.id)).status])
    assert recovered == len(together) == 2
    assert statuses == ["authorized", "authorizing"]


async def test_an_authorisation_that_never_arrived_is_failed_only_after_it_was_taken_back(shop: Shop) -> None:
    shop.gateway.script.append(LOST_BEFORE)
    lost = (await shop.authorize()).value
    early = await shop.recover(5)
    still = await shop.find(lost.id)
    await shop.recover(30)

    after = await shop.find(lost.id)
    assert early == 1
    assert still.status == "authorizing"
    assert after.status == "failed"
    assert len(shop.gateway.undone) == 1
    assert await shop.balance() == (0, 0, 0)


@pytest.mark.parametrize("told", [LOST_BEFORE, LOST_AFTER])
async def test_what_is_being_taken_back_is_not_found_again(shop: Shop, told: str) -> None:
    shop.gateway.script.append(LOST_BEFORE)
    lost = (await shop.authorize()).value
    assert lost.operation is not None
    shop.gateway.undo_script.append(Unknown("no answer to the undo"))
    await shop.recover(60)
    if told == LOST_AFTER:
        # It had arrived; the undo worked, and the gateway's index still shows the approval.
        shop.gateway.done[lost.operation.id] = ("gw-1", Money.of(1000, "KZT"))
    actor = SYSTEM.acting_for("prt_1", Environment.SANDBOX, shop.bank.actor.book)
    late = Approved("gw-1", Money.of(1000, "KZT"))
    meanwhile = await settle_outcome(shop.bank.db, actor, lost.operation.id, late)
    await shop.recover(600)

    after = await shop.find(lost.id)
    assert meanwhile.status == "authorizing"
    assert (after.status, after.amount_authorized) == ("failed", 0)
    assert shop.gateway.undone == [lost.operation.id] * 2
    assert await shop.balance() == (0, 0, 0)
    assert await shop.bank.verified()


async def test_nothing_is_decided_while_the_gateway_cannot_be_asked(shop: Shop) -> None:
    shop.gateway.script.append(LOST_AFTER)
    lost = (await shop.authorize()).value
    shop.gateway.reachable = False
    for _ in range(5):
        await shop.recover(600)
    unknown = await shop.find(lost.id)
    age = await payments.oldest_unknown_seconds(shop.bank.db)
    shop.gateway.reachable = True
    await shop.recover(600)

    assert unknown.status == "authorizing"
    assert age > 900
    assert (await shop.find(lost.id)).status == "authorized"


async def test_a_crash_before_the_answer_is_written_is_recovered(shop: Shop) -> None:
    class Crash(BaseException):
        """The process dies."""

    def crash(command: Command) -> Outcome:
        shop.gateway.done[command.operation_id] = ("gw-1", command.amount)
        raise Crash

    shop.gateway.script.append(crash)
    with pytest.raises(Crash):
        await shop.authorize(key="k")
    with pytest.raises(once.KeyInUseError):
        await shop.authorize(key="k")
    too_early = await shop.recover(10)
    await shop.recover(30)

    again = await shop.authorize(key="k")
    assert too_early == 0
    assert (again.value.status, again.replayed) == ("authorized", True)
    assert len(shop.gateway.commands(Authorize)) == 1


async def test_two_recoveries_at_once_settle_once(shop: Shop) -> None:
    shop.gateway.script.append(LOST_AFTER)
    lost = (await shop.authorize()).value
    shop.later(60)

    taken = await asyncio.gather(*(payments.recover(shop.acquiring) for _ in range(4)))

    assert sum(taken) == 1
    assert (await shop.find(lost.id)).status == "authorized"
    assert (await shop.bank.events()).count("payment.authorized") == 1


async def test_an_answer_that_comes_after_recovery_gave_up_is_reversed(shop: Shop) -> None:
    shop.gateway.script.append(LOST_BEFORE)
    lost = (await shop.authorize()).value
    await shop.recover(60)
    assert lost.operation is not None
    actor = SYSTEM.acting_for("prt_1", Environment.SANDBOX, shop.bank.actor.book)
    late = await settle_outcome(shop.bank.db, actor, lost.operation.id, Approved("gw-late", Money.of(1000, "KZT")))
    await shop.recover(60)

    (reversal,) = shop.gateway.commands(Reverse)
    assert late.status == "failed"
    assert isinstance(reversal, Reverse)
    assert reversal.authorization_id == "gw-late"
    assert await shop.balance() == (0, 0, 0)


async def test_a_partial_approval_holds_what_was_approved(shop: Shop) -> None:
    shop.gateway.script.append(Approved("gw-1", Money.of(600, "KZT")))

    partial = (await shop.authorize(1000)).value

    assert (partial.status, partial.amount, partial.amount_authorized) == ("authorized", 1000, 600)
    assert await shop.balance() == (0, 0, 600)
    captured = (await payments.capture(shop.acquiring, shop.bank.actor, "c", partial.id)).value
    assert (captured.amount_captured, await shop.balance()) == (600, (600, 0, 0))
    assert await shop.bank.verified()


async def test_voiding_a_sale_that_was_approved_in_part_takes_back_what_it_took(shop: Shop) -> None:
    shop.gateway.script.append(Approved("gw-1", Money.of(600, "KZT")))
    sale = (await shop.authorize(1000, capture=True)).value
    assert await shop.balance() == (600, 0, 0)

    voided = await shop.void(sale.id)

    assert (voided.status, await shop.balance()) == ("voided", (0, 0, 0))
    assert voided.operation is not None
    assert voided.operation.amount == 600
    assert await shop.bank.verified()


async def test_captures_in_parts_until_the_final_one(shop: Shop) -> None:
    payment = await shop.authorized(1000)
    one = (await payments.capture(shop.acquiring, shop.bank.actor, "c1", payment.id, 300, final=False)).value
    after_one = await shop.balance()
    two = (await payments.capture(shop.acquiring, shop.bank.actor, "c2", payment.id, 200, final=False)).value
    three = (await payments.capture(shop.acquiring, shop.bank.actor, "c3", payment.id, 100)).value

    with pytest.raises(IllegalMoveError):
        await payments.capture(shop.acquiring, shop.bank.actor, "c4", payment.id, 1)

    assert after_one == (300, 0, 700)
    assert [one.status, two.status, three.status] == ["partially_captured", "partially_captured", "captured"]
    assert three.amount_captured == 600
    assert await shop.balance() == (600, 0, 0)
    assert await shop.bank.verified()


async def test_cannot_capture_more_than_is_left(shop: Shop) -> None:
    payment = await shop.authorized(1000)

    with pytest.raises(payments.AmountNotCapturableError):
        await payments.capture(shop.acquiring, shop.bank.actor, "c", payment.id, 1001)

    assert shop.gateway.commands(Capture) == []


async def test_ten_captures_at_once_take_no_more_than_was_authorised(shop: Shop) -> None:
    payment = await shop.authorized(1000)

    async def take(number: int) -> str:
        try:
            done = await payments.capture(shop.acquiring, shop.bank.actor, f"c{number}", payment.id, 300, final=False)
        except ShanraqError as error:
            return error.code
        return done.value.operation.status if done.value.operation else ""

    first = await asyncio.gather(*(take(n) for n in range(10)))
    for number in range(10, 16):
        await take(number)

    after = await shop.find(payment.id)
    assert "succeeded" in first
    assert after.amount_captured == 900
    assert await shop.balance() == (900, 0, 100)
    assert await shop.bank.verified()


async def test_a_refused_capture_leaves_the_payment_as_it_was(shop: Shop) -> None:
    payment = await shop.authorized()
    shop.gateway.script.append(DOWN)

    refused = (await payments.capture(shop.acquiring, shop.bank.actor, "c", payment.id)).value

    assert refused.status == "authorized"
    assert refused.operation is not None
    assert (refused.operation.kind, refused.operation.status) == ("capture", "failed")
    assert await shop.balance() == (0, 0, 1000)


@pytest.mark.parametrize(
    ("told", "status", "balance"), [(LOST_AFTER, "captured", 1000), (LOST_BEFORE, "authorized", 0)]
)
async def test_a_lost_capture_is_found_or_undone(shop: Shop, told: str, status: str, balance: int) -> None:
    payment = await shop.authorized()
    shop.gateway.script.append(told)
    lost = (await payments.capture(shop.acquiring, shop.bank.actor, "c", payment.id)).value
    with pytest.raises(payments.PaymentBusyError):
        await shop.void(payment.id)
    await shop.recover()

    after = await shop.find(payment.id)
    assert lost.status == "authorized"
    assert after.status == status
    assert (await shop.balance())[0] == balance
    assert await shop.bank.verified()


async def test_refunds_in_parts_until_all_is_back(shop: Shop) -> None:
    payment = await shop.captured()
    part = await shop.refund(payment.id, 300, "r1")
    rest = await shop.refund(payment.id, None, "r2")

    with pytest.raises(IllegalMoveError):
        await shop.refund(payment.id, 1, "r3")

    assert (part.status, part.amount_refunded) == ("partially_refunded", 300)
    assert (rest.status, rest.amount_refunded) == ("refunded", 1000)
    assert await shop.balance() == (0, 0, 0)
    assert (await shop.bank.events())[-2:] == ["refund.completed", "payment.refunded"]
    assert await shop.bank.verified()


async def test_cannot_refund_more_than_was_captured(shop: Shop) -> None:
    payment = await shop.captured()

    with pytest.raises(payments.AmountNotRefundableError):
        await shop.refund(payment.id, 1001)


async def test_a_refund_comes_from_one_capture(shop: Shop) -> None:
    payment = await shop.authorized()
    for number in (1, 2):
        await payments.capture(shop.acquiring, shop.bank.actor, f"c{number}", payment.id, 500, final=number == 2)

    with pytest.raises(payments.RefundSpansCapturesError):
        await shop.refund(payment.id, 600)
    done = [await shop.refund(payment.id, 500, f"r{number}") for number in (1, 2)]

    assert done[1].status == "refunded"


async def test_a_refund_that_the_account_cannot_pay_is_never_sent(shop: Shop) -> None:
    payment = await shop.captured()
    await shop.bank.move(shop.account.id, (await shop.bank.account()).id, 900)

    failed = await shop.refund(payment.id, 500)

    assert failed.operation is not None
    assert (failed.operation.status, failed.operation.failure and failed.operation.failure.code) == (
        "failed", "insufficient_funds",
    )  # fmt: skip
    assert failed.amount_refunded == 0
    assert len(shop.gateway.seen) == 2
    assert (await shop.bank.events())[-1] == "refund.failed"


async def test_a_declined_refund_frees_the_money_again(shop: Shop) -> None:
    payment = await shop.captured()
    shop.gateway.script.append(INSUFFICIENT)

    refused = await shop.refund(payment.id, 500)

    assert (refused.status, refused.amount_refunded) == ("captured", 0)
    assert await shop.balance() == (1000, 0, 0)


async def test_a_lost_refund_keeps_its_money_held_until_it_is_known(shop: Shop) -> None:
    payment = await shop.captured()
    shop.gateway.script.append(LOST_AFTER)
    await shop.refund(payment.id, 500)
    held = await shop.balance()
    await shop.recover()

    assert held == (1000, 500, 0)
    assert (await shop.find(payment.id)).status == "partially_refunded"
    assert await shop.balance() == (500, 0, 0)


async def test_voiding_an_authorisation_releases_it(shop: Shop) -> None:
    payment = await shop.authorized()

    voided = await shop.void(payment.id)

    assert voided.status == "voided"
    assert len(shop.gateway.commands(Reverse)) == 1
    assert await shop.balance() == (0, 0, 0)
    with pytest.raises(IllegalMoveError):
        await payments.capture(shop.acquiring, shop.bank.actor, "c", payment.id)


async def test_voiding_a_capture_gives_the_money_back_and_reverses_the_authorisation(shop: Shop) -> None:
    payment = await shop.captured()
    voided = await shop.void(payment.id)
    await shop.recover(1)

    assert voided.status == "voided"
    assert [type(command) for command in shop.gateway.seen[-2:]] == [Void, Reverse]
    assert await shop.balance() == (0, 0, 0)
    assert await shop.bank.verified()


@pytest.mark.parametrize(("final", "released"), [(True, 1000), (False, 400)])
async def test_voiding_a_part_that_was_captured_releases_all_that_is_still_authorised(
    shop: Shop, final: bool, released: int
) -> None:
    payment = await shop.authorized(1000)
    await payments.capture(shop.acquiring, shop.bank.actor, "c", payment.id, 400, final=final)
    if not final:
        await shop.void(payment.id, "rest")
    voided = await shop.void(payment.id, "capture")
    await shop.recover(1)

    assert voided.status == "voided"
    reversal = shop.gateway.commands(Reverse)[-1]
    assert reversal.amount == Money.of(released, "KZT")
    assert await shop.balance() == (0, 0, 0)


async def test_voiding_what_is_left_after_a_partial_capture_completes_the_payment(shop: Shop) -> None:
    payment = await shop.authorized()
    await payments.capture(shop.acquiring, shop.bank.actor, "c", payment.id, 400, final=False)

    completed = await shop.void(payment.id)

    assert (completed.status, completed.amount_captured) == ("captured", 400)
    assert await shop.balance() == (400, 0, 0)


async def test_a_partly_refunded_payment_cannot_be_voided(shop: Shop) -> None:
    payment = await shop.captured()
    await shop.refund(payment.id, 1)

    with pytest.raises(payments.VoidRefusedError):
        await shop.void(payment.id)


async def test_a_capture_in_parts_cannot_be_voided(shop: Shop) -> None:
    payment = await shop.authorized()
    for number in (1, 2):
        await payments.capture(shop.acquiring, shop.bank.actor, f"c{number}", payment.id, 500, final=number == 2)

    with pytest.raises(payments.VoidRefusedError):
        await shop.void(payment.id)


async def test_a_lost_reversal_is_sent_again(shop: Shop) -> None:
    payment = await shop.authorized()
    shop.gateway.script.append(LOST_BEFORE)
    await shop.void(payment.id)
    await shop.recover()

    assert (await shop.find(payment.id)).status == "voided"
    assert len(shop.gateway.commands(Reverse)) == 2


async def test_a_risk_decline_after_approval_releases_the_issuers_hold(shop: Shop) -> None:
    reason = Reason("risk_rejected", DeclineClass.FRAUD, Advice.DO_NOT_RETRY, "AUTHORIZED_RISK_DECLINED", release=True)
    shop.gateway.script.append(Declined(reason, gateway_id="gw-risk"))
    declined = (await shop.authorize()).value
    await shop.recover(1)

    (reversal,) = shop.gateway.commands(Reverse)
    assert declined.status == "failed"
    assert isinstance(reversal, Reverse)
    assert reversal.authorization_id == "gw-risk"


async def test_a_payment_in_review_waits_and_can_be_voided(shop: Shop) -> None:
    reason = Reason("review_required", DeclineClass.FRAUD, Advice.WAIT_FOR_REVIEW)
    shop.gateway.script.append(InReview("gw-1", Money.of(1000, "KZT"), reason))
    review = (await shop.authorize()).value
    with pytest.raises(IllegalMoveError):
        await payments.capture(shop.acquiring, shop.bank.actor, "c", review.id)
    voided = await shop.void(review.id)

    assert (review.status, voided.status) == ("review", "voided")
    assert await shop.balance() == (0, 0, 0)


async def test_an_adapter_that_breaks_has_told_nothing(shop: Shop) -> None:
    def broken(command: Command) -> Outcome:
        raise ZeroDivisionError

    shop.gateway.script.append(broken)

    assert (await shop.authorize()).value.status == "authorizing"


async def test_the_security_code_reaches_the_gateway_and_nothing_else(shop: Shop) -> None:
    await shop.authorize(code=SecurityCode("987"))

    (command,) = shop.gateway.commands(Authorize)
    assert isinstance(command, Authorize)
    assert command.card.security_code == SecurityCode("987")
    assert command.card.pan.reveal() == "4111111111111111"
    async with shop.bank.db.begin(SYSTEM) as tx:
        for table in ("payment", "payment_operation", "payment_method", "idempotency", "event_outbox", "audit_entry"):
            for row in await tx.rows(f"SELECT t::text AS text FROM {table} t"):
                assert "4111111111111111" not in row["text"]
                assert b"4111111111111111".hex() not in row["text"]


async def test_the_same_card_again_is_another_token_with_the_same_fingerprint(shop: Shop) -> None:
    again = await payments.tokenize(
        shop.bank.db, shop.acquiring.keyring, shop.bank.actor, Pan("4111111111111111"),
        payments.NewCard(expiry_month=1, expiry_year=2032), "key",
    )  # fmt: skip
    replay = await payments.tokenize(
        shop.bank.db, shop.acquiring.keyring, shop.bank.actor, Pan("4111111111111111"),
        payments.NewCard(expiry_month=1, expiry_year=2032), "key",
    )  # fmt: skip
    other = await payments.tokenize(
        shop.bank.db, shop.acquiring.keyring, partner(2), Pan("4111111111111111"),
        payments.NewCard(expiry_month=1, expiry_year=2032),
    )  # fmt: skip

    assert again.value.id != shop.card.id
    assert (replay.value, replay.replayed) == (again.value, True)
    assert again.value.fingerprint == shop.card.fingerprint != other.value.fingerprint
    assert (again.value.brand, again.value.masked) == ("visa", "411111xxxxxx1111")


@pytest.mark.parametrize(
    ("month", "year", "error"),
    [
        (13, 2031, payments.InvalidExpiryError),
        (0, 2031, payments.InvalidExpiryError),
        (1, 31, payments.InvalidExpiryError),
        (1, 2020, payments.CardExpiredError),
    ],
)
async def test_refuses_a_card_that_cannot_pay(shop: Shop, month: int, year: int, error: type[ShanraqError]) -> None:
    with pytest.raises(error):
        await payments.tokenize(
            shop.bank.db, shop.acquiring.keyring, shop.bank.actor, Pan("4111111111111111"),
            payments.NewCard(expiry_month=month, expiry_year=year),
        )  # fmt: skip


async def test_a_deleted_card_is_destroyed_and_cannot_pay(shop: Shop) -> None:
    deleted = await payments.delete_payment_method(shop.bank.db, shop.bank.actor, shop.card.id)

    with pytest.raises(payments.PaymentMethodNotFoundError):
        await shop.authorize()

    async with shop.bank.db.begin(SYSTEM) as tx:
        assert await tx.value("SELECT pan_sealed FROM payment_method WHERE id = $1", shop.card.id) is None
    assert (deleted.status, deleted.masked) == ("deleted", "411111xxxxxx1111")


async def test_rotating_the_master_key_reseals_cards_while_they_pay(shop: Shop) -> None:
    old = {new_key_id(): b"o" * 32}
    both = {new_key_id(): b"n" * 32, **old}
    card = await payments.tokenize(
        shop.bank.db, Keyring(old), shop.bank.actor, Pan("5555555555554444"),
        payments.NewCard(expiry_month=1, expiry_year=2032),
    )  # fmt: skip
    async with shop.bank.db.begin(SYSTEM) as tx:
        await tx.execute("UPDATE payment_method SET status = 'deleted', pan_sealed = NULL WHERE id = $1", shop.card.id)

    sealed, *_ = payments.SEALED
    changed = await reseal(shop.bank.db, Keyring(both), SYSTEM, sealed, batch=1)
    newest_only = replace(shop.acquiring, keyring=Keyring({k: v for k, v in both.items() if k not in old}))
    new = payments.NewPayment(payment_method_id=card.value.id, account_id=shop.account.id, amount=5, currency="KZT")
    paid = await payments.authorize(newest_only, shop.bank.actor, "k", new)

    assert changed == 1
    assert paid.value.status == "authorized"


async def test_others_see_nothing_and_everything_needs_its_scope(shop: Shop) -> None:
    payment = await shop.authorized()
    nobody = replace(shop.bank.actor, scopes=frozenset())

    for stranger in (partner(2), partner(1, Environment.LIVE)):
        with pytest.raises(payments.PaymentNotFoundError):
            await payments.find_payment(shop.bank.db, stranger, payment.id)
        with pytest.raises(payments.PaymentNotFoundError):
            await payments.capture(shop.acquiring, stranger, "k", payment.id)
        with pytest.raises(payments.PaymentMethodNotFoundError):
            await payments.find_payment_method(shop.bank.db, stranger, shop.card.id)
    for call in (
        payments.find_payment(shop.bank.db, nobody, payment.id),
        payments.list_payments(shop.bank.db, nobody, PageRequest()),
        payments.capture(shop.acquiring, nobody, "k", payment.id),
        payments.refund(shop.acquiring, nobody, "k", payment.id),
        payments.void(shop.acquiring, nobody, "k", payment.id),
        payments.find_payment_method(shop.bank.db, nobody, shop.card.id),
    ):
        with pytest.raises(MissingScopeError):
            await call


async def test_lists_show_the_latest_operation(shop: Shop) -> None:
    captured = await shop.captured()

    page = await payments.list_payments(shop.bank.db, shop.bank.actor, PageRequest(), account_id=shop.account.id)
    steps = await payments.list_operations(shop.bank.db, shop.bank.actor, captured.id)
    moved = await transactions.list_transactions(
        shop.bank.db, shop.bank.actor, PageRequest(), source=f"payment/{captured.id}"
    )

    assert [one.operation and one.operation.kind for one in page.items] == ["capture"]
    assert [step.kind for step in steps] == ["authorize", "capture"]
    assert [one.status for one in moved.items] == ["executed"]


async def test_no_adapter_in_this_environment_is_said_plainly(shop: Shop) -> None:
    live = partner(1, Environment.LIVE)
    new = payments.NewPayment(payment_method_id=shop.card.id, account_id=shop.account.id, amount=5, currency="KZT")

    with pytest.raises(payments.NoAdapterError):
        await payments.authorize(shop.acquiring, live, "k", new)
