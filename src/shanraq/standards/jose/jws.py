"""Signed tokens: JWS compact serialisation (RFC 7515 section 7.1) with HS256 or RS256 (RFC 7518 sections 3.2 and 3.3)."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256

from shanraq.standards.jose.base64url import JoseError, from_base64url, to_base64url

_LONGEST_TOKEN: Final = 16_384
_SMALLEST_RSA_BITS: Final = 2048
_PADDING: Final = PKCS1v15()
_HASH: Final = SHA256()


class VerificationKey(Protocol):
    """A key that checks signatures of one algorithm."""

    algorithm: str

    def verifies(self, text: bytes, signature: bytes) -> bool:
        """Tell whether the signature over the text is this key's."""


class SigningKey(Protocol):
    """A key that signs with one algorithm."""

    algorithm: str

    def sign(self, text: bytes) -> bytes:
        """Return the signature over the text."""


class HmacKey:
    """HS256: HMAC-SHA256 under a shared secret; raises ValueError for an empty one."""

    __slots__ = ("_secret", "algorithm")

    def __init__(self, secret: bytes) -> None:
        if not secret:
            raise ValueError("an empty secret protects nothing")
        self.algorithm = "HS256"
        self._secret = secret

    def sign(self, text: bytes) -> bytes:
        """Return the code of 32 bytes."""
        return hmac.digest(self._secret, text, "sha256")

    def verifies(self, text: bytes, signature: bytes) -> bool:
        """Tell whether the code is this secret's, in constant time."""
        return hmac.compare_digest(hmac.digest(self._secret, text, "sha256"), signature)


class RsaSigningKey:
    """RS256: RSASSA-PKCS1-v1_5 with SHA-256; raises ValueError for a key of less than 2048 bits."""

    __slots__ = ("_key", "algorithm")

    def __init__(self, key: RSAPrivateKey) -> None:
        check_size(key.key_size)
        self.algorithm = "RS256"
        self._key = key

    def sign(self, text: bytes) -> bytes:
        """Return a signature as long as the key's modulus."""
        return self._key.sign(text, _PADDING, _HASH)


class RsaVerificationKey:
    """RS256: RSASSA-PKCS1-v1_5 with SHA-256; raises ValueError for a key of less than 2048 bits."""

    __slots__ = ("_key", "algorithm")

    def __init__(self, key: RSAPublicKey) -> None:
        check_size(key.key_size)
        self.algorithm = "RS256"
        self._key = key

    def verifies(self, text: bytes, signature: bytes) -> bool:
        """Tell whether the signature is of the private key of this one."""
        try:
            self._key.verify(signature, text, _PADDING, _HASH)
        except InvalidSignature:
            return False
        return True


def check_size(bits: int) -> None:
    """Raise ValueError for an RSA key that RFC 7518 (sections 3.3, 4.3) does not allow."""
    if bits < _SMALLEST_RSA_BITS:
        raise ValueError(f"an RSA key needs {_SMALLEST_RSA_BITS} bits or more, this one has {bits}")


@dataclass(frozen=True, slots=True)
class Verified:
    """What a token whose signature holds says: the id of the key that signed it, and the bytes of its payload."""

    kid: str
    payload: bytes


class _Header(msgspec.Struct):
    """What decides about a signature. Parameters that bring a key or change the rules make a token worthless here."""

    alg: str
    kid: str
    crit: Any = msgspec.UNSET
    jwk: Any = msgspec.UNSET
    jku: Any = msgspec.UNSET
    x5c: Any = msgspec.UNSET
    x5u: Any = msgspec.UNSET


_decode_header = msgspec.json.Decoder(_Header).decode
_encode = msgspec.json.Encoder().encode


def sign(payload: bytes, key: SigningKey, *, kid: str, typ: str = "JWT") -> str:
    """Make the compact form of a signed payload; the header holds `kid`, `alg` and `typ`."""
    header = _encode({"kid": kid, "alg": key.algorithm, "typ": typ})
    text = f"{to_base64url(header)}.{to_base64url(payload)}"
    return f"{text}.{to_base64url(key.sign(text.encode('ascii')))}"


def verify(token: str, key_of: Callable[[str], VerificationKey | None]) -> Verified:
    """Return what a signed token says; raises JoseError.

    `key_of` finds the key of a `kid`. The header must name the algorithm of that key, and must not bring a key (`jwk`,
    `jku`, `x5c`, `x5u`) or critical parameters (`crit`: none is understood). What the payload says is the caller's to judge.
    """
    if len(token) > _LONGEST_TOKEN:
        raise JoseError("the token is too long")
    text, _, signature = token.rpartition(".")
    header_text, _, payload_text = text.partition(".")
    try:
        header = _decode_header(from_base64url(header_text))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise JoseError("the header is not a JSON object with alg and kid") from None
    unset = msgspec.UNSET
    if not (
        header.crit is unset
        and header.jwk is unset
        and header.jku is unset
        and header.x5c is unset
        and header.x5u is unset
    ):
        raise JoseError("the header brings a key or critical parameters")
    key = key_of(header.kid)
    # The algorithm belongs to the key: a token that names another (none, HS256 for an RSA key) is refused.
    if key is None or header.alg != key.algorithm:
        raise JoseError("unknown key or another algorithm than the key's")
    payload = from_base64url(payload_text)
    if not key.verifies(text.encode("ascii"), from_base64url(signature)):
        raise JoseError("the signature is not the key's")
    return Verified(header.kid, payload)
