"""The parts of a message that is read piece by piece: numbered, judged in batches and taken out of the tree as they end."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Final, NamedTuple, Protocol

from lxml import etree

from shanraq.standards.iso20022.check import MAX_FINDINGS, check_lexical, findings_of
from shanraq.standards.iso20022.definition import ComplexType, Definition, Element
from shanraq.standards.iso20022.errors import Finding, Iso20022Error, Layer, Severity
from shanraq.standards.iso20022.identify import Identity
from shanraq.standards.iso20022.library import Library, library
from shanraq.standards.iso20022.parse import Limits, check_bounds, check_tree
from shanraq.standards.iso20022.paths import TOPS, line_of, local_name, namespace_of

NAMES: Final = frozenset(
    {"PmtInf", "CdtTrfTxInf", "DrctDbtTxInf", "CdtInstr", "Stmt", "Rpt", "Ntfctn", "Ntry", "NtryDtls", "TxDtls", "TxInfAndSts",
     "TxInf", "OrgnlPmtInfAndSts", "OrgnlPmtInfAndRvsl", "OrgnlPmtInfAndCxl", "CxlDtls", "Undrlyg", "RptgReq"}
)  # fmt: skip
BATCH: Final = 100
_MARKED: Final = 10_000
_MARK: Final = re.compile(r"\[\x01([0-9]+)\]")
_INSIDE: Final = "\x02"  # in place of a path: the element is in a part that is judged by itself


class PartRules(Protocol):
    """Rules that see a long message part by part; a new object for each message."""

    def part(self, element: etree._Element, parts: Parts) -> Iterable[Finding]:
        """Look at a part that has just ended.

        It still stands in its parent, where all that came before is to be found, but of earlier parts only the first and the
        last. Parts inside of it were shown before: what `parts.is_told` of them may be gone, but for the first.
        """

    def end(self, identity: Identity, parts: Parts) -> Iterable[Finding]:
        """Say what holds for the whole message; of repeating parts its tree has the first ones alone."""


class Watcher(Protocol):
    """One who takes what is found in single parts."""

    def ended(self, element: etree._Element, place: Place, findings: Sequence[Finding]) -> None:
        """Take a part that has just ended, still in its parent, and what the rules find in it."""

    def judged(self, place: Place, findings: Sequence[Finding]) -> None:
        """Take what the schema finds in it, some parts later."""


class Row:
    """The parts of one name in one parent. `waiting` is the last one, until what follows it is known."""

    __slots__ = ("count", "number", "waiting")

    def __init__(self, number: int) -> None:
        self.number = number
        self.count = 0
        self.waiting: etree._Element | None = None


class Place:
    """Where a part stands: it is the `number`th of its row. `is_told` says that rules have seen it."""

    __slots__ = ("is_told", "number", "row")

    def __init__(self, row: Row, number: int) -> None:
        self.row = row
        self.number = number
        self.is_told = False


class _Waiting(NamedTuple):
    element: etree._Element
    path: str
    place: Place


class Parts:
    """What is kept of a message while it goes by: its findings, and the parts that are not judged yet."""

    def __init__(
        self, definition: Definition | None, known: Library, rules: Sequence[PartRules], limits: Limits,
        *, strict: bool = False, lexical: bool = True,
    ) -> None:  # fmt: skip
        self.definition = definition
        # The names of parts as the parser knows them; lxml takes an empty list for all elements.
        self.tags = ["no-part"]
        if definition is not None:
            self.tags = sorted(f"{{{definition.namespace}}}{name}" for name in NAMES)
        self.top: etree._Element | None = None
        self.unusual = False
        self.refused: Iso20022Error | None = None
        self.watcher: Watcher | None = None
        self._known = known
        self._rules = rules
        self._limits = limits
        self._strict = strict
        self._lexical = lexical
        self._parts = {} if definition is None else dict(_find_parts(definition))
        self._rows: dict[tuple[etree._Element, str], Row] = {}
        self._made = 0
        self._has_strays = False
        self._places: dict[etree._Element, Place] = {}
        self._batches: dict[str, list[_Waiting]] = {}
        self._errors: dict[Finding, None] = {}
        self._others: dict[Finding, None] = {}
        self._left_out = False
        self._marked: dict[int, Row] = {}

    def end(self, element: etree._Element) -> None:
        """Take note of a part that has just ended, and take the one before it out."""
        if self.top is None:
            self.top = element.getroottree().getroot()
        parent = element.getparent()
        names = _names(element)
        if names is None or parent is None or self.definition is None:
            return
        row = self._row(names, parent)
        row.count += 1
        self._has_strays = self._has_strays or names not in self._parts
        place = self._places[element] = Place(row, row.count)
        self._settle(names, row)
        for inner in [each for each in self._rows if each[0] is element]:
            self._close_row(inner)
        self._check_part()
        if self.refused is None:
            found: list[Finding] = []
            for rules in self._rules:
                found.extend(rules.part(element, self))
            self.tell(found)
            if self.watcher is not None:
                self.watcher.ended(element, place, found)
        row.waiting = element

    def _row(self, names: str, parent: etree._Element) -> Row:
        row = self._rows.get((parent, names))
        if row is None:
            self._made += 1
            row = self._rows[parent, names] = Row(self._made)
        return row

    def number_of(self, element: etree._Element) -> int:
        """Return the number of a part in its parent, also of one that is still open."""
        place = self._places.get(element) or self._open_place(element)
        return 1 if place is None else place.number

    def is_part(self, element: etree._Element) -> bool:
        """Tell whether an element that has ended is one that the definition lets repeat, so that it does not stay."""
        names = _names(element)
        return names is not None and names in self._parts

    def is_told(self, element: etree._Element) -> bool:
        """Tell whether rules have seen an element as a part."""
        place = self._places.get(element)
        return place is not None and place.is_told

    def mark_told(self, element: etree._Element) -> None:
        """Say that rules have seen a part."""
        self._places[element].is_told = True

    def names_above(self, element: etree._Element) -> str:
        """Return the names from Document to the parent of a part; "" where the definition has no such part."""
        names = _names(element)
        return names.rpartition("/")[0] if names is not None and names in self._parts else ""

    def is_valid(self, element: etree._Element, text: str) -> bool:
        """Tell whether the text of a part that has just ended is valid."""
        part = self._parts.get(_names(element) or "")
        if part is None or self.definition is None:
            return False
        root = etree.fromstring(f'<Parts xmlns="{self.definition.namespace}">{text}</Parts>'.encode())
        return self._known.schema(self.definition.message_id, (part,)).validate(root)

    def go_past(self, parent: etree._Element, above: str, name: str) -> int:
        """Count a part that is right and need not be judged; return its number. Only blanks stand before it."""
        names = f"{above}/{name}"
        row = self._row(names, parent)
        if row.waiting is not None:
            self._settle(names, row)
        row.count += 1
        return row.count

    def flush_all(self) -> None:
        """Judge all batches, full or not."""
        for names, part in self._parts.items():
            self.flush(names, part)

    def _check_part(self) -> None:
        """Refuse, or drop, comments and what else may hide in a tree; what is refused is told when all is read."""
        if not self.unusual or self.top is None or self.refused is not None:
            return
        try:
            check_tree(self.top, self._limits, strict=self._strict, path=self.path_of)
        except Iso20022Error as error:
            self.refused = error

    def _close_row(self, key: tuple[etree._Element, str]) -> None:
        self._settle(key[1], self._rows.pop(key))

    def _settle(self, names: str, row: Row) -> None:
        """Put the last part of a row into its batch: a copy, if it stays in the tree as the first of its kind there."""
        element, row.waiting = row.waiting, None
        part = self._parts.get(names)
        if element is None or part is None:
            return
        path, place = self.path_of(element), self._places[element]
        if place.number > 1 and _previous(element) == element.tag:
            parent = element.getparent()
            assert parent is not None
            if element.tail and not element.tail.isspace():
                words, where = "text stands where only elements are due", self.path_of(parent)
                found = Finding(
                    "text_between_elements", Severity.ERROR, Layer.SCHEMA, where, line_of(parent), words, "FF01"
                )
                self.tell([found])
            parent.remove(element)
        else:
            element = self._copy(element)
        element.tail = None
        batch = self._batches.setdefault(names, [])
        batch.append(_Waiting(element, path, place))
        if len(batch) >= BATCH:
            self.flush(names, part)

    def _copy(self, element: etree._Element) -> etree._Element:
        twin = copy.deepcopy(element)
        for ours, theirs in zip(element.iter(*self.tags), twin.iter(*self.tags), strict=True):
            if (place := self._places.get(ours)) is not None:
                self._places[theirs] = place
        return twin

    def flush(self, names: str, part: Element) -> None:
        """Judge the parts of a batch."""
        batch = self._batches.pop(names, [])
        if self.definition is None or not batch:
            return
        if self.refused is None:
            try:
                self._judge(batch, part, self.definition)
            except Iso20022Error as error:
                self.refused = error
        holds_parts = self._has_strays or any(each.startswith(f"{names}/") for each in self._parts)
        for waiting in batch:
            self._places.pop(waiting.element, None)
            for inner in waiting.element.iter(*self.tags) if holds_parts else ():
                self._places.pop(inner, None)

    def _judge(self, batch: list[_Waiting], part: Element, definition: Definition) -> None:
        root = etree.fromstring(f'<Parts xmlns="{definition.namespace}"/>')
        root.extend([each.element for each in batch])
        path_of = self._path_in({each.element: each.path for each in batch})
        check_bounds(root, self._limits)
        if self.unusual:
            check_tree(root, self._limits, strict=self._strict, path=path_of)
        found = list(check_lexical(root, definition, path_of)) if self._lexical else []
        if not self._known.schema(definition.message_id, (part,)).validate(root):
            private = definition.compile((part,))
            private.validate(root)
            found.extend(findings_of(private, root, definition, path_of))
        found = [each for each in found if each.path != _INSIDE]
        self.tell(found)
        if self.watcher is not None:
            for each in batch:
                own = [one for one in found if _is_at(one.path, each.path)] if found else []
                self.watcher.judged(each.place, own)

    def _path_in(self, paths: dict[etree._Element, str]) -> Callable[[etree._Element], str]:
        """Return a function that tells the paths of elements in parts, given those of the parts."""

        def path_of(node: etree._Element) -> str:
            steps: list[str] = []
            current: etree._Element | None = node
            while current is not None and current not in paths:
                if current is not node and current in self._places:
                    return _INSIDE
                steps.append(self._step(current))
                current = current.getparent()
            return "/".join((paths.get(current, "") if current is not None else "", *reversed(steps)))

        return path_of

    def judge_rest(self, element: etree._Element, cut: etree._Element, definition: Definition) -> None:
        """Judge a Document or header without its parts; `cut` is it as the root of a document of its own, maybe itself."""

        def path(node: etree._Element) -> str:
            # The numbers of parts are known of the tree that was read; in a copy the same place has the same position.
            node = node if cut is element else _twin(node, cut, element)
            current = node.getparent()
            while current is not None:
                if current in self._places and self.is_part(current):
                    return _INSIDE
                current = current.getparent()
            return self.path_of(node)

        if self._lexical:
            self._tell_outside(check_lexical(cut, definition, path))
        if not self._known.schema(definition.message_id).validate(cut):
            private = definition.compile()
            private.validate(cut)
            self._tell_outside(findings_of(private, cut, definition, path))

    def _tell_outside(self, findings: Iterable[Finding]) -> None:
        self.tell(found for found in findings if found.path != _INSIDE)

    def close(self) -> None:
        """Judge the batches that are not full."""
        for key in list(self._rows):
            self._close_row(key)
        self.flush_all()

    def path_of(self, element: etree._Element) -> str:
        """Return the path of an element of the message, with the numbers the parts had before others were taken out.

        Whether the first of a row has a number is known only when the row is over: a mark stands for it, see `resolve`.
        """
        steps: list[str] = []
        current: etree._Element | None = element
        while current is not None:
            parent = current.getparent()
            if parent is None or local_name(current) in TOPS:
                steps.append(local_name(current))
                break
            steps.append(self._step(current))
            current = parent
        return "/" + "/".join(reversed(steps))

    def _step(self, element: etree._Element) -> str:
        place = self._places.get(element) or self._open_place(element)
        if place is None:
            return _step(element)
        if place.number > 1:
            return f"{local_name(element)}[{place.number}]"
        if len(self._marked) > _MARKED:
            self._forget_marks()
        self._marked[place.row.number] = place.row
        return f"{local_name(element)}[\x01{place.row.number}]"

    def _open_place(self, element: etree._Element) -> Place | None:
        """Return where a part stands whose end was not told yet: every other that is in the tree has its place."""
        names = _names(element) if local_name(element) in NAMES else None
        parent = element.getparent()
        if (
            names is None
            or parent is None
            or self.definition is None
            or namespace_of(element) != self.definition.namespace
        ):
            return None
        row = self._row(names, parent)
        before = sum(1 for each in element.itersiblings(element.tag, preceding=True) if each not in self._places)
        return Place(row, row.count + before + 1)

    def _forget_marks(self) -> None:
        paths = [found.path for found in (*self._errors, *self._others)]
        paths += [each.path for batch in self._batches.values() for each in batch]
        needed = {int(number) for path in paths for number in _MARK.findall(path)}
        needed |= {row.number for row in self._rows.values()}
        self._marked = {number: row for number, row in self._marked.items() if number in needed}

    def resolve(self, finding: Finding) -> Finding:
        """Return a finding with its path as it stands by what has been read."""
        path = self.resolve_path(finding.path)
        return finding if path == finding.path else replace(finding, path=path)

    def resolve_path(self, path: str) -> str:
        """Return a path without marks."""

        def number(found: re.Match[str]) -> str:
            row = self._marked.get(int(found.group(1)))
            return "[1]" if row is not None and row.count > 1 else ""

        return _MARK.sub(number, path) if "\x01" in path else path

    def tell(self, findings: Iterable[Finding]) -> None:
        """Keep findings, as many as a report may have."""
        for finding in findings:
            kept = self._errors if finding.severity is Severity.ERROR else self._others
            if finding in kept:
                continue
            if len(kept) >= MAX_FINDINGS:
                self._left_out = True
            else:
                kept[finding] = None

    def findings(self) -> tuple[Finding, ...]:
        """Return what has been found, errors first."""
        found = [self.resolve(each) for each in (*self._errors, *self._others)]
        if self._left_out:
            words = f"more than {MAX_FINDINGS} findings, the rest is left out"
            severity = Severity.ERROR if self._errors else Severity.WARNING
            found.append(Finding("too_many_findings", severity, Layer.SCHEMA, "", 0, words, "FF01"))
        return tuple(found)


def validate_schema(document: etree._Element, definitions: Library | None = None) -> list[Finding]:
    """Return what the schema of a document does not allow, at most MAX_FINDINGS; none when it is valid.

    libxml2 looks at nothing more of an element once something stands out of order in it. So the parts of a message that is not
    valid are judged one by one, as those of a long file are. `document` is the root of a document of its own (`cut_out`).
    Raises Iso20022Error for a namespace without definition.
    """
    known = definitions or library()
    definition = known.definition(namespace_of(document).rpartition(":")[2])
    if known.schema(definition.message_id).validate(document):
        return []
    parts = Parts(definition, known, (), Limits(), lexical=False)
    taken = copy.deepcopy(document)
    for _, element in etree.iterwalk(taken, events=("end",), tag=parts.tags):
        parts.end(element)
    parts.close()
    parts.judge_rest(taken, taken, definition)
    return list(parts.findings())


def _is_at(path: str, part: str) -> bool:
    return path == part or path.startswith(f"{part}/")


def _find_parts(definition: Definition) -> Iterator[tuple[str, Element]]:
    def below(element: Element, names: str) -> Iterator[tuple[str, Element]]:
        if not isinstance(element.type, ComplexType):
            return
        for child in element.type.elements:
            if child.name in NAMES and child.max_occurs is None:
                inside = f"{names}/{child.name}"
                yield inside, child
                yield from below(child, inside)

    if definition.message is not definition.root:
        yield from below(definition.message, f"{definition.root.name}/{definition.message.name}")


def _names(element: etree._Element) -> str | None:
    """Return the local names from Document on; None when there is no Document around."""
    names: list[str] = []
    current: etree._Element | None = element
    while current is not None:
        name = local_name(current)
        names.append(name)
        if name == "Document":
            return "/".join(reversed(names))
        current = current.getparent()
    return None


def _previous(element: etree._Element) -> str:
    before = next(element.itersiblings(tag=etree.Element, preceding=True), None)
    return "" if before is None else str(before.tag)


def _step(element: etree._Element) -> str:
    name = local_name(element)
    before = sum(1 for _ in element.itersiblings(element.tag, preceding=True))
    if before or next(element.itersiblings(element.tag), None) is not None:
        return f"{name}[{before + 1}]"
    return name


def _twin(node: etree._Element, copied: etree._Element, original: etree._Element) -> etree._Element:
    """Return the element of the original at the place a node has in its copy."""
    places: list[int] = []
    current = node
    while current is not copied:
        parent = current.getparent()
        if parent is None:
            return original
        places.append(parent.index(current))
        current = parent
    found = original
    for place in reversed(places):
        found = found[place]
    return found
