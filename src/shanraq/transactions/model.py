"""Transactions: one money movement between two accounts, one-phase or two-phase (held, then executed)."""

from __future__ import annotations

from datetime import datetime
from enum import IntEnum, StrEnum
from typing import Annotated, Final

import msgspec

from shanraq.core.fields import AccountId, Amount, CurrencyCode, LongText, Metadata, ShortText
from shanraq.core.ids import number_of
from shanraq.core.lifecycle import Lifecycle
from shanraq.core.money import Currency, Money
from shanraq.ledger import TransferStatus

PREFIX: Final = "trx"
HOLD_LIMIT_SECONDS: Final = 90 * 86_400


class TransactionStatus(Lifecycle):
    """`authorized` money is held, `executed` has moved, `rolled_back` was released or taken back."""

    CREATED = "created", ("authorized", "executed", "failed")
    AUTHORIZED = "authorized", ("executed", "rolled_back")
    EXECUTED = "executed", ("rolled_back",)
    FAILED = "failed"
    ROLLED_BACK = "rolled_back"


class TransactionKind(StrEnum):
    """What the movement is for."""

    TRANSFER = "transfer"
    PAYMENT = "payment"
    REFUND = "refund"
    P2P = "p2p"
    CREDIT_TRANSFER = "credit_transfer"
    CREDIT_RETURN = "credit_return"
    CHARGEBACK = "chargeback"
    SETTLEMENT_ADJUSTMENT = "settlement_adjustment"


class LedgerCode(IntEnum):
    """The ledger's `code` of a transfer: why the money moves."""

    TRANSFER = 1
    PAYMENT = 2
    REFUND = 3
    P2P = 4
    CREDIT_TRANSFER = 5
    CREDIT_RETURN = 6
    CHARGEBACK = 7
    SETTLEMENT_ADJUSTMENT = 8
    REVERSAL = 9


LEDGER_CODES: Final = {
    TransactionKind.TRANSFER: LedgerCode.TRANSFER,
    TransactionKind.PAYMENT: LedgerCode.PAYMENT,
    TransactionKind.REFUND: LedgerCode.REFUND,
    TransactionKind.P2P: LedgerCode.P2P,
    TransactionKind.CREDIT_TRANSFER: LedgerCode.CREDIT_TRANSFER,
    TransactionKind.CREDIT_RETURN: LedgerCode.CREDIT_RETURN,
    TransactionKind.CHARGEBACK: LedgerCode.CHARGEBACK,
    TransactionKind.SETTLEMENT_ADJUSTMENT: LedgerCode.SETTLEMENT_ADJUSTMENT,
}

# What the ledger may answer to a well-formed transfer, in the words of the API.
FAILURES: Final = {
    TransferStatus.EXCEEDS_CREDITS: "insufficient_funds",
    TransferStatus.EXCEEDS_DEBITS: "limit_exceeded",
    TransferStatus.DEBIT_ACCOUNT_ALREADY_CLOSED: "account_closed",
    TransferStatus.CREDIT_ACCOUNT_ALREADY_CLOSED: "account_closed",
    TransferStatus.ID_ALREADY_FAILED: "failed_before",
    TransferStatus.OVERFLOWS_DEBITS_PENDING: "balance_overflow",
    TransferStatus.OVERFLOWS_CREDITS_PENDING: "balance_overflow",
    TransferStatus.OVERFLOWS_DEBITS_POSTED: "balance_overflow",
    TransferStatus.OVERFLOWS_CREDITS_POSTED: "balance_overflow",
    TransferStatus.OVERFLOWS_DEBITS: "balance_overflow",
    TransferStatus.OVERFLOWS_CREDITS: "balance_overflow",
}


class Transaction(msgspec.Struct, frozen=True, kw_only=True):
    """A transaction as the partner sees it; `amount` is in minor units."""

    id: str
    kind: TransactionKind
    source: str
    debit_account: str
    credit_account: str
    amount: int
    currency: str
    status: TransactionStatus
    failure: str | None
    reference: str
    description: str
    metadata: dict[str, str]
    expires_at: datetime | None
    version: int
    created_at: datetime
    updated_at: datetime

    @property
    def number(self) -> int:
        """Return the 128-bit number of the id, the ledger's user_data_128 of its transfers."""
        return number_of(PREFIX, self.id)

    @property
    def money(self) -> Money:
        """Return the amount as Money."""
        return Money(self.amount, Currency.historic(self.currency))


class NewTransaction(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a partner asks for: move `amount` minor units now, or with `hold` reserve them first."""

    debit_account: AccountId
    credit_account: AccountId
    amount: Amount
    currency: CurrencyCode
    hold: bool = False
    hold_seconds: Annotated[int, msgspec.Meta(ge=1, le=HOLD_LIMIT_SECONDS)] = 7 * 86_400
    reference: ShortText = ""
    description: LongText = ""
    metadata: Metadata = {}
