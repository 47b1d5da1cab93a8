"""Suspend a partner, resume it, or close it: its keys stop and start to work with it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import msgspec
import structlog

from shanraq import audit, events
from shanraq.core.actor import Actor, Environment
from shanraq.core.db import Database, Tx
from shanraq.core.identity import check_text
from shanraq.partners import store
from shanraq.partners.cache import forget
from shanraq.partners.model import REASON_LIMIT, SUSPEND, Partner, PartnerStatus

log = structlog.get_logger(__name__)


async def suspend(db: Database, actor: Actor, partner_id: str, reason: str) -> Partner:
    """Stop all keys of a partner: in this process at once, in others within a second.

    Raises PartnerNotFoundError, IllegalMoveError, InvalidDetailError.
    """
    reason = check_text(reason, field="reason", limit=REASON_LIMIT)
    return await _move(db, actor, partner_id, "partner.suspended", lambda _: PartnerStatus.SUSPENDED, reason)


async def resume(db: Database, actor: Actor, partner_id: str) -> Partner:
    """Let a suspended partner go on where it was. Raises PartnerNotFoundError, IllegalMoveError."""
    return await _move(db, actor, partner_id, "partner.resumed", _place, "")


async def close(db: Database, actor: Actor, partner_id: str, reason: str) -> Partner:
    """Close a partner for ever; what it did stays. Raises PartnerNotFoundError, IllegalMoveError, InvalidDetailError."""
    reason = check_text(reason, field="reason", limit=REASON_LIMIT)
    return await _move(db, actor, partner_id, "partner.closed", lambda _: PartnerStatus.CLOSED, reason)


async def _move(
    db: Database, actor: Actor, partner_id: str, action: str, target: Callable[[Partner], PartnerStatus], reason: str
) -> Partner:
    actor.require(SUSPEND)
    async with db.begin(actor) as tx:
        found = (await store.load_partner(tx, partner_id)).partner
    # The feed that the partner's own systems listen to: live, once there is one.
    environment = Environment.LIVE if found.live_at is not None else Environment.SANDBOX

    async def work(tx: Tx) -> Partner:
        before = await store.load_partner(tx, partner_id, lock=True)
        status = before.partner.status.to(target(before.partner))
        moved = msgspec.structs.replace(before.partner, status=status, reason=reason)
        saved = await store.save_partner(tx, before, replace(before, partner=moved))
        if status is PartnerStatus.SUSPENDED:
            events.emit(tx, events.Event("partner.suspended", saved.partner.subject, saved.partner))
        audit.record(tx, action, partner_id, {"reason": reason})
        return saved.partner

    partner = await db.run(actor.acting_for(partner_id, environment, 0), work)
    forget(db)
    log.info(action, partner_id=partner_id)
    return partner


def _place(partner: Partner) -> PartnerStatus:
    partner.require(PartnerStatus.SUSPENDED)
    if partner.live_at is not None:
        return PartnerStatus.LIVE
    return PartnerStatus.CERTIFIED if partner.certified_at is not None else PartnerStatus.APPROVED
