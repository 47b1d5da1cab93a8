"""Seeded lives of card payments over payment systems that lose, delay, repeat and refuse, with programs that die in between.

Each life is one payment: authorised or sold, in part, incremented, captured in pieces, refunded, voided; requests come twice,
at once, or out of order, and are cut off at any moment, as when the process dies, and repeated. Afterwards recovery runs until
nothing is open, and the books of the platform must be those of the payment systems, to the minor unit.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, Final, Protocol

import pytest

from shanraq import partners, payments
from shanraq.adapters.endpoints import Endpoints
from shanraq.adapters.mastercard import MastercardAdapter, MastercardConfiguration
from shanraq.adapters.visa import VisaAdapter, VisaConfiguration
from shanraq.core.actor import SYSTEM, Environment
from shanraq.core.breaker import BreakerLimits
from shanraq.core.crypto import Keyring
from shanraq.core.db import Database
from shanraq.core.errors import ShanraqError
from shanraq.core.http import HttpClient
from shanraq.core.secret import Pan, Secret, SecurityCode, luhn_valid
from shanraq.payments.adapter import Adapter
from shanraq.simulators.mastercard import MastercardCredentials, MastercardSimulator
from shanraq.simulators.visa import FaultKind, VisaCredentials, VisaSimulator
from tests.money_world import Bank

FULL: Final = os.environ.get("SHANRAQ_DRILL") == "full"
SCENARIOS: Final = int(os.environ.get("SHANRAQ_SCENARIOS", "10000" if FULL else "60"))
SEED: Final = int(os.environ.get("SHANRAQ_SEED", "20261126"))
SIDE_BY_SIDE: Final = 12
PATIENCE_SECONDS: Final = 240.0 if FULL else 90.0
LAG_SECONDS: Final = 0.05
TIMEOUT_SECONDS: Final = 0.3
# The platform's time goes faster than that of the payment systems, and so do its pauses before it looks again.
SPEED: Final = 10
BREAKER: Final = BreakerLimits(failures_in_a_row=6, open_seconds=0.05, longest_open_seconds=0.2)

# What a partner may be told of its own requests that meet each other, or what is left.
EXPECTED: Final = frozenset(
    {
        "payment_busy", "illegal_status", "refund_spans_captures", "amount_above_captured", "amount_above_authorized",
        "void_refused", "not_incrementable", "operation_not_supported", "retry_limit_reached", "contended",
    }
)  # fmt: skip
AGAIN: Final = frozenset(
    {"idempotency_key_in_use", "payment_busy", "contended", "database_unavailable", "outcome_unknown"}
)


class Side(Protocol):
    """A payment system of the drill, from behind."""

    @property
    def adapter(self) -> Adapter:
        """What the platform asks."""

    def trouble(self, dice: random.Random) -> None:
        """Let something go wrong with one of the next requests."""

    def calm(self) -> None:
        """Forget the troubles still to come."""

    def stands(self) -> dict[str, Counter[str]]:
        """Return for each payment: `approved` (authorisations that were ever approved), `standing`, `captured`, `refunded`."""


@dataclass
class VisaSide:
    """The Visa simulator and the adapter before it."""

    simulator: VisaSimulator
    adapter: VisaAdapter

    _KINDS = (
        FaultKind.DROP_BEFORE, FaultKind.DROP_AFTER, FaultKind.HTTP_502, FaultKind.HTTP_429, FaultKind.GARBAGE,
        FaultKind.SLOW, FaultKind.DUPLICATE,
    )  # fmt: skip

    def trouble(self, dice: random.Random) -> None:
        """Let something go wrong with one of the next requests."""
        self.simulator.fail_next(dice.choice(self._KINDS), seconds=2 * TIMEOUT_SECONDS, processed=dice.random() < 0.5)

    def calm(self) -> None:
        """Forget the troubles still to come."""
        self.simulator.clear_faults()

    def stands(self) -> dict[str, Counter[str]]:
        """Return what stands of each payment in the journal."""
        found: dict[str, Counter[str]] = {}
        for line in self.simulator.journal():
            one = found.setdefault(line["code"], Counter())
            approved = line["status"] in ("AUTHORIZED", "PARTIAL_AUTHORIZED", "AUTHORIZED_PENDING_REVIEW")
            if line["kind"] == "authorization" and approved:
                one["approved"] += 1
                one["standing"] += line["state"] not in ("VOIDED", "REVERSED")
                if line["sale"] and line["state"] != "VOIDED":
                    one["captured"] += line["amount_minor"]
            if line["kind"] in ("capture", "refund") and line["state"] not in ("VOIDED", "INVALID_REQUEST", "DECLINED"):
                one["captured" if line["kind"] == "capture" else "refunded"] += line["amount_minor"]
        return found


@contextlib.asynccontextmanager
async def visa_side() -> AsyncIterator[Side]:
    """Run the Visa simulator with idempotency switched on, so that a request the network repeats is one request."""
    async with VisaSimulator(VisaCredentials.generate(), index_lag_seconds=LAG_SECONDS) as simulator:
        simulator.idempotency = True
        made = simulator.credentials
        adapter = VisaAdapter(
            VisaConfiguration(
                simulator.base_url, made.merchant_id, made.key_id, Secret(made.secret),
                timeout_seconds=TIMEOUT_SECONDS, index_lag_seconds=LAG_SECONDS, breaker=BREAKER,
            ),
            HttpClient(),
        )  # fmt: skip
        try:
            yield VisaSide(simulator, adapter)
        finally:
            await adapter.close()


@dataclass
class MastercardSide:
    """The Mastercard simulator and the adapter before it."""

    simulator: MastercardSimulator
    adapter: MastercardAdapter

    _KINDS = (
        "drop_before", "drop_after", "http_502", "http_429", "garbage", "slow", "duplicate", "server_failed", "server_busy",
        "lock_failure",
    )  # fmt: skip

    def trouble(self, dice: random.Random) -> None:
        """Let something go wrong with one of the next requests."""
        self.simulator.fail_next(dice.choice(self._KINDS), seconds=2 * TIMEOUT_SECONDS, processed=dice.random() < 0.5)

    def calm(self) -> None:
        """Forget the troubles still to come."""
        self.simulator.clear_faults()

    def stands(self) -> dict[str, Counter[str]]:
        """Return what stands of each payment in the journal."""
        found: dict[str, Counter[str]] = {}
        for line in self.simulator.journal():
            one = found.setdefault(line["order_id"], Counter())
            if not line["approved"]:
                continue
            if line["type"] in ("AUTHORIZATION", "PAYMENT"):
                one["approved"] += 1
                one["standing"] += not line["voided"]
            if line["type"] in ("PAYMENT", "CAPTURE", "REFUND") and not line["voided"]:
                one["refunded" if line["type"] == "REFUND" else "captured"] += line["amount_minor"]
        return found


@contextlib.asynccontextmanager
async def mastercard_side() -> AsyncIterator[Side]:
    """Run the Mastercard simulator."""
    async with MastercardSimulator(MastercardCredentials.generate()) as simulator:
        made = simulator.credentials
        configuration = MastercardConfiguration(
            made.merchant_id, Secret(made.password), timeout_seconds=TIMEOUT_SECONDS
        )
        adapter = MastercardAdapter(configuration, Endpoints(HttpClient(), (simulator.base_url,), limits=BREAKER))
        try:
            yield MastercardSide(simulator, adapter)
        finally:
            await adapter.close()


def card_number(number: int) -> Pan:
    """Return a number of its own for each life, so that no scheme's retry limit ends the drill: Visa or Mastercard."""
    head = f"49{number:013d}" if number % 2 else f"53{number:013d}"
    return Pan(next(head + str(digit) for digit in range(10) if luhn_valid(head + str(digit))))


