"""Transfer money from one customer to another."""

from __future__ import annotations

from shanraq import accounts, audit, events, transactions
from shanraq.core import once
from shanraq.core.actor import Actor
from shanraq.core.db import Database, Tx
from shanraq.core.ids import new_id
from shanraq.core.money import Money
from shanraq.p2p import store
from shanraq.p2p.errors import NotACustomerAccountError
from shanraq.p2p.model import PREFIX, NewP2PTransfer, P2PStatus, P2PTransfer

OPERATION = "p2p.transfer"


async def transfer(db: Database, actor: Actor, key: str | None, new: NewP2PTransfer) -> once.Given[P2PTransfer]:
    """Move money between two customers; the outcome, also a failure such as insufficient funds, is the transfer's status.

    Raises AccountNotFoundError, NotACustomerAccountError, SameAccountError, AccountNotActiveError, CurrencyMismatchError,
    InvalidAmountError, and the errors of core.once.
    """
    actor.require("p2p:write")
    amount = Money.positive(new.amount, new.currency)
    request = once.Request.of(OPERATION, key, new)

    async def work(tx: Tx) -> P2PTransfer:
        await _check_accounts(tx, new, amount)
        transfer_id = new_id(PREFIX)
        (moved,) = await transactions.open_movements(
            tx,
            [
                transactions.Movement(
                    kind=transactions.TransactionKind.P2P,
                    debit_account=new.sender_account,
                    credit_account=new.recipient_account,
                    amount=amount,
                    transfer_id=request.number(actor),
                    source=f"p2p_transfer/{transfer_id}",
                    reference=new.reference,
                )
            ],
        )
        initiated = P2PStatus.INITIATED
        failure = moved.transaction.failure
        done = P2PTransfer(
            id=transfer_id,
            sender_account=new.sender_account,
            recipient_account=new.recipient_account,
            amount=amount.minor,
            currency=amount.currency.code,
            status=initiated.to(P2PStatus.COMPLETED if failure is None else P2PStatus.FAILED),
            failure=failure,
            transaction_id=moved.transaction.id,
            note=new.note,
            reference=new.reference,
            metadata=new.metadata,
            version=1,
            created_at=tx.now,
            updated_at=tx.now,
        )
        await store.insert(tx, done)
        tell(tx, done, "initiated")
        tell(tx, done, done.status.value)
        return done

    return await once.perform(db, actor, request, P2PTransfer, work)


async def _check_accounts(tx: Tx, new: NewP2PTransfer, amount: Money) -> None:
    if new.sender_account == new.recipient_account:
        raise transactions.SameAccountError(field="recipient_account")
    found = await accounts.load_accounts(tx, [new.sender_account, new.recipient_account])
    for field, account_id in (("sender_account", new.sender_account), ("recipient_account", new.recipient_account)):
        account = found.get(account_id)
        if account is None:
            raise accounts.AccountNotFoundError(field=field)
        if account.kind is not accounts.AccountKind.CUSTOMER:
            raise NotACustomerAccountError(field=field)
        accounts.check_account(account, amount, field=field)


def tell(tx: Tx, transfer: P2PTransfer, what: str) -> None:
    """Emit the event and the audit entry of a step."""
    events.emit(tx, events.Event(f"p2p_transfer.{what}", f"p2p_transfer/{transfer.id}", transfer))
    audit.record(tx, f"p2p_transfer.{what}", transfer.id, {"amount": transfer.amount, "currency": transfer.currency})
