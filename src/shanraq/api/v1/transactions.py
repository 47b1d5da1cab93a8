"""Transactions: money movements between accounts."""

from __future__ import annotations

from typing import Annotated

from litestar import get, post
from litestar.params import FromPath, JSONBody, QueryParameter

from shanraq import transactions
from shanraq.api.answer import Answer, IdempotencyKey
from shanraq.api.gate import CurrentActor
from shanraq.api.openapi import problems
from shanraq.api.parameters import AccountFilter, Cursor, Limit, page
from shanraq.api.services import Services
from shanraq.api.strict import Body, View
from shanraq.core import once
from shanraq.core.fields import Amount

_TAGS = ["Transactions"]


class TransactionList(View, frozen=True):
    """A page of transactions, newest first."""

    items: list[transactions.Transaction]
    next_cursor: str = ""


class Execution(Body, frozen=True):
    """How much of the held money moves; all of it if `amount` is left out."""

    amount: Amount | None = None


@post(
    "/v1/transactions",
    operation_id="create_transaction",
    tags=_TAGS,
    opt={"scope": "transactions:write"},
    responses=problems(404),
)
async def create_transaction(
    data: JSONBody[transactions.NewTransaction],
    actor: CurrentActor,
    services: Services,
    idempotency_key: IdempotencyKey,
) -> Answer[transactions.Transaction]:
    """Move money between two accounts, at once or held first.

    The outcome is `status`: `executed`, `authorized` (held), or `failed` with `failure`, such as `insufficient_funds`.
    """
    request = once.Request.of(transactions.OPERATION, idempotency_key, data)
    asked = transactions.Asked(request, data, actor.request_id)
    return await services.answered(actor, await services.transactions_batch.do(actor.with_request(""), asked))


@get("/v1/transactions", operation_id="list_transactions", tags=_TAGS, opt={"scope": "transactions:read"})
async def list_transactions(
    actor: CurrentActor,
    services: Services,
    cursor: Cursor = None,
    limit: Limit = None,
    account_id: AccountFilter = None,
    source: Annotated[
        str | None,
        QueryParameter(max_length=60, description="Only those of this payment or transfer: `payment/pay_...`."),
    ] = None,
) -> TransactionList:
    """List transactions."""
    found = await transactions.list_transactions(
        services.db, actor, page(cursor, limit), account_id=account_id, source=source
    )
    return TransactionList(list(found.items), found.next_cursor)


@get(
    "/v1/transactions/{transaction_id:str}",
    operation_id="get_transaction",
    tags=_TAGS,
    opt={"scope": "transactions:read"},
)
async def get_transaction(
    transaction_id: FromPath[str], actor: CurrentActor, services: Services
) -> transactions.Transaction:
    """Read a transaction."""
    return await transactions.find_transaction(services.db, actor, transaction_id)


@post(
    "/v1/transactions/{transaction_id:str}/execute",
    operation_id="execute_transaction",
    tags=_TAGS,
    opt={"scope": "transactions:write"},
    status_code=200,
)
async def execute_transaction(
    transaction_id: FromPath[str],
    data: JSONBody[Execution],
    actor: CurrentActor,
    services: Services,
    idempotency_key: IdempotencyKey,
) -> Answer[transactions.Transaction]:
    """Move the money that a transaction holds, all of it or a part; the rest is free again."""
    request = once.Request.of("transactions.execute", idempotency_key, data, transaction_id)
    given = await transactions.execute_transaction(services.db, actor, request, transaction_id, data.amount)
    return await services.answered(actor, given)


@post(
    "/v1/transactions/{transaction_id:str}/roll-back",
    operation_id="roll_back_transaction",
    tags=_TAGS,
    opt={"scope": "transactions:write"},
    status_code=200,
)
async def roll_back_transaction(
    transaction_id: FromPath[str], actor: CurrentActor, services: Services, idempotency_key: IdempotencyKey
) -> Answer[transactions.Transaction]:
    """Release the money a transaction holds, or take back what it moved."""
    request = once.Request.of("transactions.roll_back", idempotency_key, None, transaction_id)
    return await services.answered(
        actor, await transactions.roll_back_transaction(services.db, actor, request, transaction_id)
    )


ROUTES = [create_transaction, list_transactions, get_transaction, execute_transaction, roll_back_transaction]
