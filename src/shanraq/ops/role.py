"""The roles of a process, apart from what runs them: `shanraq --help` must not load a web server."""

from __future__ import annotations

from enum import StrEnum


class Role(StrEnum):
    """What a process does; `simulators` pretend to be the outside world in the sandbox."""

    API = "api"
    WORKER = "worker"
    SIMULATORS = "simulators"
