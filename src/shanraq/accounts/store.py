"""The SQL of accounts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import asyncpg
import msgspec

from shanraq.accounts.errors import AccountNotFoundError, IbanTakenError, ReferenceTakenError, VersionConflictError
from shanraq.accounts.model import PREFIX, Account, AccountKind, AccountStatus
from shanraq.core.db import Row, Tx
from shanraq.core.ids import number_of


def account_of(row: Row) -> Account:
    """Read a row of the account table."""
    return Account(
        id=row["id"], kind=AccountKind(row["kind"]), customer_id=row["customer_id"], currency=row["currency"],
        name=row["name"], reference=row["reference"], iban=row["iban"], status=AccountStatus(row["status"]),
        allow_negative=row["allow_negative"], metadata=row["metadata"], version=row["version"],
        created_at=row["created_at"], updated_at=row["updated_at"],
    )  # fmt: skip


async def insert(tx: Tx, account: Account) -> bool:
    """Write a new account; False if its id is there already. Raises ReferenceTakenError, IbanTakenError."""
    partner_id, environment = tx.actor.scope
    try:
        written = await tx.execute(
            """INSERT INTO account (id, partner_id, environment, kind, customer_id, currency, name, reference, status,
                                    allow_negative, metadata, version, created_at, updated_at, iban)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $13, $14) ON CONFLICT (id) DO NOTHING""",
            account.id, partner_id, environment, account.kind, account.customer_id, account.currency, account.name,
            account.reference, account.status, account.allow_negative, account.metadata, account.version,
            account.created_at, account.iban,
        )  # fmt: skip
    except asyncpg.UniqueViolationError as error:
        raise _taken(error) from None
    return written == 1


async def load(tx: Tx, account_id: str, *, field: str = "account_id", lock: bool = False) -> Account:
    """Return one account of the partner, locked for a change if asked; raise AccountNotFoundError naming `field`."""
    number_of(PREFIX, account_id, field=field)
    partner_id, environment = tx.actor.scope
    row = await tx.row(
        "SELECT * FROM account WHERE id = $1 AND partner_id = $2 AND environment = $3 FOR UPDATE"
        if lock
        else "SELECT * FROM account WHERE id = $1 AND partner_id = $2 AND environment = $3",
        account_id, partner_id, environment,
    )  # fmt: skip
    if row is None:
        raise AccountNotFoundError(field=field)
    return account_of(row)


async def load_many(tx: Tx, account_ids: Sequence[str]) -> dict[str, Account]:
    """Return the partner's accounts among these ids."""
    partner_id, environment = tx.actor.scope
    rows = await tx.rows(
        # By the key first, whatever the planner thinks of the partner: it may have a hundred thousand accounts.
        """WITH found AS MATERIALIZED (SELECT * FROM account WHERE id = ANY($1))
           SELECT * FROM found WHERE partner_id = $2 AND environment = $3""",
        list(account_ids), partner_id, environment,
    )  # fmt: skip
    return {row["id"]: account_of(row) for row in rows}


async def page(tx: Tx, *, customer_id: str | None, after: str, limit: int) -> list[Account]:
    """Return accounts newest first, after an id; one more than `limit` to tell whether more follow."""
    partner_id, environment = tx.actor.scope
    rows = await tx.rows(
        """SELECT * FROM account
            WHERE partner_id = $1 AND environment = $2 AND kind <> 'system'
              AND ($3::text IS NULL OR customer_id = $3) AND ($4 = '' OR id < $4)
            ORDER BY id DESC LIMIT $5 + 1""",
        partner_id, environment, customer_id, after, limit,
    )  # fmt: skip
    return [account_of(row) for row in rows]


async def save(tx: Tx, before: Account, **changes: Any) -> Account:
    """Write changed columns if the account is still as `before`; raise VersionConflictError if not."""
    after = msgspec.structs.replace(before, **changes, version=before.version + 1, updated_at=tx.now)
    try:
        written = await tx.execute(
            """UPDATE account SET name = $3, reference = $4, status = $5, metadata = $6, version = $7, updated_at = $8,
                                  iban = $9
                WHERE id = $1 AND version = $2""",
            before.id, before.version, after.name, after.reference, after.status, after.metadata, after.version, tx.now,
            after.iban,
        )  # fmt: skip
    except asyncpg.UniqueViolationError as error:
        raise _taken(error) from None
    if not written:
        raise VersionConflictError(field="version")
    return after


async def load_by_number(tx: Tx, numbers: Sequence[str]) -> dict[str, Account]:
    """Return the partner's accounts among these IBANs, ids and references, by what each was asked for."""
    partner_id, environment = tx.actor.scope
    rows = await tx.rows(
        """SELECT w.number AS asked, a.* FROM unnest($3::text[]) AS w(number)
            CROSS JOIN LATERAL (
                SELECT * FROM account a WHERE a.partner_id = $1 AND a.environment = $2 AND a.iban = w.number
                UNION ALL
                SELECT * FROM account a WHERE a.id = w.number AND a.partner_id = $1 AND a.environment = $2
                UNION ALL
                SELECT * FROM account a WHERE a.partner_id = $1 AND a.environment = $2 AND a.reference = w.number
                LIMIT 1) a
            WHERE a.kind <> 'system'""",
        partner_id, environment, list(numbers),
    )  # fmt: skip
    return {row["asked"]: account_of(row) for row in rows}


def _taken(error: asyncpg.UniqueViolationError) -> ReferenceTakenError | IbanTakenError:
    if error.constraint_name == "account_iban":
        return IbanTakenError(field="iban")
    return ReferenceTakenError(field="reference")
