"""Hosted batch upload: files of operations, what is refused of them, and what comes back."""

from __future__ import annotations

import asyncio
import base64
import csv
import io
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from shanraq.core.http import HttpClient, Request, Response
from shanraq.simulators.mastercard import MastercardCredentials, MastercardSimulator
from shanraq.simulators.mastercard.fields import Body
from shanraq.simulators.mastercard.upload import LINE_LIMIT, Uploads
from tests.simulators.mastercard.test_http import CARD, Merchant, moving, paying

NUMBER = CARD["number"]
OWN = ["apiOperation", "order.id", "transaction.id"]
CARD_COLUMNS = [
    f"sourceOfFunds.provided.card.{name}" for name in ("number", "expiry.month", "expiry.year", "securityCode")
]
HEADER = [
    *OWN, "order.amount", "order.currency", "transaction.amount", "transaction.currency", *CARD_COLUMNS, "order.reference",
    "result", "response.gatewayCode", "order.status", "transaction.type", "error.cause", "error.field", "error.explanation",
]  # fmt: skip


def file_of(*rows: dict[str, str], header: list[str] = HEADER) -> str:
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(header)
    writer.writerows([row.get(name, "") for name in header] for row in rows)
    return text.getvalue()


def pay(order: str, amount: str = "10.00", expiry: str = "1/39", **more: str) -> dict[str, str]:
    month, year = expiry.split("/")
    values = ("PAY", order, f"t-{order}", amount, "KZT", "", "", NUMBER, month, year, "100")
    return dict(zip(HEADER, values, strict=False)) | more


def move(operation: str, order: str, amount: str) -> dict[str, str]:
    return dict(zip(HEADER, (operation, order, "m", "", "", amount, "KZT"), strict=False))


@dataclass
class Sender(Merchant):
    """A merchant that sends files."""

    async def ask(self, method: str, path: str, content: bytes = b"", content_type: str = "text/csv") -> Response:
        basic = base64.b64encode(f"merchant.{self.merchant_id}:{self.password}".encode()).decode()
        url = f"{self.simulator.base_url}/batch/version/{self.version}/merchant/{self.merchant_id}/batch/{path}"
        headers = (("Authorization", f"Basic {basic}"), ("Content-Type", content_type))
        return await self.client.send(Request(method, url, headers, content), 10)

    async def upload(
        self, name: str, content: str | bytes, content_type: str = "text/csv", charset: str = "latin-1"
    ) -> tuple[int, Any]:
        raw = content if isinstance(content, bytes) else content.encode(charset)
        answer = await self.ask("PUT", name, raw, content_type)
        return answer.status, msgspec.json.decode(answer.body)

    async def finished(self, name: str) -> dict[str, Any]:
        for _ in range(1000):
            answer = await self.ask("GET", f"{name}/status")
            batch: dict[str, Any] = msgspec.json.decode(answer.body)["batch"]
            if batch["status"] != "PROCESSING":
                return batch
            await asyncio.sleep(0.01)
        raise AssertionError(batch)

    async def rows(self, name: str, charset: str = "latin-1") -> list[dict[str, str]]:
        assert (await self.finished(name))["status"] == "COMPLETE"
        answer = await self.ask("GET", f"{name}/response")
        assert answer.status == 200
        text = answer.body.decode(charset)
        assert NUMBER not in text
        return list(csv.DictReader(io.StringIO(text, newline=""), strict=True))


@pytest.fixture
async def sender() -> AsyncIterator[Sender]:
    async with MastercardSimulator(MastercardCredentials.generate()) as simulator:
        client = HttpClient()
        yield Sender(simulator, client, simulator.credentials.merchant_id, simulator.credentials.password)
        await client.close()


