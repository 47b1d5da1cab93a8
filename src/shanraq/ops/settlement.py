"""The terms of settlement from settings, and settlement from the command line."""

from __future__ import annotations

import tomllib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Final

import msgspec

from shanraq import partners, settlement
from shanraq.core.actor import SYSTEM, Environment
from shanraq.core.errors import NotFoundError
from shanraq.core.page import PageRequest
from shanraq.core.settings import InvalidSettingError, Settings
from shanraq.ops.app import Announce, Platform, open_platform

# Who has the database and the keys at hand may read this; what is decided about exceptions needs two operators.
_CONSOLE: Final = replace(SYSTEM, id="console", scopes=frozenset({partners.SETTLEMENT_READ}))


class NoSettlementSourceError(NotFoundError, code="no_settlement_source", status=404):
    """No payment system of this name reports settlement in this environment."""


def terms_of(settings: Settings) -> settlement.Terms:
    """Read the terms of settlement. Raises InvalidSettingError naming the setting."""
    given = settings.settlement
    for name in ("refetch_days", "expected_days", "grace_days", "report_after_minutes"):
        if getattr(given, name) < 0:
            raise InvalidSettingError("must not be negative", field=f"settlement.{name}")
    if given.interval_seconds <= 0 or given.disputes_minutes <= 0:
        raise InvalidSettingError("must be above zero", field="settlement.interval_seconds")
    closed = frozenset(given.closed_weekdays)
    if not closed < frozenset(range(7)) and closed:
        raise InvalidSettingError("are 0 (Monday) to 6, and not all of them", field="settlement.closed_weekdays")
    try:
        holidays = frozenset(date.fromisoformat(day) for day in given.holidays)
    except ValueError:
        raise InvalidSettingError("must be days such as 2026-12-16", field="settlement.holidays") from None
    return settlement.Terms(
        report_after=timedelta(minutes=given.report_after_minutes),
        refetch_days=given.refetch_days,
        expected_days=given.expected_days,
        grace_days=given.grace_days,
        closed_weekdays=closed,
        holidays=holidays,
        disputes_every=timedelta(minutes=given.disputes_minutes),
        fees=load_fees(Path(given.fees_file)) if given.fees_file else (),
        fees_partner=given.fees_partner,
    )


def load_fees(file: Path) -> tuple[settlement.FeeRule, ...]:
    """Read the agreed fees, `[[fee]]` tables in a TOML file. Raises InvalidSettingError."""
    field = "settlement.fees_file"
    try:
        read = tomllib.loads(file.read_text())
        unknown = read.keys() - {"fee"}
        if unknown:
            raise InvalidSettingError(f"has no {', '.join(sorted(unknown))}: only [[fee]]", field=field)
        return tuple(msgspec.convert(read.get("fee", []), list[settlement.FeeRule]))
    except OSError as error:
        raise InvalidSettingError(f"cannot be read: {error.strerror}", field=field) from None
    except tomllib.TOMLDecodeError as error:
        raise InvalidSettingError(f"is not TOML: {error}", field=field) from None
    except msgspec.ValidationError as error:
        raise InvalidSettingError(str(error), field=field) from None


def sources_of(platform: Platform) -> settlement.Sources:
    """Return the payment systems of a platform that report settlement."""
    return settlement.Sources.of(platform.acquiring.gateways.adapters, terms_of(platform.settings))


@asynccontextmanager
async def _opened(settings: Settings, announce: Announce) -> AsyncIterator[Platform]:
    async with open_platform(settings, simulators=False, announce=announce) as platform:
        yield platform


async def fetch(
    settings: Settings, environment: Environment, adapter: str, days: list[date], announce: Announce
) -> list[settlement.DayFigures]:
    """Fetch and settle the reports of days now. Raises NoSettlementSourceError, SettlementUnreadableError."""
    async with _opened(settings, announce) as platform:
        sources = sources_of(platform)
        if (environment, adapter) not in sources.adapters:
            known = ", ".join(f"{name} ({where})" for where, name in sources.adapters) or "none"
            raise NoSettlementSourceError(f"{adapter} in {environment}; there is {known}", field="adapter")
        found = []
        for day in days:
            announce(f"reading {adapter} of {day.isoformat()}")
            await settlement.fetch_day(platform.db, sources, environment, adapter, day)
            found.append(await settlement.day_figures(platform.db, _CONSOLE, environment, adapter, day))
        return found


async def show(
    settings: Settings, environment: Environment, adapter: str, day: date, announce: Announce
) -> settlement.DayFigures:
    """Return the totals of a day. Raises SettlementDayNotFoundError."""
    async with _opened(settings, announce) as platform:
        return await settlement.day_figures(platform.db, _CONSOLE, environment, adapter, day)


async def exceptions(
    settings: Settings, environment: Environment, status: settlement.ExceptionStatus, announce: Announce
) -> list[settlement.SettlementException]:
    """Return the exceptions with a status, newest first."""
    async with _opened(settings, announce) as platform:
        found: list[settlement.SettlementException] = []
        cursor: str | None = None
        while True:
            page = await settlement.list_exceptions(
                platform.db, _CONSOLE, environment, PageRequest.read(cursor, 500), status=status
            )
            found += page.items
            if not page.next_cursor:
                return found
            cursor = page.next_cursor
