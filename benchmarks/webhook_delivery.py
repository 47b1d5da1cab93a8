"""Webhook deliveries a second of one worker, end to end: claim, sign, POST, acknowledge with one attempt row each.

    python benchmarks/webhook_delivery.py --events 20000 --endpoints 20

A database of its own (durable commits), a trivial receiver in another process, everything on this machine. Events are
fanned out before the clock starts; then one worker runs until every queue is empty.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import multiprocessing
import os
import shutil
import tempfile
import time
from collections.abc import AsyncIterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import cast

import uvloop

from shanraq import events, webhooks
from shanraq.core import log
from shanraq.core.actor import SYSTEM, Actor, ActorKind, Environment
from shanraq.core.crypto import Keyring
from shanraq.core.db import Database
from shanraq.core.http import HttpClient
from shanraq.ops.migrate import migrate
from shanraq.ops.postgres import EmbeddedPostgres

PARTNER = Actor(
    ActorKind.PARTNER, "key_bench", "prt_bench", Environment.SANDBOX, book=2, scopes=frozenset({"webhooks:write"})
)


class Sink(asyncio.Protocol):
    """Answer every request with 204, reading no more of it than its length."""

    def __init__(self) -> None:
        self._pending = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclasses of asyncio's.
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._pending += data
        while (end := self._pending.find(b"\r\n\r\n")) >= 0:
            head = self._pending[:end].lower()
            start = head.index(b"content-length:") + 15
            length = int(head[start : head.index(b"\r\n", start) if b"\r\n" in head[start:] else None])
            if len(self._pending) < end + 4 + length:
                return
            self._pending = self._pending[end + 4 + length :]
            self._transport.write(b"HTTP/1.1 204 No Content\r\n\r\n")


def receive(pipe: Connection) -> None:
    """Run the receiver until the process is ended; send its port first."""

    async def main() -> None:
        server = await asyncio.get_running_loop().create_server(Sink, "127.0.0.1", 0)
        pipe.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    uvloop.run(main())


@contextlib.asynccontextmanager
async def scratch_database() -> AsyncIterator[Database]:
    """Start a server of its own in a temporary directory."""
    directory = Path(tempfile.mkdtemp(prefix="shq"))
    os.chmod(directory, 0o711)
    try:
        async with EmbeddedPostgres(directory / "postgres") as server:
            await server.ensure_database("bench")
            await migrate(server.dsn("bench"))
            db = await Database.connect(server.dsn("bench"))
            yield db
            await db.close()
    finally:
        shutil.rmtree(directory, ignore_errors=True)


async def fill(db: Database, keyring: Keyring, port: int, *, endpoints: int, count: int) -> None:
    """Add endpoints and fan `count` deliveries out to them."""
    policy = webhooks.GuardPolicy(allow_cidrs=("127.0.0.0/8",), allow_ports=(port,))
    new = webhooks.NewEndpoint(url=f"http://127.0.0.1:{port}/hook", event_types=("payment.completed",))
    for _ in range(endpoints):
        await webhooks.subscribe(db, PARTNER, new, keyring=keyring, policy=policy)
    data: dict[str, object] = {
        "id": "pay_01JDK7ZC3V0X2Q9M5R8T6W4Y1B",
        "amount": "1500000",
        "currency": "KZT",
        "note": "x" * 300,
    }
    left = count // endpoints
    while left > 0:
        async with db.begin(PARTNER) as tx:
            for _ in range(min(left, 500)):
                events.emit(tx, events.Event("payment.completed", "payment/pay_1", data))
        left -= 500
        async with db.begin(SYSTEM) as tx:
            await webhooks.enqueue(tx, await events.stamp(tx))


async def measure(count: int, endpoints: int, port: int) -> None:
    """Deliver everything once and print the rate."""
    keyring = Keyring.generate()
    async with scratch_database() as db:
        await fill(db, keyring, port, endpoints=endpoints, count=count)
        async with db.begin(SYSTEM) as tx:
            due = await tx.value("SELECT count(*) FROM webhook_delivery")
        policy = webhooks.GuardPolicy(allow_cidrs=("127.0.0.0/8",))
        client = HttpClient(resolver=webhooks.GuardedResolver(policy))
        stop = asyncio.Event()
        started, busy = time.perf_counter(), time.process_time()
        worker = asyncio.create_task(webhooks.run_deliveries(db, client, stop, keyring=keyring))
        while True:
            await asyncio.sleep(0.05)
            async with db.begin(SYSTEM) as tx:
                if not await tx.value("SELECT EXISTS (SELECT FROM webhook_delivery)"):
                    break
        seconds, cpu = time.perf_counter() - started, time.process_time() - busy
        stop.set()
        await worker
        await client.close()
        async with db.begin(SYSTEM) as tx:
            findings = await webhooks.verify_deliveries(tx)
            attempts = await tx.value("SELECT count(*) FROM webhook_attempt")
        print(
            f"{due} deliveries, {endpoints} endpoints: {due / seconds:,.0f} deliveries/s, "
            f"worker {cpu / due * 1e6:.0f} us CPU each, {attempts} attempts, {len(findings)} findings"
        )


def main() -> None:
    """Read the arguments, start the receiver, measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=20_000, help="deliveries in all")
    parser.add_argument("--endpoints", type=int, default=20, choices=range(1, 101), metavar="1..100")
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    log.configure("warning", json=False)
    ours, theirs = multiprocessing.Pipe()
    receiver = multiprocessing.Process(target=receive, args=(theirs,), daemon=True)
    receiver.start()
    port = ours.recv()
    try:
        for _ in range(arguments.runs):
            uvloop.run(measure(arguments.events, arguments.endpoints, port))
    finally:
        receiver.terminate()
        receiver.join()


if __name__ == "__main__":
    main()
