"""A shop's days from its payments to its books: real adapters, real simulators, their real reports, real PostgreSQL."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any, Protocol

import msgspec
import pytest

from shanraq import accounts, ledger, payments, settlement
from shanraq.accounts import SystemAccount
from shanraq.adapters.endpoints import Endpoints
from shanraq.adapters.mastercard import MastercardAdapter, MastercardConfiguration
from shanraq.adapters.visa import VisaAdapter, VisaConfiguration
from shanraq.core.actor import SYSTEM
from shanraq.core.db import Database
from shanraq.core.http import HttpClient
from shanraq.core.ids import new_id
from shanraq.core.money import Money
from shanraq.core.page import PageRequest
from shanraq.core.secret import Pan, Secret, SecurityCode
from shanraq.payments.adapter import Approved, Authorize, Card
from shanraq.settlement import ExceptionStatus, FeeRule, Sources, Terms
from shanraq.settlement.port import Settles
from shanraq.simulators.mastercard import MastercardCredentials, MastercardSimulator
from shanraq.simulators.mastercard.disputes import Advance, NewDispute
from shanraq.simulators.mastercard.settle import lines_of
from shanraq.simulators.visa import VisaCredentials, VisaSimulator
from shanraq.simulators.visa.resources import FeeSchedule
from shanraq.simulators.visa.settle import settlement_of
from tests.payments.conftest import Shop, open_shop
from tests.settlement.conftest import KZT, SANDBOX, operator


class Clock:
    """The time of platform and payment system, which only goes when it is told to."""

    def __init__(self, now: datetime) -> None:
        self.now = now
        self.listeners: list[Callable[[float], None]] = []

    def __call__(self) -> datetime:
        return self.now

    def seconds(self) -> float:
        return self.now.timestamp()

    @property
    def day(self) -> date:
        return self.now.date()

    def go(self, by: timedelta) -> None:
        self.now += by
        for listener in self.listeners:
            listener(by.total_seconds())

    def tomorrow(self, hour: int) -> None:
        self.go((self.now + timedelta(days=1)).replace(hour=hour) - self.now)


@dataclass(frozen=True)
class Kept:
    """What an acquirer says of a line, in minor units: how much is paid out, and what is kept."""

    net: int
    interchange: int
    scheme: int
    processing: int


class Acquirer(Protocol):
    """A payment system from behind: what a shop cannot do, and the acquirer does."""

    @property
    def adapter(self) -> Any: ...

    async def close_batch(self) -> None: ...

    def lose_batch(self) -> None:
        """Lose what waits to be settled."""

    def misread(self, operation: payments.Operation, amount: int) -> None:
        """Take down another amount than was asked for."""

    def dispute(self, payment_id: str, operation: payments.Operation, amount: int) -> str: ...

    def advance(self, dispute_id: str, stage: str) -> None: ...

    def statement(self) -> list[Kept]:
        """Return all lines that were ever settled."""


@dataclass
class Mastercard:
    """The Mastercard simulator."""

    simulator: MastercardSimulator
    adapter: MastercardAdapter

    async def close_batch(self) -> None:
        closed = await self.adapter.close_batch("SIM_ACQUIRER", "MASTERCARD", "KZT")
        assert closed.done, closed

    def lose_batch(self) -> None:
        self.simulator.store.unsettled.clear()

    def misread(self, operation: payments.Operation, amount: int) -> None:
        (one,) = [one for one in self.simulator.store.unsettled if one.id == operation.id]
        one.amount = amount
        one.reply["transaction"]["amount"] = f"{amount // 100}.{amount % 100:02d}"

    def dispute(self, payment_id: str, operation: payments.Operation, amount: int) -> str:
        new = NewDispute(
            self.simulator.credentials.merchant_id, payment_id, amount, "4837", transaction_id=operation.id
        )
        return self.simulator.disputes.open(new).dispute_id

    def advance(self, dispute_id: str, stage: str) -> None:
        self.simulator.disputes.advance(Advance(dispute_id, stage.upper()))

    def statement(self) -> list[Kept]:
        return [
            Kept(line.net, line.fees.interchange, line.fees.scheme, line.fees.service)
            for batch in self.simulator.store.batches
            for line in lines_of(batch)
        ]


@asynccontextmanager
async def mastercard(clock: Clock, *, statement: bool = True) -> AsyncIterator[Mastercard]:
    """Run the Mastercard simulator with a password of its own for reports, and the adapter before it."""
    credentials = replace(MastercardCredentials.generate(), reporting_password="reports")
    async with MastercardSimulator(credentials, clock=clock.seconds) as simulator:
        configuration = MastercardConfiguration(
            credentials.merchant_id, Secret(credentials.password), Secret("reports"), statement=statement
        )
        adapter = MastercardAdapter(configuration, Endpoints(HttpClient(), (simulator.base_url,)), clock=clock)
        yield Mastercard(simulator, adapter)
        await adapter.close()


@dataclass
class Visa:
    """The Visa simulator."""

    simulator: VisaSimulator
    adapter: VisaAdapter

    async def close_batch(self) -> None:
        self.simulator.cut_off()

    def lose_batch(self) -> None:
        for record in self.simulator.store.pending():
            record.voided = True

    def misread(self, operation: payments.Operation, amount: int) -> None:
        record = self.simulator.store.records[operation.gateway_id]
        msgspec.structs.force_setattr(record.operation, "amount", amount)

    def dispute(self, payment_id: str, operation: payments.Operation, amount: int) -> str:
        opened = self.simulator.services.disputes.open(operation.gateway_id, "chargeback", "10.4", amount)
        return opened.dispute_id

    def advance(self, dispute_id: str, stage: str) -> None:
        self.simulator.services.disputes.advance(dispute_id, stage)

    def statement(self) -> list[Kept]:
        store = self.simulator.store
        lines = [settlement_of(record, batch) for batch in store.batches.values() for record in batch.records]
        return [
            Kept(
                line.net,
                line.interchange_rate + line.interchange_item,
                line.assessment,
                line.discount_rate + line.discount_item,
            )
            for line in lines
        ]


@asynccontextmanager
async def visa(clock: Clock) -> AsyncIterator[Visa]:
    """Run the Visa simulator and the adapter before it.

    Signatures are of the real time, so it is the simulated clock that goes with the platform's.
    """
    async with VisaSimulator(VisaCredentials.generate(), index_lag_seconds=0) as simulator:
        simulator.advance_clock(clock.seconds() - time.time())
        clock.listeners.append(simulator.advance_clock)
        simulator.set_fees(FeeSchedule(interchange_per_item=7, discount_per_item=11, refund_per_item=5))
        made = simulator.credentials
        configuration = VisaConfiguration(
            simulator.base_url, made.merchant_id, made.key_id, Secret(made.secret), index_lag_seconds=0
        )
        adapter = VisaAdapter(configuration, HttpClient())
        yield Visa(simulator, adapter)
        await adapter.close()


def last_week() -> Clock:
    """Return a clock at noon eight days ago: its days are over for whoever goes by the real time."""
    return Clock(datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0) - timedelta(days=8))


@dataclass
class World:
    """A shop at a payment system, and the platform's settlement of it."""

    shop: Shop
    acquirer: Acquirer
    clock: Clock
    terms: Terms
    keys: int = 0

    @property
    def db(self) -> Database:
        return self.shop.bank.db

    @property
    def name(self) -> str:
        return str(self.acquirer.adapter.name)

    def key(self) -> str:
        self.keys += 1
        return f"key-{self.keys}"

    async def sell(self, amount: int) -> payments.Payment:
        return (await self.shop.authorize(amount, self.key(), capture=True, code=SecurityCode("100"))).value

    async def hold(self, amount: int) -> payments.Payment:
        return (await self.shop.authorize(amount, self.key())).value

    async def capture(self, payment: payments.Payment, amount: int, *, final: bool) -> None:
        owner = self.shop.bank.actor
        await payments.capture(self.shop.acquiring, owner, self.key(), payment.id, amount, final=final)

    async def credit(self, amount: int) -> payments.Payment:
        new = payments.NewCredit(
            payment_method_id=self.shop.card.id, account_id=self.shop.account.id, amount=amount, currency="KZT"
        )
        return (await payments.credit(self.shop.acquiring, self.shop.bank.actor, self.key(), new)).value

    async def last(self, payment: payments.Payment) -> payments.Operation:
        return (await payments.list_operations(self.db, self.shop.bank.actor, payment.id))[-1]

    async def settle(self) -> None:
        adapter: Settles = self.acquirer.adapter
        await settlement.settle(self.db, Sources.of({SANDBOX: {self.name: adapter}}, self.terms))

    async def held(self, which: SystemAccount) -> int:
        owner = self.shop.bank.actor
        async with self.db.begin(SYSTEM.acting_for(owner.partner_id, SANDBOX, owner.book)) as tx:
            account = await accounts.system_account(tx, which, KZT)
            return (await ledger.balance(tx, account.number)).debit_balance

    async def fees_kept(self) -> Kept:
        return Kept(
            *[
                await self.held(which)
                for which in (
                    SystemAccount.SETTLEMENT,
                    SystemAccount.INTERCHANGE,
                    SystemAccount.SCHEME_FEES,
                    SystemAccount.PROCESSING_FEES,
                )
            ]
        )

    async def states(self) -> Counter[str]:
        async with self.db.begin(SYSTEM) as tx:
            return Counter(row["state"] for row in await tx.rows("SELECT state FROM settlement_line"))

    async def exceptions(self) -> dict[tuple[str, str | None], tuple[int | None, int | None]]:
        """Return the amounts here and there of what waits for a person, by kind and payment."""
        page = await settlement.list_exceptions(
            self.db, operator(), SANDBOX, PageRequest(limit=500), status=ExceptionStatus.OPEN
        )
        return {(str(one.kind), one.payment_id): (one.amount_here, one.amount_there) for one in page.items}

    async def figures(self, day: date) -> settlement.DayFigures:
        return await settlement.day_figures(self.db, operator(), SANDBOX, self.name, day)

    async def balance(self) -> int:
        return (await self.shop.balance())[0]

    async def proved(self) -> bool:
        async with self.db.begin(SYSTEM) as tx:
            return not await settlement.verify(tx) and not await ledger.verify(tx)


