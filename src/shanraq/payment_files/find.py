"""Find payment files."""

from __future__ import annotations

import msgspec

from shanraq import credit_transfers
from shanraq.core.actor import Actor
from shanraq.core.db import Database
from shanraq.core.page import Page, PageRequest, page_of
from shanraq.payment_files import store
from shanraq.payment_files.model import FileStatus, PaymentFile, Progress


async def find_file(db: Database, actor: Actor, file_id: str) -> PaymentFile:
    """Return one file, with its transfers counted now. Raises PaymentFileNotFoundError."""
    actor.require("payment_files:read")
    async with db.begin(actor) as tx:
        file = await store.load(tx, file_id)
        found = await credit_transfers.totals(tx, file_id)
    counts = {status.value: n for status, n in found.counts.items()}
    return msgspec.structs.replace(file, progress=Progress(file.progress.loaded, counts))


async def transfers_of_file(
    db: Database, actor: Actor, file_id: str, request: PageRequest
) -> Page[credit_transfers.CreditTransfer]:
    """Return the transfers of a file, newest first. Raises PaymentFileNotFoundError."""
    actor.require("payment_files:read")
    async with db.begin(actor) as tx:
        await store.load(tx, file_id)
    return await credit_transfers.list_transfers(db, actor, request, payment_file_id=file_id)


async def list_files(
    db: Database, actor: Actor, request: PageRequest, *, status: FileStatus | None = None
) -> Page[PaymentFile]:
    """Return files, newest first; their transfers as they were counted when a worker last looked."""
    actor.require("payment_files:read")
    async with db.begin(actor) as tx:
        rows = await store.page(tx, status=status, after=request.after, limit=request.limit)
    return page_of(rows, request, lambda file: file.id)
