"""The rows against the model: random scripts, then every balance replayed from the rows."""

from __future__ import annotations

import secrets
from dataclasses import replace

from hypothesis import HealthCheck, given, settings

from shanraq import ledger
from shanraq.core.db import Database
from shanraq.ledger import Transfer, store
from shanraq.ledger.model import nanoseconds_of
from tests.ledger.conftest import Book, MovableClock, partner
from tests.ledger.model import FIELDS, Model
from tests.ledger.scripts import ACCOUNTS, scripts


@given(script=scripts)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_the_rows_answer_and_store_as_the_model_does(
    database: Database, clock: MovableClock, script: list[list[Transfer] | int]
) -> None:
    database.clock = clock
    book = Book(database, clock, partner(secrets.randbits(40) + 1))
    await book.open(*ACCOUNTS)
    model = Model(2**63 - 1)
    for account in ACCOUNTS:
        model.open(account)
    for step in script:
        clock.move(0.001)
        if isinstance(step, int):
            clock.move(step)
            async with database.begin(book.actor) as tx:
                await ledger.expire_holds(tx)
            model.expire(nanoseconds_of(clock.now))
        else:
            answers = [status.name.lower() for status in await book.post(*step)]
            assert answers == model.batch(step, nanoseconds_of(clock.now))

    assert await book.findings() == []
    async with database.begin(book.actor) as tx:
        balances = await store.all_balances(tx, book.actor.book)
        transfers = await store.all_transfers(tx, book.actor.book)
        failed = {row[0] for row in await tx.rows("SELECT id FROM ledger_failed")}
        held = {row[0] for row in await tx.rows("SELECT id FROM ledger_hold")}
        pasts = {
            transfer.timestamp: await ledger.balances(tx, list(balances), at=ledger.instant_of(transfer.timestamp))
            for transfer in transfers[-1:]
        }
    assert {n: tuple(getattr(b, name) for name in b.__struct_fields__) for n, b in balances.items()} == model.balances()
    assert {t.id: {name: getattr(t, name) for name in FIELDS} for t in transfers} == {
        n: {name: t[name] for name in FIELDS} for n, t in model.transfers.items()
    }
    assert [t.timestamp for t in transfers] == [t["timestamp"] for t in model.transfers.values()]
    assert failed == model.burnt
    assert held == {n for n, t in model.transfers.items() if t["flags"] & 2 and n not in model.fate}
    assert all(past.keys() == balances.keys() for past in pasts.values())


@given(script=scripts)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_a_past_balance_is_what_the_balance_was_then(
    database: Database, clock: MovableClock, script: list[list[Transfer] | int]
) -> None:
    database.clock = clock
    book = Book(database, clock, partner(secrets.randbits(40) + 1))
    await book.open(*ACCOUNTS)
    seen = []
    for step in script:
        clock.move(0.001)
        if isinstance(step, int):
            clock.move(step)
            async with database.begin(book.actor) as tx:
                await ledger.expire_holds(tx)
        else:
            await book.post(*step)
        async with database.begin(book.actor) as tx:
            seen.append((clock.now, await store.all_balances(tx, book.actor.book)))

    async with database.begin(book.actor) as tx:
        for instant, balances in seen:
            assert await ledger.balances(tx, list(balances), at=instant) == balances


async def test_a_book_sees_nothing_of_another(book: Book, database: Database) -> None:
    await book.move(1, 2, 100)
    await book.post(Transfer(9, 1, 99, 1, ledger=1, code=1), Transfer(10, 1, 2, 1, ledger=1, code=1, flags=2))
    other = replace(book.actor, partner_id="prt_2", book=8)
    tables = ("ledger_account", "ledger_transfer", "ledger_hold", "ledger_failed")

    async with database.begin(other) as tx:
        rows = [await tx.value(f"SELECT count(*) FROM {table}") for table in tables]
        balances = await ledger.balances(tx, [1, 2])
        found = await ledger.transfers(tx, [1000])
        (result,) = await ledger.post(tx, [Transfer(1000, 1, 2, 5, ledger=1, code=1)])

    assert rows == [0, 0, 0, 0]
    assert balances == {}
    assert found == {}
    assert result.status is ledger.TransferStatus.DEBIT_ACCOUNT_NOT_FOUND
    async with database.begin(book.actor) as tx:
        assert [await tx.value(f"SELECT count(*) > 0 FROM {table}") for table in tables] == [True] * 4
