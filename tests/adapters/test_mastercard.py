"""What the Mastercard adapter does with what a well-behaved gateway never, or rarely, says."""

from __future__ import annotations

import base64
import io
import json
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from shanraq.adapters.endpoints import Endpoints
from shanraq.adapters.mastercard import (
    Charge,
    GatewayRefusedError,
    GatewaySilentError,
    MastercardAdapter,
    MastercardConfiguration,
    Session,
    Token,
)
from shanraq.adapters.mastercard.history import COLUMNS, rows_of
from shanraq.adapters.mastercard.requests import undo_id
from shanraq.core import log
from shanraq.core.http import HttpClient
from shanraq.core.money import Money
from shanraq.core.secret import Pan, Secret, SecurityCode
from shanraq.payments.adapter import (
    Approved,
    Authenticate,
    Authenticated,
    Authenticates,
    Authorize,
    Capture,
    Card,
    Challenge,
    Credit,
    Credits,
    Declined,
    Device,
    DeviceCollection,
    Increment,
    Increments,
    InReview,
    Lost,
    NotAuthenticated,
    NotFound,
    Notifies,
    NotProcessed,
    OperationKind,
    Reverse,
    Reviewed,
    Reviews,
    StartAuthentication,
    Unknown,
    Verifies,
    Verify,
)
from shanraq.settlement.port import LineKind, SettlementUnreadableError, Settles
from tests.adapters.scripted import DROP, Answered, Received, Scripted, scripted
from tests.certificates import certificate

PAN = "5123450000000008"
PASSWORD = "f00dfeedf00dfeedf00dfeedf00dfeed"
REPORTING = "0123456789abcdef0123456789abcdef"
NOTIFICATIONS = "8F1E62BA4F5B2F1C"
CARD = Card(Pan(PAN), 1, 2039, SecurityCode("100"))
ASKED = Money.of(654_000, "KZT")
AUTHORIZE = Authorize("op_1", "pay_1", ASKED, CARD)
MERCHANT = "/api/rest/version/100/merchant/TESTMID"
ORDER = f"{MERCHANT}/order/pay_1"
TRANSACTION = f"{ORDER}/transaction/op_1"
SENT = datetime(2026, 9, 21, 10, 0, tzinfo=UTC)
ABSENT = Answered(
    400, {"result": "ERROR", "error": {"cause": "INVALID_REQUEST", "explanation": "Unable to find order."}}
)
BUSY = Answered(503, {"result": "ERROR", "error": {"cause": "SERVER_BUSY", "explanation": "Busy."}})
REFUSED = Answered(
    400,
    {
        "result": "ERROR",
        "error": {
            "cause": "INVALID_REQUEST",
            "explanation": "Value 'VOID' is invalid. There is no transaction to void.",
            "field": "apiOperation",
            "validationType": "INVALID",
        },
    },
)

Script = Callable[[Received], Answered]


def replied(
    operation_id: str = "op_1",
    type_: str = "AUTHORIZATION",
    code: str = "APPROVED",
    result: str = "SUCCESS",
    status: str = "AUTHORIZED",
    **extra: Any,
) -> Answered:
    transaction = {
        "id": operation_id,
        "type": type_,
        "amount": 6540.0,
        "currency": "KZT",
        "authorizationCode": "207261",
    }
    return Answered(
        201,
        {
            "result": result,
            "merchant": "TESTMID",
            "order": {"id": "pay_1", "amount": 6540, "currency": "KZT", "status": status},
            "response": {"gatewayCode": code},
            "transaction": {**transaction, "receipt": "322020206201"},
            "authorizationResponse": {"transactionIdentifier": "MCC123456"},
            **extra,
        },
    )


@asynccontextmanager
async def adapter_before(
    script: Script, *more: str, clock: Callable[[], datetime] | None = None, **changes: Any
) -> AsyncIterator[tuple[MastercardAdapter, Scripted]]:
    async with scripted(lambda request: _as_asked(request, script(request))) as server:
        settings: dict[str, Any] = {
            "merchant_id": "TESTMID",
            "password": Secret(PASSWORD),
            "reporting_password": Secret(REPORTING),
            "notification_secret": Secret(NOTIFICATIONS),
            "timeout_seconds": 2.0,
            **changes,
        }
        endpoints = Endpoints(HttpClient(), (*more, server.base_url))
        adapter = MastercardAdapter(MastercardConfiguration(**settings), endpoints, clock=clock or (lambda: SENT))
        try:
            yield adapter, server
        finally:
            await adapter.close()


def _as_asked(request: Received, answer: Answered) -> Answered:
    """Answer a read with 200: only what was made new is 201."""
    return replace(answer, status=200) if request.method == "GET" and answer.status == 201 else answer


def always(answer: Answered) -> Script:
    return lambda _: answer


def in_turn(*answers: Answered) -> Script:
    told = iter(answers)
    return lambda _: next(told)


def lost(kind: OperationKind = OperationKind.AUTHORIZE, *, sale: bool = False) -> Lost:
    return Lost("op_1", "pay_1", kind, ASKED, SENT, sale)


