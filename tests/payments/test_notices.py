"""A gateway's notification is kept if it is authentic, and has the payments it names looked up; it is never believed."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from msgspec import json
from prometheus_client import CollectorRegistry

from shanraq import payments, webhooks
from shanraq.core.actor import SYSTEM
from shanraq.core.http import HttpClient
from shanraq.core.money import Money
from shanraq.core.settings import Settings
from shanraq.ops.worker import Worker
from shanraq.payments.adapter import Advice, Approved, DeclineClass, InReview, Reason
from tests.payments.conftest import AbleShop, Shop
from tests.payments.gateway import LOST_AFTER, NOTICE_SECRET

REVIEW = Reason("review_required", DeclineClass.FRAUD, Advice.WAIT_FOR_REVIEW)


async def notify(
    shop: Shop, *references: str, gateway_ids: tuple[str, ...] = (), notice_id: str = "n-1", secret: str = NOTICE_SECRET
) -> bool:
    body = json.encode({"kind": "payment.updated", "references": references, "gateway_ids": gateway_ids})
    headers = {"x-secret": secret, "x-notice-id": notice_id}
    return await payments.take_notice(shop.acquiring, "fake", "sandbox", headers, body)


async def kept(shop: Shop) -> list[dict[str, Any]]:
    async with shop.bank.db.begin(SYSTEM) as tx:
        return [dict(row) for row in await tx.rows("SELECT * FROM gateway_notice ORDER BY notice_id")]


async def test_an_operation_without_an_outcome_is_looked_up_now(able: AbleShop) -> None:
    able.gateway.script.append(LOST_AFTER)
    payment = await able.pay()
    before = await payments.recover(able.acquiring)
    new = await notify(able, payment.id)
    looked = await payments.recover(able.acquiring)

    (row,) = await kept(able)
    assert (before, new, looked) == (0, True, 1)
    assert (await able.find(payment.id)).status == "authorized"
    assert (row["woken"], row["kind"], row["payment_ids"]) == (1, "payment.updated", [payment.id])


async def test_a_payment_under_review_is_looked_up_by_the_gateways_id(able: AbleShop) -> None:
    able.gateway.script.append(InReview("gw-r", Money.of(1000, "KZT"), REVIEW))
    payment = await able.pay()
    await notify(able, gateway_ids=("gw-r",))
    able.gateway.decisions.append(Approved("gw-r", Money.of(1000, "KZT")))
    looked = await payments.look_at_reviews(able.acquiring)

    assert (looked, (await able.find(payment.id)).status) == (1, "authorized")


async def test_a_duplicate_is_taken_and_does_nothing(able: AbleShop) -> None:
    able.gateway.script.append(LOST_AFTER)
    payment = await able.pay()
    assert await notify(able, payment.id)
    await payments.recover(able.acquiring)

    assert not await notify(able, payment.id)
    assert len(await kept(able)) == 1


async def test_what_names_nothing_we_know_is_kept(able: AbleShop) -> None:
    assert await notify(able, "order-of-somebody-else", gateway_ids=("9" * 500,))

    (row,) = await kept(able)
    assert (row["woken"], len(row["gateway_ids"][0])) == (0, 100)


async def test_a_notification_moves_no_settled_payment(able: AbleShop) -> None:
    payment = await able.pay()
    await notify(able, payment.id)

    assert await able.find(payment.id) == payment
    assert await payments.recover(able.acquiring) == 0


@pytest.mark.parametrize("notice_id", ["", "n" * 201])
async def test_one_without_a_usable_id_is_refused(able: AbleShop, notice_id: str) -> None:
    with pytest.raises(payments.NoticeNotAuthenticError):
        await notify(able, "x", notice_id=notice_id)


async def test_one_that_is_not_authentic_is_refused_and_not_kept(able: AbleShop) -> None:
    with pytest.raises(payments.NoticeNotAuthenticError) as refused:
        await notify(able, "x", secret="wrong")

    assert refused.value.status == 401
    assert await kept(able) == []


@pytest.mark.parametrize(("adapter", "environment"), [("other", "sandbox"), ("fake", "live"), ("fake", "moon")])
async def test_nobody_else_is_known(able: AbleShop, adapter: str, environment: str) -> None:
    with pytest.raises(payments.UnknownNotifierError) as refused:
        await payments.take_notice(able.acquiring, adapter, environment, {}, b"{}")

    assert refused.value.status == 404


async def test_a_gateway_that_sends_none_is_not_known_either(shop: Shop) -> None:
    with pytest.raises(payments.UnknownNotifierError):
        await notify(shop, "x")


async def test_notices_are_deleted_when_their_time_is_over_and_the_audit_log_tells(able: AbleShop) -> None:
    db = able.bank.db
    for number in range(3):
        await notify(able, notice_id=f"old-{number}")
    able.later(400 * 86400)
    await notify(able, notice_id="young")
    able.later(141 * 86400)

    assert await payments.purge_notices(db, None) == 0
    assert await payments.purge_notices(db, timedelta(days=541, minutes=1)) == 0
    assert await payments.purge_notices(db, payments.NOTICES_KEPT) == 3
    assert await payments.purge_notices(db, payments.NOTICES_KEPT) == 0
    assert [row["notice_id"] for row in await kept(able)] == ["young"]
    async with db.begin(SYSTEM) as tx:
        rows = await tx.rows("SELECT subject, details FROM audit_entry WHERE action = 'gateway_notice.purged'")
    (told,) = [(row["subject"], json.decode(row["details"])) for row in rows]
    assert told[0] == "fake"
    assert (told[1]["environment"], told[1]["count"]) == ("sandbox", 3)


async def test_more_notices_than_one_batch_go_too(able: AbleShop) -> None:
    async with able.bank.db.begin(SYSTEM) as tx:
        await tx.execute(
            """INSERT INTO gateway_notice SELECT 'fake', 'live', 'n-' || n, 'k', '{}', '{}', 0, $1::timestamptz
                 FROM generate_series(1, 5001) AS n""",
            tx.now,
        )
    able.later(86400)

    assert await payments.purge_notices(able.bank.db, timedelta(hours=1)) == 5001


async def test_the_worker_deletes_them(able: AbleShop) -> None:
    await notify(able, notice_id="old")
    able.later(2 * 86400)
    await notify(able, notice_id="young")
    client = HttpClient()
    courier = webhooks.Courier(able.bank.db, client, able.acquiring.keyring)
    worker = Worker(able.bank.db, able.acquiring, courier, CollectorRegistry(), notices_kept=timedelta(days=1))
    working = asyncio.create_task(worker.run())
    try:
        async with asyncio.timeout(30):
            while [row["notice_id"] for row in await kept(able)] != ["young"]:
                await asyncio.sleep(0.02)
    finally:
        working.cancel()
        await asyncio.wait([working])
        await client.close()


def test_the_time_set_is_the_time_of_disputes() -> None:
    assert timedelta(days=Settings().gateway_notices_kept_days) == payments.NOTICES_KEPT == timedelta(days=540)
