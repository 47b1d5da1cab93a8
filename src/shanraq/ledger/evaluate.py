"""Decide what becomes of accounts and transfers: the rules of the ledger, without any IO.

A `Book` holds what a decision needs to know: the accounts touched, and what is known of the ids named. The functions take
events strictly in order at a commit time, answer each with a status, change the book, and return what is to be stored.
The order of the checks is the order of precedence of the statuses; it is part of the contract.

This runs once for every transfer: flags are tested as plain integers, because IntFlag costs more than all other checks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from shanraq.ledger.model import (
    AMOUNT_MAX,
    ID_MAX,
    TIMESTAMP_MAX,
    Account,
    AccountFlags,
    AccountResult,
    AccountStatus,
    Balance,
    Result,
    Transfer,
    TransferFlags,
    TransferStatus,
)

_ACCOUNT_LINKED: Final = int(AccountFlags.LINKED)
_ACCOUNT_IMPORTED: Final = int(AccountFlags.IMPORTED)
_DEBITS_LIMITED: Final = int(AccountFlags.DEBITS_MUST_NOT_EXCEED_CREDITS)
_CREDITS_LIMITED: Final = int(AccountFlags.CREDITS_MUST_NOT_EXCEED_DEBITS)
_BOTH_LIMITED: Final = _DEBITS_LIMITED | _CREDITS_LIMITED
_CLOSED: Final = int(AccountFlags.CLOSED)
_ACCOUNT_UNDEFINED: Final = ~0x3F

_LINKED: Final = int(TransferFlags.LINKED)
_PENDING: Final = int(TransferFlags.PENDING)
_POST: Final = int(TransferFlags.POST_PENDING_TRANSFER)
_VOID: Final = int(TransferFlags.VOID_PENDING_TRANSFER)
_RESOLVING: Final = _POST | _VOID
_BALANCING_DEBIT: Final = int(TransferFlags.BALANCING_DEBIT)
_BALANCING_CREDIT: Final = int(TransferFlags.BALANCING_CREDIT)
_BALANCING: Final = _BALANCING_DEBIT | _BALANCING_CREDIT
_CLOSING_DEBIT: Final = int(TransferFlags.CLOSING_DEBIT)
_CLOSING_CREDIT: Final = int(TransferFlags.CLOSING_CREDIT)
_CLOSING: Final = _CLOSING_DEBIT | _CLOSING_CREDIT
_IMPORTED: Final = int(TransferFlags.IMPORTED)
_UNDEFINED: Final = ~0x1FF

# The expiry of a hold is a movement like any other and gets a row of its own, with a bit no caller can set.
EXPIRY: Final = 1 << 16

_NANOSECONDS: Final = 1_000_000_000

# Looking an enum member up costs as much as a check; these two are needed for every transfer.
_CREATED: Final = TransferStatus.CREATED
_EXISTS: Final = TransferStatus.EXISTS


class Position:
    """An account while the evaluator moves it.

    `seq` counts its entries, `touched_at` is the time of the last one, `place` is the store's own. The code and the user
    data are needed to open accounts only.
    """

    __slots__ = (
        "code",
        "credits_pending",
        "credits_posted",
        "debits_pending",
        "debits_posted",
        "flags",
        "id",
        "ledger",
        "place",
        "seq",
        "timestamp",
        "touched_at",
        "user_data_32",
        "user_data_64",
        "user_data_128",
    )

    def __init__(
        self,
        id: int,  # noqa: A002 (the word of the record)
        ledger: int,
        flags: int,
        timestamp: int,
        debits_pending: int = 0,
        debits_posted: int = 0,
        credits_pending: int = 0,
        credits_posted: int = 0,
        seq: int = 0,
        touched_at: int = 0,
        place: object = None,
        code: int = 0,
        user_data_128: int = 0,
        user_data_64: int = 0,
        user_data_32: int = 0,
    ) -> None:
        self.id = id
        self.ledger = ledger
        self.flags = flags
        self.timestamp = timestamp
        self.debits_pending = debits_pending
        self.debits_posted = debits_posted
        self.credits_pending = credits_pending
        self.credits_posted = credits_posted
        self.seq = seq
        self.touched_at = touched_at or timestamp
        self.place = place
        self.code = code
        self.user_data_128 = user_data_128
        self.user_data_64 = user_data_64
        self.user_data_32 = user_data_32

    @property
    def balance(self) -> Balance:
        """Return the balance as it stands."""
        return Balance(
            self.debits_pending,
            self.debits_posted,
            self.credits_pending,
            self.credits_posted,
            bool(self.flags & _CLOSED),
        )


class Entry(msgspec.Struct, frozen=True, gc=False):
    """A transfer as stored, and both accounts after it."""

    transfer: Transfer
    debit_seq: int
    debit_debits_pending: int
    debit_debits_posted: int
    debit_credits_pending: int
    debit_credits_posted: int
    debit_closed: bool
    credit_seq: int
    credit_debits_pending: int
    credit_debits_posted: int
    credit_credits_pending: int
    credit_credits_posted: int
    credit_closed: bool


class Book:
    """A set of accounts with what is known of transfers: all of it in memory, or the part that one batch touches.

    `resolutions` maps a pending transfer to the flag of what ended it (post, void, `EXPIRY`). `amount_max` is the largest
    amount and sum: 2^128-1 in memory, 2^63-1 where columns are 63 bits wide, so overflow is found before it is written.
    `account_times`, `transfer_times` and the newest of each are needed for imported events only.
    """

    __slots__ = (
        "account_times",
        "accounts",
        "amount_max",
        "failed",
        "newest_account_at",
        "newest_transfer_at",
        "resolutions",
        "transfer_times",
        "transfers",
    )

    def __init__(self, width_bits: int = 128) -> None:
        self.amount_max = (1 << width_bits) - 1
        self.accounts: dict[int, Position] = {}
        self.transfers: dict[int, Transfer] = {}
        self.failed: set[int] = set()
        self.resolutions: dict[int, int] = {}
        self.account_times: set[int] = set()
        self.transfer_times: set[int] = set()
        self.newest_account_at = 0
        self.newest_transfer_at = 0


class Evaluation(msgspec.Struct, frozen=True, gc=False):
    """What a batch of transfers came to: an answer for each, and what is to be stored."""

    results: list[Result]
    entries: list[Entry]
    failed: list[int]


# ---------------------------------------------------------------------------------------------------------------- accounts


def evaluate_accounts(
    book: Book, accounts: Sequence[Account], committed_at: int
) -> tuple[list[AccountResult], list[Position]]:
    """Open accounts in order; return an answer for each and the accounts opened.

    Event i of n gets the time `committed_at` - n + i + 1, an imported one its own.
    """
    count = len(accounts)
    results: list[AccountResult] = []
    opened: list[Position] = []
    batch_imported = accounts[0].flags & _ACCOUNT_IMPORTED if accounts else 0
    chain_start = -1
    chain_broken = False
    chain_opened = chain_newest = 0
    for index, account in enumerate(accounts):
        timestamp = committed_at - count + index + 1
        linked = account.flags & _ACCOUNT_LINKED
        if linked and chain_start < 0:
            chain_start, chain_broken = index, False
            chain_opened, chain_newest = len(opened), book.newest_account_at
        if linked and index == count - 1:
            status = AccountStatus.LINKED_EVENT_CHAIN_OPEN
        elif chain_broken:
            status = AccountStatus.LINKED_EVENT_FAILED
        else:
            status, timestamp = _open_account(book, account, timestamp, committed_at, batch_imported, opened)
        results.append(AccountResult(status, timestamp))
        if chain_start < 0:
            continue
        if status is not AccountStatus.CREATED and not chain_broken:
            chain_broken = True
            for position in opened[chain_opened:]:
                del book.accounts[position.id]
                book.account_times.discard(position.timestamp)
            del opened[chain_opened:]
            book.newest_account_at = chain_newest
            for earlier in range(chain_start, index):
                at = committed_at - count + earlier + 1
                results[earlier] = AccountResult(AccountStatus.LINKED_EVENT_FAILED, at)
        if not linked:
            chain_start, chain_broken = -1, False
    return results, opened


def _open_account(
    book: Book, account: Account, timestamp: int, committed_at: int, batch_imported: int, opened: list[Position]
) -> tuple[AccountStatus, int]:
    flags = int(account.flags)
    own = timestamp
    if flags & _ACCOUNT_IMPORTED != batch_imported:
        if batch_imported:
            return AccountStatus.IMPORTED_EVENT_EXPECTED, timestamp
        return AccountStatus.IMPORTED_EVENT_NOT_EXPECTED, timestamp
    if batch_imported:
        own = account.timestamp
        if not 1 <= own <= TIMESTAMP_MAX:
            return AccountStatus.IMPORTED_EVENT_TIMESTAMP_OUT_OF_RANGE, timestamp
        if own >= committed_at:
            return AccountStatus.IMPORTED_EVENT_TIMESTAMP_MUST_NOT_ADVANCE, timestamp
    elif account.timestamp:
        return AccountStatus.TIMESTAMP_MUST_BE_ZERO, timestamp
    stored = book.accounts.get(account.id)
    status = _account_status(account, flags, stored)
    if status is AccountStatus.EXISTS and stored is not None:
        return status, stored.timestamp
    if status is not AccountStatus.CREATED:
        return status, timestamp
    if batch_imported and (own <= book.newest_account_at or own in book.transfer_times):
        return AccountStatus.IMPORTED_EVENT_TIMESTAMP_MUST_NOT_REGRESS, timestamp
    position = Position(
        account.id,
        account.ledger,
        flags,
        own,
        code=account.code,
        user_data_128=account.user_data_128,
        user_data_64=account.user_data_64,
        user_data_32=account.user_data_32,
    )
    book.accounts[account.id] = position
    book.account_times.add(own)
    book.newest_account_at = max(book.newest_account_at, own)
    opened.append(position)
    return AccountStatus.CREATED, own


def _account_status(account: Account, flags: int, stored: Position | None) -> AccountStatus:
    if account.reserved:
        return AccountStatus.RESERVED_FIELD
    if flags & _ACCOUNT_UNDEFINED:
        return AccountStatus.RESERVED_FLAG
    if account.id == 0:
        return AccountStatus.ID_MUST_NOT_BE_ZERO
    if account.id == ID_MAX:
        return AccountStatus.ID_MUST_NOT_BE_INT_MAX
    if stored is not None:
        return _account_comparison(account, flags, stored)
    if flags & _BOTH_LIMITED == _BOTH_LIMITED:
        return AccountStatus.FLAGS_ARE_MUTUALLY_EXCLUSIVE
    if account.debits_pending:
        return AccountStatus.DEBITS_PENDING_MUST_BE_ZERO
    if account.debits_posted:
        return AccountStatus.DEBITS_POSTED_MUST_BE_ZERO
    if account.credits_pending:
        return AccountStatus.CREDITS_PENDING_MUST_BE_ZERO
    if account.credits_posted:
        return AccountStatus.CREDITS_POSTED_MUST_BE_ZERO
    if account.ledger == 0:
        return AccountStatus.LEDGER_MUST_NOT_BE_ZERO
    if account.code == 0:
        return AccountStatus.CODE_MUST_NOT_BE_ZERO
    return AccountStatus.CREATED


def _account_comparison(account: Account, flags: int, stored: Position) -> AccountStatus:
    # The stored flags are those of today: an account closed since then differs from the request that opened it.
    if flags != stored.flags:
        return AccountStatus.EXISTS_WITH_DIFFERENT_FLAGS
    if account.user_data_128 != stored.user_data_128:
        return AccountStatus.EXISTS_WITH_DIFFERENT_USER_DATA_128
    if account.user_data_64 != stored.user_data_64:
        return AccountStatus.EXISTS_WITH_DIFFERENT_USER_DATA_64
    if account.user_data_32 != stored.user_data_32:
        return AccountStatus.EXISTS_WITH_DIFFERENT_USER_DATA_32
    if account.ledger != stored.ledger:
        return AccountStatus.EXISTS_WITH_DIFFERENT_LEDGER
    if account.code != stored.code:
        return AccountStatus.EXISTS_WITH_DIFFERENT_CODE
    return AccountStatus.EXISTS


# --------------------------------------------------------------------------------------------------------------- transfers


def evaluate_transfers(book: Book, transfers: Sequence[Transfer], committed_at: int) -> Evaluation:
    """Take transfers in order; return an answer for each and what is to be stored.

    Event i of n gets the time `committed_at` - n + i + 1, an imported one its own. A run of linked events and the first
    event after it is a chain: it is created whole or not at all.
    """
    count = len(transfers)
    results: list[Result] = []
    entries: list[Entry] = []
    failed: list[int] = []
    batch_imported = int(transfers[0].flags) & _IMPORTED if transfers else 0
    chain: _Chain | None = None
    for index, transfer in enumerate(transfers):
        timestamp = committed_at - count + index + 1
        flags = int(transfer.flags)
        if flags & _LINKED and chain is None:
            chain = _Chain(book, index, len(entries))
        if flags & _LINKED and index == count - 1:
            status = TransferStatus.LINKED_EVENT_CHAIN_OPEN
        elif chain is not None and chain.broken:
            status = TransferStatus.LINKED_EVENT_FAILED
        elif flags & _IMPORTED != batch_imported:
            status = (
                TransferStatus.IMPORTED_EVENT_EXPECTED if batch_imported else TransferStatus.IMPORTED_EVENT_NOT_EXPECTED
            )
        elif batch_imported and not 1 <= transfer.timestamp <= TIMESTAMP_MAX:
            status = TransferStatus.IMPORTED_EVENT_TIMESTAMP_OUT_OF_RANGE
        elif batch_imported and transfer.timestamp >= committed_at:
            status = TransferStatus.IMPORTED_EVENT_TIMESTAMP_MUST_NOT_ADVANCE
        elif not batch_imported and transfer.timestamp:
            status = TransferStatus.TIMESTAMP_MUST_BE_ZERO
        else:
            own = transfer.timestamp if batch_imported else timestamp
            status = _evaluate_transfer(book, transfer, flags, own, chain, entries)
            if status is _CREATED:
                timestamp = own
            elif status is _EXISTS:
                timestamp = book.transfers[transfer.id].timestamp
        results.append(Result(status, timestamp))
        if chain is not None:
            if status is not _CREATED and not chain.broken:
                chain.undo(book, entries)
                for earlier in range(chain.start, index):
                    at = committed_at - count + earlier + 1
                    results[earlier] = Result(TransferStatus.LINKED_EVENT_FAILED, at)
            if not flags & _LINKED:
                chain = None
        # The id burns after the chain is undone: the failure is reported, so it must last.
        if status is not _CREATED and status.sticky:
            book.failed.add(transfer.id)
            failed.append(transfer.id)
    return Evaluation(results, entries, failed)


class _Chain:
    """A chain under way, with what is needed to undo it."""

    __slots__ = ("before", "broken", "first_entry", "newest_transfer_at", "start")

    def __init__(self, book: Book, start: int, first_entry: int) -> None:
        self.start = start
        self.first_entry = first_entry
        self.newest_transfer_at = book.newest_transfer_at
        self.before: dict[int, tuple[int, int, int, int, int, int, int]] = {}
        self.broken = False

    def remember(self, position: Position) -> None:
        """Keep an account as it was before the chain first touched it."""
        if position.id not in self.before:
            self.before[position.id] = (
                position.debits_pending,
                position.debits_posted,
                position.credits_pending,
                position.credits_posted,
                position.flags,
                position.seq,
                position.touched_at,
            )

    def undo(self, book: Book, entries: list[Entry]) -> None:
        """Put the book back to where the chain began."""
        self.broken = True
        for account_id, before in self.before.items():
            position = book.accounts[account_id]
            (
                position.debits_pending,
                position.debits_posted,
                position.credits_pending,
                position.credits_posted,
                position.flags,
                position.seq,
                position.touched_at,
            ) = before
        for entry in entries[self.first_entry :]:
            transfer = entry.transfer
            del book.transfers[transfer.id]
            book.transfer_times.discard(transfer.timestamp)
            if transfer.pending_id:
                del book.resolutions[transfer.pending_id]
        del entries[self.first_entry :]
        book.newest_transfer_at = self.newest_transfer_at


def _evaluate_transfer(
    book: Book, transfer: Transfer, flags: int, timestamp: int, chain: _Chain | None, entries: list[Entry]
) -> TransferStatus:
    assert 0 <= transfer.amount <= AMOUNT_MAX, "amounts are unsigned 128-bit numbers"
    if flags & _UNDEFINED:
        return TransferStatus.RESERVED_FLAG
    transfer_id = transfer.id
    if transfer_id == 0:
        return TransferStatus.ID_MUST_NOT_BE_ZERO
    if transfer_id == ID_MAX:
        return TransferStatus.ID_MUST_NOT_BE_INT_MAX
    stored = book.transfers.get(transfer_id)
    if stored is not None:
        return _comparison(book, transfer, flags, stored)
    if transfer_id in book.failed:
        return TransferStatus.ID_ALREADY_FAILED
    if flags & _RESOLVING:
        return _resolve(book, transfer, flags, timestamp, chain, entries)
    return _move(book, transfer, flags, timestamp, chain, entries)


def _move(
    book: Book, transfer: Transfer, flags: int, timestamp: int, chain: _Chain | None, entries: list[Entry]
) -> TransferStatus:
    """Evaluate a plain or pending transfer."""
    debit_id = transfer.debit_account_id
    credit_id = transfer.credit_account_id
    if debit_id == 0:
        return TransferStatus.DEBIT_ACCOUNT_ID_MUST_NOT_BE_ZERO
    if debit_id == ID_MAX:
        return TransferStatus.DEBIT_ACCOUNT_ID_MUST_NOT_BE_INT_MAX
    if credit_id == 0:
        return TransferStatus.CREDIT_ACCOUNT_ID_MUST_NOT_BE_ZERO
    if credit_id == ID_MAX:
        return TransferStatus.CREDIT_ACCOUNT_ID_MUST_NOT_BE_INT_MAX
    if debit_id == credit_id:
        return TransferStatus.ACCOUNTS_MUST_BE_DIFFERENT
    if transfer.pending_id:
        return TransferStatus.PENDING_ID_MUST_BE_ZERO
    if not flags & _PENDING:
        if transfer.timeout_seconds:
            return TransferStatus.TIMEOUT_RESERVED_FOR_PENDING_TRANSFER
        if flags & _CLOSING:
            return TransferStatus.CLOSING_TRANSFER_MUST_BE_PENDING
    if transfer.ledger == 0:
        return TransferStatus.LEDGER_MUST_NOT_BE_ZERO
    if transfer.code == 0:
        return TransferStatus.CODE_MUST_NOT_BE_ZERO
    debit = book.accounts.get(debit_id)
    if debit is None:
        return TransferStatus.DEBIT_ACCOUNT_NOT_FOUND
    credit = book.accounts.get(credit_id)
    if credit is None:
        return TransferStatus.CREDIT_ACCOUNT_NOT_FOUND
    if debit.ledger != credit.ledger:
        return TransferStatus.ACCOUNTS_MUST_HAVE_THE_SAME_LEDGER
    if transfer.ledger != debit.ledger:
        return TransferStatus.TRANSFER_MUST_HAVE_THE_SAME_LEDGER_AS_ACCOUNTS
    if flags & _IMPORTED:
        if timestamp <= book.newest_transfer_at or timestamp in book.account_times:
            return TransferStatus.IMPORTED_EVENT_TIMESTAMP_MUST_NOT_REGRESS
        if timestamp <= debit.timestamp:
            return TransferStatus.IMPORTED_EVENT_TIMESTAMP_MUST_POSTDATE_DEBIT_ACCOUNT
        if timestamp <= credit.timestamp:
            return TransferStatus.IMPORTED_EVENT_TIMESTAMP_MUST_POSTDATE_CREDIT_ACCOUNT
        if transfer.timeout_seconds:
            return TransferStatus.IMPORTED_EVENT_TIMEOUT_MUST_BE_ZERO
    if debit.flags & _CLOSED:
        return TransferStatus.DEBIT_ACCOUNT_ALREADY_CLOSED
    if credit.flags & _CLOSED:
        return TransferStatus.CREDIT_ACCOUNT_ALREADY_CLOSED

    amount = transfer.amount
    if flags & _BALANCING:
        if flags & _BALANCING_DEBIT:
            amount = min(amount, max(0, debit.credits_posted - debit.debits_posted - debit.debits_pending))
        if flags & _BALANCING_CREDIT:
            amount = min(amount, max(0, credit.debits_posted - credit.credits_posted - credit.credits_pending))
    debits = debit.debits_pending + debit.debits_posted + amount
    credits = credit.credits_pending + credit.credits_posted + amount  # noqa: A001 (the word of the trade)
    if debits > book.amount_max or credits > book.amount_max:
        return _overflow(debit, credit, amount, flags, book.amount_max)
    if timestamp + transfer.timeout_seconds * _NANOSECONDS > TIMESTAMP_MAX:
        return TransferStatus.OVERFLOWS_TIMEOUT
    if debit.flags & _DEBITS_LIMITED and debits > debit.credits_posted:
        return TransferStatus.EXCEEDS_CREDITS
    if credit.flags & _CREDITS_LIMITED and credits > credit.debits_posted:
        return TransferStatus.EXCEEDS_DEBITS

    if chain is not None:
        chain.remember(debit)
        chain.remember(credit)
    if flags & _PENDING:
        debit.debits_pending += amount
        credit.credits_pending += amount
        if flags & _CLOSING_DEBIT:
            debit.flags |= _CLOSED
        if flags & _CLOSING_CREDIT:
            credit.flags |= _CLOSED
    else:
        debit.debits_posted += amount
        credit.credits_posted += amount
    stored = Transfer(
        transfer.id,
        debit_id,
        credit_id,
        amount,
        0,
        transfer.user_data_128,
        transfer.user_data_64,
        transfer.user_data_32,
        transfer.timeout_seconds,
        transfer.ledger,
        transfer.code,
        flags,
        timestamp,
    )
    _record(book, stored, debit, credit, entries)
    return _CREATED


def _overflow(debit: Position, credit: Position, amount: int, flags: int, amount_max: int) -> TransferStatus:
    """Name the sum that overflows; the sums that a caller has seen overflow hold the smaller ones."""
    if flags & _PENDING:
        if amount + debit.debits_pending > amount_max:
            return TransferStatus.OVERFLOWS_DEBITS_PENDING
        if amount + credit.credits_pending > amount_max:
            return TransferStatus.OVERFLOWS_CREDITS_PENDING
    if amount + debit.debits_posted > amount_max:
        return TransferStatus.OVERFLOWS_DEBITS_POSTED
    if amount + credit.credits_posted > amount_max:
        return TransferStatus.OVERFLOWS_CREDITS_POSTED
    if amount + debit.debits_pending + debit.debits_posted > amount_max:
        return TransferStatus.OVERFLOWS_DEBITS
    return TransferStatus.OVERFLOWS_CREDITS


def _resolve(
    book: Book, transfer: Transfer, flags: int, timestamp: int, chain: _Chain | None, entries: list[Entry]
) -> TransferStatus:
    """Evaluate the post or void of a pending transfer."""
    if flags & _RESOLVING == _RESOLVING or flags & (_PENDING | _BALANCING | _CLOSING):
        return TransferStatus.FLAGS_ARE_MUTUALLY_EXCLUSIVE
    pending_id = transfer.pending_id
    if pending_id == 0:
        return TransferStatus.PENDING_ID_MUST_NOT_BE_ZERO
    if pending_id == ID_MAX:
        return TransferStatus.PENDING_ID_MUST_NOT_BE_INT_MAX
    if pending_id == transfer.id:
        return TransferStatus.PENDING_ID_MUST_BE_DIFFERENT
    if transfer.timeout_seconds:
        return TransferStatus.TIMEOUT_RESERVED_FOR_PENDING_TRANSFER
    pending = book.transfers.get(pending_id)
    if pending is None:
        return TransferStatus.PENDING_TRANSFER_NOT_FOUND
    if not pending.flags & _PENDING:
        return TransferStatus.PENDING_TRANSFER_NOT_PENDING
    if transfer.debit_account_id and transfer.debit_account_id != pending.debit_account_id:
        return TransferStatus.PENDING_TRANSFER_HAS_DIFFERENT_DEBIT_ACCOUNT_ID
    if transfer.credit_account_id and transfer.credit_account_id != pending.credit_account_id:
        return TransferStatus.PENDING_TRANSFER_HAS_DIFFERENT_CREDIT_ACCOUNT_ID
    if transfer.ledger and transfer.ledger != pending.ledger:
        return TransferStatus.PENDING_TRANSFER_HAS_DIFFERENT_LEDGER
    if transfer.code and transfer.code != pending.code:
        return TransferStatus.PENDING_TRANSFER_HAS_DIFFERENT_CODE
    amount = _resolved_amount(transfer, flags, pending)
    if amount > pending.amount:
        return TransferStatus.EXCEEDS_PENDING_TRANSFER_AMOUNT
    if flags & _VOID and amount < pending.amount:
        return TransferStatus.PENDING_TRANSFER_HAS_DIFFERENT_AMOUNT
    resolution = book.resolutions.get(pending_id, 0)
    if resolution == _POST:
        return TransferStatus.PENDING_TRANSFER_ALREADY_POSTED
    if resolution == _VOID:
        return TransferStatus.PENDING_TRANSFER_ALREADY_VOIDED
    if resolution == EXPIRY:
        return TransferStatus.PENDING_TRANSFER_EXPIRED
    if pending.timeout_seconds and pending.timestamp + pending.timeout_seconds * _NANOSECONDS <= timestamp:
        return TransferStatus.PENDING_TRANSFER_EXPIRED
    if flags & _IMPORTED and (timestamp <= book.newest_transfer_at or timestamp in book.account_times):
        return TransferStatus.IMPORTED_EVENT_TIMESTAMP_MUST_NOT_REGRESS
    debit = book.accounts[pending.debit_account_id]
    credit = book.accounts[pending.credit_account_id]
    if flags & _POST:
        if debit.flags & _CLOSED:
            return TransferStatus.DEBIT_ACCOUNT_ALREADY_CLOSED
        if credit.flags & _CLOSED:
            return TransferStatus.CREDIT_ACCOUNT_ALREADY_CLOSED

    if chain is not None:
        chain.remember(debit)
        chain.remember(credit)
    _release(pending, debit, credit)
    if flags & _POST:
        debit.debits_posted += amount
        credit.credits_posted += amount
    else:
        _reopen(pending, debit, credit)
    book.resolutions[pending_id] = flags & _RESOLVING
    stored = Transfer(
        transfer.id,
        pending.debit_account_id,
        pending.credit_account_id,
        amount,
        pending_id,
        transfer.user_data_128 or pending.user_data_128,
        transfer.user_data_64 or pending.user_data_64,
        transfer.user_data_32 or pending.user_data_32,
        0,
        pending.ledger,
        pending.code,
        flags,
        timestamp,
    )
    _record(book, stored, debit, credit, entries)
    return _CREATED


def _resolved_amount(transfer: Transfer, flags: int, pending: Transfer) -> int:
    """Return the amount a post or void means: the largest number posts all, nothing voids all."""
    if transfer.amount == (0 if flags & _VOID else AMOUNT_MAX):
        return pending.amount
    return transfer.amount


def _release(pending: Transfer, debit: Position, credit: Position) -> None:
    debit.debits_pending -= pending.amount
    credit.credits_pending -= pending.amount
    assert debit.debits_pending >= 0 and credit.credits_pending >= 0, "a hold is released once"


def _reopen(pending: Transfer, debit: Position, credit: Position) -> None:
    """Open what the hold had closed."""
    if pending.flags & _CLOSING_DEBIT:
        debit.flags &= ~_CLOSED
    if pending.flags & _CLOSING_CREDIT:
        credit.flags &= ~_CLOSED


def _record(book: Book, stored: Transfer, debit: Position, credit: Position, entries: list[Entry]) -> None:
    timestamp = stored.timestamp
    debit.seq += 1
    credit.seq += 1
    debit.touched_at = timestamp
    credit.touched_at = timestamp
    book.transfers[stored.id] = stored
    book.transfer_times.add(timestamp)
    if timestamp > book.newest_transfer_at:  # noqa: PLR1730 (max() takes three times as long)
        book.newest_transfer_at = timestamp
    entries.append(
        Entry(
            stored,
            debit.seq,
            debit.debits_pending,
            debit.debits_posted,
            debit.credits_pending,
            debit.credits_posted,
            debit.flags & _CLOSED != 0,
            credit.seq,
            credit.debits_pending,
            credit.debits_posted,
            credit.credits_pending,
            credit.credits_posted,
            credit.flags & _CLOSED != 0,
        )
    )


def _comparison(book: Book, transfer: Transfer, flags: int, stored: Transfer) -> TransferStatus:
    """Compare a transfer with the stored one of the same id; the first difference is the answer."""
    if flags != stored.flags:
        return TransferStatus.EXISTS_WITH_DIFFERENT_FLAGS
    if transfer.pending_id != stored.pending_id:
        return TransferStatus.EXISTS_WITH_DIFFERENT_PENDING_ID
    if transfer.timeout_seconds != stored.timeout_seconds:
        return TransferStatus.EXISTS_WITH_DIFFERENT_TIMEOUT
    resolving = flags & _RESOLVING

    # A post or void may leave out what the pending transfer already says.
    def differs(given: int, kept: int) -> bool:
        return given != kept and not (resolving and given == 0)

    if differs(transfer.debit_account_id, stored.debit_account_id):
        return TransferStatus.EXISTS_WITH_DIFFERENT_DEBIT_ACCOUNT_ID
    if differs(transfer.credit_account_id, stored.credit_account_id):
        return TransferStatus.EXISTS_WITH_DIFFERENT_CREDIT_ACCOUNT_ID
    if resolving:
        pending = book.transfers[stored.pending_id]
        if _resolved_amount(transfer, flags, pending) != stored.amount:
            return TransferStatus.EXISTS_WITH_DIFFERENT_AMOUNT
        user_data_128 = transfer.user_data_128 or pending.user_data_128
        user_data_64 = transfer.user_data_64 or pending.user_data_64
        user_data_32 = transfer.user_data_32 or pending.user_data_32
    else:
        # The amount of a balancing transfer is an upper limit: only one below what was moved contradicts it.
        if transfer.amount < stored.amount or (transfer.amount > stored.amount and not flags & _BALANCING):
            return TransferStatus.EXISTS_WITH_DIFFERENT_AMOUNT
        user_data_128 = transfer.user_data_128
        user_data_64 = transfer.user_data_64
        user_data_32 = transfer.user_data_32
    if user_data_128 != stored.user_data_128:
        return TransferStatus.EXISTS_WITH_DIFFERENT_USER_DATA_128
    if user_data_64 != stored.user_data_64:
        return TransferStatus.EXISTS_WITH_DIFFERENT_USER_DATA_64
    if user_data_32 != stored.user_data_32:
        return TransferStatus.EXISTS_WITH_DIFFERENT_USER_DATA_32
    if differs(transfer.ledger, stored.ledger):
        return TransferStatus.EXISTS_WITH_DIFFERENT_LEDGER
    if differs(transfer.code, stored.code):
        return TransferStatus.EXISTS_WITH_DIFFERENT_CODE
    return _EXISTS


# ------------------------------------------------------------------------------------------------------------------ expiry


def expires_at(pending: Transfer) -> int:
    """Return the instant from which a pending transfer can no longer be resolved; 0 if there is none."""
    if not pending.timeout_seconds:
        return 0
    return pending.timestamp + pending.timeout_seconds * _NANOSECONDS


def due_holds(book: Book, now: int) -> list[Transfer]:
    """Return the open pending transfers whose time has passed, in order of expiry, then of creation."""
    due = [
        transfer
        for transfer in book.transfers.values()
        if transfer.timeout_seconds and expires_at(transfer) <= now and transfer.id not in book.resolutions
    ]
    return sorted(due, key=lambda transfer: (expires_at(transfer), transfer.timestamp))


def expire(book: Book, due: Sequence[Transfer], ids: Sequence[int], committed_at: int) -> list[Entry]:
    """Release the holds that are due, in the order given, under the new internal `ids`; return what is to be stored."""
    entries: list[Entry] = []
    count = len(due)
    for index, (pending, entry_id) in enumerate(zip(due, ids, strict=True)):
        assert pending.id not in book.resolutions, "a hold is resolved once"
        debit = book.accounts[pending.debit_account_id]
        credit = book.accounts[pending.credit_account_id]
        _release(pending, debit, credit)
        _reopen(pending, debit, credit)
        book.resolutions[pending.id] = EXPIRY
        stored = Transfer(
            entry_id,
            pending.debit_account_id,
            pending.credit_account_id,
            pending.amount,
            pending.id,
            pending.user_data_128,
            pending.user_data_64,
            pending.user_data_32,
            0,
            pending.ledger,
            pending.code,
            EXPIRY,
            committed_at - count + index + 1,
        )
        _record(book, stored, debit, credit, entries)
    return entries
