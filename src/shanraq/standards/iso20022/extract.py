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
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

from lxml import etree

from shanraq.standards.iso20022.errors import Finding, Iso20022Error
from shanraq.standards.iso20022.identify import identify
from shanraq.standards.iso20022.instructions import (
    PAYMENTS,
    BlockHead,
    Instruction,
    MessageHead,
    Reader,
    leaves,
)
from shanraq.standards.iso20022.library import Library
from shanraq.standards.iso20022.parse import Limits, parse
from shanraq.standards.iso20022.paths import line_of, local_name, path_of
from shanraq.standards.iso20022.profiles import load_profile
from shanraq.standards.iso20022.rules.context import SHAPES
from shanraq.standards.iso20022.stream import STREAM_LIMITS
from shanraq.standards.iso20022.tree import child
from shanraq.standards.iso20022.validate import Report, validate


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
    batch: int = 1000,
) -> Extraction:
    """Validate a message and yield its payments (PAYMENTS) in batches of at most `batch`, each with its findings.

    The parameters are those of `validate_stream`, and so is the report. Never raises for what the bytes say: a message of
    another family, or one that is no message, has a report and no batches. Where a message turns out to be not well-formed
    or unsafe, batches may have come before: nothing may be executed before the report is there.
    """
    return Extraction(_batches(source, definitions, profile, as_of, options, store, limits, batch))


def _batches(
    source: BinaryIO, definitions: Library | None, profile: str, as_of: dt.datetime | None,
    options: Mapping[str, Any] | None, store: Sequence[bytes], limits: Limits, size: int,
) -> Iterator[Batch | Report]:  # fmt: skip
    data = source.read()
    moment = as_of or dt.datetime.now(dt.UTC)
    report = validate(
        data, profile=profile, as_of=moment, options=options, store=store, definitions=definitions, limits=limits
    )
    try:
        root = parse(data, limits=limits, strict=(options or {}).get("policy") == "strict")
    except Iso20022Error:
        yield report
        return
    identity = identify(root)
    header = identity.headers[0].element if len(identity.headers) == 1 else None
    for document in identity.documents:
        if document.message_id is None or document.message_id.kind not in PAYMENTS:
            continue
        reader = Reader(str(document.message_id), load_profile(profile, day=moment.date(), options=options))
        body = next(document.element.iterchildren("*"), None)
        if body is None:
            continue
        group = child(body, "GrpHdr")
        head = reader.head(() if group is None else leaves(group), header)
        found = tuple(_read(reader, body, head, report.findings))
        for start in range(0, len(found), size):
            yield Batch(head, found[start : start + size])
    yield report


def _read(
    reader: Reader, body: etree._Element, head: MessageHead, findings: Sequence[Finding]
) -> Iterator[Instruction]:
    shape = SHAPES[reader.family]
    number = blocks = 0
    for part in body.iterchildren("*"):
        block: BlockHead | None = None
        if local_name(part) in shape.blocks:
            blocks += 1
            block = reader.block(blocks, leaves(part, without=frozenset({shape.transaction})))
        elif local_name(part) != shape.transaction:
            continue
        inner = [part] if block is None else [each for each in part if local_name(each) == shape.transaction]
        for element in inner:
            number += 1
            path = path_of(element)
            own = tuple(each for each in findings if each.path == path or each.path.startswith(f"{path}/"))
            yield reader.transaction(
                leaves(element), number=number, path=path, line=line_of(element), head=head, block=block, findings=own
            )
