"""A status enum together with its allowed moves, as data."""

from __future__ import annotations

from enum import StrEnum
from typing import Self, TypeVar

from shanraq.core.errors import ConflictError

Status = TypeVar("Status", bound="Lifecycle")


class IllegalMoveError(ConflictError, code="illegal_status", status=409):
    """The status does not allow this step."""


class Lifecycle(StrEnum):
    """A status with its allowed next statuses: `DRAFT = "draft", ("sent", "dropped")`.

    A member without next statuses is final. The moves are checked when the class is first used.
    """

    _next: tuple[str, ...]

    def __new__(cls, value: str, moves: tuple[str, ...] = ()) -> Self:
        member = str.__new__(cls, value)
        member._value_ = value
        member._next = moves  # noqa: SLF001 (its own member)
        return member

    @property
    def moves(self) -> frozenset[Self]:
        """Return the statuses that may follow this one."""
        return frozenset(type(self)(value) for value in self._next)

    @property
    def final(self) -> bool:
        """Tell whether nothing may follow."""
        return not self._next

    def to(self, after: Status) -> Status:
        """Return `after` if the move is allowed; raise IllegalMoveError (409) if not."""
        assert type(after) is type(self), "a status moves within its own lifecycle"
        if after.value not in self._next:
            raise IllegalMoveError(f"cannot go from {self.value} to {after.value}")
        return after
