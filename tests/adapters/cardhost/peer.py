"""The other end of a link, scripted by a test: it answers, keeps silent, or says what nobody asked."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from shanraq.standards.iso8583 import Codec, Framing, Message
from shanraq.standards.iso8583.flow import is_request, respond

Reply = Callable[[Message], Iterable[Message | bytes]]


def approve(request: Message) -> list[Message | bytes]:
    """Answer every request with 00."""
    return [respond(request, "00")]


@dataclass
class Peer:
    """A host; `reply` may be changed while it runs. `heard` is everything it received."""

    codec: Codec
    framing: Framing
    reply: Reply = approve
    manage: Reply = approve
    port: int = 0
    heard: list[Message] = field(default_factory=list)
    writers: list[asyncio.StreamWriter] = field(default_factory=list)

    def said(self, mti: str) -> list[Message]:
        return [message for message in self.heard if message.mti == mti]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        frames = self.framing.reader()
        try:
            while data := await reader.read(65536):
                for received in frames.feed(data):
                    message = self.codec.decode(received.message)
                    self.heard.append(message)
                    if not is_request(message.mti):
                        continue
                    for answer in (self.manage if message.mti[1] == "8" else self.reply)(message):
                        self.send(writer, answer)
        except ConnectionError:
            pass
        finally:
            writer.close()

    def send(self, writer: asyncio.StreamWriter, answer: Message | bytes) -> None:
        raw = answer if isinstance(answer, bytes) else self.codec.encode(answer)
        writer.write(self.framing.frame(raw))

    def say(self, message: Message | bytes) -> None:
        """Say something over the newest connection."""
        self.send(self.writers[-1], message)

    def hang_up(self) -> None:
        """Cut all connections."""
        for writer in self.writers:
            writer.transport.abort()
        self.writers.clear()


@asynccontextmanager
async def listening(
    codec: Codec, framing: Framing, *, tls: ssl.SSLContext | None = None, port: int = 0
) -> AsyncIterator[Peer]:
    """Run a peer on a free port."""
    peer = Peer(codec, framing)
    server = await asyncio.start_server(peer._serve, "127.0.0.1", port, ssl=tls)
    peer.port = server.sockets[0].getsockname()[1]
    try:
        yield peer
    finally:
        server.close()
        peer.hang_up()
        await server.wait_closed()
