"""Requests and answers of a card host: commands to messages, response codes to outcomes.

Editions of 1987 (0100, DE39 of two characters, DE90, DE95) and 1993 (1100, action codes, DE24, DE56, DE30).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Literal

from shanraq.adapters.cardhost.codes import ACCEPTED, APPROVED, NOT_DECIDED, PARTIAL, UNDECIDED, reason_of
from shanraq.core.errors import InvalidInputError
from shanraq.core.money import Currency, Money
from shanraq.core.secret import SecurityCode
from shanraq.payments.adapter import Approved, Card, Declined, NotProcessed, OperationKind, Outcome, Unknown
from shanraq.standards.iso8583 import Layout, Message
from shanraq.standards.iso8583.flow import original_mti, repeat_mti, reversal_of
from shanraq.standards.iso8583.layout import Fixed, Positional

AMOUNT_LIMIT: Final = 10**12
_VISA_HEADER: Final = 22
_REPLACEMENT: Final = 95
_ORIGINAL_AMOUNTS: Final = 30
_NEEDED: Final = (2, 3, 4, 11, 14, 37, 39, 41, 42, 49)
# What may never be kept after an authorisation (PCI DSS 4.0, 3.3.1): tracks, security codes, PIN blocks.
_NEVER_KEPT: Final = frozenset((35, 36, 45, 48, 52, 53, 55, 126))

SecurityCodeAt = Literal["", "48.92", "126.10"]


class LayoutUnfitError(InvalidInputError, code="layout_unfit", status=400):
    """The layout cannot carry card payments: it lacks an element, or is of an edition that is not spoken here."""


@dataclass(frozen=True, slots=True)
class Merchant:
    """How we present ourselves to a host. `security_code_at` is where a security code goes: 48.92 (Mastercard), 126.10 (Visa).

    `entry_mode` is DE22 (1987: 81 e-commerce and 2 no PIN), `condition` DE25 of 1987 (59 e-commerce); local time is UTC plus
    `utc_offset_minutes`. `header` is hex or text as the layout says, for layouts that have one.
    """

    terminal_id: str
    acceptor_id: str
    acquirer_id: str
    category_code: str = "5999"
    name_location: str = ""
    entry_mode: str = ""
    condition: str = "59"
    security_code_at: SecurityCodeAt = ""
    header: str = ""
    utc_offset_minutes: int = 300


@dataclass(frozen=True, slots=True)
class Trace:
    """What names one message: trace number (DE11), retrieval reference number (DE37) and the instant it is made."""

    stan: str
    rrn: str
    at: datetime

    @property
    def gateway_id(self) -> str:
        """Return the name of the exchange: the reference number is that of the whole payment."""
        return f"{self.rrn}-{self.stan}"


def reference_number(stan: str, at: datetime) -> str:
    """Return a retrieval reference number in the usual form Yjjjhh + trace number (UTC)."""
    return f"{at.year % 10}{at:%j%H}{stan}"


class Wording:
    """Writes the messages of one host: its layout, our merchant. Raises LayoutUnfitError."""

    def __init__(self, layout: Layout, merchant: Merchant) -> None:
        if layout.iso_version not in ("1987", "1993"):
            raise LayoutUnfitError(f"{layout.id} is of ISO 8583:{layout.iso_version}", field="layout")
        missing = [number for number in _NEEDED if number not in layout.fields]
        if missing:
            raise LayoutUnfitError(f"{layout.id} has no DE{', DE'.join(map(str, missing))}", field="layout")
        if layout.header is not None and not merchant.header and layout.header.bytes != _VISA_HEADER:
            raise LayoutUnfitError(f"{layout.id} has a header, which must be given", field="header")
        self.layout = layout
        self.merchant = merchant
        self.later = layout.iso_version == "1993"
        self.partial_reversals = (_ORIGINAL_AMOUNTS if self.later else _REPLACEMENT) in layout.fields

    def authorize(self, amount: Money, card: Card, trace: Trace, *, sale: bool) -> Message:
        """Return an authorisation (0100) or, for a sale, a financial request (0200)."""
        message = self._message(
            "200" if sale else "100",
            trace,
            {
                2: card.pan.reveal(),
                3: "000000",
                4: f"{amount.minor:012d}",
                14: f"{card.expiry_year % 100:02d}{card.expiry_month:02d}",
                24: ("200" if sale else "100") if self.later else "",
                49: f"{amount.currency.number:03d}",
            },
        )
        if card.security_code is not None:
            self._put_security_code(message, card.security_code)
        return message

    def capture(self, authorization: Message, amount: Money, approval_code: str, trace: Trace) -> Message:
        """Return the completion advice (0220) of an authorisation."""
        whole = amount.minor == int(authorization.fields[4])
        own = {38: approval_code, 4: f"{amount.minor:012d}", 24: ("201" if whole else "202") if self.later else ""}
        return self._after(authorization, "220", trace, own, names_it=True)

    def refund(self, authorization: Message, amount: Money, trace: Trace) -> Message:
        """Return a refund (0200, processing code 20) of what was taken under the same reference number."""
        own = {3: "200000", 4: f"{amount.minor:012d}", 24: "200" if self.later else ""}
        return self._after(authorization, "200", trace, own, names_it=False)

    def reverse(
        self, original: Message, approval_code: str, trace: Trace, *, left: int | None, advice: bool
    ) -> Message:
        """Return a reversal (0400, or 0420 as an advice) of a message; `left` minor units of it remain, None: nothing."""
        message = reversal_of(
            original, stan=trace.stan, sent_at=f"{trace.at:%m%d%H%M%S}", approval=approval_code or None
        )
        message.mti = f"{message.mti[0]}4{'2' if advice else '0'}0"
        fields = message.fields
        fields.update(self._times(trace.at))
        fields[37] = trace.rrn
        if left is not None:
            if self.later:
                fields |= {24: "401", _ORIGINAL_AMOUNTS: f"{fields[4]}{0:012d}", 4: f"{left:012d}"}
            else:
                fields[_REPLACEMENT] = f"{left:012d}{0:012d}" + self._no_fees()
        return self._fitted(message)

    def renewed(self, message: Message, stan: str, at: datetime) -> Message:
        """Return a message with another trace number and time: to a host it is another message."""
        fields = {**message.fields, 7: f"{at:%m%d%H%M%S}", 11: stan, **self._times(at)}
        return self._fitted(Message(original_mti(message.mti), fields, header=message.header))

    def header_of(self, data: bytes) -> bytes:
        """Return an encoded message with the length in its Visa header set; other messages as they are."""
        header = self.layout.header
        if header is None or header.bytes != _VISA_HEADER:
            return data
        return data[:3] + len(data).to_bytes(2, "big") + data[5:]

    def _message(self, kind: str, trace: Trace, own: Mapping[int, str]) -> Message:
        merchant = self.merchant
        fields = {
            7: f"{trace.at:%m%d%H%M%S}",
            11: trace.stan,
            **self._times(trace.at),
            18: "" if self.later else merchant.category_code,
            22: merchant.entry_mode or ("100050S00000" if self.later else "812"),
            25: "" if self.later else merchant.condition,
            26: merchant.category_code if self.later else "",
            32: merchant.acquirer_id,
            37: trace.rrn,
            41: merchant.terminal_id,
            42: merchant.acceptor_id,
            43: merchant.name_location,
            **own,
        }
        return self._fitted(Message(("1" if self.later else "0") + kind, fields, header=self._header()))

    def _after(self, original: Message, kind: str, trace: Trace, own: Mapping[int, str], *, names_it: bool) -> Message:
        fields = dict(original.fields)
        if names_it:
            named = reversal_of(original, stan=trace.stan, sent_at="0").fields
            fields |= {number: named[number] for number in (56, 90) if number in named}
        fields |= {7: f"{trace.at:%m%d%H%M%S}", 11: trace.stan, 37: trace.rrn, **self._times(trace.at), **own}
        return self._fitted(Message(original.mti[0] + kind, fields, header=self._header()))

    def _no_fees(self) -> str:
        """Return the end of DE95: two signed fees of 9, which Mastercard has as one amount of 12 and 6 zeros."""
        parts = self.layout.fields[_REPLACEMENT].parts
        signed = not isinstance(parts, Positional) or [piece.bytes for piece in parts.elements[2:]] == [9, 9]
        return f"C{0:08d}" * 2 if signed else "0" * 18

    def _times(self, at: datetime) -> dict[int, str]:
        local = at + timedelta(minutes=self.merchant.utc_offset_minutes)
        if self.later:
            return {12: f"{local:%y%m%d%H%M%S}"}
        return {12: f"{local:%H%M%S}", 13: f"{local:%m%d}"}

    def _header(self) -> str | None:
        header = self.layout.header
        if header is None:
            return None
        if self.merchant.header or header.bytes != _VISA_HEADER:
            return self.merchant.header
        return "160102" + "0000" + "00" * 17

    def _put_security_code(self, message: Message, code: SecurityCode) -> None:
        match self.merchant.security_code_at:
            case "48.92":
                lead: dict[str, Any] = {"lead": {"TCC": "T"}}
                message.parts[48] = {**lead, "items": [["92", code.reveal()]]}
            case "126.10":
                # Presence 1, response type 1, then the code right-justified (Visa: 6 positions).
                message.parts[126] = {"items": {"10": f"11{code.reveal():>4}"}}
            case _:
                return

    def _fitted(self, message: Message) -> Message:
        """Leave out what is empty or unknown to the layout, fill text of fixed size with blanks, and sort."""
        fitted: dict[int, str] = {}
        for number in sorted(message.fields):
            field, value = self.layout.fields.get(number), message.fields[number]
            if field is None or not value:
                continue
            if isinstance(field.length, Fixed) and field.encoding in ("ascii", "latin1", "ebcdic"):
                value = value.ljust(field.length.size)
            elif isinstance(field.length, Fixed) and field.encoding == "bcd" and field.content == "n":
                value = value.rjust(field.length.size, "0")
            fitted[number] = value
        message.fields = fitted
        return message


def repeated(message: Message) -> Message:
    """Return the repeat of a message: the same content, its type marked."""
    return Message(repeat_mti(message.mti), dict(message.fields), header=message.header)


def keepable(message: Message) -> dict[str, Any]:
    """Return what may be kept of a message after it was sent, sealed: nothing of tracks, security codes and PIN."""
    kept = {str(number): value for number, value in message.fields.items() if number not in _NEVER_KEPT}
    return {"mti": message.mti, "header": message.header, "fields": kept}


# Answers


def response_code(answer: Message) -> str:
    """Return DE39 of an answer, empty where it has none."""
    return answer.fields.get(39, "").strip()


def outcome_of(kind: OperationKind, code: str, gateway_id: str, amount: Money, approval_code: str = "") -> Outcome:
    """Return what a response code means for an operation; `amount` is what was approved."""
    if code in UNDECIDED or not code:
        return Unknown(f"the host says {code or 'nothing'}")
    good = APPROVED | PARTIAL if kind is OperationKind.AUTHORIZE else ACCEPTED
    if code in good:
        return Approved(gateway_id, amount, approval_code)
    if kind is OperationKind.AUTHORIZE and code not in NOT_DECIDED:
        return Declined(reason_of(code), gateway_id)
    return NotProcessed(reason_of(code))


def contradiction(request: Message, answer: Message) -> str:
    """Return why an answer cannot be that of a request, or an empty text; only a partial approval may change the amount.

    Hosts do change DE3 (the account that was found) and DE37 (a reference number of their own).
    """
    partial = response_code(answer) in PARTIAL
    for number in (4, 42, 49):
        asked, answered = request.fields.get(number), answer.fields.get(number)
        if asked is None or answered is None or asked.strip() == answered.strip():
            continue
        if number != 4:
            return f"DE{number} differs"
        if not (partial and answered.isdigit() and 0 < int(answered) < int(asked)):
            return "DE4 differs"
    if partial and not answer.fields.get(4, "").isdigit():
        return "a partial approval without an amount"
    return ""


def approved_amount(request: Message, answer: Message, currency: Currency) -> Money:
    """Return what an approval is about: DE4 of a partial one, else what was asked for."""
    asked = int(request.fields[4])
    if response_code(answer) in PARTIAL:
        return Money(int(answer.fields[4]), currency)
    return Money(asked, currency)


def kept_message(kept: Mapping[str, Any]) -> Message:
    """Return a message that was kept."""
    return Message.from_dict(kept)
