"""Settlement as the API shows it: batches, batch summaries, purchases and refunds, net funding, interchange, disputes."""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from xml.sax.saxutils import escape

from shanraq.simulators.serve import Reply
from shanraq.simulators.visa.currency import decimal_text
from shanraq.simulators.visa.model import Batch, Kind, Record, Refusal
from shanraq.simulators.visa.render import HAL, json_reply, utc_text
from shanraq.simulators.visa.resources import Chargeback, RiskCase
from shanraq.simulators.visa.route import Call, Handler, Verb
from shanraq.simulators.visa.settle import CARD_NAMES, Settlement, settlement_of, settlements
from shanraq.simulators.visa.store import Store
from shanraq.simulators.visa.validate import page_of, read_period

CSV: Final = "text/csv;charset=utf-8"
XML: Final = "application/xml;charset=utf-8"

_NATURES: Final = {
    "retrieval": "Retrieval",
    "pre_dispute": "Pre-Dispute",
    "chargeback": "Chargeback",
    "representment": "Representment",
    "pre_arbitration": "Pre-Arbitration",
    "arbitration": "Arbitration",
    "won": "Chargeback Reversal",
    "lost": "Chargeback",
    "accepted": "Chargeback",
}


class SettlementViews:
    """Answers what a merchant asks about its settlement; `others` are the merchants it must not ask about."""

    def __init__(self, store: Store, now: Callable[[], datetime], merchants: frozenset[str]) -> None:
        self._store = store
        self._now = now
        self._merchants = merchants

    def handlers(self) -> Mapping[Verb, Handler]:
        """Return what answers each operation."""
        return {
            Verb.LIST_BATCHES: self._list_batches,
            Verb.GET_BATCH: self._get_batch,
            Verb.GET_BATCH_DETAILS: self._get_batch_details,
            Verb.BATCH_SUMMARIES: self._batch_summaries,
            Verb.PURCHASE_REFUND_DETAILS: self._purchase_refund_details,
            Verb.NET_FUNDINGS: self._net_fundings,
            Verb.CONVERSION_DETAILS: self._conversion_details,
            Verb.INTERCHANGE_DETAILS: self._interchange_details,
            Verb.CHARGEBACK_SUMMARIES: lambda call: self._summaries(call, "chargebackSummaries", retrievals=False),
            Verb.CHARGEBACK_DETAILS: lambda call: self._details(call, "chargebackDetails", retrievals=False),
            Verb.RETRIEVAL_SUMMARIES: lambda call: self._summaries(call, "retrievalSummaries", retrievals=True),
            Verb.RETRIEVAL_DETAILS: lambda call: self._details(call, "retrievalDetails", retrievals=True),
            Verb.NOTIFICATIONS_OF_CHANGE: self._notifications_of_change,
        }

    def check_organization(self, call: Call) -> None:
        """Refuse a request about another merchant; raises a Refusal with 403."""
        organization = call.query.get("organizationId", "")
        if organization in self._merchants and organization != call.merchant_id:
            raise Refusal("INVALID_DATA", field="organizationId", status=403, message="The organization is not yours")

    def _period(self, call: Call) -> tuple[datetime, datetime]:
        self.check_organization(call)
        return read_period(call.query)

    # Batches.

    def _list_batches(self, call: Call) -> Reply:
        start, end = self._period(call)
        batches = [_batch(one) for one in self._store.batches_of(call.merchant_id) if start <= one.time < end]
        body = {
            "_links": {"self": {"href": "/pts/v1/transaction-batches", "method": "GET"}},
            "submitTimeUtc": utc_text(self._now()),
            "transactionBatches": batches,
        }
        return json_reply(200, body, HAL)

    def _batch_of(self, call: Call) -> Batch:
        batch = self._store.batches.get(call.route.id)
        if batch is None or batch.merchant_id != call.merchant_id:
            raise Refusal("INVALID_DATA", field="id", status=404, message="The batch was not found")
        return batch

    def _get_batch(self, call: Call) -> Reply:
        batch = self._batch_of(call)
        links = {
            "transactions": [
                {"href": f"/tss/v2/transactions/{record.operation.id}", "method": "GET"} for record in batch.records
            ]
        }
        return json_reply(200, _batch(batch) | {"_links": links}, HAL)

    def _get_batch_details(self, call: Call) -> Reply:
        batch = self._batch_of(call)
        rows = [detail_row(settlement_of(record, batch)) for record in batch.records]
        if prefers_xml(call.accept):
            return Reply(200, xml_rows("BatchDetail", rows, DETAIL_FIELDS), XML)
        return Reply(200, csv_rows(rows, DETAIL_FIELDS), CSV)

    # Views of a period.

    def _batch_summaries(self, call: Call) -> Reply:
        start, end = self._period(call)
        sums: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0, 0, 0])
        for one in settlements(self._store, call.merchant_id, start, end):
            found = sums[one.record.operation.currency, self._brand(one.record)]
            place = 0 if one.sign > 0 else 2
            found[place] += 1
            found[place + 1] += one.gross
        rows = [
            {
                "currencyCode": currency,
                "paymentSubTypeDescription": brand,
                "startTime": utc_text(start),
                "endTime": utc_text(end),
                "salesCount": sales,
                "salesAmount": decimal_text(sold, currency),
                "creditCount": refunds,
                "creditAmount": decimal_text(refunded, currency),
                "accountName": call.merchant_id,
                "accountId": call.merchant_id,
                "merchantId": call.merchant_id,
                "merchantName": call.merchant_id,
            }
            for (currency, brand), (sales, sold, refunds, refunded) in sums.items()
        ]
        body = {"startTime": utc_text(start), "endTime": utc_text(end), "paymentBatchSummaries": rows}
        return present(call, body, "paymentBatchSummaries")

    def _brand(self, record: Record) -> str:
        root = self._store.records[record.operation.root_id].operation
        return CARD_NAMES.get(root.card.type, "Other") if root.card is not None else "Other"

    def _suffix(self, record: Record) -> str:
        root = self._store.records[record.operation.root_id].operation
        return root.card.suffix if root.card is not None else ""

    def _purchase_refund_details(self, call: Call) -> Reply:
        start, end = self._period(call)
        offset, limit = page_of(call.query, 2000, 2000)
        found = list(settlements(self._store, call.merchant_id, start, end))
        page = found[offset : offset + limit]
        body = {
            "offset": offset,
            "limit": limit,
            "pageResults": len(page),
            "requestDetails": [self._request_detail(one) for one in page],
            "settlements": [self._settlement(one) for one in page],
            "authorizations": [self._authorization(one) for one in page],
            "feeAndFundingDetails": [_funding(one) for one in page],
            "settlementStatuses": [
                {
                    "requestId": one.record.operation.id,
                    "status": "ACCEPTED",
                    "settlementTime": utc_text(one.batch.time),
                    "reasonCode": "100",
                }
                for one in page
            ],
        }
        return present(call, body, "settlements")

    def _request_detail(self, one: Settlement) -> dict[str, Any]:
        operation = one.record.operation
        return {
            "requestId": operation.id,
            "cybersourceMerchantId": operation.merchant_id,
            "processorMerchantId": operation.merchant_id,
            "transactionReferenceNumber": operation.reconciliation_id,
            "merchantReferenceNumber": operation.code,
        }

    def _settlement(self, one: Settlement) -> dict[str, Any]:
        operation = one.record.operation
        brand = self._brand(one.record)
        return {
            "requestId": operation.id,
            "transactionType": one.type,
            "submissionTime": utc_text(operation.time),
            "amount": decimal_text(one.gross, operation.currency),
            "currencyCode": operation.currency,
            "paymentMethod": brand,
            "paymentType": "credit card",
            "accountSuffix": self._suffix(one.record),
            "cybersourceBatchTime": utc_text(one.batch.time),
            "cybersourceBatchId": one.batch.id,
            "cardType": brand,
        }

    def _authorization(self, one: Settlement) -> dict[str, Any]:
        root = self._store.records[one.record.operation.root_id].operation
        return {
            "requestId": one.record.operation.id,
            "transactionReferenceNumber": root.reconciliation_id,
            "time": utc_text(root.time),
            "authorizationRequestId": root.id,
            "amount": decimal_text(root.amount, root.currency),
            "currencyCode": root.currency,
            "code": "888888",
            "rcode": "1",
        }

    def _net_fundings(self, call: Call) -> Reply:
        start, end = self._period(call)
        sums: dict[tuple[str, str, str], list[int]] = defaultdict(lambda: [0, 0])

        def add(kind: str, brand: str, currency: str, amount: int) -> None:
            found = sums[kind, brand, currency]
            found[0] += 1
            found[1] += amount

        for one in settlements(self._store, call.merchant_id, start, end):
            currency, brand = one.record.operation.currency, self._brand(one.record)
            add("PURCHASES" if one.sign > 0 else "REFUNDS", brand, currency, one.sign * one.gross)
            if one.fee:
                add("FEES", brand, currency, -one.fee)
        for step in self._store.resources(Chargeback, call.merchant_id):
            if start <= step.time < end and (step.money or step.fee):
                brand = self._brand(self._store.records[step.target_id])
                if step.money:
                    add("CHARGEBACKS", brand, step.currency, step.money)
                if step.fee:
                    add("FEES", brand, step.currency, -step.fee)
        rows = [
            {
                "type": kind,
                "paymentSubType": brand,
                "conveyedCount": count,
                "conveyedAmount": _signed(amount, currency),
                "settledCount": count,
                "fundedCount": count,
                "fundedAmount": _signed(amount, currency),
                "currencyCode": currency,
            }
            for (kind, brand, currency), (count, amount) in sums.items()
        ]
        body: dict[str, Any] = {"startTime": utc_text(start), "endTime": utc_text(end), "netFundingSummaries": rows}
        for name, kinds in (
            ("totalPurchases", {"PURCHASES"}),
            ("totalRefunds", {"REFUNDS"}),
            ("totalFees", {"FEES"}),
            ("totalChargebacks", {"CHARGEBACKS"}),
            ("netTotal", {"PURCHASES", "REFUNDS", "FEES", "CHARGEBACKS"}),
        ):
            totals: dict[str, int] = defaultdict(int)
            for (kind, _, currency), (_, amount) in sums.items():
                if kind in kinds:
                    totals[currency] += amount
            body[name] = [
                {"currency": currency, "value": _signed(value, currency)} for currency, value in totals.items()
            ]
        return present(call, body, "netFundingSummaries")

    def _interchange_details(self, call: Call) -> Reply:
        start, end = self._period(call)
        rows = [self._interchange(one) for one in settlements(self._store, call.merchant_id, start, end)]
        body = {"startDate": utc_text(start), "endDate": utc_text(end), "interchangeClearingLevelDetails": rows}
        return present(call, body, "interchangeClearingLevelDetails")

    def _interchange(self, one: Settlement) -> dict[str, Any]:
        operation = one.record.operation
        currency = operation.currency
        return {
            "requestId": operation.id,
            "organizationId": operation.merchant_id,
            "accountId": operation.merchant_id,
            "processorMerchantId": operation.merchant_id,
            "transactionReferenceNumber": operation.reconciliation_id,
            "merchantReferenceNumber": operation.code,
            "accountSuffix": self._suffix(one.record),
            "paymentSubType": self._brand(one.record),
            "transactionTime": utc_text(operation.time),
            "processedTime": utc_text(one.batch.time),
            "transactionType": one.type,
            "amount": decimal_text(one.gross, currency),
            "currencyCode": currency,
            "settlementTime": utc_text(one.batch.time),
            "merchantBatchNumber": one.batch.id,
            "discountRate": _percentage(one.batch.fees.discount_basis_points) if one.sign > 0 else "0.00",
            "discountAmount": decimal_text(one.discount_rate + one.discount_item, currency),
            "interchangeAmount": decimal_text(one.interchange_rate + one.interchange_item, currency),
            "settlementAmount": _signed(one.net, currency),
            "settlementCurrencyCode": currency,
            "conversionRate": "1.0",
            "percentRateCharged": _percentage(one.batch.fees.interchange_basis_points) if one.sign > 0 else "0.00",
            "perTransactionCharged": decimal_text(one.interchange_item, currency),
            "authCode": "888888",
            "batchTime": utc_text(one.batch.time),
        }

    def _conversion_details(self, call: Call) -> Reply:
        start, end = self._period(call)
        rows = [
            {
                "merchantReferenceNumber": case.code,
                "conversionTime": utc_text(case.decided_at),
                "requestId": case.id,
                "originalDecision": "REVIEW",
                "newDecision": "ACCEPT" if case.status == "ACCEPTED" else "REJECT",
                "reviewer": call.merchant_id,
                "reviewerComments": case.comments,
                "queue": "Review",
                "profile": "Standard",
                "notes": [
                    {"time": utc_text(note.time), "addedBy": call.merchant_id, "comments": note.text}
                    for note in case.notes
                ],
            }
            for case in self._store.resources(RiskCase, call.merchant_id)
            if case.decided_at is not None and start <= case.decided_at < end
        ]
        body = {
            "organizationId": call.merchant_id,
            "startTime": utc_text(start),
            "endTime": utc_text(end),
            "conversionDetails": rows,
        }
        return present(call, body, "conversionDetails")

    # Disputes.

    def _steps(self, call: Call, *, retrievals: bool) -> list[Chargeback]:
        start, end = self._period(call)
        steps = self._store.resources(Chargeback, call.merchant_id)
        return [one for one in steps if (one.stage == "retrieval") is retrievals and start <= one.time < end]

    def _summaries(self, call: Call, name: str, *, retrievals: bool) -> Reply:
        days: dict[datetime, int] = defaultdict(int)
        for step in self._steps(call, retrievals=retrievals):
            days[step.time.replace(hour=0, minute=0, second=0, microsecond=0)] += 1
        rows = [{"count": count, "time": utc_text(day), "accountId": call.merchant_id} for day, count in days.items()]
        return present(call, self._headed(call) | {name: rows}, name)

    def _details(self, call: Call, name: str, *, retrievals: bool) -> Reply:
        rows = [self._dispute(step) for step in self._steps(call, retrievals=retrievals)]
        return present(call, self._headed(call) | {name: rows}, name)

    def _headed(self, call: Call) -> dict[str, Any]:
        start, end = read_period(call.query)
        return {"organizationId": call.merchant_id, "startTime": utc_text(start), "endTime": utc_text(end)}

    def _dispute(self, step: Chargeback) -> dict[str, Any]:
        record = self._store.records[step.target_id]
        row = {
            "processorMerchantId": step.merchant_id,
            "merchantName": step.merchant_id,
            "transactionReferenceNumber": record.operation.reconciliation_id,
            "merchantReferenceNumber": record.operation.code,
            "natureOfDispute": _NATURES[step.stage],
            "amount": decimal_text(step.amount, step.currency),
            "sign": "-" if step.money < 0 else "+",
            "action": step.stage.upper(),
            "actionDescription": _NATURES[step.stage],
            "cardType": self._brand(record),
            "originalSettlementTime": utc_text(record.batch.time) if record.batch is not None else "",
            "trackingNumber": step.dispute_id,
            "currencyCode": step.currency,
            "requestId": step.target_id,
            "time": utc_text(step.time),
            "reasonCode": step.reason_code,
        }
        if step.stage != "retrieval":
            row["preDisputeFlag"] = "Y" if step.stage == "pre_dispute" else "N"
        if step.due_at is not None:
            row["responseDueTime"] = utc_text(step.due_at)
        return row

    def _notifications_of_change(self, call: Call) -> Reply:
        """Answer that no bank account has changed: the simulator knows cards only."""
        self._period(call)
        return present(call, {"notificationOfChanges": []}, "notificationOfChanges")


