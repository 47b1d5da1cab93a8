"""Faults: what goes wrong with a request on demand, so that a link can be tested against it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from shanraq.standards.iso8583 import Message

Predicate = Callable[[Message], bool]

HALF: Final = -1
"""As `approve_partial`: half of what was asked for."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What the host does instead of a plain answer; several may be combined.

    `response_code` declines without carrying out. `approve_partial` is an amount in minor units, `HALF` or None. `is_dropped`
    and `is_cut_off` (the connection closes) mean no answer; with `before` the request is not carried out either. `times` is
    how often the answer is sent, `delay_seconds` how long after.
    """

    name: str = ""
    response_code: str = ""
    approve_partial: int | None = None
    delay_seconds: float = 0.0
    before: bool = False
    is_dropped: bool = False
    is_cut_off: bool = False
    times: int = 1
    garbage: bool = False
    bad_frame: bool = False
    cut_frame: bool = False
    wrong_stan: bool = False
    wrong_mti: bool = False
    format_error: bool = False


_PLAIN: Final = {
    "drop_before": Fault(is_dropped=True, before=True),
    "drop_after": Fault(is_dropped=True),
    "disconnect_before": Fault(is_cut_off=True, before=True),
    "disconnect_after": Fault(is_cut_off=True),
    "garbage": Fault(garbage=True),
    "bad_frame": Fault(bad_frame=True),
    "cut_frame": Fault(cut_frame=True),
    "unmatched": Fault(wrong_stan=True),
    "wrong_mti": Fault(wrong_mti=True),
    "duplicate": Fault(times=2),
    "format_error": Fault(format_error=True),
}
FAULTS: Final = (*_PLAIN, "slow", "late", "partial", "decline")
"""The names of faults; also `slow:SECONDS`, `late:SECONDS`, `partial:MINOR_UNITS`, and always `decline:CODE`."""


def fault_named(name: str, *, slow_seconds: float = 0.5, late_seconds: float = 5.0) -> Fault:
    """Return a fault by its name; raise ValueError for one there is not."""
    kind, _, detail = name.partition(":")
    if kind in _PLAIN and not detail:
        return replace(_PLAIN[kind], name=name)
    match kind:
        case "slow" | "late":
            usual = slow_seconds if kind == "slow" else late_seconds
            seconds = float(detail) if detail else usual
            if not 0 <= seconds <= 3600:
                raise ValueError(f"a delay has 0 to 3600 seconds: {name[:32]!r}")
            return Fault(name=name, delay_seconds=seconds)
        case "partial":
            if detail and not (detail.isascii() and detail.isdigit()):
                raise ValueError(f"a partial approval is in minor units: {name[:32]!r}")
            return Fault(name=name, approve_partial=int(detail) if detail else HALF)
        case "decline" if detail:
            return Fault(name=name, response_code=detail)
        case _:
            raise ValueError(f"there is no fault {name[:32]!r}; there are {', '.join(FAULTS)}")


@dataclass(slots=True)
class _Waiting:
    fault: Fault
    when: Predicate | None
    count: int


class Faults:
    """The faults still to happen, taken in the order they were given."""

    def __init__(self) -> None:
        self._waiting: list[_Waiting] = []

    def __len__(self) -> int:
        return sum(waiting.count for waiting in self._waiting)

    def add(self, fault: Fault, when: Predicate | None, count: int) -> None:
        """Let a fault happen to the next `count` requests for which `when` holds."""
        self._waiting.append(_Waiting(fault, when, count))

    def clear(self) -> None:
        """Forget the faults still to happen."""
        self._waiting.clear()

    def take(self, message: Message) -> Fault | None:
        """Return the first fault meant for a request, and count it down."""
        for position, waiting in enumerate(self._waiting):
            if waiting.when is None or waiting.when(message):
                waiting.count -= 1
                if not waiting.count:
                    del self._waiting[position]
                return waiting.fault
        return None