async def test_an_authorisation_is_a_put_under_our_own_ids() -> None:
    async with adapter_before(always(replied())) as (adapter, server):
        outcome = await adapter.authorize(AUTHORIZE)

    (request,) = server.received
    assert isinstance(outcome, Approved)
    assert (outcome.gateway_id, outcome.approval_code, outcome.network_transaction_id, outcome.reconciliation_id) == (
        "op_1", "207261", "MCC123456", "322020206201")  # fmt: skip
    assert (request.method, request.target) == ("PUT", TRANSACTION)
    assert (
        base64.b64decode(request.headers["authorization"].removeprefix("Basic "))
        == f"merchant.TESTMID:{PASSWORD}".encode()
    )
    assert request.json == {
        "apiOperation": "AUTHORIZE",
        "correlationId": "op_1",
        "order": {"amount": "6540.00", "currency": "KZT", "reference": "pay_1"},
        "transaction": {"reference": "op_1", "source": "INTERNET"},
        "sourceOfFunds": {
            "type": "CARD",
            "provided": {"card": {"number": PAN, "expiry": {"month": "01", "year": "39"}, "securityCode": "100"}},
        },
    }


async def test_the_adapter_speaks_every_protocol_of_the_port() -> None:
    async with adapter_before(always(ABSENT)) as (adapter, _):
        for protocol in (Increments, Credits, Verifies, Authenticates, Reviews, Notifies, Settles):
            assert isinstance(adapter, protocol), protocol


async def test_another_version_is_a_setting() -> None:
    async with adapter_before(always(replied()), version=74) as (adapter, server):
        await adapter.authorize(AUTHORIZE)

    assert server.received[0].target.startswith("/api/rest/version/74/merchant/TESTMID/order/")


async def test_ids_are_written_into_the_path_as_they_may_not_be_read_otherwise() -> None:
    async with adapter_before(always(ABSENT)) as (adapter, server):
        await adapter.authorize(Authorize("a/../b", "c d%", ASKED, CARD))

    assert server.received[0].target == f"{MERCHANT}/order/c%20d%25/transaction/a%2F..%2Fb"


async def test_a_merchant_can_be_known_by_its_certificate(tmp_path: Path) -> None:
    authority = certificate(tmp_path, "authority")
    here, ours = certificate(tmp_path, "gateway", authority), certificate(tmp_path, "merchant", authority)
    there = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    there.load_cert_chain(here.file, here.key_file)
    there.load_verify_locations(authority.file)
    there.verify_mode = ssl.CERT_REQUIRED
    tls = ssl.create_default_context(cafile=str(authority.file))
    tls.load_cert_chain(ours.file, ours.key_file)

    async with scripted(always(replied()), there) as server:
        endpoints = Endpoints(HttpClient(tls=tls), (server.base_url,))
        adapter = MastercardAdapter(MastercardConfiguration("TESTMID"), endpoints)
        outcome = await adapter.authorize(AUTHORIZE)
        await adapter.close()

    assert isinstance(outcome, Approved), outcome
    assert "authorization" not in server.received[0].headers


@pytest.mark.parametrize("script", [always(DROP), always(Answered(200, b"{")), always(Answered(502, b"<html>"))])
async def test_a_request_without_a_usable_answer_is_unknown_and_sent_once(script: Script) -> None:
    async with adapter_before(script) as (adapter, server):
        outcome = await adapter.authorize(AUTHORIZE)

    assert isinstance(outcome, Unknown)
    assert len(server.received) == 1


async def test_on_a_used_connection_a_lost_answer_is_unknown_too() -> None:
    async with adapter_before(in_turn(replied(), DROP, replied())) as (adapter, server):
        await adapter.authorize(AUTHORIZE)
        outcome = await adapter.authorize(AUTHORIZE)

    assert isinstance(outcome, Unknown)
    assert len(server.received) == 2


async def test_what_was_not_sent_goes_to_the_next_address() -> None:
    async with adapter_before(always(replied()), "http://127.0.0.1:9") as (adapter, server):
        outcomes = [await adapter.authorize(AUTHORIZE) for _ in range(2)]

    assert [type(outcome) for outcome in outcomes] == [Approved, Approved]
    assert len(server.received) == 2


async def test_nobody_reached_means_nothing_processed() -> None:
    endpoints = Endpoints(HttpClient(), ("http://127.0.0.1:9",))
    adapter = MastercardAdapter(MastercardConfiguration("TESTMID", Secret(PASSWORD)), endpoints)
    outcome = await adapter.authorize(AUTHORIZE)
    started = await adapter.start_authentication(StartAuthentication("op_1", "pay_1", ASKED, CARD))
    healthy = await adapter.healthy()
    await adapter.close()

    assert isinstance(outcome, NotProcessed)
    assert outcome.retryable
    assert isinstance(started, NotAuthenticated)
    assert not healthy


@pytest.mark.parametrize("busy", [BUSY, replied(code="LOCK_FAILURE", result="FAILURE")])
async def test_what_was_too_busy_is_sent_again_unchanged(busy: Answered) -> None:
    async with adapter_before(in_turn(busy, busy, replied())) as (adapter, server):
        outcome = await adapter.authorize(AUTHORIZE)

    assert isinstance(outcome, Approved), outcome
    assert len({(request.target, request.body) for request in server.received}) == 1
    assert len(server.received) == 3


