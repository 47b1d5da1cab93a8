"""The SQL of disputes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import msgspec

from shanraq.core.actor import Environment
from shanraq.core.db import Row, Tx
from shanraq.core.ids import number_of
from shanraq.settlement.errors import DisputeNotFoundError
from shanraq.settlement.model import DISPUTE_PREFIX, Dispute, DisputeResponse
from shanraq.settlement.port import DisputeNotice, DisputeStage
from shanraq.settlement.reasons import meaning_of


@dataclass(frozen=True, slots=True)
class StoredDispute:
    """A dispute with what only we need; `adopted` while it was told by a line and its first notice is being taken in."""

    dispute: Dispute
    moves: int = 0
    evidence: bytes | None = None
    adopted: bool = False


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose a disputed payment is."""

    partner_id: str
    book: int
    payment_id: str
    account_id: str


def dispute_of(row: Row) -> Dispute:
    """Read a row of dispute."""
    return Dispute(
        id=row["id"], environment=Environment(row["environment"]), adapter=row["adapter"], dispute_id=row["dispute_id"],
        payment_id=row["payment_id"], account_id=row["account_id"], stage=DisputeStage(row["stage"]),
        response=DisputeResponse(row["response"]), amount=row["amount"], currency=row["currency"],
        amount_taken=row["taken"], reason_code=row["reason_code"], reason=row["reason"],
        meaning=meaning_of(row["reason_code"]), opened_at=row["opened_at"], respond_by=row["respond_by"],
        version=row["version"], created_at=row["created_at"], updated_at=row["updated_at"],
    )  # fmt: skip


def _stored_of(row: Row, *, adopted: bool = False) -> StoredDispute:
    return StoredDispute(dispute_of(row), row["moves"], row["evidence"], adopted)


async def owners(
    tx: Tx, environment: Environment, adapter: str, payment_ids: Sequence[str], gateway_ids: Sequence[str]
) -> dict[str, Owner]:
    """Return whose payments are, by payment id and by the gateway's ids of them and their operations."""
    rows = await tx.rows(
        """SELECT k.key, p.id, p.partner_id, p.account_id, o.book
             FROM (SELECT id AS key, id FROM payment WHERE id = ANY($3)
                   UNION SELECT gateway_id, payment_id FROM payment_operation WHERE gateway_id = ANY($4) AND gateway_id <> ''
                  ) k(key, id)
             JOIN payment p ON p.id = k.id
             JOIN LATERAL (SELECT book FROM payment_operation WHERE payment_id = p.id AND adapter = $2 ORDER BY id LIMIT 1) o
               ON true
            WHERE p.environment = $1""",
        environment, adapter, list(payment_ids), list(gateway_ids),
    )  # fmt: skip
    return {row["key"]: Owner(row["partner_id"], row["book"], row["id"], row["account_id"]) for row in rows}


async def owner_of(tx: Tx, payment_id: str) -> Owner:
    """Return whose a payment of the partner is."""
    row = await tx.row("SELECT partner_id, account_id FROM payment WHERE id = $1", payment_id)
    assert row is not None, "payments are never deleted"
    return Owner(row["partner_id"], tx.actor.book, payment_id, row["account_id"])


async def find(tx: Tx, adapter: str, dispute_id: str) -> StoredDispute | None:
    """Return, locked, the partner's dispute with the gateway's id."""
    partner_id, environment = tx.actor.scope
    row = await tx.row(
        """SELECT * FROM dispute WHERE environment = $1 AND adapter = $2 AND dispute_id = $3 AND partner_id = $4
              FOR NO KEY UPDATE""",
        environment, adapter, dispute_id, partner_id,
    )  # fmt: skip
    return _stored_of(row) if row is not None else None


async def adopt(tx: Tx, adapter: str, payment_id: str) -> StoredDispute | None:
    """Return, locked, the dispute of a payment that only a line told of so far: the first notice must mean it."""
    partner_id, environment = tx.actor.scope
    row = await tx.row(
        """SELECT * FROM dispute
            WHERE environment = $1 AND adapter = $2 AND payment_id = $3 AND partner_id = $4 AND dispute_id LIKE 'line/%'
            ORDER BY id LIMIT 1 FOR NO KEY UPDATE""",
        environment, adapter, payment_id, partner_id,
    )  # fmt: skip
    return _stored_of(row, adopted=True) if row is not None else None


async def disputed(tx: Tx, payment_id: str) -> bool:
    """Tell whether a dispute of the payment is known."""
    return bool(await tx.value("SELECT EXISTS (SELECT FROM dispute WHERE payment_id = $1)", payment_id))


