"""Token buckets, with a clock of our own and over HTTP."""

from __future__ import annotations

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shanraq.api.ratelimit import RateLimiter, key_of_address
from tests.api.example import SECRET, example_app
from tests.api.server import serve


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_burst_is_allowed_and_no_more() -> None:
    limiter = RateLimiter(1, 3, clock=Clock())

    allowances = [limiter.take("a") for _ in range(4)]

    assert [allowance.remaining for allowance in allowances] == [2, 1, 0, 0]
    assert [allowance.retry_after_seconds for allowance in allowances] == [0, 0, 0, 1]
    assert allowances[-1].reset_seconds == 3


def test_tokens_come_back_with_time() -> None:
    clock = Clock()
    limiter = RateLimiter(0.5, 1, clock=clock)
    limiter.take("a")

    refused = limiter.take("a")
    clock.now += refused.retry_after_seconds
    allowed = limiter.take("a")

    assert refused.retry_after_seconds == 2
    assert allowed.retry_after_seconds == 0


def test_a_long_rest_saves_up_no_more_than_a_burst() -> None:
    clock = Clock()
    limiter = RateLimiter(10, 2, clock=clock)
    limiter.take("a")
    clock.now += 3600

    allowances = [limiter.take("a") for _ in range(3)]

    assert [allowance.retry_after_seconds for allowance in allowances] == [0, 0, 1]


def test_keys_do_not_share() -> None:
    limiter = RateLimiter(1, 1, clock=Clock())
    limiter.take("a")

    assert limiter.take("b").retry_after_seconds == 0


def test_the_table_is_bounded_and_forgets_the_longest_unused() -> None:
    limiter = RateLimiter(1, 1, max_buckets=2, clock=Clock())
    limiter.take("a")
    limiter.take("b")
    limiter.take("a")
    limiter.take("c")

    remembered, forgotten = limiter.take("a"), limiter.take("b")

    assert len(limiter) == 2
    assert remembered.retry_after_seconds == 1
    assert forgotten.retry_after_seconds == 0


@given(
    st.lists(st.floats(0, 5), min_size=1, max_size=60),
    st.integers(1, 10),
    st.floats(0.1, 20),
)
def test_no_more_than_burst_and_rate_get_through(pauses: list[float], burst: int, per_second: float) -> None:
    clock = Clock()
    limiter = RateLimiter(per_second, burst, clock=clock)

    allowed = 0
    for pause in pauses:
        clock.now += pause
        allowed += limiter.take("a").retry_after_seconds == 0

    assert allowed <= burst + sum(pauses[1:]) * per_second + 1e-6


@pytest.mark.parametrize("wrong", [(0, 1), (1, 0), (-1, 1)])
def test_a_limit_that_allows_nothing_is_refused(wrong: tuple[float, int]) -> None:
    with pytest.raises(ValueError, match="rate limit"):
        RateLimiter(*wrong)


def test_an_ipv6_client_is_its_network() -> None:
    assert key_of_address("2001:db8:1:2::1") == key_of_address("2001:db8:1:2:ffff::9%eth0")
    assert key_of_address("2001:db8:1:2::1") != key_of_address("2001:db8:1:3::1")
    assert key_of_address("::ffff:192.0.2.1") == key_of_address("192.0.2.1")
    assert key_of_address("192.0.2.1") != key_of_address("192.0.2.2")
    assert key_of_address(None) == "address:unknown"
    assert key_of_address("::nonsense") == "address:::nonsense"


async def test_a_credential_that_asks_too_often_is_told_when_to_come_back() -> None:
    app = example_app(credential_limit=RateLimiter(1, 2, clock=Clock()))
    async with serve(app) as url, httpx.AsyncClient(base_url=url, auth=("key_1", SECRET)) as client:
        answers = [await client.get("/v1/notes") for _ in range(3)]
        other = await client.get("/v1/notes", auth=("key_2", SECRET))

    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert answers[0].headers["ratelimit-limit"] == "2"
    assert answers[0].headers["ratelimit-remaining"] == "1"
    assert answers[2].headers["retry-after"] == "1"
    assert answers[2].headers["ratelimit-reset"] == "2"
    assert answers[2].json()["code"] == "too_many_requests"
    assert other.status_code == 200


async def test_guessing_credentials_is_limited_by_address_and_hurts_nobody_with_good_ones() -> None:
    app = example_app(address_limit=RateLimiter(1, 2, clock=Clock()))
    async with serve(app) as url, httpx.AsyncClient(base_url=url) as client:
        guesses = [await client.get("/v1/notes", auth=("key_1", f"guess{i}")) for i in range(3)]
        good = await client.get("/v1/notes", auth=("key_1", SECRET))

    assert [guess.status_code for guess in guesses] == [401, 401, 429]
    assert good.status_code == 200


async def test_public_routes_are_limited_by_address_and_health_is_not() -> None:
    app = example_app(address_limit=RateLimiter(1, 1, clock=Clock()))
    async with serve(app) as url, httpx.AsyncClient(base_url=url) as client:
        explained = [(await client.get("/problems")).status_code for _ in range(2)]
        health = [(await client.get("/health/live")).status_code for _ in range(3)]

    assert explained == [200, 429]
    assert health == [200, 200, 200]
