"""Replies of the Mastercard Gateway: to outcomes, findings, risk and checks.

Success is `result` SUCCESS together with an approving gateway code, and nothing else. A reply that contradicts its request
(merchant, ids, type, amount, currency) may be the answer to another one, whatever it says: Unknown.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, assert_never

import msgspec

from shanraq.adapters.mastercard.codes import (
    ADDRESS_LETTERS,
    ALREADY_RELEASED,
    CREDENTIALS,
    DECLINES,
    LOCKED,
    REJECTED_REQUEST,
    REVIEW,
    SECURITY_CODE_LETTERS,
    TOO_BUSY,
    TOO_MANY,
    Meaning,
    decline_of,
    meaning_of,
    refusal_of,
)
from shanraq.adapters.mastercard.requests import Charge, Sent
from shanraq.core.money import Currency, InvalidAmountError, Money
from shanraq.payments.adapter import (
    Approved,
    Authorize,
    Capture,
    Checks,
    Credit,
    Declined,
    Finding,
    Increment,
    InReview,
    Lost,
    NotFound,
    NotProcessed,
    OperationKind,
    Outcome,
    Reason,
    Refund,
    Reverse,
    Risk,
    RiskDecision,
    RiskRule,
    Unknown,
    Verify,
    Void,
)

# A gateway may write 6540.0, 6540.00 or 6.54E+3; the length keeps the arithmetic small.
_NUMBER: Final = re.compile(rb'"?([0-9]{1,15}(?:\.[0-9]{1,9})?(?:[eE]\+?[0-9]{1,2})?)"?')
_WORD: Final = re.compile(r"[0-9A-Za-z_.\[\]-]{1,80}")
_CHARSET: Final = re.compile(r"charset=\"?([0-9A-Za-z_-]+)", re.IGNORECASE)
_NO_AMOUNT: Final = msgspec.Raw(b"")


class _Totals(msgspec.Struct, frozen=True, rename="camel"):
    id: str = ""
    status: str = ""
    currency: str = ""
    amount: msgspec.Raw = _NO_AMOUNT
    total_authorized_amount: msgspec.Raw = _NO_AMOUNT
    total_captured_amount: msgspec.Raw = _NO_AMOUNT


class _Transaction(msgspec.Struct, frozen=True, rename="camel"):
    id: str = ""
    type: str = ""
    currency: str = ""
    amount: msgspec.Raw = _NO_AMOUNT
    authorization_code: str = ""
    receipt: str = ""
    target_transaction_id: str = ""


class _Code(msgspec.Struct, frozen=True, rename="camel"):
    acquirer_code: str = ""
    gateway_code: str = ""


class _Verification(msgspec.Struct, frozen=True):
    avs: _Code = _Code()


class _Response(msgspec.Struct, frozen=True, rename="camel"):
    gateway_code: str = ""
    gateway_recommendation: str = ""
    acquirer_code: str = ""
    card_security_code: _Code = _Code()
    cardholder_verification: _Verification = _Verification()


class _Issuer(msgspec.Struct, frozen=True, rename="camel"):
    response_code: str = ""
    transaction_identifier: str = ""
    merchant_advice_code: str = ""


class _Rule(msgspec.Struct, frozen=True):
    name: str = ""
    recommendation: str = ""
    data: str = ""


class _ReviewState(msgspec.Struct, frozen=True):
    decision: str = ""


class _Assessment(msgspec.Struct, frozen=True, rename="camel"):
    gateway_code: str = ""
    provider: str = ""
    total_score: int | float | None = None
    review: _ReviewState = _ReviewState()
    rule: list[_Rule] = []


class _RiskBlock(msgspec.Struct, frozen=True):
    response: _Assessment = _Assessment()


class _Card(msgspec.Struct, frozen=True):
    scheme: str = ""
    brand: str = ""


class _Provided(msgspec.Struct, frozen=True):
    card: _Card = _Card()


class _Source(msgspec.Struct, frozen=True):
    provided: _Provided = _Provided()


class _Error(msgspec.Struct, frozen=True, rename="camel"):
    cause: str = ""
    field: str = ""
    validation_type: str = ""


class Reply(msgspec.Struct, frozen=True, rename="camel"):
    """What we read of a transaction's reply; everything else is ignored."""

    result: str = ""
    merchant: str = ""
    correlation_id: str = ""
    error: _Error = _Error()
    order: _Totals = _Totals()
    transaction: _Transaction = _Transaction()
    response: _Response = _Response()
    authorization_response: _Issuer = _Issuer()
    source_of_funds: _Source = _Source()
    risk: _RiskBlock = _RiskBlock()


