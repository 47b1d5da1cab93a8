"""Prove the ledger: every balance is the sum of its entries."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from shanraq.core.db import Tx
from shanraq.ledger import store
from shanraq.ledger.evaluate import EXPIRY, Position
from shanraq.ledger.model import AccountFlags, TransferFlags

_PAGE: Final = 200
_FINDINGS_LIMIT: Final = 1000

_PENDING: Final = int(TransferFlags.PENDING)
_POST: Final = int(TransferFlags.POST_PENDING_TRANSFER)
_RELEASING: Final = _POST | int(TransferFlags.VOID_PENDING_TRANSFER) | EXPIRY
_REOPENING: Final = _RELEASING & ~_POST
_CLOSING_DEBIT: Final = int(TransferFlags.CLOSING_DEBIT)
_CLOSING_CREDIT: Final = int(TransferFlags.CLOSING_CREDIT)
_CLOSED: Final = int(AccountFlags.CLOSED)
_DEBITS_LIMITED: Final = int(AccountFlags.DEBITS_MUST_NOT_EXCEED_CREDITS)
_CREDITS_LIMITED: Final = int(AccountFlags.CREDITS_MUST_NOT_EXCEED_DEBITS)

Progress = Callable[[int, int], None]


class Finding(msgspec.Struct, frozen=True):
    """Something that cannot be right: in which book, of which account or transfer, and what."""

    book: int
    subject: int
    text: str

    def __str__(self) -> str:
        return f"book {self.book}, {self.subject:032x}: {self.text}"


async def verify(tx: Tx, progress: Progress | None = None) -> list[Finding]:
    """Replay every entry of the actor's book (of all books for the system) and return what does not add up.

    Checked: sequence numbers without gap, times that grow, every after-balance, the present balances, limits, holds open
    exactly while unresolved, and debits equal to credits over each ledger of each book. Entries are streamed, transfers
    posted meanwhile do not disturb. `progress(accounts, entries)` is called after every page. Stops at 1000 findings.
    """
    check = _Check(tx)
    after = (0, 0)
    while page := await store.account_page(tx, tx.actor.book, after, _PAGE):
        for book, position in page:
            await check.account(book, position)
        after = (page[-1][0], page[-1][1].id)
        if progress:
            progress(check.accounts, check.entries)
        if len(check.findings) >= _FINDINGS_LIMIT:
            return check.findings
    await check.sums()
    for book, transfer_id in await store.orphan_holds(tx, tx.actor.book, _FINDINGS_LIMIT):
        check.find(book, transfer_id, "is an open hold without its pending transfer")
    for book, transfer_id in await store.orphan_entries(tx, tx.actor.book, _FINDINGS_LIMIT):
        check.find(book, transfer_id, "names an account that does not exist")
    return check.findings


class _Check:
    """A verification under way."""

    def __init__(self, tx: Tx) -> None:
        self._tx = tx
        self.accounts = 0
        self.entries = 0
        self.findings: list[Finding] = []

    def find(self, book: int, subject: int, text: str) -> None:
        """Note what is wrong, up to a limit."""
        if len(self.findings) < _FINDINGS_LIMIT:
            self.findings.append(Finding(book, subject, text))

    async def account(self, book: int, position: Position) -> None:
        """Replay one account up to the entry its row was read at."""
        self.accounts += 1
        debits_pending = debits_posted = credits_pending = credits_posted = 0
        closed = position.seq == 0 and position.flags & _CLOSED != 0
        seq = timestamp = 0
        async for entry in store.entries_of(self._tx, book, position.id, position.seq):
            self.entries += 1
            if entry.seq != seq + 1:
                self.find(book, position.id, f"entry {entry.seq} follows entry {seq}")
            if entry.timestamp <= timestamp:
                self.find(book, entry.transfer_id, f"is not later than entry {seq} of account {position.id:032x}")
            self._check_hold(book, entry)
            released = (entry.held_amount or 0) if entry.flags & _RELEASING else 0
            held = entry.amount if entry.flags & _PENDING else 0
            posted = 0 if entry.flags & (_PENDING | _REOPENING) else entry.amount
            if entry.debit:
                debits_pending += held - released
                debits_posted += posted
            else:
                credits_pending += held - released
                credits_posted += posted
            closing = _CLOSING_DEBIT if entry.debit else _CLOSING_CREDIT
            if entry.flags & closing:
                closed = True
            elif entry.flags & _REOPENING and (entry.held_flags or 0) & closing:
                closed = False
            claimed = (
                entry.debits_pending, entry.debits_posted, entry.credits_pending, entry.credits_posted, entry.closed,
            )  # fmt: skip
            expected = (debits_pending, debits_posted, credits_pending, credits_posted, closed)
            if claimed != expected:
                text = f"leaves account {position.id:032x} at {claimed}, but its entries give {expected}"
                self.find(book, entry.transfer_id, text)
                # Go on from what is written, so that one changed number is one finding.
                debits_pending, debits_posted, credits_pending, credits_posted, closed = claimed
            seq, timestamp = entry.seq, entry.timestamp
        if seq != position.seq:
            self.find(book, position.id, f"counts {position.seq} entries and has {seq}")
        self._check_account(book, position, (debits_pending, debits_posted, credits_pending, credits_posted, closed))

    def _check_account(self, book: int, position: Position, expected: tuple[int, int, int, int, bool]) -> None:
        claimed = (
            position.debits_pending,
            position.debits_posted,
            position.credits_pending,
            position.credits_posted,
            position.flags & _CLOSED != 0,
        )
        if claimed != expected:
            self.find(book, position.id, f"stands at {claimed}, but its entries give {expected}")
        debits = position.debits_pending + position.debits_posted
        credits = position.credits_pending + position.credits_posted  # noqa: A001 (the word of the trade)
        if position.flags & _DEBITS_LIMITED and debits > position.credits_posted:
            self.find(book, position.id, "has debits above its credits")
        if position.flags & _CREDITS_LIMITED and credits > position.debits_posted:
            self.find(book, position.id, "has credits above its debits")

    def _check_hold(self, book: int, entry: store.Checked) -> None:
        if not entry.debit:
            return
        if entry.flags & _PENDING:
            if entry.open_hold == entry.resolved:
                text = "is resolved and still open" if entry.resolved else "is neither open nor resolved"
                self.find(book, entry.transfer_id, text)
        elif entry.flags & _RELEASING:
            if entry.held_amount is None or not (entry.held_flags or 0) & _PENDING:
                self.find(book, entry.transfer_id, "resolves a hold that does not exist")
            elif entry.amount > entry.held_amount or (entry.flags & _REOPENING and entry.amount != entry.held_amount):
                self.find(book, entry.transfer_id, f"resolves {entry.amount} of a hold of {entry.held_amount}")

    async def sums(self) -> None:
        """Compare debits with credits over every ledger of every book."""
        for book, ledger, debits_pending, credits_pending, debits_posted, credits_posted in await store.ledger_sums(
            self._tx, self._tx.actor.book
        ):
            if debits_pending != credits_pending:
                self.find(book, ledger, f"the ledger holds debits {debits_pending} and credits {credits_pending}")
            if debits_posted != credits_posted:
                self.find(book, ledger, f"the ledger has debits {debits_posted} and credits {credits_posted}")
