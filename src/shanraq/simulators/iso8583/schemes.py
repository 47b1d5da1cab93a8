"""What differs between the networks the host can play: layout, framing, network management and response codes, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class Result(StrEnum):
    """How a request ended, in words of the host; a scheme says how that is written in DE39."""

    APPROVED = "approved"
    ADVISED = "advised"
    REVERSED = "reversed"
    MANAGED = "managed"
    PARTIAL = "partial"
    INVALID_TRANSACTION = "invalid_transaction"
    INVALID_AMOUNT = "invalid_amount"
    NO_ACTION = "no_action"
    NO_ORIGINAL = "no_original"
    FORMAT_ERROR = "format_error"
    UNSUPPORTED = "unsupported"
    EXCEEDS = "exceeds"
    NOT_SIGNED_ON = "not_signed_on"
    WRONG_MAC = "wrong_mac"
    MALFUNCTION = "malfunction"


class Session(StrEnum):
    """What a network management request asks for."""

    SIGN_ON = "sign_on"
    SIGN_OFF = "sign_off"
    ECHO = "echo"
    KEY_CHANGE = "key_change"
    CUTOVER = "cutover"


@dataclass(frozen=True, slots=True)
class Scheme:
    """A network. `codes` are DE39 of its results, `sessions` its network management codes.

    The network management code has three digits, `session_offset` into `session_element`. `spoken` translates response codes of
    1987, in which triggers are written, into the scheme's own. `retryable` are codes that say "not now": they are not kept, so
    that a repeat is carried out. `names_originals` is false where messages have no original data elements: then a reversal has
    the trace number of its original. A 0200 whose DE25 is one of `completing` completes an authorisation.
    """

    name: str
    layout: str
    framing: str
    codes: Mapping[Result, str]
    sessions: Mapping[str, Session]
    retryable: frozenset[str]
    edition: str = "1987"
    session_element: int = 70
    session_offset: int = 0
    spoken: Mapping[str, str] = field(default_factory=dict)
    names_originals: bool = True
    completing: frozenset[str] = frozenset()
    echo_type: str = "0800"

    def code_of(self, code: str) -> str:
        """Return a response code as this scheme writes it; raise ValueError for one that fits into no DE39 of it."""
        written = self.spoken.get(code, code)
        size = len(self.codes[Result.APPROVED])
        if len(written) != size or not (written.isascii() and written.isalnum()):
            raise ValueError(f"a response code of {self.name} has {size} letters or digits: {code[:8]!r}")
        return written

    def echo_code(self) -> str:
        """Return the network management code of an echo test."""
        return next(code for code, session in self.sessions.items() if session is Session.ECHO)


_CODES_1987: Final = {
    Result.APPROVED: "00", Result.ADVISED: "00", Result.REVERSED: "00", Result.MANAGED: "00", Result.PARTIAL: "10",
    Result.INVALID_TRANSACTION: "12", Result.INVALID_AMOUNT: "13", Result.NO_ACTION: "21", Result.NO_ORIGINAL: "25",
    Result.FORMAT_ERROR: "30", Result.UNSUPPORTED: "40", Result.EXCEEDS: "61", Result.NOT_SIGNED_ON: "91",
    Result.WRONG_MAC: "96", Result.MALFUNCTION: "96",
}  # fmt: skip
_RETRYABLE_1987: Final = frozenset(("06", "19", "22", "68", "91", "96"))

_CODES_1993: Final = {
    Result.APPROVED: "000", Result.ADVISED: "900", Result.REVERSED: "400", Result.MANAGED: "800", Result.PARTIAL: "002",
    Result.INVALID_TRANSACTION: "902", Result.INVALID_AMOUNT: "110", Result.NO_ACTION: "902", Result.NO_ORIGINAL: "914",
    Result.FORMAT_ERROR: "904", Result.UNSUPPORTED: "115", Result.EXCEEDS: "121", Result.NOT_SIGNED_ON: "910",
    Result.WRONG_MAC: "916", Result.MALFUNCTION: "909",
}  # fmt: skip
_RETRYABLE_1993: Final = frozenset(("903", "906", "907", "908", "909", "910", "911", "912", "916", "920", "923"))
_SPOKEN_1993: Final = {
    "00": "000", "01": "107", "03": "109", "04": "200", "05": "100", "10": "002", "12": "902", "13": "110", "14": "111",
    "21": "902", "25": "914", "30": "904", "40": "115", "41": "208", "43": "209", "51": "116", "54": "101", "55": "117",
    "57": "119", "58": "120", "59": "102", "61": "121", "62": "104", "63": "122", "65": "123", "75": "106", "91": "907",
    "94": "913", "96": "909", "N7": "122", "R0": "104",
}  # fmt: skip

_COMMON: Final = {
    "001": Session.SIGN_ON, "002": Session.SIGN_OFF, "301": Session.ECHO, "161": Session.KEY_CHANGE,
    "162": Session.KEY_CHANGE, "201": Session.CUTOVER,
}  # fmt: skip

SCHEMES: Final[Mapping[str, Scheme]] = MappingProxyType({
    scheme.name: scheme
    for scheme in (
        Scheme("generic", "iso87_asciibin", "binary2", _CODES_1987, _COMMON, _RETRYABLE_1987),
        Scheme(
            "visa", "visa_base1_h22", "cs", _CODES_1987,
            {"071": Session.SIGN_ON, "072": Session.SIGN_OFF} | _COMMON, _RETRYABLE_1987,
        ),
        Scheme(
            "mastercard", "mc_mip", "binary2", _CODES_1987,
            {
                "061": Session.SIGN_ON, "062": Session.SIGN_OFF, "270": Session.ECHO,
                "060": Session.CUTOVER, "363": Session.CUTOVER,
            } | _COMMON,
            _RETRYABLE_1987,
        ),
        # Messages of terminals: no DE7, DE70, DE90 or DE95; the network management code is the third part of DE60.
        Scheme(
            "unionpay", "unionpay_pos", "binary2", _CODES_1987,
            _COMMON | {"003": Session.SIGN_ON, "004": Session.SIGN_ON}, _RETRYABLE_1987,
            session_element=60, session_offset=8, names_originals=False, completing=frozenset(("06",)),
            echo_type="0820",
        ),
        Scheme(
            "generic93", "iso93a", "binary2", _CODES_1993,
            {
                "801": Session.SIGN_ON, "802": Session.SIGN_OFF, "831": Session.ECHO, "811": Session.KEY_CHANGE,
                "821": Session.CUTOVER,
            },
            _RETRYABLE_1993, edition="1993", session_element=24, spoken=_SPOKEN_1993, echo_type="1804",
        ),
    )
})  # fmt: skip
"""The networks by name."""
