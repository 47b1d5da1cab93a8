"""Message authentication codes: ISO 9797-1 algorithms 1 and 3, AES-CMAC, and what of a message they cover."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final

from shanraq.standards.iso8583.security.ciphers import DES_BLOCK, Cipher, SecurityError, cmac

if TYPE_CHECKING:
    from shanraq.standards.iso8583.codec import Codec

_MAC_ELEMENTS: Final = (64, 128)


class MacAlgorithm(StrEnum):
    """`iso9797-1-alg1`: CBC-MAC with DES or TDES. `iso9797-1-alg3`: retail MAC (ANSI X9.19). `aes-cmac`: RFC 4493."""

    CBC = "iso9797-1-alg1"
    RETAIL = "iso9797-1-alg3"
    CMAC = "aes-cmac"


def compute_mac(algorithm: MacAlgorithm, key: bytes, data: bytes, *, padding: int = 1) -> bytes:
    """Return the whole code (8 bytes, AES-CMAC 16); a link keeps the left 4 or 8. `padding` is method 1, 2 or 3 of ISO 9797-1.

    Raises SecurityError for a key that does not fit.
    """
    match algorithm:
        case MacAlgorithm.CMAC:
            return cmac(key, data)
        case MacAlgorithm.CBC:
            return Cipher.TDES.chain(key, _padded(data, padding))
        case MacAlgorithm.RETAIL:
            if len(key) != 2 * DES_BLOCK:
                raise SecurityError("the retail MAC needs a key of 16 bytes")
            left, right = key[:DES_BLOCK], key[DES_BLOCK:]
            last = Cipher.TDES.chain(left, _padded(data, padding))
            return Cipher.TDES.encrypt(left, Cipher.TDES.decrypt(right, last))


def _padded(data: bytes, padding: int) -> bytes:
    match padding:
        case 1:
            padded = data
        case 2:
            padded = data + b"\x80"
        case 3:
            padded = (len(data) * 8).to_bytes(DES_BLOCK, "big") + data
        case _:
            raise SecurityError("padding is 1, 2 or 3")
    padded += bytes(-len(padded) % DES_BLOCK)
    return padded or bytes(DES_BLOCK)


def mac_input(codec: Codec, raw: bytes) -> bytes:
    """Return the bytes of a message that its code covers: from the message type up to element 64 or 128, the last it has.

    Raises SecurityError when the message has none, Iso8583Error when it cannot be read.
    """
    message = codec.decode(raw)
    element = next((number for number in reversed(_MAC_ELEMENTS) if number in message.fields), None)
    if element is None or element != max(message.fields):
        raise SecurityError("the message does not end with an authentication code")
    return raw[message.spans[0].start : message.spans[element].start]
