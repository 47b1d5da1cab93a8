"""A small HTTP/1.1 server whose answers may also be late, or a connection closed without a reply.

A simulator must be able to do what an honest server never does, so it owns its connections: one asyncio protocol over
httptools, the parser that uvicorn uses. Answers are made in the event loop, one at a time, in the order of the requests.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import ssl
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from email.utils import formatdate
from http import HTTPStatus
from typing import Final, cast

import httptools

_HEADERS_LIMIT_BYTES: Final = 64 * 1024
_BODY_LIMIT_BYTES: Final = 1024 * 1024
_READ_ON: Final = 8
_IDLE_SECONDS: Final = 75.0
_SWEEP_SECONDS: Final = 5.0
_CLOSE_SECONDS: Final = 1.0
_CONNECTION_LIMIT: Final = 10_000


@dataclass(frozen=True, slots=True)
class Peer:
    """The certificate a client proved to hold, checked against the server's authorities: who it is, SHA-256 of its DER."""

    common_name: str
    fingerprint: bytes


@dataclass(frozen=True, slots=True)
class Request:
    """One request: method in upper case, target as sent (path and query), header names in lower case.

    `peer` is None for a client without a certificate, and without TLS.
    """

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    peer: Peer | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """What to send. `dropped` marks a reply that was made, but is never to be sent: the connection closes instead."""

    status: int
    body: bytes
    content_type: str = "application/json;charset=utf-8"
    headers: tuple[tuple[str, str], ...] = ()
    dropped: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """A reply, sent after a delay (seconds); without a reply the connection is closed.

    `later` makes a reply that takes its time; nothing more is read from the connection meanwhile. It is called by the task that
    waits for it: one that is cancelled before it began leaves no coroutine behind that nobody awaited.
    """

    reply: Reply | None
    delay_seconds: float = 0.0
    later: Callable[[], Awaitable[Reply | None]] | None = None


Handler = Callable[[Request], Answer]

_REASONS: Final = {status.value: status.phrase for status in HTTPStatus}
_BODY_TOO_LARGE: Final = Reply(413, b"{}")
_HEADERS_TOO_LARGE: Final = Reply(431, b"{}")
_BAD_REQUEST: Final = Reply(400, b"{}")


class HttpServer:
    """Listens on one address or several and answers with the handler; the handler must not raise.

    A body of more than `body_limit_bytes` is answered with `too_large` once it was read: who is still writing does not listen.
    Of one that is many times as long no more is read.
    """

    def __init__(
        self, handler: Handler, *, body_limit_bytes: int = _BODY_LIMIT_BYTES, too_large: Reply = _BODY_TOO_LARGE
    ) -> None:
        self.too_large = too_large
        self.handler = handler
        self.body_limit_bytes = body_limit_bytes
        self.connections: set[_Connection] = set()
        self.date = b""
        self._listening: list[asyncio.Server] = []
        self._sweeper: asyncio.Task[None] | None = None

    async def start(self, host: str, port: int, tls: ssl.SSLContext | None = None) -> int:
        """Listen, on one more address when called again, and return the port."""
        loop = asyncio.get_running_loop()
        self._set_date()
        server = await loop.create_server(lambda: _Connection(self), host, port, ssl=tls, backlog=1024)
        self._listening.append(server)
        if self._sweeper is None:
            self._sweeper = loop.create_task(self._sweep())
        port_bound: int = server.sockets[0].getsockname()[1]
        return port_bound

    async def stop(self) -> None:
        """Stop listening and close every connection; replies already written are still sent."""
        if self._sweeper is None:
            return
        servers, sweeper = self._listening, self._sweeper
        self._listening, self._sweeper = [], None
        for server in servers:
            server.close()
        sweeper.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await sweeper
        for connection in tuple(self.connections):
            connection.close()
        try:
            async with asyncio.timeout(_CLOSE_SECONDS):
                for server in servers:
                    await server.wait_closed()
        except TimeoutError:
            for connection in tuple(self.connections):
                connection.abort()

    async def _sweep(self) -> None:
        """Close connections on which nothing moved for too long: idle ones, and requests that never end."""
        loop = asyncio.get_running_loop()
        swept_at = loop.time()
        while True:
            await asyncio.sleep(1.0)
            self._set_date()
            if loop.time() - swept_at < _SWEEP_SECONDS:
                continue
            swept_at = loop.time()
            for connection in tuple(self.connections):
                if not connection.answering and swept_at - connection.active_at > _IDLE_SECONDS:
                    connection.close()

    def _set_date(self) -> None:
        self.date = f"Date: {formatdate(usegmt=True)}\r\n".encode()


