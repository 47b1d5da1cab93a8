"""Find credit transfers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import msgspec

from shanraq.core.actor import Actor
from shanraq.core.crypto import Keyring
from shanraq.core.db import Database, Tx
from shanraq.core.page import Page, PageRequest, page_of
from shanraq.credit_transfers import store
from shanraq.credit_transfers.add import open_details
from shanraq.credit_transfers.model import CreditTransfer, Details, Recall, Step, TransferStatus


class Totals(msgspec.Struct, frozen=True):
    """How many transfers of a file stand where, and their amounts in minor units by status and currency."""

    counts: dict[TransferStatus, int]
    amounts: dict[tuple[TransferStatus, str], int]

    @property
    def open(self) -> int:
        """Return how many have no outcome yet."""
        return sum(n for status, n in self.counts.items() if status.open)

    @property
    def total(self) -> int:
        """Return how many there are."""
        return sum(self.counts.values())


async def find_transfer(db: Database, actor: Actor, transfer_id: str) -> CreditTransfer:
    """Return one transfer. Raises CreditTransferNotFoundError."""
    actor.require("payment_files:read")
    async with db.begin(actor) as tx:
        return await store.load(tx, transfer_id)


class Trace(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is known of a transfer, in the order of its life."""

    transfer: CreditTransfer
    steps: list[Step]
    recalls: list[Recall]


async def trace_transfer(db: Database, actor: Actor, transfer_id: str) -> Trace:
    """Return a transfer with every message about it and its recalls. Raises CreditTransferNotFoundError."""
    actor.require("payment_files:read")
    async with db.begin(actor) as tx:
        transfer = await store.load(tx, transfer_id)
        return Trace(
            transfer=transfer,
            steps=await store.steps_of(tx, transfer.id),
            recalls=await store.recalls_of(tx, transfer.id),
        )


async def list_transfers(
    db: Database,
    actor: Actor,
    request: PageRequest,
    *,
    payment_file_id: str | None = None,
    uetr: str | None = None,
    end_to_end_id: str | None = None,
) -> Page[CreditTransfer]:
    """Return transfers, newest first: of one file, or with a UETR or end-to-end id."""
    actor.require("payment_files:read")
    async with db.begin(actor) as tx:
        rows = await store.page(
            tx,
            payment_file_id=payment_file_id,
            uetr=uetr,
            end_to_end_id=end_to_end_id,
            after=request.after,
            limit=request.limit,
        )
    return page_of(rows, request, lambda transfer: transfer.id)


async def transfers_of_file(
    tx: Tx, payment_file_id: str, *, after_position: int = 0, limit: int = 1000
) -> list[CreditTransfer]:
    """Return transfers of a file in its order, after a position."""
    return await store.of_file(tx, payment_file_id, after_position, limit)


def walk_transfers(tx: Tx, payment_file_id: str) -> AsyncIterator[CreditTransfer]:
    """Yield the transfers of a file in its order, as they all stood at one moment; never all in memory."""
    return store.walk_file(tx, payment_file_id)


async def totals(tx: Tx, payment_file_id: str) -> Totals:
    """Count the transfers of a file by status."""
    counts: dict[TransferStatus, int] = {}
    amounts: dict[tuple[TransferStatus, str], int] = {}
    for row in await store.count(tx, payment_file_id):
        status = TransferStatus(row["status"])
        counts[status] = counts.get(status, 0) + row["n"]
        amounts[status, row["currency"]] = row["amount"]
    return Totals(counts, amounts)


async def details_of_transactions(
    tx: Tx, keyring: Keyring, transaction_ids: Sequence[str]
) -> dict[str, tuple[CreditTransfer, Details]]:
    """Return the transfers these transactions were made for, with their parties, by transaction id.

    A transaction that brought money back finds the transfer it returned.
    """
    wanted = set(transaction_ids)
    found = {}
    for row in await store.of_transactions(tx, transaction_ids):
        pair = (store.transfer_of(row), open_details(keyring, row["id"], row["details"]))
        for name in ("transaction_id", "return_transaction_id"):
            if row[name] in wanted:
                found[row[name]] = pair
    return found
