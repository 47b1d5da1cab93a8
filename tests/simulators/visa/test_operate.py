from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import httpx
import pytest

from shanraq.simulators.visa import VisaSimulator
from tests.simulators.visa.client import Merchant, order, payment, reversal


def reason(reply: httpx.Response) -> tuple[int, str]:
    return reply.status_code, str(reply.json()["reason"])


async def test_an_authorisation_answers_in_the_shape_of_the_service(merchant: Merchant) -> None:
    reply = await merchant.authorize("102.21", code="order-7")

    body = reply.json()
    own = f"/pts/v2/payments/{body['id']}"
    assert reply.status_code == 201
    assert reply.headers["content-type"] == "application/hal+json;charset=utf-8"
    assert reply.headers["v-c-correlation-id"]
    assert body["_links"] == {
        "self": {"href": own, "method": "GET"},
        "authReversal": {"href": f"{own}/reversals", "method": "POST"},
        "capture": {"href": f"{own}/captures", "method": "POST"},
    }
    assert body["id"].isdigit()
    assert len(body["id"]) == 22
    assert body["status"] == "AUTHORIZED"
    assert body["clientReferenceInformation"] == {"code": "order-7"}
    assert body["orderInformation"] == {"amountDetails": {"authorizedAmount": "102.21", "currency": "KZT"}}
    assert body["processorInformation"]["approvalCode"] == "888888"
    assert body["processorInformation"]["responseCode"] == "100"
    assert len(body["reconciliationId"]) == 16


async def test_a_capture_shares_the_reconciliation_id_of_its_authorisation(merchant: Merchant) -> None:
    authorization = (await merchant.authorize()).json()

    capture = (await merchant.capture(authorization["id"], "40.00")).json()

    assert capture["status"] == "PENDING"
    assert capture["reconciliationId"] == authorization["reconciliationId"]
    assert capture["orderInformation"]["amountDetails"] == {"totalAmount": "40.00", "currency": "KZT"}
    assert set(capture["_links"]) == {"self", "void"}


async def test_captures_stay_within_the_authorised_amount(merchant: Merchant) -> None:
    payment_id = await merchant.authorized("100.00")
    await merchant.capture(payment_id, "60.00")

    assert reason(await merchant.capture(payment_id, "40.01")) == (400, "EXCEEDS_AUTH_AMOUNT")
    assert (await merchant.capture(payment_id, "40.00")).status_code == 201


async def test_after_a_partial_approval_the_approved_amount_is_the_limit(merchant: Merchant) -> None:
    partial = (await merchant.authorize("7012.00")).json()
    assert (partial["status"], partial["orderInformation"]["amountDetails"]["authorizedAmount"]) == (
        "PARTIAL_AUTHORIZED",
        "3506.00",
    )

    assert reason(await merchant.capture(partial["id"], "3506.01")) == (400, "EXCEEDS_AUTH_AMOUNT")
    assert (await merchant.capture(partial["id"], "3506.00")).status_code == 201


async def test_an_increment_raises_the_limit_and_answers_with_the_id_of_the_authorisation(merchant: Merchant) -> None:
    payment_id = await merchant.authorized("100.00")
    body = order("1")
    body["orderInformation"]["amountDetails"] = {"additionalAmount": "20.00", "currency": "KZT"}

    increment = await merchant.send("PATCH", f"/pts/v2/payments/{payment_id}", body)

    assert (increment.status_code, increment.json()["id"]) == (201, payment_id)
    assert increment.json()["orderInformation"]["amountDetails"]["authorizedAmount"] == "120.00"
    assert (await merchant.capture(payment_id, "120.00")).status_code == 201


async def test_a_reversal_releases_what_is_not_captured_and_only_once(merchant: Merchant) -> None:
    payment_id = await merchant.authorized("100.00")
    await merchant.capture(payment_id, "30.00")

    assert reason(await merchant.reverse(payment_id, "70.01")) == (400, "INVALID_AMOUNT")
    reply = await merchant.reverse(payment_id, "70.00")
    assert (reply.status_code, reply.json()["status"]) == (201, "REVERSED")
    assert reply.json()["reversalAmountDetails"] == {
        "reversedAmount": "70.00",
        "originalTransactionAmount": "100.00",
        "currency": "KZT",
    }
    assert reason(await merchant.reverse(payment_id, "70.00")) == (400, "AUTH_ALREADY_REVERSED")
    assert reason(await merchant.capture(payment_id, "1.00")) == (400, "AUTH_ALREADY_REVERSED")


