"""Measure card payments in one run: the adapter beside the official SDK, the simulator alone, the whole platform.

The simulator, the platform, PostgreSQL, the load and the receiver of webhooks are processes of their own on the same
processors. CPU is what the operating system counts for a process, so it says little of what else the machine does. Afterwards
the journal of the simulator must hold every capture that was answered: a figure counts only for work that was done.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median
from typing import Any, Final

import msgspec

from shanraq import accounts, events, payments
from shanraq.core.actor import SYSTEM
from shanraq.core.crypto import Keyring
from shanraq.core.db import Database
from shanraq.core.http import HttpClient, Request
from shanraq.core.secret import Pan
from shanraq.ops.bench.api import WorkMissingError, onboard, server
from shanraq.ops.bench.cards_load import Calls, Gateway, Hammer, Pairs, Spent, Throughput
from shanraq.ops.bench.load import Seen
from shanraq.ops.bench.scratch import Scratch
from shanraq.simulators.mastercard import obtain
from shanraq.simulators.visa import VisaCredentials

SDK_PYTHON: Final = "SHANRAQ_BENCH_SDK_PYTHON"
_SDK_SCRIPT: Final = Path("benchmarks/cybersource_sdk.py")
_CALLS: Final = 500
_SDK_CALLS: Final = 60
_HAMMER_CONNECTIONS: Final = 8
_PAIR_CONNECTIONS: Final = (8, 32, 96)
_CONTROL_TOKEN: Final = secrets.token_hex(16)
_JOURNAL_BYTES: Final = 1 << 30
_NUMBERED_WITHIN_SECONDS: Final = 60


async def bench_cards(
    place: Scratch, *, seconds: float = 5.0, rounds: int = 3, report: Callable[[str], None] = lambda _: None
) -> dict[str, Any]:
    """Return medians of `rounds`: CPU milliseconds a call, verified requests a CPU second, authorise + capture a second.

    The SDK takes part when the variable SHANRAQ_BENCH_SDK_PYTHON names an interpreter that can import it.
    """
    async with _simulator(place) as (gateway, process_id):
        report("authorisations through the adapter, one after another")
        ours, theirs = [], []
        for _ in range(rounds):
            ours.append(await _run(Calls(gateway, _CALLS), Spent))
            if SDK_PYTHON in os.environ:
                report("the same through the official SDK")
                theirs.append(await _sdk(gateway))
        report("authorisations at the simulator, signed beforehand")
        hammered = [await _hammer(Hammer(gateway, _HAMMER_CONNECTIONS, seconds), process_id) for _ in range(rounds)]
        report("the same at the Mastercard simulator, with password")
        async with _mastercard(place) as (other, other_id):
            plan = Hammer(other, _HAMMER_CONNECTIONS, seconds, "mastercard")
            others = [await _hammer(plan, other_id) for _ in range(rounds)]
        platform = await _platform(place, gateway, seconds, rounds, report)
    adapter = median(one.cpu_milliseconds for one in ours)
    figures: dict[str, Any] = {
        "adapter": {"cpu_milliseconds_a_call": round(adapter, 3)},
        "simulator": {
            "verified_requests_a_cpu_second": round(median(rate for rate, _ in hammered)),
            "verified_requests_a_second": round(median(rate for _, rate in hammered)),
        },
        "mastercard_simulator": {
            "verified_requests_a_cpu_second": round(median(rate for rate, _ in others)),
            "verified_requests_a_second": round(median(rate for _, rate in others)),
        },
        "platform": platform,
    }
    if theirs:
        sdk = median(one.cpu_milliseconds for one in theirs)
        kept = median(one.cpu_milliseconds_kept for one in theirs)
        figures["sdk"] = {
            "cpu_milliseconds_a_call": round(sdk, 3),
            "times_adapter": round(sdk / adapter, 1),
            "cpu_milliseconds_a_call_one_client": round(kept, 3),
            "times_adapter_one_client": round(kept / adapter, 1),
        }
    return figures


@asynccontextmanager
async def _simulator(place: Scratch) -> AsyncIterator[tuple[Gateway, int]]:
    credentials = VisaCredentials.generate()
    file = place.folder / "visa.json"
    credentials.save(file)
    port = _free_port()
    options = (
        "--port", str(port), "--credentials", str(file), "--index-lag", "0.2", "--control-token", _CONTROL_TOKEN,
        "--host", "apitest.cybersource.com",
    )  # fmt: skip
    async with _started("visa", options) as process_id:
        url = f"http://127.0.0.1:{port}"
        yield Gateway(url, credentials.merchant_id, credentials.key_id, credentials.secret), process_id


@asynccontextmanager
async def _mastercard(place: Scratch) -> AsyncIterator[tuple[Gateway, int]]:
    file, port = place.folder / "mastercard.json", _free_port()
    credentials = obtain(file)
    options = ("--port", str(port), "--credentials", str(file))
    async with _started("mastercard", options) as process_id:
        yield Gateway(f"http://127.0.0.1:{port}", credentials.merchant_id, "", credentials.password), process_id


@asynccontextmanager
async def _started(simulator: str, options: Sequence[str]) -> AsyncIterator[int]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "shanraq", "simulate", simulator, *options,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        await asyncio.wait_for(process.stdout.readline(), 60)
        yield process.pid
    finally:
        process.terminate()
        await asyncio.wait_for(process.wait(), 60)


async def _hammer(plan: Hammer, process_id: int) -> tuple[float, float]:
    before = _cpu_seconds(process_id)
    seen = await _run(plan, Throughput)
    spent = _cpu_seconds(process_id) - before
    if set(seen.statuses) != {"201"}:
        raise WorkMissingError(f"the simulator answered {seen.statuses}")
    return seen.statuses["201"] / spent, seen.statuses["201"] / seen.seconds


async def _platform(
    place: Scratch, gateway: Gateway, seconds: float, rounds: int, report: Callable[[str], None]
) -> dict[str, Any]:
    keyring_path = place.folder / "keys" / "master.keys"
    keyring_path.parent.mkdir(mode=0o700)
    keyring = Keyring.load_or_create(keyring_path)
    secret = place.folder / "visa.secret"
    secret.write_text(gateway.secret)
    hook_port = _free_port()
    extra = {
        "SHANRAQ_VISA_SANDBOX_URL": gateway.url,
        "SHANRAQ_VISA_SANDBOX_MERCHANT_ID": gateway.merchant_id,
        "SHANRAQ_VISA_SANDBOX_KEY_ID": gateway.key_id,
        "SHANRAQ_VISA_SANDBOX_SECRET_FILE": str(secret),
        "SHANRAQ_WEBHOOK_ALLOW_CIDRS": "127.0.0.1/32",
        "SHANRAQ_WEBHOOK_ALLOW_PORTS": str(hook_port),
    }
    db = await Database.connect(place.dsn, max_size=4)
    client = HttpClient(response_limit_bytes=_JOURNAL_BYTES)
    try:
        issued, actor = await onboard(db, keyring, 1)
        opened = [await accounts.open_account(db, actor, accounts.NewAccount(currency="KZT")) for _ in range(50)]
        new = payments.NewCard(expiry_month=12, expiry_year=2040)
        cards = [await payments.tokenize(db, keyring, actor, Pan("4111111111111111"), new) for _ in range(50)]
        runs: dict[int, list[Seen]] = {}
        async with _receiver(hook_port), server(place, "api", "worker", extra=extra) as url:
            await _subscribe(client, url, issued.id, issued.secret.reveal(), hook_port)
            for turn in range(1, rounds + 1):
                for connections in _PAIR_CONNECTIONS:
                    report(f"round {turn} of {rounds}: authorise and capture over {connections} connections")
                    plan = Pairs(
                        url, issued.id, issued.secret.reveal(), [one.id for one in opened],
                        [one.value.id for one in cards], connections, seconds,
                    )  # fmt: skip
                    runs.setdefault(connections, []).append(await _run(plan, Seen))
            await _numbered(db)
            await _agree(db, client, gateway)
    finally:
        await client.close()
        await db.close()
    return {
        f"{connections} connections": {
            "authorised_and_captured_a_second": round(median(one.requests_per_second for one in seen), 1),
            "p50_milliseconds_a_pair": median(one.p50_milliseconds for one in seen),
            "p99_milliseconds_a_pair": median(one.p99_milliseconds for one in seen),
            "runs": [round(one.requests_per_second, 1) for one in seen],
            "statuses": {key: sum(one.statuses.get(key, 0) for one in seen) for key in sorted(seen[0].statuses)},
        }
        for connections, seen in runs.items()
    }


async def _subscribe(client: HttpClient, url: str, key_id: str, secret: str, port: int) -> None:
    body = msgspec.json.encode({"url": f"http://127.0.0.1:{port}/", "event_types": ["payment.*"]})
    request = Pairs.signed_request(url + "/v1/webhook-endpoints", key_id, secret, body, "hook")
    response = await client.send(request, 30)
    if response.status != 201:
        raise WorkMissingError(f"no webhook endpoint: {response.status}")


async def _numbered(db: Database) -> None:
    async with asyncio.timeout(_NUMBERED_WITHIN_SECONDS):
        while True:
            async with db.begin(SYSTEM) as tx:
                if not await events.unstamped(tx):
                    return
            await asyncio.sleep(0.1)


async def _agree(db: Database, client: HttpClient, gateway: Gateway) -> None:
    """Compare what the platform captured with what the simulator did."""
    async with db.begin(SYSTEM) as tx:
        ours = await tx.value("SELECT coalesce(sum(amount_captured), 0)::bigint FROM payment")
    headers = (("Authorization", f"Bearer {_CONTROL_TOKEN}"),)
    journal = await client.send(Request("GET", f"{gateway.url}/__sim/journal", headers), 60)
    lines: list[dict[str, Any]] = msgspec.json.decode(journal.body)["operations"]
    theirs = sum(line["amount_minor"] for line in lines if line["kind"] == "capture" and line["reason"] == "")
    if ours != theirs:
        raise WorkMissingError(f"the platform captured {ours}, the simulator {theirs}")


@asynccontextmanager
async def _receiver(port: int) -> AsyncIterator[None]:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
                await reader.readexactly(length)
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    listening = await asyncio.start_server(answer, "127.0.0.1", port)
    try:
        yield
    finally:
        listening.close()


async def _run(plan: Calls | Hammer | Pairs, answer: type[Any]) -> Any:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", "from shanraq.ops.bench.cards_load import main; main()",
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    output, _ = await process.communicate(msgspec.json.encode(plan))
    if process.returncode:
        raise WorkMissingError("the load ended with an error")
    return msgspec.json.decode(output, type=answer)


async def _sdk(gateway: Gateway) -> Spent:
    process = await asyncio.create_subprocess_exec(
        os.environ[SDK_PYTHON], str(_SDK_SCRIPT), gateway.url, gateway.merchant_id, gateway.key_id, str(_SDK_CALLS),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    output, _ = await process.communicate(gateway.secret.encode())
    if process.returncode:
        raise WorkMissingError("the SDK ended with an error")
    return msgspec.json.decode(output.splitlines()[-1], type=Spent)


def _cpu_seconds(process_id: int) -> float:
    fields = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
