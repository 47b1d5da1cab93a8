"""The SQL of exchanges with card hosts and of the queue of what must still reach them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from shanraq.core.db import Row, Tx
from shanraq.core.money import Currency, Money
from shanraq.core.reseal import Sealed
from shanraq.payments.adapter import OperationKind


class Status(StrEnum):
    """What became of an exchange. `lost`: no usable answer, the queue takes care of it; of `absent` nothing stands."""

    SENDING = "sending"
    ANSWERED = "answered"
    LOST = "lost"
    REVERSED = "reversed"
    ABSENT = "absent"
    NOT_SENT = "not_sent"


class Need(StrEnum):
    """Why something is queued: to take an exchange back, to repeat it, or to free what a capture left of a hold."""

    REVERSAL = "reversal"
    REPEAT = "repeat"
    RELEASE = "release"


@dataclass(frozen=True, slots=True)
class Exchange:
    """One operation as it was sent to a host; `final` captures free the rest of their hold.

    `request_sealed` is None where nothing is kept (any more).
    """

    operation_id: str
    link: str
    reference: str
    kind: OperationKind
    sale: bool
    final: bool
    amount: Money
    rrn: str
    gateway_id: str
    target_id: str | None
    request_sealed: bytes | None
    status: Status
    response_code: str
    approval_code: str
    approved: Money
    deadline_at: datetime
    sent_at: datetime


@dataclass(frozen=True, slots=True)
class Queued:
    """A message that must reach the host; `attempts` counts how often it was sent.

    `refused` is the code with which the host refused it before it was queued again, empty if it did not.
    """

    id: int
    operation_id: str
    kind: Need
    message_sealed: bytes
    attempts: int
    refused: str


@dataclass(frozen=True, slots=True)
class Backlog:
    """The queue of a link: how many messages wait and were given up, and for how many seconds the oldest has waited."""

    waiting: int
    given_up: int
    oldest_seconds: float


@dataclass(frozen=True, slots=True)
class QueueEntry:
    """What an operator sees of a queued message; `reference` is the payment, `gateway_id` the host's name of the operation."""

    id: int
    link: str
    operation_id: str
    reference: str
    operation: str
    gateway_id: str
    need: str
    status: str
    attempts: int
    response_code: str
    created_at: datetime
    next_at: datetime


_EXCHANGE = """operation_id, link, reference, kind, sale, final, amount, currency, rrn, gateway_id, target_id, request_sealed,
    status, response_code, approval_code, approved_amount, deadline_at, sent_at"""


def _exchange(row: Row) -> Exchange:
    currency = Currency.historic(row["currency"])
    return Exchange(
        row["operation_id"], row["link"], row["reference"], OperationKind(row["kind"]), row["sale"], row["final"],
        Money(row["amount"], currency), row["rrn"], row["gateway_id"], row["target_id"], row["request_sealed"],
        Status(row["status"]), row["response_code"], row["approval_code"], Money(row["approved_amount"], currency),
        row["deadline_at"], row["sent_at"],
    )  # fmt: skip


async def next_trace(tx: Tx) -> str:
    """Return the next trace number, six digits; they begin again after a million."""
    number: int = await tx.value("SELECT nextval('host_trace')")
    return f"{number % 1_000_000:06d}"


async def insert_exchange(tx: Tx, exchange: Exchange) -> bool:
    """Write an exchange down, in place of one of the same operation that was never sent; tell whether it is the only one."""
    row = await tx.row(
        """
        INSERT INTO host_exchange (operation_id, link, reference, kind, sale, final, amount, currency, rrn, gateway_id,
                                   target_id, request_sealed, status, deadline_at, sent_at, settled_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
        ON CONFLICT (operation_id) DO UPDATE
            SET rrn = EXCLUDED.rrn, gateway_id = EXCLUDED.gateway_id, request_sealed = EXCLUDED.request_sealed,
                status = EXCLUDED.status, deadline_at = EXCLUDED.deadline_at, sent_at = EXCLUDED.sent_at, settled_at = NULL
            WHERE host_exchange.status = 'not_sent'
        RETURNING 1
        """,
        exchange.operation_id, exchange.link, exchange.reference, exchange.kind.value, exchange.sale, exchange.final,
        exchange.amount.minor, exchange.amount.currency.code, exchange.rrn, exchange.gateway_id, exchange.target_id,
        exchange.request_sealed, exchange.status.value, exchange.deadline_at, exchange.sent_at,
        None if exchange.status is Status.SENDING else tx.now,
    )  # fmt: skip
    return row is not None


