"""A link to a card host: connections kept up, sign-on, echo tests, requests matched with their answers.

link = Link(configuration, codec)
await link.open()
answer = await link.request(message)     # NotSentError: the host saw nothing; NoAnswerError: the outcome is unknown
await link.close()
"""

from __future__ import annotations

import asyncio
import itertools
import random
import ssl
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final, cast

import structlog

from shanraq.adapters.cardhost.matching import Counters, Matcher, NoAnswerError, NotSentError
from shanraq.core.db import assert_no_transaction
from shanraq.standards.iso8583 import Codec, Framing, FramingError, Iso8583Error, Message
from shanraq.standards.iso8583.flow import is_request, is_response, respond
from shanraq.standards.iso8583.framing import Received, reply_tpdu
from shanraq.standards.iso8583.security import MessageAuthentication

log = structlog.get_logger(__name__)

_CLOSE_SECONDS: Final = 1.0
_NETWORK: Final = "8"
_TRACE_NUMBERS: Final = 1_000_000


class LinkError(Exception):
    """A connection that could not be opened or was refused at sign-on."""


class Choice(StrEnum):
    """Which connection takes a request: the first that is up, or each in its turn."""

    PRIMARY = "primary"
    ROUND_ROBIN = "round_robin"


@dataclass(frozen=True, slots=True)
class Session:
    """Network management: the codes a link signs on, off and tests with (DE70, in 1993 DE24); None for what it leaves out."""

    sign_on: str | None = "001"
    sign_off: str | None = "002"
    echo: str | None = "301"

    @classmethod
    def usual(cls, iso_version: str) -> Session:
        """Return the codes of an edition of the standard."""
        return cls() if iso_version == "1987" else cls("801", "802", "831")


@dataclass(frozen=True, slots=True)
class LinkConfiguration:
    """A link. `addresses` are tried in their order; times are in seconds.

    `timeout_seconds` is how long an answer may take, `wait_seconds` how long a request waits for a connection,
    `echo_after_seconds` after how long without anything received the line is tested (None: never).
    """

    name: str
    addresses: tuple[tuple[str, int], ...]
    framing: Framing
    connections: int = 1
    choice: Choice = Choice.PRIMARY
    matching_key: tuple[int, ...] = (7, 11, 41)
    session: Session = Session()
    timeout_seconds: float = 20.0
    connect_timeout_seconds: float = 10.0
    wait_seconds: float = 2.0
    echo_after_seconds: float | None = 60.0
    echo_timeout_seconds: float = 10.0
    reconnect_seconds: tuple[float, float] = (0.2, 10.0)
    late_seconds: float = 600.0
    tls: ssl.SSLContext | None = None
    server_name: str | None = None


@dataclass(frozen=True, slots=True)
class LinkStatus:
    """How a link is: connections that are up, requests that await an answer, and what has passed over it."""

    online: int
    wanted: int
    awaited: int
    counters: Counters


