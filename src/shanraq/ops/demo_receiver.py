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
    """A small HTTP server that answers 204 to what it can verify, 401 to what it cannot."""

    secret: str = ""
    events: list[dict[str, Any]] = field(default_factory=list)
    rejected: list[str] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)
    port: int = 0
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

    @property
    def sequences(self) -> list[int]:
        """Return the sequence numbers received, in order, each once."""
        return sorted({int(event["sequence"]) for event in self.events})

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while request := await self._read(reader):
                status = self._judge(*request)
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

    def _judge(self, headers: list[tuple[str, str]], body: bytes) -> str:
        key = webhooks.parse_secret(self.secret)
        assert isinstance(key, webhooks.HmacSecret), "the endpoint was made with a shared secret"
        rejection = webhooks.verify_signature(headers, body, [key], int(time.time()))
        if rejection is not None:
            self.rejected.append(rejection)
            return "401 Unauthorized"
        message_id = next(value for name, value in headers if name.lower() == "webhook-id")
        if message_id not in self.seen:
            self.seen.add(message_id)
            self.events.append(msgspec.json.decode(body))
        return "204 No Content"
