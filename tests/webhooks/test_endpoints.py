"""Endpoints: adding, changing, pausing, removing; who may do what, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from shanraq import webhooks
from shanraq.core.actor import SYSTEM, Environment, MissingScopeError
from shanraq.core.ids import InvalidIdError
from shanraq.core.lifecycle import IllegalMoveError
from shanraq.webhooks import EndpointChange, EndpointState, NewEndpoint, SecretKind
from shanraq.webhooks.errors import (
    DeliveryNotFoundError,
    EndpointNotEnabledError,
    EndpointNotFoundError,
    EndpointVersionError,
    EventNotFoundError,
    InvalidEndpointError,
    InvalidScheduleError,
    InvalidSubscriptionError,
    TooManyEndpointsError,
    TooManySecretsError,
)
from tests.webhooks.conftest import Desk, first_page, partner_actor


async def test_new_endpoint_is_enabled_and_found_again(desk: Desk) -> None:
    endpoint, secret = await desk.subscribe("payment.completed", "p2p_transfer.*", description="orders")

    found = await webhooks.find_endpoint(desk.db, desk.actor, endpoint.id)

    assert found == endpoint
    assert found.id.startswith("whk_")
    assert (found.state, found.version) == (EndpointState.ENABLED, 1)
    assert found.event_types == ("payment.completed", "p2p_transfer.*")
    assert secret.startswith("whsec_")
    assert "webhook_endpoint.created" in await desk.event_types_after()


async def test_snapshot_of_an_endpoint_holds_no_secret(desk: Desk) -> None:
    endpoint, secret = await desk.subscribe(headers={"Authorization": "Bearer sesame"})

    written = msgspec.json.encode(endpoint).decode()

    assert secret not in written
    assert "sesame" not in written
    async with desk.db.begin(SYSTEM) as tx:
        events_data = await tx.rows("SELECT data FROM event_outbox")
        audit_details = await tx.rows("SELECT details FROM audit_entry")
    stored = b"".join(row[0] for row in [*events_data, *audit_details]).decode()
    assert secret not in stored
    assert "sesame" not in stored


@pytest.mark.parametrize(
    ("attributes", "error", "field"),
    [
        ({"event_types": ()}, InvalidSubscriptionError, "event_types"),
        ({"event_types": ("payment.exploded",)}, InvalidSubscriptionError, "event_types"),
        ({"event_types": ("nothing.*",)}, InvalidSubscriptionError, "event_types"),
        ({"event_types": ("pay*",)}, InvalidSubscriptionError, "event_types"),
        ({"event_types": ("fraud.*",)}, InvalidSubscriptionError, "event_types"),
        ({"event_types": ("audit.event",)}, InvalidSubscriptionError, "event_types"),
        ({"event_types": ("payment.completed",) * 101}, InvalidSubscriptionError, "event_types"),
        ({"timeout_ms": 999}, InvalidEndpointError, "timeout_ms"),
        ({"timeout_ms": 30_001}, InvalidEndpointError, "timeout_ms"),
        ({"retry_schedule": ()}, InvalidScheduleError, "retry_schedule"),
        ({"retry_schedule": (0,) * 21}, InvalidScheduleError, "retry_schedule"),
        ({"retry_schedule": (-1,)}, InvalidScheduleError, "retry_schedule"),
        ({"retry_schedule": (0, 604_801)}, InvalidScheduleError, "retry_schedule"),
        ({"headers": {f"x-{n}": "" for n in range(21)}}, InvalidEndpointError, "headers"),
        ({"headers": {"X-One": "1", "x-one": "2"}}, InvalidEndpointError, "headers"),
    ],
)
async def test_attributes_outside_of_their_limits_are_refused(
    desk: Desk, attributes: dict[str, Any], error: type[Exception], field: str
) -> None:
    with pytest.raises(error) as refusal:
        await desk.subscribe(**attributes)

    assert getattr(refusal.value, "field", None) == field
    assert (await webhooks.list_endpoints(desk.db, desk.actor, first_page())).items == ()


async def test_forbidden_url_and_header_are_refused(desk: Desk) -> None:
    cases: list[dict[str, Any]] = [{"url": "ftp://example.com/"}, {"headers": {"Webhook-Id": "mine"}}]

    for attributes in cases:
        with pytest.raises(Exception, match=r".") as refusal:
            await desk.subscribe(**attributes)
        assert getattr(refusal.value, "status", 0) in (400, 422)


async def test_longest_schedule_and_repeated_types_are_accepted(desk: Desk) -> None:
    endpoint, _ = await desk.subscribe("payment.*", "*", "payment.*", retry_schedule=(604_800,))

    assert endpoint.event_types == ("payment.*", "*")
    assert endpoint.retry_schedule == (604_800,)


@pytest.mark.parametrize("scope", ["webhooks:read", "webhooks:write", "webhooks:secrets", "webhooks:sensitive"])
async def test_each_verb_needs_its_scope(desk: Desk, scope: str) -> None:
    endpoint, _ = await desk.subscribe()
    (event_id,) = await desk.send()
    actor = replace(desk.actor, scopes=desk.actor.scopes - {scope})
    new = NewEndpoint(url=desk.receiver.url, event_types=("*",), include_sensitive=True)
    change = EndpointChange(version=1, description="x")
    guarded: dict[str, Any] = {"keyring": desk.keyring, "policy": desk.policy}
    verbs: dict[str, list[Callable[[], Any]]] = {
        "webhooks:read": [
            lambda: webhooks.find_endpoint(desk.db, actor, endpoint.id),
            lambda: webhooks.list_endpoints(desk.db, actor, first_page()),
            lambda: webhooks.deliveries_of(desk.db, actor, event_id, first_page()),
            lambda: webhooks.list_deliveries(desk.db, actor, endpoint.id, first_page()),
            lambda: webhooks.attempts(desk.db, actor, endpoint.id, first_page()),
        ],
        "webhooks:write": [
            lambda: webhooks.subscribe(desk.db, actor, new, **guarded),
            lambda: webhooks.update_endpoint(desk.db, actor, endpoint.id, change, **guarded),
            lambda: webhooks.pause(desk.db, actor, endpoint.id),
            lambda: webhooks.resume(desk.db, actor, endpoint.id),
            lambda: webhooks.delete_endpoint(desk.db, actor, endpoint.id),
            lambda: webhooks.send_test(desk.db, actor, endpoint.id),
            lambda: webhooks.redeliver(desk.db, actor, event_id, endpoint.id),
            lambda: webhooks.rotate_secret(desk.db, actor, endpoint.id, keyring=desk.keyring),
        ],
        "webhooks:secrets": [
            lambda: webhooks.secret(desk.db, actor, endpoint.id, keyring=desk.keyring),
            lambda: webhooks.rotate_secret(desk.db, actor, endpoint.id, keyring=desk.keyring),
        ],
        "webhooks:sensitive": [lambda: webhooks.subscribe(desk.db, actor, new, **guarded)],
    }

    for verb in verbs[scope]:
        with pytest.raises(MissingScopeError, match=scope):
            await verb()


async def test_endpoint_of_another_partner_or_environment_does_not_exist(desk: Desk) -> None:
    endpoint, _ = await desk.subscribe()
    (event_id,) = await desk.send()

    for stranger in (partner_actor("prt_2"), partner_actor(environment=Environment.LIVE)):
        for verb in (
            lambda actor: webhooks.find_endpoint(desk.db, actor, endpoint.id),
            lambda actor: webhooks.attempts(desk.db, actor, endpoint.id, first_page()),
            lambda actor: webhooks.list_deliveries(desk.db, actor, endpoint.id, first_page()),
            lambda actor: webhooks.secret(desk.db, actor, endpoint.id, keyring=desk.keyring),
            lambda actor: webhooks.pause(desk.db, actor, endpoint.id),
            lambda actor: webhooks.delete_endpoint(desk.db, actor, endpoint.id),
            lambda actor: webhooks.redeliver(desk.db, actor, event_id, endpoint.id),
        ):
            with pytest.raises(EndpointNotFoundError):
                await verb(stranger)
        with pytest.raises(EventNotFoundError):
            await webhooks.deliveries_of(desk.db, stranger, event_id, first_page())
        assert (await webhooks.list_endpoints(desk.db, stranger, first_page())).items == ()


async def test_change_needs_the_version_it_was_read_at(desk: Desk) -> None:
    endpoint, _ = await desk.subscribe()
    guarded: dict[str, Any] = {"keyring": desk.keyring, "policy": desk.policy}
    change = EndpointChange(version=1, event_types=("account.*",), headers={"X-New": "1"}, timeout_ms=2_000)

    changed = await webhooks.update_endpoint(desk.db, desk.actor, endpoint.id, change, **guarded)

    assert (changed.version, changed.event_types, changed.timeout_ms) == (2, ("account.*",), 2_000)
    assert (changed.url, changed.header_names) == (endpoint.url, ("X-New",))
    assert await webhooks.find_endpoint(desk.db, desk.actor, endpoint.id) == changed
    with pytest.raises(EndpointVersionError):
        await webhooks.update_endpoint(desk.db, desk.actor, endpoint.id, change, **guarded)


async def test_changed_endpoint_is_used_for_the_next_delivery(desk: Desk) -> None:
    endpoint, _ = await desk.subscribe()
    await desk.send()
    await desk.deliver()
    change = EndpointChange(version=1, headers={"X-Key": "second"})
    await webhooks.update_endpoint(desk.db, desk.actor, endpoint.id, change, keyring=desk.keyring, policy=desk.policy)
    await desk.send()

    await desk.deliver()

    assert [received.by_name.get("x-key") for received in desk.receiver.received] == [None, "second"]


async def test_change_is_checked_like_a_new_endpoint(desk: Desk) -> None:
    endpoint, _ = await desk.subscribe("*", include_sensitive=True)
    guarded: dict[str, Any] = {"keyring": desk.keyring, "policy": desk.policy}
    await webhooks.update_endpoint(
        desk.db, desk.actor, endpoint.id, EndpointChange(version=1, event_types=("fraud.*",)), **guarded
    )

    with pytest.raises(InvalidSubscriptionError):
        await webhooks.update_endpoint(
            desk.db, desk.actor, endpoint.id, EndpointChange(version=2, include_sensitive=False), **guarded
        )


async def test_states_move_only_as_allowed(desk: Desk) -> None:
    endpoint, _ = await desk.subscribe()

    with pytest.raises(IllegalMoveError):
        await webhooks.resume(desk.db, desk.actor, endpoint.id)
    assert (await webhooks.pause(desk.db, desk.actor, endpoint.id)).state is EndpointState.PAUSED
    with pytest.raises(IllegalMoveError):
        await webhooks.pause(desk.db, desk.actor, endpoint.id)
    assert (await webhooks.resume(desk.db, desk.actor, endpoint.id)).state is EndpointState.ENABLED
    await webhooks.delete_endpoint(desk.db, desk.actor, endpoint.id)
    with pytest.raises(EndpointNotFoundError):
        await webhooks.find_endpoint(desk.db, desk.actor, endpoint.id)


async def test_disabled_endpoint_can_be_resumed_and_what_was_skipped_sent(desk: Desk) -> None:
    endpoint, _ = await desk.subscribe()
    desk.receiver.answer(410)
    await desk.send()
    await desk.deliver()
    (skipped,) = await desk.send()
    with pytest.raises(EndpointNotEnabledError):
        await webhooks.redeliver(desk.db, desk.actor, skipped, endpoint.id)
    with pytest.raises(EndpointNotEnabledError):
        await webhooks.send_test(desk.db, desk.actor, endpoint.id)

    resumed = await webhooks.resume(desk.db, desk.actor, endpoint.id)
    await webhooks.redeliver(desk.db, desk.actor, skipped, endpoint.id)
    done = await desk.deliver()

    assert (resumed.state, resumed.disabled_reason) == (EndpointState.ENABLED, "")
    assert done.succeeded == 1
    assert await desk.findings() == []


async def test_event_is_not_resent_to_an_endpoint_it_is_not_meant_for(desk: Desk) -> None:
    endpoint, _ = await desk.subscribe("account.*")
    (event_id,) = await desk.send("payment.completed")

    with pytest.raises(DeliveryNotFoundError):
        await webhooks.redeliver(desk.db, desk.actor, event_id, endpoint.id)
    with pytest.raises(EventNotFoundError):
        await webhooks.redeliver(desk.db, desk.actor, "evt_unknown", endpoint.id)


async def test_secret_is_read_again_and_the_reading_is_audited(desk: Desk) -> None:
    endpoint, secret = await desk.subscribe()

    (shown,) = await webhooks.secret(desk.db, desk.actor, endpoint.id, keyring=desk.keyring)

    assert shown.text.reveal() == secret
    assert str(shown.text) == "****"
    assert "webhook_endpoint.secret_read" in await _actions(desk)


async def test_rotation_keeps_the_old_secret_for_its_grace_period(desk: Desk) -> None:
    endpoint, old = await desk.subscribe()

    new = await webhooks.rotate_secret(desk.db, desk.actor, endpoint.id, keyring=desk.keyring, grace_seconds=3600)

    shown = await webhooks.secret(desk.db, desk.actor, endpoint.id, keyring=desk.keyring)
    assert [secret.text.reveal() for secret in shown] == [new.text.reveal(), old]
    assert shown[0].expires_at is None
    assert shown[1].expires_at is not None
    assert "webhook_endpoint.secret_rotated" in await _actions(desk)


async def test_at_most_ten_old_secrets_sign_at_once(desk: Desk) -> None:
    endpoint, _ = await desk.subscribe()
    for _ in range(10):
        await webhooks.rotate_secret(desk.db, desk.actor, endpoint.id, keyring=desk.keyring)

    with pytest.raises(TooManySecretsError):
        await webhooks.rotate_secret(desk.db, desk.actor, endpoint.id, keyring=desk.keyring)

    assert len(await webhooks.secret(desk.db, desk.actor, endpoint.id, keyring=desk.keyring)) == 11
    await webhooks.rotate_secret(desk.db, desk.actor, endpoint.id, keyring=desk.keyring, grace_seconds=0)
    assert len(await webhooks.secret(desk.db, desk.actor, endpoint.id, keyring=desk.keyring)) == 1


@pytest.mark.parametrize("grace_seconds", [-1, 604_801])
async def test_grace_period_outside_of_its_limits_is_refused(desk: Desk, grace_seconds: int) -> None:
    endpoint, _ = await desk.subscribe()

    with pytest.raises(InvalidEndpointError) as refusal:
        await webhooks.rotate_secret(
            desk.db, desk.actor, endpoint.id, keyring=desk.keyring, grace_seconds=grace_seconds
        )

    assert refusal.value.field == "grace_seconds"


async def test_private_half_of_a_signing_key_is_never_shown(desk: Desk) -> None:
    endpoint, _ = await desk.subscribe()
    await webhooks.rotate_secret(desk.db, desk.actor, endpoint.id, keyring=desk.keyring, kind=SecretKind.ED25519)

    shown = await webhooks.secret(desk.db, desk.actor, endpoint.id, keyring=desk.keyring)

    assert sorted(secret.text.reveal().split("_")[0] for secret in shown) == ["whpk", "whsec"]


async def test_lists_are_read_page_by_page(desk: Desk) -> None:
    endpoints = [(await desk.subscribe())[0] for _ in range(3)]
    event_ids = await desk.send(count=5)
    await desk.deliver()

    pages = {
        "endpoints": await _all(lambda request: webhooks.list_endpoints(desk.db, desk.actor, request)),
        "deliveries": await _all(
            lambda request: webhooks.list_deliveries(desk.db, desk.actor, endpoints[0].id, request)
        ),
        "attempts": await _all(lambda request: webhooks.attempts(desk.db, desk.actor, endpoints[0].id, request)),
        "of event": await _all(lambda request: webhooks.deliveries_of(desk.db, desk.actor, event_ids[0], request)),
    }

    assert [endpoint.id for endpoint in pages["endpoints"]] == [endpoint.id for endpoint in reversed(endpoints)]
    assert [delivery.event_id for delivery in pages["deliveries"]] == list(reversed(event_ids))
    assert {attempt.event_id for attempt in pages["attempts"]} == set(event_ids)
    assert [delivery.endpoint_id for delivery in pages["of event"]] == [endpoint.id for endpoint in reversed(endpoints)]
    assert len({delivery.message_id for delivery in pages["of event"]}) == 3


async def test_deliveries_are_listed_by_state_and_attempts_by_event(desk: Desk) -> None:
    endpoint, _ = await desk.subscribe()
    desk.receiver.answer(500)
    (failed,) = await desk.send()
    await desk.deliver()
    await desk.send(count=2)
    await desk.deliver()
    (waiting,) = await desk.send()

    async def listed(state: webhooks.DeliveryState) -> list[str]:
        page = await webhooks.list_deliveries(desk.db, desk.actor, endpoint.id, first_page(), state=state)
        return [delivery.event_id for delivery in page.items]

    assert await listed(webhooks.DeliveryState.RETRYING) == [failed]
    assert await listed(webhooks.DeliveryState.PENDING) == [waiting]
    assert len(await listed(webhooks.DeliveryState.SUCCEEDED)) == 2
    assert await listed(webhooks.DeliveryState.EXHAUSTED) == []
    of_event = await webhooks.attempts(desk.db, desk.actor, endpoint.id, first_page(), event_id=failed)
    assert [attempt.event_id for attempt in of_event.items] == [failed]


async def test_number_of_endpoints_is_limited(desk: Desk) -> None:
    async with desk.db.begin(SYSTEM) as tx:
        await tx.execute(
            """INSERT INTO webhook_endpoint (id, partner_id, environment, url, description, state, event_types,
                                             include_sensitive, header_names, metadata, timeout_ms, retry_schedule,
                                             created_at, updated_at)
               SELECT 'whk_' || n, 'prt_1', 'sandbox', '', '', 'enabled', '{*}', false, '{}', '{}', 1000, '{0}', now(), now()
                 FROM generate_series(1, 100) n"""
        )

    with pytest.raises(TooManyEndpointsError):
        await desk.subscribe()


async def test_ids_of_other_things_are_refused(desk: Desk) -> None:
    with pytest.raises(InvalidIdError) as refusal:
        await webhooks.find_endpoint(desk.db, desk.actor, "pay_1")

    assert refusal.value.field == "endpoint_id"


async def test_attempt_log_cannot_be_changed(desk: Desk) -> None:
    await desk.subscribe()
    await desk.send()
    await desk.deliver()

    for statement in ("UPDATE webhook_attempt SET status_code = 500", "DELETE FROM webhook_attempt"):
        with pytest.raises(Exception, match="permission denied"):
            async with desk.db.begin(SYSTEM) as tx:
                await tx.execute(statement)


async def _actions(desk: Desk) -> list[str]:
    async with desk.db.begin(SYSTEM) as tx:
        return [row["action"] for row in await tx.rows("SELECT action FROM audit_entry")]


async def _all(read: object) -> list[Any]:
    items: list[Any] = []
    cursor = None
    while True:
        page = await read(first_page(2, cursor))  # type: ignore[operator]
        items += page.items
        if not page.next_cursor:
            return items
        cursor = page.next_cursor
