"""The keys and certificates of a merchant: what a P12 or PEM file holds, read once and imported once.

Errors are InvalidInputErrors that name no content of a file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key, pkcs12
from cryptography.x509.oid import NameOID, ObjectIdentifier

from shanraq.adapters.visa.mle import GATEWAY_NAME
from shanraq.core.errors import InvalidInputError
from shanraq.core.secret import Secret
from shanraq.standards import jose


@dataclass(frozen=True, slots=True)
class MerchantKey:
    """The key of a P12 file and the certificate that names it; `others` are the further certificates of the file."""

    key: jose.RsaSigningKey
    key_id: str
    certificate: x509.Certificate
    others: tuple[x509.Certificate, ...]


def read_p12(content: bytes, password: Secret, name: str) -> MerchantKey:
    """Read the key of `name` (merchant, or portfolio with MetaKey); raises InvalidInputError."""
    try:
        bundle = pkcs12.load_pkcs12(content, password.reveal().encode() or None)
    except ValueError:
        raise InvalidInputError("is no P12 file, or the password is another one", field="p12_file") from None
    if not isinstance(bundle.key, RSAPrivateKey):
        raise InvalidInputError("holds no RSA key", field="p12_file")
    certificates = [one.certificate for one in (bundle.cert, *bundle.additional_certs) if one is not None]
    public = bundle.key.public_key().public_numbers()
    named = [one for one in certificates if _name(one, NameOID.COMMON_NAME).lower() == name.lower()]
    own = [one for one in named if isinstance(key := one.public_key(), RSAPublicKey) and key.public_numbers() == public]
    if not own:
        raise InvalidInputError(f"holds no certificate of its key with the CN {name}", field="p12_file")
    return MerchantKey(
        _signing_key(bundle.key), _serial_number(own[0], "p12_file"), own[0], tuple(set(certificates) - {own[0]})
    )


def _signing_key(key: RSAPrivateKey) -> jose.RsaSigningKey:
    try:
        return jose.RsaSigningKey(key)
    except ValueError as error:
        raise InvalidInputError(str(error), field="p12_file") from None


def read_certificates(pem: bytes, field: str) -> list[x509.Certificate]:
    """Read the certificates of a PEM file; raises InvalidInputError."""
    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError:
        raise InvalidInputError("holds no certificate in PEM", field=field) from None


def request_certificate(
    certificates: Sequence[x509.Certificate], field: str, name: str = GATEWAY_NAME, *, exact: bool = False
) -> x509.Certificate:
    """Choose the certificate that requests are encrypted to: the one with the CN `name`, else the first unless `exact`."""
    for certificate in certificates:
        if _name(certificate, NameOID.COMMON_NAME).lower() == name.lower():
            return certificate
    if exact or not certificates:
        raise InvalidInputError(f"holds no certificate with the CN {name}", field=field)
    return certificates[0]


def encryption_key(certificate: x509.Certificate, field: str) -> jose.EncryptionKey:
    """Import the key of the gateway's certificate; raises InvalidInputError."""
    key = certificate.public_key()
    if not isinstance(key, RSAPublicKey):
        raise InvalidInputError("holds no RSA certificate", field=field)
    try:
        return jose.EncryptionKey(_serial_number(certificate, field), key)
    except ValueError as error:
        raise InvalidInputError(str(error), field=field) from None


def decryption_key(pem: bytes, field: str) -> jose.DecryptionKey:
    """Import the private key that replies are encrypted to; raises InvalidInputError."""
    try:
        key = load_pem_private_key(pem, None)
        if not isinstance(key, RSAPrivateKey):
            raise InvalidInputError("holds no RSA key", field=field)
        return jose.DecryptionKey(key)
    except (ValueError, TypeError):
        # The original error is dropped on purpose: it could show what the file holds.
        raise InvalidInputError("holds no private key in PEM without a password", field=field) from None


def _serial_number(certificate: x509.Certificate, field: str) -> str:
    number = _name(certificate, NameOID.SERIAL_NUMBER)
    if not number:
        raise InvalidInputError("has a certificate without a serialNumber in its subject", field=field)
    return number


def _name(certificate: x509.Certificate, kind: ObjectIdentifier) -> str:
    attributes = certificate.subject.get_attributes_for_oid(kind)
    return str(attributes[0].value) if attributes else ""
