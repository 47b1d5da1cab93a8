from __future__ import annotations

import csv
import itertools
import json
import re
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shanraq.adapters.mastercard import replies, threeds
from shanraq.adapters.mastercard.codes import ADDRESS_LETTERS, DECLINES, Meaning, decline_of, meaning_of
from shanraq.adapters.mastercard.replies import Expected
from shanraq.adapters.mastercard.requests import (
    Charge,
    Sent,
    Session,
    Token,
    authentication_of,
    initiation_of,
    request_of,
    undo_id,
)
from shanraq.core.money import Currency, InvalidAmountError, Money, UnknownCurrencyError
from shanraq.core.secret import Pan, SecurityCode
from shanraq.payments.adapter import (
    Advice,
    Approved,
    Authenticate,
    Authenticated,
    Authorize,
    Billing,
    Capture,
    Card,
    Credit,
    DeclineClass,
    Declined,
    Device,
    Increment,
    Initiator,
    InReview,
    MerchantReason,
    NotFound,
    NotProcessed,
    OperationKind,
    Outcome,
    Refund,
    Reverse,
    RiskDecision,
    StartAuthentication,
    StoredCredential,
    Unknown,
    Verify,
    Void,
)
from tests.conformance.data import conformance_data


def read(path: str) -> Any:
    return json.loads(conformance_data(f"cards/{path}").read_text())


def rows_of(path: str) -> list[dict[str, str]]:
    with conformance_data(f"cards/{path}").open() as file:
        return list(csv.DictReader(file))


RECORDED = [row for row in read("vectors/outcomes.json") if row["gateway"] == "mpgs" and row.get("http")]
CODES = rows_of("mpgs/gateway-codes.csv")
ENUMS = read("mpgs/enums.json")
AMOUNTS = read("vectors/amounts.json")
CARD = Card(Pan("5123450000000008"), 1, 2039, SecurityCode("100"))
KZT = Currency.of("KZT")
ASKED = Money.of(654_000, "KZT")
AUTHORIZE = Authorize("1", "ord-1", ASKED, CARD)
PAY = Authorize("1", "ord-1", ASKED, CARD, capture=True)
TYPES = {
    Capture: "CAPTURE", Refund: "REFUND", Void: "VOID_CAPTURE", Reverse: "VOID_AUTHORIZATION", Credit: "REFUND",
    Increment: "AUTHORIZATION_UPDATE", Verify: "VERIFICATION",
}  # fmt: skip
COMMANDS: list[Sent] = [
    AUTHORIZE,
    PAY,
    Capture("1", "ord-1", "0", ASKED),
    Refund("1", "ord-1", "0", ASKED),
    Void("1", "ord-1", OperationKind.CAPTURE, "0", ASKED),
    Reverse("1", "ord-1", "0", ASKED),
    Credit("1", "ord-1", ASKED, CARD),
    Increment("1", "ord-1", "0", Money.of(4_000, "KZT"), ASKED),
    Verify("1", "ord-1", Money.of(0, "KZT"), CARD),
]


def type_of(command: Sent) -> str:
    if isinstance(command, Authorize | Charge):
        return "PAYMENT" if command.capture else "AUTHORIZATION"
    return TYPES[type(command)]


def reply_to(command: Sent, code: str = "APPROVED", result: str = "SUCCESS", **changes: Any) -> dict[str, Any]:
    body: dict[str, Any] = {
        "gatewayEntryPoint": "WEB_SERVICES_API", "merchant": "TESTMID", "version": "100", "result": result,
        "order": {"id": "ord-1", "amount": 6540.0, "currency": "KZT", "status": "AUTHORIZED",
                  "totalAuthorizedAmount": 6540.0, "totalCapturedAmount": 0},
        "response": {"gatewayCode": code},
        "transaction": {"id": "1", "type": type_of(command), "amount": 6540.00, "currency": "KZT"},
    }  # fmt: skip
    for path, value in changes.items():
        node = body
        *way, last = path.split("__")
        for name in way:
            node = node.setdefault(name, {})
        if value is None:
            node.pop(last, None)
        else:
            node[last] = value
    return body


