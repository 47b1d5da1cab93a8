"""Act on what a clearing system says: each message once, together with what it changes.

A message is kept, what it says is done, and the mailbox is advanced. For one owner that is one transaction; a message about
transfers of several partners needs one for each, and doing it again after a crash changes nothing: a status moves once, and
the money of a return moves under an id that follows from the transfer.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
import structlog

from shanraq import accounts, audit, events, messages, transactions
from shanraq.core.actor import Actor, Environment
from shanraq.core.db import Tx
from shanraq.core.ids import derived_number, text_of
from shanraq.core.money import Money
from shanraq.credit_transfers import store
from shanraq.credit_transfers.clearing import Arrived, Distrusted, Interbank
from shanraq.credit_transfers.model import (
    PREFIX,
    CreditTransfer,
    Recall,
    RecallStatus,
    Rejection,
    TransferStatus,
)
from shanraq.credit_transfers.news import News, Original, RecallNews, ReturnNews, StatusNews, read_news
from shanraq.credit_transfers.tell import tell

log = structlog.get_logger(__name__)

SETTLED_STATUSES: Final = frozenset({"ACSC", "ACCC"})
REJECTED_STATUSES: Final = frozenset({"RJCT", "CANC", "BLCK"})
_UNANSWERED: Final = dict.fromkeys(
    ("pacs.003", "pacs.008", "pacs.009", "pacs.010", "camt.056"),
    "money that comes in, or is asked back, is not taken here: a person has to answer",
)
_RECALL_ANSWERS: Final = {
    "ACCR": RecallStatus.ACCEPTED,
    "RJCR": RecallStatus.REJECTED,
    "PDCR": RecallStatus.PENDING,
}


@dataclass(frozen=True, slots=True)
class _Told:
    """News of one transfer."""

    transfer_id: str
    news: News


async def take_news(bank: Interbank, environment: Environment, *, wait_seconds: float = 0.0, limit: int = 100) -> int:
    """Read the mailbox of an environment's clearing system and act on it; returns how many messages there were.

    One process at a time reads a mailbox; another finds it taken and returns 0. Raises ClearingUnavailableError.
    """
    clearing = bank.clearings[environment]
    async with messages.reading(bank.db, environment, clearing.terms.name) as cursor:
        if cursor is None:
            return 0
        arrived = await clearing.fetch(cursor, limit=limit, wait_seconds=wait_seconds)
        for item in arrived:
            await apply_item(bank, environment, clearing.terms.name, item)
        return len(arrived)


async def apply_item(bank: Interbank, environment: Environment, clearing: str, item: Arrived | Distrusted) -> None:
    """Act on one message of the mailbox and advance it. A message that was acted on before only advances it."""
    if isinstance(item, Distrusted):
        log.error("clearing.distrusted", business_id=item.business_id, failure=item.failure)
        await _keep_only(bank, environment, clearing, item, failure=item.failure)
        return
    row_id = row_id_of(environment, item)
    async with bank.db.begin(messages.system(environment)) as tx:
        if await messages.is_settled(tx, row_id):
            await messages.advance(tx, environment, clearing, item.cursor)
            return
        news = read_news(item.definition, item.document)
        told, unknown = await _resolve(tx, environment, news)
    for original in unknown:
        log.error("clearing.no_original", business_id=item.business_id, message=original.message_id, uetr=original.uetr)
    owners: dict[Actor, list[_Told]] = defaultdict(list)
    for owner, one in told:
        owners[owner].append(one)
    if not owners:
        failure = "it names no transfer of ours" if news else _UNANSWERED.get(item.definition[:8], "")
        if failure:
            log.error("clearing.not_acted_on", business_id=item.business_id, definition=item.definition, why=failure)
        await _keep_only(bank, environment, clearing, item, failure=failure)
        return
    alone = len(owners) == 1
    for owner, ones in owners.items():

        async def work(tx: Tx, ones: list[_Told] = ones) -> None:
            related = await _tell_all(tx, row_id, item.definition, ones)
            if alone:
                await messages.keep(tx, bank.keyring, _message(item, related), message_row_id=row_id)
                await messages.mark_applied(tx, row_id)
                await messages.advance(tx, environment, clearing, item.cursor)

        await bank.db.run(owner, work)
    if not alone:
        await _keep_only(bank, environment, clearing, item, failure="")


def row_id_of(environment: Environment, item: Arrived | Distrusted) -> str:
    """Return the row of a message that came in: it follows from who sent it under which identifier."""
    if isinstance(item, Arrived):
        return text_of(messages.PREFIX, derived_number("message", environment, item.sender, item.business_id))
    return text_of(messages.PREFIX, derived_number("distrusted message", environment, item.cursor))


async def _keep_only(
    bank: Interbank, environment: Environment, clearing: str, item: Arrived | Distrusted, *, failure: str
) -> None:
    row_id = row_id_of(environment, item)

    async def work(tx: Tx) -> None:
        kept = await messages.keep_once(tx, bank.keyring, _message(item, None), message_row_id=row_id)
        if kept is not None and failure:
            await messages.mark_failed(tx, row_id, failure)
        elif kept is not None:
            await messages.mark_applied(tx, row_id)
        await messages.advance(tx, environment, clearing, item.cursor)

    await bank.db.run(messages.system(environment), work)


def _message(item: Arrived | Distrusted, related: str | None) -> messages.NewMessage:
    trusted = isinstance(item, Arrived)
    return messages.NewMessage(
        content=item.content,
        direction=messages.Direction.IN,
        party=messages.Party.CLEARING,
        definition=item.definition if isinstance(item, Arrived) else "",
        message_id=item.business_id,
        # What cannot be believed must not stand in the way of the real message with this identifier.
        business_id=item.business_id if trusted else f"distrusted {item.cursor}",
        sender=item.sender if isinstance(item, Arrived) else "",
        receiver=item.receiver if isinstance(item, Arrived) else "",
        related_id=related,
        status=messages.MessageStatus.RECEIVED,
    )


async def _resolve(
    tx: Tx, environment: Environment, news: Sequence[News]
) -> tuple[list[tuple[Actor, _Told]], list[Original]]:
    """Find the transfers that are meant. A status of a whole message is one of each of its transfers not named otherwise."""
    originals = [one.original for one in news]
    found = await store.resolve(
        tx,
        environment,
        [f"{PREFIX}_{one.transaction_id}" for one in originals if one.transaction_id],
        [one.uetr for one in originals if one.uetr],
        [f"{messages.PREFIX}_{one.message_id}" for one in originals if not one.transaction_id and not one.uetr],
    )
    by_id = {one.id: one for one in found}
    by_uetr = {one.uetr: one for one in found}
    told: list[tuple[Actor, _Told]] = []
    unknown: list[Original] = []
    named: set[str] = set()
    for one in news:
        original = one.original
        if original.transaction_id or original.uetr:
            owned = by_id.get(f"{PREFIX}_{original.transaction_id}") or by_uetr.get(original.uetr)
            meant = [] if owned is None else [owned]
        else:
            row_id = f"{messages.PREFIX}_{original.message_id}"
            meant = [each for each in found if each.message_id == row_id]
            if original.end_to_end_id:
                meant = [each for each in meant if each.end_to_end_id == original.end_to_end_id]
            elif any(each.id in named for each in meant) and isinstance(one, StatusNews):
                # The transfers are listed: the status of the group only sums them up.
                continue
        if not meant:
            unknown.append(original)
        for owned in meant:
            named.add(owned.id)
            told.append((owned.actor, _Told(owned.id, one)))
    return told, unknown


async def _tell_all(tx: Tx, row_id: str, definition: str, told: Sequence[_Told]) -> str | None:
    """Do what a message says of an owner's transfers; returns the message it belongs to."""
    locked = await store.lock(tx, [one.transfer_id for one in told])
    settled: list[CreditTransfer] = []
    rejected: list[tuple[CreditTransfer, Rejection]] = []
    noted: list[CreditTransfer] = []
    returned: list[tuple[CreditTransfer, ReturnNews]] = []
    steps: list[tuple[str, str, str]] = []
    seen: set[str] = set()
    for one in told:
        transfer = locked[one.transfer_id]
        match one.news:
            case StatusNews(_, status, reason, text):
                steps.append((transfer.id, status, reason))
                if transfer.id in seen:
                    continue
                seen.add(transfer.id)
                if transfer.status is not TransferStatus.SUBMITTED:
                    _check_agreement(transfer, status)
                elif status in SETTLED_STATUSES:
                    settled.append(transfer)
                elif status in REJECTED_STATUSES:
                    rejected.append(
                        (transfer, Rejection(reason or "NARR", text or f"the clearing system says {status}"))
                    )
                elif status != transfer.clearing_status:
                    noted.append(transfer)
                    locked[transfer.id] = msgspec.structs.replace(transfer, clearing_status=status)
            case ReturnNews() as news:
                steps.append((transfer.id, "RTND", news.reason))
                if transfer.status is TransferStatus.SUBMITTED and transfer.id not in seen:
                    # A return proves that it was settled, whatever message is still on its way.
                    settled.append(transfer)
                    seen.add(transfer.id)
                returned.append((transfer, news))
            case RecallNews(_, _, status, reason):
                steps.append((transfer.id, status, reason))
                await _answer_recalls(tx, transfer, status, reason)
    store.add_steps(tx, row_id, definition, steps)
    locked |= {one.id: one for one in await settle_all(tx, settled)}
    await reject_all(tx, rejected)
    await store.move_all(
        tx, [_next(tx, locked[one.id], clearing_status=locked[one.id].clearing_status) for one in noted]
    )
    for transfer, news in returned:
        await _return(tx, locked[transfer.id], news)
    return next((one.message_id for one in locked.values() if one.message_id), None)


