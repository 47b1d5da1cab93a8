"""Setting up notifications at the gateway: a key that signs them, and a subscription to events."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import msgspec

from shanraq.adapters.visa.exchange import Exchange
from shanraq.core.errors import UnavailableError
from shanraq.core.http import HttpError
from shanraq.core.secret import Secret

T = TypeVar("T")

_KEYS: Final = "/kms/egress/v2/keys-sym"
_WEBHOOKS: Final = "/notification-subscriptions/v2/webhooks"


class SubscriptionRefusedError(UnavailableError, code="subscription_refused", status=503):
    """The gateway did not make the key or the subscription."""


@dataclass(frozen=True, slots=True)
class NoticeKey:
    """A key that notifications are signed with; `key` is base64."""

    key_id: str
    key: Secret


@dataclass(frozen=True, slots=True)
class Subscription:
    """A subscription as the gateway keeps it."""

    webhook_id: str
    url: str
    status: str


class _KeyInformation(msgspec.Struct, rename="camel"):
    key_id: str = ""
    key: str = ""


class _Key(msgspec.Struct, rename="camel"):
    key_information: _KeyInformation


class _Webhook(msgspec.Struct, rename="camel"):
    webhook_id: str
    webhook_url: str = ""
    status: str = ""


class Subscriptions:
    """What a merchant sets up once; nothing here moves money. Raises SubscriptionRefusedError."""

    def __init__(self, exchange: Exchange, organization_id: str) -> None:
        self._exchange = exchange
        self._organization_id = organization_id

    async def create_key(self, *, tenant: str, expires_in_days: int = 365) -> NoticeKey:
        """Make a shared key; the gateway signs with the newest one."""
        body = {
            "clientRequestAction": "CREATE",
            "keyInformation": {
                "provider": "nrtd",
                "tenant": tenant,
                "keyType": "sharedSecret",
                "organizationId": self._organization_id,
                "expiryDuration": str(expires_in_days),
            },
        }
        headers = (
            ("v-c-sender-organization-id", self._organization_id),
            ("v-c-permissions", "KeyManagementServices"),
            ("v-c-correlation-id", str(uuid.uuid4())),
        )
        answer = await self._ask("POST", _KEYS, body, 201, _Key, *headers)
        information = answer.key_information
        if not information.key_id or not information.key:
            raise SubscriptionRefusedError("the gateway told no key")
        return NoticeKey(information.key_id, Secret(information.key))

    async def subscribe(
        self, *, name: str, url: str, health_url: str, product_id: str, events: Sequence[str]
    ) -> Subscription:
        """Subscribe to events of a product, signed with the shared key, with repeats that grow apart."""
        body = {
            "name": name,
            "description": name,
            "organizationId": self._organization_id,
            "products": [{"productId": product_id, "eventTypes": list(events)}],
            "webhookUrl": url,
            "healthCheckUrl": health_url,
            "notificationScope": "SELF",
            "retryPolicy": {
                "algorithm": "ARITHMETIC",
                "firstRetry": 1,
                "interval": 1,
                "numberOfRetries": 3,
                "deactivateFlag": False,
                "repeatSequenceCount": 0,
                "repeatSequenceWaitTime": 0,
            },
            "securityPolicy": {"securityType": "KEY"},
        }
        answer = await self._ask("POST", _WEBHOOKS, body, 201, _Webhook)
        return Subscription(answer.webhook_id, answer.webhook_url or url, answer.status)

    async def remove(self, webhook_id: str) -> None:
        """Remove a subscription; one that is not there is removed already."""
        if not webhook_id.isascii() or not webhook_id.replace("-", "").isalnum():
            raise SubscriptionRefusedError("the id of the subscription cannot be one")
        await self._exchanged("DELETE", f"{_WEBHOOKS}/{webhook_id}", b"", (200, 204, 404))

    async def _ask(self, method: str, path: str, body: Any, status: int, kind: type[T], *headers: tuple[str, str]) -> T:
        content = await self._exchanged(method, path, msgspec.json.encode(body), (status,), *headers)
        try:
            return msgspec.json.decode(content, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise SubscriptionRefusedError("the reply cannot be read") from None

    async def _exchanged(
        self, method: str, path: str, body: bytes, good: tuple[int, ...], *headers: tuple[str, str]
    ) -> bytes:
        try:
            response = await self._exchange.send("subscription", "", method, path, body, *headers)
        except HttpError as error:
            raise SubscriptionRefusedError(f"no answer ({error.error_code})") from None
        if response.status not in good:
            raise SubscriptionRefusedError(f"HTTP {response.status}")
        return response.body