async def test_a_file_is_carried_out_line_by_line_and_answered_in_its_columns(sender: Sender) -> None:
    await sender.put("held", paying(), "a")
    content = file_of(
        pay("o1", **{"order.reference": "Ünï, \"one\""}),
        pay("o2", expiry="5/39"),
        pay("o3", amount="1.005"),
        move("CAPTURE", "held", "40.00"),
        move("REFUND", "unknown", "1"),
        pay("o4", apiOperation="BUY"),
    )  # fmt: skip

    status, taken = await sender.upload("first", content)

    assert (status, taken["result"], taken["merchant"], taken["version"]) == (201, "SUCCESS", sender.merchant_id, "100")
    rows = await sender.rows("first")
    assert list(rows[0]) == HEADER
    assert [(row["order.id"], row["result"], row["response.gatewayCode"], row["order.status"]) for row in rows] == [
        ("o1", "SUCCESS", "APPROVED", "CAPTURED"),
        ("o2", "FAILURE", "DECLINED", "FAILED"),
        ("o3", "ERROR", "", ""),
        ("held", "SUCCESS", "APPROVED", "PARTIALLY_CAPTURED"),
        ("unknown", "ERROR", "", ""),
        ("o4", "ERROR", "", ""),
    ]
    assert [row["error.field"] for row in rows] == ["", "", "order.amount", "", "order.id", "apiOperation"]
    assert rows[2]["error.cause"] == "INVALID_REQUEST"
    first = rows[0]
    assert (first[CARD_COLUMNS[0]], first[CARD_COLUMNS[3]]) == ("512345xxxxxx0008", "")
    assert (first["order.amount"], first["order.reference"], first["transaction.type"]) == (
        "10",
        'Ünï, "one"',
        "PAYMENT",
    )
    batch = await sender.finished("first")
    assert (batch["operationCount"], batch["processedCount"], batch["successCount"]) == (6, 6, 2)
    status, order = await sender.send("GET", "/order/held")
    assert (status, order["totalCapturedAmount"]) == (200, 40)
    assert (await sender.ask("GET", "first")).body == (await sender.ask("GET", "first/status")).body


async def test_lines_may_use_tokens_and_repeat_single_requests(sender: Sender) -> None:
    status, token = await sender.send(
        "POST",
        "/token",
        {"sourceOfFunds": {"type": "CARD", "provided": {"card": {"number": NUMBER, "expiry": CARD["expiry"]}}}},
    )
    assert status == 201
    header = [*OWN, "order.amount", "order.currency", "sourceOfFunds.token", "order.acceptPartialAmount", "result"]
    one = dict(zip(header, ("PAY", "o", "1", "7012.00", "KZT", token["token"], "TRUE"), strict=False))
    wrong = one | {"order.id": "p", "order.acceptPartialAmount": "yes"}
    await sender.upload("tokens", file_of(one, wrong, header=[*header, "error.field", "order.totalCapturedAmount"]))
    rows = await sender.rows("tokens")

    assert [(row["result"], row["order.totalCapturedAmount"]) for row in rows] == [("SUCCESS", "3506"), ("ERROR", "")]
    assert rows[1]["error.field"] == "order.acceptPartialAmount"
    await sender.put("q", paying("PAY", "5"), "1")
    again = paying("PAY", "5")
    header = [*OWN, "order.amount", "order.currency", "sourceOfFunds.type", *CARD_COLUMNS, "result"]
    card = again["sourceOfFunds"]["provided"]["card"]
    values = ("PAY", "q", "1", "5", "KZT", "CARD", NUMBER, card["expiry"]["month"], card["expiry"]["year"], "100")
    await sender.upload("repeat", file_of(dict(zip(header, values, strict=False)), header=header))
    assert [row["result"] for row in await sender.rows("repeat")] == ["SUCCESS"]
    assert sum(one["order_id"] == "q" for one in sender.simulator.journal()) == 1


async def test_the_same_file_is_answered_again_and_another_under_its_name_refused(sender: Sender) -> None:
    content = file_of(pay("o1"))
    assert (await sender.upload("name", content))[0] == 201
    await sender.finished("name")

    again = await sender.upload("name", content)
    other = await sender.upload("name", file_of(pay("o2")))
    charset = await sender.upload("name", content, "text/csv; charset=utf-8")

    assert (again[0], again[1]["batch"]["status"]) == (200, "COMPLETE")
    for status, refused in (other, charset):
        assert (status, refused["error"]["field"]) == (400, "batch.name")
    assert len(sender.simulator.journal()) == 1
    assert (await sender.upload("other-name", content))[0] == 201
    await sender.finished("other-name")
    assert len(sender.simulator.journal()) == 1, "the operations are those of before"


