"""Increment an authorisation: ask the issuer to hold more, for a payment whose final amount was estimated."""

from __future__ import annotations

from shanraq.core import once
from shanraq.core.actor import Actor
from shanraq.core.db import Tx
from shanraq.core.money import Money
from shanraq.payments import store
from shanraq.payments.adapter import Increment, Increments, OperationKind
from shanraq.payments.errors import NotIncrementableError, OperationNotSupportedError
from shanraq.payments.model import Payment, PaymentStatus
from shanraq.payments.send import Acquiring, Prepared, carry_out
from shanraq.payments.settle import new_operation

OPERATION = "payments.increment"


async def increment(
    acquiring: Acquiring, actor: Actor, key: str | None, payment_id: str, amount_minor: int
) -> once.Given[Payment]:
    """Raise an authorisation by `amount_minor`; the hold in the ledger grows when the issuer has approved.

    Raises PaymentNotFoundError, IllegalMoveError, NotIncrementableError, OperationNotSupportedError, PaymentBusyError,
    InvalidAmountError, and the errors of core.once. A refusal is in the returned payment's `operation`.
    """
    actor.require("payments:write")
    request = once.Request.of(OPERATION, key, None, payment_id, str(amount_minor))

    async def prepare(tx: Tx) -> Prepared:
        stored = await store.load_payment(tx, payment_id, lock=True)
        payment = stored.payment
        # What can be captured in part holds money, and that is what may be raised.
        payment.status.to(PaymentStatus.PARTIALLY_CAPTURED)
        if not payment.estimated:
            raise NotIncrementableError(field="payment_id")
        amount = Money.positive(amount_minor, payment.currency)
        total = Money.positive(payment.amount_authorized + amount_minor, payment.currency)
        if not isinstance(acquiring.gateways.named(actor.scope[1], stored.adapter), Increments):
            raise OperationNotSupportedError("this payment system offers no increments", field="payment_id")
        operation = new_operation(
            tx,
            stored,
            OperationKind.INCREMENT,
            amount,
            due=tx.now + acquiring.recover_after,
            request=request,
            target_id=stored.gateway_id,
        )
        await store.insert_operation(tx, operation)
        return Prepared(
            operation,
            Increment(
                operation_id=operation.operation.id,
                reference=payment_id,
                authorization_id=stored.gateway_id,
                amount=amount,
                total=total,
            ),
        )

    return await carry_out(acquiring, actor, request, prepare, touches=(payment_id,))
