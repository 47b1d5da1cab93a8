"""Every operation of the Visa simulator against the field tables: replies have only known paths, statuses and reasons."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from shanraq.simulators.visa import VisaCredentials, VisaSimulator
from shanraq.simulators.visa.notify import PRODUCTS
from shanraq.simulators.visa.trigger import REASONS
from tests.conformance.data import conformance_data
from tests.conformance.test_visa_simulator import ENUMS, ONLY_OF_THE_LIVE_SERVICE, paths_of
from tests.simulators.visa.client import Merchant, order, payment
from tests.simulators.visa.control import Control

CONTROL_TOKEN = "control-token"
CASES = ["000", "018", "026", "034", "042", "059", "067", "075", "083", "091", "109", "117"]
PERIOD = "startTime=2020-01-01T00%3A00%3A00Z&endTime=2099-01-01T00%3A00%3A00Z"
OPERATIONS = {
    row["operation"]: row for row in json.loads(conformance_data("cards/cybersource/operations.json").read_bytes())
}


@pytest.fixture
async def simulator() -> AsyncIterator[VisaSimulator]:
    async with VisaSimulator(VisaCredentials.generate(), index_lag_seconds=0, control_token=CONTROL_TOKEN) as running:
        yield running


@pytest.fixture
async def merchant(simulator: VisaSimulator) -> AsyncIterator[Merchant]:
    known = simulator.credentials
    client = Merchant(simulator.base_url, known.merchant_id, known.key_id, known.secret)
    yield client
    await client.http.aclose()


def check(operation: str, reply: httpx.Response, *, status: int, beyond: frozenset[str] = frozenset()) -> Any:
    """Check a reply's status and paths, and return its body."""
    assert reply.status_code == status, (operation, reply.text)
    if not reply.content:
        return None
    responses = json.loads(conformance_data(f"cards/cybersource/fields/{operation}.json").read_bytes())["responses"]
    table = responses.get(str(status)) or responses.get("2xx")
    assert table is not None, operation
    rows = [(row[0].removeprefix("[]."), row[1]) for row in table["fields"]]
    maps = tuple(f"{path}." for path, kind in rows if kind in {"map", "object"})
    body = reply.json()
    found = {path.removeprefix("[].") for path in paths_of(body)}
    unknown = found - {path for path, _ in rows} - ONLY_OF_THE_LIVE_SERVICE - beyond
    assert {path for path in unknown if not path.startswith(maps or ("\0",))} - {"", "[]"} == set(), operation
    return body


def three_ds(number: str, card_type: str = "001", **details: Any) -> dict[str, Any]:
    body = payment("50.00", number=number, card_type=card_type)
    body["consumerAuthenticationInformation"] = {
        "returnUrl": "https://shop.example/back",
        "deviceChannel": "BROWSER",
    } | details
    return body


async def test_payer_authentication(merchant: Merchant) -> None:
    setup = await merchant.post("/risk/v1/authentication-setups", payment())
    assert check("payerAuthSetup", setup, status=201)["status"] == "COMPLETED"

    for number, card_type in (
        *((f"4000000000001{case}", "001") for case in CASES),
        ("5200000000001005", "002"),
        ("340000000001007", "003"),
        ("6011000000001002", "004"),
        ("4000000000000101", "001"),
    ):
        body = three_ds(number, card_type)
        enrolled = check("checkPayerAuthEnrollment", await merchant.post("/risk/v1/authentications", body), status=201)
        assert enrolled["status"] in ENUMS["status201"]["payerAuthEnrollment"]
        information = enrolled["consumerAuthenticationInformation"]
        assert information.get("paresStatus", "Y") in ENUMS["paresStatus"]
        body = three_ds(number, card_type, authenticationTransactionId=information["authenticationTransactionId"])
        reply = await merchant.post("/risk/v1/authentication-results", body)
        validated = check("validateAuthenticationResults", reply, status=201)
        assert validated["status"] in ENUMS["status201"]["payerAuthValidation"]
        assert validated["consumerAuthenticationInformation"]["authenticationResult"] in ENUMS["authenticationResult"]
        indicator = validated["consumerAuthenticationInformation"].get("indicator", "internet")
        assert indicator in ENUMS["commerceIndicator"]["after3ds"]


