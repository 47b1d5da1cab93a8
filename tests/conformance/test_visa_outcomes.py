from __future__ import annotations

import asyncio
import csv
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shanraq.adapters.visa import VisaAdapter, VisaConfiguration, wire
from shanraq.adapters.visa.codes import APPROVED_CODES, REASON_OF_CODE, REASONS, REVIEW_CODES, card_type_of
from shanraq.adapters.visa.sign import Signer
from shanraq.core.errors import InvalidInputError
from shanraq.core.http import HttpClient
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
    NotFound,
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


RECORDED = [row for row in read("vectors/outcomes.json") if row["gateway"] == "cybersource"]
OUTCOMES = [row for row in RECORDED if row.get("http")]
TRANSPORT = {row["transport"]: row["expect"]["outcome"] for row in RECORDED if row.get("transport")}
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


@asynccontextmanager
async def adapter_before(answer: bytes | None) -> AsyncIterator[VisaAdapter]:
    """Give an adapter to a server that reads a request and writes these bytes and closes, or for None never answers."""
    release = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        if answer is None:
            await release.wait()
        else:
            writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    adapter = VisaAdapter(
        VisaConfiguration(f"http://127.0.0.1:{port}", "merchant", "key", Secret("c2VjcmV0"), timeout_seconds=0.2),
        HttpClient(),
    )
    try:
        async with server:
            yield adapter
            release.set()
    finally:
        await adapter.close()


@pytest.mark.parametrize(
    ("transport", "answer"),
    [("connection closed after the request was sent, no reply", b""), ("read timeout", None)],
)
async def test_a_request_that_was_sent_and_not_answered_is_unknown(transport: str, answer: bytes | None) -> None:
    async with adapter_before(answer) as adapter:
        command = command_of("authorize", Money.of(10221, "KZT"), "ord-1")
        assert isinstance(command, Authorize)
        outcome = await adapter.authorize(command)

    assert word_of(outcome, command.amount) == TRANSPORT[transport]


async def test_a_request_that_was_not_sent_is_not_processed() -> None:
    adapter = VisaAdapter(VisaConfiguration("http://127.0.0.1:9", "merchant", "key", Secret("c2VjcmV0")), HttpClient())
    command = command_of("authorize", Money.of(10221, "KZT"), "ord-1")
    assert isinstance(command, Authorize)
    outcome = await adapter.authorize(command)
    await adapter.close()

    assert word_of(outcome, command.amount) == TRANSPORT["connection refused before anything was sent"]
    assert isinstance(outcome, NotProcessed)
    assert outcome.retryable


async def test_an_answer_that_is_cut_off_is_unknown_though_its_beginning_can_be_read() -> None:
    declined = b'{"id":"1","status":"DECLINED","clientReferenceInformation":{"code":"ord-1"}}'
    head = b"HTTP/1.1 201 Created\r\nContent-Length: %d\r\n\r\n" % (len(declined) + 9)
    async with adapter_before(head + declined) as adapter:
        command = command_of("authorize", Money.of(10221, "KZT"), "ord-1")
        assert isinstance(command, Authorize)
        outcome = await adapter.authorize(command)

    assert isinstance(outcome, Unknown)


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


DOCUMENTED_REASONS = {
    reason
    for reasons in (
        ENUMS["errorReason201"]["createPayment"], ENUMS["errorReason201"]["decision"], *ENUMS["reason400"].values()
    )
    for reason in reasons
}  # fmt: skip


@pytest.mark.parametrize("reason", sorted(DOCUMENTED_REASONS))
def test_every_documented_reason_is_known(reason: str) -> None:
    assert reason in REASONS


def test_numeric_codes_are_those_of_the_service() -> None:
    rows = list(csv.DictReader(conformance_data("cards/cybersource/reason-codes.csv").read_text().splitlines()))
    decided = {row["legacy_code"]: row["reason"] for row in rows if row["proposed_class"] != "unknown_outcome"}
    undecided = {row["legacy_code"] for row in rows if row["proposed_class"] == "unknown_outcome"}

    assert {code: word for code, word in decided.items() if code and word} == {
        **REASON_OF_CODE,
        **dict.fromkeys(REVIEW_CODES, "DECISION_PROFILE_REVIEW"),
    }
    assert {code for code, word in decided.items() if code and not word} == APPROVED_CODES
    assert not undecided & (REASON_OF_CODE.keys() | APPROVED_CODES | REVIEW_CODES)


