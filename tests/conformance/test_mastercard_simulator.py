"""The Mastercard simulator as a stranger meets it: the program over HTTP, against the manual and its tables of data."""

from __future__ import annotations

import asyncio
import base64
import csv
import io
import json
import re
import ssl
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

import httpx
import pytest

from tests.conformance.mpgs_client import (
    CARD,
    CARDS,
    GATEWAY_CODES,
    GOOD_CARD,
    RESPONSE_TYPES,
    TRIGGERS,
    Gateway,
    Merchant,
    Reply,
    at,
    authenticate,
    changed,
    client,
    fresh,
    initiate,
    load,
    moving,
    odd,
    paying,
    read,
    source,
    void,
    walk,
    without,
)

OPERATIONS: Final = load("operations.json")
EVER: Final = "timeOfRecord.start=2020-01-01T00:00:00Z&timeOfRecord.end=2099-01-01T00:00:00Z"
REFUSED: Final = (400, 404)


def masked(number: str) -> str:
    return number[:6] + "x" * (len(number) - 10) + number[-4:]


# Hosts, ports, authentication (5.1, 9.1, 9.3.1).


async def test_both_ports_answer_and_keep_the_connection(gateway: Gateway, shop: Merchant) -> None:
    for url, authority in ((gateway.plain, None), (gateway.secured, gateway.authority)):
        async with client(authority) as stranger:
            ports = set()
            for _ in range(3):
                async with stranger.stream("GET", f"{url}/api/rest/version/100/information") as reply:
                    ports.add(reply.extensions["network_stream"].get_extra_info("client_addr"))
                    assert reply.http_version == "HTTP/1.1"
                    assert (reply.status_code, json.loads(await reply.aread())["status"]) == (200, "OPERATING")
            assert len(ports) == 1
            paid = await stranger.put(f"{url}{shop.root}/order/{fresh()}/transaction/1", json=paying(), auth=shop.basic)
            assert paid.status_code == 201


async def test_a_client_certificate_stands_for_the_first_merchant_only(
    gateway: Gateway, shop: Merchant, other: Merchant
) -> None:
    context = ssl.create_default_context(cafile=str(gateway.authority))
    folder = gateway.journal.parent
    context.load_cert_chain(folder / "client-of-the-first.pem", folder / "client-of-the-first.key")
    order = fresh()
    async with client(verify=context) as stranger:
        paid = read(await stranger.put(f"{gateway.secured}{shop.root}/order/{order}/transaction/1", json=paying()))
        refused = read(await stranger.put(f"{gateway.secured}{other.root}/order/{order}/transaction/1", json=paying()))

    assert (paid.status, paid["result"]) == (201, "SUCCESS")
    assert (refused.status, refused["result"]) == (401, "ERROR")
    assert await other.is_absent(order)


@pytest.mark.parametrize("version", [1, 52, 74, 100, 9999])
async def test_whoever_asks_is_told_that_it_operates(gateway: Gateway, version: int) -> None:
    reply = await gateway.http.get(f"{gateway.plain}/api/rest/version/{version}/information")

    assert (reply.status_code, reply.json()["status"]) == (200, "OPERATING")


def basic(text: str | bytes, scheme: str = "Basic") -> str:
    return f"{scheme} {base64.b64encode(text if isinstance(text, bytes) else text.encode()).decode()}"


REFUSALS: Final[dict[str, Callable[[dict[str, str]], str | None]]] = {
    "none": lambda _: None,
    "empty": lambda _: "",
    "only the scheme": lambda _: "Basic",
    "wrong password": lambda k: basic(f"merchant.{k['mpgs_merchant_id']}:wrong"),
    "password cut": lambda k: basic(f"merchant.{k['mpgs_merchant_id']}:{k['mpgs_password'][:-1]}"),
    "password and a blank": lambda k: basic(f"merchant.{k['mpgs_merchant_id']}:{k['mpgs_password']} "),
    "password in capitals": lambda k: basic(f"merchant.{k['mpgs_merchant_id']}:{k['mpgs_password'].upper()}Z"),
    "empty password": lambda k: basic(f"merchant.{k['mpgs_merchant_id']}:"),
    "no colon": lambda k: basic(f"merchant.{k['mpgs_merchant_id']}{k['mpgs_password']}"),
    "no merchant.": lambda k: basic(f"{k['mpgs_merchant_id']}:{k['mpgs_password']}"),
    "another word": lambda k: basic(f"operator.{k['mpgs_merchant_id']}:{k['mpgs_password']}"),
    "MERCHANT.": lambda k: basic(f"MERCHANT.{k['mpgs_merchant_id']}:{k['mpgs_password']}"),
    "no id": lambda k: basic(f"merchant.:{k['mpgs_password']}"),
    "no user": lambda k: basic(f":{k['mpgs_password']}"),
    "other merchant": lambda k: basic(f"merchant.{k['mpgs_other_merchant_id']}:{k['mpgs_other_password']}"),
    "other merchant's password": lambda k: basic(f"merchant.{k['mpgs_merchant_id']}:{k['mpgs_other_password']}"),
    "other merchant's name": lambda k: basic(f"merchant.{k['mpgs_other_merchant_id']}:{k['mpgs_password']}"),
    "nobody": lambda k: basic(f"merchant.TESTNOBODY:{k['mpgs_password']}"),
    "password of reports": lambda k: basic(f"merchant.{k['mpgs_merchant_id']}:{k['mpgs_reporting_password']}"),
    "notification secret": lambda k: basic(f"merchant.{k['mpgs_merchant_id']}:{k['mpgs_notification_secret']}"),
    "bearer": lambda k: basic(f"merchant.{k['mpgs_merchant_id']}:{k['mpgs_password']}", "Bearer"),
    "no scheme": lambda k: basic(f"merchant.{k['mpgs_merchant_id']}:{k['mpgs_password']}").removeprefix("Basic "),
    "not base64": lambda k: f"Basic merchant.{k['mpgs_merchant_id']}:{k['mpgs_password']}",
    "base64 cut": lambda k: basic(f"merchant.{k['mpgs_merchant_id']}:{k['mpgs_password']}")[:-3],
    "no text": lambda _: basic(b"\xff\xfe:\x00"),
    "other letters": lambda k: basic(f"merchant.{k['mpgs_merchant_id']}:пароль"),
    "very long": lambda k: basic(f"merchant.{k['mpgs_merchant_id']}:{'x' * 20_000}"),
}


@pytest.mark.parametrize("kind", REFUSALS)
async def test_who_cannot_say_who_it_is_gets_nothing(gateway: Gateway, shop: Merchant, kind: str) -> None:
    order = fresh()
    header = REFUSALS[kind](gateway.credentials)
    headers = {"Content-Type": "application/json"} | ({} if header is None else {"Authorization": header})
    sent = [
        await shop.put(order, paying(), "1", auth=None, headers=headers),
        await shop.send("GET", f"/order/{order}", auth=None, headers=headers),
        await shop.send("POST", "/session", {}, auth=None, headers=headers),
        await shop.send("POST", "/token", {"sourceOfFunds": source()}, auth=None, headers=headers),
    ]

    for reply in sent:
        assert reply.status in ((401,) if kind != "very long" else (401, 431)), reply.text
        assert reply["result"] == "ERROR"
        if reply.status == 401:
            assert (reply["error.cause"], reply["error.explanation"]) == ("INVALID_REQUEST", "Invalid credentials.")
    assert await shop.is_absent(order)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda one: str(one["operation"]))
