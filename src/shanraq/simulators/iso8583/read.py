"""Read what a request asks for out of its elements."""

from __future__ import annotations

from sys import intern
from typing import Final

from shanraq.simulators.iso8583.accounts import Asked, Key, Kind
from shanraq.simulators.iso8583.schemes import Result, Scheme
from shanraq.standards.iso8583 import Message
from shanraq.standards.iso8583.flow import original_element, original_mti, parse_original_data

_PARTIAL_1993: Final = "401"
_PAN_DIGITS: Final = range(8, 20)


class RefusedError(Exception):
    """A request that asks for nothing this host can do."""

    def __init__(self, result: Result) -> None:
        super().__init__(result.value)
        self.result = result


def pan_of(message: Message) -> str:
    """Return the card number of a message, from DE2 or track 2; empty when it has none."""
    pan = message.fields.get(2)
    if pan is not None:
        return pan
    track = message.fields.get(35, "").replace("D", "=").partition("=")[0]
    return track if track.isdigit() and len(track) in _PAN_DIGITS else ""


def key_of(message: Message) -> Key:
    """Return what names a request; the same for its repeats."""
    fields = message.fields
    # Millions of requests are kept, of few types, terminals and acquirers: one text each serves them all.
    return (
        intern(original_mti(message.mti)),
        fields.get(11, ""),
        intern(_sent_at(message)),
        intern(fields.get(32, "").lstrip("0")),
        intern(fields.get(41, "")),
    )


def _sent_at(message: Message) -> str:
    fields = message.fields
    if message.mti[0] == "1":
        return fields.get(12, "0" * 12)
    # DE90 has zeros for a time that was not sent.
    return fields.get(7) or fields.get(12) or "0" * 10


def read_request(message: Message, scheme: Scheme, card: str) -> Asked:
    """Return what a request of class 1, 2 or 4 asks for; raises RefusedError."""
    fields = message.fields
    kind = _kind_of(message, scheme)
    amount = _amount(fields.get(4))
    if amount is None:
        if kind not in (Kind.REVERSAL, Kind.INQUIRY):
            raise RefusedError(Result.FORMAT_ERROR)
        amount = 0
    original: Key | None = None
    remaining: int | None = None
    if kind in (Kind.REVERSAL, Kind.COMPLETION):
        original = _original_of(message, scheme)
    if kind is Kind.REVERSAL:
        remaining = _remaining(message, amount)
    currency, rrn, approval = intern(fields.get(49, "")), fields.get(37, "").rstrip(), fields.get(38, "").strip()
    return Asked(key_of(message), kind, amount, currency, rrn, approval, card, original, remaining)


def _kind_of(message: Message, scheme: Scheme) -> Kind:
    mti = message.mti
    message_class, function = mti[1], mti[2]
    if function not in "02" or message_class not in "124":
        raise RefusedError(Result.INVALID_TRANSACTION)
    if message_class == "4":
        return Kind.REVERSAL
    code = message.fields.get(3)
    if code is None or len(code) != 6:
        raise RefusedError(Result.FORMAT_ERROR)
    match code[0]:
        case "0" | "1":
            if message_class == "1":
                return Kind.AUTHORIZATION
            completes = function == "2" or message.fields.get(25) in scheme.completing
            return Kind.COMPLETION if completes else Kind.PURCHASE
        case "2" if message_class == "2":
            return Kind.REFUND
        case "3":
            return Kind.INQUIRY
        case _:
            raise RefusedError(Result.UNSUPPORTED)


def _original_of(message: Message, scheme: Scheme) -> Key | None:
    terminal = message.fields.get(41, "")
    if not scheme.names_originals:
        # Terminals name the original by the trace number: in DE61 behind the batch number, or as their own.
        text = message.fields.get(61, "")
        if len(text) >= 12 and text.isdigit():
            return ("", text[6:12], "", "", terminal)
        return ("", message.fields.get(11, ""), "", "", terminal) if message.mti[1] == "4" else None
    text = message.fields.get(original_element(message.mti), "")
    found = parse_original_data(text, scheme.edition) if text else None
    if found is None or not found.mti.strip("0"):
        return None
    return (
        original_mti(found.mti),
        found.stan,
        found.sent_at,
        found.acquirer.lstrip("0"),
        terminal,
    )


def _remaining(message: Message, amount: int) -> int | None:
    if message.mti[0] == "1":
        # 1993 has no replacement amounts: a partial reversal says in DE4 what remains.
        return amount if message.fields.get(24) == _PARTIAL_1993 else None
    replacement = message.fields.get(95)
    if replacement is None:
        return None
    remaining = _amount(replacement[:12])
    if remaining is None:
        raise RefusedError(Result.FORMAT_ERROR)
    return remaining


def _amount(text: str | None) -> int | None:
    return int(text) if text is not None and text.isascii() and text.isdigit() else None
