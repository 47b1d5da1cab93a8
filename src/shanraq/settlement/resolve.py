"""Resolve exceptions: one operator proposes, another approves; what is decided is posted in the same transaction."""

from __future__ import annotations

from dataclasses import dataclass

from shanraq import accounts, audit, partners, payments, transactions
from shanraq.accounts import SystemAccount
from shanraq.core.actor import Actor, Environment
from shanraq.core.db import Database, Tx
from shanraq.core.ids import derived_number
from shanraq.core.money import Currency, Money
from shanraq.settlement import store
from shanraq.settlement.complete import has_ended, tell_if_complete
from shanraq.settlement.errors import (
    ExceptionDecidedError,
    ResolutionIncompleteError,
    ResolutionRefusedError,
    SameOperatorError,
)
from shanraq.settlement.match import OF_AN_OPERATION
from shanraq.settlement.model import (
    ExceptionKind,
    ExceptionStatus,
    NewResolution,
    OperationSide,
    ResolutionAction,
    SettlementException,
)
from shanraq.settlement.port import LineKind
from shanraq.settlement.postings import account_of, post_lines, write_off
from shanraq.settlement.settle import number_of_exception

_WITH_MONEY = frozenset(
    {
        ExceptionKind.MISSING_HERE,
        ExceptionKind.MISSING_THERE,
        ExceptionKind.AMOUNT_DIFFERS,
        ExceptionKind.CURRENCY_DIFFERS,
        ExceptionKind.DUPLICATE_LINE,
        ExceptionKind.STATUS_DIFFERS,
        ExceptionKind.NET_DIFFERS,
    }
)


@dataclass(frozen=True, slots=True)
class _Locked:
    """An exception whose row is locked, with what only we need."""

    exception: SettlementException
    partner_id: str
    book: int
    terms: dict[str, str]


async def propose(db: Database, actor: Actor, exception_id: str, new: NewResolution) -> SettlementException:
    """Say how an exception is to be resolved. `link` is done at once; what moves or forgets money waits for another operator.

    Raises SettlementExceptionNotFoundError, ExceptionDecidedError, ResolutionIncompleteError, ResolutionRefusedError,
    CardDataInTextError.
    """
    actor.require(partners.SETTLE)
    payments.refuse_card_numbers(reason=new.reason)

    async def work(tx: Tx) -> SettlementException:
        locked = _Locked(*await store.load_exception(tx, exception_id, lock=True))
        exception = locked.exception
        if exception.status is not ExceptionStatus.OPEN:
            raise ExceptionDecidedError(f"it is {exception.status}", field="exception_id")
        terms = {
            name: value
            for name, value in (("operation_id", new.operation_id), ("account_id", new.account_id))
            if value is not None
        }
        if new.action is ResolutionAction.LINK:
            await _link(tx, exception, new.operation_id)
            status, decided_by = ExceptionStatus.RESOLVED, actor.id
        else:
            await _check(tx, locked, new)
            status, decided_by = ExceptionStatus.PROPOSED, None
        saved = await store.save_exception(
            tx,
            exception,
            status,
            action=new.action,
            reason=new.reason,
            terms=terms,
            proposed_by=actor.id,
            decided_by=decided_by,
        )
        what = "linked" if new.action is ResolutionAction.LINK else "proposed"
        audit.record(tx, f"settlement.resolution_{what}", exception.id, {"action": new.action, "reason": new.reason})
        return saved

    return await db.run(actor, work)


