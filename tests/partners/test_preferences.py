from __future__ import annotations

from typing import Any

import msgspec
import pytest

from shanraq import partners
from shanraq.core.actor import Environment, MissingScopeError
from shanraq.core.errors import InvalidInputError
from shanraq.partners import Preferences
from tests.partners.conftest import Office

FULL = Preferences(
    settlement_currency="USD",
    statement_descriptor="ALMA*PAY",
    notification_emails=("ops@alma.example",),
    allow_overdraft_accounts=True,
    allowed_ips=("192.0.2.0/24",),
)


async def test_a_partner_without_preferences_has_the_defaults(office: Office) -> None:
    assert await partners.find_preferences(office.db, await office.integrated()) == Preferences()


async def test_preferences_are_replaced_as_a_whole(office: Office) -> None:
    actor = await office.integrated()
    await partners.configure(office.db, actor, FULL)
    full = await partners.find_preferences(office.db, actor)
    await partners.configure(office.db, actor, Preferences(settlement_currency="EUR"))

    assert full == FULL
    assert await partners.find_preferences(office.db, actor) == Preferences(settlement_currency="EUR")
    assert (await office.audited()).count("partner.configured") == 2


async def test_each_environment_has_its_own_preferences(office: Office) -> None:
    sandbox = await office.went_live()
    live = await office.enter(await office.issue(sandbox, environment=Environment.LIVE))
    await partners.configure(office.db, sandbox, Preferences(settlement_currency="USD"))

    assert await partners.find_preferences(office.db, live) == Preferences()


@pytest.mark.parametrize(
    ("field", "value", "named"),
    [
        ("settlement_currency", "XXX", "settlement_currency"),
        ("statement_descriptor", "x" * 23, "statement_descriptor"),
        ("statement_descriptor", "Алма", "statement_descriptor"),
        ("statement_descriptor", " ALMA", "statement_descriptor"),
        ("webhook_api_version", "1999-01-01", "webhook_api_version"),
        ("notification_emails", ("ops@alma.example", "ops"), "notification_emails[1]"),
        ("notification_emails", ("ops@alma.example",) * 11, "notification_emails"),
        ("allowed_ips", ("192.0.2.1/24",), "allowed_ips[0]"),
    ],
)
async def test_a_wrong_preference_is_named(office: Office, field: str, value: Any, named: str) -> None:
    actor = await office.integrated()

    with pytest.raises(InvalidInputError) as refused:
        await partners.configure(office.db, actor, msgspec.structs.replace(Preferences(), **{field: value}))

    assert refused.value.field == named


async def test_the_allow_list_of_the_preferences_binds_every_key_of_the_environment(office: Office) -> None:
    sandbox_key = await office.claimed()
    actor = await office.enter(sandbox_key)
    await partners.configure(office.db, actor, Preferences(allowed_ips=("192.0.2.0/24",)))

    with pytest.raises(partners.AddressNotAllowedError):
        await office.enter(sandbox_key, address="198.51.100.1")
    assert await office.enter(sandbox_key, address="192.0.2.9")


async def test_accounts_below_zero_are_a_sandbox_choice_of_the_partners(office: Office) -> None:
    issued = await office.claimed()
    before = await office.enter(issued)

    await partners.configure(office.db, before, Preferences(allow_overdraft_accounts=True))

    assert "accounts:overdraft" not in before.scopes
    assert "accounts:overdraft" in (await office.enter(issued)).scopes


async def test_in_live_accounts_below_zero_are_the_operators_to_allow(office: Office) -> None:
    sandbox = await office.went_live()
    live_key = await office.issue(sandbox, environment=Environment.LIVE)
    live = await office.enter(live_key)
    wanted = Preferences(allow_overdraft_accounts=True)
    with pytest.raises(partners.OverdraftPermissionError):
        await partners.configure(office.db, live, wanted)
    operator = await partners.act_for(office.db, await office.operator(), live.partner_id, Environment.LIVE)

    await partners.configure(office.db, operator, wanted)

    assert "accounts:overdraft" in (await office.enter(live_key)).scopes
    kept = await partners.configure(office.db, live, msgspec.structs.replace(wanted, settlement_currency="USD"))
    assert kept.allow_overdraft_accounts


async def test_preferences_need_their_scopes(office: Office) -> None:
    reader = await office.enter(await office.issue(await office.integrated(), "payments:read"))
    operator = await office.operator("partners:read")
    confined = await partners.act_for(office.db, operator, reader.partner_id, Environment.SANDBOX)

    for call in (
        partners.configure(office.db, reader, Preferences()),
        partners.configure(office.db, confined, Preferences()),
    ):
        with pytest.raises(MissingScopeError):
            await call
    with pytest.raises(MissingScopeError):
        await partners.find_preferences(office.db, reader)
