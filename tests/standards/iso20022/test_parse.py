"""Untrusted bytes are taken apart safely, or refused with a code."""

from __future__ import annotations

import pytest

from shanraq.standards.iso20022 import Iso20022Error, Limits, parse
from tests.standards.iso20022.samples import document, transfer

XSI = "http://www.w3.org/2001/XMLSchema-instance"


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "empty"),
        (b" \n", "empty"),
        (b"<!DOCTYPE a><a/>", "doctype"),
        (b'<a><!ENTITY x "y"></a>', "doctype"),
        (b"<a>&x;</a>", "entity"),
        (b"<a>&#0;</a>", "invalid_character"),
        (b"<a>\xc0\xaf</a>", "invalid_utf8"),
        (b'<?xml version="1.0" encoding="US-ASCII"?><a>\xc3\xa9</a>', "invalid_utf8"),
        (b'<?xml version="1.0" encoding="ISO-8859-1"?><a/>', "encoding"),
        (b"\xff\xfe<\x00a\x00/\x00>\x00", "encoding"),
        ("<a/>".encode("utf-16-be"), "encoding"),
        (b'<?xml version="1.1"?><a/>', "xml_version"),
        (b'\n<?xml version="1.0"?><a/>', "not_well_formed"),
        (b'<?xml version="1.0"' + b" " * 1100 + b'encoding="UTF-7"?><a>+ADw-b/+AD4-</a>', "not_well_formed"),
        (b"<?xml" + b" " * 1100 + b'version="1.0" encoding="ISO-8859-1"?><a>\xe9</a>', "not_well_formed"),
        (b'\xef\xbb\xbf<?xml version="1.0" standalone="yes" encoding="UTF-7"?><a/>', "not_well_formed"),
        (b"<a>", "not_well_formed"),
        (b"<a/>b", "trailing_content"),
        (b'<a b="1" b="2"/>', "duplicate_attribute"),
        (b'<a xmlns:i="http://www.w3.org/2001/XInclude"/>', "xinclude"),
        (b"<a><b>1<!-- -->0</b></a>", "comment_in_value"),
        (b"<a><b>1<?p?></b></a>", "processing_instruction_in_value"),
        (f'<a xmlns:x="{XSI}" x:nil="true"/>'.encode(), "xsi_attribute"),
        (f'<a xmlns:x="{XSI}" x:type="b"/>'.encode(), "xsi_attribute"),
        (b"<a>" * 65 + b"</a>" * 65, "too_deep"),
        (b"<a>" * 300 + b"</a>" * 300, "too_large"),
        (b"<a>" + b"x" * 11_000_000 + b"</a>", "too_large"),
        (b"<a " + b" ".join(b'b%d=""' % i for i in range(17)) + b"/>", "too_many_attributes"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_unsafe_input_is_refused_by_code(data: bytes, code: str) -> None:
    with pytest.raises(Iso20022Error) as refused:
        parse(data)

    assert refused.value.code == code
    assert refused.value.reason == "FF01"


def test_refusal_names_place_but_no_value() -> None:
    data = document(transfer(1), transfer(2, "1<!-- -->50.00")).replace("<CdtTrfTxInf>", "\n<CdtTrfTxInf>").encode()

    with pytest.raises(Iso20022Error) as refused:
        parse(data)

    assert refused.value.path == "/Document/FIToFICstmrCdtTrf/CdtTrfTxInf[2]/IntrBkSttlmAmt"
    assert refused.value.line == 3
    assert "50" not in str(refused.value)


def test_comments_between_elements_are_dropped_and_strict_refuses_them() -> None:
    data = b'<?xml version="1.0"?><!-- a --><a><!-- b --><b/> <?c d?></a>'

    root = parse(data)

    assert [child.tag for child in root] == ["b"]
    with pytest.raises(Iso20022Error, match="not allowed"):
        parse(data, strict=True)


@pytest.mark.parametrize("data", [b"<a><![CDATA[b]]></a>", f'<a xmlns:x="{XSI}" x:schemaLocation="a b"/>'.encode()])
def test_what_strict_refuses_is_read_otherwise(data: bytes) -> None:
    assert parse(data).tag == "a"
    with pytest.raises(Iso20022Error):
        parse(data, strict=True)


def test_utf8_with_byte_order_mark_is_read() -> None:
    assert parse(b"\xef\xbb\xbf" + "<a>Қазақстан</a>".encode()).text == "Қазақстан"


@pytest.mark.parametrize(
    ("limits", "code"),
    [
        (Limits(size_bytes=10), "too_large"),
        (Limits(elements=2), "too_many_elements"),
        (Limits(namespaces=0), "too_many_namespaces"),
        (Limits(comments=0), "too_many_comments"),
    ],
)
def test_limits_are_ours_to_set(limits: Limits, code: str) -> None:
    with pytest.raises(Iso20022Error) as refused:
        parse(b'<a xmlns="urn:a"><b/><c/><!-- --></a>', limits=limits)

    assert refused.value.code == code
