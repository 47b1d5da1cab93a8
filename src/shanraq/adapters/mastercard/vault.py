"""Tokens and payment sessions of the gateway: the card stays there.

Nothing here moves money, so a failure is an error and not an outcome: GatewayRefusedError, or GatewaySilentError when there is
no usable answer.
"""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from shanraq.adapters.mastercard.gateway import Answer, Gateway
from shanraq.adapters.mastercard.replies import UNREADABLE, refused
from shanraq.adapters.mastercard.requests import Session, Token, card_of
from shanraq.core.errors import RefusedError, UnavailableError
from shanraq.core.http import HttpError
from shanraq.core.money import Money
from shanraq.payments.adapter import Card, NotProcessed

_UPDATED: Final = "SUCCESS"


class GatewayRefusedError(RefusedError, code="gateway_refused", status=422):
    """The gateway refused a request about a token or a session."""


class GatewaySilentError(UnavailableError, code="gateway_silent", status=503):
    """The gateway gave no usable answer about a token or a session; the request may be repeated."""


@dataclass(frozen=True, slots=True)
class KeptCard:
    """A card the gateway keeps: its token, whether it may be used, the masked number and the brand."""

    token: Token
    valid: bool
    masked: str = ""
    brand: str = ""


class _Card(msgspec.Struct, frozen=True):
    number: str = ""
    brand: str = ""


class _Provided(msgspec.Struct, frozen=True):
    card: _Card = _Card()


class _Source(msgspec.Struct, frozen=True):
    provided: _Provided = _Provided()


class _Session(msgspec.Struct, frozen=True, rename="camel"):
    id: str = ""
    version: str = ""
    update_status: str = ""


class _Error(msgspec.Struct, frozen=True, rename="camel"):
    cause: str = ""
    field: str = ""
    validation_type: str = ""


class _Reply(msgspec.Struct, frozen=True, rename="camel"):
    result: str = ""
    token: str = ""
    status: str = ""
    source_of_funds: _Source = _Source()
    session: _Session | str = _Session()
    version: str = ""
    error: _Error = _Error()


class Tokens:
    """Cards kept at the gateway (tokenisation)."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def keep(self, card: Card) -> KeptCard:
        """Keep a card; the gateway chooses the token. Its security code is not kept."""
        body = {"sourceOfFunds": {"type": "CARD", "provided": {"card": card_of(card)}}}
        return _kept(await _ask(self._gateway.post("token", "", self._gateway.under_merchant("token"), body)))

    async def find(self, token: Token) -> KeptCard:
        """Return what is kept under a token."""
        return _kept(await _ask(self._gateway.get("token", "", self._path(token))))

    async def forget(self, token: Token) -> None:
        """Delete a token; it pays for nothing any more."""
        await _ask(self._gateway.delete("token", "", self._path(token)))

    def _path(self, token: Token) -> str:
        return self._gateway.under_merchant("token", token.token)


class Sessions:
    """Payment sessions, which last about a quarter of an hour.

    An update with a version that is not the newest is refused, so two writers cannot overwrite each other unseen.
    """

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def create(self) -> Session:
        """Open a session."""
        return _session(await _ask(self._gateway.post("session", "", self._gateway.under_merchant("session"), {})))

    async def put_card(self, session: Session, card: Card, amount: Money | None = None) -> Session:
        """Put a card, and the amount to pay where it is known, into a session; returns the session's new version."""
        body: dict[str, Any] = {"sourceOfFunds": {"type": "CARD", "provided": {"card": card_of(card)}}}
        if amount is not None:
            body["order"] = {"amount": amount.decimal_text(), "currency": amount.currency.code}
        if session.version:
            body["session"] = {"version": session.version}
        reply = await _ask(self._gateway.put("session", "", self._path(session), body))
        if isinstance(reply.session, _Session) and reply.session.update_status not in ("", _UPDATED):
            raise GatewayRefusedError(
                f"the session was not updated: {reply.session.update_status[:16]}", field="session"
            )
        return _session(reply)

    async def find(self, session: Session) -> Session:
        """Return a session in its newest version."""
        return _session(await _ask(self._gateway.get("session", "", self._path(session))))

    def _path(self, session: Session) -> str:
        return self._gateway.under_merchant("session", session.session_id)


async def _ask(asked: Awaitable[Answer]) -> _Reply:
    try:
        answer = await asked
    except HttpError as error:
        raise GatewaySilentError(f"no answer: {error.error_code}") from None
    try:
        reply = msgspec.json.decode(answer.content or b"{}", type=_Reply)
    except UNREADABLE:
        raise GatewaySilentError(f"HTTP {answer.status} with a body that cannot be read") from None
    if reply.result == "ERROR" or reply.error.cause or answer.status not in (200, 201, 204):
        refusal = refused(answer.status, reply.error.cause, reply.error.field, reply.error.validation_type)
        if isinstance(refusal, NotProcessed) and not refusal.retryable:
            raise GatewayRefusedError(refusal.reason.gateway_reason)
        raise GatewaySilentError(f"HTTP {answer.status}")
    return reply


def _kept(reply: _Reply) -> KeptCard:
    if not reply.token:
        raise GatewaySilentError("the answer names no token")
    card = reply.source_of_funds.provided.card
    return KeptCard(Token(reply.token), reply.status in ("", "VALID"), card.number, card.brand)


def _session(reply: _Reply) -> Session:
    if isinstance(reply.session, str):
        # Reading a session answers with its id as a text, and the version beside it.
        return Session(reply.session, reply.version)
    if not reply.session.id:
        raise GatewaySilentError("the answer names no session")
    return Session(reply.session.id, reply.session.version)
