"""Roll a transaction back: release held money, or take executed money back."""

from __future__ import annotations

from shanraq.core import once
from shanraq.core.actor import Actor
from shanraq.core.db import Database, Tx
from shanraq.transactions import store
from shanraq.transactions.model import Transaction, TransactionStatus
from shanraq.transactions.movement import release, take_back


async def roll_back_transaction(
    db: Database, actor: Actor, request: once.Request, transaction_id: str
) -> once.Given[Transaction]:
    """Release a held transaction, or reverse an executed one.

    Raises TransactionNotFoundError, TransactionHasOwnerError, IllegalMoveError, ReversalRefusedError, HoldExpiredError, and
    the errors of core.once.
    """
    actor.require("transactions:write")

    async def work(tx: Tx) -> Transaction:
        before = await store.load_own(tx, transaction_id)
        before.transaction.status.to(TransactionStatus.ROLLED_BACK)
        if before.transaction.status is TransactionStatus.AUTHORIZED:
            return (await release(tx, before)).transaction
        return (await take_back(tx, before, request.number(actor))).transaction

    return await once.perform(db, actor, request, Transaction, work)
