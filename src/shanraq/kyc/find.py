"""Find customers."""

from __future__ import annotations

from shanraq.core.actor import Actor
from shanraq.core.crypto import Keyring
from shanraq.core.db import Database, Tx
from shanraq.core.page import Page, PageRequest, page_of
from shanraq.kyc import store
from shanraq.kyc.errors import CustomerErasedError
from shanraq.kyc.model import READ, Customer, CustomerStatus


async def find_customer(db: Database, keyring: Keyring, actor: Actor, customer_id: str) -> Customer:
    """Return one customer. Raises CustomerNotFoundError."""
    actor.require(READ)
    async with db.begin(actor) as tx:
        return await store.load(tx, keyring, customer_id)


async def list_customers(
    db: Database,
    keyring: Keyring,
    actor: Actor,
    request: PageRequest,
    *,
    status: CustomerStatus | None = None,
    reference: str | None = None,
) -> Page[Customer]:
    """Return customers newest first, of one status or with one reference if asked."""
    actor.require(READ)
    async with db.begin(actor) as tx:
        rows = await store.page(
            tx, keyring, status=status, reference=reference, after=request.after, limit=request.limit
        )
    return page_of(rows, request, lambda customer: customer.id)


async def require_customer(tx: Tx, customer_id: str, *, field: str = "customer_id") -> None:
    """Make sure that something new may be done in a customer's name, until the transaction ends.

    Raises CustomerNotFoundError and CustomerErasedError naming `field`.
    """
    if await store.status_of(tx, customer_id, field=field) is CustomerStatus.ERASED:
        raise CustomerErasedError(field=field)
