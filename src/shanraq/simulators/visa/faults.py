"""Faults on demand: what goes wrong with the next requests, so that a client can be tested against it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from shanraq.simulators.visa.route import Verb


class FaultKind(StrEnum):
    """The troubles of a network and of a gateway."""

    DROP_BEFORE = "drop_before"
    """Close the connection; the request is not processed."""
    DROP_AFTER = "drop_after"
    """Process the request, then close the connection without a reply."""
    SLOW = "slow"
    """Process the request at once, answer after a delay."""
    HTTP_502 = "http_502"
    """Answer 502 with the fault's reason; the request is not processed unless the fault says so."""
    HTTP_429 = "http_429"
    """Answer 429 with Retry-After; the request is not processed."""
    DUPLICATE = "duplicate"
    """Process the request twice, as when the network repeats it, and answer once."""
    GARBAGE = "garbage"
    """Process the request, answer 201 with a body that is no JSON."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One trouble for the next `count` requests of an operation, or of any.

    `seconds` is the delay of SLOW, `reason` that of a 502: SYSTEM_ERROR, SERVER_TIMEOUT or SERVICE_TIMEOUT.
    """

    kind: FaultKind
    verb: Verb | None = None
    count: int = 1
    seconds: float = 0.0
    processed: bool = False
    reason: str = "SYSTEM_ERROR"


class Faults:
    """The faults still to happen, taken in the order they were given."""

    def __init__(self) -> None:
        self.waiting: list[Fault] = []

    def take(self, verb: Verb) -> Fault | None:
        """Return the first fault meant for a request of this operation, and count it down."""
        for position, fault in enumerate(self.waiting):
            if fault.verb is None or fault.verb is verb:
                if fault.count > 1:
                    self.waiting[position] = replace(fault, count=fault.count - 1)
                else:
                    del self.waiting[position]
                return fault
        return None
