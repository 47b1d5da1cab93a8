"""The connections of one origin: the one used last is used next, a bounded number at once, waiting in order."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import Final

from shanraq.core.http.connect import Opener
from shanraq.core.http.connection import Connection
from shanraq.core.http.errors import ClientClosedError, ConnectTimeoutError
from shanraq.core.http.message import Target

WAITERS_LIMIT: Final = 1024


@dataclass(slots=True)
class Limits:
    """The limits of a client's pools; `idle` counts the idle connections of all of them."""

    connections_per_origin: int
    idle_connections: int
    idle_seconds: float
    max_age_seconds: float
    idle: int = 0


class Pool:
    """Lends the connections of one origin.

    A slot is the right to have one connection. Whoever holds a slot owns it until `give_back`, which passes it, with the
    connection if that is still good, to the first who waits.
    """

    def __init__(self, target: Target, opener: Opener, limits: Limits) -> None:
        self._target = target
        self._opener = opener
        self._limits = limits
        self._slots = 0
        self._idle: list[Connection] = []
        self._waiters: deque[asyncio.Future[Connection | None]] = deque()
        self._connections: set[Connection] = set()
        self._closed = False

    @property
    def unused(self) -> bool:
        """Tell whether nobody holds or wants a connection."""
        return not self._slots and not self._waiters

    async def take(self, deadline: float, *, fresh: bool = False) -> Connection:
        """Lend a connection, a new one if `fresh`; give it back whatever happens.

        Raises ConnectTimeoutError when none is free before `deadline`, and what opening a connection raises.
        """
        connection = await self._claim(deadline)
        if connection is not None and not fresh:
            return connection
        if connection is not None:
            connection.abort()
        try:
            connection = await self._opener.open(self._target, deadline)
        except BaseException:
            self._pass_on(None)
            raise
        connection.on_lost = self._forget
        self._connections.add(connection)
        if self._closed:
            self.give_back(connection)
            raise ClientClosedError("the client was closed", sent=False)
        return connection

    def give_back(self, connection: Connection) -> None:
        """End the loan of a connection."""
        now = asyncio.get_running_loop().time()
        if connection.reusable and not self._closed and now - connection.opened_at < self._limits.max_age_seconds:
            connection.idle_since = now
            self._pass_on(connection)
        else:
            connection.abort()
            self._pass_on(None)

    def expire(self, now: float) -> None:
        """Close the connections that have been idle for too long."""
        while self._idle and not self._is_fresh(self._idle[0], now):
            self._discard(self._idle[0])

    def close(self) -> list[asyncio.Future[None]]:
        """Close every connection; return what is done when they are closed."""
        self._closed = True
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_exception(ClientClosedError("the client was closed", sent=False))
        for connection in list(self._connections):
            connection.abort()
        return [connection.lost for connection in self._connections]

    async def _claim(self, deadline: float) -> Connection | None:
        """Take a slot, with the idle connection that holds it if there is one."""
        if self._closed:
            raise ClientClosedError("the client was closed", sent=False)
        loop = asyncio.get_running_loop()
        while self._idle:
            connection = self._idle[-1]
            if self._is_fresh(connection, loop.time()):
                self._idle.pop()
                self._limits.idle -= 1
                return connection
            self._discard(connection)
        if self._slots < self._limits.connections_per_origin:
            self._slots += 1
            return None
        if len(self._waiters) >= WAITERS_LIMIT:
            raise ConnectTimeoutError("too many requests wait for a connection", sent=False)
        waiter: asyncio.Future[Connection | None] = loop.create_future()
        self._waiters.append(waiter)
        try:
            async with asyncio.timeout_at(deadline):
                return await waiter
        except BaseException as error:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self._pass_on(waiter.result())
            if isinstance(error, TimeoutError):
                raise ConnectTimeoutError("no connection was free in time", sent=False) from error
            raise

    def _pass_on(self, connection: Connection | None) -> None:
        """Give a slot to the first who waits; else keep its connection as idle, or let the slot go."""
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(connection)
                return
        if connection is not None and self._limits.idle < self._limits.idle_connections:
            self._idle.append(connection)
            self._limits.idle += 1
            return
        if connection is not None:
            connection.abort()
        self._slots -= 1

    def _is_fresh(self, connection: Connection, now: float) -> bool:
        return (
            now - connection.idle_since < self._limits.idle_seconds
            and now - connection.opened_at < self._limits.max_age_seconds
        )

    def _discard(self, connection: Connection) -> None:
        self._idle.remove(connection)
        self._limits.idle -= 1
        self._slots -= 1
        connection.abort()

    def _forget(self, connection: Connection) -> None:
        self._connections.discard(connection)
        if connection in self._idle:
            self._discard(connection)
