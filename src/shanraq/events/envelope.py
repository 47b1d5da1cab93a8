"""The envelope: the exact JSON a partner receives, by webhook, feed or broker alike."""

from __future__ import annotations

from typing import Final

import msgspec

from shanraq.core.actor import Environment
from shanraq.events.model import Stamped

API_VERSION: Final = "2026-11-01"


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """A delivered event. `type`, `timestamp`, `data` are the Standard Webhooks members.

    `sequence` is per partner and environment, gap-free, 20 digits with leading zeros, so that it compares as text.
    """

    id: str
    type: str
    timestamp: str
    version: int
    api_version: str
    livemode: bool
    partner: str
    sequence: str
    subject: str
    data: msgspec.Raw
    request_id: str | None = None


_encoder = msgspec.json.Encoder()


def envelope(event: Stamped) -> bytes:
    """Write an event as JSON; the same event always gives the same bytes."""
    return _encoder.encode(view(event))


def view(event: Stamped) -> Envelope:
    """Return the envelope of an event."""
    return Envelope(
        id=event.event_id,
        type=event.type,
        timestamp=event.occurred_at.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        version=event.version,
        api_version=API_VERSION,
        livemode=event.environment is Environment.LIVE,
        partner=event.partner_id,
        sequence=f"{event.partner_seq:020d}",
        subject=event.subject,
        data=msgspec.Raw(event.data),
        request_id=event.request_id or None,
    )
