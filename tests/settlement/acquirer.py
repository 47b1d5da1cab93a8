"""An acquirer with the shape of the port: settles what the gateway did, with the faults it is told to make."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import date

from shanraq.core.db import assert_no_transaction
from shanraq.core.money import Money
from shanraq.settlement import (
    DisputeNotice,
    LineKind,
    SettlementLine,
    SettlementReport,
    SettlementUnreadableError,
)

BRINGS = (LineKind.CAPTURE, LineKind.REPRESENTMENT)


def line(
    kind: LineKind,
    amount: Money,
    *,
    line_id: str,
    day: date,
    fees: tuple[int, int, int] = (0, 0, 0),
    net: int | None = None,
    keys: dict[str, str],
) -> SettlementLine:
    """Return a line; its net agrees with its amount and fees unless one is given."""
    interchange, scheme_fee, processing_fee = (Money(fee, amount.currency) for fee in fees)
    gross = amount.minor if kind in BRINGS else -amount.minor
    return SettlementLine(
        line_id=line_id,
        kind=kind,
        batch_id=f"batch-{day}",
        settled_on=day,
        reference=keys.get("reference", ""),
        gateway_id=keys.get("gateway_id", ""),
        amount=amount,
        interchange=interchange,
        scheme_fee=scheme_fee,
        processing_fee=processing_fee,
        net_minor=gross - sum(fees) if net is None else net,
        operation_id=keys.get("operation_id", ""),
        reconciliation_id=keys.get("reconciliation_id", ""),
    )


@dataclass
class Acquirer:
    """Reports what it is given. `failing` holds errors for the next calls; `asked` remembers the days."""

    name: str = "fake"
    reports: dict[date, list[SettlementLine]] = field(default_factory=dict)
    partial: set[date] = field(default_factory=set)
    notices: list[DisputeNotice] = field(default_factory=list)
    failing: int = 0
    asked: list[date] = field(default_factory=list)
    before_answer: Callable[[], None] = lambda: None

    async def settlement(self, day: date) -> SettlementReport | None:
        assert_no_transaction()
        self.asked.append(day)
        if self.failing:
            self.failing -= 1
            raise SettlementUnreadableError("the report is cut off")
        self.before_answer()
        if day not in self.reports:
            return None
        return SettlementReport(
            f"settlement-{day}.csv", day, tuple(self.reports[day]), complete=day not in self.partial
        )

    async def disputes(self, since: date, until: date) -> tuple[DisputeNotice, ...]:
        assert_no_transaction()
        if self.failing:
            self.failing -= 1
            raise SettlementUnreadableError("not now")
        return tuple(notice for notice in self.notices if since <= notice.opened_at.date() <= until)

    def add(self, day: date, *lines: SettlementLine) -> None:
        """Add lines to the report of a day."""
        self.reports.setdefault(day, []).extend(lines)

    def alter(self, day: date, line_id: str, **changes: object) -> None:
        """Change a line that was reported."""
        lines = self.reports[day]
        for index, one in enumerate(lines):
            if one.line_id == line_id:
                lines[index] = replace(one, **changes)  # type: ignore[arg-type]
