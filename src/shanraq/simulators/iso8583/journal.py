"""What the host wrote down: one JSON line an entry, with the operating system before its request is answered.

No card number is in it, only a masked one and a hash under the salt of the first line.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import secrets
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from shanraq.simulators.iso8583.accounts import Accounts, Entry, Key, Kind, Standing
from shanraq.simulators.iso8583.schemes import SCHEMES
from shanraq.standards.iso8583 import mask_number

FORM: Final = "shanraq-iso8583-host/1"
_SALT_BYTES: Final = 32
_HASH_BYTES: Final = 16
_KNOWN_CARDS: Final = 10_000
_encode = json.JSONEncoder(separators=(",", ":")).encode


class Card(NamedTuple):
    """A card number in the two forms in which it is kept: a hash, and masked. Both are empty for none."""

    hash: str
    masked: str


class Cards:
    """Turns card numbers into what may be kept of them, under a salt."""

    def __init__(self, salt: bytes) -> None:
        self._salt = salt
        self._known: dict[str, Card] = {"": Card("", "")}

    def card(self, pan: str) -> Card:
        """Return what is kept of a card number."""
        card = self._known.get(pan)
        if card is None:
            if len(self._known) >= _KNOWN_CARDS:
                self._known = {"": Card("", "")}
            digest = hashlib.blake2b(pan.encode(), digest_size=_HASH_BYTES, key=self._salt).hexdigest()
            card = self._known[pan] = Card(digest, mask_number(pan))
        return card


class Journal:
    """An append-only file that one host at a time has. Raises OSError, ValueError for a file that is no journal."""

    def __init__(self, path: Path, scheme: str) -> None:
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            content = _content(self._descriptor)
            # A last line without its end was cut off by a crash before its request was answered.
            self._size = content.rfind(b"\n") + 1
            os.ftruncate(self._descriptor, self._size)
            if not self._size:
                head = {"journal": FORM, "scheme": scheme, "salt": secrets.token_hex(_SALT_BYTES)}
                self._write(_encode(head).encode() + b"\n")
                content = _content(self._descriptor)
            self.salt, known, self.entries = _parse(content)
            if known != scheme:
                raise ValueError(f"the journal is one of the scheme {known!r}, not {scheme!r}")
        except BaseException:
            os.close(self._descriptor)
            raise

    def append(self, entries: Iterable[Entry]) -> None:
        """Write entries whole, or nothing; raises OSError."""
        self._write("".join([_encode(entry._asdict()) + "\n" for entry in entries]).encode())

    def _write(self, lines: bytes) -> None:
        left = memoryview(lines)
        try:
            while left:
                left = left[os.write(self._descriptor, left) :]
        except OSError:
            os.ftruncate(self._descriptor, self._size)
            raise
        self._size += len(lines)

    def close(self) -> None:
        """Close the file and let another host have it."""
        os.close(self._descriptor)


def read_journal(path: Path | str) -> dict[str, Standing]:
    """Return what stands under every DE37, from the journal of a host that may be alive, stopped or killed.

    Raises OSError, ValueError for a file that is no journal.
    """
    content = Path(path).read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if not whole:
        return {}
    _, scheme, entries = _parse(whole)
    known = SCHEMES.get(scheme)
    accounts = Accounts(by_trace=known is not None and not known.names_originals)
    for entry in entries:
        accounts.apply(entry)
    return accounts.standings()


def _content(descriptor: int) -> bytes:
    content = bytearray()
    while chunk := os.pread(descriptor, 1 << 20, len(content)):
        content += chunk
    return bytes(content)


def _parse(content: bytes) -> tuple[bytes, str, Iterator[Entry]]:
    """Return the salt, the scheme and the entries, which are read as they are taken."""
    lines = content[: content.rfind(b"\n") + 1].splitlines()
    try:
        head = json.loads(lines[0])
        if head["journal"] != FORM:
            raise ValueError
        salt, scheme = bytes.fromhex(head["salt"]), str(head["scheme"])
    except (ValueError, KeyError, TypeError):
        raise ValueError(f"is no journal of the form {FORM}") from None
    return salt, scheme, (_entry(line, number) for number, line in enumerate(lines[1:], 2))


def _entry(line: bytes, number: int) -> Entry:
    try:
        plain: dict[str, Any] = json.loads(line)
        remembered = plain["remembered"]
        return Entry(
            **plain
            | {
                "key": _key(plain["key"]),
                "kind": Kind(plain["kind"]),
                "remembered": None if remembered is None else _key(remembered),
            }
        )
    except (ValueError, KeyError, TypeError):
        raise ValueError(f"line {number} of the journal is no entry") from None


def _key(parts: list[str]) -> Key:
    mti, stan, sent_at, acquirer, terminal = parts
    return mti, stan, sent_at, acquirer, terminal
