"""Keys by name, behind an interface that an HSM can implement; in software for the sandbox."""

from __future__ import annotations

import hmac
from typing import NamedTuple, Protocol

from shanraq.standards.iso8583.security.ciphers import Cipher, SecurityError, key_check_value
from shanraq.standards.iso8583.security.mac import MacAlgorithm, compute_mac
from shanraq.standards.iso8583.security.pin import PinFormat, decipher_pin, encipher_pin


class SecurityModule(Protocol):
    """What a link needs of an HSM. Keys are named, never handed out; PINs never leave it in the clear."""

    def generate_mac(
        self, key: str, data: bytes, *, algorithm: MacAlgorithm = MacAlgorithm.RETAIL, padding: int = 1, size: int = 8
    ) -> bytes:
        """Return the left `size` bytes of the code; raise SecurityError."""

    def verify_mac(
        self, key: str, data: bytes, mac: bytes, *, algorithm: MacAlgorithm = MacAlgorithm.RETAIL, padding: int = 1
    ) -> bool:
        """Tell whether a code of 4 bytes or more is right; raise SecurityError."""

    def translate_pin(
        self, block: bytes, pan: str, source: tuple[str, PinFormat], target: tuple[str, PinFormat]
    ) -> bytes:
        """Encipher the PIN of one block into another, the card number unchanged; raise SecurityError."""

    def check_value(self, key: str) -> bytes:
        """Return the key check value, 3 bytes; raise SecurityError."""


class _Key(NamedTuple):
    cipher: Cipher
    value: bytes


class SoftwareModule:
    """A security module in memory, for the sandbox and tests: it protects nothing from who can read this process."""

    def __init__(self) -> None:
        self._keys: dict[str, _Key] = {}

    def __repr__(self) -> str:
        return f"SoftwareModule({sorted(self._keys)})"

    def load(self, name: str, cipher: Cipher, value: bytes) -> None:
        """Take a key; raise SecurityError for a wrong size or a name that is taken."""
        cipher.check_key(value)
        if name in self._keys:
            raise SecurityError(f"there is a key {name} already")
        self._keys[name] = _Key(cipher, value)

    def generate_mac(
        self, key: str, data: bytes, *, algorithm: MacAlgorithm = MacAlgorithm.RETAIL, padding: int = 1, size: int = 8
    ) -> bytes:
        """Return the left `size` bytes of the code; raise SecurityError."""
        wanted = Cipher.AES if algorithm is MacAlgorithm.CMAC else Cipher.TDES
        whole = compute_mac(algorithm, self._find(key, wanted), data, padding=padding)
        if not 4 <= size <= len(whole):
            raise SecurityError(f"a code has 4 to {len(whole)} bytes")
        return whole[:size]

    def verify_mac(
        self, key: str, data: bytes, mac: bytes, *, algorithm: MacAlgorithm = MacAlgorithm.RETAIL, padding: int = 1
    ) -> bool:
        """Tell whether a code of 4 bytes or more is right; raise SecurityError."""
        right = self.generate_mac(key, data, algorithm=algorithm, padding=padding, size=len(mac))
        return hmac.compare_digest(right, mac)

    def translate_pin(
        self, block: bytes, pan: str, source: tuple[str, PinFormat], target: tuple[str, PinFormat]
    ) -> bytes:
        """Encipher the PIN of one block into another, the card number unchanged; raise SecurityError."""
        (from_key, from_format), (to_key, to_format) = source, target
        pin = decipher_pin(from_format, self._find(from_key, from_format.cipher), block, pan)
        return encipher_pin(to_format, self._find(to_key, to_format.cipher), pin, pan)

    def check_value(self, key: str) -> bytes:
        """Return the key check value, 3 bytes; raise SecurityError."""
        return key_check_value(*self._named(key))

    def _named(self, name: str) -> _Key:
        found = self._keys.get(name)
        if found is None:
            raise SecurityError(f"there is no key {name}")
        return found

    def _find(self, name: str, cipher: Cipher) -> bytes:
        found = self._named(name)
        if found.cipher is not cipher:
            raise SecurityError(f"the key {name} is not one of {cipher.value}")
        return found.value
