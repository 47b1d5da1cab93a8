"""Messages and bytes of one link: layout, framing, headers of replies, authentication codes."""

from __future__ import annotations

import hmac
from typing import Final

from shanraq.simulators.iso8583.configuration import HostConfiguration, HostMac
from shanraq.simulators.iso8583.schemes import Scheme
from shanraq.standards import iso8583
from shanraq.standards.iso8583 import Codec, Framing, Iso8583Error, Layout, Message
from shanraq.standards.iso8583.flow import ECHOED, format_error, reply_header, respond
from shanraq.standards.iso8583.layout import HeaderPiece
from shanraq.standards.iso8583.security import SecurityError, compute_mac, mac_input

_EMPTY_MAC: Final = "00" * 8
_SWAPPED: Final = ("destination", "source")


class Wire:
    """Reads requests and writes answers. Raises LayoutError or FramingError for a name there is not."""

    def __init__(self, scheme: Scheme, configuration: HostConfiguration) -> None:
        layout = configuration.layout or scheme.layout
        framing = configuration.framing or scheme.framing
        limit = configuration.message_bytes
        self.codec: Final = Codec(layout) if isinstance(layout, Layout) else iso8583.codec(layout)
        self.framing: Final[Framing] = (
            framing if isinstance(framing, Framing) else iso8583.framing(framing, limit=limit)
        )
        self.has: Final = frozenset(self.codec.layout.fields)
        self._mac = configuration.mac
        self._scheme = scheme
        self._echoed = (*ECHOED, scheme.session_element)
        header = self.codec.layout.header
        pieces = {piece.id: piece for piece in header.elements} if header is not None else {}
        self._header_bytes = header.bytes if header is not None else 0
        self._length = pieces.get("total_length")
        self._stations = [pieces[name] for name in _SWAPPED if name in pieces]

    def decode(self, raw: bytes) -> Message:
        """Read a message; raises Iso8583Error with what could be read."""
        return self.codec.decode(raw)

    def answer(self, request: Message, code: str) -> Message:
        """Return the answer to a request, with the stations of a routing header exchanged."""
        response = respond(request, code)
        self._exchange_stations(response)
        return response

    def next_header(self, request: Message) -> str | None:
        """Return the header of a message of the host's own, sent to who sent this one."""
        if request.header is None:
            return None
        reply = Message(request.mti, header=reply_header(request.header))
        self._exchange_stations(reply)
        return reply.header

    def answer_session(self, request: Message, code: str) -> Message:
        """Return the answer to a network management request."""
        response = respond(request, code, keep=self._echoed)
        self._exchange_stations(response)
        return response

    def answer_unreadable(self, partial: Message) -> bytes | None:
        """Return the format error for a request of which a part could be read; None when nothing can be said."""
        try:
            response = format_error(partial)
        except Iso8583Error:
            return None
        self._exchange_stations(response)
        for _ in range(len(response.fields)):
            try:
                self.codec.check(response)
                return self.encode(response)
            except Iso8583Error as error:
                # What was wrong in the request must not make the answer unreadable too: it is left out.
                if not error.field.isdigit() or response.fields.pop(int(error.field), None) is None:
                    return None
        return None

    def encode(self, message: Message, *, sealed: bool = True) -> bytes:
        """Write a message, with its length in the header and, if `sealed`, the authentication code where the link has one."""
        mac = self._mac
        if mac is None or not sealed:
            return self._with_length(self.codec.encode(message))
        number = 128 if max(message.fields) > 64 else 64
        message.fields.pop(64, None)
        message.fields[number] = _EMPTY_MAC
        covered = mac_input(self.codec, self.codec.encode(message))
        code = _code(mac, mac.response_key or mac.key, covered)
        message.fields[number] = code.hex().upper()
        return self._with_length(self.codec.encode(message))

    def is_authentic(self, raw: bytes, message: Message) -> bool:
        """Tell whether the authentication code of a request is right; always, where the link has none.

        Network management may come without: before the keys are exchanged nobody can make a code.
        """
        mac = self._mac
        if mac is None or (message.mti[1] == "8" and not is_sealed(message)):
            return True
        number = 128 if 128 in message.fields else 64
        try:
            covered = mac_input(self.codec, raw)
        except SecurityError:
            return False
        return hmac.compare_digest(_code(mac, mac.key, covered), bytes.fromhex(message.fields[number]))

    def first_header(self) -> str | None:
        """Return the header of a message that answers none."""
        if not self._header_bytes:
            return None
        if self._length is not None:
            return f"{self._header_bytes:02X}0102" + "00" * (self._header_bytes - 3)
        header = self.codec.layout.header
        assert header is not None
        if header.value_form == "text":
            return "ISO" + "0" * (self._header_bytes - 3)
        return ("6000000000" + "603100000000").ljust(self._header_bytes * 2, "0")[: self._header_bytes * 2]

    def _exchange_stations(self, response: Message) -> None:
        header = response.header
        if header is None or len(self._stations) != 2:
            return
        one, other = (_text(header, piece) for piece in self._stations)
        for piece, station in zip(self._stations, (other, one), strict=True):
            at = piece.offset * 2
            header = header[:at] + station + header[at + piece.bytes * 2 :]
        response.header = header

    def _with_length(self, raw: bytes) -> bytes:
        piece = self._length
        if piece is None:
            return raw
        return raw[: piece.offset] + len(raw).to_bytes(piece.bytes, "big") + raw[piece.offset + piece.bytes :]


def is_sealed(message: Message) -> bool:
    """Tell whether a message carries an authentication code."""
    return 64 in message.fields or 128 in message.fields


def _text(header: str, piece: HeaderPiece) -> str:
    return header[piece.offset * 2 : (piece.offset + piece.bytes) * 2]


def _code(mac: HostMac, key: bytes, covered: bytes) -> bytes:
    whole = compute_mac(mac.algorithm, key, covered, padding=mac.padding)
    return whole[: mac.size].ljust(8, b"\0")