CARDS = [row for row in read("cybersource/test-cards.json") if row["brand"] not in ("", "elo")]
NOT_IN_OUR_RANGES = {"3337000000000008"}


@pytest.mark.parametrize("row", CARDS, ids=lambda row: str(row["number"]))
def test_card_types_are_those_of_the_test_cards(row: dict[str, Any]) -> None:
    kind = card_type_of(Pan(row["number"]))

    assert kind == (None if row["number"] in NOT_IN_OUR_RANGES else row["cardType"])


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


@pytest.mark.parametrize(
    ("operation", "status"),
    [(operation, status) for operation in ("capture", "refund", "reversal", "void")
     for status in ENUMS["status201"][operation]],
)  # fmt: skip
def test_every_documented_status_of_a_follow_on_has_an_outcome(operation: str, status: str) -> None:
    body = json.dumps({"id": "1", "status": status, "clientReferenceInformation": {"code": "r"}}).encode()

    outcome = wire.outcome_of(command_of(operation, Money.of(1, "KZT"), "r"), 201, body)

    assert not isinstance(outcome, Unknown)


@pytest.mark.parametrize("operation", ["authorize", "capture", "refund", "reversal", "void"])
@pytest.mark.parametrize("status", sorted({status for statuses in ENUMS["status201"].values() for status in statuses}))
@pytest.mark.parametrize(
    "reply", [{"id": "1", "clientReferenceInformation": {"code": "other"}}, {"clientReferenceInformation": {"code": "r"}},
              {"id": "1/../2", "clientReferenceInformation": {"code": "r"}}, {"id": "1"}],
)  # fmt: skip
def test_whatever_the_answer_to_another_request_says_is_unknown(
    operation: str, status: str, reply: dict[str, Any]
) -> None:
    body = json.dumps({"status": status, **reply}).encode()

    outcome = wire.outcome_of(command_of(operation, Money.of(1, "KZT"), "r"), 201, body)

    assert isinstance(outcome, Unknown)


def flat(reason: str) -> bytes:
    return json.dumps({"status": "INVALID_REQUEST", "reason": reason}).encode()


@pytest.mark.parametrize(
    ("reason", "outcome"),
    [
        ("INVALID_CARD", Declined),
        ("ACCOUNT_NOT_ALLOWED_CREDIT", Declined),
        ("CARD_TYPE_NOT_ACCEPTED", NotProcessed),
        ("PROCESSOR_UNAVAILABLE", NotProcessed),
        ("A_REASON_OF_TOMORROW", Unknown),
        ("DUPLICATE_REQUEST", Unknown),
    ],
)
def test_a_refused_request_is_a_decline_only_where_the_card_is_to_blame(reason: str, outcome: type[Outcome]) -> None:
    assert isinstance(wire.outcome_of(command_of("authorize", Money.of(1, "KZT"), "r"), 400, flat(reason)), outcome)


def test_only_a_processor_that_is_away_is_asked_again() -> None:
    asked = command_of("authorize", Money.of(1, "KZT"), "r")

    retryable = {
        reason
        for reason in REASONS
        if isinstance(outcome := wire.outcome_of(asked, 400, flat(reason)), NotProcessed) and outcome.retryable
    }

    assert retryable == {"PROCESSOR_UNAVAILABLE"}


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


@pytest.mark.parametrize(
    ("details", "held"),
    [
        ({}, "102.21"),
        ({"authorizedAmount": "50.00", "currency": "KZT"}, "50.00"),
        ({"authorizedAmount": "102.22", "currency": "KZT"}, None),
        ({"authorizedAmount": "0.00", "currency": "KZT"}, None),
        ({"authorizedAmount": "102.21", "currency": "USD"}, None),
    ],
)
def test_a_review_tells_what_is_held(details: dict[str, str], held: str | None) -> None:
    body = {
        "id": "1", "status": "AUTHORIZED_PENDING_REVIEW", "clientReferenceInformation": {"code": "r"},
        "orderInformation": {"amountDetails": details},
    }  # fmt: skip

    outcome = wire.outcome_of(command_of("authorize", Money.of(10221, "KZT"), "r"), 201, json.dumps(body).encode())

    assert (outcome.amount.decimal_text() if isinstance(outcome, InReview) else None) == held


