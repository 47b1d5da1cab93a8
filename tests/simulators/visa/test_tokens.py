"""Tokens: made of cards, paid with, and never showing what they stand for."""

from __future__ import annotations

from typing import Any

import pytest

from tests.simulators.visa.client import Merchant, order, payment

CARD = {"card": {"number": "4111111111111111", "expirationMonth": "12", "expirationYear": "2049"}}


def created(number: str = "4111111111111111", *types: str) -> dict[str, Any]:
    body = payment("20.00", number=number)
    body["processingInformation"] |= {"actionList": ["TOKEN_CREATE"], "actionTokenTypes": list(types)}
    if not types:
        del body["processingInformation"]["actionTokenTypes"]
    body["orderInformation"]["shipTo"] = {"firstName": "A", "country": "KZ"}
    return body


def paying(**instrument: Any) -> dict[str, Any]:
    return order("30.00") | {"paymentInformation": instrument}


async def tokens_of(merchant: Merchant, number: str = "4111111111111111") -> Any:
    reply = await merchant.post("/pts/v2/payments", created(number))
    assert reply.status_code == 201, reply.text
    return reply.json()["tokenInformation"]


async def test_a_payment_makes_tokens_that_pay(merchant: Merchant) -> None:
    made = await tokens_of(merchant)

    for name in ("customer", "paymentInstrument", "instrumentIdentifier"):
        # The identifier alone has no expiry, so the payment brings it.
        more = {"card": {"expirationMonth": "12", "expirationYear": "2049"}} if name == "instrumentIdentifier" else {}
        reply = (await merchant.post("/pts/v2/payments", paying(**{name: {"id": made[name]["id"]}}, **more))).json()
        assert reply["status"] == "AUTHORIZED", name
        assert reply["paymentInformation"]["card"] == {"type": "001", "prefix": "411111", "suffix": "1111"}


async def test_a_token_does_what_its_card_would(merchant: Merchant) -> None:
    body = {"card": {"number": "4000000204000006"}}
    identifier = (await merchant.post("/tms/v1/instrumentidentifiers", body)).json()["id"]
    instrument = {
        "instrumentIdentifier": {"id": identifier},
        "card": {"expirationMonth": "12", "expirationYear": "2049"},
    }
    token = (await merchant.post("/tms/v1/paymentinstruments", instrument)).json()["id"]

    reply = (await merchant.post("/pts/v2/payments", paying(paymentInstrument={"id": token}))).json()

    assert (reply["status"], reply["errorInformation"]["reason"]) == ("DECLINED", "INSUFFICIENT_FUND")


async def test_a_declined_payment_makes_no_token(merchant: Merchant) -> None:
    reply = (await merchant.post("/pts/v2/payments", created("4000000204000006"))).json()

    assert "tokenInformation" not in reply


async def test_the_same_card_has_one_identifier_for_each_merchant(merchant: Merchant, stranger: Merchant) -> None:
    first, second = await tokens_of(merchant), await tokens_of(merchant)
    other = await tokens_of(stranger)

    assert (first["instrumentidentifierNew"], second["instrumentidentifierNew"]) == (True, False)
    assert first["instrumentIdentifier"] == second["instrumentIdentifier"] != other["instrumentIdentifier"]
    assert first["customer"] != second["customer"]


async def test_a_customer_keeps_its_card_and_gets_another(merchant: Merchant) -> None:
    customer = (await tokens_of(merchant))["customer"]["id"]
    body = created("5555555555554444", "paymentInstrument", "shippingAddress")
    body["paymentInformation"]["card"]["type"] = "002"
    body["paymentInformation"]["customer"] = {"id": customer}
    made = (await merchant.post("/pts/v2/payments", body)).json()["tokenInformation"]
    assert set(made) == {"instrumentidentifierNew", "instrumentIdentifier", "paymentInstrument", "shippingAddress"}

    base = f"/tms/v2/customers/{customer}/payment-instruments"
    await merchant.send("PATCH", f"{base}/{made['paymentInstrument']['id']}", {"default": True})

    listed = (await merchant.get(base)).json()["_embedded"]["paymentInstruments"]
    assert [(one["card"]["type"], one["default"]) for one in listed] == [("visa", False), ("mastercard", True)]
    paid = (await merchant.post("/pts/v2/payments", paying(customer={"id": customer}))).json()
    assert paid["paymentInformation"]["card"]["suffix"] == "4444"


async def test_a_token_shows_first_six_and_last_four_alone(merchant: Merchant) -> None:
    reply = await merchant.post("/tms/v1/instrumentidentifiers", CARD)

    assert reply.json()["card"]["number"] == "411111XXXXXX1111"


