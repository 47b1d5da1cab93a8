"""What a rule is, and the list of all rules.

A rule is a small pure function that yields a Fault for each place where it does not hold; what surrounds it (code, layer,
severity, reason, the messages it is for) is data beside it. Its docstring is its title in the list of rules.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, NamedTuple, TypeVar

from lxml import etree

from shanraq.standards.iso20022.errors import Layer, Severity

ALL_VERSIONS: Final = (1, 99)


class Scope(StrEnum):
    """What a rule looks at."""

    ELEMENT = "element"
    """One element by its name: check(element, text, context)."""
    AMOUNT = "amount"
    """An element with a currency: check(element, text, context)."""
    TEXT = "text"
    """Every element with text: check(element, text, context)."""
    DETAILS = "details"
    """One part of an entry's details, after its transactions: check(details, context)."""
    TRANSACTION = "transaction"
    """One transaction, status or entry: check(transaction, context)."""
    BLOCK = "block"
    """One block of transactions, or the account report, after its transactions: check(block, context)."""
    MESSAGE = "message"
    """The message, after all its transactions: check(message, context)."""


class Fault(NamedTuple):
    """A place where a rule does not hold; `reason` and `severity` only where they are not those of the rule."""

    element: etree._Element
    message: str
    reason: str = ""
    attribute: str = ""
    severity: Severity | None = None


Faults = Iterator[Fault]


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. `messages` are families (`pain.001`), empty for all; `versions` first and last.

    Of a rule about transactions, `reads` names the elements whose text (`Cd`) or currency (`InstdAmt@Ccy`) it looks at in the
    transaction, None if any; with the same elements, the same texts there and the same block it finds the same, unless it
    `keeps` what it has seen. A rule about amounts may read `@Ccy`, the currency alone, or besides `decimals`: of an amount that
    is digits with an optional fraction, how many decimals are written, how many count, and whether it is zero. `repeats` is
    the judgement of a rule about single texts, by name and text; it `reads` places below the transaction.
    """

    code: str
    scope: Scope
    layer: Layer
    severity: Severity
    reason: str
    title: str
    check: Callable[..., Faults]
    messages: tuple[str, ...] = ()
    versions: tuple[int, int] = ALL_VERSIONS
    names: tuple[str, ...] = ()
    setting: str = ""
    reads: frozenset[str] | None = None
    keeps: bool = False
    repeats: Callable[[str, str, Any], bool] | None = None

    def is_for(self, family: str, version: int) -> bool:
        """Tell whether the rule is for a message."""
        return (not self.messages or family in self.messages) and self.versions[0] <= version <= self.versions[1]


_RULES: Final[dict[str, Rule]] = {}
_Check = TypeVar("_Check", bound=Callable[..., Faults])


def rule(
    code: str, scope: Scope, layer: Layer, reason: str = "", *,
    severity: Severity = Severity.ERROR, messages: str = "", versions: tuple[int, int] = ALL_VERSIONS,
    names: str = "", setting: str = "", reads: str | None = None, keeps: bool = False,
    repeats: Callable[[str, str, Any], bool] | None = None,
) -> Callable[[_Check], _Check]:  # fmt: skip
    """Enter a function into the list of rules. `setting` names what in a profile switches it on (in the list only)."""

    def enter(check: _Check) -> _Check:
        title = " ".join((check.__doc__ or "").split())
        assert code not in _RULES and title, f"rule {code} is there already or has no title"
        _RULES[code] = Rule(
            code,
            scope,
            layer,
            severity,
            reason,
            title,
            check,
            tuple(messages.split()),
            versions,
            tuple(names.split()),
            setting,
            None if reads is None else frozenset(reads.split()),
            keeps,
            repeats,
        )
        return check

    return enter


def all_rules() -> tuple[Rule, ...]:
    """Return all rules, by layer and code."""
    order = list(Layer)
    return tuple(sorted(_RULES.values(), key=lambda found: (order.index(found.layer), found.code)))


def is_on(profile: Any, setting: str) -> bool:
    """Tell whether a profile switches on what a rule needs: a setting that is not empty."""
    return not setting or getattr(profile, setting) not in (None, False, "", (), {}, "any", "unicode")
