"""Say which reports are made of an account without being asked for."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import msgspec

from shanraq import accounts, audit, ledger
from shanraq.core.actor import Actor
from shanraq.core.db import Database, Tx
from shanraq.statements import store
from shanraq.statements.institution import Institution
from shanraq.statements.model import AccountReports, ReportWishes
from shanraq.statements.read import load_account


async def set_reports(
    db: Database, actor: Actor, institution: Institution, account_id: str, wishes: ReportWishes
) -> AccountReports:
    """Set which reports are made of an account; what is switched on begins now.

    The first notification tells the first booking from now on, the first statement is that of the present day. Raises
    AccountNotFoundError.
    """
    actor.require("accounts:write")

    async def work(tx: Tx) -> AccountReports:
        account = await load_account(tx, account_id)
        sequence = (await ledger.standing(tx, account.number)).seq
        today = institution.day_of(tx.now)
        await store.insert(tx, account_id, sequence, today - timedelta(days=1))
        before = await store.lock(tx, account_id)
        assert before is not None, "the row was just written"
        after = _changed(tx, before, wishes, sequence, institution)
        await store.save(tx, after)
        audit.record(tx, "account.reports_set", account_id, msgspec.to_builtins(wishes))
        return after.reports

    return await db.run(actor, work)


async def find_reports(db: Database, actor: Actor, account_id: str) -> AccountReports:
    """Return which reports are made of an account. Raises AccountNotFoundError."""
    actor.require("accounts:read")
    async with db.begin(actor) as tx:
        account = await load_account(tx, account_id)
        found = await store.load(tx, account.id)
    return found.reports if found is not None else _none_of(account)


def _none_of(account: accounts.Account) -> AccountReports:
    return AccountReports(
        account_id=account.id,
        notifications=False,
        statements=False,
        intraday_minutes=0,
        notified_sequence=0,
        statement_day=None,
        updated_at=None,
    )


def _changed(
    tx: Tx, before: store.Subscription, wishes: ReportWishes, sequence: int, institution: Institution
) -> store.Subscription:
    old = before.reports
    today = institution.day_of(tx.now)
    day, due_at = before.statement_day, before.statement_due_at
    if wishes.statements and not old.statements:
        day = today - timedelta(days=1)
        due_at = institution.end_of(today)
    intraday_due_at = before.intraday_due_at
    if wishes.intraday_minutes != old.intraday_minutes:
        intraday_due_at = tx.now + timedelta(minutes=wishes.intraday_minutes)
    reports = msgspec.structs.replace(
        old,
        notifications=wishes.notifications,
        statements=wishes.statements,
        intraday_minutes=wishes.intraday_minutes,
        notified_sequence=old.notified_sequence if old.notifications else sequence,
        statement_day=day,
        updated_at=tx.now,
    )
    return replace(
        before,
        reports=reports,
        statement_day=day,
        statement_due_at=due_at if wishes.statements else None,
        intraday_due_at=intraday_due_at if wishes.intraday_minutes else None,
    )
