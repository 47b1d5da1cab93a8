from __future__ import annotations

import asyncio

import pytest

from shanraq import accounts, p2p, transactions
from shanraq.core import once
from shanraq.core.actor import Environment
from shanraq.core.crypto import Keyring
from shanraq.core.db import Database
from shanraq.core.errors import ShanraqError
from shanraq.core.lifecycle import IllegalMoveError
from shanraq.core.money import CurrencyMismatchError, InvalidAmountError
from shanraq.core.page import PageRequest
from tests.customers import register
from tests.money_world import Bank, partner, unknown_id


@pytest.fixture
def bank(database: Database) -> Bank:
    return Bank(database)


async def two_customers(bank: Bank, balance: int = 100) -> tuple[accounts.Account, accounts.Account]:
    keyring = Keyring.generate()
    sender = await register(bank.db, keyring, bank.actor, "c-1")
    recipient = await register(bank.db, keyring, bank.actor, "c-2")
    return await bank.account(balance, customer_id=sender.id), await bank.account(customer_id=recipient.id)


def new(sender: str, recipient: str, amount: int = 10, currency: str = "KZT") -> p2p.NewP2PTransfer:
    return p2p.NewP2PTransfer(sender_account=sender, recipient_account=recipient, amount=amount, currency=currency)


async def test_money_goes_from_customer_to_customer(bank: Bank) -> None:
    sender, recipient = await two_customers(bank)

    given = await p2p.transfer(bank.db, bank.actor, "k", new(sender.id, recipient.id, 40))

    assert (given.value.status, given.replayed) == ("completed", False)
    assert await bank.balance(sender.id) == (60, 0, 0)
    assert await bank.balance(recipient.id) == (40, 0, 0)
    assert (await bank.events())[-4:] == [
        "transaction.created", "transaction.executed", "p2p_transfer.initiated", "p2p_transfer.completed",
    ]  # fmt: skip
    transaction = await transactions.find_transaction(bank.db, bank.actor, given.value.transaction_id)
    assert transaction.source == f"p2p_transfer/{given.value.id}"


async def test_one_key_transfers_once_however_often_it_comes_at_once(bank: Bank) -> None:
    sender, recipient = await two_customers(bank)

    given = await asyncio.gather(
        *(p2p.transfer(bank.db, bank.actor, "k", new(sender.id, recipient.id, 40)) for _ in range(6))
    )

    assert len({one.value.id for one in given}) == 1
    assert await bank.balance(recipient.id) == (40, 0, 0)


async def test_too_little_money_fails_the_transfer(bank: Bank) -> None:
    sender, recipient = await two_customers(bank)

    given = await p2p.transfer(bank.db, bank.actor, "k", new(sender.id, recipient.id, 101))

    assert (given.value.status, given.value.failure) == ("failed", "insufficient_funds")
    assert (await bank.events())[-1] == "p2p_transfer.failed"
    assert await bank.balance(sender.id) == (100, 0, 0)


async def test_refuses_what_cannot_be_meant_naming_the_field(bank: Bank) -> None:
    sender, recipient = await two_customers(bank)
    own = await bank.account(10)
    cases: list[tuple[p2p.NewP2PTransfer, type[ShanraqError], str | None]] = [
        (new(sender.id, sender.id), transactions.SameAccountError, "recipient_account"),
        (new(own.id, recipient.id), p2p.NotACustomerAccountError, "sender_account"),
        (new(sender.id, own.id), p2p.NotACustomerAccountError, "recipient_account"),
        (new(sender.id, unknown_id("acc")), accounts.AccountNotFoundError, "recipient_account"),
        (new(sender.id, recipient.id, currency="USD"), CurrencyMismatchError, "sender_account"),
        (new(sender.id, recipient.id, 0), InvalidAmountError, "amount"),
    ]

    for number, (wanted, error, field) in enumerate(cases):
        with pytest.raises(error) as refused:
            await p2p.transfer(bank.db, bank.actor, f"case-{number}", wanted)
        assert refused.value.field == field
    with pytest.raises(once.KeyMissingError):
        await p2p.transfer(bank.db, bank.actor, None, new(sender.id, recipient.id))
    assert await bank.balance(sender.id) == (100, 0, 0)


async def test_a_suspended_sender_cannot_send(bank: Bank) -> None:
    sender, recipient = await two_customers(bank)
    await accounts.suspend_account(bank.db, bank.actor, sender.id)

    with pytest.raises(accounts.AccountNotActiveError):
        await p2p.transfer(bank.db, bank.actor, "k", new(sender.id, recipient.id))


async def test_a_transfer_is_rolled_back_once(bank: Bank) -> None:
    sender, recipient = await two_customers(bank)
    done = (await p2p.transfer(bank.db, bank.actor, "k", new(sender.id, recipient.id, 40))).value

    back = await p2p.roll_back(bank.db, bank.actor, "b", done.id)
    replay = await p2p.roll_back(bank.db, bank.actor, "b", done.id)
    with pytest.raises(IllegalMoveError):
        await p2p.roll_back(bank.db, bank.actor, "b2", done.id)

    assert back.value.status == "rolled_back"
    assert replay.replayed
    assert await bank.balance(sender.id) == (100, 0, 0)
    assert (await bank.events())[-2:] == ["transaction.rolled_back", "p2p_transfer.rolled_back"]
    assert await bank.verified()


async def test_a_transfer_whose_money_was_spent_cannot_be_rolled_back(bank: Bank) -> None:
    sender, recipient = await two_customers(bank)
    done = (await p2p.transfer(bank.db, bank.actor, "k", new(sender.id, recipient.id, 40))).value
    await p2p.transfer(bank.db, bank.actor, "k2", new(recipient.id, sender.id, 1))

    with pytest.raises(transactions.ReversalRefusedError):
        await p2p.roll_back(bank.db, bank.actor, "b", done.id)

    assert (await p2p.find_transfer(bank.db, bank.actor, done.id)).status == "completed"


async def test_its_transaction_moves_with_the_transfer_only(bank: Bank) -> None:
    sender, recipient = await two_customers(bank)
    done = (await p2p.transfer(bank.db, bank.actor, "k", new(sender.id, recipient.id, 40))).value

    with pytest.raises(transactions.TransactionHasOwnerError):
        await transactions.roll_back_transaction(
            bank.db, bank.actor, bank.request("transactions.roll_back"), done.transaction_id
        )


async def test_others_see_nothing(bank: Bank) -> None:
    sender, recipient = await two_customers(bank)
    done = (await p2p.transfer(bank.db, bank.actor, "k", new(sender.id, recipient.id, 40))).value

    listed = await p2p.list_transfers(bank.db, bank.actor, PageRequest(), account_id=recipient.id)

    assert [one.id for one in listed.items] == [done.id]
    for stranger in (partner(2), partner(1, Environment.LIVE)):
        with pytest.raises(p2p.P2PTransferNotFoundError):
            await p2p.find_transfer(bank.db, stranger, done.id)