@pytest.mark.parametrize(
    "actions", [["CONSUMER_AUTHENTICATION"], ["TOKEN_CREATE"], ["CONSUMER_AUTHENTICATION", "TOKEN_CREATE"]]
)
@pytest.mark.parametrize("number", ["4000000000001000", "4000000000001091", "4000000000001018", "4000000480000001"])
async def test_bundled_payments(merchant: Merchant, actions: list[str], number: str) -> None:
    body = three_ds(number)
    body["processingInformation"]["actionList"] = actions

    reply = check("createPayment", await merchant.post("/pts/v2/payments", body), status=201)

    assert reply["status"] in ENUMS["status201"]["createPayment"]
    for name, statuses in (("CONSUMER_AUTHENTICATION", "payerAuthEnrollment"), ("DECISION", "decision")):
        if name in reply.get("embeddedActions", {}):
            assert reply["embeddedActions"][name]["status"] in ENUMS["status201"][statuses]


@pytest.mark.parametrize("code", ["400", "475", "480", "481", "482", ""])
async def test_decisions(merchant: Merchant, code: str) -> None:
    number = next((n for n in (f"4000000{code}00000{c}" for c in range(10)) if code and _luhn(n)), "4111111111111111")

    reply = check(
        "createBundledDecisionManagerCase",
        await merchant.post("/risk/v1/decisions", payment(number=number)),
        status=201,
    )

    assert reply["status"] in ENUMS["status201"]["decision"]
    assert reply.get("errorInformation", {"reason": "EXPIRED_CARD"})["reason"] in ENUMS["errorReason201"]["decision"]


def _luhn(number: str) -> bool:
    digits = [int(digit) for digit in reversed(number)]
    return sum(digits[::2], sum(sum(divmod(2 * digit, 10)) for digit in digits[1::2])) % 10 == 0


async def test_cases_and_lists(merchant: Merchant) -> None:
    payment_id = (await merchant.authorize(number="4000000480000001")).json()["id"]
    case = f"/risk/v1/decisions/{payment_id}"
    mark: dict[str, Any] = {
        "riskInformation": {"markingDetails": {"action": "add", "reason": "suspected", "notes": "n"}}
    }
    mark |= {"clientReferenceInformation": {"code": "m"}}

    check("commentDecisionManagerCase", await merchant.post(f"{case}/comments", {"comments": "looks odd"}), status=201)
    check("fraudUpdate", await merchant.post(f"{case}/marking", mark), status=201)
    decision = {"decisionInformation": {"decision": "ACCEPT"}, "processingInformation": {"actionList": ["CAPTURE"]}}
    acted = check("actionDecisionManagerCase", await merchant.post(f"{case}/actions", decision), status=200)
    assert acted["_embedded"]["capture"]["status"] in ENUMS["status201"]["capture"]
    entry = mark | {"paymentInformation": {"card": {"number": "4111111111111111"}}}
    check("addNegative", await merchant.post("/risk/v1/lists/negative/entries", entry), status=201)
    check("verifyCustomerAddress", await merchant.post("/risk/v1/address-verifications", payment()), status=201)
    check(
        "validateExportCompliance", await merchant.post("/risk/v1/export-compliance-inquiries", payment()), status=201
    )
    refresh = await merchant.post(
        f"/pts/v2/refresh-payment-status/{payment_id}", {"clientReferenceInformation": {"code": "r"}}
    )
    check("refreshPaymentStatus", refresh, status=201)


async def test_webhooks(merchant: Merchant) -> None:
    key = {
        "clientRequestAction": "CREATE",
        "keyInformation": {
            "provider": "nrtd",
            "tenant": "t",
            "keyType": "sharedSecret",
            "organizationId": merchant.merchant_id,
        },
    }
    subscription = {
        "name": "n",
        "organizationId": merchant.merchant_id,
        "products": [{"productId": "payments", "eventTypes": ["payments.payments.accept"]}],
        "webhookUrl": "http://127.0.0.1:9/hook",
        "healthCheckUrl": "http://127.0.0.1:9/health",
        "notificationScope": "SELF",
        "retryPolicy": {"algorithm": "ARITHMETIC", "firstRetry": 1, "interval": 1, "numberOfRetries": 3},
        "securityPolicy": {"securityType": "KEY", "config": {"oAuthURL": "https://x.example"}},
    }
    base = "/notification-subscriptions/v2/webhooks"

    check("saveSymEgressKey", await merchant.post("/kms/egress/v2/keys-sym", key), status=201)
    key["keyInformation"]["pub"] = "public"  # type: ignore[index]
    check("saveAsymEgressKey", await merchant.post("/kms/egress/v2/keys-asym", key), status=201)
    made = check("notificationSubscriptionsV2WebhooksPost", await merchant.post(base, subscription), status=201)
    assert made["status"] in ENUMS["status201"]["webhook"]
    own = f"{base}/{made['webhookId']}"
    check("getWebhookSubscriptionById", await merchant.get(own), status=200)
    listed = await merchant.get(f"{base}?organizationId={merchant.merchant_id}&productId=payments")
    assert len(check("getWebhookSubscriptionsByOrg", listed, status=200)) == 1
    patched = await merchant.send("PATCH", own, {"name": "other"})
    check("notificationSubscriptionsV2WebhooksWebhookIdPatch", patched, status=200)
    assert (await merchant.send("PUT", f"{own}/status", {"status": "INACTIVE"})).status_code == 200
    test = await merchant.send("POST", f"/notification-subscriptions/v1/webhooks/{made['webhookId']}")
    check("notificationSubscriptionsV1WebhooksWebhookIdPost", test, status=201)
    products = await merchant.get(f"/notification-subscriptions/v2/products/{merchant.merchant_id}")
    check("findProductsToSubscribe", products, status=200)
    assert (await merchant.send("DELETE", own)).status_code == 200
    assert (await merchant.get(own)).status_code == 404


