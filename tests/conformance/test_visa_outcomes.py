from __future__ import annotations

import csv
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shanraq.adapters.visa import wire
from shanraq.adapters.visa.codes import REASONS
from shanraq.adapters.visa.sign import Signer
from shanraq.core.errors import InvalidInputError
from shanraq.core.money import Currency, Money
from shanraq.core.secret import Pan, Secret, SecurityCode
from shanraq.payments.adapter import (
    Approved,
    Authorize,
    Billing,
    Capture,
    Card,
    Command,
    DeclineClass,
    Declined,
    InReview,
    Lost,
    NotProcessed,
    OperationKind,
    Outcome,
    Refund,
    Reverse,
    Unknown,
    Void,
)
from tests.conformance.data import conformance_data


def read(path: str) -> Any:
    return json.loads(conformance_data(f"cards/{path}").read_text())


OUTCOMES = [row for row in read("vectors/outcomes.json") if row["gateway"] == "cybersource" and row.get("http")]
TOKENS = [row for row in read("vectors/jwt.json")["outbound"] if row["alg"] == "HS256"]
KEYS = read("vectors/keys.json")
ENUMS = read("cybersource/enums.json")
CARD = Card(Pan("4111111111111111"), 12, 2031, SecurityCode("123"))


def command_of(operation: str, amount: Money, reference: str) -> Command:
    match operation:
        case "authorize" | "sale":
            return Authorize("op_1", reference, amount, CARD, capture=operation == "sale")
        case "capture":
            return Capture("op_1", reference, "7000000000000000000001", amount)
        case "refund":
            return Refund("op_1", reference, "7000000000000000000003", amount)
        case "void":
            return Void("op_1", reference, OperationKind.CAPTURE, "7000000000000000000003", amount)
        case "reversal":
            return Reverse("op_1", reference, "7000000000000000000001", amount)
        case _:
            raise AssertionError(operation)


def word_of(outcome: Outcome, asked: Money) -> str:
    match outcome:
        case Approved(_, amount):
            return "approved" if amount == asked else "partially_approved"
        case Declined(reason):
            return "authentication_required" if reason.kind is DeclineClass.AUTHENTICATION_REQUIRED else "declined"
        case InReview():
            return "review"
        case NotProcessed(reason):
            return "auth_error" if reason.gateway_reason == "authentication failed" else "not_processed"
        case Unknown():
            return "unknown"


@pytest.mark.parametrize("row", OUTCOMES, ids=lambda row: str(row["id"]))
def test_replies_mean_what_they_mean(row: dict[str, Any]) -> None:
    request, http, expected = row["request"], row["http"], row["expect"]
    asked = Money.parse(request["amount"], Currency.of(request["currency"]))
    command = command_of(row["operation"], asked, request["code"])

    outcome = wire.outcome_of(command, http["status"], (http["body"] or "").encode())

    wanted = {"accepted": "approved"}.get(expected["outcome"], expected["outcome"])
    assert word_of(outcome, asked) == wanted, outcome
    if "authorizedAmount" in expected:
        assert isinstance(outcome, Approved)
        assert outcome.amount.decimal_text() == expected["authorizedAmount"]
    if "reason" in expected:
        assert isinstance(outcome, Declined)
        assert outcome.reason.gateway_reason == expected["reason"]


@pytest.mark.parametrize("row", TOKENS, ids=lambda row: str(row["id"]))
def test_tokens_are_those_of_the_official_client(row: dict[str, Any]) -> None:
    key = KEYS["sharedSecret"]
    signer = Signer(row["merchantId"], key["keyId"], Secret(key["secretBase64"]), row.get("portfolioId"))
    body = (row["body"] or "").encode()

    token = signer.token(row["method"], row["host"], row["target"], body, issued_at=row["iat"], token_id=row["jti"])

    assert token == row["expect"]["token"]


def test_a_secret_that_is_not_base64_is_refused_without_showing_it() -> None:
    with pytest.raises(InvalidInputError) as refused:
        Signer("merchant", "key", Secret("not base64!"))

    assert "base64!" not in str(refused.value)
    assert "c2VjcmV0" not in repr(Signer("merchant", "key", Secret("c2VjcmV0")))


@pytest.mark.parametrize("reason", sorted({*ENUMS["errorReason201"]["createPayment"], *ENUMS["reason400"]["payment"],
    *ENUMS["reason400"]["capture"], *ENUMS["reason400"]["refund"]}))  # fmt: skip
def test_every_documented_reason_is_known(reason: str) -> None:
    assert reason in REASONS


def test_classes_and_codes_are_those_of_the_taxonomy() -> None:
    rows = csv.DictReader(conformance_data("cards/cybersource/reason-codes.csv").read_text().splitlines())
    compared = 0
    for row in rows:
        if row["reason"] in REASONS and row["proposed_class"] in {kind.value for kind in DeclineClass}:
            code, kind, advice = REASONS[row["reason"]]
            assert (code, kind, advice) == (row["proposed_code"], row["proposed_class"], row["proposed_action"]), row
            compared += 1
    assert compared > 25


@pytest.mark.parametrize("status", ENUMS["status201"]["createPayment"])
def test_every_documented_status_of_a_payment_has_an_outcome(status: str) -> None:
    asked = Money.of(10221, "KZT")
    authorized = "51.10" if status == "PARTIAL_AUTHORIZED" else "102.21"
    body = {
        "id": "1", "status": status, "clientReferenceInformation": {"code": "r"},
        "orderInformation": {"amountDetails": {"authorizedAmount": authorized, "currency": "KZT"}},
    }  # fmt: skip

    outcome = wire.outcome_of(command_of("authorize", asked, "r"), 201, json.dumps(body).encode())

    assert not isinstance(outcome, Unknown)


