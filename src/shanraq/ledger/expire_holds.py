"""Release holds whose time has passed."""

from __future__ import annotations

from shanraq.core.db import Tx
from shanraq.core.ids import new_number
from shanraq.ledger import store
from shanraq.ledger.evaluate import Book, due_holds, expire
from shanraq.ledger.model import ExpiredHold, nanoseconds_of


async def expire_holds(tx: Tx, *, limit: int = 500) -> list[ExpiredHold]:
    """Release at most `limit` due holds of the actor's book, of all books for the system; return them.

    They are released in order of expiry, then of creation. A worker calls this until it returns fewer than `limit`;
    several workers are safe: the accounts are locked before a hold is looked at again. Raises ContendedError.
    """
    now = nanoseconds_of(tx.now)
    released: list[ExpiredHold] = []
    # The rows of holds are not locked: a post locks the accounts first, and locking here in the other order would
    # deadlock with it. Whoever has the accounts of a hold is the only one that can end it.
    for book_number, ids in sorted((await store.due_holds(tx, tx.actor.book, now, limit)).items()):
        named = {
            number
            for transfer in (await store.read_transfers(tx, book_number, ids)).values()
            for number in (transfer.debit_account_id, transfer.credit_account_id)
        }
        book = Book(store.WIDTH_BITS)
        book.accounts, _ = await store.lock_accounts(tx, book_number, named, alone=False)
        await store.learn_transfers(tx, book_number, ids, book)
        due = due_holds(book, now)
        if not due:
            continue
        newest = max(position.touched_at for position in book.accounts.values())
        before = {number: position.seq for number, position in book.accounts.items()}
        entries = expire(book, due, [new_number() for _ in due], max(now, newest + len(due)))
        moved = [position for number, position in book.accounts.items() if position.seq != before[number]]
        await store.insert_entries(tx, book_number, entries, moved)
        released.extend(ExpiredHold(book_number, transfer) for transfer in due)
    return released
