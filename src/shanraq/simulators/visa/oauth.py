"""OAuth 2.0 over mutual TLS: consent of a merchant, tokens for a registered client, bound to the client's certificate.

Codes are in memory, for ten minutes. Tokens say themselves what they are for and are signed with a key that follows from the
credentials, so that they outlive a restart.
"""

from __future__ import annotations

import base64
import hmac
import re
import secrets
import uuid
from collections.abc import Callable
from typing import Final
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit, urlunsplit

import msgspec

from shanraq.simulators.serve import Peer, Reply, Request
from shanraq.simulators.visa.credentials import VisaCredentials
from shanraq.simulators.visa.render import json_reply
from shanraq.simulators.visa.verify import NotAuthenticError
from shanraq.standards import jose

_CODE_SECONDS: Final = 10 * 60
_ACCESS_SECONDS: Final = 15 * 60
_REFRESH_SECONDS: Final = 365 * 86400
_CODE_LIMIT: Final = 10_000
_SCOPE: Final = "payments transactions"
_CORRELATION_ID: Final = re.compile(r"[A-Za-z0-9.\-_:]{36}")
_URL: Final = re.compile(r"https?://[!-~]+")


class _Confirmation(msgspec.Struct):
    """The certificate a token is bound to (RFC 8705 section 3.1)."""

    thumbprint: str = msgspec.field(name="x5t#S256")


class _Access(msgspec.Struct, tag_field="use", tag="access"):
    sub: str
    client_id: str
    iat: int
    exp: int
    jti: str
    cnf: _Confirmation
    scope: str = _SCOPE


class _Refresh(msgspec.Struct, tag_field="use", tag="refresh"):
    sub: str
    client_id: str
    exp: int
    jti: str


_encode = msgspec.json.Encoder().encode
_decode_access = msgspec.json.Decoder(_Access).decode
_decode_refresh = msgspec.json.Decoder(_Refresh).decode


class _Denied(Exception):  # noqa: N818 - an answer of the API, not a mistake
    def __init__(self, error: str, description: str, status: int = 400) -> None:
        super().__init__(error)
        self.error, self.description, self.status = error, description, status


