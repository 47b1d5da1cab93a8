"""The REST application: what happens to every request, in order.

    request id -> metrics -> size and time of the body -> credentials -> rate limit -> scope -> form -> route

The first three are a plain ASGI application around Litestar (`Edge`), the next four one hook before the route (`Gate`): a
middleware of Litestar's would cost as much as all of them together. Every refusal, of whatever layer, becomes a problem
(`problems.py`).

A route declares in `opt` who may call it:

    {"scope": "payments:write"}   credentials with this scope
    {"scope": ANY_SCOPE}          any valid credentials
    {"public": True}              everybody, within the limit of the client address
    {"unlimited": True}           besides `public`: no rate limit

A route that declares nothing is a mistake of ours and found when the application is made.
"""

from __future__ import annotations

import re
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import unquote_plus

import msgspec
import structlog
from litestar import Litestar, Request, Response, get
from litestar.di import NamedDependency, Provide
from litestar.params import FromPath, SkipValidation
from litestar.routes import HTTPRoute
from litestar.types import ControllerRouterHandler, Message, Receive, Scope, Send

from shanraq.api import problems
from shanraq.api.answer import Answer
from shanraq.api.auth import SINGLE_HEADERS, Authenticate, is_signed, read_credentials
from shanraq.api.explorer import explorer_routes
from shanraq.api.health import Health, health_routes
from shanraq.api.metrics import MEDIA_TYPE as METRICS_MEDIA_TYPE
from shanraq.api.metrics import Metrics
from shanraq.api.openapi import Document, ParameterOfRoute, parameters_of
from shanraq.api.ratelimit import Allowance, RateLimiter, key_of_address
from shanraq.api.strict import (
    BODY_LIMIT_BYTES,
    BODY_TIMEOUT_SECONDS,
    BoundedBody,
    EmptyBodyError,
    InvalidFieldError,
    LargeBodyError,
    StrictDTO,
    check_media_type,
    reason_of,
)
from shanraq.core.actor import Actor
from shanraq.core.errors import UnauthenticatedError
from shanraq.core.ids import new_id

log = structlog.get_logger(__name__)

ANY_SCOPE: Final = "*"
"""The scope of a route that any valid credentials may call."""

CurrentActor = NamedDependency[SkipValidation[Actor]]
"""The parameter `actor: CurrentActor` of a route that is not public."""

_EXCHANGE: Final = "shanraq.exchange"
_OPTIONS: Final = frozenset(("scope", "public", "unlimited", "answers", "security"))
_REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9_-]{1,64}")
_INTEGER: Final = re.compile(r"-?[0-9]{1,19}")
_READ_HEADERS: Final = SINGLE_HEADERS | {b"accept", b"x-request-id"}
_SECURITY_HEADERS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
)
_OVERRIDABLE: Final = frozenset((b"cache-control", b"content-security-policy"))
_STRICT_TRANSPORT: Final = (b"strict-transport-security", b"max-age=63072000; includeSubDomains")


class RouteError(TypeError):
    """A route is declared wrongly: our own mistake, found at start."""


@dataclass(slots=True)
class Exchange:
    """What is known of a request while it is answered."""

    request_id: str
    method: str
    headers: dict[bytes, bytes]
    actor: Actor | None = None
    allowance: Allowance | None = None


@dataclass(frozen=True, slots=True)
class Policy:
    """What a route declares, read once at start. `parameters` are those of the query, by name."""

    scope: str | None
    limited: bool
    takes_body: bool
    answers_json: bool
    parameters: dict[str, ParameterOfRoute]


def exchange_of(scope: Mapping[str, Any]) -> Exchange:
    """Return what is known of the request."""
    exchange: Exchange = scope[_EXCHANGE]
    return exchange


def create_app(
    services: object,
    *,
    routes: Sequence[ControllerRouterHandler],
    authenticate: Authenticate,
    health: Health | None = None,
    metrics: Metrics | None = None,
    credential_limit: RateLimiter | None = None,
    address_limit: RateLimiter | None = None,
    body_limit_bytes: int = BODY_LIMIT_BYTES,
    body_timeout_seconds: float = BODY_TIMEOUT_SECONDS,
    version: str = "0.1.0",
) -> Edge:
    """Make the application that serves `routes`; each may take `services` and `actor` by these names.

    Without limiters there are no rate limits. Raises RouteError for a route that is declared wrongly.
    """
    metrics = metrics or Metrics()
    document = Document(version)
    gate = Gate(authenticate, credential_limit, address_limit)
    app = Litestar(
        [
            *routes,
            *problem_routes(),
            *health_routes(health or Health({})),
            metrics_route(metrics),
            *document.routes(),
            *explorer_routes(),
        ],
        before_request=gate.admit,
        dependencies={"services": Provide(_provider(services), sync_to_thread=False), "actor": _ACTOR},
        dto=StrictDTO,
        return_dto=None,
        response_class=Answer,
        exception_handlers={Exception: _refused},
        openapi_config=None,
        logging_config=None,
        request_max_body_size=None,
        debug=False,
    )
    gate.learn(app)
    document.of(app)
    return Edge(app, metrics, document, body_limit_bytes, body_timeout_seconds)


