"""Register a customer."""

from __future__ import annotations

from shanraq import audit
from shanraq.core.actor import Actor
from shanraq.core.crypto import Keyring
from shanraq.core.db import Database, Tx
from shanraq.core.ids import new_id
from shanraq.kyc import store
from shanraq.kyc.check import check_details, check_metadata, check_reference
from shanraq.kyc.model import PREFIX, WRITE, Customer, CustomerStatus, KycStatus, NewCustomer, kind_of


async def register_customer(db: Database, keyring: Keyring, actor: Actor, new: NewCustomer) -> Customer:
    """Register a person or firm; who it is, is stored sealed.

    Raises InvalidDetailError naming the field, CustomerReferenceTakenError.
    """
    actor.require(WRITE)
    reference, metadata = check_reference(new.reference), check_metadata(new.metadata)

    async def work(tx: Tx) -> Customer:
        customer = Customer(
            id=new_id(PREFIX),
            kind=kind_of(new.details),
            reference=reference,
            details=check_details(new.details, tx.now.date()),
            status=CustomerStatus.ACTIVE,
            kyc_status=KycStatus.UNVERIFIED,
            metadata=metadata,
            version=1,
            created_at=tx.now,
            updated_at=tx.now,
        )
        await store.insert(tx, keyring, customer)
        audit.record(tx, "customer.registered", customer.id, {"kind": customer.kind})
        return customer

    return await db.run(actor, work)
