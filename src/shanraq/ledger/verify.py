"""Prove the ledger: every balance is the sum of its entries."""

from __future__ import annotations

from collections import Counter
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
