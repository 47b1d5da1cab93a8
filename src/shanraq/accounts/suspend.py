"""Suspend an account, and lift the suspension."""

from __future__ import annotations

from shanraq import audit, events
from shanraq.accounts import store
from shanraq.accounts.model import Account, AccountStatus
from shanraq.core.actor import Actor
from shanraq.core.db import Database, Tx


async def suspend_account(db: Database, actor: Actor, account_id: str, reason: str = "") -> Account:
    """Let nothing new in or out of an account; what is already under way still finishes.

    Raises AccountNotFoundError, IllegalMoveError.
    """
    return await _move(db, actor, account_id, AccountStatus.SUSPENDED, "account.suspended", reason)


async def resume_account(db: Database, actor: Actor, account_id: str, reason: str = "") -> Account:
    """Lift a suspension. Raises AccountNotFoundError, IllegalMoveError."""
    return await _move(db, actor, account_id, AccountStatus.ACTIVE, "account.updated", reason)


async def _move(db: Database, actor: Actor, account_id: str, status: AccountStatus, event: str, reason: str) -> Account:
    actor.require("accounts:write")

    async def work(tx: Tx) -> Account:
        before = await store.load(tx, account_id, lock=True)
        after = await store.save(tx, before, status=before.status.to(status))
        events.emit(tx, events.Event(event, f"account/{account_id}", after))
        audit.record(tx, f"account.{status}", account_id, {"reason": reason})
        return after

    return await db.run(actor, work)
