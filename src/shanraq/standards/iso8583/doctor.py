"""Guess what an unknown capture is: how it is framed, and in which layouts it can be read."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from shanraq.standards.iso8583.codec import Codec
from shanraq.standards.iso8583.content import is_moment, passes_luhn
from shanraq.standards.iso8583.errors import Iso8583Error, Level
from shanraq.standards.iso8583.message import Message

_SENT_AT: Final = 7


@dataclass(frozen=True, slots=True)
class Reading:
    """One way to read a capture. `level` is how far it held (None: not even its structure), `why` says it in words.

    `read_bytes` of the message could be taken apart before the first error.
    """

    framing: str
    layout: str
    level: Level | None
    read_bytes: int
    total_bytes: int
    why: str
    message: Message | None

    @property
    def score(self) -> tuple[int, int, float, int]:
        """Return what readings are ordered by: how far it holds, dates and check digits that fit, then how much was read."""
        holds = 0 if self.level is None else 1 + (Level.STRUCTURE, Level.CONTENT, Level.SEMANTIC).index(self.level)
        return holds, _evidence(self.message), self.read_bytes / max(1, self.total_bytes), -len(self.framing)


def diagnose(raw: bytes, codecs: Iterable[Codec]) -> list[Reading]:
    """Return every way to read the capture, the likeliest first."""
    readings = [
        _read(name, codec, message) for name, message in _unframed(raw) for codec in codecs if message or name == "none"
    ]
    return sorted(readings, key=lambda reading: reading.score, reverse=True)


def _unframed(raw: bytes) -> list[tuple[str, bytes]]:
    """Return the messages that framings see in a capture; a framing counts only if its length fits exactly."""
    found = [("none", raw)]
    found += [(name, raw[size:]) for name, size, length_of in _PREFIXES if _fits(raw, size, length_of)]
    if raw[-1:] == b"\x03":
        found.append(("base24 (ends with ETX)", raw[:-1]))
    return found


def _fits(raw: bytes, size: int, length_of: Callable[[bytes], int]) -> bool:
    try:
        return len(raw) > size and length_of(raw[:size]) == len(raw) - size
    except ValueError:
        return False


def _digits(head: bytes) -> int:
    if not head.isdigit():
        raise ValueError
    return int(head)


def _bcd(head: bytes) -> int:
    text = head.hex()
    if not text.isdigit():
        raise ValueError
    return int(text)


def _visa(head: bytes) -> int:
    if head[2:] != b"\x00\x00":
        raise ValueError
    return int.from_bytes(head[:2], "big")


def _gicc(head: bytes) -> int:
    if head[:2] != b"\x00\x00":
        raise ValueError
    return int.from_bytes(head[2:], "big")


_PREFIXES: Final[tuple[tuple[str, int, Callable[[bytes], int]], ...]] = (
    ("binary2", 2, lambda head: int.from_bytes(head, "big")),
    ("binary2, the length counts itself", 2, lambda head: int.from_bytes(head, "big") - 2),
    ("ascii4", 4, _digits),
    ("bcd2", 2, _bcd),
    ("cs", 4, _visa),
    ("gicc or raw4", 4, _gicc),
    ("cmf3", 3, lambda head: int.from_bytes(head, "big")),
)


def _read(framing: str, codec: Codec, raw: bytes) -> Reading:
    level: Level | None = None
    message: Message | None = None
    why, read = "", len(raw)
    for wanted in Level:
        try:
            message = codec.decode(raw, wanted)
        except Iso8583Error as error:
            why = f"{error} ({error.code})"
            if level is None:
                read, message = max(0, error.offset), error.partial
            break
        level = wanted
    return Reading(framing, codec.layout.id, level, read, len(raw), why or "everything fits", message)


def _evidence(message: Message | None) -> int:
    """Count what is unlikely to fit by chance: a known kind of message, a card number's check digit, a date."""
    if message is None:
        return 0
    mti = message.mti
    points = 2 * (len(mti) == 4 and mti[:1] in "0129" and mti[1:2] in "12345678" and mti[2:3] in "01234589")
    pan, sent_at = message.fields.get(2, ""), message.fields.get(_SENT_AT, "")
    points += 2 * (12 < len(pan) < 20 and pan.isdigit() and passes_luhn(pan))
    points += len(sent_at) == 10 and is_moment(sent_at, "MMDDhhmmss")
    return points + min(3, len(message.fields) // 4)
