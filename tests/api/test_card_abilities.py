"""The new abilities of card payments over real HTTP: scopes, keys, bodies, and the notifications of gateways."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any

import httpx
import pytest

from shanraq import credit_transfers, payments, webhooks
from shanraq.api import v1
from shanraq.api.app import create_app
from shanraq.api.services import ApiServices
from shanraq.api.strict import BODY_LIMIT_BYTES
from shanraq.core.actor import Actor
from shanraq.core.db import Database
from shanraq.core.money import Money
from shanraq.partners import Credentials
from shanraq.payments.adapter import Advice, DeclineClass, InReview, Reason
from tests.api.server import serve
from tests.payments.conftest import AbleShop, able
from tests.payments.gateway import LOST_AFTER, NOTICE_SECRET, SUCCESSFUL

__all__ = ["able"]

REVIEW = Reason("review_required", DeclineClass.FRAUD, Advice.WAIT_FOR_REVIEW)


@dataclass
class Desk:
    """A partner at the interface, with a shop behind it."""

    shop: AbleShop
    http: httpx.AsyncClient

    async def post(self, path: str, key: str | None = "k", **body: Any) -> httpx.Response:
        headers = {} if key is None else {"Idempotency-Key": key}
        if not body:
            return await self.http.post(path, headers=headers)
        return await self.http.post(path, json=body, headers=headers)

    def payment(self, **more: Any) -> dict[str, Any]:
        return {
            "payment_method_id": self.shop.card.id,
            "account_id": self.shop.account.id,
            "amount": 1000,
            "currency": "KZT",
            **more,
        }

    async def notify(self, body: bytes, secret: str = NOTICE_SECRET, where: str = "fake/sandbox") -> httpx.Response:
        headers = {"X-Secret": secret, "X-Notice-Id": "n-1", "Content-Type": "application/json"}
        return await self.http.post(f"/gateway-notifications/{where}", content=body, headers=headers)


@pytest.fixture
async def desk(database: Database, able: AbleShop) -> AsyncIterator[Desk]:
    async def authenticate(credentials: Credentials, _: str) -> Actor:
        reader = getattr(credentials, "key_id", "") == "reader"
        return replace(able.bank.actor, scopes=frozenset({"payments:read"})) if reader else able.bank.actor

    services = ApiServices(
        database,
        able.acquiring.keyring,
        able.acquiring,
        webhooks.GuardPolicy(),
        credit_transfers.Interbank(database, able.acquiring.keyring),
    )
    async with (
        serve(create_app(services, routes=v1.ROUTES, authenticate=authenticate)) as url,
        httpx.AsyncClient(base_url=url, auth=("key_1", "secret"), trust_env=False) as http,
    ):
        yield Desk(able, http)


async def test_an_estimated_payment_is_incremented(desk: Desk) -> None:
    made = await desk.post("/v1/payments", **desk.payment(estimated=True, device={"ip_address": "192.0.2.7"}))
    path = f"/v1/payments/{made.json()['id']}/increments"
    raised = await desk.post(path, amount=500)
    replayed = await desk.post(path, amount=500)

    assert (made.status_code, raised.status_code, raised.json()["amount_authorized"]) == (201, 200, 1500)
    assert replayed.json() == raised.json()
    assert replayed.headers["Idempotent-Replayed"] == "true"
    assert made.json()["expires_at"] is not None


async def test_a_card_is_credited(desk: Desk) -> None:
    account = await desk.shop.bank.account(1000)
    body = desk.payment(account_id=account.id, amount=400)
    paid = await desk.post("/v1/card-credits", **body)
    read = await desk.http.get(f"/v1/payments/{paid.json()['id']}")

    assert (paid.status_code, paid.json()["kind"], paid.json()["status"]) == (201, "credit", "paid")
    assert read.json() == paid.json()


async def test_a_card_is_verified(desk: Desk) -> None:
    path = f"/v1/payment-methods/{desk.shop.card.id}"
    verified = await desk.post(f"{path}/verify", currency="KZT", security_code="123")
    listed = await desk.http.get(f"{path}/verifications")

    assert (verified.status_code, verified.json()["status"]) == (200, "approved")
    assert listed.json()["items"] == [verified.json()]


async def test_a_cardholder_is_authenticated_for_a_payment(desk: Desk) -> None:
    begun = await desk.post("/v1/authentications", payment_method_id=desk.shop.card.id, amount=1000, currency="KZT")
    path = f"/v1/authentications/{begun.json()['id']}"
    done = await desk.post(f"{path}/authenticate", return_url="https://shop.example/", device={"language": "kk"})
    again = await desk.post(f"{path}/complete", "other")
    paid = await desk.post("/v1/payments", "pay", **desk.payment(authentication_id=begun.json()["id"]))
    read = await desk.http.get(path)

    assert [begun.status_code, done.status_code, again.status_code, paid.status_code] == [201, 200, 409, 201]
    assert (done.json()["status"], again.json()["code"], paid.json()["liability_shift"]) == (
        "authenticated", "illegal_status", True,
    )  # fmt: skip
    assert (read.json()["status"], read.json()["payment_id"]) == ("used", paid.json()["id"])
    assert all(SUCCESSFUL.value not in answer.text for answer in (begun, done, paid, read))


async def test_a_payment_under_review_is_decided(desk: Desk) -> None:
    desk.shop.gateway.script.append(InReview("gw-r", Money.of(1000, "KZT"), REVIEW))
    made = await desk.post("/v1/payments", **desk.payment())
    queue = await desk.http.get("/v1/payments", params={"status": "review"})
    accepted = await desk.post(f"/v1/payments/{made.json()['id']}/review", decision="accept", note="known")

    assert [one["id"] for one in queue.json()["items"]] == [made.json()["id"]]
    assert (accepted.status_code, accepted.json()["status"]) == (200, "authorized")


async def test_a_notification_is_answered_when_it_is_kept(desk: Desk) -> None:
    desk.shop.gateway.script.append(LOST_AFTER)
    made = await desk.post("/v1/payments", **desk.payment())
    body = f'{{"kind": "x", "references": ["{made.json()["id"]}"], "gateway_ids": []}}'.encode()
    first = await desk.notify(body)
    second = await desk.notify(body)
    await payments.recover(desk.shop.acquiring)

    assert (first.status_code, first.json(), second.json()) == (200, {"duplicate": False}, {"duplicate": True})
    assert (await desk.shop.find(made.json()["id"])).status == "authorized"


async def test_refuses_notifications_of_others(desk: Desk) -> None:
    answers = [
        await desk.notify(b"{}", secret="wrong"),
        await desk.notify(b"{}", where="other/sandbox"),
        await desk.notify(b"{}", where="fake/live"),
        await desk.notify(b" " * (BODY_LIMIT_BYTES + 1)),
    ]

    assert [answer.status_code for answer in answers] == [401, 404, 404, 413]
    assert answers[0].json()["code"] == "notice_not_authentic"


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("/v1/payments/{id}/increments", {"amount": 0}, 400, "invalid_field"),
        ("/v1/payments/{id}/increments", {"amount": 5, "x": 1}, 400, "unknown_field"),
        ("/v1/payments/{id}/increments", {"amount": 5}, 422, "not_incrementable"),
        ("/v1/payments/{id}/review", {"decision": "maybe"}, 400, "invalid_field"),
        ("/v1/payments/{id}/review", {"decision": "accept"}, 409, "illegal_status"),
        ("/v1/card-credits", {"amount": 5}, 400, "missing_field"),
        ("/v1/authentications", {"amount": 5}, 400, "missing_field"),
        ("/v1/authentications/au_1/complete", {}, 400, "invalid_id"),
        ("/v1/payment-methods/pm_01JDK7ZC3V0X2Q9M5R8T6W4Y1B/verify", {"currency": "KZT"}, 404,
         "payment_method_not_found"),
    ],
)  # fmt: skip
async def test_refuses_bad_input_by_name(desk: Desk, path: str, body: dict[str, Any], status: int, code: str) -> None:
    made = await desk.post("/v1/payments", "made", **desk.payment())
    refused = await desk.post(path.replace("{id}", made.json()["id"]), **body)

    assert (refused.status_code, refused.json()["code"]) == (status, code)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/payments/pay_01JDK7ZC3V0X2Q9M5R8T6W4Y1B/increments", {"amount": 5}),
        ("/v1/payments/pay_01JDK7ZC3V0X2Q9M5R8T6W4Y1B/review", {"decision": "accept"}),
        ("/v1/card-credits", None),
        ("/v1/authentications", None),
        ("/v1/authentications/au_01JDK7ZC3V0X2Q9M5R8T6W4Y1B/authenticate",
         {"return_url": "https://shop.example/", "device": {}}),
        ("/v1/authentications/au_01JDK7ZC3V0X2Q9M5R8T6W4Y1B/complete", {}),
        ("/v1/payment-methods/pm_01JDK7ZC3V0X2Q9M5R8T6W4Y1B/verify", {"currency": "KZT"}),
    ],
)  # fmt: skip
async def test_every_write_needs_its_scope_and_a_key(desk: Desk, path: str, body: dict[str, Any] | None) -> None:
    payload = body
    if body is None:
        payload = {"payment_method_id": desk.shop.card.id, "amount": 5, "currency": "KZT"}
        if "credit" in path:
            payload["account_id"] = desk.shop.account.id
    keyless = await desk.post(path, None, **(payload or {}))
    desk.http.auth = httpx.BasicAuth("reader", "secret")
    scopeless = await desk.post(path, **(payload or {}))

    assert (keyless.status_code, keyless.json()["code"]) == (400, "idempotency_key_missing")
    assert (scopeless.status_code, scopeless.json()["code"]) == (403, "missing_scope")