async def test_no_operation_is_open(shop: Merchant, operation: dict[str, Any]) -> None:
    order = fresh()
    target = filled(operation["path"], shop, order)
    body = {"apiOperation": operation["apiOperationInBody"]} if operation["apiOperationInBody"] else {}
    for auth in (None, httpx.BasicAuth(f"merchant.{shop.id}", "wrong"), httpx.BasicAuth(shop.id, shop.password)):
        reply = (
            await shop.call(
                operation["method"], target, None if operation["method"] in ("GET", "DELETE") else body, auth=auth
            )
            if operation["operation"] != "CHECK_GATEWAY"
            else None
        )

        assert reply is None or (reply.status, reply["result"]) == (401, "ERROR")


def filled(path: str, shop: Merchant, order: str) -> str:
    names = {
        "version": str(shop.version), "merchantId": shop.id, "orderid": order, "transactionid": "1", "sessionId": "S" * 31,
        "tokenid": "9" * 16, "riskassessmentid": order, "name": order,
    }  # fmt: skip
    return re.sub(r"\{(\w+)\}", lambda name: names[name[1]], path)


async def test_reports_have_a_password_of_their_own(gateway: Gateway, shop: Merchant, other: Merchant) -> None:
    target = f"/history/version/1/merchant/{shop.id}/transaction?columns=order.id&{EVER}"

    assert (await shop.call("GET", target, auth=shop.reporting)).status == 200
    assert (await shop.call("GET", target, auth=shop.basic)).status == 401
    assert (await shop.call("GET", target, auth=other.reporting)).status == 401
    assert (await shop.send("PUT", "/batch", {}, auth=shop.basic)).status == 401


@pytest.mark.parametrize("version", [1, 52, 74, 100, 9999])
async def test_every_version_is_served_and_echoed(gateway: Gateway, version: int) -> None:
    shop, order = gateway.merchant(version), fresh()
    paid = await shop.done(order, paying("PAY"), "1")
    read_later = await gateway.merchant(100).send("GET", f"/order/{order}/transaction/1")

    assert paid["version"] == str(version)
    assert (await shop.send("GET", f"/order/{order}/transaction/1"))["version"] == str(version)
    assert read_later["version"] == "100"
    assert (await shop.put(order, void(), "2"))["version"] == str(version)


@pytest.mark.parametrize("version", ["0", "00", "-1", "1.5", "x", "", "1e2", "%31x"])
async def test_what_is_no_version_is_not_served(gateway: Gateway, version: str) -> None:
    order = fresh()
    reply = await gateway.merchant(version).put(order, paying(), "1")

    assert reply.status in REFUSED
    assert await gateway.merchant().is_absent(order)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/order/{o}/transaction/1"), ("PATCH", "/order/{o}/transaction/1"), ("DELETE", "/order/{o}/transaction/1"),
        ("PUT", "/order/{o}"), ("POST", "/order/{o}"), ("DELETE", "/order/{o}"), ("PUT", "/session"), ("GET", "/session"),
        ("PUT", "/token"), ("GET", "/tokenSearch"), ("GET", "/batch"), ("POST", "/riskassessment/{o}"),
        ("GET", "/paymentOptionsInquiry"), ("GET", "/order"), ("GET", "/order/{o}/transaction"), ("GET", "/nothing"),
        ("GET", ""), ("GET", "/order/{o}/transaction/1/more"),
    ],
)  # fmt: skip
async def test_another_method_and_another_path_are_refused(shop: Merchant, method: str, path: str) -> None:
    order = fresh()
    reply = await shop.send(method, path.format(o=order), paying() if method in ("POST", "PUT", "PATCH") else None)

    assert reply.status in (400, 404, 405)
    assert await shop.is_absent(order)


async def test_what_is_not_there_cannot_be_retrieved(shop: Merchant) -> None:
    await shop.done(order := fresh(), paying(), "1")
    for path in (f"/order/{fresh()}", f"/order/{order}/transaction/2", f"/order/{fresh()}/transaction/1"):
        reply = await shop.send("GET", path)
        assert (reply.status in REFUSED, reply["result"]) == (True, "ERROR")
        assert reply["error.cause"] == "INVALID_REQUEST"


# Every operation of the table (5.1, 5.2, 5.3).

INITIAL: Final = {
    "AUTHORIZE": "AUTHORIZATION", "PAY": "PAYMENT", "VERIFY": "VERIFICATION", "STANDALONE_CAPTURE": "CAPTURE",
    "STANDALONE_REFUND": "REFUND", "DISBURSEMENT": "DISBURSEMENT", "ACCOUNT_FUNDING_TRANSACTION": "FUNDING",
}  # fmt: skip
FOLLOWING: Final = {"CAPTURE": "CAPTURE", "UPDATE_AUTHORIZATION": "AUTHORIZATION_UPDATE", "VOID": "VOID_AUTHORIZATION"}


async def run(shop: Merchant, operation: str) -> Reply:
    """Carry out an operation as its users do, and return its reply."""
    order = fresh()
    match operation:
        case "CAPTURE" | "UPDATE_AUTHORIZATION" | "VOID" | "REFUND":
            await shop.done(order, paying("PAY" if operation == "REFUND" else "AUTHORIZE"), "1")
            return await shop.put(order, void() if operation == "VOID" else moving(operation, "100.00"), "2")
        case "REFERRAL":
            referred = changed(paying(), "order.reference", f"{order}.FAILREFERRED")
            assert (await shop.put(order, referred, "1"))["response.gatewayCode"] == "REFERRED"
            return await shop.put(order, changed(paying("REFERRAL"), "order.reference", order), "2")
        case "INITIATE_AUTHENTICATION":
            return await shop.put(order, initiate("5123456789012346"), "1")
        case "AUTHENTICATE_PAYER":
            await shop.done(order, initiate("5123456789012346"), "1")
            return await shop.put(order, authenticate("5123456789012346"), "1")
        case "RETRIEVE_TRANSACTION" | "RETRIEVE_ORDER":
            await shop.done(order, paying(), "1")
            more = "/transaction/1" if operation == "RETRIEVE_TRANSACTION" else ""
            return await shop.send("GET", f"/order/{order}{more}")
        case "CREATE_SESSION":
            return await shop.send("POST", "/session", {})
        case "UPDATE_SESSION" | "RETRIEVE_SESSION":
            opened = await shop.send("POST", "/session", {})
            method, body = ("GET", None) if operation == "RETRIEVE_SESSION" else ("PUT", {"sourceOfFunds": source()})
            return await shop.send(method, f"/session/{opened['session.id']}", body)
        case "INITIATE_CHECKOUT":
            asked = {"id": order, "amount": "100.00", "currency": "KZT"}
            checkout = {"apiOperation": operation, "interaction": {"operation": "PURCHASE"}, "order": asked}
            return await shop.send("POST", "/session", checkout)
        case "CREATE_TOKEN":
            return await shop.send("POST", "/token", {"sourceOfFunds": source()})
        case "CREATE_OR_UPDATE_TOKEN":
            return await shop.send("PUT", f"/token/{fresh('token')}", {"sourceOfFunds": source()})
        case "RETRIEVE_TOKEN" | "DELETE_TOKEN":
            made = await shop.send("POST", "/token", {"sourceOfFunds": source("5111111111111118")})
            return await shop.send("GET" if operation == "RETRIEVE_TOKEN" else "DELETE", f"/token/{made['token']}")
        case "SEARCH_TOKENS":
            return await shop.send("POST", "/tokenSearch", {"query": {"status": "VALID"}})
        case "RISK_ASSESSMENT":
            body = changed(without(paying(), "apiOperation"), "requestAction", "RISK_ASSESSMENT")
            return await shop.send("PUT", f"/riskassessment/{order}", body)
        case "CLOSE_BATCH":
            acquirer = {"cardType": "CREDIT", "currency": "KZT", "id": "SIMULATOR"}
            return await shop.send("PUT", "/batch", {"acquirer": acquirer}, auth=shop.reporting)
        case "PAYMENT_OPTIONS_INQUIRY":
            return await shop.send("POST", "/paymentOptionsInquiry", {"order": {"currency": "KZT"}})
        case "CHECK_GATEWAY":
            told = await shop.gateway.http.get(f"{shop.gateway.plain}/api/rest/version/100/information")
            return Reply(told.status_code, told.text, {"result": "SUCCESS"} | told.json())
        case "TRANSACTION_HISTORY" | "BATCH_UPLOAD":
            if operation == "BATCH_UPLOAD":
                target, content = (
                    f"/batch/version/100/merchant/{shop.id}/batch/{order}",
                    upload(order).encode("latin-1"),
                )
                reply = await shop.call("PUT", target, content=content)
            else:
                target = f"/history/version/1/merchant/{shop.id}/transaction?columns=order.id&{EVER}"
                reply = await shop.call("GET", target, auth=shop.reporting)
            # Neither tells a result.
            return reply if reply.status >= 400 else Reply(reply.status, reply.text, {"result": "SUCCESS"})
        case _:
            return await shop.put(order, paying(operation), "1")


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda one: str(one["operation"]))
async def test_every_operation_is_served(shop: Merchant, operation: dict[str, Any]) -> None:
    name = operation["operation"]
    reply = await run(shop, name)

    assert (reply.status in (200, 201), reply["result"]) == (True, "SUCCESS"), reply.text[:500]
    if operation["method"] == "GET":
        assert reply.status == 200
    elif operation["path"].endswith("/transaction/{transactionid}") and name != "AUTHENTICATE_PAYER":
        assert reply.status == 201
    kind = (INITIAL | FOLLOWING | {"REFUND": "REFUND"}).get(name)
    if kind is not None:
        assert reply["transaction.type"] == kind


