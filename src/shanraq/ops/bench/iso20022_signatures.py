"""Sign and verify a pacs.008 of one megabyte, taking turns with python-xmlsec; medians of CPU time and their ratios.

Both read bytes, and end with bytes (sign) or with a verdict (verify), parsing included. Ours does more: it looks at the trust
list, the path and the sender, refuses what is not in the profile, and hands out a tree parsed from what was digested.
"""

from __future__ import annotations

import datetime
import gc
import importlib
import importlib.util
import json
import re
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from statistics import median
from time import process_time
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID
from lxml import etree
from rich.console import Console

from shanraq.standards.iso20022.signatures import SHANRAQ, Sender, SenderKind, SoftwareSigner, TrustStore, sign, verify

_YARDSTICK: Final = "xmlsec"  # python-xmlsec, which is not needed to run the platform
AS_OF: Final = datetime.datetime(2026, 11, 23, 6, tzinfo=datetime.UTC)
_TRANSACTION: Final = (
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


@dataclass(frozen=True, slots=True)
class Row:
    """One thing done to one message: milliseconds of CPU time, ours and those of python-xmlsec, and ours divided by theirs.

    `times_xmlsec_without_parsing` is the ratio of what is left when one parsing by lxml is taken off both; ours parses as well.
    The figures of python-xmlsec are None where it is not installed.
    """

    message: str
    size_bytes: int
    key: str
    operation: str
    milliseconds: float
    xmlsec_milliseconds: float | None
    times_xmlsec: float | None
    times_xmlsec_without_parsing: float | None


def message(transactions: int, *, between: str = "") -> bytes:
    """Return a header and a pacs.008 in an envelope; `between` stands between transactions."""
    bank = "<{0}><FIId><FinInstnId><BICFI>{1}</BICFI></FinInstnId></FIId></{0}>"
    body = between.join(_TRANSACTION.format(number) for number in range(1, transactions + 1))
    return (
        '<Envelope><AppHdr xmlns="urn:iso:std:iso:20022:tech:xsd:head.001.001.02">'
        f"{bank.format('Fr', 'AAAAKZKA')}{bank.format('To', 'BBBBKZKB')}<BizMsgIdr>B-1</BizMsgIdr>"
        "<MsgDefIdr>pacs.008.001.08</MsgDefIdr><CreDt>2026-11-23T05:00:00Z</CreDt></AppHdr>"
        '<Document xmlns="urn:iso:std:iso:20022:tech:xsd:pacs.008.001.08"><FIToFICstmrCdtTrf><GrpHdr><MsgId>B-1</MsgId>'
        f"<CreDtTm>2026-11-23T05:00:00Z</CreDtTm><NbOfTxs>{transactions}</NbOfTxs><SttlmInf><SttlmMtd>CLRG</SttlmMtd>"
        f"</SttlmInf></GrpHdr>{body}</FIToFICstmrCdtTrf></Document></Envelope>"
    ).encode()


def _make_signer(key: Any) -> tuple[SoftwareSigner, TrustStore]:
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


def _prefixed(data: bytes) -> bytes:
    """Return the message with a prefix on each element of its Document: not what the short cuts know."""
    start, end = data.index(b"<Document"), data.index(b"</Envelope>")
    document = re.sub(rb"<(/?)", rb"<\1d:", data[start:end]).replace(b"xmlns=", b"xmlns:d=")
    return data[:start] + document + data[end:]


class _Xmlsec:
    """python-xmlsec with a pinned key, signing as the profile has it."""

    def __init__(self, key: Any, certificate: x509.Certificate) -> None:
        self._xmlsec: Any = importlib.import_module(_YARDSTICK)
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        self._key = self._xmlsec.Key.from_memory(private, self._xmlsec.KeyFormat.PEM)
        public = certificate.public_bytes(serialization.Encoding.PEM)
        self._key.load_cert_from_memory(public, self._xmlsec.KeyFormat.PEM)
        transform = self._xmlsec.Transform
        self._algorithm = transform.RSA_SHA256 if isinstance(key, rsa.RSAPrivateKey) else transform.ECDSA_SHA256

    def sign(self, data: bytes) -> bytes:
        """Return the message signed."""
        template, transform = self._xmlsec.template, self._xmlsec.Transform
        root = etree.fromstring(data)
        header = root[0]
        holder = etree.SubElement(header, etree.QName(etree.QName(header).namespace, "Sgntr"))
        signature = template.create(root, transform.EXCL_C14N, self._algorithm, ns="ds")
        holder.append(signature)
        info = template.ensure_key_info(signature, id="key-info-1")
        template.add_x509_data(info)
        reference = template.add_reference(signature, transform.SHA256, uri="#key-info-1")
        template.add_transform(reference, transform.EXCL_C14N)
        reference = template.add_reference(signature, transform.SHA256, uri="")
        template.add_transform(reference, transform.ENVELOPED)
        template.add_transform(reference, transform.EXCL_C14N)
        context = self._xmlsec.SignatureContext()
        context.register_id(info, "Id")
        context.key = self._key
        context.sign(signature)
        return etree.tostring(root)

    def verify(self, data: bytes) -> None:
        """Verify, or raise what xmlsec raises."""
        root = etree.fromstring(data)
        signature = root[0][-1][0]
        context = self._xmlsec.SignatureContext()
        info = self._xmlsec.tree.find_child(signature, "KeyInfo", "http://www.w3.org/2000/09/xmldsig#")
        context.register_id(info, "Id")
        context.key = self._key
        context.verify(signature)


def bench_signatures(
    *, rounds: int = 11, transactions: int = 1_095, report: Callable[[str], None] = lambda _: None
) -> list[Row]:
    """Return a row for each message, key and thing done; 1 095 transactions are a megabyte.

    In each round each thing is timed once by ours and once by python-xmlsec, after a run that is not timed.
    """
    if importlib.util.find_spec(_YARDSTICK) is None:
        report("xmlsec is not installed, so there is no ratio to it: pip install xmlsec")
    keys = {"RSA-2048": rsa.generate_private_key(65537, 2048), "P-256": ec.generate_private_key(ec.SECP256R1())}
    plain = message(transactions)
    messages = {
        "canonical": plain,
        "empty-element tags": message(transactions, between="<Splmtry/>"),
        "prefixes": _prefixed(plain),
        "one transaction": message(1),
    }
    rows = []
    for name, data in messages.items():
        for kind, key in keys.items():
            report(f"{name}, {kind}")
            rows.extend(_rows(name, data, kind, key, rounds))
    return rows


def _rows(name: str, data: bytes, kind: str, key: Any, rounds: int) -> list[Row]:
    signer, trust = _make_signer(key)
    signed = sign(data, signer=signer, profile=SHANRAQ)
    ours: dict[str, Callable[[], object]] = {
        "sign": lambda: sign(data, signer=signer, profile=SHANRAQ),
        "verify": lambda: verify(signed, trust=trust, profile=SHANRAQ, as_of=AS_OF),
    }
    theirs: dict[str, Callable[[], object]] = {}
    if importlib.util.find_spec(_YARDSTICK) is not None:
        xmlsec = _Xmlsec(key, signer.certificate)
        foreign = xmlsec.sign(data)
        ours["verify what xmlsec signed"] = lambda: verify(foreign, trust=trust, profile=SHANRAQ, as_of=AS_OF)
        theirs = {
            "sign": lambda: xmlsec.sign(data),
            "verify": lambda: xmlsec.verify(signed),
            "verify what xmlsec signed": lambda: xmlsec.verify(foreign),
        }
    repeat = max(1, min(50, 100_000 // len(data)))
    times: dict[tuple[str, bool], list[float]] = {}
    parsing: list[float] = []
    for _ in range(rounds):
        for operation, work in ours.items():
            times.setdefault((operation, True), []).append(_milliseconds(work, repeat))
            if operation in theirs:
                times.setdefault((operation, False), []).append(_milliseconds(theirs[operation], repeat))
        parsing.append(_milliseconds(lambda: etree.fromstring(data), repeat))
    medians = {each: median(values) for each, values in times.items()}
    return [
        _row((name, len(data), kind, each), medians[each, True], medians.get((each, False)), median(parsing))
        for each in ours
    ]


def _row(what: tuple[str, int, str, str], ours: float, theirs: float | None, parsing: float) -> Row:
    if theirs is None:
        return Row(*what, round(ours, 2), None, None, None)
    without = round((ours - parsing) / (theirs - parsing), 2)
    return Row(*what, round(ours, 2), round(theirs, 2), round(ours / theirs, 2), without)


def _milliseconds(work: Callable[[], object], repeat: int) -> float:
    # So that nobody pays for the garbage of another, nor for the memory that the other gave back to the system.
    gc.collect()
    work()
    begun = process_time()
    for _ in range(repeat):
        work()
    return (process_time() - begun) * 1000 / repeat


def render_signatures(rows: list[Row], console: Console) -> None:
    """Print the figures."""
    for row in rows:
        what = f"{row.message}, {row.size_bytes} bytes, {row.key}, {row.operation}: {row.milliseconds} ms"
        if row.times_xmlsec is not None:
            what += f", {row.times_xmlsec} x xmlsec, {row.times_xmlsec_without_parsing} without parsing"
        console.print(what)


def main() -> None:
    """Print the rows as JSON."""
    console = Console(stderr=True)
    rows = bench_signatures(report=console.print)
    render_signatures(rows, console)
    sys.stdout.write(json.dumps([asdict(row) for row in rows], indent=1) + "\n")


if __name__ == "__main__":
    main()
