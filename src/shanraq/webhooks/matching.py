"""Which events an endpoint gets: exact types, groups (`payment.*`), or `*`; sensitive ones only with permission."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Final

from shanraq import events
from shanraq.webhooks.errors import InvalidSubscriptionError

EVERYTHING: Final = "*"
PING: Final = "webhook_endpoint.ping"
SUBSCRIPTION_LIMIT: Final = 100


def matches(event_types: Iterable[str], type_name: str, *, include_sensitive: bool) -> bool:
    """Tell whether a subscription covers an event type."""
    if is_sensitive(type_name) and not include_sensitive:
        return False
    return not patterns_of(type_name).isdisjoint(event_types)


@cache
def patterns_of(type_name: str) -> frozenset[str]:
    """Return everything a subscription may say to get this type: `a.b.c`, `a.b.*`, `a.*`, `*`."""
    parts = type_name.split(".")
    groups = (".".join(parts[:count]) + ".*" for count in range(1, len(parts)))
    return frozenset((type_name, EVERYTHING, *groups))


@cache
def is_sensitive(type_name: str) -> bool:
    """Tell whether the type may hold personal, fraud, compliance or audit details."""
    return events.EventType(type_name, "").sensitive


def check_event_types(event_types: Sequence[str], *, include_sensitive: bool) -> tuple[str, ...]:
    """Return a subscription without repetitions, in its order; raise InvalidSubscriptionError.

    Every entry must be `*`, a type of the catalogue or a group with at least one; sensitive ones must be asked for.
    """
    if not 1 <= len(event_types) <= SUBSCRIPTION_LIMIT:
        raise InvalidSubscriptionError(f"must name 1 to {SUBSCRIPTION_LIMIT} types or groups", field="event_types")
    for entry in event_types:
        if entry == EVERYTHING:
            continue
        covered = [name for name in events.CATALOG if entry in patterns_of(name)]
        if not covered:
            raise InvalidSubscriptionError(f"{entry!r} is no event type, nor a group of them", field="event_types")
        if not include_sensitive and all(is_sensitive(name) for name in covered):
            raise InvalidSubscriptionError(f"{entry!r} is sensitive: set include_sensitive", field="event_types")
    return tuple(dict.fromkeys(event_types))
