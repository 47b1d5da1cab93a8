"""CPU time of the outgoing HTTP client for a keep-alive POST, beside httpx in the same run.

    python benchmarks/http_client.py [--requests 20000] [--concurrency 50] [--rounds 3]

A trivial server in another process answers 204; only the CPU time of the client's process counts, so the figures hold on
a busy machine. The request is a webhook as we send it: 620 bytes of JSON and five headers.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import statistics
import time
from collections.abc import Awaitable, Callable, Coroutine
from multiprocessing.connection import Connection
from typing import Any, Final

import httpx
import uvloop

from shanraq.core.http import HttpClient, Request

ANSWER: Final = b"HTTP/1.1 204 No Content\r\n\r\n"
BODY: Final = b'{"type":"payment.completed","data":"' + b"x" * 582 + b'"}'
HEADERS: Final = (
    ("Content-Type", "application/json"),
    ("webhook-id", "msg_2KWPBgLlAfxdpx2AI54pPJ85f4W"),
    ("webhook-timestamp", "1674087231"),
    ("webhook-signature", "v1,xHMoOLEa6eYXT342TWBRJxrbsqlpFhtlozNlfGpKz0g="),
    ("webhook-attempt", "1"),
)

Post = Callable[[], Awaitable[object]]
Run = Callable[[Coroutine[Any, Any, float]], float]


class Sink(asyncio.Protocol):
    """Answers every request; it knows that a request ends with the end of BODY."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport
        self.tail = b""

    def data_received(self, data: bytes) -> None:
        self.tail = (self.tail + data)[-2:]
        if self.tail == b'"}':
            self.transport.write(ANSWER)


def serve(pipe: Connection) -> None:
    """Serve on a free port until killed, and tell the port."""

    async def run() -> None:
        server = await asyncio.get_running_loop().create_server(Sink, "127.0.0.1", 0)
        pipe.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    uvloop.run(run())


async def load(post: Post, requests: int, concurrency: int) -> float:
    """Send `requests` with so many at once, and return the CPU microseconds of each."""
    left = iter(range(requests))

    async def sender() -> None:
        for _ in left:
            await post()

    await asyncio.gather(*(post() for _ in range(concurrency)))
    before = time.process_time()
    await asyncio.gather(*(sender() for _ in range(concurrency)))
    return (time.process_time() - before) / requests * 1e6


async def with_shanraq(url: str, requests: int, concurrency: int) -> float:
    """Measure our client."""
    client = HttpClient(connections_per_origin=concurrency)
    request = Request("POST", url, HEADERS, BODY, replay_on_stale=True)
    try:
        return await load(lambda: client.send(request, timeout_seconds=15), requests, concurrency)
    finally:
        await client.close()


async def with_httpx(url: str, requests: int, concurrency: int) -> float:
    """Measure httpx."""
    limits = httpx.Limits(max_connections=concurrency, max_keepalive_connections=concurrency)
    async with httpx.AsyncClient(limits=limits, timeout=15, trust_env=False) as client:
        return await load(lambda: client.post(url, content=BODY, headers=dict(HEADERS)), requests, concurrency)


def main() -> None:
    """Run the rounds, alternating, and print CPU microseconds: lowest, median, highest."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--concurrency", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(theirs,), daemon=True)
    server.start()
    url = f"http://127.0.0.1:{ours.recv()}/hooks/in"
    candidates: dict[str, tuple[Run, Callable[..., Coroutine[Any, Any, float]], int]] = {
        "shanraq, uvloop": (uvloop.run, with_shanraq, options.requests),
        "shanraq, asyncio": (asyncio.run, with_shanraq, options.requests),
        "httpx, uvloop": (uvloop.run, with_httpx, max(options.requests // 20, 200)),
    }
    figures: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(options.rounds):
        for name, (run, client, requests) in candidates.items():
            figures[name].append(run(client(url, requests, options.concurrency)))
    server.terminate()
    base = statistics.median(figures["shanraq, uvloop"])
    print(f"{'client':<18} {'CPU us per POST':>24} {'ratio':>7}")
    for name, found in figures.items():
        middle = statistics.median(found)
        print(f"{name:<18} {min(found):7.1f} {middle:7.1f} {max(found):7.1f} {middle / base:8.1f}x")


if __name__ == "__main__":
    main()
