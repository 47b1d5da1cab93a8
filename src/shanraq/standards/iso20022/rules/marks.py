"""A set of texts of which only marks are kept: 16 bytes a text and less, for identifiers that must not repeat."""

from __future__ import annotations

from array import array
from typing import Final

_BITS: Final = 0xFFFF_FFFF_FFFF_FFFF
_FIRST_SIZE: Final = 256


def mark_of(text: str) -> int:
    """Return 64 bits that stand for a text in this process; never 0.

    They are keyed anew in each process: of ten million texts two are taken for one with a chance of 1 in 360 000.
    """
    return hash(text) & _BITS or 1


class Marks:
    """A set of marks: a table with open addressing, at most half full."""

    __slots__ = ("_count", "_mask", "_table")

    def __init__(self) -> None:
        self._table = array("Q", bytes(8 * _FIRST_SIZE))
        self._mask = _FIRST_SIZE - 1
        self._count = 0

    def __contains__(self, mark: int) -> bool:
        table = self._table
        place = mark & self._mask
        while found := table[place]:
            if found == mark:
                return True
            place = (place + 1) & self._mask
        return False

    def add(self, mark: int) -> None:
        """Add a mark that is not in it."""
        if self._count * 2 > self._mask:
            self._grow()
        self._count += 1
        table = self._table
        place = mark & self._mask
        while table[place]:
            place = (place + 1) & self._mask
        table[place] = mark

    def _grow(self) -> None:
        old = self._table
        self._table = array("Q", bytes(16 * len(old)))
        self._mask = len(self._table) - 1
        self._count = 0
        for mark in old:
            if mark:
                self.add(mark)
