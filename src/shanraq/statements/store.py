"""The SQL of account reports: what is wanted of which account, and how far it was made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

from shanraq.core.actor import SYSTEM, Actor, Environment
from shanraq.core.db import Row, Tx
from shanraq.core.ids import number_of
from shanraq.statements.model import AccountReports


@dataclass(frozen=True, slots=True)
class Subscription:
    """The reports of one account, and for whom they are made."""

    reports: AccountReports
    statement_day: date
    statement_due_at: datetime | None
    intraday_due_at: datetime | None
    partner_id: str
    environment: Environment
    book: int

    @property
    def actor(self) -> Actor:
        """Return the system acting for the account's owner."""
        return SYSTEM.acting_for(self.partner_id, self.environment, self.book)

    @property
    def seen(self) -> tuple[int, int, int]:
        """Return book, account and the entry notified last, for `ledger.grown`."""
        return self.book, number_of("acc", self.reports.account_id), self.reports.notified_sequence


def subscription_of(row: Row) -> Subscription:
    """Read a row of account_report."""
    reports = AccountReports(
        account_id=row["account_id"], notifications=row["notifications"], statements=row["statements"],
        intraday_minutes=row["intraday_minutes"], notified_sequence=row["notified_sequence"],
        statement_day=row["statement_day"], updated_at=row["updated_at"],
    )  # fmt: skip
    return Subscription(
        reports, row["statement_day"], row["statement_due_at"], row["intraday_due_at"], row["partner_id"],
        Environment(row["environment"]), row["book"],
    )  # fmt: skip


async def load(tx: Tx, account_id: str) -> Subscription | None:
    """Return the reports of an account of the partner, None where none were ever asked for."""
    partner_id, environment = tx.actor.scope
    row = await tx.row(
        "SELECT * FROM account_report WHERE account_id = $1 AND partner_id = $2 AND environment = $3",
        account_id, partner_id, environment,
    )  # fmt: skip
    return None if row is None else subscription_of(row)


async def lock(tx: Tx, account_id: str) -> Subscription | None:
    """Return the reports of an account, locked until the transaction ends."""
    row = await tx.row("SELECT * FROM account_report WHERE account_id = $1 FOR UPDATE", account_id)
    return None if row is None else subscription_of(row)


async def take(tx: Tx, account_id: str) -> Subscription | None:
    """Return the reports of an account, locked; None if another process works at them."""
    row = await tx.row("SELECT * FROM account_report WHERE account_id = $1 FOR UPDATE SKIP LOCKED", account_id)
    return None if row is None else subscription_of(row)


async def insert(tx: Tx, account_id: str, sequence: int, day: date) -> None:
    """Write that nothing is wanted of an account yet, unless there is a row."""
    partner_id, environment = tx.actor.scope
    await tx.execute(
        """INSERT INTO account_report (account_id, partner_id, environment, book, notifications, statements, intraday_minutes,
                                       notified_sequence, statement_day, created_at, updated_at)
           VALUES ($1, $2, $3, $4, false, false, 0, $5, $6, $7, $7) ON CONFLICT (account_id) DO NOTHING""",
        account_id, partner_id, environment, tx.actor.book, sequence, day, tx.now,
    )  # fmt: skip


async def save(tx: Tx, after: Subscription) -> None:
    """Write a locked row as it is to be."""
    reports = after.reports
    await tx.execute(
        """UPDATE account_report SET notifications = $2, statements = $3, intraday_minutes = $4, notified_sequence = $5,
                                     statement_day = $6, statement_due_at = $7, intraday_due_at = $8, updated_at = $9
            WHERE account_id = $1""",
        reports.account_id, reports.notifications, reports.statements, reports.intraday_minutes,
        reports.notified_sequence, after.statement_day, after.statement_due_at, after.intraday_due_at, reports.updated_at,
    )  # fmt: skip


async def statements_due(tx: Tx, limit: int) -> list[Subscription]:
    """Return accounts of which the next day is over, of all partners."""
    rows = await tx.rows(
        "SELECT * FROM account_report WHERE statement_due_at <= $1 ORDER BY statement_due_at LIMIT $2", tx.now, limit
    )
    return [subscription_of(row) for row in rows]


async def intraday_due(tx: Tx, limit: int) -> list[Subscription]:
    """Return accounts of which an intraday report is due, of all partners."""
    rows = await tx.rows(
        "SELECT * FROM account_report WHERE intraday_due_at <= $1 ORDER BY intraday_due_at LIMIT $2", tx.now, limit
    )
    return [subscription_of(row) for row in rows]


async def notified(tx: Tx, after: str, limit: int) -> Sequence[Subscription]:
    """Return accounts whose bookings are notified, of all partners, by id after one."""
    rows = await tx.rows(
        "SELECT * FROM account_report WHERE notifications AND account_id > $1 ORDER BY account_id LIMIT $2",
        after,
        limit,
    )
    return [subscription_of(row) for row in rows]
