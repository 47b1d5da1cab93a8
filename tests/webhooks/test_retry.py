"""Schedules, delays, the breaker and what an answer means, without any IO."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shanraq.core.actor import Environment
from shanraq.webhooks import DeliveryState, DisabledReason, Trigger
from shanraq.webhooks.model import message_id
from shanraq.webhooks.outcome import AttemptRecord, Claimed, Lane, decide, error_of, pulse_of
from shanraq.webhooks.retry import DEFAULT_SCHEDULE, breaker_seconds, check_schedule, retry_delay_seconds

NOW = datetime(2026, 11, 22, 8, tzinfo=UTC)


def attempt(status: int | None, error_code: str | None) -> AttemptRecord:
    return AttemptRecord(
        "wat_1", 1, NOW, status, error_code, None, None, None, None, 1, None, b"{}", b"{}", b"", truncated=False
    )


def lane(failures: int, trips: int) -> Lane:
    return Lane(
        "whk_1",
        "prt_1",
        Environment.SANDBOX,
        1,
        1,
        NOW,
        failures,
        trips,
        1,
        "http://x",
        15.0,
        DEFAULT_SCHEDULE,
        16,
        None,
        (),
    )


def test_default_schedule_is_ten_attempts_in_75_hours() -> None:
    assert check_schedule(DEFAULT_SCHEDULE) == DEFAULT_SCHEDULE
    assert timedelta(seconds=sum(DEFAULT_SCHEDULE)) == timedelta(hours=75, minutes=35, seconds=5)


@pytest.mark.parametrize(
    ("status", "error_code"),
    [(200, None), (204, None), (299, None), (300, "redirect_refused"), (399, "redirect_refused"), (400, "http_4xx"),
     (499, "http_4xx"), (500, "http_5xx"), (599, "http_5xx"), (199, "http_5xx")],
)  # fmt: skip
def test_only_2xx_is_a_success(status: int, error_code: str | None) -> None:
    assert error_of(status) == error_code


@given(
    step=st.integers(0, 30),
    schedule=st.lists(st.integers(0, 30_000), min_size=1, max_size=20),
    jitter=st.floats(0.8, 1.2),
    status=st.sampled_from([None, 200, 204, 301, 404, 410, 429, 500, 503]),
    wish=st.sampled_from(["", "disable", "abort-message", "other"]),
    trigger=st.sampled_from(Trigger),
)
def test_every_answer_leads_to_exactly_one_next_state(
    step: int, schedule: list[int], jitter: float, status: int | None, wish: str, trigger: Trigger
) -> None:
    error_code = "read_timeout" if status is None else error_of(status)
    delivery = Claimed(1, "evt_1", step, step, trigger)
    headers = [("Webhook-Delivery", wish)] if status is not None else []

    outcome = decide(delivery, attempt(status, error_code), headers, retry_schedule=schedule, jitter=jitter, now=NOW)

    assert (outcome.due_at is None) == (outcome.state is not DeliveryState.RETRYING)
    assert (outcome.state is DeliveryState.SUCCEEDED) == (error_code is None)
    if status == 410:
        assert outcome.disables is DisabledReason.GONE
    elif wish == "disable" and status is not None:
        assert outcome.disables is DisabledReason.RECEIVER_REQUEST
    else:
        assert outcome.disables is None
    if outcome.due_at is not None:
        assert step + 1 < len(schedule)
        assert trigger is not Trigger.TEST
        assert abs((outcome.due_at - NOW).total_seconds() - schedule[step + 1] * jitter) < 0.001


def test_endless_digits_in_retry_after_are_a_day_at_most() -> None:
    delays = [
        retry_delay_seconds(5, status=503, retry_after=text, now=NOW)
        for text in ("9" * 5000, "0" * 5000 + "7", "0" * 50)
    ]

    assert delays == [86_400, 7, 5]


def test_date_that_does_not_exist_is_ignored() -> None:
    assert retry_delay_seconds(5, status=503, retry_after="Mon, 31 Feb 2028 00:00:00 GMT", now=NOW) == 5


def test_breaker_opens_after_five_failures_in_a_row_and_waits_longer_each_time() -> None:
    failed, ok = "http_5xx", None

    closed = pulse_of(lane(0, 0), [failed, failed, failed, failed], NOW)
    interrupted = pulse_of(lane(3, 0), [failed, ok, failed], NOW)
    opened = pulse_of(lane(3, 0), [failed, failed], NOW)
    again = pulse_of(lane(5, 1), [failed], NOW)
    recovered = pulse_of(lane(9, 4), [ok], NOW)
    untouched = pulse_of(lane(9, 4), [], NOW)

    assert (closed.failures, closed.breaker_until) == (4, None)
    assert (interrupted.failures, interrupted.breaker_until) == (1, None)
    assert (opened.breaker_trips, opened.breaker_until) == (1, NOW + timedelta(seconds=30))
    assert (again.breaker_trips, again.breaker_until) == (2, NOW + timedelta(seconds=60))
    assert (recovered.failures, recovered.breaker_trips, recovered.breaker_until) == (0, 0, None)
    assert (untouched.failures, untouched.breaker_trips) == (9, 4)
    assert [breaker_seconds(trips) for trips in (1, 2, 5, 6, 1000)] == [30, 60, 480, 900, 900]


def test_message_id_is_the_same_for_ever_and_differs_by_endpoint() -> None:
    first = message_id("evt_1", "whk_1")

    assert first == message_id("evt_1", "whk_1")
    assert first != message_id("evt_1", "whk_2") != message_id("evt_2", "whk_1")
    assert first.startswith("msg_")
    assert "." not in first
