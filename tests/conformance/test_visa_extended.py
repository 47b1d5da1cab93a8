"""Every documented status of every operation, and the fields of every request beyond the plain ones."""

from __future__ import annotations

import json
from typing import Any, get_args

import pytest

from shanraq.adapters.visa import VisaAdapter, payer, wire
from shanraq.adapters.visa.body import MERCHANT_REASONS
from shanraq.core.money import Money
from shanraq.core.secret import Pan, SecurityCode
from shanraq.payments import adapter as port
from shanraq.payments.adapter import (
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
    ExtendedCommand,
    Increment,
    Initiator,
    InReview,
    MerchantReason,
    NotProcessed,
    OperationKind,
    Refund,
    Reverse,
    StartAuthentication,
    StoredCredential,
    Unknown,
    Verify,
    Void,
)
from tests.conformance.data import conformance_data


def read(path: str) -> Any:
    return json.loads(conformance_data(f"cards/cybersource/{path}").read_text())


STATUSES = read("enums.json")["status201"]
TARGET = "7000000000000000000001"
AMOUNT, NOTHING = Money.of(10221, "KZT"), Money.of(0, "KZT")
VISA = Card(Pan("4111111111111111"), 12, 2031, SecurityCode("123"))
MASTERCARD = Card(Pan("5555555555554444"), 12, 2031)
BILLING = Billing("Айгерім", "Т", "a@b.kz", "+77010000000", "Абая 1", "Алматы", "050000", "Алматы", "KZ")
DEVICE = Device("203.0.113.7", "Mozilla/5.0", "*/*", "kk-KZ", 24, 1080, 1920, -300)
PROOF = Authenticated("t" * 20, "Y", "05", "A" * 28, "0" * 36, "2.2.0", True)
FIRST = StoredCredential(Initiator.CUSTOMER, first=True)
COMMANDS: dict[str, ExtendedCommand] = {
    "createPayment": Authorize("op", "r", AMOUNT, VISA),
    "incrementAuth": Increment("op", "r", TARGET, AMOUNT, AMOUNT + AMOUNT),
    "capture": Capture("op", "r", TARGET, AMOUNT),
    "refund": Refund("op", "r", TARGET, AMOUNT),
    "reversal": Reverse("op", "r", TARGET, AMOUNT),
    "void": Void("op", "r", OperationKind.CAPTURE, TARGET, AMOUNT),
    "credit": Credit("op", "r", AMOUNT, VISA),
}
MEANING: dict[str, type] = {
    "AUTHORIZED": Approved, "PENDING": Approved, "TRANSMITTED": Approved, "REVERSED": Approved, "VOIDED": Approved,
    "CANCELLED": Approved, "COMPLETED": Approved, "AUTHORIZED_PENDING_REVIEW": InReview, "PENDING_REVIEW": InReview,
    "AUTHORIZED_RISK_DECLINED": Declined, "DECLINED": Declined, "PENDING_AUTHENTICATION": Declined, "FAILED": Declined,
    "INVALID_REQUEST": NotProcessed, "PARTIAL_AUTHORIZED": Approved,
}  # fmt: skip


def reply(status: str, *, amount: str = "102.21", **more: Any) -> bytes:
    return json.dumps(
        {
            "id": TARGET,
            "status": status,
            "clientReferenceInformation": {"code": "r"},
            "orderInformation": {
                "amountDetails": {"authorizedAmount": amount, "totalAmount": "102.21", "currency": "KZT"}
            },
            **more,
        }
    ).encode()


@pytest.mark.parametrize(
    ("operation", "status"), [(name, status) for name in COMMANDS for status in STATUSES[name]], ids=str
)
def test_every_documented_status_is_known(operation: str, status: str) -> None:
    amount = {"incrementAuth": "204.42", "createPayment": "50.00" if status.startswith("PARTIAL") else "102.21"}
    expected = Approved if operation == "incrementAuth" and status.startswith("AUTHORIZED") else MEANING[status]
    outcome = wire.outcome_of(COMMANDS[operation], 201, reply(status, amount=amount.get(operation, "102.21")))

    assert isinstance(outcome, expected), outcome


@pytest.mark.parametrize("operation", COMMANDS)
@pytest.mark.parametrize("status", ["", "SETTLED_TOMORROW", "authorized"])
def test_a_status_that_is_not_documented_is_unknown(operation: str, status: str) -> None:
    assert isinstance(wire.outcome_of(COMMANDS[operation], 201, reply(status)), Unknown)


@pytest.mark.parametrize("operation", [name for name in COMMANDS if "DECLINED" in STATUSES[name]])
def test_a_reason_that_is_not_documented_is_unknown(operation: str) -> None:
    declined = reply("DECLINED", errorInformation={"reason": "A_REASON_OF_TOMORROW"})

    assert isinstance(wire.outcome_of(COMMANDS[operation], 201, declined), Unknown)


