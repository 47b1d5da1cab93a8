"""One HTTP/1.1 connection: write a request, read its response, strictly (RFC 9112)."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable
from typing import Final, cast

import httptools
import msgspec

from shanraq.core.http.errors import (
    HttpError,
    ProtocolError,
    ReadTimeoutError,
    ResetConnectionError,
    ResponseTooLargeError,
    StaleConnectionError,
    tls_failure,
)
from shanraq.core.http.message import Headers, Response, Timings

HEAD_LIMIT_BYTES: Final = 65_536
FRAMING_LIMIT_BYTES: Final = 65_536
"""What chunk sizes, chunk extensions and trailers may add to a body on the wire."""


class Phases(msgspec.Struct, frozen=True):
    """How long it took to open a connection, in microseconds."""

    dns_us: int | None = None
    connect_us: int | None = None
    tls_us: int | None = None


_REUSED: Final = Phases()


class _StopParsingError(Exception):
    """Makes the parser stop: what comes next is of no interest."""


class Connection(asyncio.Protocol):
    """A connection that serves one exchange at a time.

    Once the head of the final response is here, its status stands: when the body then ends early, is too long or too
    late, the response is `truncated`. Only broken framing is still an error.
    """

    def __init__(self, remote_address: str, response_limit_bytes: int) -> None:
        self.remote_address = remote_address
        self.reusable = False
        self.idle_since = 0.0
        self.opened_at = 0.0
        self.phases = _REUSED
        self.on_lost: Callable[[Connection], None] | None = None
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._loop = self.lost.get_loop()
        self._limit = response_limit_bytes
        self._transport: asyncio.Transport | None = None
        self._parser: httptools.HttpResponseParser | None = httptools.HttpResponseParser(self)
        self._waiter: asyncio.Future[None] | None = None

    async def exchange(self, message: bytes, *, began: float, deadline: float) -> Response:
        """Write a request and return the response; `began` is on the performance counter, `deadline` on the loop's clock.

        Raises StaleConnectionError, ResetConnectionError, ReadTimeoutError, ResponseTooLargeError, ProtocolError, TlsError.
        """
        assert self._waiter is None, "one exchange at a time"
        self.reusable = False
        if self._transport is None or self._transport.is_closing():
            raise StaleConnectionError("the connection was closed before it was used", sent=False)
        phases, self.phases = self.phases, _REUSED
        self._reused = phases is _REUSED
        self._received = 0
        self._prefix = b""
        self._head_bytes = 0
        self._headers: list[tuple[bytes, bytes]] = []
        self._status = 0
        self._http_version = ""
        self._body: list[bytes] = []
        self._body_left = self._limit
        self._wire_left = self._limit + FRAMING_LIMIT_BYTES
        self._complete = self._truncated = False
        self._failure: HttpError | None = None
        self._waiter = self._loop.create_future()
        timer = self._loop.call_at(deadline, self._expire)
        try:
            self._transport.write(message)
            await self._waiter
            if self._failure is not None:
                raise self._failure
        finally:
            self._waiter = None
            timer.cancel()
            if not self.reusable:
                self.abort()
        return Response(
            self._status,
            Headers([(name.decode("latin-1"), value.decode("latin-1")) for name, value in self._headers]),
            b"".join(self._body),
            self._truncated,
            Timings(
                phases.dns_us,
                phases.connect_us,
                phases.tls_us,
                microseconds(self._first_byte_at - began),
                microseconds(time.perf_counter() - began),
            ),
            self.remote_address,
            self._http_version,
        )

    def abort(self) -> None:
        """Close the connection at once; `lost` is done when it is closed."""
        self.reusable = False
        if self._transport is not None:
            self._transport.abort()

    # What the transport reports.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        self._transport = cast(asyncio.Transport, transport)
        self.opened_at = self._loop.time()

    def data_received(self, data: bytes) -> None:
        """Read a piece of the response."""
        if self._waiter is None or self._waiter.done():
            # Nothing was asked: whatever this is, it must not be taken for the next response.
            self.abort()
            return
        if not self._received:
            self._first_byte_at = time.perf_counter()
            self._prefix = data[:5]
        elif self._received < 5:
            self._prefix = (self._prefix + data)[:5]
        self._received += len(data)
        if self._status:
            self._wire_left -= len(data)
        assert self._parser is not None, "an exchange under way has its parser"
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._failure = ProtocolError("the server wants to speak another protocol", sent=True)
        except httptools.HttpParserError as error:
            if not self._complete and not self._truncated and self._failure is None:
                self._failure = ProtocolError(f"not an HTTP response: {error}", sent=True)
            self._parser = None
        if self._complete or self._truncated or self._failure is not None:
            self._finish()
        elif not self._status and self._received > HEAD_LIMIT_BYTES:
            self._fail(_head_too_large())
        elif self._wire_left < 0:
            self._truncated = True
            self._finish()

    def connection_lost(self, exc: Exception | None) -> None:
        """End what was under way."""
        self._transport = None
        self._lose(exc)
        # The parser holds methods of this object: without this the two would live on until the next garbage collection.
        self._parser = None
        if not self.lost.done():
            self.lost.set_result(None)
        if self.on_lost is not None:
            self.on_lost(self)

    # What the parser finds. An interim response (1xx) is skipped, bytes behind the final one are not looked at.

    def on_message_begin(self) -> None:
        """Stop at bytes behind the final response."""
        if self._complete:
            raise _StopParsingError

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; trailers are left out."""
        if self._status:
            return
        self._head_bytes += len(name) + len(value) + 4
        if self._head_bytes > HEAD_LIMIT_BYTES:
            self._failure = _head_too_large()
            raise _StopParsingError
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Take the status, or skip an interim response."""
        parser = self._parser
        assert parser is not None, "the parser calls"
        status = parser.get_status_code()
        self._http_version = parser.get_http_version()
        # llhttp also takes RTSP/, ICE/ and any version for a response.
        if self._prefix != b"HTTP/" or self._http_version not in ("1.1", "1.0") or status < 100 or status == 101:
            self._failure = ProtocolError("not a response of HTTP/1.0 or HTTP/1.1 that was asked for", sent=True)
            raise _StopParsingError
        if status < 200:
            self._headers.clear()
        else:
            self._status = status

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body, up to the limit."""
        self._body.append(body[: self._body_left])
        self._body_left -= len(body)
        if self._body_left < 0:
            self._truncated = True
            raise _StopParsingError

    def on_message_complete(self) -> None:
        """End the exchange, unless this was an interim response."""
        assert self._parser is not None, "the parser calls"
        if self._status:
            self._complete = True
            self._keep_alive = self._parser.should_keep_alive()

    # How an exchange ends.

    def _finish(self) -> None:
        transport = self._transport
        self.reusable = (
            self._complete
            and self._keep_alive
            and not self._truncated
            and self._parser is not None
            and transport is not None
            and not transport.is_closing()
            # An answer that came before the request was written belongs to a connection that is out of step.
            and not transport.get_write_buffer_size()
        )
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _fail(self, error: HttpError) -> None:
        self._failure = error
        self._finish()

    def _expire(self) -> None:
        if self._status:
            self._truncated = True
            self._finish()
        else:
            self._fail(ReadTimeoutError("no response in time", sent=True))

    def _lose(self, error: Exception | None) -> None:
        self.reusable = False
        if self._waiter is None or self._waiter.done():
            return
        if self._status:
            self._truncated = error is not None or not self._ends_with_connection()
            self._finish()
        elif isinstance(error, ssl.SSLError):
            self._fail(tls_failure(error, sent=True))
        elif self._reused and not self._received:
            self._fail(StaleConnectionError("the reused connection ended before the response", sent=True))
        else:
            self._fail(ResetConnectionError("the connection ended before the response", sent=True))

    def _ends_with_connection(self) -> bool:
        """Tell whether the end of the connection is the end of the body (RFC 9112, 6.3)."""
        headers = {name.lower(): value.lower() for name, value in self._headers}
        return b"content-length" not in headers and not headers.get(b"transfer-encoding", b"").endswith(b"chunked")


def microseconds(seconds: float) -> int:
    """Return a span of the performance counter in whole microseconds."""
    return int(seconds * 1_000_000)


def _head_too_large() -> ResponseTooLargeError:
    return ResponseTooLargeError(f"the head of the response is longer than {HEAD_LIMIT_BYTES} bytes", sent=True)
