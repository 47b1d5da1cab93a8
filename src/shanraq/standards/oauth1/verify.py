"""Verify the Authorization header of a request, strictly: each rule has its own refusal."""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from shanraq.standards.oauth1.base_string import Oauth1Error, base_string, body_hash, unescaped
from shanraq.standards.oauth1.keys import SignatureMethod, VerificationKey
from shanraq.standards.oauth1.sign import CONSUMER_KEY, NONCE, TIMESTAMP, VERSION

_LONGEST_HEADER: Final = 4096
_PARAMETER: Final = re.compile(r'([a-z_]+)="([!#-~]*)"')
_BETWEEN: Final = re.compile(r"[ \t]*,[ \t]*")
_NAMES: Final = frozenset(
    {
        "oauth_consumer_key",
        "oauth_nonce",
        "oauth_timestamp",
        "oauth_signature_method",
        "oauth_version",
        "oauth_body_hash",
        "oauth_signature",
    }
)


@dataclass(frozen=True, slots=True)
class Verified:
    """Who signed a request, and when (seconds since 1970, by the signer's clock)."""

    consumer_key: str
    nonce: str
    timestamp: int


class FirstUse(Protocol):
    """A memory of nonces. One call looks and remembers, so that of two equal requests at once only one is the first."""

    def __call__(self, consumer_key: str, nonce: str, timestamp: int) -> bool:
        """Tell whether the nonce is new, and remember it until its timestamp has left the window."""


def verify(
    authorization: str,
    method: str,
    url: str,
    body: bytes,
    *,
    key_of: Callable[[str], VerificationKey | None],
    now_seconds: float,
    window_seconds: float,
    first_use: FirstUse,
) -> Verified:
    """Return who signed a request; raises Oauth1Error.

    `url` is the absolute URL as the consumer signed it. `key_of` finds the key of a consumer key. A timestamp may be
    `window_seconds` away from now, either way. The memory is asked last: a request that is refused uses up no nonce.
    """
    parameters = _parameters(authorization)
    consumer_key, nonce = parameters["oauth_consumer_key"], parameters["oauth_nonce"]
    key = key_of(consumer_key) if CONSUMER_KEY.fullmatch(consumer_key) else None
    if key is None:
        raise Oauth1Error("unknown consumer key")
    if parameters["oauth_version"] != VERSION:
        raise Oauth1Error("another version than 1.0")
    signature_method = _signature_method(parameters["oauth_signature_method"], key)
    if not NONCE.fullmatch(nonce):
        raise Oauth1Error("the nonce does not have the form of one")
    if not TIMESTAMP.fullmatch(parameters["oauth_timestamp"]):
        raise Oauth1Error("the timestamp does not have the form of one")
    timestamp = int(parameters["oauth_timestamp"])
    # Written so that a clock or a window that is no number lets nothing through.
    if not abs(timestamp - now_seconds) <= window_seconds:
        raise Oauth1Error("the timestamp is outside the window")
    if not hmac.compare_digest(parameters["oauth_body_hash"].encode(), body_hash(body).encode()):
        raise Oauth1Error("the body hash is not the body's")
    signature = _signature(parameters.pop("oauth_signature"))
    text = base_string(method, url, parameters).encode("ascii")
    if not key.verifies(text, signature, signature_method):
        raise Oauth1Error("the signature is not the key's")
    if not first_use(consumer_key, nonce, timestamp):
        raise Oauth1Error("the nonce was used before")
    return Verified(consumer_key, nonce, timestamp)


def _parameters(authorization: str) -> dict[str, str]:
    if len(authorization) > _LONGEST_HEADER:
        raise Oauth1Error("the header is too long")
    scheme, _, rest = authorization.partition(" ")
    if scheme.lower() != "oauth":
        raise Oauth1Error("another scheme than OAuth")
    parameters: dict[str, str] = {}
    for part in _BETWEEN.split(rest.strip(" \t")):
        found = _PARAMETER.fullmatch(part)
        if found is None:
            raise Oauth1Error('a parameter is not written as name="value"')
        name, value = found.groups()
        if name in parameters:
            raise Oauth1Error("a parameter stands twice")
        if name not in _NAMES:
            raise Oauth1Error("an unknown parameter")
        parameters[name] = unescaped(value)
    if missing := _NAMES - parameters.keys():
        raise Oauth1Error(f"{min(missing)} is missing")
    return parameters


def _signature_method(name: str, key: VerificationKey) -> SignatureMethod:
    """The methods belong to the key: a request that names another (HMAC-SHA256, PLAINTEXT) is refused unread."""
    for method in key.methods:
        if name == method.value:
            return method
    raise Oauth1Error("a signature method that is not expected")


def _signature(text: str) -> bytes:
    try:
        signature = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Oauth1Error("the signature is not base64") from None
    # Unused bits are ignored by the decoder: only the way back shows that the text is the one of this value.
    if base64.b64encode(signature).decode("ascii") != text:
        raise Oauth1Error("the signature is not base64")
    return signature
