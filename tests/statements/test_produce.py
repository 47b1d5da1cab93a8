"""Reports that are made without being asked for: which, when, once."""

from __future__ import annotations

import asyncio
from datetime import date, timedelta
from typing import Any

import msgspec
import pytest

from shanraq import accounts, ledger, messages, statements
from shanraq.core.actor import SYSTEM
from shanraq.core.crypto import Keyring, SealBrokenError
from shanraq.core.db import Database
from tests.money_world import Bank, partner
from tests.statements.conftest import INSTITUTION, StillClock, balances, booked, texts
from tests.statements.test_reports import instruct, posting

DAY = date(2026, 11, 23)


async def produce_all(db: Database, keyring: Keyring) -> int:
    made = 0
    while some := await statements.produce(db, keyring, INSTITUTION):
        made += some
    return made


async def subscribe(bank: Bank, account_id: str, **wishes: Any) -> statements.AccountReports:
    return await statements.set_reports(bank.db, bank.actor, INSTITUTION, account_id, statements.ReportWishes(**wishes))


async def told(bank: Bank) -> list[statements.AccountReport]:
    """Return what the events told of reports, in order."""
    async with bank.db.begin(SYSTEM) as tx:
        rows = await tx.rows("SELECT data FROM event_outbox WHERE type = 'account.reported' ORDER BY id")
    return [msgspec.json.decode(row["data"], type=statements.AccountReport) for row in rows]


async def content(bank: Bank, keyring: Keyring, report: statements.AccountReport) -> bytes:
    async with bank.db.begin(bank.actor) as tx:
        kept = await messages.find(tx, report.message_id)
        raw = await messages.content(tx, keyring, report.message_id)
    assert (kept.definition, kept.direction, kept.party) == (report.definition, "out", "partner")
    assert texts(raw, "GrpHdr/MsgId") == [kept.message_id]
    return raw


async def test_bookings_are_notified_from_the_moment_it_was_asked_for(
    bank: Bank, clock: StillClock, keyring: Keyring
) -> None:
    account, other = await bank.account(100), await bank.source()
    await subscribe(bank, account.id, notifications=True)

    assert await produce_all(bank.db, keyring) == 0
    await bank.move(account.id, other.id, 3, hold=True)
    assert await produce_all(bank.db, keyring) == 0
    await bank.move(account.id, other.id, 4)
    await bank.move(account.id, other.id, 5)
    assert await produce_all(bank.db, keyring) == 1

    (report,) = await told(bank)
    assert booked(await content(bank, keyring, report)) == [("3", -4), ("4", -5)]
    assert (report.kind, report.day, report.entries) == ("notification", None, 2)
    assert (report.after_sequence, report.last_sequence) == (2, 4)
    assert (await statements.find_reports(bank.db, bank.actor, account.id)).notified_sequence == 4


async def test_a_notification_holds_a_thousand_bookings(bank: Bank, clock: StillClock, keyring: Keyring) -> None:
    account, other = await bank.account(), await bank.source()
    await subscribe(bank, account.id, notifications=True)
    for _ in range(3):
        await bank.move(other.id, account.id, 1)
    async with bank.db.begin(bank.actor) as tx:
        await ledger.post(tx, [posting(other, account, 1) for _ in range(999)])

    assert await produce_all(bank.db, keyring) == 2

    read = [booked(await content(bank, keyring, report)) for report in await told(bank)]
    assert [len(entries) for entries in read] == [1000, 2]
    assert [int(reference) for entries in read for reference, _ in entries] == list(range(1, 1003))


async def test_every_day_is_stated_once_also_those_that_passed_meanwhile(
    bank: Bank, clock: StillClock, keyring: Keyring
) -> None:
    account = await bank.account(100)
    await subscribe(bank, account.id, statements=True)
    assert await produce_all(bank.db, keyring) == 0

    clock.now += timedelta(days=3)
    made = await produce_all(bank.db, keyring)
    again = await produce_all(bank.db, keyring)

    assert (made, again) == (3, 0)
    reports = await told(bank)
    assert [report.day for report in reports] == [DAY + timedelta(days=number) for number in range(3)]
    first, *others = [balances(await content(bank, keyring, report)) for report in reports]
    assert first == {"OPBD": 0, "CLBD": 100}
    assert others == [{"OPBD": 100, "CLBD": 100}] * 2


