"""Carry out the operations on orders: what may follow what, how much is left, and what the acquirer would say."""

from __future__ import annotations

import hashlib
import hmac
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from shanraq.simulators.mastercard import payer
from shanraq.simulators.mastercard.fields import (
    Body,
    find,
    find_text,
    fingerprint,
    mask,
    missing,
    read_expiry,
    read_number,
    reject_card_numbers,
)
from shanraq.simulators.mastercard.model import Entry, Order, Transaction
from shanraq.simulators.mastercard.refusal import Refusal
from shanraq.simulators.mastercard.render import (
    card_block,
    kept,
    moment,
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
    check_fields,
    check_id,
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
_ORDER_STATUS: Final = {
    "AUTHENTICATION_SUCCESSFUL": "AUTHENTICATED",
    "AUTHENTICATION_ATTEMPTED": "AUTHENTICATED",
    "AUTHENTICATION_NOT_SUPPORTED": "AUTHENTICATION_NOT_NEEDED",
    "AUTHENTICATION_FAILED": "AUTHENTICATION_UNSUCCESSFUL",
    "AUTHENTICATION_REJECTED": "AUTHENTICATION_UNSUCCESSFUL",
    "AUTHENTICATION_UNAVAILABLE": "AUTHENTICATION_UNSUCCESSFUL",
}
_AUTHENTICATION_STOPS: Final = {
    "AUTHENTICATION_FAILED": "AUTHENTICATION_FAILED",
    "AUTHENTICATION_REJECTED": "AUTHENTICATION_FAILED",
    "AUTHENTICATION_PENDING": "AUTHENTICATION_IN_PROGRESS",
    "AUTHENTICATION_AVAILABLE": "AUTHENTICATION_IN_PROGRESS",
}
_HOLDS: Final = frozenset({"AUTHORIZE", "REFERRAL"})


@dataclass(slots=True)
class Scripted:
    """The answer that the control API ordered for a later request: a gateway code, and how much a partial approval is."""

    gateway_code: str
    operation: str = ""
    approved_minor: int = 0


@dataclass(slots=True)
class Judged:
    """What the parts say of a card payment before the acquirer is asked."""

    gateway_code: str = ""
    risk: dict[str, Any] | None = None
    review: str = ""
    authentication: dict[str, Any] | None = None
    transaction_status: str = ""


Judge = Callable[[str, str, str, Body, str, str, str], Judged]
"""Merchant, order, operation, body, card number, CSC and AVS result; parts such as risk and authentication plug in here."""


@dataclass
class Gateway:
    """All orders of all merchants. `judge` is asked about each card payment before the acquirer is."""

    store: Store
    keep: Callable[[Entry], None]
    now: Callable[[], float]
    seed: int = 0
    judge: Judge | None = None
    triggers: Triggers = field(default_factory=Triggers)
    scripted: list[Scripted] = field(default_factory=list)
    base_url: Callable[[], str] = str
    new_key: Callable[[], str] = str
    challenges: dict[str, list[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)  # noqa: S311 - receipts of a reproducible run, no secret
        # Replays are recognised by a keyed hash: a body holds card numbers and security codes.
        self._key = hashlib.sha256(f"requests {self.seed}".encode()).digest()

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
        digest = self._digest(raw)
        before = self.store.of_order(merchant_id, order_id).get(transaction_id)
        if before is not None and not (
            operation == "AUTHENTICATE_PAYER" and before.operation == "INITIATE_AUTHENTICATION"
        ):
            if before.operation == operation and hmac.compare_digest(before.request, digest):
                return reply_of(200, told(before.reply))
            raise Refusal("transaction.id", "INVALID", "A transaction with this id and other content exists.")
        check_fields(body)
        reject_card_numbers(body)
        if operation in INITIAL:
            return self._initial(merchant_id, version, order_id, transaction_id, operation, digest, body)
        if operation in AUTHENTICATION:
            return self._authenticate(merchant_id, version, order_id, transaction_id, operation, digest, body)
        return self._following(merchant_id, version, order_id, transaction_id, operation, digest, body)

    def retrieve_transaction(self, merchant_id: str, order_id: str, transaction_id: str) -> Reply:
        """Return a transaction as it was answered, with the order as it is now; raises Refusal for an unknown one."""
        found = self.store.of_order(merchant_id, order_id).get(transaction_id)
        if found is None:
            raise Refusal("transaction.id", "INVALID", "Unable to find the transaction.")
        reply = told(found.reply)
        reply["order"] = order_block(self.store.orders[merchant_id, order_id])
        return reply_of(200, reply)

    def retrieve_order(self, merchant_id: str, order_id: str) -> Reply:
        """Return an order with its transactions; raises Refusal for an unknown one."""
        order = self.store.orders.get((merchant_id, order_id))
        if order is None:
            raise Refusal("order.id", "INVALID", "Unable to find the order.")
        body = order_block(order) | {
            "merchant": merchant_id,
            "result": "SUCCESS",
            "transaction": [told(one.reply) for one in self.store.of_order(merchant_id, order_id).values()],
        }
        if order.card:
            body["sourceOfFunds"] = {"provided": {"card": order.card}, "type": "CARD"}
        return reply_of(200, body)

    def _digest(self, raw: Body) -> str:
        content = {name: value for name, value in raw.items() if name != "correlationId"}
        text = msgspec.json.encode(content, order="sorted")
        return hmac.digest(self._key, text, "sha256").hex()

    # Initial transactions.

    def _initial(
        self,
        merchant_id: str,
        version: str,
        order_id: str,
        transaction_id: str,
        operation: str,
        digest: str,
        body: Body,
    ) -> Reply:
        currency = currency_of(body, "order.currency")
        amount = 0 if operation in WITHOUT_AMOUNT else amount_of(body, "order.amount", currency)
        number, expiry = read_number(body), read_expiry(body)
        if number is None and find(body, "sourceOfFunds.provided.card.devicePayment") is None:
            raise missing("sourceOfFunds.provided.card.number")
        order = self._order_for(merchant_id, order_id, currency, amount, body)
        attempts = sum(one.operation in INITIAL for one in self.store.of_order(merchant_id, order_id).values())
        code_given = find(body, "sourceOfFunds.provided.card.securityCode")
        csc = self.triggers.security_code.get(code_given, "NOT_PROCESSED") if code_given else ""
        street = find(body, "billing.address.street")
        avs = self.triggers.street.get(street, "NOT_AVAILABLE") if street else ""
        judged = self.judge(merchant_id, order_id, operation, body, number or "", csc, avs) if self.judge else Judged()
        code = judged.gateway_code or self._answer(operation, expiry, order, attempts)
        approved = amount
        if code in APPROVED and not judged.gateway_code:
            code, approved = self._in_part(body, operation, amount, code)
        good = result_of(code) == "SUCCESS"
        if good:
            _begin(order, operation, transaction_id, approved)
            order.review = judged.review
        else:
            order.failed = not order.standing
        order.amount, order.updated = amount, self.now()
        order.card = card_block(body, number or "", expiry)
        transaction: dict[str, Any] = {"authorizationCode": f"{self._random.randrange(10**6):06d}"} if good else {}
        return self._record(
            order, version, transaction_id, operation, digest, body, code,
            type_=_TYPES[operation], amount=amount, moved=approved if good else 0, response=response_block(code, csc, avs),
            transaction=transaction, judged=judged,
        )  # fmt: skip

    def _order_for(self, merchant_id: str, order_id: str, currency: str, amount: int, body: Body) -> Order:
        before = self.store.orders.get((merchant_id, order_id))
        if before is not None and (before.standing or before.voided):
            raise Refusal("order.id", "INVALID", "The order already has an initial transaction.")
        if before is not None and before.currency != currency:
            raise Refusal("order.currency", "INVALID", "The order has another currency.")
        now = self.now()
        order = (
            msgspec.structs.replace(before)
            if before is not None
            else Order(merchant_id=merchant_id, id=order_id, amount=amount, currency=currency, created=now, updated=now)
        )
        order.reference = find(body, "order.reference") or ""
        order.notification_url = find(body, "order.notificationUrl") or ""
        order.certainty = find(body, "order.certainty") or ""
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

    # Authentication.

    def _authenticate(
        self,
        merchant_id: str,
        version: str,
        order_id: str,
        transaction_id: str,
        operation: str,
        digest: str,
        body: Body,
    ) -> Reply:
        currency, number = currency_of(body, "order.currency"), read_number(body)
        before = self.store.of_order(merchant_id, order_id).get(transaction_id)
        first = operation == "INITIATE_AUTHENTICATION"
        amount = 0 if first else amount_of(body, "order.amount", currency)
        if number is None:
            raise missing("sourceOfFunds.provided.card.number")
        if not first and before is None:
            raise Refusal("transaction.id", "INVALID", "There is no authentication with this id.")
        order = self._order_for(merchant_id, order_id, currency, amount, body)
        order.amount, order.updated, order.card = amount, self.now(), card_block(body, number, read_expiry(body))
        if first:
            step = payer.initiate(number, self.base_url(), currency)
        else:
            key = self.new_key()
            if before is not None and not _same_card(told(before.reply), number):
                raise Refusal("sourceOfFunds.provided.card.number", "INVALID", "The authentication is of another card.")
            url = find_text(body, "authentication.redirectResponseUrl", 1000)
            if url is None:
                raise missing("authentication.redirectResponseUrl")
            if not url.lower().startswith(("https://", "http://")):
                raise Refusal("authentication.redirectResponseUrl", "INVALID", "The value must be a URL.")
            place = [merchant_id, order_id, transaction_id, url]
            self.challenges[key] = place
            step = payer.authenticate(number, f"{self.base_url()}{payer.PREFIX}challenge?id={key}")
        order.authentication_status = _ORDER_STATUS.get(step.status, "AUTHENTICATION_INITIATED")
        judged = Judged(authentication=step.block, transaction_status=step.status)
        response = {"gatewayCode": step.gateway_code, "gatewayRecommendation": step.recommendation}
        return self._record(
            order, version, transaction_id, operation, digest, body, step.gateway_code,
            type_="AUTHENTICATION", amount=amount, moved=0, response=response, judged=judged, result=step.result,
        )  # fmt: skip

    def finish_challenge(self, key: str, letter: str) -> tuple[str, str, str, str] | None:
        """Write down how the payer answered; returns the merchant's URL, order, transaction and result, None if unknown."""
        place = self.challenges.pop(key, None)
        if place is None:
            return None
        merchant_id, order_id, transaction_id, url = place
        one = self.store.of_order(merchant_id, order_id).get(transaction_id)
        if one is None:
            return None
        order = msgspec.structs.replace(self.store.orders[merchant_id, order_id], updated=self.now())
        step = payer.outcome(str(order.card.get("number", "")), letter)
        order.authentication_status = _ORDER_STATUS[step.status]
        reply = told(one.reply) | {"authentication": step.block, "order": order_block(order), "result": step.result}
        reply["response"] = {"gatewayCode": step.gateway_code, "gatewayRecommendation": step.recommendation}
        reply["transaction"] = {**reply["transaction"], "authenticationStatus": step.status}
        self._exchange(one, order, reply, step.result)
        return url, order_id, transaction_id, step.result

    def authentication_of(self, merchant_id: str, order_id: str, body: Body) -> Judged:
        """Return what the authentication says that a payment names; raises Refusal for one that is not there."""
        wanted = find(body, "authentication.transactionId")
        external = find(body, "authentication.3ds")
        if wanted is None:
            if not isinstance(external, dict):
                return Judged()
            letter = find(body, "authentication.3ds2.transactionStatus") or "Y"
            status = payer.STATUS.get(letter, "") if isinstance(letter, str) else ""
            block = {"3ds": external, "3ds2": {"transactionStatus": letter}, "version": "3DS2"}
            return Judged(_AUTHENTICATION_STOPS.get(status, ""), authentication=block, transaction_status=status)
        one = self.store.of_order(merchant_id, order_id).get(wanted) if isinstance(wanted, str) else None
        if one is None or one.type != "AUTHENTICATION":
            raise Refusal("authentication.transactionId", "INVALID", "There is no such authentication on the order.")
        reply = told(one.reply)
        number = find(body, "sourceOfFunds.provided.card.number")
        if isinstance(number, str) and not _same_card(reply, number):
            raise Refusal("authentication.transactionId", "INVALID", "The authentication is of another card.")
        status = reply["transaction"].get("authenticationStatus", "")
        code = _AUTHENTICATION_STOPS.get(status, "")
        shown = {name: value for name, value in reply.get("authentication", {}).items() if name != "redirect"}
        return Judged(code, authentication=shown, transaction_status=status)

    # Reviews.

    def decide_review(self, merchant_id: str, order_id: str, decision: str, note: str, user_id: str) -> None:
        """Decide on an order that waits for review. Raises ValueError when it does not."""
        order = self.store.orders.get((merchant_id, order_id))
        if order is None or order.review != "PENDING":
            raise ValueError("the order does not wait for review")
        order = msgspec.structs.replace(order, review=decision, updated=self.now())
        one = self.store.of_order(merchant_id, order_id)[order.initial_id]
        reply = told(one.reply)
        review = {"decision": decision, "note": note, "time": moment(self.now()), "userId": user_id}
        reply["risk"] = {"response": {**reply["risk"]["response"], "review": review}}
        self._exchange(one, order, reply, one.result)

    def _exchange(self, one: Transaction, order: Order, reply: dict[str, Any], result: str) -> None:
        self.keep(msgspec.structs.replace(one, reply=kept(reply), order=msgspec.to_builtins(order), result=result))

    # What follows.

    def _following(
        self,
        merchant_id: str,
        version: str,
        order_id: str,
        transaction_id: str,
        operation: str,
        digest: str,
        body: Body,
    ) -> Reply:
        before = self.store.orders.get((merchant_id, order_id))
        if before is None:
            if operation == "VOID":
                raise Refusal("apiOperation", "INVALID", _NOTHING_TO_VOID)
            raise Refusal("order.id", "INVALID", "Unable to find the order.")
        order = msgspec.structs.replace(before, updated=self.now())
        if operation == "VOID":
            return self._void(order, version, transaction_id, digest, body)
        currency = currency_of(body, "transaction.currency")
        if currency != order.currency:
            raise Refusal("transaction.currency", "INVALID", "The order has another currency.")
        amount = amount_of(body, "transaction.amount", currency)
        code = self._scripted(operation) or "APPROVED"
        good = result_of(code) == "SUCCESS"
        match operation:
            case "CAPTURE":
                if order.kind not in _HOLDS or order.voided:
                    raise Refusal("apiOperation", "INVALID", "Value 'CAPTURE' is invalid. There is no authorization.")
                if order.review == "PENDING":
                    raise Refusal("apiOperation", "INVALID", "Value 'CAPTURE' is invalid. The order waits for review.")
                if amount > order.authorized - order.captured:
                    raise Refusal("transaction.amount", "INVALID", "The value exceeds the amount that is authorized.")
                order.captured += amount if good else 0
            case "REFUND":
                if not order.captured or order.voided:
                    raise Refusal("apiOperation", "INVALID", "Value 'REFUND' is invalid. Nothing was captured.")
                if amount > order.captured - order.refunded:
                    raise Refusal("transaction.amount", "INVALID", "The value exceeds the amount that was captured.")
                order.refunded += amount if good else 0
            case _:
                if order.kind not in _HOLDS or order.voided:
                    raise Refusal(
                        "apiOperation", "INVALID", f"Value '{operation}' is invalid. There is no authorization."
                    )
                if amount < order.captured:
                    raise Refusal("transaction.amount", "INVALID", "The value is less than what was captured.")
                if good:
                    order.authorized = order.amount = amount
        return self._record(
            order, version, transaction_id, operation, digest, body, code,
            type_=_TYPES[operation], amount=amount, moved=amount if good else 0, response=response_block(code),
        )  # fmt: skip

    def _void(self, order: Order, version: str, transaction_id: str, digest: str, body: Body) -> Reply:
        wanted = find(body, "transaction.targetTransactionId")
        if wanted is not None and (not isinstance(wanted, str) or not 1 <= len(wanted) <= 40):
            raise Refusal("transaction.targetTransactionId", "INVALID", "The value must be 1 to 40 characters.")
        transactions = self.store.of_order(order.merchant_id, order.id)
        if wanted is None:
            target = next((one for one in reversed(transactions.values()) if _may_be_voided(one, order)), None)
        else:
            target = transactions.get(wanted)
        if target is None or not _may_be_voided(target, order):
            raise Refusal("apiOperation", "INVALID", _NOTHING_TO_VOID)
        code = self._scripted("VOID") or "APPROVED"
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
        return self._record(
            order, version, transaction_id, "VOID", digest, body, code,
            type_=_VOIDABLE[target.type], amount=target.amount, moved=target.amount if good else 0,
            response=response_block(code), target_id=target.id,
        )  # fmt: skip

    def _scripted(self, operation: str) -> str:
        for position, one in enumerate(self.scripted):
            if one.operation == operation:
                del self.scripted[position]
                return one.gateway_code
        return ""

    # Replies.

    def _record(
        self,
        order: Order,
        version: str,
        transaction_id: str,
        operation: str,
        digest: str,
        body: Body,
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
    ) -> Reply:
        sequence, now = self.store.sequence + 1, self.now()
        result = result or result_of(code)
        stan = f"{sequence % 1_000_000:06d}"
        day = moment(now)[:10]
        block: dict[str, Any] = {
            "acquirer": {
                "batch": self.store.batch,
                "date": day[5:7] + day[8:],
                "id": "SIM_ACQUIRER",
                "merchantId": f"SIM{order.merchant_id[:12]}",
                "settlementDate": day,
                "timeZone": "+0000",
                "transactionId": f"SIM{sequence:012d}",
            },
            "amount": decimal(amount, order.currency),
            "currency": order.currency,
            "id": transaction_id,
            "receipt": f"{sequence:012d}",
            "source": find(body, "transaction.source") or "INTERNET",
            "stan": stan,
            "terminal": "SIM00001",
            "type": type_,
        } | (transaction or {})
        reference = find(body, "transaction.reference")
        if reference:
            block["reference"] = reference
        if target_id:
            block["targetTransactionId"] = target_id
        if judged is not None and judged.transaction_status:
            block["authenticationStatus"] = judged.transaction_status
        acquirer_code, _ = acquirer_answer(code)
        reply: dict[str, Any] = {
            "authorizationResponse": {
                "financialNetworkCode": "MCC",
                "posData": "1025104006600",
                "posEntryMode": "812",
                "processingCode": "200000" if "REFUND" in type_ else "003000",
                "responseCode": acquirer_code,
                "stan": stan,
                "transactionIdentifier": f"SIM{sequence:09d}{day[5:7]}{day[8:]}",
            },
            "gatewayEntryPoint": "WEB_SERVICES_API",
            "merchant": order.merchant_id,
            "order": order_block(order),
            "response": response,
            "result": result,
            "timeOfLastUpdate": moment(now),
            "timeOfRecord": moment(now),
            "transaction": block,
            "version": version,
        }
        if order.card:
            source = {"provided": {"card": order.card}, "type": "CARD"}
            token = find(body, "sourceOfFunds.token")
            reply["sourceOfFunds"] = source | ({"token": token} if token else {})
        if judged is not None and judged.risk is not None:
            reply["risk"] = judged.risk
        if judged is not None and judged.authentication is not None:
            reply["authentication"] = judged.authentication
        correlation_id = find(body, "correlationId")
        if correlation_id:
            reply["correlationId"] = correlation_id
        self.keep(
            Transaction(
                merchant_id=order.merchant_id, order_id=order.id, id=transaction_id, sequence=sequence, time=now,
                operation=operation, request=digest, version=version, type=type_, amount=moved, currency=order.currency,
                approved=result == "SUCCESS", gateway_code=code, result=result, reply=kept(reply),
                order=msgspec.to_builtins(order), target_id=target_id,
            )
        )  # fmt: skip
        return reply_of(201, reply)

    def fingerprint(self, number: str) -> str:
        """Return the keyed hash under which a card is compared."""
        return fingerprint(self._key, number)


def _same_card(reply: dict[str, Any], number: str) -> bool:
    card = reply.get("sourceOfFunds", {}).get("provided", {}).get("card", {})
    return bool(card.get("number") == mask(number))


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
