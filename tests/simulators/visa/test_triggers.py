"""Triggers beyond the list of the reference: follow-ons by card, advice, results, options of captures and credentials."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.simulators.visa.client import Merchant, order, payment


def card(code: int) -> str:
    """Return the card of a reason code, with its check digit."""
    digits = f"4000000{code}00000"
    doubled = [
        sum(divmod(2 * int(digit), 10)) if place % 2 == 0 else int(digit)
        for place, digit in enumerate(reversed(digits))
    ]
    return digits + str(-sum(doubled) % 10)


@pytest.mark.parametrize(
    ("code", "operation", "reason"),
    [
        (235, "capture", "EXCEEDS_AUTH_AMOUNT"),
        (237, "capture", "AUTH_ALREADY_REVERSED"),
        (237, "reverse", "AUTH_ALREADY_REVERSED"),
        (238, "capture", "TRANSACTION_ALREADY_SETTLED"),
        (238, "reverse", "TRANSACTION_ALREADY_SETTLED"),
        (242, "capture", "MISSING_AUTH"),
        (243, "reverse", "TRANSACTION_ALREADY_REVERSED_OR_SETTLED"),
        (246, "void", "NOT_VOIDABLE"),
        (247, "refund", "CAPTURE_ALREADY_VOIDED"),
    ],
)
async def test_a_card_is_approved_and_its_follow_on_refused(
    merchant: Merchant, code: int, operation: str, reason: str
) -> None:
    payment_id = await merchant.authorized(number=card(code))

    match operation:
        case "capture":
            reply = await merchant.capture(payment_id)
        case "reverse":
            reply = await merchant.reverse(payment_id)
        case _:
            capture_id = (await merchant.capture(payment_id)).json()["id"]
            reply = await (
                merchant.void("captures", capture_id) if operation == "void" else merchant.refund(capture_id)
            )

    assert (reply.status_code, reply.json()["status"], reply.json()["reason"]) == (400, "INVALID_REQUEST", reason)


@pytest.mark.parametrize(
    ("code", "status", "reason"),
    [
        (239, 400, "INVALID_AMOUNT"),
        (240, 400, "INVALID_CARD_TYPE"),
        (241, 400, "INVALID_PAYMENT_ID"),
        (250, 502, "SERVER_TIMEOUT"),
    ],
)
async def test_the_other_codes_refuse_the_payment(merchant: Merchant, code: int, status: int, reason: str) -> None:
    reply = await merchant.authorize(number=card(code))

    assert (reply.status_code, reply.json()["reason"]) == (status, reason)


async def test_an_increment_has_triggers_of_its_own(merchant: Merchant) -> None:
    payment_id = await merchant.authorized("10.00")

    async def increment(amount: str) -> httpx.Response:
        body = order("1", transaction_id="i-1")
        body["orderInformation"]["amountDetails"] = {"additionalAmount": amount, "currency": "KZT"}
        return await merchant.send("PATCH", f"/pts/v2/payments/{payment_id}", body)

    declined = (await increment("7012.00")).json()
    failed = await increment("8150.01")
    with pytest.raises(httpx.RemoteProtocolError):
        await increment("8199.00")

    assert (declined["id"], declined["status"], declined["errorInformation"]["reason"]) == (
        payment_id,
        "DECLINED",
        "INSUFFICIENT_FUND",
    )
    assert (failed.status_code, failed.json()["reason"]) == (502, "SYSTEM_ERROR")
    assert (await merchant.capture(payment_id, "8209.00")).status_code == 201


async def test_a_partial_approval_may_be_forbidden(merchant: Merchant) -> None:
    body = payment("7012.00")
    body["processingInformation"]["authorizationOptions"] = {"partialAuthIndicator": False}

    assert (await merchant.post("/pts/v2/payments", body)).json()["status"] == "DECLINED"
    body["processingInformation"]["authorizationOptions"] = {"partialAuthIndicator": True}
    assert (await merchant.post("/pts/v2/payments", body)).json()["status"] == "PARTIAL_AUTHORIZED"


@pytest.mark.parametrize(
    ("code", "advice", "avs", "cvn"),
    [
        (205, "1", None, "M"),
        (204, "2", None, "M"),
        (202, "3", None, "M"),
        (209, "3", None, "N"),
        (200, None, "N", "M"),
        (211, "3", None, "I"),
    ],
)
async def test_a_decline_has_advice_and_results(
    merchant: Merchant, code: int, advice: str | None, avs: str | None, cvn: str
) -> None:
    processor = (await merchant.authorize(number=card(code))).json()["processorInformation"]

    assert processor.get("merchantAdvice", {}).get("code") == advice
    assert processor.get("avs", {}).get("code") == avs
    assert processor["cardVerification"]["resultCode"] == cvn


async def test_an_approval_has_results_and_no_advice(merchant: Merchant) -> None:
    processor = (await merchant.authorize()).json()["processorInformation"]

    assert (processor["avs"], processor["cardVerification"]["resultCode"]) == ({"code": "X", "codeRaw": "I1"}, "M")
    assert "merchantAdvice" not in processor


async def capture(merchant: Merchant, payment_id: str, amount: str, **options: Any) -> httpx.Response:
    body = order(amount) | {"processingInformation": {"captureOptions": options}}
    return await merchant.post(f"/pts/v2/payments/{payment_id}/captures", body)


async def test_captures_are_numbered_until_the_last_one(merchant: Merchant) -> None:
    payment_id = await merchant.authorized("100.00")

    first = await capture(merchant, payment_id, "30.00", captureSequenceNumber=1, totalCaptureCount=3)
    last = await capture(merchant, payment_id, "30.00", captureSequenceNumber=2, totalCaptureCount=3, isFinal="true")
    assert (first.status_code, last.status_code) == (201, 201)
    assert (await capture(merchant, payment_id, "1.00")).json()["reason"] == "MISSING_AUTH"
    await merchant.void("captures", last.json()["id"])
    assert (await capture(merchant, payment_id, "70.00", isFinal="true")).status_code == 201


@pytest.mark.parametrize(
    "options",
    [
        {"captureSequenceNumber": 0},
        {"captureSequenceNumber": 100},
        {"captureSequenceNumber": 3, "totalCaptureCount": 2},
        {"captureSequenceNumber": "1"},
        {"totalCaptureCount": True},
        {"isFinal": "maybe"},
        {"isFinal": []},
    ],
)
async def test_captures_are_numbered_sensibly(merchant: Merchant, options: dict[str, Any]) -> None:
    reply = await capture(merchant, await merchant.authorized(), "1.00", **options)

    assert (reply.status_code, reply.json()["reason"]) == (400, "INVALID_DATA")


def stored(**initiator: Any) -> dict[str, Any]:
    body = payment()
    body["processingInformation"]["authorizationOptions"] = {"initiator": initiator}
    return body


async def test_a_stored_credential_pays_again_for_customer_and_merchant(merchant: Merchant) -> None:
    first = (await merchant.post("/pts/v2/payments", stored(type="customer", credentialStoredOnFile=True))).json()
    network_id = first["processorInformation"]["networkTransactionId"]

    for previous in (network_id, "016150703802094"):
        for reason in ("1", "7", "10"):
            transaction = {"reason": reason, "previousTransactionId": previous, "originalAuthorizedAmount": "100.00"}
            body = stored(type="merchant", storedCredentialUsed=True, merchantInitiatedTransaction=transaction)
            assert (await merchant.post("/pts/v2/payments", body)).json()["status"] == "AUTHORIZED"


@pytest.mark.parametrize(
    ("initiator", "field"),
    [
        ({"type": "bank"}, "initiator.type"),
        ({"type": "merchant", "merchantInitiatedTransaction": {"reason": "11"}}, "merchantInitiatedTransaction.reason"),
        (
            {"merchantInitiatedTransaction": {"previousTransactionId": "12-34"}},
            "merchantInitiatedTransaction.previousTransactionId",
        ),
        (
            {"merchantInitiatedTransaction": {"previousTransactionId": "1234567890123456"}},
            "merchantInitiatedTransaction.previousTransactionId",
        ),
    ],
)
async def test_a_stored_credential_is_refused_by_its_field(
    merchant: Merchant, initiator: dict[str, Any], field: str
) -> None:
    reply = await merchant.post("/pts/v2/payments", stored(**initiator))

    assert (reply.status_code, reply.json()["reason"]) == (400, "INVALID_DATA")
    assert reply.json()["details"][0]["field"].endswith(field)


async def test_the_status_of_a_payment_is_told_again(merchant: Merchant, stranger: Merchant) -> None:
    payment_id = await merchant.authorized()
    path = f"/pts/v2/refresh-payment-status/{payment_id}"

    assert (await merchant.post(path, {"clientReferenceInformation": {"code": "s"}})).json()["status"] == "AUTHORIZED"
    assert (await merchant.send("POST", path)).status_code == 201
    assert (await stranger.send("POST", path)).status_code == 404
