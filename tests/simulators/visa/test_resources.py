"""What is kept survives a restart, holds no card data, and no junk breaks any operation."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shanraq.simulators.visa import VisaCredentials, VisaSimulator
from shanraq.simulators.visa.card import holds_card_number
from shanraq.simulators.visa.model import Refusal
from shanraq.simulators.visa.route import _ROUTES, Call, Route, Verb, read_query
from shanraq.simulators.visa.services import Services
from shanraq.simulators.visa.store import Journal, Store
from shanraq.simulators.visa.validate import parse_body
from tests.simulators.visa.client import Merchant, payment
from tests.simulators.visa.conftest import CONTROL_TOKEN
from tests.simulators.visa.control import Control

PERIOD = "startTime=2020-01-01T00%3A00%3A00Z&endTime=2099-01-01T00%3A00%3A00Z"
WEBHOOK = {
    "name": "n",
    "products": [{"productId": "payments", "eventTypes": ["payments.payments.accept"]}],
    "webhookUrl": "http://127.0.0.1:9/",
}
NUMBERS = ["4111111111111111", "5555555555554444", "4000000480000001"]


def merchant_of(simulator: VisaSimulator) -> Merchant:
    known = simulator.credentials
    return Merchant(simulator.base_url, known.merchant_id, known.key_id, known.secret)


async def lived(simulator: VisaSimulator) -> dict[str, str]:
    """Use everything once, and return what can be read again: paths and bodies."""
    merchant, control = merchant_of(simulator), Control(simulator, CONTROL_TOKEN)
    body = payment("20.00", number=NUMBERS[2])
    body["processingInformation"] |= {"actionList": ["TOKEN_CREATE"], "capture": False}
    made = (await merchant.post("/pts/v2/payments", body)).json()
    await merchant.post(f"/risk/v1/decisions/{made['id']}/actions", {"decisionInformation": {"decision": "ACCEPT"}})
    entry = {
        "paymentInformation": {"card": {"number": NUMBERS[1]}},
        "riskInformation": {"markingDetails": {"action": "add"}},
    }
    await merchant.post("/risk/v1/lists/negative/entries", entry)
    webhook = (await merchant.post("/notification-subscriptions/v2/webhooks", WEBHOOK)).json()
    capture_id = await merchant.captured("30.00")
    await control.put("fees", {"discount_basis_points": 77})
    await control.post("cutoff")
    await control.post("chargebacks", {"id": capture_id})
    tokens = made["tokenInformation"]
    paths = [
        f"/tms/v2/customers/{tokens['customer']['id']}",
        f"/tms/v2/customers/{tokens['customer']['id']}/payment-instruments",
        f"/tms/v1/instrumentidentifiers/{tokens['instrumentIdentifier']['id']}",
        f"/notification-subscriptions/v2/webhooks/{webhook['webhookId']}",
        f"/tss/v2/transactions/{made['id']}",
        *(f"/reporting/v3/{name}?{PERIOD}" for name in ("net-fundings", "chargeback-details", "conversion-details")),
        f"/reporting/v3/reports?{PERIOD}&timeQueryType=executedTime",
    ]
    read = {path: (await merchant.get(path)).text for path in paths}
    await merchant.http.aclose()
    return read


async def test_everything_survives_a_restart(tmp_path: Path) -> None:
    credentials = VisaCredentials.generate()
    async with VisaSimulator(credentials, journal=tmp_path / "j", control_token=CONTROL_TOKEN) as first:
        before = await lived(first)

    async with VisaSimulator(credentials, journal=tmp_path / "j", control_token=CONTROL_TOKEN) as second:
        merchant = merchant_of(second)
        after = {path: (await merchant.get(path)).text for path in before}
        listed = (await merchant.authorize(number=NUMBERS[1], card_type="002")).json()
        ids = {(await merchant.post("/tms/v2/customers", {})).json()["id"] for _ in range(3)}
        await merchant.http.aclose()

    assert after == before
    assert listed["errorInformation"]["reason"] == "DECISION_PROFILE_REJECT"
    assert len(ids) == 3
    assert not any(token in str(before) for token in ids)


async def test_no_journal_and_no_reply_holds_card_data_or_a_secret(tmp_path: Path) -> None:
    credentials = VisaCredentials.generate()
    async with VisaSimulator(credentials, journal=tmp_path / "j", control_token=CONTROL_TOKEN) as simulator:
        replies = await lived(simulator)
        key = await merchant_of(simulator).post(
            "/kms/egress/v2/keys-sym", {"clientRequestAction": "CREATE", "keyInformation": {"keyType": "sharedSecret"}}
        )

    kept = (tmp_path / "j").read_text()
    for text in (kept, json.dumps(replies)):
        assert not any(number in text for number in NUMBERS)
        assert credentials.secret not in text
        assert not re.search(r'"securityCode"', text)
    assert key.json()["keyInformation"]["key"] not in kept


def body_of(verb: Verb) -> dict[str, Any]:
    """Return a body with much of what any operation reads."""
    return (
        payment("10.00")
        | {
            "consumerAuthenticationInformation": {"returnUrl": "https://x.example", "authenticationTransactionId": "a"},
            "riskInformation": {"markingDetails": {"action": "add", "notes": "n"}},
            "decisionInformation": {"decision": "ACCEPT"},
            "comments": "c",
            "clientRequestAction": "CREATE",
            "keyInformation": {"keyType": "sharedSecret", "expiryDuration": "30", "pub": "p"},
            "status": "ACTIVE",
            "card": {"number": "4111111111111111", "expirationMonth": "12", "expirationYear": "2049", "type": "visa"},
            "instrumentIdentifier": {"id": "x"},
            "shipTo": {"firstName": "A"},
            "tokenInformation": {"customer": {}, "instrumentIdentifier": {"card": {"number": "4111111111111111"}}},
            "reportDefinitionName": "TransactionRequestClass",
            "reportName": "r",
            "reportStartTime": "2020-01-01T00:00:00Z",
            "reportEndTime": "2020-01-02T00:00:00Z",
            "reportFields": ["a"],
            "reportPreferences": {"signedAmounts": True},
            "subscriptionType": "CLASSIC",
            "startDay": 1,
            "retryPolicy": {"numberOfRetries": 1},
            "securityPolicy": {"securityType": "key", "config": {"additionalConfig": {"aud": "x"}}},
            "reversalInformation": {"amountDetails": {"totalAmount": "1.00"}},
            "query": "id:1",
            "processingInformation": {
                "actionList": ["TOKEN_CREATE"],
                "actionTokenTypes": ["customer", "paymentInstrument"],
                "captureOptions": {"captureSequenceNumber": 1},
                "authorizationOptions": {"initiator": {"merchantInitiatedTransaction": {"reason": "7"}}},
            },
        }
        | WEBHOOK
    )


def paths_in(value: object, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield (*path, name)
            yield from paths_in(inner, (*path, name))


PATHS = sorted(set(paths_in(body_of(Verb.AUTHORIZE))))
VERBS = sorted({(verb, kind) for methods in _ROUTES.values() for verb, kind in methods.values()}, key=str)
JUNK = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["4111111111111111"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
CREDENTIALS = VisaCredentials.generate()


@settings(max_examples=600, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    route=st.sampled_from(VERBS),
    path=st.sampled_from(PATHS),
    value=JUNK,
    ids=st.tuples(st.text(max_size=8), st.text(max_size=8)),
    query=st.dictionaries(
        st.sampled_from(
            ["startTime", "endTime", "offset", "limit", "reportDate", "reportName", "organizationId", "timeQueryType"]
        ),
        st.text(max_size=8) | st.sampled_from(["2020-01-01T00:00:00Z", "0001-01-01", "9999-12-31T23:59:59-14:00", "٣"]),
    ),
    accept=st.sampled_from(["", "application/xml", "text/csv", "x"]),
)
def test_junk_anywhere_is_accepted_or_refused_but_breaks_nothing(
    route: Any, path: tuple[str, ...], value: object, ids: tuple[str, str], query: dict[str, str], accept: str
) -> None:
    store = Store()
    services = Services(CREDENTIALS, store, store.apply, lambda: 1.8e9, lambda: "http://x", seed=0, taken_on_502=())
    verb, kind = route
    body: Any = body_of(verb)
    inner = body
    for name in path[:-1]:
        inner = inner[name]
    inner[path[-1]] = value

    try:
        read = parse_body(json.dumps(body).encode())
        call = Call(CREDENTIALS.merchant_id, Route(verb, ids[0], kind, ids[1]), read, query, accept)
        status = services.handlers[verb](call).status
    except Refusal as refusal:
        status = refusal.status

    assert status in {200, 201, 204, 400, 403, 404, 409, 410}


@pytest.mark.parametrize("target", ["/x?a=%ff", "/x?a=1&a=2", "/x?" + "a&" * 60])
def test_a_query_that_cannot_be_read_is_refused(target: str) -> None:
    with pytest.raises(Refusal):
        read_query(target)


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
async def test_every_path_takes_junk_over_http(merchant: Merchant, method: str) -> None:
    for path in _ROUTES:
        for content in (b"", b"[]", b'{"a":', b"null", b'{"card":[]}'):
            for tail in ("", "/", "?startTime=%00&endTime=x"):
                target = path.replace("{}", "a%2F%00b") + tail
                reply = await merchant.send(method, target, content if method not in {"GET", "DELETE"} else None)
                assert 200 <= reply.status_code < 500, (method, target, content)
            if method in {"GET", "DELETE"}:
                break


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("4111111111111111", True),
        ("card 4111-1111-1111-1111.", True),
        ("378282246310005", True),
        ("4111111111111112", False),
        ("order 12345", False),
        ("41111111111111111111111", False),
        ("", False),
    ],
)
def test_card_numbers_are_found_in_texts(text: str, found: bool) -> None:
    assert holds_card_number(text) is found


async def test_an_old_journal_is_read(tmp_path: Path) -> None:
    line = (
        '{"entry":"operation","sequence":1,"id":"1","kind":"authorization","merchant_id":"m","time":"2026-01-01T00:00:00Z",'
        '"status":"AUTHORIZED","requested":5,"amount":5,"currency":"KZT","code":"c","root_id":"1","reconciliation_id":"r"}\n'
    )
    (tmp_path / "j").write_text(line + '{"entry":"cutoff","time":"2026-01-02T00:00:00Z"}\n')
    store = Store()
    for entry in Journal(tmp_path / "j").read():
        store.apply(entry)

    assert store.records["1"].uncaptured == 5


async def test_ten_captures_at_once_take_no_more_than_was_authorised(merchant: Merchant) -> None:
    payment_id = await merchant.authorized("100.00")
    replies: list[httpx.Response] = await asyncio.gather(*(merchant.capture(payment_id, "30.00") for _ in range(10)))

    assert sorted(reply.status_code for reply in replies) == [201] * 3 + [400] * 7
