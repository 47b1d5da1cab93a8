"""Revoke an API key."""

from __future__ import annotations

import structlog

from shanraq import audit, events
from shanraq.core.actor import Actor, ActorKind
from shanraq.core.db import Database, Tx
from shanraq.partners import store
from shanraq.partners.cache import forget
from shanraq.partners.model import SUSPEND, ApiKey, KeyStatus

log = structlog.get_logger(__name__)


async def revoke_key(db: Database, actor: Actor, key_id: str) -> ApiKey:
    """End a key for ever, also the one that asks for it: in this process at once, in others within a second.

    Revoking again changes nothing. An operator does it in a partner's stead (`act_for`). Raises KeyNotFoundError.
    """
    actor.require(SUSPEND if actor.kind is ActorKind.OPERATOR else "keys:write")

    async def work(tx: Tx) -> ApiKey:
        key = await store.load_key(tx, key_id)
        if key.status is KeyStatus.REVOKED:
            return key
        revoked = await store.end_key(tx, key, expires_at=key.expires_at, revoked_at=tx.now)
        events.emit(tx, events.Event("api_key.revoked", revoked.subject, revoked))
        audit.record(tx, "api_key.revoked", key_id)
        return revoked

    revoked = await db.run(actor, work)
    forget(db)
    log.info("api_key.revoked", key_id=key_id)
    return revoked
