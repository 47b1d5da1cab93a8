"""Every documented trigger of the card gateways through our adapters: what the tables say is what payments hear.

The simulators stand for the gateways. An unknown outcome is never a decline, not even when it is looked up later.
"""

from __future__ import annotations

import csv
import itertools
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest

from shanraq.adapters.endpoints import Endpoints
from shanraq.adapters.mastercard import MastercardAdapter, MastercardConfiguration
from shanraq.adapters.visa import VisaAdapter, VisaConfiguration
from shanraq.core.breaker import BreakerLimits
from shanraq.core.http import HttpClient
from shanraq.core.money import Currency, Money
from shanraq.core.secret import Pan, Secret, SecurityCode
from shanraq.payments.adapter import (
    Approved,
    Authenticate,
    Authenticated,
    Authentication,
    Authorize,
    Billing,
    Card,
    Challenge,
    DeclineClass,
    Declined,
    Device,
    DeviceCollection,
    Finding,
    InReview,
    Lost,
    NotAuthenticated,
    NotFound,
    NotProcessed,
    OperationKind,
    Outcome,
    Reason,
    StartAuthentication,
    Unknown,
    Verify,
)
from shanraq.simulators.mastercard import MastercardCredentials, MastercardSimulator
from shanraq.simulators.visa import VisaCredentials, VisaSimulator
from tests.conformance.data import conformance_data
from tests.conformance.mpgs_client import Form, Page, client, submit


def load(path: str) -> Any:
    return json.loads(conformance_data(f"cards/{path}").read_bytes())


def rows(path: str) -> list[dict[str, str]]:
    with conformance_data(f"cards/{path}").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


VISA: Final = load("cybersource/triggers.json")
VISA_CARDS: Final = load("cybersource/test-cards.json")
VISA_REASONS: Final = {row["reason"]: row for row in rows("cybersource/reason-codes.csv") if row["reason"]}
MASTERCARD: Final = load("mpgs/triggers.json")
MASTERCARD_CARDS: Final = load("mpgs/test-cards.json")
MASTERCARD_CODES: Final = {row["gatewayCode"]: row for row in rows("mpgs/gateway-codes.csv")}
RECORDED: Final = load("vectors/outcomes.json")
TAXONOMY: Final = load("domain/decline-taxonomy.json")
CVN: Final = {row["code"]: row["meaning"] for row in rows("domain/cvn-codes.csv")}
AVS: Final = {row["code"]: row for row in rows("domain/avs-codes.csv")}

AMOUNT: Final = Money.of(1_500_000, "KZT")
BILLING: Final = Billing("Aigerim", "Tester", "a@example.kz", "+77010000000", "Abay 1", "Almaty", "050000", "", "KZ")
GOOD: Final = "5123450000000008"
DEVICE: Final = Device("192.0.2.7", "agent", "text/html", "en-US", 24, 1080, 1920, -300)
RETURN: Final = "https://shop.example/back"
OPERATIONS: Final = ("authorize", "sale", "verify")
_ids = itertools.count(1)


def fresh(name: str) -> str:
    return f"{name}{next(_ids)}"


def minor_of(text: str) -> Money:
    return Money.parse(text, Currency.of("KZT"))


def card_of(number: str, expiry: str = "01/39", code: str | None = None) -> Card:
    month, year = expiry.split("/")
    return Card(Pan(number), int(month), 2000 + int(year), None if code is None else SecurityCode(code))


def word_of(outcome: Outcome | Finding, asked: Money) -> str:
    """The word of the recorded outcomes for what an adapter answered."""
    match outcome:
        case Approved(_, amount):
            return "approved" if amount == asked else "partially_approved"
        case Declined(reason):
            kind = DeclineClass.AUTHENTICATION_REQUIRED
            return "authentication_required" if reason.kind is kind else "declined"
        case InReview():
            return "review"
        case NotProcessed(reason):
            return "auth_error" if reason.gateway_reason == "authentication failed" else "not_processed"
        case NotFound():
            return "not_found"
        case Unknown():
            return "unknown"


