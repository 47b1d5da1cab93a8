"""Take an XML schema of a message apart into its definition: the part of XML Schema that ISO 20022 uses, and no more.

One namespace, one file, one global element; sequences, choices, values with facets, one required attribute, open slots. What is
outside of that is refused by name, so that no rule of a schema is lost in silence.
"""

from __future__ import annotations

from typing import Final

from lxml import etree

from shanraq.standards.iso20022.definition import (
    AnyElement,
    Attribute,
    Choice,
    ComplexType,
    Definition,
    Element,
    Particle,
    SimpleType,
    Type,
    ordered,
)
from shanraq.standards.iso20022.errors import DefinitionError, Iso20022Error
from shanraq.standards.iso20022.identify import MESSAGE_ID, NAMESPACE_PREFIX, MessageId
from shanraq.standards.iso20022.parse import Limits, parse
from shanraq.standards.iso20022.paths import local_name

_XS: Final = "{http://www.w3.org/2001/XMLSchema}"
_LIMITS: Final = Limits(size_bytes=8 * 1024 * 1024, elements=500_000)
_FOREIGN: Final = frozenset({"import", "include", "redefine", "override"})
_FACETS: Final = frozenset(
    {"enumeration", "pattern", "length", "minLength", "maxLength", "totalDigits", "fractionDigits", "whiteSpace",
     "minInclusive", "maxInclusive", "minExclusive", "maxExclusive"}
)  # fmt: skip
_MAX_LEVELS: Final = 64
_MAX_OCCURS: Final = 1000  # libxml2 unfolds bounded repetitions; the most there is in the standard is 50


def read_schema(data: bytes) -> Definition:
    """Return the definition of a message from its XML schema; raise DefinitionError. Nothing is fetched or included.

    The namespace says which message it is. A sequence of nothing but a choice is the choice.
    """
    try:
        root = parse(data, limits=_LIMITS)
    except Iso20022Error as error:
        raise DefinitionError(error.code, f"line {error.line}: {error.message}") from None
    return _Reader(root).definition()


