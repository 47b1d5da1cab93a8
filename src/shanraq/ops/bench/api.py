"""Measure the full REST path against pgbench, on the same server, in the same run, taking turns.

A request is authenticated, validated, keyed, moves money durably in the ledger, and leaves its event and audit entry; the
worker beside it numbers the events. Server, load and database are processes of their own, on the same processors.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from statistics import median
from typing import Any, Final

import msgspec

from shanraq import accounts, partners
from shanraq.core.actor import SYSTEM, Actor
from shanraq.core.crypto import Keyring
from shanraq.core.db import Database
from shanraq.core.errors import UnavailableError
from shanraq.ops.bench import pgbench
from shanraq.ops.bench.load import Plan, Seen
from shanraq.ops.bench.scratch import Scratch

_CONNECTIONS: Final = (16, 64)
_ACCOUNTS: Final = 200
_APPLICATION: Final = partners.Application(
    legal_name="Benchmark",
    country="KZ",
    registration_number="990340005977",
    contact_email="bench@example.com",
    website="https://example.com",
)


class ServerEndedError(UnavailableError, code="server_ended", status=503):
    """The server under test ended."""


async def bench_api(
    place: Scratch,
    *,
    seconds: float = 5.0,
    rounds: int = 3,
    scale: int = 10,
    report: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Return requests a second, latencies and how often pgbench they are; medians of `rounds` runs of `seconds` each."""
    keyring_path = place.folder / "keys" / "master.keys"
    keyring_path.parent.mkdir(mode=0o700)
    keyring = Keyring.load_or_create(keyring_path)
    db = await Database.connect(place.dsn, max_size=2)
    try:
        issued, actor = await _onboard(db, keyring)
        opened = [
            await accounts.open_account(db, actor, accounts.NewAccount(currency="KZT", allow_negative=True))
            for _ in range(_ACCOUNTS)
        ]
    finally:
        await db.close()
    await pgbench.prepare(place.pgbench, place.dsn, scale)
    yardstick: list[float] = []
    runs: dict[str, list[Seen]] = {}
    async with _server(place) as url:
        plans = {
            f"{connections} connections": Plan(
                url, issued.id, issued.secret.reveal(), [one.id for one in opened], connections, seconds
            )
            for connections in _CONNECTIONS
        }
        plans["64 connections, signed"] = msgspec.structs.replace(
            plans["64 connections"], secret=issued.signing_secret.reveal(), signed=True
        )
        for turn in range(1, rounds + 1):
            report(f"round {turn} of {rounds}: pgbench")
            yardstick.append(await pgbench.transactions_per_second(place.pgbench, place.dsn, seconds))
            for name, plan in plans.items():
                report(f"round {turn} of {rounds}: {name}")
                runs.setdefault(name, []).append(await _load(plan))
    base = median(yardstick)
    return {
        "pgbench": {"clients": pgbench.CLIENTS, "transactions_per_second": round(base), "runs": _rounded(yardstick)},
        "api": {name: _figures(seen, base) for name, seen in runs.items()},
    }


def _figures(seen: list[Seen], base: float) -> dict[str, Any]:
    rate = median(one.requests_per_second for one in seen)
    return {
        "requests_per_second": round(rate),
        "times_pgbench": round(rate / base, 2),
        "p50_milliseconds": median(one.p50_milliseconds for one in seen),
        "p99_milliseconds": median(one.p99_milliseconds for one in seen),
        "runs": _rounded([one.requests_per_second for one in seen]),
        "statuses": {
            status: sum(one.statuses.get(status, 0) for one in seen)
            for status in sorted({s for one in seen for s in one.statuses})
        },
    }


def _rounded(values: list[float]) -> list[int]:
    return [round(value) for value in values]


async def _onboard(db: Database, keyring: Keyring) -> tuple[partners.IssuedKey, Actor]:
    async with db.begin(SYSTEM) as tx:
        _, token = await partners.create_operator(tx, keyring, "Benchmark", partners.OPERATOR_SCOPES)
    operator = await partners.authenticate_operator(db, keyring, token)
    partner, claim = await partners.apply(db, keyring, _APPLICATION)
    await partners.approve(db, operator, partner.id)
    issued = await partners.claim_key(db, keyring, claim)
    return issued, await partners.authenticate(db, keyring, partners.BasicCredentials(issued.id, issued.secret))


@asynccontextmanager
async def _server(place: Scratch) -> AsyncIterator[str]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    environment = {
        **os.environ,
        "SHANRAQ_DATABASE_URL": place.dsn,
        "SHANRAQ_DATA_DIR": str(place.folder),
        "SHANRAQ_RATE_LIMIT_PER_SECOND": "1000000",
        "SHANRAQ_RATE_LIMIT_BURST": "1000000",
        "SHANRAQ_LOG_LEVEL": "error",
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "shanraq", "serve", "api", "worker", "--port", str(port),
        env=environment, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        await _answers(process, port)
        yield f"http://127.0.0.1:{port}"
    finally:
        if process.returncode is None:
            process.terminate()
            await asyncio.wait_for(process.wait(), 60)


async def _answers(process: asyncio.subprocess.Process, port: int) -> None:
    for _ in range(600):
        if process.returncode is not None:
            raise ServerEndedError
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.05)
            continue
        writer.close()
        return
    raise ServerEndedError("the server under test does not answer")


async def _load(plan: Plan) -> Seen:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "shanraq.ops.bench.load", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate(msgspec.json.encode(plan))
    return msgspec.json.decode(output, type=Seen)
