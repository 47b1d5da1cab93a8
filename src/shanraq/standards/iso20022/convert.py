"""Bring a message into another version of its definition, and account for every value of it.

converted = convert(document, to="pacs.008.001.10")
converted.document                  # valid for its schema
converted.losses                    # what was changed or dropped: path, value, why
converted.traces                    # every value of the input, exactly once: kept, moved, changed or dropped

The two definitions decide what goes where, and renamings (data) what was called otherwise. Nothing is made up: where the other
version demands what the message does not say, a ConversionError names the place.
"""

from __future__ import annotations

import datetime as dt
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any, Final

from lxml import etree

from shanraq.standards.iso20022.definition import Choice, ComplexType, Definition, Element, SimpleType
from shanraq.standards.iso20022.errors import Iso20022Error
from shanraq.standards.iso20022.identify import MessageId, cut_out
from shanraq.standards.iso20022.json_form import foreign_xml, has_slot
from shanraq.standards.iso20022.lexical import fits, longest
from shanraq.standards.iso20022.library import Library, library
from shanraq.standards.iso20022.parts import validate_schema
from shanraq.standards.iso20022.paths import line_of, local_name, namespace_of
from shanraq.standards.iso20022.renamings import BRANCHES, REASONS, RENAMINGS, SHORTENED, WRAPPERS

_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)


class Outcome(StrEnum):
    """What became of a value: kept and moved have it unchanged, moved at another path."""

    KEPT = "kept"
    MOVED = "moved"
    CHANGED = "changed"
    DROPPED = "dropped"


@dataclass(slots=True)
class Trace:
    """What became of one value of the input.

    `path` is its place there, `target` that in the output, "" when dropped; attributes have /@Ccy behind their element, an
    open slot is one value at /*any*. `code` and `reason` say why, "" when kept; `lacking` is what an element would have lacked
    that was dropped as `incomplete`. Values are left out of the representation.
    """

    outcome: Outcome
    path: str
    target: str
    code: str
    value: str = field(repr=False)
    new_value: str = field(repr=False)
    lacking: str = ""

    @property
    def reason(self) -> str:
        """Return in words why the value was not kept, "" when it was."""
        return REASONS.get(self.code, "")

    def to_dict(self) -> dict[str, Any]:
        """Return the trace as JSON knows it, with the values."""
        return {**asdict(self), "outcome": self.outcome.value, "reason": self.reason}


@dataclass(frozen=True, slots=True)
class Converted:
    """A document in another version, and what became of every value of the input, in the order of the input."""

    document: etree._Element
    source: MessageId
    target: MessageId
    traces: tuple[Trace, ...]

    @property
    def losses(self) -> tuple[Trace, ...]:
        """Return the values that were changed or dropped."""
        return tuple(trace for trace in self.traces if trace.outcome in (Outcome.CHANGED, Outcome.DROPPED))

    def counts(self) -> dict[str, int]:
        """Return how many values have each outcome; together they are all of the input."""
        found = Counter(trace.outcome for trace in self.traces)
        return {outcome.value: found[outcome] for outcome in Outcome}


class ConversionError(Iso20022Error):
    """A document that cannot be brought into the version asked for; `path` is where, in that version's names."""


def convert(document: etree._Element, *, to: str, definitions: Library | None = None) -> Converted:
    """Return a Document or AppHdr in another version of the same message; the input is left as it is.

    Raises Iso20022Error when the input is not valid or a version has no definition; ConversionError with code
    `another_message` when `to` is a version of another message, `incomplete` when a mandatory element would be missing.
    """
    known = definitions or library()
    cut = cut_out(document)
    source = known.definition(namespace_of(cut).rpartition(":")[2])
    target = known.definition(to)
    if source.message_id.kind != target.message_id.kind:
        raise ConversionError(
            "another_message", "", 0, f"{source.message_id} and {target.message_id} are not versions of one message"
        )
    if wrong := validate_schema(cut, known):
        first = wrong[0]
        raise Iso20022Error(first.code, first.path, first.line, first.message, reason=first.reason)
    return _Conversion(source, target).run(cut, known)


