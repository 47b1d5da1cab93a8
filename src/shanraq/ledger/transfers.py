"""Look transfers up."""

from __future__ import annotations

from collections.abc import Collection

from shanraq.core.db import Tx
from shanraq.ledger import store
from shanraq.ledger.model import Transfer


async def transfers(tx: Tx, ids: Collection[int]) -> dict[int, Transfer]:
    """Return the stored transfers with these ids, by id, with the amounts that were moved or held."""
    return await store.read_transfers(tx, tx.actor.book, ids)


async def transfers_about(tx: Tx, user_data_128: int, *, after_timestamp: int = 0, limit: int = 1000) -> list[Transfer]:
    """Return the transfers that carry this (non-zero) user data, oldest first, later than `after_timestamp`."""
    assert user_data_128 and limit > 0
    return await store.read_transfers_about(tx, tx.actor.book, user_data_128, after_timestamp, limit)