def outcome_of(command: Sent, body: Any, status: int = 201) -> Outcome:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return replies.outcome_of(Expected.of("TESTMID", command), status, content)


def word_of(outcome: Outcome, asked: Money) -> str:
    match outcome:
        case Approved(_, amount):
            return "approved" if amount == asked else "partially_approved"
        case Declined():
            return "declined"
        case InReview():
            return "review"
        case NotProcessed(reason):
            return "auth_error" if reason.gateway_reason == "authentication failed" else "not_processed"
        case Unknown():
            return "unknown"


@pytest.mark.parametrize("row", RECORDED, ids=lambda row: str(row["id"]))
def test_replies_mean_what_they_mean(row: dict[str, Any]) -> None:
    request, http, expected = row["request"], row["http"], row["expect"]
    asked = Money.parse(request["amount"], Currency.of(request["currency"]))
    command = Authorize(request["transactionId"], request["orderId"], asked, CARD, capture=row["operation"] == "PAY")

    outcome = outcome_of(command, (http["body"] or "").encode(), http["status"])

    assert word_of(outcome, asked) == expected["outcome"], outcome
    if "authorizedAmount" in expected:
        assert isinstance(outcome, Approved)
        assert outcome.amount == Money.parse(expected["authorizedAmount"], asked.currency)
    if "reason" in expected:
        assert isinstance(outcome, Declined)
        assert outcome.reason.gateway_reason == expected["reason"]
    if "retryable" in expected:
        assert isinstance(outcome, NotProcessed)
        assert outcome.retryable is expected["retryable"]


MEANINGS = {
    "approved": Meaning.APPROVED,
    "partially_approved": Meaning.PARTLY_APPROVED,
    "declined": Meaning.DECLINED,
    "not_processed": Meaning.NOT_PROCESSED,
    "unknown": Meaning.UNDECIDED,
    "pending": Meaning.UNDECIDED,
    "information": Meaning.OTHER,
    "authentication": Meaning.OTHER,
}


@pytest.mark.parametrize("row", CODES, ids=lambda row: str(row["gatewayCode"]))
def test_every_gateway_code_has_its_meaning_class_and_code(row: dict[str, str]) -> None:
    code = row["gatewayCode"]

    assert meaning_of(code) is MEANINGS[row["outcome"]]
    if row["outcome"] == "declined":
        reason = decline_of(code)
        assert (reason.kind, reason.code) == (row["proposed_class"], row["proposed_code"])
        assert reason.gateway_reason == code


def test_the_table_of_codes_is_the_whole_table() -> None:
    documented = [row["gatewayCode"] for row in CODES if row["listed_in_v100_reference"] == "yes"]

    assert len(documented) == 37
    assert set(DECLINES) == {row["gatewayCode"] for row in CODES if row["outcome"] == "declined"}
    assert meaning_of("SOMETHING_NEW") is None