def _check_agreement(transfer: CreditTransfer, status: str) -> None:
    settled = transfer.status in (TransferStatus.SETTLED, TransferStatus.RETURNED)
    if (status in SETTLED_STATUSES and not settled) or (status in REJECTED_STATUSES and settled):
        log.error("clearing.contradiction", transfer=transfer.id, ours=transfer.status, theirs=status)


async def settle_all(tx: Tx, transfers: Sequence[CreditTransfer]) -> list[CreditTransfer]:
    """Settle submitted transfers: their held money goes to the clearing account."""
    if not transfers:
        return []
    held = await transactions.lock_transactions(tx, [_transaction_of(one) for one in transfers])
    await transactions.execute_all(tx, [held[_transaction_of(one)] for one in transfers])
    after = [
        _next(tx, one, status=one.status.to(TransferStatus.SETTLED), clearing_status="ACSC", settled_at=tx.now)
        for one in transfers
    ]
    await store.move_all(tx, after)
    for one in after:
        tell(tx, one)
    return after


async def reject_all(tx: Tx, rejected: Sequence[tuple[CreditTransfer, Rejection]]) -> None:
    """Reject submitted transfers: their money is free again, and so are their identifiers."""
    if not rejected:
        return
    held = await transactions.lock_transactions(tx, [_transaction_of(one) for one, _ in rejected])
    await transactions.release_all(
        tx, [(held[_transaction_of(one)], f"rejected_{why.reason.lower()}") for one, why in rejected]
    )
    after = [
        _next(
            tx,
            one,
            status=one.status.to(TransferStatus.REJECTED),
            clearing_status="RJCT",
            reason=why.reason,
            reason_text=why.text[:105],
        )
        for one, why in rejected
    ]
    await store.move_all(tx, after)
    await store.release_claims(tx, [one.id for one in after])
    for one in after:
        tell(tx, one)


