"""Close an account."""

from __future__ import annotations

from shanraq import audit, events, ledger
from shanraq.accounts import store
from shanraq.accounts.errors import AccountNotEmptyError
from shanraq.accounts.model import Account, AccountStatus
from shanraq.core.actor import Actor
from shanraq.core.db import Database, Tx


async def close_account(db: Database, actor: Actor, account_id: str) -> Account:
    """Close an account for good; it must hold nothing, neither settled nor held.

    Raises AccountNotFoundError, AccountNotEmptyError, IllegalMoveError.
    """
    actor.require("accounts:write")

    async def work(tx: Tx) -> Account:
        before = await store.load(tx, account_id, lock=True)
        status = before.status.to(AccountStatus.CLOSED)
        balance = await ledger.balance(tx, before.number)
        if balance.credits_posted != balance.debits_posted or balance.debits_pending or balance.credits_pending:
            raise AccountNotEmptyError(field="account_id")
        after = await store.save(tx, before, status=status)
        events.emit(tx, events.Event("account.updated", f"account/{account_id}", after))
        audit.record(tx, "account.closed", account_id)
        return after

    return await db.run(actor, work)
