"""Carry out transfers that are due: within the ledger at once, to other banks by a hold and a message to the clearing."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import msgspec

from shanraq import accounts, messages, transactions
from shanraq.core.actor import SYSTEM
from shanraq.core.db import Tx
from shanraq.core.ids import derived_number, new_id
from shanraq.core.money import Currency
from shanraq.credit_transfers import store
from shanraq.credit_transfers.add import open_details
from shanraq.credit_transfers.clearing import Interbank, Terms
from shanraq.credit_transfers.model import CreditTransfer, Details, Rejection, Route, TransferStatus
from shanraq.credit_transfers.pacs import Written, credit_transfer
from shanraq.credit_transfers.tell import tell
from shanraq.standards.iso20022.identifiers import iban_fault, kz_bank_of_iban, kz_bic_of_bank, same_bic

BATCH: Final = 1000
_IBAN_LIKE: Final = re.compile(r"[A-Z]{2}[0-9]{2}")
_FAILURES: Final = {
    "insufficient_funds": Rejection("AM04", "the account does not hold the amount"),
    "limit_exceeded": Rejection("AM14", "the account would go over its limit"),
    "account_closed": Rejection("AC04", "the account is closed"),
}


@dataclass(slots=True)
class _Plan:
    """One transfer on its way through a batch."""

    transfer: CreditTransfer
    details: Details
    rejection: Rejection | None = None
    debtor: accounts.Account | None = None
    creditor: accounts.Account | None = None
    agent: str = ""
    moved: transactions.Stored | None = None

    @property
    def route(self) -> Route:
        return Route.BOOK if self.creditor is not None else Route.CLEARING


async def execute(bank: Interbank, *, limit: int = BATCH) -> int:
    """Carry out due transfers of one file, in its order, in one database transaction; returns how many.

    Any number of processes may do it at once: each takes what no other has. A crash undoes the batch as a whole.
    """
    today = bank.today(bank.db.clock())
    async with bank.db.begin(SYSTEM) as tx:
        due = await store.next_due(tx, today)
    if due is None:
        return 0
    actor = SYSTEM.acting_for(due.partner_id, due.environment, due.book)

    async def work(tx: Tx) -> int:
        rows = await store.take_due(tx, due.payment_file_id, today, limit)
        if not rows:
            return 0
        plans = [_Plan(store.transfer_of(row), open_details(bank.keyring, row["id"], row["details"])) for row in rows]
        await _carry_out(tx, bank, plans)
        return len(plans)

    return await bank.db.run(actor, work)


async def _carry_out(tx: Tx, bank: Interbank, plans: Sequence[_Plan]) -> None:
    terms = bank.terms(tx.actor.environment)
    numbers = {number for plan in plans for number in (plan.details.debtor_account, plan.details.creditor_account)}
    known = await accounts.accounts_by_number(tx, sorted(numbers - {""}))
    for plan in plans:
        plan.rejection = _decide(plan, known, terms)
    going = [plan for plan in plans if plan.rejection is None]
    clearing: dict[str, accounts.Account] = {}
    for code in sorted({plan.transfer.currency for plan in going if plan.route is Route.CLEARING}):
        clearing[code] = await accounts.system_account(
            tx, accounts.SystemAccount.CREDIT_CLEARING, Currency.historic(code)
        )
    opened = await transactions.open_movements(tx, [_movement(tx, plan, clearing) for plan in going])
    for plan, moved in zip(going, opened, strict=True):
        if moved.transaction.failure is not None:
            plan.rejection = _FAILURES.get(
                moved.transaction.failure, Rejection("AG07", moved.transaction.failure.replace("_", " "))
            )
        else:
            plan.moved = moved
    held = [plan for plan in going if plan.moved is not None and plan.route is Route.CLEARING]
    confirmed = await transactions.confirm_all(tx, [plan.moved for plan in held if plan.moved is not None])
    for plan, moved in zip(held, confirmed, strict=True):
        plan.moved = moved
    message_ids: dict[str, str] = {}
    if held:
        assert terms is not None, "without a clearing system nothing is held for it"
        message_ids = await _submit(tx, bank, terms, held)
    after = [_after(tx, plan, message_ids.get(plan.transfer.id)) for plan in plans]
    await store.move_all(tx, after, ask_at=tx.now + timedelta(seconds=bank.ask_after_seconds))
    await store.release_claims(tx, [one.id for one in after if one.status is TransferStatus.REJECTED])
    for transfer in after:
        if transfer.status is not TransferStatus.SUBMITTED:
            tell(tx, transfer)


def _decide(plan: _Plan, known: Mapping[str, accounts.Account], terms: Terms | None) -> Rejection | None:
    """Find the accounts and the way of a transfer, or why it is refused."""
    transfer, details = plan.transfer, plan.details
    plan.debtor = known.get(details.debtor_account)
    refused = _check_account(plan.debtor, transfer.currency, ("AC02", "AC06", "AC05"), "debtor")
    if refused is not None:
        return refused
    own = terms is not None and bool(details.creditor_agent) and same_bic(details.creditor_agent, terms.bic)
    creditor = known.get(details.creditor_account)
    if creditor is not None and (own or not details.creditor_agent):
        if plan.debtor is not None and creditor.id == plan.debtor.id:
            return Rejection("AC03", "debtor and creditor have the same account")
        plan.creditor = creditor
        return _check_account(creditor, transfer.currency, ("AC03", "AC06", "AC07"), "creditor")
    if own or terms is None:
        return Rejection("AC03", "there is no such account here")
    return _check_clearing(plan, terms)


def _check_account(
    account: accounts.Account | None, currency: str, codes: tuple[str, str, str], whose: str
) -> Rejection | None:
    missing, suspended, closed = codes
    if account is None:
        return Rejection(missing, f"there is no such account of the {whose}")
    if account.status is accounts.AccountStatus.SUSPENDED:
        return Rejection(suspended, f"the account of the {whose} is suspended")
    if account.status is accounts.AccountStatus.CLOSED:
        return Rejection(closed, f"the account of the {whose} is closed")
    if account.currency != currency:
        return Rejection("AM03", f"the account of the {whose} is in {account.currency}")
    return None


def _check_clearing(plan: _Plan, terms: Terms) -> Rejection | None:
    details = plan.details
    if plan.transfer.currency not in terms.currencies:
        return Rejection("AM03", f"{terms.name} does not clear {plan.transfer.currency}")
    if not details.creditor_account:
        return Rejection("AC03", "the creditor's account is missing")
    if _IBAN_LIKE.match(details.creditor_account) and iban_fault(details.creditor_account) is not None:
        # A clearing system would refuse the whole message for it.
        return Rejection("AC03", "the creditor's IBAN is wrong")
    if not details.creditor_name:
        return Rejection("BE22", "the creditor's name is missing")
    plan.agent = details.creditor_agent
    if not plan.agent:
        bank = kz_bank_of_iban(details.creditor_account)
        plan.agent = (kz_bic_of_bank(bank) if bank is not None else None) or ""
        if not plan.agent:
            return Rejection("RC04", "the creditor's bank is missing, and does not follow from the account")
    return None


def _movement(tx: Tx, plan: _Plan, clearing: Mapping[str, accounts.Account]) -> transactions.Movement:
    transfer = plan.transfer
    assert plan.debtor is not None, "who has no account was refused"
    creditor = plan.creditor or clearing[transfer.currency]
    return transactions.Movement(
        kind=transactions.TransactionKind.CREDIT_TRANSFER,
        debit_account=plan.debtor.id,
        credit_account=creditor.id,
        amount=transfer.money,
        transfer_id=derived_number(tx.actor.book, "credit transfer", transfer.id),
        hold=plan.route is Route.CLEARING,
        source=f"credit_transfer/{transfer.id}",
        reference=transfer.end_to_end_id,
    )


async def _submit(tx: Tx, bank: Interbank, terms: Terms, held: Sequence[_Plan]) -> dict[str, str]:
    """Queue messages for held transfers; returns the message's row by transfer."""
    by_currency: dict[str, list[_Plan]] = {}
    for plan in held:
        by_currency.setdefault(plan.transfer.currency, []).append(plan)
    rows: dict[str, str] = {}
    for plans in by_currency.values():
        for start in range(0, len(plans), terms.transactions_per_message):
            part = plans[start : start + terms.transactions_per_message]
            row_id = new_id(messages.PREFIX)
            written = credit_transfer(
                terms,
                row_id,
                [(plan.transfer, plan.details, plan.agent) for plan in part],
                day=bank.today(tx.now),
                now=tx.now,
            )
            await queue_message(tx, bank, terms, row_id, written, related_id=plans[0].transfer.payment_file_id)
            store.add_steps(tx, row_id, written.definition, [(plan.transfer.id, "submitted", "") for plan in part])
            rows |= {plan.transfer.id: row_id for plan in part}
    return rows


