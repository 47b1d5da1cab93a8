from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from shanraq import partners
from shanraq.core.actor import SYSTEM, Environment, MissingScopeError, book_of
from shanraq.core.db import Database
from shanraq.core.identity import InvalidDetailError
from shanraq.core.ids import InvalidIdError, new_id
from shanraq.core.lifecycle import IllegalMoveError
from shanraq.core.page import PageRequest
from shanraq.core.secret import Secret
from shanraq.partners import PartnerStatus
from tests.partners.conftest import APPLICATION, Office


async def test_the_journey_from_application_to_live(office: Office) -> None:
    partner, claim = await office.applied()
    await partners.approve(office.db, await office.operator(), partner.id)
    sandbox_key = await partners.claim_key(office.db, office.keyring, claim)
    sandbox = await office.enter(sandbox_key)
    await partners.configure(office.db, sandbox, partners.Preferences(statement_descriptor="ALMA PAY"))
    await partners.start_certification(office.db, sandbox)
    sandbox = await office.enter(sandbox_key)
    for check in partners.Check:
        await office.observe(sandbox, check)
    live_partner = await partners.go_live(office.db, sandbox)
    live_key = await office.issue(sandbox, environment=Environment.LIVE)

    live = await office.enter(live_key)

    assert live_partner.status is PartnerStatus.LIVE
    assert (live.environment, live.partner_id) == (Environment.LIVE, partner.id)
    assert live.book == sandbox.book + 1
    assert await office.events() == [
        ("api_key.created", "sandbox"), ("partner.activated", "sandbox"), ("api_key.created", "live"),
    ]  # fmt: skip
    assert set(await office.audited()) == {
        "operator.created", "partner.applied", "partner.approved", "partner.key_claimed", "api_key.created",
        "partner.configured", "certification.started", "certification.passed", "partner.certified", "partner.activated",
    }  # fmt: skip


async def test_an_application_waits_for_a_decision(office: Office) -> None:
    partner, claim = await office.applied()

    found = await partners.find_partner(office.db, await office.operator(), partner.id)
    assert found == partner
    assert found.status is PartnerStatus.APPLIED
    with pytest.raises(partners.PartnerNotApprovedError):
        await partners.claim_key(office.db, office.keyring, claim)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("legal_name", ""),
        ("legal_name", "x" * 141),
        ("legal_name", "Alma\u202ePay"),
        ("country", "ZZ"),
        ("country", "kz"),
        ("registration_number", "980540000398"),
        ("registration_number", "98054000039"),
        ("contact_email", "it@alma"),
        ("contact_email", "it alma@alma.example"),
        ("website", "alma.example"),
        ("website", "ftp://alma.example"),
        ("website", "https://user:password@alma.example"),
        ("website", "https://localhost"),
        ("website", "https://alma.example/" + "x" * 255),
        ("website", "https://[alma.example"),
    ],
)
async def test_an_application_names_the_field_that_is_wrong(office: Office, field: str, value: str) -> None:
    application: Any = msgspec.structs.replace(APPLICATION, **{field: value})

    with pytest.raises(InvalidDetailError) as refused:
        await partners.apply(office.db, office.keyring, application)

    assert refused.value.field == field


async def test_an_operator_needs_the_scope_to_apply(office: Office) -> None:
    with pytest.raises(MissingScopeError):
        await office.applied(await office.operator("partners:approve"))


async def test_the_operator_that_applied_cannot_decide(office: Office) -> None:
    operator = await office.operator()
    partner, _ = await office.applied(operator)

    with pytest.raises(partners.FourEyesRequiredError) as refused:
        await partners.approve(office.db, operator, partner.id)
    with pytest.raises(partners.FourEyesRequiredError):
        await partners.reject(office.db, operator, partner.id, "changed my mind")

    assert refused.value.code == "four_eyes_required"
    approved = await partners.approve(office.db, await office.operator(), partner.id)
    assert approved.status is PartnerStatus.APPROVED


