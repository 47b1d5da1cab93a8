"""The parts of the Mastercard simulator: payers, sessions, tokens, risk, reports, notifications; and two merchants."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

import httpx
import pytest

from tests.conformance.mpgs_client import (
    CARD,
    ENUMS,
    GOOD_CARD,
    NUMBERS,
    TRIGGERS,
    Form,
    Gateway,
    Merchant,
    Page,
    Reply,
    authenticate,
    changed,
    client,
    fresh,
    initiate,
    moving,
    paying,
    source,
    submit,
    void,
    without,
)

ECI: Final = {card["number"]: card["eci"] for card in TRIGGERS["threeDS"]}
TOKENS: Final = TRIGGERS["threeDSAuthenticationToken"]
STATUS: Final = {
    "Y": "AUTHENTICATION_SUCCESSFUL", "A": "AUTHENTICATION_ATTEMPTED", "N": "AUTHENTICATION_FAILED",
    "U": "AUTHENTICATION_UNAVAILABLE", "R": "AUTHENTICATION_REJECTED", "C": "AUTHENTICATION_PENDING",
}  # fmt: skip
CHALLENGED: Final = [card for card in TRIGGERS["threeDS"] if card["flow"] == "challenge"]
QUIET: Final = [card for card in TRIGGERS["threeDS"] if card["transactionStatus"] in ("Y", "A", "R", "U")]


def named(card: dict[str, str]) -> str:
    return f"{card['brand']}-{card['number'][-4:]}" if "number" in card else card["choice"]


# Authentication of payers (5.6, 5.8).


@pytest.mark.parametrize("card", [*CHALLENGED, *QUIET], ids=named)
async def test_an_authentication_begins_with_what_the_browser_needs(shop: Merchant, card: dict[str, str]) -> None:
    order = fresh()
    reply = await shop.put(order, changed(initiate(card["number"]), "correlationId", "c"), "a")

    assert (reply.status, reply["result"], reply["response.gatewayRecommendation"]) == (201, "SUCCESS", "PROCEED")
    assert (reply["transaction.type"], reply["authentication.version"]) == ("AUTHENTICATION", "3DS2")
    assert (reply["order.status"], reply["order.authenticationStatus"]) == (
        "AUTHENTICATION_INITIATED",
        "AUTHENTICATION_AVAILABLE",
    )
    assert reply["transaction.authenticationStatus"] == "AUTHENTICATION_AVAILABLE"
    block = reply["authentication.3ds2"]
    names = (
        "methodSupported",
        "methodCompleted",
        "protocolVersion",
        "directoryServerId",
        "requestorId",
        "requestorName",
    )
    assert [name for name in names if name not in block] == []
    method = reply["authentication.redirect.customizedHtml.3ds2"]
    assert method["methodUrl"].startswith("http")
    assert method["methodPostData"]
    async with client(follow_redirects=True) as browser:
        (form,) = Page(reply["authentication.redirect.html"]).forms
        assert (form.action, form.method) == (method["methodUrl"], "post")
        assert (await submit(browser, form)).status_code == 200


@pytest.mark.parametrize("card", QUIET, ids=named)
async def test_a_card_without_a_challenge_is_authenticated_at_once(shop: Merchant, card: dict[str, str]) -> None:
    order, letter = fresh(), card["transactionStatus"]
    await shop.done(order, initiate(card["number"]), "a")
    reply = await shop.put(order, authenticate(card["number"]), "a")

    assert reply["transaction.authenticationStatus"] == reply["order.authenticationStatus"] == STATUS[letter]
    assert reply["authentication.3ds2.transactionStatus"] == letter
    assert (reply["authentication.3ds.acsEci"] or "") == card["eci"]
    assert reply["authentication.3ds.authenticationToken"] == TOKENS.get(letter)
    assert reply["authentication.payerInteraction"] == "NOT_REQUIRED"
    found = await shop.send("GET", f"/order/{order}/transaction/a")
    assert found["authentication.3ds"] == reply["authentication.3ds"]
    linked = changed(paying("PAY", number=card["number"]), "authentication.transactionId", "a")
    paid = await shop.put(order, linked, "p")
    if letter in "YA":
        assert reply["result"] == "SUCCESS"
        assert (paid.told, paid["order.authenticationStatus"]) == ((201, "SUCCESS", "APPROVED"), STATUS[letter])
        assert paid["transaction.authenticationStatus"] == STATUS[letter]
    elif letter == "R":
        assert reply["result"] == "FAILURE"
        assert reply["response.gatewayRecommendation"].startswith("DO_NOT_PROCEED")
        assert paid["result"] in ("FAILURE", "ERROR")
        assert (await shop.totals(order))[1:] == (0, 0, 0)


@pytest.mark.parametrize("card", [QUIET[0], CHALLENGED[0]], ids=named)
async def test_an_authentication_tells_all_that_the_manual_lists(shop: Merchant, card: dict[str, str]) -> None:
    order = fresh()
    await shop.done(order, initiate(card["number"]), "a")
    reply = await shop.put(order, authenticate(card["number"]), "a")

    block = reply["authentication"]
    paths = [
        "3ds.transactionId", "3ds2.3dsServerTransactionId", "3ds2.acsTransactionId", "3ds2.acsReference",
        "3ds2.directoryServerId", "3ds2.dsTransactionId", "3ds2.methodCompleted", "3ds2.methodSupported",
        "3ds2.protocolVersion", "3ds2.requestorId", "3ds2.requestorName", "3ds2.transactionStatus", "acceptVersions", "amount",
        "channel", "method", "payerInteraction", "purpose", "redirect.domainName", "time", "version",
    ]  # fmt: skip
    told = Reply(200, "", block)
    if card is QUIET[0]:
        paths.remove("redirect.domainName")
    assert [path for path in paths if told[path] is None] == []
    assert (block["amount"], block["channel"], block["purpose"]) == (100, "PAYER_BROWSER", "PAYMENT_TRANSACTION")


async def test_ids_of_authentications_are_unique(shop: Merchant) -> None:
    seen: set[str] = set()
    for _ in range(3):
        await shop.done(order := fresh(), initiate(QUIET[0]["number"]), "a")
        reply = await shop.put(order, authenticate(QUIET[0]["number"]), "a")
        names = ("3dsServerTransactionId", "acsTransactionId", "dsTransactionId")
        seen |= {reply[f"authentication.3ds2.{name}"] for name in names}

    assert len(seen) == 9


async def challenge(shop: Merchant, order: str, card: dict[str, str]) -> Reply:
    """Bring a payer to the challenge."""
    await shop.done(order, initiate(card["number"]), "a")
    asked = await shop.put(order, authenticate(card["number"]), "a")
    assert (asked.status in (200, 201), asked["result"]) == (True, "PENDING")
    assert (asked["transaction.authenticationStatus"], asked["authentication.payerInteraction"]) == (
        "AUTHENTICATION_PENDING",
        "REQUIRED",
    )
    assert asked["authentication.3ds2.transactionStatus"] == "C"
    return asked


async def answered(asked: Reply, choice: str) -> tuple[Form, httpx.Response]:
    """Answer a challenge as the payer's browser does, up to the form that leads back to the merchant."""
    async with client(follow_redirects=True) as browser:
        (form,) = Page(asked["authentication.redirect.html"]).forms
        page = await submit(browser, form)
        assert (page.status_code, page.headers["content-type"].partition(";")[0]) == (200, "text/html")
        (menu,) = Page(page.text).forms
        assert [
            any(one["choice"] in text for _, _, text in menu.buttons) for one in TRIGGERS["threeDSChallengeMenu"]
        ] == [True] * 5
        last = await submit(browser, menu, choice)
        assert last.status_code == 200
        (back,) = Page(last.text).forms
        again = await submit(browser, menu, choice)
    return back, again


