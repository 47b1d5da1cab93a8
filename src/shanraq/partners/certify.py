"""Certify: a partner proves in the sandbox that its integration works."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import structlog

from shanraq import audit
from shanraq.core.actor import Actor, ActorKind
from shanraq.core.db import Database, Tx
from shanraq.core.ids import new_id
from shanraq.partners import store
from shanraq.partners.cache import forget
from shanraq.partners.errors import SandboxRequiredError
from shanraq.partners.model import RUN_PREFIX, Certification, Check, Observation, PartnerStatus

log = structlog.get_logger(__name__)

_EVIDENCE_LIMIT = 200


async def start_certification(db: Database, actor: Actor) -> Certification:
    """Start a certification run with a sandbox key, or return the one that is open.

    From then on each check is ticked off when it is first seen to happen; other processes notice the run within a second.
    A certified or live partner may run again. Raises SandboxRequiredError.
    """
    actor.require("settings:write")
    if actor.livemode:
        raise SandboxRequiredError
    run_id = new_id(RUN_PREFIX)

    async def work(tx: Tx) -> Certification:
        if await store.insert_run(tx, run_id):
            audit.record(tx, "certification.started", run_id)
        return await store.latest_run(tx)

    run = await db.run(actor, work)
    forget(db)
    return run


async def certification(db: Database, actor: Actor) -> Certification:
    """Return the latest run and what it has seen. Raises SandboxRequiredError, CertificationNotFoundError."""
    actor.require("settings:read")
    if actor.livemode:
        raise SandboxRequiredError
    async with db.begin(actor) as tx:
        return await store.latest_run(tx)


async def observe(tx: Tx, check: Check, evidence: str) -> None:
    """Tick a check off in the partner's open certification run; `evidence` is the id of what was seen, never a person.

    Costs one statement at most: nothing in live or for a key whose partner has no open run, and nothing happens if the check was
    seen before. The last check passes the run and certifies the partner.
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
