"""The client: find a connection, send, and decide whether a dead one may be replaced."""

from __future__ import annotations

import asyncio
import ssl
import time
from typing import Final

from shanraq.core.db import assert_no_transaction
from shanraq.core.http.connect import Connector, Opener, Resolver, SystemResolver, TcpConnector
from shanraq.core.http.errors import ClientClosedError, HttpError, StaleConnectionError
from shanraq.core.http.message import Request, Response, Target, encode, parse_url
from shanraq.core.http.pool import Limits, Pool

_CLOSE_SECONDS: Final = 1.0


class HttpClient:
    """An HTTP/1.1 client with a pool of connections for each origin, bound to the loop that first uses it.

    `tls` decides whom to trust and which client certificate to show (default: the system's authorities, TLS 1.2 and up);
    one client has one identity. `resolver` decides where a name may lead. Connections are reused for `max_age_seconds` at
    most, so that changes of DNS are followed; choose `idle_seconds` shorter than the server keeps them.
    """

    def __init__(
        self,
        *,
        tls: ssl.SSLContext | None = None,
        resolver: Resolver | None = None,
        connector: Connector | None = None,
        connections_per_origin: int = 32,
        idle_connections: int = 1024,
        idle_seconds: float = 60.0,
        max_age_seconds: float = 300.0,
        response_limit_bytes: int = 65_536,
        user_agent: str = "Shanraq",
    ) -> None:
        assert connections_per_origin > 0 and response_limit_bytes > 0
        self._opener = Opener(
            tls or default_tls(), resolver or SystemResolver(), connector or TcpConnector(), response_limit_bytes
        )
        self._limits = Limits(connections_per_origin, idle_connections, idle_seconds, max_age_seconds)
        self._user_agent = user_agent
        self._pools: dict[tuple[str, str, int], Pool] = {}
        self._sweep_timer: asyncio.TimerHandle | None = None
        self._closed = False

    async def send(self, request: Request, timeout_seconds: float) -> Response:
        """Send a request and return the answer, whatever its status.

        `timeout_seconds` bounds everything, waiting for a connection included; within it DNS has 3 seconds, connecting 5
        and TLS 5. Raises HttpError when there is no answer, InvalidRequestError when the request cannot be written.
        Cancelling closes the connection.
        """
        assert_no_transaction()
        assert timeout_seconds > 0
        began = time.perf_counter()
        deadline = asyncio.get_running_loop().time() + timeout_seconds
        target = parse_url(request.url)
        message = encode(request, target, self._user_agent)
        pool = self._pool(target)
        try:
            return await _exchange(pool, message, began, deadline, fresh=False)
        except StaleConnectionError as error:
            if error.sent and not request.replay_on_stale:
                raise
            sent = error.sent
        try:
            return await _exchange(pool, message, began, deadline, fresh=True)
        except HttpError as error:
            error.sent |= sent
            raise

    async def close(self) -> None:
        """Close every connection; requests under way fail with ResetConnectionError or ClientClosedError."""
        self._closed = True
        if self._sweep_timer is not None:
            self._sweep_timer.cancel()
        lost = [connection for pool in self._pools.values() for connection in pool.close()]
        self._pools.clear()
        if lost:
            await asyncio.wait(lost, timeout=_CLOSE_SECONDS)

    def _pool(self, target: Target) -> Pool:
        if self._closed:
            raise ClientClosedError("the client was closed", sent=False)
        pool = self._pools.get(target.origin)
        if pool is None:
            pool = self._pools[target.origin] = Pool(target, self._opener, self._limits)
            if self._sweep_timer is None:
                self._plan_sweep()
        return pool

    def _plan_sweep(self) -> None:
        self._sweep_timer = asyncio.get_running_loop().call_later(self._limits.idle_seconds / 2, self._sweep)

    def _sweep(self) -> None:
        """Close connections that were idle for too long and forget origins that nobody uses, from time to time."""
        self._sweep_timer = None
        now = asyncio.get_running_loop().time()
        for origin, pool in list(self._pools.items()):
            pool.expire(now)
            if pool.unused:
                del self._pools[origin]
        if self._pools:
            self._plan_sweep()


def default_tls() -> ssl.SSLContext:
    """Return a context that trusts the system's authorities, checks names, and speaks TLS 1.2 and up."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context


async def _exchange(pool: Pool, message: bytes, began: float, deadline: float, *, fresh: bool) -> Response:
    connection = await pool.take(deadline, fresh=fresh)
    try:
        return await connection.exchange(message, began=began, deadline=deadline)
    except HttpError as error:
        error.remote_address = connection.remote_address
        raise
    finally:
        pool.give_back(connection)
