"""Give identifiers back that are old enough to be used again."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from shanraq.core.db import Tx
from shanraq.credit_transfers import store

CLAIM_DAYS: Final = 90
"""For how long a second payment with the same end-to-end id or UETR is a duplicate, in days."""


async def forget(tx: Tx, *, limit: int = 10_000) -> int:
    """Forget end-to-end ids and UETRs of payments older than CLAIM_DAYS; returns how many."""
    return await store.forget_claims(tx, tx.now - timedelta(days=CLAIM_DAYS), limit)
