"""Whatever acquirers report and whenever a process dies: every line has one state, sums agree, nothing is posted twice."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from shanraq import accounts, ledger, payments, settlement
from shanraq.accounts import SystemAccount
from shanraq.core.actor import SYSTEM, Actor
from shanraq.core.crypto import Keyring
from shanraq.core.db import Database, Tx
from shanraq.core.money import Currency, Money
from shanraq.core.page import PageRequest
from shanraq.core.secret import Pan
from shanraq.settlement import LineKind, ResolutionAction, SettlementLine
from tests.money_world import Bank, partner
from tests.payments.conftest import VISA
from tests.payments.gateway import Gateway
from tests.settlement.acquirer import Acquirer, line
from tests.settlement.conftest import SANDBOX, YESTERDAY, operator

NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)


class Killed(BaseException):
    """The process is gone: nothing that catches errors sees it."""


class DyingDatabase(Database):
    """A database whose process dies at its n-th transaction: before it begins, or when its work is done and not committed."""

    lives: int = 1 << 30
    after_work: bool = False

    @classmethod
    def like(cls, database: Database, lives: int, *, after_work: bool) -> DyingDatabase:
        dying = cls(database._pool, database.clock)
        dying.lives, dying.after_work = lives, after_work
        return dying

    @asynccontextmanager
    async def begin(self, actor: Actor) -> AsyncIterator[Tx]:
        self.lives -= 1
        if self.lives <= 0 and not self.after_work:
            raise Killed
        async with super().begin(actor) as tx:
            yield tx
            if self.lives <= 0:
                raise Killed


@dataclass(frozen=True, slots=True)
class Deal:
    """A payment: its amount, what is paid back of it, whether it is voided, and what the acquirer does wrong with each."""

    amount: int
    refund: int
    voided: bool
    fault: str
    refund_fault: str
    fees: tuple[int, int, int]


FAULTS = ["none"] * 5 + ["missing", "repeated", "twice", "amount", "currency", "net", "strange"]
fees = st.tuples(st.integers(-50, 200), st.integers(-10, 50), st.integers(0, 50))


@st.composite
def deals(draw: st.DrawFn) -> Deal:
    amount = draw(st.integers(1, 10**9))
    voided = draw(st.booleans()) and draw(st.booleans())
    refund = 0 if voided else draw(st.integers(0, amount))
    return Deal(amount, refund, voided, draw(st.sampled_from(FAULTS)), draw(st.sampled_from(FAULTS)), draw(fees))


@dataclass
class World:
    """One partner with a gateway and an acquirer of its own."""

    bank: Bank
    acquirer: Acquirer
    shop: payments.Acquiring
    account: accounts.Account
    card: payments.PaymentMethod
    expected: Counter[str]
    reported: dict[str, SettlementLine]

    @classmethod
    async def open(cls, database: Database) -> World:
        number = secrets.randbits(40) + 10
        bank, name = Bank(database, partner(number)), f"fake{number}"
        shop = payments.Acquiring(
            database,
            Keyring.generate(),
            payments.Gateways({SANDBOX: {name: Gateway(name)}}),
            timedelta(seconds=30),
        )
        card = await payments.tokenize(
            database, shop.keyring, bank.actor, Pan(VISA), payments.NewCard(expiry_month=12, expiry_year=2031)
        )
        return cls(bank, Acquirer(name), shop, await bank.account(), card.value, Counter(), {})

    @property
    def sources(self) -> settlement.Sources:
        return settlement.Sources.of({SANDBOX: {self.acquirer.name: self.acquirer}})

    async def make(self, number: int, deal: Deal) -> None:
        """Make a payment, and report it with its faults."""
        new = payments.NewPayment(
            payment_method_id=self.card.id,
            account_id=self.account.id,
            amount=deal.amount,
            currency="KZT",
            capture=number % 2 == 0,
        )
        payment = (await payments.authorize(self.shop, self.bank.actor, f"a{number}", new, None)).value
        if number % 2:
            await payments.capture(self.shop, self.bank.actor, f"c{number}", payment.id)
        if deal.refund:
            await payments.refund(self.shop, self.bank.actor, f"r{number}", payment.id, deal.refund)
        if deal.voided:
            await payments.void(self.shop, self.bank.actor, f"v{number}", payment.id)
        for operation in await payments.list_operations(self.bank.db, self.bank.actor, payment.id):
            if operation.kind == "refund":
                self.report(payment.id, operation, LineKind.REFUND, deal.refund_fault, deal.fees, voided=False)
            elif operation.kind == "capture" or (operation.kind == "authorize" and number % 2 == 0):
                self.report(payment.id, operation, LineKind.CAPTURE, deal.fault, deal.fees, voided=deal.voided)

    def report(
        self,
        payment_id: str,
        operation: payments.Operation,
        kind: LineKind,
        fault: str,
        fees: tuple[int, int, int],
        *,
        voided: bool,
    ) -> None:
        if fault == "missing":
            return
        keys = {"reference": payment_id, "gateway_id": operation.gateway_id, "operation_id": operation.id}
        told = line(
            kind,
            Money.of(operation.amount + (fault == "amount"), "USD" if fault == "currency" else "KZT"),
            line_id=f"{operation.id}/1",
            day=YESTERDAY,
            fees=fees,
            keys={} if fault == "strange" else keys,
        )
        if fault == "net":
            told = replace(told, net_minor=told.net_minor + 1)
        lines = [told]
        if fault == "repeated":
            lines.append(told)
        if fault == "twice":
            lines.append(replace(told, line_id=f"{operation.id}/2"))
        self.acquirer.add(YESTERDAY, *lines)
        self.reported.update({one.line_id: one for one in lines})
        by_fault = {
            "strange": ["missing_here"],
            "currency": ["currency_differs"],
            "amount": ["status_differs" if voided else "amount_differs"],
            "net": ["status_differs" if voided else "net_differs"],
            "twice": ["status_differs"] * 2 if voided else ["matched", "duplicate_line"],
        }
        self.expected.update(by_fault.get(fault, ["status_differs" if voided else "matched"]))

    async def settle(self, database: Database | None = None) -> None:
        await settlement.settle(database or self.bank.db, self.sources)

    async def states(self) -> dict[str, str]:
        async with self.bank.db.begin(SYSTEM) as tx:
            rows = await tx.rows("SELECT line_id, state FROM settlement_line WHERE adapter = $1", self.acquirer.name)
        return {row["line_id"]: row["state"] for row in rows}

    async def held(self, which: SystemAccount, currency: str = "KZT") -> int:
        actor = self.bank.actor
        async with self.bank.db.begin(SYSTEM.acting_for(actor.partner_id, SANDBOX, actor.book)) as tx:
            account = await accounts.system_account(tx, which, Currency.of(currency))
            return (await ledger.balance(tx, account.number)).debit_balance

    async def written(self) -> tuple[int, ...]:
        """Count what was written for the partner."""
        actor = self.bank.actor
        async with self.bank.db.begin(SYSTEM) as tx:
            return (
                await tx.value("SELECT count(*) FROM ledger_transfer WHERE book = $1", actor.book),
                await tx.value("SELECT count(*) FROM event_outbox WHERE partner_id = $1", actor.partner_id),
                await tx.value("SELECT count(*) FROM settlement_exception WHERE adapter = $1", self.acquirer.name),
            )

    async def write_off_everything(self) -> None:
        db, name = self.bank.db, self.acquirer.name
        page = await settlement.list_exceptions(
            db, operator(), SANDBOX, PageRequest(limit=500), adapter=name, status=settlement.ExceptionStatus.OPEN
        )
        for one in page.items:
            nobodys = one.kind in ("missing_here", "report_missing")
            action = ResolutionAction.IGNORE if nobodys else ResolutionAction.WRITE_OFF
            new = settlement.NewResolution(action=action, reason="the end of the drill")
            await settlement.propose(db, operator(), one.id, new)
            await settlement.approve(db, operator("daniyar"), one.id)


async def proved(database: Database) -> list[str]:
    async with database.begin(SYSTEM) as tx:
        return await settlement.verify(tx) + [str(one) for one in await ledger.verify(tx)]


@given(
    made=st.lists(deals(), max_size=5),
    deaths=st.lists(st.tuples(st.integers(1, 16), st.booleans()), max_size=3),
)
@settings(
    max_examples=25,
    deadline=None,
    # Every example is a world of its own in the database: making a failing one smaller would take longer than reading it.
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
async def test_every_line_ends_in_one_state_sums_agree_and_deaths_change_nothing(
    database: Database, made: list[Deal], deaths: list[tuple[int, bool]]
) -> None:
    database.clock = lambda: NOON
    world = await World.open(database)
    for number, deal in enumerate(made):
        await world.make(number, deal)
    world.acquirer.reports.setdefault(YESTERDAY, [])
    database.clock = lambda: NOON + timedelta(hours=20)
    for lives, after_work in deaths:
        try:
            await world.settle(DyingDatabase.like(database, lives, after_work=after_work))
        except Killed:
            # The lease of the dead is over before the next one looks.
            now = database.clock() + timedelta(minutes=11)
            database.clock = lambda now=now: now

    await world.settle()

    states = await world.states()
    assert states.keys() == world.reported.keys()
    assert Counter(states.values()) == world.expected
    posted = [world.reported[name] for name, state in states.items() if state == "matched"]
    assert await world.held(SystemAccount.SETTLEMENT) == sum(one.net_minor for one in posted)
    assert await world.held(SystemAccount.INTERCHANGE) == sum(one.interchange.minor for one in posted)
    figures = await settlement.day_figures(database, operator(), SANDBOX, world.acquirer.name, YESTERDAY)
    assert sum(one.net for one in figures.totals) == sum(one.net_minor for one in world.reported.values())
    assert figures.settled == (set(states.values()) <= {"matched"})
    assert await proved(database) == []
    before = await world.written()
    await world.settle()
    await settlement.fetch_day(database, world.sources, SANDBOX, world.acquirer.name, YESTERDAY)
    assert await world.written() == before, "the same report again changes nothing"
    later = NOON + timedelta(days=5)
    database.clock = lambda: later
    await world.settle()
    await world.write_off_everything()
    assert await world.held(SystemAccount.CARD_CLEARING) == 0
    assert await world.held(SystemAccount.CARD_CLEARING, "USD") == 0
    assert await proved(database) == []
