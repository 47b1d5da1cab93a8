"""An acquirer in front of the host: builds requests in any scheme, sends them over a real socket, reads what comes back."""

from __future__ import annotations

import asyncio
import itertools
import ssl
from typing import Any, Self

from shanraq.simulators.iso8583 import Iso8583Host, Scheme
from shanraq.standards import iso8583
from shanraq.standards.iso8583 import Message
from shanraq.standards.iso8583.flow import original_data, original_element, repeat_mti

PAN = "4000000000000002"
OTHER_PAN = "5200000000000007"
HEADERS = {
    "visa": "16010200000000001234560000000000000000000000",
    "unionpay": "6000030160603100311001",
}


class Acquirer:
    """Speaks to one host. `say` sends and waits for one answer, `tell` only sends."""

    def __init__(self, host: Iso8583Host, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.scheme: Scheme = host.scheme
        configured = host.configuration
        layout, framing = configured.layout or host.scheme.layout, configured.framing or host.scheme.framing
        assert isinstance(layout, str) and isinstance(framing, str)
        self.codec = iso8583.codec(layout)
        self.framing = iso8583.framing(framing)
        self.stream, self.writer = reader, writer
        self.frames = self.framing.reader()
        self.waiting: list[bytes] = []
        self.stans = itertools.count(1)

    @classmethod
    async def connect(cls, host: Iso8583Host, tls: ssl.SSLContext | None = None) -> Self:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", host.port, ssl=tls, server_hostname="localhost" if tls else None
        )
        return cls(host, reader, writer)

    async def close(self) -> None:
        self.writer.close()

    # Messages.

    def request(self, mti: str, processing: str | None, amount: int | None, **more: Any) -> Message:
        """Build a request; `more` are elements by `de37="..."`, None takes one away."""
        in_1993 = self.scheme.edition == "1993"
        fields: dict[int, str | None] = {
            2: PAN,
            3: processing,
            4: None if amount is None else f"{amount:012d}",
            7: "0401123045",
            11: f"{next(self.stans):06d}",
            12: "260401123045" if in_1993 else "123045",
            13: None if in_1993 else "0401",
            32: "123456",
            41: "TERM0001",
            42: "MERCHANT0000001",
            49: "398",
        }
        fields |= {int(name.removeprefix("de")): value for name, value in more.items()}
        known = self.codec.layout.fields
        if in_1993:
            mti = "1" + mti[1:]
        return Message(
            mti,
            {number: str(value) for number, value in sorted(fields.items()) if value is not None and number in known},
            header=HEADERS.get(self.scheme.name),
        )

    def authorization(self, amount: int = 1000, rrn: str = "000000000001", **more: Any) -> Message:
        return self.request("0100", "000000", amount, **{"de37": rrn} | more)

    def purchase(self, amount: int = 1000, rrn: str = "000000000001", **more: Any) -> Message:
        return self.request("0200", "000000", amount, **{"de37": rrn} | more)

    def completion(self, original: Message, amount: int = 1000, **more: Any) -> Message:
        return self.request("0220", "000000", amount, **self.named(original) | {"de37": original.fields.get(37)} | more)

    def refund(self, amount: int = 1000, rrn: str = "000000000001", **more: Any) -> Message:
        return self.request("0200", "200000", amount, **{"de37": rrn} | more)

    def reversal(self, original: Message, mti: str = "0420", **more: Any) -> Message:
        return self.request(
            mti,
            original.fields.get(3),
            int(original.fields.get(4, "0")),
            **self.named(original) | {"de37": original.fields.get(37)} | more,
        )

    def partial_reversal(self, original: Message, remaining: int) -> Message:
        if self.scheme.edition == "1993":
            return self.reversal(original, de24="401", de4=f"{remaining:012d}")
        return self.reversal(original, de95=f"{remaining:012d}".ljust(42, "0"))

    def named(self, original: Message) -> dict[str, str]:
        if not self.scheme.names_originals:
            return {"de61": "000001" + original.fields[11] + "0401"}
        return {f"de{original_element(original.mti)}": original_data(original)}

    def session(self, code: str) -> Message:
        scheme = self.scheme
        offset = scheme.session_offset
        more = {f"de{scheme.session_element}": "0" * offset + code}
        removed = {f"de{number}": None for number in (2, 32, 41, 42, 49)}
        return self.request("0800" if scheme.edition == "1987" else "1804", None, None, **removed | more)

    def repeat(self, message: Message) -> Message:
        return Message(repeat_mti(message.mti), dict(message.fields), header=message.header)

    # Talking.

    def frame(self, message: Message) -> bytes:
        return self.framing.frame(self.codec.encode(message))

    def tell(self, *messages: Message) -> None:
        self.writer.write(b"".join(map(self.frame, messages)))

    async def raw(self, seconds: float = 5.0) -> bytes:
        """Return the next message as it came; raises TimeoutError, EOFError when the host has hung up."""
        async with asyncio.timeout(seconds):
            while not self.waiting:
                data = await self.stream.read(65536)
                if not data:
                    raise EOFError
                self.waiting += [found.message for found in self.frames.feed(data)]
        return self.waiting.pop(0)

    async def hear(self, seconds: float = 5.0) -> Message:
        return self.codec.decode(await self.raw(seconds))

    async def say(self, message: Message) -> Message:
        self.tell(message)
        answer = await self.hear()
        assert answer.fields.get(11) == message.fields.get(11)
        return answer

    async def code(self, message: Message) -> str:
        """Send, and return the response code."""
        return (await self.say(message)).fields[39]

    async def is_silent(self, seconds: float = 0.1) -> bool:
        try:
            await self.raw(seconds)
        except TimeoutError:
            return True
        return False

    async def has_hung_up(self) -> bool:
        try:
            await self.raw(2.0)
        except (EOFError, ConnectionResetError):
            return True
        except TimeoutError:
            return False
        return False
