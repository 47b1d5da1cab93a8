"""Triggers: cards and amounts that are answered in a known way, and rules of a file."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from shanraq.simulators.iso8583.faults import Fault, fault_named
from shanraq.simulators.iso8583.read import pan_of
from shanraq.standards.iso8583 import Message

BRAND_PREFIXES: Final = ("400000", "520000", "620000")
"""Visa, Mastercard, UnionPay: every trigger card exists once for each."""

CARD_TRIGGERS: Final[Mapping[str, str]] = {
    "000": "",
    "005": "decline:05", "014": "decline:14", "041": "decline:41", "043": "decline:43", "051": "decline:51",
    "054": "decline:54", "055": "decline:55", "057": "decline:57", "061": "decline:61", "062": "decline:62",
    "065": "decline:65", "075": "decline:75", "091": "decline:91", "096": "decline:96", "107": "decline:N7",
    "010": "partial", "030": "format_error",
    "901": "drop_before", "902": "drop_after", "903": "late", "904": "slow", "905": "duplicate", "906": "garbage",
    "907": "unmatched", "908": "wrong_mti", "909": "disconnect_before", "910": "disconnect_after",
}  # fmt: skip
"""What a card does, by the three digits before its check digit."""

AMOUNT_BASE: Final = 999_000
"""In minor units: this amount plus the number of a trigger does what the trigger card does."""

_DRAWN: Final = 1.0


def trigger_card(number: str, prefix: str = BRAND_PREFIXES[0]) -> str:
    """Return the card of a trigger, with its check digit: `trigger_card("051")` is declined with 51.

    Raises KeyError for a trigger there is not.
    """
    CARD_TRIGGERS[number]
    body = f"{prefix}000000{number}"
    total = 0
    for place, char in enumerate(reversed(body)):
        digit = int(char)
        total += digit if place % 2 else digit * 2 - 9 * (digit > 4)
    return body + str(-total % 10)


_CARDS: Final = {
    trigger_card(number, prefix): name for number, name in CARD_TRIGGERS.items() for prefix in BRAND_PREFIXES
}
_AMOUNTS: Final = {
    f"{AMOUNT_BASE + int(number):012d}": name
    for number, name in CARD_TRIGGERS.items()
    if name and not name.endswith("N7")
}


@dataclass(slots=True)
class Rule:
    """What a file says: when (all that is given must hold) and what then. `every` counts what the other conditions let in."""

    then: Fault
    mti: str = ""
    pan: str = ""
    terminal: str = ""
    amount: tuple[int, int] | None = None
    every: int = 1
    probability: float = 1.0
    seen: int = field(default=0)

    def matches(self, message: Message, chance: random.Random) -> bool:
        """Tell whether the rule is meant for a request; counts it."""
        fields = message.fields
        if self.mti and message.mti != self.mti:
            return False
        if self.terminal and fields.get(41, "").rstrip() != self.terminal:
            return False
        if self.pan and pan_of(message) != self.pan:
            return False
        if self.amount is not None:
            text = fields.get(4, "")
            if not text.isdigit() or not self.amount[0] <= int(text) <= self.amount[1]:
                return False
        self.seen += 1
        if self.seen % self.every:
            return False
        return self.probability >= _DRAWN or chance.random() < self.probability


class Triggers:
    """Rules first, then cards, then amounts; cards and amounts only for requests to pay, never for what follows them."""

    def __init__(
        self, rules: list[Rule], seed: int, *, built_in: bool = True, slow_seconds: float, late_seconds: float
    ) -> None:
        self._rules = [replace(rule, seen=0) for rule in rules]
        self._chance = random.Random(seed)  # noqa: S311 - a reproducible run, no secret
        self._faults = {
            name: fault_named(name, slow_seconds=slow_seconds, late_seconds=late_seconds)
            for name in (CARD_TRIGGERS.values() if built_in else ())
            if name
        }

    def find(self, message: Message) -> Fault | None:
        """Return what a rule, the card or the amount of a request asks for."""
        for rule in self._rules:
            if rule.matches(message, self._chance):
                return rule.then
        if not self._faults or message.mti[1] not in "12" or message.mti[2] != "0":
            return None
        fields = message.fields
        if fields.get(3, "0")[0] not in "01":
            return None
        name = _CARDS.get(fields.get(2) or pan_of(message)) or _AMOUNTS.get(fields.get(4, ""))
        return self._faults[name] if name else None

    def find_for_session(self, message: Message) -> Fault | None:
        """Return what a rule that names this very type of network management asks for."""
        for rule in self._rules:
            if rule.mti == message.mti and rule.matches(message, self._chance):
                return rule.then
        return None


# The file.

_MATCH: Final = frozenset(("mti", "pan", "amount", "terminal", "every", "probability"))
_THEN: Final = frozenset((
    "response_code", "approve_partial", "delay_seconds", "drop", "disconnect", "duplicate", "garbage", "bad_frame",
    "cut_frame", "wrong_stan", "wrong_mti", "format_error",
))  # fmt: skip
_SWITCHES: Final = ("garbage", "bad_frame", "cut_frame", "wrong_stan", "wrong_mti", "format_error")


def load_rules(path: Path) -> list[Rule]:
    """Read rules from a JSON file, a list of `{"match": {...}, "then": {...}}`; raises OSError, ValueError with the place."""
    try:
        plain = json.loads(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path.name} is no JSON: {error}") from None
    return parse_rules(plain)


def parse_rules(plain: object) -> list[Rule]:
    """Read rules; raises ValueError with the number of the rule."""
    _must(isinstance(plain, list), "rules are a list")
    assert isinstance(plain, list)
    rules: list[Rule] = []
    for number, item in enumerate(plain, 1):
        try:
            rules.append(_rule(item))
        except (ValueError, TypeError) as error:
            raise ValueError(f"rule {number}: {error}") from None
    return rules


def _rule(item: object) -> Rule:
    if not isinstance(item, dict) or not item.keys() <= {"match", "then", "name"} or "then" not in item:
        raise ValueError("a rule is {match, then}")
    match, then = _known(item.get("match", {}), _MATCH, "match"), _known(item["then"], _THEN, "then")
    if not then:
        raise ValueError("then says nothing")
    return Rule(
        _fault(then, str(item.get("name", "rule"))),
        mti=_text(match, "mti"),
        pan=_text(match, "pan"),
        terminal=_text(match, "terminal"),
        amount=_range(match.get("amount")),
        every=_whole(match.get("every", 1), "every", 1),
        probability=_number(match.get("probability", 1.0), "probability", 1.0),
    )


def _fault(then: dict[str, Any], name: str) -> Fault:
    moments = [then[key] for key in ("drop", "disconnect") if key in then]
    if len(moments) > 1 or any(moment not in ("before", "after") for moment in moments):
        raise ValueError("one of drop and disconnect is before or after")
    for switch in (*_SWITCHES, "duplicate"):
        _must(isinstance(then.get(switch, False), bool), f"{switch} is true or false")
    partial = then.get("approve_partial")
    return Fault(
        name=name,
        response_code=_text(then, "response_code"),
        approve_partial=None if partial is None else _whole(partial, "approve_partial", 0),
        delay_seconds=_number(then.get("delay_seconds", 0.0), "delay_seconds", 3600.0),
        before=moments == ["before"],
        is_dropped="drop" in then,
        is_cut_off="disconnect" in then,
        times=2 if then.get("duplicate") else 1,
        **{switch: then.get(switch, False) for switch in _SWITCHES},
    )


def _known(value: object, names: frozenset[str], what: str) -> dict[str, Any]:
    _must(isinstance(value, dict), f"{what} is an object")
    assert isinstance(value, dict)
    if unknown := sorted(value.keys() - names):
        raise ValueError(f"{what} does not know {', '.join(unknown)}; it knows {', '.join(sorted(names))}")
    return value


def _must(right: bool, text: str) -> None:
    if not right:
        raise ValueError(text)


def _text(found: dict[str, Any], name: str) -> str:
    value = found.get(name, "")
    if not isinstance(value, str) or (name in found and not value):
        raise ValueError(f"{name} is a text")
    return value


def _whole(value: object, name: str, least: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ValueError(f"{name} is a whole number from {least}")
    return value


def _number(value: object, name: str, most: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
        raise ValueError(f"{name} is a number from 0 to {most:g}")
    return float(value)


def _range(value: object) -> tuple[int, int] | None:
    if value is None:
        return None
    if isinstance(value, list) and len(value) == 2:
        low, high = (_whole(end, "amount", 0) for end in value)
        return low, high
    exact = _whole(value, "amount", 0)
    return exact, exact
