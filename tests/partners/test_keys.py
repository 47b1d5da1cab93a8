from __future__ import annotations

import asyncio
from dataclasses import replace

import asyncpg
import pytest

from shanraq import partners
from shanraq.core.actor import Environment, MissingScopeError
from shanraq.core.identity import InvalidDetailError
from shanraq.core.ids import new_id
from shanraq.core.page import PageRequest
from shanraq.partners import KeyStatus, NewKey
from tests.partners.conftest import Office

SANDBOX, LIVE = Environment.SANDBOX, Environment.LIVE


async def test_an_issued_key_works_and_allows_what_it_was_given(office: Office) -> None:
    issued = await office.issue(await office.integrated(), "payments:read", "payments:write")

    actor = await office.enter(issued)

    assert actor.id == issued.id
    assert actor.scopes == {"payments:read", "payments:write"}
    assert (await office.events())[-1] == ("api_key.created", "sandbox")


@pytest.mark.parametrize("scopes", [(), ("payments:fly",), ("partners:approve",), ("accounts:overdraft",)])
async def test_a_key_needs_scopes_that_exist(office: Office, scopes: tuple[str, ...]) -> None:
    actor = await office.integrated()

    with pytest.raises(partners.UnknownScopeError) as refused:
        await partners.issue_key(office.db, office.keyring, actor, NewKey(environment=SANDBOX, scopes=scopes, name="k"))

    assert refused.value.field == "scopes"


async def test_a_key_never_allows_more_than_its_issuer(office: Office) -> None:
    issuer = await office.enter(await office.issue(await office.integrated(), "keys:write", "payments:read"))

    with pytest.raises(partners.ScopeExceededError):
        await office.issue(issuer, "payments:read", "payments:write")

    assert (await office.issue(issuer, "payments:read")).scopes == ("payments:read",)


async def test_issuing_rotating_and_revoking_need_their_scope(office: Office) -> None:
    reader = await office.enter(await office.issue(await office.integrated(), "payments:read"))

    for call in (
        office.issue(reader, "payments:read"),
        partners.rotate_key(office.db, office.keyring, reader, reader.id),
        partners.revoke_key(office.db, reader, reader.id),
        partners.list_keys(office.db, reader, PageRequest()),
    ):
        with pytest.raises(MissingScopeError):
            await call


async def test_a_key_needs_a_name_and_a_right_allow_list(office: Office) -> None:
    actor = await office.integrated()

    async def issue(name: str, *allowed_ips: str) -> None:
        new = NewKey(environment=SANDBOX, scopes=("payments:read",), name=name, allowed_ips=allowed_ips)
        await partners.issue_key(office.db, office.keyring, actor, new)

    with pytest.raises(InvalidDetailError):
        await issue("")
    for wrong in ("192.0.2.1/24", "example.com", "", "300.0.0.1"):
        with pytest.raises(partners.InvalidNetworkError) as refused:
            await issue("k", "192.0.2.0/24", wrong)
        assert refused.value.field == "allowed_ips[1]"
    with pytest.raises(partners.InvalidNetworkError):
        await issue("k", *(f"10.0.0.{n}" for n in range(51)))


async def test_a_live_key_needs_a_live_partner(office: Office) -> None:
    actor = await office.certified()

    with pytest.raises(partners.PartnerNotLiveError):
        await office.issue(actor, environment=LIVE)


async def test_a_sandbox_key_issues_the_first_live_key_only(office: Office) -> None:
    sandbox = await office.went_live()
    live = await office.enter(await office.issue(sandbox, environment=LIVE))

    with pytest.raises(partners.LiveKeyRequiredError):
        await office.issue(sandbox, environment=LIVE)
    await partners.revoke_key(office.db, live, live.id)
    with pytest.raises(partners.LiveKeyRequiredError):
        await office.issue(sandbox, environment=LIVE)

    assert (await office.events())[-1] == ("api_key.revoked", "live")


async def test_live_keys_issue_keys_of_both_environments(office: Office) -> None:
    live = await office.live_actor()

    second = await office.enter(await office.issue(live, "payments:read", environment=LIVE))
    back = await office.enter(await office.issue(live, "payments:read", environment=SANDBOX))

    assert (second.environment, second.book) == (LIVE, live.book)
    assert (back.environment, back.book) == (SANDBOX, live.book - 1)


async def test_a_partner_has_a_bound_on_working_keys(office: Office) -> None:
    actor = await office.integrated()
    issued = [await office.issue(actor, "payments:read") for _ in range(99)]

    with pytest.raises(partners.TooManyKeysError):
        await office.issue(actor, "payments:read")
    await partners.revoke_key(office.db, actor, issued[0].id)

    assert await office.issue(actor, "payments:read")


