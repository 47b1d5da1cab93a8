from __future__ import annotations

import asyncio
import random
from datetime import timedelta

import msgspec
import pytest

from shanraq import accounts, transactions
from shanraq.core import once
from shanraq.core.actor import SYSTEM, Environment
from shanraq.core.db import Database
from shanraq.core.errors import ShanraqError
from shanraq.core.ids import InvalidIdError
from shanraq.core.lifecycle import IllegalMoveError
from shanraq.core.money import CurrencyMismatchError, InvalidAmountError, UnknownCurrencyError
from shanraq.core.page import PageRequest
from tests.money_world import Bank, partner, unknown_id


@pytest.fixture
def bank(database: Database) -> Bank:
    return Bank(database)


def new(debit: str, credit: str, amount: int = 10, currency: str = "KZT") -> transactions.NewTransaction:
    return transactions.NewTransaction(debit_account=debit, credit_account=credit, amount=amount, currency=currency)


async def create(bank: Bank, wanted: transactions.NewTransaction, key: str = "k") -> transactions.Answer:
    request = once.Request.of(transactions.OPERATION, key, wanted)
    return await transactions.create_transaction(bank.db, bank.actor, request, wanted)


async def test_money_moves_at_once_and_is_told(bank: Bank) -> None:
    left, right = await bank.account(100), await bank.account()

    moved = await bank.move(left.id, right.id, 30)

    assert (moved.status, moved.failure) == ("executed", None)
    assert await bank.balance(left.id) == (70, 0, 0)
    assert await bank.balance(right.id) == (30, 0, 0)
    assert (await bank.events())[-2:] == ["transaction.created", "transaction.executed"]
    assert await bank.verified()


async def test_too_little_money_is_a_failed_transaction_and_moves_nothing(bank: Bank) -> None:
    left, right = await bank.account(100), await bank.account()

    failed = await create(bank, new(left.id, right.id, 101))
    again = await create(bank, new(left.id, right.id, 101))

    assert (failed.value.status, failed.value.failure) == ("failed", "insufficient_funds")
    assert (again.value, again.replayed) == (failed.value, True)
    assert await bank.balance(left.id) == (100, 0, 0)
    assert (await bank.events())[-1] == "transaction.failed"


@pytest.mark.parametrize("amount", [0, -1, 2**63])
async def test_refuses_an_amount_that_is_none(bank: Bank, amount: int) -> None:
    left, right = await bank.account(100), await bank.account()

    with pytest.raises(InvalidAmountError) as refused:
        await create(bank, new(left.id, right.id, amount))

    assert refused.value.field == "amount"


async def test_refuses_what_cannot_be_meant_naming_the_field(bank: Bank) -> None:
    left, right, dollars = await bank.account(100), await bank.account(), await bank.account(5, "USD")
    await accounts.suspend_account(bank.db, bank.actor, right.id)
    stranger = await Bank(bank.db, partner(2)).account(9)
    cases: list[tuple[transactions.NewTransaction, type[ShanraqError], str]] = [
        (new(left.id, left.id), transactions.SameAccountError, "credit_account"),
        (new(left.id, dollars.id), CurrencyMismatchError, "credit_account"),
        (new(left.id, dollars.id, currency="USD"), CurrencyMismatchError, "debit_account"),
        (new(left.id, right.id), accounts.AccountNotActiveError, "credit_account"),
        (new(left.id, unknown_id("acc")), accounts.AccountNotFoundError, "credit_account"),
        (new(stranger.id, left.id), accounts.AccountNotFoundError, "debit_account"),
        (new("nonsense", left.id), accounts.AccountNotFoundError, "debit_account"),
        (new(left.id, dollars.id, currency="XXX"), UnknownCurrencyError, "currency"),
    ]

    for number, (wanted, error, field) in enumerate(cases):
        with pytest.raises(error) as refused:
            await create(bank, wanted, f"case-{number}")
        assert refused.value.field == field
    assert await bank.balance(left.id) == (100, 0, 0)