@dataclass
class Visa:
    """The Visa adapter before its simulator."""

    adapter: VisaAdapter
    simulator: VisaSimulator


@dataclass
class Mastercard:
    """The Mastercard adapter before its simulator."""

    adapter: MastercardAdapter
    simulator: MastercardSimulator


# The triggers make trouble in a row: a breaker would answer in the gateway's place.
PATIENT: Final = BreakerLimits(failures_in_a_row=10_000, window_requests=1_000_000)


@pytest.fixture(scope="module")
async def visa() -> AsyncIterator[Visa]:
    async with VisaSimulator(VisaCredentials.generate(), index_lag_seconds=0) as simulator:
        known = simulator.credentials
        adapter = VisaAdapter(
            VisaConfiguration(
                simulator.base_url, known.merchant_id, known.key_id, Secret(known.secret), index_lag_seconds=0,
                breaker=PATIENT,
            ),
            HttpClient(),
        )  # fmt: skip
        yield Visa(adapter, simulator)
        await adapter.close()


@pytest.fixture(scope="module")
async def mastercard() -> AsyncIterator[Mastercard]:
    async with MastercardSimulator(MastercardCredentials.generate()) as simulator:
        known = simulator.credentials
        adapter = MastercardAdapter(
            MastercardConfiguration(known.merchant_id, Secret(known.password), timeout_seconds=1.0),
            Endpoints(HttpClient(), (simulator.base_url,), limits=PATIENT),
        )
        yield Mastercard(adapter, simulator)
        await adapter.close()


World = Visa | Mastercard


async def sent(
    world: World, operation: str, card: Card, *, amount: Money = AMOUNT, reference: str = "", billing: Billing = BILLING
) -> tuple[Outcome, Lost]:
    """Send an operation that begins a payment, and return its outcome and how it would be looked up."""
    operation_id, reference = fresh("op"), reference or fresh("pay")
    if operation == "verify":
        nothing = replace(amount, minor=0)
        outcome = await world.adapter.verify(Verify(operation_id, reference, nothing, card, billing))
        return outcome, Lost(operation_id, reference, OperationKind.VERIFY, nothing, long_ago())
    sale = operation == "sale"
    outcome = await world.adapter.authorize(Authorize(operation_id, reference, amount, card, sale, billing))
    return outcome, Lost(operation_id, reference, OperationKind.AUTHORIZE, amount, long_ago(), sale)


def long_ago() -> datetime:
    return datetime.now(UTC) - timedelta(hours=1)


async def never_a_decline(world: World, lost: Lost) -> Finding:
    """Look an unknown operation up: whatever is found, it is no decline."""
    found = await world.adapter.inquire(lost)
    assert not isinstance(found, Declined), found
    return found


def same(reason: Reason, row: dict[str, str]) -> None:
    """Check a reason against its row of a table: our code and class, and that the taxonomy knows them.

    What to do is the table's only where neither the issuer nor the scheme said something of its own.
    """
    assert (reason.code, reason.kind) == (row["proposed_code"], row["proposed_class"])
    assert reason.code in TAXONOMY["codes"]
    assert reason.kind in TAXONOMY["classes"]
    if row.get("proposed_action") and not (reason.issuer_code or reason.advice_code):
        assert reason.advice == row["proposed_action"]


def test_the_recorded_outcomes_know_every_word_of_this_suite() -> None:
    words = {row["expect"]["outcome"] for row in RECORDED}

    assert words - {"accepted"} == {
        "approved", "partially_approved", "declined", "review", "authentication_required", "not_processed", "auth_error",
        "unknown",
    }  # fmt: skip


# The Visa adapter.

VISA_NUMBERS: Final = [one for one in VISA if one["trigger"] == "card"]


