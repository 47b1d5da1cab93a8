"""Post what was held."""

from __future__ import annotations

from shanraq.core.db import Tx
from shanraq.ledger.model import AMOUNT_MAX, Result, Transfer, TransferFlags
from shanraq.ledger.post import post


async def post_pending(
    tx: Tx, pending_id: int, new_id: int, amount: int | None = None, *, user_data_128: int = 0
) -> Result:
    """Move what the pending transfer held, or `amount` of it (minor units); the rest is released for good.

    `new_id` is the id of the posting transfer. Raises as `post` does.
    """
    posting = Transfer(
        new_id,
        amount=AMOUNT_MAX if amount is None else amount,
        pending_id=pending_id,
        user_data_128=user_data_128,
        flags=TransferFlags.POST_PENDING_TRANSFER.value,
    )
    (result,) = await post(tx, [posting])
    return result