async def test_four_eyes_hold_in_the_database_too(office: Office, owner_dsn: str) -> None:
    import asyncpg

    operator = await office.operator()
    partner, _ = await office.applied(operator)

    connection = await asyncpg.connect(owner_dsn)
    with pytest.raises(asyncpg.CheckViolationError):
        await connection.execute("UPDATE partner SET decided_by = $2 WHERE id = $1", partner.id, operator.id)
    await connection.close()


async def test_deciding_needs_the_scope_and_an_application(office: Office) -> None:
    partner, _ = await office.applied()
    operator = await office.operator()

    with pytest.raises(MissingScopeError):
        await partners.approve(office.db, await office.operator("partners:write"), partner.id)
    with pytest.raises(MissingScopeError):
        await partners.reject(office.db, await office.operator("partners:write"), partner.id, "no")
    with pytest.raises(partners.PartnerNotFoundError):
        await partners.approve(office.db, operator, new_id("prt"))
    with pytest.raises(InvalidIdError):
        await partners.approve(office.db, operator, "prt_'; DROP TABLE partner")


async def test_a_decision_is_final(office: Office) -> None:
    partner, claim = await office.applied()
    operator = await office.operator()
    rejected = await partners.reject(office.db, operator, partner.id, "not a payment business")

    assert (rejected.status, rejected.reason) == (PartnerStatus.REJECTED, "not a payment business")
    with pytest.raises(IllegalMoveError):
        await partners.approve(office.db, operator, partner.id)
    with pytest.raises(partners.PartnerNotApprovedError):
        await partners.claim_key(office.db, office.keyring, claim)
    approved, _ = await office.approved()
    with pytest.raises(IllegalMoveError):
        await partners.reject(office.db, operator, approved.id, "too late")


async def test_a_rejection_needs_a_reason(office: Office) -> None:
    partner, _ = await office.applied()

    with pytest.raises(InvalidDetailError) as refused:
        await partners.reject(office.db, await office.operator(), partner.id, " ")

    assert refused.value.field == "reason"


async def test_approval_gives_every_partner_books_of_its_own(office: Office) -> None:
    first = await office.integrated()
    other = msgspec.structs.replace(APPLICATION, registration_number="971240001315")
    partner, claim = await partners.apply(office.db, office.keyring, other)
    operator = await office.operator()
    await partners.approve(office.db, operator, partner.id)
    second = await office.enter(await partners.claim_key(office.db, office.keyring, claim))

    live = await partners.act_for(office.db, operator, partner.id, Environment.LIVE)

    assert (first.book, second.book, live.book) == (2, 4, 5)
    assert live.book == book_of(2, Environment.LIVE)


async def test_a_company_is_approved_once(office: Office) -> None:
    await office.approved()
    second, _ = await office.applied()

    with pytest.raises(partners.PartnerRegisteredError):
        await partners.approve(office.db, await office.operator(), second.id)


async def test_two_operators_approving_at_once_approve_once(office: Office) -> None:
    partner, _ = await office.applied()
    operators = [await office.operator() for _ in range(4)]

    results = await asyncio.gather(
        *(partners.approve(office.db, operator, partner.id) for operator in operators), return_exceptions=True
    )

    assert sorted(type(result).__name__ for result in results) == ["IllegalMoveError"] * 3 + ["Partner"]


async def test_the_claimed_key_is_for_the_sandbox_with_every_scope(office: Office) -> None:
    issued = await office.claimed()

    actor = await office.enter(issued)

    assert actor.environment is Environment.SANDBOX
    assert actor.scopes == partners.SCOPES
    assert issued.scopes == tuple(sorted(partners.SCOPES))
    assert issued.expires_at is None


async def test_a_claim_token_works_once_also_for_many_at_once(office: Office) -> None:
    _, claim = await office.approved()

    results = await asyncio.gather(
        *(partners.claim_key(office.db, office.keyring, claim) for _ in range(8)), return_exceptions=True
    )

    assert sorted(type(result).__name__ for result in results) == ["ClaimUsedError"] * 7 + ["IssuedKey"]
    async with office.db.begin(SYSTEM) as tx:
        assert await tx.value("SELECT count(*) FROM api_key") == 1


