"""The SQL of transactions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from shanraq import ledger
from shanraq.core.db import Row, Tx
from shanraq.core.ids import number_of, text_of
from shanraq.core.money import Money
from shanraq.transactions.errors import MovedMeanwhileError, TransactionHasOwnerError, TransactionNotFoundError
from shanraq.transactions.model import PREFIX, Transaction, TransactionKind, TransactionStatus

T = TypeVar("T")


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


def insert(tx: Tx, new: Sequence[Stored]) -> None:
    """Write new transactions, all in one statement."""
    partner_id, environment = tx.actor.scope
    items = [stored.transaction for stored in new]
    tx.write(
        """INSERT INTO transaction (id, partner_id, environment, book, kind, source, debit_account, credit_account, amount,
                                    currency, status, failure, hold_id, transfer_id, reference, description, metadata,
                                    expires_at, version, created_at, updated_at)
           SELECT u.id, $1, $2, $3, coalesce(u.kind, $13), coalesce(u.source, $15), u.debit_account, u.credit_account, u.amount,
                  coalesce(u.currency, $17), coalesce(u.status, $19), u.failure, u.hold_id, u.transfer_id,
                  coalesce(u.reference, $21), coalesce(u.description, $23), coalesce(u.metadata, $25), u.expires_at,
                  coalesce(u.version, $27), $4, $4
             FROM unnest($5::text[], $6::text[], $7::text[], $8::bigint[], $9::text[], $10::uuid[], $11::uuid[], $12::text[],
                         $14::text[], $16::text[], $18::text[], $20::text[], $22::text[], $24::jsonb[], $26::int[],
                         $28::timestamptz[])
                  u(id, debit_account, credit_account, amount, failure, hold_id, transfer_id, kind, source, currency, status,
                    reference, description, metadata, version, expires_at)""",
        partner_id, environment, tx.actor.book, tx.now,
        [item.id for item in items], [item.debit_account for item in items], [item.credit_account for item in items],
        [item.amount for item in items], _sparse([item.failure for item in items]),
        _sparse([stored.hold_id for stored in new]), _sparse([stored.transfer_id for stored in new]),
        *_shared([item.kind for item in items]), *_shared([item.source for item in items]),
        *_shared([item.currency for item in items]), *_shared([item.status for item in items]),
        *_shared([item.reference for item in items]), *_shared([item.description for item in items]),
        *_shared([item.metadata for item in items]), *_shared([item.version for item in items]),
        _sparse([item.expires_at for item in items]),
    )  # fmt: skip


# To write the elements of arrays for the wire is dear. Most columns of a batch are the same throughout; unnest pads with NULL.


def _shared(column: list[T]) -> tuple[list[T], T]:
    """Return a column and the value for where it is NULL: an empty one if all values are the same."""
    first = column[0]
    return ([] if column.count(first) == len(column) else column), first


def _sparse(column: list[T]) -> list[T]:
    """Return a column, an empty one if all values are NULL."""
    return [] if column.count(None) == len(column) else column  # type: ignore[arg-type]


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


async def of_transfers(tx: Tx, transfers: Iterable[ledger.Transfer]) -> dict[int, Stored]:
    """Return the partner's transactions these transfers were made for, by transfer id: transfers carry their number."""
    partner_id, environment = tx.actor.scope
    wanted = {transfer.id: text_of(PREFIX, transfer.user_data_128) for transfer in transfers}
    if not wanted:
        return {}
    rows = await tx.rows(
        "SELECT * FROM transaction WHERE id = ANY($1) AND partner_id = $2 AND environment = $3",
        list(wanted.values()), partner_id, environment,
    )  # fmt: skip
    found = {row["id"]: stored_of(row) for row in rows}
    return {number: found[transaction_id] for number, transaction_id in wanted.items() if transaction_id in found}


async def load_many(tx: Tx, transaction_ids: Sequence[str]) -> dict[str, Transaction]:
    """Return the partner's transactions among these ids."""
    partner_id, environment = tx.actor.scope
    rows = await tx.rows(
        # By the key first, whatever the planner thinks of the partner.
        """WITH found AS MATERIALIZED (SELECT * FROM transaction WHERE id = ANY($1))
           SELECT * FROM found WHERE partner_id = $2 AND environment = $3""",
        list(transaction_ids), partner_id, environment,
    )  # fmt: skip
    return {row["id"]: stored_of(row).transaction for row in rows}


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


async def move_all(tx: Tx, pairs: Sequence[tuple[Stored, Stored]]) -> None:
    """Write transactions (before, after) that moved on, in one statement; raise MovedMeanwhileError if any had moved."""
    if not pairs:
        return
    after = [stored for _, stored in pairs]
    written = await tx.execute(
        """UPDATE transaction t SET status = u.status, failure = u.failure, hold_id = u.hold_id, transfer_id = u.transfer_id,
                                    version = u.version + 1, updated_at = $1
             FROM unnest($2::text[], $3::int[], $4::text[], $5::text[], $6::uuid[], $7::uuid[])
                  u(id, version, status, failure, hold_id, transfer_id)
            WHERE t.id = u.id AND t.version = u.version""",
        tx.now,
        [before.transaction.id for before, _ in pairs], [before.transaction.version for before, _ in pairs],
        [stored.transaction.status for stored in after], [stored.transaction.failure for stored in after],
        [stored.hold_id for stored in after], [stored.transfer_id for stored in after],
    )  # fmt: skip
    if written != len(pairs):
        raise MovedMeanwhileError


async def lock_many(tx: Tx, transaction_ids: Sequence[str]) -> dict[str, Stored]:
    """Return transactions of the partner, locked for a change, in the order of their ids."""
    partner_id, environment = tx.actor.scope
    rows = await tx.rows(
        """SELECT * FROM transaction WHERE id = ANY($1) AND partner_id = $2 AND environment = $3
            ORDER BY id FOR UPDATE""",
        list(transaction_ids), partner_id, environment,
    )  # fmt: skip
    return {row["id"]: stored_of(row) for row in rows}


async def outcomes(tx: Tx, transaction_ids: Sequence[str]) -> dict[str, tuple[TransactionStatus, int]]:
    """Return status and amount of transactions of any partner, as the system, for proofs."""
    rows = await tx.rows("SELECT id, status, amount FROM transaction WHERE id = ANY($1)", list(transaction_ids))
    return {row["id"]: (TransactionStatus(row["status"]), row["amount"]) for row in rows}


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
