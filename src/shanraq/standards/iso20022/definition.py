"""What a message version is made of: types, elements in order, occurrence, facets; and the XML schema of it.

Definitions share their types: a type is known by its name and all that is below it. Kept as text, a collection is one line of
JSON (format, notice, definitions) and one line a type, each type after those it is made of:

["s", name, base, [[facet, value], ...]]         a value: base is string, decimal, boolean, dateTime ...
["v", name, type of the value, [[attribute, type], ...]]   a value with required attributes
["q", name, [particle, ...]]                     a sequence
["c", name, [particle, ...]]                     a choice

A particle is [element, type], [element, type, min] or [element, type, min, max] with max -1 for unbounded,
["|", [particle, ...]] for a choice inside of a sequence, or ["*", namespace, process] for one foreign element, process being
lax or skip. Types are numbers of lines.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final
from xml.sax.saxutils import quoteattr

from lxml import etree

from shanraq.standards.iso20022.errors import DefinitionError
from shanraq.standards.iso20022.identify import MessageId

FORMAT: Final = "iso20022-definitions/1"
NOTICE: Final = (
    "Message definitions of ISO 20022. This is not the official ISO 20022 site. The sole source of up-to-date material and "
    "information on the ISO 20022 message standards and Repository is https://www.iso20022.org. Provided as is."
)


@dataclass(frozen=True, slots=True, eq=False)
class SimpleType:
    """A value: `base` is a type of XML Schema without prefix, `facets` are names and values as the schema has them."""

    name: str
    base: str
    facets: tuple[tuple[str, str], ...] = ()

    def facet(self, name: str) -> str | None:
        """Return the value of a facet such as maxLength, None without one."""
        return next((value for facet, value in self.facets if facet == name), None)

    @property
    def enumeration(self) -> tuple[str, ...]:
        """Return the values that are allowed; empty when all are."""
        return tuple(value for facet, value in self.facets if facet == "enumeration")

    @property
    def patterns(self) -> tuple[str, ...]:
        """Return the regular expressions (of XML Schema) of which one must match."""
        return tuple(value for facet, value in self.facets if facet == "pattern")

    @property
    def external(self) -> bool:
        """Tell whether the codes are in an external code set of this name, not in the schema."""
        return self.name.startswith("External") and self.name.endswith("Code")


def ordered(facets: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """Return facets in one order, so that equal types are written equally; enumerations and patterns keep theirs."""
    return tuple(sorted(facets, key=lambda facet: facet[0]))


@dataclass(frozen=True, slots=True, eq=False)
class Attribute:
    """A required attribute; Ccy is the only one ISO 20022 has."""

    name: str
    type: SimpleType


@dataclass(frozen=True, slots=True, eq=False)
class Element:
    """An element as its parent has it; `max_occurs` is None when there is no bound."""

    name: str
    type: SimpleType | ComplexType
    min_occurs: int = 1
    max_occurs: int | None = 1


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """One of several elements, inside of a sequence."""

    elements: tuple[Element, ...]


@dataclass(frozen=True, slots=True, eq=False)
class AnyElement:
    """Exactly one element of a foreign namespace; `process` is lax or skip."""

    namespace: str
    process: str


Particle = Element | Choice | AnyElement


@dataclass(frozen=True, eq=False)
class ComplexType:
    """An element with elements in it, or a value with attributes: then `value` is its type and `particles` is empty."""

    name: str
    particles: tuple[Particle, ...] = ()
    choice: bool = False
    value: SimpleType | None = None
    attributes: tuple[Attribute, ...] = ()

    @cached_property
    def elements(self) -> tuple[Element, ...]:
        """Return all elements that may be in it, in order, those of choices too."""
        found: list[Element] = []
        for particle in self.particles:
            if isinstance(particle, Element):
                found.append(particle)
            elif isinstance(particle, Choice):
                found.extend(particle.elements)
        return tuple(found)

    @cached_property
    def by_name(self) -> dict[str, Element]:
        """Return the elements by name; where a name occurs twice, the first."""
        return {element.name: element for element in reversed(self.elements)}


Type = SimpleType | ComplexType


@dataclass(frozen=True, slots=True)
class Row:
    """One place of a message: its path, how often it occurs in its parent, and what stands there.

    Attributes have `/@Ccy` behind their element, an open slot has `/*any*` and no type. `in_choice` tells a branch of a
    choice.
    """

    path: str
    min_occurs: int
    max_occurs: int | None
    in_choice: bool
    type: Type | None


@dataclass(frozen=True, eq=False)
class Definition:
    """One version of one message. Two are the same when their fingerprints are."""

    message_id: MessageId
    root: Element

    @property
    def namespace(self) -> str:
        """Return the namespace the message is written in."""
        return self.message_id.namespace

    @cached_property
    def types(self) -> tuple[Type, ...]:
        """Return every type once, each after those it is made of."""
        found: dict[int, Type] = {}
        _collect(self.root.type, found)
        return tuple(found.values())

    @cached_property
    def message(self) -> Element:
        """Return the element of the message itself: the only child of Document, else the root (AppHdr, Xchg)."""
        inner = self.root.type
        if self.root.name == "Document" and isinstance(inner, ComplexType) and len(inner.elements) == 1:
            return inner.elements[0]
        return self.root

    @cached_property
    def fingerprint(self) -> str:
        """Return a text that is the same for the same content."""
        return dump([self])

    def rows(self) -> Iterator[Row]:
        """Yield every path from the root on, in the order of the message."""
        yield from _rows(self.root, "", in_choice=False)

    def at(self, path: str) -> Element | None:
        """Return the element at a path such as /Document/FIToFICstmrCdtTrf/GrpHdr, indices ignored; None if there is none."""
        names = [step.partition("[")[0] for step in path.strip("/").split("/")]
        if names[0] != self.root.name:
            return None
        current = self.root
        for name in names[1:]:
            found = current.type.by_name.get(name) if isinstance(current.type, ComplexType) else None
            if found is None:
                return None
            current = found
        return current

    def xsd(self, parts: Iterable[Element] = ()) -> bytes:
        """Return an XML schema of the message for libxml2.

        `parts` become one more global element, `Parts`, that holds any number of each: to validate them apart from the message.
        """
        head = (
            f'<xs:schema xmlns="{self.namespace}" xmlns:xs="http://www.w3.org/2001/XMLSchema" elementFormDefault="qualified" '
            f'targetNamespace="{self.namespace}">'
        )
        lines = [head, f'<xs:element name="{self.root.name}" type="{_reference(self.root.type)}"/>']
        if chosen := tuple(parts):
            lines.append('<xs:element name="Parts"><xs:complexType><xs:choice minOccurs="0" maxOccurs="unbounded">')
            lines += [f'<xs:element name="{part.name}" type="{_reference(part.type)}"/>' for part in chosen]
            lines.append("</xs:choice></xs:complexType></xs:element>")
        for kind in self.types:
            if isinstance(kind, ComplexType):
                _write_complex(kind, lines)
            elif kind.name:
                _write_simple(kind, lines)
        lines.append("</xs:schema>")
        return "\n".join(lines).encode()

    def compile(self, parts: Iterable[Element] = ()) -> etree.XMLSchema:
        """Return the schema compiled by libxml2; raise DefinitionError when it cannot be."""
        try:
            return etree.XMLSchema(etree.fromstring(self.xsd(parts), etree.XMLParser(resolve_entities=False)))
        except (etree.XMLSchemaParseError, etree.XMLSyntaxError) as error:
            raise DefinitionError("does_not_compile", f"{self.message_id}: {error}") from None

    @cached_property
    def decimal_names(self) -> frozenset[str]:
        """Return the names of all elements whose value is a decimal number somewhere in the message."""
        found = set()
        for kind in self.types:
            if isinstance(kind, ComplexType):
                for element in kind.elements:
                    value = value_type(element.type)
                    if value is not None and value.base == "decimal":
                        found.add(element.name)
        return frozenset(found)


def value_type(kind: Type) -> SimpleType | None:
    """Return the type of the value an element of this type carries, None when it carries elements."""
    return kind if isinstance(kind, SimpleType) else kind.value


@dataclass(slots=True)
class Collection:
    """Definitions in the order of their text; a type is read when it is first needed, and shared."""

    heads: dict[str, tuple[str, int]]
    _lines: list[bytes]
    _types: dict[int, Type] = field(default_factory=dict)

    @classmethod
    def from_text(cls, text: bytes) -> Collection:
        """Return the definitions of a text as `dump` writes it; raise DefinitionError."""
        first, _, rest = text.partition(b"\n")
        try:
            head = json.loads(first)
            if head["format"] != FORMAT:
                raise DefinitionError("not_a_collection", "this is no text of message definitions")
            heads = {str(name): (str(root), int(number)) for name, (root, number) in head["definitions"].items()}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            if isinstance(error, DefinitionError):
                raise
            raise DefinitionError("not_a_collection", "this is no text of message definitions") from None
        return cls(heads, rest.split(b"\n"))

    def definition(self, message_id: str) -> Definition:
        """Return one definition; raise KeyError if it is not here, DefinitionError when its text is broken."""
        root, number = self.heads[message_id]
        try:
            return Definition(MessageId.parse(message_id), Element(root, self._type(number)))
        except (ValueError, IndexError, TypeError, KeyError) as error:
            raise DefinitionError("not_a_collection", f"{message_id}: {type(error).__name__}") from None

    def _type(self, number: int) -> Type:
        known = self._types.get(number)
        if known is None:
            known = self._types[number] = self._read(json.loads(self._lines[number]), number)
        return known

    def _read(self, row: list[Any], number: int) -> Type:
        def below(other: int) -> Type:
            if not 0 <= other < number:
                raise ValueError("a type must stand after those it is made of")
            return self._type(other)

        def simple(other: int) -> SimpleType:
            kind = below(other)
            if not isinstance(kind, SimpleType):
                raise TypeError("a value is of a simple type")
            return kind

        def element(name: str, kind: int, least: int = 1, most: int = 1) -> Element:
            return Element(name, below(kind), least, None if most < 0 else most)

        def particle(row: list[Any]) -> Particle:
            if row[0] == "|":
                return Choice(tuple(element(*inner) for inner in row[1]))
            if row[0] == "*":
                return AnyElement(row[1], row[2])
            return element(*row)

        match row:
            case ["s", name, base, facets]:
                return SimpleType(name, base, ordered((facet, value) for facet, value in facets))
            case ["v", name, value, attributes]:
                return ComplexType(
                    name,
                    value=simple(value),
                    attributes=tuple(Attribute(each, simple(kind)) for each, kind in attributes),
                )
            case ["q" | "c" as kind, name, particles]:
                return ComplexType(name, tuple(particle(each) for each in particles), choice=kind == "c")
        raise ValueError("an unknown kind of type")


def dump(definitions: Iterable[Definition]) -> str:
    """Return definitions as text, types shared. The same definitions give the same text."""
    numbers: dict[str, int] = {}
    heads: dict[str, tuple[str, int]] = {}
    for definition in definitions:
        own: dict[int, int] = {}
        for kind in definition.types:
            line = json.dumps(_dump_type(kind, own), separators=(",", ":"), ensure_ascii=False)
            own[id(kind)] = numbers.setdefault(line, len(numbers))
        heads[str(definition.message_id)] = (definition.root.name, own[id(definition.root.type)])
    head = {"format": FORMAT, "notice": NOTICE, "definitions": heads}
    return "\n".join([json.dumps(head, separators=(",", ":")), *numbers])


def _dump_type(kind: Type, numbers: dict[int, int]) -> list[Any]:
    def element(of: Element) -> list[Any]:
        row: list[Any] = [of.name, numbers[id(of.type)]]
        if (of.min_occurs, of.max_occurs) != (1, 1):
            row.append(of.min_occurs)
        if of.max_occurs != 1:
            row.append(-1 if of.max_occurs is None else of.max_occurs)
        return row

    def particle(of: Particle) -> list[Any]:
        match of:
            case Element():
                return element(of)
            case Choice():
                return ["|", [element(each) for each in of.elements]]
            case AnyElement():
                return ["*", of.namespace, of.process]

    if isinstance(kind, SimpleType):
        return ["s", kind.name, kind.base, kind.facets]
    if kind.value is not None:
        return [
            "v",
            kind.name,
            numbers[id(kind.value)],
            [[each.name, numbers[id(each.type)]] for each in kind.attributes],
        ]
    return ["c" if kind.choice else "q", kind.name, [particle(each) for each in kind.particles]]


def _collect(kind: Type, found: dict[int, Type]) -> None:
    if id(kind) in found:
        return
    if isinstance(kind, ComplexType):
        if kind.value is not None:
            _collect(kind.value, found)
        for attribute in kind.attributes:
            _collect(attribute.type, found)
        for element in kind.elements:
            _collect(element.type, found)
    found[id(kind)] = kind


def _rows(element: Element, above: str, *, in_choice: bool) -> Iterator[Row]:
    path = f"{above}/{element.name}"
    yield Row(path, element.min_occurs, element.max_occurs, in_choice, element.type)
    kind = element.type
    if isinstance(kind, SimpleType):
        return
    for attribute in kind.attributes:
        yield Row(f"{path}/@{attribute.name}", 1, 1, False, attribute.type)
    for particle in kind.particles:
        match particle:
            case Element():
                yield from _rows(particle, path, in_choice=kind.choice)
            case Choice():
                for each in particle.elements:
                    yield from _rows(each, path, in_choice=True)
            case AnyElement():
                yield Row(f"{path}/*any*", 1, 1, kind.choice, None)


def _reference(kind: Type) -> str:
    return kind.name or (f"xs:{kind.base}" if isinstance(kind, SimpleType) else "")


def _write_simple(kind: SimpleType, lines: list[str]) -> None:
    facets = "".join(f"<xs:{facet} value={quoteattr(value)}/>" for facet, value in kind.facets)
    lines.append(
        f'<xs:simpleType name="{kind.name}"><xs:restriction base="xs:{kind.base}">{facets}</xs:restriction></xs:simpleType>'
    )


def _write_complex(kind: ComplexType, lines: list[str]) -> None:
    lines.append(f'<xs:complexType name="{kind.name}">')
    if kind.value is not None:
        lines.append(f'<xs:simpleContent><xs:extension base="{_reference(kind.value)}">')
        lines += [
            f'<xs:attribute name="{each.name}" type="{_reference(each.type)}" use="required"/>'
            for each in kind.attributes
        ]
        lines.append("</xs:extension></xs:simpleContent>")
    elif kind.particles:
        group = "xs:choice" if kind.choice else "xs:sequence"
        lines.append(f"<{group}>")
        for particle in kind.particles:
            _write_particle(particle, lines)
        lines.append(f"</{group}>")
    lines.append("</xs:complexType>")


def _write_particle(particle: Particle, lines: list[str]) -> None:
    match particle:
        case Element():
            most = "unbounded" if particle.max_occurs is None else str(particle.max_occurs)
            lines.append(
                f'<xs:element name="{particle.name}" type="{_reference(particle.type)}" '
                f'minOccurs="{particle.min_occurs}" maxOccurs="{most}"/>'
            )
        case Choice():
            lines.append("<xs:choice>")
            for each in particle.elements:
                _write_particle(each, lines)
            lines.append("</xs:choice>")
        case AnyElement():
            lines.append(f'<xs:any namespace="{particle.namespace}" processContents="{particle.process}"/>')
