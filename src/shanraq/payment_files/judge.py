"""Judge a file by what validation found: refuse it as a whole, or blocks and transactions of it."""

from __future__ import annotations

import re
from typing import BinaryIO, Final

from lxml import etree

from shanraq.credit_transfers import Rejection
from shanraq.payment_files.model import KEPT_FINDINGS, REASON_TEXT_LENGTH, FileFinding, Heading, Verdict
from shanraq.standards import iso20022
from shanraq.standards.iso20022.check import MAX_FINDINGS
from shanraq.standards.iso20022.tree import text

KIND: Final = "pain.001"
_PLACE: Final = re.compile(r"/Document/[^/]+/PmtInf(?:\[([0-9]+)\])?(?:/CdtTrfTxInf(?:\[([0-9]+)\])?)?(?=[/@]|$)")
_HEADING_LENGTH: Final = 35
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
    """Read the group header of a message, as far as it can be read."""
    parser = etree.XMLPullParser(
        events=("end",), tag="{*}GrpHdr", resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False
    )
    try:
        while chunk := source.read(64 * 1024):
            parser.feed(chunk)
            for _, found in parser.read_events():
                element: etree._Element = found  # type: ignore[assignment]  # only elements end
                return Heading(
                    message_id=_short(text(element, "MsgId")),
                    created_at=_short(text(element, "CreDtTm")),
                    transactions=_short(text(element, "NbOfTxs")),
                    control_sum=_short(text(element, "CtrlSum")),
                )
    except etree.XMLSyntaxError:
        pass
    return Heading()


def _short(value: str | None) -> str:
    return (value or "").strip()[:_HEADING_LENGTH]
