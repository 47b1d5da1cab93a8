"""A partner's integration with nothing but the standard library: pay, capture, repeat safely, verify webhooks.

python examples/python_client.py http://127.0.0.1:8080 KEY_ID SECRET [WEBHOOK_PORT]

With a port it receives webhooks there as well. The platform must be allowed to reach it on this machine:
SHANRAQ_WEBHOOK_ALLOW_CIDRS=127.0.0.1/32 SHANRAQ_WEBHOOK_ALLOW_PORTS=WEBHOOK_PORT make run
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import json
import queue
import sys
import threading
import time
import urllib.error
import urllib.request
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Problem(Exception):
    """A refusal: `code` is stable, `field` names the input that is wrong."""

    def __init__(self, problem: dict[str, Any]) -> None:
        super().__init__(problem.get("detail"))
        self.code = problem.get("code")
        self.field = problem.get("field")


class NoDecision(Exception):
    """No answer, or one that decided nothing: send the request again, with its key."""


class Shanraq:
    """A client of the REST interface with one API key."""

    def __init__(self, url: str, key_id: str, secret: str) -> None:
        self.url = url.rstrip("/")
        self.authorization = "Basic " + base64.b64encode(f"{key_id}:{secret}".encode()).decode()

    def get(self, path: str) -> Any:
        """Read something."""
        return self._send("GET", path)

    def post(self, path: str, body: object = None, key: str | None = None) -> Any:
        """Do something once: the key stays the same from attempt to attempt, so nothing happens twice."""
        key = key or str(uuid.uuid4())
        for attempt in range(5):
            try:
                return self._send("POST", path, body, key)
            except NoDecision:
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
            text = error.read()
            problem = json.loads(text) if error.headers.get_content_type() == "application/problem+json" else {}
            running = problem.get("code") == "idempotency_key_in_use"
            if error.code == 429 or error.code >= 500 or running:
                raise NoDecision(f"HTTP {error.code} {problem.get('code', '')}") from None
            raise Problem(problem) from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise NoDecision(str(error)) from error


def verify_webhook(secret: str, headers: dict[str, str], body: bytes, tolerance_seconds: int = 300) -> dict[str, Any]:
    """Return the event of a genuine delivery (Standard Webhooks 1.0.0); raise ValueError for anything else.

    `headers` by lower-case name; `body` the bytes as they arrived.
    """
    message_id, timestamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if abs(time.time() - int(timestamp)) > tolerance_seconds:
        raise ValueError("too old or too new")
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = f"{message_id}.{timestamp}.".encode() + body
    expected = b"v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256))
    signatures = headers.get("webhook-signature", "").encode().split(b" ")
    if not any(hmac.compare_digest(expected, signature) for signature in signatures):
        raise ValueError("no matching signature")
    event: dict[str, Any] = json.loads(body)
    return event


class WebhookServer(ThreadingHTTPServer):
    """Receives webhooks: puts each event into `events` once, however often it is delivered."""

    daemon_threads = True

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", port), WebhookHandler)
        self.secrets: queue.Queue[str] = queue.Queue()
        self.events: queue.Queue[dict[str, Any]] = queue.Queue()
        self.seen: set[str] = set()
        self.lock = threading.Lock()

    def secret(self) -> str:
        """Return the endpoint's secret; the first event may come before the answer that told it, and waits here."""
        secret = self.secrets.get(timeout=10)
        self.secrets.put(secret)
        return secret


class WebhookHandler(BaseHTTPRequestHandler):
    """Answers 204 at once and leaves the work to others: what takes longer than the timeout is delivered again."""

    server: WebhookServer

    def do_POST(self) -> None:
        """Take one delivery."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        try:
            event = verify_webhook(self.server.secret(), headers, body)
        except ValueError:
            self.send_response(401)
        else:
            with self.server.lock:
                new = event["id"] not in self.server.seen
                self.server.seen.add(event["id"])
            if new:
                self.server.events.put(event)
            self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def receive_webhooks(shop: Shanraq, port: int) -> WebhookServer:
    """Listen on a port of this machine and subscribe to what happens to payments."""
    server = WebhookServer(port)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/"
    added = shop.post("/v1/webhook-endpoints", {"url": url, "event_types": ["payment.*"]})
    server.secrets.put(added["secret"]["secret"])
    return server


def main(url: str, key_id: str, secret: str, webhook_port: str = "") -> None:
    """Take a payment, pay a part of it back, and show the account and what the webhooks told."""
    shop = Shanraq(url, key_id, secret)
    server = receive_webhooks(shop, int(webhook_port)) if webhook_port else None
    account = shop.post("/v1/accounts", {"currency": "KZT", "name": "shop"})["id"]
    new_card = {"number": "4111111111111111", "expiry_month": 12, "expiry_year": 2031}
    card = shop.post("/v1/payment-methods", new_card)["id"]
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
    told: set[str] = set()
    while server and "payment.refunded" not in told:  # they may come in any order: `sequence` tells the right one
        event = server.events.get(timeout=30)
        told.add(event["type"])
        print("webhook", event["type"], event["subject"])


if __name__ == "__main__":
    if len(sys.argv) not in (4, 5):
        sys.exit(__doc__)
    main(*sys.argv[1:])
