"""Payer authentication (EMV 3-D Secure 2): setup, enrolment, challenge page, validation, and what a payment takes from it.

The card decides what happens (`card.scenario_of`). A challenge is answered on the page at `stepUpUrl`, by a person or by a
form that a test posts. Validation before anybody answered it takes the outcome of the card, so that tests without a
browser work; with `challenge_required` it stays pending instead.
"""

from __future__ import annotations

import base64
import hmac
import html
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec

from shanraq.simulators.serve import Reply, Request
from shanraq.simulators.visa.card import Card
from shanraq.simulators.visa.ids import Ids
from shanraq.simulators.visa.model import JournalEntry, Refusal
from shanraq.simulators.visa.render import HAL, json_reply, utc_text
from shanraq.simulators.visa.resources import Authentication
from shanraq.simulators.visa.route import Call, Handler, Verb
from shanraq.simulators.visa.store import Store
from shanraq.simulators.visa.validate import (
    Body,
    get,
    read_amount,
    read_payment_card,
    refuse_card_numbers,
    require,
    require_object,
)

PREFIX: Final = "/ThreeDS/"
_STEP_UP: Final = f"{PREFIX}V2/Cruise/StepUp"
_ANSWER: Final = f"{PREFIX}V2/Cruise/Answer"
_COLLECT: Final = f"{PREFIX}V1/Cruise/Collect"

_TRANSACTION_ID: Final = "consumerAuthenticationInformation.authenticationTransactionId"
_RETURN_URL: Final = "consumerAuthenticationInformation.returnUrl"
_LIFE: Final = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class _Outcome:
    """How an authentication ended: paresStatus, veresEnrolled, authenticationResult, and whether it is a success."""

    pares: str
    enrolled: str
    result: str
    status: str
    message: str = ""


_SUCCESSFUL: Final = "AUTHENTICATION_SUCCESSFUL"
_FAILED: Final = "AUTHENTICATION_FAILED"
_OUTCOMES: Final = {
    "success": _Outcome("Y", "Y", "0", _SUCCESSFUL, "Success"),
    "attempted": _Outcome("A", "Y", "1", _SUCCESSFUL, "Attempt recorded"),
    "unavailable": _Outcome("U", "Y", "6", _SUCCESSFUL, "Issuer unable to perform authentication"),
    "not_available": _Outcome("", "U", "6", _SUCCESSFUL, "Authentication is not available"),
    "error": _Outcome("", "U", "6", _SUCCESSFUL, "The directory server answered with an error"),
    "timeout": _Outcome("", "U", "6", _SUCCESSFUL, "The directory server did not answer"),
    "bypassed": _Outcome("", "B", "6", _SUCCESSFUL, "Authentication was bypassed"),
    "failed": _Outcome("N", "Y", "9", _FAILED, "The cardholder was not authenticated"),
    "rejected": _Outcome("R", "Y", "9", _FAILED, "The issuer rejected the authentication"),
}
_CHALLENGES: Final = {
    "challenge_success": "success",
    "challenge_failed": "failed",
    "challenge_unavailable": "unavailable",
}

# By outcome class: full, attempt, none. Mastercard's indicators differ from the others'.
_INDICATORS: Final[dict[str, tuple[str, str, str]]] = {
    "001": ("vbv", "vbv_attempted", "internet"),
    "002": ("spa", "spa", "internet"),
    "003": ("aesk", "aesk_attempted", "internet"),
    "004": ("dipb", "dipb_attempted", "internet"),
    "005": ("pb", "pb_attempted", "internet"),
    "007": ("js", "js_attempted", "internet"),
    "042": ("spa", "spa", "internet"),
}
_ECI: Final = ("05", "06", "07")
_MASTERCARD_ECI: Final = ("02", "01", "00")
_MASTERCARD: Final = frozenset({"002", "024", "042"})


