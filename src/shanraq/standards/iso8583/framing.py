"""Framing: where a message begins and ends in a stream of bytes (TCP gives no boundaries).

link = framing("ascii4")                  # any of `framing_names()`, also ascii2 .. ascii8
data = link.frame(message)                # FramingError before anything is sent, if it is too long
reader = link.reader()
for found in reader.feed(chunk):          # pieces of any size; FramingError: the stream cannot be followed any more
    found.message, found.tpdu
echo = reader.take_echoes()               # keep-alives to send back
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias

from shanraq.standards.iso8583.errors import Iso8583Error

DEFAULT_LIMIT: Final = 100_000
TPDU_BYTES: Final = 5
_ETX: Final = b"\x03"
_RBP: Final = b"\xd0\x4a"
_RBP_LAST: Final = b"\x00\x00"
_RBP_MORE: Final = b"\x01\x00"
_SESSION: Final = 0x20
_ASCII_DIGITS: Final = range(2, 9)


class FramingError(Iso8583Error):
    """A stream that cannot be followed, or a message that fits into no frame. `offset` counts from the start of the frame."""


class Received(NamedTuple):
    """A message as it came; `tpdu` is the routing header that stood before it, empty where the framing has none."""

    message: bytes
    tpdu: bytes = b""


# What a header says: its size, the bytes that follow, how many of them at the end are no message, whether more parts follow.
# A plain tuple: one is made for every message.
_Head: TypeAlias = tuple[int, int, int, bool]


@dataclass(frozen=True, slots=True)
class Framing:
    """One way to mark off messages. `limit` bounds a message in bytes, both ways, before any memory is taken for it.

    `tpdu` is the routing header sent before each message; `keep_alive` is what may be sent when there is nothing to say.
    """

    name: str
    limit: int
    tpdu: bytes | None
    keep_alive: bytes | None
    _read: Callable[[bytes, int], _Head | None]
    _write: Callable[[int], bytes]
    _echoed: bool = True
    _ends_with_etx: bool = False

    def frame(self, message: bytes, tpdu: bytes = b"") -> bytes:
        """Return the frame of a message; `tpdu` replaces the framing's own. Raises FramingError."""
        if len(message) > self.limit:
            raise FramingError(
                "too_long", "frame", -1, f"has {len(message)} bytes, {self.limit} at most",
                expected=f"at most {self.limit} bytes", found=f"{len(message)} bytes",
            )  # fmt: skip
        if not message:
            raise FramingError("empty", "frame", -1, "a frame without a message is a keep-alive")
        if self._ends_with_etx:
            if _ETX in message:
                raise FramingError("not_text", "frame", -1, "holds the byte 03, which ends a message here")
            message += _ETX
        if self.tpdu is not None:
            message = (tpdu or self.tpdu) + message
        return self._write(len(message)) + message

    def reader(self) -> FrameReader:
        """Return what takes the frames of one connection apart."""
        return FrameReader(self)


class FrameReader:
    """Takes one stream apart. `keep_alives` counts what was no message."""

    __slots__ = ("_at", "_buffer", "_echoes", "_framing", "_parts", "keep_alives")

    def __init__(self, framing: Framing) -> None:
        self._framing = framing
        self._buffer = b""
        self._at = 0
        self._echoes = b""
        self._parts: list[bytes] = []
        self.keep_alives = 0

    @property
    def waiting(self) -> bool:
        """Tell whether part of a frame has come and the rest has not."""
        return bool(self._buffer) or bool(self._parts)

    def take_echoes(self) -> bytes:
        """Return the keep-alives to be sent back, once."""
        echoes, self._echoes = self._echoes, b""
        return echoes

    def feed(self, data: bytes) -> list[Received]:
        """Take bytes as they come and return the messages that are whole.

        Raises FramingError when the stream cannot be followed; then the connection is of no more use.
        """
        buffer = self._buffer + data if self._buffer else data
        framing = self._framing
        found: list[Received] = []
        at, end = 0, len(buffer)
        read, limit, tpdu = framing._read, framing.limit, framing.tpdu  # noqa: SLF001 (the two classes are one mechanism)
        overhead = TPDU_BYTES if tpdu is not None else 0
        while at < end:
            head = read(buffer, at)
            if head is None:
                break
            size, body, tail, more = head
            if body == 0:
                self._keep_alive(buffer[at : at + size])
                at += size
                continue
            if body - tail - overhead > limit:
                raise FramingError(
                    "too_long", "frame", 0, f"announces {body - tail - overhead} bytes, {limit} at most",
                    expected=f"at most {limit} bytes", found=f"{body - tail - overhead} bytes",
                )  # fmt: skip
            start = at + size
            stop = start + body
            if stop > end:
                break
            if overhead:
                if body <= overhead:
                    raise FramingError("truncated", "tpdu", size, "has no room for the TPDU")
                found.append(Received(buffer[start + overhead : stop], buffer[start : start + overhead]))
            elif more or self._parts:
                self._assemble(buffer[start:stop], found, more=more)
            else:
                if tail and buffer[stop - tail : stop] != _ETX:
                    raise FramingError("bad_end", "frame", size + body - tail, "does not end with ETX", expected="03")
                found.append(Received(buffer[start : stop - tail]))
            at = stop
        self._buffer = buffer[at:] if at else buffer
        return found

    def _keep_alive(self, frame: bytes) -> None:
        self.keep_alives += 1
        if self._framing._echoed and self._framing.keep_alive is not None and not _is_session(self._framing, frame):  # noqa: SLF001
            self._echoes += frame

    def _assemble(self, part: bytes, found: list[Received], *, more: bool) -> None:
        self._parts.append(part)
        if sum(map(len, self._parts)) > self._framing.limit:
            raise FramingError("too_long", "frame", 0, f"its parts have more than {self._framing.limit} bytes together")
        if not more:
            found.append(Received(b"".join(self._parts)))
            self._parts = []


