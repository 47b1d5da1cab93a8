"""Go on with the next payment system where an attempt certainly moved no money and another one may do better.

The transaction that settles attempt n writes attempt n + 1 as `sending`: a crash leaves exactly one of them open, and recovery
finds that it never arrived. Never after Unknown, for money may have moved; never after a refusal that is about the card. The
hold in the ledger is the payment's and stays. Credits go on as authorisations do; a verification holds nothing that could be
left behind, so its attempts need not be written down (`next_system`).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final, assert_never

import structlog

from shanraq import audit
from shanraq.core.actor import Environment
from shanraq.core.db import Tx
from shanraq.payments import limits, store
from shanraq.payments.adapter import (
    Advice,
    Approved,
    Authorize,
    Credit,
    DeclineClass,
    Declined,
    InReview,
    NotProcessed,
    OperationKind,
    Outcome,
    Reason,
    Unknown,
)
from shanraq.payments.attempts import note_attempt
from shanraq.payments.declines import is_final, wait_after
from shanraq.payments.model import Gateways, OperationStatus, Payment
from shanraq.payments.routing import Routing
from shanraq.payments.settle import failure_of, new_operation, settle
from shanraq.payments.store import StoredOperation, StoredPayment

log = structlog.get_logger(__name__)

ATTEMPTS: Final = 3


@dataclass(frozen=True, slots=True)
class Failover:
    """The payment systems, how long after the payment was made another attempt may begin, and when recovery looks."""

    gateways: Gateways
    within: timedelta
    recover_after: timedelta


@dataclass(frozen=True, slots=True)
class Attempt:
    """The next attempt, written down, and the command to send for it."""

    operation: StoredOperation
    command: Authorize | Credit


async def settle_attempt(
    tx: Tx, failover: Failover, command: Authorize | Credit, outcome: Outcome
) -> Payment | Attempt:
    """Settle an attempt by its outcome: with the payment, or by going on with the next payment system."""
    reason = excused(outcome)
    if reason is None or (isinstance(command, Authorize) and command.authentication is not None):
        # An authentication of the cardholder belongs to the gateway that made it.
        return await settle(tx, command.operation_id, outcome)
    operation = await store.load_operation(tx, command.operation_id)
    payment = await store.load_payment(tx, operation.payment_id, lock=True)
    name = await _next(tx, failover, payment, operation, reason)
    if name is None:
        return await settle(tx, command.operation_id, outcome)
    kind = operation.operation.kind
    if kind is OperationKind.AUTHORIZE:
        await note_attempt(tx, payment, operation, outcome)
    status = OperationStatus.DECLINED if isinstance(outcome, Declined) else OperationStatus.FAILED
    gateway_id = outcome.gateway_id if isinstance(outcome, Declined) else ""
    await store.move_operation(tx, operation, status, failure=failure_of(reason), gateway_id=gateway_id)
    payment = await store.follow_attempt(tx, payment, name)
    following = replace(
        new_operation(
            tx,
            payment,
            kind,
            operation.amount,
            due=tx.now + failover.recover_after,
            transaction_id=operation.operation.transaction_id,
            sale=operation.sale,
        ),
        once_operation=operation.once_operation,
        once_key=operation.once_key,
    )
    await store.insert_operation(tx, following)
    audit.record(
        tx,
        "payment.attempt_failed",
        payment.payment.id,
        {"operation": operation.operation.id, "adapter": operation.adapter, "reason": reason.code, "next": name},
    )
    log.info("payments.failover", payment=payment.payment.id, failed=operation.adapter, next=name, reason=reason.code)
    return Attempt(following, replace(command, operation_id=following.operation.id))


def excused(outcome: Outcome) -> Reason | None:
    """Return the reason of an outcome after which another payment system may be asked; None forbids it.

    Nothing was processed for a technical reason, or it was declined for one with the advice to ask another and no approval to
    be taken back.
    """
    match outcome:
        case NotProcessed(reason, retryable):
            return reason if retryable or reason.kind is DeclineClass.TECHNICAL else None
        case Declined(reason):
            technical = reason.kind is DeclineClass.TECHNICAL and reason.advice is Advice.RETRY_OTHER_PROCESSOR
            return reason if technical and not reason.release else None
        case Approved() | InReview() | Unknown():
            return None
        case _:
            assert_never(outcome)


async def _next(
    tx: Tx, failover: Failover, payment: StoredPayment, operation: StoredOperation, reason: Reason
) -> str | None:
    if not operation.operation.status.open or operation.taking_back:
        return None
    if payment.payment.routing is None or tx.now - payment.payment.created_at > failover.within:
        return None
    kind = operation.operation.kind
    asked = {
        stored.adapter for stored in await store.operations(tx, payment.payment.id) if stored.operation.kind is kind
    }
    method, _ = await store.load_method(tx, payment.payment.payment_method_id)
    name = next_system(failover.gateways, operation.environment, payment.payment.routing, asked, reason, method.brand)
    if name is None or kind is not OperationKind.AUTHORIZE:
        # The limits of the schemes are about authorisations.
        return name
    try:
        # This attempt has no outcome in the database yet, so it is counted with those in flight.
        await limits.check(tx, method, operation.amount)
    except limits.RetryLimitReachedError:
        return None
    return name


def next_system(
    gateways: Gateways, environment: Environment, routing: Routing, asked: Collection[str], reason: Reason, scheme: str
) -> str | None:
    """Return the payment system to ask after those that were asked, the last of which gave a reason that is excused.

    None when the scheme lets nobody be asked again now, enough were asked, or nobody is left.
    """
    if len(asked) >= ATTEMPTS or is_final(reason, scheme) or wait_after(reason, scheme) is not None:
        return None
    there = gateways.there(environment)
    for candidate in routing.candidates:
        if candidate.adapter not in asked and there.get(candidate.adapter, False):
            return candidate.adapter
    return None
