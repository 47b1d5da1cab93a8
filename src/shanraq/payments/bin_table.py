"""Look after the table of BINs, and look cards up in it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from shanraq import audit, partners
from shanraq.core.actor import Actor
from shanraq.core.db import Database, Tx
from shanraq.core.errors import InvalidInputError
from shanraq.core.page import InvalidCursorError, Page, PageRequest, page_of
from shanraq.payments import bin_store
from shanraq.payments.bins import (
    DIGITS,
    MOST_RANGES,
    BinLookup,
    BinRange,
    BinRangeNotFoundError,
    BinTable,
    InvalidBinRangeError,
    KnownBin,
    faults,
    written_out,
)

_SUBJECT: Final = "bin_table"
_MOST_WITHIN: Final = 100
_MOST_VERSIONS: Final = 500


async def replace_bins(
    db: Database, actor: Actor, ranges: Sequence[BinRange], *, told: Callable[[int], None] = lambda _: None
) -> BinTable:
    """Put a table in the place of the whole table of BINs, in one transaction, and return its new version.

    The same table again makes no version. `told` hears how many new ranges were written, as they are. Raises
    InvalidBinRangeError.
    """
    actor.require(partners.ROUTE)
    if len(ranges) > MOST_RANGES:
        raise InvalidBinRangeError(f"are more than {MOST_RANGES}", field="items")
    for fault in faults(ranges):
        about = f" (items[{fault.other}])" if fault.other is not None else ""
        raise InvalidBinRangeError(fault.text + about, field=f"items[{fault.index}].{fault.field}")
    wanted = {written_out(one) for one in ranges}

    async def work(tx: Tx) -> BinTable:
        await bin_store.lock(tx)
        before = await bin_store.newest(tx)
        there = await bin_store.ranges(tx)
        gone, new = there - wanted, wanted - there
        if not gone and not new:
            return before
        table = BinTable(
            version=before.version + 1, ranges=len(wanted), added=len(new), removed=len(gone),
            changed_by=f"{tx.actor.kind}:{tx.actor.id}", changed_at=tx.now,
        )  # fmt: skip
        await bin_store.end(tx, list(gone), table.version)
        await bin_store.insert(tx, list(new), table.version, told)
        await bin_store.remember(tx, table)
        audit.record(
            tx,
            "bin_table.replaced",
            _SUBJECT,
            {"version": table.version, "ranges": table.ranges, "added": table.added, "removed": table.removed},
        )
        return table

    return await db.run(actor, work)


async def list_bins(db: Database, actor: Actor, page: PageRequest, *, version: int | None = None) -> Page[BinRange]:
    """Return ranges in the order of their first digits, wider ones before those within them, of the newest version or another.

    Raises BinTableVersionNotFoundError, InvalidCursorError.
    """
    actor.require(partners.READ_ROUTES)
    after = _after(page.after)
    async with db.begin(actor) as tx:
        if version is None:
            version = (await bin_store.newest(tx)).version
        else:
            await bin_store.check_version(tx, version)
        found = await bin_store.listed(tx, version, after, page.limit + 1)
    return page_of(found, page, lambda one: f"{one.first}_{one.last}")


async def bin_table_versions(db: Database, actor: Actor) -> list[BinTable]:
    """Return the latest versions of the table, the newest first."""
    actor.require(partners.READ_ROUTES)
    async with db.begin(actor) as tx:
        return await bin_store.versions(tx, _MOST_VERSIONS)


async def show_bin(db: Database, actor: Actor, digits: str) -> BinLookup:
    """Tell what is known of the cards with these first digits, 1 to 8. Raises InvalidInputError, BinRangeNotFoundError."""
    actor.require(partners.READ_ROUTES)
    if not (digits.isascii() and digits.isdigit() and len(digits) <= DIGITS):
        # What was given may be a whole card number, so it is not repeated.
        raise InvalidInputError("must be the first 1 to 8 digits of a card number", field="bin")
    async with db.begin(actor) as tx:
        held = await bin_store.holding(tx, digits)
        within = await bin_store.within(tx, digits, _MOST_WITHIN)
        version = (await bin_store.newest(tx)).version
    if not held and not within:
        raise BinRangeNotFoundError(field="bin")
    return BinLookup(version=version, ranges=[known.range for known in held], within=within)


async def look_up(tx: Tx, digits: str) -> KnownBin | None:
    """Return what is known of a card by its first digits, of which eight are looked at."""
    held = await bin_store.holding(tx, digits) if digits else []
    return held[0] if held else None


def _after(cursor: str) -> tuple[int, int]:
    if not cursor:
        return -1, 0
    first, _, last = cursor.partition("_")
    if not (first.isdigit() and last.isdigit() and len(first) == len(last) == DIGITS):
        raise InvalidCursorError(field="cursor")
    return int(first), -int(last)
