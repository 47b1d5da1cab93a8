"""The operations on money, with the limits and reasons of the service.

Nothing protects a merchant from sending the same `transactionId` twice: both requests are carried out, as by the real
service. Only the timeout reversal and the timeout void look for it, newest first, and take each operation back once.
"""

from __future__ import annotations

import random
import string
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from typing import Any, Final, assert_never

from shanraq.simulators.serve import Reply
from shanraq.simulators.visa.card import Card, luhn_sum
from shanraq.simulators.visa.currency import MINOR_DIGITS
from shanraq.simulators.visa.ids import Ids
from shanraq.simulators.visa.model import CAPTURABLE, HOLDING, JournalEntry, Kind, Operation, Record, Refusal
from shanraq.simulators.visa.notify import Notifications
from shanraq.simulators.visa.payer import PayerAuthentication, error_of, status_of
from shanraq.simulators.visa.render import notice, operation_reply, refreshed
from shanraq.simulators.visa.resources import Authentication, MaskedCard
from shanraq.simulators.visa.risk import RiskManager, risk_information, skips_decision
from shanraq.simulators.visa.route import Call, Handler, Route, Verb
from shanraq.simulators.visa.script import Script
from shanraq.simulators.visa.store import Store
from shanraq.simulators.visa.tokens import Tokens
from shanraq.simulators.visa.trigger import (
    REASONS,
    Decision,
    advice_of,
    approved_amount,
    decide,
    decision_for,
    failure,
    is_silent,
    refusal_of,
)
from shanraq.simulators.visa.validate import (
    Body,
    check_initiator,
    get,
    read_amount,
    read_amount_of,
    read_payment_card,
    require,
    texts,
)

_CODE = "clientReferenceInformation.code"
_TRANSACTION_ID = "clientReferenceInformation.transactionId"
_AMOUNT = "orderInformation.amountDetails.totalAmount"
_ADDITIONAL_AMOUNT = "orderInformation.amountDetails.additionalAmount"
_CURRENCY = "orderInformation.amountDetails.currency"
_REVERSAL_AMOUNT = "reversalInformation.amountDetails.totalAmount"
_REVERSAL_CURRENCY = "reversalInformation.amountDetails.currency"


_ACTIONS: Final = "processingInformation.actionList"
_MONEY: Final = (
    Verb.AUTHORIZE,
    Verb.INCREMENT,
    Verb.CAPTURE,
    Verb.REFUND,
    Verb.CREDIT,
    Verb.REVERSE,
    Verb.VOID,
    Verb.TIMEOUT_REVERSE,
    Verb.TIMEOUT_VOID,
    Verb.REFRESH_STATUS,
)
_RISK_CODES: Final = frozenset({"400", "480", "481", "482"})


