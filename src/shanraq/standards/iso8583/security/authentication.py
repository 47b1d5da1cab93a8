"""Messages with an authentication code: in DE64, or in DE128 where they have elements beyond 64."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from shanraq.standards.iso8583.codec import Codec
from shanraq.standards.iso8583.errors import Iso8583Error
from shanraq.standards.iso8583.message import Message
from shanraq.standards.iso8583.security.ciphers import SecurityError
from shanraq.standards.iso8583.security.mac import MacAlgorithm, mac_input
from shanraq.standards.iso8583.security.module import SecurityModule

_BYTES: Final = 8


@dataclass(frozen=True, slots=True)
class MessageAuthentication:
    """Codes under a key that a security module keeps. `size` bytes of the code are sent, the rest of the element is zero."""

    module: SecurityModule
    key: str
    algorithm: MacAlgorithm = MacAlgorithm.RETAIL
    padding: int = 1
    size: int = 8

    def sealed(self, codec: Codec, message: Message) -> bytes:
        """Return a message encoded with its code. Raises Iso8583Error, SecurityError."""
        element = 128 if max((*message.fields, *message.parts), default=0) > 64 else 64
        fields = {**message.fields, element: "00" * _BYTES}
        raw = codec.encode(Message(message.mti, fields, header=message.header, parts=message.parts))
        code = self.module.generate_mac(
            self.key, mac_input(codec, raw), algorithm=self.algorithm, padding=self.padding, size=self.size
        )
        fields[element] = (code + bytes(_BYTES - len(code))).hex().upper()
        return codec.encode(Message(message.mti, fields, header=message.header, parts=message.parts))

    def is_authentic(self, codec: Codec, raw: bytes) -> bool:
        """Tell whether a message has a code and it is right, in constant time. Never raises for what came over the line."""
        try:
            message = codec.decode(raw)
            element = 128 if 128 in message.fields else 64
            code = bytes.fromhex(message.fields.get(element, ""))
            covered = mac_input(codec, raw)
            if len(code) != _BYTES or any(code[self.size :]):
                return False
            return self.module.verify_mac(
                self.key, covered, code[: self.size], algorithm=self.algorithm, padding=self.padding
            )
        except (Iso8583Error, SecurityError):
            return False
