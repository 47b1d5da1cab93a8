"""Notifications: the reply of RETRIEVE_TRANSACTION sent to the merchant, as the outbox of simulators does.

Retries wait in seconds of the simulated clock. Delivery is not guaranteed, as at the gateway: after the last attempt a
notification is given up.
"""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from shanraq.simulators.outbox import Outbox

_LONGEST_URL: Final = 2048
BACKOFF_SECONDS: Final = (5.0, 30.0, 300.0, 3600.0, 21_600.0)
"""How long after a failed attempt the next one follows; after the last the notification is given up."""

# Replies carry amounts as JSON numbers.
_encode: Final = msgspec.json.Encoder(decimal_format="number").encode


@dataclass(frozen=True, slots=True)
class Notification:
    """One notification; `attempt` counts from 1."""

    id: str
    merchant_id: str
    url: str
    body: bytes = field(repr=False)
    attempt: int = 1


class Notifier(Outbox[Notification]):
    """Sends notifications of transactions.

    `now` gives the simulated time in seconds, `new_id` an id never given before, `secret_of` a merchant's secret at the time of
    sending. `urls` are the global addresses by merchant, used where an order names none.
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
        super().__init__(now, tls)
        self.urls: dict[str, str] = {}
        self._new_id = new_id
        self._secret_of = secret_of
        self._secret_over_loopback = secret_over_loopback
        self._backoff_seconds = backoff_seconds

    def notify(self, merchant_id: str, reply: Mapping[str, Any], *, url: str = "", version: str = "") -> str:
        """Take the reply of RETRIEVE_TRANSACTION for `url` or the merchant's own; return the id, empty where nobody listens.

        `version` is that of the original request, where the reply does not carry it already.
        """
        url = url or self.urls.get(merchant_id, "")
        if not url:
            return ""
        body = _encode({**reply, "version": version} if version else reply)
        notification = Notification(self._new_id(), merchant_id, url, body)
        self.add(notification)
        return notification.id

    def forget(self) -> None:
        """Forget what waits, what was sent, the addresses and the faults; what is on its way arrives."""
        super().forget()
        self.urls.clear()

    async def deliver(self, notification: Notification) -> None:
        """Send a notification; a failed one is sent again as long as there is a backoff for it."""
        headers = {"X-Notification-Id": notification.id, "X-Notification-Attempt": str(notification.attempt)}
        if self._may_show_secret(notification.url):
            headers["X-Notification-Secret"] = self._secret_of(notification.merchant_id)
        told = await self.attempt(notification, notification.url, notification.body, headers)
        if not told.taken and notification.attempt <= len(self._backoff_seconds):
            again = replace(notification, attempt=notification.attempt + 1)
            self.put(again, self._backoff_seconds[notification.attempt - 1])

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