async def test_a_key_of_one_environment_does_not_exist_in_the_other(office: Office) -> None:
    sandbox = await office.went_live()
    live = await office.enter(await office.issue(sandbox, environment=LIVE))

    for actor, foreign in ((sandbox, live.id), (live, sandbox.id)):
        with pytest.raises(partners.KeyNotFoundError):
            await partners.revoke_key(office.db, actor, foreign)
        with pytest.raises(partners.KeyNotFoundError):
            await partners.rotate_key(office.db, office.keyring, actor, foreign)
        listed = (await partners.list_keys(office.db, actor, PageRequest())).items
        assert [key.id for key in listed] == [actor.id]


async def test_rotation_gives_a_new_key_that_allows_the_same(office: Office) -> None:
    actor = await office.integrated()
    new = NewKey(environment=SANDBOX, scopes=("payments:read",), name="shop", allowed_ips=("192.0.2.0/24",))
    old = await partners.issue_key(office.db, office.keyring, actor, new)

    rotated = await partners.rotate_key(office.db, office.keyring, actor, old.id)

    assert rotated.id != old.id
    assert rotated.key.replaces == old.id
    assert (rotated.scopes, rotated.key.name, rotated.key.allowed_ips) == (old.scopes, "shop", ("192.0.2.0/24",))
    assert (rotated.secret, rotated.signing_secret) != (old.secret, old.signing_secret)
    assert (await office.events())[-1] == ("api_key.rotated", "sandbox")


async def test_the_old_key_works_until_the_overlap_ends(office: Office) -> None:
    actor = await office.integrated()
    old = await office.issue(actor, "payments:read")
    rotated = await partners.rotate_key(office.db, office.keyring, actor, old.id, overlap_seconds=3600)

    office.clock.move(seconds=3599)
    assert (await office.enter(old)).id == old.id
    office.clock.move(seconds=1)

    with pytest.raises(partners.KeyExpiredError):
        await office.enter(old)
    with pytest.raises(partners.KeyExpiredError):
        await office.enter_signed(office.signed(old))
    assert (await office.enter(rotated)).id == rotated.id


async def test_a_remembered_key_ends_on_the_instant(office: Office) -> None:
    actor = await office.integrated()
    old = await office.issue(actor, "payments:read")
    await partners.rotate_key(office.db, office.keyring, actor, old.id, overlap_seconds=1)
    office.clock.move(seconds=0.9)
    await office.enter(old)
    office.clock.move(seconds=0.1)

    with pytest.raises(partners.KeyExpiredError):
        await office.enter(old)


async def test_rotation_without_overlap_ends_the_old_key_at_once(office: Office) -> None:
    actor = await office.integrated()
    old = await office.issue(actor, "payments:read")
    await office.enter(old)

    await partners.rotate_key(office.db, office.keyring, actor, old.id, overlap_seconds=0)

    with pytest.raises(partners.KeyExpiredError):
        await office.enter(old)


@pytest.mark.parametrize("overlap_seconds", [-1, 604_801])
async def test_an_overlap_has_limits(office: Office, overlap_seconds: int) -> None:
    actor = await office.integrated()

    with pytest.raises(partners.InvalidOverlapError):
        await partners.rotate_key(office.db, office.keyring, actor, actor.id, overlap_seconds)


async def test_a_key_is_rotated_once(office: Office) -> None:
    actor = await office.integrated()
    old = await office.issue(actor, "payments:read")

    results = await asyncio.gather(
        *(partners.rotate_key(office.db, office.keyring, actor, old.id) for _ in range(4)), return_exceptions=True
    )

    assert sorted(type(result).__name__ for result in results) == ["IssuedKey"] + ["KeyRotatedError"] * 3


async def test_a_key_that_ended_cannot_be_rotated(office: Office) -> None:
    actor = await office.integrated()
    revoked, expired = await office.issue(actor, "payments:read"), await office.issue(actor, "payments:read")
    await partners.revoke_key(office.db, actor, revoked.id)
    await partners.rotate_key(office.db, office.keyring, actor, expired.id, overlap_seconds=0)

    for ended in (revoked, expired):
        with pytest.raises(partners.KeyNotActiveError):
            await partners.rotate_key(office.db, office.keyring, actor, ended.id)
    with pytest.raises(partners.KeyNotFoundError):
        await partners.rotate_key(office.db, office.keyring, actor, new_id("key"))


async def test_a_key_cannot_rotate_one_that_is_allowed_more(office: Office) -> None:
    actor = await office.integrated()
    small = await office.enter(await office.issue(actor, "keys:write"))

    with pytest.raises(partners.ScopeExceededError):
        await partners.rotate_key(office.db, office.keyring, small, actor.id)


