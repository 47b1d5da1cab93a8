"""Verify who sent a request: JWT version 2 and OAuth (`Authorization: Bearer`), and the older HTTP Signature.

Every refusal looks the same from outside. A signed token works once: its `jti` is remembered for as long as it lives.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import Final, Protocol

import msgspec

from shanraq.simulators.serve import Peer, Request
from shanraq.simulators.visa.credentials import VisaCredentials, certificate_in, rsa_public_key_of, serial_number_of
from shanraq.standards import jose

_TOKEN_LIFE_SECONDS: Final = 120
_CLOCK_SKEW_SECONDS: Final = 60
_DATE_SKEW_SECONDS: Final = 300
_LONGEST_JTI: Final = 256


class NotAuthenticError(Exception):
    """The request is not proved to come from a merchant; why is for tests, never for the reply."""


class Scheme(StrEnum):
    """How a request was proved to come from a merchant."""

    HTTP_SIGNATURE = "http_signature"
    JWT = "jwt"
    OAUTH = "oauth"


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a request comes from, and the key under which it wants an encrypted reply (empty: none)."""

    merchant_id: str
    scheme: Scheme
    response_key_id: str = ""


@dataclass(frozen=True, slots=True)
class MerchantKey:
    """A key, whose it is, and the merchant it speaks for: the owner itself, or one of a portfolio that owns it (MetaKey)."""

    owner: str
    merchant_id: str
    key: jose.VerificationKey


class AccessTokens(Protocol):
    """Who checks the tokens that OAuth gave out; they are signed with a key that no merchant has."""

    kid: str
    key: jose.VerificationKey

    def check(self, payload: bytes, peer: Peer | None) -> str:
        """Return the merchant a token acts for; raises NotAuthenticError."""


def keys_of(credentials: VisaCredentials) -> Iterator[tuple[str, MerchantKey]]:
    """Yield every key of the credentials with its key id; raises ValueError for a certificate that cannot serve."""
    own, other = credentials.merchant_id, credentials.other_merchant_id
    for key_id, owner, merchant_id, secret in (
        (credentials.key_id, own, own, credentials.secret),
        (credentials.other_key_id, other, other, credentials.other_secret),
        (credentials.portfolio_key_id, credentials.portfolio_id, own, credentials.portfolio_secret),
    ):
        if key_id:
            yield key_id, MerchantKey(owner, merchant_id, jose.HmacKey(base64.b64decode(secret, validate=True)))
    for name, merchant_id, pem, expected in (
        ("merchant_cert", own, credentials.merchant_cert, credentials.p12_serial),
        ("other_merchant_cert", other, credentials.other_merchant_cert, ""),
    ):
        if pem:
            certificate = certificate_in(name, pem, merchant_id)
            serial_number = serial_number_of(certificate)
            if not serial_number or serial_number != (expected or serial_number):
                wanted = f"the serialNumber {expected}" if expected else "a serialNumber"
                raise ValueError(f"credentials: the subject of {name} needs {wanted}")
            key = jose.RsaVerificationKey(rsa_public_key_of(name, certificate))
            yield serial_number, MerchantKey(merchant_id, merchant_id, key)


class _Claims(msgspec.Struct):
    """The claims of a JWT of version 2; types are strict, so `exp: 1.0` or `"1"` is refused."""

    iat: int
    exp: int
    jti: str
    iss: str
    method: str = msgspec.field(name="request-method")
    host: str = msgspec.field(name="request-host")
    resource_path: str = msgspec.field(name="request-resource-path")
    merchant_id: str = msgspec.field(name="v-c-merchant-id")
    version: str = msgspec.field(name="v-c-jwt-version", default="2")
    digest: str = ""
    digest_algorithm: str = msgspec.field(name="digestAlgorithm", default="")
    response_key_id: str = msgspec.field(name="v-c-response-mle-kid", default="")


_decode_claims = msgspec.json.Decoder(_Claims).decode

_PARAMETER = re.compile(r'\s*([A-Za-z]+)="([^"]*)"\s*(?:,|$)')
_REQUEST_TARGET: Final = frozenset({"request-target", "(request-target)"})


