"""The books of the clearing simulator: an SQLite database, so that what was answered survives the end of the process.

Everything a message changes is one transaction of it: the message itself, the payments, the entries, what is to be sent.
Amounts are integers of minor units; an entry belongs to the account of a participant, positive when money comes.
"""

from __future__ import annotations

import secrets
import sqlite3
import time
import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from operator import attrgetter
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
CREATE TABLE IF NOT EXISTS held (
    id INTEGER PRIMARY KEY, participant TEXT, business_id TEXT, definition TEXT, content BLOB, until REAL);
CREATE TABLE IF NOT EXISTS answer (id INTEGER PRIMARY KEY, payment INTEGER, definition TEXT, status TEXT, reason TEXT);
CREATE INDEX IF NOT EXISTS answer_of ON answer (payment);
CREATE INDEX IF NOT EXISTS payment_queued ON payment (participant, currency, amount) WHERE status IN ('PDNG', 'ACSP');
CREATE TABLE IF NOT EXISTS due (id INTEGER PRIMARY KEY, at REAL, kind TEXT, payment INTEGER, reason TEXT);
CREATE INDEX IF NOT EXISTS due_at ON due (at);
CREATE TABLE IF NOT EXISTS closed (
    participant TEXT, currency TEXT, number INTEGER, day TEXT, last_entry INTEGER, balance INTEGER,
    PRIMARY KEY (participant, currency, number));
