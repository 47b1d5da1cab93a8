"""Customers in the database: details are sealed before they come here and opened after they leave."""

from __future__ import annotations

from typing import Any, Final

import asyncpg
import msgspec

from shanraq.core.crypto import Keyring
from shanraq.core.db import Row, Tx
from shanraq.core.ids import number_of
from shanraq.core.reseal import Sealed
from shanraq.kyc.errors import CustomerNotFoundError, CustomerReferenceTakenError, CustomerVersionError
from shanraq.kyc.model import PREFIX, Customer, CustomerKind, CustomerStatus, Details, KycStatus

_decoder = msgspec.json.Decoder(type=Details)


def _context(customer_id: str) -> str:
    return f"customer {customer_id} details"


SEALED: Final = (Sealed("customer", ("id",), "sealed", _context),)


def _seal(keyring: Keyring, customer_id: str, details: Details | None) -> bytes | None:
    if details is None:
        return None
    return keyring.seal(msgspec.json.encode(details), context=_context(customer_id))


def customer_of(row: Row, keyring: Keyring) -> Customer:
    """Read a row of the customer table and open its details. Raises SealBrokenError."""
    sealed = row["sealed"]
    details = None if sealed is None else _decoder.decode(keyring.open(sealed, context=_context(row["id"])))
    return Customer(
        id=row["id"], kind=CustomerKind(row["kind"]), reference=row["reference"], details=details,
        status=CustomerStatus(row["status"]), kyc_status=KycStatus(row["kyc_status"]), metadata=row["metadata"],
        version=row["version"], created_at=row["created_at"], updated_at=row["updated_at"],
    )  # fmt: skip


async def insert(tx: Tx, keyring: Keyring, customer: Customer) -> None:
    """Write a new customer. Raises CustomerReferenceTakenError."""
    partner_id, environment = tx.actor.scope
    try:
        await tx.execute(
            """INSERT INTO customer (id, partner_id, environment, kind, reference, sealed, status, kyc_status, metadata,
                                     version, created_at, updated_at)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $11)""",
            customer.id, partner_id, environment, customer.kind, customer.reference,
            _seal(keyring, customer.id, customer.details), customer.status, customer.kyc_status, customer.metadata,
            customer.version, customer.created_at,
        )  # fmt: skip
    except asyncpg.UniqueViolationError:
        raise CustomerReferenceTakenError(field="reference") from None


async def status_of(tx: Tx, customer_id: str, *, field: str) -> CustomerStatus:
    """Return the status of a customer of the partner; raise CustomerNotFoundError naming `field`."""
    number_of(PREFIX, customer_id, field=field)
    partner_id, environment = tx.actor.scope
    status = await tx.value(
        "SELECT status FROM customer WHERE id = $1 AND partner_id = $2 AND environment = $3 FOR SHARE",
        customer_id, partner_id, environment,
    )  # fmt: skip
    if status is None:
        raise CustomerNotFoundError(field=field)
    return CustomerStatus(status)


async def load(tx: Tx, keyring: Keyring, customer_id: str, *, lock: bool = False) -> Customer:
    """Return one customer of the partner, locked for a change if asked; raise CustomerNotFoundError."""
    number_of(PREFIX, customer_id, field="customer_id")
    partner_id, environment = tx.actor.scope
    row = await tx.row(
        "SELECT * FROM customer WHERE id = $1 AND partner_id = $2 AND environment = $3 FOR UPDATE"
        if lock
        else "SELECT * FROM customer WHERE id = $1 AND partner_id = $2 AND environment = $3",
        customer_id, partner_id, environment,
    )  # fmt: skip
    if row is None:
        raise CustomerNotFoundError(field="customer_id")
    return customer_of(row, keyring)


async def page(
    tx: Tx, keyring: Keyring, *, status: CustomerStatus | None, reference: str | None, after: str, limit: int
) -> list[Customer]:
    """Return customers newest first, after an id; one more than `limit` to tell whether more follow."""
    partner_id, environment = tx.actor.scope
    rows = await tx.rows(
        """SELECT * FROM customer
            WHERE partner_id = $1 AND environment = $2 AND ($3::text IS NULL OR status = $3)
              AND ($4::text IS NULL OR reference = $4) AND ($5 = '' OR id < $5)
            ORDER BY id DESC LIMIT $6 + 1""",
        partner_id, environment, status, reference, after, limit,
    )  # fmt: skip
    return [customer_of(row, keyring) for row in rows]


async def save(tx: Tx, keyring: Keyring, before: Customer, **changes: Any) -> Customer:
    """Write changed columns if the customer is still as `before`.

    Raises CustomerVersionError, CustomerReferenceTakenError.
    """
    after = msgspec.structs.replace(before, **changes, version=before.version + 1, updated_at=tx.now)
    try:
        written = await tx.execute(
            """UPDATE customer SET reference = $3, sealed = $4, status = $5, metadata = $6, version = $7, updated_at = $8
                WHERE id = $1 AND version = $2""",
            before.id, before.version, after.reference, _seal(keyring, before.id, after.details), after.status,
            after.metadata, after.version, tx.now,
        )  # fmt: skip
    except asyncpg.UniqueViolationError:
        raise CustomerReferenceTakenError(field="reference") from None
    if not written:
        raise CustomerVersionError(field="version")
    return after
