"""Capture an authorised payment, all of it or in parts."""

from __future__ import annotations

from shanraq.core import once
from shanraq.core.actor import Actor
from shanraq.core.db import Tx
from shanraq.core.money import Money
from shanraq.payments import store
from shanraq.payments.adapter import Capture, OperationKind
from shanraq.payments.errors import AmountNotCapturableError
from shanraq.payments.model import Payment, PaymentStatus
from shanraq.payments.send import Acquiring, Prepared, carry_out
from shanraq.payments.settle import new_operation

OPERATION = "payments.capture"


async def capture(
    acquiring: Acquiring,
    actor: Actor,
    key: str | None,
    payment_id: str,
    amount_minor: int | None = None,
    *,
    final: bool = True,
) -> once.Given[Payment]:
    """Take all that is left of an authorisation, or `amount_minor` of it; `final` frees the rest, otherwise it stays held.

    Raises PaymentNotFoundError, IllegalMoveError, AmountNotCapturableError, PaymentBusyError, InvalidAmountError, and the
    errors of core.once. A refusal by the gateway is in the returned payment's `operation`.
    """
    actor.require("payments:write")
    request = once.Request.of(OPERATION, key, None, payment_id, str(amount_minor), str(final))

    async def prepare(tx: Tx) -> Prepared:
        stored = await store.load_payment(tx, payment_id, lock=True)
        payment = stored.payment
        payment.status.to(PaymentStatus.PARTIALLY_CAPTURED)
        left = payment.capturable
        amount = left if amount_minor is None else Money.positive(amount_minor, payment.currency)
        if amount > left:
            raise AmountNotCapturableError(f"{left} is left", field="amount")
        complete = final or amount == left
        operation = new_operation(
            tx,
            stored,
            OperationKind.CAPTURE,
            amount,
            due=tx.now + acquiring.recover_after,
            request=request,
            target_id=stored.gateway_id,
            final=complete,
        )
        await store.insert_operation(tx, operation)
        return Prepared(
            operation,
            Capture(
                operation_id=operation.operation.id,
                reference=payment_id,
                authorization_id=stored.gateway_id,
                amount=amount,
                final=complete,
                sequence=await store.succeeded_captures(tx, payment_id) + 1,
            ),
        )

    return await carry_out(acquiring, actor, request, prepare, touches=(payment_id,))