class Verifier:
    """Checks requests against the keys of the merchants, the own host names and the wall clock (seconds).

    Without `access_tokens` there is no OAuth.
    """

    def __init__(
        self,
        keys: Iterable[tuple[str, MerchantKey]],
        hosts: Iterable[str],
        clock: Callable[[], float],
        access_tokens: AccessTokens | None = None,
    ) -> None:
        self._keys: dict[str, MerchantKey] = {}
        for key_id, key in keys:
            if key_id in self._keys:
                raise ValueError(f"credentials: two keys have the id {key_id}")
            self._keys[key_id] = key
        self._hosts = {host.lower() for host in hosts}
        self._clock = clock
        self._access_tokens = access_tokens
        self._recent_jtis: set[tuple[str, str]] = set()
        self._older_jtis: set[tuple[str, str]] = set()
        self._recent_since = clock()

    def add_host(self, host: str) -> None:
        """Answer to one more name (host[:port])."""
        self._hosts.add(host.lower())

    def verify(self, request: Request) -> Identity:
        """Return who sent the request; raises NotAuthenticError."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return self._verify_token(request, token)
        if "signature" in request.headers:
            return self._verify_signature(request, request.headers["signature"])
        raise NotAuthenticError("no credentials")

    def _key_of(self, kid: str) -> jose.VerificationKey | None:
        known = self._keys.get(kid)
        if known is not None:
            return known.key
        access_tokens = self._access_tokens
        return access_tokens.key if access_tokens is not None and kid == access_tokens.kid else None

    def _verify_token(self, request: Request, token: str) -> Identity:
        try:
            verified = jose.verify(token, self._key_of)
        except jose.JoseError as error:
            raise NotAuthenticError(str(error)) from None
        known = self._keys.get(verified.kid)
        if known is None:
            assert self._access_tokens is not None
            return Identity(self._access_tokens.check(verified.payload, request.peer), Scheme.OAUTH)
        try:
            claims = _decode_claims(verified.payload)
        except (ValueError, RecursionError) as error:
            raise NotAuthenticError("claims") from error
        self._check_claims(request, claims, known)
        self._use_up(verified.kid, claims.jti)
        return Identity(claims.merchant_id, Scheme.JWT, claims.response_key_id)

    def _check_claims(self, request: Request, claims: _Claims, key: MerchantKey) -> None:
        now = self._clock()
        if not (now < claims.exp <= claims.iat + _TOKEN_LIFE_SECONDS and claims.iat <= now + _CLOCK_SKEW_SECONDS):
            raise NotAuthenticError("time")
        if claims.merchant_id != key.merchant_id or claims.iss != key.owner:
            raise NotAuthenticError("merchant does not own the key")
        if claims.method.upper() != request.method or claims.resource_path != request.target:
            raise NotAuthenticError("method or path")
        # The signed name may differ from the called one (a client behind another address), but both must be ours.
        called = request.headers.get("host", "").lower()
        if claims.host.lower() not in self._hosts or called not in self._hosts:
            raise NotAuthenticError("host")
        if (request.body or claims.digest or claims.digest_algorithm) and not (
            claims.digest_algorithm == "SHA-256" and claims.digest == _digest(request.body)
        ):
            raise NotAuthenticError("digest")
        if not 0 < len(claims.jti) <= _LONGEST_JTI or claims.version != "2":
            raise NotAuthenticError("jti or version")

    def _use_up(self, key_id: str, jti: str) -> None:
        # A token lives at most 180 s from now (60 s of skew, 120 s of life): two generations of that length hold all.
        now = self._clock()
        if now - self._recent_since > _TOKEN_LIFE_SECONDS + _CLOCK_SKEW_SECONDS:
            self._older_jtis, self._recent_jtis, self._recent_since = self._recent_jtis, set(), now
        used = (key_id, jti)
        if used in self._recent_jtis or used in self._older_jtis:
            raise NotAuthenticError("jti used before")
        self._recent_jtis.add(used)

    def _verify_signature(self, request: Request, text: str) -> Identity:
        parameters = dict(_parameters(text))
        known = self._keys.get(parameters.get("keyid", ""))
        if known is None or known.key.algorithm != "HS256" or parameters.get("algorithm", "").lower() != "hmacsha256":
            raise NotAuthenticError("unknown key or algorithm")
        if request.headers.get("v-c-merchant-id") != known.merchant_id:
            raise NotAuthenticError("merchant does not own the key")
        labels = parameters.get("headers", "").split(" ")
        required = {"host", "date", "v-c-merchant-id"} | ({"digest"} if request.body else set())
        if not required.issubset(labels) or _REQUEST_TARGET.isdisjoint(labels) or len(set(labels)) != len(labels):
            raise NotAuthenticError("not all headers signed, or one twice")
        self._check_date(request)
        if "digest" in labels and request.headers.get("digest") != f"SHA-256={_digest(request.body)}":
            raise NotAuthenticError("digest")
        try:
            signature = base64.b64decode(parameters.get("signature", ""), validate=True)
        except ValueError as error:
            raise NotAuthenticError("signature") from error
        called = request.headers.get("host", "").lower()
        if called in self._hosts:
            # The client may sign another of our names than the one it connects to.
            for host in (request.headers["host"], called, *self._hosts):
                if known.key.verifies(_text_to_sign(request, labels, host, known.owner), signature):
                    return Identity(known.merchant_id, Scheme.HTTP_SIGNATURE)
        raise NotAuthenticError("signature or host")

    def _check_date(self, request: Request) -> None:
        try:
            sent_at = parsedate_to_datetime(request.headers.get("date", ""))
        except (ValueError, TypeError, OverflowError) as error:
            raise NotAuthenticError("date") from error
        # Without a zone it would be read in the zone of this machine.
        if sent_at.tzinfo is None or abs(self._clock() - sent_at.timestamp()) > _DATE_SKEW_SECONDS:
            raise NotAuthenticError("date")


def _digest(body: bytes) -> str:
    return base64.b64encode(hashlib.sha256(body).digest()).decode()


def _parameters(text: str) -> Iterator[tuple[str, str]]:
    names: set[str] = set()
    position = 0
    while position < len(text):
        match = _PARAMETER.match(text, position)
        if match is None or match[1] in names:
            raise NotAuthenticError("signature header")
        names.add(match[1])
        yield match[1], match[2]
        position = match.end()


def _text_to_sign(request: Request, labels: Iterable[str], host: str, owner: str) -> bytes:
    lines = []
    for label in labels:
        if label in _REQUEST_TARGET:
            value = f"{request.method.lower()} {request.target}"
        elif label == "host":
            value = host
        elif label == "v-c-merchant-id":
            # A portfolio's key signs the portfolio's id, while the header names the merchant.
            value = owner
        elif label in request.headers:
            value = request.headers[label]
        else:
            raise NotAuthenticError("a signed header is missing")
        lines.append(f"{label}: {value}")
    return "\n".join(lines).encode("latin-1")
