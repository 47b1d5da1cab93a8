"""Execute an authorised transaction: held money moves."""

from __future__ import annotations

from shanraq.core import once
from shanraq.core.actor import Actor
from shanraq.core.db import Database, Tx
from shanraq.core.money import Money
from shanraq.transactions import store
from shanraq.transactions.model import Transaction, TransactionStatus
from shanraq.transactions.movement import execute_held


async def execute_transaction(
    db: Database, actor: Actor, request: once.Request, transaction_id: str, amount_minor: int | None = None
) -> once.Given[Transaction]:
    """Move the held money, all or part of it; what is left is free again.

    Raises TransactionNotFoundError, TransactionHasOwnerError, IllegalMoveError, AmountAboveHoldError, HoldExpiredError,
    InvalidAmountError, and the errors of core.once.
    """
    actor.require("transactions:write")

    async def work(tx: Tx) -> Transaction:
        held = await store.load_own(tx, transaction_id)
        held.transaction.status.to(TransactionStatus.EXECUTED)
        amount = None if amount_minor is None else Money.positive(amount_minor, held.transaction.currency)
        after, _ = await execute_held(tx, held, request.number(actor), amount)
        return after.transaction

    return await once.perform(db, actor, request, Transaction, work)
