from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

import pytest

from shanraq import accounts, ledger, settlement
from shanraq.accounts import SystemAccount
from shanraq.core.actor import SYSTEM, Actor, ActorKind, Environment
from shanraq.core.db import Database
from shanraq.core.money import Currency, Money
from shanraq.core.page import PageRequest
from shanraq.payments import Operation, Payment, list_operations
from shanraq.settlement import LineKind, SettlementLine, Sources, Terms
from tests.payments.conftest import Shop, open_shop
from tests.settlement.acquirer import Acquirer, line

KZT = Currency.of("KZT")
TODAY = date(2026, 11, 26)
YESTERDAY = TODAY - timedelta(days=1)
SANDBOX = Environment.SANDBOX


def operator(name: str = "aigerim") -> Actor:
    return Actor(
        kind=ActorKind.OPERATOR,
        id=f"opr_{name}",
        scopes=frozenset({"settlement:read", "settlement:write", "disputes:read"}),
        request_id=f"req_{name}",
    )


@dataclass
class Desk:
    """A shop, its acquirer, and the people who look after settlement."""

    shop: Shop
    acquirer: Acquirer = field(default_factory=Acquirer)
    terms: Terms = field(default_factory=Terms)
    lines: int = 0

    @property
    def db(self) -> Database:
        return self.shop.bank.db

    @property
    def sources(self) -> Sources:
        return Sources.of({SANDBOX: {"fake": self.acquirer}}, self.terms)

    async def settle(self) -> int:
        return await settlement.settle(self.db, self.sources)

    async def fetch(self, day: date = YESTERDAY) -> settlement.SettlementDay:
        return await settlement.fetch_day(self.db, self.sources, SANDBOX, "fake", day)

    async def captured(self, amount: int = 1000, key: str = "") -> tuple[Payment, Operation]:
        """Take a payment; return it with the operation that the acquirer settles."""
        self.lines += 1
        given = await self.shop.authorize(amount, key or f"sale-{self.lines}", capture=True)
        return given.value, (await self.operations(given.value.id))[-1]

    async def refunded(self, payment_id: str, amount: int) -> Operation:
        self.lines += 1
        await self.shop.refund(payment_id, amount, f"refund-{self.lines}")
        return (await self.operations(payment_id))[-1]

    async def operations(self, payment_id: str) -> list[Operation]:
        return await list_operations(self.db, self.shop.bank.actor, payment_id)

    def line(
        self,
        payment: Payment,
        operation: Operation | None = None,
        kind: LineKind = LineKind.CAPTURE,
        amount: int | None = None,
        *,
        day: date = YESTERDAY,
        currency: str = "KZT",
        fees: tuple[int, int, int] = (0, 0, 0),
        **keys: str,
    ) -> SettlementLine:
        """Report a line of a payment; by all keys unless some are given."""
        self.lines += 1
        minor = amount if amount is not None else operation.amount if operation else payment.amount
        names = keys or {
            "reference": payment.id,
            "gateway_id": operation.gateway_id if operation else "",
            "operation_id": operation.id if operation else "",
        }
        made = line(kind, Money.of(minor, currency), line_id=f"line-{self.lines}", day=day, fees=fees, keys=names)
        self.acquirer.add(day, made)
        return made

    async def held(self, which: SystemAccount, currency: str = "KZT") -> int:
        """Return the debit balance of a system account."""
        owner = self.shop.bank.actor
        async with self.db.begin(SYSTEM.acting_for(owner.partner_id, SANDBOX, owner.book)) as tx:
            account = await accounts.system_account(tx, which, Currency.of(currency))
            return (await ledger.balance(tx, account.number)).debit_balance

    async def states(self) -> dict[str, str]:
        """Return the states of all lines by the gateway's id."""
        async with self.db.begin(SYSTEM) as tx:
            rows = await tx.rows("SELECT line_id, state FROM settlement_line ORDER BY line_id")
        return {row["line_id"]: row["state"] for row in rows}

    async def exceptions(self, status: str = "open") -> list[settlement.SettlementException]:
        page = await settlement.list_exceptions(
            self.db, operator(), SANDBOX, PageRequest(limit=500), status=settlement.ExceptionStatus(status)
        )
        return list(page.items)

    async def resolve(self, exception_id: str, action: str, **terms: str) -> settlement.SettlementException:
        """Propose by one operator and approve by another."""
        new = settlement.NewResolution(action=settlement.ResolutionAction(action), reason="checked", **terms)
        proposed = await settlement.propose(self.db, operator(), exception_id, new)
        if action == "link":
            return proposed
        return await settlement.approve(self.db, operator("daniyar"), exception_id)

    async def events(self, kind: str) -> int:
        return (await self.shop.bank.events()).count(kind)

    async def proved(self) -> bool:
        """Tell whether ledger and settlement prove right."""
        async with self.db.begin(SYSTEM) as tx:
            return not await settlement.verify(tx) and not await ledger.verify(tx)

    def at(self, moment: datetime) -> None:
        self.db.clock = lambda: moment


@pytest.fixture
async def desk(database: Database) -> Desk:
    database.clock = lambda: datetime(2026, 11, 25, 12, tzinfo=UTC)
    return Desk(await open_shop(database))


MORNING = datetime(2026, 11, 26, 6, tzinfo=UTC)