async def test_what_stays_too_busy_is_not_processed_and_may_be_tried_again() -> None:
    async with adapter_before(always(BUSY), timeout_seconds=1.5) as (adapter, server):
        outcome = await adapter.authorize(AUTHORIZE)

    assert isinstance(outcome, NotProcessed)
    assert outcome.retryable
    assert 1 < len(server.received) < 7


async def test_wrong_credentials_are_a_matter_of_configuration() -> None:
    refused = Answered(
        401, {"result": "ERROR", "error": {"cause": "INVALID_REQUEST", "explanation": "Invalid credentials."}}
    )
    async with adapter_before(always(refused)) as (adapter, _):
        outcome = await adapter.authorize(AUTHORIZE)
        found = await adapter.inquire(lost())

    assert isinstance(outcome, NotProcessed)
    assert (outcome.reason.kind, outcome.retryable) == ("configuration", False)
    assert isinstance(found, Unknown)


async def test_an_increment_is_asked_for_as_the_new_total() -> None:
    command = Increment("op_2", "pay_1", "op_1", Money.of(100_000, "KZT"), ASKED)
    async with adapter_before(always(replied("op_2", "AUTHORIZATION_UPDATE"))) as (adapter, server):
        outcome = await adapter.increment(command)

    assert isinstance(outcome, Approved)
    assert outcome.amount == Money.of(100_000, "KZT")
    assert server.received[0].json["apiOperation"] == "UPDATE_AUTHORIZATION"
    assert server.received[0].json["transaction"]["amount"] == "6540.00"


async def test_credits_and_verifications() -> None:
    def script(request: Received) -> Answered:
        return replied("op_1", {"STANDALONE_REFUND": "REFUND", "VERIFY": "VERIFICATION"}[request.json["apiOperation"]])

    nothing = Money.of(0, "KZT")
    async with adapter_before(script) as (adapter, _):
        credited = await adapter.credit(Credit("op_1", "pay_1", ASKED, CARD))
        verified = await adapter.verify(Verify("op_1", "pay_1", nothing, CARD))

    assert isinstance(credited, Approved)
    assert isinstance(verified, Approved)
    assert (credited.amount, verified.amount) == (ASKED, nothing)


@pytest.mark.parametrize(
    ("after", "expected"),
    [(timedelta(seconds=20), Unknown), (timedelta(minutes=4), Unknown), (timedelta(minutes=6), NotFound)],
)
async def test_what_the_gateway_does_not_know_itself_is_taken_back_after_a_while(
    after: timedelta, expected: type
) -> None:
    undecided = replied(code="TIMED_OUT", result="UNKNOWN", status="FAILED")
    async with adapter_before(always(undecided), clock=lambda: SENT + after) as (adapter, _):
        assert isinstance(await adapter.inquire(lost()), expected)


def paths(script: dict[tuple[str, str], Answered]) -> Script:
    return lambda request: script.get((request.method, request.target), ABSENT)


VOID = ("PUT", f"{ORDER}/transaction/op_1.u1")
SECOND_VOID = ("PUT", f"{ORDER}/transaction/op_1.u2")


async def test_an_undo_is_a_void_under_a_derived_id() -> None:
    void = replied("op_1.u1", "VOID_AUTHORIZATION", status="CANCELLED")
    async with adapter_before(paths({VOID: void})) as (adapter, server):
        undone = [await adapter.undo(lost()) for _ in range(2)]

    assert [type(finding) for finding in undone] == [Approved, Approved]
    assert len({request.body for request in server.received}) == 1
    assert server.received[0].json["transaction"] == {"targetTransactionId": "op_1", "reference": "op_1.u1"}


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ({VOID: REFUSED}, NotFound),
        ({VOID: REFUSED, ("GET", TRANSACTION): replied(code="DECLINED", result="FAILURE")}, NotFound),
        ({VOID: REFUSED, ("GET", TRANSACTION): replied(code="TIMED_OUT", result="UNKNOWN")}, NotFound),
        ({VOID: REFUSED, ("GET", TRANSACTION): replied(status="CANCELLED")}, NotFound),
        ({VOID: REFUSED, ("GET", TRANSACTION): replied()}, Unknown),
        ({VOID: REFUSED, ("GET", TRANSACTION): replied(),
          ("GET", ORDER): Answered(200, {"id": "pay_1", "status": "CANCELLED"})}, NotFound),
        ({VOID: REFUSED, ("GET", TRANSACTION): replied(),
          ("GET", ORDER): Answered(200, {"id": "pay_1", "status": "CAPTURED"})}, Unknown),
        ({VOID: REFUSED, ("GET", TRANSACTION): Answered(500, {})}, Unknown),
        ({VOID: BUSY}, Unknown),
        ({VOID: DROP}, Unknown),
        ({VOID: replied("op_1.u1", "VOID_AUTHORIZATION", "TIMED_OUT", "UNKNOWN"),
          SECOND_VOID: replied("op_1.u2", "VOID_AUTHORIZATION")}, Approved),
        ({VOID: replied("op_1.u1", "VOID_AUTHORIZATION", "DECLINED", "FAILURE"),
          SECOND_VOID: replied("op_1.u2", "VOID_AUTHORIZATION", "TIMED_OUT", "UNKNOWN"),
          ("PUT", f"{ORDER}/transaction/op_1.u3"): replied("op_1.u3", "VOID_PAYMENT", "DECLINED", "FAILURE")}, Unknown),
        ({VOID: replied("op_9", "VOID_AUTHORIZATION")}, Unknown),
    ],
)  # fmt: skip
async def test_what_the_answers_to_an_undo_mean(script: dict[tuple[str, str], Answered], expected: type) -> None:
    async with adapter_before(paths(script)) as (adapter, _):
        assert isinstance(await adapter.undo(lost()), expected)


