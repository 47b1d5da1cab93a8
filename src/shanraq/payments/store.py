"""The SQL of payments, their operations and payment methods."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, TypeVar

import asyncpg
import msgspec

from shanraq.core.actor import SYSTEM, Actor, Environment
from shanraq.core.db import Row, Tx
from shanraq.core.ids import number_of
from shanraq.core.money import Currency, Money
from shanraq.payments.adapter import Lost, OperationKind
from shanraq.payments.errors import PaymentBusyError, PaymentMethodNotFoundError, PaymentNotFoundError
from shanraq.payments.model import (
    METHOD_PREFIX,
    PREFIX,
    CardChecks,
    CredentialUse,
    Failure,
    MethodStatus,
    Operation,
    OperationStatus,
    Payment,
    PaymentKind,
    PaymentMethod,
    PaymentStatus,
    RiskAssessment,
)
from shanraq.payments.routing import Routing

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class StoredPayment:
    """A payment with what only we need: its adapter, the gateway's id of the authorisation, the transaction of the hold.

    `validity_seconds` is how long an approval may be captured, `release_at` when an authorisation is looked at for release.
    """

    payment: Payment
    adapter: str
    gateway_id: str
    hold_transaction: str | None
    validity_seconds: int = 0
    release_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class StoredOperation:
    """An operation with what only we need: whose it is, what it acts on, which keyed request asked for it."""

    operation: Operation
    payment_id: str
    partner_id: str
    environment: Environment
    book: int
    adapter: str
    sale: bool
    final: bool
    target_id: str | None
    amount_refunded: int
    once_operation: str | None
    once_key: str | None
    request_id: str
    checks: int
    next_check_at: datetime | None
    taking_back: bool = False

    @property
    def amount(self) -> Money:
        """Return the operation's amount."""
        return Money(self.operation.amount, Currency.historic(self.operation.currency))

    @property
    def lost(self) -> Lost:
        """Return what an adapter needs to find this operation again."""
        return Lost(
            operation_id=self.operation.id,
            reference=self.payment_id,
            kind=self.operation.kind,
            amount=self.amount,
            sent_at=self.operation.sent_at,
            sale=self.sale,
        )


def method_of(row: Row) -> PaymentMethod:
    """Read a row of payment_method."""
    return PaymentMethod(
        id=row["id"], customer_id=row["customer_id"], brand=row["brand"], masked=row["masked"],
        expiry_month=row["expiry_month"], expiry_year=row["expiry_year"], fingerprint=row["fingerprint"].hex(),
        status=MethodStatus(row["status"]), metadata=row["metadata"], created_at=row["created_at"],
        updated_at=row["updated_at"],
    )  # fmt: skip


def operation_of(row: Row) -> StoredOperation:
    """Read a row of payment_operation."""
    return StoredOperation(
        operation=Operation(
            id=row["id"], kind=OperationKind(row["kind"]), amount=row["amount"], currency=row["currency"],
            status=OperationStatus(row["status"]), failure=_failure_of(row["failure"]), gateway_id=row["gateway_id"],
            transaction_id=row["transaction_id"], sent_at=row["sent_at"], settled_at=row["settled_at"],
            approval_code=row["approval_code"], adapter=row["adapter"],
        ),
        payment_id=row["payment_id"], partner_id=row["partner_id"], environment=Environment(row["environment"]),
        book=row["book"], adapter=row["adapter"], sale=row["sale"], final=row["final"], target_id=row["target_id"],
        amount_refunded=row["amount_refunded"], once_operation=row["once_operation"], once_key=row["once_key"],
        request_id=row["request_id"], checks=row["checks"], next_check_at=row["next_check_at"],
        taking_back=row["taking_back"],
    )  # fmt: skip


