"""Tell of what became of a transfer."""

from __future__ import annotations

from shanraq import audit, events
from shanraq.core.db import Tx
from shanraq.credit_transfers.model import CreditTransfer


def tell(tx: Tx, transfer: CreditTransfer) -> None:
    """Emit the event and the audit entry of a transfer's new status: settled, rejected or returned."""
    what = f"credit_transfer.{transfer.status}"
    events.emit(tx, events.Event(what, f"credit_transfer/{transfer.id}", transfer))
    audit.record(
        tx,
        what,
        transfer.id,
        {"amount": transfer.amount, "currency": transfer.currency, "reason": transfer.reason},
    )
