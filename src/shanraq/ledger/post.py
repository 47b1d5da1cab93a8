"""Post transfers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from shanraq.core.db import Tx
from shanraq.ledger import store
from shanraq.ledger.errors import BatchTooLargeError
from shanraq.ledger.evaluate import Book, evaluate_transfers
from shanraq.ledger.model import ID_MAX, Result, Transfer, TransferFlags, nanoseconds_of

_IMPORTED: Final = int(TransferFlags.IMPORTED)
_LINKED: Final = int(TransferFlags.LINKED)


async def post(tx: Tx, transfers: Sequence[Transfer]) -> list[Result]:
    """Post a batch of transfers in the actor's book, in order; return one result each, position by position.

    A failure is a result, never an exception, and the transaction is to be committed either way: a sticky failure burns
    its id. Raises BatchTooLargeError (more than 8189 transfers), ContendedError (run it again: `Database.run` does).
    """
    assert tx.actor.book, "transfers are posted in one book"
    if len(transfers) > store.BATCH_LIMIT:
        raise BatchTooLargeError(f"{len(transfers)} transfers; at most {store.BATCH_LIMIT}", field="transfers")
    if not transfers:
        return []
    if int(transfers[-1].flags) & _LINKED or int(transfers[0].flags) & _IMPORTED:
        # An open chain would go on in the transfers of others.
        tx.alone()
    return list(await tx.pooled(_post, transfers))


async def _post(tx: Tx, transfers: Sequence[Transfer]) -> list[Result]:
    book_number = tx.actor.book
    book = Book(store.WIDTH_BITS)
    ids = {transfer.id for transfer in transfers}
    named = {transfer.debit_account_id for transfer in transfers}
    named.update([transfer.credit_account_id for transfer in transfers])
    pending_ids = {transfer.pending_id for transfer in transfers if transfer.pending_id}
    imported = bool(int(transfers[0].flags) & _IMPORTED)
    alone = imported
    if pending_ids:
        held = await store.read_transfers(tx, book_number, pending_ids)
        named.update(_accounts_of(held.values()))
        # "There is no such pending transfer" is final, so nobody else may be about to create it.
        alone = alone or not pending_ids <= held.keys() | ids
    named -= {0, ID_MAX}

    book.accounts, stored = await store.lock_accounts(tx, book_number, named, alone=alone, transfers=ids | pending_ids)
    if stored:
        await store.learn_transfers(tx, book_number, ids | pending_ids, book)
    appeared = _accounts_of(book.transfers[number] for number in pending_ids & book.transfers.keys())
    if not appeared <= book.accounts.keys():
        missing = appeared - book.accounts.keys()
        also, _ = await store.lock_accounts(tx, book_number, missing, alone=alone)
        book.accounts |= also
    if imported:
        await store.learn_times(tx, book_number, [transfer.timestamp for transfer in transfers], book)

    now = nanoseconds_of(tx.now)
    # Later than everything the accounts have seen, whatever the clocks of the processes say.
    newest = max([position.touched_at for position in book.accounts.values()], default=0)
    committed_at = max(now, newest + len(transfers))
    before = {number: position.seq for number, position in book.accounts.items()}
    evaluation = evaluate_transfers(book, transfers, committed_at)

    if evaluation.entries:
        moved = [position for number, position in book.accounts.items() if position.seq != before[number]]
        await store.insert_entries(tx, book_number, evaluation.entries, moved)
    if evaluation.failed:
        await store.insert_failed(tx, book_number, evaluation.failed, committed_at)
    return evaluation.results


def _accounts_of(transfers: Iterable[Transfer]) -> set[int]:
    return {number for transfer in transfers for number in (transfer.debit_account_id, transfer.credit_account_id)}