@pytest.mark.parametrize("kind", [OperationKind.VOID, OperationKind.REVERSE, OperationKind.INCREMENT])
async def test_voids_reversals_and_increments_cannot_be_taken_back(kind: OperationKind) -> None:
    type_ = "AUTHORIZATION_UPDATE" if kind is OperationKind.INCREMENT else "VOID_AUTHORIZATION"
    for answer, expected in (
        (ABSENT, NotFound),
        (replied(type_=type_, code="DECLINED", result="FAILURE"), NotFound),
        (replied(type_=type_), Unknown),
    ):
        async with adapter_before(always(answer)) as (adapter, server):
            assert isinstance(await adapter.undo(lost(kind)), expected)
        assert {request.method for request in server.received} == {"GET"}


async def test_a_verification_needs_no_undo() -> None:
    async with adapter_before(always(DROP)) as (adapter, server):
        assert isinstance(await adapter.undo(lost(OperationKind.VERIFY)), NotFound)
    assert server.received == []


@pytest.mark.parametrize(
    ("void", "expected"),
    [
        (ABSENT, Approved),
        (replied("op_1.u1", "VOID_CAPTURE"), NotFound),
        (replied("op_1.u1", "VOID_CAPTURE", "DECLINED", "FAILURE"), Approved),
        (Answered(500, {}), Unknown),
    ],
)
async def test_a_capture_that_was_voided_by_us_does_not_stand(void: Answered, expected: type) -> None:
    script = paths({("GET", TRANSACTION): replied(type_="CAPTURE"), ("GET", VOID[1]): void})
    async with adapter_before(script) as (adapter, _):
        assert isinstance(await adapter.inquire(lost(OperationKind.CAPTURE)), expected)


async def test_releasing_what_is_released_says_so() -> None:
    command = Reverse("op_2", "pay_1", "op_1", ASKED)
    for order, word in (
        (Answered(200, {"id": "pay_1", "merchant": "TESTMID", "status": "CANCELLED"}), "AUTH_ALREADY_REVERSED"),
        (
            Answered(200, {"id": "pay_1", "merchant": "TESTMID", "status": "CAPTURED"}),
            "INVALID_REQUEST apiOperation INVALID",
        ),
        (Answered(500, {}), "INVALID_REQUEST apiOperation INVALID"),
    ):
        async with adapter_before(paths({("PUT", f"{ORDER}/transaction/op_2"): REFUSED, ("GET", ORDER): order})) as (
            adapter,
            _,
        ):
            outcome = await adapter.reverse(command)

        assert isinstance(outcome, NotProcessed)
        assert outcome.reason.gateway_reason == word


@pytest.mark.parametrize(
    ("review", "expected"),
    [("PENDING", InReview), ("ACCEPTED", Approved), ("OVERRIDDEN", Approved), ("REJECTED", Declined)],
)
async def test_a_review_is_looked_up(review: str, expected: type) -> None:
    risk = {"response": {"gatewayCode": "REVIEW_REQUIRED", "review": {"decision": review}}}
    async with adapter_before(always(replied(risk=risk))) as (adapter, _):
        reviewed = Reviewed(lost(), "op_1")
        found = await adapter.look_up_review(reviewed)
        decided = await adapter.decide_review(reviewed, accept=True, note="")

    assert isinstance(found, expected)
    assert isinstance(decided, NotProcessed)
    assert "Merchant Administration" in decided.reason.gateway_reason


# 3-D Secure


def authentication(status: str, result: str = "SUCCESS", gateway: str = "PROCEED", **block: Any) -> Answered:
    return Answered(
        201,
        {
            "result": result,
            "merchant": "TESTMID",
            "order": {"id": "pay_1", "authenticationStatus": status},
            "transaction": {"id": "3ds_1", "type": "AUTHENTICATION", "authenticationStatus": status},
            "response": {"gatewayCode": "AUTHENTICATION_IN_PROGRESS", "gatewayRecommendation": gateway},
            "authentication": block,
        },
    )


START = StartAuthentication("3ds_1", "pay_1", ASKED, CARD)
AUTHENTICATE = Authenticate("3ds_1", "pay_1", ASKED, CARD, "3ds_1", "https://shop.example/back", Device("192.0.2.7"))
METHOD = {"customizedHtml": {"3ds2": {"methodUrl": "https://acs.example/method", "methodPostData": "eyJ0In0"}}}


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (authentication("AUTHENTICATION_AVAILABLE", version="3DS2", redirect=METHOD),
         DeviceCollection("3ds_1", "https://acs.example/method", (("threeDSMethodData", "eyJ0In0"),))),
        (authentication("AUTHENTICATION_AVAILABLE", version="3DS2"), DeviceCollection("3ds_1")),
    ],
)  # fmt: skip
async def test_an_authentication_begins_with_the_device(answer: Answered, expected: DeviceCollection) -> None:
    async with adapter_before(always(answer)) as (adapter, server):
        assert await adapter.start_authentication(START) == expected

    assert server.received[0].json["authentication"]["channel"] == "PAYER_BROWSER"
    assert server.received[0].json["order"]["currency"] == "KZT"


