"""Authentications of payers: the two steps of 3-D Secure, the challenges that are open, and what payments make of them."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

import msgspec

from shanraq.simulators.mastercard import payer
from shanraq.simulators.mastercard.fields import CARD, NUMBER, Body, find, mask, missing, read_expiry, read_number
from shanraq.simulators.mastercard.gateway import Asked, Gateway, Judged
from shanraq.simulators.mastercard.model import Part, Transaction
from shanraq.simulators.mastercard.refusal import Refusal
from shanraq.simulators.mastercard.render import card_block, moment, told
from shanraq.simulators.mastercard.validate import amount_of, currency_of, decimal
from shanraq.simulators.serve import Reply

_PART: Final = "challenge"
_OPEN: Final = frozenset({"AUTHENTICATION_PENDING", "AUTHENTICATION_AVAILABLE", "AUTHENTICATION_INITIATED"})
_KEPT: Final = ("acceptVersions", "amount", "channel", "method", "purpose")
_STOPS: Final = frozenset({"AUTHENTICATION_FAILED", "AUTHENTICATION_REJECTED"})


class Authentications:
    """Carries out INITIATE_AUTHENTICATION and AUTHENTICATE_PAYER; `base_url` is where the payer's browser finds us.

    `finished` is told of each transaction whose challenge was answered.
    """

    def __init__(
        self,
        gateway: Gateway,
        base_url: Callable[[], str],
        new_key: Callable[[], str],
        finished: Callable[[Transaction], None],
    ) -> None:
        self._gateway = gateway
        self._base_url = base_url
        self._new_key = new_key
        self._finished = finished

    def operate(self, asked: Asked) -> Reply:
        """Answer one of the two operations; raises Refusal."""
        first = asked.operation == "INITIATE_AUTHENTICATION"
        currency = currency_of(asked.body, "order.currency")
        amount = 0 if first else amount_of(asked.body, "order.amount", currency)
        number = read_number(asked.body)
        if number is None:
            raise missing(NUMBER)
        before = self._gateway.transaction(asked)
        if not first and before is None:
            raise Refusal("transaction.id", "INVALID", "There is no authentication with this id.")
        order = self._gateway.order_for(asked, currency, amount)
        order.amount, order.card = amount, card_block(asked.body, number, read_expiry(asked.body))
        place = f"{asked.merchant_id} {asked.order_id} {asked.transaction_id}"
        if before is None:
            step = payer.initiate(number, place, self._base_url(), _versions(asked))
        else:
            if before.result != "SUCCESS":
                raise Refusal("transaction.id", "INVALID", "The authentication could not be initiated.")
            if not _same_card(before, number):
                raise Refusal(NUMBER, "INVALID", "The authentication is of another card.")
            url = asked.find("authentication.redirectResponseUrl")
            if url is None:
                raise missing("authentication.redirectResponseUrl")
            key = self._new_key()
            step = payer.authenticate(number, place, f"{self._base_url()}{payer.PREFIX}challenge?id={key}")
            if step.status == "AUTHENTICATION_PENDING":
                state = {"merchant": asked.merchant_id, "order": asked.order_id, "transaction": asked.transaction_id}
                self._gateway.keep(Part(_PART, key, state | {"url": url}))
        step.block.update(self._asked_for(asked, before, decimal(amount, currency)))
        order.authentication_status, order.failed = step.status, False
        return self._gateway.record(
            order, asked, step.gateway_code, type_="AUTHENTICATION", amount=amount, moved=0,
            response={"gatewayCode": step.gateway_code, "gatewayRecommendation": step.recommendation},
            judged=Judged(authentication=step.block, transaction_status=step.status), result=step.result, sent=False,
        )  # fmt: skip

    def _asked_for(self, asked: Asked, before: Transaction | None, amount: Decimal) -> dict[str, Any]:
        """Return what is told of the request itself: the second step tells what the first one asked for."""
        earlier = told(before.reply)["authentication"] if before is not None else {}
        asked_for: dict[str, Any] = {
            "acceptVersions": earlier.get("acceptVersions") or ",".join(sorted(_versions(asked))),
            "channel": earlier.get("channel") or asked.find("authentication.channel") or "PAYER_BROWSER",
            "purpose": earlier.get("purpose") or asked.find("authentication.purpose") or "PAYMENT_TRANSACTION",
            "time": moment(self._gateway.now()),
        }
        return asked_for | ({"amount": amount, "method": "DYNAMIC"} if before is not None else {})

    def open_challenges(self) -> list[str]:
        """Return the keys of the challenges that no payer has answered."""
        return list(self._gateway.store.parts.get(_PART, {}))

    def finish(self, key: str, choice: str) -> tuple[str, str, str, str] | None:
        """Write down how the payer answered; returns the merchant's URL, order, transaction and result, None if unknown."""
        place = self._gateway.store.parts.get(_PART, {}).get(key)
        if place is None:
            return None
        merchant_id, order_id, transaction_id = place["merchant"], place["order"], place["transaction"]
        one = self._gateway.store.of_order(merchant_id, order_id)[transaction_id]
        order = msgspec.structs.replace(self._gateway.store.orders[merchant_id, order_id], updated=self._gateway.now())
        step = payer.outcome(_number(one), f"{merchant_id} {order_id} {transaction_id}", choice)
        if not order.standing:
            order.authentication_status = step.status
        reply = told(one.reply)
        step.block.update(
            {name: reply["authentication"][name] for name in _KEPT} | {"time": moment(self._gateway.now())}
        )
        reply |= {"authentication": step.block, "result": step.result}
        reply["response"] = {"gatewayCode": step.gateway_code, "gatewayRecommendation": step.recommendation}
        reply["transaction"] = {**reply["transaction"], "authenticationStatus": step.status}
        self._gateway.keep(Part(_PART, key, None))
        self._gateway.exchange(one, order, reply, step.result)
        self._finished(self._gateway.store.of_order(merchant_id, order_id)[transaction_id])
        return place["url"], order_id, transaction_id, step.result

    def status_in(self, body: Body) -> str:
        """Return the status of an authentication that was made elsewhere, empty without one; raises Refusal."""
        return _external(body).transaction_status

    def of_payment(self, asked: Asked) -> Judged:
        """Return what the authentication says that a payment names; raises Refusal for one that is not there or not over."""
        wanted = asked.find("authentication.transactionId")
        if wanted is None:
            return _external(asked.body)
        one = self._gateway.store.of_order(asked.merchant_id, asked.order_id).get(wanted)
        if one is None or one.type != "AUTHENTICATION":
            raise Refusal("authentication.transactionId", "INVALID", "There is no such authentication on the order.")
        number = asked.find(NUMBER)
        if isinstance(number, str) and not _same_card(one, number):
            raise Refusal("authentication.transactionId", "INVALID", "The authentication is of another card.")
        reply = told(one.reply)
        status = reply["transaction"].get("authenticationStatus", "")
        if status in _OPEN:
            raise Refusal("authentication.transactionId", "INVALID", "The authentication is not over.")
        shown = {name: value for name, value in reply.get("authentication", {}).items() if name != "redirect"}
        return Judged(
            "AUTHENTICATION_FAILED" if status in _STOPS else "", authentication=shown, transaction_status=status
        )


def _external(body: Body) -> Judged:
    external = find(body, "authentication.3ds")
    if external is None:
        return Judged()
    letter = find(body, "authentication.3ds2.transactionStatus") or "Y"
    status = payer.STATUS[letter]
    if status in _OPEN:
        raise Refusal("authentication.3ds2.transactionStatus", "INVALID", "The authentication is not over.")
    block = {"3ds": external, "3ds2": {"transactionStatus": letter}, "version": "3DS2"}
    return Judged("AUTHENTICATION_FAILED" if status in _STOPS else "", authentication=block, transaction_status=status)


def _versions(asked: Asked) -> frozenset[str]:
    given = asked.find("authentication.acceptVersions") or "3DS2"
    return frozenset(given.split(",") if isinstance(given, str) else given)


def _number(one: Transaction) -> str:
    number = find(one.reply, f"{CARD}.number")
    return number if isinstance(number, str) else ""


def _same_card(one: Transaction, number: str) -> bool:
    return _number(one) == mask(number)
