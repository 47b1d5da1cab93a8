"""Whom to believe: anchors, intermediates, revocation lists, and which certificate may sign for which sender.

Only a certificate that the trust list names can sign: one that comes along in a message is compared with the list, never
believed. Paths are built here and not by the verifier of `cryptography`, which refuses authorities with Ed25519 keys and tells
why it refuses in words only, not whether a certificate is expired, of the wrong usage or without a path. Signatures of
certificates and lists are checked by that library.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, ObjectIdentifier

from shanraq.standards.iso20022.signatures.algorithms import check_key
from shanraq.standards.iso20022.signatures.errors import (
    CertificateExpiredError,
    CertificateNotYetValidError,
    CertificatePathError,
    CertificateRevokedError,
    CertificateUsageError,
    RevocationUnknownError,
    SenderNotAllowedError,
    SenderUnknownError,
    SignatureError,
    TrustError,
    UntrustedCertificateError,
    WeakAlgorithmError,
)

_PATH_LONGEST: Final = 6
_HASHES: Final = (hashes.SHA256, hashes.SHA384, hashes.SHA512)
_UNDERSTOOD: Final = frozenset({
    x509.BasicConstraints.oid, x509.KeyUsage.oid, x509.ExtendedKeyUsage.oid, x509.SubjectAlternativeName.oid,
    x509.CertificatePolicies.oid,
})  # fmt: skip
_DOCUMENT_SIGNING: Final = ObjectIdentifier("1.3.6.1.5.5.7.3.36")  # RFC 9336
_PURPOSES: Final = frozenset({
    ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE, ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.EMAIL_PROTECTION,
    _DOCUMENT_SIGNING,
})  # fmt: skip
_COMPROMISED: Final = frozenset({
    x509.ReasonFlags.key_compromise, x509.ReasonFlags.ca_compromise, x509.ReasonFlags.aa_compromise,
})  # fmt: skip


class SenderKind(StrEnum):
    """By what a sender is known: BIC, LEI, member id of a clearing system, or another identifier such as a BIN."""

    BIC = "bic"
    LEI = "lei"
    MEMBER = "member"
    ID = "id"


@dataclass(frozen=True, slots=True, order=True)
class Sender:
    """Who sent a message. BICs of a head office are one with and without XXX (ISO 9362)."""

    kind: SenderKind
    value: str

    @classmethod
    def of(cls, kind: SenderKind, value: str) -> Sender:
        """Return the sender of an identifier as it is written."""
        return cls(kind, value.removesuffix("XXX") if kind is SenderKind.BIC and len(value) == 11 else value)

    def __str__(self) -> str:
        return f"{self.kind.value}:{self.value}"


@dataclass(frozen=True, slots=True)
class TrustedSigner:
    """A certificate that was found to be right for a sender at a time."""

    sender: Sender
    certificate: x509.Certificate
    key: PublicKeyTypes


class TrustStore:
    """Certificates, revocation lists and senders; it does not change, so load a new one when the list changes."""

    def __init__(
        self,
        anchors: Iterable[x509.Certificate],
        senders: Mapping[Sender, Iterable[x509.Certificate]],
        *,
        intermediates: Iterable[x509.Certificate] = (),
        revocation_lists: Iterable[x509.CertificateRevocationList] = (),
        revocation_required: bool = False,
    ) -> None:
        """Take what is trusted; raise TrustError.

        With `revocation_required` a certificate whose issuer has no revocation list here is refused. Without, lists that are
        here must still be right and fresh.
        """
        self._anchors: Final = tuple(anchors)
        self._authorities: Final = (*self._anchors, *intermediates)
        self._lists: Final = tuple(revocation_lists)
        self._revocation_required: Final = revocation_required
        if not self._anchors:
            raise TrustError("there is no trust anchor", hint="name the certificate of the authority in trust_anchor")
        allowed: dict[Sender, frozenset[bytes]] = {}
        known: dict[bytes, x509.Certificate] = {}
        for sender, certificates in senders.items():
            listed = {certificate.fingerprint(hashes.SHA256()): certificate for certificate in certificates}
            allowed[sender] = allowed.get(sender, frozenset()) | listed.keys()
            known |= listed
        self._allowed: Final = allowed
        self._known: Final = known
        self._keys: Final[dict[bytes, PublicKeyTypes]] = {}
        self._paths: Final[dict[bytes, tuple[x509.Certificate, ...]]] = {}

    @classmethod
    def from_json(cls, data: bytes, read: Callable[[str], bytes]) -> TrustStore:
        """Return the store that a trust list describes; `read` gives the bytes of a file it names. Raises TrustError.

        Keys: trust_anchor (a name, or several), intermediates, revocation_lists, revocation ("required" or "when-available"),
        senders: [{bic | lei | member | id, certificates}]. Certificates and lists are PEM or DER.
        """
        try:
            listed = json.loads(data)
            unknown = listed.keys() - _KEYS
            if unknown:
                raise TrustError(f"the trust list has unknown keys: {', '.join(sorted(unknown))}", hint="correct them")
            revocation = listed.get("revocation", "when-available")
            if revocation not in ("required", "when-available"):
                raise TrustError("revocation is neither required nor when-available", hint="correct the trust list")
            senders: dict[Sender, list[x509.Certificate]] = {}
            for entry in listed["senders"]:
                for sender in _senders_of(entry):
                    senders.setdefault(sender, []).extend(_certificate(name, read) for name in entry["certificates"])
            return cls(
                [_certificate(name, read) for name in _names(listed["trust_anchor"])],
                senders,
                intermediates=[_certificate(name, read) for name in listed.get("intermediates", ())],
                revocation_lists=[_revocation_list(name, read) for name in listed.get("revocation_lists", ())],
                revocation_required=revocation == "required",
            )
        except (KeyError, TypeError, AttributeError, UnicodeDecodeError, json.JSONDecodeError) as error:
            raise TrustError(
                f"the trust list cannot be read ({type(error).__name__})",
                hint='it is JSON: {"trust_anchor": FILE, "senders": [{"bic": BIC, "certificates": [FILE]}]}',
            ) from None

    def find(self, matches: Callable[[x509.Certificate], bool]) -> x509.Certificate:
        """Return the one listed certificate that matches; raise UntrustedCertificateError."""
        found = [certificate for certificate in self._known.values() if matches(certificate)]
        if len(found) != 1:
            raise UntrustedCertificateError(
                "no certificate of the trust list, or more than one, has this name and number"
            )
        return found[0]

    def check(self, certificate: x509.Certificate, *, senders: Iterable[Sender], as_of: datetime) -> TrustedSigner:
        """Return the signer when the certificate may sign for the sender at this time; raise a TrustError of any kind.

        `senders` are all identifiers of the one sender: each that is listed must be listed with this certificate, and one must
        be listed. Raises WeakAlgorithmError for a weak key on the way to the anchor.
        """
        fingerprint = certificate.fingerprint(hashes.SHA256())
        if fingerprint not in self._known:
            raise UntrustedCertificateError("the certificate is not on the trust list")
        sender = self._allow(fingerprint, tuple(senders))
        path = self._path(fingerprint)
        for position, each in enumerate(path):
            _check_validity(each, as_of)
            if position + 1 < len(path):
                self._check_revocation(each, path[position + 1], as_of)
        return TrustedSigner(sender, path[0], self._keys[fingerprint])

    def _allow(self, fingerprint: bytes, senders: tuple[Sender, ...]) -> Sender:
        listed = [sender for sender in senders if sender in self._allowed]
        if not listed:
            raise SenderUnknownError("the sender of the message is not on the trust list")
        for sender in listed:
            if fingerprint not in self._allowed[sender]:
                raise SenderNotAllowedError("the certificate may not sign for the sender of the message")
        return listed[0]

    def _path(self, fingerprint: bytes) -> tuple[x509.Certificate, ...]:
        if (known := self._paths.get(fingerprint)) is not None:
            return known
        leaf = self._known[fingerprint]
        key = _public_key(leaf)
        _check_leaf(leaf)
        path = self._climb((leaf,))
        self._keys[fingerprint] = key
        self._paths[fingerprint] = path
        return path

    def _climb(self, path: tuple[x509.Certificate, ...]) -> tuple[x509.Certificate, ...]:
        # Depth first: there are few authorities, and most names have one. What is wrong with one way must not close another.
        last = path[-1]
        if last in self._anchors:
            return path
        refusal: SignatureError = CertificatePathError("no path leads from the certificate to a trust anchor")
        for authority in self._authorities if len(path) < _PATH_LONGEST else ():
            if authority in path or authority.subject != last.issuer:
                continue
            try:
                _check_issued(last, authority)
                _check_authority(authority, below=len(path) - 1)
                return self._climb((*path, authority))
            except SignatureError as error:
                refusal = error
        raise refusal

    def _check_revocation(self, certificate: x509.Certificate, issuer: x509.Certificate, as_of: datetime) -> None:
        lists = [each for each in self._lists if each.issuer == issuer.subject]
        current = [each for each in lists if _is_fresh(each, as_of) and _signed_list(each, issuer)]
        if not current and (lists or self._revocation_required):
            why = "is not fresh or not rightly signed" if lists else "is not here, and the trust list requires one"
            raise RevocationUnknownError(f"the revocation list of the certificate's issuer {why}")
        for each in current:
            entry = each.get_revoked_certificate_by_serial_number(certificate.serial_number)
            if entry is not None and (entry.revocation_date_utc <= as_of or _reason(entry) in _COMPROMISED):
                raise CertificateRevokedError("the certificate is revoked")


_KEYS: Final = frozenset({"trust_anchor", "intermediates", "revocation_lists", "revocation", "senders"})


def _senders_of(entry: Mapping[str, Any]) -> list[Sender]:
    if unknown := entry.keys() - {"certificates", *SenderKind}:
        raise TrustError(f"a sender has unknown keys: {', '.join(sorted(unknown))}", hint="correct the trust list")
    senders = [Sender.of(kind, entry[kind.value]) for kind in SenderKind if kind.value in entry]
    if not senders:
        raise TrustError("a sender has no identifier", hint="give bic, lei, member or id")
    return senders


def _names(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def _certificate(name: str, read: Callable[[str], bytes]) -> x509.Certificate:
    data = read(name)
    try:
        if b"-----BEGIN" in data:
            return x509.load_pem_x509_certificate(data)
        return x509.load_der_x509_certificate(data)
    except ValueError:
        raise TrustError(f"{name} is no certificate", hint="give one X.509 certificate in PEM or DER") from None


def _revocation_list(name: str, read: Callable[[str], bytes]) -> x509.CertificateRevocationList:
    data = read(name)
    try:
        if b"-----BEGIN" in data:
            return x509.load_pem_x509_crl(data)
        return x509.load_der_x509_crl(data)
    except ValueError:
        raise TrustError(f"{name} is no revocation list", hint="give one X.509 CRL in PEM or DER") from None


def _public_key(certificate: x509.Certificate) -> PublicKeyTypes:
    try:
        key = certificate.public_key()
    except (ValueError, UnsupportedAlgorithm):
        raise WeakAlgorithmError("the certificate has a key of a kind that is not known") from None
    check_key(key)
    return key


def _extension(certificate: x509.Certificate, kind: type[x509.ExtensionType]) -> Any:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def _check_extensions(certificate: x509.Certificate) -> None:
    try:
        extensions = certificate.extensions
    except (ValueError, x509.DuplicateExtension):
        raise CertificateUsageError("the extensions of a certificate cannot be read") from None
    if any(extension.critical and extension.oid not in _UNDERSTOOD for extension in extensions):
        raise CertificateUsageError("a certificate has a critical extension that is not understood (RFC 5280, 4.2)")


def _check_leaf(certificate: x509.Certificate) -> None:
    _check_extensions(certificate)
    usage: x509.KeyUsage | None = _extension(certificate, x509.KeyUsage)
    if usage is None or not usage.digital_signature:
        raise CertificateUsageError("the key usage of the certificate does not have digitalSignature")
    constraints: x509.BasicConstraints | None = _extension(certificate, x509.BasicConstraints)
    if constraints is not None and constraints.ca:
        raise CertificateUsageError("the certificate is one of an authority, which signs certificates, not messages")
    purposes: x509.ExtendedKeyUsage | None = _extension(certificate, x509.ExtendedKeyUsage)
    if purposes is not None and not _PURPOSES & set(purposes):
        raise CertificateUsageError("the extended key usage of the certificate has no purpose of signing")


def _check_authority(certificate: x509.Certificate, *, below: int) -> None:
    _public_key(certificate)
    _check_extensions(certificate)
    constraints: x509.BasicConstraints | None = _extension(certificate, x509.BasicConstraints)
    if constraints is None or not constraints.ca:
        raise CertificatePathError("the certificate was issued by one that is no authority (RFC 5280, 4.2.1.9)")
    if constraints.path_length is not None and below > constraints.path_length:
        raise CertificatePathError("the path is longer than an authority on it allows (RFC 5280, 4.2.1.9)")
    usage: x509.KeyUsage | None = _extension(certificate, x509.KeyUsage)
    if usage is not None and not usage.key_cert_sign:
        raise CertificatePathError("the key usage of an authority on the path does not have keyCertSign")


def _check_issued(certificate: x509.Certificate, issuer: x509.Certificate) -> None:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        raise CertificatePathError("a certificate was not signed by the authority it names") from None
    if not _strong_hash(certificate.signature_hash_algorithm, issuer):
        raise WeakAlgorithmError("a certificate on the path is signed with a weak hash")


def _strong_hash(algorithm: hashes.HashAlgorithm | None, issuer: x509.Certificate) -> bool:
    if algorithm is None:
        return isinstance(issuer.public_key(), ed25519.Ed25519PublicKey)
    return isinstance(algorithm, _HASHES)


def _check_validity(certificate: x509.Certificate, as_of: datetime) -> None:
    if as_of < certificate.not_valid_before_utc:
        raise CertificateNotYetValidError("a certificate is not valid yet")
    if as_of > certificate.not_valid_after_utc:
        raise CertificateExpiredError("a certificate is expired")


def _signed_list(revoked: x509.CertificateRevocationList, issuer: x509.Certificate) -> bool:
    usage: x509.KeyUsage | None = _extension(issuer, x509.KeyUsage)
    if usage is not None and not usage.crl_sign:
        return False
    key = issuer.public_key()
    if not isinstance(key, (rsa.RSAPublicKey, ec.EllipticCurvePublicKey, ed25519.Ed25519PublicKey)):
        return False
    try:
        strong = _strong_hash(revoked.signature_hash_algorithm, issuer)
        # A critical extension limits the list to some certificates or makes it a difference of lists (RFC 5280, 5.2).
        return strong and not any(each.critical for each in revoked.extensions) and revoked.is_signature_valid(key)
    except (ValueError, TypeError, UnsupportedAlgorithm, x509.DuplicateExtension):
        return False


def _is_fresh(revoked: x509.CertificateRevocationList, as_of: datetime) -> bool:
    until = revoked.next_update_utc
    return until is not None and revoked.last_update_utc <= as_of <= until


def _reason(entry: x509.RevokedCertificate) -> x509.ReasonFlags | None:
    try:
        return entry.extensions.get_extension_for_class(x509.CRLReason).value.reason
    except (ValueError, x509.ExtensionNotFound):
        return None
