"""The Visa simulator against outside facts: signed vectors, triggers, test cards, field tables, statuses and reasons."""

from __future__ import annotations

import json
import re
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest

from shanraq.simulators.serve import Request
from shanraq.simulators.visa import VisaCredentials, VisaSimulator
from shanraq.simulators.visa.currency import MINOR_DIGITS, decimal_text, minor_units
from shanraq.simulators.visa.mle import Envelopes
from shanraq.simulators.visa.model import Refusal
from shanraq.simulators.visa.verify import Identity, NotAuthenticError, Scheme, Verifier, keys_of
from tests.conformance.data import conformance_data
from tests.simulators.visa.client import Merchant, order, payment, reversal


def load(path: str) -> Any:
    return json.loads(conformance_data(f"cards/{path}").read_bytes())


KEYS = load("vectors/keys.json")
TRIGGERS = load("cybersource/triggers.json")
AMOUNTS = load("vectors/amounts.json")
ENUMS = load("cybersource/enums.json")
INBOUND = [*load("vectors/jwt.json")["inbound"], *load("vectors/http-signature.json")["inbound"]]
# The service sends it although the field tables know it by another name.
ONLY_OF_THE_LIVE_SERVICE = {"_links.authReversal.href", "_links.authReversal.method"}


def verifier_at(now: float) -> Verifier:
    own, other = KEYS["sharedSecret"], KEYS["otherMerchantSharedSecret"]
    credentials = VisaCredentials(
        own["merchantId"],
        own["keyId"],
        own["secretBase64"],
        other["merchantId"],
        other["keyId"],
        other["secretBase64"],
        merchant_cert=KEYS["p12"]["certificatePem"],
        p12_serial=KEYS["p12"]["certificateSubjectSerialNumber"],
    )
    return Verifier(keys_of(credentials), ["apitest.cybersource.com"], lambda: now)


@pytest.mark.parametrize("vector", INBOUND, ids=lambda vector: str(vector["id"]))
def test_requests_are_accepted_or_refused_as_the_vectors_say(vector: dict[str, Any]) -> None:
    sent = vector["request"]
    request = Request(
        sent["method"],
        sent["target"],
        {name.lower(): value for name, value in sent["headers"].items()},
        (sent["body"] or "").encode(),
    )
    verifier = verifier_at(vector["now"])
    if "afterAccepting" in vector:
        verifier.verify(request)

    if vector["expect"]["accept"]:
        assert verifier.verify(request).merchant_id == vector["expect"]["merchantId"]
    else:
        with pytest.raises(NotAuthenticError):
            verifier.verify(request)


@pytest.fixture(scope="module")
def envelopes() -> Envelopes:
    own, other = KEYS["sharedSecret"], KEYS["otherMerchantSharedSecret"]
    credentials = VisaCredentials(
        own["merchantId"],
        own["keyId"],
        own["secretBase64"],
        other["merchantId"],
        other["keyId"],
        other["secretBase64"],
        mle_serial=KEYS["requestMle"]["certificateSubjectSerialNumber"],
        mle_request_key=KEYS["requestMle"]["privateKeyPem"],
        mle_request_cert=KEYS["requestMle"]["certificatePem"],
    )
    return Envelopes(credentials, time.time)


IDENTITY = Identity(KEYS["merchantId"], Scheme.JWT)


@pytest.mark.parametrize(
    "vector",
    [vector for vector in load("vectors/mle.json") if vector["direction"] == "request"],
    ids=lambda vector: str(vector["id"]),
)
def test_requests_are_decrypted_or_refused_as_the_vectors_say(envelopes: Envelopes, vector: dict[str, Any]) -> None:
    request = Request("POST", "/pts/v2/payments", {}, vector["body"].encode())

    if vector["expect"]["ok"]:
        assert envelopes.open(IDENTITY, request).body.decode() == vector["expect"]["plaintext"]
    else:
        with pytest.raises(Refusal) as refused:
            envelopes.open(IDENTITY, request)
        assert refused.value.status == 400


