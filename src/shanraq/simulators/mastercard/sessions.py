"""Payment sessions: fields that a browser fills in and an operation takes (reference 5.1 and 5.4).

A session lives fifteen minutes from its last use. Its version changes with every update; an update that names another
version is refused. The security code is in memory only, and gone after its first use.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from shanraq.simulators.mastercard.fields import (
    NUMBER,
    SECURITY_CODE,
    Body,
    Keep,
    builtins_of,
    drop,
    find,
    find_choice,
    masked_body,
    merged,
    missing,
    nobody,
    read_expiry,
    read_number,
    reject_card_numbers,
    reject_unknown,
    require_text,
)
from shanraq.simulators.mastercard.refusal import Refusal
from shanraq.simulators.mastercard.schema import check_fields

LIFE: Final = timedelta(minutes=15)
SESSION_PREFIX: Final = "SESSION"
_HIGHEST_LIMIT: Final = 25
_FIRST_CHECKOUT_VERSION: Final = 63
_SWEEP_FROM: Final = 1000
_SESSION_ID: Final = re.compile(r"[ -~]{31,35}", re.ASCII)

# What an update may put into a session; the rest of an operation is for the merchant's own request.
_UPDATE: Final = frozenset(
    (
        *("accountFunding", "agreement", "airline", "authentication", "billing", "browserPayment", "correlationId"),
        *("currencyConversion", "customer", "device", "gatewayEntryPoint", "locale", "order", "partnerSolutionId"),
        *("paymentPlan", "paymentType", "posTerminal", "risk", "session", "shipping", "sourceOfFunds"),
        *("transaction", "userId", "verificationStrategy", "interaction", "initiator"),
    )
)
_CREATE: Final = frozenset({"correlationId", "session"})
_CHECKOUT: Final = _UPDATE | {"apiOperation", "checkoutMode", "lineOfBusiness"}
_PAGE_ONLY: Final = frozenset({"checkoutMode", "interaction", "lineOfBusiness"})
_OPERATIONS: Final = frozenset({"AUTHORIZE", "PURCHASE", "VERIFY", "NONE"})


@dataclass(slots=True)
class _Session:
    id: str
    merchant_id: str
    version: str
    time: datetime
    limit: int
    used: int = 0
    update_status: str = "NO_UPDATE"
    fields: Body = field(default_factory=dict, repr=False)


class Sessions:
    """Keeps the sessions of all merchants; `word(n)` returns n fresh letters and digits.

    `keep` is told of each session that has changed, without its card number and security code, and of each that is gone.
    """

    def __init__(self, word: Callable[[int], str], keep: Keep = nobody) -> None:
        self._word = word
        self._keep = keep
        self._sessions: dict[str, _Session] = {}
        self._sweep_at = _SWEEP_FROM

    def __len__(self) -> int:
        return len(self._sessions)

    def forget(self) -> None:
        """Forget all sessions."""
        self._sessions = {}
        self._sweep_at = _SWEEP_FROM

    # The operations.

    def create(self, body: Body, merchant_id: str, now: datetime) -> Body:
        """Answer CREATE_SESSION; raises `Refusal` for a limit outside 0 to 25."""
        reject_unknown(body, _CREATE)
        check_fields(body)
        session = self._open(body, merchant_id, now)
        self._save(session)
        return self._reply(session)

    def update(self, session_id: str, body: Body, merchant_id: str, now: datetime) -> Body:
        """Answer UPDATE_SESSION; raises `Refusal` for an unknown session, an old version, or a bad field."""
        session = self._get(session_id, merchant_id, now)
        reject_unknown(body, _UPDATE)
        check_fields(body)
        self._put(session, body, now)
        return self._reply(session)

    def retrieve(self, session_id: str, merchant_id: str, now: datetime) -> Body:
        """Answer RETRIEVE_SESSION: the fields with a masked card."""
        return self._reply(self._get(session_id, merchant_id, now))

    def initiate_checkout(self, body: Body, merchant_id: str, now: datetime, version: int) -> Body:
        """Answer INITIATE_CHECKOUT (version 63 and later) or CREATE_CHECKOUT_SESSION (before)."""
        operation = require_text(body, "apiOperation")
        asked = "INITIATE_CHECKOUT" if version >= _FIRST_CHECKOUT_VERSION else "CREATE_CHECKOUT_SESSION"
        if operation != asked:
            raise Refusal("apiOperation", "INVALID", f"This version has {asked}.")
        reject_unknown(body, _CHECKOUT)
        check_fields(body)
        kind = find_choice(body, "interaction.operation", _OPERATIONS)
        if kind is None and version >= _FIRST_CHECKOUT_VERSION:
            raise missing("interaction.operation")
        needed = ["order.id", "order.currency"] if kind != "NONE" else []
        for path in needed:
            require_text(body, path, 40)
        if kind in {"AUTHORIZE", "PURCHASE"} and find(body, "order.amount") is None:
            raise missing("order.amount")
        for path in (NUMBER, SECURITY_CODE):
            if find(body, path) is not None:
                raise Refusal(path, "UNSUPPORTED", "The payer gives the card on the page.")
        rest = {name: value for name, value in body.items() if name != "apiOperation"}
        reject_card_numbers(rest)
        session = self._open(body, merchant_id, now)
        self._put(session, rest, now)
        reply = {"checkoutMode": find(body, "checkoutMode") or "WEBSITE"} if version >= _FIRST_CHECKOUT_VERSION else {}
        reply |= {"merchant": merchant_id, "result": "SUCCESS", "session": self._block(session)}
        return reply | {"successIndicator": self._word(16).lower()}

    # What operations take from a session.

    def resolve(self, body: Body, merchant_id: str, now: datetime) -> Body:
        """Return a body with the session's fields under its own; one without a session is returned as it is.

        Nothing changes; `consume` is called when the operation is carried out. Raises `Refusal` for an unknown session
        or an old version.
        """
        session = self._named(body, merchant_id, now)
        if session is None:
            return body
        fields = {name: value for name, value in session.fields.items() if name not in _PAGE_ONLY}
        return merged(fields, body)

    def consume(self, body: Body, merchant_id: str, now: datetime) -> None:
        """Forget the security code of the session that a body names: an operation has used it."""
        session = self._named(body, merchant_id, now)
        if session is not None and drop(session.fields, SECURITY_CODE):
            session.version = self._fresh_version(session.version)
            self._save(session)

    def authenticate(self, session_id: str, merchant_id: str, now: datetime) -> None:
        """Count one request that has the session for its password; raises `Refusal` (401) above the session's limit."""
        session = self._sessions.get(session_id)
        known = session is not None and session.merchant_id == merchant_id and now - session.time <= LIFE
        if not known or session is None or session.used >= session.limit:
            raise Refusal("", "", "Invalid credentials.", status=401)
        session.used += 1
        self._save(session)

    # The journal.

    def restore(self, states: Iterable[dict[str, Any]]) -> None:
        """Take the sessions that were kept; the card number is gone, so that the payer must give it again."""
        self.forget()
        for kept in states:
            fields = merged(kept["fields"], {})
            drop(fields, NUMBER)
            self._sessions[kept["id"]] = _Session(
                id=kept["id"],
                merchant_id=kept["merchant"],
                version=kept["version"],
                time=datetime.fromisoformat(kept["time"]),
                limit=kept["limit"],
                used=kept["used"],
                update_status=kept["updateStatus"],
                fields=fields,
            )

    def _save(self, session: _Session) -> None:
        state = {
            "id": session.id,
            "merchant": session.merchant_id,
            "version": session.version,
            "time": session.time.isoformat(),
            "limit": session.limit,
            "used": session.used,
            "updateStatus": session.update_status,
            "fields": builtins_of(masked_body(session.fields)),
        }
        self._keep(session.id, state)

    def _sweep(self, now: datetime) -> None:
        """Forget the sessions whose time is over, seldom enough to cost nothing beside the requests."""
        if len(self._sessions) < self._sweep_at:
            return
        for old in [one.id for one in self._sessions.values() if now - one.time > LIFE]:
            del self._sessions[old]
            self._keep(old, None)
        self._sweep_at = max(_SWEEP_FROM, 2 * len(self._sessions))

    # Parts.

    def _open(self, body: Body, merchant_id: str, now: datetime) -> _Session:
        limit = find(body, "session.authenticationLimit")
        if limit is None:
            limit = _HIGHEST_LIMIT
        if not isinstance(limit, int) or isinstance(limit, bool) or not 0 <= limit <= _HIGHEST_LIMIT:
            raise Refusal("session.authenticationLimit", "INVALID", "The value must be a number from 0 to 25.")
        self._sweep(now)
        session = _Session(
            f"{SESSION_PREFIX}{self._word(24).upper()}", merchant_id, self._fresh_version(""), now, limit
        )
        self._sessions[session.id] = session
        return session

    def _put(self, session: _Session, body: Body, now: datetime) -> None:
        self._check_version(session, find(body, "session.version"))
        fields = {name: value for name, value in body.items() if name not in {"session", "correlationId"}}
        read_number(fields)
        read_expiry(fields)
        reject_card_numbers(fields)
        if find(fields, NUMBER) is not None:
            # The code belongs to one card: it does not pass to another.
            drop(session.fields, SECURITY_CODE)
        session.fields = merged(session.fields, fields)
        session.version = self._fresh_version(session.version)
        session.time = now
        session.update_status = "SUCCESS"
        self._save(session)

    def _fresh_version(self, old: str) -> str:
        version = old
        while version == old:
            version = self._word(10).lower()
        return version

    def _check_version(self, session: _Session, version: Any) -> None:
        if version is not None and version != session.version:
            raise Refusal("session.version", "INVALID", "The session has been updated since this version.")

    def _named(self, body: Body, merchant_id: str, now: datetime) -> _Session | None:
        if find(body, "session") is None:
            return None
        session = self._get(require_text(body, "session.id"), merchant_id, now)
        self._check_version(session, find(body, "session.version"))
        return session

    def _get(self, session_id: str, merchant_id: str, now: datetime) -> _Session:
        session = self._sessions.get(session_id)
        if not _SESSION_ID.fullmatch(session_id):
            raise Refusal("session.id", "INVALID", "The value must have 31 to 35 characters.")
        if session is None or session.merchant_id != merchant_id or now - session.time > LIFE:
            # One text for all three: a merchant cannot find out which sessions another one has.
            raise Refusal("session.id", "INVALID", "There is no such session, or its time is over.")
        return session

    def _block(self, session: _Session) -> Body:
        return {
            "authenticationLimit": session.limit,
            "id": session.id,
            "updateStatus": session.update_status,
            "version": session.version,
        }

    def _reply(self, session: _Session) -> Body:
        reply = masked_body(session.fields)
        reply |= {"merchant": session.merchant_id, "result": "SUCCESS", "session": self._block(session)}
        return reply
