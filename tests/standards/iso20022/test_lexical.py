"""Our reading of a type agrees with that of libxml2, for every type of the definitions."""

from __future__ import annotations

from functools import cache

from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from shanraq.standards import iso20022
from shanraq.standards.iso20022.definition import SimpleType
from shanraq.standards.iso20022.lexical import fits

_XS = "http://www.w3.org/2001/XMLSchema"


@cache
def types() -> dict[tuple[str, str, tuple[tuple[str, str], ...]], SimpleType]:
    found = {}
    for message_id in iso20022.library().ids():
        for kind in iso20022.definition(message_id).types:
            if isinstance(kind, SimpleType) and kind.base != "base64Binary":
                found[kind.name, kind.base, kind.facets] = kind
    return found


@cache
def schema(key: tuple[str, str, tuple[tuple[str, str], ...]]) -> etree.XMLSchema:
    kind = types()[key]
    root = etree.Element(f"{{{_XS}}}schema", nsmap={"xs": _XS})
    element = etree.SubElement(root, f"{{{_XS}}}element", name="a")
    restriction = etree.SubElement(etree.SubElement(element, f"{{{_XS}}}simpleType"), f"{{{_XS}}}restriction")
    restriction.set("base", f"xs:{kind.base}")
    for name, value in kind.facets:
        etree.SubElement(restriction, f"{{{_XS}}}{name}", value=value)
    return etree.XMLSchema(root)


TEXTS = st.one_of(
    st.sampled_from(("", " ", "A", "KZT", "KZ", "true", "1", "0", "100", "101", "-1", "+1", "1.", ".5", "-0", "1e3", "NaN",
                     "1_0", "٣", "٣٣٣", "123456789012345678", "1234567890123456789", "0.123456", "0.1234567890123456789",
                     "000000000000000000001", "1.000000000000000000000", "2026-11-23", "2026-11-23Z", "2026-11-23T06:00:00",
                     "2026-11-23T06:00:00+05:00", "2026", "0000", "000012",
                     "12345", "-0001", "2026-11", "0000-11", "06:00:00", " KZT ", "a\nb", "NBRKKZKX", "x" * 141)),
    st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc", "Cn", "Co")), max_size=40),
    st.from_regex(r"[-+]?[0-9]{0,20}(\.[0-9]{0,20})?", fullmatch=True),
    st.from_regex(r"[A-Z]{2,6}[0-9]{0,14}", fullmatch=True),
)  # fmt: skip


@settings(max_examples=1500, deadline=None)
@given(st.sampled_from(sorted(types())), TEXTS)
def test_agrees_with_the_schema(key: tuple[str, str, tuple[tuple[str, str], ...]], text: str) -> None:
    element = etree.Element("a")
    element.text = text

    assert fits(text, types()[key]) is schema(key).validate(element)


def test_years_have_no_zeros_in_front_and_there_is_no_year_0() -> None:
    years = next(kind for kind in types().values() if kind.base == "gYear")

    assert [fits(text, years) for text in ("2026", "12345", "0000", "000012", "-0001")] == [
        True,
        True,
        False,
        False,
        True,
    ]
