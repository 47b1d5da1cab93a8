"""The settlement statement: what each transaction of a batch comes to after fees. Integers only.

The gateway documents no such report: at the real one the acquirer sends its own. Here the acquirer is the simulator, so it
stands beside the transaction history and is asked for in the same way.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from shanraq.simulators.mastercard.fees import BRINGS, DEFAULT, FeeRule, Fees, fees_of
from shanraq.simulators.mastercard.history import HistoryQuery, history_csv
from shanraq.simulators.mastercard.model import DisputeStep, Transaction
from shanraq.simulators.mastercard.render import moment
from shanraq.simulators.visa.currency import decimal_text


@dataclass(frozen=True, slots=True)
class Batch:
    """What was sent to the acquirer at once: transactions, and the steps of disputes that moved money."""

    number: int
    time: float
    fees: tuple[FeeRule, ...] | None = None
    transactions: list[Transaction] = field(default_factory=list)
    steps: list[DisputeStep] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the statement, in minor units: `gross` is signed, below zero where the merchant pays.

    `id` is unique for ever. `target_id` is the transaction that a chargeback is about.
    """

    id: str
    batch: Batch
    merchant_id: str
    order_id: str
    reference: str
    transaction_id: str
    target_id: str
    type: str
    operation: str
    brand: str
    currency: str
    receipt: str
    acquirer: Mapping[str, Any]
    gross: int
    fees: Fees

    @property
    def net(self) -> int:
        """What the merchant gets: below zero when it pays."""
        return self.gross - self.fees.total


def lines_of(batch: Batch, merchant_id: str = "") -> Iterator[Line]:
    """Yield the lines of a merchant, or of all: transactions, then disputes, each in the order in which they happened."""
    for transaction in batch.transactions:
        if merchant_id in ("", transaction.merchant_id):
            yield _line_of_transaction(batch, transaction)
    for step in batch.steps:
        if merchant_id in ("", step.merchant_id):
            yield _line_of_step(batch, step)


def statement_csv(query: HistoryQuery, batches: Iterable[Batch], merchant_id: str) -> bytes:
    """Write the lines of the batches closed in the window, one each. UTF-8.

    Columns are asked for as in the transaction history; `timeOfRecord` is when the batch was closed.
    """
    # The times shown are cut to milliseconds: those at the edges are compared by whoever writes the lines.
    start, end = query.start.timestamp() - 1, query.end.timestamp() + 1
    inside = (batch for batch in batches if start <= batch.time < end)
    return history_csv(query, (_shown(line) for batch in inside for line in lines_of(batch, merchant_id)))


def described(line: Line) -> dict[str, Any]:
    """Return a line as the control API shows it, in minor units."""
    return {
        "id": line.id,
        "batch": line.batch.number,
        "merchant_id": line.merchant_id,
        "order_id": line.order_id,
        "transaction_id": line.transaction_id,
        "target_id": line.target_id,
        "type": line.type,
        "brand": line.brand,
        "currency": line.currency,
        "gross_minor": line.gross,
        "interchange_minor": line.fees.interchange,
        "scheme_fee_minor": line.fees.scheme,
        "service_charge_minor": line.fees.service,
        "fee_minor": line.fees.total,
        "net_minor": line.net,
    }


def _line_of_transaction(batch: Batch, one: Transaction) -> Line:
    block = one.reply["transaction"]
    brand = one.order.get("card", {}).get("brand", "")
    return Line(
        id=f"{one.order_id}/{one.id}",
        batch=batch,
        merchant_id=one.merchant_id,
        order_id=one.order_id,
        reference=one.order.get("reference", ""),
        transaction_id=one.id,
        target_id="",
        type=one.type,
        operation=one.operation,
        brand=brand,
        currency=one.currency,
        receipt=block.get("receipt", ""),
        acquirer=block.get("acquirer", {}),
        gross=one.amount if one.type in BRINGS else -one.amount,
        fees=_fees(batch, one.type, brand, one.currency, one.amount),
    )


def _line_of_step(batch: Batch, step: DisputeStep) -> Line:
    type_ = "CHARGEBACK" if step.money < 0 else "CHARGEBACK_REVERSAL"
    brand = step.order.get("card", {}).get("brand", "")
    block = step.transaction.reply["transaction"] if step.transaction is not None else {}
    return Line(
        id=f"{step.dispute_id}/{step.number}",
        batch=batch,
        merchant_id=step.merchant_id,
        order_id=step.order_id,
        reference=step.order.get("reference", ""),
        transaction_id=step.transaction.id if step.transaction is not None else "",
        target_id=step.target_id,
        type=type_,
        operation="",
        brand=brand,
        currency=step.currency,
        receipt=block.get("receipt", ""),
        acquirer=block.get("acquirer", {}),
        gross=step.money,
        fees=_fees(batch, type_, brand, step.currency, abs(step.money)),
    )


def _fees(batch: Batch, type_: str, brand: str, currency: str, amount: int) -> Fees:
    return fees_of(DEFAULT if batch.fees is None else batch.fees, type_, brand, currency, amount)


def _shown(line: Line) -> dict[str, Any]:
    def text(minor: int) -> str:
        return f"{'-' if minor < 0 else ''}{decimal_text(abs(minor), line.currency)}"

    closed = moment(line.batch.time)
    return {
        "timeOfRecord": closed,
        "merchant": line.merchant_id,
        "order": {"id": line.order_id, "reference": line.reference, "currency": line.currency},
        "transaction": {
            "id": line.transaction_id,
            "type": line.type,
            "operation": line.operation,
            "amount": text(abs(line.gross)),
            "currency": line.currency,
            "targetTransactionId": line.target_id,
            "receipt": line.receipt,
            "acquirer": {**line.acquirer, "settlementDate": closed[:10]},
        },
        "sourceOfFunds": {"provided": {"card": {"brand": line.brand}}},
        "settlement": {
            "id": line.id,
            "batch": line.batch.number,
            "date": closed[:10],
            "currency": line.currency,
            "grossAmount": text(line.gross),
            "interchangeAmount": text(line.fees.interchange),
            "schemeFeeAmount": text(line.fees.scheme),
            "serviceChargeAmount": text(line.fees.service),
            "feeAmount": text(line.fees.total),
            "netAmount": text(line.net),
        },
    }
