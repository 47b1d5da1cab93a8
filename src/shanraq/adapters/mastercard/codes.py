"""What the words of the Mastercard Gateway mean to us; data only.

Gateway codes are those of the REST-JSON reference, version 100; classes and advice follow the unified decline taxonomy.
"""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from typing import Final

from shanraq.payments.adapter import Advice, DeclineClass, Reason
from shanraq.payments.declines import refine

_HARD, _SOFT, _FRAUD = DeclineClass.HARD, DeclineClass.SOFT, DeclineClass.FRAUD
_TECHNICAL, _CONFIGURATION = DeclineClass.TECHNICAL, DeclineClass.CONFIGURATION
_AUTHENTICATION = DeclineClass.AUTHENTICATION_REQUIRED
_STOP, _LATER, _OTHER = Advice.DO_NOT_RETRY, Advice.RETRY_LATER, Advice.RETRY_OTHER_PROCESSOR
_STEP_UP, _UPDATE, _ASK, _WAIT = Advice.STEP_UP_3DS, Advice.UPDATE_CARD, Advice.ASK_CUSTOMER, Advice.WAIT_FOR_REVIEW


class Meaning(StrEnum):
    """What a gateway code says of an operation that moves money."""

    APPROVED = "approved"
    PARTLY_APPROVED = "partly_approved"
    DECLINED = "declined"
    NOT_PROCESSED = "not_processed"
    UNDECIDED = "undecided"
    """Whatever the result says beside it: money may have moved, or may still move."""
    OTHER = "other"
    """The answer to a question about a balance or about authentication: it decides nothing about money."""


APPROVED: Final = frozenset({"APPROVED", "APPROVED_AUTO", "APPROVED_PENDING_SETTLEMENT"})
PARTLY_APPROVED: Final = "PARTIALLY_APPROVED"
BUSY: Final = frozenset({"LOCK_FAILURE"})
UNDECIDED: Final = frozenset(
    {
        "ACQUIRER_SYSTEM_ERROR",
        "AUTHENTICATION_IN_PROGRESS",
        "DEFERRED_TRANSACTION_RECEIVED",
        "PENDING",
        "SUBMITTED",
        "SYSTEM_ERROR",
        "TIMED_OUT",
        "UNKNOWN",
    }
)
INFORMATION: Final = frozenset(
    {
        "AUTHENTICATION_ATTEMPTED",
        "AUTHENTICATION_NOT_AVAILABLE",
        "BALANCE_AVAILABLE",
        "BALANCE_UNKNOWN",
        "CARD_DOES_NOT_SUPPORT_3DS",
        "CARD_NOT_ENROLLED",
        "NOT_ENROLLED_3D_SECURE",
    }
)

DECLINES: Final[dict[str, tuple[str, DeclineClass, Advice]]] = {
    "ABORTED": ("do_not_honor", _SOFT, _ASK),
    "AUTHENTICATION_FAILED": ("authentication_failed", _AUTHENTICATION, _ASK),
    "BLOCKED": ("risk_rejected", _FRAUD, _STOP),
    "CANCELLED": ("do_not_honor", _SOFT, _ASK),
    "DECLINED": ("do_not_honor", _SOFT, _LATER),
    "DECLINED_AVS": ("avs_mismatch", _SOFT, _ASK),
    "DECLINED_AVS_CSC": ("avs_mismatch", _SOFT, _ASK),
    "DECLINED_CSC": ("cvv_mismatch", _SOFT, _ASK),
    "DECLINED_DO_NOT_CONTACT": ("do_not_honor", _HARD, _STOP),
    "DECLINED_INVALID_PIN": ("not_permitted", _SOFT, _ASK),
    "DECLINED_PAYMENT_PLAN": ("not_permitted", _CONFIGURATION, _STOP),
    "DECLINED_PIN_REQUIRED": ("authentication_required", _AUTHENTICATION, _STEP_UP),
    "DUPLICATE_BATCH": ("duplicate", _CONFIGURATION, _STOP),
    "EXCEEDED_RETRY_LIMIT": ("limit_exceeded", _HARD, _STOP),
    "EXPIRED_CARD": ("expired_card", _HARD, _UPDATE),
    "INSUFFICIENT_FUNDS": ("insufficient_funds", _SOFT, _LATER),
    "INVALID_CSC": ("cvv_mismatch", _SOFT, _ASK),
    "NOT_SUPPORTED": ("not_permitted", _CONFIGURATION, _OTHER),
    "NO_BALANCE": ("insufficient_funds", _SOFT, _LATER),
    "REFERRED": ("do_not_honor", _SOFT, _ASK),
    "UNSPECIFIED_FAILURE": ("do_not_honor", _TECHNICAL, _OTHER),
}

# Where the gateway only says that it was declined, the issuer's response code (ISO 8583 DE39) says why.
GENERAL_DECLINES: Final = frozenset({"DECLINED", "DECLINED_DO_NOT_CONTACT", "REFERRED"})

# Our names of the schemes that have advice codes, by the gateway's.
SCHEMES: Final = {"MASTERCARD": "mastercard", "MAESTRO": "mastercard", "VISA": "visa"}

RECOMMENDATIONS: Final[dict[str, Advice]] = {
    "DO_NOT_PROCEED": _STOP,
    "DO_NOT_PROCEED_ABANDON_ORDER": _STOP,
    "RESUBMIT_WITH_ALTERNATIVE_PAYMENT_DETAILS": _ASK,
    "RESUBMIT_LATER": _LATER,
    "RESUBMIT_WITH_3DS": _STEP_UP,
}