def expected_word(expect: dict[str, Any]) -> str:
    """What a trigger of CyberSource means: its HTTP status and status, as the recorded outcomes read them."""
    if expect.get("http") == 400:
        return "not_processed"
    if expect.get("http") == 502 or "connection" in expect:
        return "unknown"
    reason = VISA_REASONS.get(expect.get("reason", ""), {})
    if reason.get("proposed_class") == "authentication_required":
        return "authentication_required"
    return {
        "DECLINED": "declined",
        "AUTHORIZED_PENDING_REVIEW": "review",
        "PARTIAL_AUTHORIZED": "partially_approved",
        "PENDING_AUTHENTICATION": "authentication_required",
    }[str(expect["status"])]


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("trigger", VISA_NUMBERS, ids=lambda one: str(one.get("legacyCode", "public")))
async def test_a_card_of_visa_answers_with_its_reason(visa: Visa, trigger: dict[str, Any], operation: str) -> None:
    expect = trigger["expect"]
    outcome, _ = await sent(visa, operation, card_of(trigger["match"]))

    word = expected_word(expect)
    # The check of a card holds no money that could be kept for a review: it is approved or declined.
    assert word_of(outcome, AMOUNT) == ("declined" if (word, operation) == ("review", "verify") else word), outcome
    assert isinstance(outcome, Declined | InReview | NotProcessed)
    assert outcome.reason.gateway_reason == expect["reason"]
    same(outcome.reason, VISA_REASONS[expect["reason"]])


@pytest.mark.parametrize("operation", ["authorize", "sale"])
async def test_a_part_is_approved_by_visa(visa: Visa, operation: str) -> None:
    (trigger,) = (one for one in VISA if one["expect"].get("authorizedLessThanTotal"))
    amount = minor_of(trigger["match"])
    outcome, lost = await sent(visa, operation, card_of("4111111111111111"), amount=amount)

    assert word_of(outcome, amount) == expected_word(trigger["expect"]) == "partially_approved"
    assert isinstance(outcome, Approved)
    assert 0 < outcome.amount.minor < amount.minor
    found = await visa.adapter.inquire(lost)
    assert isinstance(found, Approved)
    assert found.amount == outcome.amount


@pytest.mark.parametrize("operation", ["authorize", "sale"])
@pytest.mark.parametrize(
    "trigger", [one for one in VISA if expected_word(one["expect"]) == "unknown"], ids=lambda one: str(one["match"])
)
async def test_what_visa_does_not_tell_is_unknown(visa: Visa, trigger: dict[str, Any], operation: str) -> None:
    assert trigger["trigger"] == "amount"
    amount = minor_of(trigger["match"])
    outcome, lost = await sent(visa, operation, card_of("4111111111111111"), amount=amount)

    assert isinstance(outcome, Unknown), outcome
    found = await never_a_decline(visa, lost)
    if trigger["expect"].get("payment") == "accepted":
        assert isinstance(found, Approved)
        assert found.amount == amount
        undone = await visa.adapter.undo(lost)
        assert isinstance(undone, Approved)
        assert isinstance(await visa.adapter.inquire(lost), NotFound)


@pytest.mark.parametrize("operation", OPERATIONS)
async def test_a_postal_code_of_visa_declines_any_card(visa: Visa, operation: str) -> None:
    (trigger,) = (one for one in VISA if one["trigger"] == "postalCode")
    where = replace(BILLING, postal_code=trigger["match"], country="US", region="IN")
    for number in ("4111111111111111", "5555555555554444"):
        outcome, _ = await sent(visa, operation, card_of(number), billing=where)
        assert word_of(outcome, AMOUNT) == "declined", outcome
        assert isinstance(outcome, Declined)
        same(outcome.reason, VISA_REASONS[outcome.reason.gateway_reason])


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize(
    "card",
    [one for one in VISA_CARDS if one.get("scenario") != "decline"],
    ids=lambda one: f"{one['brand']}-{one['number'][-4:]}",
)
async def test_a_test_card_of_visa_is_approved(visa: Visa, card: dict[str, str], operation: str) -> None:
    code = card.get("securityCode", "1234" if card["brand"] == "amex" else "123")
    outcome, _ = await sent(visa, operation, card_of(card["number"], code=code))

    asked = replace(AMOUNT, minor=0) if operation == "verify" else AMOUNT
    assert word_of(outcome, asked) == "approved", outcome


