"""The suite that every adapter must pass, over a small gateway with the rules of orders and transactions."""

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
from shanraq.payments.adapter import Authorize, Card, Unknown
from tests.adapters.scripted import Answered, Scripted, scripted
from tests.adapters.small_gateway import REVIEW, RISK, SmallGateway, answer_with, lose
from tests.conformance.adapter_suite import AMOUNT, AdapterSuite, World, operation_id

TROUBLES = {
    "garbage": Answered(200, b"<html>"),
    "http_502": Answered(502, b"Bad Gateway"),
    "server_failed": Answered(500, {"result": "ERROR", "error": {"cause": "SERVER_FAILED"}}),
    "slow": Answered(0, after_seconds=1.5),
}


@dataclass
class MastercardWorld:
    """The small gateway as the suite's world. Test cards are told apart by their expiry, as at the real gateway."""

    gateway: SmallGateway
    server: Scripted
    good_card: str = "01/39"
    review_card: str | None = REVIEW
    risk_declined_card: str | None = RISK
    can_be_asked: bool = True
    troubles: tuple[str, ...] = tuple(TROUBLES)
    partial_amount: Money | None = field(default_factory=lambda: Money.of(701_200, "KZT"))
    declining_cards: Mapping[str, str] = field(
        default_factory=lambda: {
            "05/39": "do_not_honor", "04/27": "expired_card", "02/37": "do_not_honor", "09/37": "risk_rejected"}
    )  # fmt: skip

    def lose_next_answer(self, *, processed: bool) -> None:
        self.gateway.troubles.append(lose(processed=processed))

    def fail_next(self, kind: str) -> None:
        self.gateway.troubles.append(answer_with(TROUBLES[kind], processed=True))

    def authorizations(self, reference: str) -> int:
        order = self.gateway.orders.get(reference)
        moves = order.moves.values() if order is not None else ()
        return sum(one.type in ("AUTHORIZATION", "PAYMENT") and not one.voided and one.amount > 0 for one in moves)

    def captured(self, reference: str) -> int:
        return self._total(reference, "PAYMENT", "CAPTURE")

    def refunded(self, reference: str) -> int:
        return self._total(reference, "REFUND")

    def held(self, reference: str) -> int:
        return self._total(reference, "AUTHORIZATION") - self._total(reference, "CAPTURE")

    def _total(self, reference: str, *types: str) -> int:
        order = self.gateway.orders.get(reference)
        return int(order.total(*types) * 100) if order is not None else 0

    async def index_catches_up(self) -> None:
        """There is no index."""


@pytest.fixture
async def world() -> AsyncIterator[MastercardWorld]:
    gateway = SmallGateway("TESTMID")
    async with scripted(gateway.answer) as server:
        yield MastercardWorld(gateway, server)


def adapter_at(url: str) -> MastercardAdapter:
    configuration = MastercardConfiguration("TESTMID", Secret("f00dfeed"), timeout_seconds=1.0)
    # The suite makes trouble in a row: a breaker would answer in the gateway's place.
    endpoints = Endpoints(HttpClient(), (url,), limits=BreakerLimits(failures_in_a_row=100, window_requests=1000))
    return MastercardAdapter(configuration, endpoints)


@pytest.fixture
async def adapter(world: MastercardWorld) -> AsyncIterator[MastercardAdapter]:
    made = adapter_at(world.server.base_url)
    yield made
    await made.close()


@pytest.fixture
async def unreachable() -> AsyncIterator[MastercardAdapter]:
    made = adapter_at("http://127.0.0.1:9")
    yield made
    await made.close()


class TestMastercard(AdapterSuite):
    """Mastercard, with real HTTP."""

    def command(
        self, world: World, amount: Money = AMOUNT, *, number: str | None = None, capture: bool = False
    ) -> Authorize:
        month, year = (number or world.good_card).split("/")
        card = Card(Pan("5123450000000008"), int(month), 2000 + int(year), SecurityCode("100"))
        return Authorize(operation_id(), new_id("pay"), amount, card, capture)

    @pytest.mark.parametrize("expiry", ["08/28", "01/37", "05/37"])
    async def test_expiries_that_make_trouble_are_unknown(
        self, adapter: MastercardAdapter, world: MastercardWorld, expiry: str
    ) -> None:
        assert isinstance(await adapter.authorize(self.command(world, number=expiry)), Unknown)

    async def test_a_request_repeated_on_the_way_counts_once(
        self, adapter: MastercardAdapter, world: MastercardWorld
    ) -> None:
        command = self.command(world)
        first, second = await adapter.authorize(command), await adapter.authorize(command)

        assert first == second
        assert world.authorizations(command.reference) == 1