async def test_one_key_moves_money_once_even_when_the_stored_answer_is_gone(bank: Bank) -> None:
    left, right = await bank.account(100), await bank.account()
    first = await create(bank, new(left.id, right.id))
    async with bank.db.begin(bank.actor) as tx:
        await once.forget(tx, tx.now + timedelta(days=1))

    again = await create(bank, new(left.id, right.id))

    assert again.value.id == first.value.id
    assert await bank.balance(left.id) == (90, 0, 0)


async def test_a_forgotten_key_of_a_hold_finds_its_transaction_whatever_became_of_it(bank: Bank) -> None:
    left, right = await bank.account(100), await bank.account()
    wanted = msgspec.structs.replace(new(left.id, right.id, 60), hold=True)
    held = await create(bank, wanted)
    await transactions.execute_transaction(
        bank.db, bank.actor, bank.request("transactions.execute"), held.value.id, None
    )
    async with bank.db.begin(bank.actor) as tx:
        await once.forget(tx, tx.now + timedelta(days=1))

    again = await create(bank, wanted)

    assert (again.value.id, again.value.status) == (held.value.id, "executed")
    assert await bank.balance(left.id) == (40, 0, 0)
    async with bank.db.begin(bank.actor) as tx:
        assert await tx.value("SELECT count(*) FROM transaction WHERE debit_account = $1", left.id) == 1


async def test_what_was_answered_is_answered_again_although_it_would_be_refused_today(bank: Bank) -> None:
    left, right = await bank.account(100), await bank.account()
    first = await create(bank, new(left.id, right.id), "k1")
    await accounts.suspend_account(bank.db, bank.actor, left.id)

    again = await create(bank, new(left.id, right.id), "k1")
    with pytest.raises(accounts.AccountNotActiveError):
        await create(bank, new(left.id, right.id), "k2")

    assert (again.value, again.replayed) == (first.value, True)
    assert await bank.balance(left.id) == (90, 0, 0)


async def test_a_used_key_is_the_first_thing_wrong_with_a_request_that_has_more(bank: Bank) -> None:
    left, right = await bank.account(100), await bank.account()
    await create(bank, new(left.id, right.id), "k1")

    with pytest.raises(once.KeyReusedError):
        await create(bank, new(left.id, right.id, 0), "k1")
    with pytest.raises(InvalidAmountError):
        await create(bank, new(left.id, right.id, 0), "k2")


async def test_another_body_under_the_same_key_is_refused(bank: Bank) -> None:
    left, right = await bank.account(100), await bank.account()
    await create(bank, new(left.id, right.id, 10))

    with pytest.raises(once.KeyReusedError):
        await create(bank, new(left.id, right.id, 11))

    assert await bank.balance(left.id) == (90, 0, 0)


async def test_a_batch_answers_each_request_as_if_it_were_alone(bank: Bank) -> None:
    left, right = await bank.account(100), await bank.account()
    wanted = [
        ("a", new(left.id, right.id, 60)),
        ("b", new(left.id, unknown_id("acc"))),
        ("c", new(left.id, right.id, 60)),
        ("a", new(left.id, right.id, 60)),
        ("a", new(left.id, right.id, 61)),
        ("d", new(left.id, right.id, 40)),
    ]
    asked = [
        transactions.Asked(once.Request.of(transactions.OPERATION, key, body), body, f"req-{n}")
        for n, (key, body) in enumerate(wanted)
    ]

    results = await transactions.create_transactions(bank.db, bank.actor, asked)

    shown = [
        type(one).__name__ if isinstance(one, ShanraqError) else (one.value.status.value, one.replayed)
        for one in results
    ]
    assert shown == [
        ("executed", False),
        "AccountNotFoundError",
        ("failed", False),
        ("executed", True),
        "KeyReusedError",
        ("executed", False),
    ]
    assert await bank.balance(left.id) == (0, 0, 0)
    assert await bank.balance(right.id) == (100, 0, 0)


