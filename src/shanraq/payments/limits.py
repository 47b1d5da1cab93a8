"""The retry limits of card schemes: what may not be sent again is refused before it is sent.

A decline is written down in the transaction that settles it, under the keyed hash of the card. Before an attempt the declines
of the card at this partner are counted, with those attempts that may still be declined: from its first decline on, concurrent
attempts of one card are let in one by one. Visa allows 20 further attempts in 30 days and none after a decline of category 1.
Mastercard allows 10 declines of a card at a merchant in 24 hours and 35 of the same amount in 30 days, and none after the
advice codes 03 and 21. What a scheme wants to be left alone for a time is left alone that long.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from shanraq.core.db import Tx
from shanraq.core.errors import RefusedError
from shanraq.core.money import Money
from shanraq.payments import store
from shanraq.payments.adapter import DeclineClass, Reason
from shanraq.payments.declines import is_final, wait_after
from shanraq.payments.model import PaymentMethod
from shanraq.payments.store import StoredOperation, StoredPayment


class RetryLimitReachedError(RefusedError, code="retry_limit_reached", status=422):
    """The card scheme does not allow to try this card again now.

    The `Retry-After` header says after how many seconds it does; without the header it does not at all.
    """

    def __init__(self, detail: str, *, retry_after_seconds: int | None) -> None:
        super().__init__(detail, field="payment_method_id")
        self.retry_after_seconds = retry_after_seconds


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `declines` in `within` for one card at one partner, of all amounts or of the same one."""

    declines: int
    within: timedelta
    same_amount: bool
    text: str


LIMITS: Final[dict[str, tuple[Limit, ...]]] = {
    # The first attempt and 20 further ones.
    "visa": (Limit(21, timedelta(days=30), False, "20 further attempts in 30 days"),),
    "mastercard": (
        Limit(10, timedelta(hours=24), False, "10 declines in 24 hours"),
        Limit(35, timedelta(days=30), True, "35 declines of the same amount in 30 days"),
    ),
}
KEPT: Final = timedelta(days=30)
FINAL_KEPT: Final = timedelta(days=365)
"""How long a scheme's "never again" is remembered; no scheme names an end, and data about cards needs one."""


@dataclass(frozen=True, slots=True)
class CardDecline:
    """One decline of a card."""

    amount: int
    currency: str
    final: bool
    retry_at: datetime | None
    declined_at: datetime


@dataclass(frozen=True, slots=True)
class InFlight:
    """How many attempts of a card have no outcome yet, and how many of them are of the same amount."""

    all_amounts: int = 0
    same_amount: int = 0


def judge(
    scheme: str, amount: Money, declines: Sequence[CardDecline], in_flight: InFlight, now: datetime
) -> RetryLimitReachedError | None:
    """Return why the scheme does not allow another attempt now, None if it does. `declines` are in any order."""
    if any(decline.final and now - decline.declined_at < FINAL_KEPT for decline in declines):
        return RetryLimitReachedError(f"{scheme} does not allow to try this card again", retry_after_seconds=None)
    waits = [decline.retry_at for decline in declines if decline.retry_at is not None and decline.retry_at > now]
    if waits:
        return _not_before(max(waits), now, f"{scheme} asks to leave this card alone for a time")
    reached = [
        (free_at, limit)
        for limit in LIMITS.get(scheme, ())
        if (free_at := _free_at(limit, amount, declines, in_flight, now)) is not None
    ]
    if not reached:
        return None
    free_at, limit = max(reached, key=lambda one: one[0])
    return _not_before(free_at, now, f"{scheme} allows {limit.text} for a card at a merchant")


def _free_at(
    limit: Limit, amount: Money, declines: Sequence[CardDecline], in_flight: InFlight, now: datetime
) -> datetime | None:
    """Return when a limit that is reached has room again; None where it has."""
    counted = sorted(
        decline.declined_at
        for decline in declines
        if now - decline.declined_at < limit.within
        and (not limit.same_amount or (decline.amount, decline.currency) == (amount.minor, amount.currency.code))
    )
    open_ = in_flight.same_amount if limit.same_amount else in_flight.all_amounts
    too_many = len(counted) + open_ - limit.declines
    if too_many < 0:
        return None
    # As many of the oldest must leave the window, and one more; those without an outcome are gone by then.
    return counted[min(too_many, len(counted) - 1)] + limit.within if counted else now


