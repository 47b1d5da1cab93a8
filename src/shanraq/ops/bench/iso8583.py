"""Measure the ISO 8583 codec against pyiso8583 in one run, on one core, taking turns; medians of thread CPU time.

Three kinds of messages of the layout `iso87_asciibin`, eight of each with values of their own: a purchase with chip data (0100,
22 elements, 342 bytes), an echo (0800, 3 elements, 39 bytes), a withdrawal with two bitmaps (0200, 22 elements, 248 bytes).
Ours check content classes and the structure of BER-TLV; pyiso8583 has no such checks.
"""

from __future__ import annotations

import importlib
import json
import platform
import random
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import partial
from itertools import repeat
from statistics import median
from time import thread_time
from typing import Any, Final, NamedTuple

from rich.console import Console
from rich.table import Table

from shanraq.core.errors import UnavailableError
from shanraq.standards import iso8583
from shanraq.standards.iso8583 import Codec, Engine, Layout, Message
from shanraq.standards.iso8583.layout import Fixed

LAYOUT: Final = "iso87_asciibin"
YARDSTICK: Final = "pyiso8583"
MISSING: Final = f"{YARDSTICK} is not installed, so there are no ratios: pip install {YARDSTICK}"
_VARIANTS: Final = 8
_DIGITS: Final = "0123456789"
_CHIP_DATA: Final = (
    ("9F26", 8), ("9F27", 1), ("9F10", 18), ("9F37", 4), ("9F36", 2), ("95", 5), ("9A", 3), ("9C", 1), ("9F02", 6), ("5F2A", 2),
    ("82", 2), ("9F1A", 2), ("9F03", 6), ("9F33", 3), ("9F34", 3), ("84", 7),
)  # fmt: skip


class ResultsDifferError(UnavailableError, code="results_differ", status=503):
    """Two codecs read or write a message differently: there is nothing to compare."""


class Kind(NamedTuple):
    """Messages of one kind."""

    name: str
    messages: list[Message]


class Case(NamedTuple):
    """One thing to measure: by whom, in which direction, on which messages."""

    kind: str
    direction: str
    codec: str
    work: Callable[[Any], Any]
    inputs: Sequence[Any]


def kinds() -> list[Kind]:
    """Make up the messages, the same each time."""
    dice = random.Random(8583)  # noqa: S311  no secrets
    made = (("0100, chip data", _purchase), ("0800", _echo), ("0200, two bitmaps", _withdrawal))
    return [Kind(name, [make(dice) for _ in range(_VARIANTS)]) for name, make in made]


def _number(dice: random.Random, size: int) -> str:
    return "".join(dice.choices(_DIGITS, k=size))


def _purchase(dice: random.Random) -> Message:
    pan = _number(dice, 16)
    chip = "".join(f"{tag}{size:02X}{dice.randbytes(size).hex().upper()}" for tag, size in _CHIP_DATA)
    return Message("0100", {
        **_common(dice, pan), 19: "398", 22: "051", 23: "001", 25: "00", 32: _number(dice, 6),
        35: f"{pan}D2912201{_number(dice, 10)}", **_place(dice, "SHANRAQ STORE"), 52: dice.randbytes(8).hex().upper(), 55: chip,
    })  # fmt: skip


def _echo(dice: random.Random) -> Message:
    return Message("0800", {7: _number(dice, 10), 11: _number(dice, 6), 70: "301"})


def _withdrawal(dice: random.Random) -> Message:
    return Message("0200", {
        **_common(dice, _number(dice, 16)), 22: "051", 25: "02", 32: _number(dice, 6), 33: _number(dice, 6),
        **_place(dice, "SHANRAQ ATM"), 100: _number(dice, 5), 102: f"KZ{_number(dice, 18)}", 103: f"KZ{_number(dice, 18)}",
        128: dice.randbytes(8).hex().upper(),
    })  # fmt: skip


