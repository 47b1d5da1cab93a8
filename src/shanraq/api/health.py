"""Whether the process is up, and whether it can do its work.

`/health/live` answers as long as the process does; a supervisor restarts what does not. `/health/ready` asks everything the
work depends on; a load balancer sends nothing to a process that is not ready.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any, Final, Literal

import structlog
from litestar import Response, get
from msgspec import Meta

from shanraq.api.strict import View
from shanraq.core.errors import UnavailableError

log = structlog.get_logger(__name__)

_KEPT_SECONDS: Final = 1.0

Check = Callable[[], Awaitable[str]]
"""Ask one thing the work depends on; return a few words on its state, raise NotReadyError if it is not there."""


class NotReadyError(UnavailableError, code="not_ready", status=503):
    """Something this process depends on is not there."""


class CheckResult(View, frozen=True):
    """The state of one thing the work depends on."""

    name: str
    ok: bool
    detail: Annotated[str, Meta(description="What is not ready, or a few words on what is.")]


class Readiness(View, frozen=True):
    """Whether the process can do its work."""

    status: Literal["ready", "not_ready"]
    checks: list[CheckResult]


class Liveness(View, frozen=True):
    """That the process is up."""

    status: Literal["live"] = "live"


class Health:
    """Run named checks, each within its own time.

    The checks of a moment serve everybody who asks within a second, so that asking often costs the database nothing.
    """

    def __init__(
        self,
        checks: Mapping[str, Check],
        *,
        timeout_seconds: float = 2.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._checks = dict(checks)
        self._timeout_seconds = timeout_seconds
        self._clock = clock
        self._lock = asyncio.Lock()
        self._last: Readiness | None = None
        self._last_at = 0.0

    async def readiness(self) -> Readiness:
        """Return the state of everything, asking if the last answer is older than a second."""
        async with self._lock:
            if self._last is None or self._clock() - self._last_at > _KEPT_SECONDS:
                async with asyncio.TaskGroup() as group:
                    tasks = [group.create_task(self._ask(name, check)) for name, check in self._checks.items()]
                results = [task.result() for task in tasks]
                ready = all(result.ok for result in results)
                self._last = Readiness(status="ready" if ready else "not_ready", checks=results)
                self._last_at = self._clock()
            return self._last

    async def _ask(self, name: str, check: Check) -> CheckResult:
        try:
            async with asyncio.timeout(self._timeout_seconds):
                return CheckResult(name=name, ok=True, detail=await check())
        except NotReadyError as error:
            return CheckResult(name=name, ok=False, detail=error.detail)
        except TimeoutError:
            return CheckResult(name=name, ok=False, detail=f"no answer within {self._timeout_seconds:g} s")
        except Exception as error:
            # The text of a foreign error may name hosts and logins; anybody may read this page.
            log.warning("health.check_failed", check=name, exc_info=error)
            return CheckResult(name=name, ok=False, detail=type(error).__name__)


def health_routes(health: Health) -> list[Any]:
    """Return the two routes."""

    @get(
        "/health/live",
        operation_id="get_liveness",
        tags=["Operations"],
        opt={"public": True, "unlimited": True},
        sync_to_thread=False,
    )
    def live() -> Liveness:
        """Tell that the process is up."""
        return Liveness()

    @get(
        "/health/ready",
        operation_id="get_readiness",
        tags=["Operations"],
        opt={"public": True, "unlimited": True, "answers": {503: Readiness}},
    )
    async def ready() -> Response[Readiness]:
        """Tell whether the process can do its work, and what is not ready."""
        found = await health.readiness()
        return Response(found, status_code=200 if found.status == "ready" else 503)

    return [live, ready]
