"""Events: facts partners may learn, written with the fact and numbered after commit."""

from shanraq.events.catalog import CATALOG, EventType, valid_name
from shanraq.events.envelope import API_VERSION, Envelope, envelope, view
from shanraq.events.model import Event, Numbered, Stamped
from shanraq.events.outbox import emit, find, load, read, stamp, unstamped

__all__ = [
    "API_VERSION", "CATALOG", "Envelope", "Event", "EventType", "Numbered", "Stamped", "emit", "envelope", "find", "load",
    "read", "stamp", "unstamped", "valid_name", "view",
]  # fmt: skip
