"""Run the rules over a message in one pass: each element once, each transaction when it has gone by, the totals at the end.

findings = check_rules(document, header=header, profile=load_profile("kz"), as_of=now, store=store)

A file too large to hold is given in pieces: `RuleCheck` takes the head of the message, then blocks and transactions as they
come. What it keeps of a transaction is only what later ones are compared with (identifiers) and counts and sums.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from functools import lru_cache
from typing import Final

from lxml import etree

from shanraq.standards.iso20022.errors import Finding, Severity
from shanraq.standards.iso20022.paths import line_of, local_name, namespace_of, path_of
from shanraq.standards.iso20022.profiles import Profile, load_profile
from shanraq.standards.iso20022.rules.context import Block, Context, Message, Transaction
from shanraq.standards.iso20022.rules.originals import find_original
from shanraq.standards.iso20022.rules.registry import Fault, Rule, Scope, all_rules, is_on
from shanraq.standards.iso20022.store import Store

NAMESPACE: Final = "urn:iso:std:iso:20022:tech:xsd:"


class _Plan:
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
        self.amounts = [found for found in on if found.scope is Scope.AMOUNT]
        self.texts = [found for found in on if found.scope is Scope.TEXT]
        self.transactions = [found for found in on if found.scope is Scope.TRANSACTION]
        self.blocks = [found for found in on if found.scope is Scope.BLOCK]
        self.messages = [found for found in on if found.scope is Scope.MESSAGE]
        self.severities = {code: Severity(value) for code, value in profile.severities.items() if value != "off"}


@lru_cache(maxsize=256)
def _plan(message_id: str, profile: Profile) -> _Plan:
    return _Plan(message_id, profile)


class RuleCheck:
    """One run of the rules over one message.

    `findings` grows as pieces are given. Give `piece` each part of the message that is no block and no transaction,
    `open_block`, `transaction` and `close_block` the rest in their order, then `close` once.
    """

    def __init__(
        self, message_id: str, body: etree._Element, *, profile: Profile,
        header: etree._Element | None = None, as_of: datetime | None = None, store: Store | None = None,
    ) -> None:  # fmt: skip
        self._plan = _plan(message_id, profile)
        self.context = Context(Message(message_id, body, header), profile, as_of, store)
        self.findings: list[Finding] = []
        self._block: Block | None = None
        self._known: tuple[str, str] | None = None
        self._line_offset = 0
        if header is not None:
            self._walk(header, f"{{{namespace_of(header)}}}")

    def piece(self, element: etree._Element) -> None:
        """Check a part of the message with all that is in it."""
        self._walk(element, self._plan.prefix)

    def open_block(self, element: etree._Element) -> None:
        """Begin a block; the transactions that follow stand in it."""
        self._block = Block(element, self._block)

    def close_block(self) -> None:
        """End the block: its counts and sums are compared."""
        block = self._block
        assert block is not None, "no block is open"
        self._apply(self._plan.blocks, block)
        self._block = block.outer

    def transaction(self, element: etree._Element, *, path: str | None = None, line_offset: int = 0) -> None:
        """Check a transaction. `path` and `line_offset` say where it stands in the file, when `element` was cut out of it."""
        if path is not None:
            self._known = path_of(element), path
            self._line_offset = line_offset
        context = self.context
        transaction = Transaction(element, self._block, context.message.shape)
        transaction.original = find_original(transaction, context)
        if context.message.first is None:
            context.message.first = transaction
        self._walk(element, self._plan.prefix)
        self._apply(self._plan.transactions, transaction)
        block = self._block
        while block is not None:
            block.tally.add(transaction)
            block = block.outer
        context.message.tally.add(transaction)
        self._known, self._line_offset = None, 0

    def close(self) -> list[Finding]:
        """End the message and return all findings."""
        self._apply(self._plan.messages, self.context.message)
        return self.findings

    def document(self) -> list[Finding]:
        """Check the whole message at once."""
        self._inside(self.context.message.body)
        return self.close()

    def _inside(self, element: etree._Element) -> None:
        shape = self.context.message.shape
        for found in element.iterchildren("*"):
            name = local_name(found)
            if name == shape.transaction:
                self.transaction(found)
            elif name in shape.blocks:
                self.open_block(found)
                self._inside(found)
                self.close_block()
            else:
                self.piece(found)

    def _walk(self, piece: etree._Element, prefix: str) -> None:
        """Look at each element once; those of other namespaces (supplementary data) are not ours."""
        plan, context = self._plan, self.context
        by_name, amounts, texts = plan.elements, plan.amounts, plan.texts
        foreign = prefix != plan.prefix
        for element in piece.iter("*"):
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
            path = path_of(fault.element)
            line = line_of(fault.element)
            if self._known is not None and f"{path}/".startswith(f"{self._known[0]}/"):
                path = self._known[1] + path[len(self._known[0]) :]
                line += self._line_offset
            severity = self._plan.severities.get(rule.code) or fault.severity or rule.severity
            if fault.attribute:
                path = f"{path}/@{fault.attribute}"
            self.findings.append(
                Finding(rule.code, severity, rule.layer, path, line, fault.message, fault.reason or rule.reason)
            )


def check_rules(
    document: etree._Element, *, profile: Profile | None = None,
    header: etree._Element | None = None, as_of: datetime | None = None, store: Store | None = None,
) -> list[Finding]:  # fmt: skip
    """Check a Document, with its header, against all rules and return the findings in the order of the message.

    The tree has no comments and no processing instructions (`parse`). `as_of` has an offset; without it no rule about today is
    on, without a store none about earlier messages.
    """
    message_id = namespace_of(document).removeprefix(NAMESPACE)
    body = next(document.iterchildren("*"), None)
    if body is None:
        return []
    found = RuleCheck(message_id, body, profile=profile or load_profile("iso"), header=header, as_of=as_of, store=store)
    return found.document()
