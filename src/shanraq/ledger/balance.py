"""Read balances, of now or of a past moment."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from shanraq.core.db import Tx
from shanraq.ledger import store
from shanraq.ledger.errors import AccountUnknownError
from shanraq.ledger.model import Balance, nanoseconds_of


async def balance(tx: Tx, account_id: int, at: datetime | None = None) -> Balance:
    """Return the balance of an account, now or after its last entry not later than `at`. Raises AccountUnknownError."""
    found = (await balances(tx, [account_id], at)).get(account_id)
    if found is None:
        raise AccountUnknownError
    return found


async def balances(tx: Tx, account_ids: Collection[int], at: datetime | None = None) -> dict[int, Balance]:
    """Return the balances of the accounts that exist, now or after the last entry of each not later than `at`."""
    if at is None:
        return await store.read_balances(tx, tx.actor.book, account_ids)
    return await store.read_balances_at(tx, tx.actor.book, account_ids, nanoseconds_of(at))
