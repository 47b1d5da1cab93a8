"""Hang sealed values on the newest master key, table by table, while everything goes on.

A value is exchanged only if it is still what was read, so whoever writes it meanwhile wins; a run that is cut off is repeated.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from shanraq.core.actor import Actor
from shanraq.core.crypto import Keyring
from shanraq.core.db import Database


@dataclass(frozen=True, slots=True)
class Sealed:
    """A column of sealed values: its table, the columns that name a row, and what a value is bound to.

    `context` gets the columns named by `bound_to`, which default to the key.
    """

    table: str
    key: tuple[str, ...]
    column: str
    context: Callable[..., str]
    bound_to: tuple[str, ...] = ()


async def usage(db: Database, actor: Actor, sealed: Sealed) -> dict[str, int]:
    """Return how many values hang on each master key, by its id."""
    async with db.begin(actor) as tx:
        rows = await tx.rows(
            f"SELECT encode(substring({sealed.column} FROM 2 FOR 4), 'hex') AS id, count(*) AS count "  # noqa: S608 - own names
            f"FROM {sealed.table} WHERE {sealed.column} IS NOT NULL GROUP BY 1 ORDER BY 1"
        )
    return {row["id"]: row["count"] for row in rows}


async def reseal(
    db: Database,
    keyring: Keyring,
    actor: Actor,
    sealed: Sealed,
    *,
    batch: int = 200,
    told: Callable[[int], None] = lambda looked_at: None,
) -> int:
    """Hang every value of a column on the newest master key; returns how many were changed.

    `told` hears how many rows were looked at. Raises SealBrokenError when a value hangs on a key that is not in the keyring.
    """
    names = ", ".join(sealed.key)
    wanted = ", ".join(dict.fromkeys((*sealed.key, *(sealed.bound_to or sealed.key))))
    after: tuple[Any, ...] | None = None
    newest = bytes.fromhex(keyring.key_ids[0])
    changed = 0
    while True:
        places = ", ".join(f"${number}" for number in range(3, 3 + len(sealed.key)))
        beyond = f"AND ({names}) > ({places})" if after is not None else ""
        async with db.begin(actor) as tx:
            rows = await tx.rows(
                f"SELECT {wanted}, {sealed.column} AS value FROM {sealed.table} "  # noqa: S608 - own names
                f"WHERE {sealed.column} IS NOT NULL AND substring({sealed.column} FROM 2 FOR 4) <> $2 {beyond} "
                f"ORDER BY {names} LIMIT $1",
                batch,
                newest,
                *(after or ()),
            )
            for row in rows:
                bound = [row[name] for name in sealed.bound_to or sealed.key]
                renewed = keyring.reseal(row["value"], context=sealed.context(*bound))
                own = " AND ".join(f"{name} = ${number}" for number, name in enumerate(sealed.key, 3))
                changed += await tx.execute(
                    f"UPDATE {sealed.table} SET {sealed.column} = $2 WHERE {sealed.column} = $1 AND {own}",  # noqa: S608
                    row["value"],
                    renewed,
                    *(row[name] for name in sealed.key),
                )
        told(len(rows))
        if len(rows) < batch:
            return changed
        after = tuple(rows[-1][name] for name in sealed.key)