async def test_a_revoked_key_stops_at_once_and_revoking_again_changes_nothing(office: Office) -> None:
    actor = await office.integrated()
    issued = await office.issue(actor, "payments:read")
    await office.enter(issued)

    first = await partners.revoke_key(office.db, actor, issued.id)
    office.clock.move(seconds=5)
    again = await partners.revoke_key(office.db, actor, issued.id)

    assert first.status is KeyStatus.REVOKED
    assert again == first
    with pytest.raises(partners.KeyRevokedError):
        await office.enter(issued)
    with pytest.raises(partners.KeyRevokedError):
        await office.enter_signed(office.signed(issued))
    assert [name for name, _ in await office.events()].count("api_key.revoked") == 1


async def test_an_operator_revokes_in_a_partners_stead_and_never_holds_a_key(office: Office) -> None:
    issued = await office.claimed()
    actor = await office.enter(issued)
    operator = await partners.act_for(office.db, await office.operator(), actor.partner_id, SANDBOX)

    with pytest.raises(MissingScopeError):
        await office.issue(operator, "payments:read")
    with pytest.raises(MissingScopeError):
        await partners.rotate_key(office.db, office.keyring, operator, issued.id)
    with pytest.raises(MissingScopeError):
        await partners.revoke_key(office.db, replace(operator, scopes=frozenset({"partners:read"})), issued.id)
    await partners.revoke_key(office.db, operator, issued.id)

    with pytest.raises(partners.KeyRevokedError):
        await office.enter(issued)


async def test_keys_are_listed_newest_first_without_secrets(office: Office) -> None:
    actor = await office.integrated()
    issued = [await office.issue(actor, "payments:read") for _ in range(3)]
    await partners.rotate_key(office.db, office.keyring, actor, issued[0].id, overlap_seconds=0)

    first = await partners.list_keys(office.db, actor, PageRequest(limit=2))
    rest = await partners.list_keys(office.db, actor, PageRequest.read(first.next_cursor, 10))

    keys = first.items + rest.items
    assert [key.id for key in keys[1:]] == [issued[2].id, issued[1].id, issued[0].id, actor.id]
    assert [key.status for key in keys[1:4]] == ["active", "active", "expired"]
    assert not any("secret" in name for name in keys[0].__struct_fields__)


async def test_no_partner_sees_the_keys_of_another(office: Office) -> None:
    actor = await office.integrated()
    stranger = replace(actor, partner_id=new_id("prt"))

    assert (await partners.list_keys(office.db, stranger, PageRequest())).items == ()
    async with office.db.begin(stranger) as tx:
        for table in ("api_key", "partner", "certification_run", "partner_preferences", "api_nonce", "operator"):
            assert await tx.value(f"SELECT count(*) FROM {table}") == 0, table


async def test_a_partner_cannot_write_rows_of_another(office: Office) -> None:
    actor = await office.integrated()
    stranger = replace(actor, partner_id=new_id("prt"))

    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with office.db.begin(stranger) as tx:
            await tx.execute(
                "INSERT INTO certification_run (id, partner_id, environment, status, started_at) "
                "VALUES ('crt_1', $1, 'sandbox', 'open', now())",
                actor.partner_id,
            )
    async with office.db.begin(stranger) as tx:
        assert await tx.execute("UPDATE api_key SET revoked_at = now()") == 0
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with office.db.begin(actor) as tx:
            await tx.execute("UPDATE api_key SET scopes = '{}'")


async def test_no_secret_is_anywhere_in_the_database(office: Office, owner_dsn: str) -> None:
    partner, claim = await office.applied()
    operator = await office.operator()
    await partners.approve(office.db, operator, partner.id)
    first = await partners.claim_key(office.db, office.keyring, claim)
    actor = await office.enter(first)
    second = await partners.rotate_key(office.db, office.keyring, actor, first.id)
    await office.enter_signed(office.signed(second))
    canaries = [claim.reveal().partition(".")[2]]
    for issued in (first, second):
        canaries += [issued.secret.reveal(), issued.signing_secret.reveal()]

    dump = await _dump(owner_dsn)

    assert partner.id in dump
    assert "Alma Pay" in dump
    for canary in canaries:
        bare = canary.removeprefix("shq_sandbox_").removeprefix("shq_sign_")
        assert len(bare) == 43
        assert bare not in dump
        assert bare.encode().hex() not in dump
        assert canary.encode().hex() not in dump


async def test_secrets_do_not_show(office: Office) -> None:
    issued = await office.claimed()

    shown = f"{issued} {issued!r} {office.signed(issued)!r}"

    assert issued.secret.reveal() not in shown
    assert issued.signing_secret.reveal() not in shown


async def _dump(owner_dsn: str) -> str:
    """Return all rows of all tables as text; bytes appear in hexadecimal."""
    connection = await asyncpg.connect(owner_dsn)
    try:
        tables = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        rows = [
            row["line"]
            for table in tables
            for row in await connection.fetch(f'SELECT t::text AS line FROM "{table["tablename"]}" t')
        ]
    finally:
        await connection.close()
    return "\n".join(rows)
