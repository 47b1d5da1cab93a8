"""The rules over transactions of one form: the same rules, run only where a value makes a difference.

A sample of the form stands in for each of them: it is given their values and shown to the rules. Values that a rule has found
right need not be shown to it again. As soon as a rule finds a fault, the transaction is left to `RuleCheck`, which sees the
element itself and reports it; nothing of it has been kept then.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any, Final

from lxml import etree

from shanraq.standards.iso20022.amounts import exact
from shanraq.standards.iso20022.errors import Layer
from shanraq.standards.iso20022.forms import Form, Leaf
from shanraq.standards.iso20022.rules.check import RuleCheck
from shanraq.standards.iso20022.rules.context import Counted, Details, EntryTally, Transaction
from shanraq.standards.iso20022.rules.originals import find_original
from shanraq.standards.iso20022.rules.registry import Rule

_KNOWN: Final = 1000  # values of one place kept as right
Values = Sequence[str]
Test = Callable[[Any], bool]


class Alike:
    """Transactions of one form in one block."""

    def __init__(self, check: RuleCheck, form: Form, sample: etree._Element) -> None:
        self._check = check
        self._context = check.context
        self._shape = check.context.message.shape
        self._sample = sample
        elements = [element for element in sample.iter("*") if not len(element)]
        self._places = list(zip(form.leaves, elements, strict=True))
        self._last: list[str | None] = [None] * sum(2 if leaf.currency is not None else 1 for leaf in form.leaves)
        self._transaction = Transaction(sample, check.block, self._shape)
        self._amount = self._amount_leaf()
        self._has_details = bool(self._shape.details) and bool(self._transaction.all(self._shape.details[0]))
        self._finds_original = check.context.store is not None and self._is_reply()
        self._has_status = any(name in self._transaction for name in ("TxSts", "Sts", "CdtDbtInd"))
        self._always: list[Rule] = []
        self._repeats: list[tuple[Callable[[str, str, Any], bool], str, int]] = []
        self._kept: list[tuple[Leaf, etree._Element]] = []
        self._tests: list[tuple[Callable[[Values], Any], set[Any], Test]] = []
        self._never = False
        self._sort()
        self._needs_all = (
            self._has_details or self._has_status or any(rule.reads is None for rule in self._always)
        ) or self._finds_original

    def accepts(self, values: Values) -> bool:
        """Tell whether a transaction is right by its schema and all rules; then it has been counted."""
        if self._never:
            return False
        for key_of, known, is_right in self._tests:
            key = key_of(values)
            if key not in known:
                if not is_right(key):
                    return False
                if len(known) >= _KNOWN:
                    known.clear()
                known.add(key)
        transaction = self._transaction
        if self._amount is not None:
            transaction.amount = exact(values[self._amount.value])
            transaction.currency = "" if self._amount.currency is None else values[self._amount.currency]
        if self._needs_all:
            self._show_all(values)
        context = self._context
        for is_repeated, name, value in self._repeats:
            if is_repeated(name, values[value], context):
                context.take_back()
                return False
        if (self._always or self._needs_all) and not self._is_right_always(values):
            context.take_back()
            return False
        if self._has_status or self._finds_original:
            self._check.count(transaction.counted)
        else:
            self._check.count(Counted(transaction.amount, transaction.currency, None, None, None))
        return True

    def _is_right_always(self, values: Values) -> bool:
        context, transaction = self._context, self._transaction
        if not self._needs_all:
            for leaf, element in self._kept:
                element.text = values[leaf.value]
        elif self._has_details and not self._count_details():
            return False
        if self._finds_original:
            transaction.original = find_original(transaction, context)
        return not any(True for rule in self._always for _ in rule.check(transaction, context))

    def _count_details(self) -> bool:
        """Count the details of an entry anew; tell whether they are right."""
        part_name, detail_name = self._shape.details
        entry = self._transaction.details = EntryTally()
        for part in self._transaction.all(part_name):
            listed = list(part.iterchildren(f"{{*}}{detail_name}"))
            for detail in listed:
                entry.add(detail)
            details = Details(part, len(listed))
            entry.add_part(details)
            for rule in self._check.plan.details:
                for _ in rule.check(details, self._context):
                    return False
        return True

    def _show_all(self, values: Values) -> None:
        last = self._last
        for leaf, element in self._places:
            if last[leaf.value] != (text := values[leaf.value]):
                element.text = last[leaf.value] = text
            if leaf.currency is not None and last[leaf.currency] != (currency := values[leaf.currency]):
                element.set("Ccy", currency)
                last[leaf.currency] = currency

    def _amount_leaf(self) -> Leaf | None:
        found = self._transaction.amount_element
        return next((leaf for leaf, element in self._places if element is found), None)

    def _is_reply(self) -> bool:
        return any(rule.code == "original" for rule in self._check.plan.transactions)

    def _sort(self) -> None:
        """Sort the rules by what makes them see something new."""
        for leaf, element in self._places:
            self._add_leaf(leaf, element)
        for element in self._sample.iter("*"):
            if len(element) and (rules := self._check.plan.elements.get(element.tag)):
                inside = set(element.iter("*"))
                self._add(rules, [each for each in self._places if each[1] in inside], element)
        for rule in self._check.plan.transactions:
            if rule.layer is Layer.STORE and self._context.store is None:
                continue
            if rule.repeats is not None:
                self._repeats += [
                    (rule.repeats, leaf.name, leaf.value)
                    for leaf, _ in self._places
                    if leaf.place in (rule.reads or ())
                ]
            elif rule.reads is None or rule.keeps:
                self._always.append(rule)
            else:
                self._add_transaction_rule(rule, rule.reads)
        kept = {name for rule in self._always for name in rule.reads or ()}
        self._kept = [(leaf, element) for leaf, element in self._places if leaf.name in kept]

    def _add_leaf(self, leaf: Leaf, element: etree._Element) -> None:
        plan, context = self._check.plan, self._context
        rules = [*plan.elements.get(element.tag, ()), *plan.texts]
        if leaf.currency is None:
            if leaf.is_value is None and not rules:
                return

            def is_right(text: str) -> bool:
                if leaf.is_value is not None and not leaf.is_value(text):
                    return False
                if rules:
                    self._forget(leaf)
                    element.text = text
                return not any(True for rule in rules for _ in rule.check(element, text, context))

            self._tests.append((itemgetter(leaf.value), set(), is_right))
            return
        of_currency = [rule for rule in plan.amounts if rule.reads == frozenset({"@Ccy"})]
        of_decimals = [rule for rule in plan.amounts if rule.reads == frozenset({"@Ccy", "decimals"})]
        rules += [rule for rule in plan.amounts if rule not in of_currency and rule not in of_decimals]

        def is_right_currency(currency: str) -> bool:
            if leaf.is_currency is None or not leaf.is_currency(currency):
                return False
            self._forget(leaf)
            element.set("Ccy", currency)
            return not any(True for rule in of_currency for _ in rule.check(element, element.text or "", context))

        def is_right_amount(key: tuple[str, str]) -> bool:
            currency, text = key
            if leaf.is_value is not None and not leaf.is_value(text):
                return False
            self._forget(leaf)
            element.text = text
            element.set("Ccy", currency)
            return not any(True for rule in rules for _ in rule.check(element, text, context))

        def is_right_form(key: tuple[str, int, int, bool]) -> bool:
            currency, written, counted, is_zero = key
            self._forget(leaf)
            text = "0" if is_zero else "1"
            if written:
                text += f".{'1' * counted}{'0' * (written - counted)}"
            element.text = text
            element.set("Ccy", currency)
            return not any(True for rule in of_decimals for _ in rule.check(element, text, context))

        self._tests.append((itemgetter(leaf.currency), set(), is_right_currency))
        if leaf.is_value is not None or rules:
            self._tests.append((itemgetter(leaf.currency, leaf.value), set(), is_right_amount))
        if leaf.is_value is None and of_decimals:
            self._tests.append((_form_of(leaf), set(), is_right_form))
        elif of_decimals:
            rules += of_decimals

    def _forget(self, leaf: Leaf) -> None:
        self._last[leaf.value] = None
        if leaf.currency is not None:
            self._last[leaf.currency] = None

    def _add(self, rules: Sequence[Rule], places: list[tuple[Leaf, etree._Element]], element: etree._Element) -> None:
        """Add rules about an element with elements in it, which may look at all values in it."""
        indices = [index for leaf, _ in places for index in _indices(leaf)]
        context = self._context

        def is_right(key: Any) -> bool:
            self._show(places, dict(zip(indices, (key,) if len(indices) == 1 else key, strict=True)))
            return not any(True for rule in rules for _ in rule.check(element, element.text or "", context))

        self._tests.append((itemgetter(*indices), set(), is_right))

    def _add_transaction_rule(self, rule: Rule, reads: frozenset[str]) -> None:
        places = [each for each in self._places if each[0].name in reads]
        currencies = [each for each in self._places if f"{each[0].name}@Ccy" in reads and each[0].currency is not None]
        indices = [leaf.value for leaf, _ in places] + [leaf.currency or 0 for leaf, _ in currencies]
        amount = self._amount

        def is_right(key: Any) -> bool:
            found = dict(zip(indices, (key,) if len(indices) == 1 else key, strict=True))
            self._show([*places, *currencies], found)
            if amount is not None and amount.currency in found:
                self._transaction.currency = found[amount.currency]
            return not any(True for _ in rule.check(self._transaction, self._context))

        if indices:
            self._tests.append((itemgetter(*indices), set(), is_right))
        elif not is_right(()):
            # Its elements alone are at fault: so are they of every other.
            self._never = True

    def _show(self, places: Sequence[tuple[Leaf, etree._Element]], found: dict[int, str]) -> None:
        for leaf, element in places:
            self._forget(leaf)
            if leaf.value in found:
                element.text = found[leaf.value]
            if leaf.currency is not None and leaf.currency in found:
                element.set("Ccy", found[leaf.currency])


def _form_of(leaf: Leaf) -> Callable[[Values], tuple[str, int, int, bool]]:
    """Return what makes amounts alike for rules that read `decimals`: currency, decimals written and counted, is it zero."""
    value, currency = leaf.value, leaf.currency
    assert currency is not None

    def form(values: Values) -> tuple[str, int, int, bool]:
        text = values[value]
        fraction = text.partition(".")[2]
        return values[currency], len(fraction), len(fraction.rstrip("0")), not text.strip("0.")

    return form


def _indices(leaf: Leaf) -> tuple[int, ...]:
    return (leaf.value,) if leaf.currency is None else (leaf.currency, leaf.value)