@pytest.mark.parametrize("chosen", TRIGGERS["threeDSChallengeMenu"], ids=named)
@pytest.mark.parametrize("card", CHALLENGED, ids=named)
async def test_a_challenge_ends_as_the_payer_chooses(
    shop: Merchant, card: dict[str, str], chosen: dict[str, Any]
) -> None:
    order, letter = fresh(), chosen["transactionStatus"]
    asked = await challenge(shop, order, card)
    back, again = await answered(asked, chosen["choice"])

    assert (back.action, back.method) == ("https://shop.example/back", "post")
    assert back.fields["order.id"] == order
    assert back.fields["transaction.id"] == "a"
    assert 400 <= again.status_code < 500
    found = await shop.send("GET", f"/order/{order}/transaction/a")
    assert found["transaction.authenticationStatus"] == found["order.authenticationStatus"] == STATUS[letter]
    assert found["authentication.3ds2.transactionStatus"] == letter
    assert found["result"] == ("SUCCESS" if letter == "Y" else "FAILURE")
    assert found["order.status"] == ("AUTHENTICATED" if letter == "Y" else "AUTHENTICATION_UNSUCCESSFUL")
    assert found["authentication.3ds.authenticationToken"] == TOKENS.get(letter)
    if "eci" in chosen:
        assert found["authentication.3ds.acsEci"] == chosen["eci"][card["brand"]]
    assert ('"challengeCancel":"01"' in found.text.replace(" ", "")) == ("challengeCancel" in chosen)
    paid = await shop.put(
        order, changed(paying("PAY", number=card["number"]), "authentication.transactionId", "a"), "p"
    )
    if letter == "Y":
        assert paid.told == (201, "SUCCESS", "APPROVED")
    elif letter in "NR":
        assert paid["result"] in ("FAILURE", "ERROR")
        assert (await shop.totals(order))[1:] == (0, 0, 0)


async def test_nothing_is_paid_while_the_payer_is_asked(shop: Merchant) -> None:
    card, order = CHALLENGED[0], fresh()
    asked = await challenge(shop, order, card)
    linked = changed(paying("PAY", number=card["number"]), "authentication.transactionId", "a")
    early = await shop.put(order, linked, "p1")
    await answered(asked, "success")

    assert early["result"] != "SUCCESS"
    assert (await shop.put(order, linked, "p2"))["result"] == "SUCCESS"


@pytest.mark.parametrize("number", ["5111111111111118", "2223000000000023", "4508750015741019", "371881634498004"])
async def test_a_card_that_is_not_enrolled_is_paid_without_authentication(shop: Merchant, number: str) -> None:
    order = fresh()
    reply = await shop.put(order, initiate(number), "a")

    assert (reply.status, reply["authentication.version"]) == (201, "NONE")
    assert reply["transaction.authenticationStatus"] == "AUTHENTICATION_NOT_SUPPORTED"
    assert (await shop.put(order, paying("PAY", number=number), "p"))["result"] == "SUCCESS"


async def test_cards_with_errors_fail_where_they_are_said_to(shop: Merchant) -> None:
    at_first = await shop.put(fresh(), initiate("5210760000000004"), "a")
    order = fresh()
    begun = await shop.put(order, initiate("5455031257390496"), "a")
    then = await shop.put(order, authenticate("5455031257390496"), "a")

    assert at_first["result"] in ("FAILURE", "ERROR")
    assert begun["result"] == "SUCCESS"
    assert then["result"] in ("FAILURE", "ERROR")


