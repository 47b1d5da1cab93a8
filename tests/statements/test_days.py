"""Whatever happens on whatever days: every report is valid, chains with the one before, and equals the ledger to the tiyn."""

from __future__ import annotations

import secrets
from datetime import UTC, date, timedelta
from typing import NamedTuple

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shanraq import messages, statements, transactions
from shanraq.core.crypto import Keyring
from shanraq.core.db import Database
from shanraq.core.errors import ShanraqError
from shanraq.standards import iso20022
from tests.money_world import Bank, partner
from tests.statements.conftest import INSTITUTION, MONDAY, StillClock, balances, booked, joined, texts


class Step(NamedTuple):
    """Something that happens, so much later than what happened before."""

    hours: float
    what: str
    amount: int
    choice: int


MIDNIGHT = -1
"""Wait until the very instant at which the day ends."""
WHAT = (
    "in", "out", "hold", "hold", "hold in", "execute", "execute", "part", "release", "take back", "expire", "produce",
    "intraday",
)  # fmt: skip
STEPS = st.lists(
    st.builds(
        Step,
        st.sampled_from([0, 0, 0, 0, 0.5, 3, MIDNIGHT, MIDNIGHT, 26]),
        st.sampled_from(WHAT),
        st.integers(1, 10**12),
        st.integers(0, 10**6),
    ),
    min_size=6,
    max_size=30,
)


class World:
    """An account that things happen on, and what the ledger said at the end of each day."""

    def __init__(self, bank: Bank, clock: StillClock, keyring: Keyring) -> None:
        self.bank, self.clock, self.keyring = bank, clock, keyring
        self.closing: dict[date, int] = {}
        self.held: list[str] = []
        self.executed: list[str] = []
        self.intraday: list[bytes] = []

    async def open(self) -> None:
        self.account = await self.bank.source()
        self.other = await self.bank.source()
        await statements.set_reports(
            self.bank.db, self.bank.actor, INSTITUTION, self.account.id,
            statements.ReportWishes(notifications=True, statements=True),
        )  # fmt: skip

    @property
    def today(self) -> date:
        return INSTITUTION.day_of(self.clock.now)

    async def wait(self, hours: float) -> None:
        """Let time pass, and note how the account stands when a day ends."""
        now = self.clock.now + timedelta(hours=hours)
        if hours == MIDNIGHT:
            now = INSTITUTION.end_of(self.today).astimezone(UTC)
        while self.today < INSTITUTION.day_of(now):
            self.closing[self.today] = (await self.bank.balance(self.account.id))[0]
            self.clock.now = INSTITUTION.end_of(self.today).astimezone(UTC)
        self.clock.now = now

    async def step(self, step: Step) -> None:
        await self.wait(step.hours)
        bank, held, executed = self.bank, self.held, self.executed
        match step.what:
            case "in":
                executed.append((await bank.move(self.other.id, self.account.id, step.amount)).id)
            case "out":
                executed.append((await bank.move(self.account.id, self.other.id, step.amount)).id)
            case "hold" | "hold in":
                ends = (self.account.id, self.other.id) if step.what == "hold" else (self.other.id, self.account.id)
                held.append((await bank.move(*ends, step.amount, hold=True, hold_seconds=86_400)).id)
            case "expire":
                await transactions.expire_holds(bank.db)
            case "execute" | "part" if held:
                chosen = held.pop(step.choice % len(held))
                amount = 1 if step.what == "part" else None
                request = bank.request("transactions.execute")
                try:
                    await transactions.execute_transaction(bank.db, bank.actor, request, chosen, amount)
                    executed.append(chosen)
                except ShanraqError as error:
                    if error.code not in ("hold_expired", "illegal_status"):
                        raise
            case "release" if held:
                await self.roll_back(held.pop(step.choice % len(held)))
            case "take back" if executed:
                await self.roll_back(executed.pop(step.choice % len(executed)))
            case "produce":
                await self.produce()
            case "intraday":
                reader = statements.Reader(bank.db, self.keyring, INSTITUTION)
                raw = await joined(await reader.intraday(bank.actor, self.account.id))
                posted, reserved, _ = await bank.balance(self.account.id)
                assert (balances(raw)["ITBD"], balances(raw)["ITAV"]) == (posted, posted - reserved)
                self.intraday.append(raw)

    async def roll_back(self, transaction_id: str) -> None:
        request = self.bank.request("transactions.roll_back")
        try:
            await transactions.roll_back_transaction(self.bank.db, self.bank.actor, request, transaction_id)
        except ShanraqError as error:
            if error.code not in ("hold_expired", "illegal_status"):
                raise

    async def produce(self) -> None:
        while await statements.produce(self.bank.db, self.keyring, INSTITUTION):
            pass

    async def kept(self, definition: str) -> list[bytes]:
        """Return the messages of a definition that were made, oldest first."""
        found = []
        async with self.bank.db.begin(self.bank.actor) as tx:
            rows = await tx.rows("SELECT id FROM iso_message WHERE definition = $1 ORDER BY id", definition)
            for row in rows:
                message = await messages.find(tx, row["id"])
                partner_id = await tx.value("SELECT partner_id FROM iso_message WHERE id = $1", message.id)
                assert partner_id == self.bank.actor.partner_id
                found.append(await messages.content(tx, self.keyring, row["id"]))
        return found


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS, start=st.integers(0, 86_399))
async def test_reports_are_valid_chain_and_equal_the_ledger(
    database: Database, clock: StillClock, keyring: Keyring, steps: list[Step], start: int
) -> None:
    clock.now = MONDAY + timedelta(seconds=start)
    world = World(Bank(database, partner(secrets.randbits(40) + 1)), clock, keyring)
    await world.open()

    for step in steps:
        await world.step(step)
    await world.wait(25)
    await transactions.expire_holds(database)
    await world.produce()

    made = await world.kept("camt.053.001.08")
    days = [date.fromisoformat(texts(raw, "Stmt/Bal/Dt/Dt")[0]) for raw in made]
    assert days == sorted(world.closing)
    before = 0
    earlier: list[bytes] = []
    for number, (day, raw) in enumerate(zip(days, made, strict=True), 1):
        report = iso20022.validate(raw, as_of=clock.now, store=earlier[-1:])
        assert not report.findings
        assert texts(raw, "Stmt/ElctrncSeqNb") == [str(number)]
        assert balances(raw) == {"OPBD": before, "CLBD": world.closing[day]}
        before = world.closing[day]
        earlier.append(raw)
        again = statements.Reader(database, keyring, INSTITUTION)
        assert await joined(await again.statement(world.bank.actor, world.account.id, day)) == raw
    notified = await world.kept("camt.054.001.08")
    for raw in [*notified, *world.intraday]:
        assert not iso20022.validate(raw, as_of=clock.now).findings
    stream = [entry for raw in notified for entry in booked(raw)]
    stated = [entry for raw in made for entry in booked(raw)]
    assert stream[: len(stated)] == stated
    assert stream == stated
    assert sum(minor for _, minor in stream) == (await world.bank.balance(world.account.id))[0]
