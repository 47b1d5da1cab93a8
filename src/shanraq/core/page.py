"""Cursor pages: lists are read newest first, `limit` at a time, from an opaque cursor."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from shanraq.core.errors import InvalidInputError

T = TypeVar("T")

DEFAULT_LIMIT: Final = 50
MAX_LIMIT: Final = 500


class InvalidCursorError(InvalidInputError, code="invalid_cursor", status=400):
    """The cursor was not made by this list."""


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page of a list; `next_cursor` is empty on the last one."""

    items: tuple[T, ...]
    next_cursor: str = ""


@dataclass(frozen=True, slots=True)
class PageRequest:
    """What page is wanted: rows strictly after `after` (an id; empty for the first page), at most `limit`.

    Raises InvalidInputError unless `limit` is 1 to 500.
    """

    after: str = ""
    limit: int = DEFAULT_LIMIT

    def __post_init__(self) -> None:
        if not 1 <= self.limit <= MAX_LIMIT:
            raise InvalidInputError(f"must be 1 to {MAX_LIMIT}", field="limit")

    @classmethod
    def read(cls, cursor: str | None, limit: int | None) -> PageRequest:
        """Read a client's cursor and limit; raise InvalidCursorError for a cursor of no list."""
        after = ""
        if cursor:
            try:
                raw = base64.urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4))
                after = raw.decode("ascii")
            except (binascii.Error, ValueError):
                raise InvalidCursorError(field="cursor") from None
            if not after or len(after) > 64 or not after.replace("_", "").isalnum() or _written(after) != cursor:
                raise InvalidCursorError(field="cursor")
        return cls(after, DEFAULT_LIMIT if limit is None else limit)


def page_of(rows: Sequence[T], request: PageRequest, position: Callable[[T], str]) -> Page[T]:
    """Make a page of rows read with `LIMIT request.limit + 1`; `position` gives the id a cursor continues after."""
    items = tuple(rows[: request.limit])
    more = len(rows) > request.limit
    return Page(items, _written(position(items[-1])) if more else "")


def _written(after: str) -> str:
    return base64.urlsafe_b64encode(after.encode("ascii")).rstrip(b"=").decode("ascii")
