"""Which payment system takes a new payment: rules as data, decided by pure functions, with the reason written down.

The first active rule in the order of `position` whose conditions all hold decides; it names payment systems and the way to put
them in order. The first of them is the first attempt, the others are there for failover. The same payment id, rules and figures
always give the same order: what looks like chance hangs on a hash of the payment's id.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Final

import msgspec

from shanraq.core.actor import Environment
from shanraq.core.errors import ConflictError, InvalidInputError, NotFoundError
from shanraq.core.fields import CurrencyCode
from shanraq.core.money import Money
from shanraq.payments.adapter import Initiator
from shanraq.payments.bins import Funding, KnownBin

RULE_PREFIX: Final = "rrl"
BIN_DIGITS: Final = 11

_ADAPTER = msgspec.Meta(pattern="^[a-z][a-z0-9_]{0,39}$", max_length=40, description="A payment system by its name.")
_SCHEME = msgspec.Meta(pattern="^[a-z]{2,20}$", max_length=20, description="A card's brand, such as `visa`.")
_BINS = msgspec.Meta(
    pattern="^[0-9]{1,11}(-[0-9]{1,11})?$",
    max_length=23,
    description="The first digits of card numbers, or a range of them: `411111`, `400000-449999`.",
)
_COUNTRY = msgspec.Meta(pattern="^[A-Z]{2}$", max_length=2, description="ISO 3166-1 alpha-2.")
_MOST: Final = 100


class RoutingRuleNotFoundError(NotFoundError, code="routing_rule_not_found", status=404):
    """There is no such routing rule."""


class RoutingRuleChangedError(ConflictError, code="routing_rule_changed", status=409):
    """The routing rule is not of this version any more: read it again."""


class InvalidRoutingRuleError(InvalidInputError, code="invalid_routing_rule", status=400):
    """The routing rule contradicts itself."""


class RoutedOperation(StrEnum):
    """What is asked of a payment system: a card payment, a credit to a card, to verify a card, to authenticate its holder."""

    PAYMENT = "payment"
    CREDIT = "credit"
    VERIFICATION = "verification"
    AUTHENTICATION = "authentication"

    @property
    def words(self) -> str:
        """Return what a payment system offers that takes it."""
        return _WORDS[self]


_WORDS: Final = {
    RoutedOperation.PAYMENT: "payments",
    RoutedOperation.CREDIT: "credits to cards",
    RoutedOperation.VERIFICATION: "verification of cards",
    RoutedOperation.AUTHENTICATION: "authentication of cardholders",
}


class Way(StrEnum):
    """How the payment systems of a rule are put in order.

    `order`: as written. `weight`: by chance in the proportion of the weights. `success_rate`: who approved most of late comes
    first, with a share for trying the others. `cost`: the cheapest first.
    """

    ORDER = "order"
    WEIGHT = "weight"
    SUCCESS_RATE = "success_rate"
    COST = "cost"


class Conditions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """When a rule decides: every condition given must hold, and of a list one of its members. Without any it always does.

    `amount_from` and `amount_to` are minor units, both included, of the one currency that must be given with them.
    `billing_countries` are those of the cardholder's billing address. `issuer_countries` and `funding` are told by the table of
    BINs; of a card that is not in it they do not hold. `capture` speaks of payments alone.
    """

    bins: Annotated[list[Annotated[str, _BINS]], msgspec.Meta(max_length=_MOST)] = []
    schemes: Annotated[list[Annotated[str, _SCHEME]], msgspec.Meta(max_length=_MOST)] = []
    billing_countries: Annotated[list[Annotated[str, _COUNTRY]], msgspec.Meta(max_length=300)] = []
    issuer_countries: Annotated[list[Annotated[str, _COUNTRY]], msgspec.Meta(max_length=300)] = []
    funding: Annotated[list[Funding], msgspec.Meta(max_length=4)] = []
    currencies: Annotated[list[CurrencyCode], msgspec.Meta(max_length=_MOST)] = []
    amount_from: Annotated[int, msgspec.Meta(ge=0, le=2**62)] | None = None
    amount_to: Annotated[int, msgspec.Meta(ge=0, le=2**62)] | None = None
    partners: Annotated[list[Annotated[str, msgspec.Meta(max_length=40)]], msgspec.Meta(max_length=_MOST)] = []
    environments: Annotated[list[Environment], msgspec.Meta(max_length=2)] = []
    capture: bool | None = None
    initiators: Annotated[list[Initiator], msgspec.Meta(max_length=2)] = []
    operations: Annotated[list[RoutedOperation], msgspec.Meta(max_length=4)] = []


class RoutingTarget(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A payment system of a rule; `weight` counts for the way `weight`, 0 leaves it for failover only."""

    adapter: Annotated[str, _ADAPTER]
    weight: Annotated[int, msgspec.Meta(ge=0, le=1000)] = 1