async def test_a_claim_token_runs_out_thirty_days_after_approval(office: Office) -> None:
    _, early = await office.approved()
    office.clock.move(days=30, seconds=-1)
    await partners.claim_key(office.db, office.keyring, early)
    other = msgspec.structs.replace(APPLICATION, registration_number="971240001315")
    partner, late = await partners.apply(office.db, office.keyring, other)
    await partners.approve(office.db, await office.operator(), partner.id)
    office.clock.move(days=30)

    with pytest.raises(partners.ClaimExpiredError):
        await partners.claim_key(office.db, office.keyring, late)


async def test_a_wrong_claim_token_is_refused_whoever_it_names(office: Office) -> None:
    partner, claim = await office.approved()
    claim_id, _, secret = claim.reveal().partition(".")

    for wrong in (
        f"{claim_id}.{'x' * 43}", f"{claim_id}.", claim_id, "", f"{new_id('clm')}.{secret}", f"{partner.id}.{secret}",
    ):  # fmt: skip
        with pytest.raises(partners.InvalidClaimError):
            await partners.claim_key(office.db, office.keyring, Secret(wrong))


async def test_a_suspended_or_closed_partner_cannot_claim(office: Office) -> None:
    partner, claim = await office.approved()
    operator = await office.operator()

    await partners.suspend(office.db, operator, partner.id, "under review")
    with pytest.raises(partners.PartnerSuspendedError):
        await partners.claim_key(office.db, office.keyring, claim)
    await partners.close(office.db, operator, partner.id, "withdrawn")
    with pytest.raises(partners.PartnerClosedError):
        await partners.claim_key(office.db, office.keyring, claim)


async def test_operators_list_partners_page_by_page_and_by_status(office: Office) -> None:
    made = [(await office.applied())[0] for _ in range(3)]
    operator = await office.operator()
    await partners.approve(office.db, operator, made[1].id)

    first = await partners.list_partners(office.db, operator, PageRequest(limit=2))
    rest = await partners.list_partners(office.db, operator, PageRequest.read(first.next_cursor, 2))
    approved = await partners.list_partners(office.db, operator, PageRequest(), status=PartnerStatus.APPROVED)

    assert [partner.id for partner in first.items + rest.items] == [partner.id for partner in reversed(made)]
    assert rest.next_cursor == ""
    assert [partner.id for partner in approved.items] == [made[1].id]


async def test_a_partner_sees_itself_and_nobody_else(office: Office) -> None:
    actor = await office.integrated()
    other, _ = await office.applied()

    own = await partners.find_partner(office.db, actor)

    assert own.id == actor.partner_id
    with pytest.raises(partners.PartnerNotFoundError):
        await partners.find_partner(office.db, actor, other.id)
    with pytest.raises(MissingScopeError):
        await partners.list_partners(office.db, actor, PageRequest())
    with pytest.raises(MissingScopeError):
        await partners.find_partner(office.db, await office.operator("partners:write"), other.id)


async def test_acting_for_a_partner_needs_an_approved_one(office: Office) -> None:
    partner, _ = await office.applied()

    with pytest.raises(partners.PartnerNotApprovedError):
        await partners.act_for(office.db, await office.operator(), partner.id, Environment.SANDBOX)
    with pytest.raises(MissingScopeError):
        await partners.act_for(office.db, await office.operator("partners:write"), partner.id, Environment.SANDBOX)


async def test_no_scope_is_both_a_partners_and_an_operators_to_write(database: Database) -> None:
    shared = partners.SCOPES & partners.OPERATOR_SCOPES

    assert {scope.partition(":")[2] for scope in shared} == {"read"}


async def test_the_audit_log_names_who_decided(office: Office) -> None:
    partner, _ = await office.applied()
    operator = (await office.operator()).with_request("req_7")
    await partners.approve(office.db, operator, partner.id)

    async with office.db.begin(SYSTEM) as tx:
        entry = await tx.row("SELECT * FROM audit_entry WHERE action = 'partner.approved'")

    assert entry is not None
    assert (entry["actor"], entry["subject"], entry["request_id"]) == (f"operator:{operator.id}", partner.id, "req_7")
    assert entry["partner_id"] == partner.id
