from __future__ import annotations

import asyncio
import time

import httpx
import pytest

from shanraq.simulators.visa import VisaCredentials, VisaSimulator
from tests.simulators.visa.client import Merchant, payment, reversal
from tests.simulators.visa.conftest import CONTROL_TOKEN


async def test_a_dropped_request_may_have_been_processed_or_not(simulator: VisaSimulator, merchant: Merchant) -> None:
    simulator.fail_next("drop_before", "authorize")
    simulator.fail_next("drop_after", "authorize")

    with pytest.raises(httpx.RemoteProtocolError):
        await merchant.authorize(code="before")
    with pytest.raises(httpx.RemoteProtocolError):
        await merchant.authorize(code="after")

    assert [line["code"] for line in simulator.journal()] == ["after"]


async def test_a_slow_answer_belongs_to_work_already_done(simulator: VisaSimulator, merchant: Merchant) -> None:
    simulator.fail_next("slow", "authorize", seconds=60)

    with pytest.raises(httpx.ReadTimeout):
        await merchant.http.post(
            "/pts/v2/payments",
            json=payment(),
            headers=merchant.http_signature("POST", "/pts/v2/payments", _sent(payment())),
            timeout=0.2,
        )

    assert len(simulator.journal()) == 1


async def test_a_slow_answer_arrives(simulator: VisaSimulator, merchant: Merchant) -> None:
    simulator.fail_next("slow", seconds=0.05)
    started = time.monotonic()

    reply = await merchant.authorize()

    assert reply.status_code == 201
    assert time.monotonic() - started >= 0.05


async def test_a_502_on_demand_processes_only_when_told(simulator: VisaSimulator, merchant: Merchant) -> None:
    simulator.fail_next("http_502")
    simulator.fail_next("http_502", processed=True)

    replies = [await merchant.authorize(code=code) for code in ("not processed", "processed")]

    assert [reply.status_code for reply in replies] == [502, 502]
    assert replies[0].json()["reason"] == "SYSTEM_ERROR"
    assert [line["code"] for line in simulator.journal()] == ["processed"]


async def test_a_duplicate_processes_twice_and_answers_once(simulator: VisaSimulator, merchant: Merchant) -> None:
    simulator.fail_next("duplicate", "capture")
    payment_id = await merchant.authorized()

    assert (await merchant.capture(payment_id, "30.00")).status_code == 201
    assert [line["kind"] for line in simulator.journal()] == ["authorization", "capture", "capture"]


async def test_garbage_cannot_be_read(simulator: VisaSimulator, merchant: Merchant) -> None:
    simulator.fail_next("garbage")

    reply = await merchant.authorize()

    assert reply.status_code == 201
    with pytest.raises(ValueError, match="Unterminated"):
        reply.json()
    assert len(simulator.journal()) == 1


async def test_a_fault_waits_for_its_operation_and_counts_down(simulator: VisaSimulator, merchant: Merchant) -> None:
    simulator.fail_next("http_502", "capture", count=2)
    payment_id = await merchant.authorized()

    statuses = [(await merchant.capture(payment_id, "10.00")).status_code for _ in range(3)]

    assert statuses == [502, 502, 201]


@pytest.mark.parametrize(
    ("amount", "reason", "taken"),
    [("8150.01", "SYSTEM_ERROR", False), ("8151.02", "SERVER_TIMEOUT", True), ("8152.03", "SERVICE_TIMEOUT", False)],
)
async def test_a_502_by_amount_leaves_it_open_whether_money_was_taken(
    merchant: Merchant, amount: str, reason: str, taken: bool
) -> None:
    reply = await merchant.authorize(amount, transaction_id="t-1")

    assert (reply.status_code, reply.json()["status"], reply.json()["reason"]) == (502, "SERVER_ERROR", reason)
    undone = await merchant.post("/pts/v2/reversals", reversal(amount, "t-1"))
    assert undone.status_code == (201 if taken else 404)


async def test_after_silence_the_payment_is_found_and_reversed(merchant: Merchant) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        await merchant.authorize("8199.00", code="silent", transaction_id="t-1")

    (summary,) = await merchant.search("clientReferenceInformation.transactionId:t-1")
    assert summary["applicationInformation"]["rFlag"] == "SOK"
    assert (await merchant.post("/pts/v2/reversals", reversal("8199.00", "t-1"))).status_code == 201


