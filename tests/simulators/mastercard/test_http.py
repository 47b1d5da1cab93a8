"""The Mastercard simulator over HTTP: what it takes, refuses, repeats, and keeps apart."""

from __future__ import annotations

import asyncio
import base64
import itertools
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shanraq.core.http import HttpClient, Request
from shanraq.simulators.mastercard import MastercardCredentials, MastercardSimulator, obtain

CARD: dict[str, Any] = {"number": "5123450000000008", "expiry": {"month": "1", "year": "39"}, "securityCode": "100"}
ids = itertools.count(1)


@dataclass
class Merchant:
    """A merchant at the simulator."""

    simulator: MastercardSimulator
    client: HttpClient
    merchant_id: str
    password: str
    version: int = 100

    async def send(
        self, method: str, path: str, body: Any = None, *, raw: bytes | None = None, password: str | None = None
    ) -> tuple[int, Any]:
        basic = base64.b64encode(f"merchant.{self.merchant_id}:{password or self.password}".encode()).decode()
        content = raw if raw is not None else b"" if body is None else msgspec.json.encode(body)
        url = f"{self.simulator.base_url}/api/rest/version/{self.version}/merchant/{self.merchant_id}{path}"
        answer = await self.client.send(Request(method, url, (("Authorization", f"Basic {basic}"),), content), 10)
        return answer.status, msgspec.json.decode(answer.body) if answer.body else None

    async def put(self, order: str, body: dict[str, Any], transaction: str | None = None) -> tuple[int, Any]:
        return await self.send("PUT", f"/order/{order}/transaction/{transaction or f't{next(ids)}'}", body)


@pytest.fixture
async def shop() -> AsyncIterator[Merchant]:
    async with MastercardSimulator(MastercardCredentials.generate()) as simulator:
        client = HttpClient(connections_per_origin=32)
        yield Merchant(simulator, client, simulator.credentials.merchant_id, simulator.credentials.password)
        await client.close()


def paying(operation: str = "AUTHORIZE", amount: Any = "100.00", **more: Any) -> dict[str, Any]:
    order = {"amount": amount, "currency": "KZT"} if operation not in ("VERIFY",) else {"currency": "KZT"}
    return {
        "apiOperation": operation, "order": order,
        "sourceOfFunds": {"type": "CARD", "provided": {"card": CARD}}, **more,
    }  # fmt: skip


def moving(operation: str, amount: Any, currency: str = "KZT") -> dict[str, Any]:
    return {"apiOperation": operation, "transaction": {"amount": amount, "currency": currency}}


async def test_an_order_from_authorization_to_refund(shop: Merchant) -> None:
    status, held = await shop.put("o", paying(), "a")
    assert (status, held["result"], held["order"]["status"]) == (201, "SUCCESS", "AUTHORIZED")
    assert held["sourceOfFunds"]["provided"]["card"]["number"] == "512345xxxxxx0008"
    assert "securityCode" not in msgspec.json.encode(held).decode().replace("cardSecurityCode", "")
    assert held["version"] == "100"
    for operation, amount, wanted in (
        ("CAPTURE", 40, "PARTIALLY_CAPTURED"),
        ("CAPTURE", "60.00", "CAPTURED"),
        ("REFUND", 10.5, "PARTIALLY_REFUNDED"),
        ("REFUND", "89.50", "REFUNDED"),
    ):
        status, answer = await shop.put("o", moving(operation, amount))
        assert (status, answer["order"]["status"]) == (201, wanted)
    status, order = await shop.send("GET", "/order/o")
    assert (status, order["totalCapturedAmount"], order["totalRefundedAmount"]) == (200, 100, 100)
    assert [one["transaction"]["type"] for one in order["transaction"]] == [
        "AUTHORIZATION", "CAPTURE", "CAPTURE", "REFUND", "REFUND",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("first", "then", "type_", "status"),
    [
        (paying(), None, "VOID_AUTHORIZATION", "CANCELLED"),
        (paying("PAY"), None, "VOID_PAYMENT", "CANCELLED"),
        (paying(), moving("CAPTURE", 30), "VOID_CAPTURE", "AUTHORIZED"),
        (paying("PAY"), moving("REFUND", 30), "VOID_REFUND", "CAPTURED"),
    ],
)
async def test_a_void_takes_the_last_one_back_once(
    shop: Merchant, first: dict[str, Any], then: dict[str, Any] | None, type_: str, status: str
) -> None:
    await shop.put("o", first)
    if then is not None:
        await shop.put("o", then)
    code, voided = await shop.put("o", {"apiOperation": "VOID"} | {"transaction": {"reference": "r"}}, "v")
    assert (code, voided["transaction"]["type"], voided["order"]["status"]) == (201, type_, status)
    target = voided["transaction"]["targetTransactionId"]
    code, again = await shop.put("o", {"apiOperation": "VOID", "transaction": {"targetTransactionId": target}})
    assert (code, again["error"]["field"]) == (400, "apiOperation")
    assert again["error"]["explanation"] == "Value 'VOID' is invalid. There is no transaction to void."


