"""The SQL of authentications of cardholders."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import msgspec

from shanraq.core.db import Row, Tx
from shanraq.core.ids import number_of
from shanraq.core.lifecycle import Lifecycle
from shanraq.payments.errors import AuthenticationNotFoundError
from shanraq.payments.model import Failure

PREFIX = "au"


@dataclass(frozen=True, slots=True)
class New:
    """A new authentication."""

    id: str
    adapter: str
    payment_id: str
    payment_method_id: str
    fingerprint: bytes
    amount: int
    currency: str
    status: Lifecycle
    form: msgspec.Struct | None
    session_sealed: bytes | None
    result: msgspec.Struct
    failure: Failure | None


@dataclass(frozen=True, slots=True)
class Change:
    """What an authentication becomes; what is left out is gone."""

    status: Lifecycle
    transaction_id: str
    return_url: str
    form: object = None
    session_sealed: bytes | None = None
    value_sealed: bytes | None = None
    result: msgspec.Struct | None = None
    failure: Failure | None = None


async def insert(tx: Tx, new: New) -> None:
    """Write a new authentication."""
    partner_id, environment = tx.actor.scope
    await tx.execute(
        """INSERT INTO payment_authentication (id, partner_id, environment, adapter, payment_id, payment_method_id, fingerprint,
                                               amount, currency, status, form, session_sealed, result, failure, created_at,
                                               updated_at)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $15)""",
        new.id, partner_id, environment, new.adapter, new.payment_id, new.payment_method_id, new.fingerprint, new.amount,
        new.currency, new.status, new.form, new.session_sealed, new.result, new.failure, tx.now,
    )  # fmt: skip


async def load(tx: Tx, authentication_id: str, *, lock: bool = False) -> Row:
    """Return an authentication of the partner, locked for a change if asked; raise AuthenticationNotFoundError."""
    number_of(PREFIX, authentication_id, field="authentication_id")
    partner_id, environment = tx.actor.scope
    row = await tx.row(
        "SELECT * FROM payment_authentication WHERE id = $1 AND partner_id = $2 AND environment = $3 FOR UPDATE"
        if lock
        else "SELECT * FROM payment_authentication WHERE id = $1 AND partner_id = $2 AND environment = $3",
        authentication_id, partner_id, environment,
    )  # fmt: skip
    if row is None:
        raise AuthenticationNotFoundError(field="authentication_id")
    return row


async def move(tx: Tx, before: Row, change: Change) -> None:
    """Write what a locked authentication has become."""
    await tx.execute(
        """UPDATE payment_authentication
              SET status = $2, form = $3, session_sealed = $4, return_url = $5, transaction_id = $6, result = $7,
                  value_sealed = $8, failure = $9, version = version + 1, updated_at = $10
            WHERE id = $1""",
        before["id"], change.status, change.form, change.session_sealed, change.return_url, change.transaction_id,
        change.result, change.value_sealed, change.failure, tx.now,
    )  # fmt: skip


async def mark_used(tx: Tx, before: Row, status: Lifecycle) -> None:
    """Write that a locked authentication was used, and destroy its value."""
    await tx.execute(
        """UPDATE payment_authentication SET status = $2, value_sealed = NULL, version = version + 1, updated_at = $3
            WHERE id = $1""",
        before["id"], status, tx.now,
    )  # fmt: skip


async def destroy_values(tx: Tx, before: datetime, limit: int = 10_000) -> int:
    """Destroy what is sealed in authentications that were last touched before an instant; returns how many."""
    return await tx.execute(
        """UPDATE payment_authentication SET value_sealed = NULL, session_sealed = NULL, form = NULL
            WHERE id IN (SELECT id FROM payment_authentication
                          WHERE updated_at < $1 AND (value_sealed IS NOT NULL OR session_sealed IS NOT NULL) LIMIT $2)""",
        before, limit,
    )  # fmt: skip
