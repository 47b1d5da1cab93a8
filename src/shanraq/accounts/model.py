"""Accounts: a customer's or the partner's money in one currency."""

from __future__ import annotations

from datetime import datetime
from enum import IntEnum, StrEnum
from typing import Annotated, Final

import msgspec

from shanraq.accounts.errors import AccountNotActiveError, AccountNotFoundError, InvalidIbanError
from shanraq.core.fields import CurrencyCode, CustomerId, Iban, Metadata, Reference, ShortText
from shanraq.core.ids import derived_number, number_of, text_of
from shanraq.core.lifecycle import Lifecycle
from shanraq.core.money import Currency, CurrencyMismatchError, Money
from shanraq.ledger import Balance
from shanraq.standards.iso20022.identifiers import iban_fault

PREFIX: Final = "acc"


class AccountStatus(Lifecycle):
    """`suspended` lets nothing in or out and can be undone; `closed` is final."""

    ACTIVE = "active", ("suspended", "closed")
    SUSPENDED = "suspended", ("active", "closed")
    CLOSED = "closed"


class AccountKind(StrEnum):
    """Whose money it is; `system` accounts are the platform's counterparts (clearing) within a partner's book."""

    CUSTOMER = "customer"
    PARTNER = "partner"
    SYSTEM = "system"


class SystemAccount(StrEnum):
    """The platform's own accounts in every book, one a currency, opened when first needed."""

    CARD_CLEARING = "card_clearing"
    """What card acquirers owe us: debited by captures, credited by refunds and settlement."""
    CREDIT_CLEARING = "credit_clearing"
    """What we owe the clearing system of credit transfers: credited by transfers to other banks, debited by returns."""
    UNCLAIMED = "unclaimed"
    """Money that came back for an account that was closed meanwhile, until somebody says whose it is."""
    SETTLEMENT = "settlement"
    """What card acquirers have settled and pay out to our bank: debited by the net of what they settled."""
    CHARGEBACKS = "chargebacks"
    """Disputed money: debited by what acquirers took, credited by what was taken from the accounts it had been paid to."""
    INTERCHANGE = "interchange"
    """What issuers kept of settled payments."""
    SCHEME_FEES = "scheme_fees"
    """What card schemes kept of settled payments."""
    PROCESSING_FEES = "processing_fees"
    """What acquirers and gateways kept of settled payments, or charged without one."""
    SETTLEMENT_WRITE_OFFS = "settlement_write_offs"
    """Differences of settlement that two operators have written off."""


class LedgerCode(IntEnum):
    """The ledger's `code` of an account: what kind of account it is."""

    CUSTOMER = 10
    PARTNER = 20
    SYSTEM = 30


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """An account as the partner sees it."""

    id: str
    kind: AccountKind
    customer_id: str | None
    currency: str
    name: str
    reference: str | None
    iban: str | None
    status: AccountStatus
    allow_negative: bool
    metadata: dict[str, str]
    version: int
    created_at: datetime
    updated_at: datetime

    @property
    def number(self) -> int:
        """Return the ledger's number of this account."""
        return number_of(PREFIX, self.id)

    @property
    def money(self) -> Currency:
        """Return the account's currency."""
        return Currency.historic(self.currency)


class AccountBalance(msgspec.Struct, frozen=True, kw_only=True):
    """What an account holds, in minor units of its currency.

    `posted` is settled money; `held` of it is reserved for movements under way; `available` is what may be spent;
    `incoming` is held for the account and not yet its own.
    """

    posted: int
    held: int
    available: int
    incoming: int
    currency: str
    at: datetime

    @classmethod
    def of(cls, balance: Balance, currency: str, at: datetime) -> AccountBalance:
        """Read a ledger balance from the account holder's side: credits are theirs."""
        posted = balance.credits_posted - balance.debits_posted
        return cls(
            posted=posted,
            held=balance.debits_pending,
            available=posted - balance.debits_pending,
            incoming=balance.credits_pending,
            currency=currency,
            at=at,
        )


class StatementLine(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a statement: what changed and what the account held after it, in minor units.

    `amount` is signed from the holder's side and 0 where only held money changed.
    """

    sequence: int
    at: datetime
    transaction_id: str
    other_account: str
    change: str
    amount: int
    posted_after: int
    held_after: int
    incoming_after: int
    currency: str


class NewAccount(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is needed to open an account: a customer's, or without `customer_id` the partner's own."""

    currency: CurrencyCode
    customer_id: CustomerId | None = None
    name: ShortText = ""
    reference: Reference | None = None
    iban: Iban | None = None
    allow_negative: bool = False
    metadata: Metadata = {}


class AccountChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What may be changed of an account; what is left out stays. `version` guards against lost updates."""

    version: Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)]
    name: ShortText | msgspec.UnsetType = msgspec.UNSET
    reference: Reference | msgspec.UnsetType | None = msgspec.UNSET
    iban: Iban | msgspec.UnsetType | None = msgspec.UNSET
    metadata: Metadata | msgspec.UnsetType = msgspec.UNSET


def system_account_id(book: int, which: SystemAccount, currency: str) -> str:
    """Return the id of a system account of a book: it follows from what it is."""
    return text_of(PREFIX, derived_number(book, "system account", which.value, currency))


def check_iban(iban: str | None) -> None:
    """Raise InvalidIbanError unless the IBAN has its country's structure and right check digits (ISO 13616)."""
    if iban is not None and (fault := iban_fault(iban)) is not None:
        raise InvalidIbanError(fault.value.replace("_", " "), field="iban")


def check_account(account: Account | None, amount: Money, *, field: str) -> Account:
    """Return an account that was looked for, unless money of this currency may not move through it now.

    Raises AccountNotFoundError (also for the platform's own accounts), AccountNotActiveError, CurrencyMismatchError.
    """
    if account is None or account.kind is AccountKind.SYSTEM:
        raise AccountNotFoundError(field=field)
    if account.status is not AccountStatus.ACTIVE:
        raise AccountNotActiveError(f"the account is {account.status}", field=field)
    if account.currency != amount.currency.code:
        raise CurrencyMismatchError(f"the account is in {account.currency}", field=field)
    return account