class PayerAuthentication:
    """Authenticates cardholders; `keep` puts an entry into the journal and the store."""

    def __init__(
        self,
        store: Store,
        keep: Callable[[JournalEntry], None],
        now: Callable[[], datetime],
        ids: Ids,
        key: bytes,
        base_url: Callable[[], str],
    ) -> None:
        self.challenge_required = False
        self._store = store
        self._keep = keep
        self._now = now
        self._ids = ids
        self._key = key
        self._base_url = base_url
        self.read_card: Callable[[str, Body], Card] = lambda _, body: read_payment_card(body)

    def handlers(self) -> Mapping[Verb, Handler]:
        """Return what answers each operation."""
        return {
            Verb.AUTHENTICATION_SETUP: self._set_up,
            Verb.AUTHENTICATE: self._authenticate,
            Verb.AUTHENTICATION_RESULT: self._validate,
        }

    # The three operations.

    def _set_up(self, call: Call) -> Reply:
        code = _code(call.body)
        card = self.read_card(call.merchant_id, call.body)
        body = self._head(code)
        now = self._now()
        if card.expiry < (now.year, now.month):
            body |= {"status": "FAILED", "errorInformation": {"reason": "EXPIRED_CARD", "message": "Expired card."}}
            return json_reply(201, body, HAL)
        body |= {
            "status": "COMPLETED",
            "consumerAuthenticationInformation": {
                "accessToken": self._access_token(body["id"]),
                "referenceId": self._ids.uuid(),
                "deviceDataCollectionUrl": f"{self._base_url()}{_COLLECT}",
            },
        }
        return json_reply(201, body, HAL)

    def _authenticate(self, call: Call) -> Reply:
        code = _code(call.body)
        amount, currency = read_amount(
            call.body, "orderInformation.amountDetails.totalAmount", "orderInformation.amountDetails.currency"
        )
        card = self.read_card(call.merchant_id, call.body)
        authentication = self.enroll(call.merchant_id, call.body, card, code, amount, currency)
        body = self._head(code)
        body |= {
            "status": status_of(authentication),
            "orderInformation": {"amountDetails": {"currency": currency}},
            "consumerAuthenticationInformation": self.enrolled(authentication),
        }
        body |= error_of(authentication)
        return json_reply(201, body, HAL)

    def _validate(self, call: Call) -> Reply:
        code = _code(call.body)
        authentication = self.validate(call.merchant_id, call.body)
        body = self._head(code)
        body |= {
            "status": status_of(authentication),
            "consumerAuthenticationInformation": self.validated(authentication),
        }
        body |= error_of(authentication)
        return json_reply(201, body, HAL)

    def _head(self, code: str) -> dict[str, Any]:
        now = self._now()
        return {
            "id": self._ids.request(now.timestamp()),
            "submitTimeUtc": utc_text(now),
            "clientReferenceInformation": {"code": code},
        }

    # What a bundled payment uses too.

    def enroll(self, merchant_id: str, body: Body, card: Card, code: str, amount: int, currency: str) -> Authentication:
        """Begin an authentication; it is ended at once unless there is a challenge."""
        return_url = get(body, _RETURN_URL)
        refuse_card_numbers(return_url or "", _RETURN_URL)
        if return_url and not return_url.lower().startswith(("http://", "https://")):
            raise Refusal("INVALID_DATA", field=_RETURN_URL)
        challenge = card.scenario in _CHALLENGES or get(body, "consumerAuthenticationInformation.challengeCode") == "04"
        scenario = card.scenario
        if challenge and scenario not in _CHALLENGES:
            scenario = "challenge_success" if scenario == "success" else scenario
            challenge = scenario in _CHALLENGES
        authentication = Authentication(
            id=self._ids.word(20),
            merchant_id=merchant_id,
            time=self._now(),
            card=card.masked,
            scenario=scenario,
            outcome="" if challenge else scenario,
            challenged=challenge,
            code=code,
            amount=amount,
            currency=currency,
            return_url=return_url or "",
        )
        self._keep(authentication)
        return authentication

    def validate(self, merchant_id: str, body: Body) -> Authentication:
        """Return the authentication a request names, ended unless its challenge must be answered first."""
        transaction_id = require(body, _TRANSACTION_ID)
        authentication = self._store.resource(Authentication, merchant_id, transaction_id)
        if authentication is None or self._now() - authentication.time > _LIFE:
            raise Refusal("INVALID_DATA", field=_TRANSACTION_ID)
        if not authentication.outcome and not self.challenge_required:
            authentication = self._end(authentication, _CHALLENGES[authentication.scenario])
        return authentication

    def _end(self, authentication: Authentication, outcome: str) -> Authentication:
        ended = msgspec.structs.replace(authentication, outcome=outcome)
        self._keep(ended)
        return ended

    def is_authenticated(self, merchant_id: str, body: Body) -> bool:
        """Tell whether a payment brings the proof of an authentication: its value, or the id of one that succeeded."""
        details = get(body, "consumerAuthenticationInformation")
        if not isinstance(details, dict):
            return False
        if details.get("cavv") or details.get("ucafAuthenticationData"):
            return True
        transaction_id = details.get("authenticationTransactionId")
        if not isinstance(transaction_id, str):
            return False
        known = self._store.resource(Authentication, merchant_id, transaction_id)
        return known is not None and known.outcome in {"success", "attempted"}

    def enrolled(self, authentication: Authentication) -> dict[str, Any]:
        """Describe an authentication as enrolment does."""
        details = self._details(authentication)
        if "_indicator" in details:
            details["ecommerceIndicator"] = details.pop("_indicator")
        if not authentication.outcome:
            details |= {
                "accessToken": self._access_token(authentication.id),
                "acsUrl": f"{self._base_url()}{_STEP_UP}",
                "stepUpUrl": f"{self._base_url()}{_STEP_UP}",
                "pareq": base64.b64encode(authentication.id.encode()).decode(),
                "challengeRequired": "Y",
                "veresEnrolled": "Y",
                "paresStatus": "C",
            }
        return details

    def validated(self, authentication: Authentication) -> dict[str, Any]:
        """Describe an authentication as validation does."""
        details = self._details(authentication)
        if "_indicator" in details:
            details["indicator"] = details.pop("_indicator")
        details.pop("veresEnrolled", None)
        details.pop("authenticationPath", None)
        if authentication.outcome:
            outcome = _OUTCOMES[authentication.outcome]
            details |= {"authenticationResult": outcome.result, "authenticationStatusMsg": outcome.message}
        return details

    def _details(self, authentication: Authentication) -> dict[str, Any]:
        name = authentication.id
        details: dict[str, Any] = {
            "authenticationTransactionId": name,
            "specificationVersion": "2.2.0",
            "threeDSServerTransactionId": self._derived_uuid(f"server:{name}"),
            "directoryServerTransactionId": self._derived_uuid(f"directory:{name}"),
            "acsTransactionId": self._derived_uuid(f"acs:{name}"),
        }
        if not authentication.outcome:
            return details
        outcome = _OUTCOMES[authentication.outcome]
        details["veresEnrolled"] = outcome.enrolled
        if outcome.enrolled != "Y":
            for unknown in ("acsTransactionId", "directoryServerTransactionId"):
                del details[unknown]
        if outcome.pares:
            details["paresStatus"] = outcome.pares
        if outcome.status == _FAILED:
            return details
        card_type = authentication.card.type
        level = {"0": 0, "1": 1}.get(outcome.result, 2)
        details["_indicator"] = _INDICATORS.get(card_type, _INDICATORS["001"])[level]
        value = base64.b64encode(hmac.digest(self._key, f"value:{name}".encode(), "sha1")).decode()
        if card_type in _MASTERCARD:
            details |= {"eciRaw": _MASTERCARD_ECI[level], "ucafCollectionIndicator": ("2", "1", "0")[level]}
            if level < 2:
                details["ucafAuthenticationData"] = value
        else:
            details |= {"eci": _ECI[level], "eciRaw": _ECI[level]}
            if level < 2:
                details |= {"cavv": value, "xid": value, "cavvAlgorithm": "2"}
        return details

    def _derived_uuid(self, name: str) -> str:
        digits = hmac.digest(self._key, name.encode(), "sha256").hex()
        return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:32]}"

    # The browser's part. A token in the form says which authentication it is; nothing else proves anything.

    def _access_token(self, name: str) -> str:
        header = _base64url(b'{"alg":"HS256","typ":"JWT"}')
        payload = _base64url(msgspec.json.encode({"iss": "simulator", "jti": name, "TransactionId": name}))
        text = f"{header}.{payload}"
        return f"{text}.{_base64url(hmac.digest(self._key, text.encode(), 'sha256'))}"

    def page(self, request: Request) -> Reply:
        """Answer a browser: the page of the challenge, its answer, and the page that collects device data."""
        path, _, query = request.target.partition("?")
        path = path.removesuffix("/")
        if request.method not in {"GET", "POST"}:
            return _page(405, "<p>This page is for GET and POST.</p>")
        try:
            text = request.body.decode() if request.method == "POST" else query
            form = dict(parse_qsl(text, keep_blank_values=True, max_num_fields=20))
        except ValueError:
            return _page(400, "<p>The form cannot be read.</p>")
        if path == _COLLECT:
            return _page(200, "<p>Device data collected.</p>")
        if path not in {_STEP_UP, _ANSWER}:
            return _page(404, "<p>There is no such page.</p>")
        authentication = self._of_token(form.get("JWT", ""))
        if authentication is None:
            return _page(400, "<p>The token is not one of a challenge.</p>")
        if path == _ANSWER:
            return self._answered(authentication, form)
        return _challenge(authentication, form)

    def _answered(self, authentication: Authentication, form: Mapping[str, str]) -> Reply:
        outcome = _ANSWERS.get(form.get("answer", ""))
        if outcome is None:
            return _page(400, "<p>The answer must be pass, fail or unavailable.</p>")
        if authentication.challenged and not authentication.outcome:
            authentication = self._end(authentication, outcome)
        return _back(authentication, form.get("MD", ""))

    def _of_token(self, token: str) -> Authentication | None:
        text, _, signature = token.rpartition(".")
        signed = _base64url(hmac.digest(self._key, text.encode(), "sha256"))
        if not hmac.compare_digest(signature.encode(), signed.encode()):
            return None
        payload = text.partition(".")[2]
        name = msgspec.json.decode(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["TransactionId"]
        return self._store.any_resource(Authentication, name)


_ANSWERS: Final = {"pass": "success", "fail": "failed", "unavailable": "unavailable"}


def status_of(authentication: Authentication) -> str:
    """Return the status of an authentication: pending while its challenge is open."""
    return _OUTCOMES[authentication.outcome].status if authentication.outcome else "PENDING_AUTHENTICATION"


def error_of(authentication: Authentication) -> dict[str, Any]:
    """Return the part of a reply that says why an authentication has not succeeded, if so."""
    status = status_of(authentication)
    if status == "PENDING_AUTHENTICATION":
        return {
            "errorInformation": {
                "reason": "CONSUMER_AUTHENTICATION_REQUIRED",
                "message": "The cardholder is enrolled in Payer Authentication. Please authenticate the cardholder.",
            }
        }
    if status == _FAILED:
        message = "Encountered a Payer Authentication problem. Payer could not be authenticated."
        return {"errorInformation": {"reason": "CONSUMER_AUTHENTICATION_FAILED", "message": message}}
    return {}


def _code(body: Body) -> str:
    require_object(body, "clientReferenceInformation")
    return require(body, "clientReferenceInformation.code")


def _base64url(part: bytes) -> str:
    return base64.urlsafe_b64encode(part).rstrip(b"=").decode()


def _page(status: int, content: str) -> Reply:
    head = '<head><meta charset="utf-8"><title>Simulated bank</title></head>'
    page = f'<!doctype html>\n<html lang="en">{head}<body>{content}</body></html>\n'
    return Reply(status, page.encode(), "text/html;charset=utf-8", (("Cache-Control", "no-store"),))


def _challenge(authentication: Authentication, form: Mapping[str, str]) -> Reply:
    token, data = html.escape(form["JWT"]), html.escape(form.get("MD", ""))
    card = f"{authentication.card.prefix[:4]} **** {authentication.card.suffix}"
    buttons = "".join(
        f'<button name="answer" value="{answer}">{text}</button>'
        for answer, text in (("pass", "Confirm"), ("fail", "Refuse"), ("unavailable", "The bank cannot tell"))
    )
    return _page(
        200,
        f"<h1>Confirm your payment</h1><p>Card {html.escape(card)}, order {html.escape(authentication.code)}</p>"
        f'<form method="post" action="{_ANSWER}"><input type="hidden" name="JWT" value="{token}">'
        f'<input type="hidden" name="MD" value="{data}">{buttons}</form>',
    )


def _back(authentication: Authentication, data: str) -> Reply:
    if not authentication.return_url:
        return _page(200, "<p>The answer is noted.</p>")
    inputs = "".join(
        f'<input type="hidden" name="{name}" value="{html.escape(value)}">'
        for name, value in (("TransactionId", authentication.id), ("MD", data))
    )
    return _page(
        200,
        f'<form id="back" method="post" action="{html.escape(authentication.return_url)}">{inputs}'
        "<noscript><button>Continue</button></noscript></form>"
        '<script>document.getElementById("back").submit()</script>',
    )
