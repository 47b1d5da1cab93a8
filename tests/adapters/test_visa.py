from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from shanraq.adapters.visa import VisaAdapter, VisaConfiguration
from shanraq.core import log
from shanraq.core.http import HttpClient
from shanraq.core.money import Money
from shanraq.core.secret import Secret
from shanraq.payments.adapter import NotProcessed, OperationKind, Unknown
from shanraq.simulators.visa import FaultKind, VisaCredentials, VisaSimulator
from tests.conformance.adapter_suite import AdapterSuite, lost_of

LAG_SECONDS = 0.15


@dataclass
class VisaWorld:
    """The Visa simulator as the suite's world."""

    simulator: VisaSimulator
    good_card: str = "4111111111111111"
    review_card: str | None = "4000000480000001"
    risk_declined_card: str | None = "4000000482000009"
    can_be_asked: bool = True
    troubles: tuple[str, ...] = ("garbage", "http_502", "slow")
    partial_amount: Money | None = field(default_factory=lambda: Money.of(701_200, "KZT"))
    declining_cards: Mapping[str, str] = field(
        default_factory=lambda: {
            "4000000200000000": "avs_mismatch",
            "4000000201000009": "do_not_honor",
            "4000000202000008": "expired_card",
            "4000000203000007": "do_not_honor",
            "4000000204000006": "insufficient_funds",
            "4000000205000005": "stolen_or_lost",
            "4000000207000003": "issuer_unavailable",
            "4000000208000002": "not_permitted",
            "4000000209000001": "cvv_mismatch",
            "4000000210000008": "limit_exceeded",
            "4000000221000005": "risk_rejected",
            "4000000231000003": "invalid_account",
            "4000000232000002": "card_not_supported",
            "4000000233000001": "do_not_honor",
            "4000000234000000": "merchant_config",
            "4000000236000008": "processor_unavailable",
            "4000000400000008": "risk_rejected",
            "4000000475000008": "authentication_required",
            "4000000476000007": "authentication_failed",
            "4000000478000005": "authentication_required",
            "4000000481000000": "risk_rejected",
        }
    )

    def lose_next_answer(self, *, processed: bool) -> None:
        self.simulator.fail_next(FaultKind.DROP_AFTER if processed else FaultKind.DROP_BEFORE)

    def fail_next(self, kind: str) -> None:
        self.simulator.fail_next(kind, seconds=2.0)

    def authorizations(self, reference: str) -> int:
        return sum(
            line["code"] == reference
            and line["kind"] == "authorization"
            and line["state"] in ("AUTHORIZED", "PENDING", "TRANSMITTED")
            for line in self.simulator.journal()
        )

    def captured(self, reference: str) -> int:
        return self._sum(reference, lambda line: line["kind"] == "capture" or line["sale"])

    def refunded(self, reference: str) -> int:
        return self._sum(reference, lambda line: line["kind"] == "refund")

    def held(self, reference: str) -> int:
        authorized = sum(
            int(line["amount_minor"])
            for line in self.simulator.journal()
            if line["code"] == reference and line["kind"] == "authorization"
        )
        reversed_ = self._sum(reference, lambda line: line["kind"] == "reversal")
        return authorized - self.captured(reference) - reversed_

    def _sum(self, reference: str, counts: Callable[[dict[str, Any]], bool]) -> int:
        return sum(
            int(line["amount_minor"])
            for line in self.simulator.journal()
            if line["code"] == reference and line["state"] != "VOIDED" and counts(line)
        )

    async def index_catches_up(self) -> None:
        await asyncio.sleep(LAG_SECONDS * 1.5)


@pytest.fixture
async def world() -> AsyncIterator[VisaWorld]:
    async with VisaSimulator(VisaCredentials.generate(), index_lag_seconds=LAG_SECONDS) as simulator:
        yield VisaWorld(simulator)


def adapter_of(world: VisaWorld, **changes: object) -> VisaAdapter:
    credentials = world.simulator.credentials
    settings: dict[str, object] = {
        "base_url": world.simulator.base_url,
        "merchant_id": credentials.merchant_id,
        "key_id": credentials.key_id,
        "secret": Secret(credentials.secret),
        "timeout_seconds": 1.0,
        "index_lag_seconds": LAG_SECONDS,
        **changes,
    }
    return VisaAdapter(VisaConfiguration(**settings), HttpClient())  # type: ignore[arg-type]


@pytest.fixture
async def adapter(world: VisaWorld) -> AsyncIterator[VisaAdapter]:
    made = adapter_of(world)
    yield made
    await made.close()


@pytest.fixture
async def unreachable(world: VisaWorld) -> AsyncIterator[VisaAdapter]:
    made = adapter_of(world, base_url="http://127.0.0.1:9")
    yield made
    await made.close()


class TestVisa(AdapterSuite):
    """Visa over the CyberSource simulator, with real HTTP and real signatures."""

    async def test_wrong_credentials_are_a_matter_of_configuration(self, world: VisaWorld) -> None:
        wrong = adapter_of(world, secret=Secret("d3Jvbmc="))
        outcome = await wrong.authorize(self.command(world))
        healthy = await wrong.healthy()
        await wrong.close()

        assert isinstance(outcome, NotProcessed)
        assert (outcome.reason.kind, outcome.retryable, healthy) == ("configuration", False, False)

    @pytest.mark.parametrize("minor", [815_001, 815_102, 815_203, 819_900])
    async def test_amounts_that_make_trouble_are_unknown(
        self, adapter: VisaAdapter, world: VisaWorld, minor: int
    ) -> None:
        outcome = await adapter.authorize(self.command(world, Money.of(minor, "KZT")))

        assert isinstance(outcome, Unknown)

    async def test_a_request_repeated_on_the_way_counts_once_where_the_merchant_has_that(
        self, adapter: VisaAdapter, world: VisaWorld
    ) -> None:
        world.simulator.idempotency = True
        command = self.command(world)
        first, second = await adapter.authorize(command), await adapter.authorize(command)

        assert first == second
        assert world.authorizations(command.reference) == 1

    async def test_no_card_data_or_secret_is_logged_or_shown(self, adapter: VisaAdapter, world: VisaWorld) -> None:
        stream = io.StringIO()
        log.configure(stream=stream)
        try:
            await adapter.authorize(self.command(world))
            world.fail_next("garbage")
            await adapter.authorize(self.command(world))
            lost = lost_of(self.command(world), OperationKind.AUTHORIZE, sale=True)
            await adapter.inquire(lost)
            await adapter.undo(lost)
        finally:
            log.configure("warning")

        shown = stream.getvalue() + repr(adapter) + repr(self.command(world))
        assert shown.count("visa.answered") == 4
        assert lost.operation_id in shown
        assert "Bearer" not in shown
        assert world.good_card not in shown
        assert world.simulator.credentials.secret not in shown
        assert "'123'" not in shown