async def test_batches_with_the_same_keys_at_once_move_money_once(bank: Bank) -> None:
    left, right = await bank.account(1000), await bank.account()

    async def batch() -> list[transactions.Answer | ShanraqError]:
        asked = [
            transactions.Asked(once.Request.of(transactions.OPERATION, f"k{n}", body), body, "r")
            for n in range(10)
            for body in [new(left.id, right.id, 10 + n)]
        ]
        random.shuffle(asked)
        return await transactions.create_transactions(bank.db, bank.actor, asked)

    results = await asyncio.gather(*(batch() for _ in range(4)))

    executed = [one for batch_ in results for one in batch_ if not isinstance(one, ShanraqError)]
    assert len(executed) == 40
    assert sum(not one.replayed for one in executed) == 10
    assert await bank.balance(right.id) == (sum(10 + n for n in range(10)), 0, 0)
    assert await bank.verified()


async def test_held_money_is_executed_in_part_and_the_rest_is_free(bank: Bank) -> None:
    left, right = await bank.account(100), await bank.account()
    held = await bank.move(left.id, right.id, 80, hold=True)
    assert held.status == "authorized"
    assert await bank.balance(left.id) == (100, 80, 0)

    done = await transactions.execute_transaction(
        bank.db, bank.actor, bank.request("transactions.execute"), held.id, 50
    )

    assert (done.value.status, done.value.amount) == ("executed", 50)
    assert await bank.balance(left.id) == (50, 0, 0)
    assert await bank.balance(right.id) == (50, 0, 0)


async def test_a_hold_is_resolved_once(bank: Bank) -> None:
    left, right = await bank.account(100), await bank.account()
    held = await bank.move(left.id, right.id, 80, hold=True)

    async def execute() -> str:
        try:
            await transactions.execute_transaction(bank.db, bank.actor, bank.request("transactions.execute"), held.id)
        except IllegalMoveError:
            return "refused"
        return "executed"

    async def release() -> str:
        try:
            await transactions.roll_back_transaction(
                bank.db, bank.actor, bank.request("transactions.roll_back"), held.id
            )
        except (IllegalMoveError, transactions.ReversalRefusedError):
            return "refused"
        return "rolled_back"

    results = await asyncio.gather(*(execute() for _ in range(4)), *(release() for _ in range(4)))
    left_now, right_now = await bank.balance(left.id), await bank.balance(right.id)

    assert results.count("executed") <= 1
    assert left_now[1:] == right_now[1:] == (0, 0)
    assert left_now[0] + right_now[0] == 100
    assert await bank.verified()


async def test_more_than_held_cannot_be_executed(bank: Bank) -> None:
    left, right = await bank.account(100), await bank.account()
    held = await bank.move(left.id, right.id, 80, hold=True)

    with pytest.raises(transactions.AmountAboveHoldError):
        await transactions.execute_transaction(bank.db, bank.actor, bank.request("transactions.execute"), held.id, 81)

    assert await bank.balance(left.id) == (100, 80, 0)


async def test_rolling_back_releases_a_hold_and_reverses_a_movement(bank: Bank) -> None:
    left, right = await bank.account(100), await bank.account()
    held = await bank.move(left.id, right.id, 80, hold=True)
    released = await transactions.roll_back_transaction(
        bank.db, bank.actor, bank.request("transactions.roll_back"), held.id
    )
    moved = await bank.move(left.id, right.id, 100)
    reversed_ = await transactions.roll_back_transaction(
        bank.db, bank.actor, bank.request("transactions.roll_back"), moved.id
    )

    with pytest.raises(IllegalMoveError):
        await transactions.roll_back_transaction(bank.db, bank.actor, bank.request("transactions.roll_back"), moved.id)

    assert released.value.status == reversed_.value.status == "rolled_back"
    assert await bank.balance(left.id) == (100, 0, 0)
    assert await bank.verified()


async def test_money_that_is_gone_cannot_be_taken_back(bank: Bank) -> None:
    left, right, third = await bank.account(100), await bank.account(), await bank.account()
    moved = await bank.move(left.id, right.id, 100)
    await bank.move(right.id, third.id, 1)

    with pytest.raises(transactions.ReversalRefusedError):
        await transactions.roll_back_transaction(bank.db, bank.actor, bank.request("transactions.roll_back"), moved.id)

    assert (await transactions.find_transaction(bank.db, bank.actor, moved.id)).status == "executed"


