"""Notifications of simulators: sent beside the answers, never in front of them; late, twice or out of order when told to.

One task takes what is due, at most `_AT_ONCE` requests run at a time, and what waits is bounded. Times are those of the
simulated clock, so that a test need not wait for them.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import ssl
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Generic, TypeVar

import msgspec
import structlog

from shanraq.simulators.post import post

log = structlog.get_logger(__name__)

_AT_ONCE: Final = 16
_WAITING_LIMIT: Final = 10_000
_LOG_LIMIT: Final = 10_000
_TIMEOUT_SECONDS: Final = 10.0


class NotificationFaultKind(StrEnum):
    """What goes wrong with notifications."""

    DUPLICATE = "duplicate"
    """Sent twice under one id."""
    DELAY = "delay"
    """Sent after a time."""
    OUT_OF_ORDER = "out_of_order"
    """Sent after the next one."""
    LOSE = "lose"
    """Never sent."""


class NotificationFault(msgspec.Struct, frozen=True):
    """One trouble for the next `count` notifications; `seconds` (simulated clock) is for DELAY."""

    kind: NotificationFaultKind
    count: int = 1
    seconds: float = 0.0


Notification = TypeVar("Notification")


@dataclass(frozen=True, slots=True)
class Delivery(Generic[Notification]):
    """What became of one attempt: the status of the receiver, or 0 and an error."""

    notification: Notification
    status: int
    error: str = ""

    @property
    def taken(self) -> bool:
        """Tell whether the receiver took it."""
        return 200 <= self.status < 300


class Outbox(ABC, Generic[Notification]):
    """Notifications that wait, with the faults they meet and a log of the attempts; `deliver` sends one.

    `now` gives the simulated time in seconds. `tls` verifies receivers that are called over https; without one the system's
    authorities do.
    """

    def __init__(self, now: Callable[[], float], tls: ssl.SSLContext | None = None) -> None:
        self.tls = tls
        self.log: deque[Delivery[Notification]] = deque(maxlen=_LOG_LIMIT)
        self.faults: list[NotificationFault] = []
        self.now = now
        self._waiting: list[tuple[float, int, Notification]] = []
        self._held: list[Notification] = []
        self._count = 0
        self._wake = asyncio.Event()
        self._pump: asyncio.Task[None] | None = None
        self._running: dict[asyncio.Task[None], Notification] = {}

    @abstractmethod
    async def deliver(self, notification: Notification) -> None:
        """Send a notification that is due with `attempt`, and put what failed back with `put`."""

    # Taking in.

    def add(self, notification: Notification) -> None:
        """Take a notification; it is sent when the loop comes to it."""
        fault = self._take_fault()
        kind = fault.kind if fault is not None else None
        if kind is NotificationFaultKind.LOSE:
            return
        if kind is NotificationFaultKind.OUT_OF_ORDER:
            self._held.append(notification)
            return
        delay = fault.seconds if fault is not None and kind is NotificationFaultKind.DELAY else 0.0
        for _ in range(2 if kind is NotificationFaultKind.DUPLICATE else 1):
            self.put(notification, delay)
        held, self._held = self._held, []
        for earlier in held:
            self.put(earlier, 0.0)

    def put(self, notification: Notification, delay_seconds: float) -> None:
        """Let a notification wait, whatever faults there are."""
        if len(self._waiting) >= _WAITING_LIMIT:
            log.warning("simulator.notification_lost", waiting=len(self._waiting))
            return
        self._count += 1
        heapq.heappush(self._waiting, (self.now() + delay_seconds, self._count, notification))
        self._wake.set()

    def _take_fault(self) -> NotificationFault | None:
        if not self.faults:
            return None
        fault = self.faults[0]
        if fault.count > 1:
            self.faults[0] = msgspec.structs.replace(fault, count=fault.count - 1)
        else:
            del self.faults[0]
        return fault

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

    def left(self) -> tuple[list[tuple[float, Notification]], list[Notification]]:
        """Return what waits with its times, what is on its way first, and what is held back."""
        waiting = [(due, one) for due, _, one in sorted(self._waiting, key=lambda entry: entry[:2])]
        return [(self.now(), one) for one in self._running.values()] + waiting, list(self._held)

    def resume(self, waiting: Iterable[tuple[float, Notification]], held: Iterable[Notification]) -> None:
        """Take up again what was left, in place of what waits now."""
        self._held = list(held)
        self._waiting = [(due, number, one) for number, (due, one) in enumerate(waiting)]
        heapq.heapify(self._waiting)
        self._count = len(self._waiting)
        self._wake.set()

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
        await asyncio.gather(*tasks, return_exceptions=True)

    async def attempt(
        self, notification: Notification, url: str, body: bytes, headers: Mapping[str, str]
    ) -> Delivery[Notification]:
        """Post a notification once, and log what became of it."""
        status, error = 0, ""
        try:
            async with asyncio.timeout(_TIMEOUT_SECONDS):
                status = await post(url, body, headers, self.tls)
        except (OSError, TimeoutError, ValueError, EOFError, asyncio.LimitOverrunError) as failure:
            error = type(failure).__name__
        delivery = Delivery(notification, status, error)
        self.log.append(delivery)
        return delivery

    async def _send_due(self) -> None:
        while True:
            self._wake.clear()
            while self._waiting and self._waiting[0][0] <= self.now() and len(self._running) < _AT_ONCE:
                _, _, notification = heapq.heappop(self._waiting)
                task = asyncio.create_task(self.deliver(notification))
                self._running[task] = notification
                task.add_done_callback(self._done)
            pause: float | None = None
            if self._waiting and len(self._running) < _AT_ONCE:
                pause = max(self._waiting[0][0] - self.now(), 0.001)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._wake.wait()

    def _done(self, task: asyncio.Task[None]) -> None:
        self._running.pop(task, None)
        self._wake.set()
