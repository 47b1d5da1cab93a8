"""The forms of fields, and what may not be written down: over HTTP."""

from __future__ import annotations

import base64
import errno
import os
import resource
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from shanraq.core.http import HttpClient, Request
from shanraq.simulators.mastercard import MastercardCredentials, MastercardSimulator
from shanraq.simulators.mastercard.fields import holds_card_number
from shanraq.simulators.mastercard.model import ClockAdvance
from shanraq.simulators.mastercard.store import Journal
from tests.simulators.mastercard.test_http import CARD, Merchant, paying

PAN = "5123456789012346"


@pytest.fixture
async def shop() -> AsyncIterator[Merchant]:
    async with MastercardSimulator(MastercardCredentials.generate()) as simulator:
        client = HttpClient()
        yield Merchant(simulator, client, simulator.credentials.merchant_id, simulator.credentials.password)
        await client.close()


def at(path: str, value: Any) -> dict[str, Any]:
    """A payment with a value at a dotted path."""
    body: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(paying()))
    inner = body
    *parents, last = path.split(".")
    for name in parents:
        inner = inner.setdefault(name, {})
    inner[last] = value
    return body


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("customer", 5),
        ("customer", None),
        ("billing", []),
        ("billing.address", "x"),
        ("shipping.address.street", "x" * 101),
        ("device.ipAddress", "300.1.1.1"),
        ("device.browserDetails.javaEnabled", "yes"),
        ("order.acceptPartialAmount", "true"),
        ("order.certainty", "SURE"),
        ("order.notificationUrl", "ftp://shop.example/x"),
        ("order.notificationUrl", "https://shop.example/\nX: y"),
        ("order.reference", 5),
        ("order.reference", ""),
        ("order.reference", "x" * 201),
        ("order.taxAmount", "1e5"),
        ("order.item", {}),
        ("order.custom", {f"f{n}": "x" for n in range(51)}),
        ("order.custom.a", "x" * 251),
        ("order.custom.a", {}),
        ("transaction.source", "MARS"),
        ("transaction.targetTransactionId", "x" * 41),
        ("correlationId", "x" * 101),
        ("sourceOfFunds.type", "SHELLS"),
        ("sourceOfFunds.provided", "card"),
        ("sourceOfFunds.provided.card.storedOnFile", True),
        ("sourceOfFunds.provided.card.number", 5123450000000008),
        ("sourceOfFunds.provided.card.expiry.month", 0),
        ("sourceOfFunds.provided.card.expiry.year", "\uff13\uff19"),
        ("sourceOfFunds.provided.card.expiry.year", "3"),
        ("authentication.purpose", "FUN"),
        ("authentication.3ds.acsEci", "012"),
        ("authentication.3ds2.transactionStatus", "Z"),
        ("authentication.acceptVersions", "3DS9"),
        ("authentication.channel", "PIGEON"),
        ("agreement", "x"),
    ],
)
async def test_a_form_that_is_wrong_is_refused_by_name(shop: Merchant, path: str, value: Any) -> None:
    status, answer = await shop.put("o", at(path, value))

    assert (status, answer["error"]["field"], answer["error"]["validationType"]) == (400, path, "INVALID")
    assert shop.simulator.orders() == []


