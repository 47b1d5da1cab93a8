"""Notifications of the gateway: authentic or nothing, and never more than a hint to look again."""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping
from typing import Final

import msgspec

from shanraq.adapters.mastercard.replies import UNREADABLE
from shanraq.core.secret import Secret
from shanraq.payments.adapter import Notice

_SHOWN: Final = "x-notification-secret"
_ID: Final = "x-notification-id"
_NOTICE_ID: Final = re.compile(r"[\x21-\x7e]{1,100}")
_BODY_LIMIT: Final = 262_144


class _Order(msgspec.Struct, frozen=True):
    id: str = ""


class _Transaction(msgspec.Struct, frozen=True):
    id: str = ""
    type: str = ""


class _Body(msgspec.Struct, frozen=True):
    merchant: str = ""
    order: _Order = _Order()
    transaction: _Transaction = _Transaction()


_decode = msgspec.json.Decoder(_Body).decode


def read_notice(merchant_id: str, secret: Secret, headers: Mapping[str, str], body: bytes) -> Notice | None:
    """Verify and read a notification; None when the secret, the id or the merchant is not right, or nothing can be read.

    The secret is compared in constant time and with its case. The body is a reply of RETRIEVE_TRANSACTION, of which only the
    ids and the type are used: the transaction is read again before anything is believed.
    """
    given = headers.get(_SHOWN, "")
    if not hmac.compare_digest(given.encode("utf-8", "surrogateescape"), secret.reveal().encode()):
        return None
    notice_id = headers.get(_ID, "")
    if _NOTICE_ID.fullmatch(notice_id) is None or len(body) > _BODY_LIMIT:
        return None
    try:
        told = _decode(body if body.isascii() else body.decode("utf-8", "replace").encode())
    except UNREADABLE:
        return None
    if told.merchant not in ("", merchant_id) or not told.order.id or not told.transaction.id:
        return None
    return Notice(notice_id, told.transaction.type, (told.order.id,), (told.transaction.id,))
