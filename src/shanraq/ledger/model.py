"""The records of the ledger: accounts, transfers, balances, and the answers an event may get.

The rules and numbers are those of TigerBeetle 0.17.9: two-phase transfers, linked chains, balancing and closing transfers,
ids that are unique for ever. Amounts are unsigned minor units, times are nanoseconds since 1970 UTC.

The records are msgspec structs, not dataclasses: one is built for every transfer, and this takes a fifth of the time.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from enum import IntEnum, IntFlag, StrEnum
from typing import Final

import msgspec

ID_MAX: Final = (1 << 128) - 1
AMOUNT_MAX: Final = (1 << 128) - 1  # on a post: all of it; on a balancing transfer: as much as there is
TIMESTAMP_MAX: Final = (1 << 63) - 1

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class AccountFlags(IntFlag):
    """Properties of an account; all but `CLOSED` are fixed when it is opened."""

    LINKED = 1
    DEBITS_MUST_NOT_EXCEED_CREDITS = 2
    CREDITS_MUST_NOT_EXCEED_DEBITS = 4
    HISTORY = 8
    IMPORTED = 16
    CLOSED = 32


class TransferFlags(IntFlag):
    """What a transfer does besides moving an amount."""

    LINKED = 1
    PENDING = 2
    POST_PENDING_TRANSFER = 4
    VOID_PENDING_TRANSFER = 8
    BALANCING_DEBIT = 16
    BALANCING_CREDIT = 32
    CLOSING_DEBIT = 64
    CLOSING_CREDIT = 128
    IMPORTED = 256


class TransferStatus(IntEnum):
    """The answer to one transfer. The members stand in order of precedence: when several apply, the first one is given.

    ======================  =========================================================  ===================================
    Statuses                The same transfer, sent again                              The id afterwards
    ======================  =========================================================  ===================================
    created, exists         answers exists: treat both alike                           used
    exists_with_different_  answers the same: another transfer has this id             used (by the other transfer)
    sticky (seven of them)  answers id_already_failed for ever                         burnt: a reported failure stays one
    retry_may_differ        may be created: the chain, the batch or the time decided   free
    all others              answers the same: correct the request                      free
    ======================  =========================================================  ===================================
    """

    LINKED_EVENT_FAILED = 1
    LINKED_EVENT_CHAIN_OPEN = 2
    IMPORTED_EVENT_EXPECTED = 56
    IMPORTED_EVENT_NOT_EXPECTED = 57
    TIMESTAMP_MUST_BE_ZERO = 3
    IMPORTED_EVENT_TIMESTAMP_OUT_OF_RANGE = 58
    IMPORTED_EVENT_TIMESTAMP_MUST_NOT_ADVANCE = 59
    RESERVED_FLAG = 4
    ID_MUST_NOT_BE_ZERO = 5
    ID_MUST_NOT_BE_INT_MAX = 6
    EXISTS_WITH_DIFFERENT_FLAGS = 36
    EXISTS_WITH_DIFFERENT_PENDING_ID = 40
    EXISTS_WITH_DIFFERENT_TIMEOUT = 44
    EXISTS_WITH_DIFFERENT_DEBIT_ACCOUNT_ID = 37
    EXISTS_WITH_DIFFERENT_CREDIT_ACCOUNT_ID = 38
    EXISTS_WITH_DIFFERENT_AMOUNT = 39
    EXISTS_WITH_DIFFERENT_USER_DATA_128 = 41
    EXISTS_WITH_DIFFERENT_USER_DATA_64 = 42
    EXISTS_WITH_DIFFERENT_USER_DATA_32 = 43
    EXISTS_WITH_DIFFERENT_LEDGER = 67
    EXISTS_WITH_DIFFERENT_CODE = 45
    EXISTS = 46
    ID_ALREADY_FAILED = 68
    FLAGS_ARE_MUTUALLY_EXCLUSIVE = 7
    DEBIT_ACCOUNT_ID_MUST_NOT_BE_ZERO = 8
    DEBIT_ACCOUNT_ID_MUST_NOT_BE_INT_MAX = 9
    CREDIT_ACCOUNT_ID_MUST_NOT_BE_ZERO = 10
    CREDIT_ACCOUNT_ID_MUST_NOT_BE_INT_MAX = 11
    ACCOUNTS_MUST_BE_DIFFERENT = 12
    PENDING_ID_MUST_BE_ZERO = 13
    PENDING_ID_MUST_NOT_BE_ZERO = 14
    PENDING_ID_MUST_NOT_BE_INT_MAX = 15
    PENDING_ID_MUST_BE_DIFFERENT = 16
    TIMEOUT_RESERVED_FOR_PENDING_TRANSFER = 17
    CLOSING_TRANSFER_MUST_BE_PENDING = 64
    LEDGER_MUST_NOT_BE_ZERO = 19
    CODE_MUST_NOT_BE_ZERO = 20
    DEBIT_ACCOUNT_NOT_FOUND = 21
    CREDIT_ACCOUNT_NOT_FOUND = 22
    ACCOUNTS_MUST_HAVE_THE_SAME_LEDGER = 23
    TRANSFER_MUST_HAVE_THE_SAME_LEDGER_AS_ACCOUNTS = 24
    PENDING_TRANSFER_NOT_FOUND = 25
    PENDING_TRANSFER_NOT_PENDING = 26
    PENDING_TRANSFER_HAS_DIFFERENT_DEBIT_ACCOUNT_ID = 27
    PENDING_TRANSFER_HAS_DIFFERENT_CREDIT_ACCOUNT_ID = 28
    PENDING_TRANSFER_HAS_DIFFERENT_LEDGER = 29
    PENDING_TRANSFER_HAS_DIFFERENT_CODE = 30
    EXCEEDS_PENDING_TRANSFER_AMOUNT = 31
    PENDING_TRANSFER_HAS_DIFFERENT_AMOUNT = 32
    PENDING_TRANSFER_ALREADY_POSTED = 33
    PENDING_TRANSFER_ALREADY_VOIDED = 34
    PENDING_TRANSFER_EXPIRED = 35
    IMPORTED_EVENT_TIMESTAMP_MUST_NOT_REGRESS = 60
    IMPORTED_EVENT_TIMESTAMP_MUST_POSTDATE_DEBIT_ACCOUNT = 61
    IMPORTED_EVENT_TIMESTAMP_MUST_POSTDATE_CREDIT_ACCOUNT = 62
    IMPORTED_EVENT_TIMEOUT_MUST_BE_ZERO = 63
    DEBIT_ACCOUNT_ALREADY_CLOSED = 65
    CREDIT_ACCOUNT_ALREADY_CLOSED = 66
    OVERFLOWS_DEBITS_PENDING = 47
    OVERFLOWS_CREDITS_PENDING = 48
    OVERFLOWS_DEBITS_POSTED = 49
    OVERFLOWS_CREDITS_POSTED = 50
    OVERFLOWS_DEBITS = 51
    OVERFLOWS_CREDITS = 52
    OVERFLOWS_TIMEOUT = 53
    EXCEEDS_CREDITS = 54
    EXCEEDS_DEBITS = 55
    CREATED = (1 << 32) - 1

    @property
    def succeeded(self) -> bool:
        """Tell whether the transfer is in the ledger, now or since before, exactly as it was sent."""
        return self is TransferStatus.CREATED or self is TransferStatus.EXISTS

    @property
    def sticky(self) -> bool:
        """Tell whether this failure burns the id: a retry can never turn a reported failure into a movement."""
        return self in _STICKY

    @property
    def retry_may_differ(self) -> bool:
        """Tell whether the very same transfer, sent again, may be created."""
        return self in _RETRY_MAY_DIFFER


_STICKY: Final = frozenset(
    {
        TransferStatus.DEBIT_ACCOUNT_NOT_FOUND,
        TransferStatus.CREDIT_ACCOUNT_NOT_FOUND,
        TransferStatus.PENDING_TRANSFER_NOT_FOUND,
        TransferStatus.DEBIT_ACCOUNT_ALREADY_CLOSED,
        TransferStatus.CREDIT_ACCOUNT_ALREADY_CLOSED,
        TransferStatus.EXCEEDS_CREDITS,
        TransferStatus.EXCEEDS_DEBITS,
    }
)
_RETRY_MAY_DIFFER: Final = frozenset(
    {
        TransferStatus.LINKED_EVENT_FAILED,
        TransferStatus.LINKED_EVENT_CHAIN_OPEN,
        TransferStatus.IMPORTED_EVENT_EXPECTED,
        TransferStatus.IMPORTED_EVENT_NOT_EXPECTED,
        TransferStatus.IMPORTED_EVENT_TIMESTAMP_MUST_NOT_ADVANCE,
        TransferStatus.OVERFLOWS_DEBITS_PENDING,
        TransferStatus.OVERFLOWS_CREDITS_PENDING,
        TransferStatus.OVERFLOWS_DEBITS,
        TransferStatus.OVERFLOWS_CREDITS,
    }
)


class AccountStatus(IntEnum):
    """The answer to opening one account, in order of precedence. No failure burns an account's id."""

    LINKED_EVENT_FAILED = 1
    LINKED_EVENT_CHAIN_OPEN = 2
    IMPORTED_EVENT_EXPECTED = 22
    IMPORTED_EVENT_NOT_EXPECTED = 23
    TIMESTAMP_MUST_BE_ZERO = 3
    IMPORTED_EVENT_TIMESTAMP_OUT_OF_RANGE = 24
    IMPORTED_EVENT_TIMESTAMP_MUST_NOT_ADVANCE = 25
    RESERVED_FIELD = 4
    RESERVED_FLAG = 5
    ID_MUST_NOT_BE_ZERO = 6
    ID_MUST_NOT_BE_INT_MAX = 7
    EXISTS_WITH_DIFFERENT_FLAGS = 15
    EXISTS_WITH_DIFFERENT_USER_DATA_128 = 16
    EXISTS_WITH_DIFFERENT_USER_DATA_64 = 17
    EXISTS_WITH_DIFFERENT_USER_DATA_32 = 18
    EXISTS_WITH_DIFFERENT_LEDGER = 19
    EXISTS_WITH_DIFFERENT_CODE = 20
    EXISTS = 21
    FLAGS_ARE_MUTUALLY_EXCLUSIVE = 8
    DEBITS_PENDING_MUST_BE_ZERO = 9
    DEBITS_POSTED_MUST_BE_ZERO = 10
    CREDITS_PENDING_MUST_BE_ZERO = 11
    CREDITS_POSTED_MUST_BE_ZERO = 12
    LEDGER_MUST_NOT_BE_ZERO = 13
    CODE_MUST_NOT_BE_ZERO = 14
    IMPORTED_EVENT_TIMESTAMP_MUST_NOT_REGRESS = 26
    CREATED = (1 << 32) - 1

    @property
    def succeeded(self) -> bool:
        """Tell whether the account is open, now or since before, exactly as it was sent."""
        return self is AccountStatus.CREATED or self is AccountStatus.EXISTS

    @property
    def sticky(self) -> bool:
        """Tell whether this failure burns the id; for accounts it never does."""
        return False