@pytest.mark.parametrize(
    ("answer", "proceed"),
    [
        (authentication("AUTHENTICATION_NOT_SUPPORTED", version="NONE"), True),
        (authentication("AUTHENTICATION_NOT_IN_EFFECT"), True),
        (authentication("AUTHENTICATION_NOT_SUPPORTED", gateway="DO_NOT_PROCEED"), False),
        (REFUSED, False),
    ],
)
async def test_a_card_that_takes_no_part_is_told(answer: Answered, proceed: bool) -> None:
    async with adapter_before(always(answer)) as (adapter, _):
        told = await adapter.start_authentication(START)

    assert isinstance(told, NotAuthenticated), told
    assert told.proceed is proceed


def result_of(status: str, eci: str, letter: str, result: str = "SUCCESS", gateway: str = "PROCEED") -> Answered:
    scheme = {"acsEci": eci, "authenticationToken": "mHyn+7YFi1EUAREAAAAvNUe6Hv8=", "transactionId": "d5"}
    details = {"transactionStatus": letter, "protocolVersion": "2.2.0", "dsTransactionId": "d6"}
    return authentication(status, result, gateway, **{"3ds": scheme, "3ds2": details})


@pytest.mark.parametrize(
    ("answer", "status", "eci", "liable"),
    [
        (result_of("AUTHENTICATION_SUCCESSFUL", "02", "Y"), "Y", "02", True),
        (result_of("AUTHENTICATION_SUCCESSFUL", "5", "Y"), "Y", "05", True),
        (result_of("AUTHENTICATION_ATTEMPTED", "01", "A"), "A", "01", True),
        (result_of("AUTHENTICATION_SUCCESSFUL", "", "Y"), "Y", "", False),
    ],
)
async def test_without_a_challenge_the_payer_is_authenticated(
    answer: Answered, status: str, eci: str, liable: bool
) -> None:
    async with adapter_before(always(answer)) as (adapter, server):
        told = await adapter.authenticate(AUTHENTICATE)

    assert told == Authenticated(
        "mpgs:3ds_1", status, eci, "mHyn+7YFi1EUAREAAAAvNUe6Hv8=", "d6", "2.2.0", liability_shift=liable
    )
    body = server.received[0].json
    assert body["authentication"] == {"redirectResponseUrl": "https://shop.example/back"}
    assert body["device"]["browserDetails"]["3DSecureChallengeWindowSize"] == "FULL_SCREEN"


CUSTOM = {"customizedHtml": {"3ds2": {"acsUrl": "https://acs.example/c", "cReq": "e30"}}}
PAGE = """<div><form name="challenge" method="POST" action="https://acs.example/challenge">
<input type="hidden" name="creq" value="eyJ0aHJlZSI&amp;"/><input type="submit"></form><form action="https://evil.example"></form></div>"""


@pytest.mark.parametrize(
    ("redirect", "url", "fields"),
    [
        ({"html": PAGE}, "https://acs.example/challenge", (("creq", "eyJ0aHJlZSI&"),)),
        (
            {"customizedHtml": {"3ds2": {"acsUrl": "https://acs.example/c", "cReq": "e30"}}},
            "https://acs.example/c",
            (("creq", "e30"),),
        ),
        ({"html": '<form action="javascript:alert(1)">'}, "", ()),
        ({}, "", ()),
    ],
)
async def test_a_challenge_is_a_form(redirect: dict[str, Any], url: str, fields: tuple[tuple[str, str], ...]) -> None:
    pending = authentication("AUTHENTICATION_PENDING", "PENDING", redirect=redirect, payerInteraction="REQUIRED")
    done = result_of("AUTHENTICATION_SUCCESSFUL", "02", "Y")
    async with adapter_before(in_turn(pending, authentication("AUTHENTICATION_PENDING", "PENDING"), done)) as (
        adapter,
        server,
    ):
        asked = await adapter.authenticate(AUTHENTICATE)
        early = await adapter.complete_authentication(AUTHENTICATE, "3ds_1")
        late = await adapter.complete_authentication(AUTHENTICATE, "3ds_1")

    assert asked == Challenge("3ds_1", url, fields)
    assert isinstance(early, Challenge)
    assert isinstance(late, Authenticated)
    assert [request.method for request in server.received] == ["PUT", "GET", "GET"]


