"""Every field of the requests of the Mastercard simulator against the tables, and junk in all of them."""

from __future__ import annotations

import asyncio
import json
import random
import re
from copy import deepcopy
from typing import Any, Final

import httpx
import pytest

from tests.conformance.mpgs_client import (
    CARD,
    GOOD_CARD,
    NUMBERS,
    Gateway,
    Merchant,
    Reply,
    authenticate,
    changed,
    fresh,
    initiate,
    moving,
    paying,
    rows,
    source,
    void,
    without,
)

# Tables of fields.

FIELDS: Final = {row["field"]: row for row in rows("request-fields.csv")}
EXTERNAL: Final = {
    "3ds": {"acsEci": "02", "authenticationToken": "mHyn+7YFi1EUAREAAAAvNUe6Hv8=", "transactionId": "d" * 36},
    "3ds2": {"transactionStatus": "Y", "protocolVersion": "2.2.0", "dsTransactionId": "d" * 36},
}


async def ask(shop: Merchant, path: str, value: Any) -> Reply:
    """Send a request with a value in a field, in an operation that has this field."""
    order = fresh()
    match path.split("."):
        case ["transaction", "amount" | "currency" | "targetTransactionId" as name]:
            await shop.done(order, paying(amount="99999999999.99" if name == "amount" else "100.00"), "t" * 40)
            body = changed(void() if name == "targetTransactionId" else moving("CAPTURE", "1.00"), path, value)
            return await shop.put(order, body)
        case ["session", "authenticationLimit"]:
            return await shop.send("POST", "/session", {"session": {"authenticationLimit": value}})
        case ["session", _]:
            opened = await shop.send("POST", "/session", {})
            filled_in = await shop.send("PUT", f"/session/{opened['session.id']}", {"sourceOfFunds": source()})
            session = {"id": opened["session.id"], "version": filled_in["session.version"]}
            return await shop.put(
                order, changed(without(paying(), "sourceOfFunds") | {"session": session}, path, value)
            )
        case ["sourceOfFunds", "token"]:
            if isinstance(value, str) and len(value) <= 40:
                await shop.send("PUT", f"/token/{value}", {"sourceOfFunds": source()})
            return await shop.put(order, without(changed(paying(), path, value), "sourceOfFunds.provided"))
        case ["authentication", "3ds", _]:
            return await shop.put(order, changed(paying() | {"authentication": EXTERNAL}, path, value))
        case ["authentication", "transactionId"]:
            await shop.done(order, initiate("5123456789012346"), "a" * 40)
            await shop.put(order, authenticate("5123456789012346"), "a" * 40)
            return await shop.put(order, changed(paying(number="5123456789012346"), path, value))
        case ["authentication", "redirectResponseUrl"]:
            await shop.done(order, initiate("5123456789012346"), "a")
            return await shop.put(order, changed(authenticate("5123456789012346"), path, value), "a")
        case ["authentication", _]:
            return await shop.put(order, changed(initiate("5123456789012346"), path, value))
        case [*_, "address", _]:
            return await shop.put(order, changed(paying(), path, value))
        case _:
            return await shop.put(order, changed(paying(), path, value))


LIMITED: Final = [
    (path.replace("*", "note"), row)
    for path, row in FIELDS.items()
    if row["max"] and not path.startswith("{") and row["type"] not in ("integer",)
]


def with_check_digit(digits: str) -> str:
    doubled = [int(digit) * (2 if position % 2 == 0 else 1) for position, digit in enumerate(reversed(digits))]
    return f"{digits}{-sum(value - 9 * (value > 9) for value in doubled) % 10}"


def of_length(path: str, row: dict[str, str], length: int) -> str:
    """Return a good value of a length, but for the length."""
    match path, row["type"]:
        case "sourceOfFunds.provided.card.number", _:
            return with_check_digit(f"{'5123450000000000000'[: length - 1]}")
        case _, "decimal string":
            return f"{'9' * (length - 3)}.99" if length > 3 else "9"
        case _, "digits":
            return {1: "9", 2: "12"}.get(length, "1" * length) if path.endswith("month") else "02345"[:length]
        case (("order.currency" | "transaction.currency"), _):
            return "KZTX"[:length]
        case "billing.address.country", _:
            return "KAZX"[:length]
        case "transaction.targetTransactionId", _:
            return "t" * length
    return "x" * length


