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
_TOGETHER: Final = 2
_PASSWORD_LIMIT: Final = 200


class Verifier:
    """Knows the passwords. Reports have one of their own where the credentials say so.

    A merchant may have two passwords at once, so that it can change over from one to the other without a pause.
    """

    def __init__(self, credentials: MastercardCredentials) -> None:
        self._passwords = {
            credentials.merchant_id: [credentials.password.encode()],
            credentials.other_merchant_id: [credentials.other_password.encode()],
        }
        self._reporting: dict[str, list[bytes]] = {}
        if credentials.reporting_password:
            self._reporting[credentials.merchant_id] = [credentials.reporting_password.encode()]
        self._client = credentials.client_cn
        self._client_merchant = credentials.merchant_id

    def counts(self) -> dict[str, int]:
        """Return how many passwords each merchant has."""
        return {merchant_id: len(passwords) for merchant_id, passwords in self._passwords.items()}

    def add_password(self, merchant_id: str, password: str) -> None:
        """Let a merchant use another password as well. Raises ValueError naming the field."""
        passwords = self._of(merchant_id)
        if not password.isprintable() or not 1 <= len(password) <= _PASSWORD_LIMIT:
            raise ValueError(f"password must be 1 to {_PASSWORD_LIMIT} printable characters")
        if password.encode() in passwords:
            raise ValueError("password is one of the merchant's already")
        if len(passwords) >= _TOGETHER:
            raise ValueError(f"merchant_id: a merchant has at most {_TOGETHER} passwords, end one first")
        passwords.append(password.encode())

    def remove_password(self, merchant_id: str, password: str) -> None:
        """End a password. Raises ValueError naming the field; a merchant's only one stays."""
        passwords = self._of(merchant_id)
        if password.encode() not in passwords:
            raise ValueError("password is none of the merchant's")
        if len(passwords) == 1:
            raise ValueError("password is the merchant's only one, give it another first")
        passwords.remove(password.encode())

    def _of(self, merchant_id: str) -> list[bytes]:
        try:
            return self._passwords[merchant_id]
        except KeyError:
            raise ValueError("merchant_id is none of the two merchants") from None

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
        expected = self._passwords.get(merchant_id, [])
        if reporting:
            expected = self._reporting.get(merchant_id, expected)
        shown = password_of(request, merchant_id).encode()
        # All are compared, so that the time tells nothing of which was right.
        return sum(hmac.compare_digest(shown, one) for one in expected) > 0


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
