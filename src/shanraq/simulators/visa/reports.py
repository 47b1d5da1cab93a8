"""Reports: definitions, reports on demand, subscriptions made at every cut-off, and downloads as CSV or XML.

Rows come from the journal when a report is downloaded; a report shows what had happened when it was made. Fields that the
simulator does not know are columns without values, as a definition may have more than it fills.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final
from xml.sax.saxutils import quoteattr

from shanraq.simulators.serve import Reply
from shanraq.simulators.visa.currency import decimal_text
from shanraq.simulators.visa.ids import Ids
from shanraq.simulators.visa.model import HOLDING, Batch, JournalEntry, Kind, Record, Refusal
from shanraq.simulators.visa.render import HAL, json_reply, utc_text
from shanraq.simulators.visa.resources import Chargeback, Removed, Report, ReportSubscription
from shanraq.simulators.visa.route import Call, Handler, Verb
from shanraq.simulators.visa.settle import settlement_of
from shanraq.simulators.visa.store import Store
from shanraq.simulators.visa.trigger import REASONS
from shanraq.simulators.visa.validate import (
    Body,
    get,
    optional,
    parse_time,
    read_period,
    refuse_card_numbers,
    require,
    texts,
)
from shanraq.simulators.visa.views import CSV, DETAIL_FIELDS, XML, csv_rows, detail_row, xml_rows

Rows = Callable[[Store, Report], Iterator[dict[str, str]]]

_NAME = re.compile(r"[a-zA-Z0-9_+ -]{1,128}")
_DEFINITION = re.compile(r"[a-zA-Z0-9-]{1,80}")
_MIME_TYPES: Final = {"application/xml": XML, "text/csv": CSV}
_FREQUENCIES: Final = frozenset({"DAILY", "WEEKLY", "MONTHLY", "USER_DEFINED", "ADHOC"})
_LONGEST_LIST: Final = 300
_DAILY: Final = "PaymentBatchDetailReport_Daily_Classic"


@dataclass(frozen=True, slots=True)
class Definition:
    """A kind of report: its number, what it holds, its fields in order, and what makes its rows."""

    id: int
    name: str
    description: str
    fields: Sequence[str]
    rows: Rows


def _transactions(store: Store, report: Report) -> Iterator[dict[str, str]]:
    for record in store.of_merchant(report.merchant_id):
        operation = record.operation
        if operation.sequence <= report.last_sequence and report.start <= operation.time < report.end:
            yield _transaction(store, record, signed=report.signed_amounts)


def _transaction(store: Store, record: Record, *, signed: bool) -> dict[str, str]:
    operation = record.operation
    root = store.records[operation.root_id].operation
    approved = not operation.reason or operation.status in HOLDING
    reason = REASONS.get(operation.reason)
    back = operation.kind in {Kind.REFUND, Kind.CREDIT}
    amount = decimal_text(operation.amount if approved else operation.requested, operation.currency)
    return {
        "Request.RequestID": operation.id,
        "Request.TransactionDate": utc_text(operation.time),
        "Request.MerchantID": operation.merchant_id,
        "Request.MerchantReferenceNumber": operation.code,
        "Request.TransactionReferenceNumber": operation.reconciliation_id,
        "Request.LinkedRequestID": operation.target_id,
        "Application.Name": operation.kind.value,
        "Application.ReasonCode": reason.code if reason is not None else "100",
        "Application.RFlag": reason.flag if reason is not None else "SOK",
        "Application.RCode": "1" if approved else "0",
        "Application.Status": operation.status,
        "PaymentData.Amount": f"-{amount}" if signed and back else amount,
        "PaymentData.CurrencyCode": operation.currency,
        "PaymentMethod.CardType": root.card.type if root.card is not None else "",
        "PaymentMethod.AccountSuffix": root.card.suffix if root.card is not None else "",
    }


def _batched(store: Store, report: Report) -> Iterator[dict[str, str]]:
    for batch in store.batches_of(report.merchant_id):
        if report.start <= batch.time < report.end:
            for record in batch.records:
                if record.operation.sequence <= report.last_sequence:
                    yield _batch_row(record, batch, signed=report.signed_amounts)


def _batch_row(record: Record, batch: Batch, *, signed: bool) -> dict[str, str]:
    row = detail_row(settlement_of(record, batch))
    if signed and row["TransactionType"] == "Refund":
        row["Amount"] = f"-{row['Amount']}"
    return row


_DISPUTE_FIELDS: Final = (
    "RequestID",
    "MerchantReferenceNumber",
    "TransactionReferenceNumber",
    "TrackingNumber",
    "Stage",
    "ReasonCode",
    "Amount",
    "Sign",
    "CurrencyCode",
    "Fee",
    "Time",
    "ResponseDueTime",
)


def _disputes(store: Store, report: Report) -> Iterator[dict[str, str]]:
    for step in store.resources(Chargeback, report.merchant_id):
        if report.start <= step.time < report.end:
            operation = store.records[step.target_id].operation
            yield {
                "RequestID": step.target_id,
                "MerchantReferenceNumber": operation.code,
                "TransactionReferenceNumber": operation.reconciliation_id,
                "TrackingNumber": step.dispute_id,
                "Stage": step.stage,
                "ReasonCode": step.reason_code,
                "Amount": decimal_text(step.amount, step.currency),
                "Sign": "-" if step.money < 0 else "+" if step.money else "",
                "CurrencyCode": step.currency,
                "Fee": decimal_text(step.fee, step.currency),
                "Time": utc_text(step.time),
                "ResponseDueTime": utc_text(step.due_at) if step.due_at is not None else "",
            }


_TRANSACTION_FIELDS: Final = (
    "Request.RequestID",
    "Request.TransactionDate",
    "Request.MerchantID",
    "Request.MerchantReferenceNumber",
    "Request.TransactionReferenceNumber",
    "Request.LinkedRequestID",
    "Application.Name",
    "Application.ReasonCode",
    "Application.RFlag",
    "Application.RCode",
    "Application.Status",
    "PaymentData.Amount",
    "PaymentData.CurrencyCode",
    "PaymentMethod.CardType",
    "PaymentMethod.AccountSuffix",
)
_DEFINITIONS: Final = {
    one.name: one
    for one in (
        Definition(210, "TransactionRequestClass", "Every transaction", _TRANSACTION_FIELDS, _transactions),
        Definition(211, "PaymentBatchDetailClass", "Every transaction of a batch", DETAIL_FIELDS, _batched),
        Definition(265, "PurchaseRefundDetailClass", "Purchases and refunds", DETAIL_FIELDS, _batched),
        Definition(620, "ChargebackAndRetrievalDetailClass", "Disputes, step by step", _DISPUTE_FIELDS, _disputes),
    )
}


class Reports:
    """Makes and gives reports; `check_organization` refuses what is about another merchant."""

    def __init__(
        self,
        store: Store,
        keep: Callable[[JournalEntry], None],
        now: Callable[[], datetime],
        ids: Ids,
        check_organization: Callable[[Call], None],
    ) -> None:
        self.delay_seconds = 0.0
        self._store = store
        self._keep = keep
        self._now = now
        self._ids = ids
        self._check_organization = check_organization

    def handlers(self) -> Mapping[Verb, Handler]:
        """Return what answers each operation."""
        handlers = {
            Verb.CREATE_REPORT: self._create,
            Verb.LIST_REPORTS: self._list,
            Verb.GET_REPORT: self._get,
            Verb.DOWNLOAD_REPORT: self._download,
            Verb.LIST_REPORT_DEFINITIONS: self._list_definitions,
            Verb.GET_REPORT_DEFINITION: self._get_definition,
            Verb.PUT_REPORT_SUBSCRIPTION: self._put_subscription,
            Verb.PUT_PREDEFINED_SUBSCRIPTION: self._put_predefined,
            Verb.LIST_REPORT_SUBSCRIPTIONS: self._list_subscriptions,
            Verb.GET_REPORT_SUBSCRIPTION: self._get_subscription,
            Verb.DELETE_REPORT_SUBSCRIPTION: self._delete_subscription,
        }
        return {verb: self._of_own_organization(handler) for verb, handler in handlers.items()}

    def _of_own_organization(self, handler: Handler) -> Handler:
        def checked(call: Call) -> Reply:
            self._check_organization(call)
            return handler(call)

        return checked

    # Reports.

    def _create(self, call: Call) -> Reply:
        body = call.body
        start = parse_time(require(body, "reportStartTime"), "reportStartTime")
        end = parse_time(require(body, "reportEndTime"), "reportEndTime")
        if end <= start:
            raise Refusal("INVALID_DATA", field="reportEndTime")
        settings = _settings(body)
        now = self._now()
        self._keep(
            Report(
                id=self._ids.uuid(),
                merchant_id=call.merchant_id,
                time=now,
                start=start,
                end=end,
                last_sequence=self._store.last_sequence,
                ready_at=now + timedelta(seconds=self.delay_seconds),
                **settings,
            )
        )
        return Reply(201, b"", "application/json;charset=utf-8")

    def after_cut_off(self, since: datetime) -> None:
        """Make the reports that subscriptions ask for, and each merchant's daily one, about the time since the last cut-off."""
        now = self._now()
        # The end of a period does not belong to it, and the batch has just now been sent.
        end = now + timedelta(microseconds=1)
        merchants = {batch.merchant_id for batch in self._store.batches.values() if since <= batch.time <= now}
        for merchant_id in sorted(merchants):
            daily = ReportSubscription(
                id="",
                merchant_id=merchant_id,
                definition="PaymentBatchDetailClass",
                name=_DAILY,
                mime_type="text/csv",
                type="CLASSIC",
            )
            for subscription in (daily, *self._store.resources(ReportSubscription, merchant_id)):
                self._keep(
                    Report(
                        id=self._ids.uuid(),
                        merchant_id=merchant_id,
                        time=now,
                        definition=subscription.definition,
                        name=subscription.name,
                        mime_type=subscription.mime_type,
                        frequency=subscription.frequency,
                        timezone=subscription.timezone,
                        fields=subscription.fields,
                        signed_amounts=subscription.signed_amounts,
                        convention=subscription.convention,
                        subscription_type=subscription.type,
                        start=since,
                        end=end,
                        last_sequence=self._store.last_sequence,
                        ready_at=now + timedelta(seconds=self.delay_seconds),
                    )
                )

    def _status(self, report: Report) -> str:
        if report.ready_at is not None and self._now() < report.ready_at:
            waited = self._now() - report.time
            return "QUEUED" if waited < (report.ready_at - report.time) / 2 else "RUNNING"
        return "NO_DATA" if next(self._rows(report), None) is None else "COMPLETED"

    def _rows(self, report: Report) -> Iterator[dict[str, str]]:
        return _DEFINITIONS[report.definition].rows(self._store, report)

    def _list(self, call: Call) -> Reply:
        query = call.query
        start, end = read_period(query)
        kind = query.get("timeQueryType")
        if kind is None:
            raise Refusal("MISSING_FIELD", field="timeQueryType")
        if kind not in {"reportTimeFrame", "executedTime"}:
            raise Refusal("INVALID_DATA", field="timeQueryType")
        found = []
        for report in self._store.resources(Report, call.merchant_id):
            inside = (
                start <= report.time < end if kind == "executedTime" else start <= report.start and report.end <= end
            )
            wanted = all(
                query.get(name, value) == value
                for name, value in (
                    ("reportName", report.name),
                    ("reportMimeType", report.mime_type),
                    ("reportFrequency", report.frequency),
                    ("reportDefinitionId", str(_DEFINITIONS[report.definition].id)),
                )
            )
            if inside and wanted and query.get("reportStatus", "") in {"", self._status(report)}:
                found.append(self._result(report))
        return json_reply(200, {"reportSearchResults": found}, HAL)

    def _result(self, report: Report) -> dict[str, Any]:
        status = self._status(report)
        result: dict[str, Any] = {
            "reportDefinitionId": str(_DEFINITIONS[report.definition].id),
            "reportName": report.name,
            "reportMimeType": report.mime_type,
            "reportFrequency": report.frequency,
            "status": status,
            "reportStartTime": utc_text(report.start),
            "reportEndTime": utc_text(report.end),
            "timezone": report.timezone,
            "reportId": report.id,
            "organizationId": report.merchant_id,
            "queuedTime": utc_text(report.time),
            "reportGeneratingTime": utc_text(report.time),
            "subscriptionType": report.subscription_type,
        }
        if status in {"COMPLETED", "NO_DATA"} and report.ready_at is not None:
            result["reportCompletedTime"] = utc_text(report.ready_at)
        if status == "COMPLETED":
            name = report.name.replace("+", "%2B").replace(" ", "%20")
            href = f"/reporting/v3/report-downloads?reportDate={_report_date(report)}&reportName={name}"
            result["_link"] = {"reportDownload": {"href": href, "method": "GET"}}
        return result

    def _get(self, call: Call) -> Reply:
        report = self._store.resource(Report, call.merchant_id, call.route.id)
        if report is None:
            raise Refusal("INVALID_DATA", field="reportId", status=404, message="The report was not found")
        definition = _DEFINITIONS[report.definition]
        body = {
            "organizationId": report.merchant_id,
            "reportId": report.id,
            "reportDefinitionId": str(definition.id),
            "reportName": report.name,
            "reportMimeType": report.mime_type,
            "reportFrequency": report.frequency,
            "reportFields": list(report.fields or definition.fields),
            "reportStatus": self._status(report),
            "reportStartTime": utc_text(report.start),
            "reportEndTime": utc_text(report.end),
            "timezone": report.timezone,
            "reportPreferences": {"signedAmounts": report.signed_amounts, "fieldNameConvention": report.convention},
        }
        return json_reply(200, body, HAL)

    def _download(self, call: Call) -> Reply:
        day, name = call.query.get("reportDate"), call.query.get("reportName")
        for field, value in (("reportDate", day), ("reportName", name)):
            if value is None:
                raise Refusal("MISSING_FIELD", field=field)
        try:
            date.fromisoformat(str(day))
        except ValueError:
            raise Refusal("INVALID_DATA", field="reportDate") from None
        for report in reversed(self._store.resources(Report, call.merchant_id)):
            days = {_report_date(report), report.start.date().isoformat(), report.time.date().isoformat()}
            if report.name == name and day in days and self._status(report) == "COMPLETED":
                return self._file(report)
        raise Refusal("INVALID_DATA", field="reportName", status=404, message="The report was not found")

    def _file(self, report: Report) -> Reply:
        names = report.fields or _DEFINITIONS[report.definition].fields
        rows = self._rows(report)
        if report.mime_type == "text/csv":
            return Reply(200, csv_rows(rows, names), CSV)
        attributes = "".join(
            f" {name}={quoteattr(value)}"
            for name, value in (
                ("Name", report.name),
                ("OrganizationID", report.merchant_id),
                ("ReportStartDate", utc_text(report.start)),
                ("ReportEndDate", utc_text(report.end)),
            )
        )
        return Reply(
            200, xml_rows("Report", rows, [name for name in names if _ELEMENT.fullmatch(name)], attributes), XML
        )

    # Definitions.

    def _list_definitions(self, call: Call) -> Reply:
        return json_reply(200, {"reportDefinitions": [_definition(one) for one in _DEFINITIONS.values()]}, HAL)

    def _get_definition(self, call: Call) -> Reply:
        definition = _DEFINITIONS.get(_with_class(call.route.id))
        if definition is None:
            raise Refusal(
                "INVALID_DATA", field="reportDefinitionName", status=404, message="There is no such definition"
            )
        attributes = [
            {
                "id": name,
                "name": name,
                "description": name,
                "filterType": "NONE",
                "default": True,
                "required": False,
                "supportedType": "both",
            }
            for name in definition.fields
        ]
        return json_reply(200, _definition(definition) | {"attributes": attributes}, HAL)

    # Subscriptions.

    def _put_subscription(self, call: Call) -> Reply:
        body = call.body
        settings = _settings(body)
        return self._subscribe(call, settings, _frequency(body), "CUSTOM")

    def _put_predefined(self, call: Call) -> Reply:
        body = call.body
        kind = require(body, "subscriptionType")
        if kind not in {"CLASSIC", "STANDARD"}:
            raise Refusal("INVALID_DATA", field="subscriptionType")
        definition = require(body, "reportDefinitionName")
        name = (
            optional(body, "reportName")
            or f"{definition.removesuffix('Class')}_{_frequency(body).title()}_{kind.title()}"
        )
        given = {"reportName": name, "reportMimeType": optional(body, "reportMimeType") or "text/csv"}
        settings = _settings(body | given)
        if optional(body, "subscriptionStatus") == "INACTIVE":
            self._keep(Removed("report_subscription", f"{call.merchant_id}/{name}"))
            return json_reply(200, {}, HAL)
        return self._subscribe(call, settings, _frequency(body), kind)

    def _subscribe(self, call: Call, settings: dict[str, Any], frequency: str, kind: str) -> Reply:
        body = call.body
        start_day = get(body, "startDay")
        if start_day is not None and (
            not isinstance(start_day, int) or isinstance(start_day, bool) or not 1 <= start_day <= 31
        ):
            raise Refusal("INVALID_DATA", field="startDay")
        subscription = ReportSubscription(
            id=f"{call.merchant_id}/{settings['name']}",
            merchant_id=call.merchant_id,
            frequency=frequency,
            interval=optional(body, "reportInterval")[:20],
            start_time=optional(body, "startTime")[:20] or "0000",
            start_day=start_day or 1,
            type=kind,
            **settings,
        )
        refuse_card_numbers([subscription.interval, subscription.start_time])
        known = self._store.resource(ReportSubscription, call.merchant_id, subscription.id) is not None
        self._keep(subscription)
        return json_reply(200 if known or kind == "CUSTOM" else 201, {}, HAL)

    def _subscription(self, call: Call) -> ReportSubscription:
        found = self._store.resource(ReportSubscription, call.merchant_id, f"{call.merchant_id}/{call.route.id}")
        if found is None:
            raise Refusal("INVALID_DATA", field="reportName", status=404, message="The subscription was not found")
        return found

    def _list_subscriptions(self, call: Call) -> Reply:
        found = [_subscription(one) for one in self._store.resources(ReportSubscription, call.merchant_id)]
        return json_reply(200, {"subscriptions": found}, HAL)

    def _get_subscription(self, call: Call) -> Reply:
        return json_reply(200, _subscription(self._subscription(call)), HAL)

    def _delete_subscription(self, call: Call) -> Reply:
        self._keep(Removed("report_subscription", self._subscription(call).id))
        return json_reply(200, {}, HAL)


