"""Payments: authorise, capture, refund, void."""

from __future__ import annotations

from typing import Annotated, ClassVar

import msgspec
from litestar import get, post
from litestar.params import FromPath, JSONBody, QueryParameter

from shanraq import payments
from shanraq.api.answer import Answer, IdempotencyKey
from shanraq.api.gate import CurrentActor
from shanraq.api.openapi import problems
from shanraq.api.parameters import AccountFilter, Cursor, Limit, page
from shanraq.api.services import Services
from shanraq.api.strict import Body, View
from shanraq.core.fields import AccountId, Amount, CurrencyCode, LongText, Metadata, PaymentMethodId, ShortText
from shanraq.core.secret import SecurityCode

_TAGS = ["Payments"]


class PaymentRequest(Body, frozen=True):
    """A payment by a tokenised card to an account; `capture` takes the money at once.

    `security_code` goes to the gateway and is stored nowhere. `partial` accepts less than `amount` where the issuer offers it;
    `estimated` is a pre-authorisation, which may be incremented and has a longer life with some schemes. `authentication_id`
    names an authentication of the cardholder for the same card and currency and at least this amount; it is used up.
    """

    payment_method_id: PaymentMethodId
    account_id: AccountId
    amount: Amount
    currency: CurrencyCode
    capture: bool = False
    security_code: Annotated[str, msgspec.Meta(pattern="^[0-9]{3,4}$", max_length=4)] | None = None
    reference: ShortText = ""
    description: LongText = ""
    metadata: Metadata = {}
    billing: payments.BillingDetails = payments.BillingDetails()
    partial: bool = False
    estimated: bool = False
    device: payments.DeviceDetails = payments.DeviceDetails()
    stored_credential: payments.CredentialUse | None = None
    authentication_id: Annotated[str, msgspec.Meta(max_length=30)] | None = None

    EXAMPLE: ClassVar[dict[str, object]] = {
        "payment_method_id": "pm_01JDK7ZC3V0X2Q9M5R8T6W4Y1B",
        "account_id": "acc_01JDK7ZC3V0X2Q9M5R8T6W4Y1B",
        "amount": 1_500_000,
        "currency": "KZT",
    }

    def __repr__(self) -> str:
        return f"PaymentRequest({self.payment_method_id}, {self.amount} {self.currency})"


class CaptureRequest(Body, frozen=True):
    """How much to take: all that is left if `amount` is left out. `final` frees the rest, otherwise it stays held."""

    amount: Amount | None = None
    final: bool = True


class IncrementRequest(Body, frozen=True):
    """How much more to hold."""

    amount: Amount


class ReviewBody(Body, frozen=True):
    """A decision about a payment under review. The note goes to the gateway; no card data."""

    decision: payments.ReviewDecision
    note: Annotated[str, msgspec.Meta(max_length=200, pattern="^[^\\u0000-\\u001f]*$")] = ""


class CreditRequest(Body, frozen=True):
    """A payment from an account to a tokenised card, without an earlier charge."""

    payment_method_id: PaymentMethodId
    account_id: AccountId
    amount: Amount
    currency: CurrencyCode
    reference: ShortText = ""
    description: LongText = ""
    metadata: Metadata = {}
    billing: payments.BillingDetails = payments.BillingDetails()

    EXAMPLE: ClassVar[dict[str, object]] = {
        "payment_method_id": "pm_01JDK7ZC3V0X2Q9M5R8T6W4Y1B",
        "account_id": "acc_01JDK7ZC3V0X2Q9M5R8T6W4Y1B",
        "amount": 250_000,
        "currency": "KZT",
    }


class RefundRequest(Body, frozen=True):
    """How much to pay back: all that is left if `amount` is left out."""

    amount: Amount | None = None


class PaymentList(View, frozen=True):
    """A page of payments, newest first, each with its latest operation."""

    items: list[payments.Payment]
    next_cursor: str = ""


class OperationList(View, frozen=True):
    """The operations of a payment, oldest first."""

    items: list[payments.Operation]


@post(
    "/v1/payments",
    operation_id="create_payment",
    tags=_TAGS,
    opt={"scope": "payments:write"},
    responses=problems(404),
)
async def create_payment(
    data: JSONBody[PaymentRequest], actor: CurrentActor, services: Services, idempotency_key: IdempotencyKey
) -> Answer[payments.Payment]:
    """Authorise a payment, or with `capture` take the money at once.

    The outcome is `status`, also for a decline (`failed`, with `failure`). `authorizing` means that the payment system has
    not given a usable answer: the platform finds out and tells by webhook; nothing is charged twice.
    """
    new = payments.NewPayment(
        payment_method_id=data.payment_method_id,
        account_id=data.account_id,
        amount=data.amount,
        currency=data.currency,
        capture=data.capture,
        reference=data.reference,
        description=data.description,
        metadata=data.metadata,
        billing=data.billing,
        partial=data.partial,
        estimated=data.estimated,
        device=data.device,
        stored_credential=data.stored_credential,
        authentication_id=data.authentication_id,
    )
    code = SecurityCode(data.security_code) if data.security_code is not None else None
    return await services.answered(
        actor, await payments.authorize(services.acquiring, actor, idempotency_key, new, code)
    )


@get("/v1/payments", operation_id="list_payments", tags=_TAGS, opt={"scope": "payments:read"})
async def list_payments(
    actor: CurrentActor,
    services: Services,
    cursor: Cursor = None,
    limit: Limit = None,
    account_id: AccountFilter = None,
    status: Annotated[payments.PaymentStatus | None, QueryParameter(description="Only those with this status.")] = None,
) -> PaymentList:
    """List payments."""
    found = await payments.list_payments(services.db, actor, page(cursor, limit), account_id=account_id, status=status)
    return PaymentList(list(found.items), found.next_cursor)


