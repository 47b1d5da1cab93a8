"""The suite that every adapter must pass, over a small gateway with the rules of orders and transactions."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

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
    Declined,
    Finding,
    Lost,
    NotFound,
    NotProcessed,
    OperationKind,
    Outcome,
    Refund,
    Unknown,
)
from tests.adapters.scripted import Answered, Scripted, scripted
from tests.adapters.small_gateway import REVIEW, RISK, SmallGateway, answer_with, lose
from tests.conformance.adapter_suite import AMOUNT, AdapterSuite, World, operation_id

LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)
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


class Books:
    """What a platform believes of one payment: it asks, takes back what it cannot find, and counts what stands."""

    def __init__(self, adapter: MastercardAdapter, authorize: Authorize) -> None:
        self.adapter = adapter
        self.authorize = authorize
        self.authorized = self.captured = self.refunded = 0

    async def settle(
        self, command: Authorize | Capture | Refund, outcome: Outcome | Finding, kind: OperationKind
    ) -> int:
        """Return what an operation moved, in minor units, after recovery where that was needed."""
        taking_back = False
        for _ in range(20):
            match outcome:
                case Approved(_, amount):
                    return 0 if taking_back else amount.minor
                case Declined() | NotProcessed():
                    return 0
                case NotFound():
                    if taking_back:
                        return 0
                    taking_back = True
                case _:
                    pass
            lost = Lost(command.operation_id, command.reference, kind, command.amount, LONG_AGO, self.authorize.capture)
            outcome = await (self.adapter.undo(lost) if taking_back else self.adapter.inquire(lost))
        raise AssertionError(f"still unknown: {outcome}")


@pytest.mark.parametrize("seed", range(60))
async def test_after_any_trouble_our_books_are_the_gateways(
    adapter: MastercardAdapter, world: MastercardWorld, seed: int
) -> None:
    chance = random.Random(seed)
    card = Card(Pan("5123450000000008"), 1, 2039)
    sale = chance.random() < 0.3
    books = Books(adapter, Authorize(operation_id(), new_id("pay"), AMOUNT, card, capture=sale))

    def make_trouble() -> None:
        for _ in range(chance.choice((0, 0, 1, 1, 2))):
            trouble = chance.choice(("before", "after", "failed", "garbage", "undecided"))
            if trouble == "undecided":
                world.gateway.undecided_next = chance.random() < 0.5
            elif trouble in ("before", "after"):
                world.lose_next_answer(processed=trouble == "after")
            else:
                world.fail_next({"failed": "server_failed", "garbage": "garbage"}[trouble])

    make_trouble()
    outcome = await adapter.authorize(books.authorize)
    books.authorized = await books.settle(books.authorize, outcome, OperationKind.AUTHORIZE)
    books.captured = books.authorized if sale else 0
    reference, first = books.authorize.reference, books.authorize.operation_id
    for _ in range(6):
        make_trouble()
        amount = Money.of(chance.choice((100_000, 400_000, 900_000)), "KZT")
        if chance.random() < 0.5:
            capture = Capture(operation_id(), reference, first, amount, final=False)
            books.captured += await books.settle(capture, await adapter.capture(capture), OperationKind.CAPTURE)
        else:
            refund = Refund(operation_id(), reference, first, amount)
            books.refunded += await books.settle(refund, await adapter.refund(refund), OperationKind.REFUND)

    assert (books.captured, books.refunded) == (world.captured(reference), world.refunded(reference))
    assert books.refunded <= books.captured <= books.authorized
    assert world.authorizations(reference) == (1 if books.authorized else 0)