@pytest.mark.parametrize(
    ("content_type", "charset"),
    [
        ("text/csv; charset=UTF-8", "utf-8"),
        ('text/csv; header=present; charset="windows-1251"', "cp1251"),
        ("text/csv;charset=koi8-r;header=present", "koi8-r"),
    ],
)
async def test_another_charset_may_be_given(sender: Sender, content_type: str, charset: str) -> None:
    status, _ = await sender.upload("c", file_of(pay("o", **{"order.reference": "Тапсырыс"})), content_type, charset)

    assert status == 201
    assert [row["order.reference"] for row in await sender.rows("c", charset)] == ["Тапсырыс"]
    assert (await sender.send("GET", "/order/o"))[1]["reference"] == "Тапсырыс"


GOOD = file_of(pay("o1"), pay("o2"))


@pytest.mark.parametrize(
    ("content", "field", "says"),
    [
        ("", "", "The file is empty"),
        ("\r\n\r\n", "", "The file is empty"),
        (file_of(), "", "no operation"),
        (GOOD.replace("apiOperation,", "operation,", 1), "apiOperation", "needs a column"),
        (GOOD.replace("order.id,", "order.name,", 1), "order.id", "needs a column"),
        (GOOD.replace("transaction.id,", "transaction.name,", 1), "transaction.id", "needs a column"),
        (GOOD.replace("result,", "order.id,", 1), "", "Line 1: column 13 names the field of another"),
        (GOOD.replace("result,", "order,", 1), "", "Line 1: a column names a part of what another names"),
        (GOOD.replace("result,", "order..x,", 1), "", "Line 1: column 13 is not"),
        (GOOD.replace("result,", ",", 1), "", "Line 1: column 13 is not"),
        (GOOD.replace("result,", f"{NUMBER},", 1), "", "Line 1: column 13 is not"),
        (GOOD.replace("result,", "a.b.c.d.e.f.g.h.i.j.k,", 1), "", "Line 1: column 13 is not"),
        (GOOD.replace("result,", "x," * 501, 1), "", "Line 1: there may be 500 columns"),
        (GOOD.replace("PAY,o2,", "PAY,o2,,"), "", f"Line 3: it has {len(HEADER) + 1} values for {len(HEADER)} columns"),
        (GOOD.replace("PAY,o2,", '"PAY,o2,'), "", "Line 3: it is not CSV"),
        (GOOD.replace("PAY,o2,", '"PAY"x,o2,'), "", "Line 3: it is not CSV"),
        (GOOD.replace("o2", "o1"), "", "Line 3: the order has another operation in this file"),
        (GOOD.replace("o2,", "o2" + " " * LINE_LIMIT + ","), "", "Line 3: it has more than 100000 characters"),
    ],
)  # fmt: skip
async def test_a_file_that_is_wrong_is_refused_whole(sender: Sender, content: str, field: str, says: str) -> None:
    status, refused = await sender.upload("bad", content)

    assert (status, refused["result"], refused["error"].get("field", "")) == (400, "ERROR", field)
    assert says in refused["error"]["explanation"]
    assert NUMBER not in str(refused)
    assert sender.simulator.journal() == []
    assert (await sender.ask("GET", "bad/status")).status == 400
    assert (await sender.upload("bad", GOOD))[0] == 201, "the name is not taken"


@pytest.mark.parametrize(
    ("content_type", "raw", "kind"),
    [
        ("text/csv; charset=utf-8", b"\xff", "INVALID"),
        ("text/csv; charset=ascii", "é".encode(), "INVALID"),
        ("text/csv; charset=hex", b"00", "UNSUPPORTED"),
        ("text/csv; charset=utf-7", b"00", "UNSUPPORTED"),
        ("text/csv; charset=martian", b"00", "UNSUPPORTED"),
    ],
)
async def test_a_charset_that_is_wrong_is_refused(sender: Sender, content_type: str, raw: bytes, kind: str) -> None:
    status, refused = await sender.upload("bad", raw, content_type)

    assert (status, refused["error"]["field"], refused["error"]["validationType"]) == (400, "charset", kind)