NUMBERS = {"mastercard": "5123450000000008", "visa": "4111111111111111"}


@asynccontextmanager
async def opened(
    database: Database, clock: Clock, acquiring: AbstractAsyncContextManager[Acquirer], terms: Terms | None = None
) -> AsyncIterator[World]:
    """Open a shop with a card on file at a payment system."""
    database.clock = clock
    async with acquiring as acquirer:
        shop = await open_shop(database)
        name = acquirer.adapter.name
        gateways = payments.Gateways({SANDBOX: {name: acquirer.adapter}})
        shop = await replace(shop, acquiring=replace(shop.acquiring, gateways=gateways)).with_card(NUMBERS[name])
        yield World(shop, acquirer, clock, terms or Terms())


def total(kept: list[Kept]) -> Kept:
    return Kept(*[sum(getattr(one, name) for one in kept) for name in ("net", "interchange", "scheme", "processing")])


async def trade(world: World) -> list[payments.Payment]:
    """Do what a shop does in a day: 18 953.00 are taken in five lines, 2500 and 1234 given back in two."""
    sale = await world.sell(10_007)
    parts = await world.hold(9_000)
    await world.capture(parts, 3_993, final=False)
    await world.capture(parts, 5_007, final=True)
    returned = await world.sell(6_001)
    await world.shop.refund(returned.id, 2_500, world.key())
    voided = await world.sell(7_000)
    await world.shop.void(voided.id, world.key())
    await world.hold(3_000)
    assert (await world.credit(1_234)).status == "paid"
    return [sale, parts, returned, voided]


