from __future__ import annotations

import pytest

from shanraq import partners
from shanraq.core.actor import MissingScopeError
from shanraq.core.db import Database
from shanraq.core.identity import InvalidDetailError
from shanraq.core.ids import new_id
from shanraq.core.lifecycle import IllegalMoveError
from shanraq.partners import PartnerStatus
from tests.partners.conftest import Office


async def test_a_suspended_partner_is_out_with_all_keys_until_it_is_resumed(office: Office) -> None:
    issued = await office.claimed()
    actor = await office.enter(issued)
    operator = await office.operator()

    suspended = await partners.suspend(office.db, operator, actor.partner_id, "chargebacks")

    assert (suspended.status, suspended.reason) == (PartnerStatus.SUSPENDED, "chargebacks")
    with pytest.raises(partners.PartnerSuspendedError):
        await office.enter(issued)
    with pytest.raises(partners.PartnerSuspendedError):
        await office.enter_signed(office.signed(issued))
    resumed = await partners.resume(office.db, operator, actor.partner_id)
    assert (resumed.status, resumed.reason) == (PartnerStatus.APPROVED, "")
    assert await office.enter(issued)


async def test_another_process_sees_a_suspension_within_a_second(office: Office, other_process: Database) -> None:
    issued = await office.claimed()
    actor = await office.enter(issued, db=other_process)
    await partners.suspend(office.db, await office.operator(), actor.partner_id, "chargebacks")
    office.clock.move(seconds=1)

    with pytest.raises(partners.PartnerSuspendedError):
        await office.enter(issued, db=other_process)


async def test_who_does_not_have_the_secret_is_not_told_of_a_suspension(office: Office) -> None:
    issued = await office.claimed()
    actor = await office.enter(issued)
    await partners.suspend(office.db, await office.operator(), actor.partner_id, "chargebacks")

    with pytest.raises(partners.InvalidCredentialsError):
        await office.enter_as(issued.id, "wrong")


async def test_a_partner_comes_back_to_where_it_was(office: Office) -> None:
    operator = await office.operator()
    actor = await office.certified()
    await partners.suspend(office.db, operator, actor.partner_id, "chargebacks")
    certified = await partners.resume(office.db, operator, actor.partner_id)
    await partners.go_live(office.db, actor)
    await partners.suspend(office.db, operator, actor.partner_id, "chargebacks")

    live = await partners.resume(office.db, operator, actor.partner_id)

    assert (certified.status, live.status) == (PartnerStatus.CERTIFIED, PartnerStatus.LIVE)
    assert [event for event in await office.events() if event[0] == "partner.suspended"] == [
        ("partner.suspended", "sandbox"),
        ("partner.suspended", "live"),
    ]


async def test_a_suspended_partner_cannot_go_live(office: Office) -> None:
    actor = await office.certified()
    await partners.suspend(office.db, await office.operator(), actor.partner_id, "chargebacks")

    with pytest.raises(IllegalMoveError):
        await partners.go_live(office.db, actor)


async def test_a_closed_partner_is_out_for_ever(office: Office) -> None:
    issued = await office.claimed()
    actor = await office.enter(issued)
    operator = await office.operator()

    closed = await partners.close(office.db, operator, actor.partner_id, "contract ended")

    assert closed.status is PartnerStatus.CLOSED
    with pytest.raises(partners.PartnerClosedError):
        await office.enter(issued)
    for move in (
        partners.resume(office.db, operator, actor.partner_id),
        partners.suspend(office.db, operator, actor.partner_id, "again"),
        partners.close(office.db, operator, actor.partner_id, "again"),
    ):
        with pytest.raises(IllegalMoveError):
            await move


async def test_the_company_of_a_closed_partner_may_become_one_again(office: Office) -> None:
    operator = await office.operator()
    first, _ = await office.approved()
    await partners.close(office.db, operator, first.id, "contract ended")

    second, _ = await office.approved()

    assert second.status is PartnerStatus.APPROVED


async def test_moves_that_the_status_does_not_allow_are_refused(office: Office) -> None:
    operator = await office.operator()
    applied, _ = await office.applied()
    actor = await office.integrated()

    for move in (
        partners.suspend(office.db, operator, applied.id, "why not"),
        partners.resume(office.db, operator, applied.id),
        partners.close(office.db, operator, applied.id, "why not"),
        partners.resume(office.db, operator, actor.partner_id),
    ):
        with pytest.raises(IllegalMoveError):
            await move


async def test_a_suspended_partner_cannot_be_approved_or_rejected_anew(office: Office) -> None:
    actor = await office.integrated()
    operator = await office.operator()
    await partners.suspend(office.db, operator, actor.partner_id, "chargebacks")

    with pytest.raises(IllegalMoveError):
        await partners.approve(office.db, operator, actor.partner_id)
    with pytest.raises(IllegalMoveError):
        await partners.reject(office.db, operator, actor.partner_id, "changed our mind")


async def test_suspending_needs_scope_reason_and_a_partner(office: Office) -> None:
    actor = await office.integrated()
    operator, other = await office.operator(), await office.operator("partners:approve")

    for call in (
        partners.suspend(office.db, other, actor.partner_id, "why"),
        partners.resume(office.db, other, actor.partner_id),
        partners.close(office.db, other, actor.partner_id, "why"),
        partners.suspend(office.db, actor, actor.partner_id, "why"),
    ):
        with pytest.raises(MissingScopeError):
            await call
    for without_reason in (
        partners.suspend(office.db, operator, actor.partner_id, ""),
        partners.close(office.db, operator, actor.partner_id, " "),
    ):
        with pytest.raises(InvalidDetailError):
            await without_reason
    with pytest.raises(partners.PartnerNotFoundError):
        await partners.suspend(office.db, operator, new_id("prt"), "why")