def upload(order: str) -> str:
    """A file of two payments, with the columns of requests and of the replies wanted."""
    names = ["apiOperation", "order.id", "transaction.id", "order.amount", "order.currency"]
    names += [f"{CARD}.number", f"{CARD}.expiry.month", f"{CARD}.expiry.year", "result", "response.gatewayCode"]
    lines = [
        f"PAY,{order}-{part},1,10.00,KZT,{GOOD_CARD},{expiry},,"
        for part, expiry in enumerate(("1,39", "5,39"), start=1)
    ]
    return "\r\n".join([",".join(names), *lines]) + "\r\n"


async def test_a_file_of_operations_is_carried_out(shop: Merchant) -> None:
    name = fresh("file")
    target = f"/batch/version/100/merchant/{shop.id}/batch/{name}"
    put = await shop.call("PUT", target, content=upload(name).encode("latin-1"))
    assert put.status in (200, 201), put.text
    for _ in range(50):
        status = await shop.call("GET", f"{target}/status")
        assert status.status == 200
        if "COMPLETE" in status.text:
            break
        await asyncio.sleep(0.1)
    answered = await shop.call("GET", f"{target}/response")

    told = list(csv.DictReader(io.StringIO(answered.text)))
    assert [(one["order.id"], one["result"], one["response.gatewayCode"]) for one in told] == [
        (f"{name}-1", "SUCCESS", "APPROVED"),
        (f"{name}-2", "FAILURE", "DECLINED"),
    ]
    assert await shop.totals(f"{name}-1") == ("CAPTURED", 10, 10, 0)


async def test_a_checkout_is_asked_for_as_its_version_says(gateway: Gateway) -> None:
    asked = {"interaction": {"operation": "PURCHASE"}, "order": {"id": "o", "amount": "1.00", "currency": "KZT"}}
    for version, name, good in (
        (63, "INITIATE_CHECKOUT", True),
        (100, "INITIATE_CHECKOUT", True),
        (62, "INITIATE_CHECKOUT", False),
        (62, "CREATE_CHECKOUT_SESSION", True),
        (63, "CREATE_CHECKOUT_SESSION", False),
    ):
        reply = await gateway.merchant(version).send("POST", "/session", {"apiOperation": name} | asked)
        if good:
            assert (reply.status in (200, 201), reply["result"]) == (True, "SUCCESS"), (version, name)
            assert reply["session.id"]
        else:
            assert reply.told == (400, "ERROR", "apiOperation", "INVALID"), (version, name)


# Replies (5.3, 9.3.3).

SHAPE: Final = """
    authorizationResponse.commercialCard authorizationResponse.commercialCardIndicator
    authorizationResponse.financialNetworkCode authorizationResponse.posData authorizationResponse.posEntryMode
    authorizationResponse.processingCode authorizationResponse.responseCode authorizationResponse.stan
    authorizationResponse.transactionIdentifier gatewayEntryPoint merchant order.amount order.authenticationStatus
    order.chargeback.amount order.chargeback.currency order.creationTime order.currency order.id order.lastUpdatedTime
    order.merchantAmount order.merchantCategoryCode order.merchantCurrency order.reference order.status
    order.totalAuthorizedAmount order.totalCapturedAmount order.totalDisbursedAmount order.totalRefundedAmount
    response.acquirerCode response.acquirerMessage response.gatewayCode response.gatewayRecommendation result
    risk.response.gatewayCode risk.response.provider risk.response.review.decision risk.response.totalScore
    sourceOfFunds.provided.card.brand sourceOfFunds.provided.card.expiry.month sourceOfFunds.provided.card.expiry.year
    sourceOfFunds.provided.card.fundingMethod sourceOfFunds.provided.card.number sourceOfFunds.provided.card.scheme
    sourceOfFunds.provided.card.storedOnFile sourceOfFunds.type timeOfLastUpdate timeOfRecord transaction.acquirer.batch
    transaction.acquirer.date transaction.acquirer.id transaction.acquirer.merchantId transaction.acquirer.settlementDate
    transaction.acquirer.timeZone transaction.acquirer.transactionId transaction.amount transaction.authorizationCode
    transaction.currency transaction.id transaction.receipt transaction.reference transaction.source transaction.stan
    transaction.terminal transaction.type version
""".split()  # noqa: SIM905 - a list of this length is read best as words
TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", re.ASCII)


async def test_a_payment_has_the_shape_of_a_real_one(gateway: Gateway) -> None:
    body = changed(changed(paying("PAY", "10.01"), "order.reference", "r-1"), "transaction.reference", "t-1")
    reply = await gateway.merchant(74).done(order := fresh(), body, "a")

    assert [path for path in SHAPE if reply[path] is None] == []
    wanted = {
        "authorizationResponse.processingCode": "003000", "authorizationResponse.responseCode": "00",
        "gatewayEntryPoint": "WEB_SERVICES_API", "merchant": gateway.merchant().id, "order.id": order,
        "order.amount": Decimal("10.01"), "order.authenticationStatus": "AUTHENTICATION_NOT_IN_EFFECT",
        "order.chargeback.amount": 0, "order.chargeback.currency": "KZT", "order.currency": "KZT",
        "order.merchantAmount": Decimal("10.01"), "order.merchantCurrency": "KZT", "order.reference": "r-1",
        "order.status": "CAPTURED", "order.totalAuthorizedAmount": Decimal("10.01"),
        "order.totalCapturedAmount": Decimal("10.01"), "order.totalRefundedAmount": 0, "order.totalDisbursedAmount": 0,
        "response.acquirerCode": "00", "response.acquirerMessage": "Approved", "response.gatewayCode": "APPROVED",
        "response.gatewayRecommendation": "NO_ACTION", "result": "SUCCESS", "risk.response.gatewayCode": "ACCEPTED",
        "risk.response.review.decision": "NOT_REQUIRED", f"{CARD}.brand": "MASTERCARD", f"{CARD}.expiry.month": "1",
        f"{CARD}.expiry.year": "39", f"{CARD}.number": "512345xxxxxx0008", f"{CARD}.storedOnFile": "NOT_STORED",
        "sourceOfFunds.type": "CARD", "transaction.amount": Decimal("10.01"), "transaction.id": "a",
        "transaction.reference": "t-1", "transaction.source": "INTERNET", "transaction.type": "PAYMENT", "version": "74",
    }  # fmt: skip
    assert {path: reply[path] for path in wanted} == wanted
    for path in ("timeOfRecord", "timeOfLastUpdate", "order.creationTime", "order.lastUpdatedTime"):
        assert TIME.fullmatch(reply[path]), (path, reply[path])
    assert re.fullmatch(r"\d{4}", reply["transaction.acquirer.date"])
    assert re.fullmatch(r"[+-]\d{4}", reply["transaction.acquirer.timeZone"])
    assert re.fullmatch(r"20\d{6}", str(reply["transaction.acquirer.batch"]))
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", reply["transaction.acquirer.settlementDate"])


