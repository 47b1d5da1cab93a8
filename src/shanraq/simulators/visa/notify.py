"""Notifications: keys, subscriptions, and what is sent to whom (delivery itself is `deliver`)."""

from __future__ import annotations

import base64
import hmac
import ipaddress
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from shanraq.simulators.serve import Reply
from shanraq.simulators.visa.deliver import Deliveries, Notification
from shanraq.simulators.visa.ids import Ids
from shanraq.simulators.visa.model import JournalEntry, Refusal
from shanraq.simulators.visa.render import HAL, json_reply, utc_text
from shanraq.simulators.visa.resources import EgressKey, Removed, Webhook
from shanraq.simulators.visa.route import Call, Handler, Verb
from shanraq.simulators.visa.store import Store
from shanraq.simulators.visa.validate import Body, get, optional, refuse_card_numbers, require, require_object, texts

PRODUCTS: Final[dict[str, tuple[str, tuple[str, ...]]]] = {
    "payments": (
        "Payments",
        (
            "payments.payments.accept",
            "payments.payments.updated",
            "payments.capture.status.accepted",
            "payments.capture.status.updated",
        ),
    ),
    "decisionManager": (
        "Decision Manager",
        (
            "risk.profile.decision.review",
            "risk.profile.decision.reject",
            "risk.profile.decision.monitor",
            "risk.casemanagement.addnote",
            "risk.casemanagement.decision.accept",
            "risk.casemanagement.decision.reject",
        ),
    ),
    "tokenManagement": ("Token Management", ("tms.networktoken.updated",)),
    "recurringBilling": (
        "Recurring Billing",
        (
            "rbs.subscriptions.charge.created",
            "rbs.subscriptions.charge.failed",
            "rbs.subscriptions.charge.pre-notified",
        ),
    ),
}
_PRODUCT_OF: Final = {event: product for product, (_, events) in PRODUCTS.items() for event in events}
_RETRY_POLICY: Final[dict[str, Any]] = {
    "algorithm": "ARITHMETIC",
    "firstRetry": 1,
    "interval": 1,
    "numberOfRetries": 3,
    "deactivateFlag": "false",
    "repeatSequenceCount": 0,
    "repeatSequenceWaitTime": 0,
}
_RETRY_LIMITS: Final = {
    "firstRetry": 24 * 60,
    "interval": 24 * 60,
    "numberOfRetries": 20,
    "repeatSequenceCount": 10,
    "repeatSequenceWaitTime": 24 * 60,
}
_SECURITY_TYPES: Final = frozenset({"key", "oauth", "oauth_jwt"})
_KEY_LIFE: Final = timedelta(days=365)
_WEBHOOKS_LIMIT: Final = 1000
_LONGEST: Final = 1024


