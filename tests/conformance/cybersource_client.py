"""Drive the official SDK of CyberSource against a server, and print what it got: run by an interpreter that has the SDK.

Reads `{"configuration", "authority", "token_form"}` as JSON from standard input. The SDK is proprietary and no part of this
repository; nothing here is taken from it.
"""

from __future__ import annotations

import importlib
import json
import sys
from typing import Any

import certifi

CARD = {"number": "4111111111111111", "expiration_month": "12", "expiration_year": "2031", "security_code": "123"}


def order(amount: str, code: str, transaction_id: str = "") -> dict[str, Any]:
    reference = {"code": code} | ({"transaction_id": transaction_id} if transaction_id else {})
    return {
        "client_reference_information": reference,
        "order_information": {"amount_details": {"total_amount": amount, "currency": "USD"}},
    }


def payment(
    amount: str, code: str, *, sale: bool = False, transaction_id: str = "", number: str = CARD["number"]
) -> dict[str, Any]:
    body = order(amount, code, transaction_id)
    body["processing_information"] = {"capture": sale, "commerce_indicator": "internet"}
    body["payment_information"] = {"card": CARD | {"number": number}}
    body["order_information"]["bill_to"] = {
        "first_name": "Aigerim",
        "last_name": "Test",
        "address1": "1 Abay",
        "locality": "Almaty",
        "postal_code": "050000",
        "country": "KZ",
        "email": "aigerim@example.com",
    }
    return body


def reversal(amount: str, transaction_id: str = "") -> dict[str, Any]:
    reference = {"code": "r"} | ({"transaction_id": transaction_id} if transaction_id else {})
    details = {"amount_details": {"total_amount": amount, "currency": "USD"}, "reason": "34"}
    return {"client_reference_information": reference, "reversal_information": details}


def main() -> None:
    asked = json.load(sys.stdin)
    configuration = asked["configuration"]
    if asked.get("authority"):
        # The SDK has no setting for another authority: it asks this function for each of its objects.
        certifi.where = lambda: asked["authority"]

    sdk: Any = importlib.import_module("CyberSource")

    if asked.get("token_form"):
        configuration |= {"authentication_type": "mutual_auth"}
        # The convenient method breaks in its own tracker, so the form is sent by the client beneath it.
        api_client = sdk.OAuthApi(configuration).api_client
        reply, _, _ = api_client.call_api(
            "/oauth2/v3/token",
            "POST",
            header_params={
                "Accept": "application/json;charset=utf-8",
                "Content-Type": "application/x-www-form-urlencoded",
            },
            body=asked["token_form"],
            response_type="AccessTokenResponse",
        )
        configuration |= {"authentication_type": "oauth", "access_token": reply.access_token}

    results: dict[str, list[Any]] = {}
    # Looks on at what goes over the wire, and changes nothing.
    wire: list[tuple[bool, bool]] = []
    send = sdk.rest.RESTClientObject.request

    def look_on(client: Any, method: str, url: str, **options: Any) -> Any:
        try:
            reply = send(client, method, url, **options)
        except sdk.rest.ApiException as error:
            wire.append(("encryptedRequest" in (options.get("body") or ""), "encryptedResponse" in error.body))
            raise
        wire.append(("encryptedRequest" in (options.get("body") or ""), "encryptedResponse" in reply.data))
        return reply

    sdk.rest.RESTClientObject.request = look_on

    def call(name: str, api: str, method: str, *arguments: Any) -> Any:
        try:
            model, status, text = getattr(getattr(sdk, api)(configuration), method)(*arguments)
        except sdk.rest.ApiException as error:
            results[name] = [error.status, json.loads(error.body) if error.body else None]
            return None
        results[name] = [status, json.loads(text) if text else None]
        return model

    authorized = call("authorize", "PaymentsApi", "create_payment", json.dumps(payment("100.00", "sdk-1")))
    captured = call("capture", "CaptureApi", "capture_payment", json.dumps(order("60.00", "sdk-1")), authorized.id)
    call("capture again", "CaptureApi", "capture_payment", json.dumps(order("40.00", "sdk-1")), authorized.id)
    refunded = call("refund", "RefundApi", "refund_capture", json.dumps(order("10.00", "sdk-1")), captured.id)
    void = json.dumps({"client_reference_information": {"code": "v"}})
    call("void refund", "VoidApi", "void_refund", void, refunded.id)
    call("void capture", "VoidApi", "void_capture", void, captured.id)
    held = call("authorize to reverse", "PaymentsApi", "create_payment", json.dumps(payment("30.00", "sdk-2")))
    call("reverse", "ReversalApi", "auth_reversal", held.id, json.dumps(reversal("30.00")))
    call(
        "authorize to time out",
        "PaymentsApi",
        "create_payment",
        json.dumps(payment("31.00", "sdk-3", transaction_id=asked["transaction_id"])),
    )
    call("reverse by timeout", "ReversalApi", "mit_reversal", json.dumps(reversal("31.00", asked["transaction_id"])))
    sold = call("sale", "PaymentsApi", "create_payment", json.dumps(payment("5.00", "sdk-4", sale=True)))
    call("refund sale", "RefundApi", "refund_payment", json.dumps(order("5.00", "sdk-4")), sold.id)
    sold = call("another sale", "PaymentsApi", "create_payment", json.dumps(payment("6.00", "sdk-4", sale=True)))
    call("void sale", "VoidApi", "void_payment", void, sold.id)
    increment = {
        "client_reference_information": {"code": "sdk-5"},
        "order_information": {"amount_details": {"additional_amount": "5.00", "currency": "USD"}},
    }
    grown = call("authorize to grow", "PaymentsApi", "create_payment", json.dumps(payment("20.00", "sdk-5")))
    call("increment", "PaymentsApi", "increment_auth", grown.id, json.dumps(increment))
    credited = call("credit", "CreditApi", "create_credit", json.dumps(payment("7.00", "sdk-6")))
    call("void credit", "VoidApi", "void_credit", void, credited.id)
    search = {"query": "clientReferenceInformation.code:sdk-1", "limit": 10, "offset": 0, "sort": "id:asc"}
    found = call("search", "SearchTransactionsApi", "create_search", json.dumps(search))
    call("get search", "SearchTransactionsApi", "get_search", found.search_id)
    call("get transaction", "TransactionDetailsApi", "get_transaction", authorized.id)
    call("decline", "PaymentsApi", "create_payment", json.dumps(payment("8.00", "sdk-7", number="4000000204000006")))
    call("invalid", "PaymentsApi", "create_payment", json.dumps(payment("-1.00", "sdk-8")))
    call("not found", "TransactionDetailsApi", "get_transaction", "1")
    sys.stdout.write(json.dumps({"results": results, "wire": wire}))


main()
