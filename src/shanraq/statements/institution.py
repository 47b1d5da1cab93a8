"""The institution that keeps the accounts, and its business days."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

DEFAULT_ZONE: Final = "Asia/Almaty"


@dataclass(frozen=True, slots=True)
class Institution:
    """Who services the accounts (`bic`, empty where there is none), and in which zone its days begin and end at midnight.

    The zone is for good: with another one the days of new statements would overlap those of the old.
    """

    bic: str = ""
    zone: ZoneInfo = field(default_factory=lambda: ZoneInfo(DEFAULT_ZONE))

    def day_of(self, instant: datetime) -> date:
        """Return the business day of an instant."""
        return instant.astimezone(self.zone).date()

    def start_of(self, day: date) -> datetime:
        """Return the instant a business day begins at, in its zone."""
        return datetime.combine(day, time.min, self.zone)

    def end_of(self, day: date) -> datetime:
        """Return the instant a business day ends at, which is the beginning of the next."""
        return self.start_of(day + timedelta(days=1))

    def local(self, instant: datetime) -> datetime:
        """Return an instant in the zone of the institution."""
        return instant.astimezone(self.zone)
