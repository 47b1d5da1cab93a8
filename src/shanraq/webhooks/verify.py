"""Prove that nothing got lost: every committed event has, for every endpoint it is meant for, exactly one delivery.

committed events x matching endpoints = succeeded + live + exhausted + skipped + canceled
"""

from __future__ import annotations

from datetime import timedelta

from shanraq.core.db import Tx
from shanraq.webhooks import store


async def verify_deliveries(tx: Tx, *, settled: timedelta = timedelta(minutes=1)) -> list[str]:
    """Return what is wrong with the deliveries, in words; empty when nothing got lost or was counted twice.

    Reads everything as the system actor. Which events an endpoint must have got is computed anew from those that came
    more than `settled` after its last change: before that nobody can tell which of the two was first.
    """
    rows = await store.findings(tx, settled)
    return [f"{row['finding']}: endpoint {row['endpoint_id']}, {row['detail']}" for row in rows]
