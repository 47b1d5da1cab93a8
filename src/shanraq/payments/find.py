"""Find payments and their operations."""

from __future__ import annotations

import msgspec

from shanraq.core.actor import Actor
from shanraq.core.db import Database
from shanraq.core.page import Page, PageRequest, page_of
from shanraq.payments import store
from shanraq.payments.model import Operation, Payment, PaymentStatus


async def find_payment(db: Database, actor: Actor, payment_id: str) -> Payment:
    """Return one payment with its latest operation. Raises PaymentNotFoundError."""
    actor.require("payments:read")
    async with db.begin(actor) as tx:
        payment = (await store.load_payment(tx, payment_id)).payment
        latest = await store.latest_operations(tx, [payment_id])
    return msgspec.structs.replace(payment, operation=latest.get(payment_id))


async def list_payments(
    db: Database,
    actor: Actor,
    request: PageRequest,
    *,
    account_id: str | None = None,
    status: PaymentStatus | None = None,
) -> Page[Payment]:
    """Return payments with their latest operations, newest first."""
    actor.require("payments:read")
    async with db.begin(actor) as tx:
        rows = await store.payment_page(
            tx, account_id=account_id, status=status, after=request.after, limit=request.limit
        )
        latest = await store.latest_operations(tx, [payment.id for payment in rows])
    seen = [msgspec.structs.replace(payment, operation=latest.get(payment.id)) for payment in rows]
    return page_of(seen, request, lambda payment: payment.id)


async def list_operations(db: Database, actor: Actor, payment_id: str) -> list[Operation]:
    """Return the operations of a payment, oldest first. Raises PaymentNotFoundError."""
    actor.require("payments:read")
    async with db.begin(actor) as tx:
        await store.load_payment(tx, payment_id)
        return [stored.operation for stored in await store.operations(tx, payment_id)]