async def queue_message(
    tx: Tx, bank: Interbank, terms: Terms, row_id: str, written: Written, *, related_id: str | None
) -> None:
    """Keep a message to the clearing system; the sender takes it from there."""
    await messages.keep(
        tx,
        bank.keyring,
        messages.NewMessage(
            content=written.content,
            direction=messages.Direction.OUT,
            party=messages.Party.CLEARING,
            definition=written.definition,
            message_id=written.message_id,
            business_id=written.message_id,
            sender=terms.bic,
            receiver=terms.clearing_bic,
            related_id=related_id,
            status=messages.MessageStatus.QUEUED,
        ),
        message_row_id=row_id,
    )


def _after(tx: Tx, plan: _Plan, message_id: str | None) -> CreditTransfer:
    transfer = plan.transfer
    changes: dict[str, object] = {"version": transfer.version + 1, "updated_at": tx.now}
    if plan.debtor is not None:
        changes["debtor_account"] = plan.debtor.id
    if plan.rejection is not None:
        changes |= {
            "status": transfer.status.to(TransferStatus.REJECTED),
            "reason": plan.rejection.reason,
            "reason_text": plan.rejection.text,
        }
        return msgspec.structs.replace(transfer, **changes)
    assert plan.moved is not None, "what was not refused has moved"
    changes |= {"route": plan.route, "transaction_id": plan.moved.transaction.id}
    if plan.creditor is not None:
        changes |= {
            "status": transfer.status.to(TransferStatus.SETTLED),
            "creditor_account": plan.creditor.id,
            "settled_at": tx.now,
        }
    else:
        changes |= {"status": transfer.status.to(TransferStatus.SUBMITTED), "message_id": message_id}
    return msgspec.structs.replace(transfer, **changes)
