"""The operations on money, with the limits and reasons of the service.

Nothing protects a merchant from sending the same `transactionId` twice: both requests are carried out, as by the real
service. Only the timeout reversal and the timeout void look for it, newest first, and take each operation back once.
"""

from __future__ import annotations

import random
import string
from collections.abc import Callable, Collection
from datetime import UTC, datetime
from typing import assert_never

from shanraq.simulators.serve import Reply
from shanraq.simulators.visa.currency import MINOR_DIGITS
from shanraq.simulators.visa.model import (
    CAPTURABLE,
    HOLDING,
    JournalEntry,
    Kind,
    MaskedCard,
    Operation,
    Record,
    Refusal,
)
from shanraq.simulators.visa.render import operation_reply
from shanraq.simulators.visa.route import Route, Verb
from shanraq.simulators.visa.store import Store
from shanraq.simulators.visa.trigger import Decision, approved_amount, decide, failure, is_silent
from shanraq.simulators.visa.validate import Body, get, luhn_sum, read_amount, read_amount_of, read_card, require

_CODE = "clientReferenceInformation.code"
_TRANSACTION_ID = "clientReferenceInformation.transactionId"
_AMOUNT = "orderInformation.amountDetails.totalAmount"
_ADDITIONAL_AMOUNT = "orderInformation.amountDetails.additionalAmount"
_CURRENCY = "orderInformation.amountDetails.currency"
_REVERSAL_AMOUNT = "reversalInformation.amountDetails.totalAmount"
_REVERSAL_CURRENCY = "reversalInformation.amountDetails.currency"


