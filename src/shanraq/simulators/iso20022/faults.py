"""Faults on demand: what goes wrong with the next requests and messages, so that a participant can be tested against it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum


class FaultKind(StrEnum):
    """The troubles of a network and of a clearing system."""

    LOSE_REQUEST = "lose_request"
    """Close the connection; the message is not taken."""
    LOSE_ANSWER = "lose_answer"
    """Take the message, then close the connection without an answer."""
    SLOW = "slow"
    """Answer after a delay."""
    STATUS_503 = "status_503"
    """Answer 503; the message is not taken."""
    DUPLICATE_DELIVERY = "duplicate_delivery"
    """Put the next message into the mailbox twice."""
    REORDER = "reorder"
    """Put the next message into the mailbox after the one that follows it."""
    BAD_SIGNATURE = "bad_signature"
    """Put a changed copy of the next message, whose signature does not hold, into the mailbox before it."""


REQUESTS = frozenset({FaultKind.LOSE_REQUEST, FaultKind.LOSE_ANSWER, FaultKind.SLOW, FaultKind.STATUS_503})


@dataclass(frozen=True, slots=True)
class Fault:
    """One trouble for the next `count` requests or messages; `seconds` is the delay of SLOW."""

    kind: FaultKind
    count: int = 1
    seconds: float = 1.0


class Faults:
    """The faults still to happen, taken in the order they were given."""

    def __init__(self) -> None:
        self.waiting: list[Fault] = []

    def take(self, *, of_requests: bool) -> Fault | None:
        """Return the next fault of a request, or of a message, and count it down."""
        for position, fault in enumerate(self.waiting):
            if (fault.kind in REQUESTS) is of_requests:
                if fault.count > 1:
                    self.waiting[position] = replace(fault, count=fault.count - 1)
                else:
                    del self.waiting[position]
                return fault
        return None