async def test_a_reversal_needs_no_currency_as_in_the_official_sample(merchant: Merchant) -> None:
    payment_id = await merchant.authorized()

    reply = await merchant.post(f"/pts/v2/payments/{payment_id}/reversals", reversal("100.00", currency=""))

    assert reply.status_code == 201


async def test_a_fully_captured_authorisation_cannot_be_reversed(merchant: Merchant) -> None:
    payment_id = await merchant.authorized()
    await merchant.capture(payment_id)

    assert reason(await merchant.reverse(payment_id)) == (400, "TRANSACTION_ALREADY_REVERSED_OR_SETTLED")


async def test_a_voided_capture_gives_the_amount_back_to_the_authorisation(merchant: Merchant) -> None:
    payment_id = await merchant.authorized()
    capture_id = (await merchant.capture(payment_id)).json()["id"]

    voided = await merchant.void("captures", capture_id)

    assert (voided.status_code, voided.json()["status"]) == (201, "VOIDED")
    assert voided.json()["voidAmountDetails"]["voidAmount"] == "100.00"
    assert reason(await merchant.void("captures", capture_id)) == (400, "NOT_VOIDABLE")
    assert reason(await merchant.refund(capture_id)) == (400, "CAPTURE_ALREADY_VOIDED")
    assert (await merchant.reverse(payment_id)).status_code == 201


async def test_refunds_stay_within_the_capture(merchant: Merchant) -> None:
    capture_id = await merchant.captured("100.00")
    first = await merchant.refund(capture_id, "70.00")

    assert (first.status_code, first.json()["status"]) == (201, "PENDING")
    assert first.json()["refundAmountDetails"] == {"refundAmount": "70.00", "currency": "KZT"}
    assert reason(await merchant.refund(capture_id, "30.01")) == (400, "INVALID_AMOUNT")
    assert (await merchant.void("refunds", first.json()["id"])).status_code == 201
    assert (await merchant.refund(capture_id, "100.00")).status_code == 201


async def test_a_refunded_capture_cannot_be_voided(merchant: Merchant) -> None:
    capture_id = await merchant.captured()
    await merchant.refund(capture_id, "1.00")

    assert reason(await merchant.void("captures", capture_id)) == (400, "NOT_VOIDABLE")


async def test_a_sale_is_refunded_or_voided_under_the_id_of_the_payment(merchant: Merchant) -> None:
    refunded = await merchant.authorized(sale=True)
    voided = await merchant.authorized(sale=True)

    assert (await merchant.post(f"/pts/v2/payments/{refunded}/refunds", order("60.00"))).status_code == 201
    assert reason(await merchant.post(f"/pts/v2/payments/{refunded}/refunds", order("40.01"))) == (
        400,
        "INVALID_AMOUNT",
    )
    assert (await merchant.void("payments", voided)).status_code == 201
    assert reason(await merchant.post(f"/pts/v2/payments/{voided}/refunds", order("1.00"))) == (
        400,
        "CAPTURE_ALREADY_VOIDED",
    )
    assert reason(await merchant.capture(refunded, "1.00")) == (400, "EXCEEDS_AUTH_AMOUNT")


async def test_an_authorisation_that_was_never_captured_is_neither_refunded_nor_voided(merchant: Merchant) -> None:
    payment_id = await merchant.authorized()

    assert reason(await merchant.post(f"/pts/v2/payments/{payment_id}/refunds", order("1.00"))) == (400, "INVALID_DATA")
    assert reason(await merchant.void("payments", payment_id)) == (400, "NOT_VOIDABLE")


async def test_a_declined_payment_has_nothing_to_capture_reverse_or_refund(merchant: Merchant) -> None:
    payment_id = await merchant.authorized(number="4000000204000006")

    assert reason(await merchant.capture(payment_id)) == (400, "MISSING_AUTH")
    assert reason(await merchant.reverse(payment_id)) == (400, "MISSING_AUTH")
    assert reason(await merchant.post(f"/pts/v2/payments/{payment_id}/refunds", order("1.00"))) == (400, "INVALID_DATA")


async def test_a_risk_decline_holds_money_that_can_only_be_reversed(merchant: Merchant) -> None:
    reply = (await merchant.authorize(number="4000000482000009")).json()

    assert (reply["status"], reply["processorInformation"]["responseCode"]) == ("AUTHORIZED_RISK_DECLINED", "00")
    assert reason(await merchant.capture(reply["id"])) == (400, "MISSING_AUTH")
    assert (await merchant.reverse(reply["id"])).status_code == 201


