"""The SQL of transactions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from shanraq.core.db import Row, Tx
from shanraq.core.ids import number_of
from shanraq.core.money import Money
from shanraq.transactions.errors import MovedMeanwhileError, TransactionHasOwnerError, TransactionNotFoundError
from shanraq.transactions.model import PREFIX, Transaction, TransactionKind, TransactionStatus


@dataclass(frozen=True, slots=True)
class Stored:
    """A transaction with its places in the ledger: the open hold, and the transfer that moved the money."""

    transaction: Transaction
    hold_id: int | None = None
    transfer_id: int | None = None


def stored_of(row: Row) -> Stored:
    """Read a row of the transaction table."""
    return Stored(
        Transaction(
            id=row["id"], kind=TransactionKind(row["kind"]), source=row["source"], debit_account=row["debit_account"],
            credit_account=row["credit_account"], amount=row["amount"], currency=row["currency"],
            status=TransactionStatus(row["status"]), failure=row["failure"], reference=row["reference"],
            description=row["description"], metadata=row["metadata"], expires_at=row["expires_at"],
            version=row["version"], created_at=row["created_at"], updated_at=row["updated_at"],
        ),
        row["hold_id"],
        row["transfer_id"],
    )  # fmt: skip


async def insert(tx: Tx, new: Sequence[Stored]) -> None:
    """Write new transactions, all in one statement."""
    partner_id, environment = tx.actor.scope
    items = [stored.transaction for stored in new]
    await tx.execute(
        """INSERT INTO transaction (id, partner_id, environment, book, kind, source, debit_account, credit_account, amount,
                                    currency, status, failure, hold_id, transfer_id, reference, description, metadata,
                                    expires_at, version, created_at, updated_at)
           SELECT u.id, $1, $2, $20, u.kind, u.source, u.debit_account, u.credit_account, u.amount, u.currency,
                  u.status, u.failure, u.hold_id, u.transfer_id, u.reference, u.description, u.metadata,
                  u.expires_at, u.version, $3, $3
             FROM unnest($4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::bigint[], $10::text[], $11::text[],
                         $12::text[], $13::uuid[], $14::uuid[], $15::text[], $16::text[], $17::jsonb[], $18::timestamptz[],
                         $19::int[])
                  u(id, kind, source, debit_account, credit_account, amount, currency, status, failure, hold_id, transfer_id,
                    reference, description, metadata, expires_at, version)""",
        partner_id, environment, tx.now,
        [item.id for item in items], [item.kind for item in items], [item.source for item in items],
        [item.debit_account for item in items], [item.credit_account for item in items],
        [item.amount for item in items], [item.currency for item in items], [item.status for item in items],
        [item.failure for item in items], [stored.hold_id for stored in new], [stored.transfer_id for stored in new],
        [item.reference for item in items], [item.description for item in items], [item.metadata for item in items],
        [item.expires_at for item in items], [item.version for item in items], tx.actor.book,
    )  # fmt: skip


async def load(tx: Tx, transaction_id: str, *, lock: bool = False) -> Stored:
    """Return one transaction of the partner, locked for a change if asked; raise TransactionNotFoundError."""
    number_of(PREFIX, transaction_id, field="transaction_id")
    partner_id, environment = tx.actor.scope
    row = await tx.row(
        "SELECT * FROM transaction WHERE id = $1 AND partner_id = $2 AND environment = $3 FOR UPDATE"
        if lock
        else "SELECT * FROM transaction WHERE id = $1 AND partner_id = $2 AND environment = $3",
        transaction_id, partner_id, environment,
    )  # fmt: skip
    if row is None:
        raise TransactionNotFoundError(field="transaction_id")
    return stored_of(row)


async def load_own(tx: Tx, transaction_id: str) -> Stored:
    """Return, locked, a transaction the partner made itself; those of payments and P2P transfers belong to their verbs.

    Raises TransactionNotFoundError, TransactionHasOwnerError.
    """
    stored = await load(tx, transaction_id, lock=True)
    if stored.transaction.kind is not TransactionKind.TRANSFER:
        raise TransactionHasOwnerError(f"it belongs to {stored.transaction.source}", field="transaction_id")
    return stored


async def by_transfer(tx: Tx, transfer_ids: Sequence[int]) -> dict[int, Stored]:
    """Return the partner's transactions whose hold or transfer has one of these ledger ids."""
    partner_id, environment = tx.actor.scope
    rows = await tx.rows(
        """SELECT * FROM transaction
            WHERE partner_id = $2 AND environment = $3
              AND id IN (SELECT id FROM transaction WHERE hold_id = ANY($1)
                         UNION ALL SELECT id FROM transaction WHERE transfer_id = ANY($1))""",
        list(transfer_ids), partner_id, environment,
    )  # fmt: skip
    found: dict[int, Stored] = {}
    for row in rows:
        stored = stored_of(row)
        for number in (stored.hold_id, stored.transfer_id):
            if number is not None:
                found[number] = stored
    return found


