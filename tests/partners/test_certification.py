from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from shanraq import partners
from shanraq.core.actor import SYSTEM, Actor, Environment, MissingScopeError
from shanraq.core.db import Database
from shanraq.core.ids import new_id
from shanraq.core.lifecycle import IllegalMoveError
from shanraq.partners import Certification, Check, IssuedKey, PartnerStatus, RunStatus
from tests.partners.conftest import Office


async def begin(office: Office, issued: IssuedKey) -> Actor:
    """Start a run and return the key's actor during it; the call itself is the first check."""
    await partners.start_certification(office.db, await office.enter(issued))
    return await office.enter(issued)


def observed(run: Certification) -> set[Check]:
    return set(Check) - set(run.missing)


async def status_of(office: Office, actor: Actor) -> PartnerStatus:
    return (await partners.find_partner(office.db, actor)).status


async def test_a_new_run_has_seen_nothing(office: Office) -> None:
    run = await partners.start_certification(office.db, await office.integrated())

    assert run.status is RunStatus.OPEN
    assert [result.check for result in run.checks] == list(Check)
    assert run.missing == tuple(Check)


async def test_starting_again_returns_the_open_run(office: Office) -> None:
    actor = await office.integrated()

    runs = await asyncio.gather(*(partners.start_certification(office.db, actor) for _ in range(4)))

    assert len({run.id for run in runs}) == 1
    assert (await office.audited()).count("certification.started") == 1


async def test_an_authenticated_call_is_seen_after_the_start(office: Office) -> None:
    issued = await office.claimed()
    actor = await office.enter(issued)
    await partners.start_certification(office.db, actor)
    before = await partners.certification(office.db, actor)

    entered = await office.enter(issued)

    after = await partners.certification(office.db, actor)
    assert observed(before) == set()
    assert observed(after) == {Check.AUTHENTICATED_CALL}
    assert after.checks[0].observation is not None
    assert after.checks[0].observation.evidence == issued.id
    assert entered.certifying


async def test_other_processes_notice_a_run_within_a_second(office: Office, other_process: Database) -> None:
    issued = await office.claimed()
    assert not (await office.enter(issued, db=other_process)).certifying
    await partners.start_certification(office.db, await office.enter(issued))
    office.clock.move(seconds=1)

    assert (await office.enter(issued, db=other_process)).certifying


async def test_the_first_observation_of_a_check_stays(office: Office) -> None:
    actor = await begin(office, await office.claimed())
    async with office.db.begin(actor) as tx:
        await partners.observe(tx, Check.REFUND, "pay_1")
    first = await partners.certification(office.db, actor)
    office.clock.move(seconds=9)
    async with office.db.begin(actor) as tx:
        await partners.observe(tx, Check.REFUND, "pay_2")

    assert await partners.certification(office.db, actor) == first
    assert observed(first) == {Check.AUTHENTICATED_CALL, Check.REFUND}


async def test_an_observation_is_undone_with_its_transaction(office: Office) -> None:
    actor = await begin(office, await office.claimed())
    with pytest.raises(RuntimeError):
        async with office.db.begin(actor) as tx:
            await partners.observe(tx, Check.REFUND, "pay_1")
            raise RuntimeError

    assert Check.REFUND in (await partners.certification(office.db, actor)).missing


async def test_the_worker_observes_for_the_partner(office: Office) -> None:
    actor = await begin(office, await office.claimed())
    worker = SYSTEM.acting_for(actor.partner_id, Environment.SANDBOX, actor.book)

    await office.observe(worker, Check.WEBHOOK_ACKNOWLEDGED)

    assert Check.WEBHOOK_ACKNOWLEDGED in observed(await partners.certification(office.db, actor))


async def test_nothing_is_observed_in_live_nor_for_others_nor_without_a_run(office: Office) -> None:
    actor = await begin(office, await office.claimed())
    worker = SYSTEM.acting_for(actor.partner_id, Environment.SANDBOX, actor.book)

    await office.observe(replace(worker, environment=Environment.LIVE), Check.REFUND)
    await office.observe(replace(worker, partner_id=new_id("prt")), Check.REFUND)
    await office.observe(replace(actor, certifying=False), Check.REFUND)

    assert observed(await partners.certification(office.db, actor)) == {Check.AUTHENTICATED_CALL}