@pytest.mark.parametrize(
    ("operation", "part", "name"),
    [("capture", "orderInformation", "totalAmount"), ("refund", "refundAmountDetails", "refundAmount"),
     ("reversal", "reversalAmountDetails", "reversedAmount"), ("void", "voidAmountDetails", "voidAmount")],
)  # fmt: skip
@pytest.mark.parametrize(("amount", "currency"), [("1.01", "KZT"), ("1.00", "USD"), ("1,00", "KZT"), ("", "KZT")])
def test_a_follow_on_of_another_amount_is_unknown(
    operation: str, part: str, name: str, amount: str, currency: str
) -> None:
    status = {"reversal": "REVERSED", "void": "VOIDED"}.get(operation, "PENDING")
    details: dict[str, Any] = {name: amount, "currency": currency}
    body = {"id": "1", "status": status, "clientReferenceInformation": {"code": "r"},
            part: {"amountDetails": details} if part == "orderInformation" else details}  # fmt: skip

    outcome = wire.outcome_of(command_of(operation, Money.of(100, "KZT"), "r"), 201, json.dumps(body).encode())

    assert isinstance(outcome, Unknown)
    assert name in outcome.detail or "currency" in outcome.detail


def test_a_decline_after_the_issuer_approved_asks_for_the_hold_to_be_released() -> None:
    body = {
        "id": "77", "status": "DECLINED", "errorInformation": {"reason": "AVS_FAILED"},
        "clientReferenceInformation": {"code": "r"}, "processorInformation": {"approvalCode": "831000"},
    }  # fmt: skip

    outcome = wire.outcome_of(command_of("authorize", Money.of(1, "KZT"), "r"), 201, json.dumps(body).encode())

    assert isinstance(outcome, Declined)
    assert (outcome.reason.code, outcome.reason.release) == ("avs_mismatch", True)


def test_a_risk_decline_asks_for_the_hold_to_be_released() -> None:
    body = b'{"id": "77", "status": "AUTHORIZED_RISK_DECLINED", "clientReferenceInformation": {"code": "r"}}'

    outcome = wire.outcome_of(command_of("authorize", Money.of(1, "KZT"), "r"), 201, body)

    assert isinstance(outcome, Declined)
    assert (outcome.reason.release, outcome.gateway_id) == (True, "77")


LOST = Lost("op_1", "r", OperationKind.AUTHORIZE, Money.of(1, "KZT"), datetime(2026, 1, 1, tzinfo=UTC))
AUTH, BILL = {"name": "ics_auth", "reasonCode": "100", "rCode": "1", "rFlag": "SOK"}, {
    "name": "ics_bill", "reasonCode": "100", "rCode": "1", "rFlag": "SOK"}  # fmt: skip
OK = {"reasonCode": "100", "rCode": "1", "rFlag": "SOK"}


