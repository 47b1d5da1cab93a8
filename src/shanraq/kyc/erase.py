"""Erase a customer."""

from __future__ import annotations

from shanraq import audit
from shanraq.core.actor import Actor
from shanraq.core.crypto import Keyring
from shanraq.core.db import Database, Tx
from shanraq.kyc import store
from shanraq.kyc.model import WRITE, Customer, CustomerStatus


async def erase_customer(db: Database, keyring: Keyring, actor: Actor, customer_id: str) -> Customer:
    """Destroy who the customer is and keep the row, so that accounts and payments still have their owner's id.

    The sealed value holds its own data key, so both are gone (GDPR, article 17). Erasing again changes nothing.
    Raises CustomerNotFoundError.
    """
    actor.require(WRITE)

    async def work(tx: Tx) -> Customer:
        before = await store.load(tx, keyring, customer_id, lock=True)
        if before.status is CustomerStatus.ERASED:
            return before
        after = await store.save(
            tx, keyring, before, status=before.status.to(CustomerStatus.ERASED), details=None, metadata={}
        )
        audit.record(tx, "customer.erased", customer_id)
        return after

    return await db.run(actor, work)
