"""The books of the clearing simulator: an SQLite database, so that what was answered survives the end of the process.

Everything a message changes is one transaction of it: the message itself, the payments, the entries, what is to be sent.
Amounts are integers of minor units; an entry belongs to the account of a participant, positive when money comes.
"""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS received (
    sender TEXT, business_id TEXT, definition TEXT, digest BLOB, at REAL, PRIMARY KEY (sender, business_id));
CREATE TABLE IF NOT EXISTS payment (
    id INTEGER PRIMARY KEY, participant TEXT, incoming INTEGER, message_id TEXT, definition TEXT, instruction_id TEXT,
    end_to_end_id TEXT, transaction_id TEXT, uetr TEXT, amount INTEGER, currency TEXT, day TEXT, bank TEXT, status TEXT,
    reason TEXT, returned INTEGER DEFAULT 0, asked INTEGER DEFAULT 0, silent INTEGER DEFAULT 0);
CREATE INDEX IF NOT EXISTS payment_uetr ON payment (uetr);
CREATE INDEX IF NOT EXISTS payment_message ON payment (message_id);
CREATE INDEX IF NOT EXISTS payment_end_to_end ON payment (end_to_end_id);
CREATE TABLE IF NOT EXISTS entry (
    id INTEGER PRIMARY KEY, participant TEXT, currency TEXT, amount INTEGER, payment INTEGER, kind TEXT, day TEXT, at REAL);
