"""Roll a completed transfer back."""

from __future__ import annotations

from shanraq import transactions
from shanraq.core import once
from shanraq.core.actor import Actor
from shanraq.core.db import Database, Tx
from shanraq.p2p import store
from shanraq.p2p.model import P2PStatus, P2PTransfer
from shanraq.p2p.transfer import tell

OPERATION = "p2p.roll_back"


async def roll_back(db: Database, actor: Actor, key: str | None, transfer_id: str) -> once.Given[P2PTransfer]:
    """Give the money back to the sender.

    Raises P2PTransferNotFoundError, IllegalMoveError, ReversalRefusedError when the recipient no longer has it, and the
    errors of core.once.
    """
    actor.require("p2p:write")
    request = once.Request.of(OPERATION, key, None, transfer_id)

    async def work(tx: Tx) -> P2PTransfer:
        before = await store.load(tx, transfer_id, lock=True)
        before.status.to(P2PStatus.ROLLED_BACK)
        executed = await transactions.load_transaction(tx, before.transaction_id, lock=True)
        await transactions.take_back(tx, executed, request.number(actor))
        after = await store.move(tx, before, P2PStatus.ROLLED_BACK)
        tell(tx, after, "rolled_back")
        return after

    return await once.perform(db, actor, request, P2PTransfer, work)
