"""Delivery end to end: real database, real HTTP, a receiver that answers as told."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime

import pytest
from standardwebhooks import Webhook

from shanraq import webhooks
from shanraq.core.actor import SYSTEM, Environment
from shanraq.webhooks import DeliveryState, EndpointState, store
from shanraq.webhooks.retry import DEFAULT_SCHEDULE
from shanraq.webhooks.signing import Ed25519Secret
from tests.webhooks.conftest import Desk, MovingClock, first_page, partner_actor
from tests.webhooks.receiver import Answer, Received


async def test_event_arrives_signed_and_exactly_once(desk: Desk) -> None:
    endpoint, secret = await desk.subscribe()
    (event_id,) = await desk.send()

    round_done = await desk.deliver()

    assert (round_done.attempts, round_done.succeeded) == (1, 1)
    (received,) = desk.receiver.received
    body = Webhook(secret).verify(received.body, received.by_name)
    assert (body["id"], body["type"], body["data"]) == (event_id, "payment.completed", {"number": 0})
    assert (received.method, received.target) == ("POST", "/hook?tenant=1")
    assert received.by_name["content-type"] == "application/json"
    assert received.by_name["webhook-attempt"] == "1"
    assert received.by_name["user-agent"].startswith("Shanraq-Webhooks/")
    assert (await desk.delivery(event_id, endpoint)).state is DeliveryState.SUCCEEDED
    assert (await desk.deliver()).attempts == 0
    assert await desk.findings() == []


async def test_round_names_the_partners_that_acknowledged(desk: Desk) -> None:
    await desk.subscribe()
    await desk.send()

    round_done = await desk.deliver()

    assert dict(round_done.acknowledged) == {("prt_1", Environment.SANDBOX): desk.receiver.ids[0]}


async def test_events_go_to_matching_endpoints_of_the_same_partner_and_environment_only(desk: Desk) -> None:
    await desk.subscribe("account.*")
    live = partner_actor(environment=Environment.LIVE)
    other = partner_actor("prt_2")
    await desk.emit(actor=other)
    await desk.emit(actor=live)
    await desk.send("payment.completed")
    await desk.send("account.created")

    await desk.deliver()

    assert [json.loads(received.body)["type"] for received in desk.receiver.received] == ["account.created"]


async def test_sensitive_events_need_the_endpoints_permission(desk: Desk) -> None:
    await desk.subscribe("*")
    permitted, _ = await desk.subscribe("*", include_sensitive=True)
    (event_id,) = await desk.send("fraud.detected")

    page = await webhooks.deliveries_of(desk.db, desk.actor, event_id, first_page())

    assert [delivery.endpoint_id for delivery in page.items] == [permitted.id]


async def test_own_headers_are_sent_and_hidden_from_the_log(desk: Desk) -> None:
    endpoint, _ = await desk.subscribe(headers={"X-Token": "let me in"})
    await desk.send()

    await desk.deliver()

    assert desk.receiver.received[0].by_name["x-token"] == "let me in"
    (attempt,) = await desk.attempts(endpoint)
    assert attempt.request_headers["X-Token"] == "****"
    assert attempt.request_headers["webhook-signature"] == "****"
    assert endpoint.header_names == ("X-Token",)
    async with desk.db.begin(SYSTEM) as tx:
        assert b"let me in" not in await tx.value("SELECT sealed_headers FROM webhook_endpoint")


async def test_failed_delivery_is_retried_under_the_same_id_on_schedule(desk: Desk, clock: MovingClock) -> None:
    endpoint, _ = await desk.subscribe()
    desk.receiver.answer(500, 500)
    (event_id,) = await desk.send()
    await desk.deliver()
    assert (await desk.deliver()).attempts == 0

    first = await desk.delivery(event_id, endpoint)
    clock.move(seconds=7)
    await desk.deliver()
    second = await desk.delivery(event_id, endpoint)
    clock.move(seconds=361)
    await desk.deliver()

    assert first.state is DeliveryState.RETRYING
    attempts = await desk.attempts(endpoint)
    assert first.due_at is not None
    assert second.due_at is not None
    assert 4 <= (first.due_at - attempts[0].at).total_seconds() <= 6.5
    assert 240 <= (second.due_at - attempts[1].at).total_seconds() <= 360.5
    assert len(desk.receiver.ids) == 3
    assert len(set(desk.receiver.ids)) == 1
    assert [attempt.number for attempt in attempts] == [1, 2, 3]
    assert [attempt.error_code for attempt in attempts] == ["http_5xx", "http_5xx", None]
    assert [received.by_name["webhook-attempt"] for received in desk.receiver.received] == ["1", "2", "3"]
    stamps = [int(received.by_name["webhook-timestamp"]) for received in desk.receiver.received]
    assert stamps == sorted(set(stamps))
    assert (await desk.delivery(event_id, endpoint)).state is DeliveryState.SUCCEEDED
    assert await desk.findings() == []


async def test_message_is_given_up_after_the_whole_schedule_and_the_partner_is_told(
    desk: Desk, clock: MovingClock
) -> None:
    endpoint, _ = await desk.subscribe()
    desk.receiver.default = Answer(503)
    (event_id,) = await desk.send()

    for delay in DEFAULT_SCHEDULE:
        clock.move(seconds=delay * 1.2 + 1)
        await desk.deliver()

    delivery = await desk.delivery(event_id, endpoint)
    assert (delivery.state, delivery.attempts) == (DeliveryState.EXHAUSTED, 10)
    assert (await desk.event_types_after())[-1] == "message.exhausted"
    assert len(set(desk.receiver.ids)) == 1
    assert await desk.findings() == []


async def test_own_schedule_delays_the_first_attempt_too(desk: Desk, clock: MovingClock) -> None:
    endpoint, _ = await desk.subscribe(retry_schedule=(60, 0))
    desk.receiver.default = Answer(500)
    (event_id,) = await desk.send()

    at_once = await desk.deliver()
    clock.move(seconds=73)
    later = [(await desk.deliver()).attempts for _ in range(3)]

    assert at_once.attempts == 0
    assert later == [1, 1, 0]
    assert (await desk.delivery(event_id, endpoint)).state is DeliveryState.EXHAUSTED


async def test_exhausted_message_about_webhooks_gives_no_further_event(desk: Desk) -> None:
    await desk.subscribe("*", retry_schedule=(0,))
    desk.receiver.default = Answer(500)
    await desk.send()
    await desk.deliver()
    await desk.sequence()

    await desk.deliver()
    await desk.sequence()

    assert (await desk.event_types_after()).count("message.exhausted") == 1
    assert (await desk.deliver()).attempts == 0


@pytest.mark.parametrize("status", [429, 503])
async def test_retry_after_lengthens_the_delay(desk: Desk, status: int) -> None:
    endpoint, _ = await desk.subscribe()
    desk.receiver.answer(Answer(status, {"Retry-After": "120"}))
    (event_id,) = await desk.send()

    await desk.deliver()

    delivery = await desk.delivery(event_id, endpoint)
    assert delivery.due_at is not None
    assert 118 < (delivery.due_at - datetime.now(UTC)).total_seconds() <= 120


async def test_gone_disables_the_endpoint_and_skips_its_queue(desk: Desk) -> None:
    endpoint, _ = await desk.subscribe(retry_schedule=(0, 60))
    waiting = (await desk.send())[0]
    desk.receiver.answer(500)
    await desk.deliver()
    desk.receiver.answer(410)
    refused = (await desk.send())[0]
    await desk.deliver()
    late = (await desk.send())[0]

    found = await webhooks.find_endpoint(desk.db, desk.actor, endpoint.id)

    assert (found.state, found.disabled_reason) == (EndpointState.DISABLED, "gone")
    states = [(await desk.delivery(event_id, endpoint)).state for event_id in (waiting, refused, late)]
    assert states == [DeliveryState.SKIPPED, DeliveryState.EXHAUSTED, DeliveryState.SKIPPED]
    assert "webhook_endpoint.disabled" in await desk.event_types_after()
    assert (await desk.deliver()).attempts == 0
    assert await desk.findings() == []


async def test_receiver_may_ask_to_be_disabled_with_a_success(desk: Desk) -> None:
    endpoint, _ = await desk.subscribe()
    desk.receiver.answer(Answer(200, {"webhook-delivery": "disable"}))
    (event_id,) = await desk.send()

    await desk.deliver()

    found = await webhooks.find_endpoint(desk.db, desk.actor, endpoint.id)
    assert (found.state, found.disabled_reason) == (EndpointState.DISABLED, "receiver_request")
    assert (await desk.delivery(event_id, endpoint)).state is DeliveryState.SUCCEEDED


async def test_receiver_may_abort_a_message(desk: Desk) -> None:
    endpoint, _ = await desk.subscribe()
    desk.receiver.answer(Answer(500, {"webhook-delivery": "abort-message"}))
    (event_id,) = await desk.send()

    await desk.deliver()

    assert (await desk.delivery(event_id, endpoint)).state is DeliveryState.EXHAUSTED
    assert (await webhooks.find_endpoint(desk.db, desk.actor, endpoint.id)).state is EndpointState.ENABLED


@pytest.mark.parametrize(
    ("answer", "error_code", "status"),
    [
        (Answer(302, {"Location": "http://127.0.0.1/elsewhere"}), "redirect_refused", 302),
        (Answer(404), "http_4xx", 404),
        (Answer(drop=True), "connection_reset", None),
        (Answer(after_seconds=5), "read_timeout", None),
    ],
)
async def test_failures_are_logged_with_their_kind(
    desk: Desk, answer: Answer, error_code: str, status: int | None
) -> None:
    endpoint, _ = await desk.subscribe(timeout_ms=1_000)
    desk.receiver.default = answer
    await desk.send()

    await desk.deliver()

    (attempt,) = await desk.attempts(endpoint)
    assert (attempt.error_code, attempt.status_code) == (error_code, status)
    assert attempt.total_us > 0
    assert {received.target for received in desk.receiver.received} == {"/hook?tenant=1"}


async def test_address_that_became_forbidden_is_a_failed_attempt(desk: Desk) -> None:
    endpoint, _ = await desk.subscribe()
    async with desk.db.begin(SYSTEM) as tx:
        await tx.execute("UPDATE webhook_endpoint SET url = 'http://169.254.169.254:80/latest'")
    (event_id,) = await desk.send()

    await desk.deliver()

    (attempt,) = await desk.attempts(endpoint)
    assert (attempt.error_code, attempt.status_code) == ("ssrf_blocked", None)
    assert (await desk.delivery(event_id, endpoint)).state is DeliveryState.RETRYING


async def test_answer_is_kept_cut_and_without_card_numbers(desk: Desk) -> None:
    endpoint, _ = await desk.subscribe()
    body = b"card 4111111111111111 \x00\xff" + b"x" * 20_000
    desk.receiver.answer(Answer(200, {"Set-Cookie": "session=1", "X-Trace": "abc"}, body))
    await desk.send()

    await desk.deliver()

    (attempt,) = await desk.attempts(endpoint)
    assert attempt.response_body.startswith("card 411111xxxxxx1111 ")
    assert len(attempt.response_body.encode()) <= 16_384
    assert attempt.truncated
    assert attempt.response_headers["set-cookie"] == "****"
    assert attempt.response_headers["x-trace"] == "abc"


async def test_endpoint_that_is_down_is_left_alone_without_burning_attempts(desk: Desk, clock: MovingClock) -> None:
    endpoint, _ = await desk.subscribe(retry_schedule=(0, 1, 1, 1, 1, 1, 1))
    desk.receiver.default = Answer(500)
    await desk.send(count=100)

    await desk.deliver()
    tried = len(desk.receiver.received)
    clock.move(seconds=5)
    while_open = (await desk.deliver()).attempts
    clock.move(seconds=31)
    half_open = (await desk.deliver()).attempts
    desk.receiver.default = Answer(200)
    clock.move(seconds=61)
    probe = (await desk.deliver()).attempts
    rest = (await desk.deliver()).attempts

    assert 5 <= tried <= 5 + 16
    assert (while_open, half_open, probe) == (0, 1, 1)
    assert rest == 99
    assert (await desk.lane(endpoint))["failures"] == 0
    assert await desk.findings() == []


async def test_no_more_requests_at_once_than_the_endpoint_takes(desk: Desk) -> None:
    await desk.subscribe()
    desk.receiver.default = Answer(after_seconds=0.01)
    await desk.send(count=80)

    await desk.deliver()

    assert len(desk.receiver.received) == 80
    assert desk.receiver.most_under_way == 16


async def test_slow_endpoint_gives_back_what_was_not_begun(desk: Desk) -> None:
    endpoint, _ = await desk.subscribe()
    desk.receiver.default = Answer(after_seconds=2.1)
    await desk.send(count=20)

    first = await desk.deliver()

    assert first.attempts == 16
    desk.receiver.default = Answer()
    assert (await desk.deliver()).attempts == 4
    assert (await desk.lane(endpoint))["due_at"] is None


async def test_many_endpoints_of_one_receiver_share_its_connections(desk: Desk) -> None:
    for _ in range(80):
        await desk.subscribe()
    desk.receiver.default = Answer(after_seconds=0.005)
    await desk.send(count=16)

    # A round gives up waiting for a place when its lease nears its end: on a busy machine the rest is left to the next.
    rounds = [await desk.deliver()]
    while rounds[-1].attempts and sum(one.attempts for one in rounds) < 80 * 16:
        rounds.append(await desk.deliver())

    assert sum(one.attempts for one in rounds) == sum(one.succeeded for one in rounds) == 80 * 16
    assert desk.receiver.most_under_way <= 32
    assert await desk.findings() == []


async def test_endpoint_whose_secret_does_not_open_stops_no_other(desk: Desk) -> None:
    broken, _ = await desk.subscribe()
    await desk.subscribe()
    async with desk.db.begin(desk.actor) as tx:
        await store.delete_secrets(tx, broken.id)
        await store.insert_secret(
            tx, broken.id, webhooks.SecretKind.HMAC, b"not sealed" * 20, datetime.now(UTC), "whs_1"
        )
    await desk.send()

    done = await desk.deliver()

    assert (done.attempts, done.succeeded) == (1, 1)
    assert (await desk.lane(broken))["lease_token"] is not None


async def test_paused_endpoint_keeps_its_queue(desk: Desk) -> None:
    endpoint, _ = await desk.subscribe()
    await desk.send()
    await webhooks.pause(desk.db, desk.actor, endpoint.id)
    await desk.send()

    paused = await desk.deliver()
    await webhooks.resume(desk.db, desk.actor, endpoint.id)
    resumed = await desk.deliver()

    assert paused.attempts == 0
    assert resumed.succeeded == 2
    assert [json.loads(received.body)["sequence"] for received in desk.receiver.received] == sorted(
        json.loads(received.body)["sequence"] for received in desk.receiver.received
    )
    assert await desk.findings() == []


async def test_deleted_endpoint_cancels_its_queue_in_the_same_transaction(desk: Desk) -> None:
    endpoint, _ = await desk.subscribe()
    (event_id,) = await desk.send()

    await webhooks.delete_endpoint(desk.db, desk.actor, endpoint.id)

    assert (await desk.delivery(event_id, endpoint)).state is DeliveryState.CANCELED
    await desk.send()
    assert (await desk.deliver()).attempts == 0
    assert await desk.findings() == []
    async with desk.db.begin(SYSTEM) as tx:
        assert await tx.value("SELECT count(*) FROM webhook_secret") == 0


async def test_answer_to_a_request_under_way_counts_after_the_endpoint_was_deleted(desk: Desk) -> None:
    endpoint, _ = await desk.subscribe()
    deleted = asyncio.Event()
    desk.receiver.answer(Answer(once=deleted))
    (event_id,) = await desk.send()

    delivering = asyncio.create_task(desk.deliver())
    await desk.receiver.arrived.wait()
    await webhooks.delete_endpoint(desk.db, desk.actor, endpoint.id)
    deleted.set()
    await delivering

    delivery = await desk.delivery(event_id, endpoint)
    assert (delivery.state, delivery.attempts) == (DeliveryState.SUCCEEDED, 1)
    assert await desk.findings() == []


async def test_manual_resend_of_an_exhausted_message_keeps_its_id_and_counts_on(desk: Desk) -> None:
    endpoint, _ = await desk.subscribe(retry_schedule=(0,))
    desk.receiver.answer(500)
    (event_id,) = await desk.send()
    await desk.deliver()
    exhausted = await desk.delivery(event_id, endpoint)

    queued = await webhooks.redeliver(desk.db, desk.actor, event_id, endpoint.id)
    await desk.deliver()

    assert exhausted.state is DeliveryState.EXHAUSTED
    assert queued.state is DeliveryState.RETRYING
    delivery = await desk.delivery(event_id, endpoint)
    assert (delivery.state, delivery.attempts) == (DeliveryState.SUCCEEDED, 2)
    assert len(set(desk.receiver.ids)) == 1
    assert [attempt.trigger for attempt in await desk.attempts(endpoint)] == ["scheduled", "manual"]
    assert await desk.findings() == []


async def test_event_can_be_sent_to_an_endpoint_that_came_later(desk: Desk) -> None:
    (event_id,) = await desk.send()
    endpoint, _ = await desk.subscribe()

    await webhooks.redeliver(desk.db, desk.actor, event_id, endpoint.id)
    await desk.deliver()

    assert (await desk.delivery(event_id, endpoint)).state is DeliveryState.SUCCEEDED
    assert await desk.findings() == []


async def test_test_event_reaches_its_endpoint_alone_once(desk: Desk) -> None:
    endpoint, secret = await desk.subscribe("account.created")
    await desk.subscribe("*")
    desk.receiver.default = Answer(500)
    await desk.deliver()
    desk.receiver.received.clear()

    event_id = await webhooks.send_test(desk.db, desk.actor, endpoint.id)
    await desk.sequence()
    await desk.deliver()

    (received,) = desk.receiver.received
    body = Webhook(secret).verify(received.body, received.by_name)
    assert (body["id"], body["type"]) == (event_id, "webhook_endpoint.ping")
    assert (await desk.delivery(event_id, endpoint)).state is DeliveryState.EXHAUSTED
    assert (await desk.attempts(endpoint))[-1].trigger == "test"
    assert await desk.findings() == []


async def test_both_secrets_sign_during_the_grace_period(desk: Desk, clock: MovingClock) -> None:
    endpoint, old = await desk.subscribe()
    rotated = await webhooks.rotate_secret(desk.db, desk.actor, endpoint.id, keyring=desk.keyring, grace_seconds=60)
    new = rotated.text.reveal()
    await desk.send()
    await desk.deliver()

    (received,) = desk.receiver.received
    assert len(received.by_name["webhook-signature"].split(" ")) == 2
    for secret in (old, new):
        Webhook(secret).verify(received.body, received.by_name)

    clock.move(seconds=61)
    await desk.send()
    await desk.deliver()

    late = desk.receiver.received[-1]
    assert _accepted(late, new)
    assert not _accepted(late, old)


async def test_secret_rotated_without_grace_signs_alone(desk: Desk) -> None:
    endpoint, old = await desk.subscribe()
    rotated = await webhooks.rotate_secret(desk.db, desk.actor, endpoint.id, keyring=desk.keyring, grace_seconds=0)
    await desk.send()

    await desk.deliver()

    assert _accepted(desk.receiver.received[0], rotated.text.reveal())
    assert not _accepted(desk.receiver.received[0], old)


async def test_ed25519_key_signs_beside_the_secret(desk: Desk) -> None:
    endpoint, secret = await desk.subscribe()
    added = await webhooks.rotate_secret(
        desk.db, desk.actor, endpoint.id, keyring=desk.keyring, kind=webhooks.SecretKind.ED25519
    )
    await desk.send()

    await desk.deliver()

    (received,) = desk.receiver.received
    assert added.text.reveal().startswith("whpk_")
    assert [item[:3] for item in received.by_name["webhook-signature"].split(" ")] == ["v1,", "v1a"]
    assert _accepted(received, added.text.reveal())
    assert _accepted(received, secret)


def _accepted(received: Received, secret: str) -> bool:
    key = webhooks.parse_secret(secret)
    assert not isinstance(key, Ed25519Secret)
    now = int(received.by_name["webhook-timestamp"])
    return webhooks.verify_signature(received.headers, received.body, [key], now) is None
