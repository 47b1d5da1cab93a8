"""Validate a message of any length in bounded memory: transactions and entries one after another.

The repeating parts of a message (payment blocks, transactions, statements, entries) are taken out of the tree as they end, and
validated in batches against a schema whose root holds any number of them. What is left is a message with the first of each, in
its order, which the whole schema judges. So every element is judged once, and the tree never holds more than a batch.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, Final, Protocol, cast

from lxml import etree

from shanraq.standards.iso20022.check import MAX_FINDINGS, check_lexical, findings_of
from shanraq.standards.iso20022.definition import ComplexType, Definition, Element
from shanraq.standards.iso20022.errors import Finding, Iso20022Error, Layer, Severity
from shanraq.standards.iso20022.identify import NAMESPACE_PREFIX, Identity, check_identity, cut_out, identify
from shanraq.standards.iso20022.library import Library, library
from shanraq.standards.iso20022.parse import (
    Limits,
    check_bounds,
    check_bytes,
    check_encoding,
    check_tree,
    syntax_error,
)
from shanraq.standards.iso20022.paths import line_of, local_name, namespace_of
from shanraq.standards.iso20022.validate import Report, registered_layers

PARTS: Final = frozenset(
    {"PmtInf", "CdtTrfTxInf", "DrctDbtTxInf", "CdtInstr", "Stmt", "Rpt", "Ntfctn", "Ntry", "NtryDtls", "TxDtls", "TxInfAndSts",
     "TxInf", "OrgnlPmtInfAndSts", "OrgnlPmtInfAndRvsl", "OrgnlPmtInfAndCxl", "CxlDtls", "Undrlyg", "RptgReq"}
)  # fmt: skip
STREAM_LIMITS: Final = Limits(size_bytes=4 * 1024**3, elements=1_000_000, namespaces=1_000_000)
_CHUNK_BYTES: Final = 64 * 1024
_BATCH: Final = 100
_KEPT_BYTES: Final = 256 * 1024 * 1024  # how much may be read before the first part ends
_KEPT_CHARACTERS: Final = 32 * 1024 * 1024  # of what is not taken out of the tree
_LOOK_EVERY: Final = 16  # chunks
_HEAD_BYTES: Final = 128 * 1024
_OVERLAP: Final = 64


class PartRules(Protocol):
    """Rules that see a long message part by part; a new object for each message."""

    def part(self, path: str, element: etree._Element, definition: Definition) -> Iterable[Finding]:
        """Look at a part that has just ended.

        It still stands in its parent, where all that came before is to be found, but of earlier parts only the first and
        the last. Parts inside of it were shown before.
        """

    def end(self, identity: Identity) -> Iterable[Finding]:
        """Say what holds for the whole message; of repeating parts its tree has the first ones alone."""


MakeRules = Callable[[str, dt.datetime, Mapping[str, Any], Sequence[bytes]], PartRules]
_registered: Final[list[MakeRules]] = []


def register_part_rules(make: MakeRules) -> MakeRules:
    """Let every stream from now on be seen by further rules, made from profile, moment, options and store."""
    if make not in _registered:
        _registered.append(make)
    return make


@dataclass(slots=True)
class _Row:
    """The parts of one name in one parent that is still open: how many, and the last one, which is not taken out yet."""

    parent: etree._Element
    count: int = 0
    last: etree._Element | None = None


class _Stream:
    def __init__(
        self,
        definition: Definition | None,
        known: Library,
        rules: Sequence[PartRules],
        limits: Limits,
        *,
        strict: bool,
    ) -> None:
        self.findings: list[Finding] = []
        self._definition = definition
        self._known = known
        self.rules = rules
        self._limits = limits
        self.strict = strict
        self.top: etree._Element | None = None
        self._parts = {} if definition is None else dict(_find_parts(definition))
        self._rows: dict[str, _Row] = {}
        self._numbers: dict[etree._Element, int] = {}
        self._batches: dict[str, list[tuple[etree._Element, str]]] = {}

    @property
    def tags(self) -> list[str]:
        """Return the names of parts as the parser knows them."""
        if self._definition is None or not self._parts:
            return ["no-part"]  # lxml takes an empty list for all elements
        return sorted({f"{{{self._definition.namespace}}}{element.name}" for element in self._parts.values()})

    def end(self, element: etree._Element) -> None:
        """Take note of a part that has just ended, and take the one before it out."""
        if self.top is None:
            self.top = element.getroottree().getroot()
        parent = element.getparent()
        names = _names(element)
        part = None if names is None else self._parts.get(names)
        if part is None or names is None or parent is None or self._definition is None:
            return
        row = self._rows.get(names)
        if row is None or row.parent is not parent:
            row = self._rows[names] = _Row(parent)
        row.count += 1
        self._numbers[element] = row.count
        path = self.path_of(element, repeated=True)
        for rules in self.rules:
            self.tell(rules.part(path, element, self._definition))
        if row.last is not None:
            self._take_out(row.last, names, part)
        row.last = None
        if row.count > 1 and _previous(element) == element.tag:
            row.last = element

    def _take_out(self, element: etree._Element, names: str, part: Element) -> None:
        path = self.path_of(element, repeated=True)
        parent = element.getparent()
        assert parent is not None
        if element.tail and not element.tail.isspace():
            words = "text stands where only elements are due"
            self.tell(
                [Finding("text_between_elements", Severity.ERROR, Layer.SCHEMA, path, line_of(element), words, "FF01")]
            )
        parent.remove(element)
        element.tail = None
        batch = self._batches.setdefault(names, [])
        batch.append((element, path))
        if len(batch) >= _BATCH:
            self._flush(names, part)

    def _flush(self, names: str, part: Element) -> None:
        definition = self._definition
        batch = self._batches.pop(names, [])
        if definition is None or not batch:
            return
        root = etree.fromstring(f'<Parts xmlns="{definition.namespace}"/>')
        root.extend([element for element, _ in batch])
        places = dict(batch)

        def path_of(node: etree._Element) -> str:
            steps: list[str] = []
            current: etree._Element | None = node
            while current is not None and current not in places:
                steps.append(_step(current))
                current = current.getparent()
            return "/".join((places.get(current, "") if current is not None else "", *reversed(steps)))

        check_bounds(root, self._limits)
        check_tree(root, self._limits, strict=self.strict, path=path_of)
        self.tell(check_lexical(root, definition, path_of))
        if not self._known.schema(definition.message_id, (part,)).validate(root):
            private = definition.compile((part,))
            private.validate(root)
            self.tell(findings_of(private, root, definition, path_of))
        for element, _ in batch:
            for inner in element.iter(*self.tags):
                self._numbers.pop(inner, None)

    def close(self) -> None:
        """Judge the batches that are not full."""
        for names, part in self._parts.items():
            self._flush(names, part)

    def path_of(self, element: etree._Element, *, repeated: bool = False) -> str:
        """Return the path of an element of the message, with the numbers the parts had before others were taken out."""
        steps: list[str] = []
        current: etree._Element | None = element
        while current is not None:
            name = local_name(current)
            if name in ("Document", "AppHdr") or current.getparent() is None:
                steps.append(name)
                break
            number = self._numbers.get(current, 0)
            if number and (number > 1 or (repeated and current is not element) or self._is_repeated(current)):
                steps.append(f"{name}[{number}]")
            else:
                steps.append(name if number else _step(current))
            current = current.getparent()
        return "/" + "/".join(reversed(steps))

    def _is_repeated(self, element: etree._Element) -> bool:
        names = _names(element)
        row = self._rows.get(names) if names is not None else None
        return row is not None and row.parent is element.getparent() and row.count > 1

    def tell(self, findings: Iterable[Finding]) -> None:
        """Keep findings, as many as a report may have."""
        for finding in findings:
            if len(self.findings) >= MAX_FINDINGS:
                return
            self.findings.append(finding)


def validate_stream(
    source: BinaryIO,
    *,
    definitions: Library | None = None,
    profile: str = "iso",
    as_of: dt.datetime | None = None,
    options: Mapping[str, Any] | None = None,
    store: Sequence[bytes] = (),
    limits: Limits = STREAM_LIMITS,
) -> Report:
    """Return what does not hold in a message that is read piece by piece: safety, lexical, schema, and registered PartRules.

    The parameters are those of `validate`, and so is the verdict of these layers; at most MAX_FINDINGS findings, in the order
    they are met. Never raises for what the bytes say. Where layers are registered but no PartRules, the warning
    `layers_left_out` says that they did not look.
    """
    known = definitions or library()
    stream: _Stream | None = None
    message = ""
    try:
        head = source.read(_HEAD_BYTES)
        check_bytes(head, limits=limits)
        namespace = _document_namespace(head)
        message = namespace.removeprefix(NAMESPACE_PREFIX)
        definition = known.find(message) if message != namespace else None
        moment = as_of or dt.datetime.now(dt.UTC)
        rules = [make(profile, moment, dict(options or {}), store) for make in _registered]
        stream = _Stream(definition, known, rules, limits, strict=(options or {}).get("policy") == "strict")
        root = _read(source, head, stream, limits)
        if registered_layers() and not rules:
            words = "the message is long: only safety, numbers and schema were checked"
            stream.tell([Finding("layers_left_out", Severity.WARNING, Layer.CROSS, "", 0, words)])
        return _finish(root, stream, known, limits)
    except Iso20022Error as error:
        found = [] if stream is None else stream.findings
        return Report(message if known.find(message) else "", (*found, error.to_finding()))


def _read(source: BinaryIO, head: bytes, stream: _Stream, limits: Limits) -> etree._Element:
    parser = etree.XMLPullParser(
        events=("end",),
        tag=stream.tags,
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        dtd_validation=False,
        attribute_defaults=False,
        huge_tree=False,
        recover=False,
        collect_ids=False,
    )
    guard = _Guard(limits, strict=stream.strict)
    try:
        for chunk in _chunks(source, head):
            guard.look(chunk)
            parser.feed(chunk)
            for _, element in parser.read_events():
                stream.end(cast(Any, element))
            guard.look_at_tree(stream.top)
        root = parser.close()
    except etree.XMLSyntaxError as error:
        raise syntax_error(error) from None
    stream.close()
    return root


def _finish(root: etree._Element, stream: _Stream, known: Library, limits: Limits) -> Report:
    check_bounds(root, limits)
    check_tree(root, limits, strict=stream.strict, path=stream.path_of)
    identity = identify(root)
    check_identity(identity)
    for part in (*identity.headers, *identity.documents):
        assert part.message_id is not None
        try:
            definition = known.definition(part.message_id)
        except Iso20022Error as error:
            stream.tell([error.to_finding(Layer.SCHEMA)])
            continue
        element = cut_out(part.element)
        # The numbers of parts are known of the tree that was read; in a copy the same place has the same position.
        original = part.element

        def path(node: etree._Element, cut: etree._Element = element, read: etree._Element = original) -> str:
            return stream.path_of(node if cut is read else _twin(node, cut, read))

        stream.tell(check_lexical(element, definition, path))
        if not known.schema(definition.message_id).validate(element):
            private = definition.compile()
            private.validate(element)
            stream.tell(findings_of(private, element, definition, path))
    for rules in stream.rules:
        stream.tell(rules.end(identity))
    return Report(str(identity.message_id or ""), tuple(stream.findings))


class _Guard:
    """Look at the bytes before the parser does, across the seams of chunks."""

    def __init__(self, limits: Limits, *, strict: bool) -> None:
        self._limits = limits
        self._strict = strict
        self._size = 0
        self._namespaces = 0
        self._lines = 1
        self._rest = b""
        self._chunks = 0

    def look(self, chunk: bytes) -> None:
        if not self._size:
            check_encoding(chunk[:1024])
        self._size += len(chunk)
        if self._size > self._limits.size_bytes:
            raise Iso20022Error("too_large", "", 0, f"more than {self._limits.size_bytes} bytes")
        seam = self._rest + chunk
        for mark in (b"<!DOCTYPE", b"<!ENTITY"):
            if (offset := seam.find(mark)) >= 0:
                line = self._lines + seam.count(b"\n", 0, offset) - self._rest.count(b"\n")
                raise Iso20022Error("doctype", "", line, "a document type declaration is not allowed")
        if self._strict and b"<![CDATA[" in seam:
            raise Iso20022Error("cdata", "", 0, "a CDATA section is not allowed here")
        if b"http://www.w3.org/2001/XInclude" in seam:
            raise Iso20022Error("xinclude", "", 0, "XInclude is not allowed")
        self._namespaces += chunk.count(b"xmlns")
        if self._namespaces > self._limits.namespaces:
            raise Iso20022Error(
                "too_many_namespaces", "", 0, f"more than {self._limits.namespaces} namespace declarations"
            )
        self._lines += chunk.count(b"\n")
        self._rest = chunk[-_OVERLAP:]

    def look_at_tree(self, top: etree._Element | None) -> None:
        """Refuse a message that grows without parts that could be taken out: it would fill the memory."""
        self._chunks += 1
        if top is None:
            grown = self._size > _KEPT_BYTES
        elif self._chunks % _LOOK_EVERY == 0:
            elements = float(cast(float, top.xpath("count(descendant::*)")))
            grown = elements > self._limits.elements or (
                float(cast(float, top.xpath("string-length(.)"))) > _KEPT_CHARACTERS
            )
        else:
            return
        if grown:
            raise Iso20022Error("too_large", "", 0, "too much stands outside of the parts that repeat")


def _chunks(source: BinaryIO, head: bytes) -> Iterator[bytes]:
    yield head
    while chunk := source.read(_CHUNK_BYTES):
        yield chunk


def _document_namespace(head: bytes) -> str:
    """Return the namespace of the first Document in the beginning of a message, "" when there is none."""
    parser = etree.XMLPullParser(
        events=("start",), resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False
    )
    try:
        parser.feed(head)
    except etree.XMLSyntaxError as error:
        raise syntax_error(error) from None
    for _, found in parser.read_events():
        element = cast(Any, found)
        if local_name(element) == "Document":
            return namespace_of(element)
    return ""


def _find_parts(definition: Definition) -> Iterator[tuple[str, Element]]:
    def below(element: Element, names: str) -> Iterator[tuple[str, Element]]:
        if not isinstance(element.type, ComplexType):
            return
        for child in element.type.elements:
            if child.name in PARTS and child.max_occurs is None:
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


def _twin(node: etree._Element, copy: etree._Element, original: etree._Element) -> etree._Element:
    """Return the element of the original at the place a node has in its copy."""
    places: list[int] = []
    current = node
    while current is not copy:
        parent = current.getparent()
        if parent is None:
            return original
        places.append(parent.index(current))
        current = parent
    found = original
    for place in reversed(places):
        found = found[place]
    return found