@pytest.mark.parametrize(
    "path",
    [
        "colour",
        "billing.street",
        "customer.colour",
        "device.colour",
        "agreement.colour",
        "authentication.3ds2.colour",
        "sourceOfFunds.provided.card.pan",
        "transaction.colour",
        "checkoutMode",
    ],
)
async def test_a_field_that_is_not_known_is_refused_by_name(shop: Merchant, path: str) -> None:
    status, answer = await shop.put("o", at(path, "x"))

    assert (status, answer["error"]["field"], answer["error"]["validationType"]) == (400, path, "UNSUPPORTED")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("order.reference", f"card {PAN}"),
        ("customer.account", {"deep": [f"{PAN[:4]} {PAN[4:8]} {PAN[8:12]} {PAN[12:]}"]}),
        ("airline.ticket", int(PAN)),
        ("sourceOfFunds.provided.card.nameOnCard", PAN),
        ("correlationId", PAN),
    ],
)
async def test_a_card_number_in_another_field_is_refused_and_not_shown(shop: Merchant, path: str, value: Any) -> None:
    status, answer = await shop.put("o", at(path, value))

    assert (status, answer["error"]["field"].startswith(path)) == (400, True)
    assert PAN not in str(answer)
    for order, transaction, field in ((PAN, "t", "order.id"), ("o", PAN, "transaction.id")):
        status, answer = await shop.put(order, paying(), transaction)
        assert (status, answer["error"]["field"]) == (400, field)
        assert PAN not in str(answer)
    named = paying() | {"customer": {PAN: 1}}
    assert PAN not in str(await shop.put("o", named))


@pytest.mark.parametrize(
    "text", ["20261127123456", "0005123456789012346", "1732665600000000", "A5123456789012346", "77077771234567"]
)
def test_references_times_and_telephones_are_no_card_numbers(text: str) -> None:
    assert not holds_card_number(text)


async def test_a_session_without_an_id_is_refused_before_anything_is_done(shop: Merchant) -> None:
    await shop.put("o", paying())
    body = {"apiOperation": "CAPTURE", "transaction": {"amount": "1.00", "currency": "KZT"}, "session": {}}
    status, answer = await shop.put("o", body)

    assert (status, answer["error"]["field"], answer["error"]["validationType"]) == (400, "session.id", "MISSING")
    assert shop.simulator.orders()[0]["captured_minor"] == 0


async def test_replies_read_the_same_for_every_charset(shop: Merchant) -> None:
    name = "Әйгерім Ünal 😀"
    body = at("sourceOfFunds.provided.card.nameOnCard", name)
    body["order"]["reference"] = "заказ 1"
    await shop.put("o", body, "a")
    url = f"{shop.simulator.base_url}/api/rest/version/100/merchant/{shop.merchant_id}/order/o"
    answer = await shop.client.send(Request("GET", url, (("Authorization", _basic(shop)),)), 10)

    assert answer.body.isascii()
    told = msgspec.json.decode(answer.body)
    assert told["reference"] == "заказ 1"
    assert told["sourceOfFunds"]["provided"]["card"]["nameOnCard"] == name


async def test_a_body_that_is_too_large_is_refused_like_any_other(shop: Merchant) -> None:
    status, answer = await shop.send("PUT", "/order/o/transaction/t", raw=b" " * (5 * 1024 * 1024))

    assert (status, answer["result"], answer["error"]["cause"]) == (413, "ERROR", "INVALID_REQUEST")


async def test_older_versions_have_the_risk_within_the_response(shop: Merchant) -> None:
    for version, place in ((22, "response"), (40, "")):
        shop.version = version
        _, answer = await shop.put(f"o{version}", paying(), "a")
        _, found = await shop.send("GET", f"/order/o{version}/transaction/a")
        for reply in (answer, found):
            assert ("risk" in reply, "risk" in reply["response"]) == (not place, bool(place))
        assert (answer["response"] | answer).get("risk", {}) != {}


async def test_what_is_retrieved_has_the_version_of_the_address(shop: Merchant) -> None:
    await shop.put("o", paying(), "a")
    shop.version = 74

    _, order = await shop.send("GET", "/order/o")
    _, transaction = await shop.send("GET", "/order/o/transaction/a")
    assert (order["version"], order["transaction"][0]["version"], transaction["version"]) == ("74", "74", "74")
    assert (await shop.put("o", paying(), "a"))[1]["version"] == "100"


