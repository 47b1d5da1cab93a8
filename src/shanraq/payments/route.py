"""Route a new payment, and look after the rules of routing."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Final

import msgspec
import structlog

from shanraq import audit, partners
from shanraq.core.actor import SYSTEM, Actor
from shanraq.core.db import Database, Tx
from shanraq.core.ids import new_id
from shanraq.payments import bin_table, limits, routing_store
from shanraq.payments.ability import lacking
from shanraq.payments.adapter import Adapter, Guarded
from shanraq.payments.bins import KnownBin
from shanraq.payments.errors import NoAdapterError, OperationNotSupportedError
from shanraq.payments.model import Gateways
from shanraq.payments.routing import (
    RULE_PREFIX,
    Facts,
    Figures,
    InvalidRoutingRuleError,
    NewRoutingRule,
    Routing,
    RoutingCost,
    RoutingIssuer,
    RoutingRule,
    RoutingRuleChangedError,
    Way,
    asks_for_issuer,
    check,
    decide,
    first_match,
    fitting,
    undecided,
)

log = structlog.get_logger(__name__)

_COSTS_SUBJECT: Final = "routing_costs"


async def route(tx: Tx, gateways: Gateways, facts: Facts) -> Routing:
    """Decide which payment system takes a payment or another operation, and which come after it.

    Raises OperationNotSupportedError where none of the environment's offers the operation, NoAdapterError where there is none.
    """
    lacks = lacking(gateways.adapters.get(facts.environment, {}), facts.operation)
    there, order = gateways.there(facts.environment), gateways.order_of(facts.environment)
    routing = await _route(tx, facts, there, order, lacks)
    if routing.candidates:
        return routing
    if lacks:
        raise OperationNotSupportedError(f"no payment system of this environment offers {facts.operation.words}")
    raise NoAdapterError


async def explain_routing(
    db: Database,
    actor: Actor,
    facts: Facts,
    there: Mapping[str, bool],
    order: Sequence[str],
    lacks: frozenset[str] = frozenset(),
) -> Routing:
    """Tell how a payment or another operation would be routed now, without making one.

    `there` and `order` are those of `Gateways`, `lacks` the systems that do not offer the operation. What the operation has not
    is left out of the facts. Without candidates it would be refused: nothing is set up for it.
    """
    actor.require(partners.READ_ROUTES)
    async with db.begin(actor) as tx:
        return await _route(tx, fitting(facts), there, order, lacks)


async def _route(
    tx: Tx, facts: Facts, there: Mapping[str, bool], order: Sequence[str], lacks: frozenset[str]
) -> Routing:
    rules = await routing_store.active_rules(tx)
    able = there.keys() - lacks
    asks = any(asks_for_issuer(rule.conditions) for rule in rules)
    if asks:
        facts = replace(facts, issuer=await bin_table.look_up(tx, facts.bin))
    rule = first_match(rules, facts, able)
    figures = await _figures(tx, facts, rule) if rule is not None else Figures({}, {})
    routing = decide(facts, rule, there, order, figures, lacks)
    if not asks:
        return routing
    issuer = _issuer_of(facts.issuer) if facts.issuer is not None else None
    return msgspec.structs.replace(routing, issuer=issuer, undecided=undecided(rules, facts, able))


def _issuer_of(known: KnownBin) -> RoutingIssuer:
    return RoutingIssuer(country=known.range.country, funding=known.range.funding, bin_table_version=known.version)


async def _figures(tx: Tx, facts: Facts, rule: RoutingRule) -> Figures:
    action = rule.action
    names = [target.adapter for target in action.adapters]
    match action.way:
        case Way.SUCCESS_RATE:
            within = timedelta(minutes=action.window_minutes)
            rates = await routing_store.rates(
                tx, facts.environment, facts.scheme, names, latest=action.window, within=within
            )
            return Figures(rates, {})
        case Way.COST:
            return Figures({}, await routing_store.costs_for(tx, names, facts.scheme, facts.amount.currency.code))
        case Way.ORDER | Way.WEIGHT:
            return Figures({}, {})


async def recent_outcomes(db: Database) -> list[tuple[str, str, str, str, int]]:
    """Return (environment, payment system, scheme, outcome, count) of the attempts of the last hour."""
    async with db.begin(SYSTEM) as tx:
        return await routing_store.recent_outcomes(tx, timedelta(hours=1))


async def forget(tx: Tx) -> int:
    """Delete outcomes and declines that nothing counts any more; returns how many."""
    return await routing_store.forget_outcomes(tx) + await limits.forget(tx)


async def probe(gateways: Gateways) -> None:
    """Ask those payment systems for their health that guard themselves, so that no payment has to find out."""
    guarded = [
        adapter
        for by_name in gateways.adapters.values()
        for adapter in by_name.values()
        if isinstance(adapter, Guarded)
    ]
    for adapter, healthy in zip(guarded, await asyncio.gather(*(_healthy(one) for one in guarded)), strict=True):
        if not healthy:
            log.warning("payments.gateway_unhealthy", adapter=adapter.name)


async def _healthy(adapter: Adapter) -> bool:
    try:
        return await adapter.healthy()
    except Exception:
        log.exception("payments.adapter_broke", adapter=adapter.name)
        return False


async def create_routing_rule(db: Database, actor: Actor, new: NewRoutingRule) -> RoutingRule:
    """Make a rule; it counts for payments from now on. Raises InvalidRoutingRuleError."""
    actor.require(partners.ROUTE)
    check(new)

    async def work(tx: Tx) -> RoutingRule:
        rule = _rule(tx, new_id(RULE_PREFIX), 1, new)
        await routing_store.insert_rule(tx, rule)
        await _remember(tx, "routing_rule.created", rule)
        return rule

    return await db.run(actor, work)


async def replace_routing_rule(
    db: Database, actor: Actor, rule_id: str, version: int, new: NewRoutingRule
) -> RoutingRule:
    """Put a rule in the place of its `version`.

    Raises RoutingRuleNotFoundError, RoutingRuleChangedError, InvalidRoutingRuleError.
    """
    actor.require(partners.ROUTE)
    check(new)

    async def work(tx: Tx) -> RoutingRule:
        await _locked(tx, rule_id, version)
        rule = _rule(tx, rule_id, version + 1, new)
        await routing_store.replace_rule(tx, rule)
        await _remember(tx, "routing_rule.replaced", rule)
        return rule

    return await db.run(actor, work)


async def delete_routing_rule(db: Database, actor: Actor, rule_id: str, version: int) -> None:
    """Delete a rule; its versions can still be read. Raises RoutingRuleNotFoundError, RoutingRuleChangedError."""
    actor.require(partners.ROUTE)

    async def work(tx: Tx) -> None:
        rule = await _locked(tx, rule_id, version)
        await routing_store.delete_rule(tx, rule_id)
        last = NewRoutingRule(
            name=rule.name, position=rule.position, action=rule.action, conditions=rule.conditions, active=False
        )
        await _remember(tx, "routing_rule.deleted", _rule(tx, rule_id, version + 1, last), deleted=True)

    await db.run(actor, work)


async def list_routing_rules(db: Database, actor: Actor) -> list[RoutingRule]:
    """Return all rules in the order in which they are asked."""
    actor.require(partners.READ_ROUTES)
    async with db.begin(actor) as tx:
        return await routing_store.rules(tx)


async def find_routing_rule(db: Database, actor: Actor, rule_id: str) -> RoutingRule:
    """Return a rule. Raises RoutingRuleNotFoundError."""
    actor.require(partners.READ_ROUTES)
    async with db.begin(actor) as tx:
        return await routing_store.load_rule(tx, rule_id)


async def routing_rule_versions(db: Database, actor: Actor, rule_id: str) -> list[RoutingRule]:
    """Return every version of a rule, the newest first, also of a deleted one. Raises RoutingRuleNotFoundError."""
    actor.require(partners.READ_ROUTES)
    async with db.begin(actor) as tx:
        return await routing_store.versions(tx, rule_id)


async def list_routing_costs(db: Database, actor: Actor) -> list[RoutingCost]:
    """Return the cost table."""
    actor.require(partners.READ_ROUTES)
    async with db.begin(actor) as tx:
        return await routing_store.costs(tx)


async def replace_routing_costs(db: Database, actor: Actor, table: list[RoutingCost]) -> list[RoutingCost]:
    """Put a table in the place of the whole cost table. Raises InvalidRoutingRuleError."""
    actor.require(partners.ROUTE)
    cases = {(cost.adapter, cost.scheme, cost.currency) for cost in table}
    if len(cases) < len(table):
        raise InvalidRoutingRuleError("a payment system, scheme and currency are there twice", field="items")

    async def work(tx: Tx) -> list[RoutingCost]:
        await routing_store.replace_costs(tx, table)
        audit.record(tx, "routing_costs.replaced", _COSTS_SUBJECT, {"lines": len(table)})
        return await routing_store.costs(tx)

    return await db.run(actor, work)


async def _locked(tx: Tx, rule_id: str, version: int) -> RoutingRule:
    rule = await routing_store.load_rule(tx, rule_id, lock=True)
    if rule.version != version:
        raise RoutingRuleChangedError(f"it is of version {rule.version}", field="version")
    return rule


async def _remember(tx: Tx, what: str, rule: RoutingRule, *, deleted: bool = False) -> None:
    await routing_store.remember_version(tx, rule, deleted=deleted)
    audit.record(tx, what, rule.id, {"version": rule.version, "position": rule.position, "active": rule.active})


def _rule(tx: Tx, rule_id: str, version: int, new: NewRoutingRule) -> RoutingRule:
    return RoutingRule(
        id=rule_id,
        version=version,
        position=new.position,
        name=new.name,
        active=new.active,
        conditions=new.conditions,
        action=new.action,
        updated_at=tx.now,
    )
