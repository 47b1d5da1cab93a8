"""Reading fields of request bodies by their dotted names, and the form in which card numbers may be shown."""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable
from copy import deepcopy
from datetime import datetime
from typing import Any, Final

import msgspec

from shanraq.simulators.mastercard.refusal import Refusal

Body = dict[str, Any]
Keep = Callable[[str, dict[str, Any] | None], None]
"""Takes the key and the state of a thing that has changed, None when it is gone."""

CARD: Final = "sourceOfFunds.provided.card"
NUMBER: Final = f"{CARD}.number"
SECURITY_CODE: Final = f"{CARD}.securityCode"
_CARD_NUMBER: Final = re.compile(r"[0-9]{9,19}", re.ASCII)
_MASKED_NUMBER: Final = re.compile(r"[0-9]{0,6}x+[0-9]{0,4}", re.ASCII)
_CARD_LIKE: Final = re.compile(r"(?<![0-9A-Za-z])[0-9](?:[ -]?[0-9]){12,18}(?![0-9A-Za-z])", re.ASCII)
_SHORTEST: Final = 13
# What the schemes issue: first digits and lengths. Other digits are references, times, telephone numbers.
_ISSUED: Final = re.compile(
    r"4(?:[0-9]{12}|[0-9]{15}|[0-9]{18})|(?:5[1-5][0-9]{2}|222[1-9]|22[3-9][0-9]|2[3-6][0-9]{2}|27[01][0-9]|2720)[0-9]{12}"
    r"|3[47][0-9]{13}|3(?:0[0-5]|[689][0-9])[0-9]{11}|35[0-9]{14}|6(?:011|4[4-9][0-9]|5[0-9]{2})[0-9]{12}"
    r"|(?:62|81)[0-9]{14,17}|(?:50|5[6-9]|6[0-9])[0-9]{11,17}",
    re.ASCII,
)


def words(text: str) -> frozenset[str]:
    """Return the words of a text as a set."""
    return frozenset(text.split())


def find(body: Body, path: str) -> Any:
    """Return the value at a dotted path, or None; raises `Refusal` naming the first part that is not an object."""
    value: Any = body
    done: list[str] = []
    for name in path.split("."):
        if value is None:
            return None
        if not isinstance(value, dict):
            raise Refusal(".".join(done), "INVALID", "The value must be an object.")
        value = value.get(name)
        done.append(name)
    return value


def find_text(body: Body, path: str, limit: int = 4000) -> str | None:
    """Return the text at a path, or None; raises `Refusal` if it is no text, empty, or longer than the limit."""
    value = find(body, path)
    if value is None:
        return None
    if not isinstance(value, str) or not 1 <= len(value) <= limit:
        raise Refusal(path, "INVALID", f"The value must be a text of 1 to {limit} characters.")
    return value


def require_text(body: Body, path: str, limit: int = 4000) -> str:
    """Return the text at a path; raises `Refusal` if it is missing or invalid."""
    value = find_text(body, path, limit)
    if value is None:
        raise missing(path)
    return value


def find_choice(body: Body, path: str, choices: frozenset[str], default: str | None = None) -> str | None:
    """Return one of the choices, or the default if the field is absent; raises `Refusal` for another value."""
    value = find_text(body, path)
    if value is None:
        return default
    if value not in choices:
        raise Refusal(path, "INVALID", f"The value must be one of {', '.join(sorted(choices))}.")
    return value


def put(body: Body, path: str, value: Any) -> None:
    """Set the value at a dotted path, making the objects on the way."""
    *parents, last = path.split(".")
    for name in parents:
        body = body.setdefault(name, {})
    body[last] = value


def drop(body: Body, path: str) -> bool:
    """Remove the value at a dotted path, and tell whether there was one."""
    *parents, last = path.split(".")
    value: Any = body
    for name in parents:
        value = value.get(name) if isinstance(value, dict) else None
    return isinstance(value, dict) and value.pop(last, None) is not None


def merged(under: Body, over: Body) -> Body:
    """Return a new body with the fields of both; where both have one, that of `over` is taken."""
    result = deepcopy(under)
    for name, value in over.items():
        own = result.get(name)
        result[name] = merged(own, value) if isinstance(own, dict) and isinstance(value, dict) else deepcopy(value)
    return result


def missing(path: str) -> Refusal:
    """Make the refusal of a request without a field it needs."""
    return Refusal(path, "MISSING", "The field is required.")


def reject_unknown(body: Body, known: frozenset[str], prefix: str = "") -> None:
    """Raise `Refusal` for the first name of an object that is not known."""
    for name in body:
        if name not in known:
            raise Refusal(prefix + shown_name(name), "UNSUPPORTED", "The field is not known for this operation.")


def shown_name(name: str) -> str:
    """Return the name of a field as a refusal may show it: anybody may have written anything there."""
    return name if len(name) <= 40 and name.isascii() and name.isprintable() and not _CARD_LIKE.search(name) else "..."