@pytest.mark.parametrize(("path", "row"), LIMITED, ids=lambda value: value if isinstance(value, str) else "")
async def test_a_field_may_be_as_long_as_the_table_says_and_no_longer(
    shop: Merchant, path: str, row: dict[str, str]
) -> None:
    most = int(row["max"])
    if path.endswith("expiry.year"):
        assert (await ask(shop, path, "39")).status == 201
    elif path != "session.id":
        reply = await ask(shop, path, of_length(path, row, most))
        assert reply.status in (200, 201), reply.text[:500]
    too_long = await ask(shop, path, of_length(path, row, most + 1))

    assert too_long.told == (400, "ERROR", path, "INVALID")


@pytest.mark.parametrize(
    ("path", "row"),
    [(path, row) for path, row in LIMITED if int(row["min"] or 0) > 1 and path != "session.id"],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_a_field_may_be_as_short_as_the_table_says_and_no_shorter(
    shop: Merchant, path: str, row: dict[str, str]
) -> None:
    least = int(row["min"])
    if not path.endswith("expiry.year"):
        reply = await ask(shop, path, of_length(path, row, least))
        assert reply.status in (200, 201), reply.text[:500]
    too_short = await ask(shop, path, of_length(path, row, least - 1))

    assert too_short.told == (400, "ERROR", path, "INVALID")


@pytest.mark.parametrize("path", [path for path, row in LIMITED if row["min"] == "1"], ids=str)
async def test_a_field_with_a_least_length_is_not_empty(shop: Merchant, path: str) -> None:
    assert (await ask(shop, path, "")).told == (400, "ERROR", path, "INVALID")


@pytest.mark.parametrize("path", [path.replace("*", "note") for path in FIELDS if not path.startswith("{")])
async def test_a_field_of_another_type_is_refused_by_name(shop: Merchant, path: str) -> None:
    row = FIELDS[path.replace("note", "*")]
    wrong: list[Any] = [{"a": 1}, [[1]], True]
    if row["type"] in ("string", "enum", "url", "fixed", "ascii", "base64", "list"):
        wrong.append(7)
    if row["type"] == "integer":
        wrong += ["x", 2.5]
    for value in wrong:
        assert (await ask(shop, path, value)).told == (400, "ERROR", path, "INVALID"), value


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (path, value.rstrip("…"))
        for path, row in FIELDS.items()
        if row["type"] == "enum"
        for value in row["characters_or_values"].split("|")
        if value != "…"
    ],
)
async def test_every_choice_of_the_table_is_taken_and_another_one_is_not(shop: Merchant, path: str, value: str) -> None:
    reply = await ask(shop, path, value)

    assert reply.status == 201, reply.text[:500]
    assert (await ask(shop, path, f"{value}X")).told == (400, "ERROR", path, "INVALID")


@pytest.mark.parametrize(("limit", "good"), [(0, True), (25, True), (-1, False), (26, False)])
async def test_a_session_may_authenticate_up_to_25_times(shop: Merchant, limit: int, good: bool) -> None:
    reply = await ask(shop, "session.authenticationLimit", limit)

    assert reply.told == (
        (reply.status, "SUCCESS", None) if good else (400, "ERROR", "session.authenticationLimit", "INVALID")
    )
    assert reply.status in ((200, 201) if good else (400,))


async def test_fields_of_ones_own_are_at_most_fifty(shop: Merchant) -> None:
    fields = {f"f{number}": "x" * 250 for number in range(50)}

    await shop.done(fresh(), changed(paying(), "order.custom", fields))
    refused = await shop.put(fresh(), changed(paying(), "order.custom", fields | {"more": "x"}))
    assert (refused.status, refused["error.field"]) == (400, "order.custom")


@pytest.mark.parametrize("path", ["order.notificationUrl", "authentication.redirectResponseUrl"])
@pytest.mark.parametrize(
    "value", ["javascript:alert(1)", "file:///etc/passwd", "shop.example", "", "https://", "http://a b"]
)
async def test_what_is_no_address_is_refused(shop: Merchant, path: str, value: str) -> None:
    assert (await ask(shop, path, value)).told == (400, "ERROR", path, "INVALID")


@pytest.mark.parametrize("name", ["riskassessment", "token"])
async def test_ids_of_assessments_and_tokens_have_their_lengths(shop: Merchant, name: str) -> None:
    body = {"sourceOfFunds": source()}
    if name == "riskassessment":
        body = without(paying(), "apiOperation") | {"requestAction": "RISK_ASSESSMENT"}
    good = await shop.send("PUT", f"/{name}/{fresh('x').rjust(40, 'y')}", body)
    long = await shop.send("PUT", f"/{name}/{fresh('x').rjust(41, 'y')}", body)

    assert good.status in (200, 201), good.text
    assert (long.status, long["error.validationType"]) == (400, "INVALID")
    if name == "token":
        assert (await shop.send("PUT", "/token/not-a-token!", body)).status == 400


