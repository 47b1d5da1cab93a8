"""Prove that card clearing holds what is not settled yet, and nothing else."""

from __future__ import annotations

from shanraq.core.db import Tx
from shanraq.settlement import store


async def verify(tx: Tx) -> list[str]:
    """Return what does not agree, as the system.

    In every book and currency the balance of card clearing is the sum of the captures less refunds and credits that no
    settlement line settles and nobody has written off. Where all is settled it is 0.
    """
    unsettled, held = await store.unsettled_sums(tx), await store.clearing_balances(tx)
    return [
        f"book {book}: card clearing holds {held.get((book, currency), 0)} {currency}, "
        f"{unsettled.get((book, currency), 0)} is not settled"
        for book, currency in sorted(unsettled.keys() | held.keys())
        if unsettled.get((book, currency), 0) != held.get((book, currency), 0)
    ]
