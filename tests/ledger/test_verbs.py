"""The verbs of the ledger on the rows."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from shanraq import ledger
from shanraq.core.actor import SYSTEM
from shanraq.core.db import ContendedError, Database
from shanraq.ledger import (
    AccountFlags,
    AccountStatus,
    EntryKind,
    Side,
    Transfer,
    TransferFlags,
    TransferStatus,
)
from tests.ledger.conftest import SETTLEMENT, SHOP, WALLET, Book, account, partner, transfer

PENDING = TransferFlags.PENDING.value
IMPORTED = TransferFlags.IMPORTED.value


async def test_a_hold_is_posted_in_part_and_the_rest_released(book: Book, database: Database) -> None:
    await book.move(SETTLEMENT, WALLET, 100)

    async with database.begin(book.actor) as tx:
        held = await ledger.hold(tx, transfer(1, WALLET, SHOP, 60))
        posted = await ledger.post_pending(tx, 1, 2, 40)

    assert (held.status, posted.status) == (TransferStatus.CREATED, TransferStatus.CREATED)
    assert await book.balance(WALLET) == (0, 40, 0, 100)
    assert await book.balance(SHOP) == (0, 0, 0, 40)


async def test_a_hold_is_posted_whole_unless_an_amount_is_given(book: Book, database: Database) -> None:
    await book.move(SETTLEMENT, WALLET, 100)

    async with database.begin(book.actor) as tx:
        await ledger.hold(tx, transfer(1, WALLET, SHOP, 60))
        await ledger.post_pending(tx, 1, 2)

    assert await book.balance(WALLET) == (0, 60, 0, 100)


async def test_a_voided_hold_can_be_spent_again(book: Book, database: Database) -> None:
    await book.move(SETTLEMENT, WALLET, 100)

    async with database.begin(book.actor) as tx:
        await ledger.hold(tx, transfer(1, WALLET, SHOP, 100))
        voided = await ledger.void_pending(tx, 1, 2)

    assert voided.status is TransferStatus.CREATED
    assert await book.post(transfer(3, WALLET, SHOP, 100)) == [TransferStatus.CREATED]


async def test_a_failure_that_depends_on_state_stays_a_failure(book: Book) -> None:
    overdraft = transfer(1, WALLET, SHOP, 100)
    assert await book.post(overdraft) == [TransferStatus.EXCEEDS_CREDITS]
    await book.move(SETTLEMENT, WALLET, 100)

    assert await book.post(overdraft) == [TransferStatus.ID_ALREADY_FAILED]
    assert await book.balance(WALLET) == (0, 0, 0, 100)


async def test_a_due_hold_expires_once(book: Book, database: Database) -> None:
    await book.move(SETTLEMENT, WALLET, 100)
    book.clock.move(0.001)
    # The last event of a batch has the time of the batch, so this hold expires exactly ten seconds from now.
    await book.post(transfer(2, WALLET, SHOP, 10, PENDING), transfer(1, WALLET, SHOP, 60, PENDING, timeout_seconds=10))
    book.clock.move(9.999999)
    async with database.begin(SYSTEM) as tx:
        assert await ledger.expire_holds(tx) == []
    book.clock.move(0.000001)

    async with database.begin(SYSTEM) as tx:
        expired = await ledger.expire_holds(tx)
    async with database.begin(SYSTEM) as tx:
        again = await ledger.expire_holds(tx)

    assert [(hold.book, hold.transfer.id) for hold in expired] == [(7, 1)]
    assert again == []
    assert await book.balance(WALLET) == (10, 0, 0, 100)
    assert await book.findings() == []


async def test_a_late_post_is_refused_even_before_the_hold_was_released(book: Book, database: Database) -> None:
    await book.post(transfer(1, SETTLEMENT, SHOP, 60, PENDING, timeout_seconds=10))
    book.clock.move(10)

    async with database.begin(book.actor) as tx:
        result = await ledger.post_pending(tx, 1, 2)

    assert result.status is TransferStatus.PENDING_TRANSFER_EXPIRED
    assert await book.balance(SETTLEMENT) == (60, 0, 0, 0)


async def test_holds_of_several_books_expire_together_a_few_at_a_time(book: Book, database: Database) -> None:
    other = Book(database, book.clock, partner(9))
    await other.open(account(SETTLEMENT), account(SHOP))
    for where in (book, other):
        await where.post(
            *(transfer(n, SETTLEMENT, SHOP, 5, PENDING, timeout_seconds=n) for n in (1, 2, 3)),
        )
    book.clock.move(60)

    counts = []
    for _ in range(3):
        async with database.begin(SYSTEM) as tx:
            counts.append(len(await ledger.expire_holds(tx, limit=4)))

    assert counts == [4, 2, 0]
    assert await book.balance(SHOP) == await other.balance(SHOP) == (0, 0, 0, 0)
    async with database.begin(SYSTEM) as tx:
        assert await ledger.verify(tx) == []


async def test_an_expiry_is_an_entry_but_no_transfer(book: Book, database: Database) -> None:
    await book.post(transfer(1, SETTLEMENT, SHOP, 60, PENDING, timeout_seconds=1, user_data_128=5))
    book.clock.move(2)
    async with database.begin(book.actor) as tx:
        await ledger.expire_holds(tx)

    async with database.begin(book.actor) as tx:
        entries = await ledger.statement(tx, SHOP)
        about = await ledger.transfers_about(tx, 5)
        hidden = await ledger.transfers(tx, [entry.transfer_id for entry in entries])

    assert [entry.kind for entry in entries] == [EntryKind.HELD, EntryKind.EXPIRED]
    assert entries[1].pending_id == 1
    assert [found.id for found in about] == [1]
    assert list(hidden) == [1]


async def test_a_transfer_is_reversed_once_and_safely_repeated(book: Book, database: Database) -> None:
    moved = await book.move(SETTLEMENT, SHOP, 60)

    async with database.begin(book.actor) as tx:
        first = await ledger.reverse(tx, moved, 5)
        again = await ledger.reverse(tx, moved, 5)
        with pytest.raises(ledger.AlreadyReversedError):
            await ledger.reverse(tx, moved, 6)

    assert (first.status, again.status) == (TransferStatus.CREATED, TransferStatus.EXISTS)
    assert await book.balance(SHOP) == (0, 60, 0, 60)


async def test_a_reversal_that_fails_leaves_the_transfer_reversible(book: Book, database: Database) -> None:
    paid = await book.move(SETTLEMENT, WALLET, 60)
    spent = await book.move(WALLET, SHOP, 60)

    async with database.begin(book.actor) as tx:
        failed = await ledger.reverse(tx, paid, 5)
    await book.move(SHOP, WALLET, 60)
    async with database.begin(book.actor) as tx:
        reversed_later = await ledger.reverse(tx, paid, 6)

    assert spent
    assert failed.status is TransferStatus.EXCEEDS_CREDITS
    assert reversed_later.status is TransferStatus.CREATED


async def test_two_reversals_at_once_take_a_transfer_back_once(book: Book, database: Database) -> None:
    moved = await book.move(SETTLEMENT, SHOP, 60)

    async def reverse(new_id: int) -> TransferStatus:
        return (await database.run(book.actor, lambda tx: ledger.reverse(tx, moved, new_id))).status

    answers = await asyncio.gather(*(reverse(n) for n in range(1, 6)), return_exceptions=True)

    assert answers.count(TransferStatus.CREATED) == 1
    assert sum(isinstance(answer, ledger.AlreadyReversedError) for answer in answers) == 4
    assert await book.balance(SHOP) == (0, 60, 0, 60)


async def test_what_moved_nothing_is_not_reversible(book: Book, database: Database) -> None:
    await book.post(transfer(1, SETTLEMENT, SHOP, 60, PENDING))

    async with database.begin(book.actor) as tx:
        with pytest.raises(ledger.NotReversibleError):
            await ledger.reverse(tx, 1, 2)
        with pytest.raises(ledger.TransferUnknownError):
            await ledger.reverse(tx, 77, 2)


async def test_a_balance_can_be_read_as_it_was(book: Book) -> None:
    opened = book.clock.now
    instants = []
    for _ in range(5):
        book.clock.move(10)
        await book.move(SETTLEMENT, WALLET, 100)
        instants.append(book.clock.now)

    past = [await book.balance(WALLET, at=instant) for instant in instants]

    assert [posted for _, _, _, posted in past] == [100, 200, 300, 400, 500]
    assert await book.balance(WALLET, at=opened) == (0, 0, 0, 0)
    assert await book.balance(WALLET, at=instants[2] - timedelta(microseconds=1)) == (0, 0, 0, 200)


async def test_the_balance_of_an_unknown_account_is_an_error(book: Book, database: Database) -> None:
    async with database.begin(book.actor) as tx:
        with pytest.raises(ledger.AccountUnknownError):
            await ledger.balance(tx, 77)
        with pytest.raises(ledger.AccountUnknownError):
            await ledger.statement(tx, 77)


async def test_a_statement_runs_in_order_with_running_balances(book: Book, database: Database) -> None:
    await book.move(SETTLEMENT, WALLET, 100)
    await book.move(WALLET, SHOP, 30)
    await book.move(SETTLEMENT, WALLET, 5)

    async with database.begin(book.actor) as tx:
        entries = await ledger.statement(tx, WALLET)

    assert [(e.seq, e.side, e.amount, e.balance.credit_balance) for e in entries] == [
        (1, Side.CREDIT, 100, 100),
        (2, Side.DEBIT, 30, 70),
        (3, Side.CREDIT, 5, 75),
    ]
    assert [e.other_account_id for e in entries] == [SETTLEMENT, SHOP, SETTLEMENT]


async def test_a_statement_is_cut_by_time_and_read_in_pieces(book: Book, database: Database) -> None:
    start = book.clock.now
    for _ in range(10):
        await book.move(SETTLEMENT, WALLET, 1)
        book.clock.move(10)

    async with database.begin(book.actor) as tx:
        middle = await ledger.statement(
            tx, WALLET, since=start + timedelta(seconds=20), until=start + timedelta(seconds=50)
        )
        pieces, after = [], 0
        while piece := await ledger.statement(tx, WALLET, after_seq=after, limit=4):
            pieces.append([entry.seq for entry in piece])
            after = piece[-1].seq

    assert [entry.seq for entry in middle] == [3, 4, 5]
    assert pieces == [[1, 2, 3, 4], [5, 6, 7, 8], [9, 10]]


async def test_transfers_are_found_by_user_data_in_pieces(book: Book, database: Database) -> None:
    await book.post(*(transfer(n, SETTLEMENT, SHOP, n, user_data_128=5) for n in range(1, 6)))
    await book.post(transfer(6, SETTLEMENT, SHOP, 6, user_data_128=7))

    async with database.begin(book.actor) as tx:
        first = await ledger.transfers_about(tx, 5, limit=3)
        rest = await ledger.transfers_about(tx, 5, after_timestamp=first[-1].timestamp)

    assert [found.id for found in first + rest] == [1, 2, 3, 4, 5]


async def test_a_batch_has_a_limit(book: Book, database: Database) -> None:
    async with database.begin(book.actor) as tx:
        with pytest.raises(ledger.BatchTooLargeError):
            await ledger.post(tx, [transfer(1, SETTLEMENT, SHOP, 1)] * 8190)
        with pytest.raises(ledger.BatchTooLargeError):
            await ledger.open_accounts(tx, [account(1)] * 8190)


async def test_an_empty_batch_is_nothing(book: Book, database: Database) -> None:
    async with database.begin(book.actor) as tx:
        assert await ledger.post(tx, []) == []
        assert await ledger.open_accounts(tx, []) == []


async def test_times_grow_even_when_the_clock_goes_back(book: Book) -> None:
    await book.move(SETTLEMENT, SHOP, 1)
    book.clock.move(-3600)

    (first,) = await book.results(transfer(1, SETTLEMENT, SHOP, 1))
    (second,) = await book.results(transfer(2, SHOP, SETTLEMENT, 1))

    assert first.timestamp < second.timestamp
    assert await book.findings() == []


async def test_history_is_imported_in_order_with_its_own_times(book: Book, database: Database) -> None:
    old = partner(9)
    history = Book(database, book.clock, old)
    await history.open(
        account(1, AccountFlags.IMPORTED.value, timestamp=1000), account(2, AccountFlags.IMPORTED.value, timestamp=2000)
    )

    statuses = [
        *await history.post(
            transfer(1, 1, 2, 10, IMPORTED, timestamp=2000),
            transfer(2, 1, 2, 10, IMPORTED, timestamp=3000),
            transfer(3, 1, 2, 10, IMPORTED, timestamp=3000),
        ),
        *await history.post(transfer(4, 1, 2, 10, IMPORTED, timestamp=2500)),
        *await history.post(transfer(5, 1, 2, 10, IMPORTED, timestamp=3001)),
    ]
    async with database.begin(old) as tx:
        opening = await ledger.open_accounts(
            tx,
            [
                account(3, AccountFlags.IMPORTED.value, timestamp=3001),
                account(4, AccountFlags.IMPORTED.value, timestamp=1500),
                account(5, AccountFlags.IMPORTED.value, timestamp=4000),
            ],
        )

    regress = TransferStatus.IMPORTED_EVENT_TIMESTAMP_MUST_NOT_REGRESS
    assert statuses == [regress, TransferStatus.CREATED, regress, regress, TransferStatus.CREATED]
    assert [result.status for result in opening] == [
        AccountStatus.IMPORTED_EVENT_TIMESTAMP_MUST_NOT_REGRESS,
        AccountStatus.IMPORTED_EVENT_TIMESTAMP_MUST_NOT_REGRESS,
        AccountStatus.CREATED,
    ]
    assert await history.findings() == []


async def test_the_last_failed_account_of_a_linked_batch_opens_none(book: Book, database: Database) -> None:
    async with database.begin(book.actor) as tx:
        results = await ledger.open_accounts(
            tx, [account(20, AccountFlags.LINKED.value), account(21, AccountFlags.LINKED.value), account(0)]
        )
        balances = await ledger.balances(tx, [20, 21])

    assert [result.status for result in results] == [
        AccountStatus.LINKED_EVENT_FAILED,
        AccountStatus.LINKED_EVENT_FAILED,
        AccountStatus.ID_MUST_NOT_BE_ZERO,
    ]
    assert balances == {}


async def test_user_data_keeps_all_its_bits(book: Book, database: Database) -> None:
    sent = transfer(
        2**128 - 2, SETTLEMENT, SHOP, 1, user_data_128=2**128 - 1, user_data_64=2**64 - 1, user_data_32=2**32 - 1
    )
    await book.post(sent)

    async with database.begin(book.actor) as tx:
        stored = (await ledger.transfers(tx, [sent.id]))[sent.id]

    assert (stored.user_data_128, stored.user_data_64, stored.user_data_32) == (2**128 - 1, 2**64 - 1, 2**32 - 1)
    assert await book.post(sent) == [TransferStatus.EXISTS]


async def test_a_chain_may_hold_and_release_in_one_batch(book: Book, database: Database) -> None:
    await book.move(SETTLEMENT, WALLET, 100)
    void = TransferFlags.VOID_PENDING_TRANSFER.value

    statuses = await book.post(
        transfer(1, WALLET, SHOP, 80, PENDING | TransferFlags.LINKED.value),
        Transfer(2, pending_id=1, flags=void | TransferFlags.LINKED.value),
        transfer(3, WALLET, SHOP, 10),
    )

    assert statuses == [TransferStatus.CREATED] * 3
    async with database.begin(book.actor) as tx:
        assert await tx.value("SELECT count(*) FROM ledger_hold") == 0
    assert await book.findings() == []


async def test_an_id_used_at_once_on_other_accounts_is_contended(book: Book, database: Database) -> None:
    await book.open(account(30), account(31))
    first_wrote = asyncio.Event()

    async def first() -> None:
        async with database.begin(book.actor) as tx:
            await ledger.post(tx, [transfer(1, SETTLEMENT, SHOP, 1)])
            first_wrote.set()
            # It commits when the second one waits for it.
            while not await tx.value("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)"):
                await asyncio.sleep(0.01)

    async def second() -> None:
        await first_wrote.wait()
        async with database.begin(book.actor) as tx:
            await ledger.post(tx, [transfer(1, 30, 31, 1)])

    results = await asyncio.gather(first(), second(), return_exceptions=True)

    assert results[0] is None
    assert isinstance(results[1], ContendedError)
    assert await book.post(transfer(1, 30, 31, 1)) == [TransferStatus.EXISTS_WITH_DIFFERENT_DEBIT_ACCOUNT_ID]
