"""Settlement and disputes of the Mastercard simulator: every figure adds up with the journal, to the minor unit."""

from __future__ import annotations

import base64
import csv
import io
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shanraq.core.http import HttpClient, Request
from shanraq.simulators.mastercard import MastercardCredentials, MastercardSimulator
from shanraq.simulators.mastercard.fees import FeeRule, fees_of, share
from shanraq.simulators.mastercard.model import Entry
from shanraq.simulators.mastercard.store import Store
from tests.simulators.mastercard.test_http import CARD, Merchant, moving, paying

TOKEN = "control"
COLUMNS = (
    "settlement.id,transaction.type,settlement.grossAmount,settlement.interchangeAmount,settlement.schemeFeeAmount,"
    "settlement.serviceChargeAmount,settlement.feeAmount,settlement.netAmount"
)
FEES = [
    {"type": "REFUND", "interchange_basis_points": -165, "service_per_item": 5},
    {"type": "CHARGEBACK", "service_per_item": 1500},
    {"brand": "VISA", "service_basis_points": 10_000},
    {
        "brand": "MASTERCARD", "currency": "KZT", "interchange_basis_points": 165, "interchange_per_item": 7,
        "scheme_basis_points": 13, "service_basis_points": 25, "service_per_item": 10,
    },
]  # fmt: skip


