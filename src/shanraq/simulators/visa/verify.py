"""Verify who sent a request: JWT version 2 (`Authorization: Bearer`) and the older HTTP Signature.

Every refusal looks the same from outside. A token works once: its `jti` is remembered for as long as the token lives.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Final, Protocol

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509 import load_pem_x509_certificate
from cryptography.x509.oid import NameOID

from shanraq.simulators.serve import Request
from shanraq.simulators.visa.credentials import VisaCredentials

_TOKEN_LIFE_SECONDS: Final = 120
_CLOCK_SKEW_SECONDS: Final = 60
_DATE_SKEW_SECONDS: Final = 300
_LONGEST_TOKEN: Final = 16_384
_LONGEST_JTI: Final = 256


class NotAuthenticError(Exception):
    """The request is not proved to come from a merchant; why is for tests, never for the reply."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a request comes from, and the key under which it wants an encrypted reply (empty: none)."""

    merchant_id: str
    response_key_id: str = ""


class Key(Protocol):
    """A key of one merchant: the algorithm it is for, and the check of a signature over a text."""

    merchant_id: str
    algorithm: str

    def signed(self, text: bytes, signature: bytes) -> bool:
        """Tell whether the signature is this key's."""


class SharedSecret:
    """HMAC-SHA256 under a shared secret: HS256, and HTTP Signature."""

    __slots__ = ("_secret", "algorithm", "merchant_id")

    def __init__(self, merchant_id: str, secret: str) -> None:
        self.merchant_id = merchant_id
        self.algorithm = "HS256"
        self._secret = base64.b64decode(secret, validate=True)

    def signed(self, text: bytes, signature: bytes) -> bool:
        return hmac.compare_digest(hmac.digest(self._secret, text, "sha256"), signature)


class Certificate:
    """RSASSA-PKCS1-v1_5 with SHA-256 under the key of a merchant's certificate: RS256."""

    __slots__ = ("_public_key", "algorithm", "merchant_id")

    def __init__(self, merchant_id: str, public_key: RSAPublicKey) -> None:
        self.merchant_id = merchant_id
        self.algorithm = "RS256"
        self._public_key = public_key

    def signed(self, text: bytes, signature: bytes) -> bool:
        try:
            self._public_key.verify(signature, text, PKCS1v15(), SHA256())
        except InvalidSignature:
            return False
        return True


def keys_of(credentials: VisaCredentials) -> Iterator[tuple[str, Key]]:
    """Yield every key of the credentials with its key id; raises ValueError for a certificate that cannot serve."""
    yield credentials.key_id, SharedSecret(credentials.merchant_id, credentials.secret)
    yield credentials.other_key_id, SharedSecret(credentials.other_merchant_id, credentials.other_secret)
    for merchant_id, name in (
        (credentials.merchant_id, "certificate"),
        (credentials.other_merchant_id, "other_certificate"),
    ):
        text = credentials.extra.get(name)
        if not isinstance(text, str):
            continue
        certificate = load_pem_x509_certificate(text.encode())
        public_key = certificate.public_key()
        serial_numbers = certificate.subject.get_attributes_for_oid(NameOID.SERIAL_NUMBER)
        if not isinstance(public_key, RSAPublicKey) or not serial_numbers:
            raise ValueError(f"credentials: {name} needs an RSA key and a serialNumber in its subject")
        yield str(serial_numbers[0].value), Certificate(merchant_id, public_key)


class _Header(msgspec.Struct):
    alg: str
    kid: str
    crit: msgspec.Raw | None = None


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
    digest: str = ""
    digest_algorithm: str = msgspec.field(name="digestAlgorithm", default="")
    response_key_id: str = msgspec.field(name="v-c-response-mle-kid", default="")


_decode_header = msgspec.json.Decoder(_Header).decode
_decode_claims = msgspec.json.Decoder(_Claims).decode

# One pass turns the base64url alphabet into the plain one and everything foreign to it into a byte that is refused.
_FROM_BASE64URL: Final = bytes(
    {ord("-"): ord("+"), ord("_"): ord("/"), ord("+"): 0, ord("/"): 0, ord("="): 0}.get(byte, byte)
    for byte in range(256)
)
_PARAMETER = re.compile(r'\s*([A-Za-z]+)="([^"]*)"\s*(?:,|$)')
_REQUEST_TARGET: Final = frozenset({"request-target", "(request-target)"})


