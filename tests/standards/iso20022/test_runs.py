"""Transactions of known forms are gone past, and nothing of what is wrong, hidden or counted is lost by that."""

from __future__ import annotations

import io
import random
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import etree

from shanraq.standards import iso20022
from shanraq.standards.iso20022 import Instruction
from shanraq.standards.iso20022.definition import SimpleType
from shanraq.standards.iso20022.extract import Extraction
from shanraq.standards.iso20022.forms import is_value_of, read_form
from shanraq.standards.iso20022.instructions import Reader, leaves
from shanraq.standards.iso20022.paths import line_of, path_of
from shanraq.standards.iso20022.profiles import load_profile
from tests.standards.iso20022.samples import document, order, payment, transfer

NOW = datetime(2026, 3, 2, 10, tzinfo=UTC)
EKNP = {"residency_and_sector": {"type": "EKNP"}}
PROFILES: list[tuple[str, dict[str, Any]]] = [
    ("iso", EKNP),
    ("cbpr+", {"charset": "x"}),
    ("kz", {"purpose_code": {"path": ["Purp", "Cd"], "required": True}}),
    ("sepa", {}),
]
EARLIER = order(payment(5) + payment(7)).replace("M-1", "M-0").encode()
# Values and markup that stand in the place of others in one transaction among many.
CHANGES = [
    ("10.50", "10.505"), ("10.50", "0.00"), ("10.50", "+1"), ("10.50", "1."), ("10.50", " 1"), ("10.50", "1" * 19),
    ("10.50", ""),    ('Ccy="KZT"', 'Ccy="BGN"'), ('Ccy="KZT"', 'Ccy="kzt"'), ('Ccy="KZT"', 'Ccy="USD"'), ('Ccy="KZT"', ""),
    ("NBRKKZKX", "NBRKZZKX"), ("NBRKKZKX", "nope"), ("KZ86125", "KZ87125"), ("500101100000", "500101100001"), ("SALA", "QQQQ"),
    ("Almaty", "X" * 36), ("Almaty", ""), ("Almaty", "A &amp; B"), ("Almaty", "<![CDATA[A]]>"), ("Almaty", "Al<!-- -->maty"),
    ("<Purp>", "<!-- between --><Purp>"), ("<Purp>", "<?x y?><Purp>"), ("<Purp><Cd>SALA</Cd></Purp>", ""),
    ("<Ctry>KZ", "<Ctry>UK"),    ("<Purp>", "text<Purp>"), ("<Cdtr>", '<Cdtr xmlns="urn:x">'), ("CdtrAcct>", "CdtrAccount>"),
    ("1914710", "1904710"),
    ("<UETR>11111111", "<UETR>G1111111"), ("E-", "NOTPROVIDED-"), ("<Nm>", "<Nm>\t"), ("</CdtTrfTxInf>", "</CdtTrfTxInf >"),
    ("</CdtTrfTxInf>", "</CdtTrfTxInf>text"), ("</CdtTrfTxInf>", "</CdtTrfTxInf>\n\n<!-- x -->"), ("KZ</Ctry>", "KZ\n</Ctry>"),
    ("<Amt>", "<Amt>\n "), ("Получатель", "Payee\u0085"), ("<Ustrd>", "<Ustrd>\uffff"),
]  # fmt: skip


def findings_are_same(data: bytes, profile: str = "iso", options: dict[str, Any] | None = None) -> iso20022.Report:
    chosen: dict[str, Any] = {"profile": profile, "options": options or {}, "as_of": NOW, "store": (EARLIER,)}

    whole = iso20022.validate(data, **chosen)
    pieces = iso20022.validate_stream(io.BytesIO(data), **chosen)

    if "too_many_findings" in {found.code for found in pieces.findings}:
        assert len(whole.findings) > 1000
    else:
        assert set(pieces.findings) == set(whole.findings)
    return pieces


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: f"{change[0]}->{change[1]}"[:40])
def test_what_differs_in_one_of_many_is_found_where_it_is(change: tuple[str, str]) -> None:
    wrong = payment(30).replace(*change, 1)
    rest = [payment(number) for number in range(1, 60)]
    for place in (0, 1, 29, 58, 59):
        text = order("".join((*rest[:place], wrong, *rest[place:])), payment(100) + payment(101), gap="\n")

        findings_are_same(text.encode(), "kz")


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 2**32), st.sampled_from(PROFILES))
def test_a_long_message_has_the_findings_of_the_whole(seed: int, setting: tuple[str, dict[str, Any]]) -> None:
    dice = random.Random(seed)
    blocks = []
    for _ in range(dice.randint(1, 4)):
        transactions = []
        for _ in range(dice.choice((1, 2, 5, 120))):
            text = payment(dice.randrange(400), more=dice.choice(("", "", "<ChrgBr>SLEV</ChrgBr>")))
            if dice.random() < 0.1:
                text = text.replace(*dice.choice(CHANGES), 1)
            transactions.append(text + dice.choice(("", "\n", "\r\n  ")))
        blocks.append("".join(transactions))

    findings_are_same(order(*blocks).encode(), *setting)


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 2**32), st.sampled_from(PROFILES))
def test_a_long_settlement_has_the_findings_of_the_whole(seed: int, setting: tuple[str, dict[str, Any]]) -> None:
    dice = random.Random(seed)
    amounts = ["1.00", "0", "1.234", "5", "00012.1"]
    many = [transfer(dice.randrange(300), dice.choice(amounts)) for _ in range(150)]

    findings_are_same(document(*many).encode(), *setting)