@pytest.mark.parametrize("row", CODES, ids=lambda row: str(row["gatewayCode"]))
def test_only_success_with_an_approving_code_is_approved(row: dict[str, str]) -> None:
    code, meaning = row["gatewayCode"], MEANINGS[row["outcome"]]
    for command, result in itertools.product(COMMANDS, ENUMS["result"]):
        outcome = outcome_of(command, reply_to(command, code, result))

        match result, meaning:
            case "SUCCESS", Meaning.APPROVED:
                assert isinstance(outcome, Approved)
                assert outcome.amount == Expected.of("TESTMID", command).amount
            case "FAILURE", Meaning.DECLINED:
                assert isinstance(outcome, Declined)
            case "FAILURE", Meaning.NOT_PROCESSED:
                assert isinstance(outcome, NotProcessed)
                assert outcome.retryable
            case _:
                assert isinstance(outcome, Unknown), (command, result)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"merchant": "OTHER"}, "merchant"),
        ({"order__id": "ord-2"}, "order.id"),
        ({"order__id": None}, "order.id"),
        ({"order__currency": "USD"}, "order.currency"),
        ({"transaction__id": "2"}, "transaction.id"),
        ({"transaction__id": None}, "transaction.id"),
        ({"transaction__type": "CAPTURE"}, "transaction.type"),
        ({"transaction__type": None}, "transaction.type"),
        ({"transaction__currency": "USD"}, "transaction.currency"),
        ({"transaction__amount": 6540.01}, "transaction.amount"),
        ({"transaction__amount": 6539.99}, "transaction.amount"),
        ({"transaction__amount": None}, "transaction.amount"),
        ({"transaction__amount": -6540}, "transaction.amount"),
        ({"transaction__amount": 6540.001}, "transaction.amount"),
        ({"order__totalAuthorizedAmount": 6539}, "order.totalAuthorizedAmount"),
        ({"correlationId": "2"}, "correlationId"),
    ],
)
def test_a_reply_that_contradicts_its_request_is_unknown(changes: dict[str, Any], field: str) -> None:
    outcome = outcome_of(AUTHORIZE, reply_to(AUTHORIZE, **changes))

    assert isinstance(outcome, Unknown), outcome
    assert field in outcome.detail


@pytest.mark.parametrize("command", COMMANDS, ids=type_of)
def test_every_amount_of_money_moved_is_told_and_right(command: Sent) -> None:
    for amount, right in ((None, False), ("", False), (-6540, False), (6540.01, False), (1, False), (6540, True)):
        outcome = outcome_of(command, reply_to(command, transaction__amount=amount))

        if isinstance(command, Verify):
            assert isinstance(outcome, Approved)
        elif isinstance(command, Reverse) and amount in (None, 6540.01, 1):
            # It states the amount of what it voids, and what is left of that is known from before.
            assert isinstance(outcome, Approved)
        elif isinstance(command, Void) and amount is None:
            assert isinstance(outcome, Approved)
        else:
            assert isinstance(outcome, Approved if right else Unknown), amount


@pytest.mark.parametrize("total", [None, 0, 6540, 6540.01, "x", 6539.999])
def test_a_partial_approval_that_does_not_tell_how_much_is_unknown(total: Any) -> None:
    body = reply_to(AUTHORIZE, "PARTIALLY_APPROVED", order__totalAuthorizedAmount=total)

    assert isinstance(outcome_of(AUTHORIZE, body), Unknown)


def test_only_an_authorisation_can_be_approved_in_part() -> None:
    for command in COMMANDS:
        body = reply_to(command, "PARTIALLY_APPROVED", order__totalAuthorizedAmount=10)
        approved = isinstance(outcome_of(command, body), Approved)

        assert approved is isinstance(command, Authorize)


@pytest.mark.parametrize(
    ("status", "cause", "field", "kind", "retryable"),
    [
        (400, "INVALID_REQUEST", "order.amount", "not_processed", False),
        (400, "INVALID_REQUEST", "", "not_processed", False),
        (404, "INVALID_REQUEST", "", "not_processed", False),
        (400, "REQUEST_REJECTED", "", "not_processed", False),
        (401, "INVALID_REQUEST", "", "auth_error", False),
        (503, "SERVER_BUSY", "", "not_processed", True),
        (500, "SERVER_FAILED", "", "unknown", False),
        (400, "SERVER_FAILED", "", "unknown", False),
        (400, "SOMETHING_NEW", "", "unknown", False),
        (500, "", "", "unknown", False),
    ],
)
def test_errors_mean_what_their_cause_says(status: int, cause: str, field: str, kind: str, retryable: bool) -> None:
    error = {
        "cause": cause,
        "field": field,
        "validationType": "INVALID",
        "explanation": "Value '5123450000000008' is invalid",
    }

    outcome = outcome_of(AUTHORIZE, {"error": error, "result": "ERROR"}, status)

    assert word_of(outcome, ASKED) == kind, outcome
    if isinstance(outcome, NotProcessed):
        assert outcome.retryable is retryable
        assert "5123450000000008" not in repr(outcome)


