"""The circuit breaker against a model, with a clock of the test's own."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from shanraq.core.breaker import Breaker, BreakerLimits, BreakerState, Permit

LIMITS = BreakerLimits(
    failures_in_a_row=3,
    window_seconds=10,
    window_requests=6,
    failure_percent=50,
    open_seconds=5,
    longest_open_seconds=15,
)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def opened() -> tuple[Breaker, Clock]:
    clock = Clock()
    breaker = Breaker(clock, LIMITS)
    for _ in range(3):
        fail(breaker)
    return breaker, clock


def fail(breaker: Breaker) -> None:
    permit = breaker.enter()
    assert permit is not None
    breaker.leave(permit, ok=False)


def test_opens_after_failures_in_a_row_and_lets_nothing_through() -> None:
    breaker, _ = opened()

    assert breaker.state is BreakerState.OPEN
    assert breaker.enter() is None


def test_a_success_in_between_starts_the_count_again() -> None:
    breaker = Breaker(Clock(), LIMITS)
    for ok in (False, False, True, False, False):
        permit = breaker.enter()
        assert permit is not None
        breaker.leave(permit, ok=ok)

    assert breaker.state is BreakerState.CLOSED


def test_opens_at_the_rate_of_the_window_though_never_in_a_row() -> None:
    breaker = Breaker(Clock(), LIMITS)
    states = []
    for ok in (True, False, True, False, True, False):
        permit = breaker.enter()
        assert permit is not None
        breaker.leave(permit, ok=ok)
        states.append(breaker.state)

    assert states == [BreakerState.CLOSED] * 5 + [BreakerState.OPEN]


def test_what_left_the_window_does_not_count() -> None:
    clock = Clock()
    breaker = Breaker(clock, LIMITS)
    for ok in (True, False, True, False, True):
        permit = breaker.enter()
        assert permit is not None
        breaker.leave(permit, ok=ok)
    clock.now += 11
    fail(breaker)

    assert breaker.state is BreakerState.CLOSED


def test_one_probe_is_let_through_when_its_time_is_over_and_closes_it() -> None:
    breaker, clock = opened()
    clock.now += 5
    probe = breaker.enter()
    second = breaker.enter()
    assert probe is not None
    breaker.leave(probe, ok=True)

    assert second is None
    assert breaker.state is BreakerState.CLOSED


def test_a_failed_probe_opens_it_for_twice_as_long_up_to_the_longest() -> None:
    breaker, clock = opened()
    waited = []
    for seconds in (5, 10, 15, 15):
        clock.now += seconds - 1
        early = breaker.enter()
        clock.now += 1
        fail(breaker)
        waited.append(early)

    assert waited == [None] * 4
    assert breaker.times_opened == 5


def test_a_probe_that_was_given_up_lets_the_next_one_probe_at_once() -> None:
    breaker, clock = opened()
    clock.now += 5
    probe = breaker.enter()
    assert probe is not None
    breaker.leave(probe, ok=None)

    assert breaker.enter() is not None


def test_an_answer_from_before_it_opened_does_not_close_it() -> None:
    clock = Clock()
    breaker = Breaker(clock, LIMITS)
    early = breaker.enter()
    assert early is not None
    for _ in range(3):
        fail(breaker)
    clock.now += 5
    probe = breaker.enter()
    breaker.leave(early, ok=True)

    assert probe is not None
    assert breaker.state is BreakerState.HALF_OPEN


def test_a_failure_from_before_it_opened_does_not_speak_against_the_probe() -> None:
    clock = Clock()
    breaker = Breaker(clock, LIMITS)
    early = [breaker.enter() for _ in range(3)]
    for _ in range(3):
        fail(breaker)
    clock.now += 5
    probe = breaker.enter()
    for permit in early:
        assert permit is not None
        breaker.leave(permit, ok=False)
    half_open = breaker.state
    assert probe is not None
    breaker.leave(probe, ok=True)

    assert half_open is BreakerState.HALF_OPEN
    assert (breaker.state, breaker.times_opened) == (BreakerState.CLOSED, 1)


class AnyOrder(RuleBasedStateMachine):
    """Whatever the order of requests, answers and time: one probe at most, and never a permit while it is open."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.breaker = Breaker(self.clock, LIMITS)
        self.out: list[Permit] = []

    @rule(seconds=st.floats(0, 20))
    def wait(self, seconds: float) -> None:
        self.clock.now += seconds

    @rule()
    def ask(self) -> None:
        before, may = self.breaker.state, self.breaker.lets_through
        permit = self.breaker.enter()
        assert (permit is not None) == may
        if permit is not None:
            assert permit.probe == (before is BreakerState.OPEN)
            self.out.append(permit)

    @precondition(lambda self: self.out)
    @rule(which=st.integers(0, 50), ok=st.sampled_from([True, False, None]))
    def answer(self, which: int, ok: bool | None) -> None:
        permit = self.out.pop(which % len(self.out))
        before = self.breaker.state
        self.breaker.leave(permit, ok=ok)
        after = self.breaker.state
        if before is not BreakerState.CLOSED and after is BreakerState.CLOSED:
            assert permit.probe and ok is True
        if before is BreakerState.CLOSED and after is BreakerState.OPEN:
            assert ok is False

    @invariant()
    def one_probe_at_most(self) -> None:
        probing = self.breaker.state is BreakerState.HALF_OPEN
        assert sum(permit.probe and permit.period == self.breaker._period for permit in self.out) == probing


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
