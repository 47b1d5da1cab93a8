"""The SQL of P2P transfers."""

from __future__ import annotations

import msgspec

from shanraq.core.db import Row, Tx
from shanraq.core.ids import number_of
from shanraq.p2p.errors import P2PTransferNotFoundError
from shanraq.p2p.model import PREFIX, P2PStatus, P2PTransfer


def transfer_of(row: Row) -> P2PTransfer:
    """Read a row of p2p_transfer."""
    return P2PTransfer(
        id=row["id"], sender_account=row["sender_account"], recipient_account=row["recipient_account"],
        amount=row["amount"], currency=row["currency"], status=P2PStatus(row["status"]), failure=row["failure"],
        transaction_id=row["transaction_id"], note=row["note"], reference=row["reference"], metadata=row["metadata"],
        version=row["version"], created_at=row["created_at"], updated_at=row["updated_at"],
    )  # fmt: skip


async def insert(tx: Tx, transfer: P2PTransfer) -> None:
    """Write a new transfer."""
    partner_id, environment = tx.actor.scope
    await tx.execute(
        """INSERT INTO p2p_transfer (id, partner_id, environment, sender_account, recipient_account, amount, currency, status,
                                     failure, transaction_id, note, reference, metadata, version, created_at, updated_at)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $15)""",
        transfer.id, partner_id, environment, transfer.sender_account, transfer.recipient_account, transfer.amount,
        transfer.currency, transfer.status, transfer.failure, transfer.transaction_id, transfer.note, transfer.reference,
        transfer.metadata, transfer.version, tx.now,
    )  # fmt: skip


async def load(tx: Tx, transfer_id: str, *, lock: bool = False) -> P2PTransfer:
    """Return a transfer of the partner, locked for a change if asked; raise P2PTransferNotFoundError."""
    number_of(PREFIX, transfer_id, field="p2p_transfer_id")
    partner_id, environment = tx.actor.scope
    row = await tx.row(
        "SELECT * FROM p2p_transfer WHERE id = $1 AND partner_id = $2 AND environment = $3 FOR UPDATE"
        if lock
        else "SELECT * FROM p2p_transfer WHERE id = $1 AND partner_id = $2 AND environment = $3",
        transfer_id, partner_id, environment,
    )  # fmt: skip
    if row is None:
        raise P2PTransferNotFoundError(field="p2p_transfer_id")
    return transfer_of(row)


async def move(tx: Tx, before: P2PTransfer, status: P2PStatus) -> P2PTransfer:
    """Move a locked transfer to its next status."""
    after = msgspec.structs.replace(
        before, status=before.status.to(status), version=before.version + 1, updated_at=tx.now
    )
    written = await tx.execute(
        "UPDATE p2p_transfer SET status = $3, version = $4, updated_at = $5 WHERE id = $1 AND version = $2",
        before.id, before.version, after.status, after.version, tx.now,
    )  # fmt: skip
    assert written == 1, "the row is locked"
    return after


async def page(tx: Tx, *, account_id: str | None, after: str, limit: int) -> list[P2PTransfer]:
    """Return transfers newest first, after an id; one more than `limit` to tell whether more follow."""
    partner_id, environment = tx.actor.scope
    rows = await tx.rows(
        """SELECT * FROM p2p_transfer
            WHERE partner_id = $1 AND environment = $2 AND ($3::text IS NULL OR $3 IN (sender_account, recipient_account))
              AND ($4 = '' OR id < $4)
            ORDER BY id DESC LIMIT $5 + 1""",
        partner_id, environment, account_id, after, limit,
    )  # fmt: skip
    return [transfer_of(row) for row in rows]