def _batch(batch: Batch) -> dict[str, Any]:
    return {
        "id": batch.id,
        "uploadDate": batch.time.strftime("%Y-%m-%d"),
        "completionDate": utc_text(batch.time),
        "transactionCount": len(batch.records),
        "acceptedTransactionCount": len(batch.records),
        "rejectedTransactionCount": "0",
        "status": "Completed",
    }


def _funding(one: Settlement) -> dict[str, Any]:
    operation = one.record.operation
    currency, fees = operation.currency, one.batch.fees
    purchase = one.sign > 0
    return {
        "requestId": operation.id,
        "interchangePerItemFee": decimal_text(one.interchange_item, currency),
        "interchangeDescription": "Simulated schedule",
        "interchangePercentage": _percentage(fees.interchange_basis_points if purchase else 0),
        "interchangePercentageAmount": decimal_text(one.interchange_rate, currency),
        "discountPercentage": _percentage(fees.discount_basis_points if purchase else 0),
        "discountAmount": decimal_text(one.discount_rate, currency),
        "discountPerItemFee": decimal_text(one.discount_item, currency),
        "totalFee": decimal_text(one.fee, currency),
        "feeCurrency": currency,
        "duesAssessments": decimal_text(one.assessment, currency),
        "fundingAmount": _signed(one.net, currency),
        "fundingCurrency": currency,
    }