@pytest.mark.parametrize("status", [200, 201, 204, 302, 400, 404, 418, 500, 502, 503, 504])
@pytest.mark.parametrize("body", [b"", b"<html>Bad Gateway</html>", b"[]", b"{}", b"\xff", b'{"result": 1}'])
def test_no_usable_answer_is_unknown(status: int, body: bytes) -> None:
    assert isinstance(outcome_of(AUTHORIZE, body, status), Unknown)


@pytest.mark.parametrize(
    ("risk", "expected"),
    [
        ({"gatewayCode": "ACCEPTED", "review": {"decision": "NOT_REQUIRED"}}, "approved"),
        ({"gatewayCode": "NOT_CHECKED"}, "approved"),
        ({"gatewayCode": "REVIEW_REQUIRED", "review": {"decision": "PENDING"}}, "review"),
        ({"gatewayCode": "REVIEW_REQUIRED"}, "review"),
        ({"gatewayCode": "REVIEW_REQUIRED", "review": {"decision": "ACCEPTED"}}, "approved"),
        ({"gatewayCode": "REVIEW_REQUIRED", "review": {"decision": "OVERRIDDEN"}}, "approved"),
        ({"gatewayCode": "REVIEW_REQUIRED", "review": {"decision": "REJECTED"}}, "declined"),
        ({"gatewayCode": "REVIEW_REQUIRED", "review": {"decision": "SOMETHING_NEW"}}, "review"),
        ({"gatewayCode": "REJECTED"}, "declined"),
        ({"gatewayCode": "SOMETHING_NEW"}, "review"),
        ({"review": {"decision": "NOT_REQUIRED"}}, "approved"),
        ({"review": {"decision": "PENDING"}}, "review"),
    ],
)
def test_a_risk_assessment_decides_beside_the_issuer(risk: dict[str, Any], expected: str) -> None:
    outcome = outcome_of(AUTHORIZE, reply_to(AUTHORIZE, risk={"response": risk}))

    assert word_of(outcome, ASKED) == expected, outcome
    if isinstance(outcome, Declined):
        assert (outcome.reason.kind, outcome.reason.release) == (DeclineClass.FRAUD, True)


def test_a_risk_assessment_is_told_whole() -> None:
    rule = {"name": "MERCHANT_BIN_RANGE", "type": "MERCHANT_RULE", "recommendation": "REVIEW", "data": "512345"}
    risk = {"gatewayCode": "REVIEW_REQUIRED", "provider": "BRIGHTERION", "totalScore": 71.6, "rule": [rule]}

    outcome = outcome_of(AUTHORIZE, reply_to(AUTHORIZE, risk={"response": risk}))

    assert isinstance(outcome, InReview)
    assert outcome.risk is not None
    assert (outcome.risk.decision, outcome.risk.score, outcome.risk.provider) == (
        RiskDecision.REVIEW,
        72,
        "BRIGHTERION",
    )
    assert [(rule.name, rule.recommendation, rule.detail) for rule in outcome.risk.rules] == [
        ("MERCHANT_BIN_RANGE", "REVIEW", "512345")
    ]


def test_what_was_blocked_before_the_issuer_needs_no_release() -> None:
    risk = {"gatewayCode": "REJECTED", "review": {"decision": "NOT_REQUIRED"}}
    outcome = outcome_of(AUTHORIZE, reply_to(AUTHORIZE, "BLOCKED", "FAILURE", risk={"response": risk}))

    assert isinstance(outcome, Declined)
    assert (outcome.reason.code, outcome.reason.kind, outcome.reason.release) == ("risk_rejected", "fraud", False)
    assert outcome.risk is not None
    assert outcome.risk.decision is RiskDecision.REJECTED


