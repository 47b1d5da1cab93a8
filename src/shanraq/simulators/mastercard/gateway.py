"""Carry out the operations on orders: what may follow what, how much is left, and what the acquirer would say."""

from __future__ import annotations

import hmac
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from shanraq.simulators.mastercard.fields import (
    SECURITY_CODE,
    Body,
    find,
    fingerprint,
    holds_card_number,
    missing,
    read_expiry,
    read_number,
)
from shanraq.simulators.mastercard.model import Answered, Entry, Order, Transaction
from shanraq.simulators.mastercard.refusal import Refusal
from shanraq.simulators.mastercard.render import (
    card_block,
    in_version,
    kept,
    moment,
    not_sent,
    order_block,
    reply_of,
    response_block,
    told,
)
from shanraq.simulators.mastercard.store import Store
from shanraq.simulators.mastercard.triggers import APPROVED, Triggers, acquirer_answer, result_of
from shanraq.simulators.mastercard.validate import (
    AUTHENTICATION,
    INITIAL,
    WITHOUT_AMOUNT,
    amount_of,
    check_id,
    check_order_fields,
    currency_of,
    decimal,
    operation_of,
)
from shanraq.simulators.serve import Reply

_TYPES: Final = {
    "AUTHORIZE": "AUTHORIZATION",
    "PAY": "PAYMENT",
    "VERIFY": "VERIFICATION",
    "BALANCE_INQUIRY": "VERIFICATION",
    "REFERRAL": "AUTHORIZATION",
    "STANDALONE_CAPTURE": "CAPTURE",
    "STANDALONE_REFUND": "REFUND",
    "DISBURSEMENT": "DISBURSEMENT",
    "ACCOUNT_FUNDING_TRANSACTION": "FUNDING",
    "CAPTURE": "CAPTURE",
    "REFUND": "REFUND",
    "UPDATE_AUTHORIZATION": "AUTHORIZATION_UPDATE",
}
_VOIDABLE: Final = {
    "AUTHORIZATION": "VOID_AUTHORIZATION",
    "PAYMENT": "VOID_PAYMENT",
    "CAPTURE": "VOID_CAPTURE",
    "REFUND": "VOID_REFUND",
}
_NOTHING_TO_VOID: Final = "Value 'VOID' is invalid. There is no transaction to void."
_HOLDS: Final = frozenset({"AUTHORIZE", "REFERRAL"})


@dataclass(slots=True)
class Scripted:
    """The answer that the control API ordered for a later request: a gateway code, and how much a partial approval is."""

    gateway_code: str
    operation: str = ""
    approved_minor: int = 0


@dataclass(slots=True)
class Judged:
    """What the parts say of a card payment before the acquirer is asked; with a gateway code the acquirer is not asked."""

    gateway_code: str = ""
    risk: dict[str, Any] | None = None
    review: str = ""
    authentication: dict[str, Any] | None = None
    transaction_status: str = ""


@dataclass(frozen=True, slots=True)
class Asked:
    """One PUT on a transaction. `digest` is the keyed hash of its body as sent; `body` has session and token resolved."""

    merchant_id: str
    version: str
    order_id: str
    transaction_id: str
    operation: str
    digest: str
    body: Body = field(repr=False)

    def find(self, path: str) -> Any:
        """Return the value at a dotted path of the body, or None."""
        return find(self.body, path)


Judge = Callable[[Asked, str, str, str], Judged]
"""Request, card number, CSC and AVS result; risk and authentication plug in here."""


