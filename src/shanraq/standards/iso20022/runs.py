"""Go past transactions of known forms without a parser: those that are right in every rule, and differ in values alone.

The parser is asked about everything else, and it decides where a run may begin: right after it has told the end of a
transaction whose text has tags and values alone. What follows in a known form stands beside it, in the same element, as
markup. Blank lines take the place of what was gone past, so that the parser counts lines as they are in the file.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Protocol, runtime_checkable

from lxml import etree

from shanraq.standards.iso20022.forms import Form, read_form, sample_of, skeleton_of
from shanraq.standards.iso20022.parts import Parts

_MOST_FORMS: Final = 32
_TRIES: Final = 3
_MOST_LINES: Final = 1_000_000
Accepts = Callable[[Sequence[str]], bool]
"""Tells of the values of a transaction whether it is right in all rules, and has then counted it."""
Takes = Callable[[tuple[str, ...], int, int], None]
"""Takes the values of a transaction that was gone past, its number in its parent and its line."""


@runtime_checkable
class RulesOfForms(Protocol):
    """Rules that need not see every transaction as an element."""

    def alike(self, form: Form, sample: etree._Element) -> Accepts | None:
        """Return a test of transactions of a form beside the one that ended last; None if each must be seen."""


@runtime_checkable
class WatcherOfForms(Protocol):
    """A watcher that takes transactions as values too."""

    def alike(self, form: Form, parent: etree._Element) -> Takes | None:
        """Return what takes transactions of a form in this parent."""


class Runs:
    """The forms of the transactions of one message, and where a run of them may begin."""

    def __init__(self, parts: Parts, rules: Sequence[object], transaction: str) -> None:
        self._parts = parts
        self._rules = rules[0] if rules else None
        self.transaction = transaction
        self.start = f"<{transaction}>"
        self.close = f"</{transaction}>"
        self._forms: list[Form] = []
        self._by_skeleton: dict[object, int] = {}
        self._parent: etree._Element | None = None
        self._above = ""
        self._tests: dict[int, tuple[Accepts, Takes | None] | None] = {}
        self._lines = 0
        self.is_open = False

    @classmethod
    def of(cls, parts: Parts, rules: Sequence[object], transaction: str) -> Runs | None:
        """Return the runs of a message; None where all of it must be seen by rules or watchers."""
        if parts.definition is None or not transaction or len(rules) > 1:
            return None
        if not all(isinstance(each, RulesOfForms) for each in rules):
            return None
        if parts.watcher is not None and not isinstance(parts.watcher, WatcherOfForms):
            return None
        return cls(parts, rules, transaction)

    def stop(self) -> None:
        """Say that something was read after the last transaction."""
        self.is_open = False

    def begin(self, element: etree._Element, text: str, *, follows: bool) -> None:
        """Say that the parser has just told the end of a transaction, and with what text; learn its form.

        `follows` says that only blanks stand between it and the transaction before: rules may look at all else.
        """
        self.is_open = False
        skeleton = skeleton_of(text)
        parent = element.getparent()
        definition = self._parts.definition
        if skeleton is None or parent is None or definition is None or self._parts.refused is not None:
            return
        if parent is not self._parent or not follows:
            self._parent, self._tests = parent, {}
            self._above = self._parts.names_above(element)
        if not self._above or parent.nsmap.get(None) != definition.namespace:
            return
        self.is_open, self._lines = True, 0
        tries = self._by_skeleton.get(skeleton, 0)
        if tries < _TRIES and len(self._forms) < _MOST_FORMS:
            self._by_skeleton[skeleton] = tries + 1
            form = read_form(text, f"/{self._above}", definition)
            if form is not None and self._parts.is_valid(element, text):
                self._by_skeleton[skeleton] = _TRIES
                self._forms.append(form)

    def go(self, text: str, position: int, line: int) -> tuple[int, int]:
        """Go past as many transactions as may be, from a position in a line; return where it ends, and how many lines were."""
        lines = 0
        while self._lines < _MOST_LINES:
            found = self._next(text, position, line + lines)
            if found == position:
                break
            passed = text.count("\n", position, found)
            lines += passed
            self._lines += passed
            position = found
        return position, lines

    def _next(self, text: str, position: int, line: int) -> int:
        for number, form in enumerate(self._forms):
            match = form.match(text, position)
            if match is None:
                continue
            test = self._tests[id(form)] if id(form) in self._tests else self._test_of(form)
            values = match.groups()
            if test is None or not test[0](values):
                return position
            assert self._parent is not None
            count = self._parts.go_past(self._parent, self._above, form.name)
            if test[1] is not None:
                begin = text.index("<", position)
                test[1](values, count, line + text.count("\n", position, begin))
            if number:
                self._forms.insert(0, self._forms.pop(number))
            return match.end()
        return position

    def _test_of(self, form: Form) -> tuple[Accepts, Takes | None] | None:
        """Return what has to be asked of transactions of a form in the present parent."""
        parent, definition, watcher = self._parent, self._parts.definition, self._parts.watcher
        assert parent is not None
        assert definition is not None
        accepts: Accepts | None = form.has_values
        if isinstance(self._rules, RulesOfForms):
            accepts = self._rules.alike(form, sample_of(form.text, definition.namespace, self._above))
        takes = watcher.alike(form, parent) if isinstance(watcher, WatcherOfForms) else None
        found = None if accepts is None else (accepts, takes)
        self._tests[id(form)] = found
        return found
