from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any

import httpx
import pytest

from shanraq import payments, webhooks
from shanraq.api import v1
from shanraq.api.app import create_app
from shanraq.api.services import ApiServices
from shanraq.core.actor import Actor
from shanraq.core.db import Database
from shanraq.credit_transfers import CreditTransfer
from shanraq.partners import Credentials
from tests.api.server import serve
from tests.credit_transfers.world import OTHER_BANK, InterbankWorld, iban, instruction, resolution, status_report
from tests.money_world import Bank, partner


@dataclass
class Desk:
    """A partner at the interface, with a settled transfer to another bank."""

    world: InterbankWorld
    http: httpx.AsyncClient
    transfer: CreditTransfer

    async def recall(self, key: str | None = "k", **body: Any) -> httpx.Response:
        headers = {} if key is None else {"Idempotency-Key": key}
        return await self.http.post(
            f"/v1/credit-transfers/{self.transfer.id}/recalls", json=body or {"reason": "DUPL"}, headers=headers
        )


@pytest.fixture
async def desk(database: Database) -> AsyncIterator[Desk]:
    world = InterbankWorld(Bank(database))
    payer = await world.account(100_00, 1)
    (transfer,) = await world.submit(instruction(str(payer.iban), iban("601", 77), agent=OTHER_BANK))
    world.clearing.say("pacs.002.001.10", status_report([transfer], "ACSC"))
    await world.listen()

    async def authenticate(credentials: Credentials, _: str) -> Actor:
        number = int(getattr(credentials, "key_id", "key_1").removeprefix("key_"))
        return world.bank.actor if number == 1 else replace(partner(number))

    services = ApiServices(
        database,
        world.keyring,
        payments.Acquiring(database, world.keyring, payments.Gateways({})),
        webhooks.GuardPolicy(),
        world.interbank,
    )
    async with (
        serve(create_app(services, routes=v1.ROUTES, authenticate=authenticate)) as url,
        httpx.AsyncClient(base_url=url, auth=("key_1", "secret"), trust_env=False) as http,
    ):
        yield Desk(world, http, transfer)


async def test_a_transfer_is_asked_back_and_followed(desk: Desk) -> None:
    asked = await desk.recall()
    again = await desk.recall()

    assert (asked.status_code, asked.json()["status"]) == (201, "requested")
    assert (again.json(), again.headers["Idempotent-Replayed"]) == (asked.json(), "true")
    recall_id = asked.json()["id"]
    desk.world.clearing.say("camt.029.001.09", resolution(desk.transfer, recall_id, "RJCR", "NOAS"))
    await desk.world.listen()
    found = (await desk.http.get(f"/v1/recalls/{recall_id}")).json()
    assert (found["status"], found["answer_reason"]) == ("rejected", "NOAS")
    listed = (await desk.http.get(f"/v1/credit-transfers/{desk.transfer.id}/recalls")).json()
    assert listed["items"] == [found]
    trace = (await desk.http.get(f"/v1/credit-transfers/{desk.transfer.id}/trace")).json()
    assert [(step["definition"][:8], step["status"]) for step in trace["steps"]] == [
        ("pacs.008", "submitted"), ("pacs.002", "ACSC"), ("camt.056", "recalled"), ("camt.029", "RJCR"),
    ]  # fmt: skip
    assert (trace["transfer"]["status"], trace["recalls"]) == ("settled", [found])


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"reason": "ZZZZ"}, 400, "invalid_reason"),
        ({"reason": "toolong"}, 400, "invalid_field"),
        ({"text": "no reason"}, 400, "missing_field"),
        ({"reason": "DUPL", "more": 1}, 400, "unknown_field"),
    ],
)
async def test_a_recall_is_refused(desk: Desk, body: dict[str, Any], status: int, code: str) -> None:
    answer = await desk.recall(**body)

    assert (answer.status_code, answer.json()["code"]) == (status, code)


async def test_a_recall_needs_a_key_and_one_at_a_time(desk: Desk) -> None:
    assert (await desk.recall(key=None)).json()["code"] == "idempotency_key_missing"
    await desk.recall()
    assert (await desk.recall(key="k2")).json()["code"] == "recall_open"


async def test_another_partner_finds_nothing(desk: Desk) -> None:
    stranger = ("key_9", "secret")
    recall_id = (await desk.recall()).json()["id"]

    for path in (
        f"/v1/credit-transfers/{desk.transfer.id}/trace",
        f"/v1/credit-transfers/{desk.transfer.id}/recalls",
        f"/v1/recalls/{recall_id}",
    ):
        assert (await desk.http.get(path, auth=stranger)).status_code == 404
