"""Settlement from settings and from the command line."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from datetime import date, timedelta
from pathlib import Path

import pytest

from shanraq.core.actor import Environment
from shanraq.core.settings import InvalidSettingError, Settings, SettlementSettings, load
from shanraq.ops.settlement import NoSettlementSourceError, exceptions, fetch, show, terms_of
from shanraq.settlement import ExceptionStatus, FeeRule
from tests.settlement.conftest import MORNING, YESTERDAY, Desk, desk

__all__ = ["desk"]


def quiet(_: str) -> None:
    pass


def test_terms_are_read_from_settings_and_a_file_of_fees(tmp_path: Path) -> None:
    file = tmp_path / "fees.toml"
    file.write_text('[[fee]]\nkind = "capture"\nbrand = "visa"\nbasis_points = 150\nfixed = 10\n[[fee]]\n')
    variables = {
        "SHANRAQ_SETTLEMENT_FEES_FILE": str(file),
        "SHANRAQ_SETTLEMENT_GRACE_DAYS": "1",
        "SHANRAQ_SETTLEMENT_CLOSED_WEEKDAYS": "5,6",
        "SHANRAQ_SETTLEMENT_HOLIDAYS": "2026-12-16",
    }

    terms = terms_of(load(None, variables))

    assert terms.fees == (FeeRule(kind="capture", brand="visa", basis_points=150, fixed=10), FeeRule())
    assert terms.fees[0].fee(333) == 5 + 10
    assert not terms.open_on(date(2026, 11, 28))
    assert not terms.open_on(date(2026, 12, 16))
    # From a Monday two open days back: Friday and Thursday, as the weekend does not count.
    assert terms.missed_before(MORNING + timedelta(days=4)).date() == date(2026, 11, 26)


@pytest.mark.parametrize(
    ("given", "field"),
    [
        (SettlementSettings(grace_days=-1), "settlement.grace_days"),
        (SettlementSettings(interval_seconds=0), "settlement.interval_seconds"),
        (SettlementSettings(closed_weekdays=(7,)), "settlement.closed_weekdays"),
        (SettlementSettings(closed_weekdays=(0, 1, 2, 3, 4, 5, 6)), "settlement.closed_weekdays"),
        (SettlementSettings(holidays=("16.12.2026",)), "settlement.holidays"),
        (SettlementSettings(fees_file="/nowhere"), "settlement.fees_file"),
    ],
)
def test_terms_that_cannot_be_are_refused(given: SettlementSettings, field: str) -> None:
    with pytest.raises(InvalidSettingError) as refused:
        terms_of(Settings(settlement=given))
    assert refused.value.field == field


@pytest.mark.parametrize("text", ["[[fee", "[[cost]]", "[[fee]]\nbasis_points = -1", '[[fee]]\ncurrency = "tenge"'])
def test_a_file_of_fees_that_cannot_be_read_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "fees.toml"
    file.write_text(text)
    with pytest.raises(InvalidSettingError, match=r"settlement\.fees_file"):
        terms_of(Settings(settlement=SettlementSettings(fees_file=str(file))))


async def test_the_console_shows_days_and_exceptions_and_names_what_is_missing(
    desk: Desk, owner_dsn: str, tmp_path: Path
) -> None:
    desk.line(*await desk.captured(2_000), amount=1_900)
    desk.at(MORNING)
    await desk.settle()
    settings = Settings(database_url=owner_dsn, data_dir=str(tmp_path), unsafe=True, log_level="error")

    figures = await show(settings, Environment.SANDBOX, "fake", YESTERDAY, quiet)
    listed = await exceptions(settings, Environment.SANDBOX, ExceptionStatus.OPEN, quiet)

    assert (figures.settled, figures.totals[0].net) == (False, 1_900)
    assert [one.kind.value for one in listed] == ["amount_differs"]
    with pytest.raises(NoSettlementSourceError, match="fake in sandbox"):
        await fetch(settings, Environment.SANDBOX, "fake", [YESTERDAY], quiet)


def test_the_command_line_says_what_is_wrong_with_a_day() -> None:
    for arguments in (("show", "visa", "25.11.2026"), ("fetch", "visa", "2026-11-25", "2026-11-24")):
        done = subprocess.run(
            [sys.executable, "-m", "shanraq", "settlement", *arguments],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 2
        assert "error" in done.stderr


async def test_the_command_line_prints_json_and_ends_by_the_verdict(desk: Desk, owner_dsn: str, tmp_path: Path) -> None:
    desk.line(*await desk.captured(2_000))
    desk.at(MORNING)
    await desk.settle()
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "shanraq", "settlement", "show", "fake", str(YESTERDAY), "--database-url", owner_dsn,
         "--data-dir", str(tmp_path)],
        capture_output=True, text=True, timeout=60, check=False, env={**os.environ, "SHANRAQ_UNSAFE": "true"},
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["settled"] is True