@pytest.mark.parametrize(
    ("code", "result", "captured"),
    [
        ("BALANCE_AVAILABLE", "FAILURE", 0),
        ("NOT_ENROLLED_3D_SECURE", "FAILURE", 0),
        ("PARTIALLY_APPROVED", "SUCCESS", 50),
        ("APPROVED_AUTO", "SUCCESS", 100),
        ("TIMED_OUT", "UNKNOWN", 0),
        ("SUBMITTED", "PENDING", 0),
        ("NO_SUCH_CODE", "SUCCESS", 100),
    ],
)
async def test_a_reference_orders_its_gateway_code(shop: Merchant, code: str, result: str, captured: int) -> None:
    body = paying("PAY")
    body["order"] = body["order"] | {"reference": f"o.FAIL{code}"}
    _, answer = await shop.put("o", body)

    assert (answer["result"], answer["order"]["totalCapturedAmount"]) == (result, captured)
    assert answer["response"]["gatewayCode"] == ("APPROVED" if code == "NO_SUCH_CODE" else code)


async def test_a_balance_is_a_success_of_the_operation_that_asks_for_it(shop: Merchant) -> None:
    _, answer = await shop.put("o", paying("BALANCE_INQUIRY"))
    assert (answer["result"], answer["response"]["gatewayCode"]) == ("SUCCESS", "BALANCE_AVAILABLE")


async def test_the_journal_alone_tells_nobody_what_was_asked(tmp_path: Path) -> None:
    hashes = []
    for turn in range(2):
        credentials = MastercardCredentials.generate()
        async with MastercardSimulator(credentials, journal=tmp_path / f"{turn}") as simulator:
            client = HttpClient()
            await Merchant(simulator, client, credentials.merchant_id, credentials.password).put("o", paying(), "a")
            await client.close()
        line = (tmp_path / f"{turn}").read_bytes().splitlines()[0]
        hashes.append(msgspec.json.decode(line)["request"])
        assert CARD["number"].encode() not in line

    assert hashes[0] != hashes[1]


async def test_ids_after_a_restart_are_others(tmp_path: Path) -> None:
    credentials = MastercardCredentials.generate()
    made = []
    for _ in range(3):
        async with MastercardSimulator(credentials, journal=tmp_path / "journal") as simulator:
            client = HttpClient()
            shop = Merchant(simulator, client, credentials.merchant_id, credentials.password)
            made.append((await shop.send("POST", "/session", {}))[1]["session"]["id"])
            for kept in made:
                assert (await shop.send("GET", f"/session/{kept}"))[0] == 200
            await client.close()

    assert len(set(made)) == 3


async def test_a_reset_forgets_sessions_tokens_and_assessments(shop: Merchant) -> None:
    _, session = await shop.send("POST", "/session", {})
    source = {"sourceOfFunds": {"type": "CARD", "provided": {"card": {"number": PAN, "expiry": CARD["expiry"]}}}}
    assert (await shop.send("PUT", "/token/t1", source))[0] == 200
    order = {"amount": "1.00", "currency": "KZT"}
    asked = source | {"requestAction": "RISK_ASSESSMENT", "order": order}
    assert (await shop.send("PUT", "/riskassessment/r1", asked))[0] == 201

    shop.simulator.reset()

    assert (await shop.send("GET", f"/session/{session['session']['id']}"))[0] == 400
    assert (await shop.send("GET", "/token/t1"))[0] == 400
    assert (await shop.send("PUT", "/riskassessment/r1", asked))[0] == 201


def test_a_line_that_could_not_be_written_whole_is_taken_away(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    journal = Journal(path)
    journal.append(ClockAdvance(1.0))
    whole = path.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(whole) + 10, hard))
    try:
        with pytest.raises(OSError, match=os.strerror(errno.EFBIG)):
            journal.append(ClockAdvance(2.0))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert path.read_bytes() == whole
    journal.append(ClockAdvance(3.0))
    assert [entry.seconds for entry in journal.read() if isinstance(entry, ClockAdvance)] == [1.0, 3.0]
    journal.close()


def _basic(shop: Merchant) -> str:
    return "Basic " + base64.b64encode(f"merchant.{shop.merchant_id}:{shop.password}".encode()).decode()
