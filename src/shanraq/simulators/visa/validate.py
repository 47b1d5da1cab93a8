"""Check what anybody may send: JSON, field types and lengths, amounts, cards. Every refusal names the field."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from shanraq.simulators.visa.currency import MINOR_DIGITS, minor_units
from shanraq.simulators.visa.model import Kind, MaskedCard, Record, Refusal

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
        "captureOptions": {"captureSequenceNumber": int, "totalCaptureCount": int, "dateToCapture": 4},
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


@dataclass(frozen=True, slots=True)
class Card:
    """Card data of one request; the number and the security code never leave it."""

    number: str = field(repr=False)
    type: str
    expiry: tuple[int, int]
    security_code: str = field(repr=False)

    @property
    def masked(self) -> MaskedCard:
        """What may be kept and shown."""
        return MaskedCard(self.number[:6], self.number[-4:], self.type)

    @property
    def has_check_digit(self) -> bool:
        """Whether the last digit is the number's check digit (ISO/IEC 7812-1 Annex B)."""
        return luhn_sum(self.number) % 10 == 0


def luhn_sum(digits: str) -> int:
    """Return the sum of the check digit formula; a number with a valid check digit gives a multiple of ten."""
    values = [int(digit) for digit in reversed(digits)]
    return sum(values[::2]) + sum(value * 2 - 9 * (value > 4) for value in values[1::2])


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


def read_card(body: Body) -> Card:
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
    card = Card(
        number, _read_card_type(body, f"{path}.type", number), (int(year), int(month)), details.get("securityCode", "")
    )
    # A card number in a field that is echoed and stored would leave this function in the clear.
    reference = body.get("clientReferenceInformation")
    for reference_field in ("code", "transactionId"):
        if isinstance(reference, dict) and number in str(reference.get(reference_field)):
            raise Refusal("INVALID_DATA", field=f"clientReferenceInformation.{reference_field}")
    return card


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
