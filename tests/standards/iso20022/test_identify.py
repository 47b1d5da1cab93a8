"""A message is known by the namespaces of what is in it."""

from __future__ import annotations

import pytest
from lxml import etree

from shanraq.standards import iso20022
from shanraq.standards.iso20022 import Iso20022Error, MessageId
from shanraq.standards.iso20022.paths import line_of
from tests.standards.iso20022.samples import HEADER, document, envelope


def identify(text: str) -> iso20022.Identity:
    return iso20022.identify(iso20022.parse(text.encode()))


def test_header_and_document_are_found_in_any_envelope() -> None:
    identity = identify(f'<s:Data xmlns:s="urn:some"><s:Body>{HEADER}{document()}</s:Body></s:Data>')

    assert identity.root == ("urn:some", "Data")
    assert str(identity.message_id) == "pacs.008.001.08"
    assert identity.documents[0].message_element == "FIToFICstmrCdtTrf"
    assert identity.header is not None
    assert (identity.header.from_bic, identity.header.to_bic) == ("HSBKKZKX", "KCJBKZKX")
    assert identity.header.business_message_id == "M1"


def test_document_inside_of_a_document_is_payload() -> None:
    slot = f"<SplmtryData><Envlp>{document()}</Envlp></SplmtryData></CdtTrfTxInf>"
    identity = identify(document().replace("</CdtTrfTxInf>", slot, 1))

    assert len(identity.documents) == 1
    iso20022.check_identity(identity)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (envelope(HEADER), "document_missing"),
        ("<a/>", "document_missing"),
        (envelope(document(), document()), "several_messages"),
        (envelope(HEADER, HEADER, document()), "several_messages"),
        (document().replace("20022:tech:xsd", "20022:xsd"), "unsupported_namespace"),
        (document().replace("iso:20022", "iso:20023"), "unsupported_namespace"),
        ('<Document xmlns="urn:swift:xsd:camt.003.001.04"/>', "unsupported_namespace"),
    ],
)
def test_what_is_no_message_is_refused(text: str, code: str) -> None:
    with pytest.raises(Iso20022Error) as refused:
        iso20022.check_identity(identify(text))

    assert refused.value.code == code


def test_business_file_may_hold_many_documents() -> None:
    file = f'<Xchg xmlns="urn:iso:std:iso:20022:tech:xsd:head.002.001.01"><Pyld>{document()}{document()}</Pyld></Xchg>'
    identity = identify(file)

    iso20022.check_identity(identity)
    assert identity.batch is not None
    assert len(identity.documents) == 2


def test_cut_out_document_keeps_lines_and_drops_foreign_namespaces() -> None:
    text = f'<E xmlns="relative" xmlns:unused="urn:unused">\n{document()} tail</E>'
    part = identify(text).documents[0]

    cut = iso20022.cut_out(part.element)

    assert cut.getparent() is None
    assert cut.tail is None
    assert line_of(cut) == 2
    assert b"unused" not in etree.tostring(cut)
    assert iso20022.canonical(part.element) == iso20022.canonical(iso20022.parse(document().encode()))


def test_relative_namespace_in_use_has_no_canonical_form() -> None:
    text = document().replace("<MsgId>", '<x xmlns="relative"/><MsgId>')

    with pytest.raises(Iso20022Error) as refused:
        iso20022.canonical(identify(text).documents[0].element)

    assert refused.value.code == "no_canonical_form"


def test_message_id_has_four_parts() -> None:
    message_id = MessageId.parse("pain.001.003.03")

    assert (message_id.kind, message_id.variant, message_id.version) == ("pain.001", "003", "03")
    assert message_id.namespace == "urn:iso:std:iso:20022:tech:xsd:pain.001.003.03"
    for wrong in ("pain.001.003", "pain.001.003.03x", "PAIN.001.003.03", ""):
        with pytest.raises(ValueError, match="identifier"):
            MessageId.parse(wrong)
