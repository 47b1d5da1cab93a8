"""Put reports together: which entries, which balances, on which page; and write them a piece at a time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta

from shanraq import accounts, ledger
from shanraq.core.crypto import Keyring
from shanraq.core.db import Tx
from shanraq.core.ids import derived_number, text_of
from shanraq.statements.bookings import Booking, read_bookings
from shanraq.statements.errors import DayNotOverError, StatementNotFoundError
from shanraq.statements.institution import Institution
from shanraq.statements.model import ENTRIES_PER_PAGE, ReportKind
from shanraq.statements.write import Form, Head, HeldBalance, write_end, write_entries, write_head

CHUNK = 1000
"""How many entries of the ledger are read and written at a time."""

_FORMS = {
    ReportKind.NOTIFICATION: Form.NOTIFICATION,
    ReportKind.INTRADAY: Form.INTRADAY,
    ReportKind.STATEMENT: Form.STATEMENT,
}
_WHOLE = 0
# Two of them number 1295 pages.
_PAGE_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass(frozen=True, slots=True)
class Report:
    """A report before it is written: of entries after `opening` up to `closing` of an account, `turnover` in sum.

    Notifications have no `day`. The ledger never changes these entries: they can be read at any later time.
    """

    kind: ReportKind
    account: accounts.Account
    institution: Institution
    day: date | None
    opening: ledger.Standing
    closing: ledger.Standing
    turnover: ledger.Turnover
    created_at: datetime

    @property
    def form(self) -> Form:
        """Return the message it is written as."""
        return _FORMS[self.kind]

    @property
    def entries(self) -> int:
        """Return how many bookings it tells."""
        return self.turnover.debits + self.turnover.credits

    @property
    def pages(self) -> int:
        """Return of how many messages it consists where messages are kept."""
        return max(1, -(-self.entries // ENTRIES_PER_PAGE))

    @property
    def id(self) -> str:
        """Return its identifier: the same account and period give the same."""
        return self._identifier("")

    def head(self) -> Head:
        """Return what stands before the entries where all of them are in one message."""
        return self._head(_WHOLE, 1, last=True, opening=self.opening, closing=self.closing)

    def page(self, number: int, opening: ledger.Standing, closing: ledger.Standing) -> Head:
        """Return what stands before the entries of one of several pages, from one intermediate balance to the next."""
        return self._head(number, number, last=number == self.pages, opening=opening, closing=closing)

    def _head(self, mark: int, page: int, *, last: bool, opening: ledger.Standing, closing: ledger.Standing) -> Head:
        local = self.institution.local
        head = Head(
            form=self.form,
            message_id=self._identifier(_PAGE_DIGITS[mark // 36] + _PAGE_DIGITS[mark % 36]),
            report_id=self.id,
            created_at=local(self.created_at),
            account=self.account,
            institution=self.institution,
            page=page,
            last_page=last,
            turnover=self.turnover if page == 1 else None,
        )
        if self.day is None:
            return head
        first = page == 1
        since = self.institution.start_of(self.day)
        begin = HeldBalance("OPBD", opening.balance.credit_balance, self.day, intermediate=not first)
        if self.kind is ReportKind.INTRADAY:
            now = local(self.created_at)
            ends = [HeldBalance("ITBD", closing.balance.credit_balance, now, intermediate=not last)]
            if last:
                ends.append(HeldBalance("ITAV", closing.balance.credit_available, now))
            return replace(head, since=since, until=now, balances=(begin, *ends))
        end = HeldBalance("CLBD", closing.balance.credit_balance, self.day, intermediate=not last)
        return replace(
            head,
            number=(self.day - self.institution.day_of(self.account.created_at)).days + 1,
            since=since,
            until=self.institution.end_of(self.day) - timedelta(milliseconds=1),
            balances=(begin, end),
        )

    def _identifier(self, page: str) -> str:
        if self.kind is ReportKind.STATEMENT:
            assert self.day is not None
            # A letter, the account, the day; two digits of the year are left out where the page needs their place.
            tail = self.account.id.partition("_")[2]
            return f"S{tail}{self.day:%y%m%d}{page}" if page else f"S{tail}{self.day:%Y%m%d}"
        parts = (self.account.id, self.opening.seq, self.closing.seq)
        moment = self.created_at.isoformat() if self.kind is ReportKind.INTRADAY else ""
        letter = "I" if self.kind is ReportKind.INTRADAY else "N"
        return letter + text_of("", derived_number("report", self.kind, *parts, moment))[1:] + page


async def statement_of(tx: Tx, account: accounts.Account, institution: Institution, day: date) -> Report:
    """Return the statement of a day that is over; what it says is final. Raises StatementNotFoundError, DayNotOverError."""
    if day >= institution.day_of(tx.now):
        raise DayNotOverError(field="day")
    if day < institution.day_of(account.created_at):
        raise StatementNotFoundError(field="day")
    end = institution.end_of(day)
    await ledger.end_period(tx, account.number, end)
    opening = await ledger.standing(tx, account.number, before=institution.start_of(day))
    closing = await ledger.standing(tx, account.number, before=end)
    return await _report(tx, ReportKind.STATEMENT, account, institution, day, opening, closing, end)


async def intraday_of(tx: Tx, account: accounts.Account, institution: Institution) -> Report:
    """Return the report of the present day so far."""
    day = institution.day_of(tx.now)
    start = institution.start_of(day)
    await ledger.end_period(tx, account.number, start)
    opening = await ledger.standing(tx, account.number, before=start)
    closing = await ledger.standing(tx, account.number)
    return await _report(tx, ReportKind.INTRADAY, account, institution, day, opening, closing, tx.now)


async def notification_of(
    tx: Tx, keyring: Keyring, account: accounts.Account, institution: Institution, after: int, limit: int
) -> tuple[Report, list[Booking]]:
    """Return the notification of at most `limit` bookings after an entry, and the bookings; it has no balances."""
    last = (await ledger.standing(tx, account.number)).seq
    found: list[Booking] = []
    reached = after
    while reached < last and len(found) < limit:
        some, reached = await read_bookings(tx, keyring, account, after=reached, up_to=last, limit=limit - len(found))
        found += some
    opening, closing = (ledger.Standing(seq, ledger.Balance()) for seq in (after, reached))
    report = await _report(tx, ReportKind.NOTIFICATION, account, institution, None, opening, closing, tx.now)
    return report, found


async def _report(
    tx: Tx,
    kind: ReportKind,
    account: accounts.Account,
    institution: Institution,
    day: date | None,
    opening: ledger.Standing,
    closing: ledger.Standing,
    created_at: datetime,
) -> Report:
    turnover = await ledger.turnover(tx, account.number, after_seq=opening.seq, up_to_seq=closing.seq)
    net = turnover.credited - turnover.debited
    assert day is None or closing.balance.credit_balance - opening.balance.credit_balance == net, "the ledger balances"
    return Report(kind, account, institution, day, opening, closing, turnover, created_at)


Chunk = Callable[[int], Awaitable[tuple[list[Booking], int]]]
"""Reads bookings after an entry; returns them and up to which entry was read."""


async def write_whole(report: Report, chunk: Chunk) -> AsyncIterator[bytes]:
    """Yield a report as one message, however many entries it has."""
    head = report.head()
    yield write_head(head)
    after = report.opening.seq
    while after < report.closing.seq:
        bookings, after = await chunk(after)
        yield write_entries(head, bookings)
    yield write_end(report.form)


@dataclass(frozen=True, slots=True)
class Page:
    """A message of a report with its place in it."""

    content: bytes
    head: Head
    after: int
    last: int
    entries: int


async def write_pages(report: Report, chunk: Chunk) -> AsyncIterator[Page]:
    """Yield a report as messages of at most ENTRIES_PER_PAGE entries, one after the other; memory holds one page.

    A page of several begins with the balance at which the one before ended, both marked as intermediate.
    """
    number, opening, closing = 1, report.opening, report.opening
    pieces: list[bytes] = []
    entries, after = 0, report.opening.seq
    plain = report.head()
    waiting: list[Booking] = []
    while True:
        if not waiting and after < report.closing.seq:
            waiting, after = await chunk(after)
        taken, waiting = waiting[: ENTRIES_PER_PAGE - entries], waiting[ENTRIES_PER_PAGE - entries :]
        if taken:
            pieces.append(write_entries(plain, taken))
            entries += len(taken)
            closing = ledger.Standing(taken[-1].entry.seq, taken[-1].entry.balance)
        ended = not waiting and after >= report.closing.seq
        if ended:
            closing = report.closing
        if ended or (entries == ENTRIES_PER_PAGE and number < report.pages):
            head = plain if report.pages == 1 else report.page(number, opening, closing)
            content = b"".join([write_head(head), *pieces, write_end(report.form)])
            yield Page(content, head, opening.seq, closing.seq, entries)
            number, opening, pieces, entries = number + 1, closing, [], 0
        if ended:
            return
