from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from shanraq import partners, payments
from shanraq.adapters.endpoints import Endpoints
from shanraq.core.actor import SYSTEM, Actor, ActorKind, Environment
from shanraq.core.breaker import BreakerLimits
from shanraq.core.db import Database
from shanraq.core.http import HttpClient, HttpError, Request
from shanraq.core.settings import InvalidSettingError, MastercardSettings, Settings
from shanraq.ops.app import GATEWAYS, gateway_names, open_platform
from shanraq.ops.routing import explain, measure_endpoints, question_of
from shanraq.payments.adapter import Adapter
from tests.payments.gateway import Gateway

OPERATOR = Actor(kind=ActorKind.OPERATOR, id="opr_1", scopes=frozenset({partners.ROUTE}), request_id="req_o")


def quiet(_: str) -> None:
    pass


def question(environment: str = "sandbox", operation: str = "payment") -> payments.Facts:
    return question_of(
        environment=environment, bin_="411111", amount=5, currency="KZT", partner_id="", payment_id="pay_1", capture=False,
        initiator="customer", billing_country="", operation=operation,
    )  # fmt: skip


async def test_routing_is_explained_from_the_command_line(database: Database, owner_dsn: str, tmp_path: Path) -> None:
    settings = Settings(
        database_url=owner_dsn, data_dir=str(tmp_path), unsafe=True, log_level="error", card_gateway="card_host"
    )
    plain = await explain(settings, question(), quiet)
    rule = payments.NewRoutingRule(
        name="visa", position=1, action=payments.RoutingAction(adapters=[payments.RoutingTarget(adapter="visa")])
    )
    made = await payments.create_routing_rule(database, OPERATOR, rule)
    ruled = await explain(settings, question(), quiet)

    assert [candidate.adapter for candidate in plain.candidates] == ["card_host"]
    assert (ruled.rule, [candidate.adapter for candidate in ruled.candidates]) == (made.id, ["visa"])
    assert (await explain(settings, question("live"), quiet)).candidates == []


@pytest.mark.parametrize("operation", ["credit", "verification", "authentication"])
async def test_what_a_system_does_not_offer_is_explained_without_it(
    database: Database, owner_dsn: str, tmp_path: Path, operation: str
) -> None:
    settings = Settings(
        database_url=owner_dsn, data_dir=str(tmp_path), unsafe=True, log_level="error", card_gateway="card_host"
    )
    explained = await explain(settings, question(operation=operation), quiet)

    assert [candidate.adapter for candidate in explained.candidates] == ["visa", "mastercard"]
    assert [candidate.adapter for candidate in explained.passed_over] == ["card_host"]
    assert explained.passed_over[0].why.startswith("offers no ")


def test_every_name_has_its_class() -> None:
    everything = Settings(
        card_gateway="card_host", mastercard_sandbox=MastercardSettings(url="http://127.0.0.1:1")
    )  # fmt: skip

    assert set(gateway_names(everything, Environment.SANDBOX)) == set(GATEWAYS)
    assert gateway_names(Settings(mastercard_live=everything.mastercard_sandbox), Environment.LIVE) == ("mastercard",)


def test_the_names_are_those_of_what_is_set_up() -> None:
    assert gateway_names(Settings(), Environment.SANDBOX) == ("visa", "mastercard")
    assert gateway_names(Settings(card_gateway="card_host"), Environment.SANDBOX) == (
        "card_host", "visa", "mastercard",
    )  # fmt: skip
    assert gateway_names(Settings(), Environment.LIVE) == ()
    merchant = MastercardSettings(url="https://gateway.example")
    assert gateway_names(Settings(mastercard_live=merchant), Environment.LIVE) == ("mastercard",)


@pytest.mark.parametrize(("order", "text"), [(("visa", "nobody"), "nobody"), (("visa", "visa"), "twice")])
async def test_an_order_that_names_nobody_is_refused(
    owner_dsn: str, tmp_path: Path, order: tuple[str, ...], text: str
) -> None:
    settings = Settings(
        database_url=owner_dsn, data_dir=str(tmp_path), unsafe=True, log_level="error", routing_order=order
    )
    with pytest.raises(InvalidSettingError, match=text) as refused:
        async with open_platform(settings):
            pass

    assert refused.value.field == "routing_order"


class PooledGateway(Gateway):
    """A gateway with endpoints."""

    endpoints: Endpoints


async def test_endpoints_are_on_the_metrics_page() -> None:
    client = HttpClient()
    gateway = PooledGateway("a")
    gateway.endpoints = Endpoints(client, ("http://127.0.0.1:1",), limits=BreakerLimits(failures_in_a_row=1))
    registry = CollectorRegistry()
    adapters: Mapping[Environment, Mapping[str, Adapter]] = {
        Environment.SANDBOX: {"a": gateway, "plain": Gateway("plain")}
    }
    measure_endpoints(registry, adapters)
    with pytest.raises(HttpError):
        await gateway.endpoints.send(lambda base_url, host: Request("GET", base_url), 5)
    await client.close()
    page = generate_latest(registry).decode()

    labels = 'adapter="a",endpoint="http://127.0.0.1:1",environment="sandbox"'
    assert f'shanraq_endpoint_circuit{{{labels},state="open"}} 1.0' in page
    assert f'shanraq_endpoint_circuit{{{labels},state="closed"}} 0.0' in page
    assert f"shanraq_endpoint_requests_total{{{labels}}} 1.0" in page
    assert f"shanraq_endpoint_failures_total{{{labels}}} 1.0" in page
    assert f"shanraq_endpoint_circuit_opened_total{{{labels}}} 1.0" in page


async def test_outcomes_and_declines_are_forgotten_by_the_worker(database: Database) -> None:
    async with database.begin(SYSTEM) as tx:
        await tx.execute(
            """INSERT INTO routing_outcome VALUES ('sandbox', 'a', 'visa', 'approved', $1::timestamptz - interval '8 days'),
                                                  ('sandbox', 'a', 'visa', 'approved', $1)""",
            tx.now,
        )
        forgotten = await payments.forget(tx)
    recent = await payments.recent_outcomes(database)

    assert forgotten == 1
    assert recent == [("sandbox", "a", "visa", "approved", 1)]


async def test_only_what_guards_itself_is_probed() -> None:
    class Broken(Gateway):
        async def healthy(self) -> bool:
            raise RuntimeError("broken")

    # One that breaks does not keep the others from being asked.
    await payments.probe(payments.Gateways({Environment.SANDBOX: {"a": Broken("a"), "b": Gateway("b")}}))
