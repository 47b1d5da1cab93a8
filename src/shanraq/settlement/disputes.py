"""Disputes: receive them, keep the money where their stage says, answer them.

While a chargeback stands, its amount is taken from the account that the payment was paid to; when it is won it is given back.
The counterpart is the system account chargebacks, which settlement lines of chargebacks and representments balance.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec
import structlog

from shanraq import accounts, audit, events, payments, transactions
from shanraq.accounts import SystemAccount
from shanraq.core.actor import SYSTEM, Actor, Environment
from shanraq.core.crypto import Keyring
from shanraq.core.db import Database, Tx
from shanraq.core.ids import derived_number, new_id
from shanraq.core.money import Currency, Money
from shanraq.core.page import Page, PageRequest, page_of
from shanraq.core.reseal import Sealed
from shanraq.settlement import dispute_store, store
from shanraq.settlement.dispute_store import StoredDispute
from shanraq.settlement.errors import DisputeClosedError, DisputeOverdueError, EvidenceNotFoundError
from shanraq.settlement.model import (
    DISPUTE_PREFIX,
    Dispute,
    DisputeResponse,
    EvidenceItem,
    ExceptionKind,
    Representment,
    SettlementException,
    StoredLine,
)
from shanraq.settlement.port import DisputeNotice, DisputeStage
from shanraq.settlement.reasons import meaning_of

log = structlog.get_logger(__name__)

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_RANK: Final = {
    DisputeStage.ALERT: 0,
    DisputeStage.CHARGEBACK: 1,
    DisputeStage.PRE_ARBITRATION: 2,
    DisputeStage.ARBITRATION: 3,
}
_ENDS: Final = frozenset((DisputeStage.WON, DisputeStage.LOST))
_NO_MONEY: Final = frozenset((DisputeStage.ALERT, DisputeStage.WON))
_TRY_AGAIN: Final = timedelta(hours=1)


def _context(id_: str) -> str:
    return f"dispute/{id_}/evidence"


SEALED: Final = (Sealed("dispute", ("id",), "evidence", _context),)


async def receive(db: Database, environment: Environment, adapter: str, notices: Sequence[DisputeNotice]) -> int:
    """Take in what a payment system tells of disputes; return how many told something new.

    A notice is known by its dispute and stage. Those of no payment of ours are queued for a person.
    """
    new = 0
    async with db.begin(SYSTEM) as tx:
        owners = await dispute_store.owners(
            tx, environment, adapter, [one.reference for one in notices], [one.gateway_id for one in notices]
        )
    for notice in sorted(notices, key=lambda one: (one.opened_at, _RANK.get(one.stage, 9), one.dispute_id)):
        owner = owners.get(notice.reference) or owners.get(notice.gateway_id)
        if owner is None or not notice.amount.minor > 0:
            new += await db.run(SYSTEM, _strange(environment, adapter, notice, known=owner is not None))
            continue
        actor = SYSTEM.acting_for(owner.partner_id, environment, owner.book)
        new += await db.run(actor, _told(adapter, notice, owner))
    return new


def _strange(
    environment: Environment, adapter: str, notice: DisputeNotice, *, known: bool
) -> Callable[[Tx], Awaitable[int]]:
    async def work(tx: Tx) -> int:
        queued = await store.queue(
            tx,
            environment=environment,
            adapter=adapter,
            day=notice.opened_at.date(),
            kind=ExceptionKind.DISPUTE_UNKNOWN,
            subject=f"{notice.dispute_id}/{notice.stage}",
            amount_there=notice.amount.minor,
            currency=notice.amount.currency.code,
            details={
                "dispute_id": notice.dispute_id,
                "stage": notice.stage,
                "reference": notice.reference,
                "gateway_id": notice.gateway_id,
                "reason_code": notice.reason_code,
                "problem": "its amount is not above zero" if known else "no payment of ours",
            },
        )
        if queued is not None:
            log.warning("settlement.dispute_unknown", adapter=adapter, dispute=notice.dispute_id)
            audit.record(tx, "settlement.dispute_unknown", queued.id, {"dispute": notice.dispute_id})
        return queued is not None

    return work


def _told(adapter: str, notice: DisputeNotice, owner: dispute_store.Owner) -> Callable[[Tx], Awaitable[int]]:
    async def work(tx: Tx) -> int:
        await store.lock_partner(tx)
        dispute = await dispute_store.find(tx, adapter, notice.dispute_id)
        if dispute is None and notice.stage is not DisputeStage.ALERT:
            dispute = await dispute_store.adopt(tx, adapter, owner.payment_id)
        if dispute is None:
            dispute = await _open(tx, adapter, notice, owner)
            await dispute_store.insert_step(tx, dispute.dispute.id, notice, _key_of(notice))
            dispute = await _balance(tx, dispute)
            _tell(tx, "chargeback.received", dispute.dispute)
            return 1
        fresh = await dispute_store.insert_step(tx, dispute.dispute.id, notice, _key_of(notice))
        if not fresh and not dispute.adopted:
            return 0
        after = dispute.dispute
        if _moves_on(dispute.dispute.stage, notice.stage) or dispute.adopted:
            after = msgspec.structs.replace(
                dispute.dispute,
                dispute_id=notice.dispute_id,
                stage=notice.stage,
                amount=notice.amount.minor,
                reason_code=notice.reason_code,
                reason=notice.reason,
                meaning=meaning_of(notice.reason_code),
                opened_at=notice.opened_at,
                respond_by=notice.respond_by,
                # A later stage may be answered anew; what ended a stage leaves the answer to it.
                response=dispute.dispute.response if notice.stage in _ENDS else DisputeResponse.NONE,
            )
        dispute = await dispute_store.save(tx, dispute, after)
        dispute = await _balance(tx, dispute)
        _tell(tx, "chargeback.updated", dispute.dispute)
        return 1

    return work


def _key_of(notice: DisputeNotice) -> datetime:
    # A dispute can be won, go on, and be won again: only the ends of it are told apart by their time.
    return notice.opened_at if notice.stage in _ENDS else _EPOCH


def _moves_on(before: DisputeStage, after: DisputeStage) -> bool:
    """Tell whether a stage follows another; what is told late about an earlier stage changes nothing."""
    if after in _ENDS:
        return True
    return before in _ENDS or _RANK[after] > _RANK[before]


async def _open(tx: Tx, adapter: str, notice: DisputeNotice, owner: dispute_store.Owner) -> StoredDispute:
    _, environment = tx.actor.scope
    dispute = Dispute(
        id=new_id(DISPUTE_PREFIX),
        environment=environment,
        adapter=adapter,
        dispute_id=notice.dispute_id,
        payment_id=owner.payment_id,
        account_id=owner.account_id,
        stage=notice.stage,
        response=DisputeResponse.NONE,
        amount=notice.amount.minor,
        currency=notice.amount.currency.code,
        amount_taken=0,
        reason_code=notice.reason_code,
        reason=notice.reason,
        meaning=meaning_of(notice.reason_code),
        opened_at=notice.opened_at,
        respond_by=notice.respond_by,
        version=1,
        created_at=tx.now,
        updated_at=tx.now,
    )
    stored = StoredDispute(dispute)
    await dispute_store.insert(tx, stored)
    return stored


async def told_by_line(tx: Tx, line: StoredLine) -> None:
    """Open a dispute for a chargeback that a report settled before any notice told of it; its id comes with the notice."""
    assert line.payment_id is not None
    if await dispute_store.disputed(tx, line.payment_id):
        return
    owner = await dispute_store.owner_of(tx, line.payment_id)
    notice = DisputeNotice(
        dispute_id=f"line/{line.id}",
        stage=DisputeStage.CHARGEBACK,
        reference=line.reference,
        gateway_id=line.gateway_id,
        amount=Money(line.amount, Currency.historic(line.currency)),
        reason_code="",
        reason="",
        opened_at=tx.now,
    )
    dispute = await _open(tx, line.adapter, notice, owner)
    await dispute_store.insert_step(tx, dispute.dispute.id, notice, _EPOCH)
    dispute = await _balance(tx, dispute)
    _tell(tx, "chargeback.received", dispute.dispute)


async def _balance(tx: Tx, stored: StoredDispute) -> StoredDispute:
    """Take from the account, or give back to it, until what is taken is what the stage demands.

    Where the account cannot pay, the rest stays owed: it is tried again every hour, and a person is told.
    """
    dispute = stored.dispute
    wanted = 0 if dispute.stage in _NO_MONEY else dispute.amount
    difference = wanted - dispute.amount_taken
    if not difference:
        return await dispute_store.save_money(tx, stored, dispute.amount_taken, None)
    currency = Currency.historic(dispute.currency)
    account = (await accounts.load_accounts(tx, [dispute.account_id]))[dispute.account_id]
    problem = "" if account.currency == dispute.currency else f"the account is in {account.currency}"
    if account.status is not accounts.AccountStatus.ACTIVE:
        problem = f"the account is {account.status}"
    moves = stored.moves + 1
    if not problem:
        chargebacks = await accounts.system_account(tx, SystemAccount.CHARGEBACKS, currency)
        pair = (account.id, chargebacks.id) if difference > 0 else (chargebacks.id, account.id)
        (moved,) = await transactions.open_movements(
            tx,
            [
                transactions.Movement(
                    kind=transactions.TransactionKind.CHARGEBACK,
                    debit_account=pair[0],
                    credit_account=pair[1],
                    amount=Money(abs(difference), currency),
                    transfer_id=derived_number("dispute", dispute.id, moves),
                    source=f"dispute/{dispute.id}",
                )
            ],
        )
        problem = moved.transaction.failure or ""
    if problem:
        await _owed(tx, stored, difference, problem)
        return await dispute_store.save_money(tx, stored, dispute.amount_taken, tx.now + _TRY_AGAIN, moves=moves)
    audit.record(tx, "dispute.money_moved", dispute.id, {"amount": difference, "currency": dispute.currency})
    await store.clear_subject(tx, ExceptionKind.DISPUTE_UNPAID, dispute.environment, dispute.adapter, dispute.id)
    return await dispute_store.save_money(tx, stored, wanted, None, moves=moves)


async def _owed(tx: Tx, stored: StoredDispute, difference: int, problem: str) -> None:
    dispute = stored.dispute
    queued: SettlementException | None = await store.queue(
        tx,
        environment=dispute.environment,
        adapter=dispute.adapter,
        day=tx.now.date(),
        kind=ExceptionKind.DISPUTE_UNPAID,
        subject=dispute.id,
        payment_id=dispute.payment_id,
        amount_here=difference,
        currency=dispute.currency,
        details={"dispute": dispute.id, "problem": problem},
    )
    if queued is not None:
        audit.record(tx, "settlement.dispute_unpaid", queued.id, {"dispute": dispute.id, "problem": problem})
        events.emit(tx, events.Event("settlement.exception", f"settlement/{queued.id}", queued))


async def collect(db: Database, *, limit: int = 100) -> int:
    """Try again to move what disputes are owed; return how many were tried."""
    async with db.begin(SYSTEM) as tx:
        due = await dispute_store.take_owed(tx, limit, _TRY_AGAIN)
    for dispute_id, partner_id, environment, book in due:

        async def again(tx: Tx, dispute_id: str = dispute_id) -> None:
            await store.lock_partner(tx)
            before = await dispute_store.load(tx, dispute_id, lock=True)
            after = await _balance(tx, before)
            if after.dispute.amount_taken != before.dispute.amount_taken:
                _tell(tx, "chargeback.updated", after.dispute)

        await db.run(SYSTEM.acting_for(partner_id, environment, book), again)
    return len(due)


async def find_dispute(db: Database, actor: Actor, dispute_id: str) -> Dispute:
    """Return a dispute. Raises DisputeNotFoundError."""
    actor.require("disputes:read")
    async with db.begin(actor) as tx:
        return (await dispute_store.load(tx, dispute_id)).dispute


async def list_disputes(
    db: Database,
    actor: Actor,
    request: PageRequest,
    *,
    payment_id: str | None = None,
    stage: DisputeStage | None = None,
) -> Page[Dispute]:
    """Return disputes, newest first."""
    actor.require("disputes:read")
    async with db.begin(actor) as tx:
        rows = await dispute_store.page(
            tx, payment_id=payment_id, stage=stage, after=request.after, limit=request.limit
        )
    return page_of(rows, request, lambda one: one.id)


async def accept_dispute(db: Database, actor: Actor, dispute_id: str) -> Dispute:
    """Accept a dispute: it will not be fought, and what was taken stays taken. Safe to repeat.

    Raises DisputeNotFoundError, DisputeClosedError.
    """
    actor.require("disputes:write")

    async def work(tx: Tx) -> Dispute:
        stored = await dispute_store.load(tx, dispute_id, lock=True)
        if stored.dispute.response is DisputeResponse.ACCEPTED:
            return stored.dispute
        _check_open(stored.dispute)
        after = msgspec.structs.replace(stored.dispute, response=DisputeResponse.ACCEPTED)
        return (await _answered(tx, stored, after, "accepted")).dispute

    return await db.run(actor, work)


async def represent_dispute(
    db: Database, keyring: Keyring, actor: Actor, dispute_id: str, representment: Representment
) -> Dispute:
    """Fight a dispute with evidence, which is kept sealed. It can be replaced until the stage ends.

    Neither gateway documents a call for it: a person hands the exported file in. Raises DisputeNotFoundError,
    DisputeClosedError, DisputeOverdueError, CardDataInTextError.
    """
    actor.require("disputes:write")
    for number, item in enumerate(representment.evidence):
        payments.refuse_card_numbers(**{f"evidence.{number}.text": item.text})

    async def work(tx: Tx) -> Dispute:
        stored = await dispute_store.load(tx, dispute_id, lock=True)
        dispute = stored.dispute
        if dispute.response is not DisputeResponse.REPRESENTED:
            _check_open(dispute)
        elif dispute.stage in _ENDS:
            raise DisputeClosedError(f"it is {dispute.stage}", field="dispute_id")
        if dispute.respond_by is not None and tx.now > dispute.respond_by:
            raise DisputeOverdueError(f"an answer was due by {dispute.respond_by.isoformat()}", field="dispute_id")
        sealed = keyring.seal(msgspec.json.encode(representment), context=_context(dispute.id))
        after = msgspec.structs.replace(dispute, response=DisputeResponse.REPRESENTED)
        return (await _answered(tx, stored, after, "represented", sealed)).dispute

    return await db.run(actor, work)


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """What is handed in at the gateway for a representment: the dispute, the payment, and the partner's evidence."""

    dispute: Dispute
    evidence: list[EvidenceItem]
    exported_at: datetime