def test_a_status_nobody_documented_is_unknown() -> None:
    body = b'{"id": "1", "status": "SETTLED_BY_MAGIC", "clientReferenceInformation": {"code": "r"}}'

    assert isinstance(wire.outcome_of(command_of("authorize", Money.of(1, "KZT"), "r"), 201, body), Unknown)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"clientReferenceInformation": {"code": "other"}}, "clientReferenceInformation.code"),
        ({"orderInformation": {"amountDetails": {"authorizedAmount": "102.21", "currency": "USD"}}}, "currency"),
        (
            {"orderInformation": {"amountDetails": {"authorizedAmount": "102.22", "currency": "KZT"}}},
            "authorizedAmount",
        ),
        ({"orderInformation": {"amountDetails": {"authorizedAmount": "50.00", "currency": "KZT"}}}, "authorizedAmount"),
        ({"orderInformation": {"amountDetails": {"authorizedAmount": "1e2", "currency": "KZT"}}}, "amount"),
        ({"id": ""}, "id"),
    ],
)
def test_a_reply_that_contradicts_the_request_is_unknown(change: dict[str, Any], field: str) -> None:
    body = {
        "id": "1", "status": "AUTHORIZED", "clientReferenceInformation": {"code": "r"},
        "orderInformation": {"amountDetails": {"authorizedAmount": "102.21", "currency": "KZT"}}, **change,
    }  # fmt: skip

    outcome = wire.outcome_of(command_of("authorize", Money.of(10221, "KZT"), "r"), 201, json.dumps(body).encode())

    assert isinstance(outcome, Unknown)
    assert field in outcome.detail


def test_a_risk_decline_asks_for_the_hold_to_be_released() -> None:
    body = b'{"id": "77", "status": "AUTHORIZED_RISK_DECLINED", "clientReferenceInformation": {"code": "r"}}'

    outcome = wire.outcome_of(command_of("authorize", Money.of(1, "KZT"), "r"), 201, body)

    assert isinstance(outcome, Declined)
    assert (outcome.reason.release, outcome.gateway_id) == (True, "77")


LOST = Lost("op_1", "r", OperationKind.AUTHORIZE, Money.of(1, "KZT"), datetime(2026, 1, 1, tzinfo=UTC))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["id", "status", "reason", "errorInformation", "clientReferenceInformation", "_embedded", "code",
                         "orderInformation", "amountDetails", "transactionSummaries", "totalCount", "applications"]),
        inner, max_size=5),
    max_leaves=12,
)  # fmt: skip


@given(
    st.sampled_from([200, 201, 204, 302, 400, 401, 404, 418, 429, 500, 502, 503]),
    JSON.map(lambda v: json.dumps(v).encode()) | st.binary(),
)
def test_no_reply_whatever_makes_the_reader_raise(status: int, body: bytes) -> None:
    for operation in ("authorize", "capture", "refund", "void", "reversal"):
        outcome = wire.outcome_of(command_of(operation, Money.of(1, "KZT"), "r"), status, body)

        assert isinstance(outcome, Approved | Declined | InReview | NotProcessed | Unknown)
    wire.finding_of(LOST, status, body)
    wire.undone_of(LOST, status, body)
    wire.partial_amount_of(LOST, body)


def paths_of(value: Any, prefix: str = "") -> set[str]:
    if isinstance(value, dict):
        return {path for name, item in value.items() for path in paths_of(item, f"{prefix}.{name}" if prefix else name)}
    return {prefix}


@pytest.mark.parametrize(
    ("operation", "table"),
    [("authorize", "createPayment"), ("sale", "createPayment"), ("capture", "capturePayment"), ("refund", "refundCapture"),
     ("void", "voidCapture"), ("reversal", "authReversal")],
)  # fmt: skip
def test_requests_use_documented_fields_within_their_lengths(operation: str, table: str) -> None:
    rows = read(f"cybersource/fields/{table}.json")["request"]["fields"]
    documented = {row[0]: row[2] for row in rows}
    command = command_of(operation, Money.of(10**15, "KZT"), "pay_01JDK7ZC3V0X2Q9M5R8T6W4Y1B")
    if isinstance(command, Authorize):
        billing = Billing("Айгерім", "Т" * 60, "a@b.kz", "+77010000000", "Абая 1", "Алматы", "050000", "Алматы", "KZ")
        command = Authorize(command.operation_id, command.reference, command.amount, CARD, command.capture, billing)

    _, body = wire.request_of(command)

    for path in paths_of(json.loads(body)):
        assert path in documented, path
        value = json.loads(body)
        for name in path.split("."):
            value = value[name]
        limit = documented[path]
        assert limit is None or len(str(value)) <= limit, (path, value)
        assert value != ""


def test_undo_and_search_use_documented_fields() -> None:
    for kind, sale, table in ((OperationKind.AUTHORIZE, False, "mitReversal"), (OperationKind.AUTHORIZE, True, "mitVoid"),
                              (OperationKind.CAPTURE, False, "mitVoid")):  # fmt: skip
        lost = Lost("op_1", "r", kind, Money.of(1, "KZT"), LOST.sent_at, sale)
        documented = {row[0] for row in read(f"cybersource/fields/{table}.json")["request"]["fields"]}

        assert paths_of(json.loads(wire.undo_of(lost)[1])) <= documented
    searched = {row[0] for row in read("cybersource/fields/createSearch.json")["request"]["fields"]}
    assert paths_of(json.loads(wire.search_of(LOST)[1])) <= searched
