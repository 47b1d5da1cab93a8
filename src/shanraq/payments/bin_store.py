"""The SQL of the table of BINs: its ranges through all versions, and what is known of a card by its first digits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from shanraq.core.db import Row, Tx, chunks
from shanraq.payments.bins import BinRange, BinTable, BinTableVersionNotFoundError, Funding, KnownBin, bounds_of

_AT_ONCE: Final = 5_000


async def lock(tx: Tx) -> None:
    """Let one transaction after the other change the table."""
    await tx.execute("SELECT pg_advisory_xact_lock(hashtextextended('bin_range', 0))")


async def newest(tx: Tx) -> BinTable:
    """Return the newest version; version 0 where there is none yet."""
    row = await tx.row("SELECT * FROM bin_table_version ORDER BY version DESC LIMIT 1")
    if row is None:
        return BinTable(version=0, ranges=0, added=0, removed=0, changed_by="", changed_at=None)
    return _table_of(row)


async def versions(tx: Tx, limit: int) -> list[BinTable]:
    """Return the latest versions, the newest first."""
    rows = await tx.rows("SELECT * FROM bin_table_version ORDER BY version DESC LIMIT $1", limit)
    return [_table_of(row) for row in rows]


async def check_version(tx: Tx, version: int) -> None:
    """Raise BinTableVersionNotFoundError unless there is such a version."""
    if await tx.row("SELECT FROM bin_table_version WHERE version = $1", version) is None:
        raise BinTableVersionNotFoundError(field="version")


async def ranges(tx: Tx) -> set[BinRange]:
    """Return all ranges of the newest version."""
    return {
        range_of(row)
        async for row in tx.cursor("SELECT * FROM bin_range WHERE until_version IS NULL", prefetch=_AT_ONCE)
    }


async def listed(tx: Tx, version: int, after: tuple[int, int], limit: int) -> list[BinRange]:
    """Return ranges of a version in their order, those behind `after` (first, then minus the last eight-digit BIN)."""
    rows = await tx.rows(
        """SELECT * FROM bin_range
            WHERE since_version <= $1 AND (until_version IS NULL OR until_version > $1)
              AND first_bin >= $2 AND (first_bin, -last_bin) > ($2, $3)
            ORDER BY first_bin, -last_bin LIMIT $4""",
        version, *after, limit,
    )  # fmt: skip
    return [range_of(row) for row in rows]


async def holding(tx: Tx, digits: str) -> list[KnownBin]:
    """Return the ranges of the newest version that hold all cards with these first digits, the narrowest first."""
    rows = await tx.rows(
        """SELECT *, (SELECT max(version) FROM bin_table_version) AS version FROM bin_range
            WHERE until_version IS NULL AND int4range(first_bin, last_bin, '[]') @> int4range($1, $2, '[]')
            ORDER BY last_bin - first_bin""",
        *bounds_of(digits),
    )
    return [KnownBin(version=row["version"], range=range_of(row)) for row in rows]


async def within(tx: Tx, digits: str, limit: int) -> list[BinRange]:
    """Return ranges of the newest version for only some of the cards with these first digits, in their order."""
    first, last = bounds_of(digits)
    rows = await tx.rows(
        """SELECT * FROM bin_range
            WHERE until_version IS NULL AND first_bin BETWEEN $1 AND $2 AND (first_bin > $1 OR last_bin < $2)
            ORDER BY first_bin, -last_bin LIMIT $3""",
        first, last, limit,
    )  # fmt: skip
    return [range_of(row) for row in rows]


async def end(tx: Tx, gone: Sequence[BinRange], version: int) -> None:
    """Let ranges of the newest version end before `version`."""
    for some in chunks(gone, _AT_ONCE):
        await tx.execute(
            """UPDATE bin_range SET until_version = $3 FROM unnest($1::int[], $2::int[]) AS gone (first, last)
                WHERE until_version IS NULL AND first_bin = gone.first AND last_bin = gone.last""",
            [one.bounds[0] for one in some], [one.bounds[1] for one in some], version,
        )  # fmt: skip


async def insert(tx: Tx, new: Sequence[BinRange], version: int, told: Callable[[int], None]) -> None:
    """Write new ranges of `version`; `told` hears how many, as they are written."""
    for some in chunks(new, _AT_ONCE):
        await tx.execute(
            """INSERT INTO bin_range (first_bin, last_bin, scheme, country, funding, issuer, since_version)
               SELECT *, $7::int FROM unnest($1::int[], $2::int[], $3::text[], $4::text[], $5::text[], $6::text[])""",
            [one.bounds[0] for one in some], [one.bounds[1] for one in some], [one.scheme for one in some],
            [one.country for one in some], [one.funding.value for one in some], [one.issuer for one in some], version,
        )  # fmt: skip
        told(len(some))


async def remember(tx: Tx, table: BinTable) -> None:
    """Write down a new version."""
    await tx.execute(
        """INSERT INTO bin_table_version (version, ranges, added, removed, changed_by, changed_at)
           VALUES ($1, $2, $3, $4, $5, $6)""",
        table.version, table.ranges, table.added, table.removed, table.changed_by, table.changed_at,
    )  # fmt: skip


def range_of(row: Row) -> BinRange:
    """Read a row of bin_range."""
    return BinRange(
        first=f"{row['first_bin']:08}", last=f"{row['last_bin']:08}", scheme=row["scheme"], country=row["country"],
        funding=Funding(row["funding"]), issuer=row["issuer"],
    )  # fmt: skip


def _table_of(row: Row) -> BinTable:
    return BinTable(
        version=row["version"], ranges=row["ranges"], added=row["added"], removed=row["removed"],
        changed_by=row["changed_by"], changed_at=row["changed_at"],
    )  # fmt: skip
