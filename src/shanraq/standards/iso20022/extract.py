"""Read the payments of a message as records, batch by batch, each with what is wrong with it.

with open("payments.xml", "rb") as file:
    extraction = extract_stream(file, profile="kz", as_of=now)
    for batch in extraction:                # head of the message, some instructions
        for instruction in batch.instructions:
            instruction.valid, instruction.reason, instruction.findings
extraction.report                           # the verdict on the whole message, once all batches are taken
"""

from __future__ import annotations

import datetime as dt
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, BinaryIO

import msgspec
from lxml import etree

from shanraq.standards.iso20022.errors import Finding
from shanraq.standards.iso20022.forms import Form
from shanraq.standards.iso20022.identify import identify
from shanraq.standards.iso20022.instructions import PAYMENTS, BlockHead, Instruction, MessageHead, Reader, leaves
from shanraq.standards.iso20022.library import Library
from shanraq.standards.iso20022.parse import Limits
from shanraq.standards.iso20022.parts import Parts, Place
from shanraq.standards.iso20022.paths import line_of, local_name
from shanraq.standards.iso20022.profiles import Profile, load_profile
from shanraq.standards.iso20022.runs import Takes
from shanraq.standards.iso20022.stream import STREAM_LIMITS, MakeRules, Reading
from shanraq.standards.iso20022.tree import child
from shanraq.standards.iso20022.validate import Report


@dataclass(frozen=True, slots=True)
class Batch:
    """Some transactions of a message in their order."""

    head: MessageHead
    instructions: tuple[Instruction, ...]


class Extraction:
    """The batches of one message; `report` is there when all have been taken."""

    def __init__(self, batches: Iterator[Batch | Report]) -> None:
        self._batches = batches
        self._report: Report | None = None

    def __iter__(self) -> Iterator[Batch]:
        for each in self._batches:
            if isinstance(each, Report):
                self._report = each
            else:
                yield each

    @property
    def report(self) -> Report:
        """Return the verdict on the whole message, which holds the findings of all its transactions too."""
        assert self._report is not None, "take all batches first"
        return self._report


def extract_stream(
    source: BinaryIO,
    *,
    definitions: Library | None = None,
    profile: str = "iso",
    as_of: dt.datetime | None = None,
    options: Mapping[str, Any] | None = None,
    store: Sequence[bytes] = (),
    limits: Limits = STREAM_LIMITS,
    layers: Sequence[MakeRules] | None = None,
    batch: int = 1000,
) -> Extraction:
    """Validate a message and yield its payments (PAYMENTS) in batches of at most `batch`, each with its findings.

    The parameters are those of `validate_stream`, and so is the report. Never raises for what the bytes say: a message of
    another family, or one that is no message, has a report and no batches. Where a message turns out to be not well-formed
    or unsafe, batches may have come before: nothing may be executed before the report is there.
    """
    moment = as_of or dt.datetime.now(dt.UTC)
    return Extraction(_batches(source, definitions, profile, moment, options, store, limits, layers, batch))


