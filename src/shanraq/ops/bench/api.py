"""Measure the full REST path against pgbench, on the same server, in the same run, taking turns.

A request is authenticated, validated, keyed, moves money durably in the ledger, and leaves its events and audit entries; the
worker in the first server numbers the events. Servers, load and database are processes of their own, on the same processors.
Afterwards the books are verified: a figure counts only for work that was done.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from statistics import median
from typing import Any, Final

import msgspec

from shanraq import accounts, events, ledger, partners
from shanraq.core.actor import SYSTEM, Actor
from shanraq.core.crypto import Keyring
from shanraq.core.db import Database
from shanraq.core.errors import UnavailableError
from shanraq.ops.bench import pgbench
from shanraq.ops.bench.load import Partner, Plan, Seen
from shanraq.ops.bench.scratch import Scratch

_PARTNERS: Final = 4
_ACCOUNTS: Final = 1000
_NUMBERED_WITHIN_SECONDS: Final = 60


@dataclass(frozen=True, slots=True)
class _Owner:
    issued: partners.IssuedKey
    actor: Actor
    accounts: list[str]


class ServerEndedError(UnavailableError, code="server_ended", status=503):
    """The server under test ended."""


class WorkMissingError(UnavailableError, code="work_missing", status=503):
    """Requests were answered whose work is not in the database."""


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
    db = await Database.connect(place.dsn, max_size=4)
    try:
        owners = [await _own(db, keyring, number) for number in range(_PARTNERS)]
        await pgbench.prepare(place.pgbench, place.dsn, scale)
        yardstick: list[float] = []
        runs: dict[str, list[Seen]] = {}
        async with server(place, "api", "worker") as first, server(place, "api") as second:
            plans = _plans(owners, first, second, seconds)
            for turn in range(1, rounds + 1):
                report(f"round {turn} of {rounds}: pgbench")
                yardstick.append(await pgbench.transactions_per_second(place.pgbench, place.dsn, seconds))
                for name, plan in plans.items():
                    report(f"round {turn} of {rounds}: {name}")
                    runs.setdefault(name, []).append(await _load(plan))
            report("verifying what was done")
            await _verify(db, owners, sum(seen.statuses.get("201", 0) for by_name in runs.values() for seen in by_name))
    finally:
        await db.close()
    base = median(yardstick)
    return {
        "pgbench": {"clients": pgbench.CLIENTS, "transactions_per_second": round(base), "runs": _rounded(yardstick)},
        "api": {name: _figures(seen, base) for name, seen in runs.items()},
    }


def _plans(owners: Sequence[_Owner], first: str, second: str, seconds: float) -> dict[str, Plan]:
    by_secret = [Partner(one.issued.id, one.issued.secret.reveal(), one.accounts) for one in owners]
    signing = [Partner(one.issued.id, one.issued.signing_secret.reveal(), one.accounts) for one in owners]
    return {
        "16 connections": Plan([first], by_secret[:1], 16, seconds),
        "64 connections": Plan([first], by_secret[:1], 64, seconds),
        "256 connections": Plan([first], by_secret[:1], 256, seconds),
        "64 connections, signed": Plan([first], signing[:1], 64, seconds, signed=True),
        f"64 connections, {_PARTNERS} partners": Plan([first], by_secret, 64, seconds),
        f"256 connections, {_PARTNERS} partners, 2 servers": Plan([first, second], by_secret, 256, seconds),
    }


async def _verify(db: Database, owners: Sequence[_Owner], answered: int) -> None:
    executed = 0
    for owner in owners:
        async with db.begin(owner.actor) as tx:
            executed += await tx.value("SELECT count(*) FROM transaction WHERE status = 'executed'")
            if findings := await ledger.verify(tx):
                raise WorkMissingError(str(findings[0]))
    if executed < answered:
        raise WorkMissingError(f"{answered} requests were answered, {executed} transactions are there")
    async with asyncio.timeout(_NUMBERED_WITHIN_SECONDS):
        while True:
            async with db.begin(SYSTEM) as tx:
                if not await events.unstamped(tx):
                    return
            await asyncio.sleep(0.1)


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


async def onboard(db: Database, keyring: Keyring, number: int) -> tuple[partners.IssuedKey, Actor]:
    """Return the key of a new partner, and who it acts as."""
    async with db.begin(SYSTEM) as tx:
        _, token = await partners.create_operator(tx, keyring, f"Benchmark {number}", partners.OPERATOR_SCOPES)
    operator = await partners.authenticate_operator(db, keyring, token)
    application = partners.Application(
        legal_name=f"Benchmark {number}",
        country="GB",
        registration_number=f"BENCH{number}",
        contact_email="bench@example.com",
        website="https://example.com",
    )
    partner, claim = await partners.apply(db, keyring, application)
    await partners.approve(db, operator, partner.id)
    issued = await partners.claim_key(db, keyring, claim)
    actor = await partners.authenticate(db, keyring, partners.BasicCredentials(issued.id, issued.secret))
    return issued, actor


async def _own(db: Database, keyring: Keyring, number: int) -> _Owner:
    issued, actor = await onboard(db, keyring, number)
    new = accounts.NewAccount(currency="KZT", allow_negative=True)
    return _Owner(issued, actor, [(await accounts.open_account(db, actor, new)).id for _ in range(_ACCOUNTS)])


@asynccontextmanager
async def server(place: Scratch, *roles: str, extra: Mapping[str, str] | None = None) -> AsyncIterator[str]:
    """Run `shanraq serve` on the scratch database, with some more settings; yields its base URL."""
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
        **(extra or {}),
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "shanraq", "serve", *roles, "--port", str(port),
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