async def test_follow_ons_need_the_currency_of_the_authorisation_and_an_amount(merchant: Merchant) -> None:
    payment_id = await merchant.authorized()

    other_currency = await merchant.capture(payment_id, "1.00", "USD")
    nothing = await merchant.capture(payment_id, "0.00")

    assert reason(other_currency) == (400, "INVALID_DATA")
    assert other_currency.json()["details"] == [
        {"field": "orderInformation.amountDetails.currency", "reason": "INVALID_DATA"}
    ]
    assert reason(nothing) == (400, "INVALID_AMOUNT")


async def test_after_the_batch_left_nothing_is_voided_but_refunds_go_on(
    simulator: VisaSimulator, merchant: Merchant
) -> None:
    capture_id = await merchant.captured()

    assert simulator.cut_off() == 1
    assert reason(await merchant.void("captures", capture_id)) == (400, "NOT_VOIDABLE")
    assert (await merchant.refund(capture_id)).status_code == 201


async def test_a_credit_without_a_payment_can_be_voided(merchant: Merchant) -> None:
    reply = await merchant.post("/pts/v2/credits", payment("15.00"))

    assert (reply.status_code, reply.json()["status"]) == (201, "PENDING")
    assert reply.json()["creditAmountDetails"] == {"creditAmount": "15.00", "currency": "KZT"}
    assert (await merchant.void("credits", reply.json()["id"])).status_code == 201


async def test_a_credit_may_be_declined_or_not_allowed(merchant: Merchant) -> None:
    declined = await merchant.post("/pts/v2/credits", payment(number="4000000203000007"))
    refused = await merchant.post("/pts/v2/credits", payment(number="4000000254000005"))

    assert (declined.status_code, declined.json()["status"]) == (201, "DECLINED")
    assert reason(refused) == (400, "ACCOUNT_NOT_ALLOWED_CREDIT")


async def test_a_timeout_reversal_works_once_by_transaction_id(merchant: Merchant) -> None:
    await merchant.authorize(transaction_id="t-1")

    first = await merchant.post("/pts/v2/reversals", reversal("100.00", "t-1"))
    second = await merchant.post("/pts/v2/reversals", reversal("100.00", "t-1"))
    unknown = await merchant.post("/pts/v2/reversals", reversal("100.00", "t-2"))

    assert (first.status_code, first.json()["status"]) == (201, "REVERSED")
    assert reason(second) == (400, "AUTH_ALREADY_REVERSED")
    assert unknown.status_code == 404


async def test_a_timeout_reversal_of_a_partial_approval_takes_the_requested_amount(merchant: Merchant) -> None:
    await merchant.authorize("7012.00", transaction_id="t-1")

    reply = await merchant.post("/pts/v2/reversals", reversal("7012.00", "t-1"))

    assert reply.json()["reversalAmountDetails"]["reversedAmount"] == "3506.00"


async def test_a_timeout_void_works_once_for_sales_captures_refunds_and_credits(merchant: Merchant) -> None:
    capture = await merchant.capture(await merchant.authorized(), transaction_id="t-capture")
    await merchant.refund(await merchant.captured(), transaction_id="t-refund")
    await merchant.authorize(sale=True, transaction_id="t-sale")
    await merchant.post("/pts/v2/credits", payment(transaction_id="t-credit"))
    await merchant.authorize(transaction_id="t-authorization")

    async def void(transaction_id: str) -> httpx.Response:
        body = {"clientReferenceInformation": {"code": "v", "transactionId": transaction_id}}
        return await merchant.post("/pts/v2/voids", body)

    assert capture.status_code == 201
    for transaction_id in ("t-capture", "t-refund", "t-sale", "t-credit"):
        assert (await void(transaction_id)).json()["status"] == "VOIDED"
        assert reason(await void(transaction_id)) == (400, "NOT_VOIDABLE")
    assert reason(await void("t-authorization")) == (400, "NOT_VOIDABLE")
    assert (await void("t-unknown")).status_code == 404


async def test_nothing_protects_a_merchant_from_using_a_transaction_id_twice(merchant: Merchant) -> None:
    first, second = [await merchant.authorized(transaction_id="t-1") for _ in range(2)]

    assert first != second
    for expected in (second, first):
        undone = await merchant.post("/pts/v2/reversals", reversal("100.00", "t-1"))
        details = (await merchant.get(f"/tss/v2/transactions/{undone.json()['id']}")).json()
        assert details["rootId"] == expected