async def test_the_risk_block_was_in_the_response_before_version_40(gateway: Gateway) -> None:
    reply = await gateway.merchant(22).done(fresh(), paying("PAY"))

    assert reply["response.risk.gatewayCode"] == "ACCEPTED"


async def test_an_order_is_its_fields_and_the_replies_of_its_transactions(shop: Merchant) -> None:
    order = fresh()
    first = await shop.done(order, paying(), "a")
    second = await shop.done(order, moving("CAPTURE", "40.00"), "b")
    reply = await shop.order(order)

    assert (reply.status, reply["id"], reply["status"]) == (200, order, "PARTIALLY_CAPTURED")
    assert (reply["amount"], reply["currency"], reply["totalCapturedAmount"]) == (100, "KZT", 40)
    told = reply.body["transaction"]
    assert [at(one, "transaction.id") for one in told] == ["a", "b"]
    assert [at(one, "transaction.type") for one in told] == ["AUTHORIZATION", "CAPTURE"]
    alone = [await shop.send("GET", f"/order/{order}/transaction/{one}") for one in "ab"]
    assert [one["transaction"] for one in alone] == [first["transaction"], second["transaction"]]


@pytest.mark.parametrize(
    ("given", "currency", "told"),
    [
        ("100.00", "KZT", "100"), (100, "KZT", "100"), (10.01, "KZT", "10.01"), ("10.10", "KZT", "10.1"),
        ("0.01", "KZT", "0.01"), ("1", "KZT", "1"), ("500", "JPY", "500"), ("1.234", "KWD", "1.234"),
        ("99999999999.99", "KZT", "99999999999.99"),
        ("8589934592.07", "USD", "8589934592.07"),
    ],
)  # fmt: skip
async def test_amounts_go_in_as_numbers_or_texts_and_come_out_as_exact_numbers(
    shop: Merchant, given: Any, currency: str, told: str
) -> None:
    reply = await shop.done(fresh(), paying("PAY", given, currency))

    for path in ("order.amount", "transaction.amount", "order.totalAuthorizedAmount", "order.totalCapturedAmount"):
        assert isinstance(reply[path], int | Decimal)
        assert reply[path] == Decimal(told)


async def test_the_correlation_id_is_echoed_and_not_stored(shop: Merchant) -> None:
    order = fresh()
    reply = await shop.done(order, changed(paying(), "correlationId", "c-1"), "1")

    assert reply["correlationId"] == "c-1"
    assert "c-1" not in (await shop.send("GET", f"/order/{order}/transaction/1")).text


@pytest.mark.parametrize("operation", ["AUTHORIZE", "PAY"])
async def test_a_request_with_everything_the_manual_lists_is_taken(shop: Merchant, operation: str) -> None:
    address = {"street": "Alpha St", "street2": "7", "city": "Almaty", "stateProvince": "ALA", "postcodeZip": "050000"}
    body = paying(operation, code="100") | {
        "billing": {"address": address | {"country": "KAZ"}},
        "shipping": {"address": address | {"country": "KAZ"}},
        "customer": {"firstName": "A", "lastName": "B", "email": "a@example.com", "phone": "+77010000000"},
        "device": authenticate(GOOD_CARD)["device"],
        "agreement": {"id": "agr-1", "type": "RECURRING"},
        "authentication": {
            "3ds": {"acsEci": "02", "authenticationToken": "mHyn+7YFi1EUAREAAAAvNUe6Hv8=", "transactionId": "d" * 36},
            "3ds2": {"transactionStatus": "Y", "protocolVersion": "2.2.0"},
        },
        "transaction": {"reference": "t", "source": "INTERNET", "frequency": "RECURRING"},
        "correlationId": "c",
    }
    body["order"] |= {"reference": "r", "certainty": "ESTIMATED", "custom": {"a": "b"}}
    body["sourceOfFunds"]["provided"]["card"] |= {"nameOnCard": "A B", "storedOnFile": "TO_BE_STORED"}
    reply = await shop.done(fresh(), body)

    assert (reply["order.certainty"], reply["transaction.source"]) == ("ESTIMATED", "INTERNET")
    assert (reply["order.reference"], reply["transaction.reference"]) == ("r", "t")
    assert reply[f"{CARD}.storedOnFile"] == "TO_BE_STORED"


async def test_an_old_id_of_an_authentication_is_a_known_field(gateway: Gateway) -> None:
    reply = await gateway.merchant(52).put(fresh(), changed(paying(), "3DSecureId", "old-1"))

    assert reply["error.validationType"] != "UNSUPPORTED"


@pytest.mark.parametrize("card", CARDS, ids=lambda card: f"{card['brand']}-{card['number'][-4:]}")
async def test_every_test_card_pays_with_its_brand_and_is_masked(shop: Merchant, card: dict[str, str]) -> None:
    number = card["number"]
    brand = {"diners": "DINERS_CLUB"}.get(card["brand"], card["brand"].upper())
    code = "1000" if brand == "AMEX" else "100"
    for operation in ("AUTHORIZE", "PAY", "VERIFY"):
        reply = await shop.done(fresh(), paying(operation, number=number, code=code))
        assert (reply[f"{CARD}.brand"], reply[f"{CARD}.number"]) == (brand, masked(number))
        assert reply["response.gatewayCode"] == "APPROVED"


# Triggers (5.8, 9.3.6).


@pytest.mark.parametrize("operation", ["AUTHORIZE", "PAY", "VERIFY"])
@pytest.mark.parametrize("expiry", [*TRIGGERS["expiry"], "12/30", "06/29", "02/39", "01/40"])
async def test_the_expiry_decides(shop: Merchant, expiry: str, operation: str) -> None:
    code = TRIGGERS["expiry"].get(expiry, "APPROVED")
    result = {"APPROVED": "SUCCESS", "TIMED_OUT": "UNKNOWN", "UNKNOWN": "UNKNOWN"}.get(code, "FAILURE")
    order = fresh()
    reply = await shop.put(order, paying(operation, expiry=expiry))

    assert reply.told == (201, result, code)
    status, *totals = await shop.totals(order)
    if code == "APPROVED":
        assert status == {"AUTHORIZE": "AUTHORIZED", "PAY": "CAPTURED", "VERIFY": "VERIFIED"}[operation]
    else:
        assert totals == [0, 0, 0]
    if result == "FAILURE":
        assert status == "FAILED"
        again = await shop.put(order, paying(operation))
        assert (again.status, again["result"]) == (201, "SUCCESS")


@pytest.mark.parametrize("month", ["1", "01", "5", "05"])
async def test_a_month_with_and_without_zero_is_the_same(shop: Merchant, month: str) -> None:
    reply = await shop.put(fresh(), paying(expiry=f"{month}/39"))

    assert reply["response.gatewayCode"] == ("APPROVED" if month.endswith("1") else "DECLINED")
    assert reply[f"{CARD}.expiry.month"] == month.removeprefix("0")


