"""The gateway of terminals: ISO 8583 in, verbs of payments out, once for each message however often it comes.

A message is noted under a key of the terminal's own before anything is done about it; the verb is called with an idempotency
key made of that, so that a repeat, a second connection and a restarted process lead to the same payment and the same answer.
An outcome that is not known is not answered: the terminal's time runs out, it reverses, and the reversal is carried out once
the outcome is known.
"""

from __future__ import annotations

from collections.abc import Coroutine
from dataclasses import replace
from typing import Any, Final, assert_never

import structlog

from shanraq import partners, payments, terminals
from shanraq.core.actor import SYSTEM, Actor, Environment
from shanraq.core.errors import ShanraqError
from shanraq.payments import OperationStatus, Payment, PaymentStatus
from shanraq.standards.iso8583 import Codec, Iso8583Error, Message
from shanraq.standards.iso8583.flow import is_request, respond
from shanraq.standards.iso8583.security import MessageAuthentication
from shanraq.switch.acceptor import Peer, Reply
from shanraq.switch.codes import Said, reason, said
from shanraq.switch.read import CardRead, Request, UnreadableRequestError, read_request
from shanraq.terminals import AskedKind, MessageStatus, Noted, Terminal, TerminalStatus

log = structlog.get_logger(__name__)

SCOPES: Final = frozenset(("payments:read", "payments:write", "payment_methods:write"))
# Conflicts of the moment and failures of ours decide nothing: the terminal asks again.
_UNDECIDED: Final = frozenset(("payment_busy", "idempotency_key_in_use", "contended"))


class UndecidedError(Exception):
    """Nothing can be answered yet."""


