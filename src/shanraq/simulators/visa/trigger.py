"""What makes the gateway decline, approve in part, fail or fall silent: card numbers, amounts and a postal code.

- Card `4000000RRR00000C` (16 digits, C the check digit): the answer with the reason code RRR of the table below; 482 is
  AUTHORIZED_RISK_DECLINED, which holds money although the payment is refused.
- Card 42423482938483873: INVALID_ACCOUNT, as in the public sandbox; so does any number without a valid check digit.
- Cards 46229431270137xx: CVN_NOT_MATCH unless the security code is the right one or left out.
- An expiry in the past: EXPIRED_CARD. Postal code 46282: PROCESSOR_DECLINED with any card.
- Amounts, in any currency: 7012.00 is approved by half; 8150.01, 8151.02 and 8152.03 answer 502 with SYSTEM_ERROR,
  SERVER_TIMEOUT and SERVICE_TIMEOUT (whether the money was taken is a setting of the simulator); 8199.00 is taken, and
  the connection closed without a reply.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from shanraq.simulators.visa.currency import minor_units
from shanraq.simulators.visa.validate import Card


@dataclass(frozen=True, slots=True)
class Reason:
    """A reason of the gateway: its old numeric code, search flag, message, and the code of the card network."""

    name: str
    code: str
    flag: str
    message: str
    response_code: str = "05"


@dataclass(frozen=True, slots=True)
class Decision:
    """How an authorisation or credit is answered: HTTP status, status, and the reason unless all is well."""

    status: str
    reason: Reason | None = None
    http_status: int = 201


_ALL_REASONS: Final = (
    Reason("PARTIAL_AMOUNT", "110", "SPARTIALAPPROVAL", "Only a partial amount was approved.", "10"),
    Reason("AVS_FAILED", "200", "DAVSNO", "Soft Decline - The address does not match.", "00"),
    Reason("CONTACT_PROCESSOR", "201", "DCALL", "Decline - The issuing bank has questions about the request.", "01"),
    Reason("EXPIRED_CARD", "202", "DCARDEXPIRED", "Decline - Expired card.", "54"),
    Reason("PROCESSOR_DECLINED", "203", "DCARDREFUSED", "Decline - General decline of the card.", "05"),
    Reason("INSUFFICIENT_FUND", "204", "DCARDREFUSED", "Decline - Insufficient funds in the account.", "51"),
    Reason("STOLEN_LOST_CARD", "205", "DCARDREFUSED", "Decline - Stolen or lost card.", "43"),
    Reason("ISSUER_UNAVAILABLE", "207", "DCARDREFUSED", "Decline - Issuing bank unavailable.", "91"),
    Reason("UNAUTHORIZED_CARD", "208", "DCARDREFUSED", "Decline - Inactive card or card not authorized.", "57"),
    Reason("CVN_NOT_MATCH", "209", "DCV", "Decline - The security code does not match.", "N7"),
    Reason("EXCEEDS_CREDIT_LIMIT", "210", "DCARDREFUSED", "Decline - The card has reached the credit limit.", "61"),
    Reason("INVALID_CVN", "211", "DCV", "Decline - Invalid security code.", "N7"),
    Reason("BLACKLISTED_CUSTOMER", "221", "DCARDREFUSED", "Decline - The customer is on the negative list.", "05"),
    Reason("SUSPENDED_ACCOUNT", "222", "DCARDREFUSED", "Decline - The account is frozen.", "62"),
    Reason("CV_FAILED", "230", "DCV", "Soft Decline - The security code check failed.", "00"),
    Reason("INVALID_ACCOUNT", "231", "DINVALIDCARD", "Decline - Invalid account number", "14"),
    Reason("CARD_TYPE_NOT_ACCEPTED", "232", "DINVALIDDATA", ""),
    Reason("GENERAL_DECLINE", "233", "DCARDREFUSED", "Decline - General decline by the processor.", "05"),
    Reason("INVALID_MERCHANT_CONFIGURATION", "234", "EMERCHANTCONFIG", ""),
    Reason("PROCESSOR_UNAVAILABLE", "236", "DPROCESSORUNAVAILABLE", ""),
    Reason("ACCOUNT_NOT_ALLOWED_CREDIT", "254", "DCARDREFUSED", ""),
    Reason("SCORE_EXCEEDS_THRESHOLD", "400", "DSCORE", "Reject - The risk score exceeds the threshold.", "00"),
    Reason("PENDING_AUTHENTICATION", "475", "DAUTHENTICATE", "The cardholder must be authenticated.", ""),
    Reason("CONSUMER_AUTHENTICATION_FAILED", "476", "DAUTHENTICATIONFAILED", "The authentication failed.", ""),
    Reason("CONSUMER_AUTHENTICATION_REQUIRED", "478", "DAUTHENTICATE", "Strong authentication is required.", "1A"),
    Reason("DECISION_PROFILE_REVIEW", "480", "DREVIEW", "The order is marked for review.", "00"),
    Reason("DECISION_PROFILE_REJECT", "481", "DREJECT", "The order is rejected by risk rules.", "05"),
)
REASONS: Final = {reason.name: reason for reason in _ALL_REASONS}

_BY_CODE: Final = {reason.code: reason for reason in _ALL_REASONS if reason.code > "199"}
_STATUS_BY_CODE: Final = {"475": "PENDING_AUTHENTICATION", "480": "AUTHORIZED_PENDING_REVIEW"}
_HTTP_400_CODES: Final = frozenset({"232", "234", "236"})
_CREDIT_ONLY: Final = frozenset({"254"})
_TRIGGER_CARD = re.compile(r"4000000([0-9]{3})00000[0-9]")
_SECURITY_CODES: Final = {
    "4622943127013705": "838",
    "4622943127013713": "043",
    "4622943127013721": "258",
    "4622943127013739": "942",
    "4622943127013747": "370",
}

_PARTIAL: Final = "7012.00"
_SILENT: Final = "8199.00"
_FAILING: Final = {"8150.01": "SYSTEM_ERROR", "8151.02": "SERVER_TIMEOUT", "8152.03": "SERVICE_TIMEOUT"}


def decide(card: Card, postal_code: str, now: datetime, *, credit: bool) -> Decision:
    """Return the answer for a card, leaving the amount aside."""
    match = _TRIGGER_CARD.fullmatch(card.number)
    code = match[1] if match is not None else ""
    if code in _BY_CODE and (credit or code not in _CREDIT_ONLY):
        refused = code in _HTTP_400_CODES or code in _CREDIT_ONLY
        return Decision(_STATUS_BY_CODE.get(code, "DECLINED"), _BY_CODE[code], 400 if refused else 201)
    if code == "482":
        return Decision("AUTHORIZED_RISK_DECLINED", REASONS["DECISION_PROFILE_REJECT"])
    for reason, holds in (
        ("INVALID_ACCOUNT", card.number == "42423482938483873" or not card.has_check_digit),
        ("EXPIRED_CARD", card.expiry < (now.year, now.month)),
        ("PROCESSOR_DECLINED", postal_code == "46282"),
        ("CVN_NOT_MATCH", card.security_code not in {"", _SECURITY_CODES.get(card.number, card.security_code)}),
    ):
        if holds:
            return Decision("DECLINED", REASONS[reason])
    return Decision("AUTHORIZED")


def approved_amount(minor: int, digits: int) -> int:
    """Return the part of an amount that is approved, in minor units."""
    return minor // 2 if minor == minor_units(_PARTIAL, digits) else minor


def failure(minor: int, digits: int) -> str:
    """Return the reason of the 502 that an amount is answered with, or an empty text."""
    for amount, reason in _FAILING.items():
        # In a currency without cents these amounts cannot be written, and 8150 is an ordinary one.
        if digits >= 2 and minor == minor_units(amount, digits):
            return reason
    return ""


def is_silent(minor: int, digits: int) -> bool:
    """Tell whether an amount is taken without a reply."""
    return minor == minor_units(_SILENT, digits)