async def _return(tx: Tx, transfer: CreditTransfer, news: ReturnNews) -> None:
    """Bring the money of a settled transfer back to its debtor; a second return of it changes nothing."""
    if transfer.status is not TransferStatus.SETTLED:
        log.error("clearing.return_refused", transfer=transfer.id, status=transfer.status)
        return
    amount = news.amount
    if amount.currency != transfer.money.currency or not Money(0, amount.currency) < amount or transfer.money < amount:
        log.error("clearing.return_amount", transfer=transfer.id, amount=str(amount))
        return
    (moved,) = await transactions.open_movements(
        tx,
        [
            transactions.Movement(
                kind=transactions.TransactionKind.CREDIT_RETURN,
                debit_account=(
                    await accounts.system_account(tx, accounts.SystemAccount.CREDIT_CLEARING, amount.currency)
                ).id,
                credit_account=await _creditable(tx, transfer),
                amount=amount,
                transfer_id=derived_number(tx.actor.book, "credit return", transfer.id),
                source=f"credit_transfer/{transfer.id}",
                reference=transfer.end_to_end_id,
            )
        ],
    )
    assert moved.transaction.failure is None, "the clearing account may go below zero"
    after = _next(
        tx,
        transfer,
        status=transfer.status.to(TransferStatus.RETURNED),
        reason=news.reason,
        amount_returned=amount.minor,
        return_transaction_id=moved.transaction.id,
    )
    await store.move_all(tx, [after])
    tell(tx, after)


async def _creditable(tx: Tx, transfer: CreditTransfer) -> str:
    """Return the debtor's account, or, if it was closed meanwhile, the account of money without an owner."""
    assert transfer.debtor_account is not None, "a settled transfer has a debtor"
    found = await accounts.load_accounts(tx, [transfer.debtor_account])
    account = found[transfer.debtor_account]
    if account.status is not accounts.AccountStatus.CLOSED:
        return account.id
    log.error("clearing.return_unclaimed", transfer=transfer.id)
    return (await accounts.system_account(tx, accounts.SystemAccount.UNCLAIMED, account.money)).id


async def _answer_recalls(tx: Tx, transfer: CreditTransfer, status: str, reason: str) -> None:
    answer = _RECALL_ANSWERS.get(status)
    for recall in await store.recalls_of(tx, transfer.id, lock_open=True):
        if answer is not None and answer in recall.status.moves:
            await answer_recall(tx, recall, answer, reason)


async def answer_recall(tx: Tx, recall: Recall, answer: RecallStatus, reason: str) -> None:
    """Move a locked recall to what the other side said."""
    after = msgspec.structs.replace(
        recall,
        status=recall.status.to(answer),
        answer_reason=reason,
        version=recall.version + 1,
        updated_at=tx.now,
    )
    await store.move_recall(tx, after)
    events.emit(tx, events.Event("recall.answered", f"recall/{recall.id}", after))
    audit.record(tx, "recall.answered", recall.id, {"status": after.status, "reason": reason})


def _transaction_of(transfer: CreditTransfer) -> str:
    assert transfer.transaction_id is not None, "a submitted transfer holds money"
    return transfer.transaction_id


def _next(tx: Tx, transfer: CreditTransfer, **changes: object) -> CreditTransfer:
    return msgspec.structs.replace(transfer, version=transfer.version + 1, updated_at=tx.now, **changes)
