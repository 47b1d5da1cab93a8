"""The benchmark of the codec measures what it says; how fast it is, no test asserts."""

from __future__ import annotations

import io
import sys

import pytest
from rich.console import Console

from shanraq.ops.bench.iso8583 import LAYOUT, MISSING, YARDSTICK, bench_iso8583, kinds, render
from shanraq.standards import iso8583


def test_messages_have_the_shape_that_is_claimed() -> None:
    codec = iso8583.codec(LAYOUT)

    shapes = [{(len(message.fields), len(codec.encode(message))) for message in kind.messages} for kind in kinds()]

    assert shapes == [{(22, 342)}, {(3, 39)}, {(22, 248)}]
    for kind in kinds():
        for message in kind.messages:
            assert codec.decode(codec.encode(message)).fields == message.fields


def test_every_engine_is_measured_beside_the_yardstick() -> None:
    figures = bench_iso8583(seconds=0.01, rounds=1, messages=200)
    output = io.StringIO()
    render(figures, Console(file=output, width=200))

    assert set(figures["codec"]) == {kind.name for kind in kinds()}
    for directions in figures["codec"].values():
        assert set(directions["decode"]) == set(directions["encode"]) == {YARDSTICK, *iso8583.engines()}
        assert set(directions["peek"]) == set(iso8583.engines())
    assert set(figures["memory"]) == set(iso8583.engines())
    assert all(name in output.getvalue() for name in (YARDSTICK, *iso8583.engines()))


def test_without_the_yardstick_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "iso8583", None)
    figures = bench_iso8583(seconds=0.01, rounds=1, messages=20)
    output = io.StringIO()
    render(figures, Console(file=output, width=200))

    assert not figures["compared"]
    assert MISSING in output.getvalue()
