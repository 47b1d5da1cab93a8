"""Fan numbered events out to the endpoints that subscribe to them."""

from __future__ import annotations

from collections.abc import Sequence

from shanraq.core.db import Tx
from shanraq.events import Numbered
from shanraq.webhooks import store


async def enqueue(tx: Tx, numbered: Sequence[Numbered]) -> int:
    """Queue events for every matching endpoint of their partner and environment; return how many lanes were woken.

    Called by the sequencer in the transaction that numbers the events, as the system. A disabled endpoint gets a result
    `skipped`, a paused one a growing queue.
    """
    return await store.enqueue(tx, numbered) if numbered else 0