CREATE INDEX IF NOT EXISTS entry_day ON entry (participant, currency, day);
CREATE TABLE IF NOT EXISTS balance (
    participant TEXT, currency TEXT, amount INTEGER, PRIMARY KEY (participant, currency)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS mailbox (
    cursor INTEGER PRIMARY KEY AUTOINCREMENT, participant TEXT, business_id TEXT, definition TEXT, content BLOB);
CREATE INDEX IF NOT EXISTS mailbox_of ON mailbox (participant, cursor);
CREATE TABLE IF NOT EXISTS due (id INTEGER PRIMARY KEY, at REAL, kind TEXT, payment INTEGER, reason TEXT);
CREATE INDEX IF NOT EXISTS due_at ON due (at);
CREATE TABLE IF NOT EXISTS closed (
    participant TEXT, currency TEXT, number INTEGER, day TEXT, last_entry INTEGER, balance INTEGER,
    PRIMARY KEY (participant, currency, number));
CREATE TABLE IF NOT EXISTS setting (name TEXT PRIMARY KEY, value TEXT);
"""


@dataclass(frozen=True, slots=True)
class Payment:
    """One payment of a participant; `incoming` ones were sent to it. `id` 0 is not written yet."""

    participant: str
    message_id: str
    definition: str
    instruction_id: str
    end_to_end_id: str
    transaction_id: str
    uetr: str
    amount: int
    currency: str
    day: str
    bank: str
    status: str = ""
    reason: str = ""
    incoming: bool = False
    returned: bool = False
    asked: int = 0
    silent: bool = False
    id: int = 0


@dataclass(frozen=True, slots=True)
class Due:
    """What is to be done with a payment at a time (seconds of the simulator's clock)."""

    kind: str
    payment: int
    reason: str


@dataclass(frozen=True, slots=True)
class Entry:
    """A booking on a participant's account."""

    id: int
    amount: int
    kind: str
    day: str
    payment: Payment


@dataclass(frozen=True, slots=True)
class Letter:
    """A message of a mailbox."""

    cursor: int
    business_id: str
    definition: str
    content: str


@dataclass(frozen=True, slots=True)
class Closing:
    """The end of a participant's last statement."""

    number: int
    last_entry: int
    balance: int


_FIELDS: Final = (
    "participant", "message_id", "definition", "instruction_id", "end_to_end_id", "transaction_id", "uetr", "amount",
    "currency", "day", "bank", "status", "reason", "incoming", "returned", "asked", "silent",
)  # fmt: skip
_COLUMNS: Final = ", ".join(f"payment.{name}" for name in (*_FIELDS, "id"))
_INSERT: Final = f"INSERT INTO payment ({', '.join(_FIELDS)}) VALUES ({', '.join('?' * len(_FIELDS))})"  # noqa: S608


class Books:
    """One connection; its calls do not run side by side."""

    def __init__(self, path: Path | None, opening_balance: int) -> None:
        self._connection = sqlite3.connect(path or ":memory:", isolation_level=None, check_same_thread=False)
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = NORMAL")
        self._connection.executescript(_SCHEMA)
        self._opening_balance = opening_balance

    def close(self) -> None:
        """Close the database."""
        self._connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Do all of the block or nothing."""
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")

    # What came in.

    def digest_of(self, sender: str, business_id: str) -> bytes | None:
        """Return the digest of a message that was taken, None when it was not."""
        row = self._connection.execute(
            "SELECT digest FROM received WHERE sender = ? AND business_id = ?", (sender, business_id)
        ).fetchone()
        return None if row is None else row[0]

    def receive(self, sender: str, business_id: str, definition: str, digest: bytes, at: float) -> None:
        """Note that a message was taken."""
        self._connection.execute(
            "INSERT INTO received VALUES (?, ?, ?, ?, ?)", (sender, business_id, definition, digest, at)
        )

    # Payments.

    def add(self, payments: Iterable[Payment]) -> list[Payment]:
        """Write new payments; returns them with their ids."""
        written = []
        for payment in payments:
            row = self._connection.execute(_INSERT, tuple(getattr(payment, name) for name in _FIELDS))
            written.append(replace(payment, id=int(row.lastrowid or 0)))
        return written

    def update(self, payment: Payment, **changes: object) -> Payment:
        """Write what changed of a payment."""
        after = replace(payment, **changes)  # type: ignore[arg-type]
        self._connection.execute(
            "UPDATE payment SET status = ?, reason = ?, returned = ?, asked = ?, silent = ? WHERE id = ?",
            (after.status, after.reason, after.returned, after.asked, after.silent, after.id),
        )
        return after

    def payment(self, payment_id: int) -> Payment:
        """Return a payment by its number."""
        return self._payments("id = ?", payment_id)[0]

    def by_uetr(self, uetr: str) -> list[Payment]:
        """Return the payments with a UETR."""
        return self._payments("uetr = ?", uetr)

    def by_end_to_end_id(self, end_to_end_id: str) -> list[Payment]:
        """Return the payments with an end-to-end identification."""
        return self._payments("end_to_end_id = ?", end_to_end_id)

    def by_message(self, message_id: str) -> list[Payment]:
        """Return the payments of a message."""
        return self._payments("message_id = ?", message_id)

    def _payments(self, condition: str, value: object) -> list[Payment]:
        rows = self._connection.execute(f"SELECT {_COLUMNS} FROM payment WHERE {condition} ORDER BY id", (value,))  # noqa: S608
        return [_payment(row) for row in rows]

    def counts(self) -> dict[str, int]:
        """Return how many payments have each status."""
        return dict(self._connection.execute("SELECT status, count(*) FROM payment GROUP BY status").fetchall())

    # Money.

    def balance(self, participant: str, currency: str) -> int:
        """Return what a participant has, in minor units."""
        row = self._connection.execute(
            "SELECT amount FROM balance WHERE participant = ? AND currency = ?", (participant, currency)
        ).fetchone()
        return self._opening_balance if row is None else int(row[0])

    def balances(self) -> dict[str, dict[str, int]]:
        """Return the balances that ever moved, by participant and currency."""
        found: dict[str, dict[str, int]] = {}
        for participant, currency, amount in self._connection.execute("SELECT * FROM balance"):
            found.setdefault(participant, {})[currency] = amount
        return found

    def book(self, payment: Payment, amount: int, kind: str, day: str, at: float) -> None:
        """Write an entry on the participant's account and move its balance."""
        key = (payment.participant, payment.currency)
        after = self.balance(*key) + amount
        self._connection.execute("INSERT OR REPLACE INTO balance VALUES (?, ?, ?)", (*key, after))
        self._connection.execute(
            "INSERT INTO entry (participant, currency, amount, payment, kind, day, at) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (*key, amount, payment.id, kind, day, at),
        )

    def entries(self, participant: str, currency: str, after: int) -> list[Entry]:
        """Return the entries of an account after one of them."""
        rows = self._connection.execute(
            f"""SELECT entry.id, entry.amount, entry.kind, entry.day, {_COLUMNS} FROM entry
                  JOIN payment ON payment.id = entry.payment
                 WHERE entry.participant = ? AND entry.currency = ? AND entry.id > ? ORDER BY entry.id""",  # noqa: S608
            (participant, currency, after),
        )
        return [Entry(row[0], row[1], row[2], row[3], _payment(row[4:])) for row in rows]

    def last_closing(self, participant: str, currency: str) -> Closing:
        """Return the end of the last statement, that before the first if there is none."""
        row = self._connection.execute(
            """SELECT number, last_entry, balance FROM closed WHERE participant = ? AND currency = ?
                ORDER BY number DESC LIMIT 1""",
            (participant, currency),
        ).fetchone()
        return Closing(0, 0, self._opening_balance) if row is None else Closing(*row)

    def close_statement(self, participant: str, currency: str, closing: Closing, day: str) -> None:
        """Note the end of a statement."""
        self._connection.execute(
            "INSERT INTO closed VALUES (?, ?, ?, ?, ?, ?)",
            (participant, currency, closing.number, day, closing.last_entry, closing.balance),
        )

    # The mailbox and the clock.

    def post(self, participant: str, business_id: str, definition: str, content: bytes) -> None:
        """Put a message into a mailbox."""
        self._connection.execute(
            "INSERT INTO mailbox (participant, business_id, definition, content) VALUES (?, ?, ?, ?)",
            (participant, business_id, definition, zlib.compress(content, 1)),
        )

    def letters(self, participant: str, after: int, limit: int) -> list[Letter]:
        """Return messages of a mailbox after a cursor, in order."""
        rows = self._connection.execute(
            """SELECT cursor, business_id, definition, content FROM mailbox
                WHERE participant = ? AND cursor > ? ORDER BY cursor LIMIT ?""",
            (participant, after, limit),
        )
        return [Letter(row[0], row[1], row[2], zlib.decompress(row[3]).decode()) for row in rows]

    def last_cursor(self) -> int:
        """Return how many messages were ever put into mailboxes."""
        return int(self._connection.execute("SELECT coalesce(max(cursor), 0) FROM mailbox").fetchone()[0])

    def plan(self, at: float, dues: Iterable[Due]) -> None:
        """Do something with payments later."""
        self._connection.executemany(
            "INSERT INTO due (at, kind, payment, reason) VALUES (?, ?, ?, ?)",
            [(at, due.kind, due.payment, due.reason) for due in dues],
        )

    def take_due(self, now: float, limit: int) -> list[Due]:
        """Take out what is due."""
        rows = self._connection.execute(
            "SELECT id, kind, payment, reason FROM due WHERE at <= ? ORDER BY at, id LIMIT ?", (now, limit)
        ).fetchall()
        self._connection.executemany("DELETE FROM due WHERE id = ?", [(row[0],) for row in rows])
        return [Due(kind, payment, reason) for _, kind, payment, reason in rows]

    def has_due(self, now: float) -> bool:
        """Tell whether anything is due."""
        return self._connection.execute("SELECT 1 FROM due WHERE at <= ? LIMIT 1", (now,)).fetchone() is not None

    def setting(self, name: str, default: str = "") -> str:
        """Return a note of the simulator's own."""
        row = self._connection.execute("SELECT value FROM setting WHERE name = ?", (name,)).fetchone()
        return default if row is None else str(row[0])

    def set(self, name: str, value: str) -> None:
        """Write a note of the simulator's own."""
        self._connection.execute("INSERT OR REPLACE INTO setting VALUES (?, ?)", (name, value))


def _payment(row: tuple[object, ...]) -> Payment:
    values = dict(zip((*_FIELDS, "id"), row, strict=True))
    for name in ("incoming", "returned", "silent"):
        values[name] = bool(values[name])
    return Payment(**values)  # type: ignore[arg-type]
