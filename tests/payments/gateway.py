"""A gateway with the port's shape: approves, declines, forgets to answer, as told; remembers what really happened."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

from shanraq.core.db import assert_no_transaction
from shanraq.core.money import Money
from shanraq.payments.adapter import (
    Advice,
    Approved,
    Authorize,
    Capture,
    Command,
    DeclineClass,
    Declined,
    Finding,
    Lost,
    NotFound,
    NotProcessed,
    OperationKind,
    Outcome,
    Reason,
    Refund,
    Reverse,
    Unknown,
    Void,
)

INSUFFICIENT = Declined(Reason("insufficient_funds", DeclineClass.SOFT, Advice.RETRY_LATER, "INSUFFICIENT_FUND"))
DOWN = NotProcessed(Reason("processor_unavailable", DeclineClass.TECHNICAL, Advice.RETRY_LATER), retryable=True)
LOST_BEFORE = "lost before it was done"
LOST_AFTER = "lost after it was done"


@dataclass
class Gateway:
    """Answers commands; `script` holds answers for the next ones: an Outcome, LOST_BEFORE, LOST_AFTER, or a function.

    `undo_script` holds answers to the next undos, which then change nothing. `available` is what a circuit breaker would say.
    """

    name: str = "fake"
    settled_after: timedelta = timedelta(seconds=10)
    script: deque[Outcome | str | Callable[[Command], Outcome]] = field(default_factory=deque)
    undo_script: deque[Finding] = field(default_factory=deque)
    done: dict[str, tuple[str, Money]] = field(default_factory=dict)
    undone: list[str] = field(default_factory=list)
    seen: list[Command] = field(default_factory=list)
    reachable: bool = True
    available: bool = True

    async def authorize(self, command: Authorize) -> Outcome:
        return self._answer(command)

    async def capture(self, command: Capture) -> Outcome:
        return self._answer(command)

    async def refund(self, command: Refund) -> Outcome:
        return self._answer(command)

    async def void(self, command: Void) -> Outcome:
        return self._answer(command)

    async def reverse(self, command: Reverse) -> Outcome:
        return self._answer(command)

    def _answer(self, command: Command) -> Outcome:
        assert_no_transaction()
        self.seen.append(command)
        told = self.script.popleft() if self.script else None
        if callable(told):
            return told(command)
        if told == LOST_BEFORE:
            return Unknown("no answer")
        if isinstance(told, Approved):
            self.done[command.operation_id] = (told.gateway_id, told.amount)
            return told
        if told is not None and not isinstance(told, str):
            return told
        gateway_id = f"gw-{len(self.done) + 1}"
        self.done[command.operation_id] = (gateway_id, command.amount)
        return Unknown("no answer") if told == LOST_AFTER else Approved(gateway_id, command.amount)

    async def inquire(self, lost: Lost) -> Finding:
        assert_no_transaction()
        if not self.reachable:
            return Unknown("unreachable")
        if lost.operation_id in self.done:
            return Approved(*self.done[lost.operation_id])
        return NotFound()

    async def undo(self, lost: Lost) -> Finding:
        assert_no_transaction()
        self.undone.append(lost.operation_id)
        if self.undo_script:
            return self.undo_script.popleft()
        if lost.operation_id in self.done:
            return Approved(*self.done.pop(lost.operation_id))
        return NotFound()

    async def healthy(self) -> bool:
        return self.reachable

    async def close(self) -> None:
        self.reachable = False

    def commands(self, kind: type[Command]) -> list[Command]:
        """Return the commands of one kind that arrived."""
        return [command for command in self.seen if isinstance(command, kind)]


__all__ = ["DOWN", "INSUFFICIENT", "LOST_AFTER", "LOST_BEFORE", "Gateway", "OperationKind"]
