"""Account reports in ISO 20022, from the ledger: notifications of bookings, the day so far, statements of days."""

from shanraq.statements.errors import DayNotOverError, ReportTooLongError, StatementNotFoundError, UnknownVersionError
from shanraq.statements.institution import DEFAULT_ZONE, Institution
from shanraq.statements.model import (
    BOOKINGS_PER_NOTIFICATION,
    ENTRIES_PER_PAGE,
    AccountReport,
    AccountReports,
    ReportKind,
    ReportWishes,
)
from shanraq.statements.produce import produce
from shanraq.statements.read import Reader
from shanraq.statements.subscribe import find_reports, set_reports

__all__ = [
    "BOOKINGS_PER_NOTIFICATION", "DEFAULT_ZONE", "ENTRIES_PER_PAGE", "AccountReport", "AccountReports", "DayNotOverError",
    "Institution", "Reader", "ReportKind", "ReportTooLongError", "ReportWishes", "StatementNotFoundError",
    "UnknownVersionError", "find_reports", "produce", "set_reports",
]  # fmt: skip
