"""Forms of transactions: in a long file most have the same elements in the same order, and differ in their values alone.

A form is learnt from the text of one transaction. Text that matches it has the same elements, and nothing else that XML
knows: no comment, no CDATA section, no entity, no prefix, no attribute but a currency. Its schema is kept if that of the first
is, and each value is one of its type: the schemas of ISO 20022 say nothing about two places at once.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from lxml import etree

from shanraq.standards.iso20022.definition import ComplexType, Definition, Element, SimpleType

# What stands between tags: text without a character that has a meaning, or that is no character of XML 1.0.
_CHARACTER: Final = r"[^<&>\x00-\x1f]"
_TOKEN: Final = re.compile(r'<(/?)([A-Za-z0-9]+)(?: Ccy="([A-Z]*)")?>|([^<&>\x00-\x08\x0b\x0c\x0e-\x1f]+)')
_BLANKS: Final = " \t\r\n"
_GAP: Final = r"[ \t\r\n]*+"
NO_CHARACTERS: Final = ("\ufffe", "\uffff")
"""What the match of a form lets through and XML 1.0 does not: where there is one, nothing may be gone past."""
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_MOMENT: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?(Z|[+-](0[0-9]|1[0-3]):[0-5][0-9])?", re.ASCII
)
_LONGEST: Final = 64 * 1024  # characters of a transaction whose form is learnt
_MOST_LEAVES: Final = 500

IsValue = Callable[[str], bool]
"""Tells of a text that it is surely a value of a type; False also where only the schema can say."""


class Leaf(NamedTuple):
    """A value of a form: its place below the transaction (as `instructions.leaves` names it), its index among the values.

    `is_value` is None where the form's own match tells that it is a value. `currency` is the index of its currency.
    """

    place: str
    name: str
    value: int
    is_value: IsValue | None
    currency: int | None = None
    is_currency: IsValue | None = None


class Form(NamedTuple):
    """The elements of a transaction; `match` takes a text and a position, its groups are the values."""

    name: str
    text: str
    match: Callable[[str, int], re.Match[str] | None]
    leaves: tuple[Leaf, ...]

    def has_values(self, values: Sequence[str]) -> bool:
        """Tell whether all values are of their types."""
        return all(
            (leaf.is_value is None or leaf.is_value(values[leaf.value]))
            and (leaf.currency is None or leaf.is_currency is None or leaf.is_currency(values[leaf.currency]))
            for leaf in self.leaves
        )


def skeleton_of(text: str) -> object | None:
    """Return what texts of one form have in common; None for a text that has more than tags and values.

    A parser that meets a text with tags and values alone as markup has read nothing but markup.
    """
    tokens = _skeleton(text)
    if tokens is None:
        return None
    return tuple((is_end, name, currency is None) for is_end, name, currency, _ in tokens if name)


def read_form(text: str, above: str, definition: Definition) -> Form | None:
    """Return the form of a transaction, given its text and the path of its parent; None where it cannot be told from it.

    The caller sees to it that the text is valid for the schema.
    """
    tokens = _skeleton(text)
    if tokens is None or len(text) > _LONGEST:
        return None
    pattern: list[str] = []
    leaves: list[Leaf] = []
    open_: list[str] = []
    numbers: list[dict[str, int]] = [{}]
    steps: list[str] = []
    groups = 0
    after_end = False
    for position, (is_end, name, currency, between) in enumerate(tokens):
        if not name:
            if after_end and between.strip(_BLANKS):
                return None
            continue
        if is_end:
            if not open_ or open_.pop() != name:
                return None
            steps.pop()
            numbers.pop()
            pattern.append(f"{_GAP if after_end else ''}</{name}>")
            after_end = True
            continue
        number = numbers[-1][name] = numbers[-1].get(name, 0) + 1
        open_.append(name)
        steps.append(name if number == 1 else f"{name}#{number}")
        numbers.append({})
        after_end = False
        pattern.append(f"{_GAP}<{name}>" if currency is None else f'{_GAP}<{name} Ccy="([A-Z]*+)">')
        value, following = tokens[position + 1][3], tokens[position + (1 if tokens[position + 1][1] else 2)]
        if not following[0]:
            # Elements are in it: only blanks may stand around them.
            if value.strip(_BLANKS) or currency is not None:
                return None
            continue
        kinds = _kinds(_element_at(definition, f"{above}/{'/'.join(open_)}"), has_currency=currency is not None)
        if kinds is None or len(leaves) == _MOST_LEAVES:
            return None
        pattern.append(f"({_text_of(kinds[0])})")
        with_currency = None if currency is None else groups
        groups += currency is not None
        is_value = is_value_of(kinds[0])
        leaves.append(Leaf(
            "/".join(steps[1:]), name, groups, is_value,
            with_currency, None if kinds[1] is None else is_value_of(kinds[1]),
        ))  # fmt: skip
        groups += 1
    match = re.compile("".join(pattern)).match
    return (
        Form(tokens[0][1], text, match, tuple(leaves)) if not open_ and leaves and match(text, 0) is not None else None
    )


def _skeleton(text: str) -> list[tuple[str, str, str | None, str]] | None:
    """Return the tokens of a text: (is it an end, name, currency, text between); None if there is anything else in it."""
    tokens: list[tuple[str, str, str | None, str]] = []
    end = 0
    for found in _TOKEN.finditer(text):
        if found.start() != end:
            return None
        end = found.end()
        is_end, name, currency, between = found.groups()
        if is_end and currency is not None:
            return None
        tokens.append((is_end or "", name or "", currency, between or ""))
    if end != len(text) or any(each in text for each in NO_CHARACTERS):
        return None
    return tokens if tokens and tokens[0][1] and tokens[-1][0] else None


def _element_at(definition: Definition, path: str) -> Element | None:
    """Return the element at a path, None also where a name stands for two types."""
    current: Element | None = definition.root
    for name in path.strip("/").split("/")[1:]:
        if current is None or not isinstance(current.type, ComplexType):
            return None
        found = [each for each in current.type.elements if each.name == name]
        if not found or any(each.type is not found[0].type for each in found):
            return None
        current = found[0]
    return current


def _kinds(element: Element | None, *, has_currency: bool) -> tuple[SimpleType, SimpleType | None] | None:
    if element is None:
        return None
    kind = element.type
    if isinstance(kind, SimpleType):
        return None if has_currency else (kind, None)
    attributes = {each.name: each.type for each in kind.attributes}
    if kind.value is None or not has_currency or set(attributes) != {"Ccy"}:
        return None
    return kind.value, attributes["Ccy"]


def _text_of(kind: SimpleType) -> str:
    """Return the pattern of a value: what may stand between tags, as long as the type allows."""
    if is_value_of(kind) is not None:
        return f"{_CHARACTER}*+"
    if kind.base == "decimal":
        total, fraction = int(kind.facet("totalDigits") or 18), int(kind.facet("fractionDigits") or 17)
        return rf"[0-9]{{1,{total - fraction}}}+(?:\.[0-9]{{1,{fraction}}}+)?+" if fraction else rf"[0-9]{{1,{total}}}+"
    least, most = _lengths(kind)
    return f"{_CHARACTER}{{{least},{most}}}+"


def _lengths(kind: SimpleType) -> tuple[int, int]:
    exact = kind.facet("length")
    return int(exact or kind.facet("minLength") or 0), int(exact or kind.facet("maxLength") or _LONGEST)


def is_value_of(kind: SimpleType) -> IsValue | None:
    """Return a test that is True only for values of a type (XML Schema 1.0, part 2), written as most are.

    None for texts of which only the length is told, and for numbers: the match of a form sees to that.
    """
    match kind.base:
        case "string":
            return _is_text_of(kind)
        case "decimal":
            return None if _is_plain_number(kind) else _is_unsure
        case "date" if not kind.facets:
            return _is_date
        case "dateTime" if not kind.facets:
            return _is_moment
        case "boolean" if not kind.facets:
            return frozenset({"true", "false", "1", "0"}).__contains__
    return _is_unsure


def _is_unsure(_: str) -> bool:
    return False


def _is_text_of(kind: SimpleType) -> IsValue | None:
    names = {name for name, _ in kind.facets}
    if not names <= {"enumeration", "pattern", "length", "minLength", "maxLength"}:
        return _is_unsure
    if kind.enumeration:
        allowed = frozenset(kind.enumeration)
        return allowed.__contains__ if names == {"enumeration"} else _is_unsure
    least, most = _lengths(kind)
    if kind.patterns:
        # The patterns of ISO 20022 use only what both kinds of regular expressions have.
        fits = re.compile("|".join(f"(?:{each})" for each in kind.patterns)).fullmatch
        return lambda text: least <= len(text) <= most and fits(text) is not None
    return None


def _is_plain_number(kind: SimpleType) -> bool:
    limits = {name: value for name, value in kind.facets if name not in ("totalDigits", "fractionDigits")}
    total, fraction = int(kind.facet("totalDigits") or 18), int(kind.facet("fractionDigits") or 17)
    return limits in ({}, {"minInclusive": "0"}) and fraction < total


def _is_date(text: str) -> bool:
    if _DATE.fullmatch(text) is None:
        return False
    try:
        dt.date.fromisoformat(text)
    except ValueError:
        return False
    return True


def _is_moment(text: str) -> bool:
    if _MOMENT.fullmatch(text) is None:
        return False
    try:
        dt.datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def sample_of(text: str, namespace: str, above: str) -> etree._Element:
    """Return a transaction as an element that stands in elements of the names above it (a/b/c), and in nothing else."""
    names = above.strip("/").split("/")
    head = "".join(f"<{name}>" for name in names[1:])
    tail = "".join(f"</{name}>" for name in reversed(names))
    root = etree.fromstring(f'<{names[0]} xmlns="{namespace}">{head}{text}{tail}'.encode())
    current = root
    for _ in names:
        current = current[0]
    return current
