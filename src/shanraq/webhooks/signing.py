"""Standard Webhooks 1.0.0: signing and verifying, on bytes, without IO or a clock of its own.

What is signed is `id.timestamp.body`, the very bytes that are sent. A signature item is `v1,` + base64 of HMAC-SHA256, or
`v1a,` + base64 of an ed25519 signature; a header holds one item a key, so keys can be rotated without a gap.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeAlias, assert_never

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from shanraq.webhooks.errors import InvalidSecretError

TOLERANCE_SECONDS: Final = 300
SECRET_BYTES: Final = 32
_HMAC_BYTES: Final = range(24, 65)
_TIMESTAMP = re.compile(r"0|[1-9][0-9]{0,14}", re.ASCII)
_HEADERS: Final = ("webhook-id", "webhook-timestamp", "webhook-signature")


class SecretKind(StrEnum):
    """`hmac` signs `v1` (both sides know the secret), `ed25519` signs `v1a` (the receiver knows the public key)."""

    HMAC = "hmac"
    ED25519 = "ed25519"


@dataclass(frozen=True, slots=True, repr=False)
class HmacSecret:
    """A shared secret of 24 to 64 bytes, written `whsec_`."""

    key: bytes

    @classmethod
    def generate(cls) -> HmacSecret:
        """Return a new random secret of 32 bytes."""
        return cls(os.urandom(SECRET_BYTES))

    def text(self) -> str:
        """Write the secret as the receiver needs it."""
        return "whsec_" + base64.b64encode(self.key).decode()


@dataclass(frozen=True, slots=True, repr=False)
class Ed25519Secret:
    """A signing key: the seed of 32 bytes, written `whsk_` together with its public key."""

    seed: bytes

    @classmethod
    def generate(cls) -> Ed25519Secret:
        """Return a new random signing key."""
        return cls(os.urandom(32))

    @property
    def public(self) -> Ed25519Public:
        """Return the public key that verifies what this key signs."""
        return Ed25519Public(Ed25519PrivateKey.from_private_bytes(self.seed).public_key().public_bytes_raw())

    def text(self) -> str:
        """Write the secret key; it never leaves the sender."""
        return "whsk_" + base64.b64encode(self.seed + self.public.key).decode()


@dataclass(frozen=True, slots=True)
class Ed25519Public:
    """A public key of 32 bytes, written `whpk_`."""

    key: bytes

    def text(self) -> str:
        """Write the public key as the receiver needs it."""
        return "whpk_" + base64.b64encode(self.key).decode()


SigningSecret: TypeAlias = HmacSecret | Ed25519Secret
VerificationKey: TypeAlias = HmacSecret | Ed25519Public


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A secret and when it signs: `not_before <= timestamp < expires_at`, Unix seconds; None is an open end."""

    secret: SigningSecret
    not_before: int
    expires_at: int | None = None

    def signs_at(self, timestamp: int) -> bool:
        """Tell whether the key signs at this Unix second."""
        return self.not_before <= timestamp and (self.expires_at is None or timestamp < self.expires_at)


def parse_secret(text: str) -> HmacSecret | Ed25519Secret | Ed25519Public:
    """Read the text of a secret or public key; raise InvalidSecretError for anything that is not exactly one."""
    prefix, _, encoded = text.partition("_")
    raw = _decoded(encoded) or b""
    match prefix:
        case "whsec" if len(raw) in _HMAC_BYTES:
            return HmacSecret(raw)
        case "whsk" if len(raw) == 64 and Ed25519Secret(raw[:32]).public.key == raw[32:]:
            return Ed25519Secret(raw[:32])
        case "whpk" if len(raw) == 32 and _is_public_point(raw):
            return Ed25519Public(raw)
    raise InvalidSecretError(field="secret")


def sign(secret: SigningSecret, message_id: str, timestamp: int, body: bytes) -> str:
    """Return one item of the signature header."""
    return _item(secret, _signed_content(message_id, timestamp, body))


def signature_header(keys: Iterable[SigningKey], message_id: str, timestamp: int, body: bytes) -> str:
    """Return the header value: an item for every key that signs at `timestamp`, `v1` before `v1a`, newest key first."""
    content = _signed_content(message_id, timestamp, body)
    active = sorted((key for key in keys if key.signs_at(timestamp)), key=lambda key: -key.not_before)
    shared = [_item(key.secret, content) for key in active if isinstance(key.secret, HmacSecret)]
    public = [_item(key.secret, content) for key in active if isinstance(key.secret, Ed25519Secret)]
    return " ".join(shared + public)


class Rejection(StrEnum):
    """Why a received message is not accepted; `explanation` says it in words, without helping to forge one."""

    HEADER_MISSING = "header_missing"
    HEADER_DUPLICATE = "header_duplicate"
    ID_INVALID = "id_invalid"
    TIMESTAMP_INVALID = "timestamp_invalid"
    TIMESTAMP_TOO_OLD = "timestamp_too_old"
    TIMESTAMP_TOO_NEW = "timestamp_too_new"
    NO_KEY = "no_key"
    NO_MATCHING_SIGNATURE = "no_matching_signature"

    @property
    def explanation(self) -> str:
        """Return a sentence for the developer of a receiver."""
        return _EXPLANATIONS[self]


