"""Verify a signed message of a profile; hand out only what was parsed from the bytes that were digested."""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from lxml import etree

from shanraq.standards.iso20022.identify import Header
from shanraq.standards.iso20022.parse import Limits
from shanraq.standards.iso20022.paths import local_name
from shanraq.standards.iso20022.signatures.algorithms import Canonicalization, check_signature, digest
from shanraq.standards.iso20022.signatures.body import Body, canonicalize, parse_small, read_body
from shanraq.standards.iso20022.signatures.errors import (
    CertificateExpiredError,
    CertificateNotYetValidError,
    DigestMismatchError,
    ReplayError,
    SenderUnknownError,
    SigningTimeError,
)
from shanraq.standards.iso20022.signatures.place import check_place, cut_signature, in_context
from shanraq.standards.iso20022.signatures.profiles import Profile, Target
from shanraq.standards.iso20022.signatures.structure import Structure, read_structure, read_time
from shanraq.standards.iso20022.signatures.trust import Sender, SenderKind, TrustedSigner, TrustStore

CLOCK_TOLERANCE: Final = timedelta(minutes=5)
DEFAULT_LIMITS: Final = Limits(size_bytes=128 * 1024 * 1024)
_SIGNATURE_LIMITS: Final = Limits(size_bytes=64 * 1024, depth=16, elements=200, attributes=4, namespaces=64)
_MESSAGE_ID: Final = re.compile(r"\S.{0,63}", re.DOTALL)


class ReplayGuard(Protocol):
    """Remembers messages; the caller implements it over storage that all processes share."""

    def remember(self, sender: Sender, business_message_id: str, message_digest: bytes) -> bool:
        """Keep the message and return True when it is the sender's first of this id; else return False.

        It must be one step of the storage, such as an insert under a unique key: two processes may ask at once.
        """


class MemoryReplayGuard:
    """A guard in memory, for the sandbox and tests: it forgets when the process ends, and never before."""

    def __init__(self) -> None:
        self._seen: set[tuple[Sender, str]] = set()

    def remember(self, sender: Sender, business_message_id: str, message_digest: bytes) -> bool:
        """Keep the message and return True when it is the sender's first of this id; else return False."""
        key = (sender, business_message_id)
        if key in self._seen:
            return False
        self._seen.add(key)
        return True


@dataclass(frozen=True, slots=True)
class Verified:
    """A message whose signature holds.

    `header` and `document` stand in a tree parsed from `canonical`, the very bytes that were digested; `header` is None
    where there is none, and has no Sgntr. `fields` is what the header says. `signed_at` is the time that the signer claims:
    SigningTime, else the header's CreDt; None when that has no offset.
    """

    header: etree._Element | None
    document: etree._Element
    fields: Header
    signer: TrustedSigner
    signed_at: datetime | None
    canonical: bytes
    message_digest: bytes

    @property
    def sender(self) -> Sender:
        """Return who signed, as the trust list knows him."""
        return self.signer.sender

    @property
    def certificate(self) -> x509.Certificate:
        """Return the certificate of the signer."""
        return self.signer.certificate

    @property
    def business_message_id(self) -> str:
        """Return BizMsgIdr, or the message's own id where there is no header; with the sender it makes a message unique."""
        return self.fields.business_message_id if self.header is not None else _own_id(self.document)


