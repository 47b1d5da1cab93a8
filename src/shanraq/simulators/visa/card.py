"""Cards of requests and of tokens, and what their numbers make the simulator do."""

from __future__ import annotations

import hmac
import re
from dataclasses import dataclass, field
from typing import Final

from shanraq.simulators.visa.resources import MaskedCard

_TRIGGER_CARD = re.compile(r"4000000([0-9]{3})00000[0-9]")
_SECURITY_CODES: Final = {
    "4622943127013705": "838",
    "4622943127013713": "043",
    "4622943127013721": "258",
    "4622943127013739": "942",
    "4622943127013747": "370",
}
_CODES: Final = frozenset(
    map(
        str,
        (
            *(200, 201, 202, 203, 204, 205, 207, 208, 209, 210, 211, 221, 222),
            *(230, 231, 232, 233, 234, 235, 236, 237, 238, 239, 240, 241, 242, 243, 246, 247, 250, 254),
            *(400, 475, 476, 478, 480, 481, 482),
        ),
    )
)

# EMV 3-D Secure test cards: zeros after the prefix, then 1, two digits of the case, and the check digit.
_AUTHENTICATION_CARD = re.compile(r"(?:[0-9]{3,10}?)0{3,9}(1(?:0[0-9]|1[01]))[0-9]")
_SCENARIOS: Final = {
    "100": "success",
    "101": "failed",
    "102": "attempted",
    "103": "unavailable",
    "104": "rejected",
    "105": "not_available",
    "106": "error",
    "107": "timeout",
    "108": "bypassed",
    "109": "challenge_success",
    "110": "challenge_failed",
    "111": "challenge_unavailable",
}
_SCENARIO_BY_CODE: Final = {"475": "challenge_success", "476": "failed", "478": "challenge_success"}


@dataclass(frozen=True, slots=True)
class Card:
    """A card as one request has it; the number and the security code never leave it, and a token has none of them."""

    masked: MaskedCard
    expiry: tuple[int, int]
    behaviour: str
    kept_scenario: str = ""
    number: str = field(default="", repr=False)
    security_code: str = field(default="", repr=False)

    @property
    def type(self) -> str:
        """The type code: 001 Visa."""
        return self.masked.type

    @property
    def scenario(self) -> str:
        """What happens when the cardholder is authenticated."""
        return self.kept_scenario or scenario_of(self.number)

    @property
    def has_wrong_security_code(self) -> bool:
        """Whether a security code was given, and is not the one of a card that checks it."""
        return self.security_code not in {"", _SECURITY_CODES.get(self.number, self.security_code)}


def card_of(number: str, card_type: str, expiry: tuple[int, int], security_code: str = "") -> Card:
    """Make a card of a number."""
    masked = MaskedCard(number[:6], number[-4:], card_type)
    return Card(masked, expiry, behaviour_of(number), "", number, security_code)


def luhn_sum(digits: str) -> int:
    """Return the sum of the check digit formula; a number with a valid check digit gives a multiple of ten."""
    values = [int(digit) for digit in reversed(digits)]
    return sum(values[::2]) + sum(value * 2 - 9 * (value > 4) for value in values[1::2])


def behaviour_of(number: str) -> str:
    """Return the old reason code that a number asks for, 231 for one without a valid check digit, or nothing."""
    match = _TRIGGER_CARD.fullmatch(number)
    if match is not None and match[1] in _CODES:
        return match[1]
    return "231" if number == "42423482938483873" or luhn_sum(number) % 10 else ""


def scenario_of(number: str) -> str:
    """Return what happens when the cardholder of a number is authenticated; success without a challenge by default."""
    match = _AUTHENTICATION_CARD.fullmatch(number)
    return _SCENARIOS[match[1]] if match is not None else _SCENARIO_BY_CODE.get(behaviour_of(number), "success")


def fingerprint(key: bytes, text: str) -> str:
    """Return the keyed hash under which a card number, address or name is compared without being kept."""
    return hmac.digest(key, text.encode(), "sha256").hex()[:32]


_DIGITS = re.compile(r"(?<![0-9])[0-9](?:[ -]?[0-9]){12,18}(?![0-9])")


def holds_card_number(text: str) -> bool:
    """Tell whether a text that is kept and sent back holds what can be a card number: 13 to 19 digits with a check digit."""
    for match in _DIGITS.finditer(text):
        digits = re.sub(r"[ -]", "", match[0])
        if digits[0] in "23456" and luhn_sum(digits) % 10 == 0:
            return True
    return False
