"""Find out what became of operations without an outcome, and settle them: nobody is charged twice, nothing stays unknown.

The protocol for one operation: inquire; found -> settle as found. Not found before the gateway's index can be trusted -> look
again later. Not found after that -> write down that it is being taken back, and take it back by its id until that is answered;
then it is settled as not done. What is being taken back is not looked for again: an index that lags behind shows an approval
that does not stand any more. A reversal is simply sent again: releasing twice releases once. A void cannot be taken back.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Final, assert_never

import structlog

from shanraq import audit
from shanraq.core.actor import SYSTEM, Actor
from shanraq.core.db import Database, Tx
from shanraq.payments import store
from shanraq.payments.adapter import (
    Adapter,
    Advice,
    Approved,
    DeclineClass,
    Declined,
    InReview,
    NotFound,
    NotProcessed,
    OperationKind,
    Outcome,
    Reason,
    Reverse,
    Unknown,
)
from shanraq.payments.errors import NoAdapterError
from shanraq.payments.send import Acquiring, send
from shanraq.payments.settle import settle_outcome
from shanraq.payments.store import StoredOperation

log = structlog.get_logger(__name__)

LEASE: Final = timedelta(minutes=2)
OVERDUE: Final = timedelta(minutes=15)
_NEVER_ARRIVED: Final = Reason("not_processed", DeclineClass.TECHNICAL, Advice.RETRY_LATER, "no such operation")


async def recover(acquiring: Acquiring, *, limit: int = 20) -> int:
    """Take up operations that are due and settle what can be settled; returns how many were taken up.

    Safe to run in any number of processes: an operation is leased to one of them, and settled once by whoever is first.
    """
    async with acquiring.db.begin(SYSTEM) as tx:
        due = await store.take_due(tx, limit, LEASE)
        now = tx.now
    # Side by side: a gateway that is slow to answer for one must not use up the lease of the others.
    await asyncio.gather(*(_recover_one(acquiring, operation, now - operation.operation.sent_at) for operation in due))
    return len(due)


async def _recover_one(acquiring: Acquiring, operation: StoredOperation, age: timedelta) -> None:
    if age > OVERDUE:
        log.error("payments.unknown_too_long", operation=operation.operation.id, payment=operation.payment_id)
    try:
        adapter = acquiring.gateways.named(operation.environment, operation.adapter)
        outcome = await _find_out(acquiring.db, adapter, operation)
        payment = await settle_outcome(acquiring.db, _actor_of(operation), operation.operation.id, outcome)
    except NoAdapterError:
        log.exception("payments.adapter_missing", operation=operation.operation.id)
    except Exception:
        # Taken up again when its lease is over; the others go on.
        log.exception("payments.recovery_failed", operation=operation.operation.id)
    else:
        log.info(
            "payments.recovered",
            operation=operation.operation.id,
            kind=operation.operation.kind,
            outcome=type(outcome).__name__,
            payment_status=payment.status,
        )


async def _find_out(db: Database, adapter: Adapter, operation: StoredOperation) -> Outcome:
    try:
        if not operation.taking_back:
            finding = await adapter.inquire(operation.lost)
            match finding:
                case Approved() | Declined() | InReview() | Unknown():
                    return finding
                case NotFound():
                    pass
                case _:
                    assert_never(finding)
            if operation.operation.kind is OperationKind.REVERSE and operation.target_id is not None:
                return await _reverse_again(adapter, operation)
            if db.clock() - operation.operation.sent_at < adapter.settled_after:
                return Unknown("not found yet")
            if not await db.run(_actor_of(operation), lambda tx: _take_back(tx, operation)):
                return Unknown("settled meanwhile")
        undone = await adapter.undo(operation.lost)
    except Exception:
        log.exception("payments.adapter_broke", adapter=adapter.name, operation=operation.operation.id)
        return Unknown("the adapter failed")
    match undone:
        case Approved() | NotFound():
            return NotProcessed(_NEVER_ARRIVED, retryable=True)
        case Declined() | InReview() | Unknown():
            return Unknown("could neither be found nor taken back")
        case _:
            assert_never(undone)


async def _take_back(tx: Tx, operation: StoredOperation) -> bool:
    locked = await store.load_operation(tx, operation.operation.id)
    if not locked.operation.status.open:
        return False
    if locked.operation.kind is not OperationKind.VOID:
        await store.take_back(tx, locked.operation.id)
        audit.record(tx, "payment.taking_back", locked.payment_id, {"operation": locked.operation.id})
    return True


async def _reverse_again(adapter: Adapter, operation: StoredOperation) -> Outcome:
    assert operation.target_id is not None
    outcome = await send(
        adapter, Reverse(operation.operation.id, operation.payment_id, operation.target_id, operation.amount)
    )
    if isinstance(outcome, NotProcessed) and outcome.reason.gateway_reason in (
        "AUTH_ALREADY_REVERSED",
        "TRANSACTION_ALREADY_REVERSED_OR_SETTLED",
    ):
        return Approved(operation.target_id, operation.amount)
    if isinstance(outcome, NotProcessed) and outcome.retryable:
        # Not sent, or not taken: the hold on the card stands until a reversal is.
        return Unknown("the reversal has not been taken")
    return outcome


def _actor_of(operation: StoredOperation) -> Actor:
    actor = SYSTEM.acting_for(operation.partner_id, operation.environment, operation.book)
    return actor.with_request(operation.request_id)


async def oldest_unknown_seconds(db: Database) -> float:
    """Return how long the oldest operation without an outcome has been under way, in seconds; 0 when there is none."""
    async with db.begin(SYSTEM) as tx:
        oldest = await store.oldest_open(tx)
        return (tx.now - oldest).total_seconds() if oldest is not None else 0.0
