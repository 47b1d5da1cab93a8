"""The bytes of a file in pieces: compressed and sealed one by one, written while they arrive, read as one stream."""

from __future__ import annotations

import asyncio
import io
import zlib
from typing import Any, Final

from shanraq.core.actor import Actor
from shanraq.core.crypto import Keyring
from shanraq.core.db import Database
from shanraq.core.reseal import Sealed
from shanraq.payment_files import store

PIECE_BYTES: Final = 1024 * 1024
_LEVEL: Final = 6
_FETCH_SECONDS: Final = 60.0


class PiecesClosedError(Exception):
    """The reader was stopped while another thread read from it."""


def pack(keyring: Keyring, file_id: str, number: int, content: bytes) -> bytes:
    """Compress a piece and seal it for its place in its file."""
    return keyring.seal(zlib.compress(content, _LEVEL), context=_context(file_id, number))


def unpack(keyring: Keyring, file_id: str, number: int, sealed: bytes) -> bytes:
    """Return what `pack` was given. Raises SealBrokenError."""
    return zlib.decompress(keyring.open(sealed, context=_context(file_id, number)))


def _context(file_id: str, number: int) -> str:
    return f"payment_file_piece/{file_id}/{number}"


SEALED: Final = (Sealed("payment_file_piece", ("payment_file_id", "number"), "content", _context),)


class PieceReader(io.RawIOBase):
    """The pieces of a file as a binary stream for a thread; `loop` fetches them from the database.

    No plain text is written to a disk, and one piece at a time is in memory. Raises PiecesClosedError after `stop`.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        db: Database,
        keyring: Keyring,
        actor: Actor,
        file_id: str,
        pieces: int,
    ) -> None:
        super().__init__()
        self._db = db
        self._keyring = keyring
        self._actor = actor
        self._file_id = file_id
        self._pieces = pieces
        self._loop = loop
        self._stopped = False
        self._number = 0
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        """Tell that this is for reading."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer as far as the present piece goes; 0 at the end."""
        if not self._rest:
            if self._number == self._pieces:
                return 0
            self._number += 1
            self._rest = memoryview(self._fetch(self._number))
        length = min(len(buffer), len(self._rest))
        buffer[:length] = self._rest[:length]
        self._rest = self._rest[length:]
        return length

    def stop(self) -> None:
        """Let the thread that reads end with an error at the next piece."""
        self._stopped = True

    def _fetch(self, number: int) -> bytes:
        if self._stopped:
            raise PiecesClosedError
        # The loop may end while a thread waits for it: nobody waits for ever.
        fetching = asyncio.run_coroutine_threadsafe(self._load(number), self._loop)
        return unpack(self._keyring, self._file_id, number, fetching.result(_FETCH_SECONDS))

    async def _load(self, number: int) -> bytes:
        async with self._db.begin(self._actor) as tx:
            return await store.load_piece(tx, self._file_id, number)
