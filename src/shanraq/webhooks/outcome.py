"""What an attempt means: its record, the next state of the delivery, and what it says about the endpoint."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from shanraq.core.actor import Environment
from shanraq.webhooks.model import DeliveryState, DisabledReason, Trigger
from shanraq.webhooks.retry import BREAKER_FAILURES, breaker_seconds, retry_delay_seconds


@dataclass(frozen=True, slots=True)
class Claimed:
    """A delivery taken for an attempt: `attempts` were made before, `step` of them in the present schedule."""

    event_seq: int
    event_id: str
    attempts: int
    step: int
    trigger: Trigger


@dataclass(frozen=True, slots=True)
class Lane:
    """One endpoint's queue, held by a lease whose `token` fences off other workers, with the deliveries taken from it."""

    endpoint_id: str
    partner_id: str
    environment: Environment
    token: int
    gen: int
    claimed_at: datetime
    failures: int
    breaker_trips: int
    version: int
    url: str
    timeout_seconds: float
    retry_schedule: tuple[int, ...]
    max_in_flight: int
    sealed_headers: bytes | None
    deliveries: tuple[Claimed, ...]


@dataclass(frozen=True, slots=True)
class AttemptRecord:
    """One attempt as the log keeps it; headers and body are already without secrets."""

    id: str
    number: int
    at: datetime
    status_code: int | None
    error_code: str | None
    dns_us: int | None
    connect_us: int | None
    tls_us: int | None
    first_byte_us: int | None
    total_us: int
    remote_address: str | None
    request_headers: bytes
    response_headers: bytes
    response_body: bytes
    truncated: bool


@dataclass(frozen=True, slots=True)
class Outcome:
    """An attempt and what follows: `due_at` is None when `state` is final."""

    delivery: Claimed
    attempt: AttemptRecord
    state: DeliveryState
    due_at: datetime | None
    disables: DisabledReason | None = None


@dataclass(frozen=True, slots=True)
class Pulse:
    """How an endpoint does: failures in a row, how often its breaker tripped in a row, and until when it is open."""

    failures: int
    breaker_trips: int
    breaker_until: datetime | None


def error_of(status: int) -> str | None:
    """Return the error code of an answer; only 200 to 299 is a success, redirects are never followed."""
    if 200 <= status <= 299:
        return None
    if 300 <= status <= 399:
        return "redirect_refused"
    return "http_4xx" if 400 <= status <= 499 else "http_5xx"


def decide(
    delivery: Claimed,
    attempt: AttemptRecord,
    headers: Iterable[tuple[str, str]],
    *,
    retry_schedule: Sequence[int],
    jitter: float,
    now: datetime,
) -> Outcome:
    """Return what follows from an attempt.

    410 disables the endpoint, as does the header `webhook-delivery: disable` with any status; `abort-message` ends the
    retries of this message. A test is tried once.
    """
    answer = {name.lower(): value for name, value in headers}
    wish = answer.get("webhook-delivery", "").strip().lower()
    disables = DisabledReason.RECEIVER_REQUEST if wish == "disable" else None
    if attempt.error_code is None:
        return Outcome(delivery, attempt, DeliveryState.SUCCEEDED, None, disables)
    if attempt.status_code == 410:
        disables = DisabledReason.GONE
    step = delivery.step + 1
    if disables or wish == "abort-message" or delivery.trigger is Trigger.TEST or step >= len(retry_schedule):
        return Outcome(delivery, attempt, DeliveryState.EXHAUSTED, None, disables)
    delay_seconds = retry_delay_seconds(
        retry_schedule[step] * jitter, status=attempt.status_code, retry_after=answer.get("retry-after"), now=now
    )
    return Outcome(delivery, attempt, DeliveryState.RETRYING, now + timedelta(seconds=delay_seconds))


def pulse_of(lane: Lane, errors: Sequence[str | None], now: datetime) -> Pulse:
    """Return how the endpoint does after these answers (an error code each, None for a success), in order of arrival."""
    failures = lane.failures
    for error in errors:
        failures = 0 if error is None else failures + 1
    if failures < BREAKER_FAILURES:
        return Pulse(failures, 0, None)
    if not errors:
        return Pulse(failures, lane.breaker_trips, None)
    trips = lane.breaker_trips + 1
    return Pulse(failures, trips, now + timedelta(seconds=breaker_seconds(trips)))