class Gateway:
    """Answers the messages of the terminals of one environment.

    Terminals that are registered with a MAC key are believed only with a right code under it. A reversal whose original never
    came is answered with 25 (914), and the original is refused if it comes later.
    """

    def __init__(
        self,
        acquiring: payments.Acquiring,
        environment: Environment,
        codec: Codec,
        authentication: MessageAuthentication | None = None,
    ) -> None:
        """Prepare a gateway; `authentication` says how codes are made, and each terminal's own key replaces its key."""
        self._acquiring = acquiring
        self._db = acquiring.db
        self._environment = environment
        self._codec = codec
        self._edition = "1987" if codec.layout.iso_version == "1987" else "1993"
        self._authentication = authentication

    def answer(self, request: Message, peer: Peer) -> Coroutine[Any, Any, Reply] | None:
        """Answer a message, as an Acceptor asks for it; what is no request gets no answer."""
        if not is_request(request.mti) or request.mti[1] not in "1248":
            log.info("switch.ignored", mti=request.mti, address=peer.address)
            return None
        return self._answer(request, peer.raw)

    async def _answer(self, request: Message, raw: bytes) -> Reply:
        terminal = await terminals.find_terminal(
            self._db, self._environment, request.fields.get(41, "").strip(), request.fields.get(42, "").strip()
        )
        if terminal is None or terminal.status is not TerminalStatus.ACTIVE:
            log.warning("switch.unknown_terminal", mti=request.mti, known=terminal is not None)
            return self._said(request, Said.UNKNOWN_TERMINAL)
        authentication = self._authentication_of(terminal)
        if terminal.mac_key and (authentication is None or not authentication.is_authentic(self._codec, raw)):
            log.error("switch.not_authentic", terminal=terminal.id, mti=request.mti)
            return self._said(request, Said.NOT_AUTHENTIC)
        response = await self._carried_out(request, terminal)
        if response is None or authentication is None:
            return response
        return authentication.sealed(self._codec, response)

    async def _carried_out(self, request: Message, terminal: Terminal) -> Message | None:
        if request.mti[1] == "8":
            return self._said(request, Said.MANAGED)
        try:
            actor = await self._actor_of(terminal)
            read = read_request(request, self._edition, self._db.clock())
            noted = await self._noted(actor, terminal, read)
            if noted.status is MessageStatus.OPEN:
                noted = await self._do(actor, terminal, noted, read)
        except UnreadableRequestError as error:
            log.warning("switch.unreadable_request", terminal=terminal.id, mti=request.mti, field=error.field)
            return self._said(request, error.said)
        except ShanraqError as error:
            if error.status >= 500 or error.code in _UNDECIDED:
                log.warning("switch.undecided", terminal=terminal.id, mti=request.mti, code=error.code)
                return None
            log.info("switch.refused", terminal=terminal.id, mti=request.mti, code=error.code)
            return respond(request, reason(error.code, self._edition))
        except UndecidedError:
            log.warning("switch.outcome_unknown", terminal=terminal.id, mti=request.mti)
            return None
        return self._response(request, noted)

    async def _actor_of(self, terminal: Terminal) -> Actor:
        async with self._db.begin(SYSTEM) as tx:
            return await partners.actor_of(
                tx, terminal.partner_id, terminal.environment, acting_id=terminal.id, scopes=SCOPES
            )

    async def _noted(self, actor: Actor, terminal: Terminal, read: Request) -> Noted:
        asked = read.asked
        noted = await terminals.note(
            self._db, actor, terminal, asked,
            terminals.Refusals(
                said(Said.OVERTAKEN, self._edition), said(Said.UNKNOWN_ORIGINAL, self._edition),
                said(Said.NOT_SUPPORTED, self._edition),
            ),
        )  # fmt: skip
        minor = asked.amount.minor if asked.amount is not None else None
        code = asked.amount.currency.code if asked.amount is not None else None
        if (noted.kind, noted.amount_minor, noted.currency) != (asked.kind, minor, code):
            raise UnreadableRequestError(Said.REUSED, 11, "names another message of this terminal")
        return noted

    # What is asked for

    async def _do(self, actor: Actor, terminal: Terminal, noted: Noted, read: Request) -> Noted:
        key = f"{terminal.id}.{noted.key}"
        match noted.kind:
            case AskedKind.AUTHORIZE | AskedKind.SALE:
                return await self._pay(actor, terminal, noted, read, key)
            case AskedKind.CAPTURE:
                return await self._follow(actor, noted, read, key)
            case AskedKind.REFUND:
                return await self._follow(actor, noted, read, key)
            case AskedKind.REVERSAL:
                raise AssertionError("a reversal is answered or accepted when it is noted")
            case _:
                assert_never(noted.kind)

    async def _pay(self, actor: Actor, terminal: Terminal, noted: Noted, read: Request, key: str) -> Noted:
        card, amount = read.card, read.asked.amount
        assert card is not None and amount is not None, "a payment has both"
        try:
            method = await self._tokenized(actor, card, key)
            new = payments.NewPayment(
                payment_method_id=method,
                account_id=terminal.account_id,
                amount=amount.minor,
                currency=amount.currency.code,
                capture=noted.kind is AskedKind.SALE,
                reference=noted.rrn,
                metadata={"terminal": terminal.terminal, "acceptor": terminal.acceptor},
                card_present=True,
            )
            given = await payments.authorize(self._acquiring, actor, key, new, card.security_code)
        except ShanraqError as error:
            return await self._refused(actor, noted, error)
        payment = given.value
        match payment.status:
            case PaymentStatus.AUTHORIZING | PaymentStatus.REVIEW:
                await terminals.made_payment(self._db, actor, noted, payment.id)
                raise UndecidedError
            case PaymentStatus.FAILED:
                assert payment.failure is not None, "a failed payment says why"
                return await terminals.answer(
                    self._db, actor, noted, reason(payment.failure.code, self._edition), payment_id=payment.id
                )
            case _:
                partly = payment.amount_authorized < amount.minor
                return await terminals.answer(
                    self._db, actor, noted, said(Said.PARTLY if partly else Said.APPROVED, self._edition),
                    payment_id=payment.id, approval_code=_approval_code(payment),
                    approved_minor=payment.amount_authorized,
                )  # fmt: skip

    async def _tokenized(self, actor: Actor, card: CardRead, key: str) -> str:
        new = payments.NewCard(expiry_month=card.expiry_month, expiry_year=card.expiry_year)
        given = await payments.tokenize(self._db, self._acquiring.keyring, actor, card.pan, new, key)
        return given.value.id

    async def _follow(self, actor: Actor, noted: Noted, read: Request, key: str) -> Noted:
        amount = read.asked.amount
        assert amount is not None, "completions and refunds have an amount"
        if noted.payment_id is None:
            return await terminals.answer(self._db, actor, noted, said(Said.UNKNOWN_ORIGINAL, self._edition))
        verb = payments.capture if noted.kind is AskedKind.CAPTURE else payments.refund
        try:
            payment = await payments.find_payment(self._db, actor, noted.payment_id)
            if payment.currency != amount.currency.code:
                return await terminals.answer(self._db, actor, noted, reason("currency_mismatch", self._edition))
            given = await verb(self._acquiring, actor, key, noted.payment_id, amount.minor)
        except ShanraqError as error:
            return await self._refused(actor, noted, error)
        operation = given.value.operation
        assert operation is not None, "a verb gives the operation it made"
        if operation.status.open or operation.status is OperationStatus.REVIEW:
            raise UndecidedError
        if operation.failure is not None:
            code = reason(operation.failure.code, self._edition)
            return await terminals.answer(self._db, actor, noted, code, payment_id=noted.payment_id)
        what = Said.ADVICE_TAKEN if noted.kind is AskedKind.CAPTURE else Said.APPROVED
        return await terminals.answer(
            self._db, actor, noted, said(what, self._edition), payment_id=noted.payment_id,
            approval_code=operation.approval_code, approved_minor=amount.minor,
        )  # fmt: skip

    async def _refused(self, actor: Actor, noted: Noted, error: ShanraqError) -> Noted:
        if error.status >= 500 or error.code in _UNDECIDED:
            raise error
        return await terminals.answer(self._db, actor, noted, reason(error.code, self._edition))

    # Answers

    def _authentication_of(self, terminal: Terminal) -> MessageAuthentication | None:
        if not terminal.mac_key or self._authentication is None:
            return None
        return replace(self._authentication, key=terminal.mac_key)

    def _said(self, request: Message, what: Said) -> Message | None:
        try:
            return respond(request, said(what, self._edition))
        except Iso8583Error:
            return None

    def _response(self, request: Message, noted: Noted) -> Message:
        if noted.status is MessageStatus.ACCEPTED or (noted.kind is AskedKind.REVERSAL and not noted.response_code):
            code = said(Said.REVERSED, self._edition)
        else:
            code = noted.response_code
        response = respond(request, code)
        fields = response.fields
        if noted.rrn:
            fields[37] = noted.rrn.ljust(12)
        if noted.approval_code:
            fields[38] = noted.approval_code[:6].ljust(6)
        if noted.approved_minor is not None and 4 in fields:
            fields[4] = f"{noted.approved_minor:012d}"
        response.fields = dict(sorted(fields.items()))
        return response


def _approval_code(payment: Payment) -> str:
    """Return the issuer's approval code; where the payment system tells none, one made of the payment's id."""
    told = payment.operation.approval_code if payment.operation is not None else ""
    return told or payment.id[-6:]
