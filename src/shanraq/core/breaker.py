"""A circuit breaker: stop asking who does not answer, and find out with one request whether he answers again.

    permit = breaker.enter()          # None while it is open
    ...                               # ask
    breaker.leave(permit, ok=True)    # or ok=False, or ok=None when it was given up without an answer

closed -> open: so many failures in a row, or too large a share of those in the window. open -> half-open: its time is over, and
one request (the probe) is let through. half-open -> closed or open again, twice as long, by what the probe met. Only the probe
decides there: an answer to a request from before the breaker opened says nothing about now.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

Clock = Callable[[], float]


class BreakerState(StrEnum):
    """Closed lets everything through, open nothing, half-open one probe."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(frozen=True, slots=True)
class BreakerLimits:
    """When a breaker opens, and for how long.

    It opens after `failures_in_a_row`, or when of at least `window_requests` in the last `window_seconds` the share
    `failure_percent` failed. It stays open for `open_seconds`, doubled by each failed probe up to `longest_open_seconds`.
    """

    failures_in_a_row: int = 5
    window_seconds: float = 30.0
    window_requests: int = 20
    failure_percent: int = 50
    open_seconds: float = 5.0
    longest_open_seconds: float = 60.0

    def __post_init__(self) -> None:
        assert self.failures_in_a_row > 0 and self.window_requests > 0 and 0 < self.failure_percent <= 100
        assert 0 < self.open_seconds <= self.longest_open_seconds and self.window_seconds > 0


# What is remembered of a window at most: the rate of more than this is the rate of the last ones.
_REMEMBERED = 1000


@dataclass(frozen=True, slots=True)
class Permit:
    """The right to send one request: in which period of the breaker it was given, and whether it is the probe."""

    period: int
    probe: bool


class Breaker:
    """The breaker of one place. Not for several threads; `clock` gives seconds and never goes back."""

    def __init__(self, clock: Clock, limits: BreakerLimits | None = None) -> None:
        self._clock = clock
        self._limits = limits or BreakerLimits()
        self._state = BreakerState.CLOSED
        self._period = 0
        self._in_a_row = 0
        self._window: deque[tuple[float, bool]] = deque(maxlen=_REMEMBERED)
        self._open_seconds = self._limits.open_seconds
        self._opened_at = 0.0
        self.times_opened = 0

    @property
    def state(self) -> BreakerState:
        """Return the state; open until a probe was let through, even when its time is over."""
        return self._state

    @property
    def lets_through(self) -> bool:
        """Tell whether `enter` would give a permit now."""
        if self._state is BreakerState.OPEN:
            return self._clock() - self._opened_at >= self._open_seconds
        return self._state is BreakerState.CLOSED

    def enter(self) -> Permit | None:
        """Return a permit for one request, or None; each permit must be given back with `leave`."""
        if not self.lets_through:
            return None
        if self._state is BreakerState.OPEN:
            self._move(BreakerState.HALF_OPEN)
            return Permit(self._period, probe=True)
        return Permit(self._period, probe=False)

    def leave(self, permit: Permit, *, ok: bool | None) -> None:
        """Tell what a request met: an answer, a failure, or None where it was given up and says nothing."""
        if permit.period != self._period:
            return
        if permit.probe:
            self._probed(ok)
        elif ok is not None:
            self._counted(ok)

    def _probed(self, ok: bool | None) -> None:
        if ok:
            self._open_seconds = self._limits.open_seconds
            self._in_a_row = 0
            self._window.clear()
            self._move(BreakerState.CLOSED)
        elif ok is None:
            # The next one may probe at once.
            self._move(BreakerState.OPEN)
        else:
            self._open_seconds = min(self._open_seconds * 2, self._limits.longest_open_seconds)
            self._open()

    def _counted(self, ok: bool) -> None:
        now = self._clock()
        self._window.append((now, ok))
        while now - self._window[0][0] > self._limits.window_seconds:
            self._window.popleft()
        self._in_a_row = 0 if ok else self._in_a_row + 1
        if not ok and (self._in_a_row >= self._limits.failures_in_a_row or self._rate_reached()):
            self._open()

    def _rate_reached(self) -> bool:
        if len(self._window) < self._limits.window_requests:
            return False
        failed = sum(not ok for _, ok in self._window)
        return failed * 100 >= self._limits.failure_percent * len(self._window)

    def _open(self) -> None:
        self._opened_at = self._clock()
        self.times_opened += 1
        self._move(BreakerState.OPEN)

    def _move(self, state: BreakerState) -> None:
        self._state = state
        self._period += 1
