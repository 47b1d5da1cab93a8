"""The control API: out of reach for merchants, and every answer that a test may ask for."""

from __future__ import annotations

import httpx
import pytest

from shanraq.simulators.visa import VisaCredentials, VisaSimulator
from shanraq.simulators.visa.route import Verb
from shanraq.simulators.visa.script import REASONS_OF
from shanraq.simulators.visa.trigger import REASONS
from tests.simulators.visa.client import Merchant, order, payment, reversal
from tests.simulators.visa.control import Control

PATHS = ["state", "journal", "faults", "script", "fees", "chargebacks", "batches", "notifications", "webhook-faults"]


@pytest.mark.parametrize("path", PATHS)
async def test_a_merchant_does_not_reach_it(merchant: Merchant, path: str) -> None:
    assert (await merchant.get(f"/__sim/{path}")).status_code == 401
    signed = merchant.http_signature("GET", f"/__sim/{path}")
    assert (await merchant.http.get(f"/__sim/{path}", headers=signed)).status_code == 401


async def test_it_is_off_without_a_token() -> None:
    async with VisaSimulator(VisaCredentials.generate()) as simulator, httpx.AsyncClient(trust_env=False) as http:
        for token in ("", "Bearer x", "Bearer None"):
            reply = await http.get(f"{simulator.base_url}/__sim/state", headers={"Authorization": token})
            assert reply.status_code == 401
            assert "error" not in reply.json()


@pytest.mark.parametrize("path", PATHS)
async def test_every_list_can_be_read(control: Control, path: str) -> None:
    assert isinstance(await control.get(path), dict)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "faults", {"kind": "flood"}),
        ("POST", "faults", {"kind": "http_502", "reason": "NONE"}),
        ("POST", "script", {"operation": "authorize", "reason": "NOT_VOIDABLE"}),
        ("POST", "script", {"operation": "search", "reason": "AVS_FAILED"}),
        ("PUT", "fees", {"interchange_basis_points": 1.5}),
        ("PUT", "fees", {"discount_basis_points": -1}),
        ("POST", "chargebacks", {"id": "17"}),
        ("POST", "chargebacks/17", {"stage": "won"}),
        ("POST", "webhook-faults", {"kind": "burn"}),
        ("POST", "clock", {"advance_seconds": -1}),
        ("PUT", "challenge", {"required": "yes"}),
    ],
)
async def test_a_command_that_means_nothing_is_refused(control: Control, method: str, path: str, body: object) -> None:
    assert (await control.send(method, path, body, status=400))["error"]


async def test_an_unknown_command_is_not_there(control: Control) -> None:
    await control.send("POST", "nothing", {}, status=404)
    await control.send("GET", "faults/17", status=404)


@pytest.mark.parametrize("reason", sorted(REASONS_OF[Verb.AUTHORIZE]))
async def test_an_authorisation_is_answered_with_any_reason(merchant: Merchant, control: Control, reason: str) -> None:
    await control.post("script", {"operation": "authorize", "reason": reason})

    reply = await merchant.authorize()

    body = reply.json()
    assert (body.get("reason") or body["errorInformation"]["reason"]) == reason
    assert reply.status_code in ({201, 400} if reason in REASONS else {502})
    assert (await merchant.authorize()).json()["status"] == "AUTHORIZED"


@pytest.mark.parametrize("operation", ["capture", "reverse", "void", "refund", "increment", "credit"])
async def test_every_follow_on_can_be_refused(merchant: Merchant, control: Control, operation: str) -> None:
    for reason in sorted(
        REASONS_OF[Verb(operation)] & {"NOT_SUPPORTED", "SERVER_TIMEOUT", "PROCESSOR_DECLINED", "NOT_VOIDABLE"}
    ):
        payment_id = await merchant.authorized()
        capture_id = await merchant.captured()
        await control.post("script", {"operation": operation, "reason": reason})
        increment = order("1")
        increment["orderInformation"]["amountDetails"] = {"additionalAmount": "1.00", "currency": "KZT"}
        path, body = {
            "capture": (f"/pts/v2/payments/{payment_id}/captures", order("1.00")),
            "reverse": (f"/pts/v2/payments/{payment_id}/reversals", reversal("1.00")),
            "void": (f"/pts/v2/captures/{capture_id}/voids", order("1.00")),
            "refund": (f"/pts/v2/captures/{capture_id}/refunds", order("1.00")),
            "increment": (f"/pts/v2/payments/{payment_id}", increment),
            "credit": ("/pts/v2/credits", payment("1.00")),
        }[operation]
        method = "PATCH" if operation == "increment" else "POST"

        refused = (await merchant.send(method, path, body)).json()

        assert (refused.get("reason") or refused["errorInformation"]["reason"]) == reason
        again = await merchant.send(method, path, body)
        assert again.json()["status"] in {"PENDING", "REVERSED", "VOIDED", "AUTHORIZED"}, again.text


async def test_script_counts_down_and_is_listed(merchant: Merchant, control: Control) -> None:
    await control.post("script", {"operation": "authorize", "reason": "EXPIRED_CARD", "count": 2})
    await merchant.authorize()

    assert await control.get("script") == {"script": [{"operation": "authorize", "reason": "EXPIRED_CARD", "count": 1}]}
    await control.send("DELETE", "script")
    assert (await merchant.authorize()).json()["status"] == "AUTHORIZED"


@pytest.mark.parametrize("reason", ["SYSTEM_ERROR", "SERVER_TIMEOUT", "SERVICE_TIMEOUT"])
async def test_a_502_has_the_reason_asked_for(merchant: Merchant, control: Control, reason: str) -> None:
    await control.post("faults", {"kind": "http_502", "operation": "capture", "reason": reason})
    payment_id = await merchant.authorized()

    reply = await merchant.capture(payment_id)

    assert (reply.status_code, reply.json()["status"], reply.json()["reason"]) == (502, "SERVER_ERROR", reason)


async def test_too_many_requests_process_nothing(
    simulator: VisaSimulator, merchant: Merchant, control: Control
) -> None:
    await control.post("faults", {"kind": "http_429"})

    reply = await merchant.authorize()

    assert (reply.status_code, reply.headers["retry-after"]) == (429, "1")
    assert simulator.journal() == []


async def test_faults_come_to_reports_and_webhooks_too(merchant: Merchant, control: Control) -> None:
    await control.post("faults", {"kind": "drop_before", "operation": "net_fundings"})

    with pytest.raises(httpx.RemoteProtocolError):
        await merchant.get("/reporting/v3/net-fundings")


async def test_state_tells_where_it_stands(merchant: Merchant, control: Control) -> None:
    await merchant.captured()
    await control.post("clock", {"advance_seconds": 60})

    state = await control.get("state")

    assert (state["operations"], state["pending"], state["clock_offset_seconds"]) == (2, 1, 60)


async def test_reset_forgets_resources_too(merchant: Merchant, control: Control) -> None:
    customer = (await merchant.post("/tms/v2/customers", {})).json()["id"]
    await control.post("script", {"operation": "void", "reason": "NOT_VOIDABLE"})

    await control.post("reset")

    assert (await merchant.get(f"/tms/v2/customers/{customer}")).status_code == 404
    assert (await control.get("script")) == {"script": []}