async def insert(tx: Tx, stored: StoredDispute) -> None:
    """Write a new dispute."""
    partner_id, environment = tx.actor.scope
    dispute = stored.dispute
    await tx.execute(
        """INSERT INTO dispute (id, environment, adapter, dispute_id, partner_id, book, payment_id, account_id, stage, response,
                                amount, currency, reason_code, reason, opened_at, respond_by, created_at, updated_at)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $17)""",
        dispute.id, environment, dispute.adapter, dispute.dispute_id, partner_id, tx.actor.book, dispute.payment_id,
        dispute.account_id, dispute.stage, dispute.response, dispute.amount, dispute.currency, dispute.reason_code,
        dispute.reason, dispute.opened_at, dispute.respond_by, tx.now,
    )  # fmt: skip


async def insert_step(tx: Tx, id_: str, notice: DisputeNotice, told_at: datetime) -> bool:
    """Write down that a stage was told; False if it was before."""
    partner_id, environment = tx.actor.scope
    return bool(
        await tx.execute(
            """INSERT INTO dispute_step (dispute, partner_id, environment, stage, told_at, amount, at)
               VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING""",
            id_, partner_id, environment, notice.stage, told_at, notice.amount.minor, tx.now,
        )
    )  # fmt: skip


async def load(tx: Tx, id_: str, *, lock: bool = False) -> StoredDispute:
    """Return a dispute, locked for a change if asked. Raises DisputeNotFoundError."""
    number_of(DISPUTE_PREFIX, id_, field="dispute_id")
    row = await tx.row(
        "SELECT * FROM dispute WHERE id = $1 FOR NO KEY UPDATE" if lock else "SELECT * FROM dispute WHERE id = $1", id_
    )
    if row is None:
        raise DisputeNotFoundError(field="dispute_id")
    return _stored_of(row)


async def page(tx: Tx, *, payment_id: str | None, stage: DisputeStage | None, after: str, limit: int) -> list[Dispute]:
    """Return disputes newest first, after an id; one more than `limit` to tell whether more follow."""
    rows = await tx.rows(
        """SELECT * FROM dispute
            WHERE ($1::text IS NULL OR payment_id = $1) AND ($2::text IS NULL OR stage = $2) AND ($3 = '' OR id < $3)
            ORDER BY id DESC LIMIT $4 + 1""",
        payment_id, stage, after, limit,
    )  # fmt: skip
    return [dispute_of(row) for row in rows]


async def save(tx: Tx, before: StoredDispute, after: Dispute, *, evidence: bytes | None = None) -> StoredDispute:
    """Write what changed of a locked dispute, but for its money."""
    saved = msgspec.structs.replace(after, version=before.dispute.version + 1, updated_at=tx.now)
    await tx.execute(
        """UPDATE dispute SET dispute_id = $2, stage = $3, response = $4, amount = $5, reason_code = $6, reason = $7,
                              opened_at = $8, respond_by = $9, evidence = coalesce($10, evidence), version = $11,
                              updated_at = $12
            WHERE id = $1""",
        saved.id, saved.dispute_id, saved.stage, saved.response, saved.amount, saved.reason_code, saved.reason,
        saved.opened_at, saved.respond_by, evidence, saved.version, tx.now,
    )  # fmt: skip
    return replace(before, dispute=saved, evidence=evidence or before.evidence)


async def save_money(
    tx: Tx, before: StoredDispute, taken: int, next_at: datetime | None, *, moves: int | None = None
) -> StoredDispute:
    """Write what is taken for a locked dispute, and when to try again if that is not what it should be."""
    count = before.moves if moves is None else moves
    await tx.execute(
        "UPDATE dispute SET taken = $2, next_at = $3, moves = $4 WHERE id = $1",
        before.dispute.id,
        taken,
        next_at,
        count,
    )
    return replace(before, dispute=msgspec.structs.replace(before.dispute, amount_taken=taken), moves=count)


async def take_owed(tx: Tx, limit: int, lease: timedelta) -> list[tuple[str, str, Environment, int]]:
    """Return disputes whose money is to be moved again (id, partner, environment, book), put off for the lease."""
    rows = await tx.rows(
        """UPDATE dispute SET next_at = $1::timestamptz + $3::interval
            WHERE id IN (SELECT id FROM dispute WHERE next_at <= $1 ORDER BY next_at LIMIT $2 FOR NO KEY UPDATE SKIP LOCKED)
            RETURNING id, partner_id, environment, book""",
        tx.now, limit, lease,
    )  # fmt: skip
    return [(row["id"], row["partner_id"], Environment(row["environment"]), row["book"]) for row in rows]
