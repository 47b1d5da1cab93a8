"""The SQL of credit transfers."""

from __future__ import annotations

from collections.abc import Sequence

from shanraq.core.db import Row, Tx
from shanraq.core.ids import number_of
from shanraq.credit_transfers.errors import CreditTransferNotFoundError
from shanraq.credit_transfers.model import PREFIX, CreditTransfer, Route, TransferStatus


def transfer_of(row: Row) -> CreditTransfer:
    """Read a row of credit_transfer."""
    return CreditTransfer(
        id=row["id"], payment_file_id=row["payment_file_id"], position=row["position"], block=row["block"],
        block_id=row["block_id"], instruction_id=row["instruction_id"], end_to_end_id=row["end_to_end_id"],
        uetr=row["uetr"], amount=row["amount"], currency=row["currency"], debtor_account=row["debtor_account"],
        creditor_account=row["creditor_account"], execution_date=row["execution_date"], route=Route(row["route"]),
        status=TransferStatus(row["status"]), clearing_status=row["clearing_status"], reason=row["reason"],
        reason_text=row["reason_text"], transaction_id=row["transaction_id"],
        return_transaction_id=row["return_transaction_id"], version=row["version"], created_at=row["created_at"],
        updated_at=row["updated_at"], settled_at=row["settled_at"],
    )  # fmt: skip


def insert(tx: Tx, transfers: Sequence[CreditTransfer], sealed: Sequence[bytes]) -> None:
    """Write new transfers, all in one statement."""
    partner_id, environment = tx.actor.scope
    if not transfers:
        return
    tx.write(
        """INSERT INTO credit_transfer (id, partner_id, environment, book, payment_file_id, position, block, block_id,
                                        instruction_id, end_to_end_id, uetr, amount, currency, execution_date, route, status,
                                        reason, reason_text, details, created_at, updated_at)
           SELECT u.id, $1, $2, $3, $4, u.position, u.block, u.block_id, u.instruction_id, u.end_to_end_id, u.uetr, u.amount,
                  u.currency, u.execution_date, '', u.status, u.reason, u.reason_text, u.details, $5, $5
             FROM unnest($6::text[], $7::int[], $8::int[], $9::text[], $10::text[], $11::text[], $12::text[], $13::bigint[],
                         $14::text[], $15::date[], $16::text[], $17::text[], $18::text[], $19::bytea[])
                  u(id, position, block, block_id, instruction_id, end_to_end_id, uetr, amount, currency, execution_date,
                    status, reason, reason_text, details)""",
        partner_id, environment, tx.actor.book, transfers[0].payment_file_id, tx.now,
        [one.id for one in transfers], [one.position for one in transfers], [one.block for one in transfers],
        [one.block_id for one in transfers], [one.instruction_id for one in transfers],
        [one.end_to_end_id for one in transfers], [one.uetr for one in transfers], [one.amount for one in transfers],
        [one.currency for one in transfers], [one.execution_date for one in transfers], [one.status for one in transfers],
        [one.reason for one in transfers], [one.reason_text for one in transfers], list(sealed),
    )  # fmt: skip


async def claim(tx: Tx, kind: str, claims: Sequence[tuple[str, str]]) -> set[str]:
    """Claim values for transfers (value, transfer id), first come first served; return the ids that came too late."""
    if not claims:
        return set()
    partner_id, environment = tx.actor.scope
    rows = await tx.rows(
        """INSERT INTO credit_transfer_claim (partner_id, environment, kind, value, credit_transfer_id, claimed_at)
           SELECT $1, $2, $3, u.value, u.id, $4
             FROM unnest($5::text[], $6::text[]) WITH ORDINALITY u(value, id, n) ORDER BY u.value, n
           ON CONFLICT DO NOTHING RETURNING credit_transfer_id""",
        partner_id, environment, kind, tx.now, [value for value, _ in claims], [id_ for _, id_ in claims],
    )  # fmt: skip
    return {id_ for _, id_ in claims} - {row["credit_transfer_id"] for row in rows}


