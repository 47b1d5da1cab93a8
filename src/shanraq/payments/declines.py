"""What issuers and schemes say with a no: ISO 8583 response codes and merchant advice codes in one taxonomy.

    reason = refine(Reason("do_not_honor", SOFT, ASK, "DECLINED", issuer_code="51", advice_code="24"), "mastercard")

An adapter tells its gateway's own word, and the two codes where the gateway passes them on; `refine` lets the more exact one
speak: the scheme's advice before the issuer's code before the gateway's word.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum
from typing import Final

from shanraq.payments.adapter import Advice, DeclineClass, Reason

CODES: Final = frozenset(
    {
        "insufficient_funds", "expired_card", "invalid_account", "stolen_or_lost", "do_not_honor", "limit_exceeded",
        "cvv_mismatch", "avs_mismatch", "issuer_unavailable", "processor_unavailable", "authentication_required",
        "authentication_failed", "risk_rejected", "review_required", "duplicate", "invalid_amount", "not_permitted",
        "sanctions", "card_not_supported", "token_invalid", "merchant_config", "timeout",
    }
)  # fmt: skip
"""The codes of the taxonomy: what `Reason.code` says, whatever gateway said it."""

_HARD, _SOFT = DeclineClass.HARD, DeclineClass.SOFT
_STOP, _LATER, _ASK = Advice.DO_NOT_RETRY, Advice.RETRY_LATER, Advice.ASK_CUSTOMER

APPROVED: Final = frozenset({"00", "85"})
"""DE39 of an approval; 85 says that nothing speaks against the card (verification)."""
PARTIAL: Final = frozenset({"10"})

ISSUER: Final[dict[str, tuple[str, DeclineClass, Advice]]] = {
    "05": ("do_not_honor", _SOFT, _LATER),
    "51": ("insufficient_funds", _SOFT, _LATER),
    "61": ("limit_exceeded", _SOFT, _LATER),
    "65": ("limit_exceeded", _SOFT, _LATER),
    "91": ("issuer_unavailable", DeclineClass.TECHNICAL, _LATER),
    "96": ("processor_unavailable", DeclineClass.TECHNICAL, Advice.RETRY_OTHER_PROCESSOR),
    "1A": ("authentication_required", DeclineClass.AUTHENTICATION_REQUIRED, Advice.STEP_UP_3DS),
    "04": ("stolen_or_lost", _HARD, _STOP),
    "07": ("stolen_or_lost", _HARD, _STOP),
    "12": ("not_permitted", _HARD, _STOP),
    "14": ("invalid_account", _HARD, Advice.UPDATE_CARD),
    "15": ("card_not_supported", _HARD, _STOP),
    "41": ("stolen_or_lost", _HARD, _STOP),
    "43": ("stolen_or_lost", _HARD, _STOP),
    "46": ("invalid_account", _HARD, Advice.UPDATE_CARD),
    "57": ("not_permitted", _HARD, _STOP),
    "R0": ("not_permitted", _HARD, _STOP),
    "R1": ("not_permitted", _HARD, _STOP),
    "R3": ("not_permitted", _HARD, _STOP),
    "54": ("expired_card", _HARD, Advice.UPDATE_CARD),
    "55": ("authentication_failed", DeclineClass.AUTHENTICATION_REQUIRED, _ASK),
    "82": ("cvv_mismatch", _SOFT, _ASK),
    "N7": ("cvv_mismatch", _SOFT, _ASK),
}
"""DE39 of ISO 8583:1987 as card schemes use it: the issuer's refusals."""


class Retry(StrEnum):
    """Whether the scheme lets a declined payment be tried again."""

    NEVER = "never"
    LATER = "later"
    AFTER = "after"
    AFTER_CHANGE = "after_change"
    WITH_CARE = "with_care"


@dataclass(frozen=True, slots=True)
class SchemeAdvice:
    """A merchant advice code: whether to try again, what to do, and for AFTER how long to wait."""

    retry: Retry
    advice: Advice
    wait: timedelta | None = None


def _after(**wait: int) -> SchemeAdvice:
    return SchemeAdvice(Retry.AFTER, _LATER, timedelta(**wait))


_NEVER: Final = SchemeAdvice(Retry.NEVER, _STOP)

ADVICE: Final[dict[str, dict[str, SchemeAdvice]]] = {
    "visa": {
        "1": _NEVER,
        "2": SchemeAdvice(Retry.LATER, _LATER),
        "3": SchemeAdvice(Retry.AFTER_CHANGE, _ASK),
    },
    "mastercard": {
        "01": SchemeAdvice(Retry.AFTER_CHANGE, Advice.UPDATE_CARD),
        "02": SchemeAdvice(Retry.LATER, _LATER),
        "03": _NEVER,
        "04": SchemeAdvice(Retry.AFTER_CHANGE, Advice.USE_CARD_NUMBER),
        "21": _NEVER,
        "22": _NEVER,
        "24": _after(hours=1),
        "25": _after(hours=24),
        "26": _after(days=2),
        "27": _after(days=4),
        "28": _after(days=6),
        "29": _after(days=8),
        "30": _after(days=10),
        "40": SchemeAdvice(Retry.WITH_CARE, _ASK),
        "41": _NEVER,
        "42": _NEVER,
        "99": _NEVER,
    },
}
"""Merchant advice codes by scheme (brand). Visa's are its decline categories; other schemes have none here."""


def advice_of(scheme: str, advice_code: str) -> SchemeAdvice | None:
    """Return what a scheme's advice code means; None for one that is empty or not known."""
    known = ADVICE.get(scheme, {})
    # Gateways write Visa's with a zero in front, and Mastercard's without.
    return known.get(advice_code) or known.get(advice_code.lstrip("0")) or known.get(advice_code.zfill(2))


def refine(reason: Reason, scheme: str) -> Reason:
    """Return a reason told as exactly as the issuer's and the scheme's codes in it allow.

    What the gateway found by itself (risk, authentication, our configuration) stays as it is unless an issuer spoke.
    """
    if reason.issuer_code in ISSUER:
        code, kind, advice = ISSUER[reason.issuer_code]
        reason = replace(reason, code=code, kind=kind, advice=advice)
    told = advice_of(scheme, reason.advice_code)
    if told is None:
        return reason
    match told.retry:
        case Retry.NEVER:
            # A scheme's no for ever is hard even where the issuer's code alone would be soft.
            kind = _HARD if reason.kind in (_SOFT, DeclineClass.TECHNICAL) else reason.kind
            return replace(reason, kind=kind, advice=_STOP)
        case Retry.AFTER if reason.kind is _HARD:
            return replace(reason, retry_after=told.wait)
        case Retry.AFTER:
            return replace(reason, kind=DeclineClass.RETRY_AFTER, advice=told.advice, retry_after=told.wait)
        case _:
            return reason if reason.kind is _HARD else replace(reason, advice=told.advice)


def is_final(reason: Reason, scheme: str) -> bool:
    """Tell whether the scheme forbids to try this card again."""
    told = advice_of(scheme, reason.advice_code)
    return told is not None and told.retry is Retry.NEVER


def wait_after(reason: Reason, scheme: str) -> timedelta | None:
    """Return how long the scheme wants this card to be left alone, where it said so."""
    if reason.retry_after is not None:
        return reason.retry_after
    told = advice_of(scheme, reason.advice_code)
    return told.wait if told is not None else None
