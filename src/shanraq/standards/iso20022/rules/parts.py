"""The rules over a file of any length: `RuleCheck` told of its parts as they end."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from lxml import etree

from shanraq.standards.iso20022.errors import Finding, Layer
from shanraq.standards.iso20022.forms import Form
from shanraq.standards.iso20022.identify import MESSAGE_ID, Identity, identify
from shanraq.standards.iso20022.library import Library
from shanraq.standards.iso20022.parts import PartRules, Parts
from shanraq.standards.iso20022.paths import local_name, namespace_of
from shanraq.standards.iso20022.profiles import Profile, load_profile
from shanraq.standards.iso20022.rules.alike import Alike
from shanraq.standards.iso20022.rules.check import NAMESPACE, RuleCheck
from shanraq.standards.iso20022.rules.layer import remember
from shanraq.standards.iso20022.runs import Accepts
from shanraq.standards.iso20022.store import Store
from shanraq.standards.iso20022.stream import MakeRules


def check_part_rules(
    *, profile: str, as_of: dt.datetime, options: Mapping[str, Any], store: Sequence[bytes], known: Library
) -> PartRules:
    """Return the rules of one message; earlier messages are those given."""
    settings = load_profile(profile, day=as_of.date(), options=options)
    return PartRuleCheck(settings, as_of, remember(store) if store else None, known)


def rule_parts(store: Store) -> MakeRules:
    """Return the rules of a stream with earlier messages in a store of one's own."""

    def make(
        *, profile: str, as_of: dt.datetime, options: Mapping[str, Any], store: Sequence[bytes], known: Library
    ) -> PartRules:
        return PartRuleCheck(load_profile(profile, day=as_of.date(), options=options), as_of, own, known)

    own = store
    return make


class PartRuleCheck:
    """The rules over the documents of one file, one after another."""

    def __init__(self, profile: Profile, as_of: dt.datetime, store: Store | None, known: Library) -> None:
        self._profile = profile
        self._as_of = as_of
        self._store = store
        self._known = known
        self._document: etree._Element | None = None
        self._done: set[etree._Element] = set()
        self._check: RuleCheck | None = None
        self._open: list[etree._Element] = []

    def part(self, element: etree._Element, parts: Parts) -> Iterator[Finding]:
        """Give a part to the rules, unless it is of a kind that stays where it stands."""
        above: list[etree._Element] = []
        current = element.getparent()
        while current is not None and local_name(current) != "Document":
            above.append(current)
            current = current.getparent()
        if current is None or not above:
            return
        if self._document is not current:
            yield from self._close(parts)
            self._begin(current, above[-1], parts)
        above = above[-2::-1]
        if self._check is not None and self._give(self._check, element, above, parts):
            parts.mark_told(element)
            yield from self._take(self._check)

    def alike(self, form: Form, sample: etree._Element) -> Accepts | None:
        """Return the rules for further transactions of a form in the block that is open."""
        return None if self._check is None else Alike(self._check, form, sample).accepts

    def _give(self, check: RuleCheck, element: etree._Element, above: list[etree._Element], parts: Parts) -> bool:
        shape = check.context.message.shape
        name = local_name(element)
        names = [local_name(each) for each in above]
        blocks = 0
        while blocks < len(names) and names[blocks] in shape.blocks:
            blocks += 1
        inner = names[blocks:]
        if not inner and name == shape.transaction:
            self._enter(check, above)
            self._note(check, element)
            check.transaction(element, parts.is_told if shape.details else None)
        elif not inner and name in shape.blocks:
            self._enter(check, [*above, element])
            self._inside(check, element, parts)
            check.close_block()
            self._open.pop()
        elif shape.details and inner == [shape.transaction, shape.details[0]] and name == shape.details[1]:
            check.detail(element, parts.is_told)
        elif shape.details and inner == [shape.transaction] and name == shape.details[0]:
            check.close_details(element, parts.is_told)
        elif parts.is_part(element):
            check.piece(element, parts.is_told)
        else:
            return False
        return True

    def _begin(self, document: etree._Element, body: etree._Element, parts: Parts) -> None:
        identity = identify(document.getroottree().getroot())
        self._document = document
        self._open = []
        self._check = self._rules_of(document, body, identity, parts)

    def _rules_of(
        self, document: etree._Element, body: etree._Element, identity: Identity, parts: Parts
    ) -> RuleCheck | None:
        self._done.add(document)
        message_id = namespace_of(document).removeprefix(NAMESPACE)
        if MESSAGE_ID.fullmatch(message_id) is None or self._known.find(message_id) is None:
            return None
        by_document = zip(identity.documents, identity.headers_of, strict=True)
        top = next(top for part, top in by_document if part.element is document)
        is_known = top is not None and top.message_id is not None and self._known.find(top.message_id) is not None
        header = top.element if top is not None and is_known else None
        return RuleCheck(
            message_id, body, profile=self._profile, header=header, as_of=self._as_of, store=self._store,
            path=parts.path_of,
        )  # fmt: skip

    def _enter(self, check: RuleCheck, blocks: list[etree._Element]) -> None:
        for block in blocks[len(self._open) :]:
            self._note(check, block)
            check.open_block(block)
            self._open.append(block)

    def _note(self, check: RuleCheck, element: etree._Element) -> None:
        """Let the rules know of what stands before a part in its parent, and of the part."""
        previous = next(element.itersiblings(tag=etree.Element, preceding=True), None)
        if previous is not None and previous.tag == element.tag:
            return
        for each in reversed(list(element.itersiblings(tag=etree.Element, preceding=True))):
            check.note(each)
        check.note(element)

    def _inside(self, check: RuleCheck, element: etree._Element, parts: Parts) -> None:
        """Check what is no part of a block, or of the message, when it has ended."""
        for each in element.iterchildren("*"):
            check.note(each)
            if not parts.is_told(each):
                check.piece(each, parts.is_told)

    def _take(self, check: RuleCheck) -> Iterator[Finding]:
        # How amounts are written is told by the lexical layer before.
        found = [each for each in check.findings if each.layer is not Layer.LEXICAL]
        check.findings.clear()
        yield from found

    def _close(self, parts: Parts) -> Iterator[Finding]:
        check, self._check = self._check, None
        if check is not None:
            self._inside(check, check.context.message.body, parts)
            check.close()
            yield from self._take(check)

    def end(self, identity: Identity, parts: Parts) -> Iterable[Finding]:
        """End the document that is open, and check those that have no parts."""
        yield from self._close(parts)
        for part in identity.documents:
            body = next(part.element.iterchildren("*"), None)
            if part.element in self._done or body is None:
                continue
            check = self._rules_of(part.element, body, identity, parts)
            if check is not None:
                check.document()
                yield from self._take(check)