def payment_of(row: Row) -> StoredPayment:
    """Read a row of payment."""
    return StoredPayment(
        Payment(
            id=row["id"], payment_method_id=row["payment_method_id"], account_id=row["account_id"], amount=row["amount"],
            currency=row["currency"], status=PaymentStatus(row["status"]), amount_authorized=row["amount_authorized"],
            amount_captured=row["amount_captured"], amount_refunded=row["amount_refunded"],
            failure=_failure_of(row["failure"]), reference=row["reference"], description=row["description"],
            metadata=row["metadata"], operation=None, version=row["version"], created_at=row["created_at"],
            updated_at=row["updated_at"], routing=_routing_of(row["routing"]),
            kind=PaymentKind(row["kind"]), amount_incremented=row["amount_incremented"], estimated=row["estimated"],
            stored_credential=_read(row["stored_credential"], CredentialUse), authentication_id=row["authentication_id"],
            liability_shift=row["liability_shift"], network_transaction_id=row["network_transaction_id"],
            approval_code=row["approval_code"], checks=_read(row["checks"], CardChecks),
            risk=_read(row["risk"], RiskAssessment), expires_at=row["expires_at"],
        ),
        row["adapter"], row["gateway_id"], row["hold_transaction"], row["validity_seconds"], row["release_at"],
    )  # fmt: skip


def _failure_of(stored: dict[str, Any] | None) -> Failure | None:
    return _read(stored, Failure)


def _read(stored: dict[str, Any] | None, kind: type[T]) -> T | None:
    return msgspec.convert(stored, kind) if stored is not None else None


def _routing_of(stored: dict[str, Any] | None) -> Routing | None:
    return msgspec.convert(stored, Routing) if stored is not None else None


async def insert_method(tx: Tx, method: PaymentMethod, pan_sealed: bytes) -> None:
    """Write a new payment method with its sealed number."""
    partner_id, environment = tx.actor.scope
    await tx.execute(
        """INSERT INTO payment_method (id, partner_id, environment, customer_id, brand, masked, expiry_month, expiry_year,
                                       fingerprint, pan_sealed, status, metadata, created_at, updated_at)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $13)""",
        method.id, partner_id, environment, method.customer_id, method.brand, method.masked, method.expiry_month,
        method.expiry_year, bytes.fromhex(method.fingerprint), pan_sealed, method.status, method.metadata, tx.now,
    )  # fmt: skip


async def load_method(tx: Tx, method_id: str) -> tuple[PaymentMethod, bytes | None]:
    """Return a payment method of the partner and its sealed number; raise PaymentMethodNotFoundError."""
    number_of(METHOD_PREFIX, method_id, field="payment_method_id")
    partner_id, environment = tx.actor.scope
    row = await tx.row(
        "SELECT * FROM payment_method WHERE id = $1 AND partner_id = $2 AND environment = $3",
        method_id, partner_id, environment,
    )  # fmt: skip
    if row is None:
        raise PaymentMethodNotFoundError(field="payment_method_id")
    return method_of(row), row["pan_sealed"]


async def delete_method(tx: Tx, method_id: str) -> bool:
    """Destroy the number of a payment method; False if there was nothing to destroy."""
    partner_id, environment = tx.actor.scope
    written = await tx.execute(
        """UPDATE payment_method SET status = 'deleted', pan_sealed = NULL, updated_at = $4
            WHERE id = $1 AND partner_id = $2 AND environment = $3 AND status = 'active'""",
        method_id, partner_id, environment, tx.now,
    )  # fmt: skip
    return written == 1


async def method_page(tx: Tx, *, customer_id: str | None, after: str, limit: int) -> list[PaymentMethod]:
    """Return payment methods newest first, after an id; one more than `limit` to tell whether more follow."""
    partner_id, environment = tx.actor.scope
    rows = await tx.rows(
        """SELECT * FROM payment_method
            WHERE partner_id = $1 AND environment = $2 AND ($3::text IS NULL OR customer_id = $3) AND ($4 = '' OR id < $4)
            ORDER BY id DESC LIMIT $5 + 1""",
        partner_id, environment, customer_id, after, limit,
    )  # fmt: skip
    return [method_of(row) for row in rows]


