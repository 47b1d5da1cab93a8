"""Settlement from the acquirer's statement, with fees, and disputes with their stages and reasons.

The gateway itself documents neither: an acquirer may offer them beside the transaction history, as the simulator does. They are
read strictly: a type that is not known, an amount that is not exact, or sums that contradict each other make the whole report
unreadable.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Final

from shanraq.adapters.mastercard.gateway import Gateway
from shanraq.adapters.mastercard.history import midnight, report_of, time_of, values_of
from shanraq.core.money import Currency, InvalidAmountError, Money, UnknownCurrencyError
from shanraq.settlement.port import (
    DisputeNotice,
    DisputeStage,
    LineKind,
    SettlementLine,
    SettlementReport,
    SettlementUnreadableError,
)

COLUMNS: Final = (
    "settlement.id",
    "timeOfRecord",
    "settlement.batch",
    "order.id",
    "transaction.id",
    "transaction.type",
    "transaction.operation",
    "transaction.targetTransactionId",
    "transaction.receipt",
    "settlement.currency",
    "settlement.grossAmount",
    "settlement.interchangeAmount",
    "settlement.schemeFeeAmount",
    "settlement.serviceChargeAmount",
    "settlement.feeAmount",
    "settlement.netAmount",
)
DISPUTE_COLUMNS: Final = (
    "dispute.id",
    "timeOfRecord",
    "dispute.stage",
    "order.id",
    "transaction.targetTransactionId",
    "dispute.amount",
    "dispute.currency",
    "dispute.reasonCode",
    "dispute.reason",
    "dispute.respondBy",
)

_KINDS: Final[Mapping[str, LineKind]] = {
    "CAPTURE": LineKind.CAPTURE,
    "PAYMENT": LineKind.CAPTURE,
    "REFUND": LineKind.REFUND,
    "CHARGEBACK": LineKind.CHARGEBACK,
    "CHARGEBACK_REVERSAL": LineKind.REPRESENTMENT,
}
_BRING: Final = frozenset({LineKind.CAPTURE, LineKind.REPRESENTMENT})
_OF_A_DISPUTE: Final = frozenset({LineKind.CHARGEBACK, LineKind.REPRESENTMENT})
# An answer of ours moves no dispute on: the bank's next step does.
_STAGES: Final[Mapping[str, DisputeStage]] = {
    "RETRIEVAL": DisputeStage.ALERT,
    "CHARGEBACK": DisputeStage.CHARGEBACK,
    "REPRESENTMENT": DisputeStage.CHARGEBACK,
    "PRE_ARBITRATION": DisputeStage.PRE_ARBITRATION,
    "ARBITRATION": DisputeStage.ARBITRATION,
    "WON": DisputeStage.WON,
    "LOST": DisputeStage.LOST,
    "ACCEPTED": DisputeStage.LOST,
}


async def settlement(gateway: Gateway, merchant_id: str, day: date, now: datetime) -> SettlementReport | None:
    """Return what was settled on a day (UTC): None where nothing is and the day is not over.

    Raises SettlementUnreadableError.
    """
    start, end = midnight(day), midnight(day) + timedelta(days=1)
    lines = lines_of(await report_of(gateway, merchant_id, "settlement", COLUMNS, start, end, "statement"))
    if not lines and now < end:
        return None
    return SettlementReport(f"statement {day.isoformat()}", day, lines, complete=now >= end)


async def disputes(gateway: Gateway, merchant_id: str, since: date, until: date) -> tuple[DisputeNotice, ...]:
    """Return what happened to disputes on these days, both included. Raises SettlementUnreadableError."""
    start, end = midnight(since), midnight(until) + timedelta(days=1)
    return disputes_of(await report_of(gateway, merchant_id, "disputes", DISPUTE_COLUMNS, start, end, "disputes"))


def lines_of(content: bytes) -> tuple[SettlementLine, ...]:
    """Read a statement whole. Raises SettlementUnreadableError."""
    lines = tuple(_line(number, values) for number, values in values_of(content, COLUMNS, "statement"))
    if len({line.line_id for line in lines}) < len(lines):
        raise SettlementUnreadableError("the statement tells a line twice")
    return lines


def disputes_of(content: bytes) -> tuple[DisputeNotice, ...]:
    """Read a report on disputes whole. Raises SettlementUnreadableError."""
    return tuple(_notice(number, values) for number, values in values_of(content, DISPUTE_COLUMNS, "disputes"))


def _line(number: int, values: list[str]) -> SettlementLine:
    place = f"line {number} of the statement"
    id_, closed, batch, order_id, transaction_id, type_, operation, target_id, receipt, code, *amounts = values
    kind = _KINDS.get(type_)
    if kind is None:
        raise SettlementUnreadableError(f"{place}: type {type_[:40]} is not known")
    if kind is LineKind.REFUND and operation == "STANDALONE_REFUND":
        kind = LineKind.CREDIT
    disputed = kind in _OF_A_DISPUTE
    if not id_ or not order_id or not (target_id if disputed else transaction_id):
        raise SettlementUnreadableError(f"{place} names no transaction")
    currency = _currency(code, place)
    gross, interchange, scheme_fee, service, fee, net = (_minor(text, currency, place) for text in amounts)
    if gross == 0 or (gross > 0) is not (kind in _BRING):
        raise SettlementUnreadableError(f"{place}: its gross amount contradicts its type")
    if fee != interchange + scheme_fee + service or net != gross - fee:
        raise SettlementUnreadableError(f"{place}: its amounts contradict each other")
    return SettlementLine(
        line_id=id_,
        kind=kind,
        batch_id=batch,
        settled_on=time_of(closed, place).date(),
        reference=order_id,
        gateway_id=target_id if disputed else transaction_id,
        amount=Money(abs(gross), currency),
        interchange=Money(interchange, currency),
        scheme_fee=Money(scheme_fee, currency),
        processing_fee=Money(service, currency),
        net_minor=net,
        operation_id="" if disputed else transaction_id,
        reconciliation_id=receipt,
    )


def _notice(number: int, values: list[str]) -> DisputeNotice:
    place = f"line {number} of the disputes"
    id_, told, stage_name, order_id, target_id, amount, code, reason_code, reason, respond_by = values
    stage = _STAGES.get(stage_name)
    if stage is None:
        raise SettlementUnreadableError(f"{place}: stage {stage_name[:40]} is not known")
    if not id_ or not order_id or not target_id:
        raise SettlementUnreadableError(f"{place} names no dispute or no transaction")
    currency = _currency(code, place)
    return DisputeNotice(
        dispute_id=id_[:60],
        stage=stage,
        reference=order_id,
        gateway_id=target_id,
        amount=Money(_minor(amount, currency, place), currency),
        reason_code=reason_code[:20],
        reason=reason[:100],
        opened_at=time_of(told, place),
        respond_by=time_of(respond_by, place) if respond_by else None,
    )


def _currency(code: str, place: str) -> Currency:
    try:
        return Currency.of(code)
    except UnknownCurrencyError:
        raise SettlementUnreadableError(f"{place}: the currency is not known") from None


def _minor(text: str, currency: Currency, place: str) -> int:
    negative = text.startswith("-")
    try:
        minor = Money.parse(text.removeprefix("-"), currency).minor
    except InvalidAmountError:
        raise SettlementUnreadableError(f"{place}: an amount cannot be read") from None
    return -minor if negative else minor