@pytest.mark.parametrize(
    ("answer", "letter", "proceed"),
    [
        (result_of("AUTHENTICATION_FAILED", "00", "N", gateway="DO_NOT_PROCEED", result="FAILURE"), "N", False),
        (result_of("AUTHENTICATION_REJECTED", "", "R", gateway="DO_NOT_PROCEED", result="FAILURE"), "R", False),
        (result_of("AUTHENTICATION_UNAVAILABLE", "", "U"), "U", True),
        (result_of("AUTHENTICATION_UNAVAILABLE", "", "U", gateway="DO_NOT_PROCEED"), "U", False),
        (authentication("AUTHENTICATION_EXEMPT"), "", True),
        (result_of("AUTHENTICATION_SUCCESSFUL", "02", "Y", gateway="DO_NOT_PROCEED"), "Y", False),
    ],
)
async def test_who_is_not_authenticated_is_told_with_what_may_follow(
    answer: Answered, letter: str, proceed: bool
) -> None:
    async with adapter_before(always(answer)) as (adapter, _):
        told = await adapter.authenticate(AUTHENTICATE)

    assert isinstance(told, NotAuthenticated), told
    assert (told.status, told.proceed) == (letter, proceed)


@pytest.mark.parametrize(
    "answer",
    [
        DROP,
        Answered(200, b"{"),
        Answered(500, {"result": "ERROR", "error": {"cause": "SERVER_FAILED"}}),
        authentication("SOMETHING_NEW"),
        result_of("AUTHENTICATION_SUCCESSFUL", "02", "N"),
        Answered(201, {"result": "SUCCESS", "order": {"id": "pay_2"}, "transaction": {"id": "3ds_1"}}),
    ],
)
async def test_an_authentication_without_a_usable_answer_is_unknown(answer: Answered) -> None:
    async with adapter_before(always(answer)) as (adapter, _):
        assert isinstance(await adapter.authenticate(AUTHENTICATE), Unknown)


# Tokens and sessions


async def test_a_card_is_kept_used_and_forgotten() -> None:
    kept = {"result": "SUCCESS", "token": "9876543210123456", "status": "VALID",
            "sourceOfFunds": {"provided": {"card": {"number": "512345xxxxxx0008", "brand": "MASTERCARD"}}}}  # fmt: skip
    script = in_turn(Answered(201, kept), Answered(200, kept), replied(), Answered(200, {"result": "SUCCESS"}))
    async with adapter_before(script) as (adapter, server):
        card = await adapter.tokens.keep(CARD)
        found = await adapter.tokens.find(card.token)
        paid = await adapter.charge(Charge("op_1", "pay_1", ASKED, card.token))
        await adapter.tokens.forget(card.token)

    assert (card, card.token, card.masked) == (found, Token("9876543210123456"), "512345xxxxxx0008")
    assert isinstance(paid, Approved)
    token = f"{MERCHANT}/token/9876543210123456"
    assert [(request.method, request.target) for request in server.received] == [
        ("POST", f"{MERCHANT}/token"), ("GET", token), ("PUT", TRANSACTION), ("DELETE", token)]  # fmt: skip
    assert server.received[2].json["sourceOfFunds"] == {"type": "CARD", "token": "9876543210123456"}


async def test_a_session_carries_the_card_and_a_version() -> None:
    session_id = "SESSION0002000000000000000000001"
    script = in_turn(
        Answered(201, {"result": "SUCCESS", "session": {"id": session_id, "version": "a1"}}),
        Answered(200, {"session": {"id": session_id, "version": "a2", "updateStatus": "SUCCESS"}}),
        Answered(200, {"session": {"id": session_id, "version": "a2", "updateStatus": "NO_UPDATE"}}),
        replied(type_="PAYMENT", status="CAPTURED"),
    )
    async with adapter_before(script) as (adapter, server):
        session = await adapter.sessions.create()
        filled = await adapter.sessions.put_card(session, CARD, ASKED)
        found = await adapter.sessions.find(filled)
        paid = await adapter.charge(Charge("op_1", "pay_1", ASKED, found, capture=True))

    assert (session, filled) == (Session(session_id, "a1"), Session(session_id, "a2"))
    assert isinstance(paid, Approved), paid
    assert server.received[1].json["session"] == {"version": "a1"}
    assert server.received[3].json["session"] == {"id": session_id, "version": "a2"}
    assert "provided" not in server.received[3].json["sourceOfFunds"]


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (REFUSED, GatewayRefusedError),
        (Answered(401, {"result": "ERROR", "error": {"cause": "INVALID_REQUEST"}}), GatewayRefusedError),
        (BUSY, GatewaySilentError),
        (DROP, GatewaySilentError),
        (Answered(200, b"["), GatewaySilentError),
        (Answered(502, b"{}"), GatewaySilentError),
        (Answered(200, {"result": "SUCCESS"}), GatewaySilentError),
    ],
)
async def test_tokens_and_sessions_fail_with_an_error(answer: Answered, error: type[Exception]) -> None:
    async with adapter_before(always(answer)) as (adapter, _):
        with pytest.raises(error):
            await adapter.tokens.keep(CARD)
        with pytest.raises(error):
            await adapter.sessions.create()


async def test_a_session_that_was_not_updated_is_an_error() -> None:
    answer = Answered(200, {"session": {"id": "S", "version": "a", "updateStatus": "FAILURE"}})
    async with adapter_before(always(answer)) as (adapter, _):
        with pytest.raises(GatewayRefusedError):
            await adapter.sessions.put_card(Session("S", "a"), CARD)


# Notifications


