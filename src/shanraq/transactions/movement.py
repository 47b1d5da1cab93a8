"""The steps of a money movement inside a transaction of the database, for the verbs here and in the modules above.

open_held -> confirm -> execute_held | release ; open_held -> fail ; move_now ; take_back. Those with `_all` do many at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import msgspec

from shanraq import audit, events, ledger
from shanraq.core.db import Tx
from shanraq.core.ids import derived_number, new_id, number_of
from shanraq.core.money import Money
from shanraq.transactions import store
from shanraq.transactions.errors import AmountAboveHoldError, HoldExpiredError, ReversalRefusedError
from shanraq.transactions.model import (
    FAILURES,
    LEDGER_CODES,
    PREFIX,
    LedgerCode,
    Transaction,
    TransactionKind,
    TransactionStatus,
)
from shanraq.transactions.store import Stored


@dataclass(frozen=True, slots=True)
class Movement:
    """A movement to open: `transfer_id` is the ledger's id, derived from the caller's idempotency key.

    `hold` reserves the money first; `hold_seconds` 0 means that the hold ends only when it is resolved.
    """

    kind: TransactionKind
    debit_account: str
    credit_account: str
    amount: Money
    transfer_id: int
    hold: bool = False
    hold_seconds: int = 0
    source: str = ""
    reference: str = ""
    description: str = ""
    metadata: dict[str, str] = field(default_factory=dict)
    request_id: str | None = None


async def open_movements(tx: Tx, movements: Sequence[Movement]) -> list[Stored]:
    """Open movements in one ledger batch, in order; each result stands in its transaction's status.

    Without `hold` it is executed or failed; with `hold` it is created (its money is held) or failed. A transfer id that the
    ledger knows gives the transaction of that time again. The caller has checked accounts and currencies.
    """
    ids = [new_id(PREFIX) for _ in movements]
    transfers = [_transfer(movement, id_) for movement, id_ in zip(movements, ids, strict=True)]
    results = await ledger.post(tx, transfers)
    known = [
        movement.transfer_id
        for movement, result in zip(movements, results, strict=True)
        if result.status not in FAILURES and result.status is not ledger.TransferStatus.CREATED
    ]
    replayed = await store.of_transfers(tx, (await ledger.transfers(tx, known)).values()) if known else {}
    opened: list[Stored] = []
    fresh: list[Stored] = []
    for movement, id_, result in zip(movements, ids, results, strict=True):
        if movement.transfer_id in replayed:
            opened.append(replayed[movement.transfer_id])
            continue
        stored = _opened(tx, movement, id_, result.status)
        opened.append(stored)
        fresh.append(stored)
        tell(tx, stored.transaction, "created", movement.request_id)
        if stored.transaction.status is not TransactionStatus.CREATED:
            tell(tx, stored.transaction, stored.transaction.status.value, movement.request_id)
    if fresh:
        store.insert(tx, fresh)
    return opened


async def confirm(tx: Tx, held: Stored, *, request_id: str | None = None) -> Stored:
    """Call a held movement authorised."""
    after = await store.move(tx, held, TransactionStatus.AUTHORIZED)
    tell(tx, after.transaction, "authorized", request_id)
    return after


async def confirm_all(tx: Tx, held: Sequence[Stored]) -> list[Stored]:
    """Call held movements authorised, all in one statement."""
    after = [_moved(tx, stored, TransactionStatus.AUTHORIZED, hold_id=stored.hold_id) for stored in held]
    await store.move_all(tx, list(zip(held, after, strict=True)))
    for stored in after:
        tell(tx, stored.transaction, "authorized")
    return after


async def execute_all(tx: Tx, held: Sequence[Stored]) -> list[Stored]:
    """Execute held movements whole, in one ledger batch; the transfers' ids derive from the holds'.

    Raises HoldExpiredError.
    """
    posts = [
        ledger.Transfer(
            id=derived_number(_hold_of(stored), "post"),
            amount=stored.transaction.amount,
            pending_id=_hold_of(stored),
            flags=ledger.TransferFlags.POST_PENDING_TRANSFER,
        )
        for stored in held
    ]
    for result in await ledger.post(tx, posts):
        _check_resolution(result.status)
    after = [
        _moved(tx, stored, TransactionStatus.EXECUTED, transfer_id=post.id)
        for stored, post in zip(held, posts, strict=True)
    ]
    await store.move_all(tx, list(zip(held, after, strict=True)))
    for stored in after:
        tell(tx, stored.transaction, "executed")
    return after


async def release_all(tx: Tx, held: Sequence[tuple[Stored, str]]) -> list[Stored]:
    """Roll authorised movements back, each for a reason, in one ledger batch: their money is free again."""
    voids = [
        ledger.Transfer(
            id=derived_number(_hold_of(stored), "void"),
            pending_id=_hold_of(stored),
            flags=ledger.TransferFlags.VOID_PENDING_TRANSFER,
        )
        for stored, _ in held
    ]
    for result in await ledger.post(tx, voids):
        _check_resolution(result.status)
    after = [_moved(tx, stored, TransactionStatus.ROLLED_BACK, failure=failure) for stored, failure in held]
    await store.move_all(tx, list(zip([stored for stored, _ in held], after, strict=True)))
    for stored in after:
        tell(tx, stored.transaction, "rolled_back")
    return after


def _hold_of(stored: Stored) -> int:
    assert stored.hold_id is not None, "only held money can be executed or released"
    return stored.hold_id


def _moved(
    tx: Tx,
    before: Stored,
    status: TransactionStatus,
    *,
    failure: str | None = None,
    hold_id: int | None = None,
    transfer_id: int | None = None,
) -> Stored:
    transaction = before.transaction
    after = msgspec.structs.replace(
        transaction,
        status=transaction.status.to(status),
        failure=failure,
        version=transaction.version + 1,
        updated_at=tx.now,
    )
    return Stored(after, hold_id, transfer_id)


async def reduce_hold(tx: Tx, held: Stored, amount: Money) -> Stored:
    """Hold less than before: the hold is exchanged for a smaller one, both or neither."""
    assert Money(0, amount.currency) < amount < held.transaction.money
    return await _exchange(tx, held, derived_number(_hold_of(held), "reduced"), amount)


async def _exchange(tx: Tx, held: Stored, hold_id: int, amount: Money) -> Stored:
    transaction = held.transaction
    void = ledger.Transfer(
        id=derived_number(_hold_of(held), "void"),
        pending_id=_hold_of(held),
        flags=ledger.TransferFlags.VOID_PENDING_TRANSFER | ledger.TransferFlags.LINKED,
    )
    other = Movement(
        kind=transaction.kind,
        debit_account=transaction.debit_account,
        credit_account=transaction.credit_account,
        amount=amount,
        transfer_id=hold_id,
        hold=True,
    )
    results = await ledger.post(tx, [void, _transfer(other, transaction.id)])
    assert all(result.status is ledger.TransferStatus.CREATED for result in results), results
    return await store.exchange_hold(tx, held, hold_id, amount)


async def raise_hold(tx: Tx, held: Stored, amount: Money) -> Stored:
    """Hold more than before: the hold is exchanged for a larger one, both or neither.

    For money that comes in: what a larger hold reserves must be sure to be there.
    """
    assert held.transaction.money < amount
    return await _exchange(tx, held, derived_number(_hold_of(held), "raised"), amount)


async def fail(tx: Tx, held: Stored, failure: str) -> Stored:
    """Give a held movement up before it was authorised: its money is free again."""
    await _void(tx, held)
    after = await store.move(tx, held, TransactionStatus.FAILED, failure=failure, hold_id=None)
    tell(tx, after.transaction, "failed")
    return after


async def release(tx: Tx, held: Stored, failure: str | None = None) -> Stored:
    """Roll an authorised movement back: its money is free again."""
    await _void(tx, held)
    after = await store.move(tx, held, TransactionStatus.ROLLED_BACK, failure=failure, hold_id=None)
    tell(tx, after.transaction, "rolled_back")
    return after


async def execute_held(
    tx: Tx, held: Stored, transfer_id: int, amount: Money | None = None, *, keep_rest: bool = False
) -> tuple[Stored, Stored | None]:
    """Move held money: all of it, or `amount` of it; the rest is freed, or with `keep_rest` held by a new transaction.

    Returns the executed transaction and that new one. Raises AmountAboveHoldError, HoldExpiredError.
    """
    transaction = held.transaction
    moved = transaction.money if amount is None else amount
    rest = transaction.money - moved
    if rest.minor < 0:
        raise AmountAboveHoldError(field="amount")
    assert held.hold_id is not None, "only held money can be executed"
    post = ledger.Transfer(
        id=transfer_id,
        amount=moved.minor,
        pending_id=held.hold_id,
        flags=ledger.TransferFlags.POST_PENDING_TRANSFER,
    )
    if not (keep_rest and rest):
        (result,) = await ledger.post(tx, [post])
        _check_resolution(result.status)
        after = await _executed(tx, held, transfer_id, moved)
        return after, None
    movement = Movement(
        kind=transaction.kind,
        debit_account=transaction.debit_account,
        credit_account=transaction.credit_account,
        amount=rest,
        transfer_id=derived_number(transfer_id, "rest"),
        hold=True,
        source=transaction.source,
        reference=transaction.reference,
        description=transaction.description,
        metadata=transaction.metadata,
    )
    rest_id = new_id(PREFIX)
    linked = msgspec.structs.replace(post, flags=post.flags | ledger.TransferFlags.LINKED)
    results = await ledger.post(tx, [linked, _transfer(movement, rest_id)])
    _check_resolution(results[0].status)
    assert results[1].status is ledger.TransferStatus.CREATED, results[1]
    after = await _executed(tx, held, transfer_id, moved)
    remaining = _opened(tx, movement, rest_id, results[1].status)
    store.insert(tx, [remaining])
    tell(tx, remaining.transaction, "created")
    return after, await confirm(tx, remaining)


async def take_back(tx: Tx, executed: Stored, transfer_id: int) -> Stored:
    """Roll an executed movement back by its opposite. Raises ReversalRefusedError when the money is gone."""
    transaction = executed.transaction
    after_status = transaction.status.to(TransactionStatus.ROLLED_BACK)
    (result,) = await ledger.post(
        tx,
        [
            ledger.Transfer(
                id=transfer_id,
                debit_account_id=number_of("acc", transaction.credit_account),
                credit_account_id=number_of("acc", transaction.debit_account),
                amount=transaction.amount,
                ledger=transaction.money.currency.number,
                code=LedgerCode.REVERSAL,
                user_data_128=transaction.number,
            )
        ],
    )
    if result.status in FAILURES:
        raise ReversalRefusedError(f"the ledger answers {FAILURES[result.status]}")
    assert result.status in (ledger.TransferStatus.CREATED, ledger.TransferStatus.EXISTS), result
    after = await store.move(tx, executed, after_status)
    tell(tx, after.transaction, "rolled_back")
    return after


def _transfer(movement: Movement, transaction_id: str) -> ledger.Transfer:
    return ledger.Transfer(
        id=movement.transfer_id,
        debit_account_id=number_of("acc", movement.debit_account, field="debit_account"),
        credit_account_id=number_of("acc", movement.credit_account, field="credit_account"),
        amount=movement.amount.minor,
        user_data_128=number_of(PREFIX, transaction_id),
        timeout_seconds=movement.hold_seconds if movement.hold else 0,
        ledger=movement.amount.currency.number,
        code=LEDGER_CODES[movement.kind],
        flags=ledger.TransferFlags.PENDING if movement.hold else ledger.TransferFlags(0),
    )


def _opened(tx: Tx, movement: Movement, transaction_id: str, answer: ledger.TransferStatus) -> Stored:
    status, failure = TransactionStatus.EXECUTED, None
    if answer in FAILURES:
        status, failure = TransactionStatus.FAILED, FAILURES[answer]
    else:
        assert answer is ledger.TransferStatus.CREATED, f"the ledger refused a well-formed transfer: {answer!r}"
        if movement.hold:
            status = TransactionStatus.CREATED
    transaction = Transaction(
        id=transaction_id,
        kind=movement.kind,
        source=movement.source,
        debit_account=movement.debit_account,
        credit_account=movement.credit_account,
        amount=movement.amount.minor,
        currency=movement.amount.currency.code,
        status=status,
        failure=failure,
        reference=movement.reference,
        description=movement.description,
        metadata=movement.metadata,
        expires_at=tx.now + timedelta(seconds=movement.hold_seconds)
        if movement.hold and movement.hold_seconds
        else None,
        version=1,
        created_at=tx.now,
        updated_at=tx.now,
    )
    match status:
        case TransactionStatus.CREATED:
            return Stored(transaction, hold_id=movement.transfer_id)
        case TransactionStatus.EXECUTED:
            return Stored(transaction, transfer_id=movement.transfer_id)
        case _:
            return Stored(transaction)


async def _executed(tx: Tx, held: Stored, transfer_id: int, moved: Money) -> Stored:
    after = await store.move(
        tx, held, TransactionStatus.EXECUTED, amount=moved.minor, hold_id=None, transfer_id=transfer_id
    )
    tell(tx, after.transaction, "executed")
    return after


async def _void(tx: Tx, held: Stored) -> None:
    assert held.hold_id is not None, "only held money can be released"
    (result,) = await ledger.post(
        tx,
        [
            ledger.Transfer(
                id=derived_number(held.hold_id, "void"),
                pending_id=held.hold_id,
                flags=ledger.TransferFlags.VOID_PENDING_TRANSFER,
            )
        ],
    )
    _check_resolution(result.status)


def _check_resolution(status: ledger.TransferStatus) -> None:
    if status is ledger.TransferStatus.PENDING_TRANSFER_EXPIRED:
        raise HoldExpiredError
    # The row of the transaction is locked and open, so nobody else resolved its hold.
    assert status in (ledger.TransferStatus.CREATED, ledger.TransferStatus.EXISTS), status


def tell(tx: Tx, transaction: Transaction, what: str, request_id: str | None = None) -> None:
    """Emit the event and the audit entry of a step."""
    events.emit(
        tx, events.Event(f"transaction.{what}", f"transaction/{transaction.id}", transaction), request_id=request_id
    )
    audit.record(
        tx,
        f"transaction.{what}",
        transaction.id,
        {"amount": transaction.amount, "currency": transaction.currency, "source": transaction.source},
        request_id=request_id,
    )
