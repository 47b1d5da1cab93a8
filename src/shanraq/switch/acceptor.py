"""Accept connections that speak ISO 8583, and answer what comes: a server that knows messages, not what they are about.

async with Acceptor(codec, framing, answer) as acceptor:      # listens on 127.0.0.1, any free port
    acceptor.port

`answer(request, peer)` returns the response, its bytes, None (no answer), or a coroutine that will. What is returned at once is
written at once, everything from one read in one write; a coroutine becomes a task of the acceptor's.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import Counter, deque
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self, TypeAlias

import structlog

from shanraq.standards.iso8583.codec import Codec
from shanraq.standards.iso8583.errors import Iso8583Error, Level
from shanraq.standards.iso8583.flow import format_error
from shanraq.standards.iso8583.framing import Framing, FramingError, Received, reply_tpdu
from shanraq.standards.iso8583.message import Message

log = structlog.get_logger(__name__)

_BACKLOG: Final = 512
_LONGEST_ROUND_SECONDS: Final = 5.0
_LAST_WORDS_SECONDS: Final = 2.0


class Peer:
    """Who is at the other end: its address, the name in its certificate (empty without one).

    `raw` is the message being answered, byte for byte; it holds until `answer` returns (a coroutine begins later).
    """

    __slots__ = ("address", "certificate", "raw")

    def __init__(self, address: str, certificate: str = "") -> None:
        self.address = address
        self.certificate = certificate
        self.raw = b""


Reply: TypeAlias = Message | bytes | None
Answer: TypeAlias = Callable[[Message, Peer], Reply | Coroutine[Any, Any, Reply]]


@dataclass(frozen=True, slots=True)
class Limits:
    """What clients may use. The size of a message is the framing's to limit.

    `in_flight` counts answers of one connection that are still being worked out: above it nothing more is read. An answer may
    take `answer_seconds`. A connection that sent no whole message for `idle_seconds` is closed, as is one with `unreadable`
    unreadable messages in a row.
    """

    connections: int = 1000
    connections_per_address: int = 100
    in_flight: int = 32
    idle_seconds: float = 300.0
    answer_seconds: float = 60.0
    unreadable: int = 20
    drain_seconds: float = 15.0


class Acceptor:
    """Accepts connections until it is closed; then it answers what is under way and closes them.

    `refused` counts connections above the limits, `received` and `unreadable` messages, `broken` streams that could not be
    followed. Safe against anything a client may send; an `answer` that raises costs its message and is logged.
    """

    def __init__(
        self,
        codec: Codec,
        framing: Framing,
        answer: Answer,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        tls: ssl.SSLContext | None = None,
        limits: Limits = Limits(),
    ) -> None:
        self.codec: Final = codec
        self.framing: Final = framing
        self.answer: Final = answer
        self.limits: Final = limits
        self.host: Final = host
        self.port = port
        self.received = 0
        self.unreadable = 0
        self.refused = 0
        self.broken = 0
        self._tls = tls
        self._server: asyncio.Server | None = None
        self._sweeping: asyncio.Task[None] | None = None
        self._connections: set[_Connection] = set()
        self._by_address: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()
        self._emptied = asyncio.Event()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @property
    def connections(self) -> int:
        """Return how many connections are open."""
        return len(self._connections)

    @property
    def in_flight(self) -> int:
        """Return how many answers are being worked out."""
        return len(self._tasks)

    async def start(self) -> None:
        """Listen; `port` is then the one that was found. Raises OSError when the address is taken."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: _Connection(self), self.host, self.port, ssl=self._tls, backlog=_BACKLOG
        )
        self.port = self._server.sockets[0].getsockname()[1]
        self._sweeping = loop.create_task(self._sweep(), name="iso8583 idle connections")

    async def close(self) -> None:
        """Stop accepting and reading, answer what is under way within `drain_seconds`, close the connections."""
        if self._server is None:
            return
        self._server.close()
        self._server = None
        for connection in self._connections:
            connection.stop_reading()
        if self._sweeping is not None:
            self._sweeping.cancel()
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=self.limits.drain_seconds)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late, timeout=_LAST_WORDS_SECONDS)
        for connection in list(self._connections):
            connection.end()
        # The last answers are given a moment to leave; what a peer does not read by then is dropped.
        if self._connections:
            with suppress(TimeoutError):
                async with asyncio.timeout(_LAST_WORDS_SECONDS):
                    await self._emptied.wait()
        for connection in list(self._connections):
            connection.abort()

    async def _sweep(self) -> None:
        """Close connections that are idle. One task for all: a timer for each would cost something on every message."""
        idle = self.limits.idle_seconds
        while True:
            await asyncio.sleep(min(idle / 4, _LONGEST_ROUND_SECONDS))
            before = asyncio.get_running_loop().time() - idle
            for connection in [one for one in self._connections if one.heard_at < before and not one.busy]:
                log.info("iso8583.idle", address=connection.peer.address)
                connection.end()

    # For connections

    def admit(self, connection: _Connection) -> bool:
        """Take a new connection in, unless there are too many."""
        address = connection.peer.address
        if (
            self._server is None
            or len(self._connections) >= self.limits.connections
            or self._by_address[address] >= self.limits.connections_per_address
        ):
            self.refused += 1
            log.warning("iso8583.connection_refused", address=address, open=len(self._connections))
            return False
        self._connections.add(connection)
        self._by_address[address] += 1
        return True

    def forget(self, connection: _Connection) -> None:
        """Let go of a connection that ended."""
        if connection not in self._connections:
            return
        self._connections.discard(connection)
        address = connection.peer.address
        self._by_address[address] -= 1
        if not self._by_address[address]:
            del self._by_address[address]
        if self._server is None and not self._connections:
            self._emptied.set()

    def begin(self, work: Coroutine[Any, Any, None]) -> None:
        """Own a task until it is done."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class _Connection(asyncio.Protocol):
    """One connection. Answers leave in the order in which they are ready: the peer matches them by their elements."""

    __slots__ = (
        "_acceptor", "_blocked", "_flushing", "_in_row", "_out", "_reader", "_running", "_stopped", "_transport", "_waiting",
        "heard_at", "peer",
    )  # fmt: skip

    def __init__(self, acceptor: Acceptor) -> None:
        self._acceptor = acceptor
        self._reader = acceptor.framing.reader()
        self._transport: asyncio.Transport | None = None
        self._running = 0
        self._in_row = 0
        self._waiting: deque[Received] = deque()
        self._out: list[bytes] = []
        self._flushing = False
        self._blocked = False
        self._stopped = False
        self.peer = Peer("")
        self.heard_at = 0.0

    @property
    def busy(self) -> bool:
        """Tell whether an answer is being worked out."""
        return bool(self._running or self._waiting)

    # What asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport) or hasattr(transport, "write")
        self._transport = transport  # type: ignore[assignment]  # uvloop's transports derive from nothing of asyncio's
        address = transport.get_extra_info("peername")
        self.peer = Peer(str(address[0]) if address else "", _name_in(transport.get_extra_info("peercert")))
        self.heard_at = asyncio.get_running_loop().time()
        if not self._acceptor.admit(self):
            self._stopped = True
            self.abort()

    def data_received(self, data: bytes) -> None:
        if self._stopped:
            return
        reader = self._reader
        alive = reader.keep_alives
        try:
            found = reader.feed(data)
        except FramingError as error:
            self._acceptor.broken += 1
            log.warning("iso8583.stream_broken", address=self.peer.address, code=error.code, error=str(error))
            self._stopped = True
            self.end()
            return
        if reader.keep_alives != alive:
            self.heard_at = asyncio.get_running_loop().time()
            echoes = reader.take_echoes()
            if echoes:
                self._out.append(echoes)
        if found:
            self.heard_at = asyncio.get_running_loop().time()
            self._acceptor.received += len(found)
            if self._waiting:
                self._waiting.extend(found)
            else:
                self._take(found)
        if self._out:
            self._flush()

    def pause_writing(self) -> None:
        # The peer does not read its answers: no more of them are made until it does.
        self._blocked = True
        self._pause()

    def resume_writing(self) -> None:
        self._blocked = False
        self._go_on()

    def connection_lost(self, exc: Exception | None) -> None:
        # Answers under way go on: what they decide is remembered, and a repeat on another connection gets it.
        self._stopped = True
        self._waiting.clear()
        self._out.clear()
        self._acceptor.forget(self)
        self._transport = None

    # What the acceptor calls

    def stop_reading(self) -> None:
        """Take no more messages."""
        self._stopped = True
        self._waiting.clear()
        self._pause()

    def end(self) -> None:
        """Close when everything has been written."""
        if self._transport is not None:
            self._flush()
            self._transport.close()

    def abort(self) -> None:
        """Close at once."""
        if self._transport is not None:
            self._transport.abort()

    # Messages

    def _take(self, found: list[Received]) -> None:
        acceptor = self._acceptor
        decode, encode, frame, answer = (
            acceptor.codec.decode,
            acceptor.codec.encode,
            acceptor.framing.frame,
            acceptor.answer,
        )
        most, out, peer = acceptor.limits.in_flight, self._out, self.peer
        for index, (raw, tpdu) in enumerate(found):
            if self._running >= most:
                self._waiting.extend(found[index:])
                self._pause()
                return
            try:
                reply: Reply | Coroutine[Any, Any, Reply]
                try:
                    request = decode(raw)
                except Iso8583Error as error:
                    reply = self._unreadable(error)
                else:
                    self._in_row = 0
                    peer.raw = raw
                    reply = answer(request, peer)
                if reply is None:
                    continue
                if isinstance(reply, Message):
                    reply = encode(reply)
                if isinstance(reply, bytes):
                    out.append(frame(reply, reply_tpdu(tpdu)) if tpdu else frame(reply))
                else:
                    self._running += 1
                    acceptor.begin(self._answer_later(reply, tpdu))
            except Exception:
                log.exception("iso8583.answer_failed", address=peer.address)

    async def _answer_later(self, work: Coroutine[Any, Any, Reply], tpdu: bytes) -> None:
        acceptor = self._acceptor
        try:
            async with asyncio.timeout(acceptor.limits.answer_seconds):
                reply = await work
            if isinstance(reply, Message):
                reply = acceptor.codec.encode(reply)
            if reply is not None and self._transport is not None:
                self._out.append(acceptor.framing.frame(reply, reply_tpdu(tpdu)))
                if not self._flushing:
                    # Answers that are ready in one turn of the loop leave in one write.
                    self._flushing = True
                    asyncio.get_running_loop().call_soon(self._flush)
        except TimeoutError:
            log.warning("iso8583.answer_too_late", address=self.peer.address, seconds=acceptor.limits.answer_seconds)
        except Exception:
            log.exception("iso8583.answer_failed", address=self.peer.address)
        finally:
            self._running -= 1
            if self._waiting:
                self._go_on()

    def _unreadable(self, error: Iso8583Error) -> bytes | None:
        acceptor = self._acceptor
        acceptor.unreadable += 1
        self._in_row += 1
        # The error tells places and lengths, never what stands there.
        log.warning("iso8583.unreadable", address=self.peer.address, code=error.code, error=str(error))
        if self._in_row >= acceptor.limits.unreadable:
            log.warning("iso8583.connection_given_up", address=self.peer.address, unreadable=self._in_row)
            self._stopped = True
            asyncio.get_running_loop().call_soon(self.end)
        return self._format_error(error.partial) if error.partial is not None else None

    def _format_error(self, partial: Message) -> bytes | None:
        """Return the answer to what could be read, without the elements that are wrong; None when there is not enough."""
        try:
            response = format_error(partial)
        except Iso8583Error:
            return None
        while True:
            try:
                return self._acceptor.codec.encode(response, Level.CONTENT)
            except Iso8583Error as error:
                number = error.field.partition(".")[0]
                if not number.isdecimal() or response.fields.pop(int(number), None) is None:
                    return None

    def _go_on(self) -> None:
        if self._stopped or self._blocked:
            return
        if self._waiting:
            found = list(self._waiting)
            self._waiting.clear()
            self._take(found)
            if self._out:
                self._flush()
        if not self._waiting and self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def _pause(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def _flush(self) -> None:
        self._flushing = False
        out = self._out
        if out and self._transport is not None:
            data = out[0] if len(out) == 1 else b"".join(out)
            out.clear()
            self._transport.write(data)


def tls_context(certificate: Path, key: Path, authorities: Path | None = None) -> ssl.SSLContext:
    """Return the TLS of a listener, 1.2 or newer; with `authorities` clients must show a certificate of theirs.

    Raises OSError (ssl.SSLError too) for files that cannot be read or do not fit.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificate, key)
    if authorities is not None:
        context.load_verify_locations(authorities)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _name_in(certificate: Any) -> str:
    """Return the common name of a certificate as Python's ssl gives it."""
    for part in (certificate or {}).get("subject", ()):
        for kind, value in part:
            if kind == "commonName":
                return str(value)
    return ""
