"""The SQL of payment files."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

import msgspec

from shanraq.core.actor import SYSTEM, Actor, Environment
from shanraq.core.db import Row, Tx
from shanraq.core.ids import number_of
from shanraq.credit_transfers import Rejection
from shanraq.payment_files.errors import PaymentFileNotFoundError
from shanraq.payment_files.model import (
    PREFIX,
    FileFinding,
    FileProfile,
    FileStatus,
    PaymentFile,
    Progress,
    Verdict,
)


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """A file that a worker has for the time of its lease, under the name `by`."""

    file: PaymentFile
    by: str
    partner_id: str
    environment: Environment
    book: int
    pieces: int

    @property
    def actor(self) -> Actor:
        """Return the system acting for the file's owner."""
        return SYSTEM.acting_for(self.partner_id, self.environment, self.book)


def file_of(row: Row) -> PaymentFile:
    """Read a row of payment_file."""
    return PaymentFile(
        id=row["id"], name=row["name"], profile=FileProfile(row["profile"]), size=row["size"],
        sha256=row["digest"].hex(), definition=row["definition"], message_id=row["message_id"],
        status=FileStatus(row["status"]), reason=row["reason"], reason_text=row["reason_text"],
        findings=msgspec.convert(row["findings"], list[FileFinding]), transactions=row["transactions"],
        control_sum=row["control_sum"], progress=Progress(row["loaded"], row["counts"]), version=row["version"],
        created_at=row["created_at"], updated_at=row["updated_at"], completed_at=row["completed_at"],
    )  # fmt: skip


async def insert_piece(tx: Tx, file_id: str, number: int, sealed: bytes) -> None:
    """Write a piece of an upload."""
    partner_id, environment = tx.actor.scope
    await tx.execute(
        """INSERT INTO payment_file_piece (payment_file_id, partner_id, environment, number, content, written_at)
           VALUES ($1, $2, $3, $4, $5, $6)""",
        file_id, partner_id, environment, number, sealed, tx.now,
    )  # fmt: skip


async def load_piece(tx: Tx, file_id: str, number: int) -> bytes:
    """Return a sealed piece of a file."""
    sealed: bytes | None = await tx.value(
        "SELECT content FROM payment_file_piece WHERE payment_file_id = $1 AND number = $2", file_id, number
    )
    assert sealed is not None, "a file has all its pieces"
    return sealed


async def delete_pieces(tx: Tx, file_id: str) -> int:
    """Delete the pieces of an upload that became no file."""
    return await tx.execute(
        """DELETE FROM payment_file_piece
            WHERE payment_file_id = $1 AND NOT EXISTS (SELECT FROM payment_file WHERE id = $1)""",
        file_id,
    )


async def sweep_pieces(tx: Tx, before: datetime, limit: int) -> int:
    """Delete pieces written before an instant that belong to no file; returns how many."""
    return await tx.execute(
        """DELETE FROM payment_file_piece WHERE ctid = ANY(ARRAY(
               SELECT p.ctid FROM payment_file_piece p
                WHERE p.written_at < $1 AND NOT EXISTS (SELECT FROM payment_file f WHERE f.id = p.payment_file_id)
                LIMIT $2))""",
        before, limit,
    )  # fmt: skip


async def insert(tx: Tx, file: PaymentFile, pieces: int) -> str:
    """Write a new file; return "" or, if its bytes are those of another file, the id of that."""
    partner_id, environment = tx.actor.scope
    digest = bytes.fromhex(file.sha256)
    written = await tx.execute(
        """INSERT INTO payment_file (id, partner_id, environment, book, name, profile, size, digest, pieces, status, next_at,
                                     created_at, updated_at)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $11, $11)
           ON CONFLICT (partner_id, environment, digest) WHERE status <> 'rejected' DO NOTHING""",
        file.id, partner_id, environment, tx.actor.book, file.name, file.profile, file.size, digest, pieces, file.status,
        tx.now,
    )  # fmt: skip
    if written:
        return ""
    earlier: str = await tx.value(
        """SELECT id FROM payment_file
            WHERE partner_id = $1 AND environment = $2 AND digest = $3 AND status <> 'rejected'""",
        partner_id, environment, digest,
    )  # fmt: skip
    return earlier


