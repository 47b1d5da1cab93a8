"""The bodies of replies, in the shapes the service sends."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from shanraq.simulators.serve import Reply
from shanraq.simulators.visa.currency import decimal_text
from shanraq.simulators.visa.model import HOLDING, Kind, Operation, Record, Refusal
from shanraq.simulators.visa.trigger import REASONS
from shanraq.simulators.visa.validate import kind_name

HAL = "application/hal+json;charset=utf-8"

_encode = msgspec.json.Encoder().encode
_APPLICATIONS = {
    Kind.AUTHORIZATION: "ics_auth",
    Kind.INCREMENT: "ics_auth",
    Kind.CAPTURE: "ics_bill",
    Kind.REFUND: "ics_credit",
    Kind.CREDIT: "ics_credit",
    Kind.REVERSAL: "ics_auth_reversal",
    Kind.VOID: "ics_void",
}


def json_reply(status: int, body: object, content_type: str = "application/json;charset=utf-8") -> Reply:
    """Make a reply with a JSON body."""
    return Reply(status, _encode(body), content_type)


def utc_text(time: datetime) -> str:
    """Write a time as the API does: 2023-01-29T17:13:31Z."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")


def refusal_reply(refusal: Refusal, now: datetime, target: str = "") -> Reply:
    """Make the body of a refusal as the part of the API does that the target is in; a 502 is SERVER_ERROR.

    Payments and risk: flat, INVALID_REQUEST. Reports: flat without a status. Batches: in `errorInformation`. Tokens: a list.
    """
    if target.startswith("/tms/"):
        error: dict[str, Any] = {
            "type": _TOKEN_ERRORS.get(refusal.status, "invalidRequest"),
            "message": refusal.message,
        }
        if refusal.field:
            error["details"] = [{"name": refusal.field, "location": "body"}]
        return json_reply(refusal.status, {"errors": [error]})
    if target.startswith("/pts/v1/"):
        information: dict[str, Any] = {"reason": refusal.reason, "message": refusal.message}
        if refusal.field:
            information["details"] = [{"field": refusal.field, "message": refusal.message}]
        return json_reply(refusal.status, {"submitTimeUtc": utc_text(now), "errorInformation": information})
    body: dict[str, Any] = {
        "submitTimeUtc": utc_text(now),
        "status": "SERVER_ERROR" if refusal.status >= 500 else "INVALID_REQUEST",
        "reason": refusal.reason,
        "message": refusal.message,
    }
    if refusal.field:
        reason = "MISSING_FIELD" if refusal.reason == "MISSING_FIELD" else "INVALID_DATA"
        body["details"] = [{"field": refusal.field, "reason": reason}]
    if target.startswith("/reporting/"):
        del body["status"]
    return json_reply(refusal.status, body)


_TOKEN_ERRORS = {403: "forbidden", 404: "notFound", 409: "conflict", 410: "notAvailable", 502: "serverError"}


def operation_reply(record: Record, root: Record, extra: dict[str, Any] | None = None) -> Reply:
    """Make the 201 reply of an operation; `root` is the authorisation or credit its chain began with."""
    operation = record.operation
    body: dict[str, Any] = {
        "_links": _links(operation),
        "id": operation.target_id if operation.kind is Kind.INCREMENT else operation.id,
        "submitTimeUtc": utc_text(operation.time),
        "status": operation.status,
        "reconciliationId": operation.reconciliation_id,
        "clientReferenceInformation": {"code": operation.code},
    }
    body |= _money(record, root)
    body |= _processor(operation)
    if operation.reason:
        body["errorInformation"] = {"reason": operation.reason, "message": REASONS[operation.reason].message}
    if extra:
        body |= extra
    return json_reply(201, body, HAL)


def refreshed(record: Record) -> Reply:
    """Make the reply that tells the status of a payment again."""
    operation = record.operation
    body: dict[str, Any] = {
        "id": operation.id,
        "submitTimeUtc": utc_text(operation.time),
        "status": {"ACCEPTED": "AUTHORIZED", "REJECTED": "AUTHORIZED_RISK_DECLINED"}.get(
            record.review, operation.status
        ),
        "reconciliationId": operation.reconciliation_id,
        "clientReferenceInformation": {"code": operation.code},
    }
    if operation.status in HOLDING:
        body["processorInformation"] = {"transactionId": operation.network_transaction_id, "responseCode": "100"}
    if operation.reason:
        body["errorInformation"] = {"reason": operation.reason, "message": REASONS[operation.reason].message}
    return json_reply(201, body, HAL)


