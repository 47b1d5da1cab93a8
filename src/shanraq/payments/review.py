"""Payments under review: decide at the gateway, and look until somebody there has decided."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Final, assert_never

import msgspec
import structlog

from shanraq import audit
from shanraq.core import once
from shanraq.core.actor import SYSTEM, Actor
from shanraq.core.db import Tx
from shanraq.core.lifecycle import IllegalMoveError
from shanraq.payments import store
from shanraq.payments.adapter import (
    Approved,
    Declined,
    Finding,
    InReview,
    NotFound,
    NotProcessed,
    OperationKind,
    Reviewed,
    Reviews,
    Unknown,
)
from shanraq.payments.ask import ask_once
from shanraq.payments.errors import DecideAtGatewayError, NoAdapterError, PaymentBusyError, ReviewNotTakenError
from shanraq.payments.model import OperationStatus, Payment, PaymentStatus
from shanraq.payments.send import Acquiring
from shanraq.payments.settle import conclude_review
from shanraq.payments.store import StoredOperation
from shanraq.payments.texts import refuse_card_numbers

log = structlog.get_logger(__name__)

OPERATION: Final = "payments.review"
LEASE: Final = timedelta(minutes=2)
FIRST_LOOK: Final = timedelta(minutes=1)
LAST_LOOK: Final = timedelta(minutes=30)


class ReviewDecision(StrEnum):
    """What a person decides of a payment under review."""

    ACCEPT = "accept"
    REJECT = "reject"


class ReviewRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A decision about a payment under review. The note goes to the gateway; no card data."""

    decision: ReviewDecision
    note: Annotated[str, msgspec.Meta(max_length=200, pattern="^[^\\u0000-\\u001f]*$")] = ""


async def decide_review(
    acquiring: Acquiring, actor: Actor, key: str | None, payment_id: str, asked: ReviewRequest
) -> once.Given[Payment]:
    """Accept or reject a payment under review, at the gateway; a rejected one is failed and released at the issuer.

    Still `review` in the answer means that the gateway has not told what came of it: the platform looks until it does. Raises
    PaymentNotFoundError, IllegalMoveError, PaymentBusyError, DecideAtGatewayError, ReviewNotTakenError, NoAdapterError,
    CardDataInTextError, and the errors of core.once.
    """
    actor.require("payments:write")
    refuse_card_numbers(note=asked.note)
    request = once.Request.of(OPERATION, key, asked, payment_id)

    async def prepare(tx: Tx) -> StoredOperation:
        payment = (await store.load_payment(tx, payment_id)).payment
        reviewed = [one for one in await store.operations(tx, payment_id) if _under_review(one)]
        if payment.status is not PaymentStatus.REVIEW or not reviewed:
            raise IllegalMoveError(f"it is {payment.status.value}, not review", field="payment_id")
        return reviewed[0]

    async def ask(operation: StoredOperation) -> Finding:
        adapter = acquiring.gateways.named(operation.environment, operation.adapter)
        if not isinstance(adapter, Reviews):
            raise DecideAtGatewayError(field="payment_id")
        accept = asked.decision is ReviewDecision.ACCEPT
        try:
            told = await adapter.decide_review(_reviewed(operation), accept=accept, note=asked.note)
        except Exception:
            log.exception("payments.adapter_broke", adapter=operation.adapter, operation=operation.operation.id)
            return Unknown("the adapter failed")
        if isinstance(told, NotProcessed):
            raise ReviewNotTakenError if told.retryable else DecideAtGatewayError(field="payment_id")
        return told

    async def write(tx: Tx, operation: StoredOperation, finding: Finding) -> Payment:
        audit.record(
            tx,
            "payment.review_decided",
            payment_id,
            {"operation": operation.operation.id, "decision": asked.decision.value},
        )
        seen = await _conclude(tx, operation, finding)
        if seen is not None:
            return seen
        await store.look_again(tx, operation.operation.id, tx.now)
        payment = (await store.load_payment(tx, payment_id)).payment
        return msgspec.structs.replace(payment, operation=operation.operation)

    return await ask_once(acquiring.db, actor, request, Payment, prepare, ask, write)


async def look_at_reviews(acquiring: Acquiring, *, limit: int = 20) -> int:
    """Ask the gateways what was decided of payments under review, and settle what was; returns how many were asked about.

    Safe to run in any number of processes.
    """
    async with acquiring.db.begin(SYSTEM) as tx:
        due = await store.due_reviews(tx, limit, LEASE)
    await asyncio.gather(*(_look(acquiring, operation) for operation in due))
    return len(due)


async def _look(acquiring: Acquiring, operation: StoredOperation) -> None:
    actor = SYSTEM.acting_for(operation.partner_id, operation.environment, operation.book)
    try:
        adapter = acquiring.gateways.named(operation.environment, operation.adapter)
        if isinstance(adapter, Reviews):
            finding = await adapter.look_up_review(_reviewed(operation))
        else:
            finding = await adapter.inquire(operation.lost)
        await acquiring.db.run(actor, lambda tx: _write_look(tx, operation, finding))
    except NoAdapterError:
        log.exception("payments.adapter_missing", operation=operation.operation.id)
    except PaymentBusyError:
        log.info("payments.review_waits", operation=operation.operation.id)
    except Exception:
        # Looked at again when its lease is over; the others go on.
        log.exception("payments.review_failed", operation=operation.operation.id)


async def _write_look(tx: Tx, operation: StoredOperation, finding: Finding) -> None:
    stored = await store.load_payment(tx, operation.payment_id)
    if stored.payment.status is not PaymentStatus.REVIEW:
        await store.leave_review(tx, operation.operation.id)
    elif await _conclude(tx, operation, finding) is None:
        delay = min(FIRST_LOOK * 2 ** min(operation.checks, 10), LAST_LOOK)
        await store.look_again(tx, operation.operation.id, tx.now + delay)


async def _conclude(tx: Tx, operation: StoredOperation, finding: Finding) -> Payment | None:
    match finding:
        case Approved() | Declined():
            return await conclude_review(tx, operation.operation.id, finding)
        case InReview() | NotFound() | Unknown():
            return None
        case _:
            assert_never(finding)


def _under_review(operation: StoredOperation) -> bool:
    return operation.operation.kind is OperationKind.AUTHORIZE and operation.operation.status is OperationStatus.REVIEW


def _reviewed(operation: StoredOperation) -> Reviewed:
    return Reviewed(operation.lost, operation.operation.gateway_id)
