"""Liveness and readiness."""

from __future__ import annotations

import asyncio

import httpx

from shanraq.api.health import Health, NotReadyError
from tests.api.example import example_app
from tests.api.server import serve


async def fine() -> str:
    return "18.6, primary"


async def missing() -> str:
    raise NotReadyError("2 migrations are missing")


async def broken() -> str:
    raise ConnectionRefusedError("postgresql://root:hunter2@db")


async def hanging() -> str:
    await asyncio.Event().wait()
    return "never"


async def test_a_process_with_everything_is_ready() -> None:
    async with serve(example_app(health=Health({"database": fine}))) as url, httpx.AsyncClient() as client:
        answer = await client.get(f"{url}/health/ready")

    assert answer.status_code == 200
    assert answer.json() == {
        "status": "ready",
        "checks": [{"name": "database", "ok": True, "detail": "18.6, primary"}],
    }


async def test_what_is_not_ready_is_named_and_nothing_secret_is_told() -> None:
    health = Health(
        {"database": fine, "migrations": missing, "broker": broken, "writer": hanging}, timeout_seconds=0.05
    )
    async with serve(example_app(health=health)) as url, httpx.AsyncClient() as client:
        answer = await client.get(f"{url}/health/ready")
        live = await client.get(f"{url}/health/live")

    assert answer.status_code == 503
    assert "hunter2" not in answer.text
    assert answer.json()["status"] == "not_ready"
    assert {check["name"]: (check["ok"], check["detail"]) for check in answer.json()["checks"]} == {
        "database": (True, "18.6, primary"),
        "migrations": (False, "2 migrations are missing"),
        "broker": (False, "ConnectionRefusedError"),
        "writer": (False, "no answer within 0.05 s"),
    }
    assert live.json() == {"status": "live"}


async def test_many_who_ask_at_once_cost_one_check() -> None:
    asked = 0
    now = 0.0

    async def counted() -> str:
        nonlocal asked
        asked += 1
        await asyncio.sleep(0)
        return "there"

    health = Health({"database": counted}, clock=lambda: now)

    await asyncio.gather(*(health.readiness() for _ in range(20)))
    now = 1.5
    await health.readiness()

    assert asked == 2