def told(body: dict[str, Any] | bytes | None = None, **headers: str | None) -> tuple[dict[str, str], bytes]:
    given = {"x-notification-secret": NOTIFICATIONS, "x-notification-id": "n-1", "x-notification-attempt": "1"}
    for name, value in headers.items():
        given[name.replace("_", "-")] = value or ""
    content = body if isinstance(body, bytes) else json.dumps(replied().body if body is None else body).encode()
    return given, content


async def test_a_notification_is_a_hint_with_a_key_for_duplicates() -> None:
    async with adapter_before(always(ABSENT)) as (adapter, server):
        notice = adapter.read_notice(*told(), now_ms=0)

    assert notice is not None
    assert (notice.notice_id, notice.kind, notice.references, notice.gateway_ids) == (
        "n-1", "AUTHORIZATION", ("pay_1",), ("op_1",))  # fmt: skip
    assert server.received == []


@pytest.mark.parametrize(
    "notice",
    [
        told(x_notification_secret=None),
        told(x_notification_secret=NOTIFICATIONS.lower()),
        told(x_notification_secret=NOTIFICATIONS + " "),
        told(x_notification_secret="\udcff"),
        told(x_notification_id=None),
        told(x_notification_id="a\r\nb"),
        told(x_notification_id="n" * 101),
        told({}),
        told({"merchant": "OTHER", "order": {"id": "o"}, "transaction": {"id": "t"}}),
        told(b"\xff{"),
        told(b"[]"),
        told(b" " * 300_000 + b"{}"),
    ],
)
async def test_what_is_not_authentic_or_not_readable_is_no_notification(notice: tuple[dict[str, str], bytes]) -> None:
    async with adapter_before(always(ABSENT)) as (adapter, _):
        assert adapter.read_notice(*notice, now_ms=0) is None


async def test_without_a_secret_no_notification_is_authentic() -> None:
    async with adapter_before(always(ABSENT), notification_secret=None) as (adapter, _):
        assert adapter.read_notice(*told(x_notification_secret=""), now_ms=0) is None


# Settlement

DAY = date(2026, 9, 21)


def history(*rows: tuple[str, str, str, str, str, str]) -> bytes:
    """Write rows of (order, transaction, type, amount, target, settlement date)."""
    lines = [",".join(COLUMNS)]
    for order, transaction, type_, amount, target, settled in rows:
        lines.append(
            f"2026-09-21T10:00:00.083Z,SUCCESS,{order},{transaction},{type_},{amount},KZT,{target},322020206201,20260921,{settled}"
        )
    return ("\r\n".join(lines) + "\r\n").encode()


REPORT = history(
    ("pay_1", "a", "AUTHORIZATION", "100", "", ""),
    ("pay_1", "b", "CAPTURE", "60.5", "", "2026-09-21"),
    ("pay_1", "c", "CAPTURE", "39.5", "", "2026-09-22"),
    ("pay_2", "d", "PAYMENT", "7.00", "", "2026-09-21"),
    ("pay_2", "e", "VOID_PAYMENT", "7.00", "", "2026-09-21"),
    ("pay_3", "f", "PAYMENT", "9", "", "2026-09-21"),
    ("pay_3", "g", "REFUND", "4.01", "", "2026-09-21"),
    ("pay_3", "h", "REFUND", "1", "", "2026-09-21"),
    ("pay_3", "i", "VOID_REFUND", "1", "h", "2026-09-21"),
    ("pay_4", "j", "CHARGEBACK", "20", "x", "2026-09-21"),
)


def csv_of(content: bytes) -> Script:
    return always(Answered(200, content, "text/csv"))


async def test_a_day_is_settled_from_the_history() -> None:
    clock = lambda: datetime(2026, 9, 22, 13, tzinfo=UTC)  # noqa: E731
    async with adapter_before(csv_of(REPORT), clock=clock) as (adapter, server):
        report = await adapter.settlement(DAY)

    assert report is not None
    assert [(line.line_id, line.kind, line.amount.minor, line.net_minor) for line in report.lines] == [
        ("pay_1/b", LineKind.CAPTURE, 6050, 6050),
        ("pay_3/f", LineKind.CAPTURE, 900, 900),
        ("pay_3/g", LineKind.REFUND, 401, -401),
        ("pay_4/j", LineKind.CHARGEBACK, 2000, -2000),
    ]
    line = report.lines[0]
    assert (line.reference, line.operation_id, line.gateway_id, line.batch_id) == ("pay_1", "b", "b", "20260921")
    assert (report.day, report.complete, report.lines[3].gateway_id) == (DAY, True, "x")
    request = server.received[0]
    asked = parse_qs(urlsplit(request.target).query)
    assert urlsplit(request.target).path == "/history/version/1/merchant/TESTMID/transaction"
    assert asked["columns"] == asked["columnHeaders"] == [",".join(COLUMNS)]
    assert asked["timeOfRecord.start"] == ["2026-09-14T00:00:00Z"]
    assert asked["timeOfRecord.end"] == ["2026-09-23T00:00:00Z"]
    assert base64.b64decode(request.headers["authorization"].removeprefix("Basic ")).endswith(REPORTING.encode())