@pytest.mark.parametrize(
    "card", [one for one in VISA_CARDS if "securityCode" in one], ids=lambda one: one["number"][-4:]
)
async def test_a_wrong_security_code_is_declined_by_visa(visa: Visa, card: dict[str, str]) -> None:
    outcome, _ = await sent(visa, "authorize", card_of(card["number"], code="999"))

    assert isinstance(outcome, Declined), outcome
    same(outcome.reason, VISA_REASONS["CVN_NOT_MATCH"])


SCENARIOS: Final = [one for one in VISA_CARDS if str(one.get("scenario", "")).startswith("3ds-")]


@pytest.mark.parametrize("card", SCENARIOS, ids=lambda one: f"{one['brand']}-{one['scenario']}-{one['number'][-4:]}")
async def test_a_card_of_visa_is_authenticated_as_its_scenario_says(visa: Visa, card: dict[str, str]) -> None:
    outcome, command = await authenticated(visa, card["number"])

    if card["scenario"] == "3ds-challenge-success":
        assert isinstance(outcome, Challenge), outcome
        assert outcome.url.startswith("http")
    else:
        assert isinstance(outcome, Authenticated), outcome
        assert (outcome.status, outcome.liability_shift) == ("Y", True)
        assert await paid(visa, command, outcome) == "approved"


# By the last digits of 4000000000001xxx (recalled from the gateway's documentation).
CASES: Final = {"000": "Y", "018": "N", "026": "A", "034": "U", "042": "R", "091": "C"}


@pytest.mark.parametrize(("digits", "letter"), CASES.items())
async def test_the_last_digits_decide_how_visa_authenticates(visa: Visa, digits: str, letter: str) -> None:
    outcome, command = await authenticated(visa, f"4000000000001{digits}")

    assert letter_of(outcome) == letter, outcome
    if isinstance(outcome, Authenticated):
        assert outcome.eci == {"Y": "05", "A": "06"}[letter]
        assert await paid(visa, command, outcome) == "approved"
    elif isinstance(outcome, NotAuthenticated):
        assert outcome.proceed is (letter == "U")


# The Mastercard adapter.


def mastercard_word(row: dict[str, str]) -> str:
    """What a gateway code means for money. Only a decline that says so needs authentication."""
    match row["outcome"], row["proposed_class"]:
        case "declined", "authentication_required":
            return "authentication_required"
        case ("approved" | "partially_approved" | "declined" | "not_processed") as word, _:
            return word
        case _:
            return "unknown"


async def check(world: Mastercard, code: str, outcome: Outcome, lost: Lost) -> None:
    """Check an outcome against the table of gateway codes."""
    row = MASTERCARD_CODES[code]
    word = word_of(outcome, lost.amount)

    assert word == mastercard_word(row), outcome
    match outcome:
        case Declined(reason):
            assert reason.gateway_reason == code
            same(reason, row)
        case NotProcessed():
            assert outcome.retryable
        case Unknown():
            await never_a_decline(world, lost)
        case _:
            assert isinstance(outcome, Approved)


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("expiry", [*MASTERCARD["expiry"], "12/30"])
async def test_an_expiry_of_mastercard_answers_with_its_code(
    mastercard: Mastercard, expiry: str, operation: str
) -> None:
    outcome, lost = await sent(mastercard, operation, card_of(GOOD, expiry))

    await check(mastercard, MASTERCARD["expiry"].get(expiry, "APPROVED"), outcome, lost)


LISTED: Final = [code for code, row in MASTERCARD_CODES.items() if row["listed_in_v100_reference"] == "yes"]