def _not_before(when: datetime, now: datetime, text: str) -> RetryLimitReachedError:
    seconds = max(1, math.ceil((when - now).total_seconds()))
    return RetryLimitReachedError(f"{text}: not before {when:%Y-%m-%dT%H:%M:%SZ}", retry_after_seconds=seconds)


async def check(tx: Tx, method: PaymentMethod, amount: Money) -> None:
    """Refuse an attempt that the card's scheme does not allow. Raises RetryLimitReachedError.

    From the first decline of a card on, its attempts are counted one after the other, until each is written down.
    """
    if not await _declines(tx, method):
        return
    await _alone(tx, method)
    # First what is in flight: one that is declined between the two looks is counted twice then, and not left out.
    in_flight = await _in_flight(tx, method, amount)
    refusal = judge(method.brand, amount, await _declines(tx, method), in_flight, tx.now)
    if refusal is not None:
        raise refusal


async def note_decline(tx: Tx, payment: StoredPayment, operation: StoredOperation, reason: Reason) -> None:
    """Write a decline of a card down, if a scheme counts it."""
    if not counts(reason):
        return
    method, _ = await store.load_method(tx, payment.payment.payment_method_id)
    wait = wait_after(reason, method.brand)
    partner_id, environment = tx.actor.scope
    tx.write(
        """INSERT INTO card_decline (operation_id, partner_id, environment, fingerprint, scheme, amount, currency, final,
                                     retry_at, declined_at)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)""",
        operation.operation.id,
        partner_id,
        environment,
        bytes.fromhex(method.fingerprint),
        method.brand,
        operation.operation.amount,
        operation.operation.currency,
        is_final(reason, method.brand),
        tx.now + wait if wait is not None else None,
        tx.now,
    )


def counts(reason: Reason) -> bool:
    """Tell whether a decline is one of the issuer or the scheme: what a gateway refuses by itself reaches neither."""
    if reason.issuer_code or reason.advice_code:
        return True
    return reason.kind not in (DeclineClass.CONFIGURATION, DeclineClass.FRAUD)


async def forget(tx: Tx, limit: int = 10_000) -> int:
    """Delete declines that no limit counts any more; returns how many."""
    return await tx.execute(
        """DELETE FROM card_decline WHERE ctid = ANY(ARRAY(
               SELECT ctid FROM card_decline WHERE declined_at < $1 AND (NOT final OR declined_at < $2) LIMIT $3))""",
        tx.now - KEPT, tx.now - FINAL_KEPT, limit,
    )  # fmt: skip


async def _declines(tx: Tx, method: PaymentMethod) -> list[CardDecline]:
    partner_id, environment = tx.actor.scope
    rows = await tx.rows(
        """SELECT amount, currency, final, retry_at, declined_at FROM card_decline
            WHERE partner_id = $1 AND environment = $2 AND fingerprint = $3""",
        partner_id, environment, bytes.fromhex(method.fingerprint),
    )  # fmt: skip
    return [
        CardDecline(row["amount"], row["currency"], row["final"], row["retry_at"], row["declined_at"]) for row in rows
    ]


async def _alone(tx: Tx, method: PaymentMethod) -> None:
    tx.alone()
    # The fingerprint is of one partner and environment already. Taken before any lock on money, so that nobody waits crosswise.
    await tx.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", f"card {method.fingerprint}")


async def _in_flight(tx: Tx, method: PaymentMethod, amount: Money) -> InFlight:
    partner_id, environment = tx.actor.scope
    row = await tx.row(
        """SELECT count(*) AS all_amounts, count(*) FILTER (WHERE o.amount = $4 AND o.currency = $5) AS same_amount
             FROM payment_operation o
             JOIN payment p ON p.id = o.payment_id
             JOIN payment_method m ON m.id = p.payment_method_id
            WHERE o.status IN ('sending', 'unknown') AND o.kind = 'authorize' AND o.partner_id = $1 AND o.environment = $2
              AND m.fingerprint = $3""",
        partner_id, environment, bytes.fromhex(method.fingerprint), amount.minor, amount.currency.code,
    )  # fmt: skip
    assert row is not None
    return InFlight(row["all_amounts"], row["same_amount"])
