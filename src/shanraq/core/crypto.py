"""Encryption at rest and keyed hashes: AES-256-GCM envelopes with key ids and rotation, HMAC-SHA-256 fingerprints.

A sealed value is `version | key id | wrapped data key | nonce | ciphertext`: each value has a data key of its own, wrapped
by a master key of the keyring, so rotating the master key re-wraps 32 bytes and never touches the data. The context (whose
value it is, what for) is bound in as additional data: a sealed value moved to another row does not open.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from shanraq.core.errors import ShanraqError

_VERSION: Final = 1
_KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12
_WRAPPED_BYTES: Final = _NONCE_BYTES + _KEY_BYTES + 16
_HEADER_BYTES: Final = 1 + 4
_KEY_ID = re.compile(r"[0-9a-f]{8}")


class SealBrokenError(ShanraqError, code="seal_broken", status=500):
    """A sealed value does not open: it was changed, moved to another place, or its key is not in the keyring."""


class InvalidKeyringError(ShanraqError, code="invalid_keyring", status=500):
    """The keyring file is not a list of `id:base64` lines with 32-byte keys."""


_FINGERPRINT: Final = "fingerprint"
_HEAD: Final = "# Master keys of Shanraq, newest first. Lose them and sealed data is gone; show them and it is open.\n"
_LOOK_SECONDS: Final = 5.0


class Keyring:
    """Master keys by id; the first one seals, all of them open. Fingerprints use a key derived from the last (oldest) one.

    The fingerprint key must outlive rotation (hashes are compared for years), so it hangs on the oldest key, or, once that
    was retired, on a line of its own. A keyring read from a file reads it again when it changed: a process that runs takes a
    new key within seconds, and at once when it meets a value sealed by a key it does not know.
    """

    def __init__(self, keys: Mapping[str, bytes], *, fingerprint_key: bytes | None = None) -> None:
        self._path: Path | None = None
        self._version: tuple[int, int] | None = None
        self._looked_at = 0.0
        self._take(keys, fingerprint_key)

    def _take(self, keys: Mapping[str, bytes], fingerprint_key: bytes | None) -> None:
        if not keys or any(len(key) != _KEY_BYTES or not _KEY_ID.fullmatch(name) for name, key in keys.items()):
            raise InvalidKeyringError
        if fingerprint_key is not None and len(fingerprint_key) != _KEY_BYTES:
            raise InvalidKeyringError
        self._keys = {bytes.fromhex(name): AESGCM(_derived(key, b"shanraq seal")) for name, key in keys.items()}
        self._newest = next(iter(self._keys))
        self._fingerprint_key = fingerprint_key or _derived(list(keys.values())[-1], b"shanraq fingerprint")

    def __repr__(self) -> str:
        return f"Keyring({', '.join(key.hex() for key in self._keys)})"

    @property
    def key_ids(self) -> tuple[str, ...]:
        """Return the ids of the master keys, the newest first."""
        return tuple(key.hex() for key in self._keys)

    @classmethod
    def generate(cls) -> Self:
        """Return a keyring with one new key, for tests and scratch databases."""
        return cls({new_key_id(): os.urandom(_KEY_BYTES)})

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a keyring file, newest key first; raise InvalidKeyringError naming the line."""
        version = _version_of(path)
        keys, fingerprint_key = _read(path)
        keyring = cls(keys, fingerprint_key=fingerprint_key)
        keyring._path, keyring._version = path, version
        keyring._looked_at = time.monotonic()
        return keyring

    @classmethod
    def load_or_create(cls, path: Path) -> Self:
        """Read the keyring file, making one (mode 0600) with a new key where there is none."""
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            return cls.load(path)
        with os.fdopen(descriptor, "w") as file:
            file.write(_HEAD + _line(new_key_id(), os.urandom(_KEY_BYTES)))
            file.flush()
            os.fsync(file.fileno())
        return cls.load(path)

    def _look_again(self, *, now: bool) -> bool:
        """Read the file again if it changed; return whether it did. A file that cannot be read changes nothing."""
        if self._path is None or (not now and time.monotonic() - self._looked_at < _LOOK_SECONDS):
            return False
        self._looked_at = time.monotonic()
        try:
            version = _version_of(self._path)
            if version == self._version:
                return False
            self._take(*_read(self._path))
        except (OSError, InvalidKeyringError):
            # Half written, or gone for a moment: what is in memory still holds.
            return False
        self._version = version
        return True

    def seal(self, plain: bytes, *, context: str) -> bytes:
        """Encrypt `plain` under a data key of its own, bound to `context`."""
        self._look_again(now=False)
        data_key = os.urandom(_KEY_BYTES)
        wrap_nonce, nonce = os.urandom(_NONCE_BYTES), os.urandom(_NONCE_BYTES)
        bound = context.encode()
        header = bytes([_VERSION]) + self._newest
        wrapped = self._keys[self._newest].encrypt(wrap_nonce, data_key, header + bound)
        return header + wrap_nonce + wrapped + nonce + AESGCM(data_key).encrypt(nonce, plain, bound)

    def open(self, sealed: bytes, *, context: str) -> bytes:
        """Decrypt a sealed value; raise SealBrokenError if it was changed, moved, or its key is unknown."""
        bound = context.encode()
        data_key, body = self._unwrap(sealed, bound)
        try:
            return AESGCM(data_key).decrypt(body[:_NONCE_BYTES], body[_NONCE_BYTES:], bound)
        except (InvalidTag, ValueError) as error:
            raise SealBrokenError from error

    def reseal(self, sealed: bytes, *, context: str) -> bytes:
        """Wrap the data key of a sealed value by the newest master key; return it unchanged if it already is."""
        if sealed[1:_HEADER_BYTES] == self._newest:
            return sealed
        bound = context.encode()
        data_key, body = self._unwrap(sealed, bound)
        header, nonce = bytes([_VERSION]) + self._newest, os.urandom(_NONCE_BYTES)
        return header + nonce + self._keys[self._newest].encrypt(nonce, data_key, header + bound) + body

    @staticmethod
    def key_id(sealed: bytes) -> str:
        """Return the id of the master key that a sealed value hangs on."""
        return sealed[1:_HEADER_BYTES].hex()

    def fingerprint(self, data: bytes, *, purpose: str) -> bytes:
        """Return a keyed hash (HMAC-SHA-256, 32 bytes) that is equal for equal data of one purpose."""
        return hmac.digest(self._fingerprint_key, purpose.encode() + b"\x00" + data, "sha256")

    def _unwrap(self, sealed: bytes, bound: bytes) -> tuple[bytes, bytes]:
        header, rest = sealed[:_HEADER_BYTES], sealed[_HEADER_BYTES:]
        master = self._keys.get(header[1:])
        if master is None and self._look_again(now=True):
            master = self._keys.get(header[1:])
        if master is None or header[0] != _VERSION or len(rest) < _WRAPPED_BYTES + _NONCE_BYTES + 16:
            raise SealBrokenError
        try:
            data_key = master.decrypt(rest[:_NONCE_BYTES], rest[_NONCE_BYTES:_WRAPPED_BYTES], header + bound)
        except InvalidTag as error:
            raise SealBrokenError from error
        return data_key, rest[_WRAPPED_BYTES:]


