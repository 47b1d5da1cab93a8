"""Create operators from the command line, the first way into a new installation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from shanraq import partners
from shanraq.core.actor import SYSTEM
from shanraq.core.settings import Settings
from shanraq.ops.app import Announce, open_platform

DEFAULT_SCOPES: Final = ("partners:approve", "partners:read", "partners:suspend", "partners:write")


async def create_operator(settings: Settings, name: str, scopes: Sequence[str], announce: Announce) -> tuple[str, str]:
    """Create an operator; return its id and its token, which is shown this once."""
    async with open_platform(settings, simulators=False, announce=announce) as platform:
        async with platform.db.begin(SYSTEM) as tx:
            operator, token = await partners.create_operator(tx, platform.keyring, name, scopes or DEFAULT_SCOPES)
        return operator.id, token.reveal()