async def test_card_numbers_in_other_fields_are_neither_carried_out_nor_shown(sender: Sender) -> None:
    content = file_of(
        pay("o1", **{"order.reference": NUMBER}),
        pay(NUMBER),
        pay("o3", **{"transaction.id": NUMBER}),
        pay("o4", apiOperation=NUMBER),
        pay("o5", result=NUMBER),
    )
    await sender.upload("cards", content)
    rows = await sender.rows("cards")

    assert [row["error.field"] for row in rows] == [
        "order.reference",
        "order.id",
        "transaction.id",
        "apiOperation",
        "result",
    ]
    assert [row["order.id"] for row in rows] == ["o1", "", "o3", "o4", "o5"]
    assert sender.simulator.journal() == []
    assert (await sender.upload(NUMBER, GOOD))[0] == 400


@pytest.mark.parametrize("name", ["a%20b", "a%2Fb", "x" * 101, "%D0%B0"])
async def test_a_name_that_is_wrong_is_refused(sender: Sender, name: str) -> None:
    status, refused = await sender.upload(name, GOOD)

    assert (status, refused["error"]["field"]) == (400, "batch.name")


async def test_an_unknown_batch_another_merchants_and_a_wrong_password_get_nothing(sender: Sender) -> None:
    made = sender.simulator.credentials
    other = replace(sender, merchant_id=made.other_merchant_id, password=made.other_password)
    await sender.upload("mine", GOOD)
    await sender.finished("mine")

    for path in ("mine", "mine/status", "mine/response"):
        assert (await sender.ask("GET", path)).status == 200
        answer = await other.ask("GET", path)
        assert (answer.status, msgspec.json.decode(answer.body)["error"]["field"]) == (400, "batch.name")
        assert (await replace(sender, password="wrong").ask("GET", path)).status == 401
    assert (await sender.ask("POST", "mine")).status == 405
    assert (await sender.ask("PUT", "mine/status")).status == 405
    assert (await replace(sender, password="wrong").upload("x", GOOD))[0] == 401
    assert (await other.upload("mine", file_of(pay("o9"))))[0] == 201, "names are the merchant's own"


async def test_a_restart_brings_batches_back_and_the_journal_holds_no_card(tmp_path: Path) -> None:
    credentials = MastercardCredentials.generate()
    journal, content = tmp_path / "journal", file_of(pay("o1"), pay("o2", expiry="5/39"), pay("o3", amount="x"))
    seen = []
    for turn in range(2):
        async with MastercardSimulator(credentials, journal=journal) as simulator:
            client = HttpClient()
            sender = Sender(simulator, client, credentials.merchant_id, credentials.password)
            seen.append(((await sender.upload("b", content))[0], await sender.rows("b"), await sender.finished("b")))
            if turn:
                assert len(simulator.journal()) == 2
            await client.close()

    assert (seen[0][0], seen[1][0]) == (201, 200)
    assert seen[0][1:] == seen[1][1:]
    kept = journal.read_text()
    assert NUMBER not in kept
    assert "securityCode" not in kept.replace("cardSecurityCode", "").replace("provided.card.securityCode", "")


async def test_a_reset_forgets_batches(sender: Sender) -> None:
    await sender.upload("b", GOOD)
    sender.simulator.reset()

    assert (await sender.ask("GET", "b/status")).status == 400
    assert (await sender.upload("b", file_of(pay("o7"))))[0] == 201
    assert [row["result"] for row in await sender.rows("b")] == ["SUCCESS"]


# A stop in the middle.


