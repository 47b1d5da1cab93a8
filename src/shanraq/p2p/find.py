"""Find P2P transfers."""

from __future__ import annotations

from shanraq.core.actor import Actor
from shanraq.core.db import Database
from shanraq.core.page import Page, PageRequest, page_of
from shanraq.p2p import store
from shanraq.p2p.model import P2PTransfer


async def find_transfer(db: Database, actor: Actor, transfer_id: str) -> P2PTransfer:
    """Return one transfer. Raises P2PTransferNotFoundError."""
    actor.require("p2p:read")
    async with db.begin(actor) as tx:
        return await store.load(tx, transfer_id)


async def list_transfers(
    db: Database, actor: Actor, request: PageRequest, *, account_id: str | None = None
) -> Page[P2PTransfer]:
    """Return transfers, newest first, of one account if given."""
    actor.require("p2p:read")
    async with db.begin(actor) as tx:
        rows = await store.page(tx, account_id=account_id, after=request.after, limit=request.limit)
    return page_of(rows, request, lambda transfer: transfer.id)