def test_every_event_is_a_documented_one() -> None:
    assert {event for _, events in PRODUCTS.values() for event in events} == set(ENUMS["webhook"]["eventTypes"])


def test_every_documented_reason_can_be_given() -> None:
    assert set(ENUMS["errorReason201"]["createPayment"]) <= set(REASONS)


async def test_settlement_and_reports(merchant: Merchant, simulator: VisaSimulator) -> None:
    control = Control(simulator, CONTROL_TOKEN)
    capture_id = await merchant.captured("80.00")
    await merchant.refund(capture_id, "10.00")
    case_id = (await merchant.authorize(number="4000000480000001")).json()["id"]
    await merchant.post(f"/risk/v1/decisions/{case_id}/actions", {"decisionInformation": {"decision": "REJECT"}})
    await control.put("fees", {"interchange_basis_points": 100, "chargeback_per_item": 500})
    await control.post("cutoff")
    await control.post("chargebacks", {"id": capture_id, "reason_code": "13.1", "amount_minor": 2000})
    await control.post("chargebacks", {"id": capture_id, "reason_code": "10.4", "stage": "retrieval"})

    batches = check("getTransactionBatches", await merchant.get(f"/pts/v1/transaction-batches?{PERIOD}"), status=200)
    (batch,) = batches["transactionBatches"]
    check("getTransactionBatchId", await merchant.get(f"/pts/v1/transaction-batches/{batch['id']}"), status=200)
    missing = await merchant.get("/pts/v1/transaction-batches/nosuch")
    check("getTransactionBatchId", missing, status=404)
    check("getTransactionBatches", await merchant.get("/pts/v1/transaction-batches?startTime=x"), status=400)
    details = await merchant.get(f"/pts/v1/transaction-batch-details/{batch['id']}")
    assert details.headers["content-type"].startswith("text/csv")

    for operation, path in (
        ("getPaymentBatchSummary", "payment-batch-summaries"),
        ("getPurchaseAndRefundDetails", "purchase-refund-details"),
        ("getNetFundingDetails", "net-fundings"),
        ("getConversionDetail", "conversion-details"),
        ("getInterchangeClearingLevelDetails", "interchange-clearing-level-details"),
        ("getChargebackSummaries", "chargeback-summaries"),
        ("getChargebackDetails", "chargeback-details"),
        ("getRetrievalSummary", "retrieval-summaries"),
        ("getRetrievalDetails", "retrieval-details"),
    ):
        body = check(operation, await merchant.get(f"/reporting/v3/{path}?{PERIOD}"), status=200)
        assert any(body[name] for name in body if isinstance(body[name], list)), operation
    refused = await merchant.get("/reporting/v3/net-fundings?startTime=2020-01-01T00%3A00%3A00Z")
    check("getNetFundingDetails", refused, status=400)

    report = {
        "reportDefinitionName": "TransactionRequestClass",
        "reportFields": ["Request.RequestID", "Request.TransactionDate", "Request.MerchantID"],
        "reportMimeType": "application/xml",
        "reportName": "r 1",
        "timezone": "GMT",
        "reportStartTime": "2020-01-01T00:00:00Z",
        "reportEndTime": "2099-01-01T00:00:00Z",
        "reportPreferences": {"signedAmounts": True, "fieldNameConvention": "SCMP"},
    }
    created = await merchant.post("/reporting/v3/reports", report)
    assert (created.status_code, created.content) == (201, b"")
    check("createReport", await merchant.post("/reporting/v3/reports", {}), status=400)
    found = check(
        "searchReports",
        await merchant.get(f"/reporting/v3/reports?{PERIOD}&timeQueryType=reportTimeFrame&reportName=r%201"),
        status=200,
    )
    (result,) = found["reportSearchResults"]
    assert result["status"] in ENUMS["status201"]["report"]
    one = check("getReportByReportId", await merchant.get(f"/reporting/v3/reports/{result['reportId']}"), status=200)
    assert one["reportStatus"] == "COMPLETED"
    assert (
        (await merchant.get(result["_link"]["reportDownload"]["href"]))
        .headers["content-type"]
        .startswith("application/xml")
    )

    check("getResourceV2Info", await merchant.get("/reporting/v3/report-definitions"), status=200)
    definition = await merchant.get("/reporting/v3/report-definitions/TransactionRequestClass")
    check("getResourceInfoByReportDefinition", definition, status=200)
    subscribed = await merchant.send(
        "PUT", "/reporting/v3/report-subscriptions", report | {"reportFrequency": "WEEKLY"}
    )
    assert subscribed.status_code == 200
    predefined = {"reportDefinitionName": "PaymentBatchDetailClass", "subscriptionType": "CLASSIC"}
    assert (await merchant.send("PUT", "/reporting/v3/predefined-report-subscriptions", predefined)).status_code == 201
    check("getAllSubscriptions", await merchant.get("/reporting/v3/report-subscriptions"), status=200)
    check("getSubscription", await merchant.get("/reporting/v3/report-subscriptions/r%201"), status=200)
    assert (await merchant.send("DELETE", "/reporting/v3/report-subscriptions/r%201")).status_code == 200
    assert (await merchant.get("/reporting/v3/report-subscriptions/r%201")).status_code == 404


