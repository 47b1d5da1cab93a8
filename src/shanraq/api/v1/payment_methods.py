"""Payment methods: cards as tokens."""

from __future__ import annotations

from typing import Annotated, ClassVar

import msgspec
from litestar import delete, get, post
from litestar.params import FromPath, JSONBody

from shanraq import payments
from shanraq.api.answer import Answer, IdempotencyKey
from shanraq.api.gate import CurrentActor
from shanraq.api.openapi import problems
from shanraq.api.parameters import Cursor, CustomerFilter, Limit, page
from shanraq.api.services import Services
from shanraq.api.strict import Body, View
from shanraq.core import once
from shanraq.core.fields import CurrencyCode, CustomerId, Metadata
from shanraq.core.secret import Pan, SecurityCode

_TAGS = ["Payment methods"]


class NewCardNumber(Body, frozen=True):
    """A card to tokenise. The number is sealed in the vault and never shown again; there is no security code here."""

    number: Annotated[
        str, msgspec.Meta(min_length=12, max_length=19, pattern="^[0-9]+$", description="The card number, digits only.")
    ]
    expiry_month: Annotated[int, msgspec.Meta(ge=1, le=12)]
    expiry_year: Annotated[int, msgspec.Meta(ge=2000, le=2099)]
    customer_id: CustomerId | None = None
    metadata: Metadata = {}

    EXAMPLE: ClassVar[dict[str, object]] = {"number": "4111111111111111", "expiry_month": 12, "expiry_year": 2031}

    def __repr__(self) -> str:
        return "NewCardNumber(****)"


class VerificationRequest(Body, frozen=True):
    """What to verify a card for. `security_code` goes to the gateway and is stored nowhere."""

    currency: CurrencyCode
    security_code: Annotated[str, msgspec.Meta(pattern="^[0-9]{3,4}$", max_length=4)] | None = None
    billing: payments.BillingDetails = payments.BillingDetails()
    stored_credential: payments.CredentialUse | None = None

    EXAMPLE: ClassVar[dict[str, object]] = {"currency": "KZT"}

    def __repr__(self) -> str:
        return f"VerificationRequest({self.currency})"


class VerificationList(View, frozen=True):
    """The latest verifications of a payment method, newest first."""

    items: list[payments.Verification]


class PaymentMethodList(View, frozen=True):
    """A page of payment methods, newest first."""

    items: list[payments.PaymentMethod]
    next_cursor: str = ""


@post(
    "/v1/payment-methods",
    operation_id="tokenize_card",
    tags=_TAGS,
    opt={"scope": "payment_methods:write"},
    responses=problems(404),
)
async def tokenize_card(
    data: JSONBody[NewCardNumber], actor: CurrentActor, services: Services, idempotency_key: IdempotencyKey
) -> Answer[payments.PaymentMethod]:
    """Store a card and get the token that stands for it.

    `fingerprint` is equal for the same card, so that you can recognise it. The number of the answer is masked.
    """
    if idempotency_key is None:
        raise once.KeyMissingError(field="Idempotency-Key")
    card = payments.NewCard(
        expiry_month=data.expiry_month,
        expiry_year=data.expiry_year,
        customer_id=data.customer_id,
        metadata=data.metadata,
    )
    given = await payments.tokenize(services.db, services.keyring, actor, Pan(data.number), card, idempotency_key)
    return await services.answered(actor, given)


@get("/v1/payment-methods", operation_id="list_payment_methods", tags=_TAGS, opt={"scope": "payment_methods:read"})
async def list_payment_methods(
    actor: CurrentActor,
    services: Services,
    cursor: Cursor = None,
    limit: Limit = None,
    customer_id: CustomerFilter = None,
) -> PaymentMethodList:
    """List payment methods."""
    found = await payments.list_payment_methods(services.db, actor, page(cursor, limit), customer_id=customer_id)
    return PaymentMethodList(list(found.items), found.next_cursor)


@get(
    "/v1/payment-methods/{payment_method_id:str}",
    operation_id="get_payment_method",
    tags=_TAGS,
    opt={"scope": "payment_methods:read"},
)
async def get_payment_method(
    payment_method_id: FromPath[str], actor: CurrentActor, services: Services
) -> payments.PaymentMethod:
    """Read a payment method."""
    return await payments.find_payment_method(services.db, actor, payment_method_id)


@delete(
    "/v1/payment-methods/{payment_method_id:str}",
    operation_id="delete_payment_method",
    tags=_TAGS,
    opt={"scope": "payment_methods:write"},
    status_code=200,
)
async def delete_payment_method(
    payment_method_id: FromPath[str], actor: CurrentActor, services: Services
) -> payments.PaymentMethod:
    """Destroy the stored number of a card; the masked one stays for history."""
    return await payments.delete_payment_method(services.db, actor, payment_method_id)


@post(
    "/v1/payment-methods/{payment_method_id:str}/verify",
    operation_id="verify_payment_method",
    tags=_TAGS,
    opt={"scope": "payment_methods:write"},
    status_code=200,
    responses=problems(503),
)
async def verify_payment_method(
    payment_method_id: FromPath[str],
    data: JSONBody[VerificationRequest],
    actor: CurrentActor,
    services: Services,
    idempotency_key: IdempotencyKey,
) -> Answer[payments.Verification]:
    """Ask the issuer whether a card is good: address and security code are checked, no money is held.

    `unknown` means that the payment system gave no usable answer; verify again with another key.
    """
    new = payments.NewVerification(
        currency=data.currency, billing=data.billing, stored_credential=data.stored_credential
    )
    code = SecurityCode(data.security_code) if data.security_code is not None else None
    given = await payments.verify(services.acquiring, actor, idempotency_key, payment_method_id, new, code)
    return await services.answered(actor, given)


@get(
    "/v1/payment-methods/{payment_method_id:str}/verifications",
    operation_id="list_verifications",
    tags=_TAGS,
    opt={"scope": "payment_methods:read"},
)
async def list_verifications(
    payment_method_id: FromPath[str], actor: CurrentActor, services: Services
) -> VerificationList:
    """List what the issuer said of a card."""
    return VerificationList(await payments.list_verifications(services.db, actor, payment_method_id))


ROUTES = [
    verify_payment_method,
    list_verifications,
    tokenize_card,
    list_payment_methods,
    get_payment_method,
    delete_payment_method,
]
