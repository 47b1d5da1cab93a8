"""Open connections: names to addresses, addresses to sockets, sockets to TLS, each with a deadline of its own."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import socket
import ssl
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Protocol, TypeVar

from shanraq.core.http.connection import Connection, Phases, microseconds
from shanraq.core.http.errors import (
    ConnectTimeoutError,
    DnsError,
    HttpError,
    RefusedConnectionError,
    ResetConnectionError,
    SsrfBlockedError,
    TlsError,
    UnreachableError,
    tls_failure,
)
from shanraq.core.http.message import Target

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

DNS_SECONDS: Final = 3.0
DNS_THREADS: Final = 32
CONNECT_SECONDS: Final = 5.0
TLS_SECONDS: Final = 5.0
ADDRESSES_TRIED: Final = 4

T = TypeVar("T")


class Resolver(Protocol):
    """Where addresses come from. It is asked once for each new connection, and only its answers are connected to."""

    async def resolve(self, host: str, port: int) -> Sequence[Address]:
        """Return the addresses of a name or address literal, best first.

        OSError counts as `dns_error`, HttpError is passed on.
        """


class Connector(Protocol):
    """How a TCP connection is opened."""

    async def connect(self, address: Address, port: int) -> tuple[socket.socket, Address]:
        """Connect to this very address; return the non-blocking socket and the peer address it reports."""


class SystemResolver:
    """Resolve names as the operating system does, in threads of its own.

    A lookup cannot be interrupted: it may go on long after nobody waits for it. So a name is looked up by one thread at a
    time, whose answer all who wait for it share, and slow names do not hold up other work of the process.
    """

    def __init__(self, lookup: Callable[..., list[Any]] = socket.getaddrinfo, *, threads: int = DNS_THREADS) -> None:
        self._lookup = lookup
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="dns")
        self._under_way: dict[str, asyncio.Future[list[Any]]] = {}

    async def resolve(self, host: str, port: int) -> Sequence[Address]:
        """Return the addresses in the order of the system's preference (RFC 6724)."""
        with contextlib.suppress(ValueError):
            return [ipaddress.ip_address(host)]
        lookup = self._under_way.get(host)
        if lookup is None:
            look_up = partial(self._lookup, host, None, type=socket.SOCK_STREAM)
            lookup = asyncio.get_running_loop().run_in_executor(self._threads, look_up)
            self._under_way[host] = lookup
            lookup.add_done_callback(lambda _: self._under_way.pop(host))
        found = await asyncio.shield(lookup)
        return list(dict.fromkeys(ipaddress.ip_address(sockaddr[0]) for *_, sockaddr in found))


class TcpConnector:
    """Open TCP connections directly: no proxy, no second look at the name."""

    async def connect(self, address: Address, port: int) -> tuple[socket.socket, Address]:
        """Connect to this very address."""
        connected = socket.socket(socket.AF_INET if address.version == 4 else socket.AF_INET6, socket.SOCK_STREAM)
        try:
            connected.setblocking(False)
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await asyncio.get_running_loop().sock_connect(connected, (str(address), port))
            return connected, ipaddress.ip_address(connected.getpeername()[0])
        except BaseException:
            connected.close()
            raise


@dataclass(frozen=True, slots=True)
class Opener:
    """Opens connections to an origin with the parts and limits of one client."""

    tls: ssl.SSLContext
    resolver: Resolver
    connector: Connector
    response_limit_bytes: int

    async def open(self, target: Target, deadline: float) -> Connection:
        """Resolve, connect and shake hands before `deadline` on the loop's clock; raise HttpError with `sent` False."""
        began = time.perf_counter()
        addresses = await self._resolve(target, deadline)
        resolved = time.perf_counter()
        connected, address = await self._connect(addresses, target.port, deadline)
        joined = time.perf_counter()
        connection = Connection(str(address), self.response_limit_bytes)
        try:
            await self._speak(connection, connected, target, deadline)
        except HttpError as error:
            error.remote_address = str(address)
            raise
        ready = time.perf_counter()
        tls_us = microseconds(ready - joined) if target.scheme == "https" else None
        connection.phases = Phases(microseconds(resolved - began), microseconds(joined - resolved), tls_us)
        return connection

    async def _resolve(self, target: Target, deadline: float) -> Sequence[Address]:
        try:
            addresses = await _within(DNS_SECONDS, deadline, self.resolver.resolve(target.name, target.port))
        except TimeoutError as error:
            raise DnsError("the name was not resolved in time", sent=False) from error
        except (OSError, UnicodeError) as error:
            raise DnsError("the name cannot be resolved", sent=False) from error
        if not addresses:
            raise DnsError("the name has no address", sent=False)
        return addresses[:ADDRESSES_TRIED]

    async def _connect(self, addresses: Sequence[Address], port: int, deadline: float) -> tuple[socket.socket, Address]:
        loop = asyncio.get_running_loop()
        deadline = min(deadline, loop.time() + CONNECT_SECONDS)
        failure: HttpError | None = None
        for tried, address in enumerate(addresses):
            # The time left is shared, so that one dead address does not use up that of the others.
            share_seconds = max(deadline - loop.time(), 0.0) / (len(addresses) - tried)
            try:
                connected, peer = await _within(share_seconds, deadline, self.connector.connect(address, port))
            except OSError as error:
                failure = _connect_failure(error)
                failure.__cause__ = error
                failure.remote_address = str(address)
                continue
            if unmapped(peer) != unmapped(address):
                connected.close()
                raise SsrfBlockedError("the peer is not the address that was chosen", sent=False)
            return connected, address
        assert failure is not None, "there is at least one address"
        raise failure

    async def _speak(self, connection: Connection, connected: socket.socket, target: Target, deadline: float) -> None:
        loop = asyncio.get_running_loop()
        tls, name = (self.tls, target.name) if target.scheme == "https" else (None, None)
        try:
            await _within(
                TLS_SECONDS,
                deadline,
                loop.create_connection(lambda: connection, sock=connected, ssl=tls, server_hostname=name),
            )
        except TimeoutError as error:
            raise TlsError("the TLS handshake did not finish in time", sent=False) from error
        except ssl.SSLError as error:
            raise tls_failure(error, sent=False) from error
        except OSError as error:
            raise ResetConnectionError("the connection ended during the TLS handshake", sent=False) from error


def unmapped(address: Address) -> Address:
    """Return the address without its scope, and an IPv4-mapped IPv6 address (RFC 4291, 2.5.5.2) as IPv4."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    return address.ipv4_mapped or ipaddress.IPv6Address(int(address))


async def _within(seconds: float, deadline: float, work: Awaitable[T]) -> T:
    """Await `work` for at most `seconds`, and not beyond `deadline`; raise TimeoutError."""
    async with asyncio.timeout_at(min(deadline, asyncio.get_running_loop().time() + seconds)):
        return await work


def _connect_failure(error: OSError) -> HttpError:
    match error:
        case ConnectionRefusedError():
            return RefusedConnectionError("nothing listens at the address", sent=False)
        case TimeoutError():
            return ConnectTimeoutError("the address did not answer in time", sent=False)
        case ConnectionResetError() | ConnectionAbortedError():
            return ResetConnectionError("the connection was reset while it was opened", sent=False)
        case _:
            name = errno.errorcode.get(error.errno or 0, "unknown")
            return UnreachableError(f"the address cannot be reached ({name})", sent=False)