@get("/v1/payments/{payment_id:str}", operation_id="get_payment", tags=_TAGS, opt={"scope": "payments:read"})
async def get_payment(payment_id: FromPath[str], actor: CurrentActor, services: Services) -> payments.Payment:
    """Read a payment, with its latest operation."""
    return await payments.find_payment(services.db, actor, payment_id)


@get(
    "/v1/payments/{payment_id:str}/operations",
    operation_id="list_operations",
    tags=_TAGS,
    opt={"scope": "payments:read"},
)
async def list_operations(payment_id: FromPath[str], actor: CurrentActor, services: Services) -> OperationList:
    """List what was done at the gateway for a payment."""
    return OperationList(await payments.list_operations(services.db, actor, payment_id))


@post(
    "/v1/payments/{payment_id:str}/capture",
    operation_id="capture_payment",
    tags=_TAGS,
    opt={"scope": "payments:write"},
    status_code=200,
)
async def capture_payment(
    payment_id: FromPath[str],
    data: JSONBody[CaptureRequest],
    actor: CurrentActor,
    services: Services,
    idempotency_key: IdempotencyKey,
) -> Answer[payments.Payment]:
    """Take the authorised money, all of it or in parts.

    A refusal by the gateway leaves the payment as it was; `operation` tells.
    """
    given = await payments.capture(
        services.acquiring, actor, idempotency_key, payment_id, data.amount, final=data.final
    )
    return await services.answered(actor, given)


@post(
    "/v1/payments/{payment_id:str}/increments",
    operation_id="increment_payment",
    tags=_TAGS,
    opt={"scope": "payments:write"},
    status_code=200,
)
async def increment_payment(
    payment_id: FromPath[str],
    data: JSONBody[IncrementRequest],
    actor: CurrentActor,
    services: Services,
    idempotency_key: IdempotencyKey,
) -> Answer[payments.Payment]:
    """Raise an estimated authorisation; refused with 422 where the payment system offers no increments.

    A refusal by the gateway leaves the payment as it was; `operation` tells.
    """
    return await services.answered(
        actor, await payments.increment(services.acquiring, actor, idempotency_key, payment_id, data.amount)
    )


@post(
    "/v1/payments/{payment_id:str}/review",
    operation_id="decide_payment_review",
    tags=_TAGS,
    opt={"scope": "payments:write"},
    status_code=200,
    responses=problems(503),
)
async def decide_payment_review(
    payment_id: FromPath[str],
    data: JSONBody[ReviewBody],
    actor: CurrentActor,
    services: Services,
    idempotency_key: IdempotencyKey,
) -> Answer[payments.Payment]:
    """Accept or reject a payment under review. The queue is the list of payments with `status=review`.

    An accepted payment is authorised (a sale is captured), a rejected one fails and its hold is released at the issuer. Where
    the gateway takes no decision by API the answer is 409 `decide_at_gateway`: decide in its console; the platform looks at the
    payment until it is decided.
    """
    asked = payments.ReviewRequest(decision=data.decision, note=data.note)
    return await services.answered(
        actor, await payments.decide_review(services.acquiring, actor, idempotency_key, payment_id, asked)
    )


@post(
    "/v1/card-credits",
    operation_id="create_card_credit",
    tags=_TAGS,
    opt={"scope": "payments:write"},
    responses=problems(404),
)
async def create_card_credit(
    data: JSONBody[CreditRequest], actor: CurrentActor, services: Services, idempotency_key: IdempotencyKey
) -> Answer[payments.Payment]:
    """Pay from an account to a card: a payment of the kind `credit`, `paid` or `failed`.

    The money is held on the account first. `paying` means that the payment system has not given a usable answer: the platform
    finds out and tells by webhook; nothing is paid twice.
    """
    new = payments.NewCredit(
        payment_method_id=data.payment_method_id,
        account_id=data.account_id,
        amount=data.amount,
        currency=data.currency,
        reference=data.reference,
        description=data.description,
        metadata=data.metadata,
        billing=data.billing,
    )
    return await services.answered(actor, await payments.credit(services.acquiring, actor, idempotency_key, new))


@post(
    "/v1/payments/{payment_id:str}/refund",
    operation_id="refund_payment",
    tags=_TAGS,
    opt={"scope": "payments:write"},
    status_code=200,
)
async def refund_payment(
    payment_id: FromPath[str],
    data: JSONBody[RefundRequest],
    actor: CurrentActor,
    services: Services,
    idempotency_key: IdempotencyKey,
) -> Answer[payments.Payment]:
    """Pay captured money back, all of it or in parts, from the account that received it."""
    return await services.answered(
        actor, await payments.refund(services.acquiring, actor, idempotency_key, payment_id, data.amount)
    )


@post(
    "/v1/payments/{payment_id:str}/void",
    operation_id="void_payment",
    tags=_TAGS,
    opt={"scope": "payments:write"},
    status_code=200,
)
async def void_payment(
    payment_id: FromPath[str], actor: CurrentActor, services: Services, idempotency_key: IdempotencyKey
) -> Answer[payments.Payment]:
    """Cancel an authorisation, what is left of one, or a capture that has not left for clearing."""
    return await services.answered(actor, await payments.void(services.acquiring, actor, idempotency_key, payment_id))


ROUTES = [
    create_payment,
    list_payments,
    get_payment,
    list_operations,
    capture_payment,
    increment_payment,
    decide_payment_review,
    create_card_credit,
    refund_payment,
    void_payment,
]
