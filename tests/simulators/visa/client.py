"""A merchant of the Visa simulator: signs requests as the public documentation says, sharing no code with it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
import uuid
from collections.abc import Callable
from email.utils import formatdate
from typing import Any

import httpx

VISA = "4111111111111111"


def encoded(part: bytes) -> str:
    return base64.urlsafe_b64encode(part).rstrip(b"=").decode()


def digest_of(body: bytes) -> str:
    return base64.b64encode(hashlib.sha256(body).digest()).decode()


class Merchant:
    """Talks to a simulator with a shared secret; `alter` may change header and claims before they are signed."""

    def __init__(self, base_url: str, merchant_id: str, key_id: str, secret: str) -> None:
        self.base_url = base_url
        self.merchant_id = merchant_id
        self.key_id = key_id
        self.secret = base64.b64decode(secret)
        self.host = base_url.removeprefix("http://")
        self.http = httpx.AsyncClient(base_url=base_url, timeout=10, trust_env=False)

    def token(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        *,
        alter: Callable[[dict[str, Any], dict[str, Any]], None] | None = None,
    ) -> str:
        now = int(time.time())
        header: dict[str, Any] = {"kid": self.key_id, "alg": "HS256", "typ": "JWT"}
        claims: dict[str, Any] = {
            "iat": now,
            "exp": now + 120,
            "request-method": method,
            "request-host": self.host,
            "request-resource-path": path,
            "iss": self.merchant_id,
            "jti": str(uuid.uuid4()),
            "v-c-jwt-version": "2",
            "v-c-merchant-id": self.merchant_id,
        }
        if method in {"POST", "PUT", "PATCH"}:
            claims |= {"digest": digest_of(body), "digestAlgorithm": "SHA-256"}
        if alter is not None:
            alter(header, claims)
        text = f"{encoded(json.dumps(header).encode())}.{encoded(json.dumps(claims).encode())}"
        return f"{text}.{encoded(hmac.digest(self.secret, text.encode(), 'sha256'))}"

    async def send(
        self, method: str, path: str, body: object = None, *, token: str = "", headers: dict[str, str] | None = None
    ) -> httpx.Response:
        content = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        sent = {
            "Authorization": f"Bearer {token or self.token(method, path, content)}",
            "Content-Type": "application/json",
        }
        return await self.http.request(method, path, content=content, headers=sent | (headers or {}))

    async def post(self, path: str, body: object) -> httpx.Response:
        return await self.send("POST", path, body)

    async def get(self, path: str) -> httpx.Response:
        return await self.send("GET", path)

    async def authorize(self, amount: str = "100.00", **options: Any) -> httpx.Response:
        return await self.post("/pts/v2/payments", payment(amount, **options))

    async def authorized(self, amount: str = "100.00", **options: Any) -> str:
        """Authorise, and return the id."""
        reply = await self.authorize(amount, **options)
        assert reply.status_code == 201, reply.text
        return str(reply.json()["id"])

    async def capture(
        self, payment_id: str, amount: str = "100.00", currency: str = "KZT", **options: Any
    ) -> httpx.Response:
        return await self.post(f"/pts/v2/payments/{payment_id}/captures", order(amount, currency, **options))

    async def captured(self, amount: str = "100.00") -> str:
        """Authorise and capture, and return the id of the capture."""
        reply = await self.capture(await self.authorized(amount), amount)
        assert reply.status_code == 201, reply.text
        return str(reply.json()["id"])

    async def refund(self, capture_id: str, amount: str = "100.00", **options: Any) -> httpx.Response:
        return await self.post(f"/pts/v2/captures/{capture_id}/refunds", order(amount, **options))

    async def void(self, kind: str, operation_id: str) -> httpx.Response:
        return await self.post(f"/pts/v2/{kind}/{operation_id}/voids", {"clientReferenceInformation": {"code": "v"}})

    async def reverse(self, payment_id: str, amount: str = "100.00") -> httpx.Response:
        return await self.post(f"/pts/v2/payments/{payment_id}/reversals", reversal(amount))

    async def search(self, query: str, **options: Any) -> list[dict[str, Any]]:
        """Search, and return the summaries."""
        reply = await self.post("/tss/v2/searches", {"query": query, **options})
        assert reply.status_code == 201, reply.text
        found: list[dict[str, Any]] = reply.json().get("_embedded", {}).get("transactionSummaries", [])
        return found

    def http_signature(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        *,
        date: float | None = None,
        zone: str = "GMT",
        twice: str = "",
        owner: str = "",
    ) -> dict[str, str]:
        """Return the headers of the older scheme; `owner` is the portfolio whose key it is."""
        sent_at = formatdate(date, usegmt=True).replace("GMT", zone)
        headers = {"host": self.host, "date": sent_at, "v-c-merchant-id": self.merchant_id}
        labels = ["host", "date", "request-target", "v-c-merchant-id"]
        if body:
            headers["digest"] = f"SHA-256={digest_of(body)}"
            labels.insert(3, "digest")
        labels += [twice] if twice else []
        values = headers | {"request-target": f"{method.lower()} {path}"}
        values |= {"v-c-merchant-id": owner or self.merchant_id}
        text = "\n".join(f"{label}: {values[label]}" for label in labels)
        signature = base64.b64encode(hmac.digest(self.secret, text.encode(), "sha256")).decode()
        headers["signature"] = (
            f'keyid="{self.key_id}", algorithm="HmacSHA256", headers="{" ".join(labels)}", signature="{signature}"'
        )
        return headers


def order(amount: str, currency: str = "KZT", code: str = "order-1", transaction_id: str = "") -> dict[str, Any]:
    reference = {"code": code} | ({"transactionId": transaction_id} if transaction_id else {})
    return {
        "clientReferenceInformation": reference,
        "orderInformation": {"amountDetails": {"totalAmount": amount, "currency": currency}},
    }


def payment(
    amount: str = "100.00",
    currency: str = "KZT",
    *,
    number: str = VISA,
    card_type: str = "001",
    security_code: str = "123",
    postal_code: str = "050000",
    sale: bool = False,
    code: str = "order-1",
    transaction_id: str = "",
) -> dict[str, Any]:
    body = order(amount, currency, code, transaction_id)
    body["processingInformation"] = {"capture": sale, "commerceIndicator": "internet"}
    body["paymentInformation"] = {
        "card": {
            "number": number,
            "expirationMonth": "12",
            "expirationYear": "2049",
            "securityCode": security_code,
            "type": card_type,
        }
    }
    body["orderInformation"]["billTo"] = {
        "firstName": "Aigerim",
        "lastName": "Test",
        "postalCode": postal_code,
        "country": "KZ",
    }
    return body


def reversal(amount: str, transaction_id: str = "", currency: str = "KZT") -> dict[str, Any]:
    reference = {"code": "r"} | ({"transactionId": transaction_id} if transaction_id else {})
    details = {"totalAmount": amount} | ({"currency": currency} if currency else {})
    return {"clientReferenceInformation": reference, "reversalInformation": {"amountDetails": details, "reason": "34"}}
