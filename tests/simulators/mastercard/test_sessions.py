"""Sessions of the simulated Mastercard Gateway."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest

from shanraq.simulators.mastercard.fields import nobody
from shanraq.simulators.mastercard.refusal import Refusal
from shanraq.simulators.mastercard.sessions import LIFE, Sessions

NOW = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)
PAN = "5123450000000008"
CARD = {
    "sourceOfFunds": {
        "type": "CARD",
        "provided": {"card": {"number": PAN, "expiry": {"month": "1", "year": "39"}, "securityCode": "100"}},
    }
}


def sessions(kept: dict[str, Any] | None = None) -> Sessions:
    numbers = count(1)
    keep = (lambda key, state: kept.update({key: state})) if kept is not None else nobody
    return Sessions(lambda length: f"{next(numbers):0{length}d}"[-length:], keep)


def filled(store: Sessions, fields: dict[str, Any] | None = None) -> dict[str, Any]:
    created = store.create({}, "M1", NOW)["session"]
    reply = store.update(created["id"], CARD if fields is None else fields, "M1", NOW)
    return dict(reply["session"])


def card_of(body: dict[str, Any]) -> dict[str, Any]:
    return dict(body["sourceOfFunds"]["provided"]["card"])


def refused(call: Any, field: str, kind: str = "INVALID") -> Refusal:
    with pytest.raises(Refusal) as caught:
        call()
    assert (caught.value.field, caught.value.validation_type) == (field, kind)
    assert PAN not in json.dumps(caught.value.body()) + repr(caught.value)
    return caught.value


def test_a_new_session_has_an_id_of_31_to_35_characters_and_a_version() -> None:
    reply = sessions().create({"session": {"authenticationLimit": 3}}, "M1", NOW)

    assert reply["result"] == "SUCCESS"
    assert reply["merchant"] == "M1"
    assert 31 <= len(reply["session"]["id"]) <= 35
    assert reply["session"]["authenticationLimit"] == 3
    assert reply["session"]["updateStatus"] == "NO_UPDATE"
    assert reply["session"]["version"]


@pytest.mark.parametrize("limit", [-1, 26, "3", True, 2.5])
def test_an_authentication_limit_outside_its_bounds_is_refused(limit: object) -> None:
    refused(
        lambda: sessions().create({"session": {"authenticationLimit": limit}}, "M1", NOW), "session.authenticationLimit"
    )


def test_every_update_changes_the_version_and_masks_the_card() -> None:
    store = sessions()
    first = filled(store)
    reply = store.update(first["id"], {"order": {"amount": "5.00"}}, "M1", NOW)

    assert reply["session"]["version"] != first["version"]
    assert reply["session"]["updateStatus"] == "SUCCESS"
    assert card_of(reply) == {"number": "512345xxxxxx0008", "expiry": {"month": "1", "year": "39"}}
    assert store.retrieve(first["id"], "M1", NOW) == reply


def test_an_old_version_is_refused_and_changes_nothing() -> None:
    kept: dict[str, Any] = {}
    store = sessions(kept)
    first = filled(store)
    store.update(first["id"], {"session": {"version": first["version"]}, "order": {"amount": "5.00"}}, "M1", NOW)
    before = dict(kept)

    stale = {"session": {"version": first["version"]}, "order": {"amount": "6.00"}}
    refused(lambda: store.update(first["id"], stale, "M1", NOW), "session.version")
    refused(lambda: store.resolve({"session": first}, "M1", NOW), "session.version")
    assert kept == before


def test_explicit_fields_go_before_the_fields_of_the_session() -> None:
    store = sessions()
    session = filled(store, CARD | {"order": {"amount": "5.00", "currency": "USD"}})
    body = {"session": {"id": session["id"]}, "order": {"amount": "7.00"}}

    resolved = store.resolve(body, "M1", NOW)

    assert resolved["order"] == {"amount": "7.00", "currency": "USD"}
    assert card_of(resolved)["number"] == PAN
    assert body["order"] == {"amount": "7.00"}


def test_the_card_of_a_session_goes_before_a_token() -> None:
    store = sessions()
    session = filled(store)

    resolved = store.resolve({"session": {"id": session["id"]}, "sourceOfFunds": {"token": "97"}}, "M1", NOW)

    assert card_of(resolved) == CARD["sourceOfFunds"]["provided"]["card"]  # type: ignore[index]


def test_the_security_code_is_gone_after_its_first_use() -> None:
    store = sessions()
    session = filled(store)
    body = {"session": {"id": session["id"]}}

    assert card_of(store.resolve(body, "M1", NOW))["securityCode"] == "100"
    store.consume(body, "M1", NOW)
    assert "securityCode" not in card_of(store.resolve(body, "M1", NOW))
    assert store.retrieve(session["id"], "M1", NOW)["session"]["version"] != session["version"]


def test_the_security_code_does_not_pass_to_another_card() -> None:
    store = sessions()
    session = filled(store)
    other = {"sourceOfFunds": {"provided": {"card": {"number": "5111111111111118"}}}}
    store.update(session["id"], other, "M1", NOW)

    assert "securityCode" not in card_of(store.resolve({"session": {"id": session["id"]}}, "M1", NOW))


def test_another_merchant_does_not_reach_a_session() -> None:
    store = sessions()
    session = filled(store)
    seen = {
        str(refused(lambda: store.retrieve(session["id"], "M2", NOW), "session.id")),
        str(refused(lambda: store.update(session["id"], {}, "M2", NOW), "session.id")),
        str(refused(lambda: store.resolve({"session": {"id": session["id"]}}, "M2", NOW), "session.id")),
        str(refused(lambda: store.retrieve("SESSION" + "9" * 24, "M1", NOW), "session.id")),
    }

    assert len(seen) == 1


def test_a_session_ends_after_fifteen_minutes() -> None:
    store = sessions()
    session = filled(store)

    store.retrieve(session["id"], "M1", NOW + LIFE)
    refused(lambda: store.retrieve(session["id"], "M1", NOW + LIFE + timedelta(milliseconds=1)), "session.id")


def test_the_authentication_limit_counts_requests() -> None:
    store = sessions()
    session = store.create({"session": {"authenticationLimit": 2}}, "M1", NOW)["session"]
    store.authenticate(session["id"], "M1", NOW)
    store.authenticate(session["id"], "M1", NOW)

    with pytest.raises(Refusal) as caught:
        store.authenticate(session["id"], "M1", NOW)
    assert caught.value.status == 401
    with pytest.raises(Refusal):
        store.authenticate(session["id"], "M2", NOW)


@pytest.mark.parametrize(
    ("fields", "field", "kind"),
    [
        ({"oder": {}}, "oder", "UNSUPPORTED"),
        ({"apiOperation": "PAY"}, "apiOperation", "UNSUPPORTED"),
        ({"sourceOfFunds": []}, "sourceOfFunds", "INVALID"),
        ({"sourceOfFunds": {"provided": {"card": {"number": "5123450000000009"}}}}, "@number", "INVALID"),
        ({"sourceOfFunds": {"provided": {"card": {"number": 5123450000000008}}}}, "@number", "INVALID"),
        ({"sourceOfFunds": {"provided": {"card": {"number": "\uff15" * 16}}}}, "@number", "INVALID"),
        ({"sourceOfFunds": {"provided": {"card": {"securityCode": "12"}}}}, "@securityCode", "INVALID"),
        (
            {"sourceOfFunds": {"provided": {"card": {"expiry": {"month": "13", "year": "39"}}}}},
            "@expiry.month",
            "INVALID",
        ),
        ({"sourceOfFunds": {"provided": {"card": {"expiry": {"month": "12"}}}}}, "@expiry.year", "MISSING"),
        ({"order": {"reference": PAN}}, "order.reference", "INVALID"),
        ({"order": {"reference": int(PAN)}}, "order.reference", "INVALID"),
        ({"session": {"version": 7}}, "session.version", "INVALID"),
        ({"session": "x"}, "session", "INVALID"),
    ],
)
def test_a_bad_field_is_refused_and_nothing_is_kept(fields: dict[str, Any], field: str, kind: str) -> None:
    kept: dict[str, Any] = {}
    store = sessions(kept)
    session = filled(store)
    before = dict(kept)

    refused(
        lambda: store.update(session["id"], fields, "M1", NOW),
        field.replace("@", "sourceOfFunds.provided.card."),
        kind,
    )
    assert kept == before


def test_what_is_kept_has_neither_number_nor_security_code() -> None:
    kept: dict[str, Any] = {}
    store = sessions(kept)
    session = filled(store)
    snapshot = json.dumps(kept)
    restored = sessions()
    restored.restore(json.loads(snapshot).values())
    resolved = restored.resolve({"session": session}, "M1", NOW)

    assert PAN not in snapshot
    assert "securityCode" not in snapshot
    assert card_of(resolved) == {"expiry": {"month": "1", "year": "39"}}
    assert PAN not in repr(store._sessions)
    refused(lambda: restored.update(session["id"], {"session": {"version": "old"}}, "M1", NOW), "session.version")


def test_a_checkout_opens_a_session_with_the_order() -> None:
    store = sessions()
    body = {
        "apiOperation": "INITIATE_CHECKOUT",
        "interaction": {"operation": "PURCHASE"},
        "order": {"id": "O1", "amount": "10.00", "currency": "USD"},
    }

    reply = store.initiate_checkout(body, "M1", NOW, 100)

    assert reply["checkoutMode"] == "WEBSITE"
    assert reply["successIndicator"]
    assert reply["session"]["updateStatus"] == "SUCCESS"
    resolved = store.resolve({"session": {"id": reply["session"]["id"]}}, "M1", NOW)
    assert resolved["order"]["id"] == "O1"
    assert "interaction" not in resolved


@pytest.mark.parametrize(
    ("change", "version", "field", "kind"),
    [
        ({"apiOperation": "CREATE_CHECKOUT_SESSION"}, 63, "apiOperation", "INVALID"),
        ({}, 62, "apiOperation", "INVALID"),
        ({"interaction": {}}, 100, "interaction.operation", "MISSING"),
        ({"interaction": {"operation": "PAY"}}, 100, "interaction.operation", "INVALID"),
        ({"order": {"id": "O1", "currency": "USD"}}, 100, "order.amount", "MISSING"),
        ({"order": {"id": "O1", "amount": "1"}}, 100, "order.currency", "MISSING"),
        (CARD, 100, "sourceOfFunds.provided.card.number", "UNSUPPORTED"),
    ],
)
def test_a_bad_checkout_is_refused(change: dict[str, Any], version: int, field: str, kind: str) -> None:
    body = {
        "apiOperation": "INITIATE_CHECKOUT",
        "interaction": {"operation": "AUTHORIZE"},
        "order": {"id": "O1", "amount": "10.00", "currency": "USD"},
    }
    store = sessions()

    refused(lambda: store.initiate_checkout(body | change, "M1", NOW, version), field, kind)
    assert len(store) == 0


def test_sessions_whose_time_is_over_are_forgotten_and_the_journal_is_told() -> None:
    kept: dict[str, Any] = {}
    store = sessions(kept)
    for _ in range(1000):
        store.create({}, "M1", NOW)

    store.create({}, "M1", NOW + LIFE + timedelta(seconds=1))

    assert len(store) == 1
    assert sum(state is None for state in kept.values()) == 1000
