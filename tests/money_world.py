"""A small world for tests of money: a partner's actor, accounts with money on them, keys for requests."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

import msgspec

from shanraq import accounts, ledger, transactions
from shanraq.core import once
from shanraq.core.actor import SYSTEM, Actor, ActorKind, Environment
from shanraq.core.db import Database
from shanraq.core.ids import new_id, new_number

SCOPES = frozenset(
    f"{noun}:{verb}"
    for noun in (
        "accounts",
        "transactions",
        "payments",
        "payment_methods",
        "p2p",
        "customers",
        "webhooks",
        "events",
        "payment_files",
        "disputes",
    )
    for verb in ("read", "write")
)


def partner(number: int = 1, environment: Environment = Environment.SANDBOX) -> Actor:
    """Return an actor of a partner; every number is another partner."""
    return Actor(
        kind=ActorKind.PARTNER,
        id=f"key_{number}",
        partner_id=f"prt_{number}",
        environment=environment,
        book=number * 2 + (environment is Environment.LIVE),
        scopes=SCOPES,
        request_id=f"req_{number}",
    )


@dataclass
class Bank:
    """Opens accounts and moves money for a test."""

    db: Database
    actor: Actor = field(default_factory=partner)
    _keys: itertools.count[int] = field(default_factory=itertools.count)

    def request(self, operation: str, body: msgspec.Struct | None = None, *path: str) -> once.Request:
        """Return a keyed request with a key of its own."""
        return once.Request.of(operation, f"key-{next(self._keys)}", body, *path)

    async def source(self, currency: str = "KZT") -> accounts.Account:
        """Open a partner's account that may go below zero."""
        return await accounts.open_account(
            self.db, self.actor, accounts.NewAccount(currency=currency, name="source", allow_negative=True)
        )

    async def account(
        self, balance: int = 0, currency: str = "KZT", customer_id: str | None = None
    ) -> accounts.Account:
        """Open an account with this much money on it."""
        account = await accounts.open_account(
            self.db, self.actor, accounts.NewAccount(currency=currency, customer_id=customer_id)
        )
        if balance:
            await self.move((await self.source(currency)).id, account.id, balance, currency)
        return account

    async def move(
        self, debit: str, credit: str, amount: int, currency: str = "KZT", *, hold: bool = False, hold_seconds: int = 60
    ) -> transactions.Transaction:
        """Make a transaction."""
        new = transactions.NewTransaction(
            debit_account=debit,
            credit_account=credit,
            amount=amount,
            currency=currency,
            hold=hold,
            hold_seconds=hold_seconds,
        )
        request = self.request(transactions.OPERATION, new)
        return (await transactions.create_transaction(self.db, self.actor, request, new)).value

    async def balance(self, account_id: str) -> tuple[int, int, int]:
        """Return (posted, held, incoming) of an account."""
        found = await accounts.account_balance(self.db, self.actor, account_id)
        return found.posted, found.held, found.incoming

    async def events(self) -> list[str]:
        """Return the types of all events written so far, in order."""
        async with self.db.begin(SYSTEM) as tx:
            return [row["type"] for row in await tx.rows("SELECT type FROM event_outbox ORDER BY id")]

    async def verified(self) -> bool:
        """Tell whether the ledger proves right."""
        async with self.db.begin(SYSTEM) as tx:
            return not await ledger.verify(tx)


def unknown_id(prefix: str) -> str:
    """Return an id that nothing has."""
    return new_id(prefix)


__all__ = ["SCOPES", "Bank", "new_number", "partner", "unknown_id"]
