"""Decision Manager: cases, lists, marks, and what they do to payments."""

from __future__ import annotations

from typing import Any

import pytest

from shanraq.simulators.visa import VisaSimulator
from tests.simulators.visa.client import Merchant, payment

REVIEW, REJECT, HELD, SCORE = "4000000480000001", "4000000481000000", "4000000482000009", "4000000400000008"


def entry(action: str = "add", number: str = "4111111111111111", **parts: Any) -> dict[str, Any]:
    return {
        "clientReferenceInformation": {"code": "l"},
        "riskInformation": {"markingDetails": {"action": action}},
        "paymentInformation": {"card": {"number": number}},
    } | parts


async def act(merchant: Merchant, case_id: str, decision: str, *actions: str) -> Any:
    body = {
        "decisionInformation": {"decision": decision, "comments": "seen"},
        "processingInformation": {"actionList": list(actions)},
    }
    return await merchant.post(f"/risk/v1/decisions/{case_id}/actions", body)


@pytest.mark.parametrize(
    ("number", "status", "reason"),
    [
        (REVIEW, "PENDING_REVIEW", "DECISION_PROFILE_REVIEW"),
        (REJECT, "REJECTED", "DECISION_PROFILE_REJECT"),
        (SCORE, "REJECTED", "SCORE_EXCEEDS_THRESHOLD"),
        ("4111111111111111", "ACCEPTED", None),
    ],
)
async def test_a_decision_is_made_by_the_card(merchant: Merchant, number: str, status: str, reason: str | None) -> None:
    reply = (await merchant.post("/risk/v1/decisions", payment(number=number))).json()

    assert (reply["status"], reply.get("errorInformation", {}).get("reason")) == (status, reason)


@pytest.mark.parametrize(("number", "decision"), [(REVIEW, "PENDING_REVIEW"), (REJECT, "REJECTED"), (HELD, "REJECTED")])
async def test_a_payment_tells_what_was_decided(merchant: Merchant, number: str, decision: str) -> None:
    reply = (await merchant.authorize(number=number)).json()

    assert reply["embeddedActions"]["DECISION"]["status"] == decision
    assert reply["riskInformation"]["rules"][0]["decision"] == decision.removeprefix("PENDING_").removesuffix("ED")


@pytest.mark.parametrize("number", [REVIEW, REJECT, HELD, SCORE])
async def test_a_payment_may_skip_the_decision(merchant: Merchant, number: str) -> None:
    body = payment(number=number)
    body["processingInformation"]["actionList"] = ["DECISION_SKIP"]

    assert (await merchant.post("/pts/v2/payments", body)).json()["status"] == "AUTHORIZED"


async def test_an_accepted_payment_is_captured(simulator: VisaSimulator, merchant: Merchant) -> None:
    payment_id = await merchant.authorized(number=REVIEW)

    reply = (await act(merchant, payment_id, "ACCEPT", "CAPTURE")).json()

    assert (reply["status"], reply["_embedded"]["capture"]["status"]) == ("ACCEPTED", "PENDING")
    first, second = simulator.journal()
    assert (first["state"], second["kind"], second["amount_minor"]) == ("AUTHORIZED", "capture", 10_000)


async def test_a_rejected_payment_cannot_be_captured_and_its_hold_is_released(
    simulator: VisaSimulator, merchant: Merchant
) -> None:
    kept, released = await merchant.authorized(number=REVIEW), await merchant.authorized(number=REVIEW)

    assert (await act(merchant, kept, "REJECT")).json()["status"] == "REJECTED"
    reply = (await act(merchant, released, "REJECT", "REVERSE")).json()

    assert reply["_embedded"]["reversal"]["status"] == "REVERSED"
    assert (await merchant.capture(kept)).json()["reason"] == "MISSING_AUTH"
    assert (await merchant.reverse(kept)).status_code == 201
    assert [line["state"] for line in simulator.journal()][:2] == ["REVERSED", "REVERSED"]


async def test_a_case_is_decided_once_and_by_its_own_merchant(merchant: Merchant, stranger: Merchant) -> None:
    payment_id = await merchant.authorized(number=REVIEW)

    assert (await act(stranger, payment_id, "ACCEPT")).status_code == 404
    assert (await act(merchant, payment_id, "ACCEPT", "REVERSE")).status_code == 400
    assert (await act(merchant, payment_id, "MAYBE")).status_code == 400
    assert (await act(merchant, payment_id, "ACCEPT")).status_code == 200
    assert (await act(merchant, payment_id, "REJECT")).status_code == 400


async def test_a_listed_card_is_refused_until_it_is_taken_off(merchant: Merchant, stranger: Merchant) -> None:
    assert (await merchant.post("/risk/v1/lists/negative/entries", entry())).status_code == 201

    refused = (await merchant.authorize()).json()
    assert (refused["status"], refused["errorInformation"]["reason"]) == ("DECLINED", "DECISION_PROFILE_REJECT")
    assert (await stranger.authorize()).json()["status"] == "AUTHORIZED"
    await merchant.post("/risk/v1/lists/negative/entries", entry("delete"))
    assert (await merchant.authorize()).json()["status"] == "AUTHORIZED"


async def test_the_review_list_opens_a_case_and_the_positive_one_wins(merchant: Merchant) -> None:
    bill_to = {"orderInformation": {"billTo": {"email": "Bad@Example.org"}}}
    listed = {
        "clientReferenceInformation": {"code": "l"},
        "riskInformation": {"markingDetails": {"action": "add"}},
    } | bill_to
    body = payment()
    body["orderInformation"]["billTo"]["email"] = "bad@example.ORG"
    assert (await merchant.post("/risk/v1/lists/review/entries", listed)).status_code == 201

    held = (await merchant.post("/pts/v2/payments", body)).json()
    assert held["status"] == "AUTHORIZED_PENDING_REVIEW"
    assert (await act(merchant, held["id"], "ACCEPT")).status_code == 200
    await merchant.post("/risk/v1/lists/positive/entries", entry())
    assert (await merchant.post("/pts/v2/payments", body)).json()["status"] == "AUTHORIZED"


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/risk/v1/lists/grey/entries", entry(), 400),
        ("/risk/v1/lists/negative/entries", entry("burn"), 400),
        ("/risk/v1/decisions/17/comments", {"comments": "x"}, 404),
        ("/risk/v1/decisions/17/marking", entry(), 404),
        ("/risk/v1/decisions", {"clientReferenceInformation": {"code": "x"}}, 400),
    ],
)
async def test_what_cannot_be_done_is_refused(merchant: Merchant, path: str, body: dict[str, Any], status: int) -> None:
    assert (await merchant.post(path, body)).status_code == status


async def test_a_comment_never_holds_a_card_number(merchant: Merchant) -> None:
    payment_id = await merchant.authorized(number=REVIEW)

    reply = await merchant.post(f"/risk/v1/decisions/{payment_id}/comments", {"comments": "card 4111 1111 1111 1111"})

    assert (reply.status_code, reply.json()["details"][0]["field"]) == (400, "comments")
