"""One connection of the host: frames in, answers out, many of them in one write."""

from __future__ import annotations

import asyncio
from typing import Final, Protocol, cast

from shanraq.standards.iso8583 import Framing, FramingError
from shanraq.standards.iso8583.framing import Received, reply_tpdu

SESSION_CONTROL: Final = b"\0\0\0\x20"


class Served(Protocol):
    """What a connection works for."""

    def opened(self, connection: Connection) -> bool:
        """Take a connection; False when there are too many."""

    def closed(self, connection: Connection) -> None:
        """Let a connection go."""

    def take(self, connection: Connection, received: Received) -> None:
        """Carry out one message."""

    def keep(self) -> bool:
        """Write down what was carried out; False when that failed and nothing may be answered."""

    def lost_frame(self, connection: Connection, error: FramingError) -> None:
        """Be told that a stream cannot be followed."""


class Connection(asyncio.Protocol):
    """Reads frames and writes answers. `is_signed_on` and `next_header` are the host's notes about it."""

    def __init__(self, host: Served, framing: Framing) -> None:
        self._host = host
        self._framing = framing
        self._reader = framing.reader()
        self._transport: asyncio.Transport | None = None
        self._out: list[bytes] = []
        self._is_ending = False
        self.is_signed_on = False
        self.next_header: str | None = None
        self.last_seen = 0.0

    def __repr__(self) -> str:
        return f"Connection({'open' if self.is_open else 'closed'})"

    @property
    def is_open(self) -> bool:
        """Tell whether anything can still be sent."""
        return self._transport is not None and not self._transport.is_closing()

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one without saying so
        self.last_seen = asyncio.get_running_loop().time()
        if not self._host.opened(self):
            self.abort()

    def data_received(self, data: bytes) -> None:
        self.last_seen = asyncio.get_running_loop().time()
        try:
            found = self._reader.feed(data)
        except FramingError as error:
            self._host.lost_frame(self, error)
            self.abort()
            return
        if echoes := self._reader.take_echoes():
            self._out.append(echoes)
        for received in found:
            if self._is_ending:
                break
            self._host.take(self, received)
        if not self._host.keep():
            self._out.clear()
            self.abort()
            return
        self._flush()

    def pause_writing(self) -> None:
        # A client that does not read its answers gets no further ones to store here.
        if self._transport is not None:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        if self.is_open and self._transport is not None:
            self._transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._out.clear()
        self._host.closed(self)

    # What the host calls.

    def answer(self, message: bytes, tpdu: bytes = b"") -> None:
        """Send a message with the others of this turn, once they are written down."""
        self._out.append(self._framing.frame(message, reply_tpdu(tpdu)))

    def answer_cut(self, message: bytes, tpdu: bytes, *, keep: float) -> None:
        """Send only a part of a frame: the rest never comes."""
        frame = self._framing.frame(message, reply_tpdu(tpdu))
        self._out.append(frame[: max(1, min(int(len(frame) * keep), len(frame) - 1))])

    def send(self, message: bytes, tpdu: bytes = b"") -> None:
        """Send a message now, if the connection is still there."""
        if self.is_open and not self._is_ending:
            self.answer(message, tpdu)
            self._flush()

    def send_keep_alive(self) -> None:
        """Send what the framing has for silence: session control on Visa's, nothing where it has nothing."""
        frame = SESSION_CONTROL if self._framing.name == "cs" else self._framing.keep_alive
        if frame is not None and self.is_open:
            self._out.append(frame)
            self._flush()

    def end(self) -> None:
        """Close after the answers of this turn; later requests of it are not carried out."""
        self._is_ending = True

    def abort(self) -> None:
        """Close at once."""
        if self._transport is not None:
            self._transport.abort()

    def _flush(self) -> None:
        transport = self._transport
        if transport is None:
            return
        if self._out:
            transport.write(self._out[0] if len(self._out) == 1 else b"".join(self._out))
            self._out.clear()
        if self._is_ending:
            transport.close()
