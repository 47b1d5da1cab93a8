"""Payer authentication: what each test card does, the challenge page, and payments that bring an authentication."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from shanraq.simulators.visa import VisaSimulator
from tests.simulators.visa.client import Merchant, payment
from tests.simulators.visa.control import Control

CHALLENGE = "4000000000001091"


def order_of(number: str = CHALLENGE, card_type: str = "001", actions: list[str] | None = None, **details: Any) -> Any:
    body = payment("50.00", number=number, card_type=card_type)
    body["consumerAuthenticationInformation"] = {"returnUrl": "https://shop.example/back?a=1&b=2"} | details
    if actions is not None:
        body["processingInformation"]["actionList"] = actions
    return body


async def enrolled(merchant: Merchant, number: str = CHALLENGE, card_type: str = "001", **details: Any) -> Any:
    reply = await merchant.post("/risk/v1/authentications", order_of(number, card_type, **details))
    assert reply.status_code == 201, reply.text
    return reply.json()


async def validated(merchant: Merchant, transaction_id: str) -> Any:
    body = order_of(authenticationTransactionId=transaction_id)
    reply = await merchant.post("/risk/v1/authentication-results", body)
    assert reply.status_code == 201, reply.text
    return reply.json()


@pytest.mark.parametrize(
    ("number", "card_type", "status", "pares", "eci", "indicator"),
    [
        ("4000000000001000", "001", "AUTHENTICATION_SUCCESSFUL", "Y", "05", "vbv"),
        ("4000000000001018", "001", "AUTHENTICATION_FAILED", "N", None, None),
        ("4000000000001026", "001", "AUTHENTICATION_SUCCESSFUL", "A", "06", "vbv_attempted"),
        ("4000000000001034", "001", "AUTHENTICATION_SUCCESSFUL", "U", "07", "internet"),
        ("4000000000001042", "001", "AUTHENTICATION_FAILED", "R", None, None),
        ("4000000000001059", "001", "AUTHENTICATION_SUCCESSFUL", None, "07", "internet"),
        ("4000000000001067", "001", "AUTHENTICATION_SUCCESSFUL", None, "07", "internet"),
        ("4000000000001075", "001", "AUTHENTICATION_SUCCESSFUL", None, "07", "internet"),
        ("4000000000001083", "001", "AUTHENTICATION_SUCCESSFUL", None, "07", "internet"),
        ("5200000000001005", "002", "AUTHENTICATION_SUCCESSFUL", "Y", "02", "spa"),
        ("5200000000001021", "002", "AUTHENTICATION_SUCCESSFUL", "A", "01", "spa"),
        ("340000000001007", "003", "AUTHENTICATION_SUCCESSFUL", "Y", "05", "aesk"),
        ("6011000000001002", "004", "AUTHENTICATION_SUCCESSFUL", "Y", "05", "dipb"),
        ("4456530000001005", "001", "AUTHENTICATION_SUCCESSFUL", "Y", "05", "vbv"),
        ("4000000476000007", "001", "AUTHENTICATION_FAILED", "N", None, None),
        ("4111111111111111", "001", "AUTHENTICATION_SUCCESSFUL", "Y", "05", "vbv"),
    ],
)
async def test_the_card_decides_how_enrolment_ends(
    merchant: Merchant,
    number: str,
    card_type: str,
    status: str,
    pares: str | None,
    eci: str | None,
    indicator: str | None,
) -> None:
    reply = await enrolled(merchant, number, card_type)

    details = reply["consumerAuthenticationInformation"]
    assert (reply["status"], details.get("paresStatus")) == (status, pares)
    assert (details.get("eciRaw"), details.get("ecommerceIndicator")) == (eci, indicator)
    value = details.get("ucafAuthenticationData" if card_type == "002" else "cavv")
    assert (value is not None and len(value) == 28) is (pares in {"Y", "A"})
    assert (reply.get("errorInformation", {}).get("reason") == "CONSUMER_AUTHENTICATION_FAILED") is (
        status == "AUTHENTICATION_FAILED"
    )


@pytest.mark.parametrize(
    ("number", "result", "status"),
    [
        ("4000000000001091", "0", "AUTHENTICATION_SUCCESSFUL"),
        ("4000000000001109", "9", "AUTHENTICATION_FAILED"),
        ("4000000000001117", "6", "AUTHENTICATION_SUCCESSFUL"),
    ],
)
async def test_validation_without_a_browser_takes_the_outcome_of_the_card(
    merchant: Merchant, number: str, result: str, status: str
) -> None:
    reply = await enrolled(merchant, number)
    assert reply["status"] == "PENDING_AUTHENTICATION"
    assert reply["errorInformation"]["reason"] == "CONSUMER_AUTHENTICATION_REQUIRED"

    checked = await validated(merchant, reply["consumerAuthenticationInformation"]["authenticationTransactionId"])

    assert (checked["status"], checked["consumerAuthenticationInformation"]["authenticationResult"]) == (status, result)


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        ("pass", "AUTHENTICATION_SUCCESSFUL"),
        ("fail", "AUTHENTICATION_FAILED"),
        ("unavailable", "AUTHENTICATION_SUCCESSFUL"),
    ],
)
async def test_a_person_answers_the_challenge_and_is_sent_back(
    merchant: Merchant, control: Control, answer: str, status: str
) -> None:
    await control.put("challenge", {"required": True})
    details = (await enrolled(merchant))["consumerAuthenticationInformation"]
    transaction_id = details["authenticationTransactionId"]
    assert (await validated(merchant, transaction_id))["status"] == "PENDING_AUTHENTICATION"

    async with httpx.AsyncClient(trust_env=False) as browser:
        page = await browser.post(details["stepUpUrl"], data={"JWT": details["accessToken"], "MD": "<m>"})
        action = re.search(r'action="([^"]+)"', page.text)
        assert action is not None
        url = f"http://{urlsplit(details['stepUpUrl']).netloc}{action[1]}"
        back = await browser.post(url, data={"JWT": details["accessToken"], "MD": "<m>", "answer": answer})

    assert 'action="https://shop.example/back?a=1&amp;b=2"' in back.text
    assert f'name="TransactionId" value="{transaction_id}"' in back.text
    assert 'name="MD" value="&lt;m&gt;"' in back.text
    assert (await validated(merchant, transaction_id))["status"] == status


async def test_an_answer_counts_once(merchant: Merchant) -> None:
    details = (await enrolled(merchant))["consumerAuthenticationInformation"]
    url = details["stepUpUrl"].replace("StepUp", "Answer")

    async with httpx.AsyncClient(trust_env=False) as browser:
        for answer in ("fail", "pass"):
            await browser.post(url, data={"JWT": details["accessToken"], "answer": answer})

    assert (await validated(merchant, details["authenticationTransactionId"]))["status"] == "AUTHENTICATION_FAILED"


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "é"])
async def test_a_page_without_its_token_does_nothing(simulator: VisaSimulator, token: str) -> None:
    async with httpx.AsyncClient(base_url=simulator.base_url, trust_env=False) as browser:
        for name in ("StepUp", "Answer"):
            reply = await browser.post(f"/ThreeDS/V2/Cruise/{name}", data={"JWT": token, "answer": "pass"})
            assert reply.status_code == 400
        assert (await browser.get("/ThreeDS/nothing")).status_code == 404
        assert (await browser.post("/ThreeDS/V2/Cruise/StepUp", content=b"\xff=\xfe")).status_code == 400
        assert (await browser.put("/ThreeDS/V2/Cruise/StepUp")).status_code == 405


async def test_another_merchants_authentication_is_not_there(merchant: Merchant, stranger: Merchant) -> None:
    transaction_id = (await enrolled(merchant))["consumerAuthenticationInformation"]["authenticationTransactionId"]

    body = order_of(authenticationTransactionId=transaction_id)
    reply = await stranger.post("/risk/v1/authentication-results", body)

    assert (reply.status_code, reply.json()["details"][0]["field"]) == (
        400,
        "consumerAuthenticationInformation.authenticationTransactionId",
    )


async def test_an_authentication_is_forgotten_after_a_day(merchant: Merchant, control: Control) -> None:
    transaction_id = (await enrolled(merchant))["consumerAuthenticationInformation"]["authenticationTransactionId"]
    await control.post("clock", {"advance_seconds": 90_000})

    reply = await merchant.post("/risk/v1/authentication-results", order_of(authenticationTransactionId=transaction_id))

    assert reply.status_code == 400


async def test_an_expired_card_cannot_be_set_up(merchant: Merchant) -> None:
    body = payment()
    body["paymentInformation"]["card"]["expirationYear"] = "2020"

    reply = (await merchant.post("/risk/v1/authentication-setups", body)).json()

    assert (reply["status"], reply["errorInformation"]["reason"]) == ("FAILED", "EXPIRED_CARD")


async def test_a_payment_authenticates_on_its_way(merchant: Merchant) -> None:
    frictionless = order_of("4000000000001000", actions=["CONSUMER_AUTHENTICATION"])
    failed = order_of("4000000000001018", actions=["CONSUMER_AUTHENTICATION"])

    taken = (await merchant.post("/pts/v2/payments", frictionless)).json()
    declined = (await merchant.post("/pts/v2/payments", failed)).json()

    assert (taken["status"], taken["consumerAuthenticationInformation"]["ecommerceIndicator"]) == ("AUTHORIZED", "vbv")
    assert taken["embeddedActions"]["CONSUMER_AUTHENTICATION"] == {"status": "AUTHENTICATION_SUCCESSFUL"}
    assert (declined["status"], declined["errorInformation"]["reason"]) == (
        "DECLINED",
        "CONSUMER_AUTHENTICATION_FAILED",
    )


@pytest.mark.parametrize(("number", "status"), [("4000000000001091", "AUTHORIZED"), ("4000000000001109", "DECLINED")])
async def test_a_payment_that_was_challenged_is_taken_after_validation(
    merchant: Merchant, number: str, status: str
) -> None:
    begun = (await merchant.post("/pts/v2/payments", order_of(number, actions=["CONSUMER_AUTHENTICATION"]))).json()
    assert (begun["status"], begun["errorInformation"]["reason"]) == (
        "PENDING_AUTHENTICATION",
        "CONSUMER_AUTHENTICATION_REQUIRED",
    )
    details = begun["consumerAuthenticationInformation"]
    assert details["stepUpUrl"].startswith("http")

    ended = await merchant.post(
        "/pts/v2/payments",
        order_of(
            number,
            actions=["VALIDATE_CONSUMER_AUTHENTICATION"],
            authenticationTransactionId=details["authenticationTransactionId"],
        ),
    )

    assert ended.json()["status"] == status
    assert "VALIDATE_CONSUMER_AUTHENTICATION" in ended.json()["embeddedActions"]


@pytest.mark.parametrize("number", ["4000000475000008", "4000000478000005"])
async def test_cards_that_need_authentication_are_approved_with_it(merchant: Merchant, number: str) -> None:
    refused = (await merchant.post("/pts/v2/payments", order_of(number))).json()
    with_value = await merchant.post("/pts/v2/payments", order_of(number, cavv="AAABCSIIAAAAAAACcwgAEMCoNh8="))
    details = (await enrolled(merchant, number))["consumerAuthenticationInformation"]
    await validated(merchant, details["authenticationTransactionId"])
    with_id = await merchant.post(
        "/pts/v2/payments", order_of(number, authenticationTransactionId=details["authenticationTransactionId"])
    )

    assert refused["status"] in {"PENDING_AUTHENTICATION", "DECLINED"}
    assert (with_value.json()["status"], with_id.json()["status"]) == ("AUTHORIZED", "AUTHORIZED")


@pytest.mark.parametrize("url", ["javascript:alert(1)", "ftp://x", "https://x/?card=4111111111111111"])
async def test_a_return_url_must_be_one(merchant: Merchant, url: str) -> None:
    reply = await merchant.post("/risk/v1/authentications", order_of(returnUrl=url))

    assert reply.json()["details"][0]["field"] == "consumerAuthenticationInformation.returnUrl"