_EXPLANATIONS: Final = {
    Rejection.HEADER_MISSING: "webhook-id, webhook-timestamp and webhook-signature must all be there and not empty.",
    Rejection.HEADER_DUPLICATE: "One of the three webhook headers is there twice.",
    Rejection.ID_INVALID: "webhook-id contains a full stop, so the signed bytes could be cut at another place.",
    Rejection.TIMESTAMP_INVALID: "webhook-timestamp is not a plain number of Unix seconds.",
    Rejection.TIMESTAMP_TOO_OLD: "The timestamp is older than the tolerance: a replay, or a clock that is ahead.",
    Rejection.TIMESTAMP_TOO_NEW: "The timestamp is newer than the tolerance: milliseconds, or a clock that is behind.",
    Rejection.NO_KEY: "No secret or public key was given.",
    Rejection.NO_MATCHING_SIGNATURE: (
        "No signature fits: another secret, the text of the secret instead of its decoded bytes, or a body that was "
        "parsed and written again. Verify the raw bytes received."
    ),
}


def verify(
    headers: Iterable[tuple[str, str]],
    body: bytes,
    keys: Sequence[VerificationKey],
    now: int,
    tolerance_seconds: int = TOLERANCE_SECONDS,
) -> Rejection | None:
    """Judge a received message; None means it is genuine and fresh. `now` is in Unix seconds."""
    found: dict[str, str] = {}
    for name, value in headers:
        lower = name.lower()
        if lower in _HEADERS:
            if lower in found:
                return Rejection.HEADER_DUPLICATE
            found[lower] = value
    if not all(found.get(name) for name in _HEADERS):
        return Rejection.HEADER_MISSING
    message_id, timestamp_text, signature_text = (found[name] for name in _HEADERS)
    if "." in message_id:
        return Rejection.ID_INVALID
    if not _TIMESTAMP.fullmatch(timestamp_text):
        return Rejection.TIMESTAMP_INVALID
    timestamp = int(timestamp_text)
    if timestamp < now - tolerance_seconds:
        return Rejection.TIMESTAMP_TOO_OLD
    if timestamp > now + tolerance_seconds:
        return Rejection.TIMESTAMP_TOO_NEW
    if not keys:
        return Rejection.NO_KEY
    content = _signed_content(message_id, timestamp, body)
    for item in signature_text.split(" "):
        version, _, encoded = item.partition(",")
        signature = _decoded(encoded)
        if signature and any(_fits(version, signature, key, content) for key in keys):
            return None
    return Rejection.NO_MATCHING_SIGNATURE


def _fits(version: str, signature: bytes, key: VerificationKey, content: bytes) -> bool:
    match key:
        case HmacSecret():
            return version == "v1" and hmac.compare_digest(hmac.digest(key.key, content, "sha256"), signature)
        case Ed25519Public():
            if version != "v1a" or len(signature) != 64:
                return False
            try:
                # OpenSSL refuses the malleable form, an S at or above the group order (RFC 8032, 5.1.7).
                Ed25519PublicKey.from_public_bytes(key.key).verify(signature, content)
            except InvalidSignature:
                return False
            return True
        case _:
            assert_never(key)


def _signed_content(message_id: str, timestamp: int, body: bytes) -> bytes:
    return f"{message_id}.{timestamp}.".encode() + body


def _item(secret: SigningSecret, content: bytes) -> str:
    match secret:
        case HmacSecret():
            return "v1," + _encoded(hmac.digest(secret.key, content, "sha256"))
        case Ed25519Secret():
            return "v1a," + _encoded(Ed25519PrivateKey.from_private_bytes(secret.seed).sign(content))
        case _:
            assert_never(secret)


def _encoded(raw: bytes) -> str:
    return binascii.b2a_base64(raw, newline=False).decode("ascii")


def _decoded(text: str) -> bytes | None:
    # Strict: writing it again must give the same text, so no foreign character, missing padding or stray bit gets by.
    try:
        raw = base64.b64decode(text, validate=True)
    except ValueError:
        return None
    return raw if _encoded(raw) == text else None


# The curve of RFC 8032, 5.1: enough arithmetic to tell whether 32 bytes are a public key. Libraries load any 32 bytes.
_P: Final = 2**255 - 19
_ORDER: Final = 2**252 + 27742317777372353535851937790883648493
_D: Final = -121665 * pow(121666, -1, _P) % _P
_Point: TypeAlias = tuple[int, int, int, int]


def _is_public_point(raw: bytes) -> bool:
    number = int.from_bytes(raw, "little")
    sign, y = number >> 255, number & (2**255 - 1)
    if y >= _P:
        return False
    square = (y * y - 1) * pow(_D * y * y + 1, -1, _P) % _P
    x = pow(square, (_P + 3) // 8, _P)
    if (x * x - square) % _P:
        x = x * pow(2, (_P - 1) // 4, _P) % _P
    if (x * x - square) % _P or (x == 0 and sign):
        return False
    if x & 1 != sign:
        x = _P - x
    # A point of small order would accept forged signatures: only the prime subgroup without its neutral element is valid.
    return (x, y) != (0, 1) and _is_neutral(_times(_ORDER, (x, y, 1, x * y % _P)))


def _times(factor: int, point: _Point) -> _Point:
    total: _Point = (0, 1, 1, 0)
    while factor:
        if factor & 1:
            total = _plus(total, point)
        point = _plus(point, point)
        factor >>= 1
    return total


def _plus(left: _Point, right: _Point) -> _Point:
    a = (left[1] - left[0]) * (right[1] - right[0]) % _P
    b = (left[1] + left[0]) * (right[1] + right[0]) % _P
    c = 2 * left[3] * right[3] * _D % _P
    d = 2 * left[2] * right[2] % _P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % _P, g * h % _P, f * g % _P, e * h % _P


def _is_neutral(point: _Point) -> bool:
    return point[0] % _P == 0 and (point[1] - point[2]) % _P == 0