@dataclass(slots=True, eq=False)
class _Node:
    """An element of the output in the making."""

    element: Element
    children: list[_Node] = field(default_factory=list)
    text: str | None = None
    attributes: dict[str, str] = field(default_factory=dict)
    foreign: etree._Element | None = None
    hollow: bool = False  # it held something, and nothing of it is left
    traces: list[tuple[Trace, str]] = field(default_factory=list)  # with what goes behind the path: "", /@Ccy, /*any*

    @property
    def name(self) -> str:
        return self.element.name

    def drop(self, code: str, lacking: str = "") -> None:
        """Tell of all values below that they are dropped; the first reason stays."""
        for trace, _ in self.traces:
            trace.outcome, trace.target, trace.code, trace.new_value = Outcome.DROPPED, "", code, ""
            trace.lacking = lacking
        self.traces.clear()
        for child in self.children:
            child.drop(code, lacking)


class _Conversion:
    def __init__(self, source: Definition, target: Definition) -> None:
        self._source = source
        self._target = target
        self._traces: list[Trace] = []
        self._paths: dict[str, str] = {}

    def run(self, document: etree._Element, known: Library) -> Converted:
        root = _Node(self._target.root)
        path = f"/{local_name(document)}"
        if self._source.message is self._source.root:
            self._fill(root, document, self._source.root, path)
        else:
            # The message may be called otherwise (FinInstnCdtTrf, FICdtTrf): it is the only child of Document.
            message = _Node(self._target.message)
            root.children.append(message)
            inner = next(document.iterchildren(tag=etree.Element))
            self._fill(message, inner, self._source.message, f"{path}/{local_name(inner)}")
        if missing := _prune(root):
            raise ConversionError(
                "incomplete",
                f"/{missing}",
                line_of(document),
                f"{self._target.message_id} demands what the message does not say: /{missing}",
                reason="CH21",
            )
        made = etree.Element(f"{{{self._target.namespace}}}{root.name}", nsmap={None: self._target.namespace})  # type: ignore[dict-item]
        self._write(root, made, f"/{root.name}")
        if wrong := validate_schema(made, known):
            first = wrong[0]
            raise ConversionError(first.code, first.path, 0, first.message, reason=first.reason)
        return Converted(made, self._source.message_id, self._target.message_id, tuple(self._traces))

    def _fill(self, node: _Node, element: etree._Element, place: Element, path: str) -> None:
        """Put what an element of the input holds into one of the output."""
        source, target = place.type, node.element.type
        if isinstance(source, SimpleType) or source.value is not None:
            self._fill_value(node, element, source, path)
        elif isinstance(target, SimpleType) or target.value is not None:
            self._unwrap(node, element, source, path)
        elif has_slot(source) or has_slot(target):
            self._fill_slot(node, element, source, target, path)
        else:
            if len(element) == 0 and (branch := _branch(target)) is not None:
                _only(node, branch)  # an empty party stays one
            for child, inner, below in _children(element, source, path):
                self._place(node, child, inner, (inner.name,), place.name, below)

    def _place(
        self, node: _Node, element: etree._Element, place: Element, names: tuple[str, ...], parent: str, path: str
    ) -> None:
        """Find the place for a child of the input below a node of the output, by its name or a renaming."""
        kind = node.element.type
        assert isinstance(kind, ComplexType)
        if len(names) == 1 and names[0] in kind.by_name:
            own = _own_text(kind, names[0], element.text or "")
            child = _Node(own or kind.by_name[names[0]])
            node.children.append(child)
            self._fill(child, element, place, path)
            if own is not None:
                child.traces[0][0].code = "not_a_code"
            return
        for renamed in _renamed(names, parent):
            if (grown := _grow(node, renamed)) is not None:
                self._fill(grown, element, place, path)
                return
        branch = _branch(kind)
        if names[0] in BRANCHES and _takes_any(place, kind):
            self._fill(node, element, place, path)  # Dbtr{Pty|Agt} was a party itself before
        elif branch is not None and isinstance(branch.type, ComplexType) and names[0] in branch.type.by_name:
            self._place(_only(node, branch), element, place, names, parent, path)
        elif len(names) == 1 and isinstance(place.type, ComplexType) and _renamed_inside(names[0], parent):
            for inside, inner, below in _children(element, place.type, path):
                self._place(node, inside, inner, (*names, inner.name), parent, below)
        else:
            self._drop(element, place.type, path, "no_place")

    def _fill_value(self, node: _Node, element: etree._Element, source: SimpleType | ComplexType, path: str) -> None:
        target = node.element.type
        value = _value_of(target)
        if value is None:
            assert isinstance(target, ComplexType)
            wrapper = self._wrapper(target, element.text or "")
            if wrapper is None:
                self._drop(element, source, path, "no_place")
                return
            inner = _Node(wrapper)
            node.children.append(inner)
            self._fill_value(inner, element, source, path)
            return
        own = [each.name for each in target.attributes] if isinstance(target, ComplexType) else []
        given = [each.name for each in source.attributes] if isinstance(source, ComplexType) else []
        text = element.text or ""
        new, code = _adapt(text, node.name, value)
        if new is None or not set(own) <= set(given):
            self._drop(element, source, path, code or "not_of_type")
            node.text = None
            return
        node.text = new
        node.traces.append((self._trace(path, text, new, code), ""))
        for name in given:
            attribute = element.get(name, "")
            if name in own:
                node.attributes[name] = attribute
                node.traces.append((self._trace(f"{path}/@{name}", attribute, attribute, ""), f"/@{name}"))
            else:
                self._trace(f"{path}/@{name}", attribute, "", "no_place").outcome = Outcome.DROPPED

    def _wrapper(self, target: ComplexType, text: str) -> Element | None:
        found = [target.by_name[name] for name in WRAPPERS if name in target.by_name]
        takes = [each for each in found if (kind := _value_of(each.type)) is not None and fits(text, kind)]
        return takes[0] if takes else None

    def _unwrap(self, node: _Node, element: etree._Element, source: ComplexType, path: str) -> None:
        taken = False
        for child, inner, below in _children(element, source, path):
            if not taken and inner.name in WRAPPERS and _value_of(inner.type) is not None:
                self._fill_value(node, child, inner.type, below)
                taken = node.text is not None
            else:
                self._drop(child, inner.type, below, "no_place")

    def _fill_slot(
        self, node: _Node, element: etree._Element, source: ComplexType, target: ComplexType, path: str
    ) -> None:
        if not (has_slot(source) and has_slot(target)):
            self._drop(element, source, path, "no_place")
            return
        for child in element.iterchildren(tag=etree.Element):
            node.foreign = cut_out(child)
            text = foreign_xml(child)
            node.traces.append((self._trace(f"{path}/*any*", text, text, ""), "/*any*"))

    def _drop(self, element: etree._Element, kind: SimpleType | ComplexType, path: str, code: str) -> None:
        for place, text in values(element, kind, path):
            self._trace(place, text, "", code).outcome = Outcome.DROPPED

    def _trace(self, path: str, text: str, new: str, code: str) -> Trace:
        outcome = Outcome.KEPT if text == new else Outcome.CHANGED
        trace = Trace(outcome, path, "", code, text, new)
        self._traces.append(trace)
        return trace

    def _write(self, node: _Node, element: etree._Element, path: str) -> None:
        element.text = node.text
        for name, text in node.attributes.items():
            element.set(name, text)
        if node.foreign is not None:
            element.append(node.foreign)
        for trace, behind in node.traces:
            trace.target = path + behind
            if trace.outcome is Outcome.KEPT and trace.target != trace.path:
                trace.outcome, trace.code = Outcome.MOVED, trace.code or "renamed"
        number: Counter[str] = Counter()
        many = Counter(child.name for child in node.children)
        for child in _in_order(node):
            number[child.name] += 1
            index = f"[{number[child.name]}]" if many[child.name] > 1 else ""
            made = etree.SubElement(element, f"{{{self._target.namespace}}}{child.name}")
            self._write(child, made, f"{path}/{child.name}{index}")


