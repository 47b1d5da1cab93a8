"""What our client makes of responses, sent whole and byte by byte, on both event loops."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvloop

from shanraq.core.http import HttpClient, HttpError, Request
from tests.conformance.data import conformance_data
from tests.core.http_peers import Call, serving

Case = dict[str, Any]
Verdict = tuple[int | None, str | None, bool]

HANDED_ON = {"http_4xx", "http_5xx", "redirect_refused"}
"""Error codes that callers derive from the status of a response."""

LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
}


def cases() -> list[Any]:
    lines = conformance_data("webhooks/http_responses.jsonl").read_text().splitlines()
    return [pytest.param(json.loads(line), id=json.loads(line)["id"]) for line in lines]


def run_in(loop: str, work: Coroutine[Any, Any, Any]) -> Any:
    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        return runner.run(work)


async def ask(client: HttpClient, url: str) -> Verdict:
    request = Request("POST", url, (("Content-Type", "application/json"),), b"{}", replay_on_stale=True)
    try:
        response = await client.send(request, timeout_seconds=0.3)
    except HttpError as error:
        return None, error.error_code, error.sent
    return response.status, None, True


async def converse(case: Case, *, whole: bool) -> tuple[list[Verdict], bool]:
    """Ask twice; return both verdicts, and whether the second request came over the connection of the first."""
    raw = base64.b64decode(case["raw_b64"])
    # Long responses are cut coarsely: their interest is their length.
    width = max(len(raw), 1) if whole else 1 if len(raw) < 5000 else 997
    pieces = [raw[start : start + width] for start in range(0, len(raw), width)]
    played = asyncio.Event()

    async def script(call: Call) -> None:
        await call.send(*pieces)
        if case["then"] == "close":
            call.hang_up()
        played.set()

    async with serving(script) as server:
        client = HttpClient()
        first = await ask(client, server.url)
        if case["status_code"] is not None and case["connection_reusable"]:
            await played.wait()
        await asyncio.sleep(0.02)
        second = await ask(client, server.url)
        await client.close()
        return [first, second], server.connections == 1


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("whole", [True, False], ids=["whole", "bytes"])
@pytest.mark.parametrize("case", cases())
async def test_responses(case: Case, whole: bool, loop: str) -> None:
    verdicts, reused = await asyncio.to_thread(run_in, loop, converse(case, whole=whole))

    code = None if case["error_code"] in HANDED_ON else case["error_code"]
    assert verdicts == [(case["status_code"], code, True)] * 2
    if case["connection_reusable"] is not None:
        assert reused == case["connection_reusable"]
