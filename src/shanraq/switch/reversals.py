"""Carry out reversals that terminals were told are accepted: as soon as it is known what became of what they reverse."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Final

import structlog

from shanraq import partners, payments, terminals
from shanraq.core.actor import SYSTEM, Actor
from shanraq.core.errors import ShanraqError
from shanraq.payments import Payment, PaymentStatus
from shanraq.switch.codes import Said, said
from shanraq.terminals import Noted

log = structlog.get_logger(__name__)

SCOPES: Final = frozenset(("payments:read", "payments:write"))
_AGAIN: Final = timedelta(seconds=2)
_AGAIN_LIMIT: Final = timedelta(minutes=5)


async def carry_out_reversals(acquiring: payments.Acquiring) -> int:
    """Take back what acknowledged reversals name, as soon as its outcome is known; returns how many were looked at."""
    due = await terminals.accepted(acquiring.db)
    for noted, partner_id, environment in due:
        try:
            async with acquiring.db.begin(SYSTEM) as tx:
                actor = await partners.actor_of(tx, partner_id, environment, acting_id=noted.terminal_id, scopes=SCOPES)
            await _reverse(acquiring, actor, noted)
        except ShanraqError as error:
            log.warning("switch.reversal_waits", terminal=noted.terminal_id, payment=noted.payment_id, code=error.code)
            await terminals.give_back_later(acquiring.db, SYSTEM, noted, _again(noted.attempts))
        except Exception:
            # Taken up again when its lease is over; the others go on.
            log.exception("switch.reversal_failed", terminal=noted.terminal_id, payment=noted.payment_id)
    return len(due)


async def _reverse(acquiring: payments.Acquiring, actor: Actor, noted: Noted) -> None:
    original = await terminals.original_of(acquiring.db, actor, noted)
    assert original is not None, "only reversals of what came are accepted"
    payment_id = original.payment_id
    if payment_id is None:
        # What asked for the payment may be under way somewhere, or have died on the way: it must not pay any more.
        payment_id = await payments.forestall(acquiring.db, actor, f"{original.terminal_id}.{original.key}")
    if payment_id is None:
        edition = "1987" if original.key.startswith("0") else "1993"
        await terminals.answer(acquiring.db, actor, original, said(Said.OVERTAKEN, edition))
        await terminals.carried_out(acquiring.db, actor, noted, "nothing was done")
        return
    payment = await payments.find_payment(acquiring.db, actor, payment_id)
    await _take_back(acquiring, actor, replace(noted, payment_id=payment.id), payment)


async def _take_back(acquiring: payments.Acquiring, actor: Actor, noted: Noted, payment: Payment) -> None:
    key = f"{noted.terminal_id}.{noted.key}"
    match payment.status:
        case PaymentStatus.FAILED | PaymentStatus.VOIDED | PaymentStatus.REFUNDED:
            await terminals.carried_out(acquiring.db, actor, noted, payment.status.value)
            return
        case PaymentStatus.AUTHORIZING:
            await terminals.give_back_later(acquiring.db, actor, noted, _again(noted.attempts))
            return
        case PaymentStatus.PARTIALLY_REFUNDED:
            after = (await payments.refund(acquiring, actor, f"{key}.{noted.attempts}.refund", payment.id)).value
        case _:
            after = (await payments.void(acquiring, actor, f"{key}.{noted.attempts}", payment.id)).value
            operation = after.operation
            if operation is not None and operation.failure is not None and after.amount_captured:
                # It has left for clearing: what cannot be cancelled is paid back.
                after = (await payments.refund(acquiring, actor, f"{key}.{noted.attempts}.refund", payment.id)).value
    if after.status in (PaymentStatus.VOIDED, PaymentStatus.REFUNDED):
        await terminals.carried_out(acquiring.db, actor, noted, after.status.value)
    else:
        await terminals.give_back_later(acquiring.db, actor, noted, _again(noted.attempts))


def _again(attempts: int) -> timedelta:
    return min(_AGAIN * (1 << min(attempts, 10)), _AGAIN_LIMIT)