async def test_a_hold_runs_out_and_its_money_is_free(bank: Bank) -> None:
    left, right = await bank.account(100), await bank.account()
    held = await bank.move(left.id, right.id, 80, hold=True, hold_seconds=60)
    clock = bank.db.clock
    assert await transactions.expire_holds(bank.db) == 0

    bank.db.clock = lambda: clock() + timedelta(seconds=61)
    with pytest.raises((transactions.HoldExpiredError, IllegalMoveError)):
        await transactions.execute_transaction(bank.db, bank.actor, bank.request("transactions.execute"), held.id)
    expired = await transactions.expire_holds(bank.db)

    after = await transactions.find_transaction(bank.db, bank.actor, held.id)
    assert expired == 1
    assert (after.status, after.failure) == ("rolled_back", "hold_expired")
    assert await bank.balance(left.id) == (100, 0, 0)
    assert (await bank.events())[-1] == "transaction.rolled_back"
    assert await bank.verified()


@pytest.mark.parametrize("seconds", [0, -1, 90 * 86_400 + 1])
async def test_refuses_a_hold_of_no_or_endless_time(bank: Bank, seconds: int) -> None:
    left, right = await bank.account(100), await bank.account()

    with pytest.raises(ShanraqError) as refused:
        await bank.move(left.id, right.id, 1, hold=True, hold_seconds=seconds)

    assert refused.value.field == "hold_seconds"


async def test_others_see_nothing_and_lists_filter_by_account(bank: Bank) -> None:
    left, right, third = await bank.account(100), await bank.account(), await bank.account()
    one = await bank.move(left.id, right.id, 1)
    two = await bank.move(left.id, third.id, 2)

    page = await transactions.list_transactions(bank.db, bank.actor, PageRequest(), account_id=third.id)
    all_ = await transactions.list_transactions(bank.db, bank.actor, PageRequest(limit=2))

    assert [item.id for item in page.items] == [two.id]
    assert [item.id for item in all_.items] == [two.id, one.id]
    for stranger in (partner(2), partner(1, Environment.LIVE)):
        with pytest.raises(transactions.TransactionNotFoundError):
            await transactions.find_transaction(bank.db, stranger, one.id)
    with pytest.raises(InvalidIdError):
        await transactions.find_transaction(bank.db, bank.actor, "trx_")


async def test_every_step_is_audited_with_the_request_that_asked(bank: Bank) -> None:
    left, right = await bank.account(100), await bank.account()
    body = new(left.id, right.id)
    asked = [
        transactions.Asked(once.Request.of(transactions.OPERATION, f"k{n}", body), body, f"request-{n}") for n in (1, 2)
    ]
    await transactions.create_transactions(bank.db, bank.actor, asked)

    async with bank.db.begin(SYSTEM) as tx:
        rows = await tx.rows(
            "SELECT request_id, action FROM audit_entry WHERE request_id LIKE 'request-%' ORDER BY 1, 2"
        )

    assert [tuple(row) for row in rows] == [
        (f"request-{n}", f"transaction.{what}") for n in (1, 2) for what in ("created", "executed")
    ]


async def test_random_movements_keep_the_sum_and_break_no_limit(bank: Bank) -> None:
    seed = random.Random(11)
    opened = [await bank.account(1000) for _ in range(4)]
    open_holds: list[str] = []

    async def step(number: int) -> None:
        debit, credit = seed.sample(opened, 2)
        match seed.randrange(4):
            case 0 | 1:
                await bank.move(debit.id, credit.id, seed.randint(1, 700))
            case 2:
                held = await bank.move(debit.id, credit.id, seed.randint(1, 700), hold=True)
                if held.status == "authorized":
                    open_holds.append(held.id)
            case _ if open_holds:
                held_id = open_holds.pop(seed.randrange(len(open_holds)))
                verb = seed.choice((transactions.execute_transaction, transactions.roll_back_transaction))
                await verb(bank.db, bank.actor, bank.request(f"transactions.{number}"), held_id)

    for start in range(0, 60, 6):
        await asyncio.gather(*(step(number) for number in range(start, start + 6)))

    balances = [await bank.balance(account.id) for account in opened]
    assert sum(posted for posted, _, _ in balances) == 4000
    assert all(0 <= held <= posted for posted, held, _ in balances)
    assert await bank.verified()
