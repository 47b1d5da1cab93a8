"""Delivery of notifications: beside the answers, never in front of them; late, twice and out of order when told to.

One task takes what is due, at most `_AT_ONCE` requests run at a time, and what waits is bounded. Retries follow the policy
of the webhook in minutes of the simulated clock, so that a test need not wait for them.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import ssl
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Final

import msgspec
import structlog

from shanraq.simulators.post import post

log = structlog.get_logger(__name__)

_AT_ONCE: Final = 16
_WAITING_LIMIT: Final = 10_000
_LOG_LIMIT: Final = 10_000
_TIMEOUT_SECONDS: Final = 10.0
_LONGEST_RETRY_MINUTES: Final = 7 * 24 * 60


class WebhookFaultKind(StrEnum):
    """What goes wrong with notifications."""

    DUPLICATE = "duplicate"
    """Sent twice."""
    DELAY = "delay"
    """Sent after a time."""
    OUT_OF_ORDER = "out_of_order"
    """Sent after the next one."""
    LOSE = "lose"
    """Never sent."""


@dataclass(frozen=True, slots=True)
class WebhookFault:
    """One trouble for the next `count` notifications; `seconds` (simulated clock) is for DELAY."""

    kind: WebhookFaultKind
    count: int = 1
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Notification:
    """One notification to one webhook; `attempt` counts from 0."""

    id: str
    webhook_id: str
    merchant_id: str
    url: str
    event_type: str
    organization_id: str
    product: str
    body: dict[str, Any] = field(repr=False)
    policy: Mapping[str, Any] = field(default_factory=dict)
    attempt: int = 0


@dataclass(frozen=True, slots=True)
class Delivery:
    """What became of one attempt: the status of the receiver, or 0 and an error."""

    notification: Notification
    status: int
    error: str = ""


class Deliveries:
    """Sends notifications. `now` gives the simulated time in seconds; headers, interest and giving up are asked for.

    `tls` verifies receivers that are called over https; without one the system's authorities do.
    """

    def __init__(
        self, now: Callable[[], float], wall_clock: Callable[[], float], tls: ssl.SSLContext | None = None
    ) -> None:
        self.tls = tls
        self.log: deque[Delivery] = deque(maxlen=_LOG_LIMIT)
        self.faults: list[WebhookFault] = []
        self.headers_of: Callable[[Notification, bytes, int], dict[str, str]] = lambda *_: {}
        self.is_active: Callable[[Notification], bool] = lambda _: True
        self.gave_up: Callable[[Notification], None] = lambda _: None
        self._now = now
        self._wall_clock = wall_clock
        self._waiting: list[tuple[float, int, Notification]] = []
        self._held: list[Notification] = []
        self._count = 0
        self._wake = asyncio.Event()
        self._pump: asyncio.Task[None] | None = None
        self._running: set[asyncio.Task[None]] = set()

    # Taking in.

    def add(self, notification: Notification) -> None:
        """Take a notification; it is sent when the loop comes to it."""
        fault = self._take_fault()
        kind = fault.kind if fault is not None else None
        if kind is WebhookFaultKind.LOSE:
            return
        if kind is WebhookFaultKind.OUT_OF_ORDER:
            self._held.append(notification)
            return
        delay = fault.seconds if fault is not None and kind is WebhookFaultKind.DELAY else 0.0
        times = 2 if kind is WebhookFaultKind.DUPLICATE else 1
        for _ in range(times):
            self._put(notification, delay)
        held, self._held = self._held, []
        for earlier in held:
            self._put(earlier, 0.0)

    def _take_fault(self) -> WebhookFault | None:
        if not self.faults:
            return None
        fault = self.faults[0]
        if fault.count > 1:
            self.faults[0] = replace(fault, count=fault.count - 1)
        else:
            del self.faults[0]
        return fault

    def _put(self, notification: Notification, delay_seconds: float) -> None:
        if len(self._waiting) >= _WAITING_LIMIT:
            log.warning("visa_simulator.notification_lost", webhook=notification.webhook_id)
            return
        self._count += 1
        heapq.heappush(self._waiting, (self._now() + delay_seconds, self._count, notification))
        self._wake.set()

    def clock_moved(self) -> None:
        """Look again at what is due."""
        self._wake.set()

    def forget(self) -> None:
        """Forget what waits, the faults and the log."""
        self._waiting.clear()
        self._held.clear()
        self.faults.clear()
        self.log.clear()

    @property
    def waiting(self) -> int:
        """How many notifications wait, are held back, or are on their way."""
        return len(self._waiting) + len(self._held) + len(self._running)

    # Sending.

    async def start(self) -> None:
        """Begin to send."""
        if self._pump is None:
            self._pump = asyncio.create_task(self._send_due())

    async def stop(self) -> None:
        """Stop sending; what is on its way is given up."""
        tasks = [*self._running, *([self._pump] if self._pump is not None else [])]
        self._pump = None
        for task in tasks:
            task.cancel()
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _send_due(self) -> None:
        while True:
            self._wake.clear()
            while self._waiting and self._waiting[0][0] <= self._now() and len(self._running) < _AT_ONCE:
                _, _, notification = heapq.heappop(self._waiting)
                task = asyncio.create_task(self._deliver(notification))
                self._running.add(task)
                task.add_done_callback(self._done)
            pause: float | None = None
            if self._waiting and len(self._running) < _AT_ONCE:
                pause = max(self._waiting[0][0] - self._now(), 0.001)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._wake.wait()

    def _done(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._wake.set()

    async def _deliver(self, notification: Notification) -> None:
        if not self.is_active(notification):
            return
        body = msgspec.json.encode(notification.body | {"retryNumber": notification.attempt})
        # Receivers compare the time of the signature with their own clock, which no test has advanced.
        headers = self.headers_of(notification, body, int(self._wall_clock() * 1000))
        status, error = 0, ""
        try:
            async with asyncio.timeout(_TIMEOUT_SECONDS):
                status = await post(notification.url, body, headers, self.tls)
        except (OSError, TimeoutError, ValueError, EOFError, asyncio.LimitOverrunError) as failure:
            error = type(failure).__name__
        self.log.append(Delivery(notification, status, error))
        if not 200 <= status < 300:
            self._retry(notification)

    def _retry(self, notification: Notification) -> None:
        minutes = retry_minutes(notification.policy, notification.attempt)
        if minutes is None:
            self.gave_up(notification)
            return
        self._put(replace(notification, attempt=notification.attempt + 1), minutes * 60.0)


def retry_minutes(policy: Mapping[str, Any], attempt: int) -> int | None:
    """Return after how many minutes a failed attempt (from 0) is followed by the next; None after the last.

    ARITHMETIC waits firstRetry, then firstRetry + interval, + 2 interval ...; GEOMETRIC multiplies by interval. After
    numberOfRetries the whole sequence is repeated repeatSequenceCount times, repeatSequenceWaitTime minutes later.
    """
    retries = int(policy.get("numberOfRetries", 0))
    sequence, step = divmod(attempt, retries + 1)
    if step == retries:
        if sequence >= int(policy.get("repeatSequenceCount", 0)):
            return None
        return max(int(policy.get("repeatSequenceWaitTime", 0)), 1)
    first, interval = int(policy.get("firstRetry", 1)), int(policy.get("interval", 1))
    minutes = first + interval * step
    if policy.get("algorithm") == "GEOMETRIC":
        minutes = first * int(max(interval, 1) ** step)
    return min(minutes, _LONGEST_RETRY_MINUTES)
