"""Read the credentials of a request from its headers; whose they are is for `partners` to say.

Authorization: Basic <base64 of key id:secret>      a partner's API key (RFC 7617)
Authorization: Bearer <token>                       an operator (RFC 6750)
Shanraq-Signature: v1=<hex>                         a request signed with an API key's secret, see `signed_text`
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from shanraq.core.actor import Actor
from shanraq.core.errors import UnauthenticatedError
from shanraq.core.secret import ApiSecret, Secret
from shanraq.partners import BasicCredentials, Credentials, OperatorToken, SignedCredentials

# Headers that must not be there twice, as then two readers may take different values.
SINGLE_HEADERS: Final = frozenset(
    (
        b"authorization", b"content-type", b"content-length", b"idempotency-key",
        b"shanraq-key", b"shanraq-timestamp", b"shanraq-nonce", b"shanraq-signature",
    )
)  # fmt: skip

_KEY_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_NONCE = re.compile(r"[A-Za-z0-9_-]{16,64}")
_TIMESTAMP = re.compile(r"[1-9][0-9]{9}")
_SIGNATURE = re.compile(r"v1=[0-9a-f]{64}")
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]{1,512}=*")


class MissingCredentialsError(UnauthenticatedError, code="missing_credentials", status=401):
    """The request shows no credentials.

    Send an API key as HTTP Basic (key id as user, secret as password), sign the request, or send an operator's token.
    """


class MalformedCredentialsError(UnauthenticatedError, code="malformed_credentials", status=401):
    """The credentials are not written as they should be, or there are two kinds of them."""


Authenticate = Callable[[Credentials, str], Awaitable[Actor]]
"""Say whose credentials these are, shown from this network address; raise UnauthenticatedError (401) if nobody's."""


def is_signed(headers: Mapping[bytes, bytes]) -> bool:
    """Tell whether the request is signed, so that its body has to be read first."""
    return b"shanraq-signature" in headers


def read_credentials(headers: Mapping[bytes, bytes], method: str, target: str, body: bytes) -> Credentials:
    """Read the credentials; `body` matters for signed requests only.

    Raises MissingCredentialsError or MalformedCredentialsError (401).
    """
    authorization = headers.get(b"authorization")
    if is_signed(headers):
        if authorization is not None:
            raise MalformedCredentialsError("is sent with a signature; send one of them", field="Authorization")
        return _signed(headers, method, target, body)
    if authorization is None:
        raise MissingCredentialsError
    scheme, _, value = authorization.decode("latin-1").strip().partition(" ")
    match scheme.lower():
        case "basic":
            return _basic(value.strip())
        case "bearer" if _TOKEN.fullmatch(value.strip()):
            return OperatorToken(Secret(value.strip()))
        case "bearer":
            raise MalformedCredentialsError("is no bearer token (RFC 6750)", field="Authorization")
        case _:
            raise MalformedCredentialsError("must be Basic or Bearer", field="Authorization")


def _basic(value: str) -> BasicCredentials:
    try:
        key_id, colon, secret = base64.b64decode(value, validate=True).decode("ascii").partition(":")
    except (binascii.Error, ValueError):
        raise MalformedCredentialsError("is no base64 of key id:secret (RFC 7617)", field="Authorization") from None
    if not colon or not secret or not _KEY_ID.fullmatch(key_id):
        raise MalformedCredentialsError("is no base64 of key id:secret (RFC 7617)", field="Authorization")
    return BasicCredentials(key_id, ApiSecret(secret))


def _signed(headers: Mapping[bytes, bytes], method: str, target: str, body: bytes) -> SignedCredentials:
    def read(name: str, pattern: re.Pattern[str]) -> str:
        value = headers.get(name.lower().encode(), b"").decode("latin-1")
        if not pattern.fullmatch(value):
            raise MalformedCredentialsError("is missing or malformed", field=name)
        return value

    return SignedCredentials(
        key_id=read("Shanraq-Key", _KEY_ID),
        timestamp=int(read("Shanraq-Timestamp", _TIMESTAMP)),
        nonce=read("Shanraq-Nonce", _NONCE),
        signature=bytes.fromhex(read("Shanraq-Signature", _SIGNATURE).removeprefix("v1=")),
        method=method,
        target=target,
        body_sha256=hashlib.sha256(body).hexdigest(),
    )