def _is_session(framing: Framing, frame: bytes) -> bool:
    return framing.name == "cs" and frame[3] & 0xF0 == _SESSION


def reply_tpdu(tpdu: bytes) -> bytes:
    """Return the routing header of the answer: destination and originator exchanged."""
    return tpdu[:1] + tpdu[3:5] + tpdu[1:3] if len(tpdu) == TPDU_BYTES else tpdu


# Headers. A reader returns None when the header is not whole; a length of 0 is a keep-alive.


def _binary(width: int, *, own: int = 0, tail: int = 0) -> Callable[[bytes, int], _Head | None]:
    def read(buffer: bytes, at: int) -> _Head | None:
        if len(buffer) - at < width:
            return None
        length = int.from_bytes(buffer[at : at + width], "big")
        if length == 0:
            return width, 0, 0, False
        if length <= own:
            raise FramingError("bad_length", "frame", 0, f"a length of {length} does not even count itself")
        return width, length - own, tail, False

    return read


def _digits(width: int, base: int, what: str) -> Callable[[bytes, int], _Head | None]:
    allowed = frozenset(b"0123456789" if base == 10 else b"0123456789abcdefABCDEF")

    def read(buffer: bytes, at: int) -> _Head | None:
        head = buffer[at : at + width]
        if not allowed.issuperset(head):
            raise FramingError("bad_length", "frame", 0, f"the length is not {what}", expected=f"{width} {what}")
        return (width, int(head, base), 0, False) if len(head) == width else None

    return read


def _bcd2(buffer: bytes, at: int) -> _Head | None:
    head = buffer[at : at + 2]
    text = head.hex()
    if not text.isdigit() and text:
        raise FramingError("bad_length", "frame", 0, "the length is not in BCD digits", expected="4 BCD digits")
    return (2, int(text), 0, False) if len(head) == 2 else None


def _cs(buffer: bytes, at: int) -> _Head | None:
    head = buffer[at : at + 4]
    if len(head) < 4:
        return None
    length = int.from_bytes(head[:2], "big")
    if head[2] or (head[3] and (length or head[3] & 0xF0 != _SESSION)):
        raise FramingError("bad_header", "frame", 2, "the third and fourth byte are not zero", expected="0000")
    return 4, length, 0, False


def _gicc(buffer: bytes, at: int) -> _Head | None:
    head = buffer[at : at + 4]
    if any(head[:2]):
        raise FramingError("bad_header", "frame", 0, "the first two bytes are not zero", expected="0000")
    return (4, int.from_bytes(head[2:], "big"), 0, False) if len(head) == 4 else None


def _etx(limit: int) -> Callable[[bytes, int], _Head | None]:
    def read(buffer: bytes, at: int) -> _Head | None:
        stop = buffer.find(_ETX, at, at + limit + 1)
        if stop < 0:
            if len(buffer) - at > limit:
                raise FramingError("too_long", "frame", 0, f"no ETX within {limit} bytes", expected="ETX")
            return None
        return (0, stop - at + 1, 1, False) if stop > at else (1, 0, 0, False)

    return read


