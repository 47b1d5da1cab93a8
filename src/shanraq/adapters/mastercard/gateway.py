"""The line to the gateway: addresses, authentication, JSON in and out. The one place that sends."""

from __future__ import annotations

import base64
import re
import time
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

import msgspec
import structlog

from shanraq.adapters.endpoints import Endpoints
from shanraq.adapters.mastercard.replies import utf8_of
from shanraq.core.http import HttpError, ProtocolError, Request, Response
from shanraq.core.secret import Secret

log = structlog.get_logger(__name__)

_encode: Final = msgspec.json.Encoder().encode
_JSON: Final = ("Content-Type", "application/json; charset=utf-8")
_MERCHANT_ID: Final = re.compile(r"[0-9A-Za-z_-]{1,40}")

VERSION: Final = 100


@dataclass(frozen=True, slots=True)
class MastercardConfiguration:
    """A merchant at the Mastercard Gateway.

    `password` is the API password; None where the merchant is known by the client certificate of the connection.
    `reporting_password` is that of the Reporting API (settlement). `notification_secret` is what the gateway shows in
    X-Notification-Secret. `settle_seconds` is how long a request may still be on its way after our own deadline,
    `undecided_seconds` how long the gateway may say itself that it does not know before the operation is taken back. With
    `statement` settlement is read from the acquirer's statement, with fees, instead of the transaction history.
    """

    merchant_id: str
    password: Secret | None = None
    reporting_password: Secret | None = None
    notification_secret: Secret | None = None
    notification_url: str = ""
    version: int = VERSION
    timeout_seconds: float = 20.0
    settle_seconds: float = 60.0
    undecided_seconds: float = 300.0
    statement: bool = False

    def __post_init__(self) -> None:
        assert _MERCHANT_ID.fullmatch(self.merchant_id) and 1 <= self.version <= 999


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: the HTTP status and the body in UTF-8."""

    status: int
    content: bytes


class Gateway:
    """Requests to one merchant's part of the gateway. Safe for concurrent use."""

    def __init__(self, configuration: MastercardConfiguration, endpoints: Endpoints) -> None:
        self._configuration = configuration
        self._endpoints = endpoints
        self._base = f"/api/rest/version/{configuration.version}"
        self._merchant = f"{self._base}/merchant/{configuration.merchant_id}"
        self._authorization = _basic(configuration, configuration.password)
        self._reporting = _basic(configuration, configuration.reporting_password)

    def __repr__(self) -> str:
        return f"Gateway({self._endpoints!r}, {self._configuration.merchant_id})"

    @property
    def available(self) -> bool:
        """Tell whether an endpoint would be asked now."""
        return self._endpoints.available

    def transaction(self, reference: str, operation_id: str) -> str:
        """Return the path of a transaction of an order."""
        return f"{self.order(reference)}/transaction/{quote(operation_id, safe='')}"

    def order(self, reference: str) -> str:
        """Return the path of an order."""
        return f"{self._merchant}/order/{quote(reference, safe='')}"

    def under_merchant(self, *parts: str) -> str:
        """Return another path of the merchant."""
        return "/".join((self._merchant, *(quote(part, safe="") for part in parts)))

    async def get(self, kind: str, operation_id: str, path: str) -> Answer:
        """Read something. Raises HttpError."""
        return await self._exchange(kind, operation_id, "GET", path)

    async def put(
        self, kind: str, operation_id: str, path: str, body: dict[str, Any], timeout_seconds: float | None = None
    ) -> Answer:
        """Send something under ids of ours, within less than the usual time where that is given. Raises HttpError."""
        return await self._exchange(kind, operation_id, "PUT", path, _encode(body), timeout_seconds=timeout_seconds)

    async def post(self, kind: str, operation_id: str, path: str, body: dict[str, Any]) -> Answer:
        """Send something that gets its id there. Raises HttpError."""
        return await self._exchange(kind, operation_id, "POST", path, _encode(body))

    async def delete(self, kind: str, operation_id: str, path: str) -> Answer:
        """Delete something. Raises HttpError."""
        return await self._exchange(kind, operation_id, "DELETE", path)

    async def close_batch(self, body: dict[str, Any]) -> Answer:
        """Send CLOSE_BATCH, which takes the Reporting password. Raises HttpError."""
        return await self._exchange(
            "close_batch", "", "PUT", self.under_merchant("batch"), _encode(body), reporting=True
        )

    async def report(self, path: str) -> Answer:
        """Read a report with the Reporting password. Raises HttpError."""
        return await self._exchange("report", "", "GET", path, reporting=True)

    async def operating(self) -> bool:
        """Tell whether an endpoint answers that the gateway operates; needs no credentials."""
        return await self._endpoints.check(
            lambda base_url, _host: Request("GET", f"{base_url}{self._base}/information"),
            self._configuration.timeout_seconds,
            good=_operates,
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._endpoints.close()

    async def _exchange(
        self,
        kind: str,
        operation_id: str,
        method: str,
        path: str,
        body: bytes = b"",
        *,
        reporting: bool = False,
        timeout_seconds: float | None = None,
    ) -> Answer:
        """Send a request and return the whole answer. Raises HttpError."""
        authorization = self._reporting if reporting else self._authorization
        headers = (*authorization, ("Accept", "text/csv" if kind == "report" else "application/json"))
        if body:
            headers = (*headers, _JSON)
        began = time.perf_counter()
        status = ""
        try:
            response = await self._endpoints.send(
                lambda base_url, _host: Request(method, base_url + path, headers, body),
                timeout_seconds or self._configuration.timeout_seconds,
            )
            status = str(response.status)
            if response.truncated:
                status += " cut off"
                raise ProtocolError("the answer was cut off", sent=True)
            return Answer(response.status, utf8_of(response.body, response.headers.get("Content-Type", "") or ""))
        except HttpError as error:
            status = status or error.error_code
            raise
        finally:
            log.info(
                "mastercard.answered",
                operation=operation_id or None,
                kind=kind,
                status=status or "canceled",
                milliseconds=round((time.perf_counter() - began) * 1000, 1),
            )


class _Information(msgspec.Struct, frozen=True):
    status: str = ""


def _operates(response: Response) -> bool:
    if response.status != 200 or response.truncated:
        return False
    try:
        return msgspec.json.decode(response.body, type=_Information).status == "OPERATING"
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False


def _basic(configuration: MastercardConfiguration, password: Secret | None) -> tuple[tuple[str, str], ...]:
    if password is None:
        return ()
    pair = f"merchant.{configuration.merchant_id}:{password.reveal()}".encode()
    return (("Authorization", "Basic " + base64.b64encode(pair).decode()),)
