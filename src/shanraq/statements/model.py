"""Account reports: which a partner wants of an account, and those that were made."""

from __future__ import annotations

from datetime import date, datetime
from enum import StrEnum
from typing import Annotated, Final

import msgspec

ENTRIES_PER_PAGE: Final = 10_000
"""How many entries a kept message holds at most; what is longer has several pages."""
BOOKINGS_PER_NOTIFICATION: Final = 1000

IntradayMinutes = Annotated[
    int, msgspec.Meta(ge=0, le=1440, description="Minutes between intraday reports (camt.052); 0 makes none.")
]


class ReportKind(StrEnum):
    """What a report tells: single bookings, the day so far, or a whole day."""

    NOTIFICATION = "notification"
    INTRADAY = "intraday"
    STATEMENT = "statement"


class ReportWishes(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which reports are made of an account without being asked for."""

    notifications: bool = False
    statements: bool = False
    intraday_minutes: IntradayMinutes = 0


class AccountReports(msgspec.Struct, frozen=True, kw_only=True):
    """Which reports are made of an account, and how far they are.

    Bookings up to the entry `notified_sequence` are notified or came before notifications were asked for; `statement_day` is
    the last day that was stated or came before statements were asked for.
    """

    account_id: str
    notifications: bool
    statements: bool
    intraday_minutes: int
    notified_sequence: int
    statement_day: date | None
    updated_at: datetime | None


class AccountReport(msgspec.Struct, frozen=True, kw_only=True):
    """A report that was made; `message_id` is the id under which its message is read.

    It covers `day` (of notifications: none) and the account's entries after `after_sequence` up to `last_sequence`, of which
    `entries` are bookings in this message, the page `page` of its report.
    """

    message_id: str
    definition: str
    account_id: str
    kind: ReportKind
    day: date | None
    after_sequence: int
    last_sequence: int
    entries: int
    page: int
    last_page: bool
    created_at: datetime