def add_key(path: Path) -> str:
    """Put a new master key first in a keyring file and return its id. The file is exchanged as a whole.

    Raises InvalidKeyringError, OSError.
    """
    keys, fingerprint_key = _read(path)
    name = new_key_id()
    while name in keys:
        name = new_key_id()
    _write(path, {name: os.urandom(_KEY_BYTES), **keys}, fingerprint_key)
    return name


def remove_key(path: Path, name: str) -> None:
    """Take a master key out of a keyring file; fingerprints stay what they are. Raises InvalidKeyringError, OSError.

    The newest key stays. Whoever removes a key has made sure that nothing hangs on it any more.
    """
    keys, fingerprint_key = _read(path)
    if name not in keys:
        raise InvalidKeyringError(f"no key {name}")
    if name == next(iter(keys)):
        raise InvalidKeyringError(f"{name} is the newest key, which seals")
    fingerprint_key = fingerprint_key or _derived(list(keys.values())[-1], b"shanraq fingerprint")
    _write(path, {other: key for other, key in keys.items() if other != name}, fingerprint_key)


def _read(path: Path) -> tuple[dict[str, bytes], bytes | None]:
    keys: dict[str, bytes] = {}
    fingerprint_key: bytes | None = None
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        name, _, text = line.strip().partition(":")
        try:
            key = base64.b64decode(text, validate=True)
        except binascii.Error:
            key = b""
        if name == _FINGERPRINT and fingerprint_key is None and len(key) == _KEY_BYTES:
            fingerprint_key = key
        elif not _KEY_ID.fullmatch(name) or len(key) != _KEY_BYTES or name in keys:
            raise InvalidKeyringError(f"line {number} is not `id:base64` of a 32-byte key, or its id repeats")
        else:
            keys[name] = key
    if not keys:
        raise InvalidKeyringError(f"no key in {path.name}")
    return keys, fingerprint_key


def _write(path: Path, keys: Mapping[str, bytes], fingerprint_key: bytes | None) -> None:
    text = _HEAD + "".join(_line(name, key) for name, key in keys.items())
    if fingerprint_key is not None:
        text += _line(_FINGERPRINT, fingerprint_key)
    beside = path.with_name(f"{path.name}.{new_key_id()}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError:
        beside.unlink(missing_ok=True)
        raise


def _line(name: str, key: bytes) -> str:
    return f"{name}:{base64.b64encode(key).decode()}\n"


def _version_of(path: Path) -> tuple[int, int]:
    state = path.stat()
    return state.st_ino, state.st_mtime_ns


def new_key_id() -> str:
    """Return a random id for a master key: 8 hexadecimal digits."""
    return os.urandom(4).hex()


def equal(left: bytes, right: bytes) -> bool:
    """Compare in constant time."""
    return hmac.compare_digest(left, right)


def sha256(data: bytes) -> bytes:
    """Return the SHA-256 of data."""
    return hashlib.sha256(data).digest()


def _derived(key: bytes, purpose: bytes) -> bytes:
    return HKDF(algorithm=hashes.SHA256(), length=_KEY_BYTES, salt=None, info=purpose).derive(key)
