"""Change an account's details."""

from __future__ import annotations

import msgspec

from shanraq import audit, events
from shanraq.accounts import store
from shanraq.accounts.errors import VersionConflictError
from shanraq.accounts.model import Account, AccountChange, check_iban
from shanraq.core.actor import Actor
from shanraq.core.db import Database, Tx


async def update_account(db: Database, actor: Actor, account_id: str, change: AccountChange) -> Account:
    """Change name, reference, IBAN or metadata of an account.

    Raises AccountNotFoundError, VersionConflictError, ReferenceTakenError, InvalidIbanError, IbanTakenError.
    """
    actor.require("accounts:write")
    if change.iban is not msgspec.UNSET:
        check_iban(change.iban)
    changes = {
        name: value
        for name in ("name", "reference", "iban", "metadata")
        if (value := getattr(change, name)) is not msgspec.UNSET
    }

    async def work(tx: Tx) -> Account:
        before = await store.load(tx, account_id, lock=True)
        if before.version != change.version:
            raise VersionConflictError(f"the account is at version {before.version}", field="version")
        after = await store.save(tx, before, **changes)
        events.emit(tx, events.Event("account.updated", f"account/{account_id}", after))
        audit.record(tx, "account.updated", account_id, {"changed": sorted(changes)})
        return after

    return await db.run(actor, work)
