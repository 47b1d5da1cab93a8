"""A server that answers as it is told, over real sockets: for what a well-behaved simulator never says."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Received:
    """One request as it arrived; names of headers in lower case."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """Return the body."""
        return json.loads(self.body)


@dataclass(frozen=True)
class Answered:
    """What to answer; with `drop` the connection is closed instead."""

    status: int = 200
    body: Any = None
    content_type: str = "application/json;charset=ISO-8859-1"
    drop: bool = False
    after_seconds: float = 0.0


DROP = Answered(drop=True)


@dataclass
class Scripted:
    """A running server: what arrived, and where it listens."""

    base_url: str = ""
    received: list[Received] = field(default_factory=list)


@asynccontextmanager
async def scripted(
    answer: Callable[[Received], Answered], tls: ssl.SSLContext | None = None
) -> AsyncIterator[Scripted]:
    """Serve HTTP/1.1 with keep-alive; `answer` decides."""
    server = Scripted()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("ascii")
                request, *lines = head.split("\r\n")
                method, target, _ = request.split(" ")
                headers = {
                    name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)
                }
                body = await reader.readexactly(int(headers.get("content-length", "0")))
                received = Received(method, target, headers, body)
                server.received.append(received)
                told = answer(received)
                await asyncio.sleep(told.after_seconds)
                if told.drop:
                    break
                content = told.body if isinstance(told.body, bytes) else json.dumps(told.body).encode()
                writer.write(
                    f"HTTP/1.1 {told.status} X\r\nContent-Type: {told.content_type}\r\n"
                    f"Content-Length: {len(content)}\r\n\r\n".encode()
                    + content
                )
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    port = listener.sockets[0].getsockname()[1]
    server.base_url = f"{'https' if tls else 'http'}://127.0.0.1:{port}"
    async with listener:
        yield server
