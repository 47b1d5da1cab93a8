"""The roles of a process, apart from what runs them: `shanraq --help` must not load a web server."""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class Role(StrEnum):
    """What a process does; `simulators` pretend to be the outside world in the sandbox.

    `iso8583` is the gateway of terminals; it runs only where it is named.
    """

    API = "api"
    WORKER = "worker"
    SIMULATORS = "simulators"
    ISO8583 = "iso8583"


USUAL_ROLES: Final = frozenset((Role.API, Role.WORKER, Role.SIMULATORS))
"""What a process does if nothing is named."""