async def load(tx: Tx, file_id: str) -> PaymentFile:
    """Return a file of the partner; raise PaymentFileNotFoundError."""
    return file_of(await load_row(tx, file_id))


async def load_row(tx: Tx, file_id: str) -> Row:
    """Return the row of a file of the partner; raise PaymentFileNotFoundError."""
    number_of(PREFIX, file_id, field="payment_file_id")
    partner_id, environment = tx.actor.scope
    row = await tx.row(
        "SELECT * FROM payment_file WHERE id = $1 AND partner_id = $2 AND environment = $3",
        file_id, partner_id, environment,
    )  # fmt: skip
    if row is None:
        raise PaymentFileNotFoundError(field="payment_file_id")
    return row


async def page(tx: Tx, *, status: FileStatus | None, after: str, limit: int) -> list[PaymentFile]:
    """Return files newest first, after an id; one more than `limit` to tell whether more follow."""
    partner_id, environment = tx.actor.scope
    rows = await tx.rows(
        """SELECT id, name, profile, size, digest, definition, message_id, status, reason, reason_text, findings, transactions,
                  control_sum, loaded, counts, version, created_at, updated_at, completed_at
             FROM payment_file
            WHERE partner_id = $1 AND environment = $2 AND ($3::text IS NULL OR status = $3) AND ($4 = '' OR id < $4)
            ORDER BY id DESC LIMIT $5 + 1""",
        partner_id, environment, status, after, limit,
    )  # fmt: skip
    return [file_of(row) for row in rows]


async def take(tx: Tx, by: str, lease: timedelta) -> Taken | None:
    """Take the file that is due longest, for the time of the lease: nobody else gets it until that ends."""
    row = await tx.row(
        """UPDATE payment_file SET next_at = $2::timestamptz + $3::interval, taken_by = $1
            WHERE id = (SELECT id FROM payment_file WHERE next_at <= $2 ORDER BY next_at, id LIMIT 1
                           FOR UPDATE SKIP LOCKED)
            RETURNING *""",
        by, tx.now, lease,
    )  # fmt: skip
    if row is None:
        return None
    return Taken(
        file=file_of(row), by=by, partner_id=row["partner_id"], environment=Environment(row["environment"]),
        book=row["book"], pieces=row["pieces"],
    )  # fmt: skip


async def renew(tx: Tx, taken: Taken, lease: timedelta) -> None:
    """Have a file for longer, unless somebody else took it meanwhile."""
    await tx.execute(
        "UPDATE payment_file SET next_at = $3 WHERE id = $1 AND taken_by = $2 AND next_at IS NOT NULL",
        taken.file.id, taken.by, tx.now + lease,
    )  # fmt: skip


async def message_taken(tx: Tx, file_id: str, message_id: str) -> bool:
    """Tell whether another file of the partner, not rejected, has this message identifier."""
    partner_id, environment = tx.actor.scope
    return bool(
        await tx.value(
            """SELECT EXISTS (SELECT FROM payment_file
                               WHERE partner_id = $1 AND environment = $2 AND message_id = $3 AND status <> 'rejected'
                                 AND id <> $4)""",
            partner_id, environment, message_id, file_id,
        )
    )  # fmt: skip