async def test_the_second_step_needs_the_first_and_its_transaction(shop: Merchant) -> None:
    number, order = QUIET[0]["number"], fresh()
    alone = await shop.put(fresh(), authenticate(number), "a")
    await shop.done(order, initiate(number), "a")
    elsewhere = await shop.put(order, authenticate(number), "b")
    another = await shop.put(order, authenticate("5555555555000018"), "a")

    for reply in (alone, elsewhere, another):
        assert (reply.status, reply["error.cause"]) == (400, "INVALID_REQUEST")
    assert (await shop.put(order, authenticate(number), "a"))["result"] == "SUCCESS"


async def test_a_payment_is_linked_to_an_authentication_of_its_own_order_and_card(shop: Merchant) -> None:
    number, order = QUIET[0]["number"], fresh()
    await shop.done(order, initiate(number), "a")
    await shop.put(order, authenticate(number), "a")
    wrong = [
        await shop.put(order, changed(paying(number=number), "authentication.transactionId", "nobody")),
        await shop.put(order, changed(paying(number="5555555555000018"), "authentication.transactionId", "a")),
        await shop.put(fresh(), changed(paying(number=number), "authentication.transactionId", "a")),
    ]

    assert {reply.told for reply in wrong} == {(400, "ERROR", "authentication.transactionId", "INVALID")}


async def test_each_step_of_an_authentication_is_answered_again(shop: Merchant) -> None:
    order, card = fresh(), CHALLENGED[0]
    first = await shop.done(order, initiate(card["number"]), "a")
    second = await shop.put(order, authenticate(card["number"]), "a")
    await answered(second, "success")

    assert (await shop.put(order, initiate(card["number"]), "a")).body == first.body
    assert (await shop.put(order, authenticate(card["number"]), "a")).body == second.body


async def test_an_authentication_made_elsewhere_is_taken(shop: Merchant) -> None:
    external = {
        "3ds": {"acsEci": "02", "authenticationToken": TOKENS["Y"], "transactionId": "d" * 36},
        "3ds2": {"transactionStatus": "Y", "protocolVersion": "2.2.0"},
    }
    reply = await shop.done(fresh(), paying() | {"authentication": external})

    assert reply["transaction.authenticationStatus"] == "AUTHENTICATION_SUCCESSFUL"


# Sessions (5.4, 9.3.7).


async def opened(shop: Merchant, code: str | None = "100", **more: Any) -> tuple[str, Reply]:
    """A session with a card in it."""
    made = await shop.send("POST", "/session", {})
    assert (made.status in (200, 201), made["result"]) == (True, "SUCCESS")
    assert 31 <= len(made["session.id"]) <= 35
    assert made["session.updateStatus"] in ENUMS["sessionUpdateStatus"]
    key = made["session.id"]
    updated = await shop.send("PUT", f"/session/{key}", {"sourceOfFunds": source(code=code)} | more)
    assert (updated.status, updated["result"], updated["session.updateStatus"]) == (200, "SUCCESS", "SUCCESS")
    assert updated["session.version"] != made["session.version"]
    return key, updated


def by_session(operation: str, key: str, **more: Any) -> dict[str, Any]:
    return without(paying(operation), "sourceOfFunds") | {"session": {"id": key} | more}


async def test_a_session_keeps_a_card_and_shows_it_masked(shop: Merchant) -> None:
    key, updated = await opened(shop)
    found = await shop.send("GET", f"/session/{key}")

    for reply in (updated, found):
        assert reply[f"{CARD}.number"] == "512345xxxxxx0008"
        assert re.search(r'securityCode"\s*:\s*"?1', reply.text) is None
    assert found["session.version"] == updated["session.version"]


async def test_every_update_is_another_version_and_an_old_one_is_refused(shop: Merchant) -> None:
    key, first = await opened(shop)
    versions = [first["session.version"]]
    for amount in ("1.00", "2.00"):
        body = {"session": {"version": versions[-1]}, "order": {"amount": amount, "currency": "KZT"}}
        reply = await shop.send("PUT", f"/session/{key}", body)
        assert reply.status == 200
        versions.append(reply["session.version"])
    stale = {"session": {"version": versions[0]}, "order": {"amount": "3.00", "currency": "KZT"}}
    refused = await shop.send("PUT", f"/session/{key}", stale)
    order = fresh()
    unpaid = await shop.put(order, by_session("PAY", key, version=versions[1]))

    assert len(set(versions)) == 3
    for reply in (refused, unpaid):
        assert reply.told == (400, "ERROR", "session.version", "INVALID")
        assert reply["error.cause"] == "INVALID_REQUEST"
    assert await shop.is_absent(order)
    found = await shop.send("GET", f"/session/{key}")
    assert (found["session.version"], str(found["order.amount"])) == (versions[2], "2.00")
    assert (await shop.put(order, by_session("PAY", key, version=versions[2])))["result"] == "SUCCESS"


async def test_of_updates_at_once_with_one_version_one_wins(shop: Merchant) -> None:
    key, first = await opened(shop)
    replies = await asyncio.gather(
        *(
            shop.send(
                "PUT", f"/session/{key}",
                {"session": {"version": first["session.version"]}, "order": {"amount": f"{n}.00", "currency": "KZT"}},
            )
            for n in range(1, 9)
        )
    )  # fmt: skip

    assert sorted(reply.status for reply in replies) == [200] + [400] * 7


async def test_the_security_code_is_gone_after_its_first_use(shop: Merchant) -> None:
    key, _ = await opened(shop, "102")
    first = await shop.put(fresh(), by_session("AUTHORIZE", key))
    second = await shop.put(fresh(), by_session("AUTHORIZE", key))

    assert (first["result"], first["response.cardSecurityCode.gatewayCode"]) == ("SUCCESS", "NO_MATCH")
    assert second["result"] == "SUCCESS"
    assert second["response.cardSecurityCode.gatewayCode"] not in ("MATCH", "NO_MATCH")