async def find_exchange(tx: Tx, operation_id: str, *, lock: bool = False) -> Exchange | None:
    """Return the exchange of an operation."""
    sql = f"SELECT {_EXCHANGE} FROM host_exchange WHERE operation_id = $1"  # noqa: S608 (a constant of this file)
    row = await tx.row(sql + (" FOR UPDATE" if lock else ""), operation_id)
    return None if row is None else _exchange(row)


async def find_by_gateway_id(tx: Tx, link: str, gateway_id: str) -> Exchange | None:
    """Return and lock the exchange that the host knows by this name."""
    row = await tx.row(
        f"SELECT {_EXCHANGE} FROM host_exchange WHERE link = $1 AND gateway_id = $2 FOR UPDATE",  # noqa: S608
        link,
        gateway_id,
    )
    return None if row is None else _exchange(row)


async def answered(tx: Tx, operation_id: str, code: str, approval_code: str, approved_minor: int, rrn: str) -> bool:
    """Write an answer down, if the exchange is still awaiting one or is being repeated; tell whether it was.

    `rrn` is the reference number by which the host knows it from now on.
    """
    return bool(
        await tx.execute(
            """
            UPDATE host_exchange
            SET status = 'answered', response_code = $2, approval_code = $3, approved_amount = $4, settled_at = $5, rrn = $6
            WHERE operation_id = $1 AND status IN ('sending', 'lost')
            """,
            operation_id,
            code,
            approval_code,
            approved_minor,
            tx.now,
            rrn,
        )
    )


async def move(tx: Tx, operation_id: str, before: tuple[Status, ...], after: Status) -> bool:
    """Move an exchange; tell whether it was where it was thought to be."""
    return bool(
        await tx.execute(
            """
            UPDATE host_exchange
            SET status = $3, settled_at = CASE WHEN $3 IN ('sending', 'lost') THEN NULL ELSE $4::timestamptz END
            WHERE operation_id = $1 AND status = ANY ($2)
            """,
            operation_id,
            [status.value for status in before],
            after.value,
            tx.now,
        )
    )


async def late_answer(tx: Tx, link: str, gateway_id: str, code: str) -> None:
    """Remember what an answer said that came too late."""
    await tx.execute(
        "UPDATE host_exchange SET late_code = $3 WHERE link = $1 AND gateway_id = $2 AND late_code = ''",
        link,
        gateway_id,
        code,
    )


async def captured_minor(tx: Tx, authorization_id: str) -> int:
    """Return what captures of an authorisation stand or may stand, in minor units."""
    total: int = await tx.value(
        """
        SELECT coalesce(sum(CASE WHEN status = 'answered' THEN approved_amount ELSE amount END), 0)::bigint FROM host_exchange
        WHERE target_id = $1 AND kind = 'capture' AND status IN ('answered', 'sending', 'lost')
        """,
        authorization_id,
    )
    return total


async def overdue(tx: Tx, link: str, limit: int) -> list[Exchange]:
    """Return and lock exchanges whose process did not live to see an answer."""
    rows = await tx.rows(
        f"""
        SELECT {_EXCHANGE} FROM host_exchange WHERE link = $1 AND status = 'sending' AND deadline_at < $2
        ORDER BY deadline_at LIMIT $3 FOR UPDATE SKIP LOCKED
        """,  # noqa: S608 (a constant of this file)
        link,
        tx.now,
        limit,
    )
    return [_exchange(row) for row in rows]


async def forget_cards(tx: Tx, before: datetime) -> int:
    """Destroy the requests, card numbers with them, of exchanges made before, where nothing is under way."""
    return await tx.execute(
        """
        UPDATE host_exchange SET request_sealed = NULL
        WHERE request_sealed IS NOT NULL AND sent_at < $1 AND status NOT IN ('sending', 'lost')
        """,
        before,
    )


# The queue


async def enqueue(tx: Tx, link: str, operation_id: str, kind: Need, message_sealed: bytes) -> None:
    """Queue a message; one of this kind for the operation that waits already stays as it is, and is due now."""
    await tx.execute(
        """
        INSERT INTO host_forward (link, operation_id, kind, message_sealed, created_at, next_at)
        VALUES ($1, $2, $3, $4, $5, $5)
        ON CONFLICT (operation_id, kind) DO UPDATE SET next_at = EXCLUDED.next_at WHERE host_forward.status = 'waiting'
        """,
        link,
        operation_id,
        kind.value,
        message_sealed,
        tx.now,
    )