class Verifier:
    """Checks requests against the keys of the merchants, the own host names and the wall clock (seconds)."""

    def __init__(self, keys: Iterable[tuple[str, Key]], hosts: Iterable[str], clock: Callable[[], float]) -> None:
        self._keys = dict(keys)
        self._hosts = {host.lower() for host in hosts}
        self._clock = clock
        self._recent_jtis: set[tuple[str, str]] = set()
        self._older_jtis: set[tuple[str, str]] = set()
        self._recent_since = clock()

    def add_host(self, host: str) -> None:
        """Answer to one more name (host[:port])."""
        self._hosts.add(host.lower())

    def verify(self, request: Request) -> Identity:
        """Return who sent the request; raises NotAuthenticError."""
        authorization = request.headers.get("authorization", "")
        if authorization.startswith("Bearer "):
            return self._verify_token(request, authorization[7:])
        if "signature" in request.headers:
            return self._verify_signature(request, request.headers["signature"])
        raise NotAuthenticError("no credentials")

    def _verify_token(self, request: Request, token: str) -> Identity:
        if len(token) > _LONGEST_TOKEN:
            raise NotAuthenticError("token too long")
        signing_input, _, signature_text = token.rpartition(".")
        header_text, _, claims_text = signing_input.partition(".")
        try:
            header = _decode_header(_from_base64url(header_text))
            claims_json = _from_base64url(claims_text)
            signature = _from_base64url(signature_text)
        except (ValueError, RecursionError) as error:
            raise NotAuthenticError("not a signed token of three parts") from error
        key = self._keys.get(header.kid)
        # The algorithm belongs to the key: a token that names another (none, HS256 for an RSA key) is refused.
        if key is None or header.alg != key.algorithm or header.crit is not None:
            raise NotAuthenticError("unknown key, algorithm or critical header")
        if not key.signed(signing_input.encode("ascii"), signature):
            raise NotAuthenticError("signature")
        try:
            claims = _decode_claims(claims_json)
        except (ValueError, RecursionError) as error:
            raise NotAuthenticError("claims") from error
        self._check_claims(request, claims, key)
        self._use_up(header.kid, claims.jti)
        return Identity(claims.merchant_id, claims.response_key_id)

    def _check_claims(self, request: Request, claims: _Claims, key: Key) -> None:
        now = self._clock()
        if not (now < claims.exp <= claims.iat + _TOKEN_LIFE_SECONDS and claims.iat <= now + _CLOCK_SKEW_SECONDS):
            raise NotAuthenticError("time")
        if claims.merchant_id != key.merchant_id or claims.iss != key.merchant_id:
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
        if not 0 < len(claims.jti) <= _LONGEST_JTI:
            raise NotAuthenticError("jti")

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
        key = self._keys.get(parameters.get("keyid", ""))
        if not isinstance(key, SharedSecret) or parameters.get("algorithm", "").lower() != "hmacsha256":
            raise NotAuthenticError("unknown key or algorithm")
        if request.headers.get("v-c-merchant-id") != key.merchant_id:
            raise NotAuthenticError("merchant does not own the key")
        labels = parameters.get("headers", "").split(" ")
        required = {"host", "date", "v-c-merchant-id"} | ({"digest"} if request.body else set())
        if not required.issubset(labels) or _REQUEST_TARGET.isdisjoint(labels):
            raise NotAuthenticError("not all headers signed")
        self._check_date(request)
        if "digest" in labels and request.headers.get("digest") != f"SHA-256={_digest(request.body)}":
            raise NotAuthenticError("digest")
        try:
            signature = base64.b64decode(parameters.get("signature", ""), validate=True)
        except ValueError as error:
            raise NotAuthenticError("signature") from error
        # The client may sign another of our names than the one it connects to.
        called = request.headers.get("host", "").lower()
        for host in self._hosts if called in self._hosts else ():
            if key.signed(_text_to_sign(request, labels, host), signature):
                return Identity(key.merchant_id)
        raise NotAuthenticError("signature or host")

    def _check_date(self, request: Request) -> None:
        try:
            sent_at = parsedate_to_datetime(request.headers.get("date", "")).timestamp()
        except (ValueError, TypeError, OverflowError) as error:
            raise NotAuthenticError("date") from error
        if abs(self._clock() - sent_at) > _DATE_SKEW_SECONDS:
            raise NotAuthenticError("date")


def _from_base64url(text: str) -> bytes:
    encoded = text.encode("ascii").translate(_FROM_BASE64URL)
    if not encoded:
        raise binascii.Error("empty part")
    return binascii.a2b_base64(encoded + b"=" * (-len(encoded) % 4), strict_mode=True)


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


def _text_to_sign(request: Request, labels: Iterable[str], host: str) -> bytes:
    lines = []
    for label in labels:
        if label in _REQUEST_TARGET:
            value = f"{request.method.lower()} {request.target}"
        elif label == "host":
            value = host
        elif label in request.headers:
            value = request.headers[label]
        else:
            raise NotAuthenticError("a signed header is missing")
        lines.append(f"{label}: {value}")
    return "\n".join(lines).encode("latin-1")
