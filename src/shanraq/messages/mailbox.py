"""How far the mailbox of a clearing system was read."""

from __future__ import annotations

from shanraq.core.actor import Environment
from shanraq.core.db import Tx
from shanraq.messages import store


async def position(tx: Tx, environment: Environment, clearing: str) -> str:
    """Return the cursor up to which everything was taken, "" at the beginning."""
    return await store.read_cursor(tx, environment, clearing)


async def advance(tx: Tx, environment: Environment, clearing: str, cursor: str) -> None:
    """Note that everything up to `cursor` was taken."""
    await store.write_cursor(tx, environment, clearing, cursor)