def luhn_valid(digits: str) -> bool:
    """Tell whether the check digit of a number is right."""
    values = [int(digit) for digit in reversed(digits)]
    return (sum(values[::2]) + sum(value * 2 - 9 * (value > 4) for value in values[1::2])) % 10 == 0


def read_number(body: Body) -> str | None:
    """Return the card number of a body, or None; raises `Refusal` unless it is 9 to 19 digits with a check digit."""
    number = find(body, NUMBER)
    if number is None:
        return None
    if not isinstance(number, str) or not _CARD_NUMBER.fullmatch(number) or not luhn_valid(number):
        raise Refusal(NUMBER, "INVALID", "The value is not a card number.")
    return number


def read_expiry(body: Body) -> tuple[int, int] | None:
    """Return month and two-digit year, or None if neither is given; raises `Refusal` for half of it or a bad value."""
    parts: list[int] = []
    for name, lowest, highest in (("month", 1, 12), ("year", 0, 99)):
        path = f"{CARD}.expiry.{name}"
        value = find(body, path)
        if value is None:
            continue
        text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
        if not isinstance(text, str) or not re.fullmatch(r"[0-9]{1,2}", text, re.ASCII):
            raise Refusal(path, "INVALID", "The value must be one or two digits.")
        if not lowest <= int(text) <= highest:
            raise Refusal(path, "INVALID", f"The value must be between {lowest} and {highest}.")
        parts.append(int(text))
    if len(parts) == 1:
        absent = "year" if find(body, f"{CARD}.expiry.month") is not None else "month"
        raise missing(f"{CARD}.expiry.{absent}")
    return (parts[0], parts[1]) if parts else None


def mask(number: str) -> str:
    """Show the first six and the last four digits of a card number; a masked one is returned as it is.

    Of a number with fewer than thirteen digits only the last four are shown: six and four would be nearly all of it.
    """
    if _MASKED_NUMBER.fullmatch(number):
        return number
    head = number[:6] if len(number) >= 13 else ""
    tail = number[-4:] if len(number) > 4 else ""
    return head + "x" * (len(number) - len(head) - len(tail)) + tail


def masked_body(body: Body) -> Body:
    """Return a copy of a body that may leave the gateway: the card number masked, no security code."""
    shown = deepcopy(body)
    number = find(shown, NUMBER)
    if isinstance(number, str):
        put(shown, NUMBER, mask(number))
    drop(shown, SECURITY_CODE)
    return shown


def holds_card_number(value: Any) -> bool:
    """Tell whether a text, or any text within a value, holds a number as the schemes issue them, with its check digit."""
    if isinstance(value, dict):
        return any(holds_card_number(name) or holds_card_number(part) for name, part in value.items())
    if isinstance(value, list):
        return any(map(holds_card_number, value))
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or len(value) < _SHORTEST:
        return False
    found = (re.sub(r"[ -]", "", match[0]) for match in _CARD_LIKE.finditer(value))
    return any(_ISSUED.fullmatch(digits) and luhn_valid(digits) for digits in found)


def reject_card_numbers(body: Body) -> None:
    """Raise `Refusal` if a field other than the one for it holds a card number: it would be kept and sent back."""
    _reject_numbers(body, "")


def _reject_numbers(body: Body, prefix: str) -> None:
    for name, value in body.items():
        path = prefix + shown_name(name)
        if path == NUMBER:
            continue
        if holds_card_number(name):
            raise Refusal(prefix.removesuffix("."), "INVALID", "The name of a field holds a card number.")
        if isinstance(value, dict):
            _reject_numbers(value, f"{path}.")
        elif holds_card_number(value):
            raise Refusal(path, "INVALID", "The field holds a card number.")


_BRANDS: Final = (
    (re.compile(r"4"), "VISA"),
    (re.compile(r"3[47]"), "AMEX"),
    (re.compile(r"30[0-5]|3[689]"), "DINERS_CLUB"),
    (re.compile(r"35"), "JCB"),
    (re.compile(r"62|81"), "UNIONPAY"),
    (re.compile(r"6011|64[4-9]|65"), "DISCOVER"),
    (re.compile(r"5[1-5]|222[1-9]|22[3-9]|2[3-6]|27[01]|2720"), "MASTERCARD"),
    (re.compile(r"50|5[6-9]|6"), "MAESTRO"),
)


def brand_of(number: str) -> str:
    """Return the brand of a card number, masked or not; UNKNOWN if no range has it."""
    return next((brand for pattern, brand in _BRANDS if pattern.match(number)), "UNKNOWN")


def fingerprint(key: bytes, number: str) -> str:
    """Return the keyed hash under which a card number is compared without being kept."""
    return hmac.digest(key, b"card " + number.encode(), "sha256").hex()


def nobody(_key: str, _state: dict[str, Any] | None) -> None:
    """Keep nothing."""


def builtins_of(body: Body) -> Body:
    """Return a body as the journal can keep it: exact numbers as texts."""
    built: Body = msgspec.to_builtins(body, builtin_types=())
    return built


def time_text(moment: datetime) -> str:
    """Write a time as the gateway does: milliseconds and Z."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"
