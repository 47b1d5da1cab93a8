"""Routing: which payment system takes which payment, for operators."""

from __future__ import annotations

from typing import Annotated, ClassVar

import msgspec
from litestar import delete, get, post, put
from litestar.params import FromPath, JSONBody, PathParameter, QueryParameter

from shanraq import partners, payments
from shanraq.api.gate import CurrentActor
from shanraq.api.openapi import problems
from shanraq.api.parameters import Cursor, Limit, page
from shanraq.api.services import Services
from shanraq.api.strict import Body, View
from shanraq.core.actor import Environment
from shanraq.core.fields import Amount, CurrencyCode
from shanraq.core.ids import new_id
from shanraq.core.money import Money

_TAGS = ["Routing (operators)"]
_OPERATOR = ("operator",)
_READ = {"scope": partners.READ_ROUTES, "security": _OPERATOR}
_WRITE = {"scope": partners.ROUTE, "security": _OPERATOR}

_EXAMPLE: dict[str, object] = {
    "name": "Mastercard in tenge: two systems, shared out",
    "position": 10,
    "conditions": {"schemes": ["mastercard"], "currencies": ["KZT"]},
    "action": {
        "way": "weight",
        "adapters": [{"adapter": "mastercard", "weight": 70}, {"adapter": "visa", "weight": 30}],
    },
}


