"""Payments over a card host that speaks ISO 8583: authorise 0100, capture 0220, refund 0200, reverse 0400.

Every message is written down before it is sent. What gets no usable answer is never asked about again, as hosts have no such
question: an authorisation, sale or refund is taken back by a reversal advice (0420), an advice or reversal is repeated (0221,
0401), from a queue in the database that survives any crash, until the host has answered.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final, assert_never

import msgspec
import structlog

from shanraq.adapters.cardhost import codes, store, wire
from shanraq.adapters.cardhost.link import Link
from shanraq.adapters.cardhost.matching import NoAnswerError, NotSentError
from shanraq.adapters.cardhost.store import Exchange, Need, Queued, Status
from shanraq.core.actor import SYSTEM
from shanraq.core.crypto import Keyring
from shanraq.core.db import Database, Tx
from shanraq.core.money import Money
from shanraq.payments.adapter import (
    Approved,
    Authorize,
    Capture,
    Command,
    Declined,
    Finding,
    InReview,
    Lost,
    NotFound,
    NotProcessed,
    OperationKind,
    Outcome,
    Refund,
    Reverse,
    Unknown,
    Void,
)
from shanraq.standards.iso8583 import Iso8583Error, Message

log = structlog.get_logger(__name__)

_MARGIN: Final = timedelta(seconds=3)
_AGAIN_SECONDS: Final = (1.0, 60.0)
_OVERDUE_LIMIT: Final = 200
_KIND: Final[dict[type[Command], OperationKind]] = {
    Authorize: OperationKind.AUTHORIZE,
    Capture: OperationKind.CAPTURE,
    Refund: OperationKind.REFUND,
    Void: OperationKind.VOID,
    Reverse: OperationKind.REVERSE,
}
# Sent again as they are when their answer is lost: a completion or a reversal is not taken back, it is delivered.
_REPEATED: Final = frozenset((OperationKind.CAPTURE, OperationKind.VOID, OperationKind.REVERSE))


@dataclass(frozen=True, slots=True)
class CardHostConfiguration:
    """How an adapter behaves. `attempts` bounds how often a queued message is sent (0: until it is answered).

    Card numbers of settled payments are destroyed after `keep_cards`; they cannot be captured or refunded then.
    """

    name: str = "card_host"
    attempts: int = 0
    keep_cards: timedelta = timedelta(days=180)


@dataclass(frozen=True, slots=True)
class _Ready:
    """An exchange that was written down, and its message."""

    exchange: Exchange
    message: Message


class CardHostAdapter:
    """The payments port over an ISO 8583 link, safe in any number of processes: one at a time delivers the queue of a link."""

    def __init__(
        self, configuration: CardHostConfiguration, link: Link, wording: wire.Wording, db: Database, keyring: Keyring
    ) -> None:
        self.name = configuration.name
        self._configuration = configuration
        self._link = link
        self._wording = wording
        self._db = db
        self._keyring = keyring
        settings = link.configuration
        self._answer_after = timedelta(seconds=settings.timeout_seconds + settings.wait_seconds) + _MARGIN
        self.settled_after = self._answer_after
        link.on_late = self._late
        self._tasks: set[asyncio.Task[None]] = set()

    def __repr__(self) -> str:
        return f"CardHostAdapter({self._link})"

    @property
    def link(self) -> Link:
        """Return the link, for its status."""
        return self._link

    async def open(self) -> None:
        """Begin to keep the link up."""
        await self._link.open()

    async def backlog(self) -> store.Backlog:
        """Return how long the queue of this link is."""
        async with self._db.begin(SYSTEM) as tx:
            return await store.backlog(tx, self._name)

    async def authorize(self, command: Authorize) -> Outcome:
        """Authorise (0100), or with `capture` sell (0200)."""
        return await self._carry_out(command)

    async def capture(self, command: Capture) -> Outcome:
        """Complete an authorisation (0220)."""
        return await self._carry_out(command)

    async def refund(self, command: Refund) -> Outcome:
        """Refund a capture or a sale (0200, processing code 20)."""
        return await self._carry_out(command)

    async def void(self, command: Void) -> Outcome:
        """Reverse a capture, refund or sale (0400)."""
        return await self._carry_out(command)

    async def reverse(self, command: Reverse) -> Outcome:
        """Reverse an authorisation, or what captures left of it (0400, with DE95 then)."""
        return await self._carry_out(command)

    async def inquire(self, lost: Lost) -> Finding:
        """Tell what is known of an operation: from our own records, as a host cannot be asked."""
        async with self._db.begin(SYSTEM) as tx:
            exchange = await store.find_exchange(tx, lost.operation_id, lock=True)
            if exchange is None:
                return NotFound()
            if exchange.status is Status.SENDING and exchange.deadline_at < tx.now:
                await self._lose(tx, exchange)
                return Unknown("being taken care of")
        return self._finding(exchange)

    async def undo(self, lost: Lost) -> Finding:
        """Take a lost operation back: queue its reversal and try to deliver the queue at once."""
        async with self._db.begin(SYSTEM) as tx:
            exchange = await store.find_exchange(tx, lost.operation_id, lock=True)
            if exchange is None:
                # Who sends it at this very moment has written it down first: then it is not buried, but under way.
                return NotFound() if await self._bury(tx, lost) else Unknown("undo: it is under way")
            finding = self._finding(exchange)
            if exchange.status in (Status.ABSENT, Status.NOT_SENT):
                return NotFound()
            if exchange.status is Status.REVERSED:
                return Approved(exchange.gateway_id, exchange.amount)
            if exchange.status is Status.ANSWERED and not isinstance(finding, Approved):
                return NotFound()
            if exchange.kind in (OperationKind.VOID, OperationKind.REVERSE):
                if exchange.status is Status.SENDING:
                    await self._lose(tx, exchange)
                return Unknown("undo: it cannot be taken back")
            await self._take_back(tx, exchange)
        await self.forward()
        async with self._db.begin(SYSTEM) as tx:
            exchange = await store.find_exchange(tx, lost.operation_id)
        assert exchange is not None
        match exchange.status:
            case Status.REVERSED:
                return Approved(exchange.gateway_id, exchange.amount)
            case Status.ABSENT:
                return NotFound()
            case _:
                return Unknown("undo: the reversal waits to be delivered")

    async def healthy(self) -> bool:
        """Tell whether the host answers an echo test."""
        return await self._link.test()

    async def close(self) -> None:
        """Close the link; what is queued stays queued."""
        await self._link.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # One operation

    async def _carry_out(self, command: Command) -> Outcome:
        try:
            ready = await self._db.run(SYSTEM, lambda tx: self._write_down(tx, command))
        except Iso8583Error as error:
            log.error("card_host.unwritable", link=self._name, operation=command.operation_id, field=error.field)  # noqa: TRY400
            return NotProcessed(codes.UNWRITABLE)
        if not isinstance(ready, _Ready):
            return ready
        try:
            answer = await self._link.request(ready.message)
        except (NotSentError, Iso8583Error) as error:
            await self._db.run(SYSTEM, lambda tx: self._not_sent(tx, ready.exchange))
            log.warning("card_host.not_sent", link=self._name, operation=command.operation_id, reason=str(error))
            if isinstance(error, Iso8583Error):
                return NotProcessed(codes.UNWRITABLE)
            return NotProcessed(codes.UNREACHABLE, retryable=True)
        except NoAnswerError as error:
            return await self._without_answer(ready.exchange, str(error))
        refusal = wire.contradiction(ready.message, answer)
        code = wire.response_code(answer)
        if refusal or code in codes.UNDECIDED or not code:
            return await self._without_answer(ready.exchange, refusal or f"the host says {code or 'nothing'}")
        return await self._db.run(SYSTEM, lambda tx: self._settle(tx, ready, answer))

    async def _write_down(self, tx: Tx, command: Command) -> _Ready | Outcome:
        earlier = await store.find_exchange(tx, command.operation_id, lock=True)
        if earlier is not None and earlier.status is not Status.NOT_SENT:
            return self._earlier(earlier)
        if command.amount.minor >= wire.AMOUNT_LIMIT:
            return NotProcessed(codes.TOO_LARGE)
        stan = await store.next_trace(tx)
        at = tx.now
        if isinstance(command, Authorize):
            trace = wire.Trace(stan, wire.reference_number(stan, at), at)
            message = self._wording.authorize(command.amount, command.card, trace, sale=command.capture)
            target = None
        else:
            found = await store.find_by_gateway_id(tx, self._name, _target_of(command))
            refusal = self._refusal(command, found)
            if refusal is not None:
                return refusal
            assert found is not None
            target = found
            trace = wire.Trace(stan, target.rrn, at)
            message = await self._following(tx, command, target, trace)
        exchange = Exchange(
            operation_id=command.operation_id,
            link=self._name,
            reference=command.reference,
            kind=_KIND[type(command)],
            sale=isinstance(command, Authorize) and command.capture,
            final=isinstance(command, Capture) and command.final,
            amount=command.amount,
            rrn=trace.rrn,
            gateway_id=trace.gateway_id,
            target_id=target.operation_id if target is not None else None,
            request_sealed=self._sealed(command.operation_id, message),
            status=Status.SENDING,
            response_code="",
            approval_code="",
            approved=Money(0, command.amount.currency),
            deadline_at=at + self._answer_after,
            sent_at=at,
        )
        if not await store.insert_exchange(tx, exchange):
            return Unknown("the operation is under way")
        return _Ready(exchange, message)

    def _refusal(self, command: Command, target: Exchange | None) -> Outcome | None:
        if target is None or target.status not in (Status.ANSWERED, Status.REVERSED):
            return NotProcessed(codes.NO_SUCH_TARGET)
        if target.amount.currency != command.amount.currency or not isinstance(self._finding_of(target), Approved):
            return NotProcessed(codes.NO_SUCH_TARGET)
        if target.status is Status.REVERSED:
            return NotProcessed(codes.ALREADY_REVERSED)
        if target.request_sealed is None:
            return NotProcessed(codes.CARD_FORGOTTEN)
        return None

    async def _following(self, tx: Tx, command: Command, target: Exchange, trace: wire.Trace) -> Message:
        original = self._opened(target)
        match command:
            case Capture():
                return self._wording.capture(original, command.amount, target.approval_code, trace)
            case Refund():
                return self._wording.refund(original, command.amount, trace)
            case Void():
                return self._wording.reverse(original, target.approval_code, trace, left=None, advice=False)
            case Reverse():
                captured = await store.captured_minor(tx, target.operation_id)
                left = captured if captured and self._wording.partial_reversals else None
                return self._wording.reverse(original, target.approval_code, trace, left=left, advice=False)
            case Authorize():
                raise AssertionError("an authorisation follows nothing")
            case _:
                assert_never(command)

    def _earlier(self, earlier: Exchange) -> Outcome:
        """Answer a command that was given before."""
        match earlier.status:
            case Status.ANSWERED:
                return self._outcome(earlier)
            case Status.REVERSED | Status.ABSENT:
                return NotProcessed(codes.TAKEN_BACK)
            case _:
                return Unknown("the operation is under way")

    async def _settle(self, tx: Tx, ready: _Ready, answer: Message) -> Outcome:
        exchange = ready.exchange
        code = wire.response_code(answer)
        approval = answer.fields.get(38, "").strip()
        approved = wire.approved_amount(ready.message, answer, exchange.amount.currency)
        rrn = answer.fields.get(37, "").strip() or exchange.rrn
        if not await store.answered(tx, exchange.operation_id, code, approval, approved.minor, rrn):
            return Unknown("given up before the answer came")
        await store.supersede(tx, exchange.operation_id, Need.REVERSAL)
        settled = replace(
            exchange, status=Status.ANSWERED, response_code=code, approval_code=approval, approved=approved
        )
        await self._follow_up(tx, settled)
        return self._outcome(settled)

    async def _follow_up(self, tx: Tx, settled: Exchange) -> None:
        """Write down what an answered exchange changes beside itself."""
        if settled.target_id is None or not isinstance(self._outcome(settled), Approved):
            return
        if settled.kind in (OperationKind.VOID, OperationKind.REVERSE):
            await store.move(tx, settled.target_id, (Status.ANSWERED,), Status.REVERSED)
        elif settled.kind is OperationKind.CAPTURE and settled.final and self._wording.partial_reversals:
            authorization = await store.find_exchange(tx, settled.target_id, lock=True)
            assert authorization is not None
            captured = await store.captured_minor(tx, authorization.operation_id)
            if captured < authorization.approved.minor and authorization.request_sealed is not None:
                trace = wire.Trace(await store.next_trace(tx), authorization.rrn, tx.now)
                release = self._wording.reverse(
                    self._opened(authorization), authorization.approval_code, trace, left=captured, advice=True
                )
                await self._queue(tx, settled.operation_id, Need.RELEASE, release)

    async def _without_answer(self, exchange: Exchange, why: str) -> Unknown:
        log.warning(
            "card_host.no_answer", link=self._name, operation=exchange.operation_id, kind=exchange.kind, why=why
        )
        await self._db.run(SYSTEM, lambda tx: self._lose(tx, exchange))
        return Unknown(why)

    async def _not_sent(self, tx: Tx, exchange: Exchange) -> None:
        await store.move(tx, exchange.operation_id, (Status.SENDING,), Status.NOT_SENT)

    async def _lose(self, tx: Tx, exchange: Exchange) -> None:
        """Give up waiting for an answer, with what takes care of that in the queue."""
        if not await store.move(tx, exchange.operation_id, (Status.SENDING,), Status.LOST):
            return
        if exchange.kind in _REPEATED:
            await self._queue(tx, exchange.operation_id, Need.REPEAT, wire.repeated(self._opened(exchange)))
        else:
            await self._queue_reversal(tx, exchange)

    async def _take_back(self, tx: Tx, exchange: Exchange) -> None:
        await store.supersede(tx, exchange.operation_id, Need.REPEAT)
        await store.move(tx, exchange.operation_id, (Status.SENDING, Status.ANSWERED), Status.LOST)
        await self._queue_reversal(tx, exchange)

    async def _queue_reversal(self, tx: Tx, exchange: Exchange) -> None:
        if exchange.request_sealed is None:
            log.error("card_host.cannot_reverse", link=self._name, operation=exchange.operation_id)
            return
        trace = wire.Trace(await store.next_trace(tx), exchange.rrn, tx.now)
        reversal = self._wording.reverse(self._opened(exchange), exchange.approval_code, trace, left=None, advice=True)
        await self._queue(tx, exchange.operation_id, Need.REVERSAL, reversal)

    async def _queue(self, tx: Tx, operation_id: str, need: Need, message: Message) -> None:
        await store.enqueue(tx, self._name, operation_id, need, self._sealed(operation_id, message))

    async def _bury(self, tx: Tx, lost: Lost) -> bool:
        """Write down that an operation that never came here must not be sent any more; tell whether it never came."""
        return await store.insert_exchange(
            tx,
            Exchange(
                operation_id=lost.operation_id, link=self._name, reference=lost.reference, kind=lost.kind, sale=lost.sale,
                final=False, amount=lost.amount, rrn="", gateway_id=f"never {lost.operation_id}", target_id=None,
                request_sealed=None, status=Status.ABSENT, response_code="", approval_code="",
                approved=Money(0, lost.amount.currency), deadline_at=tx.now, sent_at=tx.now,
            ),
        )  # fmt: skip

    # Store and forward

    async def forward(self) -> int:
        """Give up on what nobody waits for any more, then deliver the queue in its order; returns how many were answered.

        Only one process at a time does it for a link, and only one message is under way. It ends when the queue is empty,
        its head is not due, or an answer does not come.
        """
        given_up = await self._db.run(SYSTEM, self._give_up_overdue)
        delivered = 0
        async with self._queue_of_link() as ours:
            while ours:
                async with self._db.begin(SYSTEM) as tx:
                    head = await store.head(tx, self._name)
                    if head is None or not head[1]:
                        break
                    queued = await self._renewed(tx, head[0]) if head[0].refused else head[0]
                    if not await store.attempt(tx, queued, _again(queued.attempts)):
                        continue
                if not await self._deliver(queued):
                    break
                delivered += 1
        return delivered + given_up

    async def forget(self) -> int:
        """Destroy card numbers that are kept for longer than they may be."""
        async with self._db.begin(SYSTEM) as tx:
            return await store.forget_cards(tx, tx.now - self._configuration.keep_cards)

    async def _give_up_overdue(self, tx: Tx) -> int:
        overdue = await store.overdue(tx, self._name, _OVERDUE_LIMIT)
        for exchange in overdue:
            await self._lose(tx, exchange)
        return len(overdue)

    @asynccontextmanager
    async def _queue_of_link(self) -> AsyncIterator[bool]:
        """Hold the queue of this link for us alone, or give False where another process has it."""
        async with self._db.connection() as connection:
            ours: bool = await connection.fetchval(
                "SELECT pg_try_advisory_lock(hashtextextended($1, 8583))", self._name
            )
            try:
                yield ours
            finally:
                if ours and not connection.is_closed():
                    await connection.execute("SELECT pg_advisory_unlock(hashtextextended($1, 8583))", self._name)

    async def _renewed(self, tx: Tx, queued: Queued) -> Queued:
        """Return a message that was refused before as a new one."""
        message = wire.kept_message(msgspec.json.decode(self._open(queued.operation_id, queued.message_sealed)))
        message = self._wording.renewed(message, await store.next_trace(tx), tx.now)
        return replace(queued, message_sealed=self._sealed(queued.operation_id, message))

    async def _deliver(self, queued: Queued) -> bool:
        """Send a queued message, as a repeat if it was sent before; tell whether it is out of the queue."""
        message = wire.kept_message(msgspec.json.decode(self._open(queued.operation_id, queued.message_sealed)))
        if queued.attempts and queued.kind is not Need.REPEAT:
            message = wire.repeated(message)
        limit = self._configuration.attempts
        try:
            answer = await self._link.request(message)
        except NotSentError as error:
            log.warning("card_host.queue_waits", link=self._name, queued=queued.id, reason=str(error))
            await self._db.run(SYSTEM, lambda tx: store.not_attempted(tx, queued.id))
            return False
        except NoAnswerError as error:
            log.warning(
                "card_host.queued_unanswered",
                link=self._name,
                queued=queued.id,
                attempts=queued.attempts + 1,
                reason=str(error),
            )
            if limit and queued.attempts + 1 >= limit:
                await self._db.run(SYSTEM, lambda tx: store.end(tx, queued.id, "given_up", ""))
            return False
        except Iso8583Error as error:
            log.error("card_host.queued_unwritable", link=self._name, queued=queued.id, field=error.field)  # noqa: TRY400
            await self._db.run(SYSTEM, lambda tx: store.end(tx, queued.id, "given_up", "unwritable"))
            return True
        return await self._db.run(SYSTEM, lambda tx: self._delivered(tx, queued, answer))

    async def _delivered(self, tx: Tx, queued: Queued, answer: Message) -> bool:
        code = wire.response_code(answer)
        if code in codes.PASSING or not code:
            log.warning("card_host.queued_refused_for_now", link=self._name, queued=queued.id, code=code)
            return False
        exchange = await store.find_exchange(tx, queued.operation_id, lock=True)
        assert exchange is not None
        done = code in codes.ACCEPTED or (code in codes.DUPLICATE and queued.attempts > 0)
        if queued.kind is Need.REPEAT:
            done = done or code in codes.DUPLICATE
            await self._repeat_answered(tx, exchange, _kept_code(code, done=done), answer)
        elif queued.kind is Need.REVERSAL and (done or code in codes.ABSENT):
            await store.move(tx, exchange.operation_id, (Status.LOST,), Status.REVERSED if done else Status.ABSENT)
        elif queued.kind is Need.REVERSAL or not (done or code in codes.ABSENT):
            log.error(
                "card_host.reversal_refused",
                link=self._name,
                queued=queued.id,
                operation=queued.operation_id,
                code=code,
            )
            return await store.end(tx, queued.id, "given_up", code)
        log.info(
            "card_host.delivered",
            link=self._name,
            queued=queued.id,
            operation=queued.operation_id,
            kind=queued.kind,
            code=code,
        )
        return await store.end(tx, queued.id, "answered", code)

    async def _repeat_answered(self, tx: Tx, exchange: Exchange, code: str, answer: Message) -> None:
        approval = answer.fields.get(38, "").strip()
        if not await store.answered(tx, exchange.operation_id, code, approval, exchange.amount.minor, exchange.rrn):
            return
        settled = replace(exchange, status=Status.ANSWERED, response_code=code, approved=exchange.amount)
        await self._follow_up(tx, settled)

    def _late(self, message: Message) -> None:
        code, gateway_id = wire.response_code(message), f"{message.fields.get(37, '')}-{message.fields.get(11, '')}"

        async def note() -> None:
            async with self._db.begin(SYSTEM) as tx:
                await store.late_answer(tx, self._name, gateway_id, code)

        task = asyncio.create_task(note(), name="late answer")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # What is known

    def _finding(self, exchange: Exchange) -> Finding:
        match exchange.status:
            case Status.ANSWERED:
                return self._finding_of(exchange)
            case Status.SENDING:
                return Unknown("under way")
            case Status.LOST:
                return Unknown("being taken care of")
            case Status.REVERSED | Status.ABSENT | Status.NOT_SENT:
                return NotFound()
            case _:
                assert_never(exchange.status)

    def _finding_of(self, exchange: Exchange) -> Finding:
        outcome = self._outcome(exchange)
        match outcome:
            case NotProcessed():
                return NotFound()
            case Approved() | Declined() | InReview() | Unknown():
                return outcome
            case _:
                assert_never(outcome)

    @staticmethod
    def _outcome(exchange: Exchange) -> Outcome:
        return wire.outcome_of(
            exchange.kind, exchange.response_code, exchange.gateway_id, exchange.approved, exchange.approval_code
        )

    # Sealing

    @property
    def _name(self) -> str:
        return self._link.configuration.name

    def _sealed(self, operation_id: str, message: Message) -> bytes:
        return self._keyring.seal(msgspec.json.encode(wire.keepable(message)), context=store.seal_context(operation_id))

    def _open(self, operation_id: str, sealed: bytes) -> bytes:
        return self._keyring.open(sealed, context=store.seal_context(operation_id))

    def _opened(self, exchange: Exchange) -> Message:
        assert exchange.request_sealed is not None
        return wire.kept_message(msgspec.json.decode(self._open(exchange.operation_id, exchange.request_sealed)))


def _kept_code(code: str, *, done: bool) -> str:
    """Return the code to keep for a repeated message: a duplicate of ours was taken, whatever the code for that is."""
    return "00" if done and code in codes.DUPLICATE else code


def _target_of(command: Capture | Refund | Void | Reverse) -> str:
    match command:
        case Capture() | Reverse():
            return command.authorization_id
        case Refund():
            return command.capture_id
        case Void():
            return command.target_id
        case _:
            assert_never(command)


def _again(attempts: int) -> timedelta:
    first, longest = _AGAIN_SECONDS
    return timedelta(seconds=min(first * 2 ** min(attempts, 10), longest))
