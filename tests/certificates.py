"""Certificates for tests: an authority of one's own, and who it vouches for at this machine."""

from __future__ import annotations

import datetime
import ipaddress
from pathlib import Path
from typing import Final, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_HERE: Final = (x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName("localhost"))


class Issued(NamedTuple):
    """A certificate and its key, and the files they are in."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey
    file: Path
    key_file: Path


def certificate(folder: Path, name: str, issuer: Issued | None = None) -> Issued:
    """Make a certificate for this machine, or an authority where nobody issues it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(_HERE), critical=False)
        .sign(issuer.key if issuer else key, hashes.SHA256())
    )
    issued = Issued(made, key, folder / f"{name}.pem", folder / f"{name}.key")
    issued.file.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    issued.key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return issued