class Link:
    """A pool of connections to one host. Answers may come over another connection than their request went."""

    def __init__(
        self,
        configuration: LinkConfiguration,
        codec: Codec,
        *,
        answer: Callable[[Message], Message | None] | None = None,
        finish: Callable[[bytes], bytes] | None = None,
        authentication: MessageAuthentication | None = None,
    ) -> None:
        """Prepare a link; nothing is opened yet.

        `answer` answers requests of the host other than network management, `finish` changes what is encoded before it is
        framed (lengths in headers). With `authentication` every message carries a code, and one without the right code is
        not believed: it is as if it had never come.
        """
        self.configuration = configuration
        self.codec = codec
        self._framing = configuration.framing
        self._matcher = Matcher(
            configuration.matching_key,
            late_seconds=configuration.late_seconds,
            on_late=self._late,
            on_unmatched=self._unmatched,
        )
        self._answer = answer
        self._finish = finish
        self._authentication = authentication
        self._online: list[_Connection] = []
        self._turn = itertools.count()
        self._traces = itertools.count(random.randrange(1, _TRACE_NUMBERS))  # noqa: S311 (spreads trace numbers, no secret)
        self._up = asyncio.Event()
        self._keepers: list[asyncio.Task[None]] = []
        self._closing = False
        self.on_late: Callable[[Message], None] = lambda _message: None

    def __repr__(self) -> str:
        return f"Link({self.configuration.name}, {len(self._online)} of {self.configuration.connections} up)"

    @property
    def status(self) -> LinkStatus:
        """Return how the link is."""
        return LinkStatus(len(self._online), self.configuration.connections, len(self._matcher), self._matcher.counters)

    async def open(self) -> None:
        """Begin to keep the connections up. Returns at once: a host that is down is tried again until `close`."""
        if not self._keepers:
            self._closing = False
            self._keepers = [
                asyncio.create_task(self._keep_up(slot), name=f"link {self.configuration.name} {slot}")
                for slot in range(self.configuration.connections)
            ]

    async def close(self) -> None:
        """Sign off, end what is awaited (its outcome is unknown), and close the connections."""
        self._closing = True
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        self._keepers = []
        await asyncio.gather(*(self._sign_off(connection) for connection in list(self._online)))
        self._matcher.close()
        for connection in list(self._online):
            await connection.close()

    async def request(self, message: Message, timeout_seconds: float | None = None) -> Message:
        """Send a request and return its answer.

        Raises NotSentError (also DuplicateKeyError) when the host has seen nothing, NoAnswerError when it may have, and
        Iso8583Error when the message cannot be written; nothing is sent then.
        """
        assert_no_transaction()
        data = self._written(message)
        connection = self._choose()
        if connection is None:
            connection = await self._wait_for_connection()
        if not connection.writable:
            await connection.drain(self.configuration.wait_seconds)
        return await self._exchange(connection, message, data, timeout_seconds or self.configuration.timeout_seconds)

    async def test(self) -> bool:
        """Tell whether the host answers: an echo test, or a connection that is up where the link knows none."""
        if self.configuration.session.echo is None:
            return bool(self._online)
        try:
            connection = self._choose() or await self._wait_for_connection()
            await self._manage(connection, self.configuration.session.echo)
        except (NotSentError, NoAnswerError, LinkError):
            return False
        return True

    def _written(self, message: Message) -> bytes:
        return self._framing.frame(self._encoded(message))

    def _encoded(self, message: Message) -> bytes:
        if self._authentication is not None:
            data = self._authentication.sealed(self.codec, message)
        else:
            data = self.codec.encode(message)
        return self._finish(data) if self._finish is not None else data

    def _choose(self) -> _Connection | None:
        online = self._online
        if not online:
            return None
        if self.configuration.choice is Choice.PRIMARY or len(online) == 1:
            return online[0]
        return online[next(self._turn) % len(online)]

    async def _wait_for_connection(self) -> _Connection:
        try:
            async with asyncio.timeout(self.configuration.wait_seconds):
                await self._up.wait()
        except TimeoutError:
            raise NotSentError("no connection to the host") from None
        connection = self._choose()
        if connection is None:
            raise NotSentError("no connection to the host")
        return connection

    async def _exchange(
        self, connection: _Connection, message: Message, data: bytes, timeout_seconds: float
    ) -> Message:
        awaited = self._matcher.expect(message, timeout_seconds, connection)
        self._matcher.counters.sent += 1
        connection.send(data)
        try:
            return await awaited.future
        except asyncio.CancelledError:
            self._matcher.abandon(awaited)
            raise

    # Connections

    async def _keep_up(self, slot: int) -> None:
        shortest, longest = self.configuration.reconnect_seconds
        pause = shortest
        for attempt in itertools.count():
            address = self.configuration.addresses[attempt % len(self.configuration.addresses)]
            try:
                connection = await self._connect(address)
            except (OSError, TimeoutError, ssl.SSLError, LinkError, NoAnswerError, NotSentError) as error:
                self._matcher.counters.connection_failures += 1
                log.warning(
                    "link.not_connected", link=self.configuration.name, slot=slot, host=address[0], port=address[1],
                    reason=str(error) or type(error).__name__, again_seconds=round(pause, 2),
                )  # fmt: skip
                await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 (spreads reconnects, no secret)
                pause = min(pause * 2, longest)
                continue
            self._matcher.counters.connects += 1
            self._online.append(connection)
            self._up.set()
            log.info("link.online", link=self.configuration.name, slot=slot, host=address[0], port=address[1])
            began = asyncio.get_running_loop().time()
            testing = asyncio.create_task(self._test_when_idle(connection), name="link echo")
            try:
                await connection.ended.wait()
            finally:
                testing.cancel()
                if not self._closing:  # closing signs off first
                    self._offline(connection)
            log.warning("link.offline", link=self.configuration.name, slot=slot, reason=connection.reason)
            # A host that hangs up on everybody is not called as fast as it can hang up.
            lasted = asyncio.get_running_loop().time() - began
            pause = shortest if lasted > longest else min(pause * 2, longest)
            if lasted <= pause:
                await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 (spreads reconnects, no secret)

    async def _connect(self, address: tuple[str, int]) -> _Connection:
        configuration = self.configuration
        loop = asyncio.get_running_loop()
        host, port = address
        server_name = (configuration.server_name or host) if configuration.tls is not None else None
        # Not wait_for: before Python 3.12 it loses a cancellation that comes as the connection is refused, and `close`
        # would wait for a keeper that goes on for ever.
        async with asyncio.timeout(configuration.connect_timeout_seconds):
            _, connection = await loop.create_connection(
                lambda: _Connection(self), host, port, ssl=configuration.tls, server_hostname=server_name
            )
        if configuration.session.sign_on is not None:
            try:
                await self._manage(connection, configuration.session.sign_on)
            except BaseException:
                await connection.close()
                raise
        return connection

    def _offline(self, connection: _Connection) -> None:
        if connection in self._online:
            self._online.remove(connection)
        if not self._online:
            self._up.clear()
        self._matcher.connection_lost(connection)

    async def _sign_off(self, connection: _Connection) -> None:
        if self.configuration.session.sign_off is not None:
            with suppress(NoAnswerError, NotSentError, LinkError):
                await self._manage(connection, self.configuration.session.sign_off, _CLOSE_SECONDS)

    async def _manage(self, connection: _Connection, code: str, timeout_seconds: float | None = None) -> None:
        """Exchange a network management message. Raises LinkError when the host refuses it."""
        message = self._network_message(code)
        answer = await self._exchange(
            connection, message, self._written(message), timeout_seconds or self.configuration.echo_timeout_seconds
        )
        said = answer.fields.get(39, "")
        if said.strip("0") and not (answer.mti[:1] != "0" and said[:1] == "8"):
            raise LinkError(f"network management {code} was refused with {said!r}")

    def _network_message(self, code: str) -> Message:
        now = datetime.now(UTC)
        trace = next(self._traces) % _TRACE_NUMBERS
        header = network_header(self.codec)
        if self.codec.layout.iso_version == "1987":
            return Message("0800", {7: f"{now:%m%d%H%M%S}", 11: f"{trace:06d}", 70: code}, header=header)
        fields = {7: f"{now:%m%d%H%M%S}", 11: f"{trace:06d}", 12: f"{now:%y%m%d%H%M%S}", 24: code}
        return Message("1804", fields, header=header)

    async def _test_when_idle(self, connection: _Connection) -> None:
        after = self.configuration.echo_after_seconds
        if after is None:
            return
        loop = asyncio.get_running_loop()
        while True:
            idle = loop.time() - connection.heard_at
            if idle < after:
                await asyncio.sleep(after - idle)
                continue
            if self.configuration.session.echo is None:
                if self._framing.keep_alive is None:
                    return
                connection.send(self._framing.keep_alive)
                await asyncio.sleep(after)
                continue
            try:
                await self._manage(connection, self.configuration.session.echo)
            except (NoAnswerError, LinkError) as error:
                await connection.close(f"echo test: {error}")
                return

    # What comes in

    def received(self, connection: _Connection, messages: list[Received]) -> None:
        """Take what a connection read."""
        counters = self._matcher.counters
        for raw, tpdu in messages:
            counters.received += 1
            if self._authentication is not None and not self._authentication.is_authentic(self.codec, raw):
                counters.unreadable += 1
                log.error("link.not_authentic", link=self.configuration.name, bytes=len(raw))
                continue
            try:
                message = self.codec.decode(raw)
            except Iso8583Error as error:
                self._unreadable(error)
                continue
            if is_response(message.mti):
                self._matcher.deliver(message)
            else:
                counters.requests_in += 1
                self._take_request(connection, message, tpdu)

    def _unreadable(self, error: Iso8583Error) -> None:
        self._matcher.counters.unreadable += 1
        matched = error.partial is not None and self._matcher.fail(error.partial, f"unreadable answer: {error.code}")
        log.error(
            "link.unreadable", link=self.configuration.name, code=error.code, field=error.field, offset=error.offset,
            matched=matched,
        )  # fmt: skip

    def _take_request(self, connection: _Connection, message: Message, tpdu: bytes) -> None:
        answer: Message | None = None
        if message.mti[1] == _NETWORK and is_request(message.mti):
            answer = respond(message, "00" if message.mti[0] == "0" else "800")
        elif self._answer is not None:
            answer = self._answer(message)
        if answer is None:
            log.warning("link.request_ignored", link=self.configuration.name, mti=message.mti)
            return
        try:
            connection.send(self._framing.frame(self._encoded(answer), reply_tpdu(tpdu)))
        except Iso8583Error as error:
            log.error("link.unanswerable", link=self.configuration.name, mti=message.mti, field=error.field)  # noqa: TRY400

    def _late(self, message: Message, seconds: float) -> None:
        log.warning(
            "link.late_answer", link=self.configuration.name, mti=message.mti, code=message.fields.get(39),
            late_seconds=round(seconds, 3),
        )  # fmt: skip
        self.on_late(message)

    def _unmatched(self, message: Message, why: str) -> None:
        log.warning("link.unmatched_answer", link=self.configuration.name, mti=message.mti, why=why)


