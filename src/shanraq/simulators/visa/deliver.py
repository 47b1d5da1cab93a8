"""Delivery of notifications: as the outbox of simulators does, with retries by the policy of the webhook.

A policy counts in minutes of the simulated clock, so that a test need not wait for them.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

import msgspec

from shanraq.simulators.outbox import Outbox

_LONGEST_RETRY_MINUTES: Final = 7 * 24 * 60


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


class Deliveries(Outbox[Notification]):
    """Sends notifications. `wall_clock` gives the real time; headers, interest and giving up are asked for."""

    def __init__(
        self, now: Callable[[], float], wall_clock: Callable[[], float], tls: ssl.SSLContext | None = None
    ) -> None:
        super().__init__(now, tls)
        self.headers_of: Callable[[Notification, bytes, int], dict[str, str]] = lambda *_: {}
        self.is_active: Callable[[Notification], bool] = lambda _: True
        self.gave_up: Callable[[Notification], None] = lambda _: None
        self._wall_clock = wall_clock

    async def deliver(self, notification: Notification) -> None:
        """Send a notification to a webhook that is active; a failed one is sent again by its policy."""
        if not self.is_active(notification):
            return
        body = msgspec.json.encode(notification.body | {"retryNumber": notification.attempt})
        # Receivers compare the time of the signature with their own clock, which no test has advanced.
        headers = self.headers_of(notification, body, int(self._wall_clock() * 1000))
        if (await self.attempt(notification, notification.url, body, headers)).taken:
            return
        minutes = retry_minutes(notification.policy, notification.attempt)
        if minutes is None:
            self.gave_up(notification)
            return
        self.put(replace(notification, attempt=notification.attempt + 1), minutes * 60.0)


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
