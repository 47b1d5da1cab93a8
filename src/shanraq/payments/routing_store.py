"""The SQL of routing: rules and their versions, costs, and the outcomes that success rates are made of."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

import msgspec

from shanraq.core.actor import Environment
from shanraq.core.db import Row, Tx
from shanraq.core.ids import number_of
from shanraq.payments.routing import (
    RULE_PREFIX,
    Conditions,
    Rate,
    RoutingAction,
    RoutingCost,
    RoutingRule,
    RoutingRuleNotFoundError,
)

OUTCOMES_KEPT: Final = timedelta(days=7)


def rule_of(row: Row) -> RoutingRule:
    """Read a row of routing_rule, or of routing_rule_version."""
    return RoutingRule(
        id=row["id"], version=row["version"], position=row["position"], name=row["name"], active=row["active"],
        conditions=msgspec.convert(row["conditions"], Conditions), action=msgspec.convert(row["action"], RoutingAction),
        updated_at=row["updated_at"],
    )  # fmt: skip


async def active_rules(tx: Tx) -> list[RoutingRule]:
    """Return the rules that may decide, in their order."""
    return [rule_of(row) for row in await tx.rows("SELECT * FROM routing_rule WHERE active ORDER BY position, id")]


async def rules(tx: Tx) -> list[RoutingRule]:
    """Return all rules in their order."""
    return [rule_of(row) for row in await tx.rows("SELECT * FROM routing_rule ORDER BY position, id")]


async def load_rule(tx: Tx, rule_id: str, *, lock: bool = False) -> RoutingRule:
    """Return a rule, locked for a change if asked. Raises RoutingRuleNotFoundError."""
    number_of(RULE_PREFIX, rule_id, field="rule_id")
    row = await tx.row(
        "SELECT * FROM routing_rule WHERE id = $1 FOR UPDATE" if lock else "SELECT * FROM routing_rule WHERE id = $1",
        rule_id,
    )
    if row is None:
        raise RoutingRuleNotFoundError(field="rule_id")
    return rule_of(row)


async def versions(tx: Tx, rule_id: str) -> list[RoutingRule]:
    """Return every version of a rule, the newest first. Raises RoutingRuleNotFoundError."""
    number_of(RULE_PREFIX, rule_id, field="rule_id")
    rows = await tx.rows(
        "SELECT *, changed_at AS updated_at FROM routing_rule_version WHERE id = $1 ORDER BY version DESC", rule_id
    )
    if not rows:
        raise RoutingRuleNotFoundError(field="rule_id")
    return [rule_of(row) for row in rows]


async def insert_rule(tx: Tx, rule: RoutingRule) -> None:
    """Write a new rule."""
    await tx.execute(
        """INSERT INTO routing_rule (id, version, position, name, active, conditions, action, created_at, updated_at)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8)""",
        rule.id, rule.version, rule.position, rule.name, rule.active, rule.conditions, rule.action, rule.updated_at,
    )  # fmt: skip


async def replace_rule(tx: Tx, rule: RoutingRule) -> None:
    """Write the next version of a locked rule."""
    await tx.execute(
        """UPDATE routing_rule SET version = $2, position = $3, name = $4, active = $5, conditions = $6, action = $7,
                                   updated_at = $8
            WHERE id = $1""",
        rule.id, rule.version, rule.position, rule.name, rule.active, rule.conditions, rule.action, rule.updated_at,
    )  # fmt: skip


async def delete_rule(tx: Tx, rule_id: str) -> None:
    """Delete a locked rule; its versions stay."""
    await tx.execute("DELETE FROM routing_rule WHERE id = $1", rule_id)


async def remember_version(tx: Tx, rule: RoutingRule, *, deleted: bool) -> None:
    """Keep a version of a rule, and who made it."""
    await tx.execute(
        """INSERT INTO routing_rule_version (id, version, position, name, active, conditions, action, deleted, changed_by,
                                             changed_at)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)""",
        rule.id, rule.version, rule.position, rule.name, rule.active, rule.conditions, rule.action, deleted,
        f"{tx.actor.kind}:{tx.actor.id}", tx.now,
    )  # fmt: skip


async def costs(tx: Tx) -> list[RoutingCost]:
    """Return the cost table."""
    rows = await tx.rows("SELECT * FROM routing_cost ORDER BY adapter, scheme, currency")
    return [_cost_of(row) for row in rows]


async def costs_for(tx: Tx, adapters: Sequence[str], scheme: str, currency: str) -> dict[str, RoutingCost]:
    """Return what each payment system costs for a scheme in a currency, where that is known."""
    rows = await tx.rows(
        """SELECT DISTINCT ON (adapter) * FROM routing_cost
            WHERE adapter = ANY($1) AND currency = $2 AND scheme IN ($3, '*')
            ORDER BY adapter, scheme = '*'""",
        list(adapters), currency, scheme,
    )  # fmt: skip
    return {row["adapter"]: _cost_of(row) for row in rows}


async def replace_costs(tx: Tx, table: Sequence[RoutingCost]) -> None:
    """Put a table in the place of the cost table, one writer after the other."""
    await tx.execute("SELECT pg_advisory_xact_lock(hashtextextended('routing_cost', 0))")
    await tx.execute("DELETE FROM routing_cost")
    await tx.execute(
        """INSERT INTO routing_cost (adapter, scheme, currency, basis_points, fixed)
           SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::int[], $5::bigint[])""",
        [cost.adapter for cost in table], [cost.scheme for cost in table], [cost.currency for cost in table],
        [cost.basis_points for cost in table], [cost.fixed for cost in table],
    )  # fmt: skip


def _cost_of(row: Row) -> RoutingCost:
    return RoutingCost(
        adapter=row["adapter"], currency=row["currency"], scheme=row["scheme"], basis_points=row["basis_points"],
        fixed=row["fixed"],
    )  # fmt: skip


def count_outcome(tx: Tx, environment: Environment, adapter: str, payment_method_id: str, outcome: str) -> None:
    """Count what became of an attempt: `approved`, `declined` or `failed`, for the card's scheme."""
    tx.write(
        """INSERT INTO routing_outcome (environment, adapter, scheme, outcome, at)
           SELECT $1::text, $2::text, m.brand, $3::text, $4::timestamptz FROM payment_method m WHERE m.id = $5""",
        environment,
        adapter,
        outcome,
        tx.now,
        payment_method_id,
    )