def _common(dice: random.Random, pan: str) -> dict[int, str]:
    sizes = {3: 6, 4: 12, 7: 10, 11: 6, 12: 6, 13: 4, 14: 4, 18: 4}
    return {2: pan} | {number: _number(dice, size) for number, size in sizes.items()}


def _place(dice: random.Random, name: str) -> dict[int, str]:
    numbers = {37: _number(dice, 12), 41: f"TERM{_number(dice, 4)}", 42: f"MERCHANT{_number(dice, 7)}"}
    return numbers | {43: f"{name:25}{'ALMATY':13}KZ", 49: "398"}


def foreign_layout(layout: Layout) -> dict[str, Any]:
    """Return a layout of ASCII and raw elements as pyiso8583 describes one."""
    text = {"data_enc": "ascii", "len_enc": "ascii", "len_type": 0, "max_len": 0, "desc": ""}
    described = {
        "h": dict(text), "t": text | {"max_len": 4}, "p": text | {"data_enc": "b", "max_len": 8},
        "1": text | {"data_enc": "b", "max_len": 8},
    }  # fmt: skip
    for number, field in layout.fields.items():
        length = field.length
        sizes = (
            {"max_len": length.size}
            if isinstance(length, Fixed)
            else {"len_type": length.prefix.bytes, "max_len": length.max}
        )
        described[str(number)] = text | {"data_enc": "b" if field.encoding == "raw" else "ascii"} | sizes
    return described


def _cases(names: Sequence[Engine]) -> tuple[list[Case], bool]:
    layout = iso8583.layout(LAYOUT)
    codecs = {name: Codec(layout, name) for name in names}
    exact = codecs["exact"]
    try:
        foreign: Any = importlib.import_module("iso8583")
        described = foreign_layout(layout)
    except ImportError:
        foreign = None
    cases: list[Case] = []
    for kind in kinds():
        raws = [exact.encode(message) for message in kind.messages]
        if foreign is not None:
            texts = [foreign.decode(raw, described)[0] for raw in raws]
            _agree(all(bytes(foreign.encode(text, described)[0]) == raw for text, raw in zip(texts, raws, strict=True)))
            _agree(all(text["4" if "4" in text else "7"] == message.fields[4 if "4" in text else 7]
                       for text, message in zip(texts, kind.messages, strict=True)))  # fmt: skip
            cases.append(Case(kind.name, "decode", YARDSTICK, partial(foreign.decode, spec=described), raws))
            cases.append(Case(kind.name, "encode", YARDSTICK, partial(foreign.encode, spec=described), texts))
        for name, codec in codecs.items():
            _agree(all(codec.decode(raw).fields == m.fields for raw, m in zip(raws, kind.messages, strict=True)))
            _agree([codec.encode(message) for message in kind.messages] == raws)
            cases.append(Case(kind.name, "decode", name, codec.decode, raws))
            cases.append(Case(kind.name, "encode", name, codec.encode, kind.messages))
            cases.append(Case(kind.name, "peek", name, partial(_peek, codec.peek), raws))
    return cases, foreign is not None


def _peek(peek: Callable[..., Any], raw: bytes) -> Any:
    return peek(raw, 0, 11, 41)


def _agree(same: bool) -> None:
    if not same:
        raise ResultsDifferError("the codecs do not agree on the messages of this benchmark")


def _microseconds(case: Case, loops: int) -> float:
    work, inputs = case.work, case.inputs
    start = thread_time()
    for _ in repeat(None, loops):
        for one in inputs:
            work(one)
    return (thread_time() - start) / (loops * len(inputs)) * 1e6