async def test_the_same_request_is_answered_again_and_another_refused(shop: Merchant) -> None:
    first = await shop.put("o", paying(correlationId="one"), "a")
    again = await shop.put("o", paying(correlationId="two"), "a")
    other = await shop.put("o", paying(amount="100.01"), "a")

    assert (first[0], again[0], other[0]) == (201, 200, 400)
    assert (first[1].pop("correlationId"), again[1].pop("correlationId")) == ("one", "two")
    assert first[1] == again[1]
    assert "correlationId" not in (await shop.send("GET", "/order/o/transaction/a"))[1]
    assert (await shop.put("o", paying(amount="0", correlationId="three")))[1]["correlationId"] == "three"
    assert len(shop.simulator.journal()) == 1


async def test_ten_captures_at_once_take_what_is_there_and_no_more(shop: Merchant) -> None:
    await shop.put("o", paying())
    answers = await asyncio.gather(*(shop.put("o", moving("CAPTURE", "30.00"), f"c{n}") for n in range(10)))

    assert sum(status == 201 for status, _ in answers) == 3
    assert shop.simulator.orders()[0]["captured_minor"] == 9000


@pytest.mark.parametrize(
    ("body", "field", "kind"),
    [
        ({}, None, None),
        ({"order": {}}, "apiOperation", "MISSING"),
        ({"apiOperation": "BUY"}, "apiOperation", "INVALID"),
        (paying() | {"colour": "red"}, "colour", "UNSUPPORTED"),
        (paying() | {"order": {"amount": "1", "currency": "KZT", "x": 1}}, "order.x", "UNSUPPORTED"),
        (paying() | {"order": {"currency": "KZT"}}, "order.amount", "MISSING"),
        (paying() | {"order": {"amount": "1"}}, "order.currency", "MISSING"),
        (paying() | {"order": {"amount": "1", "currency": "kzt"}}, "order.currency", "INVALID"),
        (paying() | {"order": {"amount": "1", "currency": "XXX"}}, "order.currency", "INVALID"),
        (paying(amount="-1"), "order.amount", "INVALID"),
        (paying(amount="1e3"), "order.amount", "INVALID"),
        (paying(amount="1.005"), "order.amount", "INVALID"),
        (paying(amount="0.00"), "order.amount", "INVALID"),
        (paying(amount="\uff11\uff12"), "order.amount", "INVALID"),
        (paying(amount="123456789012.34"), "order.amount", "INVALID"),
        (paying(amount=True), "order.amount", "INVALID"),
        (paying(billing={"address": {"country": "KZ"}}), "billing.address.country", "INVALID"),
    ],
)
async def test_a_request_that_is_wrong_is_refused_by_name(
    shop: Merchant, body: dict[str, Any], field: str | None, kind: str | None
) -> None:
    status, answer = await shop.put("o", body)

    assert (status, answer["result"], answer["error"]["cause"]) == (400, "ERROR", "INVALID_REQUEST")
    assert (answer["error"].get("field"), answer["error"].get("validationType")) == (field, kind)
    assert shop.simulator.orders() == []


