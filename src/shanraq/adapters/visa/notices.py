"""Notifications of the gateway: is it authentic, and what does it point at. They are hints, never facts about money."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from shanraq.payments.adapter import Notice

_WINDOW_MS: Final = 300_000
_TIME: Final = re.compile(r"[0-9]{1,15}")
_ID: Final = re.compile(r"[0-9A-Za-z]{1,26}")
_LONGEST: Final = 100


class _Payload(msgspec.Struct, frozen=True):
    data: Any = None


class _Notification(msgspec.Struct, frozen=True, rename="camel"):
    event_type: str = ""
    notification_id: str = ""
    payload: Any = None


_decode = msgspec.json.Decoder(_Notification).decode


def is_authentic(keys: Mapping[str, bytes], header: str, body: bytes, *, now_ms: int) -> bool:
    """Check `v-c-signature`: t, keyId and sig in any order; sig is HMAC-SHA256 over `t.body` with the key of keyId.

    A time more than five minutes off is refused.
    """
    parts: dict[str, str] = {}
    for part in header.split(";"):
        name, separator, value = part.strip().partition("=")
        if not separator or name in parts:
            return False
        parts[name] = value
    key, sent_at = keys.get(parts.get("keyId", "")), parts.get("t", "")
    if key is None or _TIME.fullmatch(sent_at) is None or abs(now_ms - int(sent_at)) > _WINDOW_MS:
        return False
    try:
        signature = base64.b64decode(parts.get("sig", ""), validate=True)
    except (binascii.Error, ValueError):
        return False
    return hmac.compare_digest(hmac.digest(key, sent_at.encode() + b"." + body, "sha256"), signature)


def read(headers: Mapping[str, str], body: bytes) -> Notice | None:
    """Read an authentic notification; None for one that is not an object."""
    try:
        notification = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    kind = notification.event_type or headers.get("v-c-event-type", "")
    references: list[str] = []
    gateway_ids: list[str] = []
    for entry in _entries(notification.payload):
        if isinstance(name := entry.get("id"), str) and _ID.fullmatch(name):
            gateway_ids.append(name)
        client = entry.get("clientReferenceInformation")
        if isinstance(client, dict) and isinstance(code := client.get("code"), str) and 0 < len(code) <= _LONGEST:
            references.append(code)
    # Repeats are sent with the same body; without an id of its own the body is the key.
    notice_id = notification.notification_id[:_LONGEST] or hashlib.sha256(body).hexdigest()
    return Notice(notice_id, kind[:_LONGEST], tuple(references), tuple(gateway_ids))


def _entries(payload: Any) -> list[dict[str, Any]]:
    entries = payload if isinstance(payload, list) else [payload]
    found = []
    for entry in entries[:100]:
        if isinstance(entry, dict):
            inner = entry.get("data")
            found.append(inner if isinstance(inner, dict) else entry)
    return found
