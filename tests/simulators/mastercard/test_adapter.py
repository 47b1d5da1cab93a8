"""The suite that every adapter must pass, over the Mastercard simulator."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field

import pytest

from shanraq.adapters.endpoints import Endpoints
from shanraq.adapters.mastercard import MastercardAdapter, MastercardConfiguration
from shanraq.core.breaker import BreakerLimits
from shanraq.core.http import HttpClient
from shanraq.core.ids import new_id
from shanraq.core.money import Money
from shanraq.core.secret import Pan, Secret, SecurityCode
from shanraq.payments.adapter import (
    Approved,
    Authorize,
    Capture,
    Card,
    Credit,
    Increment,
    Refund,
    Reverse,
    Unknown,
    Verify,
)
from shanraq.simulators.mastercard import MastercardCredentials, MastercardSimulator
from tests.conformance.adapter_suite import AMOUNT, AdapterSuite, World, operation_id

TROUBLES = ("garbage", "http_502", "server_failed", "slow")


@dataclass
class SimulatorWorld:
    """The simulator as the suite's world. Test cards are told apart by their expiry, as at the real gateway."""

    simulator: MastercardSimulator
    good_card: str = "01/39"
    review_card: str | None = None
    risk_declined_card: str | None = None
    can_be_asked: bool = True
    troubles: tuple[str, ...] = TROUBLES
    partial_amount: Money | None = None
    declining_cards: Mapping[str, str] = field(
        default_factory=lambda: {"05/39": "do_not_honor", "04/27": "expired_card", "02/37": "do_not_honor"}
    )

    def lose_next_answer(self, *, processed: bool) -> None:
        self.simulator.fail_next("drop_after" if processed else "drop_before")

    def fail_next(self, kind: str) -> None:
        self.simulator.fail_next(kind, seconds=1.5, processed=True)

    def _order(self, reference: str) -> dict[str, int]:
        return next((one for one in self.simulator.orders() if one["order_id"] == reference), {})

    def authorizations(self, reference: str) -> int:
        return sum(
            one["order_id"] == reference
            and one["type"] in ("AUTHORIZATION", "PAYMENT")
            and one["approved"]
            and not one["voided"]
            for one in self.simulator.journal()
        )

    def captured(self, reference: str) -> int:
        return self._order(reference).get("captured_minor", 0)

    def refunded(self, reference: str) -> int:
        return self._order(reference).get("refunded_minor", 0)

    def held(self, reference: str) -> int:
        return self._order(reference).get("authorized_minor", 0) - self.captured(reference)

    async def index_catches_up(self) -> None:
        """There is no index."""


@pytest.fixture
async def world() -> AsyncIterator[SimulatorWorld]:
    async with MastercardSimulator(MastercardCredentials.generate()) as simulator:
        yield SimulatorWorld(simulator)


def adapter_at(url: str, credentials: MastercardCredentials) -> MastercardAdapter:
    configuration = MastercardConfiguration(credentials.merchant_id, Secret(credentials.password), timeout_seconds=1.0)
    # The suite makes trouble in a row: a breaker would answer in the gateway's place.
    endpoints = Endpoints(HttpClient(), (url,), limits=BreakerLimits(failures_in_a_row=100, window_requests=1000))
    return MastercardAdapter(configuration, endpoints)


@pytest.fixture
async def adapter(world: SimulatorWorld) -> AsyncIterator[MastercardAdapter]:
    made = adapter_at(world.simulator.base_url, world.simulator.credentials)
    yield made
    await made.close()


@pytest.fixture
async def unreachable(world: SimulatorWorld) -> AsyncIterator[MastercardAdapter]:
    made = adapter_at("http://127.0.0.1:9", world.simulator.credentials)
    yield made
    await made.close()


class TestMastercardSimulator(AdapterSuite):
    """Mastercard's adapter and simulator, with real HTTP."""

    def command(
        self, world: World, amount: Money = AMOUNT, *, number: str | None = None, capture: bool = False
    ) -> Authorize:
        month, year = (number or world.good_card).split("/")
        card = Card(Pan("5123450000000008"), int(month), 2000 + int(year), SecurityCode("100"))
        return Authorize(operation_id(), new_id("pay"), amount, card, capture)

    @pytest.mark.parametrize("expiry", ["08/28", "01/37", "05/37"])
    async def test_expiries_that_make_trouble_are_unknown(
        self, adapter: MastercardAdapter, world: SimulatorWorld, expiry: str
    ) -> None:
        assert isinstance(await adapter.authorize(self.command(world, number=expiry)), Unknown)

    async def test_increments_credits_and_checks_of_cards(
        self, adapter: MastercardAdapter, world: SimulatorWorld
    ) -> None:
        card = Card(Pan("5123450000000008"), 1, 2039)
        start = Authorize(operation_id(), new_id("pay"), AMOUNT, card, estimated=True)
        held = await adapter.authorize(start)
        assert isinstance(held, Approved)
        total = Money(AMOUNT.minor + 500, AMOUNT.currency)
        more = await adapter.increment(
            Increment(operation_id(), start.reference, held.gateway_id, Money(500, AMOUNT.currency), total)
        )
        assert isinstance(more, Approved)
        assert world.held(start.reference) == total.minor
        credit = await adapter.credit(Credit(operation_id(), new_id("pay"), AMOUNT, card))
        assert isinstance(credit, Approved)
        good = await adapter.verify(Verify(operation_id(), new_id("ver"), Money(0, AMOUNT.currency), card))
        assert isinstance(good, Approved)

    async def test_what_is_captured_refunded_and_released_adds_up(
        self, adapter: MastercardAdapter, world: SimulatorWorld
    ) -> None:
        start = self.command(world)
        held = await adapter.authorize(start)
        assert isinstance(held, Approved)
        third = Money(AMOUNT.minor // 3, AMOUNT.currency)
        took = await adapter.capture(Capture(operation_id(), start.reference, held.gateway_id, third, final=False))
        assert isinstance(took, Approved)
        back = await adapter.refund(Refund(operation_id(), start.reference, took.gateway_id, Money(7, third.currency)))
        assert isinstance(back, Approved)
        assert (world.captured(start.reference), world.refunded(start.reference)) == (third.minor, 7)
        other = self.command(world)
        assert isinstance(await adapter.authorize(other), Approved)
        released = await adapter.reverse(Reverse(operation_id(), other.reference, other.operation_id, AMOUNT))
        assert isinstance(released, Approved)
        assert world.held(other.reference) == 0