async def approve(db: Database, actor: Actor, exception_id: str) -> SettlementException:
    """Carry out what another operator proposed, in one transaction with its postings.

    Raises SettlementExceptionNotFoundError, ExceptionDecidedError, SameOperatorError, ResolutionRefusedError (an account cannot
    pay, or is closed).
    """
    actor.require(partners.SETTLE)
    async with db.begin(actor) as tx:
        seen = _Locked(*await store.load_exception(tx, exception_id))
        owner = await _owner(tx, seen)
        of_day = seen.exception
        ended = await has_ended(tx, of_day.environment, of_day.adapter, of_day.day)
    acting = actor if owner is None else actor.acting_for(owner[0], seen.exception.environment, owner[1])

    if seen.exception.line is not None and owner is not None and not seen.partner_id:
        line_id = seen.exception.line

        # A line of nobody gets its owner first: the transaction that posts it sees rows of this partner only.
        async def own(tx: Tx) -> None:
            _check_proposed(_Locked(*await store.load_exception(tx, exception_id, lock=True)).exception, actor)
            await store.give(tx, exception_id, line_id, owner[0], owner[1])

        await db.run(actor, own)

    async def work(tx: Tx) -> SettlementException:
        if owner is not None:
            await store.lock_partner(tx)
        locked = _Locked(*await store.load_exception(tx, exception_id, lock=True))
        exception = locked.exception
        _check_proposed(exception, actor)
        action = ResolutionAction(exception.action)
        if action is not ResolutionAction.IGNORE:
            await _carry_out(tx, locked, action)
        saved = await store.save_exception(
            tx,
            exception,
            ExceptionStatus.RESOLVED,
            action=action,
            reason=exception.reason,
            terms=locked.terms,
            proposed_by=exception.proposed_by,
            decided_by=actor.id,
        )
        audit.record(tx, "settlement.resolution_approved", exception.id, {"action": action, "reason": exception.reason})
        if ended and owner is not None:
            await tell_if_complete(tx, exception.adapter, exception.day)
        return saved

    return await db.run(acting, work)


async def reject(db: Database, actor: Actor, exception_id: str) -> SettlementException:
    """Send a proposal back: the exception is open again. Raises SettlementExceptionNotFoundError, ExceptionDecidedError."""
    actor.require(partners.SETTLE)

    async def work(tx: Tx) -> SettlementException:
        locked = _Locked(*await store.load_exception(tx, exception_id, lock=True))
        if locked.exception.status is not ExceptionStatus.PROPOSED:
            raise ExceptionDecidedError(f"it is {locked.exception.status}", field="exception_id")
        saved = await store.save_exception(
            tx,
            locked.exception,
            ExceptionStatus.OPEN,
            action="",
            reason="",
            terms={},
            proposed_by=None,
            decided_by=None,
        )
        audit.record(tx, "settlement.resolution_rejected", exception_id, {"action": locked.exception.action})
        return saved

    return await db.run(actor, work)


def _check_proposed(exception: SettlementException, actor: Actor) -> None:
    if exception.status is not ExceptionStatus.PROPOSED:
        raise ExceptionDecidedError(f"it is {exception.status}", field="exception_id")
    if exception.proposed_by == actor.id:
        raise SameOperatorError(field="exception_id")


async def _link(tx: Tx, exception: SettlementException, operation_id: str | None) -> None:
    if operation_id is None:
        raise ResolutionIncompleteError("is needed to link", field="operation_id")
    if exception.kind is not ExceptionKind.MISSING_HERE or exception.line is None:
        raise ResolutionRefusedError("only a line without an operation can be linked to one", field="action")
    line = await store.load_line(tx, exception.line, lock=True)
    found = await store.candidates(tx, exception.environment, exception.adapter, [operation_id], (), ())
    if not found:
        raise ResolutionRefusedError("there is no such operation at this payment system", field="operation_id")
    side = found[0]
    if line.kind in OF_AN_OPERATION and side.kind is not line.kind:
        raise ResolutionRefusedError(f"a {line.kind} settles no such operation", field="operation_id")
    settles = side.id if line.kind in OF_AN_OPERATION else None
    # The worker judges it as if it had found the operation itself: what differs then is an exception of its own.
    await store.assign(tx, [(line.id, side.partner_id, side.book, side.payment_id, settles)])