class Notifications:
    """Keeps keys and subscriptions, and makes the notifications; `keep` puts an entry into the journal and the store.

    Keys are derived from the merchant's shared secret (`secret_of`, base64) and their id, so the journal has none of them. A
    merchant without a key of its own gets notifications under its REST key (`key_id_of`).
    """

    def __init__(
        self,
        store: Store,
        keep: Callable[[JournalEntry], None],
        now: Callable[[], datetime],
        ids: Ids,
        deliveries: Deliveries,
        merchants: Mapping[str, tuple[str, str]],
    ) -> None:
        self._store = store
        self._keep = keep
        self._now = now
        self._ids = ids
        self._deliveries = deliveries
        self._merchants = merchants

    def handlers(self) -> Mapping[Verb, Handler]:
        """Return what answers each operation."""
        return {
            Verb.CREATE_KEY: self._create_key,
            Verb.CREATE_ASYMMETRIC_KEY: self._create_asymmetric_key,
            Verb.CREATE_WEBHOOK: self._create,
            Verb.LIST_WEBHOOKS: self._list,
            Verb.GET_WEBHOOK: lambda call: json_reply(200, _shown(self._webhook(call))),
            Verb.UPDATE_WEBHOOK: self._update,
            Verb.DELETE_WEBHOOK: self._delete,
            Verb.SET_WEBHOOK_STATUS: self._set_status,
            Verb.TEST_WEBHOOK: self._test,
            Verb.LIST_PRODUCTS: self._list_products,
        }

    # Keys.

    def _create_key(self, call: Call) -> Reply:
        key, now = self._kept_key(call)
        information = {
            "provider": key.provider,
            "tenant": key.tenant,
            "organizationId": key.organization_id,
            "keyId": key.id,
            "key": self.secret_of(key),
            "keyType": key.type,
            "status": "active",
            "expirationDate": utc_text(key.expires_at),
        }
        reply: dict[str, Any] = {
            "submitTimeUtc": utc_text(now),
            "status": "SUCCESS",
            "keyInformation": {name: value for name, value in information.items() if value},
        }
        code = optional(call.body, "clientReferenceInformation.code")
        if code:
            reply["clientReferenceInformation"] = {"code": code}
        return json_reply(201, reply, HAL)

    def _create_asymmetric_key(self, call: Call) -> Reply:
        require(call.body, "keyInformation.pub")
        _, now = self._kept_key(call)
        return json_reply(201, {"submitTimeUtc": utc_text(now), "status": "SUCCESS"})

    def _kept_key(self, call: Call) -> tuple[EgressKey, datetime]:
        body = call.body
        require_object(body, "keyInformation")
        action = require(body, "clientRequestAction")
        if action not in {"CREATE", "STORE"}:
            raise Refusal("INVALID_DATA", field="clientRequestAction")
        refuse_card_numbers({name: get(body, name) for name in ("clientReferenceInformation",)})
        details = {
            name: optional(body, f"keyInformation.{name}")[:_LONGEST] for name in ("provider", "tenant", "keyType")
        }
        refuse_card_numbers(details, "keyInformation")
        days = optional(body, "keyInformation.expiryDuration")
        if days and not (days.isascii() and days.isdecimal() and 1 <= len(days) <= 4 and int(days) > 0):
            raise Refusal("INVALID_DATA", field="keyInformation.expiryDuration")
        now = self._now()
        key = EgressKey(
            id=self._ids.uuid(),
            merchant_id=call.merchant_id,
            time=now,
            organization_id=self._organization(call, optional(body, "keyInformation.organizationId")),
            expires_at=now + (timedelta(days=int(days)) if days else _KEY_LIFE),
            type=details["keyType"] or "sharedSecret",
            provider=details["provider"],
            tenant=details["tenant"],
        )
        self._keep(key)
        return key, now

    def _organization(self, call: Call, organization: str) -> str:
        """Return the organization a request names, by default the merchant; raises a Refusal for another merchant's."""
        if organization in self._merchants and organization != call.merchant_id:
            raise Refusal("INVALID_DATA", field="organizationId", status=403, message="The organization is not yours")
        refuse_card_numbers(organization, "organizationId")
        return organization[:_LONGEST] or call.merchant_id

    def secret_of(self, key: EgressKey) -> str:
        """Return a key's value in base64."""
        _, secret = self._merchants[key.merchant_id]
        derived = hmac.digest(base64.b64decode(secret), f"egress:{key.id}".encode(), "sha256")
        return base64.b64encode(derived).decode()

    def _signing_key(self, merchant_id: str) -> tuple[str, str]:
        """Return id and value (base64) of the newest key that has not expired, or of the merchant's REST key."""
        now = self._now()
        keys = [key for key in self._store.resources(EgressKey, merchant_id) if key.type.lower() == "sharedsecret"]
        valid = [key for key in keys if key.expires_at > now]
        if not valid:
            return self._merchants[merchant_id]
        return valid[-1].id, self.secret_of(valid[-1])

    # Subscriptions.

    def _webhook(self, call: Call) -> Webhook:
        webhook = self._store.resource(Webhook, call.merchant_id, call.route.id)
        if webhook is None:
            raise Refusal("INVALID_DATA", field="webhookId", status=404, message="The webhook was not found")
        return webhook

    def _create(self, call: Call) -> Reply:
        for name in ("webhookUrl", "products"):
            if get(call.body, name) is None:
                raise Refusal("MISSING_FIELD", field=name)
        if len(self._store.resources(Webhook, call.merchant_id)) >= _WEBHOOKS_LIMIT:
            raise Refusal("INVALID_DATA", field="webhookId", message="There are too many webhooks")
        webhook = Webhook(
            id=self._ids.uuid(),
            merchant_id=call.merchant_id,
            created_at=self._now(),
            organization_id=call.merchant_id,
            url="",
            products=(),
            retry_policy=_RETRY_POLICY,
            security_policy={"securityType": "key"},
        )
        webhook = self._filled(call, webhook)
        self._keep(webhook)
        return json_reply(201, _shown(webhook))

    def _filled(self, call: Call, webhook: Webhook) -> Webhook:
        body = call.body
        changed: dict[str, Any] = {}
        for name, field in (("name", "name"), ("description", "description")):
            if name in body:
                changed[field] = optional(body, name)[:_LONGEST]
        refuse_card_numbers(changed)
        if "organizationId" in body:
            changed["organization_id"] = self._organization(call, optional(body, "organizationId"))
        if "webhookUrl" in body:
            changed["url"] = _url(body, "webhookUrl")
        if "healthCheckUrl" in body:
            changed["health_check_url"] = _url(body, "healthCheckUrl")
        if "products" in body:
            changed["products"] = _products(body)
        scope = optional(body, "notificationScope")
        if scope not in {"", "SELF", "DESCENDANTS"}:
            raise Refusal("INVALID_DATA", field="notificationScope")
        if scope:
            changed["scope"] = scope
        status = optional(body, "status")
        if status:
            changed["status"] = _status(body)
        if "retryPolicy" in body:
            changed["retry_policy"] = webhook.retry_policy | _retry_policy(body)
        if "securityPolicy" in body:
            changed["security_policy"] = _security_policy(body)
        return msgspec.structs.replace(webhook, **changed)

    def _list(self, call: Call) -> Reply:
        organization = call.query.get("organizationId", "")
        self._organization(call, organization)
        product, event = call.query.get("productId", ""), call.query.get("eventType", "")
        shown = [
            _shown(webhook)
            for webhook in self._store.resources(Webhook, call.merchant_id)
            if organization in {"", webhook.organization_id}
            and (not product or any(product == own for own, _ in webhook.products))
            and (not event or any(event in events for _, events in webhook.products))
        ]
        return json_reply(200, shown)

    def _update(self, call: Call) -> Reply:
        webhook = msgspec.structs.replace(self._filled(call, self._webhook(call)), updated_at=self._now())
        self._keep(webhook)
        return json_reply(200, _shown(webhook))

    def _delete(self, call: Call) -> Reply:
        webhook = self._webhook(call)
        self._keep(Removed("webhook", webhook.id))
        return Reply(200, b"{}")

    def _set_status(self, call: Call) -> Reply:
        webhook = self._webhook(call)
        require(call.body, "status")
        self._keep(msgspec.structs.replace(webhook, status=_status(call.body), updated_at=self._now()))
        return Reply(200, b"{}")

    def _test(self, call: Call) -> Reply:
        """Send a test notification to one webhook, and tell what was sent."""
        webhook = self._webhook(call)
        product, events = webhook.products[0]
        sent = {
            "eventDate": utc_text(self._now()),
            "eventType": events[0],
            "organizationId": webhook.organization_id,
            "payloads": {"testPayload": {"message": "This is a test notification."}},
            "productId": product,
            "requestType": "TEST",
            "retryNumber": 0,
            "transactionTraceId": self._ids.uuid(),
            "webhookId": webhook.id,
        }
        self._send(webhook, events[0], product, sent, self._ids.uuid())
        return json_reply(201, sent)

    def _list_products(self, call: Call) -> Reply:
        self._organization(call, call.route.id)
        products = [
            {
                "productId": product,
                "productName": name,
                "eventTypes": [
                    {
                        "eventName": event,
                        "displayName": event,
                        "frequency": 1,
                        "timeSensitivity": False,
                        "payloadEncryption": False,
                    }
                    for event in events
                ],
            }
            for product, (name, events) in PRODUCTS.items()
        ]
        return json_reply(200, products, HAL)

    # Sending.

    def publish(self, merchant_id: str, event_type: str, data: dict[str, Any]) -> None:
        """Notify every active webhook of a merchant that asked for an event."""
        webhooks = self._store.resources(Webhook, merchant_id)
        if not webhooks:
            return
        for webhook in webhooks:
            product = next((name for name, events in webhook.products if event_type in events), None)
            if product is not None and webhook.status == "ACTIVE":
                self.send(webhook, event_type, product, data)

    def has_webhooks(self, merchant_id: str) -> bool:
        """Tell whether anybody listens."""
        return bool(self._store.resources(Webhook, merchant_id))

    def send(self, webhook: Webhook, event_type: str, product: str, data: dict[str, Any]) -> None:
        """Send one event to one webhook."""
        notification_id = self._ids.uuid()
        body = {
            "notificationId": notification_id,
            "retryNumber": 0,
            "eventType": event_type,
            "productId": product,
            "organizationId": webhook.organization_id,
            "webhookId": webhook.id,
            "eventDate": utc_text(self._now()),
            "transactionTraceId": self._ids.uuid(),
            "requestType": "NEW",
            "payload": {"data": data},
        }
        self._send(webhook, event_type, product, body, notification_id)

    def send_by_hand(self, merchant_id: str, event_type: str, data: dict[str, Any]) -> int:
        """Send any event to all active webhooks of a merchant, whether they asked for it or not; return how many."""
        webhooks = [one for one in self._store.resources(Webhook, merchant_id) if one.status == "ACTIVE"]
        for webhook in webhooks:
            self.send(webhook, event_type, _PRODUCT_OF.get(event_type, "payments"), data)
        return len(webhooks)

    def _send(
        self, webhook: Webhook, event_type: str, product: str, body: dict[str, Any], notification_id: str
    ) -> None:
        self._deliveries.add(
            Notification(
                id=notification_id,
                webhook_id=webhook.id,
                merchant_id=webhook.merchant_id,
                url=webhook.url,
                event_type=event_type,
                organization_id=webhook.organization_id,
                product=product,
                body=body,
                policy=webhook.retry_policy,
            )
        )

    def headers_of(self, notification: Notification, body: bytes, epoch_ms: int) -> dict[str, str]:
        """Return the headers of a delivery: the signature over the time and the body as sent, and what it is about."""
        key_id, secret = self._signing_key(notification.merchant_id)
        text = f"{epoch_ms}.".encode() + body
        signature = base64.b64encode(hmac.digest(base64.b64decode(secret), text, "sha256")).decode()
        return {
            "v-c-signature": f"t={epoch_ms};keyId={key_id};sig={signature}",
            "v-c-event-type": notification.event_type,
            "v-c-organization-id": notification.organization_id,
            "v-c-product-name": notification.product,
            "v-c-webhook-id": notification.webhook_id,
        }

    def is_active(self, notification: Notification) -> bool:
        """Tell whether the webhook of a notification still wants it."""
        webhook = self._store.resource(Webhook, notification.merchant_id, notification.webhook_id)
        return webhook is not None and webhook.status == "ACTIVE"

    def gave_up(self, notification: Notification) -> None:
        """Switch a webhook off that asked for it, after the last retry."""
        webhook = self._store.resource(Webhook, notification.merchant_id, notification.webhook_id)
        if webhook is not None and str(webhook.retry_policy.get("deactivateFlag", "")).lower() == "true":
            self._keep(msgspec.structs.replace(webhook, status="INACTIVE", updated_at=self._now()))