@dataclass
class Half:
    """Uploads over operations that wait to be let through, with what a journal would keep of them."""

    parts: dict[str, dict[str, Any]]
    done: list[str]
    stop_at: str = ""
    task: asyncio.Event | None = None

    def operate(self, merchant_id: str, version: str, order_id: str, transaction_id: str, body: Body) -> Body:
        self.done.append(order_id)
        if order_id == self.stop_at and self.task is not None:
            self.task.set()
        if order_id == "broken":
            raise RuntimeError(body["sourceOfFunds"])
        return {"result": "SUCCESS", "order": {"id": order_id}}

    def keep(self, name: str, state: dict[str, Any]) -> None:
        self.parts[name] = state

    def uploads(self) -> Uploads:
        return Uploads(self.operate, self.keep, lambda text: str(len(text)), lambda: 0.0)


def batch_of(body: bytes) -> dict[str, Any]:
    batch: dict[str, Any] = msgspec.json.decode(body)["batch"]
    return batch


async def test_a_file_that_was_cut_off_is_finished_when_it_comes_again() -> None:
    content = file_of(*(pay(f"o{n}") for n in range(5))).encode()
    half = Half({}, [], "o2", asyncio.Event())
    first = half.uploads()
    assert first.take("M", "100", "b", "", content).status == 201
    assert half.task is not None
    await half.task.wait()
    await first.stop()
    assert half.done == ["o0", "o1", "o2"]

    second = half.uploads()
    second.restore(half.parts.values())
    interrupted = batch_of(second.status("M", "100", "b").body)
    assert (interrupted["status"], interrupted["operationCount"]) == ("INTERRUPTED", 5)
    again = second.take("M", "100", "b", "", content)
    assert (again.status, batch_of(again.body)["status"]) == (200, "PROCESSING")
    assert second.take("M", "100", "b", "", content).status == 200
    while batch_of(second.status("M", "100", "b").body)["status"] == "PROCESSING":
        await asyncio.sleep(0)

    assert half.done == ["o0", "o1", "o2", *(f"o{n}" for n in range(5))]
    assert second.response("M", "b").body.count(b"SUCCESS") == 5
    third = half.uploads()
    third.restore(half.parts.values())
    assert third.response("M", "b") == second.response("M", "b")


async def test_a_stop_in_the_middle_loses_and_repeats_nothing(tmp_path: Path) -> None:
    credentials, client = MastercardCredentials.generate(), HttpClient()
    content = file_of(*(pay(f"o{n}") for n in range(400)))
    for turn in range(2):
        async with MastercardSimulator(credentials, journal=tmp_path / "journal") as simulator:
            sender = Sender(simulator, client, credentials.merchant_id, credentials.password)
            await sender.upload("b", content)
            if not turn:
                while not simulator.journal():
                    await asyncio.sleep(0)
                continue
            rows = await sender.rows("b")
            assert [row["result"] for row in rows] == ["SUCCESS"] * 400
            assert Counter(one["order_id"] for one in simulator.journal()) == {f"o{n}": 1 for n in range(400)}
    await client.close()
    assert NUMBER not in (tmp_path / "journal").read_text()


async def test_an_unforeseen_mistake_fails_its_line_only(capsys: pytest.CaptureFixture[str]) -> None:
    half = Half({}, [])
    uploads = half.uploads()
    uploads.take("M", "100", "b", "", file_of(pay("broken"), pay("good")).encode())
    while batch_of(uploads.status("M", "100", "b").body)["status"] == "PROCESSING":
        await asyncio.sleep(0)

    rows = list(csv.DictReader(io.StringIO(uploads.response("M", "b").body.decode(), newline="")))
    assert [(row["result"], row["error.cause"]) for row in rows] == [("ERROR", "SERVER_FAILED"), ("SUCCESS", "")]
    assert NUMBER not in capsys.readouterr().out


async def test_an_operation_after_a_batch_is_limited_by_it(sender: Sender) -> None:
    await sender.put("held", paying(), "a")
    await sender.upload("b", file_of(move("CAPTURE", "held", "80")))
    await sender.rows("b")

    status, refused = await sender.put("held", moving("CAPTURE", "21"))

    assert (status, refused["error"]["field"]) == (400, "transaction.amount")