async def insert_payment(tx: Tx, stored: StoredPayment) -> None:
    """Write a new payment."""
    partner_id, environment = tx.actor.scope
    payment = stored.payment
    await tx.execute(
        """INSERT INTO payment (id, partner_id, environment, adapter, payment_method_id, account_id, amount, currency, status,
                                hold_transaction, reference, description, metadata, routing, created_at, updated_at, kind,
                                estimated, stored_credential, authentication_id, liability_shift, validity_seconds)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $15, $16, $17, $18, $19, $20, $21)""",
        payment.id, partner_id, environment, stored.adapter, payment.payment_method_id, payment.account_id, payment.amount,
        payment.currency, payment.status, stored.hold_transaction, payment.reference, payment.description,
        payment.metadata, payment.routing, tx.now, payment.kind, payment.estimated, payment.stored_credential,
        payment.authentication_id, payment.liability_shift, stored.validity_seconds,
    )  # fmt: skip


async def load_payment(tx: Tx, payment_id: str, *, lock: bool = False) -> StoredPayment:
    """Return a payment of the partner, locked for a change if asked; raise PaymentNotFoundError."""
    number_of(PREFIX, payment_id, field="payment_id")
    partner_id, environment = tx.actor.scope
    row = await tx.row(
        "SELECT * FROM payment WHERE id = $1 AND partner_id = $2 AND environment = $3 FOR UPDATE"
        if lock
        else "SELECT * FROM payment WHERE id = $1 AND partner_id = $2 AND environment = $3",
        payment_id, partner_id, environment,
    )  # fmt: skip
    if row is None:
        raise PaymentNotFoundError(field="payment_id")
    return payment_of(row)


async def payment_page(tx: Tx, *, account_id: str | None, status: str | None, after: str, limit: int) -> list[Payment]:
    """Return payments newest first, after an id; one more than `limit` to tell whether more follow."""
    partner_id, environment = tx.actor.scope
    rows = await tx.rows(
        """SELECT * FROM payment
            WHERE partner_id = $1 AND environment = $2 AND ($3::text IS NULL OR account_id = $3)
              AND ($4::text IS NULL OR status = $4) AND ($5 = '' OR id < $5)
            ORDER BY id DESC LIMIT $6 + 1""",
        partner_id, environment, account_id, status, after, limit,
    )  # fmt: skip
    return [payment_of(row).payment for row in rows]


async def move_payment(tx: Tx, before: StoredPayment, **changes: Any) -> StoredPayment:
    """Write changes of a payment whose row is locked; a new status has been checked by the caller's `to`.

    Where nothing is held any more there is nothing to release either.
    """
    gateway_id = changes.pop("gateway_id", before.gateway_id)
    hold_transaction = changes.pop("hold_transaction", before.hold_transaction)
    old = before.payment
    new = msgspec.structs.replace(old, version=old.version + 1, updated_at=tx.now, **changes)
    release_at = before.release_at if new.status.holds else None
    if release_at is None:
        new = msgspec.structs.replace(new, expires_at=None)
    written = await tx.execute(
        """UPDATE payment SET status = $3, amount_authorized = $4, amount_captured = $5, amount_refunded = $6, failure = $7,
                              gateway_id = $8, hold_transaction = $9, version = $10, updated_at = $11,
                              amount_incremented = $12, network_transaction_id = $13, approval_code = $14, checks = $15,
                              risk = $16, expires_at = $17, release_at = $18
            WHERE id = $1 AND version = $2""",
        old.id, old.version, new.status, new.amount_authorized, new.amount_captured, new.amount_refunded, new.failure,
        gateway_id, hold_transaction, new.version, tx.now, new.amount_incremented, new.network_transaction_id,
        new.approval_code, new.checks, new.risk, new.expires_at, release_at,
    )  # fmt: skip
    assert written == 1, "the row is locked"
    return replace(before, payment=new, gateway_id=gateway_id, hold_transaction=hold_transaction, release_at=release_at)