@pytest.mark.parametrize(
    ("extra", "code", "advice"),
    [
        ({}, "do_not_honor", Advice.RETRY_LATER),
        ({"authorizationResponse": {"responseCode": "51"}}, "insufficient_funds", Advice.RETRY_LATER),
        ({"authorizationResponse": {"responseCode": "43"}}, "stolen_or_lost", Advice.DO_NOT_RETRY),
        ({"response": {"gatewayCode": "DECLINED", "acquirerCode": "54"}}, "expired_card", Advice.UPDATE_CARD),
        ({"authorizationResponse": {"merchantAdviceCode": "03"}}, "do_not_honor", Advice.DO_NOT_RETRY),
        ({"authorizationResponse": {"responseCode": "43", "merchantAdviceCode": "24"}}, "stolen_or_lost", Advice.DO_NOT_RETRY),
        ({"response": {"gatewayCode": "DECLINED", "gatewayRecommendation": "DO_NOT_PROCEED_ABANDON_ORDER"}},
         "do_not_honor", Advice.DO_NOT_RETRY),
        ({"response": {"gatewayCode": "DECLINED", "gatewayRecommendation": "RESUBMIT_WITH_ALTERNATIVE_PAYMENT_DETAILS"}},
         "do_not_honor", Advice.ASK_CUSTOMER),
        ({"response": {"gatewayCode": "DECLINED", "gatewayRecommendation": "NO_ACTION"}}, "do_not_honor", Advice.RETRY_LATER),
    ],
)  # fmt: skip
def test_issuer_scheme_and_gateway_say_why_and_what_to_do(extra: dict[str, Any], code: str, advice: Advice) -> None:
    funds = {"provided": {"card": {"brand": "MASTERCARD"}}}
    outcome = outcome_of(AUTHORIZE, {**reply_to(AUTHORIZE, "DECLINED", "FAILURE", sourceOfFunds=funds), **extra})

    assert isinstance(outcome, Declined)
    assert (outcome.reason.code, outcome.reason.advice) == (code, advice)


def test_a_scheme_says_when_to_try_again() -> None:
    for row in rows_of("domain/merchant-advice-codes.csv"):
        hours = re.fullmatch(r"(\d+)([hd])", row["retry"])
        if row["scheme"] != "mastercard" or hours is None:
            continue
        reason = decline_of("DECLINED", scheme="MASTERCARD", advice_code=row["code"])

        assert reason.retry_after is not None
        assert reason.retry_after.total_seconds() == int(hours[1]) * (3600 if hours[2] == "h" else 86400)


def test_address_and_security_code_are_told_in_letters() -> None:
    for name, letter in {"ADDRESS_ZIP_MATCH": "Y", "NO_MATCH": "N", "NOT_REQUESTED": "", "ZIP_MATCH": "Z"}.items():
        response = {"gatewayCode": "APPROVED", "cardSecurityCode": {"gatewayCode": "MATCH"},
                    "cardholderVerification": {"avs": {"gatewayCode": name, "acquirerCode": "00"}}}  # fmt: skip
        outcome = outcome_of(AUTHORIZE, reply_to(AUTHORIZE, response=response))

        assert isinstance(outcome, Approved)
        assert (outcome.checks.address, outcome.checks.security_code) == (letter, "M")
    known = set(read("mpgs/triggers.json")["billingStreet"].values()) - {"NOT_REQUESTED"}
    assert known == set(ADDRESS_LETTERS)


@pytest.mark.parametrize("row", AMOUNTS["valid"], ids=lambda row: f"{row['decimal']}{row['currency']}")
def test_amounts_go_out_as_texts_and_come_back_as_numbers(row: dict[str, Any]) -> None:
    amount = Money.of(row["minor"], row["currency"])
    sent = request_of(Authorize("1", "ord-1", amount, CARD))["order"]["amount"]
    number = re.sub(r"\.?0+$", "", row["decimal"]) if "." in row["decimal"] else row["decimal"]

    assert sent == row["decimal"]
    for text in (row["decimal"], number, f"{number}.0" if "." not in number else number, f'"{row["decimal"]}"'):
        assert replies.money_of(msgspec.Raw(text.encode()), amount.currency) == amount


@pytest.mark.parametrize("row", AMOUNTS["invalid"], ids=lambda row: str(row["why"]))
def test_amounts_that_are_none_are_refused_on_input(row: dict[str, Any]) -> None:
    with pytest.raises((InvalidAmountError, UnknownCurrencyError)):
        Money.parse(row["decimal"], Currency.of(row["currency"]))


