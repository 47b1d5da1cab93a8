"""Keys derived per transaction: TDES DUKPT (ANSI X9.24-1) and AES DUKPT (ANSI X9.24-3)."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from shanraq.standards.iso8583.security.ciphers import Cipher, SecurityError, xor

_COUNTER_BITS: Final = 21
_COUNTER: Final = (1 << _COUNTER_BITS) - 1
_MOST_ONES: Final = 10
_HALVES: Final = bytes.fromhex("C0C0C0C000000000C0C0C0C000000000")
_VARIANTS: Final = {
    "pin": bytes.fromhex("00000000000000FF") * 2,
    "mac_request": bytes.fromhex("000000000000FF00") * 2,
    "mac_response": bytes.fromhex("00000000FF000000") * 2,
    "data_request": bytes.fromhex("0000000000FF0000") * 2,
}


class TdesDukpt:
    """The keys of one device: `initial_key` and the key serial number (10 bytes) of each transaction."""

    def __init__(self, initial_key: bytes) -> None:
        if len(initial_key) != 16:
            raise SecurityError("an initial key has 16 bytes")
        self._initial_key = initial_key

    @classmethod
    def from_base(cls, base_key: bytes, ksn: bytes) -> TdesDukpt:
        """Derive the initial key of a device from the base derivation key and any of its key serial numbers."""
        if len(base_key) != 16:
            raise SecurityError("a base derivation key has 16 bytes")
        serial = (_number(ksn) & ~_COUNTER).to_bytes(10, "big")[:8]
        halves = (Cipher.TDES.encrypt(key, serial) for key in (base_key, xor(base_key, _HALVES)))
        return cls(b"".join(halves))

    @property
    def initial_key(self) -> bytes:
        """Return the initial key."""
        return self._initial_key

    def pin_key(self, ksn: bytes) -> bytes:
        """Return the key that enciphers the PIN block of a transaction."""
        return self._variant(ksn, "pin")

    def mac_request_key(self, ksn: bytes) -> bytes:
        """Return the key of the request's authentication code."""
        return self._variant(ksn, "mac_request")

    def mac_response_key(self, ksn: bytes) -> bytes:
        """Return the key of the response's authentication code."""
        return self._variant(ksn, "mac_response")

    def data_request_key(self, ksn: bytes) -> bytes:
        """Return the key that enciphers data of the request: each half of the variant, enciphered under the whole of it."""
        variant = self._variant(ksn, "data_request")
        return Cipher.TDES.encrypt(variant, variant)

    def _variant(self, ksn: bytes, use: str) -> bytes:
        return xor(self._transaction_key(ksn), _VARIANTS[use])

    def _transaction_key(self, ksn: bytes) -> bytes:
        number = _number(ksn)
        counter = number & _COUNTER
        if not counter or counter.bit_count() > _MOST_ONES:
            raise SecurityError("the counter of a key serial number has one to ten bits set")
        register, key = number & ~_COUNTER, self._initial_key
        for place in reversed(range(_COUNTER_BITS)):
            if counter >> place & 1:
                register |= 1 << place
                key = _next_key(key, register.to_bytes(10, "big")[-8:])
        return key


def _number(ksn: bytes) -> int:
    if len(ksn) != 10:
        raise SecurityError("a key serial number has 10 bytes")
    return int.from_bytes(ksn, "big")


def _next_key(key: bytes, register: bytes) -> bytes:
    """Derive the key of a register value: each half from a DES encryption between two XORs with the other half."""

    def half(of: bytes) -> bytes:
        left, right = of[:8], of[8:]
        return xor(Cipher.TDES.encrypt(left, xor(register, right)), right)

    return half(xor(key, _HALVES)) + half(key)


class AesUsage(IntEnum):
    """What a derived key is for (ANSI X9.24-3, table 2)."""

    KEY_ENCRYPTION = 0x0002
    PIN_ENCRYPTION = 0x1000
    MAC_GENERATION = 0x2000
    MAC_VERIFICATION = 0x2001
    MAC_BOTH = 0x2002
    DATA_ENCRYPTION_ENCRYPT = 0x3000
    DATA_ENCRYPTION_DECRYPT = 0x3001
    DATA_ENCRYPTION_BOTH = 0x3002
    DERIVATION = 0x8000
    INITIAL_KEY = 0x8001


class AesDukpt:
    """The keys of one device: `initial_key` (16, 24 or 32 bytes) and its id (8 bytes)."""

    def __init__(self, initial_key: bytes, initial_key_id: bytes) -> None:
        Cipher.AES.check_key(initial_key)
        if len(initial_key_id) != 8:
            raise SecurityError("an initial key id has 8 bytes")
        self._initial_key = initial_key
        self._id = initial_key_id

    @classmethod
    def from_base(cls, base_key: bytes, initial_key_id: bytes) -> AesDukpt:
        """Derive the initial key of a device from the base derivation key."""
        Cipher.AES.check_key(base_key)
        if len(initial_key_id) != 8:
            raise SecurityError("an initial key id has 8 bytes")
        head = _derivation_head(AesUsage.INITIAL_KEY, _AES_ALGORITHMS[len(base_key)], len(base_key))
        return cls(_derive(base_key, head + initial_key_id, len(base_key)), initial_key_id)

    @property
    def initial_key(self) -> bytes:
        """Return the initial key."""
        return self._initial_key

    def derivation_key(self, counter: int) -> bytes:
        """Return the key that the working keys of a transaction come from; at most 16 of the 32 bits of a counter are set."""
        if not 0 < counter < 1 << 32 or counter.bit_count() > 16:
            raise SecurityError("a transaction counter has one to sixteen bits set")
        key, reached = self._initial_key, 0
        head = _derivation_head(AesUsage.DERIVATION, _AES_ALGORITHMS[len(key)], len(key))
        for place in reversed(range(32)):
            if counter >> place & 1:
                reached |= 1 << place
                key = _derive(key, head + self._tail(reached), len(key))
        return key

    def working_key(self, counter: int, usage: AesUsage, *, tdes: bool = False) -> bytes:
        """Return the key of a transaction for a use: AES of the size of the initial key, or two-key TDES."""
        size = 16 if tdes else len(self._initial_key)
        algorithm = 0 if tdes else _AES_ALGORITHMS[size]
        return _derive(
            self.derivation_key(counter), _derivation_head(usage, algorithm, size) + self._tail(counter), size
        )

    def _tail(self, counter: int) -> bytes:
        return self._id[-4:] + counter.to_bytes(4, "big")


_AES_ALGORITHMS: Final = {16: 2, 24: 3, 32: 4}


def _derivation_head(usage: AesUsage, algorithm: int, size: int) -> bytes:
    """Return version, block number, usage, algorithm and key length in bits; the block number counts up."""
    return bytes((1, 1)) + usage.to_bytes(2, "big") + algorithm.to_bytes(2, "big") + (size * 8).to_bytes(2, "big")


def _derive(key: bytes, data: bytes, size: int) -> bytes:
    blocks = b"".join(bytes((data[0], number)) + data[2:] for number in range(1, -(-size // 16) + 1))
    return Cipher.AES.encrypt(key, blocks)[:size]
