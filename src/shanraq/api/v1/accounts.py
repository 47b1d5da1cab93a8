"""Accounts, their balances and statements."""

from __future__ import annotations

from typing import Annotated

from litestar import get, patch, post
from litestar.params import FromPath, JSONBody, QueryParameter

from shanraq import accounts
from shanraq.api.gate import CurrentActor
from shanraq.api.openapi import problems
from shanraq.api.parameters import Cursor, CustomerFilter, Instant, Limit, instant, page
from shanraq.api.services import Services
from shanraq.api.strict import Body, View
from shanraq.core.fields import ShortText

_TAGS = ["Accounts"]


class AccountList(View, frozen=True):
    """A page of accounts, newest first."""

    items: list[accounts.Account]
    next_cursor: str = ""


class Statement(View, frozen=True):
    """What changed on an account, oldest first."""

    items: list[accounts.StatementLine]


class AccountReason(Body, frozen=True):
    """Why an account is suspended or let go on."""

    reason: ShortText = ""


@post(
    "/v1/accounts",
    operation_id="open_account",
    tags=_TAGS,
    opt={"scope": "accounts:write"},
    responses=problems(404, 409, 422),
)
async def open_account(
    data: JSONBody[accounts.NewAccount], actor: CurrentActor, services: Services
) -> accounts.Account:
    """Open an account.

    With `customer_id` it is the customer's, without it the partner's own. `reference` is unique: opening twice with the same
    one is refused, so a repeated request opens no second account.
    """
    return await accounts.open_account(services.db, actor, data)


@get("/v1/accounts", operation_id="list_accounts", tags=_TAGS, opt={"scope": "accounts:read"})
async def list_accounts(
    actor: CurrentActor,
    services: Services,
    cursor: Cursor = None,
    limit: Limit = None,
    customer_id: CustomerFilter = None,
) -> AccountList:
    """List accounts."""
    found = await accounts.list_accounts(services.db, actor, page(cursor, limit), customer_id=customer_id)
    return AccountList(list(found.items), found.next_cursor)


@get("/v1/accounts/{account_id:str}", operation_id="get_account", tags=_TAGS, opt={"scope": "accounts:read"})
async def get_account(account_id: FromPath[str], actor: CurrentActor, services: Services) -> accounts.Account:
    """Read an account."""
    return await accounts.find_account(services.db, actor, account_id)


@patch(
    "/v1/accounts/{account_id:str}",
    operation_id="update_account",
    tags=_TAGS,
    opt={"scope": "accounts:write"},
    responses=problems(409),
)
async def update_account(
    account_id: FromPath[str], data: JSONBody[accounts.AccountChange], actor: CurrentActor, services: Services
) -> accounts.Account:
    """Change an account's name, reference or metadata.

    `version` is that of the account as you read it; if it was changed since, the request is refused.
    """
    return await accounts.update_account(services.db, actor, account_id, data)


@get("/v1/accounts/{account_id:str}/balance", operation_id="get_balance", tags=_TAGS, opt={"scope": "accounts:read"})
async def get_balance(
    account_id: FromPath[str], actor: CurrentActor, services: Services, at: Instant = None
) -> accounts.AccountBalance:
    """Read what an account holds now, or held at an instant."""
    return await accounts.account_balance(services.db, actor, account_id, at=instant(at, "at"))


@get(
    "/v1/accounts/{account_id:str}/statement", operation_id="get_statement", tags=_TAGS, opt={"scope": "accounts:read"}
)
async def get_statement(
    account_id: FromPath[str],
    actor: CurrentActor,
    services: Services,
    since: Instant = None,
    until: Instant = None,
    after_sequence: Annotated[
        int, QueryParameter(ge=0, le=2**62, description="`sequence` of the last line read before.")
    ] = 0,
    limit: Limit = None,
) -> Statement:
    """Read what changed on an account, with the balance after each change.

    From `since` on and before `until`. To read on, pass the `sequence` of the last line as `after_sequence`.
    """
    lines = await accounts.account_statement(
        services.db,
        actor,
        account_id,
        since=instant(since, "since"),
        until=instant(until, "until"),
        after_sequence=after_sequence,
        limit=100 if limit is None else limit,
    )
    return Statement(lines)


@post(
    "/v1/accounts/{account_id:str}/suspend",
    operation_id="suspend_account",
    tags=_TAGS,
    opt={"scope": "accounts:write"},
    responses=problems(409),
    status_code=200,
)
async def suspend_account(
    account_id: FromPath[str], data: JSONBody[AccountReason], actor: CurrentActor, services: Services
) -> accounts.Account:
    """Let nothing new in or out of an account; what is under way still finishes."""
    return await accounts.suspend_account(services.db, actor, account_id, data.reason)


@post(
    "/v1/accounts/{account_id:str}/resume",
    operation_id="resume_account",
    tags=_TAGS,
    opt={"scope": "accounts:write"},
    responses=problems(409),
    status_code=200,
)
async def resume_account(
    account_id: FromPath[str], data: JSONBody[AccountReason], actor: CurrentActor, services: Services
) -> accounts.Account:
    """Lift the suspension of an account."""
    return await accounts.resume_account(services.db, actor, account_id, data.reason)


@post(
    "/v1/accounts/{account_id:str}/close",
    operation_id="close_account",
    tags=_TAGS,
    opt={"scope": "accounts:write"},
    responses=problems(409),
    status_code=200,
)
async def close_account(account_id: FromPath[str], actor: CurrentActor, services: Services) -> accounts.Account:
    """Close an account for good; it must be empty."""
    return await accounts.close_account(services.db, actor, account_id)


ROUTES = [
    open_account,
    list_accounts,
    get_account,
    update_account,
    get_balance,
    get_statement,
    suspend_account,
    resume_account,
    close_account,
]
