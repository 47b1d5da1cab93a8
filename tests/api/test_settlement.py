from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import timedelta

import httpx
import pytest

from shanraq import credit_transfers, webhooks
from shanraq.api import v1
from shanraq.api.app import create_app
from shanraq.api.services import ApiServices
from shanraq.core.actor import Actor
from shanraq.core.db import Database
from shanraq.partners import Credentials, OperatorToken
from shanraq.settlement import DisputeStage
from tests.api.server import serve
from tests.money_world import partner
from tests.settlement.conftest import MORNING, YESTERDAY, Desk, desk, operator
from tests.settlement.test_disputes import notice

__all__ = ["desk"]

PLACE = {"environment": "sandbox"}


@dataclass
class Site:
    """The interface over HTTP, for two operators, the partner, and another partner."""

    desk: Desk
    first: httpx.AsyncClient
    second: httpx.AsyncClient
    owner: httpx.AsyncClient
    stranger: httpx.AsyncClient


@pytest.fixture
async def site(desk: Desk, database: Database) -> AsyncIterator[Site]:
    async def authenticate(credentials: Credentials, _: str) -> Actor:
        if isinstance(credentials, OperatorToken):
            return operator(credentials.token.reveal())
        return desk.shop.bank.actor if getattr(credentials, "key_id", "") == "key_1" else replace(partner(2))

    keyring = desk.shop.acquiring.keyring
    services = ApiServices(
        database,
        keyring,
        desk.shop.acquiring,
        webhooks.GuardPolicy(),
        credit_transfers.Interbank(database, keyring),
    )
    async with serve(create_app(services, routes=v1.ROUTES, authenticate=authenticate)) as url:
        clients = [
            httpx.AsyncClient(base_url=url, trust_env=False, headers={"Authorization": f"Bearer {name}"})
            for name in ("aigerim", "daniyar")
        ] + [httpx.AsyncClient(base_url=url, trust_env=False, auth=(key, "secret")) for key in ("key_1", "key_2")]
        try:
            yield Site(desk, *clients)
        finally:
            for client in clients:
                await client.aclose()


async def test_operators_see_a_day_and_two_of_them_resolve_what_differs(site: Site) -> None:
    desk = site.desk
    desk.line(*await desk.captured(2_000), amount=1_900)
    desk.line(*await desk.captured(500), fees=(5, 1, 1))
    desk.at(MORNING)
    await desk.settle()
    where = f"/v1/settlement/days/fake/{YESTERDAY}"

    days = (await site.first.get("/v1/settlement/days", params=PLACE)).json()["items"]
    figures = (await site.first.get(where, params=PLACE)).json()
    lines = (await site.first.get(f"{where}/lines", params=PLACE | {"state": "amount_differs"})).json()["items"]
    (exception,) = (await site.first.get("/v1/settlement/exceptions", params=PLACE | {"status": "open"})).json()[
        "items"
    ]
    both = (await site.first.get(f"/v1/settlement/exceptions/{exception['id']}")).json()
    path = f"/v1/settlement/exceptions/{exception['id']}"
    proposed = await site.first.post(f"{path}/resolve", json={"action": "write_off", "reason": "a rounding"})
    same = await site.first.post(f"{path}/approve")
    approved = await site.second.post(f"{path}/approve")
    after = (await site.first.get(where, params=PLACE)).json()

    assert [(day["adapter"], day["status"], day["lines"]) for day in days] == [("fake", "complete", 2)]
    assert (figures["settled"], figures["totals"][0]["net"], figures["totals"][0]["posted_net"]) == (False, 2_393, 493)
    assert [line["amount"] for line in lines] == [1_900]
    assert (both["there"]["amount"], [side["amount"] for side in both["here"]]) == (1_900, [2_000])
    assert (proposed.status_code, proposed.json()["status"]) == (200, "proposed")
    assert (same.status_code, same.json()["code"]) == (409, "same_operator")
    assert (approved.status_code, approved.json()["status"]) == (200, "resolved")
    assert (after["settled"], after["totals"][0]["posted_net"]) == (True, 2_393)


async def test_a_partner_sees_its_own_payments_and_disputes_only(site: Site) -> None:
    desk = site.desk
    payment, capture = await desk.captured(1_000)
    desk.line(payment, capture, fees=(5, 1, 1))
    desk.acquirer.notices.append(notice(payment, DisputeStage.CHARGEBACK))
    desk.at(MORNING)
    await desk.settle()

    settled = await site.owner.get(f"/v1/payments/{payment.id}/settlement")
    (dispute,) = (await site.owner.get("/v1/disputes", params={"stage": "chargeback"})).json()["items"]
    path = f"/v1/disputes/{dispute['id']}"

    assert settled.json()["items"] == [
        {
            "kind": "capture",
            "amount": 1_000,
            "currency": "KZT",
            "settled_on": str(YESTERDAY),
            "state": "matched",
            "operation_id": capture.id,
        }
    ]
    assert (await site.owner.get(path)).json() == dispute
    for method, url in (("GET", path), ("POST", f"{path}/accept"), ("GET", f"{path}/evidence")):
        assert (await site.stranger.request(method, url)).status_code == 404, url
    assert (await site.stranger.get(f"/v1/payments/{payment.id}/settlement")).status_code == 404
    assert (await site.stranger.get("/v1/disputes")).json()["items"] == []
    assert (await site.owner.get("/v1/settlement/days", params=PLACE)).status_code == 403
    evidence = {"evidence": [{"kind": "receipt", "text": "Paid by the cardholder in the shop."}]}
    assert (await site.owner.post(f"{path}/represent", json=evidence)).json()["response"] == "represented"
    exported = await site.first.get(f"{path}/evidence")
    assert exported.json()["evidence"] == evidence["evidence"]
    assert exported.headers["Content-Disposition"] == f'attachment; filename="{dispute["id"]}.json"'
    desk.at(MORNING + timedelta(days=60))
    late = await site.owner.post(f"{path}/represent", json=evidence)
    assert (late.status_code, late.json()["code"]) == (422, "dispute_overdue")


@pytest.mark.parametrize(
    ("path", "parameters", "status", "field"),
    [
        ("/v1/settlement/days", {}, 400, "environment"),
        ("/v1/settlement/days", {"environment": "moon"}, 400, "environment"),
        ("/v1/settlement/days", {**PLACE, "since": "yesterday"}, 400, "since"),
        ("/v1/settlement/days", {**PLACE, "since": "2024-01-01", "until": "2026-01-01"}, 400, "since"),
        ("/v1/settlement/days/fake/2026-13-01", PLACE, 400, "day"),
        ("/v1/settlement/days/fake/2020-01-01", PLACE, 404, "day"),
        ("/v1/settlement/days/fake/2020-01-01/lines", PLACE, 404, "day"),
        ("/v1/settlement/days/fake/2020-01-01/lines", {**PLACE, "state": "odd"}, 400, "state"),
        ("/v1/settlement/exceptions/sxc_1", {}, 400, "exception_id"),
    ],
)
async def test_bad_requests_name_the_field(
    site: Site, path: str, parameters: dict[str, str], status: int, field: str
) -> None:
    answer = await site.first.get(path, params=parameters)

    assert answer.status_code == status, answer.text
    assert field in answer.text