def summary(results: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {
        "id": "71", "applicationInformation": results, "clientReferenceInformation": {"code": "r"},
        "orderInformation": {"amountDetails": {"totalAmount": "0.01", "currency": "KZT"}}, **changes,
    }  # fmt: skip


def found(*summaries: dict[str, Any], lost: Lost | None = None) -> Any:
    body = {"totalCount": len(summaries), "_embedded": {"transactionSummaries": summaries}}
    return wire.finding_of(lost or LOST, 201, json.dumps(body).encode())


@pytest.mark.parametrize(
    ("results", "expected"),
    [
        ({**OK, "applications": [AUTH]}, Approved),
        ({"applications": [AUTH]}, Approved),
        ({"applications": [{"name": "ics_auth", "reasonCode": "100"}]}, Approved),
        ({"status": None, **OK, "applications": [{**AUTH, "status": None, "rFlag": None}]}, Approved),
        (
            {"reasonCode": "204", "rCode": "0", "rFlag": "DCARDREFUSED", "applications": [{"name": "ics_auth"}]},
            Declined,
        ),
        ({"reasonCode": "777", "rCode": "0", "applications": [{"name": "ics_auth"}]}, Declined),
        ({"reasonCode": "480", "rCode": "0", "rFlag": "DREVIEW", "applications": [AUTH]}, InReview),
        ({"applications": [{"name": "ics_decision", "reasonCode": "480"}, AUTH]}, InReview),
        ({"applications": [{"name": "ics_auth"}]}, Unknown),
        ({"reasonCode": "151", "rCode": "-1", "rFlag": "ETIMEOUT", "applications": [{"name": "ics_auth"}]}, Unknown),
        ({"reasonCode": "777", "applications": [{"name": "ics_auth"}]}, Unknown),
        ({**OK, "rFlag": "ESYSTEM", "applications": [AUTH]}, Unknown),
        ({**OK, "applications": [{"name": "ics_pa_setup", "reasonCode": "100"}]}, NotFound),
        ({**OK, "applications": []}, NotFound),
    ],
)
def test_what_a_search_tells_of_an_authorisation(results: dict[str, Any], expected: type) -> None:
    assert isinstance(found(summary(results)), expected)


def test_a_search_tells_reason_and_hold_of_a_risk_decline() -> None:
    rejected = {"name": "ics_decision", "reasonCode": "481", "rCode": "0", "rFlag": "DREJECT"}

    finding = found(summary({"reasonCode": "481", "rCode": "0", "rFlag": "DREJECT", "applications": [rejected, AUTH]}))

    assert isinstance(finding, Declined)
    assert (finding.reason.code, finding.reason.release, finding.gateway_id) == ("risk_rejected", True, "71")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"clientReferenceInformation": {"code": "other"}}, NotFound),
        ({"clientReferenceInformation": {"code": "r", "transactionId": "op_2"}}, NotFound),
        ({"clientReferenceInformation": {"code": "r", "transactionId": "op_1"}}, Approved),
        ({"orderInformation": {"amountDetails": {}}}, Approved),
        ({"orderInformation": {"amountDetails": {"totalAmount": "0.02", "currency": "KZT"}}}, Unknown),
        ({"orderInformation": {"amountDetails": {"totalAmount": "0.01", "currency": "USD"}}}, Unknown),
        ({"id": "../71"}, Unknown),
    ],
)
def test_what_is_found_must_be_ours(change: dict[str, Any], expected: type) -> None:
    assert isinstance(found(summary({**OK, "applications": [AUTH]}, **change)), expected)


SALE = Lost("op_1", "r", OperationKind.AUTHORIZE, Money.of(1, "KZT"), LOST.sent_at, sale=True)
CAPTURE_LOST = Lost("op_1", "r", OperationKind.CAPTURE, Money.of(1, "KZT"), LOST.sent_at)
AUTHORIZED = summary({**OK, "applications": [AUTH]})
SOLD = summary({**OK, "applications": [BILL, AUTH]})
CAPTURED = summary({**OK, "applications": [BILL]})
REVERSED = summary({**OK, "applications": [{**AUTH, "name": "ics_auth_reversal"}]}, id="72")
VOIDED = summary({**OK, "applications": [{**AUTH, "name": "ics_void"}]}, id="72")
NOT_VOIDED = summary({"reasonCode": "246", "rCode": "0", "applications": [
    {"name": "ics_void", "reasonCode": "246", "rCode": "0"}]}, id="72")  # fmt: skip


@pytest.mark.parametrize(
    ("lost", "summaries", "expected"),
    [
        (LOST, [REVERSED, AUTHORIZED], wire.TakenBack),
        (SALE, [VOIDED, SOLD], wire.TakenBack),
        (CAPTURE_LOST, [CAPTURED, VOIDED], wire.TakenBack),
        (SALE, [SOLD], Approved),
        (SALE, [AUTHORIZED], Unknown),
        (SALE, [REVERSED, SOLD], Approved),
        (SALE, [NOT_VOIDED, SOLD], Approved),
        (LOST, [AUTHORIZED, AUTHORIZED], Approved),
        (LOST, [REVERSED, AUTHORIZED, AUTHORIZED], Unknown),
        (LOST, [REVERSED, REVERSED, AUTHORIZED, AUTHORIZED], wire.TakenBack),
        (LOST, [REVERSED], NotFound),
    ],
)
def test_what_was_taken_back_does_not_stand(lost: Lost, summaries: list[dict[str, Any]], expected: type) -> None:
    assert isinstance(found(*summaries, lost=lost), expected)


