"""Which elements a message of a type must, may not and must again have, and the values they may take: as data.

rules = rule_set("iso87")                       # or Rules.from_json(text), schema iso8583-rules/1
for finding in check_rules(message, rules, request=request):
    print(finding)                              # missing 41: element 41
require_rules(message, rules)                   # Iso8583Error for the first finding

Layouts say how elements are written, rules what a message means: they are checked apart, and by no level of decoding.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Final, Literal

import msgspec

from shanraq.standards.iso8583.errors import Iso8583Error, LayoutError, Level
from shanraq.standards.iso8583.layout import Edition
from shanraq.standards.iso8583.message import Message

RULES_SCHEMA = "iso8583-rules/1"
_FOLDER = resources.files(__package__ or "") / "rulesets"
_TYPES: Final = re.compile(r"[0-9x]{4}")
_ELEMENTS_LIMIT: Final = 192


class _Strict(msgspec.Struct, forbid_unknown_fields=True, frozen=True, omit_defaults=True):
    """A piece of a set of rules: what is not known is refused."""


class Values(_Strict, frozen=True):
    """What an element, or the `size` characters from `at` on, may be: one of `allowed` or within one of `ranges`.

    A range is `from-to`, both of one length: of numbers (`100-199`), or else of each character apart (`A0-MZ`).
    """

    allowed: tuple[str, ...] = ()
    ranges: tuple[str, ...] = ()
    at: int = 0
    size: int | None = None

    def hold(self, value: str) -> bool:
        """Tell whether a value is one of these."""
        part = value[self.at :] if self.size is None else value[self.at : self.at + self.size]
        return part in self.allowed or any(_is_within(part, *span.split("-")) for span in self.ranges)

    def __str__(self) -> str:
        place = f"characters {self.at + 1} to {self.at + self.size} " if self.size is not None else ""
        return f"{place}one of {', '.join((*self.allowed, *self.ranges))}"


def _is_within(part: str, first: str, last: str) -> bool:
    if len(part) != len(first) or not part.isascii():
        return False
    if first.isdigit() and last.isdigit():
        return part.isdigit() and first <= part <= last
    return all(low <= char <= high for low, char, high in zip(first, part, last, strict=True))


class When(_Strict, frozen=True):
    """A condition: an element is there and, if named, has one of these values."""

    element: int
    values: Values | None = None


class Conditional(_Strict, frozen=True):
    """An element that must be there when the condition holds."""

    element: int
    when: When


class TypeRules(_Strict, frozen=True):
    """The rules of some message types; `x` in a type stands for any digit, and all that fit a message apply.

    `one_of`: of each group at least one is there. `exclusive`: of each group at most one. `echo`: what the request has, the
    response repeats.
    """

    types: tuple[str, ...]
    mandatory: tuple[int, ...] = ()
    conditional: tuple[Conditional, ...] = ()
    forbidden: tuple[int, ...] = ()
    one_of: tuple[tuple[int, ...], ...] = ()
    exclusive: tuple[tuple[int, ...], ...] = ()
    echo: tuple[int, ...] = ()
    values: dict[int, Values] = {}

    def fit(self, mti: str) -> bool:
        """Tell whether these are rules of this message type."""
        return any(
            len(mti) == len(pattern)
            and all(want in ("x", digit) for want, digit in zip(pattern, mti, strict=True))
            for pattern in self.types
        )  # fmt: skip


class Rules(_Strict, frozen=True):
    """A whole set of rules. `values` hold for every type, unless a type has its own for that element."""

    schema: Literal["iso8583-rules/1"]
    id: str
    title: str
    iso_version: Edition
    messages: tuple[TypeRules, ...]
    values: dict[int, Values] = {}
    evidence: str = ""

    @classmethod
    def from_json(cls, text: bytes | str) -> Rules:
        """Read rules; raise LayoutError naming the place that is wrong."""
        try:
            found = msgspec.json.decode(text, type=cls)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise LayoutError(str(error)) from None
        _check(found)
        return found

    def to_json(self) -> bytes:
        """Write the rules in their own format."""
        return msgspec.json.format(msgspec.json.encode(msgspec.to_builtins(self, str_keys=True)), indent=1)


def _check(rules: Rules) -> None:
    _check_values(rules.values, "values")
    for place, types in enumerate(rules.messages):
        path = f"messages[{place}]"
        if not types.types or not all(_TYPES.fullmatch(pattern) for pattern in types.types):
            raise LayoutError(f"{path}.types: a type is four digits, x for any")
        _check_values(types.values, f"{path}.values")
        groups = (*types.one_of, *types.exclusive, types.mandatory, types.forbidden, types.echo)
        for number in (number for group in groups for number in group):
            _check_number(number, path)
        for rule in types.conditional:
            _check_number(rule.element, f"{path}.conditional")
            _check_number(rule.when.element, f"{path}.conditional")
            if rule.when.values is not None:
                _check_values({rule.when.element: rule.when.values}, f"{path}.conditional")


def _check_number(number: int, path: str) -> None:
    if not 2 <= number <= _ELEMENTS_LIMIT:
        raise LayoutError(f"{path}: there is no element {number}")


def _check_values(values: dict[int, Values], path: str) -> None:
    for number, wanted in values.items():
        _check_number(number, path)
        if wanted.at < 0 or (wanted.size is not None and wanted.size < 1):
            raise LayoutError(f"{path}.{number}: at and size name no characters")
        if not (wanted.allowed or wanted.ranges):
            raise LayoutError(f"{path}.{number}: nothing would be allowed")
        for span in wanted.ranges:
            ends = span.split("-")
            if len(ends) != 2 or not ends[0] or len(ends[0]) != len(ends[1]):
                raise LayoutError(f"{path}.{number}: a range is from-to, both of one length")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that does not hold: `code`, the element (or `mti`), and what was expected; never a value of the message.

    Codes: `unknown_type`, `missing`, `forbidden`, `not_allowed`, `not_echoed`.
    """

    code: str
    field: str
    expected: str

    def __str__(self) -> str:
        return f"{self.code} {self.field}: {self.expected}"