class Order(_Totals, frozen=True, rename="camel"):
    """What we read of an order."""

    result: str = ""
    merchant: str = ""
    error: _Error = _Error()
    transaction: list[Reply] = []


@dataclass(frozen=True, slots=True)
class Expected:
    """What a reply must agree with. `total` is the new total of an increment."""

    merchant_id: str
    operation_id: str
    reference: str
    kind: OperationKind
    amount: Money
    sale: bool = False
    total: Money | None = None

    @classmethod
    def of(cls, merchant_id: str, command: Sent) -> Expected:
        """Return what the reply to a command must agree with."""
        operation_id, reference = command.operation_id, command.reference
        match command:
            case Authorize() | Charge():
                kind = OperationKind.AUTHORIZE
                return cls(merchant_id, operation_id, reference, kind, command.amount, sale=command.capture)
            case Increment():
                kind = OperationKind.INCREMENT
                return cls(merchant_id, operation_id, reference, kind, command.amount, total=command.total)
            case Verify():
                return cls(merchant_id, operation_id, reference, OperationKind.VERIFY, command.nothing)
            case Capture() | Refund() | Void() | Reverse() | Credit():
                return cls(merchant_id, operation_id, reference, _KINDS[type(command)], command.amount)
            case _:
                assert_never(command)

    @classmethod
    def of_lost(cls, merchant_id: str, lost: Lost) -> Expected:
        """Return what is looked for when an answer was lost."""
        return cls(merchant_id, lost.operation_id, lost.reference, lost.kind, lost.amount, sale=lost.sale)


_KINDS: Final[Mapping[type, OperationKind]] = {
    Capture: OperationKind.CAPTURE,
    Refund: OperationKind.REFUND,
    Void: OperationKind.VOID,
    Reverse: OperationKind.REVERSE,
    Credit: OperationKind.CREDIT,
}

VOIDS: Final = frozenset({"VOID_AUTHORIZATION", "VOID_CAPTURE", "VOID_PAYMENT", "VOID_REFUND"})
_TYPES: Final[Mapping[OperationKind, frozenset[str]]] = {
    OperationKind.AUTHORIZE: frozenset({"AUTHORIZATION"}),
    OperationKind.CAPTURE: frozenset({"CAPTURE"}),
    OperationKind.REFUND: frozenset({"REFUND"}),
    OperationKind.CREDIT: frozenset({"REFUND"}),
    OperationKind.VOID: VOIDS,
    OperationKind.REVERSE: VOIDS,
    OperationKind.INCREMENT: frozenset({"AUTHORIZATION_UPDATE"}),
    OperationKind.VERIFY: frozenset({"VERIFICATION"}),
}
_SALE: Final = frozenset({"PAYMENT"})


@dataclass(frozen=True, slots=True)
class Undecided:
    """The gateway has the operation on record and does not know itself what became of it; that may change later."""

    detail: str


_reply = msgspec.json.Decoder(Reply)
_order = msgspec.json.Decoder(Order)
UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def utf8_of(content: bytes, content_type: str) -> bytes:
    """Return a body in UTF-8: the gateway declares ISO-8859-1, and names of banks are not always ASCII."""
    declared = _CHARSET.search(content_type)
    if content.isascii() or declared is None or declared[1].lower() not in ("iso-8859-1", "latin1"):
        return content
    return content.decode("latin-1").encode()


def outcome_of(expected: Expected, status: int, content: bytes) -> Outcome:
    """Read the reply to a command."""
    read = decided(expected, status, content)
    return Unknown(read.detail) if isinstance(read, Undecided) else read