async def release_claims(tx: Tx, transfer_ids: Sequence[str]) -> None:
    """Give back what rejected transfers had claimed."""
    if transfer_ids:
        await tx.execute("DELETE FROM credit_transfer_claim WHERE credit_transfer_id = ANY($1)", list(transfer_ids))


async def load(tx: Tx, transfer_id: str, *, lock: bool = False) -> CreditTransfer:
    """Return a transfer of the partner, locked for a change if asked; raise CreditTransferNotFoundError."""
    number_of(PREFIX, transfer_id, field="credit_transfer_id")
    partner_id, environment = tx.actor.scope
    row = await tx.row(
        "SELECT * FROM credit_transfer WHERE id = $1 AND partner_id = $2 AND environment = $3 FOR UPDATE"
        if lock
        else "SELECT * FROM credit_transfer WHERE id = $1 AND partner_id = $2 AND environment = $3",
        transfer_id, partner_id, environment,
    )  # fmt: skip
    if row is None:
        raise CreditTransferNotFoundError(field="credit_transfer_id")
    return transfer_of(row)


async def page(
    tx: Tx, *, payment_file_id: str | None, uetr: str | None, end_to_end_id: str | None, after: str, limit: int
) -> list[CreditTransfer]:
    """Return transfers newest first, after an id; one more than `limit` to tell whether more follow."""
    partner_id, environment = tx.actor.scope
    rows = await tx.rows(
        """SELECT * FROM credit_transfer
            WHERE partner_id = $1 AND environment = $2 AND ($3::text IS NULL OR payment_file_id = $3)
              AND ($4::text IS NULL OR uetr = $4) AND ($5::text IS NULL OR end_to_end_id = $5) AND ($6 = '' OR id < $6)
            ORDER BY id DESC LIMIT $7 + 1""",
        partner_id, environment, payment_file_id, uetr, end_to_end_id, after, limit,
    )  # fmt: skip
    return [transfer_of(row) for row in rows]


async def of_file(tx: Tx, payment_file_id: str, after_position: int, limit: int) -> list[CreditTransfer]:
    """Return transfers of a file in its order."""
    partner_id, environment = tx.actor.scope
    rows = await tx.rows(
        """SELECT * FROM credit_transfer
            WHERE payment_file_id = $1 AND partner_id = $2 AND environment = $3 AND position > $4
            ORDER BY position LIMIT $5""",
        payment_file_id, partner_id, environment, after_position, limit,
    )  # fmt: skip
    return [transfer_of(row) for row in rows]


async def count(tx: Tx, payment_file_id: str) -> list[Row]:
    """Return how many transfers of a file stand where, and their amounts by currency."""
    partner_id, environment = tx.actor.scope
    return await tx.rows(
        """SELECT status, currency, count(*) AS n, sum(amount)::bigint AS amount FROM credit_transfer
            WHERE payment_file_id = $1 AND partner_id = $2 AND environment = $3 GROUP BY status, currency""",
        payment_file_id, partner_id, environment,
    )  # fmt: skip


async def of_transactions(tx: Tx, transaction_ids: Sequence[str]) -> list[Row]:
    """Return rows of the transfers these transactions were made for; one may be there twice."""
    partner_id, environment = tx.actor.scope
    return await tx.rows(
        # By the indexes of transactions, whatever the planner thinks of the partner: it may have a million transfers.
        """WITH found AS MATERIALIZED (SELECT * FROM credit_transfer WHERE transaction_id = ANY($3)
                                        UNION ALL
                                       SELECT * FROM credit_transfer WHERE return_transaction_id = ANY($3))
           SELECT * FROM found WHERE partner_id = $1 AND environment = $2""",
        partner_id, environment, list(transaction_ids),
    )  # fmt: skip