async def test_bin_lookup(merchant: Merchant) -> None:
    for number in ("4111111111111111", "555555", "378282246310005"):
        body = {"paymentInformation": {"card": {"number": number}}}
        check("getAccountInfo", await merchant.post("/bin/v1/binlookup", body), status=201)


async def test_tokens(merchant: Merchant) -> None:
    card = {"card": {"number": "4111111111111111"}}
    bill_to = {"billTo": {"firstName": "A", "lastName": "B", "country": "KZ"}}
    customer_body = {"buyerInformation": {"merchantCustomerID": "c-1", "email": "a@b.example"}}

    identifier = check(
        "postInstrumentIdentifier", await merchant.post("/tms/v1/instrumentidentifiers", card), status=201
    )
    again = await merchant.post("/tms/v1/instrumentidentifiers", card)
    assert (again.status_code, again.json()["id"]) == (200, identifier["id"])
    path = f"/tms/v1/instrumentidentifiers/{identifier['id']}"
    check("getInstrumentIdentifier", await merchant.get(f"{path}?retrieveBinDetails=true"), status=200)
    patch = {
        "processingInformation": {
            "authorizationOptions": {"initiator": {"merchantInitiatedTransaction": {"previousTransactionId": "1"}}}
        }
    }
    check("patchInstrumentIdentifier", await merchant.send("PATCH", path, patch), status=200)

    customer = check("postCustomer", await merchant.post("/tms/v2/customers", customer_body), status=201)
    base = f"/tms/v2/customers/{customer['id']}"
    instrument_body = {
        "instrumentIdentifier": {"id": identifier["id"]},
        "card": {"expirationMonth": "12", "expirationYear": "2049", "type": "visa"},
    } | bill_to
    made = await merchant.post(f"{base}/payment-instruments", instrument_body)
    instrument = check("postCustomerPaymentInstrument", made, status=201)
    own = f"{base}/payment-instruments/{instrument['id']}"
    check("getCustomerPaymentInstrument", await merchant.get(own), status=200)
    check("patchCustomersPaymentInstrument", await merchant.send("PATCH", own, {"default": True}), status=200)
    check("getCustomerPaymentInstrumentsList", await merchant.get(f"{base}/payment-instruments?limit=1"), status=200)
    check("getInstrumentIdentifierPaymentInstrumentsList", await merchant.get(f"{path}/paymentinstruments"), status=200)
    check("getCustomer", await merchant.get(base), status=200)
    check("patchCustomer", await merchant.send("PATCH", base, customer_body), status=200)
    alone = check(
        "postPaymentInstrument", await merchant.post("/tms/v1/paymentinstruments", instrument_body), status=201
    )
    check("getPaymentInstrument", await merchant.get(f"/tms/v1/paymentinstruments/{alone['id']}"), status=200)
    patched = await merchant.send("PATCH", f"/tms/v1/paymentinstruments/{alone['id']}", bill_to)
    check("patchPaymentInstrument", patched, status=200)

    address_body = {"shipTo": {"firstName": "A", "country": "KZ", "postalCode": "050000"}}
    made = await merchant.post(f"{base}/shipping-addresses", address_body)
    address = check("postCustomerShippingAddress", made, status=201)
    own = f"{base}/shipping-addresses/{address['id']}"
    check("getCustomerShippingAddress", await merchant.get(own), status=200)
    check("patchCustomersShippingAddress", await merchant.send("PATCH", own, address_body), status=200)
    check("getCustomerShippingAddressesList", await merchant.get(f"{base}/shipping-addresses"), status=200)
    assert (await merchant.send("DELETE", own)).status_code == 204

    token_body = {
        "card": {"number": "4111111111111111", "expirationMonth": "12", "expirationYear": "2049", "type": "001"}
    }
    token = check("postTokenizedCard", await merchant.post("/tms/v2/tokenized-cards", token_body), status=200)
    own = f"/tms/v2/tokenized-cards/{token['tokenizedCard']['id']}"
    check("getTokenizedCard", await merchant.get(own), status=200)
    event = await merchant.post(f"{own}/issuer-life-cycle-event-simulations", {"state": "SUSPENDED"})
    assert event.status_code == 204
    assert (await merchant.send("POST", f"{own}/delete")).status_code == 204
    enrolled = await merchant.post(
        f"{path}/enrollment", {"type": "enrollable card", "card": {"expirationMonth": "12", "expirationYear": "2049"}}
    )
    assert enrolled.status_code == 200

    tokenize = {
        "processingInformation": {
            "actionList": ["TOKEN_CREATE"],
            "actionTokenTypes": ["customer", "paymentInstrument", "instrumentIdentifier"],
        },
        "tokenInformation": {
            "customer": customer_body,
            "paymentInstrument": {"card": {"expirationMonth": "12", "expirationYear": "2049"}} | bill_to,
            "instrumentIdentifier": {"card": {"number": "5555555555554444"}},
        },
    }
    tokenized = check("tokenize", await merchant.post("/tms/v2/tokenize", tokenize), status=200)
    assert {one["resource"] for one in tokenized["responses"]} == {
        "customer",
        "paymentInstrument",
        "instrumentIdentifier",
    }
    missing = await merchant.get("/tms/v1/instrumentidentifiers/NOSUCH")
    assert (missing.status_code, missing.json()["errors"][0]["type"]) == (404, "notFound")


