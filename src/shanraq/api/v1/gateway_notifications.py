"""Notifications of payment systems: the one route that others call unasked."""

from __future__ import annotations

from typing import Any

from litestar import Request, post
from litestar.params import FromPath

from shanraq import payments
from shanraq.api.exchange import exchange_of
from shanraq.api.openapi import problems
from shanraq.api.services import Services
from shanraq.api.strict import View

_TAGS = ["Gateway notifications"]


class NoticeTaken(View, frozen=True):
    """That a notification is kept; `duplicate` if it was before."""

    duplicate: bool


@post(
    "/gateway-notifications/{adapter:str}/{environment:str}",
    operation_id="take_gateway_notification",
    tags=_TAGS,
    opt={"public": True},
    status_code=200,
    responses=problems(401, 404),
)
async def take_gateway_notification(
    adapter: FromPath[str], environment: FromPath[str], request: Request[Any, Any, Any], services: Services
) -> NoticeTaken:
    """Take a notification that a payment system has signed, and have the payments it names looked up at once.

    For payment systems, not for partners: it moves no money and shows none.
    """
    exchange = exchange_of(request.scope)
    body = await exchange.body()
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in exchange.headers.items()}
    new = await payments.take_notice(services.acquiring, adapter, environment, headers, body)
    return NoticeTaken(duplicate=not new)


ROUTES = [take_gateway_notification]
