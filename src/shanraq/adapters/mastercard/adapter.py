"""Mastercard over the Mastercard Gateway (MPGS) REST-JSON API, version 100."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Final

from shanraq.adapters.endpoints import Endpoints
from shanraq.adapters.mastercard import history, notices, replies, statement, threeds
from shanraq.adapters.mastercard.codes import NO_REVIEW_CALL, UNREACHABLE
from shanraq.adapters.mastercard.gateway import Gateway, MastercardConfiguration
from shanraq.adapters.mastercard.replies import Expected, Undecided
from shanraq.adapters.mastercard.requests import (
    Charge,
    Sent,
    authentication_of,
    initiation_of,
    request_of,
    undo_id,
    void_of,
)
from shanraq.adapters.mastercard.vault import Sessions, Tokens
from shanraq.core.http import HttpError
from shanraq.payments.adapter import (
    Approved,
    Authenticate,
    Authentication,
    Authorize,
    Capture,
    Credit,
    Declined,
    DeviceCollection,
    Finding,
    Increment,
    InReview,
    Lost,
    NotAuthenticated,
    NotFound,
    Notice,
    NotProcessed,
    OperationKind,
    Outcome,
    Refund,
    Reverse,
    Reviewed,
    StartAuthentication,
    Unknown,
    Verify,
    Void,
)
from shanraq.settlement.port import DisputeNotice, SettlementReport

Clock = Callable[[], datetime]

# A locked order is free again as soon as the other operation on it has its answer.
_BUSY_DELAYS_SECONDS: Final = (0.05, 0.1, 0.2, 0.4, 0.8)
_VOID_ATTEMPTS: Final = 3


def _now() -> datetime:
    return datetime.now(UTC)


class MastercardAdapter:
    """The payments port over the Mastercard Gateway.

    The order is our payment and the transaction our operation, so every request is idempotent for ever and can be read back
    by ids of our own. `gateway_id` of an outcome is therefore the id of the operation. A request whose answer is missing is
    never sent again by itself; one that the gateway did not process because it was busy is, within the deadline.
    """

    name = "mastercard"

    def __init__(self, configuration: MastercardConfiguration, endpoints: Endpoints, *, clock: Clock = _now) -> None:
        self._configuration = configuration
        self._gateway = Gateway(configuration, endpoints)
        self._clock = clock
        # There is no index that lags; what was sent may be carried out until our own deadline is over, and a while after.
        self.settled_after = timedelta(seconds=configuration.timeout_seconds + configuration.settle_seconds)
        self._undecided_for = timedelta(seconds=configuration.undecided_seconds)
        self.tokens = Tokens(self._gateway)
        self.sessions = Sessions(self._gateway)

    def __repr__(self) -> str:
        return f"MastercardAdapter({self._gateway!r})"

    @property
    def available(self) -> bool:
        """Tell whether a command would be sent now: False while every circuit breaker is open."""
        return self._gateway.available

    async def authorize(self, command: Authorize) -> Outcome:
        """Authorise (AUTHORIZE), or with `capture` sell (PAY)."""
        return await self._carry_out(command)

    async def charge(self, command: Charge) -> Outcome:
        """Authorise or sell from a token or a session."""
        return await self._carry_out(command)

    async def capture(self, command: Capture) -> Outcome:
        """Capture an authorisation (CAPTURE)."""
        return await self._carry_out(command)

    async def refund(self, command: Refund) -> Outcome:
        """Refund a capture or a sale (REFUND)."""
        return await self._carry_out(command)

    async def void(self, command: Void) -> Outcome:
        """Void a capture, refund or sale that has not left for clearing (VOID)."""
        return await self._carry_out(command)

    async def reverse(self, command: Reverse) -> Outcome:
        """Release an authorisation (VOID of it)."""
        outcome = await self._carry_out(command)
        if isinstance(outcome, NotProcessed) and not outcome.retryable:
            order = await self._order(command.reference, command.operation_id)
            return (replies.released(order) if isinstance(order, replies.Order) else None) or outcome
        return outcome

    async def increment(self, command: Increment) -> Outcome:
        """Raise an authorisation to its new total (UPDATE_AUTHORIZATION)."""
        return await self._carry_out(command)

    async def credit(self, command: Credit) -> Outcome:
        """Pay to a card without an earlier payment (STANDALONE_REFUND)."""
        return await self._carry_out(command)

    async def verify(self, command: Verify) -> Outcome:
        """Check a card without money (VERIFY)."""
        return await self._carry_out(command)

    async def inquire(self, lost: Lost) -> Finding:
        """Read a lost operation back (RETRIEVE_TRANSACTION).

        What the gateway itself does not know stays Unknown for `undecided_seconds`; then it counts as not found, so that it is
        taken back: it may change later, and nobody can wait for that.
        """
        read = await self._find(lost)
        if isinstance(read, Undecided):
            too_long = self._clock() - lost.sent_at >= max(self._undecided_for, self.settled_after)
            return NotFound() if too_long else Unknown(f"inquiry: {read.detail}")
        if isinstance(read, Approved | InReview) and lost.kind in _TAKEN_BACK_BY_VOID:
            return await self._standing(lost, read)
        return read

    async def undo(self, lost: Lost) -> Finding:
        """Take a lost operation back by a void whose id is derived from the operation's: asking again repeats it."""
        match lost.kind:
            case OperationKind.VERIFY:
                return NotFound()
            case OperationKind.VOID | OperationKind.REVERSE | OperationKind.INCREMENT:
                read = await self._find(lost)
                if isinstance(read, NotFound | Declined):
                    return NotFound()
                return Unknown("undo: it cannot be taken back")
            case _:
                return await self._take_back(lost)

    async def start_authentication(self, command: StartAuthentication) -> DeviceCollection | NotAuthenticated | Unknown:
        """Begin (INITIATE_AUTHENTICATION)."""
        path = self._gateway.transaction(command.reference, command.authentication_id)
        try:
            answer = await self._gateway.put(
                "initiate_authentication", command.authentication_id, path, initiation_of(command)
            )
        except HttpError as error:
            return _not_reached(error)
        return threeds.started(self._configuration.merchant_id, command, answer.status, answer.content)

    async def authenticate(self, command: Authenticate) -> Authentication:
        """Ask the directory server (AUTHENTICATE_PAYER)."""
        path = self._gateway.transaction(command.reference, command.authentication_id)
        try:
            answer = await self._gateway.put(
                "authenticate_payer", command.authentication_id, path, authentication_of(command)
            )
        except HttpError as error:
            return _not_reached(error)
        return threeds.authenticated(self._configuration.merchant_id, command, answer.status, answer.content)

    async def complete_authentication(self, command: Authenticate, transaction_id: str) -> Authentication:
        """Read the result after the challenge (RETRIEVE_TRANSACTION)."""
        path = self._gateway.transaction(command.reference, command.authentication_id)
        try:
            answer = await self._gateway.get("authentication", transaction_id, path)
        except HttpError as error:
            return _not_reached(error)
        return threeds.authenticated(self._configuration.merchant_id, command, answer.status, answer.content)

    async def look_up_review(self, reviewed: Reviewed) -> Finding:
        """Ask what was decided of a payment under review."""
        read = await self._find(reviewed.lost)
        if isinstance(read, Undecided):
            return Unknown(f"review: {read.detail}")
        return read

    async def decide_review(self, reviewed: Reviewed, *, accept: bool, note: str) -> Finding | NotProcessed:
        """Refuse: the gateway documents no call for it, its Merchant Administration decides."""
        return NotProcessed(NO_REVIEW_CALL)

    def read_notice(self, headers: dict[str, str], body: bytes, *, now_ms: int) -> Notice | None:
        """Verify and read a notification; None without a notification secret in the settings."""
        secret = self._configuration.notification_secret
        if secret is None:
            return None
        return notices.read_notice(self._configuration.merchant_id, secret, headers, body)

    async def settlement(self, day: date) -> SettlementReport | None:
        """Return what was settled on a day, from the history or the acquirer's statement. Raises SettlementUnreadableError."""
        read = statement.settlement if self._configuration.statement else history.settlement
        return await read(self._gateway, self._configuration.merchant_id, day, self._clock())

    async def disputes(self, since: date, until: date) -> tuple[DisputeNotice, ...]:
        """Return the disputes of these days, from the history or the acquirer's. Raises SettlementUnreadableError."""
        read = statement.disputes if self._configuration.statement else history.disputes
        return await read(self._gateway, self._configuration.merchant_id, since, until)

    async def close_batch(self, acquirer_id: str, card_type: str, currency: str) -> history.Closed:
        """Close the open batch of an acquirer (CLOSE_BATCH), which settles what it holds."""
        return await history.close_batch(self._gateway, acquirer_id, card_type, currency)

    async def healthy(self) -> bool:
        """Tell whether the gateway operates and knows our credentials."""
        if not await self._gateway.operating():
            return False
        try:
            answer = await self._gateway.get("healthy", "", self._gateway.order("healthy"))
        except HttpError:
            return False
        return answer.status in (200, 400, 404)

    async def close(self) -> None:
        """Close the connections."""
        await self._gateway.close()

    async def _carry_out(self, command: Sent) -> Outcome:
        expected = Expected.of(self._configuration.merchant_id, command)
        body = request_of(command, self._configuration.notification_url)
        kind = type(command).__name__.lower()
        path = self._gateway.transaction(command.reference, command.operation_id)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._configuration.timeout_seconds
        delays = iter(_BUSY_DELAYS_SECONDS)
        while True:
            try:
                answer = await self._gateway.put(kind, command.operation_id, path, body, deadline - loop.time())
            except HttpError as error:
                return Unknown(error.error_code) if error.sent else NotProcessed(UNREACHABLE, retryable=True)
            outcome = replies.outcome_of(expected, answer.status, answer.content)
            if not isinstance(outcome, NotProcessed) or not outcome.retryable:
                return outcome
            # Not processed, says the gateway, and the same ids make the same request: it may be sent again.
            delay = next(delays, None)
            if delay is None or loop.time() + delay >= deadline:
                return outcome
            await asyncio.sleep(delay * (0.5 + secrets.randbelow(1000) / 1000))

    async def _find(self, lost: Lost) -> Finding | Undecided:
        path = self._gateway.transaction(lost.reference, lost.operation_id)
        try:
            answer = await self._gateway.get("inquire", lost.operation_id, path)
        except HttpError as error:
            return Unknown(f"inquiry: {error.error_code}")
        expected = Expected.of_lost(self._configuration.merchant_id, lost)
        return replies.found(expected, answer.status, answer.content)

    async def _standing(self, lost: Lost, read: Approved | InReview) -> Finding:
        """Tell whether an operation that was found still stands, or was taken back by a void of ours."""
        for attempt in range(1, _VOID_ATTEMPTS + 1):
            void = await self._void_of(lost, undo_id(lost.operation_id, attempt))
            match void:
                case NotFound():
                    return read
                case Approved():
                    return NotFound()
                case Unknown():
                    return void
                case Declined() | InReview() | Undecided():
                    continue
        return read

    async def _void_of(self, lost: Lost, void_id: str) -> Finding | Undecided:
        try:
            answer = await self._gateway.get(
                "inquire", lost.operation_id, self._gateway.transaction(lost.reference, void_id)
            )
        except HttpError as error:
            return Unknown(f"inquiry: {error.error_code}")
        expected = Expected.of_lost(self._configuration.merchant_id, lost)
        return replies.void_found(expected, void_id, answer.status, answer.content)

    async def _take_back(self, lost: Lost) -> Finding:
        expected = Expected.of_lost(self._configuration.merchant_id, lost)
        for attempt in range(1, _VOID_ATTEMPTS + 1):
            void_id = undo_id(lost.operation_id, attempt)
            path = self._gateway.transaction(lost.reference, void_id)
            try:
                answer = await self._gateway.put("undo", lost.operation_id, path, void_of(void_id, lost.operation_id))
            except HttpError as error:
                return Unknown(f"undo: {error.error_code}")
            match replies.voided(expected, void_id, answer.status, answer.content):
                case Approved():
                    return Approved(void_id, lost.amount)
                case Unknown(detail):
                    return Unknown(f"undo: {detail}")
                case NotProcessed(reason, retryable):
                    return Unknown(f"undo: {reason.gateway_reason}") if retryable else await self._not_voidable(lost)
                case Declined() | InReview() | Undecided():
                    # That void is on record without having worked, and would be answered so for ever: another id.
                    continue
        return Unknown("undo: the gateway does not void it")

    async def _not_voidable(self, lost: Lost) -> Finding:
        """Find out why there was nothing to void: never there, declined, taken back before, or there to stay."""
        read = await self._find(lost)
        match read:
            case NotFound() | Declined():
                return NotFound()
            case Undecided():
                # The gateway does not know what became of it, and has nothing to void: as far as it goes, it does not stand.
                return NotFound()
            case Unknown():
                return read
        order = await self._order(lost.reference, lost.operation_id)
        match order:
            case Unknown():
                return order
            case NotFound():
                return Unknown("undo: the transaction is there and its order is not")
        if replies.taken_back(order, lost.operation_id, lost.kind):
            return NotFound()
        return Unknown("undo: it stands and cannot be taken back")

    async def _order(self, reference: str, operation_id: str) -> replies.Order | NotFound | Unknown:
        try:
            answer = await self._gateway.get("order", operation_id, self._gateway.order(reference))
        except HttpError as error:
            return Unknown(f"order: {error.error_code}")
        return replies.order_of(self._configuration.merchant_id, reference, answer.status, answer.content)


_TAKEN_BACK_BY_VOID: Final = frozenset(
    {OperationKind.AUTHORIZE, OperationKind.CAPTURE, OperationKind.REFUND, OperationKind.CREDIT}
)


def _not_reached(error: HttpError) -> NotAuthenticated | Unknown:
    return Unknown(error.error_code) if error.sent else NotAuthenticated(UNREACHABLE)
