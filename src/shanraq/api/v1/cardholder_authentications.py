"""Authentications of cardholders (EMV 3-D Secure 2)."""

from __future__ import annotations

from typing import Annotated, ClassVar

import msgspec
from litestar import get, post
from litestar.params import FromPath, JSONBody

from shanraq import payments
from shanraq.api.answer import Answer, IdempotencyKey
from shanraq.api.gate import CurrentActor
from shanraq.api.openapi import problems
from shanraq.api.services import Services
from shanraq.api.strict import Body
from shanraq.core.fields import Amount, CurrencyCode, PaymentMethodId

_TAGS = ["Authentications"]


class NewAuthentication(Body, frozen=True):
    """The payment that the holder of a card is to be authenticated for."""

    payment_method_id: PaymentMethodId
    amount: Amount
    currency: CurrencyCode

    EXAMPLE: ClassVar[dict[str, object]] = {
        "payment_method_id": "pm_01JDK7ZC3V0X2Q9M5R8T6W4Y1B",
        "amount": 1_500_000,
        "currency": "KZT",
    }


class AuthenticateRequest(Body, frozen=True):
    """The payer's browser, and where it comes back to after a challenge."""

    return_url: Annotated[str, msgspec.Meta(max_length=2048, description="An absolute https URL.")]
    device: payments.DeviceDetails
    billing: payments.BillingDetails = payments.BillingDetails()

    EXAMPLE: ClassVar[dict[str, object]] = {
        "return_url": "https://shop.example/3ds/return",
        "device": {"ip_address": "192.0.2.7", "user_agent": "Mozilla/5.0", "language": "kk-KZ", "color_depth": 24},
    }


@post(
    "/v1/authentications",
    operation_id="start_cardholder_authentication",
    tags=_TAGS,
    opt={"scope": "payments:write"},
    responses=problems(404, 503),
)
async def start_authentication(
    data: JSONBody[NewAuthentication], actor: CurrentActor, services: Services, idempotency_key: IdempotencyKey
) -> Answer[payments.CardholderAuthentication]:
    """Begin: the answer may hold a form that the payer's browser posts in a hidden frame (`device_collection`)."""
    new = payments.NewAuthentication(
        payment_method_id=data.payment_method_id, amount=data.amount, currency=data.currency
    )
    given = await payments.start_authentication(services.acquiring, actor, idempotency_key, new)
    return await services.answered(actor, given)


@post(
    "/v1/authentications/{authentication_id:str}/authenticate",
    operation_id="authenticate_cardholder",
    tags=_TAGS,
    opt={"scope": "payments:write"},
    status_code=200,
    responses=problems(503),
)
async def authenticate_cardholder(
    authentication_id: FromPath[str],
    data: JSONBody[AuthenticateRequest],
    actor: CurrentActor,
    services: Services,
    idempotency_key: IdempotencyKey,
) -> Answer[payments.CardholderAuthentication]:
    """Ask the issuer: `authenticated`, `not_authenticated`, or `challenge` with a form to show to the payer."""
    asked = payments.AuthenticationRequest(return_url=data.return_url, device=data.device, billing=data.billing)
    given = await payments.authenticate(services.acquiring, actor, idempotency_key, authentication_id, asked)
    return await services.answered(actor, given)


@post(
    "/v1/authentications/{authentication_id:str}/complete",
    operation_id="complete_cardholder_authentication",
    tags=_TAGS,
    opt={"scope": "payments:write"},
    status_code=200,
    responses=problems(503),
)
async def complete_authentication(
    authentication_id: FromPath[str], actor: CurrentActor, services: Services, idempotency_key: IdempotencyKey
) -> Answer[payments.CardholderAuthentication]:
    """Fetch the result when the payer is back at `return_url`.

    Still `challenge` means that the payer has not finished: ask again with another Idempotency-Key.
    """
    given = await payments.complete_authentication(services.acquiring, actor, idempotency_key, authentication_id)
    return await services.answered(actor, given)


@get(
    "/v1/authentications/{authentication_id:str}",
    operation_id="get_cardholder_authentication",
    tags=_TAGS,
    opt={"scope": "payments:read"},
)
async def get_authentication(
    authentication_id: FromPath[str], actor: CurrentActor, services: Services
) -> payments.CardholderAuthentication:
    """Read an authentication. Its value (CAVV, AAV) is never shown: a payment carries it by `authentication_id`."""
    return await payments.find_authentication(services.db, actor, authentication_id)


ROUTES = [start_authentication, authenticate_cardholder, complete_authentication, get_authentication]