async def export_evidence(db: Database, keyring: Keyring, actor: Actor, dispute_id: str) -> Evidence:
    """Return the file that a person hands in. Raises DisputeNotFoundError, EvidenceNotFoundError."""
    actor.require("disputes:read")
    async with db.begin(actor) as tx:
        stored = await dispute_store.load(tx, dispute_id)
        if stored.evidence is None:
            raise EvidenceNotFoundError(field="dispute_id")
        plain = keyring.open(stored.evidence, context=_context(stored.dispute.id))
        audit.record(tx, "dispute.evidence_exported", stored.dispute.id)
        return Evidence(
            dispute=stored.dispute,
            evidence=msgspec.json.decode(plain, type=Representment).evidence,
            exported_at=tx.now,
        )


def _check_open(dispute: Dispute) -> None:
    if dispute.stage in _ENDS:
        raise DisputeClosedError(f"it is {dispute.stage}", field="dispute_id")
    if dispute.response is not DisputeResponse.NONE:
        raise DisputeClosedError(f"it was {dispute.response}", field="dispute_id")


async def _answered(
    tx: Tx, stored: StoredDispute, after: Dispute, what: str, evidence: bytes | None = None
) -> StoredDispute:
    saved = await dispute_store.save(tx, stored, after, evidence=evidence)
    audit.record(tx, f"dispute.{what}", after.id)
    _tell(tx, "chargeback.updated", saved.dispute)
    return saved


def _tell(tx: Tx, what: str, dispute: Dispute) -> None:
    events.emit(tx, events.Event(what, f"dispute/{dispute.id}", dispute))
    audit.record(
        tx, what, dispute.id, {"stage": dispute.stage, "amount": dispute.amount, "taken": dispute.amount_taken}
    )
