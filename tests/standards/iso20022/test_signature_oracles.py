"""Signatures of ours verify in foreign engines, and theirs in ours: signxml and xmlsec (libxmlsec)."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from lxml import etree

from shanraq.standards.iso20022.signatures import (
    ONE_REFERENCE,
    PROFILES,
    RTP_LIKE,
    SHANRAQ,
    XADES_BES,
    Algorithm,
    Canonicalization,
    Profile,
    Reference,
    SignatureError,
    Target,
    find_profile,
    sign,
)
from tests.standards.iso20022.signing import AS_OF, HEAD, MESSAGE, Issued, authority, check, issued, signer_of, trust_in

# Their type hints leave out what they export.
signxml: Any = import_module("signxml")
xades: Any = import_module("signxml.xades")
xmlsec: Any = import_module("xmlsec")

DSIG = "http://www.w3.org/2000/09/xmldsig#"
KINDS = {
    "rsa-2048": (Algorithm.RSA_SHA256, xmlsec.Transform.RSA_SHA256, "rsa-sha256"),
    "p256": (Algorithm.ECDSA_SHA256, xmlsec.Transform.ECDSA_SHA256, "ecdsa-sha256"),
    "p384": (Algorithm.ECDSA_SHA384, xmlsec.Transform.ECDSA_SHA384, "ecdsa-sha384"),
}


def pem(who: Issued) -> bytes:
    return who.certificate.public_bytes(serialization.Encoding.PEM)


def private_pem(who: Issued) -> bytes:
    key: bytes = who.key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return key


def with_slot() -> tuple[etree._Element, etree._Element]:
    root = etree.fromstring(MESSAGE)
    return root, etree.SubElement(root[0], f"{{{HEAD}}}Sgntr")


def xmlsec_verify(data: bytes, who: Issued) -> None:
    root = etree.fromstring(data)
    signature = root.find(f".//{{{DSIG}}}Signature")
    assert signature is not None
    context = xmlsec.SignatureContext()
    context.key = xmlsec.Key.from_memory(pem(who), xmlsec.KeyFormat.CERT_PEM)
    for element in signature.iter():
        if element.get("Id") is not None:
            context.register_id(element, "Id")
    context.verify(signature)


# The reference without URI is of three-ref alone: libxmlsec takes it for the whole message, signxml refuses it.
FOREIGN = [name for name in PROFILES if not name.startswith("three-ref")]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", FOREIGN)
def test_xmlsec_verifies_what_we_sign(name: str, kind: str) -> None:
    profile, who = find_profile(name), issued(kind)
    if KINDS[kind][0] not in profile.algorithms:
        pytest.skip("the profile has no such algorithm")
    data = sign(MESSAGE, signer=signer_of(who), profile=profile, signed_at=AS_OF)

    xmlsec_verify(data, who)

    with pytest.raises(xmlsec.Error):
        xmlsec_verify(data.replace(b"1000.00", b"9000.00"), who)


@pytest.mark.parametrize("pss", [False, True], ids=["", "pss"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["one-ref", "shanraq-sig-1", "one-ref@document", "xades-bes"])
def test_signxml_verifies_what_we_sign(name: str, kind: str, pss: bool) -> None:
    who = issued(kind)
    if pss and kind != "rsa-2048":
        pytest.skip("PSS is RSA's")
    algorithm = Algorithm.RSA_PSS_SHA256 if pss else KINDS[kind][0]
    profile = find_profile(name)
    data = sign(MESSAGE, signer=signer_of(who, algorithm), profile=profile, signed_at=AS_OF)

    verifier: Any = xades.XAdESVerifier() if profile.xades else signxml.XMLVerifier()
    references = len(profile.references)
    results = verifier.verify(data, x509_cert=pem(who).decode(), expect_references=references, id_attribute="Id")

    results = results if isinstance(results, list) else [results]
    assert len(results) == references
    assert any(b"1000.00" in result.signed_data for result in results)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("profile", [ONE_REFERENCE, SHANRAQ], ids=lambda profile: profile.name)
def test_we_verify_what_xmlsec_signs(profile: Profile, kind: str) -> None:
    who = issued(kind)
    root, holder = with_slot()
    signature = xmlsec.template.create(root, xmlsec.Transform.EXCL_C14N, KINDS[kind][1], ns="ds")
    holder.append(signature)
    info = xmlsec.template.ensure_key_info(signature, id="ki" if profile is SHANRAQ else None)
    xmlsec.template.add_x509_data(info)
    context = xmlsec.SignatureContext()
    if profile is SHANRAQ:
        context.register_id(info, "Id")
        reference = xmlsec.template.add_reference(signature, xmlsec.Transform.SHA256, uri="#ki")
        xmlsec.template.add_transform(reference, xmlsec.Transform.EXCL_C14N)
    reference = xmlsec.template.add_reference(signature, xmlsec.Transform.SHA256, uri="")
    xmlsec.template.add_transform(reference, xmlsec.Transform.ENVELOPED)
    xmlsec.template.add_transform(reference, xmlsec.Transform.EXCL_C14N)
    key = xmlsec.Key.from_memory(private_pem(who), xmlsec.KeyFormat.PEM)
    key.load_cert_from_memory(pem(who), xmlsec.KeyFormat.PEM)
    context.key = key
    context.sign(signature)

    assert check(etree.tostring(root), profile=profile, trust=trust_in(who)).certificate == who.certificate


@pytest.mark.parametrize("kind", KINDS)
def test_we_verify_what_signxml_signs(kind: str) -> None:
    who = issued(kind)
    root, holder = with_slot()
    etree.SubElement(holder, f"{{{DSIG}}}Signature", Id="placeholder", nsmap={"ds": DSIG})
    signer = signxml.XMLSigner(
        signature_algorithm=KINDS[kind][2], digest_algorithm="sha256", c14n_algorithm=Canonicalization.EXCLUSIVE.value
    )

    signed = signer.sign(root, key=private_pem(who), cert=pem(who).decode())

    assert check(etree.tostring(signed), profile=ONE_REFERENCE, trust=trust_in(who)).certificate == who.certificate


def test_we_verify_the_pss_of_signxml() -> None:
    who = issued("rsa-2048")
    root, holder = with_slot()
    etree.SubElement(holder, f"{{{DSIG}}}Signature", Id="placeholder", nsmap={"ds": DSIG})
    signer = signxml.XMLSigner(
        signature_algorithm="sha256-rsa-MGF1",
        digest_algorithm="sha256",
        c14n_algorithm=Canonicalization.EXCLUSIVE.value,
    )

    signed = signer.sign(root, key=private_pem(who), cert=pem(who).decode())

    assert check(etree.tostring(signed), profile=ONE_REFERENCE, trust=trust_in(who)).certificate == who.certificate


def test_we_verify_the_xades_of_signxml_in_a_profile_of_its_own() -> None:
    who = issued("p256")
    root, holder = with_slot()
    etree.SubElement(holder, f"{{{DSIG}}}Signature", Id="placeholder", nsmap={"ds": DSIG})
    info = etree.Element(f"{{{DSIG}}}KeyInfo", Id="ki", nsmap={"ds": DSIG})
    data = etree.SubElement(info, f"{{{DSIG}}}X509Data")
    encoded = "".join(pem(who).decode().splitlines()[1:-1])
    etree.SubElement(data, f"{{{DSIG}}}X509Certificate").text = encoded
    signer = xades.XAdESSigner(
        signature_algorithm="ecdsa-sha256", digest_algorithm="sha256", c14n_algorithm=Canonicalization.EXCLUSIVE.value
    )
    signed = etree.tostring(signer.sign(root, key=private_pem(who), cert=pem(who).decode(), key_info=info))
    # It writes no transforms at its own references and means the form of SignedInfo.
    implied = Canonicalization.EXCLUSIVE
    profile = Profile(
        "xades of signxml",
        (
            Reference(Target.MESSAGE),
            Reference(Target.SIGNED_PROPERTIES, implied, written=False),
            Reference(Target.KEY_INFO, implied, written=False),
        ),
        xades=True,
    )

    assert b"SignedDataObjectProperties" in signed
    # Its clock is the machine's, not the test's.
    verified = check(signed, profile=profile, trust=trust_in(who), as_of=AS_OF.replace(year=2027))
    assert verified.certificate == who.certificate
    with pytest.raises(SignatureError):
        check(signed, profile=XADES_BES, trust=trust_in(who), as_of=AS_OF.replace(year=2027))


def test_the_inclusive_profile_verifies_with_a_certificate_found_by_its_number() -> None:
    who = issued("rsa-2048")
    data = sign(MESSAGE, signer=signer_of(who), profile=RTP_LIKE)
    assert b"X509Certificate" not in data

    xmlsec_verify(data, who)

    assert check(data, profile=RTP_LIKE, trust=trust_in(who)).signer.certificate != authority().certificate
