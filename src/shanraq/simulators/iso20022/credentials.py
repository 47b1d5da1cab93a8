"""Who takes part: the clearing system and its participants, with keys and certificates of a test authority."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, Self

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from shanraq.standards.iso20022.identifiers import bic_fault
from shanraq.standards.iso20022.signatures import Sender, SenderKind, SoftwareSigner, TrustStore

_VALID: Final = timedelta(days=3650)


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """A party that signs: its BIC, its key and certificate (PEM), and the token it shows."""

    bic: str
    token: str
    key: str
    certificate: str

    def __repr__(self) -> str:
        return f"Member({self.bic})"

    @property
    def signer(self) -> SoftwareSigner:
        """Return what signs for it. Raises SigningError."""
        return SoftwareSigner.from_pem(self.key.encode(), self.certificate.encode())


class _Stored(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    authority: str
    clearing: Member
    participants: list[Member]


@dataclass(frozen=True)
class ClearingCredentials:
    """The test authority's certificate (PEM), the clearing system, and the participants by BIC."""

    authority: str
    clearing: Member
    participants: Mapping[str, Member] = field(default_factory=dict)

    @classmethod
    def generate(cls, bic: str = "SHRQKZKX", clearing_bic: str = "CLRGKZKX", others: tuple[str, ...] = ()) -> Self:
        """Make fresh P-256 keys and certificates for a participant, the clearing system and further participants."""
        now = datetime.now(UTC)
        key = ec.generate_private_key(ec.SECP256R1())
        name = _name("Clearing simulator test authority")
        authority = (
            _builder(name, name, key.public_key(), now)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
            .sign(key, hashes.SHA256())
        )

        def member(of: str) -> Member:
            own = ec.generate_private_key(ec.SECP256R1())
            certificate = (
                _builder(_name(of), name, own.public_key(), now)
                .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
                .add_extension(_usage(signs_certificates=False), critical=True)
                .sign(key, hashes.SHA256())
            )
            return Member(bic=of, token=secrets.token_urlsafe(24), key=_pem_key(own), certificate=_pem(certificate))

        members = [member(each) for each in (bic, *others)]
        return cls(_pem(authority), member(clearing_bic), {each.bic: each for each in members})

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a set from a JSON file. Raises OSError, ValueError."""
        try:
            stored = msgspec.json.decode(path.read_bytes(), type=_Stored)
        except msgspec.MsgspecError:
            # The original error is dropped on purpose: it could show a key.
            raise ValueError(f"credentials: {path} is not a set of the clearing simulator") from None
        for member in (stored.clearing, *stored.participants):
            if bic_fault(member.bic) is not None:
                raise ValueError(f"credentials: {member.bic} is not a BIC")
        return cls(stored.authority, stored.clearing, {each.bic: each for each in stored.participants})

    def save(self, path: Path) -> None:
        """Write the set to a JSON file that only its owner may read, replacing it as a whole."""
        stored = _Stored(
            authority=self.authority, clearing=self.clearing, participants=list(self.participants.values())
        )
        beside = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(msgspec.to_builtins(stored), file, indent=2)
            file.write("\n")
        beside.replace(path)

    def trust_of_clearing(self) -> TrustStore:
        """Return whom the clearing system believes: its participants, each for its own BIC."""
        return self._trust(self.participants.values())

    def trust_of_participant(self) -> TrustStore:
        """Return whom a participant believes: the clearing system."""
        return self._trust([self.clearing])

    def _trust(self, members: object) -> TrustStore:
        assert not isinstance(members, str)
        return TrustStore(
            [x509.load_pem_x509_certificate(self.authority.encode())],
            {
                Sender.of(SenderKind.BIC, member.bic): [x509.load_pem_x509_certificate(member.certificate.encode())]
                for member in members  # type: ignore[attr-defined]
            },
        )


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + _VALID)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _pem_key(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
