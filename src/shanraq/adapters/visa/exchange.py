"""One signed exchange with the gateway: encrypt, sign for the endpoint that is called, send once, decrypt."""

from __future__ import annotations

import time
from typing import Final
from urllib.parse import urlsplit

import msgspec
import structlog

from shanraq.adapters.endpoints import Endpoints
from shanraq.adapters.visa.mle import Envelopes, UndecryptableError
from shanraq.adapters.visa.oauth import AccessTokens
from shanraq.adapters.visa.sign import Bearer, Header, Scheme
from shanraq.core.http import HttpError, ProtocolError, Request, Response

log = structlog.get_logger(__name__)

_JSON: Final = ("Content-Type", "application/json")
_ACCEPT: Final = ("Accept", "application/hal+json;charset=utf-8")
_ACCEPT_JSON: Final = ("Accept", "application/json;charset=utf-8")


class Exchange:
    """Sends requests over the endpoints of one merchant; `request_host` is signed instead of the endpoint's own name."""

    def __init__(
        self,
        endpoints: Endpoints,
        scheme: Scheme,
        envelopes: Envelopes,
        *,
        timeout_seconds: float,
        tokens: AccessTokens | None = None,
        request_host: str | None = None,
    ) -> None:
        self._endpoints = endpoints
        self._scheme = scheme
        self._envelopes = envelopes
        self._timeout_seconds = timeout_seconds
        self._tokens = tokens
        self._request_host = request_host
        self._prefixes: dict[str, str] = {}

    async def send(
        self, kind: str, operation_id: str, method: str, path: str, body: bytes = b"", *headers: Header
    ) -> Response:
        """Send a request and return the whole answer, in the clear. Raises HttpError.

        With OAuth a request that is refused with 401 was not processed: it is sent once more with a new token.
        """
        now = int(time.time())
        sealed = self._envelopes.seal(path, body, now=now)
        asked = self._envelopes.asks(path)
        began = time.perf_counter()
        status = ""
        try:
            response = await self._send(method, path, sealed, headers, now, asked)
            status = str(response.status)
            if response.truncated:
                status += " cut off"
                raise ProtocolError("the answer was cut off", sent=True)
            if not asked:
                return response
            try:
                return msgspec.structs.replace(response, body=self._envelopes.open(response.status, response.body))
            except UndecryptableError as error:
                status += " undecryptable"
                raise ProtocolError(str(error), sent=True) from None
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

    async def healthy(self, path: str) -> bool:
        """Ask every endpoint whether it answers and knows our credentials; closes their breakers again."""
        scheme = self._scheme
        try:
            if self._tokens is not None:
                scheme = await self._bearer()
        except HttpError:
            return False
        return await self._endpoints.check(
            lambda base_url, host: self._request(scheme, base_url, host, "GET", path, b"", (), int(time.time()), ""),
            self._timeout_seconds,
            good=lambda response: response.status in (200, 400, 404),
        )

    async def _send(
        self, method: str, path: str, body: bytes, headers: tuple[Header, ...], now: int, asked: str
    ) -> Response:
        if self._tokens is None:
            return await self._send_as(self._scheme, method, path, body, headers, now, asked)
        bearer = await self._bearer()
        response = await self._send_as(bearer, method, path, body, headers, now, asked)
        if response.status != 401:
            return response
        renewed = await self._bearer(refused=bearer.access_token)
        return await self._send_as(renewed, method, path, body, headers, now, asked)

    async def _bearer(self, *, refused: str = "") -> Bearer:
        assert self._tokens is not None
        bearer = Bearer()
        bearer.access_token = await self._tokens.get(refused=refused)
        return bearer

    async def _send_as(
        self, scheme: Scheme, method: str, path: str, body: bytes, headers: tuple[Header, ...], now: int, asked: str
    ) -> Response:
        return await self._endpoints.send(
            lambda base_url, host: self._request(scheme, base_url, host, method, path, body, headers, now, asked),
            self._timeout_seconds,
        )

    def _request(
        self,
        scheme: Scheme,
        base_url: str,
        host: str,
        method: str,
        path: str,
        body: bytes,
        headers: tuple[Header, ...],
        now: int,
        asked: str,
    ) -> Request:
        prefix = self._prefixes.get(base_url)
        if prefix is None:
            prefix = self._prefixes[base_url] = urlsplit(base_url).path
        proof = scheme.headers(method, self._request_host or host, prefix + path, body, now=now, reply_key_id=asked)
        accept = _ACCEPT_JSON if path.startswith(("/notification-subscriptions/", "/tss/v2/searches")) else _ACCEPT
        own = (*proof, accept, *((_JSON,) if body else ()), *headers)
        return Request(method, base_url + path, own, body)
