"""Who did what: an entry in a hash chain, in the transaction of what was done."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from shanraq.core.db import Tx

_encoder = msgspec.json.Encoder(order="deterministic")


def record(
    tx: Tx, action: str, subject: str, details: dict[str, object] | None = None, *, request_id: str | None = None
) -> None:
    """Note an action (`payment.captured`) on a subject (an id) with this transaction; never personal or card data.

    `request_id` is the actor's unless the transaction serves several requests at once.
    """
    request = tx.actor.request_id if request_id is None else request_id
    tx.defer(_append, (request, action, subject, _encoder.encode(details or {})))


async def _append(tx: Tx, entries: Sequence[tuple[str, str, str, bytes]]) -> None:
    actor = tx.actor
    tx.write(
        "INSERT INTO audit_entry SELECT * FROM audit_link($1, $2, $3, $4, $5, $6, $7, $8)",
        tx.now,
        actor.partner_id,
        actor.environment.value if actor.environment else "",
        f"{actor.kind}:{actor.id}",
        *(list(column) for column in zip(*entries, strict=True)),
    )