async def test_the_idempotency_header_is_ignored_unless_switched_on(
    simulator: VisaSimulator, merchant: Merchant
) -> None:
    async def pay(amount: str) -> httpx.Response:
        return await merchant.send("POST", "/pts/v2/payments", payment(amount), headers={"v-c-idempotency-id": "one"})

    ignored = {(await pay("1.00")).json()["id"] for _ in range(2)}
    simulator.idempotency = True
    honoured = {(await pay("1.00")).json()["id"] for _ in range(2)}
    other_body = await pay("2.00")
    simulator.advance_clock(15 * 60 + 1)
    later = await pay("2.00")

    assert (len(ignored), len(honoured)) == (2, 1)
    assert (other_body.status_code, other_body.json()["reason"]) == (400, "DUPLICATE_REQUEST")
    assert later.status_code == 201


def control_client(simulator: VisaSimulator, token: str = CONTROL_TOKEN) -> httpx.AsyncClient:
    headers = {"Authorization": f"Bearer {token}"}
    return httpx.AsyncClient(base_url=simulator.base_url + "/__sim/", headers=headers, trust_env=False)


async def test_the_control_api_drives_everything(simulator: VisaSimulator, merchant: Merchant) -> None:
    async with control_client(simulator) as control:
        fault = {"kind": "http_502", "operation": "authorize", "count": 2}
        assert (await control.post("faults", json=fault)).status_code == 200
        assert (await control.get("faults")).json()["faults"][0] | fault == (await control.get("faults")).json()[
            "faults"
        ][0]
        assert (await merchant.authorize()).status_code == 502
        await control.delete("faults")
        await merchant.captured()
        await control.put("index-lag", json={"seconds": 30})
        assert await merchant.search("clientReferenceInformation.code:order-1") == []
        await control.post("clock", json={"advance_seconds": 31})
        assert len(await merchant.search("clientReferenceInformation.code:order-1")) == 2
        await control.put("idempotency", json={"enabled": True})
        assert (await control.post("cutoff")).json() == {"transmitted": 1}
        operations = (await control.get("journal")).json()["operations"]
        assert [(one["kind"], one["state"]) for one in operations] == [
            ("authorization", "AUTHORIZED"),
            ("capture", "TRANSMITTED"),
        ]
        await control.post("reset")
        assert (await control.get("journal")).json() == {"operations": []}


@pytest.mark.parametrize(
    ("method", "path", "content", "status"),
    [
        ("POST", "faults", b'{"kind": "unknown"}', 400),
        ("POST", "faults", b"{", 400),
        ("POST", "faults", b'{"kind": "slow", "seconds": -1}', 400),
        ("PUT", "index-lag", b"{}", 400),
        ("POST", "clock", b'{"advance_seconds": -5}', 400),
        ("GET", "unknown", b"", 404),
    ],
)
async def test_the_control_api_refuses_what_it_does_not_know(
    simulator: VisaSimulator, method: str, path: str, content: bytes, status: int
) -> None:
    async with control_client(simulator) as control:
        assert (await control.request(method, path, content=content)).status_code == status


async def test_the_control_api_is_closed_to_other_tokens_and_to_merchants(
    simulator: VisaSimulator, merchant: Merchant
) -> None:
    async with control_client(simulator, "wrong") as control:
        assert (await control.get("journal")).status_code == 401
    assert (await merchant.get("/__sim/journal")).status_code == 401


async def test_the_control_api_is_off_without_a_token() -> None:
    async with VisaSimulator(VisaCredentials.generate()) as simulator, control_client(simulator) as control:
        assert (await control.get("journal")).status_code == 401
        known = simulator.credentials
        merchant = Merchant(simulator.base_url, known.merchant_id, known.key_id, known.secret)
        assert (await merchant.get("/__sim/journal")).status_code == 404
        await merchant.http.aclose()


async def test_stopping_does_not_wait_for_a_slow_answer(simulator: VisaSimulator, merchant: Merchant) -> None:
    simulator.fail_next("slow", seconds=60)
    waiting = asyncio.create_task(merchant.authorize())
    async with asyncio.timeout(5):
        while not simulator.journal():
            await asyncio.sleep(0.01)

    await asyncio.wait_for(simulator.stop(), 5)

    with pytest.raises(httpx.RemoteProtocolError):
        await waiting


def _sent(body: object) -> bytes:
    """The bytes that httpx makes of a JSON body."""
    return httpx.Request("POST", "http://localhost", json=body).content
