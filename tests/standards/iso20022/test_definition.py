"""Definitions tell what a message is made of, and survive the trip through text and schema."""

from __future__ import annotations

import pytest

from shanraq.standards import iso20022
from shanraq.standards.iso20022 import ComplexType, DefinitionError, Iso20022Error, Library, SimpleType
from shanraq.standards.iso20022.definition import Collection, dump

XS = 'xmlns:xs="http://www.w3.org/2001/XMLSchema"'
SPACE = "urn:iso:std:iso:20022:tech:xsd:test.001.001.01"


def schema(body: str, *, space: str = SPACE, form: str = "qualified") -> bytes:
    return (
        f'<xs:schema {XS} xmlns="{space}" targetNamespace="{space}" elementFormDefault="{form}">'
        f'<xs:element name="Document" type="Document"/>{body}</xs:schema>'
    ).encode()


def one(inside: str) -> str:
    return f'<xs:complexType name="Document">{inside}</xs:complexType>'


TEXT = '<xs:simpleType name="T"><xs:restriction base="xs:string"><xs:maxLength value="3"/></xs:restriction></xs:simpleType>'


def test_places_of_a_message_are_told_in_order() -> None:
    definition = iso20022.definition("pacs.008.001.08")

    rows = {row.path: row for row in definition.rows()}
    amount = rows["/Document/FIToFICstmrCdtTrf/CdtTrfTxInf/IntrBkSttlmAmt/@Ccy"]
    account = definition.at("/Document/FIToFICstmrCdtTrf/CdtTrfTxInf[3]/DbtrAcct/Id")

    assert len(rows) == 2173
    assert isinstance(amount.type, SimpleType)
    assert amount.type.patterns == ("[A-Z]{3,3}",)
    assert account is not None
    assert isinstance(account.type, ComplexType)
    assert account.type.choice
    assert [element.name for element in account.type.elements] == ["IBAN", "Othr"]
    assert definition.message.name == "FIToFICstmrCdtTrf"
    assert definition.at("/Document/Nothing") is None


def test_external_code_sets_are_known_by_the_name_of_the_type() -> None:
    purpose = iso20022.definition("pacs.008.001.08").at("/Document/FIToFICstmrCdtTrf/CdtTrfTxInf/Purp/Cd")
    status = iso20022.definition("pain.002.001.10").at("/Document/CstmrPmtStsRpt/OrgnlGrpInfAndSts/GrpSts")

    assert purpose is not None
    assert status is not None
    assert purpose.type.name == "ExternalPurpose1Code"
    assert isinstance(purpose.type, SimpleType)
    assert purpose.type.external
    assert status.type.name == "ExternalPaymentGroupStatus1Code"


@pytest.mark.parametrize("message_id", iso20022.library().ids())
def test_definition_compiles_and_is_read_back_from_its_schema_and_text(message_id: str) -> None:
    definition = iso20022.definition(message_id)

    definition.compile()

    assert iso20022.read_schema(definition.xsd()).fingerprint == definition.fingerprint
    assert (
        Collection.from_text(dump([definition]).encode()).definition(message_id).fingerprint == definition.fingerprint
    )


def test_all_families_of_payments_are_there() -> None:
    kinds = {message_id[:8] for message_id in iso20022.library().ids()}

    assert kinds >= {
        "pain.001", "pain.002", "pain.007", "pain.008", "pacs.002", "pacs.003", "pacs.004", "pacs.007", "pacs.008", "pacs.009",
        "pacs.010", "pacs.028", "camt.029", "camt.052", "camt.053", "camt.054", "camt.055", "camt.056", "camt.060", "camt.110",
        "camt.111", "head.001",
    }  # fmt: skip


def test_unknown_version_names_the_known_ones() -> None:
    with pytest.raises(Iso20022Error, match=r"pacs\.008\.001\.08") as refused:
        iso20022.definition("pacs.008.001.99")
    with pytest.raises(Iso20022Error) as unknown:
        iso20022.definition("abcd.001.001.01")

    assert refused.value.code == "unknown_version"
    assert unknown.value.code == "unknown_message"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (one('<xs:sequence><xs:element name="A" type="B"/></xs:sequence>'), "does_not_compile"),
        (one("<xs:all/>"), "unsupported_schema"),
        (one('<xs:sequence minOccurs="0"><xs:element name="A" type="T"/></xs:sequence>') + TEXT, "unsupported_schema"),
        (
            one('<xs:sequence><xs:element name="A" type="T" nillable="true"/></xs:sequence>') + TEXT,
            "unsupported_schema",
        ),
        (
            one('<xs:sequence><xs:element name="A" type="T" maxOccurs="5000"/></xs:sequence>') + TEXT,
            "unsupported_schema",
        ),
        (one('<xs:sequence><xs:element name="A" type="Document"/></xs:sequence>'), "unsupported_schema"),
        (one("<xs:sequence/>") + '<xs:element name="B" type="Document"/>', "root_element"),
        (one("<xs:sequence/>") + '<xs:include schemaLocation="a"/>', "foreign_schema"),
        (one("<xs:sequence/>") + TEXT + TEXT, "does_not_compile"),
    ],
)
def test_schema_outside_of_the_standard_is_refused(body: str, code: str) -> None:
    with pytest.raises(DefinitionError) as refused:
        iso20022.read_schema(schema(body))

    assert refused.value.code == code


def test_schema_of_another_namespace_is_refused() -> None:
    with pytest.raises(DefinitionError) as refused:
        iso20022.read_schema(schema(one("<xs:sequence/>"), space="urn:other"))

    assert refused.value.code == "namespace"


def test_added_definition_is_found_and_never_replaces_another() -> None:
    first = iso20022.read_schema(schema(one('<xs:sequence><xs:element name="A" type="T"/></xs:sequence>') + TEXT))
    other = iso20022.read_schema(schema(one('<xs:sequence><xs:element name="B" type="T"/></xs:sequence>') + TEXT))
    library = Library.packaged([dump([first]).encode()])

    assert library.definition("test.001.001.01").fingerprint == first.fingerprint
    assert library.check_new(first) is False
    with pytest.raises(DefinitionError) as refused:
        library.add(dump([other]).encode())
    assert refused.value.code == "already_there"


@pytest.mark.parametrize("text", [b"", b"{}", b"[]", b'{"format":"other"}', b"\xff"])
def test_other_text_is_no_collection(text: bytes) -> None:
    with pytest.raises(DefinitionError):
        Collection.from_text(text)
