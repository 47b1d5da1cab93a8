"""The verification finds a single changed number."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from shanraq import ledger
from shanraq.core.actor import SYSTEM
from shanraq.core.db import Database
from shanraq.ledger import Transfer, TransferFlags
from tests.ledger.conftest import LOAN, SETTLEMENT, SHOP, WALLET, Book, transfer

PENDING, POST, VOID = (
    TransferFlags.PENDING.value,
    TransferFlags.POST_PENDING_TRANSFER.value,
    TransferFlags.VOID_PENDING_TRANSFER.value,
)


@pytest.fixture
async def owner(owner_dsn: str) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(owner_dsn)
    await connection.execute("ALTER TABLE ledger_transfer DISABLE TRIGGER append_only")
    yield connection
    await connection.close()


@pytest.fixture
async def busy(book: Book, database: Database) -> Book:
    """A book with plain transfers (2), and holds that are posted in part (3, 4), voided (5, 6), expired (7), open (8)."""
    await book.post(
        transfer(1, SETTLEMENT, WALLET, 1000),
        transfer(2, WALLET, SHOP, 100),
        transfer(3, WALLET, SHOP, 50, PENDING),
        Transfer(4, amount=30, pending_id=3, flags=POST),
        transfer(5, WALLET, SHOP, 60, PENDING | TransferFlags.CLOSING_CREDIT.value),
        Transfer(6, pending_id=5, flags=VOID),
        transfer(7, WALLET, SHOP, 70, PENDING, timeout_seconds=1),
        transfer(8, WALLET, SHOP, 80, PENDING),
    )
    book.clock.move(2)
    async with database.begin(SYSTEM) as tx:
        assert len(await ledger.expire_holds(tx)) == 1
    assert await book.findings() == []
    return book


@pytest.mark.parametrize("number", range(1, 9))
async def test_a_changed_amount_is_found(number: int, busy: Book, owner: Any) -> None:
    changed = await owner.execute(
        "UPDATE ledger_transfer SET amount = amount + 1 WHERE id = lpad(to_hex($1::int), 32, '0')::uuid", number
    )

    assert changed == "UPDATE 1"
    assert await busy.findings()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE ledger_transfer SET debit_debits_posted = debit_debits_posted + 1 WHERE amount = 100",
        "UPDATE ledger_transfer SET credit_credits_pending = credit_credits_pending + 1 WHERE amount = 100",
        "UPDATE ledger_transfer SET credit_closed = false WHERE amount = 60 AND flags & 2 <> 0",
        "UPDATE ledger_transfer SET debit_seq = debit_seq + 100 WHERE amount = 80",
        'UPDATE ledger_transfer SET "timestamp" = 1 WHERE amount = 80',
        "UPDATE ledger_transfer SET amount = amount + 1 WHERE flags = 65536",
        "DELETE FROM ledger_transfer WHERE amount = 80",
        "UPDATE ledger_account SET credits_posted = credits_posted + 1 WHERE flags = 2",
        "UPDATE ledger_account SET debits_posted = debits_posted + 1 WHERE seq = 0",
        "UPDATE ledger_account SET flags = flags | 32 WHERE seq > 0",
        "UPDATE ledger_account SET seq = seq + 1 WHERE flags = 2",
        "DELETE FROM ledger_account WHERE flags = 2",
        "DELETE FROM ledger_account",
        "DELETE FROM ledger_hold",
        "INSERT INTO ledger_hold VALUES (7, '00000000-0000-0000-0000-000000000003', NULL)",
        "INSERT INTO ledger_hold VALUES (7, '00000000-0000-0000-0000-000000000002', NULL)",
    ],
)
async def test_any_other_change_is_found(statement: str, busy: Book, owner: Any) -> None:
    changed = await owner.execute(statement)

    assert not changed.endswith(" 0")
    assert await busy.findings()


async def test_one_changed_number_of_an_account_is_named(busy: Book, owner: Any) -> None:
    await owner.execute("UPDATE ledger_account SET debits_posted = debits_posted + 1 WHERE flags = 4")

    findings = await busy.findings()

    assert len(findings) == 2
    assert f"book 7, {LOAN:032x}: stands at (0, 1, 0, 0, False)" in findings[0]
    assert "the ledger has debits" in findings[1]


async def test_the_system_verifies_every_book_and_tells_its_progress(busy: Book, database: Database) -> None:
    seen: list[tuple[int, int]] = []

    async with database.begin(SYSTEM) as tx:
        findings = await ledger.verify(tx, lambda accounts, entries: seen.append((accounts, entries)))

    assert findings == []
    assert seen == [(4, 18)]
