"""Guess what an unknown capture is: how it is framed, and in which layouts it can be read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from shanraq.standards.iso8583.codec import Codec
from shanraq.standards.iso8583.content import is_moment, passes_luhn
from shanraq.standards.iso8583.errors import Iso8583Error, Level
from shanraq.standards.iso8583.framing import FramingError, framing, framing_names
from shanraq.standards.iso8583.message import Message

NO_FRAMING: Final = "none"
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
        _read(name, codec, message)
        for name, message in _unframed(raw)
        for codec in codecs
        if message or name == NO_FRAMING
    ]
    return sorted(readings, key=lambda reading: reading.score, reverse=True)


def _unframed(raw: bytes) -> list[tuple[str, bytes]]:
    """Return the first message that each framing sees in a capture; a framing counts only if its frames end where it ends."""
    found = [(NO_FRAMING, raw)]
    for name in framing_names():
        reader = framing(name, echo=False).reader()
        try:
            messages = reader.feed(raw)
        except FramingError:
            continue
        if messages and not reader.waiting:
            many = f", {len(messages)} messages" if len(messages) > 1 else ""
            found.append((name + many, messages[0].message))
    return found


def _read(framed: str, codec: Codec, raw: bytes) -> Reading:
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
    return Reading(framed, codec.layout.id, level, read, len(raw), why or "everything fits", message)


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
