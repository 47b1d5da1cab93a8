"""Authentication of payers and the risk assessment of the Mastercard simulator, over HTTP."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from shanraq.core.http import HttpClient, Request
from shanraq.core.money import Money
from shanraq.core.secret import Pan
from shanraq.payments.adapter import (
    Authenticate,
    Authenticated,
    Card,
    Challenge,
    Device,
    DeviceCollection,
    NotAuthenticated,
    StartAuthentication,
)
from shanraq.simulators.mastercard import MastercardCredentials, MastercardSimulator
from tests.simulators.mastercard.test_adapter import adapter_at
from tests.simulators.mastercard.test_http import Merchant, moving, paying

TOKEN = "control"
AMOUNT = Money.of(10_000, "KZT")


@dataclass
class Desk(Merchant):
    """A merchant who also has the control token."""

    async def control(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        content = b"" if body is None else msgspec.json.encode(body)
        url = f"{self.simulator.base_url}/__sim/{path}"
        request = Request(method, url, (("Authorization", f"Bearer {TOKEN}"),), content)
        answer = await self.client.send(request, 10)
        return answer.status, msgspec.json.decode(answer.body)


@pytest.fixture
async def shop() -> AsyncIterator[Desk]:
    async with MastercardSimulator(MastercardCredentials.generate(), control_token=TOKEN) as simulator:
        client = HttpClient()
        yield Desk(simulator, client, simulator.credentials.merchant_id, simulator.credentials.password)
        await client.close()


def by(number: str, body: dict[str, Any]) -> dict[str, Any]:
    card = {"number": number, "expiry": {"month": "1", "year": "39"}}
    return body | {"sourceOfFunds": {"type": "CARD", "provided": {"card": card}}}


def initiate(number: str) -> dict[str, Any]:
    asked = {"acceptVersions": "3DS2", "channel": "PAYER_BROWSER", "purpose": "PAYMENT_TRANSACTION"}
    return by(
        number, {"apiOperation": "INITIATE_AUTHENTICATION", "authentication": asked, "order": {"currency": "KZT"}}
    )


def authenticate(number: str) -> dict[str, Any]:
    where = {"redirectResponseUrl": "https://shop.example/back"}
    order = {"amount": "100.00", "currency": "KZT"}
    return by(number, {"apiOperation": "AUTHENTICATE_PAYER", "authentication": where, "order": order})


@pytest.mark.parametrize(
    ("number", "status", "letter", "eci", "paid"),
    [
        ("5123456789012346", "AUTHENTICATION_SUCCESSFUL", "Y", "02", "SUCCESS"),
        ("5555555555000018", "AUTHENTICATION_SUCCESSFUL", "Y", "02", "SUCCESS"),
        ("5500005555555559", "AUTHENTICATION_ATTEMPTED", "A", "01", "SUCCESS"),
        ("4440000042200014", "AUTHENTICATION_SUCCESSFUL", "Y", "05", "SUCCESS"),
        ("4440000042200022", "AUTHENTICATION_ATTEMPTED", "A", "06", "SUCCESS"),
        ("5506900140100503", "AUTHENTICATION_REJECTED", "R", None, "FAILURE"),
        ("5123459999998221", "AUTHENTICATION_UNAVAILABLE", "U", None, "SUCCESS"),
    ],
)
async def test_cards_without_a_challenge(
    shop: Desk, number: str, status: str, letter: str, eci: str | None, paid: str
) -> None:
    code, first = await shop.put("o", initiate(number), "a")
    assert (code, first["result"], first["order"]["status"], first["order"]["authenticationStatus"]) == (
        201, "SUCCESS", "AUTHENTICATION_INITIATED", "AUTHENTICATION_AVAILABLE",
    )  # fmt: skip
    assert first["transaction"]["authenticationStatus"] == "AUTHENTICATION_AVAILABLE"
    code, second = await shop.put("o", authenticate(number), "a")
    block = second["authentication"]
    assert (code, second["transaction"]["authenticationStatus"]) == (201, status)
    assert (block["3ds2"]["transactionStatus"], block["3ds"].get("acsEci")) == (letter, eci)
    assert ("authenticationToken" in block["3ds"]) == (letter in "YA")
    code, answer = await shop.put("o", by(number, paying()) | {"authentication": {"transactionId": "a"}}, "p")
    assert (code, answer["result"]) == (201, paid)
    assert answer["transaction"]["authenticationStatus"] == status


@pytest.mark.parametrize(
    ("choice", "status", "result"),
    [
        ("success", "AUTHENTICATION_SUCCESSFUL", "SUCCESS"),
        ("failed", "AUTHENTICATION_FAILED", "FAILURE"),
        ("cancelled", "AUTHENTICATION_FAILED", "FAILURE"),
        ("unable", "AUTHENTICATION_UNAVAILABLE", "FAILURE"),
        ("rejected", "AUTHENTICATION_REJECTED", "FAILURE"),
    ],
)
async def test_a_challenge_is_answered_by_the_payer(shop: Desk, choice: str, status: str, result: str) -> None:
    number = "5123450000000008"
    await shop.put("o", initiate(number), "a")
    _, asked = await shop.put("o", authenticate(number), "a")
    assert (asked["result"], asked["transaction"]["authenticationStatus"]) == ("PENDING", "AUTHENTICATION_PENDING")
    early = await shop.put("o", by(number, paying()) | {"authentication": {"transactionId": "a"}}, "early")
    assert (early[0], early[1]["error"]["field"]) == (400, "authentication.transactionId")
    url = asked["authentication"]["redirect"]["customizedHtml"]["3ds2"]["acsUrl"]
    page = (await shop.client.send(Request("POST", url, (), b"creq=x"), 10)).body.decode()
    key = re.search(r'name="id" value="(\w+)"', page)
    assert key is not None
    for turn in range(2):
        sent = Request("POST", f"{shop.simulator.base_url}/__3ds/answer", (), f"id={key[1]}&choice={choice}".encode())
        back = await shop.client.send(sent, 10)
        assert back.status == (404 if turn else 200)
        assert turn or b"https://shop.example/back" in back.body
    _, found = await shop.send("GET", "/order/o/transaction/a")
    assert (found["result"], found["transaction"]["authenticationStatus"]) == (result, status)


async def test_the_adapter_authenticates_and_what_is_not_there_is_refused(shop: Desk) -> None:
    adapter = adapter_at(shop.simulator.base_url, shop.simulator.credentials)
    outcomes = []
    for position, number in enumerate(("5123456789012346", "5123450000000008", "5506900140100503")):
        card, reference = Card(Pan(number), 1, 2039), f"pay{position}"
        begun = await adapter.start_authentication(StartAuthentication(f"auth{position}", reference, AMOUNT, card))
        assert isinstance(begun, DeviceCollection)
        device = Device(ip_address="127.0.0.1", user_agent="x", accept="*/*", language="en")
        asked = Authenticate(
            f"auth{position}", reference, AMOUNT, card, begun.session, "https://shop.example/back", device
        )
        outcomes.append(await adapter.authenticate(asked))
    unknown = Card(Pan("4111111111111111"), 1, 2039)
    absent = await adapter.start_authentication(StartAuthentication("auth9", "pay9", AMOUNT, unknown))
    await adapter.close()
    assert [type(one) for one in outcomes] == [Authenticated, Challenge, NotAuthenticated]
    assert isinstance(absent, NotAuthenticated)
    assert absent.proceed
    status, answer = await shop.put("q", paying() | {"authentication": {"transactionId": "nope"}})
    assert (status, answer["error"]["field"]) == (400, "authentication.transactionId")
    assert (await shop.put("q", authenticate("5123450000000008"), "new"))[0] == 400


async def test_an_authentication_is_of_one_card_and_shows_no_number(shop: Desk) -> None:
    await shop.put("o", initiate("5123456789012346"), "a")
    assert (await shop.put("o", authenticate("5555555555000018"), "a"))[0] == 400
    for url in (None, "javascript:alert(1)"):
        body = authenticate("5123456789012346") | {"authentication": {"redirectResponseUrl": url} if url else {}}
        assert (await shop.put("o", body, "a"))[1]["error"]["field"] == "authentication.redirectResponseUrl"
    await shop.put("o", authenticate("5123456789012346"), "a")
    other = by("5555555555000018", paying()) | {"authentication": {"transactionId": "a"}}
    assert (await shop.put("o", other))[1]["error"]["field"] == "authentication.transactionId"
    leak = paying() | {"authentication": {"3ds": {"transactionId": "5123456789012346"}}}
    status, answer = await shop.put("q", leak)
    assert status == 400
    assert "5123456789012346" not in str(answer)
    failed = paying() | {"authentication": {"3ds": {"acsEci": "07"}, "3ds2": {"transactionStatus": "N"}}}
    assert (await shop.put("q", failed))[1]["response"]["gatewayCode"] == "AUTHENTICATION_FAILED"


async def test_each_request_keeps_its_first_answer(shop: Desk) -> None:
    number = "5123450000000008"
    first = await shop.put("o", initiate(number), "a")
    second = await shop.put("o", authenticate(number), "a")
    (key,) = shop.simulator.authentications.open_challenges()
    sent = Request("POST", f"{shop.simulator.base_url}/__3ds/answer", (), f"id={key}&choice=success".encode())
    assert (await shop.client.send(sent, 10)).status == 200

    assert await shop.put("o", initiate(number), "a") == (200, first[1])
    assert await shop.put("o", authenticate(number), "a") == (200, second[1])
    _, found = await shop.send("GET", "/order/o/transaction/a")
    assert (found["result"], found["order"]["authenticationStatus"]) == ("SUCCESS", "AUTHENTICATION_SUCCESSFUL")
    changed = authenticate(number) | {"order": {"amount": "100.01", "currency": "KZT"}}
    assert (await shop.put("o", changed, "a"))[0] == 400


async def test_a_challenge_is_open_after_a_restart_and_its_session_keeps_the_security_code(tmp_path: Path) -> None:
    credentials, number = MastercardCredentials.generate(), "5123450000000008"
    client, journal = HttpClient(), tmp_path / "journal"
    async with MastercardSimulator(credentials, journal=journal) as simulator:
        shop = Desk(simulator, client, credentials.merchant_id, credentials.password)
        _, opened = await shop.send("POST", "/session", {})
        path, session = f"/session/{opened['session']['id']}", {"id": opened["session"]["id"]}
        _, filled = await shop.send("PUT", path, {"sourceOfFunds": paying()["sourceOfFunds"]})
        asked = {name: value for name, value in initiate(number).items() if name != "sourceOfFunds"}
        assert (await shop.put("o", asked | {"session": session}, "a"))[0] == 201
        _, after = await shop.send("GET", path)
        assert after["session"]["version"] == filled["session"]["version"]
        await shop.put("o", authenticate(number), "a")
    async with MastercardSimulator(credentials, journal=journal) as simulator:
        shop = Desk(simulator, client, credentials.merchant_id, credentials.password)
        (key,) = simulator.authentications.open_challenges()
        sent = Request("POST", f"{simulator.base_url}/__3ds/answer", (), f"id={key}&choice=cancelled".encode())
        assert (await client.send(sent, 10)).status == 200
        _, found = await shop.send("GET", "/order/o/transaction/a")
        block = found["authentication"]["3ds2"]
        assert (block["transactionStatus"], block["challengeCancel"]) == ("N", "01")
    await client.close()
    assert number.encode() not in journal.read_bytes()


async def test_two_authentications_of_a_card_have_ids_of_their_own(shop: Desk) -> None:
    seen = set()
    for order in ("o", "q"):
        await shop.put(order, initiate("5123456789012346"), "a")
        _, answer = await shop.put(order, authenticate("5123456789012346"), "a")
        seen.add(answer["authentication"]["3ds2"]["dsTransactionId"])
    assert len(seen) == 2


async def test_an_authentication_that_could_not_begin_does_not_go_on(shop: Desk) -> None:
    number = "5210760000000004"
    _, first = await shop.put("o", initiate(number), "a")
    status, second = await shop.put("o", authenticate(number), "a")
    assert (first["result"], status, second["error"]["field"]) == ("FAILURE", 400, "transaction.id")
    only_1 = initiate("5123456789012346")
    only_1["authentication"] = only_1["authentication"] | {"acceptVersions": "3DS1"}
    _, told = await shop.put("q", only_1, "a")
    assert told["authentication"]["version"] == "NONE"
    open_ = paying() | {"authentication": {"3ds": {"acsEci": "02"}, "3ds2": {"transactionStatus": "C"}}}
    status, refused = await shop.put("r", open_)
    assert (status, refused["error"]["field"]) == (400, "authentication.3ds2.transactionStatus")


async def test_a_browser_may_authenticate_with_its_session_as_often_as_it_is_allowed(shop: Desk) -> None:
    _, opened = await shop.send("POST", "/session", {"session": {"authenticationLimit": 3}})
    key = opened["session"]["id"]
    browser = Merchant(shop.simulator, shop.client, shop.merchant_id, key)
    card = {"sourceOfFunds": by("5123456789012346", {})["sourceOfFunds"]}
    assert (await browser.send("PUT", f"/session/{key}", card))[0] == 200
    for body, status in (
        (paying(), 401),
        (initiate("5123456789012346"), 201),
        (authenticate("5123456789012346"), 201),
        (authenticate("5123456789012346"), 401),
    ):
        assert (await browser.put("o", body, "a"))[0] == status
    assert (await browser.send("GET", "/order/o"))[0] == 401
    other = Merchant(shop.simulator, shop.client, shop.simulator.credentials.other_merchant_id, key)
    assert (await other.put("o", initiate("5123456789012346"), "a"))[0] == 401


async def test_a_challenge_after_a_reset_is_gone(shop: Desk) -> None:
    await shop.put("o", initiate("5123450000000008"), "a")
    await shop.put("o", authenticate("5123450000000008"), "a")
    (key,) = shop.simulator.authentications.open_challenges()
    shop.simulator.reset()
    sent = Request("POST", f"{shop.simulator.base_url}/__3ds/answer", (), f"id={key}&choice=success".encode())
    assert (await shop.client.send(sent, 10)).status == 404


async def test_a_review_stops_captures_until_somebody_decides(shop: Desk) -> None:
    order = {"amount": "100.00", "currency": "KZT", "reference": "RISK-REVIEW"}
    _, held = await shop.put("o", paying() | {"order": order}, "a")
    risk = held["risk"]["response"]
    assert (held["result"], risk["gatewayCode"], risk["review"]["decision"]) == (
        "SUCCESS", "REVIEW_REQUIRED", "PENDING",
    )  # fmt: skip
    assert (await shop.put("o", moving("CAPTURE", "100.00")))[0] == 400
    decision = {"merchant_id": shop.merchant_id, "order_id": "o", "decision": "ACCEPTED", "note": "known"}
    assert (await shop.control("POST", "review", decision | {"decision": "MAYBE"}))[0] == 400
    assert (await shop.control("POST", "review", decision))[0] == 200
    assert (await shop.control("POST", "review", decision))[0] == 400
    _, found = await shop.send("GET", "/order/o/transaction/a")
    assert found["risk"]["response"]["review"]["decision"] == "ACCEPTED"
    assert (await shop.put("o", moving("CAPTURE", "100.00")))[0] == 201


@pytest.mark.parametrize(
    ("rule", "more"),
    [
        ({"name": "MERCHANT_BIN_RANGE", "values": ["512345"]}, {}),
        ({"name": "MSO_CSC", "values": ["MATCH"]}, {}),
        ({"name": "MERCHANT_AVS", "values": ["NO_MATCH"]}, {"billing": {"address": {"street": "November St"}}}),
        ({"name": "MERCHANT_IP_ADDRESS_RANGE", "values": ["10.0.0.0/8"]}, {"device": {"ipAddress": "10.1.2.3"}}),
        ({"name": "MSO_3D_SECURE", "values": ["NO_LIABILITY_SHIFT"]}, {}),
    ],
)
async def test_a_rule_that_rejects_stops_before_the_acquirer(
    shop: Desk, rule: dict[str, Any], more: dict[str, Any]
) -> None:
    assert (await shop.control("PUT", "risk-rules", [rule | {"recommendation": "REJECT"}]))[0] == 200
    _, answer = await shop.put("o", paying("PAY") | more)

    assert (answer["result"], answer["response"]["gatewayCode"]) == ("FAILURE", "BLOCKED")
    assert (answer["order"]["status"], answer["order"]["totalCapturedAmount"]) == ("FAILED", 0)
    told = answer["risk"]["response"]
    assert (told["gatewayCode"], told["rule"][0]["name"]) == ("REJECTED", rule["name"])


@pytest.mark.parametrize(
    "rules",
    [
        [{"name": "MOON", "recommendation": "REJECT", "values": []}],
        [{"name": "MSO_CSC", "recommendation": "EAT", "values": []}],
        [{"name": "MSO_IP_ADDRESS_RANGE", "recommendation": "REJECT", "values": ["x"]}],
        {"rules": []},
    ],
)
async def test_rules_that_cannot_be_are_refused(shop: Desk, rules: Any) -> None:
    assert (await shop.control("PUT", "risk-rules", rules))[0] == 400


async def test_an_order_that_was_rejected_by_review_is_not_captured(shop: Desk) -> None:
    order = {"amount": "100.00", "currency": "KZT", "reference": "RISK-REVIEW"}
    first = await shop.put("o", paying() | {"order": order}, "a")
    decision = {"merchant_id": shop.merchant_id, "order_id": "o", "decision": "REJECTED"}
    status, told = await shop.control("POST", "review", decision | {"note": "card 5123450000000008"})
    assert (status, "5123450000000008" in str(told)) == (400, False)
    assert (await shop.control("POST", "review", decision))[0] == 200

    for operation in ("CAPTURE", "UPDATE_AUTHORIZATION"):
        status, answer = await shop.put("o", moving(operation, "100.00"))
        assert (status, answer["error"]["field"]) == (400, "apiOperation")
    assert await shop.put("o", paying() | {"order": order}, "a") == (200, first[1])
    assert (await shop.put("o", {"apiOperation": "VOID"}))[1]["order"]["status"] == "CANCELLED"


async def test_a_payment_under_review_is_captured_and_settled_when_it_is_accepted(shop: Desk) -> None:
    order = {"amount": "100.00", "currency": "KZT", "reference": "RISK-REVIEW"}
    for name, decision, status, settled in (("o", "ACCEPTED", "CAPTURED", 1), ("q", "REJECTED", "AUTHORIZED", 0)):
        _, held = await shop.put(name, paying("PAY") | {"order": order}, "a")
        assert (held["order"]["status"], held["order"]["totalCapturedAmount"]) == ("AUTHORIZED", 0)
        assert shop.simulator.cut_off() == 0
        asked = {"merchant_id": shop.merchant_id, "order_id": name, "decision": decision}
        assert (await shop.control("POST", "review", asked))[0] == 200
        assert (await shop.send("GET", f"/order/{name}"))[1]["status"] == status
        assert shop.simulator.cut_off() == settled
        voided = await shop.put(name, {"apiOperation": "VOID"})
        assert voided[0] == (400 if settled else 201)
        if not settled:
            assert (voided[1]["transaction"]["type"], voided[1]["transaction"]["amount"]) == ("VOID_PAYMENT", 100)


async def test_a_declined_order_waits_for_nobody_and_a_blocked_one_asked_no_acquirer(shop: Desk) -> None:
    order = {"amount": "100.00", "currency": "KZT", "reference": "RISK-REVIEW"}
    declined = by("5123450000000008", paying() | {"order": order})
    declined["sourceOfFunds"]["provided"]["card"]["expiry"] = {"month": "5", "year": "39"}
    _, answer = await shop.put("o", declined)
    assert (answer["result"], answer["risk"]["response"]["review"]) == ("FAILURE", {"decision": "NOT_REQUIRED"})
    assert shop.simulator.orders()[0]["review"] == ""

    _, blocked = await shop.put("q", paying() | {"order": order | {"reference": "RISK-REJECT"}})
    assert blocked["response"] == {
        "gatewayCode": "BLOCKED", "gatewayRecommendation": "DO_NOT_PROCEED_ABANDON_ORDER",
    }  # fmt: skip
    assert "authorizationResponse" not in blocked
    assert "stan" not in blocked["transaction"]


async def test_lists_take_card_numbers_and_keep_none(shop: Desk) -> None:
    suspect = {"name": "SUSPECT_CARD_LIST", "recommendation": "REJECT", "values": ["5123450000000008"]}
    trusted = {"name": "TRUSTED_CARD_LIST", "recommendation": "ACCEPT", "values": ["5111111111111118"]}
    every = {"name": "MERCHANT_BIN_RANGE", "recommendation": "REJECT", "values": ["51"]}
    assert (await shop.control("PUT", "risk-rules", [suspect]))[0] == 200
    assert (await shop.put("o", paying()))[1]["response"]["gatewayCode"] == "BLOCKED"
    _, shown = await shop.control("GET", "risk-rules")
    assert "5123450000000008" not in str(shown)
    assert (await shop.control("PUT", "risk-rules", [*shown["rules"], trusted, every]))[0] == 200
    assert (await shop.put("q", by("5111111111111118", paying())))[1]["result"] == "SUCCESS"
    assert (await shop.put("r", paying()))[1]["response"]["gatewayCode"] == "BLOCKED"
    for values in (["51234x"], ["5123450000000009"]):
        status, told = await shop.control("PUT", "risk-rules", [suspect | {"values": values}])
        assert (status, values[0] in str(told)) == (400, False)


async def test_the_country_of_an_address_is_a_rule(shop: Desk) -> None:
    rule = {"name": "MSO_IP_COUNTRY", "recommendation": "REVIEW", "values": ["USA"]}
    assert (await shop.control("PUT", "risk-rules", [rule]))[0] == 200
    for order, address, decision in (("o", "198.51.100.7", "REVIEW_REQUIRED"), ("q", "192.0.2.1", "ACCEPTED")):
        _, answer = await shop.put(order, paying() | {"device": {"ipAddress": address}})
        assert answer["risk"]["response"]["gatewayCode"] == decision
    assert (await shop.control("PUT", "risk-countries", {"10.0.0.0/8": "USA"}))[0] == 200
    _, answer = await shop.put("r", paying() | {"device": {"ipAddress": "10.1.1.1"}})
    assert answer["risk"]["response"]["rule"][0]["data"] == "USA"
    for countries in ({"x": "USA"}, {"10.0.0.0/8": "us"}):
        assert (await shop.control("PUT", "risk-countries", countries))[0] == 400


async def test_a_merchant_may_pass_by_its_own_rules_only(shop: Desk) -> None:
    own = {"name": "MERCHANT_BIN_RANGE", "recommendation": "REJECT", "values": ["51"]}
    provider = own | {"name": "MSO_BIN_RANGE"}
    bypassing = paying() | {"risk": {"bypassMerchantRiskRules": "ALL"}}
    await shop.control("PUT", "risk-rules", [own])
    _, answer = await shop.put("o", bypassing)
    assert (answer["result"], answer["risk"]["response"]["gatewayCode"]) == ("SUCCESS", "NOT_CHECKED")
    await shop.control("PUT", "risk-rules", [own, provider])
    assert (await shop.put("q", bypassing))[1]["response"]["gatewayCode"] == "BLOCKED"


async def test_a_risk_assessment_stands_alone(shop: Desk) -> None:
    rule = {"name": "MERCHANT_BIN_RANGE", "recommendation": "REVIEW", "values": ["51"]}
    await shop.control("PUT", "risk-rules", [rule])
    body = by("5123450000000008", {"requestAction": "RISK_ASSESSMENT", "order": {"amount": "1.00", "currency": "KZT"}})
    first = await shop.send("PUT", "/riskassessment/r1", body)
    assert (first[0], first[1]["risk"]["response"]["gatewayCode"]) == (201, "REVIEW_REQUIRED")
    assert await shop.send("PUT", "/riskassessment/r1", body) == (200, first[1])
    told = await shop.send("PUT", "/riskassessment/r2", body | {"requestAction": "INFORMATION_ONLY"})
    assert told[1]["risk"]["response"]["gatewayCode"] == "NOT_CHECKED"
    assert shop.simulator.orders() == []
    for change, path, field in (
        ({"requestAction": "GUESS"}, "r3", "requestAction"),
        ({"requestAction": "RISK_ASSESSMENT", "apiOperation": "PAY"}, "r3", "apiOperation"),
        ({"order": {"amount": "2.00", "currency": "KZT"}}, "r1", "riskassessment.id"),
        ({"sourceOfFunds": {"type": "CARD"}}, "r3", "sourceOfFunds.provided.card.number"),
        ({}, "x" * 41, "riskassessment.id"),
    ):
        status, answer = await shop.send("PUT", f"/riskassessment/{path}", body | change)
        assert (status, answer["error"]["field"]) == (400, field)
    lacking = {name: value for name, value in body.items() if name != "requestAction"}
    assert (await shop.send("PUT", "/riskassessment/r4", lacking))[1]["error"]["field"] == "requestAction"
