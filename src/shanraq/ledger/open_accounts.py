"""Open accounts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from shanraq.core.db import Tx
from shanraq.ledger import store
from shanraq.ledger.errors import BatchTooLargeError
from shanraq.ledger.evaluate import Book, evaluate_accounts
from shanraq.ledger.model import Account, AccountFlags, AccountResult, nanoseconds_of

_IMPORTED: Final = int(AccountFlags.IMPORTED)


async def open_accounts(tx: Tx, accounts: Sequence[Account]) -> list[AccountResult]:
    """Open a batch of accounts in the actor's book, in order; return one result each, position by position.

    Raises BatchTooLargeError (more than 8189 accounts), ContendedError (run it again: `Database.run` does).
    """
    book_number = tx.actor.book
    assert book_number, "accounts are opened in one book"
    if len(accounts) > store.BATCH_LIMIT:
        raise BatchTooLargeError(f"{len(accounts)} accounts; at most {store.BATCH_LIMIT}", field="accounts")
    if not accounts:
        return []

    imported = bool(int(accounts[0].flags) & _IMPORTED)
    # A batch that found an account missing has the book alone, so none appears before its answer is written.
    await store.share_book(tx, book_number, alone=imported)
    book = Book(store.WIDTH_BITS)
    book.accounts = await store.accounts(tx, book_number, {account.id for account in accounts})
    if imported:
        await store.learn_times(tx, book_number, [account.timestamp for account in accounts], book)
    results, opened = evaluate_accounts(book, accounts, nanoseconds_of(tx.now))
    if opened:
        await store.insert_accounts(tx, book_number, opened)
    return results