_ELEMENT = re.compile(r"[A-Za-z_][A-Za-z0-9._-]*")


def _with_class(name: str) -> str:
    return name if name.endswith("Class") else f"{name}Class"


def _settings(body: Body) -> dict[str, Any]:
    """Read what reports and subscriptions have in common; raises a Refusal."""
    definition = require(body, "reportDefinitionName")
    name = require(body, "reportName")
    if not _DEFINITION.fullmatch(definition) or _with_class(definition) not in _DEFINITIONS:
        raise Refusal("INVALID_DATA", field="reportDefinitionName")
    if not _NAME.fullmatch(name):
        raise Refusal("INVALID_DATA", field="reportName")
    mime_type = optional(body, "reportMimeType") or "application/xml"
    if mime_type not in _MIME_TYPES:
        raise Refusal("INVALID_DATA", field="reportMimeType")
    fields = texts(body, "reportFields")
    if len(fields) > _LONGEST_LIST or any(not 0 < len(field) <= 200 for field in fields):
        raise Refusal("INVALID_DATA", field="reportFields")
    signed = get(body, "reportPreferences.signedAmounts")
    if signed is not None and not isinstance(signed, bool):
        raise Refusal("INVALID_DATA", field="reportPreferences.signedAmounts")
    convention = optional(body, "reportPreferences.fieldNameConvention") or "SOAPI"
    if convention not in {"SOAPI", "SCMP"}:
        raise Refusal("INVALID_DATA", field="reportPreferences.fieldNameConvention")
    timezone = optional(body, "timezone")[:50] or "GMT"
    refuse_card_numbers([name, timezone, *fields], "reportName")
    return {
        "definition": _with_class(definition),
        "name": name,
        "mime_type": mime_type,
        "fields": tuple(fields),
        "signed_amounts": signed is True,
        "convention": convention,
        "timezone": timezone,
    }


