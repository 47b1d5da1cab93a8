"""How a request to CyberSource proves who sends it: JWT version 2 (HS256, RS256), HTTP Signature, or a bearer token.

A scheme makes the headers of one request. What it signs is the host of the endpoint that is called, the path with its query
and the digest of the body as it leaves, which is the encrypted one where messages are encrypted.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
from email.utils import formatdate
from typing import Final, Protocol

import msgspec

from shanraq.core.errors import InvalidInputError
from shanraq.core.secret import Secret
from shanraq.standards import jose

LIFE_SECONDS: Final = 120
# The digit of the variant, of which two bits are random.
_VARIANT: Final = dict(zip("0123456789abcdef", "89ab" * 4, strict=True))
WITH_BODY: Final = frozenset({"POST", "PUT", "PATCH"})

Header = tuple[str, str]

_encode = msgspec.json.Encoder().encode


class Scheme(Protocol):
    """One way of authentication. `asks_for_encryption` tells that a request can ask for an encrypted reply."""

    asks_for_encryption: bool
    encrypts: bool

    def headers(self, method: str, host: str, target: str, body: bytes, *, now: int, reply_key_id: str) -> list[Header]:
        """Return the headers that authenticate a request; `target` is the path with query, `now` Unix seconds."""


class JwtSigner:
    """A token for each request, signed with the key of the merchant or of its portfolio (MetaKey).

    `key_id` is the id of the shared secret, or the serialNumber of the certificate's subject.
    """

    asks_for_encryption = True
    encrypts = True

    def __init__(self, merchant_id: str, key_id: str, key: jose.SigningKey, portfolio_id: str | None = None) -> None:
        self._key = key
        self._merchant_id = merchant_id
        self._issuer = portfolio_id or merchant_id
        # The header is the same for every token, so it is written once.
        self._header = _base64url(_encode({"alg": key.algorithm, "kid": key_id, "typ": "JWT"}))

    def __repr__(self) -> str:
        return f"JwtSigner({self._merchant_id}, {self._key.algorithm})"

    def headers(self, method: str, host: str, target: str, body: bytes, *, now: int, reply_key_id: str) -> list[Header]:
        """Return the Authorization header."""
        token = self.token(method, host, target, body, issued_at=now, reply_key_id=reply_key_id)
        return [("Authorization", f"Bearer {token}")]

    def token(
        self,
        method: str,
        host: str,
        target: str,
        body: bytes,
        *,
        issued_at: int,
        token_id: str | None = None,
        reply_key_id: str = "",
    ) -> str:
        """Return the token of one request; `target` is the path with query, `issued_at` Unix seconds."""
        claims: dict[str, str | int] = {}
        if method in WITH_BODY:
            claims["digest"] = base64.b64encode(hashlib.sha256(body).digest()).decode()
            claims["digestAlgorithm"] = "SHA-256"
        claims |= {
            "exp": issued_at + LIFE_SECONDS,
            "iat": issued_at,
            "iss": self._issuer,
            "jti": token_id or _uuid4(),
            "request-host": host,
            "request-method": method,
            "request-resource-path": target,
            "v-c-jwt-version": "2",
            "v-c-merchant-id": self._merchant_id,
        }
        if reply_key_id:
            claims["v-c-response-mle-kid"] = reply_key_id
        signed = self._header + b"." + _base64url(_encode(claims))
        return (signed + b"." + _base64url(self._key.sign(signed))).decode()


class Signer(JwtSigner):
    """JWT with the shared secret (HS256), which is decoded once. Raises InvalidInputError unless it is base64."""

    def __init__(self, merchant_id: str, key_id: str, secret: Secret, portfolio_id: str | None = None) -> None:
        super().__init__(merchant_id, key_id, jose.HmacKey(shared_secret(secret)), portfolio_id)


class HttpSigner:
    """HTTP Signature with the shared secret, for merchants that still have it; messages are never encrypted with it.

    For a key of a portfolio the signed text names the portfolio, while the header names the merchant. Raises
    InvalidInputError for a secret that is not base64.
    """

    asks_for_encryption = False
    encrypts = False

    def __init__(self, merchant_id: str, key_id: str, secret: Secret, portfolio_id: str | None = None) -> None:
        self._key = jose.HmacKey(shared_secret(secret))
        self._key_id = key_id
        self._merchant_id = merchant_id
        self._signed_id = portfolio_id or merchant_id

    def __repr__(self) -> str:
        return f"HttpSigner({self._merchant_id})"

    def headers(self, method: str, host: str, target: str, body: bytes, *, now: int, reply_key_id: str) -> list[Header]:
        """Return the headers Date, v-c-merchant-id, Digest and Signature."""
        return self.dated(method, host, target, body, date=formatdate(now, usegmt=True))

    def dated(self, method: str, host: str, target: str, body: bytes, *, date: str) -> list[Header]:
        """Return the same for a date in the form of RFC 7231."""
        made = [("Date", date), ("v-c-merchant-id", self._merchant_id)]
        names = ["host", "date", "request-target", "v-c-merchant-id"]
        lines = [f"host: {host}", f"date: {date}", f"request-target: {method.lower()} {target}"]
        if method in WITH_BODY:
            digest = "SHA-256=" + base64.b64encode(hashlib.sha256(body).digest()).decode()
            made.append(("Digest", digest))
            names.insert(3, "digest")
            lines.append(f"digest: {digest}")
        lines.append(f"v-c-merchant-id: {self._signed_id}")
        signature = base64.b64encode(self._key.sign("\n".join(lines).encode())).decode()
        made.append(
            (
                "Signature",
                f'keyid="{self._key_id}", algorithm="HmacSHA256", headers="{" ".join(names)}", signature="{signature}"',
            )
        )
        return made


class Bearer:
    """OAuth 2.0: the access token that `exchange` keeps fresh; the connection proves the rest (mutual TLS)."""

    asks_for_encryption = False
    encrypts = False

    def __init__(self) -> None:
        self.access_token = ""

    def __repr__(self) -> str:
        return "Bearer()"

    def headers(self, method: str, host: str, target: str, body: bytes, *, now: int, reply_key_id: str) -> list[Header]:
        """Return the Authorization header."""
        return [("Authorization", f"Bearer {self.access_token}")]


def shared_secret(secret: Secret) -> bytes:
    """Decode a shared secret; raises InvalidInputError, without showing it, unless it is base64 and not empty."""
    try:
        key = base64.b64decode(secret.reveal(), validate=True)
    except (binascii.Error, ValueError):
        # Without the original error, which could show the secret.
        raise InvalidInputError("must be base64", field="secret") from None
    if not key:
        raise InvalidInputError("must not be empty", field="secret")
    return key


def _uuid4() -> str:
    """Return a random UUID (RFC 9562, version 4)."""
    text = os.urandom(16).hex()
    return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-{_VARIANT[text[16]]}{text[17:20]}-{text[20:]}"


def _base64url(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")