def values(element: etree._Element, kind: SimpleType | ComplexType, path: str) -> Iterator[tuple[str, str]]:
    """Yield path and text of every value of a valid element: texts, attributes, and each foreign element as one."""
    if _value_of(kind) is not None:
        yield path, element.text or ""
        for attribute in kind.attributes if isinstance(kind, ComplexType) else ():
            yield f"{path}/@{attribute.name}", element.get(attribute.name, "")
        return
    assert isinstance(kind, ComplexType)
    if has_slot(kind):
        for child in element.iterchildren(tag=etree.Element):
            yield f"{path}/*any*", foreign_xml(child)
        return
    for child, inner, below in _children(element, kind, path):
        yield from values(child, inner.type, below)


def _children(element: etree._Element, kind: ComplexType, path: str) -> Iterator[tuple[etree._Element, Element, str]]:
    children = list(element.iterchildren(tag=etree.Element))
    many = Counter(local_name(child) for child in children)
    number: Counter[str] = Counter()
    for child in children:
        name = local_name(child)
        number[name] += 1
        index = f"[{number[name]}]" if many[name] > 1 else ""
        yield child, kind.by_name[name], f"{path}/{name}{index}"


def _value_of(kind: SimpleType | ComplexType) -> SimpleType | None:
    return kind if isinstance(kind, SimpleType) else kind.value


