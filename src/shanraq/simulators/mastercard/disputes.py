"""Disputes: chargebacks step by step, as a cardholder's bank would make them.

The gateway documents no call for any of it; its orders only show what was charged back. So the control API makes them, and
`/disputes` tells of them beside the transaction history.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Annotated, Any, Final

import msgspec

from shanraq.simulators.mastercard.fields import holds_card_number
from shanraq.simulators.mastercard.history import HistoryQuery, history_csv
from shanraq.simulators.mastercard.model import DisputeStep, Entry, Order, Transaction
from shanraq.simulators.mastercard.render import kept, moment, order_block, response_block
from shanraq.simulators.mastercard.store import Store
from shanraq.simulators.mastercard.validate import decimal
from shanraq.simulators.visa.currency import decimal_text

OPENING: Final = frozenset({"RETRIEVAL", "CHARGEBACK"})
"""The stages with which a dispute may begin."""

_FOLLOWS: Final[dict[str, frozenset[str]]] = {
    "RETRIEVAL": frozenset({"CHARGEBACK", "WON"}),
    "CHARGEBACK": frozenset({"REPRESENTMENT", "ACCEPTED", "WON"}),
    "REPRESENTMENT": frozenset({"PRE_ARBITRATION", "WON"}),
    "PRE_ARBITRATION": frozenset({"ARBITRATION", "ACCEPTED", "WON"}),
    "ARBITRATION": frozenset({"WON", "LOST"}),
    "WON": frozenset(),
    "LOST": frozenset(),
    "ACCEPTED": frozenset(),
}
# Whether the money is with the cardholder's bank after a stage; stages not named leave it where it is.
_TAKEN: Final = {"CHARGEBACK": True, "REPRESENTMENT": False, "PRE_ARBITRATION": True, "WON": False}
_DUE_DAYS: Final = {"RETRIEVAL": 20, "CHARGEBACK": 45, "PRE_ARBITRATION": 30, "ARBITRATION": 10}

_Text = Annotated[str, msgspec.Meta(max_length=200)]


class NewDispute(msgspec.Struct, forbid_unknown_fields=True):
    """What the control API may ask for. Without an amount all that can be charged back; minor units."""

    merchant_id: str
    order_id: str
    amount_minor: int | None = None
    reason_code: Annotated[str, msgspec.Meta(pattern=r"^[0-9A-Za-z.]{1,20}\Z")] = "4853"
    reason: _Text = "Cardholder dispute"
    transaction_id: str = ""
    stage: str = "CHARGEBACK"


class Advance(msgspec.Struct, forbid_unknown_fields=True):
    """The next stage of a dispute."""

    dispute_id: str
    stage: str


class Disputes:
    """Makes disputes and takes them further; every refusal is a ValueError that names the field."""

    def __init__(self, store: Store, keep: Callable[[Entry], None], now: Callable[[], float]) -> None:
        self._store = store
        self._keep = keep
        self._now = now

    def open(self, new: NewDispute) -> DisputeStep:
        """Begin a dispute about a captured and settled transaction. Raises ValueError."""
        if new.stage not in OPENING:
            raise ValueError(f"stage: a dispute begins with one of {', '.join(sorted(OPENING))}")
        if holds_card_number([new.reason, new.reason_code]):
            raise ValueError("reason: it holds a card number")
        order = self._store.orders.get((new.merchant_id, new.order_id))
        if order is None:
            raise ValueError("order_id: there is no such order of this merchant")
        target = self._target(new)
        left = self._left(order, target)
        amount = left if new.amount_minor is None else new.amount_minor
        if amount <= 0:
            raise ValueError("amount_minor: there is nothing left to charge back, or it is not above zero")
        if amount > left:
            raise ValueError(f"amount_minor: it exceeds what was captured and is left, {left}")
        dispute_id = f"D{int(self._now() * 1000)}{len(self._store.disputes) + 1:04d}"
        return self._step(
            dispute_id,
            0,
            order,
            target,
            new.stage,
            amount,
            _moved(new.stage, amount, taken=False),
            new.reason_code,
            new.reason,
        )

    def advance(self, asked: Advance) -> DisputeStep:
        """Take a dispute to another stage. Raises ValueError."""
        steps = self._store.disputes.get(asked.dispute_id, [])
        if not steps:
            raise ValueError("dispute_id: there is no such dispute")
        last = steps[-1]
        if asked.stage not in _FOLLOWS:
            raise ValueError(f"stage must be one of {', '.join(sorted(_FOLLOWS))}")
        if asked.stage not in _FOLLOWS[last.stage]:
            raise ValueError(f"stage: {asked.stage} does not follow {last.stage}")
        order = self._store.orders[last.merchant_id, last.order_id]
        target = self._store.of_order(last.merchant_id, last.order_id)[last.target_id]
        money = _moved(asked.stage, last.amount, taken=_taken(steps))
        if money < 0 and last.amount > self._left(order, target):
            raise ValueError(f"stage: {asked.stage} would take more than was captured and is left")
        return self._step(
            last.dispute_id, len(steps), order, target, asked.stage, last.amount, money, last.reason_code, last.reason
        )

    def _target(self, new: NewDispute) -> Transaction:
        found = [
            one
            for one in self._store.of_order(new.merchant_id, new.order_id).values()
            if one.settled and one.type in ("PAYMENT", "CAPTURE") and new.transaction_id in ("", one.id)
        ]
        if not found:
            field = "transaction_id" if new.transaction_id else "order_id"
            raise ValueError(f"{field}: only a capture or payment that was settled can be disputed")
        if len(found) > 1:
            raise ValueError("transaction_id: the order has several captures, one must be named")
        return found[0]

    def _left(self, order: Order, target: Transaction) -> int:
        """Return how much of a transaction can still be charged back: neither more than it nor than its order has left."""
        standing = sum(
            -step.money
            for steps in self._store.disputes.values()
            for step in steps
            if (step.merchant_id, step.order_id, step.target_id) == (order.merchant_id, order.id, target.id)
        )
        return min(target.amount - standing, order.captured - order.refunded - order.chargeback)

    def _step(
        self,
        dispute_id: str,
        number: int,
        order: Order,
        target: Transaction,
        stage: str,
        amount: int,
        money: int,
        reason_code: str,
        reason: str,
    ) -> DisputeStep:
        now = self._now()
        order = msgspec.structs.replace(order, chargeback=order.chargeback - money, updated=now)
        order.dispute = self._status(order, dispute_id, stage)
        transaction = self._chargeback(order, target, amount, now) if money < 0 else None
        days = _DUE_DAYS.get(stage)
        step = DisputeStep(
            dispute_id=dispute_id, number=number, merchant_id=order.merchant_id, order_id=order.id, target_id=target.id,
            time=now, stage=stage, amount=amount, money=money, currency=order.currency, reason_code=reason_code, reason=reason,
            order=msgspec.to_builtins(order), transaction=transaction,
            respond_by=now + timedelta(days=days).total_seconds() if days else 0.0,
        )  # fmt: skip
        self._keep(step)
        return step

    def _status(self, order: Order, dispute_id: str, stage: str) -> str:
        """Return what order.status is while a dispute says so: empty where none does any more."""
        if order.chargeback:
            return "CHARGEBACK_PROCESSED"
        others = (
            steps[-1]
            for id_, steps in self._store.disputes.items()
            if id_ != dispute_id and (steps[-1].merchant_id, steps[-1].order_id) == (order.merchant_id, order.id)
        )
        return "DISPUTED" if _FOLLOWS[stage] or any(_FOLLOWS[one.stage] for one in others) else ""

    def _chargeback(self, order: Order, target: Transaction, amount: int, now: float) -> Transaction:
        of_order = self._store.of_order(order.merchant_id, order.id)
        sequence = self._store.sequence + 1
        id_ = next(
            name for name in (f"CB{sequence + more}" for more in range(len(of_order) + 1)) if name not in of_order
        )
        day = moment(now)[:10]
        reply: dict[str, Any] = {
            "gatewayEntryPoint": "AUTO",
            "merchant": order.merchant_id,
            "order": order_block(order),
            "response": response_block("APPROVED"),
            "result": "SUCCESS",
            "timeOfLastUpdate": moment(now),
            "timeOfRecord": moment(now),
            "transaction": {
                "acquirer": {
                    "batch": int(day.replace("-", "")),
                    "date": day[5:7] + day[8:],
                    "id": "SIM_ACQUIRER",
                    "merchantId": f"SIM{order.merchant_id[:12]}",
                    "settlementDate": day,
                    "timeZone": "+0000",
                    "transactionId": f"SIM{sequence:012d}",
                },
                "amount": decimal(amount, order.currency),
                "currency": order.currency,
                "id": id_,
                "receipt": f"{sequence:012d}",
                "source": "INTERNET",
                "targetTransactionId": target.id,
                "type": "CHARGEBACK",
            },
            "version": target.version,
        }
        if order.card:
            reply["sourceOfFunds"] = {"provided": {"card": order.card}, "type": "CARD"}
        return Transaction(
            merchant_id=order.merchant_id, order_id=order.id, id=id_, sequence=sequence, time=now, operation="CHARGEBACK",
            request="", version=target.version, type="CHARGEBACK", amount=amount, currency=order.currency, approved=True,
            gateway_code="APPROVED", result="SUCCESS", reply=kept(reply), order=msgspec.to_builtins(order),
            target_id=target.id,
        )  # fmt: skip


def disputes_csv(query: HistoryQuery, disputes: Iterable[Iterable[DisputeStep]], merchant_id: str) -> bytes:
    """Write the steps made in the window, oldest first, one line each. UTF-8. Columns as in the transaction history."""
    return history_csv(query, (_shown(step) for steps in disputes for step in steps if step.merchant_id == merchant_id))


def described(step: DisputeStep) -> dict[str, Any]:
    """Return a step as the control API shows it, in minor units."""
    return {
        "dispute_id": step.dispute_id,
        "number": step.number,
        "merchant_id": step.merchant_id,
        "order_id": step.order_id,
        "target_id": step.target_id,
        "transaction_id": step.transaction.id if step.transaction is not None else "",
        "stage": step.stage,
        "reason_code": step.reason_code,
        "reason": step.reason,
        "amount_minor": step.amount,
        "money_minor": step.money,
        "currency": step.currency,
        "time": step.time,
        "respond_by": step.respond_by or None,
    }


def _shown(step: DisputeStep) -> dict[str, Any]:
    return {
        "timeOfRecord": moment(step.time),
        "merchant": step.merchant_id,
        "order": {"id": step.order_id, "reference": step.order.get("reference", ""), "currency": step.currency},
        "transaction": {
            "id": step.transaction.id if step.transaction is not None else "",
            "targetTransactionId": step.target_id,
        },
        "dispute": {
            "id": step.dispute_id,
            "stage": step.stage,
            "reasonCode": step.reason_code,
            "reason": step.reason,
            "amount": decimal_text(step.amount, step.currency),
            "currency": step.currency,
            "sign": "-" if step.money < 0 else "+" if step.money else "",
            "respondBy": moment(step.respond_by) if step.respond_by else "",
        },
    }


def _taken(steps: Iterable[DisputeStep]) -> bool:
    return sum(step.money for step in steps) < 0


def _moved(stage: str, amount: int, *, taken: bool) -> int:
    """Return what a stage moves for the merchant."""
    after = _TAKEN.get(stage, taken)
    return 0 if after == taken else -amount if after else amount
