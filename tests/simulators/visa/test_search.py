from __future__ import annotations

import pytest

from shanraq.simulators.visa import VisaSimulator
from tests.simulators.visa.client import Merchant

CODE = "clientReferenceInformation.code"
TRANSACTION_ID = "clientReferenceInformation.transactionId"


async def test_a_summary_tells_the_operation_but_no_status(merchant: Merchant) -> None:
    payment_id = await merchant.authorized("12.50", code="order-9", transaction_id="t-1")

    (summary,) = await merchant.search(f"{TRANSACTION_ID}:t-1")

    information = summary["applicationInformation"]
    assert "status" not in summary
    assert (summary["id"], summary["merchantId"]) == (payment_id, merchant.merchant_id)
    assert (information["reasonCode"], information["rFlag"]) == ("100", "SOK")
    assert [application["name"] for application in information["applications"]] == ["ics_auth"]
    assert summary["clientReferenceInformation"] == {"code": "order-9", "transactionId": "t-1"}
    assert summary["orderInformation"]["amountDetails"] == {"totalAmount": "12.50", "currency": "KZT"}


async def test_a_decline_shows_its_old_reason_code_and_flag(merchant: Merchant) -> None:
    await merchant.authorize(number="42423482938483873", code="order-d")

    (summary,) = await merchant.search(f"{CODE}:order-d")

    information = summary["applicationInformation"]
    assert (information["reasonCode"], information["rFlag"], information["rCode"]) == ("231", "DINVALIDCARD", "0")


async def test_every_kind_of_operation_has_its_name(merchant: Merchant) -> None:
    await merchant.authorize(sale=True, code="sale")
    payment_id = await merchant.authorized(code="kinds")
    capture_id = (await merchant.capture(payment_id, "60.00", code="kinds")).json()["id"]
    refund_id = (await merchant.refund(capture_id, "5.00", code="kinds")).json()["id"]
    await merchant.void("refunds", refund_id)
    await merchant.reverse(payment_id, "40.00")

    async def names(code: str) -> list[list[str]]:
        found = await merchant.search(f"{CODE}:{code}", sort="id:asc")
        return [[one["name"] for one in summary["applicationInformation"]["applications"]] for summary in found]

    assert await names("kinds") == [["ics_auth"], ["ics_bill"], ["ics_credit"]]
    assert await names("sale") == [["ics_auth", "ics_bill"]]
    assert await names("v") == [["ics_void"]]
    assert await names("r") == [["ics_auth_reversal"]]


async def test_the_index_lags_behind_the_payments(simulator: VisaSimulator, merchant: Merchant) -> None:
    simulator.index_lag_seconds = 600
    await merchant.authorize(code="late")

    assert await merchant.search(f"{CODE}:late") == []
    simulator.advance_clock(601)
    assert len(await merchant.search(f"{CODE}:late")) == 1


@pytest.mark.parametrize(
    ("times", "count"),
    [
        ("[NOW/DAY-7DAYS TO NOW/DAY+1DAY}", 1),
        ("[NOW-1HOUR TO NOW]", 1),
        ("[* TO *]", 1),
        ("[2020-01-01T00:00:00Z TO *}", 1),
        ("[* TO 2020-01-01T00:00:00Z}", 0),
        ("[NOW+1MINUTE TO NOW+2MINUTES]", 0),
        ("[* TO NOW-1DAY/DAY]", 0),
    ],
)
async def test_terms_are_joined_and_times_are_ranges(merchant: Merchant, times: str, count: int) -> None:
    await merchant.authorize(code="o 1", transaction_id="t-1")

    found = await merchant.search(f'{CODE}:"o 1" AND {TRANSACTION_ID}:t-1 AND submitTimeUtc:{times}')

    assert len(found) == count


async def test_pages_have_an_order_and_a_total(merchant: Merchant) -> None:
    ids = [await merchant.authorized(code="page") for _ in range(5)]

    reply = await merchant.post(
        "/tss/v2/searches", {"query": f"{CODE}:page", "offset": 1, "limit": 2, "sort": "id:asc,submitTimeUtc:asc"}
    )

    body = reply.json()
    assert reply.headers["content-type"].startswith("application/json")
    assert [summary["id"] for summary in body["_embedded"]["transactionSummaries"]] == ids[1:3]
    assert (body["count"], body["totalCount"]) == (2, 5)


async def test_a_search_can_be_read_again_by_its_merchant_alone(merchant: Merchant, stranger: Merchant) -> None:
    await merchant.authorize(code="again")
    search = (await merchant.post("/tss/v2/searches", {"query": f"{CODE}:again"})).json()

    assert (await merchant.get(f"/tss/v2/searches/{search['searchId']}")).json()["totalCount"] == 1
    assert (await stranger.get(f"/tss/v2/searches/{search['searchId']}")).status_code == 404


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"query": "nothing"},
        {"query": "status:AUTHORIZED"},
        {"query": "code:"},
        {"query": f"{CODE}:a OR {CODE}:b"},
        {"query": f"{CODE}:a AND {CODE}:b"},
        {"query": "submitTimeUtc:yesterday"},
        {"query": "submitTimeUtc:[a TO b]"},
        {"query": "submitTimeUtc:[NOW/WEEK TO NOW]"},
        {"query": "submitTimeUtc:[NOW-999999DAYS TO NOW-999999DAYS-999999DAYS-999999DAYS]"},
        {"query": f"{CODE}:{'a' * 1000}"},
        {"query": 17},
        {"query": f"{CODE}:a", "limit": 0},
        {"query": f"{CODE}:a", "limit": "1"},
        {"query": f"{CODE}:a", "offset": -1},
        {"query": f"{CODE}:a", "sort": "status:asc"},
    ],
)
async def test_what_is_no_query_is_refused(merchant: Merchant, body: dict[str, object]) -> None:
    reply = await merchant.post("/tss/v2/searches", body)

    assert (reply.status_code, reply.json()["status"]) == (400, "INVALID_REQUEST")


async def test_details_tell_the_state_and_the_related_transactions(
    simulator: VisaSimulator, merchant: Merchant
) -> None:
    payment_id = await merchant.authorized()
    capture_id = (await merchant.capture(payment_id, "30.00")).json()["id"]
    simulator.cut_off()

    details = (await merchant.get(f"/tss/v2/transactions/{capture_id}")).json()

    assert (details["id"], details["rootId"]) == (capture_id, payment_id)
    assert details["applicationInformation"]["status"] == "TRANSMITTED"
    assert details["_links"]["relatedTransactions"] == [{"href": f"/tss/v2/transactions/{payment_id}", "method": "GET"}]