def _own_text(kind: ComplexType, name: str, text: str) -> Element | None:
    """Return the branch for texts of one's own in a choice of Cd and Prtry when the code is not one of the list."""
    code, own = kind.by_name[name], kind.by_name.get("Prtry")
    if name != "Cd" or own is None or not kind.choice:
        return None
    if not isinstance(code.type, SimpleType) or not isinstance(own.type, SimpleType) or fits(text, code.type):
        return None
    return own if fits(text, own.type) else None


def _branch(kind: ComplexType) -> Element | None:
    """Return the branch of a choice that was the whole element in earlier versions."""
    return next((kind.by_name[name] for name in BRANCHES if kind.choice and name in kind.by_name), None)


def _takes_any(place: Element, kind: ComplexType) -> bool:
    return isinstance(place.type, ComplexType) and bool(place.type.by_name.keys() & kind.by_name.keys())


def _renamed(names: tuple[str, ...], parent: str) -> Iterator[tuple[str, ...]]:
    """Yield what a place is called in newer and in older versions."""
    for each in RENAMINGS:
        if each.within in ("", parent):
            if each.older == names:
                yield each.newer
            if each.newer == names:
                yield each.older


def _renamed_inside(name: str, parent: str) -> bool:
    return any(
        len(side) > 1 and side[0] == name and each.within in ("", parent)
        for each in RENAMINGS
        for side in (each.older, each.newer)
    )


def _only(node: _Node, element: Element) -> _Node:
    for child in node.children:
        if child.name == element.name:
            return child
    made = _Node(element)
    node.children.append(made)
    return made


def _grow(node: _Node, names: tuple[str, ...]) -> _Node | None:
    """Return a new node at a path below another, None when the output has no such path; what leads there is shared."""
    kind: SimpleType | ComplexType = node.element.type
    steps: list[Element] = []
    for name in names:
        found = kind.by_name.get(name) if isinstance(kind, ComplexType) else None
        if found is None:
            return None
        steps.append(found)
        kind = found.type
    for step in steps[:-1]:
        node = _only(node, step)
    made = _Node(steps[-1])
    node.children.append(made)
    return made


