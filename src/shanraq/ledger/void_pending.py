"""Release what was held."""

from __future__ import annotations

from shanraq.core.db import Tx
from shanraq.ledger.model import Result, Transfer, TransferFlags
from shanraq.ledger.post import post


async def void_pending(tx: Tx, pending_id: int, new_id: int, *, user_data_128: int = 0) -> Result:
    """Release what the pending transfer held, whole; `new_id` is the id of the voiding transfer. Raises as `post` does."""
    voiding = Transfer(
        new_id, pending_id=pending_id, user_data_128=user_data_128, flags=TransferFlags.VOID_PENDING_TRANSFER.value
    )
    (result,) = await post(tx, [voiding])
    return result