async def test_the_last_check_certifies_the_partner(office: Office) -> None:
    actor = await begin(office, await office.claimed())
    for check in list(Check)[1:-1]:
        await office.observe(actor, check)
    before = await status_of(office, actor)

    await office.observe(actor, list(Check)[-1])

    run = await partners.certification(office.db, actor)
    assert before is PartnerStatus.APPROVED
    assert await status_of(office, actor) is PartnerStatus.CERTIFIED
    assert (run.status, run.missing) == (RunStatus.PASSED, ())
    assert run.passed_at == office.clock.now


async def test_checks_seen_at_the_same_time_certify_the_partner(office: Office) -> None:
    actor = await begin(office, await office.claimed())

    await asyncio.gather(*(office.observe(actor, check) for check in Check))

    assert await status_of(office, actor) is PartnerStatus.CERTIFIED
    assert (await office.audited()).count("partner.certified") == 1


async def test_a_passed_run_sees_nothing_more(office: Office) -> None:
    actor = await office.certified()
    before = await partners.certification(office.db, actor)

    await office.observe(actor, Check.REFUND)

    assert await partners.certification(office.db, actor) == before


async def test_a_live_partner_may_certify_again(office: Office) -> None:
    actor = await office.went_live()
    first = await partners.certification(office.db, actor)
    certified_at = (await partners.find_partner(office.db, actor)).certified_at
    office.clock.move(days=300)

    second = await partners.start_certification(office.db, actor)
    for check in Check:
        await office.observe(replace(actor, certifying=True), check)

    assert second.id != first.id
    assert (await partners.certification(office.db, actor)).status is RunStatus.PASSED
    partner = await partners.find_partner(office.db, actor)
    assert (partner.status, partner.certified_at) == (PartnerStatus.LIVE, certified_at)


async def test_a_partner_suspended_during_its_run_comes_back_certified(office: Office) -> None:
    actor = await begin(office, await office.claimed())
    operator = await office.operator()
    await partners.suspend(office.db, operator, actor.partner_id, "under review")
    worker = SYSTEM.acting_for(actor.partner_id, Environment.SANDBOX, actor.book)
    for check in Check:
        await office.observe(worker, check)

    suspended = await status_of(office, actor)
    resumed = await partners.resume(office.db, operator, actor.partner_id)

    assert suspended is PartnerStatus.SUSPENDED
    assert resumed.status is PartnerStatus.CERTIFIED


async def test_certification_needs_scope_sandbox_and_a_run(office: Office) -> None:
    sandbox = await office.integrated()
    live = replace(sandbox, environment=Environment.LIVE)
    reader = replace(sandbox, scopes=frozenset({"payments:read"}))

    for call in (
        partners.start_certification(office.db, reader),
        partners.certification(office.db, reader),
        partners.go_live(office.db, reader),
    ):
        with pytest.raises(MissingScopeError):
            await call
    for other in (
        partners.start_certification(office.db, live),
        partners.certification(office.db, live),
        partners.go_live(office.db, live),
    ):
        with pytest.raises(partners.SandboxRequiredError):
            await other
    with pytest.raises(partners.CertificationNotFoundError):
        await partners.certification(office.db, sandbox)


async def test_going_live_names_the_checks_that_are_missing(office: Office) -> None:
    issued = await office.claimed()
    with pytest.raises(partners.CertificationIncompleteError) as nothing:
        await partners.go_live(office.db, await office.enter(issued))
    actor = await begin(office, issued)
    await office.observe(actor, Check.REFUND)

    with pytest.raises(partners.CertificationIncompleteError) as something:
        await partners.go_live(office.db, actor)

    assert all(check in nothing.value.detail for check in Check)
    assert "payment_approved, decline_handled, webhook_acknowledged, idempotent_replay" in something.value.detail
    assert "refund" not in something.value.detail


async def test_going_live_happens_once(office: Office) -> None:
    actor = await office.certified()

    results = await asyncio.gather(*(partners.go_live(office.db, actor) for _ in range(4)), return_exceptions=True)

    assert sorted(type(result).__name__ for result in results) == ["IllegalMoveError"] * 3 + ["Partner"]
    assert [name for name, _ in await office.events()].count("partner.activated") == 1
    with pytest.raises(IllegalMoveError):
        await partners.go_live(office.db, actor)
