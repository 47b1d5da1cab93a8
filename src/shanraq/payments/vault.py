"""The card vault: numbers are sealed here, opened for one request to a gateway, and found by a keyed hash."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from shanraq import audit, kyc
from shanraq.core import once
from shanraq.core.actor import Actor
from shanraq.core.crypto import Keyring
from shanraq.core.db import Database, Tx
from shanraq.core.ids import new_id
from shanraq.core.page import Page, PageRequest, page_of
from shanraq.core.reseal import Sealed
from shanraq.core.secret import Pan, SecurityCode
from shanraq.payments import store
from shanraq.payments.adapter import Card
from shanraq.payments.brands import brand_of
from shanraq.payments.errors import CardExpiredError, InvalidExpiryError, PaymentMethodNotFoundError
from shanraq.payments.model import METHOD_PREFIX, MethodStatus, NewCard, PaymentMethod
from shanraq.payments.texts import KEY_FIELD, refuse_card_numbers


async def tokenize(
    db: Database, keyring: Keyring, actor: Actor, pan: Pan, new: NewCard, key: str | None = None
) -> once.Given[PaymentMethod]:
    """Store a card and return the token that stands for it; outside the vault there are only tokens.

    With `key` (an idempotency key) a repeated request gives the same token. The request is remembered by a keyed hash of the
    number, never a plain one (PCI DSS 4.0, 3.5.1.1). Raises InvalidExpiryError, CardExpiredError, CustomerNotFoundError, and
    the errors of core.once.
    """
    actor.require("payment_methods:write")
    refuse_card_numbers(metadata=new.metadata, **{KEY_FIELD: key or ""})
    if not (1 <= new.expiry_month <= 12 and 2000 <= new.expiry_year <= 2099):
        raise InvalidExpiryError(field="expiry_month" if 2000 <= new.expiry_year <= 2099 else "expiry_year")
    partner_id, environment = actor.scope
    digits = pan.reveal().encode()
    fingerprint = keyring.fingerprint(digits, purpose=f"card {partner_id} {environment}")

    async def work(tx: Tx) -> PaymentMethod:
        check_not_expired(new.expiry_month, new.expiry_year, tx.now)
        if new.customer_id is not None:
            await kyc.require_customer(tx, new.customer_id)
        method = PaymentMethod(
            id=new_id(METHOD_PREFIX),
            customer_id=new.customer_id,
            brand=brand_of(pan),
            masked=pan.masked,
            expiry_month=new.expiry_month,
            expiry_year=new.expiry_year,
            fingerprint=fingerprint.hex(),
            status=MethodStatus.ACTIVE,
            metadata=new.metadata,
            created_at=tx.now,
            updated_at=tx.now,
        )
        await store.insert_method(tx, method, keyring.seal(digits, context=_context(method.id)))
        audit.record(tx, "payment_method.tokenized", method.id, {"brand": method.brand})
        return method

    if key is None:
        return once.Given(await db.run(actor, work))
    request = once.Request.of("payment_methods.tokenize", key, new, fingerprint.hex())
    return await once.perform(db, actor, request, PaymentMethod, work)


async def open_card(
    tx: Tx, keyring: Keyring, method_id: str, security_code: SecurityCode | None
) -> tuple[PaymentMethod, Card]:
    """Return a payment method and its card, opened for one request to a gateway; the opening is audited.

    Raises PaymentMethodNotFoundError, CardExpiredError.
    """
    method, sealed = await store.load_method(tx, method_id)
    if sealed is None:
        raise PaymentMethodNotFoundError(field="payment_method_id")
    check_not_expired(method.expiry_month, method.expiry_year, tx.now)
    pan = Pan(keyring.open(sealed, context=_context(method.id)).decode())
    audit.record(tx, "payment_method.opened", method.id)
    return method, Card(pan, method.expiry_month, method.expiry_year, security_code)


async def find_payment_method(db: Database, actor: Actor, method_id: str) -> PaymentMethod:
    """Return a payment method. Raises PaymentMethodNotFoundError."""
    actor.require("payment_methods:read")
    async with db.begin(actor) as tx:
        return (await store.load_method(tx, method_id))[0]


async def list_payment_methods(
    db: Database, actor: Actor, request: PageRequest, *, customer_id: str | None = None
) -> Page[PaymentMethod]:
    """Return payment methods, newest first."""
    actor.require("payment_methods:read")
    async with db.begin(actor) as tx:
        rows = await store.method_page(tx, customer_id=customer_id, after=request.after, limit=request.limit)
    return page_of(rows, request, lambda method: method.id)


async def delete_payment_method(db: Database, actor: Actor, method_id: str) -> PaymentMethod:
    """Destroy the stored number; the masked one stays for history. Raises PaymentMethodNotFoundError."""
    actor.require("payment_methods:write")
    async with db.begin(actor) as tx:
        await store.load_method(tx, method_id)
        if await store.delete_method(tx, method_id):
            audit.record(tx, "payment_method.deleted", method_id)
        return (await store.load_method(tx, method_id))[0]


def check_not_expired(month: int, year: int, now: datetime) -> None:
    """Raise CardExpiredError when the expiry month has passed."""
    if (year, month) < (now.year, now.month):
        raise CardExpiredError(field="expiry_month")


def _context(method_id: str) -> str:
    return f"payment_method/{method_id}"


SEALED: Final = (Sealed("payment_method", ("id",), "pan_sealed", _context),)