@pytest.mark.parametrize(
    ("card", "field"),
    [
        ({"number": "5123450000000009"}, "sourceOfFunds.provided.card.number"),
        ({"number": "51234x0000000008"}, "sourceOfFunds.provided.card.number"),
        ({"expiry": {"month": "13", "year": "39"}}, "sourceOfFunds.provided.card.expiry.month"),
        ({"expiry": {"month": "1", "year": "2039"}}, "sourceOfFunds.provided.card.expiry.year"),
        ({"securityCode": "12"}, "sourceOfFunds.provided.card.securityCode"),
    ],
)
async def test_a_card_that_is_wrong_is_refused_by_name(shop: Merchant, card: dict[str, Any], field: str) -> None:
    body = paying() | {"sourceOfFunds": {"type": "CARD", "provided": {"card": CARD | card}}}
    status, answer = await shop.put("o", body)

    assert (status, answer["error"]["field"]) == (400, field)
    assert CARD["number"] not in str(answer)


@pytest.mark.parametrize(
    "raw", [b"", b"{", b"[]", b"null", b'{"apiOperation":NaN}', b"\xff\xfe", b'"x"', b"[" * 5000, b'{"a":' * 3000]
)
async def test_junk_is_refused_and_the_server_goes_on(shop: Merchant, raw: bytes) -> None:
    status, answer = await shop.send("PUT", "/order/o/transaction/1", raw=raw)

    assert (status, answer["result"]) == (400, "ERROR")
    assert (await shop.put("o", paying()))[0] == 201


async def test_who_is_not_the_merchant_gets_nothing(shop: Merchant) -> None:
    made = shop.simulator.credentials
    other = Merchant(shop.simulator, shop.client, made.other_merchant_id, made.other_password)
    await shop.put("o", paying(), "a")

    for password in ("wrong", "é", made.other_password):
        status, answer = await shop.send("GET", "/order/o", password=password)
        assert (status, answer["result"], answer["error"]["explanation"]) == (401, "ERROR", "Invalid credentials.")
    assert (await other.send("GET", "/order/o"))[0] == 400
    assert (await other.put("o", moving("CAPTURE", 1)))[0] == 400
    for version, wanted in ((0, 404), (52, 200)):
        shop.version = version
        assert (await shop.send("GET", "/order/o"))[0] == wanted
    assert (await shop.send("POST", "/order/o"))[0] == 405


@pytest.mark.parametrize(
    ("expiry", "result", "code"),
    [
        ("01/39", "SUCCESS", "APPROVED"),
        ("12/30", "SUCCESS", "APPROVED"),
        ("05/39", "FAILURE", "DECLINED"),
        ("04/27", "FAILURE", "EXPIRED_CARD"),
        ("08/28", "UNKNOWN", "TIMED_OUT"),
        ("01/37", "FAILURE", "ACQUIRER_SYSTEM_ERROR"),
        ("02/37", "FAILURE", "UNSPECIFIED_FAILURE"),
        ("05/37", "UNKNOWN", "UNKNOWN"),
    ],
)
async def test_expiries_decide_and_a_failed_order_may_be_tried_again(
    shop: Merchant, expiry: str, result: str, code: str
) -> None:
    month, year = expiry.split("/")
    card = CARD | {"expiry": {"month": month, "year": year}}
    status, answer = await shop.put("o", paying("PAY") | {"sourceOfFunds": {"provided": {"card": card}}}, "a")

    assert (status, answer["result"], answer["response"]["gatewayCode"]) == (201, result, code)
    good = result == "SUCCESS"
    assert answer["order"]["totalCapturedAmount"] == (100 if good else 0)
    assert (await shop.put("o", paying("PAY"), "b"))[0] == (400 if good else 201)


