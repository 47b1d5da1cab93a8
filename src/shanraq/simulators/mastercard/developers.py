"""Add-ons of Mastercard Developers: a fraud score, asked with a request signed by OAuth 1.0a.

The score is this simulator's own: the first four bytes of the body's SHA-256, modulo 1000. The same body has the same score
always; it says nothing about what the real product would answer.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from typing import Any, Final

import msgspec
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.x509 import load_pem_x509_certificate

from shanraq.simulators.serve import Reply, Request
from shanraq.standards import oauth1

PATH: Final = "/identity/transactions"
_WINDOW_SECONDS: Final = 300
_REVIEW_FROM, _DECLINE_FROM = 600, 900
_encode = msgspec.json.Encoder().encode
_decode_object = msgspec.json.Decoder(dict[str, Any]).decode


class Developers:
    """Answers for one consumer, under the own host names (with port, as signed); `clock` gives seconds since 1970.

    Raises ValueError for a certificate that cannot serve.
    """

    def __init__(
        self, consumer_key: str, certificate_pem: bytes, hosts: Iterable[str], clock: Callable[[], float]
    ) -> None:
        key = load_pem_x509_certificate(certificate_pem).public_key()
        if not isinstance(key, RSAPublicKey):
            raise ValueError("the certificate of the consumer needs an RSA key")  # noqa: TRY004 - what a file holds is a value
        self._keys = {consumer_key: oauth1.VerificationKey(key, oauth1.SignatureMethod)}
        self._hosts = tuple(hosts)
        self._clock = clock
        self._used: dict[tuple[str, str], int] = {}

    def answer(self, request: Request) -> Reply:
        """Answer one request: 200 with a score, 400, 401, 404 or 405 with an error in JSON."""
        if request.target.partition("?")[0] != PATH:
            return _error(404, "NOT_FOUND", "There is nothing at this path.")
        if not self._is_authentic(request):
            return _error(401, "UNAUTHORIZED", "The OAuth 1.0a signature of the request was not accepted.")
        if request.method != "POST":
            return _error(405, "METHOD_NOT_ALLOWED", "Only POST is served here.")
        try:
            _decode_object(request.body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return _error(400, "INVALID_REQUEST", "The body is not a JSON object.")
        return Reply(200, _encode(_score(request.body)))

    def _is_authentic(self, request: Request) -> bool:
        """Try each own name: the name a client signs need not be the one it connects to."""
        for scheme in ("https", "http"):
            for host in self._hosts:
                try:
                    oauth1.verify(
                        request.headers.get("authorization", ""),
                        request.method,
                        f"{scheme}://{host}{request.target}",
                        request.body,
                        key_of=self._keys.get,
                        now_seconds=self._clock(),
                        window_seconds=_WINDOW_SECONDS,
                        first_use=self._first_use,
                    )
                except oauth1.Oauth1Error:
                    continue
                return True
        return False

    def _first_use(self, consumer_key: str, nonce: str, timestamp: int) -> bool:
        oldest = self._clock() - _WINDOW_SECONDS
        self._used = {used: at for used, at in self._used.items() if at >= oldest}
        if (consumer_key, nonce) in self._used:
            return False
        self._used[consumer_key, nonce] = timestamp
        return True


def _score(body: bytes) -> dict[str, object]:
    digest = hashlib.sha256(body)
    score = int.from_bytes(digest.digest()[:4]) % 1000
    advice = "DECLINE" if score >= _DECLINE_FROM else "REVIEW" if score >= _REVIEW_FROM else "ACCEPT"
    return {"transactionId": digest.hexdigest()[:32], "riskScore": score, "recommendation": advice}


def _error(status: int, code: str, description: str) -> Reply:
    error = {"Source": "developers", "ReasonCode": code, "Description": description, "Recoverable": False}
    return Reply(status, _encode({"Errors": {"Error": [error]}}))
