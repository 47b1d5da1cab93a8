"""Visa over the CyberSource / Visa Acceptance REST API."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from urllib.parse import urlsplit

import structlog

from shanraq.adapters.visa import wire
from shanraq.adapters.visa.codes import UNREACHABLE
from shanraq.adapters.visa.sign import Signer
from shanraq.core.http import HttpClient, HttpError, ProtocolError, Request, Response
from shanraq.core.secret import Secret
from shanraq.payments.adapter import (
    Approved,
    Authorize,
    Capture,
    Command,
    Finding,
    InReview,
    Lost,
    NotFound,
    NotProcessed,
    OperationKind,
    Outcome,
    Refund,
    Reverse,
    Unknown,
    Void,
)

log = structlog.get_logger(__name__)

_JSON: Final = ("Content-Type", "application/json")
_ACCEPT: Final = ("Accept", "application/hal+json;charset=utf-8")


@dataclass(frozen=True, slots=True)
class VisaConfiguration:
    """A merchant at CyberSource. `secret` is the base64 shared secret of `key_id`.

    `request_host` is the name that is signed, where it is not the one of `base_url`; `index_lag_seconds` how long the search
    index may be behind before a search that finds nothing proves anything.
    """

    base_url: str
    merchant_id: str
    key_id: str
    secret: Secret
    portfolio_id: str | None = None
    request_host: str | None = None
    timeout_seconds: float = 20.0
    index_lag_seconds: float = 10.0


class VisaAdapter:
    """The payments port over CyberSource REST: JWT HS256, one signed request a command, never sent twice.

    A payment that risk rules decline after the issuer approved comes back as Declined with `reason.release`: reversing it is
    another operation with an id of its own, which payments order and recover like any other.
    """

    name = "visa"

    def __init__(self, configuration: VisaConfiguration, client: HttpClient) -> None:
        self._configuration = configuration
        self._base_url = configuration.base_url.rstrip("/")
        parts = urlsplit(self._base_url)
        self._host = configuration.request_host or parts.netloc
        self._prefix = parts.path
        self._client = client
        self._signer = Signer(
            configuration.merchant_id, configuration.key_id, configuration.secret, configuration.portfolio_id
        )
        # The index may be behind by its lag, and what was sent may be processed until our own deadline is over.
        self.settled_after = timedelta(seconds=configuration.timeout_seconds + 2 * configuration.index_lag_seconds)

    def __repr__(self) -> str:
        return f"VisaAdapter({self._base_url}, {self._configuration.merchant_id})"

    async def authorize(self, command: Authorize) -> Outcome:
        """Authorise, or with `capture` sell."""
        return await self._carry_out(command)

    async def capture(self, command: Capture) -> Outcome:
        """Capture an authorisation."""
        return await self._carry_out(command)

    async def refund(self, command: Refund) -> Outcome:
        """Refund a capture or a sale."""
        return await self._carry_out(command)

    async def void(self, command: Void) -> Outcome:
        """Void a capture, refund or sale that has not left for clearing."""
        return await self._carry_out(command)

    async def reverse(self, command: Reverse) -> Outcome:
        """Reverse an authorisation."""
        return await self._carry_out(command)

    async def inquire(self, lost: Lost) -> Finding:
        """Search for a lost operation by its transactionId."""
        found = await self._search(lost)
        if isinstance(found, wire.TakenBack):
            return NotFound()
        if isinstance(found, Approved) and lost.kind is OperationKind.AUTHORIZE:
            return await self._amount_approved(lost, found)
        return found

    async def undo(self, lost: Lost) -> Finding:
        """Take a lost operation back: timeout reversal of an authorisation, timeout void of a sale, capture or refund."""
        if lost.kind in (OperationKind.VOID, OperationKind.REVERSE):
            found = await self._search(lost)
            return found if isinstance(found, NotFound | Unknown) else Unknown("undo: it cannot be taken back")
        undone = await self._take_back(lost)
        if isinstance(undone, Approved) and lost.kind is OperationKind.AUTHORIZE and lost.sale:
            return await self._release(lost, undone)
        return undone

    async def healthy(self) -> bool:
        """Tell whether the gateway answers and knows our credentials."""
        try:
            response = await self._send("healthy", "", "GET", "/tss/v2/transactions/0")
        except HttpError:
            return False
        return response.status in (200, 400, 404)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def _carry_out(self, command: Command) -> Outcome:
        path, body = wire.request_of(command)
        # Only some merchants have it switched on: it spares them a request repeated on the way, and proves nothing.
        once = ("v-c-idempotency-id", command.operation_id)
        try:
            response = await self._send(type(command).__name__.lower(), command.operation_id, "POST", path, body, once)
        except HttpError as error:
            return Unknown(error.error_code) if error.sent else NotProcessed(UNREACHABLE, retryable=True)
        return wire.outcome_of(command, response.status, response.body)

    async def _search(self, lost: Lost) -> Finding | wire.TakenBack:
        path, body = wire.search_of(lost)
        try:
            response = await self._send("search", lost.operation_id, "POST", path, body)
        except HttpError as error:
            return Unknown(f"search: {error.error_code}")
        return wire.finding_of(lost, response.status, response.body)

    async def _amount_approved(self, lost: Lost, found: Approved) -> Approved | Unknown:
        try:
            response = await self._send("details", lost.operation_id, "GET", f"/tss/v2/transactions/{found.gateway_id}")
        except HttpError as error:
            return Unknown(f"details: {error.error_code}")
        return wire.detail_of(lost, found, response.status, response.body)

    async def _take_back(self, lost: Lost) -> Finding:
        path, body = wire.undo_of(lost)
        try:
            response = await self._send("undo", lost.operation_id, "POST", path, body)
        except HttpError as error:
            return Unknown(f"undo: {error.error_code}")
        undone = wire.undone_of(lost, response.status, response.body)
        if undone is not None:
            return undone
        # Refused: taken back by an earlier request whose answer was lost, never there, or there to stay.
        found = await self._search(lost)
        if isinstance(found, wire.TakenBack):
            return Approved(found.gateway_id, lost.amount)
        if isinstance(found, Approved | InReview):
            return Unknown("undo: it stands and cannot be taken back")
        return found

    async def _release(self, lost: Lost, undone: Approved) -> Finding:
        # The void of a sale takes the money back and leaves the issuer's hold, which stays for days unless it is reversed.
        path, body = wire.release_of(lost)
        try:
            response = await self._send("release", lost.operation_id, "POST", path, body)
        except HttpError as error:
            return Unknown(f"release: {error.error_code}")
        released = wire.undone_of(lost, response.status, response.body)
        # The money is back, whether or not a hold was left to release; only without an answer it has to be asked again.
        return released if isinstance(released, Unknown) else undone

    async def _send(
        self, kind: str, operation_id: str, method: str, path: str, body: bytes = b"", *headers: tuple[str, str]
    ) -> Response:
        """Send a signed request and return the whole answer. Raises HttpError."""
        target = self._prefix + path
        token = self._signer.token(method, self._host, target, body, issued_at=int(time.time()))
        own = (("Authorization", f"Bearer {token}"), _ACCEPT, *((_JSON,) if body else ()), *headers)
        began = time.perf_counter()
        status = ""
        try:
            response = await self._client.send(
                Request(method, self._base_url + path, own, body), self._configuration.timeout_seconds
            )
            status = str(response.status)
            if response.truncated:
                status += " cut off"
                raise ProtocolError("the answer was cut off", sent=True)
            return response
        except HttpError as error:
            status = status or error.error_code
            raise
        finally:
            log.info(
                "visa.answered",
                operation=operation_id or None,
                kind=kind,
                status=status or "canceled",
                milliseconds=round((time.perf_counter() - began) * 1000, 1),
            )
