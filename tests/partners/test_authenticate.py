from __future__ import annotations

import asyncio
import hmac
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta

import pytest

from shanraq import partners
from shanraq.core.actor import SYSTEM, Actor, ActorKind, Environment, MissingScopeError
from shanraq.core.crypto import Keyring
from shanraq.core.db import Database, Tx
from shanraq.core.identity import InvalidDetailError
from shanraq.core.ids import new_id
from shanraq.core.secret import Secret
from shanraq.partners import NewKey, OperatorToken, SignedCredentials
from shanraq.partners.cache import ENTRY_LIMIT, KeyCache, cache_of
from tests.partners.conftest import Office

SANDBOX = Environment.SANDBOX


class CountingDatabase(Database):
    """A database that counts the transactions begun in it."""

    begun = 0

    @asynccontextmanager
    async def begin(self, actor: Actor) -> AsyncIterator[Tx]:
        self.begun += 1
        async with super().begin(actor) as tx:
            yield tx


@pytest.fixture
async def counting(office: Office) -> CountingDatabase:
    return CountingDatabase(office.db._pool, office.clock)


async def test_a_key_and_its_secret_are_the_partner(office: Office) -> None:
    issued = await office.claimed()

    actor = await office.enter(issued)

    assert actor.kind is ActorKind.PARTNER
    assert (actor.id, actor.environment, actor.certifying) == (issued.id, SANDBOX, False)


async def test_an_unknown_key_and_a_wrong_secret_are_refused_alike(office: Office) -> None:
    issued = await office.claimed()
    secret = issued.secret.reveal()
    attempts = [
        (issued.id, secret[:-1] + ("A" if secret[-1] != "A" else "B")),
        (issued.id, ""),
        (issued.id, issued.signing_secret.reveal()),
        (issued.id, "пароль"),
        (new_id("key"), secret),
        ("key_nonsense", secret),
        ("", secret),
        ("key_' OR true --", secret),
    ]

    refusals = []
    for key_id, shown in attempts:
        with pytest.raises(partners.InvalidCredentialsError) as refused:
            await office.enter_as(key_id, shown)
        refusals.append((refused.value.code, refused.value.detail, refused.value.field))

    assert len(set(refusals)) == 1


async def test_a_secret_opens_its_own_key_only(office: Office) -> None:
    actor = await office.integrated()
    first, second = await office.issue(actor, "payments:read"), await office.issue(actor, "payments:read")

    with pytest.raises(partners.InvalidCredentialsError):
        await office.enter_as(first.id, second.secret.reveal())


async def test_a_stored_hash_moved_to_another_key_opens_nothing(office: Office, owner_dsn: str) -> None:
    actor = await office.integrated()
    weak, strong = await office.issue(actor, "payments:read"), await office.issue(actor)
    owner = await Database.connect(owner_dsn, role=None)
    async with owner.begin(SYSTEM) as tx:
        await tx.execute(
            "UPDATE api_key SET secret_hash = (SELECT secret_hash FROM api_key WHERE id = $1) WHERE id = $2",
            weak.id, strong.id,
        )  # fmt: skip
    await owner.close()

    with pytest.raises(partners.InvalidCredentialsError):
        await office.enter_as(strong.id, weak.secret.reveal())


async def test_another_installations_keyring_opens_nothing(office: Office) -> None:
    issued = await office.claimed()

    with pytest.raises(partners.InvalidCredentialsError):
        await partners.authenticate(office.db, Keyring.generate(), partners.BasicCredentials(issued.id, issued.secret))


# Signed requests


async def test_a_signed_request_is_the_partner(office: Office) -> None:
    issued = await office.claimed()

    actor = await office.enter_signed(office.signed(issued))

    assert actor.id == issued.id


def test_the_signed_text_is_what_the_documentation_says() -> None:
    signed = SignedCredentials("key_1", 1_900_000_000, "n" * 16, b"", "GET", "/v1/accounts?limit=1", "e3b0")

    assert signed.signed_text == b"v1\n1900000000\nnnnnnnnnnnnnnnnn\nGET\n/v1/accounts?limit=1\ne3b0"


