"""A message as plain Python and JSON, and back, without loss; what stands where is told by its definition.

{"message": "pacs.008.001.08", "Document": {"FIToFICstmrCdtTrf": {"GrpHdr": {"MsgId": "A1", ...}, "CdtTrfTxInf": [{...}]}}}

Elements are objects in the order of the definition; what may occur more than once is a list, always. Values are strings, as
written: an amount is {"value": "12.50", "Ccy": "KZT"}, never a number. A foreign element in an open slot (SplmtryData/Envlp,
Sgntr) is {"xml": "<...>"}; no element of XML may be called so (XML 1.0, 2.3). White space between elements and prefixes say
nothing, but a digest covers them: `layout` keeps them, and is left out where there are none.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, NoReturn

from lxml import etree

from shanraq.standards.iso20022.definition import AnyElement, ComplexType, Definition, Element, SimpleType
from shanraq.standards.iso20022.errors import Finding, Iso20022Error
from shanraq.standards.iso20022.identify import cut_out
from shanraq.standards.iso20022.library import Library, library
from shanraq.standards.iso20022.parse import XSI, parse
from shanraq.standards.iso20022.parts import validate_schema
from shanraq.standards.iso20022.paths import local_name, namespace_of

XML: Final = "xml"
VALUE: Final = "value"
_MAX_INDENT: Final = 64

Plain = dict[str, Any]


def to_plain(document: etree._Element, definitions: Library | None = None) -> Plain:
    """Return the content of a Document or AppHdr as objects, lists and strings; raise Iso20022Error unless it is valid."""
    cut = cut_out(document)
    content: Plain = _plain(cut, _definition_of(cut, definitions).root.type)
    return content


def from_plain(message_id: str, content: Mapping[str, Any], definitions: Library | None = None) -> etree._Element:
    """Return the document of a content as `to_plain` gives it; order is the definition's, whatever that of `content`.

    Besides strings, values may be Decimal, int, bool, date and datetime. Raises Iso20022Error with the path of what is wrong:
    `unknown_element`, `missing_element`, `repeated_element`, `not_an_object`, `not_a_list`, `not_a_value`, or the code of the
    facet that does not hold, as `validate_schema` gives it.
    """
    definition = (definitions or library()).definition(message_id)
    document = _Builder(definition, {}).document(content)
    _refuse(validate_schema(document, definitions))
    return document


def to_json(document: etree._Element, definitions: Library | None = None) -> bytes:
    """Return a Document or AppHdr as JSON in UTF-8; raise Iso20022Error unless it is valid for its schema.

    The same document gives the same bytes; `from_json` gives a document of the same canonical form (Exclusive C14N 1.0).
    """
    cut = cut_out(document)
    definition = _definition_of(cut, definitions)
    form: Plain = {"message": str(definition.message_id), definition.root.name: _plain(cut, definition.root.type)}
    if layout := _read_layout(cut, definition):
        form["layout"] = layout
    return json.dumps(form, ensure_ascii=False, separators=(",", ":")).encode()


def from_json(data: bytes | str, definitions: Library | None = None) -> etree._Element:
    """Return the document of a JSON text as `to_json` writes it; raise Iso20022Error, codes as `from_plain` has them.

    Further codes: `not_json`, `number` for a number with a point or an exponent, `duplicate_key`, `layout`.
    """
    try:
        form = json.loads(data, parse_float=_refuse_number, parse_constant=_refuse_number, object_pairs_hook=_object)
    except Iso20022Error:
        raise
    except (ValueError, RecursionError):
        raise _error("not_json", "", "this is not JSON in UTF-8") from None
    if not isinstance(form, dict) or not isinstance(form.get("message"), str):
        raise _error("not_json", "", 'a message is an object with "message", such as "pacs.008.001.08"')
    definition = (definitions or library()).definition(form["message"])
    root = definition.root.name
    if unknown := sorted(form.keys() - {"message", root, "layout"}):
        raise _error("unknown_element", f"/{unknown[0][:64]}", f"beside message only {root} and layout may stand")
    if root not in form:
        raise _error("missing_element", "", f"missing: {root}")
    layout = form.get("layout", {})
    if not isinstance(layout, dict):
        raise _error("layout", "", "the layout is not an object")
    document = _Builder(definition, layout).document(form[root])
    _refuse(validate_schema(document, definitions))
    _write_layout(document, definition, layout)
    return document


def _definition_of(document: etree._Element, definitions: Library | None) -> Definition:
    known = definitions or library()
    definition = known.definition(namespace_of(document).rpartition(":")[2])
    _refuse(validate_schema(document, known))
    return definition


def _refuse(findings: list[Finding]) -> None:
    if findings:
        first = findings[0]
        raise Iso20022Error(first.code, first.path, first.line, first.message, reason=first.reason)


def _plain(element: etree._Element, kind: SimpleType | ComplexType) -> Any:
    if isinstance(kind, SimpleType):
        return element.text or ""
    if kind.value is not None:
        return {VALUE: element.text or "", **{each.name: element.get(each.name, "") for each in kind.attributes}}
    found: Plain = {}
    for child in element.iterchildren(tag=etree.Element):
        inner = kind.by_name.get(local_name(child))
        if inner is None or has_slot(kind):
            found[XML] = foreign_xml(child)
        elif inner.max_occurs == 1:
            found[inner.name] = _plain(child, inner.type)
        else:
            found.setdefault(inner.name, []).append(_plain(child, inner.type))
    return found


def has_slot(kind: ComplexType) -> bool:
    """Tell whether an element of this type has one foreign element in place of its own."""
    return any(isinstance(particle, AnyElement) for particle in kind.particles)


def foreign_xml(element: etree._Element) -> str:
    """Return a foreign element as XML text that stands for itself; white space around it is not part of it."""
    return etree.tostring(cut_out(element), encoding="unicode", with_tail=False)


class _Builder:
    """Makes elements of plain values: what cannot be said in XML is refused here, the rest is the schema's to judge."""

    def __init__(self, definition: Definition, layout: Mapping[str, Any]) -> None:
        self._definition = definition
        prefix = layout.get("prefix")
        if not (prefix is None or isinstance(prefix, str)):
            raise _error("layout", "", "a prefix is a string")
        # lxml knows the default namespace as that of prefix None, its annotations do not.
        self._namespaces: dict[Any, str] = {prefix or None: definition.namespace}
        attributes = layout.get("xsi", {})
        if not isinstance(attributes, dict) or not all(isinstance(each, str) for each in attributes.values()):
            raise _error("layout", "", "attributes of xsi are an object of strings")
        self._attributes = {name: attributes[name] for name in attributes if name in _XSI_ATTRIBUTES}
        if len(self._attributes) != len(attributes):
            raise _error("layout", "", f"of xsi only {', '.join(_XSI_ATTRIBUTES)} may stand here")

    def document(self, content: object) -> etree._Element:
        root = self._definition.root
        try:
            document = etree.Element(f"{{{self._definition.namespace}}}{root.name}", nsmap=self._namespaces)
            for name, text in self._attributes.items():
                document.set(f"{{{XSI}}}{name}", text)
        except ValueError:
            raise _error("layout", "", "prefix or attribute cannot stand in XML") from None
        self._fill(document, root.type, content, f"/{root.name}")
        return document

    def _fill(self, element: etree._Element, kind: SimpleType | ComplexType, content: object, path: str) -> None:
        if isinstance(kind, SimpleType):
            _set(element, None, content, path)
            return
        if not isinstance(content, Mapping):
            raise _error("not_an_object", path, "an object is due here")
        if kind.value is not None:
            self._fill_value(element, kind, content, path)
            return
        if has_slot(kind):
            element.append(_foreign(content, path))
            return
        for name in content:
            if name not in kind.by_name:
                raise _error("unknown_element", f"{path}/{str(name)[:64]}", "this element is not allowed here")
        for inner in kind.elements:
            if inner.name in content:
                self._append(element, inner, content[inner.name], f"{path}/{inner.name}")

    def _append(self, parent: etree._Element, inner: Element, content: object, path: str) -> None:
        single = inner.max_occurs == 1
        if single and isinstance(content, list | tuple):
            raise _error("repeated_element", path, "the element occurs once: its value is due, not a list")
        if not single and not isinstance(content, list | tuple):
            raise _error("not_a_list", path, "the element may occur more than once: a list is due")
        items = [content] if single else content
        assert isinstance(items, list | tuple)
        for number, item in enumerate(items, 1):
            child = etree.SubElement(parent, f"{{{self._definition.namespace}}}{inner.name}")
            self._fill(child, inner.type, item, path if len(items) == 1 else f"{path}[{number}]")

    def _fill_value(self, element: etree._Element, kind: ComplexType, content: Mapping[str, Any], path: str) -> None:
        attributes = [each.name for each in kind.attributes]
        for name in content:
            if name != VALUE and name not in attributes:
                raise _error("unknown_attribute", f"{path}/@{str(name)[:64]}", "this attribute is not allowed here")
        for name in (VALUE, *attributes):
            if name not in content:
                raise _error("missing_attribute", path, f"missing: {name}")
        _set(element, None, content[VALUE], path)
        for name in attributes:
            _set(element, name, content[name], f"{path}/@{name}")


