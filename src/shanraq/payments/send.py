"""Carry out one keyed request: write down what will be done, do it, write down what happened.

Transaction A claims the key, checks, reserves money and writes the operation as `sending`; the gateway is called outside any
transaction; transaction B settles by the outcome. A crash between A and B, or an answer that never came, is recovered.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import assert_never

import msgspec
import structlog

from shanraq.core import once
from shanraq.core.actor import Actor
from shanraq.core.crypto import Keyring
from shanraq.core.db import Database, Tx
from shanraq.core.errors import ShanraqError
from shanraq.core.together import Together
from shanraq.payments import store
from shanraq.payments.adapter import (
    Adapter,
    Authorize,
    Capture,
    Credit,
    Credits,
    ExtendedCommand,
    Increment,
    Increments,
    Outcome,
    Refund,
    Reverse,
    Unknown,
    Verifies,
    Verify,
    Void,
)
from shanraq.payments.failover import Attempt, Failover, settle_attempt
from shanraq.payments.model import Gateways, OperationStatus, Payment
from shanraq.payments.settle import settle
from shanraq.payments.store import StoredOperation
from shanraq.payments.texts import KEY_FIELD, refuse_card_numbers

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Acquiring:
    """What payments need: the database, the keys of the vault, the gateways, and how long an answer may take.

    After `recover_after` an operation without an outcome is taken up by recovery; it must exceed every adapter's deadline.
    No attempt at another gateway begins later than `attempts_within` after the payment was made.
    """

    db: Database
    keyring: Keyring
    gateways: Gateways
    recover_after: timedelta = timedelta(seconds=30)
    attempts_within: timedelta = timedelta(seconds=20)
    together: Together = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "together", Together(self.db))

    @property
    def failover(self) -> Failover:
        """Return what going on at another gateway needs."""
        return Failover(self.gateways, self.attempts_within, self.recover_after)


@dataclass(frozen=True, slots=True)
class Prepared:
    """An operation written down, and the command to send for it."""

    operation: StoredOperation
    command: ExtendedCommand


Prepare = Callable[[Tx], Awaitable[Prepared | Payment]]


async def carry_out(
    acquiring: Acquiring, actor: Actor, request: once.Request, prepare: Prepare, touches: Collection[str] = ()
) -> once.Given[Payment]:
    """Do what `prepare` writes down, once for this request; a Payment from `prepare` was decided without the gateway.

    `touches` are the ids of what was there before and changes, or is decided upon: two requests that touch the same never
    share a transaction (see core.together). Raises what `prepare` raises, CardDataInTextError for a key that is a card number,
    and the errors of core.once.
    """
    refuse_card_numbers(**{KEY_FIELD: request.key})

    async def open_(tx: Tx) -> Prepared | once.Given[Payment]:
        answer = await once.claim(tx, request)
        if answer is not None:
            return once.Given(msgspec.json.decode(answer, type=Payment), replayed=True)
        prepared = await prepare(tx)
        if isinstance(prepared, Payment):
            await once.finish(tx, request, msgspec.json.encode(prepared))
            return once.Given(prepared)
        return prepared

    try:
        opened = await acquiring.together.run(actor, {f"{request.operation} {request.key}", *touches}, open_)
    except once.KeyInUseError:
        return await _under_way(acquiring.db, actor, request)
    except ShanraqError as error:
        answer = await once.refuse(acquiring.db, actor, request, error)
        if answer is None:
            raise
        return once.Given(msgspec.json.decode(answer, type=Payment), replayed=True)
    if isinstance(opened, once.Given):
        return opened
    return once.Given(await _send_until_settled(acquiring, actor, opened))


async def _send_until_settled(acquiring: Acquiring, actor: Actor, prepared: Prepared) -> Payment:
    operation, command = prepared.operation, prepared.command
    while True:
        adapter = acquiring.gateways.named(operation.environment, operation.adapter)
        outcome = await send(adapter, command)
        write = partial(_settle, acquiring.failover, operation.operation.id, command, outcome)
        settled = await acquiring.together.run(actor, {operation.payment_id}, write)
        if isinstance(settled, Payment):
            return settled
        operation, command = settled.operation, settled.command


async def _settle(
    failover: Failover, operation_id: str, command: ExtendedCommand, outcome: Outcome, tx: Tx
) -> Payment | Attempt:
    if isinstance(command, Authorize | Credit):
        return await settle_attempt(tx, failover, command, outcome)
    return await settle(tx, operation_id, outcome)


async def send(adapter: Adapter, command: ExtendedCommand) -> Outcome:
    """Give a command to an adapter. An adapter that breaks has told nothing: Unknown."""
    try:
        match command:
            case Authorize():
                return await adapter.authorize(command)
            case Capture():
                return await adapter.capture(command)
            case Refund():
                return await adapter.refund(command)
            case Void():
                return await adapter.void(command)
            case Reverse():
                return await adapter.reverse(command)
            case Increment():
                assert isinstance(adapter, Increments), "checked before it was written down"
                return await adapter.increment(command)
            case Credit():
                assert isinstance(adapter, Credits), "checked before it was written down"
                return await adapter.credit(command)
            case Verify():
                assert isinstance(adapter, Verifies), "checked before"
                return await adapter.verify(command)
            case _:
                assert_never(command)
    except Exception:
        log.exception("payments.adapter_broke", adapter=adapter.name, operation=command.operation_id)
        return Unknown("the adapter failed")


async def _under_way(db: Database, actor: Actor, request: once.Request) -> once.Given[Payment]:
    """Answer a repeated request whose first one has no outcome yet: once that is known to be unknown, with the payment."""
    async with db.begin(actor) as tx:
        operation = await store.operation_by_key(tx, request.operation, request.key)
        if operation is None or operation.operation.status is OperationStatus.SENDING:
            raise once.KeyInUseError(field="Idempotency-Key")
        payment = await store.load_payment(tx, operation.payment_id)
    return once.Given(msgspec.structs.replace(payment.payment, operation=operation.operation), replayed=True)
