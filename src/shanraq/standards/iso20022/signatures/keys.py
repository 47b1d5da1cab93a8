"""Keys to sign with, behind an interface that an HSM can implement; in software for the sandbox."""

from __future__ import annotations

from typing import Final, Protocol

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from shanraq.standards.iso20022.signatures.algorithms import (
    Algorithm,
    check_key_fits,
    ecdsa_hash,
    ecdsa_size,
    rsa_padding,
)
from shanraq.standards.iso20022.signatures.errors import AlgorithmError, SigningError, WeakAlgorithmError

SigningKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


class Signer(Protocol):
    """One key with its certificate. The key itself never leaves an HSM; what it signs is the SignedInfo, about one kilobyte."""

    @property
    def certificate(self) -> x509.Certificate:
        """Return the certificate of the key."""

    @property
    def algorithm(self) -> Algorithm:
        """Return the algorithm that the key signs with."""

    def sign(self, data: bytes) -> bytes:
        """Return the signature over the bytes themselves, hashed by the algorithm; raise SigningError.

        ECDSA is r and s side by side in full length (PKCS #11's form), not DER.
        """


class SoftwareSigner:
    """A key in memory, for the sandbox and tests: it protects nothing from who can read this process."""

    def __init__(self, key: SigningKey, certificate: x509.Certificate, algorithm: Algorithm | None = None) -> None:
        """Take a key with its certificate; without an algorithm RSA signs with PKCS #1 v1.5. Raises SigningError."""
        if _spki(key.public_key()) != _spki(certificate.public_key()):
            raise SigningError("the certificate is of another key", hint="give the certificate that was issued for it")
        algorithm = algorithm or _natural_algorithm(key)
        try:
            check_key_fits(algorithm, key.public_key())
        except (AlgorithmError, WeakAlgorithmError) as error:
            raise SigningError(error.message, hint=error.hint) from None
        self._key: Final = key
        self._certificate: Final = certificate
        self._algorithm: Final = algorithm

    def __repr__(self) -> str:
        return f"SoftwareSigner({self._certificate.subject.rfc4514_string()!r}, {self._algorithm.name})"

    @classmethod
    def from_pem(
        cls, key: bytes, certificate: bytes, *, password: bytes | None = None, algorithm: Algorithm | None = None
    ) -> SoftwareSigner:
        """Take a private key (PKCS #8) and a certificate in PEM; raise SigningError."""
        try:
            loaded = serialization.load_pem_private_key(key, password)
            issued = x509.load_pem_x509_certificate(certificate)
        except (ValueError, TypeError):
            raise SigningError(
                "the key or the certificate cannot be read", hint="give PEM, and the password if the key has one"
            ) from None
        if not isinstance(loaded, SigningKey):
            raise SigningError("the key is of a kind that is not signed with", hint="use RSA, P-256, P-384 or Ed25519")
        return cls(loaded, issued, algorithm)

    @property
    def certificate(self) -> x509.Certificate:
        """Return the certificate of the key."""
        return self._certificate

    @property
    def algorithm(self) -> Algorithm:
        """Return the algorithm that the key signs with."""
        return self._algorithm

    def sign(self, data: bytes) -> bytes:
        """Return the signature over the bytes; ECDSA as r and s side by side."""
        match self._key:
            case rsa.RSAPrivateKey() as key:
                return key.sign(data, rsa_padding(self._algorithm), hashes.SHA256())
            case ec.EllipticCurvePrivateKey() as key:
                r, s = decode_dss_signature(key.sign(data, ec.ECDSA(ecdsa_hash(self._algorithm))))
                size = ecdsa_size(self._algorithm)
                return r.to_bytes(size) + s.to_bytes(size)
            case ed25519.Ed25519PrivateKey() as key:
                return key.sign(data)


def _natural_algorithm(key: SigningKey) -> Algorithm:
    match key:
        case rsa.RSAPrivateKey():
            return Algorithm.RSA_SHA256
        case ec.EllipticCurvePrivateKey():
            return Algorithm.ECDSA_SHA384 if key.curve.key_size == 384 else Algorithm.ECDSA_SHA256
        case ed25519.Ed25519PrivateKey():
            return Algorithm.ED25519


def _spki(key: object) -> bytes:
    return key.public_bytes(  # type: ignore[attr-defined,no-any-return] # every public key of the library has it
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
