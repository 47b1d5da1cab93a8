"""Refund a captured payment, all of it or in parts."""

from __future__ import annotations

from dataclasses import replace

import msgspec

from shanraq import accounts, events, transactions
from shanraq.core import once
from shanraq.core.actor import Actor
from shanraq.core.db import Tx
from shanraq.core.money import Money
from shanraq.payments import store
from shanraq.payments.adapter import OperationKind, Refund
from shanraq.payments.errors import AmountNotRefundableError, RefundSpansCapturesError
from shanraq.payments.model import Failure, OperationStatus, Payment, PaymentStatus
from shanraq.payments.send import Acquiring, Prepared, carry_out
from shanraq.payments.settle import new_operation
from shanraq.payments.store import StoredOperation, StoredPayment

OPERATION = "payments.refund"


async def refund(
    acquiring: Acquiring, actor: Actor, key: str | None, payment_id: str, amount_minor: int | None = None
) -> once.Given[Payment]:
    """Pay back all that is left of a payment, or `amount_minor` of it, from the account that received it.

    The money is held on the account before the gateway is asked, so a refund that the account cannot pay fails here.
    Raises PaymentNotFoundError, IllegalMoveError, AmountNotRefundableError, RefundSpansCapturesError, PaymentBusyError,
    InvalidAmountError, and the errors of core.once. A refusal is in the returned payment's `operation`.
    """
    actor.require("payments:write")
    request = once.Request.of(OPERATION, key, None, payment_id, str(amount_minor))

    async def prepare(tx: Tx) -> Prepared | Payment:
        stored = await store.load_payment(tx, payment_id, lock=True)
        payment = stored.payment
        if payment.status is not PaymentStatus.PARTIALLY_CAPTURED:
            payment.status.to(PaymentStatus.REFUNDED)
        left = Money(payment.amount_captured - payment.amount_refunded, payment.money)
        amount = left if amount_minor is None else Money.positive(amount_minor, payment.currency)
        if amount > left or not amount:
            raise AmountNotRefundableError(f"{left} is left", field="amount")
        capture = _capture_with(await store.operations(tx, payment_id), amount)
        held = await hold_back(tx, stored, amount, request.number(actor, "hold"))
        status = OperationStatus.SENDING
        operation = new_operation(
            tx,
            stored,
            OperationKind.REFUND,
            amount,
            due=tx.now + acquiring.recover_after,
            request=request,
            target_id=capture.operation.id,
            transaction_id=held.transaction.id,
            sale=capture.sale,
        )
        if held.transaction.failure is not None:
            operation = unpayable(tx, operation, held.transaction.failure)
            status = operation.operation.status
        await store.insert_operation(tx, operation)
        seen = msgspec.structs.replace(payment, operation=operation.operation)
        events.emit(tx, events.Event("refund.created", f"payment/{payment_id}", seen))
        if status is OperationStatus.FAILED:
            events.emit(tx, events.Event("refund.failed", f"payment/{payment_id}", seen))
            return seen
        return Prepared(
            operation,
            Refund(
                operation_id=operation.operation.id,
                reference=payment_id,
                capture_id=capture.operation.gateway_id,
                amount=amount,
                of_sale=capture.sale,
            ),
        )

    return await carry_out(acquiring, actor, request, prepare, touches=(payment_id,))


async def hold_back(tx: Tx, stored: StoredPayment, amount: Money, transfer_id: int) -> transactions.Stored:
    """Hold money on the payment's account for the way back; failed when the account cannot pay."""
    clearing = await accounts.system_account(tx, accounts.SystemAccount.CARD_CLEARING, amount.currency)
    (held,) = await transactions.open_movements(
        tx,
        [
            transactions.Movement(
                kind=transactions.TransactionKind.REFUND,
                debit_account=stored.payment.account_id,
                credit_account=clearing.id,
                amount=amount,
                transfer_id=transfer_id,
                hold=True,
                source=f"payment/{stored.payment.id}",
                reference=stored.payment.reference,
            )
        ],
    )
    return held


def unpayable(tx: Tx, operation: StoredOperation, failure: str) -> StoredOperation:
    """Return the operation as failed before it was sent: the account could not pay it."""
    failed = msgspec.structs.replace(
        operation.operation,
        status=OperationStatus.FAILED,
        failure=Failure(code=failure, kind="hard", advice="ask_customer"),
        settled_at=tx.now,
    )
    return replace(operation, operation=failed, next_check_at=None)


def _capture_with(operations: list[StoredOperation], amount: Money) -> StoredOperation:
    for stored in operations:
        operation = stored.operation
        took = operation.kind is OperationKind.CAPTURE or stored.sale
        if (
            took
            and operation.status is OperationStatus.SUCCEEDED
            and stored.amount.minor - stored.amount_refunded >= amount.minor
        ):
            return stored
    raise RefundSpansCapturesError(field="amount")
