"""Check what anybody may send: JSON, field types and lengths, amounts, cards. Every refusal names the field."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from shanraq.simulators.visa.card import Card, card_of, holds_card_number
from shanraq.simulators.visa.currency import MINOR_DIGITS, minor_units
from shanraq.simulators.visa.model import Kind, Record, Refusal

Body = dict[str, Any]

_DEEPEST = 32
_ANY_LENGTH = 0

# The commonly used part of the API's fields: the longest text, or the type. What is not here is tolerated.
_FIELDS: Final[dict[str, Any]] = {
    "clientReferenceInformation": {
        "code": 50,
        "transactionId": 30,
        "comments": _ANY_LENGTH,
        "applicationName": _ANY_LENGTH,
        "applicationVersion": _ANY_LENGTH,
        "applicationUser": _ANY_LENGTH,
        "partner": {
            "developerId": 8,
            "solutionId": 8,
            "originalTransactionId": 32,
            "thirdPartyCertificationNumber": 12,
        },
    },
    "processingInformation": {
        "capture": bool,
        "commerceIndicator": 20,
        "paymentSolution": 12,
        "processorId": 3,
        "linkId": 26,
        "reportGroup": 25,
        "visaCheckoutId": 48,
        "purchaseLevel": 1,
        "reconciliationId": 60,
        "actionList": list,
        "actionTokenTypes": list,
        "authorizationOptions": {
            "authType": 15,
            "authIndicator": 1,
            "verbalAuthCode": 7,
            "verbalAuthTransactionId": 15,
            "partialAuthIndicator": bool,
            "balanceInquiry": bool,
            "ignoreAvsResult": bool,
            "ignoreCvResult": bool,
            "billPayment": bool,
            "initiator": {
                "type": _ANY_LENGTH,
                "credentialStoredOnFile": bool,
                "storedCredentialUsed": bool,
                "merchantInitiatedTransaction": {
                    "reason": _ANY_LENGTH,
                    "previousTransactionId": 15,
                    "originalAuthorizedAmount": 61,
                },
            },
        },
        "captureOptions": {
            "captureSequenceNumber": int,
            "totalCaptureCount": int,
            "dateToCapture": 4,
            "notes": _ANY_LENGTH,
        },
    },
    "paymentInformation": {
        "card": {
            "number": 20,
            "expirationMonth": 2,
            "expirationYear": 4,
            "type": 3,
            "securityCode": 4,
            "securityCodeIndicator": 1,
            "useAs": 20,
            "sourceAccountType": 20,
            "issueNumber": 5,
            "startMonth": 2,
            "startYear": 4,
        },
        "tokenizedCard": {
            "number": 20,
            "expirationMonth": 2,
            "expirationYear": 4,
            "type": 3,
            "cryptogram": 40,
            "requestorId": 11,
            "transactionType": 1,
            "assuranceLevel": 2,
            "storageMethod": 3,
            "securityCode": 4,
        },
    },
    "orderInformation": {
        "amountDetails": {
            "totalAmount": 19,
            "additionalAmount": 19,
            "currency": 3,
            "discountAmount": 15,
            "dutyAmount": 15,
            "taxAmount": 12,
            "freightAmount": 13,
        },
        "billTo": {
            "firstName": 60,
            "lastName": 60,
            "middleName": 60,
            "address1": 60,
            "address2": 60,
            "locality": 50,
            "administrativeArea": 20,
            "postalCode": 10,
            "country": 2,
            "district": 50,
            "buildingNumber": 256,
            "email": 255,
            "phoneNumber": 15,
        },
        "shipTo": {
            "firstName": 60,
            "lastName": 60,
            "address1": 60,
            "address2": 60,
            "locality": 50,
            "administrativeArea": 20,
            "postalCode": 10,
            "country": 2,
            "phoneNumber": 15,
        },
        "lineItems": list,
    },
    "reversalInformation": {"amountDetails": {"totalAmount": 19, "currency": 3}, "reason": _ANY_LENGTH},
    "merchantDefinedInformation": list,
    "consumerAuthenticationInformation": {
        "authenticationTransactionId": 36,
        "returnUrl": 2048,
        "referenceId": 50,
        "cavv": 255,
        "xid": 255,
        "directoryServerTransactionId": 36,
        "eciRaw": 2,
        "paSpecificationVersion": 8,
        "paresStatus": 1,
        "ucafAuthenticationData": 255,
        "ucafCollectionIndicator": 1,
        "deviceChannel": 10,
        "challengeCode": 2,
    },
    "decisionInformation": {"decision": _ANY_LENGTH, "comments": _ANY_LENGTH},
    "comments": _ANY_LENGTH,
    "deviceInformation": {"ipAddress": 48, "hostName": 60},
    "query": _ANY_LENGTH,
    "name": _ANY_LENGTH,
    "timezone": _ANY_LENGTH,
    "sort": _ANY_LENGTH,
    "save": bool,
    "offset": int,
    "limit": int,
}

_TYPE_REQUIRED = frozenset({"002", "006", "007", "014", "021", "024", "034", "036", "037", "039", "040", "042"})
# The first digits a card number of these types can have.
_FIRST_DIGITS: Final = {"001": "4", "002": "25", "003": "3"}
_TYPE_BY_FIRST_DIGIT: Final = {"1": "040", "2": "002", "3": "003", "4": "001", "5": "002", "6": "004"}
_CARD_NUMBER = re.compile(r"[0-9]{12,19}")
_CARD_TYPE = re.compile(r"[0-9]{3}")
_MONTH = re.compile(r"0[1-9]|1[0-2]")
_YEAR = re.compile(r"20[0-9]{2}")
_SECURITY_CODE = re.compile(r"[0-9]{3,4}")
_UNSUPPORTED_INSTRUMENTS = ("customer", "paymentInstrument", "instrumentIdentifier", "fluidData", "bank", "legacyToken")


def parse_body(content: bytes) -> Body:
    """Read and check a request body; raises a Refusal."""
    try:
        body = msgspec.json.decode(content)
    except (ValueError, RecursionError):
        raise Refusal("INVALID_DATA", message="The request body is not JSON") from None
    if not isinstance(body, dict):
        raise Refusal("INVALID_DATA", message="The request body is not a JSON object")
    if "encryptedRequest" in body:
        raise Refusal("NOT_SUPPORTED", field="encryptedRequest")
    _check(body, _FIELDS, "", 0)
    return body


def _check(value: object, expected: Any, path: str, depth: int) -> None:
    if value == "" or depth > _DEEPEST or not _fits(value, expected):
        raise Refusal("INVALID_DATA", field=path[:200])
    if isinstance(value, dict):
        known = expected if isinstance(expected, dict) else {}
        prefix = f"{path}." if path else ""
        for name, inner in value.items():
            _check(inner, known.get(name), f"{prefix}{name}", depth + 1)
    elif isinstance(value, list):
        for inner in value:
            _check(inner, None, f"{path}[]", depth + 1)


def _fits(value: object, expected: Any) -> bool:
    """Tell whether a value has the expected type: a length for texts, a table for objects, a type, or None for any."""
    if expected is None:
        return True
    if isinstance(expected, dict):
        return isinstance(value, dict)
    if expected in {bool, list}:
        return isinstance(value, expected)
    if expected is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, str) and (expected == _ANY_LENGTH or len(value) <= expected)


def get(body: Body, path: str) -> Any:
    """Return the value at a dotted path, or None."""
    value: Any = body
    for name in path.split("."):
        if not isinstance(value, dict):
            return None
        value = value.get(name)
    return value


def require(body: Body, path: str) -> str:
    """Return the text at a dotted path; raises a Refusal naming it."""
    value = get(body, path)
    if value is None:
        raise Refusal("MISSING_FIELD", field=path)
    if not isinstance(value, str):
        raise Refusal("INVALID_DATA", field=path)
    return value


def require_object(body: Body, path: str) -> Body:
    """Return the object at a dotted path; raises a Refusal naming it."""
    value = get(body, path)
    if value is None:
        raise Refusal("MISSING_FIELD", field=path)
    if not isinstance(value, dict):
        raise Refusal("INVALID_DATA", field=path)
    return value


def optional(body: Body, path: str) -> str:
    """Return the text at a dotted path, or an empty one; raises a Refusal when it is of another type."""
    value = get(body, path)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise Refusal("INVALID_DATA", field=path)
    return value


def texts(body: Body, path: str) -> list[str]:
    """Return the list of texts at a dotted path, or none; raises a Refusal naming it."""
    value = get(body, path)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise Refusal("INVALID_DATA", field=path)
    return value


def read_amount(body: Body, path: str, currency_path: str) -> tuple[int, str]:
    """Return minor units and currency; raises a Refusal."""
    text = require(body, path)
    currency = require(body, currency_path)
    digits = MINOR_DIGITS.get(currency)
    if digits is None:
        raise Refusal("INVALID_DATA", field=currency_path)
    minor = minor_units(text, digits)
    if minor is None:
        raise Refusal("INVALID_DATA", field=path)
    return minor, currency


def read_amount_of(record: Record, body: Body, path: str, currency_path: str) -> int:
    """Return the minor units, above zero, of a follow-on in the currency of what it follows; raises a Refusal."""
    minor, currency = read_amount(body, path, currency_path)
    if currency != record.operation.currency:
        raise Refusal("INVALID_DATA", field=currency_path)
    if minor == 0:
        raise Refusal("INVALID_AMOUNT", field=path)
    return minor


def read_payment_card(body: Body) -> Card:
    """Return the card of a request; raises a Refusal."""
    instrument = get(body, "paymentInformation")
    instrument = instrument if isinstance(instrument, dict) else {}
    name = "tokenizedCard" if "tokenizedCard" in instrument and "card" not in instrument else "card"
    if name not in instrument and any(other in instrument for other in _UNSUPPORTED_INSTRUMENTS):
        raise Refusal("NOT_SUPPORTED", field="paymentInformation")
    path = f"paymentInformation.{name}"
    number = _matching(body, f"{path}.number", _CARD_NUMBER)
    month = _matching(body, f"{path}.expirationMonth", _MONTH)
    year = _matching(body, f"{path}.expirationYear", _YEAR)
    details = instrument[name]
    if "securityCode" in details:
        _matching(body, f"{path}.securityCode", _SECURITY_CODE)
    card_type = _read_card_type(body, f"{path}.type", number)
    card = card_of(number, card_type, (int(year), int(month)), details.get("securityCode", ""))
    # A card number in a field that is echoed and stored would leave this function in the clear.
    reference = body.get("clientReferenceInformation")
    for reference_field in ("code", "transactionId"):
        if isinstance(reference, dict) and number in str(reference.get(reference_field)):
            raise Refusal("INVALID_DATA", field=f"clientReferenceInformation.{reference_field}")
    return card


def refuse_card_numbers(value: object, path: str = "") -> None:
    """Refuse a text that is kept and sent back, and holds what can be a card number; raises a Refusal naming it."""
    if isinstance(value, str) and holds_card_number(value):
        raise Refusal("INVALID_DATA", field=path[:200])
    if isinstance(value, dict):
        for name, inner in value.items():
            if holds_card_number(name):
                raise Refusal("INVALID_DATA", field=path[:200])
            refuse_card_numbers(inner, f"{path}.{name}" if path else name)
    elif isinstance(value, list):
        for inner in value:
            refuse_card_numbers(inner, f"{path}[]")


_MIT_REASON = re.compile(r"[1-9]|10")
_INITIATOR = "processingInformation.authorizationOptions.initiator"


def check_initiator(body: Body) -> None:
    """Check who started a payment with a stored credential; the transaction it goes back to need not be one of ours."""
    initiator = get(body, _INITIATOR)
    if initiator is None:
        return
    if get(body, f"{_INITIATOR}.type") not in {None, "customer", "merchant"}:
        raise Refusal("INVALID_DATA", field=f"{_INITIATOR}.type")
    path = f"{_INITIATOR}.merchantInitiatedTransaction"
    reason = get(body, f"{path}.reason")
    if reason is not None and not _MIT_REASON.fullmatch(reason):
        raise Refusal("INVALID_DATA", field=f"{path}.reason")
    previous = get(body, f"{path}.previousTransactionId")
    if previous is not None and not (previous.isascii() and previous.isalnum()):
        raise Refusal("INVALID_DATA", field=f"{path}.previousTransactionId")


def read_number(body: Body, path: str) -> str:
    """Return the card number at a dotted path; raises a Refusal naming it."""
    return _matching(body, path, _CARD_NUMBER)


def page_of(query: Mapping[str, str], limit: int, largest: int) -> tuple[int, int]:
    """Return offset and limit of a list; raises a Refusal for what is no number, or too large."""
    values = {"offset": (0, 0, 1_000_000), "limit": (limit, 1, largest)}
    read = []
    for name, (default, smallest, greatest) in values.items():
        text = query.get(name, str(default))
        if not (text.isascii() and text.isdecimal() and len(text) <= 7 and smallest <= int(text) <= greatest):
            raise Refusal("INVALID_DATA", field=name)
        read.append(int(text))
    return read[0], read[1]


def read_time(query: Mapping[str, str], name: str) -> datetime:
    """Return the time of a query parameter, in UTC when it names no zone; raises a Refusal."""
    text = query.get(name)
    if text is None:
        raise Refusal("MISSING_FIELD", field=name)
    return parse_time(text, name)


def parse_time(text: str, name: str) -> datetime:
    """Read an ISO 8601 time, in UTC when it names no zone; raises a Refusal naming the field."""
    try:
        time = datetime.fromisoformat(text)
        time = time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError):
        raise Refusal("INVALID_DATA", field=name) from None
    return time


def read_period(query: Mapping[str, str]) -> tuple[datetime, datetime]:
    """Return startTime and endTime of a query; raises a Refusal."""
    start, end = read_time(query, "startTime"), read_time(query, "endTime")
    if end < start:
        raise Refusal("INVALID_DATA", field="endTime")
    return start, end


def _read_card_type(body: Body, path: str, number: str) -> str:
    if get(body, path) is None:
        guess = "007" if number.startswith("35") else _TYPE_BY_FIRST_DIGIT.get(number[0], "001")
        if guess in _TYPE_REQUIRED:
            raise Refusal("MISSING_FIELD", field=path)
        return guess
    card_type = _matching(body, path, _CARD_TYPE)
    if number[0] not in _FIRST_DIGITS.get(card_type, "0123456789"):
        raise Refusal("INVALID_CARD_TYPE", field=path)
    return card_type


def _matching(body: Body, path: str, pattern: re.Pattern[str]) -> str:
    value = require(body, path)
    if not pattern.fullmatch(value):
        raise Refusal("INVALID_DATA", field=path)
    return value


def kind_name(kind: Kind) -> str:
    """Return the word for a kind of operation in paths: `payments`, `captures`."""
    return "payments" if kind in {Kind.AUTHORIZATION, Kind.INCREMENT} else f"{kind.value}s"
