"""Create, list and disable operators from the command line: the first way into a new installation, and out of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from shanraq import partners
from shanraq.core.actor import SYSTEM
from shanraq.core.settings import Settings
from shanraq.ops.app import Announce, open_platform

DEFAULT_SCOPES: Final = ("partners:approve", "partners:read", "partners:suspend", "partners:write")

# Who has the database and the keys at hand may do this; the audit log says that it came from here.
_CONSOLE: Final = replace(SYSTEM, id="console", scopes=frozenset({partners.OPERATE}))


async def create_operator(settings: Settings, name: str, scopes: Sequence[str], announce: Announce) -> tuple[str, str]:
    """Create an operator; return its id and its token, which is shown this once."""
    async with open_platform(settings, simulators=False, announce=announce) as platform:
        async with platform.db.begin(_CONSOLE) as tx:
            operator, token = await partners.create_operator(tx, platform.keyring, name, scopes or DEFAULT_SCOPES)
        return operator.id, token.reveal()


async def list_operators(settings: Settings, announce: Announce) -> list[partners.Operator]:
    """Return all operators, the newest first."""
    async with open_platform(settings, simulators=False, announce=announce) as platform:
        return await partners.list_operators(platform.db, _CONSOLE)


async def disable_operator(settings: Settings, operator_id: str, announce: Announce) -> partners.Operator:
    """Take an operator's access away for ever. Raises OperatorNotFoundError, InvalidIdError."""
    async with open_platform(settings, simulators=False, announce=announce) as platform:
        return await partners.disable_operator(platform.db, _CONSOLE, operator_id)
