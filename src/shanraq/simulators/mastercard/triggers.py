"""What makes the gateway answer otherwise than APPROVED: expiry dates, security codes, streets, references. Configurable."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from shanraq.simulators.mastercard.fields import words

GATEWAY_CODES: Final = words("""
    ABORTED ACQUIRER_SYSTEM_ERROR APPROVED APPROVED_AUTO APPROVED_PENDING_SETTLEMENT AUTHENTICATION_FAILED
    AUTHENTICATION_IN_PROGRESS BALANCE_AVAILABLE BALANCE_UNKNOWN BLOCKED CANCELLED DECLINED DECLINED_AVS
    DECLINED_AVS_CSC DECLINED_CSC DECLINED_DO_NOT_CONTACT DECLINED_INVALID_PIN DECLINED_PAYMENT_PLAN
    DECLINED_PIN_REQUIRED DEFERRED_TRANSACTION_RECEIVED DUPLICATE_BATCH EXCEEDED_RETRY_LIMIT EXPIRED_CARD
    INSUFFICIENT_FUNDS INVALID_CSC LOCK_FAILURE NOT_ENROLLED_3D_SECURE NOT_SUPPORTED NO_BALANCE PARTIALLY_APPROVED
    PENDING REFERRED SUBMITTED SYSTEM_ERROR TIMED_OUT UNKNOWN UNSPECIFIED_FAILURE
""")
APPROVED: Final = frozenset({"APPROVED", "APPROVED_AUTO", "APPROVED_PENDING_SETTLEMENT", "PARTIALLY_APPROVED"})

_UNKNOWN: Final = frozenset({"TIMED_OUT", "UNKNOWN"})
_PENDING: Final = frozenset({"PENDING", "SUBMITTED", "AUTHENTICATION_IN_PROGRESS", "DEFERRED_TRANSACTION_RECEIVED"})
_STOP: Final = frozenset({"EXPIRED_CARD", "DECLINED_DO_NOT_CONTACT", "BLOCKED", "EXCEEDED_RETRY_LIMIT"})
_ISSUER: Final = {
    "APPROVED": ("00", "Approved"),
    "APPROVED_AUTO": ("00", "Approved"),
    "APPROVED_PENDING_SETTLEMENT": ("00", "Approved"),
    "PARTIALLY_APPROVED": ("10", "Partially approved"),
    "DECLINED": ("05", "Do not honor"),
    "DECLINED_DO_NOT_CONTACT": ("05", "Do not honor"),
    "DECLINED_CSC": ("N7", "Security code does not match"),
    "INVALID_CSC": ("N7", "Security code does not match"),
    "DECLINED_INVALID_PIN": ("55", "Incorrect PIN"),
    "DECLINED_PIN_REQUIRED": ("65", "PIN required"),
    "EXPIRED_CARD": ("54", "Expired card"),
    "INSUFFICIENT_FUNDS": ("51", "Insufficient funds"),
    "EXCEEDED_RETRY_LIMIT": ("65", "Retry limit exceeded"),
    "REFERRED": ("01", "Refer to card issuer"),
    "TIMED_OUT": ("68", "No reply in time"),
    "ACQUIRER_SYSTEM_ERROR": ("96", "System malfunction"),
    "SYSTEM_ERROR": ("96", "System malfunction"),
    "UNSPECIFIED_FAILURE": ("06", "Error"),
    "UNKNOWN": ("99", "Unknown"),
}
_REFERENCE: Final = re.compile(r".*\.FAIL([A-Z0-9_]+)$")


def result_of(code: str, operation: str = "") -> str:
    """Return `result` for a gateway code; a balance is a success only of the operation that asks for it."""
    if code in APPROVED or (code == "BALANCE_AVAILABLE" and operation == "BALANCE_INQUIRY"):
        return "SUCCESS"
    return "UNKNOWN" if code in _UNKNOWN else "PENDING" if code in _PENDING else "FAILURE"


def recommendation_of(code: str) -> str:
    """Return `response.gatewayRecommendation` for a gateway code."""
    if result_of(code) != "FAILURE":
        return "NO_ACTION"
    return "DO_NOT_PROCEED_ABANDON_ORDER" if code in _STOP else "RESUBMIT_WITH_ALTERNATIVE_PAYMENT_DETAILS"


def acquirer_answer(code: str) -> tuple[str, str]:
    """Return the acquirer's code and message for a gateway code."""
    return _ISSUER.get(code, ("05", "Declined") if result_of(code) == "FAILURE" else ("00", "Approved"))


@dataclass(slots=True)
class Triggers:
    """The tables of a test merchant. The years of the expiries are moved now and then: they can be replaced."""

    expiry: dict[str, str] = field(
        default_factory=lambda: {
            "01/39": "APPROVED",
            "05/39": "DECLINED",
            "04/27": "EXPIRED_CARD",
            "08/28": "TIMED_OUT",
            "01/37": "ACQUIRER_SYSTEM_ERROR",
            "02/37": "UNSPECIFIED_FAILURE",
            "05/37": "UNKNOWN",
        }
    )
    security_code: dict[str, str] = field(
        default_factory=lambda: {
            "100": "MATCH", "101": "NOT_PROCESSED", "102": "NO_MATCH",
            "1000": "MATCH", "1010": "NOT_PROCESSED", "1020": "NO_MATCH",
        }
    )  # fmt: skip
    street: dict[str, str] = field(
        default_factory=lambda: {
            "Alpha St": "ADDRESS_MATCH", "Gamma St": "NOT_VERIFIED", "Kilo St": "NAME_MATCH", "Lima St": "NAME_ZIP_MATCH",
            "November St": "NO_MATCH", "Oscar St": "NAME_ADDRESS_MATCH", "Romeo St": "SERVICE_NOT_AVAILABLE_RETRY",
            "Sierra St": "SERVICE_NOT_SUPPORTED", "Uniform St": "NOT_AVAILABLE", "Whiskey St": "ZIP_MATCH",
            "X-ray St": "ADDRESS_ZIP_MATCH", "Zero St": "NOT_REQUESTED",
        }
    )  # fmt: skip
    partial_minor: int = 701_200
    """With order.acceptPartialAmount an amount of this many minor units is approved to the half: our own trigger."""

    def replace_expiry(self, table: dict[str, str]) -> None:
        """Take another table of expiries. Raises ValueError naming the entry."""
        for expiry, code in table.items():
            if not re.fullmatch(r"(0[1-9]|1[0-2])/[0-9]{2}", expiry, re.ASCII) or code not in GATEWAY_CODES:
                raise ValueError(f"expiry {expiry}: a month/year of two digits each, and a gateway code")
        self.expiry = dict(table)

    def code_of(self, expiry: tuple[int, int] | None, reference: str, attempts: int) -> str:
        """Return the gateway code of a card payment; `attempts` counts earlier initial transactions of the order."""
        match reference:
            case "TEST-FAIL-DECLINE" | "TEST-FAIL-INIT":
                return "DECLINED"
            case "TEST-PENDING":
                return "PENDING"
            case "TEST-FAIL-THEN-SUCCESS":
                return "APPROVED" if attempts else "DECLINED"
            case "TEST-TIMEOUT-THEN-SUCCESS":
                return "APPROVED" if attempts else "TIMED_OUT"
        named = _REFERENCE.fullmatch(reference)
        if named is not None and named[1] in GATEWAY_CODES:
            return named[1]
        if expiry is None:
            return "APPROVED"
        return self.expiry.get(f"{expiry[0]:02d}/{expiry[1]:02d}", "APPROVED")