TOP: Final = [
    "AUTHORIZE", "PAY", "VERIFY", "STANDALONE_CAPTURE", "STANDALONE_REFUND", "DISBURSEMENT", "ACCOUNT_FUNDING_TRANSACTION",
    "BALANCE_INQUIRY", "CAPTURE", "REFUND", "UPDATE_AUTHORIZATION", "VOID", "INITIATE_AUTHENTICATION", "AUTHENTICATE_PAYER",
]  # fmt: skip


@pytest.mark.parametrize("operation", TOP)
async def test_no_operation_takes_a_field_that_is_unknown(shop: Merchant, operation: str) -> None:
    order, number = fresh(), "5123456789012346"
    transaction = "a"
    body = {
        "INITIATE_AUTHENTICATION": initiate(number),
        "AUTHENTICATE_PAYER": authenticate(number),
        "VOID": void("1"),
    }.get(operation, paying(operation))
    if operation in ("CAPTURE", "REFUND", "UPDATE_AUTHORIZATION", "VOID"):
        body = void("1") if operation == "VOID" else moving(operation, "1.00")
        await shop.done(order, paying("PAY" if operation == "REFUND" else "AUTHORIZE"), "1")
    elif operation == "AUTHENTICATE_PAYER":
        await shop.done(order, initiate(number), transaction)
    objects = [name for name, value in body.items() if isinstance(value, dict)]
    for path in ("colour", *(f"{name}.colour" for name in objects)):
        reply = await shop.put(order, changed(body, path, "red"), transaction)
        assert reply.told == (400, "ERROR", path, "UNSUPPORTED")
    assert (await shop.put(order, body, transaction)).status == 201


