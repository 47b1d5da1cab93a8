"""Note what became of an attempt: for the success rates of routing, and for the retry limits of the schemes."""

from __future__ import annotations

from typing import assert_never

from shanraq.core.db import Tx
from shanraq.payments import limits, routing_store
from shanraq.payments.adapter import Approved, DeclineClass, Declined, InReview, NotProcessed, Outcome, Unknown
from shanraq.payments.store import StoredOperation, StoredPayment


async def note_attempt(tx: Tx, payment: StoredPayment, operation: StoredOperation, outcome: Outcome) -> None:
    """Count the outcome of an authorisation, in the transaction that settles it. What is open yet counts later."""
    match outcome:
        case Approved():
            _count(tx, payment, operation, "approved")
        case Declined(reason):
            _count(tx, payment, operation, "declined")
            await limits.note_decline(tx, payment, operation, reason)
        case NotProcessed(reason, retryable):
            if retryable or reason.kind is DeclineClass.TECHNICAL:
                _count(tx, payment, operation, "failed")
        case InReview() | Unknown():
            pass
        case _:
            assert_never(outcome)


def _count(tx: Tx, payment: StoredPayment, operation: StoredOperation, what: str) -> None:
    routing_store.count_outcome(tx, operation.environment, operation.adapter, payment.payment.payment_method_id, what)
