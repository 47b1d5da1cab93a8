"""Parameters that many routes share: pages, ids in paths and queries, instants."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from litestar.params import QueryParameter

from shanraq.core.errors import InvalidInputError
from shanraq.core.page import MAX_LIMIT, PageRequest

Cursor = Annotated[
    str | None,
    QueryParameter(max_length=200, description="`next_cursor` of the page before; nothing for the first page."),
]
Limit = Annotated[int | None, QueryParameter(ge=1, le=MAX_LIMIT, description="How many at most; 50 if not given.")]
AccountFilter = Annotated[str | None, QueryParameter(max_length=30, description="Only those of this account.")]
CustomerFilter = Annotated[str | None, QueryParameter(max_length=30, description="Only those of this customer.")]
Instant = Annotated[
    str | None,
    QueryParameter(max_length=40, description="RFC 3339 with a time zone.", schema_extra={"format": "date-time"}),
]


def page(cursor: str | None, limit: int | None) -> PageRequest:
    """Read what page is wanted; raise InvalidCursorError or InvalidInputError."""
    return PageRequest.read(cursor, limit)


def instant(text: str | None, field: str) -> datetime | None:
    """Read an instant (RFC 3339, with time zone); raise InvalidInputError naming `field`."""
    if text is None:
        return None
    try:
        read = datetime.fromisoformat(text)
        if read.tzinfo is None:
            raise ValueError
        return read.astimezone(UTC)
    except (ValueError, OverflowError):
        raise InvalidInputError("must be an instant such as 2026-11-25T12:00:00Z", field=field) from None