async def follow_attempt(tx: Tx, before: StoredPayment, adapter: str) -> StoredPayment:
    """Move a locked payment to the payment system of its next attempt."""
    await tx.execute("UPDATE payment SET adapter = $2 WHERE id = $1", before.payment.id, adapter)
    return replace(before, adapter=adapter)


async def insert_operation(tx: Tx, stored: StoredOperation) -> None:
    """Write down an operation before it is sent; raise PaymentBusyError if another one is under way."""
    operation = stored.operation
    try:
        await tx.execute(
            """INSERT INTO payment_operation (id, payment_id, partner_id, environment, book, adapter, kind, sale, final, amount,
                                              currency, status, failure, target_id, transaction_id, once_operation, once_key,
                                              request_id, next_check_at, sent_at, settled_at)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21)""",
            operation.id, stored.payment_id, stored.partner_id, stored.environment, stored.book, stored.adapter,
            operation.kind, stored.sale, stored.final, operation.amount, operation.currency, operation.status,
            operation.failure, stored.target_id, operation.transaction_id, stored.once_operation, stored.once_key,
            stored.request_id, stored.next_check_at, operation.sent_at, operation.settled_at,
        )  # fmt: skip
    except asyncpg.UniqueViolationError:
        raise PaymentBusyError(field="payment_id") from None


async def load_operation(tx: Tx, operation_id: str) -> StoredOperation:
    """Return an operation, locked for a change."""
    row = await tx.row("SELECT * FROM payment_operation WHERE id = $1 FOR UPDATE", operation_id)
    assert row is not None, "operations are never deleted"
    return operation_of(row)


async def operations(tx: Tx, payment_id: str) -> list[StoredOperation]:
    """Return the operations of a payment, oldest first."""
    rows = await tx.rows("SELECT * FROM payment_operation WHERE payment_id = $1 ORDER BY id", payment_id)
    return [operation_of(row) for row in rows]


async def succeeded_captures(tx: Tx, payment_id: str) -> int:
    """Return how many captures of a payment were made."""
    count: int = await tx.value(
        # By the payment first: a planner without statistics also reads the index of all that was ever settled.
        """WITH found AS MATERIALIZED (SELECT kind, status FROM payment_operation WHERE payment_id = $1)
           SELECT count(*) FROM found WHERE kind = 'capture' AND status = 'succeeded'""",
        payment_id,
    )
    return count


async def latest_operations(tx: Tx, payment_ids: list[str]) -> dict[str, Operation]:
    """Return the latest operation of each payment."""
    rows = await tx.rows(
        """SELECT DISTINCT ON (payment_id) * FROM payment_operation WHERE payment_id = ANY($1)
            ORDER BY payment_id, id DESC""",
        payment_ids,
    )
    return {row["payment_id"]: operation_of(row).operation for row in rows}


async def operation_by_key(tx: Tx, once_operation: str, once_key: str) -> StoredOperation | None:
    """Return the operation that a keyed request of the partner asked for, of several attempts the latest."""
    partner_id, environment = tx.actor.scope
    row = await tx.row(
        """SELECT * FROM payment_operation
            WHERE partner_id = $1 AND environment = $2 AND once_operation = $3 AND once_key = $4
            ORDER BY id DESC LIMIT 1""",
        partner_id, environment, once_operation, once_key,
    )  # fmt: skip
    return operation_of(row) if row is not None else None


async def move_operation(tx: Tx, before: StoredOperation, status: OperationStatus, **changes: Any) -> StoredOperation:
    """Move a locked operation to its next status; an open one gets `next_check_at`, a settled one its time."""
    old = before.operation
    next_check_at = changes.pop("next_check_at", None)
    checks = changes.pop("checks", before.checks)
    review_check_at = changes.pop("review_check_at", None)
    new_status = old.status if old.status is status else old.status.to(status)
    new = msgspec.structs.replace(old, status=new_status, settled_at=None if new_status.open else tx.now, **changes)
    await tx.execute(
        """UPDATE payment_operation SET status = $2, gateway_id = $3, failure = $4, transaction_id = $5, next_check_at = $6,
                                        checks = $7, settled_at = $8, approval_code = $9, review_check_at = $10
            WHERE id = $1""",
        old.id, new.status, new.gateway_id, new.failure, new.transaction_id, next_check_at, checks, new.settled_at,
        new.approval_code, review_check_at,
    )  # fmt: skip
    return replace(before, operation=new, next_check_at=next_check_at, checks=checks)


