from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from shanraq import accounts
from shanraq.core.actor import Environment, MissingScopeError
from shanraq.core.db import Database
from shanraq.core.errors import InvalidInputError, NotFoundError
from shanraq.core.ids import InvalidIdError
from shanraq.core.lifecycle import IllegalMoveError
from shanraq.core.money import UnknownCurrencyError
from shanraq.core.page import PageRequest
from tests.money_world import Bank, partner, unknown_id


@pytest.fixture
def bank(database: Database) -> Bank:
    return Bank(database)


async def test_an_opened_account_is_active_and_empty(bank: Bank) -> None:
    account = await bank.account()

    found = await accounts.find_account(bank.db, bank.actor, account.id)
    assert found == account
    assert (account.status, account.kind, account.currency) == ("active", "partner", "KZT")
    assert await bank.balance(account.id) == (0, 0, 0)
    assert await bank.events() == ["account.created"]


async def test_refuses_an_unknown_currency_and_an_unknown_customer(bank: Bank) -> None:
    with pytest.raises(UnknownCurrencyError):
        await accounts.open_account(bank.db, bank.actor, accounts.NewAccount(currency="XXX"))
    with pytest.raises(NotFoundError) as refused:
        await accounts.open_account(
            bank.db, bank.actor, accounts.NewAccount(currency="KZT", customer_id=unknown_id("cus"))
        )

    assert refused.value.field == "customer_id"
    assert await bank.events() == []


async def test_a_reference_is_unique_within_partner_and_environment(bank: Bank) -> None:
    new = accounts.NewAccount(currency="KZT", reference="main")
    first = await accounts.open_account(bank.db, bank.actor, new)
    live = await accounts.open_account(bank.db, partner(1, Environment.LIVE), new)

    with pytest.raises(accounts.ReferenceTakenError):
        await accounts.open_account(bank.db, bank.actor, new)

    assert first.id != live.id


async def test_an_account_below_zero_needs_permission_in_live(bank: Bank) -> None:
    with pytest.raises(accounts.OverdraftNotAllowedError):
        await accounts.open_account(
            bank.db, partner(1, Environment.LIVE), accounts.NewAccount(currency="KZT", allow_negative=True)
        )


async def test_another_partner_and_the_other_environment_see_nothing(bank: Bank) -> None:
    account = await bank.account()

    for stranger in (partner(2), partner(1, Environment.LIVE)):
        with pytest.raises(accounts.AccountNotFoundError):
            await accounts.find_account(bank.db, stranger, account.id)
        assert (await accounts.list_accounts(bank.db, stranger, PageRequest())).items == ()


async def test_reading_and_writing_need_their_scopes(bank: Bank) -> None:
    from dataclasses import replace

    account = await bank.account()
    nobody = replace(bank.actor, scopes=frozenset())

    for call in (
        accounts.find_account(bank.db, nobody, account.id),
        accounts.list_accounts(bank.db, nobody, PageRequest()),
        accounts.account_balance(bank.db, nobody, account.id),
        accounts.account_statement(bank.db, nobody, account.id),
        accounts.open_account(bank.db, nobody, accounts.NewAccount(currency="KZT")),
        accounts.update_account(bank.db, nobody, account.id, accounts.AccountChange(version=1)),
        accounts.suspend_account(bank.db, nobody, account.id),
        accounts.close_account(bank.db, nobody, account.id),
    ):
        with pytest.raises(MissingScopeError):
            await call


async def test_an_update_needs_the_version_it_saw(bank: Bank) -> None:
    account = await bank.account()
    change = accounts.AccountChange(version=1, name="Касса", metadata={"till": "3"})

    after = await accounts.update_account(bank.db, bank.actor, account.id, change)
    with pytest.raises(accounts.VersionConflictError):
        await accounts.update_account(bank.db, bank.actor, account.id, change)

    assert (after.name, after.metadata, after.version, after.reference) == ("Касса", {"till": "3"}, 2, None)


async def test_suspension_can_be_lifted_and_closing_is_final(bank: Bank) -> None:
    account = await bank.account()
    suspended = await accounts.suspend_account(bank.db, bank.actor, account.id, "lost phone")
    resumed = await accounts.resume_account(bank.db, bank.actor, account.id)
    closed = await accounts.close_account(bank.db, bank.actor, account.id)

    with pytest.raises(IllegalMoveError):
        await accounts.resume_account(bank.db, bank.actor, account.id)

    assert [one.status for one in (suspended, resumed, closed)] == ["suspended", "active", "closed"]
    assert await bank.events() == ["account.created", "account.suspended", "account.updated", "account.updated"]


async def test_an_account_with_money_or_holds_cannot_be_closed(bank: Bank) -> None:
    rich, empty = await bank.account(100), await bank.account()
    await bank.move(rich.id, empty.id, 10, hold=True)

    for account in (rich, empty):
        with pytest.raises(accounts.AccountNotEmptyError):
            await accounts.close_account(bank.db, bank.actor, account.id)


async def test_lists_pages_newest_first_and_hides_system_accounts(bank: Bank) -> None:
    opened = [(await bank.account()).id for _ in range(5)]
    async with bank.db.begin(bank.actor) as tx:
        from shanraq.core.money import Currency

        await accounts.system_account(tx, accounts.SystemAccount.CARD_CLEARING, Currency.of("KZT"))

    first = await accounts.list_accounts(bank.db, bank.actor, PageRequest(limit=3))
    second = await accounts.list_accounts(bank.db, bank.actor, PageRequest.read(first.next_cursor, 3))

    assert [account.id for account in (*first.items, *second.items)] == opened[::-1]
    assert second.next_cursor == ""


async def test_a_system_account_is_opened_once(bank: Bank) -> None:
    from shanraq.core.money import Currency

    made = []
    for _ in range(2):
        async with bank.db.begin(bank.actor) as tx:
            made.append(await accounts.system_account(tx, accounts.SystemAccount.CARD_CLEARING, Currency.of("KZT")))

    assert made[0].id == made[1].id
    assert made[0].kind == "system"


async def test_balances_of_the_past_and_statements_follow_the_entries(bank: Bank) -> None:
    account, other = await bank.account(100), await bank.account()
    before = datetime.now(UTC)
    await bank.move(account.id, other.id, 30)
    held = await bank.move(account.id, other.id, 20, hold=True)

    past = await accounts.account_balance(bank.db, bank.actor, account.id, at=before)
    lines = await accounts.account_statement(bank.db, bank.actor, account.id)
    later = await accounts.account_statement(bank.db, bank.actor, account.id, after_sequence=1, limit=1)
    none = await accounts.account_statement(bank.db, bank.actor, account.id, since=before + timedelta(days=1))

    assert (past.posted, past.held) == (100, 0)
    assert await bank.balance(account.id) == (70, 20, 0)
    assert [(line.change, line.amount, line.posted_after, line.held_after) for line in lines] == [
        ("moved", 100, 100, 0), ("moved", -30, 70, 0), ("held", 0, 70, 20),
    ]  # fmt: skip
    assert lines[2].transaction_id == held.id
    assert lines[2].other_account == other.id
    assert later == lines[1:2]
    assert none == []


async def test_refuses_malformed_ids_and_limits(bank: Bank) -> None:
    account = await bank.account()

    with pytest.raises(InvalidIdError):
        await accounts.find_account(bank.db, bank.actor, "acc_1'; DROP TABLE account; --")
    with pytest.raises(InvalidInputError):
        await accounts.account_statement(bank.db, bank.actor, account.id, limit=0)
