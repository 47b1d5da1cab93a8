"""Several base URLs: over real servers for what the network does, over scripted answers for every order of failures."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shanraq.adapters.endpoints import CircuitOpenError, Endpoints, Policy
from shanraq.core.breaker import BreakerLimits, BreakerState
from shanraq.core.http import (
    Headers,
    HttpClient,
    HttpError,
    ReadTimeoutError,
    RefusedConnectionError,
    Request,
    ResetConnectionError,
    Response,
    Timings,
)
from tests.core.http_peers import Call, answering, serving

LIMITS = BreakerLimits(failures_in_a_row=2, open_seconds=5, longest_open_seconds=20)
BUSY = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def post(base_url: str, host: str) -> Request:
    return Request("POST", f"{base_url}/pay", (("X-Signed-Host", host),), b"{}")


def answer(status: int = 200) -> Response:
    return Response(status, Headers(()), b"", False, Timings(None, None, None, 0, 0), "127.0.0.1", "1.1")


class Scripted:
    """A client of the port's shape: what it was asked, and what it answers next."""

    def __init__(self, *told: Response | HttpError) -> None:
        self.told = list(told)
        self.urls: list[str] = []
        self.timeouts: list[float] = []

    async def send(self, request: Request, timeout_seconds: float) -> Response:
        self.urls.append(request.url)
        self.timeouts.append(timeout_seconds)
        told = self.told.pop(0) if self.told else answer()
        if isinstance(told, HttpError):
            raise told
        return told

    async def close(self) -> None:
        return


def refused() -> HttpError:
    return RefusedConnectionError("nobody there", sent=False)


def lost() -> HttpError:
    return ReadTimeoutError("no answer", sent=True)


async def test_takes_turns() -> None:
    client = Scripted()
    endpoints = Endpoints(client, ("http://a.example", "http://b.example"))
    for _ in range(4):
        await endpoints.send(post, 5)

    assert client.urls == ["http://a.example/pay", "http://b.example/pay"] * 2


async def test_goes_on_where_nothing_was_sent_with_a_request_made_for_the_next_host() -> None:
    client = HttpClient()
    async with serving(answering(OK)) as server:
        endpoints = Endpoints(client, ("http://127.0.0.1:1", f"http://127.0.0.1:{server.port}/api/"))
        response = await endpoints.send(post, 5)
        seen = server.requests
    await client.close()

    assert response.status == 200
    assert len(seen) == 1
    assert seen[0].startswith(b"POST /api/pay ")
    assert f"X-Signed-Host: 127.0.0.1:{server.port}".encode() in seen[0]


async def test_a_request_that_may_have_arrived_is_never_sent_to_another() -> None:
    async def hang_up(call: Call) -> None:
        call.hang_up()

    client = HttpClient()
    async with serving(hang_up) as first, serving(answering(OK)) as second:
        endpoints = Endpoints(client, (f"http://127.0.0.1:{first.port}", f"http://127.0.0.1:{second.port}"))
        with pytest.raises(ResetConnectionError) as raised:
            await endpoints.send(post, 5)
        seen = len(first.requests), len(second.requests)
    await client.close()

    assert raised.value.sent
    assert seen == (1, 0)


async def test_an_answer_is_an_answer_whatever_its_status() -> None:
    client = HttpClient()
    async with serving(answering(BUSY)) as first, serving(answering(OK)) as second:
        endpoints = Endpoints(client, (f"http://127.0.0.1:{first.port}", f"http://127.0.0.1:{second.port}"))
        response = await endpoints.send(post, 5)
        seen = len(second.requests)
    await client.close()

    assert (response.status, seen) == (503, 0)


async def test_an_endpoint_that_fails_is_left_alone_until_a_probe_answers() -> None:
    clock = Clock()
    client = Scripted(answer(503), answer(), answer(503), answer())
    endpoints = Endpoints(client, ("http://a.example", "http://b.example"), limits=LIMITS, clock=clock)
    for _ in range(4):
        await endpoints.send(post, 5)
    state = endpoints.snapshot()[0].state
    client.urls.clear()
    for _ in range(3):
        await endpoints.send(post, 5)
    left_alone = Counter(client.urls)
    clock.now += 5
    client.urls.clear()
    for _ in range(4):
        await endpoints.send(post, 5)

    assert state is BreakerState.OPEN
    assert left_alone == {"http://b.example/pay": 3}
    assert Counter(client.urls) == {"http://a.example/pay": 2, "http://b.example/pay": 2}
    assert endpoints.snapshot()[0].state is BreakerState.CLOSED


async def test_with_every_breaker_open_nothing_is_sent_and_that_is_certain() -> None:
    clock = Clock()
    client = Scripted(lost(), lost())
    endpoints = Endpoints(client, ("http://a.example",), limits=LIMITS, clock=clock)
    for _ in range(2):
        with pytest.raises(ReadTimeoutError):
            await endpoints.send(post, 5)
    available = endpoints.available
    with pytest.raises(CircuitOpenError) as raised:
        await endpoints.send(post, 5)
    clock.now += 5

    assert not available
    assert not raised.value.sent
    assert len(client.urls) == 2
    assert endpoints.available


