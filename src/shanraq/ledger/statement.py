"""List the entries of an account."""

from __future__ import annotations

from datetime import datetime

from shanraq.core.db import Tx
from shanraq.ledger import store
from shanraq.ledger.errors import AccountUnknownError
from shanraq.ledger.model import StatementEntry, nanoseconds_of


async def statement(
    tx: Tx,
    account_id: int,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    after_seq: int = 0,
    limit: int = 1000,
) -> list[StatementEntry]:
    """Return entries with running balances, oldest first: `since` <= time < `until`, at most `limit`.

    To read on, pass the last entry's `seq` as `after_seq`. The expiry of a hold is an entry too, under an id of the
    ledger's own. Raises AccountUnknownError.
    """
    assert limit > 0
    book = tx.actor.book
    if not await store.read_balances(tx, book, [account_id]):
        raise AccountUnknownError
    return await store.read_statement(
        tx,
        book,
        account_id,
        None if since is None else nanoseconds_of(since),
        None if until is None else nanoseconds_of(until),
        after_seq,
        limit,
    )