@pytest.mark.parametrize(
    ("number", "code", "told"),
    [
        *((GOOD_CARD, code, told) for code, told in TRIGGERS["securityCode"].items()),
        *(("4508750015741019", code, told) for code, told in TRIGGERS["securityCode"].items()),
        *(("371881634498004", code, told) for code, told in TRIGGERS["securityCodeAmex"].items()),
    ],
    ids=str,
)
async def test_the_security_code_decides_what_is_told_of_it(shop: Merchant, number: str, code: str, told: str) -> None:
    reply = await shop.done(order := fresh(), paying(number=number, code=code), "1")
    found = await shop.send("GET", f"/order/{order}/transaction/1")

    assert reply["response.cardSecurityCode.gatewayCode"] == told
    assert found["response.cardSecurityCode.gatewayCode"] == told


@pytest.mark.parametrize(("street", "told"), TRIGGERS["billingStreet"].items())
async def test_the_street_decides_what_is_told_of_the_address(shop: Merchant, street: str, told: str) -> None:
    address = {"street": street, "postcodeZip": "050000", "city": "Almaty", "country": "KAZ"}
    reply = await shop.done(fresh(), changed(paying(), "billing.address", address))

    assert reply["response.cardholderVerification.avs.gatewayCode"] == told


@pytest.mark.parametrize(
    "code", [code for code, row in GATEWAY_CODES.items() if row["listed_in_v100_reference"] == "yes"]
)
async def test_a_reference_names_the_gateway_code(shop: Merchant, code: str) -> None:
    order = fresh()
    reply = await shop.put(order, changed(paying("PAY"), "order.reference", f"shop-7.FAIL{code}"), "1")

    assert (reply.status, reply["response.gatewayCode"]) == (201, code)
    status, *totals = await shop.totals(order)
    outcome = GATEWAY_CODES[code]["outcome"]
    if outcome == "approved":
        assert (reply["result"], status, totals) == ("SUCCESS", "CAPTURED", [100, 100, 0])
    elif outcome == "partially_approved":
        assert reply["result"] == "SUCCESS"
        assert 0 < totals[0] < 100
        assert totals[0] == totals[1]
    else:
        assert totals == [0, 0, 0]
        if code in ("TIMED_OUT", "UNKNOWN"):
            assert reply["result"] == "UNKNOWN"
        elif outcome == "declined":
            assert (reply["result"], status) == ("FAILURE", "FAILED")
        elif outcome in ("pending", "unknown"):
            assert reply["result"] in ("PENDING", "UNKNOWN", "FAILURE")


async def references(shop: Merchant, reference: str, times: int) -> list[tuple[Any, ...]]:
    """Pay several times on one order with a reference that is a trigger."""
    order = fresh()
    body = changed(paying("PAY"), "order.reference", reference)
    return [(await shop.put(order, body)).told for _ in range(times)]


@pytest.mark.parametrize(
    ("reference", "results"),
    [
        ("TEST-SUCCEED", ["SUCCESS"]),
        ("TEST-SUCCESS-INIT", ["SUCCESS"]),
        ("TEST-FAIL-DECLINE", ["FAILURE", "FAILURE"]),
        ("TEST-FAIL-INIT", ["FAILURE"]),
        ("TEST-PENDING", ["PENDING"]),
        ("TEST-FAIL-THEN-SUCCESS", ["FAILURE", "SUCCESS"]),
        ("TEST-TIMEOUT-THEN-SUCCESS", ["UNKNOWN", "SUCCESS"]),
    ],
)
async def test_references_of_browser_payments_decide(shop: Merchant, reference: str, results: list[str]) -> None:
    assert reference in TRIGGERS["orderReference"]
    told = await references(shop, reference, len(results))

    assert [(status, result) for status, result, _ in told] == [(201, result) for result in results]


# Idempotency (5.4, 9.3.2).


@pytest.mark.parametrize(
    "operation", [*INITIAL, "BALANCE_INQUIRY", "CAPTURE", "REFUND", "UPDATE_AUTHORIZATION", "VOID"]
)
async def test_the_same_request_is_answered_again_and_another_one_refused(shop: Merchant, operation: str) -> None:
    order = fresh()
    if operation in ("CAPTURE", "REFUND", "UPDATE_AUTHORIZATION", "VOID"):
        await shop.done(order, paying("PAY" if operation == "REFUND" else "AUTHORIZE"), "0")
    body = paying(operation)
    other = changed(body, "order.reference", "another")
    if operation == "VOID":
        body, other = void(), void("0")
    elif operation in ("CAPTURE", "REFUND", "UPDATE_AUTHORIZATION"):
        body, other = moving(operation, "30.00"), moving(operation, "30.01")
    first = await shop.put(order, body, "1")
    totals = await shop.totals(order)
    again = await shop.put(order, body, "1")
    turned = await shop.put(order, dict(reversed(body.items())), "1")
    refused = await shop.put(order, other, "1")

    assert (first.status, again.status, turned.status, refused.status) == (201, 200, 200, 400)
    assert again.body == first.body == turned.body
    assert (refused["result"], refused["error.cause"]) == ("ERROR", "INVALID_REQUEST")
    assert await shop.totals(order) == totals


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("order.amount", "100.01"), ("order.currency", "USD"), ("apiOperation", "PAY"), ("order.reference", "x"),
        (f"{CARD}.number", "5111111111111118"), (f"{CARD}.expiry.month", "2"), ("customer", {"email": "a@example.com"}),
    ],
)  # fmt: skip
async def test_any_other_content_under_the_same_ids_is_refused(shop: Merchant, path: str, value: Any) -> None:
    order = fresh()
    first = await shop.done(order, paying(), "1")
    other = await shop.put(order, changed(paying(), path, value), "1")

    assert (other.status, other["result"], other["error.cause"]) == (400, "ERROR", "INVALID_REQUEST")
    assert (await shop.put(order, paying(), "1")).body == first.body


async def test_the_first_reply_is_told_even_after_the_order_went_on(shop: Merchant) -> None:
    order = fresh()
    first = await shop.done(order, paying(), "1")
    await shop.done(order, moving("CAPTURE", "100.00"), "2")
    await shop.done(order, moving("REFUND", "100.00"), "3")
    again = await shop.put(order, paying(), "1")

    assert (again.status, again.body) == (200, first.body)


async def test_a_declined_request_is_answered_again_too(shop: Merchant) -> None:
    order = fresh()
    first = await shop.put(order, paying(expiry="05/39"), "1")
    again = await shop.put(order, paying(expiry="05/39"), "1")

    assert (first.status, again.status, again.body) == (201, 200, first.body)


def is_busy(reply: Reply) -> bool:
    return "SERVER_BUSY" in (reply["error.cause"],) or "LOCK_FAILURE" in (reply["response.gatewayCode"],)


@pytest.mark.parametrize("operation", ["AUTHORIZE", "PAY", "CAPTURE", "REFUND", "VOID"])
async def test_eight_equal_requests_at_once_are_one(shop: Merchant, operation: str) -> None:
    order = fresh()
    if operation not in ("AUTHORIZE", "PAY"):
        await shop.done(order, paying("PAY" if operation == "REFUND" else "AUTHORIZE"), "0")
    body = paying(operation) if operation in ("AUTHORIZE", "PAY") else moving(operation, "30.00")
    body = void() if operation == "VOID" else body
    replies = await asyncio.gather(*(shop.put(order, body, "1") for _ in range(8)))

    done = [reply for reply in replies if not is_busy(reply)]
    assert sorted(reply.status for reply in done) == [200] * (len(done) - 1) + [201]
    assert all(reply.body == done[0].body for reply in done)
    told = (await shop.order(order)).body["transaction"]
    assert [at(one, "transaction.id") for one in told].count("1") == 1


# Limits under concurrency (9.1.5).


