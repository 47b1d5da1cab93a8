"""The forms of fields that requests share: bounded texts, amounts, currencies, ids. Data, checked by the strict decoder.

A text holds no U+0000: PostgreSQL cannot store it, so it is refused where it comes in.
"""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta

from shanraq.core.money import MAX_MINOR

_PRINTABLE: Final = "^[^\\u0000]*$"
_ID_TAIL: Final = "[0-7][0-9A-HJKMNP-TV-Z]{25}$"

ShortText = Annotated[str, Meta(max_length=100, pattern=_PRINTABLE)]
LongText = Annotated[str, Meta(max_length=1000, pattern=_PRINTABLE)]
Reference = Annotated[str, Meta(min_length=1, max_length=100, pattern=_PRINTABLE, description="Your own id of it.")]
Metadata = Annotated[
    dict[
        Annotated[str, Meta(min_length=1, max_length=40, pattern=_PRINTABLE)],
        Annotated[str, Meta(max_length=500, pattern=_PRINTABLE)],
    ],
    Meta(
        max_length=50, description="Up to 50 pairs of texts, kept and given back as they are; no card or personal data."
    ),
]
Amount = Annotated[int, Meta(ge=1, le=MAX_MINOR, description="Minor units of the currency, such as tiyn.")]
CurrencyCode = Annotated[
    str, Meta(pattern="^[A-Z]{3}$", max_length=3, description="ISO 4217 alphabetic code.", examples=["KZT"])
]
Iban = Annotated[
    str,
    Meta(
        pattern="^[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}$",
        max_length=34,
        description="International Bank Account Number (ISO 13616), in capitals, without blanks.",
        examples=["KZ86125KZT5004100100"],
    ),
]
CustomerId = Annotated[str, Meta(pattern="^cus_" + _ID_TAIL, max_length=30)]
AccountId = Annotated[str, Meta(pattern="^acc_" + _ID_TAIL, max_length=30)]
PaymentMethodId = Annotated[str, Meta(pattern="^pm_" + _ID_TAIL, max_length=29)]