@dataclass
class Life:
    """One payment's life: what is asked, in which order, and what cuts it off."""

    acquiring: payments.Acquiring
    bank: Bank
    account: str
    sides: list[Side]
    number: int
    dice: random.Random
    told: Counter[str] = field(default_factory=Counter)
    keys: int = 0

    async def live(self) -> None:
        """Live it to the end."""
        card = await payments.tokenize(
            self.bank.db, self.acquiring.keyring, self.bank.actor, card_number(self.number),
            payments.NewCard(expiry_month=12, expiry_year=2031),
        )  # fmt: skip
        dice = self.dice
        new = payments.NewPayment(
            payment_method_id=card.value.id, account_id=self.account, currency="KZT", reference=str(self.number),
            amount=dice.choice((701_200, *[dice.randint(100, 90_000)] * 9)), capture=dice.random() < 0.25,
            partial=dice.random() < 0.5, estimated=dice.random() < 0.3,
        )  # fmt: skip
        code = SecurityCode("123") if dice.random() < 0.5 else None
        payment = await self.ask(
            lambda key: payments.authorize(self.acquiring, self.bank.actor, key, new, code), self.key()
        )
        if payment is None:
            return
        for _ in range(dice.randint(0, 5)):
            steps = [self.step(payment.id) for _ in range(2 if dice.random() < 0.15 else 1)]
            await asyncio.gather(*steps)

    async def step(self, payment_id: str) -> None:
        """Ask for something that may or may not make sense now."""
        acquiring, actor, dice = self.acquiring, self.bank.actor, self.dice
        amount = dice.choice((None, dice.randint(1, 60_000)))
        key = self.key()
        match dice.choice(("capture", "capture", "part", "refund", "refund", "void", "increment")):
            case "capture":
                await self.ask(lambda k: payments.capture(acquiring, actor, k, payment_id, amount), key)
            case "part":
                part = dice.randint(1, 30_000)
                await self.ask(lambda k: payments.capture(acquiring, actor, k, payment_id, part, final=False), key)
            case "refund":
                await self.ask(lambda k: payments.refund(acquiring, actor, k, payment_id, amount), key)
            case "void":
                await self.ask(lambda k: payments.void(acquiring, actor, k, payment_id), key)
            case _:
                more = dice.randint(1, 20_000)
                await self.ask(lambda k: payments.increment(acquiring, actor, k, payment_id, more), key)

    async def ask(self, request: Callable[[str], Awaitable[Any]], key: str) -> payments.Payment | None:
        """Ask once or twice at once, perhaps cut off, and then as often as a client would, with the same key."""
        dice = self.dice
        if dice.random() < 0.4:
            dice.choice(self.sides).trouble(dice)
        if dice.random() < 0.25:
            await self.cut_off(request, key)
        if dice.random() < 0.1:
            await asyncio.gather(*(self.once(request, key) for _ in range(3)))
        for _ in range(400):
            answer = await self.once(request, key)
            if not isinstance(answer, str) or answer not in AGAIN:
                return answer if isinstance(answer, payments.Payment) else None
            await asyncio.sleep(0.1)
        self.told["gave up"] += 1
        return None

    async def once(self, request: Callable[[str], Awaitable[Any]], key: str) -> payments.Payment | str:
        """Ask once; returns the payment, or the code of the refusal."""
        try:
            payment: payments.Payment = (await request(key)).value
        except ShanraqError as error:
            self.told[error.code] += 1
            if error.code not in EXPECTED | AGAIN:
                raise
            return error.code
        return payment

    async def cut_off(self, request: Callable[[str], Awaitable[Any]], key: str) -> None:
        """Begin, and die at some moment: nothing of the process's memory is left."""
        dying = asyncio.ensure_future(request(key))
        for _ in range(self.dice.randint(0, 60)):
            if dying.done():
                break
            await asyncio.sleep(0 if self.dice.random() < 0.8 else 0.002)
        dying.cancel()
        with contextlib.suppress(asyncio.CancelledError, ShanraqError):
            await dying
        self.told["cut off"] += 1

    def key(self) -> str:
        """Return a new idempotency key."""
        self.keys += 1
        return f"{self.number}-{self.keys}"


