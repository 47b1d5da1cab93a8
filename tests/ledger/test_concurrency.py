"""Many tasks on several connections: nothing is lost, no limit breaks, nobody deadlocks."""

from __future__ import annotations

import asyncio
import random
from collections import Counter

from shanraq import ledger
from shanraq.core.actor import SYSTEM
from shanraq.core.db import Database
from shanraq.ledger import AccountFlags, Transfer, TransferFlags, TransferStatus
from tests.ledger.conftest import SETTLEMENT, SHOP, WALLET, Book, account, transfer

PENDING = TransferFlags.PENDING.value
LIMITED = AccountFlags.DEBITS_MUST_NOT_EXCEED_CREDITS.value


async def test_one_purse_is_spent_exactly_once(book: Book) -> None:
    await book.move(SETTLEMENT, WALLET, 100)

    answers = await asyncio.gather(*(book.post(transfer(n, WALLET, SHOP, 10)) for n in range(1, 31)))

    counted = Counter(status for (status,) in answers)
    assert counted == {TransferStatus.CREATED: 10, TransferStatus.EXCEEDS_CREDITS: 20}
    assert await book.balance(WALLET) == (0, 100, 0, 100)
    assert await book.findings() == []


async def test_one_transfer_sent_many_times_at_once_moves_once(book: Book) -> None:
    sent = transfer(1, SETTLEMENT, SHOP, 10)

    answers = await asyncio.gather(*(book.post(sent) for _ in range(20)))

    assert Counter(status for (status,) in answers) == {TransferStatus.CREATED: 1, TransferStatus.EXISTS: 19}
    assert await book.balance(SHOP) == (0, 0, 0, 10)


async def test_a_hold_is_resolved_once_by_post_void_or_expiry(book: Book, database: Database) -> None:
    await book.post(*(transfer(n, SETTLEMENT, SHOP, 10, PENDING, timeout_seconds=1) for n in range(1, 21)))
    book.clock.move(0.5)
    resolutions = (TransferFlags.POST_PENDING_TRANSFER, TransferFlags.VOID_PENDING_TRANSFER)

    async def resolve(hold: int, flag: TransferFlags) -> TransferStatus:
        amount = 10 if flag is TransferFlags.POST_PENDING_TRANSFER else 0
        (status,) = await book.post(Transfer(100 * hold + flag, amount=amount, pending_id=hold, flags=flag.value))
        return status

    async def expire() -> int:
        book.clock.move(1)
        released = await database.run(SYSTEM, ledger.expire_holds)
        return len(released)

    answers = await asyncio.gather(
        *(resolve(hold, flag) for hold in range(1, 11) for flag in resolutions),
        expire(),
        expire(),
        *(resolve(hold, flag) for hold in range(11, 21) for flag in resolutions),
    )

    created = sum(answer is TransferStatus.CREATED for answer in answers)
    expired = sum(answer for answer in answers if type(answer) is int)
    assert created + expired == 20
    async with database.begin(book.actor) as tx:
        assert await tx.value("SELECT count(*) FROM ledger_hold") == 0
        assert await tx.value("SELECT count(*) FROM ledger_transfer WHERE pending_id IS NOT NULL") == 20
    assert await book.findings() == []


async def test_random_batches_side_by_side_keep_every_rule(book: Book, database: Database) -> None:
    randomness = random.Random(1)
    wallets = list(range(100, 112))
    await book.open(*(account(number, LIMITED) for number in wallets))
    await book.post(*(transfer(number, SETTLEMENT, number, 200) for number in wallets))
    counter = iter(range(10_000, 100_000))

    def batch() -> list[Transfer]:
        events = []
        for _ in range(randomness.randint(1, 12)):
            debit, credit = randomness.sample([*wallets, SHOP], 2)
            flags = randomness.choice([0, 0, PENDING, TransferFlags.LINKED.value, TransferFlags.BALANCING_DEBIT.value])
            events.append(transfer(next(counter), debit, credit, randomness.randint(0, 120), flags))
        pending = randomness.choice(events)
        flag = randomness.choice([TransferFlags.POST_PENDING_TRANSFER, TransferFlags.VOID_PENDING_TRANSFER])
        events.append(Transfer(next(counter), amount=0, pending_id=pending.id, flags=flag.value))
        return events

    async def client() -> None:
        for _ in range(12):
            events = batch()
            await database.run(book.actor, lambda tx, events=events: ledger.post(tx, events))  # type: ignore[misc]

    await asyncio.gather(*(client() for _ in range(8)))

    assert await book.findings() == []
    async with database.begin(book.actor) as tx:
        balances = await ledger.balances(tx, wallets)
    assert all(balance.credit_available >= 0 for balance in balances.values())


async def test_no_account_appears_while_its_absence_is_being_reported(book: Book, database: Database) -> None:
    missing, reported, opening = transfer(1, SETTLEMENT, 50, 5), asyncio.Event(), asyncio.Event()

    async def report() -> TransferStatus:
        async with database.begin(book.actor) as tx:
            (result,) = await ledger.post(tx, [missing])
            reported.set()
            await asyncio.sleep(0.05)
            assert not opening.is_set()
        return result.status

    async def open_and_post() -> list[TransferStatus]:
        await reported.wait()
        async with database.begin(book.actor) as tx:
            await ledger.open_accounts(tx, [account(50)])
            opening.set()
        return await book.post(missing)

    status, later = await asyncio.gather(report(), open_and_post())

    assert status is TransferStatus.CREDIT_ACCOUNT_NOT_FOUND
    assert later == [TransferStatus.ID_ALREADY_FAILED]


async def test_no_hold_appears_while_its_absence_is_being_reported(book: Book, database: Database) -> None:
    voiding = Transfer(2, pending_id=1, flags=TransferFlags.VOID_PENDING_TRANSFER.value)
    reported, held = asyncio.Event(), asyncio.Event()

    async def report() -> TransferStatus:
        async with database.begin(book.actor) as tx:
            (result,) = await ledger.post(tx, [voiding])
            reported.set()
            await asyncio.sleep(0.05)
            assert not held.is_set()
        return result.status

    async def hold_and_void() -> list[TransferStatus]:
        await reported.wait()
        await book.post(transfer(1, SETTLEMENT, SHOP, 5, PENDING))
        held.set()
        return await book.post(voiding)

    status, later = await asyncio.gather(report(), hold_and_void())

    assert status is TransferStatus.PENDING_TRANSFER_NOT_FOUND
    assert later == [TransferStatus.ID_ALREADY_FAILED]