DETAIL_FIELDS: Final = (
    "BatchID",
    "BatchDate",
    "RequestID",
    "TransactionDate",
    "MerchantID",
    "MerchantReferenceNumber",
    "TransactionReferenceNumber",
    "TransactionType",
    "Amount",
    "CurrencyCode",
    "InterchangeAmount",
    "DuesAssessments",
    "DiscountAmount",
    "TotalFee",
    "FundingAmount",
    "AuthorizationRequestID",
    "Status",
)


def detail_row(one: Settlement) -> dict[str, str]:
    """Return one transaction of a batch by the names of `DETAIL_FIELDS`."""
    operation = one.record.operation
    currency = operation.currency
    return {
        "BatchID": one.batch.id,
        "BatchDate": utc_text(one.batch.time),
        "RequestID": operation.id,
        "TransactionDate": utc_text(operation.time),
        "MerchantID": operation.merchant_id,
        "MerchantReferenceNumber": operation.code,
        "TransactionReferenceNumber": operation.reconciliation_id,
        "TransactionType": one.type,
        "Amount": decimal_text(one.gross, currency),
        "CurrencyCode": currency,
        "InterchangeAmount": decimal_text(one.interchange_rate + one.interchange_item, currency),
        "DuesAssessments": decimal_text(one.assessment, currency),
        "DiscountAmount": decimal_text(one.discount_rate + one.discount_item, currency),
        "TotalFee": decimal_text(one.fee, currency),
        "FundingAmount": _signed(one.net, currency),
        "AuthorizationRequestID": operation.root_id if operation.kind is not Kind.CREDIT else "",
        "Status": "TRANSMITTED",
    }


