"""A small Mastercard Gateway: the rules of orders and transactions, enough for the suite that every adapter must pass."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any
from urllib.parse import unquote

from tests.adapters.scripted import DROP, Answered, Received

EXPIRIES = {
    "05/39": ("DECLINED", "FAILURE"),
    "04/27": ("EXPIRED_CARD", "FAILURE"),
    "08/28": ("TIMED_OUT", "UNKNOWN"),
    "01/37": ("ACQUIRER_SYSTEM_ERROR", "FAILURE"),
    "02/37": ("UNSPECIFIED_FAILURE", "FAILURE"),
    "05/37": ("UNKNOWN", "UNKNOWN"),
    "09/37": ("BLOCKED", "FAILURE"),
}
REVIEW, RISK = "10/37", "11/37"
PARTIAL = Decimal("7012.00")
_VOIDS = {
    "AUTHORIZATION": "VOID_AUTHORIZATION",
    "PAYMENT": "VOID_PAYMENT",
    "CAPTURE": "VOID_CAPTURE",
    "REFUND": "VOID_REFUND",
}


def error(cause: str = "INVALID_REQUEST", status: int = 400, field_: str = "", text: str = "text") -> Answered:
    """Return an answer with `result` ERROR."""
    body = {"cause": cause, "explanation": text} | ({"field": field_, "validationType": "INVALID"} if field_ else {})
    return Answered(status, {"result": "ERROR", "error": body})


@dataclass
class Move:
    """A transaction that was carried out; `amount` is what it moved."""

    type: str
    amount: Decimal
    asked: Any
    reply: dict[str, Any]
    voided: bool = False


@dataclass
class Order:
    """An order and its transactions by id."""

    currency: str = ""
    moves: dict[str, Move] = field(default_factory=dict)

    def total(self, *types: str) -> Decimal:
        """Return what stands of these types."""
        return sum((one.amount for one in self.moves.values() if one.type in types and not one.voided), Decimal())

    @property
    def status(self) -> str:
        """Return the order's status."""
        authorized, captured = self.total("AUTHORIZATION"), self.total("PAYMENT", "CAPTURE")
        refunded = self.total("REFUND")
        if refunded:
            return "REFUNDED" if refunded == captured else "PARTIALLY_REFUNDED"
        if captured:
            return "CAPTURED" if captured >= authorized else "PARTIALLY_CAPTURED"
        if authorized:
            return "AUTHORIZED"
        return "CANCELLED" if any(one.voided for one in self.moves.values()) else "FAILED"