@pytest.mark.parametrize(
    "path",
    [
        "order", "transaction", "sourceOfFunds", "sourceOfFunds.provided", CARD, f"{CARD}.expiry", "billing", "billing.address",
        "shipping", "shipping.address", "customer", "device", "device.browserDetails", "authentication", "authentication.3ds",
        "authentication.3ds2", "agreement", "risk", "session",
    ],
)  # fmt: skip
async def test_no_object_takes_a_field_that_is_unknown(shop: Merchant, path: str) -> None:
    body = paying()
    if path == "session":
        body = changed(body, "session.id", (await shop.send("POST", "/session", {}))["session.id"])
    reply = await shop.put(fresh(), changed(body, f"{path}.colour", "red"))

    assert reply.told == (400, "ERROR", f"{path}.colour", "UNSUPPORTED")


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/session", {}),
        ("PUT", "/session/{session}", {"order": {"amount": "1.00"}}),
        ("POST", "/token", {"sourceOfFunds": source()}),
        ("PUT", "/token/t9", {"sourceOfFunds": source()}),
        ("POST", "/tokenSearch", {"query": {"status": "VALID"}}),
        ("PUT", "/riskassessment/r9", without(paying(), "apiOperation") | {"requestAction": "RISK_ASSESSMENT"}),
        ("POST", "/paymentOptionsInquiry", {"order": {"currency": "KZT"}}),
        ("PUT", "/batch", {"acquirer": {"cardType": "CREDIT", "currency": "KZT", "id": "SIMULATOR"}}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_no_resource_takes_a_field_that_is_unknown(
    shop: Merchant, method: str, path: str, body: dict[str, Any]
) -> None:
    opened = await shop.send("POST", "/session", {})
    auth = shop.reporting if path == "/batch" else shop.basic
    for name in ("colour", *(f"{name}.colour" for name in body if name not in ("query", "requestAction"))):
        reply = await shop.send(
            method, path.format(session=opened["session.id"]), changed(body, name, "red"), auth=auth
        )
        assert reply.told == (400, "ERROR", name, "UNSUPPORTED")


# Junk (9.1.4).

JUNK: Final[tuple[Any, ...]] = (
    None, True, False, 0, -1, 7, 10**40, 1.5, -0.0, 1e308, "", " ", "x", "\x00", "\ud800", "１２", "x" * 5000,
    "5123456789012346", 5123456789012346, [], [[]], [1, "a", None], {}, {"": 1}, {"a": {"b": [None]}},
    {"number": "5123456789012346"},
    {"5123456789012346": "x"}, "'; DROP TABLE x", "../../etc/passwd", "<script>", "%00", "2039-01-01", "NaN", "1e9",
)  # fmt: skip
NAMES: Final = (
    "",
    "x" * 500,
    "5123456789012346",
    "apiOperation",
    "session",
    "order.amount",
    "__proto__",
    "\u202e",
    "é",
)


def good_requests(session: str) -> list[tuple[str, str, dict[str, Any]]]:
    """One good request of each kind, with as much in it as the manual knows."""
    rich = paying("PAY", code="100") | {
        "billing": {"address": {"street": "Alpha St", "city": "Almaty", "country": "KAZ", "postcodeZip": "050000"}},
        "device": authenticate(GOOD_CARD)["device"],
        "customer": {"email": "a@example.com", "firstName": "A"},
        "authentication": EXTERNAL,
        "correlationId": "c",
        "transaction": {"source": "INTERNET", "reference": "r"},
    }
    rich["order"] |= {"reference": "r", "certainty": "FINAL", "custom": {"a": "b"}}
    order = "/order/{new}/transaction/{new}"
    return [
        ("PUT", order, rich),
        ("PUT", order, rich | {"apiOperation": "AUTHORIZE"}),
        ("PUT", order, paying("VERIFY")),
        ("PUT", "/order/held/transaction/{new}", moving("CAPTURE", "0.01")),
        ("PUT", "/order/paid/transaction/{new}", moving("REFUND", "0.01")),
        ("PUT", "/order/held/transaction/{new}", moving("UPDATE_AUTHORIZATION", "1000.00")),
        ("PUT", "/order/held/transaction/{new}", void("nobody")),
        ("PUT", order, initiate(GOOD_CARD)),
        ("PUT", "/order/asked/transaction/a", authenticate(GOOD_CARD)),
        ("PUT", order, without(paying(), "sourceOfFunds") | {"session": {"id": session}}),
        ("POST", "/session", {"session": {"authenticationLimit": 3}, "correlationId": "c"}),
        (
            "PUT",
            f"/session/{session}",
            {"sourceOfFunds": source(code="100"), "order": {"amount": "1", "currency": "KZT"}},
        ),
        ("POST", "/token", {"sourceOfFunds": source()}),
        ("PUT", "/token/{new}", {"sourceOfFunds": source()}),
        ("POST", "/tokenSearch", {"query": {"status": "VALID"}}),
        ("PUT", "/riskassessment/{new}", without(rich, "apiOperation") | {"requestAction": "RISK_ASSESSMENT"}),
        ("PUT", "/batch", {"acquirer": {"cardType": "CREDIT", "currency": "KZT", "id": "SIMULATOR"}}),
        ("POST", "/paymentOptionsInquiry", {"order": {"currency": "KZT"}}),
    ]


def places(value: Any, above: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The ways to every value of a body."""
    if not isinstance(value, dict):
        return []
    return [way for name, part in value.items() for way in [(*above, name), *places(part, (*above, name))]]


def spoilt(body: dict[str, Any], dice: random.Random) -> dict[str, Any]:
    """A body with junk in one place, or in a few."""
    result = deepcopy(body)
    for _ in range(dice.choice((1, 1, 1, 2, 5))):
        way = dice.choice(places(result) or [("apiOperation",)])
        inner: Any = result
        for name in way[:-1]:
            inner = inner[name]
        match dice.randrange(5):
            case 0:
                inner.pop(way[-1], None)
            case 1:
                inner[dice.choice(NAMES)] = deepcopy(dice.choice(JUNK))
            case _:
                inner[way[-1]] = deepcopy(dice.choice(JUNK))
    return result


@pytest.mark.parametrize("seed", range(8))
async def test_junk_in_any_place_is_refused_and_the_server_goes_on(gateway: Gateway, shop: Merchant, seed: int) -> None:
    dice = random.Random(seed)
    held, paid, asked = fresh("held"), fresh("paid"), fresh("asked")
    await shop.done(held, paying(amount="1000.00"))
    await shop.done(paid, paying("PAY", "1000.00"))
    await shop.done(asked, initiate(GOOD_CARD), "a")
    session = (await shop.send("POST", "/session", {}))["session.id"]
    requests = [
        (
            method,
            path.replace("/held/", f"/{held}/").replace("/paid/", f"/{paid}/").replace("/asked/", f"/{asked}/"),
            body,
        )
        for method, path, body in good_requests(session)
    ]

    async def one() -> tuple[dict[str, Any], Reply]:
        method, path, good = dice.choice(requests)
        body = spoilt(good, dice)
        auth = shop.reporting if path == "/batch" else shop.basic
        return body, await shop.send(method, path.replace("{new}", fresh("j")), body, auth=auth)

    for _ in range(16):
        for body, reply in await asyncio.gather(*(one() for _ in range(16))):
            assert reply.status in (200, 201, 400), (body, reply.text)
            if reply.status == 400:
                assert reply["error.cause"] == "INVALID_REQUEST"
                assert reply["error.explanation"]
    await shop.done(fresh(), paying("PAY"))
    assert all(number not in re.sub("[ -]", "", gateway.journal.read_text()) for number in NUMBERS)


@pytest.mark.parametrize("seed", range(4))
async def test_bytes_that_were_changed_on_the_way_are_refused(shop: Merchant, seed: int) -> None:
    dice = random.Random(seed)
    raw = [json.dumps(body).encode() for _, _, body in good_requests("S" * 31)]

    async def one() -> Reply:
        content = bytearray(dice.choice(raw))
        for _ in range(dice.randrange(1, 6)):
            content[dice.randrange(len(content))] = dice.randrange(256)
        return await shop.send("PUT", f"/order/{fresh('k')}/transaction/1", content=bytes(content))

    for _ in range(8):
        for reply in await asyncio.gather(*(one() for _ in range(8))):
            assert reply.status in (201, 400), reply.text
    await shop.done(fresh(), paying("PAY"))


@pytest.mark.parametrize(
    "path",
    [
        "/order/%00/transaction/1", "/order/%ff%fe/transaction/1", "/order/%/transaction/1", "/order/%zz/transaction/1",
        "/order/a%2Fb/transaction/1", "/order//transaction/1", "/order/../transaction/1", "/order/a/transaction/",
        f"/order/{'x' * 9000}/transaction/1", "/order/a/transaction/1?x=%zz&&==", "/session/%00", "/session/%F0%9F%98%80",
        "/token/%E2%80%AE", "/riskassessment/%0d%0aX: y", "/order/a%0d%0ab/transaction/1", "/order/a;b/transaction/1#c",
    ],
)  # fmt: skip
async def test_junk_in_a_path_is_refused_and_the_server_goes_on(gateway: Gateway, shop: Merchant, path: str) -> None:
    host, port = gateway.plain.removeprefix("http://").split(":")
    header = next(iter(shop.basic.auth_flow(httpx.Request("GET", gateway.plain)))).headers["authorization"]
    content = json.dumps(paying()).encode()
    for method in ("PUT", "GET"):
        reader, writer = await asyncio.open_connection(host, int(port))
        head = (
            f"{method} {shop.root}{path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: {header}\r\nConnection: close\r\n"
        )
        writer.write(f"{head}Content-Length: {len(content)}\r\n\r\n".encode("latin-1") + content)
        answer = await asyncio.wait_for(reader.read(), 10)
        writer.close()
        status = int(answer.split()[1]) if answer else 400
        # Points, and a percent sign that encodes nothing, are letters of an id.
        allowed = (200, 201) if any(part in path for part in ("?", ";", "/%/", "%zz", "..")) else ()
        assert 400 <= status < 500 or status in allowed, answer[:300]
    await shop.done(fresh(), paying("PAY"))


@pytest.mark.parametrize(
    "raw",
    [
        b"\r\n\r\n", b"GET\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00", b"GET / HTTP/9.9\r\n\r\n",
        b"PUT / HTTP/1.1\r\n" + b"a: b\r\n" * 9000 + b"\r\n",
        b"PUT / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", b"PUT / HTTP/1.1\r\nContent-Length: x\r\n\r\n",
        b"PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", b"GET /" + b"x" * 200_000 + b" HTTP/1.1\r\n\r\n",
        b"PUT / HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n{}", b"PUT / HTTP/1.1\r\nA\x00b: c\r\n\r\n",
        b"PUT / HTTP/1.1\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    ],
    ids=lambda raw: repr(raw[:30]),
)  # fmt: skip
async def test_what_is_no_request_gets_no_server_error(gateway: Gateway, shop: Merchant, raw: bytes) -> None:
    host, port = gateway.plain.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(raw)
    try:
        writer.write_eof()
        answer = await asyncio.wait_for(reader.read(), 10)
    except OSError:
        answer = b""
    writer.close()

    assert not answer or 400 <= int(answer.split()[1]) < 500, answer[:200]
    await shop.done(fresh(), paying("PAY"))