async def test_the_deadline_holds_over_all_endpoints() -> None:
    clock = Clock()

    class Slow(Scripted):
        async def send(self, request: Request, timeout_seconds: float) -> Response:
            clock.now += 4
            return await Scripted.send(self, request, timeout_seconds)

    client = Slow(refused(), refused(), refused())
    endpoints = Endpoints(client, ("http://a.example", "http://b.example", "http://c.example"), clock=clock)
    with pytest.raises(RefusedConnectionError):
        await endpoints.send(post, 7)

    assert client.timeouts == [7, 3]


async def test_least_connections_asks_who_has_the_fewest() -> None:
    release = asyncio.Event()

    class Slow(Scripted):
        async def send(self, request: Request, timeout_seconds: float) -> Response:
            self.urls.append(request.url)
            if "//a." in request.url:
                await release.wait()
            return answer()

    client = Slow()
    urls = ("http://a.example", "http://b.example")
    endpoints = Endpoints(client, urls, policy=Policy.LEAST_CONNECTIONS)
    waiting = asyncio.ensure_future(endpoints.send(post, 5))
    await asyncio.sleep(0)
    for _ in range(3):
        await endpoints.send(post, 5)
    in_flight = [figures.in_flight for figures in endpoints.snapshot()]
    release.set()
    await waiting

    assert client.urls == ["http://a.example/pay"] + ["http://b.example/pay"] * 3
    assert in_flight == [1, 0]


async def test_a_cancelled_probe_does_not_shut_the_endpoint_for_ever() -> None:
    clock = Clock()

    class Stuck(Scripted):
        async def send(self, request: Request, timeout_seconds: float) -> Response:
            if self.told:
                return await Scripted.send(self, request, timeout_seconds)
            await asyncio.Event().wait()
            raise AssertionError

    endpoints = Endpoints(Stuck(lost(), lost()), ("http://a.example",), limits=LIMITS, clock=clock)
    for _ in range(2):
        with pytest.raises(ReadTimeoutError):
            await endpoints.send(post, 5)
    clock.now += 5
    probe = asyncio.ensure_future(endpoints.send(post, 5))
    await asyncio.sleep(0)
    probing = endpoints.available
    probe.cancel()
    await asyncio.gather(probe, return_exceptions=True)

    assert not probing
    assert endpoints.available
    assert endpoints.snapshot()[0].in_flight == 0


async def test_a_health_check_closes_a_breaker_so_that_no_payment_has_to_probe() -> None:
    clock = Clock()
    client = Scripted(lost(), lost())
    endpoints = Endpoints(client, ("http://a.example",), limits=LIMITS, clock=clock)
    for _ in range(2):
        with pytest.raises(ReadTimeoutError):
            await endpoints.send(post, 5)
    early = await endpoints.check(post, 5)
    clock.now += 5
    late = await endpoints.check(post, 5)

    assert (early, late) == (False, True)
    assert endpoints.snapshot()[0].state is BreakerState.CLOSED


@given(
    st.lists(st.sampled_from(["ok", "503", "unsent", "sent"]), max_size=60),
    st.integers(1, 4),
    st.sampled_from(list(Policy)),
    st.lists(st.floats(0, 10), max_size=30),
)
@settings(max_examples=150, deadline=None)
async def test_no_request_ever_arrives_twice(script: list[str], count: int, policy: Policy, waits: list[float]) -> None:
    """Whatever happens: after anything that may have arrived nothing more is sent, and no endpoint is asked twice."""
    made: dict[str, Callable[[], Response | HttpError]] = {
        "ok": answer, "503": lambda: answer(503), "unsent": refused, "sent": lost,
    }  # fmt: skip
    clock = Clock()
    client = Scripted(*(made[step]() for step in script))
    urls = [f"http://{number}.example" for number in range(count)]
    endpoints = Endpoints(client, urls, policy=policy, limits=LIMITS, clock=clock)
    asked = list(script)
    for wait in [*waits, 0.0]:
        clock.now += wait
        client.urls.clear()
        error: HttpError | None = None
        try:
            await endpoints.send(post, 5)
        except HttpError as raised:
            error = raised
        steps, asked = asked[: len(client.urls)], asked[len(client.urls) :]
        steps += ["ok"] * (len(client.urls) - len(steps))
        assert len(set(client.urls)) == len(client.urls)
        assert all(step == "unsent" for step in steps[:-1])
        if error is None:
            assert steps[-1] in ("ok", "503")
        elif error.sent:
            assert steps[-1] == "sent"
        else:
            assert all(step == "unsent" for step in steps)
    assert all(figures.in_flight == 0 for figures in endpoints.snapshot())