async def test_a_security_code_is_used_once_by_payments_at_once_too(shop: Merchant) -> None:
    key, _ = await opened(shop, "102")
    replies = await asyncio.gather(*(shop.put(fresh(), by_session("AUTHORIZE", key)) for _ in range(6)))

    told = [reply["response.cardSecurityCode.gatewayCode"] for reply in replies]
    assert told.count("NO_MATCH") == 1


async def test_a_session_lives_for_fifteen_minutes(gateway: Gateway, shop: Merchant) -> None:
    key, _ = await opened(shop)
    await gateway.control("POST", "clock", {"advance_seconds": 14 * 60})
    alive = await shop.send("GET", f"/session/{key}")
    await gateway.control("POST", "clock", {"advance_seconds": 20 * 60})
    order = fresh()
    gone = [
        await shop.send("GET", f"/session/{key}"),
        await shop.send("PUT", f"/session/{key}", {"sourceOfFunds": source()}),
        await shop.put(order, by_session("PAY", key)),
    ]

    assert alive.status == 200
    assert all(reply.status in (400, 404) and reply["result"] == "ERROR" for reply in gone)
    assert await shop.is_absent(order)


async def test_explicit_fields_go_before_a_session_and_a_session_before_a_token(shop: Merchant) -> None:
    token = (await shop.send("POST", "/token", {"sourceOfFunds": source("5111111111111118")}))["token"]
    key, _ = await opened(shop)
    explicit = paying(number="4508750015741019") | {"session": {"id": key}}
    shown = []
    for body in (
        changed(explicit, "sourceOfFunds.token", token),
        by_session("AUTHORIZE", key) | {"sourceOfFunds": {"token": token}},
        without(paying(), "sourceOfFunds") | {"sourceOfFunds": {"token": token}},
    ):
        reply = await shop.done(fresh(), body)
        shown.append(reply[f"{CARD}.number"][-4:])

    assert shown == ["1019", "0008", "1118"]


async def test_a_session_that_is_not_there_is_refused(shop: Merchant) -> None:
    for key in ("S" * 31, "S" * 35, "SESSION0001"):
        order = fresh()
        assert (await shop.send("GET", f"/session/{key}")).status in (400, 404)
        assert (await shop.send("PUT", f"/session/{key}", {"sourceOfFunds": source()})).status in (400, 404)
        reply = await shop.put(order, by_session("PAY", key))
        assert (reply.status, reply["error.field"]) == (400, "session.id")
        assert await shop.is_absent(order)


async def test_a_session_tells_amounts_as_numbers(gateway: Gateway, shop: Merchant) -> None:
    gateway.oddities.clear()
    for amount in ("5.00", 5):
        key, _ = await opened(shop, order={"amount": amount, "currency": "KZT"})
        await shop.send("GET", f"/session/{key}")

    assert gateway.oddities == set()


# Tokens.


async def test_a_token_pays_until_it_is_deleted(shop: Merchant) -> None:
    made = await shop.send("POST", "/token", {"sourceOfFunds": source("5111111111111118")})
    token = made["token"]
    pay = without(paying("PAY"), "sourceOfFunds") | {"sourceOfFunds": {"token": token}}

    assert (made.status in (200, 201), made["result"], made["status"]) == (True, "SUCCESS", "VALID")
    assert re.fullmatch("[0-9A-Za-z]{1,40}", token)
    assert made[f"{CARD}.number"] == "511111xxxxxx1118"
    found = await shop.send("GET", f"/token/{token}")
    assert (found.status, found["status"], found[f"{CARD}.number"]) == (200, "VALID", "511111xxxxxx1118")
    assert (await shop.done(fresh(), pay))[f"{CARD}.number"] == "511111xxxxxx1118"
    search = await shop.send("POST", "/tokenSearch", {"query": {"status": "VALID"}})
    assert search.status == 200
    assert token in search.text
    assert (await shop.send("DELETE", f"/token/{token}")).status == 200
    order = fresh()
    for reply in (
        await shop.send("GET", f"/token/{token}"),
        await shop.send("DELETE", f"/token/{token}"),
        await shop.put(order, pay),
    ):
        assert (reply.status in (400, 404), reply["result"]) == (True, "ERROR")
    assert await shop.is_absent(order)
    assert token not in (await shop.send("POST", "/tokenSearch", {"query": {"status": "VALID"}})).text


async def test_a_token_may_have_an_id_of_its_merchants_choice_and_another_card_later(shop: Merchant) -> None:
    token = fresh("mine")
    first = await shop.send("PUT", f"/token/{token}", {"sourceOfFunds": source("5111111111111118")})
    second = await shop.send("PUT", f"/token/{token}", {"sourceOfFunds": source("2223000000000023")})

    assert (first["token"], second["token"], second[f"{CARD}.number"]) == (token, token, "222300xxxxxx0023")
    paid = await shop.done(fresh(), without(paying(), "sourceOfFunds") | {"sourceOfFunds": {"token": token}})
    assert paid[f"{CARD}.number"] == "222300xxxxxx0023"


async def test_a_token_is_made_of_a_session(shop: Merchant) -> None:
    key, _ = await opened(shop)
    reply = await shop.send("POST", "/token", {"session": {"id": key}})

    assert (reply["result"], reply[f"{CARD}.number"]) == ("SUCCESS", "512345xxxxxx0008")


# Risk (5.5).


@pytest.mark.parametrize("operation", ["AUTHORIZE", "PAY", "VERIFY", "STANDALONE_CAPTURE"])
async def test_what_begins_an_order_is_assessed(shop: Merchant, operation: str) -> None:
    risk = (await shop.done(fresh(), paying(operation)))["risk.response"]

    assert risk["gatewayCode"] == "ACCEPTED"
    assert risk["review"]["decision"] == "NOT_REQUIRED"
    assert isinstance(risk["totalScore"], int)
    assert risk["provider"]
    assert isinstance(risk["rule"], list)


