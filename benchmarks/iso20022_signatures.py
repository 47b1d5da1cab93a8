"""Sign and verify a message of one megabyte, taking turns with python-xmlsec; prints CPU time and ratios.

Both read bytes and end with bytes (sign) or with a verdict (verify). Ours does more: it looks at the trust list, the path and
the sender, refuses what is not in the profile, and hands out a tree parsed from what was digested.
"""

from __future__ import annotations

import argparse
import datetime
import statistics
import time
from collections.abc import Callable
from typing import Any

import xmlsec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID
from lxml import etree

from shanraq.standards.iso20022.signatures import SHANRAQ, Sender, SenderKind, SoftwareSigner, TrustStore, sign, verify

AS_OF = datetime.datetime(2026, 11, 23, 6, tzinfo=datetime.UTC)
TRANSACTION = (
    "<CdtTrfTxInf><PmtId><InstrId>I{0:09}</InstrId><EndToEndId>E2E-{0:09}</EndToEndId>"
    "<UETR>00000000-0000-4000-8000-{0:012}</UETR></PmtId>"
    '<IntrBkSttlmAmt Ccy="KZT">{0}.00</IntrBkSttlmAmt><IntrBkSttlmDt>2026-11-24</IntrBkSttlmDt><ChrgBr>SLEV</ChrgBr>'
    "<InstgAgt><FinInstnId><BICFI>AAAAKZKA</BICFI></FinInstnId></InstgAgt>"
    "<InstdAgt><FinInstnId><BICFI>BBBBKZKB</BICFI></FinInstnId></InstdAgt>"
    "<Dbtr><Nm>Debtor {0}</Nm><PstlAdr><TwnNm>Almaty</TwnNm><Ctry>KZ</Ctry></PstlAdr></Dbtr>"
    "<DbtrAcct><Id><Othr><Id>{0:020}</Id></Othr></Id></DbtrAcct>"
    "<DbtrAgt><FinInstnId><BICFI>AAAAKZKA</BICFI></FinInstnId></DbtrAgt>"
    "<CdtrAgt><FinInstnId><BICFI>BBBBKZKB</BICFI></FinInstnId></CdtrAgt>"
    "<Cdtr><Nm>Creditor {0}</Nm><PstlAdr><TwnNm>Astana</TwnNm><Ctry>KZ</Ctry></PstlAdr></Cdtr>"
    "<CdtrAcct><Id><Othr><Id>{0:020}</Id></Othr></Id></CdtrAcct>"
    "<RmtInf><Ustrd>Invoice {0} &amp; annex</Ustrd></RmtInf></CdtTrfTxInf>"
)


def message(transactions: int, between: str) -> bytes:
    """Return a header and a pacs.008 in an envelope; `between` stands between transactions."""
    bank = "<{0}><FIId><FinInstnId><BICFI>{1}</BICFI></FinInstnId></FIId></{0}>"
    body = between.join(TRANSACTION.format(number) for number in range(1, transactions + 1))
    return (
        '<Envelope><AppHdr xmlns="urn:iso:std:iso:20022:tech:xsd:head.001.001.02">'
        f"{bank.format('Fr', 'AAAAKZKA')}{bank.format('To', 'BBBBKZKB')}<BizMsgIdr>B-1</BizMsgIdr>"
        "<MsgDefIdr>pacs.008.001.08</MsgDefIdr><CreDt>2026-11-23T05:00:00Z</CreDt></AppHdr>"
        '<Document xmlns="urn:iso:std:iso:20022:tech:xsd:pacs.008.001.08"><FIToFICstmrCdtTrf><GrpHdr><MsgId>B-1</MsgId>'
        f"<CreDtTm>2026-11-23T05:00:00Z</CreDtTm><NbOfTxs>{transactions}</NbOfTxs><SttlmInf><SttlmMtd>CLRG</SttlmMtd>"
        f"</SttlmInf></GrpHdr>{body}</FIToFICstmrCdtTrf></Document></Envelope>"
    ).encode()


def make_signer(key: Any) -> tuple[SoftwareSigner, TrustStore]:
    """Return a signer and who trusts him."""
    authority = ec.generate_private_key(ec.SECP256R1())

    def issue(name: str, issued: Any, *, ca: bool) -> x509.Certificate:
        named = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority")])
        usage = x509.KeyUsage(not ca, False, False, False, False, ca, ca, False, False)
        return (
            x509.CertificateBuilder(issuer, named, issued.public_key(), x509.random_serial_number())
            .not_valid_before(datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC))
            .not_valid_after(datetime.datetime(2028, 1, 1, tzinfo=datetime.UTC))
            .add_extension(x509.BasicConstraints(ca, None), True)
            .add_extension(usage, True)
            .sign(authority, hashes.SHA256())
        )

    certificate = issue("signer", key, ca=False)
    trust = TrustStore([issue("authority", authority, ca=True)], {Sender.of(SenderKind.BIC, "AAAAKZKA"): [certificate]})
    return SoftwareSigner(key, certificate), trust


