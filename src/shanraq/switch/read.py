"""Read what a terminal asks for out of a message."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from shanraq.core.money import Currency, Money, UnknownCurrencyError
from shanraq.core.secret import InvalidPanError, Pan, SecurityCode
from shanraq.standards.iso8583 import Message
from shanraq.standards.iso8583.flow import original_element, original_mti, parse_original_data
from shanraq.switch.codes import Said
from shanraq.terminals import Asked, AskedKind

_TRACK_2: Final = re.compile(r"([0-9]{12,19})[=D]([0-9]{4})[0-9=D]*F?")
_PIN, _CHIP = 52, 55
_PARTIAL_1993: Final = "401"


class UnreadableRequestError(Exception):
    """A request that cannot be carried out as it is; `said` is the answer, `field` the element that is why."""

    def __init__(self, said: Said, field: int, why: str) -> None:
        super().__init__(f"DE{field}: {why}")
        self.said = said
        self.field = field


@dataclass(frozen=True, slots=True)
class CardRead:
    """A card as the terminal read it."""

    pan: Pan
    expiry_month: int
    expiry_year: int
    security_code: SecurityCode | None


@dataclass(frozen=True, slots=True)
class Request:
    """A financial message or reversal: what is noted of it, and the card where it brings one."""

    asked: Asked
    card: CardRead | None


def read_request(message: Message, edition: str, now: datetime) -> Request:
    """Return what a message of class 1, 2 or 4 asks for. Raises UnreadableRequestError.

    The key of a message is its type (of a repeat: the original's), trace number and local time (DE12 and 13): a repeat has
    another time of transmission (DE7), which counts only where there is no local one.
    """
    kind = _kind_of(message)
    if kind is AskedKind.REVERSAL and _is_partial(message, edition):
        raise UnreadableRequestError(
            Said.NOT_SUPPORTED, 24 if edition != "1987" else 95, "partial reversals are not done"
        )
    amount = _amount_of(message) if kind is not AskedKind.REVERSAL else None
    card = _card_of(message) if kind in (AskedKind.AUTHORIZE, AskedKind.SALE) else None
    stan = _digits(message, 11)
    original = _original_name(message, edition) if kind in (AskedKind.REVERSAL, AskedKind.CAPTURE) else None
    rrn = message.fields.get(37, "").strip()
    if not rrn.strip("0"):
        rrn = reference_number(stan, now) if card is not None else ""  # one of zeros names nothing
    mti = original_mti(message.mti)
    asked = Asked(
        key=f"{mti}.{stan}.{_made_at(message)}",
        name=f"{mti}.{stan}.{_named_at(message, edition)}",
        kind=kind,
        rrn=rrn,
        amount=amount,
        original=original,
    )
    return Request(asked, card)


def reference_number(stan: str, now: datetime) -> str:
    """Return a retrieval reference number in the usual form Yjjjhh + trace number (UTC)."""
    at = now.astimezone(UTC)
    return f"{at.year % 10}{at:%j%H}{stan[-6:]:0>6}"


def _kind_of(message: Message) -> AskedKind:
    message_class, function = message.mti[1], message.mti[2]
    if message_class == "4" and function in "02":
        return AskedKind.REVERSAL
    code = message.fields.get(3)
    if code is None:
        raise UnreadableRequestError(Said.FORMAT_ERROR, 3, "is missing")
    match message_class, function, code[:1]:
        case "1", "0", "0":
            return AskedKind.AUTHORIZE
        case "2", "0", "0":
            return AskedKind.SALE
        case "2", "2", "0":
            return AskedKind.CAPTURE
        case "2", "0", "2":
            return AskedKind.REFUND
        case _:
            raise UnreadableRequestError(Said.NOT_SUPPORTED, 3, "asks for something that is not done here")


def _is_partial(message: Message, edition: str) -> bool:
    if edition != "1987":
        return message.fields.get(24) == _PARTIAL_1993
    replacement = message.fields.get(95, "")
    return bool(replacement[:12].strip("0 "))


def _amount_of(message: Message) -> Money:
    minor, number = _digits(message, 4), _digits(message, 49)
    try:
        currency = Currency.numbered(int(number))
    except UnknownCurrencyError:
        raise UnreadableRequestError(Said.FORMAT_ERROR, 49, "is no currency") from None
    if not int(minor):
        raise UnreadableRequestError(Said.FORMAT_ERROR, 4, "is zero")
    return Money(int(minor), currency)


def _card_of(message: Message) -> CardRead:
    fields = message.fields
    for number in (_PIN, _CHIP):
        # Passing a PIN or chip data over would be to accept a card as something it was not checked as.
        if number in fields:
            raise UnreadableRequestError(Said.NOT_SUPPORTED, number, "is not passed on")
    pan_text, expiry = fields.get(2, ""), fields.get(14, "")
    track = fields.get(35)
    if track is not None:
        found = _TRACK_2.fullmatch(track.strip())
        if found is None:
            raise UnreadableRequestError(Said.FORMAT_ERROR, 35, "is no track 2")
        if pan_text and pan_text != found[1]:
            raise UnreadableRequestError(Said.FORMAT_ERROR, 35, "is of another card than DE2")
        pan_text, expiry = found[1], found[2]
    if not pan_text:
        raise UnreadableRequestError(Said.FORMAT_ERROR, 2, "is missing")
    if not (len(expiry) == 4 and expiry.isascii() and expiry.isdigit() and 1 <= int(expiry[2:]) <= 12):
        raise UnreadableRequestError(Said.FORMAT_ERROR, 14, "is no year and month")
    try:
        pan = Pan(pan_text)
    except InvalidPanError:
        raise UnreadableRequestError(Said.INVALID, 2, "is no card number") from None
    return CardRead(pan, int(expiry[2:]), 2000 + int(expiry[:2]), _security_code_of(message.parts))


def _security_code_of(parts: dict[int, Any]) -> SecurityCode | None:
    """Return a security code from DE48.92 (Mastercard) or DE126.10 (Visa), where the layout takes them apart."""
    text = ""
    tagged = parts.get(48)
    if isinstance(tagged, dict):
        text = next((value for tag, value in tagged.get("items", ()) if tag == "92" and isinstance(value, str)), "")
    bitmapped = parts.get(126)
    if not text and isinstance(bitmapped, dict):
        text = bitmapped.get("items", {}).get("10", "")[2:]
    text = text.strip()
    return SecurityCode(text) if 3 <= len(text) <= 4 and text.isascii() and text.isdigit() else None


def _original_name(message: Message, edition: str) -> str | None:
    text = message.fields.get(original_element(message.mti), "")
    found = parse_original_data(text, edition) if text else None
    if found is None or not found.mti.strip("0") or not found.stan.strip("0"):
        return None  # real messages carry foreign content here: DE37 says it too
    return f"{original_mti(found.mti)}.{found.stan}.{found.sent_at}"


def _made_at(message: Message) -> str:
    fields = message.fields
    return fields.get(13, "") + fields[12] if 12 in fields else fields.get(7, "0" * 10)


def _named_at(message: Message, edition: str) -> str:
    """Return the time by which original data elements name a message: DE7, in 1993 DE12."""
    if edition == "1987":
        return message.fields.get(7, "0" * 10)
    return message.fields.get(12, "0" * 12)


def _digits(message: Message, number: int) -> str:
    value = message.fields.get(number, "")
    if not (value.isascii() and value.isdigit()):
        raise UnreadableRequestError(Said.FORMAT_ERROR, number, "is missing or not in digits")
    return value
