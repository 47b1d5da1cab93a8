"""JWT version 2 of CyberSource: a token for each request, signed with the merchant's shared secret (HS256)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import uuid
from typing import Final

import msgspec

from shanraq.core.errors import InvalidInputError
from shanraq.core.secret import Secret

LIFE_SECONDS: Final = 120

_encode = msgspec.json.Encoder().encode


class Signer:
    """Makes tokens for one merchant; the secret is decoded once. Raises InvalidInputError unless it is base64."""

    def __init__(self, merchant_id: str, key_id: str, secret: Secret, portfolio_id: str | None = None) -> None:
        try:
            self._key = base64.b64decode(secret.reveal(), validate=True)
        except (binascii.Error, ValueError):
            # Without the original error, which could show the secret.
            raise InvalidInputError("must be base64", field="secret") from None
        self._merchant_id = merchant_id
        self._issuer = portfolio_id or merchant_id
        self._header = _base64url(_encode({"alg": "HS256", "kid": key_id, "typ": "JWT"}))

    def __repr__(self) -> str:
        return f"Signer({self._merchant_id})"

    def token(
        self, method: str, host: str, target: str, body: bytes, *, issued_at: int, token_id: str | None = None
    ) -> str:
        """Return the token of one request; `target` is the path with query, `issued_at` Unix seconds."""
        claims: dict[str, str | int] = {}
        if body:
            claims["digest"] = base64.b64encode(hashlib.sha256(body).digest()).decode()
            claims["digestAlgorithm"] = "SHA-256"
        claims |= {
            "exp": issued_at + LIFE_SECONDS,
            "iat": issued_at,
            "iss": self._issuer,
            "jti": token_id or str(uuid.uuid4()),
            "request-host": host,
            "request-method": method,
            "request-resource-path": target,
            "v-c-jwt-version": "2",
            "v-c-merchant-id": self._merchant_id,
        }
        signed = self._header + b"." + _base64url(_encode(claims))
        return (signed + b"." + _base64url(hmac.digest(self._key, signed, "sha256"))).decode()


def _base64url(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")