CREATE TABLE IF NOT EXISTS setting (name TEXT PRIMARY KEY, value TEXT);
"""


@dataclass(frozen=True, slots=True)
class Payment:
    """One payment of a participant; `incoming` ones were sent to it. `returned` is how much came back, `id` 0 of none yet."""

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
    returned: int = 0
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
_INSERT: Final = f"INSERT INTO payment ({', '.join(_FIELDS)}, id) VALUES ({', '.join('?' * len(_FIELDS))}, ?)"  # noqa: S608
_VALUES: Final = attrgetter(*_FIELDS, "id")
_UETRS_AT_ONCE: Final = 500


class Books:
    """One connection; its calls do not run side by side. Raises OSError or ValueError for a file that cannot be used.

    Cursors and identifiers of new books go on where others may have been: who listens remembers what he heard before.
    """

    def __init__(self, path: Path | None, opening_balance: int) -> None:
        if path is not None:
            path.touch(mode=0o600)
        # Without a path SQLite keeps a temporary file of its own: texts of messages would fill the memory.
        self._connection = sqlite3.connect(path or "", isolation_level=None, check_same_thread=False, timeout=1.0)
        self._opening_balance = opening_balance
        try:
            # Two processes on one file would both do what is due.
            self._connection.execute("PRAGMA locking_mode = EXCLUSIVE")
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = NORMAL")
            self._connection.executescript(_SCHEMA)
            with self.transaction():
                if not self.setting("instance"):
                    self.set("instance", secrets.token_hex(4))
                    self._connection.execute(
                        "INSERT INTO sqlite_sequence (name, seq) SELECT 'mailbox', ?"
                        " WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = 'mailbox')",
                        (time.time_ns() // 1_000_000,),
                    )
        except sqlite3.DatabaseError as error:
            self._connection.close()
            raise ValueError(f"{path}: the books cannot be used: {error}") from None

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
        following = int(self._connection.execute("SELECT coalesce(max(id), 0) + 1 FROM payment").fetchone()[0])
        written = [replace(payment, id=number) for number, payment in enumerate(payments, following)]
        self._connection.executemany(_INSERT, map(_VALUES, written))
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

    def paid_uetrs(self, uetrs: Sequence[str]) -> set[str]:
        """Return those that a payment of any participant has that was not rejected."""
        found: set[str] = set()
        for start in range(0, len(uetrs), _UETRS_AT_ONCE):
            some = uetrs[start : start + _UETRS_AT_ONCE]
            marks = ", ".join("?" * len(some))
            rows = self._connection.execute(
                f"SELECT uetr FROM payment WHERE uetr IN ({marks}) AND NOT incoming AND status != 'RJCT'",  # noqa: S608
                some,
            )
            found.update(row[0] for row in rows)
        return found

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

    def available(self, participant: str, currency: str) -> int:
        """Return what a participant can still pay with: payments that wait will take theirs."""
        row = self._connection.execute(
            """SELECT coalesce(sum(amount), 0) FROM payment
                WHERE participant = ? AND currency = ? AND status IN ('PDNG', 'ACSP') AND NOT incoming""",
            (participant, currency),
        ).fetchone()
        return self.balance(participant, currency) - int(row[0])

    def balances(self) -> dict[str, dict[str, int]]:
        """Return the balances that ever moved, by participant and currency."""
        found: dict[str, dict[str, int]] = {}
        for participant, currency, amount in self._connection.execute("SELECT * FROM balance"):
            found.setdefault(participant, {})[currency] = amount
        return found

    def book(self, payment: Payment, amount: int, kind: str, day: str, at: float) -> None:
        """Write an entry on the participant's account and move its balance."""
        self.book_all([(payment, amount)], kind, day, at)

    def book_all(self, bookings: Sequence[tuple[Payment, int]], kind: str, day: str, at: float) -> None:
        """Write entries, each of a payment and an amount, and move the balances."""
        changes: defaultdict[tuple[str, str], int] = defaultdict(int)
        for payment, amount in bookings:
            changes[payment.participant, payment.currency] += amount
        for key, change in changes.items():
            after = self.balance(*key) + change
            self._connection.execute("INSERT OR REPLACE INTO balance VALUES (?, ?, ?)", (*key, after))
        self._connection.executemany(
            "INSERT INTO entry (participant, currency, amount, payment, kind, day, at) VALUES (?, ?, ?, ?, ?, ?, ?)",
            [(one.participant, one.currency, amount, one.id, kind, day, at) for one, amount in bookings],
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

    def hold_back(self, participant: str, business_id: str, definition: str, content: bytes, until: float) -> None:
        """Keep a message out of its mailbox until another one was put there, or until a time."""
        self._connection.execute(
            "INSERT INTO held (participant, business_id, definition, content, until) VALUES (?, ?, ?, ?, ?)",
            (participant, business_id, definition, zlib.compress(content, 1), until),
        )

    def release(self, participant: str) -> None:
        """Put what was held back of a participant into its mailbox."""
        self._release("participant = ?", participant)

    def release_until(self, now: float) -> int:
        """Put what was held back long enough into its mailbox; returns how much there was."""
        return self._release("until <= ?", now)

    def _release(self, condition: str, value: object) -> int:
        self._connection.execute(
            f"""INSERT INTO mailbox (participant, business_id, definition, content)
                SELECT participant, business_id, definition, content FROM held WHERE {condition} ORDER BY id""",  # noqa: S608
            (value,),
        )
        return self._connection.execute(f"DELETE FROM held WHERE {condition}", (value,)).rowcount  # noqa: S608

    def letters(self, participant: str, after: int, limit: int, size_bytes: int) -> list[Letter]:
        """Return messages of a mailbox after a cursor, in order; no further ones once they have so many bytes."""
        rows = self._connection.execute(
            """SELECT cursor, business_id, definition, content FROM mailbox
                WHERE participant = ? AND cursor > ? ORDER BY cursor LIMIT ?""",
            (participant, after, limit),
        )
        found: list[Letter] = []
        for cursor, business_id, definition, content in rows:
            text = zlib.decompress(content)
            found.append(Letter(cursor, business_id, definition, text.decode()))
            size_bytes -= len(text)
            if size_bytes <= 0:
                break
        return found

    def last_cursor(self) -> int:
        """Return the cursor of the newest message of all mailboxes, 0 without any."""
        return int(self._connection.execute("SELECT coalesce(max(cursor), 0) FROM mailbox").fetchone()[0])

    def count_sent(self) -> int:
        """Return how many messages were ever put into mailboxes."""
        return int(self._connection.execute("SELECT count(*) FROM mailbox").fetchone()[0])

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
        found = self._connection.execute(
            "SELECT 1 FROM due WHERE at <= :now UNION ALL SELECT 1 FROM held WHERE until <= :now LIMIT 1", {"now": now}
        )
        return found.fetchone() is not None

    # What participants answer.

    def note_answer(self, payment: Payment, definition: str, status: str, reason: str) -> None:
        """Note what a participant says of a payment that came in, or to a recall of it."""
        self._connection.execute(
            "INSERT INTO answer (payment, definition, status, reason) VALUES (?, ?, ?, ?)",
            (payment.id, definition, status, reason),
        )

    def answers(self, payment: Payment) -> list[tuple[str, str, str]]:
        """Return (definition, status, reason) of what was answered about a payment, oldest first."""
        rows = self._connection.execute(
            "SELECT definition, status, reason FROM answer WHERE payment = ? ORDER BY id", (payment.id,)
        )
        return [(row[0], row[1], row[2]) for row in rows]

    def setting(self, name: str, default: str = "") -> str:
        """Return a note of the simulator's own."""
        row = self._connection.execute("SELECT value FROM setting WHERE name = ?", (name,)).fetchone()
        return default if row is None else str(row[0])

    def set(self, name: str, value: str) -> None:
        """Write a note of the simulator's own."""
        self._connection.execute("INSERT OR REPLACE INTO setting VALUES (?, ?)", (name, value))


def _payment(row: tuple[object, ...]) -> Payment:
    values = dict(zip((*_FIELDS, "id"), row, strict=True))
    for name in ("incoming", "silent"):
        values[name] = bool(values[name])
    return Payment(**values)  # type: ignore[arg-type]
