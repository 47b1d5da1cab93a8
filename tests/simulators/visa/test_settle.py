"""Settlement: every figure a merchant is shown adds up with the journal, to the minor unit."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from shanraq.simulators.visa import VisaSimulator
from shanraq.simulators.visa.model import Batch, Kind, Operation, Record
from shanraq.simulators.visa.resources import FeeSchedule
from shanraq.simulators.visa.settle import settlement_of, share
from tests.simulators.visa.client import Merchant, payment
from tests.simulators.visa.control import Control

PERIOD = "startTime=2020-01-01T00%3A00%3A00Z&endTime=2099-01-01T00%3A00%3A00Z"
FEES = {
    "interchange_basis_points": 165,
    "interchange_per_item": 7,
    "assessment_basis_points": 13,
    "discount_basis_points": 25,
    "discount_per_item": 10,
    "refund_per_item": 5,
    "chargeback_per_item": 1500,
}


async def get(merchant: Merchant, path: str) -> Any:
    reply = await merchant.get(path)
    assert reply.status_code == 200, reply.text
    return reply.json()


async def traded(merchant: Merchant, control: Control) -> str:
    """Capture 33.33, sell 50.01, refund 10.00, void one and keep one; return the id of the capture."""
    await control.put("fees", FEES)
    capture_id = await merchant.captured("33.33")
    assert (await merchant.authorize("50.01", sale=True)).status_code == 201
    assert (await merchant.refund(capture_id, "10.00")).status_code == 201
    await merchant.void("captures", await merchant.captured("99.00"))
    await merchant.authorized("77.00")
    assert await control.post("cutoff") == {"transmitted": 3}
    return capture_id


@given(
    amount=st.integers(0, 10**12),
    rates=st.tuples(*[st.integers(0, 10_000)] * 3),
    items=st.tuples(*[st.integers(0, 10_000)] * 3),
    kind=st.sampled_from([Kind.CAPTURE, Kind.REFUND, Kind.CREDIT]),
)
def test_gross_fee_and_net_always_add_up(amount: int, rates: Any, items: Any, kind: Kind) -> None:
    fees = FeeSchedule(
        interchange_basis_points=rates[0],
        assessment_basis_points=rates[1],
        discount_basis_points=rates[2],
        interchange_per_item=items[0],
        discount_per_item=items[1],
        refund_per_item=items[2],
    )
    now = datetime.now(UTC)
    operation = Operation(
        sequence=1, id="1", kind=kind, merchant_id="m", time=now, status="PENDING", requested=amount, amount=amount,
        currency="KZT", code="c", root_id="1", reconciliation_id="r",
    )  # fmt: skip

    line = settlement_of(Record(operation), Batch("1", "m", now, fees, ()))

    assert line.net == (amount if kind is Kind.CAPTURE else -amount) - line.fee
    assert line.fee >= 0
    for rate in rates:
        exact = Decimal(amount) * rate / 10_000
        assert abs(share(amount, rate) - exact) <= Decimal("0.5")


@pytest.mark.parametrize(("amount", "basis_points", "fee"), [(50, 100, 1), (49, 100, 0), (150, 100, 2), (0, 100, 0)])
def test_a_half_is_rounded_up(amount: int, basis_points: int, fee: int) -> None:
    assert share(amount, basis_points) == fee


async def test_a_batch_has_what_was_captured_sold_and_refunded(merchant: Merchant, control: Control) -> None:
    await traded(merchant, control)

    (batch,) = (await control.get("batches"))["batches"]

    lines = {line["kind"]: line for line in batch["transactions"]}
    # 3333: 55 + 7 interchange (54.99 is 55), 4 assessment, 8 + 10 discount. 5001: 83 + 7, 7 (6.5 is 7), 13 (12.5) + 10.
    assert (lines["capture"]["gross_minor"], lines["capture"]["fee_minor"]) == (3333, 55 + 7 + 4 + 8 + 10)
    assert (lines["sale"]["gross_minor"], lines["sale"]["fee_minor"]) == (5001, 83 + 7 + 7 + 13 + 10)
    assert (lines["refund"]["gross_minor"], lines["refund"]["net_minor"]) == (-1000, -1005)


async def test_all_views_agree(merchant: Merchant, control: Control) -> None:
    capture_id = await traded(merchant, control)
    await control.post("chargebacks", {"id": capture_id, "reason_code": "10.4", "amount_minor": 2000})
    (batch,) = (await control.get("batches"))["batches"]
    net = sum(line["net_minor"] for line in batch["transactions"]) - 2000 - 1500

    funding = await get(merchant, f"/reporting/v3/net-fundings?{PERIOD}")
    details = await get(merchant, f"/reporting/v3/purchase-refund-details?{PERIOD}")
    interchange = await get(merchant, f"/reporting/v3/interchange-clearing-level-details?{PERIOD}")
    (summary,) = (await get(merchant, f"/reporting/v3/payment-batch-summaries?{PERIOD}"))["paymentBatchSummaries"]

    assert minor(funding["netTotal"][0]["value"]) == net
    assert minor(funding["totalPurchases"][0]["value"]) == 8334
    assert minor(funding["totalRefunds"][0]["value"]) == -1000
    assert minor(funding["totalChargebacks"][0]["value"]) == -2000
    assert sum(minor(one["fundingAmount"]) for one in details["feeAndFundingDetails"]) == net + 3500
    assert sum(minor(one["settlementAmount"]) for one in interchange["interchangeClearingLevelDetails"]) == net + 3500
    assert (summary["salesCount"], summary["salesAmount"], summary["creditAmount"]) == (2, "83.34", "10.00")
    for row in details["feeAndFundingDetails"]:
        parts = (
            "interchangePerItemFee",
            "interchangePercentageAmount",
            "discountAmount",
            "discountPerItemFee",
            "duesAssessments",
        )
        assert sum(minor(row[part]) for part in parts) == minor(row["totalFee"])


def minor(text: str) -> int:
    return int(Decimal(text) * 100)


async def test_the_daily_report_is_there_after_the_cut_off(
    merchant: Merchant, control: Control, simulator: VisaSimulator
) -> None:
    await traded(merchant, control)
    today = datetime.now(UTC).date().isoformat()

    reply = await merchant.get(
        f"/reporting/v3/report-downloads?reportDate={today}&reportName=PaymentBatchDetailReport_Daily_Classic"
    )

    rows = list(csv.DictReader(io.StringIO(reply.text)))
    settled = [line for line in simulator.journal() if line["state"] == "TRANSMITTED"]
    assert {row["RequestID"]: row["Amount"] for row in rows} == {line["id"]: line["amount"] for line in settled}
    assert reply.headers["content-type"].startswith("text/csv")
    batch_id = rows[0]["BatchID"]
    details = await merchant.get(f"/pts/v1/transaction-batch-details/{batch_id}")
    assert list(csv.DictReader(io.StringIO(details.text))) == rows


async def test_a_batch_has_the_fees_of_its_day(merchant: Merchant, control: Control) -> None:
    for basis_points in (100, 200):
        await control.put("fees", {"discount_basis_points": basis_points})
        await merchant.captured("100.00")
        await control.post("cutoff")

    batches = (await control.get("batches"))["batches"]

    assert [batch["transactions"][0]["fee_minor"] for batch in batches] == [100, 200]


async def test_batches_are_listed_by_time_and_strictly_apart(
    merchant: Merchant, stranger: Merchant, control: Control
) -> None:
    await merchant.captured()
    await control.post("cutoff")
    await control.post("clock", {"advance_seconds": 86_400})
    await merchant.captured()
    await control.post("cutoff")
    soon = (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H%%3A%M%%3A%SZ")

    everything = await get(merchant, f"/pts/v1/transaction-batches?{PERIOD}")
    first = await get(merchant, f"/pts/v1/transaction-batches?startTime=2020-01-01T00%3A00%3A00Z&endTime={soon}")

    assert [len(found["transactionBatches"]) for found in (everything, first)] == [2, 1]
    assert (await get(stranger, f"/pts/v1/transaction-batches?{PERIOD}"))["transactionBatches"] == []
    own = everything["transactionBatches"][0]["id"]
    for path in ("transaction-batches", "transaction-batch-details"):
        assert (await stranger.get(f"/pts/v1/{path}/{own}")).status_code == 404


@pytest.mark.parametrize("path", ["net-fundings", "chargeback-details", "purchase-refund-details", "reports"])
async def test_another_merchants_organization_is_refused(merchant: Merchant, stranger: Merchant, path: str) -> None:
    reply = await stranger.get(
        f"/reporting/v3/{path}?{PERIOD}&timeQueryType=executedTime&organizationId={merchant.merchant_id}"
    )

    assert reply.status_code == 403


async def test_a_dispute_goes_its_way_and_moves_money_once(merchant: Merchant, control: Control) -> None:
    capture_id = await traded(merchant, control)
    opened = await control.post("chargebacks", {"id": capture_id, "reason_code": "13.1", "stage": "pre_dispute"})
    path = f"chargebacks/{opened['dispute']}"
    moved = [
        (await control.post(path, {"stage": stage}))["moved_minor"]
        for stage in ("chargeback", "representment", "pre_arbitration", "arbitration", "won")
    ]

    assert moved == [-3333, 3333, -3333, 0, 3333]
    assert "would put it" in (await control.post(path, {"stage": "won"}, status=400))["error"]
    rows = (await get(merchant, f"/reporting/v3/chargeback-details?{PERIOD}"))["chargebackDetails"]
    assert [row["action"] for row in rows] == [
        "PRE_DISPUTE",
        "CHARGEBACK",
        "REPRESENTMENT",
        "PRE_ARBITRATION",
        "ARBITRATION",
        "WON",
    ]
    assert {(row["requestId"], row["reasonCode"], row["amount"]) for row in rows} == {(capture_id, "13.1", "33.33")}
    funding = await get(merchant, f"/reporting/v3/net-fundings?{PERIOD}")
    assert funding["totalChargebacks"][0]["value"] == "0.00"


@pytest.mark.parametrize("amount", [0, 3334])
async def test_a_dispute_is_about_a_transmitted_capture_and_not_above_it(
    merchant: Merchant, control: Control, amount: int
) -> None:
    capture_id = await traded(merchant, control)
    later = await merchant.captured()

    await control.post("chargebacks", {"id": capture_id, "amount_minor": amount}, status=400)
    await control.post("chargebacks", {"id": later}, status=400)
    await control.post("chargebacks", {"id": capture_id, "amount_minor": 3000})
    await control.post("chargebacks", {"id": capture_id, "amount_minor": 334}, status=400)


def report(**parts: Any) -> dict[str, Any]:
    return {
        "reportDefinitionName": "TransactionRequestClass",
        "reportMimeType": "text/csv",
        "reportName": "all of it",
        "reportStartTime": "2020-01-01T00:00:00Z",
        "reportEndTime": "2099-01-01T00:00:00Z",
    } | parts


async def test_a_report_shows_what_had_happened_when_it_was_made(merchant: Merchant, stranger: Merchant) -> None:
    payment_id = await merchant.authorized("5.00")
    await stranger.authorized("6.00")
    assert (await merchant.post("/reporting/v3/reports", report())).status_code == 201
    await merchant.authorized("7.00")

    reply = await merchant.get("/reporting/v3/report-downloads?reportDate=2099-01-01&reportName=all%20of%20it")

    (row,) = csv.DictReader(io.StringIO(reply.text))
    assert (row["Request.RequestID"], row["PaymentData.Amount"], row["PaymentMethod.AccountSuffix"]) == (
        payment_id,
        "5.00",
        "1111",
    )


async def test_a_report_as_xml_has_the_asked_fields(merchant: Merchant) -> None:
    await merchant.authorized("5.00", code="<&>")
    asked = report(
        reportMimeType="application/xml", reportFields=["Request.MerchantReferenceNumber", "No such field", "Unknown"]
    )
    await merchant.post("/reporting/v3/reports", asked)

    reply = await merchant.get("/reporting/v3/report-downloads?reportDate=2099-01-01&reportName=all%20of%20it")

    (record,) = ElementTree.fromstring(reply.content)
    assert [(value.tag, value.text) for value in record] == [
        ("Request.MerchantReferenceNumber", "<&>"),
        ("Unknown", None),
    ]


async def test_a_report_is_valid_by_its_document_type_and_its_schema(merchant: Merchant) -> None:
    await merchant.authorized("5.00")
    await merchant.post("/reporting/v3/reports", report(reportMimeType="application/xml"))
    download = await merchant.get("/reporting/v3/report-downloads?reportDate=2099-01-01&reportName=all%20of%20it")
    document = etree.fromstring(download.content)

    document_type = (await merchant.get("/reporting/v3/dtds/TransactionRequestClass-1.0")).text
    schema = (await merchant.get("/reporting/v3/xsds/TransactionRequestClass-1.0")).content

    assert etree.DTD(io.StringIO(document_type)).validate(document)
    assert etree.XMLSchema(etree.fromstring(schema)).validate(document)
    assert (await merchant.get("/reporting/v3/xsds/Nothing-1.0")).status_code == 404


async def test_a_report_is_queued_runs_and_is_done(merchant: Merchant, control: Control) -> None:
    await merchant.authorized()
    await control.put("report-delay", {"seconds": 100})
    await merchant.post("/reporting/v3/reports", report())
    statuses = []
    for seconds in (0, 60, 60):
        await control.post("clock", {"advance_seconds": seconds})
        found = await get(merchant, f"/reporting/v3/reports?{PERIOD}&timeQueryType=executedTime")
        statuses.append(found["reportSearchResults"][0]["status"])

    assert statuses == ["QUEUED", "RUNNING", "COMPLETED"]


async def test_an_empty_report_has_no_data(merchant: Merchant) -> None:
    await merchant.post("/reporting/v3/reports", report())
    found = await get(merchant, f"/reporting/v3/reports?{PERIOD}&timeQueryType=reportTimeFrame")

    assert found["reportSearchResults"][0]["status"] == "NO_DATA"
    reply = await merchant.get("/reporting/v3/report-downloads?reportDate=2099-01-01&reportName=all%20of%20it")
    assert reply.status_code == 404


async def test_a_subscription_makes_a_report_at_every_cut_off(merchant: Merchant, control: Control) -> None:
    await merchant.send("PUT", "/reporting/v3/report-subscriptions", report(reportFrequency="DAILY"))
    await merchant.captured()
    await control.post("cutoff")

    found = await get(merchant, f"/reporting/v3/reports?{PERIOD}&timeQueryType=executedTime&reportName=all%20of%20it")

    assert [one["status"] for one in found["reportSearchResults"]] == ["COMPLETED"]


@pytest.mark.parametrize(
    ("part", "field"),
    [
        ({"reportDefinitionName": "Nothing"}, "reportDefinitionName"),
        ({"reportName": "a/b"}, "reportName"),
        ({"reportMimeType": "text/html"}, "reportMimeType"),
        ({"reportStartTime": "yesterday"}, "reportStartTime"),
        ({"reportEndTime": "2019-01-01T00:00:00Z"}, "reportEndTime"),
        ({"reportFields": "x"}, "reportFields"),
        ({"reportFields": [1]}, "reportFields"),
        ({"reportPreferences": {"fieldNameConvention": "X"}}, "reportPreferences.fieldNameConvention"),
    ],
)
async def test_a_report_that_cannot_be_made_is_refused_by_its_field(
    merchant: Merchant, part: dict[str, Any], field: str
) -> None:
    reply = await merchant.post("/reporting/v3/reports", report(**part))

    assert (reply.status_code, reply.json()["details"][0]["field"]) == (400, field)


@pytest.mark.parametrize(
    "query",
    [
        "",
        "startTime=x&endTime=y",
        "startTime=2020-01-01&endTime=2019-01-01",
        "startTime=%FF",
        "a=1&a=2",
        f"{PERIOD}&offset=-1",
        f"{PERIOD}&limit=99999",
    ],
)
async def test_a_query_that_says_nothing_is_refused(merchant: Merchant, query: str) -> None:
    reply = await merchant.get(f"/reporting/v3/purchase-refund-details?{query}")

    assert reply.status_code == 400
    assert "status" not in reply.json()


async def test_views_come_as_xml_or_csv_too(merchant: Merchant, control: Control) -> None:
    await traded(merchant, control)
    path = f"/reporting/v3/payment-batch-summaries?{PERIOD}"

    as_xml = await merchant.send("GET", path, headers={"Accept": "application/xml"})
    as_csv = await merchant.send("GET", path, headers={"Accept": "text/csv"})

    root = ElementTree.fromstring(as_xml.content)
    assert root.findtext("paymentBatchSummaries/salesAmount") == "83.34"
    assert [row["salesAmount"] for row in csv.DictReader(io.StringIO(as_csv.text))] == ["83.34"]


async def test_no_settlement_without_a_transaction(merchant: Merchant, control: Control) -> None:
    await merchant.post("/pts/v2/payments", payment(number="4000000204000006"))

    assert await control.post("cutoff") == {"transmitted": 0}
    assert (await get(merchant, f"/reporting/v3/net-fundings?{PERIOD}"))["netTotal"] == []
