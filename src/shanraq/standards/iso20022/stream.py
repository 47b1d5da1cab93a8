"""Validate a message of any length in bounded memory: transactions and entries one after another.

The repeating parts of a message (payment blocks, transactions, statements, entries) are taken out of the tree as they end, and
validated in batches against a schema whose root holds any number of them. What is left is a message with the first of each, in
its order, which the whole schema judges. So every element is judged once, and the tree never holds more than a batch. Rules
see each part as it ends (`PartRules`).
"""

from __future__ import annotations

import codecs
import datetime as dt
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, BinaryIO, Final, Protocol, cast

from lxml import etree

from shanraq.standards.iso20022.errors import Iso20022Error, Layer
from shanraq.standards.iso20022.forms import NO_CHARACTERS
from shanraq.standards.iso20022.identify import NAMESPACE_PREFIX, check_identity, cut_out, identify
from shanraq.standards.iso20022.library import Library, library
from shanraq.standards.iso20022.parse import (
    Limits,
    check_bounds,
    check_bytes,
    check_encoding,
    check_tree,
    encoding_of,
    syntax_error,
)
from shanraq.standards.iso20022.parts import PartRules, Parts, Watcher
from shanraq.standards.iso20022.paths import local_name, namespace_of
from shanraq.standards.iso20022.rules.context import OTHER, SHAPES
from shanraq.standards.iso20022.runs import Runs
from shanraq.standards.iso20022.validate import Report

STREAM_LIMITS: Final = Limits(size_bytes=4 * 1024**3, elements=1_000_000, namespaces=1_000_000)
_CHUNK_BYTES: Final = 64 * 1024
_KEPT_BYTES: Final = 256 * 1024 * 1024  # how much may be read before the first part ends
_KEPT_CHARACTERS: Final = 32 * 1024 * 1024  # of what is not taken out of the tree
_LOOK_EVERY: Final = 16  # chunks
_HEAD_BYTES: Final = 128 * 1024
_HELD_CHARACTERS: Final = 1024 * 1024  # of a transaction whose end has not come
_OVERLAP: Final = 64
# A comment, a processing instruction or a prefix: only where there is one need trees be searched for what these can do.
_UNUSUAL: Final = (b"<!--", b"<?", b"xmlns:")


class MakeRules(Protocol):
    """Make the rules of one message."""

    def __call__(
        self, *, profile: str, as_of: dt.datetime, options: Mapping[str, Any], store: Sequence[bytes], known: Library
    ) -> PartRules:
        """Return a new object; raises UnknownProfileError."""


_registered: Final[list[MakeRules]] = []


def register_part_rules(make: MakeRules) -> MakeRules:
    """Let every stream from now on be seen by further rules."""
    if make not in _registered:
        _registered.append(make)
    return make


def validate_stream(
    source: BinaryIO,
    *,
    definitions: Library | None = None,
    profile: str = "iso",
    as_of: dt.datetime | None = None,
    options: Mapping[str, Any] | None = None,
    store: Sequence[bytes] = (),
    limits: Limits = STREAM_LIMITS,
    layers: Sequence[MakeRules] | None = None,
) -> Report:
    """Return what does not hold in a message that is read piece by piece: the findings of `validate`, in another order.

    The parameters are those of `validate`. At most MAX_FINDINGS errors and as many others are kept; `too_many_findings` says
    when there were more. Where a message is unsafe in two ways, it may be the other of them that is told. `layers` stands in
    for the registered PartRules. Never raises for what the bytes say.
    """
    reading = Reading(source, definitions, profile, as_of, options, store, limits, layers)
    for _ in reading.run():
        pass
    return reading.report


class Reading:
    """One message while it is read: `run` goes on by one chunk a step; after the last there is the `report`."""

    def __init__(
        self, source: BinaryIO, definitions: Library | None, profile: str, as_of: dt.datetime | None,
        options: Mapping[str, Any] | None, store: Sequence[bytes], limits: Limits,
        layers: Sequence[MakeRules] | None = None, watch: Callable[[Parts], Watcher | None] = lambda _: None,
    ) -> None:  # fmt: skip
        self.report = Report("")
        self.is_whole = False  # well-formed and safe from beginning to end
        self.parts: Parts | None = None
        self._source = source
        self._known = definitions or library()
        self._limits = limits
        self._strict = (options or {}).get("policy") == "strict"
        self._watch = watch
        moment = as_of or dt.datetime.now(dt.UTC)
        chosen = dict(options or {})
        self._rules = [
            make(profile=profile, as_of=moment, options=chosen, store=store, known=self._known)
            for make in (_registered if layers is None else layers)
        ]

    def run(self) -> Iterator[None]:
        """Read on, a chunk a step."""
        message = ""
        try:
            head = self._source.read(_HEAD_BYTES)
            check_bytes(head, limits=self._limits)
            namespace = _document_namespace(head)
            if namespace.startswith(NAMESPACE_PREFIX) and self._known.find(namespace.removeprefix(NAMESPACE_PREFIX)):
                message = namespace.removeprefix(NAMESPACE_PREFIX)
            parts = Parts(self._known.find(message), self._known, self._rules, self._limits, strict=self._strict)
            parts.watcher = self._watch(parts)
            self.parts = parts
            yield from self._read(head, parts)
            self.report = self._finish(parts)
        except Iso20022Error as error:
            finding = error.to_finding()
            self.report = Report(message, (finding if self.parts is None else self.parts.resolve(finding),))

    def _read(self, head: bytes, parts: Parts) -> Iterator[None]:
        encoding = encoding_of(head)
        parser = etree.XMLPullParser(
            events=("end",),
            tag=parts.tags,
            encoding=encoding,
            resolve_entities=False,
            no_network=True,
            load_dtd=False,
            dtd_validation=False,
            attribute_defaults=False,
            huge_tree=False,
            recover=False,
            collect_ids=False,
        )
        guard = _Guard(self._limits, strict=self._strict)
        feed = _Feed(parser, parts, Runs.of(parts, self._rules, _transaction_of(parts)), encoding)
        try:
            for chunk in _chunks(self._source, head):
                guard.look(chunk)
                parts.unusual = guard.unusual
                feed.take(chunk)
                if parts.watcher is not None:
                    parts.flush_all()
                guard.look_at_tree(parts.top)
                yield
            feed.end()
            parts.top = parser.close()
        except etree.XMLSyntaxError as error:
            raise syntax_error(error) from None

    def _finish(self, parts: Parts) -> Report:
        root = parts.top
        assert root is not None
        parts.close()
        check_bounds(root, self._limits)
        if parts.refused is not None:
            raise parts.refused
        check_tree(root, self._limits, strict=self._strict, path=parts.path_of)
        identity = identify(root)
        message = str(identity.message_id or "")
        try:
            check_identity(identity)
        except Iso20022Error as error:
            return Report(message, (error.to_finding(),))
        for part in (*identity.headers, *identity.documents):
            assert part.message_id is not None
            try:
                definition = self._known.definition(part.message_id)
            except Iso20022Error as error:
                parts.tell([error.to_finding(Layer.SCHEMA)])
                continue
            parts.judge_rest(part.element, cut_out(part.element), definition)
        self.is_whole = True
        for rules in self._rules:
            parts.tell(rules.end(identity, parts))
        return Report(message, parts.findings())


