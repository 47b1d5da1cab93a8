"""Find accounts, their balances and statements."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from shanraq import ledger
from shanraq.accounts import store
from shanraq.accounts.model import PREFIX, Account, AccountBalance, StatementLine
from shanraq.core.actor import Actor
from shanraq.core.db import Database, Tx
from shanraq.core.errors import InvalidInputError
from shanraq.core.ids import text_of
from shanraq.core.page import MAX_LIMIT, Page, PageRequest, page_of


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


async def account_statement(
    db: Database,
    actor: Actor,
    account_id: str,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    after_sequence: int = 0,
    limit: int = 100,
) -> list[StatementLine]:
    """Return what changed on an account, oldest first, with the balance after each change: `since` <= time < `until`.

    To read on, pass the last line's `sequence` as `after_sequence`. Raises AccountNotFoundError, InvalidInputError.
    """
    actor.require("accounts:read")
    if not 1 <= limit <= MAX_LIMIT:
        raise InvalidInputError(f"must be 1 to {MAX_LIMIT}", field="limit")
    async with db.begin(actor) as tx:
        account = await store.load(tx, account_id)
        entries = await ledger.statement(
            tx, account.number, since=since, until=until, after_seq=after_sequence, limit=limit
        )
    return [_line(account, entry) for entry in entries]


async def load_accounts(tx: Tx, account_ids: Sequence[str]) -> dict[str, Account]:
    """Return the partner's accounts among these ids, for verbs that move money."""
    return await store.load_many(tx, account_ids)


async def accounts_by_number(tx: Tx, numbers: Sequence[str]) -> dict[str, Account]:
    """Return the partner's accounts among these IBANs, account ids and references, by what each was asked for."""
    return await store.load_by_number(tx, numbers)


def _line(account: Account, entry: ledger.StatementEntry) -> StatementLine:
    moved = entry.amount if entry.kind in (ledger.EntryKind.MOVED, ledger.EntryKind.POSTED) else 0
    after = AccountBalance.of(entry.balance, account.currency, ledger.instant_of(entry.timestamp))
    return StatementLine(
        sequence=entry.seq,
        at=after.at,
        transaction_id=text_of("trx", entry.user_data_128),
        other_account=text_of(PREFIX, entry.other_account_id),
        change=entry.kind.value,
        amount=moved if entry.side is ledger.Side.CREDIT else -moved,
        posted_after=after.posted,
        held_after=after.held,
        incoming_after=after.incoming,
        currency=account.currency,
    )
