"""Take a ds:Signature apart, exactly as a profile says: what is not in the profile is refused, not skipped.

XML Signature 1.1, 4; XAdES-BES: ETSI EN 319 132-1, 5.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final, cast

from cryptography import x509
from lxml import etree

from shanraq.standards.iso20022.signatures.algorithms import (
    DSIG,
    SHA256,
    SIGNED_PROPERTIES,
    XADES,
    Algorithm,
    check_strength,
    decode_base64,
    read_algorithm,
)
from shanraq.standards.iso20022.signatures.errors import (
    AlgorithmError,
    DuplicateIdError,
    ExternalReferenceError,
    KeyInfoError,
    ReferencesError,
    SeveralSignaturesError,
    SignatureFormatError,
    SigningTimeError,
)
from shanraq.standards.iso20022.signatures.profiles import KeyNaming, Profile, Reference, Target

_DS: Final = f"{{{DSIG}}}"
_XA: Final = f"{{{XADES}}}"
_SERIAL_DIGITS: Final = 49  # 20 bytes (RFC 5280, 4.1.2.2)
_TIME: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?(?:Z|[+-][0-9]{2}:[0-9]{2})?", re.ASCII
)
_NCNAME: Final = re.compile(r"[A-Za-z_][\w.\-]*", re.ASCII)


@dataclass(frozen=True, slots=True)
class KeyName:
    """What KeyInfo says: the certificate, or its subject ("" when not said), issuer (RFC 4514) and serial number."""

    certificate: x509.Certificate | None = None
    subject: str = ""
    issuer: str = ""
    serial: int = 0

    def matches(self, certificate: x509.Certificate) -> bool:
        """Tell whether a certificate has the names and the number."""
        return (
            certificate.serial_number == self.serial
            and certificate.issuer == _distinguished_name(self.issuer)
            and (not self.subject or certificate.subject == _distinguished_name(self.subject))
        )


@dataclass(frozen=True, slots=True)
class SignedProperties:
    """The signed properties of XAdES-BES: the time that the signer claims, and the SHA-256 of his certificate."""

    element: etree._Element
    signing_time: datetime
    certificate_digest: bytes


@dataclass(frozen=True, slots=True)
class Structure:
    """A signature that has the form of the profile; nothing is verified yet. Digests are in the order of the references."""

    signed_info: etree._Element
    key_info: etree._Element
    algorithm: Algorithm
    digests: tuple[bytes, ...]
    value: bytes
    key_name: KeyName
    properties: SignedProperties | None


def read_structure(signature: etree._Element, profile: Profile) -> Structure:
    """Return the parts of a signature of the profile; raise a SignatureFormatError of any kind."""
    if signature.tag != f"{_DS}Signature":
        raise SignatureFormatError("the signature is not an element of XML Signature")
    _check_ids(signature)
    names = ("SignedInfo", "SignatureValue", "KeyInfo", *(("Object",) if profile.xades else ()))
    signed_info, value, key_info, *objects = _children(signature, *(f"{_DS}{name}" for name in names), optional=("Id",))
    _attributes(value, optional=("Id",))
    _attributes(key_info, optional=("Id",))
    properties = _read_properties(signature, objects[0]) if objects else None
    algorithm, references = _read_signed_info(signed_info, profile)
    elements = {Target.KEY_INFO: key_info}
    if properties is not None:
        elements[Target.SIGNED_PROPERTIES] = properties.element
    return Structure(
        signed_info=signed_info,
        key_info=key_info,
        algorithm=algorithm,
        digests=_read_references(references, profile, elements),
        value=decode_base64(_text(value), what="SignatureValue"),
        key_name=_read_key_info(key_info, profile.key_naming),
        properties=properties,
    )


def _read_signed_info(element: etree._Element, profile: Profile) -> tuple[Algorithm, list[etree._Element]]:
    _attributes(element, optional=("Id",))
    parts = _elements(element)
    if [each.tag for each in parts[:2]] != [f"{_DS}CanonicalizationMethod", f"{_DS}SignatureMethod"]:
        raise SignatureFormatError("SignedInfo is not as XML Signature has it")
    method, algorithm, *references = parts
    if _identifier(method) != profile.form.value:
        raise ReferencesError("the canonicalisation of SignedInfo is not the profile's")
    return read_algorithm(_identifier(algorithm), profile.algorithms), references


def _read_references(
    elements: list[etree._Element], profile: Profile, targets: dict[Target, etree._Element]
) -> tuple[bytes, ...]:
    for element in elements:
        uri = element.get("URI", "")
        if uri and not uri.startswith("#"):
            raise ExternalReferenceError("a reference leads out of the message")
    if len(elements) != len(profile.references) or any(each.tag != f"{_DS}Reference" for each in elements):
        raise ReferencesError(f"the profile has {len(profile.references)} references, here are {len(elements)}")
    return tuple(
        _read_reference(element, reference, targets.get(reference.target))
        for element, reference in zip(elements, profile.references, strict=True)
    )


def _read_reference(element: etree._Element, reference: Reference, target: etree._Element | None) -> bytes:
    _attributes(element, optional=("Id", "URI", "Type"))
    match reference.target:
        case Target.MESSAGE:
            expected: str | None = ""
        case Target.DOCUMENT:
            expected = None
        case Target.KEY_INFO | Target.SIGNED_PROPERTIES:
            name = None if target is None else target.get("Id")
            if name is None or _NCNAME.fullmatch(name) is None:
                raise ReferencesError(f"the element {reference.target.value} has no Id to refer to")
            expected = f"#{name}"
    if element.get("URI") != expected:
        raise ReferencesError(f"the reference to {reference.target.value} does not have the URI of the profile")
    type_ = SIGNED_PROPERTIES if reference.target is Target.SIGNED_PROPERTIES else None
    if element.get("Type") != type_:
        raise ReferencesError(f"the reference to {reference.target.value} does not have the type of the profile")
    parts = _elements(element)
    names = [*([f"{_DS}Transforms"] if reference.transforms else []), f"{_DS}DigestMethod", f"{_DS}DigestValue"]
    if [each.tag for each in parts] != names or _read_transforms(parts[:-2]) != reference.transforms:
        raise ReferencesError(f"the transforms of {reference.target.value} are not those of the profile")
    return _read_digest(parts[-2], parts[-1])


def _read_transforms(holders: list[etree._Element]) -> tuple[str, ...]:
    if not holders:
        return ()
    _attributes(holders[0])
    transforms = _elements(holders[0])
    if any(each.tag != f"{_DS}Transform" for each in transforms):
        raise ReferencesError("the transforms are not as XML Signature has them")
    return tuple(_identifier(each) for each in transforms)


def _read_digest(method: etree._Element, value: etree._Element) -> bytes:
    uri = _identifier(method)
    check_strength(uri)
    if uri != SHA256:
        raise AlgorithmError("the digest algorithm is not SHA-256")
    _attributes(value)
    read = decode_base64(_text(value), what="DigestValue")
    if len(read) != 32:
        raise AlgorithmError("a SHA-256 digest has 32 bytes")
    return read


def _read_key_info(element: etree._Element, naming: KeyNaming) -> KeyName:
    try:
        [holder] = _children(element, f"{_DS}X509Data", optional=("Id",))
        match naming:
            case KeyNaming.CERTIFICATE:
                [encoded] = _children(holder, f"{_DS}X509Certificate")
                _attributes(encoded)
                der = decode_base64(_text(encoded), what="X509Certificate")
                return KeyName(certificate=x509.load_der_x509_certificate(der))
            case KeyNaming.ISSUER_SERIAL:
                names = [f"{_DS}X509SubjectName"] if len(_elements(holder)) > 1 else []
                *subjects, issued = _children(holder, *names, f"{_DS}X509IssuerSerial")
                issuer, serial = _children(issued, f"{_DS}X509IssuerName", f"{_DS}X509SerialNumber")
                for each in (*subjects, issuer, serial):
                    _attributes(each)
                number = _text(serial).strip()
                if not (number.isascii() and number.isdigit() and len(number) <= _SERIAL_DIGITS):
                    raise KeyInfoError("X509SerialNumber is no number")
                subject = _text(subjects[0]).strip() if subjects else ""
                return KeyName(subject=subject, issuer=_text(issuer).strip(), serial=int(number))
    except KeyInfoError:
        raise
    except (SignatureFormatError, ValueError):
        raise KeyInfoError(f"KeyInfo does not name one key by {naming.value}, as the profile has it") from None


def _read_properties(signature: etree._Element, holder: etree._Element) -> SignedProperties:
    [qualifying] = _children(holder, f"{_XA}QualifyingProperties", optional=("Id",))
    [signed] = _children(qualifying, f"{_XA}SignedProperties", required=("Target",), optional=("Id",))
    if signature.get("Id") is None or qualifying.get("Target") != f"#{signature.get('Id')}":
        raise SignatureFormatError("QualifyingProperties do not belong to the signature (EN 319 132-1, 4.3.1)")
    _attributes(signed, required=("Id",))
    children = _elements(signed)
    if [each.tag for each in children[1:]] not in ([], [f"{_XA}SignedDataObjectProperties"]):
        raise SignatureFormatError("there are signed properties that the profile does not have")
    for each in children[1:]:
        _check_data_object_properties(each)
    if not children or children[0].tag != f"{_XA}SignedSignatureProperties":
        raise SignatureFormatError("SignedSignatureProperties are missing")
    time, certificates = _children(children[0], f"{_XA}SigningTime", f"{_XA}SigningCertificateV2", optional=("Id",))
    _attributes(time)
    _attributes(certificates)
    certificate = _elements(certificates)
    if [each.tag for each in certificate] != [f"{_XA}Cert"]:
        raise SignatureFormatError("SigningCertificateV2 does not name one certificate (EN 319 132-1, 5.2.2)")
    _attributes(certificate[0])
    parts = _elements(certificate[0])
    if [each.tag for each in parts] not in ([f"{_XA}CertDigest"], [f"{_XA}CertDigest", f"{_XA}IssuerSerialV2"]):
        raise SignatureFormatError("SigningCertificateV2 is not as EN 319 132-1, 5.2.2, has it")
    method, value = _children(parts[0], f"{_DS}DigestMethod", f"{_DS}DigestValue")
    return SignedProperties(signed, _time(_text(time)), _read_digest(method, value))


def _check_data_object_properties(element: etree._Element) -> None:
    # What the data look like is said by its namespace; the properties are let through for signers that always write them.
    _attributes(element, optional=("Id",))
    if [each.tag for each in _elements(element)] != [f"{_XA}DataObjectFormat"]:
        raise SignatureFormatError("there are signed properties that the profile does not have")


def read_time(text: str) -> datetime | None:
    """Return a time of XML Schema (part 2, 3.2.7), without offset as it is; None when it is none."""
    if _TIME.fullmatch(text) is None:
        return None
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def _time(text: str) -> datetime:
    time = read_time(text.strip())
    if time is None or time.tzinfo is None:
        raise SigningTimeError("SigningTime is no time with an offset (EN 319 132-1, 5.2.1)", hint="ask the sender")
    return time


def _check_ids(signature: etree._Element) -> None:
    seen: set[str] = set()
    for element in signature.iter(etree.Element):
        if element is not signature and element.tag == f"{_DS}Signature":
            raise SeveralSignaturesError("there is a signature within the signature")
        for name, value in cast(dict[str, str], element.attrib).items():
            if name.rpartition("}")[2].lower() != "id":
                continue
            if name != "Id":
                raise SignatureFormatError("an Id is written otherwise than Id")
            if value in seen:
                raise DuplicateIdError("two elements have the same Id")
            seen.add(value)


def _children(
    element: etree._Element, *tags: str, required: tuple[str, ...] = (), optional: tuple[str, ...] = ()
) -> list[etree._Element]:
    _attributes(element, required=required, optional=optional)
    children = _elements(element)
    if [each.tag for each in children] != list(tags):
        raise SignatureFormatError(f"{etree.QName(element).localname} does not have the elements of the profile")
    return children


def _elements(element: etree._Element) -> list[etree._Element]:
    if any(text and not text.isspace() for text in _texts(element)):
        raise SignatureFormatError(f"there is text in {etree.QName(element).localname}")
    return list(element)


def _texts(element: etree._Element) -> Iterator[str | None]:
    yield element.text
    for child in element:
        yield child.tail


def _text(element: etree._Element) -> str:
    if len(element):
        raise SignatureFormatError(f"there are elements in {etree.QName(element).localname}")
    return element.text or ""


def _attributes(element: etree._Element, *, required: tuple[str, ...] = (), optional: tuple[str, ...] = ()) -> None:
    names = set(element.attrib)
    if not set(required) <= names <= {*required, *optional}:
        raise SignatureFormatError(f"{etree.QName(element).localname} does not have the attributes of the profile")


def _identifier(element: etree._Element) -> str:
    # Parameters of an algorithm, such as a list of prefixes or a length of a MAC, would be child elements: no profile has any.
    _attributes(element, required=("Algorithm",))
    if len(element) or (element.text or "").strip():
        raise ReferencesError("an algorithm has parameters, which no profile has")
    return element.get("Algorithm", "")


def _distinguished_name(text: str) -> x509.Name | None:
    try:
        return x509.Name.from_rfc4514_string(text.replace(", ", ","))
    except ValueError:
        return None
