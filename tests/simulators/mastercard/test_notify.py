"""Notifications over real HTTP."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal

import pytest

from shanraq.simulators.mastercard.notify import (
    Notifier,
    is_notification_url,
)
from shanraq.simulators.outbox import NotificationFault, NotificationFaultKind
from tests.simulators.visa.receiver import receiving

REPLY = {"merchant": "TESTM", "order": {"id": "o1", "amount": Decimal("10.01")}, "transaction": {"id": "t1"}}


class Clock:
    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@asynccontextmanager
async def notifying(clock: Clock, *, loopback: bool = True) -> AsyncIterator[Notifier]:
    ids = (f"n{number}" for number in itertools.count(1))
    notifier = Notifier(
        clock, lambda: next(ids), lambda merchant: f"secret of {merchant}", secret_over_loopback=loopback
    )
    await notifier.start()
    try:
        yield notifier
    finally:
        await notifier.stop()


async def settled(notifier: Notifier, attempts: int) -> None:
    async with asyncio.timeout(10):
        while len(notifier.log) < attempts:
            await asyncio.sleep(0.005)


def transaction(number: int) -> dict[str, object]:
    return {**REPLY, "transaction": {"id": f"t{number}"}}


async def test_a_notification_is_the_reply_with_numbers_and_the_headers_of_the_gateway() -> None:
    async with receiving() as receiver, notifying(Clock()) as notifier:
        notifier.notify("TESTM", REPLY, url=receiver.url, version="74")
        (body,) = await receiver.wait_for(1)

    headers, raw = receiver.requests[0]
    assert body == {**REPLY, "order": {"id": "o1", "amount": 10.01}, "version": "74"}
    assert b'"amount":10.01' in raw
    assert headers["x-notification-secret"] == "secret of TESTM"
    assert (headers["x-notification-id"], headers["x-notification-attempt"]) == ("n1", "1")


async def test_the_secret_is_not_shown_over_plain_http() -> None:
    async with receiving() as receiver, notifying(Clock(), loopback=False) as notifier:
        notifier.notify("TESTM", REPLY, url=receiver.url)
        await receiver.wait_for(1)

    assert "x-notification-secret" not in receiver.requests[0][0]


async def test_the_global_address_is_used_where_the_order_names_none() -> None:
    async with receiving() as receiver, notifying(Clock()) as notifier:
        notifier.urls["TESTM"] = receiver.url
        assert notifier.notify("OTHER", REPLY) == ""
        assert notifier.notify("TESTM", REPLY) == "n1"
        await receiver.wait_for(1)


async def test_a_failed_attempt_is_repeated_later_under_the_same_id() -> None:
    clock = Clock()
    async with receiving() as receiver, notifying(clock) as notifier:
        receiver.statuses = [500, 302]
        notifier.notify("TESTM", REPLY, url=receiver.url)
        for attempt in (1, 2, 3):
            await settled(notifier, attempt)
            clock.seconds += 30
            notifier.clock_moved()

    shown = [(head["x-notification-id"], head["x-notification-attempt"]) for head, _ in receiver.requests]
    assert shown == [("n1", "1"), ("n1", "2"), ("n1", "3")]
    assert notifier.waiting == 0


async def test_a_notification_is_given_up_after_the_last_attempt() -> None:
    clock = Clock()
    async with notifying(clock) as notifier:
        notifier.notify("TESTM", REPLY, url="http://127.0.0.1:1/hook")
        for attempt in range(1, 7):
            await settled(notifier, attempt)
            clock.seconds += 100_000
            notifier.clock_moved()
        await asyncio.sleep(0.02)

    assert len(notifier.log) == 6
    assert notifier.waiting == 0


@pytest.mark.parametrize(
    ("kind", "arrived"),
    [
        (NotificationFaultKind.DUPLICATE, ["t1", "t1", "t2"]),
        (NotificationFaultKind.OUT_OF_ORDER, ["t2", "t1"]),
        (NotificationFaultKind.LOSE, ["t2"]),
    ],
)
async def test_faults_change_what_arrives(kind: NotificationFaultKind, arrived: list[str]) -> None:
    async with receiving() as receiver, notifying(Clock()) as notifier:
        notifier.faults.append(NotificationFault(kind))
        for number in (1, 2):
            notifier.notify("TESTM", transaction(number), url=receiver.url)
            if kind is not NotificationFaultKind.OUT_OF_ORDER:
                await settled(notifier, arrived.index("t2") if number == 1 else len(arrived))
        bodies = await receiver.wait_for(len(arrived))
        await settled(notifier, len(arrived))

    assert sorted(body["transaction"]["id"] for body in bodies) == sorted(arrived)
    sent = [json.loads(one.notification.body)["transaction"]["id"] for one in notifier.log]
    assert sorted(sent) == sorted(arrived)


async def test_a_delayed_notification_waits_for_the_clock() -> None:
    clock = Clock()
    async with receiving() as receiver, notifying(clock) as notifier:
        notifier.faults.append(NotificationFault(NotificationFaultKind.DELAY, seconds=60))
        notifier.notify("TESTM", transaction(1), url=receiver.url)
        notifier.notify("TESTM", transaction(2), url=receiver.url)
        await receiver.wait_for(1)
        clock.seconds = 60
        notifier.clock_moved()
        bodies = await receiver.wait_for(2)

    assert [body["transaction"]["id"] for body in bodies] == ["t2", "t1"]


@pytest.mark.parametrize(
    "text", ["ftp://a/", "https://", "https://u:p@a/", "https://a:x/", "https://a/ b", "https://a/\r\nX: y", ""]
)
def test_an_address_that_cannot_be_called_is_refused(text: str) -> None:
    assert not is_notification_url(text)


def test_addresses_over_http_and_https_are_accepted() -> None:
    assert is_notification_url("https://shop.example/hook?x=1")
    assert is_notification_url("http://127.0.0.1:8080/")
