"""Several base URLs of one payment system: which one is asked, which one is left alone, and what may be asked again.

    endpoints = Endpoints(client, ("https://a.example", "https://b.example"))
    response = await endpoints.send(lambda base_url, host: signed(base_url, host), timeout_seconds=15)

The safety rule: a request of which certainly not one byte was written (HttpError.sent is False: no address, connection refused,
TLS failed) goes to the next endpoint, within the same deadline. One that may have arrived is never sent again, whatever came
of it; an answer of any status is an answer.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol, runtime_checkable

import structlog

from shanraq.core.breaker import Breaker, BreakerLimits, BreakerState, Clock, Permit
from shanraq.core.http import ClientClosedError, HttpError, Request, Response, parse_url

log = structlog.get_logger(__name__)

Make = Callable[[str, str], Request]
"""Makes the request for an endpoint: its base URL without a slash at the end, and the value of its Host header."""

_TROUBLED: Final = frozenset({502, 503, 504})
"""Statuses that speak of the endpoint. Others, 500 and 429 among them, may speak of one request or one merchant."""


class Client(Protocol):
    """What sends: core.http.HttpClient."""

    async def send(self, request: Request, timeout_seconds: float) -> Response:
        """Send a request; raises HttpError."""

    async def close(self) -> None:
        """Close the connections."""


class CircuitOpenError(HttpError, error_code="circuit_open"):
    """Every endpoint has failed so often lately that none is asked."""


class Policy(StrEnum):
    """Which of the endpoints that may be asked is asked first."""

    ROUND_ROBIN = "round_robin"
    LEAST_CONNECTIONS = "least_connections"


@dataclass(frozen=True, slots=True)
class EndpointFigures:
    """One endpoint for metrics: counts since the start, and now."""

    base_url: str
    state: BreakerState
    in_flight: int
    requests: int
    failures: int
    times_opened: int


@runtime_checkable
class Pooled(Protocol):
    """An adapter whose payment system has endpoints to be measured."""

    endpoints: Endpoints


@dataclass(slots=True)
class _Endpoint:
    base_url: str
    host: str
    breaker: Breaker
    in_flight: int = 0
    requests: int = 0
    failures: int = 0


class Endpoints:
    """A pool of base URLs behind one client, each with a circuit breaker.

    `clock` gives seconds and never goes back. Raises core.http.InvalidRequestError for a base URL that is none.
    """

    def __init__(
        self,
        client: Client,
        base_urls: Sequence[str],
        *,
        policy: Policy = Policy.ROUND_ROBIN,
        limits: BreakerLimits | None = None,
        clock: Clock = time.monotonic,
    ) -> None:
        assert base_urls and len(set(base_urls)) == len(base_urls)
        self._client = client
        self._policy = policy
        self._clock = clock
        self._endpoints = [
            _Endpoint(url.rstrip("/"), parse_url(url).authority, Breaker(clock, limits)) for url in base_urls
        ]
        self._next = 0

    def __repr__(self) -> str:
        return f"Endpoints({', '.join(endpoint.base_url for endpoint in self._endpoints)})"

    @property
    def available(self) -> bool:
        """Tell whether a request would be sent now: False while every breaker is open."""
        return any(endpoint.breaker.lets_through for endpoint in self._endpoints)

    async def send(self, make: Make, timeout_seconds: float) -> Response:
        """Send the request that `make` makes for an endpoint, and to the next one as long as certainly nothing was sent.

        `timeout_seconds` bounds all of it. Raises HttpError, with `sent` False also when no endpoint was asked
        (CircuitOpenError), and what `make` raises.
        """
        deadline = self._clock() + timeout_seconds
        failed: HttpError | None = None
        for endpoint in self._in_turn():
            left = deadline - self._clock()
            if left <= 0:
                break
            permit = endpoint.breaker.enter()
            if permit is None:
                continue
            try:
                return await self._ask(endpoint, permit, make, left)
            except HttpError as error:
                if error.sent or isinstance(error, ClientClosedError):
                    raise
                failed = error
        raise failed or CircuitOpenError("no endpoint is asked at the moment", sent=False)

    async def check(
        self, make: Make, timeout_seconds: float, *, good: Callable[[Response], bool] = lambda response: True
    ) -> bool:
        """Ask every endpoint whose breaker lets a request through for its health, and tell whether a good one answered.

        `make` must make a request that changes nothing. An open breaker whose time is over is closed by it without a payment
        having to be the probe.
        """
        answers = await asyncio.gather(
            *(self._healthy(endpoint, make, timeout_seconds, good) for endpoint in self._endpoints)
        )
        return any(answers)

    def snapshot(self) -> tuple[EndpointFigures, ...]:
        """Return the figures of every endpoint."""
        return tuple(
            EndpointFigures(
                endpoint.base_url,
                endpoint.breaker.state,
                endpoint.in_flight,
                endpoint.requests,
                endpoint.failures,
                endpoint.breaker.times_opened,
            )
            for endpoint in self._endpoints
        )

    async def close(self) -> None:
        """Close the client."""
        await self._client.close()

    async def _healthy(
        self, endpoint: _Endpoint, make: Make, timeout_seconds: float, good: Callable[[Response], bool]
    ) -> bool:
        permit = endpoint.breaker.enter()
        if permit is None:
            return False
        try:
            return good(await self._ask(endpoint, permit, make, timeout_seconds))
        except HttpError:
            return False

    def _in_turn(self) -> list[_Endpoint]:
        """Return every endpoint once, in the order of the policy."""
        start, self._next = self._next, (self._next + 1) % len(self._endpoints)
        turn = self._endpoints[start:] + self._endpoints[:start]
        if self._policy is Policy.LEAST_CONNECTIONS:
            # Sorting is stable: of equals, the one whose turn it is.
            turn.sort(key=lambda endpoint: endpoint.in_flight)
        return turn

    async def _ask(self, endpoint: _Endpoint, permit: Permit, make: Make, timeout_seconds: float) -> Response:
        ok: bool | None = None
        endpoint.in_flight += 1
        try:
            request = make(endpoint.base_url, endpoint.host)
            endpoint.requests += 1
            response = await self._client.send(request, timeout_seconds)
            ok = response.status not in _TROUBLED and not response.truncated
            return response
        except ClientClosedError:
            raise
        except HttpError:
            ok = False
            raise
        finally:
            endpoint.in_flight -= 1
            endpoint.failures += ok is False
            before = endpoint.breaker.state
            endpoint.breaker.leave(permit, ok=ok)
            after = endpoint.breaker.state
            if after is not before:
                log.warning("endpoint.circuit", endpoint=endpoint.base_url, before=before, after=after)