def test_a_decline_tells_issuer_advice_and_checks() -> None:
    processor = {
        "responseCode": "51",
        "merchantAdvice": {"code": "24"},
        "avs": {"code": "N"},
        "cardVerification": {"resultCode": "M"},
    }
    declined = reply("DECLINED", errorInformation={"reason": "PROCESSOR_DECLINED"}, processorInformation=processor)
    outcome = wire.outcome_of(Authorize("op", "r", AMOUNT, MASTERCARD), 201, declined)

    assert isinstance(outcome, Declined)
    reason = outcome.reason
    assert (reason.code, reason.issuer_code, reason.advice_code) == ("insufficient_funds", "51", "24")
    assert reason.kind is DeclineClass.RETRY_AFTER
    assert reason.retry_after is not None
    assert reason.retry_after.total_seconds() == 3600
    assert (outcome.checks.address, outcome.checks.security_code) == ("N", "M")


@pytest.mark.parametrize("total", ["204.41", "102.21", "x"])
def test_an_increment_with_another_total_is_unknown(total: str) -> None:
    assert isinstance(wire.outcome_of(COMMANDS["incrementAuth"], 201, reply("AUTHORIZED", amount=total)), Unknown)


def test_a_verification_that_holds_money_is_unknown() -> None:
    outcome = wire.outcome_of(Verify("op", "r", NOTHING, VISA), 201, reply("AUTHORIZED"))

    assert isinstance(outcome, Unknown)


def paths_of(value: Any, prefix: str = "") -> dict[str, Any]:
    if isinstance(value, dict):
        found: dict[str, Any] = {}
        for name, item in value.items():
            found |= paths_of(item, f"{prefix}.{name}" if prefix else name)
        return found
    return {prefix: value}


def payments() -> list[ExtendedCommand]:
    stored = [
        StoredCredential(Initiator.MERCHANT, reason=reason, network_transaction_id="1" * 15)
        for reason in MerchantReason
    ]
    return [
        Authorize(
            "op",
            "r",
            AMOUNT,
            VISA,
            True,
            BILLING,
            True,
            True,
            StoredCredential(Initiator.CUSTOMER, True),
            PROOF,
            DEVICE,
        ),
        Authorize("op", "r", AMOUNT, MASTERCARD, authentication=PROOF),
        Verify("op", "r", NOTHING, VISA, BILLING, FIRST),
        *(Authorize("op", "r", AMOUNT, VISA, stored=one) for one in stored),
    ]


@pytest.mark.parametrize(
    ("command", "table"),
    [
        *((command, "createPayment") for command in payments()),
        (COMMANDS["incrementAuth"], "incrementAuth"),
        (COMMANDS["credit"], "createCredit"),
        (Capture("op", "r", TARGET, AMOUNT, False, 2), "capturePayment"),
        (Void("op", "r", OperationKind.CREDIT, TARGET, AMOUNT), "voidCredit"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_requests_use_documented_fields_within_their_lengths(command: ExtendedCommand, table: str) -> None:
    documented = {row[0]: row[2] for row in read(f"fields/{table}.json")["request"]["fields"]}

    for path, value in paths_of(json.loads(wire.request_of(command)[2])).items():
        if path == "clientReferenceInformation.transactionId":
            continue
        assert path in documented, path
        assert value != ""
        assert documented[path] is None or len(str(value)) <= documented[path], (path, value)


def test_authentications_use_documented_fields() -> None:
    ask = Authenticate("a", "r", AMOUNT, VISA, "s", "https://shop.example/", DEVICE, BILLING)
    for body, table in (
        (payer.setup_body(StartAuthentication("a", "r", AMOUNT, VISA)), "payerAuthSetup"),
        (payer.enrolment_body(ask), "checkPayerAuthEnrollment"),
        (payer.validation_body(ask, "t"), "validateAuthenticationResults"),
    ):
        documented = {row[0] for row in read(f"fields/{table}.json")["request"]["fields"]}
        assert paths_of(json.loads(body)).keys() <= documented, table


@pytest.mark.parametrize("status", [*STATUSES["payerAuthEnrollment"], "OTHER"])
def test_every_status_of_an_authentication_is_known(status: str) -> None:
    ask = Authenticate("a", "r", AMOUNT, VISA, "s", "https://shop.example/", DEVICE)
    details = {"authenticationTransactionId": "t", "stepUpUrl": "https://acs.example/", "accessToken": "j"}
    more = {"paresStatus": "Y", "eciRaw": "05", "cavv": "A" * 28} if status == "AUTHENTICATION_SUCCESSFUL" else {}
    result = payer.read_authentication(ask, 201, reply(status, consumerAuthenticationInformation=details | more))
    kinds = dict(
        zip(STATUSES["payerAuthEnrollment"], (Authenticated, port.Challenge, port.NotAuthenticated), strict=True)
    )

    assert isinstance(result, kinds.get(status, Unknown)), result
    assert isinstance(result, get_args(port.Authentication))


def test_every_reason_of_a_merchant_has_a_code() -> None:
    assert MERCHANT_REASONS.keys() == set(MerchantReason)
    assert set(MERCHANT_REASONS.values()) <= read("enums.json")["mitReason"].keys()


def test_the_adapter_offers_what_the_port_knows() -> None:
    for protocol in (
        port.Increments, port.Credits, port.Verifies, port.Authenticates, port.Reviews, port.Notifies,
    ):  # fmt: skip
        assert all(hasattr(VisaAdapter, name) for name in vars(protocol) if not name.startswith("_")), protocol
    assert all(hasattr(VisaAdapter, name) for name in ("settlement", "disputes"))