async def judge(tx: Tx, taken: Taken, verdict: Verdict, status: FileStatus, transactions: int) -> PaymentFile | None:
    """Write what validation said; None if the file is somebody else's now."""
    rejection = verdict.rejection or Rejection("")
    row = await tx.row(
        """UPDATE payment_file
              SET status = $3, definition = $4, message_id = $5, message_created_at = $6, control_sum = $7, transactions = $8,
                  findings = $9, rejections = $10, reason = $11, reason_text = $12, version = version + 1, updated_at = $13,
                  next_at = CASE WHEN $3 = 'rejected' THEN NULL ELSE $13::timestamptz END, taken_by = '',
                  completed_at = CASE WHEN $3 = 'rejected' THEN $13::timestamptz END
            WHERE id = $1 AND taken_by = $2 AND status = 'received'
            RETURNING *""",
        taken.file.id, taken.by, status, verdict.definition, verdict.heading.message_id, verdict.heading.created_at,
        verdict.heading.control_sum, transactions, verdict.findings,
        [(*place, one.reason, one.text) for place, one in verdict.rejections.items()], rejection.reason, rejection.text,
        tx.now,
    )  # fmt: skip
    return None if row is None else file_of(row)


async def load_rejections(tx: Tx, file_id: str) -> dict[tuple[int, int], Rejection]:
    """Return which blocks and transactions validation refused."""
    rows = msgspec.convert(
        await tx.value("SELECT rejections FROM payment_file WHERE id = $1", file_id), list[tuple[int, int, str, str]]
    )
    return {(block, number): Rejection(reason, text) for block, number, reason, text in rows}


async def load_losses(tx: Tx, file_id: str) -> dict[str, int]:
    """Return how many values the conversion of a file left out or changed so far, by path."""
    return msgspec.convert(await tx.value("SELECT losses FROM payment_file WHERE id = $1", file_id), dict[str, int])


async def move_loaded(
    tx: Tx, taken: Taken, before: int, after: int, losses: Mapping[str, int], lease: timedelta
) -> bool:
    """Note that transactions are stored as transfers up to a position; False if somebody else did, or has the file now."""
    written = await tx.execute(
        """UPDATE payment_file
              SET loaded = $4, transactions = greatest(transactions, $4), losses = $5, next_at = $6, version = version + 1,
                  updated_at = $7
            WHERE id = $1 AND taken_by = $2 AND loaded = $3 AND status = 'loading'""",
        taken.file.id, taken.by, before, after, losses, tx.now + lease, tx.now,
    )  # fmt: skip
    return written == 1


async def end_loading(tx: Tx, taken: Taken, findings: list[FileFinding]) -> bool:
    """Note that all transactions are stored; False if the file is somebody else's now."""
    written = await tx.execute(
        """UPDATE payment_file
              SET status = 'processing', transactions = loaded, findings = $3, next_at = $4, taken_by = '',
                  version = version + 1, updated_at = $4
            WHERE id = $1 AND taken_by = $2 AND status = 'loading'""",
        taken.file.id, taken.by, findings, tx.now,
    )  # fmt: skip
    return written == 1


async def look_again(tx: Tx, taken: Taken, counts: Mapping[str, int], after: timedelta) -> None:
    """Note where the transfers of a file stand, and when to look again."""
    changed = counts != taken.file.progress.by_status
    await tx.execute(
        """UPDATE payment_file
              SET counts = $3, next_at = $4, taken_by = '', version = version + $5,
                  updated_at = CASE WHEN $5 = 1 THEN $6 ELSE updated_at END
            WHERE id = $1 AND taken_by = $2 AND status = 'processing'""",
        taken.file.id, taken.by, counts, tx.now + after, int(changed), tx.now,
    )  # fmt: skip


async def complete(tx: Tx, taken: Taken, counts: Mapping[str, int]) -> PaymentFile | None:
    """Complete a file; None if somebody else did."""
    row = await tx.row(
        """UPDATE payment_file
              SET status = 'completed', counts = $3, next_at = NULL, taken_by = '', version = version + 1, updated_at = $4,
                  completed_at = $4
            WHERE id = $1 AND taken_by = $2 AND status = 'processing'
            RETURNING *""",
        taken.file.id, taken.by, counts, tx.now,
    )  # fmt: skip
    return None if row is None else file_of(row)
