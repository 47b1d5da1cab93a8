"""What terminals are answered: our reasons as response codes of 1987 and action codes of 1993; data only."""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class Said(StrEnum):
    """What an answer says, whatever the edition."""

    APPROVED = "approved"
    PARTLY = "partly"
    ADVICE_TAKEN = "advice_taken"
    REVERSED = "reversed"
    MANAGED = "managed"
    UNKNOWN_ORIGINAL = "unknown_original"
    OVERTAKEN = "overtaken"
    FORMAT_ERROR = "format_error"
    NOT_SUPPORTED = "not_supported"
    INVALID = "invalid"
    UNKNOWN_TERMINAL = "unknown_terminal"
    REUSED = "reused"
    NOT_AUTHENTIC = "not_authentic"
    MALFUNCTION = "malfunction"


# (response code of 1987, action code of 1993)
SAID: Final[dict[Said, tuple[str, str]]] = {
    Said.APPROVED: ("00", "000"),
    Said.PARTLY: ("10", "002"),
    Said.ADVICE_TAKEN: ("00", "900"),
    Said.REVERSED: ("00", "400"),
    Said.MANAGED: ("00", "800"),
    Said.UNKNOWN_ORIGINAL: ("25", "914"),
    Said.OVERTAKEN: ("21", "902"),
    Said.FORMAT_ERROR: ("30", "904"),
    Said.NOT_SUPPORTED: ("40", "115"),
    Said.INVALID: ("12", "902"),
    Said.UNKNOWN_TERMINAL: ("58", "120"),
    Said.REUSED: ("94", "913"),
    Said.NOT_AUTHENTIC: ("96", "916"),
    Said.MALFUNCTION: ("96", "909"),
}

# Why a payment system, or a rule of ours, said no.
REASONS: Final[dict[str, tuple[str, str]]] = {
    "authentication_failed": ("55", "117"),
    "authentication_required": ("1A", "112"),
    "avs_mismatch": ("05", "100"),
    "card_not_supported": ("57", "119"),
    "cvv_mismatch": ("82", "122"),
    "do_not_honor": ("05", "100"),
    "duplicate": ("94", "913"),
    "expired_card": ("54", "101"),
    "insufficient_funds": ("51", "116"),
    "invalid_account": ("14", "111"),
    "invalid_amount": ("13", "110"),
    "issuer_unavailable": ("91", "912"),
    "limit_exceeded": ("61", "121"),
    "merchant_config": ("03", "109"),
    "not_permitted": ("57", "119"),
    "not_processed": ("96", "909"),
    "processor_unavailable": ("91", "907"),
    "review_rejected": ("59", "102"),
    "review_required": ("05", "100"),
    "risk_rejected": ("59", "102"),
    "sanctions": ("93", "124"),
    "stolen_or_lost": ("43", "209"),
    # Refusals of the verbs, by their codes.
    "account_not_active": ("03", "109"),
    "account_not_found": ("03", "109"),
    "amount_above_authorized": ("61", "121"),
    "amount_above_captured": ("61", "121"),
    "card_expired": ("54", "101"),
    "currency_mismatch": ("13", "110"),
    "idempotency_key_reused": ("94", "913"),
    "illegal_status": ("12", "902"),
    "invalid_card_number": ("14", "111"),
    "invalid_expiry": ("54", "101"),
    "partner_closed": ("58", "120"),
    "partner_not_approved": ("58", "120"),
    "partner_not_live": ("58", "120"),
    "partner_suspended": ("58", "120"),
    "payment_not_found": ("25", "914"),
    "refund_spans_captures": ("61", "121"),
    "unknown_currency": ("13", "110"),
    "void_refused": ("12", "902"),
}
_OTHER: Final = ("05", "100")


def said(what: Said, edition: str) -> str:
    """Return the code of an answer; `edition` is 1987 or 1993."""
    return SAID[what][edition != "1987"]


def reason(code: str, edition: str) -> str:
    """Return the code for why something was refused; a reason without a better one is "do not honour"."""
    return REASONS.get(code, _OTHER)[edition != "1987"]
