"""A message is read as the bytes that were looked at: no declaration can make the parser read others."""

from __future__ import annotations

import io
from datetime import UTC, datetime

import pytest
from lxml import etree

from shanraq.simulators.iso20022 import ClearingCredentials
from shanraq.standards.iso20022 import Iso20022Error, extract_stream, parse, validate, validate_stream
from shanraq.standards.iso20022.parse import make_parser
from shanraq.standards.iso20022.signatures import SHANRAQ, SignatureError, verify

DOCUMENT = (
    '<Document xmlns="urn:iso:std:iso:20022:tech:xsd:pacs.002.001.10"><FIToFIPmtStsRpt><GrpHdr><MsgId>{}</MsgId>'
    "<CreDtTm>2026-11-26T08:00:00Z</CreDtTm></GrpHdr></FIToFIPmtStsRpt></Document>"
)
DOCTYPE = '<!DOCTYPE a [<!ENTITY x "EVIL">]>'
TEXTS = {
    "plain": DOCUMENT.format("A"),
    "DOCTYPE": DOCTYPE + DOCUMENT.format("A"),
    "entity": DOCTYPE + DOCUMENT.format("&x;"),
}


def hidden(text: str, spaces: int) -> bytes:
    """Write a text in UTF-7, where not one `<` is a byte of its own, declared behind spaces."""
    return b'<?xml version="1.0"' + b" " * spaces + b'encoding="UTF-7"?>' + text.encode("utf-7").replace(b"<", b"+ADw-")


@pytest.fixture(params=TEXTS)
def text(request: pytest.FixtureRequest) -> str:
    return TEXTS[request.param]


@pytest.mark.parametrize("spaces", [1, 1000, 1023, 1024, 1100, 70_000, 140_000])
def test_an_encoding_hidden_behind_spaces_is_refused(text: str, spaces: int) -> None:
    data = hidden(text, spaces)

    with pytest.raises(Iso20022Error):
        parse(data)
    assert not validate(data).valid
    assert not validate_stream(io.BytesIO(data)).valid
    extraction = extract_stream(io.BytesIO(data))
    assert [batch.instructions for batch in extraction] == []
    assert not extraction.report.valid


def test_it_is_refused_in_a_signed_message(text: str) -> None:
    credentials = ClearingCredentials.generate()

    with pytest.raises(SignatureError):
        verify(hidden(text, 1100), trust=credentials.trust_of_clearing(), profile=SHANRAQ, as_of=datetime.now(UTC))


@pytest.mark.parametrize("encoding", ["UTF-7", "UTF-16LE", "UTF-16BE", "UTF-32LE", "UTF-32BE", "cp037", "ISO-8859-1"])
def test_a_parser_reads_no_other_encoding_even_when_asked_without_the_checks(encoding: str) -> None:
    declared = f'<?xml version="1.0" encoding="{encoding}"?>'
    data = hidden("<a>x</a>", 1100) if encoding == "UTF-7" else (declared + "<a>\xe9</a>").encode(encoding)

    with pytest.raises(etree.XMLSyntaxError):
        etree.fromstring(data, make_parser())


def test_what_is_declared_as_ascii_is_ascii() -> None:
    assert parse(b'<?xml version="1.0" encoding="US-ASCII"?><a>x</a>').text == "x"
    with pytest.raises(Iso20022Error):
        parse('<?xml version="1.0" encoding="US-ASCII"?><a>\xe9</a>'.encode())
