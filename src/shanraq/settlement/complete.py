"""Tell partners of days that are settled."""

from __future__ import annotations

from datetime import date

from shanraq import audit, events
from shanraq.core.actor import SYSTEM, Environment
from shanraq.core.db import Database, Row, Tx
from shanraq.settlement import store
from shanraq.settlement.model import DayStatus, SettledDay
from shanraq.settlement.port import LineKind

_ENDED = frozenset((DayStatus.COMPLETE, DayStatus.CLOSED))


async def complete_days(db: Database, environment: Environment, name: str) -> int:
    """Tell partners of complete days whose lines are all settled, once for so many lines; return how many were looked at."""
    async with db.begin(SYSTEM) as tx:
        due = await store.due_completions(tx, environment, name)
    for day, partner_id, book in due:

        async def work(tx: Tx, day: date = day) -> None:
            await store.lock_partner(tx)
            await tell_if_complete(tx, name, day)
            await store.looked_at(tx, name, day)

        await db.run(SYSTEM.acting_for(partner_id, environment, book), work)
    return len(due)


async def has_ended(tx: Tx, environment: Environment, name: str, day: date) -> bool:
    """Tell whether the whole report of a day was read."""
    found = await store.find_day(tx, environment, name, day)
    return found is not None and found.status in _ENDED and found.revision > 0


async def tell_if_complete(tx: Tx, name: str, day: date) -> bool:
    """Emit settlement.completed for the partner, if nothing of the day waits and more lines are there than it was told of."""
    if await store.pending(tx, name, day):
        return False
    sums = await store.partner_sums(tx, name, day)
    lines = sum(row["lines"] for row in sums)
    if not await store.complete(tx, name, day, lines):
        return False
    told = SettledDay(
        adapter=name,
        day=day,
        lines=lines,
        captured=_of(sums, LineKind.CAPTURE),
        refunded=_of(sums, LineKind.REFUND, LineKind.CREDIT),
        charged_back=_of(sums, LineKind.CHARGEBACK),
    )
    events.emit(tx, events.Event("settlement.completed", f"settlement/{name}/{day.isoformat()}", told))
    audit.record(tx, "settlement.completed", f"{name}/{day.isoformat()}", {"lines": lines})
    return True


def _of(sums: list[Row], *kinds: LineKind) -> dict[str, int]:
    found: dict[str, int] = {}
    for row in sums:
        if row["kind"] in kinds and row["amount"]:
            found[row["currency"]] = found.get(row["currency"], 0) + row["amount"]
    return found
