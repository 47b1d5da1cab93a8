"""Notifications: the reply of RETRIEVE_TRANSACTION sent to the merchant, beside the answers and never in front of them.

What waits is bounded, at most `_AT_ONCE` requests run at a time, and retries wait in seconds of the simulated clock.
Delivery is not guaranteed, as at the gateway: after the last attempt a notification is given up.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import ipaddress
import ssl
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
import structlog

from shanraq.simulators.post import post

log = structlog.get_logger(__name__)

_AT_ONCE: Final = 16
_WAITING_LIMIT: Final = 10_000
_LOG_LIMIT: Final = 10_000
_TIMEOUT_SECONDS: Final = 10.0
_LONGEST_URL: Final = 2048
BACKOFF_SECONDS: Final = (5.0, 30.0, 300.0, 3600.0, 21_600.0)
"""How long after a failed attempt the next one follows; after the last the notification is given up."""

# Replies carry amounts as JSON numbers.
_encode: Final = msgspec.json.Encoder(decimal_format="number").encode


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


@dataclass(frozen=True, slots=True)
class Notification:
    """One notification; `attempt` counts from 1."""

    id: str
    merchant_id: str
    url: str
    body: bytes = field(repr=False)
    attempt: int = 1


@dataclass(frozen=True, slots=True)
class Delivery:
    """What became of one attempt: the status of the receiver, or 0 and an error."""

    notification: Notification
    status: int
    error: str = ""


class Notifier:
    """Sends notifications of transactions.

    `now` gives the simulated time in seconds, `new_id` an id never given before, `secret_of` a merchant's secret at the time of
    sending. `urls` are the global addresses by merchant, used where an order names none. `tls` verifies receivers that are
    called over https; without one the system's authorities do.
    """

    def __init__(
        self,
        now: Callable[[], float],
        new_id: Callable[[], str],
        secret_of: Callable[[str], str],
        *,
        tls: ssl.SSLContext | None = None,
        secret_over_loopback: bool = False,
        backoff_seconds: tuple[float, ...] = BACKOFF_SECONDS,
    ) -> None:
        self.urls: dict[str, str] = {}
        self.log: deque[Delivery] = deque(maxlen=_LOG_LIMIT)
        self.faults: list[NotificationFault] = []
        self._now = now
        self._new_id = new_id
        self._secret_of = secret_of
        self._tls = tls
        self._secret_over_loopback = secret_over_loopback
        self._backoff_seconds = backoff_seconds
        self._waiting: list[tuple[float, int, Notification]] = []
        self._held: list[Notification] = []
        self._count = 0
        self._wake = asyncio.Event()
        self._pump: asyncio.Task[None] | None = None
        self._running: dict[asyncio.Task[None], Notification] = {}

    def notify(self, merchant_id: str, reply: Mapping[str, Any], *, url: str = "", version: str = "") -> str:
        """Take the reply of RETRIEVE_TRANSACTION for `url` or the merchant's own; return the id, empty where nobody listens.

        `version` is that of the original request, where the reply does not carry it already.
        """
        url = url or self.urls.get(merchant_id, "")
        if not url:
            return ""
        body = _encode({**reply, "version": version} if version else reply)
        notification = Notification(self._new_id(), merchant_id, url, body)
        self._add(notification)
        return notification.id

    def _add(self, notification: Notification) -> None:
        fault = self._take_fault()
        kind = fault.kind if fault is not None else None
        if kind is NotificationFaultKind.LOSE:
            return
        if kind is NotificationFaultKind.OUT_OF_ORDER:
            self._held.append(notification)
            return
        delay = fault.seconds if fault is not None and kind is NotificationFaultKind.DELAY else 0.0
        for _ in range(2 if kind is NotificationFaultKind.DUPLICATE else 1):
            self._put(notification, delay)
        held, self._held = self._held, []
        for earlier in held:
            self._put(earlier, 0.0)

    def _take_fault(self) -> NotificationFault | None:
        if not self.faults:
            return None
        fault = self.faults[0]
        if fault.count > 1:
            self.faults[0] = msgspec.structs.replace(fault, count=fault.count - 1)
        else:
            del self.faults[0]
        return fault

    def _put(self, notification: Notification, delay_seconds: float) -> None:
        if len(self._waiting) >= _WAITING_LIMIT:
            log.warning("mastercard_simulator.notification_lost", notification=notification.id)
            return
        self._count += 1
        heapq.heappush(self._waiting, (self._now() + delay_seconds, self._count, notification))
        self._wake.set()

    def forget(self) -> None:
        """Forget what waits, what was sent, the addresses and the faults; what is on its way arrives."""
        self.urls.clear()
        self.log.clear()
        self.faults.clear()
        self._waiting.clear()
        self._held.clear()
        self._wake.set()

    def clock_moved(self) -> None:
        """Look again at what is due."""
        self._wake.set()

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
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _send_due(self) -> None:
        while True:
            self._wake.clear()
            while self._waiting and self._waiting[0][0] <= self._now() and len(self._running) < _AT_ONCE:
                _, _, notification = heapq.heappop(self._waiting)
                task = asyncio.create_task(self._deliver(notification))
                self._running[task] = notification
                task.add_done_callback(self._done)
            pause: float | None = None
            if self._waiting and len(self._running) < _AT_ONCE:
                pause = max(self._waiting[0][0] - self._now(), 0.001)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._wake.wait()

    def _done(self, task: asyncio.Task[None]) -> None:
        self._running.pop(task, None)
        self._wake.set()

    async def _deliver(self, notification: Notification) -> None:
        headers = {"X-Notification-Id": notification.id, "X-Notification-Attempt": str(notification.attempt)}
        if self._may_show_secret(notification.url):
            headers["X-Notification-Secret"] = self._secret_of(notification.merchant_id)
        status, error = 0, ""
        try:
            async with asyncio.timeout(_TIMEOUT_SECONDS):
                status = await post(notification.url, notification.body, headers, self._tls)
        except (OSError, TimeoutError, ValueError, EOFError, asyncio.LimitOverrunError) as failure:
            error = type(failure).__name__
        self.log.append(Delivery(notification, status, error))
        if not 200 <= status < 300 and notification.attempt <= len(self._backoff_seconds):
            again = replace(notification, attempt=notification.attempt + 1)
            self._put(again, self._backoff_seconds[notification.attempt - 1])

    def _may_show_secret(self, url: str) -> bool:
        parts = urlsplit(url)
        return parts.scheme == "https" or (self._secret_over_loopback and _is_loopback(parts.hostname or ""))


def is_notification_url(text: str) -> bool:
    """Tell whether a text can be an address for notifications: http or https, a host, nothing that ends a request line."""
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return False
    if parts.scheme not in ("http", "https") or not host or parts.username is not None:
        return False
    return len(text) <= _LONGEST_URL and text.isascii() and all(ord(letter) > 32 for letter in text)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
