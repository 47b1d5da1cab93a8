"""Decide on an application: two pairs of eyes, the one that applied and another that decides."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta

import msgspec
import structlog

from shanraq import audit
from shanraq.core.actor import Actor, Environment
from shanraq.core.db import Database, Tx
from shanraq.core.identity import check_text
from shanraq.core.ids import number_of
from shanraq.partners import store
from shanraq.partners.errors import FourEyesRequiredError
from shanraq.partners.model import APPROVE, CLAIM_DAYS, PREFIX, REASON_LIMIT, Partner, PartnerStatus, StoredPartner

log = structlog.get_logger(__name__)


async def approve(db: Database, actor: Actor, partner_id: str) -> Partner:
    """Approve an application: the partner gets its number, and the applicant 30 days to claim the first API key.

    Raises PartnerNotFoundError, FourEyesRequiredError, IllegalMoveError, PartnerRegisteredError.
    """

    async def work(tx: Tx) -> Partner:
        before = await _undecided(tx, partner_id)
        approved = msgspec.structs.replace(
            before.partner, status=before.partner.status.to(PartnerStatus.APPROVED), approved_at=tx.now
        )
        after = replace(
            before,
            partner=approved,
            number=await store.next_number(tx),
            decided_by=tx.actor.id,
            claim_expires_at=tx.now + timedelta(days=CLAIM_DAYS),
        )
        saved = await store.save_partner(tx, before, after)
        audit.record(tx, "partner.approved", partner_id)
        return saved.partner

    return await _decide(db, actor, partner_id, work)


async def reject(db: Database, actor: Actor, partner_id: str, reason: str) -> Partner:
    """Reject an application, which is final; the company may apply again.

    Raises InvalidDetailError, PartnerNotFoundError, FourEyesRequiredError, IllegalMoveError.
    """
    reason = check_text(reason, field="reason", limit=REASON_LIMIT)

    async def work(tx: Tx) -> Partner:
        before = await _undecided(tx, partner_id)
        rejected = msgspec.structs.replace(
            before.partner, status=before.partner.status.to(PartnerStatus.REJECTED), reason=reason
        )
        saved = await store.save_partner(tx, before, replace(before, partner=rejected, decided_by=tx.actor.id))
        audit.record(tx, "partner.rejected", partner_id, {"reason": reason})
        return saved.partner

    return await _decide(db, actor, partner_id, work)


async def _decide(db: Database, actor: Actor, partner_id: str, work: Callable[[Tx], Awaitable[Partner]]) -> Partner:
    actor.require(APPROVE)
    number_of(PREFIX, partner_id, field="partner_id")
    partner = await db.run(actor.acting_for(partner_id, Environment.SANDBOX, 0), work)
    log.info("partner.decided", partner_id=partner_id, status=partner.status)
    return partner


async def _undecided(tx: Tx, partner_id: str) -> StoredPartner:
    stored = await store.load_partner(tx, partner_id, lock=True)
    if stored.applied_by == tx.actor.id:
        raise FourEyesRequiredError
    stored.partner.require(PartnerStatus.APPLIED)
    return stored