class RoutingRuleRequest(payments.NewRoutingRule, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A rule. Of the active rules whose conditions all hold, the one with the smallest `position` decides."""

    EXAMPLE: ClassVar[dict[str, object]] = _EXAMPLE


class RoutingRuleReplacement(payments.NewRoutingRule, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a rule shall be; `version` is that of the rule as you read it."""

    version: Annotated[int, msgspec.Meta(ge=1)]

    EXAMPLE: ClassVar[dict[str, object]] = {"version": 1, **_EXAMPLE}


class RoutingRuleList(View, frozen=True):
    """Rules in the order in which they are asked, or versions of one, the newest first."""

    items: list[payments.RoutingRule]


class RoutingCosts(Body, frozen=True):
    """The whole cost table."""

    items: Annotated[list[payments.RoutingCost], msgspec.Meta(max_length=1000)]


class BinRangeList(View, frozen=True):
    """A page of the table of BINs, in the order of the first digits, wider ranges before those within them."""

    items: list[payments.BinRange]
    next_cursor: str = ""


class BinTableList(View, frozen=True):
    """Versions of the table of BINs, the newest first."""

    items: list[payments.BinTable]


class RoutingQuestion(Body, frozen=True):
    """A payment that might be: `bin` are the first digits of the card, never the whole number; the scheme follows from them.

    `partner_id` and `payment_id` are for rules about partners and for what hangs on the hash of the payment's id.
    """

    environment: Environment
    bin: Annotated[str, msgspec.Meta(pattern="^[0-9]{1,11}$", max_length=11)]
    amount: Amount
    currency: CurrencyCode
    capture: bool = False
    initiator: payments.Initiator = payments.Initiator.CUSTOMER
    billing_country: Annotated[str, msgspec.Meta(pattern="^([A-Z]{2})?$", max_length=2)] = ""
    partner_id: Annotated[str, msgspec.Meta(max_length=40)] = ""
    payment_id: Annotated[str, msgspec.Meta(max_length=40)] = ""
    operation: payments.RoutedOperation = payments.RoutedOperation.PAYMENT

    EXAMPLE: ClassVar[dict[str, object]] = {
        "environment": "sandbox", "bin": "411111", "amount": 1_500_000, "currency": "KZT",
    }  # fmt: skip


@post("/v1/routing/rules", operation_id="create_routing_rule", tags=_TAGS, opt=_WRITE)
async def create_routing_rule(
    data: JSONBody[RoutingRuleRequest], actor: CurrentActor, services: Services
) -> payments.RoutingRule:
    """Make a rule; it counts for payments from now on."""
    return await payments.create_routing_rule(services.db, actor, data)


@get("/v1/routing/rules", operation_id="list_routing_rules", tags=_TAGS, opt=_READ)
async def list_routing_rules(actor: CurrentActor, services: Services) -> RoutingRuleList:
    """List the rules in the order in which they are asked."""
    return RoutingRuleList(await payments.list_routing_rules(services.db, actor))


@get("/v1/routing/rules/{rule_id:str}", operation_id="get_routing_rule", tags=_TAGS, opt=_READ)
async def get_routing_rule(rule_id: FromPath[str], actor: CurrentActor, services: Services) -> payments.RoutingRule:
    """Read a rule."""
    return await payments.find_routing_rule(services.db, actor, rule_id)


@get("/v1/routing/rules/{rule_id:str}/versions", operation_id="list_routing_rule_versions", tags=_TAGS, opt=_READ)
async def list_routing_rule_versions(
    rule_id: FromPath[str], actor: CurrentActor, services: Services
) -> RoutingRuleList:
    """List every version of a rule, the newest first, also of a deleted one."""
    return RoutingRuleList(await payments.routing_rule_versions(services.db, actor, rule_id))


@put("/v1/routing/rules/{rule_id:str}", operation_id="replace_routing_rule", tags=_TAGS, opt=_WRITE,
     responses=problems(409))  # fmt: skip
async def replace_routing_rule(
    rule_id: FromPath[str], data: JSONBody[RoutingRuleReplacement], actor: CurrentActor, services: Services
) -> payments.RoutingRule:
    """Replace a rule; if it was changed since you read it, the request is refused."""
    return await payments.replace_routing_rule(services.db, actor, rule_id, data.version, data)


@delete("/v1/routing/rules/{rule_id:str}", operation_id="delete_routing_rule", tags=_TAGS, opt=_WRITE,
        responses=problems(409))  # fmt: skip
async def delete_routing_rule(
    rule_id: FromPath[str],
    actor: CurrentActor,
    services: Services,
    version: Annotated[int, QueryParameter(description="The version of the rule as you read it.", ge=1, le=2**31 - 1)],
) -> None:
    """Delete a rule; its versions can still be read."""
    await payments.delete_routing_rule(services.db, actor, rule_id, version)


@get("/v1/routing/costs", operation_id="get_routing_costs", tags=_TAGS, opt=_READ)
async def get_routing_costs(actor: CurrentActor, services: Services) -> RoutingCosts:
    """Read what the payment systems cost."""
    return RoutingCosts(await payments.list_routing_costs(services.db, actor))


@put("/v1/routing/costs", operation_id="replace_routing_costs", tags=_TAGS, opt=_WRITE)
async def replace_routing_costs(data: JSONBody[RoutingCosts], actor: CurrentActor, services: Services) -> RoutingCosts:
    """Replace the whole cost table."""
    return RoutingCosts(await payments.replace_routing_costs(services.db, actor, data.items))


@get("/v1/routing/bins", operation_id="list_bins", tags=_TAGS, opt=_READ, responses=problems(404))
async def list_bins(
    actor: CurrentActor,
    services: Services,
    cursor: Cursor = None,
    limit: Limit = None,
    version: Annotated[
        int | None, QueryParameter(description="Of this version; the newest unless given.", ge=1, le=2**31 - 1)
    ] = None,
) -> BinRangeList:
    """List the table of BINs: whose cards begin with which digits. It is put in place with `shanraq routing bins import`."""
    found = await payments.list_bins(services.db, actor, page(cursor, limit), version=version)
    return BinRangeList(list(found.items), found.next_cursor)


@get("/v1/routing/bins/{bin:str}", operation_id="show_bin", tags=_TAGS, opt=_READ)
async def show_bin(
    first_digits: Annotated[str, PathParameter(name="bin", description="The first 1 to 8 digits of a card number.")],
    actor: CurrentActor,
    services: Services,
) -> payments.BinLookup:
    """Tell what the table of BINs knows of the cards with these first digits."""
    return await payments.show_bin(services.db, actor, first_digits)


@get("/v1/routing/bin-tables", operation_id="list_bin_tables", tags=_TAGS, opt=_READ)
async def list_bin_tables(actor: CurrentActor, services: Services) -> BinTableList:
    """List the versions of the table of BINs."""
    return BinTableList(await payments.bin_table_versions(services.db, actor))


@post(
    "/v1/routing/explain",
    operation_id="explain_routing",
    tags=_TAGS,
    opt=_READ,
    status_code=200,
)
async def explain_routing(data: JSONBody[RoutingQuestion], actor: CurrentActor, services: Services) -> payments.Routing:
    """Tell how a payment, or another operation, would be routed now, and why, without making one.

    Without candidates it would be refused: no payment system is set up for the environment that offers it.
    """
    gateways = services.acquiring.gateways
    facts = payments.Facts(
        payment_id=data.payment_id or new_id("pay"),
        partner_id=data.partner_id,
        environment=data.environment,
        bin=data.bin,
        scheme=payments.scheme_of(data.bin),
        amount=Money.positive(data.amount, data.currency),
        capture=data.capture,
        initiator=data.initiator,
        billing_country=data.billing_country,
        operation=data.operation,
    )
    where = data.environment
    return await payments.explain_routing(
        services.db,
        actor,
        facts,
        gateways.there(where),
        gateways.order_of(where),
        payments.lacking(gateways.adapters.get(where, {}), data.operation),
    )


ROUTES = [
    create_routing_rule,
    list_routing_rules,
    get_routing_rule,
    list_routing_rule_versions,
    replace_routing_rule,
    delete_routing_rule,
    get_routing_costs,
    replace_routing_costs,
    list_bins,
    show_bin,
    list_bin_tables,
    explain_routing,
]
