"""Customers for tests of other modules."""

from __future__ import annotations

from shanraq import kyc
from shanraq.core.actor import Actor
from shanraq.core.crypto import Keyring
from shanraq.core.db import Database


async def register(db: Database, keyring: Keyring, actor: Actor, reference: str) -> kyc.Customer:
    """Register a person."""
    person = kyc.Person(given_name="Aigerim", family_name="Testova")
    return await kyc.register_customer(db, keyring, actor, kyc.NewCustomer(details=person, reference=reference))
