"""RSA keys and the two signature methods: RSA-SHA256 (PKCS#1 v1.5) and RSA-PSS (MGF1 with SHA-256, a salt of 32 bytes)."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, PSS, AsymmetricPadding, PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256

_SMALLEST_RSA_BITS: Final = 2048
_SALT_BYTES: Final = 32
_HASH: Final = SHA256()


class SignatureMethod(StrEnum):
    """The values of `oauth_signature_method` that exist here."""

    RSA_SHA256 = "RSA-SHA256"
    RSA_PSS = "RSA-PSS"


_PADDINGS: Final[dict[SignatureMethod, AsymmetricPadding]] = {
    SignatureMethod.RSA_SHA256: PKCS1v15(),
    SignatureMethod.RSA_PSS: PSS(mgf=MGF1(_HASH), salt_length=_SALT_BYTES),
}


class SigningKey:
    """Signs with one method; raises ValueError for a key of less than 2048 bits."""

    __slots__ = ("_key", "method")

    def __init__(self, key: RSAPrivateKey, method: SignatureMethod) -> None:
        _check_size(key.key_size)
        self.method = method
        self._key = key

    def sign(self, text: bytes) -> bytes:
        """Return a signature as long as the key's modulus."""
        return self._key.sign(text, _PADDINGS[self.method], _HASH)


class VerificationKey:
    """Checks signatures of the given methods only; raises ValueError for a key of less than 2048 bits."""

    __slots__ = ("_key", "methods")

    def __init__(self, key: RSAPublicKey, methods: Iterable[SignatureMethod]) -> None:
        _check_size(key.key_size)
        self.methods = frozenset(methods)
        self._key = key

    def verifies(self, text: bytes, signature: bytes, method: SignatureMethod) -> bool:
        """Tell whether the signature is of the private key of this one, made with a method that is allowed."""
        if method not in self.methods:
            return False
        try:
            self._key.verify(signature, text, _PADDINGS[method], _HASH)
        except InvalidSignature:
            return False
        return True


def _check_size(bits: int) -> None:
    if bits < _SMALLEST_RSA_BITS:
        raise ValueError(f"an RSA key needs {_SMALLEST_RSA_BITS} bits or more, this one has {bits}")
