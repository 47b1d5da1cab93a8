"""Give reports of an account when they are asked for, as XML that is written while it is sent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import date

from lxml import etree

from shanraq import accounts
from shanraq.core.actor import Actor
from shanraq.core.crypto import Keyring
from shanraq.core.db import Database, Tx
from shanraq.core.errors import InvalidInputError
from shanraq.core.ids import number_of
from shanraq.standards import iso20022
from shanraq.statements.bookings import Booking, read_bookings
from shanraq.statements.errors import ReportTooLongError, UnknownVersionError
from shanraq.statements.institution import Institution
from shanraq.statements.model import BOOKINGS_PER_NOTIFICATION, ENTRIES_PER_PAGE
from shanraq.statements.report import CHUNK, Report, intraday_of, notification_of, statement_of, write_whole
from shanraq.statements.write import Form, write_end, write_entries, write_head


@dataclass(frozen=True, slots=True)
class Reader:
    """Where reports are read from, and who keeps the accounts."""

    db: Database
    keyring: Keyring
    institution: Institution

    async def statement(
        self, actor: Actor, account_id: str, day: date, *, version: str | None = None
    ) -> AsyncIterator[bytes]:
        """Return the statement (camt.053) of a day that is over; asked for again it is the same, but for names that changed.

        Raises AccountNotFoundError, StatementNotFoundError, DayNotOverError, UnknownVersionError, ReportTooLongError.
        """
        actor.require("accounts:read")
        _check_version(Form.STATEMENT, version)
        async with self.db.begin(actor) as tx:
            report = await statement_of(tx, await load_account(tx, account_id), self.institution, day)
        return await self._written(actor, report, version)

    async def intraday(self, actor: Actor, account_id: str, *, version: str | None = None) -> AsyncIterator[bytes]:
        """Return the report (camt.052) of the present day so far.

        Raises AccountNotFoundError, UnknownVersionError, ReportTooLongError.
        """
        actor.require("accounts:read")
        _check_version(Form.INTRADAY, version)
        async with self.db.begin(actor) as tx:
            report = await intraday_of(tx, await load_account(tx, account_id), self.institution)
        return await self._written(actor, report, version)

    async def notification(
        self,
        actor: Actor,
        account_id: str,
        *,
        after_sequence: int = 0,
        limit: int = 100,
        version: str | None = None,
    ) -> bytes:
        """Return the notification (camt.054) of bookings after an entry; the NtryRef of the last one is what to go on after.

        Raises AccountNotFoundError, InvalidInputError, UnknownVersionError.
        """
        actor.require("accounts:read")
        _check_version(Form.NOTIFICATION, version)
        if not 1 <= limit <= BOOKINGS_PER_NOTIFICATION:
            raise InvalidInputError(f"must be 1 to {BOOKINGS_PER_NOTIFICATION}", field="limit")
        async with self.db.begin(actor) as tx:
            account = await load_account(tx, account_id)
            report, bookings = await notification_of(tx, self.keyring, account, self.institution, after_sequence, limit)
        written = write_notification(report, bookings)
        if version is not None and version != report.form.definition:
            written = await asyncio.to_thread(_converted, written, version)
        return written

    async def _written(self, actor: Actor, report: Report, version: str | None) -> AsyncIterator[bytes]:
        async def chunk(after: int) -> tuple[list[Booking], int]:
            # What is told is in the ledger for good: each piece is read in a transaction of its own.
            async with self.db.begin(actor) as tx:
                return await read_bookings(
                    tx, self.keyring, report.account, after=after, up_to=report.closing.seq, limit=CHUNK
                )

        pieces = write_whole(report, chunk)
        if version is None or version == report.form.definition:
            return pieces
        if report.entries > ENTRIES_PER_PAGE:
            raise ReportTooLongError(
                f"it has {report.entries} entries; above {ENTRIES_PER_PAGE} only {report.form.definition} is written",
                field="version",
            )
        whole = b"".join([piece async for piece in pieces])
        return _once(await asyncio.to_thread(_converted, whole, version))


async def load_account(tx: Tx, account_id: str) -> accounts.Account:
    """Return an account of the actor; raise InvalidIdError, AccountNotFoundError."""
    number_of("acc", account_id, field="account_id")
    found = await accounts.load_accounts(tx, [account_id])
    if account_id not in found:
        raise accounts.AccountNotFoundError(field="account_id")
    return found[account_id]


def write_notification(report: Report, bookings: list[Booking]) -> bytes:
    """Return a notification as XML."""
    head = report.head()
    return b"".join([write_head(head), write_entries(head, bookings), write_end(report.form)])


async def _once(whole: bytes) -> AsyncIterator[bytes]:
    yield whole


def _check_version(form: Form, version: str | None) -> None:
    """Raise UnknownVersionError unless `version` is a version of the report's message that is known here."""
    if version is None:
        return
    if version[:8] != form.definition[:8]:
        raise UnknownVersionError(f"is not a version of {form.definition[:8]}", field="version")
    try:
        iso20022.definition(version)
    except iso20022.Iso20022Error:
        raise UnknownVersionError(f"there is no definition of this version of {version[:8]}", field="version") from None


def _converted(whole: bytes, version: str) -> bytes:
    document = iso20022.identify(iso20022.parse(whole)).documents[0].element
    try:
        converted = iso20022.convert(document, to=version).document
    except iso20022.ConversionError as error:
        raise UnknownVersionError(f"{error.code} at {error.path}", field="version") from error
    written: bytes = etree.tostring(converted, xml_declaration=True, encoding="UTF-8")
    return written