def _provider(services: object) -> Callable[[], Any]:
    def provide() -> Any:
        return services

    return provide


def _actor_of(scope: Scope, services: NamedDependency[SkipValidation[Any]]) -> Actor:
    # It asks for `services` only to be resolved after them: Litestar resolves what is independent in a task each.
    actor = exchange_of(scope).actor
    assert actor is not None, "a public route has no actor"
    return actor


_ACTOR = Provide(_actor_of, sync_to_thread=False)


def _refused(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    scope = request.scope
    status, body, headers = problems.answer_of(
        error,
        exchange_of(scope).request_id,
        method=exchange_of(scope).method,
        route=str(scope.get("path_template", "unmatched")),
    )
    return Answer(body, status_code=status, media_type=problems.MEDIA_TYPE, headers=headers)


class Edge:
    """The outermost layer: request id, metrics, bounds of the body, and the headers every answer has."""

    def __init__(
        self, app: Litestar, metrics: Metrics, document: Document, body_limit_bytes: int, body_timeout_seconds: float
    ) -> None:
        self.litestar = app
        self.metrics = metrics
        self.document = document
        self._body_limit_bytes = body_limit_bytes
        self._body_timeout_seconds = body_timeout_seconds

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.litestar(scope, receive, send)
            return
        started_at = time.perf_counter()
        headers, repeated = _read(scope["headers"])
        method = scope["method"]
        exchange = Exchange(_request_id(headers), method, headers)
        if method == "HEAD":
            # The server, which keeps its own scope, sends no body; all else is as for GET (RFC 9110, 9.3.2).
            scope = {**scope, "method": "GET"}
        scope[_EXCHANGE] = exchange
        structlog.contextvars.bind_contextvars(request_id=exchange.request_id)
        secure = scope.get("scheme") == "https"
        status = 0

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = _complete([*message["headers"]], exchange, secure=secure)
            await send(message)

        try:
            self._check(headers, repeated)
            bounded = BoundedBody(receive, self._body_limit_bytes, self._body_timeout_seconds)
            await self.litestar(scope, bounded, answer)
        except Exception as error:
            if status:
                # Half an answer is out: only a broken connection can tell the client.
                log.exception("request.broken", method=method)
                status = 500
                raise
            await _refuse(error, exchange, scope, receive, answer)
        finally:
            route = scope.get("path_template", "unmatched")
            self.metrics.observe(str(route), method, status or 499, time.perf_counter() - started_at)

    def _check(self, headers: dict[bytes, bytes], repeated: bytes | None) -> None:
        if repeated is not None:
            raise problems.RepeatedHeaderError(field=repeated.decode("latin-1").title())
        length = headers.get(b"content-length")
        if length is not None and (not length.isdigit() or int(length) > self._body_limit_bytes):
            raise LargeBodyError(f"is larger than {self._body_limit_bytes} bytes", field="Content-Length")


def _read(pairs: Iterable[tuple[bytes, bytes]]) -> tuple[dict[bytes, bytes], bytes | None]:
    """Return the headers this layer looks at, and the name of one that must not be there twice but is."""
    headers: dict[bytes, bytes] = {}
    repeated = None
    for name, value in pairs:
        if name in _READ_HEADERS:
            if name in headers:
                if name in SINGLE_HEADERS:
                    repeated = name
                elif name == b"accept":
                    value = headers[name] + b"," + value
            headers[name] = value
    return headers, repeated


def _request_id(headers: dict[bytes, bytes]) -> str:
    given = headers.get(b"x-request-id")
    return given.decode() if given is not None and _REQUEST_ID.fullmatch(given) else new_id("req")


def _complete(headers: list[tuple[bytes, bytes]], exchange: Exchange, *, secure: bool) -> list[tuple[bytes, bytes]]:
    headers.append((b"shanraq-request-id", exchange.request_id.encode()))
    for header in _SECURITY_HEADERS:
        if header[0] not in _OVERRIDABLE or all(name != header[0] for name, _ in headers):
            headers.append(header)
    if secure:
        headers.append(_STRICT_TRANSPORT)
    if exchange.allowance is not None:
        headers.extend(exchange.allowance.headers())
    return headers


async def _refuse(error: Exception, exchange: Exchange, scope: Any, receive: Receive, send: Send) -> None:
    status, body, headers = problems.answer_of(error, exchange.request_id, method=exchange.method)
    answer = Answer(body, status_code=status, media_type=problems.MEDIA_TYPE, headers=headers)
    await answer.to_asgi_response(None, None)(scope, receive, send)


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

    def learn(self, app: Litestar) -> None:
        """Read what the routes declare; raise RouteError for one that declares it wrongly."""
        for route in app.routes:
            if isinstance(route, HTTPRoute):
                self._methods[route.path] |= route.methods
                for handler in route.route_handlers:
                    self._policies[handler] = _policy_of(handler, route)

    async def admit(self, request: Request[Any, Any, Any]) -> Response[None] | None:
        """Refuse the request, or let it through with its actor: the hook before every route.

        Answers OPTIONS itself, as Litestar knows the methods of one route of a path only.
        """
        scope = request.scope
        exchange = exchange_of(scope)
        if exchange.method == "OPTIONS":
            allowed = sorted(self._methods[scope["path_template"]])
            return Answer(None, status_code=204, headers={"Allow": ", ".join(allowed)})
        policy = self._policies[scope["route_handler"]]
        if policy.scope is None:
            if policy.limited:
                self._take(self._address_limit, key_of_address(_host(scope)), exchange)
        else:
            await self._identify(request, exchange, policy.scope)
        if scope["query_string"]:
            _check_query(scope["query_string"], policy.parameters)
        if policy.answers_json and b"accept" in exchange.headers and not _accepts_json(exchange.headers[b"accept"]):
            raise problems.NotAcceptableError(field="Accept")
        if policy.takes_body:
            check_media_type(exchange.headers.get(b"content-type"))
            if not await request.body():
                raise EmptyBodyError
        return None

    async def _identify(self, request: Request[Any, Any, Any], exchange: Exchange, needed: str) -> None:
        headers = exchange.headers
        scope = request.scope
        body = await request.body() if is_signed(headers) else b""
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
        exchange.actor = replace(actor, request_id=exchange.request_id)

    @staticmethod
    def _take(limiter: RateLimiter | None, key: str, exchange: Exchange) -> None:
        if limiter is not None:
            exchange.allowance = limiter.take(key)
            if exchange.allowance.retry_after_seconds:
                raise problems.TooManyRequestsError(exchange.allowance.retry_after_seconds)


def _host(scope: Any) -> str | None:
    client = scope.get("client")
    return client[0] if client else None


def _target(scope: Any) -> str:
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
        return Policy(scope=None, limited=False, takes_body=False, answers_json=False, parameters={})
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
        parameters=parameters,
    )