class _Connection(asyncio.Protocol):
    __slots__ = (
        "_body",
        "_body_bytes",
        "_closing",
        "_head_bytes",
        "_headers",
        "_in_head",
        "_late",
        "_loop",
        "_making",
        "_parser",
        "_peer",
        "_refusal",
        "_server",
        "_target",
        "_transport",
        "_waiting",
        "active_at",
        "answering",
    )

    def __init__(self, server: HttpServer) -> None:
        self._server = server
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpRequestParser(self)
        self._waiting: deque[tuple[Request, bool]] = deque()
        self._late: asyncio.TimerHandle | None = None
        self._making: asyncio.Task[None] | None = None
        self._closing = False
        self._refusal: Reply | None = None
        self._in_head, self._head_bytes = True, 0
        self.answering = False
        self.active_at = self._loop.time()
        self.on_message_begin()

    def close(self) -> None:
        """Send what is already written, then close."""
        self._closing = True
        self._give_up()
        self._transport.close()

    def abort(self) -> None:
        """Close at once, whatever is still to be sent."""
        self._transport.abort()

    # What the transport tells.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # No isinstance here: the transports of uvloop are not registered as asyncio's.
        self._transport = cast("asyncio.Transport", transport)
        self._peer = _peer_of(self._transport)
        self._server.connections.add(self)
        if len(self._server.connections) > _CONNECTION_LIMIT:
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.connections.discard(self)
        self._closing = True
        self._give_up()

    def _give_up(self) -> None:
        self._waiting.clear()
        if self._late is not None:
            self._late.cancel()
        if self._making is not None:
            self._making.cancel()

    def data_received(self, data: bytes) -> None:
        if self._closing:
            return
        self.active_at = self._loop.time()
        self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._answer_waiting()
            self._refuse(_BAD_REQUEST)
            return
        if self._in_head and self._head_bytes > _HEADERS_LIMIT_BYTES:
            self._refusal = _HEADERS_TOO_LARGE
        self._answer_waiting()
        if self._refusal is not None and not self._reads_on():
            self._refuse(self._refusal)

    def _reads_on(self) -> bool:
        """Tell whether the rest of a body that is too large is waited for, so that its sender hears the refusal."""
        ended = self._in_head or self._refusal is not self._server.too_large
        return not ended and self._body_bytes <= self._server.body_limit_bytes * _READ_ON

    def pause_writing(self) -> None:
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        if not self.answering:
            self._transport.resume_reading()

    # What the parser tells.

    def on_message_begin(self) -> None:
        self._target = b""
        self._headers: dict[str, str] = {}
        self._body: list[bytes] = []
        self._body_bytes = 0

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        key = name.decode("latin-1").lower()
        text = value.decode("latin-1")
        # A repeated header becomes one list, so that two credentials in one request are none.
        self._headers[key] = f"{self._headers[key]}, {text}" if key in self._headers else text

    def on_headers_complete(self) -> None:
        if self._headers.get("expect", "").lower() == "100-continue":
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if len(self._target) + sum(map(len, self._headers.values())) > _HEADERS_LIMIT_BYTES:
            self._refusal = _HEADERS_TOO_LARGE
        self._in_head = False

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        if self._body_bytes > self._server.body_limit_bytes:
            self._refusal = self._refusal or self._server.too_large
            self._body.clear()
        if self._refusal is None:
            self._body.append(body)

    def on_message_complete(self) -> None:
        self._in_head, self._head_bytes = True, 0
        if self._refusal is not None:
            return
        method = self._parser.get_method().decode("latin-1")
        target = self._target.decode("latin-1")
        request = Request(method, target, self._headers, b"".join(self._body), self._peer)
        self._waiting.append((request, self._parser.should_keep_alive()))

    # Answers.

    def _answer_waiting(self) -> None:
        while self._waiting and not self.answering and not self._closing:
            request, keep_alive = self._waiting.popleft()
            answer = self._server.handler(request)
            if answer.later is not None:
                self.answering = True
                self._transport.pause_reading()
                self._making = self._loop.create_task(self._answer_made(request, answer.later, keep_alive))
            elif answer.delay_seconds > 0:
                # Nothing more is read meanwhile, so what waits here is bounded by what one read brought.
                self.answering = True
                self._transport.pause_reading()
                self._late = self._loop.call_later(answer.delay_seconds, self._answer_late, request, answer, keep_alive)
            else:
                self._send(request, answer, keep_alive)

    async def _answer_made(
        self, request: Request, later: Callable[[], Awaitable[Reply | None]], keep_alive: bool
    ) -> None:
        reply = await later()
        self._making = None
        self._answer_late(request, Answer(reply), keep_alive)

    def _answer_late(self, request: Request, answer: Answer, keep_alive: bool) -> None:
        self._late = None
        self.answering = False
        self.active_at = self._loop.time()
        self._send(request, answer, keep_alive)
        if not self._closing:
            self._transport.resume_reading()
            self._answer_waiting()

    def _send(self, request: Request, answer: Answer, keep_alive: bool) -> None:
        reply = answer.reply
        if reply is None or reply.dropped:
            self.close()
            return
        head = [
            f"HTTP/1.1 {reply.status} {_REASONS.get(reply.status, 'Unknown')}\r\n",
            f"Content-Type: {reply.content_type}\r\nContent-Length: {len(reply.body)}\r\n",
            *(f"{name}: {value}\r\n" for name, value in reply.headers),
            "" if keep_alive else "Connection: close\r\n",
        ]
        body = b"" if request.method == "HEAD" else reply.body
        self._transport.write("".join(head).encode("latin-1") + self._server.date + b"\r\n" + body)
        if not keep_alive:
            self.close()

    def _refuse(self, reply: Reply) -> None:
        if not self._closing:
            self._send(Request("GET", "/", {}, b""), Answer(reply), keep_alive=False)


def _peer_of(transport: asyncio.Transport) -> Peer | None:
    """Tell who a client is by its certificate: once per connection, for no connection changes hands."""
    connection: ssl.SSLObject | None = transport.get_extra_info("ssl_object")
    if connection is None:
        return None
    # Empty when no certificate came, or one that nobody checked.
    checked = connection.getpeercert()
    der = connection.getpeercert(binary_form=True)
    if not checked or not der:
        return None
    names = [
        value
        for attributes in cast("tuple[tuple[tuple[str, str], ...], ...]", checked.get("subject", ()))
        for name, value in attributes
        if name == "commonName"
    ]
    # Two common names are as good as none: either could be the one that was registered.
    return Peer(names[0] if len(names) == 1 else "", hashlib.sha256(der).digest())
