"""A partner's integration with nothing but the standard library: pay, capture, repeat safely, verify webhooks.

python examples/python_client.py http://127.0.0.1:8080 KEY_ID SECRET
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import sys
import time
import urllib.error
import urllib.request
import uuid
from typing import Any


class Problem(Exception):
    """A refusal: `code` is stable, `field` names the input that is wrong."""

    def __init__(self, problem: dict[str, Any]) -> None:
        super().__init__(problem.get("detail"))
        self.code = problem.get("code")
        self.field = problem.get("field")


class Shanraq:
    """A client of the REST interface with one API key."""

    def __init__(self, url: str, key_id: str, secret: str) -> None:
        self.url = url.rstrip("/")
        self.authorization = "Basic " + base64.b64encode(f"{key_id}:{secret}".encode()).decode()

    def get(self, path: str) -> Any:
        """Read something."""
        return self._send("GET", path)

    def post(self, path: str, body: object = None, key: str | None = None) -> Any:
        """Do something once: the key makes it safe to send again after a timeout or a 503."""
        key = key or str(uuid.uuid4())
        for attempt in range(5):
            try:
                return self._send("POST", path, body, key)
            except (urllib.error.URLError, TimeoutError):
                # No answer, or one that decided nothing. The key stays the same, so nothing happens twice.
                if attempt == 4:
                    raise
                time.sleep(2**attempt / 10)
        raise AssertionError("unreachable")

    def _send(self, method: str, path: str, body: object = None, key: str | None = None) -> Any:
        request = urllib.request.Request(self.url + path, method=method)
        request.add_header("Authorization", self.authorization)
        if key is not None:
            request.add_header("Idempotency-Key", key)
        if body is not None:
            request.add_header("Content-Type", "application/json")
            request.data = json.dumps(body).encode()
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            if error.code in (429, 502, 503):
                raise urllib.error.URLError(f"HTTP {error.code}") from error
            raise Problem(json.load(error)) from None


def verify_webhook(secret: str, headers: dict[str, str], body: bytes, tolerance_seconds: int = 300) -> dict[str, Any]:
    """Return the event of a genuine delivery (Standard Webhooks 1.0.0); raise ValueError for anything else.

    `headers` by lower-case name; `body` the bytes as they arrived.
    """
    message_id, timestamp = headers["webhook-id"], headers["webhook-timestamp"]
    if abs(time.time() - int(timestamp)) > tolerance_seconds:
        raise ValueError("too old or too new")
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = f"{message_id}.{timestamp}.".encode() + body
    expected = "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
    if not any(hmac.compare_digest(expected, one) for one in headers["webhook-signature"].split(" ")):
        raise ValueError("no matching signature")
    event: dict[str, Any] = json.loads(body)
    return event


def main(url: str, key_id: str, secret: str) -> None:
    """Take a payment, pay a part of it back, and show the account."""
    shop = Shanraq(url, key_id, secret)
    account = shop.post("/v1/accounts", {"currency": "KZT", "name": "shop"})["id"]
    card = shop.post("/v1/payment-methods", {"number": "4111111111111111", "expiry_month": 12, "expiry_year": 2031})[
        "id"
    ]
    order = str(uuid.uuid4())
    wanted = {
        "payment_method_id": card,
        "account_id": account,
        "amount": 1_500_000,
        "currency": "KZT",
        "reference": order,
    }
    payment = shop.post("/v1/payments", wanted, key=f"{order}-pay")
    again = shop.post("/v1/payments", wanted, key=f"{order}-pay")
    print("payment", payment["id"], payment["status"], "- sent twice, one payment:", again["id"] == payment["id"])
    while payment["status"] == "authorizing":  # no answer from the gateway yet: a webhook will tell, or ask again
        time.sleep(1)
        payment = shop.get(f"/v1/payments/{payment['id']}")
    if payment["status"] == "authorized":
        payment = shop.post(f"/v1/payments/{payment['id']}/capture", {}, key=f"{order}-capture")
        payment = shop.post(f"/v1/payments/{payment['id']}/refund", {"amount": 500_000}, key=f"{order}-refund")
    print("payment", payment["id"], payment["status"], "refunded", payment["amount_refunded"])
    try:
        shop.post("/v1/payments", {**wanted, "amount": 15.5})
    except Problem as problem:
        print("refused:", problem.code, problem.field)
    print("balance", shop.get(f"/v1/accounts/{account}/balance")["posted"])


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])
