"""The SQL of credit transfers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from shanraq.core.actor import SYSTEM, Actor, Environment
from shanraq.core.db import Row, Tx
from shanraq.core.ids import number_of
from shanraq.credit_transfers.errors import CreditTransferNotFoundError, RecallNotFoundError
from shanraq.credit_transfers.model import (
    PREFIX,
    RECALL_PREFIX,
    CreditTransfer,
    Recall,
    RecallStatus,
    Route,
    Step,
    TransferStatus,
)


@dataclass(frozen=True, slots=True)
class Owned:
    """A transfer's place: whose it is, and the message it went out with."""

    id: str
    partner_id: str
    environment: Environment
    book: int
    payment_file_id: str
    message_id: str | None
    uetr: str
    end_to_end_id: str

    @property
    def actor(self) -> Actor:
        """Return the system acting for the owner."""
        return SYSTEM.acting_for(self.partner_id, self.environment, self.book)


def transfer_of(row: Row) -> CreditTransfer:
    """Read a row of credit_transfer."""
    return CreditTransfer(
        id=row["id"], payment_file_id=row["payment_file_id"], position=row["position"], block=row["block"],
        block_id=row["block_id"], instruction_id=row["instruction_id"], end_to_end_id=row["end_to_end_id"],
        uetr=row["uetr"], amount=row["amount"], currency=row["currency"], debtor_account=row["debtor_account"],
        creditor_account=row["creditor_account"], execution_date=row["execution_date"], route=Route(row["route"]),
        status=TransferStatus(row["status"]), clearing_status=row["clearing_status"], reason=row["reason"],
        reason_text=row["reason_text"], message_id=row["message_id"],
        transaction_id=row["transaction_id"],
        amount_returned=row["amount_returned"],
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


async def walk_file(tx: Tx, payment_file_id: str) -> AsyncIterator[CreditTransfer]:
    """Yield the transfers of a file in its order, as they all stood at one moment."""
    partner_id, environment = tx.actor.scope
    async for row in tx.cursor(
        """SELECT * FROM credit_transfer
            WHERE payment_file_id = $1 AND partner_id = $2 AND environment = $3 ORDER BY position""",
        payment_file_id, partner_id, environment,
    ):  # fmt: skip
        yield transfer_of(row)


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


async def next_due(tx: Tx, today: date) -> Owned | None:
    """Return, as the system, the first transfer that is to be carried out."""
    row = await tx.row(
        """SELECT * FROM credit_transfer WHERE status = 'received' AND execution_date <= $1
            ORDER BY execution_date, payment_file_id, position LIMIT 1 FOR UPDATE SKIP LOCKED""",
        today,
    )
    return None if row is None else _owned(row)


async def take_due(tx: Tx, payment_file_id: str, today: date, limit: int) -> list[Row]:
    """Return transfers of a file that are due, in its order, locked; those that another process has are left out."""
    return await tx.rows(
        """SELECT * FROM credit_transfer
            WHERE status = 'received' AND execution_date <= $2 AND payment_file_id = $1
            ORDER BY position LIMIT $3 FOR UPDATE SKIP LOCKED""",
        payment_file_id, today, limit,
    )  # fmt: skip


async def move_all(tx: Tx, after: Sequence[CreditTransfer], *, ask_at: datetime | None = None) -> None:
    """Write locked transfers that moved on, in one statement; those submitted are asked for at `ask_at`."""
    if not after:
        return
    written = await tx.execute(
        """UPDATE credit_transfer t
              SET debtor_account = u.debtor_account, creditor_account = u.creditor_account, route = u.route,
                  status = u.status, clearing_status = u.clearing_status, reason = u.reason, reason_text = u.reason_text,
                  transaction_id = u.transaction_id, amount_returned = u.amount_returned,
                  return_transaction_id = u.return_transaction_id, message_id = u.message_id, settled_at = u.settled_at,
                  version = u.version, updated_at = $1,
                  next_check_at = CASE WHEN u.status = 'submitted' THEN coalesce($2, t.next_check_at) END
             FROM unnest($3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[],
                         $11::text[], $12::bigint[], $13::text[], $14::text[], $15::timestamptz[], $16::int[])
                  u(id, debtor_account, creditor_account, route, status, clearing_status, reason, reason_text,
                    transaction_id, amount_returned, return_transaction_id, message_id, settled_at, version)
            WHERE t.id = u.id AND t.version = u.version - 1""",
        tx.now, ask_at,
        [one.id for one in after], [one.debtor_account for one in after], [one.creditor_account for one in after],
        [one.route for one in after], [one.status for one in after], [one.clearing_status for one in after],
        [one.reason for one in after], [one.reason_text for one in after], [one.transaction_id for one in after],
        [one.amount_returned for one in after], [one.return_transaction_id for one in after],
        [one.message_id for one in after], [one.settled_at for one in after], [one.version for one in after],
    )  # fmt: skip
    assert written == len(after), "the rows are locked"


def add_steps(tx: Tx, message_id: str, definition: str, steps: Sequence[tuple[str, str, str]]) -> None:
    """Note what a message says of transfers: (transfer id, status, reason)."""
    partner_id, environment = tx.actor.scope
    if not steps:
        return
    tx.write(
        """INSERT INTO credit_transfer_step (credit_transfer_id, partner_id, environment, message_id, definition, status,
                                             reason, at)
           SELECT u.id, $1, $2, $3, $4, u.status, u.reason, $5 FROM unnest($6::text[], $7::text[], $8::text[])
                  u(id, status, reason)""",
        partner_id, environment, message_id, definition, tx.now,
        [id_ for id_, _, _ in steps], [status for _, status, _ in steps], [reason for _, _, reason in steps],
    )  # fmt: skip


async def steps_of(tx: Tx, transfer_id: str) -> list[Step]:
    """Return what messages said of a transfer, oldest first."""
    rows = await tx.rows("SELECT * FROM credit_transfer_step WHERE credit_transfer_id = $1 ORDER BY id", transfer_id)
    return [
        Step(
            message_id=row["message_id"], definition=row["definition"], status=row["status"], reason=row["reason"],
            at=row["at"],
        )
        for row in rows
    ]  # fmt: skip


async def resolve(
    tx: Tx, environment: Environment, ids: Sequence[str], uetrs: Sequence[str], message_ids: Sequence[str]
) -> list[Owned]:
    """Return, as the system, the transfers of a clearing with these ids or UETRs, or that went out with these messages."""
    rows = await tx.rows(
        """SELECT id, partner_id, environment, book, payment_file_id, message_id, uetr, end_to_end_id FROM credit_transfer
            WHERE environment = $1 AND route = 'clearing'
              AND id IN (SELECT id FROM credit_transfer WHERE id = ANY($2)
                         UNION SELECT id FROM credit_transfer WHERE uetr = ANY($3)
                         UNION SELECT id FROM credit_transfer WHERE message_id = ANY($4))
            ORDER BY id""",
        environment, list(ids), list(uetrs), list(message_ids),
    )  # fmt: skip
    return [_owned(row) for row in rows]


async def lock(tx: Tx, transfer_ids: Sequence[str]) -> dict[str, CreditTransfer]:
    """Return transfers by id, locked in the order of their ids."""
    rows = await tx.rows("SELECT * FROM credit_transfer WHERE id = ANY($1) ORDER BY id FOR UPDATE", list(transfer_ids))
    return {row["id"]: transfer_of(row) for row in rows}


async def of_message(tx: Tx, message_id: str) -> list[CreditTransfer]:
    """Return the transfers that went out with a message, locked."""
    rows = await tx.rows("SELECT * FROM credit_transfer WHERE message_id = $1 ORDER BY id FOR UPDATE", message_id)
    return [transfer_of(row) for row in rows]


async def all_after(tx: Tx, after: str, limit: int) -> list[CreditTransfer]:
    """Return transfers of all partners in the order of their ids, as the system."""
    rows = await tx.rows("SELECT * FROM credit_transfer WHERE id > $1 ORDER BY id LIMIT $2", after, limit)
    return [transfer_of(row) for row in rows]


async def take_unanswered(tx: Tx, environment: Environment, limit: int, longest: timedelta) -> list[Owned]:
    """Take, as the system, submitted transfers whose status is to be asked for; each time the pause doubles."""
    rows = await tx.rows(
        """UPDATE credit_transfer
              SET checks = checks + 1,
                  next_check_at = $2::timestamptz + least(interval '1 minute' * (2 ^ least(checks, 12)), $4::interval)
            WHERE id IN (SELECT id FROM credit_transfer WHERE next_check_at <= $2 AND environment = $1
                          ORDER BY next_check_at, id LIMIT $3 FOR UPDATE SKIP LOCKED)
            RETURNING *""",
        environment, tx.now, limit, longest,
    )  # fmt: skip
    return [_owned(row) for row in rows]


async def oldest_unanswered(tx: Tx) -> datetime | None:
    """Return when the oldest transfer that a clearing system has not decided was last changed."""
    found: datetime | None = await tx.value(
        "SELECT min(created_at) FROM credit_transfer WHERE next_check_at IS NOT NULL"
    )
    return found


async def forget_claims(tx: Tx, before: datetime, limit: int) -> int:
    """Give back identifiers claimed before an instant."""
    return await tx.execute(
        """DELETE FROM credit_transfer_claim WHERE ctid = ANY(ARRAY(
               SELECT ctid FROM credit_transfer_claim WHERE claimed_at < $1 LIMIT $2))""",
        before, limit,
    )  # fmt: skip


def recall_of(row: Row) -> Recall:
    """Read a row of recall."""
    return Recall(
        id=row["id"], credit_transfer_id=row["credit_transfer_id"], reason=row["reason"], reason_text=row["reason_text"],
        status=RecallStatus(row["status"]), answer_reason=row["answer_reason"], version=row["version"],
        created_at=row["created_at"], updated_at=row["updated_at"],
    )  # fmt: skip


async def insert_recall(tx: Tx, recall: Recall, message_id: str) -> bool:
    """Write a new recall; False if one of the transfer is open."""
    partner_id, environment = tx.actor.scope
    written = await tx.execute(
        """INSERT INTO recall (id, credit_transfer_id, partner_id, environment, book, reason, reason_text, status, message_id,
                               created_at, updated_at)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10)
           ON CONFLICT (credit_transfer_id) WHERE status IN ('requested', 'pending') DO NOTHING""",
        recall.id, recall.credit_transfer_id, partner_id, environment, tx.actor.book, recall.reason, recall.reason_text,
        recall.status, message_id, tx.now,
    )  # fmt: skip
    return written == 1


async def load_recall(tx: Tx, recall_id: str) -> Recall:
    """Return a recall of the partner; raise RecallNotFoundError."""
    number_of(RECALL_PREFIX, recall_id, field="recall_id")
    partner_id, environment = tx.actor.scope
    row = await tx.row(
        "SELECT * FROM recall WHERE id = $1 AND partner_id = $2 AND environment = $3",
        recall_id,
        partner_id,
        environment,
    )
    if row is None:
        raise RecallNotFoundError(field="recall_id")
    return recall_of(row)


async def recalls_of(tx: Tx, transfer_id: str, *, lock_open: bool = False) -> list[Recall]:
    """Return the recalls of a transfer, oldest first; those that are open alone, and locked, if asked."""
    rows = await tx.rows(
        "SELECT * FROM recall WHERE credit_transfer_id = $1 AND status IN ('requested', 'pending') ORDER BY id FOR UPDATE"
        if lock_open
        else "SELECT * FROM recall WHERE credit_transfer_id = $1 ORDER BY id",
        transfer_id,
    )
    return [recall_of(row) for row in rows]


async def move_recall(tx: Tx, after: Recall) -> None:
    """Write a locked recall that moved on."""
    written = await tx.execute(
        """UPDATE recall SET status = $3, answer_reason = $4, version = $2, updated_at = $5
            WHERE id = $1 AND version = $2 - 1""",
        after.id, after.version, after.status, after.answer_reason, tx.now,
    )  # fmt: skip
    assert written == 1, "the row is locked"


async def recalls_of_message(tx: Tx, message_id: str) -> list[Recall]:
    """Return the recalls that a camt.056 asked for, locked."""
    rows = await tx.rows("SELECT * FROM recall WHERE message_id = $1 ORDER BY id FOR UPDATE", message_id)
    return [recall_of(row) for row in rows]


def _owned(row: Row) -> Owned:
    return Owned(
        row["id"], row["partner_id"], Environment(row["environment"]), row["book"], row["payment_file_id"],
        row["message_id"], row["uetr"], row["end_to_end_id"],
    )  # fmt: skip
