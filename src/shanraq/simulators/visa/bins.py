"""BIN lookup: what the first digits of a card number tell, over the ranges of the card networks."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

from shanraq.simulators.serve import Reply
from shanraq.simulators.visa.ids import Ids
from shanraq.simulators.visa.model import Refusal
from shanraq.simulators.visa.render import json_reply, utc_text
from shanraq.simulators.visa.route import Call, Handler, Verb
from shanraq.simulators.visa.validate import optional, require

_NUMBER = re.compile(r"[0-9]{6,19}")

# From, to (first digits), type code, brand, longest number. The first range that fits counts.
_RANGES: Final = (
    ("4", "4", "001", "VISA", "19"),
    ("51", "55", "002", "MASTERCARD", "16"),
    ("222100", "272099", "002", "MASTERCARD", "16"),
    ("34", "34", "003", "AMERICAN EXPRESS", "15"),
    ("37", "37", "003", "AMERICAN EXPRESS", "15"),
    ("6011", "6011", "004", "DISCOVER", "19"),
    ("644", "649", "004", "DISCOVER", "19"),
    ("65", "65", "004", "DISCOVER", "19"),
    ("3528", "3589", "007", "JCB", "19"),
    ("300", "305", "005", "DINERS CLUB", "19"),
    ("36", "36", "005", "DINERS CLUB", "19"),
    ("38", "38", "005", "DINERS CLUB", "19"),
    ("5018", "5018", "042", "MAESTRO", "19"),
    ("5020", "5020", "042", "MAESTRO", "19"),
    ("5033", "5038", "042", "MAESTRO", "19"),
    ("5868", "5868", "042", "MAESTRO", "19"),
    ("6304", "6304", "042", "MAESTRO", "19"),
    ("6759", "6769", "042", "MAESTRO", "19"),
    ("5641", "5641", "024", "MAESTRO", "19"),
    ("62", "62", "062", "CHINA UNION PAY", "19"),
    ("81", "81", "062", "CHINA UNION PAY", "19"),
)


def brand_of(number: str) -> tuple[str, str, str] | None:
    """Return type code, brand and greatest length of a card number, or None for one of no known range."""
    for start, end, card_type, name, longest in _RANGES:
        if start <= number[: len(start)] <= end:
            return card_type, name, longest
    return None


class BinLookup:
    """Answers BIN lookups; `prefix_of` finds the first digits behind the id of a token."""

    def __init__(self, now: Callable[[], datetime], ids: Ids, prefix_of: Callable[[str, dict[str, Any]], str]) -> None:
        self._now = now
        self._ids = ids
        self._prefix_of = prefix_of

    def handlers(self) -> Mapping[Verb, Handler]:
        """Return what answers the operation."""
        return {Verb.LOOK_UP_BIN: self._look_up}

    def _look_up(self, call: Call) -> Reply:
        number = optional(call.body, "paymentInformation.card.number")
        if not number:
            number = self._prefix_of(call.merchant_id, call.body) or require(
                call.body, "paymentInformation.card.number"
            )
        if not _NUMBER.fullmatch(number):
            raise Refusal("INVALID_DATA", field="paymentInformation.card.number")
        brand = brand_of(number)
        now = self._now()
        head = {"id": self._ids.request(now.timestamp()), "submitTimeUtc": utc_text(now)}
        if brand is None:
            return json_reply(201, head | {"status": "NO"})
        return json_reply(201, head | {"status": "COMPLETED"} | bin_details(number, brand))


def bin_details(number: str, brand: tuple[str, str, str]) -> dict[str, Any]:
    """Describe the card and the issuer behind the first digits of a number."""
    card_type, name, longest = brand
    return {
        "paymentAccountInformation": {
            "card": {
                "type": card_type,
                "brandName": name,
                "currency": "KZT",
                "maxLength": longest,
                "credentialType": "PAN",
            },
            "features": {
                "accountFundingSource": "CREDIT",
                "cardPlatform": "CONSUMER",
                "messageType": "S",
                "corporatePurchase": False,
                "threeDSSupport": True,
                "ecomEnabled": True,
            },
            "network": {"id": card_type},
        },
        "issuerInformation": {
            "name": "SIMULATED BANK",
            "country": "KZ",
            "binLength": "6",
            "accountPrefix": number[:6],
        },
    }