async def test_mastercard_days_are_settled_to_the_minor_unit(database: Database) -> None:
    clock = Clock(datetime(2026, 11, 25, 12, tzinfo=UTC))
    # What the simulator keeps unless it is told otherwise: 120, 15 and 45 basis points, each rounded for itself.
    agreed = Terms(fees=(FeeRule(kind="capture", brand="mastercard", currency="KZT", basis_points=180, tolerance=1),))
    async with opened(database, clock, mastercard(clock), agreed) as world:
        await lives(world, chargeback_fee=500_000)


async def test_visa_days_are_settled_to_the_minor_unit(database: Database) -> None:
    clock = last_week()
    agreed = Terms(
        fees=(FeeRule(kind="capture", brand="visa", currency="KZT", basis_points=190, fixed=18, tolerance=1),)
    )
    async with opened(database, clock, visa(clock), agreed) as world:
        await lives(world, chargeback_fee=0)


async def lives(world: World, *, chargeback_fee: int) -> None:
    """A day of trade with differences planted, then a dispute that is taken, settled, won, and settled again."""
    clock, acquirer = world.clock, world.acquirer
    sale, *_ = await trade(world)
    sold = await world.last(sale)
    misread = await world.sell(8_000)
    acquirer.misread(await world.last(misread), 7_900)
    strange = Authorize(
        new_id("opr"), new_id("pay"), Money(4_444, KZT),
        Card(Pan(NUMBERS[world.name]), 12, 2031, SecurityCode("100")), capture=True,
    )  # fmt: skip
    assert isinstance(await acquirer.adapter.authorize(strange), Approved)
    day = clock.day
    await acquirer.close_batch()
    lost = await world.sell(5_500)
    acquirer.lose_batch()
    clock.tomorrow(6)

    await world.settle()

    assert await world.states() == {"matched": 6, "amount_differs": 1, "missing_here": 1}
    differences = {("amount_differs", misread.id): (8_000, 7_900), ("missing_here", None): (None, 4_444)}
    assert await world.exceptions() == differences
    told = acquirer.statement()
    assert len(told) == 8
    # Of the differences nothing is posted: they are the last two of the batch, a shop's other lines come before.
    assert await world.fees_kept() == total(told[:6])
    assert total(told[:6]).interchange > 0
    assert await world.held(SystemAccount.CARD_CLEARING) == 8_000 + 5_500
    (totals,) = (await world.figures(day)).totals
    assert (totals.captured, totals.refunded) == (10_007 + 9_000 + 6_001 + 7_900 + 4_444, -3_734)
    assert (totals.net, totals.posted_net) == (total(told).net, total(told[:6]).net)
    assert await world.proved()

    # A chargeback: taken from the shop at once, and from us with the next batch.
    before = await world.balance()
    dispute_id = acquirer.dispute(sale.id, sold, 4_000)
    clock.go(timedelta(minutes=20))
    await world.settle()
    (dispute,) = (await settlement.list_disputes(world.db, world.shop.bank.actor, PageRequest(limit=10))).items
    assert (dispute.payment_id, dispute.stage, dispute.amount, dispute.amount_taken) == (
        sale.id,
        "chargeback",
        4_000,
        4_000,
    )
    assert (dispute.dispute_id, dispute.respond_by is not None) == (dispute_id, True)
    assert await world.balance() == before - 4_000
    assert await world.held(SystemAccount.CHARGEBACKS) == -4_000
    assert (await world.shop.bank.events()).count("chargeback.received") == 1
    await acquirer.close_batch()
    clock.tomorrow(6)
    await world.settle()
    assert await world.held(SystemAccount.CHARGEBACKS) == 0
    kept = await world.fees_kept()
    assert kept.net == total(told[:6]).net - 4_000 - chargeback_fee
    assert kept.processing == total(told[:6]).processing + chargeback_fee

    # It is won: given back to the shop at once, and to us with the batch after.
    acquirer.advance(dispute_id, "won")
    clock.go(timedelta(minutes=20))
    await world.settle()
    assert await world.balance() == before
    assert await world.held(SystemAccount.CHARGEBACKS) == 4_000
    await acquirer.close_batch()
    clock.tomorrow(6)
    await world.settle()
    assert await world.held(SystemAccount.CHARGEBACKS) == 0
    assert (await world.fees_kept()).net == total(told[:6]).net - chargeback_fee

    # What the acquirer lost is missed after the days of grace, and so is what no line settles as it differs; nothing else is.
    clock.tomorrow(6)
    clock.tomorrow(6)
    await world.settle()
    missed = {("missing_there", lost.id): (5_500, None), ("missing_there", misread.id): (8_000, None)}
    assert await world.exceptions() == differences | missed
    assert await world.held(SystemAccount.CARD_CLEARING) == 8_000 + 5_500
    assert await world.proved()