def notice(record: Record) -> dict[str, Any]:
    """Describe an operation as notifications do: what it is, and the status it has now."""
    operation = record.operation
    reference = {"code": operation.code}
    if operation.transaction_id:
        reference["transactionId"] = operation.transaction_id
    return {
        "id": operation.id,
        "status": record.status,
        "submitTimeUtc": utc_text(operation.time),
        "reconciliationId": operation.reconciliation_id,
        "clientReferenceInformation": reference,
        "orderInformation": {
            "amountDetails": {
                "totalAmount": decimal_text(operation.amount, operation.currency),
                "currency": operation.currency,
            }
        },
        "_links": {"self": {"href": f"/tss/v2/transactions/{operation.id}", "method": "GET"}},
    }


def _links(operation: Operation) -> dict[str, dict[str, str]]:
    own = f"/pts/v2/{kind_name(operation.kind)}/{operation.id}"
    if operation.kind is Kind.INCREMENT:
        own = f"/pts/v2/payments/{operation.target_id}"
    links = {"self": {"href": own, "method": "GET"}}
    if operation.kind is Kind.AUTHORIZATION and operation.status in HOLDING:
        links["authReversal"] = {"href": f"{own}/reversals", "method": "POST"}
        if not operation.sale:
            links["capture"] = {"href": f"{own}/captures", "method": "POST"}
    elif operation.kind in {Kind.CAPTURE, Kind.REFUND, Kind.CREDIT} and operation.status == "PENDING":
        links["void"] = {"href": f"{own}/voids", "method": "POST"}
    return links


def _money(record: Record, root: Record) -> dict[str, Any]:
    operation = record.operation
    currency = operation.currency
    amount = decimal_text(operation.amount, currency)
    original = decimal_text(root.operation.amount, currency)
    match operation.kind:
        case Kind.AUTHORIZATION:
            if operation.status not in HOLDING:
                return {}
            return {"orderInformation": {"amountDetails": {"authorizedAmount": amount, "currency": currency}}}
        case Kind.INCREMENT:
            total = decimal_text(root.authorized, currency)
            return {"orderInformation": {"amountDetails": {"authorizedAmount": total, "currency": currency}}}
        case Kind.CAPTURE:
            return {"orderInformation": {"amountDetails": {"totalAmount": amount, "currency": currency}}}
        case Kind.REFUND:
            return {"refundAmountDetails": {"refundAmount": amount, "currency": currency}}
        case Kind.CREDIT:
            return {"creditAmountDetails": {"creditAmount": amount, "currency": currency}}
        case Kind.REVERSAL:
            details = {"reversedAmount": amount, "originalTransactionAmount": original, "currency": currency}
            authorization = {"approvalCode": "888888", "reasonCode": "100", "reversalSubmitted": "Y"}
            return {"reversalAmountDetails": details, "authorizationInformation": authorization}
        case Kind.VOID:
            return {
                "voidAmountDetails": {"voidAmount": amount, "originalTransactionAmount": original, "currency": currency}
            }


def _processor(operation: Operation) -> dict[str, Any]:
    if operation.card is None:
        if operation.kind is Kind.INCREMENT and not operation.reason:
            return {"processorInformation": {"approvalCode": "888888", "responseCode": "100"}}
        return {}
    parts: dict[str, Any] = {"paymentAccountInformation": {"card": {"type": operation.card.type}}}
    if operation.kind is Kind.CREDIT:
        if operation.status == "PENDING":
            parts["processorInformation"] = {"approvalCode": "888888", "responseCode": "100"}
        return parts
    parts["paymentInformation"] = {
        "card": {"type": operation.card.type, "prefix": operation.card.prefix, "suffix": operation.card.suffix},
        "tokenizedCard": {"type": operation.card.type},
    }
    parts["pointOfSaleInformation"] = {"terminalId": "111111"}
    if operation.status in HOLDING:
        parts["processorInformation"] = {
            "approvalCode": "888888",
            "networkTransactionId": operation.network_transaction_id,
            "transactionId": operation.network_transaction_id,
            "responseCode": "00" if operation.status == "AUTHORIZED_RISK_DECLINED" else "100",
            "systemTraceAuditNumber": f"{operation.sequence % 1_000_000:06d}",
        }
    elif operation.status != "PENDING_AUTHENTICATION" and REASONS[operation.reason].response_code:
        parts["processorInformation"] = {"responseCode": REASONS[operation.reason].response_code}
    if "processorInformation" in parts:
        parts["processorInformation"] |= _checks(operation)
    return parts