class Account(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An account to open. `ledger` groups accounts that may exchange (one per currency), `code` says what it is.

    `timestamp` is given for imported accounts only; the four balances and `reserved` must be 0.
    """

    id: int
    ledger: int
    code: int
    flags: int = 0
    user_data_128: int = 0
    user_data_64: int = 0
    user_data_32: int = 0
    debits_pending: int = 0
    debits_posted: int = 0
    credits_pending: int = 0
    credits_posted: int = 0
    reserved: int = 0
    timestamp: int = 0


class Transfer(msgspec.Struct, frozen=True, gc=False):
    """A movement from the debit to the credit account, or what becomes of an earlier pending one.

    `amount` in minor units; `timeout_seconds` for pending transfers only (0: never expires); `timestamp` is given by the
    ledger, and by the caller for imported transfers only. A post or void may leave accounts, ledger and code at 0: "as held".
    """

    id: int
    debit_account_id: int = 0
    credit_account_id: int = 0
    amount: int = 0
    pending_id: int = 0
    user_data_128: int = 0
    user_data_64: int = 0
    user_data_32: int = 0
    timeout_seconds: int = 0
    ledger: int = 0
    code: int = 0
    flags: int = 0
    timestamp: int = 0


class Balance(msgspec.Struct, frozen=True, gc=False):
    """The four sums of an account, minor units, and whether it is closed to new transfers."""

    debits_pending: int = 0
    debits_posted: int = 0
    credits_pending: int = 0
    credits_posted: int = 0
    closed: bool = False

    @property
    def credit_balance(self) -> int:
        """Return posted credits less debits: what an account of a liability (a customer's money) holds."""
        return self.credits_posted - self.debits_posted

    @property
    def credit_available(self) -> int:
        """Return what a credit-balance account may still spend: its balance less what is held."""
        return self.credits_posted - self.debits_posted - self.debits_pending

    @property
    def debit_balance(self) -> int:
        """Return posted debits less credits: what an account of an asset holds."""
        return self.debits_posted - self.credits_posted


class Result(msgspec.Struct, frozen=True, gc=False):
    """The answer to one transfer; `timestamp` is that of the stored transfer, else of the check."""

    status: TransferStatus
    timestamp: int


class AccountResult(msgspec.Struct, frozen=True, gc=False):
    """The answer to opening one account; `timestamp` is that of the stored account, else of the check."""

    status: AccountStatus
    timestamp: int


class ExpiredHold(msgspec.Struct, frozen=True, gc=False):
    """A pending transfer that was released because its time had passed, and its book."""

    book: int
    transfer: Transfer


class Side(StrEnum):
    """The side of an account that a transfer touches."""

    DEBIT = "debit"
    CREDIT = "credit"


class EntryKind(StrEnum):
    """What an entry of a statement did."""

    MOVED = "moved"
    HELD = "held"
    POSTED = "posted"
    VOIDED = "voided"
    EXPIRED = "expired"


class StatementEntry(msgspec.Struct, frozen=True, gc=False):
    """One change of an account and the balance after it; `seq` counts an account's entries from 1 without a gap."""

    seq: int
    timestamp: int
    kind: EntryKind
    side: Side
    transfer_id: int
    pending_id: int
    other_account_id: int
    amount: int
    code: int
    user_data_128: int
    balance: Balance


class Standing(msgspec.Struct, frozen=True, gc=False):
    """How an account stands after its entry number `seq`."""

    seq: int
    balance: Balance


class Turnover(msgspec.Struct, frozen=True, gc=False):
    """How many entries booked an account's debits and credits, and their sums in minor units."""

    debits: int = 0
    debited: int = 0
    credits: int = 0
    credited: int = 0


def nanoseconds_of(instant: datetime) -> int:
    """Return an aware instant as nanoseconds since 1970 UTC, exactly."""
    return (instant - _EPOCH) // timedelta(microseconds=1) * 1000


def instant_of(nanoseconds: int) -> datetime:
    """Return the instant of a ledger timestamp, UTC, cut to microseconds."""
    return _EPOCH + timedelta(microseconds=nanoseconds // 1000)
