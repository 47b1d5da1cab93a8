"""Write down what became of an operation: move the payment, post or release its money, tell, audit, answer the request.

The one place where an outcome becomes a fact, whether the request that asked for it is still there or recovery found out.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import assert_never

import msgspec
import structlog

from shanraq import audit, events, partners, transactions
from shanraq.core import once
from shanraq.core.actor import Actor
from shanraq.core.db import Database, Tx
from shanraq.core.ids import derived_number, new_id
from shanraq.core.money import Money
from shanraq.payments import store
from shanraq.payments.adapter import (
    Approved,
    Declined,
    InReview,
    NotProcessed,
    OperationKind,
    Outcome,
    Reason,
    Unknown,
)
from shanraq.payments.attempts import note_attempt
from shanraq.payments.model import (
    OPERATION_PREFIX,
    Failure,
    Operation,
    OperationStatus,
    Payment,
    PaymentStatus,
)
from shanraq.payments.store import StoredOperation, StoredPayment
from shanraq.payments.told import as_asked, keep_told

log = structlog.get_logger(__name__)

FIRST_CHECK = timedelta(seconds=2)
LAST_CHECK = timedelta(minutes=5)
FIRST_REVIEW_CHECK = timedelta(minutes=1)
_APPROVAL_CODE_LIMIT = 32


async def settle_outcome(db: Database, actor: Actor, operation_id: str, outcome: Outcome) -> Payment:
    """Settle an operation by its outcome, once: if somebody settled it before, return what became of it."""
    return await db.run(actor, lambda tx: settle(tx, operation_id, outcome))


async def settle(tx: Tx, operation_id: str, outcome: Outcome) -> Payment:
    """Settle an operation inside a transaction; see settle_outcome."""
    operation = await store.load_operation(tx, operation_id)
    payment = await store.load_payment(tx, operation.payment_id, lock=True)
    if not operation.operation.status.open:
        if isinstance(outcome, Approved) and operation.operation.status is OperationStatus.FAILED:
            await _too_late(tx, payment, operation, outcome)
        return _seen(payment, operation.operation)
    if operation.taking_back and isinstance(outcome, Approved | InReview):
        # It is being taken back: an approval that arrives meanwhile will not stand, recovery ends it as not done.
        outcome = Unknown("being taken back")
    outcome = as_asked(operation, outcome)
    if operation.operation.kind is OperationKind.AUTHORIZE:
        await note_attempt(tx, payment, operation, outcome)
        payment = keep_told(tx, payment, operation, outcome)
    match outcome:
        case Approved():
            payment, operation = await _SUCCEEDED[operation.operation.kind](tx, payment, operation, outcome)
        case Declined(reason, gateway_id):
            payment, operation = await _refused(tx, payment, operation, OperationStatus.DECLINED, reason, gateway_id)
        case NotProcessed(reason):
            payment, operation = await _refused(tx, payment, operation, OperationStatus.FAILED, reason, "")
        case InReview():
            payment, operation = await _in_review(tx, payment, operation, outcome)
        case Unknown(detail):
            return await _not_known(tx, payment, operation, detail)
        case _:
            assert_never(outcome)
    seen = _seen(payment, operation.operation)
    _audit(tx, operation.operation, seen)
    if operation.once_operation is not None and operation.once_key is not None:
        await once.finish_key(tx, operation.once_operation, operation.once_key, msgspec.json.encode(seen))
    return seen


async def _authorized(
    tx: Tx, payment: StoredPayment, operation: StoredOperation, approved: Approved
) -> tuple[StoredPayment, StoredOperation]:
    assert payment.hold_transaction is not None
    held = await transactions.load_transaction(tx, payment.hold_transaction, lock=True)
    if approved.amount < operation.amount:
        held = await transactions.reduce_hold(tx, held, approved.amount)
    held = await transactions.confirm(tx, held)
    status = PaymentStatus.CAPTURED if operation.sale else PaymentStatus.AUTHORIZED
    amounts = {"amount_authorized": approved.amount.minor}
    hold: str | None = payment.hold_transaction
    if operation.sale:
        await transactions.execute_held(tx, held, derived_number(operation.operation.id, "capture"))
        amounts["amount_captured"] = approved.amount.minor
        hold = None
    after = await store.move_payment(
        tx,
        payment,
        status=payment.payment.status.to(status),
        gateway_id=approved.gateway_id,
        hold_transaction=hold,
        **amounts,
    )
    done = await _succeed(tx, operation, approved, transaction_id=payment.hold_transaction)
    _tell(tx, "payment.authorized", after, done)
    if operation.sale:
        _tell(tx, "payment.captured", after, done)
        _tell(tx, "payment.completed", after, done)
    await partners.observe(tx, partners.Check.PAYMENT_APPROVED, after.payment.id)
    return after, done


async def _captured(
    tx: Tx, payment: StoredPayment, operation: StoredOperation, approved: Approved
) -> tuple[StoredPayment, StoredOperation]:
    assert payment.hold_transaction is not None
    held = await transactions.load_transaction(tx, payment.hold_transaction, lock=True)
    executed, rest = await transactions.execute_held(
        tx,
        held,
        derived_number(operation.operation.id, "capture"),
        operation.amount,
        keep_rest=not operation.final,
    )
    complete = rest is None
    after = await store.move_payment(
        tx,
        payment,
        status=payment.payment.status.to(PaymentStatus.CAPTURED if complete else PaymentStatus.PARTIALLY_CAPTURED),
        amount_captured=payment.payment.amount_captured + operation.amount.minor,
        hold_transaction=rest.transaction.id if rest is not None else None,
    )
    done = await _succeed(tx, operation, approved, transaction_id=executed.transaction.id)
    _tell(tx, "payment.captured", after, done)
    if complete:
        _tell(tx, "payment.completed", after, done)
    return after, done


async def _refunded(
    tx: Tx, payment: StoredPayment, operation: StoredOperation, approved: Approved
) -> tuple[StoredPayment, StoredOperation]:
    after, done = await _paid_back(tx, payment, operation, approved)
    full = after.payment.amount_refunded == after.payment.amount_captured
    if after.payment.status is not PaymentStatus.PARTIALLY_CAPTURED:
        status = PaymentStatus.REFUNDED if full else PaymentStatus.PARTIALLY_REFUNDED
        after = await store.move_payment(tx, after, status=after.payment.status.to(status))
    _tell(tx, "refund.completed", after, done)
    _tell(tx, "payment.refunded", after, done)
    await partners.observe(tx, partners.Check.REFUND, after.payment.id)
    return after, done


async def _voided(
    tx: Tx, payment: StoredPayment, operation: StoredOperation, approved: Approved
) -> tuple[StoredPayment, StoredOperation]:
    after, done = await _paid_back(tx, payment, operation, approved)
    after = await store.move_payment(tx, after, status=after.payment.status.to(PaymentStatus.VOIDED))
    _tell(tx, "payment.voided", after, done)
    # Voiding a capture leaves the authorisation standing, with what a final partial capture had left of it: the issuer's hold
    # is released by a reversal of its own.
    released = sum(
        one.operation.amount
        for one in await store.operations(tx, payment.payment.id)
        if one.operation.kind is OperationKind.REVERSE and one.operation.status is OperationStatus.SUCCEEDED
    )
    standing = Money(payment.payment.amount_authorized - released, payment.payment.money)
    await _follow_up_reversal(tx, after, operation, Approved(after.gateway_id, standing))
    return after, done


async def _paid_back(
    tx: Tx, payment: StoredPayment, operation: StoredOperation, approved: Approved
) -> tuple[StoredPayment, StoredOperation]:
    assert operation.operation.transaction_id is not None and operation.target_id is not None
    held = await transactions.load_transaction(tx, operation.operation.transaction_id, lock=True)
    held = await transactions.confirm(tx, held)
    await transactions.execute_held(tx, held, derived_number(operation.operation.id, "pay back"))
    await store.add_refunded(tx, operation.target_id, operation.amount.minor)
    after = await store.move_payment(
        tx, payment, amount_refunded=payment.payment.amount_refunded + operation.amount.minor
    )
    return after, await _succeed(tx, operation, approved, transaction_id=operation.operation.transaction_id)


async def _reversed(
    tx: Tx, payment: StoredPayment, operation: StoredOperation, approved: Approved
) -> tuple[StoredPayment, StoredOperation]:
    done = await _succeed(tx, operation, approved, transaction_id=payment.hold_transaction)
    if payment.hold_transaction is None:
        # It followed a void or a risk decline: the payment has its final status already.
        return payment, done
    if (operation.adapter, operation.target_id) != (payment.adapter, payment.gateway_id):
        # It took back an earlier attempt that was approved too late; the payment stands by another one.
        return payment, done
    held = await transactions.load_transaction(tx, payment.hold_transaction, lock=True)
    if held.transaction.status is transactions.TransactionStatus.CREATED:
        await transactions.fail(tx, held, "review_rejected")
    else:
        await transactions.release(tx, held)
    if payment.payment.amount_captured:
        status, what = PaymentStatus.CAPTURED, "payment.completed"
    else:
        status, what = PaymentStatus.VOIDED, "payment.voided"
    after = await store.move_payment(tx, payment, status=payment.payment.status.to(status), hold_transaction=None)
    _tell(tx, what, after, done)
    return after, done


async def _incremented(
    tx: Tx, payment: StoredPayment, operation: StoredOperation, approved: Approved
) -> tuple[StoredPayment, StoredOperation]:
    assert payment.hold_transaction is not None
    held = await transactions.load_transaction(tx, payment.hold_transaction, lock=True)
    await transactions.raise_hold(tx, held, held.transaction.money + approved.amount)
    after = await store.move_payment(
        tx,
        payment,
        amount_authorized=payment.payment.amount_authorized + approved.amount.minor,
        amount_incremented=payment.payment.amount_incremented + approved.amount.minor,
    )
    done = await _succeed(tx, operation, approved, transaction_id=payment.hold_transaction)
    _tell(tx, "payment.incremented", after, done)
    return after, done


async def _credited(
    tx: Tx, payment: StoredPayment, operation: StoredOperation, approved: Approved
) -> tuple[StoredPayment, StoredOperation]:
    assert payment.hold_transaction is not None
    held = await transactions.load_transaction(tx, payment.hold_transaction, lock=True)
    held = await transactions.confirm(tx, held)
    await transactions.execute_held(tx, held, derived_number(operation.operation.id, "credit"))
    after = await store.move_payment(
        tx,
        payment,
        status=payment.payment.status.to(PaymentStatus.PAID),
        gateway_id=approved.gateway_id,
        hold_transaction=None,
    )
    done = await _succeed(tx, operation, approved, transaction_id=payment.hold_transaction)
    _tell(tx, "payment.paid", after, done)
    return after, done


_Step = Callable[[Tx, StoredPayment, StoredOperation, Approved], Awaitable[tuple[StoredPayment, StoredOperation]]]
_SUCCEEDED: dict[OperationKind, _Step] = {
    OperationKind.AUTHORIZE: _authorized,
    OperationKind.CAPTURE: _captured,
    OperationKind.REFUND: _refunded,
    OperationKind.VOID: _voided,
    OperationKind.REVERSE: _reversed,
    OperationKind.INCREMENT: _incremented,
    OperationKind.CREDIT: _credited,
}


async def _refused(
    tx: Tx, payment: StoredPayment, operation: StoredOperation, status: OperationStatus, reason: Reason, gateway_id: str
) -> tuple[StoredPayment, StoredOperation]:
    failure = failure_of(reason)
    done = await store.move_operation(tx, operation, status, failure=failure, gateway_id=gateway_id)
    match operation.operation.kind:
        case OperationKind.AUTHORIZE:
            assert payment.hold_transaction is not None
            held = await transactions.load_transaction(tx, payment.hold_transaction, lock=True)
            await transactions.fail(tx, held, reason.code)
            after = await store.move_payment(
                tx,
                payment,
                status=payment.payment.status.to(PaymentStatus.FAILED),
                failure=failure,
                gateway_id=gateway_id,
                hold_transaction=None,
            )
            _tell(tx, "payment.failed", after, done)
            if status is OperationStatus.DECLINED:
                await partners.observe(tx, partners.Check.DECLINE_HANDLED, after.payment.id)
            if reason.release and gateway_id:
                # The issuer approved and the gateway's own rules declined: the hold on the card must not stay.
                await _follow_up_reversal(tx, after, operation, Approved(gateway_id, operation.amount))
            return after, done
        case OperationKind.REFUND | OperationKind.VOID:
            assert operation.operation.transaction_id is not None
            held = await transactions.load_transaction(tx, operation.operation.transaction_id, lock=True)
            await transactions.fail(tx, held, reason.code)
            if operation.operation.kind is OperationKind.REFUND:
                _tell(tx, "refund.failed", payment, done)
        case OperationKind.CAPTURE | OperationKind.REVERSE | OperationKind.INCREMENT:
            pass
        case OperationKind.CREDIT:
            assert payment.hold_transaction is not None
            held = await transactions.load_transaction(tx, payment.hold_transaction, lock=True)
            await transactions.fail(tx, held, reason.code)
            payment = await store.move_payment(
                tx,
                payment,
                status=payment.payment.status.to(PaymentStatus.FAILED),
                failure=failure,
                gateway_id=gateway_id,
                hold_transaction=None,
            )
            _tell(tx, "payment.failed", payment, done)
        case OperationKind.VERIFY:
            raise AssertionError("a verification is no operation of a payment")
        case _:
            assert_never(operation.operation.kind)
    return payment, done


async def _in_review(
    tx: Tx, payment: StoredPayment, operation: StoredOperation, review: InReview
) -> tuple[StoredPayment, StoredOperation]:
    if operation.operation.kind is not OperationKind.AUTHORIZE:
        # Only authorisations are reviewed; anything else that says so has not told what it did.
        return payment, await _keep_checking(tx, operation)
    done = await store.move_operation(
        tx,
        operation,
        OperationStatus.REVIEW,
        gateway_id=review.gateway_id,
        failure=failure_of(review.reason),
        review_check_at=tx.now + FIRST_REVIEW_CHECK,
    )
    after = await store.move_payment(
        tx, payment, status=payment.payment.status.to(PaymentStatus.REVIEW), gateway_id=review.gateway_id
    )
    _tell(tx, "payment.requires_action", after, done)
    return after, done


async def conclude_review(tx: Tx, operation_id: str, decided: Approved | Declined) -> Payment:
    """Settle an authorisation under review by what was decided, once; a rejected one is released at the issuer too.

    Raises PaymentBusyError while another operation of the payment is under way.
    """
    operation = await store.load_operation(tx, operation_id)
    payment = await store.load_payment(tx, operation.payment_id, lock=True)
    believed = as_asked(operation, decided)
    if operation.operation.status is not OperationStatus.REVIEW or not isinstance(believed, Approved | Declined):
        return _seen(payment, operation.operation)
    if payment.payment.status is not PaymentStatus.REVIEW:
        # It was cancelled meanwhile, and its hold released: the decision comes too late to mean anything.
        operation = await store.move_operation(tx, operation, OperationStatus.FAILED)
        return _seen(payment, operation.operation)
    payment = keep_told(tx, payment, operation, believed)
    await note_attempt(tx, payment, operation, believed)
    match believed:
        case Approved():
            payment, operation = await _authorized(tx, payment, operation, believed)
        case Declined(reason, gateway_id):
            payment, operation = await _refused(
                tx,
                payment,
                operation,
                OperationStatus.DECLINED,
                replace(reason, release=True),
                gateway_id or payment.gateway_id,
            )
        case _:
            assert_never(believed)
    seen = _seen(payment, operation.operation)
    _audit(tx, operation.operation, seen)
    return seen


async def _not_known(tx: Tx, payment: StoredPayment, operation: StoredOperation, detail: str) -> Payment:
    if operation.operation.status is OperationStatus.SENDING:
        log.warning("payments.outcome_unknown", operation=operation.operation.id, detail=detail)
        audit.record(tx, "payment.outcome_unknown", payment.payment.id, {"operation": operation.operation.id})
    after = await _keep_checking(tx, operation)
    return _seen(payment, after.operation)


async def _keep_checking(tx: Tx, operation: StoredOperation) -> StoredOperation:
    delay = min(FIRST_CHECK * 2 ** min(operation.checks, 12), LAST_CHECK)
    return await store.move_operation(tx, operation, OperationStatus.UNKNOWN, next_check_at=tx.now + delay)


async def _succeed(
    tx: Tx, operation: StoredOperation, approved: Approved, *, transaction_id: str | None
) -> StoredOperation:
    return await store.move_operation(
        tx,
        operation,
        OperationStatus.SUCCEEDED,
        gateway_id=approved.gateway_id,
        transaction_id=transaction_id,
        approval_code=approved.approval_code[:_APPROVAL_CODE_LIMIT],
    )


async def _too_late(tx: Tx, payment: StoredPayment, operation: StoredOperation, approved: Approved) -> None:
    """Deal with an approval that came after recovery had found nothing and given the operation up."""
    log.error("payments.late_approval", operation=operation.operation.id, kind=operation.operation.kind)
    audit.record(tx, "payment.late_approval", payment.payment.id, {"operation": operation.operation.id})
    if operation.operation.kind is OperationKind.AUTHORIZE:
        await _follow_up_reversal(tx, payment, operation, approved)


async def _follow_up_reversal(tx: Tx, payment: StoredPayment, operation: StoredOperation, approved: Approved) -> None:
    """Write down that an authorisation must be reversed, where it was made; recovery sends it."""
    payment = replace(payment, adapter=operation.adapter)
    audit.record(tx, "payment.reversal_ordered", payment.payment.id, {"after": operation.operation.id})
    await store.insert_operation(
        tx,
        new_operation(tx, payment, OperationKind.REVERSE, approved.amount, target_id=approved.gateway_id, due=tx.now),
    )


def new_operation(
    tx: Tx,
    payment: StoredPayment,
    kind: OperationKind,
    amount: Money,
    *,
    due: datetime,
    request: once.Request | None = None,
    target_id: str | None = None,
    transaction_id: str | None = None,
    sale: bool = False,
    final: bool = True,
) -> StoredOperation:
    """Make the record of an operation about to be sent; recovery looks after it from `due` on."""
    partner_id, environment = tx.actor.scope
    return StoredOperation(
        operation=Operation(
            id=new_id(OPERATION_PREFIX),
            kind=kind,
            amount=amount.minor,
            currency=amount.currency.code,
            status=OperationStatus.SENDING,
            failure=None,
            gateway_id="",
            transaction_id=transaction_id,
            sent_at=tx.now,
            settled_at=None,
            adapter=payment.adapter,
        ),
        payment_id=payment.payment.id,
        partner_id=partner_id,
        environment=environment,
        book=tx.actor.book,
        adapter=payment.adapter,
        sale=sale,
        final=final,
        target_id=target_id,
        amount_refunded=0,
        once_operation=request.operation if request else None,
        once_key=request.key if request else None,
        request_id=tx.actor.request_id,
        checks=0,
        next_check_at=due,
    )


def failure_of(reason: Reason) -> Failure:
    """Write a reason as the partner sees it."""
    return Failure(
        code=reason.code,
        kind=reason.kind,
        advice=reason.advice,
        gateway_reason=reason.gateway_reason,
        issuer_code=reason.issuer_code,
        advice_code=reason.advice_code,
        retry_after_seconds=None if reason.retry_after is None else int(reason.retry_after.total_seconds()),
    )


def _seen(payment: StoredPayment, operation: Operation) -> Payment:
    return msgspec.structs.replace(payment.payment, operation=operation)


def _tell(tx: Tx, what: str, payment: StoredPayment, operation: StoredOperation) -> None:
    seen = _seen(payment, operation.operation)
    events.emit(tx, events.Event(what, f"payment/{seen.id}", seen))


def _audit(tx: Tx, operation: Operation, payment: Payment) -> None:
    audit.record(
        tx,
        f"payment.{operation.kind}.{operation.status}",
        payment.id,
        {
            "operation": operation.id,
            "amount": operation.amount,
            "currency": operation.currency,
            "status": payment.status,
        },
    )
