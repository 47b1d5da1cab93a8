"""What an account held and moved over a period, and that a period that was ended is final."""

from __future__ import annotations

from datetime import timedelta

import pytest

from shanraq import ledger
from shanraq.core.db import Database
from tests.ledger.conftest import SETTLEMENT, SHOP, WALLET, Book, MovableClock, transfer

UNKNOWN = 999_999


async def test_turnover_counts_what_moved_and_not_what_is_held(book: Book, database: Database) -> None:
    await book.move(SETTLEMENT, WALLET, 100)
    await book.move(WALLET, SETTLEMENT, 30)
    async with database.begin(book.actor) as tx:
        await ledger.hold(tx, transfer(book.new_id(), WALLET, SHOP, 5))
    await book.move(WALLET, SETTLEMENT, 4)

    async with database.begin(book.actor) as tx:
        now = await ledger.standing(tx, WALLET)
        whole = await ledger.turnover(tx, WALLET, after_seq=0, up_to_seq=now.seq)
        middle = await ledger.turnover(tx, WALLET, after_seq=1, up_to_seq=3)

    assert (now.seq, now.balance.credit_balance, now.balance.credit_available) == (4, 66, 61)
    assert whole == ledger.Turnover(2, 34, 1, 100)
    assert middle == ledger.Turnover(1, 30, 0, 0)


async def test_what_comes_after_a_period_was_ended_is_dated_after_it(
    book: Book, database: Database, clock: MovableClock
) -> None:
    await book.move(SETTLEMENT, WALLET, 100)
    end = clock.now + timedelta(seconds=10)
    clock.move(10)
    async with database.begin(book.actor) as tx:
        await ledger.end_period(tx, WALLET, end)
    clock.move(-5)
    await book.move(SETTLEMENT, WALLET, 7)
    await book.move(SETTLEMENT, SHOP, 1)

    async with database.begin(book.actor) as tx:
        before = await ledger.standing(tx, WALLET, before=end)
        after = await ledger.statement(tx, WALLET, since=end)

    assert (before.seq, before.balance.credit_balance) == (1, 100)
    assert [entry.amount for entry in after] == [7]
    assert await book.findings() == []


async def test_only_accounts_that_exist_stand_and_end(book: Book, database: Database, clock: MovableClock) -> None:
    async with database.begin(book.actor) as tx:
        for before in (None, clock.now):
            with pytest.raises(ledger.AccountUnknownError):
                await ledger.standing(tx, UNKNOWN, before=before)
        with pytest.raises(ledger.AccountUnknownError):
            await ledger.end_period(tx, UNKNOWN, clock.now)


async def test_a_period_that_is_not_over_cannot_be_ended(book: Book, database: Database, clock: MovableClock) -> None:
    with pytest.raises(AssertionError, match="not over"):
        async with database.begin(book.actor) as tx:
            await ledger.end_period(tx, WALLET, clock.now + timedelta(microseconds=1))


async def test_accounts_that_have_grown_are_told(book: Book, database: Database) -> None:
    await book.move(SETTLEMENT, WALLET, 100)
    number = book.actor.book

    async with database.begin(book.actor) as tx:
        none = await ledger.grown(tx, [])
        grown = await ledger.grown(
            tx,
            [
                (number, WALLET, 1),
                (number, WALLET, 0),
                (number, SHOP, 0),
                (number, UNKNOWN, 0),
                (number + 1, WALLET, 0),
            ],
        )

    assert none == []
    assert grown == [False, True, False, False, False]