async def test_what_follows_is_not_assessed(shop: Merchant) -> None:
    order = fresh()
    await shop.done(order, paying())
    replies = [await shop.done(order, moving("CAPTURE", "10.00")), await shop.done(order, moving("REFUND", "10.00"))]
    replies.append(await shop.done(fresh(), paying("STANDALONE_REFUND")))

    assert [reply["risk"] for reply in replies] == [None, None, None]


@asynccontextmanager
async def rules(gateway: Gateway, *wanted: dict[str, Any]) -> AsyncIterator[None]:
    """Set rules of transaction filtering, for a while."""
    await gateway.control("PUT", "risk-rules", list(wanted))
    try:
        yield
    finally:
        await gateway.control("PUT", "risk-rules", [])


MATCHING: Final[dict[str, tuple[list[str], dict[str, Any]]]] = {
    "BIN_RANGE": (["512345"], {}),
    "CSC": (["NO_MATCH"], {f"{CARD}.securityCode": "102"}),
    "AVS": (["NO_MATCH"], {"billing.address.street": "November St"}),
    "3D_SECURE": (["NO_LIABILITY_SHIFT"], {}),
    "IP_ADDRESS_RANGE": (["203.0.113.0/24"], {"device.ipAddress": "203.0.113.7"}),
    "IP_COUNTRY": (["FRA"], {"device.ipAddress": "203.0.113.7"}),
    "SUSPECT_CARD_LIST": ([GOOD_CARD], {}),
    "TRUSTED_CARD_LIST": ([GOOD_CARD], {}),
}


def matched(name: str) -> tuple[list[str], dict[str, Any]]:
    """What makes a rule speak, and a payment of which it speaks."""
    values, more = MATCHING[re.sub("^(MERCHANT|MSO)_", "", name)]
    body = paying("PAY")
    for path, value in more.items():
        body = changed(body, path, value)
    return values, body


@pytest.mark.parametrize("name", [name for name in ENUMS["riskRuleName"] if name != "TRUSTED_CARD_LIST"])
async def test_a_rule_that_rejects_stops_a_payment_before_the_acquirer(
    gateway: Gateway, shop: Merchant, name: str
) -> None:
    values, body = matched(name)
    order = fresh()
    async with rules(gateway, {"name": name, "recommendation": "REJECT", "values": values}):
        reply = await shop.put(order, body)
        free = await shop.put(fresh(), paying("PAY", number="4508750015741019"))

    assert reply.told == (201, "FAILURE", "BLOCKED")
    assert reply["response.acquirerCode"] is None
    assert (reply["order.status"], *(await shop.totals(order))[1:]) == ("FAILED", 0, 0, 0)
    assert reply["risk.response.gatewayCode"] == "REJECTED"
    (rule,) = (one for one in reply["risk.response.rule"] if one["name"] == name)
    assert (rule["recommendation"], rule["type"]) == (
        "REJECT",
        "MSO_RULE" if name.startswith("MSO") else "MERCHANT_RULE",
    )
    assert rule["data"]
    if name.endswith("3D_SECURE"):
        assert (rule["data"], free["response.gatewayCode"]) == ("NO_LIABILITY_SHIFT", "BLOCKED")
    else:
        assert free.told == (201, "SUCCESS", "APPROVED")


async def test_one_reject_is_a_reject(gateway: Gateway, shop: Merchant) -> None:
    said = ("ACCEPT", "REVIEW", "REJECT", "NO_ACTION")
    wanted = [
        {"name": name, "recommendation": one, "values": matched(name)[0]}
        for name, one in zip(
            ("MERCHANT_BIN_RANGE", "MSO_BIN_RANGE", "SUSPECT_CARD_LIST", "MSO_3D_SECURE"), said, strict=True
        )
    ]
    async with rules(gateway, *wanted):
        reply = await shop.put(fresh(), paying("PAY"))

    assert (reply["response.gatewayCode"], reply["risk.response.gatewayCode"]) == ("BLOCKED", "REJECTED")
    assert {one["recommendation"] for one in reply["risk.response.rule"]} == set(said)


@pytest.mark.parametrize("operation", ["AUTHORIZE", "PAY"])
@pytest.mark.parametrize("decision", ["ACCEPTED", "REJECTED"])
async def test_nothing_is_captured_until_a_review_is_decided(
    gateway: Gateway, shop: Merchant, operation: str, decision: str
) -> None:
    order = fresh()
    async with rules(gateway, {"name": "MERCHANT_BIN_RANGE", "recommendation": "REVIEW", "values": ["512345"]}):
        held = await shop.put(order, paying(operation), "a")
    assert (held["risk.response.gatewayCode"], held["risk.response.review.decision"]) == ("REVIEW_REQUIRED", "PENDING")
    assert (await shop.totals(order))[2] == 0
    early = await shop.put(order, moving("CAPTURE", "10.00"))
    asked = {"merchant_id": shop.id, "order_id": order, "decision": decision, "note": "seen", "user_id": "anna"}
    await gateway.control("POST", "review", asked)
    found = await shop.send("GET", f"/order/{order}/transaction/a")
    review = found["risk.response.review"]
    then = await shop.put(order, moving("CAPTURE", "10.00"))

    assert early["result"] in ("ERROR", "FAILURE")
    assert (review["decision"], review["note"], review["userId"]) == (decision, "seen", "anna")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", review["time"])
    if operation == "AUTHORIZE":
        assert then["result"] == ("SUCCESS" if decision == "ACCEPTED" else "ERROR")


