"""Access tokens over OAuth 2.0 with mutual TLS: refreshed before they end, by one request however many wait for it."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable
from typing import Final
from urllib.parse import urlencode

import msgspec

from shanraq.adapters.endpoints import Endpoints
from shanraq.core.http import HttpError, Request
from shanraq.core.secret import Secret

_PATH: Final = "/oauth2/v3/token"
_FORM: Final = ("Content-Type", "application/x-www-form-urlencoded")
_REFRESH_AT: Final = 0.8
_LONGEST_SECONDS: Final = 900


class TokenError(HttpError, error_code="oauth_token"):
    """The gateway gave no access token: nothing else was sent."""


class _Tokens(msgspec.Struct):
    access_token: str
    expires_in: int
    token_type: str = "Bearer"  # noqa: S105 - the kind of token
    refresh_token: str = ""


_decode = msgspec.json.Decoder(_Tokens).decode


class AccessTokens:
    """Keeps one access token of a merchant. `clock` is monotonic, in seconds."""

    def __init__(
        self,
        endpoints: Endpoints,
        client_id: str,
        client_secret: Secret,
        refresh_token: Secret,
        *,
        timeout_seconds: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._endpoints = endpoints
        self._client_id = client_id
        self._client_secret = client_secret
        self._refresh_token = refresh_token
        self._timeout_seconds = timeout_seconds
        self._clock = clock
        self._token = ""
        self._fresh_until = 0.0
        self._lock = asyncio.Lock()

    def __repr__(self) -> str:
        return f"AccessTokens({self._client_id})"

    async def get(self, *, refused: str = "") -> str:
        """Return a token that is not the refused one; raises HttpError with `sent` False.

        A token is replaced after 80 % of its life. Callers that come meanwhile wait for the one request.
        """
        if self._usable(refused):
            return self._token
        async with self._lock:
            if not self._usable(refused):
                await self._refresh()
            return self._token

    def _usable(self, refused: str) -> bool:
        return bool(self._token) and self._token != refused and self._clock() < self._fresh_until

    async def _refresh(self) -> None:
        form = urlencode(
            {
                "client_id": self._client_id,
                "client_secret": self._client_secret.reveal(),
                "grant_type": "refresh_token",
                "refresh_token": self._refresh_token.reveal(),
            }
        ).encode()
        headers = (_FORM, ("Accept", "application/json"), ("v-c-client-correlation-id", str(uuid.uuid4())))
        asked_at = self._clock()
        try:
            response = await self._endpoints.send(
                lambda base_url, host: Request("POST", base_url + _PATH, headers, form), self._timeout_seconds
            )
        except HttpError as error:
            # What the token request may have done moves no money: for the operation behind it nothing was sent.
            raise TokenError(f"no access token: {error.error_code}", sent=False) from None
        if response.status != 200 or response.truncated:
            raise TokenError(f"no access token: HTTP {response.status}", sent=False)
        try:
            tokens = _decode(response.body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise TokenError("no access token: a body that cannot be read", sent=False) from None
        if not tokens.access_token.isascii() or not tokens.access_token or tokens.token_type.lower() != "bearer":
            raise TokenError("no access token: not a bearer token", sent=False)
        self._token = tokens.access_token
        # From before the request was sent: the life may have begun then.
        self._fresh_until = asked_at + _REFRESH_AT * min(max(tokens.expires_in, 0), _LONGEST_SECONDS)
        if tokens.refresh_token:
            self._refresh_token = Secret(tokens.refresh_token)
