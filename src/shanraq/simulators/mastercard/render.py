"""Replies as the gateway writes them: amounts are JSON numbers, written exactly."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

import msgspec

from shanraq.simulators.mastercard.fields import Body, brand_of, find, mask, time_text
from shanraq.simulators.mastercard.model import Order
from shanraq.simulators.mastercard.refusal import Refusal
from shanraq.simulators.mastercard.triggers import acquirer_answer, recommendation_of
from shanraq.simulators.mastercard.validate import decimal
from shanraq.simulators.serve import Reply

JSON: Final = "application/json;charset=ISO-8859-1"

_encode: Final = msgspec.json.Encoder(decimal_format="number").encode
_AMOUNTS: Final = frozenset(
    [
        "amount",
        "totalAuthorizedAmount",
        "totalCapturedAmount",
        "totalRefundedAmount",
        "totalDisbursedAmount",
        "merchantAmount",
    ]
)
_RISK_AT_THE_TOP: Final = 40
_DECIMAL: Final = re.compile(r"[0-9]+(\.[0-9]+)?")
_BEYOND_ASCII: Final = re.compile(r"[^\x00-\x7f]+")


def reply_of(status: int, body: Body) -> Reply:
    """Return a reply with a JSON body, in ASCII: it reads the same for who expects UTF-8 and who goes by the charset."""
    text = _encode(body)
    return Reply(status, text if text.isascii() else _BEYOND_ASCII.sub(_escaped, text.decode()).encode(), JSON)


def _escaped(found: re.Match[str]) -> str:
    units = found[0].encode("utf-16-be")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))


def refusal_reply(refusal: Refusal, correlation_id: str = "") -> Reply:
    """Return the reply that refuses a request."""
    body = refusal.body()
    if correlation_id:
        body["correlationId"] = correlation_id
    return reply_of(refusal.status, body)


def moment(seconds: float) -> str:
    """Write Unix seconds as the gateway writes times."""
    return time_text(datetime.fromtimestamp(seconds, UTC))


def order_block(order: Order) -> dict[str, Any]:
    """Return the fields of an order."""
    currency = order.currency
    amount = decimal(order.amount, currency)
    block: dict[str, Any] = {
        "amount": amount,
        "chargeback": {"amount": decimal(order.chargeback, currency), "currency": currency},
        "creationTime": moment(order.created),
        "currency": currency,
        "id": order.id,
        "lastUpdatedTime": moment(order.updated),
        "merchantAmount": amount,
        "merchantCategoryCode": "5999",
        "merchantCurrency": currency,
        "status": order.status,
        "totalAuthorizedAmount": decimal(order.authorized, currency),
        "totalCapturedAmount": decimal(order.captured, currency),
        "totalDisbursedAmount": decimal(order.disbursed, currency),
        "totalRefundedAmount": decimal(order.refunded, currency),
    }
    more = {
        "reference": order.reference,
        "certainty": order.certainty,
        "authenticationStatus": order.authentication_status,
        "notificationUrl": order.notification_url,
    }
    return block | {name: value for name, value in more.items() if value}


def card_block(body: Body, number: str, expiry: tuple[int, int] | None) -> dict[str, Any]:
    """Return the card as replies show it: six and four digits, month without a leading zero, never a security code."""
    brand = brand_of(number)
    block: dict[str, Any] = {
        "brand": brand,
        "fundingMethod": "CREDIT",
        "issuer": "TEST BANK",
        "number": mask(number),
        "scheme": brand,
        "storedOnFile": find(body, "sourceOfFunds.provided.card.storedOnFile") or "NOT_STORED",
    }
    if expiry is not None:
        block["expiry"] = {"month": str(expiry[0]), "year": f"{expiry[1]:02d}"}
    name = find(body, "sourceOfFunds.provided.card.nameOnCard")
    if isinstance(name, str):
        block["nameOnCard"] = name
    return block


def response_block(code: str, csc: str = "", avs: str = "") -> dict[str, Any]:
    """Return `response` for a gateway code and what was found of security code and address."""
    acquirer_code, message = acquirer_answer(code)
    block: dict[str, Any] = {
        "acquirerCode": acquirer_code,
        "acquirerMessage": message,
        "gatewayCode": code,
        "gatewayRecommendation": recommendation_of(code),
    }
    if csc:
        block["cardSecurityCode"] = {"acquirerCode": _CSC.get(csc, "P"), "gatewayCode": csc}
    if avs:
        letter = {"acquirerCode": _AVS[avs]} if avs in _AVS else {}
        block["cardholderVerification"] = {"avs": letter | {"gatewayCode": avs}}
    return block


def not_sent(response: dict[str, Any]) -> dict[str, Any]:
    """Return a `response` without what an acquirer says: it was not asked."""
    return {name: response[name] for name in ("gatewayCode", "gatewayRecommendation")}


_CSC: Final = {"MATCH": "M", "NO_MATCH": "N", "NOT_PROCESSED": "P"}
_AVS: Final = {
    "ADDRESS_MATCH": "A",
    "ADDRESS_ZIP_MATCH": "X",
    "NAME_ADDRESS_MATCH": "O",
    "NAME_MATCH": "K",
    "NAME_ZIP_MATCH": "L",
    "NOT_AVAILABLE": "U",
    "NOT_VERIFIED": "G",
    "NO_MATCH": "N",
    "SERVICE_NOT_AVAILABLE_RETRY": "R",
    "SERVICE_NOT_SUPPORTED": "S",
    "ZIP_MATCH": "W",
}


def kept(reply: dict[str, Any]) -> dict[str, Any]:
    """Return a reply as the journal keeps it: amounts as texts."""
    return {name: _kept(value) for name, value in reply.items()}


def _kept(value: Any) -> Any:
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, dict):
        return kept(value)
    if isinstance(value, list):
        return [_kept(one) for one in value]
    return value


def told(kept_reply: dict[str, Any]) -> dict[str, Any]:
    """Return a kept reply as it was answered: amounts as numbers."""
    return {name: _told(name, value) for name, value in kept_reply.items()}


def in_version(reply: dict[str, Any], version: str, correlation_id: str | None = None) -> dict[str, Any]:
    """Return a reply as a version of the API writes it; a correlation id is echoed, never kept."""
    shown = dict(reply)
    if int(version) < _RISK_AT_THE_TOP and "risk" in shown:
        shown["response"] = shown["response"] | {"risk": shown.pop("risk")["response"]}
    return shown | ({"correlationId": correlation_id} if correlation_id else {})


def _told(name: str, value: Any) -> Any:
    if isinstance(value, dict):
        return told(value)
    if isinstance(value, list):
        return [_told(name, one) for one in value]
    if name in _AMOUNTS and isinstance(value, str) and _DECIMAL.fullmatch(value):
        return Decimal(value)
    return value