def check_rules(message: Message, rules: Rules, *, request: Message | None = None) -> list[Finding]:
    """Return everything about a message that does not hold, elements in order; with its `request` also what it must repeat."""
    types = [types for types in rules.messages if types.fit(message.mti)]
    if not types:
        return [Finding("unknown_type", "mti", f"a type of message of the rules {rules.id}")]
    present = message.fields.keys() | message.parts.keys()
    values = dict(rules.values)
    for found in types:
        values |= found.values
    findings = {finding for one in types for finding in _findings(one, present, message, request)}
    findings |= {
        Finding("not_allowed", str(number), str(wanted))
        for number, wanted in values.items()
        if number in message.fields and not wanted.hold(message.fields[number])
    }
    return sorted(findings, key=lambda finding: (int(finding.field), finding.code, finding.expected))


def _findings(types: TypeRules, present: set[int], message: Message, request: Message | None) -> Iterator[Finding]:
    for number in types.mandatory:
        if number not in present:
            yield Finding("missing", str(number), f"element {number}")
    for rule in types.conditional:
        if rule.element not in present and _holds(rule.when, present, message):
            yield Finding(
                "missing", str(rule.element), f"element {rule.element}, because of element {rule.when.element}"
            )
    for number in types.forbidden:
        if number in present:
            yield Finding("forbidden", str(number), f"no element {number}")
    for group in types.one_of:
        if not present.intersection(group):
            yield Finding("missing", str(group[0]), f"one of the elements {', '.join(map(str, group))}")
    for group in types.exclusive:
        if len(both := present.intersection(group)) > 1:
            yield Finding("forbidden", str(max(both)), f"one of the elements {', '.join(map(str, group))}")
    for number in types.echo if request is not None else ():
        if request is not None and number in request.fields and message.fields.get(number) != request.fields[number]:
            yield Finding("not_echoed", str(number), f"element {number} as in the request")


def _holds(when: When, present: set[int], message: Message) -> bool:
    if when.element not in present:
        return False
    return when.values is None or when.values.hold(message.fields.get(when.element, ""))


def require_rules(message: Message, rules: Rules, *, request: Message | None = None) -> None:
    """Raise Iso8583Error, of level semantic, for the first finding of `check_rules`."""
    for finding in check_rules(message, rules, request=request):
        span = message.spans.get(int(finding.field)) if finding.field != "mti" else None
        raise Iso8583Error(
            finding.code, finding.field, span.data if span else -1, f"does not hold by the rules {rules.id}",
            level=Level.SEMANTIC, expected=finding.expected,
        )  # fmt: skip


@cache
def rule_set_names() -> tuple[str, ...]:
    """Return the names of the rules that come with the library, sorted."""
    return tuple(sorted(item.name.removesuffix(".json") for item in _FOLDER.iterdir() if item.name.endswith(".json")))


@cache
def rule_set(name: str) -> Rules:
    """Return rules by their name; raise LayoutError for a name there is not."""
    if name not in rule_set_names():
        raise LayoutError(f"there are no rules {name[:64]!r}; there are {', '.join(rule_set_names())}")
    return Rules.from_json((_FOLDER / f"{name}.json").read_bytes())