@pytest.mark.parametrize(
    "change",
    [
        {"method": "GET"},
        {"target": "/v1/payments?a=2"},
        {"target": "/v1/payments"},
        {"body_sha256": "0" * 64},
        {"nonce": "n-1111111111111111"},
        {"signature": bytes(32)},
        {"signature": b""},
        {"key_id": "key_nonsense"},
    ],
)
async def test_a_signature_covers_the_whole_request(office: Office, change: dict[str, object]) -> None:
    signed = office.signed(await office.claimed())

    with pytest.raises(partners.InvalidCredentialsError):
        await office.enter_signed(replace(signed, **change))  # type: ignore[arg-type]


async def test_a_signature_covers_the_timestamp(office: Office) -> None:
    signed = office.signed(await office.claimed())

    with pytest.raises(partners.InvalidCredentialsError):
        await office.enter_signed(replace(signed, timestamp=signed.timestamp + 1))


async def test_another_keys_signature_is_refused(office: Office) -> None:
    actor = await office.integrated()
    first, second = await office.issue(actor, "payments:read"), await office.issue(actor, "payments:read")

    for key_id in (second.id, new_id("key")):
        with pytest.raises(partners.InvalidCredentialsError):
            await office.enter_signed(replace(office.signed(first), key_id=key_id))


async def test_the_secret_of_basic_does_not_sign(office: Office) -> None:
    issued = await office.claimed()
    signed = office.signed(issued)
    wrong = hmac.digest(issued.secret.reveal().encode(), signed.signed_text, "sha256")

    with pytest.raises(partners.InvalidCredentialsError):
        await office.enter_signed(replace(signed, signature=wrong))


@pytest.mark.parametrize("nonce", ["short", "n" * 65, "n" * 15 + "!", "n" * 15 + "\n"])
async def test_a_nonce_has_a_form(office: Office, nonce: str) -> None:
    issued = await office.claimed()

    with pytest.raises(partners.InvalidCredentialsError):
        await office.enter_signed(office.signed(issued, nonce=nonce))


@pytest.mark.parametrize("offset_seconds", [-301, 301, -(10**9), 10**12, 10**18])
async def test_a_signature_is_good_within_five_minutes_of_the_clock(office: Office, offset_seconds: int) -> None:
    issued = await office.claimed()
    now = int(office.clock.now.timestamp())

    with pytest.raises(partners.SignatureExpiredError):
        await office.enter_signed(office.signed(issued, timestamp=now + offset_seconds))

    for accepted in (-300, 300):
        assert await office.enter_signed(office.signed(issued, timestamp=now + accepted))


async def test_a_replayed_request_is_refused_in_every_process(office: Office, other_process: Database) -> None:
    signed = office.signed(await office.claimed())
    await office.enter_signed(signed)

    for db in (office.db, other_process):
        with pytest.raises(partners.NonceReusedError):
            await office.enter_signed(signed, db=db)


async def test_of_many_replays_at_once_one_is_accepted(office: Office, other_process: Database) -> None:
    signed = office.signed(await office.claimed())

    results = await asyncio.gather(
        *(office.enter_signed(signed, db=db) for db in (office.db, other_process) * 4), return_exceptions=True
    )

    assert sorted(type(result).__name__ for result in results) == ["Actor"] + ["NonceReusedError"] * 7


async def test_a_nonce_belongs_to_its_key(office: Office) -> None:
    actor = await office.integrated()
    first, second = await office.issue(actor, "payments:read"), await office.issue(actor, "payments:read")
    await office.enter_signed(office.signed(first, nonce="n" * 16))

    assert await office.enter_signed(office.signed(second, nonce="n" * 16))


async def test_of_requests_at_once_with_one_nonce_one_gets_in(office: Office) -> None:
    issued = await office.issue(await office.integrated(), "payments:read")
    twins = [office.signed(issued, nonce="n" * 16) for _ in range(5)]
    others = [office.signed(issued, nonce=f"{number:016}") for number in range(5)]

    results = await asyncio.gather(*map(office.enter_signed, [*twins, *others]), return_exceptions=True)

    assert sum(isinstance(result, partners.NonceReusedError) for result in results[:5]) == 4
    assert not any(isinstance(result, BaseException) for result in results[5:])