class SmallGateway:
    """Answers like the gateway does; `troubles` says what to do with the next transactions instead."""

    def __init__(self, merchant: str) -> None:
        self.prefix = f"/api/rest/version/100/merchant/{merchant}/order/"
        self.merchant = merchant
        self.orders: dict[str, Order] = {}
        self.undecided_next: bool | None = None
        """Record the next transaction as TIMED_OUT, having moved its money (True) or not (False)."""
        self.troubles: list[Callable[[Received, Callable[[], Answered]], Answered]] = []

    def answer(self, request: Received) -> Answered:
        """Answer a request."""
        if request.target == "/api/rest/version/100/information":
            return Answered(200, {"status": "OPERATING"})
        if not request.headers.get("authorization", "").startswith("Basic "):
            return error(status=401)
        if self.troubles:
            return self.troubles.pop(0)(request, lambda: self._order(request))
        return self._order(request)

    def _order(self, request: Received) -> Answered:
        if not request.target.startswith(self.prefix):
            return error(status=404)
        parts = [unquote(part) for part in request.target.removeprefix(self.prefix).split("/")]
        order = self.orders.get(parts[0])
        if request.method == "GET":
            return self._read(parts, order)
        asked, order_id, transaction_id = request.json, parts[0], parts[2]
        if order is not None and transaction_id in order.moves:
            earlier = order.moves[transaction_id]
            return Answered(200, earlier.reply) if earlier.asked == asked else error(text="other content")
        operation = asked["apiOperation"]
        if operation in ("AUTHORIZE", "PAY"):
            return self._initial(order_id, transaction_id, asked)
        if order is None:
            return error(field_="apiOperation")
        if operation == "VOID":
            return self._void(order_id, order, transaction_id, asked)
        return self._following(order_id, order, transaction_id, asked)

    def _read(self, parts: list[str], order: Order | None) -> Answered:
        if order is None:
            return error(text="Unable to find order.")
        if len(parts) == 1:
            return Answered(
                200, self._totals(parts[0], order) | {"transaction": [m.reply for m in order.moves.values()]}
            )
        move = order.moves.get(parts[2])
        if move is None:
            return error(text="Unable to find transaction.")
        return Answered(200, move.reply | {"order": self._totals(parts[0], order)})

    def _initial(self, order_id: str, transaction_id: str, asked: dict[str, Any]) -> Answered:
        order = self.orders.setdefault(order_id, Order(asked["order"]["currency"]))
        amount = Decimal(asked["order"]["amount"])
        expiry = asked["sourceOfFunds"]["provided"]["card"]["expiry"]
        trigger = f"{expiry['month']}/{expiry['year']}"
        code, result = EXPIRIES.get(trigger, ("APPROVED", "SUCCESS"))
        extra: dict[str, Any] = {}
        if trigger == REVIEW:
            extra["risk"] = {"response": {"gatewayCode": "REVIEW_REQUIRED", "review": {"decision": "PENDING"}}}
        if trigger == RISK:
            extra["risk"] = {"response": {"gatewayCode": "REJECTED"}}
        moved = amount if result == "SUCCESS" else Decimal()
        if amount == PARTIAL and moved:
            code, moved = "PARTIALLY_APPROVED", amount / 2
        type_ = "PAYMENT" if asked["apiOperation"] == "PAY" else "AUTHORIZATION"
        return self._record(
            order_id, order, transaction_id, asked, Move(type_, moved, asked, {}), amount, code, result, extra
        )

    def _following(self, order_id: str, order: Order, transaction_id: str, asked: dict[str, Any]) -> Answered:
        operation, amount = asked["apiOperation"], Decimal(asked["transaction"]["amount"])
        captured = order.total("PAYMENT", "CAPTURE")
        left = order.total("AUTHORIZATION") - captured if operation == "CAPTURE" else captured - order.total("REFUND")
        if amount > left:
            return error(field_="transaction.amount")
        return self._record(order_id, order, transaction_id, asked, Move(operation, amount, asked, {}), amount)

    def _void(self, order_id: str, order: Order, transaction_id: str, asked: dict[str, Any]) -> Answered:
        target = order.moves.get(asked["transaction"]["targetTransactionId"])
        stands = target is not None and not target.voided and target.type in _VOIDS and target.amount
        if not stands or target is None or (target.type == "AUTHORIZATION" and order.total("CAPTURE")):
            return error(field_="apiOperation", text="Value 'VOID' is invalid. There is no transaction to void.")
        target.voided = True
        move = Move(_VOIDS[target.type], Decimal(), asked, {})
        return self._record(order_id, order, transaction_id, asked, move, target.amount)

    def _record(
        self,
        order_id: str,
        order: Order,
        transaction_id: str,
        asked: dict[str, Any],
        move: Move,
        amount: Decimal,
        code: str = "APPROVED",
        result: str = "SUCCESS",
        extra: dict[str, Any] | None = None,
    ) -> Answered:
        order.moves[transaction_id] = move
        if self.undecided_next is not None:
            code, result = "TIMED_OUT", "UNKNOWN"
            move.amount *= self.undecided_next
            self.undecided_next = None
        move.reply = {
            "result": result,
            "merchant": self.merchant,
            "version": "100",
            "correlationId": asked["correlationId"],
            "order": self._totals(order_id, order),
            "response": {"gatewayCode": code},
            "transaction": {
                "id": transaction_id,
                "type": move.type,
                "amount": float(amount),
                "currency": order.currency,
                "targetTransactionId": asked["transaction"].get("targetTransactionId", ""),
            },
            **(extra or {}),
        }
        return Answered(201, json.loads(json.dumps(move.reply)))

    def _totals(self, order_id: str, order: Order) -> dict[str, Any]:
        return {
            "id": order_id,
            "currency": order.currency,
            "status": order.status,
            "totalAuthorizedAmount": float(order.total("AUTHORIZATION", "PAYMENT")),
            "totalCapturedAmount": float(order.total("PAYMENT", "CAPTURE")),
        }


def lose(*, processed: bool) -> Callable[[Received, Callable[[], Answered]], Answered]:
    """Return a trouble: no answer, after or before the request was carried out."""

    def trouble(_: Received, carry_out: Callable[[], Answered]) -> Answered:
        if processed:
            carry_out()
        return DROP

    return trouble


def answer_with(answered: Answered, *, processed: bool) -> Callable[[Received, Callable[[], Answered]], Answered]:
    """Return a trouble: another answer, or with a status of 0 the right one late."""

    def trouble(_: Received, carry_out: Callable[[], Answered]) -> Answered:
        right = carry_out() if processed else answered
        return replace(right, after_seconds=answered.after_seconds) if not answered.status else answered

    return trouble
