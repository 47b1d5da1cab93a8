"""Answers that a test has asked for: the next requests of an operation are answered with a reason of its choice."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from shanraq.simulators.visa.route import Verb
from shanraq.simulators.visa.trigger import SCRIPTABLE

_CAPTURE: Final = frozenset(
    {
        "MISSING_AUTH",
        "EXCEEDS_AUTH_AMOUNT",
        "AUTH_ALREADY_REVERSED",
        "TRANSACTION_ALREADY_SETTLED",
        "TRANSACTION_ALREADY_REVERSED_OR_SETTLED",
        "INVALID_AMOUNT",
        "INVALID_MERCHANT_CONFIGURATION",
        "NOT_SUPPORTED",
        "DUPLICATE_REQUEST",
        "SYSTEM_ERROR",
        "SERVER_TIMEOUT",
        "SERVICE_TIMEOUT",
    }
)
REASONS_OF: Final[dict[Verb, frozenset[str]]] = {
    Verb.AUTHORIZE: SCRIPTABLE,
    Verb.CREDIT: SCRIPTABLE,
    Verb.INCREMENT: SCRIPTABLE,
    Verb.REFUND: SCRIPTABLE,
    Verb.CAPTURE: _CAPTURE,
    Verb.REVERSE: (_CAPTURE - {"EXCEEDS_AUTH_AMOUNT"}) | {"PROCESSOR_UNAVAILABLE"},
    Verb.VOID: frozenset(
        {"NOT_VOIDABLE", "INVALID_MERCHANT_CONFIGURATION", "NOT_SUPPORTED", "SYSTEM_ERROR", "SERVER_TIMEOUT"}
    ),
}
"""The reasons that may be asked for, by operation."""


@dataclass(frozen=True, slots=True)
class ScriptedAnswer:
    """The next `count` requests of an operation that could succeed are answered with `reason`."""

    verb: Verb
    reason: str
    count: int = 1

    def __post_init__(self) -> None:
        if self.reason not in REASONS_OF.get(self.verb, frozenset()):
            raise ValueError(f"{self.verb.value} is never answered with {self.reason}")


class Script:
    """The answers still to be given, in the order they were asked for."""

    def __init__(self) -> None:
        self.waiting: list[ScriptedAnswer] = []

    def take(self, verb: Verb) -> ScriptedAnswer | None:
        """Return the first answer for an operation, and count it down."""
        for position, answer in enumerate(self.waiting):
            if answer.verb is verb:
                if answer.count > 1:
                    self.waiting[position] = replace(answer, count=answer.count - 1)
                else:
                    del self.waiting[position]
                return answer
        return None