@dataclass
class Gateway:
    """All orders of all merchants; `key` is the secret under which requests and cards are compared.

    `judge` is asked about each card payment before the acquirer is; `authenticate` carries out the operations of 3-D Secure.
    """

    store: Store
    keep: Callable[[Entry], None]
    now: Callable[[], float]
    key: bytes = field(repr=False)
    judge: Judge | None = None
    authenticate: Callable[[Asked], Reply] | None = None
    triggers: Triggers = field(default_factory=Triggers)
    scripted: list[Scripted] = field(default_factory=list)
    random: random.Random = field(default_factory=lambda: random.Random(0))  # noqa: S311 - receipts, no secret

    # Requests.

    def operate(
        self, merchant_id: str, version: str, order_id: str, transaction_id: str, body: Body, raw: Body
    ) -> Reply:
        """Carry out one PUT on a transaction; `raw` is the body as sent, before session and token were put in.

        Raises Refusal.
        """
        check_id(order_id, "order.id")
        check_id(transaction_id, "transaction.id")
        operation = operation_of(body)
        asked = Asked(merchant_id, version, order_id, transaction_id, operation, self.digest(raw), body)
        before = self.transaction(asked)
        if before is not None:
            answered = _answer_given(before, asked)
            if answered is not None:
                return reply_of(200, in_version(told(answered), answered["version"], _correlation_id(raw)))
            if operation != "AUTHENTICATE_PAYER" or before.operation != "INITIATE_AUTHENTICATION":
                raise Refusal("transaction.id", "INVALID", "A transaction with this id and other content exists.")
        check_order_fields(body)
        if operation in INITIAL:
            return self._initial(asked)
        if operation in AUTHENTICATION:
            assert self.authenticate is not None
            return self.authenticate(asked)
        return self._following(asked)

    def transaction(self, asked: Asked) -> Transaction | None:
        """Return the transaction that goes by the ids of a request."""
        return self.store.of_order(asked.merchant_id, asked.order_id).get(asked.transaction_id)

    def retrieve_transaction(self, merchant_id: str, version: str, order_id: str, transaction_id: str) -> Reply:
        """Return a transaction, with the order as it is now; raises Refusal for an unknown one."""
        found = self.store.of_order(merchant_id, order_id).get(transaction_id)
        if found is None:
            raise Refusal("transaction.id", "INVALID", "Unable to find the transaction.")
        reply = told(found.reply) | {"version": version}
        reply["order"] = order_block(self.store.orders[merchant_id, order_id])
        return reply_of(200, in_version(reply, version))

    def retrieve_order(self, merchant_id: str, version: str, order_id: str) -> Reply:
        """Return an order with its transactions; raises Refusal for an unknown one."""
        order = self.store.orders.get((merchant_id, order_id))
        if order is None:
            raise Refusal("order.id", "INVALID", "Unable to find the order.")
        transactions = self.store.of_order(merchant_id, order_id).values()
        body = order_block(order) | {
            "merchant": merchant_id,
            "result": "SUCCESS",
            "transaction": [in_version(told(one.reply) | {"version": version}, version) for one in transactions],
            "version": version,
        }
        if order.card:
            body["sourceOfFunds"] = {"provided": {"card": order.card}, "type": "CARD"}
        return reply_of(200, body)

    def digest(self, raw: Body) -> str:
        """Return the keyed hash of a request, by which the same one is known again; the correlation id is not of it."""
        content = {name: value for name, value in raw.items() if name != "correlationId"}
        text = msgspec.json.encode(content, order="sorted")
        return hmac.digest(self.key, b"request " + text, "sha256").hex()

    def fingerprint(self, number: str) -> str:
        """Return the keyed hash under which a card is compared."""
        return fingerprint(self.key, number)

    # Initial transactions.

    def _initial(self, asked: Asked) -> Reply:
        operation = asked.operation
        currency = currency_of(asked.body, "order.currency")
        amount = 0 if operation in WITHOUT_AMOUNT else amount_of(asked.body, "order.amount", currency)
        number, expiry = read_number(asked.body), read_expiry(asked.body)
        if number is None and asked.find("sourceOfFunds.provided.card.devicePayment") is None:
            raise missing("sourceOfFunds.provided.card.number")
        order = self.order_for(asked, currency, amount)
        attempts = sum(
            one.operation in INITIAL for one in self.store.of_order(asked.merchant_id, asked.order_id).values()
        )
        csc, avs = self.checks_of(asked.body)
        judged = self.judge(asked, number or "", csc, avs) if self.judge else Judged()
        code, approved = judged.gateway_code, amount
        if not code:
            code = self._answer(operation, expiry, order, attempts)
            if code in APPROVED:
                code, approved = self._in_part(asked.body, operation, amount, code)
        good = result_of(code, operation) == "SUCCESS"
        if good:
            _begin(order, operation, asked.transaction_id, approved)
            order.review = judged.review
            if judged.review:
                # A payment under review is an authorization until somebody accepts it.
                order.captured = 0
        else:
            order.failed = True
            if judged.review and judged.risk is not None:
                # Nothing stands of the order: there is nothing for a person to decide.
                judged.risk["response"]["review"] = {"decision": "NOT_REQUIRED"}
        order.authentication_status = judged.transaction_status or "AUTHENTICATION_NOT_IN_EFFECT"
        order.amount = amount
        order.card = card_block(asked.body, number or "", expiry)
        response = response_block(code, csc, avs)
        return self.record(
            order, asked, code, type_=_TYPES[operation], amount=amount, moved=0 if not good or _waits(order) else approved,
            response=not_sent(response) if judged.gateway_code else response, judged=judged,
            transaction={"authorizationCode": f"{self.random.randrange(10**6):06d}"} if good else {},
            sent=not judged.gateway_code,
        )  # fmt: skip

    def checks_of(self, body: Body) -> tuple[str, str]:
        """Return what the issuer finds of security code and address; empty for what was not given."""
        code, street = find(body, SECURITY_CODE), find(body, "billing.address.street")
        csc = self.triggers.security_code.get(code, "NOT_PROCESSED") if code else ""
        return csc, self.triggers.street.get(street, "NOT_AVAILABLE") if street else ""

    def order_for(self, asked: Asked, currency: str, amount: int) -> Order:
        """Return the order that an initial transaction begins or tries again; raises Refusal where one stands already."""
        before = self.store.orders.get((asked.merchant_id, asked.order_id))
        if before is not None and (before.standing or before.voided):
            raise Refusal("order.id", "INVALID", "The order already has an initial transaction.")
        if before is not None and before.currency != currency:
            raise Refusal("order.currency", "INVALID", "The order has another currency.")
        now = self.now()
        order = (
            msgspec.structs.replace(before, updated=now)
            if before is not None
            else Order(
                merchant_id=asked.merchant_id,
                id=asked.order_id,
                amount=amount,
                currency=currency,
                created=now,
                updated=now,
            )
        )
        order.reference = asked.find("order.reference") or ""
        order.notification_url = asked.find("order.notificationUrl") or ""
        order.certainty = asked.find("order.certainty") or ""
        return order

    def _answer(self, operation: str, expiry: tuple[int, int] | None, order: Order, attempts: int) -> str:
        for position, one in enumerate(self.scripted):
            if one.operation in ("", operation):
                if one.gateway_code == "PARTIALLY_APPROVED" and one.approved_minor:
                    return "PARTIALLY_APPROVED"
                del self.scripted[position]
                return one.gateway_code
        code = self.triggers.code_of(expiry, order.reference, attempts)
        return "BALANCE_AVAILABLE" if operation == "BALANCE_INQUIRY" and code == "APPROVED" else code

    def _in_part(self, body: Body, operation: str, amount: int, code: str) -> tuple[str, int]:
        if code == "PARTIALLY_APPROVED":
            for position, one in enumerate(self.scripted):
                if one.gateway_code == "PARTIALLY_APPROVED" and one.operation in ("", operation):
                    del self.scripted[position]
                    return code, max(1, min(one.approved_minor, amount))
            return code, max(1, amount // 2)
        wanted = find(body, "order.acceptPartialAmount") is True
        if wanted and amount == self.triggers.partial_minor and operation in {"AUTHORIZE", "PAY"}:
            return "PARTIALLY_APPROVED", amount // 2
        return code, amount

    # Reviews.

    def decide_review(self, merchant_id: str, order_id: str, decision: str, note: str, user_id: str) -> None:
        """Decide on an order that waits for review. Raises ValueError when it does not."""
        order = self.store.orders.get((merchant_id, order_id))
        if order is None or order.review != "PENDING":
            raise ValueError("the order does not wait for review")
        one, waits = self.store.of_order(merchant_id, order_id)[order.initial_id], _waits(order)
        order = msgspec.structs.replace(order, review=decision, updated=self.now())
        if waits and decision != "REJECTED" and not order.voided:
            order.captured = order.authorized
            one = msgspec.structs.replace(one, amount=order.authorized)
        reply = told(one.reply)
        review = {"decision": decision, "time": moment(self.now()), "userId": user_id} | (
            {"note": note} if note else {}
        )
        reply["risk"] = {"response": {**reply["risk"]["response"], "review": review}}
        self.exchange(one, order, reply, one.result)

    def exchange(self, one: Transaction, order: Order, reply: dict[str, Any], result: str) -> None:
        """Put what is retrieved of a transaction in place of what it answered; the request is still answered the same."""
        reply["order"] = order_block(order)
        reply["timeOfLastUpdate"] = moment(self.now())
        self.keep(
            msgspec.structs.replace(
                one, reply=kept(reply), order=msgspec.to_builtins(order), result=result, earlier=answers_of(one)
            )
        )

    # What follows.

    def _following(self, asked: Asked) -> Reply:
        operation = asked.operation
        before = self.store.orders.get((asked.merchant_id, asked.order_id))
        if before is None:
            if operation == "VOID":
                raise Refusal("apiOperation", "INVALID", _NOTHING_TO_VOID)
            raise Refusal("order.id", "INVALID", "Unable to find the order.")
        order = msgspec.structs.replace(before, updated=self.now())
        if operation == "VOID":
            return self._void(order, asked)
        currency = currency_of(asked.body, "transaction.currency")
        amount = amount_of(asked.body, "transaction.amount", currency)
        if currency != order.currency:
            raise Refusal("transaction.currency", "INVALID", "The order has another currency.")
        code = self._scripted(operation) or "APPROVED"
        good = result_of(code) == "SUCCESS"
        match operation:
            case "REFUND":
                if not order.captured or order.voided:
                    raise Refusal("apiOperation", "INVALID", "Value 'REFUND' is invalid. Nothing was captured.")
                if amount > order.captured - order.refunded:
                    raise Refusal("transaction.amount", "INVALID", "The value exceeds the amount that was captured.")
                order.refunded += amount if good else 0
            case _:
                if order.kind not in _HOLDS or order.voided:
                    text = f"Value '{operation}' is invalid. There is no authorization."
                    raise Refusal("apiOperation", "INVALID", text)
                if order.review in ("PENDING", "REJECTED"):
                    said = "waits for review" if order.review == "PENDING" else "was rejected by review"
                    raise Refusal("apiOperation", "INVALID", f"Value '{operation}' is invalid. The order {said}.")
                self._change(order, operation, amount, good=good)
        return self.record(
            order, asked, code, type_=_TYPES[operation], amount=amount, moved=amount if good else 0,
            response=response_block(code),
        )  # fmt: skip

    def _change(self, order: Order, operation: str, amount: int, *, good: bool) -> None:
        if operation == "CAPTURE":
            if amount > order.authorized - order.captured:
                raise Refusal("transaction.amount", "INVALID", "The value exceeds the amount that is authorized.")
            order.captured += amount if good else 0
            return
        if amount < order.captured:
            raise Refusal("transaction.amount", "INVALID", "The value is less than what was captured.")
        if good:
            order.authorized = order.amount = amount

    def _void(self, order: Order, asked: Asked) -> Reply:
        wanted = asked.find("transaction.targetTransactionId")
        transactions = self.store.of_order(order.merchant_id, order.id)
        if wanted is None:
            target = next((one for one in reversed(transactions.values()) if _may_be_voided(one, order)), None)
        else:
            target = transactions.get(wanted)
        if target is None or not _may_be_voided(target, order):
            raise Refusal("apiOperation", "INVALID", _NOTHING_TO_VOID)
        code, amount = self._scripted("VOID") or "APPROVED", target.amount or order.authorized
        good = result_of(code) == "SUCCESS"
        if good:
            match target.type:
                case "CAPTURE" if order.kind != "STANDALONE_CAPTURE":
                    order.captured -= target.amount
                case "REFUND" if order.kind != "STANDALONE_REFUND":
                    order.refunded -= target.amount
                case _:
                    order.voided = True
                    order.authorized = order.captured = order.refunded = 0
        return self.record(
            order, asked, code, type_=_VOIDABLE[target.type], amount=amount, moved=target.amount if good else 0,
            response=response_block(code), target_id=target.id,
        )  # fmt: skip

    def _scripted(self, operation: str) -> str:
        for position, one in enumerate(self.scripted):
            if one.operation == operation:
                del self.scripted[position]
                return one.gateway_code
        return ""

    # Replies.

    def record(
        self,
        order: Order,
        asked: Asked,
        code: str,
        *,
        type_: str,
        amount: int,
        moved: int,
        response: dict[str, Any],
        transaction: dict[str, Any] | None = None,
        judged: Judged | None = None,
        target_id: str = "",
        result: str = "",
        sent: bool = True,
    ) -> Reply:
        """Keep a transaction and answer it; one that was not `sent` to the acquirer shows nothing of an acquirer."""
        sequence, now = self.store.sequence + 1, self.now()
        result = result or result_of(code, asked.operation)
        day = moment(now)[:10]
        block: dict[str, Any] = {
            "amount": decimal(amount, order.currency),
            "currency": order.currency,
            "id": asked.transaction_id,
            "source": asked.find("transaction.source") or "INTERNET",
            "type": type_,
        } | (transaction or {})
        reply: dict[str, Any] = {
            "gatewayEntryPoint": "WEB_SERVICES_API",
            "merchant": order.merchant_id,
            "order": order_block(order),
            "response": response,
            "result": result,
            "timeOfLastUpdate": moment(now),
            "timeOfRecord": moment(now),
            "transaction": block,
            "version": asked.version,
        }
        block["acquirer"] = {"id": "SIM_ACQUIRER", "merchantId": f"SIM{order.merchant_id[:12]}"}
        if sent:
            stan = f"{sequence % 1_000_000:06d}"
            block |= {"receipt": f"{sequence:012d}", "stan": stan, "terminal": "SIM00001"}
            block["acquirer"] |= {
                "batch": int(day.replace("-", "")),
                "date": day[5:7] + day[8:],
                "settlementDate": day,
                "timeZone": "+0000",
                "transactionId": f"SIM{sequence:012d}",
            }
            reply["authorizationResponse"] = {
                "commercialCard": "888",
                "commercialCardIndicator": "3",
                "financialNetworkCode": "MCC",
                "posData": "1025104006600",
                "posEntryMode": "812",
                "processingCode": "200000" if "REFUND" in type_ else "003000",
                "responseCode": acquirer_answer(code)[0],
                "stan": stan,
                "transactionIdentifier": f"SIM{sequence:09d}{day[5:7]}{day[8:]}",
            }
        reference = asked.find("transaction.reference")
        if reference:
            block["reference"] = reference
        if target_id:
            block["targetTransactionId"] = target_id
        if judged is not None and judged.transaction_status:
            block["authenticationStatus"] = judged.transaction_status
        if order.card:
            source = {"provided": {"card": order.card}, "type": "CARD"}
            token = asked.find("sourceOfFunds.token")
            reply["sourceOfFunds"] = source | ({"token": token} if token else {})
        if judged is not None and judged.risk is not None:
            reply["risk"] = judged.risk
        if judged is not None and judged.authentication is not None:
            reply["authentication"] = judged.authentication
        before = self.transaction(asked)
        self.keep(
            Transaction(
                merchant_id=order.merchant_id, order_id=order.id, id=asked.transaction_id, sequence=sequence, time=now,
                operation=asked.operation, request=asked.digest, version=asked.version, type=type_, amount=moved,
                currency=order.currency, approved=result == "SUCCESS", gateway_code=code, result=result, reply=kept(reply),
                order=msgspec.to_builtins(order), target_id=target_id,
                earlier=answers_of(before) if before is not None else [],
            )
        )  # fmt: skip
        return reply_of(201, in_version(reply, asked.version, asked.find("correlationId")))


def _correlation_id(body: Body) -> str | None:
    value = body.get("correlationId")
    return value if isinstance(value, str) and not holds_card_number(value) else None


def _answer_given(one: Transaction, asked: Asked) -> dict[str, Any] | None:
    """Return what the same request was answered at first, None for another request."""
    for answered in answers_of(one):
        if answered.operation == asked.operation and hmac.compare_digest(answered.request, asked.digest):
            return answered.reply
    return None


def answers_of(one: Transaction) -> list[Answered]:
    """Return the first answers to all requests that a transaction has had."""
    if any(answered.request == one.request for answered in one.earlier):
        return one.earlier
    return [*one.earlier, Answered(one.operation, one.request, one.reply)]


def _begin(order: Order, operation: str, transaction_id: str, approved: int) -> None:
    order.kind, order.initial_id, order.failed = operation, transaction_id, False
    match operation:
        case "AUTHORIZE" | "REFERRAL":
            order.authorized = approved
        case "PAY":
            order.authorized = order.captured = approved
        case "STANDALONE_CAPTURE" | "ACCOUNT_FUNDING_TRANSACTION":
            order.captured = approved
        case "STANDALONE_REFUND":
            order.refunded = approved
        case "DISBURSEMENT":
            order.disbursed = approved
        case _:
            pass


def _waits(order: Order) -> bool:
    """Tell whether money that would have moved waits for somebody to accept the order."""
    return order.kind in ("PAY", "STANDALONE_CAPTURE") and order.review == "PENDING"


def _may_be_voided(one: Transaction, order: Order) -> bool:
    if not one.approved or one.voided or one.settled or order.voided or one.type not in _VOIDABLE:
        return False
    match one.type:
        case "AUTHORIZATION":
            return order.captured == 0
        case "PAYMENT":
            return order.refunded == 0
        case "CAPTURE":
            return order.kind == "STANDALONE_CAPTURE" or order.captured - one.amount >= order.refunded
        case _:
            return True
