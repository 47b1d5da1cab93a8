"""The REST application: what happens to every request, in order.

    request id -> metrics -> size and time of the body -> credentials -> rate limit -> scope -> form -> route

The first three are a plain ASGI application around Litestar (`Edge`), the next four one hook before the route (`gate.Gate`): a
middleware of Litestar's would cost as much as all of them together. The keyed writes at fixed paths are called straight
(`direct.Direct`). Every refusal, of whatever layer, becomes a problem (`problems.py`).
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import structlog
from litestar import Litestar, Request, Response, get
from litestar.di import NamedDependency, Provide
from litestar.params import FromPath, SkipValidation
from litestar.types import ControllerRouterHandler, Message, Receive, Scope, Send

from shanraq.api import problems
from shanraq.api.answer import Answer
from shanraq.api.auth import SINGLE_HEADERS, Authenticate
from shanraq.api.direct import Direct, direct_routes
from shanraq.api.exchange import KEY, Exchange, ExchangeRequest, exchange_of
from shanraq.api.explorer import explorer_routes
from shanraq.api.gate import Gate
from shanraq.api.health import Health, health_routes
from shanraq.api.metrics import MEDIA_TYPE as METRICS_MEDIA_TYPE
from shanraq.api.metrics import Metrics
from shanraq.api.openapi import Document
from shanraq.api.ratelimit import RateLimiter
from shanraq.api.strict import BODY_LIMIT_BYTES, BODY_TIMEOUT_SECONDS, BoundedBody, LargeBodyError, StrictDTO
from shanraq.core.actor import Actor
from shanraq.core.ids import new_id

log = structlog.get_logger(__name__)

_REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9_-]{1,64}")
_SECURITY_HEADERS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
)
_OVERRIDABLE: Final = frozenset((b"cache-control", b"content-security-policy"))
_STRICT_TRANSPORT: Final = (b"strict-transport-security", b"max-age=63072000; includeSubDomains")


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
    upload_limit_bytes: int = BODY_LIMIT_BYTES,
    upload_timeout_seconds: float = BODY_TIMEOUT_SECONDS,
    version: str = "0.1.0",
) -> Edge:
    """Make the application that serves `routes`; each may take `services` and `actor` by these names.

    Without limiters there are no rate limits. Routes that take files have the bounds of an upload. Raises RouteError for a
    route that is declared wrongly.
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
        before_request=gate.before,
        dependencies={"services": Provide(_provider(services), sync_to_thread=False), "actor": _ACTOR},
        dto=StrictDTO,
        return_dto=None,
        request_class=ExchangeRequest,
        response_class=Answer,
        exception_handlers={Exception: _refused},
        openapi_config=None,
        logging_config=None,
        request_max_body_size=None,
        debug=False,
    )
    gate.learn(app)
    document.of(app)
    bounds = Bounds(body_limit_bytes, body_timeout_seconds)
    uploads = dict.fromkeys(gate.uploads(), Bounds(upload_limit_bytes, upload_timeout_seconds))
    return Edge(app, metrics, document, direct_routes(app, gate, services), bounds, uploads)


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
    return _answer_to(error, exchange_of(request.scope), request.scope)


@dataclass(frozen=True, slots=True)
class Bounds:
    """How large a body may be, and how long it may take to arrive."""

    limit_bytes: int
    timeout_seconds: float


class Edge:
    """The outermost layer: request id, metrics, bounds of the body, and the headers every answer has."""

    def __init__(
        self,
        app: Litestar,
        metrics: Metrics,
        document: Document,
        direct: dict[tuple[str, str], Direct],
        bounds: Bounds,
        uploads: Mapping[tuple[str, str], Bounds],
    ) -> None:
        self.litestar = app
        self.metrics = metrics
        self.document = document
        self.direct = direct
        self._bounds = bounds
        self._uploads = uploads

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.litestar(scope, receive, send)
            return
        started_at = time.perf_counter()
        headers, repeated = _read(scope["headers"])
        method = scope["method"]
        bounds = self._uploads.get((method, scope["path"]), self._bounds)
        bounded = BoundedBody(receive, bounds.limit_bytes, bounds.timeout_seconds)
        exchange = Exchange(_request_id(headers), method, headers, bounded)
        if method == "HEAD":
            # The server, which keeps its own scope, sends no body; all else is as for GET (RFC 9110, 9.3.2).
            scope = {**scope, "method": "GET"}
        scope[KEY] = exchange
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
            _check(headers, repeated, bounds)
            direct = self.direct.get((method, scope["path"]))
            if direct is not None:
                await direct(scope, exchange, answer)
            else:
                await self.litestar(scope, bounded, answer)
        except Exception as error:
            if status:
                # Half an answer is out: only a broken connection can tell the client.
                log.exception("request.broken", method=method)
                status = 500
                raise
            await _refuse(error, exchange, scope, answer)
        finally:
            route = scope.get("path_template", "unmatched")
            self.metrics.observe(str(route), method, status or 499, time.perf_counter() - started_at)


def _check(headers: dict[bytes, bytes], repeated: bytes | None, bounds: Bounds) -> None:
    if repeated is not None:
        raise problems.RepeatedHeaderError(field=repeated.decode("latin-1").title())
    length = headers.get(b"content-length")
    if length is not None and (not length.isdigit() or int(length) > bounds.limit_bytes):
        raise LargeBodyError(f"is larger than {bounds.limit_bytes} bytes", field="Content-Length")


def _read(pairs: Sequence[tuple[bytes, bytes]]) -> tuple[dict[bytes, bytes], bytes | None]:
    """Return the headers, and the name of one that must not be there twice but is."""
    headers = dict(pairs)
    if len(headers) == len(pairs):
        return headers, None
    accepted: list[bytes] = []
    seen: set[bytes] = set()
    repeated = None
    for name, value in pairs:
        if name in seen and name in SINGLE_HEADERS:
            repeated = name
        seen.add(name)
        if name == b"accept":
            accepted.append(value)
    if accepted:
        headers[b"accept"] = b",".join(accepted)
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


async def _refuse(error: Exception, exchange: Exchange, scope: Scope, send: Send) -> None:
    answer = _answer_to(error, exchange, scope)
    await answer.to_asgi_response(None, None)(scope, exchange.arriving, send)


def _answer_to(error: Exception, exchange: Exchange, scope: Mapping[str, Any]) -> Answer[bytes]:
    route = str(scope.get("path_template", "unmatched"))
    status, body, headers = problems.answer_of(error, exchange.request_id, method=exchange.method, route=route)
    return Answer(body, status_code=status, media_type=problems.MEDIA_TYPE, headers=headers)


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
