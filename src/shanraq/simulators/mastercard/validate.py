"""The form of requests: ids, amounts, the fields that an operation knows. What is wrong is named as the gateway does."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any, Final

import msgspec

from shanraq.simulators.mastercard.fields import (
    Body,
    find,
    holds_card_number,
    missing,
    reject_card_numbers,
    reject_unknown,
)
from shanraq.simulators.mastercard.refusal import Refusal
from shanraq.simulators.mastercard.schema import TOP, amount_text, check_fields
from shanraq.simulators.visa.currency import MINOR_DIGITS

INITIAL: Final = frozenset(
    {
        "AUTHORIZE", "PAY", "VERIFY", "STANDALONE_CAPTURE", "STANDALONE_REFUND", "DISBURSEMENT", "REFERRAL",
        "BALANCE_INQUIRY", "ACCOUNT_FUNDING_TRANSACTION",
    }
)  # fmt: skip
FOLLOWING: Final = frozenset({"CAPTURE", "REFUND", "VOID", "UPDATE_AUTHORIZATION"})
AUTHENTICATION: Final = frozenset({"INITIATE_AUTHENTICATION", "AUTHENTICATE_PAYER"})
OPERATIONS: Final = INITIAL | FOLLOWING | AUTHENTICATION
WITHOUT_AMOUNT: Final = frozenset({"VERIFY", "BALANCE_INQUIRY"})

_ID: Final = re.compile(r"[0-9A-Za-z_\-.~ &+!$%@:()']{1,40}", re.ASCII)
_CURRENCY: Final = re.compile(r"[A-Z]{3}", re.ASCII)
_DEPTH: Final = 20

# What stands in requests, but not in those on orders.
_ELSEWHERE: Final = frozenset(
    {"acquirer", "checkoutMode", "paymentType", "requestAction", "token", "verificationStrategy"}
)
_ON_ORDERS: Final = TOP - _ELSEWHERE


def parse(content: bytes) -> Body:
    """Read a body, numbers exactly; raises Refusal unless it is a JSON object."""
    try:
        body = _decoder.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError, ArithmeticError):
        raise Refusal("", "", "The request body is not valid JSON.") from None
    if not isinstance(body, dict) or not body:
        raise Refusal("", "", "The request body must be a JSON object.")
    _check_depth(body, _DEPTH)
    return body


_decoder: Final = msgspec.json.Decoder(float_hook=Decimal)


def _check_depth(value: Any, left: int) -> None:
    if left == 0:
        raise Refusal("", "INVALID", "The request is nested too deeply.")
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _check_depth(inner, left - 1)


def check_id(text: str, field: str) -> None:
    """Raise Refusal unless a text can be the id of an order or transaction."""
    if not _ID.fullmatch(text):
        raise Refusal(field, "INVALID", "The value must be 1 to 40 characters.")
    if holds_card_number(text):
        raise Refusal(field, "INVALID", "The value holds a card number.")


def operation_of(body: Body) -> str:
    """Return apiOperation; raises Refusal when it is missing or not one that is known here."""
    operation = find(body, "apiOperation")
    if operation is None:
        raise missing("apiOperation")
    if not isinstance(operation, str) or operation not in OPERATIONS:
        shown = operation if isinstance(operation, str) and re.fullmatch(r"[A-Z_]{1,40}", operation) else "..."
        raise Refusal("apiOperation", "INVALID", f"Value '{shown}' is invalid.")
    return operation


def check_order_fields(body: Body) -> None:
    """Raise Refusal for the first field that operations on orders do not know, or whose form is wrong."""
    reject_unknown(body, _ON_ORDERS)
    check_fields(body)
    reject_card_numbers(body)


def check_assessment_fields(body: Body) -> None:
    """Raise Refusal for the first field that a stand-alone risk assessment does not know, or whose form is wrong."""
    reject_unknown(body, _ON_ORDERS - {"apiOperation"} | {"requestAction"})
    check_fields(body)
    reject_card_numbers(body)


def currency_of(body: Body, path: str) -> str:
    """Return the currency at a path; raises Refusal unless it is one of ISO 4217."""
    currency = find(body, path)
    if currency is None:
        raise missing(path)
    if not isinstance(currency, str) or not _CURRENCY.fullmatch(currency) or currency not in MINOR_DIGITS:
        raise Refusal(path, "INVALID", "The value must be an ISO 4217 currency code.")
    return currency


def amount_of(body: Body, path: str, currency: str, *, zero: bool = False) -> int:
    """Return the amount at a path in minor units; raises Refusal unless it is exact and positive."""
    value = find(body, path)
    if value is None:
        raise missing(path)
    text = amount_text(value)
    if not text:
        raise Refusal(path, "INVALID", "The value must be digits with at most one point, 14 characters.")
    digits = MINOR_DIGITS[currency]
    whole, _, fraction = text.partition(".")
    if len(fraction) > digits:
        raise Refusal(path, "INVALID", f"{currency} has {digits} decimal places.")
    minor = int(whole + fraction.ljust(digits, "0"))
    if not minor and not zero:
        raise Refusal(path, "INVALID", "The value must be more than zero.")
    return minor


def decimal(minor: int, currency: str) -> Decimal:
    """Return minor units as the number of a reply: 100, 10.01."""
    digits = MINOR_DIGITS[currency]
    value = Decimal(minor).scaleb(-digits)
    return Decimal(int(value)) if value == int(value) else value
