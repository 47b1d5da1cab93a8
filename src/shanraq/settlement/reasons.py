"""What the schemes' reason codes of disputes mean."""

from __future__ import annotations

from typing import Final

# Visa numbers its reasons by category since 2018: 10 fraud, 11 authorisation, 12 processing errors, 13 consumer disputes.
_VISA: Final = {"10": "fraud", "11": "authorization", "12": "processing_error", "13": "consumer_dispute"}
_MASTERCARD: Final = {
    "4808": "authorization",
    "4834": "processing_error",
    "4837": "fraud",
    "4853": "consumer_dispute",
}


def meaning_of(reason_code: str) -> str:
    """Return the category of a reason code of Visa (10.4) or Mastercard (4837), "" if it is not known."""
    category, point, _ = reason_code.partition(".")
    if point:
        return _VISA.get(category, "")
    return _MASTERCARD.get(reason_code, "")
