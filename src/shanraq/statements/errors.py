"""Why a report is not given."""

from __future__ import annotations

from shanraq.core.errors import ConflictError, NotFoundError, RefusedError


class StatementNotFoundError(NotFoundError, code="statement_not_found", status=404):
    """The account was not open on this day."""


class DayNotOverError(ConflictError, code="day_not_over", status=409):
    """The day is not over: its statement is not final. Ask for the intraday report."""


class UnknownVersionError(RefusedError, code="unknown_message_version", status=422):
    """The report cannot be written in this version of its message."""


class ReportTooLongError(RefusedError, code="report_too_long", status=422):
    """A report with so many entries is given in its own version only."""
