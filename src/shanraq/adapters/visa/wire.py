"""Requests and replies of the CyberSource REST API: commands to bodies, replies to outcomes.

The status decides, never the HTTP code nor the processor's code: a decline is a 201 too. A reply that contradicts the request
(amount, currency, reference) is no answer: Unknown.
"""

from __future__ import annotations

from typing import Any

import msgspec

from shanraq.adapters.visa.codes import (
    APPROVED_CODES,
    AUTHORIZATION,
    CAPTURE,
    CARD_TYPES,
    CREDENTIALS,
    CREDIT,
    NO_SUCH_TARGET,
    REVERSAL,
    REVIEW_CODES,
    TOO_MANY,
    VOID,
    reason_of,
)
from shanraq.core.money import Currency, InvalidAmountError, Money
from shanraq.payments.adapter import (
    Approved,
    Authorize,
    Billing,
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
from shanraq.payments.brands import brand_of


class _Client(msgspec.Struct, frozen=True):
    code: str = ""
    transaction_id: str = msgspec.field(default="", name="transactionId")


class _Amount(msgspec.Struct, frozen=True, rename="camel"):
    currency: str = ""
    total_amount: str = ""
    authorized_amount: str = ""
    refund_amount: str = ""
    reversed_amount: str = ""
    void_amount: str = ""


class _Order(msgspec.Struct, frozen=True, rename="camel"):
    amount_details: _Amount = _Amount()


class _Error(msgspec.Struct, frozen=True):
    reason: str = ""


class _Processor(msgspec.Struct, frozen=True, rename="camel"):
    approval_code: str = ""
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
    error_information: _Error = _Error()
    processor_information: _Processor = _Processor()


class _Application(msgspec.Struct, frozen=True, rename="camel"):
    name: str = ""
    reason_code: str = ""
    r_flag: str = ""


class _Applications(msgspec.Struct, frozen=True, rename="camel"):
    reason_code: str = ""
    r_flag: str = ""
    applications: list[_Application] = []


class _Summary(msgspec.Struct, frozen=True, rename="camel"):
    id: str = ""
    application_information: _Applications = _Applications()
    client_reference_information: _Client = _Client()
    order_information: _Order = _Order()
    error_information: _Error = _Error()


class _Embedded(msgspec.Struct, frozen=True, rename="camel"):
    transaction_summaries: list[_Summary] = []


class SearchReply(msgspec.Struct, frozen=True, rename="camel"):
    """What we read of a search."""

    total_count: int
    embedded: _Embedded = msgspec.field(default=_Embedded(), name="_embedded")


_reply = msgspec.json.Decoder(Reply)
_search = msgspec.json.Decoder(SearchReply)
_encode = msgspec.json.Encoder().encode


def request_of(command: Command) -> tuple[str, bytes]:
    """Return path and body of a command."""
    body: dict[str, Any] = {"clientReferenceInformation": _reference(command.reference, command.operation_id)}
    match command:
        case Authorize():
            body["processingInformation"] = {"capture": command.capture, "commerceIndicator": "internet"}
            body["paymentInformation"] = {"card": _card(command)}
            body["orderInformation"] = {"amountDetails": _amount(command.amount)}
            if billing := _bill_to(command.billing):
                body["orderInformation"]["billTo"] = billing
            path = "/pts/v2/payments"
        case Capture():
            body["orderInformation"] = {"amountDetails": _amount(command.amount)}
            body["processingInformation"] = {"captureOptions": {"isFinal": "true" if command.final else "false"}}
            path = f"/pts/v2/payments/{command.authorization_id}/captures"
        case Refund():
            body["orderInformation"] = {"amountDetails": _amount(command.amount)}
            path = f"/pts/v2/{'payments' if command.of_sale else 'captures'}/{command.capture_id}/refunds"
        case Void():
            path = f"/pts/v2/{_VOIDABLE[command.target]}/{command.target_id}/voids"
        case Reverse():
            body["reversalInformation"] = {"amountDetails": _amount(command.amount), "reason": "cancelled"}
            path = f"/pts/v2/payments/{command.authorization_id}/reversals"
    return path, _encode(body)


_VOIDABLE = {
    OperationKind.AUTHORIZE: "payments",
    OperationKind.CAPTURE: "captures",
    OperationKind.REFUND: "refunds",
}


def undo_of(lost: Lost) -> tuple[str, bytes]:
    """Return path and body of the request that takes a lost operation back by its id."""
    body: dict[str, Any] = {"clientReferenceInformation": _reference(lost.reference, lost.operation_id)}
    if lost.kind is OperationKind.AUTHORIZE and not lost.sale:
        body["reversalInformation"] = {"amountDetails": _amount(lost.amount), "reason": "timeout"}
        return "/pts/v2/reversals", _encode(body)
    return "/pts/v2/voids", _encode(body)


def search_of(lost: Lost) -> tuple[str, bytes]:
    """Return path and body of the search for a lost operation."""
    query = f"clientReferenceInformation.transactionId:{lost.operation_id}"
    return "/tss/v2/searches", _encode(
        {"query": query, "offset": 0, "limit": 20, "sort": "submitTimeUtc:desc", "timezone": "UTC", "save": False}
    )


def outcome_of(command: Command, status: int, content: bytes) -> Outcome:
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
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Unknown(f"HTTP {status} with a body that cannot be read")
    if status == 400:
        return _refused(reply)
    return _decided(command, reply)


def _refused(reply: Reply) -> Outcome:
    if reply.status != "INVALID_REQUEST":
        return Unknown(f"HTTP 400 with status {reply.status[:40] or 'missing'}")
    reason = reason_of(reply.reason)
    return NotProcessed(reason, retryable=reply.reason == "PROCESSOR_UNAVAILABLE")


def _decided(command: Command, reply: Reply) -> Outcome:
    word = reply.error_information.reason
    match command, reply.status:
        case Authorize(), "AUTHORIZED" | "PARTIAL_AUTHORIZED":
            return _authorized(command, reply)
        case Authorize(), "AUTHORIZED_PENDING_REVIEW" | "PENDING_REVIEW":
            return InReview(reply.id, command.amount, reason_of(word or "DECISION_PROFILE_REVIEW"))
        case Authorize(), "AUTHORIZED_RISK_DECLINED":
            # The issuer approved and Decision Manager declined: the issuer's hold has to be released.
            return Declined(reason_of(word or "DECISION_PROFILE_REJECT", release=True), reply.id)
        case Authorize(), "PENDING_AUTHENTICATION":
            return Declined(reason_of("PENDING_AUTHENTICATION"), reply.id)
        case Authorize() | Refund(), "DECLINED":
            return Declined(reason_of(word), reply.id)
        case Authorize() | Refund(), "INVALID_REQUEST":
            return NotProcessed(reason_of(word or reply.reason))
        case Capture(), "PENDING" | "TRANSMITTED":
            return _done(command, reply, reply.order_information.amount_details, "total_amount")
        case Refund(), "PENDING" | "TRANSMITTED":
            return _done(command, reply, reply.refund_amount_details, "refund_amount")
        case Reverse(), "REVERSED":
            return _done(command, reply, reply.reversal_amount_details, "reversed_amount")
        case Void(), "VOIDED" | "CANCELLED":
            return _done(command, reply, reply.void_amount_details, "void_amount")
        case Void(), "FAILED":
            return Declined(reason_of(word or "NOT_VOIDABLE"), reply.id)
        case _:
            return Unknown(f"status {reply.status[:40] or 'missing'} is not known")


def _authorized(command: Authorize, reply: Reply) -> Outcome:
    details = reply.order_information.amount_details
    checked = _checked(command, reply, details.authorized_amount, details.currency)
    if isinstance(checked, Unknown):
        return checked
    partial = reply.status == "PARTIAL_AUTHORIZED"
    if not checked or checked > command.amount or (checked < command.amount) is not partial:
        return Unknown("authorizedAmount contradicts the request")
    return _approved(reply, checked)


def _done(command: Command, reply: Reply, details: _Amount, name: str) -> Outcome:
    # A follow-on reply may leave its amount out; where it is given it has to be ours.
    if not details.currency and not getattr(details, name):
        if reply.client_reference_information.code != command.reference or not reply.id:
            return Unknown("clientReferenceInformation.code contradicts the request")
        return _approved(reply, command.amount)
    checked = _checked(command, reply, getattr(details, name), details.currency)
    if isinstance(checked, Unknown):
        return checked
    if checked != command.amount:
        return Unknown("the amount contradicts the request")
    return _approved(reply, command.amount)


def _checked(command: Command, reply: Reply, amount: str, currency: str) -> Money | Unknown:
    if not reply.id:
        return Unknown("id is missing")
    if reply.client_reference_information.code != command.reference:
        return Unknown("clientReferenceInformation.code contradicts the request")
    if currency != command.amount.currency.code:
        return Unknown("currency contradicts the request")
    try:
        return Money.parse(amount, command.amount.currency)
    except InvalidAmountError:
        return Unknown("the amount cannot be read")


def _approved(reply: Reply, amount: Money) -> Approved:
    processor = reply.processor_information
    return Approved(
        gateway_id=reply.id,
        amount=amount,
        approval_code=processor.approval_code,
        network_transaction_id=processor.network_transaction_id or processor.transaction_id,
        reconciliation_id=reply.reconciliation_id,
    )


def finding_of(lost: Lost, status: int, content: bytes) -> Finding:
    """Read the reply to a search for a lost operation."""
    if status != 201:
        return Unknown(f"search: HTTP {status}")
    try:
        found = _search.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Unknown("search: a body that cannot be read")
    for summary in found.embedded.transaction_summaries:
        names = {application.name for application in summary.application_information.applications}
        if _APPLICATIONS[lost.kind] & names and _is_ours(lost, summary):
            return _found(lost, summary)
    return NotFound()


_APPLICATIONS = {
    OperationKind.AUTHORIZE: {AUTHORIZATION},
    OperationKind.CAPTURE: {CAPTURE},
    OperationKind.REFUND: {CREDIT},
    OperationKind.VOID: {VOID},
    OperationKind.REVERSE: {REVERSAL},
}


def _is_ours(lost: Lost, summary: _Summary) -> bool:
    reference = summary.client_reference_information
    # Timeout reversals and voids carry the id of what they took back: they are told apart by their application.
    return reference.code == lost.reference and reference.transaction_id in ("", lost.operation_id)


def _found(lost: Lost, summary: _Summary) -> Finding:
    information = summary.application_information
    if information.reason_code in REVIEW_CODES:
        return InReview(summary.id, lost.amount, reason_of("DECISION_PROFILE_REVIEW"))
    if information.reason_code not in APPROVED_CODES or information.r_flag not in ("SOK", "SPARTIALAPPROVAL", ""):
        return Declined(reason_of(summary.error_information.reason), summary.id)
    return Approved(summary.id, lost.amount)


def partial_amount_of(lost: Lost, content: bytes) -> Money | None:
    """Read from a transaction's details what was approved of a lost authorisation; None if that cannot be read."""
    try:
        details = _reply.decode(content).order_information.amount_details
        if details.currency != lost.amount.currency.code:
            return None
        return Money.parse(details.authorized_amount, Currency.of(details.currency))
    except (msgspec.DecodeError, InvalidAmountError, UnicodeDecodeError):
        return None


def undone_of(lost: Lost, status: int, content: bytes) -> Finding:
    """Read the reply to the request that takes a lost operation back."""
    if status == 404:
        return NotFound()
    if status not in (201, 400):
        return Unknown(f"undo: HTTP {status}")
    try:
        reply = _reply.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Unknown("undo: a body that cannot be read")
    if status == 400:
        # Taken back before by a request whose answer was lost, or never there: either way no money is held.
        gone = ("AUTH_ALREADY_REVERSED", "NOT_VOIDABLE", "MISSING_AUTH", "TRANSACTION_ALREADY_REVERSED_OR_SETTLED")
        if reply.reason == "AUTH_ALREADY_REVERSED":
            return Approved(reply.id or lost.operation_id, lost.amount)
        return (
            NotFound()
            if reply.reason == "MISSING_AUTH"
            else Unknown(f"undo: {reply.reason if reply.reason in gone else 400}")
        )
    if reply.status in ("REVERSED", "VOIDED", "CANCELLED"):
        return Approved(reply.id, lost.amount)
    return Unknown(f"undo: status {reply.status[:40] or 'missing'}")


def _reference(code: str, transaction_id: str) -> dict[str, str]:
    return {"code": code, "transactionId": transaction_id}


def _amount(amount: Money) -> dict[str, str]:
    return {"totalAmount": amount.decimal_text(), "currency": amount.currency.code}


def _card(command: Authorize) -> dict[str, str]:
    card = command.card
    body = {
        "number": card.pan.reveal(),
        "expirationMonth": f"{card.expiry_month:02d}",
        "expirationYear": f"{card.expiry_year:04d}",
    }
    if (kind := CARD_TYPES.get(brand_of(card.pan))) is not None:
        body["type"] = kind
    if card.security_code is not None:
        body["securityCode"] = card.security_code.reveal()
    return body


def _bill_to(billing: Billing) -> dict[str, str]:
    fields = {
        "firstName": billing.first_name,
        "lastName": billing.last_name,
        "address1": billing.address,
        "locality": billing.city,
        "administrativeArea": billing.region,
        "postalCode": billing.postal_code,
        "country": billing.country,
        "email": billing.email,
        "phoneNumber": billing.phone,
    }
    # The live API refuses empty texts: what is not known is left out.
    return {name: value for name, value in fields.items() if value}
