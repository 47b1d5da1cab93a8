"""Verify a card: ask its issuer whether it is good, without money."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Final, assert_never

import msgspec
import structlog

from shanraq import audit
from shanraq.core import once
from shanraq.core.actor import Actor, Environment
from shanraq.core.db import Database, Tx
from shanraq.core.fields import CurrencyCode
from shanraq.core.ids import new_id
from shanraq.core.money import Currency, Money
from shanraq.core.secret import SecurityCode
from shanraq.payments import store, vault
from shanraq.payments.adapter import (
    Approved,
    Billing,
    Declined,
    Initiator,
    InReview,
    NotProcessed,
    Outcome,
    Unknown,
    Verify,
)
from shanraq.payments.ask import ask_once
from shanraq.payments.failover import excused, next_system
from shanraq.payments.model import BillingDetails, CardChecks, CredentialUse, Failure
from shanraq.payments.route import route
from shanraq.payments.routing import BIN_DIGITS, Facts, RoutedOperation, Routing
from shanraq.payments.send import Acquiring, send
from shanraq.payments.settle import failure_of
from shanraq.payments.terms import check_use, stored_of
from shanraq.payments.told import checks_of

log = structlog.get_logger(__name__)

OPERATION: Final = "payment_methods.verify"
# The ids of operations sent to a gateway are of one kind: under them it finds what it did.
PREFIX: Final = "op"
_ID_LIMIT: Final = 64


class VerificationStatus(StrEnum):
    """`failed`: the payment system did not process it; `unknown`: it gave no usable answer."""

    APPROVED = "approved"
    DECLINED = "declined"
    FAILED = "failed"
    UNKNOWN = "unknown"


class NewVerification(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a partner asks for: is this card good? `currency` is the one the merchant account takes."""

    currency: CurrencyCode
    billing: BillingDetails = BillingDetails()
    stored_credential: Annotated[CredentialUse | None, msgspec.Meta(description="Where the card is to be stored.")] = (
        None
    )


class Verification(msgspec.Struct, frozen=True, kw_only=True):
    """What the issuer said of a card. `network_transaction_id` is what later merchant-initiated payments refer to."""

    id: str
    payment_method_id: str
    currency: str
    status: VerificationStatus
    checks: CardChecks | None
    failure: Failure | None
    network_transaction_id: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class _Attempt:
    """Who is asked, and what; `scheme` is the card's brand."""

    adapter: str
    command: Verify
    routing: Routing
    scheme: str


async def verify(
    acquiring: Acquiring,
    actor: Actor,
    key: str | None,
    method_id: str,
    new: NewVerification,
    security_code: SecurityCode | None = None,
) -> once.Given[Verification]:
    """Ask a card's issuer whether it is good; no money is held or moved. The result is kept with the payment method.

    Where a payment system did not process it, the next one that the rules name is asked, each by an id of its own.
    Raises PaymentMethodNotFoundError, CardExpiredError, OperationNotSupportedError, NoAdapterError, UnknownCurrencyError,
    InvalidStoredCredentialError, and the errors of core.once.
    """
    actor.require("payment_methods:write")
    nothing = Money(0, Currency.of(new.currency))
    if new.stored_credential is not None:
        check_use(new.stored_credential)
    request = once.Request.of(OPERATION, key, new, method_id)

    async def prepare(tx: Tx) -> _Attempt:
        partner_id, environment = actor.scope
        operation_id = new_id(PREFIX)
        method, card = await vault.open_card(tx, acquiring.keyring, method_id, security_code)
        use = new.stored_credential
        routing = await route(
            tx,
            acquiring.gateways,
            Facts(
                payment_id=operation_id,
                partner_id=partner_id,
                environment=environment,
                bin=card.pan.reveal()[:BIN_DIGITS],
                scheme=method.brand,
                amount=nothing,
                capture=None,
                initiator=use.initiator if use is not None else Initiator.CUSTOMER,
                billing_country=new.billing.country,
                operation=RoutedOperation.VERIFICATION,
            ),
        )
        stored = await stored_of(tx, use, method) if use is not None else None
        command = Verify(
            operation_id=operation_id,
            reference=method_id,
            nothing=nothing,
            card=card,
            billing=Billing(**msgspec.structs.asdict(new.billing)),
            stored=stored,
        )
        return _Attempt(routing.candidates[0].adapter, command, routing, method.brand)

    async def ask(first: _Attempt) -> tuple[_Attempt, Outcome]:
        return await _ask(acquiring, actor.scope[1], first)

    async def write(tx: Tx, _first: _Attempt, told: tuple[_Attempt, Outcome]) -> Verification:
        last, outcome = told
        verification = _verification(tx, last.command, outcome)
        gateway_id = outcome.gateway_id if isinstance(outcome, Approved | Declined | InReview) else ""
        await store.insert_verification(tx, verification, last.adapter, gateway_id)
        audit.record(
            tx,
            "payment_method.verified",
            method_id,
            {"verification": verification.id, "status": verification.status.value, "adapter": last.adapter},
        )
        return verification

    return await ask_once(acquiring.db, actor, request, Verification, prepare, ask, write)


async def _ask(acquiring: Acquiring, environment: Environment, attempt: _Attempt) -> tuple[_Attempt, Outcome]:
    """Ask one payment system after the other until one processed it; return the last attempt and its outcome."""
    loop = asyncio.get_running_loop()
    until = loop.time() + acquiring.attempts_within.total_seconds()
    asked = {attempt.adapter}
    while True:
        outcome = await send(acquiring.gateways.named(environment, attempt.adapter), attempt.command)
        reason = excused(outcome)
        if reason is None or loop.time() > until:
            return attempt, outcome
        name = next_system(acquiring.gateways, environment, attempt.routing, asked, reason, attempt.scheme)
        if name is None:
            return attempt, outcome
        log.info("payment_methods.failover", failed=attempt.adapter, next=name, reason=reason.code)
        asked.add(name)
        attempt = replace(attempt, adapter=name, command=replace(attempt.command, operation_id=new_id(PREFIX)))


async def list_verifications(db: Database, actor: Actor, method_id: str) -> list[Verification]:
    """Return the latest verifications of a card, the newest first. Raises PaymentMethodNotFoundError."""
    actor.require("payment_methods:read")
    async with db.begin(actor) as tx:
        await store.load_method(tx, method_id)
        rows = await store.verifications(tx, method_id)
    return [msgspec.convert(row, Verification) for row in rows]


def _verification(tx: Tx, command: Verify, outcome: Outcome) -> Verification:
    checks: CardChecks | None = None
    failure: Failure | None = None
    network_id = ""
    match outcome:
        case Approved():
            status, checks = VerificationStatus.APPROVED, checks_of(outcome.checks)
            network_id = outcome.network_transaction_id[:_ID_LIMIT]
        case Declined():
            status, checks = VerificationStatus.DECLINED, checks_of(outcome.checks)
            failure = failure_of(outcome.reason)
        case NotProcessed(reason):
            status, failure = VerificationStatus.FAILED, failure_of(reason)
        case InReview(reason=reason):
            # Nothing is held, so there is nothing to wait for: a card that needs a look is not one that is good.
            status, failure = VerificationStatus.DECLINED, failure_of(reason)
        case Unknown():
            status = VerificationStatus.UNKNOWN
        case _:
            assert_never(outcome)
    return Verification(
        id=command.operation_id,
        payment_method_id=command.reference,
        currency=command.nothing.currency.code,
        status=status,
        checks=checks,
        failure=failure,
        network_transaction_id=network_id,
        created_at=tx.now,
    )
