"""What a conversion of a specification gives: the result, and everything about it that is not the same afterwards."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from shanraq.standards.iso8583.errors import LayoutError
from shanraq.standards.iso8583.layout import Layout


@dataclass(frozen=True, slots=True)
class Note:
    """One difference. `loss`: something is read or written otherwise, or left out. `remark`: the bytes stay the same."""

    kind: Literal["loss", "remark"]
    place: str
    reason: str

    def __str__(self) -> str:
        return f"{self.kind} {self.place}: {self.reason}"


def losses_of(notes: tuple[Note, ...]) -> tuple[Note, ...]:
    """Return the notes that are losses."""
    return tuple(note for note in notes if note.kind == "loss")


def _refuse(notes: tuple[Note, ...]) -> None:
    if losses := losses_of(notes):
        more = f" (and {len(losses) - 1} more)" if len(losses) > 1 else ""
        raise LayoutError(f"{losses[0].place}: {losses[0].reason}{more}")


@dataclass(frozen=True, slots=True)
class Imported:
    """A layout out of a foreign specification."""

    layout: Layout
    notes: tuple[Note, ...]

    @property
    def losses(self) -> tuple[Note, ...]:
        """Return what a message would be read or written otherwise by."""
        return losses_of(self.notes)

    def whole(self) -> Layout:
        """Return the layout; raise LayoutError with the first loss, if there is any."""
        _refuse(self.notes)
        return self.layout


@dataclass(frozen=True, slots=True)
class Exported:
    """A foreign specification out of a layout, as text of its format."""

    text: str
    notes: tuple[Note, ...]

    @property
    def losses(self) -> tuple[Note, ...]:
        """Return what a message would be read or written otherwise by."""
        return losses_of(self.notes)

    def whole(self) -> str:
        """Return the text; raise LayoutError with the first loss, if there is any."""
        _refuse(self.notes)
        return self.text
