"""Webhooks: what is sent, signed, repeated and disturbed."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from shanraq.simulators.visa import VisaCredentials, VisaSimulator
from shanraq.simulators.visa.deliver import retry_minutes
from shanraq.simulators.visa.notify import PRODUCTS
from tests.certificates import certificate
from tests.simulators.visa.client import Merchant
from tests.simulators.visa.conftest import CONTROL_TOKEN
from tests.simulators.visa.control import Control
from tests.simulators.visa.receiver import Receiver, receiving, signature_holds

BASE = "/notification-subscriptions/v2/webhooks"
ALL = [{"productId": product, "eventTypes": list(events)} for product, (_, events) in PRODUCTS.items()]


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as running:
        yield running


async def subscribed(merchant: Merchant, receiver: Receiver, **parts: Any) -> str:
    body = {"name": "all", "organizationId": merchant.merchant_id, "products": ALL, "webhookUrl": receiver.url} | parts
    reply = await merchant.post(BASE, body)
    assert reply.status_code == 201, reply.text
    return str(reply.json()["webhookId"])


async def key_of(merchant: Merchant) -> tuple[str, str]:
    information = {"provider": "nrtd", "tenant": "t", "keyType": "sharedSecret", "organizationId": merchant.merchant_id}
    reply = await merchant.post(
        "/kms/egress/v2/keys-sym", {"clientRequestAction": "CREATE", "keyInformation": information}
    )
    assert reply.status_code == 201, reply.text
    made = reply.json()["keyInformation"]
    return made["keyId"], made["key"]


async def test_a_payment_is_told_with_a_signature_of_the_newest_key(merchant: Merchant, receiver: Receiver) -> None:
    await key_of(merchant)
    key_id, key = await key_of(merchant)
    webhook_id = await subscribed(merchant, receiver)

    payment_id = await merchant.authorized("12.00", transaction_id="t-1")

    (body,) = await receiver.wait_for(1)
    headers, raw = receiver.requests[0]
    assert signature_holds(headers, raw, key)
    assert f"keyId={key_id};" in headers["v-c-signature"]
    assert abs(int(headers["v-c-signature"][2:15]) / 1000 - time.time()) < 60
    assert (headers["v-c-event-type"], headers["v-c-webhook-id"]) == ("payments.payments.accept", webhook_id)
    assert (headers["v-c-organization-id"], headers["v-c-product-name"]) == (merchant.merchant_id, "payments")
    assert (body["eventType"], body["webhookId"], body["retryNumber"]) == ("payments.payments.accept", webhook_id, 0)
    data = body["payload"]["data"]
    assert (data["id"], data["status"]) == (payment_id, "AUTHORIZED")
    assert data["orderInformation"]["amountDetails"] == {"totalAmount": "12.00", "currency": "KZT"}


async def test_without_a_key_the_rest_key_signs(
    merchant: Merchant, simulator: VisaSimulator, receiver: Receiver
) -> None:
    await subscribed(merchant, receiver)
    await merchant.authorized()
    await receiver.wait_for(1)

    assert signature_holds(*receiver.requests[0], simulator.credentials.secret)


async def test_every_step_of_a_payment_is_told(merchant: Merchant, control: Control, receiver: Receiver) -> None:
    await subscribed(merchant, receiver)
    payment_id = await merchant.authorized()
    capture_id = (await merchant.capture(payment_id, "40.00")).json()["id"]
    await merchant.reverse(payment_id, "60.00")
    await control.post("cutoff")
    await merchant.refund(capture_id, "10.00")
    review = await merchant.authorized(number="4000000480000001")
    await merchant.post(f"/risk/v1/decisions/{review}/comments", {"comments": "x"})
    await merchant.post(f"/risk/v1/decisions/{review}/actions", {"decisionInformation": {"decision": "REJECT"}})
    await merchant.authorize(number="4000000481000000")

    bodies = await receiver.wait_for(10)
    assert sorted(body["eventType"] for body in bodies) == sorted(
        [
            "payments.payments.accept",
            "payments.capture.status.accepted",
            "payments.payments.updated",
            "payments.capture.status.updated",
            "payments.payments.updated",
            "risk.profile.decision.review",
            "payments.payments.accept",
            "risk.casemanagement.addnote",
            "risk.casemanagement.decision.reject",
            "risk.profile.decision.reject",
        ]
    )


async def test_a_webhook_gets_what_it_asked_for_and_from_its_own_merchant(
    merchant: Merchant, stranger: Merchant, receiver: Receiver
) -> None:
    await subscribed(
        merchant, receiver, products=[{"productId": "payments", "eventTypes": ["payments.capture.status.accepted"]}]
    )

    await stranger.captured()
    capture_id = await merchant.captured()

    (body,) = await receiver.wait_for(1)
    assert body["payload"]["data"]["id"] == capture_id


async def test_a_notification_is_repeated_by_the_policy_of_its_webhook(
    merchant: Merchant, control: Control, receiver: Receiver
) -> None:
    receiver.statuses = [500, 503]
    await subscribed(
        merchant,
        receiver,
        retryPolicy={"algorithm": "ARITHMETIC", "firstRetry": 10, "interval": 5, "numberOfRetries": 2},
    )
    await merchant.authorized()
    await receiver.wait_for(1)

    for count in (2, 3):
        await control.post("clock", {"advance_seconds": 15 * 60})
        await receiver.wait_for(count)

    bodies = await receiver.wait_for(3)
    assert [body["retryNumber"] for body in bodies] == [0, 1, 2]
    assert len({body["notificationId"] for body in bodies}) == 1


async def test_a_webhook_that_never_listens_is_switched_off(
    merchant: Merchant, control: Control, receiver: Receiver
) -> None:
    receiver.statuses = [500, 500]
    webhook_id = await subscribed(
        merchant, receiver, retryPolicy={"firstRetry": 1, "numberOfRetries": 1, "deactivateFlag": "true"}
    )
    await merchant.authorized()
    await receiver.wait_for(1)
    await control.post("clock", {"advance_seconds": 60})
    await receiver.wait_for(2)

    while (await merchant.get(f"{BASE}/{webhook_id}")).json()["status"] == "ACTIVE":
        pass
    await merchant.authorized()
    assert (await control.get("notifications"))["waiting"] == 0


@pytest.mark.parametrize(
    ("policy", "waits"),
    [
        ({"algorithm": "ARITHMETIC", "firstRetry": 1, "interval": 2, "numberOfRetries": 3}, [1, 3, 5, None]),
        ({"algorithm": "GEOMETRIC", "firstRetry": 2, "interval": 3, "numberOfRetries": 3}, [2, 6, 18, None]),
        (
            {
                "firstRetry": 1,
                "interval": 0,
                "numberOfRetries": 1,
                "repeatSequenceCount": 1,
                "repeatSequenceWaitTime": 60,
            },
            [1, 60, 1, None],
        ),
        ({}, [None]),
    ],
)
def test_retries_wait_as_the_policy_says(policy: dict[str, Any], waits: list[int | None]) -> None:
    assert [retry_minutes(policy, attempt) for attempt in range(len(waits))] == waits


async def test_notifications_come_twice_out_of_order_late_or_never(
    merchant: Merchant, control: Control, receiver: Receiver
) -> None:
    await subscribed(merchant, receiver)
    for fault in (
        {"kind": "duplicate"},
        {"kind": "out_of_order"},
        {"kind": "lose"},
        {"kind": "delay", "seconds": 600},
    ):
        await control.post("webhook-faults", fault)
    ids = [await merchant.authorized(code=f"o-{number}") for number in range(2)]
    assert [body["payload"]["data"]["id"] for body in await receiver.wait_for(2)] == [ids[0], ids[0]]

    await merchant.authorized(code="lost")
    ids.append(await merchant.authorized(code="late"))
    assert (await receiver.wait_for(3))[2]["payload"]["data"]["id"] == ids[1]
    await control.post("clock", {"advance_seconds": 600})

    assert (await receiver.wait_for(4))[3]["payload"]["data"]["id"] == ids[2]


async def test_an_answer_never_waits_for_a_webhook(merchant: Merchant) -> None:
    # A port on which nothing answers, and a name that does not resolve.
    for url in ("http://127.0.0.1:9/", "http://nothing.invalid/"):
        await merchant.post(BASE, {"products": ALL, "webhookUrl": url})

    started = time.monotonic()
    await merchant.authorized()

    assert time.monotonic() - started < 5


async def test_a_receiver_behind_tls_is_verified(tmp_path: Path) -> None:
    authority = certificate(tmp_path, "authority")
    own = certificate(tmp_path, "receiver", authority)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(own.file, own.key_file)
    trusting = ssl.create_default_context(cafile=str(authority.file))

    async with receiving(server) as receiver:
        for tls, error in ((trusting, ""), (None, "SSLCertVerificationError")):
            credentials = VisaCredentials.generate()
            async with VisaSimulator(credentials, control_token=CONTROL_TOKEN, webhook_tls=tls) as simulator:
                merchant = Merchant(simulator.base_url, credentials.merchant_id, credentials.key_id, credentials.secret)
                await subscribed(merchant, receiver)
                await merchant.authorized()
                while not (sent := (await Control(simulator, CONTROL_TOKEN).get("notifications"))["sent"]):
                    await asyncio.sleep(0.01)
                await merchant.http.aclose()
            assert [one["error"] for one in sent] == [error]
    assert len(receiver.requests) == 1


async def test_a_test_notification_tells_what_it_sent(merchant: Merchant, receiver: Receiver) -> None:
    webhook_id = await subscribed(merchant, receiver)

    reply = (await merchant.send("POST", f"/notification-subscriptions/v1/webhooks/{webhook_id}")).json()

    assert (await receiver.wait_for(1))[0]["transactionTraceId"] == reply["transactionTraceId"]


async def test_an_inactive_or_deleted_webhook_gets_nothing(
    merchant: Merchant, control: Control, receiver: Receiver
) -> None:
    webhook_id = await subscribed(merchant, receiver)
    await merchant.send("PUT", f"{BASE}/{webhook_id}/status", {"status": "INACTIVE"})
    await merchant.authorized()
    await merchant.send("PUT", f"{BASE}/{webhook_id}/status", {"status": "ACTIVE"})
    await merchant.authorized()
    await receiver.wait_for(1)
    await merchant.send("DELETE", f"{BASE}/{webhook_id}")
    await merchant.authorized()

    assert (await control.get("notifications"))["waiting"] == 0
    assert len(receiver.requests) == 1
    assert (await merchant.get(f"{BASE}/{webhook_id}")).status_code == 404


async def test_webhooks_are_strictly_apart(merchant: Merchant, stranger: Merchant, receiver: Receiver) -> None:
    own = f"{BASE}/{await subscribed(merchant, receiver)}"

    assert (await stranger.get(own)).status_code == 404
    assert (await stranger.send("PATCH", own, {"name": "mine"})).status_code == 404
    assert (await stranger.send("DELETE", own)).status_code == 404
    assert (await stranger.get(BASE)).json() == []
    assert (await stranger.get(f"{BASE}?organizationId={merchant.merchant_id}")).status_code == 403
    body = {"organizationId": merchant.merchant_id, "products": ALL, "webhookUrl": receiver.url}
    assert (await stranger.post(BASE, body)).status_code == 403


@pytest.mark.parametrize(
    ("part", "field"),
    [
        ({"webhookUrl": "ftp://x"}, "webhookUrl"),
        ({"webhookUrl": "http://x/\r\nHost: y"}, "webhookUrl"),
        ({"webhookUrl": "http://user@x/"}, "webhookUrl"),
        ({"webhookUrl": "http://x:99999/"}, "webhookUrl"),
        ({"webhookUrl": "http://999.1.1.1/"}, "webhookUrl"),
        ({"webhookUrl": 7}, "webhookUrl"),
        ({"products": []}, "products"),
        ({"products": [{"productId": "payments"}]}, "products[].eventTypes"),
        ({"products": ["payments"]}, "products[]"),
        ({"notificationScope": "ALL"}, "notificationScope"),
        ({"retryPolicy": {"numberOfRetries": 1000}}, "retryPolicy.numberOfRetries"),
        ({"retryPolicy": {"algorithm": "RANDOM"}}, "retryPolicy.algorithm"),
        ({"securityPolicy": {"securityType": "none"}}, "securityPolicy.securityType"),
        ({"name": "4111111111111111"}, "name"),
        ({"status": "SLEEPING"}, "status"),
    ],
)
async def test_a_subscription_that_cannot_be_kept_is_refused_by_its_field(
    merchant: Merchant, part: dict[str, Any], field: str
) -> None:
    reply = await merchant.post(BASE, {"products": ALL, "webhookUrl": "http://127.0.0.1:9/"} | part)

    assert (reply.status_code, reply.json()["details"][0]["field"]) == (400, field)


async def test_a_notification_is_sent_by_hand(merchant: Merchant, control: Control, receiver: Receiver) -> None:
    await subscribed(merchant, receiver)

    asked = {"merchant_id": merchant.merchant_id, "event_type": "payments.payments.updated", "data": {"id": "17"}}
    assert await control.post("notifications", asked) == {"sent": 1}

    assert (await receiver.wait_for(1))[0]["payload"] == {"data": {"id": "17"}}
    sent = (await control.get("notifications"))["sent"]
    assert [(one["event_type"], one["status"]) for one in sent] == [("payments.payments.updated", 200)]
