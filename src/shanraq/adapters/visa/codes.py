"""What the words of CyberSource mean to us; data only.

Statuses and reasons are those of the REST API reference; classes and advice follow the unified decline taxonomy.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from shanraq.core.secret import Pan
from shanraq.payments.adapter import Advice, DeclineClass, OperationKind, Reason
from shanraq.payments.brands import brand_of
from shanraq.payments.declines import refine

_HARD, _SOFT, _FRAUD = DeclineClass.HARD, DeclineClass.SOFT, DeclineClass.FRAUD
_TECHNICAL, _CONFIGURATION = DeclineClass.TECHNICAL, DeclineClass.CONFIGURATION
_AUTHENTICATION = DeclineClass.AUTHENTICATION_REQUIRED
_STOP, _LATER, _OTHER = Advice.DO_NOT_RETRY, Advice.RETRY_LATER, Advice.RETRY_OTHER_PROCESSOR
_STEP_UP, _UPDATE, _ASK, _WAIT = Advice.STEP_UP_3DS, Advice.UPDATE_CARD, Advice.ASK_CUSTOMER, Advice.WAIT_FOR_REVIEW

REASONS: Final[dict[str, tuple[str, DeclineClass, Advice]]] = {
    "MISSING_FIELD": ("merchant_config", _CONFIGURATION, _STOP),
    "INVALID_DATA": ("merchant_config", _CONFIGURATION, _STOP),
    "DUPLICATE_REQUEST": ("duplicate", _CONFIGURATION, _STOP),
    "AVS_FAILED": ("avs_mismatch", _SOFT, _ASK),
    "CONTACT_PROCESSOR": ("do_not_honor", _SOFT, _ASK),
    "EXPIRED_CARD": ("expired_card", _HARD, _UPDATE),
    "PROCESSOR_DECLINED": ("do_not_honor", _SOFT, _LATER),
    "INSUFFICIENT_FUND": ("insufficient_funds", _SOFT, _LATER),
    "STOLEN_LOST_CARD": ("stolen_or_lost", _HARD, _STOP),
    "ISSUER_UNAVAILABLE": ("issuer_unavailable", _TECHNICAL, _LATER),
    "UNAUTHORIZED_CARD": ("not_permitted", _HARD, _STOP),
    "CVN_NOT_MATCH": ("cvv_mismatch", _SOFT, _ASK),
    "EXCEEDS_CREDIT_LIMIT": ("limit_exceeded", _SOFT, _LATER),
    "INVALID_CVN": ("cvv_mismatch", _SOFT, _ASK),
    "BLACKLISTED_CUSTOMER": ("risk_rejected", _FRAUD, _STOP),
    "SUSPENDED_ACCOUNT": ("not_permitted", _HARD, _STOP),
    "CV_FAILED": ("cvv_mismatch", _SOFT, _ASK),
    "INVALID_ACCOUNT": ("invalid_account", _HARD, _UPDATE),
    "CARD_TYPE_NOT_ACCEPTED": ("card_not_supported", _CONFIGURATION, _OTHER),
    "GENERAL_DECLINE": ("do_not_honor", _SOFT, _LATER),
    "INVALID_MERCHANT_CONFIGURATION": ("merchant_config", _CONFIGURATION, _OTHER),
    "EXCEEDS_AUTH_AMOUNT": ("invalid_amount", _CONFIGURATION, _STOP),
    "PROCESSOR_UNAVAILABLE": ("processor_unavailable", _TECHNICAL, _OTHER),
    "AUTH_ALREADY_REVERSED": ("not_permitted", _CONFIGURATION, _STOP),
    "TRANSACTION_ALREADY_SETTLED": ("not_permitted", _CONFIGURATION, _STOP),
    "INVALID_AMOUNT": ("invalid_amount", _CONFIGURATION, _STOP),
    "INVALID_CARD_TYPE": ("card_not_supported", _CONFIGURATION, _STOP),
    "INVALID_PAYMENT_ID": ("merchant_config", _CONFIGURATION, _STOP),
    "MISSING_AUTH": ("not_permitted", _CONFIGURATION, _STOP),
    "TRANSACTION_ALREADY_REVERSED_OR_SETTLED": ("not_permitted", _CONFIGURATION, _STOP),
    "NOT_VOIDABLE": ("not_permitted", _CONFIGURATION, _STOP),
    "CAPTURE_ALREADY_VOIDED": ("not_permitted", _CONFIGURATION, _STOP),
    "ACCOUNT_NOT_ALLOWED_CREDIT": ("not_permitted", _HARD, _STOP),
    "SCORE_EXCEEDS_THRESHOLD": ("risk_rejected", _FRAUD, _STOP),
    "PENDING_AUTHENTICATION": ("authentication_required", _AUTHENTICATION, _STEP_UP),
    "CONSUMER_AUTHENTICATION_FAILED": ("authentication_failed", _AUTHENTICATION, _ASK),
    "CONSUMER_AUTHENTICATION_REQUIRED": ("authentication_required", _AUTHENTICATION, _STEP_UP),
    "DECISION_PROFILE_REVIEW": ("review_required", _FRAUD, _WAIT),
    "DECISION_PROFILE_REJECT": ("risk_rejected", _FRAUD, _STOP),
    "DECISION_PROFILE_CHALLENGE": ("authentication_required", _AUTHENTICATION, _STEP_UP),
    "PAYMENT_REFUSED": ("do_not_honor", _SOFT, _ASK),
    "BLOCKED_BY_CARDHOLDER": ("not_permitted", _HARD, _STOP),
    "ALLOWABLE_PIN_RETRIES_EXCEEDED": ("limit_exceeded", _SOFT, _ASK),
    "PROCESSOR_ERROR": ("processor_unavailable", _TECHNICAL, _OTHER),
    "NOT_SUPPORTED": ("not_permitted", _CONFIGURATION, _STOP),
    "INVALID_CARD": ("invalid_account", _HARD, _UPDATE),
    "DECLINED_CHECK": ("do_not_honor", _SOFT, _ASK),
    "ACH_VERIFICATION_FAILED": ("invalid_account", _HARD, _UPDATE),
    "CUSTOMER_WATCHLIST_MATCH": ("sanctions", _FRAUD, _STOP),
    "ADDRESS_COUNTRY_WATCHLIST_MATCH": ("sanctions", _FRAUD, _STOP),
    "EMAIL_COUNTRY_WATCHLIST_MATCH": ("sanctions", _FRAUD, _STOP),
    "IP_COUNTRY_WATCHLIST_MATCH": ("sanctions", _FRAUD, _STOP),
    "DAGGREJECTED": ("risk_rejected", _FRAUD, _STOP),
    "DAGGDENIED": ("risk_rejected", _FRAUD, _STOP),
    "DSYSREJECTED": ("risk_rejected", _FRAUD, _STOP),
    "DEBIT_CARD_USEAGE_EXCEEDD_LIMIT": ("limit_exceeded", _SOFT, _LATER),
}

# The numeric codes a transaction search tells instead of a status. A code in none of these tables decides nothing.
APPROVED_CODES: Final = frozenset({"100", "110"})
REVIEW_CODES: Final = frozenset({"480"})
REASON_OF_CODE: Final[dict[str, str]] = {
    "101": "MISSING_FIELD",
    "102": "INVALID_DATA",
    "104": "DUPLICATE_REQUEST",
    "200": "AVS_FAILED",
    "201": "CONTACT_PROCESSOR",
    "202": "EXPIRED_CARD",
    "203": "PROCESSOR_DECLINED",
    "204": "INSUFFICIENT_FUND",
    "205": "STOLEN_LOST_CARD",
    "207": "ISSUER_UNAVAILABLE",
    "208": "UNAUTHORIZED_CARD",
    "209": "CVN_NOT_MATCH",
    "210": "EXCEEDS_CREDIT_LIMIT",
    "211": "INVALID_CVN",
    "221": "BLACKLISTED_CUSTOMER",
    "222": "SUSPENDED_ACCOUNT",
    "230": "CV_FAILED",
    "231": "INVALID_ACCOUNT",
    "232": "CARD_TYPE_NOT_ACCEPTED",
    "233": "GENERAL_DECLINE",
    "234": "INVALID_MERCHANT_CONFIGURATION",
    "235": "EXCEEDS_AUTH_AMOUNT",
    "236": "PROCESSOR_UNAVAILABLE",
    "237": "AUTH_ALREADY_REVERSED",
    "238": "TRANSACTION_ALREADY_SETTLED",
    "239": "INVALID_AMOUNT",
    "240": "INVALID_CARD_TYPE",
    "241": "INVALID_PAYMENT_ID",
    "242": "MISSING_AUTH",
    "243": "TRANSACTION_ALREADY_REVERSED_OR_SETTLED",
    "246": "NOT_VOIDABLE",
    "247": "CAPTURE_ALREADY_VOIDED",
    "254": "ACCOUNT_NOT_ALLOWED_CREDIT",
    "400": "SCORE_EXCEEDS_THRESHOLD",
    "475": "PENDING_AUTHENTICATION",
    "476": "CONSUMER_AUTHENTICATION_FAILED",
    "478": "CONSUMER_AUTHENTICATION_REQUIRED",
    "481": "DECISION_PROFILE_REJECT",
}

CARD_TYPES: Final = {
    "visa": "001",
    "mastercard": "002",
    "amex": "003",
    "discover": "004",
    "diners": "005",
    "jcb": "007",
    "uatp": "040",
    "maestro": "042",
    "unionpay": "062",
}

_MAESTRO_UK: Final = ("5641", "6759")

# Names of the applications that /tss lists for an operation.
APPLICATIONS: Final = {
    OperationKind.AUTHORIZE: "ics_auth",
    OperationKind.CAPTURE: "ics_bill",
    OperationKind.REFUND: "ics_credit",
    OperationKind.VOID: "ics_void",
    OperationKind.REVERSE: "ics_auth_reversal",
    OperationKind.INCREMENT: "ics_auth",
    OperationKind.CREDIT: "ics_credit",
    OperationKind.VERIFY: "ics_auth",
}


def card_type_of(pan: Pan) -> str | None:
    """Return the gateway's code of a card's scheme, None where it has none for it."""
    if pan.reveal().startswith(_MAESTRO_UK):
        return "024"
    return CARD_TYPES.get(brand_of(pan))


def reason_of(word: str, *, release: bool = False) -> Reason:
    """Return what a reason means; an unknown one is a soft refusal without a better word."""
    code, kind, advice = REASONS.get(word, ("do_not_honor", _SOFT, _ASK))
    return Reason(code, kind, advice, word, release)


# Where the gateway says no more than that the issuer refused, the issuer's own code tells why.
_ISSUER_DECIDES: Final = frozenset(
    {"PROCESSOR_DECLINED", "GENERAL_DECLINE", "CONTACT_PROCESSOR", "PAYMENT_REFUSED", ""}
)


def exact(reason: Reason, scheme: str) -> Reason:
    """Return a reason as exactly as the issuer's code and the scheme's advice in it allow."""
    if reason.gateway_reason in _ISSUER_DECIDES:
        return refine(reason, scheme)
    return replace(refine(replace(reason, issuer_code=""), scheme), issuer_code=reason.issuer_code)


UNREACHABLE: Final = Reason("processor_unavailable", _TECHNICAL, _OTHER, "not reached")
CREDENTIALS: Final = Reason("merchant_config", _CONFIGURATION, _OTHER, "authentication failed")
TOO_MANY: Final = Reason("processor_unavailable", _TECHNICAL, _LATER, "too many requests")
NO_SUCH_TARGET: Final = Reason("not_permitted", _CONFIGURATION, _STOP, "not found")
