"""Settlement and disputes as the gateway reports them (purchase and refund details, chargeback details).

Parsing is strict: an amount that is no exact decimal text, a line without its fees, or sums that contradict each other make the
whole report unreadable, and nothing of it is taken.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from urllib.parse import quote

import msgspec

from shanraq.core.money import Currency, InvalidAmountError, Money, UnknownCurrencyError
from shanraq.settlement.port import (
    DisputeNotice,
    DisputeStage,
    LineKind,
    SettlementLine,
    SettlementReport,
    SettlementUnreadableError,
)

PAGE: Final = 500

_ID: Final = re.compile(r"[0-9A-Za-z]{1,26}")
_KINDS: Final = {"Purchase": LineKind.CAPTURE, "Refund": LineKind.REFUND, "Credit": LineKind.CREDIT}
_STAGES: Final = {
    "Pre-Dispute": DisputeStage.ALERT,
    "Chargeback": DisputeStage.CHARGEBACK,
    "Representment": DisputeStage.CHARGEBACK,
    "Pre-Arbitration": DisputeStage.PRE_ARBITRATION,
    "Arbitration": DisputeStage.ARBITRATION,
    "Chargeback Reversal": DisputeStage.WON,
}
# What a step moves, by its nature and its sign. An end that a dispute is not won with leaves the money where it was.
_MOVES: Final = {
    ("Chargeback", "-"): LineKind.CHARGEBACK,
    ("Pre-Arbitration", "-"): LineKind.CHARGEBACK,
    ("Arbitration", "-"): LineKind.CHARGEBACK,
    ("Representment", "+"): LineKind.REPRESENTMENT,
    ("Chargeback Reversal", "+"): LineKind.REPRESENTMENT,
}
_ENDED: Final = {"WON": DisputeStage.WON, "LOST": DisputeStage.LOST, "ACCEPTED": DisputeStage.LOST}


class _Request(msgspec.Struct, frozen=True, rename="camel"):
    request_id: str
    merchant_reference_number: str = ""
    transaction_reference_number: str = ""


class _Settlement(msgspec.Struct, frozen=True, rename="camel"):
    request_id: str
    transaction_type: str
    amount: str
    currency_code: str
    cybersource_batch_time: datetime
    cybersource_batch_id: str = ""


class _Funding(msgspec.Struct, frozen=True, rename="camel"):
    request_id: str
    total_fee: str
    funding_amount: str
    funding_currency: str
    fee_currency: str
    interchange_per_item_fee: str = "0"
    interchange_percentage_amount: str = "0"
    discount_amount: str = "0"
    discount_per_item_fee: str = "0"
    dues_assessments: str = "0"


class _Details(msgspec.Struct, frozen=True, rename="camel"):
    page_results: int
    request_details: tuple[_Request, ...] = ()
    settlements: tuple[_Settlement, ...] = ()
    fee_and_funding_details: tuple[_Funding, ...] = ()


class _Chargeback(msgspec.Struct, frozen=True, rename="camel"):
    nature_of_dispute: str
    amount: str
    currency_code: str
    request_id: str
    time: datetime
    tracking_number: str
    action: str = ""
    sign: str = ""
    merchant_reference_number: str = ""
    transaction_reference_number: str = ""
    reason_code: str = ""
    action_description: str = ""
    response_due_time: datetime | None = None


class _Chargebacks(msgspec.Struct, frozen=True, rename="camel"):
    chargeback_details: tuple[_Chargeback, ...] = ()


_decode_details = msgspec.json.Decoder(_Details).decode
_decode_chargebacks = msgspec.json.Decoder(_Chargebacks).decode
_UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def details_path(organization_id: str, day: date, offset: int) -> str:
    """Return the path of one page of what was settled on a day (UTC)."""
    query = f"{_period(day, day)}&organizationId={quote(organization_id)}&offset={offset}&limit={PAGE}"
    return f"/reporting/v3/purchase-refund-details?{query}&groupName=default&paymentSubtype=ALL&viewBy=requestDate"


def disputes_path(organization_id: str, since: date, until: date) -> str:
    """Return the path of the disputes of some days, the last one included."""
    return f"/reporting/v3/chargeback-details?{_period(since, until)}&organizationId={quote(organization_id)}"


def _period(since: date, until: date) -> str:
    start = datetime.combine(since, time(), UTC)
    end = datetime.combine(until, time(), UTC) + timedelta(days=1)
    return "&".join(
        f"{name}={quote(moment.strftime('%Y-%m-%dT%H:%M:%S.000Z'), safe='')}"
        for name, moment in (("startTime", start), ("endTime", end))
    )


def read_details(content: bytes) -> tuple[int, list[SettlementLine]]:
    """Read one page: how many entries it has, and its lines. Raises SettlementUnreadableError."""
    try:
        details = _decode_details(content)
    except _UNREADABLE:
        raise SettlementUnreadableError("purchase-refund-details cannot be read") from None
    if len(details.settlements) != details.page_results:
        raise SettlementUnreadableError("purchase-refund-details: pageResults contradicts the settlements")
    requests = {one.request_id: one for one in details.request_details}
    fundings = {one.request_id: one for one in details.fee_and_funding_details}
    return details.page_results, [_line(one, requests, fundings) for one in details.settlements]


def _line(settlement: _Settlement, requests: dict[str, _Request], fundings: dict[str, _Funding]) -> SettlementLine:
    name = settlement.request_id
    request, funding, kind = requests.get(name), fundings.get(name), _KINDS.get(settlement.transaction_type)
    if _ID.fullmatch(name) is None or request is None or funding is None:
        raise SettlementUnreadableError(f"purchase-refund-details: {name[:26]} has no request or no fees")
    if kind is None:
        raise SettlementUnreadableError(
            f"purchase-refund-details: type {settlement.transaction_type[:20]} is not known"
        )
    currency = _currency(settlement.currency_code)
    if (funding.fee_currency, funding.funding_currency) != (currency.code, currency.code):
        raise SettlementUnreadableError(f"purchase-refund-details: {name} is funded in another currency")
    gross = _minor(settlement.amount, currency)
    interchange = _minor(funding.interchange_percentage_amount, currency) + _minor(
        funding.interchange_per_item_fee, currency
    )
    processing = _minor(funding.discount_amount, currency) + _minor(funding.discount_per_item_fee, currency)
    scheme_fee = _minor(funding.dues_assessments, currency)
    net = _minor(funding.funding_amount, currency)
    fees = interchange + processing + scheme_fee
    if gross <= 0 or _minor(funding.total_fee, currency) != fees:
        raise SettlementUnreadableError(f"purchase-refund-details: the amounts of {name} contradict each other")
    if net != (gross if kind is LineKind.CAPTURE else -gross) - fees:
        raise SettlementUnreadableError(f"purchase-refund-details: the fundingAmount of {name} is not amount less fees")
    return SettlementLine(
        line_id=name,
        kind=kind,
        batch_id=settlement.cybersource_batch_id,
        settled_on=_utc(settlement.cybersource_batch_time).date(),
        reference=request.merchant_reference_number,
        gateway_id=name,
        amount=Money(gross, currency),
        interchange=Money(interchange, currency),
        scheme_fee=Money(scheme_fee, currency),
        processing_fee=Money(processing, currency),
        net_minor=net,
        reconciliation_id=request.transaction_reference_number,
    )


def read_dispute_lines(content: bytes) -> list[SettlementLine]:
    """Read what disputes took and gave back, without fees: the gateway tells none. Raises SettlementUnreadableError."""
    lines = []
    for row in _read_chargebacks(content):
        if row.sign not in ("+", "-"):
            raise SettlementUnreadableError(f"chargeback-details: {row.tracking_number[:60]} has no sign")
        kind = _MOVES.get((row.nature_of_dispute, row.sign))
        if kind is None or row.action in ("LOST", "ACCEPTED"):
            continue
        notice = _dispute(row)
        nothing = Money(0, notice.amount.currency)
        lines.append(
            SettlementLine(
                line_id=f"{notice.dispute_id}/{row.nature_of_dispute}/{notice.opened_at:%Y%m%dT%H%M%S.%f}",
                kind=kind,
                batch_id="",
                settled_on=notice.opened_at.date(),
                reference=notice.reference,
                gateway_id=notice.gateway_id,
                amount=notice.amount,
                interchange=nothing,
                scheme_fee=nothing,
                processing_fee=nothing,
                net_minor=-notice.amount.minor if kind is LineKind.CHARGEBACK else notice.amount.minor,
                reconciliation_id=row.transaction_reference_number,
            )
        )
    return lines


def report_of(day: date, lines: Sequence[SettlementLine], *, complete: bool) -> SettlementReport:
    """Return the report of a day; raises SettlementUnreadableError where a line is told twice."""
    if len({line.line_id for line in lines}) < len(lines):
        raise SettlementUnreadableError("purchase-refund-details: a line is told twice")
    return SettlementReport(f"purchase-refund-details {day.isoformat()}", day, tuple(lines), complete)


def read_disputes(content: bytes) -> tuple[DisputeNotice, ...]:
    """Read disputes; raises SettlementUnreadableError."""
    return tuple(_dispute(row) for row in _read_chargebacks(content))


def _read_chargebacks(content: bytes) -> tuple[_Chargeback, ...]:
    try:
        return _decode_chargebacks(content).chargeback_details
    except _UNREADABLE:
        raise SettlementUnreadableError("chargeback-details cannot be read") from None


def _dispute(row: _Chargeback) -> DisputeNotice:
    stage = _ENDED.get(row.action) or _STAGES.get(row.nature_of_dispute)
    if stage is None:
        raise SettlementUnreadableError(f"chargeback-details: {row.nature_of_dispute[:20]} is not known")
    if not row.tracking_number or _ID.fullmatch(row.request_id) is None:
        raise SettlementUnreadableError("chargeback-details: trackingNumber or requestId is missing")
    currency = _currency(row.currency_code)
    return DisputeNotice(
        dispute_id=row.tracking_number[:60],
        stage=stage,
        reference=row.merchant_reference_number,
        gateway_id=row.request_id,
        amount=Money(abs(_minor(row.amount, currency)), currency),
        reason_code=row.reason_code[:20],
        reason=row.action_description[:100],
        opened_at=_utc(row.time),
        respond_by=_utc(row.response_due_time) if row.response_due_time is not None else None,
    )


def _currency(code: str) -> Currency:
    try:
        return Currency.of(code)
    except UnknownCurrencyError:
        raise SettlementUnreadableError(f"currency {code[:3]} is not known") from None


def _minor(text: str, currency: Currency) -> int:
    negative = text.startswith("-")
    try:
        minor = Money.parse(text.removeprefix("-"), currency).minor
    except InvalidAmountError:
        raise SettlementUnreadableError(f"the amount {text[:20]} is not exact in {currency.code}") from None
    return -minor if negative else minor


def _utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
