"""Forestall a payment: see to it that a keyed request that may still be on its way makes none."""

from __future__ import annotations

from shanraq.core import once
from shanraq.core.actor import Actor
from shanraq.core.db import Database
from shanraq.payments import store
from shanraq.payments.authorize import OPERATION
from shanraq.payments.errors import ForestalledError


async def forestall(db: Database, actor: Actor, key: str) -> str | None:
    """Refuse whatever comes to `authorize` under this key from now on; return the id of the payment it made already, if any."""
    actor.require("payments:write")
    async with db.begin(actor) as tx:
        if await once.block(tx, OPERATION, key, ForestalledError()):
            return None
        operation = await store.operation_by_key(tx, OPERATION, key)
        return operation.payment_id if operation is not None else None