async def test_a_day_that_is_not_over_is_not_there_or_not_complete() -> None:
    async with adapter_before(in_turn(Answered(200, REPORT), Answered(200, history()))) as (adapter, _):
        part = await adapter.settlement(DAY)
        nothing = await adapter.settlement(DAY)

    assert part is not None
    assert not part.complete
    assert nothing is None


async def test_chargebacks_are_disputes() -> None:
    async with adapter_before(csv_of(REPORT)) as (adapter, server):
        (dispute,) = await adapter.disputes(DAY, DAY)

    assert (dispute.dispute_id, dispute.reference, dispute.gateway_id) == ("pay_4/j", "pay_4", "x")
    assert dispute.amount == Money.of(2000, "KZT")
    assert "timeOfRecord.end=2026-09-22T00:00:00Z" in server.received[0].target


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe",
        b"a,b\r\n",
        REPORT.replace(b"timeOfRecord,result", b"result,timeOfRecord"),
        REPORT + b"one,two\r\n",
        REPORT.replace(b"60.5", b"60.555"),
        REPORT.replace(b"60.5", b"-60.5"),
        REPORT.replace(b"60.5", b""),
        REPORT.replace(b"KZT", b"XXX"),
        REPORT.replace(b"2026-09-21T10:00:00.083Z", b"yesterday"),
        REPORT.replace(b"2026-09-21T10:00:00.083Z", b"2026-09-21T10:00:00"),
        REPORT.replace(b",2026-09-22", b",22.09.2026"),
        REPORT.replace(b"REFUND,4.01", b"SOMETHING_NEW,4.01"),
        REPORT.replace(b"VOID_REFUND,1,KZT,h", b"VOID_REFUND,1,KZT,"),
        REPORT.replace(b"pay_1,b,", b",b,"),
        REPORT.replace(b"pay_1,b,", b'"pay_1"x,b,'),
    ],
)
async def test_a_history_that_cannot_be_read_whole_is_not_read(content: bytes) -> None:
    async with adapter_before(csv_of(content)) as (adapter, _):
        with pytest.raises(SettlementUnreadableError):
            await adapter.settlement(DAY)


@pytest.mark.parametrize("answer", [DROP, Answered(401, b""), Answered(500, b"")])
async def test_a_history_that_is_not_received_is_an_error(answer: Answered) -> None:
    async with adapter_before(always(answer)) as (adapter, _):
        with pytest.raises(SettlementUnreadableError):
            await adapter.disputes(DAY, DAY)


def test_the_newest_event_of_a_transaction_counts() -> None:
    rows = rows_of(history(("p", "a", "CAPTURE", "1", "", ""), ("p", "a", "CAPTURE", "1", "", "2026-09-21")))

    assert [row.settled_on for row in rows] == [DAY]


async def test_a_batch_is_closed_with_the_reporting_password() -> None:
    script = in_turn(Answered(200, {"result": "SUCCESS"}), REFUSED, DROP, Answered(200, b"x"))
    async with adapter_before(script) as (adapter, server):
        closed = [await adapter.close_batch("ACQ", "MASTERCARD", "KZT") for _ in range(4)]

    assert [one.done for one in closed] == [True, False, False, False]
    assert (server.received[0].method, server.received[0].target) == ("PUT", f"{MERCHANT}/batch")
    assert server.received[0].json == {"acquirer": {"id": "ACQ", "cardType": "MASTERCARD", "currency": "KZT"}}
    assert base64.b64decode(server.received[0].headers["authorization"][6:]).endswith(REPORTING.encode())


async def test_is_healthy_when_it_operates_and_knows_us() -> None:
    operating, information = Answered(200, {"status": "OPERATING"}), ("GET", "/api/rest/version/100/information")
    refused = Answered(401, {"result": "ERROR"})
    for script, healthy in (
        ({information: operating}, True),
        ({information: operating, ("GET", f"{MERCHANT}/order/healthy"): refused}, False),
        ({information: Answered(200, {"status": "DOWN"})}, False),
        ({information: Answered(200, b"x")}, False),
        ({}, False),
    ):
        async with adapter_before(paths(script)) as (adapter, server):
            assert await adapter.healthy() is healthy, script
        assert "authorization" not in server.received[0].headers


async def test_no_card_data_or_secret_is_logged_or_shown() -> None:
    stream = io.StringIO()
    log.configure(stream=stream)
    try:
        async with adapter_before(in_turn(replied(), Answered(200, b"garbage"), REFUSED, ABSENT)) as (adapter, _):
            outcomes = [
                await adapter.authorize(AUTHORIZE),
                await adapter.authorize(AUTHORIZE),
                await adapter.capture(Capture("op_1", "pay_1", "op_0", ASKED)),
                await adapter.inquire(lost()),
            ]
            shown = stream.getvalue() + repr(adapter) + repr(AUTHORIZE) + repr(outcomes)
            shown += repr(adapter._configuration)
    finally:
        log.configure("warning")

    assert shown.count("mastercard.answered") == 4
    assert "op_1" in shown
    for hidden in (PAN, PASSWORD, REPORTING, NOTIFICATIONS, "Basic", "'100'"):
        assert hidden not in shown
    assert undo_id("op_1", 1) == "op_1.u1"