def verify(
    data: bytes,
    *,
    trust: TrustStore,
    profile: Profile,
    as_of: datetime,
    sender: Sender | None = None,
    replays: ReplayGuard | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> Verified:
    """Return the message when its signature has the form of the profile, holds, and is of a signer who is believed.

    `as_of` is the time to judge certificates at, with an offset. `sender` is who sent a message without a header; with one it
    must agree. `replays` refuses a second message of the same id. Raises a SignatureError of any kind.
    """
    if as_of.tzinfo is None:
        raise ValueError("as_of needs an offset")
    cut = cut_signature(data, profile.place, limits)
    body = read_body(cut.body, message_form(profile), limits)
    check_place(body, profile.place)
    signature = in_context(parse_small(cut.signature, _SIGNATURE_LIMITS), body, profile.place)
    structure = read_structure(signature, profile)
    certificate = structure.key_name.certificate or trust.find(structure.key_name.matches)
    signer = trust.check(certificate, senders=_senders(body, sender), as_of=as_of)
    message_digest = _check_digests(body, structure, profile)
    check_signature(structure.algorithm, signer.key, structure.value, canonicalize(structure.signed_info, profile.form))
    signed_at = _signing_time(body, structure, signer.certificate, as_of)
    verified = _hand_out(body, signer, signed_at, message_digest)
    if replays is not None:
        _check_replay(verified, replays)
    return verified


def message_form(profile: Profile) -> Canonicalization:
    """Return the canonical form that the message itself is digested in."""
    return next(each.form for each in profile.references if each.target is Target.MESSAGE)


def _check_digests(body: Body, structure: Structure, profile: Profile) -> bytes:
    message = b""
    for reference, expected in zip(profile.references, structure.digests, strict=True):
        found = digest(digested_bytes(body, structure, reference.target, reference.form))
        if not hmac.compare_digest(found, expected):
            raise DigestMismatchError(f"the digest of {reference.target.value} does not hold")
        if reference.target is Target.MESSAGE:
            message = found
    if structure.properties is not None and structure.key_name.certificate is not None:
        of_certificate = structure.key_name.certificate.fingerprint(hashes.SHA256())
        if not hmac.compare_digest(of_certificate, structure.properties.certificate_digest):
            raise DigestMismatchError("SigningCertificateV2 names another certificate (EN 319 132-1, 5.2.2)")
    return message


def digested_bytes(body: Body, structure: Structure, target: Target, form: Canonicalization) -> bytes:
    """Return what a reference digests; raise ReferencesError where there is no canonical form."""
    match target:
        case Target.MESSAGE:
            return body.canonical
        case Target.DOCUMENT:
            return canonicalize(body.document, form)
        case Target.KEY_INFO:
            return canonicalize(structure.key_info, form)
        case Target.SIGNED_PROPERTIES:
            assert structure.properties is not None  # the profile has them, so they were read
            return canonicalize(structure.properties.element, form)


def _senders(body: Body, named: Sender | None) -> tuple[Sender, ...]:
    header = body.header_element
    if header is None:
        if named is None:
            raise SenderUnknownError("the message has no header and nobody named its sender")
        return (named,)
    found = tuple(_identifiers(header))
    if not found:
        raise SenderUnknownError("Fr of the header has no BIC, LEI, member id or other identifier")
    if named is not None and named not in found:
        raise SenderUnknownError("the header names another sender than was expected")
    return found


_PATHS: Final = (
    (SenderKind.BIC, ("FIId", "FinInstnId", "BICFI")),
    (SenderKind.BIC, ("OrgId", "Id", "OrgId", "AnyBIC")),
    (SenderKind.BIC, ("OrgId", "Id", "OrgId", "BICOrBEI")),
    (SenderKind.LEI, ("FIId", "FinInstnId", "LEI")),
    (SenderKind.LEI, ("OrgId", "Id", "OrgId", "LEI")),
    (SenderKind.MEMBER, ("FIId", "FinInstnId", "ClrSysMmbId", "MmbId")),
    (SenderKind.ID, ("FIId", "FinInstnId", "Othr", "Id")),
    (SenderKind.ID, ("OrgId", "Id", "OrgId", "Othr", "Id")),
)


def _identifiers(header: etree._Element) -> Iterable[Sender]:
    for kind, path in _PATHS:
        found = [header]
        for name in ("Fr", *path):
            found = [child for each in found for child in each if local_name(child) == name]
        yield from (Sender.of(kind, each.text) for each in found if each.text)


def _signing_time(body: Body, structure: Structure, certificate: x509.Certificate, as_of: datetime) -> datetime | None:
    if structure.properties is not None:
        time: datetime | None = structure.properties.signing_time
    else:
        time = _created(body)
    if time is None:
        return None
    if time > as_of + CLOCK_TOLERANCE:
        raise SigningTimeError("the message claims to be signed in the future")
    if time < certificate.not_valid_before_utc:
        raise CertificateNotYetValidError("the certificate was not valid yet when the message claims to be signed")
    if time > certificate.not_valid_after_utc:
        raise CertificateExpiredError("the certificate was expired when the message claims to be signed")
    return time.astimezone(UTC)


def _created(body: Body) -> datetime | None:
    if not body.header.created:
        return None
    time = read_time(body.header.created)
    if time is None:
        raise SigningTimeError("CreDt of the header is no time", hint="ask the sender")
    return time if time.tzinfo else None


def _hand_out(body: Body, signer: TrustedSigner, signed_at: datetime | None, message_digest: bytes) -> Verified:
    header = body.header_element
    if header is not None:
        # Empty without its signature, Sgntr would make the header invalid; it carried nothing else.
        for child in [child for child in header if local_name(child) == "Sgntr"]:
            header.remove(child)
    return Verified(header, body.document, body.header, signer, signed_at, body.canonical, message_digest)


def _check_replay(verified: Verified, replays: ReplayGuard) -> None:
    name = verified.business_message_id
    if _MESSAGE_ID.fullmatch(name) is None:
        raise ReplayError(
            "the message has no id by which a repetition could be known", hint="ask the sender for a BizMsgIdr or MsgId"
        )
    if not replays.remember(verified.sender, name, verified.message_digest):
        raise ReplayError("the same sender sent a message of this id before")


def _own_id(document: etree._Element) -> str:
    # GrpHdr/MsgId in most messages, Assgnmt/Id in those of investigations, MsgHdr/MsgId in others.
    for message in document:
        for group in message:
            for child in group:
                if (local_name(group), local_name(child)) in _OWN_IDS:
                    return (child.text or "").strip()
    return ""


_OWN_IDS: Final = frozenset({("GrpHdr", "MsgId"), ("MsgHdr", "MsgId"), ("Assgnmt", "Id"), ("MsgId", "Id")})
