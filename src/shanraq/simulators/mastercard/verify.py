"""Who sends a request: HTTP Basic `merchant.<id>:<password>`, or the client certificate that stands for a merchant."""

from __future__ import annotations

import base64
import binascii
import hmac
from typing import Final

from shanraq.simulators.mastercard.credentials import MastercardCredentials
from shanraq.simulators.mastercard.refusal import Refusal
from shanraq.simulators.serve import Request

_PREFIX: Final = "merchant."


class Verifier:
    """Knows the passwords. Reports have one of their own where the credentials say so."""

    def __init__(self, credentials: MastercardCredentials) -> None:
        self._passwords = {
            credentials.merchant_id: credentials.password.encode(),
            credentials.other_merchant_id: credentials.other_password.encode(),
        }
        self._reporting = dict(self._passwords)
        if credentials.reporting_password:
            self._reporting[credentials.merchant_id] = credentials.reporting_password.encode()
        self._client = credentials.client_cn
        self._client_merchant = credentials.merchant_id

    def verify(self, request: Request, merchant_id: str, *, reporting: bool = False) -> None:
        """Raise Refusal (401) unless the request comes from the merchant whose path it names."""
        if self._by_certificate(request, merchant_id) or self._by_password(request, merchant_id, reporting=reporting):
            return
        raise Refusal("", "", "Invalid credentials.", status=401)

    def _by_certificate(self, request: Request, merchant_id: str) -> bool:
        peer = request.peer
        if peer is None or not self._client or "authorization" in request.headers:
            return False
        return hmac.compare_digest(peer.common_name.encode(), self._client.encode()) and (
            merchant_id == self._client_merchant
        )

    def _by_password(self, request: Request, merchant_id: str, *, reporting: bool) -> bool:
        expected = (self._reporting if reporting else self._passwords).get(merchant_id, b"")
        right = hmac.compare_digest(password_of(request, merchant_id).encode(), expected)
        return right and bool(expected)


def password_of(request: Request, merchant_id: str) -> str:
    """Return the password that a request shows for a merchant, empty where it shows none."""
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic" or len(given) > 1000:
        return ""
    try:
        user, _, password = base64.b64decode(given, validate=True).decode("utf-8").partition(":")
    except (binascii.Error, ValueError):
        return ""
    return password if user == _PREFIX + merchant_id else ""