def _rbp(buffer: bytes, at: int) -> _Head | None:
    head = buffer[at : at + 6]
    if not _RBP.startswith(head[:2]):
        raise FramingError("bad_header", "frame", 0, "does not begin with D04A", expected="D04A")
    if len(head) < 6:
        return None
    if head[4:] not in (_RBP_LAST, _RBP_MORE):
        raise FramingError(
            "bad_header", "frame", 4, "is neither the last part nor one of several", expected="0000 or 0100"
        )
    return (6, int.from_bytes(head[2:4], "big"), 0, head[4:] == _RBP_MORE)


class _Kind(NamedTuple):
    """A framing's header: the largest number it can say, how it is written, its keep-alive, what its length counts beside."""

    most: int
    read: Callable[[bytes, int], _Head | None]
    write: Callable[[int], bytes]
    keep_alive: bytes | None = None
    beside: int = 0
    tpdu: bytes | None = None


_TPDU: Final = bytes.fromhex("6000090000")
_KINDS: Final[dict[str, _Kind]] = {
    "binary2": _Kind(0xFFFF, _binary(2), lambda size: size.to_bytes(2, "big")),
    "nac": _Kind(0xFFFF, _binary(2), lambda size: size.to_bytes(2, "big"), beside=5, tpdu=_TPDU),
    "nac_self": _Kind(0xFFFF, _binary(2, own=2), lambda size: (size + 2).to_bytes(2, "big"), beside=7, tpdu=_TPDU),
    "bcd2": _Kind(9999, _bcd2, lambda size: bytes.fromhex(f"{size:04d}")),
    "amex": _Kind(0xFFFF, _binary(2, own=2), lambda size: (size + 2).to_bytes(2, "big"), b"\0\0", beside=2),
    "hex4": _Kind(0xFFFF, _digits(4, 16, "hex digits"), lambda size: b"%04x" % size),
    "cs": _Kind(0xFFFF, _cs, lambda size: size.to_bytes(2, "big") + b"\0\0", b"\0\0\0\0"),
    "gicc": _Kind(0xFFFF, _gicc, lambda size: size.to_bytes(4, "big"), b"\0\0\0\0"),
    "raw4": _Kind(0x7FFFFFFF, _binary(4), lambda size: size.to_bytes(4, "big")),
    "cmf3": _Kind(0xFFFFFF, _binary(3), lambda size: size.to_bytes(3, "big"), b"\0\0\0"),
    "base24": _Kind(4096, _etx(4096), lambda size: b""),
    "base24tcp": _Kind(0xFFFF, _binary(2, tail=1), lambda size: size.to_bytes(2, "big"), b"\0\0", beside=1),
    "rbp": _Kind(0xFFFF, _rbp, lambda size: _RBP + size.to_bytes(2, "big") + _RBP_LAST),
} | {
    f"ascii{width}": _Kind(
        10**width - 1,
        _digits(width, 10, "decimal digits"),
        lambda size, width=width: b"%0*d" % (width, size),  # type: ignore[misc]
        b"0" * width,
    )
    for width in _ASCII_DIGITS
}


def framing_names() -> tuple[str, ...]:
    """Return the names of all framings, sorted."""
    return tuple(sorted(_KINDS))


def framing(name: str, *, limit: int = DEFAULT_LIMIT, tpdu: bytes | None = None, echo: bool = True) -> Framing:
    """Return a framing by its name. `tpdu` adds a routing header (5 bytes) to one that has none, or replaces its own.

    `limit` is the largest message in bytes, at most what the header can say; without `echo` keep-alives are not sent back.
    Raises FramingError for a name there is not or a TPDU of another size.
    """
    kind = _KINDS.get(name)
    if kind is None:
        raise FramingError(
            "unknown_framing",
            "framing",
            -1,
            f"there is no framing {name[:32]!r}; there are {', '.join(framing_names())}",
        )
    if tpdu is not None and (len(tpdu) != TPDU_BYTES or name.startswith("base24") or name == "rbp"):
        raise FramingError("bad_tpdu", "tpdu", -1, "a TPDU has 5 bytes and stands behind a length that counts it")
    beside = kind.beside + (TPDU_BYTES if tpdu is not None and kind.tpdu is None else 0)
    most = min(limit, kind.most - beside)
    if most < 1:
        raise FramingError("bad_limit", "framing", -1, f"no message fits into {limit} bytes")
    read = _etx(most) if name == "base24" else kind.read
    return Framing(
        name,
        most,
        kind.tpdu if tpdu is None else tpdu,
        kind.keep_alive,
        read,
        kind.write,
        echo,
        name.startswith("base24"),
    )