async def test_ten_captures_at_once_take_three_times_thirty_out_of_a_hundred(shop: Merchant) -> None:
    order = fresh()
    await shop.done(order, paying())
    replies = await asyncio.gather(*(shop.put(order, moving("CAPTURE", "30.00"), f"c{n}") for n in range(10)))

    assert sum(reply["result"] == "SUCCESS" for reply in replies) == 3
    assert await shop.totals(order) == ("PARTIALLY_CAPTURED", 100, 90, 0)


async def test_two_full_refunds_at_once_are_one(shop: Merchant) -> None:
    order = fresh()
    await shop.done(order, paying("PAY"))
    replies = await asyncio.gather(*(shop.put(order, moving("REFUND", "100.00"), f"r{n}") for n in range(2)))

    assert sum(reply["result"] == "SUCCESS" for reply in replies) == 1
    assert await shop.totals(order) == ("REFUNDED", 100, 100, 100)


async def test_of_a_capture_and_a_void_at_once_one_wins(shop: Merchant) -> None:
    for turn in range(6):
        order = fresh()
        await shop.done(order, paying(), "a")
        sends = [shop.put(order, moving("CAPTURE", "100.00"), "c"), shop.put(order, void("a"), "v")]
        replies = await asyncio.gather(*(sends if turn % 2 else reversed(sends)))

        assert sum(reply["result"] == "SUCCESS" for reply in replies) == 1
        assert await shop.totals(order) in (("CAPTURED", 100, 100, 0), ("CANCELLED", 0, 0, 0))


async def test_two_voids_at_once_are_one(shop: Merchant) -> None:
    order = fresh()
    await shop.done(order, paying(), "a")
    replies = await asyncio.gather(*(shop.put(order, void(), f"v{n}") for n in range(4)))

    assert sum(reply["result"] == "SUCCESS" for reply in replies) == 1
    assert await shop.totals(order) == ("CANCELLED", 0, 0, 0)


async def test_ids_of_the_gateway_are_unique(shop: Merchant) -> None:
    replies = await asyncio.gather(*(shop.put(fresh(), paying("PAY")) for _ in range(50)))

    assert {reply.status for reply in replies} == {201}
    for path in (
        "transaction.acquirer.transactionId",
        "transaction.receipt",
        "authorizationResponse.transactionIdentifier",
    ):
        assert len({reply[path] for reply in replies}) == 50, path


# Rules of status (9.3.4).


@pytest.mark.parametrize(
    ("steps", "status", "totals"),
    [
        ([paying()], "AUTHORIZED", (100, 0, 0)),
        ([paying("PAY")], "CAPTURED", (100, 100, 0)),
        ([paying("VERIFY")], "VERIFIED", (0, 0, 0)),
        ([paying(), moving("CAPTURE", "40.00")], "PARTIALLY_CAPTURED", (100, 40, 0)),
        ([paying(), moving("CAPTURE", "40.00"), moving("CAPTURE", "60.00")], "CAPTURED", (100, 100, 0)),
        ([paying(), moving("CAPTURE", "100.00"), moving("REFUND", "30.00")], "PARTIALLY_REFUNDED", (100, 100, 30)),
        ([paying("PAY"), moving("REFUND", "30.00"), moving("REFUND", "70.00")], "REFUNDED", (100, 100, 100)),
        ([paying(), void()], "CANCELLED", (0, 0, 0)),
        ([paying("PAY"), void()], "CANCELLED", (0, 0, 0)),
        ([paying(), moving("CAPTURE", "100.00"), void()], "AUTHORIZED", (100, 0, 0)),
        ([paying(), moving("CAPTURE", "40.00"), moving("CAPTURE", "60.00"), void()], "PARTIALLY_CAPTURED", (100, 40, 0)),
        ([paying("PAY"), moving("REFUND", "100.00"), void()], "CAPTURED", (100, 100, 0)),
        (
            [paying("PAY"), moving("REFUND", "30.00"), moving("REFUND", "70.00"), void()],
            "PARTIALLY_REFUNDED", (100, 100, 30),
        ),
        ([paying(), moving("UPDATE_AUTHORIZATION", "150.00")], "AUTHORIZED", (150, 0, 0)),
        ([paying(), moving("UPDATE_AUTHORIZATION", "150.00"), moving("CAPTURE", "150.00")], "CAPTURED", (150, 150, 0)),
        ([paying("PAY", "0.03"), moving("REFUND", 0.01)], "PARTIALLY_REFUNDED", ("0.03", "0.03", "0.01")),
        ([paying("PAY", "1000", "JPY"), moving("REFUND", "1000", "JPY")], "REFUNDED", (1000, 1000, 1000)),
        ([paying("DISBURSEMENT")], "DISBURSED", (0, 0, 0)),
    ],
    ids=str,
)  # fmt: skip
async def test_an_order_is_where_its_operations_led(
    shop: Merchant, steps: list[dict[str, Any]], status: str, totals: tuple[Any, ...]
) -> None:
    order = fresh()
    last = None
    for step in steps:
        last = await shop.done(order, step)

    wanted = tuple(Decimal(total) for total in totals)
    assert last is not None
    assert last["order.status"] == status
    assert (*await shop.totals(order),) == (status, *wanted)
    names = ("totalAuthorizedAmount", "totalCapturedAmount", "totalRefundedAmount")
    assert tuple(last[f"order.{name}"] for name in names) == wanted


@pytest.mark.parametrize(
    ("steps", "kind"),
    [
        ([paying()], "VOID_AUTHORIZATION"),
        ([paying("PAY")], "VOID_PAYMENT"),
        ([paying(), moving("CAPTURE", "40.00")], "VOID_CAPTURE"),
        ([paying("PAY"), moving("REFUND", "40.00")], "VOID_REFUND"),
    ],
)
@pytest.mark.parametrize("named", [False, True])
async def test_a_void_is_of_the_last_operation_once(
    shop: Merchant, steps: list[dict[str, Any]], kind: str, named: bool
) -> None:
    order = fresh()
    for number, step in enumerate(steps):
        await shop.done(order, step, f"s{number}")
    target = f"s{len(steps) - 1}"
    reply = await shop.done(order, void(target) if named else void(), "v")
    before = await shop.totals(order)
    again = await shop.put(order, void(target), "w")

    assert reply["transaction.type"] == kind
    assert again.told == (400, "ERROR", "apiOperation", "INVALID")
    assert again["error.explanation"] == "Value 'VOID' is invalid. There is no transaction to void."
    assert again["error.cause"] == "INVALID_REQUEST"
    assert await shop.totals(order) == before


REFUSED_STEPS: Final[dict[str, tuple[list[dict[str, Any]], dict[str, Any]]]] = {
    "capture without an order": ([], moving("CAPTURE", "1.00")),
    "refund without an order": ([], moving("REFUND", "1.00")),
    "void without an order": ([], void()),
    "update without an order": ([], moving("UPDATE_AUTHORIZATION", "1.00")),
    "capture after void": ([paying(), void()], moving("CAPTURE", "1.00")),
    "refund after void": ([paying("PAY"), void()], moving("REFUND", "1.00")),
    "update after void": ([paying(), void()], moving("UPDATE_AUTHORIZATION", "200.00")),
    "capture above": ([paying()], moving("CAPTURE", "100.01")),
    "captures above": ([paying(), moving("CAPTURE", "60.00")], moving("CAPTURE", "40.01")),
    "capture of a payment": ([paying("PAY")], moving("CAPTURE", "1.00")),
    "capture of a verification": ([paying("VERIFY")], moving("CAPTURE", "1.00")),
    "refund of an authorisation": ([paying()], moving("REFUND", "1.00")),
    "refund of a verification": ([paying("VERIFY")], moving("REFUND", "1.00")),
    "refund above": ([paying("PAY")], moving("REFUND", "100.01")),
    "refunds above": ([paying("PAY"), moving("REFUND", "99.99")], moving("REFUND", "0.02")),
    "refund above what was captured": ([paying(), moving("CAPTURE", "40.00")], moving("REFUND", "40.01")),
    "capture in another currency": ([paying()], moving("CAPTURE", "1.00", "USD")),
    "refund in another currency": ([paying("PAY")], moving("REFUND", "1.00", "USD")),
    "update in another currency": ([paying()], moving("UPDATE_AUTHORIZATION", "150.00", "USD")),
    "second authorisation": ([paying()], paying()),
    "payment on an authorised order": ([paying()], paying("PAY")),
    "void of nobody": ([paying()], void("nobody")),
    "void of what is not the last": ([paying(), moving("CAPTURE", "1.00")], void("s0")),
    "capture of nothing": ([paying()], moving("CAPTURE", "0.00")),
    "refund of less than nothing": ([paying("PAY")], moving("REFUND", "-1.00")),
    "update below what was captured": ([paying(), moving("CAPTURE", "60.00")], moving("UPDATE_AUTHORIZATION", "50.00")),
}


