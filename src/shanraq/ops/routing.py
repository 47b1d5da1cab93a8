"""Routing from the command line, and the figures of endpoints for the metrics page."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from shanraq import partners, payments
from shanraq.adapters.endpoints import Pooled
from shanraq.core.actor import SYSTEM, Environment
from shanraq.core.breaker import BreakerState
from shanraq.core.db import Database
from shanraq.core.ids import new_id
from shanraq.core.money import Money
from shanraq.core.settings import Settings
from shanraq.ops.app import GATEWAYS, Announce, gateway_names, open_database
from shanraq.ops.migrate import migrate
from shanraq.payments.adapter import Adapter

_CONSOLE: Final = replace(SYSTEM, id="console", scopes=frozenset({partners.READ_ROUTES}))


async def explain(settings: Settings, question: payments.Facts, announce: Announce) -> payments.Routing:
    """Tell how a payment would be routed by the rules in the database and the payment systems in the settings.

    Circuit breakers are those of a running server: here every system that is set up counts as one that answers.
    """
    names = gateway_names(settings, question.environment)
    there = dict.fromkeys(names, True)
    order = payments.Gateways({}, settings.routing_order).own_order(names)
    lacks = frozenset(name for name in names if not payments.offers(GATEWAYS[name], question.operation))
    async with opened(settings, announce) as db:
        return await payments.explain_routing(db, _CONSOLE, question, there, order, lacks)


@asynccontextmanager
async def opened(settings: Settings, announce: Announce) -> AsyncIterator[Database]:
    """Open the database alone, brought up to date, with one connection."""
    async with open_database(settings, announce) as (owner_dsn, app_dsn, _):
        await migrate(owner_dsn, unsafe=settings.unsafe)
        db = await Database.connect(app_dsn, role=None if settings.database_owner_url else "shanraq_app", max_size=1)
        try:
            yield db
        finally:
            await db.close()


def question_of(
    *, environment: str, bin_: str, amount: int, currency: str, partner_id: str, payment_id: str, capture: bool,
    initiator: str, billing_country: str, operation: str = "payment",
) -> payments.Facts:  # fmt: skip
    """Return what is asked about, from the command line. Raises InvalidAmountError and the like."""
    return payments.Facts(
        payment_id=payment_id or new_id("pay"),
        partner_id=partner_id,
        environment=Environment(environment),
        bin=bin_[: payments.BIN_DIGITS],
        scheme=payments.scheme_of(bin_),
        amount=Money.positive(amount, currency),
        capture=capture,
        initiator=payments.Initiator(initiator),
        billing_country=billing_country,
        operation=payments.RoutedOperation(operation),
    )


def measure_endpoints(registry: CollectorRegistry, adapters: Mapping[Environment, Mapping[str, Adapter]]) -> None:
    """Show the endpoints of payment systems on the metrics page, as they are when it is read."""
    registry.register(_Endpoints(adapters))


class _Endpoints(Collector):
    def __init__(self, adapters: Mapping[Environment, Mapping[str, Adapter]]) -> None:
        self._adapters = adapters

    def describe(self) -> Iterator[Metric]:
        """Name the metrics without asking anybody."""
        yield from self._families()

    def collect(self) -> Iterator[Metric]:
        """Read the figures."""
        state, in_flight, requests, failures, opened = families = self._families()
        for environment, by_name in self._adapters.items():
            for name, adapter in by_name.items():
                if not isinstance(adapter, Pooled):
                    continue
                for figures in adapter.endpoints.snapshot():
                    labels = [environment.value, name, figures.base_url]
                    for each in BreakerState:
                        state.add_metric([*labels, each.value], float(figures.state is each))
                    in_flight.add_metric(labels, figures.in_flight)
                    requests.add_metric(labels, figures.requests)
                    failures.add_metric(labels, figures.failures)
                    opened.add_metric(labels, figures.times_opened)
        yield from families

    @staticmethod
    def _families() -> tuple[
        GaugeMetricFamily, GaugeMetricFamily, CounterMetricFamily, CounterMetricFamily, CounterMetricFamily
    ]:
        labels = ["environment", "adapter", "endpoint"]
        return (
            GaugeMetricFamily("shanraq_endpoint_circuit", "1 for the state of the circuit breaker.",
                              labels=[*labels, "state"]),
            GaugeMetricFamily("shanraq_endpoint_in_flight", "Requests without an answer yet.", labels=labels),
            CounterMetricFamily("shanraq_endpoint_requests", "Requests begun.", labels=labels),
            CounterMetricFamily("shanraq_endpoint_failures", "Requests that failed or met 502, 503 or 504.", labels=labels),
            CounterMetricFamily("shanraq_endpoint_circuit_opened", "How often the breaker opened.", labels=labels),
        )  # fmt: skip