class OAuth:
    """The authorisation server of one gateway, for one client acting for the first merchant; `clock` gives seconds."""

    def __init__(self, credentials: VisaCredentials, clock: Callable[[], float]) -> None:
        self.kid = "oauth"
        self._signing_key = jose.HmacKey(_derived(credentials.secret, credentials.oauth_client_secret))
        self.key: jose.VerificationKey = self._signing_key
        self._credentials = credentials
        self._clock = clock
        self._started_at = clock()
        # Until when each may be used.
        self._codes: dict[str, float] = {}

    @classmethod
    def offered(cls, credentials: VisaCredentials, clock: Callable[[], float]) -> OAuth | None:
        """Make the server when the credentials name a client and its certificate, else nothing."""
        return cls(credentials, clock) if credentials.oauth_client_id else None

    def answer(self, request: Request) -> Reply | None:
        """Answer a request to this server; None when it is to the gateway."""
        path, _, query = request.target.partition("?")
        match path.removesuffix("/"):
            case "/oauth2/v3/token":
                return self._answer_token(request)
            case "/ebc2/oauth/authorize":
                return self._answer_consent(request, query)
        return None

    def check(self, payload: bytes, peer: Peer | None) -> str:
        """Return the merchant an access token acts for; raises NotAuthenticError without the certificate it is bound to."""
        try:
            token = _decode_access(payload)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise NotAuthenticError("not an access token") from None
        if not token.iat <= self._clock() < token.exp:
            raise NotAuthenticError("expired")
        if peer is None or not self._is_registered(peer) or token.cnf.thumbprint != _thumbprint(peer):
            raise NotAuthenticError("certificate")
        return token.sub

    def _is_registered(self, peer: Peer) -> bool:
        return peer.common_name == self._credentials.client_cn

    # Tokens.

    def _answer_token(self, request: Request) -> Reply:
        headers = [("Cache-Control", "no-store"), ("Pragma", "no-cache")]
        try:
            correlation_id = request.headers.get("v-c-client-correlation-id")
            if correlation_id is not None:
                if not _CORRELATION_ID.fullmatch(correlation_id):
                    raise _Denied("invalid_request", "v-c-client-correlation-id must have 36 characters")
                headers.append(("v-c-client-correlation-id", correlation_id))
            reply = json_reply(200, self._grant(request))
        except _Denied as denied:
            reply = json_reply(denied.status, {"error": denied.error, "error_description": denied.description})
        return Reply(reply.status, reply.body, reply.content_type, tuple(headers))

    def _grant(self, request: Request) -> dict[str, object]:
        if request.method != "POST":
            raise _Denied("invalid_request", "the method must be POST", 405)
        if request.peer is None or not self._is_registered(request.peer):
            raise _Denied("unauthorized_client", "a registered client certificate is required", 401)
        form = _form_of(request)
        known = self._credentials
        # Both are compared whatever the first says.
        fits = (
            _equal(form.get("client_id", ""), known.oauth_client_id),
            _equal(form.get("client_secret", ""), known.oauth_client_secret),
        )
        if not all(fits):
            raise _Denied("invalid_client", "client_id or client_secret is wrong", 401)
        match form.get("grant_type"):
            case "authorization_code":
                self._use_code(form.get("code", ""))
                return self._tokens(request.peer, self._new_refresh_token(), _REFRESH_SECONDS)
            case "refresh_token":
                token = form.get("refresh_token", "")
                return self._tokens(request.peer, token, self._refresh_seconds_left(token))
            case "client_credentials" if known.extra.get("oauth_client_credentials") is True:
                return self._tokens(request.peer, self._new_refresh_token(), _REFRESH_SECONDS)
            case None:
                raise _Denied("invalid_request", "grant_type is missing")
            case _:
                raise _Denied("unsupported_grant_type", "grant_type is not supported")

    def _tokens(self, peer: Peer, refresh_token: str, refresh_seconds: int) -> dict[str, object]:
        now = int(self._clock())
        known = self._credentials
        access = _Access(
            known.merchant_id,
            known.oauth_client_id,
            now,
            now + _ACCESS_SECONDS,
            str(uuid.uuid4()),
            _Confirmation(_thumbprint(peer)),
        )
        return {
            "access_token": jose.sign(_encode(access), self._signing_key, kid=self.kid),
            "token_type": "Bearer",
            "expires_in": _ACCESS_SECONDS,
            "scope": _SCOPE,
            "refresh_token": refresh_token,
            "refresh_token_expires_in": refresh_seconds,
            "client_status": "active",
        }

    def _use_code(self, text: str) -> None:
        if self._codes.pop(text, 0.0) <= self._clock():
            raise _Denied("invalid_grant", "the code is unknown, used or expired")

    def _new_refresh_token(self) -> str:
        known = self._credentials
        expires_at = int(self._clock()) + _REFRESH_SECONDS
        token = _Refresh(known.merchant_id, known.oauth_client_id, expires_at, str(uuid.uuid4()))
        return jose.sign(_encode(token), self._signing_key, kid=self.kid)

    def _refresh_seconds_left(self, text: str) -> int:
        known = self._credentials
        if known.oauth_refresh_token and _equal(text, known.oauth_refresh_token):
            expires_at = self._started_at + _REFRESH_SECONDS
        else:
            try:
                token = _decode_refresh(jose.verify(text, {self.kid: self.key}.get).payload)
            except (ValueError, RecursionError):
                raise _Denied("invalid_grant", "the refresh token is unknown") from None
            expires_at = token.exp if token.client_id == known.oauth_client_id else 0
        left = int(expires_at - self._clock())
        if left <= 0:
            raise _Denied("invalid_grant", "the refresh token has expired")
        return left

    # Consent.

    def _answer_consent(self, request: Request, query: str) -> Reply:
        try:
            location = self._consent(request, query)
        except _Denied as denied:
            # Never a redirect to where nobody vouches for.
            return json_reply(denied.status, {"error": denied.error, "error_description": denied.description})
        return Reply(302, b"", headers=(("Location", location), ("Cache-Control", "no-store")))

    def _consent(self, request: Request, query: str) -> str:
        if request.method != "GET":
            raise _Denied("invalid_request", "the method must be GET", 405)
        asked = _fields_of(query)
        if asked.get("sub") != "oauth":
            raise _Denied("invalid_request", "sub must be oauth")
        if not _equal(asked.get("client_id", ""), self._credentials.oauth_client_id):
            raise _Denied("invalid_request", "client_id is unknown")
        url = _redirect_target(asked.get("redirect_url", ""))
        now = self._clock()
        self._codes = {text: until for text, until in self._codes.items() if until > now}
        if len(self._codes) >= _CODE_LIMIT:
            raise _Denied("temporarily_unavailable", "too many codes are waiting", 429)
        text = secrets.token_urlsafe(32)
        self._codes[text] = now + _CODE_SECONDS
        answer = urlencode({"code": text} | ({"state": asked["state"]} if "state" in asked else {}))
        return urlunsplit(url._replace(query=f"{url.query}&{answer}" if url.query else answer))


def _derived(secret: str, client_secret: str) -> bytes:
    return hmac.digest(base64.b64decode(secret), b"oauth tokens\0" + client_secret.encode(), "sha256")


def _equal(text: str, expected: str) -> bool:
    return hmac.compare_digest(text.encode(), expected.encode())


def _thumbprint(peer: Peer) -> str:
    return base64.urlsafe_b64encode(peer.fingerprint).rstrip(b"=").decode()


def _form_of(request: Request) -> dict[str, str]:
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type != "application/x-www-form-urlencoded":
        raise _Denied("invalid_request", "the body must be application/x-www-form-urlencoded")
    try:
        return _fields_of(request.body.decode("ascii"))
    except UnicodeDecodeError:
        raise _Denied("invalid_request", "the body is not a form") from None


def _fields_of(text: str) -> dict[str, str]:
    try:
        pairs = parse_qsl(text, keep_blank_values=True, strict_parsing=bool(text), errors="strict", max_num_fields=50)
    except ValueError:
        raise _Denied("invalid_request", "the parameters are not url-encoded") from None
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise _Denied("invalid_request", "a parameter is there twice")
    return fields


def _redirect_target(text: str) -> SplitResult:
    try:
        url = urlsplit(text)
        fits = _URL.fullmatch(text) is not None and bool(url.hostname) and not url.fragment and "@" not in url.netloc
    except ValueError:
        fits = False
    if not fits:
        raise _Denied("invalid_request", "redirect_url must be an absolute http or https URL")
    return url