@pytest.mark.parametrize("text", ["", "null", "-1", "1e999", "1.005", '"1,0"', "[]", "{}", '"NaN"', "9" * 20, "1e-2"])
def test_what_is_no_amount_of_the_currency_is_not_read(text: str) -> None:
    assert replies.money_of(msgspec.Raw(text.encode()), KZT) is None


@given(st.integers(0, 10**14), st.sampled_from(["KZT", "JPY", "KWD"]))
def test_every_amount_survives_the_way_there_and_back(minor: int, code: str) -> None:
    amount = Money.of(minor, code)

    assert replies.money_of(msgspec.Raw(amount.decimal_text().encode()), amount.currency) == amount


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (200, reply_to(AUTHORIZE), Approved),
        (200, reply_to(AUTHORIZE, order__status="CANCELLED"), NotFound),
        (
            200,
            reply_to(AUTHORIZE, "PARTIALLY_APPROVED", order__status="CANCELLED", order__totalAuthorizedAmount=0),
            NotFound,
        ),
        (200, reply_to(AUTHORIZE, "TIMED_OUT", "UNKNOWN", order__status="CANCELLED"), NotFound),
        (200, reply_to(AUTHORIZE, order__status="CANCELLED", transaction__currency="USD"), Unknown),
        (200, reply_to(AUTHORIZE, risk={"response": {"gatewayCode": "REJECTED"}}, order__status="CANCELLED"), Declined),
        (200, reply_to(AUTHORIZE, "DECLINED", "FAILURE"), Declined),
        (200, reply_to(AUTHORIZE, "LOCK_FAILURE", "FAILURE"), NotFound),
        (200, reply_to(AUTHORIZE, "TIMED_OUT", "UNKNOWN"), replies.Undecided),
        (200, reply_to(AUTHORIZE, "SOMETHING_NEW"), replies.Undecided),
        (200, reply_to(AUTHORIZE, "APPROVED", "PENDING"), replies.Undecided),
        (200, reply_to(AUTHORIZE, order__id="ord-2"), Unknown),
        (200, reply_to(AUTHORIZE, transaction__amount=1), Unknown),
        (200, {"result": "ERROR", "error": {"cause": "SERVER_FAILED"}}, Unknown),
        (400, {"result": "ERROR", "error": {"cause": "INVALID_REQUEST"}}, NotFound),
        (404, {"result": "ERROR", "error": {"cause": "INVALID_REQUEST", "field": "transactionid"}}, NotFound),
        (400, {"result": "ERROR", "error": {"cause": "INVALID_REQUEST", "field": "version"}}, Unknown),
        (404, {}, Unknown),
        (404, b"<html>", Unknown),
        (401, {"result": "ERROR", "error": {"cause": "INVALID_REQUEST"}}, Unknown),
        (503, {"result": "ERROR", "error": {"cause": "SERVER_BUSY"}}, Unknown),
        (200, b"{", Unknown),
    ],
)
def test_only_the_gateways_own_words_prove_that_there_is_no_such_operation(
    status: int, body: Any, expected: type
) -> None:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()

    assert isinstance(replies.found(Expected.of("TESTMID", AUTHORIZE), status, content), expected)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["result", "order", "id", "transaction", "type", "amount", "response", "gatewayCode", "error", "cause",
                         "risk", "review", "decision", "rule", "totalScore", "authentication", "redirect", "html", "3ds2"]),
        inner, max_size=5),
    max_leaves=12,
)  # fmt: skip
START = StartAuthentication("3ds-1", "ord-1", ASKED, CARD)
AUTHENTICATE = Authenticate("3ds-1", "ord-1", ASKED, CARD, "3ds-1", "https://shop.example/back", Device("192.0.2.7"))