async def take_back(tx: Tx, operation_id: str) -> None:
    """Write down that a locked operation is about to be taken back: from here on it can only end as not done."""
    await tx.execute("UPDATE payment_operation SET taking_back = true WHERE id = $1", operation_id)


async def add_refunded(tx: Tx, capture_id: str, amount_minor: int) -> None:
    """Count a refund against the capture it was taken from."""
    await tx.execute(
        "UPDATE payment_operation SET amount_refunded = amount_refunded + $2 WHERE id = $1", capture_id, amount_minor
    )


async def take_due(tx: Tx, limit: int, lease: timedelta) -> list[StoredOperation]:
    """Return open operations that are due for a check, and keep other workers off them for the lease."""
    rows = await tx.rows(
        """UPDATE payment_operation SET next_check_at = $1::timestamptz + $3::interval, checks = checks + 1
            WHERE id IN (SELECT id FROM payment_operation WHERE next_check_at <= $1 ORDER BY next_check_at LIMIT $2
                            FOR NO KEY UPDATE SKIP LOCKED)
            RETURNING *""",
        tx.now, limit, lease,
    )  # fmt: skip
    return [operation_of(row) for row in rows]


async def due_for_release(tx: Tx, limit: int, again_after: timedelta) -> list[tuple[str, Actor]]:
    """Return authorisations that have run out, with the actor to act for, and put their next look off."""
    rows = await tx.rows(
        """UPDATE payment SET release_at = $1::timestamptz + $3::interval
            WHERE id IN (SELECT id FROM payment WHERE release_at <= $1 ORDER BY release_at LIMIT $2
                            FOR NO KEY UPDATE SKIP LOCKED)
            RETURNING id, partner_id, environment,
                      (SELECT o.book FROM payment_operation o WHERE o.payment_id = payment.id LIMIT 1) AS book""",
        tx.now, limit, again_after,
    )  # fmt: skip
    return [
        (row["id"], SYSTEM.acting_for(row["partner_id"], Environment(row["environment"]), row["book"])) for row in rows
    ]


async def mark_overdue(tx: Tx, operation_id: str) -> bool:
    """Write down that an open operation is told as overdue; False if it was before, or has its outcome now."""
    return bool(
        await tx.execute(
            """UPDATE payment_operation SET overdue_at = $2
                WHERE id = $1 AND overdue_at IS NULL AND status IN ('sending', 'unknown')""",
            operation_id, tx.now,
        )
    )  # fmt: skip


async def overdue_count(tx: Tx, before: datetime) -> int:
    """Return how many operations sent before an instant have no outcome."""
    count: int = await tx.value(
        "SELECT count(*) FROM payment_operation WHERE status IN ('sending', 'unknown') AND sent_at < $1", before
    )
    return count


async def due_reviews(tx: Tx, limit: int, lease: timedelta) -> list[StoredOperation]:
    """Return operations under review that are due for a look, and keep other workers off them for the lease."""
    rows = await tx.rows(
        """UPDATE payment_operation SET review_check_at = $1::timestamptz + $3::interval, checks = checks + 1
            WHERE id IN (SELECT id FROM payment_operation WHERE review_check_at <= $1 ORDER BY review_check_at LIMIT $2
                            FOR NO KEY UPDATE SKIP LOCKED)
            RETURNING *""",
        tx.now, limit, lease,
    )  # fmt: skip
    return [operation_of(row) for row in rows]


