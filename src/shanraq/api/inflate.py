"""Unpack a body that arrives compressed, piece by piece: a small input may hold a large output, so pieces are bounded."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator, Mapping
from typing import Final

from shanraq.core.errors import InvalidInputError

_PIECE_BYTES: Final = 256 * 1024
_GZIP: Final = 31


class MalformedGzipError(InvalidInputError, code="malformed_gzip", status=400):
    """The body is said to be compressed by gzip, and is not, or ends too early (RFC 1952)."""


def unpacked(headers: Mapping[bytes, bytes], body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Return a body as it was before Content-Encoding: gzip; the same body where there is none."""
    return _inflated(body) if headers.get(b"content-encoding", b"").strip().lower() == b"gzip" else body


async def _inflated(body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    inflate = zlib.decompressobj(_GZIP)
    begun = False
    async for chunk in body:
        rest = chunk
        while rest:
            if inflate.eof:
                # A file may have several members (RFC 1952, 2.2).
                inflate = zlib.decompressobj(_GZIP)
            begun = True
            waiting = rest
            while True:
                try:
                    piece = inflate.decompress(waiting, _PIECE_BYTES)
                except zlib.error:
                    raise MalformedGzipError from None
                if piece:
                    yield piece
                waiting = inflate.unconsumed_tail
                if inflate.eof or (not waiting and len(piece) < _PIECE_BYTES):
                    break
            rest = inflate.unused_data if inflate.eof else b""
    if begun and not inflate.eof:
        raise MalformedGzipError("ends too early")