@given(
    st.sampled_from([200, 201, 204, 302, 400, 401, 404, 418, 429, 500, 502, 503]),
    JSON.map(lambda v: json.dumps(v).encode()) | st.binary(),
)
def test_no_reply_whatever_makes_the_reader_raise_or_approve(status: int, body: bytes) -> None:
    for command in COMMANDS:
        outcome = outcome_of(command, body, status)

        assert isinstance(outcome, Declined | InReview | NotProcessed | Unknown)
        replies.found(Expected.of("TESTMID", command), status, body)
    replies.order_of("TESTMID", "ord-1", status, body)
    threeds.started("TESTMID", START, status, body)
    threeds.authenticated("TESTMID", AUTHENTICATE, status, body)


DOCUMENTED = {row["field"]: row for row in rows_of("mpgs/request-fields.csv")}
# In public texts of the gateway's reference, not in the table of the fields that come first.
ALSO = {
    "correlationId", "order.acceptPartialAmount", "agreement.id", "agreement.type", "session.id", "session.version",
    "customer.firstName", "customer.lastName", "customer.email", "customer.phone", "device.browser",
    "device.browserDetails.acceptHeaders", "device.browserDetails.colorDepth", "device.browserDetails.javaEnabled",
    "device.browserDetails.language", "device.browserDetails.screenHeight", "device.browserDetails.screenWidth",
    "device.browserDetails.timeZone", "device.browserDetails.3DSecureChallengeWindowSize",
    "authentication.3ds.transactionId", "authentication.3ds2.transactionStatus", "authentication.3ds2.protocolVersion",
}  # fmt: skip
BILLING = Billing(
    "Айгерім", "Т" * 60, "a@b.kz", "+77010000000", "Абая 1" * 40, "Алматы", "050000-123456", "Алматы " * 5, "KZ"
)
DEVICE = Device("192.0.2.7", "agent", "text/html", "kk-KZ", 24, 1080, 1920, -300, java_enabled=False)
STORED = StoredCredential(Initiator.MERCHANT, reason=MerchantReason.RECURRING, agreement_id="agr-1")
EXTERNAL = Authenticated(
    "4", "Y", "02", "mHyn+7YFi1EUAREAAAAvNUe6Hv8=", "f25084f0-5b16-4c0a-ae5d-b24808a95e4b", "2.2.0"
)
FULL = Authorize(
    "op_1", "pay_1", ASKED, CARD, billing=BILLING, partial=True, estimated=True, stored=STORED, authentication=EXTERNAL,
    device=DEVICE,
)  # fmt: skip


def leaves_of(value: Any, prefix: str = "") -> dict[str, Any]:
    if isinstance(value, dict):
        found: dict[str, Any] = {}
        for name, item in value.items():
            found |= leaves_of(item, f"{prefix}.{name}" if prefix else name)
        return found
    return {prefix: value}


@pytest.mark.parametrize(
    "body",
    [
        *(request_of(command, "https://shanraq.example/notices") for command in COMMANDS),
        request_of(FULL, "https://shanraq.example/notices"),
        request_of(Verify("1", "ord-1", Money.of(0, "KZT"), CARD, BILLING, STORED)),
        request_of(Credit("1", "ord-1", ASKED, CARD, BILLING)),
        request_of(Charge("1", "ord-1", ASKED, Token("9876543210123456", SecurityCode("100")), stored=STORED)),
        request_of(Charge("1", "ord-1", ASKED, Session("SESSION0002000000000000000000001", "1a2b"), capture=True)),
        initiation_of(START),
        authentication_of(AUTHENTICATE),
    ],
    ids=lambda body: str(body["apiOperation"]),
)
def test_requests_use_documented_fields_within_their_lengths(body: dict[str, Any]) -> None:
    for path, value in leaves_of(body).items():
        row = DOCUMENTED.get(path)
        assert row is not None or path in ALSO, path
        assert value not in ("", None, {})
        if row is not None:
            assert not row["max"] or len(str(value)) <= int(row["max"]) or row["type"] == "integer", (path, value)
            assert not row["min"] or len(str(value)) >= int(row["min"]) or row["type"] == "integer", (path, value)
            allowed = row["characters_or_values"]
            if re.fullmatch(r"[A-Z|_]+", allowed):
                assert value in allowed.split("|"), (path, value)
            elif re.fullmatch(r"\[.*\]\{\d\}|\[0-9\.?\]", allowed):
                assert re.fullmatch(allowed if "{" in allowed else f"{allowed}+", str(value)), (path, value)


