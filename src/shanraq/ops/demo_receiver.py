"""The partner's side of webhooks in the demo: receives on loopback and verifies every signature before it believes it."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any

import msgspec

from shanraq import webhooks


@dataclass
class Receiver:
    """A small HTTP server that answers 204 to what it can verify, 401 to what it cannot.

    `events` holds what arrived by event id, each once however often it came; `rejected` why something was refused.
    """

    events: dict[str, dict[str, Any]] = field(default_factory=dict)
    rejected: list[str] = field(default_factory=list)
    port: int = 0
    _key: asyncio.Future[webhooks.HmacSecret] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )
    _server: asyncio.Server | None = None
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}/webhooks"

    async def start(self) -> None:
        """Listen on a free port."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Close every connection."""
        if self._server is not None:
            self._server.close()
            for writer in list(self._writers):
                writer.close()
            await self._server.wait_closed()

    def expect(self, secret: str) -> None:
        """Verify with this secret from now on. What came before waits: the first event may overtake the answer with it."""
        key = webhooks.parse_secret(secret)
        assert isinstance(key, webhooks.HmacSecret), "the endpoint was made with a shared secret"
        self._key.set_result(key)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while request := await self._read(reader):
                status = self._judge(*request, await asyncio.shield(self._key))
                writer.write(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode())
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _read(self, reader: asyncio.StreamReader) -> tuple[list[tuple[str, str]], bytes] | None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        except asyncio.IncompleteReadError:
            return None
        headers = [
            (name.strip(), value.strip())
            for name, _, value in (line.partition(":") for line in head.split("\r\n")[1:])
            if name
        ]
        length = next((int(value) for name, value in headers if name.lower() == "content-length"), 0)
        return headers, await reader.readexactly(length)

    def _judge(self, headers: list[tuple[str, str]], body: bytes, key: webhooks.HmacSecret) -> str:
        rejection = webhooks.verify_signature(headers, body, [key], int(time.time()))
        if rejection is not None:
            self.rejected.append(str(rejection))
            return "401 Unauthorized"
        event = msgspec.json.decode(body)
        self.events[event["id"]] = event
        return "204 No Content"