@pytest.mark.parametrize("kind", REFUSED_STEPS)
async def test_what_the_order_does_not_allow_changes_nothing(shop: Merchant, kind: str) -> None:
    steps, wrong = REFUSED_STEPS[kind]
    order = fresh()
    for number, step in enumerate(steps):
        await shop.done(order, step, f"s{number}")
    before = (await shop.order(order)).body if steps else None
    reply = await shop.put(order, wrong, "wrong")

    assert reply["result"] in ("ERROR", "FAILURE"), reply.text
    assert reply.status == (400 if reply["result"] == "ERROR" else 201)
    if before is None:
        assert await shop.is_absent(order)
    else:
        after = (await shop.order(order)).body
        names = ("status", "totalAuthorizedAmount", "totalCapturedAmount", "totalRefundedAmount")
        assert {name: after[name] for name in names} == {name: before[name] for name in names}


async def test_a_declined_order_may_be_tried_again_and_follow_ups_may_not(shop: Merchant) -> None:
    order = fresh()
    declined = await shop.put(order, paying(expiry="05/39"), "1")
    capture = await shop.put(order, moving("CAPTURE", "100.00"), "2")
    voided = await shop.put(order, void(), "3")
    again = await shop.done(order, paying("PAY"), "4")

    assert (declined["order.status"], declined["order.totalAuthorizedAmount"]) == ("FAILED", 0)
    assert capture["result"] in ("ERROR", "FAILURE")
    assert voided["result"] in ("ERROR", "FAILURE")
    assert (again["order.status"], again["order.totalCapturedAmount"]) == ("CAPTURED", 100)


async def test_what_was_settled_cannot_be_voided_but_refunded(shop: Merchant) -> None:
    order = fresh()
    await shop.done(order, paying("PAY"), "1")
    closed = await run(shop, "CLOSE_BATCH")
    assert (closed.status in (200, 201), closed["result"]) == (True, "SUCCESS")
    voided = await shop.put(order, void(), "2")

    assert voided["result"] in ("ERROR", "FAILURE")
    assert await shop.totals(order) == ("CAPTURED", 100, 100, 0)
    await shop.done(order, moving("REFUND", "100.00"), "3")


# Validation (9.3.5).

LONG: Final = "x" * 41
INVALID: Final[list[tuple[str, Any, str, str]]] = [
    ("colour", "red", "colour", "UNSUPPORTED"),
    ("order.colour", "red", "order.colour", "UNSUPPORTED"),
    (f"{CARD}.colour", "red", f"{CARD}.colour", "UNSUPPORTED"),
    ("order.currency", "kzt", "order.currency", "INVALID"),
    ("order.currency", "XXX", "order.currency", "INVALID"),
    ("order.currency", "KZ", "order.currency", "INVALID"),
    ("order.currency", "KZTT", "order.currency", "INVALID"),
    ("order.currency", "398", "order.currency", "INVALID"),
    ("order.currency", "", "order.currency", "INVALID"),
    ("order.amount", "-1.00", "order.amount", "INVALID"),
    ("order.amount", -1, "order.amount", "INVALID"),
    ("order.amount", "1.001", "order.amount", "INVALID"),
    ("order.amount", 1.001, "order.amount", "INVALID"),
    ("order.amount", "123456789012.34", "order.amount", "INVALID"),
    ("order.amount", 123456789012345, "order.amount", "INVALID"),
    ("order.amount", "1e3", "order.amount", "INVALID"),
    ("order.amount", "1,00", "order.amount", "INVALID"),
    ("order.amount", " 1.00", "order.amount", "INVALID"),
    ("order.amount", "+1.00", "order.amount", "INVALID"),
    ("order.amount", "１２", "order.amount", "INVALID"),
    ("order.amount", "NaN", "order.amount", "INVALID"),
    ("order.amount", "", "order.amount", "INVALID"),
    ("order.amount", ".", "order.amount", "INVALID"),
    ("order.amount", "1.2.3", "order.amount", "INVALID"),
    ("order.amount", True, "order.amount", "INVALID"),
    ("order.amount", {"value": 1}, "order.amount", "INVALID"),
    ("apiOperation", "BUY", "apiOperation", "INVALID"),
    ("apiOperation", "authorize", "apiOperation", "INVALID"),
    ("apiOperation", "", "apiOperation", "INVALID"),
    ("apiOperation", 1, "apiOperation", "INVALID"),
    (f"{CARD}.number", "5123450000000009", f"{CARD}.number", "INVALID"),
    (f"{CARD}.number", "51234500000000x8", f"{CARD}.number", "INVALID"),
    (f"{CARD}.number", "5123 4500 0000 0008", f"{CARD}.number", "INVALID"),
    (f"{CARD}.number", "５１２３４５００００００００８", f"{CARD}.number", "INVALID"),
    (f"{CARD}.number", "", f"{CARD}.number", "INVALID"),
    (f"{CARD}.expiry.month", "13", f"{CARD}.expiry.month", "INVALID"),
    (f"{CARD}.expiry.month", "0", f"{CARD}.expiry.month", "INVALID"),
    (f"{CARD}.expiry.month", "00", f"{CARD}.expiry.month", "INVALID"),
    (f"{CARD}.expiry.month", "-1", f"{CARD}.expiry.month", "INVALID"),
    (f"{CARD}.expiry.month", "１", f"{CARD}.expiry.month", "INVALID"),
    (f"{CARD}.expiry.year", "2039", f"{CARD}.expiry.year", "INVALID"),
    (f"{CARD}.expiry.year", "3", f"{CARD}.expiry.year", "INVALID"),
    (f"{CARD}.expiry.year", "x9", f"{CARD}.expiry.year", "INVALID"),
    (f"{CARD}.securityCode", "12", f"{CARD}.securityCode", "INVALID"),
    (f"{CARD}.securityCode", "12345", f"{CARD}.securityCode", "INVALID"),
    (f"{CARD}.securityCode", "1x0", f"{CARD}.securityCode", "INVALID"),
    ("billing.address.country", "KZ", "billing.address.country", "INVALID"),
    ("billing.address.country", "kaz", "billing.address.country", "INVALID"),
    ("billing.address.country", "398", "billing.address.country", "INVALID"),
    ("transaction.source", "MOON", "transaction.source", "INVALID"),
    ("order.certainty", "MAYBE", "order.certainty", "INVALID"),
    ("sourceOfFunds.type", "CASH", "sourceOfFunds.type", "INVALID"),
    ("order", [], "order", "INVALID"),
    ("sourceOfFunds", "card", "sourceOfFunds", "INVALID"),
    (CARD, [], CARD, "INVALID"),
]