async def test_merchants_are_strictly_apart(merchant: Merchant, stranger: Merchant) -> None:
    payment_id = await merchant.authorized(transaction_id="t-1", code="order-1")
    capture_id = (await merchant.capture(payment_id, "10.00")).json()["id"]

    assert (await stranger.capture(payment_id, "1.00")).status_code == 404
    assert (await stranger.reverse(payment_id)).status_code == 404
    assert (await stranger.refund(capture_id, "1.00")).status_code == 404
    assert (await stranger.void("captures", capture_id)).status_code == 404
    assert (await stranger.post("/pts/v2/reversals", reversal("100.00", "t-1"))).status_code == 404
    assert (await stranger.get(f"/tss/v2/transactions/{payment_id}")).status_code == 404
    assert await stranger.search("clientReferenceInformation.code:order-1") == []


async def test_paths_work_with_a_slash_at_the_end(merchant: Merchant) -> None:
    reply = await merchant.post("/pts/v2/payments/", payment(transaction_id="t-1"))

    assert reply.status_code == 201
    assert (await merchant.post("/pts/v2/reversals/", reversal("100.00", "t-1"))).status_code == 201


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("POST", "/pts/v2/nothing", 404),
        ("POST", "/pts/v2/captures", 404),
        ("POST", "/pts/v2/payments/17/captures/18", 404),
        ("GET", "/pts/v2/payments", 405),
        ("GET", "/tss/v2/transactions/17", 404),
        ("GET", "/tss/v2/searches/17", 404),
    ],
)
async def test_unknown_paths_and_methods_are_refused(merchant: Merchant, method: str, path: str, status: int) -> None:
    reply = await merchant.send(method, path, {} if method == "POST" else None)

    assert reply.status_code == status


async def test_ten_captures_at_once_never_exceed_the_authorised_amount(merchant: Merchant) -> None:
    payment_id = await merchant.authorized("100.00")

    replies = await asyncio.gather(*(merchant.capture(payment_id, "30.00") for _ in range(10)))

    assert Counter(reply.status_code for reply in replies) == {201: 3, 400: 7}
    assert len({reply.json()["id"] for reply in replies if reply.status_code == 201}) == 3


async def test_two_full_refunds_at_once_pay_back_once(merchant: Merchant) -> None:
    capture_id = await merchant.captured()

    replies = await asyncio.gather(*(merchant.refund(capture_id) for _ in range(2)))

    assert sorted(reply.status_code for reply in replies) == [201, 400]


async def test_of_a_capture_and_a_reversal_at_once_one_wins(merchant: Merchant) -> None:
    payment_id = await merchant.authorized()

    replies = await asyncio.gather(merchant.capture(payment_id), merchant.reverse(payment_id))

    assert sorted(reply.status_code for reply in replies) == [201, 400]


@pytest.mark.parametrize(
    ("amount", "currency", "authorized"),
    [
        ("10.005", "KZT", "10.00"),
        ("10.5", "JPY", "10"),
        ("1.2", "KWD", "1.200"),
        ("0", "KZT", "0.00"),
        ("007.1", "KZT", "7.10"),
    ],
)
async def test_digits_beyond_the_minor_unit_are_cut(
    merchant: Merchant, amount: str, currency: str, authorized: str
) -> None:
    reply = await merchant.authorize(amount, currency=currency)

    assert reply.json()["orderInformation"]["amountDetails"]["authorizedAmount"] == authorized


async def test_the_journal_tells_every_operation_and_its_present_state(
    simulator: VisaSimulator, merchant: Merchant
) -> None:
    payment_id = await merchant.authorized(transaction_id="t-1")
    capture_id = (await merchant.capture(payment_id, "40.00", transaction_id="t-2")).json()["id"]
    await merchant.void("captures", capture_id)
    await merchant.authorize(number="4000000204000006")

    def told(line: dict[str, Any]) -> tuple[Any, ...]:
        return tuple(line[name] for name in ("kind", "transaction_id", "amount", "status", "state", "reason"))

    assert [told(line) for line in simulator.journal()] == [
        ("authorization", "t-1", "100.00", "AUTHORIZED", "AUTHORIZED", ""),
        ("capture", "t-2", "40.00", "PENDING", "VOIDED", ""),
        ("void", "", "40.00", "VOIDED", "VOIDED", ""),
        ("authorization", "", "0.00", "DECLINED", "DECLINED", "INSUFFICIENT_FUND"),
    ]