def _url(body: Body, name: str) -> str:
    text = require(body, name)
    refuse_card_numbers(text, name)
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
        usable = parts.scheme in {"http", "https"} and bool(host) and parts.username is None
        if host is not None and host.replace(".", "").isdecimal():
            ipaddress.IPv4Address(host)
    except ValueError:
        usable = False
    # What is sent in a request line must not end it.
    if not usable or len(text) > 2048 or not text.isascii() or any(ord(letter) <= 32 for letter in text):
        raise Refusal("INVALID_DATA", field=name)
    return text


def _products(body: Body) -> tuple[tuple[str, tuple[str, ...]], ...]:
    products = get(body, "products")
    if not isinstance(products, list) or not 1 <= len(products) <= 50:
        raise Refusal("INVALID_DATA", field="products")
    read = []
    for product in products:
        if not isinstance(product, dict):
            raise Refusal("INVALID_DATA", field="products[]")
        name = require(product, "productId")
        events = texts(product, "eventTypes")
        if not events:
            raise Refusal("MISSING_FIELD", field="products[].eventTypes")
        # Events of products that the simulator does not play may be asked for; they never come.
        refuse_card_numbers([name, *events], "products")
        if len(name) > 100 or any(len(event) > 100 for event in events):
            raise Refusal("INVALID_DATA", field="products[]")
        read.append((name, tuple(events)))
    return tuple(read)


