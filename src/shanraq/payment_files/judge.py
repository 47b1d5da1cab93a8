"""Judge a file by what validation found: refuse it as a whole, or blocks and transactions of it."""

from __future__ import annotations

import re
from typing import BinaryIO, Final

from lxml import etree

from shanraq.credit_transfers import Rejection
from shanraq.payment_files.model import KEPT_FINDINGS, REASON_TEXT_LENGTH, FileFinding, Heading, Verdict
from shanraq.standards import iso20022
from shanraq.standards.iso20022.check import MAX_FINDINGS
from shanraq.standards.iso20022.paths import namespace_of, path_of
from shanraq.standards.iso20022.tree import text

KIND: Final = "pain.001"
_PLACE: Final = re.compile(r"/Document/[^/]+/PmtInf(?:\[([0-9]+)\])?(?:/CdtTrfTxInf(?:\[([0-9]+)\])?)?(?=[/@]|$)")
_HEADING_LENGTH: Final = 35
_HEADING: Final = re.compile("/Document/[^/]+/GrpHdr")
_HEADING_CHUNKS: Final = 16
_CHUNK_BYTES: Final = 64 * 1024
_BATCH: Final = "urn:iso:std:iso:20022:tech:xsd:head.002."
_MORE: Final = "too_many_findings"  # a note at the end of a report, also when there were too many warnings


def judge(report: iso20022.Report, heading: Heading) -> Verdict:
    """Say what a report means for a file.

    Unsafe bytes, what the schema does not allow, and errors outside of payment blocks refuse the file, with the reason of the
    first (FF01 where it has none); so do more errors than a report holds. Other errors inside a block refuse its transactions,
    errors inside a transaction that transaction.
    """
    errors = [
        finding for finding in report.findings if finding.severity is iso20022.Severity.ERROR and finding.code != _MORE
    ]
    rejection: Rejection | None = None
    rejections: dict[tuple[int, int], Rejection] = {}
    for error in errors:
        place = _place_of(error)
        if place is None:
            rejection = rejection or _rejection(error, "FF01")
        else:
            rejections.setdefault(place, _rejection(error, "NARR"))
    if report.message and not report.message.startswith(f"{KIND}."):
        rejection = Rejection("FF01", f"this is {report.message}; payment files are {KIND}")
    elif rejection is None and not heading.message_id:
        rejection = Rejection("FF01", "no message identification at the beginning of the file")
    elif heading.batch:
        rejection = Rejection("FF01", "this is a business file of several messages; a payment file is one message")
    elif rejection is None and len(errors) >= MAX_FINDINGS:
        # Nobody knows which transactions the errors that are left out are about.
        words = f"{MAX_FINDINGS} errors or more; the first: {errors[0].message}"
        rejection = Rejection(errors[0].reason or "FF01", words[:REASON_TEXT_LENGTH])
    return Verdict(
        definition=report.message,
        heading=heading,
        findings=[
            FileFinding(each.code, each.severity, each.layer, each.path, each.line, each.message, each.reason)
            for each in report.findings[:KEPT_FINDINGS]
        ],
        rejection=rejection,
        rejections={} if rejection is not None else rejections,
    )


def _place_of(error: iso20022.Finding) -> tuple[int, int] | None:
    """Return the block and the transaction an error is confined to (0: the whole block), None for the whole file."""
    if error.layer in (iso20022.Layer.SAFETY, iso20022.Layer.SCHEMA):
        return None
    found = _PLACE.match(error.path)
    if found is None:
        return None
    # Where there is one alone, a path has no number.
    in_transaction = "/CdtTrfTxInf" in found[0]
    return int(found[1] or 1), int(found[2] or 1) if in_transaction else 0


def _rejection(error: iso20022.Finding, otherwise: str) -> Rejection:
    return Rejection(error.reason or otherwise, error.message[:REASON_TEXT_LENGTH])


def read_heading(source: BinaryIO) -> Heading:
    """Read the group header of the first message, as far as it can be read: it stands in the first bytes."""
    parser = etree.XMLPullParser(
        events=("end",), tag="{*}GrpHdr", encoding="utf-8", resolve_entities=False, no_network=True, load_dtd=False,
        huge_tree=False,
    )  # fmt: skip
    try:
        for _ in range(_HEADING_CHUNKS):
            chunk = source.read(_CHUNK_BYTES)
            if not chunk:
                break
            parser.feed(chunk)
            for _, found in parser.read_events():
                element: etree._Element = found  # type: ignore[assignment]  # only elements end
                if _HEADING.fullmatch(path_of(element)):
                    return _heading(element)
    except etree.XMLSyntaxError:
        pass
    return Heading()


def _heading(element: etree._Element) -> Heading:
    return Heading(
        message_id=_short(text(element, "MsgId")),
        created_at=_short(text(element, "CreDtTm")),
        transactions=_short(text(element, "NbOfTxs")),
        control_sum=_short(text(element, "CtrlSum")),
        batch=namespace_of(element.getroottree().getroot()).startswith(_BATCH),
    )


def _short(value: str | None) -> str:
    return (value or "").strip()[:_HEADING_LENGTH]