class Gateway:
    """Carries out operations on a store; `keep` puts an entry into the journal and the store.

    Without the services that bundled requests use (payer authentication, decisions, tokens, notifications), it takes a
    payment as if nobody had asked for them.
    """

    def __init__(
        self,
        store: Store,
        keep: Callable[[JournalEntry], None],
        clock: Callable[[], float],
        *,
        seed: int,
        taken_on_502: Collection[str],
    ) -> None:
        self.script = Script()
        self.payer: PayerAuthentication | None = None
        self.risk: RiskManager | None = None
        self.tokens: Tokens | None = None
        self.notifications: Notifications | None = None
        self._store = store
        self._keep = keep
        self._clock = clock
        self._random = random.Random(seed)  # noqa: S311 - a reproducible run, no secret
        self._ids = Ids(store, seed)
        self._taken_on_502 = frozenset(taken_on_502)

    def now(self) -> datetime:
        """Return the simulated time."""
        return datetime.fromtimestamp(self._clock() + self._store.clock_offset_seconds, UTC)

    def handlers(self) -> Mapping[Verb, Handler]:
        """Return what answers each operation on money."""
        return dict.fromkeys(_MONEY, self._handle)

    def _handle(self, call: Call) -> Reply:
        return self.operate(call.merchant_id, call.route, call.body)

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
            case Verb.REFRESH_STATUS:
                return refreshed(self._find(merchant_id, route, "INVALID_DATA"))
            case _:
                raise AssertionError(f"{route.verb} moves no money")

    def _find(self, merchant_id: str, route: Route, reason: str) -> Record:
        record = self._store.find(merchant_id, route.id)
        if record is None or record.operation.kind is not route.target:
            raise Refusal(reason, field="id", status=404)
        return record

    def _read_card(self, merchant_id: str, body: Body) -> Card:
        return read_payment_card(body) if self.tokens is None else self.tokens.read_card(merchant_id, body)

    # Payments.

    def _authorize(self, merchant_id: str, body: Body) -> Reply:
        code = require(body, _CODE)
        requested, currency = read_amount(body, _AMOUNT, _CURRENCY)
        card = self._read_card(merchant_id, body)
        check_initiator(body)
        actions = texts(body, _ACTIONS)
        digits = MINOR_DIGITS[currency]
        error = failure(requested, digits)
        if error and error not in self._taken_on_502:
            raise Refusal(error, status=502)
        extra: dict[str, Any] = {}
        decision = self._authenticate(merchant_id, body, card, actions, (code, requested, currency), extra)
        if decision is None:
            decision = self._decide(merchant_id, body, card, extra)
        amount = requested
        if decision.reason is None:
            decision, amount = _in_part(decision, body, requested, digits)
        _refuse_otherwise(decision)
        holds = decision.status in HOLDING
        if "TOKEN_CREATE" in actions and self.tokens is not None and holds:
            self._create_tokens(merchant_id, body, card, extra)
        record = self._record(
            Kind.AUTHORIZATION,
            merchant_id,
            body,
            requested=requested,
            amount=amount if holds else 0,
            currency=currency,
            decision=decision,
            card=card.masked,
            sale=get(body, "processingInformation.capture") is True,
            behaviour=card.behaviour,
            results=_results(decision, card),
        )
        self._after_payment(record)
        if error:
            raise Refusal(error, status=502)
        reply = operation_reply(record, record, extra)
        if is_silent(requested, digits):
            return Reply(reply.status, reply.body, reply.content_type, dropped=True)
        return reply

    def _authenticate(
        self,
        merchant_id: str,
        body: Body,
        card: Card,
        actions: list[str],
        order: tuple[str, int, str],
        extra: dict[str, Any],
    ) -> Decision | None:
        """Authenticate the cardholder where the request asks for it; return the answer when the payment ends there."""
        payer = self.payer
        if payer is None:
            return None
        if "VALIDATE_CONSUMER_AUTHENTICATION" in actions:
            name = "VALIDATE_CONSUMER_AUTHENTICATION"
            authentication = payer.validate(merchant_id, body)
            details = payer.validated(authentication)
        elif "CONSUMER_AUTHENTICATION" in actions:
            name = "CONSUMER_AUTHENTICATION"
            authentication = payer.enroll(merchant_id, body, card, *order)
            details = payer.enrolled(authentication)
        elif card.behaviour == "475" and not payer.is_authenticated(merchant_id, body):
            authentication = payer.enroll(merchant_id, body, card, *order)
            extra["consumerAuthenticationInformation"] = payer.enrolled(authentication)
            return None
        else:
            return None
        extra["consumerAuthenticationInformation"] = details
        extra["embeddedActions"] = {name: _embedded(authentication)}
        match status_of(authentication):
            case "PENDING_AUTHENTICATION":
                return Decision("PENDING_AUTHENTICATION", REASONS["CONSUMER_AUTHENTICATION_REQUIRED"])
            case "AUTHENTICATION_FAILED":
                return Decision("DECLINED", REASONS["CONSUMER_AUTHENTICATION_FAILED"])
            case _:
                return None

    def _decide(self, merchant_id: str, body: Body, card: Card, extra: dict[str, Any]) -> Decision:
        scripted = self.script.take(Verb.AUTHORIZE)
        if scripted is not None:
            return decision_for(scripted.reason)
        screened = not skips_decision(body)
        authenticated = "embeddedActions" in extra or (
            card.behaviour in {"475", "478"}
            and self.payer is not None
            and self.payer.is_authenticated(merchant_id, body)
        )
        postal_code = str(get(body, "orderInformation.billTo.postalCode"))
        decision = decide(card, postal_code, self.now(), credit=False, authenticated=authenticated, screened=screened)
        listed = None
        if self.risk is not None and screened and decision.reason is None:
            listed = self.risk.screen(merchant_id, body, card)
            decision = listed or decision
        if screened and self.risk is not None and (listed is not None or card.behaviour in _RISK_CODES):
            behaviour = card.behaviour
            if listed is not None:
                behaviour = "480" if listed.status == "AUTHORIZED_PENDING_REVIEW" else "481"
            extra["riskInformation"] = risk_information(behaviour, self.now(), listed=listed is not None)
            judged = {"status": "PENDING_REVIEW" if behaviour == "480" else "REJECTED"}
            if decision.reason is not None:
                judged |= {"reason": decision.reason.name, "message": decision.reason.message}
            extra.setdefault("embeddedActions", {})["DECISION"] = judged
        return decision

    def _create_tokens(self, merchant_id: str, body: Body, card: Card, extra: dict[str, Any]) -> None:
        assert self.tokens is not None
        made = self.tokens.create_for_payment(merchant_id, body, card)
        extra.setdefault("embeddedActions", {})["TOKEN_CREATE"] = {"status": "COMPLETED"}
        if made:
            extra["tokenInformation"] = made

    def _after_payment(self, record: Record) -> None:
        """Open the case of a payment under review, and notify the merchant."""
        operation = record.operation
        if self.risk is not None and operation.status == "AUTHORIZED_PENDING_REVIEW":
            self.risk.open_case(record)
        if self.notifications is None or not self.notifications.has_webhooks(operation.merchant_id):
            return
        if self.risk is not None and operation.reason in {"DECISION_PROFILE_REJECT", "SCORE_EXCEEDS_THRESHOLD"}:
            self.risk.tell(operation.merchant_id, operation.id, operation.code, "REJECTED")
        elif self.risk is not None and operation.status == "AUTHORIZED_PENDING_REVIEW":
            self.risk.tell(operation.merchant_id, operation.id, operation.code, "PENDING_REVIEW")
        if operation.status in HOLDING and operation.status != "AUTHORIZED_RISK_DECLINED":
            self.tell(record, "payments.payments.accept")
            if record.settles:
                self.tell(record, "payments.capture.status.accepted")

    def tell(self, record: Record, event_type: str) -> None:
        """Notify a merchant of what became of an operation."""
        if self.notifications is not None:
            self.notifications.publish(record.operation.merchant_id, event_type, notice(record))

    def _credit(self, merchant_id: str, body: Body) -> Reply:
        require(body, _CODE)
        requested, currency = read_amount(body, _AMOUNT, _CURRENCY)
        if requested == 0:
            raise Refusal("INVALID_AMOUNT", field=_AMOUNT)
        card = self._read_card(merchant_id, body)
        scripted = self.script.take(Verb.CREDIT)
        if scripted is not None:
            decision = decision_for(scripted.reason)
        else:
            postal_code = str(get(body, "orderInformation.billTo.postalCode"))
            decision = decide(card, postal_code, self.now(), credit=True)
        _refuse_otherwise(decision)
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
            results=_results(decision, card),
        )
        return operation_reply(record, record)

    def _increment(self, target: Record, body: Body) -> Reply:
        require(body, _CODE)
        amount = read_amount_of(target, body, _ADDITIONAL_AMOUNT, _CURRENCY)
        check_initiator(body)
        if target.operation.status != "AUTHORIZED" or target.operation.sale or target.uncaptured == 0:
            raise Refusal("INVALID_PAYMENT_ID", field="id")
        digits = MINOR_DIGITS[target.operation.currency]
        error = failure(amount, digits)
        if error and error not in self._taken_on_502:
            raise Refusal(error, status=502)
        decision = Decision("AUTHORIZED")
        scripted = self.script.take(Verb.INCREMENT)
        if scripted is not None:
            decision = Decision(
                "DECLINED", decision_for(scripted.reason).reason, decision_for(scripted.reason).http_status
            )
            _refuse_otherwise(decision)
        elif approved_amount(amount, digits) < amount:
            # An increment is approved as a whole or not at all.
            decision = Decision("DECLINED", REASONS["INSUFFICIENT_FUND"])
        reply = self._follow(Kind.INCREMENT, target, body, amount, decision.status, declined=decision)
        if error:
            raise Refusal(error, status=502)
        if is_silent(amount, digits):
            return Reply(reply.status, reply.body, reply.content_type, dropped=True)
        return reply

    def _capture(self, target: Record, body: Body) -> Reply:
        require(body, _CODE)
        amount = read_amount_of(target, body, _AMOUNT, _CURRENCY)
        final = _capture_options(body)
        self._refuse_scripted(Verb.CAPTURE, Kind.CAPTURE, target)
        if target.operation.status not in CAPTURABLE or target.review == "REJECTED":
            raise Refusal("MISSING_AUTH")
        if target.reversed and target.uncaptured == 0:
            raise Refusal("AUTH_ALREADY_REVERSED")
        if amount > target.uncaptured:
            raise Refusal("EXCEEDS_AUTH_AMOUNT", field=_AMOUNT)
        if target.final:
            raise Refusal("MISSING_AUTH")
        return self._follow(Kind.CAPTURE, target, body, amount, "PENDING", final=final)

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
        root = self._store.records[target.operation.root_id].operation
        if refusal := refusal_of(root.behaviour, Kind.REFUND):
            raise Refusal(refusal)
        scripted = self.script.take(Verb.REFUND)
        if scripted is not None:
            decision = decision_for(scripted.reason)
            _refuse_otherwise(decision)
            return self._follow(
                Kind.REFUND, target, body, amount, "DECLINED", declined=Decision("DECLINED", decision.reason)
            )
        return self._follow(Kind.REFUND, target, body, amount, "PENDING")

    def _reverse(self, target: Record, body: Body) -> Reply:
        require(body, _CODE)
        amount = self._reversal_amount(target, body)
        self._refuse_scripted(Verb.REVERSE, Kind.REVERSAL, target)
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
        self._refuse_scripted(Verb.VOID, Kind.VOID, target)
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

    def _refuse_scripted(self, verb: Verb, kind: Kind, target: Record) -> None:
        """Refuse a follow-on that a test, or the card of the payment, wants refused."""
        scripted = self.script.take(verb)
        if scripted is not None:
            raise Refusal(scripted.reason, status=502 if scripted.reason in _REASONS_OF_502 else 400)
        root = self._store.records[target.operation.root_id].operation
        if root.behaviour and (refusal := refusal_of(root.behaviour, kind)):
            raise Refusal(refusal)

    def capture_whole(self, target: Record, amount: int, code: str) -> Operation:
        """Capture what is left of a payment that a person has accepted."""
        body = {"clientReferenceInformation": {"code": code}}
        return self._follow_on(Kind.CAPTURE, target, body, amount, Decision("PENDING")).operation

    def reverse_whole(self, target: Record, amount: int, code: str) -> Operation:
        """Release what is held for a payment that a person has rejected."""
        body = {"clientReferenceInformation": {"code": code}}
        return self._follow_on(Kind.REVERSAL, target, body, amount, Decision("REVERSED")).operation

    def _follow(
        self,
        kind: Kind,
        target: Record,
        body: Body,
        amount: int,
        status: str,
        *,
        by_timeout: bool = False,
        final: bool = False,
        declined: Decision | None = None,
    ) -> Reply:
        decision = declined if declined is not None and declined.reason is not None else Decision(status)
        record = self._follow_on(kind, target, body, amount, decision, by_timeout=by_timeout, final=final)
        return operation_reply(record, target if kind is Kind.VOID else self._store.records[record.operation.root_id])

    def _follow_on(
        self,
        kind: Kind,
        target: Record,
        body: Body,
        amount: int,
        decision: Decision,
        *,
        by_timeout: bool = False,
        final: bool = False,
    ) -> Record:
        operation = target.operation
        record = self._record(
            kind,
            operation.merchant_id,
            body,
            requested=amount,
            amount=amount if decision.reason is None else 0,
            currency=operation.currency,
            decision=decision,
            target=operation,
            by_timeout=by_timeout,
            final=final,
        )
        if self.notifications is not None and self.notifications.has_webhooks(operation.merchant_id):
            self._tell_of_follow_on(record, target)
        return record

    def _tell_of_follow_on(self, record: Record, target: Record) -> None:
        match record.operation.kind:
            case Kind.CAPTURE:
                self.tell(record, "payments.capture.status.accepted")
            case Kind.VOID if target.operation.kind is Kind.CAPTURE:
                self.tell(target, "payments.capture.status.updated")
            case Kind.AUTHORIZATION | Kind.CREDIT:
                raise AssertionError("nothing is followed by these")
            case Kind.INCREMENT | Kind.REFUND | Kind.REVERSAL | Kind.VOID:
                self.tell(self._store.records[record.operation.root_id], "payments.payments.updated")
            case _:
                assert_never(record.operation.kind)

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
        final: bool = False,
        behaviour: str = "",
        results: tuple[str, str, str] = ("", "", ""),
    ) -> Record:
        sequence = self._store.last_sequence + 1
        now = self.now()
        operation_id = f"{int(now.timestamp()):010d}{sequence:08d}{self._random.randrange(10_000):04d}"
        authorized = kind is Kind.AUTHORIZATION and decision.status in HOLDING
        avs, cvn, advice = results
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
                final=final,
                behaviour=behaviour,
                avs=avs,
                cvn=cvn,
                advice=advice,
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