def _set(element: etree._Element, attribute: str | None, content: object, path: str) -> None:
    text = _text(content, path)
    try:
        if attribute is None:
            element.text = text
        else:
            element.set(attribute, text)
    except ValueError:
        raise _error("invalid_character", path, "a character that XML 1.0 does not allow") from None


def _text(content: object, path: str) -> str:
    if isinstance(content, str):
        return content
    if isinstance(content, bool):
        return "true" if content else "false"
    if isinstance(content, int):
        return str(content)
    if isinstance(content, Decimal) and content.is_finite():
        return format(content, "f")
    if isinstance(content, dt.date):  # a datetime is a date
        return content.isoformat()
    if isinstance(content, float):
        raise _error("number", path, "a binary fraction is not exact: write the number as a string")
    raise _error("not_a_value", path, "a string is due here")


def _foreign(content: Mapping[str, Any], path: str) -> etree._Element:
    text = content.get(XML)
    if set(content) != {XML} or not isinstance(text, str):
        raise _error("open_slot", path, 'one foreign element is due here, as {"xml": "<...>"}')
    try:
        return parse(text.encode())
    except (Iso20022Error, UnicodeEncodeError):
        raise _error("open_slot", path, "this is not one well-formed element without document type") from None


def _object(pairs: list[tuple[str, Any]]) -> Plain:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise _error("duplicate_key", "", f"the name {twice[:64]!r} stands twice in one object")
    return found


