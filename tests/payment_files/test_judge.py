"""What errors mean for a file, by where they are."""

from __future__ import annotations

import io

import pytest

from shanraq.credit_transfers import Rejection
from shanraq.payment_files.judge import judge, read_heading
from shanraq.payment_files.model import Heading
from shanraq.standards.iso20022 import Finding, Layer, Report, Severity
from tests.payment_files.files import Order, transaction

MESSAGE = "pain.001.001.09"
HEADING = Heading(message_id="M")
BLOCK = "/Document/CstmrCdtTrfInitn/PmtInf"


def finding(
    path: str, *, layer: Layer = Layer.CROSS, severity: Severity = Severity.ERROR, reason: str = "AC01"
) -> Finding:
    return Finding("code", severity, layer, path, 7, "wrong", reason)


@pytest.mark.parametrize(
    ("path", "place"),
    [
        (f"{BLOCK}/CdtTrfTxInf/Amt", (1, 1)),
        (f"{BLOCK}[2]/CdtTrfTxInf[31]", (2, 31)),
        (f"{BLOCK}[12]/CdtTrfTxInf[3]/Amt/InstdAmt/@Ccy", (12, 3)),
        (f"{BLOCK}/NbOfTxs", (1, 0)),
        (f"{BLOCK}[3]", (3, 0)),
        ("/Document/pain.001.001.02/PmtInf[2]/CdtTrfTxInf", (2, 1)),
    ],
)
def test_an_error_inside_refuses_what_it_is_in(path: str, place: tuple[int, int]) -> None:
    verdict = judge(Report(MESSAGE, (finding(path),)), HEADING)

    assert verdict.rejection is None
    assert verdict.rejections == {place: Rejection("AC01", "wrong")}


@pytest.mark.parametrize(
    "found",
    [
        finding("/Document/CstmrCdtTrfInitn/GrpHdr/NbOfTxs"),
        finding(""),
        finding("/AppHdr/BizMsgIdr"),
        finding("/Document/CstmrCdtTrfInitn/PmtInfo/CdtTrfTxInf"),
        finding(f"{BLOCK}/CdtTrfTxInf[4]/Amt", layer=Layer.SCHEMA),
        finding(f"{BLOCK}/CdtTrfTxInf[4]/Amt", layer=Layer.SAFETY),
    ],
)
def test_other_errors_refuse_the_file(found: Finding) -> None:
    verdict = judge(Report(MESSAGE, (finding(f"{BLOCK}/CdtTrfTxInf"), found)), HEADING)

    assert verdict.rejection == Rejection("AC01", "wrong")
    assert verdict.rejections == {}


def test_warnings_refuse_nothing_and_are_told() -> None:
    warning = finding("", severity=Severity.WARNING)

    verdict = judge(Report(MESSAGE, (warning,) * 1000), HEADING)

    assert (verdict.rejection, verdict.rejections, len(verdict.findings)) == (None, {}, 100)


def test_more_errors_than_a_report_holds_refuse_the_file() -> None:
    errors = tuple(finding(f"{BLOCK}/CdtTrfTxInf[{number}]") for number in range(1, 1001))
    note = Finding("too_many_findings", Severity.ERROR, Layer.SCHEMA, "", 0, "more", "FF01")

    few = judge(Report(MESSAGE, (*errors[:999], note)), HEADING)
    many = judge(Report(MESSAGE, (*errors, note)), HEADING)

    assert (few.rejection, len(few.rejections)) == (None, 999)
    assert many.rejection == Rejection("AC01", "1000 errors or more; the first: wrong")


def test_the_first_error_gives_the_reason_and_its_words_fit_a_report() -> None:
    long = Finding("code", Severity.ERROR, Layer.SAFETY, "", 0, "w" * 200, "")

    verdict = judge(Report(MESSAGE, (long, finding(""))), HEADING)

    assert verdict.rejection == Rejection("FF01", "w" * 105)


def test_only_orders_are_taken() -> None:
    verdict = judge(Report("pacs.008.001.08"), HEADING)

    assert verdict.rejection == Rejection("FF01", "this is pacs.008.001.08; payment files are pain.001")


def test_a_file_without_an_identification_is_refused() -> None:
    verdict = judge(Report(MESSAGE), Heading(message_id=""))

    assert verdict.rejection == Rejection("FF01", "no message identification at the beginning of the file")


def test_a_file_is_one_message() -> None:
    xml = Order([[transaction(1)]]).xml().partition(b"\n")[2]
    batch = b'<Xchg xmlns="urn:iso:std:iso:20022:tech:xsd:head.002.001.01"><Pyld>' + xml + b"</Pyld></Xchg>"

    verdict = judge(Report(MESSAGE), read_heading(io.BytesIO(batch)))

    assert verdict.rejection is not None
    assert verdict.rejection.text == "this is a business file of several messages; a payment file is one message"
    assert not read_heading(io.BytesIO(xml)).batch


def test_the_heading_is_read_as_far_as_there_is_one() -> None:
    xml = Order([[transaction(1)]], message_id="M-7", total="100.00").xml()

    whole = read_heading(io.BytesIO(xml))
    cut = read_heading(io.BytesIO(xml[: xml.index(b"<PmtInf>")]))

    assert (whole.message_id, whole.transactions, whole.control_sum) == ("M-7", "1", "100.00")
    assert cut == whole
    late = xml.replace(b"<GrpHdr>", b" " * 2_000_000 + b"<GrpHdr>")
    other = b"<Envelope><x><GrpHdr><MsgId>X</MsgId></GrpHdr></x>" + xml.partition(b"\n")[2] + b"</Envelope>"
    assert read_heading(io.BytesIO(other)) == whole
    assert read_heading(io.BytesIO(late)) == Heading()
    assert read_heading(io.BytesIO(b"<x>")) == Heading()
    assert read_heading(io.BytesIO(b"<x/>")) == Heading()
