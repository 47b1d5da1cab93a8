"""Benchmarks: each prints ratios of two things measured in one run; those of the database on a server of its own."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import asdict
from typing import Any

from rich.console import Console

from shanraq.ops.bench.api import bench_api
from shanraq.ops.bench.cards import SDK_PYTHON, bench_cards
from shanraq.ops.bench.echo import measure_echo
from shanraq.ops.bench.iso8583 import bench_iso8583
from shanraq.ops.bench.iso8583 import render as render_codec
from shanraq.ops.bench.iso20022 import bench_iso20022
from shanraq.ops.bench.iso20022 import render as render_messages
from shanraq.ops.bench.ledger import bench_ledger, render
from shanraq.ops.bench.scratch import scratch

Benchmark = Callable[[float, int | None, Console], Coroutine[Any, Any, dict[str, Any]]]


async def _ledger(seconds: float, rounds: int | None, console: Console) -> dict[str, Any]:
    async with scratch() as place:
        figures = await bench_ledger(
            place.dsn,
            place.dsn,
            place.pgbench,
            seconds=seconds,
            rounds=rounds or 3,
            report=lambda step: console.print(f"[dim]{step}[/]"),
        )
    console.print(render(figures))
    return figures


async def _api(seconds: float, rounds: int | None, console: Console) -> dict[str, Any]:
    async with scratch() as place:
        figures = await bench_api(
            place, seconds=seconds, rounds=rounds or 3, report=lambda step: console.print(f"[dim]{step}[/]")
        )
    base = figures["pgbench"]["transactions_per_second"]
    console.print(f"{'pgbench TPC-B, 16 clients':40} {base:>7} transactions/s")
    for name, case in figures["api"].items():
        console.print(
            f"{name:40} {case['requests_per_second']:>7} requests/s {case['times_pgbench']:>5} x pgbench,"
            f" p50 {case['p50_milliseconds']} ms, p99 {case['p99_milliseconds']} ms"
        )
    return figures


async def _iso8583(seconds: float, rounds: int | None, console: Console) -> dict[str, Any]:
    figures = bench_iso8583(seconds=seconds, rounds=rounds or 9, report=lambda step: console.print(f"[dim]{step}[/]"))
    render_codec(figures, console)
    console.print("[dim]echo tests over loopback TCP[/]")
    echo = await measure_echo(seconds)
    console.print(
        f"echo tests, link and acceptor on one core: {echo.per_second:,.0f} exchanges/s; at {echo.half_load_per_second:,.0f}/s "
        f"p50 {echo.p50_milliseconds:.2f} ms, p99 {echo.p99_milliseconds:.2f} ms"
    )
    return {**figures, "echo": asdict(echo)}


async def _iso20022(_: float, rounds: int | None, console: Console) -> dict[str, Any]:
    figures = bench_iso20022(rounds=rounds or 3, report=lambda step: console.print(f"[dim]{step}[/]"))
    render_messages(figures, console)
    return figures


async def _cards(seconds: float, rounds: int | None, console: Console) -> dict[str, Any]:
    async with scratch() as place:
        figures = await bench_cards(
            place, seconds=seconds, rounds=rounds or 3, report=lambda step: console.print(f"[dim]{step}[/]")
        )
    adapter = figures["adapter"]
    console.print(f"adapter: {adapter['cpu_milliseconds_a_call']} ms CPU an authorisation (JWT HS256)")
    if sdk := figures.get("sdk"):
        console.print(
            f"official SDK: {sdk['cpu_milliseconds_a_call']} ms, {sdk['times_adapter']} x the adapter; with one client object"
            f" for all calls {sdk['cpu_milliseconds_a_call_one_client']} ms, {sdk['times_adapter_one_client']} x"
        )
    else:
        console.print(f"[dim]{SDK_PYTHON} names no interpreter with the official SDK: not compared[/]")
    for name, simulator in (("Visa", figures["simulator"]), ("Mastercard", figures["mastercard_simulator"])):
        console.print(
            f"{name} simulator: {simulator['verified_requests_a_cpu_second']} verified requests a CPU second"
            f" ({simulator['verified_requests_a_second']} a second beside the load)"
        )
    for name, case in figures["platform"].items():
        console.print(
            f"authorise + capture, {name}: {case['authorised_and_captured_a_second']} a second,"
            f" p50 {case['p50_milliseconds_a_pair']} ms, p99 {case['p99_milliseconds_a_pair']} ms"
        )
    return figures


BENCHMARKS: dict[str, Benchmark] = {
    "ledger": _ledger, "api": _api, "cards": _cards, "iso8583": _iso8583, "iso20022": _iso20022,
}  # fmt: skip
