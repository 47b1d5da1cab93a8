"""Each layer reports what it finds, with a place and without values."""

from __future__ import annotations

import io
from collections.abc import Iterable

import pytest

from shanraq.standards import iso20022
from shanraq.standards.iso20022 import Context, Finding, Layer, Severity
from tests.standards.iso20022.samples import HEADER, document, envelope, transfer

TX = "/Document/FIToFICstmrCdtTrf/CdtTrfTxInf"


def found(text: str) -> list[tuple[str, str, str]]:
    """Return code, path and reason of each finding; a stream must find the same."""
    report = iso20022.validate(text.encode(), layers=())
    stream = iso20022.validate_stream(io.BytesIO(text.encode()), layers=())
    assert set(stream.findings) == set(report.findings)
    return [(finding.code, finding.path, finding.reason) for finding in report.findings]


def test_valid_message_has_no_findings() -> None:
    report = iso20022.validate(envelope(HEADER, document()).encode(), layers=())

    assert report == iso20022.Report("pacs.008.001.08")
    assert report.to_dict() == {"message": "pacs.008.001.08", "valid": True, "findings": []}


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("100.00", "-1", ("too_small", f"{TX}/IntrBkSttlmAmt", "AM12")),
        ("100.00", "1.123456", ("decimals", f"{TX}/IntrBkSttlmAmt", "AM12")),
        ("100.00", "1e3", ("number_form", f"{TX}/IntrBkSttlmAmt", "AM12")),
        ("100.00", "+100", ("number_form", f"{TX}/IntrBkSttlmAmt", "AM12")),
        ("100.00", " 100 ", ("number_blanks", f"{TX}/IntrBkSttlmAmt", "AM12")),
        ("KZT", "kzt", ("pattern", f"{TX}/IntrBkSttlmAmt/@Ccy", "AM11")),
        (' Ccy="KZT"', "", ("missing_attribute", f"{TX}/IntrBkSttlmAmt", "AM11")),
        (' Ccy="KZT"', ' Ccy="KZT" x="1"', ("unknown_attribute", f"{TX}/IntrBkSttlmAmt", "FF01")),
        ("SHAR", "SHAX", ("enumeration", f"{TX}/ChrgBr", "CH16")),
        ("Aigerim", "A" * 141, ("too_long", f"{TX}/Dbtr/Nm", "CH16")),
        ("<Nm>Aigerim</Nm>", "<Nm/>", ("too_short", f"{TX}/Dbtr/Nm", "CH16")),
        ("<ChrgBr>SHAR</ChrgBr>", "", ("missing_element", TX, "CH21")),
        ("<ChrgBr>SHAR</ChrgBr>", "<Fee>1</Fee>", ("unknown_element", f"{TX}/Fee", "FF02")),
        ("<ChrgBr>SHAR", "text<ChrgBr>SHAR", ("text_between_elements", TX, "FF01")),
        ("2026-11-23T10:00:00+05:00", "2026-11-31", ("value", "/Document/FIToFICstmrCdtTrf/GrpHdr/CreDtTm", "DT01")),
        (
            "<Nm>Aigerim</Nm>",
            "<PstlAdr><Ctry>KZ</Ctry></PstlAdr><Nm>Aigerim</Nm>",
            ("element_order", f"{TX}/Dbtr/Nm", "FF02"),
        ),
    ],
)
def test_error_is_found_at_its_place(old: str, new: str, expected: tuple[str, str, str]) -> None:
    assert expected in found(document().replace(old, new, 1))


def test_index_stands_only_where_siblings_repeat() -> None:
    text = document(*(transfer(number, "x" if number in (2, 250, 499) else "1") for number in range(1, 500)))

    paths = {path for code, path, _ in found(text) if code == "number_form"}

    assert paths == {f"{TX}[{number}]/IntrBkSttlmAmt" for number in (2, 250, 499)}


def test_second_choice_and_repetition_are_told_apart() -> None:
    account = "<DbtrAcct><Id><IBAN>KZ86125KZT5004100100</IBAN><Othr><Id>1</Id></Othr></Id></DbtrAcct><DbtrAgt>"
    twice = document().replace("<ChrgBr>SHAR</ChrgBr>", "<ChrgBr>SHAR</ChrgBr>" * 2)

    assert ("choice_exceeded", f"{TX}/DbtrAcct/Id/Othr", "FF02") in found(document().replace("<DbtrAgt>", account))
    assert ("repeated_element", f"{TX}/ChrgBr[2]", "FF02") in found(twice)


def test_messages_show_no_values() -> None:
    secret = "QWERTYUIOPASDFGHJKL" * 9
    wrong = document().replace("Aigerim", secret).replace("KZT", secret[:7]).replace("100.00", secret[:9])

    report = iso20022.validate(wrong.encode(), layers=())

    assert len(report.findings) >= 3
    assert secret[:7] not in str(report.to_dict())


def test_findings_are_bounded() -> None:
    text = document(*(transfer(number, "x") for number in range(1200)))

    report = iso20022.validate(text.encode(), layers=())

    assert len([finding for finding in report.findings if finding.layer is Layer.SCHEMA]) == 1001
    assert len(iso20022.validate_stream(io.BytesIO(text.encode()), layers=()).findings) == 1001


def test_further_layers_see_documents_with_their_definitions() -> None:
    def layer(context: Context) -> Iterable[Finding]:
        [checked] = context.documents
        assert checked.schema_valid
        assert checked.definition.at(TX) is not None
        assert context.options == {"a": 1}
        yield Finding("noted", Severity.WARNING, Layer.PROFILE, TX, 1, context.profile)

    report = iso20022.validate(document().encode(), profile="kz", options={"a": 1}, layers=[layer])

    assert report.valid
    assert [finding.message for finding in report.findings] == ["kz"]


def test_header_is_validated_by_its_own_version() -> None:
    text = envelope(HEADER.replace("<BizMsgIdr>M1</BizMsgIdr>", ""), document())

    report = iso20022.validate(text.encode(), layers=())

    assert [(finding.code, finding.path) for finding in report.findings] == [("missing_element", "/AppHdr")]


def test_long_message_that_does_not_repeat_is_refused_before_it_fills_the_memory() -> None:
    garbage = "<X/>" + transfer()
    text = document(*(garbage for _ in range(6000)))

    report = iso20022.validate_stream(io.BytesIO(text.encode()), limits=iso20022.Limits(elements=20_000))

    assert report.findings[-1].code == "too_large"
