"""The first layers of validation that look at one Document or AppHdr: what its schema says, and how numbers are written.

libxml2 decides, by the definition's schema; its words are put into ours, since they show values. Lexical checks find what a
schema lets through and no bank writes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, Final, cast

from lxml import etree

from shanraq.standards.iso20022.definition import ComplexType, Definition, Element, SimpleType, value_type
from shanraq.standards.iso20022.errors import Finding, Layer, Severity
from shanraq.standards.iso20022.paths import PathOf, line_of, local_name, path_of

MAX_FINDINGS: Final = 1000
AMOUNT: Final = re.compile(r"[0-9]+(\.[0-9]+)?", re.ASCII)
_STEP: Final = re.compile(r"(?:([^:/@\[\]]+):)?([^:/@\[\]]+)(?:\[([0-9]+)\])?")
_EXPECTED: Final = re.compile(r"Expected is (?:one of )?\( (.*) \)\.")
_NAMESPACE: Final = re.compile(r"\{[^}]*\}")
_SHOWN: Final = 8

_FACETS: Final = {
    "SCHEMAV_CVC_PATTERN_VALID": ("pattern", "pattern"),
    "SCHEMAV_CVC_ENUMERATION_VALID": ("enumeration", "enumeration"),
    "SCHEMAV_CVC_LENGTH_VALID": ("length", "length"),
    "SCHEMAV_CVC_MINLENGTH_VALID": ("too_short", "minLength"),
    "SCHEMAV_CVC_MAXLENGTH_VALID": ("too_long", "maxLength"),
    "SCHEMAV_CVC_TOTALDIGITS_VALID": ("digits", "totalDigits"),
    "SCHEMAV_CVC_FRACTIONDIGITS_VALID": ("decimals", "fractionDigits"),
    "SCHEMAV_CVC_MININCLUSIVE_VALID": ("too_small", "minInclusive"),
    "SCHEMAV_CVC_MAXINCLUSIVE_VALID": ("too_large", "maxInclusive"),
    "SCHEMAV_CVC_MINEXCLUSIVE_VALID": ("too_small", "minExclusive"),
    "SCHEMAV_CVC_MAXEXCLUSIVE_VALID": ("too_large", "maxExclusive"),
}
_WORDS: Final = {
    "length": "the value must have {} characters",
    "minLength": "the value must have at least {} characters",
    "maxLength": "the value may have at most {} characters",
    "totalDigits": "the number may have at most {} digits",
    "fractionDigits": "the number may have at most {} decimals",
    "minInclusive": "the number must be at least {}",
    "maxInclusive": "the number may be at most {}",
    "minExclusive": "the number must be more than {}",
    "maxExclusive": "the number must be less than {}",
    "pattern": "the value must have the form {}",
    "enumeration": "the value must be one of {}",
}
_STRUCTURE: Final = {
    "SCHEMAV_CVC_ELT_1": ("root_element", "this element is not the root of the message"),
    "SCHEMAV_CVC_COMPLEX_TYPE_3_2_1": ("unknown_attribute", "an attribute that is not allowed here"),
    "SCHEMAV_CVC_COMPLEX_TYPE_3_2_2": ("unknown_attribute", "an attribute that is not allowed here"),
    "SCHEMAV_CVC_COMPLEX_TYPE_4": ("missing_attribute", "a required attribute is missing"),
    "SCHEMAV_CVC_COMPLEX_TYPE_2_1": ("not_empty", "the element must be empty"),
    "SCHEMAV_CVC_COMPLEX_TYPE_2_2": ("element_in_value", "elements stand where a value is due"),
    "SCHEMAV_CVC_COMPLEX_TYPE_2_3": ("text_between_elements", "text stands where only elements are due"),
    "SCHEMAV_CVC_TYPE_3_1_1": ("unknown_attribute", "an attribute that is not allowed here"),
    "SCHEMAV_CVC_TYPE_3_1_2": ("element_in_value", "elements stand where a value is due"),
    "SCHEMAV_CVC_WILDCARD": ("foreign_element", "the element is not of the namespace this slot is for"),
}
_BASES: Final = {
    "decimal": "the value is no decimal number",
    "boolean": "the value is neither true nor false",
    "date": "the value is no date",
    "dateTime": "the value is no date and time",
    "time": "the value is no time",
    "gYear": "the value is no year",
    "gYearMonth": "the value is no year and month",
    "base64Binary": "the value is no base64",
}


def findings_of(
    schema: etree.XMLSchema, document: etree._Element, definition: Definition, path: PathOf = path_of
) -> Iterator[Finding]:
    """Yield the findings in the log of a schema that has just refused a document; `path` tells where an element stands."""
    told: set[str] = set()
    for count, entry in enumerate(cast(Iterable[Any], schema.error_log)):
        if count == MAX_FINDINGS:
            text = f"more than {MAX_FINDINGS} findings, the rest is left out"
            yield Finding("too_many_findings", Severity.ERROR, Layer.SCHEMA, "", 0, text, "FF01")
            return
        node = _node_at(document, entry.path or "")
        finding = _finding(entry.type_name or "", entry.message or "", entry.line or 0, node, definition, path)
        # A wrong value is told twice, by its facet and by its type: the facet says more.
        place = f"{finding.path}@" if "attribute" in (entry.message or "") else finding.path
        if place in told and entry.type_name == "SCHEMAV_CVC_DATATYPE_VALID_1_2_1":
            continue
        told.add(place)
        yield finding


def check_lexical(document: etree._Element, definition: Definition, path: PathOf = path_of) -> Iterator[Finding]:
    """Yield decimal numbers that the schema lets through in a form no bank writes: +1, 1., .5, -0, and blanks around them."""
    namespace = definition.namespace
    for element in document.iter(*(f"{{{namespace}}}{name}" for name in sorted(definition.decimal_names))):
        text = element.text or ""
        if AMOUNT.fullmatch(text) or len(element):
            continue
        where = path(element)
        kind = definition.at(where)
        value = None if kind is None else value_type(kind.type)
        if value is None or value.base != "decimal":
            continue
        bare = text.strip(" \t\r\n")
        if AMOUNT.fullmatch(bare):
            severity, code, words = Severity.WARNING, "number_blanks", "blanks around a number"
        elif re.fullmatch(r"-[0-9]+(\.[0-9]+)?", bare, re.ASCII) and float(bare) != 0:
            continue  # a negative number: whether it may be one is the schema's to say
        else:
            severity, code, words = (
                Severity.ERROR,
                "number_form",
                "the number is not digits with an optional decimal part",
            )
        yield Finding(code, severity, Layer.LEXICAL, where, line_of(element), words, "AM12")


def _finding(
    kind: str, message: str, line: int, node: etree._Element, definition: Definition, path_of_: PathOf
) -> Finding:
    path = path_of_(node)
    place = definition.at(path)
    attribute = "attribute '" in message and kind in (*_FACETS, "SCHEMAV_CVC_DATATYPE_VALID_1_2_1")
    if kind == "SCHEMAV_ELEMENT_CONTENT":
        return _content(message, line, node, definition, path_of_)
    value: SimpleType | None = None
    if place is not None:
        value = value_type(place.type)
        if attribute and isinstance(place.type, ComplexType) and place.type.attributes:
            path, value = f"{path}/@{place.type.attributes[0].name}", place.type.attributes[0].type
    if kind in _FACETS:
        code, facet = _FACETS[kind]
        return Finding(code, Severity.ERROR, Layer.SCHEMA, path, line, _facet_words(facet, value), _reason(value))
    if kind in _STRUCTURE:
        code, words = _STRUCTURE[kind]
        reason = "AM11" if code == "missing_attribute" else "FF01"
        return Finding(code, Severity.ERROR, Layer.SCHEMA, path, line, words, reason)
    words = _BASES.get(value.base, "") if value is not None else ""
    return Finding(
        "value", Severity.ERROR, Layer.SCHEMA, path, line, words or "the value is not of its type", _reason(value)
    )


def _content(message: str, line: int, node: etree._Element, definition: Definition, path: PathOf) -> Finding:
    """Tell what is wrong about the order of elements: one is missing, unknown, repeated, or stands elsewhere."""

    def found(code: str, where: etree._Element, words: str, reason: str) -> Finding:
        return Finding(code, Severity.ERROR, Layer.SCHEMA, path(where), line, words, reason)

    expected = _expected(message)
    shown = ", ".join(expected[:_SHOWN]) + (", ..." if len(expected) > _SHOWN else "")
    if "Missing child element" in message:
        return found("missing_element", node, f"missing: {shown}" if shown else "an element is missing", "CH21")
    parent = node.getparent()
    above = None if parent is None else definition.at(path(parent))
    name = local_name(node)
    if parent is None or above is None or not isinstance(above.type, ComplexType):
        return found("unknown_element", node, "this element is not allowed here", "FF02")
    if name not in above.type.by_name:
        hint = f"; expected: {shown}" if shown else ""
        return found("unknown_element", node, f"this element is not allowed here{hint}", "FF02")
    present = {local_name(child) for child in parent.iterchildren(tag=etree.Element)}
    if missing := [each for each in expected if each in _mandatory(above.type) and each not in present]:
        return found("missing_element", parent, f"missing: {', '.join(missing)}", "CH21")
    if above.type.choice:
        return found("choice_exceeded", node, "only one of the elements of a choice may be there", "FF02")
    previous = node.getprevious()
    if previous is not None and previous.tag == node.tag:
        return found("repeated_element", node, "the element occurs more often than is allowed", "FF02")
    return found(
        "element_order", node, f"the element stands out of order{f'; expected: {shown}' if shown else ''}", "FF02"
    )


def _mandatory(kind: ComplexType) -> set[str]:
    if kind.choice:
        return set()
    return {each.name for each in kind.particles if isinstance(each, Element) and each.min_occurs}


def _expected(message: str) -> list[str]:
    found = _EXPECTED.search(message)
    if found is None:
        return []
    return [_NAMESPACE.sub("", name).strip() for name in found.group(1).split(", ") if not name.startswith("*")]


def _facet_words(facet: str, value: SimpleType | None) -> str:
    if value is None:
        return "the value is not of its type"
    texts = [text for name, text in value.facets if name == facet]
    shown = ", ".join(texts[:20]) + (", ..." if len(texts) > 20 else "")
    return _WORDS[facet].format(shown)


def _reason(value: SimpleType | None) -> str:
    """Return the code of ExternalStatusReason1Code that says best what a wrong value is."""
    if value is None:
        return "CH16"
    if value.base == "decimal":
        return "AM12"
    if value.base in ("date", "dateTime"):
        return "DT01"
    for word, code in (("CurrencyCode", "AM11"), ("IBAN", "AC01"), ("BIC", "RC01"), ("CountryCode", "BE09")):
        if word in value.name:
            return code
    return "CH16"


def _node_at(document: etree._Element, path: str) -> etree._Element:
    """Return the element a path of libxml2 leads to, as far as it can be followed; attributes lead to their element.

    Steps are `*[3]` for an element in a default namespace, counted among all, or `p:Name[3]` counted among its equals.
    """
    current = document
    for step in path.strip("/").split("/")[1:]:
        found = _STEP.fullmatch(step)
        if found is None:
            break
        prefix, name, number = found.groups()
        children = [
            child
            for child in current.iterchildren(tag=etree.Element)
            if name == "*" or (local_name(child) == name and (child.prefix or None) == prefix)
        ]
        index = int(number or 1) - 1
        if index >= len(children):
            break
        current = children[index]
    return current
