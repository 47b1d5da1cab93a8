"""Tokens of the simulated Mastercard Gateway."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from itertools import count
from typing import Any

import pytest

from shanraq.simulators.mastercard.fields import nobody
from shanraq.simulators.mastercard.refusal import Refusal
from shanraq.simulators.mastercard.tokens import Tokens

NOW = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)
PAN = "5123450000000008"


def tokens(kept: dict[str, Any] | None = None) -> Tokens:
    numbers = count(1)
    keep = (lambda key, state: kept.update({key: state})) if kept is not None else nobody
    return Tokens(lambda length: f"{next(numbers):0{length}d}", keep)


def body(number: str = PAN, month: str = "1", year: str = "39") -> dict[str, Any]:
    card = {"number": number, "expiry": {"month": month, "year": year}}
    return {"sourceOfFunds": {"type": "CARD", "provided": {"card": card}}}


def paying(token: str) -> dict[str, Any]:
    return {"apiOperation": "PAY", "sourceOfFunds": {"token": token}}


def refused(call: Any, field: str, kind: str = "INVALID") -> None:
    with pytest.raises(Refusal) as caught:
        call()
    assert (caught.value.field, caught.value.validation_type) == (field, kind)
    assert PAN not in json.dumps(caught.value.body()) + repr(caught.value)


def test_a_token_is_valid_and_does_not_reveal_the_card() -> None:
    store = tokens()
    reply = store.create(body(), "M1", NOW)

    assert reply["result"] == "SUCCESS"
    assert reply["status"] == "VALID"
    assert reply["sourceOfFunds"]["provided"]["card"]["number"] == "512345xxxxxx0008"
    assert PAN not in json.dumps(reply) + repr(store._tokens)
    assert not {PAN[:6], PAN[-4:]} & {reply["token"][:6], reply["token"][-4:]}
    assert store.retrieve(reply["token"], "M1") == reply


def test_the_same_card_gives_the_same_token_and_another_merchant_another_one() -> None:
    store = tokens()
    first = store.create(body(), "M1", NOW)["token"]

    assert store.create(body(month="5"), "M1", NOW)["token"] == first
    assert store.create(body("5111111111111118"), "M1", NOW)["token"] != first
    assert store.create(body(), "M2", NOW)["token"] != first


def test_a_payment_with_a_token_takes_its_card() -> None:
    store = tokens()
    token = store.create(body(), "M1", NOW)["token"]

    card = store.resolve(paying(token), "M1")["sourceOfFunds"]["provided"]["card"]

    assert card == {"number": PAN, "expiry": {"month": "1", "year": "39"}}


def test_an_explicit_card_or_expiry_goes_before_the_token() -> None:
    store = tokens()
    token = store.create(body(), "M1", NOW)["token"]
    other = body("5111111111111118")
    other["sourceOfFunds"]["token"] = token
    expiry = paying(token)
    expiry["sourceOfFunds"]["provided"] = {"card": {"expiry": {"month": "5", "year": "39"}}}

    assert store.resolve(other, "M1") == other
    assert store.resolve(expiry, "M1")["sourceOfFunds"]["provided"]["card"]["expiry"]["month"] == "5"


def test_a_deleted_token_is_refused_everywhere() -> None:
    store = tokens()
    token = store.create(body(), "M1", NOW)["token"]

    assert store.delete(token, "M1") == {"result": "SUCCESS"}
    refused(lambda: store.retrieve(token, "M1"), "tokenid")
    refused(lambda: store.delete(token, "M1"), "tokenid")
    refused(lambda: store.resolve(paying(token), "M1"), "sourceOfFunds.token")


def test_another_merchant_does_not_reach_a_token() -> None:
    store = tokens()
    token = store.create(body(), "M1", NOW)["token"]

    refused(lambda: store.retrieve(token, "M2"), "tokenid")
    refused(lambda: store.delete(token, "M2"), "tokenid")
    refused(lambda: store.resolve(paying(token), "M2"), "sourceOfFunds.token")
    assert store.search({"query": {"token": token}}, "M2")["page"] == []
    assert store.retrieve(token, "M1")["token"] == token


def test_an_update_changes_card_and_status() -> None:
    store = tokens()
    store.put("mine1", body(), "M1", NOW)
    store.put("mine1", body("5111111111111118"), "M1", NOW)

    assert store.resolve(paying("mine1"), "M1")["sourceOfFunds"]["provided"]["card"]["number"] == "5111111111111118"
    assert store.put("mine1", {"token": {"status": "INVALID"}}, "M1", NOW)["status"] == "INVALID"
    refused(lambda: store.resolve(paying("mine1"), "M1"), "sourceOfFunds.token")
    assert [hit["token"] for hit in store.search({"query": {"status": "INVALID"}}, "M1")["page"]] == ["mine1"]


@pytest.mark.parametrize(
    ("token", "fields", "field", "kind"),
    [
        ("t 1", body(), "tokenid", "INVALID"),
        ("t" * 41, body(), "tokenid", "INVALID"),
        (PAN, body(), "tokenid", "INVALID"),
        ("t1", {}, "sourceOfFunds.provided.card.number", "MISSING"),
        ("t1", body("5123450000000009"), "sourceOfFunds.provided.card.number", "INVALID"),
        ("t1", body(month="13"), "sourceOfFunds.provided.card.expiry.month", "INVALID"),
        ("t1", body() | {"amount": 1}, "amount", "UNSUPPORTED"),
        ("t1", body() | {"token": {"status": "OLD"}}, "token.status", "INVALID"),
        ("t1", body() | {"customer": {"firstName": PAN}}, "customer.firstName", "INVALID"),
    ],
)
def test_a_bad_request_is_refused_and_keeps_nothing(token: str, fields: dict[str, Any], field: str, kind: str) -> None:
    kept: dict[str, Any] = {}
    store = tokens(kept)

    refused(lambda: store.put(token, fields, "M1", NOW), field, kind)
    assert kept == {}


def test_what_is_kept_has_no_card_number() -> None:
    kept: dict[str, Any] = {}
    store = tokens(kept)
    reply = store.create(body(), "M1", NOW)
    snapshot = json.dumps(kept)
    restored = tokens()
    restored.restore(json.loads(snapshot).values())

    assert PAN not in snapshot
    assert restored.retrieve(reply["token"], "M1") == reply
