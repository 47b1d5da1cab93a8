"""Observe a check of a certification run; called by whoever sees it happen, in the transaction in which it does."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import msgspec
import structlog

from shanraq import audit
from shanraq.core.actor import ActorKind
from shanraq.core.db import Tx
from shanraq.partners import store
from shanraq.partners.model import Check, Observation, PartnerStatus

log = structlog.get_logger(__name__)

_EVIDENCE_LIMIT: Final = 200


async def observe(tx: Tx, check: Check, evidence: str) -> None:
    """Tick a check off in the partner's open certification run; `evidence` is the id of what was seen, never a person.

    Costs one statement, and none in live or for a key whose partner has no open run; a check seen before changes nothing. The
    last check passes the run and certifies the partner.
    """
    actor = tx.actor
    if actor.livemode or (actor.kind is ActorKind.PARTNER and not actor.certifying):
        return
    run = await store.observe(tx, check, Observation(at=tx.now, evidence=evidence[:_EVIDENCE_LIMIT]))
    if run is None or run.missing:
        return
    run = await store.pass_run(tx, run)
    audit.record(tx, "certification.passed", run.id)
    await _certify(tx)


async def _certify(tx: Tx) -> None:
    before = await store.load_partner(tx, tx.actor.partner_id, lock=True)
    partner = before.partner
    if partner.certified_at is not None or partner.status is PartnerStatus.CLOSED:
        return
    # A partner that is suspended meanwhile comes back certified.
    status = partner.status
    if status is PartnerStatus.APPROVED:
        status = status.to(PartnerStatus.CERTIFIED)
    certified = msgspec.structs.replace(partner, status=status, certified_at=tx.now)
    await store.save_partner(tx, before, replace(before, partner=certified))
    audit.record(tx, "partner.certified", partner.id)
    log.info("partner.certified", partner_id=partner.id)