def test_operations_are_the_documented_ones() -> None:
    documented = {row["apiOperationInBody"] for row in read("mpgs/operations.json")}
    sent = {request_of(command)["apiOperation"] for command in COMMANDS}
    sent |= {initiation_of(START)["apiOperation"], authentication_of(AUTHENTICATE)["apiOperation"]}

    assert sent <= documented
    assert {type_of(command) for command in COMMANDS} <= set(ENUMS["transactionType"])
    assert set(ENUMS["transactionType"]) >= replies.VOIDS


@pytest.mark.parametrize(
    ("stored", "source", "on_file", "agreement"),
    [
        (None, "INTERNET", None, None),
        (StoredCredential(Initiator.CUSTOMER, first=True), "INTERNET", "TO_BE_STORED", None),
        (StoredCredential(Initiator.CUSTOMER), "INTERNET", "STORED", None),
        (StoredCredential(Initiator.CUSTOMER, first=True, reason=MerchantReason.RECURRING, agreement_id="a"),
         "INTERNET", "TO_BE_STORED", {"id": "a", "type": "RECURRING"}),
        (StoredCredential(Initiator.MERCHANT, reason=MerchantReason.UNSCHEDULED, agreement_id="a"),
         "MERCHANT", "STORED", {"id": "a", "type": "UNSCHEDULED"}),
        (StoredCredential(Initiator.MERCHANT, reason=MerchantReason.NO_SHOW, agreement_id="a"),
         "MERCHANT", "STORED", {"id": "a", "type": "OTHER"}),
    ],
)  # fmt: skip
def test_stored_cards_say_who_starts_and_under_which_agreement(
    stored: StoredCredential | None, source: str, on_file: str | None, agreement: dict[str, str] | None
) -> None:
    body = request_of(Authorize("1", "ord-1", ASKED, CARD, stored=stored))

    assert body["transaction"]["source"] == source
    assert body["sourceOfFunds"]["provided"]["card"].get("storedOnFile") == on_file
    assert body.get("agreement") == agreement


def test_an_authentication_of_this_gateway_is_linked_and_another_is_sent() -> None:
    own = request_of(Authorize("1", "ord-1", ASKED, CARD, authentication=Authenticated("mpgs:3ds-1", "Y", "02", "v")))
    other = request_of(Authorize("1", "ord-1", ASKED, CARD, authentication=EXTERNAL))

    assert own["authentication"] == {"transactionId": "3ds-1"}
    assert other["authentication"] == {
        "3ds": {"acsEci": "02", "authenticationToken": EXTERNAL.value, "transactionId": EXTERNAL.directory_server_id},
        "3ds2": {"transactionStatus": "Y", "protocolVersion": "2.2.0"},
    }


@given(st.text("abc_01", min_size=1, max_size=60), st.integers(1, 3))
def test_the_id_of_an_undo_is_derived_and_never_too_long(operation_id: str, attempt: int) -> None:
    derived = undo_id(operation_id, attempt)

    assert len(derived) <= 40
    assert derived == undo_id(operation_id, attempt)
    assert derived != undo_id(operation_id, attempt + 1)
    assert derived not in (operation_id, undo_id(operation_id + "x", attempt))


def test_a_reply_in_latin_1_is_read() -> None:
    risk = {"gatewayCode": "ACCEPTED", "rule": [{"name": "MSO_BIN_RANGE", "data": "Crédit"}]}
    content = json.dumps(reply_to(AUTHORIZE, risk={"response": risk}), ensure_ascii=False).encode("latin-1")

    assert isinstance(outcome_of(AUTHORIZE, content), Unknown)
    assert isinstance(outcome_of(AUTHORIZE, replies.utf8_of(content, "application/json;charset=ISO-8859-1")), Approved)
