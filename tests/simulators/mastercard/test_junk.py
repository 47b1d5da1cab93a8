"""Junk in every place: it is refused like any other mistake, changes nothing, shows nothing, and the server goes on."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest

from shanraq.core.http import HttpClient
from shanraq.simulators.mastercard import MastercardCredentials, MastercardSimulator
from tests.simulators.mastercard.test_http import CARD, Merchant, moving, paying
from tests.simulators.mastercard.test_payer_and_risk import authenticate, initiate

PAN: Final = "5555555555000018"
JUNK: Final[tuple[Any, ...]] = (
    None, True, 0, -1, 10**30, 1.5, -0.0, 1e300, "", " ", "\x00", "\ud7ff", "𝟙𝟚", "x" * 5000, PAN, int(PAN), [], [[]], [1, "a"],
    [{"number": PAN}], {}, {"": 1}, {"a": {"b": {"c": [None]}}}, {PAN: PAN}, {"__proto__": 1}, "'; DROP TABLE", "../../etc",
)  # fmt: skip
KEYS: Final = ("", "x" * 300, PAN, "apiOperation", "session", "\u202e", "order.amount", "__class__")


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Merchant]:
    async with MastercardSimulator(MastercardCredentials.generate(), journal=tmp_path / "journal") as simulator:
        client = HttpClient()
        yield Merchant(simulator, client, simulator.credentials.merchant_id, simulator.credentials.password)
        await client.close()


def source(**more: Any) -> dict[str, Any]:
    return {"sourceOfFunds": {"type": "CARD", "provided": {"card": {**CARD, **more}}}}


def rich(operation: str) -> dict[str, Any]:
    """A payment with much in it."""
    body = paying(operation) | {
        "billing": {"address": {"street": "Alpha St", "city": "Almaty", "country": "KAZ", "postcodeZip": "050000"}},
        "customer": {"email": "a@example.com", "firstName": "A"},
        "device": {"ipAddress": "192.0.2.1", "browser": "x", "browserDetails": {"javaEnabled": True, "colorDepth": 24}},
        "authentication": {"3ds": {"acsEci": "02"}, "3ds2": {"transactionStatus": "Y"}},
        "risk": {"bypassMerchantRiskRules": "NONE"},
        "agreement": {"id": "a1"},
        "correlationId": "c",
    }
    body["order"] |= {"reference": "r", "certainty": "FINAL", "custom": {"a": "b"}, "item": [{"name": "x"}]}
    return body


REQUESTS: Final[dict[str, tuple[str, str, dict[str, Any]]]] = {
    "authorize": ("PUT", "/order/new/transaction/{}", rich("AUTHORIZE")),
    "pay": ("PUT", "/order/new/transaction/{}", rich("PAY")),
    "capture": ("PUT", "/order/held/transaction/{}", moving("CAPTURE", "1.00")),
    "refund": ("PUT", "/order/paid/transaction/{}", moving("REFUND", "1.00")),
    "update": ("PUT", "/order/held/transaction/{}", moving("UPDATE_AUTHORIZATION", "90.00")),
    "void": ("PUT", "/order/held/transaction/{}", {"apiOperation": "VOID", "transaction": {"targetTransactionId": "t"}}),
    "initiate": ("PUT", "/order/new/transaction/{}", initiate("5123450000000008")),
    "authenticate": ("PUT", "/order/new/transaction/{}", authenticate("5123450000000008")),
    "session": ("PUT", "/session/{session}", source() | {"order": {"amount": "1.00", "currency": "KZT"}}),
    "open": ("POST", "/session", {"session": {"authenticationLimit": 3}, "correlationId": "c"}),
    "checkout": (
        "POST", "/session",
        {
            "apiOperation": "INITIATE_CHECKOUT", "interaction": {"operation": "PURCHASE"},
            "order": {"id": "o", "amount": "1.00", "currency": "KZT"},
        },
    ),
    "token": ("POST", "/token", source()),
    "named token": ("PUT", "/token/t1", source() | {"token": {"status": "VALID"}}),
    "search": ("POST", "/tokenSearch", {"query": {"status": "VALID"}}),
    "assessment": (
        "PUT", "/riskassessment/{}",
        source() | {"requestAction": "RISK_ASSESSMENT", "order": {"amount": "1.00", "currency": "KZT"}},
    ),
    "options": ("POST", "/paymentOptionsInquiry", {"order": {"currency": "KZT"}}),
}  # fmt: skip


def places(body: dict[str, Any], above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to every value of a body."""
    for name, value in body.items():
        yield (*above, name)
        if isinstance(value, dict):
            yield from places(value, (*above, name))


def spoilt(body: dict[str, Any], dice: random.Random) -> dict[str, Any]:
    """A body with one thing wrong, or several."""
    result = deepcopy(body)
    for _ in range(dice.choice((1, 1, 1, 2, 4))):
        place = dice.choice(list(places(result)) or [("apiOperation",)])
        inner: Any = result
        for name in place[:-1]:
            inner = inner[name]
        match dice.randrange(4):
            case 0:
                inner.pop(place[-1], None)
            case 1:
                inner[dice.choice(KEYS)] = deepcopy(dice.choice(JUNK))
            case _:
                inner[place[-1]] = deepcopy(dice.choice(JUNK))
    return result


@pytest.mark.parametrize("kind", REQUESTS)
async def test_junk_is_refused_wherever_it_stands(shop: Merchant, kind: str, tmp_path: Path) -> None:
    dice = random.Random(kind)
    await shop.put("held", paying(), "t")
    await shop.put("paid", paying("PAY"), "t")
    _, opened = await shop.send("POST", "/session", {})
    method, path, good = REQUESTS[kind]
    for number in range(120):
        target = path.replace("{session}", opened["session"]["id"]).format(f"j{number}")
        body = spoilt(good, dice)
        before = shop.simulator.orders()
        status, answer = await shop.send(method, target, body)
        assert status in (200, 201, 400), (kind, body, answer)
        if status == 400:
            assert (answer["result"], answer["error"]["cause"]) == ("ERROR", "INVALID_REQUEST")
            assert shop.simulator.orders() == before
        assert PAN not in str(answer).replace(" ", ""), (kind, body)
    raw = msgspec.json.encode(good)
    for _ in range(40):
        cut = bytearray(raw)
        for _ in range(dice.randrange(1, 4)):
            cut[dice.randrange(len(cut))] = dice.randrange(256)
        target = path.replace("{session}", opened["session"]["id"]).format(f"k{dice.randrange(10**9)}")
        assert (await shop.send(method, target, raw=bytes(cut)))[0] in (200, 201, 400)
    assert (await shop.put("after", paying()))[0] == 201
    assert PAN not in (tmp_path / "journal").read_text().replace(" ", "")
