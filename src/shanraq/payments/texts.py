"""Card data has no place in texts: what a partner writes into a reference, a description or metadata is stored and sent on."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from shanraq.core.errors import InvalidInputError
from shanraq.core.secret import luhn_valid
from shanraq.payments.brands import range_of

KEY_FIELD: Final = "Idempotency-Key"
_RUN: Final = re.compile(r"(?<![0-9])[0-9](?:[ -]?[0-9]){11,18}(?![0-9])")


class CardDataInTextError(InvalidInputError, code="card_data_in_text", status=400):
    """A text holds what passes for a card number; numbers go to /v1/payment-methods and nowhere else.

    A reference of yours that merely looks like one is taken with a dot in its middle.
    """


def refuse_card_numbers(**texts: str | Mapping[str, str]) -> None:
    """Raise CardDataInTextError, naming the field, where a text holds a card number (PCI DSS 4.0, 3.2.1).

    A number counts when its first digits and length are of a card scheme and its check digit is right.
    """
    for field, value in texts.items():
        if isinstance(value, str):
            _check(value, field)
        else:
            for key, text in value.items():
                _check(key, field)
                _check(text, f"{field}.{key}")


def holds_card_number(text: str) -> bool:
    """Tell whether a text holds what passes for a card number."""
    if len(text) < 12:
        return False
    for run in _RUN.finditer(text):
        digits = re.sub(r"[ -]", "", run[0])
        scheme = range_of(digits)
        if scheme is not None and len(digits) in scheme[1] and luhn_valid(digits):
            return True
    return False


def _check(text: str, field: str) -> None:
    if holds_card_number(text):
        # The key of metadata may be the number itself: it is not repeated.
        raise CardDataInTextError(field=field if not _RUN.search(field) else field.partition(".")[0])