async def page(tx: Tx, *, account_id: str | None, source: str | None, after: str, limit: int) -> list[Transaction]:
    """Return transactions newest first, after an id; one more than `limit` to tell whether more follow."""
    partner_id, environment = tx.actor.scope
    rows = await tx.rows(
        """SELECT * FROM transaction
            WHERE partner_id = $1 AND environment = $2 AND ($3::text IS NULL OR $3 IN (debit_account, credit_account))
              AND ($4::text IS NULL OR source = $4) AND ($5 = '' OR id < $5)
            ORDER BY id DESC LIMIT $6 + 1""",
        partner_id, environment, account_id, source, after, limit,
    )  # fmt: skip
    return [stored_of(row).transaction for row in rows]


async def move(tx: Tx, before: Stored, status: TransactionStatus, **changes: Any) -> Stored:
    """Move a transaction to its next status by compare-and-set; raise IllegalMoveError, MovedMeanwhileError."""
    places = {name: changes.pop(name, getattr(before, name)) for name in ("hold_id", "transfer_id")}
    old = before.transaction
    new = msgspec.structs.replace(
        old, status=old.status.to(status), version=old.version + 1, updated_at=tx.now, **changes
    )
    written = await tx.execute(
        """UPDATE transaction SET status = $3, amount = $4, failure = $5, hold_id = $6, transfer_id = $7, version = $8,
                                  updated_at = $9
            WHERE id = $1 AND version = $2""",
        old.id, old.version, new.status, new.amount, new.failure, places["hold_id"], places["transfer_id"], new.version,
        tx.now,
    )  # fmt: skip
    if not written:
        raise MovedMeanwhileError
    return Stored(new, **places)


async def exchange_hold(tx: Tx, before: Stored, hold_id: int, amount: Money) -> Stored:
    """Write another hold and amount of a transaction that stays in its status; raise MovedMeanwhileError."""
    old = before.transaction
    new = msgspec.structs.replace(old, amount=amount.minor, version=old.version + 1, updated_at=tx.now)
    written = await tx.execute(
        "UPDATE transaction SET amount = $3, hold_id = $4, version = $5, updated_at = $6 WHERE id = $1 AND version = $2",
        old.id, old.version, new.amount, hold_id, new.version, tx.now,
    )  # fmt: skip
    if not written:
        raise MovedMeanwhileError
    return Stored(new, hold_id=hold_id)


async def scopes_with_due_holds(tx: Tx, limit: int) -> list[tuple[str, str, int]]:
    """Return (partner_id, environment, book) of partners with holds that have run out."""
    rows = await tx.rows(
        """SELECT DISTINCT partner_id, environment, book FROM transaction
            WHERE status = 'authorized' AND expires_at <= $1 LIMIT $2""",
        tx.now, limit,
    )  # fmt: skip
    return [(row["partner_id"], row["environment"], row["book"]) for row in rows]