async def test_every_listed_operation_that_moves_money_or_tells_of_it_is_served(merchant: Merchant) -> None:
    not_played = {
        "createAccessToken",
        "createFxRates",
        "createQueryApi",
        "generateCaptureContext",
        "generateFlexApiCaptureContext",
        "getCardArtAsset",
        "getDtdv2",
        "getXsdv2",
        "octCreatePayment",
        "postTokenPaymentCredentials",
        "postTokenPaymentCredentialsV3",
        "uploadTransactionBatch",
    }

    for name, row in OPERATIONS.items():
        path = row["path"].replace("{", "").replace("}", "")
        reply = await merchant.send(row["method"], path, None if row["method"] in {"GET", "DELETE"} else {})
        unknown = (reply.status_code in {404, 405} and "requested resource" in reply.text) or reply.status_code == 405
        assert unknown is (name in not_played), (name, reply.status_code, reply.text)
        assert reply.status_code < 500


async def test_declines_of_an_increment_and_of_a_refund_are_known_ones(
    merchant: Merchant, simulator: VisaSimulator
) -> None:
    control = Control(simulator, CONTROL_TOKEN)
    payment_id = await merchant.authorized("90.00")
    capture_id = await merchant.captured("20.00")
    increment = order("1")
    increment["orderInformation"]["amountDetails"] = {"additionalAmount": "20.00", "currency": "KZT"}
    for operation in ("increment", "refund"):
        await control.post("script", {"operation": operation, "reason": "PROCESSOR_DECLINED"})

    reply = await merchant.send("PATCH", f"/pts/v2/payments/{payment_id}", increment)
    assert check("incrementAuth", reply, status=201)["status"] == "DECLINED"
    assert check("refundCapture", await merchant.refund(capture_id, "5.00"), status=201)["status"] == "DECLINED"
