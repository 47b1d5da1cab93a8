"""Run the rules over a message in one pass: each element once, each transaction when it has gone by, the totals at the end.

findings = check_rules(document, header=header, profile=load_profile("kz"), as_of=now, store=store)

`RuleCheck` is told of the parts of a message as they come, so a file too large to hold is checked by the same rules: what it
keeps of a transaction is only what later ones are compared with (identifiers) and counts and sums. A rule sees what stands
before the part it looks at, the whole only at the end; of a message that is held it sees no more.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from functools import lru_cache
from typing import Final, Protocol

from lxml import etree

from shanraq.standards.iso20022.errors import Finding, Severity
from shanraq.standards.iso20022.paths import PathOf, line_of, local_name, namespace_of, path_of
from shanraq.standards.iso20022.profiles import Profile, load_profile
from shanraq.standards.iso20022.rules.context import (
    Block,
    Context,
    Counted,
    Details,
    EntryTally,
    Message,
    Transaction,
)
from shanraq.standards.iso20022.rules.originals import find_original
from shanraq.standards.iso20022.rules.registry import Fault, Rule, Scope, all_rules, is_on
from shanraq.standards.iso20022.store import Store

NAMESPACE: Final = "urn:iso:std:iso:20022:tech:xsd:"


class IsTold(Protocol):
    """Tell of an element inside of a part whether it was given before, with all that is in it."""

    def __call__(self, element: etree._Element, /) -> bool:
        """Return whether it was."""


class Plan:
    """The rules of one message definition under one profile, sorted by what they look at."""

    def __init__(self, message_id: str, profile: Profile) -> None:
        prefix = f"{{{NAMESPACE}{message_id}}}"
        family, version = message_id[:8], int(message_id[-2:])
        on = [
            found
            for found in all_rules()
            if found.is_for(family, version)
            and is_on(profile, found.setting)
            and profile.severities.get(found.code) != "off"
        ]
        self.prefix = prefix
        self.elements: dict[str, list[Rule]] = {}
        for found in on:
            for name in found.names:
                self.elements.setdefault(prefix + name, []).append(found)
        by_scope = {scope: [found for found in on if found.scope is scope] for scope in Scope}
        self.amounts = by_scope[Scope.AMOUNT]
        self.texts = by_scope[Scope.TEXT]
        self.details = by_scope[Scope.DETAILS]
        self.transactions = by_scope[Scope.TRANSACTION]
        self.blocks = by_scope[Scope.BLOCK]
        self.messages = by_scope[Scope.MESSAGE]
        self.severities = {code: Severity(value) for code, value in profile.severities.items() if value != "off"}


@lru_cache(maxsize=256)
def plan_of(message_id: str, profile: Profile) -> Plan:
    """Return the rules that are on for a message under a profile."""
    return Plan(message_id, profile)


class RuleCheck:
    """One run of the rules over one message.

    Give it the parts in the order in which they end: `note` each child of the message and of a block before anything else of
    it, `open_block` and `close_block` around what stands in a block, `detail` and `close_details` for the details of an entry,
    `transaction` for the entry or transaction, `piece` for all that is none of these; then `close` once. `findings` grows.
    `path` tells where an element stands, when it is not to be seen from the tree.
    """

    def __init__(
        self, message_id: str, body: etree._Element, *, profile: Profile,
        header: etree._Element | None = None, as_of: datetime | None = None, store: Store | None = None, path: PathOf = path_of,
    ) -> None:  # fmt: skip
        self.plan = plan_of(message_id, profile)
        self.context = Context(Message(message_id, body, header), profile, as_of, store)
        self.findings: list[Finding] = []
        self.block: Block | None = None
        self._path = path
        self._listed = 0
        self._entry: EntryTally | None = None
        if header is not None:
            self._walk(header.iter("*"), f"{{{namespace_of(header)}}}")

    def note(self, element: etree._Element) -> None:
        """Take note of a child of the block that is open, else of the message."""
        (self.block or self.context.message).note(element)

    def piece(self, element: etree._Element, is_told: IsTold | None = None) -> None:
        """Check a part of the message with all that is in it and was not told before."""
        self._walk(_elements(element, is_told), self.plan.prefix)

    def open_block(self, element: etree._Element) -> None:
        """Begin a block; the transactions that follow stand in it."""
        self.block = Block(element, self.block)

    def close_block(self) -> None:
        """End the block: its counts and sums are compared."""
        block = self.block
        assert block is not None, "no block is open"
        self._apply(self.plan.blocks, block)
        self.context.settle()
        self.block = block.outer
        self.context.message.note_block(block)

    def detail(self, element: etree._Element, is_told: IsTold | None = None) -> None:
        """Check one transaction in the details of the entry that comes next."""
        self.piece(element, is_told)
        self._entry = self._entry or EntryTally()
        self._entry.add(element)
        self._listed += 1

    def close_details(self, element: etree._Element, is_told: IsTold | None = None) -> None:
        """End one part of the details, whose transactions were given by `detail`."""
        self.piece(element, is_told)
        details = Details(element, self._listed)
        self._listed = 0
        self._entry = self._entry or EntryTally()
        self._entry.add_part(details)
        self._apply(self.plan.details, details)

    def transaction(self, element: etree._Element, is_told: IsTold | None = None) -> None:
        """Check a transaction, status or entry, whose details were given before."""
        context = self.context
        transaction = Transaction(element, self.block, context.message.shape, self._entry)
        self._entry = None
        transaction.original = find_original(transaction, context)
        if context.message.first is None:
            context.message.first = transaction
        self.piece(element, is_told)
        self._apply(self.plan.transactions, transaction)
        self.count(transaction.counted)

    def count(self, counted: Counted) -> None:
        """Count a transaction in its blocks and in the message."""
        block = self.block
        while block is not None:
            block.tally.add(counted)
            block = block.outer
        self.context.message.tally.add(counted)
        self.context.settle()

    def close(self) -> list[Finding]:
        """End the message and return all findings."""
        self._apply(self.plan.messages, self.context.message)
        return self.findings

    def document(self) -> list[Finding]:
        """Check the whole message at once."""
        self._inside(self.context.message.body)
        return self.close()

    def _inside(self, element: etree._Element) -> None:
        shape = self.context.message.shape
        for found in element.iterchildren("*"):
            self.note(found)
            name = local_name(found)
            if name == shape.transaction:
                self.transaction(found, self._details_of(found) if shape.details else None)
            elif name in shape.blocks:
                self.open_block(found)
                self._inside(found)
                self.close_block()
            else:
                self.piece(found)

    def _details_of(self, entry: etree._Element) -> IsTold:
        part_name, detail_name = self.context.message.shape.details
        told: set[etree._Element] = set()
        for part in entry.iterchildren(f"{{*}}{part_name}"):
            for detail in part.iterchildren(f"{{*}}{detail_name}"):
                self.detail(detail)
                told.add(detail)
            self.close_details(part, told.__contains__)
            told.add(part)
        return told.__contains__

    def _walk(self, elements: Iterable[etree._Element], prefix: str) -> None:
        """Look at each element once; those of other namespaces (supplementary data) are not ours."""
        plan, context = self.plan, self.context
        by_name, amounts, texts = plan.elements, plan.amounts, plan.texts
        foreign = prefix != plan.prefix
        for element in elements:
            tag: str = element.tag
            if foreign:
                if not tag.startswith(prefix):
                    continue
                tag = plan.prefix + tag[len(prefix) :]
            if (rules := by_name.get(tag)) is not None:
                value = element.text or ""
                for found in rules:
                    self._report(found, found.check(element, value, context))
            if element.get("Ccy") is not None and tag.startswith(plan.prefix):
                for found in amounts:
                    self._report(found, found.check(element, element.text or "", context))
            if texts and not len(element) and tag.startswith(plan.prefix):
                for found in texts:
                    self._report(found, found.check(element, element.text or "", context))

    def _apply(self, rules: list[Rule], subject: object) -> None:
        for found in rules:
            self._report(found, found.check(subject, self.context))

    def _report(self, rule: Rule, faults: Iterable[Fault]) -> None:
        for fault in faults:
            path = self._path(fault.element)
            severity = self.plan.severities.get(rule.code) or fault.severity or rule.severity
            if fault.attribute:
                path = f"{path}/@{fault.attribute}"
            line = line_of(fault.element)
            self.findings.append(
                Finding(rule.code, severity, rule.layer, path, line, fault.message, fault.reason or rule.reason)
            )


def _elements(piece: etree._Element, is_told: IsTold | None) -> Iterator[etree._Element]:
    return piece.iter("*") if is_told is None else _around(piece, is_told)


def _around(piece: etree._Element, is_told: IsTold) -> Iterator[etree._Element]:
    yield piece
    for element in piece.iterchildren("*"):
        if not is_told(element):
            yield from _around(element, is_told)


def check_rules(
    document: etree._Element, *, profile: Profile | None = None,
    header: etree._Element | None = None, as_of: datetime | None = None, store: Store | None = None,
) -> list[Finding]:  # fmt: skip
    """Check a Document, with its header, against all rules and return the findings.

    The tree has no comments and no processing instructions (`parse`). `as_of` has an offset; without it no rule about today is
    on, without a store none about earlier messages.
    """
    message_id = namespace_of(document).removeprefix(NAMESPACE)
    body = next(document.iterchildren("*"), None)
    if body is None:
        return []
    found = RuleCheck(message_id, body, profile=profile or load_profile("iso"), header=header, as_of=as_of, store=store)
    return found.document()
