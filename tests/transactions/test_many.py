from __future__ import annotations

import pytest

from shanraq import transactions
from shanraq.core.db import Database, Tx
from shanraq.core.money import Money
from shanraq.transactions.errors import MovedMeanwhileError
from tests.money_world import Bank, new_number


@pytest.fixture
def bank(database: Database) -> Bank:
    return Bank(database)


async def held(bank: Bank, tx: Tx, debit: str, credit: str, *amounts: int) -> list[transactions.Stored]:
    opened = await transactions.open_movements(
        tx,
        [
            transactions.Movement(
                kind=transactions.TransactionKind.CREDIT_TRANSFER,
                debit_account=debit,
                credit_account=credit,
                amount=Money.of(amount, "KZT"),
                transfer_id=new_number(),
                hold=True,
            )
            for amount in amounts
        ],
    )
    return await transactions.confirm_all(tx, opened)


async def test_many_are_held_executed_and_released_at_once(bank: Bank) -> None:
    payer, payee = await bank.account(100), await bank.account()
    async with bank.db.begin(bank.actor) as tx:
        stored = await held(bank, tx, payer.id, payee.id, 10, 20, 30)
        assert {one.transaction.status for one in stored} == {"authorized"}
    assert await bank.balance(payer.id) == (100, 60, 0)

    async with bank.db.begin(bank.actor) as tx:
        found = await transactions.lock_transactions(tx, [one.transaction.id for one in stored])
        first, second, third = (found[one.transaction.id] for one in stored)
        executed = await transactions.execute_all(tx, [first, second])
        released = await transactions.release_all(tx, [(third, "rejected_ac04")])

    assert [one.transaction.status for one in executed] == ["executed", "executed"]
    assert [(one.transaction.status, one.transaction.failure) for one in released] == [("rolled_back", "rejected_ac04")]
    assert await bank.balance(payer.id) == (70, 0, 0)
    assert await bank.balance(payee.id) == (30, 0, 0)
    assert (await bank.events())[-3:] == ["transaction.executed", "transaction.executed", "transaction.rolled_back"]
    assert await bank.verified()


async def test_nothing_at_once_is_nothing(bank: Bank) -> None:
    async with bank.db.begin(bank.actor) as tx:
        assert await transactions.confirm_all(tx, []) == []
        assert await transactions.execute_all(tx, []) == []
        assert await transactions.release_all(tx, []) == []


async def test_what_moved_meanwhile_stops_them_all(bank: Bank) -> None:
    payer, payee = await bank.account(100), await bank.account()
    async with bank.db.begin(bank.actor) as tx:
        stored = await held(bank, tx, payer.id, payee.id, 10, 20)
    async with bank.db.begin(bank.actor) as tx:
        await transactions.execute_all(tx, stored[:1])

    with pytest.raises(MovedMeanwhileError):
        async with bank.db.begin(bank.actor) as tx:
            await transactions.release_all(tx, [(stored[1], "x")])
            await transactions.execute_all(tx, stored[:1])

    assert await bank.balance(payer.id) == (90, 20, 0)
