"""A cardholder is authenticated, at once or by a challenge; a payment uses the result up; its value is never shown."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
from msgspec import json

from shanraq import payments
from shanraq.core.actor import SYSTEM, Environment
from shanraq.core.crypto import Keyring, new_key_id
from shanraq.core.errors import ShanraqError
from shanraq.core.ids import InvalidIdError
from shanraq.core.lifecycle import IllegalMoveError
from shanraq.core.money import InvalidAmountError
from shanraq.core.reseal import reseal
from shanraq.core.secret import Pan
from shanraq.payments.adapter import (
    Advice,
    Authenticate,
    Authorize,
    Challenge,
    DeclineClass,
    DeviceCollection,
    NotAuthenticated,
    Reason,
    StartAuthentication,
    Unknown,
)
from tests.money_world import partner, unknown_id
from tests.payments.conftest import AbleShop, Shop
from tests.payments.gateway import SUCCESSFUL

ASKED = payments.AuthenticationRequest(
    return_url="https://shop.example/return", device=payments.DeviceDetails(ip_address="192.0.2.7")
)
CHALLENGE = Challenge("3ds-1", "https://acs.example/challenge", (("creq", "e30"),))
REFUSED = NotAuthenticated(
    Reason("authentication_failed", DeclineClass.AUTHENTICATION_REQUIRED, Advice.ASK_CUSTOMER), status="N"
)


async def start(shop: Shop, amount: int = 1000, key: str = "start") -> payments.CardholderAuthentication:
    new = payments.NewAuthentication(payment_method_id=shop.card.id, amount=amount, currency="KZT")
    return (await payments.start_authentication(shop.acquiring, shop.bank.actor, key, new)).value


async def ask(shop: Shop, authentication_id: str, key: str = "ask") -> payments.CardholderAuthentication:
    given = await payments.authenticate(shop.acquiring, shop.bank.actor, key, authentication_id, ASKED)
    return given.value


async def complete(shop: Shop, authentication_id: str, key: str = "done") -> payments.CardholderAuthentication:
    return (await payments.complete_authentication(shop.acquiring, shop.bank.actor, key, authentication_id)).value


async def authenticated(shop: Shop, amount: int = 1000, key: str = "start") -> payments.CardholderAuthentication:
    begun = await start(shop, amount, key)
    return await ask(shop, begun.id, f"ask-{key}")


async def test_without_a_challenge_it_is_done_at_once_and_a_payment_uses_it(able: AbleShop) -> None:
    able.gateway.told.append(DeviceCollection("session-7", "https://ddc.example", (("JWT", "e30"),)))
    begun = await start(able)
    done = await ask(able, begun.id)
    paid = await able.pay(authentication_id=done.id)

    started, asked = able.gateway.asked
    (command,) = able.gateway.commands(Authorize)
    assert isinstance(started, StartAuthentication) and isinstance(asked, Authenticate)
    assert begun.device_collection == payments.BrowserForm(url="https://ddc.example", fields={"JWT": "e30"})
    assert (asked.session, asked.return_url, asked.device.ip_address) == (
        "session-7", "https://shop.example/return", "192.0.2.7",
    )  # fmt: skip
    assert (done.status, done.eci, done.transaction_status, done.liability_shift) == ("authenticated", "05", "Y", True)
    assert command.authentication == SUCCESSFUL
    assert started.reference == asked.reference == command.reference == paid.id
    assert (paid.authentication_id, paid.liability_shift) == (done.id, True)
    found = await payments.find_authentication(able.bank.db, able.bank.actor, done.id)
    assert (found.status, found.payment_id) == ("used", paid.id)


async def test_a_challenge_is_completed_when_the_payer_is_back(able: AbleShop) -> None:
    able.gateway.told.extend([DeviceCollection("s"), CHALLENGE, CHALLENGE, SUCCESSFUL])
    begun = await start(able)
    challenged = await ask(able, begun.id)
    not_yet = await complete(able, begun.id, "one")
    done = await complete(able, begun.id, "two")

    assert (challenged.status, not_yet.status, done.status) == ("challenge", "challenge", "authenticated")
    assert challenged.challenge == payments.BrowserForm(url="https://acs.example/challenge", fields={"creq": "e30"})
    assert done.challenge is None


async def test_the_same_keys_give_the_same_answers(able: AbleShop) -> None:
    begun = await start(able)
    assert await start(able) == begun
    done = await ask(able, begun.id)

    assert await ask(able, begun.id) == done
    assert len(able.gateway.asked) == 2


async def test_who_was_not_authenticated_is_told_and_the_payment_refused(able: AbleShop) -> None:
    able.gateway.told.extend([DeviceCollection("s"), REFUSED])
    refused = await authenticated(able)

    assert (refused.status, refused.transaction_status, refused.proceed) == ("not_authenticated", "N", False)
    assert refused.failure is not None and refused.failure.code == "authentication_failed"
    with pytest.raises(payments.AuthenticationNotUsableError):
        await able.pay(authentication_id=refused.id)


async def test_a_card_that_does_not_take_part_ends_at_the_start(able: AbleShop) -> None:
    able.gateway.told.append(
        NotAuthenticated(Reason("not_enrolled", DeclineClass.SOFT, Advice.ASK_CUSTOMER), proceed=True)
    )
    ended = await start(able)

    assert (ended.status, ended.proceed) == ("not_authenticated", True)
    with pytest.raises(IllegalMoveError):
        await ask(able, ended.id)


async def test_no_usable_answer_changes_nothing_and_may_be_asked_again(able: AbleShop) -> None:
    able.gateway.told.append(Unknown("timeout"))
    with pytest.raises(payments.NoUsableAnswerError):
        await start(able)
    begun = await start(able)
    able.gateway.told.append(Unknown("timeout"))
    with pytest.raises(payments.NoUsableAnswerError):
        await ask(able, begun.id)

    assert (await ask(able, begun.id)).status == "authenticated"


async def test_an_authentication_is_used_once_even_at_the_same_time(able: AbleShop) -> None:
    done = await authenticated(able)

    answers = await asyncio.gather(
        *(able.pay(f"p{n}", authentication_id=done.id) for n in range(5)), return_exceptions=True
    )

    paid = [answer for answer in answers if isinstance(answer, payments.Payment)]
    assert len(paid) == len(able.gateway.commands(Authorize)) == 1
    assert {type(answer) for answer in answers} == {payments.Payment, payments.AuthenticationNotUsableError}


async def test_refuses_an_authentication_that_is_for_something_else(able: AbleShop) -> None:
    done = await authenticated(able, 1000)
    other = await payments.tokenize(
        able.bank.db, able.acquiring.keyring, able.bank.actor, Pan("5555555555554444"),
        payments.NewCard(expiry_month=12, expiry_year=2031),
    )  # fmt: skip
    dollars = await able.bank.account(currency="USD")
    begun = await start(able, key="other")
    base = {"account_id": able.account.id, "amount": 1000, "currency": "KZT", "payment_method_id": able.card.id}
    cases: list[tuple[dict[str, object], str, type[ShanraqError]]] = [
        ({"amount": 1001}, done.id, payments.AuthenticationNotUsableError),
        ({"currency": "USD", "account_id": dollars.id}, done.id, payments.AuthenticationNotUsableError),
        ({"payment_method_id": other.value.id}, done.id, payments.AuthenticationNotUsableError),
        ({}, begun.id, payments.AuthenticationNotUsableError),
        ({}, unknown_id("au"), payments.AuthenticationNotFoundError),
        ({}, "au_1", InvalidIdError),
    ]

    for number, (change, authentication_id, error) in enumerate(cases):
        new = payments.NewPayment(**{**base, **change}, authentication_id=authentication_id)  # type: ignore[arg-type]
        with pytest.raises(error) as refused:
            await payments.authorize(able.acquiring, able.bank.actor, f"case-{number}", new)
        assert refused.value.field == "authentication_id"
    assert able.gateway.commands(Authorize) == []


@pytest.mark.parametrize(
    "url", ["shop.example/return", "https://user:pw@shop.example/", "javascript:alert(1)", "https:///x", "ftp://a.b/"]
)
async def test_refuses_a_return_url_that_is_none(able: AbleShop, url: str) -> None:
    begun = await start(able)
    asked = payments.AuthenticationRequest(return_url=url, device=payments.DeviceDetails())

    with pytest.raises(payments.InvalidReturnUrlError):
        await payments.authenticate(able.acquiring, able.bank.actor, "k", begun.id, asked)


async def test_plain_http_is_for_the_sandbox_only(able: AbleShop) -> None:
    asked = payments.AuthenticationRequest(return_url="http://localhost/x", device=payments.DeviceDetails())

    with pytest.raises(payments.InvalidReturnUrlError):
        await payments.authenticate(able.acquiring, partner(1, Environment.LIVE), "k", unknown_id("au"), asked)


async def test_refuses_what_cannot_be_started_or_completed(able: AbleShop) -> None:
    begun = await start(able)
    with pytest.raises(InvalidAmountError):
        await start(able, 0, "zero")
    with pytest.raises(IllegalMoveError):
        await complete(able, begun.id)
    with pytest.raises(payments.AuthenticationNotFoundError):
        await payments.find_authentication(able.bank.db, partner(2), begun.id)
    await payments.delete_payment_method(able.bank.db, able.bank.actor, able.card.id)
    with pytest.raises(payments.PaymentMethodNotFoundError):
        await ask(able, begun.id)


async def test_where_no_payment_system_authenticates_it_is_said_plainly(shop: Shop) -> None:
    with pytest.raises(payments.OperationNotSupportedError):
        await start(shop)


async def test_the_value_is_sealed_nowhere_shown_and_destroyed_by_use(able: AbleShop) -> None:
    done = await authenticated(able)
    async with able.bank.db.begin(SYSTEM) as tx:
        sealed = await tx.value("SELECT value_sealed FROM payment_authentication")
    await able.pay(authentication_id=done.id)

    assert sealed is not None and SUCCESSFUL.value.encode() not in sealed
    assert SUCCESSFUL.value not in json.encode(done).decode()
    async with able.bank.db.begin(SYSTEM) as tx:
        for table in ("payment", "payment_operation", "payment_authentication", "idempotency", "event_outbox",
                      "audit_entry"):  # fmt: skip
            for row in await tx.rows(f"SELECT t::text AS text FROM {table} t"):
                assert SUCCESSFUL.value not in row["text"]
                assert SUCCESSFUL.value.encode().hex() not in row["text"]
        assert await tx.value("SELECT count(*) FROM payment_authentication WHERE value_sealed IS NOT NULL") == 0


async def test_what_nobody_used_is_destroyed_in_time(able: AbleShop) -> None:
    done = await authenticated(able)
    able.later(timedelta(days=31).total_seconds())
    async with able.bank.db.begin(SYSTEM) as tx:
        destroyed = await payments.forget_authentications(tx)

    assert destroyed == 1
    with pytest.raises(payments.AuthenticationNotUsableError):
        await able.pay(authentication_id=done.id)


async def test_what_is_sealed_follows_the_master_key(able: AbleShop) -> None:
    old = {new_key_id(): b"o" * 32}
    both = {new_key_id(): b"n" * 32, **old}
    shop = replace(able, acquiring=replace(able.acquiring, keyring=Keyring(old)))
    card = await payments.tokenize(
        able.bank.db, Keyring(old), able.bank.actor, Pan("5555555555554444"),
        payments.NewCard(expiry_month=1, expiry_year=2032),
    )  # fmt: skip
    shop = replace(shop, card=card.value)
    done, begun = await authenticated(shop), await start(shop, key="begun")
    changed = {
        sealed.column: await reseal(able.bank.db, Keyring(both), SYSTEM, sealed)
        for sealed in payments.SEALED
        if sealed.table == "payment_authentication"
    }
    cards, *_ = payments.SEALED
    await payments.delete_payment_method(able.bank.db, able.bank.actor, able.card.id)
    await reseal(able.bank.db, Keyring(both), SYSTEM, cards)
    newest = Keyring({name: key for name, key in both.items() if name not in old})
    renewed = replace(shop, acquiring=replace(shop.acquiring, keyring=newest))

    assert changed == {"session_sealed": 1, "value_sealed": 1}
    assert (await ask(renewed, begun.id, "renewed")).status == "authenticated"
    assert (await renewed.pay(authentication_id=done.id)).liability_shift
