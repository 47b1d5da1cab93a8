"""A merchant changes its password at the simulator: two stand at once, and the old one ends when it is told to."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from shanraq.simulators.mastercard import MastercardSimulator
from tests.simulators.mastercard.test_http import moving, paying
from tests.simulators.mastercard.test_settlement import TOKEN, Desk, desk

__all__ = ["desk"]

NEW = "the next password: 100 % Құпия"


async def status(desk: Desk, password: str) -> int:
    return (await desk.send("GET", "/order/o1", password=password))[0]


async def test_a_merchant_changes_over_without_a_pause(desk: Desk) -> None:
    named = {"merchant_id": desk.merchant_id, "password": NEW}
    await desk.put("o1", paying())
    before = await status(desk, NEW)
    added = await desk.control("POST", "passwords", named)
    both = [await status(desk, password) for password in (desk.password, NEW)]
    known = await desk.control("GET", "passwords")
    ended = await desk.control("DELETE", "passwords", {**named, "password": desk.password})
    after = [await status(desk, password) for password in (desk.password, NEW)]
    desk.password = NEW
    captured = await desk.put("o1", moving("CAPTURE", "100.00"))

    assert (before, both, after) == (401, [200, 200], [401, 200])
    assert (added[0], ended[0], captured[0]) == (200, 200, 201)
    assert known[1]["passwords"] == {desk.merchant_id: 2, desk.simulator.credentials.other_merchant_id: 1}


async def test_another_merchants_new_password_opens_nothing(desk: Desk) -> None:
    other = desk.simulator.credentials.other_merchant_id
    await desk.put("o1", paying())
    await desk.control("POST", "passwords", {"merchant_id": other, "password": NEW})

    assert await status(desk, NEW) == 401


async def test_reports_keep_the_password_of_their_own(desk: Desk) -> None:
    credentials = replace(desk.simulator.credentials, reporting_password="reports")
    async with MastercardSimulator(credentials, control_token=TOKEN) as simulator:
        strict = replace(desk, simulator=simulator)
        await strict.control("POST", "passwords", {"merchant_id": desk.merchant_id, "password": NEW})
        answers = [(await strict.report("settlement", password=one))[0] for one in (NEW, desk.password, "reports")]

    assert answers == [401, 401, 200]
    await desk.control("POST", "passwords", {"merchant_id": desk.merchant_id, "password": NEW})
    assert (await desk.report("settlement", password=NEW))[0] == 200


@pytest.mark.parametrize(
    ("method", "asked", "why"),
    [
        ("POST", {"merchant_id": "nobody"}, "merchant_id"),
        ("DELETE", {"merchant_id": "nobody"}, "merchant_id"),
        ("POST", {"password": ""}, "password must"),
        ("POST", {"password": "a\nb"}, "password must"),
        ("POST", {"password": "x" * 201}, "password must"),
        ("POST", {"password": None}, "one of the merchant's already"),
        ("DELETE", {"password": None}, "only one"),
        ("DELETE", {"password": "never given"}, "none of the merchant's"),
        ("POST", {"pasword": "x"}, "pasword"),
    ],
)
async def test_what_cannot_be_is_refused_and_changes_nothing(
    desk: Desk, method: str, asked: dict[str, Any], why: str
) -> None:
    body = {"merchant_id": desk.merchant_id, "password": NEW} | asked
    if body["password"] is None:
        body["password"] = desk.password
    code, told = await desk.control(method, "passwords", body)
    known = await desk.control("GET", "passwords")

    assert code == 400
    assert why in told["error"]
    assert desk.password not in told["error"]
    assert set(known[1]["passwords"].values()) == {1}


async def test_a_third_password_is_refused(desk: Desk) -> None:
    first = await desk.control("POST", "passwords", {"merchant_id": desk.merchant_id, "password": NEW})
    second = await desk.control("POST", "passwords", {"merchant_id": desk.merchant_id, "password": "third"})

    assert (first[0], second[0]) == (200, 400)
    assert "at most 2" in second[1]["error"]