def _adapt(text: str, name: str, kind: SimpleType) -> tuple[str | None, str]:
    """Return the text as a type takes it and the reason of a change; None when there is no honest way."""
    if fits(text, kind):
        return text, ""
    moment = _moment(text)
    if kind.base == "date" and moment is not None and fits(text.strip()[:10], kind):
        return text.strip()[:10], "time_left_out"
    if kind.base == "gYear" and _DATE.fullmatch(text.strip()):
        return text.strip()[:4], "year_only"
    if kind.base == "dateTime" and moment is not None and moment.tzinfo is not None:
        utc = moment.astimezone(dt.UTC).isoformat().replace("+00:00", "Z")
        if fits(utc, kind):
            return utc, "in_utc"
    most = longest(kind)
    if name in SHORTENED and most is not None and len(text) > most and fits(text[:most], kind):
        return text[:most], "shortened"
    return None, "not_of_type"


def _moment(text: str) -> dt.datetime | None:
    if "T" not in text:
        return None
    try:
        return dt.datetime.fromisoformat(text.strip())
    except ValueError:
        return None


def _prune(node: _Node) -> str:
    """Take out what the output does not take; return the path from the node on of what it then lacks, "" when it is whole."""
    kind = node.element.type
    if _value_of(kind) is not None:
        return "" if node.text is not None else node.name
    assert isinstance(kind, ComplexType)
    if has_slot(kind):
        return "" if node.foreign is not None else f"{node.name}/*any*"
    lacking: dict[str, str] = {}
    whole: list[_Node] = []
    had = bool(node.children)
    count: Counter[str] = Counter()
    for child in _in_order(node):
        missing = _prune(child)
        most = child.element.max_occurs
        if missing:
            lacking.setdefault(child.name, missing)
            child.drop("incomplete", missing)
        elif most is not None and count[child.name] >= most:
            child.drop("too_many")
        elif kind.choice or child.element.min_occurs or not child.hollow:
            count[child.name] += 1
            whole.append(child)
    node.children = whole
    for choice in [Choice(kind.elements)] if kind.choice else [p for p in kind.particles if isinstance(p, Choice)]:
        _choose(node, {each.name for each in choice.elements})
    node.hollow = had and all(child.hollow for child in node.children)
    missing = _missing(node, kind, lacking)
    return f"{node.name}/{missing}" if missing else ""


def _choose(node: _Node, names: set[str]) -> None:
    """Leave one branch of a choice: the first that came."""
    chosen = next((child.name for child in node.children if child.name in names), None)
    for child in [each for each in node.children if each.name in names and each.name != chosen]:
        child.drop("one_of")
        node.children.remove(child)


def _missing(node: _Node, kind: ComplexType, lacking: dict[str, str]) -> str:
    present = Counter(child.name for child in node.children)
    if kind.choice:
        return "" if _satisfied(kind.elements, present) else _first(kind.elements, lacking)
    for particle in kind.particles:
        if isinstance(particle, Choice):
            if not _satisfied(particle.elements, present):
                return _first(particle.elements, lacking)
        elif isinstance(particle, Element) and present[particle.name] < particle.min_occurs:
            return lacking.get(particle.name, particle.name)
    return ""


def _satisfied(branches: tuple[Element, ...], present: Counter[str]) -> bool:
    return any(present[each.name] >= max(each.min_occurs, 1) for each in branches) or any(
        each.min_occurs == 0 for each in branches
    )


def _first(branches: tuple[Element, ...], lacking: dict[str, str]) -> str:
    """Return the branch that was tried and is not whole, else all there are."""
    tried = next((lacking[each.name] for each in branches if each.name in lacking), "")
    return tried or "|".join(each.name for each in branches)


def _in_order(node: _Node) -> list[_Node]:
    kind = node.element.type
    if isinstance(kind, SimpleType):
        return []
    order: Final = {element.name: number for number, element in enumerate(kind.elements)}
    return sorted(node.children, key=lambda child: order[child.name])