def _check_body_type(name: str, kind: Any) -> None:
    for member in getattr(kind, "__args__", (kind,)):
        config = getattr(member, "__struct_config__", None)
        if config is None or not config.forbid_unknown_fields:
            raise RouteError(f"{name}: the body must be a Body, which refuses unknown fields")


def metrics_route(metrics: Metrics) -> ControllerRouterHandler:
    """Return the page a monitoring system scrapes."""

    @get(
        "/metrics",
        opt={"public": True, "unlimited": True},
        include_in_schema=False,
        media_type=METRICS_MEDIA_TYPE,
        sync_to_thread=False,
    )
    def show_metrics() -> bytes:
        return metrics.text()

    return show_metrics


def problem_routes() -> list[ControllerRouterHandler]:
    """Return the pages that explain the codes of refusals."""

    @get("/problems", operation_id="list_problems", tags=["Problems"], opt={"public": True}, sync_to_thread=False)
    def list_problems() -> problems.ProblemList:
        """List every code a refusal may have."""
        return problems.known_problems()

    @get(
        "/problems/{code:str}",
        operation_id="get_problem",
        tags=["Problems"],
        opt={"public": True},
        sync_to_thread=False,
    )
    def get_problem(code: FromPath[str]) -> problems.ProblemExplanation:
        """Explain a code in prose."""
        return problems.explain(code)

    return [list_problems, get_problem]
