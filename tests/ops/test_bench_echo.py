"""The benchmark of the link measures exchanges that really happen; how many, no test asserts."""

from __future__ import annotations

from shanraq.ops.bench.echo import measure_echo


async def test_a_link_and_an_acceptor_exchange_echo_tests() -> None:
    figures = await measure_echo(0.2)

    assert figures.per_second > figures.half_load_per_second > 0
    assert 0 < figures.p50_milliseconds <= figures.p99_milliseconds
