"""Hide what identifies a card or its holder, at every depth of a message (PCI DSS 3.4: first six and last four digits).

Known places come first: card numbers, tracks, PIN data, verification values, sensitive EMV tags. Which element is what depends
on the edition, which the message type names; a place is a path, so that part 2 of some element is no card number. Then every
other value loses what is a copy of a number found there, and what looks like a card number in free text: 13 to 19 digits on
their own, a plausible first digit, a right check digit. (Any digits in a row would be wrong on half of all messages.)
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final

from shanraq.standards.iso8583.content import passes_luhn

if TYPE_CHECKING:
    from shanraq.standards.iso8583.message import Message

STAR: Final = "*"
_NUMBERS: Final = frozenset((2, 34))
_TRACKS: Final = frozenset((35, 36, 45))
_SECRETS: Final = frozenset((52,))
# 2003 and later: 34 is electronic commerce data, 49 verification data (card verification value, billing address), 51 data of
# the customer; 53 names keys and card identification digits since 1993; 113 is private (its profile has a PIN block in it).
_NUMBERS_OF: Final = {"2": frozenset((2,))}
_SECRETS_OF: Final = {"1": frozenset((52, 53)), "2": frozenset((34, 49, 51, 52, 53, 113))}
_SECRET_PARTS: Final = frozenset(("48.92",))
"""Parts by path: Mastercard DE48 sub-element 92 is the card validation code."""
_SECRET_PARTS_OF: Final = {"2": frozenset(("34.content", "49", "51", "113"))}
_NUMBER_TAGS: Final = frozenset(("5A",))
SENSITIVE_TAGS: Final = frozenset(("5A", "56", "57", "99", "5F20", "9F0B", "9F1F", "9F20", "9F6B"))
"""EMV tags with card number, tracks, PIN data, name or discretionary data."""

_RUN: Final = re.compile(r"(?<![0-9A-Za-z])(?:B(?=[0-9]))?([2-6][0-9]{12,18})(?![0-9])")
_LEADING: Final = re.compile(r"^[A-Z%;]{0,2}([0-9]{8,19})")
_BROKEN: Final = re.compile(r"(5A0[6-9A]|57(?:0[6-9A-F]|1[0-3]))([0-9]{12,19})([0-9DF]*)")
"""A card number or track in chip data that could not be split, or were not."""
_HEX: Final = re.compile(r"(?:[0-9A-F]{2})+")
_SHORT: Final = 11


def mask(message: Message) -> dict[str, Any]:
    """Return a message as `Message.to_dict` does, masked."""
    shown = message.to_dict()
    edition = "2" if message.mti[:1] == "3" else message.mti[:1]
    numbers, secrets = _NUMBERS_OF.get(edition, _NUMBERS), _SECRETS_OF.get(edition, _SECRETS)
    hidden_parts = _SECRET_PARTS | _SECRET_PARTS_OF.get(edition, frozenset())
    known = _numbers_in(message, numbers)
    fields: dict[str, str] = {}
    for number, value in message.fields.items():
        if number in secrets:
            text = STAR * len(value)
        elif number in numbers:
            text = mask_number(value)
        elif number in _TRACKS:
            text = mask_track(value)
        else:
            for tag, content in _tlv_items(message.parts.get(number)):
                if tag in SENSITIVE_TAGS and content:
                    value = value.replace(
                        tag + _length_of(content) + content, tag + _length_of(content) + _tag(tag, content)
                    )
            for tag, content in _secret_items(message.parts.get(number), str(number), hidden_parts):
                value = re.sub(f"({re.escape(tag)}[0-9]*){re.escape(content)}", rf"\g<1>{STAR * len(content)}", value)
            if number not in message.parts and _HEX.fullmatch(value):
                value = _BROKEN.sub(lambda found: found[1] + STAR * len(found[2] + found[3]), value)
            text = mask_text(value, known)
        fields[str(number)] = text
    shown["fields"] = fields
    shown["parts"] = {
        number: _masked_parts(value, known, number, hidden_parts) for number, value in shown["parts"].items()
    }
    if message.header is not None:
        shown["header"] = mask_text(message.header, known)
    return shown


def mask_number(value: str) -> str:
    """Keep the first six and the last four digits; nothing of what is too short for that."""
    if len(value) <= _SHORT:
        return STAR * len(value)
    return value[:6] + STAR * (len(value) - 10) + value[-4:]


def mask_track(value: str) -> str:
    """Keep the first six and the last four digits of the card number and nothing of the rest."""
    found = _LEADING.match(value)
    if found is None:
        return STAR * len(value)
    start, end = found.span(1)
    return value[:start] + mask_number(value[start:end]) + STAR * (len(value) - end)


def mask_text(value: str, known: Iterable[str] = ()) -> str:
    """Hide in free text or hex the `known` numbers, however written, and what looks like a card number."""
    for number in known:
        for written, hidden in _writings(number):
            value = value.replace(written, hidden)
    return _RUN.sub(
        lambda found: found[0].replace(found[1], mask_number(found[1])) if passes_luhn(found[1]) else found[0], value
    )


def _writings(number: str) -> list[tuple[str, str]]:
    hidden = mask_number(number)
    in_ascii, in_ebcdic = number.encode("ascii").hex().upper(), number.encode("cp500").hex().upper()
    return [(number, hidden), (in_ascii, STAR * len(in_ascii)), (in_ebcdic, STAR * len(in_ebcdic))]


def _numbers_in(message: Message, places: frozenset[int]) -> list[str]:
    """Return the card numbers that stand in known places, or on their own in a part, the longest first."""
    found = {message.fields[number] for number in places if number in message.fields}
    for number in _TRACKS:
        if (track := _LEADING.match(message.fields.get(number, ""))) is not None:
            found.add(track[1])
    for parts in message.parts.values():
        for tag, content in _tlv_items(parts):
            if tag in ("5A", "57") and (digits := re.match(r"[0-9]{8,19}", content)):
                found.add(digits[0])
        for text in _texts(parts):
            found.update(run[1] for run in _RUN.finditer(text) if passes_luhn(run[1]))
    return sorted((number for number in found if len(number) > _SHORT and number.isdigit()), key=len, reverse=True)


def _texts(parts: Any) -> Iterator[str]:
    if isinstance(parts, str):
        yield parts
    elif isinstance(parts, dict | list):
        for part in parts.values() if isinstance(parts, dict) else parts:
            yield from _texts(part)


def _secret_items(parts: Any, path: str, hidden: frozenset[str]) -> Iterator[tuple[str, str]]:
    """Return the tagged parts that are secret by their path."""
    if isinstance(parts, dict) and isinstance(parts.get("items"), list):
        for item in parts["items"]:
            if f"{path}.{item[0]}" in hidden and isinstance(item[1], str) and item[1]:
                yield item[0], item[1]


def _tlv_items(parts: Any) -> list[tuple[str, str]]:
    """Return the (tag, hex) pairs of BER-TLV, also those inside of datasets and of other parts."""
    if isinstance(parts, dict):
        return [item for part in parts.values() for item in _tlv_items(part)]
    found: list[tuple[str, str]] = []
    for item in parts if isinstance(parts, list) else ():
        if isinstance(item, list) and len(item) == 2 and isinstance(item[0], str) and isinstance(item[1], str):
            found.append((item[0], item[1]))
        else:
            found += _tlv_items(item)
    return found


def _length_of(content: str) -> str:
    size = len(content) // 2
    return f"{size:02X}" if size < 0x80 else f"81{size:02X}" if size < 0x100 else f"82{size:04X}"


def _tag(tag: str, content: str) -> str:
    return mask_number(content) if tag in _NUMBER_TAGS else STAR * len(content)


def _masked_parts(value: Any, known: list[str], path: str, hidden: frozenset[str]) -> Any:
    name = path.rpartition(".")[2]
    if isinstance(value, str):
        if path in hidden or path.partition(".")[0] in hidden:
            return STAR * len(value)
        return _tag(name, value) if name in SENSITIVE_TAGS and "." in path else mask_text(value, known)
    if isinstance(value, dict):
        return {
            key: part if key in ("id", "format")
            # The names of the form itself are no part of a path.
            else _masked_parts(part, known, path if key in ("items", "elements") else f"{path}.{key}", hidden)
            for key, part in value.items()
        }  # fmt: skip
    if len(value) == 2 and isinstance(value[0], str):
        return [value[0], _masked_parts(value[1], known, f"{path}.{value[0]}", hidden)]
    return [_masked_parts(part, known, path, hidden) for part in value]
