"""Decision Manager: decisions on orders, cases for people, marks, lists, address and export checks.

A payment asks it too, unless its actionList says DECISION_SKIP. Orders are compared with the lists by keyed hashes of the
card number, e-mail address and network address; nothing of them is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

import msgspec

from shanraq.simulators.serve import Reply
from shanraq.simulators.visa.card import Card, fingerprint
from shanraq.simulators.visa.ids import Ids
from shanraq.simulators.visa.model import JournalEntry, Operation, Record, Refusal
from shanraq.simulators.visa.render import HAL, json_reply, utc_text
from shanraq.simulators.visa.resources import ListEntry, Note, RiskCase
from shanraq.simulators.visa.route import Call, Handler, Verb
from shanraq.simulators.visa.store import Store
from shanraq.simulators.visa.trigger import REASONS, Decision
from shanraq.simulators.visa.validate import (
    Body,
    get,
    optional,
    read_amount,
    read_payment_card,
    refuse_card_numbers,
    require,
    require_object,
    texts,
)

Publish = Callable[[str, str, dict[str, Any]], None]

_LISTS: Final = frozenset({"negative", "positive", "review"})
_MARKS: Final = frozenset({"add", "clear", "delete", "hide", "mark", "convert"})
_LONGEST_NOTE: Final = 1024

_STATUS: Final = {
    "400": "REJECTED",
    "481": "REJECTED",
    "482": "REJECTED",
    "480": "PENDING_REVIEW",
    "475": "PENDING_AUTHENTICATION",
}
_REASON: Final = {
    "400": "SCORE_EXCEEDS_THRESHOLD",
    "481": "DECISION_PROFILE_REJECT",
    "482": "DECISION_PROFILE_REJECT",
    "480": "DECISION_PROFILE_REVIEW",
    "475": "CONSUMER_AUTHENTICATION_REQUIRED",
}
_SCORES: Final = {"400": "99", "481": "85", "482": "85", "480": "60"}


class RiskManager:
    """Decides on orders; `keep` puts an entry into the journal and the store, `publish` notifies the merchant.

    `capture` and `reverse` carry out what a person asks for beside the decision on a case.
    """

    def __init__(
        self,
        store: Store,
        keep: Callable[[JournalEntry], None],
        now: Callable[[], datetime],
        ids: Ids,
        key: bytes,
        publish: Publish,
    ) -> None:
        self._store = store
        self._keep = keep
        self._now = now
        self._ids = ids
        self._key = key
        self._publish = publish
        self.read_card: Callable[[str, Body], Card] = lambda _, body: read_payment_card(body)
        self.capture: Callable[[Record, int, str], Operation] | None = None
        self.reverse: Callable[[Record, int, str], Operation] | None = None

    def handlers(self) -> Mapping[Verb, Handler]:
        """Return what answers each operation."""
        return {
            Verb.DECIDE: self._decide,
            Verb.MARK: self._mark,
            Verb.ACT_ON_CASE: self._act,
            Verb.COMMENT_ON_CASE: self._comment,
            Verb.ADD_TO_LIST: self._add_to_list,
            Verb.VERIFY_ADDRESS: self._verify_address,
            Verb.SCREEN_EXPORT: self._screen_export,
        }

    # What a payment asks.

    def screen(self, merchant_id: str, body: Body, card: Card) -> Decision | None:
        """Return what the lists say about an order: a rejection, a review, or nothing."""
        entries = self._store.resources(ListEntry, merchant_id)
        if not entries:
            return None
        own = set(self._fingerprints(body, card.number))
        hits = {entry.list for entry in entries if not own.isdisjoint(entry.fingerprints)}
        if "positive" in hits:
            return None
        if "negative" in hits:
            return Decision("DECLINED", REASONS["DECISION_PROFILE_REJECT"])
        return Decision("AUTHORIZED_PENDING_REVIEW", REASONS["DECISION_PROFILE_REVIEW"]) if "review" in hits else None

    def open_case(self, record: Record) -> None:
        """Put a payment in front of a person."""
        operation = record.operation
        self._keep(
            RiskCase(
                id=operation.id,
                merchant_id=operation.merchant_id,
                time=operation.time,
                code=operation.code,
                status="PENDING_REVIEW",
                of_payment=True,
            )
        )

    def _fingerprints(self, body: Body, number: str = "") -> list[str]:
        number = number or optional(body, "paymentInformation.card.number")
        values = {
            "card": number,
            "email": optional(body, "orderInformation.billTo.email").lower(),
            "ip": optional(body, "deviceInformation.ipAddress"),
        }
        return [fingerprint(self._key, f"{name}:{value}") for name, value in values.items() if value]

    # Decisions and cases.

    def _decide(self, call: Call) -> Reply:
        body = call.body
        code = require(body, "clientReferenceInformation.code")
        _, currency = read_amount(
            body, "orderInformation.amountDetails.totalAmount", "orderInformation.amountDetails.currency"
        )
        card = self.read_card(call.merchant_id, body)
        now = self._now()
        listed = self.screen(call.merchant_id, body, card)
        behaviour = card.behaviour if card.behaviour in _STATUS else ""
        if listed is not None:
            behaviour = "480" if listed.status == "AUTHORIZED_PENDING_REVIEW" else "481"
        status, reason = _STATUS.get(behaviour, "ACCEPTED"), _REASON.get(behaviour, "")
        if not reason and card.expiry < (now.year, now.month):
            status, reason = "DECLINED", "EXPIRED_CARD"
        identifier = self._ids.request(now.timestamp())
        if status == "PENDING_REVIEW":
            self._keep(
                RiskCase(id=identifier, merchant_id=call.merchant_id, time=now, code=code, status="PENDING_REVIEW")
            )
        elif behaviour in {"400", "481", "482"}:
            self._keep(RiskCase(id=identifier, merchant_id=call.merchant_id, time=now, code=code, status="REJECTED"))
        self.tell(call.merchant_id, identifier, code, status)
        reply: dict[str, Any] = {
            "_links": {"self": {"href": f"/risk/v1/decisions/{identifier}", "method": "GET"}},
            "id": identifier,
            "submitTimeUtc": utc_text(now),
            "status": status,
            "clientReferenceInformation": {"code": code},
            "orderInformation": {"amountDetails": {"currency": currency}},
            "paymentInformation": {
                "scheme": "VISA CREDIT" if card.type == "001" else "CREDIT",
                "bin": card.masked.prefix,
            },
            "riskInformation": risk_information(behaviour, now, listed=listed is not None),
        }
        if reason:
            reply["errorInformation"] = {
                "reason": reason,
                "message": "Decision: " + reason.replace("_", " ").lower() + ".",
            }
        return json_reply(201, reply, HAL)

    def tell(self, merchant_id: str, identifier: str, code: str, status: str) -> None:
        """Notify the merchant of a decision that is not an acceptance."""
        event = {"PENDING_REVIEW": "review", "REJECTED": "reject"}.get(status)
        if event is not None:
            self._publish(
                merchant_id,
                f"risk.profile.decision.{event}",
                {"id": identifier, "status": status, "clientReferenceInformation": {"code": code}},
            )

    def _case(self, call: Call) -> RiskCase:
        case = self._store.resource(RiskCase, call.merchant_id, call.route.id)
        if case is None:
            raise Refusal("INVALID_DATA", field="id", status=404, message="The case was not found")
        return case

    def _act(self, call: Call) -> Reply:
        case = self._case(call)
        body = call.body
        decision = require(body, "decisionInformation.decision")
        if decision not in {"ACCEPT", "REJECT"}:
            raise Refusal("INVALID_DATA", field="decisionInformation.decision")
        comments = optional(body, "decisionInformation.comments")
        refuse_card_numbers(comments, "decisionInformation.comments")
        actions = texts(body, "processingInformation.actionList")
        allowed = {"CAPTURE"} if decision == "ACCEPT" else {"REVERSE"}
        if not allowed.issuperset(actions):
            raise Refusal("INVALID_DATA", field="processingInformation.actionList")
        if case.status != "PENDING_REVIEW":
            raise Refusal("INVALID_DATA", field="id", message="The case has been decided")
        now = self._now()
        status = "ACCEPTED" if decision == "ACCEPT" else "REJECTED"
        self._keep(msgspec.structs.replace(case, status=status, decided_at=now, comments=comments[:_LONGEST_NOTE]))
        reply: dict[str, Any] = {"id": case.id, "submitTimeUtc": utc_text(now), "status": status}
        record = self._store.find(call.merchant_id, case.id) if case.of_payment else None
        if record is not None and actions and record.uncaptured > 0:
            assert self.capture is not None
            assert self.reverse is not None
            name, carry_out = ("capture", self.capture) if decision == "ACCEPT" else ("reversal", self.reverse)
            done = carry_out(record, record.uncaptured, case.code)
            reply["_embedded"] = {
                name: {
                    "status": done.status,
                    "_links": {"self": {"href": f"/pts/v2/{done.kind.value}s/{done.id}", "method": "GET"}},
                }
            }
        self._publish(
            call.merchant_id,
            f"risk.casemanagement.decision.{decision.lower()}",
            {"id": case.id, "status": status, "clientReferenceInformation": {"code": case.code}},
        )
        return json_reply(200, reply)

    def _comment(self, call: Call) -> Reply:
        case = self._case(call)
        comments = require(call.body, "comments")
        refuse_card_numbers(comments, "comments")
        now = self._now()
        note = Note(now, comments[:_LONGEST_NOTE])
        self._keep(msgspec.structs.replace(case, notes=(*case.notes, note)))
        self._publish(
            call.merchant_id,
            "risk.casemanagement.addnote",
            {"id": case.id, "status": case.status, "clientReferenceInformation": {"code": case.code}},
        )
        return json_reply(201, {"id": case.id, "submitTimeUtc": utc_text(now), "status": "COMPLETED"})

    def _mark(self, call: Call) -> Reply:
        """Mark an order as fraud or not: any payment or decision of the merchant, with a case or without."""
        identifier = call.route.id
        case = self._store.resource(RiskCase, call.merchant_id, identifier)
        record = self._store.find(call.merchant_id, identifier)
        if case is None and record is None:
            raise Refusal("INVALID_DATA", field="id", status=404, message="The transaction was not found")
        require_object(call.body, "riskInformation")
        action = require(call.body, "riskInformation.markingDetails.action")
        if action.lower() not in _MARKS:
            raise Refusal("INVALID_DATA", field="riskInformation.markingDetails.action")
        if case is not None:
            self._keep(msgspec.structs.replace(case, marked=action.lower()))
        return self._completed(call.body, f"/risk/v1/decisions/{identifier}/marking")

    def _add_to_list(self, call: Call) -> Reply:
        name = call.route.id.lower()
        if name not in _LISTS:
            raise Refusal("INVALID_DATA", field="type")
        action = require(call.body, "riskInformation.markingDetails.action")
        if action.lower() not in _MARKS:
            raise Refusal("INVALID_DATA", field="riskInformation.markingDetails.action")
        fingerprints = tuple(self._fingerprints(call.body))
        adds = action.lower() not in {"clear", "delete", "hide"}
        if adds:
            self._keep(
                ListEntry(
                    id=self._ids.token(),
                    merchant_id=call.merchant_id,
                    time=self._now(),
                    list=name,
                    fingerprints=fingerprints,
                )
            )
        else:
            self._forget_entries(call.merchant_id, name, frozenset(fingerprints))
        return self._completed(call.body, f"/risk/v1/lists/{name}/entries")

    def _forget_entries(self, merchant_id: str, name: str, fingerprints: frozenset[str]) -> None:
        from_list = [entry for entry in self._store.resources(ListEntry, merchant_id) if entry.list == name]
        for entry in from_list:
            if not fingerprints.isdisjoint(entry.fingerprints):
                rest = tuple(one for one in entry.fingerprints if one not in fingerprints)
                self._keep(msgspec.structs.replace(entry, fingerprints=rest))

    def _completed(self, body: Body, path: str) -> Reply:
        now = self._now()
        reply: dict[str, Any] = {
            "_links": {"self": {"href": path, "method": "POST"}},
            "id": self._ids.request(now.timestamp()),
            "submitTimeUtc": utc_text(now),
            "status": "COMPLETED",
        }
        code = optional(body, "clientReferenceInformation.code")
        if code:
            refuse_card_numbers(code, "clientReferenceInformation.code")
            # The service's own spelling.
            reply["clientReferenceInformaton"] = {"code": code}
        return json_reply(201, reply, HAL)

    # Checks of addresses and exports: every address is good, and nobody is listed.

    def _verify_address(self, call: Call) -> Reply:
        reply = self._checked(call)
        bill_to = require_object(call.body, "orderInformation.billTo")
        country = require(call.body, "orderInformation.billTo.country")
        refuse_card_numbers(bill_to, "orderInformation.billTo")
        standard = {
            name: value
            for name in ("address2", "locality", "administrativeArea", "postalCode")
            if isinstance(value := bill_to.get(name), str)
        }
        reply["addressVerificationInformation"] = {
            "addressType": "S",
            "statusCode": "0",
            "matchScore": 9,
            "standardAddress": standard | {"country": country, "isoCountry": country},
        }
        return json_reply(201, reply, HAL)

    def _screen_export(self, call: Call) -> Reply:
        reply = self._checked(call)
        reply["exportComplianceInformation"] = {"ipCountryConfidence": 100}
        return json_reply(201, reply, HAL)

    def _checked(self, call: Call) -> dict[str, Any]:
        code = require(call.body, "clientReferenceInformation.code")
        now = self._now()
        return {
            "id": self._ids.request(now.timestamp()),
            "submitTimeUtc": utc_text(now),
            "status": "COMPLETED",
            "clientReferenceInformation": {"code": code},
        }


def risk_information(behaviour: str, now: datetime, *, listed: bool = False) -> dict[str, Any]:
    """Make the part of a reply that tells how an order was judged."""
    decided = _STATUS.get(behaviour, "ACCEPTED")
    profile: dict[str, Any] = {"name": "Standard"}
    if decided == "PENDING_REVIEW":
        profile["desinationQueue"] = "Review"
    information: dict[str, Any] = {
        "profile": profile,
        "localTime": now.strftime("%H:%M:%S"),
        "casePriority": 3,
        "score": {"result": _SCORES.get(behaviour, "10"), "factorCodes": ["H"], "modelUsed": "default"},
        "infoCodes": {"address": ["COR-BA"], "velocity": ["VEL-NAME"]},
    }
    if behaviour:
        decision = {"PENDING_REVIEW": "REVIEW", "REJECTED": "REJECT"}.get(decided, "MONITOR")
        information["rules"] = [{"name": "Listed order" if listed else "Order of a test card", "decision": decision}]
    if listed:
        information["infoCodes"]["customerList"] = ["NEG-CC"]
    return information


def skips_decision(body: Body) -> bool:
    """Tell whether a payment asks not to be judged."""
    actions = get(body, "processingInformation.actionList")
    return isinstance(actions, list) and "DECISION_SKIP" in actions
