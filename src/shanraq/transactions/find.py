"""Find transactions."""

from __future__ import annotations

from collections.abc import Sequence

from shanraq.core.actor import Actor
from shanraq.core.db import Database, Tx
from shanraq.core.page import Page, PageRequest, page_of
from shanraq.transactions import store
from shanraq.transactions.model import Transaction, TransactionStatus
from shanraq.transactions.store import Stored


async def find_transaction(db: Database, actor: Actor, transaction_id: str) -> Transaction:
    """Return one transaction. Raises TransactionNotFoundError."""
    actor.require("transactions:read")
    async with db.begin(actor) as tx:
        return (await store.load(tx, transaction_id)).transaction


async def list_transactions(
    db: Database, actor: Actor, request: PageRequest, *, account_id: str | None = None, source: str | None = None
) -> Page[Transaction]:
    """Return transactions, newest first, of one account or of one source (`payment/pay_...`) if given."""
    actor.require("transactions:read")
    async with db.begin(actor) as tx:
        rows = await store.page(tx, account_id=account_id, source=source, after=request.after, limit=request.limit)
    return page_of(rows, request, lambda transaction: transaction.id)


async def lock_transactions(tx: Tx, transaction_ids: Sequence[str]) -> dict[str, Stored]:
    """Return transactions of the partner, locked for a change, for verbs that carry many on at once."""
    return await store.lock_many(tx, transaction_ids)


async def outcomes(tx: Tx, transaction_ids: Sequence[str]) -> dict[str, tuple[TransactionStatus, int]]:
    """Return status and amount (minor units) of transactions of any partner, as the system, for proofs."""
    return await store.outcomes(tx, transaction_ids)


async def load_transaction(tx: Tx, transaction_id: str, *, lock: bool = False) -> store.Stored:
    """Return one transaction with its ledger ids, for modules that own it."""
    return await store.load(tx, transaction_id, lock=lock)


async def load_transactions(tx: Tx, transaction_ids: Sequence[str]) -> dict[str, Transaction]:
    """Return the partner's transactions among these ids, by id."""
    return await store.load_many(tx, transaction_ids)
