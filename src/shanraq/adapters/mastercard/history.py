"""Settlement over the gateway: closing a batch, and the transaction history (CSV) read as a settlement report.

The history tells what was captured, refunded, voided and charged back, with the settlement date that the acquirer gave it. It
knows no fees: those are in the acquirer's own statement (`statement`). It is read strictly: whatever is not as it was asked for
makes the whole report unreadable.
"""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from urllib.parse import urlencode

import msgspec

from shanraq.adapters.mastercard.gateway import Gateway
from shanraq.adapters.mastercard.replies import UNREADABLE, VOIDS, money_of, refused
from shanraq.core.http import HttpError
from shanraq.core.money import Currency, Money, UnknownCurrencyError
from shanraq.payments.adapter import NotProcessed
from shanraq.settlement.port import (
    DisputeNotice,
    DisputeStage,
    LineKind,
    SettlementLine,
    SettlementReport,
    SettlementUnreadableError,
)

COLUMNS: Final = (
    "timeOfRecord",
    "result",
    "order.id",
    "transaction.id",
    "transaction.type",
    "transaction.amount",
    "transaction.currency",
    "transaction.targetTransactionId",
    "transaction.receipt",
    "transaction.acquirer.batch",
    "transaction.acquirer.settlementDate",
)
"""Asked for as columns and, under the same names, as headers."""

# A capture is settled on the day it is recorded or soon after; the acquirer's day may begin half a day before or after ours.
_BACK: Final = timedelta(days=7)
_ZONES: Final = timedelta(hours=12)
_TIME: Final = "%Y-%m-%dT%H:%M:%SZ"

_SETTLED: Final[Mapping[str, LineKind]] = {
    "CAPTURE": LineKind.CAPTURE,
    "PAYMENT": LineKind.CAPTURE,
    "REFUND": LineKind.REFUND,
    "DISBURSEMENT": LineKind.CREDIT,
    "CHARGEBACK": LineKind.CHARGEBACK,
}
_VOIDED: Final[Mapping[str, str]] = {"VOID_CAPTURE": "CAPTURE", "VOID_PAYMENT": "PAYMENT", "VOID_REFUND": "REFUND"}
_UNSETTLED: Final = VOIDS | {
    "AUTHENTICATION",
    "AUTHORIZATION",
    "AUTHORIZATION_UPDATE",
    "FUNDING",
    "REFUND_REQUEST",
    "VERIFICATION",
}


@dataclass(frozen=True, slots=True)
class Closed:
    """What came of closing a batch; `detail` is why not, where it was not."""

    done: bool
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """One transaction of the history."""

    recorded_at: datetime
    result: str
    order_id: str
    transaction_id: str
    type: str
    amount: Money | None
    target_id: str
    receipt: str
    batch: str
    settled_on: date | None

    @property
    def key(self) -> tuple[str, str]:
        """Return what names it at the gateway for ever."""
        return self.order_id, self.transaction_id


class _Reply(msgspec.Struct, frozen=True):
    class Error(msgspec.Struct, frozen=True, rename="camel"):
        cause: str = ""
        field: str = ""
        validation_type: str = ""

    result: str = ""
    error: Error = Error()


async def close_batch(gateway: Gateway, acquirer_id: str, card_type: str, currency: str) -> Closed:
    """Send CLOSE_BATCH. It may be repeated: an empty batch closes without effect."""
    body = {"acquirer": {"id": acquirer_id, "cardType": card_type, "currency": currency}}
    try:
        answer = await gateway.close_batch(body)
    except HttpError as error:
        return Closed(False, error.error_code)
    try:
        reply = msgspec.json.decode(answer.content, type=_Reply)
    except UNREADABLE:
        return Closed(False, f"HTTP {answer.status} with a body that cannot be read")
    if answer.status in (200, 201) and reply.result == "SUCCESS":
        return Closed(True)
    refusal = refused(answer.status, reply.error.cause, reply.error.field, reply.error.validation_type)
    return Closed(False, refusal.reason.gateway_reason if isinstance(refusal, NotProcessed) else refusal.detail)


async def settlement(gateway: Gateway, merchant_id: str, day: date, now: datetime) -> SettlementReport | None:
    """Return what was settled on a day: None where nothing is and the day is not over. Raises SettlementUnreadableError."""
    start, end = midnight(day) - _BACK, midnight(day) + timedelta(days=1) + 2 * _ZONES
    rows = await _history(gateway, merchant_id, start, end)
    lines = lines_of(rows, day)
    over = midnight(day) + timedelta(days=1) + _ZONES <= now
    if not lines and not over:
        return None
    return SettlementReport(f"history {day.isoformat()}", day, lines, complete=over)


async def disputes(gateway: Gateway, merchant_id: str, since: date, until: date) -> tuple[DisputeNotice, ...]:
    """Return the chargebacks recorded on these days, both included. Raises SettlementUnreadableError."""
    rows = await _history(gateway, merchant_id, midnight(since), midnight(until) + timedelta(days=1))
    return tuple(_dispute(row) for row in rows if row.type == "CHARGEBACK" and row.result == "SUCCESS")


def rows_of(content: bytes) -> tuple[Row, ...]:
    """Read a history whole, one row a transaction: the newest of its events. Raises SettlementUnreadableError."""
    rows: dict[tuple[str, str], Row] = {}
    for number, values in values_of(content, COLUMNS, "history"):
        row = _row(number, values)
        rows[row.key] = row
    return tuple(rows.values())


