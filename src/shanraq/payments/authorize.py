"""Authorise a payment, or sell: authorise and capture in one."""

from __future__ import annotations

import msgspec

from shanraq import accounts, audit, events, transactions
from shanraq.core import once
from shanraq.core.actor import Actor, Environment
from shanraq.core.db import Tx
from shanraq.core.ids import new_id
from shanraq.core.money import Money
from shanraq.core.secret import SecurityCode
from shanraq.payments import limits, store, vault
from shanraq.payments.adapter import Authorize, Billing, Device, Initiator, OperationKind
from shanraq.payments.authenticate import use_authentication
from shanraq.payments.expiry import validity
from shanraq.payments.model import PREFIX, Gateways, NewPayment, Payment, PaymentStatus
from shanraq.payments.route import route
from shanraq.payments.routing import BIN_DIGITS, Facts, Routing, RoutingCandidate
from shanraq.payments.send import Acquiring, Prepared, carry_out
from shanraq.payments.settle import new_operation
from shanraq.payments.terms import check_use, stored_of
from shanraq.payments.texts import refuse_card_numbers

OPERATION = "payments.authorize"


async def authorize(
    acquiring: Acquiring, actor: Actor, key: str | None, new: NewPayment, security_code: SecurityCode | None = None
) -> once.Given[Payment]:
    """Ask a payment system for money for an account; the outcome, also a decline, is the payment's status.

    `authorizing` means that the answer is not known yet: recovery finds out, never charging twice. The security code goes to
    the gateway and nowhere else, not even into the fingerprint of the request. Raises PaymentMethodNotFoundError,
    CardExpiredError, AccountNotFoundError, AccountNotActiveError, CurrencyMismatchError, InvalidAmountError,
    InvalidStoredCredentialError, PreviousPaymentUnusableError, AuthenticationNotFoundError, AuthenticationNotUsableError,
    RetryLimitReachedError, NoAdapterError, CardDataInTextError, and the errors of core.once.
    """
    actor.require("payments:write")
    amount = Money.positive(new.amount, new.currency)
    refuse_card_numbers(reference=new.reference, description=new.description, metadata=new.metadata)
    request = once.Request.of(OPERATION, key, new)
    use = new.stored_credential
    if use is not None:
        refuse_card_numbers(**{"stored_credential.agreement_id": use.agreement_id})
        check_use(use)
    initiator = use.initiator if use is not None else Initiator.CUSTOMER

    async def prepare(tx: Tx) -> Prepared:
        partner_id, environment = actor.scope
        acquiring.gateways.choose(environment)
        method, card = await vault.open_card(tx, acquiring.keyring, new.payment_method_id, security_code)
        await limits.check(tx, method, amount)
        stored_credential = await stored_of(tx, use, method) if use is not None else None
        usable = await use_authentication(tx, acquiring.keyring, new.authentication_id, method, amount)
        found = await accounts.load_accounts(tx, [new.account_id])
        account = accounts.check_account(found.get(new.account_id), amount, field="account_id")
        clearing = await accounts.system_account(tx, accounts.SystemAccount.CARD_CLEARING, amount.currency)
        # Gateways that tie an authentication to the order know the payment by the id it was given then.
        payment_id = usable.payment_id if usable is not None else new_id(PREFIX)
        routing = await route(
            tx,
            acquiring.gateways,
            Facts(
                payment_id=payment_id,
                partner_id=partner_id,
                environment=environment,
                bin=card.pan.reveal()[:BIN_DIGITS],
                scheme=method.brand,
                amount=amount,
                capture=new.capture,
                initiator=initiator,
                billing_country=new.billing.country,
            ),
        )
        if usable is not None:
            routing = bound_to(routing, acquiring.gateways, environment, usable.adapter)
        adapter = routing.candidates[0].adapter
        (held,) = await transactions.open_movements(
            tx,
            [
                transactions.Movement(
                    kind=transactions.TransactionKind.PAYMENT,
                    debit_account=clearing.id,
                    credit_account=account.id,
                    amount=amount,
                    transfer_id=request.number(actor, "hold"),
                    hold=True,
                    source=f"payment/{payment_id}",
                    reference=new.reference,
                    description=new.description,
                )
            ],
        )
        payment = store.StoredPayment(
            Payment(
                id=payment_id,
                payment_method_id=method.id,
                account_id=account.id,
                amount=amount.minor,
                currency=amount.currency.code,
                status=PaymentStatus.AUTHORIZING,
                amount_authorized=0,
                amount_captured=0,
                amount_refunded=0,
                failure=None,
                reference=new.reference,
                description=new.description,
                metadata=new.metadata,
                operation=None,
                version=1,
                created_at=tx.now,
                updated_at=tx.now,
                routing=routing,
                estimated=new.estimated,
                stored_credential=use,
                authentication_id=new.authentication_id,
                liability_shift=usable is not None and usable.authenticated.liability_shift,
            ),
            adapter=adapter,
            gateway_id="",
            hold_transaction=held.transaction.id,
            validity_seconds=int(
                validity(
                    method.brand, estimated=new.estimated, initiator=initiator, card_present=new.card_present
                ).total_seconds()
            ),
        )
        await store.insert_payment(tx, payment)
        operation = new_operation(
            tx,
            payment,
            OperationKind.AUTHORIZE,
            amount,
            due=tx.now + acquiring.recover_after,
            request=request,
            transaction_id=held.transaction.id,
            sale=new.capture,
        )
        await store.insert_operation(tx, operation)
        seen = msgspec.structs.replace(payment.payment, operation=operation.operation)
        events.emit(tx, events.Event("payment.initiated", f"payment/{payment_id}", seen))
        audit.record(
            tx,
            "payment.initiated",
            payment_id,
            {"amount": amount.minor, "currency": amount.currency.code, "adapter": adapter},
        )
        return Prepared(
            operation,
            Authorize(
                operation_id=operation.operation.id,
                reference=payment_id,
                amount=amount,
                card=card,
                capture=new.capture,
                billing=Billing(**msgspec.structs.asdict(new.billing)),
                partial=new.partial,
                estimated=new.estimated,
                stored=stored_credential,
                authentication=usable.authenticated if usable is not None else None,
                device=Device(**msgspec.structs.asdict(new.device)),
            ),
        )

    touches = () if new.authentication_id is None else (new.authentication_id,)
    return await carry_out(acquiring, actor, request, prepare, touches)


def bound_to(routing: Routing, gateways: Gateways, environment: Environment, adapter: str) -> Routing:
    """Return a routing to the payment system that authenticated the cardholder, and to no other. Raises NoAdapterError."""
    gateways.named(environment, adapter)
    candidate = RoutingCandidate(adapter=adapter, why="authenticated the cardholder")
    return msgspec.structs.replace(routing, candidates=[candidate], passed_over=[])