# The field that a refused request is about, where that tells more than that the request was refused.
REFUSED_FIELDS: Final[dict[str, tuple[str, DeclineClass, Advice]]] = {
    "sourceOfFunds.provided.card.number": ("invalid_account", _HARD, _UPDATE),
    "sourceOfFunds.provided.card.expiry.month": ("invalid_account", _HARD, _UPDATE),
    "sourceOfFunds.provided.card.expiry.year": ("invalid_account", _HARD, _UPDATE),
    "sourceOfFunds.provided.card.securityCode": ("cvv_mismatch", _SOFT, _ASK),
    "sourceOfFunds.token": ("token_invalid", _HARD, _UPDATE),
    "order.amount": ("invalid_amount", _CONFIGURATION, _STOP),
    "order.currency": ("invalid_amount", _CONFIGURATION, _STOP),
    "transaction.amount": ("invalid_amount", _CONFIGURATION, _STOP),
    "transaction.currency": ("invalid_amount", _CONFIGURATION, _STOP),
    "transaction.targetTransactionId": ("not_permitted", _CONFIGURATION, _STOP),
    "apiOperation": ("not_permitted", _CONFIGURATION, _STOP),
}

# The letters of the schemes for what the gateway found of the address and the security code.
ADDRESS_LETTERS: Final = {
    "ADDRESS_MATCH": "A",
    "ADDRESS_ZIP_MATCH": "Y",
    "NAME_ADDRESS_MATCH": "O",
    "NAME_MATCH": "K",
    "NAME_ZIP_MATCH": "L",
    "NOT_AVAILABLE": "U",
    "NOT_VERIFIED": "G",
    "NO_MATCH": "N",
    "SERVICE_NOT_AVAILABLE_RETRY": "R",
    "SERVICE_NOT_SUPPORTED": "S",
    "ZIP_MATCH": "Z",
}
SECURITY_CODE_LETTERS: Final = {
    "MATCH": "M",
    "NO_MATCH": "N",
    "NOT_PROCESSED": "P",
    "NOT_PRESENT": "S",
    "NOT_SUPPORTED": "U",
}


def meaning_of(gateway_code: str) -> Meaning | None:
    """Return what a gateway code means for money, None for one that is not known: that decides nothing."""
    if gateway_code in APPROVED:
        return Meaning.APPROVED
    if gateway_code == PARTLY_APPROVED:
        return Meaning.PARTLY_APPROVED
    if gateway_code in DECLINES:
        return Meaning.DECLINED
    if gateway_code in BUSY:
        return Meaning.NOT_PROCESSED
    if gateway_code in UNDECIDED:
        return Meaning.UNDECIDED
    return Meaning.OTHER if gateway_code in INFORMATION else None


def decline_of(
    gateway_code: str,
    *,
    scheme: str = "",
    issuer_code: str = "",
    advice_code: str = "",
    recommendation: str = "",
    release: bool = False,
) -> Reason:
    """Return why a payment was declined; `scheme` is the gateway's name of it.

    The strictest advice holds: a scheme or a gateway that says never to try again is obeyed, whatever the rest allows.
    """
    code, kind, advice = DECLINES[gateway_code]
    reason = Reason(code, kind, advice, gateway_code, release, issuer_code="", advice_code=advice_code)
    if gateway_code in GENERAL_DECLINES:
        reason = replace(reason, issuer_code=issuer_code)
    reason = replace(refine(reason, SCHEMES.get(scheme, "")), issuer_code=issuer_code)
    recommended = RECOMMENDATIONS.get(recommendation)
    if gateway_code == "DECLINED_DO_NOT_CONTACT":
        return replace(reason, kind=_HARD, advice=_STOP)
    if recommended is _STOP:
        return replace(reason, advice=_STOP)
    if recommended is None or advice_code or reason.advice is _STOP:
        return reason
    return replace(reason, advice=recommended)


def refusal_of(field: str, validation: str) -> Reason:
    """Return why a request was refused. The gateway's explanation is left out: it may repeat what was sent."""
    code, kind, advice = REFUSED_FIELDS.get(field, ("merchant_config", _CONFIGURATION, _STOP))
    word = " ".join(("INVALID_REQUEST", *(part for part in (field, validation) if part)))
    return Reason(code, kind, advice, word)


UNREACHABLE: Final = Reason("processor_unavailable", _TECHNICAL, _OTHER, "not reached")
CREDENTIALS: Final = Reason("merchant_config", _CONFIGURATION, _OTHER, "authentication failed")
TOO_BUSY: Final = Reason("processor_unavailable", _TECHNICAL, _LATER, "SERVER_BUSY")
LOCKED: Final = Reason("processor_unavailable", _TECHNICAL, _LATER, "LOCK_FAILURE")
TOO_MANY: Final = Reason("processor_unavailable", _TECHNICAL, _LATER, "too many requests")
REJECTED_REQUEST: Final = Reason("merchant_config", _CONFIGURATION, _OTHER, "REQUEST_REJECTED")
REVIEW: Final = Reason("review_required", _FRAUD, _WAIT, "REVIEW_REQUIRED")
NO_REVIEW_CALL: Final = Reason(
    "not_permitted", _CONFIGURATION, _STOP, "reviews are decided in Merchant Administration: the gateway has no call"
)
# The order was looked up and is cancelled: the word by which recovery knows that nothing is left to release.
ALREADY_RELEASED: Final = Reason("not_permitted", _CONFIGURATION, _STOP, "AUTH_ALREADY_REVERSED")
