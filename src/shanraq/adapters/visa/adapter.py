"""Visa over the CyberSource / Visa Acceptance REST API."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final
from urllib.parse import urlsplit

import structlog

from shanraq.adapters.visa import wire
from shanraq.adapters.visa.codes import UNREACHABLE
from shanraq.adapters.visa.sign import Signer
from shanraq.core.http import HttpClient, HttpError, Request, Response
from shanraq.core.secret import Secret
from shanraq.payments.adapter import (
    Approved,
    Authorize,
    Capture,
    Command,
    Finding,
    Lost,
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
    """The payments port over CyberSource REST: JWT HS256, one signed request a command, never sent twice."""

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
        path, body = wire.search_of(lost)
        try:
            response = await self._send("POST", path, body)
        except HttpError as error:
            return Unknown(f"search: {error.error_code}")
        found = wire.finding_of(lost, response.status, response.body)
        if isinstance(found, Approved) and lost.kind is OperationKind.AUTHORIZE:
            return await self._amount_approved(lost, found)
        return found

    async def undo(self, lost: Lost) -> Finding:
        """Take a lost operation back: timeout reversal of an authorisation, timeout void of anything else."""
        path, body = wire.undo_of(lost)
        try:
            response = await self._send("POST", path, body)
        except HttpError as error:
            return Unknown(f"undo: {error.error_code}")
        return wire.undone_of(lost, response.status, response.body)

    async def healthy(self) -> bool:
        """Tell whether the gateway answers and knows our credentials."""
        try:
            response = await self._send("GET", "/tss/v2/transactions/0", b"")
        except HttpError:
            return False
        return response.status in (200, 400, 404)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def _amount_approved(self, lost: Lost, found: Approved) -> Finding:
        # A search tells the amount asked for; how much of it was approved stands in the details only.
        try:
            response = await self._send("GET", f"/tss/v2/transactions/{found.gateway_id}", b"")
        except HttpError as error:
            return Unknown(f"details: {error.error_code}")
        amount = wire.partial_amount_of(lost, response.body) if response.status == 200 else None
        if amount is None or not amount or amount > lost.amount:
            return Unknown("details: the approved amount cannot be read")
        return replace(found, amount=amount)

    async def _carry_out(self, command: Command) -> Outcome:
        path, body = wire.request_of(command)
        began = time.perf_counter()
        try:
            response = await self._send("POST", path, body)
        except HttpError as error:
            outcome: Outcome = Unknown(error.error_code) if error.sent else NotProcessed(UNREACHABLE, retryable=True)
            status = error.error_code
        else:
            status = str(response.status)
            if response.truncated:
                outcome = Unknown("the answer was cut off")
            else:
                outcome = wire.outcome_of(command, response.status, response.body)
        log.info(
            "visa.answered",
            operation=command.operation_id,
            kind=type(command).__name__,
            status=status,
            outcome=type(outcome).__name__,
            milliseconds=round((time.perf_counter() - began) * 1000, 1),
        )
        return outcome

    async def _send(self, method: str, path: str, body: bytes) -> Response:
        target = self._prefix + path
        token = self._signer.token(method, self._host, target, body, issued_at=int(time.time()))
        headers = [("Authorization", f"Bearer {token}"), _ACCEPT]
        if body:
            headers.append(_JSON)
        request = Request(method, self._base_url + path, tuple(headers), body)
        return await self._client.send(request, self._configuration.timeout_seconds)