def values_of(content: bytes, columns: Sequence[str], what: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the lines of a report with their numbers, each with a value for every column. Raises SettlementUnreadableError."""
    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise SettlementUnreadableError(f"the {what} is not text") from None
    lines = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = next(lines, None)
        if header is None or header != list(columns):
            raise SettlementUnreadableError(f"the {what} has other columns than were asked for")
        for number, values in enumerate(lines, start=2):
            if values and len(values) != len(columns):
                raise SettlementUnreadableError(f"line {number} of the {what} has {len(values)} columns")
            if values:
                yield number, values
    except csv.Error as error:
        raise SettlementUnreadableError(f"the {what} is not CSV: {error}") from None


def lines_of(rows: Iterable[Row], day: date) -> tuple[SettlementLine, ...]:
    """Return the lines settled on a day, without what was voided before. Raises SettlementUnreadableError."""
    done = [row for row in rows if row.result == "SUCCESS"]
    voided = _voided(done)
    lines = []
    for row in done:
        if row.type in _UNSETTLED or row.key in voided or row.settled_on != day:
            continue
        kind = _SETTLED.get(row.type)
        if kind is None:
            raise SettlementUnreadableError(f"transaction {row.transaction_id}: type {row.type[:40]} is not known")
        lines.append(_line(row, kind, day))
    return tuple(lines)


def _line(row: Row, kind: LineKind, day: date) -> SettlementLine:
    if row.amount is None:
        raise SettlementUnreadableError(f"transaction {row.transaction_id}: the amount is missing")
    nothing = Money(0, row.amount.currency)
    return SettlementLine(
        line_id=f"{row.order_id}/{row.transaction_id}",
        kind=kind,
        batch_id=row.batch,
        settled_on=day,
        reference=row.order_id,
        gateway_id=(row.target_id or row.transaction_id) if kind is LineKind.CHARGEBACK else row.transaction_id,
        amount=row.amount,
        interchange=nothing,
        scheme_fee=nothing,
        processing_fee=nothing,
        net_minor=row.amount.minor if kind is LineKind.CAPTURE else -row.amount.minor,
        operation_id="" if kind is LineKind.CHARGEBACK else row.transaction_id,
        reconciliation_id=row.receipt,
    )


def _voided(rows: Iterable[Row]) -> set[tuple[str, str]]:
    by_order: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        by_order[row.order_id].append(row)
    voided: set[tuple[str, str]] = set()
    for order_id, order in by_order.items():
        for row in order:
            wanted = _VOIDED.get(row.type)
            if wanted is None:
                continue
            if row.target_id:
                voided.add((order_id, row.target_id))
                continue
            candidates = [one for one in order if one.type == wanted and one.key not in voided]
            if len(candidates) > 1:
                raise SettlementUnreadableError(f"transaction {row.transaction_id}: what it voids is not told")
            voided.update(one.key for one in candidates)
    return voided


def _dispute(row: Row) -> DisputeNotice:
    if row.amount is None:
        raise SettlementUnreadableError(f"transaction {row.transaction_id}: the amount is missing")
    return DisputeNotice(
        dispute_id=f"{row.order_id}/{row.transaction_id}",
        stage=DisputeStage.CHARGEBACK,
        reference=row.order_id,
        gateway_id=row.target_id or row.transaction_id,
        amount=row.amount,
        reason_code="",
        reason="",
        opened_at=row.recorded_at,
    )


async def _history(gateway: Gateway, merchant_id: str, start: datetime, end: datetime) -> tuple[Row, ...]:
    return rows_of(await report_of(gateway, merchant_id, "transaction", COLUMNS, start, end, "history"))


async def report_of(
    gateway: Gateway, merchant_id: str, name: str, columns: Sequence[str], start: datetime, end: datetime, what: str
) -> bytes:
    """Return a report of the Reporting API with these columns, recorded in the window. Raises SettlementUnreadableError."""
    query = urlencode(
        {
            "timeOfRecord.start": start.strftime(_TIME),
            "timeOfRecord.end": end.strftime(_TIME),
            "columns": ",".join(columns),
            "columnHeaders": ",".join(columns),
        },
        safe=",:",
    )
    try:
        answer = await gateway.report(f"/history/version/1/merchant/{merchant_id}/{name}?{query}")
    except HttpError as error:
        raise SettlementUnreadableError(f"the {what} was not received: {error.error_code}") from None
    if answer.status != 200:
        raise SettlementUnreadableError(f"the {what} was refused with HTTP {answer.status}")
    return answer.content


def _row(number: int, values: list[str]) -> Row:
    recorded, result, order_id, transaction_id, kind, amount, currency, target, receipt, batch, settled = values
    if not order_id or not transaction_id or not kind:
        raise SettlementUnreadableError(f"line {number} of the history names no transaction")
    return Row(
        time_of(recorded, f"line {number} of the history"),
        result,
        order_id,
        transaction_id,
        kind,
        _amount(number, amount, currency),
        target,
        receipt,
        batch,
        _date(number, settled),
    )


def _amount(number: int, amount: str, currency: str) -> Money | None:
    if not amount:
        return None
    try:
        money = money_of(msgspec.Raw(amount.encode()), Currency.of(currency))
    except UnknownCurrencyError:
        raise SettlementUnreadableError(f"line {number} of the history: the currency is not known") from None
    if money is None:
        raise SettlementUnreadableError(f"line {number} of the history: the amount cannot be read")
    return money


def time_of(text: str, place: str) -> datetime:
    """Return a time of a report in UTC. Raises SettlementUnreadableError, which names the place."""
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        raise SettlementUnreadableError(f"{place}: the time cannot be read") from None
    if read.tzinfo is None:
        raise SettlementUnreadableError(f"{place}: the time has no zone")
    return read.astimezone(UTC)


def _date(number: int, text: str) -> date | None:
    if not text:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise SettlementUnreadableError(f"line {number} of the history: the settlement date cannot be read") from None


def midnight(day: date) -> datetime:
    """Return when a day begins in UTC."""
    return datetime.combine(day, time(), UTC)
