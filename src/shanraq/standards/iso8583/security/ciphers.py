"""Block ciphers as card systems use them: DES and TDES with keys of 8, 16 or 24 bytes, AES; single blocks and CBC chains."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher as _Cipher
from cryptography.hazmat.primitives.ciphers import algorithms, modes
from cryptography.hazmat.primitives.cmac import CMAC

DES_BLOCK: Final = 8
AES_BLOCK: Final = 16


class SecurityError(ValueError):
    """Keys, blocks or codes that cannot be; the text never shows them."""


class Cipher(StrEnum):
    """What a key is for: `tdes` takes 8 (DES), 16 or 24 bytes, `aes` 16, 24 or 32."""

    TDES = "tdes"
    AES = "aes"

    @property
    def block_bytes(self) -> int:
        """Return the size of a block."""
        return DES_BLOCK if self is Cipher.TDES else AES_BLOCK

    def check_key(self, key: bytes) -> None:
        """Raise SecurityError for a key of another size."""
        if len(key) not in ((8, 16, 24) if self is Cipher.TDES else (16, 24, 32)):
            raise SecurityError(f"a key of {len(key)} bytes is none of {self.value}")

    def encrypt(self, key: bytes, data: bytes) -> bytes:
        """Encrypt whole blocks, each on its own."""
        context = _Cipher(self._algorithm(key), modes.ECB()).encryptor()  # noqa: S305 (what the standards prescribe)
        return context.update(data) + context.finalize()

    def decrypt(self, key: bytes, data: bytes) -> bytes:
        """Decrypt whole blocks, each on its own."""
        context = _Cipher(self._algorithm(key), modes.ECB()).decryptor()  # noqa: S305
        return context.update(data) + context.finalize()

    def chain(self, key: bytes, data: bytes) -> bytes:
        """Return the last block of a CBC chain that begins with zeros."""
        context = _Cipher(self._algorithm(key), modes.CBC(bytes(self.block_bytes))).encryptor()
        return (context.update(data) + context.finalize())[-self.block_bytes :]

    def _algorithm(self, key: bytes) -> TripleDES | algorithms.AES:
        self.check_key(key)
        return algorithms.AES(key) if self is Cipher.AES else TripleDES(_three(key))


def _three(key: bytes) -> bytes:
    return {8: key * 3, 16: key + key[:8]}.get(len(key), key)


def cmac(key: bytes, data: bytes) -> bytes:
    """Return the AES-CMAC of data, 16 bytes (RFC 4493)."""
    Cipher.AES.check_key(key)
    context = CMAC(algorithms.AES(key))
    context.update(data)
    return context.finalize()


def key_check_value(cipher: Cipher, key: bytes, *, by_cmac: bool = False) -> bytes:
    """Return what tells keys apart without showing them: 3 bytes of an encrypted zero block, or 5 of its CMAC (AES)."""
    cipher.check_key(key)
    zeros = bytes(cipher.block_bytes)
    return cmac(key, zeros)[:5] if by_cmac else cipher.encrypt(key, zeros)[:3]


def xor(one: bytes, other: bytes) -> bytes:
    """Return two strings of one length, XORed."""
    return bytes(a ^ b for a, b in zip(one, other, strict=True))