class _Reader:
    def __init__(self, root: etree._Element) -> None:
        if root.tag != f"{_XS}schema":
            raise DefinitionError("not_a_schema", "this is no XML schema")
        self._namespace = root.get("targetNamespace", "")
        name = self._namespace.removeprefix(NAMESPACE_PREFIX)
        if name == self._namespace or MESSAGE_ID.fullmatch(name) is None:
            raise DefinitionError("namespace", "the target namespace is not that of a message of ISO 20022")
        if root.get("elementFormDefault") != "qualified":
            raise DefinitionError("unsupported_schema", "elementFormDefault must be qualified")
        self._message_id = MessageId.parse(name)
        self._nodes: dict[str, etree._Element] = {}
        self._types: dict[str, Type] = {}
        self._open: list[str] = []
        globals_: list[etree._Element] = []
        for child in root.iterchildren(tag=etree.Element):
            match local_name(child):
                case "element":
                    globals_.append(child)
                case "complexType" | "simpleType":
                    if (own := child.get("name", "")) in self._nodes:
                        raise DefinitionError("does_not_compile", f"the type {own} is there twice")
                    self._nodes[own] = child
                case "annotation":
                    pass
                case other if other in _FOREIGN:
                    raise DefinitionError("foreign_schema", f"xs:{other} is not allowed: a message is one schema")
                case other:
                    raise DefinitionError("unsupported_schema", f"xs:{other} is not used by ISO 20022")
        if len(globals_) != 1:
            raise DefinitionError("root_element", f"{len(globals_)} global elements, there must be one")
        self._root = globals_[0]

    def definition(self) -> Definition:
        return Definition(self._message_id, self._element(self._root))

    def _element(self, node: etree._Element) -> Element:
        _only(node, "name", "type", "minOccurs", "maxOccurs")
        name, reference = node.get("name"), node.get("type")
        if name is None or reference is None:
            raise DefinitionError(
                "unsupported_schema", f"line {node.sourceline}: an element needs a name and a named type"
            )
        least, most = _occurrence(node)
        return Element(name, self._reference(node, reference), least, most)

    def _reference(self, node: etree._Element, reference: str) -> Type:
        prefix, colon, name = reference.rpartition(":")
        namespace = node.nsmap.get(prefix if colon else None)
        if namespace == _XS[1:-1]:
            return self._types.setdefault(reference, SimpleType("", name))
        if namespace != self._namespace:
            raise DefinitionError("does_not_compile", f"line {node.sourceline}: a type of a foreign namespace")
        return self._named(name)

    def _named(self, name: str) -> Type:
        if (known := self._types.get(name)) is not None:
            return known
        node = self._nodes.get(name)
        if node is None:
            raise DefinitionError("does_not_compile", f"there is no type {name}")
        if name in self._open or len(self._open) > _MAX_LEVELS:
            raise DefinitionError("unsupported_schema", f"the type {name} contains itself or nests too deep")
        self._open.append(name)
        kind = self._simple(name, node) if local_name(node) == "simpleType" else self._complex(name, node)
        self._open.pop()
        self._types[name] = kind
        return kind

    def _simple(self, name: str, node: etree._Element) -> SimpleType:
        restriction = _single(node, "restriction")
        prefix, colon, base = restriction.get("base", "").rpartition(":")
        if restriction.nsmap.get(prefix if colon else None) != _XS[1:-1]:
            raise DefinitionError("unsupported_schema", f"the type {name} restricts one that is not of XML Schema")
        facets = []
        for child in _children(restriction):
            facet = local_name(child)
            if facet not in _FACETS:
                raise DefinitionError("unsupported_schema", f"xs:{facet} in the type {name}")
            facets.append((facet, child.get("value", "")))
        return SimpleType(name, base, ordered(facets))

    def _complex(self, name: str, node: etree._Element) -> ComplexType:
        _only(node, "name")
        children = _children(node)
        if not children:
            return ComplexType(name)
        if len(children) > 1:
            raise DefinitionError("unsupported_schema", f"the type {name} is more than one group")
        group = children[0]
        match local_name(group):
            case "simpleContent":
                return self._value(name, group)
            case "choice":
                return ComplexType(name, self._particles(group, nested=False), choice=True)
            case "sequence":
                particles = self._particles(group, nested=True)
                if len(particles) == 1 and isinstance(particles[0], Choice):
                    return ComplexType(name, particles[0].elements, choice=True)
                return ComplexType(name, particles)
            case other:
                raise DefinitionError("unsupported_schema", f"xs:{other} in the type {name}")

    def _value(self, name: str, group: etree._Element) -> ComplexType:
        extension = _single(group, "extension")
        value = self._reference(extension, extension.get("base", ""))
        if not isinstance(value, SimpleType):
            raise DefinitionError("unsupported_schema", f"the type {name} extends one that is no value")
        attributes = []
        for child in _children(extension):
            if local_name(child) != "attribute" or child.get("use") != "required":
                raise DefinitionError("unsupported_schema", f"only required attributes, in the type {name}")
            _only(child, "name", "type", "use")
            kind = self._reference(child, child.get("type", ""))
            if not isinstance(kind, SimpleType):
                raise DefinitionError("unsupported_schema", f"an attribute that is no value, in the type {name}")
            attributes.append(Attribute(child.get("name", ""), kind))
        return ComplexType(name, value=value, attributes=tuple(attributes))

    def _particles(self, group: etree._Element, *, nested: bool) -> tuple[Particle, ...]:
        _only(group)
        found: list[Particle] = []
        for child in _children(group):
            match local_name(child):
                case "element":
                    found.append(self._element(child))
                case "choice" if nested:
                    _only(child)
                    inner = self._particles(child, nested=False)
                    if not all(isinstance(each, Element) for each in inner):
                        raise DefinitionError("unsupported_schema", "an open slot in a choice inside of a sequence")
                    found.append(Choice(tuple(each for each in inner if isinstance(each, Element))))
                case "any":
                    _only(child, "namespace", "processContents")
                    found.append(AnyElement(child.get("namespace", "##any"), child.get("processContents", "strict")))
                case other:
                    raise DefinitionError("unsupported_schema", f"line {child.sourceline}: xs:{other} in a group")
        return tuple(found)


def _children(node: etree._Element) -> list[etree._Element]:
    return [child for child in node.iterchildren(tag=etree.Element) if child.tag != f"{_XS}annotation"]


def _single(node: etree._Element, name: str) -> etree._Element:
    children = _children(node)
    if len(children) != 1 or local_name(children[0]) != name:
        raise DefinitionError("unsupported_schema", f"line {node.sourceline}: only one xs:{name} is known here")
    return children[0]


def _only(node: etree._Element, *names: str) -> None:
    """Refuse attributes that would change what the schema says; the bounds 1 and 1 change nothing."""
    for name, value in node.attrib.items():
        if str(name) not in names and name != "id" and not (name in ("minOccurs", "maxOccurs") and value == "1"):
            raise DefinitionError("unsupported_schema", f"line {node.sourceline}: the attribute {name!s}")


def _occurrence(node: etree._Element) -> tuple[int, int | None]:
    least, most = node.get("minOccurs", "1"), node.get("maxOccurs", "1")
    if not least.isdecimal() or not (most.isdecimal() or most == "unbounded"):
        raise DefinitionError("does_not_compile", f"line {node.sourceline}: an occurrence that is no number")
    if most != "unbounded" and int(most) > _MAX_OCCURS:
        raise DefinitionError("unsupported_schema", f"line {node.sourceline}: more than {_MAX_OCCURS} occurrences")
    return int(least), None if most == "unbounded" else int(most)