class Gateway:
    """Carries out operations on a store; `keep` puts an entry into the journal and the store."""

    def __init__(
        self,
        store: Store,
        keep: Callable[[JournalEntry], None],
        clock: Callable[[], float],
        *,
        seed: int,
        taken_on_502: Collection[str],
    ) -> None:
        self._store = store
        self._keep = keep
        self._clock = clock
        self._random = random.Random(seed)  # noqa: S311 - a reproducible run, no secret
        self._taken_on_502 = frozenset(taken_on_502)

    def now(self) -> datetime:
        """Return the simulated time."""
        return datetime.fromtimestamp(self._clock() + self._store.clock_offset_seconds, UTC)

    def operate(self, merchant_id: str, route: Route, body: Body) -> Reply:
        """Carry out one operation; raises a Refusal."""
        match route.verb:
            case Verb.AUTHORIZE:
                return self._authorize(merchant_id, body)
            case Verb.INCREMENT:
                return self._increment(self._find(merchant_id, route, "INVALID_PAYMENT_ID"), body)
            case Verb.CAPTURE:
                return self._capture(self._find(merchant_id, route, "MISSING_AUTH"), body)
            case Verb.REFUND:
                return self._refund(self._find(merchant_id, route, "INVALID_DATA"), body)
            case Verb.CREDIT:
                return self._credit(merchant_id, body)
            case Verb.REVERSE:
                return self._reverse(self._find(merchant_id, route, "MISSING_AUTH"), body)
            case Verb.VOID:
                return self._void(self._find(merchant_id, route, "INVALID_DATA"), body)
            case Verb.TIMEOUT_REVERSE:
                return self._timeout_reverse(merchant_id, body)
            case Verb.TIMEOUT_VOID:
                return self._timeout_void(merchant_id, body)
            case Verb.SEARCH | Verb.GET_SEARCH | Verb.GET_TRANSACTION:
                raise AssertionError(f"{route.verb} moves no money")
            case _:
                assert_never(route.verb)

    def _find(self, merchant_id: str, route: Route, reason: str) -> Record:
        record = self._store.find(merchant_id, route.id)
        if record is None or record.operation.kind is not route.target:
            raise Refusal(reason, field="id", status=404)
        return record

    def _authorize(self, merchant_id: str, body: Body) -> Reply:
        require(body, _CODE)
        requested, currency = read_amount(body, _AMOUNT, _CURRENCY)
        card = read_card(body)
        digits = MINOR_DIGITS[currency]
        error = failure(requested, digits)
        if error and error not in self._taken_on_502:
            raise Refusal(error, status=502)
        decision = decide(card, str(get(body, "orderInformation.billTo.postalCode")), self.now(), credit=False)
        amount = approved_amount(requested, digits)
        if decision.reason is None and amount < requested:
            decision = Decision("PARTIAL_AUTHORIZED")
        _refuse_by_400(decision)
        record = self._record(
            Kind.AUTHORIZATION,
            merchant_id,
            body,
            requested=requested,
            amount=amount if decision.status in HOLDING else 0,
            currency=currency,
            decision=decision,
            card=card.masked,
            sale=get(body, "processingInformation.capture") is True,
        )
        if error:
            raise Refusal(error, status=502)
        reply = operation_reply(record, record)
        if is_silent(requested, digits):
            return Reply(reply.status, reply.body, reply.content_type, dropped=True)
        return reply

    def _credit(self, merchant_id: str, body: Body) -> Reply:
        require(body, _CODE)
        requested, currency = read_amount(body, _AMOUNT, _CURRENCY)
        if requested == 0:
            raise Refusal("INVALID_AMOUNT", field=_AMOUNT)
        card = read_card(body)
        decision = decide(card, str(get(body, "orderInformation.billTo.postalCode")), self.now(), credit=True)
        _refuse_by_400(decision)
        approved = decision.status == "AUTHORIZED"
        record = self._record(
            Kind.CREDIT,
            merchant_id,
            body,
            requested=requested,
            amount=requested if approved else 0,
            currency=currency,
            decision=Decision("PENDING") if approved else Decision("DECLINED", decision.reason),
            card=card.masked,
        )
        return operation_reply(record, record)

    def _increment(self, target: Record, body: Body) -> Reply:
        require(body, _CODE)
        amount = read_amount_of(target, body, _ADDITIONAL_AMOUNT, _CURRENCY)
        if target.operation.status != "AUTHORIZED" or target.operation.sale or target.uncaptured == 0:
            raise Refusal("INVALID_PAYMENT_ID", field="id")
        return self._follow(Kind.INCREMENT, target, body, amount, "AUTHORIZED")

    def _capture(self, target: Record, body: Body) -> Reply:
        require(body, _CODE)
        amount = read_amount_of(target, body, _AMOUNT, _CURRENCY)
        if target.operation.status not in CAPTURABLE:
            raise Refusal("MISSING_AUTH")
        if target.reversed and target.uncaptured == 0:
            raise Refusal("AUTH_ALREADY_REVERSED")
        if amount > target.uncaptured:
            raise Refusal("EXCEEDS_AUTH_AMOUNT", field=_AMOUNT)
        return self._follow(Kind.CAPTURE, target, body, amount, "PENDING")

    def _refund(self, target: Record, body: Body) -> Reply:
        require(body, _CODE)
        amount = read_amount_of(target, body, _AMOUNT, _CURRENCY)
        # A payment is refunded as such only when it was a sale; a separate capture is refunded under its own id.
        if not target.settles:
            raise Refusal("INVALID_DATA", field="id")
        if target.voided:
            raise Refusal("CAPTURE_ALREADY_VOIDED")
        if amount > target.operation.amount - target.refunded:
            raise Refusal("INVALID_AMOUNT", field=_AMOUNT)
        return self._follow(Kind.REFUND, target, body, amount, "PENDING")

    def _reverse(self, target: Record, body: Body) -> Reply:
        require(body, _CODE)
        amount = self._reversal_amount(target, body)
        _check_reversible(target)
        if amount > target.uncaptured:
            raise Refusal("INVALID_AMOUNT", field=_REVERSAL_AMOUNT)
        return self._follow(Kind.REVERSAL, target, body, amount, "REVERSED")

    def _timeout_reverse(self, merchant_id: str, body: Body) -> Reply:
        require(body, _CODE)
        transaction_id = require(body, _TRANSACTION_ID)
        sent = [
            record
            for record in reversed(self._store.with_transaction_id(merchant_id, transaction_id))
            if record.operation.kind is Kind.AUTHORIZATION
        ]
        if not sent:
            raise Refusal("MISSING_AUTH", field=_TRANSACTION_ID, status=404)
        target = next((record for record in sent if record.uncaptured > 0), sent[0])
        amount = self._reversal_amount(target, body)
        _check_reversible(target)
        # Who never saw the reply asks for what was requested; a partial approval held less.
        if amount == target.operation.requested:
            amount = target.uncaptured
        if amount > target.uncaptured:
            raise Refusal("INVALID_AMOUNT", field=_REVERSAL_AMOUNT)
        return self._follow(Kind.REVERSAL, target, body, amount, "REVERSED", by_timeout=True)

    def _reversal_amount(self, target: Record, body: Body) -> int:
        if get(body, _REVERSAL_CURRENCY) is None:
            # The official sample sends an amount without its currency.
            text = require(body, _REVERSAL_AMOUNT)
            details = {"totalAmount": text, "currency": target.operation.currency}
            body = {"reversalInformation": {"amountDetails": details}}
        return read_amount_of(target, body, _REVERSAL_AMOUNT, _REVERSAL_CURRENCY)

    def _void(self, target: Record, body: Body) -> Reply:
        require(body, _CODE)
        if not target.voidable:
            raise Refusal("NOT_VOIDABLE")
        return self._follow(Kind.VOID, target, body, target.operation.amount, "VOIDED")

    def _timeout_void(self, merchant_id: str, body: Body) -> Reply:
        require(body, _CODE)
        transaction_id = require(body, _TRANSACTION_ID)
        sent = [
            record
            for record in reversed(self._store.with_transaction_id(merchant_id, transaction_id))
            if record.operation.kind not in {Kind.REVERSAL, Kind.VOID}
        ]
        if not sent:
            raise Refusal("INVALID_DATA", field=_TRANSACTION_ID, status=404)
        target = next((record for record in sent if record.voidable), None)
        if target is None:
            raise Refusal("NOT_VOIDABLE")
        return self._follow(Kind.VOID, target, body, target.operation.amount, "VOIDED", by_timeout=True)

    def _follow(
        self, kind: Kind, target: Record, body: Body, amount: int, status: str, *, by_timeout: bool = False
    ) -> Reply:
        operation = target.operation
        record = self._record(
            kind,
            operation.merchant_id,
            body,
            requested=amount,
            amount=amount,
            currency=operation.currency,
            decision=Decision(status),
            target=operation,
            by_timeout=by_timeout,
        )
        return operation_reply(record, target if kind is Kind.VOID else self._store.records[record.operation.root_id])

    def _record(
        self,
        kind: Kind,
        merchant_id: str,
        body: Body,
        *,
        requested: int,
        amount: int,
        currency: str,
        decision: Decision,
        target: Operation | None = None,
        card: MaskedCard | None = None,
        sale: bool = False,
        by_timeout: bool = False,
    ) -> Record:
        sequence = self._store.last_sequence + 1
        now = self.now()
        operation_id = f"{int(now.timestamp()):010d}{sequence:08d}{self._random.randrange(10_000):04d}"
        authorized = kind is Kind.AUTHORIZATION and decision.status in HOLDING
        self._keep(
            Operation(
                sequence=sequence,
                id=operation_id,
                kind=kind,
                merchant_id=merchant_id,
                time=now,
                status=decision.status,
                reason=decision.reason.name if decision.reason is not None else "",
                requested=requested,
                amount=amount,
                currency=currency,
                code=require(body, _CODE),
                transaction_id=get(body, _TRANSACTION_ID) or "",
                target_id=target.id if target is not None else "",
                root_id=target.root_id if target is not None else operation_id,
                reconciliation_id=self._reconciliation_id(kind, sequence, target),
                network_transaction_id=self._network_transaction_id(sequence) if authorized else "",
                sale=sale,
                by_timeout=by_timeout,
                card=card,
            )
        )
        return self._store.records[operation_id]

    def _reconciliation_id(self, kind: Kind, sequence: int, target: Operation | None) -> str:
        if target is not None and kind is not Kind.REFUND:
            return target.reconciliation_id
        return f"{sequence:08d}S" + "".join(self._random.choices(string.digits + string.ascii_uppercase, k=7))

    def _network_transaction_id(self, sequence: int) -> str:
        # Fifteen digits that can never be taken for a card number: the last one is not their check digit.
        digits = f"0{sequence:08d}{self._random.randrange(100_000):05d}"
        return digits + str((11 - luhn_sum(digits + "0") % 10) % 10)


def _refuse_by_400(decision: Decision) -> None:
    if decision.http_status == 400:
        assert decision.reason is not None
        raise Refusal(decision.reason.name)


def _check_reversible(target: Record) -> None:
    if target.operation.status not in HOLDING:
        raise Refusal("MISSING_AUTH")
    if target.uncaptured > 0:
        return
    if target.reversed:
        raise Refusal("AUTH_ALREADY_REVERSED")
    if target.captured:
        raise Refusal("TRANSACTION_ALREADY_REVERSED_OR_SETTLED")
    raise Refusal("MISSING_AUTH")
