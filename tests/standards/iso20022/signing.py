"""Keys, certificates and small messages for tests of signatures; all of them made when they are asked for."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID

from shanraq.standards.iso20022.signatures import (
    SHANRAQ,
    Algorithm,
    Profile,
    Sender,
    SenderKind,
    SoftwareSigner,
    TrustStore,
    Verified,
    sign,
    verify,
)

AS_OF: Final = datetime(2026, 11, 23, 6, tzinfo=UTC)
BANK: Final = Sender.of(SenderKind.BIC, "AAAAKZKA")
OTHER: Final = Sender.of(SenderKind.BIC, "CCCCKZKC")
HEAD: Final = "urn:iso:std:iso:20022:tech:xsd:head.001.001.02"
PACS: Final = "urn:iso:std:iso:20022:tech:xsd:pacs.008.001.08"
HEADER: Final = (
    f'<AppHdr xmlns="{HEAD}"><Fr><FIId><FinInstnId><BICFI>AAAAKZKA</BICFI></FinInstnId></FIId></Fr>'
    "<To><FIId><FinInstnId><BICFI>BBBBKZKB</BICFI></FinInstnId></FIId></To><BizMsgIdr>B-1</BizMsgIdr>"
    "<MsgDefIdr>pacs.008.001.08</MsgDefIdr><CreDt>2026-11-23T10:00:00+05:00</CreDt></AppHdr>"
)
DOCUMENT: Final = (
    f'<Document xmlns="{PACS}"><FIToFICstmrCdtTrf><GrpHdr><MsgId>B-1</MsgId></GrpHdr><CdtTrfTxInf>'
    '<IntrBkSttlmAmt Ccy="KZT">1000.00</IntrBkSttlmAmt><RmtInf><Ustrd>Rent &amp; "light" Әуезов</Ustrd></RmtInf>'
    "</CdtTrfTxInf></FIToFICstmrCdtTrf></Document>"
)
MESSAGE: Final = f"<Envelope>{HEADER}{DOCUMENT}</Envelope>".encode()


@dataclass(frozen=True)
class Issued:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: Any


@cache
def new_key(kind: str, number: int = 0) -> Any:
    """Make a key: rsa-2048, p256, p384, ed25519 and so on; `number` tells keys of one kind apart."""
    del number
    match kind.partition("-"):
        case ("rsa", _, bits):
            return rsa.generate_private_key(65537, int(bits))
        case _:
            return {
                "p256": lambda: ec.generate_private_key(ec.SECP256R1()),
                "p384": lambda: ec.generate_private_key(ec.SECP384R1()),
                "p521": lambda: ec.generate_private_key(ec.SECP521R1()),
                "ed25519": ed25519.Ed25519PrivateKey.generate,
            }[kind]()


def usage(*names: str) -> x509.KeyUsage:
    known = (
        "digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "key_cert_sign",
        "crl_sign", "encipher_only", "decipher_only",
    )  # fmt: skip
    return x509.KeyUsage(**{name: name in names for name in known})


def issue(
    key: Any,
    *,
    name: str = "signer",
    issuer: Issued | None = None,
    ca: bool = False,
    key_usage: x509.KeyUsage | None = None,
    since: datetime = datetime(2026, 1, 1, tzinfo=UTC),
    until: datetime = datetime(2028, 1, 1, tzinfo=UTC),
    path_length: int | None = None,
    extra: tuple[tuple[x509.ExtensionType, bool], ...] = (),
    serial: int | None = None,
) -> Issued:
    """Make a certificate, signed by itself where nobody issues it."""
    subject = x509.Name(
        [x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Bank"), x509.NameAttribute(NameOID.COMMON_NAME, name)]
    )
    signing = issuer.key if issuer else key
    usual = usage("key_cert_sign", "crl_sign") if ca else usage("digital_signature")
    builder = (
        x509.CertificateBuilder(issuer.certificate.subject if issuer else subject, subject, key.public_key())
        .serial_number(serial or x509.random_serial_number())
        .not_valid_before(since)
        .not_valid_after(until)
        .add_extension(x509.BasicConstraints(ca, path_length), True)
        .add_extension(key_usage or usual, True)
    )
    for extension, critical in extra:
        builder = builder.add_extension(extension, critical)
    algorithm = None if isinstance(signing, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return Issued(builder.sign(signing, algorithm), key)


@cache
def authority() -> Issued:
    return issue(new_key("p256", 99), name="authority", ca=True)


@cache
def issued(kind: str = "p256") -> Issued:
    return issue(new_key(kind), name=f"signer {kind}", issuer=authority())


def signer_of(who: Issued | None = None, algorithm: Algorithm | None = None) -> SoftwareSigner:
    who = who or issued()
    return SoftwareSigner(who.key, who.certificate, algorithm)


def trust_in(*who: Issued, sender: Sender = BANK, **more: Any) -> TrustStore:
    listed = [each.certificate for each in who or (issued(),)]
    return TrustStore([authority().certificate], {sender: listed}, **more)


def signed(message: bytes = MESSAGE, *, profile: Profile = SHANRAQ, who: Issued | None = None) -> bytes:
    return sign(message, signer=signer_of(who), profile=profile, signed_at=AS_OF)


def check(data: bytes, *, profile: Profile = SHANRAQ, trust: TrustStore | None = None, **more: Any) -> Verified:
    return verify(data, trust=trust or trust_in(), profile=profile, **{"as_of": AS_OF, **more})


def resigned(data: bytes, change: Callable[[str], str], *, who: Issued | None = None) -> bytes:
    """Change SignedInfo and sign what came out: an attack by somebody who has the key, or a careless signer."""
    text = data.decode()
    begin, end = text.index("<ds:SignedInfo>"), text.index("</ds:SignedInfo>") + len("</ds:SignedInfo>")
    changed = change(text[begin:end])
    # Exclusive C14N of SignedInfo: it stands here as it is written there, but for the namespace in use.
    octets = changed.replace("<ds:SignedInfo>", '<ds:SignedInfo xmlns:ds="http://www.w3.org/2000/09/xmldsig#">', 1)
    value = base64.b64encode(signer_of(who).sign(octets.encode())).decode()
    rest = text[end:]
    old = rest[rest.index("<ds:SignatureValue>") + 19 : rest.index("</ds:SignatureValue>")]
    return (text[:begin] + changed + rest.replace(old, value, 1)).encode()