@pytest.mark.parametrize("operation", ["authorize", "sale"])
@pytest.mark.parametrize("code", LISTED)
async def test_a_reference_of_mastercard_answers_with_its_code(
    mastercard: Mastercard, code: str, operation: str
) -> None:
    reference = f"{fresh('s')}.FAIL{code}"
    outcome, lost = await sent(mastercard, operation, card_of(GOOD), reference=reference)

    await check(mastercard, code, outcome, lost)
    if isinstance(outcome, Unknown):
        # Taking back what may have happened leaves nothing, and is no decline either.
        undone = await mastercard.adapter.undo(lost)
        assert isinstance(undone, Approved | NotFound | Unknown), undone
    if not isinstance(outcome, Approved):
        (order,) = (one for one in mastercard.simulator.orders() if one["order_id"] == reference)
        assert (order["authorized_minor"], order["captured_minor"]) == (0, 0)


@pytest.mark.parametrize(
    ("reference", "words"),
    [
        ("TEST-SUCCEED", ["approved"]),
        ("TEST-SUCCESS-INIT", ["approved"]),
        ("TEST-FAIL-DECLINE", ["declined", "declined"]),
        ("TEST-FAIL-INIT", ["declined"]),
        ("TEST-PENDING", ["unknown"]),
        ("TEST-FAIL-THEN-SUCCESS", ["declined", "approved"]),
        ("TEST-TIMEOUT-THEN-SUCCESS", ["unknown", "approved"]),
    ],
)
async def test_a_reference_for_tests_of_mastercard_decides(
    mastercard: Mastercard, reference: str, words: list[str]
) -> None:
    assert reference in MASTERCARD["orderReference"]
    heard = []
    for _ in words:
        outcome, lost = await sent(mastercard, "authorize", card_of(GOOD), reference=reference)
        heard.append(word_of(outcome, AMOUNT))
        if isinstance(outcome, Unknown):
            await never_a_decline(mastercard, lost)

    assert heard == words


MATCHES: Final = {"MATCH": "match", "NOT_PROCESSED": "not processed", "NO_MATCH": "no match"}


@pytest.mark.parametrize(
    ("number", "code", "told"),
    [
        *((GOOD, code, told) for code, told in MASTERCARD["securityCode"].items()),
        *(("371881634498004", code, told) for code, told in MASTERCARD["securityCodeAmex"].items()),
    ],
    ids=str,
)
async def test_a_security_code_of_mastercard_is_told_as_the_schemes_letter(
    mastercard: Mastercard, number: str, code: str, told: str
) -> None:
    outcome, _ = await sent(mastercard, "authorize", card_of(number, code=code))

    assert isinstance(outcome, Approved), outcome
    assert CVN[outcome.checks.security_code] == MATCHES[told]


STREETS: Final = {
    "ADDRESS_MATCH": ("match", "no match"), "ADDRESS_ZIP_MATCH": ("match", "match"), "ZIP_MATCH": ("no match", "match"),
    "NO_MATCH": ("no match", "no match"), "NOT_VERIFIED": ("not verified", "not verified"),
}  # fmt: skip
SERVICES: Final = {
    "SERVICE_NOT_AVAILABLE_RETRY": "retry", "SERVICE_NOT_SUPPORTED": "not supported", "NOT_AVAILABLE": "unavailable",
}  # fmt: skip


@pytest.mark.parametrize(("street", "told"), MASTERCARD["billingStreet"].items())
async def test_a_street_of_mastercard_is_told_as_the_schemes_letter(
    mastercard: Mastercard, street: str, told: str
) -> None:
    outcome, _ = await sent(mastercard, "authorize", card_of(GOOD), billing=replace(BILLING, address=street))

    assert isinstance(outcome, Approved), outcome
    letter = outcome.checks.address
    if told in STREETS:
        assert (AVS[letter]["street"], AVS[letter]["postal"]) == STREETS[told]
    elif told in SERVICES:
        assert AVS[letter]["meaning"] == SERVICES[told]
    elif told == "NOT_REQUESTED":
        assert letter == ""
    else:
        # The name matches with something or alone: American Express's letters, not in the table.
        assert letter == {"NAME_MATCH": "K", "NAME_ADDRESS_MATCH": "O", "NAME_ZIP_MATCH": "L"}[told]


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("card", MASTERCARD_CARDS, ids=lambda one: f"{one['brand']}-{one['number'][-4:]}")
async def test_a_test_card_of_mastercard_is_approved(
    mastercard: Mastercard, card: dict[str, str], operation: str
) -> None:
    outcome, lost = await sent(
        mastercard, operation, card_of(card["number"], code="1000" if card["brand"] == "amex" else "100")
    )

    assert word_of(outcome, lost.amount) == "approved", outcome


