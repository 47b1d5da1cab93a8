"""How many echo tests a second a link and an acceptor of ours exchange: both on one core, over loopback TCP, timers on."""

from __future__ import annotations

import asyncio
import gc
import itertools
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from shanraq.adapters.cardhost import Link, LinkConfiguration, NotSentError, Session
from shanraq.standards.iso8583 import Message, codec, framing
from shanraq.standards.iso8583.flow import respond
from shanraq.switch.acceptor import Acceptor, Peer

LAYOUT: Final = "iso87_asciibin"
FRAMING: Final = "binary2"
IN_FLIGHT: Final = 64
_MOST_IN_FLIGHT: Final = 2000
_TICK_SECONDS: Final = 0.0005
_TRACE_NUMBERS: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class EchoFigures:
    """Exchanges a second with the line full, and how long one takes when it is half full, in milliseconds."""

    per_second: float
    half_load_per_second: float
    p50_milliseconds: float
    p99_milliseconds: float


async def measure_echo(seconds: float = 3.0) -> EchoFigures:
    """Fill the line for so many seconds, then run it at half of that."""
    async with _line() as link:
        await _saturate(link, min(seconds / 3, 0.5))  # first calls make what is made once
        gc.collect()
        gc.freeze()  # as `shanraq serve` does
        try:
            full = await _saturate(link, seconds)
            latencies, took = await _pace(link, full / 2, seconds)
        finally:
            gc.unfreeze()
    latencies.sort()
    return EchoFigures(
        full,
        len(latencies) / took,
        latencies[len(latencies) // 2] * 1000,
        latencies[int(len(latencies) * 0.99)] * 1000,
    )


@asynccontextmanager
async def _line() -> AsyncIterator[Link]:
    wire_codec, framed = codec(LAYOUT), framing(FRAMING)

    def answer(request: Message, _peer: Peer) -> Message:
        return respond(request, "00")

    async with Acceptor(wire_codec, framed, answer) as acceptor:
        configuration = LinkConfiguration(
            "echo", (("127.0.0.1", acceptor.port),), framed, session=Session(sign_on=None, sign_off=None)
        )
        link = Link(configuration, wire_codec)
        await link.open()
        if not await link.test():
            raise NotSentError("the line did not come up")
        try:
            yield link
        finally:
            await link.close()


def _echo_test(number: int) -> Message:
    return Message("0800", {7: "1126120000", 11: f"{number % _TRACE_NUMBERS:06d}", 70: "301"})


async def _saturate(link: Link, seconds: float) -> float:
    numbers = itertools.count(1)
    end = time.perf_counter() + seconds
    done = 0

    async def ask() -> None:
        nonlocal done
        while time.perf_counter() < end:
            await link.request(_echo_test(next(numbers)))
            done += 1

    began = time.perf_counter()
    await asyncio.gather(*(ask() for _ in range(IN_FLIGHT)))
    return done / (time.perf_counter() - began)


async def _pace(link: Link, per_second: float, seconds: float) -> tuple[list[float], float]:
    """Send at an even rate, whatever comes back; return how long each took from the moment it was due."""
    numbers = itertools.count(1)
    latencies: list[float] = []
    due: deque[float] = deque()
    idle: list[asyncio.Future[None]] = []
    loop = asyncio.get_running_loop()

    async def ask() -> None:
        while True:
            if not due:
                rest = loop.create_future()
                idle.append(rest)
                await rest
                continue
            at = due.popleft()
            await link.request(_echo_test(next(numbers)))
            latencies.append(time.perf_counter() - at)

    asking = [asyncio.create_task(ask()) for _ in range(_MOST_IN_FLIGHT)]
    await asyncio.sleep(0)
    began = time.perf_counter()
    sent = 0
    while (now := time.perf_counter() - began) < seconds:
        while sent < now * per_second:
            due.append(began + sent / per_second)
            sent += 1
        for _ in range(min(len(due), len(idle))):
            idle.pop().set_result(None)
        await asyncio.sleep(_TICK_SECONDS)
    took = time.perf_counter() - began
    for task in asking:
        task.cancel()
    await asyncio.gather(*asking, return_exceptions=True)
    return latencies, took
