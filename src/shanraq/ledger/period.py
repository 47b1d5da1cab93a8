"""Read what an account held and moved over a period, and end periods so that nothing is dated into them afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from shanraq.core.db import Tx
from shanraq.ledger import store
from shanraq.ledger.errors import AccountUnknownError
from shanraq.ledger.model import Standing, Turnover, nanoseconds_of


async def standing(tx: Tx, account_id: int, *, before: datetime | None = None) -> Standing:
    """Return what an account holds now, or held just before an instant, and how many entries that is.

    Entries of a transaction under way may still be dated before an instant that has passed: see `end_period`. Raises
    AccountUnknownError.
    """
    found = await store.read_standing(
        tx, tx.actor.book, account_id, None if before is None else nanoseconds_of(before) - 1
    )
    if found is None:
        raise AccountUnknownError
    return found


async def turnover(tx: Tx, account_id: int, *, after_seq: int, up_to_seq: int) -> Turnover:
    """Count and sum what was booked (moved or posted) in entries `after_seq` < seq <= `up_to_seq`; holds are not booked."""
    return await store.read_turnover(tx, tx.actor.book, account_id, after_seq, up_to_seq)


async def end_period(tx: Tx, account_id: int, before: datetime) -> None:
    """Wait for transactions under way on an account, and date its later entries no earlier than `before`.

    Clocks of processes differ and transactions take time: after this, and only then, what is dated before `before` is final.
    Raises AccountUnknownError.
    """
    assert before <= tx.now, "a period that is not over cannot be ended"
    if not await store.raise_touched_at(tx, tx.actor.book, account_id, nanoseconds_of(before) - 1):
        raise AccountUnknownError


async def grown(tx: Tx, seen: Sequence[tuple[int, int, int]]) -> list[bool]:
    """Tell which accounts, given as (book, account, sequence number seen last), have entries since then."""
    return await store.read_grown(tx, seen)