class _Collector:
    """Make records of the transactions that end, and let them go when the schema has judged them too."""

    def __init__(self, parts: Parts, profile: Profile) -> None:
        self._parts = parts
        self._profile = profile
        self._document: etree._Element | None = None
        self._reader: Reader | None = None
        self._head: MessageHead | None = None
        self._parent: etree._Element | None = None
        self._block: BlockHead | None = None
        self._number = 0
        # Of each document the records that are not taken yet; a bare Instruction is right and needs no more judgement.
        self._waiting: deque[tuple[MessageHead, deque[_Record | Instruction]]] = deque()
        self._by_place: dict[Place, _Record] = {}

    def ended(self, element: etree._Element, place: Place, findings: Sequence[Finding]) -> None:
        """Read a transaction."""
        parent = element.getparent()
        assert parent is not None
        if parent is not self._parent and not self._enter(parent):
            return
        if self._reader is None or self._head is None or local_name(element) != self._reader.shape.transaction:
            return
        self._number += 1
        made = self._reader.transaction(
            leaves(element), number=self._number, path=self._parts.path_of(element), line=line_of(element),
            head=self._head, block=self._block,
        )  # fmt: skip
        record = _Record(made, list(findings))
        self._waiting[-1][1].append(record)
        self._by_place[place] = record

    def judged(self, place: Place, findings: Sequence[Finding]) -> None:
        """Add what the schema finds in it."""
        record = self._by_place.pop(place, None)
        if record is not None:
            record.findings[:0] = findings
            record.is_ready = True

    def alike(self, form: Form, parent: etree._Element) -> Takes | None:
        """Return what takes further transactions of a form in the parent of the last."""
        if self._reader is None or self._head is None or parent is not self._parent:
            return None
        head, waiting = self._head, self._waiting[-1][1]
        make = self._reader.maker(form, head, self._block)
        path = f"{self._parts.resolve_path(self._parts.path_of(parent))}/{form.name}"

        def take(values: tuple[str, ...], count: int, line: int) -> None:
            self._number += 1
            waiting.append(make(values, self._number, f"{path}[{count}]", line))

        return take

    def _enter(self, parent: etree._Element) -> bool:
        """Read what stands around the transactions; tell whether any may stand in this parent."""
        above = parent.getparent()
        if above is None:
            return False
        document = parent if local_name(parent) == "Document" else above if local_name(above) == "Document" else None
        block = parent if document is None else None
        if block is not None:
            document = above.getparent()
        if document is None or local_name(document) != "Document":
            return False
        if document is not self._document:
            self._begin(document)
        if self._reader is None or (local_name(parent) in self._reader.shape.blocks) != bool(self._reader.shape.blocks):
            return False
        self._parent = parent
        self._block = None
        if block is not None:
            values = leaves(block, without=frozenset({self._reader.shape.transaction}))
            self._block = self._reader.block(self._parts.number_of(block), values)
        return True

    def _begin(self, document: etree._Element) -> None:
        self._document, self._reader, self._number = document, None, 0
        identity = identify(document.getroottree().getroot())
        found = zip(identity.documents, identity.headers_of, strict=True)
        part, top = next(each for each in found if each[0].element is document)
        if part.message_id is None or part.message_id.kind not in PAYMENTS:
            return
        self._reader = Reader(str(part.message_id), self._profile)
        group = child(document, "*", "GrpHdr")
        self._head = self._reader.head(() if group is None else leaves(group), None if top is None else top.element)
        self._waiting.append((self._head, deque()))

    def take(self, size: int, *, is_end: bool = False) -> Iterator[Batch]:
        """Yield full batches of what is ready, and what is left of a document that is over."""
        while self._waiting:
            head, waiting = self._waiting[0]
            is_over = is_end or len(self._waiting) > 1
            found: list[Instruction] = []
            if len(waiting) >= size or is_over:
                for each in islice(waiting, size):
                    if isinstance(each, _Record) and not each.is_ready:
                        break
                    found.append(each if isinstance(each, Instruction) else self._finish(each))
            if len(found) == size or (is_over and found):
                for _ in found:
                    waiting.popleft()
                yield Batch(head, tuple(found))
            elif is_over and not waiting:
                self._waiting.popleft()
            else:
                return

    def _finish(self, record: _Record) -> Instruction:
        made, resolve = record.made, self._parts.resolve
        path = self._parts.resolve_path(made.path)
        return msgspec.structs.replace(made, path=path, findings=tuple(resolve(each) for each in record.findings))


class _Record:
    __slots__ = ("findings", "is_ready", "made")

    def __init__(self, made: Instruction, findings: list[Finding]) -> None:
        self.made = made
        self.findings = findings
        self.is_ready = False


def _batches(
    source: BinaryIO, definitions: Library | None, profile: str, as_of: dt.datetime,
    options: Mapping[str, Any] | None, store: Sequence[bytes], limits: Limits, layers: Sequence[MakeRules] | None, size: int,
) -> Iterator[Batch | Report]:  # fmt: skip
    settings = load_profile(profile, day=as_of.date(), options=options)
    collectors: list[_Collector] = []

    def watch(parts: Parts) -> _Collector:
        collectors.append(_Collector(parts, settings))
        return collectors[0]

    reading = Reading(source, definitions, profile, as_of, options, store, limits, layers, watch)
    for _ in reading.run():
        yield from collectors[0].take(size)
    if reading.is_whole:
        yield from collectors[0].take(size, is_end=True)
    yield reading.report
