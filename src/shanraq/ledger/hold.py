"""Hold an amount."""

from __future__ import annotations

from msgspec.structs import replace

from shanraq.core.db import Tx
from shanraq.ledger.model import Result, Transfer, TransferFlags
from shanraq.ledger.post import post


async def hold(tx: Tx, transfer: Transfer) -> Result:
    """Hold the amount of `transfer`: it can no longer be spent, and moves when the hold is posted.

    The hold falls away after `timeout_seconds` (0: stays until it is posted or voided). Raises as `post` does.
    """
    pending = replace(transfer, flags=int(transfer.flags) | TransferFlags.PENDING.value)
    (result,) = await post(tx, [pending])
    return result
