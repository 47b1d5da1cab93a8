"""Create transactions: move money between two accounts now, or hold it first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import asyncpg
import msgspec

from shanraq import accounts
from shanraq.core import once
from shanraq.core.actor import Actor
from shanraq.core.db import ContendedError, Database, Row, Tx
from shanraq.core.errors import InvalidInputError, ShanraqError
from shanraq.core.money import Money
from shanraq.transactions.errors import SameAccountError
from shanraq.transactions.model import (
    HOLD_LIMIT_SECONDS,
    NewTransaction,
    Transaction,
    TransactionKind,
    TransactionStatus,
)
from shanraq.transactions.movement import Movement, confirm, open_movements

OPERATION = "transactions.create"

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Transaction).decode


@dataclass(frozen=True, slots=True)
class Asked:
    """One caller's request in a batch."""

    request: once.Request
    new: NewTransaction
    request_id: str


Answer = once.Given[Transaction]


async def create_transaction(db: Database, actor: Actor, request: once.Request, new: NewTransaction) -> Answer:
    """Move money between two accounts, or hold it; the outcome, also a failure, is the transaction's status.

    Raises AccountNotFoundError, AccountNotActiveError, CurrencyMismatchError, SameAccountError, InvalidAmountError, and the
    errors of core.once.
    """
    (result,) = await create_transactions(db, actor, [Asked(request, new, actor.request_id)])
    if isinstance(result, ShanraqError):
        raise result
    return result


async def create_transactions(db: Database, actor: Actor, asked: Sequence[Asked]) -> list[Answer | ShanraqError]:
    """Create many in one database transaction, each as if alone: every caller gets an answer or a refusal of its own.

    All belong to `actor`. Keys that repeat within the batch are answered once.
    """
    actor.require("transactions:write")
    for attempt in (1, 2, 3):
        try:
            # Nearly every key is new. A known one cannot be stored again: the batch fails as a whole and begins anew.
            return await db.run(actor, partial(_create, asked=asked, look=attempt > 1))
        except asyncpg.UniqueViolationError as error:
            if attempt == 3:
                raise ContendedError from error
    raise AssertionError("unreachable")


async def _create(tx: Tx, asked: Sequence[Asked], *, look: bool) -> list[Answer | ShanraqError]:
    """Create; `look` says to ask for known keys first. Without it only what would be refused asks."""
    results: dict[int, Answer | ShanraqError] = {}
    first_of: dict[str, int] = {}
    repeats: dict[int, int] = {}
    for index, one in enumerate(asked):
        earlier = first_of.setdefault(one.request.key, index)
        if earlier != index:
            repeats[index] = earlier
    if look:
        results |= await _known(tx, {index: asked[index].request for index in first_of.values()})
    fresh = [index for index in first_of.values() if index not in results]
    movements = await _movements(tx, {index: asked[index] for index in fresh}, results)
    if not look and results:
        # What was answered once is answered the same way, although it would be refused today.
        known = await _known(tx, {index: asked[index].request for index in results})
        results |= known
        fresh = [index for index in fresh if index not in known]
    answered: list[tuple[once.Request, bytes]] = []
    if movements:
        opened = await open_movements(tx, list(movements.values()))
        for index, stored in zip(movements, opened, strict=True):
            if stored.transaction.status is TransactionStatus.CREATED:
                stored = await confirm(tx, stored, request_id=asked[index].request_id)
            results[index] = once.Given(stored.transaction)
            answered.append((asked[index].request, _encode(stored.transaction)))
    refused = [(asked[i].request, error) for i in fresh if isinstance(error := results[i], ShanraqError)]
    once.store(tx, answered, refused)
    for index, earlier in repeats.items():
        results[index] = _repeated(asked[index].request, asked[earlier].request, results[earlier])
    return [results[index] for index in range(len(asked))]


async def _known(tx: Tx, requests: dict[int, once.Request]) -> dict[int, Answer | ShanraqError]:
    rows = await once.lookup(tx, list(requests.values()))
    return {
        index: _answered(row, request)
        for (index, request), row in zip(requests.items(), rows, strict=True)
        if row is not None
    }


async def _movements(tx: Tx, asked: dict[int, Asked], results: dict[int, Answer | ShanraqError]) -> dict[int, Movement]:
    wanted = {account for one in asked.values() for account in (one.new.debit_account, one.new.credit_account)}
    found = await accounts.load_accounts(tx, sorted(wanted)) if wanted else {}
    movements: dict[int, Movement] = {}
    for index, one in asked.items():
        try:
            movements[index] = _movement(tx.actor, one, found)
        except ShanraqError as error:
            results[index] = error
    return movements


def _movement(actor: Actor, asked: Asked, found: dict[str, accounts.Account]) -> Movement:
    new = asked.new
    amount = Money.positive(new.amount, new.currency)
    if new.debit_account == new.credit_account:
        raise SameAccountError(field="credit_account")
    if new.hold and not 1 <= new.hold_seconds <= HOLD_LIMIT_SECONDS:
        raise InvalidInputError(f"must be 1 to {HOLD_LIMIT_SECONDS} seconds", field="hold_seconds")
    for field, account_id in (("debit_account", new.debit_account), ("credit_account", new.credit_account)):
        accounts.check_account(found.get(account_id), amount, field=field)
    return Movement(
        kind=TransactionKind.TRANSFER,
        debit_account=new.debit_account,
        credit_account=new.credit_account,
        amount=amount,
        transfer_id=asked.request.number(actor),
        hold=new.hold,
        hold_seconds=new.hold_seconds if new.hold else 0,
        reference=new.reference,
        description=new.description,
        metadata=new.metadata,
        request_id=asked.request_id,
    )


def _answered(row: Row, request: once.Request) -> Answer | ShanraqError:
    try:
        return once.Given(_decode(once.answer_of(row, request)), replayed=True)
    except ShanraqError as error:
        return error


def _repeated(request: once.Request, first: once.Request, result: Answer | ShanraqError) -> Answer | ShanraqError:
    if request.fingerprint != first.fingerprint:
        return once.KeyReusedError(field="Idempotency-Key")
    return result if isinstance(result, ShanraqError) else once.Given(result.value, replayed=True)