async def test_a_wrong_signature_uses_no_nonce_up(office: Office) -> None:
    signed = office.signed(await office.claimed())
    with pytest.raises(partners.InvalidCredentialsError):
        await office.enter_signed(replace(signed, signature=bytes(32)))

    assert await office.enter_signed(signed)


async def test_nonces_are_kept_for_as_long_as_they_could_be_replayed(office: Office) -> None:
    issued = await office.claimed()
    early = office.signed(issued, timestamp=int(office.clock.now.timestamp()) + 300)
    await office.enter_signed(early)
    office.clock.move(seconds=600)

    assert await partners.prune_nonces(office.db) == 0
    with pytest.raises(partners.NonceReusedError):
        await office.enter_signed(early)
    office.clock.move(seconds=61)
    with pytest.raises(partners.SignatureExpiredError):
        await office.enter_signed(early)
    assert await partners.prune_nonces(office.db) == 1


async def test_a_nonce_may_come_again_when_its_time_is_over(office: Office) -> None:
    issued = await office.claimed()
    await office.enter_signed(office.signed(issued, nonce="n" * 16))
    office.clock.move(hours=1)

    assert await office.enter_signed(office.signed(issued, nonce="n" * 16))


# The memory of the process


async def test_a_hot_request_makes_no_round_trip_to_the_database(office: Office, counting: CountingDatabase) -> None:
    issued = await office.claimed()
    await office.enter(issued, db=counting)
    before = counting.begun

    for _ in range(50):
        await office.enter(issued, db=counting)

    assert counting.begun == before


async def test_requests_that_wait_for_the_same_key_load_it_once(office: Office, counting: CountingDatabase) -> None:
    issued = await office.claimed()
    await office.enter(issued)
    before = counting.begun

    await asyncio.gather(*(office.enter(issued, db=counting) for _ in range(20)))

    assert counting.begun == before + 1


