"""Open an account."""

from __future__ import annotations

from shanraq import audit, events, kyc, ledger
from shanraq.accounts import store
from shanraq.accounts.errors import OverdraftNotAllowedError
from shanraq.accounts.model import (
    PREFIX,
    Account,
    AccountKind,
    AccountStatus,
    LedgerCode,
    NewAccount,
    SystemAccount,
    check_iban,
    system_account_id,
)
from shanraq.core.actor import Actor
from shanraq.core.db import Database, Tx
from shanraq.core.ids import new_id
from shanraq.core.money import Currency

_CODES = {
    AccountKind.CUSTOMER: LedgerCode.CUSTOMER,
    AccountKind.PARTNER: LedgerCode.PARTNER,
    AccountKind.SYSTEM: LedgerCode.SYSTEM,
}


async def open_account(db: Database, actor: Actor, new: NewAccount) -> Account:
    """Open an account for a customer, or for the partner itself, with its ledger account behind it.

    An account cannot go below zero unless `allow_negative`, which live partners need the scope accounts:overdraft for.
    Raises UnknownCurrencyError, CustomerNotFoundError, ReferenceTakenError, InvalidIbanError, IbanTakenError,
    OverdraftNotAllowedError.
    """
    actor.require("accounts:write")
    check_iban(new.iban)
    currency = Currency.of(new.currency)
    if new.allow_negative and actor.livemode and "accounts:overdraft" not in actor.scopes:
        raise OverdraftNotAllowedError(field="allow_negative")

    async def work(tx: Tx) -> Account:
        if new.customer_id is not None:
            await kyc.require_customer(tx, new.customer_id)
        account = Account(
            id=new_id(PREFIX),
            kind=AccountKind.CUSTOMER if new.customer_id is not None else AccountKind.PARTNER,
            customer_id=new.customer_id,
            currency=currency.code,
            name=new.name,
            reference=new.reference,
            iban=new.iban,
            status=AccountStatus.ACTIVE,
            allow_negative=new.allow_negative,
            metadata=new.metadata,
            version=1,
            created_at=tx.now,
            updated_at=tx.now,
        )
        await _open(tx, account, currency)
        events.emit(tx, events.Event("account.created", f"account/{account.id}", account))
        audit.record(tx, "account.opened", account.id, {"currency": currency.code, "kind": account.kind})
        return account

    return await db.run(actor, work)


async def system_account(tx: Tx, which: SystemAccount, currency: Currency) -> Account:
    """Return the book's system account of a currency, opening it when it is first needed."""
    account_id = system_account_id(tx.actor.book, which, currency.code)
    found = await store.load_many(tx, [account_id])
    if account_id in found:
        return found[account_id]
    account = Account(
        id=account_id,
        kind=AccountKind.SYSTEM,
        customer_id=None,
        currency=currency.code,
        name=which.value,
        reference=None,
        iban=None,
        status=AccountStatus.ACTIVE,
        allow_negative=True,
        metadata={},
        version=1,
        created_at=tx.now,
        updated_at=tx.now,
    )
    await _open(tx, account, currency)
    return account


async def _open(tx: Tx, account: Account, currency: Currency) -> None:
    if not await store.insert(tx, account):
        return
    limit = ledger.AccountFlags(0) if account.allow_negative else ledger.AccountFlags.DEBITS_MUST_NOT_EXCEED_CREDITS
    (result,) = await ledger.open_accounts(
        tx, [ledger.Account(id=account.number, ledger=currency.number, code=_CODES[account.kind], flags=limit)]
    )
    assert result.status is ledger.AccountStatus.CREATED, result
