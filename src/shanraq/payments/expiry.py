"""How long an authorisation may be captured, and what happens when nobody does.

A lapsed authorisation is reversed at the gateway first; the money in our ledger is free when that is answered. An issuer whose
hold was never reversed would keep the cardholder's money until it notices by itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import structlog

from shanraq import audit, events
from shanraq.core.actor import SYSTEM
from shanraq.core.db import Database, Tx
from shanraq.payments import store
from shanraq.payments.adapter import Initiator, OperationKind
from shanraq.payments.errors import PaymentBusyError
from shanraq.payments.settle import new_operation

log = structlog.get_logger(__name__)

MARGIN: Final = timedelta(hours=24)
"""How much earlier than the scheme says an authorisation ends here: clocks, cut-offs and weekends of others."""
AGAIN_AFTER: Final = timedelta(days=1)
"""When a release that was refused, or had to wait, is tried again."""


@dataclass(frozen=True, slots=True)
class Rule:
    """How many days an authorisation of a scheme may be captured; None in a condition stands for any."""

    scheme: str
    days: int
    estimated: bool | None = None
    merchant_initiated: bool | None = None
    card_present: bool | None = None


RULES: Final = (
    Rule("visa", 5, merchant_initiated=True),
    Rule("visa", 5, card_present=True),
    Rule("visa", 10),
    Rule("mastercard", 30, estimated=True),
    Rule("mastercard", 7),
    Rule("maestro", 30, estimated=True),
    Rule("maestro", 7),
)
"""The first rule that fits counts (Visa Core Rules; Mastercard Authorization Manual, final and pre-authorisation)."""
OTHER_DAYS: Final = 5
"""For schemes without a rule here: the shortest of those known."""


def validity(
    scheme: str, *, estimated: bool = False, initiator: Initiator = Initiator.CUSTOMER, card_present: bool = False
) -> timedelta:
    """Return how long from its approval an authorisation may be captured, the safety margin taken off."""
    merchant_initiated = initiator is Initiator.MERCHANT
    days = next(
        (
            rule.days
            for rule in RULES
            if rule.scheme == scheme
            and rule.estimated in (None, estimated)
            and rule.merchant_initiated in (None, merchant_initiated)
            and rule.card_present in (None, card_present)
        ),
        OTHER_DAYS,
    )
    return timedelta(days=days) - MARGIN


async def expire_authorizations(db: Database, *, limit: int = 100) -> int:
    """Order the reversal of authorisations that have run out; recovery sends it. Returns how many were taken up.

    Safe to run in any number of processes.
    """
    async with db.begin(SYSTEM) as tx:
        due = await store.due_for_release(tx, limit, AGAIN_AFTER)
    for payment_id, actor in due:
        try:
            await db.run(actor, lambda tx, payment_id=payment_id: _order(tx, payment_id))  # type: ignore[misc]
        except PaymentBusyError:
            # Something is under way. When it is known the payment may have moved; if not, it is taken up again.
            log.info("payments.expiry_waits", payment=payment_id)
    return len(due)


async def _order(tx: Tx, payment_id: str) -> None:
    stored = await store.load_payment(tx, payment_id, lock=True)
    payment = stored.payment
    if not payment.status.holds:
        return
    left = payment.capturable or payment.asked
    operation = new_operation(tx, stored, OperationKind.REVERSE, left, target_id=stored.gateway_id, due=tx.now)
    await store.insert_operation(tx, operation)
    audit.record(tx, "payment.expired", payment_id, {"operation": operation.operation.id, "amount": left.minor})
    events.emit(tx, events.Event("payment.expired", f"payment/{payment_id}", payment))
