from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta

import pytest

from shanraq import accounts, payments
from shanraq.core import once
from shanraq.core.actor import Environment
from shanraq.core.crypto import Keyring
from shanraq.core.db import Database
from shanraq.core.secret import Pan, SecurityCode
from tests.money_world import Bank
from tests.payments.gateway import Gateway

VISA = "4111111111111111"


@dataclass
class Shop:
    """A partner that takes card payments at a gateway we control."""

    bank: Bank
    gateway: Gateway
    acquiring: payments.Acquiring
    account: accounts.Account
    card: payments.PaymentMethod

    def at(self, *gateways: Gateway, order: tuple[str, ...] = ()) -> Shop:
        """Return the same shop at other gateways, with the installation's own order of them."""
        by_name = {gateway.name: gateway for gateway in gateways}
        there = payments.Gateways({Environment.SANDBOX: by_name}, order)
        return replace(self, gateway=gateways[0], acquiring=replace(self.acquiring, gateways=there))

    async def with_card(self, number: str) -> Shop:
        """Return the same shop with another card on file."""
        card = await payments.tokenize(
            self.bank.db,
            self.acquiring.keyring,
            self.bank.actor,
            Pan(number),
            payments.NewCard(expiry_month=12, expiry_year=2031),
        )
        return replace(self, card=card.value)

    async def authorize(
        self, amount: int = 1000, key: str = "auth", *, capture: bool = False, code: SecurityCode | None = None
    ) -> once.Given[payments.Payment]:
        new = payments.NewPayment(
            payment_method_id=self.card.id, account_id=self.account.id, amount=amount, currency="KZT", capture=capture
        )
        return await payments.authorize(self.acquiring, self.bank.actor, key, new, code)

    async def authorized(self, amount: int = 1000) -> payments.Payment:
        payment = (await self.authorize(amount)).value
        assert payment.status == "authorized"
        return payment

    async def captured(self, amount: int = 1000) -> payments.Payment:
        payment = await self.authorized(amount)
        return (await payments.capture(self.acquiring, self.bank.actor, "cap", payment.id)).value

    async def refund(self, payment_id: str, amount: int | None = None, key: str = "ref") -> payments.Payment:
        return (await payments.refund(self.acquiring, self.bank.actor, key, payment_id, amount)).value

    async def void(self, payment_id: str, key: str = "void") -> payments.Payment:
        return (await payments.void(self.acquiring, self.bank.actor, key, payment_id)).value

    async def find(self, payment_id: str) -> payments.Payment:
        return await payments.find_payment(self.bank.db, self.bank.actor, payment_id)

    async def balance(self) -> tuple[int, int, int]:
        return await self.bank.balance(self.account.id)

    def later(self, seconds: float) -> None:
        clock = self.bank.db.clock
        self.bank.db.clock = lambda: clock() + timedelta(seconds=seconds)

    async def recover(self, seconds: float = 60) -> int:
        self.later(seconds)
        return await payments.recover(self.acquiring)


async def open_shop(database: Database) -> Shop:
    """Open a shop with a card on file."""
    bank, gateway, keyring = Bank(database), Gateway(), Keyring.generate()
    acquiring = payments.Acquiring(
        database, keyring, payments.Gateways({Environment.SANDBOX: {"fake": gateway}}), timedelta(seconds=30)
    )
    card = await payments.tokenize(
        database, keyring, bank.actor, Pan(VISA), payments.NewCard(expiry_month=12, expiry_year=2031)
    )
    return Shop(bank, gateway, acquiring, await bank.account(), card.value)


@pytest.fixture
async def shop(database: Database) -> Shop:
    return await open_shop(database)