def decided(expected: Expected, status: int, content: bytes) -> Outcome | Undecided:
    """Read the reply to a command, telling apart what the gateway has on record without knowing what became of it."""
    reply = _read(status, content)
    if isinstance(reply, Unknown | NotProcessed):
        return reply
    if reply.correlation_id not in ("", expected.operation_id):
        return Unknown("correlationId contradicts the request")
    outcome = _judged(expected, reply)
    if isinstance(outcome, Approved) and expected.kind is OperationKind.AUTHORIZE and not expected.sale:
        total = money_of(reply.order.total_authorized_amount, expected.amount.currency)
        if total is not None and total != outcome.amount:
            return Unknown("order.totalAuthorizedAmount contradicts the amount approved")
    return outcome


def found(expected: Expected, status: int, content: bytes) -> Finding | Undecided:
    """Read the reply to RETRIEVE_TRANSACTION, which is authoritative and without delay."""
    reply = _retrieved(status, content)
    if not isinstance(reply, Reply):
        return reply
    outcome = _judged(expected, reply)
    if isinstance(outcome, NotProcessed):
        # It is on record as not carried out: nothing of it stands.
        return NotFound()
    cancelled = reply.order.status == "CANCELLED" and not _contradiction(expected, reply)
    if cancelled and expected.kind is OperationKind.AUTHORIZE and not isinstance(outcome, Declined):
        return NotFound()
    return outcome


def voided(expected: Expected, transaction_id: str, status: int, content: bytes) -> Outcome | Undecided:
    """Read the reply to the void `transaction_id` that takes an operation back."""
    undoing = Expected(expected.merchant_id, transaction_id, expected.reference, OperationKind.REVERSE, expected.amount)
    return decided(undoing, status, content)


def void_found(expected: Expected, transaction_id: str, status: int, content: bytes) -> Finding | Undecided:
    """Read the reply to RETRIEVE_TRANSACTION of the void `transaction_id`."""
    undoing = Expected(expected.merchant_id, transaction_id, expected.reference, OperationKind.REVERSE, expected.amount)
    return found(undoing, status, content)


def order_of(merchant_id: str, reference: str, status: int, content: bytes) -> Order | NotFound | Unknown:
    """Read the reply to RETRIEVE_ORDER."""
    refused = _absent(status, content)
    if refused is not None:
        return refused
    try:
        order = _order.decode(content)
    except UNREADABLE:
        return Unknown("order: a body that cannot be read")
    if order.id != reference or order.merchant not in ("", merchant_id):
        return Unknown("order: it is another one")
    return order


def taken_back(order: Order, operation_id: str, kind: OperationKind) -> bool:
    """Tell whether an order shows an operation as voided."""
    if kind is OperationKind.AUTHORIZE and order.status == "CANCELLED":
        return True
    return any(
        one.transaction.type in VOIDS
        and one.transaction.target_transaction_id == operation_id
        and one.result == "SUCCESS"
        for one in order.transaction
    )


def released(order: Order) -> NotProcessed | None:
    """Return why there is nothing to release, where the order is cancelled already."""
    return NotProcessed(ALREADY_RELEASED) if order.status == "CANCELLED" else None


def money_of(amount: msgspec.Raw, currency: Currency) -> Money | None:
    """Read an amount of a reply exactly, None where it is missing or not an amount of that currency."""
    match = _NUMBER.fullmatch(bytes(amount))
    if match is None:
        return None
    minor = Decimal(match[1].decode()).scaleb(currency.exponent)
    if minor != minor.to_integral_value():
        return None
    try:
        return Money(int(minor), currency)
    except InvalidAmountError:
        return None


def refused(status: int, cause: str, field: str, validation: str) -> NotProcessed | Unknown:
    """Return what an answer with `result` ERROR means."""
    if status in (401, 403):
        return NotProcessed(CREDENTIALS)
    match cause:
        case "INVALID_REQUEST":
            known = validation if validation in ("INVALID", "MISSING", "UNSUPPORTED") else ""
            return NotProcessed(refusal_of(field if _WORD.fullmatch(field) else "", known))
        case "REQUEST_REJECTED":
            return NotProcessed(REJECTED_REQUEST)
        case "SERVER_BUSY":
            return NotProcessed(TOO_BUSY, retryable=True)
        case "SERVER_FAILED":
            return Unknown("SERVER_FAILED")
        case _:
            return Unknown(f"HTTP {status} with an error whose cause is not known")


