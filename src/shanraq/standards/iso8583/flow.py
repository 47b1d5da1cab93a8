"""How messages follow each other: types of responses and repeats, responses to a request, reversals of it.

respond(request, "00")              # 0200 -> 0210: the echo elements and DE39
format_error(error.partial)         # a request that could not be read, answered as far as it was read
reversal_of(request, stan="000124", sent_at="0401123046")
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from shanraq.standards.iso8583.content import is_mti
from shanraq.standards.iso8583.errors import Iso8583Error
from shanraq.standards.iso8583.message import Message

ECHOED: Final = frozenset((2, 3, 4, 7, 11, 12, 13, 24, 32, 33, 37, 41, 42, 49, 70))
"""The elements a response repeats when its request has them: what it is matched by, and what it is about."""

REVERSED: Final = (2, 3, 4, 12, 13, 14, 18, 22, 24, 25, 26, 32, 33, 37, 38, 41, 42, 49)
"""The elements a reversal repeats from what it reverses; trace number, time and original data are its own."""

_CODE: Final = 39
_STAN: Final = 11
_SENT_AT: Final = 7
_VERIFICATION: Final = 49
_REQUESTS: Final = "0246"
_RESPONSES: Final = "1357"
_ORIGINALS: Final = "024"
_REPEATS: Final = "135"
# The first digit of a type is its edition: 0 for 1987, 1 for 1993, 2 for 2003; 3 is taken to be a later one of the same kind.
_LATER: Final = ("2", "3")
_FORMAT_ERROR: Final = {"1": "904", "2": "1015", "3": "1015"}
_FULL_REVERSAL: Final = {"1": "400", "2": "400", "3": "400"}


def is_request(mti: str) -> bool:
    """Tell whether a message of this type may be answered: a request, advice, notification or instruction."""
    return is_mti(mti) and mti[2] in _REQUESTS


def is_response(mti: str) -> bool:
    """Tell whether a message of this type answers another."""
    return is_mti(mti) and mti[2] in _RESPONSES


def is_repeat(mti: str) -> bool:
    """Tell whether a message of this type says that it was sent before."""
    return is_mti(mti) and mti[3] in _REPEATS


@lru_cache(maxsize=1024)
def response_mti(mti: str) -> str:
    """Return the type of the response, the same for a repeat: 0200 -> 0210, 0421 -> 0430.

    Raises Iso8583Error `no_response` for a type that is never answered. ISO 8583:1987 4.1.
    """
    if not is_request(mti):
        raise Iso8583Error("no_response", "mti", -1, "is no type of message that is answered", expected="a request")
    return mti[:2] + str(int(mti[2]) + 1) + _original_origin(mti)


def repeat_mti(mti: str) -> str:
    """Return the type of the repeat, itself for a repeat: 0420 -> 0421. Raises Iso8583Error `no_repeat` for a response."""
    if is_request(mti):
        if is_repeat(mti):
            return mti
        if mti[3] in _ORIGINALS:
            return mti[:3] + str(int(mti[3]) + 1)
    raise Iso8583Error("no_repeat", "mti", -1, "is no type of message that is sent again", expected="a request")


def original_mti(mti: str) -> str:
    """Return the type a repeat repeats, itself for any other: 0421 -> 0420."""
    return mti[:3] + _original_origin(mti) if is_mti(mti) else mti


def _original_origin(mti: str) -> str:
    return _ORIGINALS[_REPEATS.index(mti[3])] if mti[3] in _REPEATS else mti[3]


def respond(request: Message, response_code: str, *, keep: Iterable[int] = ECHOED) -> Message:
    """Return a response: its type, what it echoes of the request, the response or action code in DE39.

    The header goes back too, with the addresses of a TPDU exchanged. Raises Iso8583Error `no_response`.
    """
    mti = response_mti(request.mti)
    kept = keep if isinstance(keep, frozenset) else frozenset(keep)
    fields = {number: value for number, value in request.fields.items() if number in kept}
    if mti[0] in _LATER:
        fields.pop(_VERIFICATION, None)  # of 2003: the card verification value, which nobody needs back
    fields[_CODE] = response_code
    return Message(mti, dict(sorted(fields.items())), header=reply_header(request.header))


def format_error(partial: Message) -> Message:
    """Return the response that says "format error" to a request, of which only a part may have been read.

    DE39 is 30 (1987), 904 (1993) or 1015 (2003). Raises Iso8583Error `no_response`, also for a type that was not read.
    """
    return respond(partial, _FORMAT_ERROR.get(partial.mti[:1], "30"))


def reply_header(header: str | None) -> str | None:
    """Return the header of a reply: the destination and originator of a TPDU exchanged, any other as it is."""
    if header is None or len(header) < 10 or header[:2] != "60":
        return header
    return header[:2] + header[6:10] + header[2:6] + header[10:]


# Reversals


@dataclass(frozen=True, slots=True)
class Original:
    """What original data elements name; empty for what they leave out. Leading zeros of institutions are not kept.

    `sent_at` is DE7 (MMDDhhmmss) in DE90 of 1987, the local date and time (DE12) in DE56 of later editions.
    """

    mti: str
    stan: str
    sent_at: str
    acquirer: str
    forwarder: str = ""


def original_element(mti: str) -> int:
    """Return the number of the original data elements: 90 in 1987, 56 in later editions."""
    return 56 if mti[:1] in ("1", *_LATER) else 90


def original_data(message: Message) -> str:
    """Return the original data elements that name a message, in the form of its edition.

    1987, DE90: type 4, DE11 6, DE7 10, DE32 11, DE33 11, right-justified with zeros, zeros for what it does not have.
    1993, DE56: type 4, DE11 6, DE12 12, DE32 behind its two-digit length. 2003, DE56: type 4, DE11 12, DE12 14, DE32.
    Raises Iso8583Error for a type or element that is not numeric or too long.
    """
    if not is_mti(message.mti):
        raise Iso8583Error("wrong_content", "mti", -1, "consists of other characters than four digits")
    if message.mti[0] == "1":
        acquirer = _digits(message, 32, 11, fill=False)
        return message.mti + _digits(message, _STAN, 6) + _digits(message, 12, 12) + f"{len(acquirer):02d}{acquirer}"
    if message.mti[0] in _LATER:
        return (
            message.mti + _digits(message, _STAN, 12) + _digits(message, 12, 14) + _digits(message, 32, 11, fill=False)
        )
    return (
        message.mti + _digits(message, _STAN, 6) + _digits(message, _SENT_AT, 10) + _digits(message, 32, 11)
        + _digits(message, 33, 11)
    )  # fmt: skip


def _digits(message: Message, number: int, most: int, *, fill: bool = True) -> str:
    value = message.fields.get(number, "")
    if not (value.isascii() and (value.isdigit() or not value)):
        raise Iso8583Error(
            "wrong_content", str(number), -1, "consists of other characters than digits", expected="digits"
        )
    if len(value) > most:
        found = f"{len(value)} digits"
        raise Iso8583Error(
            "wrong_size", str(number), -1, f"has {found}, at most {most}", expected=f"{most}", found=found
        )
    return value.zfill(most) if fill else value


def parse_original_data(text: str, edition: str = "1987") -> Original | None:
    """Read original data elements; None when they do not have the form of that edition (1987, 1993, 2003).

    Real messages carry shifted and foreign content here: never refuse a reversal because of it.
    """
    if not (text.isascii() and text.isdigit()):
        return None
    if edition == "1987":
        if len(text) != 42:
            return None
        return Original(text[:4], text[4:10], text[10:20], text[20:31].lstrip("0"), text[31:].lstrip("0"))
    if edition == "1993":
        if not 24 <= len(text) <= 35 or int(text[22:24]) != len(text) - 24:
            return None
        return Original(text[:4], text[4:10], text[10:22], text[24:])
    if not 30 <= len(text) <= 41:
        return None
    return Original(text[:4], text[4:16], text[16:30], text[30:])


def reversal_of(
    request: Message, *, stan: str, sent_at: str, approval: str | None = None, keep: Iterable[int] = REVERSED
) -> Message:
    """Return the reversal advice (0420, 1420, 2420) of a request whose outcome is unknown or not wanted.

    `stan` and `sent_at` (DE7, MMDDhhmmss UTC) are its own; `approval` is DE38 of the response, if there was one. A repeat is
    the same message with `repeat_mti`. Raises Iso8583Error for what `original_data` cannot name.
    """
    version = request.mti[:1]
    fields = {number: request.fields[number] for number in set(keep) & request.fields.keys()}
    if version in _LATER:
        fields.pop(_VERIFICATION, None)
    if version in _FULL_REVERSAL:
        fields[24] = _FULL_REVERSAL[version]
    fields |= {_SENT_AT: sent_at, _STAN: stan, original_element(request.mti): original_data(request)}
    if approval is not None:
        fields[38] = approval
    mti = f"{version}42{_original_origin(request.mti)}"
    return Message(mti, {number: fields[number] for number in sorted(fields)}, header=request.header)
