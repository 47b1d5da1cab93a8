"""Rotate an API key."""

from __future__ import annotations

from datetime import timedelta

from shanraq.core.actor import Actor
from shanraq.core.crypto import Keyring
from shanraq.core.db import Database, Tx
from shanraq.partners import store
from shanraq.partners.cache import forget
from shanraq.partners.errors import InvalidOverlapError, KeyNotActiveError, KeyRotatedError
from shanraq.partners.keys import check_not_exceeded, write_key
from shanraq.partners.model import OVERLAP_SECONDS, OVERLAP_SECONDS_LIMIT, IssuedKey, KeyStatus, NewKey


async def rotate_key(
    db: Database, keyring: Keyring, actor: Actor, key_id: str, overlap_seconds: int = OVERLAP_SECONDS
) -> IssuedKey:
    """Replace a key by a new one that allows the same; the old one works for `overlap_seconds` (0 to 604800) more.

    Raises InvalidOverlapError, KeyNotFoundError, KeyNotActiveError, KeyRotatedError, ScopeExceededError.
    """
    actor.require("keys:write")
    if not 0 <= overlap_seconds <= OVERLAP_SECONDS_LIMIT:
        raise InvalidOverlapError(field="overlap_seconds")

    async def work(tx: Tx) -> IssuedKey:
        old = await store.load_key(tx, key_id)
        if old.status is not KeyStatus.ACTIVE:
            raise KeyNotActiveError(f"the key is {old.status}")
        if await store.replacement_of(tx, key_id) is not None:
            raise KeyRotatedError
        # Else a key could turn itself into one that is allowed more.
        check_not_exceeded(actor, old.scopes)
        await store.end_key(tx, old, expires_at=tx.now + timedelta(seconds=overlap_seconds), revoked_at=None)
        new = NewKey(environment=old.environment, scopes=old.scopes, name=old.name, allowed_ips=old.allowed_ips)
        return await write_key(tx, keyring, new, replaces=key_id)

    issued = await db.run(actor, work)
    forget(db)
    return issued