async def test_a_payment_is_assessed_without_being_made(gateway: Gateway, shop: Merchant) -> None:
    body = without(paying(), "apiOperation")
    asked = []
    async with rules(gateway, {"name": "MSO_BIN_RANGE", "recommendation": "REJECT", "values": ["512345"]}):
        for action in ("RISK_ASSESSMENT", "INFORMATION_ONLY"):
            key = fresh("r")
            reply = await shop.send("PUT", f"/riskassessment/{key}", body | {"requestAction": action})
            again = await shop.send("PUT", f"/riskassessment/{key}", body | {"requestAction": action})
            assert again["risk"] == reply["risk"]
            asked.append(reply)
    wrong = await shop.send("PUT", f"/riskassessment/{fresh('r')}", body | {"requestAction": "GUESS"})

    assert (asked[0].status in (200, 201), asked[0]["risk.response.gatewayCode"]) == (True, "REJECTED")
    assert asked[1].status in (200, 201)
    assert wrong.told == (400, "ERROR", "requestAction", "INVALID")


# Reports.


async def history(shop: Merchant, query: str) -> Reply:
    target = f"/history/version/1/merchant/{shop.id}/transaction?{query}"
    return await shop.call("GET", target, auth=shop.reporting)


async def test_the_history_has_the_columns_and_headers_that_were_asked_for(shop: Merchant) -> None:
    order = fresh()
    first = await shop.done(order, changed(paying(amount="100.50"), "order.reference", 'a "b", c'), "1")
    await shop.done(order, moving("CAPTURE", "40.25"), "2")
    start, end = first["timeOfRecord"], "2099-01-01T00:00:00Z"
    columns = f"order.id,transaction.id,transaction.type,transaction.amount,order.reference,{CARD}.number,result"
    window = f"timeOfRecord.start={start}&timeOfRecord.end={end}"
    plain = await history(shop, f"columns={columns}&{window}")
    titled = await history(shop, f"columns=transaction.id,order.id&columnHeaders=No,Order&{window}")

    head, *lines = csv.reader(io.StringIO(plain.text))
    assert head == columns.split(",")
    mine = [[*line[:3], Decimal(line[3]), *line[4:]] for line in lines if line[0] == order]
    assert mine == [
        [order, "1", "AUTHORIZATION", Decimal("100.50"), 'a "b", c', "512345xxxxxx0008", "SUCCESS"],
        [order, "2", "CAPTURE", Decimal("40.25"), 'a "b", c', "512345xxxxxx0008", "SUCCESS"],
    ]
    head, *lines = csv.reader(io.StringIO(titled.text))
    assert head == ["No", "Order"]
    assert [line for line in lines if line[1] == order] == [["1", order], ["2", order]]
    before = await history(shop, f"columns=order.id&timeOfRecord.start=2020-01-01T00:00:00Z&timeOfRecord.end={start}")
    assert order not in before.text.split()


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("", "columns"),
        ("columns=order.id", "timeOfRecord.start"),
        ("columns=order.id&timeOfRecord.start=2020-01-01T00:00:00Z", "timeOfRecord.end"),
        ("columns=order.id&timeOfRecord.start=x&timeOfRecord.end=2099-01-01T00:00:00Z", "timeOfRecord.start"),
        (
            "columns=order.id&timeOfRecord.start=2020-13-01T00:00:00Z&timeOfRecord.end=2099-01-01T00:00:00Z",
            "timeOfRecord.start",
        ),
        (
            "columns=order.id&timeOfRecord.start=2030-01-01T00:00:00Z&timeOfRecord.end=2020-01-01T00:00:00Z",
            "timeOfRecord.end",
        ),
        ("columns=&timeOfRecord.start=2020-01-01T00:00:00Z&timeOfRecord.end=2099-01-01T00:00:00Z", "columns"),
        (
            "columns=a,b&columnHeaders=a&timeOfRecord.start=2020-01-01T00:00:00Z&timeOfRecord.end=2099-01-01T00:00:00Z",
            "columnHeaders",
        ),
        ("%zz=%ff", None),
    ],
)
async def test_a_history_that_cannot_be_asked_for_is_refused_by_name(
    shop: Merchant, query: str, field: str | None
) -> None:
    reply = await history(shop, query)

    assert (reply.status, reply["result"]) == (400, "ERROR")
    assert field is None or reply["error.field"] == field


# Notifications (5.7).


@dataclass
class Heard:
    """What was told to an address."""

    url: str
    statuses: list[int] = field(default_factory=list)
    told: list[tuple[dict[str, str], Any]] = field(default_factory=list)

    async def until(self, count: int) -> None:
        for _ in range(200):
            if len(self.told) >= count:
                return
            await asyncio.sleep(0.05)
        raise AssertionError(f"{len(self.told)} notifications instead of {count}")