# Authentication of payers.


def letter_of(outcome: Authentication) -> str:
    match outcome:
        case Authenticated(_, status):
            return status
        case Challenge():
            return "C"
        case NotAuthenticated(_, status):
            return status
        case Unknown():
            return "unknown"


async def authenticated(world: World, number: str) -> tuple[Authentication, Authenticate]:
    """Authenticate a payer up to the answer of the directory server."""
    key, reference, card = fresh("auth"), fresh("pay"), card_of(number)
    begun = await world.adapter.start_authentication(StartAuthentication(key, reference, AMOUNT, card))
    session = begun.session if isinstance(begun, DeviceCollection) else ""
    command = Authenticate(key, reference, AMOUNT, card, session, RETURN, DEVICE, BILLING)
    if not isinstance(begun, DeviceCollection):
        return begun, command
    if begun.url:
        async with client(follow_redirects=True) as browser:
            told = await submit(browser, Form(begun.url, "post", dict(begun.fields)))
            assert told.status_code == 200
    return await world.adapter.authenticate(command), command


async def paid(world: World, command: Authenticate, authentication: Authenticated) -> str:
    """Pay with an authentication, and return the word of what comes out."""
    asked = Authorize(
        fresh("op"), command.reference, AMOUNT, command.card, billing=BILLING, authentication=authentication
    )
    return word_of(await world.adapter.authorize(asked), AMOUNT)


THREE_DS: Final = [one for one in MASTERCARD["threeDS"] if one["transactionStatus"] in ("Y", "A", "R", "U")]
CHALLENGED: Final = [one for one in MASTERCARD["threeDS"] if one["flow"] == "challenge"]


@pytest.mark.parametrize("card", THREE_DS, ids=lambda one: f"{one['brand']}-{one['flow']}-{one['number'][-4:]}")
async def test_a_card_of_mastercard_is_authenticated_as_listed(mastercard: Mastercard, card: dict[str, str]) -> None:
    outcome, command = await authenticated(mastercard, card["number"])

    letter = card["transactionStatus"]
    if letter in "YA":
        assert isinstance(outcome, Authenticated), outcome
        assert (outcome.status, outcome.eci) == (letter, card["eci"])
        assert outcome.value == MASTERCARD["threeDSAuthenticationToken"][letter]
        assert outcome.liability_shift
        assert await paid(mastercard, command, outcome) == "approved"
    else:
        assert isinstance(outcome, NotAuthenticated), outcome
        assert outcome.proceed is (letter == "U")
        assert outcome.reason.code == "authentication_failed"


@pytest.mark.parametrize("flow", ["error at INITIATE_AUTHENTICATION", "error at AUTHENTICATE_PAYER"])
async def test_an_error_of_an_authentication_is_no_authentication(mastercard: Mastercard, flow: str) -> None:
    (card,) = (one for one in MASTERCARD["threeDS"] if one["flow"] == flow)
    outcome, _ = await authenticated(mastercard, card["number"])

    assert isinstance(outcome, NotAuthenticated | Unknown), outcome


@pytest.mark.parametrize(
    "number", [one["number"] for one in MASTERCARD_CARDS if "not enrolled" in one["use"]], ids=lambda one: one[-4:]
)
async def test_a_card_that_is_not_enrolled_may_be_paid_without(mastercard: Mastercard, number: str) -> None:
    outcome, _ = await authenticated(mastercard, number)

    assert isinstance(outcome, NotAuthenticated), outcome
    assert outcome.proceed


