"""What makes the gateway decline, approve in part, fail or fall silent: card numbers, amounts and a postal code.

- Card `4000000RRR00000C` (16 digits, C the check digit): the answer with the reason code RRR of the table below; 482 is
  AUTHORIZED_RISK_DECLINED, which holds money although the payment is refused; 250 is a 502. The reasons of follow-ons
  (235, 237, 238, 242, 243, 246, 247) approve the payment, and refuse the capture, reversal, void or refund after it.
- Card 42423482938483873: INVALID_ACCOUNT, as in the public sandbox; so does any number without a valid check digit.
- Cards 46229431270137xx: CVN_NOT_MATCH unless the security code is the right one or left out.
- An expiry in the past: EXPIRED_CARD. Postal code 46282: PROCESSOR_DECLINED with any card.
- Amounts, in any currency: 7012.00 is approved by half (an increment of it is declined); 8150.01, 8151.02 and 8152.03
  answer 502 with SYSTEM_ERROR, SERVER_TIMEOUT and SERVICE_TIMEOUT (whether the money was taken is a setting of the
  simulator); 8199.00 is taken, and the connection closed without a reply.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from shanraq.simulators.visa.card import Card
from shanraq.simulators.visa.currency import minor_units
from shanraq.simulators.visa.model import Kind


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
    Reason("INVALID_AMOUNT", "239", "DINVALIDDATA", ""),
    Reason("INVALID_CARD_TYPE", "240", "DINVALIDDATA", ""),
    Reason("INVALID_PAYMENT_ID", "241", "DINVALIDDATA", ""),
    Reason("ACCOUNT_NOT_ALLOWED_CREDIT", "254", "DCARDREFUSED", ""),
    Reason("SCORE_EXCEEDS_THRESHOLD", "400", "DSCORE", "Reject - The risk score exceeds the threshold.", "00"),
    Reason("PENDING_AUTHENTICATION", "475", "DAUTHENTICATE", "The cardholder must be authenticated.", ""),
    Reason("CONSUMER_AUTHENTICATION_FAILED", "476", "DAUTHENTICATIONFAILED", "The authentication failed.", ""),
    Reason("CONSUMER_AUTHENTICATION_REQUIRED", "478", "DAUTHENTICATE", "Strong authentication is required.", "1A"),
    Reason("DECISION_PROFILE_REVIEW", "480", "DREVIEW", "The order is marked for review.", "00"),
    Reason("DECISION_PROFILE_REJECT", "481", "DREJECT", "The order is rejected by risk rules.", "05"),
    # These have no code of their own in the old table: they come when a test asks for them.
    Reason("BLOCKED_BY_CARDHOLDER", "203", "DCARDREFUSED", "Decline - The cardholder has stopped the payments.", "R1"),
    Reason("DECLINED_CHECK", "233", "DCHECKREFUSED", "Decline - The check is refused.", "05"),
    Reason("PAYMENT_REFUSED", "203", "DCARDREFUSED", "Decline - The payment is refused.", "05"),
    Reason("ACH_VERIFICATION_FAILED", "233", "DCHECKREFUSED", "Decline - The account could not be verified.", "05"),
    Reason("ALLOWABLE_PIN_RETRIES_EXCEEDED", "203", "DCARDREFUSED", "Decline - Too many wrong PINs.", "75"),
    Reason("PROCESSOR_ERROR", "233", "DCARDREFUSED", "Decline - The processor reports an error.", "96"),
    Reason("CUSTOMER_WATCHLIST_MATCH", "700", "DRESTRICTED", "The customer is on a watch list.", "05"),
    Reason("ADDRESS_COUNTRY_WATCHLIST_MATCH", "701", "DRESTRICTED", "The country of the address is listed.", "05"),
    Reason("EMAIL_COUNTRY_WATCHLIST_MATCH", "702", "DRESTRICTED", "The country of the e-mail address is listed.", "05"),
    Reason("IP_COUNTRY_WATCHLIST_MATCH", "703", "DRESTRICTED", "The country of the network address is listed.", "05"),
    Reason("DAGGREJECTED", "233", "DAGGREJECTED", "Decline - The aggregator is rejected.", "05"),
    Reason("DAGGDENIED", "233", "DAGGDENIED", "Decline - The aggregator is denied.", "05"),
    Reason("DSYSREJECTED", "233", "DSYSREJECTED", "Decline - The system rejects the request.", "05"),
)
REASONS: Final = {reason.name: reason for reason in _ALL_REASONS}

# The first reason of a code is the one its card asks for.
_BY_CODE: Final = {reason.code: reason for reason in reversed(_ALL_REASONS) if reason.code > "199"}
_STATUS_BY_CODE: Final = {"475": "PENDING_AUTHENTICATION", "480": "AUTHORIZED_PENDING_REVIEW"}
_HTTP_400_CODES: Final = frozenset({"232", "234", "236", "239", "240", "241"})
_AUTHENTICATION_CODES: Final = frozenset({"475", "478"})
_RISK_CODES: Final = frozenset({"400", "480", "481", "482"})
_CREDIT_ONLY: Final = frozenset({"254"})
_REASONS_OF_502: Final = frozenset({"SYSTEM_ERROR", "SERVER_TIMEOUT", "SERVICE_TIMEOUT"})
_SERVER_TIMEOUT: Final = Reason("SERVER_TIMEOUT", "250", "ETIMEOUT", "")

SCRIPTABLE: Final = frozenset(REASONS) - {"PARTIAL_AMOUNT"} | _REASONS_OF_502
"""The reasons that a test may ask for."""

_PARTIAL: Final = "7012.00"
_SILENT: Final = "8199.00"
_FAILING: Final = {"8150.01": "SYSTEM_ERROR", "8151.02": "SERVER_TIMEOUT", "8152.03": "SERVICE_TIMEOUT"}


# What a card's code refuses after the payment: by code, the kinds of operation and the reason.
_FOLLOW_ONS: Final = {
    "235": (frozenset({Kind.CAPTURE}), "EXCEEDS_AUTH_AMOUNT"),
    "237": (frozenset({Kind.CAPTURE, Kind.REVERSAL}), "AUTH_ALREADY_REVERSED"),
    "238": (frozenset({Kind.CAPTURE, Kind.REVERSAL}), "TRANSACTION_ALREADY_SETTLED"),
    "242": (frozenset({Kind.CAPTURE, Kind.REVERSAL}), "MISSING_AUTH"),
    "243": (frozenset({Kind.CAPTURE, Kind.REVERSAL}), "TRANSACTION_ALREADY_REVERSED_OR_SETTLED"),
    "246": (frozenset({Kind.VOID}), "NOT_VOIDABLE"),
    "247": (frozenset({Kind.REFUND}), "CAPTURE_ALREADY_VOIDED"),
}

_VISA_ADVICE: Final = {
    "STOLEN_LOST_CARD": "1",
    "INVALID_ACCOUNT": "1",
    "UNAUTHORIZED_CARD": "1",
    "BLOCKED_BY_CARDHOLDER": "1",
    "SUSPENDED_ACCOUNT": "1",
    "EXPIRED_CARD": "3",
    "CVN_NOT_MATCH": "3",
    "INVALID_CVN": "3",
}
_MASTERCARD_ADVICE: Final = {
    "STOLEN_LOST_CARD": "03",
    "INVALID_ACCOUNT": "03",
    "UNAUTHORIZED_CARD": "03",
    "SUSPENDED_ACCOUNT": "03",
    "BLOCKED_BY_CARDHOLDER": "21",
    "EXPIRED_CARD": "01",
    "INSUFFICIENT_FUND": "25",
    "EXCEEDS_CREDIT_LIMIT": "25",
    "ISSUER_UNAVAILABLE": "24",
}
# Reasons that the card network never saw have no advice of it.
_NO_ADVICE: Final = frozenset({"00", ""})


def decide(
    card: Card, postal_code: str, now: datetime, *, credit: bool, authenticated: bool = False, screened: bool = True
) -> Decision:
    """Return the answer for a card, leaving the amount aside.

    `authenticated` says that the cardholder was; without `screened` the rules of Decision Manager are not asked.
    """
    code = card.behaviour
    asks = not (code in _AUTHENTICATION_CODES and authenticated) and (screened or code not in _RISK_CODES)
    if code == "250":
        return Decision("SERVER_ERROR", _SERVER_TIMEOUT, 502)
    if code != "231" and code in _BY_CODE and (credit or code not in _CREDIT_ONLY) and asks:
        refused = code in _HTTP_400_CODES or code in _CREDIT_ONLY
        return Decision(_STATUS_BY_CODE.get(code, "DECLINED"), _BY_CODE[code], 400 if refused else 201)
    if code == "482" and asks:
        return Decision("AUTHORIZED_RISK_DECLINED", REASONS["DECISION_PROFILE_REJECT"])
    for reason, holds in (
        ("INVALID_ACCOUNT", code == "231"),
        ("EXPIRED_CARD", card.expiry < (now.year, now.month)),
        ("PROCESSOR_DECLINED", postal_code == "46282"),
        ("CVN_NOT_MATCH", card.has_wrong_security_code),
    ):
        if holds:
            return Decision("DECLINED", REASONS[reason])
    return Decision("AUTHORIZED")


def decision_for(reason: str) -> Decision:
    """Return the answer that a test asked for by its reason."""
    if reason in _REASONS_OF_502:
        return Decision("SERVER_ERROR", Reason(reason, "150", "ESYSTEM", ""), 502)
    found = REASONS[reason]
    if found.code in _HTTP_400_CODES or found.code in _CREDIT_ONLY:
        return Decision("INVALID_REQUEST", found, 400)
    return Decision(_STATUS_BY_CODE.get(found.code, "DECLINED"), found)


def refusal_of(behaviour: str, kind: Kind) -> str:
    """Return the reason for which a follow-on to a payment with this card is refused, or an empty text."""
    kinds, reason = _FOLLOW_ONS.get(behaviour, (frozenset(), ""))
    return reason if kind in kinds else ""


def advice_of(reason: Reason, card_type: str) -> str:
    """Return what the card network advises after a decline (Visa 1 to 3, Mastercard 01 to 99), or an empty text."""
    if reason.response_code in _NO_ADVICE:
        return ""
    if card_type == "001":
        return _VISA_ADVICE.get(reason.name, "2")
    return _MASTERCARD_ADVICE.get(reason.name, "02") if card_type in {"002", "042"} else ""


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
