"""What can be wrong with a message or a layout: one type of error each."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from shanraq.standards.iso8583.message import Message


class Level(StrEnum):
    """How deep a message is checked; each level includes those before it.

    `structure`: it can be taken apart. `content`: its characters are of the classes the layout names. `semantic`: card numbers
    pass the Luhn check and dates exist.
    """

    STRUCTURE = "structure"
    CONTENT = "content"
    SEMANTIC = "semantic"


class Iso8583Error(ValueError):
    """A message that cannot be read or written.

    `field` is the path from outside in: `header`, `mti`, `bitmap`, an element (`2`), a part of it (`48.38`), or `end` for what
    follows the last element. `offset` counts bytes from the start of the message, -1 when there are no bytes (encoding).
    `expected` and `found` are words and numbers, never values of the message. `partial` is what was decoded before.
    """

    def __init__(
        self,
        code: str,
        field: str,
        offset: int,
        message: str,
        *,
        level: Level = Level.STRUCTURE,
        expected: str = "",
        found: str = "",
    ) -> None:
        super().__init__(message)
        self.code = code
        self.field = field
        self.offset = offset
        self.level = level
        self.expected = expected
        self.found = found
        self.partial: Message | None = None

    @property
    def message(self) -> str:
        """Return what is wrong, in words."""
        return str(self.args[0])

    def __str__(self) -> str:
        where = f"{self.field}" if self.offset < 0 else f"{self.field}, byte {self.offset}"
        return f"{where}: {self.message}"


class LayoutError(ValueError):
    """A layout that describes nothing that could be read; the text names the place."""


def truncated(field: str, offset: int, need: int, left: int) -> Iso8583Error:
    """Return the error of a message that ends too soon."""
    return Iso8583Error(
        "truncated", field, offset, f"needs {need} bytes, {left} left", expected=f"{need} bytes", found=f"{left} bytes"
    )