def xmlsec_sign(data: bytes, key: xmlsec.Key, algorithm: Any) -> bytes:
    """Sign as the profile has it, with python-xmlsec."""
    root = etree.fromstring(data)
    header = root[0]
    holder = etree.SubElement(header, etree.QName(etree.QName(header).namespace, "Sgntr"))
    signature = xmlsec.template.create(root, xmlsec.Transform.EXCL_C14N, algorithm, ns="ds")
    holder.append(signature)
    info = xmlsec.template.ensure_key_info(signature, id="key-info-1")
    xmlsec.template.add_x509_data(info)
    reference = xmlsec.template.add_reference(signature, xmlsec.Transform.SHA256, uri="#key-info-1")
    xmlsec.template.add_transform(reference, xmlsec.Transform.EXCL_C14N)
    reference = xmlsec.template.add_reference(signature, xmlsec.Transform.SHA256, uri="")
    xmlsec.template.add_transform(reference, xmlsec.Transform.ENVELOPED)
    xmlsec.template.add_transform(reference, xmlsec.Transform.EXCL_C14N)
    context = xmlsec.SignatureContext()
    context.register_id(info, "Id")
    context.key = key
    context.sign(signature)
    return etree.tostring(root)


def xmlsec_verify(data: bytes, key: xmlsec.Key) -> None:
    """Verify with python-xmlsec and a pinned key."""
    root = etree.fromstring(data)
    signature = root[0][-1][0]
    context = xmlsec.SignatureContext()
    info = xmlsec.tree.find_child(signature, "KeyInfo", "http://www.w3.org/2000/09/xmldsig#")
    context.register_id(info, "Id")
    context.key = key
    context.verify(signature)


def measure(rounds: int, transactions: int, between: str, key: Any, algorithm: Any) -> dict[str, list[float]]:
    """Return CPU seconds of each thing, all of them in each round."""
    signer, trust = make_signer(key)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    foreign = xmlsec.Key.from_memory(private, xmlsec.KeyFormat.PEM)
    foreign.load_cert_from_memory(signer.certificate.public_bytes(serialization.Encoding.PEM), xmlsec.KeyFormat.PEM)
    plain = message(transactions, between)
    ours = sign(plain, signer=signer, profile=SHANRAQ)
    theirs = xmlsec_sign(plain, foreign, algorithm)
    things: dict[str, Callable[[], object]] = {
        "parse alone, lxml": lambda: etree.fromstring(ours),
        "sign, xmlsec": lambda: xmlsec_sign(plain, foreign, algorithm),
        "sign, shanraq": lambda: sign(plain, signer=signer, profile=SHANRAQ),
        "verify what xmlsec signed, xmlsec": lambda: xmlsec_verify(theirs, foreign),
        "verify what xmlsec signed, shanraq": lambda: verify(theirs, trust=trust, profile=SHANRAQ, as_of=AS_OF),
        "verify what shanraq signed, xmlsec": lambda: xmlsec_verify(ours, foreign),
        "verify what shanraq signed, shanraq": lambda: verify(ours, trust=trust, profile=SHANRAQ, as_of=AS_OF),
    }
    times: dict[str, list[float]] = {name: [] for name in things}
    repeat = 1 if transactions > 10 else 50
    for _ in range(rounds + 1):
        for name, thing in things.items():
            begun = time.process_time()
            for _ in range(repeat):
                thing()
            times[name].append((time.process_time() - begun) / repeat)
    return {name: each[1:] for name, each in times.items()}


def main() -> None:
    """Print a table for each kind of message and key."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--transactions", type=int, default=1000)
    options = parser.parse_args()
    cases = (
        ("RSA-2048, canonical", options.transactions, "", rsa.generate_private_key(65537, 2048)),
        ("RSA-2048, empty-element tags", options.transactions, "<Splmtry/>", rsa.generate_private_key(65537, 2048)),
        ("RSA-2048, one transaction", 1, "", rsa.generate_private_key(65537, 2048)),
        ("P-256, canonical", options.transactions, "", ec.generate_private_key(ec.SECP256R1())),
        ("P-256, one transaction", 1, "", ec.generate_private_key(ec.SECP256R1())),
    )
    for name, transactions, between, key in cases:
        is_rsa = isinstance(key, rsa.RSAPrivateKey)
        algorithm = xmlsec.Transform.RSA_SHA256 if is_rsa else xmlsec.Transform.ECDSA_SHA256
        times = measure(options.rounds, transactions, between, key, algorithm)
        medians = {each: statistics.median(values) * 1000 for each, values in times.items()}
        print(f"\n{name}, {len(message(transactions, between)):,} bytes")
        for each, value in medians.items():
            parsing = medians["parse alone, lxml"]
            yardstick = medians.get(each.rpartition(",")[0] + ", xmlsec")
            if yardstick is None:
                print(f"  {each:38} {value:8.2f} ms")
                continue
            without = (value - parsing) / (yardstick - parsing)
            print(
                f"  {each:38} {value:8.2f} ms  {value / yardstick:5.2f} x xmlsec, {without:5.2f} without one parsing each"
            )


if __name__ == "__main__":
    main()