def _read(status: int, content: bytes) -> Reply | NotProcessed | Unknown:
    if status in (401, 403):
        return NotProcessed(CREDENTIALS)
    if status == 429:
        return NotProcessed(TOO_MANY, retryable=True)
    try:
        reply = _reply.decode(content)
    except UNREADABLE:
        return Unknown(f"HTTP {status} with a body that cannot be read")
    if reply.result == "ERROR" or reply.error.cause:
        return refused(status, reply.error.cause, reply.error.field, reply.error.validation_type)
    if status not in (200, 201):
        return Unknown(f"HTTP {status}")
    return reply


def _absent(status: int, content: bytes) -> NotFound | Unknown | None:
    """Tell whether a read was answered with "no such thing". Only the gateway's own words prove that, not a bare 404."""
    if status == 200:
        return None
    if status not in (400, 404):
        return Unknown(f"retrieve: HTTP {status}")
    try:
        reply = _reply.decode(content)
    except UNREADABLE:
        return Unknown(f"retrieve: HTTP {status} with a body that cannot be read")
    known = reply.error.field in (
        "",
        "order.id",
        "orderid",
        "orderId",
        "transaction.id",
        "transactionid",
        "transactionId",
    )
    if reply.result == "ERROR" and reply.error.cause == "INVALID_REQUEST" and known:
        return NotFound()
    return Unknown(f"retrieve: HTTP {status} for another reason")


def _retrieved(status: int, content: bytes) -> Reply | NotFound | Unknown:
    refusal = _absent(status, content)
    if refusal is not None:
        return refusal
    try:
        reply = _reply.decode(content)
    except UNREADABLE:
        return Unknown("retrieve: a body that cannot be read")
    if reply.result == "ERROR" or reply.error.cause:
        return Unknown("retrieve: an error")
    return reply


def _judged(expected: Expected, reply: Reply) -> Outcome | Undecided:
    contradiction = _contradiction(expected, reply)
    if contradiction:
        return Unknown(f"{contradiction} contradicts the request")
    code = reply.response.gateway_code
    meaning = meaning_of(code)
    if meaning is None:
        return Undecided(f"gatewayCode {code[:40] or 'is missing'} is not known")
    if meaning in (Meaning.UNDECIDED, Meaning.OTHER) or reply.result in ("PENDING", "UNKNOWN"):
        return Undecided(f"result {reply.result[:16]} with gatewayCode {code}")
    match reply.result, meaning:
        case "SUCCESS", Meaning.APPROVED | Meaning.PARTLY_APPROVED:
            return _approved(expected, reply, partly=meaning is Meaning.PARTLY_APPROVED)
        case "FAILURE", Meaning.DECLINED:
            return _declined(reply, release=False)
        case "FAILURE", Meaning.NOT_PROCESSED:
            return NotProcessed(LOCKED, retryable=True)
        case _:
            return Unknown(f"result {reply.result[:16] or 'missing'} contradicts gatewayCode {code}")


def _contradiction(expected: Expected, reply: Reply) -> str:
    """Return the field that contradicts the request, empty where none does."""
    transaction, order = reply.transaction, reply.order
    if reply.merchant not in ("", expected.merchant_id):
        return "merchant"
    if order.id != expected.reference:
        return "order.id"
    if transaction.id != expected.operation_id:
        return "transaction.id"
    wanted = _SALE if expected.sale and expected.kind is OperationKind.AUTHORIZE else _TYPES[expected.kind]
    if transaction.type not in wanted:
        return "transaction.type"
    if order.currency not in ("", expected.amount.currency.code):
        return "order.currency"
    return _amount_contradiction(expected, transaction)


def _amount_contradiction(expected: Expected, transaction: _Transaction) -> str:
    kind, currency = expected.kind, expected.amount.currency
    if kind is OperationKind.VERIFY:
        # There is no money in it; some acquirers tell the nominal amount they asked with.
        return ""
    if kind in (OperationKind.VOID, OperationKind.REVERSE) and not bytes(transaction.amount):
        return ""
    if transaction.currency != currency.code:
        return "transaction.currency"
    stated = money_of(transaction.amount, currency)
    if stated is None:
        return "transaction.amount"
    if kind is OperationKind.REVERSE:
        # It releases what is left of an authorisation, and states the amount of the whole.
        return ""
    if kind is OperationKind.INCREMENT:
        agrees = expected.total is None or stated == expected.total
    elif kind is OperationKind.AUTHORIZE:
        agrees = stated == expected.amount or (not stated > expected.amount and bool(stated))
    else:
        agrees = stated == expected.amount
    return "" if agrees else "transaction.amount"