def _signed(minor: int, currency: str) -> str:
    return decimal_text(minor, currency) if minor >= 0 else "-" + decimal_text(-minor, currency)


def _percentage(basis_points: int) -> str:
    return f"{basis_points // 100}.{basis_points % 100:02d}"


# Forms.


def prefers_xml(accept: str) -> bool:
    """Tell whether XML is the first of the forms that a client accepts."""
    return accept.partition(",")[0].partition(";")[0].strip() in {"application/xml", "text/xml"}


def present(call: Call, body: dict[str, Any], rows: str) -> Reply:
    """Make a reply in the form a client asks for first: JSON, XML, or CSV of the rows."""
    if prefers_xml(call.accept):
        root = call.route.verb.value.title().replace("_", "")
        return Reply(200, f'<?xml version="1.0" encoding="UTF-8"?>\n{_xml(root, body)}\n'.encode(), XML)
    if call.accept.partition(",")[0].partition(";")[0].strip() == "text/csv":
        names = list(
            dict.fromkeys(name for row in body[rows] for name, value in row.items() if not isinstance(value, list))
        )
        return Reply(200, csv_rows(body[rows], names), CSV)
    return json_reply(200, body, HAL)


def csv_rows(rows: Iterable[Mapping[str, Any]], names: Sequence[str]) -> bytes:
    """Write rows as CSV (RFC 4180) with a line of names."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(names)
    writer.writerows([[row.get(name, "") for name in names] for row in rows])
    return text.getvalue().encode()


def xml_rows(root: str, rows: Iterable[Mapping[str, Any]], names: Sequence[str], attributes: str = "") -> bytes:
    """Write rows as XML, an element for each value."""
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', f"<{root}{attributes}>"]
    for row in rows:
        values = "".join(f"<{name}>{_xml_text(row.get(name, ''))}</{name}>" for name in names)
        lines.append(f"<Record>{values}</Record>")
    lines.append(f"</{root}>\n")
    return "\n".join(lines).encode()


def _xml(name: str, value: object) -> str:
    if isinstance(value, dict):
        return f"<{name}>{''.join(_xml(inner, one) for inner, one in value.items())}</{name}>"
    if isinstance(value, list):
        return "".join(_xml(name, one) for one in value)
    return f"<{name}>{_xml_text(value)}</{name}>"


def _xml_text(value: object) -> str:
    # Characters that XML 1.0 cannot hold, in any form, are shown as a question mark.
    allowed = "".join(
        letter if (letter >= " " and letter not in "\ufffe\uffff") or letter in "\t\n\r" else "?"
        for letter in str(value)
    )
    return escape(allowed)
