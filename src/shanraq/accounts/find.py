"""Find accounts, their balances and statements."""

from __future__ import annotations

from datetime import datetime

from shanraq import ledger
from shanraq.accounts import store
from shanraq.accounts.model import Account, AccountBalance, StatementLine
from shanraq.core.actor import Actor
from shanraq.core.db import Database, Tx
from shanraq.core.page import Page, PageRequest, page_of


async def find_account(db: Database, actor: Actor, account_id: str) -> Account:
    """Return one account. Raises AccountNotFoundError."""
    actor.require("accounts:read")
    async with db.begin(actor) as tx:
        return await store.load(tx, account_id)


async def list_accounts(
    db: Database, actor: Actor, request: PageRequest, *, customer_id: str | None = None
) -> Page[Account]:
    """Return accounts, newest first."""
    actor.require("accounts:read")
    async with db.begin(actor) as tx:
        rows = await store.page(tx, customer_id=customer_id, after=request.after, limit=request.limit)
    return page_of(rows, request, lambda account: account.id)


async def account_balance(db: Database, actor: Actor, account_id: str, *, at: datetime | None = None) -> AccountBalance:
    """Return what an account holds now, or held at an instant. Raises AccountNotFoundError."""
    actor.require("accounts:read")
    async with db.begin(actor) as tx:
        account = await store.load(tx, account_id)
        balance = await ledger.balance(tx, account.number, at=at)
        return AccountBalance.of(balance, account.currency, at or tx.now)


async def load_accounts(tx: Tx, account_ids: list[str]) -> dict[str, Account]:
    """Return the partner's accounts among these ids, for verbs that move money."""
    return await store.load_many(tx, account_ids)


__all__ = ["StatementLine", "account_balance", "find_account", "list_accounts", "load_accounts"]