@pytest.mark.parametrize("chosen", MASTERCARD["threeDSChallengeMenu"], ids=lambda one: str(one["choice"]))
@pytest.mark.parametrize("card", CHALLENGED, ids=lambda one: f"{one['brand']}-{one['number'][-4:]}")
async def test_a_challenge_of_mastercard_ends_as_the_payer_chooses(
    mastercard: Mastercard, card: dict[str, str], chosen: dict[str, Any]
) -> None:
    asked, command = await authenticated(mastercard, card["number"])
    assert isinstance(asked, Challenge), asked
    early = await mastercard.adapter.complete_authentication(command, asked.transaction_id)
    assert isinstance(early, Challenge), early
    async with client(follow_redirects=True) as browser:
        page = await submit(browser, Form(asked.url, "post", dict(asked.fields)))
        (menu,) = Page(page.text).forms
        assert (await submit(browser, menu, chosen["choice"])).status_code == 200
    outcome = await mastercard.adapter.complete_authentication(command, asked.transaction_id)

    letter = chosen["transactionStatus"]
    if letter == "Y":
        assert isinstance(outcome, Authenticated), outcome
        assert (outcome.status, outcome.eci) == ("Y", chosen["eci"][card["brand"]])
        assert await paid(mastercard, command, outcome) == "approved"
    else:
        assert isinstance(outcome, NotAuthenticated), outcome
        assert outcome.status in (letter, "")
        assert outcome.proceed is (letter == "U")


# Faults of either gateway.


@pytest.mark.parametrize("kind", ["drop_after", "drop_before", "server_failed", "http_502", "garbage"])
@pytest.mark.parametrize("operation", ["authorize", "sale"])
async def test_a_fault_of_mastercard_is_unknown_and_never_a_decline(
    mastercard: Mastercard, kind: str, operation: str
) -> None:
    mastercard.simulator.fail_next(kind, processed=kind != "drop_before")
    outcome, lost = await sent(mastercard, operation, card_of(GOOD))

    assert isinstance(outcome, Unknown), outcome
    found = await never_a_decline(mastercard, lost)
    assert isinstance(found, NotFound if kind == "drop_before" else Approved), found


@pytest.mark.parametrize("expiry", ["05/39", "04/27", "02/37"])
async def test_a_lost_decline_of_mastercard_is_found_as_one(mastercard: Mastercard, expiry: str) -> None:
    mastercard.simulator.fail_next("drop_after")
    outcome, lost = await sent(mastercard, "authorize", card_of(GOOD, expiry))
    found = await mastercard.adapter.inquire(lost)

    assert isinstance(outcome, Unknown), outcome
    assert isinstance(found, Declined), found
    same(found.reason, MASTERCARD_CODES[MASTERCARD["expiry"][expiry]])


@pytest.mark.parametrize("world", ["visa", "mastercard"])
async def test_credentials_that_are_refused_are_no_decline(visa: Visa, mastercard: Mastercard, world: str) -> None:
    wrong: World
    if world == "visa":
        known = visa.simulator.credentials
        settings = VisaConfiguration(
            visa.simulator.base_url, known.merchant_id, known.key_id, Secret("d3Jvbmc="), breaker=PATIENT
        )
        wrong = Visa(VisaAdapter(settings, HttpClient()), visa.simulator)
    else:
        merchant = MastercardConfiguration(mastercard.simulator.credentials.merchant_id, Secret("wrong"))
        endpoints = Endpoints(HttpClient(), (mastercard.simulator.base_url,), limits=PATIENT)
        wrong = Mastercard(MastercardAdapter(merchant, endpoints), mastercard.simulator)
    outcome, _ = await sent(wrong, "authorize", card_of(GOOD))
    await wrong.adapter.close()

    assert word_of(outcome, AMOUNT) == "auth_error", outcome
    assert isinstance(outcome, NotProcessed)
    assert not outcome.retryable
