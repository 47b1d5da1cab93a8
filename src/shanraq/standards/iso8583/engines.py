"""What reads and writes messages: the exact codec alone, or a fast path before it. All give the same results.

`compiled` is an extension, built where Cython and a C compiler are; `generated` is pure Python. Each gives None for what is not
plainly right; the exact codec then reads or writes it, or says what is wrong. SHANRAQ_PURE=1 leaves the extension out.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from typing import Final, Literal, Protocol, TypeAlias

from shanraq.standards.iso8583.generated import Generated
from shanraq.standards.iso8583.layout import Layout
from shanraq.standards.iso8583.message import Message, Reading, Span

Compiled: Callable[[Layout, Reading], FastPath] | None = None
if os.environ.get("SHANRAQ_PURE") != "1":
    with suppress(ImportError, AttributeError):  # it was not built here, or from another source
        from shanraq.standards.iso8583._speed import Compiled

_COMPILED_MAPS_LIMIT: Final = 3
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

    def tlv(self, raw: bytes) -> list[list[str]] | None:
        """Split BER-TLV."""


class _Exact:
    """Leaves everything to the exact codec."""

    def _nothing(self, *_: object) -> None:
        return None

    read = read_bare = write = peek = spans = tlv = _nothing


def engines() -> tuple[Engine, ...]:
    """Return the engines there are here, the fastest first."""
    return ("generated", "exact") if Compiled is None else ("compiled", "generated", "exact")


def engine() -> Engine:
    """Return the engine that codecs use unless another is named: the fastest there is."""
    return engines()[0]


def fast_path(name: Engine, layout: Layout, reading: Reading, heads: Heads) -> FastPath:
    """Return the fast path of an engine for one layout. Raises ValueError for an engine that is not here."""
    if name not in engines():
        raise ValueError(f"the engine {name} is not here; there are {', '.join(engines())}")
    if name == "exact":
        return _Exact()
    if name == "compiled" and Compiled is not None and layout.bitmap.max_maps <= _COMPILED_MAPS_LIMIT:
        return Compiled(layout, reading)
    return Generated(layout, reading, heads)