@dataclass
class Desk(Merchant):
    """A merchant that reads reports and has the control token."""

    async def control(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        content = b"" if body is None else msgspec.json.encode(body)
        request = Request(
            method, f"{self.simulator.base_url}/__sim/{path}", (("Authorization", f"Bearer {TOKEN}"),), content
        )
        answer = await self.client.send(request, 10)
        return answer.status, msgspec.json.decode(answer.body)

    async def report(
        self, name: str, columns: str = COLUMNS, *, password: str | None = None, **more: str
    ) -> tuple[int, bytes]:
        basic = base64.b64encode(f"merchant.{self.merchant_id}:{password or self.password}".encode()).decode()
        query = {
            "columns": columns,
            "timeOfRecord.start": "2020-01-01T00:00:00Z",
            "timeOfRecord.end": "2099-01-01T00:00:00Z",
        } | more
        url = f"{self.simulator.base_url}/history/version/1/merchant/{self.merchant_id}/{name}?{urlencode(query)}"
        answer = await self.client.send(Request("GET", url, (("Authorization", f"Basic {basic}"),)), 10)
        return answer.status, answer.body

    async def rows(self, name: str, columns: str = COLUMNS, **more: str) -> list[list[str]]:
        status, content = await self.report(name, columns, **more)
        assert status == 200, content
        header, *rows = csv.reader(io.StringIO(content.decode(), newline=""), strict=True)
        assert header == columns.split(",")
        return rows

    async def close_batch(self) -> Any:
        return await self.send("PUT", "/batch", {"apiOperation": "CLOSE_BATCH"})

    async def dispute(self, **more: Any) -> tuple[int, Any]:
        return await self.control("POST", "chargeback", {"merchant_id": self.merchant_id, "order_id": "o", **more})


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    async with MastercardSimulator(MastercardCredentials.generate(), control_token=TOKEN) as simulator:
        client = HttpClient()
        yield Desk(simulator, client, simulator.credentials.merchant_id, simulator.credentials.password)
        await client.close()


async def traded(desk: Desk) -> None:
    """Capture 33.33, sell 50.01, refund 10.00 of it, void one, hold one, decline one; all in one batch."""
    assert (await desk.control("PUT", "fees", FEES))[0] == 200
    await desk.put("o", paying(amount="33.33", order={"amount": "33.33", "currency": "KZT", "reference": "r-1"}), "a")
    await desk.put("o", moving("CAPTURE", "33.33"), "c")
    await desk.put("p", paying("PAY", "50.01"), "p")
    await desk.put("p", moving("REFUND", "10"), "r")
    await desk.put("v", paying("PAY", "99.00"), "v")
    await desk.put("v", {"apiOperation": "VOID", "transaction": {"targetTransactionId": "v"}}, "w")
    await desk.put("h", paying(), "h")
    await desk.put(
        "d", paying("PAY") | {"sourceOfFunds": {"provided": {"card": CARD | {"expiry": {"month": "5", "year": "39"}}}}}
    )


# 33.33: 55 (54.99) + 7 interchange, 4 scheme, 8 + 10 service. 50.01: 83 (82.52) + 7, 7 (6.50), 13 (12.50) + 10.
# The refund gives 16.5 of the interchange back, rounded away from zero, and costs 5.
LINES = [
    ["o/c", "CAPTURE", "33.33", "0.62", "0.04", "0.18", "0.84", "32.49"],
    ["p/p", "PAYMENT", "50.01", "0.90", "0.07", "0.23", "1.20", "48.81"],
    ["p/r", "REFUND", "-10.00", "-0.17", "0.00", "0.05", "-0.12", "-9.88"],
]


async def test_a_closed_batch_is_settled_with_its_fees(desk: Desk) -> None:
    await traded(desk)
    assert await desk.rows("settlement") == []

    status, closed = await desk.close_batch()

    assert (status, closed["batch"]) == (200, {"number": 1, "transactionCount": 3})
    assert await desk.rows("settlement") == LINES
    columns = (
        "merchant,order.id,order.reference,transaction.id,transaction.operation,settlement.currency,settlement.batch"
    )
    assert (await desk.rows("settlement", columns))[0] == [desk.merchant_id, "o", "r-1", "c", "CAPTURE", "KZT", "1"]
    reference = dict(await desk.rows("settlement", "transaction.id,transaction.acquirer.transactionId"))
    history = dict(await desk.rows("transaction", "transaction.id,transaction.acquirer.transactionId"))
    assert reference == {name: history[name] for name in ("c", "p", "r")}
    (batch,) = (await desk.control("GET", "batches"))[1]["batches"]
    assert [line["net_minor"] for line in batch["lines"]] == [3249, 4881, -988]
    assert [line["fee_minor"] for line in batch["lines"]] == [84, 120, -12]


async def test_each_batch_keeps_its_table_and_holds_what_came_since(desk: Desk) -> None:
    await traded(desk)
    await desk.close_batch()
    assert (await desk.control("PUT", "fees", []))[0] == 200
    await desk.put("q", paying("PAY", "1.00"), "q")
    await desk.control("POST", "clock", {"advance_seconds": 86_400})

    assert (await desk.control("POST", "cutoff"))[1] == {"settled": 1}

    assert await desk.rows("settlement") == [*LINES, ["q/q", "PAYMENT", "1.00", "0.00", "0.00", "0.00", "0.00", "1.00"]]
    first, *_, last = await desk.rows("settlement", "timeOfRecord,settlement.date,transaction.acquirer.settlementDate")
    assert first[0] < last[0]
    assert first[1] == first[2] == first[0][:10]
    window = {"timeOfRecord.start": first[0], "timeOfRecord.end": last[0]}
    assert len(await desk.rows("settlement", **window)) == 3
    await desk.close_batch()
    assert len(await desk.rows("settlement")) == 4


async def test_a_payment_that_is_reviewed_after_it_was_settled_is_not_settled_again(desk: Desk) -> None:
    await desk.put("o", paying("PAY", order={"amount": "5", "currency": "KZT", "reference": "RISK-REVIEW"}))
    await desk.close_batch()
    decided = {"merchant_id": desk.merchant_id, "order_id": "o", "decision": "ACCEPTED"}
    assert (await desk.control("POST", "review", decided))[0] == 200

    await desk.close_batch()

    assert len(await desk.rows("settlement")) == 1


async def test_merchants_are_settled_apart(desk: Desk) -> None:
    made = desk.simulator.credentials
    other = replace(desk, merchant_id=made.other_merchant_id, password=made.other_password)
    await desk.put("o", paying("PAY"), "mine")
    await other.put("o", paying("PAY"), "theirs")

    await desk.close_batch()

    assert [row[0] for row in await desk.rows("settlement")] == ["o/mine"]
    assert await other.rows("settlement") == []
    await other.close_batch()
    assert [row[0] for row in await other.rows("settlement")] == ["o/theirs"]
    assert len(await desk.rows("settlement")) == 1


@pytest.mark.parametrize("name", ["settlement", "disputes"])
async def test_reports_have_the_password_of_reports_and_the_rules_of_the_history(desk: Desk, name: str) -> None:
    credentials = replace(desk.simulator.credentials, reporting_password="reports")
    async with MastercardSimulator(credentials) as simulator:
        strict = replace(desk, simulator=simulator)
        assert (await strict.report(name))[0] == 401
        assert (await strict.report(name, password="reports"))[0] == 200
    for more, field in (
        ({"columns": "a..b"}, "columns"),
        ({"timeOfRecord.end": "now"}, "timeOfRecord.end"),
        ({"columnHeaders": "a,b"}, "columnHeaders"),
        ({"merchant": "x"}, "merchant"),
    ):
        status, content = await desk.report(name, **{"columns": "order.id"} | more)
        assert (status, msgspec.json.decode(content)["error"]["field"]) == (400, field)


async def test_a_restart_brings_the_same_figures(tmp_path: Path) -> None:
    credentials = MastercardCredentials.generate()
    seen = []
    for turn in range(2):
        async with MastercardSimulator(credentials, journal=tmp_path / "journal", control_token=TOKEN) as simulator:
            client = HttpClient()
            desk = Desk(simulator, client, credentials.merchant_id, credentials.password)
            if not turn:
                await traded(desk)
                await desk.close_batch()
                dispute_id = (await desk.dispute(amount_minor=3000))[1]["dispute_id"]
                await desk.close_batch()
                await desk.control("POST", "dispute", {"dispute_id": dispute_id, "stage": "REPRESENTMENT"})
            else:
                await desk.close_batch()
                last = await desk.rows("settlement")
            seen.append(
                [
                    (await desk.rows("settlement"))[:4],
                    await desk.rows("disputes", "dispute.id,dispute.stage,dispute.sign,timeOfRecord,transaction.id"),
                    (await desk.control("GET", "fees"))[1],
                    (await desk.send("GET", "/order/o"))[1],
                    (await desk.control("GET", "orders"))[1],
                ]
            )
            await client.close()

    assert seen[0] == seen[1]
    assert len(seen[0][0]) == 4
    assert [row[1:3] for row in last[4:]] == [["CHARGEBACK_REVERSAL", "30.00"]], "what waited is in the next batch"


def test_a_journal_from_before_there_were_fees_is_read() -> None:
    store = Store()
    entry = b'{"entry":"cutoff","time":1.0}'

    store.apply(msgspec.json.decode(entry, type=Entry))

    assert store.batch == 2


async def test_a_reset_forgets_batches_and_disputes_but_not_the_table(desk: Desk) -> None:
    await traded(desk)
    await desk.close_batch()
    await desk.dispute()
    await desk.control("POST", "reset")

    assert await desk.rows("settlement") == await desk.rows("disputes") == []
    assert len((await desk.control("GET", "fees"))[1]["fees"]) == len(FEES)
    await desk.close_batch()
    assert await desk.rows("settlement") == []


# Disputes.


async def test_a_chargeback_is_in_the_order_the_reports_and_the_statement(desk: Desk) -> None:
    await traded(desk)
    await desk.close_batch()

    status, made = await desk.dispute(amount_minor=1234, reason_code="4837", reason="No cardholder authorization")

    assert (status, made["stage"], made["money_minor"], made["target_id"]) == (200, "CHARGEBACK", -1234, "c")
    order = (await desk.send("GET", "/order/o"))[1]
    assert (order["status"], order["chargeback"]) == ("CHARGEBACK_PROCESSED", {"amount": 12.34, "currency": "KZT"})
    charged = order["transaction"][-1]
    assert charged["transaction"]["type"] == "CHARGEBACK"
    assert (charged["transaction"]["amount"], charged["transaction"]["targetTransactionId"]) == (12.34, "c")
    assert charged["sourceOfFunds"]["provided"]["card"]["number"] == "512345xxxxxx0008"
    status, read = await desk.send("GET", f"/order/o/transaction/{made['transaction_id']}")
    assert (status, read["transaction"]) == (200, charged["transaction"])
    assert ["CHARGEBACK", "12.34"] in await desk.rows("transaction", "transaction.type,transaction.amount")
    columns = (
        "dispute.id,order.id,order.reference,transaction.id,transaction.targetTransactionId,dispute.stage,"
        "dispute.reasonCode,dispute.reason,dispute.amount,dispute.currency,dispute.sign"
    )
    assert await desk.rows("disputes", columns) == [
        [made["dispute_id"], "o", "r-1", made["transaction_id"], "c", "CHARGEBACK", "4837",
         "No cardholder authorization", "12.34", "KZT", "-"],
    ]  # fmt: skip
    assert await desk.rows("settlement") == LINES
    await desk.close_batch()
    assert (await desk.rows("settlement"))[3:] == [
        [f"{made['dispute_id']}/0", "CHARGEBACK", "-12.34", "0.00", "0.00", "15.00", "15.00", "-27.34"]
    ]


async def test_a_dispute_goes_from_stage_to_stage_and_its_money_with_it(desk: Desk) -> None:
    await traded(desk)
    await desk.close_batch()
    made = (await desk.dispute(stage="RETRIEVAL"))[1]
    assert (made["money_minor"], (await desk.send("GET", "/order/o"))[1]["status"]) == (0, "DISPUTED")
    seen = []
    for stage in ("CHARGEBACK", "REPRESENTMENT", "PRE_ARBITRATION", "ARBITRATION", "WON"):
        status, step = await desk.control("POST", "dispute", {"dispute_id": made["dispute_id"], "stage": stage})
        order = (await desk.send("GET", "/order/o"))[1]
        assert status == 200
        seen.append((stage, step["money_minor"], order["chargeback"]["amount"], order["status"]))

    assert seen == [
        ("CHARGEBACK", -3333, 33.33, "CHARGEBACK_PROCESSED"),
        ("REPRESENTMENT", 3333, 0, "DISPUTED"),
        ("PRE_ARBITRATION", -3333, 33.33, "CHARGEBACK_PROCESSED"),
        ("ARBITRATION", 0, 33.33, "CHARGEBACK_PROCESSED"),
        ("WON", 3333, 0, "CAPTURED"),
    ]
    types = [one["transaction"]["type"] for one in (await desk.send("GET", "/order/o"))[1]["transaction"]]
    assert types == ["AUTHORIZATION", "CAPTURE", "CHARGEBACK", "CHARGEBACK"]
    await desk.close_batch()
    assert [row[1:3] for row in (await desk.rows("settlement"))[3:]] == [
        ["CHARGEBACK", "-33.33"], ["CHARGEBACK_REVERSAL", "33.33"], ["CHARGEBACK", "-33.33"],
        ["CHARGEBACK_REVERSAL", "33.33"],
    ]  # fmt: skip
    ids = [row[0] for row in await desk.rows("settlement")]
    assert len(set(ids)) == len(ids)
    assert len((await desk.control("GET", "disputes"))[1]["disputes"]) == 6


@pytest.mark.parametrize("end", ["ACCEPTED", "LOST"])
async def test_what_is_accepted_or_lost_stays_charged_back(desk: Desk, end: str) -> None:
    await traded(desk)
    await desk.close_batch()
    made = (await desk.dispute())[1]
    stages = [end] if end == "ACCEPTED" else ["REPRESENTMENT", "PRE_ARBITRATION", "ARBITRATION", end]
    for stage in stages:
        step = (await desk.control("POST", "dispute", {"dispute_id": made["dispute_id"], "stage": stage}))[1]
        assert step["stage"] == stage

    order = (await desk.send("GET", "/order/o"))[1]
    assert (order["status"], order["chargeback"]["amount"]) == ("CHARGEBACK_PROCESSED", 33.33)
    status, refused = await desk.control("POST", "dispute", {"dispute_id": made["dispute_id"], "stage": "WON"})
    assert (status, refused["error"]) == (400, f"stage: WON does not follow {end}")


async def test_several_disputes_take_no_more_than_was_captured_and_is_left(desk: Desk) -> None:
    await traded(desk)
    await desk.close_batch()
    first = (await desk.dispute(amount_minor=2000))[1]
    status, refused = await desk.dispute(amount_minor=1334)
    assert (status, refused["error"]) == (400, "amount_minor: it exceeds what was captured and is left, 1333")
    second = (await desk.dispute())[1]
    assert second["amount_minor"] == 1333
    assert (await desk.dispute())[0] == 400
    await desk.control("POST", "dispute", {"dispute_id": first["dispute_id"], "stage": "REPRESENTMENT"})
    third = (await desk.dispute(amount_minor=2000))[1]
    status, refused = await desk.control(
        "POST", "dispute", {"dispute_id": first["dispute_id"], "stage": "PRE_ARBITRATION"}
    )
    assert (status, refused["error"]) == (400, "stage: PRE_ARBITRATION would take more than was captured and is left")
    assert third["dispute_id"] not in (first["dispute_id"], second["dispute_id"])
    # Of the other order 50.01 was captured and 10.00 refunded.
    body = {"merchant_id": desk.merchant_id, "order_id": "p"}
    assert (await desk.control("POST", "chargeback", body | {"amount_minor": 4002}))[0] == 400
    assert (await desk.control("POST", "chargeback", body | {"amount_minor": 4001}))[0] == 200


async def test_of_several_captures_one_must_be_named(desk: Desk) -> None:
    await desk.put("o", paying(), "a")
    await desk.put("o", moving("CAPTURE", 40), "c1")
    await desk.put("o", moving("CAPTURE", 60), "c2")
    await desk.close_batch()

    status, refused = await desk.dispute()
    assert (status, refused["error"]) == (400, "transaction_id: the order has several captures, one must be named")
    assert (await desk.dispute(transaction_id="c1", amount_minor=4001))[0] == 400
    status, made = await desk.dispute(transaction_id="c1")
    assert (status, made["amount_minor"]) == (200, 4000)
    assert (await desk.dispute(transaction_id="c1"))[0] == 400
    assert (await desk.dispute(transaction_id="c2"))[1]["amount_minor"] == 6000


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"order_id": "nobody's"}, "order_id"),
        ({"merchant_id": "nobody"}, "order_id"),
        ({"order_id": "h"}, "order_id"),
        ({"order_id": "v"}, "order_id"),
        ({"transaction_id": "a"}, "transaction_id"),
        ({"order_id": "p", "transaction_id": "r"}, "transaction_id"),
        ({"amount_minor": 0}, "amount_minor"),
        ({"amount_minor": -1}, "amount_minor"),
        ({"amount_minor": 3334}, "amount_minor"),
        ({"amount_minor": "10"}, "amount_minor"),
        ({"stage": "ARBITRATION"}, "stage"),
        ({"stage": "?"}, "stage"),
        ({"reason_code": "bad code"}, "reason_code"),
        ({"reason": CARD["number"]}, "reason"),
        ({"reason": "x" * 201}, "reason"),
        ({"colour": 1}, "colour"),
    ],
)
async def test_a_dispute_that_cannot_be_is_refused_by_name(desk: Desk, body: dict[str, Any], field: str) -> None:
    await traded(desk)
    await desk.close_batch()

    status, refused = await desk.dispute(**body)

    assert status == 400
    assert field in refused["error"]
    assert CARD["number"] not in refused["error"]
    assert (await desk.control("GET", "disputes"))[1] == {"disputes": []}
    assert all(one["charged_back_minor"] == 0 for one in desk.simulator.orders())


