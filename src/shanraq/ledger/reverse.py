"""Reverse a transfer."""

from __future__ import annotations

from typing import Final

from shanraq.core.db import Tx
from shanraq.ledger import store
from shanraq.ledger.errors import AlreadyReversedError, NotReversibleError, TransferUnknownError
from shanraq.ledger.model import Result, Transfer, TransferFlags, TransferStatus
from shanraq.ledger.post import post

_MOVES_NOTHING: Final = int(TransferFlags.PENDING | TransferFlags.VOID_PENDING_TRANSFER)


async def reverse(tx: Tx, transfer_id: int, new_id: int, *, code: int = 0) -> Result:
    """Take a transfer back by its opposite, under the id `new_id`; once. Safe to repeat with the same ids.

    The opposite carries the same amount and user data, and `code` if one is given. Its result may be a failure: the
    money may be spent. Raises TransferUnknownError, NotReversibleError (a hold or a void), AlreadyReversedError,
    ContendedError.
    """
    book = tx.actor.book
    original = (await store.read_transfers(tx, book, [transfer_id])).get(transfer_id)
    if original is None:
        raise TransferUnknownError
    if original.flags & _MOVES_NOTHING:
        raise NotReversibleError
    known_id = await store.reversal_of(tx, book, transfer_id)
    if known_id and known_id != new_id:
        raise AlreadyReversedError
    opposite = Transfer(
        new_id,
        original.credit_account_id,
        original.debit_account_id,
        original.amount,
        user_data_128=original.user_data_128,
        user_data_64=original.user_data_64,
        user_data_32=original.user_data_32,
        ledger=original.ledger,
        code=code or original.code,
    )
    (result,) = await post(tx, [opposite])
    if result.status is TransferStatus.CREATED:
        await store.insert_reversal(tx, book, transfer_id, new_id)
    return result
