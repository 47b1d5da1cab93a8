"""Files of records, as Mastercard clearing (IPM) has them: VBS, and VBS in blocks of 1014 bytes.

for record in read_records(open(path, "rb"), "1014"):   # Iso8583Error: field `record 3`, offset in the file
    message = codec.decode(record)
for piece in write_records(records, "vbs"):
    out.write(piece)

Records come one at a time and never more than one block of the file is held besides.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, Literal, Protocol, TypeAlias

from shanraq.standards.iso8583.errors import Iso8583Error, truncated

FileFormat: TypeAlias = Literal["vbs", "1014"]
"""`vbs`: each record behind its length, four bytes big-endian, and a length of zero at the end. `1014`: the same in blocks of
1012 bytes and two bytes 40 (hex), the last one filled with 40."""

MOST_RECORD_BYTES: Final = 65_536
_LENGTH_BYTES: Final = 4
_BLOCK_DATA_BYTES: Final = 1012
_TRAILER: Final = b"\x40\x40"
_BLOCK_BYTES: Final = _BLOCK_DATA_BYTES + len(_TRAILER)
_FILL: Final = b"\x40"
_READ_BYTES: Final = 16_384


class Readable(Protocol):
    """A binary file object."""

    def read(self, size: int, /) -> bytes:
        """Return at most `size` bytes, none at the end."""
        ...


def read_records(
    source: Readable | Iterable[bytes], form: FileFormat, *, most_record_bytes: int = MOST_RECORD_BYTES
) -> Iterator[bytes]:
    """Yield the records of a file object or of pieces of bytes, as they are read.

    Raises Iso8583Error: `truncated`, `missing_end` (no length of zero), `too_long` (above `most_record_bytes`), `bad_block`,
    `trailing_bytes` (something other than filling behind the end). `offset` counts in the file.
    """
    pieces = _pieces(source)
    stream = _Stream(_unblocked(pieces) if form == "1014" else pieces, blocked=form == "1014")
    number = 1
    while True:
        field = f"record {number}"
        at = stream.offset
        head = stream.take(_LENGTH_BYTES)
        if not head:
            raise Iso8583Error(
                "missing_end", field, at, "the file ends without a length of zero", expected="a length of zero"
            )
        if len(head) < _LENGTH_BYTES:
            raise truncated(field, at, _LENGTH_BYTES, len(head))
        size = int.from_bytes(head, "big")
        if not size:
            break
        if size > most_record_bytes:
            raise Iso8583Error(
                "too_long", field, at, f"the length is {size} bytes, {most_record_bytes} at most: another format?",
                expected=f"at most {most_record_bytes} bytes", found=f"{size} bytes",
            )  # fmt: skip
        start = stream.offset
        record = stream.take(size)
        if len(record) < size:
            raise truncated(field, start, size, len(record))
        yield record
        number += 1
    stream.end()


def write_records(
    records: Iterable[bytes], form: FileFormat, *, most_record_bytes: int = MOST_RECORD_BYTES
) -> Iterator[bytes]:
    """Yield the bytes of a file with these records, piece by piece.

    Raises Iso8583Error `wrong_size` for an empty record or one above `most_record_bytes`.
    """
    framed = _framed(records, most_record_bytes)
    yield from _blocked(framed) if form == "1014" else framed


def _framed(records: Iterable[bytes], most: int) -> Iterator[bytes]:
    for number, record in enumerate(records, 1):
        if not 1 <= len(record) <= most:
            raise Iso8583Error(
                "wrong_size", f"record {number}", -1, f"has {len(record)} bytes, not 1 to {most}",
                expected=f"1 to {most} bytes", found=f"{len(record)} bytes",
            )  # fmt: skip
        yield len(record).to_bytes(_LENGTH_BYTES, "big") + record
    yield bytes(_LENGTH_BYTES)


def _blocked(pieces: Iterable[bytes]) -> Iterator[bytes]:
    held = bytearray()
    for piece in pieces:
        held += piece
        while len(held) >= _BLOCK_DATA_BYTES:
            yield bytes(held[:_BLOCK_DATA_BYTES]) + _TRAILER
            del held[:_BLOCK_DATA_BYTES]
    if held:
        yield bytes(held).ljust(_BLOCK_DATA_BYTES, _FILL) + _TRAILER


def _pieces(source: Readable | Iterable[bytes]) -> Iterator[bytes]:
    if isinstance(source, Iterable) and not hasattr(source, "read"):
        yield from source
        return
    while piece := source.read(_READ_BYTES):
        yield piece


def _unblocked(pieces: Iterable[bytes]) -> Iterator[bytes]:
    held = bytearray()
    number = 0
    for piece in pieces:
        held += piece
        while len(held) >= _BLOCK_BYTES:
            number += 1
            if held[_BLOCK_DATA_BYTES:_BLOCK_BYTES] != _TRAILER:
                at = number * _BLOCK_BYTES - len(_TRAILER)
                raise Iso8583Error("bad_block", f"block {number}", at, "does not end with 40 40", expected="40 40")
            yield bytes(held[:_BLOCK_DATA_BYTES])
            del held[:_BLOCK_BYTES]
    if held:
        raise truncated(f"block {number + 1}", number * _BLOCK_BYTES, _BLOCK_BYTES, len(held))


class _Stream:
    """Bytes taken from pieces as asked for; `offset` is where they stand in the file, block trailers counted."""

    def __init__(self, pieces: Iterator[bytes], *, blocked: bool) -> None:
        self._pieces = pieces
        self._held = bytearray()
        self._taken = 0
        self._is_blocked = blocked

    @property
    def offset(self) -> int:
        trailers = self._taken // _BLOCK_DATA_BYTES if self._is_blocked else 0
        return self._taken + trailers * len(_TRAILER)

    def take(self, size: int) -> bytes:
        """Return `size` bytes, fewer only at the end."""
        while len(self._held) < size and (piece := next(self._pieces, None)) is not None:
            self._held += piece
        data = bytes(self._held[:size])
        del self._held[:size]
        self._taken += len(data)
        return data

    def end(self) -> None:
        """Refuse anything but the filling of the last block behind the end."""
        fill = -self._taken % _BLOCK_DATA_BYTES if self._is_blocked else 0
        at = self.offset
        rest = self.take(fill)
        if rest.strip(_FILL) or len(rest) < fill:
            raise Iso8583Error("bad_block", "end", at, "the last block is not filled with 40", expected="40")
        if self.take(1):
            raise Iso8583Error(
                "trailing_bytes", "end", self.offset - 1, "bytes follow the length of zero that ends the file"
            )
