"""Ids that a run can be repeated with, and that a restart with its journal does not give out twice."""

from __future__ import annotations

import hashlib
import uuid
from typing import Final

from shanraq.simulators.visa.store import Store

_ALPHABET: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


class Ids:
    """Makes ids from the seed, the number of entries in the journal, and a count."""

    def __init__(self, store: Store, seed: int) -> None:
        self._store = store
        self._seed = seed
        self._count = 0

    def _bytes(self) -> bytes:
        self._count += 1
        return hashlib.sha256(f"{self._seed}:{self._store.entries}:{self._count}".encode()).digest()

    def token(self) -> str:
        """Return 32 hexadecimal digits in upper case."""
        return self._bytes()[:16].hex().upper()

    def uuid(self) -> str:
        """Return a UUID of version 4 in form."""
        return str(uuid.UUID(bytes=self._bytes()[:16], version=4))

    def word(self, length: int) -> str:
        """Return letters and digits, at most 32, the first of them a letter."""
        values = self._bytes()
        return _ALPHABET[values[0] % 52] + "".join(_ALPHABET[value % 62] for value in values[1:length])

    def request(self, seconds: float) -> str:
        """Return the id of a request that moves no money: 22 digits."""
        number = int.from_bytes(self._bytes()[:6]) % 10**12
        return f"{int(seconds):010d}{number:012d}"

    def value(self) -> bytes:
        """Return 20 octets: an authentication value."""
        return self._bytes()[:20]