def bench_iso8583(
    *,
    seconds: float = 5.0,
    rounds: int = 9,
    messages: int = 100_000,
    report: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Return microseconds a message and how often as fast as pyiso8583 they are, and what the caches take.

    `seconds` is the time for all rounds together; `messages` with elements chosen at random fill the caches.
    """
    names = iso8583.engines()
    cases, is_compared = _cases(names)
    turn_seconds = seconds / rounds / len(cases)
    loops = [max(1, round(turn_seconds * 1e6 / (_microseconds(case, 40) * len(case.inputs)))) for case in cases]
    times: list[list[float]] = [[] for _ in cases]
    for turn in range(1, rounds + 1):
        report(f"round {turn} of {rounds}")
        for case, count, seen in zip(cases, loops, times, strict=True):
            seen.append(_microseconds(case, count))
    report("filling the caches")
    return {
        "engine": iso8583.engine(),
        "machine": f"Python {platform.python_version()}, {platform.machine()}, {platform.system()} {platform.release()}",
        "rounds": rounds,
        "compared": is_compared,
        "codec": _figures(cases, [median(seen) for seen in times]),
        "memory": {name: _memory(name, messages) for name in names},
    }


def _figures(cases: Sequence[Case], times: Sequence[float]) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    by_case = {(case.kind, case.direction, case.codec): time for case, time in zip(cases, times, strict=True)}
    for (kind, direction, codec), time in by_case.items():
        base = by_case.get((kind, "decode" if direction == "peek" else direction, YARDSTICK))
        of_kind = figures.setdefault(kind, {}).setdefault(direction, {})
        of_kind[codec] = {"microseconds": round(time, 2)} | ({"times": round(base / time, 1)} if base else {})
    return figures


def _memory(engine: Engine, messages: int) -> dict[str, Any]:
    """Return what a process grows by when it reads messages with elements chosen at random, peak, in KiB."""
    text = f"from {__name__} import fill_caches; fill_caches({engine!r}, {messages})"
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True)  # noqa: S603  ours
    grown: dict[str, Any] = json.loads(done.stdout)
    return grown


def fill_caches(engine: Engine, messages: int) -> None:
    """Read messages with elements chosen at random and print by how much the peak of the process grew."""
    import resource  # noqa: PLC0415  there is none on Windows, and nothing else here needs it

    layout = iso8583.layout(LAYOUT)
    exact, codec = Codec(layout, "exact"), Codec(layout, engine)
    dice = random.Random(1)  # noqa: S311  no secrets
    numbers = [number for number in layout.fields if number not in (52, 55, 64, 96, 128)]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Each set comes so often that a function is generated for it.
    each = 20
    for _ in range(max(1, messages // each)):
        fields = {}
        for number in sorted(dice.sample(numbers, 16)):
            length = layout.fields[number].length
            size = length.size if isinstance(length, Fixed) else min(length.max, 12)
            fields[number] = "C" * (layout.fields[number].content == "x+n") + _number(dice, size)
            fields[number] = fields[number][:size]
        raw = exact.encode(Message("0100", fields))
        for _ in range(each):
            codec.decode(raw)
            codec.encode(Message("0100", fields))
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    sys.stdout.write(json.dumps({"messages": messages, "sets": messages // each, "peak_growth_kib": grown}))


def render(figures: dict[str, Any], console: Console) -> None:
    """Print the figures as a table."""
    names = [YARDSTICK] * figures["compared"] + list(reversed(iso8583.engines()))
    table = Table(title=f"µs a message (times {YARDSTICK}); {figures['machine']}", title_justify="left")
    for name in ("message", "", *names):
        table.add_column(name, justify="left" if name in ("message", "") else "right")
    for kind, directions in figures["codec"].items():
        for direction, by_codec in directions.items():
            cells = [by_codec.get(name) for name in names]
            table.add_row(kind, direction, *(_cell(cell) for cell in cells))
    console.print(table)
    for name, memory in figures["memory"].items():
        read = f"{memory['messages']} messages of {memory['sets']} sets of elements"
        console.print(f"{name}: {read}: peak + {memory['peak_growth_kib']} KiB")
    if not figures["compared"]:
        console.print(MISSING)


def _cell(cell: dict[str, float] | None) -> str:
    if cell is None:
        return "-"
    return f"{cell['microseconds']:.2f}" + (f" ({cell['times']:.1f}x)" if "times" in cell else "")