@pytest.mark.parametrize(
    "operation",
    [one for one in load("cybersource/operations.json") if one["method"] in {"POST", "PUT", "PATCH"}],
    ids=lambda operation: f"{operation['method']} {operation['path']}",
)
def test_requests_may_or_must_be_encrypted_as_the_operation_says(
    envelopes: Envelopes, operation: dict[str, Any]
) -> None:
    target = operation["path"].replace("{", "").replace("}", "")
    encrypted = next(one["body"] for one in load("vectors/mle.json") if one["id"] == "mle-request-a-0")

    def is_taken(body: str) -> bool:
        try:
            envelopes.open(IDENTITY, Request(operation["method"], target, {}, body.encode()))
        except Refusal:
            return False
        return True

    if not target.startswith("/oauth2/"):  # a form, and answered by another server
        policy = operation["requestMle"]
        assert (is_taken("{}"), is_taken(encrypted)) == (policy != "mandatory", policy != "none")


@pytest.mark.parametrize("vector", AMOUNTS["valid"], ids=lambda vector: f"{vector['decimal']} {vector['currency']}")
def test_amounts_are_read_and_written_exactly(vector: dict[str, Any]) -> None:
    digits = MINOR_DIGITS[vector["currency"]]

    assert minor_units(vector["decimal"], digits) == vector["minor"]
    assert decimal_text(vector["minor"], vector["currency"]) == vector["decimal"]


@pytest.fixture
async def simulator() -> AsyncIterator[VisaSimulator]:
    async with VisaSimulator(VisaCredentials.generate(), index_lag_seconds=0) as running:
        yield running


@pytest.fixture
async def merchant(simulator: VisaSimulator) -> AsyncIterator[Merchant]:
    known = simulator.credentials
    client = Merchant(simulator.base_url, known.merchant_id, known.key_id, known.secret)
    yield client
    await client.http.aclose()


@pytest.mark.parametrize("trigger", TRIGGERS, ids=lambda trigger: f"{trigger['trigger']} {trigger['match']}")
async def test_triggers_answer_as_listed(merchant: Merchant, trigger: dict[str, Any]) -> None:
    expected = trigger["expect"]
    match = trigger["match"]
    options = {"card": {"number": match}, "postalCode": {"postal_code": match}, "amount": {"amount": match}}

    if "connection" in expected:
        with pytest.raises(httpx.RemoteProtocolError):
            await merchant.authorize(**options[trigger["trigger"]], transaction_id="t-1")
        (summary,) = await merchant.search("clientReferenceInformation.transactionId:t-1")
        assert summary["applicationInformation"]["rFlag"] == "SOK"
        return
    reply = await merchant.authorize(**options[trigger["trigger"]])

    body = reply.json()
    reason = body.get("reason") or body.get("errorInformation", {}).get("reason")
    assert (reply.status_code, body["status"]) == (expected["http"], expected["status"])
    assert reason == expected.get("reason", reason)
    if expected.get("authorizedLessThanTotal"):
        assert 0 < float(body["orderInformation"]["amountDetails"]["authorizedAmount"]) < float(match)


async def test_every_public_test_card_is_approved_but_the_one_that_is_listed_as_declined(merchant: Merchant) -> None:
    for card in load("cybersource/test-cards.json"):
        if card.get("scenario") == "decline":
            continue
        reply = await merchant.authorize(
            number=card["number"], card_type=card["cardType"], security_code=card.get("securityCode", "123")
        )
        assert (reply.status_code, reply.json()["status"]) == (201, "AUTHORIZED"), card["number"]


async def test_cards_that_check_the_security_code_refuse_another_one(merchant: Merchant) -> None:
    for card in load("cybersource/test-cards.json"):
        if "securityCode" in card:
            reply = await merchant.authorize(number=card["number"], security_code="999")
            assert reply.json()["errorInformation"]["reason"] == "CVN_NOT_MATCH"


async def test_amounts_that_are_none_are_refused_or_cut(merchant: Merchant) -> None:
    for vector in AMOUNTS["invalid"]:
        reply = await merchant.authorize(vector["decimal"], currency=vector["currency"])
        if re.fullmatch(r"[0-9.]+", vector["decimal"]) and vector["currency"] in MINOR_DIGITS:
            assert vector["decimal"].startswith(reply.json()["orderInformation"]["amountDetails"]["authorizedAmount"])
        else:
            assert (reply.status_code, reply.json()["reason"]) == (400, "INVALID_DATA"), vector