async def test_what_is_not_settled_yet_cannot_be_disputed(desk: Desk) -> None:
    await traded(desk)

    assert (await desk.dispute())[0] == 400
    await desk.close_batch()
    assert (await desk.dispute())[0] == 200


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({"dispute_id": "D1", "stage": "WON"}, "dispute_id: there is no such dispute"),
        ({"stage": "?"}, "stage must be one of"),
        ({"stage": "CHARGEBACK"}, "stage: CHARGEBACK does not follow CHARGEBACK"),
        ({"stage": "ARBITRATION"}, "stage: ARBITRATION does not follow CHARGEBACK"),
    ],
)
async def test_a_stage_that_cannot_follow_is_refused(desk: Desk, body: dict[str, Any], error: str) -> None:
    await traded(desk)
    await desk.close_batch()
    made = (await desk.dispute())[1]

    status, refused = await desk.control("POST", "dispute", {"dispute_id": made["dispute_id"]} | body)

    assert status == 400
    assert refused["error"].startswith(error)


# Fees.


@pytest.mark.parametrize(
    ("rules", "field"),
    [
        ([{"type": "VOID"}], "fees[0].type"),
        ([{}, {"currency": "XXX"}], "fees[1].currency"),
        ([{"interchange_basis_points": 10_001}], "interchange_basis_points"),
        ([{"service_per_item": 1.5}], "service_per_item"),
        ([{"rate": 1}], "rate"),
        ({"type": "PAYMENT"}, "array"),
        ([{}] * 501, "fees"),
    ],
)
async def test_a_table_that_cannot_be_meant_is_refused_by_name(desk: Desk, rules: Any, field: str) -> None:
    before = (await desk.control("GET", "fees"))[1]

    status, refused = await desk.control("PUT", "fees", rules)

    assert status == 400
    assert field in refused["error"]
    assert (await desk.control("GET", "fees"))[1] == before


@pytest.mark.parametrize(
    ("amount", "basis_points", "fee"),
    [(50, 100, 1), (49, 100, 0), (150, 100, 2), (0, 100, 0), (50, -100, -1), (49, -100, 0)],
)
def test_a_half_is_rounded_away_from_zero(amount: int, basis_points: int, fee: int) -> None:
    assert share(amount, basis_points) == fee


@given(st.integers(0, 10**12), st.tuples(*[st.integers(-10_000, 10_000)] * 3), st.tuples(*[st.integers(-500, 500)] * 3))
def test_every_part_is_rounded_for_itself_and_they_add_up(amount: int, rates: Any, items: Any) -> None:
    rule = FeeRule(
        interchange_basis_points=rates[0], scheme_basis_points=rates[1], service_basis_points=rates[2],
        interchange_per_item=items[0], scheme_per_item=items[1], service_per_item=items[2],
    )  # fmt: skip

    found = fees_of([rule], "PAYMENT", "VISA", "KZT", amount)

    parts = (found.interchange, found.scheme, found.service)
    assert found.total == sum(parts)
    for part, rate, item in zip(parts, rates, items, strict=True):
        assert abs(part - item - Decimal(amount) * rate / 10_000) <= Decimal("0.5")
