"""Delete nonces that nobody can use any more."""

from __future__ import annotations

from shanraq.core.actor import SYSTEM
from shanraq.core.db import Database
from shanraq.partners import store


async def prune_nonces(db: Database, *, limit: int = 10_000) -> int:
    """Delete nonces of signed requests too old to be accepted, and return how many; called by the worker now and then."""
    async with db.begin(SYSTEM) as tx:
        return await store.delete_nonces(tx, limit=limit)
