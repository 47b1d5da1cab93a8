"""`shanraq iso20022 sign` and `verify`: signatures of messages, from files."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes

from shanraq.standards.iso20022 import canonical
from shanraq.standards.iso20022.signatures import (
    Algorithm,
    Profile,
    Sender,
    SenderKind,
    SignatureError,
    SoftwareSigner,
    TrustStore,
    Verified,
    find_profile,
    sign,
    verify,
)


def read_profile(name: str) -> Profile:
    """Return a signature profile; raise ValueError, whose text lists the names."""
    try:
        return find_profile(name)
    except KeyError as error:
        raise ValueError(error.args[0]) from None


def read_sender(text: str) -> Sender:
    """Return the sender that KIND:VALUE names, such as bic:HSBKKZKX; raise ValueError."""
    kind, separator, value = text.partition(":")
    if kind not in set(SenderKind) or not separator or not value:
        raise ValueError(f"a sender is KIND:VALUE, the kind one of {', '.join(SenderKind)}")
    return Sender.of(SenderKind(kind), value)


def read_as_of(text: str | None) -> datetime:
    """Return a time with offset, now where there is none; raise ValueError."""
    if text is None:
        return datetime.now(UTC)
    time = datetime.fromisoformat(text)
    if time.tzinfo is None:
        raise ValueError("a time needs an offset, such as 2026-11-23T06:00:00Z")
    return time


def sign_file(
    message: Path,
    *,
    key: Path,
    certificate: Path,
    profile: str,
    algorithm: str | None = None,
    password_file: Path | None = None,
    signed_at: str | None = None,
) -> bytes:
    """Return the message of a file, signed with a key in a file; raise SignatureError, ValueError or OSError."""
    password = password_file.read_bytes().rstrip(b"\r\n") if password_file else None
    signer = SoftwareSigner.from_pem(
        key.read_bytes(),
        certificate.read_bytes(),
        password=password,
        algorithm=None if algorithm is None else _algorithm(algorithm),
    )
    return sign(message.read_bytes(), signer=signer, profile=read_profile(profile), signed_at=read_as_of(signed_at))


def load_trust(path: Path) -> TrustStore:
    """Return the trust store of a trust list; the files it names lie in its folder or below. Raises TrustError or OSError."""
    folder = path.resolve().parent

    def read(name: str) -> bytes:
        file = (folder / name).resolve()
        if not file.is_relative_to(folder):
            raise PermissionError(f"the trust list names a file outside of its folder: {name}")
        return file.read_bytes()

    return TrustStore.from_json(path.read_bytes(), read)


def verify_file(
    message: Path, trust: TrustStore, *, profile: Profile, as_of: datetime, sender: Sender | None = None
) -> tuple[dict[str, Any], Verified | None]:
    """Return the verdict about a file as JSON knows it, and the message where it is good; raise OSError."""
    try:
        verified = verify(message.read_bytes(), trust=trust, profile=profile, as_of=as_of, sender=sender)
    except SignatureError as error:
        told = {"code": error.code, "message": error.message, "hint": error.hint}
        return {"file": str(message), "valid": False, **told}, None
    certificate = verified.certificate
    verdict = {
        "file": str(message),
        "valid": True,
        "profile": profile.name,
        "sender": str(verified.sender),
        "message_id": verified.business_message_id,
        "signed_at": verified.signed_at.isoformat() if verified.signed_at else None,
        "certificate": {
            "subject": certificate.subject.rfc4514_string(),
            "serial": str(certificate.serial_number),
            "sha256": certificate.fingerprint(hashes.SHA256()).hex(),
        },
        "message_sha256": verified.message_digest.hex(),
    }
    return verdict, verified


def write_document(verified: Verified, path: Path) -> None:
    """Write the Document that was verified, in canonical form; raise OSError."""
    path.write_bytes(canonical(verified.document))


def _algorithm(name: str) -> Algorithm:
    known = {re.sub("_", "-", each.name.lower()): each for each in Algorithm}
    if name not in known:
        raise ValueError(f"there is no signature algorithm {name[:64]!r}; algorithms: {', '.join(known)}")
    return known[name]