def _approved(expected: Expected, reply: Reply, *, partly: bool) -> Outcome:
    amount = expected.amount
    if expected.kind is OperationKind.AUTHORIZE:
        stated = money_of(reply.transaction.amount, amount.currency)
        if partly:
            less = _partial_amount(expected, reply)
            if less is None:
                return Unknown("order.totalAuthorizedAmount cannot be read or contradicts the request")
            amount = less
        elif stated != amount:
            return Unknown("transaction.amount contradicts the request")
    elif partly:
        return Unknown("a partial approval of what cannot be approved in part")
    risk = risk_of(reply)
    if risk is not None and risk.decision is RiskDecision.REJECTED:
        # The issuer approved, and the gateway's rules refused afterwards: what is held or taken has to be given back.
        return _declined(reply, release=reply.order.status not in ("CANCELLED", "FAILED"), code="BLOCKED")
    if risk is not None and risk.decision is RiskDecision.REVIEW:
        return InReview(expected.operation_id, amount, REVIEW, risk)
    return Approved(
        gateway_id=expected.operation_id,
        amount=amount,
        approval_code=reply.transaction.authorization_code,
        network_transaction_id=reply.authorization_response.transaction_identifier,
        reconciliation_id=reply.transaction.receipt,
        checks=checks_of(reply),
        risk=risk,
    )


def _partial_amount(expected: Expected, reply: Reply) -> Money | None:
    less = money_of(reply.order.total_authorized_amount, expected.amount.currency)
    return less if less is not None and less and less < expected.amount else None


def _declined(reply: Reply, *, release: bool, code: str = "") -> Declined:
    issuer, card = reply.authorization_response, reply.source_of_funds.provided.card
    reason: Reason = decline_of(
        code or reply.response.gateway_code,
        scheme=card.brand or card.scheme,
        issuer_code=issuer.response_code or reply.response.acquirer_code,
        advice_code=issuer.merchant_advice_code,
        recommendation=reply.response.gateway_recommendation,
        release=release,
    )
    return Declined(reason, reply.transaction.id, checks_of(reply), risk_of(reply))


def checks_of(reply: Reply) -> Checks:
    """Return what the issuer found of the address and the security code, in the letters of the schemes."""
    response = reply.response
    address, security_code = response.cardholder_verification.avs, response.card_security_code
    return Checks(_letter(address, ADDRESS_LETTERS), _letter(security_code, SECURITY_CODE_LETTERS))


def _letter(code: _Code, letters: Mapping[str, str]) -> str:
    given = code.acquirer_code
    if len(given) == 1 and given.isascii() and given.isalpha():
        return given
    return letters.get(code.gateway_code, "")


def risk_of(reply: Reply) -> Risk | None:
    """Return the risk assessment of a reply, None where there is none."""
    assessed = reply.risk.response
    decided_by = assessed.gateway_code or assessed.review.decision
    if decided_by in ("", "NOT_REQUIRED"):
        return None
    # A word that is not known has accepted nothing: a person has to look at it.
    decision = _RISK.get(assessed.gateway_code, RiskDecision.REVIEW)
    if decision is RiskDecision.REVIEW:
        decision = _REVIEWS.get(assessed.review.decision, RiskDecision.REVIEW)
    score = assessed.total_score
    rules = tuple(RiskRule(rule.name, rule.recommendation, rule.data) for rule in assessed.rule)
    return Risk(decision, None if score is None else round(score), assessed.provider, rules)


_RISK: Final = {
    "ACCEPTED": RiskDecision.ACCEPTED,
    "REJECTED": RiskDecision.REJECTED,
    "REVIEW_REQUIRED": RiskDecision.REVIEW,
    "NOT_CHECKED": RiskDecision.NOT_CHECKED,
}
_REVIEWS: Final = {
    "ACCEPTED": RiskDecision.ACCEPTED,
    "OVERRIDDEN": RiskDecision.ACCEPTED,
    "REJECTED": RiskDecision.REJECTED,
}

assert all(meaning_of(code) is Meaning.DECLINED for code in DECLINES)
