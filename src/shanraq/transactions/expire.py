"""Let holds run out: what the ledger releases is rolled back here, in the same transaction."""

from __future__ import annotations

from shanraq import ledger
from shanraq.core.actor import SYSTEM, Environment
from shanraq.core.db import Database, Tx
from shanraq.transactions import store
from shanraq.transactions.model import TransactionStatus
from shanraq.transactions.movement import tell


async def expire_holds(db: Database, *, limit: int = 200) -> int:
    """Release holds whose time has passed and roll their transactions back; returns how many.

    Safe to run in any number of processes.
    """
    async with db.begin(SYSTEM) as tx:
        scopes = await store.scopes_with_due_holds(tx, limit)
    count = 0
    for partner_id, environment, book in scopes:
        actor = SYSTEM.acting_for(partner_id, Environment(environment), book)
        count += await db.run(actor, lambda tx: _expire(tx, limit))
    return count


async def _expire(tx: Tx, limit: int) -> int:
    expired = await ledger.expire_holds(tx, limit=limit)
    held = await store.of_transfers(tx, [hold.transfer for hold in expired])
    for stored in held.values():
        after = await store.move(tx, stored, TransactionStatus.ROLLED_BACK, failure="hold_expired", hold_id=None)
        tell(tx, after.transaction, "rolled_back")
    return len(held)
