"""Encrypted tokens: JWE compact serialisation (RFC 7516 section 7.1) with RSA-OAEP-256 and A256GCM (RFC 7518 4.3, 5.3)."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, OAEP
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256

from shanraq.standards.jose.base64url import JoseError, from_base64url, to_base64url
from shanraq.standards.jose.jws import check_size

_KEY_BYTES: Final = 32
_IV_BYTES: Final = 12
_TAG_BYTES: Final = 16
_PARTS: Final = 5
_PADDING: Final = OAEP(MGF1(SHA256()), SHA256(), None)
_ALGORITHM: Final = "RSA-OAEP-256"
_ENCRYPTION: Final = "A256GCM"


class EncryptionKey:
    """The public key of a receiver and its id; raises ValueError for a key of less than 2048 bits."""

    __slots__ = ("_key", "kid")

    def __init__(self, kid: str, key: RSAPublicKey) -> None:
        check_size(key.key_size)
        self.kid = kid
        self._key = key

    def wrap(self, content_key: bytes) -> bytes:
        """Encrypt a content key for the receiver."""
        return self._key.encrypt(content_key, _PADDING)


class DecryptionKey:
    """The private key of a receiver; raises ValueError for a key of less than 2048 bits."""

    __slots__ = ("_key",)

    def __init__(self, key: RSAPrivateKey) -> None:
        check_size(key.key_size)
        self._key = key

    def unwrap(self, wrapped: bytes) -> bytes:
        """Decrypt a content key; what cannot be decrypted gives a random one, so that only the tag tells (RFC 7516 11.5)."""
        try:
            content_key = self._key.decrypt(wrapped, _PADDING)
        except ValueError:
            content_key = b""
        return content_key if len(content_key) == _KEY_BYTES else os.urandom(_KEY_BYTES)


class _Header(msgspec.Struct):
    """What decides about a decryption. Parameters that compress, bring a key or change the rules make a token worthless."""

    alg: str
    enc: str
    kid: str
    zip: Any = msgspec.UNSET
    crit: Any = msgspec.UNSET
    jwk: Any = msgspec.UNSET
    jku: Any = msgspec.UNSET
    x5c: Any = msgspec.UNSET
    x5u: Any = msgspec.UNSET


_decode_header = msgspec.json.Decoder(_Header).decode
_encode = msgspec.json.Encoder().encode


def encrypt(plaintext: bytes, key: EncryptionKey, *, iat: int) -> str:
    """Make the compact form of an encrypted text; the header holds `alg`, `enc`, `kid` and `iat` (seconds since 1970)."""
    header = to_base64url(_encode({"alg": _ALGORITHM, "enc": _ENCRYPTION, "kid": key.kid, "iat": iat}))
    content_key, iv = os.urandom(_KEY_BYTES), os.urandom(_IV_BYTES)
    sealed = AESGCM(content_key).encrypt(iv, plaintext, header.encode("ascii"))
    ciphertext, tag = sealed[:-_TAG_BYTES], sealed[-_TAG_BYTES:]
    return ".".join([header, *map(to_base64url, (key.wrap(content_key), iv, ciphertext, tag))])


def decrypt(token: str, key_of: Callable[[str], DecryptionKey | None]) -> bytes:
    """Return what an encrypted token holds; raises JoseError.

    `key_of` finds the key of a `kid`. The algorithms must be exactly RSA-OAEP-256 and A256GCM; `zip`, `crit` and parameters
    that bring a key are refused; the IV has 12 bytes and the tag 16, checked over the protected header as it was sent.
    """
    parts = token.split(".", _PARTS)
    if len(parts) != _PARTS:
        raise JoseError("an encrypted token has five parts")
    try:
        header = _decode_header(from_base64url(parts[0]))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise JoseError("the header is not a JSON object with alg, enc and kid") from None
    if (header.alg, header.enc) != (_ALGORITHM, _ENCRYPTION):
        raise JoseError("another algorithm than RSA-OAEP-256 with A256GCM")
    forbidden = (header.zip, header.crit, header.jwk, header.jku, header.x5c, header.x5u)
    if any(parameter is not msgspec.UNSET for parameter in forbidden):
        raise JoseError("the header compresses, brings a key or critical parameters")
    key = key_of(header.kid)
    if key is None:
        raise JoseError("unknown key")
    wrapped, iv, ciphertext, tag = map(from_base64url, parts[1:])
    if len(iv) != _IV_BYTES or len(tag) != _TAG_BYTES:
        raise JoseError("the IV has 12 bytes and the tag 16")
    try:
        return AESGCM(key.unwrap(wrapped)).decrypt(iv, ciphertext + tag, parts[0].encode("ascii"))
    except InvalidTag:
        raise JoseError("the content is not what was encrypted to this key") from None
