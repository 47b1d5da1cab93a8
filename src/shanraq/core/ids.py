"""Typed, time-ordered identifiers with readable prefixes: `pay_01JDK7ZC3V0X2Q9M5R8T6W4Y1B`.

An id is a prefix, an underscore and 26 Crockford base32 characters that hold 128 bits: 48 bits of Unix milliseconds and
80 random bits, incremented within one millisecond, so ids of one process are strictly increasing.
"""

from __future__ import annotations

import hashlib
import os
import re
import threading
import time

from shanraq.core.errors import InvalidInputError

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_TAIL = re.compile(f"[0-7][{_ALPHABET}]{{25}}")
# Python writes the same digits as 0-9 and a-v.
_TO_BASE_32 = str.maketrans(_ALPHABET, "0123456789abcdefghijklmnopqrstuv")
_PAIRS = tuple(a + b for a in _ALPHABET for b in _ALPHABET)
_RANDOM_BITS = 80
_RANDOM_BYTES = 10
_POOL_BYTES = 4000

_lock = threading.Lock()
_last = 0
_pool = b""
_used = 0


class InvalidIdError(InvalidInputError, code="invalid_id", status=400):
    """The identifier is not of the expected form."""


def new_number() -> int:
    """Return a new 128-bit number, greater than every number this process returned before."""
    global _last, _pool, _used
    with _lock:
        number = (time.time_ns() // 1_000_000) << _RANDOM_BITS
        if number <= _last:
            _last += 1
            return _last
        if _used >= len(_pool):
            # The kernel is asked for the randomness of many ids at once.
            _pool, _used = os.urandom(_POOL_BYTES), 0
        number |= int.from_bytes(_pool[_used : _used + _RANDOM_BYTES], "big")
        _used += _RANDOM_BYTES
        _last = number
    return number


def _forget_pool() -> None:
    global _pool
    _pool = b""


# A forked process must not repeat the ids of its parent.
os.register_at_fork(after_in_child=_forget_pool)


def new_id(prefix: str) -> str:
    """Return a new id with this prefix, such as `pay`."""
    return text_of(prefix, new_number())


def text_of(prefix: str, number: int) -> str:
    """Write a 128-bit number as an id with this prefix."""
    if not 0 <= number < 1 << 128:
        raise ValueError("an id holds 128 bits")
    return prefix + "_" + "".join([_PAIRS[(number >> shift) & 1023] for shift in range(120, -1, -10)])


def number_of(prefix: str, text: str, *, field: str = "id") -> int:
    """Read an id of this prefix back into its 128-bit number; raise InvalidIdError naming `field`."""
    head, _, tail = text.partition("_")
    if head != prefix or not _TAIL.fullmatch(tail):
        raise InvalidIdError(f"must be an id that starts with {prefix}_", field=field)
    return int(tail.translate(_TO_BASE_32), 32)


def derived_number(*parts: str | int) -> int:
    """Derive a stable 128-bit number from parts (SHA-256), as a UUID version 8 (RFC 9562, 5.8)."""
    text = "\x1f".join(str(part) for part in parts).encode()
    number = int.from_bytes(hashlib.sha256(text).digest()[:16], "big")
    number = number & ~(0xF << 76) | 0x8 << 76
    return number & ~(0x3 << 62) | 0x2 << 62