async def test_tokens_are_strictly_apart(merchant: Merchant, stranger: Merchant) -> None:
    made = await tokens_of(merchant)

    for path, name in (
        ("/tms/v2/customers", "customer"),
        ("/tms/v1/paymentinstruments", "paymentInstrument"),
        ("/tms/v1/instrumentidentifiers", "instrumentIdentifier"),
    ):
        own = f"{path}/{made[name]['id']}"
        assert (await stranger.get(own)).status_code == 404
        assert (await stranger.send("PATCH", own, {})).status_code == 404
        assert (await stranger.send("DELETE", own)).status_code == 404
        assert (await stranger.post("/pts/v2/payments", paying(**{name: {"id": made[name]["id"]}}))).status_code == 400


async def test_a_deleted_token_is_gone_and_pays_no_more(merchant: Merchant) -> None:
    made = await tokens_of(merchant)
    instrument, identifier = made["paymentInstrument"]["id"], made["instrumentIdentifier"]["id"]

    assert (await merchant.send("DELETE", f"/tms/v1/instrumentidentifiers/{identifier}")).status_code == 409
    assert (await merchant.send("DELETE", f"/tms/v1/paymentinstruments/{instrument}")).status_code == 204
    assert (await merchant.get(f"/tms/v1/paymentinstruments/{instrument}")).status_code == 410
    assert (await merchant.post("/pts/v2/payments", paying(paymentInstrument={"id": instrument}))).status_code == 400
    assert (await merchant.send("DELETE", f"/tms/v1/instrumentidentifiers/{identifier}")).status_code == 204
    assert (await merchant.get(f"/tms/v1/instrumentidentifiers/{identifier}")).status_code == 410
    assert (await merchant.post("/tms/v1/instrumentidentifiers", CARD)).json()["id"] == identifier
    assert (await merchant.get(f"/tms/v1/instrumentidentifiers/{identifier}")).status_code == 200


async def test_a_customer_takes_all_that_is_its_own_with_it(merchant: Merchant) -> None:
    made = await tokens_of(merchant)

    assert (await merchant.send("DELETE", f"/tms/v2/customers/{made['customer']['id']}")).status_code == 204

    assert (await merchant.get(f"/tms/v1/paymentinstruments/{made['paymentInstrument']['id']}")).status_code == 410


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/tms/v1/instrumentidentifiers", {}, "card"),
        ("/tms/v1/instrumentidentifiers", {"card": {"number": "4111"}}, "card.number"),
        ("/tms/v1/instrumentidentifiers", {"card": {"number": 4111111111111111}}, "card.number"),
        ("/tms/v1/paymentinstruments", {}, "instrumentIdentifier.id"),
        ("/tms/v1/paymentinstruments", {"instrumentIdentifier": {"id": "17"}}, "instrumentIdentifier.id"),
        (
            "/tms/v2/customers",
            {"buyerInformation": {"merchantCustomerID": "4111111111111111"}},
            "buyerInformation.merchantCustomerID",
        ),
        ("/tms/v2/tokenized-cards", {"card": {"number": "4111111111111111"}}, "card.expirationMonth"),
        ("/tms/v2/tokenize", {"processingInformation": {"actionList": ["NONE"]}}, "processingInformation.actionList"),
        ("/tms/v2/customers/17/payment-instruments", {}, "customerId"),
    ],
)
async def test_what_cannot_be_kept_is_refused_by_its_field(
    merchant: Merchant, path: str, body: Any, field: str
) -> None:
    reply = await merchant.post(path, body)

    assert reply.status_code in {400, 404}
    assert reply.json()["errors"][0]["details"][0]["name"] == field


@pytest.mark.parametrize(
    ("number", "brand"),
    [("4111111111111111", "VISA"), ("222100", "MASTERCARD"), ("37828224", "AMERICAN EXPRESS"), ("990000", None)],
)
async def test_a_bin_tells_its_network(merchant: Merchant, number: str, brand: str | None) -> None:
    reply = (await merchant.post("/bin/v1/binlookup", {"paymentInformation": {"card": {"number": number}}})).json()

    assert reply["status"] == ("COMPLETED" if brand else "NO")
    assert reply.get("paymentAccountInformation", {"card": {"brandName": None}})["card"]["brandName"] == brand
    assert number not in str(reply) or len(number) == 6


async def test_a_bin_is_looked_up_by_token(merchant: Merchant) -> None:
    made = await tokens_of(merchant)

    for name in ("customer", "paymentInstrument", "instrumentIdentifier"):
        body = {"paymentInformation": {name: {"id": made[name]["id"]}}}
        assert (await merchant.post("/bin/v1/binlookup", body)).json()["issuerInformation"]["accountPrefix"] == "411111"
