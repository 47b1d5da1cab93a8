"""What reads and writes messages: the exact codec alone, or a fast path before it. All give the same results.

`compiled` is an extension that is built where Cython and a C compiler are, `generated` is pure Python. Each gives None for what is
not plainly right; the exact codec then reads or writes it, or says what is wrong. SHANRAQ_PURE=1 leaves the extension out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Protocol, TypeAlias

from shanraq.standards.iso8583.generated import Generated
from shanraq.standards.iso8583.layout import Layout
from shanraq.standards.iso8583.message import Message, Reading, Span

Engine: TypeAlias = Literal["exact", "generated", "compiled"]
Heads: TypeAlias = Callable[[bytes], tuple[str, list[int], int]]


class FastPath(Protocol):
    """Reads and writes what is plainly right; gives None for the rest."""

    def read(self, raw: bytes) -> Message | None:
        """Read a message, checked with its content."""

    def read_bare(self, raw: bytes) -> Message | None:
        """Read a message, its structure checked."""

    def write(self, message: Message) -> bytes | None:
        """Write a message."""

    def peek(self, raw: bytes, numbers: tuple[int, ...]) -> dict[int, str] | None:
        """Return those of the elements that are there; 0 is the type."""

    def spans(self, raw: bytes) -> dict[int, Span] | None:
        """Return where the elements are."""


class _Exact:
    """Leaves everything to the exact codec."""

    def read(self, _: bytes) -> Message | None:
        return None

    def read_bare(self, _: bytes) -> Message | None:
        return None

    def write(self, _: Message) -> bytes | None:
        return None

    def peek(self, _: bytes, __: tuple[int, ...]) -> dict[int, str] | None:
        return None

    def spans(self, _: bytes) -> dict[int, Span] | None:
        return None


def default_engine() -> Engine:
    """Return the fastest engine there is."""
    return "generated"


def fast_path(engine: Engine, layout: Layout, reading: Reading, heads: Heads) -> FastPath:
    """Return the fast path of an engine for one layout."""
    match engine:
        case "exact":
            return _Exact()
        case _:
            return Generated(layout, reading, heads)