def _status(body: Body) -> str:
    status = optional(body, "status").upper()
    if status not in {"ACTIVE", "INACTIVE"}:
        raise Refusal("INVALID_DATA", field="status")
    return status


def _retry_policy(body: Body) -> dict[str, Any]:
    policy = require_object(body, "retryPolicy")
    read: dict[str, Any] = {}
    algorithm = optional(policy, "algorithm").upper()
    if algorithm:
        if algorithm not in {"ARITHMETIC", "GEOMETRIC"}:
            raise Refusal("INVALID_DATA", field="retryPolicy.algorithm")
        read["algorithm"] = algorithm
    for name, largest in _RETRY_LIMITS.items():
        value = policy.get(name)
        if value is None:
            continue
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= largest:
            raise Refusal("INVALID_DATA", field=f"retryPolicy.{name}")
        read[name] = value
    flag = policy.get("deactivateFlag")
    if flag is not None:
        if str(flag).lower() not in {"true", "false"}:
            raise Refusal("INVALID_DATA", field="retryPolicy.deactivateFlag")
        read["deactivateFlag"] = str(flag).lower()
    return read


def _security_policy(body: Body) -> dict[str, Any]:
    policy = require_object(body, "securityPolicy")
    kind = optional(policy, "securityType") or "key"
    if kind.lower() not in _SECURITY_TYPES:
        raise Refusal("INVALID_DATA", field="securityPolicy.securityType")
    refuse_card_numbers(policy, "securityPolicy")
    read: dict[str, Any] = {"securityType": kind}
    config = get(policy, "config")
    if isinstance(config, dict):
        # Only what is documented: whatever else was sent may be a secret.
        kept = {name: config[name] for name in ("oAuthURL", "oAuthTokenType") if isinstance(config.get(name), str)}
        more = config.get("additionalConfig")
        if isinstance(more, dict):
            names = ("aud", "client_id", "keyId", "scope")
            kept["additionalConfig"] = {name: more[name] for name in names if isinstance(more.get(name), str)}
        read["config"] = kept
    return read


def _shown(webhook: Webhook) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "webhookId": webhook.id,
        "organizationId": webhook.organization_id,
        "products": [{"productId": product, "eventTypes": list(events)} for product, events in webhook.products],
        "webhookUrl": webhook.url,
        "healthCheckUrl": webhook.health_check_url,
        "status": webhook.status,
        "name": webhook.name,
        "description": webhook.description,
        "retryPolicy": webhook.retry_policy,
        "securityPolicy": webhook.security_policy,
        "createdOn": utc_text(webhook.created_at),
        "notificationScope": webhook.scope,
    }
    if webhook.updated_at is not None:
        shown["updatedOn"] = utc_text(webhook.updated_at)
    return {name: value for name, value in shown.items() if value != ""}
