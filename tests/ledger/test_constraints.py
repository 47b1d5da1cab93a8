"""What the database itself refuses, whatever the program does."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from shanraq.core.db import Database
from shanraq.ledger import Transfer, TransferFlags, TransferStatus
from tests.ledger.conftest import SETTLEMENT, SHOP, WALLET, Book, transfer

COPY = """
    INSERT INTO ledger_transfer
    SELECT book, '00000000-0000-0000-0000-0000000000ff', debit_account_id, credit_account_id, amount, pending_id,
           user_data_128, user_data_64, user_data_32, timeout_seconds, ledger, code, flags, "timestamp",
           debit_seq + $1, debit_debits_pending, debit_debits_posted, debit_credits_pending, debit_credits_posted,
           debit_closed, credit_seq + $2, credit_debits_pending, credit_debits_posted, credit_credits_pending,
           credit_credits_posted, credit_closed
      FROM ledger_transfer
     WHERE flags = $3
"""


@pytest.fixture
async def owner(owner_dsn: str) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(owner_dsn)
    yield connection
    await connection.close()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE ledger_transfer SET amount = 1",
        "DELETE FROM ledger_transfer",
        "TRUNCATE ledger_transfer",
        "DELETE FROM ledger_failed",
        "UPDATE ledger_reversal SET reversal_id = transfer_id",
        "DELETE FROM ledger_account",
        "UPDATE ledger_account SET ledger = 2",
        "UPDATE ledger_account SET id = id",
        "TRUNCATE ledger_account",
    ],
)
async def test_the_application_may_not(statement: str, book: Book, database: Database) -> None:
    await book.move(SETTLEMENT, WALLET, 100)

    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with database.begin(book.actor) as tx:
            await tx.execute(statement)


@pytest.mark.parametrize(
    "statement",
    ["UPDATE ledger_transfer SET amount = 1", "DELETE FROM ledger_transfer", "TRUNCATE ledger_transfer"],
)
async def test_even_the_owner_may_not_change_a_transfer(statement: str, book: Book, owner: Any) -> None:
    await book.move(SETTLEMENT, WALLET, 100)

    with pytest.raises(asyncpg.RestrictViolationError, match="append-only"):
        await owner.execute(statement)


async def test_the_application_may_not_write_into_another_book(book: Book, database: Database) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
        async with database.begin(book.actor) as tx:
            await tx.execute("INSERT INTO ledger_failed VALUES (8, '00000000-0000-0000-0000-000000000001', 1)")


async def test_a_hold_cannot_be_resolved_twice(book: Book, owner: Any) -> None:
    hold, posting = TransferFlags.PENDING.value, TransferFlags.POST_PENDING_TRANSFER.value
    await book.post(transfer(1, SETTLEMENT, SHOP, 5, hold), Transfer(2, amount=5, pending_id=1, flags=posting))

    with pytest.raises(asyncpg.UniqueViolationError, match="ledger_transfer_resolution"):
        await owner.execute(COPY, 10, 10, posting)


async def test_a_sequence_number_cannot_be_written_twice(book: Book, owner: Any) -> None:
    await book.move(SETTLEMENT, SHOP, 5)

    with pytest.raises(asyncpg.UniqueViolationError, match="ledger_transfer_debit"):
        await owner.execute(COPY, 0, 1, 0)
    with pytest.raises(asyncpg.UniqueViolationError, match="ledger_transfer_credit"):
        await owner.execute(COPY, 1, 0, 0)


@pytest.mark.parametrize(
    ("change", "constraint"),
    [
        ("debits_posted = -1", "ledger_account_debits_posted_check"),
        ("credits_pending = -1", "ledger_account_credits_pending_check"),
        ("debits_pending = 101", "debits_must_not_exceed_credits"),
        ("debits_posted = 101", "debits_must_not_exceed_credits"),
        ("credits_posted = 99, debits_posted = 100", "debits_must_not_exceed_credits"),
    ],
)
async def test_a_balance_cannot_break_its_limit(change: str, constraint: str, book: Book, owner: Any) -> None:
    await book.move(SETTLEMENT, WALLET, 100)

    with pytest.raises(asyncpg.CheckViolationError, match=constraint):
        await owner.execute(f"UPDATE ledger_account SET {change} WHERE id = '00000000-0000-0000-0000-000000000002'")


async def test_balances_are_updated_in_place(book: Book, owner: Any) -> None:
    for _ in range(20):
        await book.move(SETTLEMENT, WALLET, 1)

    await owner.execute("SELECT pg_stat_force_next_flush()")
    row = await owner.fetchrow(
        "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'ledger_account'"
    )
    assert row["n_tup_hot_upd"] == row["n_tup_upd"]


async def test_overflow_is_an_answer_before_it_is_an_error_of_the_database(book: Book) -> None:
    largest = 2**63 - 1

    statuses = await book.post(
        transfer(1, SETTLEMENT, SHOP, largest),
        transfer(2, SETTLEMENT, SHOP, 1),
        transfer(3, SETTLEMENT, SHOP, 1, TransferFlags.PENDING.value),
        transfer(4, SHOP, SETTLEMENT, largest + 1),
    )

    assert statuses == [
        TransferStatus.CREATED,
        TransferStatus.OVERFLOWS_DEBITS_POSTED,
        TransferStatus.OVERFLOWS_DEBITS_POSTED,
        TransferStatus.OVERFLOWS_DEBITS_POSTED,
    ]
