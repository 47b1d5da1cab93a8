"""The SQL of terminals and their messages."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import asyncpg

from shanraq.core.actor import Environment
from shanraq.core.db import Row, Tx
from shanraq.core.ids import number_of
from shanraq.terminals.errors import TerminalNotFoundError, TerminalTakenError
from shanraq.terminals.model import PREFIX, Asked, AskedKind, MessageStatus, Noted, Terminal, TerminalStatus


def _terminal_of(row: Row) -> Terminal:
    return Terminal(
        id=row["id"], partner_id=row["partner_id"], environment=Environment(row["environment"]), terminal=row["terminal"],
        acceptor=row["acceptor"], account_id=row["account_id"], name=row["name"], mac_key=row["mac_key"],
        status=TerminalStatus(row["status"]), created_at=row["created_at"], updated_at=row["updated_at"],
    )  # fmt: skip


async def insert_terminal(tx: Tx, terminal: Terminal) -> None:
    """Write a terminal down; raise TerminalTakenError."""
    try:
        await tx.execute(
            """INSERT INTO terminal (id, partner_id, environment, terminal, acceptor, account_id, name, mac_key, status,
                                     created_at, updated_at)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)""",
            terminal.id, terminal.partner_id, terminal.environment, terminal.terminal, terminal.acceptor, terminal.account_id,
            terminal.name, terminal.mac_key, terminal.status, terminal.created_at, terminal.updated_at,
        )  # fmt: skip
    except asyncpg.UniqueViolationError:
        raise TerminalTakenError(field="terminal") from None


async def find_by_identity(tx: Tx, environment: Environment, terminal: str, acceptor: str) -> Terminal | None:
    """Return the terminal that calls itself so."""
    row = await tx.row(
        "SELECT * FROM terminal WHERE environment = $1 AND terminal = $2 AND acceptor = $3",
        environment,
        terminal,
        acceptor,
    )
    return None if row is None else _terminal_of(row)


async def load_terminal(tx: Tx, terminal_id: str, *, lock: bool = False) -> Terminal:
    """Return a terminal, locked if asked; raise TerminalNotFoundError."""
    number_of(PREFIX, terminal_id, field="terminal_id")
    row = await tx.row(
        "SELECT * FROM terminal WHERE id = $1 FOR NO KEY UPDATE" if lock else "SELECT * FROM terminal WHERE id = $1",
        terminal_id,
    )
    if row is None:
        raise TerminalNotFoundError(field="terminal_id")
    return _terminal_of(row)


async def page_terminals(tx: Tx, limit: int) -> list[Terminal]:
    """Return terminals that the actor may see, newest first."""
    rows = await tx.rows("SELECT * FROM terminal ORDER BY id DESC LIMIT $1", limit)
    return [_terminal_of(row) for row in rows]


async def update_terminal(tx: Tx, terminal: Terminal) -> None:
    """Write the changed status, key, account and name of a terminal."""
    await tx.execute(
        "UPDATE terminal SET status = $2, mac_key = $3, account_id = $4, name = $5, updated_at = $6 WHERE id = $1",
        terminal.id, terminal.status, terminal.mac_key, terminal.account_id, terminal.name, terminal.updated_at,
    )  # fmt: skip


# Messages


def _noted_of(row: Row) -> Noted:
    return Noted(
        row["terminal_id"], row["key"], row["name"], AskedKind(row["kind"]), row["rrn"], row["amount"], row["currency"],
        row["payment_id"], row["original"], MessageStatus(row["status"]), row["response_code"], row["approval_code"],
        row["approved"], row["attempts"],
    )  # fmt: skip


async def note(tx: Tx, terminal: Terminal, asked: Asked) -> Noted:
    """Write a message down, or return what was written down of it before."""
    amount = asked.amount
    row = await tx.row(
        """INSERT INTO terminal_message (terminal_id, key, partner_id, environment, kind, rrn, amount, currency, original, name,
                                         status, received_at)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 'open', $11) ON CONFLICT DO NOTHING RETURNING *""",
        terminal.id, asked.key, terminal.partner_id, terminal.environment, asked.kind, asked.rrn,
        amount.minor if amount is not None else None, amount.currency.code if amount is not None else None,
        asked.original, asked.name, tx.now,
    )  # fmt: skip
    if row is not None:
        return replace(_noted_of(row), fresh=True)
    found = await find_message(tx, terminal.id, asked.key)
    assert found is not None, "a message in conflict is there"
    return found


async def find_message(tx: Tx, terminal_id: str, key: str, *, lock: bool = False) -> Noted | None:
    """Return the message of a key."""
    sql = "SELECT * FROM terminal_message WHERE terminal_id = $1 AND key = $2"
    row = await tx.row(sql + (" FOR UPDATE" if lock else ""), terminal_id, key)
    return None if row is None else _noted_of(row)


async def find_by_name(tx: Tx, terminal_id: str, name: str) -> Noted | None:
    """Return the newest message that original data elements call so."""
    row = await tx.row(
        "SELECT * FROM terminal_message WHERE terminal_id = $1 AND name = $2 ORDER BY received_at DESC LIMIT 1",
        terminal_id,
        name,
    )
    return None if row is None else _noted_of(row)


async def find_by_reference(tx: Tx, terminal_id: str, rrn: str) -> Noted | None:
    """Return the newest message that made a payment under a retrieval reference number."""
    row = await tx.row(
        """SELECT * FROM terminal_message WHERE terminal_id = $1 AND rrn = $2 AND kind IN ('authorize', 'sale')
           ORDER BY received_at DESC LIMIT 1""",
        terminal_id,
        rrn,
    )
    return None if row is None else _noted_of(row)


async def reversal_of(tx: Tx, terminal_id: str, name: str) -> Noted | None:
    """Return the reversal of a message, if one came."""
    row = await tx.row(
        """SELECT * FROM terminal_message WHERE terminal_id = $1 AND original = $2 AND kind = 'reversal'
           ORDER BY received_at LIMIT 1""",
        terminal_id,
        name,
    )
    return None if row is None else _noted_of(row)


async def answer(
    tx: Tx,
    terminal_id: str,
    key: str,
    code: str,
    *,
    approval_code: str,
    approved_minor: int | None,
    payment_id: str | None,
) -> bool:
    """Write the answer of an open message down; tell whether it was open."""
    return bool(
        await tx.execute(
            """UPDATE terminal_message SET status = 'answered', response_code = $3, approval_code = $4, approved = $5,
                                           payment_id = coalesce($6, payment_id), answered_at = $7
               WHERE terminal_id = $1 AND key = $2 AND status = 'open'""",
            terminal_id, key, code, approval_code, approved_minor, payment_id, tx.now,
        )
    )  # fmt: skip


async def made(tx: Tx, terminal_id: str, key: str, payment_id: str) -> None:
    """Remember which payment a message made."""
    await tx.execute(
        "UPDATE terminal_message SET payment_id = $3 WHERE terminal_id = $1 AND key = $2", terminal_id, key, payment_id
    )


async def accept(tx: Tx, terminal_id: str, key: str, payment_id: str | None, original: str) -> None:
    """Acknowledge a reversal that is still to be carried out, and keep which message it is about."""
    await tx.execute(
        """UPDATE terminal_message SET status = 'accepted', payment_id = $3, original = $4, next_at = $5, answered_at = $5
           WHERE terminal_id = $1 AND key = $2 AND status = 'open'""",
        terminal_id, key, payment_id, original, tx.now,
    )  # fmt: skip


async def take_accepted(tx: Tx, limit: int, lease: timedelta) -> list[tuple[Noted, str, Environment]]:
    """Lease reversals that are due to this process; with their partner and environment."""
    rows = await tx.rows(
        """UPDATE terminal_message m SET next_at = $1 + $3::interval, attempts = attempts + 1
             FROM (SELECT terminal_id, key FROM terminal_message WHERE status = 'accepted' AND next_at <= $1
                    ORDER BY next_at LIMIT $2 FOR UPDATE SKIP LOCKED) due
            WHERE m.terminal_id = due.terminal_id AND m.key = due.key RETURNING m.*""",
        tx.now,
        limit,
        lease,
    )
    return [(_noted_of(row), row["partner_id"], Environment(row["environment"])) for row in rows]


async def later(tx: Tx, terminal_id: str, key: str, after: timedelta) -> None:
    """Look at a reversal again after a while."""
    await tx.execute(
        "UPDATE terminal_message SET next_at = $3 WHERE terminal_id = $1 AND key = $2 AND status = 'accepted'",
        terminal_id, key, tx.now + after,
    )  # fmt: skip


async def carried_out(tx: Tx, terminal_id: str, key: str) -> None:
    """End a reversal that was carried out, or has nothing to take back."""
    await tx.execute(
        """UPDATE terminal_message SET status = 'answered', next_at = NULL
           WHERE terminal_id = $1 AND key = $2 AND status = 'accepted'""",
        terminal_id,
        key,
    )
