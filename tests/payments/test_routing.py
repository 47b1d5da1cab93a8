"""Routing by rules: what a rule matches, how systems are put in order, what is written down, and who may change it."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shanraq import partners, payments
from shanraq.core.actor import SYSTEM, Actor, ActorKind, Environment, MissingScopeError
from shanraq.core.money import Money
from shanraq.payments import routing_store
from shanraq.payments.adapter import Initiator
from shanraq.payments.errors import NoAdapterError
from shanraq.payments.routing import (
    Conditions,
    Facts,
    Figures,
    InvalidRoutingRuleError,
    NewRoutingRule,
    Rate,
    RoutingAction,
    RoutingCost,
    RoutingRule,
    RoutingRuleChangedError,
    RoutingRuleNotFoundError,
    RoutingTarget,
    Way,
    check,
    decide,
    first_match,
    holds,
)
from tests.payments.conftest import Shop
from tests.payments.gateway import DOWN, INSUFFICIENT, Gateway

OPERATOR = Actor(
    kind=ActorKind.OPERATOR, id="opr_1", scopes=frozenset({partners.ROUTE, partners.READ_ROUTES}), request_id="req_o"
)
FACTS = Facts(
    payment_id="pay_1", partner_id="prt_1", environment=Environment.SANDBOX, bin="41111111111", scheme="visa",
    amount=Money.positive(5000, "KZT"), capture=False, initiator=Initiator.CUSTOMER, billing_country="KZ",
)  # fmt: skip
NOTHING = Figures({}, {})


def there(*names: str) -> dict[str, bool]:
    return dict.fromkeys(names, True)


def action(*names: str, way: Way = Way.ORDER, **more: Any) -> RoutingAction:
    return RoutingAction(adapters=[RoutingTarget(adapter=name) for name in names], way=way, **more)


def rule(position: int = 1, conditions: Conditions | None = None, *names: str, active: bool = True) -> RoutingRule:
    return RoutingRule(
        id=f"rrl_{position}", version=3, position=position, name="a rule", active=active,
        conditions=conditions or Conditions(), action=action(*(names or ("a",))), updated_at=datetime.now(UTC),
    )  # fmt: skip


def new(*names: str, position: int = 10, **more: Any) -> NewRoutingRule:
    return NewRoutingRule(name="a rule", position=position, action=action(*names), **more)


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        (Conditions(), True),
        (Conditions(bins=["4111"]), True),
        (Conditions(bins=["42", "400000-411111"]), True),
        (Conditions(bins=["400000-411110"]), False),
        (Conditions(bins=["5"]), False),
        (Conditions(schemes=["mastercard", "visa"]), True),
        (Conditions(schemes=["mastercard"]), False),
        (Conditions(billing_countries=["KZ"]), True),
        (Conditions(billing_countries=["UZ"]), False),
        (Conditions(currencies=["KZT"], amount_from=5000, amount_to=5000), True),
        (Conditions(currencies=["KZT"], amount_from=5001), False),
        (Conditions(currencies=["KZT"], amount_to=4999), False),
        (Conditions(currencies=["USD"]), False),
        (Conditions(partners=["prt_1"]), True),
        (Conditions(partners=["prt_2"]), False),
        (Conditions(environments=[Environment.SANDBOX]), True),
        (Conditions(environments=[Environment.LIVE]), False),
        (Conditions(capture=False), True),
        (Conditions(capture=True), False),
        (Conditions(initiators=[Initiator.CUSTOMER]), True),
        (Conditions(initiators=[Initiator.MERCHANT]), False),
        (Conditions(schemes=["visa"], currencies=["USD"]), False),
    ],
)
def test_a_condition_holds_or_not(conditions: Conditions, expected: bool) -> None:
    assert holds(conditions, FACTS) is expected


def test_the_first_active_rule_by_position_decides() -> None:
    rules = [
        rule(30), rule(20, Conditions(schemes=["mastercard"])), rule(25), rule(10, active=False), rule(5, None, "gone")
    ]  # fmt: skip

    assert first_match(rules, FACTS, there("a")) == rules[2]
    assert first_match(rules[:0], FACTS, there("a")) is None


def test_without_a_rule_the_installations_own_order_decides() -> None:
    routed = decide(FACTS, None, there("a", "b", "c"), ("b", "c"), NOTHING)

    assert (routed.rule, routed.way) == ("", "order")
    assert [candidate.adapter for candidate in routed.candidates] == ["b", "c"]


def test_what_cannot_be_asked_is_passed_over_with_the_reason() -> None:
    routed = decide(FACTS, rule(1, None, "gone", "b", "a"), {"b": False, "a": True}, ("a",), NOTHING)

    assert [candidate.adapter for candidate in routed.candidates] == ["a"]
    assert {candidate.adapter: candidate.why for candidate in routed.passed_over} == {
        "gone": "not set up in this environment",
        "b": "does not answer: its circuit is open",
    }


def test_with_every_circuit_open_the_first_is_asked_all_the_same() -> None:
    routed = decide(FACTS, rule(1, None, "b", "a"), {"a": False, "b": False}, ("a",), NOTHING)

    assert [candidate.adapter for candidate in routed.candidates] == ["b", "a"]


def test_without_any_payment_system_it_is_said_plainly() -> None:
    with pytest.raises(NoAdapterError):
        decide(FACTS, None, {}, (), NOTHING)


def weighted(weights: dict[str, int]) -> RoutingRule:
    targets = [RoutingTarget(adapter=name, weight=weight) for name, weight in weights.items()]
    return RoutingRule(
        id="rrl_1", version=1, position=1, name="", active=True, conditions=Conditions(),
        action=RoutingAction(adapters=targets, way=Way.WEIGHT), updated_at=datetime.now(UTC),
    )  # fmt: skip


def test_weights_share_payments_out_in_their_proportion_and_always_the_same_way() -> None:
    by_weight = weighted({"a": 70, "b": 30, "c": 0})
    adapters = there("a", "b", "c")

    def first(number: int) -> str:
        facts = replace(FACTS, payment_id=f"pay_{number}")
        return decide(facts, by_weight, adapters, (), NOTHING).candidates[0].adapter

    shares = Counter(first(number) for number in range(4000))
    assert [first(number) for number in range(50)] == [first(number) for number in range(50)]
    # The hash is fixed, so these figures are too; 70 of 100 within two percent.
    assert 2720 <= shares["a"] <= 2880
    assert shares["a"] + shares["b"] == 4000


@given(st.text(min_size=1, max_size=30), st.permutations(["a", "b", "c"]))
def test_the_order_by_weight_does_not_hang_on_how_the_rule_lists_them(payment_id: str, order: list[str]) -> None:
    weights = {"a": 5, "b": 3, "c": 2}
    facts = replace(FACTS, payment_id=payment_id)
    listed = decide(facts, weighted({name: weights[name] for name in order}), there("a", "b", "c"), (), NOTHING)
    plain = decide(facts, weighted(weights), there("a", "b", "c"), (), NOTHING)

    assert [candidate.adapter for candidate in listed.candidates] == [
        candidate.adapter for candidate in plain.candidates
    ]


def test_the_better_success_rate_comes_first_and_some_payments_try_the_others() -> None:
    by_rate = replace_action(rule(), action("a", "b", way=Way.SUCCESS_RATE, explore_percent=10))
    figures = Figures({"a": Rate(60, 100), "b": Rate(90, 100)}, {})
    firsts = [
        decide(replace(FACTS, payment_id=f"pay_{number}"), by_rate, there("a", "b"), (), figures).candidates[0]
        for number in range(2000)
    ]
    shares = Counter(candidate.adapter for candidate in firsts)

    assert 150 <= shares["a"] <= 250
    assert {candidate.why for candidate in firsts if candidate.adapter == "b"} == {"approved 90 of the latest 100"}
    assert {candidate.why for candidate in firsts if candidate.adapter == "a"} == {
        "approved 60 of the latest 100; tried for comparison"
    }


def test_one_lucky_payment_does_not_beat_a_long_record() -> None:
    by_rate = replace_action(rule(), action("a", "b", way=Way.SUCCESS_RATE, explore_percent=0))
    routed = decide(FACTS, by_rate, there("a", "b"), (), Figures({"a": Rate(1, 1), "b": Rate(95, 100)}, {}))

    assert routed.candidates[0].adapter == "b"


def test_the_cheapest_comes_first_and_what_costs_nobody_knows_last() -> None:
    by_cost = replace_action(rule(), action("a", "b", "c", way=Way.COST))
    costs = {
        "b": RoutingCost(adapter="b", currency="KZT", basis_points=100, fixed=0),
        "c": RoutingCost(adapter="c", currency="KZT", basis_points=0, fixed=49),
    }
    small = decide(
        replace(FACTS, amount=Money.positive(4900, "KZT")), by_cost, there("a", "b", "c"), (), Figures({}, costs)
    )
    smaller = decide(
        replace(FACTS, amount=Money.positive(4899, "KZT")), by_cost, there("a", "b", "c"), (), Figures({}, costs)
    )

    # 1 % of 49.00 is 0.49: equal, so as written; of 48.99 it is less.
    assert [candidate.adapter for candidate in small.candidates] == ["b", "c", "a"]
    assert [candidate.adapter for candidate in smaller.candidates] == ["b", "c", "a"]
    dear = decide(
        replace(FACTS, amount=Money.positive(4901, "KZT")), by_cost, there("a", "b", "c"), (), Figures({}, costs)
    )
    assert [candidate.adapter for candidate in dear.candidates] == ["c", "b", "a"]


def replace_action(before: RoutingRule, new_action: RoutingAction) -> RoutingRule:
    return RoutingRule(
        id=before.id, version=before.version, position=before.position, name=before.name, active=before.active,
        conditions=before.conditions, action=new_action, updated_at=before.updated_at,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("bad", "field"),
    [
        (new("a", "a"), "action.adapters"),
        (new("a", conditions=Conditions(bins=["45-4"])), "conditions.bins"),
        (new("a", conditions=Conditions(bins=["45-44"])), "conditions.bins"),
        (new("a", conditions=Conditions(amount_from=5)), "conditions.currencies"),
        (new("a", conditions=Conditions(amount_to=5, currencies=["KZT", "USD"])), "conditions.currencies"),
        (
            new("a", conditions=Conditions(amount_from=6, amount_to=5, currencies=["KZT"])),
            "conditions.amount_from",
        ),
        (
            NewRoutingRule(
                name="x", position=1,
                action=RoutingAction(adapters=[RoutingTarget(adapter="a", weight=0)], way=Way.WEIGHT),
            ),
            "action.adapters",
        ),
    ],
)  # fmt: skip
def test_a_rule_that_contradicts_itself_is_refused_naming_the_field(bad: NewRoutingRule, field: str) -> None:
    with pytest.raises(InvalidRoutingRuleError) as refused:
        check(bad)

    assert refused.value.field == field


async def test_rules_are_versioned_audited_and_replaced_only_as_they_were_read(shop: Shop) -> None:
    db = shop.bank.db
    made = await payments.create_routing_rule(db, OPERATOR, new("fake"))
    changed = await payments.replace_routing_rule(db, OPERATOR, made.id, 1, new("fake", position=20))
    with pytest.raises(RoutingRuleChangedError):
        await payments.replace_routing_rule(db, OPERATOR, made.id, 1, new("fake"))
    with pytest.raises(RoutingRuleChangedError):
        await payments.delete_routing_rule(db, OPERATOR, made.id, 1)
    await payments.delete_routing_rule(db, OPERATOR, made.id, 2)
    with pytest.raises(RoutingRuleNotFoundError):
        await payments.find_routing_rule(db, OPERATOR, made.id)
    versions = await payments.routing_rule_versions(db, OPERATOR, made.id)
    async with db.begin(SYSTEM) as tx:
        audited = await tx.rows("SELECT action, actor FROM audit_entry WHERE subject = $1 ORDER BY at, seq", made.id)

    assert (made.version, changed.version) == (1, 2)
    assert [(version.version, version.position, version.active) for version in versions] == [
        (3, 20, False), (2, 20, True), (1, 10, True),
    ]  # fmt: skip
    assert sorted(row["action"] for row in audited) == [
        "routing_rule.created", "routing_rule.deleted", "routing_rule.replaced",
    ]  # fmt: skip
    assert {row["actor"] for row in audited} == {"operator:opr_1"}


async def test_a_partner_may_neither_read_nor_change_rules(shop: Shop) -> None:
    db, actor = shop.bank.db, shop.bank.actor
    for attempt in (
        payments.create_routing_rule(db, actor, new("fake")),
        payments.list_routing_rules(db, actor),
        payments.replace_routing_costs(db, actor, []),
        payments.explain_routing(db, actor, FACTS, there("fake"), ("fake",)),
    ):
        with pytest.raises(MissingScopeError):
            await attempt


async def test_costs_are_replaced_as_a_whole(shop: Shop) -> None:
    db = shop.bank.db
    first = [
        RoutingCost(adapter="a", currency="KZT", basis_points=90),
        RoutingCost(adapter="b", currency="KZT", fixed=5),
    ]
    await payments.replace_routing_costs(db, OPERATOR, first)
    second = [
        RoutingCost(adapter="a", currency="KZT", basis_points=80),
        RoutingCost(adapter="a", currency="KZT", scheme="visa", basis_points=70),
    ]
    with pytest.raises(InvalidRoutingRuleError):
        await payments.replace_routing_costs(db, OPERATOR, [*second, second[0]])
    stored = await payments.replace_routing_costs(db, OPERATOR, second)
    async with db.begin(OPERATOR) as tx:
        visa = await routing_store.costs_for(tx, ["a", "b"], "visa", "KZT")
        other = await routing_store.costs_for(tx, ["a", "b"], "mastercard", "KZT")

    assert sorted(cost.basis_points for cost in stored) == [70, 80]
    assert {name: cost.basis_points for name, cost in visa.items()} == {"a": 70}
    assert {name: cost.basis_points for name, cost in other.items()} == {"a": 80}


async def test_a_payment_goes_where_its_rule_sends_it_and_tells_why(shop: Shop) -> None:
    a, b = Gateway("a"), Gateway("b")
    shop = shop.at(a, b)
    made = await payments.create_routing_rule(
        shop.bank.db, OPERATOR, new("b", "a", conditions=Conditions(bins=["411111"], currencies=["KZT"]))
    )
    paid = (await shop.authorize(capture=True)).value
    found = await shop.find(paid.id)
    await shop.refund(paid.id)

    assert paid.routing == found.routing
    assert paid.routing is not None
    assert (paid.routing.rule, paid.routing.rule_version) == (made.id, 1)
    assert [candidate.adapter for candidate in paid.routing.candidates] == ["b", "a"]
    assert paid.operation is not None and paid.operation.adapter == "b"
    assert (len(a.seen), len(b.seen)) == (0, 2)


async def test_success_rates_come_from_our_own_outcomes_of_the_scheme(shop: Shop) -> None:
    a, b = Gateway("a"), Gateway("b")
    shop = shop.at(a, b, order=("a",))
    a.script.extend([INSUFFICIENT, DOWN])
    for number in range(3):
        await shop.authorize(key=f"a-{number}")
    other = shop.at(b)
    await other.authorize(key="b-0")
    async with shop.bank.db.begin(OPERATOR) as tx:
        rates = await routing_store.rates(
            tx, Environment.SANDBOX, "visa", ["a", "b", "c"], latest=100, within=timedelta(days=1)
        )
        latest = await routing_store.rates(tx, Environment.SANDBOX, "visa", ["a"], latest=1, within=timedelta(days=1))
        elsewhere = await routing_store.rates(tx, Environment.LIVE, "visa", ["a"], latest=100, within=timedelta(days=1))
    await payments.create_routing_rule(
        shop.bank.db, OPERATOR,
        NewRoutingRule(name="best", position=1, action=action("a", "b", way=Way.SUCCESS_RATE, explore_percent=0)),
    )  # fmt: skip
    routed = (await shop.authorize(key="by-rate")).value

    assert rates == {"a": Rate(1, 3), "b": Rate(1, 1)}
    assert latest == {"a": Rate(1, 1)}
    assert elsewhere == {}
    assert routed.operation is not None and routed.operation.adapter == "b"


async def test_explaining_makes_no_payment(shop: Shop) -> None:
    a, b = Gateway("a"), Gateway("b")
    shop = shop.at(a, b, order=("b", "a"))
    gateways = shop.acquiring.gateways
    standing, own_order = gateways.there(Environment.SANDBOX), gateways.order_of(Environment.SANDBOX)
    explained = await payments.explain_routing(shop.bank.db, OPERATOR, FACTS, standing, own_order)

    assert [candidate.adapter for candidate in explained.candidates] == ["b", "a"]
    assert a.seen == b.seen == []
    assert await shop.bank.events() == ["account.created"]
