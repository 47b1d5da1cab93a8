"""The TLS port: a client certificate is asked for, not required; without a certificate of one's own an authority makes one."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from shanraq.simulators.visa.credentials import serial_number_of, write_private

_AUTHORITY_DAYS: Final = 10 * 365
_CERTIFICATE_DAYS: Final = 825
_CRITICAL: Final = (x509.BasicConstraints, x509.KeyUsage)
_SIGNS_CERTIFICATES: Final = x509.KeyUsage(
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


def server_context(certificate: Path, key: Path, client_authority: str = "") -> ssl.SSLContext:
    """Make the context of a TLS port; `client_authority` (PEM) vouches for the certificates that clients may show.

    A client without a certificate is served, one whose certificate nobody vouches for is not. Raises OSError or ValueError.
    """
    for file in (certificate, key):
        # OpenSSL does not say which file it is that it cannot read.
        file.read_bytes()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(certificate, key)
    except ssl.SSLError as error:
        raise ValueError(f"{certificate} and {key} are not a certificate and its key: {error.reason}") from None
    if client_authority:
        try:
            context.load_verify_locations(cadata=client_authority)
        except (ssl.SSLError, ValueError):
            raise ValueError("credentials: client_ca is not a certificate in PEM") from None
        # The authority may itself be vouched for by another one that clients do not send.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        context.verify_mode = ssl.CERT_OPTIONAL
    return context


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate and its private key."""

    certificate: x509.Certificate
    key: PrivateKey

    @property
    def certificate_pem(self) -> bytes:
        """The certificate in PEM."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        """The private key in PEM (PKCS#8), without a password."""
        return self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    @property
    def serial_number(self) -> str:
        """The serialNumber attribute of the subject."""
        return serial_number_of(self.certificate)

    def write(self, certificate: Path, key: Path) -> None:
        """Write both files; only their owner may read the key."""
        write_private(key, self.key_pem)
        certificate.write_bytes(self.certificate_pem)


class Authority:
    """A certificate authority of the simulator's own."""

    def __init__(self, issued: Issued) -> None:
        self._issued = issued

    @classmethod
    def kept_in(cls, folder: Path, name: str, common_name: str) -> Self:
        """Return the authority kept in a folder as `<name>.pem` and `<name>-key.pem`; make and write it when there is none.

        Raises OSError, or ValueError for files that are not an authority.
        """
        certificate_file, key_file = folder / f"{name}.pem", folder / f"{name}-key.pem"
        if not certificate_file.exists():
            extensions = (x509.BasicConstraints(ca=True, path_length=0), _SIGNS_CERTIFICATES)
            key = ec.generate_private_key(ec.SECP256R1())
            issued = _make(_name(common_name), key, _AUTHORITY_DAYS, extensions)
            issued.write(certificate_file, key_file)
            return cls(issued)
        try:
            certificate = x509.load_pem_x509_certificate(certificate_file.read_bytes())
            kept = serialization.load_pem_private_key(key_file.read_bytes(), None)
        except (ValueError, TypeError):
            raise ValueError(f"{certificate_file} and {key_file} are not an authority") from None
        if not isinstance(kept, PrivateKey) or kept.public_key() != certificate.public_key():
            raise ValueError(f"{certificate_file} and {key_file} are not of one pair")
        return cls(Issued(certificate, kept))

    @property
    def certificate_pem(self) -> bytes:
        """The certificate of the authority in PEM, for those who shall believe it."""
        return self._issued.certificate_pem

    def issue_server(self, names: Iterable[str]) -> Issued:
        """Issue a certificate for host names and addresses."""
        alternative_names = x509.SubjectAlternativeName([_general_name(name) for name in dict.fromkeys(names)])
        return self._issue("Visa simulator", ExtendedKeyUsageOID.SERVER_AUTH, alternative_names)

    def issue_client(self, common_name: str) -> Issued:
        """Issue a certificate for a client."""
        return self._issue(common_name, ExtendedKeyUsageOID.CLIENT_AUTH)

    def _issue(self, common_name: str, usage: x509.ObjectIdentifier, *more: x509.ExtensionType) -> Issued:
        extensions = (x509.BasicConstraints(ca=False, path_length=None), x509.ExtendedKeyUsage([usage]), *more)
        key = ec.generate_private_key(ec.SECP256R1())
        return _make(_name(common_name), key, _CERTIFICATE_DAYS, extensions, self._issued)


def self_signed(common_name: str, serial_number: str) -> Issued:
    """Make an RSA key and a certificate whose subject has a common name and a serialNumber, as the gateway's users have."""
    return _make(_name(common_name, serial_number), rsa.generate_private_key(65537, 2048), _CERTIFICATE_DAYS, ())


def _name(common_name: str, serial_number: str = "") -> x509.Name:
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, common_name)]
    if serial_number:
        attributes.append(x509.NameAttribute(NameOID.SERIAL_NUMBER, serial_number))
    return x509.Name(attributes)


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _make(
    subject: x509.Name,
    key: PrivateKey,
    days: int,
    extensions: Iterable[x509.ExtensionType],
    issuer: Issued | None = None,
) -> Issued:
    now = datetime.datetime.now(datetime.UTC)
    signing_key = issuer.key if issuer is not None else key
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer is not None else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        # A client's clock may be behind.
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signing_key.public_key()),
            critical=False,
        )
    )
    for extension in extensions:
        builder = builder.add_extension(extension, critical=isinstance(extension, _CRITICAL))
    return Issued(builder.sign(signing_key, hashes.SHA256()), key)
