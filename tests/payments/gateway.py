"""A gateway with the port's shape: approves, declines, forgets to answer, as told; remembers what really happened."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TypeVar

from shanraq.core.db import assert_no_transaction
from shanraq.core.money import Money
from shanraq.payments.adapter import (
    Advice,
    Approved,
    Authenticate,
    Authenticated,
    Authentication,
    Authorize,
    Capture,
    Credit,
    DeclineClass,
    Declined,
    DeviceCollection,
    ExtendedCommand,
    Finding,
    Increment,
    Lost,
    NotAuthenticated,
    NotFound,
    Notice,
    NotProcessed,
    OperationKind,
    Outcome,
    Reason,
    Refund,
    Reverse,
    Reviewed,
    StartAuthentication,
    Unknown,
    Verify,
    Void,
)

C = TypeVar("C")

INSUFFICIENT = Declined(Reason("insufficient_funds", DeclineClass.SOFT, Advice.RETRY_LATER, "INSUFFICIENT_FUND"))
DOWN = NotProcessed(Reason("processor_unavailable", DeclineClass.TECHNICAL, Advice.RETRY_LATER), retryable=True)
SUCCESSFUL = Authenticated(
    transaction_id="3ds-1",
    status="Y",
    eci="05",
    value="AAABBWcSNIdjeUZThmNHAAAAAAA=",
    directory_server_id="f25084f0-5b16-4c0a-ae5d-b24808a95e4b",
    version="2.2.0",
    liability_shift=True,
)
LOST_BEFORE = "lost before it was done"
LOST_AFTER = "lost after it was done"


@dataclass
class Gateway:
    """Answers commands; `script` holds answers for the next ones: an Outcome, LOST_BEFORE, LOST_AFTER, or a function.

    `undo_script` holds answers to the next undos, which then change nothing. `available` is what a circuit breaker would say.
    """

    name: str = "fake"
    settled_after: timedelta = timedelta(seconds=10)
    script: deque[Outcome | str | Callable[..., Outcome]] = field(default_factory=deque)
    undo_script: deque[Finding] = field(default_factory=deque)
    done: dict[str, tuple[str, Money]] = field(default_factory=dict)
    undone: list[str] = field(default_factory=list)
    seen: list[ExtendedCommand] = field(default_factory=list)
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

    def _answer(self, command: ExtendedCommand) -> Outcome:
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
        amount = command.nothing if isinstance(command, Verify) else command.amount
        self.done[command.operation_id] = (gateway_id, amount)
        return Unknown("no answer") if told == LOST_AFTER else Approved(gateway_id, amount)

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

    def commands(self, kind: type[C]) -> list[C]:
        """Return the commands of one kind that arrived."""
        return [command for command in self.seen if isinstance(command, kind)]


NOTICE_SECRET = "notice-secret"


@dataclass
class AbleGateway(Gateway):
    """A gateway with every ability of the port; `decisions` and `told` hold its answers about reviews and authentications.

    A review is undecided until an answer is there. An authentication without a scripted answer is frictionless.
    """

    decisions: deque[Finding | NotProcessed] = field(default_factory=deque)
    told: deque[DeviceCollection | Authentication] = field(default_factory=deque)
    asked: list[object] = field(default_factory=list)
    decided: list[tuple[str, bool, str]] = field(default_factory=list)

    async def increment(self, command: Increment) -> Outcome:
        return self._answer(command)

    async def credit(self, command: Credit) -> Outcome:
        return self._answer(command)

    async def verify(self, command: Verify) -> Outcome:
        return self._answer(command)

    async def start_authentication(self, command: StartAuthentication) -> DeviceCollection | NotAuthenticated | Unknown:
        assert_no_transaction()
        self.asked.append(command)
        told = self.told.popleft() if self.told else DeviceCollection("session-1")
        assert isinstance(told, DeviceCollection | NotAuthenticated | Unknown)
        return told

    async def authenticate(self, command: Authenticate) -> Authentication:
        return self._authentication(command)

    async def complete_authentication(self, command: Authenticate, transaction_id: str) -> Authentication:
        return self._authentication(command)

    def _authentication(self, command: Authenticate) -> Authentication:
        assert_no_transaction()
        self.asked.append(command)
        told = self.told.popleft() if self.told else SUCCESSFUL
        assert not isinstance(told, DeviceCollection)
        return told

    async def look_up_review(self, reviewed: Reviewed) -> Finding:
        assert_no_transaction()
        told = self.decisions.popleft() if self.decisions else Unknown("nobody decided")
        assert not isinstance(told, NotProcessed)
        return told

    async def decide_review(self, reviewed: Reviewed, *, accept: bool, note: str) -> Finding | NotProcessed:
        assert_no_transaction()
        self.decided.append((reviewed.gateway_id, accept, note))
        if self.decisions:
            return self.decisions.popleft()
        if accept:
            return Approved(reviewed.gateway_id, reviewed.lost.amount)
        return Declined(Reason("risk_rejected", DeclineClass.FRAUD, Advice.DO_NOT_RETRY), reviewed.gateway_id)

    def read_notice(self, headers: dict[str, str], body: bytes, *, now_ms: int) -> Notice | None:
        if headers.get("x-secret") != NOTICE_SECRET:
            return None
        content = json.loads(body)
        return Notice(
            headers["x-notice-id"], content["kind"], tuple(content["references"]), tuple(content["gateway_ids"])
        )


__all__ = [
    "DOWN",
    "INSUFFICIENT",
    "LOST_AFTER",
    "LOST_BEFORE",
    "NOTICE_SECRET",
    "SUCCESSFUL",
    "AbleGateway",
    "Gateway",
    "OperationKind",
]