class RoutingAction(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The payment systems of a rule and how they are put in order.

    For `success_rate`: of the latest `window` outcomes of the last `window_minutes` at each, and `explore_percent` of the
    payments go to another than the best.
    """

    adapters: Annotated[list[RoutingTarget], msgspec.Meta(min_length=1, max_length=10)]
    way: Way = Way.ORDER
    explore_percent: Annotated[int, msgspec.Meta(ge=0, le=50)] = 5
    window: Annotated[int, msgspec.Meta(ge=10, le=1000)] = 200
    window_minutes: Annotated[int, msgspec.Meta(ge=1, le=10_080)] = 1440


class NewRoutingRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A rule as an operator writes it. Rules with a smaller `position` are asked first."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=100, pattern="^[^\\u0000-\\u001f]*$")]
    position: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)]
    action: RoutingAction
    conditions: Conditions = Conditions()
    active: bool = True


class RoutingRule(msgspec.Struct, frozen=True, kw_only=True):
    """A rule as it stands, or as it stood at `version`."""

    id: str
    version: int
    position: int
    name: str
    active: bool
    conditions: Conditions
    action: RoutingAction
    updated_at: datetime


class RoutingCost(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a payment costs: `basis_points` of the amount and `fixed` minor units; scheme `*` is any without its own line."""

    adapter: Annotated[str, _ADAPTER]
    currency: CurrencyCode
    scheme: Annotated[str, msgspec.Meta(pattern="^(\\*|[a-z]{2,20})$", max_length=20)] = "*"
    basis_points: Annotated[int, msgspec.Meta(ge=0, le=10_000)] = 0
    fixed: Annotated[int, msgspec.Meta(ge=0, le=2**62)] = 0


class RoutingCandidate(msgspec.Struct, frozen=True, kw_only=True):
    """A payment system and why it stands where it stands."""

    adapter: str
    why: str


class RoutingIssuer(msgspec.Struct, frozen=True, kw_only=True):
    """What the table of BINs told of the card, and in which version."""

    country: str
    funding: Funding
    bin_table_version: int


class RoutingRuleUndecided(msgspec.Struct, frozen=True, kw_only=True):
    """A rule that did not decide because something it asks for is not known; all else of it holds."""

    rule: str
    rule_version: int
    why: str


class Routing(msgspec.Struct, frozen=True, kw_only=True):
    """How a payment was routed: by which rule (empty: the installation's own order), and the systems in the order of attempts.

    `passed_over` would have been candidates and could not be asked. `issuer` is there where an active rule asks for it and the
    table of BINs knows the card; `undecided` are the rules before the one that decided that asked for it in vain.
    """

    rule: str
    rule_version: int
    way: str
    candidates: list[RoutingCandidate]
    passed_over: list[RoutingCandidate] = []
    issuer: RoutingIssuer | None = None
    undecided: list[RoutingRuleUndecided] = []


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a payment when it is routed. `bin` are the first digits of the card, in memory only.

    `issuer` is what the table of BINs knows of them. `capture` is None for what is no payment, and the amount of a verification
    is zero.
    """

    payment_id: str
    partner_id: str
    environment: Environment
    bin: str
    scheme: str
    amount: Money
    capture: bool | None = False
    initiator: Initiator = Initiator.CUSTOMER
    billing_country: str = ""
    issuer: KnownBin | None = None
    operation: RoutedOperation = RoutedOperation.PAYMENT


@dataclass(frozen=True, slots=True)
class Rate:
    """How many of the latest outcomes were approvals."""

    approved: int
    total: int


@dataclass(frozen=True, slots=True)
class Figures:
    """What some ways of ordering go by: the rates and the costs of payment systems for this scheme and currency."""

    rates: Mapping[str, Rate]
    costs: Mapping[str, RoutingCost]


def check(rule: NewRoutingRule) -> None:
    """Refuse a rule that contradicts itself. Raises InvalidRoutingRuleError naming the field."""
    conditions, action = rule.conditions, rule.action
    names = [target.adapter for target in action.adapters]
    if len(set(names)) < len(names):
        raise InvalidRoutingRuleError("names a payment system twice", field="action.adapters")
    if action.way is Way.WEIGHT and not any(target.weight for target in action.adapters):
        raise InvalidRoutingRuleError("one weight at least must be above 0", field="action.adapters")
    for bins in conditions.bins:
        first, _, last = bins.partition("-")
        if last and (len(first) != len(last) or first > last):
            raise InvalidRoutingRuleError(
                "the ends of a range have the same number of digits and are in order", field="conditions.bins"
            )
    if Funding.UNKNOWN in conditions.funding:
        raise InvalidRoutingRuleError("what is not known cannot be asked for", field="conditions.funding")
    bounds = conditions.amount_from, conditions.amount_to
    if bounds != (None, None) and len(conditions.currencies) != 1:
        raise InvalidRoutingRuleError("an amount needs exactly one currency", field="conditions.currencies")
    if bounds[0] is not None and bounds[1] is not None and bounds[0] > bounds[1]:
        raise InvalidRoutingRuleError("is above amount_to", field="conditions.amount_from")


def fitting(facts: Facts) -> Facts:
    """Return facts without what their operation has not: only payments are captured, and verifications have no amount."""
    if facts.operation is not RoutedOperation.PAYMENT:
        facts = replace(facts, capture=None)
    if facts.operation is RoutedOperation.VERIFICATION:
        facts = replace(facts, amount=Money(0, facts.amount.currency))
    return facts


def asks_for_issuer(conditions: Conditions) -> bool:
    """Tell whether the conditions need the table of BINs."""
    return bool(conditions.issuer_countries or conditions.funding)


def holds(conditions: Conditions, facts: Facts) -> bool:
    """Tell whether every condition holds."""
    return _holds_but_for_issuer(conditions, facts) and _issuer_holds(conditions, facts.issuer)


def _holds_but_for_issuer(conditions: Conditions, facts: Facts) -> bool:
    minor = facts.amount.minor
    return (
        (not conditions.bins or any(_in_range(bins, facts.bin) for bins in conditions.bins))
        and (not conditions.schemes or facts.scheme in conditions.schemes)
        and (not conditions.billing_countries or facts.billing_country in conditions.billing_countries)
        and (not conditions.currencies or facts.amount.currency.code in conditions.currencies)
        and (conditions.amount_from is None or minor >= conditions.amount_from)
        and (conditions.amount_to is None or minor <= conditions.amount_to)
        and (not conditions.partners or facts.partner_id in conditions.partners)
        and (not conditions.environments or facts.environment in conditions.environments)
        and (conditions.capture is None or facts.capture is conditions.capture)
        and (not conditions.initiators or facts.initiator in conditions.initiators)
        and (not conditions.operations or facts.operation in conditions.operations)
    )


def _issuer_holds(conditions: Conditions, known: KnownBin | None) -> bool:
    if known is None:
        return not asks_for_issuer(conditions)
    return (not conditions.issuer_countries or known.range.country in conditions.issuer_countries) and (
        not conditions.funding or known.range.funding in conditions.funding
    )


def _not_known(conditions: Conditions, known: KnownBin | None) -> str:
    """Return what the conditions ask for and nobody knows; empty where all is known, or something known fails."""
    if not asks_for_issuer(conditions):
        return ""
    if known is None:
        return "the table of BINs does not know the card"
    if conditions.issuer_countries and known.range.country not in conditions.issuer_countries:
        return ""
    if conditions.funding and known.range.funding is Funding.UNKNOWN:
        return "the table of BINs does not know the card's funding"
    return ""


def first_match(rules: Iterable[RoutingRule], facts: Facts, there: Container[str]) -> RoutingRule | None:
    """Return the first active rule whose conditions hold and that names a payment system of this environment."""
    return next((rule for rule in _asked(rules, there) if holds(rule.conditions, facts)), None)


def undecided(rules: Iterable[RoutingRule], facts: Facts, there: Container[str]) -> list[RoutingRuleUndecided]:
    """Return the rules before the first that holds which would hold too, were the card's issuer known as they ask."""
    found = []
    for rule in _asked(rules, there):
        if holds(rule.conditions, facts):
            break
        why = _not_known(rule.conditions, facts.issuer)
        if why and _holds_but_for_issuer(rule.conditions, facts):
            found.append(RoutingRuleUndecided(rule=rule.id, rule_version=rule.version, why=why))
    return found


def _asked(rules: Iterable[RoutingRule], there: Container[str]) -> Iterator[RoutingRule]:
    for rule in sorted(rules, key=lambda rule: (rule.position, rule.id)):
        if rule.active and any(target.adapter in there for target in rule.action.adapters):
            yield rule


def decide(
    facts: Facts,
    rule: RoutingRule | None,
    there: Mapping[str, bool],
    order: Sequence[str],
    figures: Figures,
    lacking: Container[str] = (),
) -> Routing:
    """Put the payment systems in order; without candidates where there is none.

    `there` tells of each system of the environment whether it would be asked, `lacking` who does not offer the operation.
    `order` is the installation's own, for what no rule decides; where nobody in it offers the operation, all others are asked.
    Those whose circuit breakers are open are passed over, unless all are: then the first says by its answer why nothing goes.
    """
    if rule is None:
        ranked = _by_own_order(facts, there, order, lacking)
    else:
        ranked = _WAYS[rule.action.way](facts, rule.action, figures)
    candidates: list[RoutingCandidate] = []
    passed_over: list[RoutingCandidate] = []
    shut: list[RoutingCandidate] = []
    for candidate in ranked:
        if candidate.adapter not in there:
            passed_over.append(msgspec.structs.replace(candidate, why="not set up in this environment"))
        elif candidate.adapter in lacking:
            passed_over.append(msgspec.structs.replace(candidate, why=f"offers no {facts.operation.words}"))
        elif there[candidate.adapter]:
            candidates.append(candidate)
        else:
            shut.append(candidate)
    if not candidates:
        candidates, shut = shut, []
    passed_over += [
        msgspec.structs.replace(candidate, why="does not answer: its circuit is open") for candidate in shut
    ]
    return Routing(
        rule=rule.id if rule is not None else "",
        rule_version=rule.version if rule is not None else 0,
        way=rule.action.way.value if rule is not None else Way.ORDER.value,
        candidates=candidates,
        passed_over=passed_over,
    )


def chance(*parts: str) -> float:
    """Return a number in (0, 1) that hangs on the parts alone, evenly spread."""
    digest = hashlib.sha256("\x1f".join(parts).encode()).digest()
    return (int.from_bytes(digest[:7], "big") + 0.5) / 2**56


def _in_range(bins: str, digits: str) -> bool:
    first, _, last = bins.partition("-")
    return first <= digits[: len(first)] <= (last or first)


def _by_own_order(
    facts: Facts, there: Mapping[str, bool], order: Sequence[str], lacking: Container[str]
) -> list[RoutingCandidate]:
    ranked = [
        RoutingCandidate(adapter=name, why=f"number {number} of the installation's own order")
        for number, name in enumerate(order, 1)
    ]
    if all(name in lacking or name not in there for name in order):
        why = f"offers {facts.operation.words}, which nobody in the installation's own order does"
        ranked += [
            RoutingCandidate(adapter=name, why=why) for name in there if name not in order and name not in lacking
        ]
    return ranked


def _by_order(_facts: Facts, action: RoutingAction, _figures: Figures) -> list[RoutingCandidate]:
    return [
        RoutingCandidate(adapter=target.adapter, why=f"number {number} of the rule")
        for number, target in enumerate(action.adapters, 1)
    ]


def _by_weight(facts: Facts, action: RoutingAction, _figures: Figures) -> list[RoutingCandidate]:
    # Weighted sampling without replacement (Efraimidis and Spirakis): the smallest -ln(u)/weight comes first.
    total = sum(target.weight for target in action.adapters)

    def key(target: RoutingTarget) -> float:
        u = chance(facts.payment_id, "weight", target.adapter)
        return -math.log(u) / target.weight if target.weight else math.inf

    return [
        RoutingCandidate(adapter=target.adapter, why=f"weight {target.weight} of {total}")
        for target in sorted(action.adapters, key=key)
    ]


def _by_success_rate(facts: Facts, action: RoutingAction, figures: Figures) -> list[RoutingCandidate]:
    def key(target: RoutingTarget) -> float:
        rate = figures.rates.get(target.adapter, Rate(0, 0))
        # Nobody is judged by nothing: one approval and one refusal are added to each (rule of succession).
        return -(rate.approved + 1) / (rate.total + 2)

    def why(target: RoutingTarget) -> str:
        rate = figures.rates.get(target.adapter, Rate(0, 0))
        return f"approved {rate.approved} of the latest {rate.total}"

    ranked = sorted(action.adapters, key=key)
    candidates = [RoutingCandidate(adapter=target.adapter, why=why(target)) for target in ranked]
    others = len(candidates) - 1
    if others and chance(facts.payment_id, "explore") * 100 < action.explore_percent:
        tried = candidates.pop(1 + int(chance(facts.payment_id, "explored") * others))
        candidates.insert(0, msgspec.structs.replace(tried, why=f"{tried.why}; tried for comparison"))
    return candidates


def _by_cost(facts: Facts, action: RoutingAction, figures: Figures) -> list[RoutingCandidate]:
    def ten_thousandths(target: RoutingTarget) -> float | int:
        cost = figures.costs.get(target.adapter)
        return facts.amount.minor * cost.basis_points + cost.fixed * 10_000 if cost is not None else math.inf

    def why(target: RoutingTarget) -> str:
        cost = figures.costs.get(target.adapter)
        if cost is None:
            return "its cost is not known"
        return f"costs {cost.basis_points} basis points and {cost.fixed}"

    return [
        RoutingCandidate(adapter=target.adapter, why=why(target))
        for target in sorted(action.adapters, key=ten_thousandths)
    ]


_WAYS = {
    Way.ORDER: _by_order,
    Way.WEIGHT: _by_weight,
    Way.SUCCESS_RATE: _by_success_rate,
    Way.COST: _by_cost,
}