def _refuse_number(_text: str) -> NoReturn:
    raise _error("number", "", "a number with a point or an exponent is not exact everywhere: write it as a string")


def _error(code: str, path: str, message: str) -> Iso20022Error:
    return Iso20022Error(code, path, 0, message)


# The layout: white space stands in gaps, one before each child of an element and one behind the last. Where all are a line
# break and an indentation by depth, "indent" says it; "gaps" has those that are not, by their number in the message.
_XSI_ATTRIBUTES: Final = ("schemaLocation", "noNamespaceSchemaLocation")


@dataclass(frozen=True, slots=True)
class _Gap:
    """The white space of an element behind `after`, or before its first child; `depth` is 0 in an element without any."""

    parent: etree._Element
    after: etree._Element | None
    depth: int

    @property
    def text(self) -> str:
        return (self.parent.text if self.after is None else self.after.tail) or ""

    def write(self, text: str) -> None:
        if self.after is None:
            self.parent.text = text or None
        else:
            self.after.tail = text or None

    def usual(self, indent: str | None) -> str:
        return "" if indent is None or len(self.parent) == 0 else "\n" + indent * self.depth


def _gaps(element: etree._Element, kind: SimpleType | ComplexType, depth: int = 0) -> Iterator[_Gap]:
    if isinstance(kind, SimpleType) or kind.value is not None:
        return
    children = list(element.iterchildren(tag=etree.Element))
    yield _Gap(element, None, depth + 1)
    for child in children:
        inner = None if has_slot(kind) else kind.by_name.get(local_name(child))
        if inner is not None:
            yield from _gaps(child, inner.type, depth + 1)
        yield _Gap(element, child, depth if child is children[-1] else depth + 1)


def _read_layout(document: etree._Element, definition: Definition) -> Plain:
    layout: Plain = {}
    if document.prefix:
        layout["prefix"] = document.prefix
    attributes = {name: text for name in _XSI_ATTRIBUTES if (text := document.get(f"{{{XSI}}}{name}")) is not None}
    if attributes:
        layout["xsi"] = attributes
    gaps = list(_gaps(document, definition.root.type))
    first = gaps[0].text
    indent = first[1:] if first.startswith("\n") and not first[1:].strip(" \t") else None
    if indent is not None:
        layout["indent"] = indent
    odd = {str(number): gap.text for number, gap in enumerate(gaps) if gap.text != gap.usual(indent)}
    if odd:
        layout["gaps"] = odd
    return layout


def _write_layout(document: etree._Element, definition: Definition, layout: Mapping[str, Any]) -> None:
    indent, odd = layout.get("indent"), layout.get("gaps", {})
    if unknown := sorted(layout.keys() - {"prefix", "xsi", "indent", "gaps"}):
        raise _error("layout", "", f"{unknown[0][:64]!r} is not part of a layout")
    if not (indent is None or (isinstance(indent, str) and len(indent) <= _MAX_INDENT and not indent.strip(" \t"))):
        raise _error("layout", "", "an indentation is a few blanks and tabs")
    if not isinstance(odd, dict) or not all(_is_gap(text) for text in odd.values()):
        raise _error("layout", "", "gaps are white space by number")
    gaps = list(_gaps(document, definition.root.type))
    if not odd.keys() <= {str(number) for number in range(len(gaps))}:
        raise _error("layout", "", "there are fewer gaps in the message than the layout names")
    for number, gap in enumerate(gaps):
        gap.write(odd.get(str(number), gap.usual(indent)))


def _is_gap(text: object) -> bool:
    return isinstance(text, str) and not text.strip(" \t\r\n")