@pytest.mark.parametrize(("path", "value", "field", "kind"), INVALID, ids=lambda value: str(value)[:40])
async def test_a_wrong_field_is_refused_by_name(shop: Merchant, path: str, value: Any, field: str, kind: str) -> None:
    order = fresh()
    reply = await shop.put(order, changed(paying(), path, value))

    assert reply.told == (400, "ERROR", field, kind)
    assert reply["error.cause"] == "INVALID_REQUEST"
    assert reply["error.explanation"]
    assert await shop.is_absent(order)


@pytest.mark.parametrize("value", [None, 1, True, [], [[]], {}, {"a": 1}], ids=str)
async def test_an_operation_that_is_no_text_is_refused_on_what_exists_too(shop: Merchant, value: Any) -> None:
    order, asked = fresh(), fresh()
    await shop.done(order, paying(), "1")
    await shop.done(asked, initiate("5123456789012346"), "1")
    for name, body in ((order, paying()), (asked, authenticate("5123456789012346")), (fresh(), paying())):
        reply = await shop.put(name, changed(body, "apiOperation", value), "1")
        assert (reply.status, reply["error.cause"], reply["error.field"]) == (400, "INVALID_REQUEST", "apiOperation")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        *((without(paying(), path), path) for path in ("apiOperation", "order.amount", "order.currency")),
        (without(paying("VERIFY"), "order.currency"), "order.currency"),
        (without(paying("PAY"), f"{CARD}.expiry.month"), f"{CARD}.expiry.month"),
        (without(paying("PAY"), f"{CARD}.expiry.year"), f"{CARD}.expiry.year"),
        (without(paying("PAY"), f"{CARD}.number"), f"{CARD}.number"),
        *((without(moving(operation, "1.00"), path), path)
          for operation in ("CAPTURE", "REFUND", "UPDATE_AUTHORIZATION")
          for path in ("transaction.amount", "transaction.currency")),
    ],
    ids=lambda value: str(value)[:60],
)  # fmt: skip
async def test_a_missing_field_is_named(shop: Merchant, body: dict[str, Any], field: str) -> None:
    order = fresh()
    if body.get("apiOperation") in ("CAPTURE", "REFUND", "UPDATE_AUTHORIZATION"):
        await shop.done(order, paying("PAY" if body["apiOperation"] == "REFUND" else "AUTHORIZE"))
    reply = await shop.put(order, body)

    assert reply.told == (400, "ERROR", field, "MISSING")


@pytest.mark.parametrize(
    ("currency", "amount", "good"),
    [
        ("JPY", "1", True),
        ("JPY", "1.0", False),
        ("JPY", "1.5", False),
        ("KWD", "1.001", True),
        ("KWD", "1.0001", False),
    ],
)
async def test_no_more_decimals_than_the_currency_has(shop: Merchant, currency: str, amount: str, good: bool) -> None:
    reply = await shop.put(fresh(), paying("PAY", amount, currency))

    assert reply.status == (201 if good else 400), reply.text
    assert good or reply["error.field"] == "order.amount"


@pytest.mark.parametrize(
    ("order", "transaction", "part"),
    [
        (LONG, "1", "order"), ("{o}", LONG, "transaction"),
        ("{o}é", "1", "order"), ("{o}\n", "1", "order"), ("{o}\x00", "1", "order"),
    ],
)  # fmt: skip
async def test_ids_that_are_too_long_or_have_other_letters_are_refused(
    shop: Merchant, order: str, transaction: str, part: str
) -> None:
    reply = await shop.put(order.format(o=fresh()), paying(), transaction)

    assert (reply.status, reply["result"], reply["error.cause"]) == (400, "ERROR", "INVALID_REQUEST")
    assert part in reply["error.field"]
    assert reply["error.validationType"] == "INVALID"


@pytest.mark.parametrize("name", ["a &+!$%.b", "A-_9", "x", "1" * 40])
async def test_ids_may_have_the_letters_that_the_manual_allows(shop: Merchant, name: str) -> None:
    order = f"{fresh()}{name}"[-40:]
    reply = await shop.done(order, paying(), name)

    assert (reply["order.id"], reply["transaction.id"]) == (order, name)
    assert (await shop.order(order))["id"] == order


BROKEN: Final = {
    "empty": b"", "blank": b" ", "cut": b'{"apiOperation":', "array": b"[]", "text": b'"PAY"', "number": b"1", "null": b"null",
    "true": b"true", "NaN": b'{"apiOperation":"PAY","order":{"amount":NaN,"currency":"KZT"}}',
    "Infinity": b'{"order":{"amount":Infinity}}', "two": b"{}{}", "comma": b'{"a":1,}', "no utf-8": b'{"a":"\xff\xfe"}',
    "utf-16": '{"a":1}'.encode("utf-16"), "half a letter": b'{"apiOperation":"\\ud800"}', "deep arrays": b"[" * 100_000,
    "deep objects": b'{"a":' * 20_000, "deep and closed": b'{"a":' * 3000 + b"1" + b"}" * 3000, "binary": bytes(range(256)),
    "huge number": b'{"order":{"amount":1' + b"0" * 5000 + b"}}", "huge exponent": b'{"order":{"amount":1e999999999}}',
    "xml": b"<order/>", "form": b"apiOperation=PAY&order.amount=1", "zero byte": b'{"api\\u0000Operation":"PAY"}',
    "same field twice": b'{"apiOperation":"PAY","apiOperation":"AUTHORIZE"}',
}  # fmt: skip


@pytest.mark.parametrize("kind", BROKEN)
async def test_a_broken_body_is_refused_everywhere_and_the_server_goes_on(shop: Merchant, kind: str) -> None:
    order = fresh()
    for method, path in (
        ("PUT", f"/order/{order}/transaction/1"), ("PUT", f"/riskassessment/{order}"), ("POST", "/token"),
        ("PUT", f"/token/{fresh('token')}"), ("POST", "/tokenSearch"),
    ):  # fmt: skip
        reply = await shop.send(method, path, content=BROKEN[kind], headers={"Content-Type": "application/json"})
        assert (reply.status, reply["result"]) == (400, "ERROR"), (path, reply.text)

    assert await shop.is_absent(order)
    await shop.done(fresh(), paying())


async def test_replies_have_the_types_and_values_of_the_tables(gateway: Gateway, shop: Merchant) -> None:
    for operation in OPERATIONS:
        await run(shop, operation["operation"])
    for expiry in TRIGGERS["expiry"]:
        await shop.put(fresh(), paying("PAY", expiry=expiry))
    for code in GATEWAY_CODES:
        await shop.put(order := fresh(), changed(paying("PAY"), "order.reference", f"x.FAIL{code}"), "1")
        await shop.order(order)
    for card in TRIGGERS["threeDS"]:
        order = fresh()
        await shop.put(order, initiate(card["number"]), "a")
        await shop.put(order, authenticate(card["number"]), "a")
        await shop.put(order, changed(paying(number=card["number"]), "authentication.transactionId", "a"), "p")
        await shop.order(order)
    seen = {
        path
        for reply in [await run(shop, "AUTHENTICATE_PAYER"), await run(shop, "PAY")]
        for path, _ in walk(reply.body)
    }

    # Of everything that was answered in this module so far.
    assert gateway.oddities == set()
    assert len(seen & set(RESPONSE_TYPES)) > 60


def test_the_reading_of_replies_sees_what_is_odd() -> None:
    good = {"result": "SUCCESS", "order": {"amount": 1, "status": "CAPTURED"}, "transaction": {"type": "PAYMENT"}}

    assert odd(good) == set()
    for path, value in (
        ("order.amount", "1"),
        ("order.status", "DONE"),
        ("transaction.type", "VOID"),
        ("result", True),
    ):
        assert odd(changed(good, path, value)) != set()
