"""Change a customer."""

from __future__ import annotations

from typing import Any

import msgspec

from shanraq import audit
from shanraq.core.actor import Actor
from shanraq.core.crypto import Keyring
from shanraq.core.db import Database, Tx
from shanraq.kyc import store
from shanraq.kyc.check import check_details, check_metadata, check_reference
from shanraq.kyc.errors import CustomerErasedError, CustomerKindError, CustomerVersionError
from shanraq.kyc.model import WRITE, Customer, CustomerChange, CustomerStatus, kind_of


async def update_customer(
    db: Database, keyring: Keyring, actor: Actor, customer_id: str, change: CustomerChange
) -> Customer:
    """Change details, reference or metadata of a customer.

    Raises InvalidDetailError naming the field, CustomerNotFoundError, CustomerErasedError, CustomerVersionError,
    CustomerKindError, CustomerReferenceTakenError.
    """
    actor.require(WRITE)
    checked: dict[str, Any] = {}
    if change.reference is not msgspec.UNSET:
        checked["reference"] = check_reference(change.reference)
    if change.metadata is not msgspec.UNSET:
        checked["metadata"] = check_metadata(change.metadata)

    async def work(tx: Tx) -> Customer:
        before = await store.load(tx, keyring, customer_id, lock=True)
        if before.status is CustomerStatus.ERASED:
            raise CustomerErasedError(field="customer_id")
        if before.version != change.version:
            raise CustomerVersionError(f"the customer is at version {before.version}", field="version")
        changes = dict(checked)
        if change.details is not msgspec.UNSET:
            if kind_of(change.details) is not before.kind:
                raise CustomerKindError(field="details.kind")
            changes["details"] = check_details(change.details, tx.now.date())
        after = await store.save(tx, keyring, before, **changes)
        audit.record(tx, "customer.updated", customer_id, {"changed": sorted(changes)})
        return after

    return await db.run(actor, work)