@pytest.mark.parametrize("opening", ["<!-- ", "<![CDATA[", "<?x "])
def test_payments_in_a_comment_are_none(opening: str) -> None:
    closing = {"<!-- ": " -->", "<![CDATA[": "]]>", "<?x ": "?>"}[opening]
    good = "".join(payment(number) for number in range(1, 20))
    hidden = opening + payment(50) + payment(51) + closing
    spaced = good.removesuffix("</CdtTrfTxInf>") + "</CdtTrfTxInf >"

    for text in (order(good + hidden + payment(60)), order(spaced + hidden), order(hidden + good), order(good, hidden)):
        findings_are_same(text.encode())
        taken = [one for batch in extract(text) for one in batch.instructions]
        assert not {"I-50", "I-51"} & {one.instruction_id for one in taken}


def test_other_bytes_than_the_declared_ones_are_found_far_inside() -> None:
    many = "".join(payment(number).replace("Получатель", "Payee") for number in range(2000))
    data = order(many).encode()
    middle = data.index(b"Payee 1500")

    findings_are_same(data[:middle] + b"\xff" + data[middle:])
    findings_are_same(b'<?xml version="1.0" encoding="us-ascii"?>' + data[:middle] + "Ж".encode() + data[middle:])
    findings_are_same(data[:middle] + "\uffff".encode() + data[middle:])
    findings_are_same(data[:-1000])
    findings_are_same(data[: middle + 300] + "Ж".encode()[:1])


def extract(text: str, **options: Any) -> Extraction:
    return iso20022.extract_stream(io.BytesIO(text.encode()), as_of=NOW, options=options or EKNP)


def test_records_of_forms_are_those_of_elements() -> None:
    texts = [payment(number, more="<ChrgBr>SHAR</ChrgBr>" if number % 3 else "") for number in range(1, 200)]
    text = order("".join(texts[:150]), "".join(texts[150:]), gap="\n")
    root = etree.fromstring(text)
    reader = Reader("pain.001.001.09", load_profile("iso", options=EKNP))

    taken = [one for batch in extract(text) for one in batch.instructions]

    elements = list(root.iter("{*}CdtTrfTxInf"))
    assert len(taken) == len(elements) == 199
    for one, element in zip(taken, elements, strict=True):
        parent = element.getparent()
        assert parent is not None
        assert one.path.replace("PmtInf[1]", "PmtInf") == path_of(element).replace("PmtInf[1]", "PmtInf")
        block = reader.block(one.block.number if one.block else 0, leaves(parent, without=frozenset({"CdtTrfTxInf"})))
        head = reader.head((), None)
        assert one == reader.transaction(
            leaves(element), number=one.number, path=one.path, line=line_of(element), head=head, block=block
        )


def test_each_record_has_its_own_findings_and_no_others() -> None:
    texts = [payment(number) for number in range(1, 300)]
    texts[40] = texts[40].replace("KZ86125", "KZ87125")
    texts[41] = texts[41].replace("NBRKKZKX", "nope")
    texts[250] = texts[250].replace("E-251", "E-3")
    text = order("".join(texts))
    whole = iso20022.validate(text.encode(), as_of=NOW)

    extraction = extract(text)
    taken: list[Instruction] = [one for batch in extraction for one in batch.instructions]

    assert [(one.number, one.reason) for one in taken if not one.valid] == [(41, "AC03"), (42, "RC01"), (251, "DU04")]
    assert {found for one in taken for found in one.findings} == {f for f in whole.findings if "CdtTrfTxInf" in f.path}
    assert set(extraction.report.findings) == set(whole.findings)


@pytest.mark.parametrize(
    "text", [payment().replace("<Purp>", "<!-- --><Purp>"), payment() + "x", "<x:A>1</x:A>", "<A>1", "", "<A/>"]
)
def test_no_form_is_learnt_of_more_than_tags_and_values(text: str) -> None:
    definition = iso20022.definition("pain.001.001.09")

    assert read_form(payment(), "/Document/CstmrCdtTrfInitn/PmtInf", definition) is not None
    assert read_form(text, "/Document/CstmrCdtTrfInitn/PmtInf", definition) is None


KINDS = sorted(
    {
        kind
        for name in ("pain.001.001.09", "pacs.008.001.08", "camt.053.001.08")
        for kind in iso20022.definition(name).types
        if isinstance(kind, SimpleType)
    },
    key=lambda kind: (kind.name, kind.base, kind.facets),
)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_text_that_is_surely_a_value_is_one_for_the_schema(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from([each for each in KINDS if is_value_of(each) is not None]))
    texts = [
        st.text(max_size=40),
        st.sampled_from(["2026-02-29", "2026-03-01", "2026-03-01T24:00:00", "2026-03-01T10:00:00+14:00", "true"]),
    ]
    texts += [st.from_regex(each, fullmatch=True) for each in kind.patterns]
    text = data.draw(st.one_of(*texts).filter(lambda each: each.isprintable()))
    if not is_value_of(kind)(text):  # type: ignore[misc]
        return
    facets = "".join(
        f'<xs:{name} value="{value.replace("&", "&amp;").replace("<", "&lt;")}"/>' for name, value in kind.facets
    )
    schema = etree.XMLSchema(etree.fromstring(
        '<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema"><xs:element name="a"><xs:simpleType>'
        f'<xs:restriction base="xs:{kind.base}">{facets}</xs:restriction></xs:simpleType></xs:element></xs:schema>'
    ))  # fmt: skip
    element = etree.Element("a")
    element.text = text

    assert schema.validate(element)