def paths_of(value: object, path: str = "") -> Iterator[str]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from paths_of(inner, f"{path}.{name}" if path else name)
    elif isinstance(value, list):
        for inner in value:
            yield from paths_of(inner, f"{path}[]")
    else:
        yield path


def unknown_paths(operation: str, reply: httpx.Response) -> set[str]:
    table = load(f"cybersource/fields/{operation}.json")["responses"][str(reply.status_code)]
    known = {row[0] for row in table["fields"]}
    return set(paths_of(reply.json())) - known - ONLY_OF_THE_LIVE_SERVICE


async def test_replies_have_only_known_paths_and_statuses(merchant: Merchant) -> None:
    statuses = ENUMS["status201"]
    payment_id = (authorized := await merchant.authorize("90.00", transaction_id="t-1")).json()["id"]
    captured = await merchant.capture(payment_id, "40.00")
    capture_id = captured.json()["id"]
    increment = order("1")
    increment["orderInformation"]["amountDetails"] = {"additionalAmount": "20.00", "currency": "KZT"}
    void = {"clientReferenceInformation": {"code": "v", "transactionId": "t-2"}}

    replies = [
        ("createPayment", "createPayment", authorized),
        ("createPayment", "createPayment", await merchant.authorize(sale=True)),
        ("createPayment", "createPayment", await merchant.authorize("7012.00")),
        ("createPayment", "createPayment", await merchant.authorize("8150.01")),
        ("createPayment", "createPayment", await merchant.authorize("x")),
        *[
            ("createPayment", "createPayment", await merchant.authorize(number=trigger["match"]))
            for trigger in [*TRIGGERS, {"trigger": "card", "match": "4000000482000009"}]
            if trigger["trigger"] == "card"
        ],
        ("incrementAuth", "incrementAuth", await merchant.send("PATCH", f"/pts/v2/payments/{payment_id}", increment)),
        ("capturePayment", "capture", captured),
        ("capturePayment", "capture", await merchant.capture(payment_id, "1000.00")),
        ("refundCapture", "refund", await merchant.refund(capture_id, "15.00", transaction_id="t-2")),
        ("refundCapture", "refund", await merchant.refund(capture_id, "1000.00")),
        ("mitVoid", "void", await merchant.post("/pts/v2/voids", void)),
        ("mitVoid", "void", await merchant.post("/pts/v2/voids", void)),
        ("voidCapture", "void", await merchant.void("captures", capture_id)),
        ("voidCapture", "void", await merchant.void("captures", capture_id)),
        ("mitReversal", "reversal", await merchant.post("/pts/v2/reversals", reversal("10.00", "t-1"))),
        ("authReversal", "reversal", await merchant.reverse(payment_id, "100.00")),
        ("authReversal", "reversal", await merchant.reverse(payment_id, "100.00")),
        ("createCredit", "credit", await merchant.post("/pts/v2/credits", payment("5.00"))),
    ]

    for operation, kind, reply in replies:
        assert unknown_paths(operation, reply) == set(), operation
        body = reply.json()
        if reply.status_code == 201:
            assert body["status"] in statuses[kind]
            if "errorInformation" in body:
                assert body["errorInformation"]["reason"] in ENUMS["errorReason201"]["createPayment"]
        elif reply.status_code == 400:
            assert body["reason"] in ENUMS["reason400"]["payment" if kind == "createPayment" else kind]
        else:
            assert (body["status"], body["reason"] in ENUMS["reason502"]) == ("SERVER_ERROR", True)


async def test_search_and_details_have_only_known_paths(merchant: Merchant) -> None:
    payment_id = (await merchant.authorize(transaction_id="t-1")).json()["id"]
    await merchant.capture(payment_id)
    search = await merchant.post("/tss/v2/searches", {"query": "clientReferenceInformation.code:order-1"})
    again = await merchant.get(f"/tss/v2/searches/{search.json()['searchId']}")
    details = await merchant.get(f"/tss/v2/transactions/{payment_id}")

    # The transaction id is in summaries beyond the field table, so that operations of one order can be told apart.
    beyond = "clientReferenceInformation.transactionId"
    assert unknown_paths("createSearch", search) == {f"_embedded.transactionSummaries[].{beyond}"}
    assert unknown_paths("getSearch", again) == {f"_embedded.transactionSummaries[].{beyond}"}
    assert unknown_paths("getTransaction", details) == {beyond}
