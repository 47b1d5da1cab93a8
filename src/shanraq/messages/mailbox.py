"""How far the mailbox of a clearing system was read."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from shanraq.core.actor import SYSTEM, Actor, Environment
from shanraq.core.db import Database, Tx
from shanraq.core.ids import derived_number
from shanraq.messages import store


def system(environment: Environment | None) -> Actor:
    """Return the system acting for the platform itself, in one environment or in all."""
    return Actor(SYSTEM.kind, SYSTEM.id, environment=environment)


@asynccontextmanager
async def reading(db: Database, environment: Environment, clearing: str) -> AsyncIterator[str | None]:
    """Take the mailbox of a clearing system for this process and give its cursor; None while another process has it.

    The lock is the session's: it ends with the connection, whatever becomes of the process.
    """
    lock = derived_number("mailbox", environment, clearing) >> 65
    async with db.connection() as connection:
        if not await connection.fetchval("SELECT pg_try_advisory_lock($1)", lock):
            yield None
            return
        try:
            async with db.begin(system(environment)) as tx:
                cursor = await store.read_cursor(tx, environment, clearing)
            yield cursor
        finally:
            await connection.fetchval("SELECT pg_advisory_unlock($1)", lock)


async def position(tx: Tx, environment: Environment, clearing: str) -> str:
    """Return the cursor up to which everything was taken, "" at the beginning."""
    return await store.read_cursor(tx, environment, clearing)


async def advance(tx: Tx, environment: Environment, clearing: str, cursor: str) -> None:
    """Note that everything up to `cursor` was taken."""
    await store.write_cursor(tx, environment, clearing, cursor)
