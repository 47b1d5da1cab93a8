"""The SQL of ISO 20022 messages."""

from __future__ import annotations

from datetime import timedelta

from shanraq.core.actor import Environment
from shanraq.core.db import Row, Tx
from shanraq.messages.errors import MessageNotFoundError
from shanraq.messages.model import Direction, Message, MessageStatus, NewMessage, Party, Queued


def message_of(row: Row) -> Message:
    """Read a row of iso_message; its content, which may be long, is read alone."""
    return Message(
        id=row["id"], direction=Direction(row["direction"]), party=Party(row["party"]), definition=row["definition"],
        message_id=row["message_id"], business_id=row["business_id"], sender=row["sender"], receiver=row["receiver"],
        related_id=row["related_id"], status=MessageStatus(row["status"]), failure=row["failure"], size=row["size"],
        created_at=row["created_at"], updated_at=row["updated_at"],
    )  # fmt: skip


async def insert(tx: Tx, id_: str, new: NewMessage, sealed: bytes, digest: bytes) -> Message | None:
    """Write a message; None if a clearing system's with its business identifier is there."""
    actor = tx.actor
    assert actor.environment is not None, "a message belongs to an environment"
    row = await tx.row(
        """INSERT INTO iso_message (id, partner_id, environment, book, direction, party, definition, message_id, business_id,
                                    sender, receiver, related_id, status, content, size, digest, next_at, created_at,
                                    updated_at)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16,
                   CASE WHEN $13 IN ('queued', 'received') THEN $17::timestamptz END, $17, $17)
           ON CONFLICT (environment, direction, sender, business_id) WHERE party = 'clearing' DO NOTHING
           RETURNING *""",
        id_, actor.partner_id, actor.environment, actor.book, new.direction, new.party, new.definition, new.message_id,
        new.business_id, new.sender, new.receiver, new.related_id, new.status, sealed, len(new.content), digest, tx.now,
    )  # fmt: skip
    return None if row is None else message_of(row)


async def load(tx: Tx, id_: str) -> Message:
    """Return a message the actor may see; raise MessageNotFoundError."""
    row = await tx.row(
        """SELECT id, direction, party, definition, message_id, business_id, sender, receiver, related_id, status, failure,
                  size, created_at, updated_at
             FROM iso_message WHERE id = $1""",
        id_,
    )
    if row is None:
        raise MessageNotFoundError(field="message_id")
    return message_of(row)


async def load_content(tx: Tx, id_: str) -> bytes:
    """Return the sealed bytes of a message; raise MessageNotFoundError."""
    sealed: bytes | None = await tx.value("SELECT content FROM iso_message WHERE id = $1", id_)
    if sealed is None:
        raise MessageNotFoundError(field="message_id")
    return sealed


async def load_related(tx: Tx, id_: str) -> list[Message]:
    """Return what answers a message, oldest first."""
    rows = await tx.rows(
        """SELECT id, direction, party, definition, message_id, business_id, sender, receiver, related_id, status, failure,
                  size, created_at, updated_at
             FROM iso_message WHERE related_id = $1 ORDER BY id""",
        id_,
    )
    return [message_of(row) for row in rows]


async def load_named(tx: Tx, message_id: str) -> list[Message]:
    """Return the actor's messages with a message identifier, oldest first."""
    partner_id, environment = tx.actor.scope
    rows = await tx.rows(
        """SELECT id, direction, party, definition, message_id, business_id, sender, receiver, related_id, status, failure,
                  size, created_at, updated_at
             FROM iso_message WHERE partner_id = $1 AND environment = $2 AND message_id = $3 ORDER BY id""",
        partner_id, environment, message_id,
    )  # fmt: skip
    return [message_of(row) for row in rows]


async def page(tx: Tx, *, identification: str | None, after: str, limit: int) -> list[Message]:
    """Return messages newest first, after an id; one more than `limit` to tell whether more follow."""
    partner_id, environment = tx.actor.scope
    rows = await tx.rows(
        """SELECT id, direction, party, definition, message_id, business_id, sender, receiver, related_id, status, failure,
                  size, created_at, updated_at
             FROM iso_message
            WHERE partner_id = $1 AND environment = $2 AND ($3::text IS NULL OR message_id = $3) AND ($4 = '' OR id < $4)
            ORDER BY id DESC LIMIT $5 + 1""",
        partner_id, environment, identification, after, limit,
    )  # fmt: skip
    return [message_of(row) for row in rows]


async def take(tx: Tx, environment: Environment, status: MessageStatus, limit: int, lease: timedelta) -> list[Queued]:
    """Take messages that are due, for the time of the lease."""
    rows = await tx.rows(
        """UPDATE iso_message SET next_at = $4::timestamptz + $5::interval, attempts = attempts + 1, updated_at = $4
            WHERE id IN (SELECT id FROM iso_message
                          WHERE next_at <= $4 AND environment = $1 AND status = $2
                          ORDER BY next_at, id LIMIT $3 FOR UPDATE SKIP LOCKED)
            RETURNING *""",
        environment, status, limit, tx.now, lease,
    )  # fmt: skip
    return [
        Queued(
            message=message_of(row), partner_id=row["partner_id"], environment=Environment(row["environment"]),
            book=row["book"], attempts=row["attempts"], sealed=row["content"],
        )
        for row in sorted(rows, key=lambda row: row["id"])
    ]  # fmt: skip


async def move(tx: Tx, id_: str, before: MessageStatus, after: MessageStatus, failure: str = "") -> bool:
    """Move a message on; False if somebody else did."""
    written = await tx.execute(
        "UPDATE iso_message SET status = $3, failure = $4, next_at = NULL, updated_at = $5 WHERE id = $1 AND status = $2",
        id_, before, before.to(after), failure[:1000], tx.now,
    )  # fmt: skip
    return written == 1


async def is_settled(tx: Tx, id_: str) -> bool:
    """Tell whether a message that came in was acted on, or found to be of no use."""
    return bool(await tx.value("SELECT status IN ('applied', 'failed') FROM iso_message WHERE id = $1", id_))


async def postpone(tx: Tx, id_: str, delay: timedelta, failure: str) -> None:
    """Set when a message is due again."""
    await tx.execute(
        """UPDATE iso_message SET next_at = $2, failure = $3, updated_at = $4
            WHERE id = $1 AND status IN ('queued', 'received')""",
        id_, tx.now + delay, failure[:1000], tx.now,
    )  # fmt: skip


async def read_cursor(tx: Tx, environment: Environment, clearing: str) -> str:
    """Return the cursor of a mailbox, "" when nothing was read."""
    found: str | None = await tx.value(
        "SELECT cursor FROM clearing_mailbox WHERE environment = $1 AND clearing = $2", environment, clearing
    )
    return found or ""


async def write_cursor(tx: Tx, environment: Environment, clearing: str, cursor: str) -> None:
    """Set the cursor of a mailbox."""
    await tx.execute(
        """INSERT INTO clearing_mailbox (environment, clearing, cursor, updated_at) VALUES ($1, $2, $3, $4)
           ON CONFLICT (environment, clearing) DO UPDATE SET cursor = excluded.cursor, updated_at = excluded.updated_at""",
        environment, clearing, cursor, tx.now,
    )  # fmt: skip