def _checks(operation: Operation) -> dict[str, Any]:
    checks: dict[str, Any] = {}
    if operation.avs:
        checks["avs"] = {"code": operation.avs, "codeRaw": "I1" if operation.avs == "X" else operation.avs}
    if operation.cvn:
        checks["cardVerification"] = {"resultCode": operation.cvn, "resultCodeRaw": operation.cvn}
    if operation.advice:
        checks["merchantAdvice"] = {"code": operation.advice, "codeRaw": operation.advice}
    return checks


def summary(record: Record) -> dict[str, Any]:
    """Make the search's summary of an operation; like the real one it has no `status`."""
    operation = record.operation
    body: dict[str, Any] = {
        "id": operation.id,
        "submitTimeUtc": utc_text(operation.time),
        "merchantId": operation.merchant_id,
        "applicationInformation": _application_information(operation),
        "clientReferenceInformation": _client_reference(operation),
        "orderInformation": {
            "amountDetails": {
                "totalAmount": decimal_text(operation.requested, operation.currency),
                "currency": operation.currency,
            }
        },
        "_links": {"transactionDetail": {"href": f"/tss/v2/transactions/{operation.id}", "method": "GET"}},
    }
    if operation.card is not None:
        card = operation.card
        body["paymentInformation"] = {
            "paymentType": {"type": "credit card", "method": card.type},
            "card": {"prefix": card.prefix, "suffix": card.suffix, "type": card.type},
        }
    if operation.reason and operation.status not in HOLDING:
        body["errorInformation"] = {"reason": operation.reason}
    return body


def detail(record: Record) -> dict[str, Any]:
    """Make the body of one transaction's details."""
    operation = record.operation
    body = summary(record)
    del body["_links"], body["submitTimeUtc"]
    body["submitTimeUTC"] = utc_text(operation.time)
    body["rootId"] = operation.root_id
    body["reconciliationId"] = operation.reconciliation_id
    body["applicationInformation"]["status"] = record.status
    if operation.kind is Kind.AUTHORIZATION and operation.status in HOLDING:
        body["orderInformation"]["amountDetails"]["authorizedAmount"] = decimal_text(
            record.authorized, operation.currency
        )
    if operation.network_transaction_id:
        body["processorInformation"] = {
            "transactionId": operation.network_transaction_id,
            "networkTransactionId": operation.network_transaction_id,
            "approvalCode": "888888",
            "responseCode": "100",
        }
    related = [operation.target_id] if operation.target_id else []
    body["_links"] = {
        "self": {"href": f"/tss/v2/transactions/{operation.id}", "method": "GET"},
        "relatedTransactions": [
            {"href": f"/tss/v2/transactions/{other}", "method": "GET"} for other in (*related, *record.related_ids)
        ],
    }
    return body


def _application_information(operation: Operation) -> dict[str, Any]:
    code, flag, message, successful = "100", "SOK", "Request was processed successfully.", "1"
    if operation.reason:
        reason = REASONS[operation.reason]
        code, flag, message = reason.code, reason.flag, reason.message
        successful = "1" if operation.status in HOLDING else "0"
    elif operation.status == "PARTIAL_AUTHORIZED":
        partial = REASONS["PARTIAL_AMOUNT"]
        code, flag, message = partial.code, partial.flag, partial.message
    names = [_APPLICATIONS[operation.kind], *(["ics_bill"] if operation.sale else [])]
    result = {"reasonCode": code, "rCode": successful, "rFlag": flag}
    applications = [
        {
            "name": name,
            **result,
            "rMessage": message,
            "reconciliationId": operation.reconciliation_id,
            "returnCode": 1010000 if successful == "1" else 1010200,
        }
        for name in names
    ]
    return {**result, "applications": applications}


def _client_reference(operation: Operation) -> dict[str, str]:
    reference = {"code": operation.code}
    if operation.transaction_id:
        reference["transactionId"] = operation.transaction_id
    return reference


def journal_line(record: Record) -> dict[str, Any]:
    """Describe an operation for the comparison with another ledger: `status` as answered, `state` as it is now."""
    operation = record.operation
    return {
        "sequence": operation.sequence,
        "time": operation.time.isoformat(),
        "merchant_id": operation.merchant_id,
        "kind": operation.kind.value,
        "id": operation.id,
        "target_id": operation.target_id,
        "root_id": operation.root_id,
        "transaction_id": operation.transaction_id,
        "code": operation.code,
        "sale": operation.sale,
        "by_timeout": operation.by_timeout,
        "amount": decimal_text(operation.amount, operation.currency),
        "amount_minor": operation.amount,
        "requested_minor": operation.requested,
        "currency": operation.currency,
        "status": operation.status,
        "reason": operation.reason,
        "state": record.status,
    }
