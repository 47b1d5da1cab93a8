"""The routing rules over REST, as an operator and as somebody who is none."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from shanraq import credit_transfers, partners, payments, webhooks
from shanraq.api import v1
from shanraq.api.app import create_app
from shanraq.api.services import ApiServices
from shanraq.core.actor import Actor, ActorKind, Environment
from shanraq.core.crypto import Keyring
from shanraq.core.db import Database
from shanraq.partners import Credentials
from tests.api.server import serve
from tests.money_world import partner
from tests.payments.gateway import Gateway

OPERATOR = Actor(
    kind=ActorKind.OPERATOR, id="opr_1", scopes=frozenset({partners.ROUTE, partners.READ_ROUTES}), request_id="req_o"
)
RULE: dict[str, Any] = {
    "name": "first b",
    "position": 10,
    "conditions": {"bins": ["400000-449999"], "currencies": ["KZT"]},
    "action": {"adapters": [{"adapter": "b"}, {"adapter": "a"}]},
}
QUESTION = {"environment": "sandbox", "bin": "411111", "amount": 100, "currency": "KZT"}


@dataclass
class Desk:
    """An operator at the interface of a platform with two payment systems."""

    http: httpx.AsyncClient
    a: Gateway
    b: Gateway


@pytest.fixture
async def desk(database: Database) -> AsyncIterator[Desk]:
    a, b, keyring = Gateway("a"), Gateway("b"), Keyring.generate()
    gateways = payments.Gateways({Environment.SANDBOX: {"a": a, "b": b}})

    async def authenticate(credentials: Credentials, _: str) -> Actor:
        return OPERATOR if isinstance(credentials, partners.OperatorToken) else partner()

    services = ApiServices(
        database,
        keyring,
        payments.Acquiring(database, keyring, gateways),
        webhooks.GuardPolicy(),
        credit_transfers.Interbank(database, keyring),
    )
    async with (
        serve(create_app(services, routes=v1.ROUTES, authenticate=authenticate)) as url,
        httpx.AsyncClient(base_url=url, headers={"Authorization": "Bearer token"}, trust_env=False) as http,
    ):
        yield Desk(http, a, b)


async def test_an_operator_makes_reads_changes_and_deletes_a_rule(desk: Desk) -> None:
    made = await desk.http.post("/v1/routing/rules", json=RULE)
    path = f"/v1/routing/rules/{made.json()['id']}"
    changed = await desk.http.put(path, json={**RULE, "version": 1, "position": 20})
    stale = await desk.http.put(path, json={**RULE, "version": 1})
    listed = await desk.http.get("/v1/routing/rules")
    deleted = await desk.http.delete(path, params={"version": 2})
    gone = await desk.http.get(path)
    versions = await desk.http.get(f"{path}/versions")

    assert (made.status_code, made.json()["version"]) == (201, 1)
    assert (changed.status_code, changed.json()["version"], changed.json()["position"]) == (200, 2, 20)
    assert (stale.status_code, stale.json()["code"]) == (409, "routing_rule_changed")
    assert listed.json()["items"] == [changed.json()]
    assert deleted.status_code == 204
    assert (gone.status_code, gone.json()["code"]) == (404, "routing_rule_not_found")
    assert [version["version"] for version in versions.json()["items"]] == [3, 2, 1]


async def test_a_question_is_answered_with_the_reasons(desk: Desk) -> None:
    plain = await desk.http.post("/v1/routing/explain", json=QUESTION)
    made = await desk.http.post("/v1/routing/rules", json=RULE)
    desk.b.available = False
    ruled = await desk.http.post("/v1/routing/explain", json=QUESTION)
    other_card = await desk.http.post("/v1/routing/explain", json={**QUESTION, "bin": "555555"})
    live = await desk.http.post("/v1/routing/explain", json={**QUESTION, "environment": "live"})

    assert [one["adapter"] for one in plain.json()["candidates"]] == ["a"]
    assert ruled.json()["rule"] == made.json()["id"]
    assert [one["adapter"] for one in ruled.json()["candidates"]] == ["a"]
    assert ruled.json()["passed_over"] == [{"adapter": "b", "why": "does not answer: its circuit is open"}]
    assert other_card.json()["rule"] == ""
    assert (live.status_code, live.json()["candidates"]) == (200, [])


async def test_a_question_about_another_operation_tells_who_does_not_offer_it(desk: Desk) -> None:
    await desk.http.post("/v1/routing/rules", json={**RULE, "conditions": {"operations": ["credit"]}})
    credit = await desk.http.post("/v1/routing/explain", json={**QUESTION, "operation": "credit"})
    unknown = await desk.http.post("/v1/routing/explain", json={**QUESTION, "operation": "gift"})

    # A rule that names nobody who offers credits is passed by, and nobody else does either.
    assert (credit.json()["rule"], credit.json()["candidates"]) == ("", [])
    assert credit.json()["passed_over"] == [{"adapter": "a", "why": "offers no credits to cards"}]
    assert (unknown.status_code, unknown.json()["field"]) == (400, "operation")


async def test_costs_are_read_and_replaced(desk: Desk) -> None:
    table = {"items": [{"adapter": "a", "currency": "KZT", "scheme": "visa", "basis_points": 150, "fixed": 10}]}
    replaced = await desk.http.put("/v1/routing/costs", json=table)
    read = await desk.http.get("/v1/routing/costs")
    twice = await desk.http.put("/v1/routing/costs", json={"items": table["items"] * 2})

    assert replaced.json() == read.json() == table
    assert (twice.status_code, twice.json()["code"]) == (400, "invalid_routing_rule")


async def test_the_table_of_bins_is_read(desk: Desk, database: Database) -> None:
    bank = payments.BinRange(first="411111", last="411119", scheme="visa", country="KZ", funding=payments.Funding.DEBIT)
    await payments.replace_bins(database, OPERATOR, [bank])
    listed = await desk.http.get("/v1/routing/bins", params={"limit": 1, "version": 1})
    shown = await desk.http.get("/v1/routing/bins/41111122")
    tables = await desk.http.get("/v1/routing/bin-tables")
    unknown = await desk.http.get("/v1/routing/bins/511111")
    whole = await desk.http.get("/v1/routing/bins/4111111111111111")
    older = await desk.http.get("/v1/routing/bins", params={"version": 2})
    made = await desk.http.post(
        "/v1/routing/rules", json={**RULE, "conditions": {"issuer_countries": ["KZ"], "funding": ["debit"]}}
    )
    ruled = await desk.http.post("/v1/routing/explain", json=QUESTION)
    not_known = await desk.http.post("/v1/routing/explain", json={**QUESTION, "bin": "422222"})

    assert (listed.json()["items"][0]["last"], listed.json()["next_cursor"]) == ("41111999", "")
    assert shown.json()["ranges"] == listed.json()["items"]
    assert (tables.json()["items"][0]["version"], tables.json()["items"][0]["ranges"]) == (1, 1)
    assert (unknown.status_code, unknown.json()["code"]) == (404, "bin_range_not_found")
    assert (whole.status_code, whole.json()["field"]) == (400, "bin")
    assert "4111111111111111" not in whole.json()["detail"]
    assert (older.status_code, older.json()["code"]) == (404, "bin_table_version_not_found")
    assert ruled.json()["rule"] == made.json()["id"]
    assert ruled.json()["issuer"] == {"country": "KZ", "funding": "debit", "bin_table_version": 1}
    assert not_known.json()["rule"] == ""
    assert [one["rule"] for one in not_known.json()["undecided"]] == [made.json()["id"]]


@pytest.mark.parametrize(
    ("change", "code", "field"),
    [
        ({"position": -1}, "invalid_field", "position"),
        ({"action": {"adapters": []}}, "invalid_field", "action.adapters"),
        ({"action": {"adapters": [{"adapter": "A b"}]}}, "invalid_field", "action.adapters[0].adapter"),
        ({"action": {"adapters": [{"adapter": "a"}], "way": "luck"}}, "invalid_field", "action.way"),
        ({"conditions": {"bin": ["4"]}}, "unknown_field", "conditions.bin"),
        ({"conditions": {"issuer_countries": ["kz"]}}, "invalid_field", "conditions.issuer_countries[0]"),
        ({"conditions": {"funding": ["unknown"]}}, "invalid_routing_rule", "conditions.funding"),
        ({"conditions": {"bins": ["4x"]}}, "invalid_field", "conditions.bins[0]"),
        ({"conditions": {"amount_to": 5}}, "invalid_routing_rule", "conditions.currencies"),
    ],
)
async def test_a_bad_rule_is_refused_naming_the_field(
    desk: Desk, change: dict[str, Any], code: str, field: str
) -> None:
    refused = await desk.http.post("/v1/routing/rules", json={**RULE, **change})

    assert (refused.status_code, refused.json()["code"], refused.json()["field"]) == (400, code, field)


async def test_a_whole_card_number_is_no_question(desk: Desk) -> None:
    refused = await desk.http.post("/v1/routing/explain", json={**QUESTION, "bin": "4111111111111111"})

    assert (refused.status_code, refused.json()["field"]) == (400, "bin")
    assert "4111111111111111" not in refused.text


async def test_a_partner_is_not_let_in(desk: Desk) -> None:
    for method, path, body in (
        ("GET", "/v1/routing/rules", None),
        ("POST", "/v1/routing/rules", RULE),
        ("POST", "/v1/routing/explain", QUESTION),
        ("GET", "/v1/routing/bins", None),
        ("GET", "/v1/routing/bins/411111", None),
        ("GET", "/v1/routing/bin-tables", None),
    ):
        refused = await desk.http.request(method, path, json=body, headers={"Authorization": ""}, auth=("key_1", "s"))
        assert refused.status_code == 403
