"""Make the account reports that are due. Each message, its event and the step of its cursor are one transaction."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

import msgspec

from shanraq import events, ledger, messages
from shanraq.core.actor import SYSTEM
from shanraq.core.crypto import Keyring
from shanraq.core.db import Database, Tx
from shanraq.statements import store
from shanraq.statements.bookings import Booking, read_bookings
from shanraq.statements.institution import Institution
from shanraq.statements.model import BOOKINGS_PER_NOTIFICATION, AccountReport
from shanraq.statements.read import load_account, write_notification
from shanraq.statements.report import CHUNK, Page, Report, intraday_of, notification_of, statement_of, write_pages

_ACCOUNTS: Final = 500
"""How many accounts are looked at together."""


async def produce(db: Database, keyring: Keyring, institution: Institution) -> int:
    """Make the notifications, intraday reports and statements that are due, for all partners; return how many messages.

    Days that passed while nothing ran are stated one by one, a day a call. Any number of processes may run it side by side. A
    report that cannot be made stops no other: its error is raised at the end.
    """
    producer = _Producer(keyring, institution)
    made, failures = 0, []
    for find, make in (
        (_notified, producer.notify),
        (_by_statement, producer.state),
        (_by_intraday, producer.report_day),
    ):
        after = ""
        while True:
            async with db.begin(SYSTEM) as tx:
                found, after = await find(tx, after)
            for subscription in found:
                try:
                    made += await db.run(subscription.actor, _of(make, subscription))
                except Exception as error:  # the reports of other accounts do not wait for this one
                    failures.append(error)
            if not after:
                break
    if failures:
        raise failures[0]
    return made


Work = Callable[[Tx, store.Subscription], Awaitable[int]]


def _of(make: Work, listed: store.Subscription) -> Callable[[Tx], Awaitable[int]]:
    async def work(tx: Tx) -> int:
        taken = await store.take(tx, listed.reports.account_id)
        return 0 if taken is None else await make(tx, taken)

    return work


async def _notified(tx: Tx, after: str) -> tuple[list[store.Subscription], str]:
    """Return accounts with new entries, and after which account to look on; "" at the end."""
    listed = await store.notified(tx, after, _ACCOUNTS)
    grown = await ledger.grown(tx, [one.seen for one in listed])
    more = listed[-1].reports.account_id if len(listed) == _ACCOUNTS else ""
    return [one for one, new in zip(listed, grown, strict=True) if new], more


async def _by_statement(tx: Tx, _: str) -> tuple[list[store.Subscription], str]:
    return await store.statements_due(tx, _ACCOUNTS), ""


async def _by_intraday(tx: Tx, _: str) -> tuple[list[store.Subscription], str]:
    return await store.intraday_due(tx, _ACCOUNTS), ""


@dataclass(frozen=True, slots=True)
class _Producer:
    """Makes the reports of one account, whose row is locked: nobody else makes the same."""

    keyring: Keyring
    institution: Institution

    async def notify(self, tx: Tx, subscription: store.Subscription) -> int:
        """Notify the next bookings, as many as fit into a message."""
        reports = subscription.reports
        if not reports.notifications:
            return 0
        account = await load_account(tx, reports.account_id)
        report, bookings = await notification_of(
            tx, self.keyring, account, self.institution, reports.notified_sequence, BOOKINGS_PER_NOTIFICATION
        )
        if bookings:
            page = Page(
                write_notification(report, bookings),
                report.head(),
                reports.notified_sequence,
                report.closing.seq,
                len(bookings),
            )
            await self._keep(tx, report, page)
        if report.closing.seq > reports.notified_sequence:
            after = msgspec.structs.replace(reports, notified_sequence=report.closing.seq)
            await store.save(tx, replace(subscription, reports=after))
        return 1 if bookings else 0

    async def state(self, tx: Tx, subscription: store.Subscription) -> int:
        """State the next day, if it is over."""
        reports = subscription.reports
        day = subscription.statement_day + timedelta(days=1)
        if not reports.statements:
            return 0
        end = self.institution.end_of(day)
        if end > tx.now:
            # Another process stated it, or the days of the institution were changed.
            if end != subscription.statement_due_at:
                await store.save(tx, replace(subscription, statement_due_at=end))
            return 0
        account = await load_account(tx, reports.account_id)
        report = await statement_of(tx, account, self.institution, day)
        made = await self._keep_pages(tx, report)
        due_at = self.institution.end_of(day + timedelta(days=1))
        await store.save(tx, replace(subscription, statement_day=day, statement_due_at=due_at))
        return made

    async def report_day(self, tx: Tx, subscription: store.Subscription) -> int:
        """Report the day so far, if it is time."""
        reports = subscription.reports
        if subscription.intraday_due_at is None or subscription.intraday_due_at > tx.now:
            return 0
        account = await load_account(tx, reports.account_id)
        made = await self._keep_pages(tx, await intraday_of(tx, account, self.institution))
        due_at = tx.now + timedelta(minutes=reports.intraday_minutes)
        await store.save(tx, replace(subscription, intraday_due_at=due_at))
        return made

    async def _keep_pages(self, tx: Tx, report: Report) -> int:
        async def chunk(after: int) -> tuple[list[Booking], int]:
            return await read_bookings(
                tx, self.keyring, report.account, after=after, up_to=report.closing.seq, limit=CHUNK
            )

        made = 0
        async for page in write_pages(report, chunk):
            await self._keep(tx, report, page)
            made += 1
        return made

    async def _keep(self, tx: Tx, report: Report, page: Page) -> None:
        new = messages.NewMessage(
            content=page.content,
            direction=messages.Direction.OUT,
            party=messages.Party.PARTNER,
            definition=report.form.definition,
            message_id=page.head.message_id,
            sender=self.institution.bic,
        )
        kept = await messages.keep(tx, self.keyring, new)
        told = AccountReport(
            message_id=kept.id,
            definition=report.form.definition,
            account_id=report.account.id,
            kind=report.kind,
            day=report.day,
            after_sequence=page.after,
            last_sequence=page.last,
            entries=page.entries,
            page=page.head.page,
            last_page=page.head.last_page,
            created_at=tx.now,
        )
        events.emit(tx, events.Event("account.reported", f"account/{report.account.id}", told))
