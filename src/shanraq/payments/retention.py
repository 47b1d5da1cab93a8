"""Destroy what is no longer needed: numbers of cards long expired or not used (PCI DSS 4.0, 3.2.1), old notices of gateways."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from shanraq import audit
from shanraq.core.actor import SYSTEM
from shanraq.core.db import Database, Tx
from shanraq.payments import store

NOTICES_KEPT: Final = timedelta(days=540)
"""How long notices of gateways are kept: a dispute may name one, and schemes take disputes up to 540 days after the payment."""
_AT_ONCE: Final = 500
_NOTICES_AT_ONCE: Final = 5_000


@dataclass(frozen=True, slots=True)
class CardRetention:
    """How long a stored number outlives the card's expiry month, and its last use; None keeps it.

    A card with a payment that is still under way, or with money that can still be captured, is in use.
    """

    after_expiry: timedelta | None = timedelta(days=90)
    after_last_use: timedelta | None = None


async def purge_cards(db: Database, retention: CardRetention) -> int:
    """Destroy the numbers that are over their time, a batch at a time; returns how many.

    The masked number, the fingerprint and the history of payments stay.
    """
    purged = 0
    while True:
        async with db.begin(SYSTEM) as tx:
            due = await _take(tx, retention)
        purged += due
        if due < _AT_ONCE:
            return purged


async def _take(tx: Tx, retention: CardRetention) -> int:
    expired = None if retention.after_expiry is None else tx.now - retention.after_expiry
    unused = None if retention.after_last_use is None else tx.now - retention.after_last_use
    rows = await tx.rows(
        """UPDATE payment_method SET status = 'deleted', pan_sealed = NULL, updated_at = $1
           WHERE id IN (
               SELECT m.id FROM payment_method m
               WHERE m.pan_sealed IS NOT NULL
                 AND ((m.expiry_year, m.expiry_month) < ($2, $3)
                      OR (m.created_at < $4 AND NOT EXISTS (
                          SELECT FROM payment p WHERE p.payment_method_id = m.id AND p.created_at >= $4)))
                 AND NOT EXISTS (
                     SELECT FROM payment p WHERE p.payment_method_id = m.id
                     AND p.status IN ('authorizing', 'review', 'authorized', 'partially_captured'))
               LIMIT $5 FOR UPDATE OF m SKIP LOCKED)
           RETURNING id, (expiry_year, expiry_month) < ($2, $3) AS expired""",
        tx.now, *_month(expired), unused, _AT_ONCE,
    )  # fmt: skip
    for row in rows:
        audit.record(tx, "payment_method.purged", row["id"], {"reason": "expired" if row["expired"] else "unused"})
    return len(rows)


async def purge_notices(db: Database, kept: timedelta | None) -> int:
    """Delete notices of gateways that are older than this, a batch at a time; returns how many. None keeps them.

    A gateway that repeats one after that has its payments looked up once more, which changes nothing that is settled.
    """
    if kept is None:
        return 0
    purged = 0
    while True:
        async with db.begin(SYSTEM) as tx:
            before = tx.now - kept
            deleted = await store.delete_notices(tx, before, _NOTICES_AT_ONCE)
            for (adapter, environment), count in sorted(deleted.items()):
                details = {"environment": environment, "count": count, "received_before": before.isoformat()}
                audit.record(tx, "gateway_notice.purged", adapter, details)
        purged += deleted.total()
        if deleted.total() < _NOTICES_AT_ONCE:
            return purged


def _month(instant: datetime | None) -> tuple[int | None, int | None]:
    return (None, None) if instant is None else (instant.year, instant.month)
