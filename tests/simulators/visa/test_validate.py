from __future__ import annotations

from typing import Any

import pytest

from shanraq.simulators.visa import VisaSimulator
from tests.simulators.visa.client import Merchant, order, payment

CARD = "paymentInformation.card"
AMOUNT = "orderInformation.amountDetails.totalAmount"
CURRENCY = "orderInformation.amountDetails.currency"
CODE = "clientReferenceInformation.code"


def changed(path: str, value: Any) -> dict[str, Any]:
    """A payment with one field changed, or left out (None)."""
    body = payment()
    *outer, last = path.split(".")
    inner = body
    for name in outer:
        inner = inner.setdefault(name, {})
    inner[last] = value
    if value is None:
        del inner[last]
    return body


@pytest.mark.parametrize(
    "path", [CODE, AMOUNT, CURRENCY, f"{CARD}.number", f"{CARD}.expirationMonth", f"{CARD}.expirationYear"]
)
async def test_a_missing_field_is_named(merchant: Merchant, path: str) -> None:
    reply = await merchant.post("/pts/v2/payments", changed(path, None))

    body = reply.json()
    assert (reply.status_code, body["status"], body["reason"]) == (400, "INVALID_REQUEST", "MISSING_FIELD")
    assert body["details"] == [{"field": path, "reason": "MISSING_FIELD"}]


UNFIT: dict[str, tuple[object, ...]] = {
    AMOUNT: (
        *("-1.00", "+1.00", "1e3", "NaN", "1,000.00", " 1.00", "1.", ".5", "٣.00", "1" * 20, ""),
        *(1, 1.5, True, [], {}, ["1.00"]),
    ),
    CURRENCY: ("XXX", "kzt", "KZ", "398", "KZTT", 398, ""),
    CODE: ("c" * 51, 17, "", {"a": 1}),
    "clientReferenceInformation.transactionId": ("t" * 31, 17),
    f"{CARD}.number": ("4111", "411111111111111a", "4" * 21, "４１１１１１１１１１１１１１１１", 4111111111111111, ""),
    f"{CARD}.expirationMonth": ("13", "00", "1", "１２", 12),
    f"{CARD}.expirationYear": ("49", "1999", "20490", "abcd", 2049),
    f"{CARD}.securityCode": ("12", "12345", "abc", ""),
    f"{CARD}.type": ("1", "VISA", 1),
    "processingInformation.capture": ("true",),
    "orderInformation.billTo.country": ("KAZ",),
    "orderInformation.billTo.firstName": ("f" * 61,),
    "orderInformation.billTo": ("Almaty",),
    "paymentInformation": ([],),
    "something.unknown": ("",),
    "merchantDefinedInformation": ([{"key": ""}],),
}


@pytest.mark.parametrize(("path", "value"), [(path, value) for path, values in UNFIT.items() for value in values])
async def test_an_unfit_value_is_refused_and_its_field_named(
    simulator: VisaSimulator, merchant: Merchant, path: str, value: Any
) -> None:
    reply = await merchant.post("/pts/v2/payments", changed(path, value))

    body = reply.json()
    assert (reply.status_code, body["status"], body["reason"]) == (400, "INVALID_REQUEST", "INVALID_DATA")
    assert body["details"][0]["field"].replace("[]", "").startswith(path)
    assert simulator.journal() == []


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"17",
        b"null",
        b'"text"',
        b"\xff\xfe",
        b'{"a": NaN}',
        b'{"a": 1e999}',
        b'{"a": "\\ud800"}',
        b'{"a": ' + b"[" * 90_000 + b"]" * 90_000 + b"}",
        b'{"a": ' * 500 + b"1" + b"}" * 500,
        b'{"encryptedRequest": "a.b.c.d.e"}',
        b'{"clientReferenceInformation": null}',
    ],
)
async def test_junk_is_refused_and_the_server_goes_on(merchant: Merchant, content: bytes) -> None:
    for path in (
        "/pts/v2/payments",
        "/pts/v2/reversals",
        "/pts/v2/voids",
        "/tss/v2/searches",
        "/pts/v2/payments/17/captures",
    ):
        reply = await merchant.post(path, content)
        assert 400 <= reply.status_code < 500
        assert reply.json()["status"] == "INVALID_REQUEST"

    assert (await merchant.authorize()).status_code == 201


async def test_unknown_fields_are_tolerated(merchant: Merchant) -> None:
    body = payment() | {"unknown": {"list": [1, None, {"a": 1.5}]}}
    body["clientReferenceInformation"]["partner"] = {"developerId": "KZUR4KZ4"}

    assert (await merchant.post("/pts/v2/payments", body)).status_code == 201


async def test_a_void_without_a_reference_is_refused(merchant: Merchant) -> None:
    capture_id = await merchant.captured()

    reply = await merchant.post(f"/pts/v2/captures/{capture_id}/voids", {})

    assert (reply.status_code, reply.json()["reason"]) == (400, "MISSING_FIELD")


async def test_some_card_types_must_be_told_and_must_fit_the_number(merchant: Merchant) -> None:
    mastercard = payment(number="5555555555554444")
    untold = payment(number="5555555555554444")
    del untold["paymentInformation"]["card"]["type"]

    assert (await merchant.post("/pts/v2/payments", mastercard)).json()["reason"] == "INVALID_CARD_TYPE"
    assert (await merchant.post("/pts/v2/payments", untold)).json()["details"][0]["field"] == f"{CARD}.type"


async def test_an_unknown_token_is_refused_by_its_field_and_other_instruments_are_not_supported(
    merchant: Merchant,
) -> None:
    token = order("1.00") | {"paymentInformation": {"customer": {"id": "17"}}}
    bank = order("1.00") | {"paymentInformation": {"bank": {"account": {"number": "17"}}}}

    refused = (await merchant.post("/pts/v2/payments", token)).json()
    assert (refused["reason"], refused["details"][0]["field"]) == ("INVALID_DATA", "paymentInformation.customer.id")
    assert (await merchant.post("/pts/v2/payments", bank)).json()["reason"] == "NOT_SUPPORTED"


async def test_a_card_number_as_a_reference_is_refused(simulator: VisaSimulator, merchant: Merchant) -> None:
    reply = await merchant.post("/pts/v2/payments", changed(CODE, "order 4111111111111111"))

    assert (reply.status_code, simulator.journal()) == (400, [])
    assert "4111111111111111" not in reply.text
