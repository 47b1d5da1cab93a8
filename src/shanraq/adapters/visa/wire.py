"""Requests and replies of the CyberSource REST API: commands to bodies, replies to outcomes.

The status decides, never the HTTP code nor the processor's code: a decline is a 201 too. A reply that contradicts the request
(reference, amount, currency) may be the answer to another one, whatever it says: Unknown.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any, Final

import msgspec

from shanraq.adapters.visa.body import (
    amount_of,
    authentication_of,
    card_of,
    device_of,
    initiator_of,
    order_of,
    processing_of,
    reference,
)
from shanraq.adapters.visa.codes import (
    APPLICATIONS,
    APPROVED_CODES,
    CREDENTIALS,
    NO_SUCH_TARGET,
    REASON_OF_CODE,
    REASONS,
    REVIEW_CODES,
    TOO_MANY,
    exact,
    reason_of,
)
from shanraq.core.money import InvalidAmountError, Money
from shanraq.payments.adapter import (
    Approved,
    Authorize,
    Capture,
    Card,
    Checks,
    Credit,
    DeclineClass,
    Declined,
    ExtendedCommand,
    Finding,
    Increment,
    InReview,
    Lost,
    NotFound,
    NotProcessed,
    OperationKind,
    Outcome,
    Refund,
    Reverse,
    Risk,
    RiskDecision,
    RiskRule,
    Unknown,
    Verify,
    Void,
)
from shanraq.payments.brands import brand_of

_ISSUER_CODE: Final = re.compile(r"[0-9A-Z]{2}")
_SCORE: Final = re.compile(r"[0-9]{1,3}")
_RISK: Final = {
    "AUTHORIZED_PENDING_REVIEW": RiskDecision.REVIEW,
    "PENDING_REVIEW": RiskDecision.REVIEW,
    "AUTHORIZED_RISK_DECLINED": RiskDecision.REJECTED,
}
_RISK_REJECTS: Final = frozenset({"DECISION_PROFILE_REJECT", "SCORE_EXCEEDS_THRESHOLD", "BLACKLISTED_CUSTOMER"})
_ID: Final = re.compile(r"[0-9A-Za-z]{1,26}")


class _Client(msgspec.Struct, frozen=True):
    code: str = ""


class _Amount(msgspec.Struct, frozen=True, rename="camel"):
    currency: str = ""
    total_amount: str = ""
    authorized_amount: str = ""
    refund_amount: str = ""
    reversed_amount: str = ""
    void_amount: str = ""
    credit_amount: str = ""


class _Order(msgspec.Struct, frozen=True, rename="camel"):
    amount_details: _Amount = _Amount()


class _Error(msgspec.Struct, frozen=True):
    reason: str = ""


class _Avs(msgspec.Struct, frozen=True):
    code: str = ""


class _CardVerification(msgspec.Struct, frozen=True, rename="camel"):
    result_code: str = ""


class _Advice(msgspec.Struct, frozen=True):
    code: str = ""


class _Score(msgspec.Struct, frozen=True, rename="camel"):
    result: str = ""
    factor_codes: tuple[str, ...] = ()


class _RiskInformation(msgspec.Struct, frozen=True):
    score: _Score = _Score()


class _Processor(msgspec.Struct, frozen=True, rename="camel"):
    approval_code: str = ""
    response_code: str = ""
    avs: _Avs = _Avs()
    card_verification: _CardVerification = _CardVerification()
    merchant_advice: _Advice = _Advice()
    network_transaction_id: str = ""
    transaction_id: str = ""


class Reply(msgspec.Struct, frozen=True, rename="camel"):
    """What we read of a reply; everything else is ignored."""

    id: str = ""
    status: str = ""
    reason: str = ""
    reconciliation_id: str = ""
    client_reference_information: _Client = _Client()
    order_information: _Order = _Order()
    refund_amount_details: _Amount = _Amount()
    reversal_amount_details: _Amount = _Amount()
    void_amount_details: _Amount = _Amount()
    credit_amount_details: _Amount = _Amount()
    risk_information: _RiskInformation = _RiskInformation()
    error_information: _Error = _Error()
    processor_information: _Processor = _Processor()


class _Result(msgspec.Struct, frozen=True, rename="camel"):
    # A search tells null where it knows nothing, or leaves the field out.
    name: str | None = None
    reason_code: str | None = None
    r_code: str | None = None
    r_flag: str | None = None


class _Results(_Result, frozen=True, rename="camel"):
    applications: list[_Result] = []


class _FoundReference(msgspec.Struct, frozen=True, rename="camel"):
    code: str | None = None
    transaction_id: str | None = None


class _FoundAmount(msgspec.Struct, frozen=True, rename="camel"):
    currency: str | None = None
    total_amount: str | None = None
    authorized_amount: str | None = None


class _FoundOrder(msgspec.Struct, frozen=True, rename="camel"):
    amount_details: _FoundAmount = _FoundAmount()


class _FoundError(msgspec.Struct, frozen=True):
    reason: str | None = None


class _FoundProcessor(msgspec.Struct, frozen=True, rename="camel"):
    approval_code: str | None = None
    network_transaction_id: str | None = None
    transaction_id: str | None = None


class _Found(msgspec.Struct, frozen=True, rename="camel"):
    """What we read of a transaction, in a search or by itself."""

    id: str = ""
    reconciliation_id: str | None = None
    application_information: _Results = _Results()
    client_reference_information: _FoundReference = _FoundReference()
    order_information: _FoundOrder = _FoundOrder()
    error_information: _FoundError = _FoundError()
    processor_information: _FoundProcessor = _FoundProcessor()


class _Embedded(msgspec.Struct, frozen=True, rename="camel"):
    transaction_summaries: list[_Found] = []


class _Search(msgspec.Struct, frozen=True, rename="camel"):
    total_count: int
    embedded: _Embedded = msgspec.field(default=_Embedded(), name="_embedded")


@dataclass(frozen=True, slots=True)
class TakenBack:
    """A search found the operation, and that it was reversed or voided since."""

    gateway_id: str


_reply = msgspec.json.Decoder(Reply)
_search = msgspec.json.Decoder(_Search)
_detail = msgspec.json.Decoder(_Found)
_UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_encode = msgspec.json.Encoder().encode


def request_of(command: ExtendedCommand) -> tuple[str, str, bytes]:
    """Return method, path and body of a command."""
    body: dict[str, Any] = {"clientReferenceInformation": reference(command.reference, command.operation_id)}
    method = "POST"
    match command:
        case Authorize():
            body["processingInformation"] = processing_of(command)
            body["paymentInformation"] = {"card": card_of(command.card)}
            body["orderInformation"] = order_of(command.amount, command.billing)
            if command.authentication is not None:
                body["consumerAuthenticationInformation"] = authentication_of(command.authentication, command.card)
            if device := device_of(command.device):
                body["deviceInformation"] = device
            path = "/pts/v2/payments"
        case Verify():
            processing: dict[str, Any] = {"capture": False, "commerceIndicator": "internet"}
            if command.stored is not None:
                processing["authorizationOptions"] = {"initiator": initiator_of(command.stored)}
            body["processingInformation"] = processing
            body["paymentInformation"] = {"card": card_of(command.card)}
            body["orderInformation"] = order_of(command.nothing, command.billing)
            path = "/pts/v2/payments"
        case Increment():
            body["processingInformation"] = {"authorizationOptions": {"initiator": {"storedCredentialUsed": True}}}
            added = command.amount
            body["orderInformation"] = {
                "amountDetails": {"additionalAmount": added.decimal_text(), "currency": added.currency.code}
            }
            method, path = "PATCH", f"/pts/v2/payments/{command.authorization_id}"
        case Credit():
            body["processingInformation"] = {"commerceIndicator": "internet"}
            body["paymentInformation"] = {"card": card_of(command.card)}
            body["orderInformation"] = order_of(command.amount, command.billing)
            path = "/pts/v2/credits"
        case Capture():
            body["orderInformation"] = {"amountDetails": amount_of(command.amount)}
            body["processingInformation"] = {"captureOptions": _capture_options(command)}
            path = f"/pts/v2/payments/{command.authorization_id}/captures"
        case Refund():
            body["orderInformation"] = {"amountDetails": amount_of(command.amount)}
            path = f"/pts/v2/{'payments' if command.of_sale else 'captures'}/{command.capture_id}/refunds"
        case Void():
            path = f"/pts/v2/{_VOIDABLE[command.target]}/{command.target_id}/voids"
        case Reverse():
            body["reversalInformation"] = {"amountDetails": amount_of(command.amount), "reason": "cancelled"}
            path = f"/pts/v2/payments/{command.authorization_id}/reversals"
    return method, path, _encode(body)


def _capture_options(command: Capture) -> dict[str, Any]:
    options: dict[str, Any] = {"isFinal": "true" if command.final else "false"}
    if command.sequence > 1 or not command.final:
        # Two digits each: how many captures there will be is not known before the last one.
        options["captureSequenceNumber"] = command.sequence
        options["totalCaptureCount"] = command.sequence if command.final else 99
    return options


_VOIDABLE = {
    OperationKind.AUTHORIZE: "payments",
    OperationKind.CAPTURE: "captures",
    OperationKind.REFUND: "refunds",
    OperationKind.CREDIT: "credits",
}


def undo_of(lost: Lost) -> tuple[str, bytes]:
    """Return path and body of the request that takes a lost operation back by its id.

    That is a timeout reversal of an authorisation, a timeout void of a sale, capture or refund.
    """
    if lost.kind is OperationKind.AUTHORIZE and not lost.sale:
        return release_of(lost)
    return "/pts/v2/voids", _encode({"clientReferenceInformation": reference(lost.reference, lost.operation_id)})


def release_of(lost: Lost) -> tuple[str, bytes]:
    """Return path and body of the timeout reversal that releases the hold of a lost authorisation or sale."""
    return "/pts/v2/reversals", _encode(
        {
            "clientReferenceInformation": reference(lost.reference, lost.operation_id),
            "reversalInformation": {"amountDetails": amount_of(lost.amount), "reason": "timeout"},
        }
    )


def search_of(lost: Lost) -> tuple[str, bytes]:
    """Return path and body of the search for a lost operation."""
    query = f"clientReferenceInformation.transactionId:{lost.operation_id}"
    return "/tss/v2/searches", _encode(
        {"query": query, "offset": 0, "limit": 10, "sort": "submitTimeUtc:desc", "timezone": "UTC", "save": False}
    )


def outcome_of(command: ExtendedCommand, status: int, content: bytes) -> Outcome:
    """Read the reply to a command."""
    match status:
        case 401 | 403:
            return NotProcessed(CREDENTIALS)
        case 404:
            return NotProcessed(NO_SUCH_TARGET)
        case 429:
            return NotProcessed(TOO_MANY, retryable=True)
        case 201 | 400:
            pass
        case _:
            return Unknown(f"HTTP {status}")
    try:
        reply = _reply.decode(content)
    except _UNREADABLE:
        return Unknown(f"HTTP {status} with a body that cannot be read")
    if status == 400:
        return _refused(reply)
    return _decided(command, reply)


def _refused(reply: Reply) -> Outcome:
    if reply.status != "INVALID_REQUEST":
        return Unknown(f"HTTP 400 with status {reply.status[:40] or 'missing'}")
    return _refusal(reply.reason)


def _refusal(word: str) -> Outcome:
    if word == "DUPLICATE_REQUEST":
        # We send an operation once: whoever repeated it on the way, the first of the two may well have been carried out.
        return Unknown("DUPLICATE_REQUEST")
    if word and word not in REASONS:
        return _unrecognised(word)
    reason = reason_of(word)
    if word in REASONS and reason.kind in (DeclineClass.HARD, DeclineClass.SOFT, DeclineClass.FRAUD):
        return Declined(reason)
    return NotProcessed(reason, retryable=word == "PROCESSOR_UNAVAILABLE")


def _unrecognised(word: str) -> Unknown:
    # What we cannot read may mean anything, a hold among it: recovery looks, instead of a decline on a guess.
    return Unknown(f"reason {word[:40]} is not known")


def _decided(command: ExtendedCommand, reply: Reply) -> Outcome:
    if _ID.fullmatch(reply.id) is None:
        return Unknown("id is missing or cannot be read")
    if reply.client_reference_information.code != command.reference:
        return Unknown("clientReferenceInformation.code contradicts the request")
    word = reply.error_information.reason
    if word and word not in REASONS:
        return _unrecognised(word)
    match command, reply.status:
        case Authorize(), "AUTHORIZED" | "PARTIAL_AUTHORIZED":
            return _authorized(command, reply)
        case Authorize(), "AUTHORIZED_PENDING_REVIEW" | "PENDING_REVIEW":
            return _in_review(command, reply)
        case Authorize(), "AUTHORIZED_RISK_DECLINED":
            # The issuer approved and Decision Manager declined: the issuer's hold has to be released.
            return _declined(command, reply, word or "DECISION_PROFILE_REJECT", release=True)
        case Authorize() | Verify(), "PENDING_AUTHENTICATION":
            return Declined(reason_of("PENDING_AUTHENTICATION"), reply.id)
        case Authorize(), "DECLINED":
            # An approval code in a decline: the issuer approved, and the gateway refused for the address or security code.
            return _declined(command, reply, word, release=bool(reply.processor_information.approval_code))
        case ((Refund() | Increment() | Credit() | Verify()), "DECLINED"):
            return _declined(command, reply, word)
        case Verify(), "AUTHORIZED":
            return _verified(command, reply)
        case Verify(), "AUTHORIZED_RISK_DECLINED" | "AUTHORIZED_PENDING_REVIEW" | "PENDING_REVIEW":
            # Nothing is held for a verification: what risk management doubts is no good card.
            return _declined(command, reply, word or "DECISION_PROFILE_REJECT")
        case Increment(), "AUTHORIZED" | "AUTHORIZED_PENDING_REVIEW":
            return _incremented(command, reply)
        case ((Authorize() | Refund() | Credit() | Verify()), "INVALID_REQUEST"):
            return _refusal(word or reply.reason)
        case Capture(), "PENDING" | "TRANSMITTED":
            details = reply.order_information.amount_details
            return _done(command, reply, "totalAmount", details.total_amount, details.currency)
        case Refund(), "PENDING" | "TRANSMITTED":
            details = reply.refund_amount_details
            return _done(command, reply, "refundAmount", details.refund_amount, details.currency)
        case Credit(), "PENDING" | "AUTHORIZED" | "COMPLETED" | "TRANSMITTED":
            details = reply.credit_amount_details
            return _done(command, reply, "creditAmount", details.credit_amount, details.currency)
        case Reverse(), "REVERSED":
            details = reply.reversal_amount_details
            return _done(command, reply, "reversedAmount", details.reversed_amount, details.currency)
        case Void(), "VOIDED" | "CANCELLED":
            details = reply.void_amount_details
            return _done(command, reply, "voidAmount", details.void_amount, details.currency)
        case Void(), "FAILED":
            return Declined(reason_of(word or "NOT_VOIDABLE"), reply.id)
        case _:
            return Unknown(f"status {reply.status[:40] or 'missing'} is not known")


def _declined(command: ExtendedCommand, reply: Reply, word: str, *, release: bool = False) -> Declined:
    processor = reply.processor_information
    reason = replace(
        reason_of(word, release=release),
        issuer_code=processor.response_code if _ISSUER_CODE.fullmatch(processor.response_code) else "",
        advice_code=processor.merchant_advice.code[:8],
    )
    card = getattr(command, "card", None)
    if isinstance(card, Card):
        reason = exact(reason, brand_of(card.pan))
    return Declined(reason, reply.id, _checks(reply), _risk(reply))


def _verified(command: Verify, reply: Reply) -> Outcome:
    details = reply.order_information.amount_details
    if details.authorized_amount or details.currency:
        stated = _stated("authorizedAmount", details.authorized_amount, details.currency, command.nothing)
        if isinstance(stated, Unknown):
            return stated
        if stated:
            return Unknown("authorizedAmount contradicts the request")
    return _approved(reply, command.nothing)


def _incremented(command: Increment, reply: Reply) -> Outcome:
    # The reply has the id of the authorisation, and tells its new total.
    if reply.id != command.authorization_id:
        return Unknown("id contradicts the request")
    details = reply.order_information.amount_details
    if details.authorized_amount or details.currency:
        total = _stated("authorizedAmount", details.authorized_amount, details.currency, command.total)
        if isinstance(total, Unknown):
            return total
        if total != command.total:
            return Unknown("authorizedAmount contradicts the request")
    return _approved(reply, command.amount)


def _authorized(command: Authorize, reply: Reply) -> Outcome:
    details = reply.order_information.amount_details
    approved = _stated("authorizedAmount", details.authorized_amount, details.currency, command.amount)
    if isinstance(approved, Unknown):
        return approved
    partial = reply.status == "PARTIAL_AUTHORIZED"
    if not approved or approved > command.amount or (approved < command.amount) is not partial:
        return Unknown("authorizedAmount contradicts the request")
    return _approved(reply, approved)


def _in_review(command: Authorize, reply: Reply) -> Outcome:
    reason = reason_of(reply.error_information.reason or "DECISION_PROFILE_REVIEW")
    details = reply.order_information.amount_details
    if not details.authorized_amount:
        # Under PENDING_REVIEW the issuer may not have been asked yet: then no amount is told.
        return InReview(reply.id, command.amount, reason, _risk(reply))
    held = _stated("authorizedAmount", details.authorized_amount, details.currency, command.amount)
    if isinstance(held, Unknown):
        return held
    if not held or held > command.amount:
        return Unknown("authorizedAmount contradicts the request")
    return InReview(reply.id, held, reason, _risk(reply))


def _done(
    command: Capture | Refund | Credit | Reverse | Void, reply: Reply, name: str, amount: str, currency: str
) -> Outcome:
    # A follow-on reply may leave its amount out; where it is given it has to be ours.
    if amount or currency:
        stated = _stated(name, amount, currency, command.amount)
        if isinstance(stated, Unknown):
            return stated
        if stated != command.amount:
            return Unknown(f"{name} contradicts the request")
    return _approved(reply, command.amount)


def _stated(name: str, amount: str, currency: str, asked: Money) -> Money | Unknown:
    """Read an amount of a reply, in the currency that was asked for."""
    if currency != asked.currency.code:
        return Unknown("currency contradicts the request")
    try:
        return Money.parse(amount, asked.currency)
    except InvalidAmountError:
        return Unknown(f"the amount {name} cannot be read")


def _approved(reply: Reply, amount: Money) -> Approved:
    processor = reply.processor_information
    return Approved(
        gateway_id=reply.id,
        amount=amount,
        approval_code=processor.approval_code,
        network_transaction_id=processor.network_transaction_id or processor.transaction_id,
        reconciliation_id=reply.reconciliation_id,
        checks=_checks(reply),
        risk=_risk(reply),
    )


def _checks(reply: Reply) -> Checks:
    processor = reply.processor_information
    return Checks(processor.avs.code[:2], processor.card_verification.result_code[:2])


def _risk(reply: Reply) -> Risk | None:
    decision = _RISK.get(reply.status)
    word, score = reply.error_information.reason, reply.risk_information.score
    if decision is None and word in _RISK_REJECTS:
        decision = RiskDecision.REJECTED
    number = int(score.result) if _SCORE.fullmatch(score.result) else None
    if decision is None and number is None:
        return None
    rules = [RiskRule(factor[:40], "FACTOR") for factor in score.factor_codes]
    if word:
        rules.insert(0, RiskRule(word, reply.status))
    return Risk(decision or RiskDecision.ACCEPTED, number, "decision_manager", tuple(rules))


def finding_of(lost: Lost, status: int, content: bytes) -> Finding | TakenBack:
    """Read the reply to a search for a lost operation.

    Summaries have no status: the codes of the request and of its applications decide.
    """
    if status != 201:
        return Unknown(f"search: HTTP {status}")
    try:
        summaries = _search.decode(content).embedded.transaction_summaries
    except _UNREADABLE:
        return Unknown("search: a body that cannot be read")
    ours = [summary for summary in summaries if _is_ours(lost, summary)]
    findings = [_found(lost, summary) for summary in ours if _result(summary, APPLICATIONS[lost.kind]) is not None]
    standing = [finding for finding in findings if isinstance(finding, Approved | InReview)]
    undecided = next((finding for finding in findings if isinstance(finding, Unknown)), None)
    if undecided is not None:
        return undecided
    if not standing:
        return findings[0] if findings else NotFound()
    taken_back = sum(_takes_back(lost, summary) for summary in ours)
    if not taken_back:
        return standing[0]
    if taken_back >= len(standing):
        return TakenBack(standing[0].gateway_id)
    return Unknown("search: carried out more than once, and taken back in part")


def _is_ours(lost: Lost, summary: _Found) -> bool:
    reference = summary.client_reference_information
    return reference.code == lost.reference and reference.transaction_id in (None, "", lost.operation_id)


def _result(summary: _Found, application: str) -> _Result | None:
    results = summary.application_information.applications
    return next((result for result in results if result.name == application), None)


def _takes_back(lost: Lost, summary: _Found) -> bool:
    # Timeout reversals and voids carry the id of what they took back, and are told apart by their application. A sale's hold
    # is released by a reversal of its own, which alone does not take the money back.
    if lost.kind not in (OperationKind.AUTHORIZE, OperationKind.CAPTURE, OperationKind.REFUND, OperationKind.CREDIT):
        return False
    undone_by = {OperationKind.VOID}
    if lost.kind is OperationKind.AUTHORIZE and not lost.sale:
        undone_by.add(OperationKind.REVERSE)
    results = (_result(summary, APPLICATIONS[kind]) for kind in undone_by)
    return any(result is not None and result.reason_code in APPROVED_CODES for result in results)


def _found(lost: Lost, summary: _Found) -> Finding:
    if _ID.fullmatch(summary.id) is None:
        return Unknown("search: id is missing or cannot be read")
    details = summary.order_information.amount_details
    currency = details.currency or lost.amount.currency.code
    stated = _stated("totalAmount", details.total_amount or lost.amount.decimal_text(), currency, lost.amount)
    if isinstance(stated, Unknown):
        return Unknown(f"search: {stated.detail}")
    if stated != lost.amount:
        return Unknown("search: totalAmount contradicts the request")
    request = summary.application_information
    own = _result(summary, APPLICATIONS[lost.kind])
    assert own is not None
    results = (request, *request.applications)
    codes = {result.reason_code for result in results if result.reason_code}
    refused = codes - APPROVED_CODES
    if not refused:
        return _found_approved(lost, summary, own)
    if refused <= REVIEW_CODES:
        return InReview(summary.id, lost.amount, reason_of("DECISION_PROFILE_REVIEW"))
    declined = (request.r_code or own.r_code) == "0"
    known = [code for code in (request.reason_code, own.reason_code, *sorted(refused)) if code in REASON_OF_CODE]
    if not declined and not refused <= REASON_OF_CODE.keys() | REVIEW_CODES:
        return Unknown(f"search: reason code {min(refused - REASON_OF_CODE.keys())[:8]} is not known")
    word = summary.error_information.reason or (REASON_OF_CODE[known[0]] if known else "")
    approved = own.reason_code in APPROVED_CODES or own.r_code == "1"
    return Declined(reason_of(word, release=approved and lost.kind is OperationKind.AUTHORIZE), summary.id)


def _found_approved(lost: Lost, summary: _Found, own: _Result) -> Finding:
    request = summary.application_information
    if own.reason_code is None:
        return Unknown("search: the reason code is missing")
    if any(flag and flag[0] != "S" for flag in (request.r_flag, own.r_flag)):
        return Unknown("search: rFlag contradicts the reason code")
    if (
        lost.sale
        and lost.kind is OperationKind.AUTHORIZE
        and _result(summary, APPLICATIONS[OperationKind.CAPTURE]) is None
    ):
        return Unknown("search: a sale without its capture")
    return Approved(summary.id, lost.amount)


def detail_of(lost: Lost, found: Approved, status: int, content: bytes) -> Approved | Unknown:
    """Read from a transaction's details how much of a lost authorisation was approved: a search does not tell that."""
    if status != 200:
        return Unknown(f"details: HTTP {status}")
    try:
        detail = _detail.decode(content)
    except _UNREADABLE:
        return Unknown("details: a body that cannot be read")
    if detail.client_reference_information.code != lost.reference:
        return Unknown("details: clientReferenceInformation.code contradicts the request")
    details, processor = detail.order_information.amount_details, detail.processor_information
    amount = _stated("authorizedAmount", details.authorized_amount or "", details.currency or "", lost.amount)
    if isinstance(amount, Unknown):
        return amount
    if not amount or amount > lost.amount:
        return Unknown("details: authorizedAmount contradicts the request")
    return Approved(
        gateway_id=found.gateway_id,
        amount=amount,
        approval_code=processor.approval_code or "",
        network_transaction_id=processor.network_transaction_id or processor.transaction_id or "",
        reconciliation_id=detail.reconciliation_id or "",
    )


def undone_of(lost: Lost, status: int, content: bytes) -> Approved | NotFound | Unknown | None:
    """Read the reply to the request that takes a lost operation back.

    None for a refusal that leaves open whether it was taken back before, was never there, or is there and stays.
    """
    if status == 404:
        return NotFound()
    if status not in (201, 400):
        return Unknown(f"undo: HTTP {status}")
    try:
        reply = _reply.decode(content)
    except _UNREADABLE:
        return Unknown("undo: a body that cannot be read")
    match status, reply.status, reply.reason:
        case 400, "INVALID_REQUEST", "AUTH_ALREADY_REVERSED":
            return Approved(reply.id or lost.operation_id, lost.amount)
        case 400, "INVALID_REQUEST", "MISSING_AUTH":
            return NotFound()
        case (400, "INVALID_REQUEST", _) | (201, "FAILED", _):
            return None
        case 201, "REVERSED" | "VOIDED" | "CANCELLED", _:
            if reply.client_reference_information.code != lost.reference:
                return Unknown("undo: clientReferenceInformation.code contradicts the request")
            return Approved(reply.id, lost.amount)
        case _:
            return Unknown(f"undo: HTTP {status} with status {reply.status[:40] or 'missing'}")