@pytest.mark.parametrize(
    ("status", "change", "approved"),
    [
        (200, {}, "0.01"),
        (404, {}, None),
        (200, {"clientReferenceInformation": {"code": "other"}}, None),
        (200, {"orderInformation": {"amountDetails": {"currency": "KZT"}}}, None),
        (200, {"orderInformation": {"amountDetails": {"authorizedAmount": "0.02", "currency": "KZT"}}}, None),
        (200, {"orderInformation": {"amountDetails": {"authorizedAmount": "0", "currency": "KZT"}}}, None),
    ],
)
def test_the_details_tell_how_much_was_approved(status: int, change: dict[str, Any], approved: str | None) -> None:
    body = {
        "id": "71", "reconciliationId": "R", "clientReferenceInformation": {"code": "r"},
        "orderInformation": {"amountDetails": {"authorizedAmount": "0.01", "currency": "KZT"}},
        "processorInformation": {"approvalCode": "888888", "transactionId": "N"}, **change,
    }  # fmt: skip

    detail = wire.detail_of(LOST, Approved("71", LOST.amount), status, json.dumps(body).encode())

    if approved is None:
        assert isinstance(detail, Unknown)
    else:
        assert detail == Approved("71", Money.parse(approved, Currency.of("KZT")), "888888", "N", "R")


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (201, {"id": "5", "status": "REVERSED", "clientReferenceInformation": {"code": "r"}}, Approved),
        (201, {"id": "5", "status": "VOIDED", "clientReferenceInformation": {"code": "r"}}, Approved),
        (201, {"id": "5", "status": "REVERSED", "clientReferenceInformation": {"code": "other"}}, Unknown),
        (201, {"id": "5", "status": "PENDING", "clientReferenceInformation": {"code": "r"}}, Unknown),
        (201, {"id": "5", "status": "FAILED", "clientReferenceInformation": {"code": "r"}}, type(None)),
        (400, {"status": "INVALID_REQUEST", "reason": "AUTH_ALREADY_REVERSED"}, Approved),
        (400, {"status": "INVALID_REQUEST", "reason": "MISSING_AUTH"}, NotFound),
        (400, {"status": "INVALID_REQUEST", "reason": "NOT_VOIDABLE"}, type(None)),
        (400, {"status": "INVALID_REQUEST", "reason": "INVALID_DATA"}, type(None)),
        (400, {}, Unknown),
        (401, {}, Unknown),
        (404, {}, NotFound),
        (502, {"status": "SERVER_ERROR"}, Unknown),
    ],
)
def test_what_the_answer_to_an_undo_means(status: int, body: dict[str, Any], expected: type) -> None:
    assert isinstance(wire.undone_of(LOST, status, json.dumps(body).encode()), expected)


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
    wire.detail_of(LOST, Approved("1", LOST.amount), status, body)


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

    _, _, body = wire.request_of(command)

    for path in paths_of(json.loads(body)):
        assert path in documented, path
        value = json.loads(body)
        for name in path.split("."):
            value = value[name]
        limit = documented[path]
        assert limit is None or len(str(value)) <= limit, (path, value)
        assert value != ""


def test_undo_and_search_use_documented_fields() -> None:
    documented = {row[0] for row in read("cybersource/fields/mitReversal.json")["request"]["fields"]}
    assert paths_of(json.loads(wire.release_of(SALE)[1])) <= documented
    for kind, sale, table in ((OperationKind.AUTHORIZE, False, "mitReversal"), (OperationKind.AUTHORIZE, True, "mitVoid"),
                              (OperationKind.CAPTURE, False, "mitVoid")):  # fmt: skip
        lost = Lost("op_1", "r", kind, Money.of(1, "KZT"), LOST.sent_at, sale)
        documented = {row[0] for row in read(f"cybersource/fields/{table}.json")["request"]["fields"]}

        assert paths_of(json.loads(wire.undo_of(lost)[1])) <= documented
    searched = {row[0] for row in read("cybersource/fields/createSearch.json")["request"]["fields"]}
    assert paths_of(json.loads(wire.search_of(LOST)[1])) <= searched
