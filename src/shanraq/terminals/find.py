"""Find terminals."""

from __future__ import annotations

from shanraq.core.actor import SYSTEM, Actor, Environment
from shanraq.core.db import Database
from shanraq.terminals import store
from shanraq.terminals.model import Terminal


async def find_terminal(db: Database, environment: Environment, terminal: str, acceptor: str) -> Terminal | None:
    """Return the terminal that calls itself so (DE41 and DE42 without blanks around them), of any partner."""
    async with db.begin(SYSTEM) as tx:
        return await store.find_by_identity(tx, environment, terminal, acceptor)


async def list_terminals(db: Database, actor: Actor, limit: int = 1000) -> list[Terminal]:
    """Return the terminals that the actor may see, newest first."""
    async with db.begin(actor) as tx:
        return await store.page_terminals(tx, limit)
