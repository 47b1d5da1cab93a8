"""Settlement: what each capture and refund of a batch comes to after fees, and the disputes that follow. Integers only."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from shanraq.simulators.visa.ids import Ids
from shanraq.simulators.visa.model import Batch, JournalEntry, Kind, Record
from shanraq.simulators.visa.resources import Chargeback, FeeSchedule
from shanraq.simulators.visa.store import Store

CARD_NAMES: Final = {
    "001": "Visa",
    "002": "MasterCard",
    "003": "American Express",
    "004": "Discover",
    "005": "Diners Club",
    "007": "JCB",
    "024": "Maestro",
    "042": "Maestro",
    "062": "China UnionPay",
}


@dataclass(frozen=True, slots=True)
class Settlement:
    """One transaction of a batch. Minor units; `sign` is 1 for a purchase and -1 for a refund or credit."""

    record: Record
    batch: Batch
    sign: int
    gross: int
    interchange_rate: int
    """The part of the interchange that is a percentage; `interchange_item` is the part for each item."""
    interchange_item: int
    assessment: int
    discount_rate: int
    discount_item: int

    @property
    def fee(self) -> int:
        """Everything that is kept back."""
        return self.interchange_rate + self.interchange_item + self.assessment + self.discount_rate + self.discount_item

    @property
    def net(self) -> int:
        """What the merchant gets: below zero when it pays."""
        return self.sign * self.gross - self.fee

    @property
    def type(self) -> str:
        """The word of the reports."""
        return "Purchase" if self.sign > 0 else "Refund"


def share(amount: int, basis_points: int) -> int:
    """Return basis points of an amount in minor units, rounded half up."""
    return (amount * basis_points + 5_000) // 10_000


def settlement_of(record: Record, batch: Batch) -> Settlement:
    """Work out the fees of one transaction by the schedule of its batch."""
    fees, gross = batch.fees, record.operation.amount
    if record.operation.kind in {Kind.REFUND, Kind.CREDIT}:
        return Settlement(record, batch, -1, gross, 0, 0, 0, 0, fees.refund_per_item)
    return Settlement(
        record,
        batch,
        1,
        gross,
        share(gross, fees.interchange_basis_points),
        fees.interchange_per_item,
        share(gross, fees.assessment_basis_points),
        share(gross, fees.discount_basis_points),
        fees.discount_per_item,
    )


def settlements(store: Store, merchant_id: str, start: datetime, end: datetime) -> Iterator[Settlement]:
    """Yield a merchant's transactions of the batches from `start` to before `end`, oldest first."""
    for batch in store.batches_of(merchant_id):
        if start <= batch.time < end:
            for record in batch.records:
                yield settlement_of(record, batch)


class DisputeError(ValueError):
    """A dispute that the simulator cannot make; the text says why."""


# What a step moves: 1 takes the money, -1 gives it back, 0 moves none.
STAGES: Final = {
    "retrieval": 0,
    "pre_dispute": 0,
    "chargeback": 1,
    "representment": -1,
    "pre_arbitration": 1,
    "arbitration": 0,
    "won": -1,
    "lost": 0,
    "accepted": 0,
}
_DUE: Final = {"retrieval": 20, "pre_dispute": 3, "chargeback": 30, "pre_arbitration": 30, "arbitration": 10}


class Disputes:
    """Makes retrieval requests and chargebacks, step by step, as a cardholder's bank would."""

    def __init__(
        self, store: Store, keep: Callable[[JournalEntry], None], now: Callable[[], datetime], ids: Ids
    ) -> None:
        self._store = store
        self._keep = keep
        self._now = now
        self._ids = ids

    def open(self, operation_id: str, stage: str, reason_code: str, amount: int | None) -> Chargeback:
        """Begin a dispute about a transaction that was transmitted; raises DisputeError."""
        record = self._store.records.get(operation_id)
        if record is None or not record.transmitted or record.operation.kind in {Kind.REFUND, Kind.CREDIT}:
            raise DisputeError("only a capture or a sale that was transmitted can be disputed")
        total = record.operation.amount
        amount = total if amount is None else amount
        earlier = [
            step
            for step in self._store.resources(Chargeback, record.operation.merchant_id)
            if step.target_id == operation_id and step.money != 0
        ]
        taken = -sum(step.money for step in earlier)
        if not 0 < amount <= total or (STAGES[stage] > 0 and taken + amount > total):
            raise DisputeError("the amount must be above zero, and all disputes not above the transaction")
        return self._step(record, self._ids.word(16), stage, reason_code, amount, 0)

    def advance(self, dispute_id: str, stage: str) -> Chargeback:
        """Take a dispute to another stage; raises DisputeError."""
        steps = self.steps(dispute_id)
        if not steps:
            raise DisputeError("there is no such dispute")
        taken = -sum(step.money for step in steps)
        last = steps[-1]
        if (STAGES[stage] > 0 and taken > 0) or (STAGES[stage] < 0 and taken == 0):
            raise DisputeError("the money of this dispute is where this stage would put it")
        record = self._store.records[last.target_id]
        return self._step(record, dispute_id, stage, last.reason_code, last.amount, len(steps))

    def steps(self, dispute_id: str) -> list[Chargeback]:
        """Return the steps of a dispute, oldest first."""
        found: list[Chargeback] = []
        while True:
            step = self._store.any_resource(Chargeback, f"{dispute_id}-{len(found)}")
            if step is None:
                return found
            found.append(step)

    def _step(
        self, record: Record, dispute_id: str, stage: str, reason_code: str, amount: int, number: int
    ) -> Chargeback:
        now = self._now()
        operation = record.operation
        days = _DUE.get(stage)
        step = Chargeback(
            id=f"{dispute_id}-{number}",
            merchant_id=operation.merchant_id,
            time=now,
            dispute_id=dispute_id,
            target_id=operation.id,
            stage=stage,
            reason_code=reason_code,
            amount=amount,
            currency=operation.currency,
            money=-STAGES[stage] * amount,
            fee=self._store.fees.chargeback_per_item if stage == "chargeback" else 0,
            due_at=now + timedelta(days=days) if days is not None else None,
        )
        self._keep(step)
        return step


def fees_text(fees: FeeSchedule) -> dict[str, int]:
    """Return a schedule as plain numbers."""
    return {name: getattr(fees, name) for name in fees.__struct_fields__}
