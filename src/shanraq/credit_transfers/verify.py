"""Prove that every credit transfer and its money say the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from shanraq import transactions
from shanraq.core.db import Tx
from shanraq.credit_transfers import store
from shanraq.credit_transfers.model import CreditTransfer, TransferStatus
from shanraq.transactions import TransactionStatus

_PAGE: Final = 5000
_MONEY: Final = {
    TransferStatus.SUBMITTED: TransactionStatus.AUTHORIZED,
    TransferStatus.SETTLED: TransactionStatus.EXECUTED,
    TransferStatus.RETURNED: TransactionStatus.EXECUTED,
    TransferStatus.REJECTED: TransactionStatus.ROLLED_BACK,
}

Outcomes = dict[str, tuple[TransactionStatus, int]]


async def verify(tx: Tx, told: Callable[[int], None] = lambda _: None) -> list[str]:
    """Return what does not agree, as the system; `told` is called with how many transfers were looked at.

    A submitted transfer holds its amount, a settled one has moved it, a returned one has also brought back what it says, a
    rejected one holds and has moved nothing.
    """
    findings: list[str] = []
    after, count = "", 0
    while transfers := await store.all_after(tx, after, _PAGE):
        ids = [id_ for one in transfers for id_ in (one.transaction_id, one.return_transaction_id) if id_ is not None]
        outcomes = await transactions.outcomes(tx, ids)
        findings += [f"{one.id}: {flaw}" for one in transfers if (flaw := _flaw(one, outcomes)) is not None]
        after, count = transfers[-1].id, count + len(transfers)
        told(count)
    return findings


def _flaw(transfer: CreditTransfer, outcomes: Outcomes) -> str | None:
    money = outcomes.get(transfer.transaction_id or "")
    if transfer.transaction_id is None:
        moves = transfer.status not in (TransferStatus.RECEIVED, TransferStatus.REJECTED)
        return f"it is {transfer.status} and moved no money" if moves else None
    expected = (_MONEY.get(transfer.status), transfer.amount)
    if money != expected:
        return f"it is {transfer.status} with {transfer.amount}, its transaction {money}"
    if transfer.status is TransferStatus.RETURNED:
        back = outcomes.get(transfer.return_transaction_id or "")
        if back != (TransactionStatus.EXECUTED, transfer.amount_returned):
            return f"it returned {transfer.amount_returned}, its transaction {back}"
    return None