def network_header(codec: Codec) -> str | None:
    """Return a header for messages that have none of their own: zeros, or None where the layout has no header."""
    header = codec.layout.header
    if header is None:
        return None
    return "0" * (header.bytes * (2 if header.value_form == "hex" else 1))


class _Connection(asyncio.Protocol):
    """One connection: takes the stream apart, writes what one turn of the loop has to send at once."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._loop = asyncio.get_running_loop()
        self._reader = link.configuration.framing.reader()
        self._transport: asyncio.Transport | None = None
        self._unsent: list[bytes] = []
        self._drained: asyncio.Future[None] | None = None
        self.ended = asyncio.Event()
        self.reason = ""
        self.writable = True
        self.heard_at = self._loop.time()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's transports derive from nothing of asyncio's

    def connection_lost(self, error: Exception | None) -> None:
        self.reason = self.reason or (str(error) if error else "the host closed the connection")
        self._transport = None
        self.resume_writing()
        self.ended.set()
        self._link._offline(self)  # noqa: SLF001 (the two classes are one mechanism)

    def data_received(self, data: bytes) -> None:
        self.heard_at = self._loop.time()
        try:
            messages = self._reader.feed(data)
        except FramingError as error:
            self.reason = f"the stream cannot be followed: {error}"
            log.error("link.stream_lost", link=self._link.configuration.name, code=error.code, reason=str(error))  # noqa: TRY400
            if self._transport is not None:
                self._transport.abort()
            return
        if self._reader.keep_alives and (echoes := self._reader.take_echoes()):
            self.send(echoes)
        if messages:
            self._link.received(self, messages)

    def pause_writing(self) -> None:
        self.writable = False
        self._drained = self._loop.create_future()

    def resume_writing(self) -> None:
        self.writable = True
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)
        self._drained = None

    async def drain(self, seconds: float) -> None:
        """Wait until the host takes bytes again. Raises NotSentError."""
        if self._drained is not None:
            try:
                async with asyncio.timeout(seconds):
                    await asyncio.shield(self._drained)
            except TimeoutError:
                raise NotSentError("the host does not take what is sent") from None

    def send(self, data: bytes) -> None:
        """Write soon, together with what else this turn of the loop sends."""
        if not self._unsent:
            self._loop.call_soon(self._flush)
        self._unsent.append(data)

    def _flush(self) -> None:
        unsent, self._unsent = self._unsent, []
        if self._transport is not None and unsent:
            self._transport.write(b"".join(unsent) if len(unsent) > 1 else unsent[0])

    async def close(self, reason: str = "closed") -> None:
        """Close; a peer that does not take its end of TLS is cut off after a second."""
        self.reason = self.reason or reason
        self._flush()
        transport = self._transport
        if transport is None:
            return
        transport.close()
        try:
            async with asyncio.timeout(_CLOSE_SECONDS):
                await self.ended.wait()
        except TimeoutError:
            transport.abort()
            with suppress(TimeoutError):
                async with asyncio.timeout(_CLOSE_SECONDS):
                    await self.ended.wait()
