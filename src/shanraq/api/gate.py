"""The gate before every route: credentials, rate limit, scope, and the form of query and body.

A route declares in `opt` who may call it:

    {"scope": "payments:write"}   credentials with this scope
    {"scope": ANY_SCOPE}          any valid credentials
    {"public": True}              everybody, within the limit of the client address
    {"unlimited": True}           besides `public`: no rate limit

A route that takes a file and reads it as it arrives says which: {"upload": ("application/xml",)}. It has bounds of its own.

A route that declares nothing is a mistake of ours and found when the application is made.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote_plus

import msgspec
from litestar import Litestar, Request, Response
from litestar.di import NamedDependency
from litestar.params import SkipValidation
from litestar.routes import HTTPRoute

from shanraq.api import problems
from shanraq.api.answer import Answer
from shanraq.api.auth import Authenticate, is_signed, read_credentials
from shanraq.api.exchange import Exchange, exchange_of
from shanraq.api.openapi import ParameterOfRoute, parameters_of
from shanraq.api.ratelimit import RateLimiter, key_of_address
from shanraq.api.strict import EmptyBodyError, InvalidFieldError, check_media_type, check_upload, reason_of
from shanraq.core.actor import Actor
from shanraq.core.errors import UnauthenticatedError

ANY_SCOPE: Final = "*"
"""The scope of a route that any valid credentials may call."""

CurrentActor = NamedDependency[SkipValidation[Actor]]
"""The parameter `actor: CurrentActor` of a route that is not public."""

_OPTIONS: Final = frozenset(("scope", "public", "unlimited", "answers", "security", "upload"))
_INTEGER: Final = re.compile(r"-?[0-9]{1,19}")


class RouteError(TypeError):
    """A route is declared wrongly: our own mistake, found at start."""


@dataclass(frozen=True, slots=True)
class Policy:
    """What a route declares, read once at start. `parameters` are those of the query, by name."""

    scope: str | None
    limited: bool
    takes_body: bool
    answers_json: bool
    upload: tuple[str, ...]
    parameters: dict[str, ParameterOfRoute]


class SignedUploadError(UnauthenticatedError, code="signed_upload", status=401):
    """A file is sent with a key, not signed: its signature could be checked only when all of it had been taken."""


class Gate:
    """Let a request through to its route: credentials, rate limit, scope, and the form of query and body."""

    def __init__(
        self, authenticate: Authenticate, credential_limit: RateLimiter | None, address_limit: RateLimiter | None
    ) -> None:
        self._authenticate = authenticate
        self._credential_limit = credential_limit
        self._address_limit = address_limit
        self._policies: dict[Any, Policy] = {}
        self._methods: defaultdict[str, set[str]] = defaultdict(set)
        self._paths: list[tuple[str, Any]] = []

    def learn(self, app: Litestar) -> None:
        """Read what the routes declare; raise RouteError for one that declares it wrongly."""
        for route in app.routes:
            if isinstance(route, HTTPRoute):
                self._methods[route.path] |= route.methods
                for handler in route.route_handlers:
                    self._policies[handler] = _policy_of(handler, route)
                    self._paths.append((route.path, handler))

    async def before(self, request: Request[Any, Any, Any]) -> Response[None] | None:
        """Admit the request: Litestar's hook before every route.

        Answers OPTIONS itself, as Litestar knows the methods of one route of a path only.
        """
        scope = request.scope
        exchange = exchange_of(scope)
        if exchange.method == "OPTIONS":
            allowed = sorted(self._methods[scope["path_template"]])
            return Answer(None, status_code=204, headers={"Allow": ", ".join(allowed)})
        await self.admit(scope, exchange, self._policies[scope["route_handler"]])
        return None

    def policy_of(self, handler: Any) -> Policy:
        """Return what a route declared."""
        return self._policies[handler]

    def uploads(self) -> frozenset[tuple[str, str]]:
        """Return method and path of the routes that take files."""
        return frozenset(
            (method, path)
            for path, handler in self._paths
            if self._policies[handler].upload
            for method in handler.http_methods - {"OPTIONS"}
        )

    async def admit(self, scope: Mapping[str, Any], exchange: Exchange, policy: Policy) -> None:
        """Refuse the request, or let it through with its actor."""
        if policy.scope is None:
            if policy.limited:
                self._take(self._address_limit, key_of_address(_host(scope)), exchange)
        else:
            if policy.upload and is_signed(exchange.headers):
                raise SignedUploadError(field="Shanraq-Signature")
            await self._identify(scope, exchange, policy.scope)
        if scope["query_string"]:
            _check_query(scope["query_string"], policy.parameters)
        if policy.answers_json and b"accept" in exchange.headers and not _accepts_json(exchange.headers[b"accept"]):
            raise problems.NotAcceptableError(field="Accept")
        if policy.upload:
            check_upload(exchange.headers, policy.upload)
        if policy.takes_body:
            check_media_type(exchange.headers.get(b"content-type"))
            if not await exchange.body():
                raise EmptyBodyError

    async def _identify(self, scope: Mapping[str, Any], exchange: Exchange, needed: str) -> None:
        headers = exchange.headers
        body = await exchange.body() if is_signed(headers) else b""
        try:
            credentials = read_credentials(headers, exchange.method, _target(scope), body)
            actor = await self._authenticate(credentials, _host(scope) or "")
        except UnauthenticatedError:
            # Who guesses credentials is slowed down by address; who has good ones is not slowed down by them.
            self._take(self._address_limit, key_of_address(_host(scope)), exchange)
            raise
        self._take(self._credential_limit, actor.id, exchange)
        if needed != ANY_SCOPE:
            actor.require(needed)
        exchange.actor = actor.with_request(exchange.request_id)

    @staticmethod
    def _take(limiter: RateLimiter | None, key: str, exchange: Exchange) -> None:
        if limiter is not None:
            exchange.allowance = limiter.take(key)
            if exchange.allowance.retry_after_seconds:
                raise problems.TooManyRequestsError(exchange.allowance.retry_after_seconds)


def _host(scope: Mapping[str, Any]) -> str | None:
    client = scope.get("client")
    return client[0] if client else None


def _target(scope: Mapping[str, Any]) -> str:
    """Return the request target as the client sent it."""
    path: bytes = scope.get("raw_path") or scope["path"].encode()
    query: bytes = scope["query_string"]
    return (path + b"?" + query if query else path).decode("latin-1")


def _check_query(query: bytes, parameters: dict[str, ParameterOfRoute]) -> None:
    """Refuse what Litestar would pass over: unknown names, a second value, `5.0` for an integer, `null` for nothing."""
    values: dict[str, list[str]] = {}
    for part in query.decode("latin-1").split("&"):
        name, _, value = (unquote_plus(text) for text in part.partition("="))
        if name not in parameters:
            raise problems.UnknownParameterError(field=name[:64] or None)
        values.setdefault(name, []).append(value)
    for name, given in values.items():
        parameter = parameters[name]
        if len(given) > 1 and not parameter.repeatable:
            raise InvalidFieldError("is there twice", field=name)
        if parameter.integer and not _INTEGER.fullmatch(given[0]):
            raise InvalidFieldError("must be an integer", field=name)
        try:
            msgspec.convert(given if parameter.repeatable else given[0], parameter.kind, strict=False)
        except msgspec.ValidationError as error:
            raise InvalidFieldError(reason_of(str(error)), field=name) from None


def _accepts_json(accept: bytes) -> bool:
    """Tell whether the Accept header allows application/json (RFC 9110, 12.5.1)."""
    if accept in (b"*/*", b"application/json"):
        return True
    best: tuple[int, float] = (-1, 0.0)
    for media_range in accept.decode("latin-1").lower().split(","):
        kind, *parameters = (part.strip() for part in media_range.split(";"))
        if kind not in _JSON_RANGES:
            continue
        quality = 1.0
        for parameter in parameters:
            if parameter.startswith("q="):
                try:
                    quality = float(parameter[2:])
                except ValueError:
                    quality = 0.0
        # The most specific range decides.
        best = max(best, (_JSON_RANGES.index(kind), quality))
    return best[1] > 0


_JSON_RANGES: Final = ("*/*", "application/*", "application/json")


def _policy_of(handler: Any, route: HTTPRoute) -> Policy:
    name = f"{'/'.join(sorted(handler.http_methods))} {route.path}"
    if handler.http_methods == {"OPTIONS"}:
        return Policy(scope=None, limited=False, takes_body=False, answers_json=False, upload=(), parameters={})
    declared = handler.opt
    if unknown := declared.keys() - _OPTIONS:
        raise RouteError(f"{name}: opt has no {', '.join(sorted(unknown))}")
    public, scope = declared.get("public", False), declared.get("scope")
    if public == isinstance(scope, str):
        raise RouteError(f'{name}: opt must have "scope" or "public": True')
    if not public and declared.get("unlimited"):
        raise RouteError(f"{name}: only a public route can be unlimited")
    field = handler.parsed_data_field
    if field is not None:
        _check_body_type(name, field.annotation)
    parameters = {parameter.name: parameter for parameter in parameters_of(handler) if parameter.place == "query"}
    return Policy(
        scope=scope,
        limited=not declared.get("unlimited", False),
        takes_body=field is not None,
        answers_json=handler.media_type in (None, "application/json"),
        upload=declared.get("upload", ()),
        parameters=parameters,
    )


def _check_body_type(name: str, kind: Any) -> None:
    for member in getattr(kind, "__args__", (kind,)):
        config = getattr(member, "__struct_config__", None)
        if config is None or not config.forbid_unknown_fields:
            raise RouteError(f"{name}: the body must be a Body, which refuses unknown fields")
