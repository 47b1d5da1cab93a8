"""PIN blocks of ISO 9564-1: formats 0 to 4, clear and enciphered. Errors never show a PIN or a card number."""

from __future__ import annotations

import secrets
from enum import IntEnum
from typing import Final

from shanraq.standards.iso8583.security.ciphers import AES_BLOCK, DES_BLOCK, Cipher, SecurityError, xor

_SHORTEST, _LONGEST = 4, 12
_LETTERS: Final = "ABCDEF"


class PinFormat(IntEnum):
    """The format of a PIN block: 0 and 3 are bound to the card number, 1 and 2 are not, 4 is for AES."""

    ISO0 = 0
    ISO1 = 1
    ISO2 = 2
    ISO3 = 3
    ISO4 = 4

    @property
    def cipher(self) -> Cipher:
        """Return the cipher such blocks are enciphered with."""
        return Cipher.AES if self is PinFormat.ISO4 else Cipher.TDES


def clear_block(form: PinFormat, pin: str, pan: str = "", *, fill: str | None = None) -> bytes:
    """Return the clear block, 8 bytes (format 4: the PIN field, 16 bytes).

    `fill` are the hex digits behind the PIN where the format has some of its own (1, 3, 4); random unless given.
    Raises SecurityError for a PIN that is not 4 to 12 digits or a card number that is not 12 to 19.
    """
    if not (pin.isascii() and pin.isdigit() and _SHORTEST <= len(pin) <= _LONGEST):
        raise SecurityError(f"a PIN has {_SHORTEST} to {_LONGEST} digits")
    head = f"{form.value:X}{len(pin):X}{pin}"
    left = 2 * DES_BLOCK - len(head)
    match form:
        case PinFormat.ISO0:
            return xor(_bytes(head + "F" * left), _account_field(pan))
        case PinFormat.ISO1:
            return _bytes(head + _filled(fill, left, "0123456789ABCDEF"))
        case PinFormat.ISO2:
            return _bytes(head + "F" * left)
        case PinFormat.ISO3:
            return xor(_bytes(head + _filled(fill, left, _LETTERS)), _account_field(pan))
        case PinFormat.ISO4:
            return _bytes(head + "A" * left + _filled(fill, 2 * DES_BLOCK, "0123456789ABCDEF"))


def pin_of(form: PinFormat, block: bytes, pan: str = "") -> str:
    """Return the PIN of a clear block; raise SecurityError if its format, length, digits or fill are not what they must be."""
    if len(block) != form.cipher.block_bytes:
        raise SecurityError(f"a block of format {form.value} has {form.cipher.block_bytes} bytes")
    bound = form in (PinFormat.ISO0, PinFormat.ISO3)
    text = (xor(block, _account_field(pan)) if bound else block)[:DES_BLOCK].hex().upper()
    length = int(text[1], 16)
    pin, fill = text[2 : 2 + length], text[2 + length :]
    right_fill = {
        PinFormat.ISO0: set("F"), PinFormat.ISO2: set("F"), PinFormat.ISO3: set(_LETTERS), PinFormat.ISO4: set("A"),
    }.get(form)  # fmt: skip
    right = (
        text[0] == f"{form.value:X}"
        and _SHORTEST <= length <= _LONGEST
        and pin.isdigit()
        and (right_fill is None or right_fill.issuperset(fill))
    )
    if not right:
        raise SecurityError("is no PIN block of this format for this card number and key")
    return pin


def encipher_pin(form: PinFormat, key: bytes, pin: str, pan: str = "", *, fill: str | None = None) -> bytes:
    """Return the enciphered block; raises as `clear_block`."""
    block = clear_block(form, pin, pan, fill=fill)
    if form is not PinFormat.ISO4:
        return Cipher.TDES.encrypt(key, block)
    return Cipher.AES.encrypt(key, xor(Cipher.AES.encrypt(key, block), _long_account_field(pan)))


def decipher_pin(form: PinFormat, key: bytes, block: bytes, pan: str = "") -> str:
    """Return the PIN of an enciphered block; raises as `pin_of`."""
    if len(block) != form.cipher.block_bytes:
        raise SecurityError(f"a block of format {form.value} has {form.cipher.block_bytes} bytes")
    if form is not PinFormat.ISO4:
        return pin_of(form, Cipher.TDES.decrypt(key, block), pan)
    inner = xor(Cipher.AES.decrypt(key, block), _long_account_field(pan))
    return pin_of(form, Cipher.AES.decrypt(key, inner), pan)


def _account_field(pan: str) -> bytes:
    """Return four zero digits and the right twelve of the card number without its check digit."""
    _check_pan(pan)
    return _bytes("0000" + pan[-13:-1].rjust(12, "0"))


def _long_account_field(pan: str) -> bytes:
    """Return the card number behind the count of its digits above twelve, sixteen bytes (format 4)."""
    _check_pan(pan)
    digits = pan.rjust(12, "0")
    return _bytes(f"{len(digits) - 12}{digits}".ljust(2 * AES_BLOCK, "0"))


def _check_pan(pan: str) -> None:
    if not (pan.isascii() and pan.isdigit() and len(pan) <= 19):
        raise SecurityError("a card number has at most 19 digits")


def _filled(fill: str | None, size: int, letters: str) -> str:
    if fill is None:
        return "".join(secrets.choice(letters) for _ in range(size))
    if len(fill) != size or not set(letters).issuperset(fill):
        raise SecurityError(f"the fill must be {size} digits of those the format allows")
    return fill


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text)