def _frequency(body: Body) -> str:
    frequency = optional(body, "reportFrequency") or "DAILY"
    if frequency not in _FREQUENCIES:
        raise Refusal("INVALID_DATA", field="reportFrequency")
    return frequency


def _report_date(report: Report) -> str:
    """Return the day under which a report is downloaded: that of its end."""
    return report.end.astimezone(UTC).date().isoformat()


def _definition(definition: Definition) -> dict[str, Any]:
    return {
        "type": "CUSTOM",
        "reportDefinitionId": definition.id,
        # The service's own spelling.
        "reportDefintionName": definition.name,
        "supportedFormats": ["application/xml", "text/csv"],
        "description": definition.description,
        "defaultSettings": {
            "reportMimeType": "text/csv",
            "reportFrequency": "DAILY",
            "reportName": definition.name,
            "timezone": "GMT",
        },
        "subscriptionType": "CUSTOM",
    }


def _subscription(one: ReportSubscription) -> dict[str, Any]:
    definition = _DEFINITIONS[one.definition]
    shown = {
        "organizationId": one.merchant_id,
        "reportDefinitionId": str(definition.id),
        "reportDefinitionName": one.definition,
        "reportMimeType": one.mime_type,
        "reportFrequency": one.frequency,
        "reportName": one.name,
        "timezone": one.timezone,
        "startDay": one.start_day,
        "reportFields": list(one.fields or definition.fields),
        "reportPreferences": {"signedAmounts": one.signed_amounts, "fieldNameConvention": one.convention},
    }
    if one.interval:
        shown["reportInterval"] = one.interval
    return shown