async def _check(tx: Tx, locked: _Locked, new: NewResolution) -> None:
    if new.action is ResolutionAction.IGNORE:
        return
    kind = locked.exception.kind
    if kind not in _WITH_MONEY:
        raise ResolutionRefusedError(f"nothing is to be posted for {kind}: ignore it", field="action")
    if not locked.partner_id:
        if new.account_id is None:
            raise ResolutionIncompleteError(
                "is needed: nobody's line is posted in the books of one", field="account_id"
            )
        if await store.owner_of_account(tx, new.account_id, locked.exception.environment) is None:
            raise ResolutionRefusedError("there is no such account", field="account_id")
    elif new.account_id is not None:
        raise ResolutionRefusedError("is that of the payment", field="account_id")


async def _owner(tx: Tx, locked: _Locked) -> tuple[str, int] | None:
    """Return partner and book in which a resolution is posted, None if nothing is."""
    if locked.partner_id:
        return locked.partner_id, locked.book
    account_id = locked.terms.get("account_id")
    if account_id is None or locked.exception.action == ResolutionAction.IGNORE:
        return None
    return await store.owner_of_account(tx, account_id, locked.exception.environment)


async def _carry_out(tx: Tx, locked: _Locked, action: ResolutionAction) -> None:
    exception = locked.exception
    environment: Environment = exception.environment
    line = await store.load_line(tx, exception.line, lock=True) if exception.line is not None else None
    side: OperationSide | None = None
    if exception.operation_id is not None:
        side = (await store.candidates(tx, environment, exception.adapter, [exception.operation_id], (), ()))[0]
    if exception.kind is ExceptionKind.DUPLICATE_LINE:
        # The operation is settled by another line: this one has nothing on our side.
        side = None
    if side is not None and await store.settled_operations(tx, [side.id]):
        if line is None:
            raise ExceptionDecidedError("it was settled meanwhile", field="exception_id")
        side = None
    left: dict[tuple[SystemAccount, str], int] = {}
    if side is not None:
        left[SystemAccount.CARD_CLEARING, side.currency] = side.gross
    if line is not None:
        if line.posted_at is None:
            await post_lines(tx, [line])
        off = account_of(line)
        # A line of fees takes nothing off an account that anything of ours stands on.
        if line.kind is not LineKind.FEE:
            key = off, line.currency
            left[key] = left.get(key, 0) - (line.net + line.fees)
        settles = side is not None and side.status == "succeeded" and not side.voided
        await store.mark(tx, [(line.id, line.state, settles, True)])
        if side is not None and settles:
            await store.clear(tx, [ExceptionKind.MISSING_THERE], operations=[side.id])
    for (off, currency), amount in left.items():
        if amount:
            await _take_off(tx, locked, action, off, amount, currency)


async def _take_off(
    tx: Tx,
    locked: _Locked,
    action: ResolutionAction,
    off: SystemAccount,
    amount: int,
    currency: str,
) -> None:
    """Take what is left on an account off it: as a cost or gain of ours, or at the charge or favour of an account."""
    exception = locked.exception
    if action is ResolutionAction.WRITE_OFF:
        about = number_of_exception(exception)
        await write_off(tx, exception.id, about, off, amount, currency, f"{off} {currency}")
        return
    account_id = locked.terms.get("account_id") or await store.account_of_payment(tx, exception.payment_id or "")
    found = (await accounts.load_accounts(tx, [account_id or ""])).get(account_id or "")
    if found is None:
        raise ResolutionRefusedError("there is no account to post to: write it off", field="action")
    money = Money(abs(amount), Currency.historic(currency))
    accounts.check_account(found, money, field="account_id")
    system = await accounts.system_account(tx, off, money.currency)
    pair = (found.id, system.id) if amount > 0 else (system.id, found.id)
    (moved,) = await transactions.open_movements(
        tx,
        [
            transactions.Movement(
                kind=transactions.TransactionKind.SETTLEMENT_ADJUSTMENT,
                debit_account=pair[0],
                credit_account=pair[1],
                amount=money,
                transfer_id=derived_number("settlement adjustment", exception.id, f"{off} {currency}"),
                source=f"settlement/{exception.id}",
                description=exception.reason,
            )
        ],
    )
    if moved.transaction.failure is not None:
        raise ResolutionRefusedError(f"the account cannot: {moved.transaction.failure}", field="account_id")