async def supersede(tx: Tx, operation_id: str, kind: Need) -> None:
    """Take a message out of the queue for which another one goes."""
    await tx.execute(
        """
        UPDATE host_forward SET status = 'superseded', message_sealed = NULL, ended_at = $3
        WHERE operation_id = $1 AND kind = $2 AND status IN ('waiting', 'given_up')
        """,
        operation_id,
        kind.value,
        tx.now,
    )


async def head(tx: Tx, link: str) -> tuple[Queued, bool] | None:
    """Return the first message of the queue, and whether it is due."""
    row = await tx.row(
        """
        SELECT id, operation_id, kind, message_sealed, attempts, response_code, next_at <= $2 AS due
        FROM host_forward WHERE link = $1 AND status = 'waiting' ORDER BY id LIMIT 1
        """,
        link,
        tx.now,
    )
    if row is None:
        return None
    queued = Queued(
        row["id"], row["operation_id"], Need(row["kind"]), row["message_sealed"], row["attempts"], row["response_code"]
    )
    return queued, row["due"]


async def attempt(tx: Tx, queued: Queued, again: timedelta) -> bool:
    """Write down that a message is being sent, and which; it is due again after `again`. Tells whether it still waited."""
    return bool(
        await tx.execute(
            """
            UPDATE host_forward SET attempts = attempts + 1, next_at = $2, message_sealed = $3, response_code = ''
            WHERE id = $1 AND status = 'waiting'
            """,
            queued.id,
            tx.now + again,
            queued.message_sealed,
        )
    )


async def not_attempted(tx: Tx, queued_id: int) -> None:
    """Take an attempt back: nothing left this machine, so that the next one is no repeat, and is due soon."""
    await tx.execute(
        "UPDATE host_forward SET attempts = attempts - 1, next_at = $2 WHERE id = $1 AND status = 'waiting' AND attempts > 0",
        queued_id,
        tx.now + timedelta(seconds=1),
    )


async def end(tx: Tx, queued_id: int, status: str, code: str) -> bool:
    """Take a message out of the queue; tell whether it was in it."""
    return bool(
        await tx.execute(
            """
            UPDATE host_forward SET status = $2, response_code = $3, ended_at = $4,
                                    message_sealed = CASE WHEN $2 = 'given_up' THEN message_sealed END
            WHERE id = $1 AND status = 'waiting'
            """,
            queued_id,
            status,
            code,
            tx.now,
        )
    )


async def backlog(tx: Tx, link: str) -> Backlog:
    """Return how long the queue of a link is."""
    row = await tx.row(
        """
        SELECT count(*) FILTER (WHERE status = 'waiting') AS waiting,
               count(*) FILTER (WHERE status = 'given_up') AS given_up,
               min(created_at) FILTER (WHERE status = 'waiting') AS oldest
        FROM host_forward WHERE link = $1 AND status IN ('waiting', 'given_up')
        """,
        link,
    )
    assert row is not None
    oldest = row["oldest"]
    return Backlog(row["waiting"], row["given_up"], (tx.now - oldest).total_seconds() if oldest else 0.0)


async def list_queue(tx: Tx, limit: int) -> list[QueueEntry]:
    """Return what waits and what was given up, of every link, the oldest first; no card data."""
    rows = await tx.rows(
        """
        SELECT f.id, f.link, f.operation_id, e.reference, e.kind AS operation, e.gateway_id, f.kind AS need, f.status,
               f.attempts, f.response_code, f.created_at, f.next_at
        FROM host_forward f JOIN host_exchange e USING (operation_id)
        WHERE f.status IN ('waiting', 'given_up') ORDER BY f.id LIMIT $1
        """,
        limit,
    )
    return [QueueEntry(*row) for row in rows]


async def queue_again(tx: Tx, queued_id: int) -> bool:
    """Put what was given up back into the queue; tell whether there was such a thing.

    What was never answered goes on being repeated. What was refused becomes a new message: a host answers a repeat as before.
    """
    return bool(
        await tx.execute(
            """
            UPDATE host_forward SET status = 'waiting', next_at = $2, ended_at = NULL,
                                    attempts = CASE WHEN response_code = '' THEN attempts ELSE 0 END
            WHERE id = $1 AND status = 'given_up'
            """,
            queued_id,
            tx.now,
        )
    )


def seal_context(operation_id: str) -> str:
    """Return what the sealed messages of an operation are bound to."""
    return f"host_exchange/{operation_id}"


SEALED: Final = (
    Sealed("host_exchange", ("operation_id",), "request_sealed", seal_context),
    Sealed("host_forward", ("id",), "message_sealed", seal_context, bound_to=("operation_id",)),
)