@pytest.fixture
async def heard() -> AsyncIterator[Heard]:
    async def receive(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        lines = [line.partition(":") for line in head.split("\r\n")[1:] if line]
        headers = {name.lower(): value.strip() for name, _, value in lines}
        body = await reader.readexactly(int(headers["content-length"]))
        status = listening.statuses.pop(0) if listening.statuses else 200
        writer.write(f"HTTP/1.1 {status} X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
        await writer.drain()
        writer.close()
        listening.told.append((headers, json.loads(body, parse_float=str)))

    server = await asyncio.start_server(receive, "127.0.0.1", 0)
    listening = Heard(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook")
    yield listening
    server.close()


async def test_what_happened_is_told_as_it_would_be_retrieved(gateway: Gateway, heard: Heard) -> None:
    shop, order = gateway.merchant(74), fresh()
    await shop.done(order, changed(paying("AUTHORIZE", "10.00"), "order.notificationUrl", heard.url), "1")
    await heard.until(1)
    for number, body in enumerate((moving("CAPTURE", "5.00"), moving("REFUND", "5.00"), void()), start=2):
        await shop.done(order, body, str(number))
        await heard.until(number)

    assert [body["transaction"]["id"] for _, body in heard.told] == ["1", "2", "3", "4"]
    assert len({headers["x-notification-id"] for headers, _ in heard.told}) == 4
    for headers, body in heard.told:
        assert headers["x-notification-secret"] == gateway.credentials["mpgs_notification_secret"]
        assert int(headers["x-notification-attempt"]) in (0, 1)
        assert headers["content-type"].startswith("application/json")
        assert (body["version"], body["merchant"], body["order"]["id"]) == ("74", shop.id, order)
    found = await shop.send("GET", f"/order/{order}/transaction/4")
    assert heard.told[-1][1] == json.loads(found.text, parse_float=str)
    assert all(number not in json.dumps(body) for _, body in heard.told for number in NUMBERS)


async def test_what_was_not_taken_is_told_again_under_the_same_id(
    gateway: Gateway, shop: Merchant, heard: Heard
) -> None:
    heard.statuses = [500]
    await shop.done(fresh(), changed(paying(), "order.notificationUrl", heard.url))
    await heard.until(1)
    for _ in range(20):
        await gateway.control("POST", "clock", {"advance_seconds": 60})
        await asyncio.sleep(0.05)
        if len(heard.told) > 1:
            break
    await heard.until(2)

    (first, one), (second, two) = heard.told[:2]
    assert one == two
    assert first["x-notification-id"] == second["x-notification-id"]
    assert int(second["x-notification-attempt"]) == int(first["x-notification-attempt"]) + 1


async def test_every_operation_of_the_list_is_told(shop: Merchant, heard: Heard) -> None:
    def telling(body: dict[str, Any]) -> dict[str, Any]:
        return changed(body, "order.notificationUrl", heard.url)

    number, order, paid_order = QUIET[0]["number"], fresh(), fresh()
    steps = [
        (order, telling(initiate(number)), "a"),
        (order, telling(authenticate(number)), "a"),
        (order, telling(changed(paying(number=number), "authentication.transactionId", "a")), "p"),
        (order, moving("UPDATE_AUTHORIZATION", "150.00"), "u"),
        (order, moving("CAPTURE", "150.00"), "c"),
        (order, moving("REFUND", "50.00"), "r"),
        (order, void(), "v"),
        (paid_order, telling(paying("PAY")), "1"),
    ]
    for number_of, (name, body, transaction) in enumerate(steps, start=1):
        await shop.put(name, body, transaction)
        await heard.until(number_of)

    assert [body["transaction"]["type"] for _, body in heard.told] == [
        "AUTHENTICATION", "AUTHENTICATION", "AUTHORIZATION", "AUTHORIZATION_UPDATE", "CAPTURE", "REFUND", "VOID_REFUND",
        "PAYMENT",
    ]  # fmt: skip


async def test_notifications_may_come_twice_or_in_another_order(gateway: Gateway, shop: Merchant, heard: Heard) -> None:
    await gateway.control("POST", "notification-faults", {"kind": "duplicate"})
    order = fresh()
    await shop.done(order, changed(paying(), "order.notificationUrl", heard.url), "1")
    await heard.until(2)
    await gateway.control("POST", "notification-faults", {"kind": "out_of_order"})
    await shop.done(order, moving("CAPTURE", "10.00"), "2")
    await shop.done(order, moving("CAPTURE", "20.00"), "3")
    await heard.until(4)

    assert [body["transaction"]["id"] for _, body in heard.told] == ["1", "1", "3", "2"]
    first, second, *_ = (headers["x-notification-id"] for headers, _ in heard.told)
    assert first == second


# Trouble on demand (9.1.6).


async def troubled(shop: Merchant, order: str, **fault: Any) -> httpx.Response | None:
    """Pay in trouble; None where the connection was closed without a reply."""
    await shop.gateway.control("POST", "faults", fault)
    try:
        return await shop.gateway.http.put(
            f"{shop.gateway.plain}{shop.root}/order/{order}/transaction/1", json=paying("PAY"), auth=shop.basic
        )
    except httpx.RemoteProtocolError:
        return None


@pytest.mark.parametrize(
    ("fault", "status", "is_done"),
    [
        ({"kind": "drop_before"}, None, False),
        ({"kind": "drop_after"}, None, True),
        ({"kind": "http_502"}, 502, False),
        ({"kind": "http_502", "processed": True}, 502, True),
        ({"kind": "server_failed"}, 500, False),
        ({"kind": "server_failed", "processed": True}, 500, True),
        ({"kind": "server_busy"}, 503, False),
        ({"kind": "http_429"}, 429, False),
        ({"kind": "lock_failure"}, 200, False),
        ({"kind": "garbage"}, 201, True),
        ({"kind": "slow", "seconds": 0.2}, 201, True),
        ({"kind": "duplicate"}, 201, True),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
async def test_trouble_comes_when_it_is_asked_for_and_the_same_request_heals_it(
    shop: Merchant, fault: dict[str, Any], status: int | None, is_done: bool
) -> None:
    order = fresh()
    reply = await troubled(shop, order, **fault)

    assert (None if reply is None else reply.status_code) == status
    if status is not None and status >= 500 and fault["kind"] != "http_502":
        assert reply is not None
        assert reply.json()["error"]["cause"] == fault["kind"].upper()
    assert await shop.is_absent(order) is not is_done
    again = await shop.put(order, paying("PAY"), "1")
    assert (again.status, again["result"]) == (200 if is_done else 201, "SUCCESS")
    assert await shop.totals(order) == ("CAPTURED", 100, 100, 0)


async def test_the_journal_and_the_orders_can_be_read_and_the_state_forgotten(gateway: Gateway, shop: Merchant) -> None:
    await shop.done(order := fresh(), paying("PAY", "12.34"), "1")
    journal = (await gateway.control("GET", "journal"))["transactions"]
    orders = (await gateway.control("GET", "orders"))["orders"]
    (moved,) = (one for one in journal if one["order_id"] == order)
    (known,) = (one for one in orders if one["order_id"] == order)
    await gateway.control("POST", "reset")

    assert (moved["type"], moved["amount_minor"], moved["currency"]) == ("PAYMENT", 1234, "KZT")
    assert (known["status"], known["captured_minor"]) == ("CAPTURED", 1234)
    assert await shop.is_absent(order)
    assert (await gateway.control("GET", "orders"))["orders"] == []


async def test_a_chargeback_is_told_by_the_order(gateway: Gateway, shop: Merchant) -> None:
    await shop.done(order := fresh(), paying("PAY"), "1")
    await gateway.control("POST", "cutoff")
    await gateway.control("POST", "chargeback", {"merchant_id": shop.id, "order_id": order, "amount_minor": 4000})
    found = await shop.order(order)

    assert found["status"] == "CHARGEBACK_PROCESSED"
    assert (found["chargeback.amount"], found["chargeback.currency"]) == (40, "KZT")
    assert "CHARGEBACK" in [one["transaction"]["type"] for one in found.body["transaction"]]


async def test_the_table_of_expiries_can_be_moved_forward(gateway: Gateway, shop: Merchant) -> None:
    await gateway.control("PUT", "triggers", {"expiry": {"01/41": "APPROVED", "05/41": "DECLINED"}})
    moved = [await shop.put(fresh(), paying(expiry=expiry)) for expiry in ("01/41", "05/41", "05/39")]
    await gateway.control("PUT", "triggers", {"expiry": TRIGGERS["expiry"]})

    assert [reply["response.gatewayCode"] for reply in moved] == ["APPROVED", "DECLINED", "APPROVED"]
    assert (await shop.put(fresh(), paying(expiry="05/39")))["response.gatewayCode"] == "DECLINED"


# Two merchants (9.1.2).


async def test_nothing_of_one_merchant_is_there_for_the_other(shop: Merchant, other: Merchant) -> None:
    order = fresh()
    await shop.done(order, paying(), "1")
    await shop.done(paid := fresh(), paying("PAY"), "1")
    key, _ = await opened(shop)
    # An id of its own: a card that was kept before, by another test, may have one that both merchants use.
    token = fresh("token")
    assert (await shop.send("PUT", f"/token/{token}", {"sourceOfFunds": source()})).status == 200
    by_token = without(paying("PAY"), "sourceOfFunds") | {"sourceOfFunds": {"token": token}}
    before = (await shop.order(order)).body
    tried = [
        await other.send("GET", f"/order/{order}"),
        await other.send("GET", f"/order/{order}/transaction/1"),
        await other.put(order, moving("CAPTURE", "1.00")),
        await other.put(order, moving("UPDATE_AUTHORIZATION", "200.00")),
        await other.put(order, void()),
        await other.put(order, void("1")),
        await other.put(paid, moving("REFUND", "1.00")),
        await other.send("GET", f"/session/{key}"),
        await other.send("PUT", f"/session/{key}", {"sourceOfFunds": source()}),
        await other.put(fresh(), by_session("PAY", key)),
        await other.send("GET", f"/token/{token}"),
        await other.send("DELETE", f"/token/{token}"),
        await other.put(fresh(), by_token),
    ]

    assert {reply.status for reply in tried} <= {400, 403, 404}
    assert {reply["result"] for reply in tried} == {"ERROR"}
    assert (await shop.order(order)).body == before
    assert (await shop.send("GET", f"/token/{token}")).status == 200
    assert token not in (await other.send("POST", "/tokenSearch", {"query": {"status": "VALID"}})).text
    ever = "timeOfRecord.start=2020-01-01T00:00:00Z&timeOfRecord.end=2099-01-01T00:00:00Z"
    assert order not in (await history(other, f"columns=order.id&{ever}")).text.split()


async def test_the_same_ids_of_two_merchants_are_two_things(shop: Merchant, other: Merchant) -> None:
    order, token = fresh(), fresh("token")
    await shop.done(order, paying("PAY", "10.00"), "1")
    await other.done(order, paying("AUTHORIZE", "20.00"), "1")
    await shop.send("PUT", f"/token/{token}", {"sourceOfFunds": source()})
    await other.send("PUT", f"/token/{token}", {"sourceOfFunds": source("5111111111111118")})

    assert (await shop.totals(order), await other.totals(order)) == (("CAPTURED", 10, 10, 0), ("AUTHORIZED", 20, 0, 0))
    assert (await shop.send("GET", f"/token/{token}"))[f"{CARD}.number"] == "512345xxxxxx0008"


async def test_control_is_not_for_merchants(gateway: Gateway, shop: Merchant) -> None:
    for auth in (None, shop.basic, shop.reporting):
        for method, path in (("POST", "reset"), ("GET", "orders"), ("GET", "journal")):
            reply = await gateway.http.request(method, f"{gateway.plain}/__sim/{path}", auth=auth)
            assert reply.status_code in (401, 403, 404)


async def test_neither_journal_nor_log_has_a_card(gateway: Gateway, shop: Merchant) -> None:
    key, _ = await opened(shop)
    await shop.done(fresh(), by_session("PAY", key))
    await shop.send("POST", "/token", {"sourceOfFunds": source()})
    text = gateway.journal.read_text()

    assert key in text
    assert all(number not in re.sub("[ -]", "", text) for number in NUMBERS)
    assert re.search(r'"(securityCode|csc|cvv)"\s*:\s*"?\d', text) is None
    assert gateway.credentials["mpgs_password"] not in text
