"""Settlement, for operators: the days and lines of payment systems, exceptions and what is decided about them.

And for partners: what was settled of a payment.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import Annotated

from litestar import get, post
from litestar.params import FromPath, JSONBody, QueryParameter

from shanraq import partners, settlement
from shanraq.api.gate import CurrentActor
from shanraq.api.openapi import problems
from shanraq.api.parameters import Cursor, Limit, page
from shanraq.api.services import Services
from shanraq.api.strict import View
from shanraq.core.actor import Environment
from shanraq.core.errors import InvalidInputError

_TAGS = ["Settlement (operators)"]
_OPERATOR = ("operator",)
_READ = {"scope": partners.SETTLEMENT_READ, "security": _OPERATOR}
_WRITE = {"scope": partners.SETTLE, "security": _OPERATOR}
_DAYS_LIMIT = 366

InEnvironment = Annotated[Environment, QueryParameter(description="Where: sandbox or live.")]
AdapterFilter = Annotated[
    str | None, QueryParameter(max_length=40, description="Only this payment system, such as visa.")
]
Day = Annotated[
    str | None, QueryParameter(max_length=10, description="A day such as 2026-11-25.", schema_extra={"format": "date"})
]


class SettlementDayList(View, frozen=True):
    """Days of payment systems, newest first."""

    items: list[settlement.SettlementDay]


class SettlementLineList(View, frozen=True):
    """A page of lines of a day, by their ids."""

    items: list[settlement.StoredLine]
    next_cursor: str = ""


class SettlementExceptionList(View, frozen=True):
    """A page of exceptions, newest first."""

    items: list[settlement.SettlementException]
    next_cursor: str = ""


class PaymentSettlementList(View, frozen=True):
    """What was settled of a payment, oldest first."""

    items: list[settlement.PaymentSettlement]


@get("/v1/settlement/days", operation_id="list_settlement_days", tags=_TAGS, opt=_READ)
async def list_settlement_days(
    actor: CurrentActor,
    services: Services,
    environment: InEnvironment,
    adapter: AdapterFilter = None,
    since: Day = None,
    until: Day = None,
) -> SettlementDayList:
    """List the days whose reports were asked for: the last thirty unless others are named, at most 366."""
    last = _day(until, "until") if until is not None else services.db.clock().date()
    first = _day(since, "since") if since is not None else last - timedelta(days=30)
    if not first <= last <= first + timedelta(days=_DAYS_LIMIT):
        raise InvalidInputError(f"must be at most {_DAYS_LIMIT} days before `until`", field="since")
    return SettlementDayList(
        await settlement.list_days(services.db, actor, environment, adapter=adapter, since=first, until=last)
    )


@get("/v1/settlement/days/{adapter:str}/{day:str}", operation_id="get_settlement_day", tags=_TAGS, opt=_READ)
async def get_settlement_day(
    adapter: FromPath[str], day: FromPath[str], actor: CurrentActor, services: Services, environment: InEnvironment
) -> settlement.DayFigures:
    """Read the totals of a day by currency. It is settled when all of it is posted, to the minor unit."""
    return await settlement.day_figures(services.db, actor, environment, adapter, _day(day, "day"))


@get(
    "/v1/settlement/days/{adapter:str}/{day:str}/lines",
    operation_id="list_settlement_lines",
    tags=_TAGS,
    opt=_READ,
)
async def list_settlement_lines(
    adapter: FromPath[str],
    day: FromPath[str],
    actor: CurrentActor,
    services: Services,
    environment: InEnvironment,
    cursor: Cursor = None,
    limit: Limit = None,
    line_state: Annotated[
        settlement.LineState | None, QueryParameter(name="state", description="Only those in this state.")
    ] = None,
) -> SettlementLineList:
    """List the lines of a day with what became of each."""
    found = await settlement.list_lines(
        services.db, actor, environment, adapter, _day(day, "day"), page(cursor, limit), state=line_state
    )
    return SettlementLineList(list(found.items), found.next_cursor)


@get("/v1/settlement/exceptions", operation_id="list_settlement_exceptions", tags=_TAGS, opt=_READ)
async def list_settlement_exceptions(
    actor: CurrentActor,
    services: Services,
    environment: InEnvironment,
    cursor: Cursor = None,
    limit: Limit = None,
    adapter: AdapterFilter = None,
    status: Annotated[
        settlement.ExceptionStatus | None, QueryParameter(description="Only those with this status.")
    ] = None,
    kind: Annotated[settlement.ExceptionKind | None, QueryParameter(description="Only those of this kind.")] = None,
) -> SettlementExceptionList:
    """List what a person has to look at, or had to."""
    found = await settlement.list_exceptions(
        services.db, actor, environment, page(cursor, limit), adapter=adapter, status=status, kind=kind
    )
    return SettlementExceptionList(list(found.items), found.next_cursor)


@get("/v1/settlement/exceptions/{exception_id:str}", operation_id="get_settlement_exception", tags=_TAGS, opt=_READ)
async def get_settlement_exception(
    exception_id: FromPath[str], actor: CurrentActor, services: Services
) -> settlement.BothSides:
    """Read an exception with both sides: what the payment system told, and the operations it may mean."""
    return await settlement.find_exception(services.db, actor, exception_id)


@post(
    "/v1/settlement/exceptions/{exception_id:str}/resolve",
    operation_id="resolve_settlement_exception",
    tags=_TAGS,
    opt=_WRITE,
    responses=problems(409, 422),
    status_code=200,
)
async def resolve_settlement_exception(
    exception_id: FromPath[str],
    data: JSONBody[settlement.NewResolution],
    actor: CurrentActor,
    services: Services,
) -> settlement.SettlementException:
    """Say how an exception is to be resolved: `write_off`, `post`, `ignore`, which another operator approves, or `link`.

    `write_off` posts what was reported and takes the difference as a cost or gain of ours; `post` takes it from, or gives it
    to, the account of the payment (of `account_id` where there is no payment). `link` names the operation that a line means.
    """
    return await settlement.propose(services.db, actor, exception_id, data)


@post(
    "/v1/settlement/exceptions/{exception_id:str}/approve",
    operation_id="approve_settlement_resolution",
    tags=_TAGS,
    opt=_WRITE,
    responses=problems(409, 422),
    status_code=200,
)
async def approve_settlement_resolution(
    exception_id: FromPath[str], actor: CurrentActor, services: Services
) -> settlement.SettlementException:
    """Carry out what another operator proposed."""
    return await settlement.approve(services.db, actor, exception_id)


@post(
    "/v1/settlement/exceptions/{exception_id:str}/reject",
    operation_id="reject_settlement_resolution",
    tags=_TAGS,
    opt=_WRITE,
    responses=problems(409),
    status_code=200,
)
async def reject_settlement_resolution(
    exception_id: FromPath[str], actor: CurrentActor, services: Services
) -> settlement.SettlementException:
    """Send a proposal back: the exception is open again."""
    return await settlement.reject(services.db, actor, exception_id)


@get(
    "/v1/payments/{payment_id:str}/settlement",
    operation_id="get_payment_settlement",
    tags=["Payments"],
    opt={"scope": "payments:read"},
)
async def get_payment_settlement(
    payment_id: FromPath[str], actor: CurrentActor, services: Services
) -> PaymentSettlementList:
    """Read what the payment system has settled of a payment, or charged back; nothing while it has not."""
    return PaymentSettlementList(await settlement.payment_settlement(services.db, actor, payment_id))


def _day(text: str, field: str) -> date:
    try:
        if len(text) != 10:
            raise ValueError
        return date.fromisoformat(text)
    except ValueError:
        raise InvalidInputError("must be a day such as 2026-11-25", field=field) from None


ROUTES = [
    list_settlement_days,
    get_settlement_day,
    list_settlement_lines,
    list_settlement_exceptions,
    get_settlement_exception,
    resolve_settlement_exception,
    approve_settlement_resolution,
    reject_settlement_resolution,
    get_payment_settlement,
]