async def rates(
    tx: Tx, environment: Environment, scheme: str, adapters: Sequence[str], *, latest: int, within: timedelta
) -> dict[str, Rate]:
    """Return how many of the latest outcomes at each payment system were approvals."""
    rows = await tx.rows(
        """SELECT wanted.adapter, count(*) FILTER (WHERE found.outcome = 'approved') AS approved, count(*) AS total
             FROM unnest($3::text[]) AS wanted(adapter)
            CROSS JOIN LATERAL (
                SELECT outcome FROM routing_outcome o
                 WHERE o.environment = $1 AND o.scheme = $2 AND o.adapter = wanted.adapter AND o.at > $4
                 ORDER BY o.at DESC LIMIT $5) AS found
            GROUP BY wanted.adapter""",
        environment, scheme, list(adapters), tx.now - within, latest,
    )  # fmt: skip
    return {row["adapter"]: Rate(row["approved"], row["total"]) for row in rows}


async def recent_outcomes(tx: Tx, within: timedelta) -> list[tuple[str, str, str, str, int]]:
    """Return (environment, adapter, scheme, outcome, count) of late."""
    rows = await tx.rows(
        """SELECT environment, adapter, scheme, outcome, count(*) AS count FROM routing_outcome WHERE at > $1
            GROUP BY environment, adapter, scheme, outcome""",
        tx.now - within,
    )
    return [(row["environment"], row["adapter"], row["scheme"], row["outcome"], row["count"]) for row in rows]


async def forget_outcomes(tx: Tx, limit: int = 10_000) -> int:
    """Delete outcomes that no rate can count any more."""
    return await tx.execute(
        """DELETE FROM routing_outcome WHERE ctid = ANY(ARRAY(SELECT ctid FROM routing_outcome WHERE at < $1 LIMIT $2))""",
        tx.now - OUTCOMES_KEPT, limit,
    )  # fmt: skip
