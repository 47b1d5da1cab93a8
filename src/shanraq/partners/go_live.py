"""Go live."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import structlog

from shanraq import audit, events
from shanraq.core.actor import Actor
from shanraq.core.db import Database, Tx
from shanraq.partners import store
from shanraq.partners.errors import CertificationIncompleteError, CertificationNotFoundError, SandboxRequiredError
from shanraq.partners.model import Check, Partner, PartnerStatus

log = structlog.get_logger(__name__)


async def go_live(db: Database, actor: Actor) -> Partner:
    """Take a certified partner live, with a sandbox key: from now on live keys can be issued.

    Nobody listens to the live feed yet: partner.activated is told in the sandbox. Raises SandboxRequiredError,
    CertificationIncompleteError naming the missing checks, IllegalMoveError.
    """
    actor.require("settings:write")
    if actor.livemode:
        raise SandboxRequiredError

    async def work(tx: Tx) -> Partner:
        before = await store.load_partner(tx, tx.actor.partner_id, lock=True)
        if before.partner.status is PartnerStatus.APPROVED:
            missing = ", ".join(await _missing(tx))
            raise CertificationIncompleteError(f"the certification has yet to see: {missing}")
        before.partner.require(PartnerStatus.CERTIFIED)
        live = msgspec.structs.replace(
            before.partner, status=before.partner.status.to(PartnerStatus.LIVE), live_at=tx.now
        )
        saved = await store.save_partner(tx, before, replace(before, partner=live))
        events.emit(tx, events.Event("partner.activated", saved.partner.subject, saved.partner))
        audit.record(tx, "partner.activated", saved.partner.id)
        return saved.partner

    partner = await db.run(actor, work)
    log.info("partner.activated", partner_id=partner.id)
    return partner


async def _missing(tx: Tx) -> tuple[Check, ...]:
    try:
        return (await store.latest_run(tx)).missing
    except CertificationNotFoundError:
        return tuple(Check)