async def test_a_cancelled_request_does_not_take_the_others_with_it(office: Office) -> None:
    issued = await office.claimed()
    first, second = (asyncio.create_task(office.enter(issued)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()

    assert (await second).id == issued.id


async def test_guesses_are_remembered_apart_and_within_a_bound(office: Office, counting: CountingDatabase) -> None:
    issued = await office.claimed()
    await office.enter(issued, db=counting)
    stranger = new_id("key")
    cache = cache_of(counting)
    for _ in range(2):
        await cache.get(counting, stranger)
    before = counting.begun

    await cache.get(counting, stranger)
    await office.enter(issued, db=counting)

    assert counting.begun == before
    assert (len(cache._keys), len(cache._strangers)) == (1, 1)
    assert ENTRY_LIMIT >= 1000


async def test_another_process_sees_a_revocation_within_a_second(office: Office, other_process: Database) -> None:
    issued = await office.claimed()
    await office.enter(issued, db=other_process)
    await partners.revoke_key(office.db, await office.enter(issued), issued.id)

    with pytest.raises(partners.KeyRevokedError):
        await office.enter(issued)
    office.clock.move(seconds=1)
    with pytest.raises(partners.KeyRevokedError):
        await office.enter(issued, db=other_process)


async def test_a_clock_set_back_does_not_make_the_memory_last(office: Office, other_process: Database) -> None:
    issued = await office.claimed()
    await office.enter(issued, db=other_process)
    await partners.revoke_key(office.db, await office.enter(issued), issued.id)
    office.clock.move(hours=-1)

    with pytest.raises(partners.KeyRevokedError):
        await office.enter(issued, db=other_process)


async def test_what_was_read_before_a_change_is_not_remembered_after_it(office: Office) -> None:
    issued = await office.claimed()
    cache = KeyCache()

    class ChangedMeanwhile(Database):
        @asynccontextmanager
        async def begin(self, actor: Actor) -> AsyncIterator[Tx]:
            cache.forget()
            async with super().begin(actor) as tx:
                yield tx

    assert await cache.get(ChangedMeanwhile(office.db._pool, office.clock), issued.id)

    assert not cache._keys


async def test_an_amendment_of_what_was_read_again_meanwhile_is_dropped(office: Office) -> None:
    issued = await office.claimed()
    cache = KeyCache()
    stale = await cache.get(office.db, issued.id)
    cache.forget()
    fresh = await cache.get(office.db, issued.id)
    assert stale is not None

    cache.amend(stale, replace(stale, revoked_at=None, last_used_at=office.clock.now))

    assert await cache.get(office.db, issued.id) is fresh


async def test_the_last_use_is_written_once_a_minute(office: Office, counting: CountingDatabase) -> None:
    issued = await office.claimed()
    started = office.clock.now
    used = []
    for _ in range(5):
        await office.enter(issued, db=counting)
        async with office.db.begin(SYSTEM) as tx:
            used.append(await tx.value("SELECT last_used_at FROM api_key") - started)
        office.clock.move(seconds=30)

    assert used == [timedelta(seconds=seconds) for seconds in (0, 0, 60, 60, 120)]


# Allow lists


async def test_a_key_works_from_its_networks_only(office: Office) -> None:
    actor = await office.integrated()
    new = NewKey(environment=SANDBOX, scopes=("payments:read",), name="k", allowed_ips=("192.0.2.0/24", "2001:db8::1"))
    issued = await partners.issue_key(office.db, office.keyring, actor, new)

    for inside in ("192.0.2.7", "::ffff:192.0.2.7", "2001:db8::1"):
        assert await office.enter(issued, address=inside)
    for outside in ("192.0.3.7", "2001:db8::2", "", "unix"):
        with pytest.raises(partners.AddressNotAllowedError):
            await office.enter(issued, address=outside)


async def test_a_wrong_secret_is_not_told_about_networks(office: Office) -> None:
    actor = await office.integrated()
    new = NewKey(environment=SANDBOX, scopes=("payments:read",), name="k", allowed_ips=("192.0.2.1",))
    issued = await partners.issue_key(office.db, office.keyring, actor, new)

    with pytest.raises(partners.InvalidCredentialsError):
        await office.enter_as(issued.id, "wrong")


# Operators


async def test_an_operator_enters_with_its_token(office: Office) -> None:
    async with office.db.begin(SYSTEM) as tx:
        operator, token = await partners.create_operator(tx, office.keyring, "Dana", ["partners:read"])

    actor = await partners.authenticate(office.db, office.keyring, OperatorToken(token))

    assert (actor.kind, actor.id, actor.scopes) == (ActorKind.OPERATOR, operator.id, frozenset({"partners:read"}))
    assert token.reveal().startswith(operator.id + ".")
    assert len(token.reveal()) == 4 + 26 + 1 + 43


async def test_a_wrong_token_is_refused(office: Office) -> None:
    operator = await office.operator()

    for wrong in (f"{operator.id}.{'x' * 43}", f"{new_id('opr')}.{'x' * 43}", operator.id, "", "token", "key_1.x"):
        with pytest.raises(partners.InvalidCredentialsError):
            await partners.authenticate_operator(office.db, office.keyring, Secret(wrong))


async def test_an_operator_needs_a_name_and_scopes_that_exist(office: Office) -> None:
    async with office.db.begin(SYSTEM) as tx:
        for name, scopes, error in (
            ("", ["partners:read"], InvalidDetailError),
            ("Dana", [], partners.UnknownScopeError),
            ("Dana", ["payments:write"], partners.UnknownScopeError),
        ):
            with pytest.raises(error):
                await partners.create_operator(tx, office.keyring, name, scopes)


async def test_a_disabled_operator_is_out(office: Office) -> None:
    async with office.db.begin(SYSTEM) as tx:
        operator, token = await partners.create_operator(tx, office.keyring, "Dana", ["partners:read"])
    chief = await office.operator()

    with pytest.raises(MissingScopeError):
        await partners.disable_operator(office.db, await office.operator("partners:read"), operator.id)
    with pytest.raises(partners.OperatorNotFoundError):
        await partners.disable_operator(office.db, chief, new_id("opr"))
    await partners.disable_operator(office.db, chief, operator.id)

    with pytest.raises(partners.OperatorDisabledError):
        await partners.authenticate_operator(office.db, office.keyring, token)