_REASONS_OF_502: Final = frozenset({"SYSTEM_ERROR", "SERVER_TIMEOUT", "SERVICE_TIMEOUT"})


def _refuse_otherwise(decision: Decision) -> None:
    if decision.http_status != 201:
        assert decision.reason is not None
        raise Refusal(decision.reason.name, status=decision.http_status)


def _in_part(decision: Decision, body: Body, requested: int, digits: int) -> tuple[Decision, int]:
    """Return the answer and the amount approved: a part of it where the amount asks for that and the request allows it."""
    amount = approved_amount(requested, digits)
    if amount == requested:
        return decision, requested
    if get(body, "processingInformation.authorizationOptions.partialAuthIndicator") is False:
        return Decision("DECLINED", REASONS["INSUFFICIENT_FUND"]), requested
    return Decision("PARTIAL_AUTHORIZED"), amount


def _results(decision: Decision, card: Card) -> tuple[str, str, str]:
    """Return the result codes of address and security code, and the network's advice after a decline."""
    reason = decision.reason
    name = reason.name if reason is not None else ""
    avs = "N" if name == "AVS_FAILED" else "X" if decision.status in HOLDING else ""
    cvn = ""
    if card.security_code or name in {"CVN_NOT_MATCH", "CV_FAILED", "INVALID_CVN"}:
        cvn = {"CVN_NOT_MATCH": "N", "CV_FAILED": "N", "INVALID_CVN": "I"}.get(name, "M")
    advice = advice_of(reason, card.type) if reason is not None and decision.status == "DECLINED" else ""
    return avs, cvn, advice


def _embedded(authentication: Authentication) -> dict[str, str]:
    error: dict[str, str] = error_of(authentication).get("errorInformation", {})
    return {"status": status_of(authentication)} | error


def _capture_options(body: Body) -> bool:
    """Check the numbers of several captures, and tell whether this is the last one; raises a Refusal."""
    options = get(body, "processingInformation.captureOptions")
    if not isinstance(options, dict):
        return False
    number, total = options.get("captureSequenceNumber"), options.get("totalCaptureCount")
    path = "processingInformation.captureOptions"
    for name, value in (("captureSequenceNumber", number), ("totalCaptureCount", total)):
        if value is not None and not 1 <= value <= 99:
            raise Refusal("INVALID_DATA", field=f"{path}.{name}")
    if number is not None and total is not None and number > total:
        raise Refusal("INVALID_DATA", field=f"{path}.captureSequenceNumber")
    final = str(options.get("isFinal", "false")).lower()
    if final not in {"true", "false"}:
        raise Refusal("INVALID_DATA", field=f"{path}.isFinal")
    return final == "true"


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