async def leave_review(tx: Tx, operation_id: str) -> None:
    """Look no more at the review of a payment that was cancelled meanwhile."""
    await tx.execute("UPDATE payment_operation SET review_check_at = NULL WHERE id = $1", operation_id)


async def insert_notice(
    tx: Tx,
    adapter: str,
    environment: Environment,
    notice_id: str,
    kind: str,
    references: list[str],
    gateway_ids: list[str],
) -> bool:
    """Keep a notification of a gateway; False if it was kept before."""
    written = await tx.execute(
        """INSERT INTO gateway_notice (adapter, environment, notice_id, kind, payment_ids, gateway_ids, woken, received_at)
           VALUES ($1, $2, $3, $4, $5, $6, 0, $7) ON CONFLICT DO NOTHING""",
        adapter, environment, notice_id, kind, references, gateway_ids, tx.now,
    )  # fmt: skip
    return bool(written)


async def wake(tx: Tx, adapter: str, environment: Environment, payment_ids: list[str], gateway_ids: list[str]) -> int:
    """Have operations without an outcome, or under review, looked up now; returns how many.

    Not those that are being sent: their request is still waiting for the answer.
    """
    unknown = await tx.execute(
        """UPDATE payment_operation SET next_check_at = $1
            WHERE payment_id = ANY($2) AND adapter = $3 AND environment = $4 AND status = 'unknown' AND next_check_at > $1""",
        tx.now, payment_ids, adapter, environment,
    )  # fmt: skip
    reviewed = await tx.execute(
        """UPDATE payment_operation SET review_check_at = $1
            WHERE (payment_id = ANY($2) OR gateway_id = ANY($5)) AND adapter = $3 AND environment = $4 AND status = 'review'
              AND review_check_at > $1""",
        tx.now, payment_ids, adapter, environment, gateway_ids,
    )  # fmt: skip
    return unknown + reviewed


async def count_woken(tx: Tx, adapter: str, environment: Environment, notice_id: str, woken: int) -> None:
    """Write down how many operations a notification had looked up."""
    await tx.execute(
        "UPDATE gateway_notice SET woken = $4 WHERE adapter = $1 AND environment = $2 AND notice_id = $3",
        adapter, environment, notice_id, woken,
    )  # fmt: skip


async def look_again(tx: Tx, operation_id: str, at: datetime) -> None:
    """Put down when an operation under review is looked at again."""
    await tx.execute(
        "UPDATE payment_operation SET review_check_at = $2 WHERE id = $1 AND status = 'review'", operation_id, at
    )


async def oldest_open(tx: Tx) -> datetime | None:
    """Return when the oldest operation without an outcome was sent."""
    found: datetime | None = await tx.value(
        "SELECT min(sent_at) FROM payment_operation WHERE status IN ('sending', 'unknown')"
    )
    return found


async def insert_verification(tx: Tx, verification: msgspec.Struct, adapter: str, gateway_id: str) -> None:
    """Write down what the issuer said of a card."""
    partner_id, environment = tx.actor.scope
    seen = msgspec.structs.asdict(verification)
    await tx.execute(
        """INSERT INTO payment_method_verification (id, partner_id, environment, adapter, payment_method_id, currency, status,
                                                    checks, failure, gateway_id, network_transaction_id, created_at)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)""",
        seen["id"], partner_id, environment, adapter, seen["payment_method_id"], seen["currency"], seen["status"],
        seen["checks"], seen["failure"], gateway_id, seen["network_transaction_id"], tx.now,
    )  # fmt: skip


async def verifications(tx: Tx, method_id: str, limit: int = 100) -> list[dict[str, Any]]:
    """Return the latest verifications of a card, the newest first."""
    rows = await tx.rows(
        """SELECT id, payment_method_id, currency, status, checks, failure, network_transaction_id, created_at
             FROM payment_method_verification WHERE payment_method_id = $1 ORDER BY id DESC LIMIT $2""",
        method_id, limit,
    )  # fmt: skip
    return [dict(row) for row in rows]