async def test_intraday_reports_come_at_their_interval(bank: Bank, clock: StillClock, keyring: Keyring) -> None:
    account = await bank.account(100)
    await subscribe(bank, account.id, intraday_minutes=30)
    made = []

    for minutes in (29, 1, 29, 1, 95):
        clock.now += timedelta(minutes=minutes)
        made.append(await produce_all(bank.db, keyring))

    assert made == [0, 1, 0, 1, 1]
    raws = [await content(bank, keyring, report) for report in await told(bank)]
    assert [balances(raw)["ITBD"] for raw in raws] == [100, 100, 100]
    assert len({identifier for raw in raws for identifier in texts(raw, "GrpHdr/MsgId")}) == 3


async def test_processes_side_by_side_make_each_report_once(bank: Bank, clock: StillClock, keyring: Keyring) -> None:
    other = await bank.source()
    opened = [await bank.account() for _ in range(4)]
    for account in opened:
        await subscribe(bank, account.id, notifications=True, statements=True, intraday_minutes=60)
        for amount in range(1, 6):
            await bank.move(other.id, account.id, amount)
    clock.now += timedelta(days=2)

    await asyncio.gather(*(produce_all(bank.db, keyring) for _ in range(4)))
    await produce_all(bank.db, keyring)

    reports = await told(bank)
    for account in opened:
        own = [report for report in reports if report.account_id == account.id]
        assert sorted(report.kind for report in own) == ["intraday", "notification", "statement", "statement"]
        assert sum(report.entries for report in own if report.kind == "notification") == 5


async def test_a_report_that_cannot_be_made_stops_no_other_and_is_made_later(
    bank: Bank, clock: StillClock, keyring: Keyring
) -> None:
    other = await bank.source()
    bad, good = await bank.account(), await bank.account()
    for account in (bad, good):
        await subscribe(bank, account.id, notifications=True)
        moved = await bank.move(other.id, account.id, 9)
        if account is bad:
            await instruct(bank, keyring, moved.id)
    strange = Keyring.generate()

    with pytest.raises(SealBrokenError):
        await statements.produce(bank.db, strange, INSTITUTION)
    before = [report.account_id for report in await told(bank)]
    await produce_all(bank.db, keyring)

    assert before == [good.id]
    assert [report.account_id for report in await told(bank)] == [good.id, bad.id]


async def test_what_is_switched_off_ends_and_begins_anew_later(bank: Bank, clock: StillClock, keyring: Keyring) -> None:
    account, other = await bank.account(), await bank.source()
    await subscribe(bank, account.id, notifications=True, statements=True, intraday_minutes=10)
    off = await subscribe(bank, account.id)
    await bank.move(other.id, account.id, 1)
    clock.now += timedelta(days=2)
    assert await produce_all(bank.db, keyring) == 0

    on = await subscribe(bank, account.id, notifications=True, statements=True)
    await bank.move(other.id, account.id, 2)
    clock.now += timedelta(days=1)
    await produce_all(bank.db, keyring)

    assert (off.notifications, off.statements, off.intraday_minutes) == (False, False, 0)
    assert (on.notified_sequence, on.statement_day) == (1, DAY + timedelta(days=1))
    notification, statement = await told(bank)
    assert booked(await content(bank, keyring, notification)) == [("2", 2)]
    assert statement.day == DAY + timedelta(days=2)
    assert balances(await content(bank, keyring, statement)) == {"OPBD": 1, "CLBD": 3}


async def test_nothing_was_asked_for_at_first(bank: Bank) -> None:
    account = await bank.account()

    found = await statements.find_reports(bank.db, bank.actor, account.id)

    assert not (found.notifications or found.statements or found.intraday_minutes)
    assert found.statement_day is None


async def test_others_neither_see_nor_set_it(bank: Bank, clock: StillClock, keyring: Keyring) -> None:
    account, other = await bank.account(), await bank.source()
    await subscribe(bank, account.id, notifications=True)
    await bank.move(other.id, account.id, 1)
    await produce_all(bank.db, keyring)
    (report,) = await told(bank)
    stranger = Bank(bank.db, partner(2))

    with pytest.raises(accounts.AccountNotFoundError):
        await statements.find_reports(bank.db, stranger.actor, account.id)
    with pytest.raises(accounts.AccountNotFoundError):
        await subscribe(stranger, account.id, statements=True)
    with pytest.raises(messages.MessageNotFoundError):
        await content(stranger, keyring, report)
