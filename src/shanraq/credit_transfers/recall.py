"""Ask for a transfer back: camt.056."""

from __future__ import annotations

from typing import Annotated

import msgspec

from shanraq import audit, messages
from shanraq.core import once
from shanraq.core.actor import Actor
from shanraq.core.db import Database, Tx
from shanraq.core.ids import new_id
from shanraq.credit_transfers import store
from shanraq.credit_transfers.clearing import Interbank
from shanraq.credit_transfers.errors import InvalidReasonError, NotRecallableError, RecallOpenError
from shanraq.credit_transfers.execute import queue_message
from shanraq.credit_transfers.model import RECALL_PREFIX, Recall, RecallStatus, Route, TransferStatus
from shanraq.credit_transfers.pacs import cancellation_request
from shanraq.standards.iso20022.codes import is_code

OPERATION = "credit_transfers.recall"
_REASONS = "ExternalCancellationReason1Code"


class NewRecall(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why a transfer is asked back: a code of ExternalCancellationReason1Code, such as DUPL, TECH, FRAD or CUST."""

    reason: Annotated[str, msgspec.Meta(min_length=1, max_length=4, pattern="^[A-Z0-9]+$")]
    text: Annotated[str, msgspec.Meta(max_length=105, pattern="^[^\\u0000-\\u001f]*$")] = ""


async def recall_transfer(
    bank: Interbank, actor: Actor, key: str | None, transfer_id: str, new: NewRecall
) -> once.Given[Recall]:
    """Ask the clearing system for a submitted or settled transfer back; its answer comes as the event recall.answered.

    Raises CreditTransferNotFoundError, NotRecallableError, RecallOpenError, InvalidReasonError, and the errors of core.once.
    """
    actor.require("payment_files:write")
    if not is_code(_REASONS, new.reason):
        raise InvalidReasonError(field="reason")
    request = once.Request.of(OPERATION, key, new, transfer_id)

    async def work(tx: Tx) -> Recall:
        transfer = await store.load(tx, transfer_id, lock=True)
        terms = bank.terms(actor.environment)
        if (
            transfer.route is not Route.CLEARING
            or transfer.status not in (TransferStatus.SUBMITTED, TransferStatus.SETTLED)
            or transfer.message_id is None
            or terms is None
        ):
            raise NotRecallableError(f"it is {transfer.status}", field="credit_transfer_id")
        row_id = new_id(messages.PREFIX)
        recall = Recall(
            id=new_id(RECALL_PREFIX),
            credit_transfer_id=transfer.id,
            reason=new.reason,
            reason_text=new.text,
            status=RecallStatus.REQUESTED,
            answer_reason="",
            version=1,
            created_at=tx.now,
            updated_at=tx.now,
        )
        if not await store.insert_recall(tx, recall, row_id):
            raise RecallOpenError(field="credit_transfer_id")
        sent = await messages.find(tx, transfer.message_id)
        written = cancellation_request(
            terms,
            row_id,
            recall.id,
            transfer,
            transfer.message_id,
            day=bank.today(sent.created_at),
            reason=new.reason,
            text=new.text,
            now=tx.now,
        )
        await queue_message(tx, bank, terms, row_id, written, related_id=transfer.message_id)
        store.add_steps(tx, row_id, written.definition, [(transfer.id, "recalled", new.reason)])
        audit.record(tx, "recall.requested", recall.id, {"credit_transfer": transfer.id, "reason": new.reason})
        return recall

    return await once.perform(bank.db, actor, request, Recall, work)


async def find_recall(db: Database, actor: Actor, recall_id: str) -> Recall:
    """Return one recall. Raises RecallNotFoundError."""
    actor.require("payment_files:read")
    async with db.begin(actor) as tx:
        return await store.load_recall(tx, recall_id)


async def recalls_of_transfer(db: Database, actor: Actor, transfer_id: str) -> list[Recall]:
    """Return the recalls of a transfer, oldest first. Raises CreditTransferNotFoundError."""
    actor.require("payment_files:read")
    async with db.begin(actor) as tx:
        transfer = await store.load(tx, transfer_id)
        return await store.recalls_of(tx, transfer.id)
