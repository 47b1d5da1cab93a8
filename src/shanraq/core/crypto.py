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


class Keyring:
    """Master keys by id; the first one seals, all of them open. Fingerprints use a key derived from the last (oldest) one.

    The fingerprint key must outlive rotation (hashes are compared for years), so it hangs on the oldest key kept.
    """

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        if not keys or any(len(key) != _KEY_BYTES or not _KEY_ID.fullmatch(name) for name, key in keys.items()):
            raise InvalidKeyringError
        self._keys = {bytes.fromhex(name): AESGCM(_derived(key, b"shanraq seal")) for name, key in keys.items()}
        self._newest = next(iter(self._keys))
        self._fingerprint_key = _derived(list(keys.values())[-1], b"shanraq fingerprint")

    def __repr__(self) -> str:
        return f"Keyring({', '.join(key.hex() for key in self._keys)})"

    @classmethod
    def generate(cls) -> Self:
        """Return a keyring with one new key, for tests and scratch databases."""
        return cls({new_key_id(): os.urandom(_KEY_BYTES)})

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a keyring file, newest key first; raise InvalidKeyringError naming the line."""
        keys: dict[str, bytes] = {}
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if not line.strip() or line.startswith("#"):
                continue
            name, _, text = line.strip().partition(":")
            try:
                key = base64.b64decode(text, validate=True)
            except binascii.Error:
                key = b""
            if not _KEY_ID.fullmatch(name) or len(key) != _KEY_BYTES or name in keys:
                raise InvalidKeyringError(f"line {number} is not `id:base64` of a 32-byte key, or its id repeats")
            keys[name] = key
        if not keys:
            raise InvalidKeyringError(f"no key in {path.name}")
        return cls(keys)

    @classmethod
    def load_or_create(cls, path: Path) -> Self:
        """Read the keyring file, making one (mode 0600) with a new key where there is none."""
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            return cls.load(path)
        with os.fdopen(descriptor, "w") as file:
            file.write(
                "# Master keys of Shanraq, newest first. Lose them and sealed data is gone; show them and it is open.\n"
            )
            file.write(f"{new_key_id()}:{base64.b64encode(os.urandom(_KEY_BYTES)).decode()}\n")
            file.flush()
            os.fsync(file.fileno())
        return cls.load(path)

    def seal(self, plain: bytes, *, context: str) -> bytes:
        """Encrypt `plain` under a data key of its own, bound to `context`."""
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

    def key_id(self, sealed: bytes) -> str:
        """Return the id of the master key that a sealed value hangs on."""
        return sealed[1:_HEADER_BYTES].hex()

    def fingerprint(self, data: bytes, *, purpose: str) -> bytes:
        """Return a keyed hash (HMAC-SHA-256, 32 bytes) that is equal for equal data of one purpose."""
        return hmac.digest(self._fingerprint_key, purpose.encode() + b"\x00" + data, "sha256")

    def _unwrap(self, sealed: bytes, bound: bytes) -> tuple[bytes, bytes]:
        header, rest = sealed[:_HEADER_BYTES], sealed[_HEADER_BYTES:]
        master = self._keys.get(header[1:])
        if master is None or header[0] != _VERSION or len(rest) < _WRAPPED_BYTES + _NONCE_BYTES + 16:
            raise SealBrokenError
        try:
            data_key = master.decrypt(rest[:_NONCE_BYTES], rest[_NONCE_BYTES:_WRAPPED_BYTES], header + bound)
        except InvalidTag as error:
            raise SealBrokenError from error
        return data_key, rest[_WRAPPED_BYTES:]


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
