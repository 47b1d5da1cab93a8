"""Certify: a partner proves in the sandbox that its integration works."""

from __future__ import annotations

from shanraq import audit
from shanraq.core.actor import Actor
from shanraq.core.db import Database, Tx
from shanraq.core.ids import new_id
from shanraq.partners import store
from shanraq.partners.cache import forget
from shanraq.partners.errors import SandboxRequiredError
from shanraq.partners.model import RUN_PREFIX, Certification


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
