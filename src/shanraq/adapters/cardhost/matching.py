"""Which answer belongs to which request: by a key of several elements, never by the trace number alone.

A key that is already awaited is refused, not overwritten. An answer that comes after its deadline is late: recorded, never
delivered. One that fits nothing is explained by the elements in which it differs from what is awaited.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from shanraq.core.errors import InvalidInputError
from shanraq.standards.iso8583 import Message

Key = tuple[str, ...]

TRACE_NUMBER: Final = 11
# Keys are kept and compared; what identifies a card or its holder does not belong there.
_NEVER: Final = frozenset((2, 34, 35, 36, 45, 52))
LATE_LIMIT: Final = 10_000
# The third digit of a type: an answer has the family of what it answers (0100 and 0110, 0420 and 0430).
_FAMILY: Final = {"0": "0", "1": "0", "2": "2", "3": "2", "4": "4", "5": "4", "6": "6", "7": "6", "8": "8", "9": "8"}


class InvalidMatchingKeyError(InvalidInputError, code="invalid_matching_key", status=400):
    """A matching key names the trace number (11) and at least one element more, and nothing of the card."""


class NotSentError(Exception):
    """Nothing left this machine: the host has seen nothing of the request."""


class DuplicateKeyError(NotSentError):
    """A request with the same matching key is awaiting its answer: sending another would mix the two up."""


class NoAnswerError(Exception):
    """The request may have arrived, and no usable answer came: its outcome is unknown."""


class Awaited:
    """A request that awaits its answer until `deadline` (the loop's clock, seconds)."""

    __slots__ = ("connection", "deadline", "future", "key")

    def __init__(self, key: Key, future: asyncio.Future[Message], deadline: float, connection: object) -> None:
        self.key = key
        self.future = future
        self.deadline = deadline
        self.connection = connection


@dataclass(slots=True)
class Counters:
    """What has passed over a link. `unmatched` answers fitted nothing; `late` ones came after their deadline."""

    sent: int = 0
    received: int = 0
    answered: int = 0
    timed_out: int = 0
    late: int = 0
    unmatched: int = 0
    duplicates_refused: int = 0
    unreadable: int = 0
    requests_in: int = 0
    connects: int = 0
    connection_failures: int = 0


@dataclass(slots=True)
class Matcher:
    """The requests of one link that await their answers.

    `elements` are those of the key; `late_seconds` is how long the key of a given-up request is remembered. `on_late` is told
    of late answers, with the seconds they came after their deadline; `on_unmatched` of those that fit nothing, and why.
    """

    elements: tuple[int, ...]
    counters: Counters = field(default_factory=Counters)
    late_seconds: float = 600.0
    on_late: Callable[[Message, float], None] = lambda _message, _seconds: None
    on_unmatched: Callable[[Message, str], None] = lambda _message, _why: None
    _awaited: dict[Key, Awaited] = field(default_factory=dict)
    # One queue for each length of time: within it deadlines come in order, so that a timer looks at the first ones only.
    _queues: dict[float, deque[Awaited]] = field(default_factory=dict)
    _given_up: OrderedDict[Key, float] = field(default_factory=OrderedDict)
    _timer: asyncio.TimerHandle | None = None

    def __post_init__(self) -> None:
        named = set(self.elements)
        if TRACE_NUMBER not in named or len(named) < 2 or min(named) < 2 or named & _NEVER:
            raise InvalidMatchingKeyError(f"not {', '.join(map(str, self.elements))}", field="matching_key")

    def __len__(self) -> int:
        return len(self._awaited)

    def key_of(self, message: Message) -> Key:
        """Return the key of a request, which is also that of its answer. Raises KeyError for what is no message type."""
        mti, fields = message.mti, message.fields
        return (mti[0], mti[1], _FAMILY[mti[2]], *[fields.get(number, "") for number in self.elements])

    def expect(self, message: Message, timeout_seconds: float, connection: object) -> Awaited:
        """Await the answer to a request that is about to be sent. Raises DuplicateKeyError."""
        key = self.key_of(message)
        if key in self._awaited:
            self.counters.duplicates_refused += 1
            raise DuplicateKeyError(f"a request with the same {self._names()} awaits its answer")
        loop = asyncio.get_running_loop()
        awaited = Awaited(key, loop.create_future(), loop.time() + timeout_seconds, connection)
        self._awaited[key] = awaited
        queue = self._queues.get(timeout_seconds)
        if queue is None:
            queue = self._queues[timeout_seconds] = deque()
        while queue and queue[0].future.done():
            queue.popleft()
        queue.append(awaited)
        if self._timer is None or (len(queue) == 1 and awaited.deadline < self._timer.when()):
            if self._timer is not None:
                self._timer.cancel()
            self._timer = loop.call_at(awaited.deadline, self._expire)
        return awaited

    def deliver(self, message: Message) -> None:
        """Give an answer to the request that awaits it, or tell why there is none."""
        try:
            key = self.key_of(message)
        except (KeyError, IndexError):
            self._unmatched(message, "it has no message type")
            return
        awaited = self._awaited.pop(key, None)
        if awaited is None:
            self._not_awaited(key, message)
        elif not awaited.future.done():
            self.counters.answered += 1
            awaited.future.set_result(message)

    def fail(self, message: Message, why: str) -> bool:
        """End the request that an unreadable answer belongs to, if enough of it was read to tell."""
        try:
            awaited = self._awaited.get(self.key_of(message))
        except (KeyError, IndexError):
            return False
        if awaited is None or awaited.future.done():
            return False
        self._give_up(awaited, why)
        return True

    def abandon(self, awaited: Awaited) -> None:
        """Forget a request whose sender does not wait any more; an answer to it is late."""
        if self._awaited.get(awaited.key) is awaited:
            del self._awaited[awaited.key]
            self._remember(awaited)

    def connection_lost(self, connection: object) -> None:
        """End the requests that were sent over a connection: they may have arrived."""
        for awaited in [each for each in self._awaited.values() if each.connection is connection]:
            self._give_up(awaited, "the connection was lost")

    def close(self) -> None:
        """End everything that is awaited."""
        for awaited in list(self._awaited.values()):
            self._give_up(awaited, "the link was closed")
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._queues.clear()

    def _give_up(self, awaited: Awaited, why: str) -> None:
        self.abandon(awaited)
        if not awaited.future.done():
            awaited.future.set_exception(NoAnswerError(why))

    def _remember(self, awaited: Awaited) -> None:
        self._given_up[awaited.key] = awaited.deadline
        now = asyncio.get_running_loop().time()
        while self._given_up:
            oldest = next(iter(self._given_up))
            if len(self._given_up) <= LATE_LIMIT and self._given_up[oldest] + self.late_seconds > now:
                break
            del self._given_up[oldest]

    def _expire(self) -> None:
        self._timer = None
        loop = asyncio.get_running_loop()
        now = loop.time()
        soonest: float | None = None
        for seconds, queue in list(self._queues.items()):
            while queue and (queue[0].deadline <= now or queue[0].future.done()):
                awaited = queue.popleft()
                if not awaited.future.done():
                    self.counters.timed_out += 1
                    self._give_up(awaited, "no answer in time")
            if not queue:
                del self._queues[seconds]
            elif soonest is None or queue[0].deadline < soonest:
                soonest = queue[0].deadline
        if soonest is not None:
            self._timer = loop.call_at(soonest, self._expire)

    def _not_awaited(self, key: Key, message: Message) -> None:
        deadline = self._given_up.pop(key, None)
        if deadline is not None:
            self.counters.late += 1
            self.on_late(message, max(0.0, asyncio.get_running_loop().time() - deadline))
            return
        self._unmatched(message, self._why(key))

    def _unmatched(self, message: Message, why: str) -> None:
        self.counters.unmatched += 1
        self.on_unmatched(message, why)

    def _why(self, key: Key) -> str:
        """Tell in which elements an answer differs from the nearest request that is awaited."""
        nearest = min(self._awaited, key=lambda other: _distance(key, other), default=None)
        if nearest is None:
            return "nothing is awaited: it may be a second answer"
        names = ["its version", "its class", "its function", *(f"DE{number}" for number in self.elements)]
        differing = [
            f"{name} is absent" if not own else f"{name} differs"
            for name, own, other in zip(names, key, nearest, strict=True)
            if own != other
        ]
        return f"of {len(self._awaited)} awaited, the nearest one is not it: {', '.join(differing)}"

    def _names(self) -> str:
        return ", ".join(f"DE{number}" for number in self.elements)


def _distance(one: Iterable[str], other: Iterable[str]) -> int:
    return sum(mine != theirs for mine, theirs in zip(one, other, strict=True))
