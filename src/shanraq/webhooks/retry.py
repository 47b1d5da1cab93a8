"""When a delivery is tried again: the schedule, and what the receiver's answer says about it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from shanraq.webhooks.errors import InvalidScheduleError

DEFAULT_SCHEDULE: Final = (0, 5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
"""Delay before each attempt in seconds, the first one included: ten attempts in 75 h 35 min 5 s (Standard Webhooks)."""

SCHEDULE_LIMIT: Final = 20
SCHEDULE_SECONDS_LIMIT: Final = 7 * 86_400
RETRY_AFTER_SECONDS_LIMIT: Final = 86_400
JITTER: Final = (0.8, 1.2)

BREAKER_FAILURES: Final = 5
"""Failures in a row after which an endpoint is left alone for a while, without burning attempts."""
_BREAKER_SECONDS: Final = 30
_BREAKER_SECONDS_LIMIT: Final = 900

_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MONTH: Final = "|".join(_MONTHS)
_TIME: Final = r"(?P<hour>[0-9]{2}):(?P<minute>[0-9]{2}):(?P<second>[0-9]{2})"
# The three forms of RFC 9110, 5.6.7: IMF-fixdate, RFC 850, asctime.
_DATES: Final = (
    re.compile(
        rf"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), (?P<day>[0-9]{{2}}) (?P<month>{_MONTH}) (?P<year>[0-9]{{4}}) {_TIME} GMT"
    ),
    re.compile(
        rf"(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day, (?P<day>[0-9]{{2}})-(?P<month>{_MONTH})-(?P<year>[0-9]{{2}}) {_TIME} GMT"
    ),
    re.compile(
        rf"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) (?P<month>{_MONTH}) (?P<day>[ 0-9][0-9]) {_TIME} (?P<year>[0-9]{{4}})"
    ),
)
_SECONDS: Final = re.compile(r"[0-9]+", re.ASCII)


def check_schedule(delays_seconds: Sequence[int]) -> tuple[int, ...]:
    """Return a schedule that is one: 1 to 20 delays, none negative, at most 7 days together; raise InvalidScheduleError."""
    within = 1 <= len(delays_seconds) <= SCHEDULE_LIMIT and all(delay >= 0 for delay in delays_seconds)
    if not within or sum(delays_seconds) > SCHEDULE_SECONDS_LIMIT:
        raise InvalidScheduleError(field="retry_schedule")
    return tuple(delays_seconds)


def retry_delay_seconds(
    scheduled_seconds: float, *, status: int | None, retry_after: str | None, now: datetime
) -> float:
    """Return the delay before the next attempt: the schedule's (with its jitter), or longer if the receiver asks for it.

    Retry-After counts on 429 and 503 only, as seconds or an HTTP date, up to a day; what is neither is ignored.
    """
    if status not in (429, 503) or not retry_after:
        return scheduled_seconds
    return max(scheduled_seconds, min(_asked_seconds(retry_after, now), RETRY_AFTER_SECONDS_LIMIT))


def breaker_seconds(trips: int) -> int:
    """Return how long an endpoint is left alone the n-th time in a row (from 1): 30 s, doubling up to 15 minutes."""
    return min(_BREAKER_SECONDS << min(trips - 1, 10), _BREAKER_SECONDS_LIMIT)


def _asked_seconds(text: str, now: datetime) -> float:
    if _SECONDS.fullmatch(text):
        return float(text[-12:]) if len(text.lstrip("0")) <= 12 else float(RETRY_AFTER_SECONDS_LIMIT)
    for form in _DATES:
        match = form.fullmatch(text)
        if match is not None:
            date = _date(match, now)
            return max(0.0, (date - now).total_seconds()) if date is not None else 0.0
    return 0.0


def _date(match: re.Match[str], now: datetime) -> datetime | None:
    year = int(match["year"])
    if len(match["year"]) == 2:
        # RFC 9110, 5.6.7: a year more than 50 years in the future is the most recent past one with these digits.
        year += now.year - now.year % 100
        if year > now.year + 50:
            year -= 100
    month = _MONTHS.index(match["month"]) + 1
    try:
        return datetime(
            year, month, int(match["day"]), int(match["hour"]), int(match["minute"]), int(match["second"]), tzinfo=UTC
        )
    except ValueError:
        return None
