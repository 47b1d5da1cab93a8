"""Credit a card: pay from an account to a card, without an earlier charge."""

from __future__ import annotations

import msgspec

from shanraq import accounts, audit, events, transactions
from shanraq.core import once
from shanraq.core.actor import Actor
from shanraq.core.db import Tx
from shanraq.core.ids import new_id
from shanraq.core.money import Money
from shanraq.payments import store, vault
from shanraq.payments.adapter import Billing, Credit, OperationKind
from shanraq.payments.model import PREFIX, NewCredit, Payment, PaymentKind, PaymentStatus
from shanraq.payments.refund import unpayable
from shanraq.payments.route import route
from shanraq.payments.routing import BIN_DIGITS, Facts, RoutedOperation
from shanraq.payments.send import Acquiring, Prepared, carry_out
from shanraq.payments.settle import new_operation
from shanraq.payments.texts import refuse_card_numbers

OPERATION = "payments.credit"


async def credit(acquiring: Acquiring, actor: Actor, key: str | None, new: NewCredit) -> once.Given[Payment]:
    """Pay to a card from an account; the outcome, also a refusal, is the payment's status: `paid` or `failed`.

    The money is held on the account before the gateway is asked: what the account cannot pay is never sent, and what has no
    outcome (`paying`) stays held until recovery has found out. Raises PaymentMethodNotFoundError, CardExpiredError,
    AccountNotFoundError, AccountNotActiveError, CurrencyMismatchError, InvalidAmountError, OperationNotSupportedError,
    NoAdapterError, CardDataInTextError, and the errors of core.once.
    """
    actor.require("payments:write")
    amount = Money.positive(new.amount, new.currency)
    refuse_card_numbers(reference=new.reference, description=new.description, metadata=new.metadata)
    request = once.Request.of(OPERATION, key, new)

    async def prepare(tx: Tx) -> Prepared | Payment:
        partner_id, environment = actor.scope
        method, card = await vault.open_card(tx, acquiring.keyring, new.payment_method_id, None)
        found = await accounts.load_accounts(tx, [new.account_id])
        account = accounts.check_account(found.get(new.account_id), amount, field="account_id")
        clearing = await accounts.system_account(tx, accounts.SystemAccount.CARD_CLEARING, amount.currency)
        payment_id = new_id(PREFIX)
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
                capture=None,
                billing_country=new.billing.country,
                operation=RoutedOperation.CREDIT,
            ),
        )
        adapter = routing.candidates[0].adapter
        (held,) = await transactions.open_movements(
            tx,
            [
                transactions.Movement(
                    kind=transactions.TransactionKind.PAYMENT,
                    debit_account=account.id,
                    credit_account=clearing.id,
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
                status=PaymentStatus.PAYING,
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
                kind=PaymentKind.CREDIT,
            ),
            adapter=adapter,
            gateway_id="",
            hold_transaction=held.transaction.id,
        )
        await store.insert_payment(tx, payment)
        operation = new_operation(
            tx,
            payment,
            OperationKind.CREDIT,
            amount,
            due=tx.now + acquiring.recover_after,
            request=request,
            transaction_id=held.transaction.id,
        )
        audit.record(
            tx,
            "payment.initiated",
            payment_id,
            {"amount": amount.minor, "currency": amount.currency.code, "adapter": adapter, "kind": "credit"},
        )
        if held.transaction.failure is not None:
            operation = unpayable(tx, operation, held.transaction.failure)
            await store.insert_operation(tx, operation)
            payment = await store.move_payment(
                tx,
                payment,
                status=PaymentStatus.PAYING.to(PaymentStatus.FAILED),
                failure=operation.operation.failure,
                hold_transaction=None,
            )
            failed = msgspec.structs.replace(payment.payment, operation=operation.operation)
            events.emit(tx, events.Event("payment.failed", f"payment/{payment_id}", failed))
            return failed
        await store.insert_operation(tx, operation)
        seen = msgspec.structs.replace(payment.payment, operation=operation.operation)
        events.emit(tx, events.Event("payment.initiated", f"payment/{payment_id}", seen))
        return Prepared(
            operation,
            Credit(
                operation_id=operation.operation.id,
                reference=payment_id,
                amount=amount,
                card=card,
                billing=Billing(**msgspec.structs.asdict(new.billing)),
            ),
        )

    return await carry_out(acquiring, actor, request, prepare)
