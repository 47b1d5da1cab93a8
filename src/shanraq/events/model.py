"""What an event is before and after the sequencer numbered it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

import msgspec

from shanraq.core.actor import Environment


@dataclass(frozen=True, slots=True)
class Event:
    """A fact a partner may learn: type of the catalogue, subject (`payment/pay_...`), data as it was at that moment."""

    type: str
    subject: str
    data: msgspec.Struct | dict[str, object]


class Numbered(NamedTuple):
    """The places the sequencer gave an event; what the event says stays in the outbox."""

    seq: int
    partner_seq: int
    partner_id: str
    environment: str
    type: str


@dataclass(frozen=True, slots=True)
class Stamped:
    """An event with its places: `seq` over all, `partner_seq` gap-free within one partner and environment."""

    seq: int
    partner_seq: int
    event_id: str
    partner_id: str
    environment: Environment
    type: str
    version: int
    subject: str
    occurred_at: datetime
    data: bytes
    request_id: str
