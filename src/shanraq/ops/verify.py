"""Prove the books of a whole installation."""

from __future__ import annotations

from rich.progress import Progress

from shanraq import audit, credit_transfers, ledger, settlement, webhooks
from shanraq.core.actor import SYSTEM
from shanraq.core.db import Database
from shanraq.core.settings import Settings
from shanraq.ops.app import Announce, open_database


async def verify_platform(settings: Settings, progress: Progress, announce: Announce) -> list[str]:
    """Return every finding of ledger, audit log, credit transfers, settlement and webhook deliveries; empty when all hold."""
    async with open_database(settings, announce) as (_, app_dsn, _):
        db = await Database.connect(app_dsn, role=None if settings.database_owner_url else "shanraq_app")
        try:
            return await verify_database(db, progress)
        finally:
            await db.close()


async def verify_database(db: Database, progress: Progress | None = None) -> list[str]:
    """Verify a database that is open."""
    bar = progress or Progress(disable=True)
    async with db.begin(SYSTEM) as tx:
        # One instant for all of it: payments go on meanwhile, and must not look like findings.
        await tx.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        entries = await tx.value("SELECT coalesce(sum(seq), 0)::bigint FROM audit_lane")
        task = bar.add_task("audit log", total=entries)
        findings = await audit.verify(tx, lambda count: bar.update(task, completed=count))
        accounts = await tx.value("SELECT count(*) FROM ledger_account")
        task = bar.add_task("ledger accounts", total=accounts)
        findings += [str(found) for found in await ledger.verify(tx, lambda done, _: bar.update(task, completed=done))]
        transfers = await tx.value("SELECT count(*) FROM credit_transfer")
        task = bar.add_task("credit transfers", total=transfers)
        findings += await credit_transfers.verify(tx, lambda count: bar.update(task, completed=count))
        task = bar.add_task("settlement", total=1)
        findings += await settlement.verify(tx)
        bar.update(task, completed=1)
        task = bar.add_task("webhook deliveries", total=1)
        findings += [str(found) for found in await webhooks.verify_deliveries(tx)]
        bar.update(task, completed=1)
    return findings