async def test_the_journal_brings_everything_back(tmp_path: Path) -> None:
    credentials = MastercardCredentials.generate()
    journal = tmp_path / "journal"
    seen: list[Any] = []
    for turn in range(2):
        async with MastercardSimulator(credentials, journal=journal) as simulator:
            client = HttpClient()
            shop = Merchant(simulator, client, credentials.merchant_id, credentials.password)
            seen.append(await shop.put("o", paying(), "a"))
            if not turn:
                await shop.put("o", moving("CAPTURE", "30.00"), "c")
            seen.append((await shop.send("GET", "/order/o"))[1])
            await client.close()

    assert (seen[0][0], seen[2][0]) == (201, 200)
    assert seen[0][1] == seen[2][1]
    assert seen[1] == seen[3]
    assert CARD["number"] not in journal.read_text()


async def test_the_history_tells_the_columns_asked_for_and_a_notification_is_sent(shop: Merchant) -> None:
    heard: list[bytes] = []

    async def receive(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        heard.append(head.lower() + await reader.readexactly(length))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    receiver = await asyncio.start_server(receive, "127.0.0.1", 0)
    port = receiver.sockets[0].getsockname()[1]
    body = paying()
    body["order"]["notificationUrl"] = f"http://127.0.0.1:{port}/hook"
    await shop.put("o", body, "a")
    for _ in range(100):
        if heard:
            break
        await asyncio.sleep(0.05)
    receiver.close()
    secret = shop.simulator.credentials.notification_secret.encode()
    assert heard
    assert b"x-notification-secret: " + secret in heard[0]
    assert b'"AUTHORIZATION"' in heard[0]

    basic = base64.b64encode(f"merchant.{shop.merchant_id}:{shop.password}".encode()).decode()
    query = "columns=order.id,transaction.type,order.amount&timeOfRecord.start=2020-01-01T00:00:00Z"
    url = f"{shop.simulator.base_url}/history/version/1/merchant/{shop.merchant_id}/transaction?{query}"
    request = Request("GET", f"{url}&timeOfRecord.end=2099-01-01T00:00:00Z", (("Authorization", f"Basic {basic}"),))
    answer = await shop.client.send(request, 10)
    assert answer.status == 200
    assert answer.body.decode().split() == ["order.id,transaction.type,order.amount", "o,AUTHORIZATION,100"]


def test_a_file_of_credentials_is_made_and_added_to(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    path.write_text('{"merchant_id": "visa", "key_id": "k"}')
    made = obtain(path)

    assert obtain(path) == made
    assert msgspec.json.decode(path.read_bytes())["merchant_id"] == "visa"
    path.write_text('{"mpgs_merchant_id": "TESTX"}')
    with pytest.raises(ValueError, match="mpgs_password"):
        obtain(path)


STEPS = st.lists(
    st.tuples(st.sampled_from(["CAPTURE", "REFUND", "VOID", "UPDATE_AUTHORIZATION"]), st.integers(1, 12_000)),
    max_size=12,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(["AUTHORIZE", "PAY"]), STEPS)
async def test_totals_hold_after_any_steps(shop: Merchant, first: str, steps: list[tuple[str, int]]) -> None:
    order = f"o{next(ids)}"
    await shop.put(order, paying(first))
    for operation, amount in steps:
        text = f"{amount // 100}.{amount % 100:02d}"
        body = {"apiOperation": "VOID"} if operation == "VOID" else moving(operation, text)
        before = next(one for one in shop.simulator.orders() if one["order_id"] == order)
        status, _ = await shop.put(order, body)
        after = next(one for one in shop.simulator.orders() if one["order_id"] == order)
        assert status in (201, 400)
        assert status == 201 or after == before
        assert 0 <= after["refunded_minor"] <= after["captured_minor"] <= after["authorized_minor"]
