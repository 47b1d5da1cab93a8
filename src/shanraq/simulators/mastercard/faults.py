"""What can go wrong on purpose: lost answers, slow ones, errors, repeated requests."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum


class FaultKind(StrEnum):
    """The troubles of a network and of a gateway."""

    DROP_BEFORE = "drop_before"
    """Close the connection; the request is not processed."""
    DROP_AFTER = "drop_after"
    """Process the request, then close the connection without a reply."""
    SLOW = "slow"
    """Process the request at once, answer after a delay."""
    SERVER_FAILED = "server_failed"
    """Answer 500 with SERVER_FAILED; the request is not processed unless the fault says so."""
    SERVER_BUSY = "server_busy"
    """Answer 503 with SERVER_BUSY; the request is not processed."""
    LOCK_FAILURE = "lock_failure"
    """Answer with gateway code LOCK_FAILURE, as while another operation runs on the order; not processed."""
    HTTP_502 = "http_502"
    """Answer 502 without a body of the gateway's; the request is not processed unless the fault says so."""
    HTTP_429 = "http_429"
    """Answer 429 with Retry-After; the request is not processed."""
    DUPLICATE = "duplicate"
    """Process the request twice, as when the network repeats it, and answer once."""
    GARBAGE = "garbage"
    """Process the request, answer 201 with a body that is no JSON."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One trouble for the next `count` requests of an operation (apiOperation, or a method), or of any."""

    kind: FaultKind
    operation: str = ""
    count: int = 1
    seconds: float = 0.0
    processed: bool = False


class Faults:
    """The faults still to happen, taken in the order they were given."""

    def __init__(self) -> None:
        self.waiting: list[Fault] = []

    def take(self, *names: str) -> Fault | None:
        """Return the first fault meant for a request of one of these names, and count it down."""
        for position, fault in enumerate(self.waiting):
            if not fault.operation or fault.operation in names:
                if fault.count > 1:
                    self.waiting[position] = replace(fault, count=fault.count - 1)
                else:
                    del self.waiting[position]
                return fault
        return None