@pytest.mark.parametrize("acquiring", [mastercard, visa])
async def test_a_day_without_differences_is_settled_and_leaves_nothing(
    database: Database, acquiring: Callable[[Clock], AbstractAsyncContextManager[Acquirer]]
) -> None:
    clock = last_week()
    async with opened(database, clock, acquiring(clock)) as world:
        await trade(world)
        day = clock.day
        await world.acquirer.close_batch()
        clock.tomorrow(6)

        await world.settle()
        await world.settle()

        assert await world.exceptions() == {}
        assert (await world.figures(day)).settled
        assert await world.held(SystemAccount.CARD_CLEARING) == 0
        assert await world.fees_kept() == total(world.acquirer.statement())
        assert (await world.shop.bank.events()).count("settlement.completed") == 1
        assert await world.proved()


async def test_the_history_settles_the_same_without_fees(database: Database) -> None:
    clock = Clock(datetime(2026, 11, 25, 12, tzinfo=UTC))
    async with opened(database, clock, mastercard(clock, statement=False)) as world:
        sale, *_ = await trade(world)
        await world.acquirer.close_batch()
        clock.tomorrow(13)

        await world.settle()

        assert await world.exceptions() == {}
        assert await world.states() == {"matched": 6}
        assert await world.held(SystemAccount.CARD_CLEARING) == 0
        assert await world.fees_kept() == Kept(10_007 + 9_000 + 6_001 - 3_734, 0, 0, 0)
        world.acquirer.dispute(sale.id, await world.last(sale), 100)
        clock.tomorrow(13)
        await world.settle()
        assert (await world.shop.bank.events()).count("chargeback.received") == 1
        assert await world.held(SystemAccount.CHARGEBACKS) == 0
        assert await world.proved()
