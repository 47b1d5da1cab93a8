"""A webhook receiver on loopback with programmable answers, so that tests see what really travels."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Answer:
    """How to answer one request: after a while or an event, with a status, headers and body, or by hanging up."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    after_seconds: float = 0.0
    drop: bool = False
    once: asyncio.Event | None = None


@dataclass(frozen=True)
class Received:
    """One request as it arrived."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    @property
    def by_name(self) -> dict[str, str]:
        return dict(self.headers)

    @property
    def id(self) -> str:
        return self.by_name["webhook-id"]


class Receiver:
    """Answers requests from a queue of answers, then with `default`."""

    def __init__(self) -> None:
        self.default = Answer()
        self.received: list[Received] = []
        self.arrived = asyncio.Event()
        self.under_way = 0
        self.most_under_way = 0
        self._answers: deque[Answer] = deque()
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self.port = 0

    def answer(self, *answers: Answer | int) -> None:
        """Answer the next requests like this, one each."""
        self._answers.extend(Answer(answer) if isinstance(answer, int) else answer for answer in answers)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook?tenant=1"

    @property
    def ids(self) -> list[str]:
        return [received.id for received in self.received]

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in list(self._writers):
            writer.close()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while await self._serve_one(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, target, _ = head[0].split(" ")
        headers = tuple(
            (name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in head[1:-2])
        )
        body = await reader.readexactly(int(dict(headers).get("content-length", "0")))
        self.received.append(Received(method, target, headers, body))
        self.arrived.set()
        answer = self._answers.popleft() if self._answers else self.default
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            await asyncio.sleep(answer.after_seconds)
            if answer.once is not None:
                await answer.once.wait()
        finally:
            self.under_way -= 1
        if answer.drop:
            return False
        lines = [f"HTTP/1.1 {answer.status} Status", f"content-length: {len(answer.body)}"]
        lines += [f"{name}: {value}" for name, value in answer.headers.items()]
        writer.write("\r\n".join([*lines, "", ""]).encode("latin-1") + answer.body)
        await writer.drain()
        return True


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    """Run a receiver."""
    receiver = Receiver()
    await receiver.start()
    try:
        yield receiver
    finally:
        await receiver.stop()