class _Feed:
    """Give a parser the text of a message, but for the runs of transactions that can be gone past."""

    def __init__(self, parser: Any, parts: Parts, runs: Runs | None, encoding: str) -> None:
        self._parser = parser
        self._parts = parts
        self._runs = runs
        self._decoder = codecs.getincrementaldecoder(encoding)()
        self._text = ""
        self._line = 1

    def take(self, chunk: bytes) -> None:
        """Take the next bytes."""
        if self._runs is None:
            self._give(chunk)
            return
        try:
            decoded = self._decoder.decode(chunk)
        except UnicodeDecodeError:
            # The parser says what is wrong.
            self.end()
            self._runs = None
            self._give(chunk)
            return
        text = self._text + decoded
        if any(character in decoded for character in NO_CHARACTERS):
            self._text = text
            self.end()
            self._runs = None
            return
        position = self._read(text, self._runs)
        if self._runs.is_open and len(text) - position <= _HELD_CHARACTERS:
            self._text = text[position:]
        else:
            self._runs.stop()
            self._text = ""
            self._give_text(text[position:])

    def end(self) -> None:
        """Give what is held back."""
        self._give_text(self._text)
        self._text = ""
        if begun := self._decoder.getstate()[0]:
            self._give(begun)

    def _read(self, text: str, runs: Runs) -> int:
        """Read whole transactions; return where the last one ends."""
        position = 0
        while True:
            if runs.is_open:
                position, lines = runs.go(text, position, self._line)
                if lines:
                    self._line += lines
                    self._give(b"\n" * lines)
            end = text.find(runs.close, position)
            if end < 0:
                return position
            end += len(runs.close)
            start = text.rfind(runs.start, position, end)
            if start < 0:
                start = position
            follows = runs.is_open and not text[position:start].strip()
            runs.stop()
            self._give_text(text[position:start])
            # If the parser tells the end of a transaction while it reads tags and values alone, it has read them as such.
            ended = self._give_text(text[start:end])
            if ended and local_name(ended[-1]) == runs.transaction:
                runs.begin(ended[-1], text[start:end], follows=follows)
            position = end

    def _give_text(self, text: str) -> list[etree._Element]:
        self._line += text.count("\n")
        return self._give(text.encode()) if text else []

    def _give(self, data: bytes) -> list[etree._Element]:
        self._parser.feed(data)
        ended = [cast(Any, element) for _, element in self._parser.read_events()]
        for element in ended:
            self._parts.end(element)
        return ended


def _transaction_of(parts: Parts) -> str:
    message_id = "" if parts.definition is None else str(parts.definition.message_id)
    return SHAPES.get(message_id[:8], OTHER).transaction


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
        self.unusual = False

    def look(self, chunk: bytes) -> None:
        first = not self._size
        if first:
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
        # The XML declaration is no processing instruction.
        begin = seam.find(b"?>") if first and seam.removeprefix(b"\xef\xbb\xbf").startswith(b"<?xml") else 0
        self.unusual = self.unusual or any(seam.find(mark, begin) >= 0 for mark in _UNUSUAL)
        self._namespaces += chunk.count(b"xmlns")
        if self._namespaces > self._limits.namespaces:
            raise Iso20022Error(
                "too_many_namespaces", "", 0, f"more than {self._limits.namespaces} namespace declarations"
            )
        self._lines += chunk.count(b"\n")
        self._rest = b"" if first and begin and len(chunk) <= _OVERLAP else chunk[-_OVERLAP:]

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
        events=("start",), encoding=encoding_of(head), resolve_entities=False, no_network=True, load_dtd=False,
        huge_tree=False,
    )  # fmt: skip
    try:
        parser.feed(head)
    except etree.XMLSyntaxError as error:
        raise syntax_error(error) from None
    for _, found in parser.read_events():
        element = cast(Any, found)
        if local_name(element) == "Document":
            return namespace_of(element)
    return ""