async def route_by_scheme(database: Database) -> None:
    """Send Mastercard's cards to its gateway first, others to Visa's, and each to the other one where nothing moved."""
    for position, (schemes, targets) in enumerate(
        ((("mastercard",), ("mastercard", "visa")), ((), ("visa", "mastercard")))
    ):
        await payments.create_routing_rule(
            database,
            replace(SYSTEM, scopes=frozenset({partners.ROUTE})),
            payments.NewRoutingRule(
                name=f"to {targets[0]}",
                position=position,
                conditions=payments.Conditions(schemes=list(schemes)),
                action=payments.RoutingAction(adapters=[payments.RoutingTarget(adapter=name) for name in targets]),
            ),
        )


@pytest.mark.drill
@pytest.mark.timeout(7200)
async def test_lives_of_card_payments_end_with_equal_books(database: Database) -> None:
    bank, keyring = Bank(database), Keyring.generate()
    async with contextlib.AsyncExitStack() as stack:
        sides: list[Side] = [
            await stack.enter_async_context(visa_side()),
            await stack.enter_async_context(mastercard_side()),
        ]
        gateways = payments.Gateways({Environment.SANDBOX: {side.adapter.name: side.adapter for side in sides}})
        for side in sides:
            side.adapter.settled_after *= SPEED
        began, clock = database.clock(), database.clock
        database.clock = lambda: began + (clock() - began) * SPEED
        acquiring = payments.Acquiring(database, keyring, gateways, timedelta(seconds=SPEED))
        await route_by_scheme(database)
        account = await bank.account()
        numbers = iter(range(SCENARIOS))
        told: Counter[str] = Counter()

        async def lives() -> None:
            for number in numbers:
                life = Life(acquiring, bank, account.id, sides, number, random.Random(SEED + number))
                await life.live()
                told.update(life.told)

        async def recover() -> None:
            while True:
                await payments.recover(acquiring)
                await asyncio.sleep(0.05)

        recovering = asyncio.create_task(recover())
        await asyncio.gather(*(lives() for _ in range(SIDE_BY_SIDE)))
        for side in sides:
            side.calm()
        deadline = asyncio.get_running_loop().time() + PATIENCE_SECONDS
        while await payments.oldest_unknown_seconds(database) and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.1)
        recovering.cancel()
        unknown = await payments.oldest_unknown_seconds(database)
        books: dict[str, Counter[str]] = {}
        for side in sides:
            for reference, seen in side.stands().items():
                books.setdefault(reference, Counter()).update(seen)
    async with database.begin(bank.actor) as tx:
        rows = await tx.rows("SELECT * FROM payment")
        open_ = await tx.rows("SELECT id, kind, adapter FROM payment_operation WHERE status IN ('sending', 'unknown')")

    sys.stdout.write(f"{len(rows)} payments: {dict(Counter(row['status'] for row in rows))}; told {dict(told)}\n")
    assert not open_, [dict(row) for row in open_[:5]]
    assert unknown == 0
    for row in rows:
        _agrees(row, books.get(row["id"], Counter()))
    assert set(books) <= {row["id"] for row in rows}
    posted, held, incoming = await bank.balance(account.id)
    assert posted == sum(seen["captured"] - seen["refunded"] for seen in books.values())
    assert held == 0
    assert incoming == sum(
        row["amount_authorized"] - row["amount_captured"]
        for row in rows
        if row["status"] in ("authorized", "partially_captured")
    )
    assert await bank.verified()


def _agrees(row: Any, seen: Counter[str]) -> None:
    """Compare what the platform says of a payment with what stands at the payment systems."""
    said = dict(row)
    assert row["status"] != "authorizing", said
    assert seen["standing"] <= 1, f"charged twice: {said} {seen}"
    assert 0 <= row["amount_refunded"] <= row["amount_captured"] <= row["amount_authorized"], said
    if row["status"] in ("voided", "failed"):
        assert (seen["captured"], seen["refunded"]) == (0, 0), f"{said} {seen}"
        assert seen["standing"] == 0, f"a hold stays on the card: {said} {seen}"
    else:
        assert (seen["captured"], seen["refunded"]) == (row["amount_captured"], row["amount_refunded"]), (
            f"{said} {seen}"
        )
