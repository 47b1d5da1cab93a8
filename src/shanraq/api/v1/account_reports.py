"""Account reports in ISO 20022: statements, the day so far, notifications, and which are made without being asked for."""

from __future__ import annotations

from datetime import date
from typing import Annotated

from litestar import get, put
from litestar.params import FromPath, JSONBody, QueryParameter

from shanraq import statements
from shanraq.api.gate import CurrentActor
from shanraq.api.openapi import problems
from shanraq.api.services import Services
from shanraq.api.xml import MEDIA_TYPE, XmlAnswer
from shanraq.core.errors import InvalidInputError

_TAGS = ["Account reports"]
_READ = {"scope": "accounts:read"}
Version = Annotated[
    str | None,
    QueryParameter(
        max_length=20,
        pattern="^camt[.][0-9]{3}[.][0-9]{3}[.][0-9]{2}$",
        description="Another version of the message, such as camt.053.001.02; what it cannot say is left out.",
    ),
]


@get(
    "/v1/accounts/{account_id:str}/statements/{day:str}",
    operation_id="get_account_statement",
    tags=_TAGS,
    opt=_READ,
    media_type=MEDIA_TYPE,
    responses=problems(409, 422),
)
async def get_account_statement(
    account_id: FromPath[str], day: FromPath[str], actor: CurrentActor, services: Services, version: Version = None
) -> XmlAnswer:
    """Read the statement (camt.053.001.08) of a day that is over.

    `day` is a business day such as 2026-11-23. Its opening balance is the closing balance of the day before.
    """
    return XmlAnswer(await services.reports.statement(actor, account_id, _day(day), version=version))


@get(
    "/v1/accounts/{account_id:str}/reports/intraday",
    operation_id="get_intraday_report",
    tags=_TAGS,
    opt=_READ,
    media_type=MEDIA_TYPE,
    responses=problems(422),
)
async def get_intraday_report(
    account_id: FromPath[str], actor: CurrentActor, services: Services, version: Version = None
) -> XmlAnswer:
    """Read what was booked on the present business day so far (camt.052.001.08)."""
    return XmlAnswer(await services.reports.intraday(actor, account_id, version=version))


@get(
    "/v1/accounts/{account_id:str}/notifications",
    operation_id="get_booking_notification",
    tags=_TAGS,
    opt=_READ,
    media_type=MEDIA_TYPE,
    responses=problems(422),
)
async def get_booking_notification(
    account_id: FromPath[str],
    actor: CurrentActor,
    services: Services,
    after_sequence: Annotated[
        int,
        QueryParameter(ge=0, le=2**62, description="`NtryRef` of the last entry read before; 0 for the first."),
    ] = 0,
    limit: Annotated[
        int | None,
        QueryParameter(
            ge=1, le=statements.BOOKINGS_PER_NOTIFICATION, description="How many bookings at most; 100 if not given."
        ),
    ] = None,
    version: Version = None,
) -> XmlAnswer:
    """Read a notification (camt.054.001.08) of the next bookings.

    To read on, pass the `NtryRef` of the last entry as `after_sequence`; a notification without entries is the end.
    """
    written = await services.reports.notification(
        actor, account_id, after_sequence=after_sequence, limit=100 if limit is None else limit, version=version
    )
    return XmlAnswer(written)


@get("/v1/accounts/{account_id:str}/reports", operation_id="get_account_reports", tags=_TAGS, opt=_READ)
async def get_account_reports(
    account_id: FromPath[str], actor: CurrentActor, services: Services
) -> statements.AccountReports:
    """Read which reports are made of an account without being asked for."""
    return await statements.find_reports(services.db, actor, account_id)


@put(
    "/v1/accounts/{account_id:str}/reports",
    operation_id="set_account_reports",
    tags=_TAGS,
    opt={"scope": "accounts:write"},
)
async def set_account_reports(
    account_id: FromPath[str], data: JSONBody[statements.ReportWishes], actor: CurrentActor, services: Services
) -> statements.AccountReports:
    """Set which reports are made of an account without being asked for.

    The event `account.reported` tells of each; it is read at `/v1/messages/{message_id}/content`. What is switched on begins
    now: with the next booking, and with the statement of the present day.
    """
    return await statements.set_reports(services.db, actor, services.institution, account_id, data)


def _day(text: str) -> date:
    try:
        if len(text) != 10:
            raise ValueError
        return date.fromisoformat(text)
    except ValueError:
        raise InvalidInputError("must be a day such as 2026-11-25", field="day") from None


ROUTES = [
    get_account_statement,
    get_intraday_report,
    get_booking_notification,
    get_account_reports,
    set_account_reports,
]
