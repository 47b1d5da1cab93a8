"""Void a payment: cancel it before its money is cleared."""

from __future__ import annotations

import msgspec

from shanraq.core import once
from shanraq.core.actor import Actor
from shanraq.core.db import Tx
from shanraq.core.money import Money
from shanraq.payments import store
from shanraq.payments.adapter import OperationKind, Reverse, Void
from shanraq.payments.errors import VoidRefusedError
from shanraq.payments.model import OperationStatus, Payment, PaymentStatus
from shanraq.payments.refund import hold_back, unpayable
from shanraq.payments.send import Acquiring, Prepared, carry_out
from shanraq.payments.settle import new_operation
from shanraq.payments.store import StoredPayment

OPERATION = "payments.void"


async def void(acquiring: Acquiring, actor: Actor, key: str | None, payment_id: str) -> once.Given[Payment]:
    """Cancel what can be cancelled: an authorisation, what is left of one after partial captures, or an unsent capture.

    Raises PaymentNotFoundError, IllegalMoveError, VoidRefusedError, PaymentBusyError, and the errors of core.once. A refusal
    by the gateway (the capture has left for clearing: refund instead) is in the returned payment's `operation`.
    """
    actor.require("payments:write")
    request = once.Request.of(OPERATION, key, None, payment_id)

    async def prepare(tx: Tx) -> Prepared | Payment:
        stored = await store.load_payment(tx, payment_id, lock=True)
        match stored.payment.status:
            case PaymentStatus.AUTHORIZED | PaymentStatus.PARTIALLY_CAPTURED | PaymentStatus.REVIEW:
                return await _reverse(tx, stored)
            case PaymentStatus.PARTIALLY_REFUNDED:
                raise VoidRefusedError(field="payment_id")
            case status:
                status.to(PaymentStatus.VOIDED)
                return await _void(tx, stored)

    async def _reverse(tx: Tx, stored: StoredPayment) -> Prepared:
        left = stored.payment.capturable or Money(stored.payment.amount, stored.payment.money)
        operation = new_operation(
            tx,
            stored,
            OperationKind.REVERSE,
            left,
            due=tx.now + acquiring.recover_after,
            request=request,
            target_id=stored.gateway_id,
        )
        await store.insert_operation(tx, operation)
        return Prepared(operation, Reverse(operation.operation.id, payment_id, stored.gateway_id, left))

    async def _void(tx: Tx, stored: StoredPayment) -> Prepared | Payment:
        took = [
            operation
            for operation in await store.operations(tx, payment_id)
            if operation.operation.status is OperationStatus.SUCCEEDED
            and (operation.operation.kind is OperationKind.CAPTURE or operation.sale)
        ]
        if len(took) != 1:
            raise VoidRefusedError("the payment was captured in parts: refund them", field="payment_id")
        target = took[0]
        # A sale may have been approved in part: what it took is less than what it asked for.
        amount = Money(stored.payment.amount_captured, stored.payment.money)
        held = await hold_back(tx, stored, amount, request.number(actor, "hold"))
        operation = new_operation(
            tx,
            stored,
            OperationKind.VOID,
            amount,
            due=tx.now + acquiring.recover_after,
            request=request,
            target_id=target.operation.id,
            transaction_id=held.transaction.id,
            sale=target.sale,
        )
        if held.transaction.failure is not None:
            operation = unpayable(tx, operation, held.transaction.failure)
            await store.insert_operation(tx, operation)
            return msgspec.structs.replace(stored.payment, operation=operation.operation)
        await store.insert_operation(tx, operation)
        kind = OperationKind.AUTHORIZE if target.sale else OperationKind.CAPTURE
        return Prepared(
            operation,
            Void(operation.operation.id, payment_id, kind, target.operation.gateway_id, amount),
        )

    return await carry_out(acquiring, actor, request, prepare, touches=(payment_id,))
