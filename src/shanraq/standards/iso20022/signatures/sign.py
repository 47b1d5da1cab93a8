"""Sign a message as a profile says. The result is in canonical form, so that whoever verifies it finds it so."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final
from xml.sax.saxutils import escape

from cryptography.hazmat.primitives import hashes, serialization

from shanraq.standards.iso20022.parse import Limits
from shanraq.standards.iso20022.signatures.algorithms import (
    DSIG,
    SHA256,
    SIGNED_PROPERTIES,
    XADES,
    check_signature,
    digest,
    encode_base64,
)
from shanraq.standards.iso20022.signatures.body import Body, canonicalize, parse_small, read_body
from shanraq.standards.iso20022.signatures.errors import SignatureError, SigningError
from shanraq.standards.iso20022.signatures.keys import Signer
from shanraq.standards.iso20022.signatures.place import check_place, find_tags, in_context
from shanraq.standards.iso20022.signatures.profiles import KeyNaming, Place, Profile, Reference, Target
from shanraq.standards.iso20022.signatures.structure import Structure, read_structure
from shanraq.standards.iso20022.signatures.verify import DEFAULT_LIMITS, digested_bytes, message_form

_SIGNATURE_ID: Final = "signature-1"
_KEY_INFO_ID: Final = "key-info-1"
_PROPERTIES_ID: Final = "signed-properties-1"
_UNKNOWN: Final = encode_base64(bytes(32))


def sign(
    data: bytes,
    *,
    signer: Signer,
    profile: Profile,
    signed_at: datetime | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> bytes:
    """Return the message, signed, in UTF-8 and canonical form; raise SigningError or UnsafeMessageError.

    `signed_at` is SigningTime, with an offset; only XAdES has it, and needs it. The message has no signature yet; an empty
    Sgntr may be there. Comments and processing instructions are refused, as the verifier will.
    """
    if signer.algorithm not in profile.algorithms:
        raise SigningError(f"the profile {profile.name} has no {signer.algorithm.name}", hint="sign with another key")
    time = "" if not profile.xades else _time(signed_at)
    if any(not tag.closes for tag in find_tags(data, b"Signature")):
        raise SigningError("the message is signed already", hint="sign it before, or take its signature out")
    with_slot = _with_slot(data) if profile.place is Place.HEADER else data
    body = read_body(with_slot, message_form(profile), limits)
    offset = check_place(body, profile.place)
    signature = _write(body, signer, profile, time, limits)
    return b"".join((body.canonical[:offset], signature, body.canonical[offset:]))


def _time(signed_at: datetime | None) -> str:
    if signed_at is None or signed_at.tzinfo is None:
        raise SigningError("XAdES has a time of signing", hint="give signed_at, with an offset")
    return signed_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _with_slot(data: bytes) -> bytes:
    """Return the message with an empty Sgntr in its header, before Rltd (head.001, all versions); raise SigningError."""
    headers = list(find_tags(data, b"AppHdr"))
    if len(headers) != 2 or headers[0].closes or not headers[1].closes:
        raise SigningError(
            f"the message has {len(headers)} tags of AppHdr, not one header",
            hint="use a profile @document for a message without a header",
        )
    opening, closing = headers
    inside = data[opening.end : closing.start]
    if any(find_tags(inside, b"Sgntr")):
        return data
    place = next((opening.end + tag.start for tag in find_tags(inside, b"Rltd")), closing.start)
    name = opening.prefix + b"Sgntr"
    return b"".join((data[:place], b"<", name, b"></", name, b">", data[place:]))


def _write(body: Body, signer: Signer, profile: Profile, time: str, limits: Limits) -> bytes:
    # Written three times: to see what KeyInfo and the properties look like in canonical form, what SignedInfo does with their
    # digests, and with the value. Each is read back by the verifier's own code, so that nothing is signed it would refuse.
    def read(text: str) -> Structure:
        root = in_context(parse_small(text.encode(), limits), body, profile.place)
        return read_structure(root, profile)

    def write(digests: tuple[str, ...], value: str) -> str:
        return _signature(signer, profile, time, digests, value)

    empty = (_UNKNOWN,) * len(profile.references)
    try:
        draft = read(write(empty, _UNKNOWN))
        digests = tuple(
            encode_base64(digest(digested_bytes(body, draft, reference.target, reference.form)))
            for reference in profile.references
        )
        signed_info = canonicalize(read(write(digests, _UNKNOWN)).signed_info, profile.form)
        value = signer.sign(signed_info)
        # A wrong certificate or a broken module would else be found by the receiver only.
        check_signature(signer.algorithm, signer.certificate.public_key(), value, signed_info)
    except SigningError:
        raise
    except SignatureError as error:
        raise SigningError(error.message, hint=error.hint) from error
    return write(digests, encode_base64(value)).encode()


def _signature(signer: Signer, profile: Profile, time: str, digests: tuple[str, ...], value: str) -> str:
    references = "".join(
        _reference(reference, each) for reference, each in zip(profile.references, digests, strict=True)
    )
    identified = f' Id="{_SIGNATURE_ID}"' if profile.xades else ""
    properties = _properties(signer, time) if profile.xades else ""
    return (
        f'<ds:Signature xmlns:ds="{DSIG}"{identified}><ds:SignedInfo>'
        f'<ds:CanonicalizationMethod Algorithm="{profile.form.value}"></ds:CanonicalizationMethod>'
        f'<ds:SignatureMethod Algorithm="{signer.algorithm.value}"></ds:SignatureMethod>{references}</ds:SignedInfo>'
        f"<ds:SignatureValue>{value}</ds:SignatureValue>{_key_info(signer, profile)}{properties}</ds:Signature>"
    )


def _reference(reference: Reference, encoded: str) -> str:
    match reference.target:
        case Target.MESSAGE:
            attributes = ' URI=""'
        case Target.DOCUMENT:
            attributes = ""
        case Target.KEY_INFO:
            attributes = f' URI="#{_KEY_INFO_ID}"'
        case Target.SIGNED_PROPERTIES:
            attributes = f' Type="{SIGNED_PROPERTIES}" URI="#{_PROPERTIES_ID}"'
    transforms = "".join(f'<ds:Transform Algorithm="{each}"></ds:Transform>' for each in reference.transforms)
    return (
        f"<ds:Reference{attributes}>{f'<ds:Transforms>{transforms}</ds:Transforms>' if transforms else ''}"
        f'<ds:DigestMethod Algorithm="{SHA256}"></ds:DigestMethod><ds:DigestValue>{encoded}</ds:DigestValue></ds:Reference>'
    )


def _key_info(signer: Signer, profile: Profile) -> str:
    certificate = signer.certificate
    identified = f' Id="{_KEY_INFO_ID}"' if any(r.target is Target.KEY_INFO for r in profile.references) else ""
    match profile.key_naming:
        case KeyNaming.CERTIFICATE:
            encoded = encode_base64(certificate.public_bytes(serialization.Encoding.DER))
            named = f"<ds:X509Certificate>{encoded}</ds:X509Certificate>"
        case KeyNaming.ISSUER_SERIAL:
            named = (
                f"<ds:X509SubjectName>{escape(certificate.subject.rfc4514_string())}</ds:X509SubjectName>"
                f"<ds:X509IssuerSerial><ds:X509IssuerName>{escape(certificate.issuer.rfc4514_string())}</ds:X509IssuerName>"
                f"<ds:X509SerialNumber>{certificate.serial_number}</ds:X509SerialNumber></ds:X509IssuerSerial>"
            )
    return f"<ds:KeyInfo{identified}><ds:X509Data>{named}</ds:X509Data></ds:KeyInfo>"


def _properties(signer: Signer, time: str) -> str:
    of_certificate = encode_base64(signer.certificate.fingerprint(hashes.SHA256()))
    return (
        f'<ds:Object><xades:QualifyingProperties xmlns:xades="{XADES}" Target="#{_SIGNATURE_ID}">'
        f'<xades:SignedProperties Id="{_PROPERTIES_ID}"><xades:SignedSignatureProperties>'
        f"<xades:SigningTime>{time}</xades:SigningTime><xades:SigningCertificateV2><xades:Cert><xades:CertDigest>"
        f'<ds:DigestMethod Algorithm="{SHA256}"></ds:DigestMethod><ds:DigestValue>{of_certificate}</ds:DigestValue>'
        "</xades:CertDigest></xades:Cert></xades:SigningCertificateV2></xades:SignedSignatureProperties>"
        "</xades:SignedProperties></xades:QualifyingProperties></ds:Object>"
    )
